//! What an editor shows is what the command line prints.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::client::{Client, able};

fn manifests(folder: &Path, prefix: &str, found: &mut Vec<(String, String)>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            manifests(&path, &format!("{name}/"), found);
        } else if name.ends_with(".yaml") {
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The shipped manifests, broken in ways that give findings of many rules, with settings of their own and without.
fn broken() -> Vec<(String, String)> {
    let mut files = Vec::new();
    manifests(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests"), "", &mut files);
    for (number, (name, text)) in files.iter_mut().enumerate() {
        if name.ends_with("coalmine.yaml") {
            continue;
        }
        *text = match number % 6 {
            0 => text.replace("subset: v", "subset: é𝄞v"),
            1 => text.replace("number: 80", "number: 90"),
            2 => text.replace("host:", "hots:").replace("name: ", "name: [] #"),
            3 => format!("{text}---\n{text}"),
            4 => text.replace("version:", "verzion:"),
            _ => text.replace("mode: STRICT", "mode: DISABLE").replace("spec:\n", "spec:\n  \"é: [\n"),
        };
    }
    for index in 0..files.len() {
        let (name, text) = files[index].clone();
        if name.starts_with("voting/1-deploy/") || name.starts_with("voting/3-canary/") {
            files.push((name.replace("voting/", "plain/"), text));
        }
    }
    files
}

#[test]
fn an_editor_shows_what_the_command_line_prints() {
    let files = broken();
    let listed: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let mut client = Client::with(&listed, &["."], able(&["utf-16"]));
    let published = client.all_findings();
    let output = Command::new(env!("CARGO_BIN_EXE_coalmine"))
        .args(["lint", "--format", "json"])
        .current_dir(&client.folder)
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    let mut printed = BTreeSet::new();
    for found in report["diagnostics"].as_array().unwrap() {
        let name = found["file"].as_str().unwrap();
        let text = &files.iter().find(|(own, _)| own == name).unwrap().1;
        // The one prints lines from 1 and columns in characters, the other wants lines from 0 and UTF-16.
        let place = |at: &Value| {
            let line = number(&at["line"]) - 1;
            let before = text.split('\n').nth(line).unwrap().chars().take(number(&at["column"]) - 1);
            (line, before.map(char::len_utf16).sum::<usize>())
        };
        let (start, end) = (place(&found["range"]["start"]), place(&found["range"]["end"]));
        let severity = match found["severity"].as_str().unwrap() {
            "error" => 1,
            "warning" => 2,
            _ => 3,
        };
        let related = found["related"].as_array().unwrap().len();
        let fix = found["fix"]["edits"].as_array().map_or(0, Vec::len);
        let (rule, message) = (found["rule"].as_str().unwrap(), found["message"].as_str().unwrap());
        printed.insert((
            name.to_owned(),
            start,
            end,
            rule.to_owned(),
            message.to_owned(),
            severity,
            related,
            fix,
        ));
    }
    let mut shown = BTreeSet::new();
    for (name, found) in &published {
        for found in found.as_array().unwrap() {
            let place = |at: &Value| (number(&at["line"]), number(&at["character"]));
            let (start, end) = (place(&found["range"]["start"]), place(&found["range"]["end"]));
            let message = found["message"].as_str().unwrap().lines().next().unwrap().to_owned();
            let related = found["relatedInformation"].as_array().map_or(0, Vec::len);
            let fix = found["data"]["fix"]["edits"].as_array().map_or(0, Vec::len);
            let severity = found["severity"].as_u64().unwrap();
            let rule = found["code"].as_str().unwrap().to_owned();
            shown.insert((name.clone(), start, end, rule, message, severity, related, fix));
        }
    }
    let rules: BTreeSet<&String> = printed.iter().map(|found| &found.3).collect();
    assert!(rules.len() > 8, "only {rules:?} find something");
    let only = |one: &BTreeSet<_>, other: &BTreeSet<_>| one.difference(other).cloned().collect::<Vec<_>>();
    assert_eq!(only(&printed, &shown), [], "printed and not shown");
    assert_eq!(only(&shown, &printed), [], "shown and not printed");
}
