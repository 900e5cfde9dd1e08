//! `duplicate-key`

use super::yaml_syntax::report_problems;
use crate::rule::{Check, InputContext, declare_rule};
use crate::yaml::ProblemKind;

declare_rule! {
    /// ## What it does
    /// Reports a mapping that has a key twice. Keys are compared as Kubernetes reads them: `yes` and
    /// `true`, or `1` and `"1"`, are the same key.
    ///
    /// ## Why it matters
    /// Only the last value reaches the cluster, without a word from older clients; the API server's strict
    /// validation refuses the object. Half of a route or a label set is lost.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata:
    ///   name: voting-app
    /// spec:
    ///   selector:
    ///     app: voting-app
    ///     app: voting
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata:
    ///   name: voting-app
    /// spec:
    ///   selector:
    ///     app: voting-app
    /// ```
    ///
    /// ## References
    /// - [Field validation](https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation)
    id: "duplicate-key",
    severity: Error,
    category: Yaml,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::Input(check),
}

fn check(ctx: &mut InputContext<'_>) {
    report_problems(ctx, ProblemKind::DuplicateKey);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    #[test]
    fn keys_collide_as_kubernetes_reads_them() {
        check(
            &RULE,
            r#"
a: 1
b:
  yes: 1
# ~~~ related: the value given here is lost
  true: 2
# ^^^^ error: key `true` is given twice; Kubernetes keeps only the last value
  "true": 3
# ^^^^^^ error: key `true` is given twice; Kubernetes keeps only the last value
c: {1: x, "1": y}
#   ~ related: the value given here is lost
#         ^^^ error: key `1` is given twice; Kubernetes keeps only the last value
"#,
        );
    }

    #[test]
    fn a_merge_key_may_be_overridden() {
        check(&RULE, "base: &base {a: 1}\nown:\n  <<: *base\n  a: 2\n");
    }
}
