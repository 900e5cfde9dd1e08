//! SARIF 2.1.0, as GitHub code scanning and other viewers take it.
//!
//! One run with every rule, so that a viewer knows the rules that found nothing. Related places are linked from
//! the message: GitHub shows only those.

use serde::Serialize;

use super::{Places, pretty};
use crate::diagnostic::{Diagnostic, Fix, Severity};
use crate::fingerprint::{self, Occurrences};
use crate::report::{Linted, Summary};
use crate::rule::Rule;
use crate::rules::RULES;
use crate::span::Span;

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// What relative paths are relative to.
const ROOT: &str = "%SRCROOT%";

#[derive(Serialize)]
struct Log<'a> {
    #[serde(rename = "$schema")]
    schema: &'a str,
    version: &'a str,
    runs: [Run<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: Tool<'a>,
    column_kind: &'a str,
    original_uri_base_ids: Bases<'a>,
    results: Vec<SarifResult<'a>>,
}

#[derive(Serialize)]
struct Bases<'a> {
    #[serde(rename = "%SRCROOT%")]
    root: Base<'a>,
}

#[derive(Serialize)]
struct Base<'a> {
    description: Text<'a>,
}

#[derive(Serialize)]
struct Tool<'a> {
    driver: Driver<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver<'a> {
    name: &'a str,
    semantic_version: &'a str,
    information_uri: &'a str,
    rules: Vec<Descriptor>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    id: &'static str,
    short_description: OwnedText,
    full_description: OwnedText,
    help: Help,
    help_uri: String,
    default_configuration: Configuration,
    properties: RuleProperties,
}

#[derive(Serialize)]
struct OwnedText {
    text: String,
}

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
}

#[derive(Serialize)]
struct Help {
    text: String,
    markdown: String,
}

#[derive(Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Serialize)]
struct RuleProperties {
    tags: [&'static str; 2],
    precision: &'static str,
    #[serde(rename = "problem.severity")]
    severity: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    upstream: &'static [&'static str],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SarifResult<'a> {
    rule_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule_index: Option<usize>,
    level: &'a str,
    message: OwnedText,
    locations: [Location<'a>; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_locations: Vec<Location<'a>>,
    partial_fingerprints: Fingerprints,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline_state: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fixes: Vec<SarifFix<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Fingerprints {
    primary_location_line_hash: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<usize>,
    physical_location: PhysicalLocation,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logical_locations: Vec<LogicalLocation<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Text<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogicalLocation<'a> {
    name: &'a str,
    fully_qualified_name: String,
    kind: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: Artifact,
    region: Region,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Artifact {
    uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri_base_id: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: u32,
    start_column: u32,
    end_line: u32,
    end_column: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SarifFix<'a> {
    description: OwnedText,
    artifact_changes: Vec<Change<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Change<'a> {
    artifact_location: Artifact,
    replacements: Vec<Replacement<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Replacement<'a> {
    deleted_region: Region,
    inserted_content: Text<'a>,
}

/// Renders every finding of a run. Findings that a baseline hides are left out, because GitHub would show them
/// as open; those that remain are marked as new.
#[must_use]
pub fn render(batch: &[Linted]) -> String {
    let baseline_state = Summary::of(batch).baselined.map(|_| "new");
    let mut occurrences = Occurrences::default();
    let mut results = Vec::new();
    for linted in batch {
        let mut places = Places::in_utf16(linted);
        for diagnostic in &linted.report.diagnostics {
            results.push(SarifResult {
                baseline_state,
                ..result(linted, &mut places, diagnostic, &mut occurrences)
            });
        }
    }
    let driver = Driver {
        name: "coalmine",
        semantic_version: env!("CARGO_PKG_VERSION"),
        information_uri: "https://github.com/coalmine/coalmine",
        rules: RULES.iter().map(|rule| descriptor(rule)).collect(),
    };
    let root = Base { description: Text { text: "The folder that coalmine ran in." } };
    pretty(&Log {
        schema: SCHEMA,
        version: "2.1.0",
        runs: [Run {
            tool: Tool { driver },
            column_kind: "utf16CodeUnits",
            original_uri_base_ids: Bases { root },
            results,
        }],
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

fn descriptor(rule: &Rule) -> Descriptor {
    let markdown = rule.markdown().trim().to_owned();
    Descriptor {
        id: rule.id,
        short_description: OwnedText { text: format!("{}.", rule.summary()) },
        full_description: OwnedText { text: rule.section("Why it matters") },
        help: Help { text: markdown.clone(), markdown },
        help_uri: rule.url(),
        default_configuration: Configuration { level: level(rule.severity) },
        properties: RuleProperties {
            tags: ["istio", rule.category.as_str()],
            precision: "high",
            // GitHub's own words.
            severity: match rule.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Info => "recommendation",
            },
            upstream: rule.upstream,
        },
    }
}

fn result<'a>(
    linted: &'a Linted,
    places: &mut Places<'_>,
    diagnostic: &'a Diagnostic,
    occurrences: &mut Occurrences,
) -> SarifResult<'a> {
    let file = linted.files.name(diagnostic.span.file);
    let context = fingerprint::context(&linted.files, diagnostic);
    let occurrence = occurrences.next(diagnostic.rule, file, &context);
    let related: Vec<Location<'_>> = diagnostic
        .related
        .iter()
        .enumerate()
        .map(|(index, related)| Location {
            id: Some(index + 1),
            physical_location: physical(linted, places, related.span),
            logical_locations: Vec::new(),
            message: Some(Text { text: &related.message }),
        })
        .collect();
    let logical = diagnostic.resource.iter().map(|resource| LogicalLocation {
        name: &resource.name,
        fully_qualified_name: match &resource.namespace {
            Some(namespace) => format!("{namespace}/{}/{}", resource.kind, resource.name),
            None => format!("{}/{}", resource.kind, resource.name),
        },
        kind: "resource",
    });
    SarifResult {
        rule_id: diagnostic.rule,
        rule_index: RULES.iter().position(|rule| rule.id == diagnostic.rule),
        level: level(diagnostic.severity),
        message: OwnedText { text: message(diagnostic) },
        locations: [Location {
            id: None,
            physical_location: physical(linted, places, diagnostic.span),
            logical_locations: logical.collect(),
            message: None,
        }],
        related_locations: related,
        partial_fingerprints: Fingerprints { primary_location_line_hash: format!("{context}:{occurrence}") },
        baseline_state: None,
        fixes: diagnostic.fix.iter().map(|value| fix(linted, places, value)).collect(),
    }
}

/// The message with its help and a link to each related place.
fn message(diagnostic: &Diagnostic) -> String {
    let mut text = plain(&diagnostic.message);
    if let Some(help) = &diagnostic.help {
        text.push_str(&format!("\nhelp: {}", plain(help)));
    }
    let links: Vec<String> = diagnostic
        .related
        .iter()
        .enumerate()
        .map(|(index, related)| format!("[{}]({})", escape(&related.message), index + 1))
        .collect();
    if !links.is_empty() {
        text.push_str(&format!("\nsee also: {}", links.join(", ")));
    }
    text
}

/// Text that no viewer may take for a link: a link needs `](`.
fn plain(text: &str) -> String {
    if text.contains("](") { escape(text) } else { text.to_owned() }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]")
}

fn physical(linted: &Linted, places: &mut Places<'_>, span: Span) -> PhysicalLocation {
    PhysicalLocation {
        artifact_location: artifact(linted.files.name(span.file)),
        region: region(places, span),
    }
}

fn region(places: &mut Places<'_>, span: Span) -> Region {
    let (start, end) = places.range(span);
    Region { start_line: start.line, start_column: start.column, end_line: end.line, end_column: end.column }
}

fn fix<'a>(linted: &'a Linted, places: &mut Places<'_>, fix: &'a Fix) -> SarifFix<'a> {
    let mut changes: Vec<(Span, Change<'_>)> = Vec::new();
    for edit in &fix.edits {
        let replacement = Replacement {
            deleted_region: region(places, edit.span),
            inserted_content: Text { text: &edit.text },
        };
        match changes.iter_mut().find(|(span, _)| span.file == edit.span.file) {
            Some((_, change)) => change.replacements.push(replacement),
            None => changes.push((
                edit.span,
                Change {
                    artifact_location: artifact(linted.files.name(edit.span.file)),
                    replacements: vec![replacement],
                },
            )),
        }
    }
    SarifFix {
        description: OwnedText { text: format!("{} ({})", fix.title, fix.safety.as_str()) },
        artifact_changes: changes.into_iter().map(|(_, change)| change).collect(),
    }
}

fn artifact(name: &str) -> Artifact {
    let path = encode(name);
    if name.starts_with('/') {
        return Artifact { uri: format!("file://{path}"), uri_base_id: None };
    }
    let drive = name.as_bytes().first().is_some_and(u8::is_ascii_alphabetic) && name.get(1..3) == Some(":/");
    if drive {
        return Artifact { uri: format!("file:///{path}"), uri_base_id: None };
    }
    Artifact { uri: path, uri_base_id: Some(ROOT) }
}

/// The path of a URI (RFC 3986). A colon is encoded as well: in the first segment it would end a scheme.
fn encode(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=@/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
