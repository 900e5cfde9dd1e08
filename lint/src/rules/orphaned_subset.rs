//! `orphaned-subset`

use rustc_hash::FxHashSet;

use crate::rule::{Check, Context, declare_rule};

declare_rule! {
    /// ## What it does
    /// Reports a subset that no route uses.
    ///
    /// ## Why it matters
    /// Its traffic policy applies to nobody, and a version that was meant to be reachable is not: a subset
    /// takes effect only when a route names it.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: voting-analytics, namespace: voting}
    /// spec:
    ///   host: voting-analytics.voting.svc.cluster.local
    ///   subsets:
    ///   - name: v1-0
    ///     labels: {version: "1.0"}
    ///   - name: v1-1
    ///     labels: {version: "1.1"}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-analytics, namespace: voting}
    /// spec:
    ///   hosts: [voting-analytics]
    ///   http:
    ///   - route:
    ///     - destination: {host: voting-analytics, subset: v1-1}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: voting-analytics, namespace: voting}
    /// spec:
    ///   host: voting-analytics.voting.svc.cluster.local
    ///   subsets:
    ///   - name: v1-1
    ///     labels: {version: "1.1"}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-analytics, namespace: voting}
    /// spec:
    ///   hosts: [voting-analytics]
    ///   http:
    ///   - route:
    ///     - destination: {host: voting-analytics, subset: v1-1}
    /// ```
    ///
    /// ## References
    /// - [Subset](https://istio.io/latest/docs/reference/config/networking/destination-rule/#Subset):
    ///   "policies specified for subsets will not take effect until a route rule explicitly sends traffic
    ///   to this subset"
    id: "orphaned-subset",
    severity: Warning,
    category: Destinations,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    let used: FxHashSet<(&str, &str)> = mesh
        .routes
        .targets()
        .filter_map(|(_, target)| Some((target.host.as_str(), target.subset()?.as_str())))
        .collect();
    let routed: FxHashSet<&str> = mesh.routes.targets().map(|(_, target)| target.host.as_str()).collect();
    for rule in mesh.destination_rules.iter() {
        // A wildcard rule serves hosts that are not all in the input. A fragment without any route for
        // the host says nothing about who uses its subsets.
        let judged = routed.contains(rule.host.as_str()) || mesh.is_closed();
        if crate::mesh::host::is_wildcard(&rule.host) || !judged {
            continue;
        }
        for subset in &rule.spec.subsets {
            let Some(name) = subset.name.as_ref() else { continue };
            if used.contains(&(rule.host.as_str(), name.as_str())) {
                continue;
            }
            let diagnostic =
                ctx.report(rule.resource, name.span, format!("no route uses subset `{}`", name.value));
            diagnostic.help("route to it, or remove it");
            let routes = mesh.routes.targets_of(&rule.host);
            for (service, target) in routes.filter(|(_, target)| target.subset().is_some()).take(3) {
                let place = target.subset().map_or(target.host_span, |subset| subset.span);
                diagnostic.related(
                    place,
                    format!("{} routes the host to this subset", service.resource.describe()),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    #[test]
    fn a_subset_without_a_route_is_reported_at_its_name() {
        check(
            &RULE,
            r#"
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets:
  - name: v1
    #     ^^ warning: no route uses subset `v1`
    labels: {version: v1}
  - {name: v2, labels: {version: v2}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - route:
    - destination:
        host: reviews.default.svc.cluster.local
        subset: v2
        #       ~~ related: VirtualService `reviews` routes the host to this subset
"#,
        );
    }

    #[test]
    fn a_mirror_uses_a_subset_too() {
        check(
            &RULE,
            r#"
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - route:
    - destination: {host: reviews, subset: v1}
    mirror: {host: reviews, subset: v2}
"#,
        );
    }

    #[test]
    fn a_rule_whose_host_no_route_mentions_is_a_fragment() {
        let rule = r#"
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}]
"#;
        check(&RULE, rule);
        let closed = rule.replace(
            "subsets: [{name: v1, labels: {version: v1}}]\n",
            "subsets: [{name: v1, labels: {version: v1}}]\n\
             #                  ^^ warning: no route uses subset `v1`\n",
        );
        check(&RULE, &format!("#! assume: closed\n{}", closed.trim_start()));
    }
}
