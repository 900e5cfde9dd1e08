//! `cargo xtask bench filter`: what the shipped module costs inside Envoy, beside the Lua that people write instead.
//!
//! Measures Envoy's own user and system time per request, not latency, in interleaved rounds on one machine, so that
//! whatever else runs disturbs every variant alike. Ratios are printed beside their bars; nothing here fails a test.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use coalmine_tests::bootstrap::{self, Bootstrap, Plugin};
use coalmine_tests::envoy::Envoy;
use coalmine_tests::http1;
use coalmine_tests::load::{self, Until};
use coalmine_tests::policy::{self, CANARY, TAG};
use serde_json::{Value, json};

use crate::{dist, tools};

/// How much is measured.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Rounds; each runs every variant once.
    #[arg(long, default_value_t = 21)]
    rounds: usize,
    /// Requests of one variant in one round.
    #[arg(long, default_value_t = 3000)]
    requests: u64,
    /// Also send this many requests through one Envoy and compare its memory.
    #[arg(long, default_value_t = 1_000_000)]
    soak: u64,
    /// The Envoy version.
    #[arg(long, default_value = coalmine_tests::ENVOY_VERSIONS[1])]
    envoy: String,
}

/// What a competent person writes in Lua for the same job: the first cookie of the name decides, the tag is replaced
/// or removed, the route is chosen again.
const LUA: &str = r#"
function envoy_on_request(handle)
  local headers = handle:headers()
  local cookie = headers:get("cookie")
  local on = false
  if cookie then
    for name, value in string.gmatch(cookie, "([^=;%s]+)=([^;]*)") do
      if name == "featureflag" then
        on = value == "on" or value == "\"on\""
        break
      end
    end
  end
  if on then headers:replace("x-canary", "canary") else headers:remove("x-canary") end
  handle:clearRouteCache()
end
"#;

/// Bars of the project: the module's cost as a share of Lua's.
const BARS: [(&str, f64, f64); 2] =
    [("flag cookie and tag", 0.50, 0.25), ("with rollout, metric, filter state", 0.65, 0.40)];

/// Enough to keep Envoy busy: with one connection its cost is mostly that of falling asleep and waking up.
const CONNECTIONS: usize = 32;

struct Variant {
    name: String,
    envoy: Envoy,
    /// Microseconds of CPU per request, one number per round.
    costs: Vec<f64>,
}

/// Measures and prints.
pub(crate) fn run(options: &Options) -> Result<()> {
    tools::envoy(&options.envoy)?;
    if std::env::var_os("COALMINE_MODULE").is_none() {
        dist::build()?; // otherwise another module is to be measured
    }
    let size = std::fs::metadata(coalmine_tests::module())?.len();
    println!("Envoy {}, module {:.1} KiB (at most 250)", options.envoy, size as f64 / 1024.0);
    costs(options)?;
    start_up(options)?;
    if options.soak > 0 {
        soak(options)?;
    }
    Ok(())
}

/// Deciding a flag cookie and tagging, nothing else.
fn tagging() -> Value {
    let mut policy = policy::voting();
    policy["telemetry"] = json!({ "metrics": false, "filterState": false });
    policy
}

/// The flag cookie is looked for, the subject is hashed, a metric counts and filter state is set.
fn everything() -> Value {
    let mut policy = policy::rollout("checkout", 100.0);
    policy["flags"][0]["optIn"] = json!({ "cookie": { "name": "betaflag", "value": "on" } });
    policy
}

/// Twelve headers, with a 300-byte cookie header of eight cookies; the flag is the sixth.
fn request() -> Vec<u8> {
    let cookie = "_ga=GA1.1.1234567890.1700000000; _gid=GA1.2.987654321.1700000001; session=f3b1c2d4e5f60718293a4b5c6d7e8f90; \
                  theme=dark; lang=en-GB; featureflag=on; consent=analytics%3Dtrue%26marketing%3Dfalse; \
                  cart=eyJpdGVtcyI6W3siaWQiOjEyMywicXR5IjoyfV0sInRvdGFsIjo0Mi41fQ";
    let padded = format!("{cookie}{}", "x".repeat(300 - cookie.len()));
    http1::request(
        "GET",
        "/shop/cart?step=2",
        &[
            ("Host", b"app.example.com"),
            ("User-Agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
            ("Accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
            ("Accept-Language", b"en-GB,en;q=0.7,de;q=0.3"),
            ("Accept-Encoding", b"gzip, deflate, br, zstd"),
            ("Referer", b"https://app.example.com/shop"),
            ("X-User-Id", b"user-1a2b3c4d"),
            ("Cookie", padded.as_bytes()),
            ("Upgrade-Insecure-Requests", b"1"),
            ("Sec-Fetch-Dest", b"document"),
            ("Sec-Fetch-Mode", b"navigate"),
            ("Sec-Fetch-Site", b"same-origin"),
        ],
    )
}

fn costs(options: &Options) -> Result<()> {
    let filters: [(&str, Option<Value>); 4] = [
        ("no filter", None),
        ("Lua", Some(bootstrap::lua("lua", LUA))),
        (BARS[0].0, Some(Plugin::new(&tagging()).filter())),
        (BARS[1].0, Some(Plugin::new(&everything()).filter())),
    ];
    let mut variants = Vec::new();
    for (name, filter) in filters {
        for copies in [1, 10] {
            let mut envoy = Bootstrap::direct();
            for copy in 0..copies {
                let mut filter = filter.clone().unwrap_or_default();
                filter["name"] = json!(format!("{name} {copy}"));
                envoy.filters.extend((!filter["typed_config"].is_null()).then_some(filter));
            }
            if copies == 1 || !envoy.filters.is_empty() {
                let envoy = Envoy::start(&options.envoy, &envoy);
                variants.push(Variant { name: format!("{name} x{copies}"), envoy, costs: Vec::new() });
            }
        }
    }
    for round in 0..=options.rounds {
        for variant in &mut variants {
            let cost = measure(&variant.envoy, options.requests)?;
            if round > 0 {
                variant.costs.push(cost); // the first round only warms up
            }
        }
    }
    if std::env::var_os("RAW").is_some() {
        for v in &variants {
            println!("RAW {} {:?}", v.name, v.costs);
        }
    }
    let cost = |name: &str| {
        let variant = variants.iter().find(|variant| variant.name == name).context("a variant")?;
        anyhow::Ok(median(&variant.costs))
    };
    println!("\nEnvoy CPU per request, µs, median of {} rounds of {}", options.rounds, options.requests);
    let base = cost("no filter x1")?;
    println!("{:<40}{:>8.2}", "no filter", base);
    let added = |name: &str| {
        anyhow::Ok((cost(&format!("{name} x1"))? - base, (cost(&format!("{name} x10"))? - base) / 10.0))
    };
    let (lua, lua_marginal) = added("Lua")?;
    println!("{:<40}{:>9}{:>22}", "added by", "one", "chain of ten ÷ 10");
    println!("{:<40}{:>+9.2}{:>+22.2}", "Lua", lua, lua_marginal);
    let mut verdict = String::new();
    for (name, one_bar, chain_bar) in BARS {
        let (one, marginal) = added(name)?;
        println!("{name:<40}{one:>+9.2}{marginal:>+22.2}");
        for (what, ratio, bar) in [("one", one / lua, one_bar), ("chain", marginal / lua_marginal, chain_bar)]
        {
            let held = if ratio <= bar { "holds" } else { "IS OVER" };
            writeln!(verdict, "{name:<40}{what:>6}: {ratio:.2} of Lua, bar {bar:.2} {held}")?;
        }
    }
    println!("\n{verdict}");
    Ok(())
}

/// Microseconds of Envoy's CPU per request.
fn measure(envoy: &Envoy, requests: u64) -> Result<f64> {
    let bytes = request();
    let send = |count| {
        load::run(
            envoy.address(),
            CONNECTIONS,
            Until::Count(count),
            |_, out| out.extend_from_slice(&bytes),
            |_, answer| if answer.status == 200 { Ok(()) } else { Err(format!("status {}", answer.status)) },
        )
    };
    // The variants before this one have emptied the caches; a proxy under load does not run like that.
    send(requests / 4);
    let before = envoy.cpu().context("Envoy's CPU time can be read on Linux only")?;
    let outcome = send(requests);
    let spent = envoy.cpu().context("Envoy has gone")? - before;
    if outcome.failed > 0 {
        bail!("{} of {} requests failed: {:?}", outcome.failed, outcome.answered, outcome.errors);
    }
    Ok(spent.as_secs_f64() * 1e6 / outcome.answered as f64)
}

/// How much later Envoy is ready with the module, and what it weighs.
fn start_up(options: &Options) -> Result<()> {
    let plain = Bootstrap::direct();
    let with = Bootstrap::direct().plugin(&everything());
    let (mut plain_ms, mut with_ms, mut plain_mib, mut with_mib) = (vec![], vec![], vec![], vec![]);
    for _ in 0..7 {
        for (bootstrap, times, sizes) in
            [(&plain, &mut plain_ms, &mut plain_mib), (&with, &mut with_ms, &mut with_mib)]
        {
            let envoy = Envoy::start(&options.envoy, bootstrap);
            times.push(envoy.start_up.as_secs_f64() * 1e3);
            sizes.push(
                envoy.resident().context("memory can be read on Linux only")? as f64 / f64::from(1 << 20),
            );
        }
    }
    let (plain, with) = (median(&plain_ms), median(&with_ms));
    let held = if with - plain <= 100.0 { "holds" } else { "IS OVER" };
    println!(
        "ready after {plain:.0} ms without and {with:.0} ms with the module: {:+.0} ms, bar 100 {held}",
        with - plain
    );
    println!("resident {:.1} MiB without, {:.1} MiB with", median(&plain_mib), median(&with_mib));
    Ok(())
}

/// Many requests with changing cookies through one Envoy; memory must not follow them.
fn soak(options: &Options) -> Result<()> {
    let mut everything = everything();
    everything["flags"][0]["rollout"] = json!({ CANARY: 50 });
    everything["flags"][0]["header"] = json!(TAG);
    let envoy = Envoy::start(&options.envoy, &Bootstrap::direct().plugin(&everything));
    let part = |first: u64, count: u64| -> Result<f64> {
        let request = |number: u64, bytes: &mut Vec<u8>| {
            let number = first + number;
            let cookie =
                format!("a={number}; betaflag={}; b={}", number % 3, "y".repeat((number % 700) as usize));
            let subject = format!("user-{number}");
            bytes.extend(http1::request(
                "GET",
                "/",
                &[("Cookie", cookie.as_bytes()), ("X-User-Id", subject.as_bytes())],
            ));
        };
        let check = |_, answer: &http1::Response| {
            if answer.status == 200 { Ok(()) } else { Err(answer.status.to_string()) }
        };
        let outcome = load::run(envoy.address(), 8, Until::Count(count), request, check);
        if outcome.failed > 0 {
            bail!("{} requests failed: {:?}", outcome.failed, outcome.errors);
        }
        std::thread::sleep(Duration::from_millis(200));
        Ok(envoy.resident().context("memory can be read on Linux only")? as f64 / f64::from(1 << 20))
    };
    let warm = part(0, options.soak / 10)?;
    let end = part(options.soak / 10, options.soak - options.soak / 10)?;
    println!(
        "resident {warm:.1} MiB after {} requests, {end:.1} MiB after {}",
        options.soak / 10,
        options.soak
    );
    Ok(())
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
