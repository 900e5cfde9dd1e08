//! The command line: arguments, exit codes and what each command prints.

mod args;
mod baseline;
mod decide;
mod explain;
mod graph;
mod human;
mod input;
mod lint;
mod lsp;
mod rollout;
mod route;
mod state;
mod terminal;
mod test;
mod tls_check;
mod watch;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use self::args::{Args, Color, Command};

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Exit {
    /// Nothing at or above `--fail-on`.
    Clean,
    /// Findings at or above it.
    Findings,
    /// Wrong usage or configuration.
    Usage,
    /// A bug in coalmine.
    Internal,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Clean => 0,
            Exit::Findings => 1,
            Exit::Usage => 2,
            Exit::Internal => 3,
        })
    }
}

/// Parses the command line and runs it.
pub(crate) fn main() -> ExitCode {
    let args = Args::parse();
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("coalmine: internal error: {panic}");
        eprintln!("This is a bug. Please report it with the input that shows it.");
    }));
    let result = std::panic::catch_unwind(move || run(args));
    match result {
        Ok(Ok(exit)) => exit.into(),
        Ok(Err(error)) => {
            if is_broken_pipe(&error) {
                return Exit::Clean.into();
            }
            eprintln!("coalmine: {error:#}");
            Exit::Usage.into()
        }
        Err(_) => Exit::Internal.into(),
    }
}

/// A reader that went away, such as `head`, is no error of ours.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}

/// Prints what a command found; false when the reader has gone away, such as `head`. That is no error, and the
/// exit code is the one that all of it would have had.
pub(crate) fn put(text: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

fn run(args: Args) -> anyhow::Result<Exit> {
    let color = use_color(args.color);
    match args.command {
        Command::Lint(lint) if lint.watch => watch::run(&lint, &args.common, color),
        Command::Lint(lint) => Ok(lint::once(&lint, &args.common, color)?.exit),
        Command::Rules { format } => explain::rules(format),
        Command::Explain { rule } => explain::explain(&rule, color),
        Command::Graph(graph) => graph::run(&graph, &args.common),
        Command::Route(route) => route::run(&route, &args.common, color),
        Command::Test(test) => test::run(&test, &args.common, color),
        Command::Decide(decide) => decide::run(&decide, &args.common),
        Command::Rollout(rollout) => rollout::run(&rollout, &args.common, color),
        Command::TlsCheck(check) => tls_check::run(&check, &args.common),
        Command::Lsp(lsp) => lsp::run(&lsp, &args.common),
        Command::Completions { shell } => {
            let mut out = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "coalmine", &mut out);
            io::stdout().write_all(&out)?;
            Ok(Exit::Clean)
        }
        Command::Man { folder } => {
            std::fs::create_dir_all(&folder)?;
            clap_mangen::generate_to(Args::command(), &folder)?;
            Ok(Exit::Clean)
        }
    }
}

fn use_color(color: Color) -> bool {
    match color {
        Color::Always => true,
        Color::Never => false,
        // https://no-color.org
        Color::Auto => io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    }
}

/// Columns to wrap at: the terminal's, or 100 where there is none.
pub(crate) fn width() -> usize {
    terminal_size::terminal_size().map_or(100, |(width, _)| usize::from(width.0).clamp(40, 140))
}
