//! Findings as text for machines and logs. Every format has its own types, so that a change inside the
//! linter cannot change what others parse. The format for people is the binary's own.

pub mod concise;
pub mod github;
pub mod json;
pub mod route;

use crate::files::Files;
use crate::line_index::{ColumnUnit, LineIndex};
use crate::report::Linted;
use crate::span::{FileId, Span};

/// Line indexes of one set of files, each made when first needed.
struct Places<'f> {
    files: &'f Files,
    indexes: std::collections::HashMap<FileId, LineIndex>,
}

/// A place for people: 1-based, columns in Unicode scalar values, offsets in UTF-8 bytes.
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
        Self { files, indexes: std::collections::HashMap::new() }
    }

    fn range(&mut self, span: Span) -> (Position, Position) {
        let text = self.files.text(span.file);
        let index = self.indexes.entry(span.file).or_insert_with(|| LineIndex::new(text));
        let position = |offset| {
            let at = index.line_column(text, offset, ColumnUnit::Scalars);
            Position { line: at.line.saturating_add(1), column: at.column.saturating_add(1), offset }
        };
        (position(span.start), position(span.end))
    }
}
