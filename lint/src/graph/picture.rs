//! What is drawn: boxes and the lines between them. A workload is one box, with the hosts and subsets that lead to it
//! alone as its tabs, so that a deployment of five components is five columns and not fifteen. Knows the graph;
//! nothing of places.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Change, Edge, EdgeKind, Graph, Id, Node, NodeKind, Tls};

/// A box.
#[derive(Debug)]
pub(super) struct Card<'g> {
    /// What it stands for: a workload, a gateway, a client; a host or subset that leads to several workloads or none.
    pub node: &'g Node,
    /// The hosts it is called by.
    pub tabs: Vec<Tab<'g>>,
    /// Further lines.
    pub lines: Vec<String>,
}

/// A host of a box.
#[derive(Debug)]
pub(super) struct Tab<'g> {
    pub host: &'g Node,
    /// Its name, with the namespace where the picture has several.
    pub name: String,
    /// The subsets of the host that lead to this box alone.
    pub subsets: Vec<&'g Node>,
    /// The ports of the calls that come this way.
    pub ports: String,
}

/// A line between two boxes: every edge between them.
#[derive(Debug)]
pub(super) struct Link<'g> {
    pub from: usize,
    pub to: usize,
    pub kind: EdgeKind,
    pub edges: Vec<&'g Edge>,
    /// Its label, a line for each share of the requests.
    pub lines: Vec<String>,
    pub tls: Option<Tls>,
    pub change: Option<Change>,
    /// The change has a sign of its own.
    pub is_signed: bool,
    pub crosses: bool,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Picture<'g> {
    pub cards: Vec<Card<'g>>,
    pub links: Vec<Link<'g>>,
}

impl<'g> Picture<'g> {
    pub(super) fn of(graph: &'g Graph) -> Self {
        Composer::new(graph).compose()
    }
}

struct Composer<'g> {
    graph: &'g Graph,
    nodes: FxHashMap<&'g Id, &'g Node>,
    /// The workloads that a host or subset selects.
    selected: FxHashMap<&'g Id, Vec<&'g Id>>,
    /// The host of each subset.
    host_of: FxHashMap<&'g Id, &'g Id>,
    several_namespaces: bool,
    cards: Vec<Card<'g>>,
    card_of: FxHashMap<&'g Id, usize>,
}

impl<'g> Composer<'g> {
    fn new(graph: &'g Graph) -> Self {
        let nodes: FxHashMap<&Id, &Node> = graph.nodes.iter().map(|node| (&node.id, node)).collect();
        let mut selected: FxHashMap<&Id, Vec<&Id>> = FxHashMap::default();
        let mut host_of = FxHashMap::default();
        for edge in graph.edges.iter().filter(|edge| edge.kind == EdgeKind::Selects) {
            if nodes.get(&edge.to).is_some_and(|node| node.kind == NodeKind::Subset) {
                host_of.insert(&edge.to, &edge.from);
            } else {
                selected.entry(&edge.from).or_default().push(&edge.to);
            }
        }
        let namespaces: FxHashSet<&str> = graph
            .nodes
            .iter()
            .filter(|node| node.kind == NodeKind::Host && !node.is_external)
            .filter_map(|node| node.namespace.as_deref())
            .collect();
        Self {
            graph,
            nodes,
            selected,
            host_of,
            several_namespaces: namespaces.len() > 1,
            cards: Vec::new(),
            card_of: FxHashMap::default(),
        }
    }

    fn compose(mut self) -> Picture<'g> {
        let graph = self.graph;
        let called: FxHashSet<&Id> =
            graph.edges.iter().filter(|edge| edge.kind != EdgeKind::Selects).map(|edge| &edge.to).collect();
        for node in &graph.nodes {
            if matches!(node.kind, NodeKind::Client | NodeKind::Gateway | NodeKind::Workload) {
                self.card(node);
            }
        }
        let mut fans: Vec<(usize, &'g Id)> = Vec::new();
        for node in graph.nodes.iter().filter(|node| node.kind == NodeKind::Subset) {
            let Some(host) = self.host_of.get(&node.id).and_then(|id| self.nodes.get(id)).copied() else {
                // Of a host that is not in the input.
                let card = self.card(node);
                self.tab_of_missing_host(card, node);
                continue;
            };
            match self.selected.get(&node.id).map_or(&[][..], Vec::as_slice) {
                [only] => {
                    if let Some(card) = self.card_of.get(only).copied() {
                        self.tab(card, host, Some(node));
                        self.card_of.insert(&node.id, card);
                    }
                }
                several => {
                    let several = several.to_vec();
                    let card = self.card(node);
                    self.tab(card, host, Some(node));
                    fans.extend(several.into_iter().map(|id| (card, id)));
                }
            }
        }
        for node in graph.nodes.iter().filter(|node| node.kind == NodeKind::Host) {
            let selected = self.selected.get(&node.id).cloned().unwrap_or_default();
            let is_called = called.contains(&node.id);
            match selected.as_slice() {
                [only] => {
                    if let Some(card) = self.card_of.get(only).copied() {
                        self.tab(card, node, None);
                        self.card_of.insert(&node.id, card);
                    }
                }
                [] if !is_called && self.host_of.values().any(|host| **host == node.id) => {}
                several if several.is_empty() || is_called => {
                    let card = self.card(node);
                    self.tab(card, node, None);
                    fans.extend(several.iter().map(|id| (card, *id)));
                }
                several => {
                    for card in
                        several.iter().filter_map(|id| self.card_of.get(id)).copied().collect::<Vec<_>>()
                    {
                        self.tab(card, node, None);
                    }
                }
            }
        }
        self.ports();
        let links = self.links(&fans);
        Picture { cards: self.cards, links }
    }

    fn card(&mut self, node: &'g Node) -> usize {
        let mut lines = match node.kind {
            NodeKind::Workload => {
                let kind = node.facts.first().map_or("", String::as_str);
                match &node.version {
                    Some(version) => vec![format!("{kind} · version {version}")],
                    None => vec![kind.to_owned()],
                }
            }
            NodeKind::Client => node.facts.clone(),
            NodeKind::Gateway => [&["Gateway".to_owned()][..], &node.facts].concat(),
            NodeKind::Host | NodeKind::Subset => Vec::new(),
        };
        if node.is_missing {
            lines.push("not in the input".to_owned());
        } else if node.is_external {
            lines.push("outside the mesh".to_owned());
        } else if node.is_idle && node.change != Some(Change::Removed) {
            lines.push("gets no requests".to_owned());
        } else if node.kind == NodeKind::Subset && !self.selected.contains_key(&node.id) {
            lines.push("selects no pods".to_owned());
        }
        self.cards.push(Card { node, tabs: Vec::new(), lines });
        self.card_of.insert(&node.id, self.cards.len() - 1);
        self.cards.len() - 1
    }

    fn tab(&mut self, card: usize, host: &'g Node, subset: Option<&'g Node>) {
        let several = self.several_namespaces && !host.is_external;
        let name = match &host.namespace {
            Some(namespace) if several && host.name != host.id.0 => format!("{}.{namespace}", host.name),
            _ => host.name.clone(),
        };
        let Some(card) = self.cards.get_mut(card) else { return };
        let place = card.tabs.iter().position(|tab| tab.host.id == host.id);
        let place = place.unwrap_or_else(|| {
            card.tabs.push(Tab { host, name, subsets: Vec::new(), ports: String::new() });
            card.tabs.len() - 1
        });
        if let Some(tab) = card.tabs.get_mut(place) {
            tab.subsets.extend(subset);
        }
    }

    fn tab_of_missing_host(&mut self, card: usize, subset: &'g Node) {
        let host = subset.id.0.strip_prefix("subset/").and_then(|rest| rest.strip_suffix(&subset.name));
        let host = host.map(|host| Id::host(host.trim_end_matches('/')));
        if let Some(host) = host.and_then(|id| self.nodes.get(&id).copied()) {
            self.tab(card, host, Some(subset));
        }
    }

    /// The ports that calls of each tab use; all of the host's where nothing is known to call it.
    fn ports(&mut self) {
        let mut used: FxHashMap<&Id, Vec<u32>> = FxHashMap::default();
        for edge in self.graph.edges.iter().filter(|edge| edge.change != Some(Change::Removed)) {
            used.entry(&edge.to).or_default().extend(edge.ways.iter().filter_map(|way| way.port));
        }
        for tab in self.cards.iter_mut().flat_map(|card| &mut card.tabs) {
            let ids = tab.subsets.iter().map(|subset| &subset.id).chain([&tab.host.id]);
            let mut ports: Vec<u32> = ids.filter_map(|id| used.get(id)).flatten().copied().collect();
            ports.sort_unstable();
            ports.dedup();
            tab.ports = if ports.is_empty() {
                let own = tab.host.facts.iter().filter_map(|fact| fact.split(' ').next());
                own.collect::<Vec<_>>().join(" ")
            } else {
                ports.iter().map(|port| format!(":{port}")).collect::<Vec<_>>().join(" ")
            };
        }
    }

    fn links(&self, fans: &[(usize, &'g Id)]) -> Vec<Link<'g>> {
        let mut order: Vec<(usize, usize, bool)> = Vec::new();
        let mut edges: BTreeMap<(usize, usize, bool), Vec<&'g Edge>> = BTreeMap::new();
        let mut add = |from: usize, to: usize, edge: &'g Edge| {
            let key = (from, to, edge.kind == EdgeKind::Mirror);
            let own = edges.entry(key).or_default();
            if own.is_empty() {
                order.push(key);
            }
            own.push(edge);
        };
        for edge in self.graph.edges.iter().filter(|edge| edge.kind != EdgeKind::Selects) {
            if let (Some(from), Some(to)) = (self.card_of.get(&edge.from), self.card_of.get(&edge.to)) {
                add(*from, *to, edge);
            }
        }
        for edge in self.graph.edges.iter().filter(|edge| edge.kind == EdgeKind::Selects) {
            let from = self.card_of.get(&edge.from).copied();
            let to = self.card_of.get(&edge.to).copied();
            let (Some(from), Some(to)) = (from, to) else { continue };
            if fans.contains(&(from, &edge.to)) {
                add(from, to, edge);
            }
        }
        let links = order.into_iter().filter(|(from, to, _)| from != to).filter_map(|key| {
            let (from, to, _) = key;
            let edges = edges.remove(&key)?;
            let lasting: Vec<&Edge> =
                edges.iter().copied().filter(|edge| edge.change != Some(Change::Removed)).collect();
            let shown = if lasting.is_empty() { &edges } else { &lasting };
            let mut lines: Vec<String> = Vec::new();
            for line in shown.iter().flat_map(|edge| edge.lines()) {
                if !lines.contains(&line) {
                    lines.push(line);
                }
            }
            let kind = edges.first().map_or(EdgeKind::Route, |edge| edge.kind);
            // Lines that share nothing with a weight are one.
            let is_plain =
                shown.iter().flat_map(|edge| &edge.ways).all(|way| way.weight.is_none() && !way.is_aborted);
            if is_plain && lines.len() > 1 {
                lines = vec![lines.join(" or ")];
            }
            if kind == EdgeKind::Mirror {
                match lines.first_mut() {
                    Some(first) => *first = format!("copies of {first}"),
                    None => lines.push("copies".to_owned()),
                }
            }
            let first = edges.first().and_then(|edge| edge.change);
            let change = match edges.iter().all(|edge| edge.change == first) {
                true => first,
                false => Some(Change::Changed),
            };
            // What it was before is told where it is short, such as a weight; the tooltip has the rest.
            if let Some(before) = edges.iter().find_map(|edge| edge.before.as_ref()).filter(|b| !b.is_empty())
            {
                if lines.is_empty() {
                    lines.push("all requests".to_owned());
                }
                if let [only] = lines.as_mut_slice()
                    && only.chars().count() + before.chars().count() < 14
                {
                    *only = format!("{only} (was {before})");
                }
            }
            // A line of a box that is new or gone is so too, and says it by its stroke; a condition says it once more.
            let ends = [from, to].map(|card| self.cards.get(card).and_then(|card| card.node.change));
            let is_signed = change.is_some() && (!lines.is_empty() || !ends.contains(&change));
            Some(Link {
                is_signed,
                from,
                to,
                kind,
                lines,
                // How calls that are gone were protected does not matter any more.
                tls: lasting.iter().filter_map(|edge| edge.tls).max(),
                change,
                crosses: shown.iter().any(|edge| edge.crosses),
                edges,
            })
        });
        links.collect()
    }
}
