//! The tags that a broken configuration names in a form or a place where none is read.
//!
//! A VirtualService matches on them no matter how broken the configuration is, so clients must not get to send them.
//! To strip too much does no harm where nothing is decided anyway, so all that could be meant counts.

use super::Config;
use super::fields::Text;
use super::lower::{intern, is_reserved};
use super::text::fault;
use super::tree::Tree;

/// What a tree is a part of.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Part {
    Top,
    Flags,
    Header,
}

/// Adds what `tree` names to what `config` strips.
#[inline(never)]
pub(super) fn salvage(tree: &Tree, part: Part, config: &mut Config) {
    for item in tree.items() {
        salvage(item, part, config);
    }
    for (name, value) in tree.fields() {
        let part = match (part, name.as_str()) {
            (Part::Top, "flags") => Part::Flags,
            (Part::Top, "tagsHeader" | "reasonHeader") | (Part::Flags, "header") => Part::Header,
            (Part::Top, "pluginConfig") | (Part::Flags, _) | (Part::Header, "name") => part,
            (Part::Top, "baggage") => {
                config.baggage |= !matches!(value, Tree::Null | Tree::Bool(false));
                continue;
            }
            (Part::Top, _) | (Part::Header, "values" | "emitStable") => continue,
            (Part::Header, _) => {
                tag(name, config);
                part
            }
        };
        salvage(value, part, config);
    }
    if part == Part::Header
        && let Some(text) = tree.as_str()
    {
        tag(text, config);
    }
}

/// Any token may be the name of a header, and the name of a cookie is just that.
fn tag(text: &str, config: &mut Config) {
    let name = text.trim().to_ascii_lowercase();
    if fault(Text::Cookie, &name).is_none() && !is_reserved(&name) {
        intern(&mut config.tags, &name);
    }
}
