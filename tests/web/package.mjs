// The npm package in Node: `node --test package.mjs`, with the folder of the package in COALMINE_PACKAGE.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
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
  const graph = linter.graph();
  const { taken, answered } = linter.route({ to: "http://shop/", from: "deployment/shop/shop-2" });
  assert.equal(answered, true);
  const ids = new Set([...graph.nodes, ...graph.edges].map(({ id }) => id));
  assert.ok(taken.includes("workload/Deployment/shop/shop-2"));
  for (const id of taken) assert.ok(ids.has(id) || id.includes("client/") || id.startsWith("workload/Deployment/shop/shop-2 ->"), id);
  assert.match(linter.draw("svg", { highlight: taken }), /^<svg[^]*<\/svg>\s*$/);
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
