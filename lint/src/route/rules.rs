//! The route table that Istio builds for one proxy, and the entry of it that takes a request
//! (`core/route/route.go`, `core/gateway.go`, `core/tls.go`). Knows proxies and rules, not destinations.

use super::message::{Block, Matcher, Message, can_join};
use super::{Detail, Hop, HopKind};
use crate::mesh::Mesh;
use crate::mesh::host::{in_subnet, matches};
use crate::mesh::listeners::Listener;
use crate::mesh::routes::{RouteKind, Source as RuleSource, VirtualService, is_catch_all};
use crate::resource::field::{List, Map};
use crate::resource::networking::{HttpMatch, HttpRoute, L4Match};
use crate::span::Spanned;

/// For whom a table is built.
#[derive(Clone, Copy, Debug)]
pub(super) struct Builder<'m> {
    /// The gateway whose routes they are, by namespace and name; `None` for a sidecar.
    pub(super) gateway: Option<(&'m str, &'m str)>,
    /// Labels of the proxy's pods.
    pub(super) labels: &'m Map<String>,
    /// Their namespace, if known.
    pub(super) namespace: Option<&'m str>,
    /// The port of the listener.
    pub(super) port: u32,
}

impl Builder<'_> {
    fn gets(&self, kind: RouteKind, source: &RuleSource<'_>, own_namespace: &str) -> bool {
        let Self { gateway, labels, namespace, port } = *self;
        let listener = Listener { gateway, labels: Some(labels), namespace, port: Some(port) };
        source.reaches(kind, listener, own_namespace)
    }
}

/// One route of a table.
#[derive(Clone, Debug)]
pub(super) struct Built<'m, 'a> {
    /// The VirtualService.
    pub(super) service: &'m VirtualService<'a>,
    /// Place of the rule in its `http`.
    pub(super) index: usize,
    /// The rule.
    pub(super) rule: &'a Spanned<HttpRoute>,
    /// The rule that it delegates to.
    pub(super) leaf: Option<(&'m VirtualService<'a>, usize, &'a Spanned<HttpRoute>)>,
    blocks: (Block<'a>, Block<'a>),
}

impl<'m, 'a> Built<'m, 'a> {
    fn is_catch_all(&self) -> bool {
        // `IsCatchAllRoute` does not count the prefix of no letter, although it takes everything.
        let is_empty_prefix = |block: &HttpMatch| {
            block.uri.get().and_then(|uri| uri.prefix.get()).is_some_and(String::is_empty)
        };
        let mut blocks = [self.blocks.0, self.blocks.1].into_iter().flatten();
        blocks.all(|block| is_catch_all(block) && !is_empty_prefix(block))
    }

    /// The rule whose destinations count, and its VirtualService.
    pub(super) fn last(&self) -> (&'m VirtualService<'a>, &'a Spanned<HttpRoute>) {
        self.leaf.map_or((self.service, self.rule), |(service, _, rule)| (service, rule))
    }

    /// The block whose `uri` decides what a rewrite replaces.
    pub(super) fn uri_block(&self) -> Option<&'a HttpMatch> {
        let blocks = [self.blocks.1, self.blocks.0];
        blocks.into_iter().flatten().map(|block| &block.value).find(|block| block.uri.is_some())
    }

    /// A field of the delegate's rule, else of the root's.
    pub(super) fn field<T>(&self, get: impl Fn(&'a HttpRoute) -> Option<&'a T>) -> Option<&'a T> {
        self.leaf.and_then(|(_, _, rule)| get(&rule.value)).or_else(|| get(&self.rule.value))
    }
}

/// `BuildHTTPRoutesForVirtualService`: what a VirtualService gives this proxy, in order.
pub(super) fn table<'m, 'a>(
    mesh: &'m Mesh<'a>,
    service: &'m VirtualService<'a>,
    builder: Builder<'_>,
) -> Vec<Built<'m, 'a>> {
    let mut built: Vec<Built<'m, 'a>> = Vec::new();
    for (index, rule) in service.spec.http.iter().enumerate() {
        let route = |leaf, blocks| Built { service, index, rule, leaf, blocks };
        let mut added: Vec<Built<'m, 'a>> = Vec::new();
        if let Some(delegate) = rule.delegate.get() {
            let Some(other) = mesh.routes.delegate_of(service, delegate) else { continue };
            for (place, leaf) in other.spec.http.iter().enumerate() {
                for root in blocks(&rule.r#match) {
                    for own in blocks(&leaf.r#match) {
                        if root.zip(own).is_none_or(|(root, own)| can_join(root, own)) {
                            added.push(route(Some((other, place, leaf)), (root, own)));
                        }
                    }
                }
            }
        } else {
            added.extend(blocks(&rule.r#match).map(|block| route(None, (block, None))));
        }
        for route in added {
            let namespaces = [service.namespace(), route.leaf.map_or("", |(leaf, ..)| leaf.namespace())];
            let gets =
                [route.blocks.0, route.blocks.1].into_iter().zip(namespaces).all(|(block, namespace)| {
                    block.is_none_or(|block| {
                        builder.gets(RouteKind::Http, &RuleSource::http(block), namespace)
                    })
                });
            if !gets {
                continue;
            }
            let ends = route.is_catch_all();
            built.push(route);
            if ends {
                return built;
            }
        }
    }
    built
}

/// The blocks of a rule; one that is no condition when there is none.
pub(super) fn blocks<'a>(list: &'a List<HttpMatch>) -> impl Iterator<Item = Block<'a>> {
    let none = list.is_empty().then_some(None);
    list.iter().map(Some).chain(none)
}

/// `SortVHostRoutes`: on gateways routes of several VirtualServices share a virtual host, and those that take
/// everything come last.
pub(super) fn catch_alls_last<'m, 'a>(routes: Vec<Built<'m, 'a>>) -> Vec<Built<'m, 'a>> {
    let (last, first): (Vec<_>, Vec<_>) = routes.into_iter().partition(Built::is_catch_all);
    first.into_iter().chain(last).collect()
}

/// The first route that takes a request, and the tests that it meets.
pub(super) fn choose<'m, 'a>(
    routes: &[Built<'m, 'a>],
    matcher: &Matcher<'_>,
    message: &Message,
) -> Option<(Built<'m, 'a>, Vec<Detail>)> {
    routes.iter().find_map(|route| {
        let mut met = Vec::new();
        for block in [route.blocks.0, route.blocks.1].into_iter().flatten() {
            met.extend(matcher.block(block, message)?);
            met.extend(source_details(block));
        }
        Some((route.clone(), met))
    })
}

fn source_details(block: &HttpMatch) -> Vec<Detail> {
    let mut met = Vec::new();
    let mut add = |text: String, span| met.push(Detail { label: "match", text, span });
    if block.gateways.is_empty() {
        if !block.source_labels.is_empty() {
            add(format!("sourceLabels {}", block.source_labels.describe()), block.source_labels.span());
        }
        if let Some(namespace) = block.source_namespace.as_ref().filter(|name| !name.is_empty()) {
            add(format!("sourceNamespace {}", namespace.value), Some(namespace.span));
        }
    } else {
        let names: Vec<&str> = block.gateways.iter().map(|name| name.as_str()).collect();
        add(format!("gateways {}", names.join(", ")), block.gateways.first().map(|name| name.span));
    }
    if let Some(port) = block.port.as_ref() {
        add(format!("port {}", port.value), Some(port.span));
    }
    met
}

/// The hops of a chosen http route: the rule, and the one it delegates to.
pub(super) fn hops(route: &Built<'_, '_>, met: Vec<Detail>) -> Vec<Hop> {
    let mut hops = vec![rule_hop(HopKind::VirtualService, route.service, RouteKind::Http, route.index)];
    if let Some(hop) = hops.first_mut() {
        let span = route.blocks.0.map(|block| block.span);
        hop.span = span.or(hop.span);
        if met.is_empty() {
            hop.detail("match", "every request", span);
        }
        hop.details.extend(met);
    }
    if let Some((leaf, index, _)) = route.leaf {
        hops.push(rule_hop(HopKind::Delegate, leaf, RouteKind::Http, index));
    }
    hops
}

fn rule_hop(kind: HopKind, service: &VirtualService<'_>, list: RouteKind, index: usize) -> Hop {
    let name = match list {
        RouteKind::Http => service.spec.http.get(index).map_or("", |rule| rule.name.text()),
        _ => "",
    };
    let name = if name.is_empty() { String::new() } else { format!(" ({name})") };
    let summary = format!("{}[{index}]{name}", list.as_str());
    Hop::new(kind, Some(service.resource), service.rule_span(list, index), summary)
}

/// The first tcp or tls rule of a VirtualService that this proxy gets and that takes a connection, with its hop.
/// `sni` is what the client asks for; a rule with `destinationSubnets` is passed over when the address is a name.
pub(super) fn choose_l4<'m, 'a>(
    service: &'m VirtualService<'a>,
    kind: RouteKind,
    builder: Builder<'_>,
    sni: Option<&str>,
    address: &str,
) -> Option<(usize, Hop)> {
    let lists: Vec<&'a List<L4Match>> = match kind {
        RouteKind::Tcp => service.spec.tcp.iter().map(|rule| &rule.value.r#match).collect(),
        RouteKind::Tls => service.spec.tls.iter().map(|rule| &rule.value.r#match).collect(),
        RouteKind::Http => Vec::new(),
    };
    let takes = |block: &&'a Spanned<L4Match>| {
        let names = &block.sni_hosts;
        let sni_ok = kind != RouteKind::Tls
            || names.iter().any(|name| {
                sni.is_some_and(|sni| matches(&name.to_ascii_lowercase(), &sni.to_ascii_lowercase()))
            });
        let subnet_ok = block.destination_subnets.is_empty()
            || block.destination_subnets.iter().any(|subnet| in_subnet(subnet, address));
        builder.gets(kind, &RuleSource::l4(block), service.namespace()) && sni_ok && subnet_ok
    };
    for (index, blocks) in lists.into_iter().enumerate() {
        let block = blocks.iter().find(takes);
        if block.is_none() && !(blocks.is_empty() && kind == RouteKind::Tcp) {
            continue;
        }
        let mut hop = rule_hop(HopKind::VirtualService, service, kind, index);
        let Some(block) = block else {
            hop.detail("match", "every connection", None);
            return Some((index, hop));
        };
        hop.span = Some(block.span);
        let list = |names: &List<String>| {
            let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
            names.join(", ")
        };
        if kind == RouteKind::Tls {
            let span = block.sni_hosts.first().map(|name| name.span);
            hop.detail("match", format!("SNI {}", list(&block.sni_hosts)), span);
        }
        if !block.source_labels.is_empty() {
            let text = format!("sourceLabels {}", block.source_labels.describe());
            let text =
                if builder.gateway.is_some() { format!("{text} (ignored on a gateway)") } else { text };
            hop.detail("match", text, block.source_labels.span());
        }
        if let Some(namespace) = block.source_namespace.as_ref() {
            hop.detail("match", format!("sourceNamespace {}", namespace.value), Some(namespace.span));
        }
        if let Some(port) = block.port.as_ref() {
            hop.detail("match", format!("port {}", port.value), Some(port.span));
        }
        if !block.destination_subnets.is_empty() {
            let span = block.destination_subnets.first().map(|subnet| subnet.span);
            hop.detail("match", format!("destinationSubnets {}", list(&block.destination_subnets)), span);
        }
        if hop.details.is_empty() {
            hop.detail("match", "every connection", Some(block.span));
        }
        return Some((index, hop));
    }
    None
}
