//! Routing expectations kept beside the manifests: what they say, and whether a deployment meets them. Knows requests,
//! routes and states, no files on disk and no output.
//!
//! [`parse`] reads a file into a [`Suite`], [`run`] judges suites with [`route::trace`](crate::route::trace).

mod check;
mod coverage;
mod parse;
pub mod schema;
mod target;
#[cfg(test)]
mod tests;
mod validator;
mod words;

use std::cell::OnceCell;

pub use self::coverage::{Coverage, RuleUse};
pub use self::parse::parse;
use self::target::Target;
use crate::files::Files;
use crate::linter::Input;
use crate::mesh::Mesh;
use crate::mesh::config::MeshConfig;
use crate::route::{Known, Share};
use crate::rule::did_you_mean;
use crate::settings::Settings;
use crate::span::{FileId, Span, Spanned};
use crate::states::State;

/// The expectations of one file.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The file.
    pub file: FileId,
    cases: Vec<Case>,
}

impl Suite {
    /// How many expectations it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cases.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }
}

/// What is wrong with a file of expectations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Where.
    pub span: Span,
    /// What, and what to write instead.
    pub message: String,
}

/// One expectation.
#[derive(Clone, Debug)]
struct Case {
    name: Spanned<String>,
    /// The steps after which it is asked; none for the last that leaves anything.
    steps: Vec<Spanned<String>>,
    ask: Ask,
}

#[derive(Clone, Debug)]
enum Ask {
    /// Requests that are followed through the mesh.
    Trace(Box<Question>),
    /// A test of istio-config-validator.
    Validator(Box<validator::TestCase>),
}

/// Requests, and what is claimed of each.
#[derive(Clone, Debug)]
struct Question {
    template: Template,
    sweep: Vec<Axis>,
    follow: bool,
    claims: Vec<Spanned<Claim>>,
}

/// A request before a sweep has set anything.
#[derive(Clone, Debug, Default)]
struct Template {
    /// Absent when a workload's own calls are meant.
    url: Option<String>,
    from: Option<String>,
    method: Option<String>,
    headers: Vec<(String, String)>,
    cookies: Vec<(String, String)>,
    principal: Option<String>,
    /// Seconds since 1970.
    now: Option<u64>,
}

/// A part of the request that a sweep sets.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Knob {
    Url,
    Path,
    From,
    Method,
    Principal,
    Header(String),
    Cookie(String),
}

/// A part of the request and its values; `None` leaves it out.
#[derive(Clone, Debug)]
struct Axis {
    label: String,
    knob: Knob,
    values: Vec<Option<String>>,
}

/// What must be true of every request.
#[derive(Clone, Debug)]
enum Claim {
    /// All of it ends there, answered.
    Reaches(Target),
    /// Nothing of it is led there, copies included.
    Never(Target),
    /// All that it reaches is this, and all of it is answered.
    Only(Target),
    /// Some copy goes there.
    Mirrors(Target),
    /// How it is divided; keys are subsets, versions, workloads or statuses.
    Shares(Vec<(String, Share)>),
    /// A proxy answers with one of these.
    Status(Vec<String>),
    /// A proxy redirects there.
    Redirect(String),
    /// It fails with one of Envoy's response flags.
    Flag(Vec<String>),
}

/// A deployment to judge.
#[derive(Clone, Copy)]
pub struct Deployment<'d> {
    /// Its files, with those of the expectations.
    pub files: &'d Files,
    /// How it was read.
    pub settings: &'d Settings,
    /// Its documents and objects.
    pub input: &'d Input,
    /// Its states.
    pub states: &'d [State<'d>],
    /// Mesh-wide settings.
    pub config: &'d MeshConfig,
}

/// What came of the expectations of one deployment.
#[derive(Clone, PartialEq, Debug)]
pub struct Report {
    /// By file, in the order of the suites.
    pub suites: Vec<SuiteReport>,
    /// Which rules were gone through, in the states that were asked about.
    pub coverage: Coverage,
}

impl Report {
    /// Every result.
    pub fn results(&self) -> impl Iterator<Item = &CaseReport> {
        self.suites.iter().flat_map(|suite| &suite.results)
    }
}

/// What came of one file.
#[derive(Clone, PartialEq, Debug)]
pub struct SuiteReport {
    /// The file.
    pub file: FileId,
    /// Each expectation in each of its states.
    pub results: Vec<CaseReport>,
}

/// What came of one expectation in one state.
#[derive(Clone, PartialEq, Debug)]
pub struct CaseReport {
    /// What it is called.
    pub name: String,
    /// The step after which the state is reached; `None` without a rollout.
    pub step: Option<String>,
    /// The name's place.
    pub span: Span,
    /// How many requests were followed.
    pub requests: usize,
    /// What is not as expected: at most one for each claim.
    pub failures: Vec<Failure>,
}

impl CaseReport {
    /// Whether all is as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// One claim that is not true.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The claim's place.
    pub span: Span,
    /// What was expected.
    pub expected: String,
    /// What was found instead.
    pub found: String,
    /// The first request of which it is not true, with the values of the sweep.
    pub request: String,
    /// How many other requests of the sweep fail in the same claim, of all of them.
    pub others: usize,
    /// How that request goes, and what decides.
    pub way: Vec<Line>,
}

/// A line of a way, and the place that decides it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// In words.
    pub text: String,
    /// Where it is written.
    pub span: Option<Span>,
}

/// Judges the expectations of a deployment. `only` keeps those whose name contains the text, in any case; `known`
/// gives what the shell knows of the world for a mesh.
///
/// # Errors
/// Steps that the rollout does not have, with their places.
pub fn run(
    deployment: Deployment<'_>,
    suites: &[Suite],
    only: Option<&str>,
    known: &dyn Fn(&Mesh<'_>) -> Known,
) -> Result<Report, Vec<Problem>> {
    let states = deployment.states;
    let mut problems = Vec::new();
    let meshes: Vec<OnceCell<(Mesh<'_>, Known)>> = states.iter().map(|_| OnceCell::new()).collect();
    let vocabulary = target::Vocabulary::of(deployment.input);
    let mut coverage = coverage::Builder::default();
    let mut reports = Vec::new();
    for suite in suites {
        let namespace = deployment.settings.namespace_for(deployment.files.name(suite.file));
        let mut results = Vec::new();
        for case in suite.cases.iter().filter(|case| is_wanted(&case.name, only)) {
            for index in chosen(case, states, &mut problems) {
                let Some((state, mesh)) = states.get(index).zip(meshes.get(index)) else { continue };
                let (mesh, known) = mesh.get_or_init(|| {
                    let mesh =
                        Mesh::new(state.resources.clone(), deployment.config, deployment.settings.assume);
                    let known = known(&mesh);
                    (mesh, known)
                });
                coverage.add_state(mesh);
                let scene = check::Scene { mesh, known, namespace, vocabulary: &vocabulary };
                let (requests, failures) = match &case.ask {
                    Ask::Trace(question) => check::question(scene, case, question, &mut coverage),
                    Ask::Validator(test) => {
                        validator::check(mesh, &deployment.input.documents, test, &mut coverage)
                    }
                };
                results.push(CaseReport {
                    name: case.name.value.clone(),
                    step: state.step.map(str::to_owned),
                    span: case.name.span,
                    requests,
                    failures,
                });
            }
        }
        reports.push(SuiteReport { file: suite.file, results });
    }
    if problems.is_empty() {
        Ok(Report { suites: reports, coverage: coverage.finish() })
    } else {
        Err(problems)
    }
}

fn is_wanted(name: &str, only: Option<&str>) -> bool {
    only.is_none_or(|only| name.to_lowercase().contains(&only.to_lowercase()))
}

/// The states that a case asks about.
fn chosen(case: &Case, states: &[State<'_>], problems: &mut Vec<Problem>) -> Vec<usize> {
    if case.steps.is_empty() {
        let last = states.iter().rposition(|state| !state.resources.is_empty());
        return vec![last.unwrap_or(0)];
    }
    let mut chosen = Vec::new();
    for step in &case.steps {
        match states.iter().position(|state| state.step == Some(step.as_str())) {
            Some(index) => chosen.push(index),
            None => {
                let names: Vec<&str> = states.iter().filter_map(|state| state.step).collect();
                let message = match (did_you_mean(step, names.iter().copied()), names.as_slice()) {
                    (_, []) => {
                        format!("there is no step `{}`: no rollout in coalmine.yaml leads here", step.value)
                    }
                    (Some(near), _) => format!("there is no step `{}`; did you mean `{near}`?", step.value),
                    (None, names) => {
                        format!("there is no step `{}`; the steps are {}", step.value, names.join(", "))
                    }
                };
                problems.push(Problem { span: step.span, message });
            }
        }
    }
    chosen
}
