//! What holds for every graph: nothing overlaps, nothing is outside, names stay names, and the same graph is always
//! drawn the same.

use proptest::prelude::*;
use roxmltree::Document;

use crate::graph::layout::{Rect, layout};
use crate::graph::picture::Picture;
use crate::graph::{Change, Edge, EdgeKind, Graph, Id, Island, Node, NodeKind, Options, Tls, Way};

fn change() -> impl Strategy<Value = Option<Change>> {
    prop::sample::select(vec![None, None, Some(Change::Added), Some(Change::Removed), Some(Change::Changed)])
}

type Plan = Vec<(u8, String, Option<usize>, Option<Change>)>;

/// Nodes of every kind, lines between any of them, and names of any characters.
fn graphs() -> impl Strategy<Value = Graph> {
    let nodes = prop::collection::vec((0..5u8, ".{0,24}", prop::option::of(0..3usize), change()), 1..14);
    let edges = prop::collection::vec(
        (0..14usize, 0..14usize, 0..5u8, ".{0,30}", prop::option::of(0..4u8), change()),
        0..24,
    );
    (nodes, edges).prop_map(|(nodes, edges): (Plan, Vec<_>)| {
        let mut graph = Graph { compared: true, ..Graph::default() };
        for color in 0..3 {
            let name = format!("v{color}");
            graph.islands.push(Island { versions: vec![name.clone()], name, color, competes: true });
        }
        for (index, (kind, name, island, change)) in nodes.into_iter().enumerate() {
            let kind = match kind {
                0 => NodeKind::Client,
                1 => NodeKind::Gateway,
                2 => NodeKind::Host,
                3 => NodeKind::Subset,
                _ => NodeKind::Workload,
            };
            graph.nodes.push(Node {
                id: Id(format!("{index}/{name}")),
                kind,
                facts: vec![name.clone()],
                name,
                namespace: None,
                resource: None,
                span: None,
                version: None,
                island: island.filter(|_| matches!(kind, NodeKind::Workload | NodeKind::Subset)),
                is_idle: false,
                is_missing: index % 5 == 4,
                is_external: false,
                change,
            });
        }
        for (from, to, kind, when, tls, change) in edges {
            let (Some(from), Some(to)) = (graph.nodes.get(from), graph.nodes.get(to)) else { continue };
            let selects = from.kind == NodeKind::Host
                && matches!(to.kind, NodeKind::Subset | NodeKind::Workload)
                || from.kind == NodeKind::Subset && to.kind == NodeKind::Workload;
            let kind = match kind {
                0 => EdgeKind::Mirror,
                1..=3 if selects => EdgeKind::Selects,
                _ => EdgeKind::Route,
            };
            let tls = tls.map(|tls| [Tls::Mutual, Tls::Other, Tls::Plaintext, Tls::Broken][usize::from(tls)]);
            graph.edges.push(Edge {
                id: Id::edge(&from.id, &to.id),
                kind,
                from: from.id.clone(),
                to: to.id.clone(),
                ways: vec![Way { when, weight: None, is_aborted: false, port: None, by: None, span: None }],
                tls,
                tls_reason: String::new(),
                span: None,
                crosses: false,
                change,
                before: None,
            });
        }
        graph
    })
}

/// A little less, so that what touches does not overlap.
fn inner(rect: &Rect) -> Rect {
    Rect { x: rect.x + 0.5, y: rect.y + 0.5, width: rect.width - 1.0, height: rect.height - 1.0 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn nothing_overlaps_and_nothing_is_outside(graph in graphs()) {
        let picture = Picture::of(&graph);
        let layout = layout(&picture);
        prop_assert_eq!(layout.cards.len(), picture.cards.len());
        prop_assert_eq!(layout.routes.len(), picture.links.len());
        let labels: Vec<&Rect> = layout.routes.iter().filter_map(|route| Some(&route.label.as_ref()?.0)).collect();
        for (index, card) in layout.cards.iter().enumerate() {
            for other in layout.cards.iter().skip(index + 1) {
                prop_assert!(!inner(card).overlaps(other), "{card:?} {other:?}");
            }
            for label in &labels {
                prop_assert!(!inner(card).overlaps(label), "card {card:?} label {label:?}");
            }
        }
        for (index, label) in labels.iter().enumerate() {
            for other in labels.iter().skip(index + 1) {
                prop_assert!(!inner(label).overlaps(other), "{label:?} {other:?}");
            }
        }
        let mut bands = layout.bands.values();
        while let Some(band) = bands.next() {
            for other in bands.clone() {
                prop_assert!(!band.overlaps(other), "{band:?} {other:?}");
            }
        }
        // A box is in its island and in no other.
        for (card, rect) in picture.cards.iter().zip(&layout.cards) {
            for (island, band) in &layout.bands {
                let inside = band.x <= rect.x && rect.right() <= band.right()
                    && band.y <= rect.y && rect.bottom() <= band.bottom();
                let own = card.node.island == Some(*island);
                prop_assert!(if own { inside } else { !band.overlaps(rect) }, "{rect:?} {band:?}");
            }
        }
        let canvas = Rect { x: 0.0, y: 0.0, width: layout.width, height: layout.height };
        for rect in layout.cards.iter().chain(labels).chain(layout.bands.values()) {
            prop_assert!(rect.x >= 0.0 && rect.y >= 0.0, "{rect:?}");
            prop_assert!(rect.right() <= canvas.width && rect.bottom() <= canvas.height, "{rect:?} {canvas:?}");
        }
    }

    #[test]
    fn any_name_gives_valid_xml_with_the_ids(graph in graphs(), title in ".{0,20}") {
        let highlight: Vec<Id> = graph.nodes.iter().take(2).map(|node| node.id.clone()).collect();
        let svg = graph.to_svg(&Options { title: &title, highlight: &highlight, failed: &[] });
        let document = Document::parse(&svg).map_err(|error| TestCaseError::fail(format!("{error}\n{svg}")))?;
        let printable = |text: &str| !text.chars().any(|c| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}'));
        let found: Vec<&str> = document.descendants().filter_map(|node| node.attribute("data-id")).collect();
        for node in graph.nodes.iter().filter(|node| node.kind == NodeKind::Workload && printable(&node.id.0)) {
            prop_assert!(found.contains(&node.id.0.as_str()), "{} is not in {found:?}", node.id);
        }
        prop_assert_eq!(svg, graph.to_svg(&Options { title: &title, highlight: &highlight, failed: &[] }));
    }
}
