//! Results of expectations for machines: JSON, version 1, and JUnit XML with a suite per file. Own types, so that a
//! change of the model cannot change what others parse.

use std::fmt::Write as _;

use serde::Serialize;

use super::json::{JsonRange, JsonResource, range};
use super::junit::Suites;
use super::xml::{attribute, text};
use super::{Places, Units, pretty};
use crate::expect::{CaseReport, Failure, Line, Report, RuleUse};
use crate::files::Files;

/// One deployment that was tested: its files, and what came of it.
#[derive(Clone, Copy, Debug)]
pub struct Tested<'t> {
    /// The files that spans are in.
    pub files: &'t Files,
    /// What came of it.
    pub report: &'t Report,
    /// Whether the coverage says anything: not when only some expectations were run.
    pub covered: bool,
}

#[derive(Serialize)]
struct Output<'a> {
    version: u32,
    deployments: Vec<JsonDeployment<'a>>,
    summary: JsonSummary,
}

#[derive(Serialize)]
struct JsonSummary {
    passed: usize,
    failed: usize,
    requests: usize,
}

#[derive(Serialize)]
struct JsonDeployment<'a> {
    results: Vec<JsonResult<'a>>,
    coverage: Option<JsonCoverage<'a>>,
}

#[derive(Serialize)]
struct JsonResult<'a> {
    name: &'a str,
    step: Option<&'a str>,
    passed: bool,
    requests: usize,
    file: &'a str,
    range: JsonRange,
    failures: Vec<JsonFailure<'a>>,
}

#[derive(Serialize)]
struct JsonFailure<'a> {
    file: &'a str,
    range: JsonRange,
    expected: &'a str,
    found: &'a str,
    request: &'a str,
    others: usize,
    way: Vec<JsonLine<'a>>,
}

#[derive(Serialize)]
struct JsonLine<'a> {
    text: &'a str,
    file: Option<&'a str>,
    range: Option<JsonRange>,
}

#[derive(Serialize)]
struct JsonCoverage<'a> {
    exercised: usize,
    total: usize,
    /// Null when there is no rule.
    percent: Option<f64>,
    rules: Vec<JsonRule<'a>>,
}

#[derive(Serialize)]
struct JsonRule<'a> {
    resource: JsonResource<'a>,
    list: &'a str,
    index: usize,
    exercised: bool,
    file: &'a str,
    range: JsonRange,
}

/// Renders as JSON, version 1.
#[must_use]
pub fn json(tested: &[Tested<'_>]) -> String {
    let results = || tested.iter().flat_map(|tested| tested.report.results());
    let passed = results().filter(|result| result.passed()).count();
    pretty(&Output {
        version: 1,
        deployments: tested.iter().map(|tested| deployment(*tested)).collect(),
        summary: JsonSummary {
            passed,
            failed: results().count() - passed,
            requests: results().map(|result| result.requests).sum(),
        },
    })
}

fn deployment<'a>(tested: Tested<'a>) -> JsonDeployment<'a> {
    let Tested { files, report, covered } = tested;
    let mut places = Places::of(files, Units::Scalars);
    let results = report.results().map(|result| JsonResult {
        name: &result.name,
        step: result.step.as_deref(),
        passed: result.passed(),
        requests: result.requests,
        file: files.name(result.span.file),
        range: range(&mut places, result.span),
        failures: result.failures.iter().map(|failure| json_failure(files, &mut places, failure)).collect(),
    });
    let results = results.collect();
    let coverage = covered.then(|| JsonCoverage {
        exercised: report.coverage.exercised(),
        total: report.coverage.rules.len(),
        percent: report.coverage.percent(),
        rules: report
            .coverage
            .rules
            .iter()
            .map(|rule: &RuleUse| JsonRule {
                resource: (&rule.object).into(),
                list: rule.kind.as_str(),
                index: rule.index,
                exercised: rule.exercised,
                file: files.name(rule.span.file),
                range: range(&mut places, rule.span),
            })
            .collect(),
    });
    JsonDeployment { results, coverage }
}

fn json_failure<'a>(files: &'a Files, places: &mut Places<'a>, failure: &'a Failure) -> JsonFailure<'a> {
    JsonFailure {
        file: files.name(failure.span.file),
        range: range(places, failure.span),
        expected: &failure.expected,
        found: &failure.found,
        request: &failure.request,
        others: failure.others,
        way: failure
            .way
            .iter()
            .map(|line| JsonLine {
                text: &line.text,
                file: line.span.map(|span| files.name(span.file)),
                range: line.span.map(|span| range(places, span)),
            })
            .collect(),
    }
}

/// The name of a result: with its step, since one expectation can be asked after several.
#[must_use]
pub fn title(result: &CaseReport) -> String {
    match &result.step {
        Some(step) => format!("{} ({step})", result.name),
        None => result.name.clone(),
    }
}

/// Renders as JUnit XML: a suite per file, a test per expectation and step.
#[must_use]
pub fn junit(tested: &[Tested<'_>]) -> String {
    let mut suites = Suites::default();
    for Tested { files, report, .. } in tested {
        let mut places = Places::of(files, Units::Scalars);
        for suite in &report.suites {
            let name = attribute(files.name(suite.file));
            let failed = suite.results.iter().filter(|result| !result.passed()).count();
            suites.open(&name, suite.results.len(), failed);
            for result in &suite.results {
                case(&mut suites.out, &name, files, &mut places, result);
            }
            suites.close();
        }
    }
    suites.finish("coalmine test")
}

fn case(out: &mut String, class: &str, files: &Files, places: &mut Places<'_>, result: &CaseReport) {
    let name = attribute(&title(result));
    let [first, ..] = result.failures.as_slice() else {
        let _ = writeln!(out, "    <testcase name=\"{name}\" classname=\"{class}\"/>");
        return;
    };
    // JUnit's schema has one failure per test: the first names it, the text has all.
    let message = attribute(&format!("expected {}; found {}", first.expected, first.found));
    let mut body = String::new();
    for failure in &result.failures {
        let at = places.range(failure.span).0;
        let _ = writeln!(
            body,
            "{}:{}:{}: {}",
            files.name(failure.span.file),
            at.line,
            at.column,
            failure.request
        );
        let _ = writeln!(body, "  expected {}\n  found    {}", failure.expected, failure.found);
        for Line { text, span } in &failure.way {
            let place = span.map_or_else(String::new, |span| {
                format!("  {}:{}", files.name(span.file), places.range(span).0.line)
            });
            let _ = writeln!(body, "    {text}{place}");
        }
    }
    let _ = writeln!(out, "    <testcase name=\"{name}\" classname=\"{class}\">");
    let body = text(body.trim_end());
    let _ = writeln!(out, "      <failure type=\"expectation\" message=\"{message}\">{body}</failure>");
    out.push_str("    </testcase>\n");
}
