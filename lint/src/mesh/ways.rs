//! The routes that lead one client to a port of a host: rules for other clients, rules behind one that takes
//! everything, and rules of another proxy lead nowhere. Conditions on the request are taken as possibly true.
//! Knows nothing of what is sent there.

use rustc_hash::{FxHashMap, FxHashSet};

use super::Mesh;
use super::gateways::{Gateway, server_host, server_kinds};
use super::host::{is_subset_of, is_wildcard, matches};
use super::listeners::Listener;
use super::reach::route_kinds;
use super::registry::{Host, Port};
use super::routes::{Binding, RouteKind, Source, Target, VirtualService};
use crate::resource::field::Map;

/// One way to the pods of a host: by a route, or with `None` to all of them.
pub type Way<'m, 'a> = Option<(&'m VirtualService<'a>, &'m Target<'a>)>;

/// The proxy whose routes are asked for.
#[derive(Clone, Debug)]
pub enum Router<'m, 'a> {
    /// A gateway's pods.
    Gateway {
        /// All Gateways that they carry.
        gateways: Vec<&'m Gateway<'a>>,
        /// Their namespace, if they are in the input.
        namespace: Option<&'m str>,
        /// Their labels.
        labels: &'m Map<String>,
    },
    /// A sidecar.
    Sidecar {
        /// Its namespace.
        namespace: &'m str,
        /// Its pods' labels; `None` for any pod of the namespace.
        labels: Option<&'m Map<String>>,
    },
}

/// What of a proxy decides whether it gets a rule.
#[derive(Clone, Copy)]
struct Who<'x, 'a> {
    namespace: Option<&'x str>,
    labels: Option<&'x Map<String>>,
    binding: &'x Binding<'a>,
}

/// How a proxy gets a rule.
#[derive(Clone, Copy)]
struct Gets {
    /// It does, whichever pod of the namespace it is.
    surely: bool,
    /// Every request of it that comes this far matches.
    ends: bool,
}

/// The rules that a proxy has for a port, in order.
#[derive(Default)]
struct Table<'m, 'a> {
    rules: Vec<(&'m VirtualService<'a>, usize)>,
    /// Some rule is there for every pod that is meant.
    sure: bool,
    /// The last rule takes everything.
    ended: bool,
}

/// The ways of any client; delegates are indexed once.
#[derive(Debug)]
pub struct Ways<'m, 'a> {
    mesh: &'m Mesh<'a>,
    /// VirtualServices without hosts, by namespace and name.
    delegates: FxHashMap<(&'a str, &'a str), &'m VirtualService<'a>>,
    /// Those that delegate to them.
    roots: FxHashMap<(&'a str, &'a str), Vec<&'m VirtualService<'a>>>,
}

impl<'m, 'a> Ways<'m, 'a> {
    /// Indexes a mesh's delegates.
    #[must_use]
    pub fn new(mesh: &'m Mesh<'a>) -> Self {
        let mut ways = Self { mesh, delegates: FxHashMap::default(), roots: FxHashMap::default() };
        for service in mesh.routes.iter() {
            if service.hosts.is_empty() {
                ways.delegates.insert((service.namespace(), service.resource.name.as_str()), service);
            }
            for rule in 0..service.count(RouteKind::Http) {
                let Some(name) = delegate_name(service, rule) else { continue };
                let roots = ways.roots.entry(name).or_default();
                if !roots.last().is_some_and(|last| std::ptr::eq(*last, service)) {
                    roots.push(service);
                }
            }
        }
        ways
    }

    /// The VirtualServices whose routes can lead through a destination: its own, or those that delegate to it.
    #[must_use]
    pub fn roots(&self, service: &'m VirtualService<'a>) -> Vec<&'m VirtualService<'a>> {
        if !service.hosts.is_empty() {
            return vec![service];
        }
        self.roots.get(&(service.namespace(), service.resource.name.as_str())).cloned().unwrap_or_default()
    }

    /// A VirtualService and those that it delegates to: all whose rules may be in its table.
    #[must_use]
    pub fn parts(&self, service: &'m VirtualService<'a>) -> Vec<&'m VirtualService<'a>> {
        let names = (0..service.count(RouteKind::Http)).filter_map(|rule| delegate_name(service, rule));
        let leaves = names.filter_map(|name| self.delegates.get(&name).copied());
        std::iter::once(service).chain(leaves).collect()
    }

    /// How a client's calls get to a port: by the host's own route where no rule of the host takes them, and by
    /// one route to each subset. Nothing where a gateway has no route, or every call is sent elsewhere.
    #[must_use]
    pub fn of(&self, router: &Router<'m, 'a>, host: &'m Host<'a>, port: &Port<'a>) -> Vec<Way<'m, 'a>> {
        let mut plain = match router {
            Router::Sidecar { namespace, labels } => self.is_plain(namespace, *labels, host, port),
            Router::Gateway { .. } => false,
        };
        let mut seen: FxHashSet<&str> = FxHashSet::default();
        let mut ways: Vec<Way<'m, 'a>> = Vec::new();
        for (service, target) in self.mesh.routes.targets_of(&host.name) {
            let name = target.subset().map(|name| name.as_str());
            if !target.receives_requests() || name.map_or(plain, |name| seen.contains(name)) {
                continue;
            }
            if !self.leads(router, (service, target), host, port.number) {
                continue;
            }
            match name {
                None => plain = true,
                Some(name) => {
                    seen.insert(name);
                    ways.push(Some((service, target)));
                }
            }
        }
        if plain {
            ways.insert(0, None);
        }
        ways
    }

    /// Whether some calls of a sidecar to a host's port meet no rule and go to all of its pods. HTTP that no rule
    /// takes is answered with 404 once there is a rule; a connection that none takes goes on.
    #[must_use]
    pub fn is_plain(
        &self,
        namespace: &str,
        labels: Option<&Map<String>>,
        host: &Host<'a>,
        port: &Port<'a>,
    ) -> bool {
        route_kinds(port).iter().any(|kind| {
            let table = self.sidecar_table((namespace, labels), &host.name, *kind, port.number);
            if *kind == RouteKind::Http { !table.sure } else { !table.ended }
        })
    }

    fn leads(
        &self,
        router: &Router<'m, 'a>,
        (service, target): (&'m VirtualService<'a>, &'m Target<'a>),
        host: &Host<'a>,
        number: u32,
    ) -> bool {
        let kind = target.kind;
        let has_it = |table: &Table<'m, 'a>| {
            table.rules.iter().any(|(own, rule)| std::ptr::eq(*own, service) && *rule == target.rule)
        };
        let written = target.destination.value.port_number().map(|port| port.value);
        let single = match host.ports.as_slice() {
            [only] => Some(only.number),
            _ => None,
        };
        self.roots(service).into_iter().any(|root| match router {
            Router::Sidecar { namespace, labels } => {
                // `GetDestinationCluster`: the lookup of a sidecar's http routes knows only hosts that have the
                // listener's port.
                let fixed = written.or(single.filter(|_| kind != RouteKind::Http));
                root.is_mesh()
                    && self.listeners(root, kind, namespace).into_iter().any(|(name, listener)| {
                        fixed.unwrap_or(listener) == number
                            && has_it(&self.sidecar_table((namespace, *labels), name, kind, listener))
                    })
            }
            Router::Gateway { gateways, .. } => {
                let fixed = written.or(single);
                gateways.iter().flat_map(|gateway| gateway_listeners(gateway, root, kind)).any(|listener| {
                    fixed.unwrap_or(listener) == number
                        && has_it(&self.gateway_table(router, root, kind, listener))
                })
            }
        })
    }

    /// The hosts and ports on which sidecars may use a VirtualService. One that no registry has is served on port
    /// 80, and on the ports of those beside it.
    fn listeners(
        &self,
        root: &'m VirtualService<'a>,
        kind: RouteKind,
        namespace: &str,
    ) -> Vec<(&'m str, u32)> {
        let mut found: Vec<(&'m str, u32)> = Vec::new();
        let mut foreign: Vec<&'m str> = Vec::new();
        for own in &root.hosts {
            let before = found.len();
            let mut add = |host: &'m Host<'a>| {
                let ports = host.ports.iter().filter(|port| route_kinds(port).contains(&kind));
                found.extend(ports.map(|port| (host.name.as_str(), port.number)));
            };
            if is_wildcard(own) {
                let seen = |host: &&Host<'a>| {
                    matches(own, &host.name) && host.export_to.reaches(namespace, host.namespace())
                };
                self.mesh.registry.iter().filter(seen).for_each(add);
            } else if let Some(host) = self.mesh.registry.find(own, Some(namespace)) {
                add(host);
            }
            if found.len() == before && kind == RouteKind::Http {
                foreign.push(own);
            }
        }
        let mut ports: Vec<u32> = found.iter().map(|(_, port)| *port).chain([80]).collect();
        ports.sort_unstable();
        ports.dedup();
        found.extend(foreign.into_iter().flat_map(|own| ports.iter().map(move |port| (own, *port))));
        found
    }

    fn sidecar_table(
        &self,
        (namespace, labels): (&str, Option<&Map<String>>),
        host: &str,
        kind: RouteKind,
        port: u32,
    ) -> Table<'m, 'a> {
        let mut table = Table::default();
        let who = Who { namespace: Some(namespace), labels, binding: &Binding::Mesh };
        for service in self.mesh.routes.serving(namespace, host, kind) {
            self.add_rules(&mut table, who, service, kind, port);
            if table.ended {
                break;
            }
        }
        table
    }

    /// The rules of a gateway's port: for connections those of every VirtualService in turn, for HTTP those of one,
    /// which shares the port with others by host.
    fn gateway_table(
        &self,
        router: &Router<'m, 'a>,
        root: &'m VirtualService<'a>,
        kind: RouteKind,
        port: u32,
    ) -> Table<'m, 'a> {
        let mut table = Table::default();
        let Router::Gateway { gateways, namespace, labels } = router else { return table };
        let seen = |service: &&'m VirtualService<'a>| {
            namespace.is_none_or(|own| service.export_to.reaches(own, service.namespace()))
                && (kind != RouteKind::Http || std::ptr::eq(*service, root))
        };
        let mut services: Vec<_> = self.mesh.routes.iter().filter(seen).collect();
        services.sort_by_key(|service| service.rank(namespace.unwrap_or_default()));
        for gateway in gateways {
            for service in &services {
                let Some(binding) = binding_to(service, gateway) else { continue };
                if gateway_listeners(gateway, service, kind).contains(&port) {
                    let who = Who { namespace: *namespace, labels: Some(labels), binding };
                    self.add_rules(&mut table, who, service, kind, port);
                }
                if table.ended {
                    return table;
                }
            }
        }
        table
    }

    /// Adds the rules of a VirtualService that a proxy gets, up to the first that takes everything.
    fn add_rules(
        &self,
        table: &mut Table<'m, 'a>,
        who: Who<'_, 'a>,
        service: &'m VirtualService<'a>,
        kind: RouteKind,
        port: u32,
    ) {
        for rule in 0..service.count(kind) {
            let Some(gets) = gets(who, service, kind, rule, port) else { continue };
            let name = if kind == RouteKind::Http { delegate_name(service, rule) } else { None };
            let Some(name) = name else {
                table.add((service, rule), gets);
                if table.ended {
                    return;
                }
                continue;
            };
            let leaf = self
                .delegates
                .get(&name)
                .filter(|leaf| leaf.export_to.reaches(service.namespace(), leaf.namespace()));
            let Some(leaf) = leaf else { continue };
            for own in 0..leaf.count(kind) {
                let Some(both) = self::gets(who, leaf, kind, own, port) else { continue };
                let both = Gets { surely: gets.surely && both.surely, ends: gets.ends && both.ends };
                table.add((leaf, own), both);
                if table.ended {
                    return;
                }
            }
        }
    }
}

impl<'m, 'a> Table<'m, 'a> {
    fn add(&mut self, rule: (&'m VirtualService<'a>, usize), gets: Gets) {
        self.rules.push(rule);
        self.sure |= gets.surely;
        self.ended |= gets.ends;
    }
}

fn delegate_name<'a>(service: &VirtualService<'a>, rule: usize) -> Option<(&'a str, &'a str)> {
    let delegate = service.spec.http.get(rule)?.value.delegate.get()?;
    let namespace = Some(delegate.namespace.text()).filter(|own| !own.is_empty());
    Some((namespace.unwrap_or(service.namespace()), delegate.name.text()))
}

/// How a proxy gets a rule; `None` when the rule is not for it.
fn gets<'a>(
    who: Who<'_, 'a>,
    service: &VirtualService<'a>,
    kind: RouteKind,
    rule: usize,
    port: u32,
) -> Option<Gets> {
    let sources = service.sources(kind, rule);
    if sources.is_empty() {
        // A tls rule without names takes nothing.
        return (kind != RouteKind::Tls).then_some(Gets { surely: true, ends: true });
    }
    let mut found: Option<Gets> = None;
    for source in sources {
        let Some(surely) = admits(who, service, kind, &source, port) else { continue };
        if kind == RouteKind::Tls && source.unconditional {
            continue;
        }
        let before = found.unwrap_or(Gets { surely: false, ends: false });
        found = Some(Gets {
            surely: before.surely || surely,
            ends: before.ends || (surely && source.unconditional),
        });
    }
    found
}

/// Whether a match block is for a proxy, and if so whether that is certain without its labels.
fn admits<'a>(
    who: Who<'_, 'a>,
    service: &VirtualService<'a>,
    kind: RouteKind,
    source: &Source<'a>,
    port: u32,
) -> Option<bool> {
    let gateway = match who.binding {
        Binding::Mesh => None,
        Binding::Gateway { namespace, name, .. } => Some((namespace.as_str(), name.as_str())),
    };
    let listener = Listener { gateway, labels: who.labels, namespace: who.namespace, port: Some(port) };
    if source.reaches(kind, listener, service.namespace()) {
        return Some(true);
    }
    // Some pod of the namespace may have the labels.
    let right_pod = Listener { labels: Some(source.labels), ..listener };
    (who.labels.is_none() && source.reaches(kind, right_pod, service.namespace())).then_some(false)
}

fn binding_to<'s, 'a>(service: &'s VirtualService<'a>, gateway: &Gateway<'_>) -> Option<&'s Binding<'a>> {
    service.bindings.iter().find(|binding| {
        matches!(binding, Binding::Gateway { namespace, name, .. }
            if *namespace == gateway.resource.namespace() && *name == gateway.resource.name.as_str())
    })
}

/// The ports of a Gateway's servers that have routes of this kind for a host of a VirtualService.
fn gateway_listeners(gateway: &Gateway<'_>, service: &VirtualService<'_>, kind: RouteKind) -> Vec<u32> {
    let shares = |entry: &str| {
        server_host(entry, gateway.resource.namespace(), service.namespace()).is_some_and(|accepted| {
            let accepted = accepted.to_ascii_lowercase();
            service.hosts.iter().any(|own| is_subset_of(&accepted, own) || is_subset_of(own, &accepted))
        })
    };
    let serves = gateway.spec.servers.iter().filter(|server| {
        !server.redirects_to_https()
            && server_kinds(server).contains(&kind)
            && server.hosts.iter().any(|entry| shares(entry))
    });
    serves.filter_map(|server| server.port_number()).collect()
}
