// The routing graph: the picture that the linter draws, zoomed and clickable, and the same as a list for those who
// cannot see or point at it.
import type { Graph, GraphEdge, GraphNode, Range } from "coalmine";
import { button, byId, code, element } from "./dom";

export type Jump = (file: string, range: Range) => void;

const TLS = { mtls: "mTLS", tls: "TLS, not the mesh's", plaintext: "plaintext", broken: "TLS conflict: no call succeeds" };
const STEPS = [0.25, 0.33, 0.5, 0.67, 0.8, 1, 1.25, 1.5, 2, 3];

export class GraphPane {
  readonly #pane = byId("graph");
  readonly #toggle = byId("as-list");
  #graph: Graph | undefined;
  #svg: SVGSVGElement | undefined;
  #text = "";
  #taken: Set<string> = new Set();
  /** `undefined` fits the width. */
  #zoom: number | undefined;
  #isList = false;

  constructor(private readonly jump: Jump) {
    byId("zoom-in").addEventListener("click", () => this.#step(1));
    byId("zoom-out").addEventListener("click", () => this.#step(-1));
    byId("zoom-fit").addEventListener("click", () => {
      this.#zoom = undefined;
      this.#resize();
    });
    this.#toggle.addEventListener("click", () => {
      this.#isList = !this.#isList;
      this.#toggle.setAttribute("aria-pressed", String(this.#isList));
      this.#draw();
    });
    this.#pane.addEventListener("click", (event) => this.#click(event));
    this.#pane.addEventListener("wheel", (event) => {
      if (!event.ctrlKey || this.#isList) return;
      event.preventDefault();
      this.#step(event.deltaY < 0 ? 1 : -1);
    }, { passive: false });
    new ResizeObserver(() => this.#zoom === undefined && this.#resize()).observe(this.#pane);
    const themes = new MutationObserver(() => this.#draw());
    themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }

  show(graph: Graph, picture: string, taken: string[]) {
    if (picture === this.#text && this.#graph) {
      this.#graph = graph;
      return;
    }
    this.#graph = graph;
    this.#text = picture;
    this.#taken = new Set(taken);
    this.#draw();
  }

  fail(message: string) {
    this.#graph = undefined;
    this.#text = "";
    this.#pane.replaceChildren(element("p", { class: "empty" }, message));
  }

  get #isDrawn() {
    return this.#graph !== undefined && this.#graph.nodes.length > 0;
  }

  #draw() {
    if (!this.#graph) return;
    for (const id of ["zoom-in", "zoom-out", "zoom-fit"]) byId<HTMLButtonElement>(id).disabled = this.#isList || !this.#isDrawn;
    if (!this.#isDrawn) {
      this.#pane.replaceChildren(element("p", { class: "empty" }, "Nothing is deployed in this state: the picture begins with a Service, a Deployment or a Gateway."));
      return;
    }
    if (this.#isList) {
      this.#pane.replaceChildren(this.#list(this.#graph));
      return;
    }
    const { scrollLeft, scrollTop } = this.#pane;
    // Parsed as a document of its own and not as HTML; the page's policy would run no script of it either.
    const parsed = new DOMParser().parseFromString(this.#text.trim(), "image/svg+xml").documentElement;
    if (!(parsed instanceof SVGSVGElement)) return;
    const { theme } = document.documentElement.dataset;
    const forced = { light: "not all", dark: "all" }[theme ?? ""];
    for (const style of parsed.querySelectorAll("style")) {
      if (forced !== undefined) style.textContent = (style.textContent ?? "").replaceAll(/\(prefers-color-scheme:\s*dark\)/g, forced);
    }
    this.#svg = document.adoptNode(parsed);
    const places = this.#places();
    for (const part of this.#svg.querySelectorAll<SVGElement>("[data-id]")) {
      if (places.has(part.dataset.id ?? "")) part.classList.add("place");
    }
    this.#pane.replaceChildren(this.#svg);
    this.#resize();
    this.#pane.scrollTo(scrollLeft, scrollTop);
    if (this.#taken.size > 0) this.#svg.querySelector(".on")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  #natural() {
    return { width: this.#svg?.viewBox.baseVal.width ?? 0, height: this.#svg?.viewBox.baseVal.height ?? 0 };
  }

  #scale() {
    if (this.#zoom !== undefined) return this.#zoom;
    // Not below what can be read: rather scroll.
    return Math.min(1.1, Math.max(0.45, (this.#pane.clientWidth - 16) / this.#natural().width));
  }

  #resize() {
    if (!this.#svg) return;
    const { width, height } = this.#natural();
    this.#svg.setAttribute("width", String(Math.round(width * this.#scale())));
    this.#svg.setAttribute("height", String(Math.round(height * this.#scale())));
  }

  #step(by: number) {
    const now = this.#scale();
    const next = by > 0 ? STEPS.find((step) => step > now + 0.01) : STEPS.findLast((step) => step < now - 0.01);
    if (next === undefined) return;
    const { scrollLeft, scrollTop, clientWidth, clientHeight } = this.#pane;
    this.#zoom = next;
    this.#resize();
    const ratio = next / now;
    this.#pane.scrollTo((scrollLeft + clientWidth / 2) * ratio - clientWidth / 2, (scrollTop + clientHeight / 2) * ratio - clientHeight / 2);
  }

  #places(): Map<string, { file: string; range: Range }> {
    const places = new Map<string, { file: string; range: Range }>();
    for (const { id, file, range } of [...(this.#graph?.nodes ?? []), ...(this.#graph?.edges ?? [])]) {
      if (file !== null && range !== null) places.set(id, { file, range });
    }
    for (const { id, ways } of this.#graph?.edges ?? []) {
      const way = ways.find(({ file, range }) => file !== null && range !== null);
      if (way?.file && way.range) places.set(id, { file: way.file, range: way.range });
    }
    return places;
  }

  #click(event: MouseEvent) {
    if (!(event.target instanceof Element)) return;
    const places = this.#places();
    for (let part = event.target.closest("[data-id]"); part; part = part.parentElement?.closest("[data-id]") ?? null) {
      const place = places.get(part.getAttribute("data-id") ?? "");
      if (place) return this.jump(place.file, place.range);
    }
  }

  #list(graph: Graph): HTMLElement {
    const names = new Map(graph.nodes.map((node) => [node.id, node]));
    const places = this.#places();
    const linked = (label: string, id: string) => {
      const place = places.get(id);
      return place ? button(label, () => this.jump(place.file, place.range), { class: "link" }) : element("span", {}, label);
    };
    const item = (edge: GraphEdge) => {
      const from = names.get(edge.from);
      const to = names.get(edge.to);
      const tls = edge.tls === null ? undefined : TLS[edge.tls];
      const facts = [edge.label, edge.kind === "mirror" && "copies", tls, edge.crosses && "crosses versions"].filter(Boolean).join(", ");
      return element(
        "li",
        { class: this.#taken.has(edge.id) ? "taken" : undefined },
        linked(from ? title(from) : edge.from, edge.from),
        edge.kind === "selects" ? " selects " : from?.kind === "client" ? " call " : " calls ",
        linked(to ? title(to) : edge.to, edge.to),
        facts !== "" && element("span", { class: "muted" }, ": ", ...code(facts)),
        this.#taken.has(edge.id) && element("span", { class: "badge" }, "taken"),
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
