// The findings: as marks for the editor and as a list with fixes and the rules' pages.
import type { Diagnostic as Mark } from "@codemirror/lint";
import type { Diagnostic, RulePage } from "coalmine";
import { marked } from "marked";
import type { Mistake } from "../shared/deployments";
import { button, byId, code, element, plural } from "./dom";
import type { Jump } from "./graph";

export interface Actions {
  jump: Jump;
  fix(finding: Diagnostic): void;
  explain(rule: string): void;
}

const WORST = ["error", "warning", "info"] as const;

/** No rule's: what is wrong with the settings. */
const SETTINGS = "settings";

/** Mistakes in settings as findings: at the place or the word that they name, else at the first line. */
export function fromMistakes(mistakes: Mistake[], text: (name: string) => string): Diagnostic[] {
  return mistakes.map(({ file, message }) => {
    const lines = text(file).split("\n");
    const [, at, from] = / at line (\d+) column (\d+)$/.exec(message) ?? [];
    const word = /`([^`]+)`/.exec(message)?.[1] ?? "";
    const named = word === "" ? -1 : lines.findIndex((line) => line.includes(word));
    const line = Math.min(at !== undefined ? Number(at) : Math.max(named, 0) + 1, lines.length);
    const own = lines[line - 1] ?? "";
    const column = Math.min(from !== undefined ? Number(from) : named >= 0 ? own.indexOf(word) + 1 : 1, own.length + 1);
    const isNamed = word !== "" && own.startsWith(word, column - 1);
    const end = isNamed ? column + word.length : Math.max(own.length + 1, column);
    const before = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
    const place = (column: number) => ({ line, column, offset: before + column - 1 });
    return {
      rule: SETTINGS,
      severity: "error",
      message,
      help: "Until this is repaired, the settings from before stay in force.",
      file,
      range: { start: place(column), end: place(end) },
      resource: null,
      upstream: [],
      related: [],
      fix: null,
    };
  });
}

/** Leads to the page of a finding's rule, if it has one. */
const explanation = (rule: string, actions: Actions) =>
  rule !== SETTINGS && button(rule, () => actions.explain(rule), { class: "link", "aria-label": `Explain ${rule}` });

/** How many findings a file has, and how bad the worst is. */
export function counted(findings: Diagnostic[]): Map<string, { count: number; worst: string }> {
  const found = new Map<string, { count: number; worst: string }>();
  for (const { file, severity } of findings) {
    const old = found.get(file);
    const worst = WORST.find((level) => level === severity || level === old?.worst) ?? severity;
    found.set(file, { count: (old?.count ?? 0) + 1, worst });
  }
  return found;
}

/** In words, for the status line: `2 errors and 1 warning`. */
export function summary(findings: Diagnostic[]): string {
  const parts = WORST.flatMap((level) => {
    const count = findings.filter(({ severity }) => severity === level).length;
    return count > 0 ? [level === "info" ? `${count} to know` : plural(count, level)] : [];
  });
  return parts.length > 0 ? parts.join(" and ") : "No problems";
}

function related(finding: Diagnostic, actions: Actions): HTMLElement | undefined {
  if (finding.related.length === 0) return undefined;
  return element(
    "ul",
    { class: "related" },
    ...finding.related.map(({ file, range, message }) =>
      element("li", {}, button(`${file}:${range.start.line}`, () => actions.jump(file, range), { class: "link" }), " ", ...code(message)),
    ),
  );
}

/** The findings of a file as marks of CodeMirror. */
export function marks(findings: Diagnostic[], file: string, actions: Actions): Mark[] {
  return findings
    .filter((finding) => finding.file === file)
    .map((finding) => ({
      from: finding.range.start.offset,
      to: finding.range.end.offset,
      severity: finding.severity,
      source: finding.rule,
      message: finding.message,
      renderMessage: () =>
        element(
          "div",
          { class: "tip" },
          element("p", {}, ...code(finding.message)),
          finding.help !== null && element("p", { class: "help" }, ...code(finding.help)),
          related(finding, actions),
          explanation(finding.rule, actions),
        ),
      actions: finding.fix ? [{ name: fixLabel(finding).replaceAll("`", ""), apply: () => actions.fix(finding) }] : [],
    }));
}

function fixLabel({ fix }: Diagnostic): string {
  if (!fix) return "";
  const title = fix.title.charAt(0).toUpperCase() + fix.title.slice(1);
  return fix.safety === "safe" ? title : `${title} (unsafe)`;
}

/** The worst first, otherwise as they stand in the files. */
export function sorted(findings: Diagnostic[]): Diagnostic[] {
  return findings.toSorted((a, b) => WORST.indexOf(a.severity) - WORST.indexOf(b.severity));
}

export function list(findings: Diagnostic[], actions: Actions): HTMLElement {
  if (findings.length === 0) {
    return element(
      "div",
      { class: "empty good" },
      element("p", {}, element("strong", {}, "No problems.")),
      element("p", {}, "Break something: rename a subset, change a port, unquote a version label."),
    );
  }
  const item = (finding: Diagnostic) => {
    const { file, range, severity, rule } = finding;
    return element(
      "li",
      { class: `problem ${severity}` },
      element("span", { class: "severity" }, severity),
      element(
        "div",
        {},
        element("p", { class: "message" }, ...code(finding.message)),
        finding.help !== null && element("p", { class: "help" }, ...code(finding.help)),
        related(finding, actions),
        element(
          "p",
          { class: "actions" },
          finding.fix !== null && button(fixLabel(finding), () => actions.fix(finding), { class: "fix" }),
          button(`${file}:${range.start.line}:${range.start.column}`, () => actions.jump(file, range), { class: "link" }),
          explanation(rule, actions),
        ),
      ),
    );
  };
  return element("ul", { class: "problems", "aria-label": "Problems" }, ...sorted(findings).map(item));
}

/** A rule's page. Its text is part of the linter. */
export function page({ rule, markdown }: RulePage): HTMLElement {
  const body = element("div", { class: "markdown" });
  body.innerHTML = marked.parse(markdown, { async: false, gfm: true });
  for (const link of body.querySelectorAll("a")) {
    link.rel = "noreferrer";
    link.target = "_blank";
  }
  const facts = [rule.severity, rule.category, rule.fix === "none" ? "" : `${rule.fix} fix`, rule.upstream.length > 0 ? `covers ${rule.upstream.join(", ")}` : ""];
  return element("article", {}, element("h2", {}, rule.id), element("p", { class: "muted" }, facts.filter(Boolean).join(" · ")), body);
}

export function count(findings: Diagnostic[]) {
  const badge = byId("count");
  badge.textContent = String(findings.length);
  const worst = WORST.find((level) => findings.some(({ severity }) => severity === level));
  badge.className = `badge ${worst ?? "good"}`;
}
