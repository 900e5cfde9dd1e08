//! Reads a `coalmine.yaml`, strictly: what nobody knows and what has the wrong type is a mistake with its place, so
//! that a slip cannot make a setting say nothing. Must not know where the text is from.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use super::glob::Glob;
use super::{Action, Level, PathSettings, Settings, Step, clean, level, parse_assume};
use crate::files::Files;
use crate::line_index::{ColumnUnit, LineIndex};
use crate::mesh::config::MeshConfig;
use crate::rule::did_you_mean;
use crate::span::Span;
use crate::yaml::{Document, Limits, NodeRef, Scalar, Style, parse};

const FIELDS: [&str; 6] = ["namespace", "assume", "rules", "paths", "mesh", "rollout"];
const PATH_FIELDS: [&str; 3] = ["glob", "namespace", "rules"];
const STEP_FIELDS: [&str; 2] = ["name", "actions"];
/// Fields of MeshConfig that are lists of namespaces.
const EXPORTS: [&str; 3] =
    ["defaultServiceExportTo", "defaultVirtualServiceExportTo", "defaultDestinationRuleExportTo"];

/// Why a `coalmine.yaml` cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SettingsError {
    /// What is wrong, and what to do.
    pub message: String,
    /// The bytes that are wrong.
    pub range: Range<u32>,
}

impl SettingsError {
    pub(super) fn new(span: Span, message: impl Into<String>) -> Self {
        Self { message: message.into(), range: span.start..span.end }
    }

    /// `file:line:column: what is wrong`; `text` is that of the file.
    #[must_use]
    pub fn describe(&self, file: &str, text: &str) -> String {
        let at = LineIndex::new(text).line_column(text, self.range.start, ColumnUnit::Scalars);
        format!("{file}:{}:{}: {}", at.line + 1, at.column + 1, self.message)
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SettingsError {}

impl From<SettingsError> for String {
    fn from(error: SettingsError) -> Self {
        error.message
    }
}

type Read<T> = Result<T, SettingsError>;

fn documents(text: &str) -> Read<Vec<Document>> {
    let mut files = Files::new();
    let id = files.add("coalmine.yaml", text);
    let Some(file) = files.get(id) else { return Ok(Vec::new()) };
    let (documents, problems) = parse(id, file, Limits::default());
    match problems.into_iter().min_by_key(|problem| problem.span.start) {
        Some(problem) => {
            let help = problem.help.map(|help| format!("; {help}")).unwrap_or_default();
            Err(SettingsError::new(problem.span, format!("{}{help}", problem.message)))
        }
        None => Ok(documents),
    }
}

/// The one document that says something.
fn root(documents: &[Document]) -> Read<Option<NodeRef<'_>>> {
    let mut roots = documents.iter().filter_map(Document::root).filter(|root| !root.is_null());
    match (roots.next(), roots.next()) {
        (_, Some(second)) => {
            Err(SettingsError::new(head(second), "the settings are one document, and this is a second one"))
        }
        (root, None) => Ok(root),
    }
}

pub(super) fn settings(text: &str) -> Read<Settings> {
    let documents = documents(text)?;
    let mut settings = Settings::default();
    let Some(root) = root(&documents)? else { return Ok(settings) };
    fields(root, "", "the settings are", &FIELDS)?;
    if let Some(namespace) = root.get("namespace") {
        settings.namespace = string(namespace, "namespace")?;
    }
    if let Some(assume) = root.get("assume") {
        let text = string(assume, "assume")?;
        settings.assume = parse_assume(&text).map_err(|error| SettingsError::new(assume.span(), error))?;
    }
    settings.rules = levels(root, "")?;
    for (index, path) in list(root, "paths", "")?.into_iter().enumerate() {
        settings.paths.push(path_settings(path, &format!("paths[{index}]: "))?);
    }
    if let Some(mesh) = root.get("mesh") {
        settings.mesh = Some(mesh_config(mesh)?);
    }
    for (index, step) in list(root, "rollout", "")?.into_iter().enumerate() {
        let (step, _) = read_step(step, &format!("rollout[{index}]: "))?;
        settings.rollout.push(step);
    }
    Ok(settings)
}

/// Every path of the rollout, with its place; none in a text that is no `coalmine.yaml`.
pub(super) fn rollout_places(text: &str) -> Vec<(String, Range<u32>)> {
    let read = || {
        let documents = documents(text)?;
        let Some(root) = root(&documents)? else { return Ok(Vec::new()) };
        let mut places = Vec::new();
        for step in list(root, "rollout", "")? {
            let (Step { actions, .. }, spans) = read_step(step, "")?;
            let paths = actions.into_iter().flat_map(|(Action::Apply(paths) | Action::Delete(paths))| paths);
            places.extend(paths.zip(spans).map(|(path, span)| (path, span.start..span.end)));
        }
        Ok(places)
    };
    let places: Read<_> = read();
    places.unwrap_or_default()
}

/// Where to point for a whole mapping: its first key.
fn head(node: NodeRef<'_>) -> Span {
    node.written_entries().first().map_or(node.span(), |(key, _)| key.span())
}

/// The node as a message shows it.
fn shown(node: NodeRef<'_>) -> String {
    match node.text() {
        Some(text) if !text.is_empty() => format!("`{text}`"),
        Some(_) if node.is_empty_text() => "nothing".to_owned(),
        Some(_) => "an empty text".to_owned(),
        None if node.is_mapping() => "a mapping".to_owned(),
        None => "a list".to_owned(),
    }
}

/// Refuses what is no mapping, and keys that are not known.
fn fields(node: NodeRef<'_>, prefix: &str, what: &str, known: &[&str]) -> Read<()> {
    let all = || known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if !node.is_mapping() {
        let message = format!("{prefix}{} where {what} a mapping with the fields {}", shown(node), all());
        return Err(SettingsError::new(node.span(), message));
    }
    for (key, _) in node.entries() {
        let name = key.key();
        if !known.contains(&name.as_ref()) {
            let hint = match did_you_mean(&name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the fields are {}", all()),
            };
            let message = format!("{prefix}unknown field `{name}`; {hint}");
            return Err(SettingsError::new(key.span(), message));
        }
    }
    Ok(())
}

/// Text that is text in YAML: a number or `true` where a name belongs is a mistake, or needs quotes.
fn is_text(node: NodeRef<'_>) -> bool {
    match node.scalar() {
        Some(Scalar::Str(_)) => true,
        // `off` is text to YAML 1.2, and to the editors that complete it here.
        Some(Scalar::Bool(_)) => {
            node.style() == Some(Style::Plain)
                && node.tag().is_none()
                && !node.text().is_some_and(|text| ["true", "false"].contains(&&*text.to_ascii_lowercase()))
        }
        _ => false,
    }
}

fn string(node: NodeRef<'_>, field: &str) -> Read<String> {
    match node.text() {
        Some(text) if is_text(node) => Ok(text.to_owned()),
        _ => {
            let message = format!("{field}: {} is no text; quote it if it is text", shown(node));
            Err(SettingsError::new(node.span(), message))
        }
    }
}

/// The items of a list that may be absent.
fn list<'a>(node: NodeRef<'a>, field: &str, prefix: &str) -> Read<Vec<NodeRef<'a>>> {
    match node.get(field) {
        None => Ok(Vec::new()),
        Some(list) if list.is_sequence() => Ok(list.items().collect()),
        Some(other) => {
            let message = format!("{prefix}`{field}` is a list, not {}", shown(other));
            Err(SettingsError::new(head(other), message))
        }
    }
}

/// A field that has to be there; null is no value.
fn required<'a>(node: NodeRef<'a>, field: &str, prefix: &str) -> Read<NodeRef<'a>> {
    node.entry(field)
        .map(|(_, value)| value)
        .ok_or_else(|| SettingsError::new(head(node), format!("{prefix}there is no `{field}`")))
}

fn levels(node: NodeRef<'_>, prefix: &str) -> Read<BTreeMap<String, Level>> {
    let Some(rules) = node.get("rules") else { return Ok(BTreeMap::new()) };
    if !rules.is_mapping() {
        let message = format!("{prefix}`rules` is a mapping from rules to severities, not {}", shown(rules));
        return Err(SettingsError::new(rules.span(), message));
    }
    let mut levels = BTreeMap::new();
    for (key, value) in rules.entries() {
        let rule = key.key();
        super::known_rule(&rule)
            .map_err(|error| SettingsError::new(key.span(), format!("{prefix}{error}")))?;
        let place = if value.is_empty_text() { key.span() } else { value.span() };
        let level = level(&rule, value.text().unwrap_or(""))
            .map_err(|error| SettingsError::new(place, format!("{prefix}{error}")))?;
        levels.insert(rule.into_owned(), level);
    }
    Ok(levels)
}

fn path_settings(node: NodeRef<'_>, prefix: &str) -> Read<PathSettings> {
    fields(node, prefix, "an entry is", &PATH_FIELDS)?;
    let written = required(node, "glob", prefix)?;
    let glob = Glob::new(&string(written, &format!("{prefix}glob"))?)
        .map_err(|error| SettingsError::new(written.span(), format!("{prefix}{error}")))?;
    let namespace = node.get("namespace").map(|name| string(name, &format!("{prefix}namespace")));
    Ok(PathSettings { glob, namespace: namespace.transpose()?, rules: levels(node, prefix)? })
}

/// The fields of MeshConfig that are read have the right types; it has many more, which are left alone.
fn mesh_config(mesh: NodeRef<'_>) -> Read<MeshConfig> {
    let object = |node: NodeRef<'_>, name: &str| match node.is_mapping() {
        true => Ok(()),
        false => Err(SettingsError::new(node.span(), format!("{name}: {} is no mapping", shown(node)))),
    };
    object(mesh, "mesh")?;
    if let Some(namespace) = mesh.get("rootNamespace") {
        string(namespace, "mesh: rootNamespace")?;
    }
    if let Some(auto) = mesh.get("enableAutoMtls")
        && (!matches!(auto.text(), Some("true" | "false")) || matches!(auto.scalar(), Some(Scalar::Str(_))))
    {
        let message = format!("mesh: enableAutoMtls: {} is neither true nor false", shown(auto));
        return Err(SettingsError::new(auto.span(), message));
    }
    if let Some(policy) = mesh.get("outboundTrafficPolicy") {
        object(policy, "mesh: outboundTrafficPolicy")?;
        if let Some(mode) = policy.get("mode")
            && !matches!(mode.text(), Some("ALLOW_ANY" | "REGISTRY_ONLY"))
        {
            let message = format!(
                "mesh: outboundTrafficPolicy: {} is neither ALLOW_ANY nor REGISTRY_ONLY",
                shown(mode)
            );
            return Err(SettingsError::new(mode.span(), message));
        }
    }
    for field in EXPORTS {
        for namespace in list(mesh, field, "mesh: ")? {
            string(namespace, &format!("mesh: {field}"))?;
        }
    }
    MeshConfig::of("mesh", mesh).map_err(|error| SettingsError::new(head(mesh), error))
}

/// A step, and where its paths stand.
fn read_step(node: NodeRef<'_>, prefix: &str) -> Read<(Step, Vec<Span>)> {
    if is_text(node) {
        let path = path(node, prefix)?;
        let step = Step { name: path.clone(), actions: vec![Action::Apply(vec![path])] };
        return Ok((step, vec![node.span()]));
    }
    if !node.is_mapping() {
        let message = format!(
            "{prefix}{} is no step: a step is a quoted path, or a mapping with `name` and `actions`",
            shown(node)
        );
        return Err(SettingsError::new(node.span(), message));
    }
    fields(node, prefix, "a step is", &STEP_FIELDS)?;
    let name = string(required(node, "name", prefix)?, &format!("{prefix}name"))?;
    required(node, "actions", prefix)?;
    let prefix = format!("{prefix}{name}: ");
    let mut step = Step { name, actions: Vec::new() };
    let mut spans = Vec::new();
    for action in list(node, "actions", &prefix)? {
        let entries = action.entries();
        let (verb, written) = match entries.as_slice() {
            [(key, value)] if matches!(&*key.key(), "apply" | "delete") => (key.key(), *value),
            _ => {
                let message = format!("{prefix}an action is either `apply` or `delete`");
                return Err(SettingsError::new(head(action), message));
            }
        };
        let items: Vec<NodeRef<'_>> =
            if written.is_sequence() { written.items().collect() } else { vec![written] };
        spans.extend(items.iter().map(|item| item.span()));
        let paths = items.into_iter().map(|item| path(item, &prefix)).collect::<Read<_>>()?;
        step.actions.push(if verb == "apply" { Action::Apply(paths) } else { Action::Delete(paths) });
    }
    Ok((step, spans))
}

/// A path relative to the folder of `coalmine.yaml`.
fn path(node: NodeRef<'_>, prefix: &str) -> Read<String> {
    let text = node.text().filter(|_| is_text(node)).ok_or_else(|| {
        let message = format!("{prefix}{} is no path; quote it if it is one", shown(node));
        SettingsError::new(node.span(), message)
    })?;
    if text.trim().is_empty() {
        let message = format!("{prefix}{} is no path; the folder of the settings is `.`", shown(node));
        return Err(SettingsError::new(node.span(), message));
    }
    let path = clean(text);
    Ok(if path.is_empty() { ".".to_owned() } else { path })
}
