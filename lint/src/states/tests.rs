//! What is there after each step of a rollout.

use super::*;
use crate::resource::{Resource, lower};
use crate::yaml::{Document, Limits, parse};

struct Input {
    files: Files,
    documents: Vec<Document>,
}

/// Files with one object per name: `kind/name`, or `kind/namespace/name`.
fn input(files: &[(&str, &[&str])]) -> Input {
    let mut set = Files::new();
    for (name, objects) in files {
        let texts: Vec<String> = objects.iter().map(|object| manifest(object)).collect();
        match name.strip_prefix("context:") {
            Some(name) => set.add_context(name, texts.join("---\n")),
            None => set.add(*name, texts.join("---\n")),
        };
    }
    let documents = set.iter().flat_map(|(id, file)| parse(id, file, Limits::default()).0).collect();
    Input { files: set, documents }
}

fn manifest(object: &str) -> String {
    let parts: Vec<&str> = object.split('/').collect();
    let (kind, name) = (parts[0], parts[parts.len() - 1]);
    let namespace = if parts.len() == 3 { parts[1] } else { "default" };
    format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\n")
}

fn show(files: &Files, resource: &Resource) -> String {
    format!("{}:{}", files.name(resource.span.file), resource.name.value)
}

/// Per state, `file:name` of every object, and the duplicates as `later>earlier`.
fn run(files: &[(&str, &[&str])], config: &str) -> Vec<(Vec<String>, Vec<String>)> {
    let input = input(files);
    let resources = lower(&input.documents, |_| "default");
    let settings = Settings::parse(config, "").unwrap();
    states(&input.files, &resources, &settings)
        .into_iter()
        .map(|state| {
            let shown = state.resources.iter().map(|resource| show(&input.files, resource)).collect();
            let pair = |(later, earlier): &(&Resource, &Resource)| {
                format!("{}>{}", show(&input.files, later), show(&input.files, earlier))
            };
            (shown, state.duplicates.iter().map(pair).collect())
        })
        .collect()
}

fn objects(files: &[(&str, &[&str])], config: &str) -> Vec<Vec<String>> {
    run(files, config).into_iter().map(|(shown, _)| shown).collect()
}

#[test]
fn without_a_rollout_everything_is_one_state() {
    let files: &[(&str, &[&str])] = &[("a.yaml", &["Service/a"]), ("b.yaml", &["Service/b"])];
    assert_eq!(objects(files, ""), [["a.yaml:a", "b.yaml:b"]]);
    assert_eq!(objects(&[], ""), [[""; 0]]);
}

#[test]
fn steps_accumulate_and_replace() {
    let files: &[(&str, &[&str])] = &[
        ("1/a.yaml", &["Service/a", "Service/b"]),
        ("2/a.yaml", &["Service/a"]),
        ("2/c.yaml", &["Service/c"]),
    ];
    let states = objects(files, "rollout: ['1', '2']");
    assert_eq!(states, [vec!["1/a.yaml:a", "1/a.yaml:b"], vec!["2/a.yaml:a", "1/a.yaml:b", "2/c.yaml:c"]]);
}

#[test]
fn a_delete_takes_away_by_identity_not_by_file() {
    let files: &[(&str, &[&str])] = &[
        ("1/a.yaml", &["Service/a", "Service/b", "ConfigMap/a"]),
        ("2/old.yaml", &["Service/a"]),
        ("2/new.yaml", &["Service/c"]),
    ];
    let config = "rollout: ['1', {name: two, actions: [{apply: 2/new.yaml}, {delete: [2/old.yaml]}]}]";
    assert_eq!(
        objects(files, config)[1],
        ["1/a.yaml:b", "1/a.yaml:a", "2/new.yaml:c"],
        "the ConfigMap of that name stays"
    );
}

#[test]
fn what_was_deleted_can_come_back() {
    let files: &[(&str, &[&str])] = &[("a.yaml", &["Service/a"]), ("b.yaml", &["Service/b"])];
    let config = "rollout: [a.yaml, {name: out, actions: [{delete: a.yaml}, {apply: b.yaml}]}, a.yaml]";
    assert_eq!(objects(files, config), [vec!["a.yaml:a"], vec!["b.yaml:b"], vec!["a.yaml:a", "b.yaml:b"]]);
}

#[test]
fn deleting_a_namespace_deletes_what_is_in_it() {
    let files: &[(&str, &[&str])] = &[
        ("1/ns.yaml", &["Namespace/voting"]),
        ("1/x.yaml", &["Service/voting/a", "Service/other/a", "ConfigMap/voting/b"]),
    ];
    let states = objects(files, "rollout: ['1', {name: end, actions: [{delete: 1/ns.yaml}]}]");
    assert_eq!(states[1], ["1/x.yaml:a"]);
}

#[test]
fn actions_happen_in_order_and_folders_by_file_name() {
    let files: &[(&str, &[&str])] =
        &[("s/b.yaml", &["Service/x"]), ("s/a.yaml", &["Service/x", "Service/y"])];
    assert_eq!(objects(files, "rollout: [s]"), [["s/b.yaml:x", "s/a.yaml:y"]]);
    let config = "rollout: [{name: s, actions: [{apply: [s/b.yaml, s/a.yaml]}]}]";
    assert_eq!(objects(files, config), [["s/a.yaml:x", "s/a.yaml:y"]]);
    let apply_last = "rollout: [{name: s, actions: [{delete: s/a.yaml}, {apply: s/a.yaml}]}]";
    assert_eq!(
        objects(files, apply_last)[0],
        ["s/b.yaml:x", "s/a.yaml:x", "s/a.yaml:y"].map(String::from)[1..]
    );
}

#[test]
fn duplicates_are_those_of_one_step() {
    let files: &[(&str, &[&str])] =
        &[("1/a.yaml", &["Service/a"]), ("1/b.yaml", &["Service/a"]), ("2/c.yaml", &["Service/a"])];
    let duplicates: Vec<_> = run(files, "rollout: ['1', '2']").into_iter().map(|(_, found)| found).collect();
    assert_eq!(duplicates, [vec!["1/b.yaml:a>1/a.yaml:a"], vec![]]);
    assert_eq!(run(files, "")[0].1, ["1/b.yaml:a>1/a.yaml:a", "2/c.yaml:a>1/b.yaml:a"]);
}

#[test]
fn an_object_that_its_step_deletes_first_is_no_duplicate() {
    let files: &[(&str, &[&str])] = &[("a.yaml", &["Service/a"]), ("b.yaml", &["Service/a"])];
    let config = "rollout: [{name: s, actions: [{apply: a.yaml}, {delete: a.yaml}, {apply: b.yaml}]}]";
    assert_eq!(run(files, config), [(vec!["b.yaml:a".to_owned()], vec![])]);
}

#[test]
fn objects_without_a_name_or_of_another_namespace_are_no_duplicates() {
    let files: &[(&str, &[&str])] = &[("a.yaml", &["Job/", "Job/", "Service/x/a", "Service/y/a", "Pod/x/a"])];
    let states = run(files, "");
    assert_eq!(states[0].0.len(), 5);
    assert_eq!(states[0].1, [""; 0]);
}

#[test]
fn files_of_no_step_are_there_all_the_time() {
    let files: &[(&str, &[&str])] = &[
        ("base.yaml", &["Service/base", "Service/a"]),
        ("1/a.yaml", &["Service/a"]),
        ("2/b.yaml", &["Service/b"]),
        ("10/c.yaml", &["Service/c"]),
    ];
    assert_eq!(
        objects(files, "rollout: ['1', '2']"),
        [
            vec!["base.yaml:base", "1/a.yaml:a", "10/c.yaml:c"],
            vec!["base.yaml:base", "1/a.yaml:a", "10/c.yaml:c", "2/b.yaml:b"]
        ],
        "`10` is not below `1`"
    );
    assert_eq!(run(files, "rollout: ['1']")[0].1, [""; 0], "a step may replace what was there before");
}

#[test]
fn steps_of_context_alone_are_not_judged_but_count() {
    let files: &[(&str, &[&str])] = &[
        ("context:1/a.yaml", &["Service/a"]),
        ("2/b.yaml", &["Service/b"]),
        ("context:3/c.yaml", &["Service/c"]),
    ];
    assert_eq!(objects(files, "rollout: ['1', '2', '3']"), [["1/a.yaml:a", "2/b.yaml:b"]]);
    assert_eq!(objects(files, "rollout: ['1', '3']"), [["2/b.yaml:b", "1/a.yaml:a", "3/c.yaml:c"]]);
}
