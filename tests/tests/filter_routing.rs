//! Routing really changes, and only for those whom the policy lets in: no form of a forged tag reaches the canary.

use coalmine_tests::bootstrap::{self, Bootstrap, Plugin};
use coalmine_tests::envoy::Envoy;
use coalmine_tests::policy::{self, CANARY, TAG};
use coalmine_tests::upstream::{Reply, Upstream};
use coalmine_tests::{http2, on_each_envoy};
use serde_json::{Value, json};

on_each_envoy!(
    the_flag_cookie_reaches_v2_and_nothing_else_does,
    no_form_of_a_forged_tag_reaches_v2,
    no_alias_of_the_tag_reaches_an_application,
    a_forged_tag_is_replaced_not_joined,
    the_tag_is_stripped_in_every_mode,
    a_tag_does_not_survive_an_internal_redirect,
    a_flag_applies_only_where_it_says,
    without_the_filter_a_forged_tag_would_reach_v2,
);

/// Two upstreams and an Envoy with these policies in front of them.
struct Mesh {
    envoy: Envoy,
    v1: Upstream,
    v2: Upstream,
}

fn mesh(version: &str, policy: &Value) -> Mesh {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let bootstrap = Bootstrap::canary(TAG, CANARY, v1.address, v2.address).plugin(policy);
    Mesh { envoy: Envoy::start(version, &bootstrap), v1, v2 }
}

/// Forged tags as clients can put them on the wire.
fn forgeries() -> Vec<Vec<(&'static str, Vec<u8>)>> {
    let one = |name, value: &[u8]| vec![(name, value.to_vec())];
    let long = [b"canary".as_slice(), &b" ".repeat(4000), b"canary"].concat();
    vec![
        one("x-canary", b"canary"),
        one("X-Canary", b"canary"),
        one("X-CANARY", b"canary"),
        one("x-canary", b" \tcanary \t"),
        one("x-canary", b"canary,canary"),
        one("x-canary", b"stable, canary"),
        one("x-canary", b""),
        one("x-canary", b"\"canary\""),
        one("x-canary", b"canary;q=1"),
        one("x-canary", b"\xff\xfecanary"),
        one("x-canary", &long),
        [one("x-canary", b"stable"), one("X-Canary", b"canary")].concat(),
        [one("x-canary", b"canary"), one("x-canary", b"stable")].concat(),
        [one("X-CANARY", b""), one("x-canary", b"canary"), one("x-Canary", b"canary")].concat(),
        [one("connection", b"x-canary"), one("x-canary", b"canary")].concat(),
        [one("te", b"trailers"), one("x-canary", b"canary")].concat(),
        [one("cookie", b"featureflag=off"), one("x-canary", b"canary")].concat(),
        [one("cookie", b"x-canary=canary"), one("x-canary", b"canary")].concat(),
        [one("cookie", b"\xff"), one("x-canary", b"canary")].concat(),
    ]
}

fn the_flag_cookie_reaches_v2_and_nothing_else_does(version: &str) {
    let mesh = mesh(version, &policy::voting());
    let mut client = mesh.envoy.connect();
    for _ in 0..3 {
        let on = client.get("/", &[("Cookie", b"featureflag=on")]).echo();
        assert_eq!((on.version.as_str(), on.all(TAG)), ("v2", vec![CANARY]));
        let off = client.get("/", &[("Cookie", b"featureflag=off")]).echo();
        assert_eq!((off.version.as_str(), off.all(TAG)), ("v1", vec![]));
        let none = client.get("/", &[]).echo();
        assert_eq!((none.version.as_str(), none.all(TAG)), ("v1", vec![]));
    }
    assert_eq!((mesh.v1.seen(), mesh.v2.seen()), (6, 3));
}

fn no_form_of_a_forged_tag_reaches_v2(version: &str) {
    let mesh = mesh(version, &policy::voting());
    let mut client = mesh.envoy.connect();
    for forgery in forgeries() {
        let headers: Vec<(&str, &[u8])> =
            forgery.iter().map(|(name, value)| (*name, value.as_slice())).collect();
        let echo = client.get("/", &headers).echo();
        assert_eq!((echo.version.as_str(), echo.all(TAG)), ("v1", vec![]), "HTTP/1, sent {forgery:?}");
        // HTTP/2 forbids these two; the first is tried above.
        if headers.iter().any(|(name, value)| *name == "connection" || value.trim_ascii() != *value) {
            continue;
        }
        let echo = http2::get(mesh.envoy.address(), "/", &headers).unwrap().echo();
        assert_eq!((echo.version.as_str(), echo.all(TAG)), ("v1", vec![]), "HTTP/2, sent {forgery:?}");
    }
    // A client that follows a redirect sends its forged tag again, on the same or a new connection.
    for path in ["/first", "/after-redirect"] {
        assert_eq!(mesh.envoy.connect().get(path, &[(TAG, b"canary")]).echo().version, "v1");
    }
    assert_eq!(mesh.v2.seen(), 0);
}

/// Behind CGI-like interfaces `x_canary` and `x-canary` are one variable.
fn no_alias_of_the_tag_reaches_an_application(version: &str) {
    let mesh = mesh(version, &policy::voting());
    let bare = Envoy::start(version, &Bootstrap::canary(TAG, CANARY, mesh.v1.address, mesh.v2.address));
    for cookie in [b"featureflag=on".as_slice(), b"featureflag=off"] {
        let headers: [(&str, &[u8]); 4] =
            [("X_Canary", b"canary"), ("x_canary", b"a"), ("x_user", b"1"), ("Cookie", cookie)];
        let echo = mesh.envoy.connect().get("/", &headers).echo();
        assert_eq!((echo.all("x_canary"), echo.all("x_user")), (vec![], vec!["1"]));
        let echo = http2::get(mesh.envoy.address(), "/", &headers).unwrap().echo();
        assert_eq!((echo.all("x_canary"), echo.all("x_user")), (vec![], vec!["1"]));
        let echo = bare.connect().get("/", &headers).echo();
        assert_eq!(echo.all("x_canary").len(), 2, "Envoy by itself passes them on");
    }
}

fn a_forged_tag_is_replaced_not_joined(version: &str) {
    let mesh = mesh(version, &policy::voting());
    for forged in [&[b"stable".as_slice()][..], &[b"canary"], &[b"stable", b"canary", b"beta"]] {
        let mut headers: Vec<(&str, &[u8])> = forged.iter().map(|value| (TAG, *value)).collect();
        headers.push(("Cookie", b"featureflag=on"));
        let echo = mesh.envoy.connect().get("/", &headers).echo();
        assert_eq!((echo.version.as_str(), echo.all(TAG)), ("v2", vec![CANARY]), "sent {headers:?}");
    }
}

fn the_tag_is_stripped_in_every_mode(version: &str) {
    let mut observe = policy::voting();
    observe["mode"] = json!("observe");
    let mut off = policy::voting();
    off["mode"] = json!("off");
    let mut disabled = policy::voting();
    disabled["flags"][0]["enabled"] = json!(false);
    for (name, policy) in [("observe", observe), ("off", off), ("disabled", disabled)] {
        let mesh = mesh(version, &policy);
        let sent: [(&str, &[u8]); 3] =
            [(TAG, b"canary"), ("X-Canary", b"beta"), ("Cookie", b"featureflag=on")];
        let echo = mesh.envoy.connect().get("/", &sent).echo();
        assert_eq!((echo.version.as_str(), echo.all(TAG)), ("v1", vec![]), "{name}");
    }
}

fn a_flag_applies_only_where_it_says(version: &str) {
    let mut policy = policy::voting();
    policy["flags"][0]["when"] = json!({ "paths": ["/shop/**"], "hosts": ["app.example.com"] });
    let mesh = mesh(version, &policy);
    let mut client = mesh.envoy.connect();
    let mut version_of = |path: &str, host: &[u8]| {
        client.get(path, &[("Host", host), ("Cookie", b"featureflag=on")]).echo().version
    };
    assert_eq!(version_of("/shop/cart", b"app.example.com"), "v2");
    assert_eq!(version_of("/shop/cart?x=/elsewhere", b"app.example.com"), "v2");
    assert_eq!(version_of("/elsewhere?x=/shop/cart", b"app.example.com"), "v1");
    assert_eq!(version_of("/shop/cart", b"other.example.com"), "v1");
}

/// Envoy follows the redirect itself and runs the filters again on the headers they left: the tag of the first pass
/// must not decide the second.
fn a_tag_does_not_survive_an_internal_redirect(version: &str) {
    let mut policy = policy::voting();
    policy["flags"][0]["when"] = json!({ "paths": ["/shop/**"] });
    let redirecting = |version: &'static str| {
        Upstream::with(move |request| match request.path.as_str() {
            "/shop/leave" => Reply {
                status: 302,
                headers: vec![("location".to_owned(), "http://app.example.com/elsewhere".to_owned())],
                body: Vec::new(),
            },
            _ => request.echo(version),
        })
    };
    let (v1, v2) = (redirecting("v1"), redirecting("v2"));
    let mut bootstrap = Bootstrap::canary(TAG, CANARY, v1.address, v2.address).plugin(&policy);
    for route in &mut bootstrap.routes {
        route["route"]["internal_redirect_policy"] = json!({ "max_internal_redirects": 2 });
    }
    let envoy = Envoy::start(version, &bootstrap);
    let answer = envoy.connect().get("/shop/leave", &[("Cookie", b"featureflag=on"), (TAG, b"canary")]);
    let echo = answer.echo();
    assert_eq!((echo.path.as_str(), echo.version.as_str(), echo.all(TAG)), ("/elsewhere", "v1", vec![]));
    assert_eq!((v1.seen(), v2.seen()), (1, 1), "the first pass went to v2");
}

/// The control: the same routes without the module, so that the tests above can fail.
fn without_the_filter_a_forged_tag_would_reach_v2(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let envoy = Envoy::start(version, &Bootstrap::canary(TAG, CANARY, v1.address, v2.address));
    assert_eq!(envoy.connect().get("/", &[("X-CANARY", b"canary")]).echo().version, "v2");
    // A filter that *adds* its tag leaves the client's beside it.
    let adds = "function envoy_on_request(handle) handle:headers():add('x-canary', 'stable') end";
    let bootstrap =
        Bootstrap::canary(TAG, CANARY, v1.address, v2.address).filter(bootstrap::lua("adds", adds));
    let echo = Envoy::start(version, &bootstrap).connect().get("/", &[(TAG, b"canary")]).echo();
    assert_eq!(echo.all(TAG).len(), 2);
    // And the name of the filter is what Istio's tooling looks for.
    assert_eq!(
        Plugin::new(&json!({})).resource_name(),
        "extensions.istio.io/wasmplugin/istio-ingress.coalmine"
    );
}
