//! Sidecars: virtual hosts and TCP proxies for the calls of a pod, and the listeners in front of it
//! (`core/httproute.go`, `core/tls.go`, `core/listener_inbound.go`).

use std::collections::{BTreeMap, HashSet};

use coalmine::mesh::host::{is_wildcard, matches, more_specific};
use coalmine::mesh::registry::{Host, Port, Protocol};
use coalmine::mesh::routes::VirtualService;
use coalmine::mesh::security::Mode;
use coalmine::mesh::workloads::{Proxy as Handler, Workload, WorkloadId};
use serde_json::{Value, json};

use super::http::{self, Context};
use super::{Door, Lowered, Lowering, PASSTHROUGH, Proxy, envoy, identity, is_http, name_of, tcp};
use crate::bootstrap::loopback;

impl<'m, 'a> Lowering<'m, 'a> {
    /// What a pod's sidecar does with the pod's calls.
    pub(super) fn sidecar(&self, workload: &'m Workload<'a>, out: &mut Lowered) {
        let proxy = Proxy {
            name: name_of(workload),
            namespace: Some(workload.namespace()),
            labels: workload.labels,
            identity: identity(workload),
        };
        self.clusters(&proxy, out);
        let services = self.visible(workload.namespace());
        for host in self.hosts(&proxy) {
            for port in host.ports.iter().filter(|port| port.protocol != Protocol::Udp) {
                let name = self.outbound_name(&proxy, port.number, &host.name);
                let mut chains = Vec::new();
                let mut inspectors = Vec::new();
                if is_http(port) {
                    let manager = self.outbound_manager(&proxy, workload, host, port.number, &services);
                    let matching = (port.protocol == Protocol::Sniffed).then(|| {
                        inspectors.push("http_inspector");
                        json!({ "application_protocols": ["http/1.0", "http/1.1", "h2c"] })
                    });
                    chains.push(envoy::chain(matching, None, manager));
                    out.clusters.push(self.plain_cluster(
                        &self.passthrough(&proxy, port.number, host),
                        host,
                        port,
                    ));
                }
                if !port.protocol.is_http() {
                    let clusters = self.tcp_clusters(&proxy, host, port, &services);
                    chains.push(envoy::chain(None, None, envoy::tcp(&name, &clusters)));
                }
                out.listeners.push(envoy::listener(&name, None, chains, &inspectors));
                let door =
                    Door::Outbound { client: proxy.name.clone(), host: host.name.clone(), port: port.number };
                out.doors.insert(door, name);
            }
        }
    }

    /// Where a request goes that nothing of the mesh takes: to the address that was dialled, in the clear.
    fn passthrough(&self, proxy: &Proxy<'_>, port: u32, host: &Host<'a>) -> String {
        format!("{}/{}/{PASSTHROUGH}|{port}|{}", self.scope, proxy.name, host.name)
    }

    fn outbound_name(&self, proxy: &Proxy<'_>, port: u32, host: &str) -> String {
        format!("{}/{}/{port}/{host}", self.scope, proxy.name)
    }

    /// Calls of a pod without a sidecar go to the host's pods in turn.
    pub(super) fn without_sidecar(&self, workload: &'m Workload<'a>, out: &mut Lowered) {
        let client = name_of(workload);
        for host in self.mesh.registry.iter().filter(|host| host.selects_pods()) {
            for port in host.ports.iter().filter(|port| port.protocol != Protocol::Udp) {
                let name = format!("{}/{client}/plain|{}|{}", self.scope, port.number, host.name);
                out.clusters.push(self.plain_cluster(&name, host, port));
                let filter = envoy::tcp(&name, &[(name.clone(), 1)]);
                out.listeners.push(envoy::listener(&name, None, vec![envoy::chain(None, None, filter)], &[]));
                let (client, host) = (client.clone(), host.name.clone());
                out.doors.insert(Door::Outbound { client, host, port: port.number }, name);
            }
        }
    }

    /// VirtualServices of the mesh that a namespace's sidecars see: private ones, those exported to it, public ones;
    /// each in the order of the input (a cluster goes by age).
    fn visible(&self, namespace: &str) -> Vec<(&'m VirtualService<'a>, Value)> {
        let mesh = self.mesh.routes.iter().filter(|service| service.is_mesh());
        let mut services: Vec<_> = mesh
            .filter(|service| service.export_to.reaches(namespace, service.namespace()))
            .map(|service| (service, self.spec(service.resource)))
            .collect();
        services.sort_by_key(|(service, _)| rank(service, namespace));
        services
    }

    fn outbound_manager(
        &self,
        proxy: &Proxy<'_>,
        workload: &Workload<'a>,
        dialled: &Host<'a>,
        port: u32,
        services: &[(&'m VirtualService<'a>, Value)],
    ) -> Value {
        let filters = self.plugins(|filter| {
            filter.runs_on(workload, &self.mesh.config.root_namespace) && filter.runs_at_gateways()
        });
        let name = self.outbound_name(proxy, port, &dialled.name);
        let passthrough = self.passthrough(proxy, port, dialled);
        envoy::http(&name, filters, &self.virtual_hosts(proxy, port, services, &passthrough), true)
    }

    /// `BuildSidecarOutboundVirtualHosts`
    fn virtual_hosts(
        &self,
        proxy: &Proxy<'_>,
        port: u32,
        services: &[(&'m VirtualService<'a>, Value)],
        passthrough: &str,
    ) -> Vec<Value> {
        // The lookup knows only services with the listener's port, and of those no other port.
        let registry: Vec<&Host<'a>> = self.hosts(proxy).filter(|host| host.port(port).is_some()).collect();
        let known = |name: &str| -> Vec<u32> {
            registry.iter().filter(|host| host.name == name).map(|_| port).collect()
        };
        let is_http_here = |host: &&&Host<'a>| host.port(port).is_some_and(is_http);
        let mut used: HashSet<String> = HashSet::new();
        let mut done: HashSet<&str> = HashSet::new();
        let mut virtual_hosts = Vec::new();
        let mut add = |name: &str, domains: Vec<String>, routes: &[Value]| {
            let fresh: Vec<String> =
                domains.into_iter().filter(|domain| used.insert(domain.clone())).collect();
            if !fresh.is_empty() {
                virtual_hosts.push(envoy::virtual_host(&format!("{name}:{port}"), &fresh, routes));
            }
        };
        for (service, spec) in services {
            let touches = |host: &str| registry.iter().any(|known| matches(host, &known.name));
            if port != 80 && !service.hosts.iter().any(|host| touches(host)) {
                continue;
            }
            let namespace = service.namespace();
            let cluster = |destination: &Value| self.destination(proxy, destination, namespace, port, &known);
            let context = Context {
                binding: "mesh",
                labels: proxy.labels,
                namespace: proxy.namespace,
                port,
                cluster: &cluster,
            };
            let name = format!("{namespace}/{}", service.resource.name.value);
            let routes = http::routes(spec, &name, namespace, &context);
            if routes.is_empty() {
                continue;
            }
            let (others, own) = self.hosts_and_services(service, &registry, services);
            let own: Vec<&&Host<'a>> = own.iter().filter(is_http_here).collect();
            // Hosts that are no services need a service of the same object on the port, or port 80.
            if !own.is_empty() || port == 80 {
                for host in others {
                    add(&host, vec![host.clone()], &routes);
                }
            }
            for host in own {
                if done.insert(host.name.as_str()) {
                    add(&host.name, self.domains(&host.name, proxy), &routes);
                }
            }
        }
        for host in registry.iter().filter(is_http_here).filter(|host| !done.contains(host.name.as_str())) {
            let route = json!({
                "name": "default",
                "match": { "prefix": "/" },
                "route": { "cluster": self.cluster_name(proxy, port, "", &host.name), "timeout": "0s" },
            });
            add(&host.name, self.domains(&host.name, proxy), &[route]);
        }
        let rest = if self.mesh.config.allow_any_outbound {
            json!({ "name": "allow_any", "match": { "prefix": "/" }, "route": { "cluster": passthrough } })
        } else {
            json!({ "name": "block_all", "match": { "prefix": "/" }, "direct_response": { "status": 502 } })
        };
        add("rest", vec!["*".to_owned()], &[rest]);
        virtual_hosts
    }

    /// `separateVSHostsAndServices`: a VirtualService's hosts that are no services, and its services. A wildcard
    /// covers a service only if no other VirtualService has a better host for it.
    fn hosts_and_services<'h>(
        &self,
        service: &'m VirtualService<'a>,
        registry: &[&'h Host<'a>],
        all: &[(&'m VirtualService<'a>, Value)],
    ) -> (Vec<String>, Vec<&'h Host<'a>>) {
        let (mut others, mut own) = (Vec::new(), Vec::new());
        let (wildcards, exact): (Vec<_>, Vec<_>) = service.hosts.iter().partition(|host| is_wildcard(host));
        for name in exact {
            match registry.iter().find(|host| host.name == name.value) {
                Some(host) => own.push(*host),
                None => others.push(name.value.clone()),
            }
        }
        for name in wildcards {
            let covered: Vec<&&Host<'a>> = registry.iter().filter(|host| matches(name, &host.name)).collect();
            if covered.is_empty() {
                others.push(name.value.clone());
            }
            for host in covered {
                let candidates =
                    all.iter().flat_map(|(other, _)| other.hosts.iter().map(move |own| (*other, own)));
                let best = candidates
                    .filter(|(_, pattern)| matches(pattern, &host.name))
                    .reduce(|best, next| if more_specific(next.1, best.1) { next } else { best });
                if best.is_some_and(|(other, _)| std::ptr::eq(other, service)) {
                    own.push(*host);
                }
            }
        }
        (others, own)
    }

    /// `generateVirtualHostDomains`: the names by which a pod of a namespace can call a service.
    fn domains(&self, host: &str, proxy: &Proxy<'_>) -> Vec<String> {
        let mut domains = vec![host.to_owned(), format!("{host}.")];
        if let Some((service, namespace)) =
            coalmine::mesh::host::split_cluster_name(host, &self.mesh.config.domain)
        {
            if Some(namespace) == proxy.namespace {
                domains.push(service.to_owned());
            }
            domains.push(format!("{service}.{namespace}.svc"));
            domains.push(format!("{service}.{namespace}"));
        }
        domains
    }

    /// `buildSidecarOutboundTCPFilterChainOpts`: the first rule of any VirtualService for the host, or the host.
    fn tcp_clusters(
        &self,
        proxy: &Proxy<'_>,
        host: &Host<'a>,
        port: &Port<'a>,
        services: &[(&'m VirtualService<'a>, Value)],
    ) -> tcp::Choice {
        let known = |name: &str| self.ports_of(name, proxy);
        for (service, spec) in services {
            if !service.hosts.iter().any(|own| matches(own, &host.name)) {
                continue;
            }
            let namespace = service.namespace();
            let cluster =
                |destination: &Value| self.destination(proxy, destination, namespace, port.number, &known);
            let context = Context {
                binding: "mesh",
                labels: proxy.labels,
                namespace: proxy.namespace,
                port: port.number,
                cluster: &cluster,
            };
            if let Some(choice) = tcp::for_sidecar(spec, namespace, &context) {
                return choice;
            }
        }
        vec![(self.cluster_name(proxy, port.number, "", &host.name), 1)]
    }

    /// Every port of a host that the proxy sees.
    pub(super) fn ports_of(&self, host: &str, proxy: &Proxy<'_>) -> Vec<u32> {
        let found = self.mesh.registry.find(host, proxy.namespace);
        found.map(|host| host.ports.iter().map(|port| port.number).collect()).unwrap_or_default()
    }

    /// The listeners in front of every pod with a sidecar.
    pub(super) fn inbound(&self, out: &mut Lowered) {
        let mut served: BTreeMap<(WorkloadId, u32), Protocol> = BTreeMap::new();
        for host in self.mesh.registry.iter() {
            for port in host.ports.iter().filter(|port| port.protocol != Protocol::Udp) {
                for id in host.workloads.iter().filter(|id| !self.is_gateway(**id)) {
                    let number = self.mesh.workloads.get(*id).and_then(|workload| port.on_workload(workload));
                    if let Some(number) = number {
                        served.entry((*id, number)).or_insert(port.protocol);
                    }
                }
            }
        }
        for ((id, number), protocol) in served {
            let Some(workload) = self.mesh.workloads.get(id) else { continue };
            self.inbound_port(id, workload, number, protocol, out);
        }
    }

    fn inbound_port(
        &self,
        id: WorkloadId,
        workload: &'m Workload<'a>,
        number: u32,
        protocol: Protocol,
        out: &mut Lowered,
    ) {
        let own = name_of(workload);
        let name = format!("{}/{own}/inbound|{number}||", self.scope);
        let app = (self.apps)(workload, number);
        let app = app.map_or_else(|| envoy::pipe(&self.nowhere()), |address| loopback(address.port()));
        let app = envoy::cluster(&name, &[json!({ "endpoint": { "address": app } })]);
        let has_sidecar = workload.proxy_on(number) == Handler::Sidecar;
        if has_sidecar || self.exposes_pods {
            out.clusters.push(app);
        }
        if has_sidecar {
            let chains = self.inbound_chains(workload, number, protocol, &name);
            let inspectors = if chains.len() == 1 && chains[0].get("transport_socket").is_none() {
                &[][..]
            } else {
                &["tls_inspector"]
            };
            let socket = self.socket(id, number);
            out.listeners.push(envoy::listener(&name, Some(&socket), chains, inspectors));
        }
        if self.exposes_pods {
            let door = format!("{}/{own}/pod|{number}", self.scope);
            let target = if has_sidecar {
                let endpoint = json!({ "endpoint": { "address": envoy::pipe(&self.socket(id, number)) } });
                out.clusters.push(envoy::cluster(&door, &[endpoint]));
                door.clone()
            } else {
                name
            };
            let filter = envoy::tcp(&door, &[(target, 1)]);
            out.listeners.push(envoy::listener(&door, None, vec![envoy::chain(None, None, filter)], &[]));
            out.doors.insert(Door::Pod { workload: own, port: number }, door);
        }
    }

    /// The chains of a port by its mode: mTLS, plaintext, and TLS that is the application's own.
    fn inbound_chains(
        &self,
        workload: &Workload<'a>,
        number: u32,
        protocol: Protocol,
        name: &str,
    ) -> Vec<Value> {
        let through = || match protocol.is_http() {
            true => {
                let route =
                    json!({ "match": { "prefix": "/" }, "route": { "cluster": name, "timeout": "0s" } });
                let host = envoy::virtual_host(name, &["*".to_owned()], &[route]);
                let plugins = self.plugins(|filter| {
                    let selectors = &filter.spec.r#match;
                    let here =
                        selectors.is_empty() || selectors.iter().any(|own| own.mode.text() != "CLIENT");
                    here && filter.runs_on(workload, &self.mesh.config.root_namespace)
                });
                envoy::http(name, plugins, &[host], false)
            }
            false => envoy::tcp(name, &[(name.to_owned(), 1)]),
        };
        let tls = || {
            envoy::tls(
                "DownstreamTlsContext",
                json!({
                    "require_client_certificate": true,
                    "common_tls_context": {
                        "tls_certificates": [self.authority.certificate(&identity(workload))],
                        "validation_context": self.authority.validation(&[]),
                        "alpn_protocols": ["istio-peer-exchange", "istio", "h2", "http/1.1"],
                    },
                }),
            )
        };
        let policies = &self.mesh.peer_authentications;
        match policies.of_workload(workload.namespace(), workload.labels, Some(number)).mode {
            Mode::Disable => vec![envoy::chain(None, None, through())],
            Mode::Strict => {
                vec![envoy::chain(Some(json!({ "transport_protocol": "tls" })), Some(tls()), through())]
            }
            Mode::Permissive => {
                let istio = json!({
                    "transport_protocol": "tls",
                    "application_protocols": ["istio", "istio-peer-exchange"],
                });
                let passed = envoy::tcp(name, &[(name.to_owned(), 1)]);
                vec![
                    envoy::chain(Some(istio), Some(tls()), through()),
                    envoy::chain(Some(json!({ "transport_protocol": "raw_buffer" })), None, through()),
                    envoy::chain(Some(json!({ "transport_protocol": "tls" })), None, passed),
                ]
            }
        }
    }
}

/// The index in which Istio files an object, in the order in which they are asked: `privateByNamespaceAndGateway`,
/// `exportedToNamespaceByGateway`, `publicByGateway`.
pub(super) fn rank(service: &VirtualService<'_>, namespace: &str) -> u8 {
    use coalmine::mesh::export::ExportTo;
    let ExportTo::Namespaces(list) = &service.export_to else { return 2 };
    let own = service.namespace();
    // Each entry of the list has its place: `.` and the own namespace in the first, any other in the second.
    let filed = list.iter().map(|entry| if *entry == "." || *entry == own { (0, own) } else { (1, *entry) });
    filed.filter(|(_, reader)| *reader == namespace).map(|(index, _)| index).min().unwrap_or(1)
}
