//! The image that `cargo xtask dist` wrote, pushed to a real registry and pulled back as Istio's agent would.
//!
//! The registry is Debian's `docker-registry`; `cargo xtask test` installs it or says that it leaves this out.

use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use coalmine_tests::http1::{self, Client, Response};
use coalmine_tests::{module, root, wait};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// A registry with its own storage, ended by its own handle.
struct Registry {
    process: Child,
    address: SocketAddr,
    _dir: TempDir,
}

impl Registry {
    fn start() -> Self {
        let dir = tempfile::tempdir().expect("a scratch folder");
        // The registry cannot pick a port itself, so one is picked and given back just before.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        let address = free.local_addr().expect("a bound socket has an address");
        drop(free);
        let config = dir.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {:?}}}}}\nhttp: {{addr: \"{address}\"}}\n",
            dir.path().join("storage")
        );
        std::fs::write(&config, text).expect("the registry's configuration");
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("docker-registry: {error}: run `cargo xtask test`, which installs it on Debian")
            });
        let registry = Self { process, address, _dir: dir };
        let ready = wait(Duration::from_secs(10), || Client::try_connect(address).ok());
        assert!(ready.is_some(), "the registry does not listen on {address}");
        registry
    }

    fn send(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> Response {
        let length = body.len().to_string();
        let headers: [(&str, &[u8]); 4] = [
            ("Host", b"localhost"),
            ("Content-Type", kind.as_bytes()),
            ("Accept", kind.as_bytes()),
            ("Content-Length", length.as_bytes()),
        ];
        let mut bytes = http1::request(method, path, &headers);
        bytes.extend_from_slice(body);
        Client::connect(self.address).exchange(&bytes).expect("an answer of the registry")
    }

    fn push_blob(&self, digest: &str, bytes: &[u8]) {
        let started = self.send("POST", "/v2/coalmine/blobs/uploads/", "application/octet-stream", b"");
        assert_eq!(started.status, 202);
        let location = started.text("location").expect("where to upload");
        let path = location.split_once("localhost").map_or(location.as_str(), |(_, path)| path);
        let done = self.send("PUT", &format!("{path}&digest={digest}"), "application/octet-stream", bytes);
        assert_eq!(done.status, 201, "{}", String::from_utf8_lossy(&done.body));
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn layout() -> PathBuf {
    let path = root().join("target/dist/coalmine-filter-oci");
    assert!(path.is_dir(), "{} is missing: run `cargo xtask test` (or `cargo xtask dist`)", path.display());
    path
}

fn blob(digest: &str) -> Vec<u8> {
    let name = digest.strip_prefix("sha256:").expect("a sha256 digest");
    std::fs::read(layout().join("blobs/sha256").join(name)).expect("a blob of the layout")
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}"))
}

#[test]
fn registry_returns_what_was_pushed_and_the_agent_would_take_it() {
    let registry = Registry::start();
    let index = json(&std::fs::read(layout().join("index.json")).expect("index.json"));
    let entry = &index["manifests"][0];
    let (reference, kind) = (text(&entry["digest"]), text(&entry["mediaType"]));
    let manifest = json(&blob(reference));
    let layers = manifest["layers"].as_array().expect("layers");
    for part in layers.iter().chain([&manifest["config"]]) {
        let bytes = blob(text(&part["digest"]));
        assert_eq!(part["size"], bytes.len());
        registry.push_blob(text(&part["digest"]), &bytes);
    }
    let pushed = registry.send("PUT", "/v2/coalmine/manifests/0.1.0", kind, &blob(reference));
    assert_eq!(pushed.status, 201, "{}", String::from_utf8_lossy(&pushed.body));
    assert_eq!(pushed.text("docker-content-digest").as_deref(), Some(reference));

    // Pulled by the digest that a WasmPlugin pins, and by tag.
    let pulled = registry.send("GET", &format!("/v2/coalmine/manifests/{reference}"), kind, b"");
    assert_eq!((pulled.status, digest(&pulled.body).as_str()), (200, reference));
    assert_eq!(registry.send("GET", "/v2/coalmine/manifests/0.1.0", kind, b"").body, pulled.body);
    // What the agent requires of an image: a plain manifest whose last layer is a gzipped tar with `plugin.wasm`.
    let manifest = json(&pulled.body);
    assert_eq!(text(&manifest["mediaType"]), "application/vnd.oci.image.manifest.v1+json");
    let layer = manifest["layers"].as_array().and_then(|layers| layers.last()).expect("a layer");
    assert_eq!(text(&layer["mediaType"]), "application/vnd.oci.image.layer.v1.tar+gzip");
    let layer =
        registry.send("GET", &format!("/v2/coalmine/blobs/{}", text(&layer["digest"])), "*/*", b"").body;
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(layer.as_slice()).read_to_end(&mut tar).expect("gzip");
    let config = registry.send(
        "GET",
        &format!("/v2/coalmine/blobs/{}", text(&manifest["config"]["digest"])),
        "*/*",
        b"",
    );
    assert_eq!(json(&config.body)["rootfs"]["diff_ids"][0], digest(&tar));
    let mut found = Vec::new();
    for entry in tar::Archive::new(tar.as_slice()).entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a name").file_name().map(|name| name.to_string_lossy().into_owned());
        if name.as_deref() == Some("plugin.wasm") {
            entry.read_to_end(&mut found).expect("the module");
        }
    }
    assert!(found == std::fs::read(module()).expect("the module"), "not the module that was tested");

    // The digests that `manifests/` and the release notes quote.
    let digests = json(&std::fs::read(root().join("target/dist/coalmine-filter.json")).expect("the digests"));
    assert_eq!(format!("sha256:{}", text(&digests["manifest"])), reference);
    assert_eq!(format!("sha256:{}", text(&digests["file"])), digest(&found));
}
