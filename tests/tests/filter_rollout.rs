//! Sticky rollout through Envoy: the split, the ramp that evicts nobody, and flags that do not depend on each other.
//!
//! The hash has no seed that changes between runs, so these outcomes are the same every time; the statistics over
//! 100,000 subjects are in the filter's own tests.

use std::collections::BTreeSet;

use coalmine_tests::bootstrap::{Bootstrap, Plugin};
use coalmine_tests::ecds::Ecds;
use coalmine_tests::envoy::Envoy;
use coalmine_tests::load::{self, Until};
use coalmine_tests::policy::{self, CANARY, TAG};
use coalmine_tests::upstream::Upstream;
use coalmine_tests::{http1, on_each_envoy};
use serde_json::json;

on_each_envoy!(
    a_ramp_widens_to_its_share_and_evicts_nobody,
    two_flags_are_independent,
    without_a_subject_nobody_is_in_the_canary,
    the_clients_address_is_a_subject,
    a_subject_keeps_its_variant_over_connections_workers_and_restarts,
);

const SUBJECTS: u64 = 2000;

/// Which of the subjects have this header at the upstream.
fn members(envoy: &Envoy, header: &str) -> BTreeSet<u64> {
    let mut members = BTreeSet::new();
    let request = |number: u64, bytes: &mut Vec<u8>| {
        let subject = format!("user-{number}");
        bytes.extend(http1::request("GET", "/", &[("X-User-Id", subject.as_bytes())]));
    };
    let outcome = load::run(envoy.address(), 8, Until::Count(SUBJECTS), request, |number, answer| {
        let echo = answer.echo();
        if !echo.all(header).is_empty() {
            members.insert(number);
        }
        let tagged = echo.all(TAG) == [CANARY];
        let version = if tagged { "v2" } else { "v1" };
        if echo.version == version {
            Ok(())
        } else {
            Err(format!("{} with {:?}", echo.version, echo.all(TAG)))
        }
    });
    assert_eq!((outcome.failed, outcome.answered), (0, SUBJECTS), "{:?}", outcome.errors);
    members
}

fn a_ramp_widens_to_its_share_and_evicts_nobody(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let plugin = |percent| Plugin::new(&policy::rollout("checkout", percent));
    let mut ecds = Ecds::new(&plugin(0.0));
    let bootstrap = Bootstrap::canary(TAG, CANARY, v1.address, v2.address).filter(ecds.filter());
    let envoy = Envoy::start(version, &bootstrap);
    let mut before = members(&envoy, TAG);
    assert_eq!(before.len(), 0, "0 %");
    for (push, percent) in (2..).zip([1.0, 5.0, 25.0, 100.0]) {
        ecds.push(&plugin(percent));
        ecds.judged(&envoy, push);
        let now = members(&envoy, TAG);
        let evicted: Vec<_> = before.difference(&now).collect();
        assert!(evicted.is_empty(), "{percent} % evicted {evicted:?}");
        // Five standard deviations of the binomial: the outcome is fixed, so this never flickers.
        let (count, share) = (SUBJECTS as f64, percent / 100.0);
        let allowed = 5.0 * (count * share * (1.0 - share)).sqrt();
        let off = (now.len() as f64 - count * share).abs();
        assert!(off <= allowed, "{percent} % gave {} of {SUBJECTS}", now.len());
        before = now;
    }
}

fn two_flags_are_independent(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let policy = json!({
        "subject": [{ "header": "x-user-id" }],
        "flags": [
            { "name": "checkout", "header": TAG, "rollout": { CANARY: 50 } },
            { "name": "search", "header": "x-search", "rollout": { "blue": 50 } },
        ],
    });
    let bootstrap = Bootstrap::canary(TAG, CANARY, v1.address, v2.address).plugin(&policy);
    let envoy = Envoy::start(version, &bootstrap);
    let (checkout, search) = (members(&envoy, TAG), members(&envoy, "x-search"));
    let both = checkout.intersection(&search).count() as f64;
    let (a, b, all) = (checkout.len() as f64, search.len() as f64, SUBJECTS as f64);
    // Pearson's χ² of the 2×2 table; 10.8 is its 99.9 % point at one degree of freedom.
    let cells = [(both, a * b), (a - both, a * (all - b)), (b - both, (all - a) * b)];
    let rest = (all - a - b + both, (all - a) * (all - b));
    let chi: f64 = cells
        .into_iter()
        .chain([rest])
        .map(|(seen, product)| {
            let expected = product / all;
            (seen - expected).powi(2) / expected
        })
        .sum();
    assert!(chi < 10.8, "χ² = {chi}: {both} in both, {a} and {b} of {all}");
}

fn without_a_subject_nobody_is_in_the_canary(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    // At 99 % an accidental hash of nothing would be in the canary: murmur3 of nothing is bucket 0.
    let bootstrap =
        Bootstrap::canary(TAG, CANARY, v1.address, v2.address).plugin(&policy::rollout("checkout", 99.0));
    let envoy = Envoy::start(version, &bootstrap);
    for headers in [&[][..], &[("X-User-Id", b"".as_slice())], &[("Cookie", b"x-user-id=1")]] {
        let echo = envoy.connect().get("/", headers).echo();
        assert_eq!((echo.version.as_str(), echo.all(TAG)), ("v1", vec![]), "{headers:?}");
    }
}

fn the_clients_address_is_a_subject(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let ask = |header: &str, address: &str, headers: &[(&str, &[u8])]| {
        let policy = json!({
            "trust": { "clientIpHeader": header },
            "subject": [{ "clientIp": true }],
            "flags": [{ "name": "f", "header": TAG, "allow": { "subjects": [address] } }],
        });
        let bootstrap = Bootstrap::canary(TAG, CANARY, v1.address, v2.address).plugin(&policy);
        let envoy = Envoy::start(version, &bootstrap);
        let response = envoy.connect().get("/", headers);
        (response.echo().version, response.all("vary"))
    };
    let forged: (&str, &[u8]) = ("client-ip", b"203.0.113.7");
    assert_eq!(ask("none", "127.0.0.1", &[]), ("v2".into(), vec!["*".into()]), "without the port");
    assert_eq!(ask("none", "203.0.113.7", &[forged]).0, "v1");
    let told: (&str, &[u8]) = ("X-Real-Ip", b"203.0.113.7");
    assert_eq!(ask("x-real-ip", "203.0.113.7", &[told]), ("v2".into(), vec!["x-real-ip".into()]));
    assert_eq!(ask("x-real-ip", "127.0.0.1", &[told]).0, "v1");
}

fn a_subject_keeps_its_variant_over_connections_workers_and_restarts(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let mut bootstrap =
        Bootstrap::canary(TAG, CANARY, v1.address, v2.address).plugin(&policy::rollout("checkout", 50.0));
    bootstrap.concurrency = 2;
    let decide = || -> Vec<String> {
        let envoy = Envoy::start(version, &bootstrap);
        let subjects = (0..40).map(|number| format!("user-{}", number % 20));
        subjects
            .map(|subject| envoy.connect().get("/", &[("X-User-Id", subject.as_bytes())]).echo().version)
            .collect()
    };
    let first = decide();
    assert_eq!(first[..20], first[20..], "another connection, another answer");
    assert!(first.contains(&"v1".to_owned()) && first.contains(&"v2".to_owned()));
    assert_eq!(first, decide(), "a restart changed answers");
}
