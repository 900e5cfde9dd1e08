//! `rollout-same-apply-race`

use crate::rollout::Timing;
use crate::rollout::breaks::{Break, Kind};
use crate::rule::{Check, TransitionContext, declare_rule};

declare_rule! {
    /// ## What it does
    /// Reports objects of one `kubectl` command that break requests if they reach the proxies in another order
    /// than that of the files.
    ///
    /// ## Why it matters
    /// istiod sends clusters and routes on separate paths, and every proxy takes them in its own time. A
    /// command that changes a route together with what it depends on works or answers 503 by chance; two
    /// commands, with a moment between them, always work.
    ///
    /// ## Example
    /// ```yaml
    /// # file: coalmine.yaml
    /// rollout:
    /// - 1-base.yaml
    /// - 2-open.yaml
    /// - name: pin
    ///   actions:
    ///   - apply: [3-rule.yaml, 4-route.yaml]
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
    /// - [Envoy: eventual consistency of xDS](https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#eventual-consistency-considerations)
    id: "rollout-same-apply-race",
    severity: Warning,
    category: Rollout,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::Transition(check),
}

fn check(ctx: &mut TransitionContext<'_, '_>) {
    let transition = ctx.transition;
    if !transition.timing.is_race() || transition.step.undoes {
        return;
    }
    let object = match transition.timing {
        Timing::First(index) | Timing::Last(index) => transition.step.objects.get(index),
        Timing::Arrived(_) | Timing::Settled => None,
    };
    let Some(object) = object else { return };
    // A route that goes for good does so in any order.
    let is_race = |found: &&Break<'_>| match found.kind {
        Kind::Island => false,
        Kind::RouteRemoved => found.is_certain,
        _ => true,
    };
    let Some(found) = transition.breaks.iter().find(is_race) else { return };
    let what = match found.kind {
        Kind::SubsetRemoved | Kind::SubsetUndefined => "is not defined",
        Kind::HostRemoved | Kind::HostUndefined => "does not exist",
        Kind::PortRemoved | Kind::PortUndefined => "has no such port",
        Kind::PodsRemoved | Kind::PodsNotReady => "has no ready pods",
        Kind::GatewayRemoved => "is behind a Gateway that is gone",
        Kind::RouteRemoved => "is led to by no route",
        Kind::Tls | Kind::Island => "does not accept the TLS that is sent",
    };
    let message = format!(
        "{} {} {what} for a moment, and requests of {} go there: {}",
        transition.moment(),
        found.destination(),
        found.who,
        found.kind.symptom()
    );
    let diagnostic = ctx.report(Some(object.resource), object.resource.name.span, message);
    diagnostic.help("make two commands of it, and let the first reach the proxies before the second");
    if let Some((_, span)) = found.route.filter(|(route, _)| !std::ptr::eq(*route, object.resource)) {
        diagnostic.related(span, "the live route");
    }
    if let Some(span) = found.was {
        diagnostic.related(span, "what it depends on stood here");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    #[test]
    fn a_route_and_its_subset_come_in_one_command() {
        check(
            &RULE,
            r##"
#- coalmine.yaml
rollout:
- 1-base.yaml
- 2-open.yaml
- name: pin
  actions:
  - apply: [3-rule.yaml, 4-route.yaml]
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
#                ^^^^ warning: if DestinationRule `shop` of `apply 3-rule.yaml (and 1 more)` reaches the proxies last, subset `v1` of `shop` is not defined for a moment, and requests of Gateway `door` go there: 503 NC, or a reset for TCP
spec: {host: shop, subsets: [{name: v1, labels: {version: v1}}]}
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
#                                        ~~ related: the live route
"##,
        );
    }
}
