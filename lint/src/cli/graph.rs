//! `coalmine graph`: the routing picture of one state, and what it changed.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use coalmine::graph::{Graph, Options};
use coalmine::render::{Units, graph as json};

use super::args::{Common, StateArgs};
use super::{Exit, state};

#[derive(clap::Args, Debug)]
pub(crate) struct GraphArgs {
    #[command(flatten)]
    pub state: StateArgs,
    /// What to draw it as [default: what the file's name says, else svg]
    #[arg(long, value_enum)]
    pub format: Option<GraphFormat>,
    /// Show what is new, gone and changed since the step before; --step implies it
    #[arg(long)]
    pub changes: bool,
    /// Draw the state as it is, without what changed
    #[arg(long, conflicts_with = "changes")]
    pub no_changes: bool,
    /// The heading [default: the step's name]
    #[arg(long, value_name = "TEXT")]
    pub title: Option<String>,
    /// Write the picture to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GraphFormat {
    /// A drawing, light or dark as the reader prefers
    Svg,
    /// A Mermaid flowchart
    Mermaid,
    /// A Graphviz digraph
    Dot,
    /// JSON, version 1
    Json,
}

impl GraphArgs {
    fn format(&self) -> GraphFormat {
        let extension = self.output.as_ref().and_then(|path| path.extension()).and_then(|e| e.to_str());
        self.format.unwrap_or(match extension {
            Some("mmd" | "mermaid") => GraphFormat::Mermaid,
            Some("dot" | "gv") => GraphFormat::Dot,
            Some("json") => GraphFormat::Json,
            _ => GraphFormat::Svg,
        })
    }
}

/// Draws one deployment.
pub(crate) fn run(args: &GraphArgs, common: &Common) -> Result<Exit> {
    let mut pictures: Vec<(String, String)> = Vec::new();
    state::each(&args.state, common, |view| {
        let mut graphs = Graph::of_states(view.meshes());
        let chosen = view.chosen();
        if chosen >= graphs.len() {
            return Ok(());
        }
        let now = graphs.swap_remove(chosen);
        let wants_changes = args.changes || (args.state.step.is_some() && !args.no_changes);
        let graph = match chosen.checked_sub(1).and_then(|before| graphs.get(before)) {
            Some(before) if wants_changes => now.compared_with(before),
            _ => now,
        };
        let title = args.title.as_deref().or(view.step()).unwrap_or("Routing");
        let options = Options { title, ..Options::default() };
        let text = match args.format() {
            GraphFormat::Svg => graph.to_svg(&options),
            GraphFormat::Mermaid => graph.to_mermaid(),
            GraphFormat::Dot => graph.to_dot(&options),
            GraphFormat::Json => json::render(&graph, view.files, Units::Scalars),
        };
        let first = view.files.iter().next().map_or("", |(_, file)| file.name());
        let folder = first.rsplit_once('/').map_or(".", |(folder, _)| folder);
        let base = Some(view.settings.base.as_str()).filter(|base| !base.is_empty());
        pictures.push((base.unwrap_or(folder).to_owned(), text));
        Ok(())
    })?;
    let text = match pictures.as_slice() {
        [(_, text)] => text,
        [] => bail!("there is nothing to draw: no manifest was found"),
        several => {
            let names: Vec<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
            bail!(
                "a picture is of one deployment, and the input has several: name one of {}",
                names.join(", ")
            )
        }
    };
    match &args.output {
        Some(path) => fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?,
        None => io::stdout().write_all(text.as_bytes())?,
    }
    Ok(Exit::Clean)
}
