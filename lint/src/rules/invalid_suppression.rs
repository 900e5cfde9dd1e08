//! `invalid-suppression`

use crate::rule::{Check, declare_rule};

declare_rule! {
    /// ## What it does
    /// Reports a suppression comment that names no rule, names one that does not exist, or gives no reason.
    ///
    /// ## Why it matters
    /// It suppresses nothing. A reason is required because the next reader has to decide whether it still
    /// holds.
    ///
    /// ## Example
    /// ```yaml
    /// # coalmine: ignore[unknown-subset]
    /// apiVersion: v1
    /// kind: Namespace
    /// metadata: {name: voting}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: v1
    /// kind: Namespace
    /// metadata: {name: voting}
    /// ```
    ///
    /// ## References
    /// - Comments: `# coalmine: ignore[rule-a, rule-b] reason`.
    id: "invalid-suppression",
    severity: Warning,
    category: Linter,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::Builtin,
}
