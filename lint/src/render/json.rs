//! The JSON output, version 1. Additions are free; what is here stays. The types are those of the npm package too,
//! which is why they carry the names and comments that TypeScript gets (feature `ts`).

use serde::Serialize;

use super::{Places, Position, Units, pretty};
use crate::diagnostic::{Diagnostic, Fix, ResourceName};
use crate::report::{Linted, Summary};
use crate::rule::Rule;
use crate::rules::{self, RULES};
use crate::span::Span;

/// Every finding of a run.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "Report"))]
pub struct Output<'a> {
    /// 1.
    pub version: u32,
    /// By deployment, file and place.
    pub diagnostics: Vec<JsonDiagnostic<'a>>,
    /// Numbers over all deployments.
    pub summary: JsonSummary,
}

/// One finding.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "Diagnostic"))]
pub struct JsonDiagnostic<'a> {
    /// The rule's id.
    pub rule: &'a str,
    /// How bad it is.
    #[cfg_attr(feature = "ts", ts(type = "Severity"))]
    pub severity: &'a str,
    /// What is wrong, in one sentence without a full stop.
    pub message: &'a str,
    /// What to do about it.
    pub help: Option<&'a str>,
    /// The name of the file.
    pub file: &'a str,
    /// The place to look at first.
    pub range: JsonRange,
    /// The object it belongs to.
    pub resource: Option<JsonResource<'a>>,
    /// The istioctl (`IST…`) and Kiali (`KIA…`) codes that the rule covers.
    pub upstream: &'a [&'a str],
    /// Other places that matter.
    pub related: Vec<JsonRelated<'a>>,
    /// A repair, when there is one.
    pub fix: Option<JsonFix<'a>>,
}

/// From the first character to behind the last.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "Range"))]
pub struct JsonRange {
    /// The first character.
    pub start: JsonPosition,
    /// Behind the last character.
    pub end: JsonPosition,
}

/// A place in a file.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "Position"))]
pub struct JsonPosition {
    /// 1-based.
    pub line: u32,
    /// 1-based, in Unicode scalar values; in UTF-16 code units where that was asked for.
    pub column: u32,
    /// In bytes of UTF-8; in UTF-16 code units where that was asked for.
    pub offset: u32,
}

/// A Kubernetes object.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "Resource"))]
pub struct JsonResource<'a> {
    /// `VirtualService`.
    pub kind: &'a str,
    /// The effective namespace; null for cluster-scoped kinds.
    pub namespace: Option<&'a str>,
    /// `metadata.name`.
    pub name: &'a str,
}

impl<'a> From<&'a ResourceName> for JsonResource<'a> {
    fn from(resource: &'a ResourceName) -> Self {
        Self { kind: &resource.kind, namespace: resource.namespace.as_deref(), name: &resource.name }
    }
}

/// A second place that matters for a finding.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "Related"))]
pub struct JsonRelated<'a> {
    /// The name of the file.
    pub file: &'a str,
    /// Where.
    pub range: JsonRange,
    /// What stands there.
    pub message: &'a str,
}

/// A repair of one finding.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "Fix"))]
pub struct JsonFix<'a> {
    /// Whether it can be applied without a second look.
    #[cfg_attr(feature = "ts", ts(type = "\"safe\" | \"unsafe\""))]
    pub safety: &'a str,
    /// What it does, in the imperative.
    pub title: &'a str,
    /// Non-overlapping replacements, all applied or none.
    pub edits: Vec<JsonEdit<'a>>,
}

/// Replaces a part of a file.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "Edit"))]
pub struct JsonEdit<'a> {
    /// The name of the file.
    pub file: &'a str,
    /// The offset of the first replaced character, in the unit of positions.
    pub start: u32,
    /// The offset behind the last; equal to `start` for an insertion.
    pub end: u32,
    /// The new text.
    pub text: &'a str,
}

/// Findings over all deployments of a run.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "Summary"))]
pub struct JsonSummary {
    /// Files read.
    pub files: usize,
    /// YAML documents that hold an object.
    pub documents: usize,
    /// Findings of severity error.
    pub errors: usize,
    /// Findings of severity warning.
    pub warnings: usize,
    /// Findings of severity info.
    pub infos: usize,
    /// Findings that a suppression hid.
    pub suppressed: usize,
    /// Findings that a baseline hid; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "ts", ts(optional))]
    pub baselined: Option<usize>,
}

/// Every rule.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "RuleList"))]
pub struct RuleList<'a> {
    /// 1.
    pub version: u32,
    /// In the order of their registry.
    pub rules: Vec<JsonRule<'a>>,
}

/// One rule.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "Rule"))]
pub struct JsonRule<'a> {
    /// Kebab-case, never reused.
    pub id: &'a str,
    /// The severity of its findings unless the settings say otherwise.
    #[cfg_attr(feature = "ts", ts(type = "Severity"))]
    pub severity: &'a str,
    /// Where it belongs.
    pub category: &'a str,
    /// What it reports, in one sentence.
    pub summary: String,
    /// The best repair it can offer.
    #[cfg_attr(feature = "ts", ts(type = "\"none\" | \"safe\" | \"unsafe\""))]
    pub fix: &'a str,
    /// The version that introduced it.
    pub since: &'a str,
    /// The istioctl (`IST…`) and Kiali (`KIA…`) codes it covers.
    pub upstream: &'a [&'a str],
    /// The rule's page.
    pub url: String,
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

fn fix<'a>(linted: &'a Linted, places: &mut Places<'_>, fix: &'a Fix) -> JsonFix<'a> {
    let edits = fix.edits.iter().map(|edit| {
        let (start, end) = places.range(edit.span);
        let file = linted.files.name(edit.span.file);
        JsonEdit { file, start: start.offset, end: end.offset, text: &edit.text }
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
        fix: diagnostic.fix.as_ref().map(|value| fix(linted, places, value)),
    }
}

/// Every finding of a run.
#[must_use]
pub fn output(batch: &[Linted], units: Units) -> Output<'_> {
    let mut diagnostics = Vec::new();
    for linted in batch {
        let mut places = Places::of(&linted.files, units);
        diagnostics.extend(linted.report.diagnostics.iter().map(|d| diagnostic(linted, &mut places, d)));
    }
    let Summary { files, documents, errors, warnings, infos, suppressed, baselined } = Summary::of(batch);
    let summary = JsonSummary { files, documents, errors, warnings, infos, suppressed, baselined };
    Output { version: 1, diagnostics, summary }
}

/// Renders every finding of a run.
#[must_use]
pub fn render(batch: &[Linted]) -> String {
    pretty(&output(batch, Units::Scalars))
}

/// One rule.
#[must_use]
pub fn rule(rule: &'static Rule) -> JsonRule<'static> {
    JsonRule {
        id: rule.id,
        severity: rule.severity.as_str(),
        category: rule.category.as_str(),
        summary: rule.summary(),
        fix: rule.fix.as_str(),
        since: rule.since,
        upstream: rule.upstream,
        url: rule.url(),
    }
}

/// Every rule.
#[must_use]
pub fn rule_list() -> RuleList<'static> {
    RuleList { version: 1, rules: RULES.iter().map(|rule| self::rule(rule)).collect() }
}

/// Renders the list of all rules.
#[must_use]
pub fn rules() -> String {
    pretty(&rule_list())
}

/// Declares the types of this format for TypeScript.
#[cfg(feature = "ts")]
pub(crate) fn declare(to: &mut crate::typescript::Declarations) {
    to.add_text("/** How bad a finding is. */", "type Severity = \"error\" | \"warning\" | \"info\";");
    to.add::<JsonPosition>();
    to.add::<JsonRange>();
    to.add::<JsonResource<'static>>();
    to.add::<JsonRelated<'static>>();
    to.add::<JsonEdit<'static>>();
    to.add::<JsonFix<'static>>();
    to.add::<JsonDiagnostic<'static>>();
    to.add::<JsonSummary>();
    to.add::<Output<'static>>();
    to.add::<JsonRule<'static>>();
    to.add::<RuleList<'static>>();
}

#[cfg(test)]
mod tests {
    use crate::render::Units;
    use crate::report::Linted;
    use crate::{Files, Settings, lint};

    #[test]
    fn places_can_count_in_utf_16() {
        let mut files = Files::new();
        files.add("a.yaml", "# é𝄞\na: 1 # é𝄞\n\"𝄞\": 1\n\"𝄞\": 2\n");
        let report = lint(&files, &Settings::default());
        let batch = [Linted { files, report }];
        let place = |units| {
            let json = serde_json::to_value(super::output(&batch, units)).unwrap();
            json["diagnostics"][0]["range"]["end"].clone()
        };
        assert_eq!(place(Units::Scalars), serde_json::json!({"line": 4, "column": 4, "offset": 39}));
        assert_eq!(place(Units::Utf16), serde_json::json!({"line": 4, "column": 5, "offset": 29}));
    }

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
