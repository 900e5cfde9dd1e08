// The npm package in Node: `node --test package.mjs`, with the folder of the package in COALMINE_PACKAGE and that which
// has TypeScript and the playground's examples in COALMINE_TOOLS.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { pathToFileURL } from "node:url";

// Installed, so that its `exports` are what decides.
const project = mkdtempSync(join(tmpdir(), "coalmine-npm-"));
after(() => rmSync(project, { recursive: true, force: true }));
mkdirSync(join(project, "node_modules"));
symlinkSync(process.env.COALMINE_PACKAGE, join(project, "node_modules/coalmine"), "dir");
writeFileSync(join(project, "entry.mjs"), 'export * from "coalmine";\nexport { default } from "coalmine";\n');
writeFileSync(join(project, "web.mjs"), 'export * from "coalmine/web";\n');

const esm = await import(pathToFileURL(join(project, "entry.mjs")));
const cjs = createRequire(join(project, "x.cjs"))("coalmine");

const ROUTE = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: shop}
spec:
  hosts: [shop]
  http:
  - route:
    - destination: {host: shop, subset: v3}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop, namespace: shop}
spec:
  host: shop
  subsets:
  - {name: v2, labels: {version: "2"}}
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: shop}
spec:
  selector: {app: shop}
  ports: [{name: http, port: 80}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop-2, namespace: shop}
spec:
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop, version: "2"}}
    spec: {containers: [{name: shop, ports: [{containerPort: 80}]}]}
`;

for (const [name, { Linter, explain, rules, version }] of [["import", esm], ["require", cjs]]) {
  test(`${name}: lints, explains and knows its rules`, () => {
    const linter = new Linter();
    linter.setFile("shop.yaml", ROUTE);
    const { version: format, diagnostics, summary } = linter.lint();
    assert.equal(format, 1);
    const finding = diagnostics.find(({ rule }) => rule === "unknown-subset");
    assert.equal(finding.severity, "error");
    assert.deepEqual(finding.range.start, { line: 8, column: 41, offset: ROUTE.indexOf("v3") });
    assert.equal(summary.files, 1);
    assert.match(explain("unknown-subset").markdown, /## What it does/);
    assert.ok(rules().rules.some(({ id }) => id === "unknown-subset"));
    assert.match(version(), /^\d+\.\d+\.\d+/);
    assert.equal(linter.removeFile("shop.yaml"), true);
    assert.equal(linter.removeFile("shop.yaml"), false);
    assert.deepEqual(linter.lint().diagnostics, []);
  });

  test(`${name}: what is wrong is thrown as an Error that says so, and the linter goes on`, () => {
    const linter = new Linter();
    linter.setFile("coalmine.yaml", "rules: {unknown-subst: off}");
    linter.setFile("a.yaml", "a: 1\na: 2\n");
    assert.throws(() => linter.lint(), { name: "Error", message: /^coalmine\.yaml: .*unknown-subst.*did you mean `unknown-subset`/s });
    assert.throws(() => linter.lint({ unit: "utf16" }), /lint options: unknown field `unit`/);
    assert.throws(() => explain("no-such-rule"), /there is no rule `no-such-rule`/);
    assert.throws(() => linter.draw("png"), /coalmine\.yaml|no format/);
    linter.removeFile("coalmine.yaml");
    assert.throws(() => linter.route({ to: "ftp://a" }), /no scheme/);
    assert.equal(linter.lint().diagnostics[0].rule, "duplicate-key");
  });
}

test("places count as strings of JavaScript do where that is asked for", () => {
  const linter = new esm.Linter();
  const text = 'a: "𝄞é"\nb: 1\nb: 2\n';
  linter.setFile("a.yaml", text);
  const [finding] = linter.lint({ units: "utf16" }).diagnostics;
  assert.equal(text.slice(finding.range.start.offset, finding.range.end.offset), "b");
  assert.equal(finding.range.start.offset, text.lastIndexOf("b"));
});

test("a fix leaves the linter's files alone and answers with the new ones", () => {
  const linter = new esm.Linter();
  linter.setFile("shop.yaml", ROUTE.replace("v3", "v2").replace('labels: {version: "2"}', "labels: {version: 2}"));
  const before = linter.lint();
  const fixable = before.diagnostics.find(({ fix }) => fix?.safety === "safe");
  assert.ok(fixable, JSON.stringify(before.diagnostics));
  const { applied, files } = linter.fix({ finding: fixable });
  assert.equal(applied, 1);
  assert.deepEqual(linter.lint(), before);
  for (const { name, text } of files) linter.setFile(name, text);
  assert.ok(!linter.lint().diagnostics.some(({ rule }) => rule === fixable.rule));
  assert.throws(() => linter.fix({ finding: fixable }), /there is no such finding/);
});

test("a request's way is in the graph", () => {
  const linter = new esm.Linter();
  linter.setFile("shop.yaml", ROUTE.replace("v3", "v2"));
  const { taken, failed, answered } = linter.route({ to: "http://shop/", from: "deployment/shop/shop-2" });
  assert.equal(answered, true);
  assert.deepEqual(failed, []);
  const graph = linter.graph({ highlight: taken });
  const ids = new Set([...graph.nodes, ...graph.edges].map(({ id }) => id));
  assert.ok(taken.includes("workload/Deployment/shop/shop-2"));
  for (const id of taken) assert.ok(ids.has(id), id);
  assert.match(linter.draw("svg", { highlight: taken }), /^<svg[^]*<\/svg>\s*$/);
});

test("in every scenario, whoever asks for whatever: the way is in the graph, and in one list", () => {
  const examples = JSON.parse(readFileSync(join(process.env.COALMINE_TOOLS, "src/examples.json"), "utf8"));
  let asked = 0;
  let failing = 0;
  for (const { id: example, files, active, step, request } of examples) {
    const linter = new esm.Linter();
    for (const { name, text } of files) linter.setFile(name, text);
    const at = { file: active ?? undefined, step: step ?? undefined };
    const { nodes } = linter.graph(at);
    const workloads = nodes.filter(({ kind, resource }) => kind === "workload" && resource).map(({ resource }) => `${resource.kind}/${resource.namespace}/${resource.name}`);
    const hosts = nodes.filter(({ kind }) => kind === "host").map(({ id }) => id.slice("host/".length));
    const requests = workloads.flatMap((from) => [...hosts, "nobody.example", "nobody"].map((host) => ({ from, to: `http://${host}/` })));
    for (const one of [...requests, ...(request ? [request] : [])]) {
      const { taken, failed, answered } = linter.route({ ...one, ...at, follow: true });
      const graph = linter.graph({ ...at, highlight: taken, failed });
      const ids = new Set([...graph.nodes, ...graph.edges].map(({ id }) => id));
      for (const id of [...taken, ...failed]) assert.ok(ids.has(id), `${example}: ${JSON.stringify(one)}: ${id}`);
      assert.deepEqual(taken.filter((id) => failed.includes(id)), []);
      if (!answered) assert.ok(failed.length > 0, `${example}: ${JSON.stringify(one)}`);
      asked += 1;
      failing += answered ? 0 : 1;
    }
    linter.free();
  }
  assert.ok(asked > 100 && failing > 20, `${asked} ${failing}`);
});

test("`null` is what is left out, and a list is no object", () => {
  const linter = new esm.Linter();
  linter.setFile("shop.yaml", ROUTE.replace("v3", "v2"));
  const fields = (type) => {
    const text = readFileSync(join(process.env.COALMINE_PACKAGE, "coalmine.d.ts"), "utf8");
    const body = text.slice(text.indexOf(`export type ${type} = {`));
    return [...body.slice(0, body.indexOf("\n};")).matchAll(/^ +(\w+)\?: .*null,$/gm)].map(([, name]) => name);
  };
  const calls = {
    LintOptions: (options) => linter.lint(options),
    FixOptions: (options) => linter.fix(options),
    GraphOptions: (options) => [linter.graph(options), linter.draw("svg", options)],
    RouteQuestion: (options) => linter.route({ to: "http://shop/", from: "deployment/shop/shop-2", ...options }),
    DecideQuestion: (options) => esm.decide("flags: [{name: a, header: x-a}]", options),
  };
  for (const [type, call] of Object.entries(calls)) {
    const names = fields(type);
    assert.ok(names.length > 0, type);
    for (const name of names.filter((name) => type !== "RouteQuestion" || name !== "from")) assert.doesNotThrow(() => call({ [name]: null }), `${type}.${name}`);
  }
  assert.throws(() => linter.lint(["utf16"]), /lint options: not a plain object/);
  assert.throws(() => linter.graph("utf16"), /graph options: not a plain object/);
});

test("a name that is no file is not answered for another deployment", () => {
  const linter = new esm.Linter();
  linter.setFile("a/coalmine.yaml", "");
  linter.setFile("a/shop.yaml", ROUTE);
  for (const ask of [() => linter.graph({ file: "b/typo.yaml" }), () => linter.draw("svg", { file: "b/typo.yaml" }), () => linter.steps("b/typo.yaml"), () => linter.route({ to: "http://shop/", file: "b/typo.yaml" })]) {
    assert.throws(ask, /there is no file `b\/typo\.yaml`/);
  }
  assert.ok(linter.graph({ file: "a" }).nodes.length > 0);
});

test("what is exported is declared, and nothing else", async () => {
  const declared = (name) => [...readFileSync(join(process.env.COALMINE_PACKAGE, name), "utf8").matchAll(/^export (?:function|class) (\w+)/gm)].map(([, name]) => name).sort();
  assert.deepEqual(Object.keys(cjs).filter((name) => !name.startsWith("__")).sort(), declared("node.d.cts"));
  assert.deepEqual(Object.keys(esm).filter((name) => name !== "default").sort(), declared("node.d.mts"));
  const web = await import(pathToFileURL(join(project, "web.mjs")));
  assert.deepEqual(Object.keys(web).sort(), declared("coalmine.d.ts"));
});

describe("TypeScript, strict and with every declaration checked", () => {
  const compiler = createRequire(join(process.env.COALMINE_TOOLS, "package.json")).resolve("typescript/bin/tsc");
  const common = ["--noEmit", "--strict", "--target", "es2022", "--skipLibCheck", "false"];
  const use = "const linter = new Linter();\nconst found: number = linter.lint({ units: null }).diagnostics.length;\nlinter[Symbol.dispose]();\nexport { found };\n";
  const check = (name, text, ...flags) => {
    writeFileSync(join(project, name), text);
    const { status, stdout } = spawnSync(process.execPath, [compiler, ...common, ...flags, name], { cwd: project, encoding: "utf8", timeout: 60_000 });
    assert.equal(status, 0, stdout);
  };
  const node = ["--lib", "es2022"];
  const page = ["--lib", "es2022,dom"];
  test("import in Node", () => check("a.mts", `import init, { Linter } from "coalmine";\nawait init();\n${use}`, "--module", "node16", ...node));
  test("require in Node", () => check("b.cts", `import { Linter } from "coalmine";\n${use}`, "--module", "node16", ...node));
  test("without `exports`, as before Node 12", () => check("c.ts", `import { Linter } from "coalmine";\n${use}`, "--module", "commonjs", "--moduleResolution", "node10", ...node));
  test("a bundler", () => check("d.ts", `import init, { Linter } from "coalmine";\nawait init({ module_or_path: new URL("x.wasm", "https://a.example") });\n${use}`, "--module", "esnext", "--moduleResolution", "bundler", ...page));
});

test("the filter decides about a request", () => {
  const config = `flags:
- name: shop
  header: x-canary
  optIn: {cookie: {name: canary, value: "on"}}
`;
  const decide = (cookie) => esm.decide(config, { cookie });
  assert.equal(decide("canary=on").version, 1);
  assert.deepEqual([decide("canary=on").flags[0].variant, decide("").flags[0].variant], ["canary", "stable"]);
  assert.deepEqual(decide("canary=on").request.set, [{ name: "x-canary", value: "canary" }]);
  assert.throws(() => esm.decide("a: ["), /^Error: config:1:/);
});

test("the browser's entry is what `coalmine/web` means in Node too", async () => {
  const web = await import(pathToFileURL(join(project, "web.mjs")));
  web.initSync({ module: readFileSync(join(process.env.COALMINE_PACKAGE, "coalmine_bg.wasm")) });
  assert.deepEqual(new web.Linter().lint().diagnostics, []);
});
