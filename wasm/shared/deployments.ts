// The linter for the files of one folder: what it is told, what it found, and which mistakes in `coalmine.yaml` kept it
// from its settings. For the playground and the extension; knows nothing of either, so that Node can test it.
import { Linter } from "coalmine/web";
import type { Fixed, Followed, Graph, GraphOptions, Report, RouteQuestion } from "coalmine/web";

/** A `coalmine.yaml` that cannot be used. */
export interface Mistake {
  file: string;
  message: string;
}

export const isSettings = (name: string) => name === "coalmine.yaml" || name.endsWith("/coalmine.yaml");

/** Nobody knows what a module does after it trapped. */
export const isCrash = (error: unknown) => error instanceof WebAssembly.RuntimeError;

/** A mistake out of what was thrown: `a/coalmine.yaml: unknown field …`. */
export function mistakeIn(message: string, names: Iterable<string>): Mistake | undefined {
  for (const file of names) {
    if (message.startsWith(`${file}: `)) return { file, message: message.slice(file.length + 2) };
  }
  return undefined;
}

export class Deployments {
  readonly #linter = new Linter();
  readonly #told = new Map<string, string>();
  /** The texts of settings that could be used last; they stay in force until a mistake is repaired. */
  readonly #usable = new Map<string, string>();
  report: Report | undefined;
  mistakes: Mistake[] = [];

  /** Lints these texts; throws only what is a defect of the linter. */
  check(texts: ReadonlyMap<string, string>): void {
    for (const name of [...this.#told.keys()]) {
      if (texts.has(name)) continue;
      this.#tell(name, undefined);
      this.#usable.delete(name);
    }
    for (const [name, text] of texts) this.#tell(name, text);
    const settings = [...texts.keys()].filter(isSettings);
    this.mistakes = [];
    for (;;) {
      try {
        this.report = this.#linter.lint({ units: "utf16" });
        break;
      } catch (error) {
        if (isCrash(error) || !(error instanceof Error)) throw error;
        const known = new Set(this.mistakes.map(({ file }) => file));
        const mistake = mistakeIn(error.message, settings.filter((name) => !known.has(name)));
        if (!mistake) throw error;
        this.mistakes.push(mistake);
        this.#tell(mistake.file, this.#usable.get(mistake.file));
      }
    }
    const wrong = new Set(this.mistakes.map(({ file }) => file));
    for (const name of settings) if (!wrong.has(name)) this.#usable.set(name, texts.get(name)!);
  }

  #tell(name: string, text: string | undefined) {
    if (this.#told.get(name) === text) return;
    if (text === undefined) {
      this.#linter.removeFile(name);
      this.#told.delete(name);
    } else {
      this.#linter.setFile(name, text);
      this.#told.set(name, text);
    }
  }

  text(name: string): string {
    return this.#told.get(name) ?? "";
  }

  /** Settings with a mistake are no file of the linter. */
  #file(name: string): string | undefined {
    return this.#told.has(name) ? name : undefined;
  }

  steps(file: string): string[] {
    return this.#linter.steps(this.#file(file));
  }

  graph(file: string, step: string | undefined, more: GraphOptions = {}): Graph {
    return this.#linter.graph({ ...more, file: this.#file(file), step, units: "utf16" });
  }

  picture(file: string, step: string | undefined, more: GraphOptions = {}): string {
    return this.#linter.draw("svg", { ...more, file: this.#file(file), step, title: step ?? "Routing" });
  }

  route(file: string, step: string | undefined, question: RouteQuestion): Followed {
    return this.#linter.route({ ...question, file: this.#file(file), step, units: "utf16" });
  }

  /** Everything that is safe. */
  fix(): Fixed {
    return this.#linter.fix();
  }

  /** What would be found if a file had another text. */
  tryText(name: string, text: string): Report {
    const before = this.text(name);
    this.#linter.setFile(name, text);
    try {
      return this.#linter.lint({ units: "utf16" });
    } finally {
      this.#linter.setFile(name, before);
    }
  }

  free() {
    this.#linter.free();
  }
}
