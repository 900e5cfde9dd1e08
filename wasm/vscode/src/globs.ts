// Globs as settings have them. Knows nothing of the editor, so that Node can test it.

/** A glob without braces, as several: braces cannot stand in braces. */
export function withoutBraces(glob: string): string[] {
  const open = glob.indexOf("{");
  if (open < 0) return [glob];
  const parts: string[] = [];
  let [depth, start, end] = [0, open + 1, -1];
  for (let i = open; i < glob.length && end < 0; i++) {
    const char = glob[i];
    if (char === "{") depth += 1;
    if (char === "}") depth -= 1;
    if ((char === "," && depth === 1) || (char === "}" && depth === 0)) {
      parts.push(glob.slice(start, i));
      start = i + 1;
      if (depth === 0) end = i;
    }
  }
  // Braces that are never closed are none of a glob's.
  if (end < 0) return [];
  return parts.flatMap((part) => withoutBraces(glob.slice(0, open) + part + glob.slice(end + 1)));
}
