//! `rollout-subset-used-before-defined`

use crate::rollout::breaks::Kind;
use crate::rule::{Check, TransitionContext, declare_rule};

declare_rule! {
    /// ## What it does
    /// Reports a route that leads live clients to a subset before a DestinationRule defines it.
    ///
    /// ## Why it matters
    /// Until the subset exists, every request that takes the route answers 503 (NC). The DestinationRule comes
    /// first, and when it has reached the proxies, the route may name it.
    ///
    /// ## Example
    /// ```yaml
    /// # file: coalmine.yaml
    /// rollout:
    /// - 1-base.yaml
    /// - 2-open.yaml
    /// - name: pin
    ///   actions:
    ///   - apply: 4-route.yaml
    ///   - apply: 3-rule.yaml
    /// # file: 1-base.yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: shop}
    /// spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}]}
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: shop-v1}
    /// spec: {selector: {matchLabels: {app: shop, version: v1}}, template: {metadata: {labels: {app: shop, version: v1}}}}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: Gateway
    /// metadata: {name: door}
    /// spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
    /// # file: 2-open.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [door]
    ///   http:
    ///   - route:
    ///     - {destination: {host: shop}}
    /// # file: 3-rule.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: shop}
    /// spec: {host: shop, subsets: [{name: v1, labels: {version: v1}}]}
    /// # file: 4-route.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [door]
    ///   http:
    ///   - route:
    ///     - {destination: {host: shop, subset: v1}}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// # file: coalmine.yaml
    /// rollout:
    /// - 1-base.yaml
    /// - 2-open.yaml
    /// - name: pin
    ///   actions:
    ///   - apply: 3-rule.yaml
    ///   - apply: 4-route.yaml
    /// # file: 1-base.yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: shop}
    /// spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}]}
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: shop-v1}
    /// spec: {selector: {matchLabels: {app: shop, version: v1}}, template: {metadata: {labels: {app: shop, version: v1}}}}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: Gateway
    /// metadata: {name: door}
    /// spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
    /// # file: 2-open.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [door]
    ///   http:
    ///   - route:
    ///     - {destination: {host: shop}}
    /// # file: 3-rule.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: shop}
    /// spec: {host: shop, subsets: [{name: v1, labels: {version: v1}}]}
    /// # file: 4-route.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [door]
    ///   http:
    ///   - route:
    ///     - {destination: {host: shop, subset: v1}}
    /// ```
    ///
    /// ## References
    /// - [Avoid 503 errors while reconfiguring service routes](https://istio.io/latest/docs/ops/best-practices/traffic-management/#avoid-503-errors-while-reconfiguring-service-routes)
    /// - `pilot/pkg/networking/core/route/route.go`, `GetDestinationCluster`: the cluster name is not checked
    id: "rollout-subset-used-before-defined",
    severity: Error,
    category: Rollout,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::Transition(check),
}

fn check(ctx: &mut TransitionContext<'_, '_>) {
    let transition = ctx.transition;
    for found in transition.certain(&[Kind::SubsetUndefined]) {
        let Some((resource, span)) = found.route else { continue };
        let message = format!(
            "{} {} leads to {}, which no DestinationRule defines yet: {}",
            transition.moment(),
            resource.describe(),
            found.destination(),
            found.kind.symptom()
        );
        let end = transition.end.mesh.destination_rules.matching(&found.host).find_map(|rule| {
            rule.spec.subsets.iter().find_map(|subset| {
                (Some(subset.name.text()) == found.subset)
                    .then_some(subset.name.span().unwrap_or(subset.span))
            })
        });
        let diagnostic = ctx.report(Some(resource), span, message);
        diagnostic.help("apply the DestinationRule first, in a command of its own");
        if let Some(span) = end {
            diagnostic.related(span, "it is defined here, later in this step");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    #[test]
    fn a_route_comes_before_its_subset() {
        check(
            &RULE,
            r##"
#- coalmine.yaml
rollout:
- 1-base.yaml
- 2-open.yaml
- name: pin
  actions:
  - apply: 4-route.yaml
  - apply: 3-rule.yaml
#- 1-base.yaml
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop-v1}
spec: {selector: {matchLabels: {app: shop, version: v1}}, template: {metadata: {labels: {app: shop, version: v1}}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
#- 2-open.yaml
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: ["*"]
  gateways: [door]
  http:
  - route:
    - {destination: {host: shop}}
#- 3-rule.yaml
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec: {host: shop, subsets: [{name: v1, labels: {version: v1}}]}
#                                   ~~ related: it is defined here, later in this step
#- 4-route.yaml
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: ["*"]
  gateways: [door]
  http:
  - route:
    - {destination: {host: shop, subset: v1}}
#                                        ^^ error: after `apply 4-route.yaml`, VirtualService `shop` leads to subset `v1` of `shop`, which no DestinationRule defines yet: 503 NC, or a reset for TCP
"##,
        );
    }
}
