//! Splits a text into documents the way `kubectl` does: at every line that starts with `---`.
//! A broken document therefore cannot hide the others.

/// One document's text, as byte offsets in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Chunk {
    /// After the separator line.
    pub start: u32,
    /// Before the next separator line.
    pub end: u32,
    /// Text after `---` on the separator line, which `kubectl` drops; not blank and no comment.
    pub dropped: Option<(u32, u32)>,
}

/// Splits `text`, of at most `u32::MAX` bytes, after an optional byte order mark.
pub(super) fn split(text: &str) -> Vec<Chunk> {
    let offset = |i: usize| u32::try_from(i).unwrap_or(u32::MAX);
    let mut chunks = Vec::new();
    let mut start = if text.starts_with('\u{feff}') { 3 } else { 0 };
    let mut dropped = None;
    let mut line_start = start;
    for line in text.get(start..).unwrap_or("").split_inclusive('\n') {
        let next = line_start + line.len();
        if let Some(rest) = line.strip_prefix("---") {
            if line_start > start || !chunks.is_empty() {
                chunks.push(Chunk { start: offset(start), end: offset(line_start), dropped });
            }
            start = next;
            let content = rest.trim();
            dropped = (!content.is_empty() && !content.starts_with('#')).then(|| {
                let from = next - rest.trim_start().len();
                (offset(from), offset(from + content.len()))
            });
        }
        line_start = next;
    }
    chunks.push(Chunk { start: offset(start), end: offset(text.len()), dropped });
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        split(text).iter().map(|c| &text[c.start as usize..c.end as usize]).collect()
    }

    #[test]
    fn splits_at_separator_lines_only() {
        assert_eq!(texts("a: 1\n---\nb: |\n  ---\n--- # c\nc: 3"), ["a: 1\n", "b: |\n  ---\n", "c: 3"]);
    }

    #[test]
    fn a_leading_separator_opens_no_empty_document() {
        assert_eq!(texts("---\na: 1\n"), ["a: 1\n"]);
        assert_eq!(texts("\u{feff}---\r\na: 1\r\n---\r\n"), ["a: 1\r\n", ""]);
    }

    #[test]
    fn text_on_the_separator_line_is_remembered() {
        let chunk = split("a: 1\n--- {b: 2}\nc: 3\n")[1];
        assert_eq!(chunk.dropped, Some((9, 15)));
        assert_eq!(split("--- # only a comment\n")[0].dropped, None);
    }
}
