// What a rule is for, where it found something; and where requests go, at the places that say so.
import * as vscode from "vscode";
import type { Graph, GraphEdge, GraphWay, Range } from "coalmine";
import { findings, toRange } from "./diagnostics";
import { page } from "./linter";
import type { Linted, Session } from "./session";

const TLS = { mtls: "mTLS", tls: "TLS, not the mesh's", plaintext: "plaintext", broken: "TLS conflict: no call succeeds" };

/** The text of one section of a rule's page. */
export function section(markdown: string, heading: string): string {
  const start = markdown.indexOf(`## ${heading}\n`);
  if (start < 0) return "";
  const text = markdown.slice(start + heading.length + 4);
  const end = text.indexOf("\n## ");
  return (end < 0 ? text : text.slice(0, end)).trim();
}

function explanation(id: string): vscode.MarkdownString {
  const { rule, markdown } = page(id);
  const codes = rule.upstream.length > 0 ? ` · ${rule.upstream.join(", ")}` : "";
  const text = `**[${rule.id}](${rule.url})**${codes}\n\n${section(markdown, "Why it matters")}`;
  return new vscode.MarkdownString(text);
}

/** One call of the routing graph in words. */
export function sentence(graph: Graph, edge: GraphEdge, way: GraphWay | undefined): string {
  const label = (id: string) => {
    const node = graph.nodes.find((node) => node.id === id);
    if (!node) return `\`${id}\``;
    const kind = node.kind === "client" ? "" : `${node.kind} `;
    return `${kind}\`${node.name}\`${node.missing ? " (not defined)" : ""}`;
  };
  const condition = way ? [way.when, way.weight === null ? "" : `weight ${way.weight}`, way.port === null ? "" : `port ${way.port}`] : [edge.label];
  const words = [...condition, edge.tls === null ? "" : TLS[edge.tls]].filter((part) => part !== "");
  return `${label(edge.from)} → ${label(edge.to)}${words.length > 0 ? `: ${words.join(", ")}` : ""}`;
}

/** What the routing graph says about a place. */
export function calls(graph: Graph, file: string, contains: (range: Range) => boolean): string[] {
  const here = (at: { file: string | null; range: Range | null }) => at.file === file && at.range !== null && contains(at.range);
  const found: string[] = [];
  for (const edge of graph.edges) {
    for (const way of edge.ways) if (here(way)) found.push(sentence(graph, edge, way));
  }
  for (const node of graph.nodes.filter(here)) {
    const lines = graph.edges.filter(({ from, to }) => from === node.id || to === node.id).map((edge) => sentence(graph, edge, undefined));
    found.push(...lines);
  }
  return [...new Set(found)];
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
