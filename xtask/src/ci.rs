//! `cargo xtask test` and `cargo xtask ci`: the gates.

use std::fs;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{dist, docs, root, run, tools, wasm};

/// Everything that must pass before a change lands.
pub(crate) fn run_all() -> Result<()> {
    format(true)?;
    tools::wasm_targets()?;
    run("cargo", &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    // Each half as its other targets see it: the filter in Envoy, the library in a browser.
    run(
        "cargo",
        &["clippy", "--package", "coalmine-filter", "--target", "wasm32-wasip1", "--", "-D", "warnings"],
    )?;
    run(
        "cargo",
        &[
            "clippy",
            "--package",
            "coalmine-wasm",
            "--lib",
            "--target",
            "wasm32-unknown-unknown",
            "--",
            "-D",
            "warnings",
        ],
    )?;
    docs::run(&docs::Options { check: true })?;
    test()?;
    let coalmine = root().join("target/debug/coalmine").to_string_lossy().into_owned();
    run(&coalmine, &["lint", "manifests"])?;
    run(&coalmine, &["test", "manifests"])?;
    score(&coalmine)?;
    tools::cargo_deny()?;
    run("target/tools/bin/cargo-deny", &["check", "licenses", "bans", "sources"])
}

/// Sets up what the tests need and runs them all.
pub(crate) fn test() -> Result<()> {
    tools::for_tests()?;
    dist::build()?;
    let mut words = vec!["test", "--workspace", "--"];
    for (tool, tests) in
        [(&tools::REGISTRY, "registry_"), (&tools::NEOVIM, "neovim_"), (&tools::STORES, "real_stores_")]
    {
        if !tools::optional(tool)? {
            words.extend(["--skip", tests]);
        }
    }
    if !wasm::build()? {
        words.extend(["--skip", "npm_", "--skip", "parity_", "--skip", "playground_", "--skip", "vscode_"]);
    } else if !tools::chromium()? {
        words.extend(["--skip", "playground_", "--skip", "vscode_in_"]);
    } else if !tools::code_server()? {
        words.extend(["--skip", "vscode_in_"]);
    }
    run("cargo", &words)
}

/// Formats, or checks the format of, every file. The rule modules are declared by a macro, where
/// `cargo fmt` does not look.
pub(crate) fn format(check: bool) -> Result<()> {
    let mut rules = Vec::new();
    for entry in fs::read_dir(root().join("lint/src/rules"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            rules.push(path.to_string_lossy().into_owned());
        }
    }
    rules.sort();
    let check_flag = if check { &["--check"][..] } else { &[] };
    run("cargo", &[&["fmt", "--all"], check_flag].concat())?;
    let files: Vec<&str> = rules.iter().map(String::as_str).collect();
    eprintln!("$ rustfmt lint/src/rules/*.rs");
    let status = Command::new("rustfmt")
        .args(["--edition", "2024"])
        .args(check_flag)
        .args(files)
        .current_dir(root())
        .status()?;
    if !status.success() {
        bail!("the rule files are not formatted; run `cargo xtask fmt`");
    }
    Ok(())
}

/// Prints how much of the peers' own test table is found, where a checkout of it lies beside this one.
fn score(coalmine: &str) -> Result<()> {
    let shared = root().join("../shared");
    let scorer = shared.join("tools/score_peer_table.py");
    if !scorer.is_file() {
        return Ok(());
    }
    let table = shared.join("corpus/istio-analyze");
    let path = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    run("python3", &[&path(scorer), coalmine, &path(table.join("cases.json")), &path(table)])
}
