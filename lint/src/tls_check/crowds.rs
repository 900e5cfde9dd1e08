//! Callers that no object of the input can tell apart for a host: the table asks once for all of them. Knows what
//! DestinationRules and VirtualServices select clients by, not what they say.

use rustc_hash::{FxHashMap, FxHashSet};

use super::Caller;
use crate::mesh::Mesh;
use crate::mesh::destinations::Rule;
use crate::mesh::host::is_wildcard;
use crate::mesh::mtls::ClientProxy;
use crate::mesh::registry::Host;
use crate::mesh::routes::VirtualService;
use crate::mesh::ways::Ways;
use crate::span::Span;

/// A `workloadSelector` or `sourceLabels` of the input.
type Selector = usize;

/// Callers that are alike: the places of all of them, in order.
pub(super) type Crowd = Vec<usize>;

/// All callers, divided as far as anything divides them.
pub(super) struct Crowds<'m, 'a> {
    /// What the members have in common, the selectors that select them, and the members.
    parts: Vec<(usize, Vec<Selector>, Crowd)>,
    rules: Vec<(&'m Rule<'a>, Selector)>,
    by_service: FxHashMap<Span, Vec<Selector>>,
    by_host: FxHashMap<&'m str, Vec<&'m VirtualService<'a>>>,
    wildcards: Vec<&'m VirtualService<'a>>,
}

impl<'m, 'a> Crowds<'m, 'a> {
    /// Divides callers by namespace, proxy and the selectors that select them; each gateway is for itself.
    pub(super) fn new(mesh: &'m Mesh<'a>, callers: &[Caller<'m, 'a>]) -> Self {
        let mut all = Self {
            parts: Vec::new(),
            rules: Vec::new(),
            by_service: FxHashMap::default(),
            by_host: FxHashMap::default(),
            wildcards: Vec::new(),
        };
        let selected = all.select(mesh);
        let none: Vec<Selector> = Vec::new();
        let mut bases: FxHashMap<(&str, Option<usize>, bool), usize> = FxHashMap::default();
        let mut parts: FxHashMap<(usize, &[Selector]), usize> = FxHashMap::default();
        for (index, caller) in callers.iter().enumerate() {
            let proxy = caller.proxy(mesh);
            let alone = (proxy == ClientProxy::Gateway).then_some(index);
            let next = bases.len();
            let base = *bases.entry((caller.namespace(), alone, proxy == ClientProxy::None)).or_insert(next);
            let own = match caller {
                Caller::Workload(workload) => selected.get(&workload.resource.span).unwrap_or(&none),
                Caller::Gateway(_) | Caller::Namespace(_) => &none,
            };
            let next = all.parts.len();
            let part = *parts.entry((base, own.as_slice())).or_insert(next);
            match all.parts.get_mut(part) {
                Some((_, _, members)) => members.push(index),
                None => all.parts.push((base, own.clone(), vec![index])),
            }
        }
        all
    }

    /// Finds every selector and the workloads that each selects.
    fn select(&mut self, mesh: &'m Mesh<'a>) -> FxHashMap<Span, Vec<Selector>> {
        let mut selected: FxHashMap<Span, Vec<Selector>> = FxHashMap::default();
        let mut count = 0;
        let mut add = |labels, namespace: Option<&str>| {
            let selector = count;
            count += 1;
            for id in mesh.workloads.select(labels, namespace) {
                if let Some(workload) = mesh.workloads.get(id) {
                    selected.entry(workload.resource.span).or_default().push(selector);
                }
            }
            selector
        };
        for rule in mesh.destination_rules.iter() {
            if let Some(labels) = rule.selector() {
                self.rules.push((rule, add(labels, Some(rule.namespace()))));
            }
        }
        for service in mesh.routes.iter() {
            for (kind, rule) in service.rules() {
                for source in service.sources(kind, rule).iter().filter(|source| !source.labels.is_empty()) {
                    self.by_service.entry(service.resource.span).or_default().push(add(source.labels, None));
                }
            }
            for own in &service.hosts {
                match is_wildcard(own) {
                    true => self.wildcards.push(service),
                    false => self.by_host.entry(own.as_str()).or_default().push(service),
                }
            }
        }
        selected
    }

    /// The callers that are alike for one host.
    pub(super) fn of(&self, mesh: &'m Mesh<'a>, ways: &Ways<'m, 'a>, host: &Host<'a>) -> Vec<Crowd> {
        let asked = self.asked(mesh, ways, host);
        let mut places: FxHashMap<(usize, Vec<Selector>), usize> = FxHashMap::default();
        let mut crowds: Vec<Crowd> = Vec::new();
        for (base, selectors, members) in &self.parts {
            let own: Vec<Selector> =
                selectors.iter().copied().filter(|selector| asked.contains(selector)).collect();
            let next = crowds.len();
            let place = *places.entry((*base, own)).or_insert(next);
            match crowds.get_mut(place) {
                Some(crowd) => crowd.extend(members),
                None => crowds.push(members.clone()),
            }
        }
        for crowd in &mut crowds {
            crowd.sort_unstable();
        }
        crowds.sort_unstable_by_key(|crowd| crowd.first().copied());
        crowds
    }

    /// The selectors that may decide about calls that end at a host: of its DestinationRules, of the routes that
    /// lead there, and of those that come before them.
    fn asked(&self, mesh: &'m Mesh<'a>, ways: &Ways<'m, 'a>, host: &Host<'a>) -> FxHashSet<Selector> {
        let mut asked: FxHashSet<Selector> = FxHashSet::default();
        let rules = self.rules.iter().filter(|(rule, _)| crate::mesh::host::matches(&rule.host, &host.name));
        asked.extend(rules.map(|(_, selector)| *selector));
        if self.by_service.is_empty() {
            return asked;
        }
        let mut roots: Vec<&'m VirtualService<'a>> = self.wildcards.clone();
        roots.extend(self.by_host.get(host.name.as_str()).into_iter().flatten());
        for (service, _) in mesh.routes.targets_of(&host.name) {
            for root in ways.roots(service) {
                roots.push(root);
                let beside = root.hosts.iter().filter_map(|own| self.by_host.get(own.as_str()));
                roots.extend(beside.flatten());
            }
        }
        let mut seen: FxHashSet<Span> = FxHashSet::default();
        for root in roots.into_iter().filter(|root| seen.insert(root.resource.span)) {
            for part in ways.parts(root) {
                asked.extend(self.by_service.get(&part.resource.span).into_iter().flatten());
            }
        }
        asked
    }
}
