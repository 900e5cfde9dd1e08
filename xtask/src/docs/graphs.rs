//! The pictures of the scenarios, drawn from `manifests/` by the library that the command uses.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use coalmine::graph::{Graph, Options};
use coalmine::mesh::Mesh;
use coalmine::states::states;
use coalmine::{Files, Input, Settings};

use crate::root;

/// Where the pictures are.
pub(super) fn folder() -> PathBuf {
    root().join("docs/graphs")
}

/// Every picture by its path.
pub(super) fn pages() -> Result<BTreeMap<PathBuf, String>> {
    let mut pages = BTreeMap::new();
    for scenario in ["voting", "voting-flag", "weighted"] {
        for (name, text) in pictures(scenario)? {
            pages.insert(folder().join(name), text);
        }
    }
    let page = root().join("docs/scenario.md");
    let text = fs::read_to_string(&page).with_context(|| page.display().to_string())?;
    let missing: Vec<String> = pages
        .keys()
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .filter(|name| !text.contains(&format!("](graphs/{name})")))
        .collect();
    if !missing.is_empty() {
        bail!("docs/scenario.md does not show {}", missing.join(", "));
    }
    Ok(pages)
}

/// The states of one scenario: each with what it changed, and as it is where readers see it first.
fn pictures(scenario: &str) -> Result<Vec<(String, String)>> {
    let base = format!("manifests/{scenario}");
    let config = fs::read_to_string(root().join(&base).join("coalmine.yaml"))?;
    let settings = Settings::parse(&config, &base).map_err(anyhow::Error::msg)?;
    let mut paths = Vec::new();
    walk(&root().join(&base), &mut paths)?;
    paths.sort();
    let mut files = Files::new();
    for path in paths {
        let name = path.strip_prefix(root())?.to_string_lossy().replace('\\', "/");
        files.add(name, fs::read_to_string(&path)?);
    }
    let input = Input::read(&files, &settings);
    let config = input.mesh_config(&settings);
    let states = states(&files, &input.resources, &settings);
    let steps: Vec<String> = states.iter().map(|state| state.step.unwrap_or_default().to_owned()).collect();
    let meshes = states.into_iter().map(|state| Mesh::new(state.resources, &config, settings.assume));
    let graphs = Graph::of_states(meshes);
    let mut pictures = Vec::new();
    let draw = |graph: &Graph, title: &str| graph.to_svg(&Options { title, ..Options::default() });
    // The steps of this scenario are two halves of one installation, not a rollout to look at.
    if scenario == "voting-flag" {
        let last = graphs.last().context("voting-flag has no state")?;
        return Ok(vec![("voting-flag.svg".to_owned(), draw(last, "The canary, tagged by the filter"))]);
    }
    for (index, (graph, step)) in graphs.iter().zip(&steps).enumerate() {
        let compared = index.checked_sub(1).and_then(|before| graphs.get(before));
        let compared = compared.map(|before| graph.compared_with(before));
        let title = format!("{scenario}, after {step}");
        pictures.push((format!("{scenario}-{step}.svg"), draw(compared.as_ref().unwrap_or(graph), &title)));
        if step == "3-canary" {
            pictures.push((format!("{scenario}-canary.svg"), draw(graph, "A canary behind a cookie")));
        }
    }
    Ok(pictures)
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, paths)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml")
            && !path.ends_with("coalmine.yaml")
        {
            paths.push(path);
        }
    }
    Ok(())
}
