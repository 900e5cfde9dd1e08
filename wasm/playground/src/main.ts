// The page: what is typed goes to the linter, what it finds goes to the editor, the picture and the lists.
import type { Diagnostic, Range, TextFile } from "coalmine";
import { button, byId, code, element, plural, roving } from "./dom";
import { Editor } from "./editor";
import { Engine, type Wanted } from "./engine";
import { type Example, examples, menu } from "./examples";
import { GraphPane } from "./graph";
import { count, counted, fromMistakes, list, marks, page, sorted, summary } from "./problems";
import type { Answer, Asked } from "./protocol";
import { RequestBar, describe, inBar, isAnswered, places, verdict } from "./request";
import { Refused, type Shared, keep, pack, read } from "./share";
import { Tabs } from "./tabs";
import { splitter } from "./splitter";
import { theme } from "./theme";

/** Milliseconds without a key before the linter is asked, and before the address is renewed. */
const PAUSE = 60;
const SETTLED = 700;

let findings: Diagnostic[] = [];
/** Changes of the texts so far, and how many of them the findings know. */
let revision = 0;
let known = -1;
let step: string | undefined;
let asked: Asked | undefined;
/** The example that is shown unchanged: its address is its name. */
let example: string | undefined;
let announced = "";
/** Other files have been loaded, and nothing of them is shown yet. */
let isFresh = false;
let pending: number | undefined;
let settling: number | undefined;

const editor = new Editor(byId("editor"), () => touch(PAUSE));
const engine = new Engine((message, isLast) => {
  if (isLast) gone(message);
  else toast(`The linter stopped: ${message}. It is started again.`);
});
const graph = new GraphPane(jump);
const requests = new RequestBar((next) => {
  asked = next;
  if (!next) requests.asked = undefined;
  byId("clear-request").hidden = !next;
  select(next ? "tab-route" : "tab-problems");
  example = undefined;
  refresh();
});
const tabs = new Tabs({
  show(name) {
    editor.show(name);
    drawTabs();
    refresh();
  },
  add(name) {
    editor.add(name, "");
    editor.show(name);
    touch(0);
    editor.focus();
  },
  rename(from, to) {
    editor.rename(from, to);
    touch(0);
  },
  close(name) {
    const restore = editor.remove(name);
    touch(0);
    toast(`${name} is closed.`, "Undo", () => {
      restore();
      touch(0);
    });
  },
});

const actions = { jump, fix, explain: (rule: string) => void explain(rule) };

function texts(): TextFile[] {
  return editor.names.map((name) => ({ name, text: editor.text(name) }));
}

/** A text has changed. */
function touch(pause: number) {
  revision += 1;
  example = undefined;
  drawTabs();
  clearTimeout(pending);
  pending = setTimeout(refresh, pause);
}

function drawTabs() {
  tabs.draw(editor.names, editor.active, counted(findings));
}

/** Asks the linter about what is there now. */
async function refresh(more: Pick<Wanted, "fix" | "rule"> = {}): Promise<Answer | undefined> {
  clearTimeout(pending);
  const asking = revision;
  const answer = await engine.ask(texts(), { file: editor.active, step, request: asked, ...more });
  // An answer about texts that are no longer there marks the wrong places.
  if (!answer || answer.crash !== undefined || asking !== revision) return answer;
  known = asking;
  show(answer);
  settle();
  return answer;
}

function show(answer: Answer) {
  const { report, graph: drawn, picture, route } = answer;
  // Settings that cannot be used leave those from before in force: what they find stays.
  if (report?.value) findings = [...fromMistakes(answer.mistakes ?? [], (name) => editor.text(name)), ...report.value.diagnostics];
  const error = report?.error;
  const panel = byId("panel-problems");
  panel.replaceChildren(error === undefined ? list(findings, actions) : element("p", { class: "empty failed" }, element("strong", {}, "This cannot be linted: "), error));
  for (const name of editor.names) editor.mark(name, marks(findings, name, actions));
  count(findings);
  drawTabs();
  byId("fix-all").hidden = !findings.some(({ fix }) => fix?.safety === "safe");
  steps(answer.steps ?? []);
  const words = [error ?? summary(findings), route && ((route.error && inBar(route.error)) ?? (route.value && verdict(route.value)))].filter(Boolean).join(". ");
  if (words !== announced) byId("status").textContent = announced = words;

  if (drawn?.value && picture?.value !== undefined) {
    graph.show(drawn.value, picture.value, route?.value?.taken ?? [], route?.value?.failed ?? []);
    requests.suggest(drawn.value);
  } else {
    graph.fail(drawn?.error ?? picture?.error ?? "There is no picture.");
  }

  const lines = new Map<string, number[]>();
  for (const { file, line } of route?.value ? places(route.value) : []) lines.set(file, [...(lines.get(file) ?? []), line]);
  for (const name of editor.names) editor.markPath(name, lines.get(name) ?? []);
  const result = byId("panel-route");
  if (route?.value) result.replaceChildren(describe(route.value, jump));
  else if (route?.error !== undefined) result.replaceChildren(element("p", { class: "empty failed" }, ...code(inBar(route.error))));
  else result.replaceChildren(element("p", { class: "empty" }, "Say where a request goes and follow it: hop by hop here, as a path in the picture, and marked in the text."));
  byId("tab-route").classList.toggle("failed", route !== undefined && !(route.value && isAnswered(route.value)));
  if (isFresh) {
    isFresh = false;
    const first = sorted(findings).find(({ file }) => file === editor.active)?.range.start.line ?? lines.get(editor.active)?.[0];
    if (first !== undefined) editor.reveal(first);
  }
  document.documentElement.dataset.ready = String(known);
}

/** There is no linter and there will be none: says so where its answers would stand. */
function gone(message: string) {
  const title = known < 0 ? "The linter could not be started: " : "The linter stopped and could not be started again: ";
  const reload = () => location.reload();
  const say = () => element("div", { class: "empty failed", role: "alert" }, element("p", {}, element("strong", {}, title), message), button("Reload", reload));
  findings = [];
  byId("panel-problems").replaceChildren(say());
  select("tab-problems");
  byId("count").textContent = "";
  byId("count").className = "badge";
  byId("fix-all").hidden = true;
  byId("toast").hidden = true;
  graph.fail("Without the linter there is no picture.");
  byId("panel-route").replaceChildren(element("p", { class: "empty" }, "Without the linter no request can be followed."));
  for (const name of editor.names) {
    editor.mark(name, []);
    editor.markPath(name, []);
  }
  drawTabs();
  byId("status").textContent = announced = `${title}${message}`;
  document.documentElement.dataset.gone = "";
  settle();
}

function steps(names: string[]) {
  const choice = byId<HTMLSelectElement>("step");
  byId("step-label").hidden = names.length < 2;
  const shown = [...choice.options].map(({ value }) => value);
  if (shown.join("\n") !== ["", ...names].join("\n")) {
    choice.replaceChildren(element("option", { value: "" }, "the last with objects"), ...names.map((name) => element("option", { value: name }, name)));
  }
  choice.value = step !== undefined && names.includes(step) ? step : "";
}

function jump(file: string, range: Range) {
  if (!editor.has(file)) return;
  editor.jump(file, range.start.offset, range.end.offset);
  drawTabs();
  byId("editor").scrollIntoView({ block: "nearest" });
}

/** Applies the fix of a finding, if it still is about the text that is there. */
function fix(finding: Diagnostic) {
  if (!finding.fix || known !== revision) return toast("The text has changed since; look at the problem again.");
  const files = [...new Set(finding.fix.edits.map(({ file }) => file))].filter((file) => editor.has(file));
  for (const name of files) {
    const edits = finding.fix.edits.filter(({ file }) => file === name);
    editor.edit(name, edits.map(({ start, end, text }) => ({ from: start, to: end, insert: text })));
  }
  if (files[0] !== undefined && !files.includes(editor.active)) editor.show(files[0]);
  touch(0);
  toast(`Fixed: ${finding.fix.title.replaceAll("`", "")}`);
}

async function fixAll() {
  const asking = revision;
  const fixed = (await refresh({ fix: true }))?.fixed;
  if (!fixed || asking !== revision) return;
  if (!fixed.value) return toast(fixed.error ?? "Nothing was fixed.");
  for (const { name, text } of fixed.value.files) editor.replace(name, text);
  touch(0);
  toast(`${plural(fixed.value.applied, "fix")} applied.`.replace("fixs", "fixes"));
}

async function explain(rule: string) {
  const answer = await refresh({ rule });
  if (!answer?.rule?.value) return;
  byId("panel-rule").replaceChildren(page(answer.rule.value));
  byId("panel-rule").scrollTo(0, 0);
  select("tab-rule");
  byId("panel-rule").focus();
}

function select(id: string) {
  for (const tab of byId("panels").querySelectorAll<HTMLElement>("[role=tab]")) {
    const isChosen = tab.id === id;
    tab.setAttribute("aria-selected", String(isChosen));
    tab.tabIndex = isChosen ? 0 : -1;
    byId(tab.getAttribute("aria-controls") ?? "").hidden = !isChosen;
  }
}

let toasting: number | undefined;
function toast(text: string, label?: string, act?: () => void) {
  const box = byId("toast");
  box.replaceChildren(element("span", {}, text));
  if (label !== undefined && act) {
    box.append(
      button(label, () => {
        box.hidden = true;
        act();
      }),
    );
  }
  box.hidden = false;
  clearTimeout(toasting);
  toasting = setTimeout(() => (box.hidden = true), label === undefined ? 4000 : 8000);
}

function state(): Shared {
  return { files: texts(), active: editor.active, step, request: asked };
}

async function address(): Promise<string> {
  return example === undefined ? await pack(state()) : `example=${example}`;
}

/** Keeps the address equal to what is shown, so that a reload or a copied address brings it back. */
function settle() {
  clearTimeout(settling);
  settling = setTimeout(async () => {
    const asking = revision;
    // What is too large for an address lasts as long as the tab.
    const fragment = await address().catch(() => keep(state()));
    if (fragment !== undefined && asking === revision && location.hash !== `#${fragment}`) history.replaceState(null, "", `#${fragment}`);
  }, SETTLED);
}

async function share() {
  let fragment: string;
  try {
    fragment = await address();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return toast(`This is too large to share. ${error.message}`);
  }
  history.replaceState(null, "", `#${fragment}`);
  try {
    await navigator.clipboard.writeText(location.href);
    toast("The address is copied. It holds all files; nothing was uploaded.");
  } catch {
    toast("Copy the address of this page: it holds all files; nothing was uploaded.");
  }
}

function load(shared: Shared, name: string | undefined) {
  step = shared.step;
  asked = shared.request;
  requests.asked = asked;
  byId("clear-request").hidden = !asked;
  select("tab-problems");
  const files = shared.files.length > 0 ? shared.files : [{ name: "manifests.yaml", text: "" }];
  findings = [];
  isFresh = true;
  editor.load(files, shared.active);
  touch(0);
  example = name;
}

function open(chosen: Example) {
  const before = state();
  const name = example;
  const wasTouched = name === undefined;
  load(chosen, chosen.id);
  if (wasTouched) toast(`Loaded “${chosen.title}”.`, "Undo", () => load(before, name));
}

async function fromAddress(): Promise<boolean> {
  const fragment = location.hash.slice(1);
  const chosen = examples.find(({ id }) => fragment === `example=${id}`);
  if (chosen) {
    load(chosen, chosen.id);
    return true;
  }
  try {
    const shared = await read(fragment);
    if (shared) load(shared, undefined);
    return shared !== undefined;
  } catch (error) {
    toast(error instanceof Refused ? error.message : "This address cannot be read: it was cut off, or made by a newer playground.");
    return false;
  }
}

async function start() {
  theme();
  menu(open);
  byId("share").addEventListener("click", () => void share());
  byId("fix-all").addEventListener("click", () => void fixAll());
  byId("step").addEventListener("change", () => {
    step = byId<HTMLSelectElement>("step").value || undefined;
    example = undefined;
    void refresh();
  });
  const panels = byId("panels");
  roving(panels, "[role=tab]", { next: "ArrowRight", previous: "ArrowLeft" }, (tab) => select(tab.id));
  panels.addEventListener("click", (event) => {
    const tab = event.target instanceof Element ? event.target.closest("[role=tab]") : null;
    if (tab) select(tab.id);
  });
  document.querySelector(".skip")?.addEventListener("click", (event) => {
    // The address holds the text: it must not become the name of a place.
    event.preventDefault();
    editor.focus();
  });
  window.addEventListener("hashchange", async () => {
    if (!(await fromAddress())) settle();
  });
  splitter();
  if (!(await fromAddress()) && examples[0]) load(examples[0], examples[0].id);
  if ("serviceWorker" in navigator && location.protocol.startsWith("http")) {
    // Without it the page works all the same, but not offline.
    navigator.serviceWorker.register("offline.js").catch(() => undefined);
  }
}

void start();
