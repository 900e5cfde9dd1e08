//! The graph as JSON, version 1. Additions are free; what is here stays. Front ends join text and drawing by `id`.

use serde::Serialize;

use super::json::{JsonRange, JsonResource, range};
use super::{Places, pretty};
use crate::files::Files;
use crate::graph::{Change, Edge, Graph, Node, Tls, Way};
use crate::span::Span;

#[derive(Serialize)]
struct Output<'a> {
    version: u32,
    nodes: Vec<JsonNode<'a>>,
    edges: Vec<JsonEdge<'a>>,
    islands: Vec<JsonIsland<'a>>,
}

#[derive(Serialize)]
struct JsonNode<'a> {
    id: &'a str,
    kind: &'a str,
    name: &'a str,
    namespace: Option<&'a str>,
    facts: &'a [String],
    resource: Option<JsonResource<'a>>,
    /// The version label; null for what is no workload or has none.
    #[serde(rename = "appVersion")]
    app_version: Option<&'a str>,
    island: Option<usize>,
    idle: bool,
    missing: bool,
    external: bool,
    change: Option<&'a str>,
    file: Option<&'a str>,
    range: Option<JsonRange>,
}

#[derive(Serialize)]
struct JsonEdge<'a> {
    id: &'a str,
    kind: &'a str,
    from: &'a str,
    to: &'a str,
    label: String,
    ways: Vec<JsonWay<'a>>,
    tls: Option<&'a str>,
    #[serde(rename = "tlsReason")]
    tls_reason: Option<&'a str>,
    crosses: bool,
    change: Option<&'a str>,
    before: Option<&'a str>,
    file: Option<&'a str>,
    range: Option<JsonRange>,
}

#[derive(Serialize)]
struct JsonWay<'a> {
    when: &'a str,
    weight: Option<i64>,
    port: Option<u32>,
    by: Option<JsonResource<'a>>,
    file: Option<&'a str>,
    range: Option<JsonRange>,
}

#[derive(Serialize)]
struct JsonIsland<'a> {
    name: &'a str,
    versions: &'a [String],
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
pub fn render(graph: &Graph, files: &Files) -> String {
    let mut writer = Writer { files, places: Places::of(files) };
    let nodes = graph.nodes.iter().map(|node| writer.node(node)).collect();
    let edges = graph.edges.iter().map(|edge| writer.edge(edge)).collect();
    let islands = graph
        .islands
        .iter()
        .map(|island| JsonIsland { name: &island.name, versions: &island.versions, color: island.color })
        .collect();
    pretty(&Output { version: 1, nodes, edges, islands })
}
