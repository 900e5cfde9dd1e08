//! `route-kind-ignored`

use crate::mesh::Mesh;
use crate::mesh::gateways::server_kinds;
use crate::mesh::host::is_wildcard;
use crate::mesh::reach::route_kinds;
use crate::mesh::registry::Protocol;
use crate::mesh::routes::{Binding, RouteKind, VirtualService};
use crate::rule::{Check, Context, declare_rule};
use crate::span::Span;

declare_rule! {
    /// ## What it does
    /// Reports http, tls or tcp routes that apply only to ports of another protocol. A sidecar takes `http`
    /// routes for HTTP and gRPC ports, `tls` for HTTPS and TLS, `tcp` for all others, and `http` and `tcp`
    /// both when the port declares no protocol. A gateway takes `http` for HTTP servers and HTTPS that ends
    /// there, `tls` for passthrough, `tcp` for the rest.
    ///
    /// ## Why it matters
    /// Istio ignores the other lists without notice: the traffic goes to the Service as if there was no
    /// VirtualService, so every version answers, and at a gateway nothing answers at all.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-storage, namespace: voting}
    /// spec:
    ///   selector: {app: voting-storage}
    ///   ports: [{name: redis, port: 6379}]
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-storage, namespace: voting}
    /// spec:
    ///   hosts: [voting-storage]
    ///   http:
    ///   - route:
    ///     - destination: {host: voting-storage, subset: v1-0}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-storage, namespace: voting}
    /// spec:
    ///   selector: {app: voting-storage}
    ///   ports: [{name: redis, port: 6379}]
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-storage, namespace: voting}
    /// spec:
    ///   hosts: [voting-storage]
    ///   tcp:
    ///   - route:
    ///     - destination: {host: voting-storage, subset: v1-0}
    /// ```
    ///
    /// ## References
    /// - [Protocol selection](https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/)
    /// - `pilot/pkg/networking/core/tls.go`, `core/gateway.go`, `core/route/route.go`
    id: "route-kind-ignored",
    severity: Error,
    category: Routing,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::State(check),
}

/// A port of a host or a server of a gateway that the routes may apply to.
struct Place {
    number: u32,
    span: Span,
    kinds: &'static [RouteKind],
    /// ``port 6379 of `redis` is Redis``
    what: String,
}

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    for service in mesh.routes.iter().filter(|service| !service.hosts.is_empty()) {
        let bindings: Vec<(&Binding<'_>, Option<Vec<Place>>)> =
            service.bindings.iter().map(|binding| (binding, places(mesh, service, binding))).collect();
        for (kind, count) in RouteKind::ALL.map(|kind| (kind, service.count(kind))) {
            if count == 0 {
                continue;
            }
            if let Some(places) = ignored(kind, bindings.iter().map(|(_, places)| places.as_deref()), None) {
                let node = service.resource.node(ctx.documents).and_then(|node| node.get("spec"));
                let key = node.and_then(|spec| spec.entry(kind.as_str())).map(|(key, _)| key.span());
                report(ctx, service, kind, &places, key.unwrap_or(service.resource.span), "routes are");
                continue;
            }
            let sources = (0..count).flat_map(|rule| {
                service.sources(kind, rule).into_iter().enumerate().map(move |(b, source)| (rule, b, source))
            });
            for (rule, block, source) in sources {
                let place = port_span(service, kind, rule, block)
                    .or_else(|| source.gateways.first().map(|name| name.span));
                // A block that is not limited applies wherever the list does.
                let Some(place) = place else { continue };
                let reached = bindings
                    .iter()
                    .filter(|(binding, _)| service.source_allows(&source, binding))
                    .map(|(_, places)| places.as_deref());
                if let Some(places) = ignored(kind, reached, source.port) {
                    report(ctx, service, kind, &places, place, "match is");
                }
            }
        }
    }
}

/// The places that routes apply to, if they are all known and none takes this kind.
fn ignored<'p>(
    kind: RouteKind,
    bindings: impl Iterator<Item = Option<&'p [Place]>>,
    port: Option<u32>,
) -> Option<Vec<&'p Place>> {
    let mut all = Vec::new();
    for places in bindings {
        all.extend(places?.iter().filter(|place| port.is_none_or(|port| port == place.number)));
    }
    (!all.is_empty() && all.iter().all(|place| !place.kinds.contains(&kind))).then_some(all)
}

/// The places of one binding; `None` when some are not in the input.
fn places(mesh: &Mesh<'_>, service: &VirtualService<'_>, binding: &Binding<'_>) -> Option<Vec<Place>> {
    let mut places = Vec::new();
    match binding {
        Binding::Mesh => {
            for name in &service.hosts {
                let mut found = false;
                for host in mesh.registry.named(name).filter(|_| !is_wildcard(name)) {
                    found = true;
                    for port in host.ports.iter().filter(|port| port.protocol != Protocol::Udp) {
                        let protocol = match port.protocol {
                            Protocol::Sniffed => "of no declared protocol",
                            protocol => protocol.as_str(),
                        };
                        places.push(Place {
                            number: port.number,
                            span: port.span,
                            kinds: route_kinds(port),
                            what: format!(
                                "port {} of `{}` is {protocol}",
                                port.number, host.resource.name.value
                            ),
                        });
                    }
                }
                if !found {
                    return None;
                }
            }
        }
        Binding::Gateway { namespace, name, .. } => {
            let gateway = mesh.gateways.get(namespace, name)?;
            for host in &service.hosts {
                for server in gateway.servers_for(host, service.namespace()) {
                    let Some(port) = server.port.as_ref() else { continue };
                    let Some(number) = port.number.as_ref() else { continue };
                    let ends = match (server_kinds(server), server.tls.is_some()) {
                        ([RouteKind::Tls], _) => " passthrough",
                        ([RouteKind::Tcp], true) => " that ends there",
                        _ => "",
                    };
                    places.push(Place {
                        number: number.value,
                        span: port.protocol.span().unwrap_or(number.span),
                        kinds: server_kinds(server),
                        what: format!(
                            "port {} of Gateway `{name}` is {}{ends}",
                            number.value,
                            port.protocol.text()
                        ),
                    });
                }
            }
        }
    }
    Some(places)
}

fn port_span(service: &VirtualService<'_>, kind: RouteKind, rule: usize, block: usize) -> Option<Span> {
    let spec = service.spec;
    match kind {
        RouteKind::Http => spec.http.get(rule)?.r#match.get(block)?.port.span(),
        RouteKind::Tls => spec.tls.get(rule)?.r#match.get(block)?.port.span(),
        RouteKind::Tcp => spec.tcp.get(rule)?.r#match.get(block)?.port.span(),
    }
}

fn report(
    ctx: &mut Context<'_>,
    service: &VirtualService<'_>,
    kind: RouteKind,
    places: &[&Place],
    span: Span,
    what: &str,
) {
    let message = match places {
        [place] => {
            let takes: Vec<String> = place.kinds.iter().map(|kind| format!("`{}`", kind.as_str())).collect();
            format!(
                "the `{}` {what} ignored: {}, which takes {} routes",
                kind.as_str(),
                place.what,
                takes.join(" and ")
            )
        }
        _ => format!("the `{}` {what} ignored: no port that they apply to takes them", kind.as_str()),
    };
    let mut wanted: Vec<RouteKind> = places.iter().flat_map(|place| place.kinds).copied().collect();
    wanted.sort_unstable();
    wanted.dedup();
    let wanted: Vec<String> = wanted.iter().map(|kind| format!("`{}`", kind.as_str())).collect();
    let diagnostic = ctx.report(service.resource, span, message);
    diagnostic
        .help(format!("write the routes under {}, or correct the port's protocol", wanted.join(" or ")));
    let mut seen: Vec<Span> = Vec::new();
    for place in places.iter().take(6) {
        if !seen.contains(&place.span) {
            seen.push(place.span);
            diagnostic.related(place.span, place.what.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, run};

    fn service(ports: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: db}}\nspec:\n  selector: {{app: db}}\n  ports: {ports}\n---\n"
        )
    }

    fn routes(rest: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: db}}\nspec:\n  hosts: [db]\n{rest}"
        )
    }

    const ROUTE: &str = "[{route: [{destination: {host: db}}]}]";

    /// How often the rule fires for the ports of a Service and lists of routes.
    fn fires(ports: &str, lists: &[&str]) -> usize {
        let lists: String = lists.iter().map(|list| format!("  {list}: {ROUTE}\n")).collect();
        run(&RULE, &(service(ports) + &routes(&lists))).len()
    }

    #[test]
    fn the_list_and_the_ports_are_shown() {
        check(
            &RULE,
            r"
apiVersion: v1
kind: Service
metadata: {name: db}
spec:
  selector: {app: db}
  ports:
  - {name: redis, port: 6379}
  #                     ~~~~ related: port 6379 of `db` is Redis
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: db}
spec:
  hosts: [db]
  http:
  ^^^^ error: the `http` routes are ignored: port 6379 of `db` is Redis, which takes `tcp` routes
  - route: [{destination: {host: db}}]
"
            .replace("  ^^^^", "# ^^^^")
            .as_str(),
        );
    }

    /// Trap: which list counts depends on the port's protocol; the others are ignored without notice.
    #[test]
    fn each_protocol_takes_its_own_list() {
        assert_eq!(fires("[{name: http, port: 80}]", &["http"]), 0);
        assert_eq!(fires("[{name: http, port: 80}]", &["tcp"]), 1);
        assert_eq!(fires("[{name: grpc, port: 80}]", &["tls"]), 1);
        assert_eq!(fires("[{name: mysql, port: 3306}]", &["tcp"]), 0);
        assert_eq!(fires("[{name: db, port: 3306}]", &["http"]), 1);
        assert_eq!(fires("[{name: x, appProtocol: tcp, port: 80}]", &["http"]), 1);
        assert_eq!(fires("[{name: tls, port: 443}]", &["tls"]), 0);
        assert_eq!(fires("[{name: tls, port: 443}]", &["tcp"]), 1);
        assert_eq!(fires("[{name: https, port: 443}]", &["http"]), 1);
    }

    /// Trap: a port that declares no protocol is sniffed and takes http and tcp routes.
    #[test]
    fn a_sniffed_port_takes_both() {
        assert_eq!(fires("[{name: web, port: 80}]", &["http", "tcp"]), 0);
        assert_eq!(fires("[{name: web, port: 80}]", &["tls"]), 1);
    }

    #[test]
    fn one_port_that_takes_the_list_is_enough() {
        assert_eq!(fires("[{name: redis, port: 6379}, {name: http, port: 80}]", &["http", "tcp"]), 0);
        assert_eq!(fires("[{name: redis, port: 6379}, {name: mysql, port: 3306}]", &["http"]), 1);
        assert_eq!(fires("[{name: dns, port: 53, protocol: UDP}]", &["http"]), 0);
    }

    #[test]
    fn a_match_on_a_port_of_another_protocol_is_reported_there() {
        let ports = service("[{name: redis, port: 6379}, {name: http, port: 80}]");
        let text = routes(
            "  http:
  - match:
    - port: 80
    - port: 6379
      #     ^^^^ error: the `http` match is ignored: port 6379 of `db` is Redis, which takes `tcp` routes
    - port: 1234
    - uri: {prefix: /}
    route: [{destination: {host: db}}]
  tcp:
  - match: [{port: 6379}]
    route: [{destination: {host: db}}]
",
        );
        check(&RULE, &(ports + &text));
    }

    #[test]
    fn a_host_that_is_not_in_the_input_is_not_judged() {
        check(&RULE, &routes(&format!("  http: {ROUTE}\n")));
        let ports = service("[{name: redis, port: 6379}]");
        check(&RULE, &(ports + &routes(&format!("  http: {ROUTE}\n"))).replace("[db]", "[db, other]"));
    }

    fn gateway(server: &str, list: &str) -> Vec<crate::Diagnostic> {
        let gateway = format!(
            "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: gw}}\nspec:\n  servers:\n  \
             - {{hosts: [a.com], {server}}}\n  - {{hosts: [b.com], port: {{number: 1, protocol: TCP}}}}\n---\n"
        );
        let text = routes(&format!("  gateways: [gw]\n  {list}: {ROUTE}\n")).replace("[db]", "[a.com]");
        run(&RULE, &(gateway + &text))
    }

    /// Trap: at a gateway the server's protocol and TLS mode choose the list.
    #[test]
    fn each_server_takes_its_own_list() {
        let cases = [
            ("port: {number: 80, protocol: HTTP}", "http"),
            ("port: {number: 80, protocol: HTTP}, tls: {httpsRedirect: true}", "http"),
            ("port: {number: 443, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: c}", "http"),
            ("port: {number: 443, protocol: HTTPS}, tls: {mode: PASSTHROUGH}", "tls"),
            ("port: {number: 443, protocol: TLS}, tls: {}", "tls"),
            ("port: {number: 443, protocol: TLS}, tls: {mode: AUTO_PASSTHROUGH}", "tls"),
            ("port: {number: 443, protocol: TLS}, tls: {mode: MUTUAL, credentialName: c}", "tcp"),
            ("port: {number: 9000, protocol: TCP}", "tcp"),
        ];
        for (server, right) in cases {
            for list in ["http", "tls", "tcp"] {
                assert_eq!(gateway(server, list).len(), usize::from(list != right), "{list} at {server}");
            }
        }
        // Without `tls` an HTTPS server is invalid, and another rule's finding.
        assert_eq!(gateway("port: {number: 443, protocol: HTTPS}", "http"), []);
    }

    #[test]
    fn the_servers_message_says_what_it_is() {
        let found = gateway("port: {number: 443, protocol: HTTPS}, tls: {mode: PASSTHROUGH}", "http");
        assert_eq!(
            found[0].message,
            "the `http` routes are ignored: port 443 of Gateway `gw` is HTTPS passthrough, which takes `tls` routes"
        );
    }

    #[test]
    fn routes_for_the_gateway_may_be_of_no_use_in_the_mesh() {
        let gateway = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gw}\nspec:\n  \
                       servers: [{hosts: ['*'], port: {number: 80, protocol: HTTP}}]\n---\n";
        let ports = service("[{name: redis, port: 6379}]");
        let text = |block: &str| {
            routes(&format!(
                "  gateways: [mesh, gw]\n  http:\n  - match: [{{{block}}}]\n    route: [{{destination: {{host: db}}}}]\n"
            ))
        };
        check(&RULE, &format!("{gateway}{ports}{}", text("uri: {prefix: /}")));
        let mesh_only = text("gateways: [mesh]").replace(
            "[mesh]}]\n",
            "[mesh]}]\n    #                   ^^^^ error: the `http` match is ignored: port 6379 of `db` is Redis, …\n",
        );
        check(&RULE, &format!("{gateway}{ports}{mesh_only}"));
    }
}
