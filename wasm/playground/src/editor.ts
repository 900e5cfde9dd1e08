// CodeMirror: one view, one state per file.
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { yaml } from "@codemirror/lang-yaml";
import { bracketMatching, codeFolding, foldGutter, foldKeymap, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { type Diagnostic as Mark, lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState, StateEffect, StateField, type TransactionSpec } from "@codemirror/state";
import { Decoration, type DecorationSet, EditorView, drawSelection, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers } from "@codemirror/view";
import { classHighlighter } from "@lezer/highlight";

/** Lines to mark as the path of a request, 1-based. */
const setPath = StateEffect.define<number[]>();
const pathLine = Decoration.line({ class: "cm-path" });

const path = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(marks, transaction) {
    marks = marks.map(transaction.changes);
    for (const effect of transaction.effects) {
      if (!effect.is(setPath)) continue;
      const { doc } = transaction.state;
      const lines = [...new Set(effect.value)].filter((line) => line >= 1 && line <= doc.lines).sort((a, b) => a - b);
      marks = Decoration.set(lines.map((line) => pathLine.range(doc.line(line).from)));
    }
    return marks;
  },
  provide: (field) => EditorView.decorations.from(field),
});

/** The place that was jumped to, for a moment. */
const setFlash = StateEffect.define<{ from: number; to: number } | null>();
const flash = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(marks, transaction) {
    marks = marks.map(transaction.changes);
    for (const effect of transaction.effects) {
      if (!effect.is(setFlash)) continue;
      marks = effect.value && effect.value.to > effect.value.from
        ? Decoration.set([Decoration.mark({ class: "cm-flash" }).range(effect.value.from, effect.value.to)])
        : Decoration.none;
    }
    return marks;
  },
  provide: (field) => EditorView.decorations.from(field),
});

export class Editor {
  readonly #view: EditorView;
  readonly #states = new Map<string, EditorState>();
  /** Where the files that are not shown were scrolled to. */
  readonly #scrolled = new Map<string, StateEffect<unknown>>();
  #active = "";

  constructor(parent: HTMLElement, private readonly changed: () => void) {
    this.#view = new EditorView({ parent });
  }

  #extensions() {
    return [
      lineNumbers(),
      highlightActiveLineGutter(),
      history(),
      codeFolding(),
      foldGutter({ openText: "▾", closedText: "▸" }),
      drawSelection(),
      indentUnit.of("  "),
      indentOnInput(),
      bracketMatching(),
      highlightActiveLine(),
      highlightSelectionMatches(),
      search({ top: true }),
      yaml(),
      syntaxHighlighting(classHighlighter),
      lintGutter(),
      path,
      flash,
      // Tab moves on to the next control, as everywhere on the page; Mod-] indents.
      keymap.of([...lintKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...foldKeymap]),
      // A file keeps its state when it is renamed, so the name is not part of it.
      EditorView.contentAttributes.of(() => ({ "aria-label": `Text of ${this.#active}`, spellcheck: "false", tabindex: "0" })),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) this.changed();
      }),
    ];
  }

  get active() {
    return this.#active;
  }

  get names() {
    return [...this.#states.keys()];
  }

  has(name: string) {
    return this.#states.has(name);
  }

  #state(name: string): EditorState | undefined {
    return name === this.#active ? this.#view.state : this.#states.get(name);
  }

  text(name: string): string {
    return this.#state(name)?.doc.toString() ?? "";
  }

  /** Replaces all files. */
  load(files: { name: string; text: string }[], active: string | undefined) {
    this.#states.clear();
    this.#scrolled.clear();
    this.#active = "";
    for (const { name, text } of files) this.add(name, text);
    const first = active !== undefined && this.has(active) ? active : files[0]?.name;
    if (first !== undefined) this.show(first);
  }

  add(name: string, text: string) {
    this.#states.set(name, EditorState.create({ doc: text, extensions: this.#extensions() }));
  }

  /** Takes a file away; what is answered puts it back where it was, with its history. */
  remove(name: string): () => void {
    const names = this.names;
    const at = names.indexOf(name);
    const state = this.#state(name);
    this.#states.delete(name);
    this.#scrolled.delete(name);
    if (name === this.#active) {
      this.#active = "";
      const next = names[at + 1] ?? names[at - 1];
      if (next !== undefined) this.show(next);
    }
    return () => {
      if (!state || this.#states.has(name)) return;
      const all = [...this.#all()];
      all.splice(at, 0, [name, state]);
      this.#states.clear();
      for (const [other, own] of all) this.#states.set(other, own);
      this.show(name);
    };
  }

  *#all(): Iterable<[string, EditorState]> {
    for (const [name, state] of this.#states) yield [name, name === this.#active ? this.#view.state : state];
  }

  /** The same place among the files, the same history. */
  rename(from: string, to: string) {
    const all = [...this.#all()];
    const scrolled = this.#scrolled.get(from);
    this.#states.clear();
    this.#scrolled.delete(from);
    if (scrolled) this.#scrolled.set(to, scrolled);
    for (const [name, state] of all) this.#states.set(name === from ? to : name, state);
    if (from !== this.#active) return;
    this.#active = to;
    // Attributes are asked for again with a change of any kind.
    this.#view.dispatch({ effects: setFlash.of(null) });
  }

  show(name: string) {
    if (name === this.#active) return;
    const state = this.#states.get(name);
    if (!state) return;
    if (this.#states.has(this.#active)) {
      this.#states.set(this.#active, this.#view.state);
      this.#scrolled.set(this.#active, this.#view.scrollSnapshot());
    }
    this.#active = name;
    this.#view.setState(state);
    const scrolled = this.#scrolled.get(name);
    if (scrolled) this.#view.dispatch({ effects: scrolled });
    else this.#view.scrollDOM.scrollTo(0, 0);
  }

  focus() {
    this.#view.focus();
  }

  #dispatch(name: string, spec: TransactionSpec) {
    const state = this.#state(name);
    if (!state) return;
    if (name === this.#active) this.#view.dispatch(spec);
    else this.#states.set(name, state.update(spec).state);
  }

  /** Replaces parts of a file; undo takes all of it back at once. */
  edit(name: string, changes: { from: number; to: number; insert: string }[]) {
    this.#dispatch(name, { changes, userEvent: "input.fix" });
    if (name !== this.#active) this.changed();
  }

  /** Makes the text of a file this one, touching only what differs. */
  replace(name: string, text: string) {
    const old = this.text(name);
    if (old === text) return;
    let start = 0;
    while (start < old.length && start < text.length && old[start] === text[start]) start++;
    let end = 0;
    while (end < old.length - start && end < text.length - start && old[old.length - 1 - end] === text[text.length - 1 - end]) end++;
    this.edit(name, [{ from: start, to: old.length - end, insert: text.slice(start, text.length - end) }]);
  }

  mark(name: string, marks: Mark[]) {
    const state = this.#state(name);
    if (!state) return;
    const length = state.doc.length;
    const clamped = marks.map((mark) => ({ ...mark, from: Math.min(mark.from, length), to: Math.min(mark.to, length) }));
    this.#dispatch(name, setDiagnostics(state, clamped));
  }

  markPath(name: string, lines: number[]) {
    this.#dispatch(name, { effects: setPath.of(lines) });
  }

  jump(name: string, from: number, to: number) {
    this.show(name);
    const { state } = this.#view;
    from = Math.min(from, state.doc.length);
    to = Math.min(Math.max(to, from), state.doc.length);
    this.#view.dispatch({
      selection: { anchor: from },
      effects: [EditorView.scrollIntoView(from, { y: "center" }), setFlash.of({ from, to })],
    });
    this.#view.focus();
    const shown = this.#view.state.doc;
    setTimeout(() => {
      if (this.#view.state.doc === shown) this.#view.dispatch({ effects: setFlash.of(null) });
    }, 1600);
  }

  /** Scrolls a line into view, and leaves the focus where it is. */
  reveal(line: number) {
    const { doc } = this.#view.state;
    if (line > doc.lines) return;
    this.#view.dispatch({ effects: EditorView.scrollIntoView(doc.line(line).from, { y: "center" }) });
  }
}
