//! `coalmine tls-check` as a user runs it: the scenario's table after every step, and conflicts in broken copies.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use self::support::{broken, coalmine, stdout};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn run(args: &[&str]) -> Output {
    coalmine(&root(), &[&["tls-check"], args].concat())
}

/// The cells of every line of the table.
fn cells(output: &Output) -> Vec<Vec<String>> {
    let text = stdout(output);
    let table = text.lines().take_while(|line| !line.is_empty());
    table
        .map(|line| {
            line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
        })
        .collect()
}

fn row(host: &str, rest: [&str; 5]) -> Vec<String> {
    let (name, port) = host.split_once(':').unwrap();
    let mut cells = vec![format!("{name}.voting.svc.cluster.local:{port}")];
    cells.extend(rest.map(str::to_owned));
    cells
}

const HEADS: [&str; 6] = ["HOST:PORT", "STATUS", "SERVER", "CLIENT", "AUTHN POLICY", "DESTINATION RULE"];

#[test]
fn every_step_prints_the_scenarios_table() {
    let open = |host| row(host, ["OK", "PERMISSIVE", "auto mTLS", "-", "-"]);
    let locked = |host: &str| {
        let rule = format!("{}/voting", host.split_once(':').unwrap().0);
        row(host, ["OK", "STRICT", "mTLS", "default/voting", &rule])
    };
    let (redis, mysql) = ("voting-storage:6379", "voting-storage:3306");
    let (analytics, app) = ("voting-analytics:8080", "voting-app:8080");
    let steps = [
        ("1-deploy", vec![open(redis), open(analytics), open(app)]),
        ("2-update", vec![locked(redis), locked(analytics), locked(app)]),
        ("3-canary", vec![locked(redis), locked(mysql), locked(analytics), locked(app)]),
        ("4-finalize", vec![locked(mysql), locked(analytics), locked(app)]),
    ];
    for (step, rows) in steps {
        let output = run(&["manifests/voting", "--step", step]);
        let mut expected = vec![HEADS.map(str::to_owned).to_vec()];
        expected.extend(rows);
        assert_eq!(cells(&output), expected, "{step}");
        assert_eq!(output.status.code(), Some(0), "{step}");
        assert!(stdout(&output).lines().all(|line| line.chars().count() <= 120), "{step}");
    }
    let output = run(&["manifests/voting", "--step", "5-clean-up"]);
    assert!(stdout(&output).starts_with("There is nothing to call"), "{}", stdout(&output));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_rule_that_disables_tls_under_strict_is_a_conflict_with_both_places() {
    let file = "2-update/22-voting-storage-destination-rule.yaml";
    let dir = broken("voting", file, "ISTIO_MUTUAL", "DISABLE");
    let path = dir.path().to_str().unwrap();
    let output = run(&[path, "--step", "2-update"]);
    assert_eq!(output.status.code(), Some(1));
    let conflict =
        row("voting-storage:6379", ["CONFLICT", "STRICT", "HTTP", "default/voting", "voting-storage/voting"]);
    assert_eq!(cells(&output)[1], conflict);
    let text = stdout(&output);
    let client = format!("sends plaintext (DestinationRule voting-storage/voting, {path}/{file}:10:13)");
    assert!(text.contains(&client), "{text}");
    let server =
        format!("(PeerAuthentication default/voting, {path}/2-update/40-peer-authentication.yaml:9:11)");
    assert!(text.contains(&server), "{text}");
}

#[test]
fn mtls_to_pods_without_a_sidecar_is_a_conflict() {
    let dir = broken("voting", "1-deploy/00-namespace.yaml", "enabled", "disabled");
    let output = run(&[dir.path().to_str().unwrap(), "--step", "2-update"]);
    assert_eq!(output.status.code(), Some(1));
    let conflict = row("voting-storage:6379", ["CONFLICT", "-", "mTLS", "-", "voting-storage/voting"]);
    assert_eq!(cells(&output)[1][..6], conflict);
    // The pods themselves have none either.
    assert_eq!(cells(&output)[2][1..5], ["OK", "-", "HTTP", "-"]);
    assert!(stdout(&output).contains("voting-storage-1-0 has no sidecar"), "{}", stdout(&output));
}

#[test]
fn a_subset_with_tls_of_its_own_has_its_own_row() {
    let dir = broken(
        "voting",
        "3-canary/11-voting-analytics-destination-rule.yaml",
        "    - name: v2-0\n",
        "    - name: v2-0\n      trafficPolicy: {tls: {mode: DISABLE}}\n",
    );
    let output = run(&[dir.path().to_str().unwrap(), "--step", "3-canary", "--service", "voting-analytics"]);
    let name = "voting-analytics.voting.svc.cluster.local:8080";
    let policy = ["default/voting", "voting-analytics/voting"];
    let others = "voting-storage-1-0, voting-analytics-1-1, voting-storage-2-0 and 2 more";
    let expected: Vec<Vec<&str>> = vec![
        [&HEADS[..], &["SUBSET", "CLIENTS"]].concat(),
        vec![name, "OK", "STRICT", "mTLS", policy[0], policy[1], "v1-1", others],
        // Only voting-app 2.0 has a rule that leads to the subset.
        vec![name, "CONFLICT", "STRICT", "HTTP", policy[0], policy[1], "v2-0", "voting-app-2-0"],
    ];
    assert_eq!(cells(&output), expected);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_client_without_a_sidecar_is_a_conflict_in_the_whole_table_too() {
    let dir = broken(
        "voting",
        "1-deploy/30-voting-app-1.0.yaml",
        "        version: \"1.0\"\n    spec:",
        "        version: \"1.0\"\n        sidecar.istio.io/inject: \"false\"\n    spec:",
    );
    let path = dir.path().to_str().unwrap();
    let whole = run(&[path, "--step", "2-update", "--service", "voting-storage"]);
    assert_eq!(whole.status.code(), Some(1), "{}", stdout(&whole));
    let others = "voting-storage-1-0, voting-analytics-1-0, voting-analytics-1-1";
    let columns = |row: &[String]| (row[1].clone(), row[5].clone(), row[7].clone());
    let (ok, refused) = (columns(&cells(&whole)[1]), columns(&cells(&whole)[2]));
    assert_eq!(ok, ("OK".to_owned(), "voting-storage/voting".to_owned(), others.to_owned()));
    assert_eq!(refused, ("CONFLICT".to_owned(), "-".to_owned(), "voting-app-1-0".to_owned()));
    let output =
        run(&[path, "--step", "2-update", "--service", "voting-storage", "--from", "voting-app-1-0"]);
    let conflict = row("voting-storage:6379", ["CONFLICT", "STRICT", "HTTP", "default/voting", "-"]);
    assert_eq!(cells(&output)[1], conflict);
    assert!(
        stdout(&output).contains("voting-app-1-0 sends plaintext (it has no sidecar)"),
        "{}",
        stdout(&output)
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn json_names_every_place() {
    let output =
        run(&["manifests/voting", "--step", "2-update", "--service", "voting-storage", "--format", "json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!(json["rows"].as_array().unwrap().len(), 1);
    let row = &json["rows"][0];
    assert_eq!(row["host"], "voting-storage.voting.svc.cluster.local");
    assert_eq!(
        (&row["port"], &row["status"], &row["step"]),
        (&6379.into(), &"ok".into(), &"2-update".into())
    );
    assert_eq!(row["server"]["mode"], "STRICT");
    assert_eq!(row["server"]["policy"]["file"], "manifests/voting/2-update/40-peer-authentication.yaml");
    assert_eq!(row["server"]["policy"]["line"], 9);
    assert_eq!(row["client"]["sends"], "istioMutual");
    assert_eq!(row["client"]["automatic"], false);
    assert_eq!(row["client"]["destinationRule"]["name"], "voting-storage");
    assert_eq!(row["allClients"], true);
    assert_eq!(row["workloads"][0]["name"], "voting-storage-1-0");
}

#[test]
fn names_that_do_not_exist_are_usage_errors_with_a_hint() {
    let output = run(&["manifests/voting", "--service", "voting-strage"]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("did you mean `voting-storage`?"), "{error}");
    let output = run(&["manifests/voting", "--from", "nobody"]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("no such workload or Gateway; there are voting-analytics-2-0,"), "{error}");
}

/// A folder with one file.
fn folder(text: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("app.yaml"), text).unwrap();
    dir
}

/// `web` behind its Service, STRICT; `bare` has no sidecar and calls it; `gw` carries a Gateway.
const SHOP: &str = "apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp-x, port: 9000}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: bare, namespace: shop}
spec:
  template:
    metadata: {labels: {app: bare, sidecar.istio.io/inject: \"false\"}}
    spec: {containers: [{name: c, env: [{name: WEB, value: 'http://web:80'}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: idle, namespace: shop}
spec: {template: {metadata: {labels: {app: idle, sidecar.istio.io/inject: \"false\"}}}}
---
apiVersion: v1
kind: Service
metadata: {name: gw, namespace: shop}
spec: {selector: {istio: gw}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: gw, namespace: shop}
spec: {template: {metadata: {labels: {istio: gw}, annotations: {inject.istio.io/templates: gateway}}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
---
";

#[test]
fn a_caller_without_a_sidecar_that_the_manifests_tell_of_is_a_conflict() {
    let dir = folder(SHOP);
    let path = dir.path().to_str().unwrap();
    let output = run(&["--isolated", path]);
    let found = cells(&output);
    assert_eq!(
        found[2][1..],
        ["CONFLICT", "STRICT", "HTTP", "default/shop", "-", "bare"],
        "{}",
        stdout(&output)
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("`idle` has no sidecar and sends plaintext"), "{}", stdout(&output));
    let json: Value = serde_json::from_slice(&run(&["--isolated", path, "--format", "json"]).stdout).unwrap();
    assert_eq!(json["rows"][1]["status"], "conflict");
    assert_eq!(json["rows"][1]["clients"][0]["name"], "bare");
    assert_eq!(json["withoutSidecar"][0]["name"], "idle");
    assert_eq!(json["leftOut"][0]["host"], "gw.shop.svc.cluster.local");
    assert_eq!(json["leftOut"][0]["reason"], "gatewayPods");
}

#[test]
fn what_is_asked_for_and_not_in_the_table_has_a_reason() {
    let dir = folder(SHOP);
    let path = dir.path().to_str().unwrap();
    let output = run(&["--isolated", path, "--service", "web:99"]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("no such port; web.shop.svc.cluster.local has 80 (http), 9000 (tcp-x)"),
        "{error}"
    );
    let output = run(&["--isolated", path, "--service", "gw"]);
    assert_eq!(
        stdout(&output).trim(),
        "Not in the table: gw.shop.svc.cluster.local: a gateway's own Service, for which Gateways decide."
    );
}

#[test]
fn a_subset_that_the_client_does_not_have_is_named_with_its_rule_and_route() {
    let dir = folder(&format!(
        "{SHOP}apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: web, namespace: shop}}\n\
         spec: {{host: web}}\n---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n\
         metadata: {{name: web, namespace: shop}}\n\
         spec: {{hosts: [web], http: [{{route: [{{destination: {{host: web, subset: v1, port: {{number: 80}}}}}}]}}]}}\n"
    ));
    let path = dir.path().to_str().unwrap();
    let output = run(&["--isolated", path, "--service", "web:80", "--from", "web"]);
    let text = stdout(&output);
    assert_eq!(cells(&output)[1][1..6], ["NO SUBSET", "-", "-", "-", "web/shop"], "{text}");
    assert!(
        text.contains(&format!(
            "DestinationRule web/shop decides, which has no subset `v1` ({path}/app.yaml:46:14)"
        )),
        "{text}"
    );
    assert!(text.contains("such calls end before TLS (NC)"), "{text}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_reason_for_plaintext_is_the_one_that_counts() {
    let own = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: web, namespace: shop}\n\
               spec: {selector: {matchLabels: {app: web}}, mtls: {mode: STRICT}}\n";
    let dir = folder(&format!("{}{own}", SHOP.replace("STRICT", "DISABLE")));
    let path = dir.path().to_str().unwrap();
    let answer = stdout(&run(&["--isolated", path, "--from", "web"]));
    let reason = format!(
        "auto mTLS goes by the namespace's mode, DISABLE: PeerAuthentication default/shop, {path}/app.yaml:41:21"
    );
    assert!(answer.contains(&reason), "{answer}");
    let mixed =
        SHOP.replace("spec: {selector: {app: web}, ", "spec: {clusterIP: None, selector: {tier: back}, ");
    let mixed =
        mixed.replace("{app: web}", "{app: web, tier: back}").replace("{app: idle", "{tier: back, app: idle");
    let dir = folder(&mixed);
    let path = dir.path().to_str().unwrap();
    let answer = stdout(&run(&["--isolated", path, "--from", "web"]));
    assert!(
        answer.contains(&format!(
            "auto mTLS: idle of this headless Service has no sidecar, {path}/app.yaml:25:18"
        )),
        "{answer}"
    );
}

#[test]
fn several_clients_send() {
    let other = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: bare-2, namespace: shop}\n\
                 spec:\n  template:\n    metadata: {labels: {sidecar.istio.io/inject: \"false\"}}\n    \
                 spec: {containers: [{name: c, env: [{name: WEB, value: 'http://web:80'}]}]}\n";
    let dir = folder(&format!("{SHOP}{other}"));
    let answer = stdout(&run(&["--isolated", dir.path().to_str().unwrap()]));
    assert!(answer.contains("bare, bare-2 send plaintext (they have no sidecar)"), "{answer}");
}

#[test]
fn what_can_be_read_is_answered_before_the_command_fails() {
    let dir = folder(SHOP);
    let file = dir.path().join("app.yaml");
    let output = run(&["--isolated", file.to_str().unwrap(), "/no/such/file.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stdout(&output).contains("web.shop.svc.cluster.local:80"), "{}", stdout(&output));
}
