//! Scalar resolution as Kubernetes does it: `sigs.k8s.io/yaml` over go-yaml v2's YAML 1.1 table,
//! in which `on`, `yes` and `y` are booleans and `0777` is octal.

use super::Style;

/// A scalar as Kubernetes' JSON sees it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Scalar<'a> {
    /// Nothing, `~` or `null`.
    Null,
    /// `true`, `yes`, `on`, `y` and their opposites.
    Bool(bool),
    /// An integer that fits `i64`.
    Int(i64),
    /// An integer above `i64::MAX`.
    UInt(u64),
    /// A number with a fraction or exponent, or an integer beyond `u64`.
    Float(f64),
    /// Text.
    Str(&'a str),
}

impl<'a> Scalar<'a> {
    /// What a text would be without quotes and tag.
    #[must_use]
    pub fn from_plain(text: &'a str) -> Self {
        plain(text)
    }

    /// The JSON type in the words of the API server's error messages.
    #[must_use]
    pub fn type_name(self) -> &'static str {
        match self {
            Scalar::Null => "null",
            Scalar::Bool(_) => "boolean",
            Scalar::Int(_) | Scalar::UInt(_) => "integer",
            Scalar::Float(_) => "number",
            Scalar::Str(_) => "string",
        }
    }
}

/// A text as a scalar that Kubernetes reads as this very string: quoted where it would be something else.
#[must_use]
pub fn string_scalar(text: &str) -> String {
    let is_word = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'));
    if is_word && matches!(plain(text), Scalar::Str(_)) {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Resolves a scalar from its text, style and tag suffix.
pub(super) fn resolve<'a>(text: &'a str, style: Style, tag: Option<&str>) -> Scalar<'a> {
    match tag {
        Some("str" | "binary") => Scalar::Str(text),
        // A tag of the author's own says nothing about how to read the text.
        Some(tag) if tag.starts_with('!') => Scalar::Str(text),
        None if style != Style::Plain => Scalar::Str(text),
        _ => plain(text),
    }
}

fn plain(text: &str) -> Scalar<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Scalar::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Scalar::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Scalar::Float(f64::NEG_INFINITY),
        _ => {}
    }
    match text.as_bytes().first() {
        Some(b'0'..=b'9' | b'+' | b'-' | b'.') => number(text).unwrap_or(Scalar::Str(text)),
        _ => Scalar::Str(text),
    }
}

fn number(text: &str) -> Option<Scalar<'static>> {
    let without_underscores;
    let digits = if text.contains('_') {
        // After a leading dot Go's own syntax holds: one underscore between two digits.
        let is_strict = text.starts_with('.');
        if is_strict && (text.contains("__") || text.contains("._") || text.ends_with('_')) {
            return None;
        }
        without_underscores = text.replace('_', "");
        &without_underscores
    } else {
        text
    };
    if let Some(integer) = integer(digits) {
        return Some(integer);
    }
    // What is too large for a float is text.
    let value = is_float(digits).then(|| digits.parse::<f64>().ok()).flatten()?;
    value.is_finite().then_some(Scalar::Float(value))
}

/// Go's `strconv.ParseInt(s, 0, 64)`, then `ParseUint`: `0x`, `0o`, `0b` and a leading 0 choose the base.
fn integer(text: &str) -> Option<Scalar<'static>> {
    let (negative, magnitude) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let lower = magnitude.get(..2).map(str::to_ascii_lowercase);
    let (radix, digits) = match lower.as_deref() {
        Some("0x") => (16, magnitude.get(2..)?),
        Some("0o") => (8, magnitude.get(2..)?),
        Some("0b") => (2, magnitude.get(2..)?),
        Some(two) if two.starts_with('0') => (8, magnitude.get(1..)?),
        _ => (10, magnitude),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let value = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        return 0i64.checked_sub_unsigned(value).map(Scalar::Int);
    }
    Some(i64::try_from(value).map_or(Scalar::UInt(value), Scalar::Int))
}

/// go-yaml's `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`.
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let mantissa_ok = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && digits(fraction),
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_ok = exponent.is_none_or(|e| {
        let e = e.strip_prefix(['-', '+']).unwrap_or(e);
        !e.is_empty() && digits(e)
    });
    mantissa_ok && exponent_ok
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values as printed by `sigs.k8s.io/yaml` for the same texts.
    #[test]
    fn text_that_would_become_something_else_needs_quotes() {
        for text in ["1.0", "1_0", "on", "null", "", "*.com", "a: b", "-", "# no"] {
            assert_eq!(string_scalar(text), format!("\"{text}\""));
        }
        for text in ["v1", "1.0.0", "reviews.prod.svc.cluster.local", "1-0"] {
            assert_eq!(string_scalar(text), text);
        }
    }

    #[test]
    fn plain_scalars_resolve_as_kubernetes_resolves_them() {
        let cases = [
            ("1.0", Scalar::Float(1.0)),
            ("on", Scalar::Bool(true)),
            ("yes", Scalar::Bool(true)),
            ("n", Scalar::Bool(false)),
            ("Off", Scalar::Bool(false)),
            ("oN", Scalar::Str("oN")),
            ("0777", Scalar::Int(511)),
            ("0778", Scalar::Float(778.0)),
            ("08", Scalar::Float(8.0)),
            ("0o17", Scalar::Int(15)),
            ("0x1F", Scalar::Int(31)),
            ("0b11", Scalar::Int(3)),
            ("-0b11", Scalar::Int(-3)),
            ("0", Scalar::Int(0)),
            ("-0", Scalar::Int(0)),
            ("+12", Scalar::Int(12)),
            ("1_000", Scalar::Int(1000)),
            ("18446744073709551615", Scalar::UInt(u64::MAX)),
            ("18446744073709551616", Scalar::Float(18_446_744_073_709_551_616.0)),
            ("-9223372036854775808", Scalar::Int(i64::MIN)),
            ("1e3", Scalar::Float(1000.0)),
            ("1.", Scalar::Float(1.0)),
            (".5", Scalar::Float(0.5)),
            ("1e", Scalar::Str("1e")),
            (".", Scalar::Str(".")),
            ("-", Scalar::Str("-")),
            ("1.0.0", Scalar::Str("1.0.0")),
            ("2001-12-14", Scalar::Str("2001-12-14")),
            ("12:30:45", Scalar::Str("12:30:45")),
            ("10.0.0.0/8", Scalar::Str("10.0.0.0/8")),
            ("", Scalar::Null),
            ("~", Scalar::Null),
            ("v1", Scalar::Str("v1")),
        ];
        for (text, expected) in cases {
            assert_eq!(resolve(text, Style::Plain, None), expected, "{text:?}");
        }
    }

    #[test]
    fn a_string_is_quoted_where_it_would_be_something_else() {
        assert_eq!(string_scalar("v1-0"), "v1-0");
        assert_eq!(string_scalar("1.0"), "\"1.0\"");
        assert_eq!(string_scalar("on"), "\"on\"");
        assert_eq!(string_scalar("a: \"b\""), "\"a: \\\"b\\\"\"");
    }

    #[test]
    fn quotes_and_tags_make_text() {
        assert_eq!(resolve("1.0", Style::DoubleQuoted, None), Scalar::Str("1.0"));
        assert_eq!(resolve("1.0", Style::Plain, Some("str")), Scalar::Str("1.0"));
        assert_eq!(resolve("1", Style::DoubleQuoted, Some("int")), Scalar::Int(1));
    }
}
