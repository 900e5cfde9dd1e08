//! What is accepted, what is refused, and how it is said.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn problems(value: Value) -> Vec<String> {
    Config::from_value(&value).1.iter().map(|problem| format!("{:?} {problem}", problem.severity)).collect()
}

fn flag(extra: Value) -> Value {
    let mut flag = json!({"name": "f"});
    flag.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    json!({"flags": [flag]})
}

const NONE: [&str; 0] = [];

#[test]
fn the_minimal_configuration_is_complete() {
    let json = br#"{"flags":[{"name":"checkout","header":"x-canary","rollout":{"canary":5}}]}"#;
    let (config, problems) = Config::parse(json);
    assert!(problems.is_empty() && !config.inert, "{problems:?}");
    let flag = &config.flags[0];
    assert_eq!((flag.salt.as_str(), &config.tags[..]), ("checkout", &["x-canary".to_owned()][..]));
    assert_eq!(
        flag.variants,
        [Variant { name: "canary".into(), tag: "canary".into(), slice: Slice { start: 0, width: 5000 } }]
    );
    assert!(
        matches!(&config.subject[..], [SubjectSource::Generate { cookie, .. }] if cookie.name == "__Host-coalmine")
    );
    assert_eq!((config.keys[0].id.as_str(), config.keys[0].env.as_str()), ("k1", "COALMINE_KEY_K1"));
    assert!(config.needs_key && config.needs_clock());
    assert_eq!(config.vary, "Cookie");
}

/// The whole format, with every field there is.
fn full() -> Value {
    json!({
        "schema": 1, "mode": "enforce", "role": "edge", "trust": {"principals": [], "clientIpHeader": "none"}, "priority": "first-match",
        "subject": [{"header": "x-user-id"}, {"clientIp": true}, {"cookie": "uid", "trusted": false}, {"generate": {"cookie": "__Host-cm", "maxAge": "180d"}}],
        "keys": [{"id": "k1", "env": "COALMINE_KEY_K1", "verifyOnly": false}, {"id": "k0", "env": "COALMINE_KEY_K0", "verifyOnly": true}],
        "cookieDefaults": {"secure": true, "httpOnly": true, "sameSite": "Lax", "path": "/", "maxAge": "7d", "refreshBelow": "25%", "domain": null, "partitioned": false},
        "baggage": true, "tagsHeader": "x-canary-tags", "reasonHeader": "x-canary-reason", "onlyNavigations": false,
        "requireConsent": {"cookie": "consent", "value": "yes"},
        "telemetry": {"metrics": true, "filterState": true},
        "limits": {"cookieBytes": 8192, "cookiePairs": 100}, "onBadConfig": "inert",
        "flags": [{
            "name": "checkout", "enabled": true,
            "when": {"hosts": ["*.example.com"], "paths": ["/shop/**"], "excludePaths": ["/assets/**"], "methods": ["GET"]},
            "window": {"from": "2026-12-01T00:00:00Z", "until": "2026-12-24T00:00:00Z"},
            "deny": {"subjects": ["bot"], "headers": {}, "cookies": {}},
            "allow": {"subjects": [], "headers": {"x-team": "qa"}, "cookies": {"team": ["qa", "dev"]}},
            "optIn": {
                "cookie": {"name": "featureflag", "value": "on", "values": ["beta"], "optOut": ["off"], "expire": true, "path": "/", "domain": "example.com"},
                "query": {"name": "cg", "signed": true, "allowFrom": {"subjects": ["dev"], "headers": {"x-team": "qa"}, "cookies": {}}, "redirect": true}, "who": "anyone", "variant": "canary",
            },
            "rollout": {"salt": "checkout-2026", "canary": {"percent": 5, "start": 0}, "blue": {"percent": 2.5, "start": 50}, "holdback": 1},
            "sticky": "pin",
            "layer": {"name": "checkout-exps", "range": [0, 50]},
            "header": {"name": "x-canary", "values": {"canary": "beta"}, "emitStable": false},
            "cookie": {"name": "ff_checkout", "secure": true, "httpOnly": true, "sameSite": "None", "path": "/", "domain": "example.com", "maxAge": "1d", "refreshBelow": "10%", "partitioned": true},
            "response": {"header": "x-variant", "vary": "auto", "cacheControl": "auto"},
        }],
    })
}

#[test]
fn the_full_configuration_is_accepted_and_names_every_field() {
    assert_eq!(problems(full()), NONE);
    // Every field of the table appears in it, so none can be forgotten here.
    fn missing(fields: &[fields::Field], value: &Value, path: &str, out: &mut Vec<String>) {
        for field in fields {
            let at = format!("{path}.{}", field.name);
            let Some(value) = value.as_object().and_then(|object| object.get(field.name)) else {
                out.push(at);
                continue;
            };
            inner(&field.kind, value, &at, out);
        }
    }
    fn inner(kind: &fields::Kind, value: &Value, at: &str, out: &mut Vec<String>) {
        match kind {
            fields::Kind::Object(fields) | fields::Kind::Open(fields, ..) => missing(fields, value, at, out),
            fields::Kind::List(kind) => {
                value.as_array().into_iter().flatten().take(1).for_each(|v| inner(kind, v, at, out));
            }
            fields::Kind::Either(kinds) => {
                kinds.iter().filter(|_| value.is_object()).for_each(|k| inner(k, value, at, out));
            }
            _ => {}
        }
    }
    let mut out = Vec::new();
    missing(fields::CONFIG, &full(), "", &mut out);
    let alternatives = [".subject.cookie", ".subject.trusted", ".subject.clientIp", ".subject.generate"];
    assert_eq!(out, alternatives, "only the other ways to name a subject");
}

#[test]
fn every_wrong_field_is_named_with_its_path() {
    let cases: &[(Value, &str)] = &[
        (json!([]), "Error expected an object, found a list"),
        (
            json!({"mode": "enforec", "flags": [{"name": "f"}]}),
            "Error mode: `enforec` is not one of enforce, observe, off, did you mean `enforce`?",
        ),
        (
            json!({"mode": "x", "flags": [{"name": "f"}]}),
            "Error mode: `x` is not one of enforce, observe, off",
        ),
        (
            json!({"falgs": [], "flags": [{"name": "f"}]}),
            "Unknown falgs: unknown field, did you mean `flags`?",
        ),
        (
            json!({"pluginConfig": {"flags": [{"name": "f"}]}}),
            "Error pluginConfig: is nested once more: move its fields up",
        ),
        (json!({"flags": {}}), "Error flags: expected a list, found an object"),
        (json!({"flags": [{}]}), "Error flags[0]: `name` is missing"),
        (
            json!({"flags": [{"name": "F"}]}),
            "Error flags[0].name: `F` is not a name of 1 to 32 of a-z, 0-9 and -",
        ),
        (json!({"flags": [{"name": "f"}, {"name": "f"}]}), "Error flags[1].name: flag `f` is listed twice"),
        (
            flag(json!({"rollout": {"canary": 112}})),
            "Error flags[0].rollout: percentages sum to 112, at most 100",
        ),
        (
            flag(json!({"rollout": {"canary": 100, "blue": 12}})),
            "Error flags[0].rollout: percentages sum to 112, at most 100",
        ),
        (
            flag(json!({"rollout": {"canary": 99.5, "holdback": 1}})),
            "Error flags[0].rollout: percentages sum to 100.5, at most 100",
        ),
        (
            flag(json!({"rollout": {"canary": 0.0001}})),
            "Error flags[0].rollout.canary: 0.0001 is not a percentage from 0 to 100 in steps of 0.001",
        ),
        (
            flag(json!({"rollout": {"canary": -1}})),
            "Error flags[0].rollout.canary: -1 is not a percentage from 0 to 100 in steps of 0.001",
        ),
        (
            flag(json!({"rollout": {"canary": "5"}})),
            "Error flags[0].rollout.canary: expected a percentage or an object, found the string `5`",
        ),
        (
            flag(json!({"rollout": {"stable": 95}})),
            "Error flags[0].rollout.stable: `stable` is what the other variants leave; remove it",
        ),
        (
            flag(json!({"rollout": {"a": {"percent": 10}, "b": {"percent": 10, "start": 5}}})),
            "Error flags[0].rollout.b: its slice overlaps that of `a`; move `start`",
        ),
        (
            flag(json!({"rollout": {"a": {"percent": 10, "start": 95}}})),
            "Error flags[0].rollout.a: its slice reaches beyond 100 or into the holdback at the top; move `start`",
        ),
        (
            flag(json!({"optIn": {"cookie": {"name": "ff", "value": true}}})),
            "Error flags[0].optIn.cookie.value: expected a string, found the boolean true; quote it, YAML reads bare on, off, yes and no as booleans",
        ),
        (
            flag(json!({"optIn": {"cookie": {"name": "ff", "value": 1}}})),
            "Error flags[0].optIn.cookie.value: expected a string, found the number 1; quote it",
        ),
        (
            flag(json!({"optIn": {"cookie": {"name": "ff", "value": "a b"}}})),
            "Error flags[0].optIn.cookie.value: `a b` is not 1 to 64 of A-Z, a-z, 0-9 and . _ ~ -",
        ),
        (
            flag(json!({"optIn": {"cookie": {"name": "ff"}}})),
            "Error flags[0].optIn.cookie: needs `value`, `values` or `optOut`",
        ),
        (
            flag(json!({"optIn": {"cookie": {"name": "ff", "value": "on", "optOut": ["on"]}}})),
            "Error flags[0].optIn.cookie.optOut: holds a value that also opts in",
        ),
        (
            flag(json!({"optIn": {"variant": "stable"}})),
            "Error flags[0].optIn.variant: opting into stable is what `optOut` of the cookie is for",
        ),
        (
            flag(json!({"optIn": {"cookie": {"name": "f f", "value": "on"}}})),
            "Error flags[0].optIn.cookie.name: `f f` is not a cookie name (no spaces, `=`, `;` or quotes)",
        ),
        (
            flag(json!({"optIn": {"query": {"name": "cg", "signed": false}}})),
            "Error flags[0].optIn.query.signed: an unsigned override is a link that opts anyone in; sign it, or say in `allowFrom` who may use it",
        ),
        (
            flag(json!({"optIn": {"query": {"name": "cg", "redirect": true}}})),
            "Error flags[0].optIn.query.redirect: the redirect would lose the override; it needs `signed` and `sticky: pin`",
        ),
        (
            flag(json!({"header": "X-Canary"})),
            "Error flags[0].header: `X-Canary` is not a header name of a-z, 0-9 and -, in lower case",
        ),
        (
            flag(json!({"header": "cookie"})),
            "Error flags[0].header: `cookie` cannot be a tag: it has a meaning of its own",
        ),
        (flag(json!({"header": {"nmae": "x-a"}})), "Error flags[0].header: `name` is missing"),
        (
            flag(json!({"window": {"from": "tomorrow"}})),
            "Error flags[0].window.from: `tomorrow` is not an RFC 3339 time such as 2026-12-01T00:00:00Z",
        ),
        (
            flag(json!({"window": {"from": "2026-12-02T00:00:00Z", "until": "2026-12-01T00:00:00Z"}})),
            "Error flags[0].window.until: is not after `from`",
        ),
        (
            flag(json!({"deny": {"subjects": ["sha256:12"]}})),
            "Error flags[0].deny.subjects[0]: `sha256:` is followed by 64 hexadecimal digits",
        ),
        (
            flag(json!({"layer": {"name": "l", "range": [0]}})),
            "Error flags[0].layer.range: expected two percentages, from and until, found 1",
        ),
        (
            flag(json!({"layer": {"name": "l", "range": [50, 0]}})),
            "Error flags[0].layer.range: ends before it begins",
        ),
        (
            flag(json!({"sticky": "pin", "cookie": {"name": "__Host-x", "domain": "example.com"}})),
            "Error flags[0].cookie.name: browsers drop a `__Host-` cookie unless it is secure, has path `/` and no domain",
        ),
        (
            flag(json!({"sticky": "pin", "cookie": {"maxAge": "500d"}})),
            "Error flags[0].cookie.maxAge: `500d` is not a duration such as 90s, 15m, 12h or 7d, at most 400d",
        ),
        (
            json!({"cookieDefaults": {"secure": false, "sameSite": "None"}, "flags": [{"name": "f"}]}),
            "Error cookieDefaults.secure: browsers drop SameSite=None and Partitioned cookies without Secure",
        ),
        (
            json!({"subject": [], "flags": [{"name": "f", "rollout": {"canary": 5}}]}),
            "Error subject: a rollout needs a subject; remove this field to generate ids",
        ),
        (
            json!({"subject": [{"header": "a", "cookie": "b"}], "flags": [{"name": "f"}]}),
            "Error subject[0]: needs exactly one of header, cookie, generate and `clientIp: true`",
        ),
        (
            json!({"subject": [{"clientIp": false}], "flags": [{"name": "f"}]}),
            "Error subject[0]: needs exactly one of header, cookie, generate and `clientIp: true`",
        ),
        (
            json!({"trust": {"clientIpHeader": "x-forwarded-for"}, "subject": [{"clientIp": true}], "flags": [{"name": "f"}]}),
            "Error trust.clientIpHeader: is a list that clients can begin; `none` takes the address that Envoy finds in it",
        ),
        (
            json!({"trust": {"clientIpHeader": "x-real-ip"}, "flags": [{"name": "f"}]}),
            "Warning trust.clientIpHeader: has no effect unless a subject is `clientIp: true`",
        ),
        (
            json!({"priority": "last-match", "flags": [{"name": "f"}]}),
            "Error priority: `last-match` is not one of first-match, did you mean `first-match`?",
        ),
        (
            json!({"keys": [], "flags": [{"name": "f", "rollout": {"canary": 5}}]}),
            "Error keys: no key signs, but generated ids, pins and overrides need one",
        ),
        (
            json!({"keys": [{"id": "k", "env": "A"}, {"id": "k", "env": "B"}], "flags": [{"name": "f"}]}),
            "Error keys[1].id: key `k` is listed twice",
        ),
        (
            json!({"limits": {"cookieBytes": 1.5}, "flags": [{"name": "f"}]}),
            "Error limits.cookieBytes: 1.5 is not a whole number from 64 to 65536",
        ),
        (
            json!({"tagsHeader": "x-canary", "flags": [{"name": "f"}]}),
            "Error tagsHeader: is also the tag header of a flag; use another name",
        ),
        (
            flag(json!({"allow": {"headers": {"x-canary": "canary"}}})),
            "Error flags[0].allow.headers.x-canary: `x-canary` is a tag of this filter: a client could set it",
        ),
        (
            json!({"flags": [{"name": "a", "header": "x-a", "deny": {"headers": {"x-b": "1"}}}, {"name": "b", "header": {"name": "x-b"}}]}),
            "Error flags[0].deny.headers.x-b: `x-b` is a tag of this filter: a client could set it",
        ),
        (
            json!({"tagsHeader": "x-tags", "flags": [{"name": "f", "optIn": {"query": {"name": "cg", "allowFrom": {"headers": {"x-tags": "1"}}}}}]}),
            "Error flags[0].optIn.query.allowFrom.headers.x-tags: `x-tags` is a tag of this filter: a client could set it",
        ),
        (
            json!({"subject": [{"clientIp": true}, {"header": "x-why"}], "reasonHeader": "x-why", "flags": [{"name": "f"}]}),
            "Error subject[1].header: `x-why` is a tag of this filter: a client could set it",
        ),
        (
            json!({"subject": [{"clientIp": true}], "trust": {"clientIpHeader": "x-canary"}, "flags": [{"name": "f"}]}),
            "Error trust.clientIpHeader: `x-canary` is a tag of this filter: a client could set it",
        ),
        (
            flag(json!({"optIn": {"cookie": {"name": "__Host-coalmine", "value": "on"}}})),
            "Error flags[0].optIn.cookie.name: cookie `__Host-coalmine` is already used for something else",
        ),
        (
            json!({"subject": [{"cookie": "uid"}], "flags": [{"name": "f", "optIn": {"cookie": {"name": "uid", "value": "on"}}}]}),
            "Error flags[0].optIn.cookie.name: cookie `uid` is already used for something else",
        ),
        (
            json!({"flags": [{"name": "a", "sticky": "pin", "cookie": {"name": "p"}}, {"name": "b", "optIn": {"cookie": {"name": "p", "value": "on"}}}]}),
            "Error flags[1].optIn.cookie.name: cookie `p` is already used for something else",
        ),
        (
            json!({"flags": [{"name": "a", "optIn": {"cookie": {"name": "p", "value": "on"}}}, {"name": "b", "sticky": "pin", "cookie": {"name": "p"}}]}),
            "Error flags[1].cookie: cookie `p` is already used for something else",
        ),
        (
            json!({"flags": [{"name": "a", "optIn": {"query": {"name": "cg"}}}, {"name": "b", "optIn": {"query": {"name": "cg"}}}]}),
            "Error flags[1].optIn.query.name: flag `a` already takes this parameter; use another name",
        ),
        (
            flag(json!({"header": "x-request-id"})),
            "Error flags[0].header: `x-request-id` cannot be a tag: it has a meaning of its own",
        ),
        (
            flag(json!({"response": {"header": "location"}})),
            "Error flags[0].response.header: this header has a meaning of its own; choose another",
        ),
        (
            flag(json!({"response": {"header": "vary"}})),
            "Error flags[0].response.header: this header has a meaning of its own; choose another",
        ),
        (
            json!({"cookieDefaults": {"domain": "a..b"}, "flags": [{"name": "f"}]}),
            "Error cookieDefaults.domain: `a..b` is not a domain of letters, digits, `.` and `-`, such as example.com",
        ),
        (
            flag(json!({"when": {"methods": ["get"]}})),
            "Error flags[0].when.methods[0]: `get` is not an HTTP method in upper case",
        ),
        (
            flag(json!({"rollout": {"b": 1, "a": 1}})),
            "Warning flags[0].rollout: several variants without `start`",
        ),
        (
            json!({"trust": {"principals": ["spiffe://a"]}, "flags": [{"name": "f"}]}),
            "Warning trust.principals: has no effect in the edge role",
        ),
        (
            json!({"role": "mesh", "flags": [{"name": "f"}]}),
            "Warning trust.principals: empty in the mesh role",
        ),
        (json!({}), "Warning flags: no flags: nothing is decided"),
    ];
    for (value, expected) in cases {
        let found = problems(value.clone());
        assert!(
            found.iter().any(|problem| problem.starts_with(expected)),
            "{value}\n want {expected}\n have {found:#?}"
        );
        let (config, _) = Config::from_value(value);
        assert_eq!(config.inert, expected.starts_with("Error"), "{value}");
    }
}

#[test]
fn an_empty_list_lets_nobody_in() {
    let who = |allow: Value| {
        let opt_in = json!({"cookie": {"name": "ff", "value": "on"}});
        let (config, problems) = Config::from_value(&flag(json!({"optIn": opt_in, "allow": allow})));
        (config.flags[0].who, problems.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let warning =
        "flags[0].allow: is empty: nobody can opt in; remove it, or set `optIn.who: anyone`".to_owned();
    for empty in [json!({}), json!({"subjects": []})] {
        assert_eq!(who(empty.clone()), (Who::Listed, vec![warning.clone()]), "{empty}");
    }
    assert_eq!(who(Value::Null), (Who::Anyone, vec![]));
    assert_eq!(who(json!({"subjects": ["joe"]})), (Who::Listed, vec![]));
    assert_eq!(who(json!({"headers": {"x-team": null}})), (Who::Listed, vec![]));
}

#[test]
fn an_override_for_one_subject_depends_on_who_asks() {
    let value = json!({"subject": [{"header": "x-user-id"}], "flags": [{"name": "f", "optIn": {"query": {"name": "cg"}}}]});
    assert_eq!(Config::from_value(&value).0.vary, "x-user-id");
}

#[test]
fn what_depends_on_the_clients_address_is_not_for_caches() {
    let config = |header: &str, flag: Value| {
        let value =
            json!({"trust": {"clientIpHeader": header}, "subject": [{"clientIp": true}], "flags": [flag]});
        let (config, problems) = Config::from_value(&value);
        assert!(problems.is_empty(), "{problems:?}");
        (config.vary, config.needs_client_ip)
    };
    let rollout = json!({"name": "f", "rollout": {"canary": 5}});
    let listed = json!({"name": "f", "allow": {"subjects": ["203.0.113.7"]}});
    let cookie = json!({"name": "f", "optIn": {"cookie": {"name": "ff", "value": "on"}}});
    // What Envoy knows of the connection is in no header that `Vary` could name.
    assert_eq!(config("none", rollout.clone()), ("*".into(), true));
    assert_eq!(config("none", listed), ("*".into(), true));
    assert_eq!(config("none", cookie), ("Cookie".into(), false), "nothing depends on it");
    assert_eq!(config("x-real-ip", rollout), ("x-real-ip".into(), false));
}

#[test]
fn all_problems_are_reported_at_once() {
    let value = json!({"mode": 1, "colour": "red", "flags": [
        {"name": "a", "rollout": {"canary": 101}, "layer": {"name": "l", "range": [0, 60]}},
        {"name": "b", "rolout": {}, "layer": {"name": "l", "range": [50, 100]}},
    ]});
    let paths: Vec<String> =
        Config::from_value(&value).1.iter().map(|problem| problem.path.to_string()).collect();
    assert_eq!(paths, ["mode", "colour", "flags[1].rolout", "flags[0].rollout", "flags[1].layer.range"]);
}

#[test]
fn unknown_fields_do_not_make_a_configuration_inert() {
    let (config, problems) = Config::from_value(&flag(json!({"futureField": 1})));
    assert_eq!((config.inert, problems[0].severity), (false, Severity::Unknown));
}

/// A field named `off` would be `false` in YAML that does not quote it, so there is none; both lead to the one there is.
#[test]
fn a_boolean_in_place_of_the_opt_out_is_answered_with_its_name() {
    for (name, hint) in [("off", Some("optOut")), ("false", Some("optOut")), ("true", None)] {
        let mut value = flag(json!({"optIn": {"cookie": {"name": "ff", "value": "on"}}}));
        value["flags"][0]["optIn"]["cookie"][name] = json!(["off"]);
        let (config, problems) = Config::from_value(&value);
        let [problem] = &problems[..] else { panic!("{problems:?}") };
        assert_eq!(problem.path.to_string(), format!("flags[0].optIn.cookie.{name}"));
        assert_eq!((problem.severity, problem.suggestion), (Severity::Unknown, hint));
        assert!(!config.inert);
        if hint.is_some() {
            assert_eq!(problem.message, "unknown field, did you mean `optOut`?");
        }
    }
    // Only there: elsewhere nothing opts out.
    let (_, problems) = Config::from_value(&flag(json!({"off": true})));
    assert_eq!((problems.len(), problems[0].suggestion), (1, None));
}

#[test]
fn tags_of_a_broken_configuration_are_known() {
    let tags = |value: Value| Config::from_value(&value).0.tags;
    let value = json!({"mode": 1, "flags": [
        {"header": "x-one"}, {"name": "B!", "header": {"name": "X-Two"}}, {"name": "c"}, {"name": "d", "header": "cookie"},
        7, {"name": "e", "header": 7},
    ]});
    assert_eq!(tags(value), ["x-one", "x-two", "x-canary"]);
    assert_eq!(tags(json!({"flags": 7})), ["x-canary"]);
    assert_eq!(tags(json!({"flags": [{"name": "f", "header": "cookie"}]})), ["x-canary"], "never nothing");
    assert_eq!(Config::parse(b"{").0.tags, ["x-canary"]);
    assert_eq!(Config::parse(b"").0.tags, ["x-canary"]);
}

/// Whatever shape a tag was given in, the header that a VirtualService may match on goes.
#[test]
fn tags_of_a_wrong_shape_are_stripped() {
    let stripped = |value: &Value| {
        let (config, _) = Config::from_value(value);
        assert!(config.inert, "{value}");
        config.tags
    };
    let headers = [
        (json!(["x-release"]), "x-release"),
        (json!([["X-Release"]]), "x-release"),
        (json!({"nam": "x-release"}), "x-release"),
        (json!({"name": ["x-release"]}), "x-release"),
        (json!({"name": {"is": "x-release"}}), "x-release"),
        (json!({"x-release": "canary"}), "x-release"),
        (json!("x_release"), "x_release"),
        (json!("x.release"), "x.release"),
        (json!(" x-release "), "x-release"),
    ];
    for (header, tag) in headers {
        let flag = json!({"name": "a", "header": header});
        for flags in [json!([flag]), json!(flag), json!({"a": flag}), json!([[flag]]), json!([{"a": [flag]}])]
        {
            for value in
                [json!({"flags": flags}), json!({"pluginConfig": {"pluginConfig": {"flags": flags}}})]
            {
                assert!(stripped(&value).iter().any(|known| known == tag), "{value}");
            }
        }
        for field in ["tagsHeader", "reasonHeader"] {
            let value = json!({field: header, "flags": [{"name": "a"}]});
            assert!(stripped(&value).iter().any(|known| known == tag), "{value}");
        }
    }
    // Neither what is no name nor what requests are broken without.
    let long = "x".repeat(65);
    let named = ["x a", "", "é", ":path", &long, "Host", " cookie", "x-envoy-a", "x-one"];
    let header = json!({"name": named, "values": {"x-two": "x-three"}, "emitStable": "x-four"});
    assert_eq!(stripped(&json!({"flags": [{"name": "a", "header": header}]})), ["x-canary", "x-one"]);
    // A good configuration strips what it says and no more.
    let (config, _) = Config::from_value(&flag(json!({"header": "x-one", "response": {"header": "x-two"}})));
    assert_eq!((config.inert, &config.tags[..]), (false, &["x-one".to_owned()][..]));
}

#[test]
fn baggage_of_a_wrong_type_is_still_cleaned() {
    let baggage = |value: Value| {
        let (config, _) = Config::from_value(&value);
        (config.inert, config.baggage)
    };
    for wrong in [json!("true"), json!("false"), json!(1), json!({}), json!(["yes"])] {
        assert_eq!(baggage(json!({"baggage": wrong, "flags": [{"name": "f"}]})), (true, true), "{wrong}");
    }
    for (right, on) in [(json!(true), true), (json!(false), false), (Value::Null, false)] {
        assert_eq!(baggage(json!({"baggage": right, "flags": [{"name": "f"}]})), (false, on), "{right}");
        assert_eq!(baggage(json!({"baggage": right, "flags": 7})), (true, on), "{right}");
        assert_eq!(baggage(json!({"pluginConfig": {"baggage": right}})), (true, on), "{right}");
    }
}

#[test]
fn what_may_share_a_name_does() {
    let value = json!({
        "subject": [{"header": "location"}, {"cookie": "uid", "trusted": true}],
        "flags": [
            {"name": "a", "header": "location", "optIn": {"cookie": {"name": "uid", "value": "on"}, "query": {"name": "a"}}},
            {"name": "b", "header": "none", "optIn": {"cookie": {"name": "uid", "value": "off"}, "query": {"name": "b"}}},
        ],
        "trust": {"clientIpHeader": "none"},
    });
    // A tag may have the name of a response header, and `none` is no header; a subject may be no tag.
    assert_eq!(
        problems(value),
        ["Error subject[0].header: `location` is a tag of this filter: a client could set it"]
    );
}

#[test]
fn a_domain_has_labels_that_browsers_take() {
    let right = ["localhost", "example.com", ".example.com", "a-b--c.d1", "1.2"];
    let wrong = ["", ".", "..", "a..b", "..a", "a.", "-a", "a-", "a.-b", "a-.b", "a_b", "a b"];
    for domain in right {
        assert_eq!(text::fault(fields::Text::Domain, domain), None, "{domain}");
    }
    for domain in wrong.into_iter().chain([&*"a".repeat(254)]) {
        assert!(text::fault(fields::Text::Domain, domain).is_some(), "{domain}");
    }
}

#[test]
fn the_order_of_an_object_does_not_matter() {
    let parse = |json: &str| Config::parse(json.as_bytes()).0;
    let one = parse(r#"{"flags": [{"name": "f", "rollout": {"b": 10, "a": 20, "c": 5}}]}"#);
    let two = parse(r#"{"flags": [{"rollout": {"c": 5, "a": 20, "b": 10}, "name": "f"}]}"#);
    assert_eq!(one, two);
    let slices: Vec<_> =
        one.flags[0].variants.iter().map(|v| (v.name.as_str(), v.slice.start, v.slice.width)).collect();
    assert_eq!(slices, [("a", 0, 20_000), ("b", 20_000, 10_000), ("c", 30_000, 5_000)]);
}

#[test]
fn messages_hold_no_control_characters() {
    let nasty = "a\nb\r\u{0}\u{1b}[31m";
    let value = json!({nasty: 1, "mode": nasty, "flags": [{"name": nasty, "rollout": {nasty: 1}, "header": {"name": nasty}}]});
    for problem in Config::from_value(&value).1 {
        assert!(!problem.to_string().chars().any(char::is_control), "{problem:?}");
    }
}

/// `UPDATE=1 cargo test -p coalmine-filter-config` writes the file anew.
#[test]
fn the_shipped_schema_is_fresh() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../schema.json");
    let fresh = serde_json::to_string_pretty(&schema::schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &fresh).unwrap();
    }
    let shipped: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(shipped, schema::schema(), "stale: run `UPDATE=1 cargo test -p coalmine-filter-config`");
}

#[test]
fn every_field_is_documented() {
    fn walk(fields: &[fields::Field]) {
        for field in fields {
            assert!(field.doc.len() > 8 && field.doc.ends_with('.'), "{}", field.name);
            assert!(
                field.default.is_empty() || serde_json::from_str::<Value>(field.default).is_ok(),
                "{}",
                field.name
            );
            inner(&field.kind);
        }
    }
    fn inner(kind: &fields::Kind) {
        match kind {
            fields::Kind::Object(fields) | fields::Kind::Open(fields, ..) => walk(fields),
            fields::Kind::List(kind) | fields::Kind::Map(_, kind) => inner(kind),
            fields::Kind::Either(kinds) => kinds.iter().for_each(inner),
            _ => {}
        }
    }
    walk(fields::CONFIG);
}

#[test]
fn documented_defaults_are_the_defaults() {
    // Spelling out every default must not change what is compiled.
    let explicit = json!({
        "schema": 1, "mode": "enforce", "role": "edge", "trust": {"principals": [], "clientIpHeader": "none"}, "priority": "first-match", "subject": [{"generate": {"cookie": "__Host-coalmine", "maxAge": "180d"}}],
        "keys": [{"id": "k1", "env": "COALMINE_KEY_K1", "verifyOnly": false}],
        "cookieDefaults": {"secure": true, "httpOnly": true, "sameSite": "Lax", "path": "/", "maxAge": "7d", "refreshBelow": "25%", "partitioned": false},
        "onlyNavigations": false, "telemetry": {"metrics": true, "filterState": true},
        "limits": {"cookieBytes": 8192, "cookiePairs": 100}, "onBadConfig": "inert",
        "flags": [{"name": "f", "enabled": true, "header": {"name": "x-canary", "values": {}, "emitStable": false}, "sticky": "pin",
            "rollout": {"salt": "f", "holdback": 0, "canary": 5}, "cookie": {"name": "__Host-coalmine-f"},
            "response": {"vary": "auto", "cacheControl": "auto"}, "when": {"hosts": [], "paths": [], "excludePaths": [], "methods": []},
            "deny": {"subjects": [], "headers": {}, "cookies": {}}, "allow": {"subjects": [], "headers": {}, "cookies": {}}}],
    });
    let implicit = json!({"flags": [{"name": "f", "sticky": "pin", "rollout": {"canary": 5}}]});
    let (explicit, problems) = Config::from_value(&explicit);
    assert!(problems.is_empty(), "{problems:?}");
    let (implicit, _) = Config::from_value(&implicit);
    assert_eq!(explicit, implicit);
}

/// Trees that look like configurations, with anything in any place.
fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "(on|x-canary|canary|7d|25%|pin|hash|edge|mesh|__Host-a|/a/\\*\\*|sha256:)".prop_map(Value::from),
    ];
    let key = prop_oneof![
        4 => "(pluginConfig|tagsHeader|baggage|flags|name|rollout|canary|holdback|salt|header|values|optIn|cookie|query|subject|keys|id|env|layer|range|when|paths|window|from|until|allow|deny|subjects|headers|cookies|response|sticky|trust|principals|clientIpHeader|clientIp|generate|maxAge)",
        1 => any::<String>(),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn any_tree_is_compiled_and_what_it_strips_is_a_header(value in tree()) {
        let wrapped = json!({"flags": [value.clone()]});
        for value in [value, wrapped] {
            let (config, problems) = Config::from_value(&value);
            prop_assert_eq!(config.inert, problems.iter().any(|problem| problem.severity == Severity::Error));
            for tag in &config.tags {
                prop_assert!(tag.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'
                    // What a broken configuration names may be any token.
                    || config.inert && b"!#$%&'*+.^_`|~".contains(&b)));
                prop_assert!(!tag.is_empty() && tag.len() <= 64 && !lower::RESERVED.contains(&tag.as_str()));
            }
        }
    }

    #[test]
    fn any_bytes_are_parsed(json: Vec<u8>) {
        let (config, problems) = Config::parse(&json);
        prop_assert!(config.inert != problems.iter().all(|problem| problem.severity != Severity::Error));
        prop_assert!(!config.tags.is_empty());
    }
}
