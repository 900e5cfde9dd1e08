//! `rollout-workload-removed-early`

use crate::resource::Spec;
use crate::rollout::breaks::Kind;
use crate::rule::{Check, TransitionContext, declare_rule};

declare_rule! {
    /// ## What it does
    /// Reports the removal of the last pods behind a route that live clients still take.
    ///
    /// ## Why it matters
    /// The route keeps sending its share of the requests to a subset without pods: 503 (UH). The route has to
    /// let go, or its weight has to be 0, before the Deployment goes.
    ///
    /// ## Example
    /// ```yaml
    /// # file: coalmine.yaml
    /// rollout:
    /// - 1-base.yaml
    /// - 2-split.yaml
    /// - name: finish
    ///   actions:
    ///   - delete: v1.yaml
    ///   - apply: 3-route.yaml
    /// # file: v1.yaml
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: shop-v1}
    /// spec: {selector: {matchLabels: {app: shop, version: v1}}, template: {metadata: {labels: {app: shop, version: v1}}}}
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
    /// # file: 2-split.yaml
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: shop-v2}
    /// spec: {selector: {matchLabels: {app: shop, version: v2}}, template: {metadata: {labels: {app: shop, version: v2}}}}
    /// ---
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
    ///     - {destination: {host: shop, subset: v1}, weight: 50}
    ///     - {destination: {host: shop, subset: v2}, weight: 50}
    /// # file: 3-route.yaml
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
    /// - 2-split.yaml
    /// - name: finish
    ///   actions:
    ///   - apply: 3-route.yaml
    ///   - delete: v1.yaml
    /// # file: v1.yaml
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: shop-v1}
    /// spec: {selector: {matchLabels: {app: shop, version: v1}}, template: {metadata: {labels: {app: shop, version: v1}}}}
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
    /// # file: 2-split.yaml
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: shop-v2}
    /// spec: {selector: {matchLabels: {app: shop, version: v2}}, template: {metadata: {labels: {app: shop, version: v2}}}}
    /// ---
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
    ///     - {destination: {host: shop, subset: v1}, weight: 50}
    ///     - {destination: {host: shop, subset: v2}, weight: 50}
    /// # file: 3-route.yaml
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
    /// - [Envoy response flags](https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage#response-flags), `UH`
    /// - [argo-rollouts#507: 503 while the stable ReplicaSet scales down](https://github.com/argoproj/argo-rollouts/issues/507)
    id: "rollout-workload-removed-early",
    severity: Error,
    category: Rollout,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::Transition(check),
}

fn check(ctx: &mut TransitionContext<'_, '_>) {
    let transition = ctx.transition;
    for found in transition.certain(&[Kind::PodsRemoved]) {
        let Some(change) = found.culprit else { continue };
        let path: &[&str] = match change.new.map(|new| &new.spec) {
            Some(Spec::DestinationRule(_)) => &["spec", "subsets"],
            Some(Spec::Service(_)) => &["spec", "selector"],
            Some(Spec::Workload(pods)) if pods.replicas.get() == Some(&0) => &["spec", "replicas"],
            _ => &["spec", "template", "metadata", "labels"],
        };
        let Some((resource, span)) = transition.place(&change, ctx.documents, path) else { continue };
        let what = match change.new {
            Some(_) => format!("{} leaves {} without pods", resource.describe(), found.destination()),
            None => format!("{} is gone, the last of {}", resource.describe(), found.destination()),
        };
        let message = format!(
            "{} {what}, and requests of {} {} there: {}",
            transition.moment(),
            found.who,
            if found.is_certain { "still go" } else { "may go" },
            found.kind.symptom()
        );
        let severity = found.severity();
        let diagnostic = ctx.report(Some(resource), span, message);
        diagnostic.severity(severity).help("let the routes go first, or give them weight 0");
        if let Some((_, span)) = found.route {
            diagnostic.related(span, "this route is still live");
        }
        if let Some(span) = found.was.filter(|own| *own != span) {
            diagnostic.related(span, "these pods answered");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    #[test]
    fn the_last_pods_of_a_weighted_subset_go() {
        check(
            &RULE,
            r##"
#- coalmine.yaml
rollout:
- 1-base.yaml
- 2-split.yaml
- name: finish
  actions:
  - delete: v1.yaml
#           ^^^^^^^ error: after `delete v1.yaml`, Deployment `shop-v1` is gone, the last of subset `v1` of `shop`, and requests of Gateway `door` still go there: 503 UH, or a reset for TCP
  - apply: 3-route.yaml
#- v1.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop-v1}
spec: {selector: {matchLabels: {app: shop, version: v1}}, template: {metadata: {labels: {app: shop, version: v1}}}}
#- 1-base.yaml
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop-v1}
#                ~~~~~~~ related: these pods answered
spec: {selector: {matchLabels: {app: shop, version: v1}}, template: {metadata: {labels: {app: shop, version: v1}}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
#- 2-split.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop-v2}
spec: {selector: {matchLabels: {app: shop, version: v2}}, template: {metadata: {labels: {app: shop, version: v2}}}}
---
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
    - {destination: {host: shop, subset: v1}, weight: 50}
#                                        ~~ related: this route is still live
    - {destination: {host: shop, subset: v2}, weight: 50}
#- 3-route.yaml
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
