//! Effects, one behaviour per test, and the property that nothing of a client's gets out.

use super::*;
use crate::decide::tests::{NOW, config, rich};
use crate::decide::{Ambient, decide};
use crate::token::Keys;
use proptest::prelude::*;
use serde_json::json;

type Headers<'a> = &'a [(&'a str, &'a str)];

fn run(setup: &(Config, Keys), headers: Headers<'_>, principal: Option<&str>) -> Effects<'static> {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let request = Request { headers: &headers, principal: principal.map(str::as_bytes) };
    let mut ambient = Ambient { now: NOW, random: &mut || Some([7; 16]) };
    let decision = decide(&setup.0, &setup.1, &request, &mut ambient);
    // Leaked so that the effects may borrow from it; tests are short.
    effects(Box::leak(Box::new(setup.0.clone())), &request, &decision)
}

fn set(name: &'static str, value: &str) -> Change<'static> {
    Change::Set(name.into(), value.as_bytes().to_vec().into())
}

fn remove(name: &'static str) -> Change<'static> {
    Change::Remove(name.into())
}

fn voting(extra: serde_json::Value) -> (Config, Keys) {
    let mut value = json!({"flags": [{
        "name": "voting", "header": "x-canary",
        "optIn": {"cookie": {"name": "featureflag", "value": "on", "expire": true, "path": "/vote", "domain": "example.com"}},
        "deny": {"headers": {"x-bot": "1"}},
    }]});
    value.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    config(value)
}

#[test]
fn tags_are_replaced_or_removed_and_never_added_to() {
    let setup = voting(json!({}));
    assert_eq!(run(&setup, &[("cookie", "featureflag=on")], None).request, [set("x-canary", "canary")]);
    assert_eq!(run(&setup, &[], None).request, [], "nothing to strip, nothing to call");
    for forged in
        [&[("x-canary", "canary")][..], &[("x-canary", "a"), ("x-canary", "canary")], &[("x-canary", "")]]
    {
        let effects = run(&setup, forged, None);
        assert_eq!(effects.request, [remove("x-canary")]);
        assert!(effects.counters.contains(&Counter::Stripped));
    }
    let both = [("x-canary", "a"), ("x-canary", "canary"), ("cookie", "featureflag=on")];
    assert_eq!(run(&setup, &both, None).request, [set("x-canary", "canary")]);
    let same = [("x-canary", "canary"), ("cookie", "featureflag=on")];
    assert_eq!(run(&setup, &same, None).request, [], "already right: spare the route cache");
    assert_eq!(run(&setup, &[("x_canary", "canary")], None).request, [remove("x_canary")]);
}

#[test]
fn tags_are_stripped_in_every_mode_and_state() {
    let forged = [("x-canary", "canary"), ("cookie", "featureflag=on")];
    for mode in ["observe", "off"] {
        let effects = run(&voting(json!({"mode": mode})), &forged, None);
        assert!(effects.request.contains(&remove("x-canary")), "{mode}");
        assert!(effects.response.is_empty(), "{mode}");
    }
    for broken in [
        r#"{"flags": [{"name": "f", "header": "x-mine", "rollout": {"canary": 112}}]}"#,
        r#"{"flags": [{"header": {"name": "X-Mine"}}], "mode": 1}"#,
    ] {
        let (config, _) = Config::parse(broken.as_bytes());
        assert!(config.inert);
        let effects =
            run(&(config, Keys::none()), &[("x-mine", "canary"), ("cookie", "featureflag=on")], None);
        assert_eq!(effects.request, [Change::Remove("x-mine".into())]);
        assert_eq!(effects.counters, [Counter::Stripped, Counter::Requests]);
    }
    let (config, _) = Config::parse(b"not json");
    assert_eq!(run(&(config, Keys::none()), &forged, None).request, [Change::Remove("x-canary".into())]);
}

#[test]
fn a_trusted_peer_keeps_its_tag() {
    let setup = voting(json!({"role": "mesh", "trust": {"principals": ["spiffe://a/**"]}}));
    let tagged = [("x-canary", "canary")];
    assert_eq!(run(&setup, &tagged, Some("spiffe://a/ns/x/sa/y")).request, []);
    assert_eq!(run(&setup, &tagged, Some("spiffe://b/ns/x/sa/y")).request, [remove("x-canary")]);
    assert_eq!(run(&setup, &tagged, None).request, [remove("x-canary")]);
}

#[test]
fn a_refused_flag_cookie_is_neither_forwarded_nor_kept() {
    let setup = voting(json!({}));
    let effects = run(&setup, &[("x-bot", "1"), ("cookie", "a=1; featureflag=on"), ("cookie", "b=2")], None);
    assert_eq!(effects.request, [set("cookie", "a=1; b=2")]);
    let line =
        "featureflag=; Path=/vote; Domain=example.com; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
    assert_eq!(effects.response.cookies, [("featureflag".to_owned(), line.to_owned())]);
    let alone = run(&setup, &[("x-bot", "1"), ("cookie", "featureflag=on")], None);
    assert_eq!(alone.request, [remove("cookie")]);
    let hidden = "a=".to_owned() + &"x".repeat(9000) + "; featureflag=on";
    let effects = run(&setup, &[("cookie", &hidden)], None);
    assert!(matches!(&effects.request[..], [Change::Set(_, left)] if !left.ends_with(b"featureflag=on")));
    let off = run(&voting(json!({"mode": "off"})), &[("cookie", "featureflag=on")], None);
    assert_eq!(
        (off.request, off.response.cookies),
        (vec![remove("cookie")], vec![]),
        "the kill switch deletes nothing"
    );
    let observe =
        run(&voting(json!({"mode": "observe"})), &[("x-bot", "1"), ("cookie", "featureflag=on")], None);
    assert_eq!(observe.request, [], "observe changes nothing");
}

#[test]
fn a_cookie_that_any_flag_accepts_is_forwarded() {
    let cookie = json!({"cookie": {"name": "ff", "value": "on"}});
    let setup = config(json!({"flags": [
        {"name": "a", "optIn": cookie, "header": "x-a", "enabled": false}, {"name": "b", "optIn": cookie, "header": "x-b"},
    ]}));
    assert_eq!(run(&setup, &[("cookie", "ff=on")], None).request, [set("x-b", "canary")]);
}

#[test]
fn flags_that_share_a_header_are_tried_in_order() {
    let flag = |name: &str, cookie: &str| {
        json!({"name": name, "optIn": {"variant": name, "cookie": {"name": cookie, "value": "on"}},
               "header": {"name": "x-canary", "values": {name: format!("v-{name}")}, "emitStable": true}})
    };
    let setup = config(
        json!({"tagsHeader": "x-tags", "reasonHeader": "x-why", "flags": [flag("one", "a"), flag("two", "b")]}),
    );
    let both = run(&setup, &[("cookie", "a=on; b=on")], None).request;
    assert_eq!(
        both,
        [set("x-canary", "v-one"), set("x-tags", "one=one,two=two"), set("x-why", "one=optin,two=optin")]
    );
    let second = run(&setup, &[("cookie", "b=on"), ("x-tags", "forged")], None).request;
    assert_eq!(
        second,
        [set("x-canary", "v-two"), set("x-tags", "two=two"), set("x-why", "one=stable,two=optin")]
    );
    let none = run(&setup, &[("x-tags", "forged")], None).request;
    assert_eq!(none, [set("x-canary", "stable"), remove("x-tags"), set("x-why", "one=stable,two=stable")]);
}

#[test]
fn set_cookie_byte_by_byte() {
    let setup = config(json!({"flags": [{"name": "f", "rollout": {"canary": 100}, "sticky": "pin"}]}));
    let effects = run(&setup, &[], None);
    let lines: Vec<&str> = effects.response.cookies.iter().map(|(_, line)| line.as_str()).collect();
    let [id, pin] = lines[..] else { panic!("{lines:?}") };
    let attributes = "; Secure; HttpOnly; SameSite=Lax";
    assert!(
        id.starts_with("__Host-coalmine=1.k1.")
            && id.ends_with(&format!("; Path=/; Max-Age=15552000{attributes}")),
        "{id}"
    );
    assert!(
        pin.starts_with("__Host-coalmine-f=1.k1.")
            && pin.ends_with(&format!("; Path=/; Max-Age=604800{attributes}")),
        "{pin}"
    );
    assert!(effects.response.private);

    let loose = json!({"secure": false, "httpOnly": false, "sameSite": "Strict", "path": "/shop", "domain": "example.com", "maxAge": "90s"});
    let setup = config(json!({"cookieDefaults": loose, "subject": [{"header": "x-user"}],
        "flags": [{"name": "f", "rollout": {"canary": 100}, "sticky": "pin", "response": {"cacheControl": "never"}}]}));
    let effects = run(&setup, &[("x-user", "a")], None);
    let (name, line) = &effects.response.cookies[0];
    assert_eq!(name, "coalmine-f", "no prefix it could not keep");
    assert!(line.ends_with("; Path=/shop; Domain=example.com; Max-Age=90; SameSite=Strict"), "{line}");
    assert!(!effects.response.private);
}

#[test]
fn caches_are_told_what_the_answer_depends_on() {
    let vary =
        |value: serde_json::Value, headers: Headers<'_>| run(&config(value), headers, None).response.vary;
    let user = json!([{"header": "x-user"}]);
    let rollout = json!([{"name": "f", "rollout": {"canary": 1}, "when": {"excludePaths": ["/assets/**"]}}]);
    assert_eq!(
        vary(json!({"subject": user, "flags": rollout}), &[(":path", "/")]),
        "x-user",
        "stable answers too"
    );
    assert_eq!(
        vary(json!({"subject": user, "flags": rollout}), &[(":path", "/assets/a.js")]),
        "",
        "immutable assets"
    );
    assert_eq!(vary(json!({"flags": rollout}), &[(":path", "/")]), "Cookie");
    let flag = json!([{"name": "f", "optIn": {"cookie": {"name": "ff", "value": "on"}}, "allow": {"headers": {"x-team": "qa"}}}]);
    assert_eq!(vary(json!({"flags": flag}), &[]), "Cookie, x-team");
    let never = json!([{"name": "f", "rollout": {"canary": 1}, "response": {"vary": "never"}}]);
    assert_eq!(vary(json!({"flags": never}), &[]), "");

    let private = |upstream: &[u8]| private_cache_control(upstream);
    assert_eq!(private(b"").as_deref(), Some("private"));
    assert_eq!(private(b"Public, max-age=60,s-maxage=9").as_deref(), Some("max-age=60, private"));
    assert_eq!(
        private(b"no-cache, max-age=0, must-revalidate").as_deref(),
        Some("no-cache, max-age=0, must-revalidate, private"),
        "what the application asked for stays"
    );
    assert_eq!(private(b"private=\"set-cookie\"").as_deref(), Some("private=\"set-cookie\", private"));
    assert_eq!(
        private(b"max-age=60\r\nx: y").as_deref(),
        Some("private"),
        "nothing that could split a header"
    );
    assert_eq!(private(b"max-age=60,  Private"), None);
    assert_eq!(private(b"no-store"), None);
}

#[test]
fn telemetry_uses_a_fixed_vocabulary() {
    let setup = voting(json!({}));
    let effects = run(&setup, &[("cookie", "featureflag=on; featureflag=x")], None);
    assert_eq!(effects.state, "voting=canary;r=optin");
    let names: Vec<String> = effects.counters.iter().map(|counter| counter.metric(&setup.0)).collect();
    assert_eq!(
        names,
        [
            "wasm_filter.coalmine.requests_total",
            "canary_flag=.=voting;.;canary_variant=.=canary;.;canary_reason=.=optin;.;coalmine_decisions_total",
            "wasm_filter.coalmine.cookie_duplicate_total",
        ]
    );
    let quiet = voting(json!({"telemetry": {"metrics": false, "filterState": false}}));
    let effects = run(&quiet, &[("cookie", "featureflag=on")], None);
    assert_eq!((effects.state.as_str(), effects.counters.len()), ("", 0));
}

#[test]
fn the_response_header_names_every_flag_that_took_part() {
    let header = json!({"header": "x-variant"});
    let setup = config(json!({"subject": [{"header": "x-user"}], "flags": [
        {"name": "a", "rollout": {"canary": 100}, "header": "x-a", "response": header},
        {"name": "b", "rollout": {"canary": 0}, "header": "x-b", "response": header},
        {"name": "c", "enabled": false, "header": "x-c", "response": header},
    ]}));
    let effects = run(&setup, &[("x-user", "u")], None);
    assert_eq!(effects.response.headers, [("x-variant".to_owned(), "a=canary,b=stable".to_owned())]);
}

#[test]
fn baggage_says_the_variants_and_no_client_s_word_for_it() {
    let flags = json!([{"name": "voting", "optIn": {"cookie": {"name": "ff", "value": "on"}}}]);
    let setup = config(json!({"baggage": true, "flags": flags}));
    let on = ("cookie", "ff=on");
    let baggage = |headers: Headers<'_>| {
        let changes = run(&setup, headers, None).request;
        changes.into_iter().find(|change| match change {
            Change::Set(name, _) | Change::Remove(name) => name == "baggage",
        })
    };
    assert_eq!(baggage(&[on]), Some(set("baggage", "coalmine.voting=canary")));
    assert_eq!(baggage(&[]), None);
    assert_eq!(baggage(&[("baggage", "userId=7;p=1, trace=a")]), None, "others' members are none of ours");
    assert_eq!(
        baggage(&[on, ("baggage", "userId=7;p=1 , coalmine.voting=stable"), ("baggage", ",trace=a")]),
        Some(set("baggage", "coalmine.voting=canary,userId=7;p=1,trace=a"))
    );
    let forged = ("baggage", " coalmine.voting=canary;x=1");
    assert_eq!(baggage(&[forged]), Some(remove("baggage")));
    assert!(run(&setup, &[forged], None).counters.contains(&Counter::Stripped));
    let old = "CoalMine.gone = canary, a=b";
    assert_eq!(baggage(&[("baggage", old)]), Some(set("baggage", "a=b")), "also flags that are gone");
    for encoded in
        ["coalmin%65.voting=canary", "coalmine%2evoting=canary", "+coalmine.voting=canary", "%20coalmine.x=1"]
    {
        assert_eq!(
            baggage(&[("baggage", encoded)]),
            Some(remove("baggage")),
            "{encoded}: libraries decode names"
        );
    }
    assert_eq!(baggage(&[("baggage", "co%61l=1, a%=2, a%zz=3, +b=4")]), None, "others' members");
    let long = format!("a={},b=1", "x".repeat(8168));
    assert_eq!(
        baggage(&[on, ("baggage", &long)]),
        Some(set("baggage", "coalmine.voting=canary,b=1")),
        "within the limit of the specification"
    );
    for mode in ["off", "observe"] {
        let setup = config(json!({"baggage": true, "mode": mode, "flags": flags}));
        assert_eq!(run(&setup, &[forged, on], None).request[0], remove("baggage"), "{mode}");
    }
}

#[test]
fn a_pinned_override_leaves_the_address() {
    let setup = config(json!({
        "subject": [{"header": "x-user"}],
        "flags": [{"name": "f", "sticky": "pin", "rollout": {"canary": 0},
            "optIn": {"query": {"name": "cg", "redirect": true}}}],
    }));
    let binding = crate::decide::override_binding("cg", "f", b"");
    let token = setup.1.sign(&binding, "canary", NOW + 60).unwrap();
    let stable = setup.1.sign(&binding, "stable", NOW + 60).unwrap();
    let to = |path: &str| {
        let path = path.replace("TOKEN", &token).replace("STABLE", &stable);
        run(&setup, &[(":method", "GET"), (":path", &path), ("x-user", "u")], None).redirect
    };
    assert_eq!(to("/cart?cg=TOKEN").as_deref(), Some("/cart"));
    assert_eq!(to("/cart?a=1&cg=TOKEN&b=%20&cg=x#f").as_deref(), Some("/cart?a=1&b=%20"));
    assert_eq!(to("/cart?cgx=1&cg=TOKEN").as_deref(), Some("/cart?cgx=1"));
    assert_eq!(to("/cart?cg=1.k1.zz.canary.AAAAAAAAAAAAAAAAAAAAAA"), None, "nothing was pinned");
    assert_eq!(to("/cart?cg=STABLE"), None, "stable is not pinned, and would be lost");
    for path in [
        "//evil.example/?cg=TOKEN",
        "/\\evil.example?cg=TOKEN",
        "/a b?cg=TOKEN",
        "/\u{e9}?cg=TOKEN",
        "?cg=TOKEN",
    ] {
        assert_eq!(to(path), None, "{path}");
    }
    let consent = config(json!({
        "subject": [{"header": "x-user"}], "requireConsent": {"cookie": "consent", "value": "yes"},
        "flags": [{"name": "f", "sticky": "pin", "rollout": {"canary": 0},
            "optIn": {"query": {"name": "cg", "redirect": true}}}],
    }));
    let path = format!("/?cg={token}");
    let headers = [(":method", "GET"), (":path", path.as_str()), ("x-user", "u")];
    assert_eq!(run(&consent, &headers, None).redirect, None, "no pin may be set, so the address keeps it");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    /// Whatever a client sends, nothing that is emitted holds a control byte, and nothing but the forwarded
    /// `Cookie` header holds a byte of the client's.
    #[test]
    fn no_client_byte_and_no_line_break_gets_out(
        noise in proptest::collection::vec(any::<u8>(), 0..40),
        cookie in "(ff|__Host-coalmine|__Host-coalmine-f|staff)=(on|off|no|\u{1}x|a\r\nb|1\\.k1\\.zz\\.canary\\.[A-Za-z]{22})",
        user in proptest::option::of(proptest::collection::vec(any::<u8>(), 1..20)),
        query in "[a-z=&%\r\n]{0,20}",
        method in "GET|POST|OPTIONS",
    ) {
        // A marker no configuration holds stands in for "client bytes".
        const MARK: &[u8] = b"ZQXJ";
        let marked = |bytes: &[u8]| [MARK, bytes, MARK].concat();
        let setup = rich();
        let path = marked(format!("/shop?cg={query}").as_bytes());
        let path = [b"/", path.as_slice()].concat();
        let noise = marked(&noise);
        let cookies = [cookie.as_bytes(), b"; a=", &noise].concat();
        let user = user.map(|user| marked(&user));
        let mut headers: Vec<(&[u8], &[u8])> = vec![
            (b":method", method.as_bytes()), (b":path", &path), (b":authority", b"shop.example.com"),
            (b"cookie", &cookies), (b"x-canary", &noise), (b"x-canary-tags", &noise), (b"x_canary", &noise),
            (b"baggage", &noise),
        ];
        headers.extend(user.as_deref().map(|user| (b"x-user".as_slice(), user)));
        let request = Request { headers: &headers, principal: None };
        let decision = decide(&setup.0, &setup.1, &request, &mut Ambient { now: NOW, random: &mut || Some([9; 16]) });
        let effects = effects(&setup.0, &request, &decision);

        let mut emitted: Vec<Vec<u8>> = vec![effects.state.clone().into_bytes(), effects.response.vary.clone().into_bytes()];
        for change in &effects.request {
            match change {
                Change::Set(name, value) => {
                    prop_assert!(!value.iter().any(u8::is_ascii_control));
                    emitted.push(name.as_bytes().to_vec());
                    if name != "cookie" && name != "baggage" {
                        emitted.push(value.to_vec());
                    }
                }
                Change::Remove(name) => emitted.push(name.as_bytes().to_vec()),
            }
        }
        for (name, value) in effects.response.cookies.iter().chain(&effects.response.headers) {
            emitted.extend([name.clone().into_bytes(), value.clone().into_bytes()]);
        }
        if let Some(target) = &effects.redirect {
            prop_assert!(target.bytes().all(|byte| byte.is_ascii_graphic()), "{target:?}");
        }
        emitted.extend(effects.counters.iter().map(|counter| counter.metric(&setup.0).into_bytes()));
        for bytes in emitted {
            prop_assert!(!bytes.iter().any(u8::is_ascii_control), "{bytes:?}");
            prop_assert!(!bytes.windows(MARK.len()).any(|window| window == MARK), "{bytes:?}");
        }
    }
}
