// The linter in a thread of its own, so that typing never waits for it. Holds the files and answers one question at a
// time; which answers are still wanted is for `engine.ts`.
import init, { Linter, explain } from "coalmine";
import type { Answer, Question } from "./protocol";

const linter = new Promise<Linter>((resolve, reject) => {
  init({ module_or_path: new URL("coalmine_bg.wasm", self.location.href) }).then(() => resolve(new Linter()), reject);
});

/** The value, or the message of what was thrown. A trap is passed on: the module cannot be trusted after it. */
function attempt<T>(ask: () => T): { value?: T; error?: string } {
  try {
    return { value: ask() };
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) throw error;
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

function answer(linter: Linter, question: Question): Answer {
  for (const name of question.removed) linter.removeFile(name);
  for (const { name, text } of question.changed) linter.setFile(name, text);
  const { file, step, request } = question;
  const report = attempt(() => linter.lint({ units: "utf16" }));
  const steps = attempt(() => linter.steps(file)).value ?? [];
  const at = { file, step: step !== undefined && steps.includes(step) ? step : undefined };
  const route = request && attempt(() => linter.route({ ...request, ...at, follow: true, units: "utf16" }));
  const highlight = route?.value?.taken;
  return {
    id: question.id,
    report,
    steps,
    route,
    graph: attempt(() => linter.graph({ ...at, units: "utf16" })),
    picture: attempt(() => linter.draw("svg", { ...at, title: at.step ?? "Routing", highlight })),
    fixed: question.fix ? attempt(() => linter.fix()) : undefined,
    rule: question.rule ? attempt(() => explain(question.rule!)) : undefined,
  };
}

self.addEventListener("message", async ({ data }: MessageEvent<Question>) => {
  try {
    self.postMessage(answer(await linter, data));
  } catch (error) {
    self.postMessage({ id: data.id, crash: error instanceof Error ? error.message : String(error) } satisfies Answer);
  }
});
