//! The one pipeline: texts to documents to objects to states to findings. CLI, language server and
//! wasm bindings all call [`lint`], or keep an [`Incremental`](crate::Incremental), which takes the same steps.

use std::ops::Range;
use std::sync::OnceLock;

use rustc_hash::FxHashSet;

use crate::diagnostic::{Diagnostic, Severity};
use crate::files::Files;
use crate::mesh::Mesh;
use crate::mesh::config::MeshConfig;
use crate::report::Report;
use crate::resource::{Resource, lower};
use crate::rule::{Check, Context, InputContext};
use crate::rules::{self, RULES};
use crate::settings::{Level, Settings};
use crate::shape::Surroundings;
use crate::span::FileId;
use crate::states::states;
use crate::suppress::Suppressions;
use crate::yaml::{Document, Limits, Problem, parse};

/// Everything read from a set of files, before any rule. All lists are in the order of the files.
#[derive(Debug, Default)]
pub struct Input {
    /// Every document of every file.
    pub documents: Vec<Document>,
    /// What is wrong with the texts as YAML.
    pub problems: Vec<Problem>,
    /// Every object of every document.
    pub resources: Vec<Resource>,
}

impl Input {
    /// Reads the files.
    #[must_use]
    pub fn read(files: &Files, settings: &Settings) -> Self {
        let mut input = Self::default();
        for (id, file) in files.iter() {
            let (documents, problems) = parse(id, file, Limits::default());
            input.documents.extend(documents);
            input.problems.extend(problems);
        }
        let namespace = |document: &Document| settings.namespace_for(files.name(document.file()));
        input.resources = lower(&input.documents, namespace);
        input
    }

    /// Reads one file again, whose text has changed.
    pub(crate) fn read_again(&mut self, files: &Files, settings: &Settings, id: FileId) {
        let Some(file) = files.get(id) else { return };
        let old = self.part(id);
        let (documents, problems) = parse(id, file, Limits::default());
        let mut resources = lower(&documents, |_| settings.namespace_for(file.name()));
        for resource in &mut resources {
            resource.document += old.documents.start;
        }
        let (before, after) = (old.documents.len(), documents.len());
        for resource in self.resources.get_mut(old.resources.end..).unwrap_or_default() {
            resource.document = resource.document - before + after;
        }
        self.documents.splice(old.documents, documents);
        self.problems.splice(old.problems, problems);
        self.resources.splice(old.resources, resources);
    }

    /// What of the lists comes from one file.
    pub(crate) fn part(&self, id: FileId) -> Part {
        Part {
            documents: range(&self.documents, id, Document::file),
            problems: range(&self.problems, id, |problem| problem.span.file),
            resources: range(&self.resources, id, |resource| resource.span.file),
        }
    }

    /// Mesh-wide settings: the given ones, else those of a ConfigMap `istio` in the input, else Istio's defaults.
    #[must_use]
    pub fn mesh_config(&self, settings: &Settings) -> MeshConfig {
        settings.mesh.clone().or_else(|| MeshConfig::find(&self.resources)).unwrap_or_default()
    }

    pub(crate) fn surroundings(&self, files: &Files) -> Surroundings {
        Surroundings::new(files, &self.documents, &self.resources)
    }
}

/// The places of one file in the lists of an [`Input`].
pub(crate) struct Part {
    documents: Range<usize>,
    problems: Range<usize>,
    resources: Range<usize>,
}

fn range<T>(list: &[T], id: FileId, file: impl Fn(&T) -> FileId) -> Range<usize> {
    let start = list.partition_point(|item| file(item) < id);
    let end = list.partition_point(|item| file(item) <= id);
    start..end
}

/// Lints a set of files as one deployment.
#[must_use]
pub fn lint(files: &Files, settings: &Settings) -> Report {
    let input = Input::read(files, settings);
    let found = judge_files(files, settings, &input);
    judge(files, settings, &input, found, &|| false).unwrap_or_default()
}

/// What the rules about text and shape find in every file.
fn judge_files(files: &Files, settings: &Settings, input: &Input) -> Vec<Diagnostic> {
    let surroundings = input.surroundings(files);
    files.iter().flat_map(|(id, _)| judge_file(files, settings, input, &surroundings, id)).collect()
}

/// Rules whose findings mean that part of the input was not read as it was meant: whatever is asked about the rest
/// can have a wrong answer.
const MISREAD: [&str; 3] = ["yaml-syntax", "yaml-limits", "wrong-type"];

/// What of the input, context files too, could not be read as YAML, or has a value that does not fit its field.
/// Settings and suppressions that hide such an error hide it here too.
#[must_use]
pub fn misread(files: &Files, settings: &Settings, input: &Input) -> Vec<Diagnostic> {
    let only =
        Settings { select: MISREAD.iter().map(|rule| (*rule).to_owned()).collect(), ..settings.clone() };
    let mut found = judge_files(files, &only, input);
    found.retain(|diagnostic| {
        let level = settings.level(diagnostic.rule, files.name(diagnostic.span.file));
        diagnostic.severity == Severity::Error && level != Some(Level::Off)
    });
    let suppressions = Suppressions::new(files, input, settings.assume);
    let mut kept = suppressions.apply(found, |rule| only.runs(rule)).0;
    kept.retain(|diagnostic| MISREAD.contains(&diagnostic.rule));
    kept
}

/// What all rules of [`lint`] find, before suppressions and the settings' severities.
pub(crate) fn run(files: &Files, settings: &Settings, input: &Input) -> Vec<Diagnostic> {
    let mut found = judge_files(files, settings, input);
    judge_states(files, settings, input, &mut found, &|| false);
    found
}

/// What the rules about text and shape find in one file.
pub(crate) fn judge_file(
    files: &Files,
    settings: &Settings,
    input: &Input,
    surroundings: &Surroundings,
    id: FileId,
) -> Vec<Diagnostic> {
    let part = input.part(id);
    let shape = OnceLock::new();
    let mut found = Vec::new();
    for rule in RULES.iter().filter(|rule| settings.runs(rule.id)) {
        let Check::Input(check) = rule.check else { continue };
        let mut context = InputContext {
            rule,
            files,
            documents: &input.documents,
            judged: part.documents.clone(),
            problems: input.problems.get(part.problems.clone()).unwrap_or_default(),
            resources: input.resources.get(part.resources.clone()).unwrap_or_default(),
            surroundings,
            shape: &shape,
            found: Vec::new(),
        };
        check(&mut context);
        found.append(&mut context.found);
    }
    found
}

/// The report, from what was found in each file and what the rules about meaning find in each state; `None` when
/// it was interrupted, which is asked before every rule.
pub(crate) fn judge(
    files: &Files,
    settings: &Settings,
    input: &Input,
    mut found: Vec<Diagnostic>,
    interrupted: &dyn Fn() -> bool,
) -> Option<Report> {
    judge_states(files, settings, input, &mut found, interrupted)?;
    // Rules about the order of a rollout have not looked.
    let runs = |rule: &str| {
        let is_order = rules::find(rule).is_some_and(|rule| matches!(rule.check, Check::Transition(_)));
        !is_order && settings.runs(rule)
    };
    Some(finish(files, settings, input, found, runs, None))
}

/// What the rules about meaning find in each state; `None` when it was interrupted.
fn judge_states(
    files: &Files,
    settings: &Settings,
    input: &Input,
    found: &mut Vec<Diagnostic>,
    interrupted: &dyn Fn() -> bool,
) -> Option<()> {
    let config = input.mesh_config(settings);
    for state in states(files, &input.resources, settings) {
        let mesh = Mesh::new(state.resources, &config, settings.assume);
        for rule in RULES.iter().filter(|rule| settings.runs(rule.id)) {
            let Check::State(check) = rule.check else { continue };
            if interrupted() {
                return None;
            }
            let mut context = Context {
                rule,
                files,
                documents: &input.documents,
                resources: &input.resources,
                mesh: &mesh,
                duplicates: &state.duplicates,
                in_rollout: !settings.rollout.is_empty(),
                found: Vec::new(),
            };
            check(&mut context);
            found.append(&mut context.found);
        }
    }
    // Each finding once, however many states have it.
    let mut seen = FxHashSet::default();
    found.retain(|diagnostic| seen.insert((diagnostic.rule, diagnostic.span, diagnostic.message.clone())));
    Some(())
}

/// Applies suppressions and the settings' severities, and sorts. `order` is a context file whose findings
/// count nevertheless.
pub(crate) fn finish(
    files: &Files,
    settings: &Settings,
    input: &Input,
    found: Vec<Diagnostic>,
    runs: impl Fn(&str) -> bool,
    order: Option<FileId>,
) -> Report {
    let suppressions = Suppressions::new(files, input, settings.assume);
    let (mut diagnostics, suppressed) = suppressions.apply(found, runs);
    diagnostics.retain_mut(|diagnostic| {
        let file = diagnostic.span.file;
        if files.is_context(file) && order != Some(file) {
            return false;
        }
        match settings.level(diagnostic.rule, files.name(file)) {
            Some(Level::Off) => return false,
            Some(Level::Report(severity)) => diagnostic.severity = severity,
            None => {}
        }
        true
    });
    let rank = |diagnostic: &Diagnostic| {
        (diagnostic.span.file, diagnostic.span.start, diagnostic.span.end, diagnostic.rule)
    };
    diagnostics.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.message.cmp(&b.message)));
    Report {
        diagnostics,
        files: files.iter().filter(|(id, _)| !files.is_context(*id)).count(),
        documents: input
            .documents
            .iter()
            .filter(|document| document.root().is_some() && !files.is_context(document.file()))
            .count(),
        suppressed,
        baselined: None,
    }
}
