// Light, dark, or as the system has it.
import { byId } from "./dom";

const THEMES = ["auto", "light", "dark"] as const;
const KEY = "coalmine-theme";

function stored(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage is blocked; the choice lasts as long as the page
  }
}

export function theme() {
  const toggle = byId("theme");
  const root = document.documentElement;
  const apply = (name: string) => {
    root.dataset.theme = name;
    toggle.textContent = `Theme: ${name}`;
    toggle.title = "Light, dark, or as your system has it";
  };
  apply(THEMES.find((name) => name === stored()) ?? "auto");
  toggle.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(root.dataset.theme as (typeof THEMES)[number]) + 1) % THEMES.length] ?? "auto";
    apply(next);
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // as above
    }
  });
}
