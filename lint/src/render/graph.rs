//! The graph as JSON, version 1. Additions are free; what is here stays. Front ends join text and drawing by `id`.

use serde::Serialize;

use super::json::{JsonRange, JsonResource, range};
use super::{Places, Units, pretty};
use crate::files::Files;
use crate::graph::{Change, Edge, Graph, Node, Tls, Way};
use crate::span::Span;

/// The routing picture of one state.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "Graph"))]
struct Output<'a> {
    /// 1.
    version: u32,
    /// In the order in which requests meet them.
    nodes: Vec<JsonNode<'a>>,
    /// In route order.
    edges: Vec<JsonEdge<'a>>,
    /// Workloads that call each other and nobody else's versions.
    islands: Vec<JsonIsland<'a>>,
}

/// A caller, gateway, host, subset or workload.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "GraphNode"))]
struct JsonNode<'a> {
    /// Stable over states and formats.
    id: &'a str,
    /// What it stands for.
    #[cfg_attr(feature = "ts", ts(type = "\"client\" | \"gateway\" | \"host\" | \"subset\" | \"workload\""))]
    kind: &'a str,
    /// The short name.
    name: &'a str,
    /// Its namespace, if it has one.
    namespace: Option<&'a str>,
    /// One line each: servers, ports, labels, the version.
    facts: &'a [String],
    /// The object that defines it.
    resource: Option<JsonResource<'a>>,
    /// The version label; null for what is no workload or has none.
    #[serde(rename = "appVersion")]
    app_version: Option<&'a str>,
    /// Its place among the islands.
    island: Option<usize>,
    /// Other pods of its hosts are called and it is not.
    idle: bool,
    /// Something names it and the input does not define it.
    missing: bool,
    /// It leads out of the mesh.
    external: bool,
    /// `added`, `removed` or `changed` since the state before.
    change: Option<&'a str>,
    /// The file that defines it.
    file: Option<&'a str>,
    /// Where.
    range: Option<JsonRange>,
}

/// Who calls or selects whom.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "GraphEdge"))]
struct JsonEdge<'a> {
    /// Stable over states and formats.
    id: &'a str,
    /// `route`, `mirror` or `selects`.
    kind: &'a str,
    /// The id of the caller.
    from: &'a str,
    /// The id of the called.
    to: &'a str,
    /// Conditions and weights in words.
    label: String,
    /// The rules that lead here, in route order.
    ways: Vec<JsonWay<'a>>,
    /// What protects the calls; null when the input does not say.
    #[cfg_attr(feature = "ts", ts(type = "\"mtls\" | \"tls\" | \"plaintext\" | \"broken\" | null"))]
    tls: Option<&'a str>,
    /// Who decided about TLS, in words.
    #[serde(rename = "tlsReason")]
    tls_reason: Option<&'a str>,
    /// It leads from one island into another.
    crosses: bool,
    /// `added`, `removed` or `changed` since the state before.
    change: Option<&'a str>,
    /// The label in the state before, where it was another.
    before: Option<&'a str>,
    /// The file that says so.
    file: Option<&'a str>,
    /// Where.
    range: Option<JsonRange>,
}

/// One rule by which requests take an edge.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "GraphWay"))]
struct JsonWay<'a> {
    /// The condition; empty when there is none.
    when: &'a str,
    /// Among several destinations.
    #[cfg_attr(feature = "ts", ts(type = "number | null"))]
    weight: Option<i64>,
    /// The port of the host, if it is certain.
    port: Option<u32>,
    /// The VirtualService; null for the plain Service.
    by: Option<JsonResource<'a>>,
    /// The file that says so.
    file: Option<&'a str>,
    /// Where.
    range: Option<JsonRange>,
}

/// Workloads that call each other and nobody else's versions.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "GraphIsland"))]
struct JsonIsland<'a> {
    /// The version that most of them have.
    name: &'a str,
    /// Every version in it, in order.
    versions: &'a [String],
    /// Its place in the palette.
    color: usize,
}

struct Writer<'f> {
    files: &'f Files,
    places: Places<'f>,
}

impl<'f> Writer<'f> {
    fn place(&mut self, span: Option<Span>) -> (Option<&'f str>, Option<JsonRange>) {
        let Some(span) = span else { return (None, None) };
        (Some(self.files.name(span.file)), Some(range(&mut self.places, span)))
    }

    fn node<'g>(&mut self, node: &'g Node) -> JsonNode<'g>
    where
        'f: 'g,
    {
        let (file, range) = self.place(node.span);
        JsonNode {
            id: &node.id.0,
            kind: node.kind.as_str(),
            name: &node.name,
            namespace: node.namespace.as_deref(),
            facts: &node.facts,
            resource: node.resource.as_ref().map(JsonResource::from),
            app_version: node.version.as_deref(),
            island: node.island,
            idle: node.is_idle,
            missing: node.is_missing,
            external: node.is_external,
            change: node.change.map(Change::as_str),
            file,
            range,
        }
    }

    fn edge<'g>(&mut self, edge: &'g Edge) -> JsonEdge<'g>
    where
        'f: 'g,
    {
        let ways = edge.ways.iter().map(|way| self.way(way)).collect();
        let (file, range) = self.place(edge.span);
        JsonEdge {
            id: &edge.id.0,
            kind: edge.kind.as_str(),
            from: &edge.from.0,
            to: &edge.to.0,
            label: edge.label(),
            ways,
            tls: edge.tls.map(Tls::as_str),
            tls_reason: Some(edge.tls_reason.as_str()).filter(|reason| !reason.is_empty()),
            crosses: edge.crosses,
            change: edge.change.map(Change::as_str),
            before: edge.before.as_deref(),
            file,
            range,
        }
    }

    fn way<'g>(&mut self, way: &'g Way) -> JsonWay<'g>
    where
        'f: 'g,
    {
        let (file, range) = self.place(way.span);
        JsonWay {
            when: &way.when,
            weight: way.weight,
            port: way.port,
            by: way.by.as_ref().map(JsonResource::from),
            file,
            range,
        }
    }
}

/// Renders a graph; `files` are those that the state was read from.
#[must_use]
pub fn render(graph: &Graph, files: &Files, units: Units) -> String {
    let mut writer = Writer { files, places: Places::of(files, units) };
    let nodes = graph.nodes.iter().map(|node| writer.node(node)).collect();
    let edges = graph.edges.iter().map(|edge| writer.edge(edge)).collect();
    let islands = graph
        .islands
        .iter()
        .map(|island| JsonIsland { name: &island.name, versions: &island.versions, color: island.color })
        .collect();
    pretty(&Output { version: 1, nodes, edges, islands })
}

/// Declares the types of this format for TypeScript.
#[cfg(feature = "ts")]
pub(crate) fn declare(to: &mut crate::typescript::Declarations) {
    to.add::<JsonWay<'static>>();
    to.add::<JsonNode<'static>>();
    to.add::<JsonEdge<'static>>();
    to.add::<JsonIsland<'static>>();
    to.add::<Output<'static>>();
}
