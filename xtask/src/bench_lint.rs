//! `cargo xtask bench lint`: what linting costs beside reading the same files alone. Prints, judges nothing.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use coalmine::yaml::{Limits, parse};
use coalmine::{Files, Settings, lint};

use crate::root;

/// Options of `cargo xtask bench lint`.
#[derive(Args)]
pub(crate) struct Options {
    /// How many YAML documents to generate
    #[arg(long, default_value_t = 20_000)]
    documents: usize,
    /// How many interleaved rounds to run
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// Measures in a release build: the caller's own build may be a debug one.
pub(crate) fn run(options: &Options) -> Result<()> {
    if cfg!(debug_assertions) {
        let (documents, rounds) = (options.documents.to_string(), options.rounds.to_string());
        return crate::run(
            "cargo",
            &[
                "run",
                "--quiet",
                "--release",
                "--package",
                "xtask",
                "--",
                "bench",
                "lint",
                "--documents",
                &documents,
                "--rounds",
                &rounds,
            ],
        );
    }
    let files = generate(options.documents)?;
    let bytes: usize = files.iter().map(|(_, file)| file.text().len()).sum();
    let settings = Settings::default();
    let before = resident();
    let mut parsing = Vec::new();
    let mut linting = Vec::new();
    let mut findings = 0;
    let mut documents = 0;
    for _ in 0..options.rounds {
        let start = Instant::now();
        documents = files
            .iter()
            .map(|(id, file)| parse(id, file, Limits::default()).0.iter().filter(|d| !d.is_empty()).count())
            .sum();
        parsing.push(start.elapsed());
        let start = Instant::now();
        findings = lint(&files, &settings).diagnostics.len();
        linting.push(start.elapsed());
    }
    let (parse, lint) = (median(&mut parsing), median(&mut linting));
    let megabytes = bytes as f64 / 1e6;
    println!("{documents} documents, {megabytes:.1} MB, {} rounds, median of each", options.rounds);
    println!("parse alone   {:>8.0} ms   {:>6.1} MB/s", millis(parse), megabytes / parse.as_secs_f64());
    println!("lint          {:>8.0} ms   {:>6.1} MB/s", millis(lint), megabytes / lint.as_secs_f64());
    println!("ratio         {:>8.2}      (bar: at most 3)", lint.as_secs_f64() / parse.as_secs_f64());
    println!("findings      {findings:>8}");
    if let (Some(before), Some(peak)) = (before, peak()) {
        println!("memory        {:>8} MiB above the texts at the peak", peak.saturating_sub(before) / 1024);
    }
    Ok(())
}

/// The voting scenario's third step, copied into as many namespaces as it takes.
pub(crate) fn generate(documents: usize) -> Result<Files> {
    let mut template = Vec::new();
    for step in ["1-deploy", "2-update", "3-canary"] {
        let mut paths: Vec<_> = fs::read_dir(root().join("manifests/voting").join(step))?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
            .collect();
        paths.sort();
        for path in paths {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            // What a later step replaces or deletes would be a finding.
            let replaced: &[&str] = match step {
                "1-deploy" => &["storage-service", "virtual-service", "analytics-1.0"],
                "2-update" => &["destination-rule", "virtual-service"],
                _ => &[],
            };
            let replaced = replaced.iter().any(|part| name.contains(part));
            if !replaced {
                template.push((name, fs::read_to_string(&path)?));
            }
        }
    }
    let mut files = Files::new();
    let mut made = 0;
    for namespace in 0.. {
        if made >= documents {
            break;
        }
        let own = format!("voting-{namespace}");
        for (name, text) in &template {
            let text = text
                .replace("namespace: voting", &format!("namespace: {own}"))
                .replace("name: voting\n", &format!("name: {own}\n"))
                .replace(".voting.svc", &format!(".{own}.svc"));
            files.add(format!("{own}/{name}"), text);
            made += 1;
        }
    }
    Ok(files)
}

pub(crate) fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A field of `/proc/self/status`, in KiB; `None` where there is no such file.
fn status(field: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn resident() -> Option<u64> {
    status("VmRSS:")
}

fn peak() -> Option<u64> {
    status("VmHWM:")
}
