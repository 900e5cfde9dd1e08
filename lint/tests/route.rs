//! `coalmine route` as a user runs it: the shipped deployments, broken copies of them, and exit codes.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use self::support::{broken, manifests, text};

fn route(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coalmine"));
    command.arg("route").args(args).current_dir(dir).env_remove("COALMINE_KEY_K1").output().unwrap()
}

/// The JSON of a route in a shipped deployment, and its exit code.
#[track_caller]
fn ask(deployment: &str, args: &[&str]) -> (Value, i32) {
    ask_in(&manifests().join(deployment), args)
}

#[track_caller]
fn ask_in(dir: &Path, args: &[&str]) -> (Value, i32) {
    let output = route(dir, &[args, &["--format", "json"]].concat());
    let json = serde_json::from_slice(&output.stdout);
    (json.unwrap_or_else(|_| panic!("{}", text(&output.stderr))), output.status.code().unwrap())
}

/// `subset:port workload` of every outcome, with its percentage.
fn landed(route: &Value) -> Vec<String> {
    let paths = route["paths"].as_array().unwrap().iter();
    let outcomes = paths.flat_map(|path| path["outcomes"].as_array().unwrap());
    outcomes
        .map(|outcome| {
            let pods: Vec<&str> = outcome["endpoints"]
                .as_array()
                .unwrap()
                .iter()
                .map(|endpoint| endpoint["workload"]["resource"]["name"].as_str().unwrap())
                .collect();
            let subset = outcome["subset"]["name"].as_str().unwrap_or("-");
            let port = &outcome["port"];
            format!("{} % {subset}:{port} {}", outcome["share"]["percent"], pods.join("+"))
        })
        .collect()
}

const STEP: [&str; 4] = ["--to", "http://voting.example/", "--step", "3-canary"];

#[test]
fn the_cookie_opens_the_new_island_in_any_place_of_the_header() {
    for (cookie, answer) in [
        ("", "100.0 % v1-0:8080 voting-app-1-0"),
        ("featureflag=on", "100.0 % v2-0:8080 voting-app-2-0"),
        ("theme=dark; featureflag=on", "100.0 % v2-0:8080 voting-app-2-0"),
        ("xfeatureflag=on", "100.0 % v1-0:8080 voting-app-1-0"),
        ("featureflag=once", "100.0 % v1-0:8080 voting-app-1-0"),
    ] {
        let (json, code) = ask("voting", &[&STEP[..], &["--cookie", cookie]].concat());
        assert_eq!((landed(&json), code), (vec![answer.to_owned()], 0), "{cookie}");
    }
}

/// Every followed call as `client -> landed`.
fn island(calls: &Value, found: &mut Vec<String>) {
    for call in calls.as_array().unwrap() {
        let from = call["from"]["resource"]["name"].as_str().unwrap();
        found.push(format!("{from} -> {}", landed(call).join(", ")));
        island(&call["follow"], found);
    }
}

#[test]
fn following_stays_on_the_island() {
    let islands = [
        (
            "featureflag=off",
            [
                "voting-analytics-1-1 -> 100.0 % v1-0:6379 voting-storage-1-0",
                "voting-app-1-0 -> 100.0 % v1-0:6379 voting-storage-1-0",
                "voting-app-1-0 -> 100.0 % v1-1:8080 voting-analytics-1-1",
            ],
        ),
        (
            "featureflag=on",
            [
                "voting-analytics-2-0 -> 100.0 % v2-0:3306 voting-storage-2-0",
                "voting-app-2-0 -> 100.0 % v2-0:3306 voting-storage-2-0",
                "voting-app-2-0 -> 100.0 % v2-0:8080 voting-analytics-2-0",
            ],
        ),
    ];
    for (cookie, expected) in islands {
        let (json, code) = ask("voting", &[&STEP[..], &["--follow", "--cookie", cookie]].concat());
        let mut found = Vec::new();
        island(&json["follow"], &mut found);
        found.sort();
        assert_eq!((found.as_slice(), code), (expected.map(str::to_owned).as_slice(), 0));
    }
}

#[test]
fn a_workload_is_followed_from_its_own_sidecar() {
    let args = ["--step", "3-canary", "--from", "deploy/voting-app-2-0", "--to", "tcp://voting-storage:6379"];
    let (json, code) = ask("voting", &args);
    // No port in the match: whichever port it dials, it reaches the storage of its version.
    assert_eq!((landed(&json), code), (vec!["100.0 % v2-0:3306 voting-storage-2-0".to_owned()], 0));
}

#[test]
fn the_filter_decides_and_a_forged_tag_does_not() {
    let (json, _) = ask("voting-flag", &["--to", "http://voting.example/", "-H", "x-canary: canary"]);
    assert_eq!(landed(&json), ["100.0 % v1-0:8080 voting-app-1-0"]);
    let filter = &json["paths"][0]["hops"][1];
    assert_eq!((&filter["kind"], &filter["resource"]["name"]), (&"filter".into(), &"coalmine".into()));
    assert_eq!(filter["details"][0]["label"], "remove");
    let (json, _) = ask("voting-flag", &["--to", "http://voting.example/", "--cookie", "featureflag=on"]);
    assert_eq!(landed(&json), ["100.0 % v2-0:8080 voting-app-2-0"]);
    let flag = &json["paths"][0]["hops"][1]["flags"][0];
    assert_eq!((&flag["variant"], &flag["reason"]), (&"canary".into(), &"optin".into()));
    assert_eq!(json["paths"][0]["outcomes"][0]["forwarded"]["headers"][1]["value"], "canary");
}

#[test]
fn weights_and_rollouts_are_percentages() {
    let halves = ["50.0 % v1:80 greeter-v1".to_owned(), "50.0 % v2:80 greeter-v2".to_owned()];
    let (json, code) = ask("weighted", &["--step", "2-split", "--to", "http://greeter.example/"]);
    assert_eq!((landed(&json), code), (halves.to_vec(), 0));
    let (json, code) = ask("weighted-sticky", &["--to", "http://greeter.example/"]);
    let mut found = landed(&json);
    found.sort();
    assert_eq!((found, code), (halves.to_vec(), 0));
    assert!(json["notes"][0].as_str().unwrap().contains("signing key"), "{}", json["notes"]);
}

/// Ways to break the voting app, what the client of step 3 with the cookie gets, and the file that is to blame.
#[test]
fn each_failure_names_envoys_flag_and_the_place() {
    const APP_ROUTE: &str = "3-canary/70-voting-app-virtual-service.yaml";
    const APP_RULE: &str = "3-canary/10-voting-app-destination-rule.yaml";
    const APP: &str = "3-canary/60-voting-app-2.0.yaml";
    const POLICY: &str = "2-update/40-peer-authentication.yaml";
    let cases = [
        (APP_ROUTE, "subset: v2-0", "subset: v3-0", "503 NC", APP_ROUTE),
        (APP_ROUTE, "number: 8080", "number: 8081", "503 NC", APP_ROUTE),
        (APP_RULE, "version: \"2.0\"", "version: \"2.1\"", "503 UH", APP_RULE),
        (APP, "containerPort: 8080", "containerPort: 8081", "503 UF", APP),
        (APP_RULE, "mode: ISTIO_MUTUAL", "mode: DISABLE", "503 UC", POLICY),
    ];
    for (file, from, to, answer, blamed) in cases {
        let dir = broken("voting", file, from, to);
        let (json, code) = ask_in(dir.path(), &[&STEP[..], &["--cookie", "featureflag=on"]].concat());
        let end = &json["paths"][0]["outcomes"][0]["end"];
        let found = format!("{} {}", end["status"], end["flag"].as_str().unwrap_or(""));
        assert_eq!((found.as_str(), code), (answer, 1), "{file}: {to}: {json:#}");
        assert_eq!(end["place"]["file"], blamed, "{file}: {to}");
    }
}

#[test]
fn the_human_output_says_what_decided_and_where() {
    let args = [&["manifests/voting", "--color", "never", "-b", "featureflag=on"], &STEP[..]].concat();
    let output = route(&manifests().join(".."), &args);
    assert_eq!(output.status.code(), Some(0));
    let out = text(&output.stdout);
    for line in [
        "GET http://voting.example/ from gateway, after step 3-canary",
        "2  route    VirtualService voting/voting-app: http[0]",
        "manifests/voting/3-canary/70-voting-app-virtual-service.yaml:17",
        "accepts STRICT: PeerAuthentication voting/default",
        "answered by voting-app-2-0",
    ] {
        assert!(out.contains(line), "{line}\n{out}");
    }
    assert!(!out.contains('\u{1b}'));
    let dir = broken("voting", "3-canary/70-voting-app-virtual-service.yaml", "subset: v2-0", "subset: v3-0");
    let output = route(dir.path(), &[&STEP[..], &["-b", "featureflag=on"]].concat());
    let out = text(&output.stdout);
    for line in [
        "503 NC, upstream cluster not found",
        "DestinationRule `voting-app`, which wins for this client, has no subset `v3-0`; it has v1-0, v2-0",
    ] {
        assert!(out.contains(line), "{line}\n{out}");
    }
}

#[test]
fn wrong_usage_is_2_and_says_what_there_is() {
    let dir = manifests().join("voting");
    let cases: [(&[&str], &str); 8] = [
        (&["--to", "ftp://a"], "`ftp` is no scheme of a route"),
        (
            &["--to", "http://a", "--from", "deployment/voting-ap-2-0", "--step", "3-canary"],
            "did you mean `deployment/voting/voting-app-2-0`",
        ),
        (
            &["--to", "http://a", "--from", "gateway:voting/gw", "--step", "3-canary"],
            "the Gateways are voting/voting-app-gateway",
        ),
        (&["--to", "http://a:8443", "--step", "3-canary"], "no gateway accepts this host on port 8443"),
        (&["--to", "http://a", "--step", "9"], "the steps are"),
        (&["--to", "http://a:80", "--port", "81"], "already has a port"),
        (&["--to", "http://a", "--header", "x"], "not of the form `name: value`"),
        (&["--to", "http://a", "--from", "someone"], "neither gateway"),
    ];
    for (args, message) in cases {
        let output = route(&dir, args);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(message), "{args:?}: {error}");
    }
}

#[test]
fn what_cannot_be_read_is_said_with_its_place() {
    let file = "2-split/30-greeter-virtual-service.yaml";
    // A syntax error, and text in place of a list.
    for (from, to, place) in
        [("spec:\n", "spec: [\n", ":"), ("  http:\n", "  http: none\n  was:\n", ":12:9: ")]
    {
        let wanted = format!("{file}{place}");
        let dir = broken("weighted", file, from, to);
        let args = ["--to", "http://greeter.example/", "--step", "2-split"];
        let output = route(dir.path(), &args);
        assert!(text(&output.stderr).contains(&wanted), "{}", text(&output.stderr));
        let (json, _) = ask_in(dir.path(), &args);
        let notes = json["notes"].as_array().unwrap();
        assert!(notes.iter().any(|note| note.as_str().unwrap().contains(&wanted)), "{notes:?}");
    }
}

#[test]
fn what_can_be_read_is_answered_before_the_rest_fails_the_command() {
    let output =
        route(&manifests(), &["voting", "nosuch", "--to", "http://voting.example/", "--step", "3-canary"]);
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(2));
    assert!(out.contains("answered by voting-app-1-0") && error.contains("nosuch: "), "{out}{error}");
}

#[test]
fn several_deployments_are_a_question() {
    let args = ["voting-flag", "weighted-sticky", "--to", "http://a/"];
    let output = route(&manifests(), &args);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("2 deployments"), "{}", text(&output.stderr));
}

#[test]
fn many_misreadings_do_not_bury_the_answer() {
    let dir = tempfile::tempdir().unwrap();
    let broken = "apiVersion: v1\nkind: Service\nmetadata: {name: s, labels: {a: 1}}\n---\n".repeat(30);
    fs::write(dir.path().join("a.yaml"), broken).unwrap();
    let output = route(dir.path(), &["--to", "http://s/", "--from", "gateway"]);
    let error = text(&output.stderr);
    assert_eq!(error.lines().filter(|line| line.starts_with("coalmine: a.yaml:")).count(), 8, "{error}");
    assert!(error.contains("coalmine: 22 more like these; `coalmine lint` shows them"), "{error}");
}
