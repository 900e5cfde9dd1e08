//! Two states in one picture. Knows graphs alone.

use super::islands::by_version;
use super::{Change, Edge, Graph, Island, Node, NodeKind};

/// The later graph, with everything of the earlier one that is gone.
pub(super) fn compare(now: &Graph, before: &Graph) -> Graph {
    let mut merged = Graph { compared: true, ..now.clone() };
    for island in &before.islands {
        if !merged.islands.iter().any(|own| own.name == island.name) {
            merged.islands.push(island.clone());
        }
    }
    merged.islands.sort_by(|a, b| by_version(&a.name, &b.name));
    let place = |islands: &[Island], index: Option<usize>| -> Option<usize> {
        let name = &islands.get(index?)?.name;
        merged.islands.iter().position(|island| island.name == *name)
    };
    let mut nodes: Vec<Node> = Vec::new();
    for node in &now.nodes {
        let change = match before.node(&node.id) {
            // Clients are no object of the deployment.
            _ if node.kind == NodeKind::Client => None,
            None => Some(Change::Added),
            Some(old) => (!is_same(old, node)).then_some(Change::Changed),
        };
        nodes.push(Node { change, island: place(&now.islands, node.island), ..node.clone() });
    }
    for node in before.nodes.iter().filter(|node| now.node(&node.id).is_none()) {
        let island = place(&before.islands, node.island);
        let change = (node.kind != NodeKind::Client).then_some(Change::Removed);
        nodes.push(Node { change, island, ..node.clone() });
    }
    let find = |graph: &'_ Graph, edge: &Edge| {
        graph.edges.iter().position(|other| other.id == edge.id && other.kind == edge.kind)
    };
    let mut edges: Vec<Edge> = Vec::new();
    for edge in &now.edges {
        let old = find(before, edge).and_then(|index| before.edges.get(index));
        let change = match old {
            None => Some(Change::Added),
            Some(old) => (old.label() != edge.label() || old.tls != edge.tls).then_some(Change::Changed),
        };
        let label = old.map(Edge::label).filter(|label| *label != edge.label());
        edges.push(Edge { change, before: label, ..edge.clone() });
    }
    for edge in before.edges.iter().filter(|edge| find(now, edge).is_none()) {
        edges.push(Edge { change: Some(Change::Removed), crosses: false, ..edge.clone() });
    }
    Graph { nodes, edges, ..merged }
}

/// Whether nothing that the object says has changed; where it stands and who calls it does not count.
fn is_same(a: &Node, b: &Node) -> bool {
    (&a.facts, &a.version, a.is_missing, a.is_external) == (&b.facts, &b.version, b.is_missing, b.is_external)
}
