//! `cargo xtask test` and `cargo xtask ci`: the gates.

use anyhow::Result;

use crate::{dist, run, tools};

/// Everything that must pass before a change lands.
pub(crate) fn run_all() -> Result<()> {
    run("cargo", &["fmt", "--all", "--check"])?;
    run("cargo", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    test()
}

/// Sets up what the tests need and runs them all.
pub(crate) fn test() -> Result<()> {
    tools::for_filter_tests()?;
    dist::build()?;
    let registry = if tools::registry()? { &[][..] } else { &["--", "--skip", "registry_"][..] };
    run("cargo", &[&["test", "--workspace"], registry].concat())
}
