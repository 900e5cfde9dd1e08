//! From a destination to pods: the cluster, the DestinationRule, the endpoints, and whether the TLS that the
//! client sends is what they accept. Knows nothing of rules and requests.

use super::{Cause, ClientTls, End, Endpoint, Failure, Flag, Forwarded, Outcome, Server, Share};
use crate::mesh::Mesh;
use crate::mesh::destinations::{Client, Effective};
use crate::mesh::mtls::{Accepts, Assumed, ClientProxy, Sending, Sent, can_answer};
use crate::mesh::registry::{Host, Origin, Port, Protocol};
use crate::mesh::security::{Decision, Mode};
use crate::mesh::workloads::{Proxy, VERSION_LABELS, Workload, WorkloadId, may_listen};
use crate::resource::Resource;
use crate::span::{Span, Spanned};

/// What sends the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// A gateway's pods.
    Gateway,
    /// A workload's sidecar.
    Sidecar,
    /// A workload's sidecar that lets something through that it has no route for.
    Passthrough,
    /// A workload without a proxy.
    Bare,
}

impl Role {
    /// What adds TLS.
    fn proxy(self) -> ClientProxy {
        match self {
            Self::Gateway => ClientProxy::Gateway,
            Self::Sidecar => ClientProxy::Sidecar,
            Self::Passthrough | Self::Bare => ClientProxy::None,
        }
    }
}

/// The client of a destination.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller<'m> {
    pub(super) role: Role,
    pub(super) view: Client<'m>,
}

/// A destination as a route names it.
#[derive(Clone, Debug)]
pub(super) struct To<'t> {
    /// Fully qualified.
    pub(super) host: &'t str,
    pub(super) subset: Option<&'t Spanned<String>>,
    pub(super) port: u32,
    /// Whether somebody wrote the port.
    pub(super) port_is_written: bool,
    pub(super) cause: Option<Cause>,
    /// HTTP: failures have a status.
    pub(super) http: bool,
    /// The client has a proxy, which answers when nobody else does.
    pub(super) proxied: bool,
    /// The pods that are called by their own name, of a headless Service.
    pub(super) only: Option<WorkloadId>,
}

impl<'t> To<'t> {
    fn subset(&self) -> Option<&'t str> {
        self.subset.map(|name| name.as_str())
    }

    /// What the client gets for a failure on its side.
    fn status(&self, status: u32) -> Option<u32> {
        (self.http && self.proxied).then_some(status)
    }
}

fn at(resource: &Resource, span: Span) -> Option<Cause> {
    Some(Cause::new(resource, span))
}

/// An outcome without a destination.
pub(super) fn ended(share: Share, forwarded: Forwarded, cause: Option<Cause>, end: End) -> Outcome {
    Outcome {
        share,
        cause,
        cluster: String::new(),
        host: None,
        service: None,
        subset: None,
        subset_version: None,
        port: None,
        rule: None,
        tls: None,
        forwarded,
        endpoints: Vec::new(),
        end,
    }
}

/// Follows a destination to its pods.
pub(super) fn outcome(
    mesh: &Mesh<'_>,
    caller: Caller<'_>,
    to: &To<'_>,
    share: Share,
    forwarded: Forwarded,
) -> Outcome {
    let subset = to.subset().unwrap_or("");
    let mut outcome = ended(share, forwarded, to.cause.clone(), End::Answered);
    outcome.cluster = format!("outbound|{}|{subset}|{}", to.port, to.host);
    outcome.host = Some(to.host.to_owned());
    outcome.port = Some(to.port);
    outcome.subset = to.subset.map(|subset| (subset.value.clone(), None));
    let missing = |reason: String, cause: Option<Cause>| {
        let cause = cause.or_else(|| to.cause.clone());
        End::Failed(Failure { flag: Flag::Nc, status: to.status(503), reason, cause })
    };
    let Some(host) = mesh.registry.find(to.host, caller.view.namespace) else {
        outcome.end = match mesh.registry.find(to.host, None) {
            Some(hidden) => missing(
                format!("`{}` is not exported to the client's namespace", to.host),
                at(hidden.resource, hidden.resource.name.span),
            ),
            None if mesh.knows_host(to.host) => {
                missing(format!("no Service or ServiceEntry has the host `{}`", to.host), None)
            }
            None => match mesh.meant_by_partial(to.host) {
                Some(meant) => missing(
                    format!(
                        "Istio does not complete `{}`, so no cluster has that name; write `{}`",
                        to.host, meant.name
                    ),
                    None,
                ),
                None => End::Leaves(format!("`{}` is not in the input", to.host)),
            },
        };
        return outcome;
    };
    outcome.service = at(host.resource, host.resource.name.span);
    let effective = mesh.destination(caller.view, to.host);
    outcome.rule =
        effective.as_ref().and_then(Effective::first).and_then(|rule| at(rule.resource, rule.host_span));
    if host.name != to.host {
        let reason = format!("the host is only covered by `{}`, whose cluster has that name", host.name);
        outcome.end = missing(reason, None);
        return outcome;
    }
    let Some(port) = host.port(to.port).filter(|port| port.protocol != Protocol::Udp) else {
        outcome.end = if host.is_alias() {
            End::Leaves(elsewhere(host))
        } else {
            let how = if to.port_is_written { "" } else { ", which the listener implies" };
            let reason = format!(
                "`{}` has no port {}{how}; its ports are {}",
                to.host,
                to.port,
                host.describe_ports()
            );
            missing(reason, None)
        };
        return outcome;
    };
    let mut labels = None;
    if let Some(name) = to.subset {
        match effective.as_ref().and_then(|rules| rules.subset(name)) {
            Some((rule, subset)) => {
                let span = subset.name.span().unwrap_or(subset.span);
                outcome.subset = Some((name.value.clone(), at(rule.resource, span)));
                let mut versions = VERSION_LABELS.iter().filter_map(|key| subset.labels.text(key));
                outcome.subset_version = versions.next().map(str::to_owned);
                labels = Some(&subset.labels);
            }
            None => {
                let names: Vec<&str> = effective
                    .iter()
                    .flat_map(Effective::subsets)
                    .map(|(_, subset)| subset.name.text())
                    .collect();
                let reason = match (effective.as_ref().and_then(Effective::first), names.as_slice()) {
                    (None, _) => format!("no DestinationRule of this client has a subset `{}`", name.value),
                    (Some(rule), []) => format!(
                        "DestinationRule `{}`, which wins for this client, has no subsets",
                        rule.resource.name.value
                    ),
                    (Some(rule), names) => format!(
                        "DestinationRule `{}`, which wins for this client, has no subset `{}`; it has {}",
                        rule.resource.name.value,
                        name.value,
                        names.join(", ")
                    ),
                };
                outcome.end = missing(reason, None);
                return outcome;
            }
        }
    }
    let setting = effective.as_ref().and_then(|rules| rules.client_tls(port.number, to.subset()));
    let sending = mesh.sending(caller.role.proxy(), setting, host);
    outcome.tls = Some(client_tls(mesh, caller, sending));
    if !host.selects_pods() {
        outcome.end = without_pods(host, to);
        return outcome;
    }
    let selected: Vec<WorkloadId> =
        labels.map_or_else(|| host.workloads.clone(), |labels| mesh.subset_workloads(host, labels));
    for id in selected.into_iter().filter(|id| to.only.is_none_or(|only| only == *id)) {
        let Some(workload) = mesh.workloads.get(id) else { continue };
        outcome.endpoints.push(endpoint(mesh, id, workload, port, sending, to));
    }
    if let Some(tls) = &mut outcome.tls
        && tls.sent.is_none()
        && matches!(sending, Sending::Auto(_))
    {
        // Auto mTLS goes by pod; often all are alike.
        let mut sent = outcome.endpoints.iter().map(|endpoint| endpoint.sent);
        if let Some(first) = sent.next()
            && sent.all(|other| other == first)
        {
            tls.sent = first;
        }
    }
    outcome.end = whole(mesh, host, port, to, &outcome);
    outcome
}

/// What comes of a host that has no selector.
fn without_pods(host: &Host<'_>, to: &To<'_>) -> End {
    match host.origin {
        Origin::ServiceEntry(entry) if entry.resolution.text() == "STATIC" && entry.endpoints.is_empty() => {
            let cause = at(host.resource, host.resource.name.span);
            let reason =
                format!("ServiceEntry `{}` is STATIC and has no endpoints", host.resource.name.value);
            End::Failed(Failure { flag: Flag::Uh, status: to.status(503), reason, cause })
        }
        _ => End::Leaves(elsewhere(host)),
    }
}

/// Where the requests of a host go whose endpoints are not in the input.
pub(super) fn elsewhere(host: &Host<'_>) -> String {
    let entry = match host.origin {
        Origin::ServiceEntry(entry) => entry,
        Origin::Service(_) => {
            return match host.alias_of() {
                Some(other) => format!("`{}` is an alias of `{other}`, which is not followed", host.name),
                None => format!(
                    "Service `{}` has no selector: its endpoints are not in the input",
                    host.resource.name.value
                ),
            };
        }
    };
    let addresses: Vec<&str> = entry.endpoints.iter().map(|endpoint| endpoint.address.text()).collect();
    let at = if addresses.is_empty() { String::new() } else { format!(", at {}", addresses.join(", ")) };
    match host.is_external() {
        true => format!("`{}` is outside the mesh{at}", host.name),
        false => {
            format!("`{}` is inside the mesh, and its endpoints are not pods of the input{at}", host.name)
        }
    }
}

/// What comes of a destination given what comes of its pods.
fn whole(mesh: &Mesh<'_>, host: &Host<'_>, port: &Port<'_>, to: &To<'_>, outcome: &Outcome) -> End {
    let behind = outcome.called();
    if behind.is_empty() {
        if !mesh.knows_workloads(host.namespace()) {
            return End::Leaves(format!("the pods of `{}` are not in the input", host.name));
        }
        let (reason, cause) = match (&outcome.subset, outcome.endpoints.first()) {
            (_, Some(endpoint)) => (
                format!("no pod has a container port named `{}`", port.target_text()),
                Some(endpoint.workload.clone()),
            ),
            (Some((name, cause)), None) => {
                (format!("subset `{name}` of `{}` selects no pods", host.name), cause.clone())
            }
            (None, None) => (
                format!("the selector of `{}` selects no pods", host.name),
                at(host.resource, host.resource.name.span),
            ),
        };
        return End::Failed(Failure { flag: Flag::Uh, status: to.status(503), reason, cause });
    }
    let failures: Vec<(&Endpoint, &Failure)> =
        behind.iter().filter_map(|endpoint| Some((*endpoint, endpoint.end.failure()?))).collect();
    let Some((_, first)) = failures.first() else { return End::Answered };
    if failures.len() == behind.len() {
        return End::Failed((*first).clone());
    }
    // The load balancer picks among pods; how many there are of each is not known.
    let names: Vec<&str> =
        failures.iter().map(|(endpoint, _)| endpoint.workload.object.name.as_str()).collect();
    let reason = format!("some of the pods do not answer ({}): {}", names.join(", "), first.reason);
    End::Partly(Failure { reason, ..(*first).clone() })
}

/// The pods of one workload.
fn endpoint(
    mesh: &Mesh<'_>,
    id: WorkloadId,
    workload: &Workload<'_>,
    port: &Port<'_>,
    sending: Sending<'_>,
    to: &To<'_>,
) -> Endpoint {
    let number = port.on_workload(workload);
    let accepts = mesh.accepts(workload, port);
    let server = match accepts {
        Some(Accepts::Policy(decision)) => Server::Sidecar(decision.mode),
        Some(Accepts::Application) => Server::Application,
        None => Server::Unknown,
    };
    let sent = sending.to(accepts);
    let cause = accepts.and_then(|accepts| match accepts {
        Accepts::Policy(Decision { by: Some((resource, span)), .. }) => at(resource, span),
        _ => None,
    });
    let span = workload.resource.name.span;
    let place = at(workload.resource, span);
    let container = workload.container_port(&port.target_text());
    let mut endpoint = Endpoint {
        id,
        workload: Cause::new(workload.resource, span),
        version: workload.version().map(|version| version.value.clone()),
        port: number,
        port_span: container.and_then(|port| port.container_port.span()),
        sent,
        server,
        cause,
        end: End::Answered,
    };
    let name = &workload.resource.name.value;
    let failed = |flag, reason: String, cause: Option<Cause>| {
        End::Failed(Failure { flag, status: to.status(503), reason, cause })
    };
    let mode = match server {
        Server::Sidecar(mode) => Some(Some(mode)),
        Server::Application => Some(None),
        Server::Unknown => None,
    };
    let clash = mode.zip(sent).filter(|(mode, sent)| !can_answer(*mode, *sent));
    let replicas = workload.template.replicas.as_ref().filter(|replicas| replicas.value == 0);
    endpoint.end = match (clash, number) {
        _ if replicas.is_some() => failed(
            Flag::Uh,
            format!("`{name}` is scaled to 0: it has no pods"),
            replicas.and_then(|replicas| at(workload.resource, replicas.span)),
        ),
        (Some((Some(Mode::Strict), Sent::Plaintext)), _) => failed(
            // The sidecar has no filter chain for plaintext: it logs NR and closes the connection.
            Flag::Uc,
            format!(
                "`{name}` accepts only mTLS (STRICT) and is sent plaintext: its sidecar resets the connection"
            ),
            endpoint.cause.clone(),
        ),
        (Some((mode, sent)), _) => {
            let what = match mode {
                Some(mode) => format!("its sidecar is {}", mode.as_str()),
                None => "it has no sidecar".to_owned(),
            };
            let reason =
                format!("`{name}` is sent {} and {what}: the TLS handshake fails", describe_sent(sent));
            failed(Flag::Uf, reason, endpoint.cause.clone().or(place))
        }
        (None, Some(number)) if !may_listen(workload, &port.target_text()) => {
            let has_sidecar = matches!(workload.proxy_on(number), Proxy::Sidecar);
            let seen = if has_sidecar { "its sidecar cannot connect" } else { "the connection is refused" };
            let reason = format!("nothing in `{name}` listens on port {number}: {seen}");
            // A sidecar in front of an HTTP port answers whoever asks.
            let answers = to.http && (to.proxied || (has_sidecar && port.protocol.is_http()));
            let status = answers.then_some(503);
            End::Failed(Failure { flag: Flag::Uf, status, reason, cause: place })
        }
        _ => End::Answered,
    };
    endpoint
}

/// What a client sends, for people.
#[must_use]
pub fn describe_sent(sent: Sent) -> &'static str {
    match sent {
        Sent::Plaintext => "plaintext",
        Sent::Simple => "TLS without a client certificate",
        Sent::OwnCertificate => "TLS with a certificate that is not Istio's",
        Sent::IstioMutual => "Istio mTLS",
    }
}

/// What the client sends to all pods alike, and why.
fn client_tls(mesh: &Mesh<'_>, caller: Caller<'_>, sending: Sending<'_>) -> ClientTls {
    let (why, cause) = match sending {
        Sending::WithoutProxy if caller.role == Role::Passthrough => {
            ("the client's sidecar passes it through as it is".to_owned(), None)
        }
        Sending::WithoutProxy => ("the client has no sidecar".to_owned(), None),
        Sending::Rule(setting, _) => {
            let rule = &setting.resource.name.value;
            let why = format!("tls mode {} of DestinationRule `{rule}`", setting.mode());
            (why, at(setting.resource, setting.span()))
        }
        Sending::AutoMtlsOff => ("no DestinationRule says, and auto mTLS is off".to_owned(), None),
        Sending::External => ("no DestinationRule says, and the host is outside the mesh".to_owned(), None),
        Sending::Auto(Assumed::WithoutSidecar(id)) => {
            let bare = mesh.workloads.get(id).map(|workload| workload.resource);
            let cause = bare.and_then(|resource| at(resource, resource.name.span));
            ("auto mTLS: a pod of the headless Service has no sidecar".to_owned(), cause)
        }
        Sending::Auto(Assumed::Policy(decision)) => {
            let cause = decision.by.and_then(|(resource, span)| at(resource, span));
            (format!("auto mTLS: the namespace's mode is {}", decision.mode.as_str()), cause)
        }
    };
    ClientTls { sent: sending.to_all(), why, cause }
}
