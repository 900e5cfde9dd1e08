//! Coalmine's own filter inside a WasmPlugin: which plugins run it, what its `pluginConfig` means and where in
//! the text a problem of it stands. The judgement is the filter's own code; nothing here knows a mesh.

use coalmine_filter::config::{Config, Path, Problem, Segment, Severity};
use coalmine_filter::keys;
use serde_json::Value;

use crate::resource::policy::WasmPlugin;
use crate::span::Span;
use crate::yaml::{NodeRef, Scalar};

/// Whether a WasmPlugin runs this filter. Any of three signs will do, so that a mirrored or renamed image is
/// still recognised:
///
/// 1. `pluginName: coalmine`;
/// 2. the last part of `url`, without tag, digest and extension, is `coalmine` or begins with
///    `coalmine-filter`, or it ends in `coalmine/filter`;
/// 3. `pluginConfig.flags` is a list with an item that has a `name` and a `rollout` or an `optIn`.
#[must_use]
pub fn is_filter(plugin: &WasmPlugin) -> bool {
    plugin.plugin_name.text() == "coalmine"
        || names_filter(plugin.url.text())
        || plugin.plugin_config.get().is_some_and(configures_filter)
}

fn names_filter(url: &str) -> bool {
    let path = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = path.split(['@', '?', '#']).next().unwrap_or(path);
    let mut parts = path.rsplit('/');
    let (file, folder) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let name = file.split(':').next().unwrap_or(file);
    let name = name.strip_suffix(".gz").unwrap_or(name);
    let name = name.strip_suffix(".wasm").unwrap_or(name);
    name == "coalmine" || name.starts_with("coalmine-filter") || (name == "filter" && folder == "coalmine")
}

/// Whether a `pluginConfig` has the shape of this filter's.
#[must_use]
pub fn configures_filter(config: &Value) -> bool {
    let flags = config.get("flags").and_then(Value::as_array);
    flags.into_iter().flatten().any(|flag| {
        flag.get("name").is_some() && (flag.get("rollout").is_some() || flag.get("optIn").is_some())
    })
}

/// The configuration a plugin runs with and everything wrong with it, keys that `vmConfig.env` lacks included.
#[must_use]
pub fn configuration(plugin: &WasmPlugin) -> (Config, Vec<Problem>) {
    let nothing = Value::Object(serde_json::Map::new());
    let (mut config, mut problems) = Config::from_value(plugin.plugin_config.get().unwrap_or(&nothing));
    let env = plugin.vm_config.get().map(|vm| &vm.env);
    let (_, missing) = keys::load(&mut config, |name| {
        let known = env?.iter().find(|known| known.name.text() == name)?;
        // What the proxy's own environment holds is unknown; it is given the benefit of the doubt.
        let from_host = known.value_from.text() == "HOST";
        Some(if from_host { vec![b'?'; 64] } else { known.value.value.text().as_bytes().to_vec() })
    });
    problems.extend(missing);
    (config, problems)
}

/// Where a path of a problem leads in the text.
#[derive(Debug, Clone, Copy)]
pub struct Place<'d> {
    /// The key of the last field on the way that is written.
    pub key: Option<NodeRef<'d>>,
    /// Its value.
    pub value: NodeRef<'d>,
    /// Nothing of the path is missing in the text.
    pub is_whole: bool,
}

impl Place<'_> {
    /// The narrowest text to mark: a scalar itself, else the key of the collection or of its first field.
    #[must_use]
    pub fn span(&self) -> Span {
        match self.key {
            _ if self.is_whole && self.value.scalar().is_some() && !self.value.is_empty_text() => {
                self.value.span()
            }
            Some(key) => key.span(),
            None => {
                let first = self.value.entries().first().map(|(key, _)| key.span());
                first.unwrap_or_else(|| self.value.span())
            }
        }
    }
}

/// A problem in words, with what the text adds to it.
#[must_use]
pub fn describe(problem: &Problem, place: Option<&Place<'_>>) -> String {
    let key = place.filter(|place| place.is_whole && problem.severity == Severity::Unknown);
    let key = key.and_then(|place| place.key).filter(|key| matches!(key.scalar(), Some(Scalar::Bool(_))));
    match key.and_then(NodeRef::text) {
        // The path says `false` where the text says `off`.
        Some(key) => format!("{problem} (YAML reads the bare key `{key}` as a boolean)"),
        None => problem.to_string(),
    }
}

/// Follows a path of the filter's into `pluginConfig` as far as the text goes.
#[must_use]
pub fn locate<'d>(config: NodeRef<'d>, path: &Path) -> Place<'d> {
    let mut place = Place { key: None, value: config, is_whole: true };
    for segment in &path.0 {
        let next = match segment {
            Segment::Key(name) => place.value.entry(name).map(|(key, value)| (Some(key), value)),
            Segment::Index(index) => place.value.items().nth(*index).map(|item| (None, item)),
        };
        match next {
            Some((key, value)) => place = Place { key, value, is_whole: true },
            None => return Place { is_whole: false, ..place },
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_recognised_wherever_it_is_kept() {
        for url in [
            "oci://ghcr.io/coalmine/filter@sha256:00",
            "oci://ghcr.io/coalmine/filter:0.1.0",
            "oci://registry.local:5000/mirror/coalmine:1",
            "registry.local/acme/coalmine-filter:1",
            "https://example.com/modules/coalmine-filter.wasm?x=1",
            "file:///opt/coalmine-filter-0.1.wasm.gz",
        ] {
            assert!(names_filter(url), "{url}");
        }
        for url in [
            "",
            "oci://ghcr.io/coalmine/other:1",
            "oci://coalmine.example/basic-auth:1",
            "oci://ghcr.io/acme/filter:1",
            "oci://ghcr.io/acme/coalminer:1",
        ] {
            assert!(!names_filter(url), "{url}");
        }
    }

    #[test]
    fn a_renamed_image_is_recognised_by_its_configuration() {
        let shape = |json: &str| configures_filter(&serde_json::from_str(json).unwrap());
        assert!(shape(r#"{"flags": [{"name": "a", "optIn": {}}]}"#));
        assert!(shape(r#"{"flags": [{}, {"name": "a", "rollout": {"canary": 5}}]}"#));
        for other in [r#"{"flags": [{"name": "verbose"}]}"#, r#"{"flags": {"a": 1}}"#, r#"["flags"]"#, "{}"] {
            assert!(!shape(other), "{other}");
        }
    }
}
