//! Any `Cookie` lines: nothing panics, and what is taken out is out.
#![no_main]

use coalmine_filter::cookie::{Limits, scan, without};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let lines = || data.split(|byte| *byte == b'\n');
    let found = scan(lines(), &["featureflag", "f"], Limits::default());
    assert!(found.slots.iter().all(|slot| slot.first().is_none_or(|value| !value.is_empty())));
    if let Some(left) = without(lines(), |name, _| name == b"f") {
        assert!(!left.iter().any(u8::is_ascii_control));
        let limits = Limits { bytes: usize::MAX, pairs: usize::MAX };
        assert_eq!(scan([left.as_slice()].into_iter(), &["f"], limits).slot(0).count(), 0);
    }
});
