// The files as tabs: the ARIA pattern, with Delete to close and F2 to rename.
import { byId, element, plural, roving } from "./dom";
import { wrongName } from "./names";

export interface Actions {
  show(name: string): void;
  add(name: string): void;
  rename(from: string, to: string): void;
  close(name: string): void;
}

export class Tabs {
  readonly #list = byId("tabs");
  readonly #dialog = byId<HTMLDialogElement>("name-dialog");
  readonly #input = byId<HTMLInputElement>("name-input");
  readonly #hint = byId("name-hint");
  #names: string[] = [];
  #active = "";

  constructor(private readonly actions: Actions) {
    roving(this.#list, "[role=tab]", { next: "ArrowRight", previous: "ArrowLeft" }, (tab) => this.actions.show(tab.dataset.name ?? ""));
    this.#list.addEventListener("keydown", (event) => {
      if (event.key === "Delete") this.#close(this.#active, true);
      if (event.key === "F2") void this.#rename();
    });
    byId("new-file").addEventListener("click", () => void this.#add());
    byId("rename-file").addEventListener("click", () => void this.#rename());
    byId("close-file").addEventListener("click", () => this.#close(this.#active, false));
    byId("name-cancel").addEventListener("click", () => this.#dialog.close());
  }

  /** Draws the tabs; `found` counts the findings of each file and says which is the worst. */
  draw(names: string[], active: string, found: Map<string, { count: number; worst: string }>) {
    const hadFocus = this.#list.contains(document.activeElement);
    this.#names = names;
    this.#active = active;
    this.#list.replaceChildren(...names.map((name) => this.#tab(name, name === active, found.get(name))));
    const shown = this.#list.querySelector<HTMLElement>("[aria-selected=true]");
    if (hadFocus) shown?.focus();
    shown?.scrollIntoView({ block: "nearest", inline: "nearest" });
    byId("editor").setAttribute("aria-label", active);
    byId<HTMLButtonElement>("close-file").disabled = names.length < 2;
  }

  #tab(name: string, isActive: boolean, found: { count: number; worst: string } | undefined): HTMLElement {
    const folder = name.includes("/") ? name.slice(0, name.lastIndexOf("/") + 1) : "";
    const tab = element(
      "button",
      {
        type: "button",
        role: "tab",
        "aria-selected": String(isActive),
        "aria-controls": "editor",
        tabindex: isActive ? "0" : "-1",
        title: name,
        "data-name": name,
      },
      folder !== "" && element("span", { class: "folder" }, folder),
      name.slice(folder.length),
      found && element("span", { class: `badge ${found.worst}`, "aria-hidden": "true" }, String(found.count)),
      found && element("span", { class: "visually-hidden" }, `, ${plural(found.count, "problem")}`),
    );
    tab.addEventListener("click", () => this.actions.show(name));
    tab.addEventListener("auxclick", (event) => event.button === 1 && this.#close(name, false));
    return tab;
  }

  #close(name: string, keepFocus: boolean) {
    if (this.#names.length < 2) return;
    this.actions.close(name);
    if (keepFocus) this.#list.querySelector<HTMLElement>("[aria-selected=true]")?.focus();
  }

  async #add() {
    let number = 1;
    while (this.#names.includes(`new-${number}.yaml`)) number++;
    const name = await this.#ask("New file", `new-${number}.yaml`, undefined);
    if (name !== undefined) this.actions.add(name);
  }

  async #rename() {
    const from = this.#active;
    const to = await this.#ask("Rename the file", from, from);
    if (to !== undefined && to !== from) this.actions.rename(from, to);
  }

  #ask(title: string, name: string, own: string | undefined): Promise<string | undefined> {
    const usual = this.#hint.innerHTML;
    byId("name-title").textContent = title;
    this.#input.value = name;
    this.#input.removeAttribute("aria-invalid");
    const wrong = () => {
      const value = this.#input.value.trim();
      return wrongName(value) ?? (value !== own && this.#names.includes(value) ? "There is a file of this name." : undefined);
    };
    return new Promise((resolve) => {
      let answer: string | undefined;
      const submit = (event: Event) => {
        const problem = wrong();
        if (problem === undefined) {
          answer = this.#input.value.trim();
          return;
        }
        event.preventDefault();
        this.#hint.textContent = problem;
        this.#input.setAttribute("aria-invalid", "true");
        this.#input.focus();
      };
      const form = this.#dialog.querySelector("form");
      form?.addEventListener("submit", submit);
      this.#dialog.addEventListener(
        "close",
        () => {
          form?.removeEventListener("submit", submit);
          this.#hint.innerHTML = usual;
          resolve(answer);
        },
        { once: true },
      );
      this.#dialog.showModal();
      this.#input.select();
    });
  }
}
