// Asks the linter's thread and drops every answer that is older than the question. At most one question is under way and
// one waits: what was typed in between is asked once.
import type { TextFile } from "coalmine";
import type { Answer, Question } from "./protocol";

export type Wanted = Pick<Question, "file" | "step" | "request" | "fix" | "rule">;

/** Crashes in a row after which the thread is not started again. */
const PATIENCE = 3;

export class Engine {
  #worker!: Worker;
  #id = 0;
  /** What the thread has been told. */
  #told = new Map<string, string>();
  #busy: { id: number; done: (answer: Answer) => void } | undefined;
  #waiting: { texts: TextFile[]; wanted: Wanted; done: (answer: Answer | undefined) => void } | undefined;
  #crashes = 0;

  constructor(private readonly crashed: (message: string) => void) {
    this.#start();
  }

  #start() {
    this.#worker = new Worker(new URL("worker.js", document.baseURI), { type: "module" });
    this.#told.clear();
    this.#worker.addEventListener("message", ({ data }: MessageEvent<Answer>) => this.#receive(data));
    this.#worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.#receive({ id: this.#busy?.id ?? 0, crash: event.message || "the linter's thread could not be started" });
    });
  }

  /** Answers for these texts; `undefined` when a newer question has taken the place of this one. */
  ask(texts: TextFile[], wanted: Wanted): Promise<Answer | undefined> {
    return new Promise((done) => {
      this.#waiting?.done(undefined);
      this.#waiting = { texts, wanted, done };
      if (!this.#busy) this.#send();
    });
  }

  #send() {
    if (!this.#waiting) return;
    const { texts, wanted, done } = this.#waiting;
    this.#waiting = undefined;
    const names = new Set(texts.map(({ name }) => name));
    const changed = texts.filter(({ name, text }) => this.#told.get(name) !== text);
    const removed = [...this.#told.keys()].filter((name) => !names.has(name));
    for (const name of removed) this.#told.delete(name);
    for (const { name, text } of changed) this.#told.set(name, text);
    const id = ++this.#id;
    this.#busy = { id, done };
    this.#worker.postMessage({ id, changed, removed, ...wanted } satisfies Question);
  }

  #receive(answer: Answer) {
    if (answer.crash !== undefined) {
      this.#worker.terminate();
      this.#crashes += 1;
      this.crashed(answer.crash);
      if (this.#crashes >= PATIENCE) return;
      this.#start();
    } else {
      this.#crashes = 0;
    }
    const busy = this.#busy;
    this.#busy = undefined;
    busy?.done(answer);
    this.#send();
  }
}
