//! `coalmine rollout`: reads an order, has it checked moment by moment, prints it and writes a better one.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use coalmine::render::{concise, json};
use coalmine::rollout::order::ProposedStep;
use coalmine::rollout::plan::{Verb, covers};
use coalmine::rollout::{Moment, Proposal, Rollout, StepReport, check, rewrite};
use coalmine::settings::{Action, Step};
use coalmine::{FileId, Files, Input, Linted, Settings, Severity};
use serde_json::{Value, json};

use super::args::{Common, FailOn};
use super::input::{CONFIG, Deployment};
use super::terminal::{self, BOLD, GREEN, RED, YELLOW};
use super::{Exit, human, input, state};

#[derive(clap::Args, Debug)]
pub(crate) struct RolloutArgs {
    /// A folder whose coalmine.yaml says the order [default: the current folder], or two and more steps: each
    /// a folder or file that is applied as a whole, in the order given
    pub paths: Vec<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = RolloutFormat::Human)]
    pub format: RolloutFormat,
    /// Exit with 1 when there is a finding of at least this severity
    #[arg(long, value_enum, value_name = "SEVERITY", default_value_t = FailOn::Error)]
    pub fail_on: FailOn,
    /// If the order is not safe, write a safe one into coalmine.yaml
    #[arg(long)]
    pub write_order: bool,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RolloutFormat {
    /// Every moment, then the findings with the place marked
    Human,
    /// One line per finding
    Concise,
    /// JSON, version 1
    Json,
}

/// One rollout with what its findings point into.
struct Checked {
    rollout: Rollout,
    settings: Settings,
    /// The settings file, where the order is from one.
    config: Option<PathBuf>,
}

/// Checks every rollout of the input.
pub(crate) fn run(args: &RolloutArgs, common: &Common, color: bool) -> Result<Exit> {
    let mut batch = Vec::new();
    let mut checked = Vec::new();
    for (deployment, config) in read(args, common)? {
        let Deployment { mut files, settings, .. } = deployment;
        let order = match &config {
            Some(path) => Some(add_order(&mut files, path)?),
            None => None,
        };
        let input = Input::read(&files, &settings);
        for problem in state::misread(&files, &settings, &input) {
            eprintln!("coalmine: {problem}");
        }
        let mut result = check(&files, &settings, &input, order);
        if args.write_order
            && let Proposal::Order(steps) = &result.proposal
        {
            let Some(path) = &config else {
                bail!(
                    "--write-order: the steps were given as arguments; give a folder with a {CONFIG} instead"
                )
            };
            write(path, steps)?;
            eprintln!("coalmine: wrote a safe order to {}", path.display());
            // What is printed is what is there now.
            let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
            let mut again = Settings::parse(&text, &settings.base).map_err(anyhow::Error::msg)?;
            again.prefix.clone_from(&settings.prefix);
            let settings = Settings { rollout: again.rollout, ..settings };
            if let Some(order) = order {
                files.replace(order, text);
            }
            let input = Input::read(&files, &settings);
            result = check(&files, &settings, &input, order);
            batch.push(Linted { files, report: result.report.clone() });
            checked.push(Checked { rollout: result, settings, config });
            continue;
        }
        if args.write_order
            && let Proposal::None(why) = &result.proposal
        {
            eprintln!("coalmine: --write-order wrote nothing: {why}");
        }
        batch.push(Linted { files, report: result.report.clone() });
        checked.push(Checked { rollout: result, settings, config });
    }
    let text = match args.format {
        RolloutFormat::Human => {
            let mut out = String::new();
            for one in &checked {
                moments(&mut out, one, color);
            }
            out.push('\n');
            out.push_str(&human::render(&batch, color));
            for one in &checked {
                proposal(&mut out, one);
            }
            out
        }
        RolloutFormat::Concise => concise::render(&batch),
        RolloutFormat::Json => to_json(&batch, &checked)?,
    };
    super::put(&text)?;
    let failed = batch
        .iter()
        .flat_map(|linted| &linted.report.diagnostics)
        .any(|diagnostic| args.fail_on.includes(diagnostic.severity));
    Ok(if failed { Exit::Findings } else { Exit::Clean })
}

/// The deployments to check, with the settings file that orders each.
fn read(args: &RolloutArgs, common: &Common) -> Result<Vec<(Deployment, Option<PathBuf>)>> {
    let read = input::read(&args.paths, "<stdin>", common)?;
    if let Some(message) = read.unreadable.first() {
        bail!("{message}");
    }
    let has_order = |path: &PathBuf| path.join(CONFIG).is_file();
    if args.paths.len() > 1 && !args.paths.iter().all(has_order) {
        let deployment = as_steps(args, read.deployments)?;
        return Ok(vec![(deployment, None)]);
    }
    let mut ordered = Vec::new();
    for deployment in read.deployments {
        if deployment.settings.rollout.is_empty() {
            continue;
        }
        for path in deployment.settings.rollout_paths() {
            let path = deployment.settings.locate(path);
            if !path.exists() {
                bail!("the rollout names {}, which does not exist", path.display());
            }
        }
        let config = match &common.config {
            Some(config) => config.clone(),
            None => deployment.settings.locate(CONFIG),
        };
        ordered.push((with_all_steps(deployment), Some(config)));
    }
    if ordered.is_empty() {
        bail!(
            "there is no order to check: write a `rollout:` list into a {CONFIG}, or give two or more folders, \
             which are applied one after the other"
        );
    }
    Ok(ordered)
}

/// All files of the order are the user's own, whichever of them were given: what is found in one of them counts.
fn with_all_steps(deployment: Deployment) -> Deployment {
    let Deployment { files, settings, expectations } = deployment;
    let mut all = Files::new();
    for (id, file) in files.iter() {
        let name = files.name(id);
        let is_step = || {
            let relative = settings.relative(name);
            relative.is_some_and(|relative| settings.rollout_paths().any(|path| covers(path, &relative)))
        };
        match files.is_context(id) && !is_step() {
            true => all.add_context(name, file.text()),
            false => all.add(name, file.text()),
        };
    }
    Deployment { files: all, settings, expectations }
}

/// Each path as a step of its own.
fn as_steps(args: &RolloutArgs, deployments: Vec<Deployment>) -> Result<Deployment> {
    let mut deployments = deployments.into_iter();
    let (Some(Deployment { files, mut settings, expectations }), None) =
        (deployments.next(), deployments.next())
    else {
        bail!("the steps belong to different {CONFIG} files; --config chooses one, --isolated uses none")
    };
    let mut given = Files::new();
    for (id, file) in files.iter().filter(|(id, _)| !files.is_context(*id)) {
        given.add(files.name(id), file.text());
    }
    let mut rollout = Vec::new();
    for path in &args.paths {
        let name = path.to_string_lossy().replace('\\', "/");
        let name = name.trim_end_matches('/');
        let Some(relative) = settings.relative(name).map(|name| name.into_owned()) else {
            bail!("{name} is outside the folder of its {CONFIG}")
        };
        rollout.push(Step { name: relative.clone(), actions: vec![Action::Apply(vec![relative])] });
    }
    settings.rollout = rollout;
    Ok(Deployment { files: given, settings, expectations })
}

fn add_order(files: &mut Files, path: &Path) -> Result<FileId> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let name = path.to_string_lossy().replace('\\', "/");
    Ok(files.add_context(name.trim_start_matches("./"), text))
}

fn write(path: &Path, steps: &[ProposedStep]) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let new =
        rewrite::rewrite(&text, steps).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
    fs::write(path, new).with_context(|| format!("cannot write {}", path.display()))
}

/// Every step with its moments, then the ways back.
fn moments(out: &mut String, checked: &Checked, color: bool) {
    let rollout = &checked.rollout;
    let paint = |code: &str, text: &str| terminal::paint(color, code, text);
    let relative = |moment: &Moment| {
        checked.settings.relative(&moment.file).map_or_else(|| moment.file.clone(), |name| name.into_owned())
    };
    let shown = |moment: &Moment| match moment.others {
        0 => moment.object.clone(),
        others => format!("{} with {others} objects", moment.object),
    };
    let all = rollout.steps.iter().flat_map(|step| &step.moments);
    let wide = all.map(|moment| shown(moment).chars().count()).max().unwrap_or(0).min(44);
    if let Some(config) = &checked.config {
        let _ = writeln!(out, "{}", paint(BOLD, &format!("{}", config.display())));
    }
    for step in &rollout.steps {
        let _ = writeln!(out, "\n{}", paint(BOLD, &step.name));
        if step.moments.is_empty() {
            let _ = writeln!(out, "    nothing changes");
        }
        for moment in &step.moments {
            let mark = mark(moment, color);
            let _ = writeln!(
                out,
                "  {mark} {} {:6}  {:wide$}  {}{}",
                bracket(moment),
                moment.verb.as_str(),
                shown(moment),
                relative(moment),
                rules(moment)
            );
        }
    }
    if rollout.back.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{}", paint(BOLD, "the way back, each step in the opposite order"));
    let wide = rollout.back.iter().map(|step| step.name.chars().count()).max().unwrap_or(0);
    for step in &rollout.back {
        let broken: Vec<&Moment> = step.moments.iter().filter(|moment| !moment.found.is_empty()).collect();
        let sign = match (step.is_skipped, broken.is_empty()) {
            (true, _) => " ".to_owned(),
            (false, true) => paint(GREEN, "✓"),
            (false, false) => paint(YELLOW, "!"),
        };
        let why = match broken.as_slice() {
            [] if step.is_skipped => "not looked at: the step itself is not safe".to_owned(),
            [] if step.moments.len() == 1 => "1 object".to_owned(),
            [] => format!("{} objects", step.moments.len()),
            [first, ..] => {
                let what = if first.verb == Verb::Apply { "bringing back" } else { "removing" };
                format!("breaks requests while {what} {}", first.object)
            }
        };
        let _ = writeln!(out, "  {sign}   {:wide$}  {why}", step.name);
    }
}

/// Objects of one command are held together.
fn bracket(moment: &Moment) -> char {
    match moment.position {
        (1, _) => ' ',
        (_, 0) => '╭',
        (count, index) if index + 1 == count => '╰',
        _ => '│',
    }
}

fn mark(moment: &Moment, color: bool) -> String {
    let worst = moment.found.iter().map(|(_, severity)| *severity).max();
    let (sign, code) = match worst {
        Some(Severity::Error) => ("✗", RED),
        Some(Severity::Warning) => ("!", YELLOW),
        Some(Severity::Info) | None => ("✓", GREEN),
    };
    terminal::paint(color, code, sign)
}

fn rules(moment: &Moment) -> String {
    let names: Vec<&str> = moment.found.iter().map(|(rule, _)| *rule).collect();
    if names.is_empty() { String::new() } else { format!("  {}", names.join(", ")) }
}

/// What to do about an order that is not safe.
fn proposal(out: &mut String, checked: &Checked) {
    match &checked.rollout.proposal {
        Proposal::NotNeeded => {}
        Proposal::None(why) => {
            let _ = writeln!(out, "\nNo safe order was found: {why}");
        }
        Proposal::Order(steps) => {
            let how = if checked.config.is_some() { " (--write-order writes it)" } else { "" };
            let _ = writeln!(out, "\nA safe order, checked as a whole{how}:\n");
            // Steps that are left out stay as they are, unless they are dropped.
            let changed: Vec<ProposedStep> =
                steps.iter().filter(|step| !step.is_unchanged).cloned().collect();
            out.push_str(&rewrite::render(&changed));
            for (number, old) in checked.rollout.steps.iter().enumerate() {
                if steps.iter().any(|step| step.name == old.name) {
                    continue;
                }
                let takes =
                    |step: &&ProposedStep| step.actions.iter().any(|action| action.origin.0 == number);
                let names: Vec<&str> = steps.iter().filter(takes).map(|step| step.name.as_str()).collect();
                let _ = match names.as_slice() {
                    [] => writeln!(out, "\nStep {} is dropped: it does nothing.", old.name),
                    names => writeln!(
                        out,
                        "\nStep {} is dropped: what it did is now in {}.",
                        old.name,
                        names.join(" and ")
                    ),
                };
            }
            if changed.len() < steps.len() {
                out.push_str("\nThe other steps stay as they are.\n");
            }
        }
    }
}

fn to_json(batch: &[Linted], checked: &[Checked]) -> Result<String> {
    let mut output: Value = serde_json::from_str(&json::render(batch))?;
    let step = |step: &StepReport| {
        let moments: Vec<Value> = step.moments.iter().map(moment_json).collect();
        json!({ "name": step.name, "skipped": step.is_skipped, "moments": moments })
    };
    let rollouts: Vec<Value> = checked
        .iter()
        .map(|one| {
            let proposal = match &one.rollout.proposal {
                Proposal::NotNeeded => json!({ "status": "notNeeded" }),
                Proposal::None(why) => json!({ "status": "none", "reason": why }),
                Proposal::Order(steps) => json!({ "status": "order", "steps": steps_json(steps) }),
            };
            json!({
                "config": one.config.as_ref().map(|path| path.display().to_string()),
                "steps": one.rollout.steps.iter().map(step).collect::<Vec<_>>(),
                "back": one.rollout.back.iter().map(step).collect::<Vec<_>>(),
                "proposal": proposal,
            })
        })
        .collect();
    if let Some(object) = output.as_object_mut() {
        object.insert("rollouts".to_owned(), Value::Array(rollouts));
    }
    Ok(format!("{}\n", serde_json::to_string_pretty(&output)?))
}

fn moment_json(moment: &Moment) -> Value {
    json!({
        "command": moment.command,
        "verb": moment.verb.as_str(),
        "resource": {
            "kind": moment.resource.kind,
            "namespace": moment.resource.namespace,
            "name": moment.resource.name,
        },
        "file": moment.file,
        "safe": moment.is_safe(),
        "rules": moment.found.iter().map(|(rule, _)| *rule).collect::<Vec<_>>(),
    })
}

fn steps_json(steps: &[ProposedStep]) -> Vec<Value> {
    let action = |action: &coalmine::rollout::order::ProposedAction| json!({ "verb": action.verb.as_str(), "paths": action.paths });
    steps
        .iter()
        .map(|step| json!({ "name": step.name, "actions": step.actions.iter().map(action).collect::<Vec<_>>() }))
        .collect()
}
