//! Quick fixes, suppressions and everything safe at once.

use serde_json::{Value, json};

use super::client::{Client, able, apply};
use super::{ROUTE, SHOP};

/// A finding with a safe fix: a rule with one destination needs no weight, and this one is wrong.
const WEIGHT: &str = "        subset: stable\n      weight: 90\n";

fn at(client: &mut Client, name: &str, line: u32, character: u32, only: Option<&str>) -> Vec<Value> {
    let place = json!({ "line": line, "character": character });
    let context = match only {
        Some(kind) => json!({ "diagnostics": [], "only": [kind] }),
        None => json!({ "diagnostics": [] }),
    };
    let document = json!({ "uri": client.uri(name) });
    let params =
        json!({ "textDocument": document, "range": { "start": place, "end": place }, "context": context });
    let actions = client.request("textDocument/codeAction", params);
    actions.as_array().unwrap().clone()
}

fn titled<'a>(actions: &'a [Value], part: &str) -> &'a Value {
    let titles: Vec<&Value> = actions.iter().map(|action| &action["title"]).collect();
    let found = actions.iter().find(|action| action["title"].as_str().unwrap().contains(part));
    found.unwrap_or_else(|| panic!("none of {titles:?} is about {part}"))
}

#[test]
fn a_quick_fix_removes_its_finding() {
    let mut client = Client::new(&SHOP);
    client.open("route.yaml", ROUTE);
    client.quiet();
    let actions = at(&mut client, "route.yaml", 11, 18, None);
    let action = titled(&actions, "stable");
    assert_eq!(action["kind"], "quickfix");
    assert_eq!(action["diagnostics"][0]["code"], "unknown-subset");
    assert_eq!(action["edit"]["documentChanges"][0]["textDocument"]["version"], 1);
    let is_safe = action["isPreferred"] == json!(true);
    assert_eq!(action["title"].as_str().unwrap().contains("unsafe"), !is_safe);
    let text = apply(ROUTE, &action["edit"], &client.uri("route.yaml"));
    assert_eq!(text, ROUTE.replace("stabel", "stable"));
    client.change("route.yaml", 2, &text);
    assert_eq!(client.findings("route.yaml"), [""; 0]);
    assert_eq!(at(&mut client, "route.yaml", 11, 18, None), [] as [Value; 0]);
}

#[test]
fn nothing_is_offered_elsewhere_or_of_another_kind() {
    let mut client = Client::new(&SHOP);
    assert_eq!(at(&mut client, "route.yaml", 0, 0, None).len(), 0);
    assert_eq!(at(&mut client, "route.yaml", 11, 18, Some("refactor")).len(), 0);
    assert!(!at(&mut client, "route.yaml", 11, 18, Some("quickfix")).is_empty());
}

#[test]
fn a_client_without_versioned_edits_gets_plain_ones() {
    let mut client = Client::with(&SHOP, &["."], json!({}));
    let actions = at(&mut client, "route.yaml", 11, 18, None);
    let edit = &titled(&actions, "stable")["edit"];
    assert!(edit["documentChanges"].is_null());
    let text = apply(ROUTE, edit, &client.uri("route.yaml"));
    assert_eq!(text, ROUTE.replace("stabel", "stable"));
}

#[test]
fn a_comment_suppresses_one_finding_and_says_so_on_the_line_above() {
    let mut client = Client::new(&SHOP);
    client.open("route.yaml", ROUTE);
    client.quiet();
    let actions = at(&mut client, "route.yaml", 11, 18, Some("quickfix"));
    let action = titled(&actions, "Ignore `unknown-subset`");
    let text = apply(ROUTE, &action["edit"], &client.uri("route.yaml"));
    let comment = "        # coalmine: ignore[unknown-subset] TODO say why\n        subset: stabel\n";
    assert_eq!(text, ROUTE.replace("        subset: stabel\n", comment));
    client.change("route.yaml", 2, &text);
    assert_eq!(client.findings("route.yaml"), [""; 0]);
}

#[test]
fn every_safe_fix_of_a_file_is_one_action() {
    let text = ROUTE.replace("        subset: stabel\n", WEIGHT);
    let files = [SHOP[0], SHOP[1], SHOP[2], ("route.yaml", text.as_str())];
    for lazy in [true, false] {
        let capabilities = if lazy { able(&[]) } else { json!({}) };
        let mut client = Client::with(&files, &["."], capabilities);
        client.open("route.yaml", &text);
        let before = client.findings("route.yaml");
        assert!(!before.is_empty());
        let actions = at(&mut client, "route.yaml", 0, 0, Some("source.fixAll"));
        let [action] = actions.as_slice() else { panic!("{actions:#?}") };
        assert_eq!(action["kind"], "source.fixAll.coalmine");
        assert_eq!(action["edit"].is_null(), lazy);
        let action = if lazy { client.request("codeAction/resolve", action.clone()) } else { action.clone() };
        let fixed = apply(&text, &action["edit"], &client.uri("route.yaml"));
        assert_ne!(fixed, text);
        client.change("route.yaml", 2, &fixed);
        assert_eq!(client.findings("route.yaml"), [""; 0], "{fixed}");
    }
}
