// The routing graph: the picture that the linter draws, and the same as a list for those who cannot see or point at it.
import type { Graph, GraphEdge, GraphNode, Range } from "coalmine";
import { Picture, placesOf } from "../shared/picture";
import { button, byId, code, element } from "./dom";

export type Jump = (file: string, range: Range) => void;

const TLS = { mtls: "mTLS", tls: "TLS, not the mesh's", plaintext: "plaintext", broken: "TLS conflict: no call succeeds" };

export class GraphPane {
  readonly #pane = byId("graph");
  readonly #toggle = byId("as-list");
  readonly #picture: Picture;
  #graph: Graph | undefined;
  #text = "";
  #taken: Set<string> = new Set();
  #failed: Set<string> = new Set();
  #isList = false;

  constructor(private readonly jump: Jump) {
    this.#picture = new Picture(this.#pane, (id) => this.#open(id));
    byId("zoom-in").addEventListener("click", () => this.#picture.step(1));
    byId("zoom-out").addEventListener("click", () => this.#picture.step(-1));
    byId("zoom-fit").addEventListener("click", () => this.#picture.fit());
    this.#toggle.addEventListener("click", () => {
      this.#isList = !this.#isList;
      this.#toggle.setAttribute("aria-pressed", String(this.#isList));
      this.#draw();
    });
    const themes = new MutationObserver(() => this.#draw());
    themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  show(graph: Graph, picture: string, taken: string[], failed: string[]) {
    const isSame = picture === this.#text && this.#graph !== undefined;
    // Places move without a change of the picture: they are looked up when somebody asks.
    this.#graph = graph;
    if (isSame) return;
    this.#text = picture;
    this.#taken = new Set(taken);
    this.#failed = new Set(failed);
    this.#draw();
  }

  fail(message: string) {
    this.#graph = undefined;
    this.#text = "";
    this.#picture.hide();
    this.#able(false);
    this.#pane.replaceChildren(element("p", { class: "empty" }, message));
  }

  #able(isDrawn: boolean) {
    for (const id of ["zoom-in", "zoom-out", "zoom-fit"]) byId<HTMLButtonElement>(id).disabled = !isDrawn;
  }

  #draw() {
    if (!this.#graph) return;
    const isDrawn = this.#graph.nodes.length > 0;
    this.#able(isDrawn && !this.#isList);
    if (!isDrawn || this.#isList) this.#picture.hide();
    if (!isDrawn) {
      this.#pane.replaceChildren(element("p", { class: "empty" }, "There is nothing to draw in this state: the picture begins with a Gateway, a route, or a Service with pods."));
      return;
    }
    if (this.#isList) {
      this.#pane.replaceChildren(this.#list(this.#graph));
      return;
    }
    const { theme } = document.documentElement.dataset;
    this.#picture.show(this.#text, new Set(placesOf(this.#graph).keys()), theme === "dark" ? true : theme === "light" ? false : undefined);
    if (this.#taken.size + this.#failed.size > 0) this.#picture.svg?.querySelector(".on")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  #open(id: string) {
    const place = this.#graph && placesOf(this.#graph).get(id);
    if (place) this.jump(place.file, place.range);
  }

  #list(graph: Graph): HTMLElement {
    const names = new Map(graph.nodes.map((node) => [node.id, node]));
    const places = placesOf(graph);
    const linked = (label: string, id: string) => (places.has(id) ? button(label, () => this.#open(id), { class: "link" }) : element("span", {}, label));
    const item = (edge: GraphEdge) => {
      const from = names.get(edge.from);
      const to = names.get(edge.to);
      const tls = edge.tls === null ? undefined : TLS[edge.tls];
      const facts = [edge.label, edge.kind === "mirror" && "copies", tls, edge.crosses && "crosses versions"].filter(Boolean).join(", ");
      return element(
        "li",
        { class: this.#taken.has(edge.id) ? "taken" : this.#failed.has(edge.id) ? "taken fails" : undefined },
        linked(from ? title(from) : edge.from, edge.from),
        edge.kind === "selects" ? " selects " : from?.kind === "client" ? " call " : " calls ",
        linked(to ? title(to) : edge.to, edge.to),
        facts !== "" && element("span", { class: "muted" }, ": ", ...code(facts)),
        this.#taken.has(edge.id) && element("span", { class: "badge" }, "taken"),
        this.#failed.has(edge.id) && element("span", { class: "badge error" }, "✕ fails"),
      );
    };
    const calls = graph.edges.filter(({ kind }) => kind !== "selects");
    const selects = graph.edges.filter(({ kind }) => kind === "selects");
    return element(
      "div",
      { class: "edges" },
      element("h2", {}, "Calls"),
      calls.length > 0 ? element("ul", {}, ...calls.map(item)) : element("p", {}, "No route leads anywhere."),
      element("h2", {}, "What stands behind the names"),
      element("ul", {}, ...selects.map(item)),
    );
  }
}

function title(node: GraphNode): string {
  const host = node.id.split("/")[1]?.split(".")[0] ?? "";
  const kind = { client: "", gateway: "gateway ", host: "", subset: `${host} subset `, workload: `${node.resource?.kind ?? "workload"} ` }[node.kind];
  const missing = node.missing ? " (not defined)" : "";
  return `${kind}${node.name}${missing}`;
}
