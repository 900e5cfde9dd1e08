//! The protocol itself: order, cancellation, mistakes and the end.

use serde_json::{Value, json};

use super::client::{Client, able};
use super::{ROUTE, SHOP, UNKNOWN};

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
