//! `rollout-mtls-window`

use crate::diagnostic::Severity;
use crate::mesh::Mesh;
use crate::mesh::security::Mode;
use crate::mesh::workloads::Proxy;
use crate::mesh::workloads::Workload;
use crate::resource::Resource;
use crate::resource::Spec;
use crate::rollout::Timing;
use crate::rollout::breaks::Kind;
use crate::rollout::live::Fault;
use crate::rule::{Check, TransitionContext, declare_rule};
use crate::span::Span;

declare_rule! {
    /// ## What it does
    /// Reports a moment at which clients send plaintext to pods that insist on mTLS, or mTLS to pods without a
    /// sidecar. STRICT that comes before all pods have their sidecar counts, and so does STRICT that is
    /// loosened for a while within a step.
    ///
    /// ## Why it matters
    /// Sidecars come one pod at a time. While some pods have one and STRICT is already there, calls of the
    /// others are reset. First every pod gets its sidecar, then every client is told to send mTLS, and STRICT
    /// comes last.
    ///
    /// ## Example
    /// ```yaml
    /// # file: coalmine.yaml
    /// rollout:
    /// - 1-base.yaml
    /// - name: lock
    ///   actions:
    ///   - apply: 2-strict.yaml
    ///   - apply: 3-namespace.yaml
    /// # file: 1-base.yaml
    /// apiVersion: v1
    /// kind: Namespace
    /// metadata: {name: default, labels: {istio-injection: disabled}}
    /// ---
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
    /// # file: 2-strict.yaml
    /// apiVersion: security.istio.io/v1
    /// kind: PeerAuthentication
    /// metadata: {name: default}
    /// spec: {mtls: {mode: STRICT}}
    /// # file: 3-namespace.yaml
    /// apiVersion: v1
    /// kind: Namespace
    /// metadata: {name: default, labels: {istio-injection: enabled}}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// # file: coalmine.yaml
    /// rollout:
    /// - 1-base.yaml
    /// - name: lock
    ///   actions:
    ///   - apply: 3-namespace.yaml
    ///   - apply: 2-strict.yaml
    /// # file: 1-base.yaml
    /// apiVersion: v1
    /// kind: Namespace
    /// metadata: {name: default, labels: {istio-injection: disabled}}
    /// ---
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
    /// # file: 2-strict.yaml
    /// apiVersion: security.istio.io/v1
    /// kind: PeerAuthentication
    /// metadata: {name: default}
    /// spec: {mtls: {mode: STRICT}}
    /// # file: 3-namespace.yaml
    /// apiVersion: v1
    /// kind: Namespace
    /// metadata: {name: default, labels: {istio-injection: enabled}}
    /// ```
    ///
    /// ## References
    /// - [Mutual TLS migration](https://istio.io/latest/docs/tasks/security/authentication/mtls-migration/)
    /// - `security/authn/policy_applier.go`, `ComposePeerAuthentication`
    id: "rollout-mtls-window",
    severity: Error,
    category: Rollout,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::Transition(check),
}

fn check(ctx: &mut TransitionContext<'_, '_>) {
    let transition = ctx.transition;
    if transition.step.undoes {
        return;
    }
    calls(ctx);
    if transition.timing == Timing::Settled {
        before_sidecars(ctx);
        loosened(ctx);
    }
}

/// Calls that the two sides' TLS breaks.
fn calls(ctx: &mut TransitionContext<'_, '_>) {
    let transition = ctx.transition;
    for found in transition.certain(&[Kind::Tls]) {
        let Some(Fault::Tls { policy, setting, server, is_bare }) = found.fault else { continue };
        let brought = found.culprit.and_then(|change| change.new);
        let is_brought = |side: &(&Resource, Span)| brought.is_some_and(|new| std::ptr::eq(new, side.0));
        let by_server = brought.filter(|new| std::ptr::eq(*new, server)).map(|new| (new, new.name.span));
        let first = policy.filter(is_brought).or(setting.filter(is_brought)).or(by_server);
        let place = first.or(setting).or(policy).or(found.route).unwrap_or((server, server.name.span));
        let (sends, accepts) = match is_bare {
            true => ("Istio's mTLS", "which has no sidecar to take it"),
            false => ("no mTLS", "which accepts nothing else"),
        };
        let message = format!(
            "{} {} sends {sends} to {}, {accepts}: {}",
            transition.moment(),
            found.who,
            server.describe(),
            found.kind.symptom()
        );
        let gets_one = found.by_bare && !found.is_certain;
        let severity = if gets_one { Severity::Warning } else { Severity::Error };
        let diagnostic = ctx.report(Some(place.0), place.1, message);
        diagnostic.severity(severity);
        diagnostic.help("first sidecars everywhere, then ISTIO_MUTUAL or auto mTLS for clients, STRICT last");
        for (resource, span) in [policy, setting].into_iter().flatten().filter(|side| side.1 != place.1) {
            diagnostic.related(span, format!("{} has the other side", resource.describe()));
        }
        diagnostic.related(server.name.span, "the pods that cannot be called");
    }
}

/// STRICT over pods that get their sidecar only later: while they restart one by one, some have it and insist
/// on mTLS, and others cannot send it yet.
fn before_sidecars(ctx: &mut TransitionContext<'_, '_>) {
    let transition = ctx.transition;
    let now = &transition.now.mesh;
    for (_, pod) in now.workloads.iter() {
        let is_late = pod.proxy == Proxy::None && transition.ever_injected.contains(&pod.resource.key());
        if !is_late {
            continue;
        }
        let strict = |mesh: &Mesh<'_>| {
            let decision = mesh.peer_authentications.of_workload(pod.namespace(), pod.labels, None);
            decision.mode == Mode::Strict
        };
        let old = transition.before.workload(pod.resource.key());
        let was_so = strict(&transition.before.mesh) && old.is_some_and(|old| old.proxy == Proxy::None);
        let decision = now.peer_authentications.of_workload(pod.namespace(), pod.labels, None);
        let Some((policy, span)) = decision.by.filter(|_| decision.mode == Mode::Strict && !was_so) else {
            continue;
        };
        let message = format!(
            "{} {} insists on mTLS, and {} has no sidecar yet: while the pods get theirs one by one, calls between them \
             are reset",
            transition.moment(),
            policy.describe(),
            pod.resource.describe()
        );
        ctx.report(Some(policy), span, message)
            .help("apply STRICT last, when every pod has its sidecar")
            .related(pod.resource.name.span, "these pods get their sidecar later");
        return;
    }
}

/// STRICT before the step and after it, and not in between.
fn loosened(ctx: &mut TransitionContext<'_, '_>) {
    let transition = ctx.transition;
    let is_strict = |mesh: &Mesh<'_>, pod: &Workload<'_>| {
        mesh.peer_authentications.of_workload(pod.namespace(), pod.labels, None).mode == Mode::Strict
    };
    for (_, pod) in transition.now.mesh.workloads.iter().filter(|(_, pod)| pod.proxy == Proxy::Sidecar) {
        let [start, before, end] =
            [transition.start, transition.before, transition.end].map(|view| is_strict(&view.mesh, pod));
        if !(start && before && end) || is_strict(&transition.now.mesh, pod) {
            continue;
        }
        let change = transition.arrived.iter().find(|change| {
            change.old.or(change.new).is_some_and(|own| matches!(own.spec, Spec::PeerAuthentication(_)))
        });
        let Some((resource, span)) =
            change.and_then(|change| transition.place(change, ctx.documents, &["spec", "mtls"]))
        else {
            continue;
        };
        let message = format!(
            "{} {} accepts plaintext for a while, although it is STRICT before and after this step",
            transition.moment(),
            pod.resource.describe()
        );
        ctx.report(Some(resource), span, message)
            .severity(Severity::Warning)
            .help("apply the new policy over the old one instead of deleting it first");
        return;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    #[test]
    fn strict_comes_before_the_sidecars() {
        check(
            &RULE,
            r##"
#- coalmine.yaml
rollout:
- 1-base.yaml
- name: lock
  actions:
  - apply: 2-strict.yaml
  - apply: 3-namespace.yaml
#- 1-base.yaml
apiVersion: v1
kind: Namespace
metadata: {name: default, labels: {istio-injection: disabled}}
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop-v1}
#                ~~~~~~~ related: these pods get their sidecar later
spec: {selector: {matchLabels: {app: shop, version: v1}}, template: {metadata: {labels: {app: shop, version: v1}}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
#- 2-strict.yaml
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
#                   ^^^^^^ error: after `apply 2-strict.yaml`, PeerAuthentication `default` insists on mTLS, and Deployment `shop-v1` has no sidecar yet: while the pods get theirs one by one, calls between them are reset
#- 3-namespace.yaml
apiVersion: v1
kind: Namespace
metadata: {name: default, labels: {istio-injection: enabled}}
"##,
        );
    }
}
