//! Edits of YAML text that keep everything around them as it is.

use super::Document;
use crate::diagnostic::Edit;
use crate::span::Span;

/// Deletes a document with the `---` line that separates it from the one before, or after if it is the
/// first. `None` when it is the only one: an empty file is nothing to leave behind.
#[must_use]
pub fn delete_document(document: &Document) -> Option<Edit> {
    let text = document.source();
    let span = document.span();
    let (start, end) = (span.range().start, span.range().end);
    let offset = |at: usize| u32::try_from(at).ok();
    let before = text.get(..start)?;
    let separator = before.trim_end_matches(['\r', '\n']).rfind('\n').map_or(0, |newline| newline + 1);
    let separator = if before.starts_with('\u{feff}') { separator.max(3) } else { separator };
    let follows_separator = before.get(separator..)?.starts_with("---");
    let (start, end) = if follows_separator {
        (separator, end)
    } else {
        let rest = text.get(end..)?;
        (start, end + rest.find('\n').map_or(rest.len(), |newline| newline + 1))
    };
    let kept = [text.get(..start)?, text.get(end..)?];
    let is_content =
        |line: &str| !line.is_empty() && !line.starts_with(['#', '\u{feff}']) && !line.starts_with("---");
    let leaves_content = kept.iter().flat_map(|part| part.lines()).any(|line| is_content(line.trim()));
    leaves_content
        .then_some(Edit { span: Span::new(span.file, offset(start)?, offset(end)?), text: String::new() })
}

#[cfg(test)]
mod tests {
    use crate::Files;
    use crate::fix::splice;
    use crate::yaml::{Limits, parse};

    fn without(text: &str, index: usize) -> Option<String> {
        let mut files = Files::new();
        let id = files.add("a.yaml", text);
        let (documents, _) = parse(id, files.get(id).unwrap(), Limits::default());
        let edit = super::delete_document(&documents[index])?;
        Some(splice(&files, &[&edit]).unwrap().text(id).to_owned())
    }

    #[test]
    fn a_document_goes_with_the_separator_before_it() {
        assert_eq!(without("a: 1\n--- # x\nb: 2\n# b\n---\nc: 3\n", 1).unwrap(), "a: 1\n---\nc: 3\n");
        assert_eq!(without("a: 1\n---\nb: 2\n", 1).unwrap(), "a: 1\n");
        assert_eq!(without("a: 1\r\n---\r\nb: 2", 1).unwrap(), "a: 1\r\n");
    }

    #[test]
    fn the_first_goes_with_its_own_separator_or_the_next() {
        assert_eq!(without("a: 1\n---\nb: 2\n", 0).unwrap(), "b: 2\n");
        assert_eq!(without("---\na: 1\n---\nb: 2\n", 0).unwrap(), "---\nb: 2\n");
        assert_eq!(without("\u{feff}a: 1\n---\nb: 2\n", 0).unwrap(), "\u{feff}b: 2\n");
    }

    #[test]
    fn the_only_document_stays() {
        assert_eq!(without("a: 1\n", 0), None);
        assert_eq!(without("---\na: 1\n---\n# nothing\n", 0), None);
    }
}
