//! `gateway-host-mismatch`

use crate::mesh::gateways::{Gateway, server_host};
use crate::mesh::host::matches;
use crate::mesh::routes::{Binding, VirtualService};
use crate::rule::{Check, Context, declare_rule};

declare_rule! {
    /// ## What it does
    /// Reports a Gateway in a VirtualService's `gateways` none of whose servers accepts any host of the
    /// VirtualService. A server's `namespace/host` accepts VirtualServices of that namespace alone, and
    /// `*.example.com` does not cover `example.com`.
    ///
    /// ## Why it matters
    /// The gateway ignores the whole VirtualService and answers 404 for its hosts. This is a warning and no
    /// error because the VirtualService may be bound to other gateways that do accept its hosts.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: Gateway
    /// metadata: {name: voting-app-gateway, namespace: voting}
    /// spec:
    ///   selector: {istio: ingressgateway}
    ///   servers:
    ///   - port: {number: 80, name: http, protocol: HTTP}
    ///     hosts: ["*.example.com"]
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-app, namespace: voting}
    /// spec:
    ///   hosts: [example.com]
    ///   gateways: [voting-app-gateway]
    ///   http:
    ///   - route:
    ///     - destination: {host: voting-app}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: Gateway
    /// metadata: {name: voting-app-gateway, namespace: voting}
    /// spec:
    ///   selector: {istio: ingressgateway}
    ///   servers:
    ///   - port: {number: 80, name: http, protocol: HTTP}
    ///     hosts: ["*.example.com"]
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-app, namespace: voting}
    /// spec:
    ///   hosts: [vote.example.com]
    ///   gateways: [voting-app-gateway]
    ///   http:
    ///   - route:
    ///     - destination: {host: voting-app}
    /// ```
    ///
    /// ## References
    /// - [Server](https://istio.io/latest/docs/reference/config/networking/gateway/#Server), `hosts`
    /// - `pkg/config/host/name.go`, `Matches`; `pkg/config/host/names.go`, `NamesForNamespace`
    id: "gateway-host-mismatch",
    severity: Warning,
    category: Gateways,
    fix: None,
    since: "0.1.0",
    upstream: ["IST0132"],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    // A delegate has no hosts of its own.
    for service in mesh.routes.iter().filter(|service| !service.hosts.is_empty()) {
        for binding in &service.bindings {
            let Binding::Gateway { namespace, name, written } = binding else { continue };
            let Some(gateway) = mesh.gateways.get(namespace, name) else { continue };
            let entries = || gateway.spec.servers.iter().flat_map(|server| &server.hosts);
            if entries().next().is_none() || accepts(gateway, service, service.namespace()) {
                continue;
            }
            let hosts: Vec<String> = service.hosts.iter().map(|host| format!("`{}`", host.value)).collect();
            let message = match hosts.as_slice() {
                [host] => format!("no server of Gateway `{name}` accepts host {host}"),
                _ => format!("no server of Gateway `{name}` accepts any of {}", hosts.join(", ")),
            };
            let diagnostic = ctx.report(service.resource, written.span, message);
            diagnostic
                .help("add the host to a server of the Gateway, or correct the VirtualService's `hosts`");
            for host in service.hosts.iter().take(3) {
                diagnostic.related(host.span, "the VirtualService's host");
            }
            for entry in entries().take(5) {
                let own = gateway.resource.namespace();
                let message = match entry.split_once('/') {
                    Some((filter, _)) if server_host(entry, own, service.namespace()).is_none() => {
                        let filter = if filter == "." { own } else { filter };
                        format!("accepted for VirtualServices of namespace `{filter}` alone")
                    }
                    _ => "accepted by the Gateway".to_owned(),
                };
                diagnostic.related(entry.span, message);
            }
        }
    }
}

fn accepts(gateway: &Gateway<'_>, service: &VirtualService<'_>, namespace: &str) -> bool {
    let own = gateway.resource.namespace();
    gateway.spec.servers.iter().flat_map(|server| &server.hosts).any(|entry| {
        server_host(entry, own, namespace).is_some_and(|accepted| {
            service.hosts.iter().any(|host| matches(&accepted.to_ascii_lowercase(), host))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    fn gateway(hosts: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: front, namespace: infra}}\n\
             spec:\n  servers:\n  - port: {{number: 80, name: http, protocol: HTTP}}\n    hosts: [{hosts}]\n---\n"
        )
    }

    fn service(hosts: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: web, namespace: web}}\n\
             spec:\n  hosts: [{hosts}]\n  gateways: [infra/front]\n  http: [{{route: [{{destination: {{host: web}}}}]}}]\n"
        )
    }

    #[track_caller]
    fn fires(accepted: &str, hosts: &str) -> bool {
        !crate::testing::run(&RULE, &(gateway(accepted) + &service(hosts))).is_empty()
    }

    #[test]
    fn the_gateway_and_both_hosts_are_shown() {
        check(
            &RULE,
            r#"
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front}
spec:
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ["*.example.com", ./example.org]
    #       ~~~~~~~~~~~~~~~ related: accepted by the Gateway
    #                        ~~~~~~~~~~~~~ related: accepted for VirtualServices of namespace `default` alone
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: web}
spec:
  hosts: [example.org]
  #       ~~~~~~~~~~~ related: the VirtualService's host
  gateways:
  - mesh
  - default/front
  # ^^^^^^^^^^^^^ warning: no server of Gateway `front` accepts host `example.org`
  - elsewhere/front
  http: [{route: [{destination: {host: web}}]}]
"#,
        );
    }

    /// Trap: wildcards compare by suffix, in both directions, and `*.foo.com` is not `foo.com`.
    #[test]
    fn wildcards_match_by_suffix_in_both_directions() {
        assert!(!fires("'*'", "a.foo.com"));
        assert!(!fires("'*.foo.com'", "a.b.foo.com"));
        assert!(!fires("a.foo.com", "'*.foo.com'"));
        assert!(!fires("a.foo.com", "'*'"));
        assert!(!fires("A.foo.com", "a.FOO.com"));
        assert!(fires("'*.foo.com'", "foo.com"));
        assert!(fires("b.foo.com", "a.foo.com"));
    }

    /// Trap: the part before the slash filters the VirtualService's namespace, not the Gateway's.
    #[test]
    fn a_namespace_before_the_host_filters_virtual_services() {
        assert!(!fires("'*/a.com'", "a.com"));
        assert!(!fires("web/a.com", "a.com"));
        assert!(fires("./a.com", "a.com"));
        assert!(fires("infra/a.com", "a.com"));
    }

    /// Trap: short names are rejected in a Gateway, so a VirtualService's short name is its full name.
    #[test]
    fn a_short_name_is_compared_in_full() {
        assert!(!fires("'*.svc.cluster.local'", "web"));
        assert!(fires("web", "web"));
    }

    #[test]
    fn one_accepted_host_is_enough() {
        assert!(!fires("a.com", "web, a.com"));
        check(&RULE, &service("a.com"));
    }
}
