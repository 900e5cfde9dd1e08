//! The gateway's side: which pods, which server, which virtual host.

mod merge;

use self::merge::merged;
use super::{Cause, Hop, HopKind, Path, Unanswerable, Way, failed, no_route, start, stopped};
use crate::mesh::Mesh;
use crate::mesh::destinations::Client;
use crate::mesh::gateways::{Gateway, server_host, server_kinds};
use crate::mesh::host::{is_subset_of, is_wildcard, matches, more_specific};
use crate::mesh::matching::Regexes;
use crate::mesh::routes::{Binding, RouteKind, VirtualService};
use crate::mesh::workloads::Workload;
use crate::resource::field::Map;
use crate::resource::networking::Server;
use crate::route::destination::{Caller, Role};
use crate::route::message::Matcher;
use crate::route::rules::{self, Builder, Built};
use crate::route::{End, Flag, Known, Request, Scheme, action, filters};
use crate::rule::did_you_mean;
use crate::span::Spanned;

/// A Gateway's place among all of the mesh.
type Index = usize;

pub(super) fn named(mesh: &Mesh<'_>, namespace: &str, name: &str) -> Result<Index, Unanswerable> {
    let is = |gateway: &Gateway<'_>| {
        gateway.resource.namespace() == namespace && gateway.resource.name.as_str() == name
    };
    let last = mesh.gateways.iter().enumerate().filter(|(_, gateway)| is(gateway)).last();
    last.map(|(index, _)| index).ok_or_else(|| {
        let wanted = format!("{namespace}/{name}");
        let known: Vec<String> = mesh.gateways.iter().map(Gateway::full_name).collect();
        let near = did_you_mean(&wanted, known.iter().map(String::as_str)).map(str::to_owned);
        Unanswerable::UnknownGateway { wanted, near, known }
    })
}

/// The only gateway that accepts the host on the port; several Gateways on the same pods are one.
pub(super) fn only(mesh: &Mesh<'_>, request: &Request) -> Result<Index, Unanswerable> {
    let host = start(request).message.host();
    let accepts = |gateway: &Gateway<'_>| {
        let ports = ports(mesh, gateway, request.port);
        gateway.spec.servers.iter().any(|server| {
            ports.contains(&port(server))
                && server.hosts.iter().any(|entry| matches(&host_part(entry), &host))
        })
    };
    let accepting: Vec<(Index, &Gateway<'_>)> =
        mesh.gateways.iter().enumerate().filter(|(_, gateway)| accepts(gateway)).collect();
    let name = |gateways: &[(Index, &Gateway<'_>)]| gateways.iter().map(|(_, g)| g.full_name()).collect();
    match accepting.as_slice() {
        [(first, gateway), others @ ..] if others.iter().all(|(_, other)| together(gateway, other)) => {
            Ok(*first)
        }
        list => Err(Unanswerable::WhichGateway {
            port: request.port,
            accepting: name(list),
            known: mesh.gateways.iter().map(Gateway::full_name).collect(),
        }),
    }
}

/// Whether two Gateways are carried by the same pods.
fn together(one: &Gateway<'_>, other: &Gateway<'_>) -> bool {
    let (a, b) = (&one.spec.selector, &other.spec.selector);
    a.is_empty()
        || b.is_empty()
        || one.workloads.iter().any(|id| other.workloads.contains(id))
        || (one.workloads.is_empty() && other.workloads.is_empty() && a.selects(b) && b.selects(a))
}

fn port(server: &Server) -> u32 {
    server.port_number().unwrap_or(0)
}

/// The host of a server's entry, in lower case.
fn host_part(entry: &str) -> String {
    entry.split_once('/').map_or(entry, |(_, host)| host).to_ascii_lowercase()
}

/// The port that clients dial, and the one behind it on the gateway's pods: a server may name either.
fn ports(mesh: &Mesh<'_>, gateway: &Gateway<'_>, dialled: u32) -> Vec<u32> {
    let mut ports = vec![dialled];
    for host in mesh.registry.iter() {
        let Some(id) = gateway.workloads.iter().find(|id| host.workloads.contains(id)) else { continue };
        let target = mesh.workloads.get(*id).and_then(|pod| host.port(dialled)?.on_workload(pod));
        ports.extend(target);
    }
    ports
}

/// A gateway's pods as a client of destinations.
struct Pods<'m, 'a> {
    mesh: &'m Mesh<'a>,
    /// All Gateways that the pods carry.
    gateways: Vec<&'m Gateway<'a>>,
    pod: Option<&'m Workload<'a>>,
    labels: &'m Map<String>,
}

impl<'m, 'a> Pods<'m, 'a> {
    fn namespace(&self) -> Option<&'m str> {
        self.pod.map(Workload::namespace)
    }

    fn caller(&self) -> Caller<'m> {
        let labels = self.pod.map(|pod| pod.labels);
        Caller { role: Role::Gateway, view: Client { namespace: self.namespace(), labels } }
    }

    fn builder(&self, gateway: &'m Gateway<'a>, port: u32) -> Builder<'m> {
        let name = (gateway.resource.namespace(), gateway.resource.name.as_str());
        Builder { gateway: Some(name), labels: self.labels, namespace: self.namespace(), port }
    }

    /// The VirtualServices that a Gateway's routes are built from: private ones first, then those exported to
    /// the namespace, then public ones, each in the order of the input (a cluster goes by age).
    fn services(&self, gateway: &Gateway<'a>) -> Vec<&'m VirtualService<'a>> {
        let bound = |service: &VirtualService<'a>| {
            service.bindings.iter().any(|binding| {
                matches!(binding, Binding::Gateway { namespace, name, .. }
                    if *namespace == gateway.resource.namespace() && *name == gateway.resource.name.as_str())
            })
        };
        let visible = |service: &VirtualService<'a>| {
            self.namespace().is_none_or(|own| service.export_to.reaches(own, service.namespace()))
        };
        let mut services: Vec<&'m VirtualService<'a>> = Vec::new();
        for service in self.mesh.routes.iter().filter(|service| bound(service) && visible(service)) {
            // Of two objects with one name the later is the one that is left.
            services.retain(|other| {
                other.resource.key() != service.resource.key() || service.resource.name.is_empty()
            });
            services.push(service);
        }
        services.sort_by_key(|service| service.rank(self.namespace().unwrap_or_default()));
        services
    }
}

/// A server of one of the Gateways.
type At<'m, 'a> = (&'m Gateway<'a>, &'a Spanned<Server>);

pub(super) fn enter<'a>(
    mesh: &Mesh<'a>,
    index: Index,
    request: &Request,
    known: &Known,
    notes: &mut Vec<String>,
) -> Vec<Path> {
    let Some(gateway) = mesh.gateways.iter().nth(index) else { return Vec::new() };
    let pod = gateway.workloads.first().and_then(|id| mesh.workloads.get(*id));
    let labels = pod.map_or(&gateway.spec.selector, |pod| pod.labels);
    let gateways = mesh.gateways.iter().filter(|other| together(gateway, other)).collect();
    let pods = Pods { mesh, gateways, pod, labels };
    if pod.is_none() {
        filters::note(
            notes,
            format!(
                "the pods of Gateway `{}` are not in the input: their namespace, sidecar settings and plugins are \
                 assumed to be what its selector suggests",
                gateway.full_name()
            ),
        );
    }
    let mut way = start(request);
    let wanted = ports(mesh, gateway, request.port);
    let servers: Vec<At<'_, 'a>> = pods
        .gateways
        .iter()
        .flat_map(|gateway| gateway.spec.servers.iter().map(move |server| (*gateway, server)))
        .filter(|(_, server)| wanted.contains(&port(server)))
        .collect();
    let servers = merged(servers, notes);
    let place = Cause::new(gateway.resource, gateway.resource.name.span);
    if servers.is_empty() {
        let summary = format!("port {} of gateway {}", request.port, gateway.full_name());
        way.hops.push(Hop::new(HopKind::Listener, Some(gateway.resource), Some(place.span), summary));
        let reason = format!("no server of the gateway has port {}: the connection is refused", request.port);
        return vec![failed(way, Flag::None, None, reason, Some(place))];
    }
    if let Some(reason) = not_exposed(mesh, gateway, request.port) {
        way.hops.push(listener(&servers, request.port, None));
        return vec![failed(way, Flag::None, None, reason, Some(place))];
    }
    match request.scheme {
        Scheme::Http => plain_http(&pods, &servers, way, request, known, notes),
        Scheme::Https | Scheme::Tls => tls(&pods, &servers, way, request, known, notes),
        Scheme::Tcp => vec![bytes(&pods, &servers, way, request)],
    }
}

/// Why nobody can dial the port, when Services of the gateway's pods are in the input and none has it.
fn not_exposed(mesh: &Mesh<'_>, gateway: &Gateway<'_>, dialled: u32) -> Option<String> {
    let services: Vec<_> = mesh
        .registry
        .iter()
        .filter(|host| gateway.workloads.iter().any(|id| host.workloads.contains(id)))
        .collect();
    let exposed = services.is_empty()
        || services.iter().any(|host| {
            host.ports.iter().any(|port| port.number == dialled || port.target_text() == dialled.to_string())
        });
    (!exposed).then(|| {
        let names: Vec<&str> = services.iter().map(|host| host.resource.name.as_str()).collect();
        format!(
            "no Service of the gateway's pods has port {dialled} ({}): nobody can dial it",
            names.join(", ")
        )
    })
}

fn protocol(server: &Server) -> String {
    server.port.get().map_or("", |port| port.protocol.text()).to_ascii_uppercase()
}

fn is_plain_http(server: &Server) -> bool {
    server_kinds(server) == [RouteKind::Http] && protocol(server) != "HTTPS"
}

fn listener(servers: &[At<'_, '_>], port: u32, chosen: Option<At<'_, '_>>) -> Hop {
    let first = chosen.or(servers.first().copied());
    let (gateway, server) = match first {
        Some((gateway, server)) => (Some(gateway), Some(server)),
        None => (None, None),
    };
    let span = server.map(|server| server.port.span().unwrap_or(server.span));
    let protocol = server.map_or(String::new(), |server| protocol(server));
    let tls = server.and_then(|server| server.tls.get()).map_or(String::new(), |tls| match tls.mode.text() {
        "" => String::new(),
        mode => format!(" {mode}"),
    });
    let summary = format!("port {port}, {protocol}{tls}");
    Hop::new(HopKind::Listener, gateway.map(|gateway| gateway.resource), span, summary)
}

fn plain_http(
    pods: &Pods<'_, '_>,
    servers: &[At<'_, '_>],
    mut way: Way,
    request: &Request,
    known: &Known,
    notes: &mut Vec<String>,
) -> Vec<Path> {
    let http: Vec<At<'_, '_>> = servers.iter().copied().filter(|(_, server)| is_plain_http(server)).collect();
    if !http.is_empty() {
        return routed(pods, &http, way, request, known, notes);
    }
    if servers.iter().any(|(_, server)| server_kinds(server) == [RouteKind::Tcp] && server.tls.is_none()) {
        return vec![bytes(pods, servers, way, request)];
    }
    way.hops.push(listener(servers, request.port, None));
    let cause = servers.first().map(|(gateway, server)| Cause::new(gateway.resource, server.span));
    let reason = "the server expects TLS and gets plaintext: the connection is closed";
    vec![failed(way, Flag::Nr, None, reason, cause)]
}

/// What the client encrypts: TLS ends here, or is passed through by SNI.
fn tls(
    pods: &Pods<'_, '_>,
    servers: &[At<'_, '_>],
    mut way: Way,
    request: &Request,
    known: &Known,
    notes: &mut Vec<String>,
) -> Vec<Path> {
    let sni = request.host.as_str();
    let with_tls =
        servers.iter().copied().filter(|(_, server)| server.tls.is_some() && !is_plain_http(server));
    let best = with_tls
        .flat_map(|at| at.1.hosts.iter().map(move |entry| (at, host_part(entry))))
        .filter(|(_, name)| matches(name, sni))
        .reduce(|best, next| if more_specific(&next.1, &best.1) { next } else { best })
        .map(|(at, _)| at);
    let Some(at) = best else {
        way.hops.push(listener(servers, request.port, None));
        let cause = servers.first().map(|(gateway, server)| Cause::new(gateway.resource, server.span));
        if servers.iter().any(|(_, server)| is_plain_http(server)) {
            let reason = "the server speaks HTTP without TLS and gets a TLS handshake";
            return vec![failed(way, Flag::Dpe, None, reason, cause)];
        }
        if servers.iter().any(|(_, server)| server.tls.is_none()) {
            return vec![bytes(pods, servers, start(request), request)];
        }
        let reason = format!("no server of the port accepts the SNI `{sni}`: the connection is closed");
        return vec![failed(way, Flag::Nr, None, reason, cause)];
    };
    match server_kinds(at.1) {
        [RouteKind::Http] if request.is_http() => routed(pods, &[at], way, request, known, notes),
        [RouteKind::Http] => {
            way.hops.push(listener(servers, request.port, Some(at)));
            let reason = "the server expects HTTP inside TLS and gets other bytes";
            let cause = Some(Cause::new(at.0.resource, at.1.span));
            vec![failed(way, Flag::Dpe, Some(400), reason, cause)]
        }
        [RouteKind::Tls] => vec![by_l4(pods, &[at], RouteKind::Tls, way, request)],
        _ => vec![by_l4(pods, &[at], RouteKind::Tcp, way, request)],
    }
}

/// Bytes that are not HTTP, or that nobody looks into.
fn bytes(pods: &Pods<'_, '_>, servers: &[At<'_, '_>], mut way: Way, request: &Request) -> Path {
    let tcp: Vec<At<'_, '_>> = servers
        .iter()
        .copied()
        .filter(|(_, server)| server_kinds(server) == [RouteKind::Tcp] && server.tls.is_none())
        .collect();
    if !tcp.is_empty() {
        return by_l4(pods, &tcp, RouteKind::Tcp, way, request);
    }
    way.hops.push(listener(servers, request.port, None));
    let cause = servers.first().map(|(gateway, server)| Cause::new(gateway.resource, server.span));
    match servers.iter().any(|(_, server)| is_plain_http(server)) {
        true => failed(way, Flag::Dpe, Some(400), "the server expects HTTP and gets other bytes", cause),
        false => failed(way, Flag::Nr, None, "the server expects TLS and gets other bytes", cause),
    }
}

/// `buildGatewayNetworkFiltersFrom…Routes`: the first matching rule of the first VirtualService.
fn by_l4(
    pods: &Pods<'_, '_>,
    servers: &[At<'_, '_>],
    kind: RouteKind,
    mut way: Way,
    request: &Request,
) -> Path {
    let port_of = servers.first().map_or(request.port, |(_, server)| port(server));
    let at = servers.first().copied();
    way.hops.push(listener(servers, request.port, at));
    for (gateway, server) in servers {
        for service in pods.services(gateway) {
            let shared = shared_hosts(gateway, server, service);
            if shared.is_empty() {
                continue;
            }
            let sni = (kind == RouteKind::Tls).then_some(request.host.as_str());
            let builder = pods.builder(gateway, port_of);
            if let Some((index, hop)) = rules::choose_l4(service, kind, builder, sni, &request.host) {
                way.hops.push(hop);
                return action::l4(pods.mesh, pods.caller(), builder, service, (kind, index), way);
            }
        }
    }
    let cause = at.map(|(gateway, server)| Cause::new(gateway.resource, server.span));
    let reason = format!("no {} rule is bound to this server: the connection is closed", kind.as_str());
    failed(way, Flag::Nr, None, reason, cause)
}

/// The hosts that a server and a VirtualService have in common.
fn shared_hosts(gateway: &Gateway<'_>, server: &Server, service: &VirtualService<'_>) -> Vec<String> {
    let mut shared: Vec<String> = Vec::new();
    for entry in &server.hosts {
        let Some(own) = server_host(entry, gateway.resource.namespace(), service.namespace()) else {
            continue;
        };
        let own = own.to_ascii_lowercase();
        for host in &service.hosts {
            let narrow = if is_subset_of(&own, host) {
                &own
            } else if is_subset_of(host, &own) {
                &host.value
            } else {
                continue;
            };
            if !shared.contains(narrow) {
                shared.push(narrow.clone());
            }
        }
    }
    shared
}

/// One virtual host of the gateway's route table.
struct VirtualHost<'m, 'a> {
    domain: String,
    routes: Vec<Built<'m, 'a>>,
    /// The server that sends everything to https.
    redirect: Option<At<'m, 'a>>,
    /// The server that accepts the host.
    server: At<'m, 'a>,
}

/// `buildGatewayHTTPRouteConfig`
fn routed<'m, 'a>(
    pods: &Pods<'m, 'a>,
    servers: &[At<'m, 'a>],
    mut way: Way,
    request: &Request,
    known: &Known,
    notes: &mut Vec<String>,
) -> Vec<Path> {
    way.message.arrive();
    let mut hosts: Vec<VirtualHost<'m, 'a>> = Vec::new();
    for at in servers.iter().copied() {
        let (gateway, server) = at;
        let redirects = server.redirects_to_https();
        let builder = pods.builder(gateway, port(server));
        for service in pods.services(gateway) {
            let shared = shared_hosts(gateway, server, service);
            if shared.is_empty() {
                continue;
            }
            let routes = rules::table(pods.mesh, service, builder);
            if routes.is_empty() {
                continue;
            }
            for domain in shared {
                let redirect = redirects.then_some(at);
                match hosts.iter_mut().find(|host| host.domain == domain) {
                    Some(host) => {
                        host.routes.extend(routes.iter().cloned());
                        host.redirect = host.redirect.or(redirect);
                    }
                    None => hosts.push(VirtualHost { domain, routes: routes.clone(), redirect, server: at }),
                }
            }
        }
        if redirects {
            for domain in server.hosts.iter().map(|entry| host_part(entry)) {
                if !hosts.iter().any(|host| host.domain == domain) {
                    hosts.push(VirtualHost { domain, routes: Vec::new(), redirect: Some(at), server: at });
                }
            }
        }
    }
    let name = way.message.host();
    let best = hosts
        .into_iter()
        .filter(|host| host.domain == name || (is_wildcard(&host.domain) && matches(&host.domain, &name)))
        .reduce(|best, next| if more_specific(&next.domain, &best.domain) { next } else { best });
    let chosen = best.as_ref().map(|host| host.server);
    way.hops.push(listener(servers, request.port, chosen));
    if let (Some(hop), Some(host)) = (way.hops.last_mut(), &best) {
        hop.detail("host", host.domain.clone(), None);
    }
    let plugins = pods.mesh.filters.iter().filter(|filter| {
        filter.runs_at_gateways()
            && match pods.pod {
                Some(pod) => filter.runs_on(pod, &pods.mesh.config.root_namespace),
                None => filter.may_run_on(pods.labels),
            }
    });
    let ways = filters::run(plugins, way, request.principal.as_deref(), known, notes);
    let route = |mut way: Way| {
        if let Some(end) = way.ended.take() {
            return stopped(way, None, end);
        }
        let Some(host) = &best else {
            let accepts = |at: &At<'_, '_>| at.1.hosts.iter().any(|entry| matches(&host_part(entry), &name));
            let reason = match servers.iter().any(accepts) {
                true => format!("no VirtualService of this gateway has the host `{name}`"),
                false => format!("no server of the gateway accepts the host `{name}`"),
            };
            return no_route(way, None, reason);
        };
        if let Some((gateway, server)) = host.redirect {
            let location = format!("https://{}{}", way.message.authority, way.message.path);
            let span = server.tls.get().and_then(|tls| tls.https_redirect.span()).unwrap_or(server.span);
            if let Some(hop) = way.hops.last_mut() {
                hop.detail("redirect", "the server sends plaintext to https", Some(span));
            }
            let cause = Some(Cause::new(gateway.resource, span));
            return stopped(way, cause, End::Redirect { status: 301, location });
        }
        let routes = rules::catch_alls_last(host.routes.clone());
        let regexes = Regexes::default();
        let matcher = Matcher { regexes: &regexes };
        let Some((route, met)) = rules::choose(&routes, &matcher, &way.message) else {
            let service = routes.first().map(|route| route.service);
            return no_route(way, service, format!("no rule for `{}` matches the request", host.domain));
        };
        way.hops.extend(rules::hops(&route, met));
        let (gateway, server) = host.server;
        let builder = pods.builder(gateway, port(server));
        action::http(pods.mesh, pods.caller(), builder, &route, way)
    };
    ways.into_iter().map(route).collect()
}
