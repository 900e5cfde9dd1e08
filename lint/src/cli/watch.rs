//! `coalmine lint --watch`: lints again whenever something changes, until it is ended.
//!
//! Folders are watched one by one rather than recursively, so that what `.gitignore` names, often the largest
//! part of a checkout, costs nothing.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::args::{Common, LintArgs};
use super::{Exit, input, lint};

/// Changes closer together than this are one change: an editor saves in several steps.
const QUIET: Duration = Duration::from_millis(80);
/// Changes that never pause are linted this often nevertheless.
const LONGEST: Duration = Duration::from_secs(1);

/// Lints, waits for a change, lints again. Ends only by a signal or when its output is closed.
///
/// # Errors
/// When the system cannot watch. What a run fails with is printed, and the next change is waited for.
pub(crate) fn run(args: &LintArgs, common: &Common, color: bool) -> Result<Exit> {
    if args.paths.iter().any(|path| path.as_os_str() == "-") {
        bail!("--watch: standard input is read once and cannot be watched; name files or folders");
    }
    let (sender, changes) = channel();
    let watcher = notify::recommended_watcher(move |event| {
        // The receiver is gone only when the run is over.
        let _ = sender.send(event);
    });
    let mut watched = Watched { watcher: watcher.context("--watch")?, folders: BTreeSet::new() };
    loop {
        watched.refresh(input::folders(&args.choice(&args.own_files()), common))?;
        if io::stdout().is_terminal() {
            print!("\x1b[2J\x1b[3J\x1b[H");
        }
        match lint::once(args, common, color) {
            Ok(done) if !done.is_heard => return Ok(done.exit),
            Ok(_) => {}
            Err(error) => eprintln!("coalmine: {error:#}"),
        }
        let folders = if watched.folders.len() == 1 {
            "1 folder".to_owned()
        } else {
            format!("{} folders", watched.folders.len())
        };
        eprintln!("coalmine: watching {folders}; Ctrl-C ends");
        io::stdout().flush()?;
        if !wait(&changes, args.output.as_deref()) {
            return Ok(Exit::Internal);
        }
    }
}

/// The folders whose changes are heard of.
struct Watched {
    watcher: RecommendedWatcher,
    folders: BTreeSet<PathBuf>,
}

impl Watched {
    /// Watches these folders and no others. Called before each run: what changes during it is then seen after it.
    fn refresh(&mut self, folders: BTreeSet<PathBuf>) -> Result<()> {
        for gone in self.folders.difference(&folders) {
            // A folder that was deleted is no longer watched anyway.
            let _ = self.watcher.unwatch(gone);
        }
        for folder in &folders {
            // Watched anew each time: the folder may have been replaced by another of its name.
            match self.watcher.watch(folder, RecursiveMode::NonRecursive) {
                Err(error) if folder.is_dir() => {
                    return Err(error).with_context(|| format!("--watch: cannot watch {}", folder.display()));
                }
                _ => {}
            }
        }
        self.folders = folders;
        Ok(())
    }
}

/// Waits for a change that matters and for a pause after it; false when no change can come any more.
fn wait(changes: &Receiver<notify::Result<Event>>, output: Option<&Path>) -> bool {
    loop {
        match changes.recv() {
            Ok(Ok(event)) if matters(&event, output) => break,
            Ok(Ok(_)) => {}
            // Lost events are a reason to look again.
            Ok(Err(_)) => break,
            Err(_) => return false,
        }
    }
    let longest = Instant::now() + LONGEST;
    let mut quiet = Instant::now() + QUIET;
    while Instant::now() < longest
        && let Ok(event) = changes.recv_timeout(quiet.min(longest).saturating_duration_since(Instant::now()))
    {
        // Reads by others do not put the run off.
        if event.map_or(true, |event| matters(&event, output)) {
            quiet = Instant::now() + QUIET;
        }
    }
    true
}

fn matters(event: &Event, output: Option<&Path>) -> bool {
    let is_read = matches!(event.kind, EventKind::Access(_));
    let is_output = |path: &PathBuf| {
        output.is_some_and(|output| path.ends_with(output.file_name().unwrap_or(output.as_os_str())))
    };
    let is_input = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        // What has no extension may be a folder that came or went.
        !is_output(path) && matches!(extension, None | Some("yaml" | "yml" | "json"))
    };
    !is_read && (event.need_rescan() || event.paths.iter().any(is_input))
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{AccessKind, CreateKind, ModifyKind};

    #[test]
    fn reads_other_files_and_the_own_report_do_not_matter() {
        let event = |kind, path: &str| Event::new(kind).add_path(PathBuf::from(path));
        let changed =
            |path| matters(&event(EventKind::Modify(ModifyKind::Any), path), Some(Path::new("out.json")));
        assert!(changed("/a/service.yaml"));
        assert!(changed("/a/coalmine.yaml"));
        assert!(!changed("/a/.service.yaml.swp"));
        assert!(!changed("/a/out.json"));
        assert!(matters(&event(EventKind::Create(CreateKind::Folder), "/a/new"), None));
        assert!(!matters(&event(EventKind::Access(AccessKind::Any), "/a/service.yaml"), None));
    }
}
