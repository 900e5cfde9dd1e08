//! `cargo xtask wasm`: the linter for JavaScript, as the npm package below `target/dist/npm`, and the playground, as
//! static files below `target/dist/playground`, and the extension for VS Code.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::dist::module::remapped_paths;
use crate::{root, run, tools};

mod examples;
mod playground;
mod vscode;

/// What the module should not grow past, compressed as servers send it: people wait for it.
const SIZE_GOAL: usize = 900_000;

/// What it may not grow past: a dependency must have come in.
const SIZE_LIMIT: usize = 960 * 1024;

/// What was written.
pub(crate) struct Package {
    /// The folder that `npm publish` takes.
    pub(crate) folder: PathBuf,
    /// Bytes of the module.
    pub(crate) raw: usize,
    /// The same, compressed with gzip.
    pub(crate) gzip: usize,
}

/// Builds the package, the page and the extension; false where there is no Node for these and the tests of all.
pub(crate) fn build() -> Result<bool> {
    let package = package()?;
    Ok(playground::build(&package)?.is_some() && vscode::build(&package)?.is_some())
}

/// Builds the package, the page and the extension and says what there is.
pub(crate) fn run_task() -> Result<()> {
    let package = package()?;
    println!("npm       {}", package.folder.display());
    let goal = if package.gzip > SIZE_GOAL { format!(" (the goal is {SIZE_GOAL})") } else { String::new() };
    println!("          {} bytes of WebAssembly, {} with gzip{goal}", package.raw, package.gzip);
    if let Some(page) = playground::build(&package)? {
        println!("page      {}", page.folder.display());
        println!("          {} bytes without the module, {} with gzip", page.raw, page.gzip);
    }
    if let Some(extension) = vscode::build(&package)? {
        println!("vscode    {}", extension.display());
        println!("          {} bytes", fs::metadata(&extension)?.len());
    }
    Ok(())
}

/// Builds the module and its glue, and puts the package together.
pub(crate) fn package() -> Result<Package> {
    tools::wasm_targets()?;
    let target = "wasm32-unknown-unknown";
    // Panic messages name source files; whose machine they were on is nobody's business.
    let flags = format!("target.{target}.rustflags={}", json!(remapped_paths(&root())?));
    let build = ["build", "--package", "coalmine-wasm", "--lib", "--target", target, "--profile", "web"];
    run("cargo", &[&build[..], &["--config", &flags]].concat())?;
    let target_dir =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let module = target_dir.join(target).join("web/coalmine_wasm.wasm");
    let scratch = tempfile::tempdir()?;
    let path = |path: &Path| path.to_string_lossy().into_owned();
    run(
        "cargo",
        &["run", "--quiet", "--package", "xtask-bindgen", "--", &path(&module), &path(scratch.path())],
    )?;
    let (web, node, own) = (scratch.path().join("web"), scratch.path().join("node"), root().join("wasm/npm"));
    let folder = root().join("target/dist/npm");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    for (from, name) in [
        (web.join("coalmine.js"), "coalmine.js"),
        (web.join("coalmine_bg.wasm"), "coalmine_bg.wasm"),
        (web.join("coalmine_bg.wasm.d.ts"), "coalmine_bg.wasm.d.ts"),
        (node.join("coalmine.js"), "node.cjs"),
        (own.join("node.mjs"), "node.mjs"),
        (root().join("wasm/README.md"), "README.md"),
        (root().join("LICENSE"), "LICENSE"),
    ] {
        fs::copy(&from, folder.join(name)).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    for (name, text) in declarations(&web.join("coalmine.d.ts"), &node.join("coalmine.d.ts"))? {
        fs::write(folder.join(name), text)?;
    }
    let manifest = fs::read_to_string(own.join("package.json"))?;
    let mut manifest: Value = serde_json::from_str(&manifest).context("wasm/npm/package.json")?;
    manifest["version"] = json!(env!("CARGO_PKG_VERSION"));
    fs::write(folder.join("package.json"), format!("{manifest:#}\n"))?;
    let bytes = fs::read(folder.join("coalmine_bg.wasm"))?;
    let gzip = gzip(&bytes)?;
    ensure!(
        gzip <= SIZE_LIMIT,
        "the module has {gzip} bytes with gzip, at most {SIZE_LIMIT} are allowed: look for a dependency that came in"
    );
    Ok(Package { folder, raw: bytes.len(), gzip })
}

/// The declarations of the three entries. A `Linter` can be disposed of, which TypeScript knows only where it is told;
/// Node's entries need no types of a browser.
fn declarations(web: &Path, node: &Path) -> Result<[(&'static str, String); 3]> {
    const LIBRARY: &str = "/// <reference lib=\"esnext.disposable\" />\n";
    const INIT: &str = "\n/**\n * Does nothing: the module was read when it was imported. For code that runs in browsers \
                        too.\n */\nexport default function init(): Promise<void>;\n";
    let read =
        |path: &Path| fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    let (web, node) = (read(web)?, read(node)?);
    Ok([
        ("coalmine.d.ts", format!("{LIBRARY}{web}")),
        ("node.d.cts", format!("{LIBRARY}{node}")),
        ("node.d.mts", format!("{LIBRARY}{node}{INIT}")),
    ])
}

fn gzip(bytes: &[u8]) -> Result<usize> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.len())
}
