//! GitLab's code quality report: a part of the Code Climate format.

use serde::Serialize;

use super::{Places, pretty};
use crate::diagnostic::Severity;
use crate::fingerprint::{self, Occurrences};
use crate::report::Linted;

#[derive(Serialize)]
struct Issue<'a> {
    description: String,
    check_name: &'a str,
    fingerprint: String,
    severity: &'a str,
    location: Location<'a>,
}

#[derive(Serialize)]
struct Location<'a> {
    path: &'a str,
    lines: Lines,
}

#[derive(Serialize)]
struct Lines {
    begin: u32,
    end: u32,
}

/// Renders every finding of a run. GitLab compares the fingerprints of two reports to tell what is new, and
/// drops an entry whose fingerprint it has already seen, so each is unique.
#[must_use]
pub fn render(batch: &[Linted]) -> String {
    let mut occurrences = Occurrences::default();
    let mut issues = Vec::new();
    for linted in batch {
        let mut places = Places::new(linted);
        for diagnostic in &linted.report.diagnostics {
            let path = linted.files.name(diagnostic.span.file);
            let (start, end) = places.range(diagnostic.span);
            let context = fingerprint::context(&linted.files, diagnostic);
            let occurrence = occurrences.next(diagnostic.rule, path, &context).to_string();
            let mut description = diagnostic.message.clone();
            if let Some(help) = &diagnostic.help {
                description.push_str(&format!(" ({help})"));
            }
            issues.push(Issue {
                description,
                check_name: diagnostic.rule,
                fingerprint: fingerprint::hash(&[diagnostic.rule, path, &context, &occurrence], 16),
                severity: match diagnostic.severity {
                    Severity::Error => "major",
                    Severity::Warning => "minor",
                    Severity::Info => "info",
                },
                location: Location { path, lines: Lines { begin: start.line, end: end.line } },
            });
        }
    }
    pretty(&issues)
}

#[cfg(test)]
mod tests {
    use crate::{Files, Linted, Settings, lint};

    #[test]
    fn equal_lines_have_fingerprints_of_their_own() {
        let mut files = Files::new();
        files.add("a.yaml", "a: 1\na: 1\na: 1\n");
        let report = lint(&files, &Settings::default());
        let json: serde_json::Value =
            serde_json::from_str(&super::render(&[Linted { files, report }])).unwrap();
        assert_eq!(json[0]["location"]["lines"]["begin"], 2);
        assert_eq!(json[1]["location"]["lines"]["begin"], 3);
        assert_ne!(json[0]["fingerprint"], json[1]["fingerprint"]);
    }
}
