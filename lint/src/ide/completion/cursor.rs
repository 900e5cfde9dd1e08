//! The cursor in a text that is being typed: which word it is in, how the text could go on so that it can be read,
//! and how an item is written there. Must not know what could stand at the place.

use super::Item;
use crate::span::{FileId, Span};
use crate::yaml::{NodeRef, Style, string_scalar};

/// Stands for the word under the cursor, so that the text can be read however it is broken there.
pub(super) const MARK: &str = "coalmine0";

/// What an item is to the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A key, which a colon follows.
    Key,
    /// Text, which is quoted where it would be read as something else.
    Text,
    /// A number or a boolean.
    Literal,
}

/// A place that something is typed at.
pub(super) struct Cursor<'t> {
    text: &'t str,
    start: usize,
    end: usize,
    is_json: bool,
    /// The quote and brackets that are open before the word.
    closing: String,
}

impl<'t> Cursor<'t> {
    /// `None` in a comment, and at an offset that the text does not have.
    pub(super) fn new(name: &str, text: &'t str, offset: u32) -> Option<Self> {
        let (before, after) = (text.get(..offset as usize)?, text.get(offset as usize..)?);
        if last_line(before).trim_start().starts_with('#') {
            return None;
        }
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '/' | '_' | '*');
        let kept = before.trim_end_matches(is_word);
        let end = before.len() + (after.len() - after.trim_start_matches(is_word).len());
        let is_json = name.ends_with(".json");
        let closing = closing(if is_json { kept } else { last_line(kept) });
        Some(Self { text, start: kept.len(), end, is_json, closing })
    }

    /// The word that an item replaces.
    pub(super) fn span(&self, file: FileId) -> Option<Span> {
        Some(Span::new(file, u32::try_from(self.start).ok()?, u32::try_from(self.end).ok()?))
    }

    fn before(&self) -> &'t str {
        self.text.get(..self.start).unwrap_or("")
    }

    fn after(&self) -> &'t str {
        self.text.get(self.end..).unwrap_or("")
    }

    /// Whether the word is alone on its line, or the first of a list's item.
    pub(super) fn is_own_line(&self) -> bool {
        last_line(self.before()).trim_matches([' ', '-']).is_empty()
    }

    /// Texts with the mark in the place of the word. A word on a line of its own is a value or the beginning of a
    /// key, and what is open may be closed behind the cursor or not yet: the first that can be read is right.
    pub(super) fn attempts(&self) -> impl Iterator<Item = String> {
        let marks = [MARK.to_owned(), format!("{MARK}: ")];
        let line = self.after().find('\n').unwrap_or(self.after().len());
        let next_line = self.after().get(line..).unwrap_or("");
        let mut ends = vec![(String::new(), self.after())];
        if !self.closing.is_empty() {
            ends.push((self.closing.clone(), self.after()));
            ends.push((self.closing.clone(), next_line));
        }
        ends.into_iter().flat_map(move |(closing, rest)| {
            let before = self.before();
            marks.clone().map(|mark| format!("{before}{mark}{closing}{rest}"))
        })
    }

    /// The items as they are written here; `node` is the scalar that has the mark.
    pub(super) fn write(&self, items: Vec<Item>, node: NodeRef<'_>) -> Vec<Item> {
        // `key:` is a key only with a space behind it.
        let after_colon = self.before().ends_with(':') && !self.is_json;
        let items = items.into_iter().filter(|item| !(after_colon && item.form == Form::Key));
        items.map(|item| Item { text: self.written(&item, node), ..item }).collect()
    }

    fn written(&self, item: &Item, node: NodeRef<'_>) -> String {
        let label = &item.label;
        let open = self.closing.chars().next().filter(|first| matches!(first, '"' | '\''));
        if matches!(node.style(), Some(Style::SingleQuoted | Style::DoubleQuoted)) || open.is_some() {
            // A quote that is open for the rest of the line ends with the word.
            let rest = self.after().split('\n').next().unwrap_or("");
            let closing = open.filter(|quote| !rest.contains(*quote));
            return closing.map_or_else(|| label.clone(), |quote| format!("{label}{quote}"));
        }
        if node.text() != Some(MARK) {
            return label.clone();
        }
        let text = match item.form {
            Form::Literal => label.clone(),
            _ if self.is_json => format!("\"{label}\""),
            _ => string_scalar(label),
        };
        let has_colon = self.after().trim_start_matches([' ', '"', '\'']).starts_with(':');
        match item.form {
            Form::Key if has_colon => text,
            // In `{…}` the colon alone would be part of a word.
            Form::Key if self.is_json || !self.is_own_line() => format!("{text}: "),
            Form::Key => format!("{text}:"),
            Form::Text | Form::Literal => text,
        }
    }
}

fn last_line(text: &str) -> &str {
    text.rsplit('\n').next().unwrap_or(text)
}

/// What closes the quote and the brackets that a text leaves open.
fn closing(text: &str) -> String {
    let mut brackets = Vec::new();
    let mut quote = None;
    let mut before = None;
    let mut chars = text.chars().peekable();
    let mut after_space = true;
    while let Some(c) = chars.next() {
        match quote {
            Some('"') if c == '\\' => {
                chars.next();
            }
            Some('\'') if c == '\'' && chars.peek() == Some(&'\'') => {
                chars.next();
            }
            Some(open) if open == c => quote = None,
            Some(_) => {}
            None => {
                let starts = before.is_none_or(|before| "[{,:-".contains(before));
                match c {
                    '"' | '\'' if starts => quote = Some(c),
                    '[' if starts || !brackets.is_empty() => brackets.push(']'),
                    '{' if starts || !brackets.is_empty() => brackets.push('}'),
                    ']' | '}' if brackets.last() == Some(&c) => {
                        brackets.pop();
                    }
                    '#' if after_space => return String::new(),
                    _ => {}
                }
            }
        }
        after_space = c.is_whitespace();
        if !after_space {
            before = Some(c);
        }
    }
    quote.into_iter().chain(brackets.into_iter().rev()).collect()
}

#[cfg(test)]
mod tests {
    use super::closing;

    #[test]
    fn what_is_open_is_closed_in_its_order() {
        for (text, expected) in [
            ("  subset: \"v", "\""),
            ("  - destination: {host: ", "}"),
            ("  route: [{destination: {host: 'a''b", "'}}]"),
            ("  gateways: [", "]"),
            ("  a: don't [", ""),
            ("  a: [b, \"c]\", ", "]"),
            ("  a: b # [", ""),
            ("  labels: {a: b} ", ""),
        ] {
            assert_eq!(closing(text), expected, "{text}");
        }
    }
}
