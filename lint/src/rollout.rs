//! A rollout, object by object: every moment between the steps, judged by the calls that live clients make.
//!
//! A command of `kubectl` is an action. Its objects arrive in file order, but the proxies may hear of them in
//! any order, and its pods are ready only when it is done; then the next command begins. Each step is also
//! taken back, in the opposite order.

pub mod breaks;
pub mod live;
pub mod order;
pub mod plan;
pub mod rewrite;
pub mod scope;
mod world;

use rustc_hash::{FxHashMap, FxHashSet};

use self::breaks::{Break, Kind};
use self::live::{Entry, Key, View};
use self::plan::{Change, Move, Plan, Verb, after};
use self::world::World;
use crate::diagnostic::{Diagnostic, Severity};
use crate::files::Files;
use crate::linter::{Input, finish, run};
use crate::report::Report;
use crate::resource::Resource;
use crate::rules::rollout_no_way_back;
use crate::settings::Settings;
use crate::span::{FileId, Span};
use crate::yaml::Document;

/// When within a command a moment is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timing {
    /// The objects up to and including this one have arrived; the command's pods are not ready.
    Arrived(usize),
    /// This object reaches the proxies before the others of its command.
    First(usize),
    /// This object reaches the proxies after the others of its command.
    Last(usize),
    /// The command is done and its pods are ready.
    Settled,
}

impl Timing {
    /// Whether it depends on chance.
    #[must_use]
    pub fn is_race(self) -> bool {
        matches!(self, Self::First(_) | Self::Last(_))
    }
}

/// What changes between two moments, and what a rule may want to know about it.
pub struct Transition<'t, 'a> {
    /// The command.
    pub step: &'t Move<'a>,
    /// When within the command this is.
    pub timing: Timing,
    /// The objects that have arrived.
    pub arrived: &'t [Change<'a>],
    /// The state before the command.
    pub before: &'t View<'a>,
    /// The state at this moment.
    pub now: &'t View<'a>,
    /// The state before the step.
    pub start: &'t View<'a>,
    /// The state after the step.
    pub end: &'t View<'a>,
    /// What breaks.
    pub breaks: &'t [Break<'a>],
    /// For each entry the pods that only a condition on the request leads to, at the end of this step or a
    /// later one.
    pub flagged: &'t FxHashMap<Entry, FxHashSet<Key<'a>>>,
    /// Workloads that have a sidecar in some state of the rollout.
    pub ever_injected: &'t FxHashSet<Key<'a>>,
}

impl<'a> Transition<'_, 'a> {
    /// The moment in words, with the comma that follows.
    #[must_use]
    pub fn moment(&self) -> String {
        let object = |index: usize| {
            self.step.objects.get(index).map_or_else(String::new, |object| object.resource.describe())
        };
        let text = &self.step.text;
        match self.timing {
            Timing::Settled => format!("after `{text}`,"),
            Timing::Arrived(index) => {
                let goes =
                    |object: &plan::Object<'_>| object.changes.iter().all(|change| change.new.is_none());
                let is = if self.step.objects.get(index).is_some_and(goes) { "deleted" } else { "there" };
                format!("while `{text}` runs, once {} is {is},", object(index))
            }
            Timing::First(index) => format!("if {} of `{text}` reaches the proxies first,", object(index)),
            Timing::Last(index) => format!("if {} of `{text}` reaches the proxies last,", object(index)),
        }
    }

    /// The breaks of some kinds, where the command itself and not chance is to blame.
    pub fn certain(&self, kinds: &[Kind]) -> Vec<&Break<'a>> {
        let wanted = |found: &&Break<'a>| kinds.contains(&found.kind);
        match self.timing.is_race() || self.step.undoes {
            true => Vec::new(),
            false => self.breaks.iter().filter(wanted).collect(),
        }
    }

    /// Where `coalmine.yaml` orders a change.
    #[must_use]
    pub fn entry(&self, change: &Change<'a>) -> Option<Span> {
        let same = |a: Option<&Resource>, b: Option<&Resource>| match (a, b) {
            (Some(a), Some(b)) => std::ptr::eq(a, b),
            (None, None) => true,
            _ => false,
        };
        let holds = |other: &Change<'a>| same(other.old, change.old) && same(other.new, change.new);
        self.step.objects.iter().find(|object| object.changes.iter().any(holds))?.entry
    }

    /// The object to name and the place to point at for a change that breaks something: in the new object
    /// under a path of keys, at the deletion in `coalmine.yaml`, or at the name of what goes.
    #[must_use]
    pub fn place(
        &self,
        change: &Change<'a>,
        documents: &[Document],
        path: &[&str],
    ) -> Option<(&'a Resource, Span)> {
        if let Some(new) = change.new {
            let inside = || {
                let (last, above) = path.split_last()?;
                Some(new.node(documents)?.path(above)?.entry(last)?.0.span())
            };
            return Some((new, inside().unwrap_or(new.name.span)));
        }
        let old = change.old?;
        Some((old, self.entry(change).unwrap_or(old.name.span)))
    }
}

/// One object of one command, and what was found there.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The command's number in its step.
    pub command: usize,
    /// How many objects the command has, and which of them this is.
    pub position: (usize, usize),
    /// What happens to the object.
    pub verb: Verb,
    /// `Deployment voting-app-1-0`.
    pub object: String,
    /// The object's namespace, kind and name.
    pub resource: crate::ResourceName,
    /// How many other objects go with it: those in a Namespace.
    pub others: usize,
    /// Its file.
    pub file: String,
    /// The rules with findings at this moment, with the worst severity of each; suppressed ones are left out.
    pub found: Vec<(&'static str, Severity)>,
}

impl Moment {
    /// Whether nothing fails at this moment.
    #[must_use]
    pub fn is_safe(&self) -> bool {
        self.found.iter().all(|(_, severity)| *severity < Severity::Error)
    }
}

/// One step, or the way back from it.
#[derive(Clone, Debug)]
pub struct StepReport {
    /// Its name.
    pub name: String,
    /// Its moments, in order.
    pub moments: Vec<Moment>,
    /// Of a way back: whether it was left out, because the step itself is not safe yet.
    pub is_skipped: bool,
}

/// What a rollout's check found.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// Every finding: what `lint` says of the states after each step, and what goes wrong between them.
    pub report: Report,
    /// The steps.
    pub steps: Vec<StepReport>,
    /// The ways back, the last step's first. The first step has none: before it nothing was there.
    pub back: Vec<StepReport>,
    /// A safe order, if the written one is not safe: searched for, and checked again as a whole.
    pub proposal: Proposal,
}

/// Whether there is a better order.
#[derive(Clone, Debug)]
pub enum Proposal {
    /// The written order is safe.
    NotNeeded,
    /// This one is.
    Order(Vec<order::ProposedStep>),
    /// None was found; why.
    None(String),
}

/// Checks the rollout of the settings; `input` is what the files are read to. `order` is the text of
/// `coalmine.yaml`, if it is among the files, so that findings can point into it.
#[must_use]
pub fn check(files: &Files, settings: &Settings, input: &Input, order: Option<FileId>) -> Rollout {
    let config = input.mesh_config(settings);
    let plan = Plan::new(files, &input.documents, &input.resources, settings, order);
    let mut found = run(files, settings, input);
    let known: FxHashSet<(&str, Span)> = found.iter().map(|d| (d.rule, d.span)).collect();
    let world = World::new(files, settings, input, &config, &plan, known);
    let walk = world.walk(&plan);
    // What is wrong at several moments is told once, of the first where it is worst.
    let mut worst: FxHashMap<(&str, Span), Severity> = FxHashMap::default();
    for Diagnostic { rule, span, severity, .. } in walk.found.iter().map(|located| &located.diagnostic) {
        let known = worst.entry((*rule, *span)).or_insert(*severity);
        *known = (*severity).max(*known);
    }
    for diagnostic in walk.found.iter().map(|located| &located.diagnostic) {
        let place = (diagnostic.rule, diagnostic.span);
        if worst.get(&place) == Some(&diagnostic.severity) {
            worst.remove(&place);
            found.push(diagnostic.clone());
        }
    }
    let report = finish(files, settings, input, found, |rule| settings.runs(rule), order);
    let kept: FxHashMap<(&str, Span), Severity> =
        report.diagnostics.iter().map(|d| ((d.rule, d.span), d.severity)).collect();
    let severity = |located: &Located| kept.get(&(located.diagnostic.rule, located.diagnostic.span)).copied();
    let steps = walk.reports(&world, &walk.forward, false, &severity);
    let back = walk.reports(&world, &walk.backward, true, &severity);
    let is_unsafe = walk.found.iter().any(|located| {
        let is_order = located.diagnostic.rule != rollout_no_way_back::RULE.id;
        is_order && !located.back && severity(located).is_some_and(|severity| severity == Severity::Error)
    });
    let proposal = if is_unsafe { order::propose(&world, &plan) } else { Proposal::NotNeeded };
    Rollout { report, steps, back, proposal }
}

/// A finding with its moment.
#[derive(Clone, Debug)]
struct Located {
    diagnostic: Diagnostic,
    back: bool,
    /// Index into the steps that were walked, the command, and its object.
    at: (usize, usize, usize),
}

/// The commands of one step as they were walked.
struct Walked<'a> {
    name: String,
    moves: Vec<Move<'a>>,
    is_skipped: bool,
}

/// The way back from one step.
struct Undo<'a> {
    name: String,
    start: Vec<&'a Resource>,
    end: Vec<&'a Resource>,
    moves: Vec<Move<'a>>,
    /// The step itself is not safe yet: its order will change, and the way back with it.
    skip: bool,
}

struct Walk<'a> {
    forward: Vec<Walked<'a>>,
    backward: Vec<Walked<'a>>,
    found: Vec<Located>,
}

impl Walk<'_> {
    fn reports(
        &self,
        world: &World<'_, '_>,
        steps: &[Walked<'_>],
        back: bool,
        severity: &impl Fn(&Located) -> Option<Severity>,
    ) -> Vec<StepReport> {
        let moment = |at: (usize, usize, usize), step: &Move<'_>| {
            let object = step.objects.get(at.2)?;
            let mut found: Vec<(&'static str, Severity)> = Vec::new();
            for located in self.found.iter().filter(|located| located.back == back && located.at == at) {
                let Some(severity) = severity(located) else { continue };
                match found.iter_mut().find(|(rule, _)| *rule == located.diagnostic.rule) {
                    Some((_, worst)) => *worst = severity.max(*worst),
                    None => found.push((located.diagnostic.rule, severity)),
                }
            }
            let change = object.changes.first();
            let verb = match change.is_some_and(|change| change.new.is_some()) {
                true => Verb::Apply,
                false => Verb::Delete,
            };
            let shown = change.and_then(|change| change.new.or(change.old)).unwrap_or(object.resource);
            Some(Moment {
                command: at.1,
                position: (step.objects.len(), at.2),
                verb,
                object: format!("{} {}", shown.kind.value, shown.name.value),
                resource: crate::rule::name_of(shown),
                others: object.changes.len().saturating_sub(1),
                file: world.files.name(object.resource.span.file).to_owned(),
                found,
            })
        };
        let report = |(number, walked): (usize, &Walked<'_>)| {
            let commands = walked.moves.iter().enumerate();
            let moments = commands.flat_map(|(command, step)| {
                (0..step.objects.len()).filter_map(move |object| moment((number, command, object), step))
            });
            StepReport {
                name: walked.name.clone(),
                moments: moments.collect(),
                is_skipped: walked.is_skipped,
            }
        };
        steps.iter().enumerate().map(report).collect()
    }
}

impl<'a> World<'_, 'a> {
    /// Goes through the whole rollout and back.
    fn walk(&self, plan: &Plan<'a>) -> Walk<'a> {
        let mut walk = Walk { forward: Vec::new(), backward: Vec::new(), found: Vec::new() };
        let mut state = plan.around.clone();
        let mut undo: Vec<Undo<'a>> = Vec::new();
        let mut visitors = false;
        for (number, step) in plan.steps.iter().enumerate() {
            let start = state.clone();
            let mut moves = Vec::new();
            for command in &step.commands {
                let step = command.on(self.files, &state);
                state = after(&state, step.changes(), true);
                moves.push(step);
            }
            let ends = [self.view(&start, None), self.view(&state, None)];
            let mut now = start.clone();
            for (index, step) in moves.iter().enumerate() {
                let is_last = index + 1 == moves.len();
                for (object, diagnostic) in self.check(step, &now, &ends, number, visitors, is_last) {
                    walk.found.push(Located { diagnostic, back: false, at: (number, index, object) });
                }
                now = after(&now, step.changes(), true);
                visitors |= self.has_visitors(&now);
            }
            let is_safe = |located: &Located| {
                located.at.0 != number || self.severity(&located.diagnostic) < Some(Severity::Error)
            };
            if number > 0 || !plan.around.is_empty() {
                let back = moves.iter().rev().map(Move::undo).collect();
                let skip = !walk.found.iter().all(is_safe);
                undo.push(Undo { name: step.name.clone(), start, end: state.clone(), moves: back, skip });
            }
            walk.forward.push(Walked { name: step.name.clone(), moves, is_skipped: false });
        }
        for (number, Undo { name, start, end, moves, skip }) in undo.into_iter().rev().enumerate() {
            if skip {
                walk.backward.push(Walked { name, moves: Vec::new(), is_skipped: true });
                continue;
            }
            let ends = [self.view(&end, None), self.view(&start, None)];
            let mut now = end;
            for (index, step) in moves.iter().enumerate() {
                let is_last = index + 1 == moves.len();
                for (object, diagnostic) in self.check(step, &now, &ends, usize::MAX, true, is_last) {
                    walk.found.push(Located { diagnostic, back: true, at: (number, index, object) });
                }
                now = after(&now, step.changes(), true);
            }
            walk.backward.push(Walked { name, moves, is_skipped: false });
        }
        walk
    }
}

#[cfg(test)]
mod tests;
