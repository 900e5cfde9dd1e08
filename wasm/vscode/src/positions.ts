// Offsets and positions in texts. Knows nothing of the editor, so that Node can test it.

/** 0-based, in UTF-16 code units: as the editor counts. */
export interface Place {
  line: number;
  character: number;
}

/** Where an offset is in a text; behind the end it is the end. The editor ends lines with `\n`, `\r\n` and `\r`. */
export function placeAt(text: string, offset: number): Place {
  const before = text.slice(0, Math.max(0, offset));
  let line = 0;
  let start = 0;
  for (const { index, 0: end } of before.matchAll(/\r\n|\r|\n/g)) {
    line += 1;
    start = index + end.length;
  }
  return { line, character: before.length - start };
}

export interface Splice {
  /** The first replaced character. */
  start: number;
  /** Behind the last one. */
  end: number;
  text: string;
}

/** The smallest splice that makes one text the other; `undefined` when they are the same. */
export function difference(before: string, after: string): Splice | undefined {
  if (before === after) return undefined;
  const shortest = Math.min(before.length, after.length);
  let head = 0;
  while (head < shortest && before[head] === after[head]) head += 1;
  let tail = 0;
  while (tail < shortest - head && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail += 1;
  // Neither between the two halves of a character nor between those of a line's end.
  const splits = (text: string, at: number) => /[\uD800-\uDBFF\r]/.test(text[at - 1] ?? "");
  while (head > 0 && splits(before, head)) head -= 1;
  while (tail > 0 && splits(before, before.length - tail)) tail -= 1;
  return { start: head, end: before.length - tail, text: after.slice(head, after.length - tail) };
}
