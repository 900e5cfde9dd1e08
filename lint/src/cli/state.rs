//! The state of a deployment that a command answers questions about.

use anyhow::{Result, bail};
use coalmine::line_index::{ColumnUnit, LineIndex};
use coalmine::mesh::Mesh;
use coalmine::mesh::config::MeshConfig;
use coalmine::states::{State, states};
use coalmine::{Files, Input, Settings, Span};

use super::args::{Common, StateArgs};
use super::input;

/// One deployment, read, with all its states and the one that is asked about.
pub(crate) struct View<'v> {
    pub files: &'v Files,
    pub settings: &'v Settings,
    config: &'v MeshConfig,
    /// What could not be read as it was meant, each with its place: the answer may be wrong without it.
    pub misread: &'v [String],
    states: &'v [State<'v>],
    chosen: usize,
}

impl<'v> View<'v> {
    /// The step after which the chosen state is reached; `None` without a rollout.
    pub(crate) fn step(&self) -> Option<&'v str> {
        self.states.get(self.chosen).and_then(|state| state.step)
    }

    /// What the chosen state means.
    pub(crate) fn mesh(&self) -> Mesh<'v> {
        self.mesh_of(self.chosen)
    }

    /// What each state means, in order.
    pub(crate) fn meshes(&self) -> impl Iterator<Item = Mesh<'v>> {
        (0..self.states.len()).map(|state| self.mesh_of(state))
    }

    /// The place of the chosen state among them.
    pub(crate) fn chosen(&self) -> usize {
        self.chosen
    }

    fn mesh_of(&self, state: usize) -> Mesh<'v> {
        let resources = self.states.get(state).map(|state| state.resources.clone()).unwrap_or_default();
        Mesh::new(resources, self.config, self.settings.assume)
    }
}

/// How many misreadings are shown: the answer below them must not get lost.
const MOST_MISREAD: usize = 8;

/// `file:line:column: what is wrong` for what could not be read as it was meant; where that is much, the first of it.
pub(super) fn misread(files: &Files, settings: &Settings, input: &Input) -> Vec<String> {
    let found = coalmine::misread(files, settings, input);
    let (shown, rest) = found.split_at(found.len().min(MOST_MISREAD));
    let mut lines: Vec<String> =
        shown.iter().map(|problem| at(files, problem.span, &problem.message)).collect();
    if !rest.is_empty() {
        lines.push(format!("{} more like these; `coalmine lint` shows them", rest.len()));
    }
    lines
}

/// `file:line:column: message`
pub(super) fn at(files: &Files, span: Span, message: &str) -> String {
    let text = files.text(span.file);
    let at = LineIndex::new(text).line_column(text, span.start, ColumnUnit::Scalars);
    format!("{}:{}:{}: {message}", files.name(span.file), at.line + 1, at.column + 1)
}

/// Whether all that was named could be read.
#[must_use = "what could not be read fails the command, after the rest was answered"]
pub(crate) struct Readable(bool);

impl Readable {
    /// Fails when something could not be read: for after the answer is printed.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0 { Ok(()) } else { bail!("not everything could be read") }
    }
}

/// Answers for each deployment that the paths name. What could not be read is named on standard error.
///
/// # Errors
/// Paths that cannot be read, a step that no rollout has, and what `answer` fails with.
pub(crate) fn each(
    args: &StateArgs,
    common: &Common,
    mut answer: impl FnMut(&View<'_>) -> Result<()>,
) -> Result<Readable> {
    let read = input::read(&args.paths, "<stdin>", common)?;
    for message in &read.unreadable {
        eprintln!("coalmine: {message}");
    }
    let mut known: Vec<String> = Vec::new();
    let mut answered = false;
    for deployment in &read.deployments {
        let input = Input::read(&deployment.files, &deployment.settings);
        let config = input.mesh_config(&deployment.settings);
        let states = states(&deployment.files, &input.resources, &deployment.settings);
        let chosen = match &args.step {
            Some(step) => states.iter().position(|state| state.step == Some(step)),
            None => states.iter().rposition(|state| !state.resources.is_empty()).or(Some(0)),
        };
        known.extend(states.iter().filter_map(|state| state.step.map(str::to_owned)));
        let Some(chosen) = chosen else { continue };
        answered = true;
        let misread = misread(&deployment.files, &deployment.settings, &input);
        for problem in &misread {
            eprintln!("coalmine: {problem}");
        }
        answer(&View {
            files: &deployment.files,
            settings: &deployment.settings,
            config: &config,
            misread: &misread,
            states: &states,
            chosen,
        })?;
    }
    if let Some(step) = args.step.as_ref().filter(|_| !answered) {
        match known.is_empty() {
            true => bail!("--step {step}: no coalmine.yaml of the input has a rollout"),
            false => bail!("--step {step}: there is no such step; the steps are {}", known.join(", ")),
        }
    }
    Ok(Readable(read.unreadable.is_empty()))
}
