//! The one pipeline: texts to documents to objects to states to findings. CLI, language server and
//! wasm bindings all call [`lint`].

use std::sync::OnceLock;

use rustc_hash::FxHashSet;

use crate::diagnostic::Diagnostic;
use crate::files::Files;
use crate::mesh::Mesh;
use crate::mesh::config::MeshConfig;
use crate::report::Report;
use crate::resource::{Resource, lower};
use crate::rule::{Check, Context, InputContext, Rule};
use crate::rules::RULES;
use crate::settings::{Level, Settings};
use crate::states::states;
use crate::suppress::Suppressions;
use crate::yaml::{Document, Limits, Problem, parse};

/// Everything read from a set of files, before any rule.
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

    /// Mesh-wide settings: the given ones, else those of a ConfigMap `istio` in the input, else Istio's defaults.
    #[must_use]
    pub fn mesh_config(&self, settings: &Settings) -> MeshConfig {
        settings.mesh.clone().or_else(|| MeshConfig::find(&self.resources)).unwrap_or_default()
    }
}

/// Lints a set of files as one deployment.
#[must_use]
pub fn lint(files: &Files, settings: &Settings) -> Report {
    let input = Input::read(files, settings);
    let found = run(RULES, files, settings, &input);
    let suppressions = Suppressions::new(files, &input, settings.assume);
    let (mut diagnostics, suppressed) = suppressions.apply(found, |rule| settings.runs(rule));
    diagnostics.retain_mut(|diagnostic| {
        let file = diagnostic.span.file;
        if files.is_context(file) {
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

/// Runs rules over everything that was read; each finding once, however many states have it.
pub(crate) fn run(
    rules: &[&'static Rule],
    files: &Files,
    settings: &Settings,
    input: &Input,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let shape = OnceLock::new();
    for rule in rules.iter().filter(|rule| settings.runs(rule.id)) {
        let Check::Input(check) = rule.check else { continue };
        let mut context = InputContext {
            rule,
            files,
            documents: &input.documents,
            problems: &input.problems,
            resources: &input.resources,
            shape: &shape,
            found: Vec::new(),
        };
        check(&mut context);
        found.append(&mut context.found);
    }
    let config = input.mesh_config(settings);
    for state in states(files, &input.resources, settings) {
        let mesh = Mesh::new(state.resources, &config, settings.assume);
        for rule in rules.iter().filter(|rule| settings.runs(rule.id)) {
            let Check::State(check) = rule.check else { continue };
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
    let mut seen = FxHashSet::default();
    found.retain(|diagnostic| seen.insert((diagnostic.rule, diagnostic.span, diagnostic.message.clone())));
    found
}
