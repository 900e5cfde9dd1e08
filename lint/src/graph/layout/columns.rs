//! Which column each box is in: one for all versions of a host, after everything that calls it. Knows boxes and lines
//! alone.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::picture::Picture;
use crate::graph::{EdgeKind, Id, NodeKind};

/// The column of each box, without gaps.
pub(super) fn columns(picture: &Picture<'_>) -> Vec<usize> {
    let group = groups(picture);
    let of = |card: usize| group.get(card).copied().unwrap_or(card);
    let mut after: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for link in &picture.links {
        if of(link.from) != of(link.to) {
            after.entry(of(link.from)).or_default().insert(of(link.to));
        }
    }
    let (order, back) = topological(&group, &after);
    // Clients come first, then gateways, then what they call.
    let kind = |card: usize| picture.cards.get(card).map(|card| card.node.kind);
    let has_gateways = picture.cards.iter().any(|card| card.node.kind == NodeKind::Gateway);
    let has_mesh = picture.cards.iter().any(|card| card.node.id == Id::mesh());
    let first = if has_gateways { 2 } else { usize::from(has_mesh) };
    let mut ranks: BTreeMap<usize, usize> = BTreeMap::new();
    for node in &order {
        let minimum = match kind(*node) {
            Some(NodeKind::Client) => 0,
            Some(NodeKind::Gateway) => 1,
            _ => first,
        };
        let own = ranks.entry(*node).or_insert(minimum);
        *own = (*own).max(minimum);
        let next = own.saturating_add(1);
        for target in after.get(node).into_iter().flatten() {
            if !back.contains(&(*node, *target)) {
                let rank = ranks.entry(*target).or_insert(next);
                *rank = (*rank).max(next);
            }
        }
    }
    // What nothing calls stands just before what it calls.
    let called: BTreeSet<usize> = after.values().flatten().copied().collect();
    for node in order.iter().rev() {
        if called.contains(node) || picture.cards.get(*node).is_some_and(|card| card.node.id == Id::outside())
        {
            continue;
        }
        let nearest =
            after.get(node).into_iter().flatten().filter_map(|target| ranks.get(target)).min().copied();
        if let Some(nearest) = nearest
            && let Some(own) = ranks.get_mut(node)
        {
            *own = (*own).max(nearest.saturating_sub(1));
        }
    }
    let used: BTreeSet<usize> = ranks.values().copied().collect();
    let dense: BTreeMap<usize, usize> =
        used.into_iter().enumerate().map(|(index, rank)| (rank, index)).collect();
    (0..picture.cards.len())
        .map(|card| ranks.get(&of(card)).and_then(|rank| dense.get(rank)).copied().unwrap_or(0))
        .collect()
}

/// For each box the first of those that share a column with it: the workloads of one host.
fn groups(picture: &Picture<'_>) -> Vec<usize> {
    let mut group: Vec<usize> = (0..picture.cards.len()).collect();
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    let mut keys: Vec<Vec<String>> = picture
        .cards
        .iter()
        .map(|card| match card.node.kind {
            NodeKind::Workload => card.tabs.iter().map(|tab| tab.host.id.0.clone()).collect(),
            _ => Vec::new(),
        })
        .collect();
    for link in picture.links.iter().filter(|link| link.kind == EdgeKind::Selects) {
        let hosts = picture.cards.get(link.from).map(|card| &card.tabs);
        if let Some(keys) = keys.get_mut(link.to) {
            keys.extend(hosts.into_iter().flatten().map(|tab| tab.host.id.0.clone()));
        }
    }
    for (card, keys) in keys.into_iter().enumerate() {
        for key in keys {
            let other = *first.entry(key).or_insert(card);
            let pair = (group.get(card).copied().unwrap_or(card), group.get(other).copied().unwrap_or(other));
            let (keep, merge) = (pair.0.min(pair.1), pair.0.max(pair.1));
            for own in &mut group {
                if *own == merge {
                    *own = keep;
                }
            }
        }
    }
    group
}

/// The groups in an order in which callers come first, and the lines that go back in it.
fn topological(
    group: &[usize],
    after: &BTreeMap<usize, BTreeSet<usize>>,
) -> (Vec<usize>, BTreeSet<(usize, usize)>) {
    let nodes: BTreeSet<usize> = group.iter().copied().collect();
    let called: BTreeSet<usize> = after.values().flatten().copied().collect();
    let mut roots: Vec<usize> = nodes.iter().copied().filter(|node| !called.contains(node)).collect();
    roots.extend(nodes.iter().copied());
    let mut done: BTreeSet<usize> = BTreeSet::new();
    let mut open: BTreeSet<usize> = BTreeSet::new();
    let mut order = Vec::new();
    let mut back = BTreeSet::new();
    for root in roots {
        // Depth first, without recursion: a chain may be long.
        let mut stack: Vec<(usize, bool)> = vec![(root, false)];
        while let Some((node, is_left)) = stack.pop() {
            if is_left {
                open.remove(&node);
                done.insert(node);
                order.push(node);
                continue;
            }
            if done.contains(&node) || open.contains(&node) {
                continue;
            }
            open.insert(node);
            stack.push((node, true));
            for target in after.get(&node).into_iter().flatten().rev() {
                if open.contains(target) {
                    back.insert((node, *target));
                } else if !done.contains(target) {
                    stack.push((*target, false));
                }
            }
        }
    }
    order.reverse();
    (order, back)
}
