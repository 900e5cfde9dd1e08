//! Gateways: servers, the VirtualServices bound to them, and the proxy's filters (`core/gateway.go`).

use std::collections::{BTreeMap, BTreeSet};

use coalmine::Spanned;
use coalmine::mesh::gateways::{Gateway, server_host};
use coalmine::mesh::host::{is_subset_of, matches};
use coalmine::mesh::routes::{Binding, VirtualService};
use coalmine::resource::networking::Server;
use serde_json::{Value, json};

use super::http::{self, Context};
use super::sidecar::rank;
use super::{Door, Lowered, Lowering, Proxy, envoy, identity, name_of, tcp};

impl<'m, 'a> Lowering<'m, 'a> {
    /// Every gateway proxy: the pods that a Gateway selects, or pods with its selector's labels when there are none.
    pub(super) fn gateways(&self, out: &mut Lowered) {
        let mut proxies: BTreeMap<String, (Proxy<'m>, Vec<&'m Gateway<'a>>)> = BTreeMap::new();
        for gateway in self.mesh.gateways.iter() {
            let pod = gateway.workloads.first().and_then(|id| self.mesh.workloads.get(*id));
            if gateway.workloads.len() > 1 {
                out.left_out.push(format!(
                    "{} on other pods than {}",
                    gateway.full_name(),
                    pod.map_or_else(String::new, name_of)
                ));
            }
            let proxy = match pod {
                Some(pod) => Proxy {
                    name: name_of(pod),
                    namespace: Some(pod.namespace()),
                    labels: pod.labels,
                    identity: identity(pod),
                },
                None => Proxy {
                    name: format!("gateway/{}", gateway.spec.selector.describe()),
                    namespace: None,
                    labels: &gateway.spec.selector,
                    identity: "spiffe://cluster.local/ns/istio-system/sa/gateway".to_owned(),
                },
            };
            proxies.entry(proxy.name.clone()).or_insert((proxy, Vec::new())).1.push(gateway);
        }
        for (proxy, gateways) in proxies.into_values() {
            self.clusters(&proxy, out);
            self.gateway(&proxy, &gateways, out);
        }
    }

    fn gateway(&self, proxy: &Proxy<'m>, gateways: &[&'m Gateway<'a>], out: &mut Lowered) {
        let mut ports: BTreeMap<u32, Vec<(&'m Gateway<'a>, &'m Spanned<Server>)>> = BTreeMap::new();
        for gateway in gateways {
            for server in &gateway.spec.servers {
                let number = server.port.get().and_then(|port| port.number.get());
                ports.entry(number.copied().unwrap_or_default()).or_default().push((gateway, server));
            }
        }
        for (port, servers) in ports {
            let name = format!("{}/{}/{port}", self.scope, proxy.name);
            let protocol =
                |server: &Server| server.port.get().map_or("", |port| port.protocol.text()).to_owned();
            let (first_gateway, first) = servers[0];
            let filter = match protocol(first).as_str() {
                "HTTP" | "HTTP2" | "GRPC" | "GRPC-WEB" => {
                    let filters = self.plugins(|filter| self.runs_here(filter, proxy, gateways));
                    Some(envoy::http(&name, filters, &self.gateway_hosts(proxy, &servers, port), true))
                }
                "TCP" | "MONGO" | "MYSQL" | "REDIS" if first.tls.is_none() => {
                    let choice = self.gateway_tcp(proxy, first_gateway, first, port);
                    choice.map(|choice| envoy::tcp(&name, &choice))
                }
                other => {
                    out.left_out.push(format!("the {other} server {port} of {}", first_gateway.full_name()));
                    None
                }
            };
            // Without a filter Istio opens no listener.
            let Some(filter) = filter else { continue };
            out.listeners.push(envoy::listener(&name, None, vec![envoy::chain(None, None, filter)], &[]));
            for (gateway, _) in servers {
                out.doors.insert(Door::Gateway { gateway: gateway.full_name(), port }, name.clone());
            }
        }
    }

    fn runs_here(
        &self,
        filter: &coalmine::mesh::filters::Filter<'a>,
        proxy: &Proxy<'m>,
        gateways: &[&'m Gateway<'a>],
    ) -> bool {
        let pod = gateways.iter().find_map(|gateway| gateway.workloads.first());
        let runs = match pod.and_then(|id| self.mesh.workloads.get(*id)) {
            Some(pod) => filter.runs_on(pod, &self.mesh.config.root_namespace),
            None => filter.may_run_on(proxy.labels),
        };
        runs && filter.runs_at_gateways()
    }

    /// VirtualServices that are bound to a Gateway and that its pods see, in the order in which they count.
    fn bound(&self, gateway: &Gateway<'a>, proxy: &Proxy<'_>) -> Vec<(&'m VirtualService<'a>, Value)> {
        let is_bound = |service: &&'m VirtualService<'a>| {
            service.bindings.iter().any(|binding| match binding {
                Binding::Mesh => false,
                Binding::Gateway { namespace, name, .. } => {
                    *namespace == gateway.resource.namespace() && *name == gateway.resource.name.value
                }
            })
        };
        let sees = |service: &&'m VirtualService<'a>| {
            proxy.namespace.is_none_or(|own| service.export_to.reaches(own, service.namespace()))
        };
        let services = self.mesh.routes.iter().filter(is_bound).filter(sees);
        let mut services: Vec<_> = services.map(|service| (service, self.spec(service.resource))).collect();
        // Pods of an unknown namespace that see a private object at all see it first.
        services.sort_by_key(|(service, _)| rank(service, proxy.namespace.unwrap_or_default()));
        services
    }

    /// `buildGatewayHTTPRouteConfig`
    fn gateway_hosts(
        &self,
        proxy: &Proxy<'m>,
        servers: &[(&'m Gateway<'a>, &'m Spanned<Server>)],
        port: u32,
    ) -> Vec<Value> {
        let mut routes: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let mut redirected: BTreeSet<String> = BTreeSet::new();
        for (gateway, server) in servers {
            let binding = gateway.full_name();
            let redirects = server.tls.get().is_some_and(|tls| tls.https_redirect.get() == Some(&true));
            for (service, spec) in self.bound(gateway, proxy) {
                let namespace = service.namespace();
                let hosts = intersection(server, gateway, service);
                if hosts.is_empty() {
                    continue;
                }
                let known = |name: &str| -> Vec<u32> {
                    let own = self.mesh.registry.named(name).find(|host| host.namespace() == namespace);
                    match own {
                        Some(host) => host.ports.iter().map(|port| port.number).collect(),
                        None => self.ports_of(name, proxy),
                    }
                };
                let cluster =
                    |destination: &Value| self.destination(proxy, destination, namespace, port, &known);
                let context = Context {
                    binding: &binding,
                    labels: proxy.labels,
                    namespace: proxy.namespace,
                    port,
                    cluster: &cluster,
                };
                let name = format!("{namespace}/{}", service.resource.name.value);
                let own = http::routes(&spec, &name, namespace, &context);
                if own.is_empty() {
                    continue;
                }
                for host in hosts {
                    routes.entry(host.clone()).or_default().extend(own.iter().cloned());
                    if redirects {
                        redirected.insert(host);
                    }
                }
            }
            if redirects {
                for host in &server.hosts {
                    let host =
                        host.split_once('/').map_or(host.as_str(), |(_, host)| host).to_ascii_lowercase();
                    routes.entry(host.clone()).or_default();
                    redirected.insert(host);
                }
            }
        }
        if routes.is_empty() {
            return vec![envoy::virtual_host("blackhole", &["*".to_owned()], &[])];
        }
        let host = |(host, routes): (String, Vec<Value>)| {
            let mut virtual_host = envoy::virtual_host(
                &format!("{host}:{port}"),
                std::slice::from_ref(&host),
                &http::sort(routes),
            );
            if redirected.contains(&host) {
                virtual_host["require_tls"] = json!("ALL");
            }
            virtual_host
        };
        routes.into_iter().map(host).collect()
    }

    /// `buildGatewayNetworkFiltersFromTCPRoutes`: the first rule of the first VirtualService.
    fn gateway_tcp(
        &self,
        proxy: &Proxy<'m>,
        gateway: &'m Gateway<'a>,
        server: &Spanned<Server>,
        port: u32,
    ) -> Option<tcp::Choice> {
        let binding = gateway.full_name();
        self.bound(gateway, proxy).into_iter().find_map(|(service, spec)| {
            let namespace = service.namespace();
            let accepts = |entry: &str| {
                server_host(entry, gateway.resource.namespace(), namespace)
                    .is_some_and(|accepted| service.hosts.iter().any(|host| matches(accepted, host)))
            };
            if !server.hosts.iter().any(|entry| accepts(entry)) {
                return None;
            }
            let known = |name: &str| self.ports_of(name, proxy);
            let cluster = |destination: &Value| self.destination(proxy, destination, namespace, port, &known);
            let context = Context {
                binding: &binding,
                labels: proxy.labels,
                namespace: proxy.namespace,
                port,
                cluster: &cluster,
            };
            tcp::for_gateway(&spec, namespace, &context)
        })
    }
}

/// `Names.Intersection` of a server's hosts, as far as they are for the VirtualService's namespace, and the
/// VirtualService's: of each pair the narrower one.
fn intersection(server: &Server, gateway: &Gateway<'_>, service: &VirtualService<'_>) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    for entry in &server.hosts {
        let accepted = server_host(entry, gateway.resource.namespace(), service.namespace());
        let Some(accepted) = accepted.map(str::to_ascii_lowercase) else { continue };
        for own in &service.hosts {
            let narrower = if is_subset_of(&accepted, own) {
                &accepted
            } else if is_subset_of(own, &accepted) {
                &own.value
            } else {
                continue;
            };
            if !hosts.contains(narrower) {
                hosts.push(narrower.clone());
            }
        }
    }
    hosts
}
