//! Decisions, one behaviour per test.

use super::*;
use crate::config::{CLIENT_IP, Severity};
use crate::keys;
use proptest::prelude::*;
use serde_json::json;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) fn config(value: serde_json::Value) -> (Config, Keys) {
    let (mut config, problems) = Config::from_value(&value);
    let errors: Vec<_> = problems.iter().filter(|p| p.severity != Severity::Warning).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let (keys, problems) = keys::load(&mut config, |_| Some(SECRET.to_vec()));
    assert!(problems.is_empty(), "{problems:?}");
    (config, keys)
}

fn run(setup: &(Config, Keys), headers: &[(&str, &str)]) -> Decision<'static> {
    at(setup, headers, NOW)
}

fn at(setup: &(Config, Keys), headers: &[(&str, &str)], now: u64) -> Decision<'static> {
    // Leaked so that a decision may borrow from it; tests are short.
    let leak = |text: &str| -> &'static [u8] { text.as_bytes().to_vec().leak() };
    let headers: Vec<_> = headers.iter().map(|(name, value)| (leak(name), leak(value))).collect();
    let request = Request { headers: headers.leak(), principal: None };
    decide(&setup.0, &setup.1, &request, &mut Ambient { now, random: &mut || Some([7; 16]) })
}

/// Variant and reason of the first flag.
fn answer(setup: &(Config, Keys), headers: &[(&str, &str)]) -> (Option<String>, Reason) {
    let decision = run(setup, headers);
    let outcome = &decision.outcomes[0];
    (outcome.variant.map(|index| setup.0.flags[0].variants[index].name.clone()), outcome.reason)
}

fn canary(reason: Reason) -> (Option<String>, Reason) {
    (Some("canary".into()), reason)
}

fn stable(reason: Reason) -> (Option<String>, Reason) {
    (None, reason)
}

fn flag_cookie() -> (Config, Keys) {
    config(
        json!({"flags": [{"name": "voting", "optIn": {"cookie": {"name": "featureflag", "value": "on"}}}]}),
    )
}

/// A signed value as the filter, or an operator, would make it.
fn sign(setup: &(Config, Keys), binding: Binding<'_>, value: &str, age: u64) -> String {
    setup.1.sign(&binding, value, NOW + age).unwrap()
}

#[test]
fn the_voting_apps_cookie_opts_in() {
    let setup = flag_cookie();
    assert_eq!(answer(&setup, &[("cookie", "featureflag=on")]), canary(Reason::OptIn));
    assert_eq!(answer(&setup, &[("cookie", "a=1"), ("cookie", "featureflag=on")]), canary(Reason::OptIn));
    assert_eq!(answer(&setup, &[("cookie", "featureflag=off")]), stable(Reason::Stable));
    assert_eq!(answer(&setup, &[]), stable(Reason::Stable));
    assert_eq!(run(&setup, &[]).id, None, "nothing to hash for, so no id and no cookie");
}

#[test]
fn nobody_is_asked_who_they_are_when_nothing_depends_on_it() {
    let cookie = json!({"cookie": {"name": "featureflag", "value": "on"}});
    let setup = |extra: serde_json::Value| {
        let mut flag = json!({"name": "f", "optIn": cookie});
        flag.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        config(json!({"flags": [flag]}))
    };
    let asks = |setup: &(Config, Keys)| {
        // An id that is about to expire: whoever reads it renews it.
        let id = sign(setup, id_binding("__Host-coalmine"), "somebody", 60);
        let decision = run(setup, &[("cookie", &format!("__Host-coalmine={id}"))]);
        assert_eq!(decision.subject.is_some(), decision.id.is_some());
        assert_eq!(setup.0.needs_clock(), decision.id.is_some());
        decision.id.is_some()
    };
    assert!(!asks(&setup(json!({}))));
    assert!(!asks(&setup(json!({"allow": {"headers": {"x-team": "qa"}}}))));
    for needed in [
        json!({"rollout": {"canary": 5}}),
        json!({"layer": {"name": "l", "range": [0, 50]}}),
        json!({"sticky": "pin"}),
        json!({"deny": {"subjects": ["somebody else"]}}),
        json!({"optIn": {"query": {"name": "f", "signed": true}}}),
        json!({"optIn": {"query": {"name": "f", "signed": false, "allowFrom": {"subjects": ["them"]}}}}),
    ] {
        assert!(asks(&setup(needed.clone())), "{needed}");
    }
}

#[test]
fn the_clients_address_is_a_subject_that_no_header_can_be() {
    let policy = |header: &str| {
        config(json!({
            "trust": {"clientIpHeader": header},
            "subject": [{"clientIp": true}],
            "flags": [{"name": "f", "allow": {"subjects": ["203.0.113.7"]}}],
        }))
    };
    let known = policy("none");
    assert_eq!(answer(&known, &[(CLIENT_IP, "203.0.113.7")]), canary(Reason::Allow));
    assert_eq!(answer(&known, &[(CLIENT_IP, "203.0.113.8")]), stable(Reason::Stable));
    assert_eq!(answer(&known, &[("client-ip", "203.0.113.7")]), stable(Reason::Stable));
    let told = policy("x-real-ip");
    assert_eq!(answer(&told, &[("x-real-ip", "203.0.113.7"), (CLIENT_IP, "::1")]), canary(Reason::Allow));
    assert_eq!(
        answer(&told, &[("x-real-ip", "203.0.113.7"), ("x-real-ip", "203.0.113.8")]),
        stable(Reason::Stable),
        "somebody added one"
    );
    assert_eq!(answer(&told, &[(CLIENT_IP, "203.0.113.7")]), stable(Reason::Stable));
}

/// Hostile cookies, each with the decision it must get and whether it still reaches the application.
#[test]
fn hostile_cookies() {
    use CookieFate::{Accepted, Refused, Unasked};
    let pad = "a=".to_owned() + &"x".repeat(8188) + ";featureflag=on";
    let many = "a=1;".repeat(100) + "featureflag=on";
    let long = "featureflag=".to_owned() + &"o".repeat(5000);
    let cases: &[(&str, Reason, CookieFate)] = &[
        ("featureflag=on", Reason::OptIn, Accepted),
        ("  featureflag=on", Reason::OptIn, Accepted),
        ("a=1;  featureflag=on", Reason::OptIn, Accepted),
        ("featureflag=\"on\"", Reason::OptIn, Accepted),
        ("featureflag=on; featureflag=off", Reason::OptIn, Accepted),
        ("featureflag=off; featureflag=on", Reason::Stable, Refused),
        ("featureflag=on ; b=1", Reason::Stable, Refused),
        ("featureflag=on\t", Reason::Stable, Refused),
        ("featureflag= on", Reason::Stable, Refused),
        ("featureflag=\"on", Reason::Stable, Refused),
        ("featureflag=on\"", Reason::Stable, Refused),
        ("featureflag=\"\"on\"\"", Reason::Stable, Refused),
        ("featureflag='on'", Reason::Stable, Refused),
        ("featureflag=%6Fn", Reason::Stable, Refused),
        ("featureflag=on%00", Reason::Stable, Refused),
        ("featureflag=o\u{0}n", Reason::Stable, Refused),
        ("featureflag=on\u{0}", Reason::Stable, Refused),
        ("featureflag=on\r\nx-canary: canary", Reason::Stable, Refused),
        ("featureflag=on,a=1", Reason::Stable, Refused),
        ("featureflag=\u{e9}", Reason::Stable, Refused),
        ("featureflag=on=on", Reason::Stable, Refused),
        ("featureflag=", Reason::Stable, Refused),
        ("featureflag", Reason::Stable, Unasked),
        ("=on", Reason::Stable, Unasked),
        ("FeatureFlag=on", Reason::Stable, Refused),
        ("featureflag =on", Reason::Stable, Refused),
        ("a=1;\tfeatureflag=on", Reason::Stable, Refused),
        ("\u{b}featureflag\t = on", Reason::Stable, Refused),
        ("featureflag\t=off", Reason::Stable, Refused),
        ("featureflag=on; featureflag =on", Reason::OptIn, Accepted),
        ("xfeatureflag=on", Reason::Stable, Unasked),
        ("feature\u{0}flag=on", Reason::Stable, Unasked),
        ("featureflag=ON", Reason::Stable, Unasked),
        ("featureflag=maybe", Reason::Stable, Unasked),
        (";;;;", Reason::Stable, Unasked),
        ("", Reason::Stable, Unasked),
        (&pad, Reason::Stable, Unasked),
        (&many, Reason::Stable, Unasked),
        (&long, Reason::Stable, Refused),
    ];
    assert!(cases.len() >= 30);
    let setup = flag_cookie();
    for (cookie, reason, fate) in cases {
        let decision = run(&setup, &[("cookie", cookie)]);
        let outcome = &decision.outcomes[0];
        let shown = &cookie[..cookie.len().min(40)];
        assert_eq!((outcome.reason, outcome.cookie), (*reason, *fate), "{shown:?}");
        assert_eq!(outcome.variant.is_some(), *reason == Reason::OptIn, "{shown:?}");
    }
    assert!(run(&setup, &[("cookie", &pad)]).oversize && run(&setup, &[("cookie", &many)]).oversize);
    assert!(run(&setup, &[("cookie", "featureflag=on; featureflag=off")]).duplicate);
}

#[test]
fn policy_comes_before_the_cookie() {
    let with = |policy: serde_json::Value| {
        let mut flag =
            json!({"name": "f", "optIn": {"cookie": {"name": "ff", "value": "on", "optOut": ["off"]}}});
        flag.as_object_mut().unwrap().extend(policy.as_object().unwrap().clone());
        config(json!({"subject": [{"header": "x-user"}], "flags": [flag]}))
    };
    let on = &[
        ("cookie", "ff=on"),
        ("x-user", "alice"),
        (":path", "/shop/1?a=1"),
        (":method", "GET"),
        (":authority", "Shop.example.com:8443"),
    ];
    let fate = |setup: &(Config, Keys)| run(setup, on).outcomes[0].cookie;
    let cases = [
        (json!({"enabled": false}), Reason::Off, CookieFate::Refused),
        (json!({"window": {"until": "2026-01-01T00:00:00Z"}}), Reason::Window, CookieFate::RefusedForGood),
        (json!({"window": {"from": "2030-01-01T00:00:00Z"}}), Reason::Window, CookieFate::RefusedForGood),
        (json!({"when": {"paths": ["/cart/**"]}}), Reason::Unmatched, CookieFate::Refused),
        (json!({"when": {"excludePaths": ["/shop/*"]}}), Reason::Unmatched, CookieFate::Refused),
        (json!({"when": {"hosts": ["other.example.com"]}}), Reason::Unmatched, CookieFate::Refused),
        (json!({"when": {"methods": ["POST"]}}), Reason::Unmatched, CookieFate::Refused),
        (json!({"deny": {"subjects": ["alice"]}}), Reason::Deny, CookieFate::RefusedForGood),
        (
            json!({"deny": {"headers": {"x-user": ["bob", "alice"]}}, "allow": {"subjects": ["alice"]}}),
            Reason::Deny,
            CookieFate::RefusedForGood,
        ),
        (json!({"allow": {"subjects": ["bob"]}}), Reason::Stable, CookieFate::RefusedForGood),
    ];
    for (policy, reason, expected) in cases {
        let setup = with(policy.clone());
        assert_eq!(answer(&setup, on), stable(reason), "{policy}");
        assert_eq!(fate(&setup), expected, "{policy}");
    }
    let open = [
        json!({"window": {"from": "2026-01-01T00:00:00Z", "until": "2028-01-01T00:00:00Z"}}),
        json!({"when": {"hosts": ["*.example.com"], "paths": ["/shop/**"], "methods": ["GET"]}}),
        json!({"deny": {"subjects": ["bob"]}}),
        json!({"allow": {"subjects": ["alice"]}}),
        json!({"allow": {"subjects": [format!("sha256:{}", sha256_hex(b"alice"))]}}),
    ];
    for policy in open {
        assert_eq!(answer(&with(policy.clone()), on), canary(Reason::OptIn), "{policy}");
    }
    let off = &[("cookie", "ff=off"), ("x-user", "alice")];
    assert_eq!(answer(&with(json!({"rollout": {"canary": 100}})), off), stable(Reason::OptOut));
    let nobody = &[("x-user", "alice")];
    assert_eq!(
        answer(&with(json!({"allow": {"subjects": ["alice"]}})), nobody),
        stable(Reason::Stable),
        "listed may, but did not ask"
    );
    let forced = with(json!({"allow": {"subjects": ["alice"]}, "optIn": null}));
    assert_eq!(answer(&forced, nobody), canary(Reason::Allow));
}

#[test]
fn modes_and_bad_configuration() {
    let flag = json!([{"name": "f", "optIn": {"cookie": {"name": "ff", "value": "on"}}}]);
    let off = config(json!({"mode": "off", "flags": flag}));
    assert_eq!(answer(&off, &[("cookie", "ff=on")]), stable(Reason::Off));
    let observe = config(json!({"mode": "observe", "flags": flag}));
    assert_eq!(answer(&observe, &[("cookie", "ff=on")]), canary(Reason::OptIn));
    let (config, _) = Config::from_value(&json!({"mode": 3, "flags": flag}));
    assert!(config.inert);
    assert_eq!(run(&(config, Keys::none()), &[("cookie", "ff=on")]), Decision::default());
}

#[test]
fn a_subject_is_never_the_empty_string_or_ambiguous() {
    let setup = config(
        json!({"subject": [{"header": "x-user"}], "flags": [{"name": "f", "rollout": {"canary": 100}}]}),
    );
    assert_eq!(answer(&setup, &[]), stable(Reason::NoSubject));
    assert_eq!(answer(&setup, &[("x-user", "")]), stable(Reason::NoSubject));
    assert_eq!(answer(&setup, &[("x-user", &"a".repeat(257))]), stable(Reason::NoSubject));
    assert_eq!(answer(&setup, &[("x-user", "a"), ("x-user", "b")]), stable(Reason::NoSubject));
    assert_eq!(answer(&setup, &[("x-user", "a")]), canary(Reason::Hash));
}

#[test]
fn a_client_cannot_choose_its_bucket() {
    let flags = json!([{"name": "f", "rollout": {"canary": 100}}]);
    let setup = config(json!({"subject": [{"cookie": "uid"}], "flags": flags}));
    assert_eq!(answer(&setup, &[("cookie", "uid=alice")]), stable(Reason::NoSubject), "unsigned");
    let id = sign(&setup, id_binding("uid"), "alice", 100);
    let decision_cookie = format!("uid=forged; uid={id}");
    assert_eq!(
        answer(&setup, &[("cookie", &decision_cookie)]),
        canary(Reason::Hash),
        "first valid signature"
    );
    let other = sign(&setup, id_binding("other"), "alice", 100);
    assert_eq!(answer(&setup, &[("cookie", &format!("uid={other}"))]), stable(Reason::NoSubject));
    let trusting = config(json!({"subject": [{"cookie": "uid", "trusted": true}], "flags": flags}));
    assert_eq!(answer(&trusting, &[("cookie", "uid=alice")]), canary(Reason::Hash));
}

#[test]
fn generated_ids_are_signed_kept_and_renewed() {
    let setup = config(json!({"flags": [{"name": "f", "rollout": {"canary": 50}}]}));
    let first = run(&setup, &[]);
    let (_, token) = first.id.clone().unwrap();
    let id = first.subject.clone().unwrap().into_owned();
    let cookie = format!("__Host-coalmine={token}");
    let again = run(&setup, &[("cookie", &cookie)]);
    assert_eq!(
        (again.subject.as_deref(), again.id.clone()),
        (Some(id.as_slice()), None),
        "kept, not sent again"
    );
    let late = &[("cookie", cookie.as_str())];
    let renewed = at(&setup, late, NOW + 170 * 86_400);
    assert_eq!(renewed.subject.as_deref(), Some(id.as_slice()));
    assert!(renewed.id.is_some(), "less than a quarter left");
    assert_ne!(at(&setup, late, NOW + 181 * 86_400).id, None, "expired: a new one");

    let decision = run(&setup, &[(":method", "OPTIONS")]);
    let preflight = (decision.id.clone(), decision.outcomes[0].reason);
    assert_eq!(preflight, (None, Reason::NoSubject), "no cookie on preflights");
    // What was not looked at may hold an id: another one would be a new die for every request.
    let hidden = format!("{}{cookie}", "a=1;".repeat(100));
    let decision = run(&setup, &[("cookie", &hidden)]);
    assert_eq!((decision.id, decision.outcomes[0].reason), (None, Reason::NoSubject), "beyond the caps");
    let tossed = format!("{}{cookie}", "__Host-coalmine=tossed; ".repeat(CANDIDATES));
    let decision = run(&setup, &[("cookie", &tossed)]);
    assert_eq!((decision.id, decision.outcomes[0].reason), (None, Reason::NoSubject), "too many of its name");

    let (config, _) = setup;
    let keyless = run(&(config, Keys::none()), &[]).outcomes[0].reason;
    assert_eq!(keyless, Reason::NoSubject, "without a key nothing can be kept");
}

#[test]
fn consent_and_navigation_gate_cookies() {
    let setup = config(json!({
        "requireConsent": {"cookie": "consent", "value": "yes"}, "onlyNavigations": true,
        "flags": [{"name": "f", "rollout": {"canary": 50}}],
    }));
    assert_eq!(run(&setup, &[]).id, None);
    assert_eq!(run(&setup, &[("cookie", "consent=no")]).id, None);
    assert!(run(&setup, &[("cookie", "consent=yes")]).id.is_some());
    assert!(run(&setup, &[("cookie", "consent=yes"), ("sec-fetch-mode", "navigate")]).id.is_some());
    assert_eq!(run(&setup, &[("cookie", "consent=yes"), ("sec-fetch-mode", "cors")]).id, None);
}

fn pinned(canary: u32) -> (Config, Keys) {
    config(json!({
        "subject": [{"header": "x-user"}], "flags": [{"name": "f", "sticky": "pin", "rollout": {"canary": canary}}],
    }))
}

#[test]
fn a_pin_outlives_a_narrowed_rollout_but_not_another_subject() {
    let Keep::Set(token) = run(&pinned(100), &[("x-user", "alice")]).outcomes[0].pin.clone() else {
        panic!()
    };
    let cookie = format!("__Host-coalmine-f={token}");
    let narrowed = pinned(0);
    assert_eq!(answer(&narrowed, &[("x-user", "alice"), ("cookie", &cookie)]), canary(Reason::Pin));
    let stolen = &[("x-user", "bob"), ("cookie", cookie.as_str())];
    let decision = run(&narrowed, stolen);
    assert_eq!((decision.outcomes[0].reason, &decision.outcomes[0].pin), (Reason::Stable, &Keep::Delete));
    assert_eq!(decision.invalid, 1);
    let alice = &[("x-user", "alice"), ("cookie", cookie.as_str())];
    assert_eq!(at(&narrowed, alice, NOW + 8 * 86_400).outcomes[0].reason, Reason::Stable, "expired");
    assert_eq!(run(&narrowed, alice).outcomes[0].pin, Keep::Leave, "fresh: not sent again");
    assert!(matches!(at(&narrowed, alice, NOW + 6 * 86_400).outcomes[0].pin, Keep::Set(_)), "renewed");
}

/// A page without a login must not undo what a page behind it set.
#[test]
fn a_pin_that_cannot_be_judged_without_its_subject_stays() {
    let Keep::Set(token) = run(&pinned(100), &[("x-user", "alice")]).outcomes[0].pin.clone() else {
        panic!()
    };
    let decision = run(&pinned(0), &[("cookie", &format!("__Host-coalmine-f={token}"))]);
    assert_eq!((decision.outcomes[0].reason, decision.invalid), (Reason::NoSubject, 0));
    assert_eq!(decision.outcomes[0].pin, Keep::Leave);
    let decision = run(&pinned(0), &[("cookie", "__Host-coalmine-f=x")]);
    assert_eq!((&decision.outcomes[0].pin, decision.invalid), (&Keep::Delete, 1), "no token at all");
}

/// An id that is made up for another flag later does not make the holder somebody else.
#[test]
fn a_pin_of_nobody_in_particular_outlives_the_first_id() {
    let setup = config(json!({"flags": [
        {"name": "a", "rollout": {"canary": 5}, "header": "x-a", "when": {"paths": ["/a/**"]}},
        {"name": "f", "sticky": "pin", "optIn": {"variant": "canary", "query": {"name": "cg"}}},
    ]}));
    let token = sign(&setup, override_binding("cg", "f", b""), "canary", 100);
    let first = run(&setup, &[(":method", "GET"), (":path", &format!("/?cg={token}"))]);
    let Keep::Set(pin) = first.outcomes[1].pin.clone() else { panic!("{first:?}") };
    let cookie = format!("__Host-coalmine-f={pin}");
    let next = run(&setup, &[(":method", "GET"), (":path", "/a/1"), ("cookie", &cookie)]);
    assert!(next.id.is_some());
    assert_eq!((next.outcomes[1].reason, &next.outcomes[1].pin), (Reason::Pin, &Keep::Leave));
    assert_eq!(next.invalid, 0);
    // Whom an earlier filter vouches for has pins of their own.
    let Keep::Set(bearer) = run(&pinned(100), &[("x-user", "alice")]).outcomes[0].pin.clone() else {
        panic!()
    };
    assert!(!bearer.is_empty());
    let known = config(json!({"subject": [{"header": "x-user"}], "flags": [
        {"name": "f", "sticky": "pin", "optIn": {"variant": "canary", "query": {"name": "cg"}}},
    ]}));
    let anybodys = sign(
        &known,
        Binding { purpose: Purpose::Pin, place: b"__Host-coalmine-f", flag: b"f", subject: b"" },
        "canary",
        100,
    );
    let alice = run(&known, &[("x-user", "alice"), ("cookie", &format!("__Host-coalmine-f={anybodys}"))]);
    assert_eq!((alice.outcomes[0].reason, alice.invalid), (Reason::Stable, 1));
}

#[test]
fn only_the_variant_that_was_asked_for_lets_the_cookie_pass() {
    let setup = config(json!({"subject": [{"header": "x-user"}], "flags": [{
        "name": "f", "rollout": {"blue": 100, "canary": 0}, "allow": {"headers": {"x-team": "qa"}},
        "optIn": {"cookie": {"name": "f", "value": "on"}, "variant": "canary"},
    }]}));
    let decision = run(&setup, &[("x-user", "alice"), ("cookie", "f=on")]);
    assert_eq!(
        (decision.outcomes[0].reason, decision.outcomes[0].cookie),
        (Reason::Hash, CookieFate::RefusedForGood)
    );
    let listed = run(&setup, &[("x-user", "alice"), ("x-team", "qa"), ("cookie", "f=on")]);
    assert_eq!((listed.outcomes[0].reason, listed.outcomes[0].cookie), (Reason::OptIn, CookieFate::Accepted));
}

#[test]
fn a_tossed_cookie_does_not_hide_the_pin() {
    let Keep::Set(token) = run(&pinned(100), &[("x-user", "alice")]).outcomes[0].pin.clone() else {
        panic!()
    };
    let tossed =
        format!("__Host-coalmine-f=1.k1.zzzzzz.canary.AAAAAAAAAAAAAAAAAAAAAA; __Host-coalmine-f={token}");
    assert_eq!(answer(&pinned(0), &[("x-user", "alice"), ("cookie", &tossed)]), canary(Reason::Pin));
}

#[test]
fn stable_is_not_pinned() {
    assert_eq!(run(&pinned(0), &[("x-user", "alice")]).outcomes[0].pin, Keep::Leave);
}

#[test]
fn overrides_are_signed_and_only_for_get() {
    let setup = config(json!({
        "subject": [{"header": "x-user"}],
        "flags": [{"name": "f", "sticky": "pin", "optIn": {"query": {"name": "cg"}}, "rollout": {"canary": 0}}],
    }));
    let bearer = sign(&setup, override_binding("cg", "f", b""), "canary", 60);
    let alices = sign(&setup, override_binding("cg", "f", b"alice"), "canary", 60);
    let stables = sign(&setup, override_binding("cg", "f", b""), "stable", 60);
    let ask = |method: &str, token: &str, user: &str| {
        let path = format!("/?a=1&cg={token}&b=2#cg=x");
        answer(&setup, &[(":method", method), (":path", &path), ("x-user", user)])
    };
    assert_eq!(ask("GET", &bearer, "bob"), canary(Reason::Override));
    assert_eq!(ask("GET", &alices, "alice"), canary(Reason::Override));
    assert_eq!(ask("GET", &stables, "bob"), stable(Reason::Override));
    assert_eq!(ask("GET", &alices, "bob"), stable(Reason::Stable));
    assert_eq!(ask("POST", &bearer, "bob"), stable(Reason::Stable));
    assert_eq!(ask("GET", "canary", "bob"), stable(Reason::Stable));
    let pin =
        sign(&setup, Binding { purpose: Purpose::Pin, ..override_binding("cg", "f", b"") }, "canary", 60);
    assert_eq!(ask("GET", &pin, "bob"), stable(Reason::Stable), "a pin is no override");
    let path = format!("/?cg={bearer}");
    let decision = run(&setup, &[(":method", "GET"), (":path", &path), ("x-user", "bob")]);
    assert!(matches!(decision.outcomes[0].pin, Keep::Set(_)), "signed, so it may stick");
}

#[test]
fn an_unsigned_override_holds_for_one_request_of_those_who_may() {
    let setup = config(json!({
        "subject": [{"header": "x-user"}],
        "flags": [{
            "name": "f", "sticky": "pin", "rollout": {"canary": 0, "blue": 0}, "deny": {"subjects": ["mallory"]},
            "optIn": {"query": {"name": "cg", "signed": false, "allowFrom": {"headers": {"x-team": "qa"}, "subjects": ["mallory"]}}},
        }],
    }));
    let ask = |query: &str, user: &str, team: &str| {
        let path = format!("/?{query}");
        run(&setup, &[(":method", "GET"), (":path", &path), ("x-user", user), ("x-team", team)])
    };
    let canary = setup.0.flags[0].variants.iter().position(|v| v.name == "canary");
    let given = |decision: Decision<'_>| (decision.outcomes[0].variant, decision.outcomes[0].reason);
    assert_eq!(given(ask("cg=canary", "alice", "qa")), (canary, Reason::Override));
    assert_eq!(given(ask("cg=stable", "alice", "qa")), (None, Reason::Override));
    assert_eq!(given(ask("cg=canary", "alice", "sales")), (None, Reason::Stable));
    assert_eq!(given(ask("cg=canary", "mallory", "qa")), (None, Reason::Deny), "denied before all else");
    assert_eq!(given(ask("cg=nobody", "alice", "qa")), (None, Reason::Stable));
    assert_eq!(ask("cg=canary", "alice", "qa").outcomes[0].pin, Keep::Leave, "a link must not stick");
    let token = sign(&setup, override_binding("cg", "f", b""), "canary", 60);
    let signed = ask(&format!("cg={token}"), "alice", "qa");
    assert_eq!(
        (signed.outcomes[0].reason, signed.invalid),
        (Reason::Stable, 0),
        "`signed: false` takes no tokens"
    );
}

#[test]
fn only_listed_principals_are_trusted_in_the_mesh_role() {
    let flags = json!([{"name": "f", "rollout": {"canary": 100}}]);
    let trust = json!({"principals": ["spiffe://cluster.local/ns/istio-ingress/sa/*"]});
    let setup =
        config(json!({"role": "mesh", "trust": trust, "subject": [{"header": "x-user"}], "flags": flags}));
    let headers = [(b"x-user".as_slice(), b"alice".as_slice())];
    let by = |setup: &(Config, Keys), principal: Option<&[u8]>| {
        let request = Request { headers: &headers, principal };
        decide(&setup.0, &setup.1, &request, &mut Ambient { now: NOW, random: &mut || None }).trusted
    };
    assert!(by(&setup, Some(b"spiffe://cluster.local/ns/istio-ingress/sa/gateway")));
    assert!(!by(&setup, Some(b"spiffe://cluster.local/ns/istio-ingress/sa/a/b")));
    assert!(!by(&setup, Some(b"spiffe://evil.local/ns/istio-ingress/sa/gateway")));
    assert!(!by(&setup, None));
    let edge = config(json!({"trust": trust, "subject": [{"header": "x-user"}], "flags": flags}));
    assert!(
        !by(&edge, Some(b"spiffe://cluster.local/ns/istio-ingress/sa/gateway")),
        "the edge trusts nobody"
    );
}

/// Where each of `count` subjects lands.
fn split(rollout: serde_json::Value, count: u32) -> Vec<Option<String>> {
    let setup =
        config(json!({"subject": [{"header": "x-user"}], "flags": [{"name": "f", "rollout": rollout}]}));
    let flag = &setup.0.flags[0];
    (0..count)
        .map(|n| {
            roll(flag, Some(format!("user-{n}").as_bytes())).0.map(|index| flag.variants[index].name.clone())
        })
        .collect()
}

#[test]
fn the_split_is_what_was_asked_for() {
    let count = 100_000;
    let seen = split(json!({"canary": 5, "blue": 2.5, "holdback": 1}), count);
    let of = |name: Option<&str>| seen.iter().filter(|seen| seen.as_deref() == name).count() as f64;
    let expected = [(Some("canary"), 0.05), (Some("blue"), 0.025), (None, 0.925)];
    let statistic: f64 = expected
        .map(|(name, share)| (of(name) - share * f64::from(count)).powi(2) / (share * f64::from(count)))
        .iter()
        .sum();
    // Chi-square with 2 degrees of freedom at p = 0.0001.
    assert!(statistic < 18.42, "{statistic}");
}

#[test]
fn a_thousandth_of_a_percent_counts() {
    let setup =
        config(json!({"subject": [{"header": "x"}], "flags": [{"name": "f", "rollout": {"canary": 0.001}}]}));
    assert_eq!(setup.0.flags[0].variants[0].slice.width, 1);
    let seen = split(json!({"canary": 0.01}), 300_000).into_iter().flatten().count();
    assert!((10..60).contains(&seen), "{seen}");
}

#[test]
fn widening_evicts_nobody() {
    let ramp: Vec<_> = [1, 5, 25, 100].map(|percent| split(json!({"canary": percent}), 20_000)).into();
    for pair in ramp.windows(2) {
        for (before, after) in pair[0].iter().zip(&pair[1]) {
            assert!(before.is_none() || before == after);
        }
    }
    assert!(ramp[3].iter().all(Option::is_some));

    let several = |canary: u32, blue: u32| {
        let rollout =
            json!({"canary": {"percent": canary, "start": 0}, "blue": {"percent": blue, "start": 50}});
        split(rollout, 20_000)
    };
    for (before, after) in several(5, 5).iter().zip(&several(40, 25)) {
        assert!(before.is_none() || before == after, "a start for each keeps every variant's subjects");
    }
}

#[test]
fn two_flags_are_independent() {
    let setup = config(json!({"subject": [{"header": "x-user"}], "flags": [
        {"name": "a", "rollout": {"canary": 50}}, {"name": "b", "rollout": {"canary": 50}},
    ]}));
    let mut table = [[0u32; 2]; 2];
    for n in 0..40_000 {
        let subject = format!("user-{n}");
        let [a, b] =
            [0, 1].map(|f| usize::from(roll(&setup.0.flags[f], Some(subject.as_bytes())).0.is_some()));
        table[a][b] += 1;
    }
    let statistic: f64 = table.iter().flatten().map(|&n| (f64::from(n) - 10_000.0).powi(2) / 10_000.0).sum();
    // Chi-square with 3 degrees of freedom at p = 0.0001.
    assert!(statistic < 21.1, "{table:?} {statistic}");
}

#[test]
fn flags_of_a_layer_exclude_each_other() {
    let setup = config(json!({"subject": [{"header": "x-user"}], "flags": [
        {"name": "a", "rollout": {"canary": 100}, "layer": {"name": "l", "range": [0, 50]}},
        {"name": "b", "rollout": {"canary": 100}, "layer": {"name": "l", "range": [50, 100]}},
    ]}));
    let mut counts = [0; 2];
    for n in 0..10_000 {
        let subject = format!("user-{n}");
        let [a, b] = [0, 1].map(|f| roll(&setup.0.flags[f], Some(subject.as_bytes())));
        assert!(a.0.is_some() != b.0.is_some(), "exactly one");
        assert!(a.1 == Reason::Layer || b.1 == Reason::Layer);
        counts[usize::from(b.0.is_some())] += 1;
    }
    assert!(counts[0] > 4_700 && counts[1] > 4_700, "{counts:?}");
}

#[test]
fn holdback_stays_stable_at_any_width() {
    let narrow = split(json!({"canary": 1, "holdback": 10}), 10_000);
    let wide = split(json!({"canary": 90, "holdback": 10}), 10_000);
    let held = wide.iter().filter(|seen| seen.is_none()).count();
    assert!((850..1150).contains(&held), "{held}");
    assert!(narrow.iter().zip(&wide).all(|(narrow, wide)| narrow.is_none() || wide.is_some()));
}

#[test]
fn agrees_with_flagd_on_the_same_key_and_order() {
    // flagd: cumulative weights over (murmur3_32(flagKey + targetingKey) * 100) >> 32.
    let seen = split(json!({"salt": "f", "a": 25, "b": 50, "c": 25}), 5_000);
    for (n, seen) in seen.iter().enumerate() {
        let bucket = (u64::from(murmur3(0, &[format!("fuser-{n}").as_bytes()])) * 100) >> 32;
        let expected = if bucket < 25 {
            "a"
        } else if bucket < 75 {
            "b"
        } else {
            "c"
        };
        assert_eq!(seen.as_deref(), Some(expected));
    }
}

pub(crate) fn rich() -> (Config, Keys) {
    config(json!({
        "subject": [{"header": "x-user"}, {"generate": {}}],
        "tagsHeader": "x-canary-tags", "reasonHeader": "x-canary-reason",
        "flags": [{
            "name": "f", "sticky": "pin", "rollout": {"canary": 30, "blue": 20, "holdback": 5},
            "when": {"hosts": ["*.example.com", "localhost"], "paths": ["/**"], "excludePaths": ["/assets/**"]},
            "optIn": {"cookie": {"name": "ff", "value": "on", "optOut": ["off"], "expire": true}, "query": {"name": "cg"}},
            "deny": {"cookies": {"staff": "no"}}, "response": {"header": "x-variant"},
        }],
    }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn any_request_is_decided_and_the_same_way_twice(
        cookies: Vec<Vec<u8>>, path: Vec<u8>, host: Vec<u8>, user: Vec<u8>, method in "GET|POST|OPTIONS",
    ) {
        let setup = rich();
        let mut headers: Vec<(&[u8], &[u8])> =
            vec![(b":path", &path), (b":authority", &host), (b":method", method.as_bytes()), (b"x-user", &user)];
        headers.extend(cookies.iter().map(|cookie| (b"cookie".as_slice(), cookie.as_slice())));
        let request = Request { headers: &headers, principal: None };
        let mut decisions = [0; 2].map(|_| {
            decide(&setup.0, &setup.1, &request, &mut Ambient { now: NOW, random: &mut || Some([1; 16]) })
        }).into_iter();
        prop_assert_eq!(decisions.next(), decisions.next());
    }
}
