//! What a rollout does, command by command, and what each command changes in a given state. Knows
//! `kubectl apply` and `kubectl delete`, nothing of what the objects mean.

use std::borrow::Cow;

use rustc_hash::FxHashMap;

use crate::files::Files;
use crate::resource::{Resource, Spec};
use crate::settings::{Action, Settings};
use crate::span::{FileId, Span};
use crate::yaml::{Document, NodeRef};

/// What a command does with its files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// `kubectl apply -f`
    Apply,
    /// `kubectl delete -f`
    Delete,
}

impl Verb {
    /// `apply` or `delete`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Delete => "delete",
        }
    }
}

/// One `kubectl` command: an action of a step.
#[derive(Clone, Debug)]
pub struct Command<'a> {
    /// What it does.
    pub verb: Verb,
    /// Its paths, relative to the folder of `coalmine.yaml`.
    pub paths: Vec<String>,
    /// The objects in them, in the order in which `kubectl` takes them, with the path of each.
    pub objects: Vec<(&'a Resource, usize)>,
    /// Where each path is written in `coalmine.yaml`; empty without one.
    pub entries: Vec<Span>,
    /// The step and action of the written order that it comes from.
    pub origin: (usize, usize),
}

/// One step.
#[derive(Clone, Debug)]
pub struct PlannedStep<'a> {
    /// Its name.
    pub name: String,
    /// What it does, in order.
    pub commands: Vec<Command<'a>>,
}

/// A whole rollout.
#[derive(Clone, Debug, Default)]
pub struct Plan<'a> {
    /// Objects of the input that no step touches: they are there all the time.
    pub around: Vec<&'a Resource>,
    /// The steps.
    pub steps: Vec<PlannedStep<'a>>,
}

/// One object that a command replaces, adds or removes.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// What was there.
    pub old: Option<&'a Resource>,
    /// What is there afterwards.
    pub new: Option<&'a Resource>,
}

/// One object of a command with everything that changes when `kubectl` gets to it: a Namespace takes along
/// what is in it.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    /// The object that the command names.
    pub resource: &'a Resource,
    /// Where `coalmine.yaml` names its file.
    pub entry: Option<Span>,
    /// What changes.
    pub changes: Vec<Change<'a>>,
}

impl Object<'_> {
    /// Whether a place is in the object, before or after, or where the order names it.
    #[must_use]
    pub fn holds(&self, span: Span) -> bool {
        let objects = || self.changes.iter().flat_map(|change| [change.new, change.old]).flatten();
        self.entry == Some(span) || objects().any(|own| own.span.contains(span))
    }
}

/// A command on a certain state.
#[derive(Clone, Debug)]
pub struct Move<'a> {
    /// The command as a person would say it: ``apply 2-update/a.yaml``.
    pub text: String,
    /// What it does with its objects.
    pub verb: Verb,
    /// Its objects, in order, without those that it leaves as they are.
    pub objects: Vec<Object<'a>>,
    /// Whether it takes back what a step did.
    pub undoes: bool,
}

/// Whether a path of a step covers a file: the file itself, or a folder above it.
#[must_use]
pub fn covers(path: &str, file: &str) -> bool {
    path == "." || file.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl<'a> Plan<'a> {
    /// Reads the order of the settings. `order` is the text of `coalmine.yaml`, if it is among the files.
    #[must_use]
    pub fn new(
        files: &Files,
        documents: &[Document],
        resources: &'a [Resource],
        settings: &Settings,
        order: Option<FileId>,
    ) -> Self {
        let names: Vec<String> = files
            .iter()
            .map(|(_, file)| settings.relative(file.name()).map(Cow::into_owned).unwrap_or_default())
            .collect();
        let name_of = |resource: &Resource| names.get(resource.span.file.index()).map_or("", String::as_str);
        let covered: Vec<&str> = settings.rollout_paths().collect();
        let is_around = |resource: &&'a Resource| {
            Some(resource.span.file) != order && !covered.iter().any(|path| covers(path, name_of(resource)))
        };
        let entries = order.map(|order| entries(documents, order)).unwrap_or_default();
        let mut plan = Self { around: resources.iter().filter(is_around).collect(), steps: Vec::new() };
        for (number, step) in settings.rollout.iter().enumerate() {
            let mut commands = Vec::new();
            for (index, action) in step.actions.iter().enumerate() {
                let (verb, paths) = match action {
                    Action::Apply(paths) => (Verb::Apply, paths),
                    Action::Delete(paths) => (Verb::Delete, paths),
                };
                let mut objects = Vec::new();
                for (position, path) in paths.iter().enumerate() {
                    let mut chosen: Vec<&Resource> =
                        resources.iter().filter(|resource| covers(path, name_of(resource))).collect();
                    // `kubectl apply -f FOLDER` goes by file name.
                    chosen.sort_by(|a, b| name_of(a).cmp(name_of(b)).then(a.span.start.cmp(&b.span.start)));
                    objects.extend(chosen.into_iter().map(|resource| (resource, position)));
                }
                let written = entries.get(number).and_then(|step| step.get(index)).cloned();
                commands.push(Command {
                    verb,
                    paths: paths.clone(),
                    objects,
                    entries: written.unwrap_or_default(),
                    origin: (number, index),
                });
            }
            plan.steps.push(PlannedStep { name: step.name.clone(), commands });
        }
        plan
    }
}

/// For each step and action the places of its paths.
fn entries(documents: &[Document], order: FileId) -> Vec<Vec<Vec<Span>>> {
    let root = documents.iter().filter(|document| document.file() == order).find_map(Document::root);
    let Some(rollout) = root.and_then(|root| root.get("rollout")) else { return Vec::new() };
    let of_action = |action: NodeRef<'_>| {
        let paths = action.get("apply").or_else(|| action.get("delete"));
        paths.map_or_else(Vec::new, |paths| match paths.is_sequence() {
            true => paths.items().map(NodeRef::span).collect(),
            false => vec![paths.span()],
        })
    };
    rollout
        .items()
        .map(|step| match step.get("actions") {
            Some(actions) => actions.items().map(of_action).collect(),
            None => vec![vec![step.span()]],
        })
        .collect()
}

impl<'a> Command<'a> {
    /// The command as a person would say it.
    #[must_use]
    pub fn text(&self) -> String {
        let paths = match self.paths.as_slice() {
            [one] => one.clone(),
            [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
            [] => String::new(),
        };
        format!("{} {paths}", self.verb.as_str())
    }

    /// What it changes in a state. Objects that stay as they are are left out.
    #[must_use]
    pub fn on(&self, files: &Files, state: &[&'a Resource]) -> Move<'a> {
        let mut now: Vec<&'a Resource> = state.to_vec();
        let mut objects = Vec::new();
        for (resource, position) in &self.objects {
            let same = |held: &&'a Resource| !held.name.is_empty() && held.key() == resource.key();
            let old = now.iter().copied().find(same);
            let mut changes = Vec::new();
            match self.verb {
                Verb::Apply if old.is_some_and(|old| is_unchanged(files, old, resource)) => {}
                Verb::Apply => changes.push(Change { old, new: Some(resource) }),
                Verb::Delete => {
                    changes.extend(old.map(|old| Change { old: Some(old), new: None }));
                    // What is in a namespace goes with it.
                    if matches!(resource.spec, Spec::Namespace) && !resource.name.is_empty() {
                        let inside = now.iter().filter(|held| held.namespace() == resource.name.as_str());
                        changes.extend(inside.map(|held| Change { old: Some(held), new: None }));
                    }
                }
            }
            if changes.is_empty() {
                continue;
            }
            now = after(&now, &changes, true);
            let entry = self.entries.get(*position).copied();
            objects.push(Object { resource, entry, changes });
        }
        Move { text: self.text(), verb: self.verb, objects, undoes: false }
    }
}

impl<'a> Move<'a> {
    /// Takes the command back: the older version of what it changed, in the opposite order.
    #[must_use]
    pub fn undo(&self) -> Self {
        let back = |object: &Object<'a>| {
            let changes = object.changes.iter().rev();
            let changes = changes.map(|change| Change { old: change.new, new: change.old });
            Object { resource: object.resource, entry: object.entry, changes: changes.collect() }
        };
        Self {
            text: format!("undo {}", self.text),
            verb: match self.verb {
                Verb::Apply => Verb::Delete,
                Verb::Delete => Verb::Apply,
            },
            objects: self.objects.iter().rev().map(back).collect(),
            undoes: true,
        }
    }

    /// Every change.
    pub fn changes(&self) -> impl Iterator<Item = &Change<'a>> {
        self.objects.iter().flat_map(|object| &object.changes)
    }
}

/// Whether applying an object changes nothing, as far as its text tells.
fn is_unchanged(files: &Files, old: &Resource, new: &Resource) -> bool {
    let text =
        |resource: &Resource| files.text(resource.span.file).get(resource.span.range()).map(str::trim_end);
    text(old) == text(new)
}

/// Whether an object counts only when its command has settled: pods must start first, and a namespace's label for
/// injection means nothing to pods that run already.
#[must_use]
pub fn waits(resource: &Resource) -> bool {
    matches!(resource.spec, Spec::Workload(_) | Spec::Namespace)
}

/// A state after some changes. Until a command has settled, the pods that it makes are not ready, and of a
/// workload or namespace that it changes the old pods still answer.
#[must_use]
pub fn after<'a, 'c>(
    state: &[&'a Resource],
    changes: impl IntoIterator<Item = &'c Change<'a>>,
    settled: bool,
) -> Vec<&'a Resource>
where
    'a: 'c,
{
    let mut slots: Vec<Option<&'a Resource>> = state.iter().copied().map(Some).collect();
    let place = |(index, resource): (usize, &&'a Resource)| (std::ptr::from_ref(*resource), index);
    let mut places: FxHashMap<*const Resource, usize> = state.iter().enumerate().map(place).collect();
    for change in changes {
        let is_pending = !settled && change.new.is_some_and(waits);
        if is_pending {
            continue;
        }
        let held = change.old.and_then(|old| places.remove(&std::ptr::from_ref(old)));
        let index = match held.and_then(|index| Some((index, slots.get_mut(index)?))) {
            Some((index, slot)) => {
                *slot = change.new;
                index
            }
            None => {
                slots.extend(change.new.map(Some));
                slots.len().saturating_sub(1)
            }
        };
        if let Some(new) = change.new {
            places.insert(std::ptr::from_ref(new), index);
        }
    }
    slots.into_iter().flatten().collect()
}
