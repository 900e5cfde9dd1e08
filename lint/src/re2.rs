//! Regular expressions as Istio and Envoy read them: the dialect of Go's `regexp/syntax` and RE2, checked
//! here and translated for the `regex` crate, which differs in classes, escapes and limits. Knows nothing
//! of YAML or Istio's objects.
//!
//! The parser follows `regexp/syntax/parse.go` with its Perl flags. What it accepts is what both Go and RE2
//! accept: Istio's validation compiles with Go, Envoy runs RE2 over the whole value. One grammar in one
//! file, though it is long: every method reads from where the last one stopped.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Bytes that Istio accepts in one regex (`validateStringRegexp`).
pub const MAX_LEN: usize = 1024;

/// How often an expression may be repeated by counts, nested ones multiplied.
const MAX_REPEAT: u32 = 1000;

/// Every code point, and none.
const ANY: &str = r"\x{0}-\x{10FFFF}";
const NONE: &str = r"[^\x{0}-\x{10FFFF}]";

/// A regex that Istio and Envoy accept.
#[derive(Debug)]
pub struct Regex {
    translated: String,
    runs: Vec<Run>,
    shape: Option<Shape>,
    program: OnceLock<Option<regex::bytes::Regex>>,
}

/// Why a regex is refused, and where: byte offset and length in the regex.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    /// First byte of the offending part.
    pub offset: usize,
    /// Its length; 0 when something is missing at the end.
    pub len: usize,
    /// One clause without a full stop.
    pub message: String,
}

/// Characters that follow one another in every text they take part in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Run {
    /// The characters.
    pub text: String,
    /// A class of characters that leaves `;` out stands directly before.
    pub class_before: bool,
    /// And directly after.
    pub class_after: bool,
}

/// What a regex says in simpler words, for texts of one line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shape {
    /// This text.
    Literal(String),
    /// Every text that begins so.
    Prefix(String),
}

impl Regex {
    /// Checks a regex.
    ///
    /// # Errors
    /// When Istio, Go or RE2 refuses it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error { offset: 0, len: 0, message: "Istio refuses an empty regex".to_owned() });
        }
        if text.len() > MAX_LEN {
            let message = format!("it has {} bytes and Istio accepts at most {MAX_LEN}", text.len());
            return Err(Error { offset: 0, len: text.len(), message });
        }
        let mut parser = Parser::new(text);
        parser.parse()?;
        let shape = parser.shape();
        parser.end_run(false);
        Ok(Self { translated: parser.out, runs: parser.runs, shape, program: OnceLock::new() })
    }

    /// [`Regex::parse`], for those that are asked for again after every keystroke in an editor, and that many
    /// objects have in common: the last few are kept, because it is the first match that costs.
    ///
    /// # Errors
    /// As [`Regex::parse`].
    pub fn shared(text: &str) -> Result<Arc<Self>, Error> {
        const KEPT: usize = 32;
        static KNOWN: Mutex<Vec<(String, Arc<Regex>)>> = Mutex::new(Vec::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, regex)) = known.iter().find(|(own, _)| own == text) {
            return Ok(Arc::clone(regex));
        }
        let regex = Arc::new(Self::parse(text)?);
        if known.len() == KEPT {
            known.remove(0);
        }
        known.push((text.to_owned(), Arc::clone(&regex)));
        Ok(regex)
    }

    /// Whether Envoy finds that the whole text matches.
    #[must_use]
    pub fn is_full_match(&self, text: &str) -> bool {
        let program = self.program.get_or_init(|| {
            regex::bytes::RegexBuilder::new(&format!(r"\A(?:{})\z", self.translated))
                .nest_limit(400)
                .size_limit(4 << 20)
                .build()
                .ok()
        });
        program.as_ref().is_some_and(|program| program.is_match(text.as_bytes()))
    }

    /// The text with every match replaced, `\\1` standing for what the first group matched: RE2's
    /// `GlobalReplace`.
    #[must_use]
    pub fn replace_all(&self, text: &str, rewrite: &str) -> String {
        let program = regex::RegexBuilder::new(&self.translated).nest_limit(400).size_limit(4 << 20).build();
        let Ok(program) = program else { return text.to_owned() };
        let substitute = |captures: &regex::Captures<'_>| {
            let mut out = String::new();
            let mut rest = rewrite.chars();
            while let Some(c) = rest.next() {
                match (c, if c == '\\' { rest.next() } else { None }) {
                    ('\\', Some(digit)) if digit.is_ascii_digit() => {
                        let group = digit.to_digit(10).unwrap_or(0) as usize;
                        out.push_str(captures.get(group).map_or("", |found| found.as_str()));
                    }
                    ('\\', Some(other)) => out.push(other),
                    _ => out.push(c),
                }
            }
            out
        };
        program.replace_all(text, substitute).into_owned()
    }

    /// The literal characters, in order.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The regex in simpler words, if there are any.
    #[must_use]
    pub fn shape(&self) -> Option<&Shape> {
        self.shape.as_ref()
    }
}

/// What stands at the top level, as far as [`Shape`] needs it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    Char(char),
    Begin,
    End,
    Dot,
    DotStar,
    Other,
}

struct Group {
    /// Where the group's text begins, in the regex.
    offset: usize,
    /// Where the translated group begins.
    out: usize,
    /// Largest nested repeat count inside what encloses it.
    weight: u32,
}

/// The last thing that a repetition could apply to.
#[derive(Clone, Copy)]
struct Atom {
    out: usize,
    weight: u32,
    is_char: bool,
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    out: String,
    groups: Vec<Group>,
    /// Largest nested repeat count in the current group.
    weight: u32,
    atom: Option<Atom>,
    names: Vec<&'t str>,
    runs: Vec<Run>,
    run: Run,
    pieces: Vec<Piece>,
    /// Flags or alternatives make the pieces mean something else.
    has_shape: bool,
}

impl<'t> Parser<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            text,
            at: 0,
            out: String::with_capacity(text.len() * 2),
            groups: Vec::new(),
            weight: 1,
            atom: None,
            names: Vec::new(),
            runs: Vec::new(),
            run: Run::default(),
            pieces: Vec::new(),
            has_shape: true,
        }
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, prefix: &str) -> bool {
        let found = self.rest().starts_with(prefix);
        if found {
            self.at += prefix.len();
        }
        found
    }

    fn fail<T>(&self, offset: usize, message: impl Into<String>) -> Result<T, Error> {
        Err(Error { offset, len: self.at.saturating_sub(offset), message: message.into() })
    }

    fn parse(&mut self) -> Result<(), Error> {
        // The text of the repetition just read, for `a**`.
        let mut last_repeat = None;
        while let Some(c) = self.rest().chars().next() {
            let start = self.at;
            let mut repeat = None;
            match c {
                '(' => self.open()?,
                ')' => {
                    self.at += 1;
                    self.close(start)?;
                }
                '|' => {
                    self.at += 1;
                    self.end_run(false);
                    self.out.push('|');
                    self.atom = None;
                    self.has_shape &= !self.groups.is_empty();
                }
                '[' => {
                    let out = self.out.len();
                    let takes_separator = self.class()?;
                    self.class_atom(out, takes_separator);
                }
                '.' => {
                    self.at += 1;
                    self.simple(".", Piece::Dot);
                }
                '^' => {
                    self.at += 1;
                    self.simple("^", Piece::Begin);
                }
                '$' => {
                    self.at += 1;
                    self.simple("$", Piece::End);
                }
                '*' | '+' | '?' => {
                    self.at += 1;
                    self.repeat(start, last_repeat, c.to_string(), None)?;
                    repeat = Some(start);
                }
                '{' => match self.counts() {
                    Some((min, max)) => {
                        let valid = min <= MAX_REPEAT
                            && max.flatten().is_none_or(|max| max <= MAX_REPEAT && min <= max);
                        let op = self.text.get(start..self.at).unwrap_or("").to_owned();
                        if !valid {
                            let message =
                                format!("the repeat count `{op}` is beyond RE2's {MAX_REPEAT} or backwards");
                            return self.fail(start, message);
                        }
                        let most = match max {
                            None => min,
                            Some(None) => min,
                            Some(Some(max)) => max,
                        };
                        self.repeat(start, last_repeat, op, Some((min, max, most)))?;
                        repeat = Some(start);
                    }
                    None => {
                        self.at += 1;
                        self.literal('{' as u32);
                    }
                },
                '\\' => self.backslash()?,
                _ => {
                    self.at += c.len_utf8();
                    self.literal(c as u32);
                }
            }
            last_repeat = repeat;
        }
        match self.groups.last() {
            Some(group) => {
                let offset = group.offset;
                Err(Error { offset, len: 1, message: "the group has no closing `)`".to_owned() })
            }
            None => Ok(()),
        }
    }

    /// One character that stands for itself.
    fn literal(&mut self, code: u32) {
        let out = self.out.len();
        match char::from_u32(code) {
            Some(c) => {
                self.run.text.push(c);
                self.piece(Piece::Char(c));
                push_code(&mut self.out, code);
                self.atom = Some(Atom { out, weight: 1, is_char: true });
            }
            // A surrogate, which no text has.
            None => {
                self.out.push_str(NONE);
                self.class_atom(out, false);
            }
        }
    }

    fn piece(&mut self, piece: Piece) {
        if self.groups.is_empty() {
            self.pieces.push(piece);
        }
    }

    fn simple(&mut self, translated: &str, piece: Piece) {
        self.end_run(false);
        self.piece(piece);
        self.atom = Some(Atom { out: self.out.len(), weight: 1, is_char: false });
        self.out.push_str(translated);
    }

    /// The class that was written to the output from `out` on is an atom.
    fn class_atom(&mut self, out: usize, takes_separator: bool) {
        self.end_run(!takes_separator);
        self.run.class_before = !takes_separator;
        self.piece(Piece::Other);
        self.atom = Some(Atom { out, weight: 1, is_char: false });
    }

    fn end_run(&mut self, class_after: bool) {
        let run = std::mem::take(&mut self.run);
        if !run.text.is_empty() {
            self.runs.push(Run { class_after, ..run });
        }
    }

    fn repeat(
        &mut self,
        start: usize,
        last_repeat: Option<usize>,
        mut op: String,
        counts: Option<(u32, Option<Option<u32>>, u32)>,
    ) -> Result<(), Error> {
        if self.eat("?") {
            op.push('?');
        }
        if let Some(last) = last_repeat {
            let stacked = self.text.get(last..self.at).unwrap_or("").to_owned();
            let hint = if stacked.ends_with('+') { "; RE2 has no possessive repetition" } else { "" };
            return self.fail(last, format!("`{stacked}` repeats a repetition{hint}"));
        }
        let Some(atom) = self.atom else {
            return self.fail(start, format!("there is nothing before `{op}` to repeat"));
        };
        let mut weight = atom.weight;
        if let Some((_, max, most)) = counts {
            weight =
                if max == Some(Some(0)) || (max.is_none() && most == 0) { 1 } else { weight * most.max(1) };
            if weight > MAX_REPEAT {
                return self
                    .fail(start, format!("nested repeat counts multiply to more than RE2's {MAX_REPEAT}"));
            }
        }
        if atom.is_char {
            let repeated = self.run.text.pop();
            self.end_run(false);
            // A repeated character is a class of one.
            self.run.class_before = repeated.is_some_and(|c| c != ';' && c != ' ');
        }
        if self.groups.is_empty()
            && let Some(last) = self.pieces.last_mut()
        {
            let star = *last == Piece::Dot && (op == "*" || op == "*?");
            *last = if star { Piece::DotStar } else { Piece::Other };
        }
        self.out.insert_str(atom.out, "(?:");
        self.out.push(')');
        self.out.push_str(&op);
        self.weight = self.weight.max(weight);
        self.atom = Some(Atom { weight, is_char: false, ..atom });
        Ok(())
    }

    /// `{n}`, `{n,}` and `{n,m}`: the minimum, and the maximum if there is a comma. Anything else is text.
    fn counts(&mut self) -> Option<(u32, Option<Option<u32>>)> {
        let body = self.rest().strip_prefix('{')?;
        let (inside, _) = body.split_once('}')?;
        let number = |digits: &str| -> Option<u32> {
            let plain = !digits.is_empty()
                && digits.bytes().all(|b| b.is_ascii_digit())
                && (digits.len() == 1 || !digits.starts_with('0'));
            plain.then(|| digits.parse().unwrap_or(u32::MAX))
        };
        let counts = match inside.split_once(',') {
            None => (number(inside)?, None),
            Some((min, "")) => (number(min)?, Some(None)),
            Some((min, max)) => (number(min)?, Some(Some(number(max)?))),
        };
        self.at += inside.len() + 2;
        Some(counts)
    }

    fn open(&mut self) -> Result<(), Error> {
        let start = self.at;
        self.end_run(false);
        if !self.eat("(?") {
            self.at += 1;
            self.push_group(start, "(");
            return Ok(());
        }
        for (look, name) in
            [("=", "look-ahead"), ("!", "look-ahead"), ("<=", "look-behind"), ("<!", "look-behind")]
        {
            if self.eat(look) {
                return self.fail(start, format!("RE2 has no {name} (`(?{look}`)"));
            }
        }
        if self.eat("P<") || self.eat("<") {
            let Some((name, _)) = self.rest().split_once('>') else {
                return self.fail(start, "the group's name has no closing `>`");
            };
            self.at += name.len() + 1;
            if name.is_empty() || !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
                return self.fail(start, format!("`{name}` is no name for a group"));
            }
            if self.names.contains(&name) {
                return self.fail(start, format!("two groups have the name `{name}`"));
            }
            self.names.push(name);
            self.push_group(start, "(");
            return Ok(());
        }
        self.flags(start)
    }

    fn push_group(&mut self, offset: usize, translated: &str) {
        self.piece(Piece::Other);
        self.groups.push(Group { offset, out: self.out.len(), weight: self.weight });
        self.weight = 1;
        self.out.push_str(translated);
        self.atom = None;
    }

    /// `(?flags)` and `(?flags:re)`, after the `(?`.
    fn flags(&mut self, start: usize) -> Result<(), Error> {
        let mut on = Vec::new();
        let mut off = Vec::new();
        let mut negated = false;
        let mut seen = false;
        loop {
            match self.next() {
                Some(flag @ ('i' | 'm' | 's' | 'U')) => {
                    seen = true;
                    on.retain(|other| *other != flag);
                    off.retain(|other| *other != flag);
                    if negated { off.push(flag) } else { on.push(flag) }
                }
                Some('-') if !negated => {
                    negated = true;
                    seen = false;
                }
                Some(end @ (':' | ')')) if seen || !negated => {
                    let mut translated: String = "(?".to_owned();
                    translated.extend(&on);
                    if !off.is_empty() {
                        translated.push('-');
                        translated.extend(&off);
                    }
                    self.has_shape &= on.is_empty() && off.is_empty();
                    if end == ':' {
                        translated.push(':');
                        self.push_group(start, &translated);
                    } else {
                        // What stood before can still be repeated: `a(?i)*` is `(?:a)*` for Go.
                        if !on.is_empty() || !off.is_empty() {
                            translated.push(')');
                            self.out.push_str(&translated);
                        }
                    }
                    return Ok(());
                }
                None => return self.fail(start, "the group has no closing `)`"),
                Some(_) => {
                    let op = self.text.get(start..self.at).unwrap_or("").to_owned();
                    return self.fail(start, format!("RE2 has no group that begins with `{op}`"));
                }
            }
        }
    }

    fn close(&mut self, start: usize) -> Result<(), Error> {
        self.end_run(false);
        let Some(group) = self.groups.pop() else {
            return self.fail(start, "this `)` closes no group");
        };
        self.out.push(')');
        self.atom = Some(Atom { out: group.out, weight: self.weight, is_char: false });
        self.weight = self.weight.max(group.weight);
        Ok(())
    }

    fn backslash(&mut self) -> Result<(), Error> {
        let start = self.at;
        let out = self.out.len();
        let translated = match self.rest().chars().nth(1) {
            Some('A') => Some((r"\A", Piece::Begin)),
            Some('z') => Some((r"\z", Piece::End)),
            Some('b') => Some((r"(?-u:\b)", Piece::Other)),
            Some('B') => Some((r"(?-u:\B)", Piece::Other)),
            _ => None,
        };
        if let Some((translated, piece)) = translated {
            self.at += 2;
            self.simple(translated, piece);
            return Ok(());
        }
        if self.eat(r"\Q") {
            let quoted = self.rest();
            let (quoted, closed) = match quoted.split_once(r"\E") {
                Some((inside, _)) => (inside, 2),
                None => (quoted, 0),
            };
            quoted.chars().for_each(|c| self.literal(c as u32));
            self.at += quoted.len() + closed;
            return Ok(());
        }
        if let Some(takes_separator) = self.set_escape(false)? {
            self.class_atom(out, takes_separator);
            return Ok(());
        }
        let code = self.escape(start)?;
        self.literal(code);
        Ok(())
    }

    /// `\d`, `\pL` and their like, in or out of a class. Whether `;` is among it, if there was one.
    fn set_escape(&mut self, in_class: bool) -> Result<Option<bool>, Error> {
        let start = self.at;
        let Some(kind) = self.rest().strip_prefix('\\').and_then(|rest| rest.chars().next()) else {
            return Ok(None);
        };
        let ascii = match kind.to_ascii_lowercase() {
            'd' => "0-9",
            's' => r"\t\n\x0C\r\x20",
            'w' => "0-9A-Za-z_",
            'p' => {
                self.at += 2;
                let (set, takes_separator) = self.unicode_set(start, kind == 'P')?;
                self.out.push_str(&set);
                return Ok(Some(takes_separator));
            }
            _ => return Ok(None),
        };
        self.at += 2;
        let negated = kind.is_ascii_uppercase();
        match (negated, in_class) {
            (true, _) => self.out.push_str(&format!("[^{ascii}]")),
            (false, true) => self.out.push_str(ascii),
            (false, false) => self.out.push_str(&format!("[{ascii}]")),
        }
        Ok(Some(negated))
    }

    /// The name after `\p` or `\P`.
    fn unicode_set(&mut self, start: usize, negated: bool) -> Result<(String, bool), Error> {
        let name = if self.eat("{") {
            let Some((name, _)) = self.rest().split_once('}') else {
                self.at = self.text.len();
                return self.fail(start, "the character group has no closing `}`");
            };
            self.at += name.len() + 1;
            name
        } else {
            let from = self.at;
            self.next();
            self.text.get(from..self.at).unwrap_or("")
        };
        let (name, negated) = match name.strip_prefix('^') {
            Some(name) => (name, !negated),
            None => (name, negated),
        };
        let not = if negated { "^" } else { "" };
        match name {
            "Any" => return Ok((if negated { NONE.to_owned() } else { format!("[{ANY}]") }, !negated)),
            "Cs" => return Ok((if negated { format!("[{ANY}]") } else { NONE.to_owned() }, negated)),
            _ => {}
        }
        let property = if CATEGORIES.contains(&name) {
            format!(r"\p{{gc={name}}}")
        } else if is_script(name) {
            format!(r"\p{{sc={name}}}")
        } else {
            let written = self.text.get(start..self.at).unwrap_or("").to_owned();
            return self.fail(start, format!("RE2 knows no character group `{written}`"));
        };
        let takes_separator = matches!(name, "P" | "Po" | "Common") != negated;
        Ok((format!("[{not}{property}]"), takes_separator))
    }

    /// A backslash that stands for one character.
    fn escape(&mut self, start: usize) -> Result<u32, Error> {
        self.at += 1;
        let octal = |c: Option<char>| c.and_then(|c| c.to_digit(8));
        let Some(c) = self.next() else {
            return self.fail(start, "the regex ends in a lone backslash");
        };
        match c {
            'a' => return Ok(7),
            'f' => return Ok(0x0C),
            'n' => return Ok(0x0A),
            'r' => return Ok(0x0D),
            't' => return Ok(9),
            'v' => return Ok(0x0B),
            '1'..='9' if c > '7' || octal(self.rest().chars().next()).is_none() => {
                return self.fail(start, format!("RE2 has no backreference (`\\{c}`)"));
            }
            '0'..='7' => {
                let mut code = octal(Some(c)).unwrap_or(0);
                for _ in 0..2 {
                    let Some(digit) = octal(self.rest().chars().next()) else { break };
                    self.at += 1;
                    code = code * 8 + digit;
                }
                return Ok(code);
            }
            'x' => {
                if let Some(code) = self.hex() {
                    return Ok(code);
                }
            }
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => return Ok(c as u32),
            _ => {}
        }
        let written = self.text.get(start..self.at).unwrap_or("").to_owned();
        let hint = match c {
            'Z' => "; the end of the text is `\\z`",
            'b' => " in a character class; a backspace is `\\x08`",
            _ => "",
        };
        self.fail(start, format!("RE2 knows no escape `{written}`{hint}"))
    }

    /// `FF` or `{10FFFF}` after `\x`.
    fn hex(&mut self) -> Option<u32> {
        let digits = if self.eat("{") {
            let (digits, _) = self.rest().split_once('}')?;
            self.at += digits.len() + 1;
            digits
        } else {
            let digits = self.rest().get(..2)?;
            self.at += 2;
            digits
        };
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let code = u32::from_str_radix(digits.trim_start_matches('0').get(..).unwrap_or(""), 16);
        match (plain, digits.bytes().all(|b| b == b'0')) {
            (true, true) => Some(0),
            (true, false) => code.ok().filter(|code| *code <= 0x0010_FFFF),
            _ => None,
        }
    }

    /// A class in brackets. Whether `;` is among it.
    fn class(&mut self) -> Result<bool, Error> {
        let start = self.at;
        self.at += 1;
        self.out.push('[');
        let negated = self.eat("^");
        if negated {
            self.out.push('^');
        }
        let mut takes_separator = false;
        // So that a class of nothing but surrogates is still a class.
        self.out.push_str(NONE);
        let mut first = true;
        while first || !self.rest().starts_with(']') {
            first = false;
            if let Some(inside) = self.rest().strip_prefix("[:")
                && let Some((name, _)) = inside.split_once(":]")
            {
                let from = self.at;
                self.at += name.len() + 4;
                let (name, not) = match name.strip_prefix('^') {
                    Some(name) => (name, "^"),
                    None => (name, ""),
                };
                if !POSIX.contains(&name) {
                    return self.fail(from, format!("RE2 knows no character class `[:{not}{name}:]`"));
                }
                self.out.push_str(&format!("[:{not}{name}:]"));
                takes_separator |= matches!(name, "ascii" | "graph" | "print" | "punct") == not.is_empty();
                continue;
            }
            if let Some(takes) = self.set_escape(true)? {
                takes_separator |= takes;
                continue;
            }
            let from = self.at;
            let low = self.class_char(start)?;
            let mut high = low;
            let rest = self.rest();
            if rest.starts_with('-') && rest.len() > 1 && !rest.starts_with("-]") {
                self.at += 1;
                high = self.class_char(start)?;
                if high < low {
                    let range = self.text.get(from..self.at).unwrap_or("").to_owned();
                    return self.fail(from, format!("the range `{range}` is backwards"));
                }
            }
            push_range(&mut self.out, low, high);
            takes_separator |= (low..=high).contains(&(';' as u32));
        }
        self.at += 1;
        self.out.push(']');
        Ok(takes_separator != negated)
    }

    fn class_char(&mut self, class: usize) -> Result<u32, Error> {
        match self.rest().chars().next() {
            None => Err(Error {
                offset: class,
                len: 1,
                message: "the character class has no closing `]`".to_owned(),
            }),
            Some('\\') => self.escape(self.at),
            Some(c) => {
                self.at += c.len_utf8();
                Ok(c as u32)
            }
        }
    }

    fn shape(&self) -> Option<Shape> {
        let mut pieces = self.pieces.as_slice();
        while let [Piece::Begin, rest @ ..] = pieces {
            pieces = rest;
        }
        while let [rest @ .., Piece::End] = pieces {
            pieces = rest;
        }
        let (literal, open) = match pieces {
            [rest @ .., Piece::DotStar] => (rest, true),
            rest => (rest, false),
        };
        let chars: Option<String> = literal
            .iter()
            .map(|piece| match piece {
                Piece::Char(c) => Some(*c),
                _ => None,
            })
            .collect();
        let text = chars.filter(|_| self.has_shape)?;
        Some(if open { Shape::Prefix(text) } else { Shape::Literal(text) })
    }
}

fn push_code(out: &mut String, code: u32) {
    match char::from_u32(code) {
        Some(c) if c.is_ascii_alphanumeric() => out.push(c),
        _ => out.push_str(&format!(r"\x{{{code:X}}}")),
    }
}

/// A range of a class without the surrogates, which the `regex` crate cannot name.
fn push_range(out: &mut String, low: u32, high: u32) {
    for (low, high) in [(low, high.min(0xD7FF)), (low.max(0xE000), high)] {
        if low <= high {
            out.push_str(&format!(r"\x{{{low:X}}}-\x{{{high:X}}}"));
        }
    }
}

const POSIX: &[&str] = &[
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// Unicode's general categories, under the names that Go and RE2 share.
const CATEGORIES: &[&str] = &[
    "C", "Cc", "Cf", "Co", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl", "No",
    "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs",
];

/// Whether a name is a script's: written as Unicode writes it, and no four-letter abbreviation.
fn is_script(name: &str) -> bool {
    const FOUR_LETTERS: &[&str] = &["Ahom", "Cham", "Kawi", "Lisu", "Miao", "Modi", "Newa", "Thai", "Toto"];
    let word = |word: &str| {
        let mut chars = word.chars();
        chars.next().is_some_and(|c| c.is_ascii_uppercase()) && chars.all(|c| c.is_ascii_lowercase())
    };
    let canonical = name.split('_').all(word) || matches!(name, "SignWriting" | "Phags_Pa");
    canonical
        && (name.len() != 4 || FOUR_LETTERS.contains(&name))
        && regex::bytes::Regex::new(&format!(r"\p{{sc={name}}}")).is_ok()
}

#[cfg(test)]
mod tests;
