//! Any configuration: nothing panics, it always strips something, and messages fit a log line.
#![no_main]

use coalmine_filter::config::{Config, Severity};
use coalmine_filter::keys;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (mut config, problems) = Config::parse(data);
    assert!(!config.tags.is_empty());
    assert_eq!(config.inert, problems.iter().any(|problem| problem.severity == Severity::Error));
    assert!(problems.iter().all(|problem| !problem.to_string().chars().any(char::is_control)));
    let _ = keys::load(&mut config, |_| None);
});
