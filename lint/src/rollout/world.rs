//! What stays the same through a rollout, and the check of one command: its moments, the calls that break at
//! each, and the rules that tell of them. Knows no order; who calls it decides what comes when.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::breaks::{Break, Later, breaks};
use super::live::{Call, Entry, Gateways, Key, View, answering, covers};
use super::plan::{Change, Move, Plan, after, waits};
use super::scope::Scope;
use super::{Timing, Transition};
use crate::diagnostic::{Diagnostic, Severity};
use crate::files::Files;
use crate::linter::Input;
use crate::mesh::Mesh;
use crate::mesh::config::MeshConfig;
use crate::mesh::gateways::resolve_gateway_name;
use crate::mesh::workloads::Proxy;
use crate::resource::{Resource, Spec};
use crate::rule::{Check, Context, Rule, TransitionContext};
use crate::rules::{RULES, tag_header_unprotected, version_islands_cross};
use crate::settings::{Level, Settings};
use crate::span::Span;
use crate::suppress::Suppressions;
use crate::yaml::Document;

/// Rules about one state that tell of live traffic and not of what merely dangles: they are asked between
/// the steps, too.
const LIVE_STATE_RULES: [&Rule; 2] = [&version_islands_cross::RULE, &tag_header_unprotected::RULE];

/// What stays the same through a rollout.
pub(crate) struct World<'w, 'a> {
    pub files: &'w Files,
    pub settings: &'w Settings,
    documents: &'w [Document],
    resources: &'a [Resource],
    config: &'a MeshConfig,
    /// What `lint` found in the states after the steps.
    known: FxHashSet<(&'static str, Span)>,
    /// For each step, see [`Transition::flagged`].
    flagged: Vec<FxHashMap<Entry, FxHashSet<Key<'a>>>>,
    /// For each step what Gateways answer when it is done or after a later one.
    answered: Vec<BTreeMap<Entry, Later>>,
    ever_injected: FxHashSet<Key<'a>>,
    gateways: Rc<Gateways<'a>>,
    suppressions: Suppressions<'w>,
    /// How many moments have been built, which is what takes the time.
    pub(crate) moments: Cell<usize>,
}

impl<'w, 'a> World<'w, 'a> {
    pub(super) fn new(
        files: &'w Files,
        settings: &'w Settings,
        input: &'a Input,
        config: &'a MeshConfig,
        plan: &Plan<'a>,
        known: FxHashSet<(&'static str, Span)>,
    ) -> Self
    where
        'a: 'w,
    {
        let mut world = Self {
            files,
            settings,
            documents: &input.documents,
            resources: &input.resources,
            config,
            known,
            flagged: Vec::new(),
            answered: Vec::new(),
            ever_injected: FxHashSet::default(),
            gateways: Rc::default(),
            suppressions: Suppressions::new(files, input, settings.assume),
            moments: Cell::new(0),
        };
        let is_gateway = |resource: &&Resource| matches!(resource.spec, Spec::Gateway(_));
        let gateways = input.resources.iter().filter(is_gateway);
        world.gateways =
            Rc::new(gateways.map(|gateway| (gateway.namespace(), gateway.name.as_str())).collect());
        let mut state = plan.around.clone();
        for step in &plan.steps {
            for command in &step.commands {
                state = after(&state, command.on(files, &state).changes(), true);
                let mesh = world.mesh(&state);
                let injected = mesh.workloads.iter().filter(|(_, pod)| pod.proxy == Proxy::Sidecar);
                world.ever_injected.extend(injected.map(|(_, pod)| pod.resource.key()));
            }
            let conditions = Scope::of_conditions(&world.mesh(&state));
            let view = world.view(&state, Some(conditions));
            let keys = |call: &Call<'a>, conditional| -> FxHashSet<Key<'a>> {
                call.pods(conditional).map(Resource::key).collect()
            };
            let flagged = |(entry, call): (&Entry, &Call<'a>)| {
                let open = keys(call, false);
                let only: FxHashSet<Key<'a>> = keys(call, true).difference(&open).copied().collect();
                (!only.is_empty()).then(|| (entry.clone(), only))
            };
            let answers = |(entry, call): (&Entry, &Call<'a>)| Some((entry.clone(), Later::of(call)?));
            world.answered.push(view.doors().iter().filter_map(answers).collect());
            world.flagged.push(view.calls().iter().filter_map(flagged).collect());
        }
        // From each step's own end on.
        for index in (1..world.flagged.len()).rev() {
            let later = world.flagged.get(index).cloned().unwrap_or_default();
            if let Some(own) = world.flagged.get_mut(index - 1) {
                for (entry, pods) in later {
                    own.entry(entry).or_default().extend(pods);
                }
            }
        }
        for index in (1..world.answered.len()).rev() {
            let later = world.answered.get(index).cloned().unwrap_or_default();
            if let Some(own) = world.answered.get_mut(index - 1) {
                for (entry, answer) in later {
                    let known = own.entry(entry).or_insert(answer);
                    *known = answer.max(*known);
                }
            }
        }
        world
    }

    /// What a Gateway answers when a step is done or later on; on the way back, at its end.
    fn later(&self, number: usize, end: &View<'a>, entry: &Entry) -> Option<Later> {
        match self.answered.get(number) {
            Some(answered) => {
                let covers = |(other, _): &(&Entry, &Later)| covers(other, entry);
                answered.get(entry).or_else(|| answered.iter().find(covers).map(|(_, later)| later)).copied()
            }
            None => answering(end.doors(), entry).and_then(Later::of),
        }
    }

    /// How severe a finding is for the user; `None` when it is suppressed or turned off.
    pub(crate) fn severity(&self, diagnostic: &Diagnostic) -> Option<Severity> {
        if self.suppressions.hides(diagnostic) {
            return None;
        }
        match self.settings.level(diagnostic.rule, self.files.name(diagnostic.span.file)) {
            Some(Level::Off) => None,
            Some(Level::Report(severity)) => Some(severity),
            None => Some(diagnostic.severity),
        }
    }

    pub(crate) fn mesh(&self, state: &[&'a Resource]) -> Mesh<'a> {
        Mesh::new(state.to_vec(), self.config, self.settings.assume)
    }

    pub(crate) fn view(&self, state: &[&'a Resource], scope: Option<Scope<'a>>) -> View<'a> {
        View::new(Rc::new(self.mesh(state)), scope, Rc::clone(&self.gateways))
    }

    pub(super) fn has_visitors(&self, state: &[&'a Resource]) -> bool {
        let is_there = |namespace: &str, name: &str| {
            let is_it = |own: &&&Resource| {
                matches!(own.spec, Spec::Gateway(_))
                    && (own.namespace(), own.name.as_str()) == (namespace, name)
            };
            !self.gateways.contains(&(namespace, name)) || state.iter().find(is_it).is_some()
        };
        state.iter().any(|resource| match &resource.spec {
            Spec::VirtualService(service) => service.gateways.iter().any(|gateway| {
                let (namespace, name) = resolve_gateway_name(gateway, resource.namespace());
                gateway.as_str() != "mesh" && is_there(&namespace, &name)
            }),
            _ => false,
        })
    }

    /// Everything that is wrong while a command runs and when it is done, with the object that shows it.
    pub(crate) fn check(
        &self,
        step: &Move<'a>,
        state: &[&'a Resource],
        ends: &[View<'a>; 2],
        number: usize,
        had_visitors: bool,
        is_last: bool,
    ) -> Vec<(usize, Diagnostic)> {
        let old = Rc::new(self.mesh(state));
        let done = self.mesh(&after(state, step.changes(), true));
        let mut found: Vec<(usize, Diagnostic)> = Vec::new();
        let mut certain = FxHashSet::default();
        let nothing = FxHashMap::default();
        // What one object more or less changes is about that object.
        let scopes: Vec<Scope<'a>> =
            step.objects.iter().map(|object| Scope::of(&object.changes, [&old, &done])).collect();
        for (timing, arrived) in timings(step, &old, &scopes) {
            let settled = timing == Timing::Settled;
            self.moments.set(self.moments.get() + 1);
            let scope = match timing {
                Timing::Settled => Scope::of(step.changes(), [&old, &done]),
                Timing::Arrived(index) | Timing::First(index) | Timing::Last(index) => {
                    scopes.get(index).cloned().unwrap_or_default()
                }
            };
            let before = View::new(Rc::clone(&old), Some(scope.clone()), Rc::clone(&self.gateways));
            let now = self.view(&after(state, &arrived, settled), Some(scope));
            let ended = had_visitors && !self.has_visitors(now.mesh.resources());
            let later = |entry: &Entry| self.later(number, &ends[1], entry);
            let mut breaks = breaks(&before, &now, &arrived, ended, &later);
            // One that shows in several orders is one race, and one that shows in any order is none.
            if timing.is_race() {
                breaks.retain(|found| !certain.contains(&found.identity()));
            }
            certain.extend(breaks.iter().map(Break::identity));
            let transition = Transition {
                step,
                timing,
                arrived: &arrived,
                before: &before,
                now: &now,
                start: &ends[0],
                end: &ends[1],
                breaks: &breaks,
                flagged: self.flagged.get(number).unwrap_or(&nothing),
                ever_injected: &self.ever_injected,
            };
            let object = |diagnostic: &Diagnostic| match timing {
                Timing::Arrived(index) | Timing::First(index) | Timing::Last(index) => index,
                Timing::Settled => {
                    let last = step.objects.len().saturating_sub(1);
                    step.objects.iter().position(|object| object.holds(diagnostic.span)).unwrap_or(last)
                }
            };
            let mut add = |diagnostic: Diagnostic| {
                let at = object(&diagnostic);
                let known = |(_, other): &&mut (usize, Diagnostic)| {
                    other.rule == diagnostic.rule && other.span == diagnostic.span
                };
                match found.iter_mut().find(known) {
                    // Of one place the worst is told.
                    Some(other) if other.1.severity < diagnostic.severity => *other = (at, diagnostic),
                    Some(_) => {}
                    None => found.push((at, diagnostic)),
                }
            };
            for rule in RULES.iter().filter(|rule| self.settings.runs(rule.id)) {
                let Check::Transition(check) = rule.check else { continue };
                let (files, documents) = (self.files, self.documents);
                let mut context =
                    TransitionContext { rule, files, documents, transition: &transition, found: Vec::new() };
                check(&mut context);
                context.found.into_iter().for_each(&mut add);
            }
            // Of the last command of a step the state is one that `lint` knows.
            if settled && !is_last && !step.undoes {
                self.live_state_rules(step, &transition, &mut add);
            }
        }
        found
    }

    fn live_state_rules(
        &self,
        step: &Move<'a>,
        transition: &Transition<'_, 'a>,
        add: &mut impl FnMut(Diagnostic),
    ) {
        for rule in LIVE_STATE_RULES.into_iter().filter(|rule| self.settings.runs(rule.id)) {
            let Check::State(check) = rule.check else { continue };
            let of = |view: &View<'_>| {
                let mut context = Context {
                    rule,
                    files: self.files,
                    documents: self.documents,
                    resources: self.resources,
                    mesh: &view.mesh,
                    duplicates: &[],
                    in_rollout: true,
                    found: Vec::new(),
                };
                check(&mut context);
                context.found
            };
            let before = of(transition.before);
            for mut diagnostic in of(transition.now) {
                let is_new = before.iter().all(|old| old.span != diagnostic.span);
                let is_error = diagnostic.severity == Severity::Error;
                if is_new && is_error && !self.known.contains(&(diagnostic.rule, diagnostic.span)) {
                    diagnostic.message = format!("after `{}`, {}", step.text, diagnostic.message);
                    add(diagnostic);
                }
            }
        }
    }
}

/// The moments of a command. Where nothing could be called before, only its end counts, and so it does for
/// objects that have nothing to do with the others: for them every order is the same.
fn timings<'a>(step: &Move<'a>, before: &Mesh<'a>, scopes: &[Scope<'a>]) -> Vec<(Timing, Vec<Change<'a>>)> {
    let changes = |pick: &dyn Fn(usize) -> bool| -> Vec<Change<'a>> {
        let chosen = step.objects.iter().enumerate().filter(|(index, _)| pick(*index));
        chosen.flat_map(|(_, object)| object.changes.iter().copied()).collect()
    };
    let all = changes(&|_| true);
    let count = step.objects.len();
    let is_idle = before.registry.iter().next().is_none() && before.routes.iter().next().is_none();
    if count < 2 || is_idle {
        return if count == 0 { Vec::new() } else { vec![(Timing::Settled, all)] };
    }
    let has_pods = all.iter().any(|change| change.new.is_some_and(waits));
    // Pods that are not ready, and objects that no proxy hears of, change nothing when they arrive.
    let is_heard = |index: &usize| {
        let changes = step.objects.get(*index).map_or(&[][..], |object| &object.changes);
        changes.iter().any(|change| match change.new.or(change.old) {
            Some(own) if waits(own) => change.new.is_none(),
            Some(own) => !matches!(own.spec, Spec::Other | Spec::ConfigMap(_)),
            None => false,
        })
    };
    let mut touched: FxHashMap<&str, usize> = FxHashMap::default();
    for host in scopes.iter().filter_map(Scope::hosts).flatten() {
        *touched.entry(host).or_default() += 1;
    }
    let is_wide = scopes.iter().any(|scope| scope.hosts().is_none());
    let meets_another = |index: &usize| {
        let own = scopes.get(*index).and_then(Scope::hosts);
        is_wide || own.is_none_or(|mut hosts| hosts.any(|host| touched.get(host).is_some_and(|n| *n > 1)))
    };
    let matters = |index: &usize| is_heard(index) && meets_another(index);
    let mut moments: Vec<(Timing, Vec<Change<'a>>)> = Vec::new();
    for last in (0..count).filter(matters) {
        if last + 1 < count || has_pods {
            moments.push((Timing::Arrived(last), changes(&|index| index <= last)));
        }
    }
    moments.push((Timing::Settled, all));
    // On the way back only what is certain is told.
    for one in (0..count).filter(matters).filter(|_| !step.undoes) {
        if one > 0 {
            moments.push((Timing::First(one), changes(&|index| index == one)));
        }
        if one + 1 < count {
            moments.push((Timing::Last(one), changes(&|index| index != one)));
        }
    }
    moments
}
