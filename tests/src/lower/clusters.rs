//! Clusters of one client: a host's ports and subsets, their endpoints, and the TLS the client sends
//! (`cluster_builder.go`, `cluster_tls.go`, `mtls_checker.go`).

use coalmine::mesh::mtls::Assumed;
use coalmine::mesh::registry::{Host, Port, Protocol};
use coalmine::mesh::security::Mode;
use coalmine::mesh::workloads::{Proxy as Handler, WorkloadId};
use coalmine::resource::field::Map;
use serde_json::{Value, json};

use super::{Lowered, Lowering, Proxy, envoy, identity};
use crate::bootstrap::loopback;

/// What a client's connections to a cluster begin with.
enum Sends {
    Plaintext,
    /// TLS without a certificate of its own.
    Simple,
    /// Istio's certificate, to every endpoint.
    Mutual,
    /// Istio's certificate, to endpoints that have a sidecar that wants it.
    Auto,
}

impl<'a> Lowering<'_, 'a> {
    /// Every cluster of a sidecar or gateway.
    pub(super) fn clusters(&self, proxy: &Proxy<'_>, out: &mut Lowered) {
        for host in self.hosts(proxy) {
            let rules = self.mesh.destination(proxy.client(), &host.name);
            for port in host.ports.iter().filter(|port| port.protocol != Protocol::Udp) {
                let mut add = |subset: &str, labels: Option<&Map<String>>| {
                    let name = self.cluster_name(proxy, port.number, subset, &host.name);
                    let mut cluster = envoy::cluster(&name, &self.endpoints(host, port, labels));
                    let chosen = (!subset.is_empty()).then_some(subset);
                    let setting = rules.as_ref().and_then(|rules| rules.client_tls(port.number, chosen));
                    let mode = setting.map(|setting| setting.mode().to_owned());
                    match mode.as_deref() {
                        Some("MUTUAL") => out.left_out.push(format!("tls mode MUTUAL for {}", host.name)),
                        Some("SIMPLE") if setting.is_some_and(|s| s.tls.credential_name.is_some()) => {
                            out.left_out.push(format!("credentialName for {}", host.name));
                        }
                        _ => {}
                    }
                    let sends = self.sends(host, mode.as_deref());
                    self.secure(&mut cluster, proxy, host, port, subset, &sends);
                    out.clusters.push(cluster);
                };
                add("", None);
                let mut seen: Vec<&str> = Vec::new();
                for (_, subset) in rules.iter().flat_map(|rules| rules.subsets()) {
                    let name = subset.name.text();
                    if !seen.contains(&name) {
                        seen.push(name);
                        add(name, Some(&subset.labels));
                    }
                }
            }
        }
    }

    /// Clusters of a pod without a sidecar: every host's pods, in the clear.
    pub(super) fn plain_cluster(&self, name: &str, host: &Host<'a>, port: &Port<'a>) -> Value {
        envoy::cluster(name, &self.endpoints(host, port, None))
    }

    fn sends(&self, host: &Host<'a>, mode: Option<&str>) -> Sends {
        match mode {
            Some("DISABLE") => Sends::Plaintext,
            Some("SIMPLE") => Sends::Simple,
            Some(_) => Sends::Mutual,
            None if !self.mesh.config.auto_mtls || host.is_external() => Sends::Plaintext,
            None => match self.mesh.assumed_mode(host) {
                Assumed::Policy(decision) if decision.mode != Mode::Disable => Sends::Auto,
                _ => Sends::Plaintext,
            },
        }
    }

    fn endpoints(&self, host: &Host<'a>, port: &Port<'a>, labels: Option<&Map<String>>) -> Vec<Value> {
        let pods = host.workloads.iter().filter_map(|id| Some((*id, self.mesh.workloads.get(*id)?)));
        pods.filter(|(_, workload)| labels.is_none_or(|labels| labels.selects(workload.labels)))
            .filter(|(_, workload)| workload.template.replicas.get() != Some(&0))
            .filter_map(|(id, _)| Some(self.endpoint(id, port.on_workload(self.mesh.workloads.get(id)?)?)))
            .collect()
    }

    /// A pod's port; its sidecar's socket when it has one.
    fn endpoint(&self, id: WorkloadId, number: u32) -> Value {
        let workload = self.mesh.workloads.get(id).filter(|_| !self.is_gateway(id));
        let is_proxied = workload.is_some_and(|workload| workload.proxy_on(number) == Handler::Sidecar);
        if let Some(workload) = workload.filter(|_| is_proxied) {
            let decision = self.mesh.peer_authentications.of_workload(
                workload.namespace(),
                workload.labels,
                Some(number),
            );
            let mode = if decision.mode == Mode::Disable { "disabled" } else { "istio" };
            return json!({
                "endpoint": { "address": envoy::pipe(&self.socket(id, number)) },
                "metadata": { "filter_metadata": { "envoy.transport_socket_match": { "tlsMode": mode } } },
            });
        }
        let app = workload.and_then(|workload| (self.apps)(workload, number));
        let address = app.map_or_else(|| envoy::pipe(&self.nowhere()), |address| loopback(address.port()));
        json!({ "endpoint": { "address": address } })
    }

    fn secure(
        &self,
        cluster: &mut Value,
        proxy: &Proxy<'_>,
        host: &Host<'a>,
        port: &Port<'a>,
        subset: &str,
        sends: &Sends,
    ) {
        let mutual = || {
            let servers = host.workloads.iter().filter_map(|id| self.mesh.workloads.get(*id));
            let mut names: Vec<String> = servers.map(identity).collect();
            names.sort();
            names.dedup();
            let alpn =
                if port.protocol.is_http() { &["istio"][..] } else { &["istio-peer-exchange", "istio"] };
            envoy::tls(
                "UpstreamTlsContext",
                json!({
                    "common_tls_context": {
                        "tls_certificates": [self.authority.certificate(&proxy.identity)],
                        "validation_context": self.authority.validation(&names),
                        "alpn_protocols": alpn,
                    },
                    "sni": format!("outbound_.{}_.{subset}_.{}", port.number, host.name),
                }),
            )
        };
        let plain = json!({
            "name": "envoy.transport_sockets.raw_buffer",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer",
            },
        });
        match sends {
            Sends::Plaintext => {}
            Sends::Simple => {
                let simple = json!({ "common_tls_context": {}, "sni": host.name });
                cluster["transport_socket"] = envoy::tls("UpstreamTlsContext", simple);
            }
            Sends::Mutual => cluster["transport_socket"] = mutual(),
            Sends::Auto => {
                cluster["transport_socket_matches"] = json!([
                    { "name": "tlsMode-istio", "match": { "tlsMode": "istio" }, "transport_socket": mutual() },
                    { "name": "tlsMode-disabled", "match": {}, "transport_socket": plain },
                ]);
            }
        }
    }
}
