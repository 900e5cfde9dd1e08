//! The extension for VS Code: copied to where its packages are, checked by TypeScript, bundled and packed.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::Package;
use super::playground::{install, node, replace_folder};
use crate::{root, tools};

/// Builds the extension with this package; `None` where there is no Node.
pub(super) fn build(package: &Package) -> Result<Option<PathBuf>> {
    let Some(folder) = tools::node_packages("vscode")? else { return Ok(None) };
    let source = root().join("wasm/vscode");
    for (from, name) in
        [(source.join("src"), "src"), (source.join("view"), "view"), (root().join("wasm/shared"), "shared")]
    {
        replace_folder(&from, &folder.join(name))?;
    }
    for (from, name) in [
        ("wasm/vscode/build.mjs", "build.mjs"),
        ("wasm/vscode/tsconfig.json", "tsconfig.json"),
        ("wasm/vscode/.vscodeignore", ".vscodeignore"),
        ("wasm/vscode/icon.png", "icon.png"),
        ("wasm/vscode/README.md", "README.md"),
        ("docs/schemas/coalmine.schema.json", "coalmine.schema.json"),
        ("CHANGELOG.md", "CHANGELOG.md"),
        ("LICENSE", "LICENSE"),
    ] {
        fs::copy(root().join(from), folder.join(name)).with_context(|| from.to_owned())?;
    }
    let manifest = fs::read_to_string(source.join("package.json"))?;
    let mut manifest: Value = serde_json::from_str(&manifest).context("wasm/vscode/package.json")?;
    manifest["version"] = json!(env!("CARGO_PKG_VERSION"));
    fs::write(folder.join("package.json"), format!("{manifest:#}\n"))?;
    install(package, &folder)?;
    let out = root().join("target/dist").join(concat!("coalmine-", env!("CARGO_PKG_VERSION"), ".vsix"));
    node(&folder, &["node_modules/typescript/bin/tsc", "--project", "."])?;
    node(&folder, &["build.mjs"])?;
    let pack = ["node_modules/@vscode/vsce/vsce", "package", "--no-dependencies", "--out"];
    node(&folder, &[&pack[..], &[&out.to_string_lossy()]].concat())?;
    Ok(Some(out))
}
