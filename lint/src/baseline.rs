//! A baseline: the findings that a team has decided to live with for now. Only what is not in it is reported.
//!
//! An entry names a rule and a file and holds the hash of the finding's line and object, so it survives moved
//! lines and reworded messages; equal entries are counted. The module knows no paths: the shell says how the
//! baseline names a file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::diagnostic::Diagnostic;
use crate::files::Files;
use crate::fingerprint;
use crate::report::Linted;

/// The only version there is.
const VERSION: u32 = 1;

/// Known findings, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    known: BTreeMap<Key, usize>,
}

/// What makes two findings the same for a baseline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    file: String,
    rule: String,
    fingerprint: String,
}

/// An entry that no finding matched: it was repaired, or its line was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// The file, as the baseline names it.
    pub file: String,
    /// The rule.
    pub rule: String,
    /// How many findings of it are gone.
    pub count: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BaselineFile {
    version: u32,
    findings: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    file: String,
    rule: String,
    fingerprint: String,
    count: usize,
}

impl Baseline {
    /// The findings of a run; `name` turns a file's name into the baseline's.
    #[must_use]
    pub fn of(batch: &[Linted], name: impl Fn(&str) -> String) -> Self {
        let mut baseline = Self::default();
        for linted in batch {
            for diagnostic in &linted.report.diagnostics {
                *baseline.known.entry(key(&linted.files, diagnostic, &name)).or_default() += 1;
            }
        }
        baseline
    }

    /// Reads what [`Baseline::to_json`] wrote.
    ///
    /// # Errors
    /// When the text is not JSON of version 1: the message says where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: BaselineFile = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if file.version != VERSION {
            return Err(format!(
                "this is version {}, and this coalmine reads version {VERSION}: write it anew with --write-baseline",
                file.version
            ));
        }
        let mut baseline = Self::default();
        for Entry { file, rule, fingerprint, count } in file.findings {
            *baseline.known.entry(Key { file, rule, fingerprint }).or_default() += count;
        }
        Ok(baseline)
    }

    /// The file's text: sorted, so that two branches that change it merge by line.
    #[must_use]
    pub fn to_json(&self) -> String {
        let findings = self.known.iter().map(|(key, count)| Entry {
            file: key.file.clone(),
            rule: key.rule.clone(),
            fingerprint: key.fingerprint.clone(),
            count: *count,
        });
        // Serialising these types cannot fail: no maps, no floats.
        let mut text =
            serde_json::to_string_pretty(&BaselineFile { version: VERSION, findings: findings.collect() })
                .unwrap_or_default();
        text.push('\n');
        text
    }

    /// How many findings are known.
    #[must_use]
    pub fn count(&self) -> usize {
        self.known.values().sum()
    }

    /// Takes the known findings out of a run, and answers the entries that nothing matched. `name` turns a
    /// file's name into the baseline's.
    #[must_use = "stale entries should be told"]
    pub fn hide(&self, batch: &mut [Linted], name: impl Fn(&str) -> String) -> Vec<Stale> {
        let mut left = self.known.clone();
        for Linted { files, report } in batch {
            let before = report.diagnostics.len();
            report.diagnostics.retain(|diagnostic| match left.get_mut(&key(files, diagnostic, &name)) {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    false
                }
                _ => true,
            });
            report.baselined = Some(before - report.diagnostics.len());
        }
        let stale = left.into_iter().filter(|(_, count)| *count > 0);
        stale.map(|(Key { file, rule, .. }, count)| Stale { file, rule, count }).collect()
    }
}

fn key(files: &Files, diagnostic: &Diagnostic, name: impl Fn(&str) -> String) -> Key {
    Key {
        file: name(files.name(diagnostic.span.file)),
        rule: diagnostic.rule.to_owned(),
        fingerprint: fingerprint::context(files, diagnostic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Settings, lint};

    fn linted(text: &str) -> Vec<Linted> {
        let mut files = Files::new();
        files.add("a.yaml", text);
        let report = lint(&files, &Settings::default());
        vec![Linted { files, report }]
    }

    fn same(name: &str) -> String {
        name.to_owned()
    }

    #[test]
    fn known_findings_are_hidden_where_they_moved_to_and_one_more_is_not() {
        let baseline = Baseline::of(&linted("a: 1\na: 2\n"), same);
        let mut moved = linted("# moved\n\na: 1\na: 2\n");
        assert_eq!(baseline.hide(&mut moved, same), []);
        assert_eq!((moved[0].report.diagnostics.len(), moved[0].report.baselined), (0, Some(1)));
        let mut more = linted("a: 1\na: 2\na: 2\n");
        assert_eq!(baseline.hide(&mut more, same), []);
        assert_eq!((more[0].report.diagnostics.len(), more[0].report.baselined), (1, Some(1)));
        let mut other = linted("a: 1\na: 3\n");
        let stale = baseline.hide(&mut other, same);
        assert_eq!(stale, [Stale { file: same("a.yaml"), rule: same("duplicate-key"), count: 1 }]);
        assert_eq!(other[0].report.diagnostics.len(), 1);
    }

    #[test]
    fn what_is_written_is_read_and_other_versions_are_refused() {
        let baseline = Baseline::of(&linted("a: 1\na: 2\na: 2\nb: 1\nb: 1\n"), |name| format!("x/{name}"));
        assert_eq!(baseline.count(), 3);
        assert_eq!(Baseline::parse(&baseline.to_json()), Ok(baseline.clone()));
        let newer = baseline.to_json().replace("\"version\": 1", "\"version\": 2");
        assert!(Baseline::parse(&newer).unwrap_err().contains("--write-baseline"));
        assert!(Baseline::parse("[]").is_err());
    }
}
