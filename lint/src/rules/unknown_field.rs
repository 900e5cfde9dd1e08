//! `unknown-field`

use crate::rule::{Check, InputContext, declare_rule};
use crate::shape::{self, Kind};

declare_rule! {
    /// ## What it does
    /// Reports a field that the kind does not have, and a kind or version that its API group does not have.
    ///
    /// ## Why it matters
    /// The API server's strict validation refuses the object; without it, or with an older client, the field is
    /// dropped and the object means something else: a route whose `sourcelabels` are dropped matches every
    /// client. Every release adds fields, so the finding says which one it was compared with.
    ///
    /// A name that differs only by case, `_` or `-` is put right by a safe fix, one that is merely close by an
    /// unsafe one.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata:
    ///   name: voting-analytics
    /// spec:
    ///   hosts: [voting-analytics]
    ///   http:
    ///   - match:
    ///     - sourcelabels: {version: "1.0"}
    ///     route:
    ///     - destination: {host: voting-analytics}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata:
    ///   name: voting-analytics
    /// spec:
    ///   hosts: [voting-analytics]
    ///   http:
    ///   - match:
    ///     - sourceLabels: {version: "1.0"}
    ///     route:
    ///     - destination: {host: voting-analytics}
    /// ```
    ///
    /// ## References
    /// - [Field validation](https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation)
    /// - [Istio configuration](https://istio.io/latest/docs/reference/config/)
    id: "unknown-field",
    severity: Error,
    category: Schema,
    fix: Safe,
    since: "0.1.0",
    upstream: ["IST0106"],
    check: Check::Input(check),
}

fn check(ctx: &mut InputContext<'_>) {
    shape::report(ctx, Kind::UnknownField);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Safety;
    use crate::testing::{check, check_fix, run};

    fn helps(text: &str) -> Vec<String> {
        run(&RULE, text).into_iter().map(|found| found.help.unwrap_or_default()).collect()
    }

    #[test]
    fn an_unknown_field_is_marked_at_its_key() {
        check(
            &RULE,
            r"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: voting-analytics
  lables: {app: voting}
# ^^^^^^ error: `lables` is not a field of `metadata` in Istio …
spec:
  hosts: [voting-analytics]
  http:
  - match:
    - sourcelabels: {version: '1.0'}
    # ^^^^^^^^^^^^ error: `sourcelabels` is not a field of `spec.http[0].match[0]` in Istio …
    route:
    - destination: {host: voting-analytics}
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Service
  metadata: {name: voting-app}
  sepc: {}
# ^^^^ error: `sepc` is not a field of the object in Kubernetes …
",
        );
    }

    #[test]
    fn open_objects_maps_statuses_and_patch_directives_take_any_field() {
        let text = "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: a}\n\
                    spec: {url: oci://a, pluginConfig: {anything: {at: all}}}\nstatus: {any: thing}\n---\n\
                    apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: a}\n\
                    spec: {strategy: {canary: {}}, template: {spec: {$patch: delete, containers: [{name: a}]}}}\n\
                    ---\napiVersion: example.org/v1\nkind: Custom\nmetadata: {any: thing}\n";
        assert_eq!(run(&RULE, text), []);
    }

    #[test]
    fn kinds_and_versions_that_a_group_does_not_have() {
        check(
            &RULE,
            r"
apiVersion: networking.istio.io/v1
kind: VirtualServce
#     ^^^^^^^^^^^^^ error: `VirtualServce` is not a kind in `networking.istio.io/v1` of Istio …
metadata: {name: a}
---
apiVersion: networking.istio.io/v2
#           ^^^^^^^^^^^^^^^^^^^^^^ error: there is no Gateway in `networking.istio.io/v2` of Istio …
kind: Gateway
metadata: {name: a}
",
        );
    }

    #[test]
    fn removed_versions_foreign_groups_and_kubeconfigs_are_not_unknown() {
        for text in [
            "apiVersion: apps/v1beta1\nkind: Deployment\nmetadata: {name: a}\n",
            "apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: a}\n",
            "apiVersion: authentication.istio.io/v1alpha1\nkind: Policy\nmetadata: {name: a}\n",
            "apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {name: a}\n",
            "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: a}\n",
            "apiVersion: v1\nkind: Config\nclusters: []\n",
            "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: a}\n",
        ] {
            assert_eq!(run(&RULE, text), [], "{text}");
        }
    }

    #[test]
    fn a_field_on_the_wrong_level_is_told_where_it_belongs() {
        let route = |rest: &str| {
            format!(
                "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: a}}\nspec:\n  \
                 hosts: [a]\n  http:\n  - route:\n    - destination:\n        host: a\n{rest}"
            )
        };
        assert_eq!(helps(&route("      subset: v1-0\n")), ["it belongs one level deeper, in `destination`"]);
        let weight = helps(&route("        weight: 100\n"));
        assert_eq!(weight, ["it belongs to `spec.http[0].route[0]`; mind the indentation"]);
        assert_eq!(helps(&route("hosts: [b]\n")), ["it belongs one level deeper, in `spec`"]);
        assert_eq!(helps(&route("        subsett: v1-0\n")), ["did you mean `subset`?"]);
        assert_eq!(helps(&route("        entirely: different\n")), [""]);
    }

    #[test]
    fn case_underscores_and_hyphens_are_put_right_safely() {
        let before = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec:\n  \
                      hosts: [a]\n  http:\n  - match:\n    - source-labels: {app: b} # who asks\n      \
                      \"ignore_uri_case\": true\n    route: [{destination: {Host: a}}]\n";
        let after = before
            .replace("source-labels", "sourceLabels")
            .replace("ignore_uri_case", "ignoreUriCase")
            .replace("Host", "host");
        check_fix(&RULE, Safety::Safe, before, &after);
    }

    #[test]
    fn a_typing_slip_is_put_right_only_on_request() {
        let text = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {nmae: a}\n\
                    spec: {hosts: [a], http: [{route: [{destination: {host: a, subst: b}}]}]}\n";
        check_fix(&RULE, Safety::Unsafe, text, &text.replace("nmae", "name").replace("subst:", "subset:"));
        let kind = "apiVersion: v1\nkind: Sevice # one\nmetadata: {name: a}\n";
        check_fix(&RULE, Safety::Unsafe, kind, &kind.replace("Sevice", "Service"));
        let version = "apiVersion: networking.istio.io/v2 # new\nkind: Sidecar\nmetadata: {name: a}\n";
        check_fix(&RULE, Safety::Unsafe, version, &version.replace("v2", "v1"));
        let fixes = run(&RULE, text).into_iter().filter_map(|found| found.fix);
        assert_eq!(fixes.map(|fix| fix.safety).collect::<Vec<_>>(), [Safety::Unsafe; 2]);
    }

    #[test]
    fn a_field_that_is_already_there_is_not_offered() {
        let text = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\n\
                    spec: {host: a, HOST: b}\n";
        assert_eq!(run(&RULE, text)[0].fix, None);
    }

    #[test]
    fn aliases_and_merges_are_reported_once() {
        check(
            &RULE,
            r"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [a]
  http:
  - &rule
    routing: here
#   ^^^^^^^ error: `routing` is not a field of `spec.http[0]` in Istio …
    route: [{destination: {host: a}}]
  - *rule
  - <<: *rule
    name: other
",
        );
    }
}
