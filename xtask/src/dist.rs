//! `cargo xtask dist`: what is shipped. The filter, as a raw module and as an OCI image layout, byte for byte
//! reproducible; the linter with what installs beside it, for JavaScript too; checksums of it all.
//!
//! The image is pushed by other tools (`skopeo copy oci:target/dist/coalmine-filter-oci docker://…`); this writes
//! files below `target/dist` and nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{root, tools, wasm};

mod image;
mod linter;
pub(crate) mod module;

/// The module may not grow past this: Envoy compiles all of it before it serves.
const SIZE_LIMIT: usize = 250 * 1024;

/// What was written.
pub(crate) struct Shipped {
    /// The raw module, for `url: https://…` and for tests.
    pub(crate) module: PathBuf,
    /// `sha256` for an http(s) `url`.
    pub(crate) file_digest: String,
    /// `sha256` for an `oci://` `url`.
    pub(crate) manifest_digest: String,
    /// Bytes of the module.
    pub(crate) size: usize,
}

/// What to do with what was built.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write the image's digest into the manifests and pages that name the image.
    #[arg(long)]
    pin: bool,
}

/// The image as manifests name it, up to its digest.
const IMAGE: &str = "ghcr.io/coalmine/filter@sha256:";

/// The files that name the image by its digest.
const PINNED: [&str; 3] = [
    "manifests/voting-flag/istio-ingress/20-coalmine-filter.yaml",
    "manifests/weighted-sticky/istio-ingress/20-coalmine-filter.yaml",
    "docs/filter.md",
];

/// Builds, checks and writes everything, and says what there is.
pub(crate) fn run(options: &Options) -> Result<()> {
    let shipped = build()?;
    if options.pin {
        for name in PINNED {
            let path = root().join(name);
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
            let pinned = with_digest(&text, &shipped.manifest_digest);
            fs::write(&path, pinned).with_context(|| format!("cannot write {name}"))?;
        }
    }
    println!("module    {} ({:.1} KiB)", shipped.module.display(), shipped.size as f64 / 1024.0);
    println!("          sha256:{}   for url: https://…", shipped.file_digest);
    println!("image     {}", shipped.module.with_file_name("coalmine-filter-oci").display());
    println!("          sha256:{}   for url: oci://…", shipped.manifest_digest);
    let dist = root().join("target/dist");
    linter::write(&dist)?;
    wasm::run_task()?;
    // Last: they are of all the others.
    linter::sums(&dist)
}

/// Builds, checks and writes the filter below `target/dist`.
pub(crate) fn build() -> Result<Shipped> {
    tools::wasm_target(tools::WASM_TARGET)?;
    write(&module::build(&root(), None)?, &root().join("target/dist"))
}

/// Writes what is shipped of this linked module to `dist`.
fn write(linked: &[u8], dist: &Path) -> Result<Shipped> {
    let slim = module::slim(linked)?;
    anyhow::ensure!(
        slim.len() <= SIZE_LIMIT,
        "the module has {} bytes, at most {SIZE_LIMIT} are allowed: look for a dependency that came in",
        slim.len()
    );
    fs::create_dir_all(dist)?;
    // The sums of an earlier `dist` would be of other files; it writes them anew, last.
    fs::remove_file(dist.join("SHA256SUMS")).ok();
    let path = dist.join("coalmine-filter.wasm");
    fs::write(&path, &slim).with_context(|| format!("cannot write {}", path.display()))?;
    let manifest_digest = image::write(&slim, &dist.join("coalmine-filter-oci"))?;
    let file_digest = sha256(&slim);
    // For scripts and for the digests in `manifests/`.
    let digests = json!({ "file": file_digest, "manifest": manifest_digest, "bytes": slim.len() });
    fs::write(dist.join("coalmine-filter.json"), format!("{digests:#}\n"))?;
    Ok(Shipped { module: path, file_digest, manifest_digest, size: slim.len() })
}

/// The text with every digest of the image replaced.
fn with_digest(text: &str, digest: &str) -> String {
    let mut parts = text.split(IMAGE);
    let mut pinned = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        pinned.push_str(IMAGE);
        pinned.push_str(digest);
        pinned.push_str(part.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
    }
    pinned
}

/// The digest as Istio and registries write it, without the `sha256:`.
fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the module repeats byte for byte: the linker of another system may lay it out differently.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[test]
    fn manifests_name_the_image_that_is_built() {
        let digest = build().unwrap().manifest_digest;
        for name in PINNED {
            let text = fs::read_to_string(root().join(name)).unwrap();
            assert!(text.contains(IMAGE), "{name} does not name the image");
            assert_eq!(text, with_digest(&text, &digest), "{name} is stale: run `cargo xtask dist --pin`");
        }
    }

    /// Another checkout, in another folder, with nothing built yet, ships the same bytes.
    #[test]
    fn another_checkout_ships_the_same_bytes() {
        let scratch = tempfile::tempdir().unwrap();
        let shipped = |checkout: &Path, target: Option<&Path>| {
            let linked = module::build(checkout, target).unwrap();
            let shipped = write(&linked, &scratch.path().join("dist")).unwrap();
            (fs::read(shipped.module).unwrap(), shipped.manifest_digest)
        };
        let copy = scratch.path().join("elsewhere/with a longer path");
        copy_sources(&root(), &copy);
        let here = shipped(&root(), None);
        let there = shipped(&copy, Some(&scratch.path().join("target")));
        assert!(here.0 == there.0, "the module depends on where or when it is built");
        assert_eq!(here.1, there.1, "the image depends on where or when it is built");
        let text = String::from_utf8_lossy(&here.0).into_owned();
        for private in [root().display().to_string(), std::env::var("HOME").unwrap_or_default()] {
            assert!(
                private.len() < 2 || !text.contains(&private),
                "the module has a path of this machine in it"
            );
        }
    }

    fn copy_sources(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let name = entry.file_name();
            if ["target", ".git", "node_modules"].iter().any(|skipped| name == *skipped) {
                continue;
            }
            let target = to.join(&name);
            if entry.file_type().unwrap().is_dir() {
                copy_sources(&entry.path(), &target);
            } else {
                fs::copy(entry.path(), target).unwrap();
            }
        }
    }
}
