//! Caret fixtures: the expected finding stands under the text it marks.
//!
//! ```yaml
//! #! assume: closed          settings, as in coalmine.yaml, before anything else
//! #- other.yaml              the lines below are another file; `# file: other.yaml` says the same
//! subset: v3
//! #       ^^ error: subset `v3` is not defined …
//! labels: {a: b}
//! #~~~~~~ related: the labels are here       with any `~`, all related places must be given
//! ^^^^^^ error: a finding in the first column needs no `#`
//! ```
//! A file `coalmine.yaml` is the settings: rules about order go through its rollout.
//! A message may end in `…` to compare only its beginning. Annotation lines are not part of the text.

use crate::diagnostic::{Diagnostic, Safety};
use crate::files::Files;
use crate::fix;
use crate::line_index::{ColumnUnit, LineIndex};
use crate::linter::{Input, lint};
use crate::rollout::{self, Rollout};
use crate::rule::{Check, Rule};
use crate::settings::Settings;
use crate::span::{FileId, Span};

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
struct Mark {
    file: String,
    line: u32,
    columns: (u32, u32),
    text: String,
    is_related: bool,
}

struct Fixture {
    files: Files,
    settings: Settings,
    order: Option<FileId>,
    marks: Vec<Mark>,
}

fn annotation(line: &str) -> Option<(u32, u32, bool, &str)> {
    let body = line.trim_start();
    let body = body.strip_prefix('#').unwrap_or(body);
    let marked = body.trim_start();
    let mark = marked.chars().next().filter(|c| matches!(c, '^' | '~'))?;
    let width = marked.chars().take_while(|c| *c == mark).count();
    let rest = marked[width..].strip_prefix(' ')?;
    let start = line.len() - marked.len();
    let number = |n: usize| u32::try_from(n).unwrap();
    Some((number(start), number(start + width), mark == '~', rest))
}

fn parse_fixture(text: &str) -> Fixture {
    let mut settings = String::new();
    let mut files: Vec<(String, String)> = vec![("test.yaml".to_owned(), String::new())];
    let mut marks = Vec::new();
    for line in text.strip_prefix('\n').unwrap_or(text).split_inclusive('\n') {
        if let Some(setting) = line.strip_prefix("#! ") {
            settings.push_str(setting);
        } else if let Some(name) = line.strip_prefix("#- ").or_else(|| line.strip_prefix("# file: ")) {
            let first_is_empty = files.len() == 1 && files[0].1.is_empty();
            if first_is_empty {
                files.clear();
            }
            files.push((name.trim().to_owned(), String::new()));
        } else if let Some((start, end, is_related, message)) = annotation(line.trim_end()) {
            let (file, content) = files.last().unwrap();
            let line = u32::try_from(content.lines().count()).unwrap() - 1;
            marks.push(Mark {
                file: file.clone(),
                line,
                columns: (start, end),
                text: message.trim_end().to_owned(),
                is_related,
            });
        } else {
            files.last_mut().unwrap().1.push_str(line);
        }
    }
    let mut set = Files::new();
    let mut order = None;
    for (name, content) in files {
        if name == "coalmine.yaml" {
            settings.push_str(&content);
            order = Some(set.add_context(name, content));
        } else {
            set.add(name, content);
        }
    }
    Fixture { files: set, settings: Settings::parse(&settings, "").unwrap(), order, marks }
}

fn mark(files: &Files, span: Span, text: String, is_related: bool) -> Mark {
    let source = files.text(span.file);
    let index = LineIndex::new(source);
    let start = index.line_column(source, span.start, ColumnUnit::Scalars);
    let mut end = index.line_column(source, span.end, ColumnUnit::Scalars);
    if end.line != start.line {
        // A place of several lines is marked on its first.
        let rest = &source[span.start as usize..];
        let width = rest.lines().next().unwrap_or("").trim_end().chars().count();
        end.column = start.column + u32::try_from(width).unwrap();
    }
    Mark {
        file: files.name(span.file).to_owned(),
        line: start.line,
        columns: (start.column, end.column.max(start.column + 1)),
        text,
        is_related,
    }
}

impl Fixture {
    fn rollout(&self) -> Rollout {
        let input = Input::read(&self.files, &self.settings);
        rollout::check(&self.files, &self.settings, &input, self.order)
    }
}

/// The findings of one rule in a text, with default settings.
pub(crate) fn run(rule: &Rule, text: &str) -> Vec<Diagnostic> {
    let fixture = parse_fixture(text);
    findings(rule, &fixture)
}

/// What all rules find in a rollout.
pub(crate) fn run_rollout(text: &str) -> Vec<Diagnostic> {
    let fixture = parse_fixture(text);
    fixture.rollout().report.diagnostics
}

fn findings(rule: &Rule, fixture: &Fixture) -> Vec<Diagnostic> {
    let report = match rule.check {
        Check::Transition(_) => fixture.rollout().report,
        _ => lint(&fixture.files, &fixture.settings),
    };
    report.diagnostics.into_iter().filter(|diagnostic| diagnostic.rule == rule.id).collect()
}

/// Runs one rule over a fixture and compares every finding with the carets.
#[track_caller]
pub(crate) fn check(rule: &Rule, text: &str) {
    let fixture = parse_fixture(text);
    let with_related = fixture.marks.iter().any(|mark| mark.is_related);
    let mut actual = Vec::new();
    for diagnostic in findings(rule, &fixture) {
        let message = format!("{}: {}", diagnostic.severity.as_str(), diagnostic.message);
        actual.push(mark(&fixture.files, diagnostic.span, message, false));
        if with_related {
            for related in &diagnostic.related {
                let message = format!("related: {}", related.message);
                actual.push(mark(&fixture.files, related.span, message, true));
            }
        }
    }
    actual.sort();
    actual.dedup();
    let mut expected = fixture.marks.clone();
    expected.sort();
    let same = |a: &Mark, e: &Mark| match e.text.strip_suffix('…') {
        Some(start) => a.text.starts_with(start) && Mark { text: e.text.clone(), ..a.clone() } == *e,
        None => a == e,
    };
    let all_equal = actual.len() == expected.len() && actual.iter().zip(&expected).all(|(a, e)| same(a, e));
    if !all_equal {
        let list = |marks: &[Mark]| {
            let line = |m: &Mark| {
                format!("  {}:{}:{}-{} {}\n", m.file, m.line + 1, m.columns.0, m.columns.1, m.text)
            };
            marks.iter().map(line).collect::<String>()
        };
        panic!(
            "{}: findings differ (line:columns, 0-based columns)\nexpected:\n{}actual:\n{}",
            rule.id,
            list(&expected),
            list(&actual)
        );
    }
}

/// Applies the fixes of one rule up to a safety and compares the text; then the finding must be gone, a
/// second run must change nothing, and no other rule may have a new finding.
#[track_caller]
pub(crate) fn check_fix(rule: &Rule, safety: Safety, before: &str, after: &str) {
    let mut fixture = parse_fixture(before);
    fixture.settings.select = vec![rule.id.to_owned()];
    assert!(!findings(rule, &fixture).is_empty(), "{}: nothing to fix", rule.id);
    let fixed = fix::fix(&fixture.files, &fixture.settings, safety);
    let expected = parse_fixture(after);
    for ((id, file), (_, wanted)) in fixed.files.iter().zip(expected.files.iter()) {
        assert_eq!(file.text(), wanted.text(), "{}: {}", rule.id, fixed.files.name(id));
    }
    assert_eq!(fixed.report.diagnostics, [], "{}: the finding is still there", rule.id);
    let again = fix::fix(&fixed.files, &fixture.settings, safety);
    assert_eq!(again.applied, 0, "{}: the fix is not idempotent", rule.id);
    fixture.settings.select = Vec::new();
    let all = |files: &Files| {
        let mut rules: Vec<_> =
            lint(files, &fixture.settings).diagnostics.into_iter().map(|d| d.rule).collect();
        rules.sort_unstable();
        rules
    };
    let (old, new) = (all(&fixture.files), all(&fixed.files));
    for rule in &new {
        let count = |rules: &[&str]| rules.iter().filter(|other| *other == rule).count();
        assert!(count(&new) <= count(&old), "the fix makes a new `{rule}`");
    }
}

#[test]
fn a_fixture_that_misses_a_finding_fails() {
    let text = "a: 1\na: 2\n";
    let result = std::panic::catch_unwind(|| check(&crate::rules::duplicate_key::RULE, text));
    assert!(result.is_err());
}
