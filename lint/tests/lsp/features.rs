//! Hover, navigation, completion, lenses and symbols, in the protocol's words. What each of them says is tested in
//! the library.

use serde_json::{Value, json};

use super::client::{Client, able};
use super::{ROUTE, RULE, SHOP};

/// The parameters of a request about the first place where a text stands.
fn at(client: &Client, name: &str, text: &str, wanted: &str) -> Value {
    let offset = text.find(wanted).unwrap_or_else(|| panic!("no `{wanted}`"));
    let line = text[..offset].matches('\n').count();
    let character = offset - text[..offset].rfind('\n').map_or(0, |newline| newline + 1) + 1;
    let document = json!({ "uri": client.uri(name) });
    json!({ "textDocument": document, "position": { "line": line, "character": character } })
}

/// `file line:character-character` of each location.
fn places(client: &Client, locations: &Value) -> Vec<String> {
    let folder = client.uri("");
    let one = |location: &Value| {
        let (range, uri) = (&location["range"], location["uri"].as_str().unwrap());
        let (start, end) = (&range["start"], &range["end"]);
        let name = uri.strip_prefix(&folder).unwrap();
        format!("{name} {}:{}-{}", start["line"], start["character"], end["character"])
    };
    locations.as_array().unwrap().iter().map(one).collect()
}

fn fixed() -> String {
    ROUTE.replace("stabel", "stable")
}

#[test]
fn hovering_shows_what_a_name_is_and_the_rule_that_found_something() {
    let mut client = Client::new(&SHOP);
    client.quiet();
    let params = at(&client, "route.yaml", ROUTE, "reviews\n        subset");
    let hover = client.request("textDocument/hover", params);
    assert_eq!(hover["contents"]["kind"], "markdown");
    assert!(hover["contents"]["value"].as_str().unwrap().contains("Service `shop/reviews`"), "{hover:#}");
    assert_eq!(hover["range"]["start"], json!({ "line": 10, "character": 14 }));
    let params = at(&client, "route.yaml", ROUTE, "stabel");
    let hover = client.request("textDocument/hover", params);
    let text = hover["contents"]["value"].as_str().unwrap();
    assert!(text.contains("**unknown-subset**") && text.contains("a subset `stabel`"), "{text}");
    let settings = "rules: {unknown-subset: off}\n";
    client.open("coalmine.yaml", settings);
    let params = at(&client, "coalmine.yaml", settings, "known-subset");
    let hover = client.request("textDocument/hover", params);
    assert!(hover["contents"]["value"].as_str().unwrap().contains("**unknown-subset**"), "{hover:#}");
}

#[test]
fn definitions_references_and_highlights_cross_files() {
    let text = fixed();
    let files = [SHOP[0], SHOP[1], SHOP[2], ("route.yaml", text.as_str())];
    let mut client = Client::new(&files);
    client.open("route.yaml", &text);
    let params = at(&client, "route.yaml", &text, "stable");
    let found = client.request("textDocument/definition", params.clone());
    assert_eq!(places(&client, &found), ["rule.yaml 6:10-16"]);
    let from_rule = at(&client, "rule.yaml", RULE, "stable");
    let found = client.request("textDocument/definition", from_rule);
    assert_eq!(places(&client, &found), ["workload.yaml 2:17-27"]);
    for (declaration, expected) in
        [(true, &["route.yaml 11:16-22", "rule.yaml 6:10-16"][..]), (false, &["route.yaml 11:16-22"][..])]
    {
        let mut params = params.clone();
        params["context"] = json!({ "includeDeclaration": declaration });
        let found = client.request("textDocument/references", params);
        assert_eq!(places(&client, &found), expected);
    }
    let found = client.request("textDocument/documentHighlight", params);
    assert_eq!(found.as_array().unwrap().len(), 1, "{found:#}");
    let nowhere = at(&client, "route.yaml", &text, "apiVersion");
    assert_eq!(client.request("textDocument/definition", nowhere), json!([]));
}

#[test]
fn completion_reads_what_is_being_typed() {
    let mut client = Client::new(&SHOP);
    client.open("route.yaml", ROUTE);
    let typed = ROUTE.replace("subset: stabel", "subset: st");
    client.change("route.yaml", 2, &typed);
    let mut params = at(&client, "route.yaml", &typed, "subset: st");
    params["position"]["character"] = json!("        subset: st".len());
    let items = client.request("textDocument/completion", params);
    let item = &items[0];
    assert_eq!((&item["label"], &item["detail"]), (&json!("stable"), &json!("version=v1")));
    let range = json!({ "start": { "line": 11, "character": 16 }, "end": { "line": 11, "character": 18 } });
    assert_eq!(item["textEdit"], json!({ "range": range, "newText": "stable" }));
}

#[test]
fn lenses_count_routes() {
    let mut client = Client::new(&SHOP);
    let document = json!({ "uri": client.uri("rule.yaml") });
    let lenses = client.request("textDocument/codeLens", json!({ "textDocument": document }));
    assert_eq!(lenses[0]["command"]["title"], "0 routes · 1 workload · orphaned");
    client.open("route.yaml", &fixed());
    let lenses = client.request("textDocument/codeLens", json!({ "textDocument": document }));
    assert_eq!(lenses[0]["command"]["title"], "1 route · 1 workload");
    let places = places(&client, &lenses[0]["command"]["arguments"][2]);
    assert_eq!(places, ["route.yaml 11:16-22"]);
}

#[test]
fn symbols_are_nested_where_the_client_can_show_that() {
    let mut client = Client::new(&SHOP);
    let document = json!({ "uri": client.uri("rule.yaml") });
    let symbols = client.request("textDocument/documentSymbol", json!({ "textDocument": document }));
    assert_eq!(symbols[0]["name"], "DestinationRule reviews");
    assert_eq!(symbols[0]["children"][0]["name"], "stable");
    let mut client = Client::with(&SHOP, &["."], json!({}));
    let document = json!({ "uri": client.uri("rule.yaml") });
    let symbols = client.request("textDocument/documentSymbol", json!({ "textDocument": document }));
    assert_eq!(symbols[1]["name"], "stable");
    assert_eq!(symbols[1]["containerName"], "DestinationRule reviews");
}

#[test]
fn objects_of_the_whole_workspace_are_found_by_name() {
    let mut client = Client::with(&SHOP, &["."], able(&[]));
    let found = client.request("workspace/symbol", json!({ "query": "destrev" }));
    let names: Vec<&str> =
        found.as_array().unwrap().iter().map(|symbol| symbol["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["DestinationRule reviews"]);
    let all = client.request("workspace/symbol", json!({ "query": "" }));
    assert_eq!(all.as_array().unwrap().len(), 4);
}
