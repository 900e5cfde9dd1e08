//! Gateways: which pods carry them, which hosts they accept and from whom
//! (`pkg/config/host#NamesForNamespace`, `push_context.go#mergeGateways`).

use rustc_hash::{FxHashMap, FxHashSet};

use super::host::matches;
use super::routes::RouteKind;
use super::workloads::{Workload, WorkloadId, Workloads};
use crate::resource::networking::{Gateway as Spec_, Server};
use crate::resource::{Resource, Spec};
use crate::span::{Span, Spanned};

/// A Gateway with the pods it is bound to.
#[derive(Debug)]
pub struct Gateway<'a> {
    /// The object.
    pub resource: &'a Resource,
    /// Its typed spec.
    pub spec: &'a Spec_,
    /// The pods that its selector selects, in any namespace.
    pub workloads: Vec<WorkloadId>,
}

/// Whether a server's `[namespace/]host` accepts VirtualServices of a namespace, and its host part.
#[must_use]
pub fn server_host<'h>(entry: &'h str, gateway_namespace: &str, client: &str) -> Option<&'h str> {
    match entry.split_once('/') {
        None => Some(entry),
        Some(("*", host)) => Some(host),
        Some((".", host)) => (client == gateway_namespace).then_some(host),
        Some((namespace, host)) => (namespace == client).then_some(host),
    }
}

/// The lists that routes of a server are taken from: http for HTTP and for HTTPS that ends here, tcp for
/// other protocols that end here, tls for passthrough (`pkg/config/gateway`, `IsHTTPServer`). All of them
/// when the server is not valid.
#[must_use]
pub fn server_kinds(server: &Server) -> &'static [RouteKind] {
    let protocol = server.port.get().map_or("", |port| port.protocol.text()).to_ascii_uppercase();
    // The mode's zero value is PASSTHROUGH.
    let passthrough =
        server.tls.get().map(|tls| matches!(tls.mode.text(), "" | "PASSTHROUGH" | "AUTO_PASSTHROUGH"));
    match (protocol.as_str(), passthrough) {
        ("HTTP" | "HTTP2" | "GRPC" | "GRPC-WEB" | "HTTP_PROXY", _) | ("HTTPS", Some(false)) => {
            &[RouteKind::Http]
        }
        ("HTTPS" | "TLS", Some(true)) => &[RouteKind::Tls],
        ("TCP" | "MONGO" | "MYSQL" | "REDIS" | "TLS", Some(false))
        | ("TCP" | "MONGO" | "MYSQL" | "REDIS", None) => &[RouteKind::Tcp],
        _ => &[RouteKind::Http, RouteKind::Tls, RouteKind::Tcp],
    }
}

impl<'a> Gateway<'a> {
    /// `namespace/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.resource.namespace(), self.resource.name.value)
    }

    /// The servers that accept a VirtualService host of a namespace.
    pub fn servers_for<'s>(
        &'s self,
        host: &'s str,
        namespace: &'s str,
    ) -> impl Iterator<Item = &'a Spanned<Server>> + 's {
        self.spec.servers.iter().filter(move |server| {
            server.hosts.iter().any(|entry| {
                server_host(entry, self.resource.namespace(), namespace)
                    .is_some_and(|accepted| matches(accepted, host))
            })
        })
    }
}

/// All Gateways.
#[derive(Debug, Default)]
pub struct Gateways<'a> {
    list: Vec<Gateway<'a>>,
    by_name: FxHashMap<(&'a str, &'a str), usize>,
    /// The objects that make gateway pods, by place.
    pods: FxHashSet<Span>,
}

impl<'a> Gateways<'a> {
    pub(super) fn new(resources: &[&'a Resource], workloads: &Workloads<'a>) -> Self {
        let mut gateways = Self::default();
        for resource in resources.iter().copied() {
            let Spec::Gateway(spec) = &resource.spec else { continue };
            gateways.by_name.insert((resource.namespace(), resource.name.as_str()), gateways.list.len());
            // Without a selector a Gateway applies to every gateway pod; which those are is unknown.
            let selected =
                if spec.selector.is_empty() { Vec::new() } else { workloads.select(&spec.selector, None) };
            gateways.list.push(Gateway { resource, spec, workloads: selected });
        }
        let selected = gateways.list.iter().flat_map(|gateway| gateway.workloads.iter().copied());
        let injected = workloads.iter().filter(|(_, workload)| workload.has_gateway_template());
        let pods: FxHashSet<WorkloadId> = selected.chain(injected.map(|(id, _)| id)).collect();
        let place = |id: &WorkloadId| workloads.get(*id).map(|workload| workload.resource.span);
        gateways.pods = pods.iter().filter_map(place).collect();
        gateways
    }

    /// Whether pods are gateways, not applications behind a sidecar: a Gateway selects them, or Istio injects
    /// them with its gateway template.
    #[must_use]
    pub fn has_pods_of(&self, workload: &Workload<'_>) -> bool {
        self.pods.contains(&workload.resource.span)
    }

    /// All Gateways.
    pub fn iter(&self) -> impl Iterator<Item = &Gateway<'a>> {
        self.list.iter()
    }

    /// A Gateway by namespace and name.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Gateway<'a>> {
        self.list.get(*self.by_name.get(&(namespace, name))?)
    }
}

/// A name in a `gateways` list: `gw` is the VirtualService's own namespace, `./gw` too, and the legacy
/// `gw.namespace.svc.cluster.local` is `namespace/gw`. `resolveGatewayName`.
#[must_use]
pub fn resolve_gateway_name(name: &str, namespace: &str) -> (String, String) {
    if let Some((prefix, rest)) = name.split_once('/') {
        let prefix = if prefix == "." { namespace } else { prefix };
        return (prefix.to_owned(), rest.to_owned());
    }
    match name.split_once('.') {
        Some((gateway, rest)) => {
            let namespace = rest.split('.').next().unwrap_or(rest);
            (namespace.to_owned(), gateway.to_owned())
        }
        None => (namespace.to_owned(), name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateway_names_resolve_to_namespace_and_name() {
        let of = |name| resolve_gateway_name(name, "voting");
        assert_eq!(of("gw"), ("voting".to_owned(), "gw".to_owned()));
        assert_eq!(of("./gw"), ("voting".to_owned(), "gw".to_owned()));
        assert_eq!(of("infra/gw"), ("infra".to_owned(), "gw".to_owned()));
        assert_eq!(of("gw.infra.svc.cluster.local"), ("infra".to_owned(), "gw".to_owned()));
    }

    #[test]
    fn a_namespace_before_the_host_filters_the_virtual_services_namespace() {
        assert_eq!(server_host("a.com", "gw", "x"), Some("a.com"));
        assert_eq!(server_host("*/a.com", "gw", "x"), Some("a.com"));
        assert_eq!(server_host("./a.com", "gw", "x"), None);
        assert_eq!(server_host("./a.com", "gw", "gw"), Some("a.com"));
        assert_eq!(server_host("x/a.com", "gw", "x"), Some("a.com"));
        assert_eq!(server_host("y/a.com", "gw", "x"), None);
    }
}
