//! What a match on the `cookie` header looks for, found by asking it about crafted headers. Knows regexes
//! and cookies, nothing of where they are written.

use std::sync::Arc;

use crate::re2::{Regex, Run};
use crate::resource::field::Map;
use crate::resource::networking::{StringMatch, VirtualService};
use crate::span::Spanned;

/// How the header is tested.
#[derive(Debug)]
enum Matcher {
    Exact(String),
    Prefix(String),
    Regex(Arc<Regex>),
}

impl Matcher {
    fn accepts(&self, header: &str) -> bool {
        match self {
            Self::Exact(own) => own == header,
            Self::Prefix(own) => header.starts_with(own),
            Self::Regex(own) => own.is_full_match(header),
        }
    }
}

/// One match on the `cookie` header that looks for one cookie.
#[derive(Debug)]
pub(crate) struct CookieTest<'a> {
    /// The text of the test.
    pub written: &'a Spanned<String>,
    /// `exact`, `prefix` or `regex`.
    pub field: &'static str,
    /// The cookie it looks for: `flag=on`.
    pub pair: String,
    /// It looks for nothing but this pair, so [`CookieTest::repaired`] says the same.
    pub is_only: bool,
    matcher: Matcher,
    name_is_open: bool,
    value_is_open: bool,
}

/// Every match on the `cookie` header of which the cookie is understood.
pub(crate) fn cookie_tests(spec: &VirtualService) -> Vec<CookieTest<'_>> {
    let blocks = spec.http.iter().flat_map(|rule| &rule.r#match);
    let tests = |map: &'_ Map<StringMatch>| -> Vec<usize> {
        let is_cookie = |(_, (name, _)): &(usize, &(Spanned<String>, _))| name.eq_ignore_ascii_case("cookie");
        map.iter().enumerate().filter(is_cookie).map(|(index, _)| index).collect()
    };
    let mut found = Vec::new();
    for block in blocks {
        for map in [&block.headers, &block.without_headers] {
            for index in tests(map) {
                found.extend(map.get(index).and_then(|(_, test)| CookieTest::new(test)));
            }
        }
    }
    found
}

impl<'a> CookieTest<'a> {
    /// The test, if the cookie it looks for is understood.
    pub(crate) fn new(test: &'a StringMatch) -> Option<Self> {
        let (written, field, matcher) = if let Some(text) = test.regex.as_ref() {
            (text, "regex", Matcher::Regex(Regex::shared(text).ok()?))
        } else if let Some(text) = test.exact.as_ref() {
            (text, "exact", Matcher::Exact(text.value.clone()))
        } else {
            let text = test.prefix.as_ref()?;
            (text, "prefix", Matcher::Prefix(text.value.clone()))
        };
        let whole = [Run { text: written.value.clone(), ..Run::default() }];
        let runs = match &matcher {
            Matcher::Regex(regex) => regex.runs(),
            Matcher::Exact(_) | Matcher::Prefix(_) => &whole,
        };
        let words = runs.iter().filter(|run| run.text.bytes().any(|b| b.is_ascii_alphanumeric())).count();
        for run in runs {
            // An exact text with a `;` names several cookies: somebody means the whole header.
            let several = field != "regex" && run.text.contains(';');
            for (index, segment) in run.text.split(';').enumerate().filter(|_| !several) {
                let segment = segment.trim();
                let Some((name, value)) = segment.split_once('=').filter(|(name, _)| is_name(name)) else {
                    continue;
                };
                let last = index + 1 == run.text.split(';').count();
                let values: Vec<&str> = if value.is_empty() {
                    let others = runs.iter().map(|run| run.text.trim()).filter(|text| is_name(text));
                    others.chain(["1", "on", "true"]).collect()
                } else {
                    vec![value]
                };
                let accepted = values
                    .into_iter()
                    .map(|value| format!("{name}={value}"))
                    .find(|pair| headers(pair).iter().chain(&tight(pair)).any(|h| matcher.accepts(h)));
                if let Some(pair) = accepted {
                    return Some(Self {
                        written,
                        field,
                        pair,
                        is_only: words == 1 && !value.is_empty() && !run.class_before && !run.class_after,
                        name_is_open: index == 0 && run.class_before,
                        value_is_open: value.is_empty() || (last && run.class_after),
                        matcher,
                    });
                }
            }
        }
        None
    }

    /// Whether the test takes a whole `cookie` header.
    pub(crate) fn accepts(&self, header: &str) -> bool {
        self.matcher.accepts(header)
    }

    /// The headers that a browser sends with this cookie and the test does not take.
    pub(crate) fn missed(&self) -> Vec<String> {
        headers(&self.pair).into_iter().filter(|header| !self.accepts(header)).collect()
    }

    /// Cookies that are not the one it looks for and that it takes nevertheless: one with a longer name,
    /// one with a longer value. A name or value that a class leaves open on purpose is not probed.
    pub(crate) fn foreign(&self) -> Vec<String> {
        let pair = &self.pair;
        let names = ["x", "x-", "x="].map(|before| format!("{before}{pair}"));
        let values = ["x", "-x", "1"].map(|after| format!("{pair}{after}"));
        let taken = |cookies: [String; 3]| {
            cookies.into_iter().find(|cookie| headers(cookie).iter().any(|header| self.accepts(header)))
        };
        let name = (!self.name_is_open).then(|| taken(names)).flatten();
        let value = (!self.value_is_open).then(|| taken(values)).flatten();
        name.into_iter().chain(value).collect()
    }

    /// Whether it takes the cookie after a `;` without a space, which no browser sends, and not with one.
    pub(crate) fn forgets_the_space(&self) -> bool {
        let with_space = headers(&self.pair);
        tight(&self.pair).iter().any(|header| self.accepts(header))
            && with_space.iter().any(|header| header.ends_with(&self.pair) && !self.accepts(header))
    }

    /// A regex that takes the cookie anywhere in the header, and nothing else.
    pub(crate) fn repaired(&self) -> String {
        let mut escaped = String::with_capacity(self.pair.len());
        for c in self.pair.chars() {
            if r"\.+*?()|[]{}^$".contains(c) {
                escaped.push('\\');
            }
            escaped.push(c);
        }
        format!("^(.*?; *)?({escaped})(;.*)?$")
    }

    /// Where ` *` must be inserted to let the space in: behind the first `;` of the regex that makes it
    /// take every header, and no other cookie than before.
    pub(crate) fn missing_space(&self) -> Option<usize> {
        let text = &self.written.value;
        let mut in_class = false;
        let mut escaped = false;
        for (index, c) in text.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '[' => in_class = true,
                ']' => in_class = false,
                ';' if !in_class => {
                    let (before, after) = text.split_at_checked(index + 1)?;
                    let better = Self {
                        matcher: Matcher::Regex(Arc::new(Regex::parse(&format!("{before} *{after}")).ok()?)),
                        pair: self.pair.clone(),
                        ..*self
                    };
                    if better.missed().is_empty() && better.foreign().len() <= self.foreign().len() {
                        return Some(index + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

/// How browsers send a cookie: alone, first, last and between others.
fn headers(pair: &str) -> [String; 4] {
    [pair.to_owned(), format!("{pair}; a=b"), format!("a=b; {pair}"), format!("a=b; {pair}; c=d")]
}

/// As only hand-made clients send it.
fn tight(pair: &str) -> [String; 2] {
    [format!("a=b;{pair}"), format!("a=b;{pair};c=d")]
}

/// A cookie's name, or a word.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::resource::field::Opt;
    use crate::span::{FileId, Span};

    fn regex(text: &str) -> StringMatch {
        let span = Span::new(FileId(0), 0, 0);
        StringMatch { regex: Opt(Some(Spanned { span, value: text.to_owned() })), ..StringMatch::default() }
    }

    #[test]
    fn the_cookie_is_found_by_asking_the_regex() {
        let pair = |text: &str| CookieTest::new(&regex(text)).map(|test| test.pair);
        assert_eq!(pair("^(.*?;)?(flag=on)(;.*)?$").as_deref(), Some("flag=on"));
        assert_eq!(pair(".*; flag=on.*").as_deref(), Some("flag=on"));
        assert_eq!(pair("flag=(no|yes)").as_deref(), Some("flag=no"));
        assert_eq!(pair(".*sid=.*").as_deref(), Some("sid=1"));
        assert_eq!(pair(".*canary.*"), None);
        assert_eq!(pair("flag=on(").as_deref(), None);
        // Two cookies at once are not one cookie.
        assert_eq!(pair(".*flag=on.*; .*group=beta.*"), None);
    }

    #[test]
    fn the_right_form_misses_nothing_and_takes_nothing_else() {
        for text in ["^(.*?; *)?(flag=on)(;.*)?$", "(.*; )?flag=on(;.*)?", r"(^|.*;\s*)flag=on($|;.*)"] {
            let test = regex(text);
            let test = CookieTest::new(&test).unwrap();
            assert_eq!(test.missed(), [""; 0], "{text}");
            assert_eq!(test.foreign(), [""; 0], "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_repaired_is_right(name in "[a-z._-]{1,8}", value in "[a-z0-9.+*$-]{1,8}") {
            let exact = regex(&format!(r"\Q{name}={value}\E"));
            let Some(test) = CookieTest::new(&exact) else { return Ok(()) };
            let repaired = regex(&test.repaired());
            let test = CookieTest::new(&repaired).unwrap();
            prop_assert_eq!(test.missed(), [""; 0]);
            prop_assert_eq!(test.foreign(), [""; 0]);
        }
    }
}
