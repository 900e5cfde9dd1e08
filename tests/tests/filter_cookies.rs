//! Cookies on the wire, friendly and hostile, over HTTP/1 and HTTP/2, each with the decision it must lead to; and the
//! same cookies judged by Envoy's own `cookies` route matcher.

use coalmine_tests::bootstrap::{self, Bootstrap};
use coalmine_tests::envoy::Envoy;
use coalmine_tests::policy::{self, CANARY, TAG};
use coalmine_tests::upstream::Upstream;
use coalmine_tests::{http2, on_each_envoy};
use serde_json::json;

on_each_envoy!(
    every_cookie_over_http1_leads_to_its_decision,
    every_cookie_over_http2_leads_to_its_decision,
    a_refused_flag_cookie_does_not_reach_the_application,
    cookies_the_policy_does_not_name_are_left_alone,
);

/// What must become of a request with such a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// In the canary.
    Canary,
    /// Not in the canary.
    Stable,
    /// Not in the canary, though Envoy's own matcher would take it: the caps, which Envoy does not have.
    Capped,
    /// Envoy itself refuses such bytes on HTTP/1 before any filter runs.
    Refused,
}

/// `Cookie` header lines and what must become of them.
struct Case {
    lines: Vec<Vec<u8>>,
    expected: Expected,
}

/// At least the cases of the issue; the number is asserted below.
fn cases() -> Vec<Case> {
    use Expected::{Canary, Capped, Refused, Stable};
    let mut cases = Vec::new();
    let mut add = |expected, lines: &[&[u8]]| {
        cases.push(Case { lines: lines.iter().map(|line| line.to_vec()).collect(), expected });
    };
    // Plain.
    add(Canary, &[b"featureflag=on"]);
    add(Canary, &[b"a=1; featureflag=on"]);
    add(Canary, &[b"featureflag=on; a=1"]);
    add(Canary, &[b"a=1;featureflag=on;b=2"]);
    add(Canary, &[b"a=1;  featureflag=on"]); // two spaces: Istio's regex says no, Envoy's matcher yes
    add(Canary, &[b"featureflag=\"on\""]);
    add(Canary, &[b"a=1", b"featureflag=on"]); // several lines; the single-header getter sees the first only
    add(Canary, &[b"a=1", b"b=2", b"featureflag=on", b"c=3"]);
    add(Canary, &[b"; ;; featureflag=on;;"]);
    add(Canary, &[b"a=b=c; featureflag=on"]);
    add(Stable, &[b"featureflag=off"]);
    add(Stable, &[b"a=1; b=2"]);
    add(Stable, &[b""]);
    // Duplicates: the first counts, also across lines.
    add(Stable, &[b"featureflag=off; featureflag=on"]);
    add(Stable, &[b"featureflag=off", b"featureflag=on"]);
    add(Canary, &[b"featureflag=on; featureflag=off"]);
    add(Canary, &[b"featureflag=on", b"featureflag=off"]);
    add(Stable, &[b"featureflag=; featureflag=on"]);
    // Names that only look alike.
    add(Stable, &[b"FeatureFlag=on"]);
    add(Stable, &[b"xfeatureflag=on"]);
    add(Stable, &[b"featureflagx=on"]);
    add(Stable, &[b"feature=flag=on"]);
    add(Stable, &[b"featureflag =on"]);
    add(Stable, &[b"\xef\xbb\xbffeatureflag=on"]);
    add(Stable, &[b"a=featureflag=on"]);
    add(Stable, &[b"a=\"; featureflag=off; b=\"featureflag=on"]);
    add(Stable, &[b"featureflag\xcc\x81=on"]);
    // Values that only look alike.
    add(Stable, &[b"featureflag=ON"]);
    add(Stable, &[b"featureflag=on ;b=1"]);
    add(Stable, &[b"featureflag= on"]);
    add(Stable, &[b"featureflag=onn"]);
    add(Stable, &[b"featureflag=o"]);
    add(Stable, &[b"featureflag=%6Fn"]);
    add(Stable, &[b"featureflag=on%00"]);
    add(Stable, &[b"featureflag=\"\"on\"\""]);
    add(Stable, &[b"featureflag=\"on"]);
    add(Stable, &[b"featureflag=on\""]);
    add(Stable, &[b"featureflag=\""]);
    add(Stable, &[b"featureflag='on'"]);
    add(Stable, &[b"featureflag=on,featureflag=on"]);
    add(Stable, &[b"a=1, featureflag=on"]);
    add(Stable, &[b"featureflag=on=on"]);
    add(Stable, &[b"featureflag:on"]);
    add(Stable, &[b"featureflag=\xd0\xben"]); // a Cyrillic o
    add(Stable, &[b"featureflag=on\xff"]);
    add(Stable, &[b"\xff\xfe\xfd"]);
    // Malformed pairs hide nothing behind them.
    add(Stable, &[b"featureflag"]);
    add(Stable, &[b"=on"]);
    add(Stable, &[b"="]);
    add(Canary, &[b"featureflag; featureflag=on"]);
    add(Canary, &[b"=; =x; x=; ;featureflag=on"]);
    add(Canary, &[b"\xff=\xff; featureflag=on"]);
    add(Canary, &[b"a=\x80\x81", b"featureflag=on"]);
    // Tabs are not spaces.
    add(Stable, &[b"a=1;\tfeatureflag=on"]);
    add(Stable, &[b"featureflag=\ton"]);
    // Envoy's HTTP/1 codec drops a lone CR before any filter runs, and refuses NUL.
    add(Stable, &[b"a=1\rfeatureflag=on"]);
    add(Canary, &[b"featureflag=o\rn"]);
    add(Refused, &[b"featureflag=on\0"]);
    add(Refused, &[b"featureflag\0=on"]);
    // Size: beyond the caps the flag is absent; just below, it counts.
    add(Canary, &[&[b"a=".as_slice(), &[b'x'; 4000], b"; featureflag=on"].concat()]);
    add(Canary, &[&[&b"a=1;".repeat(99), b"featureflag=on".as_slice()].concat()]);
    add(Capped, &[&[&b"a=1;".repeat(100), b"featureflag=on".as_slice()].concat()]);
    add(Capped, &[&[b"a=".as_slice(), &[b'x'; 9000], b"; featureflag=on"].concat()]);
    add(Capped, &[&[b'x'; 9000], b"featureflag=on"]);
    add(Stable, &[&[b"featureflag=".as_slice(), &[b'o'; 5000], b"; featureflag=on"].concat()]);
    add(Stable, &[&[b"featureflag=\"".as_slice(), &[b'"'; 3000], b"on\""].concat()]);
    add(Stable, &[&[b';'; 7000], b"featureflag=off"]);
    cases
}

impl Case {
    fn headers(&self) -> Vec<(&str, &[u8])> {
        self.lines.iter().map(|line| ("Cookie", line.as_slice())).collect()
    }

    /// What was sent, short enough for a message.
    fn describe(&self) -> String {
        let lines: Vec<String> = self.lines.iter().map(|line| line.escape_ascii().to_string()).collect();
        let text = lines.join(" | ");
        if text.len() > 80 { format!("{}… ({} bytes)", &text[..80], text.len()) } else { text }
    }
}

fn every_cookie_over_http1_leads_to_its_decision(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let bootstrap = Bootstrap::canary(TAG, CANARY, v1.address, v2.address).plugin(&policy::voting());
    let envoy = Envoy::start(version, &bootstrap);
    let mut wrong = Vec::new();
    for case in cases() {
        let answer = envoy.connect().get("/", &case.headers());
        let (status, decided) = match answer.status {
            200 => (200, Some(answer.echo())),
            other => (other, None),
        };
        let right = match case.expected {
            Expected::Refused => status == 400,
            expected => decided.as_ref().is_some_and(|echo| agrees(echo, expected)),
        };
        if !right {
            let seen = decided.map(|echo| (echo.version.clone(), echo.all(TAG).join("|")));
            wrong.push(format!("{:?}, but {status} {seen:?}: {}", case.expected, case.describe()));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn every_cookie_over_http2_leads_to_its_decision(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let bootstrap = Bootstrap::canary(TAG, CANARY, v1.address, v2.address).plugin(&policy::voting());
    let envoy = Envoy::start(version, &bootstrap);
    let mut wrong = Vec::new();
    for case in cases() {
        if case.lines.concat().iter().any(|byte| matches!(byte, b'\0' | b'\r')) {
            continue; // HTTP/2 libraries do not send these
        }
        let sent = http2::get(envoy.address(), "/", &case.headers());
        let right =
            sent.as_ref().is_ok_and(|answer| answer.status == 200 && agrees(&answer.echo(), case.expected));
        if !right {
            let seen = sent.map(|answer| {
                (
                    answer.status,
                    String::from_utf8_lossy(&answer.body[..answer.body.len().min(60)]).into_owned(),
                )
            });
            wrong.push(format!("{:?}, but {seen:?}: {}", case.expected, case.describe()));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    // Crumbs split where a browser splits them.
    for (crumbs, expected) in [
        (&[b"a=1".as_slice(), b"featureflag=on", b"b=2"][..], Expected::Canary),
        (&[b"featureflag=off", b"featureflag=on"], Expected::Stable),
        (&[b"feature", b"flag=on"], Expected::Stable),
    ] {
        let headers: Vec<(&str, &[u8])> = crumbs.iter().map(|crumb| ("cookie", *crumb)).collect();
        let echo = http2::get(envoy.address(), "/", &headers).unwrap().echo();
        assert!(agrees(&echo, expected), "{crumbs:?}");
    }
}

fn agrees(echo: &coalmine_tests::http1::Echo, expected: Expected) -> bool {
    let (version, tags) = (echo.version.as_str(), echo.all(TAG));
    match expected {
        Expected::Canary => version == "v2" && tags == [CANARY],
        _ => version == "v1" && tags.is_empty(),
    }
}

#[test]
fn there_are_at_least_thirty_hostile_cookies() {
    let hostile = cases().iter().filter(|case| case.expected != Expected::Canary).count();
    assert!(hostile >= 30, "{hostile}");
}

/// The oracle: a route with Envoy's own matcher on the same cookie, which exists since 1.40. The expectations above
/// are not ours alone.
#[test]
fn the_expectations_agree_with_envoys_own_matcher() {
    let mut bootstrap = Bootstrap::empty();
    let answer = |status: u16| json!({ "status": status });
    bootstrap.routes = vec![
        json!({
            "match": { "prefix": "/", "cookies": [{ "name": "featureflag", "string_match": { "exact": "on" } }] },
            "direct_response": answer(222),
        }),
        json!({ "match": { "prefix": "/" }, "direct_response": answer(200) }),
    ];
    let envoy = Envoy::start("1.40.0", &bootstrap);
    let mut wrong = Vec::new();
    for case in cases() {
        let status = envoy.connect().get("/", &case.headers()).status;
        let expected = match case.expected {
            Expected::Canary | Expected::Capped => 222,
            Expected::Stable => 200,
            Expected::Refused => 400,
        };
        if status != expected {
            wrong.push(format!("{expected}, but {status}: {}", case.describe()));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

/// The benchmark compares with Lua that does the same; this is what makes that fair.
#[test]
fn the_lua_of_the_benchmark_decides_alike() {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let lua = bootstrap::lua("lua", policy::VOTING_IN_LUA);
    let envoy = Envoy::start("1.40.0", &Bootstrap::canary(TAG, CANARY, v1.address, v2.address).filter(lua));
    for case in cases().iter().filter(|case| case.expected != Expected::Refused) {
        let mut headers = case.headers();
        headers.extend([(TAG, b"canary".as_slice()), ("X_Canary", b"canary"), ("x-user", b"1")]);
        let echo = envoy.connect().get("/", &headers).echo();
        let expected = if case.expected == Expected::Capped { Expected::Stable } else { case.expected };
        assert!(agrees(&echo, expected), "{expected:?}, but {}: {}", echo.version, case.describe());
        assert_eq!((echo.all("x_canary"), echo.all("x-user")), (vec![], vec!["1"]));
    }
}

fn a_refused_flag_cookie_does_not_reach_the_application(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let mut policy = policy::voting();
    policy["flags"][0]["deny"] = json!({ "headers": { "x-team": "blocked" } });
    let bootstrap = Bootstrap::canary(TAG, CANARY, v1.address, v2.address).plugin(&policy);
    let envoy = Envoy::start(version, &bootstrap);
    let mut client = envoy.connect();
    let allowed = client.get("/", &[("Cookie", b"a=1; featureflag=on; b=2")]).echo();
    assert_eq!((allowed.version.as_str(), allowed.all("cookie")), ("v2", vec!["a=1; featureflag=on; b=2"]));
    for (sent, left) in [
        (&[b"a=1; featureflag=on; b=2".as_slice()][..], "a=1; b=2"),
        (&[b"featureflag=on"], ""),
        (&[b"a=1", b"featureflag=on", b"b=2"], "a=1; b=2"),
        (&[b"featureflag=on; a=1; featureflag=on; featureflag=\"on\""], "a=1"),
        // Envoy takes none of these for the flag cookie; many applications do.
        (&[b"a=1;\tfeatureflag=on; b=2"], "a=1; b=2"),
        (&[b"featureflag =on; a=1"], "a=1"),
        (&[b"a=1; featureflag\t=on; FeatureFlag=on"], "a=1"),
    ] {
        let mut headers: Vec<(&str, &[u8])> = sent.iter().map(|line| ("Cookie", *line)).collect();
        headers.push(("X-Team", b"blocked"));
        let echo = client.get("/", &headers).echo();
        assert_eq!(
            (echo.version.as_str(), echo.all("cookie").join("; ")),
            ("v1", left.to_owned()),
            "{sent:?}"
        );
    }
    // Hidden behind more than the filter reads for its decision, it does not get through either.
    let hidden = [b"a=".as_slice(), &[b'x'; 9000], b"; featureflag=on"].concat();
    let echo = client.get("/", &[("Cookie", &hidden), ("X-Team", b"blocked")]).echo();
    assert!(!echo.all("cookie").concat().contains("featureflag"), "hidden behind padding");
}

fn cookies_the_policy_does_not_name_are_left_alone(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let bootstrap = Bootstrap::canary(TAG, CANARY, v1.address, v2.address).plugin(&policy::voting());
    let envoy = Envoy::start(version, &bootstrap);
    let lines = [b"a=1;b=\"2\" ;  c".as_slice(), b"\xc3\xa9=x", b"=;;d=4; featureflagx=on"];
    let headers: Vec<(&str, &[u8])> = lines.iter().map(|line| ("Cookie", *line)).collect();
    let echo = envoy.connect().get("/", &headers).echo();
    let expected: Vec<String> =
        lines.iter().map(|line| line.iter().map(|byte| char::from(*byte)).collect()).collect();
    assert_eq!(echo.all("cookie"), expected);
}
