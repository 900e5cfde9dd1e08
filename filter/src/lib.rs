//! The canary filter: decides who is in a canary, tags the request and protects the tag.
//!
//! Everything but [`host`](self) is pure: bytes, a clock value and a source of randomness go in, a
//! [`decide::Decision`] and its [`effects::Effects`] come out. The linter and `coalmine decide` run exactly the
//! code that Envoy runs. Nothing here may panic on any input, do I/O, or depend on the order of a JSON object:
//! Istio carries the configuration as a protobuf `Struct`, which keeps none.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub use coalmine_filter_config as config;

pub mod bucket;
pub mod cookie;
pub mod decide;
pub mod effects;
#[cfg(any(test, target_os = "wasi"))]
mod faults;
#[cfg(target_os = "wasi")]
mod host;
pub mod keys;
pub mod token;
