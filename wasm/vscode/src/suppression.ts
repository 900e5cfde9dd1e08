// Comments that hide a finding. Knows nothing of the editor, so that Node can test it.
import type { Diagnostic } from "coalmine";
import type { Splice } from "./positions";

/** What the author is to replace by the reason. */
const REASON = "TODO say why";

/** What is said about files and comments as such cannot be silenced by a comment beside it. */
const BEYOND_COMMENTS = new Set(["yaml-syntax", "invalid-suppression", "unused-suppression"]);

export function isSuppressible({ rule, file }: Pick<Diagnostic, "rule" | "file">): boolean {
  return !file.endsWith(".json") && !BEYOND_COMMENTS.has(rule);
}

/** Comments that may hide a finding, the best first: above its line, and behind it. */
export function suppressions(text: string, { rule, range }: Pick<Diagnostic, "rule" | "range">): Splice[] {
  const start = text.lastIndexOf("\n", range.start.offset - 1) + 1;
  const newline = text.indexOf("\n", start);
  const line = text.slice(start, newline < 0 ? text.length : newline);
  const indent = line.slice(0, line.length - line.trimStart().length);
  const comment = `# coalmine: ignore[${rule}] ${REASON}`;
  const end = start + line.trimEnd().length;
  return [
    { start, end: start, text: `${indent}${comment}${line.endsWith("\r") ? "\r\n" : "\n"}` },
    { start: end, end, text: ` ${comment}` },
  ];
}

export const applied = (text: string, { start, end, text: by }: Splice) => text.slice(0, start) + by + text.slice(end);
