//! `rollout-route-removed-early`

use crate::diagnostic::Severity;
use crate::resource::{Resource, Spec};
use crate::rollout::breaks::Kind;
use crate::rule::{Check, TransitionContext, declare_rule};

declare_rule! {
    /// ## What it does
    /// Reports a route of a Gateway that goes before the one which takes its place is there.
    ///
    /// ## Why it matters
    /// A VirtualService is renamed, or a host moves from one to another: between the two commands nothing has the
    /// host, and visitors get 404. The new route comes first, then the old one goes. A VirtualService that stays
    /// and loses a host or its last rule without conditions is warned about; deleting one for good is a
    /// decision and no finding.
    ///
    /// ## Example
    /// ```yaml
    /// # file: coalmine.yaml
    /// rollout:
    /// - 1-base.yaml
    /// - 2-route.yaml
    /// - name: rename
    ///   actions:
    ///   - delete: 2-route.yaml
    ///   - apply: 3-route.yaml
    /// # file: 1-base.yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: shop}
    /// spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}]}
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: shop-v1}
    /// spec:
    ///   selector: {matchLabels: {app: shop, version: v1}}
    ///   template: {metadata: {labels: {app: shop, version: v1}}}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: Gateway
    /// metadata: {name: door}
    /// spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
    /// # file: 2-route.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop}
    /// spec:
    ///   hosts: [shop.example.com]
    ///   gateways: [door]
    ///   http:
    ///   - route:
    ///     - {destination: {host: shop}}
    /// # file: 3-route.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop-edge}
    /// spec:
    ///   hosts: [shop.example.com]
    ///   gateways: [door]
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
    /// - 2-route.yaml
    /// - name: rename
    ///   actions:
    ///   - apply: 3-route.yaml
    ///   - delete: 2-route.yaml
    /// # file: 1-base.yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: shop}
    /// spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}]}
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: shop-v1}
    /// spec:
    ///   selector: {matchLabels: {app: shop, version: v1}}
    ///   template: {metadata: {labels: {app: shop, version: v1}}}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: Gateway
    /// metadata: {name: door}
    /// spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
    /// # file: 2-route.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop}
    /// spec:
    ///   hosts: [shop.example.com]
    ///   gateways: [door]
    ///   http:
    ///   - route:
    ///     - {destination: {host: shop}}
    /// # file: 3-route.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop-edge}
    /// spec:
    ///   hosts: [shop.example.com]
    ///   gateways: [door]
    ///   http:
    ///   - route:
    ///     - {destination: {host: shop}}
    /// ```
    ///
    /// ## References
    /// - [VirtualService](https://istio.io/latest/docs/reference/config/networking/virtual-service/)
    id: "rollout-route-removed-early",
    severity: Error,
    category: Rollout,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::Transition(check),
}

fn check(ctx: &mut TransitionContext<'_, '_>) {
    let transition = ctx.transition;
    for found in transition.certain(&[Kind::RouteRemoved]) {
        let Some(change) = found.culprit else { continue };
        let hosts = |resource: Option<&Resource>| match resource.map(|resource| &resource.spec) {
            Some(Spec::VirtualService(service)) => {
                service.hosts.iter().map(|host| host.value.clone()).collect()
            }
            _ => Vec::new(),
        };
        let path = match hosts(change.old) == hosts(change.new) {
            true => ["spec", "http"],
            false => ["spec", "hosts"],
        };
        let Some((resource, span)) = transition.place(&change, ctx.documents, &path) else { continue };
        let host = &found.entry.1;
        let what = match found.is_partial {
            true => format!("{} answers only some requests for `{host}`, where it answered all", found.who),
            false => format!("no route of {} takes requests for `{host}`, as one did before", found.who),
        };
        let again = if found.is_certain { " and will again" } else { "" };
        let message = format!("{} {what}{again}: {}", transition.moment(), found.kind.symptom());
        let (severity, help) = match found.is_certain {
            true => (Severity::Error, "let the new route come first, and take the old one away after it"),
            false => (Severity::Warning, "make sure that nobody comes for it any more"),
        };
        let diagnostic = ctx.report(Some(resource), span, message);
        diagnostic.severity(severity).help(help);
        if let Some(was) = found.was.filter(|was| *was != span) {
            diagnostic.related(was, "this rule took them");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    #[test]
    fn a_virtual_service_is_renamed() {
        check(
            &RULE,
            r##"
#- coalmine.yaml
rollout:
- 1-base.yaml
- 2-route.yaml
- name: rename
  actions:
  - delete: 2-route.yaml
#           ^^^^^^^^^^^^ error: after `delete 2-route.yaml`, no route of Gateway `door` takes requests for `shop.example.com`, as one did before and will again: 404, or a closed connection for TCP
  - apply: 3-route.yaml
#- 1-base.yaml
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop-v1}
spec:
  selector: {matchLabels: {app: shop, version: v1}}
  template: {metadata: {labels: {app: shop, version: v1}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
#- 2-route.yaml
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop.example.com]
  gateways: [door]
  http:
  - route:
    - {destination: {host: shop}}
#- 3-route.yaml
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop-edge}
spec:
  hosts: [shop.example.com]
  gateways: [door]
  http:
  - route:
    - {destination: {host: shop}}
"##,
        );
    }

    #[test]
    fn the_last_rule_without_conditions_goes() {
        check(
            &RULE,
            r##"
#- coalmine.yaml
rollout: [1-base.yaml, 2-route.yaml, 3-route.yaml]
#- 1-base.yaml
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop-v1}
spec:
  selector: {matchLabels: {app: shop, version: v1}}
  template: {metadata: {labels: {app: shop, version: v1}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
#- 2-route.yaml
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop.example.com]
  gateways: [door]
  http:
  - route:
    - {destination: {host: shop}}
#- 3-route.yaml
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop.example.com]
  gateways: [door]
  http:
# ^^^^ warning: after `apply 3-route.yaml`, Gateway `door` answers only some requests for `shop.example.com`, where it answered all: 404, or a closed connection for TCP
  - match: [{uri: {prefix: /new}}]
    route:
    - {destination: {host: shop}}
"##,
        );
    }
}
