//! `peer-auth-selector-in-root`

use crate::rule::{Check, Context, declare_rule};

declare_rule! {
    /// ## What it does
    /// Reports a PeerAuthentication with a selector in the root namespace, which Istio ignores.
    ///
    /// ## Why it matters
    /// A PeerAuthentication's selector picks pods of its own namespace, except in the root namespace: there
    /// only the policy without a selector counts, as the mesh's default. The pods that the author meant to
    /// lock down keep accepting plaintext, and nothing says so.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: security.istio.io/v1
    /// kind: PeerAuthentication
    /// metadata: {name: voting-storage, namespace: istio-system}
    /// spec:
    ///   selector:
    ///     matchLabels: {app: voting-storage}
    ///   mtls: {mode: STRICT}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: security.istio.io/v1
    /// kind: PeerAuthentication
    /// metadata: {name: voting-storage, namespace: voting}
    /// spec:
    ///   selector:
    ///     matchLabels: {app: voting-storage}
    ///   mtls: {mode: STRICT}
    /// ```
    ///
    /// ## References
    /// - [PeerAuthentication](https://istio.io/latest/docs/reference/config/security/peer_authentication/)
    /// - `pilot/pkg/security/authn/policy_applier.go`, `ComposePeerAuthentication`
    id: "peer-auth-selector-in-root",
    severity: Error,
    category: Mtls,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    let root = ctx.mesh.config.root_namespace.as_str();
    for policy in ctx.mesh.peer_authentications.in_namespace(root) {
        let Some(selector) = policy.selector() else { continue };
        let Some(span) = selector.span() else { continue };
        let message = format!("Istio ignores this selector's policy: `{root}` is the root namespace");
        let diagnostic = ctx.report(policy.resource, span, message);
        diagnostic.help(
            "move the policy to the namespace of the pods, or drop the selector to set the mesh's default",
        );
        if let Some(namespace) = policy.resource.namespace_span {
            diagnostic.related(namespace, "the root namespace");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    /// Trap: in the root namespace a policy with a selector is ignored.
    #[test]
    fn a_selector_in_the_root_namespace_is_ignored_by_istio() {
        check(
            &RULE,
            r#"
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: storage
  namespace: istio-system
  #          ~~~~~~~~~~~~ related: the root namespace
spec:
  selector:
    matchLabels:
      app: storage
      ^^^^^^^^^^^^ error: Istio ignores this selector's policy: `istio-system` is the root namespace
  mtls: {mode: STRICT}
"#,
        );
    }

    #[test]
    fn the_meshs_default_and_an_empty_selector_are_fine() {
        let text = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: \
                    istio-system}\nspec: {selector: {}, mtls: {mode: STRICT}}\n";
        check(&RULE, text);
    }

    #[test]
    fn the_root_namespace_is_the_mesh_configs() {
        let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n    \
                      rootNamespace: mesh-root\n---\n";
        let policy = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: a, namespace: \
                      istio-system}\nspec: {selector: {matchLabels: {app: a}}, mtls: {mode: STRICT}}\n";
        check(&RULE, &format!("{config}{policy}"));
        let moved = policy.replace("istio-system", "mesh-root");
        assert_eq!(crate::testing::run(&RULE, &format!("{config}{moved}")).len(), 1);
    }
}
