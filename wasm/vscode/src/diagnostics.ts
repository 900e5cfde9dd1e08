// Reports as the editor's problems.
import * as vscode from "vscode";
import type { Diagnostic, Range } from "coalmine";
import { rule } from "./linter";
import type { Linted, Session } from "./session";

export const SOURCE = "coalmine";

const SEVERITIES = {
  error: vscode.DiagnosticSeverity.Error,
  warning: vscode.DiagnosticSeverity.Warning,
  info: vscode.DiagnosticSeverity.Information,
};

/** The linter counts from 1, the editor from 0; both in UTF-16 code units, for so the linter is asked. */
export function toRange({ start, end }: Range): vscode.Range {
  return new vscode.Range(start.line - 1, start.column - 1, end.line - 1, end.column - 1);
}

function toProblem(found: Diagnostic, group: Linted): vscode.Diagnostic {
  const message = found.help === null ? found.message : `${found.message}\n${found.help}`;
  const problem = new vscode.Diagnostic(toRange(found.range), message, SEVERITIES[found.severity]);
  const page = rule(found.rule)?.url;
  problem.source = SOURCE;
  problem.code = page === undefined ? found.rule : { value: found.rule, target: vscode.Uri.parse(page) };
  problem.relatedInformation = found.related.flatMap(({ file, range, message }) => {
    const uri = group.uris.get(file);
    return uri ? [new vscode.DiagnosticRelatedInformation(new vscode.Location(uri, toRange(range)), message)] : [];
  });
  if (found.rule === "unused-suppression") problem.tags = [vscode.DiagnosticTag.Unnecessary];
  return problem;
}

/** The findings of one file. */
export function findings(group: Linted, name: string): Diagnostic[] {
  return group.deployments.report?.diagnostics.filter(({ file }) => file === name) ?? [];
}

/** Shows what is found, always all of it. */
export class Problems implements vscode.Disposable {
  readonly #shown = vscode.languages.createDiagnosticCollection(SOURCE);

  constructor(private readonly session: Session) {
    session.onDidCheck(() => this.#show());
  }

  dispose() {
    this.#shown.dispose();
  }

  #show() {
    const all = new Map<string, [vscode.Uri, vscode.Diagnostic[]]>();
    const add = (group: Linted, name: string, problem: vscode.Diagnostic) => {
      const uri = group.uris.get(name);
      if (!uri) return;
      const entry = all.get(uri.toString()) ?? [uri, []];
      entry[1].push(problem);
      all.set(uri.toString(), entry);
    };
    for (const group of this.session.check()) {
      for (const found of group.deployments.report?.diagnostics ?? []) add(group, found.file, toProblem(found, group));
      for (const { file, message } of group.deployments.mistakes) {
        const words = `${message}\nuntil this is repaired, the settings from before stay in force`;
        const problem = new vscode.Diagnostic(new vscode.Range(0, 0, 0, Number.MAX_SAFE_INTEGER), words, vscode.DiagnosticSeverity.Error);
        problem.source = SOURCE;
        add(group, file, problem);
      }
    }
    // Replaced at once, so that what is still wrong does not flicker.
    const gone: [vscode.Uri, undefined][] = [];
    this.#shown.forEach((uri) => all.has(uri.toString()) || gone.push([uri, undefined]));
    this.#shown.set([...gone, ...all.values()]);
  }
}
