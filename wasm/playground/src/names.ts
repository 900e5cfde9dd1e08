// Which names files may have: what the linter, the tabs and an address all take as the same name.

/** What is wrong with a name; `undefined` for a good one. */
export function wrongName(name: string): string | undefined {
  if (!/\.(ya?ml|json)$/.test(name)) return "The name ends in .yaml, .yml or .json.";
  if (name.split("/").some((part) => part === "" || part === "." || part === "..")) return "A path inside this playground, such as shop/route.yaml.";
  return undefined;
}
