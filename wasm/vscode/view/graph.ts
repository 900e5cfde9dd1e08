// Inside the panel: shows the picture, zooms it, and says what was clicked. `src/graph.ts` is the other side.
import type { Picture, Wish } from "../src/graph";

declare function acquireVsCodeApi(): { postMessage(wish: Wish): void; setState(state: unknown): void };

const editor = acquireVsCodeApi();
const byId = (id: string) => document.getElementById(id)!;
const pane = byId("graph");
const choice = byId("step") as HTMLSelectElement;
const STEPS = [0.25, 0.33, 0.5, 0.67, 0.8, 1, 1.25, 1.5, 2, 3];

let picture: Picture | undefined;
let svg: SVGSVGElement | undefined;
/** `undefined` fits the width. */
let zoom: number | undefined;

function draw() {
  if (!picture) return;
  const { steps, step, message } = picture;
  byId("steps").hidden = steps.length === 0;
  choice.replaceChildren(...steps.map((name) => new Option(name, name, name === step, name === step)));
  if (step === undefined) choice.selectedIndex = -1;
  for (const id of ["in", "out", "fit"]) (byId(id) as HTMLButtonElement).disabled = picture.svg === undefined;
  if (picture.svg === undefined) {
    svg = undefined;
    const text = document.createElement("p");
    text.textContent = message ?? "";
    pane.replaceChildren(text);
    return;
  }
  const { scrollLeft, scrollTop } = pane;
  // Parsed as a document of its own and not as HTML; the page's policy would run no script of it either.
  const parsed = new DOMParser().parseFromString(picture.svg.trim(), "image/svg+xml").documentElement;
  if (!(parsed instanceof SVGSVGElement)) return;
  // The picture goes by the system's colours, the panel by the editor's.
  const forced = /vscode-(dark|high-contrast)(?!-light)/.test(document.body.className) ? "all" : "not all";
  for (const style of parsed.querySelectorAll("style")) {
    style.textContent = (style.textContent ?? "").replaceAll(/\(prefers-color-scheme:\s*dark\)/g, forced);
  }
  const leads = new Set(picture.places);
  for (const part of parsed.querySelectorAll<SVGElement>("[data-id]")) {
    if (!leads.has(part.dataset.id ?? "")) continue;
    part.classList.add("place");
    if (!part.classList.contains("node")) continue;
    part.setAttribute("tabindex", "0");
    part.setAttribute("role", "link");
  }
  svg = document.adoptNode(parsed);
  // A picture with links in it is not one image to those who cannot see it.
  svg.setAttribute("role", "group");
  pane.replaceChildren(svg);
  resize();
  pane.scrollTo(scrollLeft, scrollTop);
}

function scale(): number {
  // Not below what can be read: rather scroll.
  return zoom ?? Math.min(1.1, Math.max(0.45, (pane.clientWidth - 16) / (svg?.viewBox.baseVal.width || 1)));
}

function resize() {
  if (!svg) return;
  const { width, height } = svg.viewBox.baseVal;
  svg.setAttribute("width", String(Math.round(width * scale())));
  svg.setAttribute("height", String(Math.round(height * scale())));
}

function step(by: number) {
  const now = scale();
  const next = by > 0 ? STEPS.find((step) => step > now + 0.01) : STEPS.findLast((step) => step < now - 0.01);
  if (next === undefined) return;
  const { scrollLeft, scrollTop, clientWidth, clientHeight } = pane;
  zoom = next;
  resize();
  const ratio = next / now;
  pane.scrollTo((scrollLeft + clientWidth / 2) * ratio - clientWidth / 2, (scrollTop + clientHeight / 2) * ratio - clientHeight / 2);
}

function open(target: EventTarget | null) {
  const part = target instanceof Element ? target.closest<SVGElement>(".place") : null;
  if (part?.dataset.id !== undefined) editor.postMessage({ kind: "open", id: part.dataset.id });
}

window.addEventListener("message", ({ data }: MessageEvent<Picture>) => {
  picture = data;
  draw();
});
pane.addEventListener("click", ({ target }) => open(target));
pane.addEventListener("keydown", ({ key, target }) => key === "Enter" && open(target));
pane.addEventListener("wheel", (event) => {
  if (!event.ctrlKey || !svg) return;
  event.preventDefault();
  step(event.deltaY < 0 ? 1 : -1);
}, { passive: false });
choice.addEventListener("change", () => editor.postMessage({ kind: "step", step: choice.value }));
byId("in").addEventListener("click", () => step(1));
byId("out").addEventListener("click", () => step(-1));
byId("fit").addEventListener("click", () => {
  zoom = undefined;
  resize();
});
new ResizeObserver(() => zoom === undefined && resize()).observe(pane);
new MutationObserver(draw).observe(document.body, { attributeFilter: ["class"] });
// The panel comes back after a reload of the window; what it shows is for the other side to say.
editor.setState({});
editor.postMessage({ kind: "ready" });
