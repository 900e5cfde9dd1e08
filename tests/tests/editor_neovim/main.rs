//! The language server in a real editor: Neovim, without a screen.
//!
//! Neovim is Debian's; `cargo xtask test` installs it or says that it leaves this out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use coalmine_tests::{root, wait};
use serde_json::Value;

/// The session has waits of its own, each shorter than this.
const PATIENCE: Duration = Duration::from_secs(120);

/// The linter, built as this test was.
fn coalmine() -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "coalmine"])
        .current_dir(root())
        .status();
    assert!(built.is_ok_and(|status| status.success()), "`cargo build --package coalmine` failed");
    let deps = std::env::current_exe().expect("the path of this test");
    let program = deps.parent().and_then(Path::parent).map(|folder| folder.join("coalmine"));
    program.filter(|program| program.is_file()).expect("cargo puts `coalmine` two folders above its tests")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder of the copy");
    for entry in fs::read_dir(from).expect("the manifests") {
        let path = entry.expect("the manifests").path();
        let target = to.join(path.file_name().expect("a file has a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("a copy of a manifest");
        }
    }
}

/// What the session saw in a copy of the voting scenario with one file broken.
fn session(manifest: &str, right: &str, wrong: &str, choose: &str) -> (Value, String) {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let folder = fs::canonicalize(scratch.path()).expect("its real path").join("voting");
    copy(&root().join("manifests/voting"), &folder);
    let path = folder.join(manifest);
    let text = fs::read_to_string(&path).expect("the manifest");
    assert!(text.contains(right), "{manifest} has changed; this test breaks `{right}` in it");
    fs::write(&path, text.replacen(right, wrong, 1)).expect("the broken manifest");
    let seen = scratch.path().join("seen.json");
    let script = root().join("tests/tests/editor_neovim/session.lua");
    let mut editor = Command::new("nvim")
        .args(["--headless", "--clean", "-u", "NONE", "-c"])
        .arg(format!("luafile {}", script.display()))
        .env("COALMINE", coalmine())
        .env("FOLDER", &folder)
        .env("MANIFEST", &path)
        .env("CHOOSE", choose)
        .env("SEEN", &seen)
        // Neovim keeps its log and state there.
        .env("HOME", scratch.path())
        .env("XDG_CACHE_HOME", scratch.path())
        .env("XDG_STATE_HOME", scratch.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("nvim: {error}: run `cargo xtask test`, which installs it on Debian"));
    let ended = wait(PATIENCE, || editor.try_wait().expect("the editor's state"));
    if ended.is_none() {
        let _ = editor.kill();
        let _ = editor.wait();
        panic!("the session did not end");
    }
    let seen = fs::read_to_string(&seen).expect("the session wrote what it saw");
    (serde_json::from_str(&seen).expect("the session wrote JSON"), text)
}

#[test]
fn neovim_shows_a_broken_route_and_repairs_it() {
    let (seen, original) =
        session("2-update/32-voting-app-virtual-service.yaml", "subset: v1-0", "subset: v1.0", "Use `v1-0`");
    assert_eq!(seen["problem"], Value::Null, "{seen:#}");
    let found = &seen["diagnostics"][0];
    assert_eq!(found["code"], "unknown-subset", "{seen:#}");
    assert_eq!(found["source"], "coalmine");
    assert_eq!(found["severity"], 1);
    let line =
        original.lines().position(|line| line.contains("subset: v1-0")).expect("the line that was broken");
    assert_eq!(found["line"], line);
    assert!(found["message"].as_str().is_some_and(|text| text.contains("subset `v1.0`")), "{seen:#}");
    assert!(seen["hover"].as_str().is_some_and(|text| text.contains("**unknown-subset**")), "{seen:#}");
    assert_eq!(seen["text"], original, "the fix restores the file to the letter");
    assert_eq!(seen["cleared"], true);
}
