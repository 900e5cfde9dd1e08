//! `rollout-gateway-removed-early`

use crate::diagnostic::Severity;
use crate::rollout::breaks::{Kind, Shut};
use crate::rule::{Check, TransitionContext, declare_rule};

declare_rule! {
    /// ## What it does
    /// Reports a Gateway that goes, drops a host or moves to another port, protocol or pods, while a VirtualService
    /// still serves visitors through it.
    ///
    /// ## Why it matters
    /// Without the Gateway nothing listens: visitors get a refused connection instead of an answer, or a 404
    /// where another Gateway shares the port. The VirtualService goes first, or moves to the new Gateway.
    ///
    /// ## Example
    /// ```yaml
    /// # file: coalmine.yaml
    /// rollout:
    /// - 1-base.yaml
    /// - 2-open.yaml
    /// - name: move
    ///   actions:
    ///   - delete: old-door.yaml
    ///   - apply: 3-door.yaml
    ///   - apply: 4-route.yaml
    /// # file: old-door.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: Gateway
    /// metadata: {name: door}
    /// spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
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
    /// # file: 3-door.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: Gateway
    /// metadata: {name: gate}
    /// spec: {selector: {istio: gate}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
    /// # file: 4-route.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [gate]
    ///   http:
    ///   - route:
    ///     - {destination: {host: shop}}
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
    ///   - apply: 3-door.yaml
    ///   - apply: 4-route.yaml
    ///   - delete: old-door.yaml
    /// # file: old-door.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: Gateway
    /// metadata: {name: door}
    /// spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
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
    /// # file: 3-door.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: Gateway
    /// metadata: {name: gate}
    /// spec: {selector: {istio: gate}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
    /// # file: 4-route.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [gate]
    ///   http:
    ///   - route:
    ///     - {destination: {host: shop}}
    /// ```
    ///
    /// ## References
    /// - [Gateway](https://istio.io/latest/docs/reference/config/networking/gateway/)
    id: "rollout-gateway-removed-early",
    severity: Error,
    category: Rollout,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::Transition(check),
}

fn check(ctx: &mut TransitionContext<'_, '_>) {
    let transition = ctx.transition;
    for found in transition.certain(&[Kind::GatewayRemoved]) {
        let Some(change) = found.culprit else { continue };
        let path = if found.shut == Some(Shut::Pods) { ["spec", "selector"] } else { ["spec", "servers"] };
        let Some((resource, span)) = transition.place(&change, ctx.documents, &path) else { continue };
        let host = &found.entry.1;
        let what = match found.shut {
            Some(Shut::Host) => format!("no longer accepts host `{host}`"),
            Some(Shut::Port(port)) => format!("no longer accepts host `{host}` on port {port}"),
            Some(Shut::Protocol(port)) => format!("speaks another protocol on port {port} to host `{host}`"),
            Some(Shut::Redirect) => {
                format!("sends host `{host}` to https, where no server of it takes the host")
            }
            Some(Shut::Pods) => format!("moves to other pods with host `{host}`"),
            Some(Shut::Gone) | None => format!("is gone, and so is host `{host}`"),
        };
        let message = format!(
            "{} {} {what}, for which visitors still come: {}",
            transition.moment(),
            resource.describe(),
            found.kind.symptom()
        );
        let diagnostic = ctx.report(Some(resource), span, message);
        diagnostic.severity(if found.is_certain { Severity::Error } else { Severity::Warning });
        diagnostic.help(match found.shut {
            Some(Shut::Gone | Shut::Host) | None => {
                "delete the VirtualService first, or move it to another Gateway"
            }
            _ => "add the new server or Gateway beside the old one, and take that away when nobody uses it any more",
        });
        if let Some((service, _)) = found.route {
            diagnostic.related(service.name.span, "this VirtualService still serves them");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    #[test]
    fn a_gateway_goes_before_its_virtual_service_moves() {
        check(
            &RULE,
            r##"
#- coalmine.yaml
rollout:
- 1-base.yaml
- 2-open.yaml
- name: move
  actions:
  - delete: old-door.yaml
#           ^^^^^^^^^^^^^ error: after `delete old-door.yaml`, Gateway `door` is gone, and so is host `*`, for which visitors still come: a refused connection or 404
  - apply: 3-door.yaml
  - apply: 4-route.yaml
#- old-door.yaml
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
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
#                ~~~~ related: this VirtualService still serves them
spec:
  hosts: ["*"]
  gateways: [door]
  http:
  - route:
    - {destination: {host: shop}}
#- 3-door.yaml
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gate}
spec: {selector: {istio: gate}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
#- 4-route.yaml
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: ["*"]
  gateways: [gate]
  http:
  - route:
    - {destination: {host: shop}}
"##,
        );
    }
}
