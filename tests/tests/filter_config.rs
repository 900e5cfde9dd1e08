//! Configuration as Istio delivers it: bad at first, bad later, good while requests are in flight, and several
//! plugins that share the module.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coalmine_tests::bootstrap::{Bootstrap, Plugin, default_route, header_route};
use coalmine_tests::ecds::Ecds;
use coalmine_tests::envoy::Envoy;
use coalmine_tests::load::{self, Until};
use coalmine_tests::policy::{self, CANARY, TAG};
use coalmine_tests::upstream::Upstream;
use coalmine_tests::{bootstrap, http1, on_each_envoy, wait};
use serde_json::{Value, json};

on_each_envoy!(
    a_bad_first_configuration_strips_and_routes_stable,
    a_bad_configuration_is_refused_where_the_policy_says_so,
    a_bad_update_goes_inert_and_a_good_one_heals,
    a_refused_update_leaves_the_last_good_one,
    the_alarm_outlives_the_vm_that_an_update_replaces,
    good_updates_drop_no_request,
    several_plugins_share_the_module,
    a_missing_key_goes_inert,
    a_missing_key_is_refused_where_the_policy_says_so,
    a_key_that_only_verifies_may_be_missing,
);

/// The gauge that must be watched, because an inert configuration looks healthy to Istio.
const GAUGE: &str = "config_errors";

fn on_cookie() -> [(&'static str, &'static [u8]); 2] {
    [("Cookie", b"featureflag=on"), (TAG, b"canary")]
}

/// Texts that are no policy, and what the log must say of them.
fn bad_texts() -> Vec<(String, &'static str)> {
    let mut sum = policy::voting();
    sum["flags"][0]["rollout"] = json!({ "canary": 60, "blue": 52 });
    let mut kind = policy::voting();
    kind["mode"] = json!("enfroce");
    let mut number = policy::voting();
    number["flags"][0]["enabled"] = json!("yes");
    vec![
        (sum.to_string(), "flags[0].rollout"),
        (kind.to_string(), "mode"),
        (number.to_string(), "flags[0].enabled"),
        ("{".to_owned(), "not JSON"),
        ("[]".to_owned(), ""),
        ("{\"flags\":{}}".to_owned(), "flags"),
        ("\u{0}".to_owned(), "not JSON"),
    ]
}

fn plugin_with(text: &str) -> Plugin {
    let mut plugin = Plugin::new(&Value::Null);
    plugin.config = Some(text.to_owned());
    plugin
}

/// Whether the cookie opens the canary, the forged tag having been sent too.
fn is_open(envoy: &Envoy) -> bool {
    let echo = envoy.connect().get("/", &on_cookie()).echo();
    assert_eq!(echo.all(TAG), if echo.version == "v2" { vec![CANARY] } else { vec![] });
    let forged = envoy.connect().get("/", &[(TAG, b"canary")]).echo();
    assert_eq!((forged.version.as_str(), forged.all(TAG)), ("v1", vec![]), "a forged tag got through");
    echo.version == "v2"
}

fn gauge(envoy: &Envoy) -> f64 {
    envoy.metrics().sum(GAUGE, &[("wasm_filter", "coalmine")])
}

fn a_bad_first_configuration_strips_and_routes_stable(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    for (text, said) in bad_texts() {
        let ecds = Ecds::new(&plugin_with(&text));
        let bootstrap = Bootstrap::canary(TAG, CANARY, v1.address, v2.address).filter(ecds.filter());
        let envoy = Envoy::start(version, &bootstrap);
        assert!(!is_open(&envoy), "{text}");
        assert!(gauge(&envoy) >= 1.0, "{text}: {:?}", envoy.metrics().names("config_errors"));
        let log = envoy.log();
        let critical = log.lines().find(|line| line.contains("[critical]") && line.contains("coalmine"));
        assert!(critical.is_some_and(|line| line.contains(said)), "{text}: the log says\n{log}");
    }
    // No pluginConfig at all is not bad: there is nothing to decide, but the usual tag is protected.
    let mut bare = Plugin::new(&Value::Null);
    bare.config = None;
    let bootstrap = Bootstrap::canary(TAG, CANARY, v1.address, v2.address).filter(bare.filter());
    assert!(!is_open(&Envoy::start(version, &bootstrap)));
}

fn a_bad_configuration_is_refused_where_the_policy_says_so(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let mut policy = policy::voting();
    policy["onBadConfig"] = json!("reject");
    policy["flags"][0]["rollout"] = json!({ "canary": 101 });
    let plugin = Plugin::new(&policy);
    // In place, Envoy refuses to start.
    let bootstrap = Bootstrap::canary(TAG, CANARY, v1.address, v2.address);
    let failure = Envoy::try_start(version, &bootstrap.clone().filter(plugin.filter())).err();
    assert!(failure.is_some_and(|failure| failure.exited && failure.log.contains("flags[0].rollout")));
    // By ECDS, a new pod goes live and answers 500: the reason why `inert` is the default.
    let ecds = Ecds::new(&plugin);
    let envoy = Envoy::start(version, &bootstrap.filter(ecds.filter()));
    assert_eq!(envoy.connect().get("/", &on_cookie()).status, 500);
    assert_eq!((v1.seen(), v2.seen()), (0, 0));
}

fn a_bad_update_goes_inert_and_a_good_one_heals(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let good = Plugin::new(&policy::voting());
    let mut ecds = Ecds::new(&good);
    let bootstrap = Bootstrap::canary(TAG, CANARY, v1.address, v2.address).filter(ecds.filter());
    let envoy = Envoy::start(version, &bootstrap);
    assert!(is_open(&envoy));
    assert_eq!(gauge(&envoy), 0.0);
    let mut pushes = 1;
    for (text, _) in bad_texts() {
        ecds.push(&plugin_with(&text));
        pushes += 1;
        assert_eq!(ecds.judged(&envoy, pushes).refused, 0, "{text}");
        assert!(!is_open(&envoy), "{text}");
        assert!(gauge(&envoy) >= 1.0, "{text}");
        ecds.push(&good);
        pushes += 1;
        ecds.judged(&envoy, pushes);
        assert!(is_open(&envoy), "after {text}");
        assert_eq!(gauge(&envoy), 0.0, "after {text}");
    }
}

fn a_refused_update_leaves_the_last_good_one(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let mut ecds = Ecds::new(&Plugin::new(&policy::voting()));
    let bootstrap = Bootstrap::canary(TAG, CANARY, v1.address, v2.address).filter(ecds.filter());
    let envoy = Envoy::start(version, &bootstrap);
    let mut bad = policy::voting();
    bad["onBadConfig"] = json!("reject");
    bad["flags"][0]["header"] = json!("not a header");
    ecds.push(&Plugin::new(&bad));
    let outcome = ecds.judged(&envoy, 2);
    assert_eq!(outcome.refused, 1);
    assert!(is_open(&envoy), "the last good configuration serves");
    assert_eq!(gauge(&envoy), 0.0, "what was refused is not in force");
    ecds.push(&Plugin::new(&policy::rollout("other", 0.0)));
    ecds.judged(&envoy, 3);
    assert!(!is_open(&envoy), "and a later good one replaces it");
}

/// A new module, as after an upgrade of the image, runs in a new VM, and the old one ends after it has begun.
fn the_alarm_outlives_the_vm_that_an_update_replaces(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let dir = tempfile::tempdir().expect("a folder");
    let upgraded = |mut plugin: Plugin, name: &str| {
        // An empty custom section: the same code under another hash.
        let mut bytes = std::fs::read(&plugin.module).expect("the module");
        bytes.extend([0, 2, 1, name.as_bytes()[0]]);
        plugin.module = dir.path().join(name);
        std::fs::write(&plugin.module, bytes).expect("another module");
        plugin
    };
    let mut unknown = policy::voting();
    unknown["later"] = json!(1);
    let mut ecds = Ecds::new(&Plugin::new(&unknown));
    let bootstrap = Bootstrap::canary(TAG, CANARY, v1.address, v2.address).filter(ecds.filter());
    let envoy = Envoy::start(version, &bootstrap);
    let settled = |ecds: &Ecds, pushes: u64| {
        ecds.judged(&envoy, pushes);
        is_open(&envoy); // the worker has the new configuration
        let active = || {
            let stats = envoy.admin("/stats?filter=v8.active").body;
            let text = String::from_utf8_lossy(&stats).into_owned();
            text.rsplit(' ')
                .next()
                .and_then(|count| count.trim().parse::<u64>().ok())
                .filter(|count| *count <= 3)
        };
        wait(Duration::from_secs(10), active).expect("the old VMs end");
        let unknown = envoy.metrics().sum("config_unknown_fields", &[("wasm_filter", "coalmine")]);
        (gauge(&envoy), unknown)
    };
    assert_eq!(settled(&ecds, 1), (0.0, 1.0));
    ecds.push(&upgraded(plugin_with("{\"flags\": 1, \"later\": 1}"), "a"));
    assert_eq!(settled(&ecds, 2), (1.0, 1.0), "the alarm must not fall silent");
    ecds.push(&upgraded(Plugin::new(&policy::voting()), "b"));
    assert_eq!(settled(&ecds, 3), (0.0, 0.0));
}

fn good_updates_drop_no_request(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let tagged = |value: &str| {
        let mut policy = policy::voting();
        policy["flags"][0]["header"] = json!({ "name": TAG, "values": { CANARY: value } });
        Plugin::new(&policy)
    };
    let mut ecds = Ecds::new(&tagged("canary"));
    let mut bootstrap = Bootstrap::canary(TAG, CANARY, v1.address, v2.address).filter(ecds.filter());
    bootstrap.routes.insert(0, header_route(TAG, "beta", bootstrap::CANARY));
    bootstrap.concurrency = 2;
    let envoy = Envoy::start(version, &bootstrap);
    let over = AtomicBool::new(false);
    let outcome = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let request = |_, bytes: &mut Vec<u8>| bytes.extend(http1::request("GET", "/", &on_cookie()));
            let mut seen = [0_u64; 2];
            let mut total = load::Outcome::default();
            while !over.load(Ordering::SeqCst) {
                let part = load::run(
                    envoy.address(),
                    4,
                    Until::Time(Duration::from_millis(200)),
                    request,
                    |_, answer| {
                        let echo = answer.echo();
                        let tag = echo.all(TAG).join("|");
                        let Some(known) = ["canary", "beta"].iter().position(|value| *value == tag) else {
                            return Err(format!("status {}, tag {tag:?}", answer.status));
                        };
                        seen[known] += 1;
                        if echo.version == "v2" {
                            Ok(())
                        } else {
                            Err(format!("{} with {tag}", echo.version))
                        }
                    },
                );
                total.failed += part.failed;
                total.answered += part.answered;
                total.errors.extend(part.errors);
            }
            (total, seen)
        });
        for push in 2..=21 {
            ecds.push(&tagged(if push % 2 == 0 { "beta" } else { "canary" }));
            ecds.judged(&envoy, push);
        }
        over.store(true, Ordering::SeqCst);
        load.join().expect("the load ran")
    });
    let (total, seen) = outcome;
    assert_eq!(total.failed, 0, "of {}: {:?}", total.answered, total.errors);
    assert!(seen.iter().all(|count| *count > 0), "both policies answered: {seen:?}");
}

fn several_plugins_share_the_module(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let named = |name: &str, policy: &Value| {
        let mut plugin = Plugin::new(policy);
        plugin.name = format!("istio-ingress.{name}");
        plugin
    };
    let search = json!({ "flags": [{
        "name": "search", "header": "x-search", "optIn": { "cookie": { "name": "newsearch", "values": ["1", "yes"] } },
    }] });
    let broken =
        json!({ "flags": [{ "name": "broken", "header": "x-broken", "rollout": { "canary": 400 } }] });
    let mut bootstrap = Bootstrap::canary(TAG, CANARY, v1.address, v2.address)
        .filter(named("voting", &policy::voting()).filter())
        .filter(named("search", &search).filter())
        .filter(named("broken", &broken).filter());
    bootstrap.routes = vec![header_route(TAG, CANARY, bootstrap::CANARY), default_route(bootstrap::STABLE)];
    let envoy = Envoy::start(version, &bootstrap);
    let mut client = envoy.connect();
    let tags = |echo: &http1::Echo| [TAG, "x-search", "x-broken"].map(|name| echo.all(name).join("|"));
    let forged: [(&str, &[u8]); 3] = [(TAG, b"canary"), ("x-search", b"canary"), ("x-broken", b"canary")];
    for (cookie, expected) in [
        (b"a=1".as_slice(), ["", "", ""]),
        (b"featureflag=on", ["canary", "", ""]),
        (b"newsearch=yes", ["", "canary", ""]),
        (b"newsearch=1; featureflag=on", ["canary", "canary", ""]),
    ] {
        let mut headers = forged.to_vec();
        headers.push(("Cookie", cookie));
        let echo = client.get("/", &headers).echo();
        assert_eq!(tags(&echo), expected, "{}", cookie.escape_ascii());
        assert_eq!(echo.version, if expected[0].is_empty() { "v1" } else { "v2" });
    }
    // One VM per thread for all three: main and one worker.
    let wasm = envoy.admin("/stats?filter=wasm").body;
    let wasm = String::from_utf8_lossy(&wasm).into_owned();
    let active =
        wasm.lines().find_map(|line| line.split_once(".active: ")).map(|(_, count)| count.to_owned());
    assert!(
        active.as_deref().is_some_and(|count| count.parse::<u32>().is_ok_and(|count| count <= 3)),
        "{wasm}"
    );
}

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// A policy that needs a key, and what the VM is given.
fn keyed(env: &[(&str, &str)], change: impl FnOnce(&mut Value)) -> Plugin {
    let mut policy = policy::voting();
    policy["subject"] = json!([{ "generate": {} }]);
    policy["flags"][0]["sticky"] = json!("pin");
    policy["flags"][0]["rollout"] = json!({ CANARY: 100 });
    change(&mut policy);
    let mut plugin = Plugin::new(&policy);
    plugin.env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    plugin
}

fn a_missing_key_goes_inert(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let start = |env: &[(&str, &str)]| {
        let bootstrap = Bootstrap::canary(TAG, CANARY, v1.address, v2.address);
        Envoy::start(version, &bootstrap.filter(keyed(env, |_| {}).filter()))
    };
    for env in [&[][..], &[("COALMINE_KEY_K1", "")], &[("COALMINE_KEY_K1", "short")]] {
        let envoy = start(env);
        assert!(!is_open(&envoy), "{env:?}");
        let answer = envoy.connect().get("/", &[]);
        assert_eq!((answer.echo().version.as_str(), answer.all("set-cookie").len()), ("v1", 0), "{env:?}");
        assert!(gauge(&envoy) >= 1.0, "{env:?}");
        let log = envoy.log();
        let critical =
            log.lines().find(|line| line.contains("[critical]") && line.contains("COALMINE_KEY_K1"));
        assert!(critical.is_some(), "{env:?}: {log}");
        assert!(!log.contains("short"), "a key's bytes are not for logs: {log}");
    }
    let envoy = start(&[("COALMINE_KEY_K1", KEY)]);
    assert_eq!(gauge(&envoy), 0.0);
    assert_eq!(envoy.connect().get("/", &[]).echo().version, "v2", "with its key the same policy works");
}

fn a_missing_key_is_refused_where_the_policy_says_so(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let reject = |policy: &mut Value| policy["onBadConfig"] = json!("reject");
    let bootstrap = Bootstrap::canary(TAG, CANARY, v1.address, v2.address);
    let keyless = keyed(&[], reject);
    let failure = Envoy::try_start(version, &bootstrap.clone().filter(keyless.filter())).err();
    assert!(failure.is_some_and(|failure| failure.exited && failure.log.contains("COALMINE_KEY_K1")));
    // An update that names a key the VM lacks leaves the last good configuration. The VM's environment stays the
    // same: Envoy 1.36 takes an update that changes nothing else.
    let env = [("COALMINE_KEY_K1", KEY)];
    let mut ecds = Ecds::new(&keyed(&env, reject));
    let envoy = Envoy::start(version, &bootstrap.filter(ecds.filter()));
    ecds.push(&keyed(&env, |policy| {
        reject(policy);
        policy["keys"] = json!([{ "id": "k2", "env": "COALMINE_KEY_K2" }]);
    }));
    assert_eq!(ecds.judged(&envoy, 2).refused, 1);
    assert_eq!(envoy.connect().get("/", &[]).echo().version, "v2");
}

fn a_key_that_only_verifies_may_be_missing(version: &str) {
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let plugin = keyed(&[("COALMINE_KEY_K1", KEY)], |policy| {
        policy["onBadConfig"] = json!("reject");
        policy["keys"] = json!([
            { "id": "k1", "env": "COALMINE_KEY_K1" }, { "id": "k0", "env": "COALMINE_KEY_K0", "verifyOnly": true },
        ]);
    });
    let bootstrap = Bootstrap::canary(TAG, CANARY, v1.address, v2.address).filter(plugin.filter());
    let envoy = Envoy::start(version, &bootstrap);
    let answer = envoy.connect().get("/", &[]);
    assert_eq!((answer.echo().version.as_str(), answer.all("set-cookie").len()), ("v2", 2));
    assert_eq!(gauge(&envoy), 0.0);
    let log = envoy.log();
    let warning = log.lines().find(|line| line.contains("[warning]") && line.contains("COALMINE_KEY_K0"));
    assert!(warning.is_some() && !log.contains("[critical]"), "{log}");
}
