//! The protocol itself: order, cancellation, mistakes and the end.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Client, able};
use super::{ROUTE, RULE, SERVICE, SHOP, UNKNOWN};

#[test]
fn findings_of_a_text_that_has_changed_meanwhile_are_never_published() {
    let mut client = Client::new(&SHOP);
    client.open("route.yaml", ROUTE);
    client.quiet();
    let last = 60;
    for version in 2..=last {
        let text = format!("{}{ROUTE}", "# typed\n".repeat(usize::try_from(version).unwrap()));
        client.change("route.yaml", version, &text);
    }
    let mut versions = Vec::new();
    loop {
        let published = client.published("route.yaml");
        let version = i32::try_from(published["version"].as_i64().unwrap()).unwrap();
        let line = &published["diagnostics"][0]["range"]["start"]["line"];
        assert_eq!(*line, json!(11 + version), "the finding is where it was in version {version}");
        versions.push(version);
        if version == last {
            break;
        }
    }
    assert!(versions.is_sorted() && versions.len() < 59, "nobody waits for {versions:?}");
}

#[test]
fn a_request_is_answered_from_the_edits_before_it() {
    let mut client = Client::new(&SHOP);
    client.open("route.yaml", ROUTE);
    client.change("route.yaml", 2, &ROUTE.replace("stabel", "stable"));
    let document = json!({ "uri": client.uri("route.yaml") });
    let place = json!({ "line": 11, "character": 18 });
    let context = json!({ "diagnostics": [] });
    let range = json!({ "start": place, "end": place });
    let params = json!({ "textDocument": document, "range": range, "context": context });
    assert_eq!(client.request("textDocument/codeAction", params.clone()), json!([]));
    client.change("route.yaml", 3, ROUTE);
    assert_ne!(client.request("textDocument/codeAction", params), json!([]));
    let last = loop {
        let published = client.published("route.yaml");
        if published["version"] == 3 {
            break published;
        }
    };
    assert_ne!(last["diagnostics"], json!([]), "what the request found out is published, too");
}

#[test]
fn a_request_that_is_cancelled_in_time_is_not_worked_on() {
    let mut client = Client::new(&SHOP);
    client.quiet();
    let document = json!({ "uri": client.uri("route.yaml") });
    // The server is busy with the first ones when the cancellation comes; the last of many is still waiting.
    let asked: Vec<_> = (0..400)
        .map(|_| client.ask("textDocument/documentSymbol", json!({ "textDocument": document })))
        .collect();
    for id in &asked {
        client.cancel(id);
    }
    let errors: Vec<_> = asked.iter().map(|id| client.response(id).err().map(|error| error.code)).collect();
    assert!(errors.contains(&Some(-32800)), "none of {} requests was cancelled", errors.len());
    assert!(errors.iter().all(|code| matches!(code, None | Some(-32800))), "{errors:?}");
    client.notify("$/cancelRequest", json!({ "id": "never asked" }));
    assert_eq!(client.end(), 0);
}

#[test]
fn mistakes_of_the_client_are_said_and_survived() {
    let mut client = Client::new(&SHOP);
    let id = client.ask("textDocument/nonsense", json!({}));
    assert_eq!(client.response(&id).unwrap_err().code, -32601);
    let id = client.ask("textDocument/hover", json!({ "textDocument": 7 }));
    assert_eq!(client.response(&id).unwrap_err().code, -32602);
    client.notify("textDocument/didOpen", json!({ "textDocument": 7 }));
    client.notify("$/whatever", json!({}));
    client.change("never-opened.yaml", 3, "a: [");
    let document = json!({ "uri": client.uri("never-opened.yaml") });
    let place = json!({ "line": 999, "character": 999 });
    let params = json!({ "textDocument": document, "position": place });
    assert_eq!(client.request("textDocument/hover", params), Value::Null);
    assert_eq!(client.findings("route.yaml"), [UNKNOWN]);
}

#[test]
fn the_exit_code_says_whether_the_client_said_goodbye() {
    let mut client = Client::new(&[]);
    client.notify("exit", Value::Null);
    assert_eq!(client.exit_code(), 1);
    let mut client = Client::new(&[]);
    client.hang_up();
    assert_eq!(client.exit_code(), 1);
    let mut client = Client::new(&[]);
    client.request("shutdown", Value::Null);
    let id = client.ask("textDocument/hover", json!({}));
    assert_eq!(client.response(&id).unwrap_err().code, -32600);
    client.notify("exit", Value::Null);
    assert_eq!(client.exit_code(), 0);
}

#[test]
fn a_length_that_no_message_has_ends_the_server_with_a_word() {
    for wrong in ["Content-Length: 99999999999999\r\n\r\n{}", "Content-Length: 5\r\n\r\n{", "what?\r\n\r\n"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_coalmine"))
            .arg("lsp")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(wrong.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{wrong}: {said}");
        assert!(said.contains("the client does not speak the protocol"), "{wrong}: {said}");
    }
}

/// Linting takes longer than the time between two keys here, and the findings are seen nevertheless.
#[test]
fn whoever_types_without_a_pause_sees_findings_meanwhile() {
    let many: String = (0..400)
        .map(|n| {
            format!(
                "{}---\n{}---\n",
                SERVICE.replace("reviews", &format!("r{n}")),
                RULE.replace("reviews", &format!("r{n}"))
            )
        })
        .collect();
    let mut client = Client::new(&[SHOP[0], SHOP[1], SHOP[2], SHOP[3], ("many.yaml", many.as_str())]);
    client.open("route.yaml", ROUTE);
    client.quiet();
    let start = Instant::now();
    let mut version = 1;
    while start.elapsed() < Duration::from_secs(3) {
        version += 1;
        client.change(
            "route.yaml",
            version,
            &format!("{}{ROUTE}", "# typed\n".repeat(usize::from(version % 2 == 0))),
        );
        thread::sleep(Duration::from_millis(10));
    }
    let seen = client.published_so_far("route.yaml");
    assert!(seen >= 3, "{seen} publications in 3 s of typing");
}

#[test]
fn every_capability_is_announced() {
    let client = Client::with(&[], &["."], able(&["utf-16"]));
    for name in [
        "completionProvider",
        "hoverProvider",
        "definitionProvider",
        "referencesProvider",
        "documentHighlightProvider",
        "documentSymbolProvider",
        "workspaceSymbolProvider",
        "codeActionProvider",
        "codeLensProvider",
    ] {
        assert!(!client.capabilities[name].is_null(), "{name}: {:#}", client.capabilities);
    }
    assert_eq!(client.capabilities["textDocumentSync"]["change"], 2);
}
