// The border between the text and the picture, which can be moved: the ARIA pattern of a window splitter.
import { byId } from "./dom";

const KEY = "coalmine-split";
const [LEAST, USUAL, MOST] = [20, 36, 70];

/** The width of the text in percent, as it was left. */
function stored(): number {
  try {
    const kept = Number(localStorage.getItem(KEY));
    return kept >= LEAST && kept <= MOST ? kept : USUAL;
  } catch {
    return USUAL; // storage is blocked
  }
}

export function splitter() {
  const bar = byId("splitter");
  const main = bar.parentElement!;
  let now = stored();
  const set = (percent: number) => {
    now = Math.round(Math.min(MOST, Math.max(LEAST, percent)));
    main.style.setProperty("--text", `${now}%`);
    bar.setAttribute("aria-valuenow", String(now));
  };
  const keep = () => {
    try {
      localStorage.setItem(KEY, String(now));
    } catch {
      // as above
    }
  };
  set(now);
  bar.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    bar.setPointerCapture(event.pointerId);
    bar.focus();
  });
  bar.addEventListener("pointermove", ({ clientX, pointerId }) => {
    if (!bar.hasPointerCapture(pointerId)) return;
    const { left, width } = main.getBoundingClientRect();
    set(((clientX - left) / width) * 100);
  });
  bar.addEventListener("lostpointercapture", keep);
  bar.addEventListener("dblclick", () => {
    set(USUAL);
    keep();
  });
  bar.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: now - 2, ArrowRight: now + 2, Home: LEAST, End: MOST }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    set(to);
    keep();
  });
}
