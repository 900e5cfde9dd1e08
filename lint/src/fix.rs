//! Applies fixes as byte splices and keeps only those that prove themselves: the text still parses, the
//! finding is gone and no new one has come.

use rustc_hash::FxHashMap;

use crate::diagnostic::{Diagnostic, Edit, Fix, Safety};
use crate::files::Files;
use crate::linter::lint;
use crate::report::Report;
use crate::settings::Settings;
use crate::span::{FileId, Span};
use crate::yaml::{Limits, NodeRef, parse};

/// Rounds after which fixing stops: a fix can uncover another finding, but not without end.
const ROUNDS: usize = 10;

/// What fixing did.
#[derive(Debug)]
pub struct Fixed {
    /// The files with the fixes applied; ids are those of the input.
    pub files: Files,
    /// Files whose text differs.
    pub changed: Vec<FileId>,
    /// How many fixes were applied.
    pub applied: usize,
    /// Findings of the fixed files.
    pub report: Report,
}

/// Applies every fix up to a safety, until none is left.
#[must_use]
pub fn fix(files: &Files, settings: &Settings, allow: Safety) -> Fixed {
    let mut current = files.clone();
    let mut report = lint(&current, settings);
    let mut applied = 0;
    for _ in 0..ROUNDS {
        let fixes = choose(&current, &report.diagnostics, allow);
        if fixes.is_empty() {
            break;
        }
        let together = attempt(&current, settings, &report, &fixes);
        let (next, next_report, count) = match together {
            Some((next, next_report)) => (next, next_report, fixes.len()),
            None => match one_by_one(&current, settings, &report, &fixes) {
                Some(result) => result,
                None => break,
            },
        };
        applied += count;
        current = next;
        report = next_report;
    }
    Fixed { changed: changed(files, &current), files: current, applied, report }
}

/// Applies the fix of one finding of `report`; `None` when it has none, or one that does not prove itself.
#[must_use]
pub fn fix_one(files: &Files, settings: &Settings, report: &Report, finding: &Diagnostic) -> Option<Fixed> {
    let fix = finding.fix.as_ref()?;
    if fix.edits.is_empty() || fix.edits.iter().any(|edit| files.is_context(edit.span.file)) {
        return None;
    }
    let (next, report) = attempt(files, settings, report, &[fix])?;
    Some(Fixed { changed: changed(files, &next), files: next, applied: 1, report })
}

fn changed(before: &Files, after: &Files) -> Vec<FileId> {
    before.iter().filter(|(id, file)| after.text(*id) != file.text()).map(|(id, _)| id).collect()
}

/// Fixes that are allowed and do not touch each other's bytes, in the order of their findings.
fn choose<'d>(files: &Files, diagnostics: &'d [Diagnostic], allow: Safety) -> Vec<&'d Fix> {
    let mut chosen: Vec<&Fix> = Vec::new();
    for fix in diagnostics.iter().filter_map(|diagnostic| diagnostic.fix.as_ref()) {
        let allowed = fix.safety <= allow
            && !fix.edits.is_empty()
            && fix.edits.iter().all(|edit| !files.is_context(edit.span.file));
        let clashes = chosen
            .iter()
            .flat_map(|other| &other.edits)
            .any(|other| fix.edits.iter().any(|edit| touches(edit, other)));
        if allowed && !clashes {
            chosen.push(fix);
        }
    }
    chosen
}

fn touches(a: &Edit, b: &Edit) -> bool {
    a.span.file == b.span.file && a.span.start <= b.span.end && b.span.start <= a.span.end
}

/// Applies fixes and lints the result; `None` when it is not better in every respect.
fn attempt(files: &Files, settings: &Settings, before: &Report, fixes: &[&Fix]) -> Option<(Files, Report)> {
    let edits: Vec<&Edit> = fixes.iter().flat_map(|fix| &fix.edits).collect();
    let next = splice(files, &edits)?;
    for (id, file) in next.iter().filter(|(id, file)| files.text(*id) != file.text()) {
        let problems =
            |files: &Files| files.get(id).map_or(0, |file| parse(id, file, Limits::default()).1.len());
        if problems(&next) > problems(files) || file.text().is_empty() != files.text(id).is_empty() {
            return None;
        }
    }
    let after = lint(&next, settings);
    let is_new = {
        let counts = |report: &Report| {
            let mut counts: FxHashMap<(&'static str, FileId), usize> = FxHashMap::default();
            for diagnostic in &report.diagnostics {
                *counts.entry((diagnostic.rule, diagnostic.span.file)).or_default() += 1;
            }
            counts
        };
        let old = counts(before);
        counts(&after).into_iter().any(|(key, count)| count > old.get(&key).copied().unwrap_or(0))
    };
    (!is_new && after.diagnostics.len() < before.diagnostics.len()).then_some((next, after))
}

fn one_by_one(
    files: &Files,
    settings: &Settings,
    before: &Report,
    fixes: &[&Fix],
) -> Option<(Files, Report, usize)> {
    // Each accepted fix moves the bytes after it, so the next round starts from a fresh lint.
    fixes.iter().find_map(|fix| {
        let (next, report) = attempt(files, settings, before, &[fix])?;
        Some((next, report, 1))
    })
}

/// Deletes one item of a list with its dash or comma and what stands after it on its line. Comments on
/// lines of their own stay. `None` when the item shares its line with something else, or is the only one.
#[must_use]
pub fn delete_item(files: &Files, list: NodeRef<'_>, item: NodeRef<'_>) -> Option<Edit> {
    let items: Vec<NodeRef<'_>> = list.items().collect();
    let index = items.iter().position(|other| other.id() == item.id()).filter(|_| items.len() > 1)?;
    let span = item.span();
    let text = files.text(span.file);
    let (start, end) = if list.is_flow() {
        match (items.get(index + 1), index.checked_sub(1).and_then(|before| items.get(before))) {
            (Some(next), _) => (span.start, next.span().start),
            (None, Some(before)) => (before.span().end, span.end),
            (None, None) => return None,
        }
    } else {
        let line = text.get(..span.range().start)?.rfind('\n').map_or(0, |newline| newline + 1);
        if text.get(line..span.range().start)?.trim() != "-" {
            return None;
        }
        let end = usize::try_from(last_end(item)).ok()?;
        let rest = text.get(end..)?;
        let tail = rest.find('\n').map_or(rest.len(), |newline| newline + 1);
        let after = rest.get(..tail)?.trim();
        if !after.is_empty() && !after.starts_with('#') {
            return None;
        }
        (u32::try_from(line).ok()?, u32::try_from(end + tail).ok()?)
    };
    Some(Edit { span: Span::new(span.file, start, end), text: String::new() })
}

/// Where the last character of a node stands: a block collection's own end may lie after comments.
fn last_end(node: NodeRef<'_>) -> u32 {
    if node.is_alias() || node.is_flow() {
        return node.span().end;
    }
    let last = match node.written_entries().last() {
        Some((key, value)) if value.is_empty_text() => Some(*key),
        Some((_, value)) => Some(*value),
        None => node.items().last(),
    };
    last.map_or(node.span().end, last_end)
}

/// The files with edits applied; `None` when two edits overlap or one lies outside its file.
#[must_use]
pub fn splice(files: &Files, edits: &[&Edit]) -> Option<Files> {
    let mut by_file: FxHashMap<FileId, Vec<&Edit>> = FxHashMap::default();
    for edit in edits {
        by_file.entry(edit.span.file).or_default().push(edit);
    }
    let mut next = files.clone();
    for (id, mut edits) in by_file {
        edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
        let text = files.get(id)?.text();
        let mut out = String::with_capacity(text.len() + 64);
        let mut position = 0;
        for edit in edits {
            let range = edit.span.range();
            out.push_str(text.get(position..range.start)?);
            out.push_str(&edit.text);
            position = range.end;
        }
        out.push_str(text.get(position..)?);
        next.replace(id, out);
    }
    Some(next)
}
