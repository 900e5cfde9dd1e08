//! The published schema of `*.routes.yaml` and the reader of them give the same answers.
#![allow(clippy::disallowed_methods)]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use coalmine::Files;
use coalmine::expect::parse;
use coalmine::expect::schema::schema;
use serde_json::Value;

static VALIDATOR: LazyLock<jsonschema::Validator> =
    LazyLock::new(|| jsonschema::validator_for(&schema()).unwrap());

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What the reader and the schema say.
fn verdicts(text: &str) -> (Result<(), String>, Vec<String>) {
    let mut files = Files::new();
    let id = files.add("a.routes.yaml", text);
    let read = parse(&files, id).map(|_| ()).map_err(|problems| format!("{problems:?}"));
    let value: Value = serde_yaml::from_str(text).unwrap();
    (read, VALIDATOR.iter_errors(&value).map(|error| error.to_string()).collect())
}

#[track_caller]
fn is_right(text: &str) {
    assert_eq!(verdicts(text), (Ok(()), Vec::new()), "{text}");
}

#[test]
fn shipped_and_documented_expectations_are_right_for_both() {
    assert!(jsonschema::meta::is_valid(&schema()));
    let mut shipped = 0;
    for folder in fs::read_dir(root().join("manifests")).unwrap() {
        let folder = folder.unwrap().path();
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.to_string_lossy().ends_with(".routes.yaml") {
                is_right(&fs::read_to_string(path).unwrap());
                shipped += 1;
            }
        }
    }
    assert!(shipped >= 4);
    let docs = fs::read_to_string(root().join("docs/test.md")).unwrap();
    let (_, example) = docs.split_once("```yaml\n").unwrap();
    is_right(example.split_once("```").unwrap().0);
}

#[test]
fn every_kind_of_claim_is_right_for_both() {
    for claim in [
        "reaches: {workload: [a, deployment/b], version: 2.0, port: 80, mtls: true, headers: {a: null, b: [c, null]}}",
        "never: {version: '2.0'}",
        "only: {mtls: permissive}",
        "mirrors: {host: a}",
        "shares: {v1: 12.5%, v2: 1/3, 503: 10 %}",
        "status: [404, none]",
        "redirect: https://a/",
        "flag: [NR, UH]",
    ] {
        is_right(&format!("expect:\n- {{name: a, step: [x, y], request: http://a/, {claim}}}\n"));
        let long = "{url: http://a/, from: pod/a, method: PUT, headers: {a: 1}, cookies: {b: null}, principal: spiffe://a, \
                    now: 2026-12-01T00:00:00Z}";
        is_right(&format!(
            "step: z\nexpect:\n- {{name: 1, request: {long}, follow: true, sweep: {{path: [/a], headers.x: null, cookies.y: [a, null]}}, {claim}}}\n"
        ));
    }
}

#[test]
fn mistakes_are_mistakes_for_both() {
    for text in [
        "expects: []",
        "step: a",
        "expect: {}",
        "expect: [{request: http://a/, status: 404}]",
        "expect: [{name: a, status: 404}]",
        "expect: [{name: a, request: http://a/}]",
        "expect: [{name: a, request: http://a/, staus: 404}]",
        "expect: [{name: a, request: {ulr: a}, status: 404}]",
        "expect: [{name: a, request: [a], status: 404}]",
        "expect: [{name: a, request: {url: http://a/, headers: [a]}, status: 404}]",
        "expect: [{name: a, request: http://a/, follow: often, status: 404}]",
        "expect: [{name: a, request: http://a/, sweep: {cookie.a: [1]}, status: 404}]",
        "expect: [{name: a, request: http://a/, sweep: {path: []}, status: 404}]",
        "expect: [{name: a, request: http://a/, reaches: {}}]",
        "expect: [{name: a, request: http://a/, reaches: {verson: 1}}]",
        "expect: [{name: a, request: http://a/, reaches: {mtls: often}}]",
        "expect: [{name: a, request: http://a/, reaches: {headers: {}}}]",
        "expect: [{name: a, request: http://a/, shares: {}}]",
        "expect: [{name: a, request: http://a/, shares: {v1: 50}}]",
        "expect: [{name: a, request: http://a/, shares: {v1: half}}]",
        "expect: [{name: a, request: http://a/, flag: XX}]",
        "expect: [{name: a, request: http://a/, status: []}]",
    ] {
        let (read, schema) = verdicts(text);
        assert!(read.is_err() && !schema.is_empty(), "{text}\nreader: {read:?}\nschema: {schema:?}");
    }
}

/// Each field with what belongs there, what belongs elsewhere, and nothing.
#[test]
fn every_value_of_every_field_has_the_same_verdict_from_both() {
    let claims = [
        "reaches: {mtls: [strict, permissive]}",
        "reaches: {mtls: [true, 'false']}",
        "reaches: {mtls: [often]}",
        "reaches: {mtls: []}",
        "reaches: {mtls: ~}",
        "reaches: {version: [1.0, '2.0']}",
        "reaches: {version: [~]}",
        "reaches: {port: [80, '81']}",
        "reaches: {port: http}",
        "reaches: {port: 99999}",
        "reaches: {port: ['99999', '65535']}",
        "reaches: {port: [80, -1]}",
        "reaches: {method: 1, path: [/a], authority: [a, b], host: [a]}",
        "reaches: {headers: ~}",
        "reaches: {headers: {a: [b, ~]}}",
        "reaches: ~",
        "reaches: a",
        "status: 404",
        "status: '404'",
        "status: [none, 503]",
        "status: 4040",
        "status: 99",
        "status: x",
        "status: ~",
        "redirect: 1",
        "redirect: ~",
        "redirect: [a]",
        "flag: ~",
        "flag: [NR]",
        "shares: {v1: 1/0}",
        "shares: {v1: 150%}",
        "shares: {v1: 050.5 %, v2: 1 / 3}",
        "shares: {v1: 0.5}",
        "shares: ~",
        "follow: ~, status: 404",
        "follow: 'true', status: 404",
        "sweep: ~, status: 404",
        "sweep: {}, status: 404",
        "sweep: {path: [~]}, status: 404",
        "sweep: {path: ~}, status: 404",
        "sweep: {path: a}, status: 404",
        "sweep: {url: [~]}, status: 404",
        "sweep: {url: [http://b/]}, status: 404",
        "sweep: {method: [GET, ~, 1]}, status: 404",
        "sweep: {method: [G T]}, status: 404",
        "sweep: {from: [gateway, ~]}, status: 404",
        "sweep: {principal: [~, a]}, status: 404",
        "sweep: {headers.x: ~}, status: 404",
        "sweep: {headers.: [a]}, status: 404",
        "step: ~, status: 404",
        "step: [], status: 404",
        "step: [~], status: 404",
    ];
    let requests = [
        "1",
        "~",
        "{url: http://a/, method: 1}",
        "{url: http://a/, method: ~}",
        "{url: http://a/, method: G T}",
        "{url: http://a/, headers: ~, cookies: ~, principal: ~, now: ~, from: ~}",
        "{url: http://a/, headers: {a: [b]}}",
        "{url: http://a/, now: 1}",
        "{url: http://a/, now: 2026-01-01}",
        "{url: http://a/, now: 2026-01-01T00:00:00+01:00}",
        "{url: http://a/, from: 1}",
        "{url: ~}",
        "{}",
        "{}, follow: true",
        "{}, follow: false",
        "{}, sweep: {url: [http://a/]}",
        "{from: deployment/a}, follow: true",
        "{from: deployment/a}, follow: true, never: {version: 2}",
    ];
    let claimed = claims.iter().map(|claim| format!("expect: [{{name: a, request: http://a/, {claim}}}]"));
    let asked = requests.iter().flat_map(|request| {
        ["status: 404", "only: {version: 1}"]
            .map(|claim| format!("expect: [{{name: a, {claim}, request: {request}}}]"))
    });
    let files = ["step: ~\nexpect: []", "step: [a, 1]\nexpect: []", "expect: ~", "expect: [~]", "{}"];
    let mut right = 0;
    for text in claimed.chain(asked).chain(files.map(str::to_owned)) {
        let (read, schema) = verdicts(&text);
        right += usize::from(read.is_ok());
        assert_eq!(read.is_ok(), schema.is_empty(), "{text}\nreader: {read:?}\nschema: {schema:?}");
    }
    assert!(right > 25, "only {right} are right");
}
