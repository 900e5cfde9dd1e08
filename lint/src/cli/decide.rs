//! `coalmine decide`: what the filter would do with a request, by the filter's own code.

mod print;
mod simulate;

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Read as _};
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail, ensure};
use coalmine::decide::{Answer, Located, Source, add_subject};
use coalmine::render::decide as json;
use coalmine_filter::config::{self, Config, Severity};
use coalmine_filter::decide::{Ambient, Request, decide, override_binding};
use coalmine_filter::effects::effects;
use coalmine_filter::keys;
use coalmine_filter::token::{Binding, Keys, MIN_KEY_BYTES};

use super::Exit;
use super::args::{Common, DecideArgs, DecideFormat};

/// Decides a request, simulates a rollout, or signs an override.
pub(crate) fn run(args: &DecideArgs, common: &Common) -> Result<Exit> {
    let source =
        read(&args.config, args.plugin.as_deref(), common.namespace.as_deref().unwrap_or("default"))?;
    let is_broken = source.problems.iter().any(|located| located.problem.severity > Severity::Warning);
    for Located { problem, text, place } in &source.problems {
        let severity = if problem.severity == Severity::Warning { "warning" } else { "error" };
        let (line, column) =
            place.map_or(("".into(), "".into()), |(l, c)| (format!(":{l}"), format!(":{c}")));
        eprintln!("{}{line}{column}: {severity}: {text}", source.file);
    }
    let now = match &args.now {
        Some(text) => config::time(text)
            .with_context(|| format!("--now {text}: not an RFC 3339 time such as 2026-12-01T00:00:00Z"))?,
        None => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    };
    let (keys, stand_in) = keys(&source.config, &args.key)?;
    let text = if let Some(wanted) = &args.sign {
        ensure!(!is_broken, "the configuration has errors; nothing was signed");
        ensure!(!stand_in, "{}", no_key(&source.config));
        sign(args, &source.config, &keys, wanted, now)?
    } else if let Some(count) = args.simulate {
        simulate::run(&source, count, args.format)
    } else {
        request(args, &source, &keys, stand_in, now)?
    };
    super::put(&text)?;
    Ok(if is_broken { Exit::Usage } else { Exit::Clean })
}

fn request(args: &DecideArgs, source: &Source, keys: &Keys, stand_in: bool, now: u64) -> Result<String> {
    let mut headers: Vec<(String, String)> = vec![
        (":method".into(), args.method.clone()),
        (":path".into(), args.path.clone()),
        (":authority".into(), args.host.clone()),
    ];
    for header in &args.header {
        let (name, value) = header
            .split_once(':')
            .filter(|(name, _)| !name.trim().is_empty())
            .with_context(|| format!("--header {header}: not of the form `name: value`"))?;
        headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
    headers.extend(args.cookie.iter().map(|cookie| ("cookie".to_owned(), cookie.clone())));
    if let Some(id) = &args.subject {
        add_subject(&source.config, keys, id, now, &mut headers)
            .map_err(|error| anyhow::anyhow!("--subject: {error}"))?;
    }
    let headers: Vec<(&[u8], &[u8])> =
        headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let request = Request {
        headers: &headers,
        principal: args.principal.as_ref().map(|principal| principal.as_bytes()),
    };
    let mut random = || Some(random());
    let decision = decide(&source.config, keys, &request, &mut Ambient { now, random: &mut random });
    let effects = effects(&source.config, &request, &decision);
    let answer = Answer { source, request: &request, decision: &decision, effects: &effects, stand_in };
    Ok(match args.format {
        DecideFormat::Human => print::human(&answer),
        DecideFormat::Json => print::line(&json::output(&answer)),
    })
}

/// Keys from `--key` and the environment. Where a key is needed and none is there, one that is made up decides just
/// the same: the second result says so.
fn keys(config: &Config, given: &[String]) -> Result<(Keys, bool)> {
    let mut secrets = Vec::new();
    for key in given {
        let (id, secret) = key.split_once('=').context("--key: not of the form ID=VALUE")?;
        let source = config.keys.iter().find(|key| key.id == id);
        let source = source.with_context(|| {
            let ids: Vec<&str> = config.keys.iter().map(|key| key.id.as_str()).collect();
            format!("--key {id}: the configuration's keys are {}", ids.join(", "))
        })?;
        ensure!(secret.trim().len() >= MIN_KEY_BYTES, "--key {id}: a key has at least {MIN_KEY_BYTES} bytes");
        secrets.push((source.env.as_str(), secret.as_bytes().to_vec()));
    }
    let known = |name: &str| {
        let own = secrets.iter().find(|(env, _)| *env == name).map(|(_, secret)| secret.clone());
        own.or_else(|| std::env::var_os(name).map(std::ffi::OsString::into_encoded_bytes))
    };
    // A copy: the configuration is judged by what its manifest gives the proxy, not by what this process has.
    let mut config = config.clone();
    let (keys, _) = keys::load(&mut config, known);
    if keys.can_sign() {
        return Ok((keys, false));
    }
    let made_up = random().to_vec();
    let (keys, _) = keys::load(&mut config, |name| {
        Some(known(name).filter(|secret| secret.trim_ascii().len() >= MIN_KEY_BYTES).unwrap_or(hex(&made_up)))
    });
    Ok((keys, true))
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

fn no_key(config: &Config) -> String {
    let Some(key) = config.keys.iter().find(|key| !key.verify_only) else {
        return "the configuration has no key that signs".to_owned();
    };
    format!(
        "no key to sign with: set {} to the key, at least {MIN_KEY_BYTES} bytes, or give --key {}=VALUE",
        key.env, key.id
    )
}

/// Randomness for ids and keys that live as long as this process: std seeds its hashers from the system.
fn random() -> [u8; 16] {
    let word = || RandomState::new().build_hasher().finish().to_le_bytes();
    let mut bytes = [0; 16];
    for (place, byte) in bytes.iter_mut().zip(word().into_iter().chain(word())) {
        *place = byte;
    }
    bytes
}

fn sign(args: &DecideArgs, config: &Config, keys: &Keys, wanted: &str, now: u64) -> Result<String> {
    let (flag, variant) = wanted.split_once('=').context("--sign: not of the form FLAG=VARIANT")?;
    let names: Vec<&str> = config.flags.iter().map(|flag| flag.name.as_str()).collect();
    let flag = config.flags.iter().find(|known| known.name == flag);
    let flag = flag.with_context(|| format!("--sign {wanted}: the flags are {}", names.join(", ")))?;
    let mut variants: Vec<&str> = flag.variants.iter().map(|variant| variant.name.as_str()).collect();
    variants.push("stable");
    ensure!(
        variants.contains(&variant),
        "--sign {wanted}: the variants of `{}` are {}",
        flag.name,
        variants.join(", ")
    );
    let Some(parameter) = flag.query.as_ref().filter(|query| query.signed).map(|query| &query.name) else {
        bail!(
            "flag `{}` takes no signed overrides; add `optIn: {{query: {{name: canary}}}}` to it",
            flag.name
        );
    };
    let lifetime = config::duration(&args.expires).with_context(|| {
        format!("--expires {}: not a duration such as 90s, 15m, 12h or 7d, at most 400d", args.expires)
    })?;
    let expiry = now.saturating_add(lifetime);
    let subject = args.subject.as_deref().unwrap_or_default();
    let binding: Binding<'_> = override_binding(parameter, &flag.name, subject.as_bytes());
    let token = keys.sign(&binding, variant, expiry).with_context(|| no_key(config))?;
    Ok(match args.format {
        DecideFormat::Json => print::signed_json(&token, parameter, &flag.name, variant, expiry, subject),
        DecideFormat::Human => print::signed(&token, parameter, &args.path, &args.host, expiry, subject),
    })
}

/// Reads a file or standard input.
fn read(path: &Path, wanted: Option<&str>, namespace: &str) -> Result<Source> {
    let name = if path.as_os_str() == "-" { "<stdin>".to_owned() } else { path.display().to_string() };
    let text = if path.as_os_str() == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        text
    } else {
        fs::read_to_string(path).with_context(|| name.clone())?
    };
    Source::read(&name, &text, wanted, namespace).map_err(anyhow::Error::msg)
}
