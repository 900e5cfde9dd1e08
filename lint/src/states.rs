//! The states a deployment goes through: with a rollout, what is there after each step, as `kubectl apply`
//! and `kubectl delete` would leave it; without one, everything at once.

use std::borrow::Cow;

use rustc_hash::FxHashMap;

use crate::files::Files;
use crate::resource::Resource;
use crate::rollout::plan::covers;
use crate::settings::{Action, Settings};

/// The objects of one moment.
#[derive(Debug, Default)]
pub struct State<'a> {
    /// The step after which this is what is there; `None` without a rollout.
    pub step: Option<&'a str>,
    /// In the order in which they were applied.
    pub resources: Vec<&'a Resource>,
    /// Objects that one command applies twice: the later and the earlier.
    pub duplicates: Vec<(&'a Resource, &'a Resource)>,
}

type Key<'a> = (&'a str, &'a str, &'a str, &'a str);

/// Objects by key, in order of first appearance; removed ones leave a gap.
#[derive(Default)]
struct Cluster<'a> {
    slots: Vec<Option<&'a Resource>>,
    by_key: FxHashMap<Key<'a>, usize>,
}

impl<'a> Cluster<'a> {
    fn apply(&mut self, resource: &'a Resource) -> Option<&'a Resource> {
        // Objects without a name cannot replace one another.
        if resource.name.is_empty() {
            self.slots.push(Some(resource));
            return None;
        }
        match self.by_key.get(&resource.key()).and_then(|slot| self.slots.get_mut(*slot)) {
            Some(slot) => slot.replace(resource),
            None => {
                self.by_key.insert(resource.key(), self.slots.len());
                self.slots.push(Some(resource));
                None
            }
        }
    }

    /// Adds an object beside an earlier one of the same name: in a folder that is not applied in steps
    /// the two may be alternatives, and what either defines counts as defined.
    fn add(&mut self, resource: &'a Resource) -> Option<&'a Resource> {
        let named = !resource.name.is_empty();
        let earlier = self.by_key.get(&resource.key()).and_then(|slot| *self.slots.get(*slot)?);
        if named {
            self.by_key.insert(resource.key(), self.slots.len());
        }
        self.slots.push(Some(resource));
        earlier.filter(|_| named)
    }

    fn delete(&mut self, resource: &Resource) {
        if let Some(slot) = self.by_key.get(&resource.key()).and_then(|slot| self.slots.get_mut(*slot)) {
            *slot = None;
        }
        // What is in a namespace goes with it.
        let is_namespace = resource.key().1 == "Namespace" && resource.group().is_empty();
        if is_namespace && !resource.name.is_empty() {
            for slot in &mut self.slots {
                if slot.is_some_and(|held| held.namespace() == resource.name.as_str()) {
                    *slot = None;
                }
            }
        }
    }

    fn resources(&self) -> Vec<&'a Resource> {
        self.slots.iter().copied().flatten().collect()
    }
}

/// The states that the input touches, in order; at least one. Files that are only context add objects and
/// no states.
#[must_use]
pub fn states<'a>(files: &Files, resources: &'a [Resource], settings: &'a Settings) -> Vec<State<'a>> {
    let names: Vec<String> = files
        .iter()
        .map(|(_, file)| settings.relative(file.name()).map(Cow::into_owned).unwrap_or_default())
        .collect();
    let name_of = |resource: &Resource| names.get(resource.span.file.0 as usize).map_or("", String::as_str);
    let covered: Vec<&str> = settings.rollout_paths().collect();
    let mut cluster = Cluster::default();
    let mut duplicates = Vec::new();
    for resource in resources {
        if !covered.iter().any(|path| covers(path, name_of(resource))) {
            duplicates.extend(cluster.add(resource).map(|earlier| (resource, earlier)));
        }
    }
    let mut states = Vec::new();
    let mut is_partial = false;
    for step in &settings.rollout {
        let given = |path: &String| resources.iter().any(|resource| covers(path, name_of(resource)));
        let mut applied = step.actions.iter().filter_map(|action| match action {
            Action::Apply(paths) => Some(paths),
            Action::Delete(_) => None,
        });
        let only_deletes = applied.clone().next().is_none();
        let is_absent = if only_deletes { is_partial } else { !applied.any(|paths| paths.iter().any(given)) };
        // Of a step that is not in the input only the deletions would be left, which is no state at all.
        if is_absent {
            is_partial = true;
            continue;
        }
        let mut touched = only_deletes;
        let mut step_duplicates = duplicates.clone();
        for action in &step.actions {
            // Each action is a command of its own, and the next may well replace what the last one applied.
            let mut in_action: FxHashMap<Key<'a>, &'a Resource> = FxHashMap::default();
            let (Action::Apply(paths) | Action::Delete(paths)) = action;
            for path in paths {
                let mut chosen: Vec<&Resource> =
                    resources.iter().filter(|resource| covers(path, name_of(resource))).collect();
                // `kubectl apply -f FOLDER` goes by file name.
                chosen.sort_by(|a, b| name_of(a).cmp(name_of(b)).then(a.span.start.cmp(&b.span.start)));
                for resource in chosen {
                    match action {
                        Action::Apply(_) => {
                            touched |= !files.is_context(resource.span.file);
                            cluster.apply(resource);
                            if !resource.name.is_empty()
                                && let Some(earlier) = in_action.insert(resource.key(), resource)
                            {
                                step_duplicates.push((resource, earlier));
                            }
                        }
                        Action::Delete(_) => cluster.delete(resource),
                    }
                }
            }
        }
        if touched {
            states.push(State {
                step: Some(&step.name),
                resources: cluster.resources(),
                duplicates: step_duplicates,
            });
        }
    }
    if states.is_empty() {
        states.push(State { step: None, resources: cluster.resources(), duplicates });
    }
    states
}

#[cfg(test)]
mod tests;
