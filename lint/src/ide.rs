//! What an editor asks about a place in a text: what it names, where that is defined and used, what could stand
//! there, and what can be done about a finding. Bytes in and out; knows no protocol, so that the language server
//! and the browser answer alike.

mod completion;
mod definition;
mod hover;
mod lens;
mod locate;
mod suppression;
mod symbols;

pub use completion::{Completion, Item, ItemKind, completion};
pub use definition::{definitions, references};
pub use hover::{Hover, hover, rule_at, rule_page};
pub use lens::{Lens, lenses};
pub use suppression::suppression;
pub use symbols::{Symbol, SymbolKind, symbols};

use crate::diagnostic::Edit;
use crate::incremental::Incremental;
use crate::linter::Input;
use crate::mesh::Mesh;
use crate::resource::Resource;
use crate::span::{FileId, Span};
use crate::states::states;

/// The state that a place is asked about.
struct View<'a> {
    input: &'a Input,
    mesh: Mesh<'a>,
}

/// Asks about a place in the last state of the rollout that has the object there, else in the last of all.
fn view<R>(deployment: &Incremental, place: Span, ask: impl FnOnce(&View<'_>) -> R) -> R {
    let (files, settings, input) = (deployment.files(), deployment.settings(), deployment.input());
    let config = input.mesh_config(settings);
    let mut states = states(files, &input.resources, settings);
    let has_it = |resources: &[&Resource]| resources.iter().any(|resource| resource.span.contains(place));
    let chosen = states.iter().rposition(|state| has_it(&state.resources));
    let last = states.iter().rposition(|state| !state.resources.is_empty());
    let state = match chosen.or(last) {
        Some(index) => states.swap_remove(index),
        None => crate::states::State::default(),
    };
    ask(&View { input, mesh: Mesh::new(state.resources, &config, settings.assume) })
}

/// The one replacement that turns a text into another; `None` when they are equal.
#[must_use]
pub fn difference(file: FileId, old: &str, new: &str) -> Option<Edit> {
    if old == new {
        return None;
    }
    let equal = |(a, b): &(char, char)| a == b;
    let start: usize = old.chars().zip(new.chars()).take_while(equal).map(|(a, _)| a.len_utf8()).sum();
    let (old_rest, new_rest) = (old.get(start..)?, new.get(start..)?);
    let backwards = old_rest.chars().rev().zip(new_rest.chars().rev());
    let end: usize = backwards.take_while(equal).map(|(a, _)| a.len_utf8()).sum();
    let place = |offset: usize| u32::try_from(offset).ok();
    Some(Edit {
        span: Span::new(file, place(start)?, place(old.len() - end)?),
        text: new_rest.get(..new_rest.len() - end)?.to_owned(),
    })
}

#[cfg(test)]
mod tests;
