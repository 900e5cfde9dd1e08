//! `coalmine lint`

use std::fs;

use anyhow::{Context as _, Result, bail};
use coalmine::fix::{self, Fixed};
use coalmine::render::{concise, github, gitlab, json, junit, sarif};
use coalmine::{FileId, Files, Linted, Safety, Settings, lint};
use similar::TextDiff;

use super::args::{Common, Format, LintArgs};
use super::{Exit, baseline, human, input, put};

/// What a run came to.
pub(crate) struct Done {
    pub exit: Exit,
    /// Whether somebody read what was printed.
    pub is_heard: bool,
}

/// Lints, fixes or shows what fixing would do, once.
pub(crate) fn once(args: &LintArgs, common: &Common, color: bool) -> Result<Done> {
    check(args)?;
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
    let mut left = 0;
    let mut fixed_stdin = None;
    for (number, deployment) in input.deployments.into_iter().enumerate() {
        let settings =
            Settings { select: args.select.clone(), ignore: args.ignore.clone(), ..deployment.settings };
        let files = deployment.files;
        if args.diff {
            let fixed = fix(args, &files, &settings);
            diff.push_str(&difference(&files, &fixed));
            left += fixed.report.diagnostics.len();
        }
        let linted = if args.fix && !args.diff {
            let stdin = input.stdin.filter(|(of, _)| *of == number).map(|(_, id)| id);
            let fixed = fix(args, &files, &settings);
            write(&files, &fixed, stdin)?;
            fixed_stdin = fixed_stdin.or(stdin.map(|id| fixed.files.text(id).to_owned()));
            Linted { files: fixed.files, report: fixed.report }
        } else {
            let report = lint(&files, &settings);
            Linted { files, report }
        };
        batch.push(linted);
    }
    let found: usize = batch.iter().map(|linted| linted.report.diagnostics.len()).sum();
    if args.diff && found > 0 && known.is_none() {
        // Else nothing would say why the exit code is what it is.
        let findings = if found == 1 { "1 finding".to_owned() } else { format!("{found} findings") };
        eprintln!("coalmine: {findings}; fixing would leave {left}");
    }
    baseline::apply(args, known, &mut batch, input.unreadable.is_empty())?;
    let failed = batch
        .iter()
        .flat_map(|linted| &linted.report.diagnostics)
        .any(|diagnostic| args.fail_on.includes(diagnostic.severity));
    let exit = match (input.unreadable.is_empty(), failed) {
        (false, _) => Exit::Usage,
        (true, true) => Exit::Findings,
        (true, false) => Exit::Clean,
    };
    for linted in &mut batch {
        linted.report.diagnostics.retain(|diagnostic| diagnostic.severity >= args.min_severity.into());
    }
    let text = if args.diff {
        diff
    } else {
        match args.format {
            Format::Human => human::render(&batch, color && args.output.is_none() && fixed_stdin.is_none()),
            Format::Concise => concise::render(&batch),
            Format::Json => json::render(&batch),
            Format::Sarif => sarif::render(&batch),
            Format::Github => github::render(&batch),
            Format::Gitlab => gitlab::render(&batch),
            Format::Junit => junit::render(&batch, |severity| args.fail_on.includes(severity)),
        }
    };
    let mut is_heard = true;
    if let Some(manifest) = &fixed_stdin {
        is_heard = put(manifest)?;
    }
    match (&args.output, fixed_stdin) {
        (Some(path), _) => {
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        (None, Some(_)) => eprint!("{text}"),
        (None, None) => is_heard = put(&text)?,
    }
    Ok(Done { exit, is_heard })
}

/// What clap cannot refuse.
fn check(args: &LintArgs) -> Result<()> {
    if args.diff && args.format != Format::Human {
        bail!("--diff: shows a difference instead of the findings, and has no other --format");
    }
    let outputs = args.output.iter().map(|path| ("--output", path));
    let baseline = args.baseline.write_baseline.iter().map(|path| ("--write-baseline", path));
    input::keep_inputs(&args.paths, outputs.chain(baseline))
}

fn fix(args: &LintArgs, files: &Files, settings: &Settings) -> Fixed {
    let allow = if args.unsafe_fixes { Safety::Unsafe } else { Safety::Safe };
    fix::fix(files, settings, allow)
}

/// What fixing changed, as a patch.
fn difference(files: &Files, fixed: &Fixed) -> String {
    let mut diff = String::new();
    for id in &fixed.changed {
        let (name, old, new) = (files.name(*id), files.text(*id), fixed.files.text(*id));
        let text = TextDiff::from_lines(old, new);
        diff.push_str(&text.unified_diff().header(&format!("a/{name}"), &format!("b/{name}")).to_string());
    }
    diff
}

/// Writes the files that were fixed, and says so. Standard input is no file.
fn write(files: &Files, fixed: &Fixed, stdin: Option<FileId>) -> Result<()> {
    for id in fixed.changed.iter().filter(|id| Some(**id) != stdin) {
        let name = files.name(*id);
        fs::write(name, fixed.files.text(*id)).with_context(|| format!("cannot write {name}"))?;
    }
    if fixed.applied > 0 {
        let fixes = if fixed.applied == 1 { "1 fix".to_owned() } else { format!("{} fixes", fixed.applied) };
        let files = if fixed.changed.len() == 1 {
            "1 file".to_owned()
        } else {
            format!("{} files", fixed.changed.len())
        };
        eprintln!("coalmine: applied {fixes} in {files}");
    }
    Ok(())
}
