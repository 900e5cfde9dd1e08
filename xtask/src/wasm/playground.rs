//! The playground: copied to where its packages are, checked by TypeScript, bundled into static files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::{Package, examples, gzip};
use crate::{copy_folder, root, tools};

/// What was written.
pub(super) struct Page {
    /// The folder that any web server serves.
    pub(super) folder: PathBuf,
    /// Bytes of everything that is loaded, but for the module.
    pub(super) raw: usize,
    /// The same, each file compressed with gzip.
    pub(super) gzip: usize,
}

/// Builds the page with this package; `None` where there is no Node.
pub(super) fn build(package: &Package) -> Result<Option<Page>> {
    let Some(folder) = tools::node_packages("playground")? else { return Ok(None) };
    let source = root().join("wasm/playground");
    replace_folder(&source.join("src"), &folder.join("src"))?;
    replace_folder(&root().join("wasm/shared"), &folder.join("shared"))?;
    for name in ["build.mjs", "index.html", "icon.svg", "manifest.webmanifest", "tsconfig.json"] {
        fs::copy(source.join(name), folder.join(name)).with_context(|| name.to_owned())?;
    }
    fs::write(folder.join("src/examples.json"), examples::json()?)?;
    install(package, &folder)?;
    let out = root().join("target/dist/playground");
    node(&folder, &["node_modules/typescript/bin/tsc", "--project", "."])?;
    node(&folder, &["build.mjs", &out.to_string_lossy()])?;
    let mut page = Page { folder: out, raw: 0, gzip: 0 };
    for entry in fs::read_dir(&page.folder)? {
        let path = entry?.path();
        if !matches!(path.extension().and_then(|e| e.to_str()), Some("wasm" | "txt")) {
            let bytes = fs::read(&path)?;
            page.raw += bytes.len();
            page.gzip += gzip(&bytes)?;
        }
    }
    Ok(Some(page))
}

/// Installs the package beside the others, so that what is published is what is built from.
pub(super) fn install(package: &Package, folder: &Path) -> Result<()> {
    replace_folder(&package.folder, &folder.join("node_modules/coalmine"))
}

/// Runs Node in the folder that has the packages.
pub(super) fn node(folder: &Path, args: &[&str]) -> Result<()> {
    eprintln!("$ node {}", args.join(" "));
    let status =
        Command::new("node").args(args).current_dir(folder).status().context("cannot start `node`")?;
    if !status.success() {
        bail!("`node {}` failed: {status}", args.join(" "));
    }
    Ok(())
}

/// Makes a folder a copy of another.
pub(super) fn replace_folder(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    copy_folder(from, to)
}
