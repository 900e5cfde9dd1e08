// What a rule is for, where it found something; and where requests go, at the places that say so.
import * as vscode from "vscode";
import type { Graph, Range } from "coalmine";
import { findings, toRange } from "./diagnostics";
import { page } from "./linter";
import type { Linted, Session } from "./session";
import { calls, section } from "./words";

function explanation(id: string): vscode.MarkdownString {
  const { rule, markdown } = page(id);
  const codes = rule.upstream.length > 0 ? ` · ${rule.upstream.join(", ")}` : "";
  const text = `**[${rule.id}](${rule.url})**${codes}\n\n${section(markdown, "Why it matters")}`;
  return new vscode.MarkdownString(text);
}

export class Hovers implements vscode.HoverProvider {
  /** The graphs of the steps by a file's group; gone with the next report. */
  readonly #graphs = new Map<string, Graph[]>();

  constructor(private readonly session: Session) {
    session.onDidCheck(() => this.#graphs.clear());
  }

  provideHover(document: vscode.TextDocument, position: vscode.Position): vscode.Hover | undefined {
    const placed = this.session.place(document.uri);
    if (!placed) return undefined;
    const { group, name } = placed;
    const found = findings(group, name).filter(({ range }) => toRange(range).contains(position));
    const texts: vscode.MarkdownString[] = [];
    const contains = (range: Range) => toRange(range).contains(position);
    // The last state that this place has a say in: what comes of it is what its author wants to know.
    const graph = this.#steps(group, name).findLast((graph) => calls(graph, name, contains).length > 0);
    if (graph) {
      const lines = calls(graph, name, contains).map((line) => `- ${line}`);
      texts.push(new vscode.MarkdownString(`**Routing**\n\n${lines.join("\n")}`));
    }
    // What is wrong stands in the hover of the problem itself.
    texts.push(...[...new Set(found.map(({ rule }) => rule))].map(explanation));
    return texts.length > 0 ? new vscode.Hover(texts) : undefined;
  }

  #steps(group: Linted, name: string): Graph[] {
    const key = `${group.key} ${name}`;
    const known = this.#graphs.get(key);
    if (known) return known;
    const { deployments } = group;
    const steps: (string | undefined)[] = deployments.steps(name);
    const graphs = (steps.length > 0 ? steps : [undefined]).map((step) => deployments.graph(name, step));
    this.#graphs.set(key, graphs);
    return graphs;
  }
}
