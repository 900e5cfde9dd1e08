//! One line per finding: `file:line:column: severity[rule]: message`.

use std::fmt::Write as _;

use super::Places;
use crate::report::Linted;

/// Renders every finding of a run.
#[must_use]
pub fn render(batch: &[Linted]) -> String {
    let mut out = String::new();
    for linted in batch {
        let mut places = Places::new(linted);
        for diagnostic in &linted.report.diagnostics {
            let (start, _) = places.range(diagnostic.span);
            let file = linted.files.name(diagnostic.span.file);
            let (severity, rule, message) =
                (diagnostic.severity.as_str(), diagnostic.rule, &diagnostic.message);
            let _ = writeln!(out, "{file}:{}:{}: {severity}[{rule}]: {message}", start.line, start.column);
        }
    }
    out
}
