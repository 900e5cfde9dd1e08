//! Which workloads form an island: those that call each other and no other version. Knows the graph alone.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Edge, EdgeKind, Graph, Id, Island, NodeKind};

/// Finds the islands, and the pods that nothing calls while other pods of their hosts are called.
///
/// A call that ends at pods of one version puts caller and pods on one island, unless two versions of one app call
/// them: then they are shared. Idle pods are on no island.
pub(super) fn assign(graph: &mut Graph) {
    let pods = Pods::new(graph);
    let (live, order) = pods.live();
    let mut islands: Vec<(Island, Vec<usize>)> = Vec::new();
    for members in pods.groups(&live, &order) {
        let mut versions: Vec<String> =
            members.iter().filter_map(|member| graph.nodes.get(*member)?.version.clone()).collect();
        let Some(name) = most_common(&versions) else { continue };
        versions.sort_by(|a, b| by_version(a, b));
        versions.dedup();
        let competes = members.iter().any(|member| pods.rivals(graph, *member).next().is_some());
        match islands.iter_mut().find(|(other, _)| other.name == name) {
            Some((other, own)) => {
                other.versions.extend(versions);
                other.versions.sort_by(|a, b| by_version(a, b));
                other.versions.dedup();
                other.competes |= competes;
                own.extend(members);
            }
            None => islands.push((Island { name, versions, color: 0, competes }, members)),
        }
    }
    islands.sort_by(|(a, _), (b, _)| by_version(&a.name, &b.name));
    let mut island_of: FxHashMap<usize, usize> = FxHashMap::default();
    for (island, (_, members)) in islands.iter().enumerate() {
        island_of.extend(members.iter().map(|member| (*member, island)));
    }
    for (index, node) in graph.nodes.iter_mut().enumerate() {
        node.is_idle = node.kind == NodeKind::Workload && !live.contains(&index);
        node.island = island_of.get(&index).copied();
    }
    graph.islands = islands.into_iter().map(|(island, _)| island).collect();
}

/// Gives each name one colour over all states, drops what competes with no other version in any state, and marks
/// the subsets of islands and the edges between islands.
pub(super) fn share_colors(graphs: &mut [Graph]) {
    let mut names: Vec<String> = Vec::new();
    for island in graphs.iter().flat_map(|graph| &graph.islands).filter(|island| island.competes) {
        if !names.contains(&island.name) {
            names.push(island.name.clone());
        }
    }
    names.sort_by(|a, b| by_version(a, b));
    for graph in graphs {
        let mut kept: Vec<Option<usize>> = Vec::new();
        let mut islands: Vec<Island> = Vec::new();
        for island in std::mem::take(&mut graph.islands) {
            let color = names.iter().position(|name| *name == island.name);
            kept.push(color.map(|_| islands.len()));
            islands.extend(color.map(|color| Island { color, ..island }));
        }
        graph.islands = islands;
        for node in &mut graph.nodes {
            node.island = node.island.and_then(|island| kept.get(island).copied().flatten());
        }
        mark(graph);
    }
}

/// A subset is on the island of its pods; an edge that leaves the caller's island crosses.
fn mark(graph: &mut Graph) {
    let pods = Pods::new(graph);
    let island = |index: &usize| graph.nodes.get(*index).and_then(|node| node.island);
    let of_targets: Vec<Vec<Option<usize>>> =
        pods.selected.iter().map(|selected| selected.iter().map(island).collect()).collect();
    let crosses: Vec<bool> = graph
        .edges
        .iter()
        .map(|edge| {
            let from = pods.index(&edge.from).as_ref().and_then(island);
            let to = pods.index(&edge.to).and_then(|to| of_targets.get(to));
            edge.kind == EdgeKind::Route
                && from.is_some()
                && to.is_some_and(|islands| islands.iter().any(|to| to.is_some() && *to != from))
        })
        .collect();
    for (node, islands) in graph.nodes.iter_mut().zip(&of_targets) {
        if node.kind == NodeKind::Subset {
            let first = islands.first().copied().flatten();
            node.island = first.filter(|_| islands.iter().all(|island| *island == first));
        }
    }
    for (edge, crosses) in graph.edges.iter_mut().zip(crosses) {
        edge.crosses = crosses;
    }
}

/// Nodes by their place in the graph.
struct Pods {
    by_id: FxHashMap<Id, usize>,
    /// The workloads behind each node: those that a host or subset selects.
    selected: Vec<Vec<usize>>,
    /// The workloads behind each host, through its subsets too.
    hosts: BTreeMap<usize, Vec<usize>>,
    /// The hosts of each workload.
    hosts_of: FxHashMap<usize, Vec<usize>>,
    /// Who calls which workloads of which host, in route order; only where requests go.
    calls: Vec<(usize, usize, Vec<usize>)>,
}

impl Pods {
    fn new(graph: &Graph) -> Self {
        let by_id: FxHashMap<Id, usize> =
            graph.nodes.iter().enumerate().map(|(index, node)| (node.id.clone(), index)).collect();
        let kind = |index: usize| graph.nodes.get(index).map(|node| node.kind);
        let mut selected: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
        let mut host_of: FxHashMap<usize, usize> = FxHashMap::default();
        let ends = |edge: &Edge| Some((*by_id.get(&edge.from)?, *by_id.get(&edge.to)?));
        let pairs: Vec<(usize, usize)> =
            graph.edges.iter().filter(|edge| edge.kind == EdgeKind::Selects).filter_map(ends).collect();
        for (from, to) in &pairs {
            if kind(*to) == Some(NodeKind::Subset) {
                host_of.insert(*to, *from);
            } else if let Some(own) = selected.get_mut(*from) {
                own.push(*to);
            }
        }
        let mut hosts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (from, to) in pairs.iter().filter(|(_, to)| kind(*to) == Some(NodeKind::Workload)) {
            let of_host = hosts.entry(host_of.get(from).copied().unwrap_or(*from)).or_default();
            if !of_host.contains(to) {
                of_host.push(*to);
            }
        }
        let mut hosts_of: FxHashMap<usize, Vec<usize>> = FxHashMap::default();
        for (host, pods) in &hosts {
            for pod in pods {
                hosts_of.entry(*pod).or_default().push(*host);
            }
        }
        let mut calls = Vec::new();
        let flows = |edge: &&Edge| {
            edge.kind == EdgeKind::Route
                && edge.ways.iter().any(|way| way.weight != Some(0) && !way.is_aborted)
        };
        for (from, to) in graph.edges.iter().filter(flows).filter_map(ends) {
            let targets = selected.get(to).cloned().unwrap_or_default();
            calls.push((from, host_of.get(&to).copied().unwrap_or(to), targets));
        }
        Self { by_id, selected, hosts, hosts_of, calls }
    }

    fn index(&self, id: &Id) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// Other workloads of its hosts.
    fn siblings(&self, workload: usize) -> impl Iterator<Item = usize> {
        let hosts = self.hosts_of.get(&workload).into_iter().flatten();
        let pods = hosts.filter_map(|host| self.hosts.get(host)).flatten();
        pods.copied().filter(move |other| *other != workload)
    }

    /// Those of another version.
    fn rivals<'p>(&'p self, graph: &'p Graph, workload: usize) -> impl Iterator<Item = usize> + 'p {
        let version = |index: usize| graph.nodes.get(index).map(|node| &node.version);
        self.siblings(workload).filter(move |other| version(*other) != version(workload))
    }

    /// The workloads that requests reach, and all of them in the order in which requests meet them. What nobody in
    /// the input calls may be called by others: only pods of a host whose other pods are called are idle.
    fn live(&self) -> (FxHashSet<usize>, Vec<usize>) {
        let mut order: Vec<usize> = Vec::new();
        let mut queue: VecDeque<usize> = VecDeque::new();
        let is_workload = |index: &usize| self.hosts_of.contains_key(index);
        let called: FxHashSet<usize> = self.calls.iter().map(|(_, host, _)| *host).collect();
        for (caller, _, targets) in &self.calls {
            if !is_workload(caller) {
                queue.extend(targets);
            }
        }
        for (host, pods) in &self.hosts {
            if !called.contains(host) {
                queue.extend(pods);
            }
        }
        let mut of_caller: FxHashMap<usize, Vec<&[usize]>> = FxHashMap::default();
        for (caller, _, targets) in &self.calls {
            of_caller.entry(*caller).or_default().push(targets);
        }
        let mut live: FxHashSet<usize> = FxHashSet::default();
        while let Some(next) = queue.pop_front() {
            if live.insert(next) {
                order.push(next);
                queue.extend(of_caller.get(&next).into_iter().flatten().copied().flatten());
            }
        }
        // Pods without a host call and are not called.
        live.extend(self.calls.iter().map(|(from, ..)| *from).filter(|from| !is_workload(from)));
        (live, order)
    }

    fn groups(&self, live: &FxHashSet<usize>, order: &[usize]) -> Vec<Vec<usize>> {
        // The pods that a caller reaches at each host.
        let mut reached: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
        for (from, host, targets) in self.calls.iter().filter(|(from, ..)| live.contains(from)) {
            let own = reached.entry((*from, *host)).or_default();
            own.extend(targets.iter().filter(|target| !own.contains(target)).collect::<Vec<_>>());
        }
        // The callers of each workload that reach nothing else of its host.
        let mut callers_of: FxHashMap<usize, Vec<usize>> = FxHashMap::default();
        for ((caller, _), targets) in &reached {
            if let [target] = targets.as_slice() {
                callers_of.entry(*target).or_default().push(*caller);
            }
        }
        let mut groups: Vec<Vec<usize>> = order.iter().map(|workload| vec![*workload]).collect();
        let mut place: FxHashMap<usize, usize> =
            order.iter().enumerate().map(|(index, workload)| (*workload, index)).collect();
        let conflict = |a: &[usize], b: &FxHashSet<usize>| {
            a.iter().any(|own| self.siblings(*own).any(|sibling| b.contains(&sibling)))
        };
        for caller in order {
            for (_, targets) in reached.range((*caller, 0)..=(*caller, usize::MAX)) {
                let [target] = targets.as_slice() else { continue };
                let callers: BTreeSet<usize> = callers_of
                    .get(target)
                    .into_iter()
                    .flatten()
                    .filter_map(|caller| place.get(caller).copied())
                    .collect();
                // Callers of two versions of one app would bring the target to two islands.
                let mut others: FxHashSet<usize> = FxHashSet::default();
                let mut is_shared = false;
                for group in callers.iter().filter_map(|caller| groups.get(*caller)) {
                    is_shared |= conflict(group, &others);
                    others.extend(group);
                }
                let (Some(from), Some(to)) = (place.get(caller).copied(), place.get(target).copied()) else {
                    continue;
                };
                if from == to || is_shared {
                    continue;
                }
                let own: FxHashSet<usize> = groups.get(from).into_iter().flatten().copied().collect();
                if groups.get(to).is_some_and(|moved| conflict(moved, &own)) {
                    continue;
                }
                let moved = groups.get_mut(to).map(std::mem::take).unwrap_or_default();
                place.extend(moved.iter().map(|workload| (*workload, from)));
                if let Some(group) = groups.get_mut(from) {
                    group.extend(moved);
                }
            }
        }
        groups.retain(|group| !group.is_empty());
        groups
    }
}

/// The version that most have; of several the first.
fn most_common(versions: &[String]) -> Option<String> {
    let count = |version: &String| versions.iter().filter(|other| *other == version).count();
    let best = versions.iter().map(count).max()?;
    versions.iter().find(|version| count(version) == best).cloned()
}

/// Numbers as numbers: 1.10 comes after 1.9.
pub(super) fn by_version(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| -> Vec<(u64, String)> {
        text.split(|c: char| !c.is_ascii_alphanumeric())
            .map(|part| {
                let digits = part.trim_start_matches(|c: char| !c.is_ascii_digit());
                let number: String = digits.chars().take_while(char::is_ascii_digit).collect();
                (number.parse().unwrap_or(0), part.to_owned())
            })
            .collect()
    };
    parts(a).cmp(&parts(b)).then_with(|| a.cmp(b))
}
