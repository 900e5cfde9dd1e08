// Inside the panel: shows the picture and says what was clicked. `src/graph.ts` is the other side.
import { Picture as Drawing } from "../shared/picture";
import type { Picture, Wish } from "../src/graph";

declare function acquireVsCodeApi(): { postMessage(wish: Wish): void; setState(state: unknown): void };

const editor = acquireVsCodeApi();
const byId = (id: string) => document.getElementById(id)!;
const pane = byId("graph");
const choice = byId("step") as HTMLSelectElement;
const drawing = new Drawing(pane, (id) => editor.postMessage({ kind: "open", id }));

let picture: Picture | undefined;

function draw() {
  if (!picture) return;
  const { steps, step, message } = picture;
  byId("steps").hidden = steps.length === 0;
  choice.replaceChildren(...steps.map((name) => new Option(name, name, name === step, name === step)));
  if (step === undefined) choice.selectedIndex = -1;
  for (const id of ["in", "out", "fit"]) (byId(id) as HTMLButtonElement).disabled = picture.svg === undefined;
  if (picture.svg === undefined) {
    drawing.hide();
    const text = document.createElement("p");
    text.textContent = message ?? "";
    pane.replaceChildren(text);
    return;
  }
  // The picture goes by the system's colours, the panel by the editor's.
  drawing.show(picture.svg, new Set(picture.places), /vscode-(dark|high-contrast)(?!-light)/.test(document.body.className));
}

window.addEventListener("message", ({ data }: MessageEvent<Picture>) => {
  picture = data;
  draw();
});
choice.addEventListener("change", () => editor.postMessage({ kind: "step", step: choice.value }));
byId("in").addEventListener("click", () => drawing.step(1));
byId("out").addEventListener("click", () => drawing.step(-1));
byId("fit").addEventListener("click", () => drawing.fit());
new MutationObserver(draw).observe(document.body, { attributeFilter: ["class"] });
// The panel comes back after a reload of the window; what it shows is for the other side to say.
editor.setState({});
editor.postMessage({ kind: "ready" });
