//! `rollout-host-or-port-removed-early`

use crate::rollout::breaks::{Kind, short};
use crate::rule::{Check, TransitionContext, declare_rule};

declare_rule! {
    /// ## What it does
    /// Reports a Service or ServiceEntry that goes, or drops a port, while live clients still call it.
    ///
    /// ## Why it matters
    /// A route to a host or port that no longer exists answers 503 (NC), and TCP connections are reset. Routes
    /// and callers have to let go first. Where no route proves that a call is made, only pods that could make
    /// it, the finding is a warning.
    ///
    /// ## Example
    /// ```yaml
    /// # file: coalmine.yaml
    /// rollout:
    /// - 1-base.yaml
    /// - 2-open.yaml
    /// - name: move
    ///   actions:
    ///   - apply: 3-service.yaml
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
    ///     - {destination: {host: shop, port: {number: 80}}}
    /// # file: 3-service.yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: shop}
    /// spec: {selector: {app: shop}, ports: [{name: http-new, port: 8080, targetPort: 8080}]}
    /// # file: 4-route.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [door]
    ///   http:
    ///   - route:
    ///     - {destination: {host: shop, port: {number: 8080}}}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// # file: coalmine.yaml
    /// rollout:
    /// - 1-base.yaml
    /// - 2-open.yaml
    /// - name: move
    ///   actions:
    ///   - apply: both.yaml
    ///   - apply: 4-route.yaml
    ///   - apply: 3-service.yaml
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
    ///     - {destination: {host: shop, port: {number: 80}}}
    /// # file: both.yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: shop}
    /// spec:
    ///   selector: {app: shop}
    ///   ports:
    ///   - {name: http, port: 80, targetPort: 8080}
    ///   - {name: http-new, port: 8080, targetPort: 8080}
    /// # file: 3-service.yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: shop}
    /// spec: {selector: {app: shop}, ports: [{name: http-new, port: 8080, targetPort: 8080}]}
    /// # file: 4-route.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [door]
    ///   http:
    ///   - route:
    ///     - {destination: {host: shop, port: {number: 8080}}}
    /// ```
    ///
    /// ## References
    /// - `pilot/pkg/networking/core/route/route.go`, `GetDestinationCluster`: the cluster name is not checked
    id: "rollout-host-or-port-removed-early",
    severity: Error,
    category: Rollout,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::Transition(check),
}

fn check(ctx: &mut TransitionContext<'_, '_>) {
    let transition = ctx.transition;
    for found in transition.certain(&[Kind::HostRemoved, Kind::PortRemoved]) {
        let Some(change) = found.culprit else { continue };
        let Some((resource, span)) = transition.place(&change, ctx.documents, &["spec", "ports"]) else {
            continue;
        };
        let what = match (found.kind, found.port) {
            (Kind::PortRemoved, Some(port)) => format!("port {port} of `{}`", short(&found.host)),
            _ => format!("host `{}`", short(&found.host)),
        };
        let (certain, verb) = match found.is_certain {
            true => ("still go there", "requests of"),
            false => ("may still go there", "calls of"),
        };
        let message = format!(
            "{} {what} is gone, and {verb} {} {certain}: {}",
            transition.moment(),
            found.who,
            found.kind.symptom()
        );
        let severity = found.severity();
        let diagnostic = ctx.report(Some(resource), span, message);
        diagnostic.severity(severity).help("change the routes and the callers first");
        if let Some((_, span)) = found.route {
            diagnostic.related(found.port_span.unwrap_or(span), "this route is still live");
        }
        if let Some(span) = found.was {
            diagnostic.related(span, "it was here");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    #[test]
    fn a_port_goes_while_a_route_names_it() {
        check(
            &RULE,
            r##"
#- coalmine.yaml
rollout:
- 1-base.yaml
- 2-open.yaml
- name: move
  actions:
  - apply: 3-service.yaml
  - apply: 4-route.yaml
#- 1-base.yaml
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}]}
#                                                        ~~ related: it was here
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
    - {destination: {host: shop, port: {number: 80}}}
#                                               ~~ related: this route is still live
#- 3-service.yaml
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{name: http-new, port: 8080, targetPort: 8080}]}
#                             ^^^^^ error: after `apply 3-service.yaml`, port 80 of `shop` is gone, and requests of Gateway `door` still go there: 503 NC, or a reset for TCP
#- 4-route.yaml
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: ["*"]
  gateways: [door]
  http:
  - route:
    - {destination: {host: shop, port: {number: 8080}}}
"##,
        );
    }
}
