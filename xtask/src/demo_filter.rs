//! The filter's part of `cargo xtask demo`: a real Envoy with the shipped module before two small versions of the
//! voting application, a table of scripted requests, and a page to try it by hand.

use std::sync::mpsc;

use anyhow::{Context as _, Result};
use coalmine_tests::bootstrap::Bootstrap;
use coalmine_tests::envoy::Envoy;
use coalmine_tests::http1::Client;
use coalmine_tests::policy::{self, CANARY, TAG};
use coalmine_tests::upstream::{Reply, Upstream};
use serde_json::{Value, json};

use crate::{dist, tools};

/// Requests in words and in headers.
type Script = [(&'static str, &'static [(&'static str, &'static str)])];

const SCRIPT: &Script = &[
    ("nothing special", &[]),
    ("cookie featureflag=on", &[("Cookie", "featureflag=on")]),
    ("the same in a second Cookie header", &[("Cookie", "theme=dark"), ("Cookie", "featureflag=on")]),
    ("cookie featureflag=off; featureflag=on", &[("Cookie", "featureflag=off; featureflag=on")]),
    ("forged header X-Canary: canary", &[("X-Canary", "canary")]),
    ("forged header, three times", &[("x-canary", "stable"), ("X-CANARY", "canary"), ("x_canary", "canary")]),
    ("cookie, but the team is on the deny list", &[("Cookie", "featureflag=on"), ("X-Team", "payments")]),
    ("user ada, 25 % rollout", &[("X-User-Id", "ada")]),
    ("user bob, 25 % rollout", &[("X-User-Id", "bob")]),
    ("user cyd, 25 % rollout", &[("X-User-Id", "cyd")]),
    ("user dan, 25 % rollout", &[("X-User-Id", "dan")]),
    ("user eve, 25 % rollout", &[("X-User-Id", "eve")]),
    ("user eve again", &[("X-User-Id", "eve")]),
];

/// What the gateway of the demo is told.
fn policy() -> Value {
    let mut policy = policy::rollout("voting", 25.0);
    policy["flags"][0]["optIn"] = policy::voting_cookie();
    policy["flags"][0]["optIn"]["cookie"]["optOut"] = json!(["off"]);
    policy["flags"][0]["deny"] = json!({ "headers": { "x-team": "payments" } });
    policy["flags"][0]["response"] = json!({ "header": "x-variant" });
    policy["reasonHeader"] = json!("x-canary-reason");
    policy
}

/// Starts everything, shows the table, and stays until Ctrl-C unless `once`.
pub(crate) fn run(once: bool) -> Result<()> {
    let version = coalmine_tests::ENVOY_VERSIONS[1];
    tools::envoy(version)?;
    dist::build()?;
    let (v1, v2) = (voting("v1"), voting("v2"));
    let bootstrap = Bootstrap::canary(TAG, CANARY, v1.address, v2.address).plugin(&policy());
    let envoy = Envoy::start(version, &bootstrap);
    println!(
        "\nEnvoy {version} with the shipped module; VirtualService: {TAG}: {CANARY} goes to v2, the rest to v1\n"
    );
    table(&mut envoy.connect())?;
    if once {
        return Ok(());
    }
    println!("\nTry it in a browser: http://{}/   (Ctrl-C stops it)", envoy.address());
    // A handler, so that Envoy and its scratch folder are cleaned up rather than left behind.
    let (stop, stopped) = mpsc::channel();
    ctrlc::set_handler(move || stop.send(()).unwrap_or_default()).context("cannot wait for Ctrl-C")?;
    stopped.recv().context("cannot wait for Ctrl-C")?;
    println!("stopped");
    Ok(())
}

fn table(client: &mut Client) -> Result<()> {
    let mut rows = vec![["request", "decision", "reason", "answered by"].map(str::to_owned)];
    for (words, headers) in SCRIPT {
        let headers: Vec<(&str, &[u8])> =
            headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let answer = client.get("/", &headers);
        let echo = answer.echo();
        let after_equals = |line: &str| line.split_once('=').map_or(line, |(_, word)| word).to_owned();
        let decision = answer.text("x-variant").context("the module set no x-variant")?;
        let reason = echo.all("x-canary-reason").join(",");
        rows.push([(*words).to_owned(), after_equals(&decision), after_equals(&reason), echo.version]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    for (number, [request, decision, reason, version]) in rows.iter().enumerate() {
        println!("  {request:<0$}  {decision:<1$}  {reason:<2$}  {version}", widths[0], widths[1], widths[2]);
        if number == 0 {
            println!("  {}", "-".repeat(widths.iter().sum::<usize>() + 17));
        }
    }
    Ok(())
}

/// A version of the application: a page for browsers, an echo for the script.
fn voting(version: &'static str) -> Upstream {
    Upstream::with(move |request| {
        let browser =
            request.headers.iter().any(|(name, value)| name == "accept" && value.contains("text/html"));
        if !browser {
            return request.echo(version);
        }
        let header = |wanted: &str| {
            let found = request.headers.iter().find(|(name, _)| name == wanted);
            found.map_or_else(|| "none".to_owned(), |(_, value)| value.clone())
        };
        let page = PAGE
            .replace("{version}", version)
            .replace("{color}", if version == "v2" { "#ffd60a" } else { "#dfe3e8" })
            .replace("{tag}", &header(TAG))
            .replace("{reason}", &header("x-canary-reason"));
        let kind = ("content-type".to_owned(), "text/html; charset=utf-8".to_owned());
        Reply { status: 200, headers: vec![kind], body: page.into_bytes() }
    })
}

/// The tag and the reason come from the filter's fixed vocabulary, so they need no escaping.
const PAGE: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Voting {version}</title>
<style>
  body { font: 18px/1.5 system-ui, sans-serif; max-width: 32rem; margin: 12vh auto; padding: 0 1rem; color: #1b1f24 }
  h1 { background: {color}; padding: 2rem; border-radius: 1rem; text-align: center }
  label { display: flex; gap: .6rem; align-items: center; font-size: 1.2rem }
  input { width: 1.4rem; height: 1.4rem }
  code { background: #eef0f2; padding: .1rem .3rem; border-radius: .3rem }
</style>
<h1>Voting application {version}</h1>
<label><input type="checkbox" id="flag"> feature flag cookie <code>featureflag=on</code></label>
<p>Tag the gateway set: <code>{tag}</code><br>Why: <code>{reason}</code></p>
<script>
  const flag = document.getElementById("flag");
  flag.checked = /(^|; )featureflag=on(;|$)/.test(document.cookie);
  flag.onchange = () => {
    document.cookie = flag.checked ? "featureflag=on; path=/; SameSite=Lax" : "featureflag=; path=/; max-age=0";
    location.reload();
  };
</script>
</html>
"#;
