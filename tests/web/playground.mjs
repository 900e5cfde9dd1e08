// The playground in a real browser, as somebody uses it: `node --test playground.mjs`, with the page's folder in
// COALMINE_PLAYGROUND, the folder that has Node's packages in COALMINE_TOOLS and that for the pictures in
// COALMINE_ARTIFACTS.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
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
