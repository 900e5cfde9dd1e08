//! The linter as JavaScript has it: the npm package in Node, the same findings as the command line and the language
//! server, the playground and the extension for VS Code in a real browser. `cargo xtask test` builds and fetches what
//! they need; the scripts are in `tests/web`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use coalmine::rules::RULES;
use coalmine_tests::{root, wait};
use serde_json::{Value, json};

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
    let environment =
        [("COALMINE_PACKAGE", package()), ("COALMINE_TOOLS", root().join("target/tools/playground"))];
    node("package.mjs", &[], &environment, Duration::from_secs(180));
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

/// The folder that the extension for VS Code was built in.
fn extension() -> PathBuf {
    let folder = root().join("target/tools/vscode");
    let bundle = folder.join("dist/extension.js");
    assert!(bundle.is_file(), "{} is missing: run `cargo xtask test`", bundle.display());
    folder
}

#[test]
fn vscode_extension_parts() {
    node("extension.mjs", &[], &[("COALMINE_EXTENSION", extension())], Duration::from_secs(60));
}

#[test]
fn vscode_in_a_browser_shows_and_mends_the_problem() {
    let target = root().join("target");
    let server = target.join("tools/code-server");
    assert!(server.join("installed").is_file(), "{} is missing: run `cargo xtask test`", server.display());
    let package = target.join(concat!("dist/coalmine-", env!("CARGO_PKG_VERSION"), ".vsix"));
    assert!(package.is_file(), "{} is missing: run `cargo xtask test`", package.display());
    let environment = [
        ("COALMINE_VSIX", package),
        ("COALMINE_CODE_SERVER", server),
        ("COALMINE_MANIFESTS", root().join("manifests/voting")),
        ("COALMINE_TOOLS", target.join("tools/playground")),
        ("COALMINE_ARTIFACTS", target.join("artifacts/vscode")),
    ];
    node("vscode.mjs", &[], &environment, Duration::from_secs(500));
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
fn parity_of_command_line_npm_package_and_language_server() {
    let scratch = tempfile::tempdir().unwrap();
    let files = inputs();
    for (name, text) in &files {
        let path = scratch.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let binary = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("coalmine");
    assert!(binary.is_file(), "{} is missing: run `cargo build`", binary.display());
    let printed = Command::new(&binary)
        .args(["lint", "--format", "json"])
        .current_dir(scratch.path())
        .output()
        .expect("the command line runs");
    let command_line: Value = serde_json::from_slice(&printed.stdout).expect("it prints JSON");
    let text = node("lint.mjs", &[&package(), scratch.path()], &[], Duration::from_secs(120));
    let npm: Value = serde_json::from_str(&text).expect("the script prints JSON");

    let findings = |report: &Value| report["diagnostics"].as_array().expect("diagnostics").clone();
    let (expected, found) = (findings(&command_line), findings(&npm));
    let rules: BTreeSet<&str> = expected.iter().filter_map(|finding| finding["rule"].as_str()).collect();
    assert!(rules.len() > RULES.len() / 2, "the input shows too little: {rules:?}");
    for (index, (expected, found)) in expected.iter().zip(&found).enumerate() {
        assert_eq!(found, expected, "finding {index}");
    }
    assert_eq!(found.len(), expected.len());
    assert_eq!(npm["summary"], command_line["summary"]);

    let printed: BTreeSet<Shown> = expected.iter().map(|finding| as_shown(finding, &files)).collect();
    let shown = shown_by_language_server(&binary, scratch.path(), &printed);
    let only =
        |one: &BTreeSet<Shown>, other: &BTreeSet<Shown>| one.difference(other).cloned().collect::<Vec<_>>();
    assert_eq!(only(&printed, &shown), [], "printed and not shown in an editor");
    assert_eq!(only(&shown, &printed), [], "shown in an editor and not printed");
}

/// A finding as an editor shows it: file, first and last position (lines from 0, UTF-16 code units), rule, message,
/// severity, and how many related places and edits it has.
type Shown = (String, (u64, u64), (u64, u64), String, String, u64, usize, usize);

/// A finding of the command line's JSON, whose lines begin at 1 and whose columns count characters.
fn as_shown(finding: &Value, files: &BTreeMap<String, String>) -> Shown {
    let text = |name: &str| finding[name].as_str().unwrap().to_owned();
    let source = &files[&text("file")];
    let place = |at: &Value| {
        let (line, column) = (at["line"].as_u64().unwrap() - 1, at["column"].as_u64().unwrap() - 1);
        let before = source.split('\n').nth(line as usize).unwrap().chars().take(column as usize);
        (line, before.map(|c| c.len_utf16() as u64).sum())
    };
    let severity = ["error", "warning", "info"].iter().position(|name| finding["severity"] == *name).unwrap();
    (
        text("file"),
        place(&finding["range"]["start"]),
        place(&finding["range"]["end"]),
        text("rule"),
        text("message"),
        severity as u64 + 1,
        finding["related"].as_array().unwrap().len(),
        finding["fix"]["edits"].as_array().map_or(0, Vec::len),
    )
}

/// What `coalmine lsp` publishes for a workspace, until it is what is expected or a minute has passed.
fn shown_by_language_server(binary: &Path, folder: &Path, expected: &BTreeSet<Shown>) -> BTreeSet<Shown> {
    let folder = fs::canonicalize(folder).unwrap();
    let root = format!("file://{}/", folder.display());
    let mut server = Command::new(binary)
        .arg("lsp")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the language server starts");
    let mut stdin = server.stdin.take().unwrap();
    let mut send = |message: Value| {
        let text = message.to_string();
        write!(stdin, "Content-Length: {}\r\n\r\n{text}", text.len()).unwrap();
        stdin.flush().unwrap();
    };
    let (sender, messages) = std::sync::mpsc::channel();
    let mut stdout = BufReader::new(server.stdout.take().unwrap());
    std::thread::spawn(move || {
        while let Some(message) = read_message(&mut stdout) {
            if sender.send(message).is_err() {
                break;
            }
        }
    });
    let capabilities = json!({ "textDocument": { "publishDiagnostics": { "relatedInformation": true } } });
    let workspace = json!([{ "uri": root, "name": "all" }]);
    let params = json!({ "processId": null, "rootUri": null, "workspaceFolders": workspace, "capabilities": capabilities });
    send(json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params }));
    send(json!({ "jsonrpc": "2.0", "method": "initialized", "params": {} }));
    let mut published: BTreeMap<String, Vec<Shown>> = BTreeMap::new();
    let all = |published: &BTreeMap<String, Vec<Shown>>| -> BTreeSet<Shown> {
        published.values().flatten().cloned().collect()
    };
    let end = Instant::now() + Duration::from_secs(60);
    while all(&published) != *expected {
        let Ok(message) = messages.recv_timeout(end.saturating_duration_since(Instant::now())) else { break };
        if message["method"] == "textDocument/publishDiagnostics" {
            let uri = message["params"]["uri"].as_str().unwrap();
            let name = percent_decoded(uri.strip_prefix(&root).unwrap_or(uri));
            let findings = message["params"]["diagnostics"].as_array().unwrap();
            published.insert(
                name.clone(),
                findings.iter().map(|finding| published_finding(&name, finding)).collect(),
            );
        }
    }
    server.kill().unwrap();
    server.wait().unwrap();
    all(&published)
}

fn published_finding(file: &str, finding: &Value) -> Shown {
    let place = |at: &Value| (at["line"].as_u64().unwrap(), at["character"].as_u64().unwrap());
    (
        file.to_owned(),
        place(&finding["range"]["start"]),
        place(&finding["range"]["end"]),
        finding["code"].as_str().unwrap().to_owned(),
        // The help stands below the message.
        finding["message"].as_str().unwrap().lines().next().unwrap().to_owned(),
        finding["severity"].as_u64().unwrap(),
        finding["relatedInformation"].as_array().map_or(0, Vec::len),
        finding["data"]["fix"]["edits"].as_array().map_or(0, Vec::len),
    )
}

fn read_message(from: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        from.read_line(&mut line).ok().filter(|read| *read > 0)?;
        match line.trim_end() {
            "" => break,
            header => length = header.strip_prefix("Content-Length: ").map_or(length, |n| n.parse().unwrap()),
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let code = (byte == b'%').then(|| [rest.next(), rest.next()].map(|digit| char::from(digit.unwrap())));
        let number = code.map(|[high, low]| u8::from_str_radix(&format!("{high}{low}"), 16).unwrap());
        bytes.push(number.unwrap_or(byte));
    }
    String::from_utf8(bytes).unwrap()
}
