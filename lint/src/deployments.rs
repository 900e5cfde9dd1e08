//! Which files are one deployment: those with the same nearest `coalmine.yaml`, and those under none together. For
//! shells that hold their files in memory; it must not know where they come from. Names are paths with `/`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::files::Files;
use crate::line_index::{ColumnUnit, LineIndex};
use crate::settings::{Settings, SettingsError};

/// The name of the settings file.
pub const CONFIG: &str = "coalmine.yaml";

/// Files that are linted together, and how.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The texts, in the order of a walk through their folders.
    pub files: Files,
    /// What their `coalmine.yaml` says; the default without one.
    pub settings: Settings,
}

/// A `coalmine.yaml` that cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// The name of the file.
    pub file: String,
    /// What is wrong with it, and where.
    pub error: SettingsError,
    /// The 1-based line and column, in Unicode scalar values.
    pub place: (u32, u32),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.place;
        write!(f, "{}: {} (line {line}, column {column})", self.file, self.error)
    }
}

impl std::error::Error for ConfigError {}

/// Whether a file is read for objects: YAML and JSON, but neither settings nor expectations of routes.
#[must_use]
pub fn is_manifest(name: &str) -> bool {
    let base = name.rsplit('/').next().unwrap_or(name);
    let extension =
        base.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map(|(_, extension)| extension);
    matches!(extension, Some("yaml" | "yml" | "json"))
        && base != CONFIG
        && !base.ends_with(".routes.yaml")
        && !base.ends_with(".routes.yml")
}

/// The folders above a file, nearest first; the last is the empty one.
fn folders(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(name);
    std::iter::from_fn(move || {
        let name = rest?;
        let folder = name.rsplit_once('/').map(|(folder, _)| folder);
        rest = folder;
        Some(folder.unwrap_or(""))
    })
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// A file below the `templates` folder of a Helm chart is no YAML before it is rendered.
fn is_helm_template(name: &str, names: &BTreeSet<&str>) -> bool {
    folders(name).any(|folder| {
        let chart = folder.strip_suffix("templates").filter(|chart| chart.is_empty() || chart.ends_with('/'));
        chart.is_some_and(|chart| names.contains(format!("{chart}Chart.yaml").as_str()))
    })
}

/// Sorts files into deployments as the command line does for the folder that holds them all.
///
/// # Errors
/// When a `coalmine.yaml` that governs a file cannot be used.
pub fn deployments<'f>(
    files: impl IntoIterator<Item = (&'f str, &'f str)>,
) -> Result<Vec<Deployment>, ConfigError> {
    let texts: BTreeMap<&str, &str> = files.into_iter().collect();
    let names: BTreeSet<&str> = texts.keys().copied().collect();
    let mut manifests: Vec<&str> =
        names.iter().copied().filter(|name| is_manifest(name) && !is_helm_template(name, &names)).collect();
    // As a walk meets them: by folder, then by name.
    let walk = |name: &str| name.split('/').map(str::to_owned).collect::<Vec<_>>();
    manifests.sort_by_cached_key(|name| walk(name));
    let mut groups: BTreeMap<Option<Vec<String>>, Vec<&str>> = BTreeMap::new();
    for name in &manifests {
        let config =
            folders(name).map(|folder| join(folder, CONFIG)).find(|path| names.contains(path.as_str()));
        groups.entry(config.as_deref().map(walk)).or_default().push(name);
    }
    let mut found = Vec::new();
    for (config, own) in groups {
        let settings = match config.map(|parts| parts.join("/")) {
            None => Settings::default(),
            Some(file) => {
                let base = file.rsplit_once('/').map_or("", |(folder, _)| folder);
                let text = texts.get(file.as_str()).copied().unwrap_or_default();
                Settings::parse(text, base).map_err(|error| {
                    let at = LineIndex::new(text).line_column(text, error.range.start, ColumnUnit::Scalars);
                    ConfigError { file: file.clone(), error, place: (at.line + 1, at.column + 1) }
                })?
            }
        };
        let mut deployment = Deployment { files: Files::new(), settings };
        let text = |name: &str| texts.get(name).copied().unwrap_or_default();
        for name in &own {
            deployment.files.add(*name, text(name));
        }
        // A step may refer to files of another deployment: they are read and not judged.
        let settings = &deployment.settings;
        for path in settings.rollout_paths() {
            let path = join(&settings.base, path);
            let below = |name: &str| {
                name.strip_prefix(path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            for name in manifests.iter().filter(|name| below(name)) {
                if !deployment.files.iter().any(|(_, file)| file.name() == *name) {
                    deployment.files.add_context(*name, text(name));
                }
            }
        }
        found.push(deployment);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(deployment: &Deployment) -> Vec<String> {
        let mark = |id| if deployment.files.is_context(id) { "~" } else { "" };
        deployment.files.iter().map(|(id, file)| format!("{}{}", mark(id), file.name())).collect()
    }

    fn sorted(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        deployments(files.iter().copied()).unwrap().iter().map(names).collect()
    }

    #[test]
    fn the_nearest_settings_govern_a_file() {
        let files = [
            ("shop/b.yaml", ""),
            ("shop/coalmine.yaml", "namespace: shop"),
            ("shop/eu/coalmine.yaml", "namespace: eu"),
            ("shop/eu/deep/c.yml", ""),
            ("shop-2/d.json", ""),
            ("a.yaml", ""),
        ];
        assert_eq!(
            sorted(&files),
            [vec!["a.yaml", "shop-2/d.json"], vec!["shop/b.yaml"], vec!["shop/eu/deep/c.yml"]]
        );
        let namespaces: Vec<String> =
            deployments(files).unwrap().into_iter().map(|deployment| deployment.settings.namespace).collect();
        assert_eq!(namespaces, ["default", "shop", "eu"]);
    }

    #[test]
    fn only_manifests_are_read() {
        let files = [
            "a.yaml",
            "coalmine.yaml",
            "x.routes.yaml",
            "README.md",
            ".yaml",
            "c/templates/t.yaml",
            "c/Chart.yaml",
        ];
        assert_eq!(sorted(&files.map(|name| (name, ""))), [["a.yaml", "c/Chart.yaml"]]);
    }

    #[test]
    fn files_come_as_a_walk_meets_them() {
        let files = ["a-b/1.yaml", "a/2.yaml", "a.yaml", "a/1.yaml"].map(|name| (name, ""));
        assert_eq!(sorted(&files), [["a/1.yaml", "a/2.yaml", "a-b/1.yaml", "a.yaml"]]);
    }

    #[test]
    fn a_step_in_another_deployment_is_context() {
        let files = [
            ("coalmine.yaml", "rollout: [base, eu]"),
            ("base/a.yaml", ""),
            ("eu/coalmine.yaml", "namespace: eu"),
            ("eu/b.yaml", ""),
        ];
        assert_eq!(sorted(&files), [vec!["base/a.yaml", "~eu/b.yaml"], vec!["eu/b.yaml"]]);
    }

    #[test]
    fn settings_that_cannot_be_used_are_named() {
        let error =
            deployments([("x/coalmine.yaml", "rules: {no-such: off}"), ("x/a.yaml", "")]).unwrap_err();
        assert_eq!((error.file.as_str(), error.place), ("x/coalmine.yaml", (1, 9)));
        assert!(error.to_string().starts_with("x/coalmine.yaml: unknown rule `no-such`"), "{error}");
        assert!(deployments([("x/coalmine.yaml", "rules: {no-such: off}"), ("a.yaml", "")]).is_ok());
    }
}
