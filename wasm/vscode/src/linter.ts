// The linter's module and its rules. Knows nothing of the editor, so that Node can test it.
import { explain, initSync, rules } from "coalmine/web";
import type { Rule, RulePage } from "coalmine/web";

/** Compiles the module. Off the thread where the host can, for this thread is that of other extensions too. */
export async function load(bytes: Uint8Array): Promise<void> {
  initSync({ module: await WebAssembly.compile(bytes as Uint8Array<ArrayBuffer>) });
}

let known: Map<string, Rule> | undefined;

export function rule(id: string): Rule | undefined {
  known ??= new Map(rules().rules.map((rule) => [rule.id, rule]));
  return known.get(id);
}

const pages = new Map<string, RulePage>();

export function page(id: string): RulePage {
  const found = pages.get(id) ?? explain(id);
  pages.set(id, found);
  return found;
}
