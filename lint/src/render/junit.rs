//! JUnit XML: a suite per file, a failed test per finding that fails the run.
//!
//! JUnit knows no severities. A finding that the run tolerates is a test that passed and says what was found, so
//! that a CI system is red exactly when the exit code is 1. A file without findings is one test that passed.

use std::fmt::Write as _;

use super::Places;
use super::xml::{attribute, text};
use crate::diagnostic::{Diagnostic, Severity};
use crate::report::Linted;

/// Renders every finding of a run; `fails` says which severities fail it.
#[must_use]
pub fn render(batch: &[Linted], fails: impl Fn(Severity) -> bool) -> String {
    let mut suites = Suites::default();
    for linted in batch {
        let mut places = Places::new(linted);
        for (id, file) in linted.files.iter().filter(|(id, _)| !linted.files.is_context(*id)) {
            let name = attribute(file.name());
            let found: Vec<&Diagnostic> =
                linted.report.diagnostics.iter().filter(|d| d.span.file == id).collect();
            let failed = found.iter().filter(|d| fails(d.severity)).count();
            suites.open(&name, found.len().max(1), failed);
            if found.is_empty() {
                let _ = writeln!(suites.out, "    <testcase name=\"coalmine\" classname=\"{name}\"/>");
            }
            for diagnostic in found {
                let fails = fails(diagnostic.severity);
                case(&mut suites.out, &name, file.name(), diagnostic, &mut places, fails);
            }
            suites.close();
        }
    }
    suites.finish("coalmine")
}

/// The suites of a document, which counts their tests.
#[derive(Default)]
pub(super) struct Suites {
    /// What is written of them; the tests of a suite are added to it while it is open.
    pub(super) out: String,
    tests: usize,
    failures: usize,
}

impl Suites {
    /// Begins a suite; `name` is fit for an attribute.
    pub(super) fn open(&mut self, name: &str, tests: usize, failures: usize) {
        self.tests += tests;
        self.failures += failures;
        let _ = writeln!(
            self.out,
            "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\">"
        );
    }

    /// Ends it.
    pub(super) fn close(&mut self) {
        self.out.push_str("  </testsuite>\n");
    }

    /// The document.
    pub(super) fn finish(self, name: &str) -> String {
        let Self { out, tests, failures } = self;
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <testsuites name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"0\">\n{out}</testsuites>\n"
        )
    }
}

fn case(
    out: &mut String,
    class: &str,
    file: &str,
    diagnostic: &Diagnostic,
    places: &mut Places<'_>,
    fails: bool,
) {
    let (start, _) = places.range(diagnostic.span);
    let (severity, rule) = (diagnostic.severity.as_str(), diagnostic.rule);
    let mut body =
        format!("{file}:{}:{}: {severity}[{rule}]: {}", start.line, start.column, diagnostic.message);
    if let Some(help) = &diagnostic.help {
        let _ = write!(body, "\nhelp: {help}");
    }
    let (name, body) = (format!("{rule} at {}:{}", start.line, start.column), text(&body));
    let _ = writeln!(out, "    <testcase name=\"{name}\" classname=\"{class}\">");
    let _ = if fails {
        let message = attribute(&diagnostic.message);
        writeln!(out, "      <failure type=\"{severity}\" message=\"{message}\">{body}</failure>")
    } else {
        writeln!(out, "      <system-out>{body}</system-out>")
    };
    out.push_str("    </testcase>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Files, Settings, lint};

    #[test]
    fn what_the_run_tolerates_is_no_failure() {
        let mut files = Files::new();
        files.add("a<b>&\"\u{1}.yaml", "a: 1\na: 2\n");
        files.add("clean.yaml", "a: 1\n");
        let report = lint(&files, &Settings::default());
        let batch = [Linted { files, report }];
        let strict = render(&batch, |_| true);
        assert!(strict.contains("<testsuites name=\"coalmine\" tests=\"2\" failures=\"1\""), "{strict}");
        assert!(
            strict.contains(
                "<testcase name=\"duplicate-key at 2:1\" classname=\"a&lt;b&gt;&amp;&quot;\u{fffd}.yaml\">"
            ),
            "{strict}"
        );
        assert!(strict.contains("<testcase name=\"coalmine\" classname=\"clean.yaml\"/>"), "{strict}");
        let lenient = render(&batch, |_| false);
        assert!(lenient.contains("failures=\"0\"") && !lenient.contains("<failure"), "{lenient}");
        assert!(
            lenient.contains("<system-out>a&lt;b&gt;&amp;\"\u{fffd}.yaml:2:1: error[duplicate-key]"),
            "{lenient}"
        );
    }
}
