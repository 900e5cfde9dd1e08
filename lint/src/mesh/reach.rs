//! Where a sidecar's calls can end: the route table for one client, host and port, followed to pods.

use super::destinations::{Client, Effective};
use super::gateways::server_kinds;
use super::registry::{Host, Origin, Port};
use super::routes::{Binding, Role, RouteKind, Target, VirtualService};
use super::workloads::{Workload, WorkloadId, is_set_at_run_time};
use super::{Mesh, host};
use crate::span::Span;

/// One place where a call can end.
#[derive(Clone, Debug)]
pub struct Outcome<'m, 'a> {
    /// The registry host, when the destination is one.
    pub host: Option<&'m Host<'a>>,
    /// The subset, if the route names one.
    pub subset: Option<&'a str>,
    /// The pods that can answer.
    pub workloads: Vec<WorkloadId>,
    /// The VirtualService and destination that lead here; `None` for the plain Service route.
    pub via: Option<(&'m VirtualService<'a>, &'m Target<'a>)>,
}

/// The port a destination without `port` gets on one listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ImpliedPort {
    /// The port the request came in on.
    pub listener: u32,
    /// Where that port is written: on the Gateway's server or on the called Service.
    pub place: Span,
    /// Where the listener is: a gateway or every sidecar.
    pub at_gateway: bool,
    /// Whether the destination has the port that Istio picks.
    pub works: bool,
}

impl<'a> Mesh<'a> {
    /// The DestinationRules that win for a client of a host.
    #[must_use]
    pub fn destination(&self, client: Client<'_>, name: &str) -> Option<Effective<'_, 'a>> {
        let namespace = self.host_namespace(name, client.namespace);
        self.destination_rules.effective(client, name, namespace.as_deref(), &self.config.root_namespace)
    }

    /// The namespace of a host: its Service's or ServiceEntry's, or the one in the name.
    #[must_use]
    pub fn host_namespace(&self, name: &str, client: Option<&str>) -> Option<String> {
        match self.registry.find(name, client) {
            Some(host) => Some(host.namespace().to_owned()),
            None => host::split_cluster_name(name, &self.config.domain).map(|(_, ns)| ns.to_owned()),
        }
    }

    /// The Service of a name whose pods can be judged: nothing else defines the host, it has a selector, and
    /// pods that should be in its namespace are in the input.
    #[must_use]
    pub fn judged_service(&self, name: &str) -> Option<&Host<'a>> {
        let mut named = self.registry.named(name);
        let (host, other) = (named.next()?, named.next());
        let is_service = matches!(host.origin, Origin::Service(_)) && other.is_none();
        (is_service && host.selects_pods() && self.knows_workloads(host.namespace())).then_some(host)
    }

    /// The pods of a host that carry a subset's labels. A label that is only set when the pod starts is taken
    /// as present, unless it must be empty.
    #[must_use]
    pub fn subset_workloads(
        &self,
        host: &Host<'a>,
        labels: &crate::resource::field::Map<String>,
    ) -> Vec<WorkloadId> {
        let selects = |workload: &Workload<'_>| {
            labels.iter().all(|(key, value)| {
                let given = workload.labels.text(key) == Some(value.as_str());
                given || (is_set_at_run_time(key) && !value.is_empty())
            })
        };
        let selected = |id: &WorkloadId| self.workloads.get(*id).is_some_and(selects);
        host.workloads.iter().copied().filter(selected).collect()
    }

    /// The clients that can use a destination and may see different DestinationRules for it: the
    /// VirtualService's own namespace, every namespace with a rule of its own for the host, and the
    /// gateways' pods.
    #[must_use]
    pub fn clients<'m>(&'m self, service: &VirtualService<'a>, target: &Target<'a>) -> Vec<Client<'m>> {
        let sources = service.sources(target.kind, target.rule);
        let mut clients: Vec<Client<'m>> = Vec::new();
        let mut add = |client: Client<'m>| {
            let same = |other: &Client<'m>| {
                other.namespace == client.namespace
                    && other.labels.map(std::ptr::from_ref) == client.labels.map(std::ptr::from_ref)
            };
            if !clients.iter().any(same) {
                clients.push(client);
            }
        };
        for binding in &service.bindings {
            let allowed = sources.is_empty() || sources.iter().any(|s| service.source_allows(s, binding));
            if !allowed {
                continue;
            }
            match binding {
                Binding::Mesh => {
                    add(Client { namespace: Some(service.namespace()), labels: None });
                    for rule in self.destination_rules.matching(&target.host) {
                        if !service.export_to.reaches(rule.namespace(), service.namespace()) {
                            continue;
                        }
                        let ids = self.workloads.in_namespace(rule.namespace());
                        let callers =
                            ids.iter().filter_map(|id| self.workloads.get(*id)).filter(|workload| {
                                sources.is_empty()
                                    || sources.iter().any(|s| s.labels.selects(workload.labels))
                            });
                        match rule.selector() {
                            Some(selector) => {
                                if let Some(w) = callers.clone().find(|w| selector.selects(w.labels)) {
                                    add(Client { namespace: Some(rule.namespace()), labels: Some(w.labels) });
                                }
                            }
                            None if callers.clone().next().is_some() => {
                                add(Client { namespace: Some(rule.namespace()), labels: None });
                            }
                            None => {}
                        }
                    }
                }
                Binding::Gateway { namespace, name, .. } => {
                    let gateway = self.gateways.get(namespace, name);
                    let pods = gateway.map_or(&[][..], |gateway| gateway.workloads.as_slice());
                    if pods.is_empty() {
                        add(Client { namespace: None, labels: None });
                    }
                    for pod in pods.iter().filter_map(|id| self.workloads.get(*id)) {
                        add(Client { namespace: Some(pod.namespace()), labels: Some(pod.labels) });
                    }
                }
            }
        }
        clients
    }

    /// What Istio picks for a destination without `port`: the only port of the host, else the listener's.
    /// A sidecar's lookup knows only hosts that have the listener's port, except for tcp rules.
    #[must_use]
    pub fn implied_ports(
        &self,
        service: &VirtualService<'a>,
        target: &Target<'a>,
        destination: &Host<'a>,
    ) -> Vec<ImpliedPort> {
        let single = destination.ports.len() == 1;
        let sources = service.sources(target.kind, target.rule);
        let mut implied = Vec::new();
        for binding in &service.bindings {
            let allowed: Vec<_> = sources.iter().filter(|s| service.source_allows(s, binding)).collect();
            if !sources.is_empty() && allowed.is_empty() {
                continue;
            }
            let port_allowed = |port: u32| {
                allowed.is_empty() || allowed.iter().any(|source| source.port.is_none_or(|own| own == port))
            };
            match binding {
                Binding::Mesh => {
                    for name in &service.hosts {
                        let Some(host) = self.registry.find(name, Some(service.namespace())) else {
                            continue;
                        };
                        let kinds = |port: &&Port<'a>| route_kinds(port).contains(&target.kind);
                        for port in host.ports.iter().filter(kinds).filter(|p| port_allowed(p.number)) {
                            let works = destination.port(port.number).is_some()
                                || (single && target.kind != RouteKind::Http);
                            let (listener, place) = (port.number, port.span);
                            implied.push(ImpliedPort { listener, place, at_gateway: false, works });
                        }
                    }
                }
                Binding::Gateway { namespace, name, .. } => {
                    let Some(gateway) = self.gateways.get(namespace, name) else { continue };
                    for server in &gateway.spec.servers {
                        let Some(listener) = server.port.get().and_then(|port| port.number.as_ref()) else {
                            continue;
                        };
                        let accepts = service.hosts.iter().any(|host| {
                            let mut accepting = gateway.servers_for(host, service.namespace());
                            accepting.any(|own| std::ptr::eq(own, server))
                        });
                        let routed = !server.redirects_to_https()
                            && server_kinds(server).contains(&target.kind)
                            && port_allowed(listener.value);
                        if accepts && routed {
                            let works = single || destination.port(listener.value).is_some();
                            let (listener, place) = (listener.value, listener.span);
                            implied.push(ImpliedPort { listener, place, at_gateway: true, works });
                        }
                    }
                }
            }
        }
        implied
    }

    /// The port number a destination leads to, when it is certain.
    #[must_use]
    pub fn target_port(
        &self,
        service: &VirtualService<'a>,
        target: &Target<'a>,
        destination: &Host<'a>,
    ) -> Option<u32> {
        if let Some(port) = target.destination.value.port_number() {
            return Some(port.value);
        }
        match destination.ports.as_slice() {
            [only] => Some(only.number),
            _ => {
                let implied = self.implied_ports(service, target, destination);
                let first = implied.first()?.listener;
                implied.iter().all(|port| port.works && port.listener == first).then_some(first)
            }
        }
    }

    /// Where calls of a workload to one port of a host can end, in route order. Conditions on the request
    /// are taken as possibly true: every rule up to and including the first unconditional one counts.
    #[must_use]
    pub fn outcomes<'m>(
        &'m self,
        client: &Workload<'a>,
        host: &'m Host<'a>,
        port: &Port<'a>,
    ) -> Vec<Outcome<'m, 'a>> {
        let mut outcomes = Vec::new();
        let mut decided = false;
        for kind in route_kinds(port) {
            for (service, rule) in self.rules_of(client, &host.name, *kind, port.number) {
                decided = true;
                for target in self.routes.targets_of_rule(service, *kind, rule) {
                    if target.role == Role::Route && target.receives_requests() {
                        outcomes.push(self.outcome(client, service, target));
                    }
                }
            }
        }
        if !decided {
            outcomes.push(Outcome {
                host: Some(host),
                subset: None,
                workloads: host.workloads.clone(),
                via: None,
            });
        }
        outcomes
    }

    fn outcome<'m>(
        &'m self,
        client: &Workload<'a>,
        service: &'m VirtualService<'a>,
        target: &'m Target<'a>,
    ) -> Outcome<'m, 'a> {
        let host = self.registry.find(&target.host, Some(client.namespace()));
        let subset = target.subset().map(|name| name.as_str());
        let view = Client { namespace: Some(client.namespace()), labels: Some(client.labels) };
        let workloads = match (host, subset) {
            (Some(host), Some(name)) => self
                .destination(view, &target.host)
                .and_then(|rules| rules.subset(name).map(|(_, subset)| subset))
                .map(|subset| self.subset_workloads(host, &subset.labels))
                .unwrap_or_default(),
            (Some(host), None) => host.workloads.clone(),
            (None, _) => Vec::new(),
        };
        Outcome { host, subset, workloads, via: Some((service, target)) }
    }

    /// The rules of one kind that a sidecar client gets for a port of a host, in order, up to and including
    /// the first that every request matches.
    #[must_use]
    pub fn rules_of(
        &self,
        client: &Workload<'a>,
        host: &str,
        kind: RouteKind,
        port: u32,
    ) -> Vec<(&VirtualService<'a>, usize)> {
        let mut rules = Vec::new();
        for service in self.routes.serving(client.namespace(), host, kind) {
            for rule in 0..service.count(kind) {
                let sources = service.sources(kind, rule);
                let mut admitted =
                    sources.iter().filter(|source| source.admits(kind, client, port)).peekable();
                if sources.is_empty() || admitted.peek().is_some() {
                    rules.push((service, rule));
                }
                if sources.is_empty() || admitted.any(|source| source.unconditional) {
                    return rules;
                }
            }
        }
        rules
    }
}

/// The lists that routes of a port are taken from. A sniffed port has both: http rules once HTTP is
/// detected, tcp rules otherwise. A TLS port has tls rules alone (`core/tls.go` builds no tcp rules for it).
#[must_use]
pub fn route_kinds(port: &Port<'_>) -> &'static [RouteKind] {
    use super::registry::Protocol;
    match port.protocol {
        protocol if protocol.is_http() => &[RouteKind::Http],
        protocol if protocol.is_tls() => &[RouteKind::Tls],
        Protocol::Sniffed => &[RouteKind::Http, RouteKind::Tcp],
        Protocol::Udp => &[],
        _ => &[RouteKind::Tcp],
    }
}

/// The place that a message about an outcome should point at.
#[must_use]
pub fn outcome_span(outcome: &Outcome<'_, '_>) -> Option<Span> {
    outcome.via.map(|(_, target)| target.subset().map_or(target.host_span, |subset| subset.span))
}
