//! `yaml-limits`

use super::yaml_syntax::report_problems;
use crate::rule::{Check, InputContext, declare_rule};
use crate::yaml::ProblemKind;

declare_rule! {
    /// ## What it does
    /// Reports a document that is nested more than 255 levels deep, or that stands for more than a million
    /// values once its aliases are expanded.
    ///
    /// ## Why it matters
    /// Such a document is an accident or an attack ("billion laughs"); the API server refuses it too.
    /// It is not linted further, so that a hostile file cannot stop an editor or a pipeline.
    ///
    /// ## Example
    /// ```yaml
    /// a: &a [x, x, x, x, x, x, x, x, x, x]
    /// b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]
    /// c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]
    /// d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]
    /// e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]
    /// f: &f [*e, *e, *e, *e, *e, *e, *e, *e, *e, *e]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// a: &a [x, x]
    /// b: [*a, *a]
    /// ```
    ///
    /// ## References
    /// - [Billion laughs attack](https://en.wikipedia.org/wiki/Billion_laughs_attack)
    id: "yaml-limits",
    severity: Error,
    category: Yaml,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::Input(check),
}

fn check(ctx: &mut InputContext<'_>) {
    report_problems(ctx, ProblemKind::Limits);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run;

    #[test]
    fn deep_nesting_is_a_finding_and_not_a_crash() {
        for text in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000)] {
            assert_eq!(run(&RULE, &text).len(), 1, "{:?}", &text[..8]);
        }
    }

    #[test]
    fn a_broken_document_does_not_hide_the_next() {
        let text = format!("{}\n---\na: 1\n---\n{}\n", "[".repeat(300), "[".repeat(300));
        assert_eq!(run(&RULE, &text).len(), 2);
    }
}
