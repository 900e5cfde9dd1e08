// Sets up a real VS Code that a browser can show, once: `node code-server.mjs FOLDER`. It is code-server from the npm
// registry, whose own installer wants downloads from elsewhere: what that would build or fetch is built here instead,
// with Node's headers and Debian's ripgrep.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

/** VS Code 1.100; the newest for Node 20. */
export const VERSION = "4.100.3";

/** Changes when the steps below do. */
const RECIPE = `code-server ${VERSION}, Node ${process.versions.modules}, recipe 1`;

/** The program in a folder that was set up. */
export const entry = (folder) => join(folder, "node_modules/code-server/out/node/entry.js");

function run(cwd, command, args, environment = {}) {
  console.error(`$ ${command} ${args.join(" ")}`);
  const env = { ...process.env, ...environment };
  execFileSync(command, args, { cwd, env, stdio: ["ignore", "ignore", "inherit"], timeout: 300_000 });
}

const npm = (cwd, ...args) =>
  run(cwd, "npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--fetch-timeout=60000", ...args]);

/** Node's own copy of node-gyp and the folder with Node's headers. */
function gyp() {
  const prefix = resolve(dirname(realpathSync(process.execPath)), "..");
  const headers = [prefix, "/usr", "/usr/local"].find((folder) => existsSync(join(folder, "include/node/node.h")));
  if (!headers) throw new Error(`no headers of Node below ${prefix}: install them (Debian: libnode-dev)`);
  const root = execFileSync("npm", ["root", "--global"], { encoding: "utf8" }).trim();
  const tools = [root, join(prefix, "lib/node_modules"), "/usr/share/nodejs"].map((folder) => join(folder, "npm/node_modules/node-gyp/bin"));
  const tool = tools.find((folder) => existsSync(join(folder, "node-gyp.js")));
  if (!tool) throw new Error(`npm has no node-gyp in ${tools.join(", ")}`);
  return { headers, tool };
}

function ripgrep() {
  const found = (process.env.PATH ?? "").split(":").map((folder) => join(folder, "rg")).find((file) => existsSync(file));
  if (!found) throw new Error("ripgrep (rg) is missing: install it");
  return found;
}

function link(target, path) {
  rmSync(path, { recursive: true, force: true });
  mkdirSync(dirname(path), { recursive: true });
  symlinkSync(target, path);
}

/** Sets it up unless that was done; an interrupted run is repeated. */
export function setUp(folder) {
  const stamp = join(folder, "installed");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === RECIPE && existsSync(entry(folder))) return;
  const { headers, tool } = gyp();
  const search = ripgrep();
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), '{ "private": true }\n');
  npm(folder, `code-server@${VERSION}`);
  const packages = join(folder, "node_modules");
  const code = join(packages, "code-server/lib/vscode");
  npm(code, "--omit=dev");
  npm(join(code, "extensions"), "--omit=dev");
  for (const name of ["@vscode/spdlog", "node-pty", "native-watchdog", "kerberos"]) {
    run(join(code, "node_modules", name), "node", [join(tool, "node-gyp.js"), "rebuild", "--silent", `--nodedir=${headers}`]);
  }
  link(search, join(code, "node_modules/@vscode/ripgrep/bin/rg"));
  link("node_modules", join(code, "node_modules.asar"));
  link("code-linux.sh", join(code, "bin/remote-cli/code-server"));
  link("browser-linux.sh", join(code, "bin/helpers/browser.sh"));
  // Finds node-gyp where programs are.
  const environment = { npm_config_nodedir: headers, PATH: `${tool}:${process.env.PATH}` };
  run(join(packages, "argon2"), join(packages, ".bin/node-pre-gyp"), ["rebuild", "--build-from-source"], environment);
  writeFileSync(stamp, RECIPE);
}

if (process.argv[1] === import.meta.filename) setUp(resolve(process.argv[2]));
