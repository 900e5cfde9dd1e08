//! The JSON output, version 1. Additions are free; what is here stays.

use serde::Serialize;

use super::{Places, Position, pretty};
use crate::diagnostic::{Diagnostic, Fix, ResourceName};
use crate::report::{Linted, Summary};
use crate::rules::{self, RULES};
use crate::span::Span;

#[derive(Serialize)]
struct Output<'a> {
    version: u32,
    diagnostics: Vec<JsonDiagnostic<'a>>,
    summary: JsonSummary,
}

#[derive(Serialize)]
struct JsonDiagnostic<'a> {
    rule: &'a str,
    severity: &'a str,
    message: &'a str,
    help: Option<&'a str>,
    file: &'a str,
    range: JsonRange,
    resource: Option<JsonResource<'a>>,
    upstream: &'a [&'a str],
    related: Vec<JsonRelated<'a>>,
    fix: Option<JsonFix<'a>>,
}

#[derive(Serialize)]
pub(super) struct JsonRange {
    start: JsonPosition,
    end: JsonPosition,
}

#[derive(Serialize)]
struct JsonPosition {
    line: u32,
    column: u32,
    offset: u32,
}

#[derive(Serialize)]
pub(super) struct JsonResource<'a> {
    kind: &'a str,
    namespace: Option<&'a str>,
    name: &'a str,
}

impl<'a> From<&'a ResourceName> for JsonResource<'a> {
    fn from(resource: &'a ResourceName) -> Self {
        Self { kind: &resource.kind, namespace: resource.namespace.as_deref(), name: &resource.name }
    }
}

#[derive(Serialize)]
struct JsonRelated<'a> {
    file: &'a str,
    range: JsonRange,
    message: &'a str,
}

#[derive(Serialize)]
struct JsonFix<'a> {
    safety: &'a str,
    title: &'a str,
    edits: Vec<JsonEdit<'a>>,
}

#[derive(Serialize)]
struct JsonEdit<'a> {
    file: &'a str,
    start: u32,
    end: u32,
    text: &'a str,
}

#[derive(Serialize)]
struct JsonSummary {
    files: usize,
    documents: usize,
    errors: usize,
    warnings: usize,
    infos: usize,
    suppressed: usize,
    /// Findings that a baseline hid; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    baselined: Option<usize>,
}

#[derive(Serialize)]
struct RuleList<'a> {
    version: u32,
    rules: Vec<JsonRule<'a>>,
}

#[derive(Serialize)]
struct JsonRule<'a> {
    id: &'a str,
    severity: &'a str,
    category: &'a str,
    summary: String,
    fix: &'a str,
    since: &'a str,
    upstream: &'a [&'a str],
    url: String,
}

impl From<Position> for JsonPosition {
    fn from(position: Position) -> Self {
        Self { line: position.line, column: position.column, offset: position.offset }
    }
}

pub(super) fn range(places: &mut Places<'_>, span: Span) -> JsonRange {
    let (start, end) = places.range(span);
    JsonRange { start: start.into(), end: end.into() }
}

fn fix<'a>(linted: &'a Linted, fix: &'a Fix) -> JsonFix<'a> {
    let edits = fix.edits.iter().map(|edit| JsonEdit {
        file: linted.files.name(edit.span.file),
        start: edit.span.start,
        end: edit.span.end,
        text: &edit.text,
    });
    JsonFix { safety: fix.safety.as_str(), title: &fix.title, edits: edits.collect() }
}

fn diagnostic<'a>(
    linted: &'a Linted,
    places: &mut Places<'_>,
    diagnostic: &'a Diagnostic,
) -> JsonDiagnostic<'a> {
    let related = diagnostic.related.iter().map(|related| JsonRelated {
        file: linted.files.name(related.span.file),
        range: range(places, related.span),
        message: &related.message,
    });
    JsonDiagnostic {
        related: related.collect(),
        range: range(places, diagnostic.span),
        rule: diagnostic.rule,
        severity: diagnostic.severity.as_str(),
        message: &diagnostic.message,
        help: diagnostic.help.as_deref(),
        file: linted.files.name(diagnostic.span.file),
        resource: diagnostic.resource.as_ref().map(JsonResource::from),
        upstream: rules::find(diagnostic.rule).map_or(&[], |rule| rule.upstream),
        fix: diagnostic.fix.as_ref().map(|value| fix(linted, value)),
    }
}

/// Renders every finding of a run.
#[must_use]
pub fn render(batch: &[Linted]) -> String {
    let mut diagnostics = Vec::new();
    for linted in batch {
        let mut places = Places::new(linted);
        diagnostics.extend(linted.report.diagnostics.iter().map(|d| diagnostic(linted, &mut places, d)));
    }
    let Summary { files, documents, errors, warnings, infos, suppressed, baselined } = Summary::of(batch);
    let summary = JsonSummary { files, documents, errors, warnings, infos, suppressed, baselined };
    pretty(&Output { version: 1, diagnostics, summary })
}

/// Renders the list of all rules.
#[must_use]
pub fn rules() -> String {
    let rules = RULES.iter().map(|rule| JsonRule {
        id: rule.id,
        severity: rule.severity.as_str(),
        category: rule.category.as_str(),
        summary: rule.summary(),
        fix: rule.fix.as_str(),
        since: rule.since,
        upstream: rule.upstream,
        url: rule.url(),
    });
    pretty(&RuleList { version: 1, rules: rules.collect() })
}

#[cfg(test)]
mod tests {
    use crate::report::Linted;
    use crate::{Files, Settings, lint};

    #[test]
    fn a_finding_has_the_fields_of_version_1() {
        let mut files = Files::new();
        files.add("é.yaml", "# é\na: 1\na: 2\n");
        let report = lint(&files, &Settings::default());
        let json: serde_json::Value =
            serde_json::from_str(&super::render(&[Linted { files, report }])).unwrap();
        assert_eq!(json["version"], 1);
        let finding = &json["diagnostics"][0];
        assert_eq!(finding["rule"], "duplicate-key");
        assert_eq!(finding["severity"], "error");
        assert_eq!(finding["file"], "é.yaml");
        assert_eq!(finding["range"]["start"], serde_json::json!({"line": 3, "column": 1, "offset": 10}));
        assert_eq!(finding["resource"], serde_json::Value::Null);
        assert_eq!(finding["related"][0]["range"]["start"]["line"], 2);
        assert_eq!(finding["fix"], serde_json::Value::Null);
        assert_eq!(json["summary"]["errors"], 1);
        assert_eq!(json["summary"]["files"], 1);
    }
}
