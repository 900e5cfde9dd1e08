//! `xtask-bindgen MODULE FOLDER`: what `wasm-bindgen` does, in the version that `Cargo.lock` pins for both sides. A
//! program of its own, because building it takes longer than all of `cargo xtask`, which calls it.
//!
//! Writes `coalmine_bg.wasm`, `coalmine.js` (for browsers, bundlers and Node's modules) and `coalmine.d.ts`, then
//! `node.cjs`, which runs the same module for `require`.

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let args: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [module, folder] = args.as_slice() else {
        anyhow::bail!("usage: xtask-bindgen MODULE FOLDER");
    };
    let web = folder.join("web");
    glue(module, &web, |bindgen| bindgen.web(true).map(|_| ()))?;
    let node = folder.join("node");
    glue(module, &node, |bindgen| bindgen.nodejs(true).map(|_| ()))?;
    let same = fs::read(web.join("coalmine_bg.wasm"))? == fs::read(node.join("coalmine_bg.wasm"))?;
    ensure!(same, "the module for `require` differs from the one for `import`: the package would need both");
    Ok(())
}

fn glue(module: &Path, folder: &Path, target: impl Fn(&mut Bindgen) -> Result<()>) -> Result<()> {
    let mut bindgen = Bindgen::new();
    target(&mut bindgen)?;
    bindgen
        .input_path(module)
        .out_name("coalmine")
        .typescript(true)
        .omit_default_module_path(false)
        .remove_name_section(true)
        .remove_producers_section(true);
    bindgen.generate(folder).with_context(|| format!("no glue for {}", module.display()))
}
