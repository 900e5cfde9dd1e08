//! Text for a terminal: colours, places, and nothing in it that the terminal would obey. Knows no answer of any command.

use std::collections::HashMap;

use coalmine::line_index::LineIndex;
use coalmine::{FileId, Files, Span};

pub(super) const RED: &str = "\x1b[31m";
pub(super) const GREEN: &str = "\x1b[32m";
pub(super) const YELLOW: &str = "\x1b[33m";
pub(super) const CYAN: &str = "\x1b[36m";
pub(super) const BOLD: &str = "\x1b[1m";
pub(super) const DIM: &str = "\x1b[2m";

/// Columns that a line of an answer may push its place away from the left.
pub(super) const WIDEST: usize = 88;

/// Text in a colour, if there are colours.
pub(super) fn paint(color: bool, code: &str, text: &str) -> String {
    if color && !text.is_empty() { format!("{code}{text}\x1b[0m") } else { text.to_owned() }
}

/// Without anything that a terminal would obey.
pub(super) fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// What is written about some files.
pub(super) struct Printer<'f> {
    pub(super) files: &'f Files,
    indexes: HashMap<FileId, LineIndex>,
    color: bool,
    pub(super) out: String,
}

impl<'f> Printer<'f> {
    pub(super) fn new(files: &'f Files, color: bool) -> Self {
        Self { files, indexes: HashMap::new(), color, out: String::new() }
    }

    pub(super) fn paint(&self, code: &str, text: &str) -> String {
        paint(self.color, code, text)
    }

    /// `file:line`, in the colour of places.
    pub(super) fn place(&mut self, span: Span) -> String {
        let text = self.files.text(span.file);
        let index = self.indexes.entry(span.file).or_insert_with(|| LineIndex::new(text));
        let place = format!("{}:{}", self.files.name(span.file), index.line(span.start) + 1);
        self.paint(CYAN, &place)
    }

    /// The place of a text that stands in a column of this width.
    pub(super) fn beside(&mut self, text: &str, wide: usize, span: Option<Span>) -> String {
        let Some(span) = span else { return String::new() };
        let pad = " ".repeat(wide.saturating_sub(text.chars().count()));
        format!("{pad}  {}", self.place(span))
    }
}
