//! Between the library's bytes and names and the protocol's positions and URIs. Knows no workspace.

use std::path::{Path, PathBuf};

use coalmine::line_index::{ColumnUnit, LineColumn, LineIndex};
use coalmine::{Edit as Splice, Severity};
pub(super) use gen_lsp_types::*;

/// The path behind a URI; for a text that is no file, its URI in place of one.
pub(super) fn path_of(uri: &Uri) -> PathBuf {
    uri.to_file_path().unwrap_or_else(|()| PathBuf::from(uri.as_str()))
}

/// The URI of a path from [`path_of`].
pub(super) fn uri_of(path: &Path) -> Option<Uri> {
    Uri::from_file_path(path).ok().or_else(|| Uri::parse(path.to_str()?).ok())
}

/// A text with its lines, to convert positions in it.
pub(super) struct Lines<'t> {
    text: &'t str,
    index: LineIndex,
    unit: ColumnUnit,
}

impl<'t> Lines<'t> {
    pub(super) fn new(text: &'t str, unit: ColumnUnit) -> Self {
        Self { text, index: LineIndex::new(text), unit }
    }

    pub(super) fn position(&self, offset: u32) -> Position {
        let LineColumn { line, column } = self.index.line_column(self.text, offset, self.unit);
        Position::new(line, column)
    }

    pub(super) fn range(&self, start: u32, end: u32) -> Range {
        Range::new(self.position(start), self.position(end))
    }

    /// The byte of a position. One past the last line is the end of the text.
    pub(super) fn offset(&self, position: Position) -> u32 {
        if position.line >= self.index.lines() {
            return u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        }
        let place = LineColumn { line: position.line, column: position.character };
        self.index.offset(self.text, place, self.unit)
    }

    pub(super) fn text_edit(&self, edit: &Splice) -> TextEdit {
        TextEdit { range: self.range(edit.span.start, edit.span.end), new_text: edit.text.clone() }
    }
}

pub(super) fn severity(severity: Severity) -> DiagnosticSeverity {
    match severity {
        Severity::Error => DiagnosticSeverity::Error,
        Severity::Warning => DiagnosticSeverity::Warning,
        Severity::Info => DiagnosticSeverity::Information,
    }
}

/// What an editor may show beside the severity: text that does nothing is faded, text that is out of date is
/// struck out.
pub(super) fn tags(rule: &str) -> Option<Vec<DiagnosticTag>> {
    match rule {
        "orphaned-subset" | "unreachable-route" | "shadowed-route" | "unused-suppression" => {
            Some(vec![DiagnosticTag::Unnecessary])
        }
        "deprecated-api" => Some(vec![DiagnosticTag::Deprecated]),
        _ => None,
    }
}

/// The text after the client's changes, each of which starts from the result of the one before.
pub(super) fn changed(
    mut text: String,
    changes: Vec<TextDocumentContentChangeEvent>,
    unit: ColumnUnit,
) -> String {
    for change in changes {
        match change {
            TextDocumentContentChangeEvent::TextDocumentContentChangePartial(change) => {
                let lines = Lines::new(&text, unit);
                let start = lines.offset(change.range.start) as usize;
                let end = (lines.offset(change.range.end) as usize).max(start);
                text.replace_range(start..end, &change.text);
            }
            TextDocumentContentChangeEvent::TextDocumentContentChangeWholeDocument(change) => {
                text = change.text;
            }
        }
    }
    text
}
