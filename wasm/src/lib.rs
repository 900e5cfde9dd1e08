//! The linter for browsers and editors, through wasm-bindgen: what JavaScript calls, and nothing else. Values cross as
//! JSON, so that they are those of the command line to the letter; their TypeScript types are derived from the same
//! Rust types (`types.d.ts`).

pub mod api;
mod bindings;
mod taken;
#[cfg(feature = "ts")]
pub mod types;
