//! From the mesh to nodes and edges. Knows what Istio makes of the objects by asking the mesh; nothing of drawing.
//! Past 500 lines because every kind of node and edge is made here, by one builder that keeps each of them unique.

use rustc_hash::{FxHashMap, FxHashSet};

use super::calls::{Call, calls};
use super::tls::{Caller, between};
use super::{Edge, EdgeKind, Graph, Id, Node, NodeKind, Way, describe, islands};
use crate::mesh::Mesh;
use crate::mesh::destinations::Client;
use crate::mesh::gateways::Gateway;
use crate::mesh::listeners::Door;
use crate::mesh::mtls::ClientProxy;
use crate::mesh::reach::route_kinds;
use crate::mesh::registry::{Host, Port};
use crate::mesh::routes::{Binding, Role, RouteKind, Source, Target, VirtualService};
use crate::mesh::workloads::{Proxy, Workload, WorkloadId};
use crate::rule::name_of;
use crate::span::Span;

/// How deep VirtualServices may delegate: Istio allows one level.
const MAX_DELEGATION: u8 = 1;

pub(super) fn graph(mesh: &Mesh<'_>) -> Graph {
    let mut builder =
        Builder { mesh, graph: Graph::default(), nodes: FxHashMap::default(), edges: FxHashMap::default() };
    let calls = calls(mesh);
    builder.gateways();
    builder.calls(&calls);
    builder.mesh_clients(&calls);
    builder.servers();
    builder.selections();
    let mut graph = builder.graph;
    islands::assign(&mut graph);
    graph
}

struct Builder<'m, 'a> {
    mesh: &'m Mesh<'a>,
    graph: Graph,
    nodes: FxHashMap<Id, usize>,
    edges: FxHashMap<(Id, EdgeKindKey), usize>,
}

type EdgeKindKey = &'static str;

/// Who sends requests along the routes of a VirtualService.
#[derive(Clone, Copy)]
struct Sender<'s> {
    id: &'s Id,
    caller: Caller<'s>,
}

/// Which rules a sender gets, and what their conditions start with.
struct Table<'t, 'a> {
    service: &'t VirtualService<'a>,
    kind: RouteKind,
    applies: &'t dyn Fn(&VirtualService<'a>, &Source<'a>) -> bool,
    with_port: bool,
    prefix: String,
    /// The port that was called, for rules that name none.
    called: Option<u32>,
}

impl<'m, 'a> Builder<'m, 'a> {
    fn add(&mut self, id: &Id, make: impl FnOnce() -> Node) {
        if !self.nodes.contains_key(id) {
            self.nodes.insert(id.clone(), self.graph.nodes.len());
            self.graph.nodes.push(make());
        }
    }

    fn gateways(&mut self) {
        let mesh = self.mesh;
        for gateway in mesh.gateways.iter() {
            let id = Id::gateway(gateway.resource.namespace(), &gateway.resource.name);
            self.gateway(&id, gateway.resource.namespace(), &gateway.resource.name, Some(gateway));
        }
        for service in mesh.routes.iter() {
            for binding in &service.bindings {
                let Binding::Gateway { namespace, name, .. } = binding else { continue };
                let id = Id::gateway(namespace, name);
                let gateway = mesh.gateways.get(namespace, name);
                self.gateway(&id, namespace, name, gateway);
                let doors: Vec<Door<'_>> = service
                    .hosts
                    .iter()
                    .flat_map(|host| mesh.doors(binding, host, service.namespace()))
                    .collect();
                let kinds = RouteKind::ALL
                    .into_iter()
                    .filter(|kind| doors.iter().any(|door| door.kinds.contains(kind)));
                let pod = gateway.and_then(|g| g.workloads.first()).and_then(|id| mesh.workloads.get(*id));
                let client =
                    Client { namespace: pod.map(Workload::namespace), labels: pod.map(|pod| pod.labels) };
                let sender = Sender { id: &id, caller: Caller { client, proxy: Some(ClientProxy::Gateway) } };
                let first = doors.first().and_then(|door| door.listener.port);
                let several_ports = first.is_none() || doors.iter().any(|door| door.listener.port != first);
                let prefix = if self.gateway_has_several_hosts(namespace, name) {
                    hosts(service)
                } else {
                    String::new()
                };
                for kind in kinds {
                    let reaches = |service: &VirtualService<'a>, source: &Source<'a>| {
                        doors
                            .iter()
                            .filter(|door| door.kinds.contains(&kind))
                            .any(|door| source.reaches(kind, door.listener, service.namespace()))
                    };
                    let table = Table {
                        service,
                        kind,
                        applies: &reaches,
                        with_port: several_ports,
                        prefix: prefix.clone(),
                        called: None,
                    };
                    self.follow(sender, &table, 0);
                }
            }
        }
    }

    fn gateway_has_several_hosts(&self, namespace: &str, name: &str) -> bool {
        let bound = |service: &&VirtualService<'a>| {
            service.bindings.iter().any(|binding| {
                matches!(binding, Binding::Gateway { namespace: ns, name: own, .. } if ns == namespace && own == name)
            })
        };
        let hosts: FxHashSet<String> = self.mesh.routes.iter().filter(bound).map(hosts).collect();
        hosts.len() > 1
    }

    fn gateway(&mut self, id: &Id, namespace: &str, name: &str, gateway: Option<&Gateway<'a>>) {
        let outside = Id::outside();
        self.add(&outside, || Node { name: "Clients".to_owned(), ..Node::new(&outside, NodeKind::Client) });
        let mut facts = Vec::new();
        for server in gateway.iter().flat_map(|gateway| &gateway.spec.servers) {
            let port = server.port.get();
            let number =
                port.and_then(|port| port.number.get()).map(|n| format!(":{n} ")).unwrap_or_default();
            let protocol = port.map_or("", |port| port.protocol.text());
            let hosts: Vec<&str> = server.hosts.iter().map(|host| host.as_str()).collect();
            facts.push(format!("{number}{protocol} {}", hosts.join(", ")).trim().to_owned());
        }
        for filter in self.mesh.filters.iter().filter(|filter| filter.runs_at_gateways()) {
            let Some(gateway) = gateway else { continue };
            let pods = gateway.workloads.iter().filter_map(|id| self.mesh.workloads.get(*id));
            let runs = match gateway.workloads.is_empty() {
                true => filter.may_run_on(&gateway.spec.selector),
                false => pods.into_iter().any(|pod| filter.runs_on(pod, &self.mesh.config.root_namespace)),
            };
            if runs {
                let mut tags: Vec<&str> = filter.tags().map(|tag| tag.header).collect();
                tags.dedup();
                let sets = if tags.is_empty() { String::new() } else { format!(" sets {}", tags.join(", ")) };
                facts.push(format!("filter {}{sets}", filter.resource.name.value));
            }
        }
        let resource = gateway.map(|gateway| gateway.resource);
        self.add(id, || Node {
            name: name.to_owned(),
            namespace: Some(namespace.to_owned()),
            facts,
            resource: resource.map(name_of),
            span: resource.map(|resource| resource.name.span),
            is_missing: resource.is_none(),
            ..Node::new(id, NodeKind::Gateway)
        });
        let edge = Edge {
            span: resource.map(|resource| resource.name.span),
            ..Edge::new(&outside, id, EdgeKind::Route)
        };
        self.connect(edge, None);
    }

    /// Adds the edges of a route table, rule by rule, up to the first that every request takes. Answers whether
    /// any rule applies, and whether there is such a first.
    fn follow(&mut self, sender: Sender<'_>, table: &Table<'_, 'a>, depth: u8) -> (bool, bool) {
        let Table { service, kind, .. } = *table;
        let mut any = false;
        for rule in 0..service.count(kind) {
            let sources = service.sources(kind, rule);
            if !sources.is_empty() && !sources.iter().any(|source| (table.applies)(service, source)) {
                continue;
            }
            let words = describe::rule(service, kind, rule, &sources, table.with_port, |source| {
                (table.applies)(service, source)
            });
            let is_last = words.is_empty();
            let words = if is_last && any { "otherwise".to_owned() } else { words };
            let when = [table.prefix.as_str(), &words].join(" ").trim().to_owned();
            any = true;
            let targets: Vec<&Target<'a>> = self.mesh.routes.targets_of_rule(service, kind, rule).collect();
            for target in targets {
                self.target(sender, table, target, &when);
            }
            if depth < MAX_DELEGATION && kind == RouteKind::Http {
                self.delegate(sender, table, rule, &when, depth);
            }
            if is_last {
                return (any, true);
            }
        }
        (any, false)
    }

    fn delegate(&mut self, sender: Sender<'_>, table: &Table<'_, 'a>, rule: usize, when: &str, depth: u8) {
        let own = table.service;
        let Some(delegate) = own.spec.http.get(rule).and_then(|rule| rule.delegate.get()) else { return };
        let Some(service) = self.mesh.routes.delegate_of(own, delegate) else { return };
        let table = Table {
            service,
            kind: table.kind,
            applies: table.applies,
            with_port: table.with_port,
            prefix: when.to_owned(),
            called: table.called,
        };
        self.follow(sender, &table, depth.saturating_add(1));
    }

    fn target(&mut self, sender: Sender<'_>, table: &Table<'_, 'a>, target: &Target<'a>, when: &str) {
        let mesh = self.mesh;
        let client = sender.caller.client;
        let host = mesh.registry.find(&target.host, client.namespace);
        let port = host.and_then(|host| {
            let certain = mesh.target_port(table.service, target, host);
            certain.or(table.called.filter(|number| host.port(*number).is_some()))
        });
        let host_id = self.host(&target.host, host, target.host_span);
        let subset = target.subset();
        let to = match subset {
            Some(name) => self.subset(sender.caller.client, &target.host, host, name.as_str(), name.span),
            None => host_id,
        };
        let pods = self.pods(client, host, subset.map(|name| name.as_str()));
        let tls = host.zip(port).and_then(|(host, number)| {
            let port = host.port(number)?;
            between(mesh, sender.caller, host, subset.map(|name| name.as_str()), port, &pods)
        });
        let way = Way {
            when: when.to_owned(),
            is_aborted: is_aborted(table.service, target),
            weight: (target.siblings > 1).then_some(target.weight.unwrap_or(0)),
            port,
            by: Some(name_of(table.service.resource)),
            span: Some(subset.map_or(target.host_span, |subset| subset.span)),
        };
        let kind = if target.role == Role::Mirror { EdgeKind::Mirror } else { EdgeKind::Route };
        let edge =
            Edge { ways: vec![way], span: Some(target.destination.span), ..Edge::new(sender.id, &to, kind) };
        self.connect(edge, tls);
    }

    fn pods(&self, client: Client<'_>, host: Option<&Host<'a>>, subset: Option<&str>) -> Vec<WorkloadId> {
        let Some(host) = host else { return Vec::new() };
        match subset {
            None => host.workloads.clone(),
            Some(name) => self
                .mesh
                .destination(client, &host.name)
                .and_then(|rules| rules.subset(name))
                .map(|(_, subset)| self.mesh.subset_workloads(host, &subset.labels))
                .unwrap_or_default(),
        }
    }

    fn calls(&mut self, calls: &[Call<'m, 'a>]) {
        let mesh = self.mesh;
        for call in calls {
            let id = self.workload(call.client);
            let client =
                Client { namespace: Some(call.client.namespace()), labels: Some(call.client.labels) };
            let proxy = match call.client.proxy {
                Proxy::Sidecar => Some(ClientProxy::Sidecar),
                Proxy::None => Some(ClientProxy::None),
                Proxy::Ambient | Proxy::Unknown => None,
            };
            let sender = Sender { id: &id, caller: Caller { client, proxy } };
            let host = call.host;
            let routed = matches!(call.client.proxy, Proxy::Sidecar | Proxy::Unknown);
            let port = call.port;
            let mut decided = false;
            for kind in route_kinds(port).iter().filter(|_| routed) {
                for service in mesh.routes.serving(call.client.namespace(), &host.name, *kind) {
                    let table = Table {
                        service,
                        kind: *kind,
                        applies: &|_, source| source.admits(*kind, call.client, port.number),
                        with_port: false,
                        prefix: String::new(),
                        called: Some(port.number),
                    };
                    let (any, is_closed) = self.follow(sender, &table, 0);
                    decided |= any;
                    if is_closed {
                        break;
                    }
                }
            }
            if !decided {
                self.plain(sender, host, port, call.span);
            }
        }
    }

    /// A call that no route decides: any pod of the Service answers.
    fn plain(&mut self, sender: Sender<'_>, host: &'m Host<'a>, port: &Port<'a>, span: Span) {
        let to = self.host(&host.name, Some(host), span);
        let tls = between(self.mesh, sender.caller, host, None, port, &host.workloads);
        let way = Way {
            when: String::new(),
            weight: None,
            is_aborted: false,
            port: Some(port.number),
            by: None,
            span: Some(span),
        };
        self.connect(
            Edge { ways: vec![way], span: Some(span), ..Edge::new(sender.id, &to, EdgeKind::Route) },
            tls,
        );
    }

    /// Routes of the mesh that nobody in the input is known to use.
    fn mesh_clients(&mut self, calls: &[Call<'m, 'a>]) {
        let mesh = self.mesh;
        let called: FxHashSet<&str> = calls.iter().map(|call| call.host.name.as_str()).collect();
        for service in mesh.routes.iter().filter(|service| service.is_mesh()) {
            let is_used = service.hosts.iter().any(|host| called.contains(host.as_str()));
            if is_used || service.hosts.is_empty() {
                continue;
            }
            let id = Id::mesh();
            let client = Client { namespace: Some(service.namespace()), labels: None };
            let sender = Sender { id: &id, caller: Caller { client, proxy: Some(ClientProxy::Sidecar) } };
            let hosts: Vec<&Host<'a>> = service
                .hosts
                .iter()
                .filter_map(|name| mesh.registry.find(name, Some(service.namespace())))
                .collect();
            let kinds = RouteKind::ALL.into_iter().filter(|kind| {
                hosts.is_empty()
                    || hosts.iter().flat_map(|host| &host.ports).any(|port| route_kinds(port).contains(kind))
            });
            for kind in kinds.filter(|kind| service.count(*kind) > 0) {
                self.add(&id, || Node {
                    name: "Mesh".to_owned(),
                    facts: vec!["any pod with a sidecar".to_owned()],
                    ..Node::new(&id, NodeKind::Client)
                });
                let in_mesh = |service: &VirtualService<'a>, source: &Source<'a>| {
                    service.source_allows(source, &Binding::Mesh)
                };
                let table = Table {
                    service,
                    kind,
                    applies: &in_mesh,
                    with_port: true,
                    prefix: String::new(),
                    called: None,
                };
                self.follow(sender, &table, 0);
            }
        }
    }

    /// Hosts with pods that no route leads to, and subsets that nothing names.
    fn servers(&mut self) {
        let mesh = self.mesh;
        for host in mesh.registry.iter() {
            let id = Id::host(&host.name);
            // A gateway's pods are drawn as the Gateway, whether one selects them yet or not.
            let mut pods = host.workloads.iter().filter_map(|id| mesh.workloads.get(*id));
            let has_pods = pods.any(|pod| !mesh.gateways.has_pods_of(pod));
            if !has_pods && !self.nodes.contains_key(&id) {
                continue;
            }
            self.host(&host.name, Some(host), host.resource.name.span);
            for workload in host.workloads.iter().filter_map(|id| mesh.workloads.get(*id)) {
                self.workload(workload);
            }
            let client = Client { namespace: Some(host.namespace()), labels: None };
            for (_, subset) in mesh.destination(client, &host.name).iter().flat_map(|rules| rules.subsets()) {
                if let Some(name) = subset.name.as_ref() {
                    self.subset(client, &host.name, Some(host), name.as_str(), name.span);
                }
            }
        }
    }

    /// Which subsets a host has and which pods they select.
    fn selections(&mut self) {
        let mesh = self.mesh;
        let called: FxHashSet<Id> = self.graph.edges.iter().map(|edge| edge.to.clone()).collect();
        let hosts: Vec<&Host<'a>> =
            mesh.registry.iter().filter(|host| self.nodes.contains_key(&Id::host(&host.name))).collect();
        let mut subsets: FxHashMap<String, Vec<(Id, String, Option<Span>)>> = FxHashMap::default();
        for node in self.graph.nodes.iter().filter(|node| node.kind == NodeKind::Subset) {
            let host = node.id.0.strip_prefix("subset/").and_then(|rest| rest.strip_suffix(&node.name));
            let own = subsets.entry(host.unwrap_or_default().trim_end_matches('/').to_owned()).or_default();
            own.push((node.id.clone(), node.name.clone(), node.span));
        }
        for host in hosts {
            let id = Id::host(&host.name);
            let mut selected: FxHashSet<WorkloadId> = FxHashSet::default();
            for (subset, name, span) in subsets.remove(&host.name).unwrap_or_default() {
                self.connect(Edge { span, ..Edge::new(&id, &subset, EdgeKind::Selects) }, None);
                // A subset that only the rules of some client define is looked up as the host's own namespace sees it.
                let client = Client { namespace: Some(host.namespace()), labels: None };
                for pod in self.pods(client, Some(host), Some(&name)) {
                    selected.insert(pod);
                    self.select(&subset, pod, span);
                }
            }
            for pod in host.workloads.iter().copied() {
                if called.contains(&id) || !selected.contains(&pod) {
                    self.select(&id, pod, Some(host.resource.name.span));
                }
            }
        }
    }

    fn select(&mut self, from: &Id, pod: WorkloadId, span: Option<Span>) {
        let Some(workload) = self.mesh.workloads.get(pod) else { return };
        let to = self.workload(workload);
        self.connect(Edge { span, ..Edge::new(from, &to, EdgeKind::Selects) }, None);
    }

    fn host(&mut self, name: &str, host: Option<&Host<'a>>, span: Span) -> Id {
        // A wildcard of a ServiceEntry answers for many names; the picture shows the one that is called.
        let id = Id::host(name);
        let domain = &self.mesh.config.domain;
        self.add(&id, || {
            let node = Node::of_host(name, host, domain);
            Node { span: node.span.or(Some(span)), ..node }
        });
        id
    }

    fn subset(
        &mut self,
        client: Client<'_>,
        full: &str,
        host: Option<&Host<'a>>,
        name: &str,
        span: Span,
    ) -> Id {
        let id = Id::subset(full, name);
        let found = self.mesh.destination(client, full).and_then(|rules| rules.subset(name));
        let labels = found.map(|(_, subset)| subset.labels.describe()).unwrap_or_default();
        self.add(&id, || Node {
            name: name.to_owned(),
            namespace: host.map(|host| host.namespace().to_owned()),
            facts: if labels.is_empty() { Vec::new() } else { vec![labels] },
            resource: found.map(|(rule, _)| name_of(rule.resource)),
            span: Some(found.and_then(|(_, subset)| subset.name.span()).unwrap_or(span)),
            is_missing: found.is_none(),
            ..Node::new(&id, NodeKind::Subset)
        });
        id
    }

    fn workload(&mut self, workload: &Workload<'a>) -> Id {
        let id = Id::of_workload(workload);
        self.add(&id, || Node::of_workload(workload));
        id
    }

    /// Adds an edge, or its ways to the edge that is there.
    fn connect(&mut self, edge: Edge, tls: Option<(super::Tls, String)>) {
        let key = (edge.id.clone(), edge.kind.as_str());
        let index = *self.edges.entry(key).or_insert_with(|| {
            self.graph.edges.push(Edge { ways: Vec::new(), ..edge.clone() });
            self.graph.edges.len() - 1
        });
        let Some(known) = self.graph.edges.get_mut(index) else { return };
        for way in edge.ways {
            let same = |other: &Way| {
                (&other.when, other.weight, other.is_aborted, other.port)
                    == (&way.when, way.weight, way.is_aborted, way.port)
            };
            if !known.ways.iter().any(same) {
                known.ways.push(way);
            }
        }
        if let Some((tls, reason)) = tls
            && known.tls.is_none_or(|own| tls > own)
        {
            known.tls = Some(tls);
            known.tls_reason = reason;
        }
    }
}

/// Whether a rule answers every request with an error of its own.
fn is_aborted(service: &VirtualService<'_>, target: &Target<'_>) -> bool {
    let rule = service.spec.http.get(target.rule).filter(|_| target.kind == RouteKind::Http);
    let abort = rule.and_then(|rule| rule.fault.get()?.abort.get());
    let share = abort.and_then(|abort| abort.percentage.get()?.value.get().copied());
    share.is_some_and(|share| share >= 100.0)
}

fn hosts(service: &VirtualService<'_>) -> String {
    service.hosts.iter().map(|host| host.value.as_str()).collect::<Vec<_>>().join(", ")
}
