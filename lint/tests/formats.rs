//! The formats for machines, each against its schema and against what it says of the files. JUnit's schema is
//! XSD, which `tests/tests/hooks.rs` checks with a validator from PyPI.
#![allow(clippy::disallowed_methods)]

use std::collections::HashSet;
use std::fs;

use coalmine::line_index::{ColumnUnit, LineColumn, LineIndex};
use coalmine::render::{gitlab, sarif};
use coalmine::{Files, Linted, Safety, Settings, fix, lint};
use serde_json::Value;

/// Findings of every severity, with related places in other files, fixes, names that need escaping, and columns
/// that differ in bytes, characters and UTF-16.
fn broken() -> Linted {
    let mut files = Files::new();
    files.add(
        "shop/päth [1]: a.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: reviews}\nspec:\n  selector: {app: reviews}\n  ports: [{name: http, port: 80}]\n\
         ---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: reviews}\nspec:\n  hosts: [reviews]\n  http:\n\
         \x20 - {name: \"𝄞é\", route: [{destination: {host: reviews, subset: v1.0}}]}\n",
    );
    files.add(
        "/abs/rule.yaml",
        "apiVersion: networking.istio.io/v1alpha3\nkind: DestinationRule\nmetadata: {name: reviews}\nspec:\n  host: reviews\n  subsets:\n\
         \x20 - name: v1-0\n    labels: {version: \"1.0\"}\n",
    );
    files.add("C:/twice.yaml", "a: 1\na: 1\na: 1\n");
    let report = lint(&files, &Settings::default());
    Linted { files, report }
}

fn schema(name: &str) -> jsonschema::Validator {
    let path = format!("{}/tests/schemas/{name}", env!("CARGO_MANIFEST_DIR"));
    let schema: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

fn assert_valid(validator: &jsonschema::Validator, value: &Value) {
    let errors: Vec<String> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

#[test]
fn sarif_is_valid_with_and_without_findings_and_a_wrong_field_is_seen() {
    let schema = schema("sarif-2.1.0.json");
    let mut linted = broken();
    let mut log: Value = serde_json::from_str(&sarif::render(std::slice::from_ref(&linted))).unwrap();
    assert_valid(&schema, &log);
    assert_valid(&schema, &serde_json::from_str(&sarif::render(&[])).unwrap());
    linted.report.baselined = Some(1);
    let known: Value = serde_json::from_str(&sarif::render(&[linted])).unwrap();
    assert_valid(&schema, &known);
    assert_eq!(known["runs"][0]["results"][0]["baselineState"], "new");
    log["runs"][0]["results"][0]["level"] = "fatal".into();
    assert!(!schema.is_valid(&log), "the schema refuses nothing");
}

#[test]
fn sarif_says_where_in_utf16_and_its_fixes_do_what_ours_do() {
    let linted = broken();
    let log: Value = serde_json::from_str(&sarif::render(std::slice::from_ref(&linted))).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    let result = results.iter().find(|result| result["ruleId"] == "unknown-subset").unwrap();
    let rule = result["ruleIndex"].as_u64().unwrap() as usize;
    assert_eq!(log["runs"][0]["tool"]["driver"]["rules"][rule]["id"], "unknown-subset");

    let place = &result["locations"][0];
    assert_eq!(place["physicalLocation"]["artifactLocation"]["uri"], "shop/p%C3%A4th%20%5B1%5D%3A%20a.yaml");
    assert_eq!(place["logicalLocations"][0]["fullyQualifiedName"], "default/VirtualService/reviews");
    let related = &result["relatedLocations"][0];
    assert_eq!(related["physicalLocation"]["artifactLocation"]["uri"], "file:///abs/rule.yaml");
    let message = result["message"]["text"].as_str().unwrap();
    assert!(message.contains("](1)"), "GitHub shows only related places that are linked: {message}");

    let change = &result["fixes"][0]["artifactChanges"][0];
    let (id, file) = linted.files.iter().next().unwrap();
    let index = LineIndex::new(file.text());
    let offset = |region: &Value, line: &str, column: &str| {
        let part = |key: &str| u32::try_from(region[key].as_u64().unwrap()).unwrap() - 1;
        let at = LineColumn { line: part(line), column: part(column) };
        index.offset(file.text(), at, ColumnUnit::Utf16) as usize
    };
    let replacement = &change["replacements"][0];
    let region = &replacement["deletedRegion"];
    let (start, end) = (offset(region, "startLine", "startColumn"), offset(region, "endLine", "endColumn"));
    assert_eq!(&file.text()[start..end], "v1.0");
    let mut text = file.text().to_owned();
    text.replace_range(start..end, replacement["insertedContent"]["text"].as_str().unwrap());
    let settings = Settings { select: vec!["unknown-subset".to_owned()], ..Settings::default() };
    assert_eq!(text, fix::fix(&linted.files, &settings, Safety::Unsafe).files.text(id));

    let twice = results.iter().find(|result| {
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "file:///C%3A/twice.yaml"
    });
    assert!(twice.is_some(), "a drive is no scheme");
    let prints: HashSet<String> = results
        .iter()
        .map(|result| format!("{}{}{}", result["ruleId"], result["locations"], result["partialFingerprints"]))
        .collect();
    assert_eq!(prints.len(), results.len());
}

#[test]
fn gitlab_is_valid_with_unique_fingerprints_and_a_wrong_field_is_seen() {
    let schema = schema("gitlab-code-quality.json");
    let linted = broken();
    let mut report: Value = serde_json::from_str(&gitlab::render(std::slice::from_ref(&linted))).unwrap();
    assert_valid(&schema, &report);
    assert_valid(&schema, &serde_json::from_str(&gitlab::render(&[])).unwrap());
    let issues = report.as_array().unwrap();
    assert_eq!(issues.len(), linted.report.diagnostics.len());
    let prints: HashSet<&str> = issues.iter().map(|issue| issue["fingerprint"].as_str().unwrap()).collect();
    assert_eq!(prints.len(), issues.len());
    report[0]["severity"] = "error".into();
    assert!(!schema.is_valid(&report), "the schema refuses nothing");
}
