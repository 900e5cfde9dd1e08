// The playground in a real browser, as somebody uses it: `node --test playground.mjs`, with the page's folder in
// COALMINE_PLAYGROUND, the folder that has Node's packages in COALMINE_TOOLS and that for the pictures in
// COALMINE_ARTIFACTS.
import assert from "node:assert/strict";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { deflateRawSync } from "node:zlib";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { serve } from "./serve.mjs";

const { COALMINE_ARTIFACTS, COALMINE_CHROMIUM, COALMINE_PLAYGROUND, COALMINE_TOOLS } = process.env;
const tools = createRequire(join(COALMINE_TOOLS, "package.json"));
const { chromium } = tools("playwright-core");
const axe = readFileSync(tools.resolve("axe-core/axe.min.js"), "utf8");

const executablePath = COALMINE_CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/google-chrome"].find(existsSync);
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const WIDE = { width: 1440, height: 900 };

let server;
let profile;
let browser;
let page;
/** What a page must not do: errors, and requests to anything but its server. */
const wrong = [];

before(async () => {
  mkdirSync(COALMINE_ARTIFACTS, { recursive: true });
  server = await serve(COALMINE_PLAYGROUND);
  profile = mkdtempSync(join(tmpdir(), "coalmine-chromium-"));
  browser = await chromium.launchPersistentContext(profile, { executablePath, headless: true, args: FLAGS, viewport: WIDE, colorScheme: "light" });
  browser.setDefaultTimeout(15_000);
  await browser.grantPermissions(["clipboard-read", "clipboard-write"], { origin: server.url });
  browser.on("request", (request) => {
    if (!request.url().startsWith(server.url) && !request.url().startsWith("data:")) wrong.push(`asked ${request.url()}`);
  });
  browser.on("weberror", (error) => wrong.push(`threw ${error.error()}`));
  browser.on("console", (message) => message.type() === "error" && wrong.push(`logged ${message.text()}`));
});

after(async () => {
  await browser?.close();
  await server?.stop();
  if (profile) rmSync(profile, { recursive: true, force: true });
});

/** A page that has linted what its address holds. */
async function open(fragment = "") {
  const opened = await browser.newPage();
  await opened.setViewportSize(WIDE);
  await opened.goto(server.url + fragment);
  await opened.waitForSelector("html[data-ready]");
  await page?.close();
  page = opened;
}

const picture = (name) => page.screenshot({ path: join(COALMINE_ARTIFACTS, `${name}.png`), animations: "disabled" });
const problems = () => page.locator("#panel-problems .problem");
const squiggles = () => page.locator(".cm-lintRange-error");
const choose = async (id) => {
  await page.click("#examples-button");
  await page.click(`[data-example="${id}"]`);
};
const waitForProblems = (count) => page.waitForFunction((wanted) => document.getElementById("count").textContent === String(wanted), count);

/** Finds text in the editor with its own search, as keyboard users do, and leaves it selected. */
async function find(text) {
  await page.click(".cm-content");
  await page.keyboard.press("Control+Home");
  await page.keyboard.press("Control+f");
  await page.keyboard.type(text);
  await page.keyboard.press("Enter");
  await page.keyboard.press("Escape");
}

async function accessible(what) {
  // The page's own policy forbids inline scripts, so axe goes in by the debugger.
  const session = await browser.newCDPSession(page);
  await session.send("Runtime.evaluate", { expression: axe });
  await session.detach();
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  const told = violations.flatMap(({ id, impact, nodes }) => nodes.map(({ target, failureSummary }) => `${impact} ${id} at ${target}: ${failureSummary}`));
  assert.deepEqual(told, [], what);
}

describe("playground", { concurrency: false }, () => {
  test("opens with a broken canary: the squiggle, the problem, the picture and the way are there", async () => {
    await open();
    await squiggles().first().waitFor();
    assert.equal(await squiggles().first().textContent(), "6379");
    assert.equal(await problems().count(), 1);
    assert.match(await problems().first().textContent(), /do not listen on 6379/);
    assert.match(await page.locator("#graph svg").textContent(), /voting-storage-2-0/);
    assert.ok((await page.locator(".cm-path").count()) > 0);
    assert.match(await page.locator("#status").textContent(), /^1 error\. .*a call that it leads to is not$/);
    await picture("1-start");
    await accessible("start");
  });

  test("one click mends it", async () => {
    await page.click("#panel-problems .fix");
    await waitForProblems(0);
    assert.equal(await squiggles().count(), 0);
    assert.match(await page.locator("#panel-problems").textContent(), /No problems/);
    assert.match(await page.locator("#status").textContent(), /^No problems\. The request is answered$/);
    await picture("2-mended");
  });

  test("typing a mistake shows a squiggle, its explanation and a fix in the text", async () => {
    await choose("voting-3");
    await waitForProblems(0);
    await find("subset: v2-0");
    await page.keyboard.type("subset: v2_0");
    await squiggles().first().waitFor();
    assert.equal(await squiggles().first().textContent(), "v2_0");
    assert.match(await page.locator(".problem.error").textContent(), /subset v2_0 is not defined/);
    await page.getByRole("tab", { name: /^voting-app\.yaml.*, 2 problems$/ }).waitFor();
    await squiggles().first().hover();
    await page.locator(".cm-tooltip .cm-diagnosticAction").waitFor();
    await picture("3-squiggle");
    await accessible("tooltip");
    await page.locator(".cm-tooltip .cm-diagnosticAction").click();
    await waitForProblems(0);
    assert.equal(await squiggles().count(), 0);
  });

  test("what was typed last is what is judged", async () => {
    await choose("voting-3");
    await waitForProblems(0);
    await page.click(".cm-content");
    await page.keyboard.press("Control+Home");
    // Faster than the linter answers: every state in between is broken in another way.
    await page.keyboard.type("a: [\nb: {\n- ? c\n", { delay: 2 });
    await page.waitForFunction(() => document.getElementById("count").textContent !== "0");
    for (let i = 0; i < 8; i++) await page.keyboard.press("Control+z");
    await waitForProblems(0);
    await page.waitForTimeout(300);
    assert.equal(await problems().count(), 0);
    assert.equal(await page.locator(".cm-lintRange").count(), 0);
  });

  test("the graph can be read, zoomed, listed and clicked", async () => {
    await choose("voting-3");
    await waitForProblems(0);
    const width = () => page.locator("#graph svg").evaluate((svg) => svg.getBoundingClientRect().width);
    const fitted = await width();
    await page.click("#zoom-in");
    assert.ok((await width()) > fitted);
    await page.click("#zoom-fit");
    assert.equal(await width(), fitted);
    await page.locator('#graph [data-id="workload/Deployment/voting/voting-storage-2-0"] .title').click();
    assert.equal(await page.getByRole("tab", { name: "voting-storage.yaml" }).getAttribute("aria-selected"), "true");
    assert.match(await page.locator(".cm-activeLine").textContent(), /voting-storage-2-0/);
    await page.click("#as-list");
    assert.match(await page.locator("#graph").textContent(), /gateway voting-app-gateway calls voting-app subset v2-0: cookie featureflag=on, mTLS/);
    await picture("4-list");
    await accessible("list");
    await page.click("#as-list");
  });

  test("a request is followed in the graph, in the text and step by step", async () => {
    const lit = () => page.locator("#graph .node.on").evaluateAll((nodes) => nodes.map((node) => node.dataset.id.split("/").at(-1)));
    await page.fill("#to", "http://voting.example/");
    await page.fill("#cookie", "theme=dark; featureflag=on");
    await page.keyboard.press("Enter");
    await page.locator('#graph .node.on[data-id$="voting-app-2-0"]').waitFor();
    assert.deepEqual((await lit()).filter((name) => name.startsWith("voting-app-") && name !== "voting-app-gateway"), ["voting-app-2-0"]);
    assert.match(await page.locator("#panel-route").textContent(), /answered by voting-app-2-0.*Then voting-app-2-0 calls/s);
    await page.click('[data-name="voting-app.yaml"]');
    assert.ok((await page.locator(".cm-path").count()) > 0);
    await picture("5-request");
    await accessible("request");
    await page.fill("#cookie", "theme=dark");
    await page.click("#request .primary");
    await page.locator('#graph .node.on[data-id$="voting-app-1-0"]').waitFor();
    assert.ok(!(await lit()).includes("voting-app-2-0"));
    await page.fill("#to", "nonsense://x");
    await page.click("#request .primary");
    await page.locator("#panel-route", { hasText: "is no scheme" }).waitFor();
    await page.click("#clear-request");
    await page.waitForFunction(() => document.querySelectorAll("#graph .on").length === 0);
    assert.equal(await page.locator(".cm-path").count(), 0);
  });

  test("a rollout is seen step by step", async () => {
    await choose("voting");
    await waitForProblems(0);
    const shown = () => page.locator("#graph svg").textContent();
    await page.selectOption("#step", "1-deploy");
    await page.waitForFunction(() => !document.querySelector("#graph svg").textContent.includes("voting-app-2-0"));
    assert.match(await shown(), /voting-app-1-0/);
    await page.selectOption("#step", "4-finalize");
    await page.waitForFunction(() => !document.querySelector("#graph svg").textContent.includes("voting-app-1-0"));
    assert.match(await shown(), /voting-app-2-0/);
    await picture("6-rollout");
  });

  test("a rule explains itself", async () => {
    await choose("cookie-regex-unanchored");
    await problems().first().waitFor();
    await page.getByRole("button", { name: "Explain cookie-regex-unanchored" }).first().click();
    await page.getByRole("heading", { name: "Why it matters" }).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.id), "panel-rule");
    await picture("7-rule");
    await accessible("rule");
  });

  test("files are made, renamed and closed with the keyboard", async () => {
    await choose("voting-1");
    await waitForProblems(0);
    await page.click("#new-file");
    assert.equal(await page.evaluate(() => document.activeElement.id), "name-input");
    await accessible("dialog");
    await page.fill("#name-input", "notes.txt");
    await page.keyboard.press("Enter");
    assert.match(await page.locator("#name-hint").textContent(), /ends in \.yaml/);
    await page.fill("#name-input", "extra/new.yaml");
    await page.keyboard.press("Enter");
    await page.locator('[data-name="extra/new.yaml"][aria-selected=true]').waitFor();
    await page.keyboard.type("a: 1\na: 2\n");
    await waitForProblems(1);
    await page.focus('[data-name="extra/new.yaml"]');
    await page.keyboard.press("F2");
    await page.fill("#name-input", "extra/other.yaml");
    await page.keyboard.press("Enter");
    await page.locator('[data-name="extra/other.yaml"]').waitFor();
    await page.locator(".problem", { hasText: "extra/other.yaml" }).waitFor();
    await page.focus('[data-name="extra/other.yaml"]');
    await page.keyboard.press("Delete");
    await waitForProblems(0);
    await page.getByRole("button", { name: "Undo" }).click();
    await waitForProblems(1);
    await page.focus("#tabs [aria-selected=true]");
    await page.keyboard.press("Home");
    assert.equal(await page.evaluate(() => document.activeElement.dataset.name), "voting-app.yaml");
  });

  test("the menu opens, moves and closes with the keyboard", async () => {
    await page.focus("#examples-button");
    await page.keyboard.press("Enter");
    await page.keyboard.press("ArrowDown");
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute("role")), "menuitem");
    await picture("8-examples");
    await accessible("menu");
    await page.keyboard.press("Escape");
    assert.equal(await page.evaluate(() => document.activeElement.id), "examples-button");
  });

  test("an address holds everything", async () => {
    await choose("voting-3");
    await waitForProblems(0);
    await find("subset: v2-0");
    await page.keyboard.type("subset: é𝄞");
    await page.locator(".problem.error").waitFor();
    await page.click("#share");
    await page.waitForFunction(() => location.hash.startsWith("#s="));
    const address = await page.evaluate(() => navigator.clipboard.readText());
    assert.equal(address, page.url());
    await open(address.slice(server.url.length));
    assert.match(await page.locator(".problem.error").textContent(), /é𝄞/);
    assert.equal(await page.inputValue("#cookie"), "featureflag=on");
    await open("#s=AAAA");
    assert.match(await page.locator("#toast").textContent(), /cannot be read/);
    assert.equal(await problems().count(), 1, "the first example is shown instead");
  });

  test("dark, and small", async () => {
    await open("#example=unknown-subset");
    await page.emulateMedia({ colorScheme: "dark" });
    await picture("9-dark");
    await accessible("dark");
    await page.click("#theme");
    await page.emulateMedia({ colorScheme: "light" });
    await page.click("#theme");
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
    assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), "rgb(13, 17, 23)");
    await page.click("#theme");
    await page.setViewportSize({ width: 360, height: 740 });
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
    await page.screenshot({ path: join(COALMINE_ARTIFACTS, "10-small.png"), fullPage: true });
    await accessible("small");
  });

  test("a request that fails is drawn so, where it fails", async () => {
    await open();
    const lit = (selector) => page.locator(selector).evaluateAll((nodes) => nodes.map((node) => node.dataset.id.split("/").at(-1)));
    assert.deepEqual(await lit("#graph .node.failed"), ["voting-storage-2-0"]);
    assert.ok(!(await lit("#graph .node.on:not(.failed)")).includes("voting-storage-2-0"));
    assert.ok((await page.locator("#graph .marks.failed .badge.fails").count()) > 0);
    assert.match(await page.locator("#graph svg").textContent(), /the request fails here/);
    await page.click("#as-list");
    assert.match(await page.locator(".edges .fails").first().textContent(), /voting-storage subset v2-0.*✕ fails/);
    await accessible("failed, as a list");
    await page.click("#as-list");
    await page.click("#tab-route");
    await picture("11-failed");
  });

  test("a request that nothing tells of has its line in the picture", async () => {
    await open("#example=weighted");
    await page.fill("#from", "deployment/greeter/greeter-v1");
    await page.fill("#to", "http://greeter/");
    await page.keyboard.press("Enter");
    await page.locator("#graph .edge.on").first().waitFor();
    await page.waitForFunction(() => document.querySelector("#graph svg").textContent.includes("this request"));
    await picture("12-asked");
    await page.fill("#from", "");
    await page.fill("#to", "http://greeter.example:81/");
    await page.keyboard.press("Enter");
    await page.locator("#panel-route", { hasText: "name the client in the field From" }).waitFor();
    const targets = await open("#example=voting-3").then(() => page.locator("#targets option").evaluateAll((all) => all.map(({ value }) => value)));
    assert.ok(targets.includes("tcp://voting-storage.voting.svc.cluster.local:6379") && targets.includes("tcp://voting-storage.voting.svc.cluster.local:3306"), String(targets));
    assert.ok(targets.includes("http://voting-app.voting.svc.cluster.local:8080/"), String(targets));
  });

  test("the link to the text leads there and keeps the address", async () => {
    await open();
    await find("6379");
    await page.keyboard.type("6380");
    await page.waitForFunction(() => location.hash.startsWith("#s="));
    const address = await page.evaluate(() => location.hash);
    await page.focus(".skip");
    await page.keyboard.press("Enter");
    await page.keyboard.type("# typed\n");
    assert.match(await page.locator(".cm-content").textContent(), /# typed/);
    await page.waitForFunction((old) => location.hash.startsWith("#s=") && location.hash !== old, address);
    // A place in the page, from wherever it comes, does not take the text's place.
    await page.evaluate(() => (location.hash = "#editor"));
    await page.waitForFunction(() => location.hash.startsWith("#s="));
    await page.reload();
    await page.waitForSelector("html[data-ready]");
    await page.click('[data-name="voting-storage.yaml"]');
    assert.match((await page.locator(".cm-content").textContent()) ?? "", /typed/);
  });

  test("what is too large for an address says so, and lasts as long as the tab", async () => {
    await open("#example=voting-1");
    const large = `# large\n${"# x\n".repeat(1_200_000)}`;
    await page.evaluate(async (text) => {
      document.querySelector(".cm-content").focus();
      const data = new DataTransfer();
      data.setData("text/plain", text);
      document.querySelector(".cm-content").dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
    }, large);
    await page.waitForFunction(() => location.hash === "#local", undefined, { timeout: 60_000 });
    await page.click("#share");
    assert.match(await page.locator("#toast").textContent(), /too large to share.*4 MiB/);
    await page.reload();
    await page.waitForSelector("html[data-ready]");
    assert.match(await page.locator(".cm-content").textContent(), /# large/);
    const pack = (files) => `#s=${deflateRawSync(JSON.stringify({ v: 1, f: files })).toString("base64url")}`;
    await open(pack([["a.yaml", large]]));
    assert.match(await page.locator("#toast").textContent(), /holds up to 4 MiB/);
    for (const names of [[""], ["../../x.yaml"], ["./a.yaml"], ["a.yaml", "a.yaml"], ["notes.txt"]]) {
      await open(pack(names.map((name) => [name, "a: 1"])));
      assert.match(await page.locator("#toast").textContent(), /is no name for a file, or is there twice/, String(names));
    }
    await open(pack([["a.yaml", "a: 1\na: 2\n"]]));
    assert.equal(await problems().count(), 1);
  });

  test("settings with a mistake are a problem, and leave the others", async () => {
    await open();
    await page.click('[data-name="coalmine.yaml"]');
    await page.click(".cm-content");
    await page.keyboard.press("Control+End");
    await page.keyboard.type("\nnamespce: x\n");
    await waitForProblems(2);
    assert.match(await problems().first().textContent(), /unknown field namespce.*settings from before stay in force.*coalmine\.yaml:\d+:1$/s);
    assert.match(await problems().nth(1).textContent(), /do not listen on 6379/);
    assert.equal(await squiggles().first().textContent(), "namespce");
    assert.equal(await page.locator('[data-name="coalmine.yaml"] .badge.error').textContent(), "1");
    await page.locator("#graph svg").waitFor();
    await page.click('[data-name="voting-storage.yaml"]');
    await page.getByRole("button", { name: /^coalmine\.yaml:/ }).click();
    await page.locator('[data-name="coalmine.yaml"][aria-selected=true]').waitFor();
    await picture("13-settings");
    await accessible("settings");
  });

  test("a list's entry leads to where the text is now", async () => {
    await open("#example=voting-3");
    await page.click("#as-list");
    await page.click(".cm-content");
    await page.keyboard.press("Control+Home");
    await page.keyboard.type("# 1\n# 2\n# 3\n# 4\n# 5\n");
    await page.waitForTimeout(600);
    await page.locator(".edges").getByRole("button", { name: "voting-app subset v2-0" }).first().click();
    assert.match(await page.locator(".cm-activeLine").textContent(), /v2-0/);
    await page.click("#as-list");
    // The picture too, with the keyboard.
    await page.focus('#graph [data-id="workload/Deployment/voting/voting-app-2-0"]');
    await page.keyboard.press("Enter");
    assert.match(await page.locator(".cm-activeLine").textContent(), /voting-app-2-0/);
  });

  test("a file keeps its history, its place and its scroll", async () => {
    await open("#example=voting-3");
    const first = page.locator("#tabs [role=tab]").first();
    await page.click('[data-name="voting-app.yaml"]');
    await page.click(".cm-content");
    await page.keyboard.press("Control+Home");
    await page.keyboard.type("# added\n");
    await first.focus();
    await page.keyboard.press("F2");
    await page.fill("#name-input", "./voting-app.yaml");
    await page.keyboard.press("Enter");
    assert.match(await page.locator("#name-hint").textContent(), /inside this playground/);
    await page.fill("#name-input", "renamed.yaml");
    await page.keyboard.press("Enter");
    await page.locator('[data-name="renamed.yaml"]').waitFor();
    assert.equal(await page.locator(".cm-content").getAttribute("aria-label"), "Text of renamed.yaml");
    await page.click(".cm-content");
    for (let i = 0; i < 3 && /# added/.test(await page.locator(".cm-content").textContent()); i++) await page.keyboard.press("Control+z");
    assert.doesNotMatch(await page.locator(".cm-content").textContent(), /# added/);
    await page.locator(".cm-scroller").evaluate((scroller) => scroller.scrollTo(0, 900));
    await page.waitForTimeout(200);
    await page.click('[data-name="voting-storage.yaml"]');
    await page.click('[data-name="renamed.yaml"]');
    await page.waitForFunction(() => Math.abs(document.querySelector(".cm-scroller").scrollTop - 900) < 60);
    await page.click("#close-file");
    await page.getByRole("button", { name: "Undo" }).click();
    assert.equal(await first.getAttribute("data-name"), "renamed.yaml");
  });

  test("the picture can have more room, and all of it fits", async () => {
    await open("#example=voting");
    const width = () => page.locator("#graph").evaluate((pane) => pane.clientWidth);
    const before = await width();
    await page.focus("#splitter");
    await page.keyboard.press("Home");
    assert.ok((await width()) > before);
    await page.keyboard.press("End");
    await page.click("#zoom-fit");
    assert.ok(await page.locator("#graph").evaluate((pane) => pane.scrollWidth <= pane.clientWidth));
    await page.dblclick("#splitter");
    await accessible("splitter");
    const service = "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: b}\nspec: {ports: [{port: 80}]}\n";
    await open(`#s=${deflateRawSync(JSON.stringify({ v: 1, f: [["a.yaml", service]] })).toString("base64url")}`);
    assert.match(await page.locator("#graph").textContent(), /begins with a Gateway, a route, or a Service with pods/);
  });

  test("a phone shows the first page without scrolling to the side", async () => {
    for (const width of [320, 360, 390]) {
      await open();
      await page.setViewportSize({ width, height: 740 });
      await page.reload();
      await page.waitForSelector("html[data-ready]");
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
    }
    await page.screenshot({ path: join(COALMINE_ARTIFACTS, "14-phone.png"), fullPage: true });
    await accessible("phone");
  });

  test("without the linter the page says so and stays usable", async () => {
    const expected = wrong.length;
    const folder = mkdtempSync(join(tmpdir(), "coalmine-without-"));
    const other = await serve(folder);
    try {
      cpSync(COALMINE_PLAYGROUND, folder, { recursive: true });
      rmSync(join(folder, "coalmine_bg.wasm"));
      const opened = await browser.newPage();
      await opened.route("**/worker.js", (route) => setTimeout(() => void route.continue(), 500));
      await opened.goto(other.url);
      await page.close();
      page = opened;
      assert.match(await page.locator("#panel-problems").textContent(), /Loading the linter/);
      await page.waitForSelector("html[data-gone]");
      assert.match(await page.locator("#panel-problems").textContent(), /^The linter could not be started: .*Reload$/);
      assert.equal(await page.locator("#count").textContent(), "");
      assert.equal(await page.locator("#toast").isVisible(), false);
      await picture("15-gone");
      await accessible("gone");
      cpSync(join(COALMINE_PLAYGROUND, "coalmine_bg.wasm"), join(folder, "coalmine_bg.wasm"));
      await page.getByRole("button", { name: "Reload" }).click();
      await waitForProblems(1);
    } finally {
      await other.stop();
      rmSync(folder, { recursive: true, force: true });
      wrong.length = expected;
    }
  });

  test("works offline once it was visited", async () => {
    await open();
    await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
    await browser.setOffline(true);
    await server.stop();
    try {
      await page.reload();
      await page.waitForSelector("html[data-ready]");
      await waitForProblems(1);
    } finally {
      await browser.setOffline(false);
      server = await serve(COALMINE_PLAYGROUND);
    }
  });

  test("nothing was thrown, logged as an error or asked of another server", () => {
    assert.deepEqual(wrong, []);
  });
});
