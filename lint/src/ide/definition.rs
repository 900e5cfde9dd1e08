//! Where a name is defined, and every place that uses it.

use super::locate::{Name, Place, Token, token};
use super::{View, view};
use crate::incremental::Incremental;
use crate::mesh::destinations::{Client, Rule};
use crate::mesh::host::matches;
use crate::mesh::registry::{Host, Origin};
use crate::mesh::routes::Binding;
use crate::mesh::workloads::{Workload, WorkloadId};
use crate::resource::field::Map;
use crate::resource::networking::Subset;
use crate::resource::{Resource, Spec};
use crate::span::{FileId, Span, Spanned};

/// Where what is named at an offset is defined: for a subset of a route its DestinationRule, for one of a
/// DestinationRule the workloads behind it.
#[must_use]
pub fn definitions(deployment: &Incremental, file: FileId, offset: u32) -> Vec<Span> {
    ask(deployment, file, offset, |view, token| {
        let found = view.definitions(&token);
        let is_itself = |span: &Span| *span == token.span;
        match &token.name {
            // From the definition on to what it is made of.
            Name::Subset { host, name } if found.iter().any(is_itself) => {
                view.names(&view.subset_pods(host, name))
            }
            Name::Host(host) if found.iter().any(is_itself) => {
                let hosts = view.mesh.registry.named(host);
                let pods: Vec<WorkloadId> = hosts.flat_map(|host| host.workloads.iter().copied()).collect();
                view.names(&pods)
            }
            _ => found,
        }
    })
}

/// Every place that names what is named at an offset, in the order of the files; with `declaration` its
/// definitions too.
#[must_use]
pub fn references(deployment: &Incremental, file: FileId, offset: u32, declaration: bool) -> Vec<Span> {
    let mut found = ask(deployment, file, offset, |view, token| {
        let definitions = view.definitions(&token);
        let mut found = view.references(&token.name);
        if declaration {
            found.extend(&definitions);
        } else {
            found.retain(|span| !definitions.contains(span));
        }
        found
    });
    found.sort_by_key(|span| (span.file, span.start));
    found.dedup();
    found
}

fn ask(
    deployment: &Incremental,
    file: FileId,
    offset: u32,
    answer: impl FnOnce(&View<'_>, Token<'_>) -> Vec<Span>,
) -> Vec<Span> {
    view(deployment, Span::new(file, offset, offset), |view| {
        let input = view.input;
        let place = Place::at(&input.documents, &input.resources, file, offset);
        let token = place.and_then(|place| token(&place, &view.mesh.config.domain));
        token.map(|token| answer(view, token)).unwrap_or_default()
    })
}

impl<'a> View<'a> {
    /// The registry's hosts of a name, or what a partial name was meant to be.
    pub(super) fn hosts(&self, name: &str, client: &str) -> Vec<&Host<'a>> {
        let named: Vec<&Host<'a>> = self.mesh.registry.named(name).collect();
        if named.is_empty() {
            let found = self.mesh.registry.find(name, Some(client));
            return found.or_else(|| self.mesh.meant_by_partial(name)).into_iter().collect();
        }
        named
    }

    /// The subsets of a name that clients of a namespace see, else every one for the host.
    pub(super) fn subsets(
        &self,
        host: &str,
        name: &str,
        client: &str,
    ) -> Vec<(&Rule<'a>, &'a Spanned<Subset>)> {
        let client = Client { namespace: Some(client), labels: None };
        if let Some(found) = self.mesh.destination(client, host).and_then(|rules| rules.subset(name)) {
            return vec![found];
        }
        let rules = self.mesh.destination_rules.matching(host);
        rules
            .flat_map(|rule| rule.spec.subsets.iter().map(move |subset| (rule, subset)))
            .filter(|(_, subset)| subset.name.text() == name)
            .collect()
    }

    /// The pods behind a subset, wherever it is defined.
    pub(super) fn subset_pods(&self, host: &str, name: &str) -> Vec<WorkloadId> {
        let mut pods = Vec::new();
        for (_, subset) in self.all_subsets(host).filter(|(_, subset)| subset.name.text() == name) {
            for host in self.mesh.registry.named(host) {
                pods.extend(self.mesh.subset_workloads(host, &subset.labels));
            }
        }
        pods.sort_unstable();
        pods.dedup();
        pods
    }

    fn all_subsets(&self, host: &str) -> impl Iterator<Item = (&Rule<'a>, &'a Spanned<Subset>)> {
        let rules = self.mesh.destination_rules.matching(host);
        rules.flat_map(|rule| rule.spec.subsets.iter().map(move |subset| (rule, subset)))
    }

    /// The pods that labels select.
    pub(super) fn pods(&self, labels: &[(String, String)], namespace: Option<&str>) -> Vec<&Workload<'a>> {
        let selects = |workload: &&Workload<'a>| {
            namespace.is_none_or(|own| own == workload.namespace())
                && labels.iter().all(|(key, value)| workload.labels.text(key) == Some(value.as_str()))
        };
        self.mesh.workloads.iter().map(|(_, workload)| workload).filter(selects).collect()
    }

    fn names(&self, pods: &[WorkloadId]) -> Vec<Span> {
        let found = pods.iter().filter_map(|id| self.mesh.workloads.get(*id));
        found.map(|workload| workload.resource.name.span).collect()
    }

    fn definitions(&self, token: &Token<'_>) -> Vec<Span> {
        let client = token.resource.namespace();
        match &token.name {
            Name::Host(host) => self.hosts(host, client).into_iter().map(|host| place_of(host)).collect(),
            Name::Subset { host, name } => {
                let found = self.subsets(host, name, client).into_iter();
                found.filter_map(|(_, subset)| subset.name.span()).collect()
            }
            Name::Port { host, number } => {
                let hosts = self.hosts(host, client).into_iter();
                hosts.filter_map(|host| host.port(*number)).map(|port| port.span).collect()
            }
            Name::Gateway { namespace, name } => {
                let found = self.mesh.gateways.get(namespace, name);
                found.map(|gateway| gateway.resource.name.span).into_iter().collect()
            }
            Name::Pods { labels, namespace } => {
                let pods = self.pods(labels, namespace.as_deref()).into_iter();
                pods.map(|workload| workload.resource.name.span).collect()
            }
            Name::Workload { namespace, name } => {
                let pods = self.mesh.workloads.iter().map(|(_, workload)| workload.resource);
                pods.filter(|resource| resource.namespace() == namespace && resource.name.value == *name)
                    .map(|resource| resource.name.span)
                    .collect()
            }
        }
    }

    pub(super) fn references(&self, name: &Name) -> Vec<Span> {
        let mesh = &self.mesh;
        match name {
            Name::Host(host) => {
                let routed = mesh.routes.targets_of(host).map(|(_, target)| target.host_span);
                let served = mesh.routes.iter().flat_map(|service| &service.hosts);
                let served = served.filter(|own| own.value == *host).map(|own| own.span);
                let rules = mesh.destination_rules.matching(host).filter(|rule| rule.host == *host);
                let defined = mesh.registry.named(host).map(place_of);
                routed.chain(served).chain(rules.map(|rule| rule.host_span)).chain(defined).collect()
            }
            Name::Subset { host, name } => {
                let named = |subset: &&Spanned<String>| subset.value == *name;
                let targets = mesh.routes.targets().filter(|(_, target)| matches(host, &target.host));
                let routed = targets.filter_map(|(_, target)| target.subset().filter(named));
                let defined = self.all_subsets(host).filter_map(|(_, subset)| subset.name.0.as_ref());
                routed.chain(defined.filter(named)).map(|name| name.span).collect()
            }
            Name::Port { host, number } => {
                let targets = mesh.routes.targets_of(host);
                let routed = targets.filter_map(|(_, target)| target.destination.value.port_number());
                let policies =
                    mesh.destination_rules.matching(host).filter_map(|rule| rule.spec.traffic_policy.get());
                let settings = policies.flat_map(|policy| policy.port_level_settings.iter());
                let settings = settings.filter_map(|settings| settings.port.get()?.number.as_ref());
                let named = routed.chain(settings).filter(|port| port.value == *number).map(|port| port.span);
                let defined = mesh.registry.named(host).filter_map(|host| host.port(*number));
                named.chain(defined.map(|port| port.span)).collect()
            }
            Name::Gateway { namespace, name } => {
                let bound = mesh.routes.iter().flat_map(|service| &service.bindings);
                let bound = bound.filter_map(|binding| match binding {
                    Binding::Gateway { namespace: ns, name: own, written }
                        if ns == namespace && own == name =>
                    {
                        Some(written.span)
                    }
                    _ => None,
                });
                let defined = mesh.gateways.get(namespace, name).map(|gateway| gateway.resource.name.span);
                bound.chain(defined).collect()
            }
            Name::Pods { labels, namespace } => {
                let pods = self.pods(labels, namespace.as_deref());
                pods.iter().flat_map(|workload| self.selectors(workload)).collect()
            }
            Name::Workload { namespace, name } => {
                let mut found = Vec::new();
                for (_, workload) in mesh.workloads.iter() {
                    let resource = workload.resource;
                    if resource.namespace() == namespace && resource.name.value == *name {
                        found.push(resource.name.span);
                        found.extend(self.selectors(workload));
                    }
                }
                for resource in mesh.resources() {
                    if let Spec::HorizontalPodAutoscaler(scaler) = &resource.spec
                        && resource.namespace() == namespace
                        && let Some(target) = scaler.scale_target_ref.get()
                        && target.name.text() == name
                    {
                        found.extend(target.name.span());
                    }
                }
                found
            }
        }
    }

    /// Every selector that selects a workload, where its object is named; a subset where the subset is.
    pub(super) fn selectors(&self, workload: &Workload<'a>) -> Vec<Span> {
        let mut found = Vec::new();
        for resource in self.mesh.resources() {
            let (own, everywhere) = selector_of(resource);
            if own.is_some_and(|selector| {
                !selector.is_empty()
                    && (everywhere || resource.namespace() == workload.namespace())
                    && selector.selects(workload.labels)
            }) {
                found.push(resource.name.span);
            }
        }
        for rule in self.mesh.destination_rules.iter() {
            for subset in &rule.spec.subsets {
                let selected = self.mesh.registry.named(&rule.host).any(|host| {
                    let pods = self.mesh.subset_workloads(host, &subset.labels);
                    let mut pods = pods.iter().filter_map(|id| self.mesh.workloads.get(*id));
                    pods.any(|pod| std::ptr::eq(pod.resource, workload.resource))
                });
                if selected {
                    found.extend(subset.name.span());
                }
            }
        }
        found
    }
}

/// The labels by which an object chooses pods, and whether in every namespace.
fn selector_of(resource: &Resource) -> (Option<&Map<String>>, bool) {
    match &resource.spec {
        Spec::Service(service) => (Some(&service.selector), false),
        Spec::Gateway(gateway) => (Some(&gateway.selector), true),
        Spec::PeerAuthentication(policy) => (policy.selector.get().map(|own| &own.match_labels), false),
        Spec::AuthorizationPolicy(policy) | Spec::RequestAuthentication(policy) | Spec::Telemetry(policy) => {
            (policy.selector.get().map(|own| &own.match_labels), false)
        }
        Spec::WasmPlugin(plugin) => (plugin.selector.get().map(|own| &own.match_labels), false),
        Spec::DestinationRule(rule) => (rule.workload_selector.get().map(|own| &own.match_labels), false),
        Spec::ServiceEntry(entry) => (entry.workload_selector.get().map(|own| &own.labels), false),
        Spec::Sidecar(sidecar) => (sidecar.workload_selector.get().map(|own| &own.labels), false),
        Spec::EnvoyFilter(filter) => (filter.workload_selector.get().map(|own| &own.labels), false),
        _ => (None, false),
    }
}

/// Where a host is defined: the Service's name, or the entry of a ServiceEntry's list.
fn place_of(host: &Host<'_>) -> Span {
    match host.origin {
        Origin::Service(_) => host.resource.name.span,
        Origin::ServiceEntry(entry) => {
            let written = entry.hosts.iter().find(|own| own.eq_ignore_ascii_case(&host.name));
            written.map_or(host.resource.name.span, |own| own.span)
        }
    }
}
