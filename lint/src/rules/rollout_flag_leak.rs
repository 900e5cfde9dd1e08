//! `rollout-flag-leak`

use crate::diagnostic::Severity;
use crate::mesh::routes::VirtualService;
use crate::resource::Resource;
use crate::rollout::Timing;
use crate::rollout::breaks::{Kind, short};
use crate::rollout::live::Call;
use crate::rollout::live::Caller;
use crate::rule::{Check, TransitionContext, declare_rule};

declare_rule! {
    /// ## What it does
    /// Reports a moment at which requests without the flag reach a version that is meant for those with it.
    /// Pods that are led to another version, although the routes kept them apart, count as well, and that is an
    /// error.
    ///
    /// ## Why it matters
    /// Pods that start behind a plain Service get their share of all requests at once. Pin the route to the old
    /// version first; then the new pods start unseen, and only the flag opens them. Between components, the
    /// route of a version goes only after its last client.
    ///
    /// ## Example
    /// ```yaml
    /// # file: coalmine.yaml
    /// rollout:
    /// - 1-base.yaml
    /// - 2-open.yaml
    /// - name: canary
    ///   actions:
    ///   - apply: 3-v2.yaml
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
    /// # file: 3-v2.yaml
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: shop-v2}
    /// spec: {selector: {matchLabels: {app: shop, version: v2}}, template: {metadata: {labels: {app: shop, version: v2}}}}
    /// # file: 4-rule.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: shop}
    /// spec: {host: shop, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
    /// # file: 5-route.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [door]
    ///   http:
    ///   - match: [{headers: {cookie: {exact: "flag=on"}}}]
    ///     route: [{destination: {host: shop, subset: v2}}]
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
    /// - name: canary
    ///   actions:
    ///   - apply: 4-rule.yaml
    ///   - apply: pin.yaml
    ///   - apply: 3-v2.yaml
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
    /// # file: 3-v2.yaml
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: shop-v2}
    /// spec: {selector: {matchLabels: {app: shop, version: v2}}, template: {metadata: {labels: {app: shop, version: v2}}}}
    /// # file: 4-rule.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: shop}
    /// spec: {host: shop, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
    /// # file: pin.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [door]
    ///   http:
    ///   - route:
    ///     - {destination: {host: shop, subset: v1}}
    /// # file: 5-route.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [door]
    ///   http:
    ///   - match: [{headers: {cookie: {exact: "flag=on"}}}]
    ///     route: [{destination: {host: shop, subset: v2}}]
    ///   - route:
    ///     - {destination: {host: shop, subset: v1}}
    /// ```
    ///
    /// ## References
    /// - [Canary deployments using Istio](https://istio.io/latest/blog/2017/0.1-canary/)
    id: "rollout-flag-leak",
    severity: Warning,
    category: Rollout,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::Transition(check),
}

fn check(ctx: &mut TransitionContext<'_, '_>) {
    if ctx.transition.step.undoes || ctx.transition.timing != Timing::Settled {
        return;
    }
    leaks(ctx);
    islands(ctx);
}

/// Requests without the flag that reach new pods early.
fn leaks(ctx: &mut TransitionContext<'_, '_>) {
    let transition = ctx.transition;
    for (entry, call) in transition.now.calls() {
        let Some(before) = transition.before.calls().get(entry).filter(|call| call.is_served()) else {
            continue;
        };
        let reaches =
            |call: &Call<'_>, pod: &Resource| call.pods(false).any(|other| other.key() == pod.key());
        let is_new = |pod: &&Resource| !reaches(before, pod);
        for pod in call.pods(false).filter(is_new) {
            let is_flagged = transition.flagged.get(entry).is_some_and(|pods| pods.contains(&pod.key()));
            let passes = || {
                [transition.start, transition.end].into_iter().map(|view| view.calls().get(entry)).all(
                    |end| end.is_some_and(|call| call.pods(false).next().is_some() && !reaches(call, pod)),
                )
            };
            if !is_flagged && !passes() {
                continue;
            }
            let leg = call.legs.iter().find(|leg| leg.pods.iter().any(|own| std::ptr::eq(*own, pod)));
            let Some(leg) = leg else { continue };
            // Who is led by no route where others are is not meant to call at all.
            let is_its = |service: &VirtualService<'_>| {
                service.is_mesh() && service.hosts.iter().any(|host| host.value == leg.host)
            };
            let routed = transition.now.mesh.routes.iter().any(is_its);
            if matches!(call.caller, Caller::Pods(_)) && leg.route.is_none() && routed {
                continue;
            }
            let why = if is_flagged {
                "which is meant for requests with the flag"
            } else {
                "which the step does not mean"
            };
            let message = format!(
                "{} every request of {} to `{}` can reach {}, {why}",
                transition.moment(),
                call.who,
                short(&leg.host),
                pod.describe()
            );
            let (resource, span) = leg.route.unwrap_or((pod, pod.name.span));
            let diagnostic = ctx.report(Some(resource), span, message);
            diagnostic.help("pin the route to the old version before the new pods start");
            if span != pod.name.span {
                diagnostic.related(pod.name.span, "the pods that are reached early");
            }
            break;
        }
    }
}

/// Pods that still run and are led out of the versions that belong together.
fn islands(ctx: &mut TransitionContext<'_, '_>) {
    let transition = ctx.transition;
    for found in transition.certain(&[Kind::Island]) {
        let (Some(reached), Some((resource, span))) = (found.reached, found.route) else { continue };
        let at_end = transition.end.calls().get(&found.entry);
        // What the step ends with is meant.
        if at_end.is_some_and(|call| call.pods(false).any(|pod| pod.key() == reached.key())) {
            continue;
        }
        let message = format!(
            "{} {} is led to {}, although the routes kept it among the pods of its own version",
            transition.moment(),
            found.who,
            reached.describe()
        );
        ctx.report(Some(resource), span, message)
            .severity(Severity::Error)
            .help("change this route after the last client of the old version is gone")
            .related(reached.name.span, "the pods of the other version");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    #[test]
    fn new_pods_start_behind_a_plain_service() {
        check(
            &RULE,
            r##"
#- coalmine.yaml
rollout:
- 1-base.yaml
- 2-open.yaml
- name: canary
  actions:
  - apply: 3-v2.yaml
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
#                          ^^^^ warning: after `apply 3-v2.yaml`, every request of Gateway `door` to `shop` can reach Deployment `shop-v2`, which is meant for requests with the flag
#- 3-v2.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop-v2}
#                ~~~~~~~ related: the pods that are reached early
spec: {selector: {matchLabels: {app: shop, version: v2}}, template: {metadata: {labels: {app: shop, version: v2}}}}
#- 4-rule.yaml
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec: {host: shop, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
#- 5-route.yaml
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: ["*"]
  gateways: [door]
  http:
  - match: [{headers: {cookie: {exact: "flag=on"}}}]
    route: [{destination: {host: shop, subset: v2}}]
  - route:
    - {destination: {host: shop, subset: v1}}
"##,
        );
    }
}
