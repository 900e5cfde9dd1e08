//! Any token: nothing panics, and none verifies that was not signed.
#![no_main]

use coalmine_filter::token::{Binding, Keys, Purpose};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut keys = Keys::none();
    assert!(keys.add("k1", b"a key that no fuzzer knows: 5b1e", false));
    let binding = Binding { purpose: Purpose::Pin, place: b"pin", flag: b"f", subject: b"alice" };
    assert!(keys.verify(&binding, data, 0).is_err());
    if let Some(token) = std::str::from_utf8(data).ok().and_then(|value| keys.sign(&binding, value, 99)) {
        // Values too long for a token that is looked at are refused later; all others come back.
        let seen = keys.verify(&binding, token.as_bytes(), 0);
        assert_eq!(seen.is_ok_and(|seen| seen.value == data), token.len() <= coalmine_filter::token::TOKEN_BYTES);
    }
});
