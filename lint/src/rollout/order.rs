//! The search for a safe order: puts commands one after the other, each where it breaks nothing, and takes a
//! choice back where it leads nowhere. What it finds has been checked as a whole.

use rustc_hash::FxHashSet;

use super::live::{Key, View};
use super::plan::{Command, Plan, PlannedStep, Verb, after};
use super::{Proposal, World};
use crate::diagnostic::{Diagnostic, Severity};
use crate::mesh::Mesh;
use crate::mesh::destinations::Client;
use crate::mesh::routes::{Target, VirtualService};
use crate::resource::Resource;
use crate::rules::{rollout_flag_leak, rollout_no_way_back, rollout_same_apply_race};
use crate::span::Span;

/// One command of a proposed order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProposedAction {
    /// What it does.
    pub verb: Verb,
    /// Its paths.
    pub paths: Vec<String>,
    /// The step and action of the written order that it comes from.
    pub origin: (usize, usize),
    /// Whether it is that action, and not one of the files that it was taken apart into.
    pub is_whole: bool,
}

/// One step of a proposed order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProposedStep {
    /// Its name.
    pub name: String,
    /// Its commands, in order.
    pub actions: Vec<ProposedAction>,
    /// Whether it is as written.
    pub is_unchanged: bool,
}

/// How much work a search may be: moments that are looked at, times the objects of the rollout.
const MOST_WORK: usize = 400_000;

/// Looks for an order: first one that never leaves a route without its end, then one without risk, then one
/// without errors.
pub(crate) fn propose<'a>(world: &World<'_, 'a>, plan: &Plan<'a>) -> Proposal {
    let objects: usize = plan.steps.iter().flat_map(|step| &step.commands).map(|c| c.objects.len()).sum();
    let most_tries = MOST_WORK / (objects + plan.around.len() + 50);
    let mut tries = 0;
    let mut stuck = String::new();
    let mut gave_up = false;
    for care in [Care::Tidy, Care::Strict, Care::Errors] {
        for split in [false, true] {
            let mut search = Search { world, care, tries: most_tries, stuck: String::new() };
            if let Some(order) = search.run(plan, split) {
                return finish(world, plan, order, care);
            }
            tries += most_tries - search.tries;
            gave_up |= search.tries == 0;
            stuck = search.stuck;
        }
    }
    // A file is the smallest thing that `kubectl apply -f` takes.
    let shares_a_file = |command: &Command<'_>| {
        let files: FxHashSet<_> = command.objects.iter().map(|(resource, _)| resource.span.file).collect();
        command.objects.len() > files.len()
    };
    let at = plan.steps.iter().find(|step| step.name == stuck);
    let hint = match at.is_some_and(|step| step.commands.iter().any(shares_a_file)) {
        true => {
            "; one of its files holds several objects: split it, so that they can be applied one after the other"
        }
        false => {
            "; it takes a state in between that these files do not have, such as a route that lets go first"
        }
    };
    let looked = match gave_up {
        true => format!("the search was given up after {tries} moments, for the rollout is large"),
        false => format!("{tries} moments were looked at"),
    };
    Proposal::None(format!(
        "every order of step {stuck} that was tried breaks requests at some moment ({looked}){hint}"
    ))
}

/// Commands of one file each, or as they were.
fn units<'a>(world: &World<'_, 'a>, step: &PlannedStep<'a>, split: bool) -> Vec<Command<'a>> {
    if !split {
        return step.commands.clone();
    }
    let mut units: Vec<Command<'a>> = Vec::new();
    for command in &step.commands {
        let mut parts: Vec<Command<'a>> = Vec::new();
        for (resource, position) in &command.objects {
            let name = world.files.name(resource.span.file);
            let path =
                world.settings.relative(name).map_or_else(|| name.to_owned(), |name| name.into_owned());
            match parts.last_mut().filter(|last| last.paths.first() == Some(&path)) {
                Some(last) => last.objects.push((resource, 0)),
                None => parts.push(Command {
                    verb: command.verb,
                    paths: vec![path],
                    objects: vec![(resource, 0)],
                    entries: command.entries.get(*position).copied().into_iter().collect(),
                    origin: command.origin,
                }),
            }
        }
        match parts.len() {
            0 | 1 => units.push(command.clone()),
            _ => units.extend(parts),
        }
    }
    units
}

/// What an order must not have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Care {
    /// Errors.
    Errors,
    /// Nor chance and leaks.
    Strict,
    /// Nor a route to what is not there, even if nobody known takes it.
    Tidy,
}

struct Search<'s, 'w, 'a> {
    world: &'s World<'w, 'a>,
    care: Care,
    tries: usize,
    /// The step that no order was found for.
    stuck: String,
}

impl<'a> Search<'_, '_, 'a> {
    /// Step by step; what finds no place in its step is carried into the next.
    fn run(&mut self, plan: &Plan<'a>, split: bool) -> Option<Vec<PlannedStep<'a>>> {
        let mut state = plan.around.clone();
        let mut carried: Vec<Command<'a>> = Vec::new();
        let mut order = Vec::new();
        let mut visitors = false;
        let last = plan.steps.len().saturating_sub(1);
        for (number, step) in plan.steps.iter().enumerate() {
            // As written, if that works.
            let mut pool = carried.clone();
            pool.extend(step.commands.clone());
            let as_written = self.place(&state, pool, number, visitors, true);
            let placed = match as_written {
                Some(found) => found,
                None => {
                    let mut pool = carried.clone();
                    pool.extend(units(self.world, step, split));
                    self.stuck.clone_from(&step.name);
                    self.place(&state, pool, number, visitors, number == last)?
                }
            };
            let (commands, rest) = placed;
            for command in &commands {
                state = after(&state, command.on(self.world.files, &state).changes(), true);
                visitors |= self.world.has_visitors(&state);
            }
            carried = rest;
            order.push(PlannedStep { name: step.name.clone(), commands });
        }
        carried.is_empty().then_some(order)
    }

    /// Orders the commands of a step; with `all` every one must find its place.
    fn place(
        &mut self,
        state: &[&'a Resource],
        pool: Vec<Command<'a>>,
        number: usize,
        visitors: bool,
        all: bool,
    ) -> Option<(Vec<Command<'a>>, Vec<Command<'a>>)> {
        let mut end = state.to_vec();
        for command in &pool {
            end = after(&end, command.on(self.world.files, &end).changes(), true);
        }
        let ends = [self.world.view(state, None), self.world.view(&end, None)];
        let mut done: Vec<usize> = Vec::new();
        let mut best: Vec<usize> = Vec::new();
        let mut dead = FxHashSet::default();
        let found = self.extend(state, &pool, &ends, number, visitors, &mut done, &mut best, &mut dead);
        let chosen = match (found, all) {
            (true, _) => done,
            (false, false) => best,
            (false, true) => return None,
        };
        let commands = chosen.iter().filter_map(|index| pool.get(*index).cloned()).collect();
        let rest = pool.iter().enumerate().filter(|(index, _)| !chosen.contains(index));
        Some((commands, rest.map(|(_, command)| command.clone()).collect()))
    }

    /// Adds one command after the other, in the written order where that is possible.
    #[allow(clippy::too_many_arguments)] // the state of one depth-first search
    fn extend(
        &mut self,
        state: &[&'a Resource],
        pool: &[Command<'a>],
        ends: &[View<'a>; 2],
        number: usize,
        visitors: bool,
        done: &mut Vec<usize>,
        best: &mut Vec<usize>,
        dead: &mut FxHashSet<Vec<usize>>,
    ) -> bool {
        if done.len() > best.len() {
            best.clone_from(done);
        }
        if done.len() == pool.len() {
            return true;
        }
        let mut set = done.clone();
        set.sort_unstable();
        if !dead.insert(set) {
            return false;
        }
        for (index, command) in pool.iter().enumerate() {
            // Commands on one object keep their order.
            let waits = pool
                .iter()
                .enumerate()
                .take(index)
                .any(|(earlier, other)| !done.contains(&earlier) && share_an_object(other, command));
            if done.contains(&index) || waits {
                continue;
            }
            if self.tries == 0 {
                return false;
            }
            let step = command.on(self.world.files, state);
            let is_last = done.len() + 1 == pool.len();
            let earlier = self.world.moments.get();
            let found = self.world.check(&step, state, ends, number, visitors, is_last);
            self.tries = self.tries.saturating_sub((self.world.moments.get() - earlier).max(1));
            if found.iter().any(|(_, diagnostic)| self.forbids(diagnostic)) {
                continue;
            }
            let next = after(state, step.changes(), true);
            if self.care == Care::Tidy && self.leaves_dangling(state, &next) {
                continue;
            }
            let visitors = visitors || self.world.has_visitors(&next);
            done.push(index);
            if self.extend(&next, pool, ends, number, visitors, done, best, dead) {
                return true;
            }
            done.pop();
        }
        false
    }

    /// Whether some route now leads to a subset, port or host that is not there, and did not before.
    fn leaves_dangling(&self, state: &[&'a Resource], next: &[&'a Resource]) -> bool {
        let before = dangling(&self.world.mesh(state));
        dangling(&self.world.mesh(next)).iter().any(|route| !before.contains(route))
    }

    fn forbids(&self, diagnostic: &Diagnostic) -> bool {
        let Some(severity) = self.world.severity(diagnostic) else { return false };
        let risky = [rollout_same_apply_race::RULE.id, rollout_flag_leak::RULE.id];
        severity == Severity::Error && diagnostic.rule != rollout_no_way_back::RULE.id
            || (self.care >= Care::Strict && risky.contains(&diagnostic.rule))
    }
}

/// The places of the destinations that do not exist, whoever takes them.
fn dangling(mesh: &Mesh<'_>) -> FxHashSet<Span> {
    let is_missing = |(service, target): &(&VirtualService<'_>, &Target<'_>)| {
        let client = Client { namespace: Some(service.namespace()), labels: None };
        let Some(host) = mesh.registry.find(&target.host, client.namespace) else {
            return mesh.knows_host(&target.host);
        };
        let port = target.destination.value.port_number();
        let subset = |name: &str| mesh.destination(client, &target.host)?.subset(name).map(|_| ());
        port.is_some_and(|port| host.port(port.value).is_none())
            || target.subset().is_some_and(|name| subset(name.as_str()).is_none())
    };
    mesh.routes.targets().filter(is_missing).map(|(_, target)| target.destination.span).collect()
}

/// Whether two commands touch the same object, or one deletes the namespace of the other's.
fn share_an_object(a: &Command<'_>, b: &Command<'_>) -> bool {
    let keys: FxHashSet<Key<'_>> = a.objects.iter().map(|(resource, _)| resource.key()).collect();
    let takes_along = |a: &Command<'_>, b: &Command<'_>| {
        a.objects.iter().any(|(resource, _)| {
            let is_namespace = matches!(resource.spec, crate::resource::Spec::Namespace);
            is_namespace && b.objects.iter().any(|(other, _)| other.namespace() == resource.name.as_str())
        })
    };
    b.objects.iter().any(|(resource, _)| keys.contains(&resource.key()))
        || (a.verb == Verb::Delete && takes_along(a, b))
        || (b.verb == Verb::Delete && takes_along(b, a))
}

/// Walks the found order once more as a whole, and says which of its steps are as written.
fn finish<'a>(world: &World<'_, 'a>, plan: &Plan<'a>, order: Vec<PlannedStep<'a>>, care: Care) -> Proposal {
    let proposed = Plan { around: plan.around.clone(), steps: order };
    let search = Search { world, care, tries: 0, stuck: String::new() };
    let walk = world.walk(&proposed);
    if walk.found.iter().any(|located| !located.back && search.forbids(&located.diagnostic)) {
        return Proposal::None("the order that was found does not hold as a whole".to_owned());
    }
    let steps = proposed.steps.iter().enumerate().map(|(number, step)| {
        let written = plan.steps.get(number);
        let action = |command: &Command<'a>| {
            let (from, index) = command.origin;
            let own = plan.steps.get(from).and_then(|step| step.commands.get(index));
            let is_whole = own.is_some_and(|own| own.paths == command.paths);
            ProposedAction {
                verb: command.verb,
                paths: command.paths.clone(),
                origin: command.origin,
                is_whole,
            }
        };
        let actions: Vec<ProposedAction> = step.commands.iter().map(action).collect();
        let is_unchanged = written.is_some_and(|written| {
            written.commands.len() == actions.len()
                && actions
                    .iter()
                    .enumerate()
                    .all(|(i, action)| action.is_whole && action.origin == (number, i))
        });
        ProposedStep { name: step.name.clone(), actions, is_unchanged }
    });
    Proposal::Order(steps.filter(|step| !step.actions.is_empty()).collect())
}
