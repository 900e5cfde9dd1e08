//! `unknown-destination-rule-host`

use super::unknown_destination_host::{Missing, is_missing};
use crate::mesh::Mesh;
use crate::mesh::host::{is_wildcard, matches, split_cluster_name};
use crate::resource::{Resource, Spec};
use crate::rule::{Check, Context, declare_rule};

declare_rule! {
    /// ## What it does
    /// Reports a DestinationRule for a host that no Service and no ServiceEntry defines, in no step of the rollout.
    /// A short name is completed with the DestinationRule's own namespace. Wildcards are not judged.
    ///
    /// ## Why it matters
    /// Istio accepts the rule and applies it to nothing. The subsets that it defines are missing where they are routed
    /// to, and the TLS settings, retries and limits that it holds are not in force, without a word in any log.
    ///
    /// Judged are hosts of namespaces that have a Service in the input, and with a closed input all of them.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-storage, namespace: voting}
    /// spec: {selector: {app: voting-storage}, ports: [{name: tcp-redis, port: 6379}]}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: voting-storage, namespace: voting}
    /// spec:
    ///   host: voting-store
    ///   trafficPolicy:
    ///     connectionPool: {tcp: {maxConnections: 100}}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-storage, namespace: voting}
    /// spec: {selector: {app: voting-storage}, ports: [{name: tcp-redis, port: 6379}]}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: voting-storage, namespace: voting}
    /// spec:
    ///   host: voting-storage
    ///   trafficPolicy:
    ///     connectionPool: {tcp: {maxConnections: 100}}
    /// ```
    ///
    /// ## References
    /// - [DestinationRule](https://istio.io/latest/docs/reference/config/networking/destination-rule/#DestinationRule), `host`
    /// - `pilot/pkg/model/push_context.go`, `destinationRule`
    id: "unknown-destination-rule-host",
    severity: Warning,
    category: Destinations,
    fix: Unsafe,
    since: "0.1.0",
    upstream: ["IST0174", "KIA0202"],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    let (mesh, resources) = (ctx.mesh, ctx.resources);
    let mut missing = Missing::new(mesh);
    for rule in mesh.destination_rules.iter() {
        let Some(written) = rule.spec.host.as_ref() else { continue };
        if is_wildcard(&rule.host)
            || !is_missing(mesh, &rule.host)
            || (ctx.in_rollout && is_defined_in_some_step(mesh, resources, &rule.host))
        {
            continue;
        }
        let words = (": the rule applies to nothing", "define the Service, or name one that exists");
        missing.report(ctx, rule.resource, (written, &rule.host), words);
    }
}

/// A rule may well be there before its Service, or a moment longer.
fn is_defined_in_some_step(mesh: &Mesh<'_>, resources: &[Resource], host: &str) -> bool {
    let service = split_cluster_name(host, &mesh.config.domain).or_else(|| mesh.split_partial(host));
    resources.iter().any(|resource| match &resource.spec {
        Spec::Service(_) => service == Some((&resource.name.value, resource.namespace())),
        Spec::ServiceEntry(entry) => entry.hosts.iter().any(|own| matches(&own.to_ascii_lowercase(), host)),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Safety;
    use crate::testing::{check, check_fix, run};

    fn rule(host: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: reviews, namespace: shop}}\nspec: {{selector: {{app: \
             reviews}}, ports: [{{name: http, port: 80}}]}}\n---\napiVersion: networking.istio.io/v1\nkind: \
             DestinationRule\nmetadata: {{name: reviews, namespace: shop}}\nspec:\n  host: {host}\n  subsets: [{{name: \
             v1, labels: {{version: v1}}}}]\n"
        )
    }

    #[test]
    fn a_rule_for_nothing_is_reported_with_the_service_that_was_meant() {
        check(
            &RULE,
            &rule(
                "review\n  #     ^^^^^^ warning: no Service or ServiceEntry defines host `review`, \
                 `review.shop.svc.cluster.local`: the rule applies to nothing",
            )
            .replace("name: reviews, namespace: shop}\nspec: {sel", "name: reviews, namespace: shop}\n#                ~~~~~~~ related: a Service that exists\nspec: {sel"),
        );
        check_fix(&RULE, Safety::Unsafe, &rule("review # stars"), &rule("reviews # stars"));
    }

    #[test]
    fn hosts_that_exist_and_wildcards_are_right() {
        for host in
            ["reviews", "Reviews", "reviews.shop.svc.cluster.local", "'*.shop.svc.cluster.local'", "'*'"]
        {
            check(&RULE, &rule(host));
        }
        let entry = "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e}\nspec: {hosts: \
                     ['*.example.com'], ports: [{number: 443, name: tls, protocol: TLS}]}\n";
        check(&RULE, &format!("#! assume: closed\n{}{entry}", rule("api.example.com")));
    }

    #[test]
    fn a_rule_may_be_there_before_its_service() {
        let text = rule("reviews");
        let (service, rule) = text.split_once("---\n").unwrap();
        let other = service.replace("reviews", "ratings");
        let both = |first: &str, second: &str| {
            format!("#! rollout: [a.yaml, b.yaml]\n#- a.yaml\n{other}---\n{first}#- b.yaml\n{second}")
        };
        check(&RULE, &both(rule, service));
        assert_eq!(run(&RULE, &both(rule, &service.replace("name: reviews", "name: details"))).len(), 1);
    }

    #[test]
    fn what_may_be_elsewhere_is_not_missing_until_the_input_is_closed() {
        for host in ["api.example.com", "ratings.elsewhere.svc.cluster.local"] {
            check(&RULE, &rule(host));
            assert_eq!(run(&RULE, &format!("#! assume: closed\n{}", rule(host))).len(), 1, "{host}");
        }
        check(&RULE, rule("nothing").split_once("---\n").unwrap().1);
    }
}
