//! `rollout-pods-not-ready-before-route`

use crate::rollout::breaks::Kind;
use crate::rule::{Check, TransitionContext, declare_rule};

declare_rule! {
    /// ## What it does
    /// Reports a route that leads live clients to pods that are not there or not ready yet.
    ///
    /// ## Why it matters
    /// Pods need a while to start. A route that arrives with them, or before them, sends requests to a subset
    /// without ready pods: 503 (UH). The pods come first; when `kubectl rollout status` says so, the route may
    /// follow.
    ///
    /// ## Example
    /// ```yaml
    /// # file: coalmine.yaml
    /// rollout:
    /// - 1-base.yaml
    /// - 2-pin.yaml
    /// - name: canary
    ///   actions:
    ///   - apply: 4-route.yaml
    ///   - apply: 3-v2.yaml
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
    /// # file: 2-pin.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: shop}
    /// spec: {host: shop, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [door]
    ///   http:
    ///   - route:
    ///     - {destination: {host: shop, subset: v1}}
    /// # file: 3-v2.yaml
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: shop-v2}
    /// spec: {selector: {matchLabels: {app: shop, version: v2}}, template: {metadata: {labels: {app: shop, version: v2}}}}
    /// # file: 4-route.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [door]
    ///   http:
    ///   - route:
    ///     - {destination: {host: shop, subset: v1}, weight: 90}
    ///     - {destination: {host: shop, subset: v2}, weight: 10}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// # file: coalmine.yaml
    /// rollout:
    /// - 1-base.yaml
    /// - 2-pin.yaml
    /// - name: canary
    ///   actions:
    ///   - apply: 3-v2.yaml
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
    /// # file: 2-pin.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: shop}
    /// spec: {host: shop, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [door]
    ///   http:
    ///   - route:
    ///     - {destination: {host: shop, subset: v1}}
    /// # file: 3-v2.yaml
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: shop-v2}
    /// spec: {selector: {matchLabels: {app: shop, version: v2}}, template: {metadata: {labels: {app: shop, version: v2}}}}
    /// # file: 4-route.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [door]
    ///   http:
    ///   - route:
    ///     - {destination: {host: shop, subset: v1}, weight: 90}
    ///     - {destination: {host: shop, subset: v2}, weight: 10}
    /// ```
    ///
    /// ## References
    /// - [Envoy response flags](https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage#response-flags), `UH`
    /// - [kubectl rollout status](https://kubernetes.io/docs/reference/kubectl/generated/kubectl_rollout/kubectl_rollout_status/)
    id: "rollout-pods-not-ready-before-route",
    severity: Error,
    category: Rollout,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::Transition(check),
}

fn check(ctx: &mut TransitionContext<'_, '_>) {
    let transition = ctx.transition;
    for found in transition.certain(&[Kind::PodsNotReady]) {
        let Some((resource, span)) = found.route else { continue };
        let message = format!(
            "{} {} leads {} to {}, which has no ready pods: {}",
            transition.moment(),
            resource.describe(),
            found.who,
            found.destination(),
            found.kind.symptom()
        );
        // The pods that the step brings.
        let later = transition.end.calls().get(&found.entry).and_then(|call| {
            let leg = call.legs.iter().find(|leg| (&leg.host, leg.subset) == (&found.host, found.subset))?;
            leg.pods.first().copied()
        });
        let diagnostic = ctx.report(Some(resource), span, message);
        diagnostic.help("start the pods first, wait until they are ready, then change the route");
        if let Some(pods) = later {
            diagnostic.related(pods.name.span, "these pods are ready only later");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    #[test]
    fn a_route_comes_before_its_pods() {
        check(
            &RULE,
            r##"
#- coalmine.yaml
rollout:
- 1-base.yaml
- 2-pin.yaml
- name: canary
  actions:
  - apply: 4-route.yaml
  - apply: 3-v2.yaml
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
#- 2-pin.yaml
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec: {host: shop, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: ["*"]
  gateways: [door]
  http:
  - route:
    - {destination: {host: shop, subset: v1}}
#- 3-v2.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop-v2}
#                ~~~~~~~ related: these pods are ready only later
spec: {selector: {matchLabels: {app: shop, version: v2}}, template: {metadata: {labels: {app: shop, version: v2}}}}
#- 4-route.yaml
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: ["*"]
  gateways: [door]
  http:
  - route:
    - {destination: {host: shop, subset: v1}, weight: 90}
    - {destination: {host: shop, subset: v2}, weight: 10}
#                                        ^^ error: after `apply 4-route.yaml`, VirtualService `shop` leads Gateway `door` to subset `v2` of `shop`, which has no ready pods: 503 UH, or a reset for TCP
"##,
        );
    }
}
