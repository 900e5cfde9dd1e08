//! `coalmine rollout` as a user runs it: the shipped orders pass, each way to get one wrong is rejected with
//! the reason and the place, and `--write-order` repairs it.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use self::support::{coalmine, copied, manifests, stderr, stdout};

fn run(folder: &Path, args: &[&str]) -> Output {
    coalmine(folder, &[&["rollout"], args].concat())
}

fn json(folder: &Path, args: &[&str]) -> Value {
    let output = run(folder, &[args, &["--format", "json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)))
}

/// `rule file:line` of every finding.
fn found(json: &Value) -> Vec<String> {
    let line = |finding: &Value| {
        let (rule, file) = (finding["rule"].as_str().unwrap(), finding["file"].as_str().unwrap());
        format!("{rule} {file}:{}", finding["range"]["start"]["line"])
    };
    json["diagnostics"].as_array().unwrap().iter().map(line).collect()
}

/// Changes a text of a copy.
fn edit(dir: &TempDir, file: &str, change: impl Fn(&str) -> String) {
    let path = dir.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    let new = change(&text);
    assert_ne!(text, new, "{file} did not change");
    fs::write(path, new).unwrap();
}

/// Takes lines out of a text and puts them in front of another.
fn put_before(text: &str, lines: &str, before: &str) -> String {
    assert!(text.contains(lines) && text.contains(before), "{lines} or {before} is not in\n{text}");
    text.replacen(lines, "", 1).replacen(before, &format!("{lines}{before}"), 1)
}

const ORDER: &str = "coalmine.yaml";
const APP_RULE: &str = "      - apply: 4-finalize/11-voting-app-destination-rule.yaml\n";
const ANALYTICS_RULE: &str = "      - apply: 4-finalize/21-voting-analytics-destination-rule.yaml\n";
const STORAGE_RULE: &str = "      - apply: 4-finalize/31-voting-storage-destination-rule.yaml\n";
const ROUTES: &str = "      - apply:\n          - 3-canary/30-voting-storage-virtual-service.yaml\n          \
                      - 3-canary/31-voting-analytics-virtual-service.yaml\n";
const DOOR: &str = "      - apply: 3-canary/70-voting-app-virtual-service.yaml\n";
const STORAGE: &str = "      - apply:\n          - 3-canary/40-voting-storage-secret.yaml\n";
const PORT: &str = "      - apply: 3-canary/20-voting-storage-service.yaml\n";
const STRICT: &str = "      - apply: 2-update/40-peer-authentication.yaml\n";
const FINALIZE: &str = "  # From the edge inwards.";

fn rules_first() -> TempDir {
    let dir = copied("voting");
    let route = "      - apply: 4-finalize/10-voting-app-virtual-service.yaml\n";
    edit(&dir, ORDER, |text| {
        let text = put_before(text, APP_RULE, route);
        put_before(&put_before(&text, ANALYTICS_RULE, route), STORAGE_RULE, route)
    });
    dir
}

fn workloads_before_routes() -> TempDir {
    let dir = copied("voting");
    edit(&dir, ORDER, |text| put_before(text, ROUTES, DOOR));
    dir
}

fn door_before_workloads() -> TempDir {
    let dir = copied("voting");
    edit(&dir, ORDER, |text| put_before(text, DOOR, STORAGE));
    dir
}

fn port_last() -> TempDir {
    let dir = copied("voting");
    edit(&dir, ORDER, |text| put_before(text, PORT, &format!("\n{FINALIZE}")));
    dir
}

/// The namespace gets its label only in step 2, after STRICT.
fn strict_before_injection() -> TempDir {
    let dir = copied("voting");
    let label = fs::read_to_string(dir.path().join("1-deploy/00-namespace.yaml")).unwrap();
    fs::write(dir.path().join("2-update/50-namespace.yaml"), label).unwrap();
    edit(&dir, "1-deploy/00-namespace.yaml", |text| text.replace("enabled", "disabled"));
    edit(&dir, ORDER, |text| {
        let moved = put_before(text, STRICT, "      - apply: 2-update/10-voting-analytics-1.1.yaml\n");
        let label = "      - apply: 2-update/50-namespace.yaml\n";
        moved.replacen(STRICT, &format!("{STRICT}{label}"), 1)
    });
    dir
}

#[test]
fn the_shipped_orders_pass() {
    for deployment in ["voting", "voting-flag", "weighted", "weighted-sticky"] {
        let folder = manifests().join(deployment);
        let json = json(&folder, &[]);
        assert_eq!(found(&json), [""; 0], "{deployment}");
        assert_eq!(json["rollouts"][0]["proposal"]["status"], "notNeeded", "{deployment}");
        assert_eq!(run(&folder, &["--fail-on", "info"]).status.code(), Some(0), "{deployment}");
        for step in ["steps", "back"] {
            for step in json["rollouts"][0][step].as_array().unwrap() {
                assert_eq!(step["skipped"], false);
                assert!(step["moments"].as_array().unwrap().iter().all(|moment| moment["safe"] == true));
            }
        }
    }
}

#[test]
fn every_object_of_every_step_is_a_moment() {
    let json = json(&manifests().join("voting"), &[]);
    let count = |list: &str| -> Vec<usize> {
        let steps = json["rollouts"][0][list].as_array().unwrap().iter();
        steps.map(|step| step["moments"].as_array().unwrap().len()).collect()
    };
    assert_eq!(count("steps"), [9, 8, 13, 10, 9]);
    // The first step has no way back: before it nothing was there.
    assert_eq!(count("back"), [9, 10, 13, 8]);
}

#[test]
fn destination_rules_first_at_finalize_are_rejected() {
    let dir = rules_first();
    let found = found(&json(dir.path(), &[]));
    let rule = "rollout-subset-removed-early";
    let at = |file: &str| format!("{rule} 4-finalize/{file}-destination-rule.yaml:11");
    assert_eq!(found, [at("11-voting-app"), at("21-voting-analytics"), at("31-voting-storage")]);
    let output = run(dir.path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(text.contains("✗   apply   DestinationRule voting-app"), "{text}");
    assert!(text.contains("the requests of Gateway `voting-app-gateway` still go"), "{text}");
    assert!(text.contains("4-finalize  not looked at: the step itself is not safe"), "{text}");
}

#[test]
fn workloads_before_their_routes_are_rejected() {
    let dir = workloads_before_routes();
    let found = found(&json(dir.path(), &[]));
    // The routes of step 2 know no 2.0, so the new pods get the plain Service.
    assert_eq!(
        found,
        [
            "version-islands-cross 2-update/30-voting-storage-virtual-service.yaml:8",
            "version-islands-cross 2-update/31-voting-analytics-virtual-service.yaml:8",
        ]
    );
    assert_eq!(run(dir.path(), &[]).status.code(), Some(1));
}

#[test]
fn the_door_before_its_workloads_is_rejected() {
    let dir = door_before_workloads();
    let found = found(&json(dir.path(), &[]));
    assert_eq!(found, ["rollout-pods-not-ready-before-route 3-canary/70-voting-app-virtual-service.yaml:21"]);
}

#[test]
fn a_port_added_last_is_rejected() {
    let dir = port_last();
    let found = found(&json(dir.path(), &[]));
    assert_eq!(
        found,
        ["rollout-host-or-port-used-before-defined 3-canary/30-voting-storage-virtual-service.yaml:37"]
    );
}

#[test]
fn strict_before_injection_is_rejected() {
    let dir = strict_before_injection();
    let json = json(dir.path(), &[]);
    assert_eq!(found(&json), ["rollout-mtls-window 2-update/40-peer-authentication.yaml:9"]);
    let message = json["diagnostics"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("insists on mTLS, and Deployment `voting-storage-1-0` has no sidecar yet"),
        "{message}"
    );
}

#[test]
fn every_wrong_order_is_repaired_and_passes_then() {
    for (name, dir) in [
        ("rules first", rules_first()),
        ("workloads before routes", workloads_before_routes()),
        ("door before workloads", door_before_workloads()),
        ("port last", port_last()),
        ("strict first", strict_before_injection()),
    ] {
        let before = fs::read_to_string(dir.path().join(ORDER)).unwrap();
        let output = run(dir.path(), &["--write-order"]);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", stdout(&output));
        assert!(
            stderr(&output).contains("wrote a safe order to ./coalmine.yaml")
                || stderr(&output).contains("wrote a safe order to coalmine.yaml"),
            "{name}: {}",
            stderr(&output)
        );
        let after = fs::read_to_string(dir.path().join(ORDER)).unwrap();
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        // Every line is still there, comments and blank lines included; only their order differs.
        assert_eq!(sorted(&before), sorted(&after), "{name}");
        assert_ne!(before, after, "{name}");
        let json = json(dir.path(), &["--fail-on", "warning"]);
        assert_eq!(found(&json), [""; 0], "{name}");
        let again = run(dir.path(), &["--write-order"]);
        assert_eq!(again.status.code(), Some(0), "{name}");
        assert_eq!(fs::read_to_string(dir.path().join(ORDER)).unwrap(), after, "{name}");
    }
}

#[test]
fn the_repair_of_rules_first_is_the_shipped_order() {
    let dir = rules_first();
    run(dir.path(), &["--write-order"]);
    let shipped = fs::read_to_string(manifests().join("voting").join(ORDER)).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join(ORDER)).unwrap(), shipped);
}

#[test]
fn a_proposal_is_printed_and_is_in_the_json() {
    let dir = door_before_workloads();
    let text = stdout(&run(dir.path(), &[]));
    assert!(text.contains("A safe order, checked as a whole (--write-order writes it):"), "{text}");
    assert!(text.contains("  - name: 3-canary\n    actions:\n"), "{text}");
    assert!(!text.contains("  - name: 4-finalize"), "{text}");
    let json = json(dir.path(), &[]);
    let proposal = &json["rollouts"][0]["proposal"];
    assert_eq!(proposal["status"], "order");
    let actions = proposal["steps"][2]["actions"].as_array().unwrap();
    assert_eq!(actions.last().unwrap()["paths"][0], "3-canary/70-voting-app-virtual-service.yaml");
}

#[test]
fn folders_as_arguments_are_steps_applied_as_a_whole() {
    let folder = manifests().join("voting");
    let alone = run(&folder, &["1-deploy", "2-update/20-voting-app-destination-rule.yaml"]);
    assert_eq!(alone.status.code(), Some(0), "{}", stdout(&alone));
    let json = json(&folder, &["1-deploy", "2-update"]);
    let found = found(&json);
    // All at once: the new pods are not ready, and the routes race with their subsets.
    assert!(
        found.contains(
            &"rollout-pods-not-ready-before-route 2-update/31-voting-analytics-virtual-service.yaml:17"
                .to_owned()
        ),
        "{found:#?}"
    );
    assert!(found.iter().any(|finding| finding.starts_with("rollout-same-apply-race ")), "{found:#?}");
    // Split into single files it works.
    assert_eq!(json["rollouts"][0]["proposal"]["status"], "order");
    let output = run(&folder, &["1-deploy", "2-update", "--write-order"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("give a folder with a coalmine.yaml"), "{}", stderr(&output));
}

#[test]
fn an_order_that_no_reordering_repairs_is_said_to_be_so() {
    let dir = copied("voting");
    // The old pods go, and no route lets go of them, not even later.
    edit(&dir, ORDER, |text| {
        let text = text.split_once("\n  - name: 5-clean-up").unwrap().0;
        let text = text.replacen("      - apply: 4-finalize/10-voting-app-virtual-service.yaml\n", "", 1);
        text.replacen(APP_RULE, "", 1)
    });
    let before = fs::read_to_string(dir.path().join(ORDER)).unwrap();
    let json = json(dir.path(), &[]);
    assert_eq!(json["rollouts"][0]["proposal"]["status"], "none");
    assert!(
        found(&json).contains(&"rollout-workload-removed-early coalmine.yaml:47".to_owned()),
        "{:#?}",
        found(&json)
    );
    let output = run(dir.path(), &["--write-order"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("wrote nothing"), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(dir.path().join(ORDER)).unwrap(), before);
}

#[test]
fn without_an_order_it_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.yaml"), "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n").unwrap();
    let output = run(dir.path(), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("write a `rollout:` list into a coalmine.yaml"), "{}", stderr(&output));
    fs::write(dir.path().join(ORDER), "rollout: [a.yaml, b.yaml]\n").unwrap();
    let output = run(dir.path(), &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("b.yaml, which does not exist"), "{}", stderr(&output));
}

#[test]
fn one_file_of_an_order_has_the_whole_order_judged() {
    let dir = rules_first();
    let (all, one) = (json(dir.path(), &[]), json(dir.path(), &["1-deploy/00-namespace.yaml"]));
    assert!(!found(&all).is_empty());
    assert_eq!(found(&one), found(&all));
    assert_eq!(one["rollouts"], all["rollouts"]);
    assert_eq!(run(dir.path(), &["1-deploy/00-namespace.yaml"]).status.code(), Some(1));
}

#[test]
fn a_proposal_names_the_steps_that_it_drops() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    let base = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {selector: {app: a}, ports: [{name: http, port: 80, \
                targetPort: 8080}]}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a-v1}\nspec: {selector: \
                {matchLabels: {app: a}}, template: {metadata: {labels: {app: a, version: v1}}}}\n---\napiVersion: \
                networking.istio.io/v1\nkind: Gateway\nmetadata: {name: door}\nspec: {selector: {istio: ingressgateway}, \
                servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [\"*\"]}]}\n";
    let route = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec: {hosts: [\"*\"], gateways: \
                 [door], http: [{route: [{destination: {host: a}}]}]}\n";
    write("1.yaml", &format!("{base}---\n{route}"));
    write("2.yaml", &route.replace("host: a}", "host: a, subset: v1}"));
    write(
        "3.yaml",
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\nspec: {host: a, subsets: [{name: v1, \
         labels: {version: v1}}]}\n",
    );
    write(ORDER, "rollout:\n- 1.yaml\n# ticket 42\n- 2.yaml\n- 3.yaml\n");
    let output = stdout(&run(dir.path(), &[]));
    let told =
        "\nStep 2.yaml is dropped: what it did is now in 3.yaml.\n\nThe other steps stay as they are.\n";
    assert!(output.ends_with(told), "{output}");
    assert_eq!(run(dir.path(), &["--write-order"]).status.code(), Some(0));
    let new = fs::read_to_string(dir.path().join(ORDER)).unwrap();
    assert!(new.contains("# ticket 42\n"), "{new}");
}
