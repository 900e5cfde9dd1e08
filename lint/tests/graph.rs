//! `coalmine graph` as a user runs it: formats, steps, files and what it refuses.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use roxmltree::Document;
use serde_json::Value;

const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-1}
spec: {template: {metadata: {labels: {app: web, version: \"1\"}}}}
";

fn manifests() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests"))
}

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coalmine"));
    command.arg("graph").args(args).current_dir(dir);
    command
}

fn graph(dir: &Path, args: &[&str]) -> Output {
    command(dir, args).output().unwrap()
}

#[track_caller]
fn stdout(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(step: &str, more: &[&str]) -> Value {
    let args = [&["voting", "--step", step, "--format", "json"], more].concat();
    serde_json::from_str(&stdout(&graph(manifests(), &args))).unwrap()
}

/// `FROM -> TO` of every call with a change, in route order, without what the scenario shares.
fn changes(graph: &Value, change: &str) -> Vec<String> {
    let short = |id: &str| {
        let id = id.replace(".voting.svc.cluster.local", "").replace("workload/Deployment/voting/", "");
        id.replace("gateway/voting/", "")
    };
    let edges = graph["edges"].as_array().unwrap().iter();
    edges
        .filter(|edge| edge["kind"] == "route" && edge["change"] == change)
        .map(|edge| {
            let (from, to) = (edge["from"].as_str().unwrap(), edge["to"].as_str().unwrap());
            format!("{} -> {} {}", short(from), short(to), edge["label"].as_str().unwrap()).trim().to_owned()
        })
        .collect()
}

#[test]
fn the_canary_step_adds_one_island_behind_the_cookie() {
    let graph = json("3-canary", &[]);
    assert_eq!(graph["version"], 1);
    let islands: Vec<Value> =
        graph["islands"].as_array().unwrap().iter().map(|island| island["versions"].clone()).collect();
    assert_eq!(islands, [serde_json::json!(["1.0", "1.1"]), serde_json::json!(["2.0"])]);
    assert_eq!(
        changes(&graph, "added"),
        [
            "voting-app-gateway -> subset/voting-app/v2-0 cookie featureflag=on",
            "voting-analytics-2-0 -> subset/voting-storage/v2-0",
            "voting-app-2-0 -> subset/voting-storage/v2-0",
            "voting-app-2-0 -> subset/voting-analytics/v2-0",
        ]
    );
    assert_eq!(changes(&graph, "removed"), ["voting-analytics-1-0 -> host/voting-storage"]);
    assert_eq!(changes(&graph, "changed"), ["voting-app-gateway -> subset/voting-app/v1-0 otherwise"]);
    for edge in graph["edges"].as_array().unwrap() {
        assert_eq!(edge["crosses"], false, "{edge}");
        if edge["kind"] == "route" && edge["from"] != "client/outside" && edge["change"] != "removed" {
            assert_eq!(edge["tls"], "mtls", "{edge}");
        }
    }
}

#[test]
fn nodes_and_ways_stand_where_they_are_written() {
    let graph = json("3-canary", &["--no-changes"]);
    let nodes = graph["nodes"].as_array().unwrap();
    let subset =
        nodes.iter().find(|node| node["id"] == "subset/voting-app.voting.svc.cluster.local/v2-0").unwrap();
    assert_eq!(subset["change"], Value::Null);
    let (file, range) = (subset["file"].as_str().unwrap(), &subset["range"]);
    assert_eq!(file, "voting/3-canary/10-voting-app-destination-rule.yaml");
    let text = fs::read_to_string(manifests().join(file)).unwrap();
    let offset = |end: &str| usize::try_from(range[end]["offset"].as_u64().unwrap()).unwrap();
    assert_eq!(&text[offset("start")..offset("end")], "v2-0");
    let edges = graph["edges"].as_array().unwrap();
    let cookie = edges.iter().find(|edge| edge["label"] == "cookie featureflag=on").unwrap();
    let way = &cookie["ways"][0];
    assert_eq!(way["file"], "voting/3-canary/70-voting-app-virtual-service.yaml");
    assert_eq!(way["by"]["kind"], "VirtualService");
    assert_eq!(way["port"], 8080);
}

#[test]
fn every_step_of_every_scenario_is_drawn_in_every_format() {
    let scenarios: [(&str, &[&str]); 3] = [
        ("voting", &["1-deploy", "2-update", "3-canary", "4-finalize", "5-clean-up"]),
        ("voting-flag", &["istio-ingress", "voting"]),
        ("weighted", &["1-deploy", "2-split", "3-shift"]),
    ];
    for (scenario, steps) in scenarios {
        for step in steps {
            let of =
                |format: &str| stdout(&graph(manifests(), &[scenario, "--step", step, "--format", format]));
            let svg = of("svg");
            let document = Document::parse(&svg).unwrap();
            let width: f64 = document.root_element().attribute("width").unwrap().parse().unwrap();
            assert!(width <= 1200.0, "{scenario} {step} is {width} pixels wide");
            assert_eq!(document.root_element().attribute("role"), Some("img"));
            assert!(of("mermaid").starts_with("flowchart LR\n"));
            assert!(of("dot").starts_with(&format!("digraph \"{step}\" {{")));
            assert!(of("json").starts_with("{\n  \"version\": 1,"));
        }
    }
}

#[test]
fn the_files_name_says_the_format() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("web.yaml"), SERVICE).unwrap();
    for (name, start) in
        [("a.svg", "<svg "), ("a.mmd", "flowchart"), ("a.dot", "digraph"), ("a.json", "{"), ("a", "<svg ")]
    {
        let output = graph(dir.path(), &["web.yaml", "-o", name]);
        assert!(stdout(&output).is_empty());
        assert!(fs::read_to_string(dir.path().join(name)).unwrap().starts_with(start), "{name}");
    }
    let output = graph(dir.path(), &["web.yaml", "-o", "a.svg", "--format", "dot"]);
    stdout(&output);
    assert!(fs::read_to_string(dir.path().join("a.svg")).unwrap().starts_with("digraph"));
}

#[test]
fn standard_input_is_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = command(dir.path(), &["-", "--format", "mermaid"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(SERVICE.as_bytes()).unwrap();
    let text = stdout(&child.wait_with_output().unwrap());
    assert!(text.contains("web :80<br/>web-1<br/>Deployment · version 1"), "{text}");
}

#[test]
fn one_picture_is_of_one_deployment() {
    let error = refused(&graph(manifests(), &["voting", "weighted"]));
    assert_eq!(
        error,
        "coalmine: a picture is of one deployment, and the input has several: name one of voting, weighted\n"
    );
    // A step tells which is meant.
    stdout(&graph(manifests(), &["voting", "weighted", "--step", "2-split"]));
}

#[test]
fn a_step_that_nobody_has_is_refused() {
    let error = refused(&graph(manifests(), &["voting", "--step", "3"]));
    assert!(error.contains("3-canary"), "{error}");
}

#[test]
fn nothing_to_draw_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let error = refused(&graph(dir.path(), &["."]));
    assert_eq!(error, "coalmine: there is nothing to draw: no manifest was found\n");
    fs::write(dir.path().join("map.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n").unwrap();
    let svg = stdout(&graph(dir.path(), &["."]));
    assert!(svg.contains("Nothing here: no gateway"), "{svg}");
}

#[test]
fn a_hostile_name_stays_a_name() {
    let dir = tempfile::tempdir().unwrap();
    let name = r#"</text><script>alert(1)</script>\"];x->y[label=\"|"#;
    fs::write(dir.path().join("a.yaml"), SERVICE.replace("{name: web-1}", &format!("{{name: \"{name}\"}}")))
        .unwrap();
    let svg = stdout(&graph(dir.path(), &["."]));
    assert!(Document::parse(&svg).unwrap().descendants().all(|node| !node.has_tag_name("script")));
    let dot = stdout(&graph(dir.path(), &[".", "--format", "dot"]));
    assert!(!dot.lines().any(|line| line.trim_start().starts_with("x->y")), "{dot}");
    let mermaid = stdout(&graph(dir.path(), &[".", "--format", "mermaid"]));
    assert!(!mermaid.contains("<script"), "{mermaid}");
}

#[test]
fn changes_can_be_asked_for_without_a_step() {
    let of =
        |args: &[&str]| stdout(&graph(manifests(), &[&["weighted", "--format", "mermaid"], args].concat()));
    assert!(of(&["--changes"]).contains("100% (was 50%), mTLS, changed"), "{}", of(&["--changes"]));
    assert!(!of(&[]).contains("changed"));
}
