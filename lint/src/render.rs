//! Findings as text for machines and logs. Every format has its own types, so that a change inside the
//! linter cannot change what others parse. The format for people is the binary's own.

pub mod concise;
pub mod decide;
pub mod expect;
pub mod github;
pub mod gitlab;
pub mod graph;
pub mod json;
pub mod junit;
pub mod route;
pub mod sarif;
mod xml;

use serde::Serialize;

use crate::files::Files;
use crate::line_index::{ColumnUnit, LineIndex};
use crate::report::Linted;
use crate::span::{FileId, Span};

/// What columns and offsets of a JSON form count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Units {
    /// Columns count Unicode scalar values, offsets bytes of UTF-8: version 1 of the JSON output.
    #[default]
    Scalars,
    /// Both count UTF-16 code units, as strings do in JavaScript.
    Utf16,
}

/// Line indexes of one set of files, each made when first needed.
struct Places<'f> {
    files: &'f Files,
    unit: ColumnUnit,
    offsets: Units,
    /// With the UTF-16 offsets of the lines, where those are wanted.
    indexes: std::collections::HashMap<FileId, (LineIndex, Vec<u32>)>,
}

/// A place for people: 1-based, columns in Unicode scalar values and offsets in UTF-8 bytes unless asked otherwise.
#[derive(Clone, Copy, Debug)]
struct Position {
    line: u32,
    column: u32,
    offset: u32,
}

impl<'f> Places<'f> {
    fn new(linted: &'f Linted) -> Self {
        Self::of(&linted.files, Units::Scalars)
    }

    fn of(files: &'f Files, units: Units) -> Self {
        let unit = match units {
            Units::Scalars => ColumnUnit::Scalars,
            Units::Utf16 => ColumnUnit::Utf16,
        };
        Self { files, unit, offsets: units, indexes: std::collections::HashMap::new() }
    }

    fn in_utf16(linted: &'f Linted) -> Self {
        Self { unit: ColumnUnit::Utf16, ..Self::new(linted) }
    }

    fn range(&mut self, span: Span) -> (Position, Position) {
        let (text, unit) = (self.files.text(span.file), self.unit);
        let wants_utf16 = self.offsets == Units::Utf16;
        let (index, utf16) = self.indexes.entry(span.file).or_insert_with(|| {
            let index = LineIndex::new(text);
            let utf16 = if wants_utf16 { index.utf16_starts(text) } else { Vec::new() };
            (index, utf16)
        });
        let position = |offset| {
            let at = index.line_column(text, offset, unit);
            let start = utf16.get(at.line as usize).filter(|_| wants_utf16);
            let offset = start.map_or(offset, |start| start.saturating_add(at.column));
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
