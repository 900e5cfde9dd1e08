//! `gateway-port-not-exposed`

use rustc_hash::{FxHashMap, FxHashSet};

use crate::mesh::Mesh;
use crate::mesh::gateways::Gateway;
use crate::mesh::registry::{Host, Origin, Protocol};
use crate::mesh::workloads::WorkloadId;
use crate::resource::networking::Server;
use crate::rule::{Check, Context, declare_rule};

declare_rule! {
    /// ## What it does
    /// Reports a Gateway server whose port no Service of the gateway's pods leads to. The number may be a
    /// port of such a Service or its `targetPort`.
    ///
    /// ## Why it matters
    /// Envoy listens on the port, but nothing outside the pod reaches it: connections are refused or time
    /// out before the gateway sees them.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: istio-ingressgateway, namespace: istio-ingress}
    /// spec:
    ///   selector: {matchLabels: {istio: ingressgateway}}
    ///   template:
    ///     metadata: {labels: {istio: ingressgateway}}
    ///     spec: {containers: [{name: istio-proxy, image: auto}]}
    /// ---
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: istio-ingressgateway, namespace: istio-ingress}
    /// spec:
    ///   selector: {istio: ingressgateway}
    ///   ports: [{name: http2, port: 80, targetPort: 8080}]
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: Gateway
    /// metadata: {name: voting-app-gateway, namespace: voting}
    /// spec:
    ///   selector: {istio: ingressgateway}
    ///   servers:
    ///   - port: {number: 81, name: http, protocol: HTTP}
    ///     hosts: ["*"]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: istio-ingressgateway, namespace: istio-ingress}
    /// spec:
    ///   selector: {matchLabels: {istio: ingressgateway}}
    ///   template:
    ///     metadata: {labels: {istio: ingressgateway}}
    ///     spec: {containers: [{name: istio-proxy, image: auto}]}
    /// ---
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: istio-ingressgateway, namespace: istio-ingress}
    /// spec:
    ///   selector: {istio: ingressgateway}
    ///   ports: [{name: http2, port: 80, targetPort: 8080}]
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: Gateway
    /// metadata: {name: voting-app-gateway, namespace: voting}
    /// spec:
    ///   selector: {istio: ingressgateway}
    ///   servers:
    ///   - port: {number: 80, name: http, protocol: HTTP}
    ///     hosts: ["*"]
    /// ```
    ///
    /// ## References
    /// - [GatewayPortNotDefinedOnService](https://istio.io/latest/docs/reference/config/analysis/ist0162/)
    /// - `pilot/pkg/model/gateway.go`, `resolvePorts`
    id: "gateway-port-not-exposed",
    severity: Warning,
    category: Gateways,
    fix: None,
    since: "0.1.0",
    upstream: ["IST0162"],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    let gateway_pods: FxHashSet<WorkloadId> =
        mesh.gateways.iter().flat_map(|gateway| gateway.workloads.iter().copied()).collect();
    let mut services: FxHashMap<WorkloadId, Vec<&Host<'_>>> = FxHashMap::default();
    for host in mesh.registry.iter().filter(|host| matches!(host.origin, Origin::Service(_))) {
        for pod in host.workloads.iter().filter(|pod| gateway_pods.contains(pod)) {
            services.entry(*pod).or_default().push(host);
        }
    }
    for gateway in mesh.gateways.iter().filter(|gateway| !is_reached_otherwise(mesh, gateway)) {
        let exposing: Vec<(WorkloadId, &Host<'_>)> = gateway
            .workloads
            .iter()
            .flat_map(|pod| services.get(pod).into_iter().flatten().map(|host| (*pod, *host)))
            .collect();
        if exposing.is_empty() {
            continue;
        }
        for server in gateway.spec.servers.iter().filter(|server| !is_local(server)) {
            let Some(number) = server.port.get().and_then(|port| port.number.as_ref()) else { continue };
            if number.value == 0 || exposing.iter().any(|(pod, host)| leads(mesh, *pod, host, number.value)) {
                continue;
            }
            let mut names: Vec<&Host<'_>> = exposing.iter().map(|(_, host)| *host).collect();
            names.sort_by_key(|host| host.resource.span.start);
            names.dedup_by_key(|host| std::ptr::from_ref(host.resource));
            let message = format!(
                "port {} is no port of {}, which {} the gateway's pods",
                number.value,
                names.iter().take(3).map(|host| host.resource.describe()).collect::<Vec<_>>().join(", "),
                if names.len() == 1 { "selects" } else { "select" },
            );
            let diagnostic = ctx.report(gateway.resource, number.span, message);
            diagnostic.help("use a port of the Service, or add this one to the Service");
            for host in names.into_iter().take(3) {
                for port in host.ports.iter().filter(|port| port.protocol != Protocol::Udp).take(5) {
                    let message = match port.target {
                        Some(target) => format!("exposes {} (targetPort {})", port.number, target.value),
                        None => format!("exposes {}", port.number),
                    };
                    diagnostic.related(port.span, message);
                }
            }
        }
    }
}

/// Pods on the node's network need no Service, and other Services may select pods of a namespace that is
/// not known.
fn is_reached_otherwise(mesh: &Mesh<'_>, gateway: &Gateway<'_>) -> bool {
    gateway.workloads.iter().filter_map(|id| mesh.workloads.get(*id)).any(|pod| {
        let host_network = pod.template.spec.get().and_then(|spec| spec.host_network.get().copied());
        host_network == Some(true) || !mesh.knows_namespace(pod.namespace())
    })
}

/// A listener for the pod alone: a unix socket or a loopback address.
fn is_local(server: &Server) -> bool {
    let bind = server.bind.text();
    let bind = bind.strip_prefix("unix://").unwrap_or(bind);
    bind.starts_with(['/', '@']) || bind.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn leads(mesh: &Mesh<'_>, pod: WorkloadId, host: &Host<'_>, number: u32) -> bool {
    let Some(pod) = mesh.workloads.get(pod) else { return false };
    host.ports
        .iter()
        .filter(|port| port.protocol != Protocol::Udp)
        .any(|port| port.number == number || port.on_workload(pod) == Some(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    const PODS: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: gateway, namespace: infra}
spec:
  template:
    metadata: {labels: {istio: gateway}}
    spec:
      containers: [{name: istio-proxy, ports: [{name: web, containerPort: 8443}]}]
---
";
    const SERVICE: &str = "apiVersion: v1
kind: Service
metadata: {name: gateway, namespace: infra}
spec:
  selector: {istio: gateway}
  ports:
  - {name: http, port: 80, targetPort: 8080}
  #                    ~~ related: exposes 80 (targetPort 8080)
  - {name: https, port: 443, targetPort: web}
  #                     ~~~ related: exposes 443 (targetPort web)
  - {name: quic, port: 9000, protocol: UDP}
---
";
    const GATEWAY: &str = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front, namespace: web}
spec:
  selector: {istio: gateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ['*']
  - port: {number: 8080, name: http-target, protocol: HTTP}
    hosts: ['*']
  - port: {number: 8443, name: https-target, protocol: HTTPS}
    hosts: ['*']
  - port: {number: 81, name: http-other, protocol: HTTP}
    #              ^^ warning: port 81 is no port of Service `gateway`, which selects the gateway's pods
    hosts: ['*']
";

    /// Trap: the number may be the Service's port or the port it translates to, and the pods are in any
    /// namespace.
    #[test]
    fn a_port_or_a_target_port_of_the_service_is_reachable() {
        check(&RULE, &format!("{PODS}{SERVICE}{GATEWAY}"));
    }

    #[test]
    fn a_port_of_another_protocol_does_not_count() {
        let gateway = GATEWAY
            .replace("number: 81", "number: 9000")
            .replace("port 81", "port 9000")
            .replace("#              ^^ ", "#              ^^^^ ");
        check(&RULE, &format!("{PODS}{SERVICE}{gateway}"));
    }

    #[test]
    fn without_the_pods_or_their_service_nothing_is_said() {
        let silent: String = format!("{PODS}{SERVICE}{GATEWAY}")
            .lines()
            .filter(|l| !l.contains(" ^") && !l.contains(" ~"))
            .fold(String::new(), |text, line| text + line + "\n");
        let documents: Vec<&str> = silent.split("---\n").collect();
        check(&RULE, &[documents[0], documents[2]].join("---\n"));
        check(&RULE, &[documents[1], documents[2]].join("---\n"));
        check(&RULE, &format!("#! assume: open\n{silent}"));
    }

    #[test]
    fn sockets_and_pods_on_the_nodes_network_need_no_service() {
        let silent = |text: &str| {
            text.lines().filter(|l| !l.contains(" ^") && !l.contains(" ~")).collect::<Vec<_>>().join("\n")
                + "\n"
        };
        let local =
            GATEWAY.replace("http-other, protocol: HTTP}", "other, protocol: HTTP}\n    bind: 127.0.0.1");
        check(&RULE, &silent(&format!("{PODS}{SERVICE}{local}")));
        let pods = PODS.replace("    spec:\n", "    spec:\n      hostNetwork: true\n");
        check(&RULE, &silent(&format!("{pods}{SERVICE}{GATEWAY}")));
    }
}
