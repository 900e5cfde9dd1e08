//! Globs of paths, as regular expressions: `*` is anything, folders too, `**` any number of whole folders, and `?`,
//! `[a-z]`, `[!a]`, `{a,b}` and `\` are what they are in a shell. It must not know whose paths they are.
//!
//! The syntax is that of the crate `globset`, which the tests compare it with. That brings multi-pattern search along,
//! a twentieth of what browsers load, for the few globs of a `coalmine.yaml`.

use std::iter::Peekable;
use std::str::Chars;

use regex::Regex;

/// A glob that paths can be held against.
#[derive(Clone, Debug)]
pub(crate) struct Glob(Regex);

impl Glob {
    /// Reads a glob.
    ///
    /// # Errors
    /// When brackets or braces do not match, a range is empty, or it ends in a backslash.
    pub(crate) fn new(glob: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{glob}` is no glob: {why}");
        let mut reader =
            Reader { rest: glob.chars().peekable(), before: None, open: Vec::new(), out: Vec::new() };
        reader.read().map_err(wrong)?;
        let all = if reader.out == [PREFIX] { ANYTHING.to_owned() } else { reader.out.concat() };
        let regex = Regex::new(&format!(r"(?s)\A{all}\z"));
        regex.map(Self).map_err(|_| wrong("it is too long"))
    }

    pub(crate) fn is_match(&self, path: &str) -> bool {
        self.0.is_match(path)
    }
}

struct Reader<'g> {
    rest: Peekable<Chars<'g>>,
    /// The character before the one that is read.
    before: Option<char>,
    /// The braces that are open.
    open: Vec<Braces>,
    /// What is read so far of the innermost part, piece by piece.
    out: Vec<String>,
}

/// `*`
const ANYTHING: &str = ".*";
/// `**/` at the start of a part.
const PREFIX: &str = "(?:/?|.*/)";
/// `/**` at the end of a part.
const SUFFIX: &str = "/.*";
/// `/**/`
const BETWEEN: &str = "(?:/|/.*/)";

/// Alternatives: what stands before them, and those that are complete.
struct Braces {
    outside: Vec<String>,
    parts: Vec<String>,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<(), &'static str> {
        while let Some(c) = self.rest.next() {
            match c {
                '?' => self.out.push(".".to_owned()),
                '*' => {
                    self.before = self.star();
                    continue;
                }
                '[' => self.class()?,
                '{' => self.open.push(Braces { outside: std::mem::take(&mut self.out), parts: Vec::new() }),
                ',' if !self.open.is_empty() => self.next_part(),
                '}' => self.close()?,
                '\\' => {
                    let escaped = self.rest.next().ok_or("it ends in a backslash")?;
                    self.literal(escaped);
                    self.before = Some(escaped);
                    continue;
                }
                c => self.literal(c),
            }
            self.before = Some(c);
        }
        if self.open.is_empty() { Ok(()) } else { Err("a `{` is not closed") }
    }

    fn literal(&mut self, c: char) {
        self.out.push(regex::escape(c.encode_utf8(&mut [0; 4])));
    }

    /// Reads on behind a star; answers with the last character that belongs to it.
    fn star(&mut self) -> Option<char> {
        let is_two = self.rest.next_if_eq(&'*').is_some();
        let piece = if is_two { self.folders() } else { ANYTHING };
        self.out.push(piece.to_owned());
        let is_more = is_two && piece != ANYTHING;
        if is_more && self.rest.next_if_eq(&'/').is_some() { Some('/') } else { Some('*') }
    }

    /// What two stars are: folders where they are all of a segment, else as one star.
    fn folders(&mut self) -> &'static str {
        let next = self.rest.peek().copied();
        let is_inside = !self.open.is_empty();
        if self.out.is_empty() {
            if !matches!(next, None | Some('/')) {
                return ANYTHING;
            }
            return PREFIX;
        }
        let ends = next.is_none() || is_inside && matches!(next, Some(',' | '}'));
        let begins = self.before == Some('/') || is_inside && matches!(self.before, Some(',' | '{'));
        if !begins || !(ends || next == Some('/')) {
            return ANYTHING;
        }
        match self.out.pop().as_deref() {
            Some(PREFIX) => PREFIX,
            Some(SUFFIX) => SUFFIX,
            _ if ends => SUFFIX,
            _ => BETWEEN,
        }
    }

    fn class(&mut self) -> Result<(), &'static str> {
        const OPEN: &str = "a `[` is not closed";
        let is_negated = self.rest.next_if(|c| matches!(c, '!' | '^')).is_some();
        let mut class = String::from(if is_negated { "[^" } else { "[" });
        let mut is_first = true;
        loop {
            let from = self.rest.next().ok_or(OPEN)?;
            if from == ']' && !is_first {
                break;
            }
            is_first = false;
            let mut to = from;
            let mut ahead = self.rest.clone();
            if ahead.next() == Some('-') && ahead.peek().is_some_and(|c| *c != ']') {
                self.rest.next();
                to = self.rest.next().ok_or(OPEN)?;
            }
            if to < from {
                return Err("a range goes backwards");
            }
            let escaped = |c: char| format!("\\x{{{:x}}}", u32::from(c));
            class.push_str(&escaped(from));
            class.push('-');
            class.push_str(&escaped(to));
        }
        class.push(']');
        self.out.push(class);
        Ok(())
    }

    fn next_part(&mut self) {
        let part = std::mem::take(&mut self.out);
        if let Some(braces) = self.open.last_mut() {
            braces.parts.push(part.concat());
        }
    }

    fn close(&mut self) -> Result<(), &'static str> {
        self.next_part();
        let mut braces = self.open.pop().ok_or("a `}` closes nothing")?;
        braces.parts.retain(|part| !part.is_empty());
        self.out = braces.outside;
        let all = braces.parts.join("|");
        self.out.push(if all.is_empty() { all } else { format!("(?:{all})") });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Glob;

    #[test]
    fn folders_and_alternatives() {
        for (glob, path, expected) in [
            ("legacy/**", "legacy/a/b.yaml", true),
            ("legacy/**", "legacy", false),
            ("**/x.yaml", "x.yaml", true),
            ("a/**/x.yaml", "a/x.yaml", true),
            ("a/**/x.yaml", "a/b/c/x.yaml", true),
            ("a/*", "a/b/c", true),
            ("*.{yaml,yml}", "é.yml", true),
            ("?.yaml", "é.yaml", true),
            ("[!a-c].yaml", "b.yaml", false),
            (r"\*.yaml", "*.yaml", true),
            ("a.yaml", "aXyaml", false),
        ] {
            assert_eq!(Glob::new(glob).unwrap().is_match(path), expected, "{glob} {path}");
        }
        for glob in ["a[", "a{b", "a}", "[b-a]", "a\\"] {
            let error = Glob::new(glob).unwrap_err();
            assert!(error.starts_with(&format!("`{glob}` is no glob: ")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn it_is_the_syntax_of_globset(glob in r"([ab/.*?]|\*\*|\*\*/|/\*\*|/\*\*/|\[!?[ab-]{1,3}\]|[{},]|\\[a*]){0,7}", paths in prop::collection::vec("[ab/.-]{0,6}", 8)) {
            let theirs = globset::Glob::new(&glob);
            let ours = Glob::new(&glob);
            prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?}", ours, theirs);
            if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
                let theirs = theirs.compile_matcher();
                for path in paths {
                    prop_assert_eq!(ours.is_match(&path), theirs.is_match(&path), "{} {}", glob, path);
                }
            }
        }
    }
}
