// Prints what the npm package says of the files below a folder: `node lint.mjs PACKAGE FOLDER`. The test of parity
// compares it with the command line.
import { readFileSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";

const [packageFolder, folder] = process.argv.slice(2);
const { Linter } = await import(pathToFileURL(join(packageFolder, "node.mjs")));

const linter = new Linter();
for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile()) continue;
  const path = join(entry.parentPath ?? entry.path, entry.name);
  linter.setFile(relative(folder, path), readFileSync(path, "utf8"));
}
console.log(JSON.stringify(linter.lint()));
