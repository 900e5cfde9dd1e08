//! The forms of strings in a configuration: checks, durations, times and globs. Knows no fields.

use super::fields::Text;

/// What is wrong with `text` as a `form`, or `None`.
pub(crate) fn fault(form: Text, text: &str) -> Option<String> {
    let all = |allowed: fn(&u8) -> bool, most: usize| {
        !text.is_empty() && text.len() <= most && text.as_bytes().iter().all(allowed)
    };
    let (holds, want) = match form {
        Text::Name => (
            all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-', 32),
            "a name of 1 to 32 of a-z, 0-9 and -",
        ),
        Text::Value => {
            (text.len() <= 64 && is_plain(text.as_bytes()), "1 to 64 of A-Z, a-z, 0-9 and . _ ~ -")
        }
        Text::Header => (
            all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-', 64),
            "a header name of a-z, 0-9 and -, in lower case",
        ),
        Text::Cookie => (
            all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b), 64),
            "a cookie name (no spaces, `=`, `;` or quotes)",
        ),
        Text::Free => (all(|b| (0x20..0x7f).contains(b) || *b >= 0x80, 256), "1 to 256 printable characters"),
        Text::Glob => {
            (all(|b| (0x21..0x7f).contains(b), GLOB_BYTES), "a glob of 1 to 120 characters without spaces")
        }
        Text::Env => {
            (all(|b| b.is_ascii_alphanumeric() || *b == b'_', 64), "the name of an environment variable")
        }
        Text::Path => (
            text.starts_with('/') && all(|b| (0x21..0x7f).contains(b) && *b != b';', 256),
            "a path that starts with `/` and holds no `;`",
        ),
        Text::Domain => (
            all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'), 253)
                && text.strip_prefix('.').unwrap_or(text).split('.').all(is_label),
            "a domain of letters, digits, `.` and `-`, such as example.com",
        ),
        Text::Duration => (duration(text).is_some(), "a duration such as 90s, 15m, 12h or 7d, at most 400d"),
        Text::Time => (time(text).is_some(), "an RFC 3339 time such as 2026-12-01T00:00:00Z"),
        Text::Share => (share(text).is_some(), "a percentage such as 25%, from 0% to 100%"),
        Text::Method => (all(|b| b.is_ascii_uppercase(), 16), "an HTTP method in upper case"),
    };
    (!holds).then(|| format!("{} is not {want}", quote(text)))
}

/// Whether `text` may stand between the dots of a domain: browsers drop a cookie whose domain cannot be.
fn is_label(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('-') && !text.ends_with('-')
}

/// Whether every byte is in `[A-Za-z0-9._~-]` and there is at least one: the alphabet of flag values, tokens and
/// ids. Nothing is ever percent-decoded.
#[must_use]
pub fn is_plain(value: &[u8]) -> bool {
    !value.is_empty()
        && value.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'~' | b'-'))
}

/// Quotes a text from a configuration for a message: bounded, and without control characters.
pub(crate) fn quote(text: &str) -> String {
    let short: String = text.chars().filter(|c| !c.is_control()).take(60).collect();
    format!("`{short}{}`", if short.len() < text.len() { "…" } else { "" })
}

/// Seconds of `90s`, `15m`, `12h` or `7d`. Browsers cap cookies at 400 days, and so does this.
#[must_use]
pub fn duration(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let total = number.parse::<u64>().ok()?.checked_mul(seconds)?;
    (total > 0 && total <= 400 * 86_400).then_some(total)
}

/// The number of `25%`.
pub(crate) fn share(text: &str) -> Option<u8> {
    let number = text.strip_suffix('%')?;
    let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| number.parse().ok()).flatten().filter(|share| *share <= 100)
}

/// Seconds since 1970 of an RFC 3339 time; fractions of a second are dropped.
#[must_use]
pub fn time(text: &str) -> Option<u64> {
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<i64>().ok()).flatten()
    };
    let mark = |at: usize, marks: &[u8]| text.as_bytes().get(at).is_some_and(|b| marks.contains(b));
    if !(mark(4, b"-") && mark(7, b"-") && mark(10, b"Tt ") && mark(13, b":") && mark(16, b":")) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=longest).contains(&day) || hour > 23 || minute > 59 || second > 60 || year < 1970 {
        return None;
    }
    let mut zone = text.get(19..)?;
    if let Some(fraction) = zone.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        zone = fraction.get(digits..).filter(|_| digits > 0)?;
    }
    let offset = if zone == "Z" || zone == "z" {
        0
    } else {
        let sign = if zone.starts_with('+') { 1 } else { -1 };
        let digits = zone.strip_prefix(['+', '-'])?;
        let (hours, minutes) = digits.split_once(':')?;
        if hours.len() != 2 || minutes.len() != 2 || !zone.is_ascii() {
            return None;
        }
        let (hours, minutes) = (hours.parse::<u8>().ok()?, minutes.parse::<u8>().ok()?);
        if hours > 23 || minutes > 59 {
            return None;
        }
        i64::from(hours)
            .checked_mul(3600)?
            .checked_add(i64::from(minutes).checked_mul(60)?)?
            .checked_mul(sign)?
    };
    // Days since 1970 by Howard Hinnant's civil calendar, for years that start in March.
    let (year, month) =
        if month > 2 { (year, month.checked_sub(3)?) } else { (year.checked_sub(1)?, month.checked_add(9)?) };
    let (era, of_era) = (year.checked_div(400)?, year.checked_rem(400)?);
    let of_year = month.checked_mul(153)?.checked_add(2)?.checked_div(5)?.checked_add(day)?.checked_sub(1)?;
    let leaps = of_era.checked_div(4)?.checked_sub(of_era.checked_div(100)?)?;
    let days = of_era.checked_mul(365)?.checked_add(leaps)?.checked_add(of_year)?;
    let days = era.checked_mul(146_097)?.checked_add(days)?.checked_sub(719_468)?;
    let clock = hour.checked_mul(3600)?.checked_add(minute.checked_mul(60)?)?.checked_add(second)?;
    u64::try_from(days.checked_mul(86_400)?.checked_add(clock)?.checked_sub(offset)?).ok()
}

/// Longest glob: its positions fit one 128-bit set.
const GLOB_BYTES: usize = 120;

/// A compiled glob. `*` matches within a `/` segment, `**` across segments; every other byte is itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Shape);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    Exact(Vec<u8>),
    /// `prefix**`, by far the most common, needs no automaton.
    Prefix(Vec<u8>),
    General(Vec<Step>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Byte(u8),
    Segment,
    Any,
}

impl Glob {
    /// Compiles a glob; text beyond [`GLOB_BYTES`] has been refused before.
    #[must_use]
    pub fn new(text: &str) -> Glob {
        if let Some(prefix) = text.strip_suffix("**").filter(|prefix| !prefix.contains('*')) {
            return Glob(Shape::Prefix(prefix.into()));
        }
        if !text.contains('*') {
            return Glob(Shape::Exact(text.into()));
        }
        let mut steps: Vec<Step> = Vec::with_capacity(text.len());
        for byte in text.bytes().take(GLOB_BYTES) {
            match (byte, steps.last_mut()) {
                (b'*', Some(last @ (Step::Segment | Step::Any))) => *last = Step::Any,
                (b'*', _) => steps.push(Step::Segment),
                (byte, _) => steps.push(Step::Byte(byte)),
            }
        }
        Glob(Shape::General(steps))
    }

    /// Whether all of `text` matches, in time linear in `text`: the set of live positions is one integer.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        let steps = match &self.0 {
            Shape::Exact(exact) => return exact == text,
            Shape::Prefix(prefix) => return text.starts_with(prefix),
            Shape::General(steps) => steps,
        };
        // Bit i: the first i steps have matched what was read so far. A star may match nothing.
        let skip_stars = |mut live: u128| {
            for (i, step) in steps.iter().enumerate() {
                if !matches!(step, Step::Byte(_)) {
                    live |= (live >> i & 1) << i << 1;
                }
            }
            live
        };
        let mut live = skip_stars(1);
        for byte in text {
            let mut next = 0u128;
            for (i, step) in steps.iter().enumerate() {
                let here = live >> i & 1;
                next |= match step {
                    Step::Byte(wanted) if wanted == byte => here << i << 1,
                    Step::Segment if *byte != b'/' => here << i,
                    Step::Any => here << i,
                    _ => 0,
                };
            }
            live = skip_stars(next);
            if live == 0 {
                return false;
            }
        }
        live >> steps.len() & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_times_and_shares() {
        assert_eq!(duration("90s"), Some(90));
        assert_eq!(duration("7d"), Some(604_800));
        for bad in ["", "s", "0s", "7", "7w", "-1d", "+1d", "1.5h", "401d", "99999999999999999999d", "7é"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
        assert_eq!(time("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(time("2026-12-01T00:00:00Z"), Some(1_796_083_200));
        assert_eq!(time("2026-12-01T01:30:00.123+01:30"), Some(1_796_083_200));
        assert_eq!(time("2024-02-29T23:59:59-00:00"), Some(1_709_251_199));
        for bad in [
            "",
            "2026-12-01",
            "2026-12-01T00:00:00",
            "2026-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2026-12-01T24:00:00Z",
            "2026-12-01T00:00:00.Z",
            "2026-12-01T00:00:00+1:00",
            "1969-12-31T00:00:00Z",
            "2026-12-01T00:00:00Zé",
            "2026-12-0éT00:00:00Z",
        ] {
            assert_eq!(time(bad), None, "{bad}");
        }
        assert_eq!(
            (share("25%"), share("100%"), share("101%"), share("%"), share("25")),
            (Some(25), Some(100), None, None, None)
        );
    }

    #[test]
    fn globs() {
        let yes = [
            ("/shop/**", "/shop/"),
            ("/shop/**", "/shop/a/b"),
            ("/shop/*", "/shop/a"),
            ("*.example.com", "a.example.com"),
            ("**/x", "/a/b/x"),
            ("/a/*/c", "/a/b/c"),
            ("/a/**/c", "/a/b/b/c"),
            ("*", ""),
            ("/", "/"),
            ("spiffe://cluster.local/ns/*/sa/*", "spiffe://cluster.local/ns/istio-ingress/sa/gw"),
        ];
        for (glob, text) in yes {
            assert!(Glob::new(glob).matches(text.as_bytes()), "{glob} {text}");
        }
        let no = [
            ("/shop/**", "/shop"),
            ("/shop/*", "/shop/a/b"),
            ("*.example.com", "example.com"),
            ("/a/*/c", "/a/b/b/c"),
            ("/a", "/ab"),
            ("*", "a/b"),
            ("spiffe://cluster.local/ns/a/*", "spiffe://cluster.local/ns/a/sa/b"),
        ];
        for (glob, text) in no {
            assert!(!Glob::new(glob).matches(text.as_bytes()), "{glob} {text}");
        }
    }

    fn naive(glob: &[u8], text: &[u8]) -> bool {
        match glob {
            [] => text.is_empty(),
            [b'*', b'*', rest @ ..] => (0..=text.len()).any(|n| naive(rest, &text[n..])),
            [b'*', rest @ ..] => {
                (0..=text.len()).take_while(|n| !text[..*n].contains(&b'/')).any(|n| naive(rest, &text[n..]))
            }
            [byte, rest @ ..] => text.first() == Some(byte) && naive(rest, &text[1..]),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn globs_agree_with_backtracking(glob in "[ab/*]{0,8}", text in "[ab/]{0,10}") {
            prop_assert_eq!(Glob::new(&glob).matches(text.as_bytes()), naive(glob.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn any_text_is_checked_without_a_panic(text: String) {
            for form in [Text::Name, Text::Duration, Text::Time, Text::Share, Text::Glob, Text::Free] {
                let _ = fault(form, &text);
            }
        }
    }
}
