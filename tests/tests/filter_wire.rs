//! What goes out to clients, byte by byte: Envoy writes response headers that a module sets without checking them.

use coalmine_filter::decide::override_binding;
use coalmine_filter::token::Keys;
use coalmine_tests::bootstrap::{Bootstrap, Plugin};
use coalmine_tests::envoy::Envoy;
use coalmine_tests::http1::Response;
use coalmine_tests::policy::{self, CANARY, TAG};
use coalmine_tests::upstream::Upstream;
use coalmine_tests::{http2, on_each_envoy};
use serde_json::{Value, json};

on_each_envoy!(
    set_cookie_is_right_to_the_byte,
    cookies_are_set_only_when_they_change,
    a_forged_or_foreign_pin_is_worth_nothing,
    a_refused_flag_cookie_is_deleted_where_it_was_set,
    an_application_s_own_cookies_and_headers_survive,
    caches_are_told,
    no_input_makes_a_line_of_its_own,
    a_pinned_override_is_redirected_without_it,
    baggage_is_a_decision_too,
);

const KEY: (&str, &str) = ("COALMINE_KEY_K1", "0123456789abcdef0123456789abcdef");

/// Everyone is in the canary and pinned there.
fn pinned() -> Value {
    json!({
        "subject": [{ "generate": { "cookie": "__Host-id", "maxAge": "180d" } }],
        "cookieDefaults": { "sameSite": "Strict" },
        "flags": [{
            "name": "checkout",
            "header": TAG,
            "rollout": { CANARY: 100 },
            "sticky": "pin",
            "cookie": { "name": "ff", "path": "/shop", "domain": "example.com", "maxAge": "2h", "httpOnly": false,
                        "sameSite": "None", "partitioned": true },
            "response": { "header": "x-variant" },
        }],
    })
}

/// An Envoy with this policy and a key, and the upstreams behind it.
fn start(version: &str, policy: &Value) -> (Envoy, Upstream, Upstream) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let envoy = start_before(version, policy, &v1, &v2);
    (envoy, v1, v2)
}

fn start_before(version: &str, policy: &Value, v1: &Upstream, v2: &Upstream) -> Envoy {
    let mut plugin = Plugin::new(policy);
    // As `valueFrom: HOST`: the key is in Envoy's own environment, never in its configuration.
    plugin.host_env = vec![KEY.0.to_owned()];
    let mut bootstrap = Bootstrap::canary(TAG, CANARY, v1.address, v2.address).filter(plugin.filter());
    bootstrap.env = vec![(KEY.0.to_owned(), KEY.1.to_owned())];
    let envoy = Envoy::start(version, &bootstrap);
    let dump = envoy.admin("/config_dump").body;
    assert!(!String::from_utf8_lossy(&dump).contains(KEY.1), "the key shows in /config_dump");
    envoy
}

/// `Set-Cookie` lines as they stood on the wire, with tokens replaced by `TOKEN`, and those tokens.
fn set_cookies(answer: &Response) -> (Vec<String>, Vec<String>) {
    let head = String::from_utf8(answer.head.clone()).expect("ASCII");
    let lines = head.split("\r\n").filter(|line| line.to_ascii_lowercase().starts_with("set-cookie:"));
    let mut tokens = Vec::new();
    let lines = lines.map(|line| {
        let (before, rest) = line.split_once('=').expect("a pair");
        let (token, after) = rest.split_once(';').expect("attributes");
        tokens.push(token.to_owned());
        format!("{before}=TOKEN;{after}")
    });
    (lines.collect(), tokens)
}

fn set_cookie_is_right_to_the_byte(version: &str) {
    let (envoy, _v1, _v2) = start(version, &pinned());
    let answer = envoy.connect().get("/shop", &[]);
    assert_eq!(answer.echo().version, "v2");
    let (lines, tokens) = set_cookies(&answer);
    assert_eq!(
        lines,
        [
            "set-cookie: __Host-id=TOKEN; Path=/; Max-Age=15552000; Secure; HttpOnly; SameSite=Strict",
            "set-cookie: ff=TOKEN; Path=/shop; Domain=example.com; Max-Age=7200; Secure; SameSite=None; Partitioned",
        ]
    );
    for token in &tokens {
        assert!(token.starts_with("1.k1."), "{token}");
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
        assert!(token.bytes().all(plain) && token.len() < 200, "{token}");
    }
    // HTTP/2 carries the same.
    let answer = http2::get(envoy.address(), "/shop", &[]).unwrap();
    assert_eq!(answer.all("set-cookie").len(), 2);
    assert!(
        answer.all("set-cookie")[0]
            .ends_with("; Path=/; Max-Age=15552000; Secure; HttpOnly; SameSite=Strict")
    );
}

fn cookies_are_set_only_when_they_change(version: &str) {
    let (envoy, _v1, _v2) = start(version, &pinned());
    let mut client = envoy.connect();
    let (_, tokens) = set_cookies(&client.get("/", &[]));
    let both = format!("__Host-id={}; ff={}", tokens[0], tokens[1]);
    for _ in 0..3 {
        let again = client.get("/", &[("Cookie", both.as_bytes())]);
        assert_eq!((again.echo().version.as_str(), set_cookies(&again).0), ("v2", vec![]));
    }
    // With the id alone, the pin is made again; with the pin alone, the id is.
    let id = format!("__Host-id={}", tokens[0]);
    let (lines, _) = set_cookies(&client.get("/", &[("Cookie", id.as_bytes())]));
    assert!(lines.len() == 1 && lines[0].starts_with("set-cookie: ff="), "{lines:?}");
    // A pin holds when the percentage drops to nothing, on another Envoy with the same key.
    let mut dropped = pinned();
    dropped["flags"][0]["rollout"] = json!({ CANARY: 0 });
    let (later, _v1, _v2) = start(version, &dropped);
    assert_eq!(later.connect().get("/", &[("Cookie", both.as_bytes())]).echo().version, "v2");
    assert_eq!(later.connect().get("/", &[("Cookie", id.as_bytes())]).echo().version, "v1");
}

fn a_forged_or_foreign_pin_is_worth_nothing(version: &str) {
    let (envoy, _v1, _v2) = start(version, &pinned());
    let (_, mine) = set_cookies(&envoy.connect().get("/", &[]));
    let (_, theirs) = set_cookies(&envoy.connect().get("/", &[]));
    let mut nobody = pinned();
    nobody["flags"][0]["rollout"] = json!({ CANARY: 0 });
    let (closed, _v1, _v2) = start(version, &nobody);
    let version_of = |id: &str, pin: &str| {
        let cookie = format!("__Host-id={id}; ff={pin}");
        closed.connect().get("/", &[("Cookie", cookie.as_bytes())]).echo().version
    };
    assert_eq!(version_of(&mine[0], &mine[1]), "v2", "the control: a good pin");
    assert_eq!(version_of(&theirs[0], &mine[1]), "v1", "another subject's pin");
    assert_eq!(version_of(&mine[0], &mine[0]), "v1", "an id is no pin");
    let mut pin = mine[1].clone().into_bytes();
    for at in 0..pin.len() {
        let kept = pin[at];
        pin[at] = if kept == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(pin.clone()).expect("ASCII");
        assert_eq!(version_of(&mine[0], &forged), "v1", "byte {at} of {}", mine[1]);
        pin[at] = kept;
    }
    for forged in ["", "1", "1.k1", "1.k1...", "1.k1.zzzzzzzzzzzzzzz.canary.AAAAAAAAAAAAAAAAAAAAAA"] {
        assert_eq!(version_of(&mine[0], forged), "v1", "{forged}");
    }
    // Cookie tossing: a sibling domain puts a forged one in front; the first valid one counts.
    let tossed = format!("ff=evil; __Host-id={}; ff={}", mine[0], mine[1]);
    assert_eq!(closed.connect().get("/", &[("Cookie", tossed.as_bytes())]).echo().version, "v2");
}

fn a_refused_flag_cookie_is_deleted_where_it_was_set(version: &str) {
    let policy = json!({ "flags": [{
        "name": "voting",
        "header": TAG,
        "deny": { "headers": { "x-team": "blocked" } },
        "optIn": { "cookie": { "name": "featureflag", "value": "on", "expire": true, "path": "/vote", "domain": "example.com" } },
    }] });
    let (envoy, _v1, _v2) = start(version, &policy);
    let refused = envoy.connect().get("/", &[("Cookie", b"featureflag=on"), ("X-Team", b"blocked")]);
    assert_eq!(refused.echo().version, "v1");
    let lines = refused.all("set-cookie");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with(
            "featureflag=; Path=/vote; Domain=example.com; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
        ),
        "{lines:?}"
    );
    for headers in [&[("Cookie", b"featureflag=on".as_slice())][..], &[("X-Team", b"blocked")]] {
        assert_eq!(envoy.connect().get("/", headers).all("set-cookie"), Vec::<String>::new(), "{headers:?}");
    }
}

fn an_application_s_own_cookies_and_headers_survive(version: &str) {
    let answering = |version: &'static str| {
        Upstream::with(move |request| {
            let mut reply = request.echo(version);
            let headers = [
                ("set-cookie", "session=1; Path=/; HttpOnly"),
                ("Set-Cookie", "theme=dark"),
                ("set-cookie", "ff=mine; Path=/app"),
                ("vary", "Accept-Encoding"),
                ("cache-control", "max-age=60"),
            ];
            reply.headers.extend(headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
            reply
        })
    };
    let (v1, v2) = (answering("v1"), answering("v2"));
    let envoy = start_before(version, &pinned(), &v1, &v2);
    let answer = envoy.connect().get("/", &[]);
    let cookies = answer.all("set-cookie");
    assert_eq!(cookies[..3], ["session=1; Path=/; HttpOnly", "theme=dark", "ff=mine; Path=/app"]);
    // The application set `ff` itself: two lines of one name would leave the browser to choose.
    assert_eq!(cookies.len(), 4, "{cookies:?}");
    assert!(cookies[3].starts_with("__Host-id="));
    assert_eq!(answer.all("vary").join(","), "Accept-Encoding,Cookie");
    assert_eq!(answer.all("x-variant"), ["checkout=canary"]);
}

fn caches_are_told(version: &str) {
    let (envoy, _v1, _v2) = start(version, &pinned());
    let mut client = envoy.connect();
    let first = client.get("/", &[]);
    assert_eq!(first.all("cache-control"), ["private"], "a response that sets a cookie");
    assert!(first.all("vary").join(",").to_ascii_lowercase().contains("cookie"));
    let (_, tokens) = set_cookies(&first);
    let both = format!("__Host-id={}; ff={}", tokens[0], tokens[1]);
    let second = client.get("/", &[("Cookie", both.as_bytes())]);
    assert_eq!(second.all("cache-control"), Vec::<String>::new(), "one that sets none");
    assert!(second.all("vary").join(",").to_ascii_lowercase().contains("cookie"));
}

/// Whatever arrives, each line that leaves is a header that was meant to be there.
fn no_input_makes_a_line_of_its_own(version: &str) {
    let mut policy = pinned();
    policy["subject"] =
        json!([{ "header": "x-user-id" }, { "cookie": "uid", "trusted": true }, { "generate": {} }]);
    policy["flags"][0]["optIn"] =
        json!({ "cookie": { "name": "featureflag", "value": "on", "expire": true } });
    policy["flags"][0]["deny"] = json!({ "headers": { "x-team": "blocked" } });
    policy["reasonHeader"] = json!("x-canary-reason");
    policy["tagsHeader"] = json!("x-canary-tags");
    let (envoy, _v1, _v2) = start(version, &policy);
    let known = [
        "content-type",
        "content-length",
        "set-cookie",
        "vary",
        "cache-control",
        "x-variant",
        "date",
        "server",
        "x-envoy-upstream-service-time",
    ];
    let evils: [&[u8]; 8] = [
        b"x%0d%0aSet-Cookie:%20evil=1",
        b"x\xe5\x98\x8d\xe5\x98\x8aSet-Cookie: evil=1", // characters that careless encoders cut down to CR and LF
        b"x\\r\\nSet-Cookie: evil=1",
        b"x\rSet-Cookie: evil=1",
        b"x\x0bSet-Cookie: evil=1",
        b"x\xc2\x85Set-Cookie: evil=1",
        b"\xff\xfe\x80",
        b"on; Domain=evil.example; Path=/",
    ];
    for evil in evils {
        for name in ["X-User-Id", "X-Team", "X-Canary", "X-Canary-Reason", "X-Canary-Tags", "Cookie"] {
            for cookie in [b"featureflag=".as_slice(), b"uid=", b"ff=", b"__Host-coalmine=", b"ff=1.k1."] {
                let value = if name == "Cookie" { [cookie, evil].concat() } else { evil.to_vec() };
                let answer = envoy.connect().get("/shop", &[(name, &value)]);
                let shown = String::from_utf8_lossy(&answer.head).into_owned();
                if answer.status == 400 {
                    continue; // the codec's own answer
                }
                assert_eq!(answer.status, 200, "{name}: {}", value.escape_ascii());
                assert!(!shown.contains("evil"), "{name}: {}\n{shown}", value.escape_ascii());
                let body = shown.trim_end_matches("\r\n");
                for line in body.split("\r\n").skip(1) {
                    let key = line.split(':').next().unwrap_or_default();
                    assert!(known.contains(&key), "{name}: {}\n{shown}", value.escape_ascii());
                    assert!(line.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{line:?}");
                }
            }
        }
    }
}

/// The link opts in for good, and its token gets into no history, cache or Referer.
fn a_pinned_override_is_redirected_without_it(version: &str) {
    let mut policy = pinned();
    policy["flags"][0]["rollout"] = json!({ CANARY: 0 });
    policy["flags"][0]["optIn"] = json!({ "query": { "name": "cg", "redirect": true } });
    let (envoy, v1, v2) = start(version, &policy);
    let mut client = envoy.connect();
    let (_, ids) = set_cookies(&client.get("/", &[]));
    let id = format!("__Host-id={}", ids[0]);
    let mut keys = Keys::none();
    assert!(keys.add("k1", KEY.1.as_bytes(), false));
    let token = keys.sign(&override_binding("cg", "checkout", b""), CANARY, u64::from(u32::MAX)).unwrap();
    let seen = v1.seen() + v2.seen();
    let link = format!("/shop?a=1&cg={token}&b=%0d%0aX:1");
    let answer = client.get(&link, &[("Cookie", id.as_bytes())]);
    assert_eq!(answer.status, 302);
    assert_eq!(answer.all("location"), ["/shop?a=1&b=%0d%0aX:1"]);
    assert_eq!(answer.all("cache-control"), ["no-store"]);
    let (lines, pins) = set_cookies(&answer);
    assert!(lines.len() == 1 && lines[0].starts_with("set-cookie: ff="), "{lines:?}");
    assert_eq!(v1.seen() + v2.seen(), seen, "no upstream was asked");
    let both = format!("{id}; ff={}", pins[0]);
    let there = client.get("/shop?a=1", &[("Cookie", both.as_bytes())]);
    assert_eq!((there.status, there.echo().version.as_str()), (200, "v2"));
    // Where a Location could lead elsewhere, the request is answered as it stands.
    let elsewhere = client.get(&format!("//evil.example/?cg={token}"), &[("Cookie", id.as_bytes())]);
    assert_eq!((elsewhere.status, elsewhere.echo().version.as_str()), (200, "v2"));
}

fn baggage_is_a_decision_too(version: &str) {
    let mut policy = policy::voting();
    policy["baggage"] = json!(true);
    let (envoy, _v1, _v2) = start(version, &policy);
    let mut client = envoy.connect();
    let forged: [(&str, &[u8]); 2] = [("Baggage", b"user=7"), ("baggage", b"coalmine.voting=canary;x, t=1")];
    assert_eq!(client.get("/", &forged).echo().all("baggage"), ["user=7,t=1"]);
    let on = [("Cookie", b"featureflag=on".as_slice()), forged[0], forged[1]];
    assert_eq!(client.get("/", &on).echo().all("baggage"), ["coalmine.voting=canary,user=7,t=1"]);
    assert_eq!(client.get("/", &[("baggage", b"user=7")]).echo().all("baggage"), ["user=7"]);
}
