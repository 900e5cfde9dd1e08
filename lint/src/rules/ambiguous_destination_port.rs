//! `ambiguous-destination-port`

use crate::diagnostic::{Edit, Fix, Safety, Severity};
use crate::mesh::reach::{ImpliedPort, route_kinds};
use crate::mesh::registry::Host;
use crate::mesh::routes::Target;
use crate::rule::{Check, Context, declare_rule};
use crate::span::Span;

declare_rule! {
    /// ## What it does
    /// Reports a destination without a port for which Istio picks one that the host does not have. Istio
    /// takes the only port of the host, else the port that the request came in on: the Gateway's, or that
    /// of the Service which was called. For http routes a sidecar looks only at hosts that have the latter,
    /// so that a single other port is not found either.
    ///
    /// ## Why it matters
    /// The request goes to a cluster that does not exist: 503 with the response flag `NC`. It is a warning
    /// where some of the ports that a request can come in on work.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-app}
    /// spec:
    ///   selector: {app: voting-app}
    ///   ports: [{name: http, port: 8080}, {name: http-metrics, port: 9090}]
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: Gateway
    /// metadata: {name: voting-app-gateway}
    /// spec:
    ///   selector: {istio: ingressgateway}
    ///   servers:
    ///   - port: {number: 80, name: http, protocol: HTTP}
    ///     hosts: ["*"]
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-app}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [voting-app-gateway]
    ///   http:
    ///   - route:
    ///     - destination: {host: voting-app}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-app}
    /// spec:
    ///   selector: {app: voting-app}
    ///   ports: [{name: http, port: 8080}, {name: http-metrics, port: 9090}]
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: Gateway
    /// metadata: {name: voting-app-gateway}
    /// spec:
    ///   selector: {istio: ingressgateway}
    ///   servers:
    ///   - port: {number: 80, name: http, protocol: HTTP}
    ///     hosts: ["*"]
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-app}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [voting-app-gateway]
    ///   http:
    ///   - route:
    ///     - destination: {host: voting-app, port: {number: 8080}}
    /// ```
    ///
    /// ## References
    /// - [Destination](https://istio.io/latest/docs/reference/config/networking/virtual-service/#Destination):
    ///   "If a service exposes only a single port it is not required to explicitly select the port"
    /// - `pilot/pkg/networking/core/httproute.go`, `BuildSidecarOutboundVirtualHosts`
    id: "ambiguous-destination-port",
    severity: Error,
    category: Destinations,
    fix: Unsafe,
    since: "0.1.0",
    upstream: ["IST0112"],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    for (service, target) in mesh.routes.targets() {
        if target.destination.port.is_some() {
            continue;
        }
        let Some(host) = mesh.registry.find(&target.host, None) else { continue };
        // Ports that several ServiceEntries share out, and those of an ExternalName's target, are not judged.
        let is_single = mesh.registry.named(&host.name).nth(1).is_none();
        if !is_single || host.is_alias() || host.ports.is_empty() {
            continue;
        }
        let implied = mesh.implied_ports(service, target, host);
        let Some(failing) = implied.iter().find(|port| !port.works) else { continue };
        let has = match host.ports.as_slice() {
            [only] => format!("has only {}", only.number),
            _ => format!("has several ({})", host.describe_ports()),
        };
        let picks = if failing.at_gateway {
            format!("for requests to port {0} of the gateway Istio picks {0}", failing.listener)
        } else {
            format!("for calls to port {0} a sidecar picks {0}", failing.listener)
        };
        let fix = fix(ctx, target, host);
        let message = format!("no port is given and {} {has}: {picks}", host.resource.describe());
        let diagnostic = ctx.report(service.resource, target.host_span, message);
        diagnostic.fix = fix;
        if implied.iter().any(|port| port.works) || !target.receives_requests() {
            diagnostic.severity(Severity::Warning);
        }
        diagnostic.help("give the port of the destination");
        let listeners: Vec<&ImpliedPort> = implied.iter().filter(|port| !port.works).collect();
        for listener in listeners.iter().take(3) {
            diagnostic.related(listener.place, "the port that requests come in on");
        }
        for port in host.ports.iter().take(4) {
            diagnostic.related(port.span, "a port that the destination has");
        }
    }
}

/// Gives the only port that this kind of route can lead to.
fn fix(ctx: &Context<'_>, target: &Target<'_>, host: &Host<'_>) -> Option<Fix> {
    let mut usable = host.ports.iter().filter(|port| route_kinds(port).contains(&target.kind));
    let (port, None) = (usable.next()?.number, usable.next()) else { return None };
    let file = target.host_span.file;
    let text = ctx.files.text(file);
    let block = target.destination.span;
    let edit = if text.get(block.range())?.starts_with('{') {
        let end = target.host_span.end;
        Edit { span: Span::new(file, end, end), text: format!(", port: {{number: {port}}}") }
    } else {
        let before = text.get(..target.host_span.range().start)?;
        let line = before.rsplit('\n').next()?;
        let indent = line.strip_suffix("host: ").filter(|indent| indent.trim().is_empty())?;
        let rest = text.get(target.host_span.range().end..)?.split('\n').next()?;
        let (rest, newline) = rest.strip_suffix('\r').map_or((rest, "\n"), |rest| (rest, "\r\n"));
        let end = target.host_span.end + u32::try_from(rest.len()).ok()?;
        let text = format!("{newline}{indent}port:{newline}{indent}  number: {port}");
        Edit { span: Span::new(file, end, end), text }
    };
    Some(Fix { title: format!("give port {port}"), safety: Safety::Unsafe, edits: vec![edit] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, check_fix, run};

    fn service(name: &str, ports: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{app: {name}}}, ports: \
             [{ports}]}}\n---\n"
        )
    }

    fn gateway(servers: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: gw}}\nspec: {{selector: {{istio: \
             ingress}}, servers: [{servers}]}}\n---\n"
        )
    }

    fn route(head: &str, kind: &str, destination: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: r}}\nspec:\n  {head}\n  \
             {kind}:\n  - route:\n    - destination:{destination}\n"
        )
    }

    const HTTP: &str = "{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}";
    const TWO: &str = "{name: http, port: 8080}, {name: mysql, port: 3306}";

    #[test]
    fn at_a_gateway_the_listeners_port_is_picked_from_several() {
        check(
            &RULE,
            r#"
apiVersion: v1
kind: Service
metadata: {name: app}
spec:
  selector: {app: app}
  ports:
  - {name: http, port: 8080}
  #                    ~~~~ related: a port that the destination has
  - {name: http-admin, port: 9090}
  #                          ~~~~ related: a port that the destination has
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw}
spec:
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    #              ~~ related: the port that requests come in on
    hosts: ["*"]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: app}
spec:
  hosts: ["*"]
  gateways: [gw]
  http:
  - route:
    - destination: {host: app}
      #                   ^^^ error: no port is given and Service `app` has several (8080 (http), 9090 (http-admin)): for requests to port 80 of the gateway Istio picks 80
"#,
        );
    }

    #[test]
    fn a_pick_that_the_host_has_is_right() {
        let ports = "{name: http, port: 80}, {name: http-admin, port: 9090}";
        let at_gateway = route("hosts: ['*']\n  gateways: [gw]", "http", " {host: app}");
        check(&RULE, &format!("{}{}{at_gateway}", service("app", ports), gateway(HTTP)));
        let in_mesh = route("hosts: [app]", "http", " {host: app}");
        check(&RULE, &format!("{}{in_mesh}", service("app", ports)));
    }

    /// Trap: gateways and tcp routes see all ports, a sidecar's http routes only the listener's.
    #[test]
    fn a_single_other_port_is_found_at_gateways_and_by_tcp_but_not_by_http_in_sidecars() {
        let at_gateway = route("hosts: ['*']\n  gateways: [gw]", "http", " {host: b}");
        check(&RULE, &format!("{}{}{at_gateway}", service("b", "{name: http, port: 8080}"), gateway(HTTP)));
        let tcp = route("hosts: [a]", "tcp", " {host: b}");
        let a_tcp = service("a", "{name: tcp, port: 80}");
        check(&RULE, &format!("{a_tcp}{}{tcp}", service("b", "{name: tcp, port: 8080}")));
        let http = route("hosts: [a]", "http", " {host: b}");
        let a_http = service("a", "{name: http, port: 80}");
        let found = run(&RULE, &format!("{a_http}{}{http}", service("b", "{name: http, port: 8080}")));
        assert_eq!(
            found[0].message,
            "no port is given and Service `b` has only 8080: for calls to port 80 a sidecar picks 80"
        );
    }

    #[test]
    fn a_gateway_port_that_only_redirects_or_serves_other_hosts_is_not_counted() {
        let redirect =
            "{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*'], tls: {httpsRedirect: true}}";
        let other = "{port: {number: 80, name: http, protocol: HTTP}, hosts: [other.example.com]}";
        let tcp = "{port: {number: 31400, name: tcp, protocol: TCP}, hosts: ['*']}";
        let https = "{port: {number: 8080, name: https, protocol: HTTPS}, hosts: ['*'], tls: {mode: SIMPLE}}";
        let route = route("hosts: [app.example.com]\n  gateways: [gw]", "http", " {host: app}");
        let servers = format!("{redirect}, {other}, {tcp}, {https}");
        check(&RULE, &format!("{}{}{route}", service("app", TWO), gateway(&servers)));
    }

    #[test]
    fn ports_that_work_beside_one_that_fails_make_it_a_warning() {
        let called = service("a", "{name: http, port: 80}, {name: http-alt, port: 8080}");
        let route = route("hosts: [a]", "http", " {host: b}");
        let found = run(&RULE, &format!("{called}{}{route}", service("b", "{name: http, port: 8080}")));
        assert_eq!(found[0].severity, Severity::Warning);
    }

    #[test]
    fn the_only_port_of_the_routes_kind_is_given_in_either_style() {
        let text = |destination: &str| {
            let route = route("hosts: ['*']\n  gateways: [gw]", "http", destination);
            format!("{}{}{route}", service("app", TWO), gateway(HTTP))
        };
        let after = " {host: app, port: {number: 8080}, subset: v1}";
        check_fix(&RULE, Safety::Unsafe, &text(" {host: app, subset: v1}"), &text(after));
        let block = "\n        host: app # the page";
        let after = format!("{block}\n        port:\n          number: 8080\n        subset: v1");
        check_fix(&RULE, Safety::Unsafe, &text(&format!("{block}\n        subset: v1")), &text(&after));
    }

    #[test]
    fn a_gateway_or_host_that_is_not_in_the_input_says_nothing() {
        let text = route("hosts: ['*']\n  gateways: [gw]", "http", " {host: app}");
        check(&RULE, &format!("{}{text}", service("app", TWO)));
        check(&RULE, &format!("{}{text}", gateway(HTTP)));
    }
}
