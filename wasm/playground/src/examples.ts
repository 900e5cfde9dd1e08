// The shipped scenarios, written to `examples.json` when the playground is built.
import type { TextFile } from "coalmine";
import all from "./examples.json";
import { button, byId, element, roving } from "./dom";
import type { Asked } from "./protocol";

export interface Example {
  id: string;
  group: string;
  title: string;
  hint: string;
  files: TextFile[];
  active?: string;
  step?: string;
  request?: Asked;
}

export const examples = (all as (Omit<Example, "request"> & { request: Asked | null })[]).map(
  (example): Example => ({ ...example, request: example.request ?? undefined }),
);

/** The menu: a button and its items, with the keys that menus have. */
export function menu(choose: (example: Example) => void) {
  const toggle = byId("examples-button");
  const list = byId("examples");
  const items = () => [...list.querySelectorAll<HTMLElement>("[role=menuitem]")];
  const open = (isOpen: boolean) => {
    list.hidden = !isOpen;
    toggle.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) items()[0]?.focus();
  };
  const groups = [...new Set(examples.map(({ group }) => group))];
  list.append(
    ...groups.map((group, index) =>
      element(
        "div",
        { role: "group", "aria-labelledby": `group-${index}` },
        element("div", { class: "group", id: `group-${index}` }, group),
        ...examples
          .filter((example) => example.group === group)
          .map((example) => {
            const act = () => {
              open(false);
              toggle.focus();
              choose(example);
            };
            const item = button(example.title, act, { role: "menuitem", tabindex: "-1", "data-example": example.id });
            item.append(element("span", { class: "hint" }, example.hint));
            return item;
          }),
      ),
    ),
  );
  toggle.addEventListener("click", () => open(list.hidden === true));
  roving(list, "[role=menuitem]", { next: "ArrowDown", previous: "ArrowUp" });
  list.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" && event.key !== "Tab") return;
    open(false);
    if (event.key === "Escape") toggle.focus();
  });
  document.addEventListener("pointerdown", (event) => {
    if (!list.hidden && event.target instanceof Node && !list.contains(event.target) && !toggle.contains(event.target)) open(false);
  });
}
