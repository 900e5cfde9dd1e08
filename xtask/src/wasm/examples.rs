//! The playground's examples: the shipped scenarios, state by state, with the files of a component in one tab, and
//! the demo's broken variants.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use coalmine::Input;
use coalmine::deployments::{CONFIG, deployments};
use coalmine::states::states;
use serde_json::{Value, json};

use crate::demo_lint::BREAKAGES;
use crate::root;

/// A state of a scenario.
struct Example {
    id: &'static str,
    group: &'static str,
    title: &'static str,
    hint: &'static str,
    scenario: &'static str,
    /// `None` for the only state.
    step: Option<&'static str>,
    /// The tab that is shown first.
    active: &'static str,
    request: Option<Value>,
}

/// Tabs in their order, by what file names contain; the rest goes to the last.
const TABS: [&str; 5] = ["voting-app", "voting-analytics", "voting-storage", "istio-ingress", "greeter"];
const REST: &str = "mesh.yaml";

const BROKEN: &str = "Broken canaries";
const VOTING: &str = "Voting: a canary by cookie, step by step";
const OTHERS: &str = "Other ways";

fn examples() -> Vec<Example> {
    let page = |cookie: &str| Some(json!({ "to": "http://voting.example/", "cookie": cookie }));
    let voting = |id, title, hint, step, active, request| Example {
        id,
        group: VOTING,
        title,
        hint,
        scenario: "voting",
        step: Some(step),
        active,
        request,
    };
    let other = |id, title, hint, scenario, step, active, request| Example {
        id,
        group: OTHERS,
        title,
        hint,
        scenario,
        step,
        active,
        request,
    };
    vec![
        voting("voting-1", "1 Deploy", "everything in 1.0", "1-deploy", "voting-app.yaml", None),
        voting(
            "voting-2",
            "2 Update",
            "subsets, then STRICT mTLS",
            "2-update",
            "voting-analytics.yaml",
            None,
        ),
        voting(
            "voting-3",
            "3 Canary",
            "2.0 for visitors with the cookie featureflag=on",
            "3-canary",
            "voting-app.yaml",
            page("featureflag=on"),
        ),
        voting("voting-4", "4 Finalize", "everyone on 2.0", "4-finalize", "voting-app.yaml", page("")),
        other(
            "voting-flag",
            "Voting with the filter",
            "Coalmine's filter reads the cookie and sets the tag that routes match",
            "voting-flag",
            None,
            "istio-ingress.yaml",
            page("featureflag=on"),
        ),
        other(
            "weighted",
            "Weighted split",
            "one app, two versions, 50/50",
            "weighted",
            Some("2-split"),
            "greeter.yaml",
            Some(json!({ "to": "http://greeter.example/" })),
        ),
        other(
            "weighted-sticky",
            "Sticky split",
            "every visitor keeps the version of the first visit",
            "weighted-sticky",
            None,
            "istio-ingress.yaml",
            Some(json!({ "to": "http://greeter.example/" })),
        ),
    ]
}

/// All examples, as the playground imports them. The first is what a visitor sees: something is wrong, and can be mended.
pub(super) fn json() -> Result<String> {
    let mut all = Vec::new();
    let canary = examples().into_iter().find(|example| example.id == "voting-3").context("no canary")?;
    for breakage in BREAKAGES {
        let mut files = state(&canary)?;
        let file = files.iter_mut().find(|(name, _)| name == breakage.file);
        let (name, text) = file.with_context(|| format!("{} is not in the canary", breakage.file))?;
        ensure!(text.contains(breakage.from), "{name} no longer contains `{}`", breakage.from);
        *text = text.replace(breakage.from, breakage.to);
        let (title, hint) = breakage.title.split_once(": ").unwrap_or((breakage.title, ""));
        let files = in_tabs(files, &settings(&canary)?);
        let active = tab(breakage.file);
        all.push(json!({
            "id": breakage.rule, "group": BROKEN, "title": title, "hint": hint, "files": files, "active": active,
            "request": { "to": "http://voting.example/", "cookie": "featureflag=on" },
        }));
    }
    for example in examples() {
        let files = in_tabs(state(&example)?, &settings(&example)?);
        all.push(described(&example, files));
    }
    let rollout = Example {
        id: "voting",
        group: VOTING,
        title: "All steps at once",
        hint: "the files as they are, with coalmine.yaml's rollout; choose a step above the picture",
        scenario: "voting",
        step: Some("3-canary"),
        active: CONFIG,
        request: Some(json!({ "to": "http://voting.example/", "cookie": "featureflag=on" })),
    };
    let files: Vec<Value> =
        read("voting")?.into_iter().map(|(name, text)| json!({ "name": name, "text": text })).collect();
    let mut whole = described(&rollout, files);
    whole["step"] = json!(rollout.step);
    let place = all.iter().position(|example| example["group"] == OTHERS).unwrap_or(all.len());
    all.insert(place, whole);
    // The one with the longest story first.
    if let Some(first) = all.iter().position(|example| example["id"] == "subset-port-mismatch") {
        all[..=first].rotate_right(1);
    }
    Ok(format!("{:#}\n", Value::Array(all)))
}

fn described(example: &Example, files: Vec<Value>) -> Value {
    json!({
        "id": example.id, "group": example.group, "title": example.title, "hint": example.hint, "files": files,
        "active": example.active, "request": example.request,
    })
}

/// The texts of a scenario, by name below its folder.
fn read(scenario: &str) -> Result<Vec<(String, String)>> {
    fn walk(folder: &Path, prefix: &str, found: &mut Vec<(String, String)>) -> Result<()> {
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                walk(&entry.path(), &format!("{name}/"), found)?;
            } else if name.ends_with(".yaml") {
                found.push((name, fs::read_to_string(entry.path())?));
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    walk(&root().join("manifests").join(scenario), "", &mut found)?;
    // The settings first, then the steps.
    found.sort_by_key(|(name, _)| (name != CONFIG, name.clone()));
    Ok(found)
}

/// The files that the state is made of.
fn state(example: &Example) -> Result<Vec<(String, String)>> {
    let texts = read(example.scenario)?;
    let files = texts.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let deployment = deployments(files)?.into_iter().next().context("no deployment")?;
    let input = Input::read(&deployment.files, &deployment.settings);
    let states = states(&deployment.files, &input.resources, &deployment.settings);
    let state = match example.step {
        Some(step) => states.iter().find(|state| state.step == Some(step)),
        None => states.last(),
    };
    let state = state.with_context(|| format!("{} has no step {:?}", example.scenario, example.step))?;
    let is_in =
        |name: &str| state.resources.iter().any(|resource| deployment.files.name(resource.span.file) == name);
    let files: Vec<(String, String)> = texts.iter().filter(|(name, _)| is_in(name)).cloned().collect();
    ensure!(!files.is_empty(), "{}: nothing is left after {:?}", example.scenario, example.step);
    Ok(files)
}

/// The scenario's settings without its rollout: an example is one state.
fn settings(example: &Example) -> Result<String> {
    let texts = read(example.scenario)?;
    let (_, text) = texts.iter().find(|(name, _)| name == CONFIG).context("no settings")?;
    let (before, _) = text.split_once("\nrollout:").unwrap_or((text.as_str(), ""));
    let kept: Vec<&str> = before.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    Ok(format!(
        "# One state of a rollout: manifests/{} has all of it.\n{}\n",
        example.scenario,
        kept.join("\n")
    ))
}

fn tab(file: &str) -> String {
    let found = TABS.iter().find(|part| file.contains(*part));
    found.map_or(REST.to_owned(), |part| format!("{part}.yaml"))
}

/// The files of a component one after the other, each under its name.
fn in_tabs(files: Vec<(String, String)>, settings: &str) -> Vec<Value> {
    let mut tabs: Vec<(String, String)> = Vec::new();
    let order = TABS.iter().map(|part| format!("{part}.yaml")).chain([REST.to_owned()]);
    for name in order {
        let own = files.iter().filter(|(file, _)| tab(file) == name);
        let texts: Vec<String> = own
            .map(|(file, text)| {
                let text = text.trim_start_matches("---\n");
                format!("# {file}\n{}\n", text.trim_end())
            })
            .collect();
        if !texts.is_empty() {
            tabs.push((name, texts.join("---\n")));
        }
    }
    tabs.push((CONFIG.to_owned(), settings.to_owned()));
    tabs.into_iter().map(|(name, text)| json!({ "name": name, "text": text })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_examples_have_no_findings_and_broken_ones_have_theirs() {
        let all: Vec<Value> = serde_json::from_str(&json().unwrap()).unwrap();
        assert_eq!(all.len(), examples().len() + BREAKAGES.len() + 1);
        for example in all {
            let files = example["files"].as_array().unwrap();
            let texts =
                files.iter().map(|file| (file["name"].as_str().unwrap(), file["text"].as_str().unwrap()));
            let found: Vec<&str> = deployments(texts)
                .unwrap()
                .into_iter()
                .flat_map(|deployment| coalmine::lint(&deployment.files, &deployment.settings).diagnostics)
                .map(|finding| finding.rule)
                .collect();
            let id = example["id"].as_str().unwrap();
            if example["group"] == BROKEN {
                assert!(found.contains(&id), "{id}: {found:?}");
            } else {
                assert_eq!(found, [""; 0], "{id}");
            }
            let names: Vec<&str> = files.iter().filter_map(|file| file["name"].as_str()).collect();
            assert!(names.contains(&example["active"].as_str().unwrap()), "{id}: {names:?}");
        }
    }
}
