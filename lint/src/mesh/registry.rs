//! The hosts that can be called: Services and ServiceEntries, with ports and protocols as Istio reads them.

use rustc_hash::FxHashMap;

use super::config::MeshConfig;
use super::export::ExportTo;
use super::host::{in_subnet, is_wildcard, matches, more_specific};
use super::workloads::{Workload, WorkloadId, Workloads};
use crate::resource::core::Service;
use crate::resource::networking::ServiceEntry;
use crate::resource::{Resource, Spec};
use crate::span::{Span, Spanned};

/// The protocol of a port, as Istio selects it (`pkg/config/kube/conversion.go`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Protocol {
    Http,
    Http2,
    Grpc,
    GrpcWeb,
    Https,
    Tls,
    Tcp,
    Mongo,
    Redis,
    MySql,
    Udp,
    /// No name says; the proxy looks at the first bytes.
    Sniffed,
}

impl Protocol {
    fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "http" | "http_proxy" => Self::Http,
            "http2" => Self::Http2,
            "grpc" => Self::Grpc,
            "grpc-web" => Self::GrpcWeb,
            "https" => Self::Https,
            "tls" => Self::Tls,
            "tcp" | "hbone" => Self::Tcp,
            "mongo" => Self::Mongo,
            "redis" => Self::Redis,
            "mysql" => Self::MySql,
            "udp" => Self::Udp,
            _ => return None,
        })
    }

    /// Of a Service port: `appProtocol` beats the name, whose prefix before `-` counts.
    #[must_use]
    pub fn of_service_port(number: u32, name: &str, transport: &str, app_protocol: Option<&str>) -> Self {
        if transport == "UDP" {
            return Self::Udp;
        }
        match app_protocol {
            Some("kubernetes.io/h2c") => return Self::Http2,
            Some("kubernetes.io/ws") => return Self::Http,
            Some("kubernetes.io/wss") => return Self::Https,
            _ => {}
        }
        let name = app_protocol.unwrap_or(name);
        if name.get(..8).is_some_and(|prefix| prefix.eq_ignore_ascii_case("grpc-web")) {
            return Self::GrpcWeb;
        }
        let prefix = name.split('-').next().unwrap_or(name);
        match Self::parse(prefix) {
            Some(protocol) => protocol,
            // Server-first protocols, which sniffing would stall.
            None if matches!(number, 25 | 53 | 3306 | 27017) => Self::Tcp,
            None => Self::Sniffed,
        }
    }

    /// Routed by http rules.
    #[must_use]
    pub fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Http2 | Self::Grpc | Self::GrpcWeb)
    }

    /// Routed by tls rules.
    #[must_use]
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Tls)
    }

    /// The name for messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Http2 => "HTTP2",
            Self::Grpc => "gRPC",
            Self::GrpcWeb => "gRPC-Web",
            Self::Https => "HTTPS",
            Self::Tls => "TLS",
            Self::Tcp => "TCP",
            Self::Mongo => "Mongo",
            Self::Redis => "Redis",
            Self::MySql => "MySQL",
            Self::Udp => "UDP",
            Self::Sniffed => "undeclared",
        }
    }
}

/// A port of a host.
#[derive(Debug)]
pub struct Port<'a> {
    /// The number that clients use.
    pub number: u32,
    /// Where the number stands.
    pub span: Span,
    /// The port's name.
    pub name: Option<&'a Spanned<String>>,
    /// As Istio selects it.
    pub protocol: Protocol,
    /// `targetPort`, if written.
    pub target: Option<&'a Spanned<String>>,
}

impl Port<'_> {
    /// `targetPort`, or the port's own number.
    #[must_use]
    pub fn target_text(&self) -> String {
        self.target.map_or_else(|| self.number.to_string(), |target| target.value.clone())
    }

    /// The port on which a workload answers for this port: a WorkloadEntry may say so by the port's name, and a
    /// named target is looked up among the container ports.
    #[must_use]
    pub fn on_workload(&self, workload: &Workload<'_>) -> Option<u32> {
        let own = self.name.and_then(|name| workload.template.entry_ports.find(name));
        if let Some(number) = own {
            return Some(number.value);
        }
        let target = self.target_text();
        match target.parse() {
            Ok(number) => Some(number),
            Err(_) => workload.container_port(&target)?.container_port.get().copied(),
        }
    }
}

/// What defines a host.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// A Kubernetes Service.
    Service(&'a Service),
    /// An Istio ServiceEntry.
    ServiceEntry(&'a ServiceEntry),
}

/// A host of the registry.
#[derive(Debug)]
pub struct Host<'a> {
    /// The fully qualified name, or a wildcard of a ServiceEntry.
    pub name: String,
    /// The Service or ServiceEntry.
    pub resource: &'a Resource,
    /// Its typed spec.
    pub origin: Origin<'a>,
    /// Its ports.
    pub ports: Vec<Port<'a>>,
    /// The workloads that its selector selects.
    pub workloads: Vec<WorkloadId>,
    /// Who can see it.
    pub export_to: ExportTo<'a>,
}

impl<'a> Host<'a> {
    /// The namespace of the Service or ServiceEntry.
    #[must_use]
    pub fn namespace(&self) -> &'a str {
        self.resource.namespace()
    }

    /// The port with a number. Of one for TCP and one for UDP, as a DNS server has, it is the one for TCP.
    #[must_use]
    pub fn port(&self, number: u32) -> Option<&Port<'a>> {
        let with_number = || self.ports.iter().filter(|port| port.number == number);
        with_number().find(|port| port.protocol != Protocol::Udp).or_else(|| with_number().next())
    }

    /// Whether it is a Service whose endpoints are the pods of its selector.
    #[must_use]
    pub fn selects_pods(&self) -> bool {
        match self.origin {
            Origin::Service(service) => {
                !service.selector.is_empty() && service.r#type.text() != "ExternalName"
            }
            Origin::ServiceEntry(entry) => entry.workload_selector.is_some(),
        }
    }

    /// `type: ExternalName`: the ports are those of another host.
    #[must_use]
    pub fn is_alias(&self) -> bool {
        matches!(self.origin, Origin::Service(service) if service.r#type.text() == "ExternalName")
    }

    /// `clusterIP: None`.
    #[must_use]
    pub fn is_headless(&self) -> bool {
        matches!(self.origin, Origin::Service(service) if service.cluster_ip.text() == "None")
    }

    /// What it can be called by in place of its name: `clusterIP`, or the addresses and subnets of a ServiceEntry.
    #[must_use]
    pub fn addresses(&self) -> Vec<&'a str> {
        match self.origin {
            Origin::Service(service) => {
                Some(service.cluster_ip.text()).filter(|ip| !matches!(*ip, "" | "None")).into_iter().collect()
            }
            Origin::ServiceEntry(entry) => entry.addresses.iter().map(|address| address.as_str()).collect(),
        }
    }

    /// What an ExternalName is an alias of.
    #[must_use]
    pub fn alias_of(&self) -> Option<&'a str> {
        match self.origin {
            Origin::Service(service) if service.r#type.text() == "ExternalName" => {
                Some(service.external_name.text())
            }
            _ => None,
        }
    }

    /// Whether it leaves the mesh: a ServiceEntry that is not `MESH_INTERNAL`, or an ExternalName.
    #[must_use]
    pub fn is_external(&self) -> bool {
        match self.origin {
            Origin::Service(service) => service.r#type.text() == "ExternalName",
            Origin::ServiceEntry(entry) => entry.location.text() != "MESH_INTERNAL",
        }
    }

    /// `8080 (http), 9090` for messages.
    #[must_use]
    pub fn describe_ports(&self) -> String {
        let ports: Vec<String> = self
            .ports
            .iter()
            .map(|port| match port.name {
                Some(name) => format!("{} ({})", port.number, name.value),
                None => port.number.to_string(),
            })
            .collect();
        ports.join(", ")
    }
}

/// All hosts.
#[derive(Debug, Default)]
pub struct Registry<'a> {
    hosts: Vec<Host<'a>>,
    by_name: FxHashMap<String, Vec<usize>>,
    by_namespace: FxHashMap<&'a str, Vec<usize>>,
    wildcards: Vec<usize>,
    /// Hosts with addresses.
    addressed: Vec<usize>,
}

impl<'a> Registry<'a> {
    pub(super) fn new(resources: &[&'a Resource], workloads: &Workloads<'a>, config: &'a MeshConfig) -> Self {
        let mut registry = Self::default();
        for resource in resources.iter().copied() {
            match &resource.spec {
                Spec::Service(service) => registry.add(service_host(resource, service, workloads, config)),
                Spec::ServiceEntry(entry) => {
                    for host in &entry.hosts {
                        registry.add(entry_host(resource, entry, host, workloads, config));
                    }
                }
                _ => {}
            }
        }
        registry
    }

    fn add(&mut self, host: Host<'a>) {
        let index = self.hosts.len();
        if is_wildcard(&host.name) {
            self.wildcards.push(index);
        }
        if !host.addresses().is_empty() {
            self.addressed.push(index);
        }
        self.by_name.entry(host.name.clone()).or_default().push(index);
        self.by_namespace.entry(host.namespace()).or_default().push(index);
        self.hosts.push(host);
    }

    /// All hosts.
    pub fn iter(&self) -> impl Iterator<Item = &Host<'a>> {
        self.hosts.iter()
    }

    /// Every host that a Service or ServiceEntry of this namespace defines.
    pub fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = &Host<'a>> {
        self.by_namespace.get(namespace).into_iter().flatten().filter_map(|index| self.hosts.get(*index))
    }

    /// Every host with exactly this name.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &Host<'a>> {
        self.by_name.get(name).into_iter().flatten().filter_map(|index| self.hosts.get(*index))
    }

    /// The hosts that a client in a namespace may mean by an address: those with that very address, then those with a
    /// subnet around it.
    #[must_use]
    pub fn at(&self, address: &str, client: Option<&str>) -> Vec<&Host<'a>> {
        let mut found: Vec<(bool, &Host<'a>)> = Vec::new();
        for host in self.addressed.iter().filter_map(|index| self.hosts.get(*index)) {
            if client.is_some_and(|client| !host.export_to.reaches(client, host.namespace())) {
                continue;
            }
            let around = host.addresses().into_iter().filter(|own| in_subnet(own, address));
            found.extend(around.map(|own| own.contains('/')).min().map(|is_subnet| (is_subnet, host)));
        }
        found.sort_by_key(|(is_subnet, _)| *is_subnet);
        found.into_iter().map(|(_, host)| host).collect()
    }

    /// The host that a client in a namespace reaches under a fully qualified name: a host of the same
    /// namespace first, then any visible one, then the most specific visible wildcard.
    /// Without a client namespace everything is visible.
    #[must_use]
    pub fn find(&self, name: &str, client: Option<&str>) -> Option<&Host<'a>> {
        let visible = |host: &&Host<'a>| client.is_none_or(|ns| host.export_to.reaches(ns, host.namespace()));
        let own = self.named(name).filter(visible).find(|host| Some(host.namespace()) == client);
        own.or_else(|| self.named(name).find(visible)).or_else(|| {
            self.wildcards
                .iter()
                .filter_map(|index| self.hosts.get(*index))
                .filter(|host| !is_wildcard(name) && matches(&host.name, name))
                .filter(visible)
                .reduce(|best, host| if more_specific(&host.name, &best.name) { host } else { best })
        })
    }
}

fn service_host<'a>(
    resource: &'a Resource,
    service: &'a Service,
    workloads: &Workloads<'a>,
    config: &'a MeshConfig,
) -> Host<'a> {
    let ports = service.ports.iter().filter_map(|port| {
        let number = port.port.as_ref()?;
        let transport = port.protocol.text();
        Some(Port {
            number: number.value,
            span: number.span,
            name: port.name.as_ref(),
            protocol: Protocol::of_service_port(
                number.value,
                port.name.text(),
                transport,
                port.app_protocol.get().map(String::as_str),
            ),
            target: port.target_port.as_ref(),
        })
    });
    let selected = if service.selector.is_empty() || service.r#type.text() == "ExternalName" {
        Vec::new()
    } else {
        workloads.select(&service.selector, Some(resource.namespace()))
    };
    Host {
        name: format!("{}.{}.svc.{}", resource.name.value, resource.namespace(), config.domain),
        resource,
        origin: Origin::Service(service),
        ports: ports.collect(),
        workloads: selected,
        export_to: ExportTo::of_service(resource, config),
    }
}

fn entry_host<'a>(
    resource: &'a Resource,
    entry: &'a ServiceEntry,
    host: &Spanned<String>,
    workloads: &Workloads<'a>,
    config: &'a MeshConfig,
) -> Host<'a> {
    let ports = entry.ports.iter().filter_map(|port| {
        let number = port.number.as_ref()?;
        Some(Port {
            number: number.value,
            span: number.span,
            name: port.name.as_ref(),
            protocol: Protocol::parse(port.protocol.text()).unwrap_or(Protocol::Sniffed),
            target: port.target_port.as_ref(),
        })
    });
    let selected = entry
        .workload_selector
        .get()
        .map(|selector| workloads.select(&selector.labels, Some(resource.namespace())))
        .unwrap_or_default();
    Host {
        name: host.value.to_ascii_lowercase(),
        resource,
        origin: Origin::ServiceEntry(entry),
        ports: ports.collect(),
        workloads: selected,
        export_to: ExportTo::new(&entry.export_to, &config.default_service_export_to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_is_app_protocol_then_the_name_before_the_dash() {
        let of = |number, name, app| Protocol::of_service_port(number, name, "TCP", app);
        assert_eq!(of(80, "http", None), Protocol::Http);
        assert_eq!(of(80, "HTTP-web", None), Protocol::Http);
        assert_eq!(of(80, "grpc-web-x", None), Protocol::GrpcWeb);
        assert_eq!(of(80, "web", None), Protocol::Sniffed);
        assert_eq!(of(80, "httpweb", None), Protocol::Sniffed);
        assert_eq!(of(80, "tcp", Some("http")), Protocol::Http);
        assert_eq!(of(80, "tcp", Some("kubernetes.io/h2c")), Protocol::Http2);
        assert_eq!(of(3306, "db", None), Protocol::Tcp);
        assert_eq!(of(6379, "redis", None), Protocol::Redis);
        assert_eq!(Protocol::of_service_port(53, "dns", "UDP", None), Protocol::Udp);
    }
}
