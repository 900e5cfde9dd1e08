// Quick fixes, comments that suppress, and everything safe at once.
import * as vscode from "vscode";
import type { Diagnostic } from "coalmine";
import { SOURCE, findings, toRange } from "./diagnostics";
import { type Splice, difference, placeAt } from "./positions";
import type { Linted, Session } from "./session";
import { applied, isSuppressible, suppressions } from "./suppression";

const FIX_ALL = vscode.CodeActionKind.SourceFixAll.append(SOURCE);

const capitalised = (title: string) => title.charAt(0).toUpperCase() + title.slice(1);

function splice(edit: vscode.WorkspaceEdit, group: Linted, name: string, { start, end, text }: Splice) {
  const uri = group.uris.get(name);
  if (!uri) return;
  const whole = group.deployments.text(name);
  const [from, to] = [placeAt(whole, start), placeAt(whole, end)];
  edit.replace(uri, new vscode.Range(from.line, from.character, to.line, to.character), text);
}

/** The safe fixes of one file that touch nothing else, but for those that get in each other's way. */
function safeFixes(found: Diagnostic[], name: string): Splice[] {
  const taken: Splice[] = [];
  for (const { fix } of found) {
    if (fix?.safety !== "safe" || fix.edits.some(({ file }) => file !== name)) continue;
    const isFree = fix.edits.every(({ start, end }) => taken.every((other) => end < other.start || other.end < start));
    if (isFree) taken.push(...fix.edits);
  }
  return taken;
}

class Ignore extends vscode.CodeAction {
  constructor(readonly found: Diagnostic, readonly uri: vscode.Uri) {
    super(`Ignore \`${found.rule}\` here, with a comment`, vscode.CodeActionKind.QuickFix);
  }
}

export class Actions implements vscode.CodeActionProvider {
  static readonly metadata = { providedCodeActionKinds: [vscode.CodeActionKind.QuickFix, FIX_ALL] };

  constructor(private readonly session: Session) {}

  provideCodeActions(document: vscode.TextDocument, range: vscode.Range, context: vscode.CodeActionContext): vscode.CodeAction[] {
    const placed = this.session.place(document.uri);
    if (!placed) return [];
    const { group, name } = placed;
    const all = findings(group, name);
    const here = all.filter((found) => toRange(found.range).intersection(range) !== undefined);
    const shown = (found: Diagnostic) => {
      const isIt = ({ source, range, message }: vscode.Diagnostic) => source === SOURCE && range.isEqual(toRange(found.range)) && message.startsWith(found.message);
      return context.diagnostics.filter(isIt);
    };
    const actions: vscode.CodeAction[] = [];
    const wants = (kind: vscode.CodeActionKind) => context.only === undefined || context.only.contains(kind);
    if (wants(vscode.CodeActionKind.QuickFix)) {
      for (const found of here) {
        if (!found.fix) continue;
        const { title, safety, edits } = found.fix;
        const isSafe = safety === "safe";
        const action = new vscode.CodeAction(capitalised(title) + (isSafe ? "" : " (unsafe: look twice)"), vscode.CodeActionKind.QuickFix);
        action.isPreferred = isSafe;
        action.diagnostics = shown(found);
        action.edit = new vscode.WorkspaceEdit();
        for (const edit of edits) splice(action.edit, group, edit.file, edit);
        actions.push(action);
      }
      for (const found of here.filter(isSuppressible)) {
        const action = new Ignore(found, document.uri);
        action.diagnostics = shown(found);
        actions.push(action);
      }
    }
    const safe = wants(FIX_ALL) ? safeFixes(all, name) : [];
    if (safe.length > 0) {
      const action = new vscode.CodeAction("Apply every safe fix of coalmine in this file", FIX_ALL);
      action.edit = new vscode.WorkspaceEdit();
      for (const edit of safe) splice(action.edit, group, name, edit);
      actions.push(action);
    }
    return actions;
  }

  /** A comment is tried before it is written: which place hides the finding and nothing else is for the linter to say. */
  resolveCodeAction(action: vscode.CodeAction): vscode.CodeAction {
    if (!(action instanceof Ignore)) return action;
    const placed = this.session.place(action.uri);
    if (!placed) return action;
    const { group, name } = placed;
    const { found } = action;
    const text = group.deployments.text(name);
    const before = group.deployments.report?.diagnostics.length ?? 0;
    const candidates = suppressions(text, found);
    const hides = (candidate: Splice) => {
      const { diagnostics } = group.deployments.tryText(name, applied(text, candidate));
      return diagnostics.length === before - 1;
    };
    const chosen = candidates.find(hides);
    if (!chosen) {
      void vscode.window.showInformationMessage(`No comment in ${name} hides this finding of ${found.rule} alone. Severities are set in coalmine.yaml.`);
      return action;
    }
    action.edit = new vscode.WorkspaceEdit();
    splice(action.edit, group, name, chosen);
    return action;
  }
}

/** Fixes everything that is safe, in every manifest of the workspace. */
export async function fixAll(session: Session) {
  const edit = new vscode.WorkspaceEdit();
  let count = 0;
  for (const group of session.check()) {
    const { applied, files } = group.deployments.fix();
    count += applied;
    for (const { name, text } of files) {
      const change = difference(group.deployments.text(name), text);
      if (change) splice(edit, group, name, change);
    }
  }
  if (count === 0) {
    void vscode.window.showInformationMessage("Coalmine has no safe fix to apply.");
    return;
  }
  const isDone = await vscode.workspace.applyEdit(edit);
  const fixes = count === 1 ? "1 fix" : `${count} fixes`;
  if (isDone) void vscode.window.showInformationMessage(`Coalmine applied ${fixes}.`);
  else void vscode.window.showWarningMessage("The editor did not take the fixes: a file has changed or is read-only.");
}
