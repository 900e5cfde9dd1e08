//! The routing picture of one state: who calls whom, through which match, weight and mTLS, and which versions
//! form an island. Knows the mesh; where boxes stand is for [`layout`], how they look for the formats.

mod build;
mod calls;
mod changes;
mod describe;
mod dot;
mod islands;
mod layout;
mod mermaid;
mod picture;
mod svg;
#[cfg(test)]
mod tests;
mod text;
mod tls;

use std::fmt;

use crate::diagnostic::ResourceName;
use crate::mesh::Mesh;
use crate::mesh::registry::{Host, Origin};
use crate::mesh::workloads::Workload;
use crate::resource::Resource;
use crate::rule::name_of;
use crate::span::Span;

/// What identifies a node or an edge in every format and every state: `workload/Deployment/voting/voting-app-1-0`,
/// and for an edge `FROM -> TO`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Id(pub String);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Id {
    /// Whoever calls a gateway from outside.
    #[must_use]
    pub fn outside() -> Self {
        Self("client/outside".to_owned())
    }

    /// Pods of the mesh that nothing in the input names.
    #[must_use]
    pub fn mesh() -> Self {
        Self("client/mesh".to_owned())
    }

    /// A Gateway.
    #[must_use]
    pub fn gateway(namespace: &str, name: &str) -> Self {
        Self(format!("gateway/{namespace}/{name}"))
    }

    /// A host by its fully qualified name.
    #[must_use]
    pub fn host(name: &str) -> Self {
        Self(format!("host/{name}"))
    }

    /// A subset of a host.
    #[must_use]
    pub fn subset(host: &str, name: &str) -> Self {
        Self(format!("subset/{host}/{name}"))
    }

    /// Whatever makes pods, by kind, namespace and name.
    #[must_use]
    pub fn workload(kind: &str, namespace: &str, name: &str) -> Self {
        Self(format!("workload/{kind}/{namespace}/{name}"))
    }

    /// That of some pods' workload.
    #[must_use]
    pub fn of_workload(workload: &Workload<'_>) -> Self {
        let Resource { kind, name, .. } = workload.resource;
        Self::workload(&kind.value, workload.namespace(), &name.value)
    }

    /// The edge between two nodes.
    #[must_use]
    pub fn edge(from: &Self, to: &Self) -> Self {
        Self(format!("{from} -> {to}"))
    }
}

/// What a node stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeKind {
    /// Callers that are no object of the input.
    Client,
    /// A Gateway.
    Gateway,
    /// A Service or ServiceEntry host, or one that only a route names.
    Host,
    /// A subset of a DestinationRule.
    Subset,
    /// A Deployment, StatefulSet, Pod …
    Workload,
}

impl NodeKind {
    /// The name in the formats.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gateway => "gateway",
            Self::Host => "host",
            Self::Subset => "subset",
            Self::Workload => "workload",
        }
    }
}

/// How an element differs from the previous state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It was there with other details.
    Changed,
}

impl Change {
    /// The name in the formats.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }

    /// The word beside the element. Text formats have no signs: Mermaid takes `+ a` for a list.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "new",
            Self::Removed => "gone",
            Self::Changed => "changed",
        }
    }
}

/// What protects the calls of an edge.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Tls {
    /// Mutual TLS with certificates of the mesh.
    Mutual,
    /// TLS that a DestinationRule asks for, with other certificates or none.
    Other,
    /// No TLS.
    Plaintext,
    /// What the client sends is not what the server takes: no call succeeds.
    Broken,
}

impl Tls {
    /// The name in the formats.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mutual => "mtls",
            Self::Other => "tls",
            Self::Plaintext => "plaintext",
            Self::Broken => "broken",
        }
    }
}

/// A node.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// Stable over states and formats.
    pub id: Id,
    /// What it stands for.
    pub kind: NodeKind,
    /// The short name: of a host its Service's.
    pub name: String,
    /// Its namespace, if it has one.
    pub namespace: Option<String>,
    /// One line each: servers of a gateway, ports of a host, labels of a subset, the version of a workload.
    pub facts: Vec<String>,
    /// The object that defines it.
    pub resource: Option<ResourceName>,
    /// Where it is written.
    pub span: Option<Span>,
    /// The version label of a workload.
    pub version: Option<String>,
    /// Its place in [`Graph::islands`].
    pub island: Option<usize>,
    /// Other pods of its hosts are called and it is not.
    pub is_idle: bool,
    /// Something names it and the input does not define it.
    pub is_missing: bool,
    /// It leads out of the mesh.
    pub is_external: bool,
    /// Compared with the previous state.
    pub change: Option<Change>,
}

impl Node {
    /// One of which nothing is known.
    fn new(id: &Id, kind: NodeKind) -> Self {
        Self {
            id: id.clone(),
            kind,
            name: String::new(),
            namespace: None,
            facts: Vec::new(),
            resource: None,
            span: None,
            version: None,
            island: None,
            is_idle: false,
            is_missing: false,
            is_external: false,
            change: None,
        }
    }

    /// A host by the name that is called, and what defines it, if anything does.
    #[must_use]
    pub fn of_host(name: &str, host: Option<&Host<'_>>, domain: &str) -> Self {
        let short = match host.map(|host| (host.origin, host.resource)) {
            Some((Origin::Service(_), resource)) => resource.name.value.as_str(),
            _ => name.strip_suffix(&format!(".svc.{domain}")).unwrap_or(name),
        };
        let ports = host.iter().flat_map(|host| &host.ports);
        Self {
            name: short.to_owned(),
            namespace: host.map(|host| host.namespace().to_owned()),
            facts: ports.map(|port| format!(":{} {}", port.number, port.protocol.as_str())).collect(),
            resource: host.map(|host| name_of(host.resource)),
            span: host.map(|host| host.resource.name.span),
            is_missing: host.is_none(),
            is_external: host.is_some_and(Host::is_external),
            ..Self::new(&Id::host(name), NodeKind::Host)
        }
    }

    /// What makes some pods.
    #[must_use]
    pub fn of_workload(workload: &Workload<'_>) -> Self {
        let Resource { kind, name, .. } = workload.resource;
        let version = workload.version().map(|version| version.value.clone());
        let mut facts = vec![kind.value.clone()];
        facts.extend(version.iter().map(|version| format!("version {version}")));
        let images = workload.containers().filter_map(|container| container.image.get());
        facts.extend(images.map(|image| format!("image {image}")));
        Self {
            name: name.value.clone(),
            namespace: Some(workload.namespace().to_owned()),
            facts,
            resource: Some(name_of(workload.resource)),
            span: Some(name.span),
            version,
            ..Self::new(&Id::of_workload(workload), NodeKind::Workload)
        }
    }
}

/// What an edge says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EdgeKind {
    /// Requests go this way.
    Route,
    /// Copies of requests go this way.
    Mirror,
    /// A host has a subset, or a host or subset selects a workload.
    Selects,
}

impl EdgeKind {
    /// The name in the formats.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Mirror => "mirror",
            Self::Selects => "selects",
        }
    }
}

/// One rule by which requests take an edge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Way {
    /// The condition: `cookie featureflag=on`; empty when there is none.
    pub when: String,
    /// `weight`, among several destinations.
    pub weight: Option<i64>,
    /// Every request is answered with an error instead.
    pub is_aborted: bool,
    /// The port of the host, if it is certain.
    pub port: Option<u32>,
    /// The VirtualService; `None` for the plain Service.
    pub by: Option<ResourceName>,
    /// The place that says so.
    pub span: Option<Span>,
}

/// An edge.
#[derive(Clone, PartialEq, Debug)]
pub struct Edge {
    /// Stable over states and formats.
    pub id: Id,
    /// What it says.
    pub kind: EdgeKind,
    /// The caller, or who selects.
    pub from: Id,
    /// The called, or who is selected.
    pub to: Id,
    /// The rules that lead here, in route order; none for [`EdgeKind::Selects`].
    pub ways: Vec<Way>,
    /// What protects the calls; `None` when the input does not say.
    pub tls: Option<Tls>,
    /// Who decided about TLS, in words.
    pub tls_reason: String,
    /// Where it is written.
    pub span: Option<Span>,
    /// Both ends are in islands, and not in the same.
    pub crosses: bool,
    /// Compared with the previous state.
    pub change: Option<Change>,
    /// The label in the previous state, where it was another.
    pub before: Option<String>,
}

impl Edge {
    /// One of which nothing is known.
    #[must_use]
    pub fn new(from: &Id, to: &Id, kind: EdgeKind) -> Self {
        Self {
            id: Id::edge(from, to),
            kind,
            from: from.clone(),
            to: to.clone(),
            ways: Vec::new(),
            tls: None,
            tls_reason: String::new(),
            span: None,
            crosses: false,
            change: None,
            before: None,
        }
    }
}

impl Edge {
    /// Conditions and weights in words, a line for each share: `cookie featureflag=on`, `90%`, `/a* or /b*`; none
    /// when every request takes it.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        /// The weight, and whether all of it is aborted.
        type Share = (Option<i64>, bool);
        let has_share = |way: &Way| way.weight != Some(0);
        let is_taken = self.ways.iter().any(has_share);
        let mut shares: Vec<(Share, Vec<&str>)> = Vec::new();
        for way in self.ways.iter().filter(|way| !is_taken || has_share(way)) {
            let share = (way.weight, way.is_aborted);
            let place = shares.iter().position(|(own, _)| *own == share).unwrap_or_else(|| {
                shares.push((share, Vec::new()));
                shares.len() - 1
            });
            let Some((_, conditions)) = shares.get_mut(place) else { continue };
            if !way.when.is_empty() && !conditions.contains(&way.when.as_str()) {
                conditions.push(&way.when);
            }
        }
        let is_split = shares.iter().any(|((weight, _), _)| weight.is_some());
        let several = shares.len() > 1;
        let line = |((weight, is_aborted), conditions): &(Share, Vec<&str>)| {
            let share = match (weight, is_aborted) {
                (_, true) => "aborted".to_owned(),
                (Some(weight), _) => format!("{weight}%"),
                (None, _) if several && is_split => "100%".to_owned(),
                (None, _) => String::new(),
            };
            match (conditions.join(" or "), share) {
                (conditions, share) if conditions.is_empty() || share.is_empty() => conditions + &share,
                (conditions, share) => format!("{conditions}: {share}"),
            }
        };
        shares.iter().map(line).filter(|line| !line.is_empty()).collect()
    }

    /// The same in one line.
    #[must_use]
    pub fn label(&self) -> String {
        self.lines().join("; ")
    }
}

/// Workloads that call each other and nobody else's versions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Island {
    /// The version that most of its workloads have.
    pub name: String,
    /// Every version in it, in order.
    pub versions: Vec<String>,
    /// Which colour of the palette it has: the same for one name in all states.
    pub color: usize,
    /// Its hosts have pods of other versions too.
    pub competes: bool,
}

/// The picture's content.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Graph {
    /// In the order in which requests meet them.
    pub nodes: Vec<Node>,
    /// In route order.
    pub edges: Vec<Edge>,
    /// In the order of their versions.
    pub islands: Vec<Island>,
    /// It says what changed.
    pub compared: bool,
}

/// How to draw.
#[derive(Clone, Debug, Default)]
pub struct Options<'o> {
    /// The heading, and the name for screen readers.
    pub title: &'o str,
    /// Nodes and edges to draw strongly, such as the path of a request; the others step back.
    pub highlight: &'o [Id],
    /// Nodes and edges where that request fails.
    pub failed: &'o [Id],
}

impl Graph {
    /// The picture of a state.
    #[must_use]
    pub fn of(mesh: &Mesh<'_>) -> Self {
        let mut graph = build::graph(mesh);
        islands::share_colors(std::slice::from_mut(&mut graph));
        graph
    }

    /// The pictures of the states of one deployment, in order. An island has one colour in all of them, and what
    /// is an island in one state keeps its colour where it stands alone.
    #[must_use]
    pub fn of_states<'a>(meshes: impl IntoIterator<Item = Mesh<'a>>) -> Vec<Self> {
        let mut graphs: Vec<Self> = meshes.into_iter().map(|mesh| build::graph(&mesh)).collect();
        islands::share_colors(&mut graphs);
        graphs
    }

    /// This picture with what differs from an earlier state: what is gone is in it too.
    #[must_use]
    pub fn compared_with(&self, previous: &Self) -> Self {
        changes::compare(self, previous)
    }

    /// The node with an id.
    #[must_use]
    pub fn node(&self, id: &Id) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == *id)
    }

    /// A drawing for READMEs, editors and browsers: light or dark as the reader prefers.
    #[must_use]
    pub fn to_svg(&self, options: &Options<'_>) -> String {
        svg::render(self, options)
    }

    /// A Mermaid flowchart.
    #[must_use]
    pub fn to_mermaid(&self) -> String {
        mermaid::render(self)
    }

    /// A Graphviz digraph.
    #[must_use]
    pub fn to_dot(&self, options: &Options<'_>) -> String {
        dot::render(self, options)
    }
}
