//! Findings as text for machines and logs. Every format has its own types, so that a change inside the
//! linter cannot change what others parse. The format for people is the binary's own.

pub mod concise;
pub mod github;
pub mod gitlab;
pub mod graph;
pub mod json;
pub mod junit;
pub mod route;
pub mod sarif;

use serde::Serialize;

use crate::files::Files;
use crate::line_index::{ColumnUnit, LineIndex};
use crate::report::Linted;
use crate::span::{FileId, Span};

/// Line indexes of one set of files, each made when first needed.
struct Places<'f> {
    files: &'f Files,
    unit: ColumnUnit,
    indexes: std::collections::HashMap<FileId, LineIndex>,
}

/// A place for people: 1-based, columns in Unicode scalar values unless asked otherwise, offsets in UTF-8 bytes.
#[derive(Clone, Copy, Debug)]
struct Position {
    line: u32,
    column: u32,
    offset: u32,
}

impl<'f> Places<'f> {
    fn new(linted: &'f Linted) -> Self {
        Self::of(&linted.files)
    }

    fn of(files: &'f Files) -> Self {
        Self { files, unit: ColumnUnit::Scalars, indexes: std::collections::HashMap::new() }
    }

    fn in_utf16(linted: &'f Linted) -> Self {
        Self { unit: ColumnUnit::Utf16, ..Self::new(linted) }
    }

    fn range(&mut self, span: Span) -> (Position, Position) {
        let (text, unit) = (self.files.text(span.file), self.unit);
        let index = self.indexes.entry(span.file).or_insert_with(|| LineIndex::new(text));
        let position = |offset| {
            let at = index.line_column(text, offset, unit);
            Position { line: at.line.saturating_add(1), column: at.column.saturating_add(1), offset }
        };
        (position(span.start), position(span.end))
    }
}

fn pretty(value: &impl Serialize) -> String {
    // Serialising these types cannot fail: no maps with odd keys, no floats.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}
