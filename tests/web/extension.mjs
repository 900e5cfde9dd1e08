// The parts of the extension that know nothing of the editor: `node --test extension.mjs`, with the folder that it was
// built in in COALMINE_EXTENSION.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { describe, test } from "node:test";

const { COALMINE_EXTENSION } = process.env;
const { build } = createRequire(join(COALMINE_EXTENSION, "package.json"))("esbuild");

/** A module of the extension, with what it imports. */
async function part(name) {
  const options = { bundle: true, write: false, format: "esm", platform: "browser", logLevel: "warning", absWorkingDir: COALMINE_EXTENSION };
  const { outputFiles } = await build({ ...options, entryPoints: [`src/${name}.ts`] });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
}

const { difference, placeAt } = await part("positions");
const { applied, isSuppressible, suppressions } = await part("suppression");
const { Deployments, load, mistakeIn } = await part("linter");
await load(readFileSync(join(COALMINE_EXTENSION, "dist/coalmine_bg.wasm")));

describe("positions", () => {
  test("lines end as they do in the editor", () => {
    const text = "a\r\nb\rc\n𝄞d";
    const places = [0, 1, 3, 4, 5, 6, 7, 9, 10].map((offset) => placeAt(text, offset));
    assert.deepEqual(places, [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1], [3, 0], [3, 2], [3, 3]].map(([line, character]) => ({ line, character })));
    assert.deepEqual(placeAt(text, 99), { line: 3, character: 3 });
  });

  test("a difference is small, and makes one text the other", () => {
    assert.equal(difference("same", "same"), undefined);
    assert.deepEqual(difference("a: 1\nb: 2\n", "a: 1\nb: 3\n"), { start: 8, end: 9, text: "3" });
    for (const [before, after] of [["aaa", "aa"], ["", "x"], ["x", ""], ["ab", "acb"], ["a\r\nb", "a\nb"], ["𝄞", "𝄟"], ["x𝄞y", "x\ud834\udd1f\ud834\udd1ey"]]) {
      const splice = difference(before, after);
      assert.equal(applied(before, splice), after);
      const isHalf = (at) => /[\ud800-\udbff]/.test(before[at - 1] ?? "") && /[\udc00-\udfff]/.test(before[at] ?? "");
      assert.ok(!isHalf(splice.start) && !isHalf(splice.end), JSON.stringify([before, after]));
    }
  });
});

const SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: shop}\nspec:\n  ports:\n  - prot: 1\n";

test("a comment that is offered hides its finding", () => {
  for (const text of [SERVICE, SERVICE.replaceAll("\n", "\r\n"), SERVICE.trimEnd()]) {
    const deployments = new Deployments();
    deployments.check(new Map([["é𝄞.yaml", text]]));
    const found = deployments.report.diagnostics.find(({ rule }) => rule === "unknown-field");
    assert.ok(isSuppressible(found));
    const all = deployments.report.diagnostics.length;
    for (const comment of suppressions(text, found)) {
      assert.equal(deployments.tryText("é𝄞.yaml", applied(text, comment)).diagnostics.length, all - 1, applied(text, comment));
    }
    assert.equal(deployments.text("é𝄞.yaml"), text, "trying leaves the text as it was");
    deployments.free();
  }
  assert.ok(!isSuppressible({ rule: "unknown-field", file: "a.json" }));
});

describe("settings", () => {
  test("a mistake is found by its file", () => {
    assert.deepEqual(mistakeIn("a/coalmine.yaml: no: such", ["coalmine.yaml", "a/coalmine.yaml"]), { file: "a/coalmine.yaml", message: "no: such" });
    assert.equal(mistakeIn("something else", ["coalmine.yaml"]), undefined);
  });

  test("settings that cannot be used leave those from before in force", () => {
    const deployments = new Deployments();
    const files = (settings) => new Map([["a/x.yaml", SERVICE], ["a/coalmine.yaml", settings], ["b/coalmine.yaml", "x: 1"], ["b/x.yaml", SERVICE]]);
    const severities = () => deployments.report.diagnostics.filter(({ rule }) => rule === "unknown-field").map(({ file, severity }) => `${file} ${severity}`);
    deployments.check(files("rules: {unknown-field: info}"));
    assert.deepEqual(deployments.mistakes.map(({ file }) => file), ["b/coalmine.yaml"]);
    const before = severities();
    assert.ok(before.includes("a/x.yaml info"), String(before));
    deployments.check(files("rules: ["));
    assert.deepEqual(deployments.mistakes.map(({ file }) => file).sort(), ["a/coalmine.yaml", "b/coalmine.yaml"]);
    assert.deepEqual(severities(), before);
    deployments.check(files(""));
    assert.deepEqual(deployments.mistakes.map(({ file }) => file), ["b/coalmine.yaml"]);
    assert.notDeepEqual(severities(), before);
    deployments.free();
  });
});
