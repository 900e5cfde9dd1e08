//! `# coalmine: ignore[rule] reason`, and the annotations of the peers.
//!
//! A comment covers the findings that start on its own line, or on the first line of content below it.
//! Above the content of a document it covers the whole document.

use rustc_hash::FxHashMap;

use crate::diagnostic::Diagnostic;
use crate::files::Files;
use crate::line_index::LineIndex;
use crate::linter::Input;
use crate::mesh::Assume;
use crate::resource::{Resource, Spec};
use crate::rule::{Check, did_you_mean};
use crate::rules::{self, RULES, invalid_suppression, unused_suppression};
use crate::span::{FileId, Span};
use crate::yaml::Document;

/// What a comment covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// Findings that start on this 0-based line.
    Line(u32),
    /// Findings anywhere in these bytes.
    Range(u32, u32),
}

/// One rule id in one comment.
#[derive(Debug)]
struct Suppression {
    rule: &'static str,
    /// The id in the comment.
    span: Span,
    scope: Scope,
}

/// All suppressions of an input.
pub(crate) struct Suppressions<'a> {
    input: &'a Input,
    assume: Assume,
    comments: FxHashMap<FileId, Vec<Suppression>>,
    /// Of the files with comments.
    lines: FxHashMap<FileId, LineIndex>,
    annotated: Vec<(&'a Resource, Vec<&'a str>)>,
    mistakes: Vec<Diagnostic>,
}

impl<'a> Suppressions<'a> {
    /// Collects them from comments and annotations.
    pub fn new(files: &'a Files, input: &'a Input, assume: Assume) -> Self {
        let mut all = Self {
            input,
            assume,
            comments: FxHashMap::default(),
            lines: FxHashMap::default(),
            annotated: Vec::new(),
            mistakes: Vec::new(),
        };
        let mut indexes: FxHashMap<FileId, LineIndex> = FxHashMap::default();
        for (position, document) in input.documents.iter().enumerate() {
            for comment in document.comments() {
                let text = files.text(document.file()).get(comment.range()).unwrap_or("");
                let Some(body) = text.trim_start_matches('#').trim_start().strip_prefix("coalmine:") else {
                    continue;
                };
                let index = indexes
                    .entry(document.file())
                    .or_insert_with(|| LineIndex::new(files.text(document.file())));
                let next = input.documents.get(position + 1).filter(|next| next.file() == document.file());
                let scope = scope(document, next, *comment, index);
                all.comment(*comment, text, body, scope);
            }
        }
        all.lines = indexes;
        for resource in &input.resources {
            let lists = ["galley.istio.io/analyze-suppress", "kiali.io/ignore-validations"]
                .into_iter()
                .filter_map(|key| resource.annotations.text(key));
            let codes: Vec<&str> = lists.flat_map(|list| list.split(',')).map(str::trim).collect();
            if !codes.is_empty() {
                all.annotated.push((resource, codes));
            }
        }
        all
    }

    fn mistake(&mut self, span: Span, message: String, help: &str) {
        let mut diagnostic = invalid_suppression::RULE.diagnostic(None, span, message);
        diagnostic.help(help);
        self.mistakes.push(diagnostic);
    }

    fn comment(&mut self, span: Span, text: &str, body: &str, scope: Scope) {
        const FORM: &str = "write `# coalmine: ignore[rule-id] why this is right here`";
        let list = body.trim_start().strip_prefix("ignore[").and_then(|rest| rest.split_once(']'));
        let Some((ids, reason)) = list else {
            self.mistake(span, "this comment suppresses nothing: it has no `ignore[…]`".to_owned(), FORM);
            return;
        };
        if reason.trim().is_empty() {
            self.mistake(span, "a suppression needs a reason after the `]`".to_owned(), FORM);
            return;
        }
        let list_start = text.find('[').map_or(0, |i| i + 1);
        let mut offset = span.start as usize + list_start;
        let mut found = Vec::new();
        for entry in ids.split(',') {
            let id = entry.trim();
            let start = offset + entry.len() - entry.trim_start().len();
            offset += entry.len() + 1;
            let place = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            let id_span = Span::new(span.file, place(start), place(start + id.len()));
            match RULES.iter().find(|rule| rule.id == id) {
                Some(rule) => found.push((rule.id, id_span)),
                None => {
                    let near = did_you_mean(id, RULES.iter().map(|rule| rule.id));
                    let help = near.map_or_else(
                        || "`coalmine rules` lists all of them".to_owned(),
                        |near| format!("did you mean `{near}`?"),
                    );
                    self.mistake(id_span, format!("there is no rule `{id}`"), &help);
                }
            }
        }
        let list = self.comments.entry(span.file).or_default();
        for (rule, id_span) in found {
            list.push(Suppression { rule, span: id_span, scope });
        }
    }

    /// Whether a finding is suppressed.
    pub fn hides(&self, diagnostic: &Diagnostic) -> bool {
        self.annotation_hides(diagnostic) || self.covering(diagnostic).next().is_some()
    }

    /// The places of the comments of its file that cover a finding.
    fn covering(&self, diagnostic: &Diagnostic) -> impl Iterator<Item = usize> {
        let Span { file, start, .. } = diagnostic.span;
        let line = self.lines.get(&file).map(|index| index.line(start));
        let covers = move |suppression: &Suppression| match suppression.scope {
            Scope::Line(own) => Some(own) == line,
            Scope::Range(from, end) => from <= start && start < end.max(from + 1),
        };
        let list = self.comments.get(&file).map_or(&[][..], Vec::as_slice);
        let rule = diagnostic.rule;
        let own = list.iter().enumerate().filter(move |(_, own)| own.rule == rule && covers(own));
        own.map(|(place, _)| place)
    }

    /// Removes the findings that are suppressed and adds the suppressions that are wrong or hide nothing.
    /// A suppression of a rule that does not run is left alone.
    pub fn apply(self, found: Vec<Diagnostic>, runs: impl Fn(&str) -> bool) -> (Vec<Diagnostic>, usize) {
        let mut used: FxHashMap<FileId, Vec<bool>> =
            self.comments.iter().map(|(file, list)| (*file, vec![false; list.len()])).collect();
        let mut suppressed = 0;
        let mut kept = Vec::new();
        for diagnostic in found {
            let mut hidden = self.annotation_hides(&diagnostic);
            for place in self.covering(&diagnostic) {
                if let Some(mark) = used.get_mut(&diagnostic.span.file).and_then(|list| list.get_mut(place)) {
                    *mark = true;
                }
                hidden = true;
            }
            if hidden {
                suppressed += 1;
            } else {
                kept.push(diagnostic);
            }
        }
        for (file, list) in &self.comments {
            let marks = used.get(file).map_or(&[][..], Vec::as_slice);
            for (suppression, mark) in list.iter().zip(marks) {
                let judged = runs(suppression.rule) && self.could_be_found(suppression);
                if !mark && judged && runs(unused_suppression::RULE.id) {
                    let message = format!("`{}` finds nothing here", suppression.rule);
                    let mut unused = unused_suppression::RULE.diagnostic(None, suppression.span, message);
                    unused.help("remove it, so that it cannot hide a later mistake");
                    kept.push(unused);
                }
            }
        }
        if runs(invalid_suppression::RULE.id) {
            kept.extend(self.mistakes);
        }
        (kept, suppressed)
    }

    /// Whether the rule has seen enough to find something here: what objects mean together cannot be judged
    /// from a fragment, where the namespace is not known.
    fn could_be_found(&self, suppression: &Suppression) -> bool {
        let about_state = rules::find(suppression.rule)
            .is_some_and(|r| matches!(r.check, Check::State(_) | Check::Transition(_)));
        if !about_state || self.assume == Assume::Closed {
            return true;
        }
        let in_file = || self.input.resources.iter().filter(|r| r.span.file == suppression.span.file);
        let around = in_file().find(|resource| resource.span.contains(suppression.span));
        let below = || in_file().find(|resource| resource.span.start >= suppression.span.end);
        let Some(resource) = around.or_else(below) else { return true };
        self.input.resources.iter().any(|other| {
            matches!(other.spec, Spec::Service(_) | Spec::ServiceEntry(_))
                && other.namespace == resource.namespace
        })
    }

    /// The peers' annotations name their own codes, which our rules declare as `upstream`.
    fn annotation_hides(&self, diagnostic: &Diagnostic) -> bool {
        let Some(rule) = RULES.iter().find(|rule| rule.id == diagnostic.rule) else { return false };
        self.annotated.iter().any(|(resource, codes)| {
            resource.span.contains(diagnostic.span)
                && codes.iter().any(|code| *code == "*" || rule.upstream.contains(code))
        })
    }
}

/// What a comment of a document covers. `next` is the document after it in the same file.
fn scope(document: &Document, next: Option<&Document>, comment: Span, index: &LineIndex) -> Scope {
    let Some(root) = document.root() else {
        // Only comments before the first `---` stand above the next document; a broken one has its own.
        let text = document.source().get(document.span().range()).unwrap_or("");
        let is_header = text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#'));
        let whole = next.filter(|_| is_header).map_or(document.span(), Document::span);
        return Scope::Range(whole.start, whole.end);
    };
    if comment.start < root.span().start {
        return Scope::Range(document.span().start, document.span().end);
    }
    let line = index.line(comment.start);
    let source = document.source();
    let line_text = |line: u32| {
        let start = index.line_start(line) as usize;
        source.get(start..).and_then(|rest| rest.split('\n').next()).unwrap_or("").trim()
    };
    let own_line = line_text(line).starts_with('#');
    if !own_line {
        return Scope::Line(line);
    }
    let below = (line + 1..index.lines()).find(|line| {
        let text = line_text(*line);
        !text.is_empty() && !text.starts_with('#')
    });
    Scope::Line(below.unwrap_or(line))
}

#[cfg(test)]
mod tests;
