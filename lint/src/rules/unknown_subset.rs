//! `unknown-subset`

use crate::diagnostic::{Fix, Safety};
use crate::mesh::Mesh;
use crate::mesh::destinations::Client;
use crate::resource::networking::Subset;
use crate::rule::{Check, Context, declare_rule, did_you_mean};
use crate::span::Spanned;

declare_rule! {
    /// ## What it does
    /// Reports a route to a subset that the DestinationRule which wins for that client does not define.
    /// The lookup is Istio's own: the client's namespace first, then the host's if the rule is exported,
    /// then the root namespace, and the first hit hides all others.
    ///
    /// ## Why it matters
    /// Istio accepts the route and sends it to a cluster that does not exist: every matching HTTP request
    /// gets 503 with the response flag `NC`, every TCP connection is reset.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-app}
    /// spec:
    ///   selector: {app: voting-app}
    ///   ports: [{name: http, port: 8080}]
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: voting-app}
    /// spec:
    ///   host: voting-app.default.svc.cluster.local
    ///   subsets:
    ///   - name: v1-0
    ///     labels: {version: "1.0"}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-app}
    /// spec:
    ///   hosts: [voting-app]
    ///   http:
    ///   - route:
    ///     - destination:
    ///         host: voting-app
    ///         subset: v2-0
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-app}
    /// spec:
    ///   selector: {app: voting-app}
    ///   ports: [{name: http, port: 8080}]
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: voting-app}
    /// spec:
    ///   host: voting-app.default.svc.cluster.local
    ///   subsets:
    ///   - name: v1-0
    ///     labels: {version: "1.0"}
    ///   - name: v2-0
    ///     labels: {version: "2.0"}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-app}
    /// spec:
    ///   hosts: [voting-app]
    ///   http:
    ///   - route:
    ///     - destination:
    ///         host: voting-app
    ///         subset: v2-0
    /// ```
    ///
    /// ## References
    /// - [503 errors after setting a destination rule](https://istio.io/latest/docs/ops/common-problems/network-issues/#503-errors-after-setting-destination-rule)
    /// - `pilot/pkg/model/push_context.go`, `destinationRule`
    id: "unknown-subset",
    severity: Error,
    category: Destinations,
    fix: Unsafe,
    since: "0.1.0",
    upstream: ["IST0101", "KIA1107"],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    for (service, target) in mesh.routes.targets() {
        let Some(wanted) = target.subset() else { continue };
        for client in mesh.clients(service, target) {
            let rules = mesh.destination(client, &target.host);
            let message = match &rules {
                Some(rules) if rules.subset(wanted).is_some() => continue,
                Some(rules) => {
                    let rule = rules.first().map_or("", |rule| rule.resource.name.as_str());
                    format!("subset `{}` is not defined by DestinationRule `{rule}`", wanted.value)
                }
                None if !may_be_missing(mesh, client, &target.host) => continue,
                None => {
                    format!(
                        "subset `{}` is not defined: `{}` has no DestinationRule",
                        wanted.value, target.host
                    )
                }
            };
            let elsewhere = client.namespace.filter(|ns| *ns != service.namespace());
            let message = match elsewhere {
                Some(namespace) => format!("{message}, which clients in namespace `{namespace}` use"),
                None => message,
            };
            let diagnostic = ctx.report(service.resource, wanted.span, message);
            let Some(rules) = rules else {
                diagnostic.help("define the subset in a DestinationRule for the host before routing to it");
                continue;
            };
            if let Some(rule) = rules.first() {
                diagnostic.related(rule.host_span, "the DestinationRule that wins for this client");
            }
            let names: Vec<&str> = rules.subsets().map(|(_, subset)| subset.name.text()).collect();
            match did_you_mean(wanted, names.iter().copied()) {
                Some(near) => {
                    let fix = Fix::replace(Safety::Unsafe, format!("use `{near}`"), wanted.span, near);
                    diagnostic.help(format!("did you mean `{near}`?")).fix(fix);
                }
                None if names.is_empty() => {
                    diagnostic.help("it defines no subset at all");
                }
                None => {
                    diagnostic.help(format!("it defines {}", quoted(&names)));
                }
            }
            for (_, subset) in rules.subsets().take(3) {
                diagnostic.related(subset_place(subset), "a subset that it does define");
            }
            // One client is enough to break the route; the others would repeat the finding.
            break;
        }
    }
}

/// Without any DestinationRule the subset is missing only if one could not be elsewhere.
fn may_be_missing(mesh: &Mesh<'_>, client: Client<'_>, host: &str) -> bool {
    let hidden = mesh.destination_rules.matching(host).next().is_some();
    let host_known = match mesh.host_namespace(host, client.namespace) {
        Some(namespace) => mesh.knows_namespace(&namespace),
        None => mesh.is_closed(),
    };
    // `unknown-destination-host` reports a host that is missing itself.
    let host_exists = mesh.registry.find(host, None).is_some();
    host_known && host_exists && (client.namespace.is_some() || !hidden)
}

fn subset_place(subset: &Spanned<Subset>) -> crate::span::Span {
    subset.name.span().unwrap_or(subset.span)
}

/// `` `a`, `b` and `c` ``
fn quoted(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, check_fix};

    const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec:
  selector: {app: reviews}
  ports: [{name: http, port: 80}]
---
";

    #[test]
    fn a_missing_subset_points_at_the_route_and_the_rule() {
        let text = r#"
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  #     ~~~~~~~ related: the DestinationRule that wins for this client
  subsets:
  - name: v1
    #     ~~ related: a subset that it does define
    labels: {version: v1}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - route:
    - destination:
        host: reviews
        subset: v2
        #       ^^ error: subset `v2` is not defined by DestinationRule `reviews`
"#;
        check(&RULE, &format!("{SERVICE}{}", text.trim_start()));
    }

    #[test]
    fn without_a_destination_rule_the_subset_is_missing_where_the_namespace_is_known() {
        let route = r#"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - route:
    - destination:
        host: reviews
        subset: v1
"#;
        check(&RULE, route);
        let marked = route.trim_start().replace(
            "subset: v1\n",
            "subset: v1\n        #       ^^ error: subset `v1` is not defined: \
             `reviews.default.svc.cluster.local` has no DestinationRule\n",
        );
        check(&RULE, &format!("{SERVICE}{marked}"));
    }

    #[test]
    fn a_host_that_is_missing_itself_is_left_to_its_own_rule() {
        let text = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: reviews}\nspec:\n  \
                    hosts: [reviews]\n  http: [{route: [{destination: {host: review, subset: v1}}]}]\n";
        check(&RULE, &format!("{}{text}", SERVICE.trim_start()));
    }

    /// Trap: the first namespace that has a matching rule wins, and nothing falls through.
    #[test]
    fn a_rule_in_the_clients_namespace_hides_the_services_subsets() {
        check(
            &RULE,
            r#"
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {selector: {app: reviews}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop}
spec:
  host: reviews.shop.svc.cluster.local
  subsets: [{name: v1, labels: {version: v1}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: everything, namespace: web}
spec:
  host: "*.local"
  trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: web}
spec:
  hosts: [reviews.shop.svc.cluster.local]
  http:
  - route:
    - destination:
        host: reviews.shop.svc.cluster.local
        subset: v1
        #       ^^ error: subset `v1` is not defined by DestinationRule `everything`
"#,
        );
    }

    #[test]
    fn rules_for_the_same_host_in_one_namespace_are_merged() {
        let text = r#"
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: one}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: two}
spec: {host: reviews.default.svc.cluster.local, subsets: [{name: v2, labels: {version: v2}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - route:
    - destination: {host: reviews, subset: v1}
      weight: 50
    - destination: {host: reviews, subset: v2}
      weight: 50
"#;
        check(&RULE, &format!("{SERVICE}{}", text.trim_start()));
    }

    #[test]
    fn a_near_miss_is_offered() {
        let text = |subset: &str| {
            format!(
                "{}apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: reviews}}\n\
                 spec:\n  host: reviews\n  subsets:\n  - name: v1-0\n    labels: {{version: \"1.0\"}}\n---\n\
                 apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: reviews}}\n\
                 spec:\n  hosts: [reviews]\n  http:\n  - route:\n    - destination:\n        host: reviews\n        \
                 subset: {subset} # the old one\n",
                SERVICE.trim_start()
            )
        };
        check_fix(&RULE, Safety::Unsafe, &text("v1.0"), &text("v1-0"));
    }
}
