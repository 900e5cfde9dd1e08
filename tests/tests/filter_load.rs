//! Half a minute of load with changing cookies: no error, every decision right, memory flat after warm-up.

use std::time::Duration;

use coalmine_tests::bootstrap::{Bootstrap, Plugin};
use coalmine_tests::envoy::Envoy;
use coalmine_tests::http1::{self, Response};
use coalmine_tests::load::{self, Until};
use coalmine_tests::on_each_envoy;
use coalmine_tests::policy::{self, CANARY, TAG};
use coalmine_tests::upstream::Upstream;
use serde_json::json;

on_each_envoy!(half_a_minute_of_changing_cookies);

/// What a leak of a hundred bytes a request would pass within the run, and the allocator's own drift does not.
const GROWTH_LIMIT: u64 = 2 << 20;

fn half_a_minute_of_changing_cookies(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let mut policy = policy::rollout("checkout", 50.0);
    policy["subject"] = json!([{ "header": "x-user-id" }, { "generate": {} }]);
    policy["flags"][0]["sticky"] = json!("pin");
    policy["flags"][0]["optIn"] =
        json!({ "cookie": { "name": "featureflag", "value": "on", "optOut": ["off"], "expire": true } });
    policy["flags"][0]["deny"] = json!({ "headers": { "x-team": "blocked" } });
    policy["flags"][0]["response"] = json!({ "header": "x-variant" });
    let mut plugin = Plugin::new(&policy);
    plugin.env = vec![("COALMINE_KEY_K1".to_owned(), "0123456789abcdef0123456789abcdef".to_owned())];
    let bootstrap = Bootstrap::canary(TAG, CANARY, v1.address, v2.address).filter(plugin.filter());
    let envoy = Envoy::start(version, &bootstrap);
    let run = |seconds| {
        let outcome =
            load::run(envoy.address(), 8, Until::Time(Duration::from_secs(seconds)), request, check);
        assert_eq!(outcome.failed, 0, "of {}: {:?}", outcome.answered, outcome.errors);
        outcome.answered
    };
    let mut answered = run(10);
    let warm = envoy.resident();
    answered += run(20);
    let end = envoy.resident();
    println!("Envoy {version}: {answered} requests, resident {warm:?} -> {end:?}");
    if let (Some(warm), Some(end)) = (warm, end) {
        assert!(end <= warm + GROWTH_LIMIT, "resident {warm} -> {end} after {answered} requests");
    }
    let metrics = envoy.metrics();
    assert_eq!(metrics.sum("coalmine_decisions_total", &[]), 0.0, "no such name without extraStatTags");
    assert_eq!(metrics.sum("envoy_wasm_istio_ingress_coalmine_vm_reload", &[]), 0.0, "a VM died");
    assert_eq!(metrics.sum("config_errors", &[]), 0.0);
}

/// The n-th request; what must become of it follows from `n % 6`.
fn request(number: u64, bytes: &mut Vec<u8>) {
    let padding = "p".repeat((number * 37 % 900) as usize);
    let user = format!("user-{number}");
    let cookie = match number % 6 {
        0 | 4 => format!("a={number}; featureflag=on; b={padding}"),
        1 => format!("featureflag=off; a={padding}"),
        2 => format!("featureflag=\u{fffd}{number}; {padding}; =; checkout={number}"),
        3 => format!("__Host-coalmine=1.k1.{number}.x.y; __Host-coalmine-checkout={padding}"),
        _ => format!("{padding}; {}", "c=1; ".repeat((number % 200) as usize)),
    };
    let mut headers: Vec<(&str, &[u8])> = vec![("Cookie", cookie.as_bytes()), (TAG, b"canary")];
    if number % 6 != 3 {
        headers.push(("X-User-Id", user.as_bytes()));
    }
    if number % 6 == 4 {
        headers.push(("X-Team", b"blocked"));
    }
    bytes.extend(http1::request("GET", "/", &headers));
}

fn check(number: u64, answer: &Response) -> Result<(), String> {
    if answer.status != 200 {
        return Err(format!("status {}", answer.status));
    }
    let echo = answer.echo();
    let tags = echo.all(TAG);
    let expected = match number % 6 {
        0 => Some("v2"),
        1 | 4 => Some("v1"),
        _ => None, // the hash decides
    };
    let consistent = if echo.version == "v2" { tags == [CANARY] } else { tags.is_empty() };
    if !consistent || expected.is_some_and(|expected| expected != echo.version) {
        return Err(format!("case {}: {} with {tags:?}", number % 6, echo.version));
    }
    let cookies = answer.all("set-cookie").join("\n");
    let wanted: &[&str] = match number % 6 {
        3 => &["__Host-coalmine=", "coalmine-checkout="],
        4 => &["featureflag=;"],
        _ => &[],
    };
    match wanted.iter().find(|part| !cookies.contains(**part)) {
        Some(part) => Err(format!("case {}: no {part} in {cookies:?}", number % 6)),
        None => Ok(()),
    }
}
