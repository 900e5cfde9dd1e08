//! What the text at a place names: the object, the path to the field, and what stands in it.

use crate::mesh::gateways::resolve_gateway_name;
use crate::mesh::host::resolve_short_name;
use crate::resource::{Resource, Spec};
use crate::span::{FileId, Span};
use crate::yaml::{Document, NodeRef};

/// A scalar of an object, with the way to it.
pub(super) struct Place<'a> {
    pub resource: &'a Resource,
    /// Keys from the object on; `[]` for an item of a list. The key at the place itself is the last.
    pub path: Vec<String>,
    /// The nodes on the way, the object first, the scalar itself last.
    pub nodes: Vec<NodeRef<'a>>,
    /// The scalar is a key and not a value.
    pub is_key: bool,
}

impl<'a> Place<'a> {
    /// The scalar or key at an offset, its end included.
    pub fn at(
        documents: &'a [Document],
        resources: &'a [Resource],
        file: FileId,
        offset: u32,
    ) -> Option<Self> {
        let resource = resources.iter().find(|resource| {
            let span = resource.span;
            span.file == file && span.start <= offset && offset <= span.end
        })?;
        let mut place = Place { resource, path: Vec::new(), nodes: Vec::new(), is_key: false };
        place.descend(resource.node(documents)?, offset).then_some(place)
    }

    fn descend(&mut self, node: NodeRef<'a>, offset: u32) -> bool {
        let touches = |node: NodeRef<'_>| {
            let span = node.span();
            span.start <= offset && offset <= span.end && !node.is_empty_text()
        };
        self.nodes.push(node);
        if node.is_alias() {
            return false;
        }
        for (key, value) in node.written_entries() {
            let is_key = touches(key);
            if is_key || touches(value) {
                self.path.push(key.key().into_owned());
                if is_key {
                    self.nodes.push(key);
                    self.is_key = true;
                    return true;
                }
                return self.descend(value, offset);
            }
        }
        if let Some(item) = node.items().find(|item| touches(*item)) {
            self.path.push("[]".to_owned());
            return self.descend(item, offset);
        }
        node.scalar().is_some()
    }

    pub fn node(&self) -> Option<NodeRef<'a>> {
        self.nodes.last().copied()
    }

    /// The collection that many steps above the scalar.
    pub fn above(&self, steps: usize) -> Option<NodeRef<'a>> {
        self.nodes.len().checked_sub(steps + 1).and_then(|index| self.nodes.get(index)).copied()
    }

    /// The path to compare with patterns.
    pub fn keys(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }
}

/// What a piece of text names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// A host, fully qualified.
    Host(String),
    /// A subset of a host.
    Subset { host: String, name: String },
    /// A port of a host.
    Port { host: String, number: u32 },
    /// A Gateway.
    Gateway { namespace: String, name: String },
    /// Pods by label, of one namespace or of all.
    Pods { labels: Vec<(String, String)>, namespace: Option<String> },
    /// Something that makes pods.
    Workload { namespace: String, name: String },
}

/// A name and where it stands.
pub(super) struct Token<'a> {
    pub name: Name,
    pub span: Span,
    pub resource: &'a Resource,
}

/// What the text at an offset names, if it is one of the names that lead somewhere.
pub(super) fn token<'a>(place: &Place<'a>, domain: &str) -> Option<Token<'a>> {
    let node = place.node()?;
    let name = name(place, node, domain)?;
    Some(Token { name, span: node.span(), resource: place.resource })
}

fn name(place: &Place<'_>, node: NodeRef<'_>, domain: &str) -> Option<Name> {
    let resource = place.resource;
    let namespace = resource.namespace();
    let fqdn = |host: &str| resolve_short_name(&host.to_ascii_lowercase(), namespace, domain);
    let host_in = |node: NodeRef<'_>| node.get("host").and_then(NodeRef::text).map(fqdn);
    let own_host = || match &resource.spec {
        Spec::DestinationRule(rule) => rule.host.as_ref().map(|host| fqdn(host)),
        _ => None,
    };
    let text = node.text()?;
    let keys = place.keys();
    if let Some((map, is_mesh_wide)) = selector(resource, place, &keys) {
        let labels = map
            .entries()
            .into_iter()
            .filter_map(|(key, value)| Some((key.key().into_owned(), value.text()?.to_owned())));
        let own = (!is_mesh_wide).then(|| namespace.to_owned());
        return Some(Name::Pods { labels: labels.collect(), namespace: own });
    }
    match (&resource.spec, keys.as_slice()) {
        // Keys lead nowhere by themselves.
        _ if place.is_key => None,
        (Spec::VirtualService(_), ["spec", "hosts", "[]"])
        | (
            Spec::VirtualService(_),
            ["spec", "http" | "tls" | "tcp", "[]", .., "destination" | "mirror", "host"],
        )
        | (Spec::DestinationRule(_), ["spec", "host"]) => Some(Name::Host(fqdn(text))),
        (Spec::ServiceEntry(_), ["spec", "hosts", "[]"]) => Some(Name::Host(text.to_ascii_lowercase())),
        (Spec::Service(_), ["metadata", "name"]) => {
            Some(Name::Host(format!("{text}.{namespace}.svc.{domain}")))
        }
        (Spec::VirtualService(_), ["spec", .., "destination" | "mirror", "subset"]) => {
            Some(Name::Subset { host: host_in(place.above(1)?)?, name: text.to_owned() })
        }
        (Spec::DestinationRule(_), ["spec", "subsets", "[]", "name"]) => {
            Some(Name::Subset { host: own_host()?, name: text.to_owned() })
        }
        (Spec::VirtualService(_), ["spec", .., "destination" | "mirror", "port", "number"]) => {
            Some(Name::Port { host: host_in(place.above(2)?)?, number: text.parse().ok()? })
        }
        (Spec::DestinationRule(_), ["spec", .., "portLevelSettings", "[]", "port", "number"]) => {
            Some(Name::Port { host: own_host()?, number: text.parse().ok()? })
        }
        (Spec::Service(_), ["spec", "ports", "[]", ..]) => {
            let port = place.nodes.get(3)?.get("port").and_then(NodeRef::text)?.parse().ok()?;
            let host = format!("{}.{namespace}.svc.{domain}", resource.name.value);
            Some(Name::Port { host, number: port })
        }
        (
            Spec::VirtualService(_),
            ["spec", "gateways", "[]"] | ["spec", _, "[]", "match", "[]", "gateways", "[]"],
        ) => {
            let (namespace, name) = resolve_gateway_name(text, namespace);
            (text != "mesh").then_some(Name::Gateway { namespace, name })
        }
        (Spec::Gateway(_), ["metadata", "name"]) => {
            Some(Name::Gateway { namespace: namespace.to_owned(), name: text.to_owned() })
        }
        (Spec::Workload(_), ["metadata", "name"])
        | (Spec::Workload(_), ["spec", "template", "metadata", "labels", _]) => {
            Some(Name::Workload { namespace: namespace.to_owned(), name: resource.name.value.clone() })
        }
        (Spec::HorizontalPodAutoscaler(_), ["spec", "scaleTargetRef", "name"]) => {
            Some(Name::Workload { namespace: namespace.to_owned(), name: text.to_owned() })
        }
        _ => None,
    }
}

/// The labels around a place that select pods, and whether they do so in every namespace. What a subset's labels
/// select is decided together with its host, so they name the subset.
fn selector<'a>(resource: &Resource, place: &Place<'a>, keys: &[&str]) -> Option<(NodeRef<'a>, bool)> {
    let map = || place.above(1);
    match (&resource.spec, keys) {
        (Spec::Service(_), ["spec", "selector", _]) => Some((map()?, false)),
        (Spec::Gateway(_), ["spec", "selector", _]) => Some((map()?, true)),
        (Spec::VirtualService(_), ["spec", _, "[]", "match", "[]", "sourceLabels", _]) => {
            Some((map()?, true))
        }
        (
            Spec::PeerAuthentication(_)
            | Spec::AuthorizationPolicy(_)
            | Spec::RequestAuthentication(_)
            | Spec::Telemetry(_)
            | Spec::WasmPlugin(_),
            ["spec", "selector", "matchLabels", _],
        )
        | (Spec::DestinationRule(_), ["spec", "workloadSelector", "matchLabels", _])
        | (
            Spec::ServiceEntry(_) | Spec::Sidecar(_) | Spec::EnvoyFilter(_),
            ["spec", "workloadSelector", "labels", _],
        )
        | (Spec::DestinationRule(_), ["spec", "subsets", "[]", "labels", _]) => Some((map()?, false)),
        _ => None,
    }
}
