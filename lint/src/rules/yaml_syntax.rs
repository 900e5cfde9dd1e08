//! `yaml-syntax`

use crate::rule::{Check, InputContext, declare_rule};
use crate::yaml::ProblemKind;

declare_rule! {
    /// ## What it does
    /// Reports text that is not YAML, or that `kubectl` would read otherwise than it looks.
    ///
    /// ## Why it matters
    /// `kubectl apply` refuses the document, or silently drops a part of it: text on the same line as
    /// `---` and everything after `...` never reaches the cluster. Other documents of the file are linted
    /// all the same.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: Gateway
    /// metadata: {name: voting-app-gateway
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: Gateway
    /// metadata: {name: voting-app-gateway}
    /// ```
    ///
    /// ## References
    /// - [YAML 1.2.2](https://yaml.org/spec/1.2.2/)
    /// - `kubectl` splits a stream at lines that start with `---`
    ///   (`k8s.io/apimachinery/pkg/util/yaml`).
    id: "yaml-syntax",
    severity: Error,
    category: Yaml,
    fix: None,
    since: "0.1.0",
    upstream: ["IST0106"],
    check: Check::Input(check),
}

fn check(ctx: &mut InputContext<'_>) {
    report_problems(ctx, ProblemKind::Syntax);
}

/// Reports what the YAML layer found of one kind; shared by the three rules about the text itself.
pub(super) fn report_problems(ctx: &mut InputContext<'_>, kind: ProblemKind) {
    for problem in ctx.problems.iter().filter(|problem| problem.kind == kind) {
        let diagnostic = ctx.report(None, problem.span, problem.message.clone());
        diagnostic.help.clone_from(&problem.help);
        if let Some((span, message)) = &problem.related {
            diagnostic.related(*span, message.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    #[test]
    fn an_unclosed_bracket_is_shown_where_it_opens() {
        check(
            &RULE,
            r"
kind: Gateway
metadata: {name: gw
#         ^ error: unclosed bracket '{'
",
        );
    }
}
