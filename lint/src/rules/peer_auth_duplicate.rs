//! `peer-auth-duplicate`

use rustc_hash::{FxHashMap, FxHashSet};

use crate::mesh::security::Policy;
use crate::mesh::workloads::WorkloadId;
use crate::rule::{Check, Context, declare_rule};
use crate::span::Span;

declare_rule! {
    /// ## What it does
    /// Reports two PeerAuthentications of one reach: both without a selector in one namespace, or both
    /// selecting the same pods.
    ///
    /// ## Why it matters
    /// Istio does not merge them. The older object wins and the other has no effect, and which one is older
    /// depends on when each was created in that cluster: a cluster that is set up anew can end up with the
    /// opposite mode.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: security.istio.io/v1
    /// kind: PeerAuthentication
    /// metadata: {name: default, namespace: voting}
    /// spec: {mtls: {mode: STRICT}}
    /// ---
    /// apiVersion: security.istio.io/v1
    /// kind: PeerAuthentication
    /// metadata: {name: migration, namespace: voting}
    /// spec: {mtls: {mode: PERMISSIVE}}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: security.istio.io/v1
    /// kind: PeerAuthentication
    /// metadata: {name: default, namespace: voting}
    /// spec: {mtls: {mode: STRICT}}
    /// ---
    /// apiVersion: security.istio.io/v1
    /// kind: PeerAuthentication
    /// metadata: {name: migration, namespace: voting}
    /// spec:
    ///   selector: {matchLabels: {app: voting-storage}}
    ///   mtls: {mode: PERMISSIVE}
    /// ```
    ///
    /// ## References
    /// - [PeerAuthentication](https://istio.io/latest/docs/reference/config/security/peer_authentication/)
    /// - `pilot/pkg/security/authn/policy_applier.go`, `ComposePeerAuthentication`
    id: "peer-auth-duplicate",
    severity: Error,
    category: Mtls,
    fix: None,
    since: "0.1.0",
    upstream: ["KIA0002", "KIA0003"],
    check: Check::State(check),
}

/// A namespace and a selector's labels in a fixed order.
type Pairs<'a> = (&'a str, Vec<(&'a str, &'a str)>);

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    let mut whole: FxHashMap<&str, &Policy<'_>> = FxHashMap::default();
    let mut by_pods: FxHashMap<WorkloadId, &Policy<'_>> = FxHashMap::default();
    let mut by_selector: FxHashMap<Pairs<'_>, &Policy<'_>> = FxHashMap::default();
    for policy in mesh.peer_authentications.iter() {
        let namespace = policy.resource.namespace();
        let Some(selector) = policy.selector() else {
            if let Some(earlier) = whole.get(namespace) {
                let message = format!(
                    "PeerAuthentication `{}` has no selector either in namespace `{namespace}`; only the older one counts",
                    earlier.resource.name.value
                );
                ctx.report(policy.resource, policy.resource.name.span, message)
                    .help("keep one policy without a selector in a namespace")
                    .related(earlier.resource.name.span, "the other policy without a selector");
            } else {
                whole.insert(namespace, policy);
            }
            continue;
        };
        // A selector in the root namespace is ignored, so it cannot compete.
        if namespace == mesh.config.root_namespace {
            continue;
        }
        let mut reported: FxHashSet<Span> = FxHashSet::default();
        let mut report = |earlier: &Policy<'_>, pods: Option<(&str, Span)>| {
            if !reported.insert(earlier.resource.span) {
                return;
            }
            let what = pods.map_or("the same pods".to_owned(), |(name, _)| name.to_owned());
            let message = format!(
                "PeerAuthentication `{}` selects {what} too; only the older one counts",
                earlier.resource.name.value
            );
            let span = selector.span().unwrap_or(policy.resource.name.span);
            let diagnostic = ctx.report(policy.resource, span, message);
            diagnostic.help("keep one policy for these pods; settings of two are not merged");
            let other = earlier.selector().and_then(|selector| selector.span());
            diagnostic.related(other.unwrap_or(earlier.resource.name.span), "the other policy's selector");
            if let Some((_, span)) = pods {
                diagnostic.related(span, "the pods that both select");
            }
        };
        for id in mesh.workloads.select(selector, Some(namespace)) {
            let Some(workload) = mesh.workloads.get(id) else { continue };
            match by_pods.get(&id) {
                Some(earlier) => {
                    let name = workload.resource.describe();
                    report(earlier, Some((&name, workload.resource.name.span)));
                }
                None => {
                    by_pods.insert(id, policy);
                }
            }
        }
        let mut pairs: Vec<(&str, &str)> =
            selector.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        pairs.sort_unstable();
        match by_selector.get(&(namespace, pairs.clone())) {
            Some(earlier) => report(earlier, None),
            None => {
                by_selector.insert((namespace, pairs), policy);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    fn policy(name: &str, namespace: &str, spec: &str) -> String {
        format!(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, namespace: \
             {namespace}}}\nspec:\n{spec}---\n"
        )
    }

    /// Trap: of two policies the oldest wins, which the text does not say.
    #[test]
    fn a_second_policy_without_a_selector_is_reported_at_its_name() {
        check(
            &RULE,
            r#"
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: default
  #     ~~~~~~~ related: the other policy without a selector
spec: {mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: other
  #     ^^^^^ error: PeerAuthentication `default` has no selector either in namespace `default`; only the older one counts
spec: {selector: {}, mtls: {mode: PERMISSIVE}}
"#,
        );
    }

    #[test]
    fn each_namespace_has_its_own() {
        let strict = "  mtls: {mode: STRICT}\n";
        check(&RULE, &[policy("default", "a", strict), policy("default", "b", strict)].concat());
    }

    #[test]
    fn two_selectors_of_the_same_pods() {
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: storage, namespace: a, labels: {app: storage, version: \
                   \"1.0\"}}\n#                ~~~~~~~ related: the pods that both select\n---\n";
        let by_app = policy(
            "app",
            "a",
            "  selector: {matchLabels: {app: storage}}\n  #                        ~~~~~~~~~~~~ related: the other policy's \
             selector\n",
        );
        let by_version = policy(
            "version",
            "a",
            "  selector: {matchLabels: {version: \"1.0\"}}\n  #                        ^^^^^^^^^^^^^^ error: PeerAuthentication \
             `app` selects Pod `storage` too; only the older one counts\n",
        );
        check(&RULE, &[pod, &by_app, &by_version].concat());
        let elsewhere = by_version.replace("namespace: a", "namespace: b");
        let elsewhere: String =
            elsewhere.lines().filter(|l| !l.contains('^')).map(|l| format!("{l}\n")).collect();
        let plain = |text: &str| -> String {
            text.lines().filter(|line| !line.contains('~')).map(|line| format!("{line}\n")).collect()
        };
        check(&RULE, &[plain(pod), plain(&by_app), elsewhere].concat());
    }

    #[test]
    fn equal_selectors_need_no_pods_in_the_input() {
        let one = policy("one", "a", "  selector: {matchLabels: {app: x, tier: y}}\n");
        let two = policy(
            "two",
            "a",
            "  selector: {matchLabels: {tier: y, app: x}}\n  #                        ^^^^^^^^^^^^^^^ error: PeerAuthentication \
             `one` selects the same pods too; only the older one counts\n",
        );
        check(&RULE, &[one, two].concat());
    }

    #[test]
    fn ignored_selectors_of_the_root_namespace_do_not_compete() {
        let spec = "  selector: {matchLabels: {app: x}}\n";
        check(&RULE, &[policy("one", "istio-system", spec), policy("two", "istio-system", spec)].concat());
    }
}
