//! Writes an OCI image layout by hand, in the form Istio's agent takes: a plain manifest (no index of platforms)
//! whose last layer is a gzipped tar with `plugin.wasm`. Nothing in it depends on the clock or the machine.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::Result;
use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};

use super::sha256;

/// Writes the layout to `dir`, anew, and answers the digest of its manifest.
pub(super) fn write(module: &[u8], dir: &Path) -> Result<String> {
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let blob = |media_type: &str, bytes: &[u8]| -> Result<Value> {
        let digest = sha256(bytes);
        fs::write(blobs.join(&digest), bytes)?;
        Ok(json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len() }))
    };
    let tar = tar(module)?;
    let layer = blob("application/vnd.oci.image.layer.v1.tar+gzip", &gzip(&tar)?)?;
    // A wasm module has no platform, but the agent resolves images for linux/amd64, so that is what it says.
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", sha256(&tar))] },
    });
    let config = blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes())?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [layer],
        "annotations": {
            "module.wasm.image/variant": "compat",
            "org.opencontainers.image.licenses": "Apache-2.0",
            "org.opencontainers.image.title": "coalmine-filter",
            "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
        },
    });
    let bytes = manifest.to_string();
    let mut manifest = blob("application/vnd.oci.image.manifest.v1+json", bytes.as_bytes())?;
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": env!("CARGO_PKG_VERSION") });
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [manifest],
    });
    fs::write(dir.join("index.json"), index.to_string())?;
    Ok(sha256(bytes.as_bytes()))
}

fn tar(module: &[u8]) -> Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_size(module.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, "plugin.wasm", module)?;
    Ok(archive.into_inner()?)
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    // No time and "unknown" as the system: both would differ between machines.
    let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}
