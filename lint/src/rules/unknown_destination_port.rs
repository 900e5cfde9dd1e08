//! `unknown-destination-port`

use crate::diagnostic::{Fix, Safety, Severity};
use crate::mesh::Mesh;
use crate::mesh::registry::{Host, Port};
use crate::rule::{Check, Context, declare_rule};

declare_rule! {
    /// ## What it does
    /// Reports a destination whose port is not a port of its host. Destinations name the port of the
    /// Service, not the container's.
    ///
    /// ## Why it matters
    /// Istio accepts the route and sends it to a cluster that does not exist: every matching HTTP request
    /// gets 503 with the response flag `NC`, every TCP connection is reset. A destination that gets no
    /// requests yet, because its weight is 0, is a warning.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-app}
    /// spec:
    ///   selector: {app: voting-app}
    ///   ports: [{name: http, port: 80, targetPort: 8080}]
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-app}
    /// spec:
    ///   hosts: [voting-app]
    ///   http:
    ///   - route:
    ///     - destination: {host: voting-app, port: {number: 8080}}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-app}
    /// spec:
    ///   selector: {app: voting-app}
    ///   ports: [{name: http, port: 80, targetPort: 8080}]
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-app}
    /// spec:
    ///   hosts: [voting-app]
    ///   http:
    ///   - route:
    ///     - destination: {host: voting-app, port: {number: 80}}
    /// ```
    ///
    /// ## References
    /// - [Destination](https://istio.io/latest/docs/reference/config/networking/virtual-service/#Destination)
    /// - `pilot/pkg/networking/core/route/route.go`, `GetDestinationCluster`
    id: "unknown-destination-port",
    severity: Error,
    category: Destinations,
    fix: Unsafe,
    since: "0.1.0",
    upstream: ["IST0101"],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    for (service, target) in mesh.routes.targets() {
        let Some(wanted) = target.destination.port_number().filter(|port| port.value != 0) else { continue };
        let Some(host) = mesh.registry.find(&target.host, None) else { continue };
        // Several ServiceEntries may share a host and have its ports between them.
        let hosts = || mesh.registry.named(&host.name);
        let is_judged = |host: &Host<'_>| !host.is_alias() && !host.ports.is_empty();
        if hosts().any(|host| !is_judged(host) || host.port(wanted.value).is_some()) {
            continue;
        }
        let targeting = host.ports.iter().find(|port| leads_to(mesh, host, port, wanted.value));
        let right = targeting.or(match host.ports.as_slice() {
            [only] => Some(only),
            _ => None,
        });
        let message = format!("`{}` is not a port of {}", wanted.value, host.resource.describe());
        let diagnostic = ctx.report(service.resource, wanted.span, message);
        if !target.receives_requests() {
            diagnostic.severity(Severity::Warning);
        }
        diagnostic.help(match targeting {
            Some(port) => format!(
                "`{}` is where the pods listen; the port of the Service that leads there is `{}`",
                wanted.value, port.number
            ),
            None => format!("it has {}", host.describe_ports()),
        });
        for port in host.ports.iter().take(4) {
            diagnostic.related(port.span, "a port that it has");
        }
        if let Some(span) = targeting.and_then(|port| port.target).map(|target| target.span) {
            diagnostic.related(span, "where that port leads");
        }
        if let Some(right) = right {
            let (title, text) = (format!("use `{}`", right.number), right.number.to_string());
            diagnostic.fix(Fix::replace(Safety::Unsafe, title, wanted.span, text));
        }
    }
}

/// Whether a number is what the pods behind a Service's port listen on.
fn leads_to(mesh: &Mesh<'_>, host: &Host<'_>, port: &Port<'_>, number: u32) -> bool {
    match port.target {
        Some(target) if target.parse::<u32>().is_ok() => target.value == number.to_string(),
        Some(_) => {
            let mut pods = host.workloads.iter().filter_map(|id| mesh.workloads.get(*id));
            pods.any(|pod| port.on_workload(pod) == Some(number))
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, check_fix, run};

    fn text(ports: &str, destination: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: app}}\nspec: {{selector: {{app: app}}, ports: \
             [{ports}]}}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: app}}\nspec:\n  template:\n    \
             metadata: {{labels: {{app: app}}}}\n    spec: {{containers: [{{name: app, ports: [{{name: web, \
             containerPort: 8080}}]}}]}}\n---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: \
             {{name: app}}\nspec:\n  hosts: [app]\n  http:\n  - route:\n    - destination:\n        host: app\n        \
             port:\n          number: {destination}\n"
        )
    }

    #[test]
    fn the_number_is_reported_with_the_ports_of_the_service() {
        check(
            &RULE,
            r#"
apiVersion: v1
kind: Service
metadata: {name: storage}
spec:
  selector: {app: storage}
  ports:
  - name: redis
    port: 6379
    #     ~~~~ related: a port that it has
  - name: mysql
    port: 3306
    #     ~~~~ related: a port that it has
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: storage}
spec:
  hosts: [storage]
  tcp:
  - route:
    - destination:
        host: storage
        port: {number: 3307}
        #              ^^^^ error: `3307` is not a port of Service `storage`
  - route:
    - destination: {host: storage, port: {number: 3306}}
"#,
        );
    }

    #[test]
    fn the_container_port_is_replaced_by_the_services() {
        let ports = "{name: http, port: 80, targetPort: 8080}, {name: grpc, port: 90}";
        check_fix(&RULE, Safety::Unsafe, &text(ports, "8080 # web"), &text(ports, "80 # web"));
        let named = "{name: http, port: 80, targetPort: web}, {name: grpc, port: 90}";
        check_fix(&RULE, Safety::Unsafe, &text(named, "8080"), &text(named, "80"));
        let found = run(&RULE, &text(ports, "8080"));
        let help = "`8080` is where the pods listen; the port of the Service that leads there is `80`";
        assert_eq!(found[0].help.as_deref(), Some(help));
    }

    #[test]
    fn the_only_port_is_offered_and_of_several_none() {
        check_fix(&RULE, Safety::Unsafe, &text("{port: 80}", "8000"), &text("{port: 80}", "80"));
        assert_eq!(run(&RULE, &text("{port: 80}, {port: 90}", "8000"))[0].fix, None);
    }

    #[test]
    fn hosts_that_are_not_in_the_input_or_leave_the_cluster_are_left_alone() {
        check(&RULE, text("{port: 80}", "8000").split_once("---\n").unwrap().1);
        let external = text("{port: 80}", "8000").replace("{selector: {app: app}, ", "{type: ExternalName, ");
        check(&RULE, &external);
    }

    /// Trap: ServiceEntries are in the same registry; two of them may share a host.
    #[test]
    fn a_port_of_any_service_entry_for_the_host_counts() {
        let entry = |name: &str, port: u32| {
            format!(
                "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec: {{hosts: \
                 [api.example.com], ports: [{{number: {port}, name: http-{port}, protocol: HTTP}}]}}\n"
            )
        };
        let route = text("{port: 80}", "8000").replace("host: app", "host: api.example.com");
        check(&RULE, &format!("{route}{}{}", entry("one", 80), entry("two", 8000)));
        assert_eq!(run(&RULE, &format!("{route}{}", entry("one", 80))).len(), 1);
    }

    #[test]
    fn a_destination_of_weight_0_is_a_warning() {
        let idle = "      weight: 0\n    - {destination: {host: app}, weight: 100}\n";
        let found = run(&RULE, &format!("{}{idle}", text("{port: 80}", "8000")));
        assert_eq!(found[0].severity, Severity::Warning);
    }
}
