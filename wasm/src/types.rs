//! The TypeScript declarations of everything that crosses to JavaScript, derived from the wire types.

use coalmine::typescript::Declarations;

use crate::api;

/// The declarations, as `types.d.ts` has them.
#[must_use]
pub fn declarations() -> String {
    let mut all = Declarations::of_library();
    all.add::<api::WireUnits>();
    all.add::<api::LintOptions>();
    all.add::<api::GraphOptions>();
    all.add::<api::RouteQuestion>();
    all.add::<api::DecideQuestion>();
    all.add::<api::Followed<'static>>();
    all.add::<api::FindingOffset>();
    all.add::<api::FindingRange>();
    all.add::<api::Finding>();
    all.add::<api::FixOptions>();
    all.add::<api::TextFile>();
    all.add::<api::Fixed>();
    all.add::<api::RulePage>();
    format!("// Derived from the wire types by `cargo xtask docs`.\n\n{}\n", all.text())
}
