//! `--baseline` and `--write-baseline`: reads and writes the file. Files are named relative to its folder, so
//! that a run from any folder means the same files.

use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use coalmine::Linted;
use coalmine::baseline::{Baseline, Stale};

use super::args::LintArgs;

/// Stale entries that are listed; the rest is counted.
const LISTED: usize = 5;

/// Which baseline a run uses.
#[derive(clap::Args, Debug)]
pub(crate) struct BaselineArgs {
    /// Hide the findings that are in this file, and report only others
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Write the findings to this file, to be hidden from now on
    #[arg(long, value_name = "FILE", conflicts_with_all = ["baseline", "diff", "select", "ignore"])]
    pub write_baseline: Option<PathBuf>,
}

/// The findings to hide, known before anything is linted.
///
/// # Errors
/// When the file is missing or is no baseline.
pub(crate) fn load(args: &BaselineArgs) -> Result<Option<Baseline>> {
    let Some(path) = &args.baseline else { return Ok(None) };
    let text = fs::read_to_string(path)
        .with_context(|| format!("--baseline {}: write it with --write-baseline", path.display()))?;
    let baseline =
        Baseline::parse(&text).map_err(|error| anyhow::anyhow!("--baseline {}: {error}", path.display()))?;
    Ok(Some(baseline))
}

/// Hides what is known, or makes it known: writes the file first. Says on standard error which entries are stale.
///
/// # Errors
/// When the file cannot be written, or not everything could be read that should be in it.
pub(crate) fn apply(
    args: &LintArgs,
    known: Option<Baseline>,
    batch: &mut [Linted],
    all_read: bool,
) -> Result<()> {
    if let Some(path) = &args.baseline.write_baseline {
        if !all_read {
            bail!("--write-baseline {}: not written, because not everything could be read", path.display());
        }
        let names = Names::new(path);
        let baseline = Baseline::of(batch, |name| names.relative(name));
        fs::write(path, baseline.to_json()).with_context(|| format!("cannot write {}", path.display()))?;
        let _ = baseline.hide(batch, |name| names.relative(name));
        let findings = if baseline.count() == 1 {
            "1 finding".to_owned()
        } else {
            format!("{} findings", baseline.count())
        };
        eprintln!("coalmine: wrote {findings} to {}", path.display());
    } else if let (Some(path), Some(baseline)) = (&args.baseline.baseline, known) {
        let names = Names::new(path);
        let mut stale = baseline.hide(batch, |name| names.relative(name));
        let judged: Vec<String> = batch
            .iter()
            .flat_map(|linted| linted.files.iter().filter(|(id, _)| !linted.files.is_context(*id)))
            .map(|(_, file)| names.relative(file.name()))
            .collect();
        stale.retain(|entry| {
            // Of a file or a rule that this run left out nothing is known.
            let ran = (args.select.is_empty() || args.select.contains(&entry.rule))
                && !args.ignore.contains(&entry.rule);
            ran && (judged.contains(&entry.file) || !names.folder.join(&entry.file).exists())
        });
        tell(path, &stale);
    }
    Ok(())
}

fn tell(path: &Path, stale: &[Stale]) {
    if stale.is_empty() {
        return;
    }
    let entries = if stale.len() == 1 {
        "1 entry is stale: its finding is".to_owned()
    } else {
        format!("{} entries are stale: their findings are", stale.len())
    };
    eprintln!("coalmine: {}: {entries} gone; renew the file with --write-baseline", path.display());
    for Stale { file, rule, count } in stale.iter().take(LISTED) {
        let times = if *count == 1 { String::new() } else { format!(" ({count} times)") };
        eprintln!("  {file}: {rule}{times}");
    }
    if stale.len() > LISTED {
        eprintln!("  and {} more", stale.len() - LISTED);
    }
}

/// How a baseline names files: relative to its own folder.
struct Names {
    folder: PathBuf,
    here: PathBuf,
}

impl Names {
    fn new(baseline: &Path) -> Self {
        let here = std::env::current_dir().unwrap_or_default();
        let folder = baseline.parent().unwrap_or(Path::new(""));
        Self { folder: normal(&here.join(folder)), here }
    }

    fn relative(&self, name: &str) -> String {
        let path = normal(&self.here.join(name));
        let mut parts: Vec<String> = Vec::new();
        let mut folder = self.folder.as_path();
        // Up until the file lies below, then down.
        let below = loop {
            match (path.strip_prefix(folder), folder.parent()) {
                (Ok(below), _) => break below.to_owned(),
                (Err(_), Some(parent)) => {
                    parts.push("..".to_owned());
                    folder = parent;
                }
                (Err(_), None) => break path,
            }
        };
        parts.extend(below.components().map(|part| part.as_os_str().to_string_lossy().into_owned()));
        parts.join("/")
    }
}

/// A path without `.` and `..`. Links are not followed: a name is what the user wrote.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            _ => out.push(part),
        }
    }
    out
}
