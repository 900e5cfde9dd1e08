//! Where the TLS that clients send meets the TLS that a pod's port accepts
//! (`cluster_tls.go#buildUpstreamTLSSettings`, `push_context.go#BestEffortInferServiceMTLSMode`).
//! Knows both sides of a call; what is worth a finding is for the rules to say.

use rustc_hash::{FxHashMap, FxHashSet};

use super::Mesh;
use super::destinations::{Client, ClientTlsSetting, Effective, Rule};
use super::host::{is_wildcard, matches};
use super::reach::route_kinds;
use super::registry::{Host, Port, Protocol};
use super::routes::{Target, VirtualService};
use super::security::{Decision, Mode, Scope};
use super::ways::{Way, Ways};
use super::workloads::{Proxy, Workload, WorkloadId};
use crate::resource::Spec;

/// What clients send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// No TLS.
    Plaintext,
    /// TLS without a client certificate.
    Simple,
    /// TLS with a certificate that the DestinationRule names.
    OwnCertificate,
    /// TLS with Istio's certificates.
    IstioMutual,
}

impl Sent {
    /// What a DestinationRule makes clients send; `None` for a mode that Istio does not know, and for a
    /// certificate that may be Istio's own.
    #[must_use]
    pub fn by(setting: &ClientTlsSetting<'_>) -> Option<Self> {
        let certificate = setting.tls.client_certificate.text();
        let selects_workloads = match &setting.resource.spec {
            Spec::DestinationRule(rule) => rule.workload_selector.is_some(),
            _ => false,
        };
        match setting.mode() {
            "DISABLE" => Some(Self::Plaintext),
            // Sidecars read credentials only for a rule that selects them, and send no TLS at all otherwise
            // (`cluster_tls.go#buildUpstreamClusterTLSContext`).
            "SIMPLE" | "MUTUAL" if setting.tls.credential_name.is_some() && !selects_workloads => {
                Some(Self::Plaintext)
            }
            "SIMPLE" => Some(Self::Simple),
            "MUTUAL" => {
                let may_be_istios = ["istio", "/etc/certs/", "spiffe", "prom-certs"];
                (!may_be_istios.iter().any(|part| certificate.contains(part))).then_some(Self::OwnCertificate)
            }
            "ISTIO_MUTUAL" => Some(Self::IstioMutual),
            _ => None,
        }
    }
}

/// What carries a client's requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientProxy {
    /// A gateway. It can read credentials.
    Gateway,
    /// A sidecar.
    Sidecar,
    /// Nothing that would add TLS.
    None,
}

/// What decides the TLS that a client sends to a host.
#[derive(Clone, Copy, Debug)]
pub enum Sending<'a> {
    /// The client has no proxy that would add TLS.
    WithoutProxy,
    /// A DestinationRule, and what it makes the client send; `None` for a mode that Istio does not know, and
    /// for a certificate that may be Istio's own.
    Rule(ClientTlsSetting<'a>, Option<Sent>),
    /// No rule says, and auto mTLS is off.
    AutoMtlsOff,
    /// No rule says, and the host is outside the mesh.
    External,
    /// No rule says: auto mTLS goes by what is assumed of the host, and by pod (`mtls_checker.go`).
    Auto(Assumed<'a>),
}

impl<'a> Sending<'a> {
    /// The DestinationRule's setting.
    #[must_use]
    pub fn setting(&self) -> Option<ClientTlsSetting<'a>> {
        match self {
            Self::Rule(setting, _) => Some(*setting),
            _ => None,
        }
    }

    /// What all pods get alike; `None` when it differs by pod or is not known.
    #[must_use]
    pub fn to_all(&self) -> Option<Sent> {
        match self {
            Self::Rule(_, sent) => *sent,
            Self::WithoutProxy
            | Self::AutoMtlsOff
            | Self::External
            | Self::Auto(
                Assumed::WithoutSidecar(_) | Assumed::Policy(Decision { mode: Mode::Disable, .. }),
            ) => Some(Sent::Plaintext),
            Self::Auto(Assumed::Policy(_)) => None,
        }
    }

    /// What a pod gets that accepts this: under auto mTLS plaintext where there is no sidecar, or where its
    /// port does not take mTLS.
    #[must_use]
    pub fn to(&self, accepts: Option<Accepts<'_>>) -> Option<Sent> {
        match (self, self.to_all()) {
            (Self::Auto(_), None) => match accepts?.mode() {
                None | Some(Mode::Disable) => Some(Sent::Plaintext),
                Some(_) => Some(Sent::IstioMutual),
            },
            (_, sent) => sent,
        }
    }
}

/// What a port of a pod accepts.
#[derive(Clone, Copy, Debug)]
pub enum Accepts<'a> {
    /// A sidecar that goes by PeerAuthentication.
    Policy(Decision<'a>),
    /// No proxy is in the way: the application itself.
    Application,
}

impl Accepts<'_> {
    /// The sidecar's mode, if there is a sidecar.
    #[must_use]
    pub fn mode(&self) -> Option<Mode> {
        match self {
            Self::Policy(decision) => Some(decision.mode),
            Self::Application => None,
        }
    }

    /// Whether a call that sends this can be answered.
    #[must_use]
    pub fn can_answer(&self, sent: Sent) -> bool {
        can_answer(self.mode(), sent)
    }
}

/// Whether a sidecar with this mode, or an application without one, can answer a call that sends this. TLS
/// that is not Istio's may be the application's own, as long as no sidecar insists on Istio's.
#[must_use]
pub fn can_answer(mode: Option<Mode>, sent: Sent) -> bool {
    match (mode, sent) {
        (Some(mode), Sent::IstioMutual) => mode != Mode::Disable,
        (None, Sent::IstioMutual) => false,
        (mode, _) => mode != Some(Mode::Strict),
    }
}

/// A TLS setting of a DestinationRule and one port of one workload that it is used for.
#[derive(Clone, Copy, Debug)]
pub struct Meeting<'m, 'a> {
    /// The setting.
    pub setting: ClientTlsSetting<'a>,
    /// The port as clients call it.
    pub port: &'m Port<'a>,
    /// The pods.
    pub workload: &'m Workload<'a>,
    /// What their port accepts.
    pub accepts: Accepts<'a>,
    /// The route that leads through a subset; a subset's settings apply only then.
    pub route: Option<(&'m VirtualService<'a>, &'m Target<'a>)>,
}

/// Every host whose pods can be judged.
#[derive(Debug)]
pub struct Servers<'m, 'a> {
    mesh: &'m Mesh<'a>,
    ways: Ways<'m, 'a>,
    hosts: Vec<&'m Host<'a>>,
    by_namespace: FxHashMap<&'a str, Vec<&'m Host<'a>>>,
    /// By what some of their pods accept, so that a rule for all hosts need not look at all of them.
    by_mode: Vec<(Option<Mode>, Vec<&'m Host<'a>>)>,
}

impl<'m, 'a> Servers<'m, 'a> {
    /// Collects the hosts.
    #[must_use]
    pub fn new(mesh: &'m Mesh<'a>) -> Self {
        let mut servers = Self {
            mesh,
            ways: Ways::new(mesh),
            hosts: Vec::new(),
            by_namespace: FxHashMap::default(),
            by_mode: Vec::new(),
        };
        for host in mesh.registry.iter().filter(|host| host.selects_pods() && !host.is_external()) {
            let mut modes: Vec<Option<Mode>> = Vec::new();
            for port in &host.ports {
                modes.extend(servers.pods(host, port).map(|(_, accepts)| accepts.mode()));
            }
            if modes.is_empty() {
                continue;
            }
            servers.hosts.push(host);
            servers.by_namespace.entry(host.namespace()).or_default().push(host);
            for (index, mode) in modes.iter().enumerate() {
                if modes.iter().take(index).any(|earlier| earlier == mode) {
                    continue;
                }
                match servers.by_mode.iter_mut().find(|(other, _)| other == mode) {
                    Some((_, hosts)) => hosts.push(host),
                    None => servers.by_mode.push((*mode, vec![host])),
                }
            }
        }
        servers
    }

    /// The hosts.
    pub fn hosts(&self) -> impl Iterator<Item = &'m Host<'a>> {
        self.hosts.iter().copied()
    }

    /// Whether any pod of a namespace, or of the mesh, can be judged.
    #[must_use]
    pub fn judges(&self, namespace: Option<&str>) -> bool {
        namespace.map_or(!self.hosts.is_empty(), |namespace| self.by_namespace.contains_key(namespace))
    }

    /// The pods behind a port and what they accept, as far as that is certain. Gateway pods do not go by
    /// PeerAuthentication. When only some pods of a Service declare the port, the others do not listen.
    pub fn pods(
        &self,
        host: &'m Host<'a>,
        port: &'m Port<'a>,
    ) -> impl Iterator<Item = (&'m Workload<'a>, Accepts<'a>)> {
        let target = port.target_text();
        let declares = move |workload: &Workload<'a>| workload.container_port(&target).is_some();
        let pods = |id: &WorkloadId| self.mesh.workloads.get(*id);
        let is_declared = host.workloads.iter().filter_map(pods).any(&declares);
        host.workloads
            .iter()
            .filter_map(pods)
            .filter(|workload| !self.mesh.gateways.has_pods_of(workload))
            .filter(move |workload| !is_declared || !workload.declares_ports() || declares(workload))
            .filter_map(|workload| Some((workload, self.mesh.accepts(workload, port)?)))
    }

    /// The meetings of a rule's TLS settings that a caller wants to know. `matters` says for which pairs of
    /// sent and accepted that can be at all. Of a wildcard rule those of the first host that has one: the
    /// others would repeat it, and a mesh has many hosts.
    #[must_use]
    pub fn meetings(
        &self,
        rule: &'m Rule<'a>,
        matters: impl Fn(Sent, Option<Mode>) -> bool,
        wanted: impl Fn(&Meeting<'m, 'a>) -> bool,
    ) -> Vec<Meeting<'m, 'a>> {
        let mut found = Vec::new();
        let sent: Vec<Sent> = settings(rule).filter_map(|setting| Sent::by(&setting)).collect();
        if sent.is_empty() {
            return found;
        }
        let wanted = |meeting: &Meeting<'m, 'a>| {
            Sent::by(&meeting.setting).is_some_and(|sent| matters(sent, meeting.accepts.mode()))
                && wanted(meeting)
        };
        let Some(client) = self.mesh.client_of(rule) else { return found };
        if !is_wildcard(&rule.host) {
            for host in self.mesh.registry.named(&rule.host).filter(|h| h.selects_pods() && !h.is_external())
            {
                self.meetings_with(rule, client, host, &wanted, &mut found);
            }
            return found;
        }
        let suffix = format!(".svc.{}", self.mesh.config.domain);
        let namespace = rule.host.strip_prefix("*.").and_then(|rest| rest.strip_suffix(&suffix));
        let own = namespace
            .filter(|namespace| !namespace.contains('.'))
            .map(|namespace| self.by_namespace.get(namespace).map_or(&[][..], Vec::as_slice));
        let all = self
            .by_mode
            .iter()
            .filter(|(mode, _)| own.is_none() && sent.iter().any(|sent| matters(*sent, *mode)))
            .flat_map(|(_, hosts)| hosts);
        for host in own.into_iter().flatten().chain(all).filter(|host| matches(&rule.host, &host.name)) {
            self.meetings_with(rule, client, host, &wanted, &mut found);
            if !found.is_empty() {
                break;
            }
        }
        found
    }

    fn meetings_with(
        &self,
        rule: &'m Rule<'a>,
        client: Client<'m>,
        host: &'m Host<'a>,
        wanted: &impl Fn(&Meeting<'m, 'a>) -> bool,
        found: &mut Vec<Meeting<'m, 'a>>,
    ) {
        let Some(effective) = self.mesh.destination(client, &host.name) else { return };
        if !effective.rules().iter().any(|part| std::ptr::eq(*part, rule)) {
            return;
        }
        for port in host.ports.iter().filter(|port| port.protocol != Protocol::Udp) {
            for route in self.ways(&effective, client, host, port) {
                let name = route.and_then(|(_, target)| target.subset()).map(|name| name.as_str());
                let Some(setting) = effective.client_tls(port.number, name) else { continue };
                if !std::ptr::eq(setting.resource, rule.resource) {
                    continue;
                }
                let labels = name.and_then(|name| effective.subset(name)).map(|(_, subset)| &subset.labels);
                for (workload, accepts) in self.pods(host, port) {
                    let meeting = Meeting { setting, port, workload, accepts, route };
                    if labels.is_none_or(|labels| labels.selects(workload.labels)) && wanted(&meeting) {
                        found.push(meeting);
                    }
                }
            }
        }
    }

    /// How calls of anybody who may use a rule get to a port's pods: through each routed subset, and without one
    /// where somebody gets no rule that names one. [`Ways::of`] is for one client.
    #[must_use]
    pub fn ways(
        &self,
        effective: &Effective<'m, 'a>,
        client: Client<'_>,
        host: &'m Host<'a>,
        port: &Port<'a>,
    ) -> Vec<Way<'m, 'a>> {
        let mesh = self.mesh;
        let leads_here = |(service, target): &(&'m VirtualService<'a>, &'m Target<'a>)| {
            target.receives_requests()
                && mesh.target_port(service, target, host).is_none_or(|number| number == port.number)
        };
        let is_clients = |service: &VirtualService<'a>| match client.namespace {
            // A client of another namespace uses the mesh's routes that it can see.
            Some(namespace) if namespace != host.namespace() => {
                service.is_mesh() && service.export_to.reaches(namespace, service.namespace())
            }
            _ => true,
        };
        let routes = mesh.routes.targets_of(&host.name).filter(|(service, _)| is_clients(service));
        let (with_subset, plain): (Vec<_>, Vec<_>) =
            routes.filter(leads_here).partition(|(_, target)| target.subset().is_some());
        let mut ways: Vec<Way<'m, 'a>> = Vec::new();
        if !plain.is_empty() || self.is_plain_for_some(client, host, port) {
            ways.push(None);
        }
        let mut seen: FxHashSet<&str> = FxHashSet::default();
        for (service, target) in with_subset {
            let Some(name) = target.subset() else { continue };
            if effective.subset(name).is_some() && seen.insert(name.as_str()) {
                ways.push(Some((service, target)));
            }
        }
        ways
    }

    /// Whether some client gets no rule for the port: the one that is meant, or any pod beside the host's own.
    fn is_plain_for_some(&self, client: Client<'_>, host: &Host<'a>, port: &Port<'a>) -> bool {
        let mesh = self.mesh;
        let namespace = client.namespace.unwrap_or(host.namespace());
        let routed = route_kinds(port).iter().any(|kind| {
            mesh.routes.serving(namespace, &host.name, *kind).iter().any(|service| service.count(*kind) > 0)
        });
        let is_plain = |labels| self.ways.is_plain(namespace, Some(labels), host, port);
        if !routed {
            return true;
        }
        if let Some(labels) = client.labels {
            return is_plain(labels);
        }
        let others = mesh.workloads.in_namespace(namespace).iter().filter(|id| !host.workloads.contains(id));
        others.filter_map(|id| mesh.workloads.get(*id)).any(|workload| {
            let has_sidecar = matches!(workload.proxy, Proxy::Sidecar | Proxy::Unknown);
            has_sidecar && !mesh.gateways.has_pods_of(workload) && is_plain(workload.labels)
        })
    }
}

/// The TLS settings of a rule, wherever they are.
fn settings<'a>(rule: &Rule<'a>) -> impl Iterator<Item = ClientTlsSetting<'a>> + use<'a> {
    let resource = rule.resource;
    let subsets = rule.spec.subsets.iter().map(|subset| &subset.traffic_policy);
    std::iter::once(&rule.spec.traffic_policy).chain(subsets).filter_map(|policy| policy.get()).flat_map(
        move |policy| {
            let ports = policy.port_level_settings.iter().filter_map(|settings| settings.tls.as_ref());
            policy.tls.iter().chain(ports).map(move |tls| ClientTlsSetting { resource, tls })
        },
    )
}

impl<'a> Mesh<'a> {
    /// What a workload accepts on the port behind a Service port; `None` when that is not certain: the
    /// port's name is unknown, ambient handles it, two policies compete, or nothing says whether the pods
    /// have a sidecar. A policy that someone wrote for their namespace counts as saying so.
    #[must_use]
    pub fn accepts(&self, workload: &Workload<'a>, port: &Port<'_>) -> Option<Accepts<'a>> {
        let number = port.on_workload(workload)?;
        let proxy = workload.proxy_on(number);
        match proxy {
            Proxy::None => return Some(Accepts::Application),
            Proxy::Ambient => return None,
            Proxy::Sidecar | Proxy::Unknown => {}
        }
        let namespace = workload.namespace();
        if self.peer_authentications.is_order_dependent(namespace, workload.labels) {
            return None;
        }
        let decision = self.peer_authentications.of_workload(namespace, workload.labels, Some(number));
        let is_vm = workload.resource.group() == "networking.istio.io";
        let says_so = decision.scope != Scope::Mesh && !is_vm;
        (proxy == Proxy::Sidecar || says_so).then_some(Accepts::Policy(decision))
    }

    /// What decides the TLS that a client sends to a host, given what its DestinationRules say.
    #[must_use]
    pub fn sending(
        &self,
        proxy: ClientProxy,
        setting: Option<ClientTlsSetting<'a>>,
        host: &Host<'a>,
    ) -> Sending<'a> {
        match (proxy, setting) {
            (ClientProxy::None, _) => Sending::WithoutProxy,
            (_, Some(setting)) => {
                // Gateways read credentials, most sidecars do not.
                let credential = proxy == ClientProxy::Gateway && setting.tls.credential_name.is_some();
                let sent = match setting.mode() {
                    "SIMPLE" if credential => Some(Sent::Simple),
                    "MUTUAL" if credential => Some(Sent::OwnCertificate),
                    _ => Sent::by(&setting),
                };
                Sending::Rule(setting, sent)
            }
            _ if !self.config.auto_mtls => Sending::AutoMtlsOff,
            _ if host.is_external() => Sending::External,
            _ => Sending::Auto(self.assumed_mode(host)),
        }
    }

    /// The mode that clients assume of a host when no DestinationRule tells them: the namespace's or the
    /// mesh's, without regard to workloads. The clients of a headless Service send plaintext to all pods
    /// when one of them has no sidecar.
    #[must_use]
    pub fn assumed_mode(&self, host: &Host<'a>) -> Assumed<'a> {
        if host.is_headless() {
            let bare = host
                .workloads
                .iter()
                .find(|id| self.workloads.get(**id).is_some_and(|workload| workload.proxy == Proxy::None));
            if let Some(bare) = bare {
                return Assumed::WithoutSidecar(*bare);
            }
        }
        Assumed::Policy(self.peer_authentications.of_namespace(host.namespace()))
    }

    /// A client that a rule is for: any of its own namespace, one that its selector selects, or for an
    /// exported rule of the root namespace one without rules of its own. `None` when there is none: all
    /// pods that could be are in the input and have no sidecar.
    #[must_use]
    pub fn client_of(&self, rule: &Rule<'a>) -> Option<Client<'a>> {
        let namespace = rule.namespace();
        let uses_rules = |id: &&WorkloadId| {
            self.workloads.get(**id).is_some_and(|w| !matches!(w.proxy, Proxy::None | Proxy::Ambient))
        };
        if let Some(selector) = rule.selector() {
            let selected = self.workloads.select(selector, Some(namespace));
            let pod = selected.iter().find(uses_rules).and_then(|id| self.workloads.get(*id))?;
            return Some(Client { namespace: Some(namespace), labels: Some(pod.labels) });
        }
        if namespace == self.config.root_namespace && !rule.export_to.is_private(namespace) {
            return Some(Client { namespace: None, labels: None });
        }
        let pods = self.workloads.in_namespace(namespace);
        let for_others = self.registry.named(&rule.host).any(|host| host.namespace() == namespace)
            || is_wildcard(&rule.host);
        let nobody = !for_others && self.knows_workloads(namespace) && !pods.iter().any(|id| uses_rules(&id));
        (!nobody).then_some(Client { namespace: Some(namespace), labels: None })
    }
}

/// What decides the TLS of clients that no DestinationRule tells.
#[derive(Clone, Copy, Debug)]
pub enum Assumed<'a> {
    /// A namespace's or the mesh's policy.
    Policy(Decision<'a>),
    /// Plaintext, because this workload of a headless Service has no sidecar.
    WithoutSidecar(WorkloadId),
}
