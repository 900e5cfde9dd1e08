//! One port of a host and how calls to it end: through which subset, at which pods, and whether the TLS of both sides
//! meets. Knows nothing of what was asked.

use super::{Answer, Caller, NoSubset, Row, Sends, Server, Status};
use crate::mesh::Mesh;
use crate::mesh::destinations::{Client, Effective};
use crate::mesh::mtls::{Accepts, ClientProxy, Sending, Sent};
use crate::mesh::registry::{Host, Port};
use crate::mesh::routes::Target;
use crate::mesh::ways::Ways;
use crate::mesh::workloads::Workload;
use crate::span::Span;

/// Callers that get the same answers from a host.
pub(super) type Group<'m, 'a> = Vec<Caller<'m, 'a>>;

/// One way of a group of callers to some pods, or to a host whose pods are not known.
struct Unit<'m, 'a> {
    group: usize,
    subset: Option<&'a str>,
    workload: Option<&'m Workload<'a>>,
    answer: Answer<'a>,
}

/// A port that is called.
pub(super) struct Checked<'w, 'm, 'a> {
    mesh: &'m Mesh<'a>,
    ways: &'w Ways<'m, 'a>,
    host: &'m Host<'a>,
    port: &'m Port<'a>,
    /// The pods behind it and what they accept.
    pods: Vec<(&'m Workload<'a>, Server<'a>)>,
}

impl<'w, 'm, 'a> Checked<'w, 'm, 'a> {
    pub(super) fn new(
        mesh: &'m Mesh<'a>,
        ways: &'w Ways<'m, 'a>,
        host: &'m Host<'a>,
        port: &'m Port<'a>,
    ) -> Self {
        let pods = all_pods(mesh, host, port);
        let pods = pods.into_iter().map(|pod| (pod, server(mesh, host, port, Some(pod)))).collect();
        Self { mesh, ways, host, port, pods }
    }

    /// Whether some route leads callers here.
    pub(super) fn is_called_by(&self, group: &Group<'m, 'a>) -> bool {
        group.first().is_some_and(|caller| match caller.router(self.mesh) {
            Some(router) => !self.ways.of(&router, self.host, self.port).is_empty(),
            None => true,
        })
    }

    pub(super) fn rows(&self, clients: &[Group<'m, 'a>]) -> Vec<Row<'m, 'a>> {
        let mut units = Vec::new();
        for (index, group) in clients.iter().enumerate() {
            let Some(caller) = group.first() else { continue };
            self.units(index, caller, &mut units);
        }
        let mut reached: Vec<usize> = units.iter().map(|unit| unit.group).collect();
        reached.dedup();
        let mut groups: Vec<Vec<Unit<'m, 'a>>> = Vec::new();
        for unit in units {
            let same =
                groups.iter_mut().find(|g| g.first().is_some_and(|first| first.answer.is_same(&unit.answer)));
            match same {
                Some(group) => group.push(unit),
                None => groups.push(vec![unit]),
            }
        }
        let way = |unit: &Unit<'m, 'a>| (unit.subset, unit.workload.map(|w| w.resource.span));
        let mut ways: Vec<_> = groups.iter().flatten().map(way).collect();
        ways.sort_unstable();
        ways.dedup();
        groups.into_iter().filter_map(|group| self.row(group, clients, reached.len(), &ways)).collect()
    }

    fn row(
        &self,
        group: Vec<Unit<'m, 'a>>,
        clients: &[Group<'m, 'a>],
        reached: usize,
        ways: &[(Option<&'a str>, Option<Span>)],
    ) -> Option<Row<'m, 'a>> {
        let answer = group.first()?.answer;
        let mut numbers: Vec<usize> = group.iter().map(|unit| unit.group).collect();
        numbers.dedup();
        let mut own: Vec<_> =
            group.iter().map(|unit| (unit.subset, unit.workload.map(|w| w.resource.span))).collect();
        own.sort_unstable();
        own.dedup();
        let mut subsets: Vec<Option<&str>> = group.iter().map(|unit| unit.subset).collect();
        subsets.sort_unstable();
        subsets.dedup();
        let mut workloads: Vec<&'m Workload<'a>> = group.iter().filter_map(|unit| unit.workload).collect();
        workloads.sort_by_key(|workload| workload.resource.span);
        workloads.dedup_by_key(|workload| workload.resource.span);
        Some(Row {
            host: self.host,
            port: self.port,
            answer,
            all_clients: numbers.len() == reached,
            clients: numbers.into_iter().filter_map(|index| clients.get(index)).flatten().copied().collect(),
            subsets,
            workloads,
            // A way that does not exist leads to none of the pods.
            all_servers: own == ways && answer.missing.is_none(),
        })
    }

    /// How the calls of a caller end.
    fn units(&self, group: usize, caller: &Caller<'m, 'a>, units: &mut Vec<Unit<'m, 'a>>) {
        let (mesh, host, port) = (self.mesh, self.host, self.port);
        let effective = mesh.destination(caller.client(), &host.name).unwrap_or_default();
        let ways = match caller.router(mesh) {
            Some(router) => self.ways.of(&router, host, port),
            None => vec![None],
        };
        for way in ways {
            let subset = way.and_then(|(_, target)| target.subset()).map(|name| name.as_str());
            let setting = effective.client_tls(port.number, subset);
            let sending = mesh.sending(caller.proxy(mesh), setting, host);
            let mut add = |workload, mut answer: Answer<'a>| {
                if caller.is_ambient() {
                    // ztunnel speaks mTLS with what is in the mesh, and plaintext otherwise.
                    answer.status = Status::Unknown;
                    answer.client.sent = None;
                }
                units.push(Unit { group, subset, workload, answer });
            };
            let defined = subset.map(|name| effective.subset(name).map(|(_, subset)| &subset.labels));
            let selected = match defined {
                Some(None) => {
                    add(None, no_subset(&effective, way.map(|(_, target)| target), sending));
                    continue;
                }
                Some(Some(labels)) => Some(mesh.subset_workloads(host, labels)),
                None => None,
            };
            let is_behind = |workload: &Workload<'a>| {
                selected.as_ref().is_none_or(|ids| {
                    let mut pods = ids.iter().filter_map(|id| mesh.workloads.get(*id));
                    pods.any(|pod| pod.resource.span == workload.resource.span)
                })
            };
            let mut is_known = false;
            for (workload, server) in self.pods.iter().filter(|(workload, _)| is_behind(workload)) {
                is_known = true;
                add(Some(*workload), meet(host, *server, sending));
            }
            // A subset whose pods listen elsewhere has nothing to say about this port.
            if !is_known && (host.workloads.is_empty() || subset.is_none()) {
                add(None, meet(host, server(mesh, host, port, None), sending));
            }
        }
    }
}

/// The answer to calls through a subset that the client does not have.
fn no_subset<'a>(
    effective: &Effective<'_, 'a>,
    target: Option<&Target<'a>>,
    decided: Sending<'a>,
) -> Answer<'a> {
    let name = target.and_then(Target::subset);
    let missing = name.map(|name| NoSubset {
        name: name.as_str(),
        span: name.span,
        rule: effective.first().map(|rule| (rule.resource, rule.host_span)),
    });
    let client = Sends { sent: None, by: None, automatic: false, decided };
    Answer { status: Status::NoSubset, server: Server::Unknown, client, missing }
}

/// How a call of a client ends: at some pods, or at a host whose pods are not known.
pub(crate) fn answer<'a>(
    mesh: &Mesh<'a>,
    (client, proxy): (Client<'_>, ClientProxy),
    host: &Host<'a>,
    port: &Port<'a>,
    subset: Option<&str>,
    workload: Option<&Workload<'a>>,
) -> Answer<'a> {
    let effective = mesh.destination(client, &host.name).unwrap_or_default();
    let setting = effective.client_tls(port.number, subset);
    meet(host, server(mesh, host, port, workload), mesh.sending(proxy, setting, host))
}

fn meet<'a>(host: &Host<'a>, server: Server<'a>, sending: Sending<'a>) -> Answer<'a> {
    let client = sends(sending, server);
    Answer { status: status(host, server, &client), server, client, missing: None }
}

/// The pods behind a port. When only some of them declare the port, the others do not listen.
fn all_pods<'m, 'a>(mesh: &'m Mesh<'a>, host: &Host<'a>, port: &Port<'a>) -> Vec<&'m Workload<'a>> {
    let target = port.target_text();
    let declares = |workload: &Workload<'a>| workload.container_port(&target).is_some();
    let pods: Vec<&Workload<'a>> = host.workloads.iter().filter_map(|id| mesh.workloads.get(*id)).collect();
    let is_declared = pods.iter().any(|workload| declares(workload));
    pods.into_iter()
        .filter(|workload| !is_declared || !workload.declares_ports() || declares(workload))
        .collect()
}

fn server<'a>(
    mesh: &Mesh<'a>,
    host: &Host<'a>,
    port: &Port<'a>,
    workload: Option<&Workload<'a>>,
) -> Server<'a> {
    let Some(workload) = workload else {
        let decision = mesh.peer_authentications.of_namespace(host.namespace());
        let is_ours = !host.is_external() && decision.by.is_some();
        return match host.is_external() {
            true => Server::Bare,
            false if is_ours => Server::Policy(decision),
            false => Server::Unknown,
        };
    };
    match mesh.accepts(workload, port) {
        Some(Accepts::Policy(decision)) => Server::Policy(decision),
        Some(Accepts::Application) => Server::Bare,
        None => Server::Unknown,
    }
}

/// What a caller sends to some pods.
fn sends<'a>(sending: Sending<'a>, server: Server<'a>) -> Sends<'a> {
    let accepts = match server {
        Server::Policy(decision) => Some(Accepts::Policy(decision)),
        Server::Bare => Some(Accepts::Application),
        Server::Unknown => None,
    };
    let by = sending.setting();
    let own = by.is_some_and(|setting| setting.mode() == "MUTUAL").then_some(Sent::OwnCertificate);
    Sends {
        sent: sending.to(accepts).or(own),
        by,
        automatic: matches!(sending, Sending::Auto(_)),
        decided: sending,
    }
}

fn status(host: &Host<'_>, server: Server<'_>, client: &Sends<'_>) -> Status {
    let accepts = match server {
        Server::Policy(decision) => Accepts::Policy(decision),
        Server::Bare => Accepts::Application,
        // Auto mTLS goes by what the endpoint turns out to be.
        Server::Unknown if client.automatic => return Status::Ok,
        Server::Unknown => return Status::Unknown,
    };
    let Some(sent) = client.sent else { return Status::Unknown };
    // Outside the mesh nobody here knows what is accepted.
    if host.is_external() && sent == Sent::IstioMutual {
        return Status::Unknown;
    }
    // A certificate that a DestinationRule names may be Istio's own.
    let may_be_istios =
        sent == Sent::OwnCertificate && client.by.is_some_and(|setting| Sent::by(&setting).is_none());
    match accepts.can_answer(sent) {
        true => Status::Ok,
        false if may_be_istios => Status::Unknown,
        false => Status::Conflict,
    }
}
