//! The mTLS table of one state: for every host and port, what each client sends, what the pods accept,
//! and the policy and DestinationRule that decide it. Knows nothing of how the table is printed.

use crate::mesh::Mesh;
use crate::mesh::destinations::{Client, ClientTlsSetting};
use crate::mesh::gateways::Gateway;
use crate::mesh::mtls::{Accepts, ClientProxy, Sending, Sent, Servers};
use crate::mesh::registry::{Host, Port, Protocol};
use crate::mesh::security::Decision;
use crate::mesh::workloads::{Proxy, Workload};

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

    /// What carries its calls; a pod of which nothing says has a sidecar.
    fn proxy(&self, mesh: &Mesh<'_>) -> ClientProxy {
        match self {
            Self::Gateway(_) => ClientProxy::Gateway,
            Self::Workload(workload) if mesh.gateways.has_pods_of(workload) => ClientProxy::Gateway,
            _ if self.is_in_mesh() => ClientProxy::Sidecar,
            _ => ClientProxy::None,
        }
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
        server
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
    /// Only this client: `name` or `namespace/name`, of pods or a Gateway. Pods without a sidecar are listed
    /// only when asked for.
    pub from: Option<&'q str>,
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

/// The table.
#[must_use]
pub fn rows<'m, 'a>(mesh: &'m Mesh<'a>, question: Question<'_>) -> Vec<Row<'m, 'a>> {
    let servers = Servers::new(mesh);
    let mut found = Vec::new();
    let all = callers(mesh);
    let asked: Vec<Caller<'m, 'a>> = match question.from {
        Some(from) => all.into_iter().filter(|caller| means_caller(from, caller)).collect(),
        None => all.into_iter().filter(Caller::is_in_mesh).collect(),
    };
    for host in mesh.registry.iter().filter(|host| !host.is_alias()) {
        let number = match question.service {
            Some(service) => match means_host(service, host) {
                Some(number) => number,
                None => continue,
            },
            None => None,
        };
        // The pods of a gateway do not go by PeerAuthentication: what they accept is the Gateway's matter.
        let mut pods = host.workloads.iter().filter_map(|id| mesh.workloads.get(*id)).peekable();
        if pods.peek().is_some() && pods.all(|workload| mesh.gateways.has_pods_of(workload)) {
            continue;
        }
        let sees = |caller: &Caller<'m, 'a>| {
            matches!(caller, Caller::Gateway(_))
                || host.export_to.reaches(caller.namespace(), host.namespace())
        };
        let mut clients: Vec<Caller<'m, 'a>> = asked.iter().copied().filter(sees).collect();
        if clients.is_empty() && question.from.is_none() {
            clients.push(Caller::Namespace(host.namespace()));
        }
        let is_asked = |port: &&Port<'a>| {
            port.protocol != Protocol::Udp && number.is_none_or(|number| number == port.number)
        };
        for port in host.ports.iter().filter(is_asked) {
            found.extend(of_port(&servers, mesh, host, port, &clients));
        }
    }
    found
}

/// One way of one client to some pods, or to a host whose pods are not known.
struct Unit<'m, 'a> {
    client: usize,
    subset: Option<&'a str>,
    workload: Option<&'m Workload<'a>>,
    answer: Answer<'a>,
}

fn of_port<'m, 'a>(
    servers: &Servers<'m, 'a>,
    mesh: &'m Mesh<'a>,
    host: &'m Host<'a>,
    port: &'m Port<'a>,
    clients: &[Caller<'m, 'a>],
) -> Vec<Row<'m, 'a>> {
    let mut units = Vec::new();
    for (index, caller) in clients.iter().enumerate() {
        units.extend(of_client(servers, mesh, host, port, index, caller));
    }
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
    let mut rows = Vec::new();
    for group in groups {
        let Some(answer) = group.first().map(|unit| unit.answer) else { continue };
        let mut numbers: Vec<usize> = group.iter().map(|unit| unit.client).collect();
        numbers.dedup();
        let mut own: Vec<_> = group.iter().map(way).collect();
        own.sort_unstable();
        own.dedup();
        let mut subsets: Vec<Option<&str>> = group.iter().map(|unit| unit.subset).collect();
        subsets.sort_unstable();
        subsets.dedup();
        let mut workloads: Vec<&'m Workload<'a>> = group.iter().filter_map(|unit| unit.workload).collect();
        workloads.sort_by_key(|workload| workload.resource.span);
        workloads.dedup_by_key(|workload| workload.resource.span);
        rows.push(Row {
            host,
            port,
            answer,
            all_clients: numbers.len() == clients.len(),
            clients: numbers.into_iter().filter_map(|index| clients.get(index).copied()).collect(),
            subsets,
            workloads,
            all_servers: own == ways,
        });
    }
    rows
}

fn of_client<'m, 'a>(
    servers: &Servers<'m, 'a>,
    mesh: &'m Mesh<'a>,
    host: &'m Host<'a>,
    port: &'m Port<'a>,
    index: usize,
    caller: &Caller<'m, 'a>,
) -> Vec<Unit<'m, 'a>> {
    let client = caller.client();
    let effective = mesh.destination(client, &host.name).unwrap_or_default();
    // Routes apply to the calls of proxies alone.
    let ways = if caller.is_in_mesh() { servers.ways(&effective, client, host, port) } else { vec![None] };
    let mut units = Vec::new();
    for way in ways {
        let subset = way.and_then(|(_, target)| target.subset()).map(|name| name.as_str());
        let labels = subset.and_then(|name| effective.subset(name)).map(|(_, subset)| &subset.labels);
        let mut pods = all_pods(mesh, host, port);
        pods.retain(|workload| labels.is_none_or(|labels| labels.selects(workload.labels)));
        let mut add = |workload: Option<&'m Workload<'a>>| {
            let answer = answer(mesh, (client, caller.proxy(mesh)), host, port, subset, workload);
            units.push(Unit { client: index, subset, workload, answer });
        };
        if pods.is_empty() {
            // A subset whose pods listen elsewhere has nothing to say about this port.
            if host.workloads.is_empty() || subset.is_none() {
                add(None);
            }
            continue;
        }
        pods.into_iter().for_each(|workload| add(Some(workload)));
    }
    units
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
    let server = server(mesh, host, port, workload);
    let client = sends(mesh.sending(proxy, setting, host), server);
    Answer { status: status(host, server, &client), server, client }
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
    Sends { sent: sending.to(accepts).or(own), by, automatic: matches!(sending, Sending::Auto(_)) }
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

#[cfg(test)]
mod tests;
