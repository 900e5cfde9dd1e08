//! What the command reads and what it writes, as a user runs it: no file that was named or that `kubectl` would
//! apply is passed over, and none is lost.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const TWICE: &str = "a: 1\na: 2\n";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn coalmine(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_coalmine")).args(args).current_dir(dir).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_named_file_is_linted_with_its_deployment_even_where_a_walk_passes_over_it() {
    for hidden in [".deploy/x.yaml", "gen/x.yaml"] {
        let dir = folder(&[(hidden, TWICE), (".gitignore", "gen/\n"), ("ok.yaml", "b: 1\n")]);
        let output = coalmine(dir.path(), &["lint", "--whole-deployment", "--format=concise", hidden]);
        assert_eq!(output.status.code(), Some(1), "{hidden}: {}", stdout(&output));
        assert!(stdout(&output).contains(&format!("{hidden}:2:1: error")), "{}", stdout(&output));
    }
    // A changed coalmine.yaml says which deployment, and is no manifest.
    let dir = folder(&[("coalmine.yaml", "rules: {}\n"), ("a.yaml", TWICE)]);
    let output =
        coalmine(dir.path(), &["lint", "--whole-deployment", "--format=concise", "coalmine.yaml", "a.yaml"]);
    assert_eq!(stdout(&output).matches("duplicate-key").count(), 1, "{}", stdout(&output));
}

#[cfg(unix)]
#[test]
fn a_mounted_config_map_is_read_though_every_file_is_a_link() {
    use std::os::unix::fs::symlink;
    let dir = folder(&[("cm/..data/a.yaml", TWICE)]);
    symlink("..data/a.yaml", dir.path().join("cm/a.yaml")).unwrap();
    let output = coalmine(dir.path(), &["lint", "cm", "--format=concise"]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stdout(&output).starts_with("cm/a.yaml:2:1: error"), "{}", stdout(&output));

    // One file by two names is read once, under its own; a link to its own folder is no way round.
    let dir = folder(&[("b.yaml", TWICE)]);
    symlink("b.yaml", dir.path().join("a.yaml")).unwrap();
    symlink(".", dir.path().join("loop")).unwrap();
    symlink(".", dir.path().join("loop.yaml")).unwrap();
    let output = coalmine(dir.path(), &["lint", "--format=concise"]);
    assert_eq!(stdout(&output).matches("duplicate-key").count(), 1, "{}", stdout(&output));
    assert!(stdout(&output).starts_with("b.yaml:2:1"), "{}", stdout(&output));

    // The same file in two deployments is part of both.
    let dir = folder(&[("base/a.yaml", TWICE), ("base/coalmine.yaml", ""), ("env/coalmine.yaml", "")]);
    symlink("../base/a.yaml", dir.path().join("env/a.yaml")).unwrap();
    let output = coalmine(dir.path(), &["lint", "--format=concise"]);
    assert!(stdout(&output).contains("base/a.yaml:2:1"), "{}", stdout(&output));
    assert!(stdout(&output).contains("env/a.yaml:2:1"), "{}", stdout(&output));

    // A link to nothing is named, and the rest is linted.
    symlink("gone.yaml", dir.path().join("env/b.yaml")).unwrap();
    let output = coalmine(dir.path(), &["lint", "--format=concise"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("env/b.yaml: a link to nothing"), "{}", stderr(&output));
    assert!(stdout(&output).contains("env/a.yaml:2:1"), "{}", stdout(&output));
}
