// The parts of the extension that know nothing of the editor: `node --test extension.mjs`, with the folder that it was
// built in in COALMINE_EXTENSION.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { describe, test } from "node:test";

const { COALMINE_EXTENSION } = process.env;
const { build } = createRequire(join(COALMINE_EXTENSION, "package.json"))("esbuild");

/** The editor, as far as a test needs it: whoever asks `vscode` gets what stands here. */
const editor = (globalThis.coalmineEditor = {});
const stub = {
  name: "vscode",
  setup(build) {
    build.onResolve({ filter: /^vscode$/ }, () => ({ path: "vscode", namespace: "stub" }));
    build.onLoad({ filter: /.*/, namespace: "stub" }, () => ({ contents: "module.exports = globalThis.coalmineEditor;", loader: "js" }));
  },
};

/** Modules of the extension as one, with what they import. */
async function part(...names) {
  const stdin = { contents: names.map((name) => `export * from "./${name}";`).join("\n"), resolveDir: COALMINE_EXTENSION };
  const options = { bundle: true, write: false, format: "esm", platform: "browser", logLevel: "warning", absWorkingDir: COALMINE_EXTENSION, plugins: [stub] };
  const { outputFiles } = await build({ ...options, stdin });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
}

const { difference, placeAt } = await part("src/positions");
const { applied, isSuppressible, suppressions } = await part("src/suppression");
const { Deployments, load, mistakeIn } = await part("src/linter", "shared/deployments");
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

test("what a manifest says is no Markdown", async () => {
  const { calls, span } = await part("src/words");
  const evil = "header x is ![t](https://evil.example/p.png) and `` *.*";
  const range = { start: { line: 1, column: 1, offset: 0 }, end: { line: 1, column: 2, offset: 1 } };
  const place = { file: "a.yaml", range };
  const way = { ...place, when: evil, weight: null, port: 80, by: null };
  const graph = {
    nodes: [{ ...place, id: "a", kind: "client", name: "**a**", missing: false }, { ...place, id: "b", kind: "host", name: "[b](command:x)", missing: true }],
    edges: [{ ...place, id: "a -> b", from: "a", to: "b", label: evil, ways: [way], tls: "mtls" }],
  };
  const lines = calls(graph, "a.yaml", () => true);
  assert.equal(lines.length, 2);
  for (const line of lines) {
    assert.ok(line.includes(`\`\`\` ${evil} \`\`\``), line);
    assert.ok(line.includes("`**a**` → host `[b](command:x)` (not defined)"), line);
  }
  assert.deepEqual([span("a`b"), span("a\nb"), span("")], ["`` a`b ``", "`a b`", ""]);
});

test("globs lose their braces and nothing else", async () => {
  const { withoutBraces } = await part("src/globs");
  assert.deepEqual(withoutBraces("**/*.js"), ["**/*.js"]);
  assert.deepEqual(withoutBraces("**/{a,b/{c,d}}/*.{x,y}"), ["**/a/*.x", "**/a/*.y", "**/b/c/*.x", "**/b/c/*.y", "**/b/d/*.x", "**/b/d/*.y"]);
  assert.deepEqual(withoutBraces("a/{b"), []);
});

test("a step is a whole folder", async () => {
  const { stepOf } = await part("src/steps");
  const steps = ["1", "11", "b/2"];
  assert.deepEqual(["11/x.yaml", "1/x.yaml", "a/b/2/x.yaml", "b/22/x.yaml", "1"].map((name) => stepOf(name, steps)), ["11", "1", "b/2", undefined, "1"]);
});

test("folders come and go, whatever they are called", async () => {
  const uri = (path) => ({ path, scheme: "file", toString: () => `file://${path}` });
  const disk = new Map([["/w/v2.0/a.yaml", "kind: A"], ["/w/b.yaml", "kind: B"]]);
  const heard = {};
  const none = { dispose() {} };
  const on = (name) => (act) => ((heard[name] = act), none);
  let exclude;
  Object.assign(editor, {
    EventEmitter: class {
      event = () => none;
      fire() {}
      dispose() {}
    },
    Disposable: { from: () => none },
    FileType: { Unknown: 0, File: 1, Directory: 2 },
    RelativePattern: class {},
    workspace: {
      workspaceFolders: [{ uri: uri("/w") }],
      textDocuments: [],
      getWorkspaceFolder: () => ({ uri: uri("/w") }),
      getConfiguration: () => ({ get: () => ({ "**/{x,y}/**": true, "**/off": false }) }),
      findFiles: async (_, excluded) => ((exclude = excluded), [...disk.keys()].map(uri)),
      createFileSystemWatcher: () => ({ onDidCreate: on("create"), onDidChange: on("change"), onDidDelete: on("delete"), dispose() {} }),
      onDidChangeWorkspaceFolders: on("folders"),
      onDidChangeTextDocument: on("typed"),
      onDidOpenTextDocument: on("opened"),
      onDidCloseTextDocument: on("closed"),
      onDidChangeConfiguration: on("settings"),
      fs: {
        readFile: async ({ path }) => new TextEncoder().encode(disk.get(path)),
        stat: async ({ path }) => ({ type: [...disk.keys()].some((file) => file.startsWith(`${path}/`)) ? 2 : 1 }),
      },
    },
  });
  const { Workspace } = await part("src/workspace");
  const workspace = new Workspace({ warn() {}, debug() {} });
  const texts = () => Object.fromEntries(workspace.groups()[0].texts);
  const settled = () => new Promise((done) => setTimeout(done, 500));
  await workspace.rescan();
  assert.deepEqual(texts(), { "v2.0/a.yaml": "kind: A", "b.yaml": "kind: B" });
  assert.ok(exclude.includes(",**/x/**,**/y/**}"), exclude);
  disk.delete("/w/v2.0/a.yaml");
  heard.delete(uri("/w/v2.0"));
  await settled();
  assert.deepEqual(texts(), { "b.yaml": "kind: B" });
  disk.set("/w/v2.0/a.yaml", "kind: C");
  heard.create(uri("/w/v2.0"));
  await settled();
  assert.deepEqual(texts(), { "b.yaml": "kind: B", "v2.0/a.yaml": "kind: C" });
  // Replaced as a whole, by one of other texts.
  disk.set("/w/v2.0/a.yaml", "kind: D");
  heard.delete(uri("/w/v2.0"));
  heard.create(uri("/w/v2.0"));
  await settled();
  assert.equal(texts()["v2.0/a.yaml"], "kind: D");
  workspace.dispose();
});

test("it starts for every language that it lints", () => {
  const { activationEvents } = JSON.parse(readFileSync(join(COALMINE_EXTENSION, "package.json"), "utf8"));
  for (const language of ["yaml", "json"]) assert.ok(activationEvents.includes(`onLanguage:${language}`), language);
});
