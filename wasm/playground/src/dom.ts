// Small helpers to make elements. Text is always set as text, never as HTML.

type Child = Node | string | undefined | null | false;

export function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Record<string, string | boolean | undefined> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== undefined && value !== false) made.setAttribute(key, value);
  }
  for (const child of children) if (child) made.append(child);
  return made;
}

export function button(label: string, act: (event: MouseEvent) => void, attributes: Record<string, string> = {}): HTMLButtonElement {
  const made = element("button", { type: "button", ...attributes }, ...code(label));
  made.addEventListener("click", act);
  return made;
}

/** Text with its `code` in <code>. */
export function code(text: string): (HTMLElement | string)[] {
  return text.split(/(`[^`\n]+`)/).filter(Boolean).map((part) =>
    part.length > 2 && part.startsWith("`") && part.endsWith("`") ? element("code", {}, part.slice(1, -1)) : part,
  );
}

export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element #${id}`);
  return found as T;
}

/** Arrow keys, Home and End move between the items of a tab list or a menu. */
export function roving(list: HTMLElement, selector: string, keys: { next: string; previous: string }, act?: (item: HTMLElement) => void) {
  list.addEventListener("keydown", (event) => {
    const items = [...list.querySelectorAll<HTMLElement>(selector)];
    const at = items.indexOf(document.activeElement as HTMLElement);
    if (at < 0) return;
    const to = { [keys.next]: (at + 1) % items.length, [keys.previous]: (at + items.length - 1) % items.length, Home: 0, End: items.length - 1 }[event.key];
    const item = to === undefined ? undefined : items[to];
    if (!item) return;
    event.preventDefault();
    item.focus();
    act?.(item);
  });
}

export const plural = (count: number, what: string) => `${count} ${what}${count === 1 ? "" : "s"}`;
