//! `coalmine decide` as a user runs it: decisions, splits, overrides and exit codes.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const MANIFEST: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: istio-ingress}
---
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: auth, namespace: istio-ingress}
spec: {url: oci://ghcr.io/acme/auth:1, pluginConfig: {users: []}}
---
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: coalmine, namespace: istio-ingress}
spec:
  url: oci://ghcr.io/coalmine/filter:1
  vmConfig: {env: [{name: COALMINE_KEY_K1, valueFrom: HOST}]}
  pluginConfig:
    subject: [{header: x-user-id}]
    flags:
    - name: checkout
      header: x-canary
      when: {hosts: [shop.example], excludePaths: [\"/assets/**\"]}
      window: {until: 2026-12-24T00:00:00Z}
      deny: {subjects: [mallory]}
      optIn:
        cookie: {name: featureflag, value: \"on\", optOut: [\"off\"], expire: true}
        query: {name: cg}
      rollout: {canary: 50}
      response: {header: x-variant}
";

const KEY: &str = "k1=a key for tests only";
const DAY: &str = "2026-12-01T00:00:00Z";

fn folder(name: &str, text: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(name), text).unwrap();
    dir
}

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coalmine"));
    command.arg("decide").args(args).current_dir(dir).env_remove("COALMINE_KEY_K1");
    command
}

fn decide(dir: &Path, args: &[&str]) -> Output {
    command(dir, args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A request to the shop in the manifest above.
fn shop(more: &[&str]) -> Value {
    let dir = folder("a.yaml", MANIFEST);
    let mut args = vec!["--config", "a.yaml", "--key", KEY, "--format", "json"];
    for (option, value) in [("--host", "shop.example"), ("--now", DAY)] {
        if !more.contains(&option) {
            args.extend([option, value]);
        }
    }
    let output = decide(dir.path(), &[&args[..], more].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

fn reason(answer: &Value) -> (&str, &str) {
    let flag = &answer["flags"][0];
    (flag["variant"].as_str().unwrap(), flag["reason"].as_str().unwrap())
}

#[test]
fn every_part_of_the_request_counts() {
    assert_eq!(reason(&shop(&["--cookie", "featureflag=on"])), ("canary", "optin"));
    assert_eq!(reason(&shop(&["--cookie", "a=b", "--cookie", "c=d; featureflag=on"])), ("canary", "optin"));
    assert_eq!(reason(&shop(&["--cookie", "featureflag=off", "--subject", "u1"])), ("stable", "optout"));
    assert_eq!(reason(&shop(&["--cookie", "featureflag=on", "--subject", "mallory"])), ("stable", "deny"));
    assert_eq!(reason(&shop(&["--header", "X-User-Id: mallory"])), ("stable", "deny"));
    assert_eq!(reason(&shop(&[])), ("stable", "nosubject"));
    assert_eq!(reason(&shop(&["--host", "other.example"])), ("stable", "unmatched"));
    assert_eq!(reason(&shop(&["--path", "/assets/a.css"])), ("stable", "unmatched"));
    assert_eq!(reason(&shop(&["--now", "2026-12-24T00:00:00Z"])), ("stable", "window"));
    let sides: Vec<_> = ["alice", "bob", "carol", "dave", "erin", "frank"]
        .iter()
        .map(|id| reason(&shop(&["--subject", id])) == ("canary", "hash"))
        .collect();
    assert!(sides.contains(&true) && sides.contains(&false), "{sides:?}");
}

#[test]
fn what_happens_to_headers_and_cookies_is_shown() {
    let forged = shop(&["--header", "x-canary: canary", "--header", "X_Canary: canary", "--cookie", "a=b"]);
    assert_eq!(forged["request"]["remove"], serde_json::json!(["x_canary", "x-canary"]));
    assert_eq!(forged["request"]["cookie"], "a=b");
    let refused = shop(&["--subject", "mallory", "--cookie", "a=b; featureflag=on"]);
    assert_eq!(refused["request"]["cookie"], "a=b");
    assert_eq!(
        refused["response"]["setCookie"][0],
        "featureflag=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
    );
    let canary = shop(&["--cookie", "featureflag=on"]);
    assert_eq!(canary["request"]["set"], serde_json::json!([{"name": "x-canary", "value": "canary"}]));
    assert_eq!(
        canary["response"]["set"],
        serde_json::json!([{"name": "x-variant", "value": "checkout=canary"}])
    );
    assert_eq!(canary["response"]["vary"], "Cookie, x-user-id");
    let same = shop(&["--cookie", "featureflag=on", "--header", "x-canary: canary"]);
    assert_eq!(same["request"]["keep"], serde_json::json!([{"name": "x-canary", "value": "canary"}]));
}

#[test]
fn the_human_form_says_why() {
    let dir = folder("a.yaml", MANIFEST);
    let args = ["--config", "a.yaml", "--host", "shop.example", "--now", DAY, "--key", KEY];
    let more = ["--subject", "mallory", "--cookie", "a=b; featureflag=on", "--header", "x-canary: canary"];
    insta::assert_snapshot!(stdout(&decide(dir.path(), &[&args[..], &more].concat())));
}

#[test]
fn a_signed_override_is_honoured_where_it_belongs_and_nowhere_else() {
    let dir = folder("a.yaml", MANIFEST);
    let sign = |more: &[&str]| {
        let args = [
            "--config",
            "a.yaml",
            "--now",
            DAY,
            "--key",
            KEY,
            "--sign",
            "checkout=canary",
            "--format",
            "json",
        ];
        let output = decide(dir.path(), &[&args[..], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let answer: Value = serde_json::from_str(&stdout(&output)).unwrap();
        (answer["token"].as_str().unwrap().to_owned(), answer)
    };
    let (token, answer) = sign(&["--expires", "1d"]);
    assert_eq!((&answer["parameter"], &answer["expires"]), (&"cg".into(), &"2026-12-02T00:00:00Z".into()));
    let path = format!("/?a=1&cg={token}");
    assert_eq!(reason(&shop(&["--path", &path])), ("canary", "override"));
    assert_eq!(reason(&shop(&["--path", &path, "--subject", "anyone"])), ("canary", "override"));
    assert_eq!(reason(&shop(&["--path", &path, "--now", "2026-12-02T00:00:00Z"])).1, "nosubject");
    assert_eq!(reason(&shop(&["--path", &path, "--method", "POST"])).1, "nosubject");
    let (bound, _) = sign(&["--subject", "alice"]);
    let path = format!("/?cg={bound}");
    assert_eq!(reason(&shop(&["--path", &path, "--subject", "alice"])), ("canary", "override"));
    assert_ne!(reason(&shop(&["--path", &path, "--subject", "bob"])).1, "override");
    let human = decide(
        dir.path(),
        &["--config", "a.yaml", "--key", KEY, "--sign", "checkout=stable", "--host", "shop.example"],
    );
    let text = stdout(&human);
    let token = text.lines().next().unwrap();
    assert!(text.contains(&format!("https://shop.example/?cg={token}\n")), "{text}");
}

#[test]
fn keys_come_from_the_environment_too_and_are_never_made_up_for_signing() {
    let dir = folder("a.yaml", MANIFEST);
    let args = ["--config", "a.yaml", "--now", DAY, "--sign", "checkout=canary"];
    let given = decide(dir.path(), &[&args[..], &["--key", KEY]].concat());
    let from_env = command(dir.path(), &args).env("COALMINE_KEY_K1", &KEY[3..]).output().unwrap();
    assert_eq!(from_env.status.code(), Some(0), "{}", stderr(&from_env));
    assert_eq!(stdout(&given), stdout(&from_env));
    let none = decide(dir.path(), &args);
    assert_eq!(none.status.code(), Some(2));
    assert!(stderr(&none).contains("COALMINE_KEY_K1"), "{}", stderr(&none));
}

#[test]
fn a_generated_subject_needs_no_key_to_be_decided() {
    let dir = folder("a.json", r#"{"flags": [{"name": "f", "rollout": {"canary": 100}}]}"#);
    for more in [&["--subject", "alice"][..], &[]] {
        let output = decide(dir.path(), &[&["--config", "a.json"][..], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let text = stdout(&output);
        assert!(text.contains("x-canary: canary") && text.contains("No key was given"), "{text}");
        assert!(text.contains("__Host-coalmine=1.k1."), "{text}");
    }
    let odd = decide(dir.path(), &["--config", "a.json", "--subject", "a b"]);
    assert_eq!(odd.status.code(), Some(2));
}

#[test]
fn a_simulation_shows_the_split_beside_what_is_expected() {
    let config = "flags:\n- name: checkout\n  rollout: {canary: {percent: 5, start: 0}, a-rather-long-variant: {percent: 20, start: 50}, holdback: 1}\n  \
                  layer: {name: l, range: [0, 50]}\n- name: plain\n";
    let dir = folder("a.yaml", config);
    let output = decide(dir.path(), &["--config", "a.yaml", "--simulate", "100000"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    insta::assert_snapshot!(text);
    let output = decide(dir.path(), &["--config", "a.yaml", "--simulate", "100000", "--format", "json"]);
    let json: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let split = json["flags"][0]["split"].as_array().unwrap();
    let sum = |field: &str| split.iter().map(|row| row[field].as_f64().unwrap()).sum::<f64>();
    assert_eq!(sum("subjects"), 100_000.0);
    assert!((sum("expected") - 1.0).abs() < 1e-9 && (sum("measured") - 1.0).abs() < 1e-9);
    for row in split {
        let (measured, expected) = (row["measured"].as_f64().unwrap(), row["expected"].as_f64().unwrap());
        // Five standard deviations.
        let slack = 5.0 * (expected * (1.0 - expected) / 100_000.0).sqrt();
        assert!((measured - expected).abs() <= slack, "{row}");
    }
}

#[test]
fn problems_of_the_configuration_are_placed_and_fail() {
    let dir = folder("a.yaml", &MANIFEST.replace("rollout: {canary: 50}", "rolout: {canary: 50}"));
    let output = decide(dir.path(), &["--config", "a.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        stderr(&output),
        "a.yaml:27:7: error: flags[0].rolout: unknown field, did you mean `rollout`?\n"
    );
    assert!(
        stdout(&output).starts_with("checkout  stable"),
        "it is decided all the same: {}",
        stdout(&output)
    );
    let dir = folder("a.yaml", &MANIFEST.replace("canary: 50", "canary: 500"));
    let output = decide(dir.path(), &["--config", "a.yaml", "--header", "x-canary: canary"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).starts_with("a.yaml:27:7: error: flags[0].rollout: percentages sum to 500"),
        "{}",
        stderr(&output)
    );
    assert!(stdout(&output).contains("remove      x-canary"), "an inert filter strips: {}", stdout(&output));
    let signed = decide(dir.path(), &["--config", "a.yaml", "--key", KEY, "--sign", "checkout=canary"]);
    assert_eq!((signed.status.code(), stdout(&signed).as_str()), (Some(2), ""));
    // The proxy would lack the key whatever this process is given.
    let dir = folder("a.yaml", &MANIFEST.replace("{env: [{name: COALMINE_KEY_K1, valueFrom: HOST}]}", "{}"));
    let keyless = decide(dir.path(), &["--config", "a.yaml", "--key", KEY, "--cookie", "featureflag=on"]);
    assert_eq!(keyless.status.code(), Some(2));
    assert!(
        stderr(&keyless).contains("error: keys[0].env: the environment variable COALMINE_KEY_K1 is not set")
    );
    assert!(
        stdout(&keyless).contains("the filter only removes tags, everyone is stable"),
        "{}",
        stdout(&keyless)
    );
    let old = MANIFEST.replace(
        "    subject:",
        "    keys: [{id: k1, env: COALMINE_KEY_K1}, {id: k0, env: COALMINE_KEY_K0, verifyOnly: true}]\n    subject:",
    );
    let dir = folder("a.yaml", &old);
    let rotating = decide(
        dir.path(),
        &["--config", "a.yaml", "--cookie", "featureflag=on", "--host", "shop.example", "--now", DAY],
    );
    assert_eq!(rotating.status.code(), Some(0), "{}", stderr(&rotating));
    assert!(stderr(&rotating).contains("warning: keys[1].env"), "{}", stderr(&rotating));
    assert!(stdout(&rotating).starts_with("checkout  canary"), "{}", stdout(&rotating));
    let dir = folder("a.yaml", "flags: []\n");
    assert_eq!(decide(dir.path(), &["--config", "a.yaml"]).status.code(), Some(0), "a warning does not fail");
}

#[test]
fn the_configuration_is_found_in_every_kind_of_file() {
    let dir = folder("a.yaml", MANIFEST);
    let object = |output: Output| {
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let json: Value = serde_json::from_str(&stdout(&output)).unwrap();
        json["config"]["object"].clone()
    };
    let found = decide(dir.path(), &["--config", "a.yaml", "--format", "json"]);
    assert_eq!(object(found), "WasmPlugin istio-ingress/coalmine");
    let mut child = command(dir.path(), &["--config", "-", "--format", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"flags: [{name: a, optIn: {cookie: {name: f, value: x}}}]\n")
        .unwrap();
    assert_eq!(object(child.wait_with_output().unwrap()), Value::Null);
    let second = MANIFEST.replace("name: auth", "name: second").replace("acme/auth", "coalmine/filter");
    fs::write(dir.path().join("two.yaml"), second.replace("{users: []}", "{flags: []}")).unwrap();
    let several = decide(dir.path(), &["--config", "two.yaml"]);
    assert_eq!(several.status.code(), Some(2));
    assert!(stderr(&several).contains("istio-ingress/second"), "{}", stderr(&several));
    let chosen = decide(dir.path(), &["--config", "two.yaml", "--plugin", "second", "--format", "json"]);
    assert_eq!(object(chosen), "WasmPlugin istio-ingress/second");
}

#[test]
fn wrong_usage_is_2_and_says_what_is_wrong() {
    let dir = folder("a.yaml", MANIFEST);
    fs::write(dir.path().join("service.yaml"), "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n")
        .unwrap();
    fs::write(dir.path().join("broken.yaml"), "flags: [\n").unwrap();
    let cases: &[(&[&str], &str)] = &[
        (&[], "--config"),
        (&["--config", "nowhere.yaml"], "nowhere.yaml"),
        (&["--config", "service.yaml"], "no WasmPlugin"),
        (&["--config", "broken.yaml"], "broken.yaml:"),
        (&["--config", "a.yaml", "--plugin", "x"], "no WasmPlugin `x`"),
        (&["--config", "a.yaml", "--now", "tomorrow"], "RFC 3339"),
        (&["--config", "a.yaml", "--header", "x-user-id"], "name: value"),
        (&["--config", "a.yaml", "--key", "k9=0123456789abcdef"], "keys are k1"),
        (&["--config", "a.yaml", "--key", "k1=short"], "16 bytes"),
        (&["--config", "a.yaml", "--simulate", "0"], "--simulate"),
        (&["--config", "a.yaml", "--expires", "7d"], "--sign"),
        (&["--config", "a.yaml", "--key", KEY, "--sign", "checkout"], "FLAG=VARIANT"),
        (&["--config", "a.yaml", "--key", KEY, "--sign", "search=canary"], "the flags are checkout"),
        (&["--config", "a.yaml", "--key", KEY, "--sign", "checkout=blue"], "canary, stable"),
        (
            &["--config", "a.yaml", "--key", KEY, "--sign", "checkout=canary", "--expires", "7w"],
            "90s, 15m, 12h or 7d",
        ),
    ];
    for (args, message) in cases {
        let output = decide(dir.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains(message), "{args:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{args:?}");
    }
}

/// The page on the filter shows a plugin that works as it stands there.
#[test]
fn the_documented_plugin_is_clean() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/filter.md")).unwrap();
    let plugin = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let dir = folder("coalmine-filter.yaml", plugin);
    let lint = Command::new(env!("CARGO_BIN_EXE_coalmine"))
        .args(["lint", "--fail-on", "info", "--format", "concise"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!((lint.status.code(), stdout(&lint).as_str()), (Some(0), ""));
    let output = decide(dir.path(), &["--config", "coalmine-filter.yaml", "--simulate", "1000"]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    assert!(stdout(&output).contains("5.000%"), "{}", stdout(&output));
}
