//! Writes the table format that `lint/src/schema/table.rs` documents and reads.
//!
//! CustomResourceDefinitions repeat a message wherever it is used; equal objects are found here and written once,
//! under the name of the field that holds them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::facts;

/// How the first line of every table begins; the source and its version follow.
pub(super) const TITLE: &str = "# Fields of the kinds of ";
/// The second line.
pub(super) const NOTE: &str = "Derived by `cargo xtask schema`; do not edit. The format is in table.rs.";

/// A kind in the versions that have the same fields.
pub(super) struct Kind {
    pub(super) group: String,
    pub(super) name: String,
    pub(super) versions: Vec<Version>,
    pub(super) node: Node,
}

/// One served version of a kind.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    pub(super) name: String,
    pub(super) deprecated: bool,
}

/// The fields of an object; an open one keeps fields that are not listed.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Node {
    pub(super) open: bool,
    pub(super) fields: Vec<Field>,
}

/// One field.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) required: bool,
    pub(super) deprecated: bool,
    pub(super) shape: Shape,
}

/// A type as the table writes it, with the fields when it ends in `object` or `open`.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    pub(super) text: String,
    pub(super) size: String,
    pub(super) pattern: String,
    pub(super) child: Option<Node>,
}

impl Shape {
    /// A type without fields of its own.
    pub(super) fn leaf(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }

    /// An object whose fields follow.
    pub(super) fn object(node: Node) -> Self {
        let text = if node.open { "open" } else { "object" }.to_owned();
        Self { text, child: Some(node), ..Self::default() }
    }

    /// The list (`[]`) or map (`{}`) of this type.
    pub(super) fn wrapped(self, prefix: &str) -> Self {
        Self { text: format!("{prefix}{}", self.text), child: self.child, ..Self::default() }
    }

    /// The type inside its lists and maps.
    pub(super) fn base(&self) -> &str {
        self.text.trim_start_matches(['[', ']', '{', '}'])
    }
}

/// `1..5`, open-ended where there is no bound, empty without bounds.
pub(super) fn range(min: Option<i64>, max: Option<i64>) -> String {
    let side = |bound: Option<i64>| bound.map_or_else(String::new, |bound| bound.to_string());
    if min.is_none() && max.is_none() { String::new() } else { format!("{}..{}", side(min), side(max)) }
}

/// Whether the description says that a field is deprecated. Prose that only mentions the word does not count.
pub(super) fn is_deprecated(schema: &Value) -> bool {
    let text = schema["description"].as_str().unwrap_or_default();
    text.starts_with("Deprecated") || text.contains("Deprecated:")
}

/// The table of a family of CustomResourceDefinitions.
pub(super) fn render_crds(source: &str, mut kinds: Vec<Kind>) -> Result<String> {
    kinds.sort_by(|a, b| (&a.group, &a.name).cmp(&(&b.group, &b.name)));
    let names = shared(&kinds);
    let mut text = format!("{TITLE}{source}\n# {NOTE}\n");
    let groups: BTreeSet<&str> = kinds.iter().map(|kind| kind.group.as_str()).collect();
    for group in groups.into_iter().filter(|group| group.ends_with(".x-k8s.io")) {
        // Experimental groups gain and lose kinds between releases.
        writeln!(text, "partial {group}")?;
    }
    for kind in &mut kinds {
        refer(&mut kind.node, &names);
        write_kind(&mut text, kind)?;
    }
    let mut definitions: Vec<(&String, &Node)> = names.iter().map(|(node, name)| (name, node)).collect();
    definitions.sort_by_key(|(name, _)| *name);
    for (name, node) in definitions {
        let mut node = node.clone();
        refer(&mut node, &names);
        writeln!(text, "def {name}{}", if node.open { " open" } else { "" })?;
        write_node(&mut text, &node, 1)?;
    }
    Ok(text)
}

/// The distinct objects of a table in the order they are met, and the paths to each.
#[derive(Default)]
struct Uses<'a> {
    known: HashMap<&'a Node, usize>,
    paths: Vec<(&'a Node, Vec<Vec<&'a str>>)>,
}

impl<'a> Uses<'a> {
    /// Enters what is below `node`; each distinct object only once, so that a use inside an object that is itself
    /// shared counts once.
    fn enter(&mut self, node: &'a Node, path: &[&'a str]) {
        for field in &node.fields {
            let Some(child) = &field.shape.child else { continue };
            let path: Vec<&str> = path.iter().copied().chain([field.name.as_str()]).collect();
            if let Some(at) = self.known.get(child) {
                self.paths[*at].1.push(path);
                continue;
            }
            self.known.insert(child, self.paths.len());
            self.paths.push((child, vec![path.clone()]));
            self.enter(child, &path);
        }
    }
}

/// Names the objects that are used in more than one place.
fn shared(kinds: &[Kind]) -> HashMap<Node, String> {
    let mut uses = Uses::default();
    for kind in kinds {
        uses.enter(&kind.node, &[&kind.name]);
    }
    let mut candidates: Vec<(&Node, &Vec<&str>)> = uses
        .paths
        .iter()
        .filter(|(node, paths)| paths.len() > 1 && node.fields.len() > 1)
        .map(|(node, paths)| (*node, paths.iter().min().unwrap_or(&paths[0])))
        .collect();
    candidates.sort_by_key(|(_, path)| *path);
    let mut used = BTreeSet::new();
    let mut names = HashMap::new();
    let mut wanted: BTreeMap<String, usize> = BTreeMap::new();
    for (node, path) in &candidates {
        for name in proposals(node, path) {
            *wanted.entry(name).or_default() += 1;
        }
    }
    for (node, path) in candidates {
        let proposals = proposals(node, path);
        // A name that two objects would like belongs to neither: names should survive a new release.
        let free = proposals.iter().find(|name| wanted.get(*name) == Some(&1));
        let longest = proposals.last().cloned().unwrap_or_default();
        let numbered = || (2..).map(|number| format!("{longest}{number}")).find(|name| !used.contains(name));
        let fallback = || if used.contains(&longest) { numbered() } else { Some(longest.clone()) };
        let name = free.cloned().or_else(fallback).unwrap_or_default();
        used.insert(name.clone());
        names.insert(node.clone(), name);
    }
    names
}

/// Names for an object, the best first: its own if we know it, then more and more of the path to it.
fn proposals(node: &Node, path: &[&str]) -> Vec<String> {
    let fields: Vec<&str> = node.fields.iter().map(|field| field.name.as_str()).collect();
    let fields = fields.join(" ");
    let known = facts::NAMES.iter().find(|(known, _)| *known == fields);
    let mut names: Vec<String> = known.map(|(_, name)| (*name).to_owned()).into_iter().collect();
    // That a path leads through `spec` tells nothing, unless it ends there.
    let telling = |(at, word): &(usize, &&str)| **word != "spec" || at + 1 == path.len();
    let words: Vec<String> = path.iter().enumerate().filter(telling).map(|(_, word)| capital(word)).collect();
    let (Some(kind), Some(last)) = (words.first(), words.last()) else { return names };
    names.push(last.clone());
    names.push(format!("{kind}{last}"));
    names.extend((2..=words.len()).map(|count| words[words.len() - count..].concat()));
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// `word` with a capital first letter.
pub(super) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Replaces shared objects below `node` by their names.
fn refer(node: &mut Node, names: &HashMap<Node, String>) {
    for field in &mut node.fields {
        let Some(child) = &mut field.shape.child else { continue };
        if let Some(name) = names.get(child) {
            let prefix = field.shape.text.len() - field.shape.base().len();
            field.shape.text.truncate(prefix);
            field.shape.text.push_str(name);
            field.shape.child = None;
        } else {
            refer(child, names);
        }
    }
}

/// Writes the line of a kind and its fields.
pub(super) fn write_kind(text: &mut String, kind: &Kind) -> Result<()> {
    let group = if kind.group.is_empty() { "core" } else { &kind.group };
    write!(text, "kind {group} {}", kind.name)?;
    let mut versions: Vec<&Version> = kind.versions.iter().collect();
    versions.sort_by_key(|version| priority(&version.name));
    for version in versions {
        write!(text, " {}{}", version.name, if version.deprecated { "~" } else { "" })?;
    }
    text.push('\n');
    write_node(text, &kind.node, 1)
}

/// Kubernetes' own order: stable, then beta, then alpha.
fn priority(version: &str) -> (usize, &str) {
    let stage = ["beta", "alpha"].iter().position(|stage| version.contains(stage));
    (stage.map_or(0, |stage| stage + 1), version)
}

/// Writes one line per field, `depth` spaces deep.
pub(super) fn write_node(text: &mut String, node: &Node, depth: usize) -> Result<()> {
    for field in &node.fields {
        let shape = &field.shape;
        let plain = |word: &str| !word.is_empty() && !word.contains(char::is_whitespace);
        ensure!(
            plain(&field.name) && plain(&shape.text),
            "`{} {}` cannot be written",
            field.name,
            shape.text
        );
        let required = if field.required { "!" } else { "" };
        let deprecated = if field.deprecated { "~" } else { "" };
        write!(text, "{:depth$}{}{required}{deprecated} {}", "", field.name, shape.text)?;
        if !shape.size.is_empty() {
            write!(text, " #{}", shape.size)?;
        }
        if !shape.pattern.is_empty() {
            write!(text, " /{}", shape.pattern)?;
        }
        text.push('\n');
        if let Some(child) = &shape.child {
            write_node(text, child, depth + 1)?;
        }
    }
    Ok(())
}
