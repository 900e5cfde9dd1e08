//! `networking.istio.io`: the fields that decide where a request goes. Field meanings are Istio's own.
#![allow(missing_docs)]

use serde::Deserialize;

use super::field::{List, Map, Opt, Present};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VirtualService {
    pub hosts: List<String>,
    pub gateways: List<String>,
    pub http: List<HttpRoute>,
    pub tls: List<TlsRoute>,
    pub tcp: List<TcpRoute>,
    pub export_to: List<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpRoute {
    pub name: Opt<String>,
    pub r#match: List<HttpMatch>,
    pub route: List<RouteDestination>,
    pub redirect: Opt<Redirect>,
    pub direct_response: Opt<DirectResponse>,
    pub delegate: Opt<Delegate>,
    pub rewrite: Opt<Rewrite>,
    pub mirror: Opt<Destination>,
    pub mirrors: List<Mirror>,
    pub mirror_percentage: Opt<Percent>,
    pub mirror_percent: Opt<u32>,
    pub fault: Opt<Fault>,
    pub headers: Opt<Headers>,
    pub cors_policy: Opt<CorsPolicy>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Redirect {
    pub uri: Opt<String>,
    pub prefix_rewrite: Opt<String>,
    pub authority: Opt<String>,
    pub port: Opt<u32>,
    pub derive_port: Opt<String>,
    pub scheme: Opt<String>,
    pub redirect_code: Opt<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DirectResponse {
    pub status: Opt<u32>,
    pub body: Opt<DirectBody>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DirectBody {
    pub string: Opt<String>,
}

/// `{value: 12.5}`, in percent.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Percent {
    pub value: Opt<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Fault {
    pub abort: Opt<Abort>,
    pub delay: Opt<Delay>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Abort {
    pub http_status: Opt<u32>,
    pub grpc_status: Opt<String>,
    pub percentage: Opt<Percent>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Delay {
    pub fixed_delay: Opt<String>,
    pub percentage: Opt<Percent>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Headers {
    pub request: Opt<HeaderOperations>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HeaderOperations {
    pub set: Map<String>,
    pub add: Map<String>,
    pub remove: List<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CorsPolicy {
    pub allow_origins: List<StringMatch>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Delegate {
    pub name: Opt<String>,
    pub namespace: Opt<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Rewrite {
    pub uri: Opt<String>,
    pub authority: Opt<String>,
    pub uri_regex_rewrite: Opt<RegexRewrite>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RegexRewrite {
    pub r#match: Opt<String>,
    pub rewrite: Opt<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Mirror {
    pub destination: Opt<Destination>,
    pub percentage: Opt<Percent>,
}

/// One `match` block: its fields are AND-ed, the blocks of a rule OR-ed.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HttpMatch {
    pub name: Opt<String>,
    pub uri: Opt<StringMatch>,
    pub scheme: Opt<StringMatch>,
    pub method: Opt<StringMatch>,
    pub authority: Opt<StringMatch>,
    pub headers: Map<StringMatch>,
    pub without_headers: Map<StringMatch>,
    pub query_params: Map<StringMatch>,
    pub port: Opt<u32>,
    pub source_labels: Map<String>,
    pub source_namespace: Opt<String>,
    pub gateways: List<String>,
    pub ignore_uri_case: Opt<bool>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StringMatch {
    pub exact: Opt<String>,
    pub prefix: Opt<String>,
    pub regex: Opt<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RouteDestination {
    pub destination: Opt<Destination>,
    pub weight: Opt<i64>,
    pub headers: Opt<Headers>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Destination {
    pub host: Opt<String>,
    pub subset: Opt<String>,
    pub port: Opt<PortSelector>,
}

impl Destination {
    /// The port number, if one is given.
    #[must_use]
    pub fn port_number(&self) -> Option<&crate::span::Spanned<u32>> {
        self.port.get()?.number.as_ref()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PortSelector {
    pub number: Opt<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TcpRoute {
    pub r#match: List<L4Match>,
    pub route: List<RouteDestination>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TlsRoute {
    pub r#match: List<L4Match>,
    pub route: List<RouteDestination>,
}

/// A `match` block of a tcp or tls rule; `sniHosts` belongs to tls alone.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct L4Match {
    pub sni_hosts: List<String>,
    pub destination_subnets: List<String>,
    pub port: Opt<u32>,
    pub source_labels: Map<String>,
    pub source_namespace: Opt<String>,
    pub gateways: List<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DestinationRule {
    pub host: Opt<String>,
    pub traffic_policy: Opt<TrafficPolicy>,
    pub subsets: List<Subset>,
    pub export_to: List<String>,
    pub workload_selector: Opt<MatchLabels>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TrafficPolicy {
    pub tls: Opt<ClientTls>,
    pub port_level_settings: List<PortPolicy>,
    pub load_balancer: Opt<Present>,
    pub connection_pool: Opt<Present>,
    pub outlier_detection: Opt<Present>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PortPolicy {
    pub port: Opt<PortSelector>,
    pub tls: Opt<ClientTls>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClientTls {
    pub mode: Opt<String>,
    pub credential_name: Opt<String>,
    pub ca_certificates: Opt<String>,
    pub client_certificate: Opt<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Subset {
    pub name: Opt<String>,
    pub labels: Map<String>,
    pub traffic_policy: Opt<TrafficPolicy>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Gateway {
    pub selector: Map<String>,
    pub servers: List<Server>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Server {
    pub port: Opt<ServerPort>,
    pub hosts: List<String>,
    pub tls: Opt<ServerTls>,
    pub bind: Opt<String>,
    pub name: Opt<String>,
}

impl Server {
    /// The port number, if one is given.
    #[must_use]
    pub fn port_number(&self) -> Option<u32> {
        self.port.get()?.number.get().copied()
    }

    /// Whether it sends every request to https (`tls.httpsRedirect`), and so uses no rules.
    #[must_use]
    pub fn redirects_to_https(&self) -> bool {
        self.tls.get().is_some_and(|tls| tls.https_redirect.get() == Some(&true))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServerPort {
    pub number: Opt<u32>,
    pub name: Opt<String>,
    pub protocol: Opt<String>,
    pub target_port: Opt<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServerTls {
    pub mode: Opt<String>,
    pub https_redirect: Opt<bool>,
    pub credential_name: Opt<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceEntry {
    pub hosts: List<String>,
    pub addresses: List<String>,
    pub ports: List<ServiceEntryPort>,
    pub location: Opt<String>,
    pub resolution: Opt<String>,
    pub endpoints: List<WorkloadEntry>,
    pub export_to: List<String>,
    pub workload_selector: Opt<Labels>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceEntryPort {
    pub number: Opt<u32>,
    pub name: Opt<String>,
    pub protocol: Opt<String>,
    /// A number, as text like that of a Service.
    pub target_port: Opt<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WorkloadEntry {
    pub address: Opt<String>,
    pub ports: Map<u32>,
    pub labels: Map<String>,
    pub service_account: Opt<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WorkloadGroup {
    pub metadata: Opt<WorkloadGroupMetadata>,
    pub template: Opt<WorkloadEntry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WorkloadGroupMetadata {
    pub labels: Map<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Sidecar {
    pub workload_selector: Opt<Labels>,
    pub ingress: List<Present>,
    pub egress: List<SidecarEgress>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SidecarEgress {
    pub hosts: List<String>,
}

/// `workloadSelector: {labels: …}`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Labels {
    pub labels: Map<String>,
}

/// `selector: {matchLabels: …}`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MatchLabels {
    pub match_labels: Map<String>,
}
