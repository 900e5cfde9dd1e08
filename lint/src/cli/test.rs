//! `coalmine test`: runs the routing expectations that are kept beside the manifests.

mod print;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use coalmine::expect::{self, Deployment, Problem, Report, Suite};
use coalmine::render::expect as render;
use coalmine::route::Known;
use coalmine::states::states;
use coalmine::{FileId, Files, Input, Settings};

use super::Exit;
use super::args::Common;
use super::input::{self, deployment_folder, is_expectations, is_manifest};
use super::route::keys;
use super::state;

#[derive(clap::Args, Debug)]
pub(crate) struct TestArgs {
    /// Files of expectations, or folders with them and the manifests [default: the current folder]
    pub paths: Vec<PathBuf>,
    /// Run only the expectations whose name contains this text
    #[arg(long, value_name = "TEXT", conflicts_with = "min_coverage")]
    pub filter: Option<String>,
    /// Exit with 1 when a deployment has less than this part of its routes exercised
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub min_coverage: Option<u8>,
    /// How to print the results
    #[arg(long, value_enum, default_value_t = TestFormat::Human)]
    pub format: TestFormat,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TestFormat {
    /// For people
    Human,
    /// JSON, version 1
    Json,
    /// JUnit XML, for CI systems
    Junit,
}

const EXAMPLE: &str = "\
put a file such as shop.routes.yaml beside the manifests:

expect:
  - name: visitors with the flag reach 2.0
    request: {url: http://shop.example/, cookies: {flag: \"on\"}}
    reaches: {version: \"2.0\"}
";

/// A deployment that was tested.
struct Done {
    files: Files,
    report: Report,
}

/// Runs the expectations. 0 when all are met, 1 when one is not or too few routes are exercised.
pub(crate) fn run(args: &TestArgs, common: &Common, color: bool) -> Result<Exit> {
    let read = input::read(&paths(args, common)?, "<stdin>", common)?;
    for message in &read.unreadable {
        eprintln!("coalmine: {message}");
    }
    if !read.unreadable.is_empty() {
        bail!("not everything could be read");
    }
    let is_named = |path: &PathBuf| is_expectations(path) || is_test_cases(path);
    let named: Vec<_> = args.paths.iter().filter(|path| is_named(path)).filter_map(canonical).collect();
    let only_named = !named.is_empty() && args.paths.iter().all(is_named);
    let wanted = |path: &PathBuf| !only_named || canonical(path).is_some_and(|path| named.contains(&path));
    if let Some(orphan) = read.orphans.iter().find(|path| wanted(path)) {
        bail!("{}: there are no manifests beside it", orphan.display());
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut done: Vec<Done> = Vec::new();
    let mut problems: Vec<String> = Vec::new();
    let mut misread: Vec<String> = Vec::new();
    for deployment in read.deployments {
        let mut files = deployment.files;
        let input = Input::read(&files, &deployment.settings);
        let config = input.mesh_config(&deployment.settings);
        let states = states(&files, &input.resources, &deployment.settings);
        let mut sources = test_cases(&input);
        sources.retain(|file| wanted(&PathBuf::from(files.name(*file))));
        for path in deployment.expectations.iter().filter(|path| wanted(path)) {
            let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
            sources.push(files.add(input::name_of(path), text));
        }
        if let Some(file) = sources.first().filter(|_| input.resources.is_empty()) {
            bail!("{}: there are no manifests beside it", files.name(*file));
        }
        if !sources.is_empty() {
            // An object that was dropped or misread makes claims true that are not.
            misread.extend(state::misread(&files, &deployment.settings, &input));
        }
        let mut suites: Vec<Suite> = Vec::new();
        for file in sources {
            match expect::parse(&files, file) {
                Ok(suite) => suites.push(suite),
                Err(wrong) => problems.extend(wrong.iter().map(|problem| describe(&files, problem))),
            }
        }
        if suites.is_empty() {
            continue;
        }
        let asked = Deployment {
            files: &files,
            settings: &deployment.settings,
            input: &input,
            states: &states,
            config: &config,
        };
        let report =
            expect::run(asked, &suites, args.filter.as_deref(), &|mesh| Known { now, env: keys(mesh) });
        match report {
            Ok(report) => done.push(Done { files, report }),
            Err(wrong) => problems.extend(wrong.iter().map(|problem| describe(&files, problem))),
        }
    }
    if !problems.is_empty() {
        bail!("these expectations cannot be run:\n{}", problems.join("\n"));
    }
    if !misread.is_empty() {
        bail!("these manifests cannot be read as they are meant:\n{}", misread.join("\n"));
    }
    if done.iter().all(|done| done.report.results().next().is_none()) {
        match &args.filter {
            Some(text) if !done.is_empty() => bail!("--filter {text}: no expectation's name contains it"),
            _ => bail!("there are no expectations in the input; {EXAMPLE}"),
        }
    }
    print(args, &done, color)
}

fn print(args: &TestArgs, done: &[Done], color: bool) -> Result<Exit> {
    let covered = args.filter.is_none();
    let tested: Vec<render::Tested<'_>> =
        done.iter().map(|Done { files, report }| render::Tested { files, report, covered }).collect();
    let text = match args.format {
        TestFormat::Human => print::human(&tested, args.min_coverage, color),
        TestFormat::Json => render::json(&tested),
        TestFormat::Junit => render::junit(&tested),
    };
    super::put(&text)?;
    let failed = done.iter().any(|done| done.report.results().any(|result| !result.passed()));
    let uncovered = args
        .min_coverage
        .is_some_and(|least| done.iter().any(|done| done.report.coverage.is_less_than(f64::from(least))));
    if uncovered && args.format != TestFormat::Human {
        eprintln!("coalmine: less than {} % of the routes are exercised", args.min_coverage.unwrap_or(100));
    }
    Ok(if failed || uncovered { Exit::Findings } else { Exit::Clean })
}

/// What to read: for a file of expectations the deployment that it belongs to.
fn paths(args: &TestArgs, common: &Common) -> Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for path in &args.paths {
        if (is_expectations(path) || is_test_cases(path)) && path.is_file() {
            paths.push(deployment_folder(path, common)?);
        }
        paths.push(path.clone());
    }
    Ok(paths)
}

fn canonical(path: &PathBuf) -> Option<PathBuf> {
    fs::canonicalize(path).ok()
}

/// Files of the input that are istio-config-validator's: they have `testCases` where objects have a kind.
fn test_cases(input: &Input) -> Vec<FileId> {
    let mut files: Vec<FileId> = Vec::new();
    for document in &input.documents {
        let root = document.root();
        let is_cases = root.is_some_and(|root| root.get("testCases").is_some() && root.get("kind").is_none());
        if is_cases && !files.contains(&document.file()) {
            files.push(document.file());
        }
    }
    files
}

/// Whether a file holds test cases of istio-config-validator, by what is in it.
fn is_test_cases(path: &Path) -> bool {
    let Some(text) = is_manifest(path).then(|| fs::read_to_string(path).ok()).flatten() else { return false };
    let mut files = Files::new();
    files.add(input::name_of(path), text);
    !test_cases(&Input::read(&files, &Settings::default())).is_empty()
}

/// `file:line:column: what is wrong`
fn describe(files: &Files, problem: &Problem) -> String {
    state::at(files, problem.span, &problem.message)
}
