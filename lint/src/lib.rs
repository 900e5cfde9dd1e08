//! Lints the routing and mTLS manifests of an Istio deployment, offline.
//!
//! The library does no I/O: a shell reads texts into [`Files`], calls [`lint`] and renders the [`Report`].
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::print_stdout,
        clippy::print_stderr
    )
)]

pub mod baseline;
mod cookie;
pub mod decide;
pub mod deployments;
mod diagnostic;
pub mod expect;
mod files;
mod fingerprint;
pub mod fix;
pub mod graph;
pub mod ide;
mod incremental;
pub mod line_index;
mod linter;
pub mod mesh;
pub mod plugin;
mod re2;
pub mod render;
pub mod report;
pub mod resource;
pub mod rollout;
pub mod route;
pub mod rule;
pub mod rules;
pub mod schema;
pub mod settings;
mod shape;
mod span;
pub mod states;
mod suppress;
#[cfg(test)]
mod testing;
pub mod tls_check;
#[cfg(feature = "ts")]
pub mod typescript;
pub mod yaml;

pub use diagnostic::{Diagnostic, Edit, Fix, Related, ResourceName, Safety, Severity};
pub use files::{File, Files};
pub use incremental::Incremental;
pub use linter::{Input, lint, misread};
pub use report::{Linted, Report, Summary};
pub use settings::Settings;
pub use span::{FileId, Span, Spanned};
