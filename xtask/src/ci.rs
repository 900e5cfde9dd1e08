//! `cargo xtask test` and `cargo xtask ci`: the gates.

use anyhow::Result;

use crate::run;

/// Everything that must pass before a change lands.
pub(crate) fn run_all() -> Result<()> {
    run("cargo", &["fmt", "--all", "--check"])?;
    run("cargo", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    test()
}

/// Sets up what the tests need and runs them all.
pub(crate) fn test() -> Result<()> {
    run("cargo", &["test", "--workspace"])
}
