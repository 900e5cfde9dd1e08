//! Which rules of the VirtualServices any expectation went through. Knows places, not expectations.

use std::collections::BTreeMap;

use rustc_hash::FxHashSet;

use crate::diagnostic::ResourceName;
use crate::mesh::Mesh;
use crate::mesh::routes::RouteKind;
use crate::route::{HopKind, Trace};
use crate::span::{FileId, Span};

/// The rules of all states that were asked about, each place once.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Coverage {
    /// In the order of the text.
    pub rules: Vec<RuleUse>,
}

impl Coverage {
    /// How many were gone through.
    #[must_use]
    pub fn exercised(&self) -> usize {
        self.rules.iter().filter(|rule| rule.exercised).count()
    }

    /// As a number from 0 to 100; `None` when there is no rule.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn percent(&self) -> Option<f64> {
        match self.rules.len() {
            0 => None,
            all => Some(self.exercised() as f64 * 100.0 / all as f64),
        }
    }

    /// Whether less than this many percent were gone through. Where there is no rule nothing is left out.
    #[must_use]
    pub fn is_less_than(&self, percent: f64) -> bool {
        self.percent().is_some_and(|own| own < percent)
    }
}

/// One rule and whether any request took it.
#[derive(Clone, PartialEq, Debug)]
pub struct RuleUse {
    /// The VirtualService.
    pub object: ResourceName,
    /// Its list.
    pub kind: RouteKind,
    /// The place in the list, from 0.
    pub index: usize,
    /// The place in the text.
    pub span: Span,
    /// Whether any request took it.
    pub exercised: bool,
}

#[derive(Default)]
pub(super) struct Builder {
    rules: BTreeMap<(FileId, u32), RuleUse>,
    taken: FxHashSet<Span>,
}

impl Builder {
    /// Adds the rules of a state.
    pub(super) fn add_state(&mut self, mesh: &Mesh<'_>) {
        for service in mesh.routes.iter() {
            for (kind, index) in service.rules() {
                let Some(span) = service.rule_span(kind, index) else { continue };
                self.rules.entry((span.file, span.start)).or_insert_with(|| RuleUse {
                    object: crate::rule::name_of(service.resource),
                    kind,
                    index,
                    span,
                    exercised: false,
                });
            }
        }
    }

    /// Marks the rules of a way.
    pub(super) fn add_trace(&mut self, trace: &Trace) {
        let hops = trace.paths.iter().flat_map(|path| &path.hops);
        let rules = hops.filter(|hop| matches!(hop.kind, HopKind::VirtualService | HopKind::Delegate));
        self.taken.extend(rules.filter_map(|hop| hop.span));
    }

    /// Marks the rule at a place.
    pub(super) fn add_rule(&mut self, span: Span) {
        self.taken.insert(span);
    }

    pub(super) fn finish(self) -> Coverage {
        let mut rules: Vec<RuleUse> = self.rules.into_values().collect();
        for taken in self.taken {
            // A place is the rule or a match block in it; the last rule that begins before it is the one.
            let at =
                rules.partition_point(|rule| (rule.span.file, rule.span.start) <= (taken.file, taken.start));
            let rule = at.checked_sub(1).and_then(|before| rules.get_mut(before));
            if let Some(rule) = rule.filter(|rule| rule.span.contains(taken)) {
                rule.exercised = true;
            }
        }
        Coverage { rules }
    }
}
