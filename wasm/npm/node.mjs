// Node's entry: the module is read from the disk at once, so that there is nothing to wait for. `await init()` is
// allowed, so that the same code runs in browsers.
import { readFileSync } from "node:fs";
import { initSync } from "./coalmine.js";

initSync({ module: readFileSync(new URL("./coalmine_bg.wasm", import.meta.url)) });

export { Linter, decide, explain, rules, version } from "./coalmine.js";
export default async function init() {}
