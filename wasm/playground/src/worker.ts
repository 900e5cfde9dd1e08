// The linter in a thread of its own, so that typing never waits for it. Holds the files and answers one question at a
// time; which answers are still wanted is for `engine.ts`.
import init, { explain } from "coalmine/web";
import { Deployments, isCrash } from "../shared/deployments";
import type { Answer, Question } from "./protocol";

const texts = new Map<string, string>();
const linter = new Promise<Deployments>((resolve, reject) => {
  init({ module_or_path: new URL("coalmine_bg.wasm", self.location.href) }).then(() => resolve(new Deployments()), reject);
});

/** The value, or the message of what was thrown. A trap is passed on: the module cannot be trusted after it. */
function attempt<T>(ask: () => T): { value?: T; error?: string } {
  try {
    return { value: ask() };
  } catch (error) {
    if (isCrash(error)) throw error;
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

function answer(linter: Deployments, question: Question): Answer {
  for (const name of question.removed) texts.delete(name);
  for (const { name, text } of question.changed) texts.set(name, text);
  const { file, request } = question;
  const report = attempt(() => {
    linter.check(texts);
    return linter.report;
  });
  const steps = attempt(() => linter.steps(file)).value ?? [];
  const step = question.step !== undefined && steps.includes(question.step) ? question.step : undefined;
  const route = request && attempt(() => linter.route(file, step, { ...request, follow: true }));
  const way = { highlight: route?.value?.taken, failed: route?.value?.failed };
  return {
    id: question.id,
    report,
    mistakes: linter.mistakes,
    steps,
    route,
    graph: attempt(() => linter.graph(file, step, way)),
    picture: attempt(() => linter.picture(file, step, way)),
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
