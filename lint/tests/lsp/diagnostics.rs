//! What is published, and what is taken back.

use std::fs;

use serde_json::json;

use super::client::{Client, able, write};
use super::{ROUTE, RULE, SERVICE, SHOP, UNKNOWN, WORKLOAD};

fn fixed() -> String {
    ROUTE.replace("stabel", "stable")
}

#[test]
fn the_whole_workspace_is_linted_before_anything_is_opened() {
    let mut client = Client::new(&SHOP);
    let published = client.published("route.yaml");
    let found = &published["diagnostics"][0];
    assert_eq!(super::client::shown(found), UNKNOWN);
    assert_eq!(found["severity"], 1);
    assert_eq!(found["source"], "coalmine");
    assert!(found["message"].as_str().unwrap().contains("subset `stabel`"), "{found:#}");
    assert!(found["codeDescription"]["href"].as_str().unwrap().ends_with("unknown-subset.md"));
    let related = &found["relatedInformation"][0];
    assert_eq!(related["location"]["uri"], client.uri("rule.yaml"), "{found:#}");
    assert_eq!(found["data"]["fix"]["edits"][0]["newText"], "stable");
    assert_eq!(client.quiet(), ["rule.yaml"], "what nothing routes to is the only other finding");
    assert_eq!(client.end(), 0);
}

#[test]
fn what_is_typed_counts_before_it_is_saved() {
    let mut client = Client::new(&SHOP);
    assert_eq!(client.findings("route.yaml"), [UNKNOWN]);
    assert_eq!(client.findings("rule.yaml"), ["6:10-16 orphaned-subset"]);
    client.open("route.yaml", ROUTE);
    assert_eq!(client.findings("route.yaml"), [UNKNOWN]);
    client.change("route.yaml", 2, &fixed());
    let published = client.published("route.yaml");
    assert_eq!((&published["version"], &published["diagnostics"]), (&json!(2), &json!([])));
    assert_eq!(client.findings("rule.yaml"), [""; 0], "the finding in the other file is gone as well");
}

#[test]
fn columns_are_in_the_encoding_that_was_agreed_on() {
    let broken = ROUTE.replace(
        "    - destination:\n        host: reviews\n        subset: stabel\n",
        "    - {name: é𝄞, destination: {host: reviews, subset: stabel}}\n",
    );
    for (encodings, agreed, column) in
        [(&["utf-8", "utf-16"][..], "utf-8", 58), (&["utf-16"][..], "utf-16", 55), (&[][..], "utf-16", 55)]
    {
        let files = [SHOP[0], SHOP[1], SHOP[2], ("route.yaml", broken.as_str())];
        let mut client = Client::with(&files, &["."], able(encodings));
        assert_eq!(client.capabilities["positionEncoding"], agreed);
        let found = client.findings("route.yaml");
        let wanted = format!("9:{column}-{} unknown-subset", column + 6);
        assert!(found.contains(&wanted), "{agreed}: {found:?}");
        // A change after the characters lands where the client means it.
        client.open("route.yaml", &broken);
        client.published("route.yaml");
        let at = |character: u32| json!({ "line": 9, "character": character });
        let change = json!([{ "range": { "start": at(column), "end": at(column + 6) }, "text": "stable" }]);
        client.edit("route.yaml", 2, change);
        let found = client.findings("route.yaml");
        assert!(!found.iter().any(|found| found.ends_with("unknown-subset")), "{agreed}: {found:?}");
    }
}

#[test]
fn several_changes_of_one_message_are_applied_one_after_the_other() {
    let mut client = Client::new(&SHOP);
    client.open("route.yaml", ROUTE);
    assert_eq!(client.findings("route.yaml"), [UNKNOWN]);
    let place = |line: u32, character: u32| json!({ "line": line, "character": character });
    client.edit(
        "route.yaml",
        2,
        json!([
            { "range": { "start": place(0, 0), "end": place(0, 0) }, "text": "# é𝄞\n" },
            { "range": { "start": place(0, 3), "end": place(0, 5) }, "text": "x" },
            { "range": { "start": place(12, 21), "end": place(12, 22) }, "text": "" },
        ]),
    );
    assert_eq!(client.findings("route.yaml"), ["12:16-21 unknown-subset"]);
    // Beyond the end is the end.
    client.edit(
        "route.yaml",
        3,
        json!([{ "range": { "start": place(90, 0), "end": place(99, 9) }, "text": "x: [\n" }]),
    );
    assert_eq!(client.findings("route.yaml").last().unwrap().split(' ').next_back(), Some("yaml-syntax"));
}

#[test]
fn closing_without_saving_brings_back_what_is_on_disk() {
    let mut client = Client::new(&SHOP);
    client.open("route.yaml", &fixed());
    client.quiet();
    client.close("route.yaml");
    assert_eq!(client.findings("route.yaml"), [UNKNOWN]);
}

#[test]
fn nothing_stays_of_a_file_that_is_deleted() {
    let mut client = Client::new(&SHOP);
    client.open("route.yaml", ROUTE);
    client.quiet();
    fs::remove_file(client.folder.join("route.yaml")).unwrap();
    // While it is open the client's text counts.
    let gone = json!({ "changes": [{ "uri": client.uri("route.yaml"), "type": 3 }] });
    client.notify("workspace/didChangeWatchedFiles", gone);
    assert_eq!(client.quiet(), [""; 0]);
    client.close("route.yaml");
    assert_eq!(client.findings("route.yaml"), [""; 0]);
}

#[test]
fn a_file_that_is_renamed_takes_its_findings_along() {
    let mut client = Client::new(&SHOP);
    client.open("route.yaml", ROUTE);
    client.quiet();
    fs::rename(client.folder.join("route.yaml"), client.folder.join("other.yaml")).unwrap();
    let files = json!([{ "oldUri": client.uri("route.yaml"), "newUri": client.uri("other.yaml") }]);
    client.close("route.yaml");
    client.open("other.yaml", ROUTE);
    client.notify("workspace/didRenameFiles", json!({ "files": files }));
    assert_eq!(client.findings("route.yaml"), [""; 0]);
    assert_eq!(client.findings("other.yaml"), [UNKNOWN]);
}

#[test]
fn files_that_others_write_are_noticed() {
    let mut client = Client::new(&SHOP[..3]);
    let watched = client.asked("client/registerCapability");
    let watchers = &watched["registrations"][0]["registerOptions"]["watchers"];
    assert_eq!(watchers[0]["globPattern"], "**/*.{yaml,yml,json}");
    client.quiet();
    write(&client.folder.join("route.yaml"), ROUTE);
    let uri = client.uri("route.yaml");
    client.notify("workspace/didChangeWatchedFiles", json!({ "changes": [{ "uri": uri, "type": 1 }] }));
    assert_eq!(client.findings("route.yaml"), [UNKNOWN]);
    write(&client.folder.join("route.yaml"), &fixed());
    client.notify("workspace/didChangeWatchedFiles", json!({ "changes": [{ "uri": uri, "type": 2 }] }));
    assert_eq!(client.findings("route.yaml"), [""; 0]);
    write(&client.folder.join("route.yaml"), ROUTE);
    client.notify("workspace/didChangeWatchedFiles", json!({ "changes": [{ "uri": uri, "type": 2 }] }));
    assert_eq!(client.findings("route.yaml"), [UNKNOWN]);
    write(&client.folder.join(".gitignore"), "route.yaml\n");
    let ignore = client.uri(".gitignore");
    client.notify("workspace/didChangeWatchedFiles", json!({ "changes": [{ "uri": ignore, "type": 1 }] }));
    assert_eq!(client.findings("route.yaml"), [""; 0], "Git ignores it");
}

#[test]
fn saving_is_enough_where_files_cannot_be_watched() {
    let mut client = Client::with(&SHOP, &["."], json!({}));
    client.open("route.yaml", ROUTE);
    client.quiet();
    write(&client.folder.join("rule.yaml"), &RULE.replace("stable", "stabel"));
    let document = json!({ "uri": client.uri("route.yaml") });
    client.notify("textDocument/didSave", json!({ "textDocument": document }));
    assert_eq!(client.findings("route.yaml"), [""; 0]);
}

#[test]
fn settings_govern_their_folder_and_are_read_as_they_are_typed() {
    let files = [SHOP[0], SHOP[1], SHOP[2], SHOP[3], ("coalmine.yaml", "rules: {unknown-subset: warning}\n")];
    let mut client = Client::new(&files);
    assert_eq!(client.published("route.yaml")["diagnostics"][0]["severity"], 2);
    client.open("coalmine.yaml", "rules: {unknown-subset: warning}\n");
    client.change("coalmine.yaml", 2, "rules: {unknown-subset: off}\n");
    assert_eq!(client.findings("route.yaml"), [""; 0]);
    client.change("coalmine.yaml", 3, "rules: {unknown-subset: info}\nassume: maybe\n");
    assert_eq!(client.findings("coalmine.yaml"), ["1:8-13 settings"]);
    client.change("coalmine.yaml", 4, "rules: {unknown-subset: info}\n");
    assert_eq!(client.findings("coalmine.yaml"), [""; 0]);
    assert_eq!(client.published("route.yaml")["diagnostics"][0]["severity"], 3);
}

#[test]
fn settings_that_cannot_be_read_leave_those_from_before() {
    let files = [SHOP[0], SHOP[1], SHOP[2], SHOP[3], ("coalmine.yaml", "rules: {unknown-subset: off}\n")];
    let mut client = Client::new(&files);
    client.quiet();
    client.open("coalmine.yaml", "rules: {unknown-subset: off\n");
    let found = client.findings("coalmine.yaml");
    assert!(matches!(found.as_slice(), [one] if one.ends_with(" settings")), "{found:?}");
    assert!(!client.quiet().contains(&"route.yaml".to_owned()));
    // The same from the start: nothing is known of how to lint, so nothing is said.
    let files = [SHOP[0], SHOP[1], SHOP[2], SHOP[3], ("coalmine.yaml", "rules: {nonsense: off}\n")];
    let mut client = Client::new(&files);
    assert_eq!(client.findings("coalmine.yaml"), ["0:8-16 settings"]);
    assert_eq!(client.quiet(), [""; 0]);
}

#[test]
fn a_rollout_is_linted_step_by_step() {
    let files = [
        ("a/service.yaml", SERVICE),
        ("a/workload.yaml", WORKLOAD),
        ("a/rule.yaml", RULE),
        ("b/route.yaml", ROUTE),
        ("b/rule.yaml", &RULE.replace("stable", "stabel")),
        ("coalmine.yaml", "rollout: [a, b]\n"),
    ];
    let mut client = Client::new(&files);
    assert_eq!(client.quiet(), [""; 0], "the second step replaces the rule, so its route is right");
    client.open("coalmine.yaml", "rollout: [b, a]\n");
    assert_eq!(client.findings("b/route.yaml"), [UNKNOWN]);
}

#[test]
fn folders_of_the_workspace_are_worlds_of_their_own() {
    let files = [
        ("one/service.yaml", SERVICE),
        ("one/rule.yaml", RULE),
        ("two/service.yaml", SERVICE),
        ("two/route.yaml", &fixed()),
    ];
    let mut client = Client::with(&files, &["one", "two"], able(&[]));
    let found = client.findings("two/route.yaml");
    assert_eq!(found.len(), 1, "the subset is defined in the other folder: {found:?}");
    let folder = |client: &Client, name: &str| json!({ "uri": client.uri(name), "name": name });
    let removed = folder(&client, "two");
    client.notify(
        "workspace/didChangeWorkspaceFolders",
        json!({ "event": { "added": [], "removed": [removed] } }),
    );
    assert_eq!(client.findings("two/route.yaml"), [""; 0]);
    let added = folder(&client, "two");
    client.notify(
        "workspace/didChangeWorkspaceFolders",
        json!({ "event": { "added": [added], "removed": [] } }),
    );
    assert_eq!(client.findings("two/route.yaml"), found);
}

#[test]
fn a_file_outside_every_folder_is_linted_alone_and_nothing_is_missed_in_it() {
    let files = [("in/service.yaml", SERVICE), ("out/route.yaml", ROUTE)];
    let mut client = Client::with(&files, &["in"], able(&[]));
    client.quiet();
    let text = format!("{SERVICE}---\n{ROUTE}");
    client.open("out/route.yaml", &text);
    assert_eq!(client.findings("out/route.yaml"), [""; 0], "the rule may be in another file");
    client.change("out/route.yaml", 2, &text.replace("subset: stabel", "subset: [stabel]"));
    assert_eq!(client.findings("out/route.yaml"), ["19:8-14 wrong-type"]);
    client.close("out/route.yaml");
    assert_eq!(client.findings("out/route.yaml"), [""; 0]);
    // A text that was never saved has no path at all.
    let document =
        json!({ "uri": "untitled:Untitled-1", "languageId": "yaml", "version": 1, "text": "a: [" });
    client.notify("textDocument/didOpen", json!({ "textDocument": document }));
    assert_eq!(client.quiet(), ["untitled:Untitled-1"]);
}

#[test]
fn what_is_no_manifest_is_left_alone() {
    let chart = [
        ("chart/Chart.yaml", "name: x\n"),
        ("chart/templates/a.yaml", "a: {{ .Values.a }}\n"),
        ("x.routes.yaml", "nonsense: true\n"),
    ];
    let mut client = Client::new(&chart);
    client.quiet();
    for (name, text) in &chart[1..] {
        client.open(name, text);
    }
    assert_eq!(client.quiet(), [""; 0]);
}

#[test]
fn settings_of_the_command_line_govern_the_same_files_by_every_name() {
    // Only with the rollout is the rule applied before the route, and only with the glob is a finding an info.
    let settings = "paths:\n- glob: 'voting/**'\n  rules: {unknown-subset: info}\nrollout:\n- voting\n";
    let files = [
        ("conf.yml", settings),
        ("voting/service.yaml", SERVICE),
        ("voting/workload.yaml", WORKLOAD),
        ("voting/rule.yaml", RULE),
        ("voting/route.yaml", ROUTE),
    ];
    for config in ["conf.yml", "./conf.yml", "voting/../conf.yml", "{}/conf.yml"] {
        let mut client = Client::called(&["--config", config], &files, &["."], able(&["utf-16"]));
        let published = client.published("voting/route.yaml");
        assert_eq!(published["diagnostics"][0]["severity"], 3, "{config}: {published:#}");
        // What no step applies is not there.
        write(&client.folder.join("other/route.yaml"), ROUTE);
        client.notify(
            "workspace/didChangeWatchedFiles",
            json!({ "changes": [{ "uri": client.uri("other/route.yaml"), "type": 1 }] }),
        );
        assert_eq!(client.quiet(), ["voting/rule.yaml"], "{config}: a second route that no step applies");
        client.end();
    }
}

#[test]
fn a_mistake_in_the_settings_is_marked_where_it_stands() {
    let files = [SHOP[0], SHOP[1], SHOP[2], SHOP[3], ("coalmine.yaml", "namespace: shop\n")];
    let mut client = Client::new(&files);
    client.open("coalmine.yaml", "# foo is a demo\nnamespace: voting\nfoo: 1\n");
    assert_eq!(client.findings("coalmine.yaml"), ["2:0-3 settings"]);
    client.change(
        "coalmine.yaml",
        2,
        "rollout:\n- route.yaml\n- name: gone\n  actions: [{delete: x/y.yaml}]\n",
    );
    assert_eq!(client.findings("coalmine.yaml"), ["3:21-29 settings"]);
    // What is open and not saved yet is there.
    client.open("x/y.yaml", SERVICE);
    assert_eq!(client.findings("coalmine.yaml"), [""; 0]);
}
