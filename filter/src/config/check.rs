//! Validates a tree against the field table: names, types and forms. Meaning is checked while lowering.

use super::fields::{CONFIG, Field, Kind, Text};
use super::text::{fault, quote};
use super::{Path, Problem, Severity, Value};
use serde_json::Map;

/// Every problem of shape in `value`.
#[cold]
#[inline(never)]
pub(crate) fn check(value: &Value) -> Vec<Problem> {
    let mut checker = Checker { problems: Vec::new() };
    match value {
        Value::Object(object) => checker.object(object, CONFIG, None, &Path::default()),
        Value::Null => {}
        other => checker.wrong_type(&Path::default(), "an object", other),
    }
    checker.problems
}

/// A percentage in thousandths, when `value` is one.
pub(crate) fn percent(value: &Value) -> Option<u32> {
    share(value).filter(|thousandths| *thousandths <= 100_000)
}

/// The same without the upper bound of 100, up to a number that sums cannot overflow with.
pub(crate) fn share(value: &Value) -> Option<u32> {
    let thousandths = value.as_f64()? * 1000.0;
    let whole = thousandths.round();
    ((0.0..=1e7).contains(&whole) && (thousandths - whole).abs() < 1e-6).then_some(whole as u32)
}

/// A whole number; protobuf's Struct keeps every number as a double.
pub(crate) fn integer(value: &Value) -> Option<u64> {
    let number = value.as_f64()?;
    (number.fract() == 0.0 && (0.0..=9e15).contains(&number)).then_some(number as u64)
}

struct Checker {
    problems: Vec<Problem>,
}

impl Checker {
    #[cold]
    #[inline(never)]
    fn error(&mut self, path: &Path, message: String) {
        self.report(path, message, Severity::Error, None);
    }

    #[cold]
    #[inline(never)]
    fn report(&mut self, path: &Path, message: String, severity: Severity, suggestion: Option<&'static str>) {
        self.problems.push(Problem { path: path.clone(), message, severity, suggestion });
    }

    #[cold]
    #[inline(never)]
    fn wrong_type(&mut self, path: &Path, expected: &str, found: &Value) {
        let mut message = format!("expected {expected}, found {}", describe(found));
        if matches!(found, Value::Bool(_)) && expected.contains("string") {
            message.push_str("; quote it, YAML reads bare on, off, yes and no as booleans");
        } else if matches!(found, Value::Number(_)) && expected.contains("string") {
            message.push_str("; quote it");
        }
        self.error(path, message);
    }

    #[cold]
    #[inline(never)]
    fn object(
        &mut self,
        object: &Map<String, Value>,
        fields: &'static [Field],
        rest: Option<(Text, &'static Kind)>,
        path: &Path,
    ) {
        for (name, value) in object {
            let at = path.key(name);
            if let Some(field) = fields.iter().find(|field| field.name == name) {
                if !value.is_null() {
                    self.value(value, &field.kind, &at);
                }
            } else if let Some((form, kind)) = rest {
                if let Some(fault) = fault(form, name) {
                    self.error(&at, fault);
                } else if !value.is_null() {
                    self.value(value, kind, &at);
                }
            } else {
                let near =
                    closest(name, fields.iter().map(|field| field.name)).or_else(|| opt_out(name, fields));
                self.report(&at, unknown(fields, near), Severity::Unknown, near);
            }
        }
        for field in fields.iter().filter(|field| field.required) {
            if object.get(field.name).is_none_or(Value::is_null) {
                self.error(path, format!("`{}` is missing", field.name));
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn value(&mut self, value: &Value, kind: &'static Kind, path: &Path) {
        match (kind, value) {
            (Kind::Bool, Value::Bool(_)) => {}
            (Kind::Integer(least, most), Value::Number(number)) => {
                if !integer(value).is_some_and(|whole| (*least..=*most).contains(&whole)) {
                    self.error(path, format!("{number} is not a whole number from {least} to {most}"));
                }
            }
            (Kind::Percent, Value::Number(number)) => {
                if percent(value).is_none() {
                    self.error(path, format!("{number} is not a percentage from 0 to 100 in steps of 0.001"));
                }
            }
            (Kind::Share, Value::Number(number)) => {
                if share(value).is_none() {
                    self.error(path, format!("{number} is not a percentage from 0 to 100 in steps of 0.001"));
                }
            }
            (Kind::Range, Value::Array(list)) => match list.as_slice() {
                [from, until] => {
                    self.value(from, &Kind::Percent, &path.index(0));
                    self.value(until, &Kind::Percent, &path.index(1));
                }
                _ => self
                    .error(path, format!("expected two percentages, from and until, found {}", list.len())),
            },
            (Kind::Text(form), Value::String(text)) => {
                if let Some(fault) = fault(*form, text) {
                    self.error(path, fault);
                }
            }
            (Kind::Choice(words), Value::String(text)) => {
                if !words.contains(&text.as_str()) {
                    let near = closest(text, words.iter().copied());
                    let hint = did_you_mean(near);
                    let message = format!("{} is not one of {}{hint}", quote(text), words.join(", "));
                    self.report(path, message, Severity::Error, near);
                }
            }
            (Kind::List(kind), Value::Array(list)) => {
                for (index, value) in list.iter().enumerate() {
                    self.value(value, kind, &path.index(index));
                }
            }
            (Kind::Map(form, kind), Value::Object(object)) => {
                self.object(object, &[], Some((*form, kind)), path);
            }
            (Kind::Object(fields), Value::Object(object)) => self.object(object, fields, None, path),
            (Kind::Open(fields, form, kind), Value::Object(object)) => {
                self.object(object, fields, Some((*form, kind)), path);
            }
            (Kind::Either(kinds), value) => match kinds.iter().find(|kind| fits(kind, value)) {
                Some(kind) => self.value(value, kind, path),
                None => {
                    let names: Vec<&str> = kinds.iter().map(expected).collect();
                    self.wrong_type(path, &names.join(" or "), value);
                }
            },
            (kind, value) => self.wrong_type(path, expected(kind), value),
        }
    }
}

fn fits(kind: &Kind, value: &Value) -> bool {
    match kind {
        Kind::Bool => value.is_boolean(),
        Kind::Integer(..) | Kind::Percent | Kind::Share => value.is_number(),
        Kind::Text(_) | Kind::Choice(_) => value.is_string(),
        Kind::List(_) | Kind::Range => value.is_array(),
        Kind::Map(..) | Kind::Object(_) | Kind::Open(..) => value.is_object(),
        Kind::Either(kinds) => kinds.iter().any(|kind| fits(kind, value)),
    }
}

fn expected(kind: &Kind) -> &'static str {
    match kind {
        Kind::Bool => "true or false",
        Kind::Integer(..) => "a number",
        Kind::Percent | Kind::Share => "a percentage",
        Kind::Text(_) | Kind::Choice(_) => "a string",
        Kind::List(_) => "a list",
        Kind::Range => "a list of two percentages",
        Kind::Map(..) | Kind::Object(_) | Kind::Open(..) => "an object",
        Kind::Either(_) => "another type",
    }
}

#[cold]
#[inline(never)]
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(value) => format!("the boolean {value}"),
        Value::Number(value) => format!("the number {value}"),
        Value::String(text) => format!("the string {}", quote(text)),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
    }
}

#[cold]
#[inline(never)]
fn unknown(fields: &[Field], near: Option<&str>) -> String {
    if near.is_none() {
        let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
        return format!("unknown field; the fields here are {}", names.join(", "));
    }
    format!("unknown field{}", did_you_mean(near))
}

fn did_you_mean(near: Option<&str>) -> String {
    near.map(|word| format!(", did you mean `{word}`?")).unwrap_or_default()
}

/// The field that opts out, for whoever calls it `off`, which YAML reads as `false` when it is a bare key.
#[cold]
#[inline(never)]
fn opt_out(name: &str, fields: &[Field]) -> Option<&'static str> {
    fields.iter().map(|field| field.name).find(|field| *field == "optOut" && matches!(name, "off" | "false"))
}

/// The closest word, if one is close.
#[cold]
#[inline(never)]
fn closest(text: &str, words: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let text: String = text.chars().take(64).collect::<String>().to_ascii_lowercase();
    let plain = |word: &str| word.to_ascii_lowercase();
    let allowed = (text.chars().count() / 3).max(1);
    words
        .map(|word| (strsim::osa_distance(&text, &plain(word)), word))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}
