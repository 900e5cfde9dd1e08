//! The linter where others run it: pre-commit in a scratch repository, and JUnit as Jenkins reads it.
//!
//! pre-commit, maturin and the XSD validator are in `target/tools/python`, where `cargo xtask test` puts them.
#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

use coalmine::{Files, Linted, Settings, lint, render};
use coalmine_tests::root;
use tempfile::TempDir;

const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec:
  selector: {app: reviews}
  ports: [{name: http, port: 80}]
";

const ROUTE: &str = "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [reviews]
  http:
  - route:
    - destination: {host: reviews, port: {number: 80}}
";

/// Of an API that Istio removed; the safe fix rewrites it.
const POLICY: &str = "\
apiVersion: authentication.istio.io/v1alpha1
kind: Policy
metadata: {name: default, namespace: shop}
spec:
  peers:
  - mtls: {mode: STRICT}
";

/// Two builds into one folder would take each other's program: cargo's lock ends before maturin copies it.
static BUILDS: Mutex<()> = Mutex::new(());

fn tool(name: &str) -> PathBuf {
    let path = root().join("target/tools/python/bin").join(name);
    assert!(path.is_file(), "{} is missing: run `cargo xtask test` (or `cargo xtask setup`)", path.display());
    path
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn git(dir: &Path, args: &[&str]) -> Output {
    git_with(dir, args, &[])
}

fn git_with(dir: &Path, args: &[&str], variables: &[(&str, &Path)]) -> Output {
    Command::new("git")
        .args(["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"])
        .args(args)
        .current_dir(dir)
        // Nobody's own settings and hooks, and not the repository that this test may be run from a hook of.
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env_remove("GIT_DIR")
        .env_remove("GIT_INDEX_FILE")
        .env_remove("GIT_WORK_TREE")
        .envs(variables.iter().copied())
        .output()
        .expect("git")
}

fn must(output: Output) -> String {
    assert!(output.status.success(), "{}", text(&output));
    text(&output)
}

/// A repository with this checkout's files as they are now, tagged as a release would be.
fn release(scratch: &Path) -> PathBuf {
    let release = scratch.join("coalmine");
    let listed = must(git(&root(), &["ls-files", "--cached", "--others", "--exclude-standard"]));
    for name in listed.lines() {
        let (from, to) = (root().join(name), release.join(name));
        if from.is_file() {
            fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
            fs::copy(from, to).expect(name);
        }
    }
    must(git(&release, &["init", "--quiet"]));
    must(git(&release, &["add", "--all"]));
    must(git(&release, &["commit", "--quiet", "--message", "release"]));
    must(git(&release, &["tag", "v0.1.0"]));
    release
}

/// A user's repository, and pre-commit with a home of its own.
struct Repository {
    dir: PathBuf,
    variables: Vec<(&'static str, PathBuf)>,
}

impl Repository {
    fn new(scratch: &Path) -> Self {
        let dir = scratch.join("user");
        fs::create_dir(&dir).expect("a folder");
        must(git(&dir, &["init", "--quiet"]));
        let path = env::join_paths(
            [tool("pre-commit").parent().expect("bin").to_owned()]
                .into_iter()
                .chain(env::split_paths(&env::var_os("PATH").unwrap_or_default())),
        );
        let variables = vec![
            ("PRE_COMMIT_HOME", scratch.join("home")),
            ("PATH", path.expect("a path").into()),
            // What cargo builds for the hook is kept, and not optimised: it is the way there that is tested.
            ("CARGO_TARGET_DIR", root().join("target/hooks")),
            ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0".into()),
            ("CARGO_PROFILE_RELEASE_LTO", "off".into()),
            ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "256".into()),
        ];
        Self { dir, variables }
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.dir.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect(name);
    }

    fn pre_commit(&self, args: &[&str]) -> Output {
        Command::new(tool("pre-commit"))
            .args(args)
            .current_dir(&self.dir)
            .envs(self.variables.iter().cloned())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .expect("pre-commit")
    }

    /// Commits everything; the hooks run.
    fn commit(&self) -> (bool, String) {
        must(git(&self.dir, &["add", "--all"]));
        let variables: Vec<(&str, &Path)> =
            self.variables.iter().map(|(name, value)| (*name, value.as_path())).collect();
        let output = git_with(&self.dir, &["commit", "--message", "change"], &variables);
        (output.status.success(), text(&output))
    }
}

/// Both hooks, built from source by pip as a user's pre-commit does it, without Rust code of this test in between.
#[test]
fn pre_commit_blocks_what_breaks_an_unchanged_file_and_repairs() {
    let _alone = BUILDS.lock().unwrap_or_else(PoisonError::into_inner);
    let scratch = TempDir::new().expect("a scratch folder");
    let release = release(scratch.path());
    let user = Repository::new(scratch.path());
    user.write("deploy/coalmine.yaml", "assume: closed\n");
    user.write("deploy/base/service.yaml", SERVICE);
    user.write("deploy/routes/route.yaml", ROUTE);
    user.write("deploy/policy.yaml", "");
    let config = |hook: &str| {
        let repository = release.display();
        format!("repos:\n- repo: {repository}\n  rev: v0.1.0\n  hooks: [{{id: {hook}}}]\n")
    };

    // As the makers of a hook try it, before anything is installed.
    must(git(&user.dir, &["add", "--all"]));
    let url = release.to_string_lossy().into_owned();
    let tried = user.pre_commit(&["try-repo", &url, "coalmine", "--ref", "v0.1.0", "--all-files"]);
    assert!(tried.status.success() && text(&tried).contains("Passed"), "{}", text(&tried));

    // As users have it: installed, run by `git commit`.
    user.write(".pre-commit-config.yaml", &config("coalmine"));
    must(user.pre_commit(&["install"]));
    let (committed, said) = user.commit();
    assert!(committed && said.contains("Passed"), "{said}");

    user.write("deploy/base/service.yaml", &SERVICE.replace("port: 80", "port: 8080"));
    let (committed, said) = user.commit();
    assert!(!committed, "{said}");
    assert!(said.contains("unknown-destination-port"), "{said}");
    assert!(said.contains("deploy/routes/route.yaml:8:"), "the file that broke was not changed: {said}");

    user.write("deploy/base/service.yaml", SERVICE);
    user.write("deploy/policy.yaml", POLICY);
    user.write(".pre-commit-config.yaml", &config("coalmine-fix"));
    let (committed, said) = user.commit();
    assert!(!committed && said.contains("files were modified by this hook"), "{said}");
    let (committed, said) = user.commit();
    assert!(committed && said.contains("Passed"), "{said}");
    let repaired = fs::read_to_string(user.dir.join("deploy/policy.yaml")).expect("policy.yaml");
    assert!(repaired.contains("kind: PeerAuthentication"), "{repaired}");
}

/// From a wheel, as PyPI would serve it: no Rust on the way.
#[test]
fn pre_commit_installs_a_wheel_without_rust() {
    let _alone = BUILDS.lock().unwrap_or_else(PoisonError::into_inner);
    let scratch = TempDir::new().expect("a scratch folder");
    let mut user = Repository::new(scratch.path());
    let wheels = scratch.path().join("wheels");
    let built = Command::new(tool("maturin"))
        .args(["build", "--quiet", "--release", "--locked", "--out"])
        .arg(&wheels)
        .current_dir(root())
        .envs(user.variables.iter().cloned())
        .output();
    must(built.expect("maturin"));
    let wheel = fs::read_dir(wheels).expect("wheels").next().expect("a wheel").expect("a wheel").path();
    // From here on there is no Rust: a build fails.
    let broken = scratch.path().join("no-rust");
    fs::create_dir(&broken).expect("a folder");
    for name in ["cargo", "rustc"] {
        std::os::unix::fs::symlink("/bin/false", broken.join(name)).expect("a link");
    }
    let variable = user.variables.iter_mut().find(|(name, _)| *name == "PATH").expect("PATH");
    let rest = env::split_paths(&variable.1).collect::<Vec<_>>();
    variable.1 = env::join_paths([broken].into_iter().chain(rest)).expect("a path").into();
    user.write(
        ".pre-commit-config.yaml",
        &format!(
            "repos:\n- repo: local\n  hooks:\n  - id: coalmine\n    name: coalmine\n    language: python\n    \
             entry: coalmine lint --whole-deployment\n    types: [yaml]\n    require_serial: true\n    \
             additional_dependencies: [{wheel:?}]\n"
        ),
    );
    user.write("twice.yaml", "a: 1\na: 2\n");
    must(user.pre_commit(&["install"]));
    let (committed, said) = user.commit();
    assert!(!committed && said.contains("twice.yaml:2:1"), "{said}");
    user.write("twice.yaml", "a: 1\n");
    let (committed, said) = user.commit();
    assert!(committed && said.contains("Passed"), "{said}");
}

#[test]
fn junit_is_what_jenkins_accepts() {
    let scratch = TempDir::new().expect("a scratch folder");
    let report = |text: &str| {
        let path = scratch.path().join("report.xml");
        fs::write(&path, text).expect("report.xml");
        Command::new(tool("xmlschema-validate"))
            .arg("--schema")
            .arg(root().join("lint/tests/schemas/junit-10.xsd"))
            .arg(path)
            .output()
            .expect("xmlschema-validate")
    };
    let mut files = Files::new();
    files.add(
        "ä \"<&>\u{1}.yaml",
        format!("{SERVICE}---\n{}a: 1\na: \"]]>\"\n", ROUTE.replace(": 80", ": 81")),
    );
    files.add("clean.yaml", SERVICE.replace("shop", "other"));
    let found = lint(&files, &Settings::default());
    assert!(found.diagnostics.len() > 1);
    let batch = [Linted { files, report: found }];
    for fails in [true, false] {
        let text = render::junit::render(&batch, |_| fails);
        must(report(&text));
        let wrong = report(&text.replacen(" failures=", " failed=", 2));
        assert!(!wrong.status.success(), "the schema refuses nothing");
    }
    must(report(&render::junit::render(&[], |_| true)));
}
