//! What operators see: metrics under Istio's default tag rules, filter state in access logs, behaviour on local
//! replies; and what nobody may see: bytes that a client chose.

use std::time::Duration;

use coalmine_tests::bootstrap::{self, Bootstrap};
use coalmine_tests::envoy::Envoy;
use coalmine_tests::on_each_envoy;
use coalmine_tests::policy::{self, CANARY, TAG};
use coalmine_tests::upstream::Upstream;
use serde_json::{Value, json};

on_each_envoy!(
    decisions_are_counted_by_flag_variant_and_reason,
    metrics_show_without_any_setting_in_istio,
    the_access_log_has_the_decision,
    local_replies_after_the_filter_are_like_other_responses,
    local_replies_before_the_filter_are_left_alone,
    no_byte_of_a_client_gets_into_logs_or_metrics,
    observe_counts_what_enforce_would_do,
    the_alerts_ask_for_metrics_that_exist,
);

fn tagged(policy: &Value, v1: &Upstream, v2: &Upstream) -> Bootstrap {
    let mut bootstrap = Bootstrap::canary(TAG, CANARY, v1.address, v2.address).plugin(policy);
    bootstrap.extra_stat_tags = ["canary_flag", "canary_variant", "canary_reason"].map(str::to_owned).into();
    bootstrap.access_log = Some("%RESPONSE_CODE% %FILTER_STATE(wasm.coalmine:PLAIN)%".to_owned());
    bootstrap
}

fn decisions(envoy: &Envoy, variant: &str, reason: &str) -> f64 {
    let labels = [("canary_flag", "voting"), ("canary_variant", variant), ("canary_reason", reason)];
    envoy.metrics().sum("coalmine_decisions_total", &labels)
}

/// The number of samples of a counter that all plugins share.
fn plain(envoy: &Envoy, name: &str) -> f64 {
    envoy.metrics().sum(name, &[("wasm_filter", "coalmine")])
}

fn decisions_are_counted_by_flag_variant_and_reason(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let mut policy = policy::voting();
    policy["flags"][0]["deny"] = json!({ "headers": { "x-team": "blocked" } });
    let mut bootstrap = tagged(&policy, &v1, &v2);
    bootstrap.concurrency = 2; // counters of all workers are one
    let envoy = Envoy::start(version, &bootstrap);
    for _ in 0..3 {
        envoy.connect().get("/", &[("Cookie", b"featureflag=on")]);
    }
    for _ in 0..2 {
        envoy.connect().get("/", &[("Cookie", b"featureflag=on"), ("X-Team", b"blocked")]);
    }
    envoy.connect().get("/", &[(TAG, b"canary")]);
    envoy.metrics_when(Duration::from_secs(5), |metrics| metrics.sum("coalmine_decisions_total", &[]) >= 6.0);
    assert_eq!(decisions(&envoy, CANARY, "optin"), 3.0, "{:?}", envoy.metrics().names("coalmine"));
    assert_eq!(decisions(&envoy, "stable", "deny"), 2.0);
    assert_eq!(envoy.metrics().sum("coalmine_decisions_total", &[("canary_variant", "stable")]), 3.0);
    assert_eq!(plain(&envoy, "stripped_total"), 1.0);
    assert_eq!(plain(&envoy, "requests_total"), 6.0);
    assert_eq!((plain(&envoy, "config_errors"), plain(&envoy, "config_generation")), (0.0, 1.0));
    let duplicate = [("Cookie", b"featureflag=on; featureflag=off".as_slice())];
    envoy.connect().get("/", &duplicate);
    let oversize = [("Cookie", [b"a=".as_slice(), &[b'x'; 9000]].concat())];
    envoy.connect().get("/", &[(oversize[0].0, oversize[0].1.as_slice())]);
    envoy.metrics_when(Duration::from_secs(5), |metrics| metrics.sum("cookie_oversize_total", &[]) >= 1.0);
    assert_eq!((plain(&envoy, "cookie_duplicate_total"), plain(&envoy, "cookie_oversize_total")), (1.0, 1.0));
}

/// Istio's statistics matcher keeps what begins with `wasm`; its tag rules make the `wasm_filter` label.
fn metrics_show_without_any_setting_in_istio(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let mut bootstrap = tagged(&policy::voting(), &v1, &v2);
    bootstrap.extra_stat_tags = Vec::new();
    let envoy = Envoy::start(version, &bootstrap);
    envoy.connect().get("/", &[("Cookie", b"featureflag=on"), (TAG, b"x")]);
    let metrics =
        envoy.metrics_when(Duration::from_secs(5), |metrics| metrics.sum("stripped_total", &[]) >= 1.0);
    assert_eq!(
        metrics.sum("stripped_total", &[("wasm_filter", "coalmine")]),
        1.0,
        "{:?}",
        metrics.names("stripped")
    );
    assert_eq!(metrics.named("config_errors").count(), 1);
    let decisions = metrics.names("coalmine_decisions_total");
    assert_eq!(decisions.len(), 1, "{decisions:?}");
    for part in ["voting", "canary", "optin"] {
        assert!(decisions[0].contains(part), "{decisions:?}");
    }
}

fn the_access_log_has_the_decision(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let mut policy = policy::voting();
    policy["flags"].as_array_mut().expect("a list").push(json!({
        "name": "search", "header": "x-search", "deny": { "headers": { "x-team": "blocked" } },
    }));
    let envoy = Envoy::start(version, &tagged(&policy, &v1, &v2));
    let mut client = envoy.connect();
    client.get("/", &[("Cookie", b"featureflag=on")]);
    client.get("/", &[("X-Team", b"blocked")]);
    let log = envoy.access_log(2);
    assert_eq!(
        log,
        [
            "200 voting=canary;r=optin,search=stable;r=stable",
            "200 voting=stable;r=stable,search=stable;r=deny"
        ]
    );
}

/// RBAC that denies everything on `/private`.
fn deny() -> Value {
    json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": { "action": "DENY", "policies": { "private": {
                "permissions": [{ "url_path": { "path": { "prefix": "/private" } } }],
                "principals": [{ "any": true }],
            } } },
        },
    })
}

fn showing_policy() -> Value {
    let mut policy = policy::voting();
    policy["flags"][0]["response"] = json!({ "header": "x-variant" });
    policy["flags"][0]["optIn"]["cookie"]["expire"] = json!(true);
    policy
}

fn local_replies_after_the_filter_are_like_other_responses(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let mut bootstrap = tagged(&showing_policy(), &v1, &v2).filter(deny());
    bootstrap.routes.insert(
        0,
        json!({
            "match": { "prefix": "/direct" },
            "direct_response": { "status": 418 },
        }),
    );
    bootstrap.routes.insert(0, bootstrap::header_route("x-nowhere", "1", "nowhere"));
    let envoy = Envoy::start(version, &bootstrap);
    let mut client = envoy.connect();
    for (path, extra, status) in [
        ("/", None, 200),
        ("/private", None, 403),
        ("/direct", None, 418),
        ("/", Some(("x-nowhere", b"1".as_slice())), 503),
    ] {
        let mut headers = vec![("Cookie", b"featureflag=on".as_slice())];
        headers.extend(extra);
        let answer = client.get(path, &headers);
        assert_eq!(
            (answer.status, answer.text("x-variant").as_deref()),
            (status, Some("voting=canary")),
            "{path}"
        );
    }
    let log = envoy.access_log(4);
    assert!(log.iter().all(|line| line.ends_with(" voting=canary;r=optin")), "{log:?}");
}

/// Envoy does not run our request phase then, so there is nothing to say on the response and nothing to crash on.
fn local_replies_before_the_filter_are_left_alone(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let mut bootstrap = tagged(&showing_policy(), &v1, &v2);
    bootstrap.filters.insert(0, deny());
    let envoy = Envoy::start(version, &bootstrap);
    let mut client = envoy.connect();
    for _ in 0..20 {
        let denied = client.get("/private", &[("Cookie", b"featureflag=on"), (TAG, b"canary")]);
        assert_eq!((denied.status, denied.text("x-variant"), denied.all("set-cookie").len()), (403, None, 0));
        let served = client.get("/", &[("Cookie", b"featureflag=on")]);
        assert_eq!((served.status, served.text("x-variant").as_deref()), (200, Some("voting=canary")));
    }
    // Malformed requests are answered by the codec, before any filter.
    let broken = envoy
        .connect()
        .exchange(b"GET / HTTP/1.1\r\nHost: a\r\nCookie: featureflag=on\r\nBad Header: x\r\n\r\n");
    assert!(broken.is_ok_and(|answer| answer.status == 400 && answer.text("x-variant").is_none()));
    assert_eq!(client.get("/", &[]).status, 200);
}

fn no_byte_of_a_client_gets_into_logs_or_metrics(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let mut policy = policy::rollout("voting", 50.0);
    policy["flags"][0]["optIn"] = policy::voting_cookie();
    policy["flags"][0]["deny"] = json!({ "headers": { "x-team": "blocked" } });
    policy["flags"][0]["response"] = json!({ "header": "x-variant" });
    let envoy = Envoy::start(version, &tagged(&policy, &v1, &v2));
    let mut client = envoy.connect();
    let marks: [&[u8]; 4] = [b"MARKER-a", b"MARKER-b\xff", b"MARKER-c;r=hash,voting=canary", b"\"MARKER-d\""];
    for mark in marks {
        let cookie = [b"featureflag=".as_slice(), mark, b"; MARKER-e=on"].concat();
        let headers: [(&str, &[u8]); 5] =
            [("Cookie", &cookie), (TAG, mark), ("X-User-Id", mark), ("X-Team", mark), ("X_Canary", mark)];
        let answer = client.get("/?MARKER-f=on", &headers);
        assert_eq!(answer.status, 200);
        assert!(!String::from_utf8_lossy(&answer.head).contains("MARKER"), "a response header");
    }
    let log = envoy.access_log(marks.len());
    assert_eq!(log.len(), marks.len(), "one request, one line: {log:?}");
    let known = ["voting=canary;r=hash", "voting=stable;r=stable", "voting=stable;r=optout"];
    assert!(log.iter().all(|line| known.iter().any(|state| *line == format!("200 {state}"))), "{log:?}");
    assert!(!envoy.log().contains("MARKER"), "{}", envoy.log());
    assert!(!String::from_utf8_lossy(&envoy.admin("/stats").body).contains("MARKER"));
}

fn observe_counts_what_enforce_would_do(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let mut policy = showing_policy();
    policy["mode"] = json!("observe");
    let envoy = Envoy::start(version, &tagged(&policy, &v1, &v2));
    let answer = envoy.connect().get("/", &[("Cookie", b"featureflag=on")]);
    let echo = answer.echo();
    assert_eq!(
        (echo.version.as_str(), echo.all("cookie")),
        ("v1", vec!["featureflag=on"]),
        "nothing changes"
    );
    assert_eq!((answer.text("x-variant"), answer.text("vary")), (None, None));
    assert_eq!(envoy.access_log(1), ["200 voting=canary;r=optin"]);
    envoy.metrics_when(Duration::from_secs(5), |metrics| metrics.sum("coalmine_decisions_total", &[]) >= 1.0);
    assert_eq!(decisions(&envoy, CANARY, "optin"), 1.0);
}

/// Every metric of an expression in `manifests/monitoring`, but for those its own rules record, is one that
/// this Envoy has, with the labels that are asked for.
fn the_alerts_ask_for_metrics_that_exist(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let envoy = Envoy::start(version, &tagged(&policy::rollout("greeter-v2", 50.0), &v1, &v2));
    for user in 0..20 {
        envoy.connect().get("/", &[("x-user-id", format!("user-{user}").as_bytes())]);
    }
    let metrics = envoy
        .metrics_when(Duration::from_secs(5), |metrics| metrics.sum("coalmine_decisions_total", &[]) >= 20.0);
    let rules = std::fs::read_to_string(coalmine_tests::root().join("manifests/monitoring/10-alerts.yaml"))
        .expect("the alerts");
    let mut asked: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for (before, after) in rules.match_indices(['{', '[']).map(|(at, _)| rules.split_at(at)) {
        let name: String =
            before.chars().rev().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let name: String = name.chars().rev().collect();
        if !name.contains('_') {
            continue; // a template of an annotation, or a range after labels
        }
        let labels =
            after.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(labels, _)| labels);
        let labels = labels.split(',').filter_map(|pair| pair.split_once("=\""));
        let labels = labels.map(|(key, value)| (key.to_owned(), value.trim_end_matches('"').to_owned()));
        asked.push((name, labels.collect()));
    }
    assert!(asked.len() >= 6, "{asked:?}");
    for (name, labels) in asked {
        let labels: Vec<(&str, &str)> =
            labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let has = |sample: &coalmine_tests::metrics::Sample| {
            labels.iter().all(|(key, value)| sample.labels.iter().any(|(k, v)| k == key && v == value))
        };
        assert!(metrics.named(&name).any(has), "{name} {labels:?}");
    }
}
