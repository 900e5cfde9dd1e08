//! `cargo xtask`: the project's own tasks, one module each.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};

mod bench_filter;
mod ci;
mod demo_filter;
mod dist;
mod tools;

/// The tasks of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Measure; nothing here can fail a test.
    #[command(subcommand)]
    Bench(Bench),
    /// Everything that must pass before a change lands.
    Ci,
    /// Show the filter at work in a real Envoy.
    Demo {
        /// Exit after the table rather than serving until Ctrl-C.
        #[arg(long)]
        once: bool,
    },
    /// Build the filter as it is shipped: a module and an OCI image layout below target/dist.
    Dist,
    /// Fetch what the filter's tests need, once: the wasm target and two Envoys.
    Setup,
    /// Set up what the tests need and run them all.
    Test,
}

/// What can be measured.
#[derive(Subcommand)]
enum Bench {
    /// The shipped module in Envoy, beside Lua and nothing.
    Filter(bench_filter::Options),
}

fn main() -> Result<()> {
    match Task::parse() {
        Task::Bench(Bench::Filter(options)) => bench_filter::run(&options),
        Task::Ci => ci::run_all(),
        Task::Demo { once } => demo_filter::run(once),
        Task::Dist => dist::run(),
        Task::Setup => tools::for_filter_tests(),
        Task::Test => ci::test(),
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
