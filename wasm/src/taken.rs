//! The way of a request in the graph: the ids of the nodes and edges that it takes, and of those where it fails. What
//! the graph does not have is added to it, for a request can be one that nothing in the manifests tells of. Knows both
//! models, nothing of JavaScript.

use coalmine::ResourceName;
use coalmine::graph::{Edge, EdgeKind, Graph, Id, Node, NodeKind, Way};
use coalmine::mesh::Mesh;
use coalmine::mesh::host::resolve_short_name;
use coalmine::route::{End, Followed, HopKind, Outcome, Path, Request, Source, Trace};

/// What a request takes. No id is in both lists.
#[derive(Default)]
pub(crate) struct Taken {
    /// Where it goes.
    pub taken: Vec<String>,
    /// The calls that get no answer, or not always, and what only they lead to.
    pub failed: Vec<String>,
}

impl Taken {
    /// The way of a request, and of the calls that pods make on behalf of it.
    pub(crate) fn of(mesh: &Mesh<'_>, request: &Request, trace: &Trace, calls: &[Followed]) -> Self {
        let mut walk = Walk { mesh, good: Vec::new(), bad: Vec::new(), bad_calls: Vec::new() };
        walk.request(request, trace);
        walk.onwards(calls);
        let Walk { mut good, mut bad, bad_calls, .. } = walk;
        // A call fails when any of it does; what it leads to only when nothing else reaches it.
        good.retain(|id| !bad_calls.contains(id));
        bad.retain(|id| !good.contains(id));
        bad.extend(bad_calls);
        let unique = |ids: Vec<Id>| {
            let mut known: Vec<String> = Vec::new();
            for Id(id) in ids {
                if !known.contains(&id) {
                    known.push(id);
                }
            }
            known
        };
        Self { taken: unique(good), failed: unique(bad) }
    }
}

struct Walk<'w, 'a> {
    mesh: &'w Mesh<'a>,
    good: Vec<Id>,
    bad: Vec<Id>,
    bad_calls: Vec<Id>,
}

impl Walk<'_, '_> {
    fn request(&mut self, request: &Request, trace: &Trace) {
        for path in &trace.paths {
            let asked = self.asked(request);
            if let Source::Workload { kind, namespace, name } = &request.from {
                let caller = self.client(kind, namespace, name);
                self.good.push(caller.clone());
                self.outcomes(&caller, &asked, path);
                continue;
            }
            let Some(gateway) = gateway(path) else { continue };
            let (outside, entry) = (Id::outside(), Id::edge(&Id::outside(), &gateway));
            self.good.push(outside);
            // The gateway itself answers that there is nothing: no line leads on from it.
            if path.outcomes.iter().any(|outcome| outcome.host.is_none() && is_failure(&outcome.end)) {
                self.bad_calls.push(entry);
                self.bad.push(gateway);
                continue;
            }
            self.good.extend([entry, gateway.clone()]);
            self.outcomes(&gateway, &asked, path);
        }
    }

    fn onwards(&mut self, calls: &[Followed]) {
        for call in calls {
            let caller = workload(&call.client.object);
            if let Ok(trace) = &call.trace {
                self.good.push(caller.clone());
                let asked = self.asked(&call.call.request);
                for path in &trace.paths {
                    self.outcomes(&caller, &asked, path);
                }
            }
            self.onwards(&call.calls);
        }
    }

    fn outcomes(&mut self, caller: &Id, asked: &Id, path: &Path) {
        for outcome in path.outcomes.iter().chain(&path.mirrors) {
            self.outcome(caller, asked, outcome);
        }
    }

    fn outcome(&mut self, caller: &Id, asked: &Id, outcome: &Outcome) {
        let fails = is_failure(&outcome.end);
        let called = match (&outcome.host, &outcome.subset) {
            // The host of a subset stands for the pods of all versions.
            (Some(host), Some((subset, _))) => Id::subset(host, subset),
            (Some(host), None) => Id::host(host),
            // No route leads on: the call fails on the way to what it asks for.
            (None, _) if fails => asked.clone(),
            (None, _) => return,
        };
        let call = Id::edge(caller, &called);
        if fails {
            self.bad_calls.push(call);
        } else {
            self.good.push(call);
        }
        for endpoint in &outcome.endpoints {
            let workload = workload(&endpoint.workload.object);
            let behind = [Id::edge(&called, &workload), workload];
            if fails || is_failure(&endpoint.end) {
                self.bad.extend(behind);
            } else {
                self.good.extend(behind);
            }
        }
        if fails { self.bad.push(called) } else { self.good.push(called) }
    }

    /// The host that is dialled.
    fn asked(&self, request: &Request) -> Id {
        let namespace = match &request.from {
            Source::Workload { namespace, .. } => Some(namespace.as_str()),
            _ => None,
        };
        let full = resolve_short_name(&request.host, namespace.unwrap_or_default(), &self.mesh.config.domain);
        let host = self.mesh.registry.find(&full, namespace);
        Id::host(host.map_or(full.as_str(), |host| &host.name))
    }

    /// A workload as its object writes it: a request may name the kind in any case.
    fn client(&self, kind: &str, namespace: &str, name: &str) -> Id {
        let own = self.mesh.workloads.iter().map(|(_, workload)| workload.resource).find(|resource| {
            resource.kind.value.eq_ignore_ascii_case(kind)
                && resource.namespace() == namespace
                && resource.name.value == name
        });
        Id::workload(own.map_or(kind, |resource| resource.kind.value.as_str()), namespace, name)
    }
}

fn is_failure(end: &End) -> bool {
    matches!(end, End::Failed(_))
}

fn gateway(path: &Path) -> Option<Id> {
    let listener = path.hops.iter().find(|hop| hop.kind == HopKind::Listener)?;
    let object = listener.object.as_ref().filter(|object| object.kind == "Gateway")?;
    Some(Id::gateway(object.namespace.as_deref().unwrap_or_default(), &object.name))
}

fn workload(object: &ResourceName) -> Id {
    Id::workload(&object.kind, object.namespace.as_deref().unwrap_or_default(), &object.name)
}

/// What the label of a call says that is drawn only because somebody asks.
const ASKED: &str = "this request";

/// Adds what a graph does not have of these ids: calls, hosts and workloads of a request that nothing in the
/// manifests tells of. Ids that mean nothing in this state are left out.
pub(crate) fn complete(graph: &mut Graph, ids: &[Id], mesh: &Mesh<'_>) {
    for id in ids {
        match id.0.split_once(" -> ") {
            Some((from, to)) => connect(graph, id, &Id(from.to_owned()), &Id(to.to_owned()), mesh),
            None => drop(ensure(graph, id, mesh)),
        }
    }
}

fn connect(graph: &mut Graph, id: &Id, from: &Id, to: &Id, mesh: &Mesh<'_>) {
    if graph.edges.iter().any(|edge| edge.id == *id) {
        return;
    }
    let (Some(caller), Some(called)) = (ensure(graph, from, mesh), ensure(graph, to, mesh)) else { return };
    let kind = match caller {
        NodeKind::Host | NodeKind::Subset => EdgeKind::Selects,
        _ => EdgeKind::Route,
    };
    let asked =
        Way { when: ASKED.to_owned(), weight: None, is_aborted: false, port: None, by: None, span: None };
    let called = graph.node(if called == NodeKind::Workload { from } else { to });
    let edge = Edge {
        span: called.and_then(|node| node.span),
        ways: if kind == EdgeKind::Route { vec![asked] } else { Vec::new() },
        ..Edge::new(from, to, kind)
    };
    graph.edges.push(edge);
}

/// The kind of a node, which is added when it can be.
fn ensure(graph: &mut Graph, id: &Id, mesh: &Mesh<'_>) -> Option<NodeKind> {
    if let Some(node) = graph.node(id) {
        return Some(node.kind);
    }
    let node = make(id, mesh)?;
    let kind = node.kind;
    graph.nodes.push(node);
    Some(kind)
}

fn make(id: &Id, mesh: &Mesh<'_>) -> Option<Node> {
    if let Some(name) = id.0.strip_prefix("host/") {
        return Some(Node::of_host(name, mesh.registry.find(name, None), &mesh.config.domain));
    }
    let mut workloads = mesh.workloads.iter().map(|(_, workload)| workload);
    workloads.find(|workload| Id::of_workload(workload) == *id).map(Node::of_workload)
}
