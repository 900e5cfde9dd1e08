//! The linter as JavaScript has it: the npm package in Node, the same findings as the command line, and the playground
//! in a real browser. `cargo xtask test` builds and fetches what they need; the scripts are in `tests/web`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use coalmine::rules::RULES;
use coalmine_tests::{root, wait};
use serde_json::Value;

/// The npm package that `cargo xtask wasm` wrote.
fn package() -> PathBuf {
    let folder = root().join("target/dist/npm");
    assert!(
        folder.join("package.json").is_file(),
        "{} is missing: run `cargo xtask test` (or `cargo xtask wasm`)",
        folder.display()
    );
    folder
}

/// Runs a script of `tests/web` for at most `limit`, and gives what it printed; fails with that when it fails.
fn node(script: &str, args: &[&Path], environment: &[(&str, PathBuf)], limit: Duration) -> String {
    let script = root().join("tests/web").join(script);
    let mut command = Command::new("node");
    if args.is_empty() {
        command.args(["--test", "--test-reporter", "spec"]);
    }
    command.arg(&script).args(args).envs(environment.iter().map(|(name, path)| (name, path)));
    let mut child =
        command.stdout(Stdio::piped()).spawn().expect("`node` starts: Node 20 or later is needed");
    let mut stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    let Some(status) = wait(limit, || child.try_wait().unwrap()) else {
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("{} took longer than {limit:?}", script.display());
    };
    let text = reader.join().unwrap().unwrap();
    assert!(status.success(), "{}: {status}\n{text}", script.display());
    text
}

#[test]
fn npm_package_works_in_node() {
    node("package.mjs", &[], &[("COALMINE_PACKAGE", package())], Duration::from_secs(120));
}

#[test]
fn playground_works_in_chromium() {
    let target = root().join("target");
    let page = target.join("dist/playground");
    assert!(page.join("index.html").is_file(), "{} is missing: run `cargo xtask test`", page.display());
    let environment = [
        ("COALMINE_PLAYGROUND", page),
        ("COALMINE_TOOLS", target.join("tools/playground")),
        ("COALMINE_ARTIFACTS", target.join("artifacts/playground")),
    ];
    node("playground.mjs", &[], &environment, Duration::from_secs(400));
}

/// Files below a folder, by name.
fn read(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            read(&entry.path(), &format!("{name}/"), files);
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            files.insert(name, text);
        }
    }
}

/// What is fed to all: the shipped scenarios together, every rule's examples, each a deployment of its own, and texts
/// that are hard on places: several bytes in a character, no newline at the end, no YAML at all.
fn inputs() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    read(&root().join("manifests"), "manifests/", &mut files);
    let mut broken = BTreeMap::new();
    read(&root().join("manifests/voting"), "broken/", &mut broken);
    for text in broken.values_mut() {
        *text = text.replace("subset: v2-0", "subset: v2_0").replace("version: \"2.0\"", "version: 2.0 # é𝄞");
    }
    files.extend(broken);
    for rule in RULES {
        for heading in ["Example", "Use instead"] {
            let text = rule.example(heading).unwrap();
            let folder = format!("rules/{}/{}", rule.id, heading.replace(' ', "-"));
            files.insert(format!("{folder}/example.yaml"), format!("# é𝄞\n{text}"));
            files.insert(format!("{folder}/coalmine.yaml"), "namespace: shop\nassume: closed\n".to_owned());
        }
    }
    for (name, text) in [
        ("hard/é𝄞.yaml", "\"é𝄞\": 1\r\n\"é𝄞\": 2"),
        ("hard/empty.yaml", ""),
        ("hard/binary.yaml", "\u{0}\u{feff}- ]"),
        ("hard/a.json", "{\"kind\": \"VirtualService\", \"kind\": 1}"),
        ("hard/notes.txt", "not: [read"),
        ("hard/chart/Chart.yaml", "name: chart"),
        ("hard/chart/templates/t.yaml", "{{ not yaml }}"),
        ("hard/a.routes.yaml", "not: [read"),
    ] {
        files.insert(name.to_owned(), text.to_owned());
    }
    files
}

#[test]
fn parity_of_command_line_and_npm_package() {
    let scratch = tempfile::tempdir().unwrap();
    for (name, text) in inputs() {
        let path = scratch.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let binary = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("coalmine");
    assert!(binary.is_file(), "{} is missing: run `cargo build`", binary.display());
    let printed = Command::new(binary)
        .args(["lint", "--format", "json"])
        .current_dir(scratch.path())
        .output()
        .expect("the command line runs");
    let command_line: Value = serde_json::from_slice(&printed.stdout).expect("it prints JSON");
    let text = node("lint.mjs", &[&package(), scratch.path()], &[], Duration::from_secs(120));
    let npm: Value = serde_json::from_str(&text).expect("the script prints JSON");

    let findings = |report: &Value| report["diagnostics"].as_array().expect("diagnostics").clone();
    let (expected, found) = (findings(&command_line), findings(&npm));
    let rules: std::collections::BTreeSet<&str> =
        expected.iter().filter_map(|finding| finding["rule"].as_str()).collect();
    assert!(rules.len() > RULES.len() / 2, "the input shows too little: {rules:?}");
    for (index, (expected, found)) in expected.iter().zip(&found).enumerate() {
        assert_eq!(found, expected, "finding {index}");
    }
    assert_eq!(found.len(), expected.len());
    assert_eq!(npm["summary"], command_line["summary"]);
}
