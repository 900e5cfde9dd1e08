// Asks the linter's thread and drops every answer that is older than the question. At most one question is under way and
// one waits: what was typed in between is asked once.
import type { TextFile } from "coalmine";
import type { Answer, Question } from "./protocol";

export type Wanted = Pick<Question, "file" | "step" | "request" | "fix" | "rule">;

/** Crashes in a row after which the thread is not started again. */
const PATIENCE = 3;

interface Waiting {
  texts: TextFile[];
  wanted: Wanted;
  done: (answer: Answer | undefined) => void;
}

export class Engine {
  #worker!: Worker;
  #id = 0;
  /** What the thread has been told. */
  #told = new Map<string, string>();
  #busy: Waiting & { id: number } | undefined;
  #waiting: Waiting | undefined;
  #crashes = 0;
  #hasAnswered = false;

  /** Why there is no thread any more. */
  #dead: string | undefined;

  /** `crashed` hears of every crash, and whether it was the last: then nothing answers any more. */
  constructor(private readonly crashed: (message: string, isLast: boolean) => void) {
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
    if (this.#dead !== undefined) return Promise.resolve(undefined);
    return new Promise((done) => {
      this.#waiting?.done(undefined);
      this.#waiting = { texts, wanted, done };
      if (!this.#busy) this.#send();
    });
  }

  #send() {
    if (!this.#waiting) return;
    const waiting = this.#waiting;
    const { texts, wanted } = waiting;
    this.#waiting = undefined;
    const names = new Set(texts.map(({ name }) => name));
    const changed = texts.filter(({ name, text }) => this.#told.get(name) !== text);
    const removed = [...this.#told.keys()].filter((name) => !names.has(name));
    for (const name of removed) this.#told.delete(name);
    for (const { name, text } of changed) this.#told.set(name, text);
    const id = ++this.#id;
    this.#busy = { ...waiting, id };
    this.#worker.postMessage({ id, changed, removed, ...wanted } satisfies Question);
  }

  #receive(answer: Answer) {
    if (answer.crash !== undefined) {
      this.#worker.terminate();
      this.#crashes += 1;
      const isLast = this.#crashes >= PATIENCE;
      if (isLast) this.#dead = answer.crash;
      this.crashed(answer.crash, isLast);
      if (isLast) {
        this.#busy?.done(answer);
        this.#waiting?.done(undefined);
        this.#busy = this.#waiting = undefined;
        return;
      }
      this.#start();
      // What never began has not been asked; a question that stopped the linter is not asked again.
      if (!this.#hasAnswered && this.#busy && !this.#waiting) {
        this.#waiting = this.#busy;
        this.#busy = undefined;
      }
    } else {
      this.#crashes = 0;
      this.#hasAnswered = true;
    }
    const busy = this.#busy;
    this.#busy = undefined;
    busy?.done(answer);
    this.#send();
  }
}
