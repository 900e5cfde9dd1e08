//! The comment that hides a finding, written where it does.

use crate::diagnostic::{Diagnostic, Edit};
use crate::files::Files;
use crate::fix::splice;
use crate::linter::Input;
use crate::rule::Check;
use crate::rules;
use crate::settings::Settings;
use crate::span::Span;
use crate::suppress::Suppressions;

/// What the author is to replace by the reason.
const REASON: &str = "TODO say why";

/// Inserts a comment that hides a finding: above its line with the same indentation, at the end of the line where
/// that would hide more than the finding, or above the document where neither is possible. `None` where no
/// comment can, as in JSON.
#[must_use]
pub fn suppression(files: &Files, settings: &Settings, found: &Diagnostic) -> Option<Edit> {
    let file = found.span.file;
    // What is said about comments cannot be silenced by one.
    let is_about_comments = rules::find(found.rule).is_none_or(|rule| matches!(rule.check, Check::Builtin));
    if is_about_comments || files.name(file).ends_with(".json") {
        return None;
    }
    let text = files.text(file);
    let start = found.span.start as usize;
    let line = text.get(..start)?.rfind('\n').map_or(0, |newline| newline + 1);
    let rest = text.get(line..)?;
    let end = line + rest.find('\n').unwrap_or(rest.len());
    let written = text.get(line..end)?;
    let newline = if written.ends_with('\r') { "\r\n" } else { "\n" };
    let end = line + written.trim_end().len();
    let indent = &written.get(..written.len() - written.trim_start().len())?;
    let comment = format!("# coalmine: ignore[{}] {REASON}", found.rule);
    let above = (line, format!("{indent}{comment}{newline}"));
    let beside = (end, format!(" {comment}"));
    // Above the first line of a document a comment covers all of it.
    let input = read(files, settings, found)?;
    let document = input.documents.iter().find(|document| document.span().contains(found.span));
    let first = document.and_then(|document| Some(document.root()?.span().start as usize));
    let top = document.map(|document| (document.span().start as usize, format!("{comment}{newline}")));
    let is_first = first.is_some_and(|first| (line..=end).contains(&first));
    let candidates = if is_first { [Some(beside), None, top] } else { [Some(above), Some(beside), top] };
    candidates.into_iter().flatten().find_map(|(at, text)| {
        let at = u32::try_from(at).ok()?;
        let edit = Edit { span: Span::new(file, at, at), text };
        hides(files, settings, found, &edit).then_some(edit)
    })
}

/// The finding's file alone, read.
fn read(files: &Files, settings: &Settings, found: &Diagnostic) -> Option<Input> {
    let mut input = Input::default();
    let file = files.get(found.span.file)?;
    let (documents, problems) = crate::yaml::parse(found.span.file, file, crate::yaml::Limits::default());
    input.resources = crate::resource::lower(&documents, |_| settings.namespace_for(file.name()));
    (input.documents, input.problems) = (documents, problems);
    Some(input)
}

/// Whether the text with a comment in it is still read as before, and the finding is hidden.
fn hides(files: &Files, settings: &Settings, found: &Diagnostic, edit: &Edit) -> bool {
    let check = || {
        let after = splice(files, &[edit])?;
        let (before, input) = (read(files, settings, found)?, read(&after, settings, found)?);
        let nodes = |input: &Input| input.documents.iter().map(|document| document.len()).collect::<Vec<_>>();
        if nodes(&before) != nodes(&input) || before.problems.len() != input.problems.len() {
            return None;
        }
        let mut moved = found.clone();
        if edit.span.start <= moved.span.start {
            let by = u32::try_from(edit.text.len()).ok()?;
            moved.span = Span::new(moved.span.file, moved.span.start + by, moved.span.end + by);
        }
        let suppressions = Suppressions::new(&after, &input, settings.assume);
        let (_, hidden) = suppressions.apply(vec![moved], |_| false);
        Some(hidden == 1)
    };
    check().unwrap_or(false)
}
