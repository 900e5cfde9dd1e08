// The routing graph as a picture in a pane: parsed, zoomed, clicked and walked through with the keyboard. For the
// playground and the extension; what an id leads to is theirs.
import type { Graph, Range } from "coalmine/web";

const STEPS = [0.25, 0.33, 0.5, 0.67, 0.8, 1, 1.25, 1.5, 2, 3];
/** Below it the text cannot be read: rather scroll, unless all of it is asked for. */
const READABLE = 0.45;
const LARGEST = 1.1;

/** Where the parts of a graph are written. */
export function placesOf(graph: Graph): Map<string, { file: string; range: Range }> {
  const places = new Map<string, { file: string; range: Range }>();
  for (const { id, file, range } of [...graph.nodes, ...graph.edges]) if (file !== null && range !== null) places.set(id, { file, range });
  for (const { id, ways } of graph.edges) {
    const way = ways.find(({ file, range }) => file !== null && range !== null);
    if (way?.file && way.range) places.set(id, { file: way.file, range: way.range });
  }
  return places;
}

export class Picture {
  #svg: SVGSVGElement | undefined;
  /** A number is chosen; `width` fits the width as long as it can be read, `all` shows everything. */
  #zoom: number | "width" | "all" = "width";

  constructor(private readonly pane: HTMLElement, private readonly open: (id: string) => void) {
    pane.addEventListener("click", ({ target }) => this.#open(target));
    pane.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.target instanceof SVGElement)) return;
      event.preventDefault();
      this.#open(event.target);
    });
    pane.addEventListener("wheel", (event) => {
      if (!event.ctrlKey || !this.#svg) return;
      event.preventDefault();
      this.step(event.deltaY < 0 ? 1 : -1);
    }, { passive: false });
    new ResizeObserver(() => typeof this.#zoom !== "number" && this.#resize()).observe(pane);
  }

  /** Shows a picture; `leads` are the ids that lead somewhere, `isDark` overrides what the system says. */
  show(text: string, leads: ReadonlySet<string>, isDark: boolean | undefined) {
    const { scrollLeft, scrollTop } = this.pane;
    const focused = this.pane.contains(document.activeElement) ? document.activeElement?.getAttribute("data-id") : undefined;
    // Parsed as a document of its own and not as HTML; the page's policy would run no script of it either.
    const parsed = new DOMParser().parseFromString(text.trim(), "image/svg+xml").documentElement;
    if (!(parsed instanceof SVGSVGElement)) return;
    if (isDark !== undefined) {
      for (const style of parsed.querySelectorAll("style")) {
        style.textContent = (style.textContent ?? "").replaceAll(/\(prefers-color-scheme:\s*dark\)/g, isDark ? "all" : "not all");
      }
    }
    for (const part of parsed.querySelectorAll<SVGElement>("[data-id]")) {
      if (!leads.has(part.dataset.id ?? "")) continue;
      part.classList.add("place");
      if (!part.classList.contains("node")) continue;
      part.setAttribute("tabindex", "0");
      part.setAttribute("role", "link");
    }
    this.#svg = document.adoptNode(parsed);
    // A picture with links in it is not one image to those who cannot see it.
    this.#svg.setAttribute("role", "group");
    this.pane.replaceChildren(this.#svg);
    this.#resize();
    this.pane.scrollTo(scrollLeft, scrollTop);
    if (focused != null) this.#svg.querySelector<SVGElement>(`[tabindex][data-id="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  /** Something else is in the pane. */
  hide() {
    this.#svg = undefined;
  }

  get svg() {
    return this.#svg;
  }

  /** All of it, however small. */
  fit() {
    this.#zoom = "all";
    this.#resize();
  }

  step(by: number) {
    const now = this.#scale();
    const next = by > 0 ? STEPS.find((step) => step > now + 0.01) : STEPS.findLast((step) => step < now - 0.01);
    if (next === undefined) return;
    const { scrollLeft, scrollTop, clientWidth, clientHeight } = this.pane;
    this.#zoom = next;
    this.#resize();
    const ratio = next / now;
    this.pane.scrollTo((scrollLeft + clientWidth / 2) * ratio - clientWidth / 2, (scrollTop + clientHeight / 2) * ratio - clientHeight / 2);
  }

  #scale(): number {
    if (typeof this.#zoom === "number") return this.#zoom;
    const wide = (this.pane.clientWidth - 16) / (this.#svg?.viewBox.baseVal.width || 1);
    return Math.min(LARGEST, this.#zoom === "all" ? Math.max(wide, 0.05) : Math.max(wide, READABLE));
  }

  #resize() {
    if (!this.#svg) return;
    const { width, height } = this.#svg.viewBox.baseVal;
    this.#svg.setAttribute("width", String(Math.floor(width * this.#scale())));
    this.#svg.setAttribute("height", String(Math.floor(height * this.#scale())));
  }

  #open(target: EventTarget | null) {
    const id = target instanceof Element ? target.closest<SVGElement>("svg .place")?.dataset.id : undefined;
    if (id !== undefined) this.open(id);
  }
}
