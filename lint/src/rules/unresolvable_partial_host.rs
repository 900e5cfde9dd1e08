//! `unresolvable-partial-host`

use crate::diagnostic::{Edit, Fix, Safety};
use crate::mesh::registry::Host;
use crate::mesh::routes::Binding;
use crate::resource::{Resource, Spec};
use crate::rule::{Check, Context, declare_rule};
use crate::span::Spanned;

declare_rule! {
    /// ## What it does
    /// Reports a host such as `reviews.prod` or `reviews.prod.svc` that is meant for a Service which exists:
    /// Istio expands only names without a dot. It looks at the hosts of destinations and mirrors, of
    /// DestinationRules and of VirtualServices that sidecars use.
    ///
    /// ## Why it matters
    /// Kubernetes' DNS resolves such a name, Istio does not. A route to it ends in a cluster that does not
    /// exist (503 with the response flag `NC`), and a DestinationRule or VirtualService for it does not apply
    /// to the Service, without any error.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-app, namespace: voting}
    /// spec:
    ///   selector: {app: voting-app}
    ///   ports: [{name: http, port: 8080}]
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-app, namespace: voting}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [voting-app-gateway]
    ///   http:
    ///   - route:
    ///     - destination: {host: voting-app.voting}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-app, namespace: voting}
    /// spec:
    ///   selector: {app: voting-app}
    ///   ports: [{name: http, port: 8080}]
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-app, namespace: voting}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [voting-app-gateway]
    ///   http:
    ///   - route:
    ///     - destination: {host: voting-app.voting.svc.cluster.local}
    /// ```
    ///
    /// ## References
    /// - [Destination](https://istio.io/latest/docs/reference/config/networking/virtual-service/#Destination),
    ///   *Note for Kubernetes users*
    /// - `pilot/pkg/model/config.go`, `ResolveShortnameToFQDN`
    id: "unresolvable-partial-host",
    severity: Error,
    category: Destinations,
    fix: Safe,
    since: "0.1.0",
    upstream: [],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    for (service, target) in mesh.routes.targets() {
        if let (Some(meant), Some(written)) =
            (mesh.meant_by_partial(&target.host), target.destination.host.as_ref())
        {
            report(ctx, service.resource, written, meant, Safety::Safe);
        }
    }
    for rule in mesh.destination_rules.iter() {
        let Spec::DestinationRule(spec) = &rule.resource.spec else { continue };
        if let (Some(meant), Some(written)) = (mesh.meant_by_partial(&rule.host), spec.host.as_ref()) {
            report(ctx, rule.resource, written, meant, Safety::Safe);
        }
    }
    for service in mesh.routes.iter().filter(|service| service.is_mesh()) {
        // At a gateway the name is compared with what visitors ask for, and that may be the short one.
        let only_mesh = service.bindings.iter().all(|binding| matches!(binding, Binding::Mesh));
        let safety = if only_mesh { Safety::Safe } else { Safety::Unsafe };
        for (host, written) in service.hosts.iter().zip(&service.spec.hosts) {
            if let Some(meant) = mesh.meant_by_partial(host) {
                report(ctx, service.resource, written, meant, safety);
            }
        }
    }
}

fn report(
    ctx: &mut Context<'_>,
    resource: &Resource,
    written: &Spanned<String>,
    meant: &Host<'_>,
    safety: Safety,
) {
    let rest = meant.name.get(written.len()..).unwrap_or_default().to_owned();
    let text = ctx.files.text(written.span.file).get(written.span.range()).unwrap_or_default();
    let mut end = written.span;
    end.end -= u32::from(text.ends_with(['"', '\'']));
    end.start = end.end;
    let is_as_written = text.trim_matches(['"', '\'']) == written.value;
    let message =
        format!("Istio does not expand `{}` to `{}`: the name has a dot", written.value, meant.name);
    let diagnostic = ctx.report(resource, written.span, message);
    diagnostic.help(format!("append `{rest}`"));
    diagnostic.related(meant.resource.name.span, "the Service that is meant");
    // Behind an alias or escapes there is no place to append to.
    if is_as_written && !rest.is_empty() {
        let edits = vec![Edit { span: end, text: rest.clone() }];
        diagnostic.fix(Fix { title: format!("append `{rest}`"), safety, edits });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, check_fix, run};

    const SERVICE: &str = "apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: prod}
spec: {selector: {app: reviews}, ports: [{name: http, port: 80}]}
---
";

    fn rule(host: &str) -> String {
        format!(
            "{SERVICE}apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: reviews}}\n\
             spec:\n  host: {host}\n"
        )
    }

    fn service(gateways: &str, host: &str) -> String {
        format!(
            "{SERVICE}apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: reviews}}\nspec:\n  \
             hosts: [{host}]\n  gateways: [{gateways}]\n  http:\n  - route:\n    - destination: {{host: \
             reviews.prod.svc.cluster.local}}\n"
        )
    }

    /// Trap: `reviews.prod` is not expanded.
    #[test]
    fn a_name_with_a_dot_is_reported_in_routes_mirrors_rules_and_mesh_hosts() {
        check(
            &RULE,
            r#"
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: prod}
#                ~~~~~~~ related: the Service that is meant
spec: {selector: {app: reviews}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec: {host: Reviews.prod}
#            ^^^^^^^^^^^^ error: Istio does not expand `Reviews.prod` to `reviews.prod.svc.cluster.local`: …
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts:
  - reviews.prod.svc
    ^^^^^^^^^^^^^^^^ error: Istio does not expand `reviews.prod.svc` to …
  http:
  - route:
    - destination: {host: reviews.prod}
      #                   ^^^^^^^^^^^^ error: Istio does not expand `reviews.prod` to …
    mirror: {host: reviews.prod.svc.cluster}
    #              ^^^^^^^^^^^^^^^^^^^^^^^^ error: Istio does not expand `reviews.prod.svc.cluster` to …
"#,
        );
    }

    #[test]
    fn the_rest_is_appended_inside_the_quotes_and_before_the_comment() {
        let after = rule("\"reviews.prod.svc.cluster.local\" # production");
        check_fix(&RULE, Safety::Safe, &rule("\"reviews.prod\" # production"), &after);
        let full = rule("'reviews.prod.svc.cluster.local'");
        check_fix(&RULE, Safety::Safe, &rule("'reviews.prod.svc'"), &full);
    }

    #[test]
    fn a_host_that_visitors_of_a_gateway_ask_for_is_left_alone() {
        check(&RULE, &service("gw", "reviews.prod"));
        let both = run(&RULE, &service("gw, mesh", "reviews.prod"));
        assert_eq!(both[0].fix.as_ref().map(|fix| fix.safety), Some(Safety::Unsafe));
        let mesh = run(&RULE, &service("mesh", "reviews.prod"));
        assert_eq!(mesh[0].fix.as_ref().map(|fix| fix.safety), Some(Safety::Safe));
    }

    #[test]
    fn names_that_are_no_cut_cluster_name_or_have_no_service_are_left_alone() {
        for host in
            ["reviews.prod.example.com", "reviews.elsewhere", "other.prod", "\"*.prod\"", "reviews.prod.sv"]
        {
            check(&RULE, &rule(host));
        }
    }

    #[test]
    fn a_service_entry_may_have_the_name() {
        let entry = "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: r}\nspec: {hosts: \
                     [reviews.prod], ports: [{number: 80, name: http, protocol: HTTP}]}\n";
        check(&RULE, &format!("{}{entry}", rule("reviews.prod")));
    }
}
