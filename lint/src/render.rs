//! Findings as text for machines and logs. Every format has its own types, so that a change inside the
//! linter cannot change what others parse. The format for people is the binary's own.

pub mod concise;
pub mod github;
pub mod json;
pub mod route;

use crate::files::Files;
use crate::line_index::{ColumnUnit, LineIndex};
use crate::span::{FileId, Span};

/// What columns and offsets count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Units {
    /// Columns count Unicode scalar values, offsets bytes of UTF-8: version 1 of the JSON output.
    #[default]
    Scalars,
    /// Both count UTF-16 code units, as strings do in JavaScript.
    Utf16,
}

/// Line indexes of one set of files, each made when first needed.
pub(crate) struct Places<'f> {
    files: &'f Files,
    units: Units,
    /// With the UTF-16 offsets of the lines, where those are wanted.
    indexes: std::collections::HashMap<FileId, (LineIndex, Vec<u32>)>,
}

/// A place for people: lines and columns are 1-based.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position {
    pub line: u32,
    pub column: u32,
    pub offset: u32,
}

impl<'f> Places<'f> {
    pub(crate) fn new(files: &'f Files) -> Self {
        Self::in_units(files, Units::Scalars)
    }

    pub(crate) fn in_units(files: &'f Files, units: Units) -> Self {
        Self { files, units, indexes: std::collections::HashMap::new() }
    }

    pub(crate) fn range(&mut self, span: Span) -> (Position, Position) {
        let text = self.files.text(span.file);
        let (index, utf16) = self.indexes.entry(span.file).or_insert_with(|| {
            let index = LineIndex::new(text);
            let utf16 = if self.units == Units::Utf16 { index.utf16_starts(text) } else { Vec::new() };
            (index, utf16)
        });
        let position = |offset| {
            let unit = match self.units {
                Units::Scalars => ColumnUnit::Scalars,
                Units::Utf16 => ColumnUnit::Utf16,
            };
            let at = index.line_column(text, offset, unit);
            let offset = match self.units {
                Units::Scalars => offset,
                Units::Utf16 => utf16.get(at.line as usize).copied().unwrap_or(0).saturating_add(at.column),
            };
            Position { line: at.line.saturating_add(1), column: at.column.saturating_add(1), offset }
        };
        (position(span.start), position(span.end))
    }
}
