//! `coalmine test` as a user runs it: the shipped expectations hold, and breaking the manifests breaks the right one
//! at the right place.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use self::support::{broken, copied, manifests, text};

fn test(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coalmine"));
    command.arg("test").args(args).current_dir(dir).env_remove("COALMINE_KEY_K1").output().unwrap()
}

#[track_caller]
fn json(dir: &Path, args: &[&str]) -> (Value, i32) {
    let output = test(dir, &[args, &["--format", "json"]].concat());
    let json = serde_json::from_slice(&output.stdout);
    (json.unwrap_or_else(|_| panic!("{}", text(&output.stderr))), output.status.code().unwrap())
}

/// `name (step)` of each expectation that fails.
fn failed(report: &Value) -> Vec<String> {
    let deployments = report["deployments"].as_array().unwrap().iter();
    let results = deployments.flat_map(|deployment| deployment["results"].as_array().unwrap());
    results
        .filter(|result| result["passed"] == false)
        .map(|result| format!("{} ({})", result["name"].as_str().unwrap(), result["step"].as_str().unwrap()))
        .collect()
}

/// The first failure of the named expectation.
#[track_caller]
fn failure<'r>(report: &'r Value, name: &str) -> &'r Value {
    let deployments = report["deployments"].as_array().unwrap().iter();
    let mut results = deployments.flat_map(|deployment| deployment["results"].as_array().unwrap());
    let result = results.find(|result| result["name"] == name && result["passed"] == false);
    &result.unwrap_or_else(|| panic!("{name} does not fail: {:?}", failed(report)))["failures"][0]
}

/// `file:line` of each place on a failure's way.
fn places(failure: &Value) -> Vec<String> {
    let lines = failure["way"].as_array().unwrap().iter();
    lines
        .filter(|line| !line["file"].is_null())
        .map(|line| format!("{}:{}", line["file"].as_str().unwrap(), line["range"]["start"]["line"]))
        .collect()
}

#[test]
fn the_shipped_expectations_hold_and_take_every_route() {
    let output = test(&manifests(), &[".", "--min-coverage", "100"]);
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}{}", text(&output.stderr));
    for file in ["voting", "voting-flag"] {
        assert!(out.contains(&format!("{file}/voting.routes.yaml\n")), "{out}");
    }
    for file in ["weighted", "weighted-sticky"] {
        assert!(out.contains(&format!("{file}/greeter.routes.yaml\n")), "{out}");
    }
    assert!(!out.contains('✗') && out.matches("(100 %)").count() == 4, "{out}");
}

const NOBODY: &str = "nobody without the flag reaches 2.0, not even through what 1.0 calls";
const COOKIE_ROUTE: &str = "3-canary/70-voting-app-virtual-service.yaml";

#[test]
fn a_cookie_regex_without_its_ends_lets_others_in() {
    let dir = broken("voting", COOKIE_ROUTE, "'^(.*?; *)?(featureflag=on)(;.*)?$'", "'.*featureflag=on.*'");
    let (report, code) = json(dir.path(), &[]);
    assert_eq!((code, failed(&report)), (1, vec![format!("{NOBODY} (3-canary)")]));
    let failure = failure(&report, NOBODY);
    assert_eq!(failure["found"], "reaches Deployment voting/voting-app-2-0");
    assert_eq!(failure["request"], "GET http://vote.example/ from gateway, cookie: featureflag=once");
    assert!(places(failure).contains(&format!("{COOKIE_ROUTE}:17")), "{failure}");
    let claim = fs::read_to_string(dir.path().join("voting.routes.yaml")).unwrap();
    let line = usize::try_from(failure["range"]["start"]["line"].as_u64().unwrap()).unwrap();
    assert_eq!(claim.lines().nth(line - 1).unwrap().trim(), "never: {version: \"2.0\"}");
}

#[test]
fn a_subset_that_is_swapped_leads_off_the_island() {
    let route = "3-canary/31-voting-analytics-virtual-service.yaml";
    let dir = broken("voting", route, "subset: v2-0", "subset: v1-1");
    let (report, code) = json(dir.path(), &[]);
    let expected = ["with the flag nobody reaches anything old (3-canary)", "2.0 calls 2.0 only (3-canary)"];
    assert_eq!((code, failed(&report)), (1, expected.map(str::to_owned).to_vec()));
    let failure = failure(&report, "2.0 calls 2.0 only");
    assert_eq!(failure["found"], "version 1.1 at Deployment voting/voting-analytics-1-1");
    assert!(places(failure).contains(&format!("{route}:27")), "{failure}");
}

#[test]
fn mtls_that_is_turned_off_on_one_side_is_named_with_both_places() {
    let rule = "3-canary/10-voting-app-destination-rule.yaml";
    let dir = broken("voting", rule, "ISTIO_MUTUAL", "DISABLE");
    let (report, code) = json(dir.path(), &[]);
    assert_eq!(code, 1);
    let failed_there = failure(&report, "the flag moves a visitor to 2.0");
    assert!(failed_there["found"].as_str().unwrap().starts_with("503 UC"), "{failed_there}");
    assert!(places(failed_there).contains(&"2-update/40-peer-authentication.yaml:9".to_owned()));

    let policy = "2-update/40-peer-authentication.yaml";
    let dir = broken("voting", policy, "STRICT", "PERMISSIVE");
    let (report, _) = json(dir.path(), &[]);
    let lock_down =
        failure(&report, "from the lock-down on visitors arrive by mTLS, and pods take nothing else");
    assert_eq!(lock_down["found"], "mtls permissive at Deployment voting/voting-app-1-0");
    assert!(places(lock_down).contains(&format!("{policy}:9")), "{lock_down}");
}

#[test]
fn a_filter_and_weights_are_part_of_the_question() {
    let filter = "istio-ingress/20-coalmine-filter.yaml";
    let dir = broken("voting-flag", filter, "        header: x-canary\n", "        header: x-release\n");
    let (report, _) = json(dir.path(), &[]);
    let forged = failure(&report, "nobody without the flag reaches 2.0, not even with a forged tag");
    assert!(forged["request"].as_str().unwrap().contains("x-canary: canary"), "{forged}");

    let dir = broken("weighted", "2-split/30-greeter-virtual-service.yaml", "weight: 50", "weight: 51");
    let (report, _) = json(dir.path(), &[]);
    assert_eq!(failed(&report), ["a coin is thrown for every request (2-split)"]);
}

#[test]
fn a_file_is_tested_with_the_manifests_around_it() {
    let elsewhere = tempfile::tempdir().unwrap();
    let file = manifests().join("voting/voting.routes.yaml");
    let (report, code) = json(elsewhere.path(), &[file.to_str().unwrap()]);
    assert_eq!((code, &report["summary"]["failed"]), (0, &0.into()));
    assert_eq!(report["version"], 1);
    assert_eq!(report["deployments"].as_array().unwrap().len(), 1);
    assert_eq!(report["deployments"][0]["coverage"]["percent"], 100.0);
}

#[test]
fn coverage_can_be_demanded_and_names_what_nobody_asks_for() {
    let dir = copied("weighted-sticky");
    let inside = "expect:\n  - name: inside the mesh both answer\n    request: {url: http://greeter/, from: deployment/greeter-v1}\n    \
                  reaches: {version: [v1, v2]}\n";
    fs::write(dir.path().join("greeter.routes.yaml"), inside).unwrap();
    let output = test(dir.path(), &["--min-coverage", "50"]);
    let out = text(&output.stdout);
    assert_eq!((output.status.code(), out.contains('✗')), (Some(1), false), "{out}");
    assert!(out.contains("routes exercised: 0/2 (0 %), less than 50 %"), "{out}");
    assert!(
        out.contains(
            "never: http[1] of VirtualService greeter/greeter  greeter/31-greeter-virtual-service.yaml:23"
        ),
        "{out}"
    );
}

#[test]
fn a_filter_by_name_runs_less_and_says_nothing_of_coverage() {
    let output = test(&manifests().join("voting"), &["--filter", "FLAG MOVES"]);
    let out = text(&output.stdout);
    assert!(out.contains("1 passed") && !out.contains("routes exercised"), "{out}");
    let none = test(&manifests().join("voting"), &["--filter", "no such"]);
    assert_eq!(none.status.code(), Some(2));
}

#[test]
fn junit_has_a_suite_per_file_and_a_failure_with_its_way() {
    let dir = broken("weighted", "2-split/30-greeter-virtual-service.yaml", "weight: 50", "weight: 51");
    let output = test(dir.path(), &["--format", "junit"]);
    let out = text(&output.stdout);
    assert!(
        out.contains("<testsuites name=\"coalmine test\" tests=\"3\" failures=\"1\" errors=\"0\">"),
        "{out}"
    );
    assert!(out.contains("<testcase name=\"after the shift nobody reaches v1 (3-shift)\" classname=\"greeter.routes.yaml\"/>"), "{out}");
    assert!(
        out.contains("<failure type=\"expectation\" message=\"expected 50 % v1, 50 % v2; found 50.495 % v1"),
        "{out}"
    );
    assert!(out.contains("2-split/30-greeter-virtual-service.yaml:16"), "{out}");
}

#[test]
fn tests_of_istio_config_validator_run_beside_the_manifests() {
    let dir = copied("weighted-sticky");
    fs::remove_file(dir.path().join("greeter.routes.yaml")).unwrap();
    let case = "testCases:\n  - description: tagged requests go to v2\n    wantMatch: true\n    request:\n      authority: [greeter.example]\n      \
                method: [GET]\n      uri: [/hello]\n      headers: {x-canary: canary}\n    route:\n      - destination:\n          \
                host: greeter.greeter.svc.cluster.local\n          subset: v2\n          port: {number: 80}\n";
    fs::write(dir.path().join("greeter_test.yml"), case).unwrap();
    let output = test(dir.path(), &[]);
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}{}", text(&output.stderr));
    assert!(
        out.contains("✓ tagged requests go to v2") && out.contains("routes exercised: 1/2 (50 %)"),
        "{out}"
    );
    // Named alone, the manifests beside it are its own, and no other expectations run.
    fs::write(dir.path().join("a.routes.yaml"), "expect: [{name: b, request: http://a/, flag: NR}]\n")
        .unwrap();
    let output = test(dir.path(), &["greeter_test.yml"]);
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{error}");
    assert!(out.contains("1 passed (1 request)"), "{out}");
    let output = test(dir.path(), &["a.routes.yaml"]);
    assert!(!text(&output.stdout).contains("tagged requests"), "{}", text(&output.stdout));
}

#[test]
fn what_cannot_be_run_is_2_with_a_place_or_an_example() {
    let dir = copied("weighted");
    let file = dir.path().join("greeter.routes.yaml");
    fs::write(&file, "expect:\n  - {name: a, step: 2-splt, request: http://a/, shares: {v1: 1/2}}\n")
        .unwrap();
    let output = test(dir.path(), &[]);
    let wanted = "greeter.routes.yaml:2:21: there is no step `2-splt`; did you mean `2-split`?";
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains(wanted), "{}", text(&output.stderr));
    fs::remove_file(&file).unwrap();
    let output = test(dir.path(), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("there are no expectations")
            && text(&output.stderr).contains("reaches:")
    );
    let alone = tempfile::tempdir().unwrap();
    fs::write(alone.path().join("a.routes.yaml"), "expect: []\n").unwrap();
    let output = test(alone.path(), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("no manifests beside it"), "{}", text(&output.stderr));
}

/// A `never` is true of a mesh that lost its routes, and must not be.
#[test]
fn manifests_that_cannot_be_read_are_2_with_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {ports: [{port: 80}]}\n";
    let gateway = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gw, namespace: shop}\nspec:\n  \
                   selector: {istio: ingress}\n  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]\n";
    let rule = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web, namespace: shop}\nspec:\n  \
                hosts: [a.example]\n  gateways: [gw]\n  http:\n  - match: MATCH\n    route: [{destination: {host: web}}]\n";
    let case = "expect:\n  - {name: a, request: http://a.example/b, never: {host: web}}\n";
    fs::write(dir.path().join("app.yaml"), format!("{service}---\n{gateway}")).unwrap();
    fs::write(dir.path().join("a.routes.yaml"), case).unwrap();
    for (test_of_path, place) in [
        ("[{uri: {prefix: /c}}]", ""),
        ("[{uri: {prefix: /c}]", "vs.yaml:8:"),
        ("{uri: {prefix: /c}}", "vs.yaml:8:5: "),
    ] {
        fs::write(dir.path().join("vs.yaml"), rule.replace("MATCH", test_of_path)).unwrap();
        let output = test(dir.path(), &["."]);
        let wanted = if place.is_empty() { 0 } else { 2 };
        assert_eq!(output.status.code(), Some(wanted), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains(place), "{}", text(&output.stderr));
    }
    // Nothing to exercise is not everything exercised.
    fs::remove_file(dir.path().join("vs.yaml")).unwrap();
    let output = test(dir.path(), &["."]);
    assert!(!text(&output.stdout).contains("100 %"), "{}", text(&output.stdout));
}
