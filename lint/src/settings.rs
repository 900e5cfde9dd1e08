//! What a run is told: the parsed form of `coalmine.yaml` and of the command line.

mod glob;
pub mod schema;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::de;
use serde::{Deserialize, Deserializer};

use self::glob::Glob;
use crate::diagnostic::Severity;
use crate::mesh::Assume;
use crate::mesh::config::MeshConfig;
use crate::rules::RULES;

/// The severity of a rule, or none at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// The rule does not run.
    Off,
    /// Its findings have this severity.
    Report(Severity),
}

/// One action of a rollout step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// `kubectl apply -f` of each path, in order.
    Apply(Vec<String>),
    /// `kubectl delete -f` of each path, in order.
    Delete(Vec<String>),
}

/// One step of a rollout. Paths are relative to [`Settings::base`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// The name for messages.
    pub name: String,
    /// What is done, in order.
    pub actions: Vec<Action>,
}

/// Settings for the files that a glob matches.
#[derive(Clone, Debug)]
pub struct PathSettings {
    glob: Glob,
    /// The namespace of objects that name none.
    pub namespace: Option<String>,
    /// Severities that differ from the rest.
    pub rules: BTreeMap<String, Level>,
}

/// Everything a run is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The namespace of objects that name none.
    pub namespace: String,
    /// What to make of references to objects that are not in the input.
    pub assume: Assume,
    /// Mesh-wide settings; `None` looks for a ConfigMap `istio` in the input.
    pub mesh: Option<MeshConfig>,
    /// Severities by rule id.
    pub rules: BTreeMap<String, Level>,
    /// Only these rules run; empty for all.
    pub select: Vec<String>,
    /// These rules do not run.
    pub ignore: Vec<String>,
    /// Settings by file.
    pub paths: Vec<PathSettings>,
    /// The order in which parts of the input are applied; empty when all of it is one state.
    pub rollout: Vec<Step>,
    /// The folder of `coalmine.yaml` as file names give it, without a trailing `/`; empty for none.
    pub base: String,
    /// Where `coalmine.yaml` is above the working folder: the working folder relative to it, which is put
    /// before relative file names; empty otherwise.
    pub prefix: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            namespace: "default".to_owned(),
            assume: Assume::Auto,
            mesh: None,
            rules: BTreeMap::new(),
            select: Vec::new(),
            ignore: Vec::new(),
            paths: Vec::new(),
            rollout: Vec::new(),
            base: String::new(),
            prefix: String::new(),
        }
    }
}

/// Text that is text in YAML: a number or `true` where a name belongs is a mistake, or needs quotes.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text; quote it if it is text")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    namespace: Option<Text>,
    assume: Option<Text>,
    rules: Option<BTreeMap<String, Text>>,
    paths: Option<Vec<ConfigPath>>,
    mesh: Option<serde_yaml::Value>,
    rollout: Option<Vec<serde_yaml::Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigPath {
    glob: Text,
    namespace: Option<Text>,
    rules: Option<BTreeMap<String, Text>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigNamedStep {
    name: String,
    actions: Vec<BTreeMap<String, serde_yaml::Value>>,
}

/// The fields of MeshConfig that are read, to refuse wrong types; it has many more.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)] // read for their types; MeshConfig reads the values
struct ConfigMesh {
    root_namespace: Option<String>,
    enable_auto_mtls: Option<bool>,
    outbound_traffic_policy: Option<ConfigOutbound>,
    default_service_export_to: Option<Vec<String>>,
    default_virtual_service_export_to: Option<Vec<String>>,
    default_destination_rule_export_to: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[allow(dead_code)] // as above
struct ConfigOutbound {
    mode: Option<ConfigOutboundMode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum ConfigOutboundMode {
    AllowAny,
    RegistryOnly,
}

/// A path, or a list of them.
fn paths(value: serde_yaml::Value) -> Result<Vec<String>, String> {
    let list = match value {
        serde_yaml::Value::Sequence(list) => list,
        one => vec![one],
    };
    list.into_iter()
        .map(|path| match path {
            serde_yaml::Value::String(path) => Ok(clean(&path)),
            other => Err(format!("{} is no path; quote it if it is one", shown(&other))),
        })
        .collect()
}

fn shown(value: &serde_yaml::Value) -> String {
    let text = serde_yaml::to_string(value).unwrap_or_default();
    format!("`{}`", text.trim())
}

/// A path without `./` and trailing `/`.
fn clean(path: &str) -> String {
    path.trim_start_matches("./").trim_end_matches('/').to_owned()
}

fn level(rule: &str, text: &str) -> Result<Level, String> {
    if !RULES.iter().any(|known| known.id == rule) {
        let near = crate::rule::did_you_mean(rule, RULES.iter().map(|known| known.id));
        let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        return Err(format!("unknown rule `{rule}`{hint}"));
    }
    match text {
        "off" => Ok(Level::Off),
        "info" => Ok(Level::Report(Severity::Info)),
        "warning" => Ok(Level::Report(Severity::Warning)),
        "error" => Ok(Level::Report(Severity::Error)),
        _ => Err(format!("rule `{rule}`: `{text}` is not one of off, info, warning, error")),
    }
}

fn levels(rules: BTreeMap<String, Text>) -> Result<BTreeMap<String, Level>, String> {
    rules
        .into_iter()
        .map(|(rule, Text(text))| {
            let level = level(&rule, &text)?;
            Ok((rule, level))
        })
        .collect()
}

/// Reads a value of `--assume`, or of `assume` in `coalmine.yaml`.
///
/// # Errors
/// When it is none of `auto`, `closed` and `open`.
pub fn parse_assume(text: &str) -> Result<Assume, String> {
    match text {
        "auto" => Ok(Assume::Auto),
        "closed" => Ok(Assume::Closed),
        "open" => Ok(Assume::Open),
        _ => Err(format!("`assume` is `{text}`; it is one of auto, closed, open")),
    }
}

impl Settings {
    /// Reads a `coalmine.yaml`. `base` is its folder as file names give it.
    ///
    /// # Errors
    /// A message that names the wrong field, with its line where the reader knows it.
    pub fn parse(text: &str, base: &str) -> Result<Self, String> {
        let file: Option<ConfigFile> = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        let mut settings = Self { base: clean(base), ..Self::default() };
        let Some(file) = file else { return Ok(settings) };
        if let Some(Text(namespace)) = file.namespace {
            settings.namespace = namespace;
        }
        if let Some(Text(assume)) = file.assume {
            settings.assume = parse_assume(&assume)?;
        }
        settings.rules = levels(file.rules.unwrap_or_default())?;
        for path in file.paths.unwrap_or_default() {
            let glob = Glob::new(&path.glob.0).map_err(|error| format!("paths: {error}"))?;
            settings.paths.push(PathSettings {
                glob,
                namespace: path.namespace.map(|Text(namespace)| namespace),
                rules: levels(path.rules.unwrap_or_default())?,
            });
        }
        if let Some(mesh) = file.mesh {
            serde_yaml::from_value::<ConfigMesh>(mesh.clone()).map_err(|error| format!("mesh: {error}"))?;
            let text = serde_yaml::to_string(&mesh).map_err(|error| error.to_string())?;
            settings.mesh = Some(MeshConfig::parse("mesh", &text)?);
        }
        for (index, value) in file.rollout.unwrap_or_default().into_iter().enumerate() {
            let step = step(value).map_err(|error| format!("rollout[{index}]: {error}"))?;
            settings.rollout.push(step);
        }
        Ok(settings)
    }

    /// A file's name relative to the folder of `coalmine.yaml`; `None` for a file outside it.
    #[must_use]
    pub fn relative<'n>(&self, name: &'n str) -> Option<Cow<'n, str>> {
        let name = name.trim_start_matches("./");
        if !self.prefix.is_empty() && !name.starts_with('/') {
            return Some(Cow::Owned(format!("{}/{name}", self.prefix)));
        }
        if self.base.is_empty() {
            return Some(Cow::Borrowed(name));
        }
        name.strip_prefix(self.base.as_str())?.strip_prefix('/').map(Cow::Borrowed)
    }

    /// Every path of the rollout, relative to the folder of `coalmine.yaml`.
    pub fn rollout_paths(&self) -> impl Iterator<Item = &str> {
        self.rollout
            .iter()
            .flat_map(|step| &step.actions)
            .flat_map(|(Action::Apply(paths) | Action::Delete(paths))| paths)
            .map(String::as_str)
    }

    /// A path of the rollout as file names give it.
    #[must_use]
    pub fn locate(&self, path: &str) -> PathBuf {
        if self.base.is_empty() { PathBuf::from(path) } else { PathBuf::from(&self.base).join(path) }
    }

    /// The namespace of objects in a file that name none.
    #[must_use]
    pub fn namespace_for(&self, file: &str) -> &str {
        let own = self.for_file(file).find_map(|path| path.namespace.as_deref());
        own.unwrap_or(&self.namespace)
    }

    /// What becomes of a rule's findings in a file; `None` leaves the severity that the rule gave.
    #[must_use]
    pub fn level(&self, rule: &str, file: &str) -> Option<Level> {
        if self.ignore.iter().any(|id| id == rule)
            || (!self.select.is_empty() && !self.select.iter().any(|id| id == rule))
        {
            return Some(Level::Off);
        }
        let own = self.for_file(file).find_map(|path| path.rules.get(rule));
        own.or_else(|| self.rules.get(rule)).copied()
    }

    /// Whether a rule may have findings somewhere.
    #[must_use]
    pub fn runs(&self, rule: &str) -> bool {
        let on = |level: Option<Level>| level != Some(Level::Off);
        on(self.level(rule, "")) || self.paths.iter().any(|path| on(path.rules.get(rule).copied()))
    }

    fn for_file<'s>(&'s self, file: &str) -> impl Iterator<Item = &'s PathSettings> + use<'s> {
        let relative = self.relative(file).unwrap_or(Cow::Borrowed(file)).into_owned();
        self.paths.iter().filter(move |path| path.glob.is_match(&relative))
    }
}

fn step(value: serde_yaml::Value) -> Result<Step, String> {
    let named: ConfigNamedStep = match value {
        serde_yaml::Value::String(path) => {
            let path = clean(&path);
            return Ok(Step { name: path.clone(), actions: vec![Action::Apply(vec![path])] });
        }
        serde_yaml::Value::Mapping(_) => serde_yaml::from_value(value).map_err(|error| error.to_string())?,
        other => {
            return Err(format!(
                "{} is no step: a step is a quoted path, or a mapping with `name` and `actions`",
                shown(&other)
            ));
        }
    };
    let actions = named.actions.into_iter().map(|action| {
        let mut fields = action.into_iter();
        match (fields.next().map(|(key, value)| (key, paths(value))), fields.next()) {
            (Some((key, paths)), None) if key == "apply" => paths.map(Action::Apply),
            (Some((key, paths)), None) if key == "delete" => paths.map(Action::Delete),
            _ => Err("an action is either `apply` or `delete`".to_owned()),
        }
    });
    let actions = actions.collect::<Result<_, _>>().map_err(|error| format!("{}: {error}", named.name))?;
    Ok(Step { actions, name: named.name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_file_sets_namespace_severities_and_steps() {
        let text = "namespace: voting\nassume: closed\nrules: {unknown-subset: off, yaml-syntax: warning}\n\
                    paths:\n- glob: 'legacy/**'\n  rules: {unknown-subset: info}\n\
                    rollout:\n- 1-deploy/\n- name: finish\n  actions:\n  - delete: 1-deploy/old.yaml\n";
        let settings = Settings::parse(text, "./manifests/voting/").unwrap();
        assert_eq!(settings.base, "manifests/voting");
        assert_eq!(settings.namespace_for("manifests/voting/a.yaml"), "voting");
        assert_eq!(settings.level("unknown-subset", "manifests/voting/a.yaml"), Some(Level::Off));
        assert_eq!(
            settings.level("unknown-subset", "manifests/voting/legacy/a.yaml"),
            Some(Level::Report(Severity::Info))
        );
        assert_eq!(settings.rollout[0].actions, [Action::Apply(vec!["1-deploy".to_owned()])]);
        assert_eq!(settings.rollout[1].name, "finish");
    }

    #[test]
    fn mistakes_are_named_with_the_way_out() {
        let error = |text| Settings::parse(text, "").unwrap_err();
        assert!(error("ruls: {}").contains("unknown field `ruls`"), "{}", error("ruls: {}"));
        assert!(error("rules: {unknown-subsett: off}").contains("did you mean `unknown-subset`?"));
        assert!(error("rules: {unknown-subset: loud}").contains("off, info, warning, error"));
        assert!(error("assume: maybe").contains("auto, closed, open"));
        assert!(error("rollout:\n- name: x\n  actions: [{}]\n").contains("either `apply` or `delete`"));
        assert!(error("rollout: [a, 1]").contains("rollout[1]: `1` is no step: a step is a quoted path"));
        assert!(error("rollout: [{name: x, action: []}]").contains("rollout[0]: unknown field `action`"));
        assert!(error("rollout: [{name: x, actions: [{apply: [1]}]}]").contains("x: `1` is no path"));
    }

    #[test]
    fn a_name_that_yaml_reads_as_something_else_needs_quotes() {
        let error = Settings::parse("namespace: 7", "").unwrap_err();
        assert!(error.contains("quote it if it is text") && error.contains("line 1"), "{error}");
        assert_eq!(Settings::parse("namespace: '7'", "").unwrap().namespace, "7");
        assert!(Settings::parse("mesh: {enableAutoMtls: maybe}", "").unwrap_err().starts_with("mesh: "));
    }

    #[test]
    fn an_empty_file_changes_nothing() {
        assert!(
            Settings::parse("rules:\n# all commented out\npaths:\nrollout:\n", "").unwrap().rules.is_empty()
        );
        assert_eq!(Settings::parse("", "").unwrap().namespace, "default");
        assert_eq!(Settings::parse("# nothing\n", "").unwrap().namespace, "default");
    }
}
