//! The linter explains requests with the filter's code run natively; this holds Envoy to the same answers.
//!
//! Requests are generated from a fixed seed, so a failure repeats.

use coalmine_filter::config::Config;
use coalmine_filter::decide::{Ambient, Request, decide};
use coalmine_filter::effects::effects;
use coalmine_filter::token::Keys;
use coalmine_tests::bootstrap::Bootstrap;
use coalmine_tests::envoy::Envoy;
use coalmine_tests::on_each_envoy;
use coalmine_tests::policy::{CANARY, TAG};
use coalmine_tests::upstream::Upstream;
use serde_json::{Value, json};

on_each_envoy!(envoy_and_the_library_decide_alike);

const REQUESTS: usize = 600;

fn policy() -> Value {
    json!({
        "subject": [{ "header": "x-user-id" }, { "cookie": "uid", "trusted": true }],
        "reasonHeader": "x-canary-reason",
        "flags": [
            {
                "name": "checkout", "header": TAG,
                "when": { "paths": ["/shop/**"], "methods": ["GET"] },
                "deny": { "headers": { "x-team": "blocked" } },
                "optIn": { "cookie": { "name": "featureflag", "value": "on", "optOut": ["off"] } },
                "rollout": { CANARY: 30, "holdback": 10 },
                "layer": { "name": "one", "range": [0, 60] },
            },
            {
                "name": "search", "header": "x-search",
                "allow": { "subjects": ["user-3"], "cookies": { "beta": "yes" } },
                "rollout": { "blue": 20, "green": 20 },
                "layer": { "name": "one", "range": [60, 100] },
            },
        ],
    })
}

/// Knuth's linear congruential generator: enough to choose among a few things, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

fn envoy_and_the_library_decide_alike(version: &str) {
    let policy = policy();
    let (config, problems) = Config::from_value(&policy);
    assert!(!config.inert, "{problems:?}");
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let mut bootstrap = Bootstrap::canary(TAG, CANARY, v1.address, v2.address).plugin(&policy);
    bootstrap.access_log = Some("%FILTER_STATE(wasm.coalmine:PLAIN)%".to_owned());
    let envoy = Envoy::start(version, &bootstrap);
    let mut client = envoy.connect();
    let mut random = Random(20_261_121);
    let mut expected = Vec::new();
    for _ in 0..REQUESTS {
        let path = random.pick(&["/shop/cart", "/shop/", "/shop", "/", "/shop/a?b=c", "/other/shop/"]);
        let mut headers: Vec<(&str, String)> = Vec::new();
        if random.below(3) > 0 {
            headers.push(("x-user-id", format!("user-{}", random.below(40))));
        }
        for _ in 0..random.below(3) {
            let pairs = [
                "featureflag=on",
                "featureflag=off",
                "featureflag",
                "uid=user-7",
                "beta=yes",
                "a=\"1\"",
                " =",
                "beta=\"yes\"",
            ];
            let line: Vec<&str> = (0..=random.below(4)).map(|_| random.pick(&pairs)).collect();
            headers.push(("cookie", line.join(random.pick(&["; ", ";", ";  "])).trim().to_owned()));
        }
        if random.below(6) == 0 {
            headers.push(("x-team", random.pick(&["blocked", "other"]).to_owned()));
        }
        if random.below(4) == 0 {
            headers.push((TAG, random.pick(&["canary", "stable"]).to_owned()));
        }
        let sent: Vec<(&str, &[u8])> =
            headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        // The map as Envoy hands it to the module.
        let mut map: Vec<(&[u8], &[u8])> =
            vec![(b":authority", b"app.example.com"), (b":path", path.as_bytes()), (b":method", b"GET")];
        map.extend(sent.iter().map(|(name, value)| (name.as_bytes(), *value)));
        let request = Request { headers: &map, principal: None };
        let mut ambient = Ambient { now: 0, random: &mut || None };
        let decision = decide(&config, &Keys::none(), &request, &mut ambient);
        let state = effects(&config, &request, &decision).state;
        let echo = client.get(path, &sent).echo();
        let canary = state.starts_with("checkout=canary;");
        assert_eq!(echo.version, if canary { "v2" } else { "v1" }, "{path} {headers:?}: {state}");
        let reasons: Vec<String> = state
            .split(',')
            .map(|one| {
                let (name, rest) = one.split_once('=').unwrap_or_default();
                let reason = rest.split_once(";r=").unwrap_or_default().1;
                format!("{name}={reason}")
            })
            .collect();
        assert_eq!(echo.all("x-canary-reason"), [reasons.join(",")], "{path} {headers:?}");
        expected.push(state);
    }
    assert_eq!(envoy.access_log(REQUESTS), expected);
    let mut kinds = expected;
    kinds.sort();
    kinds.dedup();
    assert!(kinds.len() > 12, "the requests are too much alike: {kinds:?}");
}
