//! Which files are patches of a kustomization: fragments of objects, in which fields are meant to be missing.

use rustc_hash::FxHashSet;

use crate::files::Files;
use crate::yaml::{Document, NodeRef};

/// The names of the files that some `kustomization.yaml` of the input patches with.
pub(super) fn patch_files(files: &Files, documents: &[Document]) -> FxHashSet<String> {
    let mut found = FxHashSet::default();
    for document in documents {
        let Some(root) = document.root() else { continue };
        let name = files.name(document.file());
        let (folder, base) = name.rsplit_once('/').unwrap_or(("", name));
        let is_kustomization = matches!(base, "kustomization.yaml" | "kustomization.yml" | "Kustomization")
            || matches!(root.get("kind").and_then(NodeRef::text), Some("Kustomization" | "Component"));
        if !is_kustomization {
            continue;
        }
        let items = |key: &str| root.get(key).into_iter().flat_map(NodeRef::items).collect::<Vec<_>>();
        let paths = items("patches").into_iter().filter_map(|patch| patch.get("path"));
        for path in paths.chain(items("patchesStrategicMerge")).filter_map(NodeRef::as_str) {
            found.insert(clean(&format!("{folder}/{path}")));
        }
    }
    found
}

/// A path without `.`, `..` and doubled or leading separators.
pub(super) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}
