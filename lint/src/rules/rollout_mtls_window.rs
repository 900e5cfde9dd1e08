//! `rollout-mtls-window`

use rustc_hash::FxHashSet;

use crate::diagnostic::Severity;
use crate::mesh::Mesh;
use crate::mesh::destinations::Client;
use crate::mesh::host::matches;
use crate::mesh::mtls::{ClientProxy, Sent};
use crate::mesh::registry::Host;
use crate::mesh::security::Mode;
use crate::mesh::workloads::{Proxy, Workload};
use crate::resource::{Resource, Spec};
use crate::rollout::Timing;
use crate::rollout::breaks::{Kind, short};
use crate::rollout::live::Fault;
use crate::rollout::plan::Change;
use crate::rule::{Check, TransitionContext, declare_rule};
use crate::span::Span;
use crate::tls_check::answer;

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
    if !transition.timing.is_race() {
        before_sidecars(ctx);
    }
    if transition.timing == Timing::Settled {
        loosened(ctx);
        opened(ctx);
    }
}

/// Calls that the two sides' TLS breaks.
fn calls(ctx: &mut TransitionContext<'_, '_>) {
    let transition = ctx.transition;
    for found in transition.certain(&[Kind::Tls]) {
        let Some(Fault::Tls { policy, setting, server, sent, mode }) = found.fault else { continue };
        let brought = found.culprit.and_then(|change| change.new);
        let is_brought = |side: &(&Resource, Span)| brought.is_some_and(|new| std::ptr::eq(new, side.0));
        let by_server = brought.filter(|new| std::ptr::eq(*new, server)).map(|new| (new, new.name.span));
        let first = policy.filter(is_brought).or(setting.filter(is_brought)).or(by_server);
        let place = first.or(setting).or(policy).or(found.route).unwrap_or((server, server.name.span));
        let sends = match sent {
            Some(Sent::Plaintext) => "no mTLS",
            Some(Sent::Simple) => "TLS without a certificate of its own",
            Some(Sent::OwnCertificate) => "TLS with a certificate that is not Istio's",
            Some(Sent::IstioMutual) => "Istio's mTLS",
            None => "TLS of a mode that Istio does not know",
        };
        let accepts = match (mode, sent) {
            (None, _) => "which has no sidecar to take it",
            (Some(Mode::Strict), Some(Sent::Plaintext)) => "which accepts nothing else",
            (Some(Mode::Strict), _) => "which accepts only Istio's mTLS",
            (Some(Mode::Disable), _) => "which accepts only plaintext",
            (Some(Mode::Permissive), _) => "which does not take it",
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
        diagnostic.help(match mode {
            Some(Mode::Disable) => {
                "first let clients send plaintext, by auto mTLS or mode DISABLE in their DestinationRule, then disable the \
                 server's mTLS"
            }
            _ => "first sidecars everywhere, then ISTIO_MUTUAL or auto mTLS for clients, STRICT last",
        });
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
        if old.is_some_and(|old| old.proxy == Proxy::Sidecar) {
            sidecars_go(ctx, pod.resource, policy);
            return;
        }
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

/// Pods lose their sidecar while STRICT holds: the change that takes it is to blame.
fn sidecars_go(ctx: &mut TransitionContext<'_, '_>, pod: &Resource, policy: &Resource) {
    let transition = ctx.transition;
    let takes = |change: &&Change<'_>| {
        change.new.or(change.old).is_some_and(|own| match own.spec {
            Spec::Namespace => own.name.value == pod.namespace(),
            _ => own.key() == pod.key(),
        })
    };
    let change = transition.arrived.iter().find(takes);
    let path = match change.and_then(|change| change.new).map(|new| &new.spec) {
        Some(Spec::Namespace) => ["metadata", "labels"],
        _ => ["spec", "template"],
    };
    let place = change.and_then(|change| transition.place(change, ctx.documents, &path));
    let (resource, span) = place.unwrap_or((policy, policy.name.span));
    let message = format!(
        "{} {} loses its sidecar while {} insists on mTLS: restarted pods send plaintext, and their calls to those with a \
         sidecar are reset",
        transition.moment(),
        pod.describe(),
        policy.describe()
    );
    ctx.report(Some(resource), span, message)
        .help("make the policy PERMISSIVE first, and take the sidecars away after that")
        .related(policy.name.span, "this policy insists on mTLS");
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

/// Istio's mTLS to a host before the step and after it, and plaintext in between.
fn opened(ctx: &mut TransitionContext<'_, '_>) {
    let transition = ctx.transition;
    for change in transition.arrived {
        let is_rule = |own: &&Resource| matches!(own.spec, Spec::DestinationRule(_));
        let Some(own) = change.new.or(change.old).filter(is_rule) else { continue };
        let now = &transition.now.mesh;
        let rules = now.destination_rules.iter().chain(transition.before.mesh.destination_rules.iter());
        let names: FxHashSet<&str> =
            rules.filter(|rule| rule.resource.key() == own.key()).map(|rule| rule.host.as_str()).collect();
        let is_named = |host: &&Host<'_>| names.iter().any(|name| matches(name, &host.name));
        for host in now.registry.iter().filter(is_named) {
            let client = Client { namespace: Some(own.namespace()), labels: None };
            let sends = |mesh: &Mesh<'_>, sent: Sent| {
                let host = mesh.registry.find(&host.name, client.namespace);
                host.and_then(|host| Some((host, host.ports.first()?))).is_some_and(|(host, port)| {
                    let pod = host.workloads.first().and_then(|id| mesh.workloads.get(*id));
                    let answer = answer(mesh, (client, ClientProxy::Sidecar), host, port, None, pod);
                    answer.client.sent == Some(sent)
                })
            };
            let around = [transition.start, transition.before, transition.end];
            let is_opened =
                around.iter().all(|view| sends(&view.mesh, Sent::IstioMutual)) && sends(now, Sent::Plaintext);
            let path = ["spec", "trafficPolicy", "tls"];
            let Some((resource, span)) = transition.place(change, ctx.documents, &path).filter(|_| is_opened)
            else {
                continue;
            };
            let message = format!(
                "{} calls to `{}` are plaintext for a while, although they are mTLS before and after this step",
                transition.moment(),
                short(&host.name)
            );
            ctx.report(Some(resource), span, message)
                .severity(Severity::Warning)
                .help("apply the new rule over the old one, without a state in between that sends plaintext");
            return;
        }
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
