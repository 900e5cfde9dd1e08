//! `unused-suppression`

use crate::rule::{Check, declare_rule};

declare_rule! {
    /// ## What it does
    /// Reports a suppression comment that hides no finding. Rules about what objects mean together need the
    /// objects: their suppressions are judged only where the input defines a Service in the namespace.
    ///
    /// ## Why it matters
    /// The mistake it was written for is gone, or was never there. Left in place it would hide the next one.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: v1
    /// kind: Namespace
    /// metadata:
    ///   # coalmine: ignore[wrong-type] our tool wants a number here
    ///   name: voting
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: v1
    /// kind: Namespace
    /// metadata:
    ///   name: voting
    /// ```
    ///
    /// ## References
    /// - Comments: `# coalmine: ignore[rule-a, rule-b] reason`, on the line of the finding, above it, or
    ///   above the document for all of it.
    id: "unused-suppression",
    severity: Warning,
    category: Linter,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::Builtin,
}
