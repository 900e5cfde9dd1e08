//! The calls that live clients can make in one state and how each ends.
//!
//! A client is live when it is there: a Gateway with routes, or pods that are ready. What merely dangles,
//! such as a subset without pods that no live client is led to, is no matter here. Past 500 lines because callers of
//! both sorts, their ways and the ends of these are one chain.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::scope::{Scope, door, looked_at};
use crate::mesh::Mesh;
use crate::mesh::destinations::Client;
use crate::mesh::host::{is_wildcard, matches};
use crate::mesh::mtls::{ClientProxy, Sent};
use crate::mesh::reach::route_kinds;
use crate::mesh::registry::{Host, Port, Protocol};
use crate::mesh::routes::{Binding, Role, RouteKind, Source, Target, VirtualService};
use crate::mesh::security::Mode;
use crate::mesh::workloads::{Proxy, VERSION_LABELS, Workload, WorkloadId, may_listen};
use crate::resource::Resource;
use crate::resource::networking::Percent;
use crate::route::calls;
use crate::span::{Span, Spanned};
use crate::tls_check::{self, Server, Status};

/// What identifies an object in a cluster.
pub type Key<'a> = (&'a str, &'a str, &'a str, &'a str);

/// Why a call does not end at pods that answer.
#[derive(Clone, Copy, Debug)]
pub enum Fault<'a> {
    /// The host is not in the registry.
    NoHost,
    /// The host has no such port.
    NoPort(u32),
    /// No DestinationRule defines the subset.
    NoSubset,
    /// No ready pod.
    NoPods,
    /// The client's TLS and the server's differ.
    Tls {
        /// The PeerAuthentication's mode.
        policy: Option<(&'a Resource, Span)>,
        /// The DestinationRule's setting.
        setting: Option<(&'a Resource, Span)>,
        /// The pods that cannot be called.
        server: &'a Resource,
        /// What the client sends; `None` for a mode that Istio does not know.
        sent: Option<Sent>,
        /// What the pods' sidecar accepts; `None` without a sidecar.
        mode: Option<Mode>,
    },
}

/// One way that a call can take.
#[derive(Clone, Debug)]
pub struct Leg<'a> {
    /// The VirtualService and the place of its destination; `None` for the plain Service.
    pub route: Option<(&'a Resource, Span)>,
    /// The place of the destination's port, if written.
    pub port_span: Option<Span>,
    /// The fully qualified host it leads to.
    pub host: String,
    /// The subset.
    pub subset: Option<&'a str>,
    /// The port, where it is certain.
    pub port: Option<u32>,
    /// Why nothing answers.
    pub fault: Option<Fault<'a>>,
    /// The pods that answer.
    pub pods: Vec<&'a Resource>,
    /// Whether only requests with a certain property take it.
    pub is_conditional: bool,
    /// The version of the client that the match names, if it names one.
    pub claim: Option<&'a str>,
}

impl<'a> Leg<'a> {
    /// What stands for a rule that leads nowhere else, such as a redirect.
    pub(super) fn of_rule(route: (&'a Resource, Span), host: &str) -> Self {
        Self {
            route: Some(route),
            port_span: None,
            host: host.to_owned(),
            subset: None,
            port: None,
            fault: None,
            pods: Vec::new(),
            is_conditional: false,
            claim: None,
        }
    }
}

/// Who calls what: caller, host and port; for a Gateway the port of its server, or 0 if the input does not have it.
pub type Entry = (String, String, u32);

/// Whether an entry is of a wildcard that takes the requests of another where that is not there.
pub(super) fn covers(wildcard: &Entry, entry: &Entry) -> bool {
    wildcard.0 == entry.0
        && wildcard.2 == entry.2
        && is_wildcard(&wildcard.1)
        && matches(&wildcard.1, &entry.1)
}

/// The call of a Gateway that takes the requests of an entry: its own, or that of the wildcard which covers the host.
pub(super) fn answering<'v, 'a>(calls: &'v BTreeMap<Entry, Call<'a>>, entry: &Entry) -> Option<&'v Call<'a>> {
    calls.get(entry).or_else(|| calls.iter().find(|(other, _)| covers(other, entry)).map(|(_, call)| call))
}

/// A caller.
#[derive(Clone, Copy, Debug)]
pub enum Caller<'a> {
    /// A Gateway by its full name's object, if it is there.
    Gateway(Option<&'a Resource>),
    /// Pods.
    Pods(&'a Resource),
}

/// One call with all its ways.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Who calls.
    pub caller: Caller<'a>,
    /// The caller in words.
    pub who: String,
    /// The ways.
    pub legs: Vec<Leg<'a>>,
    /// Whether no proxy is beside the caller.
    pub is_bare: bool,
    /// At a Gateway the VirtualService and the place of the rule that answers every request which no condition
    /// takes.
    pub takes_all: Option<(&'a Resource, Span)>,
    pub(super) namespace: Option<&'a str>,
}

impl<'a> Call<'a> {
    /// Whether some requests are answered.
    #[must_use]
    pub fn is_served(&self) -> bool {
        self.legs.iter().any(|leg| leg.fault.is_none())
    }

    /// The pods that answer requests without any special property, or only those with one.
    pub fn pods(&self, conditional: bool) -> impl Iterator<Item = &'a Resource> {
        let legs = self.legs.iter().filter(move |leg| leg.is_conditional == conditional);
        legs.flat_map(|leg| leg.pods.iter().copied())
    }
}

/// Gateways by namespace and name.
pub type Gateways<'a> = FxHashSet<(&'a str, &'a str)>;

/// One state with its calls, which are followed when somebody asks.
#[derive(Debug)]
pub struct View<'a> {
    /// The effective model.
    pub mesh: Rc<Mesh<'a>>,
    scope: Option<Scope<'a>>,
    gateways: Rc<Gateways<'a>>,
    calls: OnceCell<BTreeMap<Entry, Call<'a>>>,
    doors: OnceCell<BTreeMap<Entry, Call<'a>>>,
    pods: OnceCell<FxHashMap<Key<'a>, WorkloadId>>,
}

impl<'a> View<'a> {
    /// A state; without a scope with all its calls. `gateways` are those that the input defines at some time;
    /// any other is taken to be there all the time.
    #[must_use]
    pub fn new(mesh: Rc<Mesh<'a>>, scope: Option<Scope<'a>>, gateways: Rc<Gateways<'a>>) -> Self {
        Self { mesh, scope, gateways, calls: OnceCell::new(), doors: OnceCell::new(), pods: OnceCell::new() }
    }

    /// Every call that is looked at.
    pub fn calls(&self) -> &BTreeMap<Entry, Call<'a>> {
        self.calls.get_or_init(|| {
            let mut calls = BTreeMap::new();
            of_gateways(&self.mesh, &self.gateways, self.scope.as_ref(), &mut calls);
            of_pods(&self.mesh, self.scope.as_ref(), &mut calls);
            calls
        })
    }

    /// The calls of Gateways, all of them.
    pub fn doors(&self) -> &BTreeMap<Entry, Call<'a>> {
        self.doors.get_or_init(|| {
            let mut calls = BTreeMap::new();
            of_gateways(&self.mesh, &self.gateways, None, &mut calls);
            calls
        })
    }

    /// Whether the configuration of pods names a host.
    #[must_use]
    pub fn names(&self, key: Key<'_>, host: &str) -> bool {
        let id =
            self.mesh.workloads.iter().find(|(_, workload)| workload.resource.key() == key).map(|(id, _)| id);
        id.is_some_and(|id| calls(&self.mesh, id).iter().any(|call| call.request.host == host))
    }

    /// The ready pods of an object.
    #[must_use]
    pub fn workload(&self, key: Key<'_>) -> Option<&Workload<'a>> {
        let pods = self.pods.get_or_init(|| {
            let all = self.mesh.workloads.iter().filter(|(_, workload)| has_pods(workload));
            all.map(|(id, workload)| (workload.resource.key(), id)).collect()
        });
        self.mesh.workloads.get(*pods.get(&key)?)
    }
}

fn of_gateways<'a>(
    mesh: &Mesh<'a>,
    gateways: &Gateways<'a>,
    scope: Option<&Scope<'a>>,
    calls: &mut BTreeMap<Entry, Call<'a>>,
) {
    let chosen = scope.map(|scope| looked_at(mesh, scope));
    // What takes every request comes last in a virtual host, and only the first such rule counts.
    let mut closed: FxHashSet<(Entry, RouteKind)> = FxHashSet::default();
    for service in mesh.routes.iter() {
        for binding in &service.bindings {
            let Binding::Gateway { namespace, name, .. } = binding else { continue };
            let gateway = mesh.gateways.get(namespace, name);
            if gateway.is_none() && gateways.contains(&(namespace.as_str(), name.as_str())) {
                continue;
            }
            let pod = gateway.and_then(|gateway| mesh.workloads.get(*gateway.workloads.first()?));
            let client =
                Client { namespace: pod.map(|pod| pod.namespace()), labels: pod.map(|pod| pod.labels) };
            let is_chosen = |host: &&Spanned<String>| {
                chosen.as_ref().is_none_or(|chosen| chosen.contains(&door(namespace, name, host)))
            };
            for host in service.hosts.iter().filter(is_chosen) {
                for door in mesh.doors(binding, host, service.namespace()) {
                    let port = door.listener.port.unwrap_or(0);
                    let entry = (format!("{namespace}/{name}"), host.value.clone(), port);
                    let mut legs = Vec::new();
                    let mut takes_all = None;
                    for kind in door.kinds.iter().copied() {
                        for rule in 0..service.count(kind) {
                            let sources = service.sources(kind, rule);
                            let reaches = |source: &&Source<'_>| {
                                source.reaches(kind, door.listener, service.namespace())
                            };
                            let own: Vec<&Source<'_>> = sources.iter().filter(reaches).collect();
                            if !sources.is_empty() && own.is_empty() {
                                continue;
                            }
                            let always = sources.is_empty() || own.iter().any(|source| source.unconditional);
                            if always && !closed.insert((entry.clone(), kind)) {
                                break;
                            }
                            for target in routed(mesh, service, kind, rule) {
                                let client = (client, ClientProxy::Gateway);
                                let mut leg = leg(mesh, client, service, target, door.listener.port);
                                leg.is_conditional = !always;
                                legs.push(leg);
                            }
                            if always {
                                let place = service
                                    .rule_span(kind, rule)
                                    .filter(|_| leads_on(mesh, service, kind, rule));
                                takes_all = takes_all.or(place.map(|span| (service.resource, span)));
                                break;
                            }
                        }
                    }
                    let call = calls.entry(entry).or_insert_with(|| Call {
                        caller: Caller::Gateway(gateway.map(|gateway| gateway.resource)),
                        who: format!("Gateway `{name}`"),
                        legs: Vec::new(),
                        is_bare: false,
                        takes_all: None,
                        namespace: client.namespace,
                    });
                    call.legs.extend(legs);
                    call.takes_all = call.takes_all.or(takes_all);
                }
            }
        }
    }
}

/// Whether a rule gives an answer that a visitor can use: its destinations', or a redirect.
fn leads_on<'a>(mesh: &Mesh<'a>, service: &VirtualService<'a>, kind: RouteKind, rule: usize) -> bool {
    let http = service.spec.http.get(rule).filter(|_| kind == RouteKind::Http);
    if let Some(http) = http {
        let abort = http.fault.get().and_then(|fault| fault.abort.get());
        let share = |percent: &Percent| percent.value.get().copied().unwrap_or(0.0);
        if abort.is_some_and(|abort| abort.percentage.get().is_some_and(|percent| share(percent) >= 100.0)) {
            return false;
        }
        if let Some(answer) = http.direct_response.get() {
            return answer.status.get().is_none_or(|status| *status < 400);
        }
        if http.redirect.is_some() || http.delegate.is_some() {
            return true;
        }
    }
    routed(mesh, service, kind, rule).next().is_some()
}

fn routed<'m, 'a>(
    mesh: &'m Mesh<'a>,
    service: &'m VirtualService<'a>,
    kind: RouteKind,
    rule: usize,
) -> impl Iterator<Item = &'m Target<'a>> {
    mesh.routes
        .targets_of_rule(service, kind, rule)
        .filter(|target| target.role == Role::Route && target.receives_requests())
}

fn of_pods<'a>(mesh: &Mesh<'a>, scope: Option<&Scope<'a>>, calls: &mut BTreeMap<Entry, Call<'a>>) {
    let hosts: Vec<&Host<'a>> = mesh.registry.iter().filter(|host| !host.is_alias()).collect();
    let mut blind: FxHashMap<*const Host<'a>, bool> = FxHashMap::default();
    // Pods of one namespace are led alike, unless rules go by their labels.
    let mut known: FxHashMap<(u32, &str, bool, *const Host<'a>), Vec<Leg<'a>>> = FxHashMap::default();
    for (id, caller) in mesh.workloads.iter().filter(|(_, caller)| has_pods(caller)) {
        let is_bare = matches!(caller.proxy, Proxy::None | Proxy::Ambient);
        let client = Client { namespace: Some(caller.namespace()), labels: Some(caller.labels) };
        let proxy = if is_bare { ClientProxy::None } else { ClientProxy::Sidecar };
        for host in &hosts {
            if !host.export_to.reaches(caller.namespace(), host.namespace())
                || scope.is_some_and(|scope| !scope.holds(host, caller))
            {
                continue;
            }
            let is_own = host.workloads.contains(&id);
            let is_blind =
                *blind.entry(std::ptr::from_ref(*host)).or_insert_with(|| ignores_labels(mesh, host));
            for port in host.ports.iter().filter(|port| port.protocol != Protocol::Udp) {
                let own = Own { caller, client, proxy, is_own };
                let legs = match is_own || !is_blind {
                    true => legs_of_pods(mesh, &own, host, port),
                    false => {
                        let kind = (port.number, caller.namespace(), is_bare, std::ptr::from_ref(*host));
                        known.entry(kind).or_insert_with(|| legs_of_pods(mesh, &own, host, port)).clone()
                    }
                };
                if legs.is_empty() {
                    continue;
                }
                let who = format!("{}/{}", caller.namespace(), caller.resource.name.value);
                calls.insert(
                    (format!("{} {who}", caller.resource.kind.value), host.name.clone(), port.number),
                    Call {
                        caller: Caller::Pods(caller.resource),
                        who: caller.resource.describe(),
                        legs,
                        is_bare,
                        takes_all: None,
                        namespace: client.namespace,
                    },
                );
            }
        }
    }
}

/// Pods that call, and whether the host that they call is theirs.
struct Own<'o, 'a> {
    caller: &'o Workload<'a>,
    client: Client<'o>,
    proxy: ClientProxy,
    is_own: bool,
}

fn legs_of_pods<'a>(mesh: &Mesh<'a>, own: &Own<'_, 'a>, host: &Host<'a>, port: &Port<'a>) -> Vec<Leg<'a>> {
    let Own { caller, client, proxy, is_own } = *own;
    let mut legs = Vec::new();
    let mut decided = false;
    for kind in route_kinds(port).iter().filter(|_| proxy != ClientProxy::None) {
        for (service, rule) in mesh.rules_of(caller, &host.name, *kind, port.number) {
            decided = true;
            let sources = service.sources(*kind, rule);
            let own: Vec<&Source<'_>> =
                sources.iter().filter(|s| s.admits(*kind, caller, port.number)).collect();
            // Pods hardly call themselves, unless a route says that they do.
            if is_own && own.iter().all(|source| source.labels.is_empty()) {
                continue;
            }
            let version =
                |source: &&Source<'a>| VERSION_LABELS.iter().find_map(|key| source.labels.text(key));
            for target in routed(mesh, service, *kind, rule) {
                let mut leg = leg(mesh, (client, proxy), service, target, Some(port.number));
                leg.is_conditional = !sources.is_empty() && !own.iter().any(|source| source.unconditional);
                leg.claim = own.iter().copied().find_map(|source| version(&source));
                legs.push(leg);
            }
        }
    }
    if !decided && !is_own {
        let end = end(mesh, (client, proxy), host, None, port);
        legs.push(Leg {
            route: None,
            port_span: None,
            host: host.name.clone(),
            subset: None,
            port: Some(port.number),
            fault: end.as_ref().err().copied(),
            pods: end.unwrap_or_default(),
            is_conditional: false,
            claim: None,
        });
    }
    legs
}

/// Whether all pods of a namespace get the same rules for a host: nothing goes by their labels.
fn ignores_labels(mesh: &Mesh<'_>, host: &Host<'_>) -> bool {
    let is_its = |service: &&VirtualService<'_>| service.hosts.iter().any(|own| matches(own, &host.name));
    mesh.destination_rules.iter().all(|rule| rule.selector().is_none())
        && mesh.routes.iter().filter(is_its).all(|service| {
            service
                .rules()
                .flat_map(|(kind, rule)| service.sources(kind, rule))
                .all(|source| source.labels.is_empty())
        })
}

fn leg<'a>(
    mesh: &Mesh<'a>,
    client: (Client<'_>, ClientProxy),
    service: &VirtualService<'a>,
    target: &Target<'a>,
    listener: Option<u32>,
) -> Leg<'a> {
    let subset = target.subset();
    let written = target.destination.value.port_number();
    let mut leg = Leg {
        route: Some((service.resource, subset.map_or(target.host_span, |subset| subset.span))),
        port_span: written.map(|port| port.span),
        host: target.host.clone(),
        subset: subset.map(|subset| subset.as_str()),
        port: written.map(|port| port.value),
        fault: None,
        pods: Vec::new(),
        is_conditional: false,
        claim: None,
    };
    let Some(host) = mesh.registry.find(&target.host, client.0.namespace) else {
        leg.fault = Some(Fault::NoHost);
        return leg;
    };
    if host.is_alias() {
        // What an external host does is not known; it is taken to answer.
        leg.port = leg.port.or_else(|| mesh.target_port(service, target, host));
        return leg;
    }
    let rules = leg.subset.map(|name| (name, mesh.destination(client.0, &host.name)));
    if rules.is_some_and(|(name, rules)| rules.is_none_or(|rules| rules.subset(name).is_none())) {
        leg.fault = Some(Fault::NoSubset);
    }
    // `GetDestinationCluster`: the lookup of a sidecar's http routes knows only hosts that have the listener's port.
    leg.port = leg.port.or_else(|| match (host.ports.as_slice(), listener) {
        ([only], _) if target.kind != RouteKind::Http || client.1 == ClientProxy::Gateway => {
            Some(only.number)
        }
        (_, Some(listener)) => Some(listener),
        (_, None) => mesh.target_port(service, target, host),
    });
    // A port that nobody can tell is taken to answer.
    let Some(number) = leg.port.filter(|_| leg.fault.is_none()) else { return leg };
    let Some(port) = host.port(number) else {
        leg.fault = Some(Fault::NoPort(number));
        return leg;
    };
    match end(mesh, client, host, leg.subset, port) {
        Ok(pods) => leg.pods = pods,
        Err(fault) => leg.fault = Some(fault),
    }
    leg
}

/// Whether a workload has any pods: it is not scaled to 0.
fn has_pods(workload: &Workload<'_>) -> bool {
    workload.template.replicas.get() != Some(&0)
}

/// The ready pods behind a port of a host or of one of its subsets; all of them for a host that selects none.
pub(super) fn ready<'m, 'a>(
    mesh: &'m Mesh<'a>,
    client: Client<'_>,
    host: &Host<'a>,
    subset: Option<&str>,
    port: &Port<'a>,
) -> Result<Vec<&'m Workload<'a>>, Fault<'a>> {
    let labels = match subset {
        None => None,
        Some(name) => {
            let rules = mesh.destination(client, &host.name);
            let found = rules.as_ref().and_then(|rules| rules.subset(name));
            Some(&found.ok_or(Fault::NoSubset)?.1.labels)
        }
    };
    let ids = match labels {
        Some(labels) => mesh.subset_workloads(host, labels),
        None => host.workloads.clone(),
    };
    let target = port.target_text();
    let pods = ids.into_iter().filter_map(|id| mesh.workloads.get(id));
    Ok(pods.filter(|pod| has_pods(pod) && may_listen(pod, &target)).collect())
}

fn end<'a>(
    mesh: &Mesh<'a>,
    client: (Client<'_>, ClientProxy),
    host: &Host<'a>,
    subset: Option<&str>,
    port: &Port<'a>,
) -> Result<Vec<&'a Resource>, Fault<'a>> {
    let pods = ready(mesh, client.0, host, subset, port)?;
    if pods.is_empty() {
        // Endpoints that no object of the input makes cannot be missing.
        return if host.selects_pods() { Err(Fault::NoPods) } else { Ok(Vec::new()) };
    }
    for pod in &pods {
        let answer = tls_check::answer(mesh, client, host, port, subset, Some(pod));
        if answer.status == Status::Conflict {
            let (policy, mode) = match answer.server {
                Server::Policy(decision) => (decision.by, Some(decision.mode)),
                Server::Bare | Server::Unknown => (None, None),
            };
            let setting = answer.client.by.map(|setting| (setting.resource, setting.span()));
            let sent = answer.client.sent;
            return Err(Fault::Tls { policy, setting, server: pod.resource, sent, mode });
        }
    }
    Ok(pods.into_iter().map(|pod| pod.resource).collect())
}
