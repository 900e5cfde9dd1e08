//! The `pluginConfig`s that several tests, the benchmark and the demo share.

use serde_json::{Value, json};

/// The tag header of all of them.
pub const TAG: &str = "x-canary";
/// The tag's value for the canary, and the variant's name.
pub const CANARY: &str = "canary";

/// The voting application: whoever has the cookie `featureflag=on` is in the canary.
pub fn voting() -> Value {
    json!({ "flags": [{ "name": "voting", "header": TAG, "optIn": voting_cookie() }] })
}

/// The opt-in of the voting application, for policies that have more.
pub fn voting_cookie() -> Value {
    json!({ "cookie": { "name": "featureflag", "value": "on" } })
}

/// A sticky rollout of this many percent, by the subject in `x-user-id`.
pub fn rollout(flag: &str, percent: f64) -> Value {
    json!({
        "subject": [{ "header": "x-user-id" }],
        "flags": [{ "name": flag, "header": TAG, "rollout": { CANARY: percent } }],
    })
}
