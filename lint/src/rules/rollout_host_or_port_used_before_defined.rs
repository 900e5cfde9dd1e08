//! `rollout-host-or-port-used-before-defined`

use crate::rollout::breaks::{Kind, short};
use crate::rule::{Check, TransitionContext, declare_rule};

declare_rule! {
    /// ## What it does
    /// Reports a route that leads live clients to a host or port before a Service or ServiceEntry has it.
    ///
    /// ## Why it matters
    /// Until the port exists, there is no cluster for it: every request that takes the route answers 503 (NC),
    /// and TCP connections are reset. The Service comes first.
    ///
    /// ## Example
    /// ```yaml
    /// # file: coalmine.yaml
    /// rollout:
    /// - 1-base.yaml
    /// - 2-open.yaml
    /// - name: move
    ///   actions:
    ///   - apply: 4-route.yaml
    ///   - apply: both.yaml
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
    id: "rollout-host-or-port-used-before-defined",
    severity: Error,
    category: Rollout,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::Transition(check),
}

fn check(ctx: &mut TransitionContext<'_, '_>) {
    let transition = ctx.transition;
    for found in transition.certain(&[Kind::HostUndefined, Kind::PortUndefined]) {
        let Some((resource, span)) = found.route else { continue };
        let (what, span) = match (found.kind, found.port) {
            (Kind::PortUndefined, Some(port)) => {
                let place = found.port_span.unwrap_or(span);
                (
                    format!("port {port} of `{}`, which the Service does not have yet", short(&found.host)),
                    place,
                )
            }
            _ => (format!("host `{}`, which nothing defines yet", short(&found.host)), span),
        };
        let message = format!(
            "{} {} leads {} to {what}: {}",
            transition.moment(),
            resource.describe(),
            found.who,
            found.kind.symptom()
        );
        let later = transition.end.mesh.registry.named(&found.host).next();
        let place = later.map(|host| {
            found.port.and_then(|number| host.port(number)).map_or(host.resource.name.span, |port| port.span)
        });
        let diagnostic = ctx.report(Some(resource), span, message);
        diagnostic.help("apply the Service first, in a command of its own");
        if let Some(span) = place {
            diagnostic.related(span, "it is here, later in this step");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    #[test]
    fn a_route_names_a_port_that_comes_later() {
        check(
            &RULE,
            r##"
#- coalmine.yaml
rollout:
- 1-base.yaml
- 2-open.yaml
- name: move
  actions:
  - apply: 4-route.yaml
  - apply: both.yaml
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
    - {destination: {host: shop, port: {number: 80}}}
#- both.yaml
apiVersion: v1
kind: Service
metadata: {name: shop}
spec:
  selector: {app: shop}
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: http-new, port: 8080, targetPort: 8080}
#                          ~~~~ related: it is here, later in this step
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
#                                               ^^^^ error: after `apply 4-route.yaml`, VirtualService `shop` leads Gateway `door` to port 8080 of `shop`, which the Service does not have yet: 503 NC, or a reset for TCP
"##,
        );
    }
}
