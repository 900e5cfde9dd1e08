//! The mTLS table of one state: for every host and port, what each client sends, what the pods accept,
//! and the policy and DestinationRule that decide it. Knows nothing of how the table is printed.

mod crowds;
mod port;
#[cfg(test)]
mod tests;

use rustc_hash::FxHashMap;

use self::crowds::Crowds;
pub(crate) use self::port::answer;
use self::port::{Checked, Group};
use crate::mesh::Mesh;
use crate::mesh::destinations::{Client, ClientTlsSetting};
use crate::mesh::gateways::Gateway;
use crate::mesh::mtls::{ClientProxy, Sending, Sent};
use crate::mesh::registry::{Host, Port, Protocol};
use crate::mesh::security::Decision;
use crate::mesh::ways::{Router, Ways};
use crate::mesh::workloads::{Proxy, Workload};
use crate::resource::Resource;
use crate::route;
use crate::span::Span;

/// Who calls.
#[derive(Clone, Copy, Debug)]
pub enum Caller<'m, 'a> {
    /// A Gateway whose pods are not in the input: a proxy that sees what is exported at all.
    Gateway(&'m Gateway<'a>),
    /// Pods.
    Workload(&'m Workload<'a>),
    /// Any pod with a sidecar of a namespace, where the input has no caller.
    Namespace(&'a str),
}

impl<'m, 'a> Caller<'m, 'a> {
    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &'a str {
        match self {
            Self::Gateway(gateway) => gateway.resource.namespace(),
            Self::Workload(workload) => workload.namespace(),
            Self::Namespace(namespace) => namespace,
        }
    }

    /// `Gateway`, or the kind of the object that makes the pods; `Namespace` for any pod of one.
    #[must_use]
    pub fn kind(&self) -> &'a str {
        match self {
            Self::Gateway(gateway) => gateway.resource.kind.value.as_str(),
            Self::Workload(workload) => workload.resource.kind.value.as_str(),
            Self::Namespace(_) => "Namespace",
        }
    }

    /// The object's name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        match self {
            Self::Gateway(gateway) => gateway.resource.name.as_str(),
            Self::Workload(workload) => workload.resource.name.as_str(),
            Self::Namespace(namespace) => namespace,
        }
    }

    /// Whether DestinationRules and mTLS apply to its calls: it has Envoy, or nothing says that it has not.
    #[must_use]
    pub fn is_in_mesh(&self) -> bool {
        match self {
            Self::Workload(workload) => matches!(workload.proxy, Proxy::Sidecar | Proxy::Unknown),
            Self::Gateway(_) | Self::Namespace(_) => true,
        }
    }

    /// Whether ztunnel carries its calls.
    fn is_ambient(&self) -> bool {
        matches!(self, Self::Workload(workload) if workload.proxy == Proxy::Ambient)
    }

    /// What carries its calls; a pod of which nothing says has a sidecar.
    fn proxy(&self, mesh: &Mesh<'_>) -> ClientProxy {
        match self {
            Self::Gateway(_) => ClientProxy::Gateway,
            Self::Workload(workload) if mesh.gateways.has_pods_of(workload) => ClientProxy::Gateway,
            _ if self.is_in_mesh() => ClientProxy::Sidecar,
            _ => ClientProxy::None,
        }
    }

    /// Whose routes its calls take; `None` without a proxy.
    fn router(&self, mesh: &'m Mesh<'a>) -> Option<Router<'m, 'a>> {
        Some(match self {
            Self::Gateway(gateway) => {
                Router::Gateway { gateways: vec![gateway], namespace: None, labels: &gateway.spec.selector }
            }
            Self::Workload(workload) if mesh.gateways.has_pods_of(workload) => {
                let carries = |gateway: &&'m Gateway<'a>| {
                    let mut pods = gateway.workloads.iter().filter_map(|id| mesh.workloads.get(*id));
                    pods.any(|pod| pod.resource.span == workload.resource.span)
                };
                Router::Gateway {
                    gateways: mesh.gateways.iter().filter(carries).collect(),
                    namespace: Some(workload.namespace()),
                    labels: workload.labels,
                }
            }
            Self::Workload(workload) if self.is_in_mesh() => {
                Router::Sidecar { namespace: workload.namespace(), labels: Some(workload.labels) }
            }
            Self::Workload(_) => return None,
            Self::Namespace(namespace) => Router::Sidecar { namespace, labels: None },
        })
    }

    fn client(&self) -> Client<'m>
    where
        'a: 'm,
    {
        match self {
            Self::Gateway(_) => Client { namespace: None, labels: None },
            Self::Workload(workload) => {
                Client { namespace: Some(workload.namespace()), labels: Some(workload.labels) }
            }
            Self::Namespace(namespace) => Client { namespace: Some(namespace), labels: None },
        }
    }
}

/// The server's side of an answer.
#[derive(Clone, Copy, Debug)]
pub enum Server<'a> {
    /// A sidecar with this mode.
    Policy(Decision<'a>),
    /// The application itself, without a proxy.
    Bare,
    /// Nothing says: the pods are not in the input and no policy was written for them, two policies
    /// compete, or ambient handles the port.
    Unknown,
}

/// Whether the two sides meet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// The call is answered.
    Ok,
    /// The call cannot be answered: the sides differ in TLS.
    Conflict,
    /// The call cannot be answered: the route names a subset that the DestinationRule of the client does not have,
    /// so that nothing is sent at all (Envoy's flag is NC).
    NoSubset,
    /// One side is not known.
    Unknown,
}

/// What a client sends and who says so.
#[derive(Clone, Copy, Debug)]
pub struct Sends<'a> {
    /// What it sends; `None` for a mode that Istio does not know.
    pub sent: Option<Sent>,
    /// The DestinationRule's setting; `None` when auto mTLS decides, or the caller has no sidecar.
    pub by: Option<ClientTlsSetting<'a>>,
    /// Whether auto mTLS decides.
    pub automatic: bool,
    /// What decides, with what auto mTLS goes by.
    pub decided: Sending<'a>,
}

/// A subset that a route names and the client does not have; of several in a row the first.
#[derive(Clone, Copy, Debug)]
pub struct NoSubset<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where a route names it.
    pub span: Span,
    /// The DestinationRule that wins for the client, if there is one, and the host in it.
    pub rule: Option<(&'a Resource, Span)>,
}

/// One answer: status and both sides.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Whether they meet.
    pub status: Status,
    /// What the pods accept.
    pub server: Server<'a>,
    /// What the client sends.
    pub client: Sends<'a>,
    /// Why it sends nothing, for [`Status::NoSubset`].
    pub missing: Option<NoSubset<'a>>,
}

impl Answer<'_> {
    /// Whether both sides are the same and decided in the same place.
    fn is_same(&self, other: &Self) -> bool {
        let server = match (self.server, other.server) {
            (Server::Policy(a), Server::Policy(b)) => {
                a.mode == b.mode && a.by.map(|(_, span)| span) == b.by.map(|(_, span)| span)
            }
            (Server::Bare, Server::Bare) | (Server::Unknown, Server::Unknown) => true,
            _ => false,
        };
        let by = |client: &Sends<'_>| client.by.map(|setting| setting.span());
        let missing = |answer: &Self| answer.missing.map(|it| it.rule.map(|(_, span)| span));
        let decided = |answer: &Self| std::mem::discriminant(&answer.client.decided);
        server
            && missing(self) == missing(other)
            && decided(self) == decided(other)
            && self.client.sent == other.client.sent
            && self.client.automatic == other.client.automatic
            && by(&self.client) == by(&other.client)
    }
}

/// A line of the table: calls to one port that get the same answer.
#[derive(Debug)]
pub struct Row<'m, 'a> {
    /// The host.
    pub host: &'m Host<'a>,
    /// Its port.
    pub port: &'m Port<'a>,
    /// The answer.
    pub answer: Answer<'a>,
    /// Who gets it.
    pub clients: Vec<Caller<'m, 'a>>,
    /// Whether every client of the port gets this answer, from some pods at least.
    pub all_clients: bool,
    /// The subsets through which it is given; `None` for calls that name none.
    pub subsets: Vec<Option<&'a str>>,
    /// The pods that give it.
    pub workloads: Vec<&'m Workload<'a>>,
    /// Whether every pod and subset of the port gives this answer.
    pub all_servers: bool,
}

/// What is asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Question<'q> {
    /// Only hosts that this accepts: a full name, `service.namespace` or `service`, each with `:port` if
    /// only one port is meant.
    pub service: Option<&'q str>,
    /// Only this client: `name` or `namespace/name`, of pods or a Gateway. Of pods without a sidecar only those
    /// calls are listed that their configuration or a route tells of, unless they are asked for.
    pub from: Option<&'q str>,
}

/// The mTLS table.
#[derive(Debug, Default)]
pub struct Table<'m, 'a> {
    /// Its lines, by host and port.
    pub rows: Vec<Row<'m, 'a>>,
    /// What was asked for and has no line.
    pub left_out: Vec<LeftOut<'m, 'a>>,
    /// Pods without a sidecar of which nothing tells whom they call.
    pub silent: Vec<&'m Workload<'a>>,
}

/// A host, or one port of it, without a line in the table.
#[derive(Clone, Debug)]
pub struct LeftOut<'m, 'a> {
    /// The host.
    pub host: &'m Host<'a>,
    /// The port; `None` for all.
    pub port: Option<&'m Port<'a>>,
    /// Why.
    pub why: Why,
}

/// Why a host has no line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Why {
    /// Its pods are a gateway: what they accept is the Gateway's matter, not PeerAuthentication's.
    GatewayPods,
    /// `type: ExternalName`: calls go to another host.
    Alias,
    /// UDP, which the mesh does not carry.
    Udp,
    /// No port is declared.
    NoPorts,
    /// It is not exported to the client.
    Hidden,
    /// The client is a gateway, and no route of it leads there.
    NoRoute,
    /// Routes lead every call to it to other hosts.
    Elsewhere,
}

/// Everything that could call.
#[must_use]
pub fn callers<'m, 'a>(mesh: &'m Mesh<'a>) -> Vec<Caller<'m, 'a>> {
    let gateways = mesh.gateways.iter().filter(|gateway| gateway.workloads.is_empty()).map(Caller::Gateway);
    gateways.chain(mesh.workloads.iter().map(|(_, workload)| Caller::Workload(workload))).collect()
}

/// Whether a `--from` means a caller.
#[must_use]
pub fn means_caller(question: &str, caller: &Caller<'_, '_>) -> bool {
    match question.split_once('/') {
        Some((namespace, name)) => caller.namespace() == namespace && caller.name() == name,
        None => caller.name() == question,
    }
}

/// Whether a `--service` means a host, and the port if it says one.
#[must_use]
pub fn means_host(question: &str, host: &Host<'_>) -> Option<Option<u32>> {
    let (name, port) = match question.rsplit_once(':') {
        Some((name, port)) => (name, Some(port.parse().ok()?)),
        None => (question, None),
    };
    let rest = host.name.strip_prefix(name)?;
    let is_cut = rest.is_empty() || (rest.starts_with('.') && !host.is_external());
    is_cut.then_some(port)
}

/// The lines of the table.
#[must_use]
pub fn rows<'m, 'a>(mesh: &'m Mesh<'a>, question: Question<'_>) -> Vec<Row<'m, 'a>> {
    table(mesh, question).rows
}

/// The table.
#[must_use]
pub fn table<'m, 'a>(mesh: &'m Mesh<'a>, question: Question<'_>) -> Table<'m, 'a> {
    let all = callers(mesh);
    let mut found = Table::default();
    let mut bare: FxHashMap<(String, u32), Vec<Caller<'m, 'a>>> = FxHashMap::default();
    let asked: Vec<Caller<'m, 'a>> = match question.from {
        Some(from) => all.into_iter().filter(|caller| means_caller(from, caller)).collect(),
        None => {
            for (id, workload) in mesh.workloads.iter().filter(|(_, w)| w.proxy == Proxy::None) {
                let calls = route::calls(mesh, id);
                if calls.is_empty() {
                    found.silent.push(workload);
                }
                for call in calls {
                    let to = (call.request.host, call.request.port);
                    bare.entry(to).or_default().push(Caller::Workload(workload));
                }
            }
            all.into_iter().filter(Caller::is_in_mesh).collect()
        }
    };
    let ways = Ways::new(mesh);
    let crowds = Crowds::new(mesh, &asked);
    for host in mesh.registry.iter() {
        let number = match question.service {
            Some(service) => match means_host(service, host) {
                Some(number) => number,
                None => continue,
            },
            None => None,
        };
        let mut leave_out = |port, why| found.left_out.push(LeftOut { host, port, why });
        // The pods of a gateway do not go by PeerAuthentication: what they accept is the Gateway's matter.
        let mut pods = host.workloads.iter().filter_map(|id| mesh.workloads.get(*id)).peekable();
        let whole = if host.is_alias() {
            Some(Why::Alias)
        } else if pods.peek().is_some() && pods.all(|workload| mesh.gateways.has_pods_of(workload)) {
            Some(Why::GatewayPods)
        } else if host.ports.is_empty() {
            Some(Why::NoPorts)
        } else {
            None
        };
        if let Some(why) = whole {
            leave_out(None, why);
            continue;
        }
        let sees = |caller: &Caller<'m, 'a>| {
            matches!(caller, Caller::Gateway(_))
                || host.export_to.reaches(caller.namespace(), host.namespace())
        };
        let clients: Vec<Group<'m, 'a>> = crowds
            .of(mesh, &ways, host)
            .into_iter()
            .map(|crowd| crowd.into_iter().filter_map(|place| asked.get(place).copied()).collect())
            .filter(|group: &Group<'m, 'a>| group.first().is_some_and(&sees))
            .collect();
        for port in host.ports.iter().filter(|port| number.is_none_or(|number| number == port.number)) {
            if port.protocol == Protocol::Udp {
                leave_out(Some(port), Why::Udp);
                continue;
            }
            let checked = Checked::new(mesh, &ways, host, port);
            let mut groups = clients.clone();
            if question.from.is_none() && !groups.iter().any(|group| checked.is_called_by(group)) {
                groups = vec![vec![Caller::Namespace(host.namespace())]];
            }
            if let Some(callers) = bare.get(&(host.name.clone(), port.number)) {
                groups.push(callers.clone());
            }
            let rows = checked.rows(&groups);
            if rows.is_empty() {
                let groups = clients.as_slice();
                let is_gateway = |group: &Group<'m, 'a>| {
                    group.first().is_some_and(|caller| caller.proxy(mesh) == ClientProxy::Gateway)
                };
                let why = match groups {
                    [] if question.from.is_some() => Why::Hidden,
                    [] => Why::Elsewhere,
                    groups if groups.iter().all(is_gateway) => Why::NoRoute,
                    _ => Why::Elsewhere,
                };
                leave_out(Some(port), why);
            }
            found.rows.extend(rows);
        }
    }
    found
}
