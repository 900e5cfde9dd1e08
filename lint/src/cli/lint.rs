//! `coalmine lint`

use std::fs;
use std::io::{self, Write as _};

use anyhow::{Context as _, Result};
use coalmine::render::{concise, github, gitlab, json, junit, sarif};
use coalmine::{Files, Linted, Safety, Settings, fix, lint};
use similar::TextDiff;

use super::args::{Common, Format, LintArgs};
use super::{Exit, baseline, human, input};

/// Lints, fixes or shows what fixing would do, once.
pub(crate) fn once(args: &LintArgs, common: &Common, color: bool) -> Result<Exit> {
    let known = baseline::load(&args.baseline)?;
    let input = input::read_chosen(&args.choice(&args.own_files()), &args.stdin_filename, common)?;
    for message in &input.unreadable {
        eprintln!("coalmine: {message}");
    }
    if input.templates > 0 {
        eprintln!(
            "coalmine: {} Helm templates were not read; render them: helm template CHART | coalmine lint -",
            input.templates
        );
    }
    let mut batch = Vec::new();
    let mut diff = String::new();
    for deployment in input.deployments {
        let settings =
            Settings { select: args.select.clone(), ignore: args.ignore.clone(), ..deployment.settings };
        let linted = if args.fix || args.diff {
            let (linted, text) = apply_fixes(args, &deployment.files, &settings)?;
            diff.push_str(&text);
            linted
        } else {
            let report = lint(&deployment.files, &settings);
            Linted { files: deployment.files, report }
        };
        batch.push(linted);
    }
    baseline::apply(args, known, &mut batch, input.unreadable.is_empty())?;
    let failed = batch
        .iter()
        .flat_map(|linted| &linted.report.diagnostics)
        .any(|diagnostic| args.fail_on.includes(diagnostic.severity));
    for linted in &mut batch {
        linted.report.diagnostics.retain(|diagnostic| diagnostic.severity >= args.min_severity.into());
    }
    let text = if args.diff {
        diff
    } else {
        match args.format {
            Format::Human => human::render(&batch, color && args.output.is_none()),
            Format::Concise => concise::render(&batch),
            Format::Json => json::render(&batch),
            Format::Sarif => sarif::render(&batch),
            Format::Github => github::render(&batch),
            Format::Gitlab => gitlab::render(&batch),
            Format::Junit => junit::render(&batch, |severity| args.fail_on.includes(severity)),
        }
    };
    match &args.output {
        Some(path) => fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?,
        None => io::stdout().write_all(text.as_bytes())?,
    }
    Ok(match (input.unreadable.is_empty(), failed) {
        (false, _) => Exit::Usage,
        (true, true) => Exit::Findings,
        (true, false) => Exit::Clean,
    })
}

/// Fixes one deployment: writes the files, or returns the difference. The findings are those that remain.
fn apply_fixes(args: &LintArgs, files: &Files, settings: &Settings) -> Result<(Linted, String)> {
    let allow = if args.unsafe_fixes { Safety::Unsafe } else { Safety::Safe };
    let fixed = fix::fix(files, settings, allow);
    let mut diff = String::new();
    for id in &fixed.changed {
        let (name, old, new) = (files.name(*id), files.text(*id), fixed.files.text(*id));
        if args.diff {
            let text = TextDiff::from_lines(old, new);
            diff.push_str(
                &text.unified_diff().header(&format!("a/{name}"), &format!("b/{name}")).to_string(),
            );
        } else if name == args.stdin_filename {
            // Fixed standard input goes to standard output, before the findings that remain.
            io::stdout().write_all(new.as_bytes())?;
        } else {
            fs::write(name, new).with_context(|| format!("cannot write {name}"))?;
        }
    }
    if fixed.applied > 0 && !args.diff {
        let fixes = if fixed.applied == 1 { "1 fix".to_owned() } else { format!("{} fixes", fixed.applied) };
        let files = if fixed.changed.len() == 1 {
            "1 file".to_owned()
        } else {
            format!("{} files", fixed.changed.len())
        };
        eprintln!("coalmine: applied {fixes} in {files}");
    }
    Ok((Linted { files: fixed.files, report: fixed.report }, diff))
}
