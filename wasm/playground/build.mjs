// Bundles the playground into a folder of static files: `node build.mjs OUT`. `cargo xtask wasm` calls it where
// `node_modules` is, with the npm package and `src/examples.json` in place.
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const out = process.argv[2];
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });

const options = { bundle: true, minify: true, format: "esm", target: "es2022", legalComments: "linked", logLevel: "warning" };
await build({ ...options, entryPoints: ["src/main.ts", "src/worker.ts"], outdir: out });
await build({ ...options, entryPoints: ["src/style.css"], outdir: out });
for (const file of ["index.html", "icon.svg", "manifest.webmanifest"]) copyFileSync(file, join(out, file));
copyFileSync("node_modules/coalmine/coalmine_bg.wasm", join(out, "coalmine_bg.wasm"));

// The service worker knows all files by one digest, so that a new build replaces the old as a whole.
const files = readdirSync(out).sort();
const digest = createHash("sha256");
for (const file of files) digest.update(file).update(readFileSync(join(out, file)));
const cached = ["./", ...files.filter((file) => !file.endsWith(".LEGAL.txt"))];
const worker = readFileSync("src/offline.js", "utf8")
  .replace("__VERSION__", digest.digest("hex").slice(0, 16))
  .replace("__FILES__", JSON.stringify(cached));
writeFileSync(join(out, "offline.js"), worker);
