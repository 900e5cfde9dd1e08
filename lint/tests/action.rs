//! `action.yml`: what GitHub would run, run here with the program that was just built.
#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use regex::Regex;
use serde_yaml::Value;
use tempfile::TempDir;

fn action() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../action.yml");
    serde_yaml::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn steps(action: &Value) -> &[Value] {
    action["runs"]["steps"].as_sequence().unwrap()
}

fn step<'a>(action: &'a Value, name: &str) -> &'a Value {
    steps(action).iter().find(|step| step["name"].as_str() == Some(name)).unwrap()
}

#[test]
fn every_input_is_declared_documented_and_used_and_none_is_put_into_a_script() {
    let action = action();
    assert_eq!(action["runs"]["using"].as_str(), Some("composite"));
    let declared: BTreeSet<String> =
        action["inputs"].as_mapping().unwrap().keys().map(|key| key.as_str().unwrap().to_owned()).collect();
    for (name, input) in action["inputs"].as_mapping().unwrap() {
        assert!(input["description"].is_string() && input["default"].is_string(), "{name:?}");
    }
    let text = serde_yaml::to_string(&action).unwrap();
    let used: BTreeSet<String> = Regex::new(r"inputs\.([a-z-]+)")
        .unwrap()
        .captures_iter(&text)
        .map(|found| found[1].to_owned())
        .collect();
    assert_eq!(used, declared);
    let ids: Vec<&str> = steps(&action).iter().filter_map(|step| step["id"].as_str()).collect();
    for found in Regex::new(r"steps\.([a-z-]+)\.").unwrap().captures_iter(&text) {
        assert!(ids.contains(&&found[1]), "there is no step {}", &found[1]);
    }
    for step in steps(&action) {
        let Some(script) = step["run"].as_str() else {
            assert!(step["uses"].as_str().unwrap().contains('@'), "an action needs a version");
            continue;
        };
        assert!(!script.contains("${{"), "an expression in a script lets an input become script: {script}");
        assert_eq!(step["shell"].as_str(), Some("bash"), "a composite action's scripts must name the shell");
    }
}

struct Job {
    dir: TempDir,
}

impl Job {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("temp/coalmine/bin");
        fs::create_dir_all(&bin).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_coalmine"), bin.join("coalmine")).unwrap();
        for (name, text) in files {
            let path = dir.path().join("work").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self { dir }
    }

    /// Runs a step as GitHub does: inputs given, others at their defaults.
    fn run(&self, name: &str, inputs: &[(&str, &str)], status: &str) -> Output {
        let action = action();
        let step = step(&action, name);
        let value = |expression: &str| -> String {
            let inner = expression.trim_start_matches("${{").trim_end_matches("}}").trim();
            match inner.strip_prefix("inputs.") {
                Some(input) => {
                    let given = inputs.iter().find(|(name, _)| *name == input).map(|(_, value)| *value);
                    given.or_else(|| action["inputs"][input]["default"].as_str()).unwrap().to_owned()
                }
                None => status.to_owned(),
            }
        };
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"].as_str().unwrap()]);
        for (name, expression) in step["env"].as_mapping().unwrap() {
            command.env(name.as_str().unwrap(), value(expression.as_str().unwrap()));
        }
        command
            .current_dir(self.dir.path().join("work"))
            .env("RUNNER_TEMP", self.dir.path().join("temp"))
            .env("GITHUB_OUTPUT", self.dir.path().join("output"))
            .output()
            .unwrap()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }
}

#[test]
fn findings_are_written_annotated_and_fail_the_job_after_the_upload() {
    let job = Job::new(&[("a b/twice.yaml", "a: 1\na: 2\n"), ("c/clean.yaml", "a: 1\n")]);
    let lint = job.run("Lint", &[("paths", "a b\n\nc\n")], "");
    assert!(lint.status.success(), "the upload comes first: {lint:?}");
    assert!(String::from_utf8_lossy(&lint.stdout).contains("::error file=a b/twice.yaml,line=2"));
    assert_eq!(job.read("output"), "status=1\n");
    let sarif: serde_json::Value = serde_json::from_str(&job.read("work/coalmine.sarif")).unwrap();
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "duplicate-key");
    assert_eq!(job.run("Fail on findings", &[], "1").status.code(), Some(1));
    assert_eq!(job.run("Fail on findings", &[], "0").status.code(), Some(0));
}

#[test]
fn wrong_inputs_fail_at_once_and_are_no_script() {
    let job = Job::new(&[("twice.yaml", "a: 1\na: 2\n")]);
    let missing = job.run("Lint", &[("baseline", "none.json")], "");
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("none.json"));
    let hostile = job.run("Lint", &[("paths", "$(touch pwned)\n--fix\n")], "");
    assert_eq!(hostile.status.code(), Some(2), "{hostile:?}");
    assert!(!job.dir.path().join("work/pwned").exists());
    let tolerant = job.run("Lint", &[("fail-on", "never"), ("sarif-file", "out.sarif")], "");
    assert!(tolerant.status.success());
    assert_eq!(job.read("output"), "status=0\n");
    assert!(job.read("work/out.sarif").contains("duplicate-key"));
}

#[test]
fn the_image_is_built_with_the_toolchain_of_the_repository() {
    let read =
        |name: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)).unwrap();
    let toolchain = read("rust-toolchain.toml");
    let channel =
        toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"');
    let container = read("Containerfile");
    assert!(container.contains(&format!("/rust:{channel}-alpine")), "{container}");
    assert!(container.contains(&format!("RUSTUP_TOOLCHAIN={channel}\n")), "{container}");
}
