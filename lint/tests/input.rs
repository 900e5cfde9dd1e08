//! What the command reads and what it writes, as a user runs it: no file that was named or that `kubectl` would
//! apply is passed over, and none is lost.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod support;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use self::support::{coalmine, folder, stderr, stdout};

const TWICE: &str = "a: 1\na: 2\n";

fn with_input(dir: &Path, args: &[&str], text: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_coalmine"))
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
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

/// More than a pipe holds, so that whoever writes it notices that nobody reads.
fn many_findings() -> TempDir {
    let many: String = (0..2000).map(|n| format!("k{n}: 1\nk{n}: 2\n")).collect();
    folder(&[("a.yaml", &many)])
}

#[test]
fn a_reader_that_goes_away_changes_no_exit_code() {
    let dir = many_findings();
    for format in ["human", "concise", "json"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_coalmine"))
            .args(["lint", "--format", format])
            .current_dir(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{format}: {}", stderr(&output));
        assert_eq!(stderr(&output), "", "{format}");
    }
}

#[test]
fn standard_input_comes_out_fixed_and_alone() {
    let clean = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n";
    let dir = folder(&[]);
    for more in [&["--format=json"][..], &[], &["-o", "report.txt"]] {
        let output = with_input(dir.path(), &[&["lint", "-", "--fix"], more].concat(), clean);
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), clean), "{more:?}");
    }
    assert!(fs::read_to_string(dir.path().join("report.txt")).unwrap().starts_with("No findings"));
    // A label is text once it is quoted; the unknown field stays.
    let broken =
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  labels: {version: 1.0}\nspec:\n  a: 1\n";
    let output = with_input(dir.path(), &["lint", "-", "--fix", "--format=json", "--unsafe-fixes"], broken);
    assert!(stdout(&output).contains("{version: \"1.0\"}"), "{}", stdout(&output));
    assert!(stdout(&output).ends_with("a: 1\n"), "{}", stdout(&output));
    assert!(stderr(&output).contains("\"version\": 1,"), "{}", stderr(&output));
    assert!(stderr(&output).contains("applied 1 fix in 1 file"), "{}", stderr(&output));
    // A file that has the name which standard input was given is a file all the same.
    fs::write(dir.path().join("a.yaml"), broken).unwrap();
    let args = ["lint", "-", "a.yaml", "--stdin-filename=a.yaml", "--fix", "--unsafe-fixes"];
    let output = with_input(dir.path(), &args, clean);
    assert_eq!(stdout(&output), clean);
    assert!(fs::read_to_string(dir.path().join("a.yaml")).unwrap().contains("\"1.0\""));
}

#[test]
fn what_is_read_is_never_written_over() {
    let dir = folder(&[("a.yaml", TWICE), ("other/b.yaml", TWICE)]);
    for args in [
        &["lint", "a.yaml", "-o", "a.yaml"][..],
        &["lint", "a.yaml", "other", "-o", "other/../a.yaml"],
        &["lint", "a.yaml", "--write-baseline", "./a.yaml"],
        &["lint", "--whole-deployment", "a.yaml", "-o", "a.yaml"],
        &["graph", "a.yaml", "-o", "a.yaml"],
    ] {
        let output = coalmine(dir.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains("would be overwritten"), "{args:?}: {}", stderr(&output));
        assert_eq!(fs::read_to_string(dir.path().join("a.yaml")).unwrap(), TWICE, "{args:?}");
    }
}

#[test]
fn a_difference_is_judged_by_the_findings_as_they_are() {
    // One finding that cannot be fixed, one that can, none.
    let fixable = "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  labels: {version: 1.0}\n";
    for (text, shown, code, said) in [
        (TWICE, false, 1, "coalmine: 1 finding; fixing would leave 1\n"),
        (fixable, true, 1, "coalmine: 1 finding; fixing would leave 0\n"),
        ("a: 1\n", false, 0, ""),
    ] {
        let dir = folder(&[("a.yaml", text)]);
        let output = coalmine(dir.path(), &["lint", "--diff", "--unsafe-fixes"]);
        assert_eq!(output.status.code(), Some(code), "{text}: {}", stdout(&output));
        assert_eq!(stdout(&output).contains("+++ b/a.yaml"), shown, "{}", stdout(&output));
        assert_eq!(stderr(&output), said);
        assert_eq!(fs::read_to_string(dir.path().join("a.yaml")).unwrap(), text);
    }
    let dir = folder(&[("a.yaml", TWICE)]);
    let output = coalmine(dir.path(), &["lint", "--diff", "--format", "json"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""));
    assert!(stderr(&output).contains("--diff"), "{}", stderr(&output));
}

#[test]
fn a_step_that_names_nothing_is_told_with_its_place() {
    let settings = "rollout:\n- a.yaml\n- name: voting\n  actions:\n  - delete: old/1.O.yaml\n";
    let dir = folder(&[("coalmine.yaml", settings), ("a.yaml", TWICE)]);
    let wanted = "coalmine.yaml:5:13: the rollout names old/1.O.yaml, which does not exist";
    for command in ["lint", "test", "graph", "rollout"] {
        let output = coalmine(dir.path(), &[command]);
        assert_eq!(output.status.code(), Some(2), "{command}");
        assert!(stderr(&output).contains(wanted), "{command}: {}", stderr(&output));
    }
    // The rest is linted, from any folder.
    let output =
        coalmine(dir.path().parent().unwrap(), &["lint", "--format=concise", dir.path().to_str().unwrap()]);
    assert!(stdout(&output).contains("a.yaml:2:1: error"), "{}", stdout(&output));
    assert!(stderr(&output).contains("/coalmine.yaml:5:13: the rollout names"), "{}", stderr(&output));
    // Nor is an empty path the whole folder.
    let dir = folder(&[("coalmine.yaml", "rollout:\n- ''\n"), ("a.yaml", TWICE)]);
    let output = coalmine(dir.path(), &["lint"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("coalmine.yaml:2:3: rollout[0]: "), "{}", stderr(&output));
}

#[test]
fn a_mistake_in_the_settings_is_told_with_its_line_and_column() {
    for (settings, place) in [
        ("# foo is a demo\nnamespace: voting\nfoo: 1\n", "3:1: unknown field `foo`"),
        ("rules:\n  nope: off\n", "2:3: unknown rule `nope`"),
        ("assume: maybe\n", "1:9: `assume` is `maybe`"),
        ("rollout:\n- 1\n", "2:3: rollout[0]: `1` is no step"),
        ("rules: [\n", "1:8: unclosed bracket"),
    ] {
        let dir = folder(&[("coalmine.yaml", settings), ("a.yaml", "a: 1\n")]);
        let output = coalmine(dir.path(), &["lint"]);
        assert_eq!(output.status.code(), Some(2), "{settings}");
        assert!(stderr(&output).contains(&format!("coalmine.yaml:{place}")), "{}", stderr(&output));
    }
}
