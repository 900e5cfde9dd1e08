// Bundles the extension into `dist`: `node build.mjs`. `cargo xtask wasm` calls it where `node_modules` is, with the npm
// package in place.
import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { build } from "esbuild";

rmSync("dist", { recursive: true, force: true });
mkdirSync("dist");
const options = { bundle: true, minify: true, target: "es2022", legalComments: "none", logLevel: "warning" };
// One bundle for Node and for the worker of a browser: the editor is `require`d in both.
await build({ ...options, entryPoints: ["src/extension.ts"], outdir: "dist", format: "cjs", platform: "browser", external: ["vscode"] });
await build({ ...options, entryPoints: ["view/graph.ts", "view/graph.css"], outdir: "dist", format: "iife" });
copyFileSync("node_modules/coalmine/coalmine_bg.wasm", "dist/coalmine_bg.wasm");
