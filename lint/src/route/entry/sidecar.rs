//! The client's own side: which listener of its sidecar takes the request, which virtual host, or none of it.

use super::virtual_hosts::{Serves, Table};
use super::{Cause, Hop, HopKind, Path, Unanswerable, Way, failed, no_route, start, stopped, workload_name};
use crate::mesh::Mesh;
use crate::mesh::destinations::Client;
use crate::mesh::host::{address_of, is_wildcard, resolve_short_name, split_cluster_name};
use crate::mesh::matching::Regexes;
use crate::mesh::reach::route_kinds;
use crate::mesh::registry::{Host, Port, Protocol};
use crate::mesh::routes::{RouteKind, VirtualService};
use crate::mesh::workloads::{Proxy, Workload, WorkloadId};
use crate::route::destination::{Caller, Role, To, elsewhere, outcome};
use crate::route::message::Matcher;
use crate::route::rules::{self, Builder};
use crate::route::{End, Flag, Known, Request, Scheme, action, filters};

/// The client and what it asks for.
struct Visit<'m, 'a> {
    mesh: &'m Mesh<'a>,
    client: &'m Workload<'a>,
    request: &'m Request,
}

pub(super) fn enter(
    mesh: &Mesh<'_>,
    client: &Workload<'_>,
    request: &Request,
    known: &Known,
    notes: &mut Vec<String>,
) -> Result<Vec<Path>, Unanswerable> {
    let visit = Visit { mesh, client, request };
    let mut way = start(request);
    match client.proxy {
        Proxy::Ambient => return Err(Unanswerable::Ambient(workload_name(client))),
        Proxy::None => return Ok(vec![visit.bare(way)]),
        Proxy::Unknown => filters::note(
            notes,
            format!("nothing says whether {} has a sidecar: it is assumed to", workload_name(client)),
        ),
        Proxy::Sidecar => {}
    }
    let dialled = visit.dialled();
    let port = dialled.and_then(|host| host.port(request.port));
    let kinds = port.map_or(&[][..], |port| route_kinds(port));
    let summary = match port {
        Some(port) => format!("outbound port {}, {}", port.number, port.protocol.as_str()),
        None => format!("outbound port {}", request.port),
    };
    let name = client.resource.name.span;
    let hop = Hop::new(HopKind::Listener, Some(client.resource), Some(name), summary);
    way.hops.push(hop);
    if visit.without_pod().is_some() {
        return Ok(vec![visit.unresolved(way)]);
    }
    Ok(match (port, request.scheme) {
        // An HTTP port has an HTTP listener, and a sniffed one recognises HTTP.
        (Some(_), Scheme::Http) if kinds.contains(&RouteKind::Http) => visit.http(way, known, notes),
        (Some(port), Scheme::Https | Scheme::Tls | Scheme::Tcp) if port.protocol.is_http() => {
            let cause = dialled.map(|host| Cause::new(host.resource, port.span));
            let reason = "the port is declared as HTTP, and the client sends other bytes";
            // Who waits for a TLS handshake cannot read the answer.
            let status = (request.scheme == Scheme::Tcp).then_some(400);
            vec![failed(way, Flag::Dpe, status, reason, cause)]
        }
        (Some(port), _) => vec![visit.l4(way, dialled, Some(port))],
        // A host without the port, or that the mesh does not know: an HTTP listener of the port, which is there
        // as soon as any HTTP service has it, still looks at the authority.
        (None, Scheme::Http) if visit.has_http_listener() => visit.http(way, known, notes),
        (None, _) => vec![visit.passthrough(way, dialled, false)],
    })
}

impl<'m, 'a> Visit<'m, 'a> {
    fn caller(&self, role: Role) -> Caller<'m> {
        let view = Client { namespace: Some(self.client.namespace()), labels: Some(self.client.labels) };
        Caller { role, view }
    }

    fn builder(&self) -> Builder<'m> {
        Builder {
            gateway: None,
            labels: self.client.labels,
            namespace: Some(self.client.namespace()),
            port: self.request.port,
        }
    }

    /// The names that a name may stand for, as the resolver's search list and Istio's domains have it.
    fn names(&self, name: &str) -> Vec<String> {
        let domain = &self.mesh.config.domain;
        let name = name.trim_end_matches('.');
        let mut names = vec![name.to_owned(), format!("{name}.{}.svc.{domain}", self.client.namespace())];
        if name.contains('.') {
            names.extend([format!("{name}.svc.{domain}"), format!("{name}.{domain}")]);
        }
        names
    }

    fn exactly(&self, name: &str) -> Option<&'m Host<'a>> {
        let find = |name: &String| self.mesh.registry.find(name, Some(self.client.namespace()));
        self.names(name).iter().find_map(|name| find(name).filter(|host| host.name == *name))
    }

    /// The headless Service of a pod's name that no pod has.
    fn without_pod(&self) -> Option<&'m Host<'a>> {
        let (_, rest) = self.request.host.split_once('.')?;
        let host = self.exactly(rest).filter(|host| host.is_headless())?;
        let is_known = host.selects_pods() && self.mesh.knows_workloads(host.namespace());
        (is_known && self.exactly(&self.request.host).is_none() && self.pod().is_none()).then_some(host)
    }

    /// What the dialled name or address belongs to. Exact names come first: a wildcard covers too much.
    fn dialled(&self) -> Option<&'m Host<'a>> {
        let (name, client) = (self.request.host.as_str(), Some(self.client.namespace()));
        if address_of(name).is_some() {
            let hosts = self.mesh.registry.at(name, client);
            let with_port = hosts.iter().find(|host| host.port(self.request.port).is_some());
            return with_port.or(hosts.first()).copied();
        }
        let wildcard = || self.names(name).iter().find_map(|name| self.mesh.registry.find(name, client));
        self.exactly(name).or_else(|| self.pod().map(|(host, _)| host)).or_else(wildcard)
    }

    /// The headless Service and the StatefulSet of a pod that is dialled by its own name: `db-0.db`.
    fn pod(&self) -> Option<(&'m Host<'a>, WorkloadId)> {
        let (pod, host) = self.request.host.split_once('.')?;
        let host = self.exactly(host).filter(|host| host.is_headless())?;
        let (set, ordinal) = pod.rsplit_once('-')?;
        let ordinal: i64 = ordinal.parse().ok().filter(|number: &i64| number.to_string() == ordinal)?;
        let is = |id: &&WorkloadId| {
            self.mesh.workloads.get(**id).is_some_and(|workload| {
                let replicas = workload.template.replicas.get();
                workload.resource.kind.as_str() == "StatefulSet"
                    && workload.resource.name.as_str() == set
                    && replicas.is_none_or(|replicas| ordinal < *replicas)
            })
        };
        host.workloads.iter().find(is).map(|id| (host, *id))
    }

    /// Whether some visible HTTP service has the port, so that a listener for all addresses is there. Outside a
    /// closed world port 80 is taken to have one.
    fn has_http_listener(&self) -> bool {
        let (namespace, number) = (self.client.namespace(), self.request.port);
        let has = |host: &Host<'a>| {
            host.export_to.reaches(namespace, host.namespace())
                && host.port(number).is_some_and(|port| port.protocol.is_http())
        };
        self.mesh.registry.iter().any(has) || (number == 80 && !self.mesh.is_closed())
    }

    /// A client without a proxy: the Service's own pods.
    fn bare(&self, mut way: Way) -> Path {
        let client = self.client.resource;
        let summary = "the client has no sidecar: routes and DestinationRules do not apply".to_owned();
        way.hops.push(Hop::new(HopKind::Listener, Some(client), Some(client.name.span), summary));
        let Some(host) = self.dialled() else { return self.unresolved(way) };
        self.plain(way, host, Role::Bare)
    }

    /// The name leads nowhere that the input knows.
    fn unresolved(&self, mut way: Way) -> Path {
        let host = self.request.host.trim_end_matches('.');
        let summary = format!("`{host}` is not in the mesh");
        way.hops.push(Hop::new(HopKind::Unmatched, None, None, summary.clone()));
        if address_of(host).is_some() {
            return stopped(way, None, End::Leaves(summary));
        }
        let domain = &self.mesh.config.domain;
        let full = match host.ends_with(".svc") {
            true => format!("{host}.{domain}"),
            false => resolve_short_name(host, self.client.namespace(), domain),
        };
        if self.mesh.knows_host(&full) && split_cluster_name(&full, domain).is_some() {
            let reason = format!("no Service `{full}` exists: the name does not resolve");
            return failed(way, Flag::None, None, reason, None);
        }
        if let Some(service) = self.without_pod() {
            let reason =
                format!("no StatefulSet behind `{}` has such a pod: the name does not resolve", service.name);
            let cause = Some(Cause::new(service.resource, service.resource.name.span));
            return failed(way, Flag::None, None, reason, cause);
        }
        stopped(way, None, End::Leaves(summary))
    }

    /// The Service's own route.
    fn plain(&self, mut way: Way, host: &Host<'a>, role: Role) -> Path {
        let span = host.port(self.request.port).map_or(host.resource.name.span, |port| port.span);
        let summary = match self.pod().filter(|(own, _)| std::ptr::eq(*own, host)) {
            Some(_) => format!("the pod {} of {}", self.request.host, host.name),
            None => format!("all pods of {}", host.name),
        };
        way.hops.push(Hop::new(HopKind::Service, Some(host.resource), Some(span), summary));
        if host.port(self.request.port).is_none() && !host.is_alias() {
            let reason = format!(
                "`{}` has no port {}; its ports are {}: the connection fails",
                host.name,
                self.request.port,
                host.describe_ports()
            );
            let proxied =
                role != Role::Bare && self.request.scheme == Scheme::Http && self.has_http_listener();
            let status = proxied.then_some(503);
            let cause = Some(Cause::new(host.resource, host.resource.name.span));
            return failed(way, Flag::Uf, status, reason, cause);
        }
        let to = To {
            host: &host.name,
            subset: None,
            port: self.request.port,
            port_is_written: true,
            cause: Some(Cause::new(host.resource, span)),
            http: self.request.is_http(),
            proxied: role != Role::Bare,
            only: self.pod().filter(|(own, _)| std::ptr::eq(*own, host)).map(|(_, id)| id),
        };
        let outcome = outcome(self.mesh, self.caller(role), &to, way.share, way.message.forwarded());
        Path { share: way.share, hops: way.hops, outcomes: vec![outcome], mirrors: Vec::new() }
    }

    /// Nothing of the mesh takes it: it goes where it was going, if that is allowed. `is_http` when an HTTP listener
    /// has read it.
    fn passthrough(&self, mut way: Way, dialled: Option<&'m Host<'a>>, is_http: bool) -> Path {
        if self.mesh.config.allow_any_outbound {
            let path = match dialled {
                Some(host) if !host.is_external() => self.plain(way, host, Role::Passthrough),
                Some(host) => {
                    let name = host.resource.name.span;
                    let summary = format!("no route for `{}`", self.request.host);
                    way.hops.push(Hop::new(HopKind::Unmatched, Some(host.resource), Some(name), summary));
                    stopped(way, None, End::Leaves(elsewhere(host)))
                }
                None => self.unresolved(way),
            };
            return with_cluster(path, "PassthroughCluster");
        }
        let summary = "outboundTrafficPolicy is REGISTRY_ONLY, and the registry has no such host".to_owned();
        way.hops.push(Hop::new(HopKind::Unmatched, None, None, summary.clone()));
        // HTTP is answered by the virtual host `block_all`; bytes go to a cluster without endpoints.
        let path = if is_http {
            failed(way, Flag::None, Some(502), summary, None)
        } else {
            failed(way, Flag::Uh, None, summary, None)
        };
        with_cluster(path, "BlackHoleCluster")
    }

    fn http(&self, mut way: Way, known: &Known, notes: &mut Vec<String>) -> Vec<Path> {
        way.message.arrive();
        let root = &self.mesh.config.root_namespace;
        let plugins = self.mesh.filters.iter().filter(|filter| {
            // A sidecar's outbound side is a client, like a gateway.
            filter.runs_at_gateways() && filter.runs_on(self.client, root)
        });
        let ways = filters::run(plugins, way, self.request.principal.as_deref(), known, notes);
        ways.into_iter().map(|way| self.http_route(way)).collect()
    }

    /// `buildSidecarOutboundHTTPRouteConfig`: the virtual host of the authority on this port.
    fn http_route(&self, mut way: Way) -> Path {
        if let Some(end) = way.ended.take() {
            return stopped(way, None, end);
        }
        let table = Table { mesh: self.mesh, client: self.client, port: self.request.port };
        let name = way.message.host();
        let found = table.virtual_host(&name, self.builder());
        if let Some(service) = found.vanished {
            vanished(&mut way, service, RouteKind::Http);
        }
        match found.serves {
            Some(Serves::Rules { domain, service, routes }) => {
                let regexes = Regexes::default();
                let matcher = Matcher { regexes: &regexes };
                match rules::choose(&routes, &matcher, &way.message) {
                    Some((route, met)) => {
                        way.hops.extend(rules::hops(&route, met));
                        action::http(self.mesh, self.caller(Role::Sidecar), self.builder(), &route, way)
                    }
                    None => {
                        no_route(way, Some(service), format!("no rule for `{domain}` matches the request"))
                    }
                }
            }
            Some(Serves::Host(host)) => self.plain(way, host, Role::Sidecar),
            None => self.passthrough(way, self.dialled(), true),
        }
    }

    /// Rules for connections: tls rules on TLS ports, tcp rules otherwise, of every VirtualService that has the host
    /// (`getConfigsForHost`).
    fn l4(&self, mut way: Way, host: Option<&'m Host<'a>>, port: Option<&Port<'a>>) -> Path {
        let Some((host, port)) = host.zip(port) else { return self.passthrough(way, host, false) };
        if port.protocol == Protocol::Udp {
            let reason = "the port is UDP, which the mesh does not carry";
            return failed(way, Flag::None, None, reason, Some(Cause::new(host.resource, port.span)));
        }
        let kind = if port.protocol.is_tls() { RouteKind::Tls } else { RouteKind::Tcp };
        let name = if is_wildcard(&host.name) { &self.request.host } else { &host.name };
        let is_tls = matches!(self.request.scheme, Scheme::Https | Scheme::Tls);
        let sni = is_tls.then_some(self.request.host.as_str());
        for service in self.mesh.routes.serving(self.client.namespace(), name, kind) {
            let chosen = rules::choose_l4(service, kind, self.builder(), sni, &self.request.host);
            if let Some((index, hop)) = chosen {
                way.hops.push(hop);
                let caller = self.caller(Role::Sidecar);
                return action::l4(self.mesh, caller, self.builder(), service, (kind, index), way);
            }
            if service.count(kind) > 0 {
                vanished(&mut way, service, kind);
            }
        }
        let mut path = self.plain(way, host, Role::Sidecar);
        if let Some(outcome) = path.outcomes.first_mut()
            && let End::Partly(failure) | End::Failed(failure) = &mut outcome.end
        {
            failure.status = None;
        }
        path
    }
}

/// The VirtualService is there, and none of its rules is for this client: it is as if it were not.
fn vanished(way: &mut Way, service: &VirtualService<'_>, kind: RouteKind) {
    let summary =
        format!("no {} rule is for this client and port: the Service's own route applies", kind.as_str());
    let span = service.resource.name.span;
    way.hops.push(Hop::new(HopKind::Unmatched, Some(service.resource), Some(span), summary));
}

fn with_cluster(mut path: Path, cluster: &str) -> Path {
    for outcome in &mut path.outcomes {
        cluster.clone_into(&mut outcome.cluster);
    }
    path
}
