//! Where a proxy takes requests in, as the rules of a VirtualService see it: which rules a listener gets
//! (`core/route/route.go#sourceMatchHTTP`, `core/gateway.go#l4SingleMatch`). Knows match blocks and servers, not requests.

use super::Mesh;
use super::gateways::{resolve_gateway_name, server_kinds};
use super::routes::{Binding, RouteKind, Source};
use super::workloads::Workload;
use crate::resource::field::Map;

/// A port of a proxy that rules are chosen for.
#[derive(Clone, Copy, Debug)]
pub struct Listener<'m> {
    /// Namespace and name of the Gateway whose routes they are; `None` for a sidecar.
    pub gateway: Option<(&'m str, &'m str)>,
    /// Labels of the proxy's pods; `None` for a gateway of which the input has nothing.
    pub labels: Option<&'m Map<String>>,
    /// Their namespace, if known.
    pub namespace: Option<&'m str>,
    /// The port; `None` for a gateway whose servers are not in the input.
    pub port: Option<u32>,
}

/// A port on which a Gateway takes requests to a host.
#[derive(Clone, Debug)]
pub struct Door<'m> {
    /// How rules see it.
    pub listener: Listener<'m>,
    /// The lists of rules that are used, in the order of [`RouteKind::ALL`].
    pub kinds: Vec<RouteKind>,
}

impl<'m> Listener<'m> {
    /// A sidecar's listener.
    #[must_use]
    pub fn sidecar(client: &'m Workload<'_>, port: u32) -> Self {
        let namespace = Some(client.namespace());
        Self { gateway: None, labels: Some(client.labels), namespace, port: Some(port) }
    }
}

impl Source<'_> {
    /// Whether a listener gets the rule of a VirtualService in a namespace. An http block that names gateways is
    /// not compared with the proxy's labels or namespace at all. Gateways compare the labels of their own pods
    /// with http blocks, and none with tcp and tls blocks.
    #[must_use]
    pub fn reaches(&self, kind: RouteKind, listener: Listener<'_>, namespace: &str) -> bool {
        let names_me = |name: &str| match listener.gateway {
            None => name == "mesh",
            Some((own, gateway)) => {
                let (namespace, resolved) = resolve_gateway_name(name, namespace);
                name != "mesh" && namespace == own && resolved == gateway
            }
        };
        let in_place = self.gateways.is_empty() || self.gateways.iter().any(|name| names_me(name));
        // A port of 0 is none.
        let wanted = self.port.filter(|port| *port != 0).zip(listener.port);
        let port_ok = wanted.is_none_or(|(wanted, port)| wanted == port);
        let ignores_source = match kind {
            RouteKind::Http => !self.gateways.is_empty(),
            RouteKind::Tls | RouteKind::Tcp => listener.gateway.is_some(),
        };
        let source_ok = || {
            let labels = listener.labels.map_or(self.labels.is_empty(), |labels| self.labels.selects(labels));
            labels && self.namespace.is_none_or(|wanted| listener.namespace == Some(wanted))
        };
        in_place && port_ok && (ignores_source || source_ok())
    }
}

impl<'a> Mesh<'a> {
    /// The ports on which a Gateway takes requests to a host of a VirtualService in a namespace. Without pods in the
    /// input the selector's labels stand for theirs. A Gateway that is not in the input has one door of unknown port.
    #[must_use]
    pub fn doors<'m>(&'m self, binding: &'m Binding<'_>, host: &str, namespace: &str) -> Vec<Door<'m>> {
        let Binding::Gateway { namespace: own, name, .. } = binding else { return Vec::new() };
        let id = Some((own.as_str(), name.as_str()));
        let Some(gateway) = self.gateways.get(own, name) else {
            let listener = Listener { gateway: id, labels: None, namespace: None, port: None };
            return vec![Door { listener, kinds: RouteKind::ALL.to_vec() }];
        };
        let pod = gateway.workloads.first().and_then(|id| self.workloads.get(*id));
        let labels = Some(pod.map_or(&gateway.spec.selector, |pod| pod.labels));
        let mut doors: Vec<Door<'m>> = Vec::new();
        for server in gateway.servers_for(host, namespace).filter(|server| !server.redirects_to_https()) {
            let port = server.port_number();
            let listener = Listener { gateway: id, labels, namespace: pod.map(Workload::namespace), port };
            let kinds = server_kinds(server);
            match doors.iter_mut().find(|door| door.listener.port == port) {
                Some(door) => {
                    door.kinds.extend(kinds);
                    door.kinds.sort_unstable();
                    door.kinds.dedup();
                }
                None => doors.push(Door { listener, kinds: kinds.to_vec() }),
            }
        }
        doors
    }
}
