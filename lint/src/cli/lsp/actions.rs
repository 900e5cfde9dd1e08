//! Code actions: the fixes of findings, comments that suppress them, and everything safe at once.

use std::collections::HashMap;

use coalmine::{Diagnostic as Finding, Edit as Splice, FileId, Files, Safety, fix, ide};
use serde_json::{Value, json};

use super::convert::*;
use super::features::Converter;
use super::server::Client;
use super::workspace::{Group, Workspace};

pub(super) fn fix_all_kind() -> CodeActionKind {
    CodeActionKind::from("source.fixAll.coalmine".to_owned())
}

/// Whether the client wants actions of a kind: the kind itself, or one that contains it.
fn wants(only: Option<&Vec<CodeActionKind>>, kind: &CodeActionKind) -> bool {
    let kind = String::from(kind.clone());
    only.is_none_or(|only| {
        only.iter().any(|wanted| {
            let wanted = String::from(wanted.clone());
            wanted.is_empty() || kind == wanted || kind.starts_with(&format!("{wanted}."))
        })
    })
}

/// What can be done about the findings that touch a range.
pub(super) fn actions(
    workspace: &mut Workspace<'_>,
    client: Client,
    params: &CodeActionParams,
) -> Vec<CodeAction> {
    let path = path_of(&params.text_document.uri);
    let Some((number, file)) = workspace.place(&path) else { return Vec::new() };
    let versions = versions(workspace);
    let Some(group) = workspace.groups.get_mut(number) else { return Vec::new() };
    let report = group.report.take().unwrap_or_else(|| group.deployment.lint());
    let group = {
        group.report = Some(report);
        &*group
    };
    let only = params.context.only.as_ref();
    let mut convert = Converter::new(group, client);
    let lines = convert.lines(file);
    let (start, end) = (lines.offset(params.range.start), lines.offset(params.range.end));
    let all = group.report.as_ref().map_or(&[][..], |report| report.diagnostics.as_slice());
    let own: Vec<&Finding> = all.iter().filter(|found| found.span.file == file).collect();
    let here: Vec<&Finding> =
        own.iter().copied().filter(|found| found.span.start <= end && start <= found.span.end).collect();
    let mut actions = Vec::new();
    if wants(only, &CodeActionKind::QuickFix) {
        for found in &here {
            let Some(fix) = &found.fix else { continue };
            let Some(edit) = workspace_edit(&mut convert, &versions, &fix.edits) else { continue };
            let (title, is_safe) = (capitalised(&fix.title), fix.safety == Safety::Safe);
            actions.push(CodeAction {
                title: if is_safe { title } else { format!("{title} (unsafe: look twice)") },
                kind: Some(CodeActionKind::QuickFix),
                diagnostics: Some(vec![convert.diagnostic(found)]),
                is_preferred: Some(is_safe),
                edit: Some(edit),
                ..CodeAction::default()
            });
        }
        for found in &here {
            let (files, settings) = (group.deployment.files(), group.deployment.settings());
            let Some(comment) = ide::suppression(files, settings, found) else { continue };
            let Some(edit) = workspace_edit(&mut convert, &versions, &[comment]) else { continue };
            actions.push(CodeAction {
                title: format!("Ignore `{}` here, with a comment", found.rule),
                kind: Some(CodeActionKind::QuickFix),
                diagnostics: Some(vec![convert.diagnostic(found)]),
                is_preferred: Some(false),
                edit: Some(edit),
                ..CodeAction::default()
            });
        }
    }
    let fixable = own.iter().any(|found| found.fix.as_ref().is_some_and(|fix| fix.safety == Safety::Safe));
    if fixable && wants(only, &fix_all_kind()) {
        let mut action = CodeAction {
            title: "Apply every safe fix of coalmine in this file".to_owned(),
            kind: Some(fix_all_kind()),
            ..CodeAction::default()
        };
        if client.resolves_edits {
            action.data = Some(json!({ "fixAll": params.text_document.uri }));
            actions.push(action);
        } else if let Some(edit) = fix_all(group, client, file, &versions) {
            action.edit = Some(edit);
            actions.push(action);
        }
    }
    actions
}

/// Fills in the edit of an action that was offered without.
pub(super) fn resolve(workspace: &mut Workspace<'_>, client: Client, mut action: CodeAction) -> CodeAction {
    let uri = action.data.as_ref().and_then(|data| data.get("fixAll")).and_then(Value::as_str);
    let Some(path) = uri.and_then(|uri| Uri::parse(uri).ok()).map(|uri| path_of(&uri)) else { return action };
    if let Some((number, file)) = workspace.place(&path) {
        let versions = versions(workspace);
        if let Some(group) = workspace.groups.get(number) {
            action.edit = fix_all(group, client, file, &versions);
        }
    }
    action
}

/// Every safe fix of one file, as one edit; `None` when nothing comes of it.
fn fix_all(
    group: &Group,
    client: Client,
    file: FileId,
    versions: &HashMap<Uri, i32>,
) -> Option<WorkspaceEdit> {
    let mut files = Files::new();
    for (id, other) in group.deployment.files().iter() {
        if id == file {
            files.add(other.name(), other.text());
        } else {
            files.add_context(other.name(), other.text());
        }
    }
    let fixed = fix::fix(&files, group.deployment.settings(), Safety::Safe);
    let splice = ide::difference(file, files.text(file), fixed.files.text(file))?;
    workspace_edit(&mut Converter::new(group, client), versions, &[splice])
}

/// The versions of the open texts, which edits are for.
fn versions(workspace: &Workspace<'_>) -> HashMap<Uri, i32> {
    let open = workspace.buffers.iter();
    open.filter_map(|(path, buffer)| Some((uri_of(path)?, buffer.version))).collect()
}

fn workspace_edit(
    convert: &mut Converter<'_>,
    versions: &HashMap<Uri, i32>,
    splices: &[Splice],
) -> Option<WorkspaceEdit> {
    let mut changes: HashMap<Uri, Vec<TextEdit>> = HashMap::new();
    for splice in splices {
        let uri = convert.uri(splice.span.file)?;
        changes.entry(uri).or_default().push(convert.lines(splice.span.file).text_edit(splice));
    }
    if !convert.client().document_changes {
        return Some(WorkspaceEdit { changes: Some(changes), ..WorkspaceEdit::default() });
    }
    let document = |(uri, edits): (Uri, Vec<TextEdit>)| {
        let version = versions.get(&uri).copied();
        let text_document_identifier = TextDocumentIdentifier { uri };
        DocumentChange::TextDocumentEdit(TextDocumentEdit {
            text_document: OptionalVersionedTextDocumentIdentifier { version, text_document_identifier },
            edits: edits.into_iter().map(Edit::TextEdit).collect(),
        })
    };
    let changes = changes.into_iter().map(document).collect();
    Some(WorkspaceEdit { document_changes: Some(changes), ..WorkspaceEdit::default() })
}

fn capitalised(title: &str) -> String {
    let mut chars = title.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
