//! VirtualServices as route tables: which rules a client gets, in which order, and where they lead
//! (`core/route/route.go`, `core/tls.go`, `model/virtualservice.go`).

use std::ops::Range;

use rustc_hash::FxHashMap;

use super::config::MeshConfig;
use super::export::ExportTo;
use super::gateways::resolve_gateway_name;
use super::host::{is_wildcard, matches, more_specific, resolve_short_name};
use super::listeners::Listener;
use super::workloads::Workload;
use crate::resource::field::{List, Map};
use crate::resource::networking::{
    Delegate, Destination, HttpMatch, L4Match, VirtualService as VirtualServiceSpec,
};
use crate::resource::{Resource, Spec};
use crate::span::{Span, Spanned};

/// Which of a VirtualService's three lists a rule is in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum RouteKind {
    /// `http`
    Http,
    /// `tls`
    Tls,
    /// `tcp`
    Tcp,
}

impl RouteKind {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Http, Self::Tls, Self::Tcp];

    /// The field's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tls => "tls",
            Self::Tcp => "tcp",
        }
    }
}

/// One entry of `gateways`; an absent list is the mesh alone.
#[derive(Clone, Debug)]
pub enum Binding<'a> {
    /// Every sidecar.
    Mesh,
    /// A Gateway by namespace and name.
    Gateway {
        /// Namespace of the Gateway.
        namespace: String,
        /// Name of the Gateway.
        name: String,
        /// As written.
        written: &'a Spanned<String>,
    },
}

/// A VirtualService with its hosts and gateways resolved.
#[derive(Debug)]
pub struct VirtualService<'a> {
    /// The object.
    pub resource: &'a Resource,
    /// Its typed spec.
    pub spec: &'a VirtualServiceSpec,
    /// Fully qualified hosts, in order, with their places. Empty for a delegate.
    pub hosts: Vec<Spanned<String>>,
    /// Where it applies.
    pub bindings: Vec<Binding<'a>>,
    /// Who can see it.
    pub export_to: ExportTo<'a>,
    /// Its destinations in [`Routes`].
    targets: Range<usize>,
}

impl<'a> VirtualService<'a> {
    /// Its namespace.
    #[must_use]
    pub fn namespace(&self) -> &'a str {
        self.resource.namespace()
    }

    /// Whether sidecars use it.
    #[must_use]
    pub fn is_mesh(&self) -> bool {
        self.bindings.iter().any(|binding| matches!(binding, Binding::Mesh))
    }

    /// Its place among several for one host, the first of which counts: those that a client's own namespace keeps
    /// for itself or for namespaces it names, those that others export to it by name, public ones
    /// (`initVirtualServices` in `pilot/pkg/model/push_context.go`).
    #[must_use]
    pub fn rank(&self, client: &str) -> u8 {
        match &self.export_to {
            ExportTo::All => 2,
            ExportTo::Namespaces(_) if client == self.namespace() => 0,
            ExportTo::Namespaces(_) => 1,
        }
    }

    /// How many rules a list has.
    #[must_use]
    pub fn count(&self, kind: RouteKind) -> usize {
        match kind {
            RouteKind::Http => self.spec.http.len(),
            RouteKind::Tls => self.spec.tls.len(),
            RouteKind::Tcp => self.spec.tcp.len(),
        }
    }

    /// Every rule of every list.
    pub fn rules(&self) -> impl Iterator<Item = (RouteKind, usize)> + use<'a> {
        let counts = RouteKind::ALL.map(|kind| (kind, self.count(kind)));
        counts.into_iter().flat_map(|(kind, count)| (0..count).map(move |rule| (kind, rule)))
    }

    /// The match blocks of a rule, reduced to what decides which client gets it.
    #[must_use]
    pub fn sources(&self, kind: RouteKind, rule: usize) -> Vec<Source<'a>> {
        let l4 = |blocks: &'a List<L4Match>| blocks.iter().map(Source::l4).collect();
        match kind {
            RouteKind::Http => self
                .spec
                .http
                .get(rule)
                .map(|rule| rule.r#match.iter().map(Source::http).collect())
                .unwrap_or_default(),
            RouteKind::Tcp => self.spec.tcp.get(rule).map(|rule| l4(&rule.r#match)).unwrap_or_default(),
            RouteKind::Tls => self.spec.tls.get(rule).map(|rule| l4(&rule.r#match)).unwrap_or_default(),
        }
    }

    /// The whole rule's place.
    #[must_use]
    pub fn rule_span(&self, kind: RouteKind, rule: usize) -> Option<Span> {
        match kind {
            RouteKind::Http => self.spec.http.get(rule).map(|rule| rule.span),
            RouteKind::Tcp => self.spec.tcp.get(rule).map(|rule| rule.span),
            RouteKind::Tls => self.spec.tls.get(rule).map(|rule| rule.span),
        }
    }

    /// Whether a name in a match block's `gateways` is this binding.
    fn names_binding(&self, name: &str, binding: &Binding<'_>) -> bool {
        match binding {
            Binding::Mesh => name == "mesh",
            Binding::Gateway { namespace, name: gateway, .. } => {
                name != "mesh"
                    && resolve_gateway_name(name, self.namespace()) == (namespace.clone(), gateway.clone())
            }
        }
    }

    /// Whether a match block can apply at a binding.
    #[must_use]
    pub fn source_allows(&self, source: &Source<'_>, binding: &Binding<'_>) -> bool {
        source.gateways.is_empty() || source.gateways.iter().any(|name| self.names_binding(name, binding))
    }
}

/// What of a match block decides which client gets the rule.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The block.
    pub span: Span,
    /// `gateways`
    pub gateways: &'a List<String>,
    /// `sourceLabels`
    pub labels: &'a Map<String>,
    /// `sourceNamespace`
    pub namespace: Option<&'a str>,
    /// `port`
    pub port: Option<u32>,
    /// Nothing else is tested: every request of the client matches.
    pub unconditional: bool,
}

impl<'a> Source<'a> {
    pub(crate) fn http(block: &'a Spanned<HttpMatch>) -> Self {
        Self {
            span: block.span,
            gateways: &block.gateways,
            labels: &block.source_labels,
            namespace: block.source_namespace.get().map(String::as_str).filter(|ns| !ns.is_empty()),
            port: block.port.get().copied(),
            unconditional: is_catch_all(block),
        }
    }

    pub(crate) fn l4(block: &'a Spanned<L4Match>) -> Self {
        Self {
            span: block.span,
            gateways: &block.gateways,
            labels: &block.source_labels,
            namespace: block.source_namespace.get().map(String::as_str).filter(|ns| !ns.is_empty()),
            port: block.port.get().copied(),
            unconditional: block.destination_subnets.is_empty() && block.sni_hosts.is_empty(),
        }
    }

    /// Whether a sidecar client gets the rule.
    #[must_use]
    pub fn admits(&self, kind: RouteKind, client: &Workload<'_>, port: u32) -> bool {
        // Only names of Gateways are looked up in a namespace.
        self.reaches(kind, Listener::sidecar(client, port), "")
    }
}

/// `IsCatchAllRoute`: no condition on the request, or one that every request meets.
#[must_use]
pub fn is_catch_all(block: &HttpMatch) -> bool {
    let any_uri = block.uri.get().is_none_or(|uri| {
        uri.prefix.get().is_some_and(|prefix| prefix == "/" || prefix.is_empty())
            || uri.regex.get().is_some_and(|regex| regex == ".*" || regex == "*")
            || (uri.exact.is_none() && uri.prefix.is_none() && uri.regex.is_none())
    });
    any_uri
        && block.scheme.is_none()
        && block.method.is_none()
        && block.authority.is_none()
        && block.headers.is_empty()
        && block.without_headers.is_empty()
        && block.query_params.is_empty()
}

/// What a destination is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The answer comes from here.
    Route,
    /// A copy goes here.
    Mirror,
}

/// One destination of one rule.
#[derive(Debug)]
pub struct Target<'a> {
    /// Index in [`Routes`].
    virtual_service: usize,
    /// Which list.
    pub kind: RouteKind,
    /// Which rule of the list.
    pub rule: usize,
    /// Route or mirror.
    pub role: Role,
    /// How many destinations the rule's `route` has.
    pub siblings: usize,
    /// `weight`
    pub weight: Option<i64>,
    /// The destination.
    pub destination: &'a Spanned<Destination>,
    /// Its fully qualified host.
    pub host: String,
    /// Where the host is written.
    pub host_span: Span,
}

impl<'a> Target<'a> {
    /// The subset's name.
    #[must_use]
    pub fn subset(&self) -> Option<&'a Spanned<String>> {
        self.destination.value.subset.as_ref().filter(|name| !name.is_empty())
    }

    /// Whether the rule can send requests here: one of several destinations with weight 0 gets none.
    #[must_use]
    pub fn receives_requests(&self) -> bool {
        self.siblings < 2 || self.role == Role::Mirror || self.weight.unwrap_or(0) > 0
    }
}

/// All VirtualServices and their destinations.
#[derive(Debug, Default)]
pub struct Routes<'a> {
    list: Vec<VirtualService<'a>>,
    targets: Vec<Target<'a>>,
    targets_by_host: FxHashMap<String, Vec<usize>>,
    mesh_by_host: FxHashMap<String, Vec<usize>>,
    mesh_wildcards: Vec<usize>,
    /// The last object of each name; in a folder of alternatives it is the one that `kubectl` leaves.
    last_of_name: FxHashMap<(&'a str, &'a str), usize>,
}

impl<'a> Routes<'a> {
    pub(super) fn new(resources: &[&'a Resource], config: &'a MeshConfig) -> Self {
        let mut routes = Self::default();
        for resource in resources.iter().copied() {
            let Spec::VirtualService(spec) = &resource.spec else { continue };
            routes.add(resource, spec, config);
        }
        routes
    }

    fn add(&mut self, resource: &'a Resource, spec: &'a VirtualServiceSpec, config: &'a MeshConfig) {
        let index = self.list.len();
        let namespace = resource.namespace();
        let fqdn = |host: &str| resolve_short_name(&host.to_ascii_lowercase(), namespace, &config.domain);
        let hosts: Vec<Spanned<String>> =
            spec.hosts.iter().map(|host| Spanned { span: host.span, value: fqdn(host) }).collect();
        let bindings: Vec<Binding<'a>> = if spec.gateways.is_empty() {
            vec![Binding::Mesh]
        } else {
            spec.gateways
                .iter()
                .map(|written| match written.as_str() {
                    "mesh" => Binding::Mesh,
                    name => {
                        let (namespace, name) = resolve_gateway_name(name, namespace);
                        Binding::Gateway { namespace, name, written }
                    }
                })
                .collect()
        };
        let service = VirtualService {
            resource,
            spec,
            hosts,
            bindings,
            export_to: ExportTo::new(&spec.export_to, &config.default_virtual_service_export_to),
            targets: self.targets.len()..self.targets.len(),
        };
        if !resource.name.is_empty() {
            self.last_of_name.insert((namespace, resource.name.as_str()), index);
        }
        if service.is_mesh() {
            for host in &service.hosts {
                self.mesh_by_host.entry(host.value.clone()).or_default().push(index);
                if is_wildcard(host) {
                    self.mesh_wildcards.push(index);
                }
            }
        }
        self.list.push(service);
        let mut add = |kind, rule, role, siblings, weight, destination: &'a Spanned<Destination>| {
            let Some(host) = destination.value.host.as_ref() else { return };
            let target = Target {
                virtual_service: index,
                kind,
                rule,
                role,
                siblings,
                weight,
                destination,
                host: fqdn(host),
                host_span: host.span,
            };
            self.targets_by_host.entry(target.host.clone()).or_default().push(self.targets.len());
            self.targets.push(target);
        };
        for (rule, route) in spec.http.iter().enumerate() {
            for entry in &route.route {
                if let Some(destination) = entry.destination.as_ref() {
                    let weight = entry.weight.get().copied();
                    add(RouteKind::Http, rule, Role::Route, route.route.len(), weight, destination);
                }
            }
            let mirrors = route.mirrors.iter().filter_map(|mirror| mirror.destination.as_ref());
            for destination in route.mirror.iter().chain(mirrors) {
                add(RouteKind::Http, rule, Role::Mirror, 0, None, destination);
            }
        }
        let l4 = spec
            .tls
            .iter()
            .enumerate()
            .map(|(rule, route)| (RouteKind::Tls, rule, &route.value.route))
            .chain(
                spec.tcp.iter().enumerate().map(|(rule, route)| (RouteKind::Tcp, rule, &route.value.route)),
            );
        for (kind, rule, entries) in l4 {
            for entry in entries {
                if let Some(destination) = entry.destination.as_ref() {
                    let weight = entry.weight.get().copied();
                    add(kind, rule, Role::Route, entries.len(), weight, destination);
                }
            }
        }
        if let Some(service) = self.list.get_mut(index) {
            service.targets.end = self.targets.len();
        }
    }

    /// All VirtualServices.
    pub fn iter(&self) -> impl Iterator<Item = &VirtualService<'a>> {
        self.list.iter()
    }

    /// Every destination of every rule, with its VirtualService.
    pub fn targets(&self) -> impl Iterator<Item = (&VirtualService<'a>, &Target<'a>)> {
        self.targets.iter().filter_map(|target| Some((self.list.get(target.virtual_service)?, target)))
    }

    /// Every destination with a fully qualified host.
    pub fn targets_of(&self, host: &str) -> impl Iterator<Item = (&VirtualService<'a>, &Target<'a>)> {
        self.targets_by_host.get(host).into_iter().flatten().filter_map(|index| {
            let target = self.targets.get(*index)?;
            Some((self.list.get(target.virtual_service)?, target))
        })
    }

    /// The destinations of all rules of a VirtualService.
    pub fn targets_of_service(&self, service: &VirtualService<'a>) -> impl Iterator<Item = &Target<'a>> {
        self.targets.get(service.targets.clone()).unwrap_or(&[]).iter()
    }

    /// The destinations of one rule.
    pub fn targets_of_rule<'m>(
        &'m self,
        service: &'m VirtualService<'a>,
        kind: RouteKind,
        rule: usize,
    ) -> impl Iterator<Item = &'m Target<'a>> {
        self.targets_of_service(service).filter(move |target| target.kind == kind && target.rule == rule)
    }

    /// The mesh's VirtualServices that a namespace sees: private ones, then those exported to it, then public
    /// ones, each in the order of the input (a cluster goes by age).
    #[must_use]
    pub fn seen_by(&self, client: &str) -> Vec<&VirtualService<'a>> {
        self.in_order(client, (0..self.list.len()).collect())
    }

    /// The VirtualServices whose rules of a kind sidecars of a namespace use for a host: one for HTTP, every one
    /// that has the host for connections (`getConfigsForHost`).
    #[must_use]
    pub fn serving(&self, client: &str, host: &str, kind: RouteKind) -> Vec<&VirtualService<'a>> {
        if kind == RouteKind::Http {
            return self.for_mesh_host(client, host).into_iter().collect();
        }
        let mut services = self.in_order(client, self.with_host(host).collect());
        services.retain(|service| service.hosts.iter().any(|own| matches(own, host)));
        services
    }

    /// Those that a namespace sees, the order of Istio's index of VirtualServices.
    fn in_order(&self, client: &str, mut indexes: Vec<usize>) -> Vec<&VirtualService<'a>> {
        indexes.sort_unstable();
        indexes.dedup();
        let is_seen = |service: &&VirtualService<'a>| {
            service.is_mesh() && service.export_to.reaches(client, service.namespace())
        };
        let mut services: Vec<_> = indexes
            .into_iter()
            .filter(|index| self.is_last_of_name(*index))
            .filter_map(|index| self.list.get(index))
            .filter(is_seen)
            .collect();
        services.sort_by_key(|service| service.rank(client));
        services
    }

    /// The mesh's VirtualServices that may have a host: by name, or by some wildcard.
    fn with_host(&self, host: &str) -> impl Iterator<Item = usize> {
        self.mesh_by_host.get(host).into_iter().flatten().chain(&self.mesh_wildcards).copied()
    }

    /// The VirtualService that a rule of another delegates to. Of two with one name the later counts; one that has
    /// hosts of its own, or is not exported to the root's namespace, is none.
    #[must_use]
    pub fn delegate_of(&self, root: &VirtualService<'_>, delegate: &Delegate) -> Option<&VirtualService<'a>> {
        let namespace = Some(delegate.namespace.text()).filter(|namespace| !namespace.is_empty());
        let (namespace, name) = (namespace.unwrap_or_else(|| root.namespace()), delegate.name.text());
        let service = self.list.get(*self.last_of_name.get(&(namespace, name))?)?;
        let is_free = service.hosts.is_empty() && service.export_to.reaches(root.namespace(), namespace);
        is_free.then_some(service)
    }

    /// Of two objects with one name the later is the one that is left.
    fn is_last_of_name(&self, index: usize) -> bool {
        self.list.get(index).is_some_and(|service| {
            let name = (service.namespace(), service.resource.name.as_str());
            self.last_of_name.get(&name).is_none_or(|last| *last == index)
        })
    }

    /// The VirtualService that sidecars of a namespace use for a host: the most specific host first, then by
    /// [`VirtualService::rank`], then the first of the input (a cluster takes the oldest).
    #[must_use]
    pub fn for_mesh_host(&self, client: &str, host: &str) -> Option<&VirtualService<'a>> {
        let best_host = |service: &VirtualService<'a>| {
            service
                .hosts
                .iter()
                .filter(|own| matches(own, host))
                .map(|own| own.value.clone())
                .reduce(|best, own| if more_specific(&own, &best) { own } else { best })
        };
        let candidates = self
            .with_host(host)
            .filter(|index| self.is_last_of_name(*index))
            .filter_map(|index| self.list.get(index));
        candidates
            .filter(|service| service.export_to.reaches(client, service.namespace()))
            .filter_map(|service| Some((service, best_host(service)?)))
            .reduce(|best, next| {
                let wins = more_specific(&next.1, &best.1)
                    || (next.1 == best.1 && next.0.rank(client) < best.0.rank(client));
                if wins { next } else { best }
            })
            .map(|(service, _)| service)
    }
}
