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
use walrus::ir;
use walrus::{ConstExpr, DataKind, FunctionBuilder, Module, ModuleConfig, ValType};

use crate::{dist, tools};

/// How much is measured.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How often every variant is started anew: one process may be luckier with its memory than the next.
    #[arg(long, default_value_t = 9)]
    starts: usize,
    /// Rounds after each start; each runs every variant once.
    #[arg(long, default_value_t = 4)]
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

/// Bars of the project: the module's cost as a share of Lua's.
const BARS: [(&str, f64, f64); 2] =
    [("flag cookie and tag", 0.50, 0.25), ("with rollout, metric, filter state", 0.65, 0.40)];

/// Modules without a decision in them, to see how far ours could get: one that only says "continue", and one that
/// asks for the cookies and sets the tag, which no module that tags can do without.
const FLOOR: [(&str, bool); 2] =
    [("a module that does nothing", false), ("a module that reads a header, sets one", true)];

/// Enough to keep Envoy busy: with one connection its cost is mostly that of falling asleep and waking up.
const CONNECTIONS: usize = 32;

/// One filter so many times in a chain.
struct Variant {
    name: &'static str,
    bootstrap: Bootstrap,
    copies: usize,
    /// Microseconds of CPU per request, one number per start.
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
    let scratch = tempfile::tempdir()?;
    let mut floor = Vec::new();
    for (name, tags) in FLOOR {
        let mut plugin = Plugin::new(&everything());
        plugin.module = scratch.path().join(format!("floor-{tags}.wasm"));
        std::fs::write(&plugin.module, floor_module(tags)).context("cannot write a module")?;
        floor.push((name, plugin.filter()));
    }
    costs(options, &floor)?;
    start_up(options, &floor)?;
    if options.soak > 0 {
        soak(options)?;
    }
    Ok(())
}

/// Deciding a flag cookie and tagging, nothing else: like the Lua, it leaves the response alone.
fn tagging() -> Value {
    let mut policy = policy::voting();
    policy["flags"][0]["response"] = json!({ "vary": "never" });
    policy["telemetry"] = json!({ "metrics": false, "filterState": false });
    policy
}

/// The flag cookie is looked for, the subject is hashed, a metric counts and filter state is set.
fn everything() -> Value {
    let mut policy = policy::rollout("checkout", 100.0);
    policy["flags"][0]["optIn"] = json!({ "cookie": { "name": "betaflag", "value": "on" } });
    policy
}

/// One callback of a stream, and what Envoy asks of every module.
fn floor_module(tags: bool) -> Vec<u8> {
    const TEXTS: [&str; 3] = ["cookie", TAG, CANARY];
    const AT: i32 = 16;
    let mut module = Module::with_config(ModuleConfig::new());
    let memory = module.memories.add_local(false, false, 1, None, None);
    module.exports.add("memory", memory);
    let start = DataKind::Active { memory, offset: ConstExpr::Value(ir::Value::I32(AT)) };
    let texts = module.data.add(start, TEXTS.concat().into_bytes());
    module.memories.get_mut(memory).data_segments.insert(texts);
    let hostcall = module.types.add(&[ValType::I32; 5], &[ValType::I32]);
    let (get, _) = module.add_import_func("env", "proxy_get_header_map_value", hostcall);
    let (replace, _) = module.add_import_func("env", "proxy_replace_header_map_value", hostcall);
    let [cookie, tag, canary] = TEXTS.map(|text| text.len() as i32);
    let calls = [(get, [0, AT, cookie, 0, 4]), (replace, [0, AT + cookie, tag, AT + cookie + tag, canary])];
    let answers = [
        ("proxy_abi_version_0_2_1", 0, None),
        ("proxy_on_memory_allocate", 1, Some(1024)),
        ("proxy_on_vm_start", 2, Some(1)),
        ("proxy_on_configure", 2, Some(1)),
        ("proxy_on_request_headers", 3, Some(0)),
    ];
    for (name, parameters, answer) in answers {
        let result: &[ValType] = if answer.is_some() { &[ValType::I32] } else { &[] };
        let mut function = FunctionBuilder::new(&mut module.types, &vec![ValType::I32; parameters], result);
        let mut body = function.func_body();
        for (hostcall, arguments) in calls.iter().filter(|_| tags && name == "proxy_on_request_headers") {
            arguments.iter().for_each(|argument| {
                body.i32_const(*argument);
            });
            body.call(*hostcall).drop();
        }
        if let Some(answer) = answer {
            body.i32_const(answer);
        }
        let arguments = (0..parameters).map(|_| module.locals.add(ValType::I32)).collect();
        let function = function.finish(arguments, &mut module.funcs);
        module.exports.add(name, function);
    }
    module.emit_wasm()
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

fn costs(options: &Options, floor: &[(&'static str, Value)]) -> Result<()> {
    let mut filters: Vec<(&'static str, Option<Value>)> = vec![
        ("no filter", None),
        ("Lua", Some(bootstrap::lua("lua", policy::VOTING_IN_LUA))),
        (BARS[0].0, Some(Plugin::new(&tagging()).filter())),
        (BARS[1].0, Some(Plugin::new(&everything()).filter())),
    ];
    filters.extend(floor.iter().map(|(name, filter)| (*name, Some(filter.clone()))));
    let mut variants = Vec::new();
    for (name, filter) in &filters {
        for copies in [1, 10] {
            let mut bootstrap = Bootstrap::direct();
            for (filter, copy) in filter.iter().flat_map(|filter| (0..copies).map(move |copy| (filter, copy)))
            {
                let mut filter = filter.clone();
                filter["name"] = json!(format!("{name} {copy}"));
                bootstrap.filters.push(filter);
            }
            if copies == 1 || filter.is_some() {
                variants.push(Variant { name, bootstrap, copies, costs: Vec::new() });
            }
        }
    }
    for _ in 0..options.starts {
        let envoys: Vec<Envoy> =
            variants.iter().map(|variant| Envoy::start(&options.envoy, &variant.bootstrap)).collect();
        let mut costs = vec![Vec::new(); variants.len()];
        for _ in 0..options.rounds {
            for (envoy, costs) in envoys.iter().zip(&mut costs) {
                costs.push(measure(envoy, options.requests)?);
            }
        }
        for (variant, costs) in variants.iter_mut().zip(&costs) {
            // Whatever else the machine does only ever adds, so the lower quartile is nearer to the truth.
            variant.costs.push(at(costs, 0.25));
        }
    }
    let cost = |name: &str, copies: usize| {
        let variant = variants.iter().find(|variant| variant.name == name && variant.copies == copies);
        anyhow::Ok(at(&variant.context("a variant")?.costs, 0.5))
    };
    println!(
        "\nEnvoy CPU per request, µs: {} starts, {} rounds of {} requests each",
        options.starts, options.rounds, options.requests
    );
    let base = cost("no filter", 1)?;
    println!("{:<40}{:>8.2}", "no filter", base);
    let added = |name: &str| anyhow::Ok((cost(name, 1)? - base, (cost(name, 10)? - base) / 10.0));
    let (lua, lua_marginal) = added("Lua")?;
    println!("{:<40}{:>9}{:>22}", "added by", "one", "chain of ten ÷ 10");
    println!("{:<40}{:>+9.2}{:>+22.2}", "Lua", lua, lua_marginal);
    let mut verdict = String::new();
    for (name, _) in floor {
        let (one, marginal) = added(name)?;
        println!("{name:<40}{one:>+9.2}{marginal:>+22.2}");
        let (one, marginal) = (one / lua, marginal / lua_marginal);
        writeln!(verdict, "{name:<40}   one: {one:.2} of Lua, chain: {marginal:.2}")?;
    }
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

/// How much later Envoy is ready with a module, and what it weighs.
fn start_up(options: &Options, floor: &[(&'static str, Value)]) -> Result<()> {
    let (idle, filter) = floor.first().context("a module")?;
    let bootstraps = [
        Bootstrap::direct(),
        Bootstrap::direct().filter(filter.clone()),
        Bootstrap::direct().plugin(&everything()),
    ];
    let mut runs: [Vec<[f64; 3]>; 3] = Default::default();
    for _ in 0..9 {
        for (bootstrap, runs) in bootstraps.iter().zip(&mut runs) {
            let envoy = Envoy::start(&options.envoy, bootstrap);
            let cpu = envoy.cpu().context("CPU time can be read on Linux only")?.as_secs_f64() * 1e3;
            let mib =
                envoy.resident().context("memory can be read on Linux only")? as f64 / f64::from(1 << 20);
            runs.push([envoy.start_up.as_secs_f64() * 1e3, cpu, mib]);
        }
    }
    let typical =
        |runs: &[[f64; 3]], what: usize| at(&runs.iter().map(|run| run[what]).collect::<Vec<_>>(), 0.25);
    println!("{:<40}{:>10}{:>10}{:>14}", "start-up", "ready, ms", "CPU, ms", "resident, MiB");
    for (name, runs) in ["no filter", idle, "the shipped module"].iter().zip(&runs) {
        println!("{name:<40}{:>10.0}{:>10.0}{:>14.1}", typical(runs, 0), typical(runs, 1), typical(runs, 2));
    }
    let later = typical(&runs[2], 0) - typical(&runs[0], 0);
    let held = if later <= 100.0 { "holds" } else { "IS OVER" };
    println!("ready {later:+.0} ms later, bar 100 {held}");
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

/// The value at this share of the sorted values.
fn at(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (share * sorted.len().saturating_sub(1) as f64).round();
    sorted.get(place as usize).copied().unwrap_or(f64::NAN)
}
