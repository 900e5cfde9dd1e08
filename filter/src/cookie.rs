//! Cookie scanning: bytes in, bytes out, no allocation per pair. Knows no configuration.
//!
//! The rules are those of Envoy's `Http::Utility::parseCookies`, so that a route that uses Envoy's `cookies`
//! matcher and this filter never disagree: pairs are separated by `;`, spaces (only spaces) before a name are
//! skipped, a pair without `=` is skipped, a value keeps what follows the first `=` including trailing spaces,
//! and one surrounding pair of double quotes is removed. `featureflag=on ;b=1` therefore has the value `on `
//! with a space and matches nothing; browsers never send it. The first of several cookies of one name wins.

pub use crate::config::{Limits, is_plain};

/// Longest cookie value that is looked at, in bytes: what browsers store at most.
pub const VALUE_BYTES: usize = 4096;

/// Values kept per name. A name with more is hostile: browsers send a handful at worst.
pub const CANDIDATES: usize = 4;

/// The values seen for one wanted name, in order of appearance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Slot<'a> {
    values: [&'a [u8]; CANDIDATES],
    count: usize,
    is_respelled: bool,
}

impl<'a> Slot<'a> {
    fn push(&mut self, value: &'a [u8]) {
        if let Some(place) = self.values.get_mut(self.count) {
            *place = value;
        }
        self.count = self.count.saturating_add(1);
    }

    /// The value Envoy's matcher would see: the first one, if it is made of [`is_plain`] bytes and not oversize.
    #[must_use]
    pub fn first(&self) -> Option<&'a [u8]> {
        self.candidates().next().filter(|value| is_plain(value))
    }

    /// The first few values, whatever their bytes. For signed values, where the first *valid* one counts:
    /// a sibling domain can put a cookie of its own in front (cookie tossing).
    pub fn candidates(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.values.into_iter().take(self.count)
    }

    /// Whether a name appeared that is not this one, but that applications may take for it, see [`is_respelling`].
    #[must_use]
    pub fn is_respelled(&self) -> bool {
        self.is_respelled
    }

    /// How often the name appeared.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }
}

/// The result of one scan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scan<'a> {
    /// One slot per wanted name, in the order of the names.
    pub slots: Vec<Slot<'a>>,
    /// A cap was exceeded: something was not looked at.
    pub oversize: bool,
}

impl<'a> Scan<'a> {
    /// The slot of a wanted name; an empty one when the index is out of range.
    #[must_use]
    pub fn slot(&self, index: usize) -> Slot<'a> {
        self.slots.get(index).copied().unwrap_or_default()
    }
}

/// Scans every `Cookie` header line, in order, for the wanted names. HTTP/1 may carry several lines; Envoy joins
/// the crumbs of HTTP/2 into one.
#[must_use]
#[inline(never)]
pub fn scan<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
    names: &[impl AsRef<str>],
    limits: Limits,
) -> Scan<'a> {
    let mut found = Scan { slots: vec![Slot::default(); names.len()], oversize: false };
    if names.is_empty() {
        return found;
    }
    let (mut bytes, mut pairs) = (0usize, 0usize);
    for line in lines {
        for part in parts(line) {
            bytes = bytes.saturating_add(part.len()).saturating_add(1);
            pairs = pairs.saturating_add(1);
            if bytes > limits.bytes.saturating_add(1) || pairs > limits.pairs {
                found.oversize = true;
                return found;
            }
            let Some((name, value)) = pair(part) else { continue };
            let wanted = names.iter().position(|wanted| wanted.as_ref().as_bytes() == name);
            let Some(slot) = wanted.and_then(|index| found.slots.get_mut(index)) else {
                for (wanted, slot) in names.iter().zip(&mut found.slots) {
                    slot.is_respelled |= is_respelling(name, wanted.as_ref());
                }
                continue;
            };
            if value.len() > VALUE_BYTES {
                found.oversize = true;
                // Still the first of its name: a later duplicate must not win.
                slot.push(b"");
            } else {
                slot.push(value);
            }
        }
    }
    found
}

/// The `Cookie` value that is left when the cookies that `drop` names are taken out of `lines`, or `None` when
/// nothing was taken out. An empty result means the header should be removed.
///
/// No cap applies here: a cookie hidden behind eight kilobytes of padding must not reach the application either.
/// Pairs that hold control bytes are dropped as well, so the result can never split a header.
#[must_use]
#[inline(never)]
pub fn without<'a>(
    lines: impl Iterator<Item = &'a [u8]>,
    mut drop: impl FnMut(&[u8], &[u8]) -> bool,
) -> Option<Vec<u8>> {
    let mut kept = Vec::new();
    let mut changed = false;
    for line in lines {
        for part in parts(line) {
            let refused = pair(part).is_some_and(|(name, value)| drop(name, value));
            if refused || part.iter().any(u8::is_ascii_control) {
                changed = true;
                continue;
            }
            let part = trim_start(part);
            if part.is_empty() {
                continue;
            }
            if !kept.is_empty() {
                kept.extend_from_slice(b"; ");
            }
            kept.extend_from_slice(part);
        }
    }
    changed.then_some(kept)
}

/// Whether a name is another spelling of a cookie's: in other case, or with white space and control characters
/// around it, which Envoy's matcher takes for a part of the name, and the parsers of many languages do not.
#[must_use]
#[inline(never)]
pub fn is_respelling(name: &[u8], cookie: &str) -> bool {
    // Nearly every pair of a request ends here.
    if name.len() < cookie.len() {
        return false;
    }
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || byte.is_ascii_control();
    let start = name.iter().position(|byte| !is_blank(byte)).unwrap_or(name.len());
    let end = name.iter().rposition(|byte| !is_blank(byte)).map_or(0, |last| last.saturating_add(1));
    name.get(start..end).is_some_and(|bare| bare.eq_ignore_ascii_case(cookie.as_bytes()))
        && name != cookie.as_bytes()
}

fn parts(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let end = memchr::memchr(b';', line).unwrap_or(line.len());
        let (part, after) = line.split_at_checked(end)?;
        rest = after.get(1..);
        Some(part)
    })
}

fn trim_start(mut part: &[u8]) -> &[u8] {
    while let Some(rest) = part.strip_prefix(b" ") {
        part = rest;
    }
    part
}

/// Name and value of one pair; `None` without `=` or with an empty name.
fn pair(part: &[u8]) -> Option<(&[u8], &[u8])> {
    let part = trim_start(part);
    let equals = part.iter().position(|byte| *byte == b'=')?;
    let (name, rest) = part.split_at_checked(equals)?;
    let value = rest.strip_prefix(b"=")?;
    let unquoted = value.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\""));
    (!name.is_empty()).then_some((name, unquoted.unwrap_or(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn flag(lines: &[&[u8]]) -> Option<Vec<u8>> {
        let found = scan(lines.iter().copied(), &["featureflag"], Limits::default());
        found.slot(0).first().map(<[u8]>::to_vec)
    }

    #[test]
    fn agrees_with_envoys_cookie_matcher() {
        let on = Some(b"on".to_vec());
        assert_eq!(flag(&[b"featureflag=on"]), on);
        assert_eq!(flag(&[b"a=1;featureflag=on"]), on);
        assert_eq!(flag(&[b"a=1;  featureflag=on"]), on, "two spaces");
        assert_eq!(flag(&[b"featureflag=\"on\""]), on, "one pair of quotes");
        assert_eq!(flag(&[b"featureflag=\"\"on\"\""]), None, "only one pair");
        assert_eq!(flag(&[b"featureflag=on ;b=1"]), None, "trailing space belongs to the value");
        assert_eq!(flag(&[b"featureflag=off; featureflag=on"]), Some(b"off".to_vec()), "first wins");
        assert_eq!(flag(&[b"a=1", b"featureflag=on"]), on, "second line");
        assert_eq!(flag(&[b"featureflag=off", b"featureflag=on"]), Some(b"off".to_vec()));
        assert_eq!(flag(&[b"FeatureFlag=on"]), None, "names are case sensitive");
        assert_eq!(flag(&[b"xfeatureflag=on; featureflagx=on"]), None);
        assert_eq!(flag(&[b"\tfeatureflag=on"]), None, "only spaces are skipped");
        assert_eq!(flag(&[b"a=b=c; featureflag=on"]), on);
        assert_eq!(flag(&[b"featureflag=a=b"]), None, "value keeps its `=`, which is not plain");
    }

    #[test]
    fn malformed_pairs_are_absent_and_hide_nothing() {
        let on = Some(b"on".to_vec());
        assert_eq!(flag(&[b"featureflag"]), None, "no `=`");
        assert_eq!(flag(&[b"featureflag; featureflag=on"]), on);
        assert_eq!(flag(&[b"=on"]), None);
        assert_eq!(flag(&[b"=; =x;;; ; featureflag=on"]), on);
        assert_eq!(flag(&[b"featureflag="]), None);
        assert_eq!(flag(&[b"featureflag=\""]), None);
        assert_eq!(flag(&[b"featureflag=o\xffn"]), None, "not UTF-8");
        assert_eq!(flag(&[b"\xff=1; featureflag=on"]), on);
        assert_eq!(flag(&[b"featureflag=%6Fn"]), None, "never decoded");
        assert_eq!(flag(&[b"featureflag=on\0"]), None);
        assert_eq!(flag(&[b"featureflag=on\r\nx: y"]), None);
        assert_eq!(flag(&[b""]), None);
        assert_eq!(flag(&[]), None);
    }

    #[test]
    fn caps_make_the_rest_absent_and_say_so() {
        let long = [b"a=".as_slice(), &[b'x'; 8188], b";featureflag=on"].concat();
        let found = scan([long.as_slice()].into_iter(), &["featureflag"], Limits::default());
        assert_eq!((found.slot(0).first(), found.oversize), (None, true));

        let many = b"a=1;".repeat(100);
        let many = [many.as_slice(), b"featureflag=on"].concat();
        let found = scan([many.as_slice()].into_iter(), &["featureflag"], Limits::default());
        assert_eq!((found.slot(0).first(), found.oversize), (None, true));

        let fits = b"a=1;".repeat(99);
        let fits = [fits.as_slice(), b"featureflag=on"].concat();
        let found = scan([fits.as_slice()].into_iter(), &["featureflag"], Limits::default());
        assert_eq!((found.slot(0).first(), found.oversize), (Some(b"on".as_slice()), false));

        let value = [b"featureflag=".as_slice(), &[b'x'; VALUE_BYTES + 1], b";featureflag=on"].concat();
        let found = scan([value.as_slice()].into_iter(), &["featureflag"], Limits::default());
        assert_eq!((found.slot(0).first(), found.oversize), (None, true), "the oversize one came first");
    }

    #[test]
    fn removing_a_cookie_keeps_the_others_and_ignores_the_caps() {
        let drop = |name: &[u8], _: &[u8]| name == b"f";
        let on = |lines: &[&'static [u8]]| without(lines.iter().copied(), drop);
        assert_eq!(on(&[b"a=1; f=on; b=\"2\""]).as_deref(), Some(b"a=1; b=\"2\"".as_slice()));
        assert_eq!(on(&[b"f=on"]).as_deref(), Some(b"".as_slice()));
        assert_eq!(on(&[b"a=1; f=on", b"f=on;c"]).as_deref(), Some(b"a=1; c".as_slice()));
        assert_eq!(on(&[b"a=1; ff=on"]), None);
        let hidden = [b"a=".as_slice(), &[b'x'; 9000], b";f=on"].concat();
        let left = without([hidden.as_slice()].into_iter(), drop).unwrap();
        assert_eq!(left.len(), 9002);
    }

    /// Envoy's algorithm, written down a second time in the shape of its C++ source.
    fn reference(line: &[u8], wanted: &[u8]) -> Option<Vec<u8>> {
        for s in line.split(|b| *b == b';') {
            let Some(first) = s.iter().position(|b| *b != b' ') else { continue };
            let Some(equals) = s.iter().position(|b| *b == b'=') else { continue };
            let key = &s[first..equals];
            let mut value = &s[equals + 1..];
            if value.len() >= 2 && value[0] == b'"' && value[value.len() - 1] == b'"' {
                value = &value[1..value.len() - 1];
            }
            if key == wanted {
                return Some(value.to_vec());
            }
        }
        None
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]
        #[test]
        fn differs_from_the_reference_only_where_documented(line in "[f=; \"on\u{e9}\t]{0,24}") {
            let found = scan([line.as_bytes()].into_iter(), &["f"], Limits::default());
            let expected = reference(line.as_bytes(), b"f").filter(|value| is_plain(value));
            prop_assert_eq!(found.slot(0).first().map(<[u8]>::to_vec), expected);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]
        #[test]
        fn any_bytes_are_scanned_and_what_is_left_holds_no_control_byte(lines: Vec<Vec<u8>>) {
            let found = scan(lines.iter().map(Vec::as_slice), &["f", "g"], Limits { bytes: 64, pairs: 4 });
            for slot in &found.slots {
                for value in slot.candidates() {
                    prop_assert!(lines.iter().any(|line| value.is_empty() || line.windows(value.len()).any(|w| w == value)));
                }
            }
            if let Some(left) = without(lines.iter().map(Vec::as_slice), |name, _| name == b"f") {
                prop_assert!(!left.iter().any(u8::is_ascii_control));
                let again = scan([left.as_slice()].into_iter(), &["f"], Limits { bytes: usize::MAX, pairs: usize::MAX });
                prop_assert_eq!(again.slot(0).count(), 0);
            }
        }
    }
}
