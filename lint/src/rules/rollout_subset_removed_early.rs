//! `rollout-subset-removed-early`

use crate::rollout::breaks::Kind;
use crate::rule::{Check, TransitionContext, declare_rule};

declare_rule! {
    /// ## What it does
    /// Reports a DestinationRule that drops a subset, or goes, while a live client's route still leads to it.
    ///
    /// ## Why it matters
    /// A route to a subset that no longer exists answers 503 (NC) at once. The VirtualService has to let go
    /// first; when its change has reached the proxies, the subset can go.
    ///
    /// ## Example
    /// ```yaml
    /// # file: coalmine.yaml
    /// rollout:
    /// - 1-base.yaml
    /// - 2-rule.yaml
    /// - 3-route.yaml
    /// - name: finish
    ///   actions:
    ///   - apply: 4-rule.yaml
    ///   - apply: 5-route.yaml
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
    /// # file: 2-rule.yaml
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: shop-v2}
    /// spec: {selector: {matchLabels: {app: shop, version: v2}}, template: {metadata: {labels: {app: shop, version: v2}}}}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: shop}
    /// spec: {host: shop, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
    /// # file: 3-route.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [door]
    ///   http:
    ///   - route:
    ///     - {destination: {host: shop, subset: v1}}
    /// # file: 4-rule.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: shop}
    /// spec: {host: shop, subsets: [{name: v2, labels: {version: v2}}]}
    /// # file: 5-route.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [door]
    ///   http:
    ///   - route:
    ///     - {destination: {host: shop, subset: v2}}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// # file: coalmine.yaml
    /// rollout:
    /// - 1-base.yaml
    /// - 2-rule.yaml
    /// - 3-route.yaml
    /// - name: finish
    ///   actions:
    ///   - apply: 5-route.yaml
    ///   - apply: 4-rule.yaml
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
    /// # file: 2-rule.yaml
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: shop-v2}
    /// spec: {selector: {matchLabels: {app: shop, version: v2}}, template: {metadata: {labels: {app: shop, version: v2}}}}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: shop}
    /// spec: {host: shop, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
    /// # file: 3-route.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [door]
    ///   http:
    ///   - route:
    ///     - {destination: {host: shop, subset: v1}}
    /// # file: 4-rule.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: shop}
    /// spec: {host: shop, subsets: [{name: v2, labels: {version: v2}}]}
    /// # file: 5-route.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [door]
    ///   http:
    ///   - route:
    ///     - {destination: {host: shop, subset: v2}}
    /// ```
    ///
    /// ## References
    /// - [Avoid 503 errors while reconfiguring service routes](https://istio.io/latest/docs/ops/best-practices/traffic-management/#avoid-503-errors-while-reconfiguring-service-routes)
    /// - `pilot/pkg/networking/core/route/route.go`, `GetDestinationCluster`: the cluster name is not checked
    id: "rollout-subset-removed-early",
    severity: Error,
    category: Rollout,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::Transition(check),
}

fn check(ctx: &mut TransitionContext<'_, '_>) {
    let transition = ctx.transition;
    for found in transition.certain(&[Kind::SubsetRemoved]) {
        let Some(change) = found.culprit else { continue };
        let Some((resource, span)) = transition.place(&change, ctx.documents, &["spec", "subsets"]) else {
            continue;
        };
        let message = format!(
            "{} {} is gone, and the requests of {} still go there: {}",
            transition.moment(),
            found.destination(),
            found.who,
            found.kind.symptom()
        );
        let diagnostic = ctx.report(Some(resource), span, message);
        diagnostic.help("let the VirtualService go first, then the DestinationRule");
        if let Some((_, span)) = found.route {
            diagnostic.related(span, "this route is still live");
        }
        if let Some(span) = found.was {
            diagnostic.related(span, "the subset was defined here");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    #[test]
    fn a_subset_goes_while_the_gateway_still_routes_to_it() {
        check(
            &RULE,
            r##"
#- coalmine.yaml
rollout:
- 1-base.yaml
- 2-rule.yaml
- 3-route.yaml
- name: finish
  actions:
  - apply: 4-rule.yaml
  - apply: 5-route.yaml
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
#- 2-rule.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop-v2}
spec: {selector: {matchLabels: {app: shop, version: v2}}, template: {metadata: {labels: {app: shop, version: v2}}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec: {host: shop, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
#                                   ~~ related: the subset was defined here
#- 3-route.yaml
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: ["*"]
  gateways: [door]
  http:
  - route:
    - {destination: {host: shop, subset: v1}}
#                                        ~~ related: this route is still live
#- 4-rule.yaml
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec: {host: shop, subsets: [{name: v2, labels: {version: v2}}]}
#                  ^^^^^^^ error: after `apply 4-rule.yaml`, subset `v1` of `shop` is gone, and the requests of Gateway `door` still go there: 503 NC, or a reset for TCP
#- 5-route.yaml
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: ["*"]
  gateways: [door]
  http:
  - route:
    - {destination: {host: shop, subset: v2}}
"##,
        );
    }
}
