// The routing graph and the rules' pages in words, as Markdown. What a manifest says stands in code spans: it is nobody's
// Markdown, and an image in it would be asked for. Knows nothing of the editor, so that Node can test it.
import type { Graph, GraphEdge, GraphWay, Range } from "coalmine";

const TLS = { mtls: "mTLS", tls: "TLS, not the mesh's", plaintext: "plaintext", broken: "TLS conflict: no call succeeds" };

/** Text as it is written, whatever it is. */
export function span(text: string): string {
  const line = text.replaceAll(/\s+/g, " ").trim();
  if (line === "") return "";
  const longest = Math.max(0, ...[...line.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = "`".repeat(longest + 1);
  const space = longest > 0 ? " " : "";
  return `${fence}${space}${line}${space}${fence}`;
}

/** The text of one section of a rule's page. */
export function section(markdown: string, heading: string): string {
  const start = markdown.indexOf(`## ${heading}\n`);
  if (start < 0) return "";
  const text = markdown.slice(start + heading.length + 4);
  const end = text.indexOf("\n## ");
  return (end < 0 ? text : text.slice(0, end)).trim();
}

/** One call of the routing graph in words. */
export function sentence(graph: Graph, edge: GraphEdge, way: GraphWay | undefined): string {
  const label = (id: string) => {
    const node = graph.nodes.find((node) => node.id === id);
    if (!node) return span(id);
    const kind = node.kind === "client" ? "" : `${node.kind} `;
    return `${kind}${span(node.name)}${node.missing ? " (not defined)" : ""}`;
  };
  const condition = way ? [span(way.when), way.weight === null ? "" : `weight ${way.weight}`, way.port === null ? "" : `port ${way.port}`] : [span(edge.label)];
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
