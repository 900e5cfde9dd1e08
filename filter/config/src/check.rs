//! Validates a tree against the field table: names, types and forms. Meaning is checked while lowering.

use super::fields::{CONFIG, Field, Kind, Text};
use super::text::{fault, quote};
use super::tree::Tree;
use super::{Path, Problem, Severity};

/// Every problem of shape in `value`.
#[inline(never)]
pub(crate) fn check(value: &Tree) -> Vec<Problem> {
    let mut checker = Checker { problems: Vec::new() };
    match value {
        Tree::Object(object) => checker.object(object, CONFIG, None, &Path::default()),
        Tree::Null => {}
        other => checker.wrong_type(&Path::default(), "an object", other),
    }
    checker.problems
}

/// A percentage in thousandths, when `value` is one.
pub(crate) fn percent(value: &Tree) -> Option<u32> {
    share(value).filter(|thousandths| *thousandths <= 100_000)
}

/// The same without the upper bound of 100, up to a number that sums cannot overflow with.
pub(crate) fn share(value: &Tree) -> Option<u32> {
    let thousandths = value.as_f64()? * 1000.0;
    let whole = thousandths.round();
    ((0.0..=1e7).contains(&whole) && (thousandths - whole).abs() < 1e-6).then_some(whole as u32)
}

/// A whole number; protobuf's Struct keeps every number as a double.
pub(crate) fn integer(value: &Tree) -> Option<u64> {
    let number = value.as_f64()?;
    (number.fract() == 0.0 && (0.0..=9e15).contains(&number)).then_some(number as u64)
}

struct Checker {
    problems: Vec<Problem>,
}

impl Checker {
    fn error(&mut self, path: &Path, message: String) {
        self.report(path, message, Severity::Error, None);
    }

    fn report(&mut self, path: &Path, message: String, severity: Severity, suggestion: Option<&'static str>) {
        self.problems.push(Problem { path: path.clone(), message, severity, suggestion });
    }

    fn wrong_type(&mut self, path: &Path, expected: &str, found: &Tree) {
        let mut message = format!("expected {expected}, found {}", describe(found));
        if matches!(found, Tree::Bool(_)) && expected.contains("string") {
            message.push_str("; quote it, YAML reads bare on, off, yes and no as booleans");
        } else if matches!(found, Tree::Number(_)) && expected.contains("string") {
            message.push_str("; quote it");
        }
        self.error(path, message);
    }

    #[inline(never)]
    fn object(
        &mut self,
        object: &[(String, Tree)],
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
            } else if name == "pluginConfig" && path.0.is_empty() {
                // Not merely unknown: nothing that was meant would be in force, and no tag protected.
                self.error(&at, "is nested once more: move its fields up".to_owned());
            } else {
                let near =
                    closest(name, fields.iter().map(|field| field.name)).or_else(|| opt_out(name, fields));
                self.report(&at, unknown(fields, near), Severity::Unknown, near);
            }
        }
        for field in fields.iter().filter(|field| field.required) {
            let value = object.iter().find(|(name, _)| name == field.name);
            if value.is_none_or(|(_, value)| value.is_null()) {
                self.error(path, format!("`{}` is missing", field.name));
            }
        }
    }

    fn value(&mut self, value: &Tree, kind: &'static Kind, path: &Path) {
        match (kind, value) {
            (Kind::Bool, Tree::Bool(_)) => {}
            (Kind::Integer(least, most), Tree::Number(number)) => {
                if !integer(value).is_some_and(|whole| (*least..=*most).contains(&whole)) {
                    self.error(path, format!("{number} is not a whole number from {least} to {most}"));
                }
            }
            (Kind::Percent, Tree::Number(number)) => {
                if percent(value).is_none() {
                    self.error(path, format!("{number} is not a percentage from 0 to 100 in steps of 0.001"));
                }
            }
            (Kind::Share, Tree::Number(number)) => {
                if share(value).is_none() {
                    self.error(path, format!("{number} is not a percentage from 0 to 100 in steps of 0.001"));
                }
            }
            (Kind::Range, Tree::List(list)) => match list.as_slice() {
                [from, until] => {
                    self.value(from, &Kind::Percent, &path.index(0));
                    self.value(until, &Kind::Percent, &path.index(1));
                }
                _ => self
                    .error(path, format!("expected two percentages, from and until, found {}", list.len())),
            },
            (Kind::Text(form), Tree::String(text)) => {
                if let Some(fault) = fault(*form, text) {
                    self.error(path, fault);
                }
            }
            (Kind::Choice(words), Tree::String(text)) => {
                if !words.contains(&text.as_str()) {
                    let near = closest(text, words.iter().copied());
                    let hint = did_you_mean(near);
                    let message = format!("{} is not one of {}{hint}", quote(text), words.join(", "));
                    self.report(path, message, Severity::Error, near);
                }
            }
            (Kind::List(kind), Tree::List(list)) => {
                for (index, value) in list.iter().enumerate() {
                    self.value(value, kind, &path.index(index));
                }
            }
            (Kind::Map(form, kind), Tree::Object(object)) => {
                self.object(object, &[], Some((*form, kind)), path);
            }
            (Kind::Object(fields), Tree::Object(object)) => self.object(object, fields, None, path),
            (Kind::Open(fields, form, kind), Tree::Object(object)) => {
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

fn fits(kind: &Kind, value: &Tree) -> bool {
    match kind {
        Kind::Bool => matches!(value, Tree::Bool(_)),
        Kind::Integer(..) | Kind::Percent | Kind::Share => matches!(value, Tree::Number(_)),
        Kind::Text(_) | Kind::Choice(_) => matches!(value, Tree::String(_)),
        Kind::List(_) | Kind::Range => matches!(value, Tree::List(_)),
        Kind::Map(..) | Kind::Object(_) | Kind::Open(..) => matches!(value, Tree::Object(_)),
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

fn describe(value: &Tree) -> String {
    match value {
        Tree::Null => "null".into(),
        Tree::Bool(value) => format!("the boolean {value}"),
        Tree::Number(value) => format!("the number {value}"),
        Tree::String(text) => format!("the string {}", quote(text)),
        Tree::List(_) => "a list".into(),
        Tree::Object(_) => "an object".into(),
    }
}

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
fn opt_out(name: &str, fields: &[Field]) -> Option<&'static str> {
    fields.iter().map(|field| field.name).find(|field| *field == "optOut" && matches!(name, "off" | "false"))
}

/// The closest word, if one is close.
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
