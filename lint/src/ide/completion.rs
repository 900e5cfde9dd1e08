//! What could stand at a place: names that exist, fields that the kind has, values that the field takes.

mod cursor;

use coalmine_filter::config::schema::schema as plugin_schema;
use serde_json::Value;

use self::cursor::{Cursor, Form, MARK};
use super::hover::{kind, type_at};
use super::locate::Place;
use super::{View, view};
use crate::files::Files;
use crate::incremental::Incremental;
use crate::mesh::destinations::Client;
use crate::mesh::host::resolve_short_name;
use crate::mesh::registry::Origin;
use crate::resource::{Resource, Spec, lower};
use crate::schema::Type;
use crate::span::{FileId, Span};
use crate::yaml::{Document, Limits, NodeRef, parse};

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ItemKind {
    Host,
    Subset,
    Port,
    Gateway,
    Label,
    Field,
    Value,
}

/// One thing that could stand at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What is shown and what is typed to choose it.
    pub label: String,
    /// What is written.
    pub text: String,
    /// What it is.
    pub kind: ItemKind,
    /// One line about it.
    pub detail: String,
    /// Markdown.
    pub docs: Option<String>,
    form: Form,
}

/// Everything that could stand at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The word that an item replaces.
    pub span: Span,
    /// In the order in which they are best shown.
    pub items: Vec<Item>,
}

/// What could stand at an offset. The text around it may be incomplete.
#[must_use]
pub fn completion(deployment: &Incremental, file: FileId, offset: u32) -> Option<Completion> {
    let files = deployment.files();
    let cursor = Cursor::new(files.name(file), files.text(file), offset)?;
    let span = cursor.span(file)?;
    cursor.attempts().find_map(|patched| {
        let (documents, resources) = read(deployment, file, &patched);
        let place = Place::at(&documents, &resources, file, span.start + 1)?;
        let node = place.node().filter(|node| node.text().is_some_and(|text| text.contains(MARK)))?;
        let items = view(deployment, span, |view| view.items(&place, cursor.is_own_line()));
        Some(Completion { span, items: cursor.write(items, node) })
    })
}

/// One text of the deployment, read with another content.
fn read(deployment: &Incremental, file: FileId, text: &str) -> (Vec<Document>, Vec<Resource>) {
    let name = deployment.files().name(file);
    let mut alone = Files::new();
    let id = alone.add(name, text);
    let Some(read) = alone.get(id) else { return (Vec::new(), Vec::new()) };
    let (documents, _) = parse(file, read, Limits::default());
    let resources = lower(&documents, |_| deployment.settings().namespace_for(name));
    (documents, resources)
}

fn item(kind: ItemKind, label: impl Into<String>, detail: impl Into<String>) -> Item {
    let label = label.into();
    Item { text: label.clone(), label, kind, detail: detail.into(), docs: None, form: Form::Text }
}

fn key_item(kind: ItemKind, label: &str, detail: impl Into<String>) -> Item {
    Item { form: Form::Key, ..item(kind, label, detail) }
}

/// An item that is a number or a boolean.
fn literal(kind: ItemKind, label: impl Into<String>, detail: impl Into<String>) -> Item {
    Item { form: Form::Literal, ..item(kind, label, detail) }
}

/// The keys beside a key that is being typed; none where there is no key yet.
fn present(place: &Place<'_>) -> Vec<String> {
    let around = place.above(1).filter(|_| place.is_key);
    let entries = around.map(NodeRef::written_entries).unwrap_or_default();
    entries.iter().map(|(key, _)| key.key().into_owned()).collect()
}

/// Each label once, the first of it.
fn unique(items: impl IntoIterator<Item = Item>) -> Vec<Item> {
    let mut kept: Vec<Item> = Vec::new();
    for item in items {
        if !kept.iter().any(|other| other.label == item.label) {
            kept.push(item);
        }
    }
    kept
}

impl<'a> View<'a> {
    fn items(&self, place: &Place<'_>, own_line: bool) -> Vec<Item> {
        let resource = place.resource;
        let named = self.names_at(place);
        if !named.is_empty() {
            return named;
        }
        if let (Spec::WasmPlugin(_), ["spec", "pluginConfig", way @ ..]) =
            (&resource.spec, place.keys().as_slice())
        {
            return plugin_items(place, way, own_line);
        }
        let (last, way) = match place.path.split_last() {
            Some((last, way)) if place.is_key => (last.as_str(), way),
            _ => ("", place.path.as_slice()),
        };
        let ty = type_at(resource, way);
        match ty {
            // A key, or the first key of an object whose text is yet to come.
            Some(Type::Object(object)) if place.is_key || own_line => {
                let present = present(place);
                let fields = object.fields.iter();
                let absent =
                    fields.filter(|field| field.name == last || !present.iter().any(|key| key == field.name));
                absent
                    .map(|field| {
                        let required = if field.required { ", required" } else { "" };
                        let detail = format!("{}{required}", kind(&field.ty));
                        key_item(ItemKind::Field, field.name, detail)
                    })
                    .collect()
            }
            Some(Type::String { values }) if !place.is_key => {
                values.iter().map(|value| item(ItemKind::Value, *value, "")).collect()
            }
            Some(Type::Boolean) if !place.is_key => {
                ["true", "false"].map(|value| literal(ItemKind::Value, value, "")).to_vec()
            }
            _ => Vec::new(),
        }
    }

    /// Names of things in the workspace, where a field takes one.
    fn names_at(&self, place: &Place<'_>) -> Vec<Item> {
        let resource = place.resource;
        let namespace = resource.namespace();
        let fqdn =
            |host: &str| resolve_short_name(&host.to_ascii_lowercase(), namespace, &self.mesh.config.domain);
        let host_in = |node: Option<NodeRef<'_>>| {
            node.and_then(|node| node.get("host")).and_then(NodeRef::text).map(fqdn).unwrap_or_default()
        };
        let own_host = || match &resource.spec {
            Spec::DestinationRule(rule) => rule.host.as_ref().map(|host| fqdn(host)).unwrap_or_default(),
            _ => String::new(),
        };
        let keys = place.keys();
        let path = keys.as_slice();
        if let Some(labels) = self.labels_at(place, path, &own_host()) {
            return labels;
        }
        if place.is_key {
            return Vec::new();
        }
        match (&resource.spec, path) {
            (_, ["metadata", "namespace"]) => {
                // The object itself, as it was read last, has a namespace that nobody wrote.
                let is_itself = |other: &Resource| {
                    other.span.file == resource.span.file && other.span.start == resource.span.start
                };
                let others = self.mesh.resources().iter().filter(|other| !is_itself(other));
                let mut known: Vec<&str> = others.map(|other| other.namespace()).collect();
                known.sort_unstable();
                known.dedup();
                let named = known.into_iter().filter(|name| !name.is_empty());
                named.map(|name| item(ItemKind::Value, name, "namespace")).collect()
            }
            (Spec::VirtualService(_), ["spec", "hosts", "[]"])
            | (Spec::VirtualService(_), ["spec", .., "destination" | "mirror", "host"])
            | (Spec::DestinationRule(_), ["spec", "host"]) => self.host_items(namespace),
            (Spec::VirtualService(_), ["spec", .., "destination" | "mirror", "subset"]) => {
                self.subset_items(&host_in(place.above(1)), namespace)
            }
            (Spec::VirtualService(_), ["spec", .., "destination" | "mirror", "port", "number"]) => {
                self.port_items(&host_in(place.above(2)), namespace)
            }
            (Spec::DestinationRule(_), ["spec", .., "portLevelSettings", "[]", "port", "number"]) => {
                self.port_items(&own_host(), namespace)
            }
            (Spec::VirtualService(spec), ["spec", _, "[]", "match", "[]", "port"]) => {
                let hosts = spec.hosts.iter().map(|host| fqdn(host));
                unique(hosts.flat_map(|host| self.port_items(&host, namespace)))
            }
            (
                Spec::VirtualService(_),
                ["spec", "gateways", "[]"] | ["spec", _, "[]", "match", "[]", "gateways", "[]"],
            ) => {
                let gateways = self.mesh.gateways.iter().map(|gateway| {
                    let own = gateway.resource.namespace() == namespace;
                    let name = if own { gateway.resource.name.value.clone() } else { gateway.full_name() };
                    item(ItemKind::Gateway, name, "Gateway")
                });
                let mesh = item(ItemKind::Gateway, "mesh", "every sidecar");
                unique(gateways.chain([mesh]))
            }
            (Spec::Service(spec), ["spec", "ports", "[]", "targetPort"]) => {
                let ids = self.mesh.workloads.select(&spec.selector, Some(namespace));
                let ports = ids
                    .iter()
                    .filter_map(|id| self.mesh.workloads.get(*id))
                    .flat_map(|workload| workload.container_ports().map(move |port| (workload, port)));
                unique(ports.flat_map(|(workload, port)| {
                    let of = workload.resource.describe();
                    let name = Some(port.name.text()).filter(|name| !name.is_empty());
                    let name = name.map(|name| item(ItemKind::Port, name, of.clone()));
                    let number = port.container_port.get().map(u32::to_string);
                    name.into_iter().chain(number.map(|number| literal(ItemKind::Port, number, of)))
                }))
            }
            (Spec::HorizontalPodAutoscaler(_), ["spec", "scaleTargetRef", "name"]) => {
                let ids = self.mesh.workloads.in_namespace(namespace);
                let found = ids.iter().filter_map(|id| self.mesh.workloads.get(*id));
                unique(found.map(|workload| {
                    item(
                        ItemKind::Value,
                        workload.resource.name.value.clone(),
                        workload.resource.kind.value.clone(),
                    )
                }))
            }
            _ => Vec::new(),
        }
    }

    /// Services of the namespace by their short name, everything else fully qualified.
    fn host_items(&self, namespace: &str) -> Vec<Item> {
        let mut hosts: Vec<_> = self.mesh.registry.iter().collect();
        hosts.sort_by_key(|host| (host.namespace() != namespace, host.name.clone()));
        unique(hosts.into_iter().map(|host| {
            let is_service = matches!(host.origin, Origin::Service(_));
            let is_near = is_service && host.namespace() == namespace;
            let label = if is_near { host.resource.name.value.clone() } else { host.name.clone() };
            let kind = if is_service { "Service" } else { "ServiceEntry" };
            let ports = host.describe_ports();
            let detail = if ports.is_empty() { kind.to_owned() } else { format!("{kind}, {ports}") };
            item(ItemKind::Host, label, detail)
        }))
    }

    fn subset_items(&self, host: &str, namespace: &str) -> Vec<Item> {
        let client = Client { namespace: Some(namespace), labels: None };
        let seen = self.mesh.destination(client, host);
        let seen = seen.iter().flat_map(|rules| rules.subsets()).map(|(_, subset)| subset);
        let all = self.mesh.destination_rules.matching(host).flat_map(|rule| rule.spec.subsets.iter());
        let named = seen.chain(all).filter(|subset| !subset.name.text().is_empty());
        unique(named.map(|subset| item(ItemKind::Subset, subset.name.text(), subset.labels.describe())))
    }

    fn port_items(&self, host: &str, namespace: &str) -> Vec<Item> {
        let hosts = self.hosts(host, namespace).into_iter();
        unique(hosts.flat_map(|host| &host.ports).map(|port| {
            let name = port.name.map_or("", |name| name.as_str());
            literal(
                ItemKind::Port,
                port.number.to_string(),
                format!("{name} {}", port.protocol.as_str()).trim(),
            )
        }))
    }

    /// Labels that pods have, where pods are selected by label: keys, or the values of a key.
    fn labels_at(&self, place: &Place<'_>, path: &[&str], own_host: &str) -> Option<Vec<Item>> {
        let resource = place.resource;
        let (key, is_mesh_wide) = match (&resource.spec, path) {
            (Spec::VirtualService(_), ["spec", _, "[]", "match", "[]", "sourceLabels", key @ ..]) => {
                (key, true)
            }
            (Spec::Gateway(_), ["spec", "selector", key @ ..]) => (key, true),
            (Spec::Service(_), ["spec", "selector", key @ ..])
            | (Spec::DestinationRule(_), ["spec", "subsets", "[]", "labels", key @ ..])
            | (_, ["spec", "selector" | "workloadSelector", "matchLabels", key @ ..])
            | (
                Spec::ServiceEntry(_) | Spec::Sidecar(_) | Spec::EnvoyFilter(_),
                ["spec", "workloadSelector", "labels", key @ ..],
            ) => (key, false),
            _ => return None,
        };
        let in_scope = |namespace: &str| is_mesh_wide || namespace == resource.namespace();
        // The pods of a subset are among those of its host.
        let is_subset = matches!(path, ["spec", "subsets", ..]);
        let hosts = if is_subset { self.hosts(own_host, resource.namespace()) } else { Vec::new() };
        let pods: Vec<_> = hosts.iter().filter(|host| host.selects_pods()).collect();
        let near: Vec<_> = if pods.is_empty() {
            let workloads = self.mesh.workloads.iter().map(|(_, workload)| workload);
            workloads.filter(|workload| in_scope(workload.namespace())).collect()
        } else {
            let ids = pods.iter().flat_map(|host| &host.workloads);
            ids.filter_map(|id| self.mesh.workloads.get(*id)).collect()
        };
        let pairs = near.iter().flat_map(|workload| {
            workload
                .labels
                .iter()
                .map(move |(key, value)| (key.value.as_str(), value.value.as_str(), workload))
        });
        let present = present(place);
        match key {
            [key] if !place.is_key => Some(unique(
                pairs
                    .filter(|(own, ..)| own == key)
                    .map(|(_, value, workload)| item(ItemKind::Label, value, workload.resource.describe())),
            )),
            [] | [_] => Some(unique(
                pairs
                    .filter(|(key, ..)| !present.iter().any(|own| own == key))
                    .map(|(key, value, _)| key_item(ItemKind::Label, key, format!("{key}={value}"))),
            )),
            _ => None,
        }
    }
}

/// Fields and values of the filter's own configuration.
fn plugin_items(place: &Place<'_>, way: &[&str], own_line: bool) -> Vec<Item> {
    let root = plugin_schema();
    let way = if place.is_key { way.split_last().map_or(way, |(_, way)| way) } else { way };
    let mut schemas = vec![&root];
    for step in way {
        schemas = schemas
            .into_iter()
            .flat_map(alternatives)
            .filter_map(|schema| match *step {
                "[]" => schema.get("items"),
                name => schema
                    .pointer(&format!("/properties/{name}"))
                    .or_else(|| schema.get("additionalProperties").filter(|rest| rest.is_object())),
            })
            .collect();
    }
    let schemas: Vec<&Value> = schemas.into_iter().flat_map(alternatives).collect();
    let present = present(place);
    let mut items = Vec::new();
    for schema in schemas {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if let Some(fields) = schema.get("properties").and_then(Value::as_object)
            && (place.is_key || own_line)
        {
            for (name, field) in fields.iter().filter(|(name, _)| !present.contains(name)) {
                let docs = field.get("description").and_then(Value::as_str).map(str::to_owned);
                let default =
                    field.get("default").map_or_else(String::new, |value| format!("default {}", text(value)));
                items.push(Item { docs, ..key_item(ItemKind::Field, name, default) });
            }
        }
        if !place.is_key {
            let values = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
            // Null is as good as absent, and nobody looks for it.
            let values = values.filter(|value| !value.is_null());
            items.extend(values.map(|value| match value.as_str() {
                Some(text) => item(ItemKind::Value, text, ""),
                None => literal(ItemKind::Value, value.to_string(), ""),
            }));
            let is_boolean = match schema.get("type") {
                Some(Value::Array(types)) => types.iter().any(|one| one == "boolean"),
                one => one.is_some_and(|one| one == "boolean"),
            };
            if is_boolean {
                items.extend(["true", "false"].map(|value| literal(ItemKind::Value, value, "")));
            }
        }
    }
    unique(items)
}

/// A schema, or each of those it may be.
fn alternatives(schema: &Value) -> Vec<&Value> {
    match schema.get("anyOf").and_then(Value::as_array) {
        Some(any) => any.iter().flat_map(alternatives).collect(),
        None => vec![schema],
    }
}
