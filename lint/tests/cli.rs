//! The command as a user runs it: exit codes, formats, settings, fixes.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod support;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use self::support::{coalmine, folder, stderr, stdout};

const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata:
  name: reviews
spec:
  selector:
    app: reviews
  ports:
  - name: http
    port: 80
";

const ROUTE: &str = "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
spec:
  hosts:
  - reviews
  http:
  - route:
    - destination:
        host: reviews
        subset: v1.0
";

const RULE: &str = "\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: reviews
spec:
  host: reviews
  subsets:
  - name: v1-0
    labels:
      version: \"1.0\"
";

/// The broken deployment that most tests start from: one error, one warning.
fn broken() -> TempDir {
    folder(&[("service.yaml", SERVICE), ("route.yaml", ROUTE), ("rule.yaml", RULE)])
}

#[test]
fn the_exit_code_is_the_same_in_every_format() {
    let dir = broken();
    for format in ["human", "concise", "json", "sarif", "github", "gitlab", "junit"] {
        let code = |more: &[&str]| {
            coalmine(dir.path(), &[&["lint", "--format", format], more].concat()).status.code()
        };
        assert_eq!(code(&[]), Some(1), "{format}");
        assert_eq!(code(&["--fail-on", "never"]), Some(0), "{format}");
        assert_eq!(code(&["--ignore", "unknown-subset"]), Some(0), "{format}");
        assert_eq!(code(&["--ignore", "unknown-subset", "--fail-on", "warning"]), Some(1), "{format}");
        assert_eq!(code(&["--min-severity", "error", "--fail-on", "warning"]), Some(1), "{format}");
    }
}

#[test]
fn wrong_usage_is_2_and_says_what_is_wrong() {
    let dir = broken();
    let unknown = coalmine(dir.path(), &["lint", "--select", "unknown-subsett"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains("unknown-subset"), "{}", stderr(&unknown));
    let no_rule = coalmine(dir.path(), &["explain", "unknown-subsett"]);
    assert_eq!(no_rule.status.code(), Some(2));
    assert!(stderr(&no_rule).contains("did you mean `unknown-subset`?"), "{}", stderr(&no_rule));
    let no_config = coalmine(dir.path(), &["lint", "--config", "nowhere.yaml"]);
    assert_eq!(no_config.status.code(), Some(2));
    assert!(stderr(&no_config).contains("nowhere.yaml"), "{}", stderr(&no_config));
}

#[test]
fn an_unreadable_path_is_named_and_the_rest_is_linted() {
    let dir = broken();
    fs::write(dir.path().join("latin1.yaml"), b"a: \xe9\n").unwrap();
    let output = coalmine(dir.path(), &["lint", ".", "nowhere", "--format", "concise"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("nowhere"), "{}", stderr(&output));
    assert!(stderr(&output).contains("latin1.yaml: not UTF-8 at byte 3"), "{}", stderr(&output));
    assert!(stdout(&output).contains("route.yaml:12:17: error[unknown-subset]"), "{}", stdout(&output));
}

#[test]
fn standard_input_is_a_stream_of_documents() {
    let dir = folder(&[]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_coalmine"))
        .args(["lint", "-", "--format", "concise", "--stdin-filename", "rendered.yaml"])
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text = format!("{SERVICE}---\n{ROUTE}---\n{RULE}");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).starts_with("rendered.yaml:23:17: error[unknown-subset]"), "{}", stdout(&output));
}

#[test]
fn gitignored_files_helm_templates_and_settings_are_not_linted() {
    let dir = folder(&[
        (".gitignore", "generated/\n"),
        ("generated/a.yaml", "a: ["),
        ("chart/Chart.yaml", "name: x\n"),
        ("chart/templates/a.yaml", "{{ if }}"),
        ("coalmine.yaml", "namespace: shop\n"),
        ("service.yaml", SERVICE),
    ]);
    let output = coalmine(dir.path(), &["lint", "--format", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stderr(&output).contains("1 Helm template"), "{}", stderr(&output));
}

#[test]
fn a_fix_is_shown_then_made_and_then_there_is_nothing_left() {
    let dir = broken();
    let diff = coalmine(dir.path(), &["lint", "--diff", "--unsafe-fixes"]);
    assert!(stdout(&diff).contains("-        subset: v1.0\n+        subset: v1-0\n"), "{}", stdout(&diff));
    assert_eq!(fs::read_to_string(dir.path().join("route.yaml")).unwrap(), ROUTE);
    let safe = coalmine(dir.path(), &["lint", "--fix"]);
    assert_eq!(safe.status.code(), Some(1), "an unsafe fix needs its flag");
    let fixed = coalmine(dir.path(), &["lint", "--fix", "--unsafe-fixes"]);
    assert_eq!(fixed.status.code(), Some(0), "{}", stdout(&fixed));
    let text = fs::read_to_string(dir.path().join("route.yaml")).unwrap();
    assert_eq!(text, ROUTE.replace("v1.0", "v1-0"));
    let again = coalmine(dir.path(), &["lint", "--diff", "--unsafe-fixes"]);
    assert_eq!(stdout(&again), "");
}

#[test]
fn every_coalmine_yaml_is_a_deployment_of_its_own() {
    let dir = folder(&[
        ("one/coalmine.yaml", "namespace: shop\n"),
        ("one/service.yaml", SERVICE),
        ("two/coalmine.yaml", "namespace: shop\nrules: {unknown-subset: warning}\n"),
        ("two/service.yaml", SERVICE),
        ("two/route.yaml", ROUTE),
        ("two/rule.yaml", RULE),
    ]);
    let output = coalmine(dir.path(), &["lint", "--format", "concise"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).contains("two/route.yaml:12:17: warning[unknown-subset]"), "{}", stdout(&output));
    assert!(!stdout(&output).contains("duplicate-resource"), "{}", stdout(&output));
    let isolated = coalmine(dir.path(), &["lint", "two", "--isolated"]);
    assert_eq!(isolated.status.code(), Some(1));
}

#[test]
fn one_step_of_a_rollout_is_linted_with_the_others_as_context() {
    let dir = folder(&[
        ("coalmine.yaml", "rollout: [1-deploy, 2-route]\n"),
        ("1-deploy/service.yaml", SERVICE),
        ("1-deploy/rule.yaml", RULE),
        ("2-route/route.yaml", &ROUTE.replace("v1.0", "v1-0")),
    ]);
    for (here, path) in [("", "2-route"), ("2-route", "route.yaml"), ("2-route", ".")] {
        let output = coalmine(&dir.path().join(here), &["lint", path, "--format", "concise"]);
        assert_eq!(stdout(&output), "", "{here} {path}");
        assert_eq!(output.status.code(), Some(0), "{here} {path}: {}", stderr(&output));
    }
}

#[test]
fn a_wrong_setting_is_named_with_its_file() {
    let dir = folder(&[("coalmine.yaml", "rules: {unknown-subset: loud}\n"), ("a.yaml", SERVICE)]);
    let output = coalmine(dir.path(), &["lint"]);
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    assert!(text.contains("coalmine.yaml") && text.contains("off, info, warning, error"), "{text}");
}

#[test]
fn a_broken_mesh_config_is_named() {
    let dir = folder(&[("mesh.yaml", "rootNamespace: [\n"), ("a.yaml", SERVICE)]);
    let output = coalmine(dir.path(), &["lint", "a.yaml", "--mesh-config", "mesh.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("mesh.yaml"), "{}", stderr(&output));
}

#[test]
fn the_rule_list_is_json_version_1_and_completions_name_the_commands() {
    let dir = folder(&[]);
    let rules = coalmine(dir.path(), &["rules", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&rules.stdout).unwrap();
    assert_eq!(json["version"], 1);
    let first = &json["rules"][0];
    for field in ["id", "severity", "category", "summary", "fix", "since", "upstream", "url"] {
        assert!(!first[field].is_null(), "{field}");
    }
    let zsh = coalmine(dir.path(), &["completions", "zsh"]);
    assert!(stdout(&zsh).contains("explain"), "{}", stdout(&zsh));
}

#[test]
fn the_human_format_marks_the_place_in_every_file() {
    let dir = broken();
    let output = coalmine(dir.path(), &["lint", "--select", "unknown-subset"]);
    insta::assert_snapshot!(stdout(&output));
}

#[test]
fn the_finding_in_the_readme_is_what_the_command_prints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let dir = tempfile::tempdir().unwrap();
    let voting = root.join("manifests/voting");
    let copy = dir.path().join("voting");
    for step in ["1-deploy", "2-update", "3-canary"] {
        fs::create_dir_all(copy.join(step)).unwrap();
        for entry in fs::read_dir(voting.join(step)).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, copy.join(step).join(path.file_name().unwrap())).unwrap();
        }
    }
    fs::copy(voting.join("coalmine.yaml"), copy.join("coalmine.yaml")).unwrap();
    let route = copy.join("3-canary/30-voting-storage-virtual-service.yaml");
    let text = fs::read_to_string(&route).unwrap().replace("number: 3306", "number: 6379");
    fs::write(&route, text).unwrap();
    let printed = stdout(&coalmine(dir.path(), &["lint", "voting"]));
    let finding = printed.split("\n1 error").next().unwrap().trim_end();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    assert!(readme.contains(finding), "{printed}");
}

#[test]
fn a_baseline_hides_what_is_known_in_every_format_and_nothing_else() {
    let dir = broken();
    let written = coalmine(dir.path(), &["lint", "--write-baseline", "known.json"]);
    assert_eq!(written.status.code(), Some(0), "{}", stderr(&written));
    assert!(stderr(&written).contains("wrote 2 findings to known.json"), "{}", stderr(&written));
    // Lines move, and the run starts elsewhere and names the files otherwise.
    let route = dir.path().join("route.yaml");
    fs::write(&route, format!("# moved\n\n{ROUTE}")).unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    for format in ["human", "concise", "json", "sarif", "github", "gitlab", "junit"] {
        let args = ["lint", "--format", format, "--baseline", "../known.json"];
        let sub = coalmine(&dir.path().join("sub"), &[&args[..], &[".."]].concat());
        let absolute =
            coalmine(&dir.path().join("sub"), &[&args[..], &[dir.path().to_str().unwrap()]].concat());
        for output in [sub, absolute] {
            assert_eq!(output.status.code(), Some(0), "{format}: {}", stderr(&output));
            let found = stdout(&output);
            let is_hidden = match format {
                "sarif" => found.contains("\"results\": []"),
                _ => !found.contains("unknown-subset"),
            };
            assert!(is_hidden, "{format}: {found}");
            assert_eq!(stderr(&output), "", "{format}");
        }
    }
    let human = coalmine(dir.path(), &["lint", "--baseline", "known.json"]);
    assert!(stdout(&human).contains("No findings in 3 documents of 3 files, 2 in the baseline"));
    let json = coalmine(dir.path(), &["lint", "--baseline", "known.json", "--format", "json"]);
    assert!(stdout(&json).contains("\"baselined\": 2"), "{}", stdout(&json));

    fs::write(&route, ROUTE.replace("v1.0", "v3")).unwrap();
    let other = coalmine(dir.path(), &["lint", "--baseline", "known.json", "--format", "concise"]);
    assert_eq!(other.status.code(), Some(1));
    assert!(stdout(&other).contains("route.yaml:12:17: error[unknown-subset]"), "{}", stdout(&other));
    assert!(stderr(&other).contains("1 entry is stale"), "{}", stderr(&other));
    assert!(stderr(&other).contains("  route.yaml: unknown-subset"), "{}", stderr(&other));
}

#[test]
fn only_what_a_run_looked_at_can_be_stale() {
    let dir = broken();
    coalmine(dir.path(), &["lint", "--write-baseline", "known.json"]);
    let quiet = |args: &[&str]| {
        let output = coalmine(dir.path(), &[&["lint", "--baseline", "known.json"], args].concat());
        assert_eq!(stderr(&output), "", "{args:?}");
    };
    quiet(&["service.yaml"]);
    quiet(&["--ignore", "unknown-subset"]);
    quiet(&["--select", "yaml-syntax"]);
    fs::remove_file(dir.path().join("route.yaml")).unwrap();
    let gone = coalmine(dir.path(), &["lint", "--baseline", "known.json", "service.yaml"]);
    assert!(stderr(&gone).contains("1 entry is stale"), "{}", stderr(&gone));
}

#[test]
fn a_baseline_is_neither_guessed_nor_written_from_a_part() {
    let dir = broken();
    let missing = coalmine(dir.path(), &["lint", "--baseline", "known.json"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(stderr(&missing).contains("write it with --write-baseline"), "{}", stderr(&missing));
    let partial = coalmine(dir.path(), &["lint", ".", "nowhere", "--write-baseline", "known.json"]);
    assert_eq!(partial.status.code(), Some(2));
    assert!(stderr(&partial).contains("not written"), "{}", stderr(&partial));
    assert!(!dir.path().join("known.json").exists());
    fs::write(dir.path().join("known.json"), "{\"version\": 7, \"findings\": []}").unwrap();
    let newer = coalmine(dir.path(), &["lint", "--baseline", "known.json"]);
    assert_eq!(newer.status.code(), Some(2));
    assert!(stderr(&newer).contains("version 7"), "{}", stderr(&newer));
}

#[test]
fn a_changed_file_lints_its_whole_deployment_and_no_other() {
    let renamed = SERVICE.replace("name: reviews", "name: ratings");
    let dir = folder(&[
        (".git/HEAD", ""),
        ("a/coalmine.yaml", "namespace: shop\n"),
        ("a/base/service.yaml", SERVICE),
        ("a/routes/route.yaml", ROUTE),
        ("a/routes/rule.yaml", RULE),
        ("a/nested/coalmine.yaml", ""),
        ("a/nested/broken.yaml", "a: ["),
        ("loose/x/service.yaml", &renamed),
        ("loose/y/route.yaml", ROUTE),
    ]);
    let lint = |here: &str, args: &[&str]| {
        let args = [&["lint", "--whole-deployment", "--format", "concise"], args].concat();
        let output = coalmine(&dir.path().join(here), &args);
        assert_eq!(stderr(&output), "", "{here} {args:?}");
        (stdout(&output), output.status.code())
    };
    let (a, code) = lint("", &["a/base/service.yaml"]);
    assert!(a.contains("a/routes/route.yaml:12:17: error[unknown-subset]"), "{a}");
    assert!(!a.contains("nested") && !a.contains("loose"), "{a}");
    assert_eq!(code, Some(1));
    assert_eq!(lint("", &["a/coalmine.yaml", "a/base/service.yaml", "a/routes"]).0, a);
    let (from_inside, _) = lint("a/base", &["service.yaml"]);
    assert!(from_inside.contains("routes/route.yaml:12:17: error[unknown-subset]"), "{from_inside}");
    // Without settings the repository is the deployment.
    let (loose, _) = lint("", &["loose/x/service.yaml"]);
    assert!(loose.starts_with("loose/y/route.yaml:11:15: error[unknown-destination-host]"), "{loose}");
    assert!(!loose.contains("a/"), "{loose}");
    let (inside, _) = lint("loose/x", &["service.yaml"]);
    assert_eq!(inside.lines().count(), loose.lines().count(), "{inside}");
    let (both, _) = lint("", &["loose/x/service.yaml", "a/routes/route.yaml"]);
    assert_eq!(both, format!("{loose}{a}"));
    let (nested, _) = lint("", &["a/nested/broken.yaml"]);
    assert!(nested.lines().all(|line| line.starts_with("a/nested/broken.yaml")), "{nested}");
}

#[test]
fn the_heading_names_the_place_of_the_finding_and_not_of_an_earlier_related_one() {
    let dir = folder(&[("a.yaml", "a: 1\nb: 1\na: 2\n")]);
    let output = coalmine(dir.path(), &["lint"]);
    assert!(stdout(&output).contains("[a.yaml:3:1]"), "{}", stdout(&output));
}

#[test]
fn every_command_has_a_manual_page() {
    let dir = folder(&[]);
    let written = coalmine(dir.path(), &["man", "pages"]);
    assert_eq!(written.status.code(), Some(0), "{}", stderr(&written));
    let page = |name: &str| fs::read_to_string(dir.path().join("pages").join(name)).unwrap();
    assert!(page("coalmine.1").contains("coalmine\\-lint(1)"), "{}", page("coalmine.1"));
    assert!(page("coalmine-lint.1").contains("write\\-baseline"), "{}", page("coalmine-lint.1"));
    for command in ["rules", "explain", "decide", "completions"] {
        assert!(page(&format!("coalmine-{command}.1")).contains(".SH SYNOPSIS"));
    }
}

/// A process that ends with the test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn watching_lints_again_after_changes_new_folders_and_broken_settings() {
    let dir = folder(&[
        ("coalmine.yaml", "namespace: shop\n"),
        ("sub/service.yaml", SERVICE),
        ("sub/route.yaml", ROUTE),
        ("sub/rule.yaml", RULE),
    ]);
    let said = fs::File::create(dir.path().join("said")).unwrap();
    let mut child = Ended(
        Command::new(env!("CARGO_BIN_EXE_coalmine"))
            .args(["lint", "--watch", "--format", "json", "--output", "report.json"])
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .stderr(said)
            .spawn()
            .unwrap(),
    );
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    let wait = |what: &str, is_there: &dyn Fn(&str) -> bool| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        loop {
            let text = fs::read_to_string(dir.path().join(what)).unwrap_or_default();
            if is_there(&text) {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "{what} stays at\n{text}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    };
    let rules = |expected: &'static [&'static str]| {
        wait("report.json", &|text| {
            let Ok(report) = serde_json::from_str::<serde_json::Value>(text) else { return false };
            let found = report["diagnostics"].as_array().unwrap();
            found.iter().map(|finding| finding["rule"].as_str().unwrap()).eq(expected.iter().copied())
        });
    };
    rules(&["unknown-subset", "orphaned-subset"]);
    write("sub/route.yaml", &ROUTE.replace("v1.0", "v1-0"));
    rules(&[]);
    fs::create_dir_all(dir.path().join("new/er")).unwrap();
    write("new/er/a.yaml", "a: 1\na: 2\n");
    rules(&["duplicate-key"]);
    write("new/er/a.yaml", "a: 1\na: 2\na: 3\n");
    rules(&["duplicate-key", "duplicate-key"]);
    write("coalmine.yaml", "namespaces: shop\n");
    wait("said", &|text| text.contains("unknown field `namespaces`"));
    write("coalmine.yaml", "rules: {duplicate-key: off}\n");
    rules(&[]);
    let said = fs::read_to_string(dir.path().join("said")).unwrap();
    assert!(said.contains("watching 4 folders; Ctrl-C ends"), "{said}");
    assert!(!said.contains('\u{1b}'), "a screen is cleared that is none: {said}");
    assert!(child.0.try_wait().unwrap().is_none(), "it ended by itself");
}
