//! What every object has, whatever its kind: a version, a kind, a name and labels.

use super::{Kind, STRING, Step, Walker, rename};
use crate::diagnostic::{Fix, Safety};
use crate::resource::Resource;
use crate::schema::{self, Lookup, Type};
use crate::yaml::NodeRef;

impl<'a> Walker<'a, '_> {
    /// Labels and annotations are strings whatever the kind.
    pub(super) fn labels(&mut self, node: NodeRef<'a>) {
        let Lookup::Known(namespace) = schema::lookup("v1", "Namespace") else { return };
        let Some(Type::Object(metadata)) = namespace.field("metadata").map(|field| &field.ty) else { return };
        let Some((key, value)) = node.entry("metadata").filter(|(_, value)| value.is_mapping()) else {
            return;
        };
        self.path.push(Step::Key(key));
        for name in ["annotations", "labels"] {
            if let (Some(field), Some((key, value))) = (metadata.field(name), value.entry(name)) {
                self.path.push(Step::Key(key));
                self.value(&field.ty, name, key.span(), value);
                self.path.pop();
            }
        }
        self.path.pop();
    }

    pub(super) fn name(&mut self, resource: &Resource, node: NodeRef<'a>) {
        let metadata = node.entry("metadata");
        let has = |name| {
            let value = metadata.and_then(|(_, value)| value.get(name));
            value.is_some_and(|value| value.text() != Some(""))
        };
        let is_misspelt = metadata.is_some_and(|(_, value)| self.misspelt.contains(&(value.id(), "name")))
            || self.misspelt.contains(&(node.id(), "metadata"));
        let is_object = metadata.is_none_or(|(_, value)| value.is_mapping() || value.is_null());
        if has("name") || has("generateName") || is_misspelt || !is_object {
            return;
        }
        let written = metadata.filter(|(_, value)| !value.is_null());
        let span = written.map_or(resource.kind.span, |(key, _)| key.span());
        let message = "`metadata.name` is missing".to_owned();
        if let Some(problem) = self.report(Kind::MissingField, span, message) {
            problem.help = Some("every object needs a name".to_owned());
        }
    }

    pub(super) fn unknown_version(&mut self, resource: &Resource, served: &[&'static str]) {
        let group = resource.group();
        let version = resource.api_version.value.rsplit('/').next().unwrap_or("");
        // Versions that Kubernetes served until it removed them are the business of `deprecated-api`.
        let may_be_removed = version.contains("alpha") || version.contains("beta");
        if may_be_removed && !group.ends_with("istio.io") {
            return;
        }
        let Some(best) = served.first() else { return };
        let qualified = |version: &str| match group {
            "" => format!("`{version}`"),
            group => format!("`{group}/{version}`"),
        };
        let (span, kind) = (resource.api_version.span, &resource.kind.value);
        let message = format!(
            "there is no {kind} in `{}`{}",
            resource.api_version.value,
            self.release.map(|release| format!(" of {release}")).unwrap_or_default()
        );
        let list: Vec<String> = served.iter().map(|version| qualified(version)).collect();
        let fix = Fix::replace(
            Safety::Unsafe,
            format!("use {}", qualified(best)),
            span,
            qualified(best).trim_matches('`').to_owned(),
        );
        if let Some(problem) = self.report(Kind::UnknownField, span, message) {
            problem.help = Some(format!("{kind} is served in {}", list.join(", ")));
            problem.fix = Some(fix);
        }
    }

    pub(super) fn unknown_kind(&mut self, resource: &Resource, node: NodeRef<'a>) {
        let (api_version, kind) = (resource.api_version.value.as_str(), resource.kind.value.as_str());
        // A kubeconfig looks like an object and is none.
        if api_version == "v1" && kind == "Config" && node.entry("clusters").is_some() {
            return;
        }
        let of = self.release.map(|release| format!(" of {release}")).unwrap_or_default();
        let message = format!("`{kind}` is not a kind in `{api_version}`{of}");
        let span = resource.kind.span;
        let near = schema::suggest_kind(api_version, kind);
        if let Some(problem) = self.report(Kind::UnknownField, span, message) {
            problem.help = near.map(|near| format!("did you mean `{near}`?"));
            problem.fix = near.map(|near| rename(span, kind, near));
        }
    }

    /// A document or list item that looks like an object and cannot be read as one.
    pub(super) fn headless(&mut self, node: NodeRef<'a>, depth: u8) {
        if !node.is_mapping() {
            return;
        }
        let (api_version, kind) = (node.get("apiVersion"), node.get("kind"));
        let text = |value: Option<NodeRef<'a>>| value.and_then(NodeRef::as_str);
        if let (Some(_), Some(kind)) = (text(api_version), text(kind)) {
            if kind.ends_with("List") && depth < 4 {
                node.get("items").into_iter().flat_map(NodeRef::items).for_each(|item| {
                    self.headless(item, depth + 1);
                });
            }
            return;
        }
        if !looks_like_an_object(node) {
            return;
        }
        for name in ["apiVersion", "kind"] {
            match node.entry(name).filter(|(_, value)| !value.is_null()) {
                Some((key, value)) => {
                    self.path.push(Step::Key(key));
                    self.scalar(&STRING, name, key.span(), value);
                    self.path.pop();
                }
                None => {
                    let span = node.entries().first().map_or(node.span(), |(key, _)| key.span());
                    if let Some(problem) =
                        self.report(Kind::MissingField, span, format!("`{name}` is missing"))
                    {
                        let help = "every Kubernetes object says its `apiVersion` and `kind`";
                        problem.help = Some(help.to_owned());
                    }
                }
            }
        }
    }
}

/// Whether a mapping without a usable `apiVersion` or `kind` is meant as a Kubernetes object. Helm values and
/// charts, kustomizations and the like have one of its fields by accident, so two are asked for.
fn looks_like_an_object(node: NodeRef<'_>) -> bool {
    let has = |name| node.get(name).is_some();
    let is_object = |name| node.get(name).is_some_and(NodeRef::is_mapping);
    let kind = node.get("kind").and_then(NodeRef::text);
    if matches!(kind, Some("Kustomization" | "Component")) {
        return false;
    }
    if has("apiVersion") || has("kind") {
        let both = has("apiVersion") && has("kind");
        return both || is_object("metadata") || is_object("spec");
    }
    let named = ["name", "generateName", "namespace", "labels", "annotations"];
    node.get("metadata").is_some_and(|metadata| {
        metadata.is_mapping() && named.iter().any(|name| metadata.get(name).is_some())
    })
}
