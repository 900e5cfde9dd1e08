//! GitHub workflow commands, which become annotations on the changed lines, and the concise list after
//! them: GitHub shows at most ten annotations of each level of a step.

use std::fmt::Write as _;

use super::{Places, concise};
use crate::diagnostic::Severity;
use crate::report::Linted;

/// Annotations that GitHub shows of one level per step.
const SHOWN: usize = 10;

/// Renders every finding of a run, errors first.
#[must_use]
pub fn render(batch: &[Linted]) -> String {
    let mut out = String::new();
    let mut cut = 0;
    for severity in [Severity::Error, Severity::Warning, Severity::Info] {
        let command = match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "notice",
        };
        let mut shown = 0;
        for linted in batch {
            let mut places = Places::new(linted);
            for diagnostic in linted.report.diagnostics.iter().filter(|d| d.severity == severity) {
                if shown == SHOWN {
                    cut += 1;
                    continue;
                }
                shown += 1;
                let (start, end) = places.range(diagnostic.span);
                let mut message = diagnostic.message.clone();
                if let Some(help) = &diagnostic.help {
                    let _ = write!(message, "\nhelp: {help}");
                }
                // Columns of different lines are refused.
                let columns = if start.line == end.line {
                    format!(",col={},endColumn={}", start.column, end.column)
                } else {
                    String::new()
                };
                let _ = writeln!(
                    out,
                    "::{command} file={},line={},endLine={}{columns},title={}::{}",
                    property(linted.files.name(diagnostic.span.file)),
                    start.line,
                    end.line,
                    property(diagnostic.rule),
                    data(&message),
                );
            }
        }
    }
    if cut > 0 {
        let more =
            if cut == 1 { "1 more finding has".to_owned() } else { format!("{cut} more findings have") };
        let _ = writeln!(out, "{more} no annotation; all of them:");
    }
    out.push_str(&concise::render(batch));
    out
}

/// The escapes of `actions/toolkit` for the text of a command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The escapes for a property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Files, Settings, lint};

    fn linted(name: &str, text: &str) -> Linted {
        let mut files = Files::new();
        files.add(name, text);
        let report = lint(&files, &Settings::default());
        Linted { files, report }
    }

    #[test]
    fn names_and_messages_are_escaped() {
        let out = render(&[linted("a,b:c%.yaml", "a: 1\na: 2\n")]);
        let line = "::error file=a%2Cb%3Ac%25.yaml,line=2,endLine=2,col=1,endColumn=2,title=duplicate-key::\
                    key `a` is given twice; Kubernetes keeps only the last value%0Ahelp: remove one of the two\n";
        assert!(out.starts_with(line), "{out}");
    }

    #[test]
    fn a_place_of_several_lines_has_no_columns() {
        let mut linted = linted("a.yaml", "a: 1\na: 2\n");
        for diagnostic in &mut linted.report.diagnostics {
            diagnostic.span.start = 0;
        }
        let out = render(&[linted]);
        assert!(out.starts_with("::error file=a.yaml,line=1,endLine=2,title=duplicate-key::"), "{out}");
    }

    #[test]
    fn what_github_would_cut_is_counted_and_listed() {
        let text = "a: 1\n".repeat(14);
        let out = render(&[linted("a.yaml", &text)]);
        assert_eq!(out.lines().filter(|line| line.starts_with("::error")).count(), 10);
        assert!(out.contains("3 more findings have no annotation"), "{out}");
        assert_eq!(out.lines().filter(|line| line.starts_with("a.yaml:")).count(), 13);
    }
}
