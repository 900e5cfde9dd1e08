//! Coalmine's own filter on the way: it decides by its own code and changes headers before the route is chosen.

use coalmine_filter::config::{CLIENT_IP, Config, Mode};
use coalmine_filter::decide::{self, Ambient, decide};
use coalmine_filter::effects::{Change, effects, variant_name};
use coalmine_filter::keys;
use coalmine_filter::token::{Keys, MIN_KEY_BYTES};

use super::message::Message;
use super::{End, FlagDecision, Hop, HopKind, Known, Share};
use crate::mesh::filters::Filter;

/// A request on one of its ways.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) share: Share,
    pub(super) message: Message,
    pub(super) hops: Vec<Hop>,
    /// A filter answered it.
    pub(super) ended: Option<End>,
}

/// Runs filters one after another, in the order in which Istio puts them: by phase, then by priority.
pub(super) fn run<'m, 'a: 'm>(
    filters: impl Iterator<Item = &'m Filter<'a>>,
    way: Way,
    principal: Option<&str>,
    known: &Known,
    notes: &mut Vec<String>,
) -> Vec<Way> {
    let mut filters: Vec<&Filter<'_>> = filters.collect();
    filters.sort_by_key(|filter| {
        let phase = match filter.spec.phase.text() {
            "AUTHN" => 0,
            "AUTHZ" => 1,
            "STATS" => 2,
            _ => 3,
        };
        (phase, std::cmp::Reverse(filter.spec.priority.get().copied().unwrap_or(0)))
    });
    let mut ways = vec![way];
    for filter in filters {
        ways = ways.into_iter().flat_map(|way| step(filter, way, principal, known, notes)).collect();
    }
    ways
}

/// Buckets of a rollout.
const BUCKETS: u128 = coalmine_filter::bucket::BUCKETS as u128;
/// How many made-up visitors are dealt at most, to find one for every way that visitors can go.
const DEALT: u32 = 20_000;

fn step(
    filter: &Filter<'_>,
    way: Way,
    principal: Option<&str>,
    known: &Known,
    notes: &mut Vec<String>,
) -> Vec<Way> {
    if way.ended.is_some() {
        return vec![way];
    }
    if filter.config.needs_client_ip && !filter.config.inert {
        note(
            notes,
            format!(
                "WasmPlugin `{}` asks for the client's address, which is not known here: it is on none of the lists",
                filter.resource.name.value
            ),
        );
    }
    let (keys, stand_in) = keys(&filter.config, known);
    if stand_in && filter.config.needs_key && !filter.config.inert {
        note(
            notes,
            format!(
                "the signing key of WasmPlugin `{}` is not known here: signed cookies and overrides of the request \
                 count as forged",
                filter.resource.name.value
            ),
        );
    }
    let mut drew = false;
    let first = apply(filter, &way, principal, &keys, known.now, 0, &mut drew);
    if !drew {
        return vec![first.way];
    }
    // The filter makes up an id for a visitor it has never seen, and with it the version: one way for each.
    let classes = classes(&filter.config, &first);
    let Some(classes) = classes.filter(|classes| *classes > 1) else {
        if classes.is_none() {
            note(
                notes,
                "the shares of visitors without an id are not computed for so many rollouts together: one of them \
                 is followed"
                    .to_owned(),
            );
        }
        return vec![first.way];
    };
    let mut found = vec![first];
    let mut seed = 0;
    while found.len() < classes && seed < DEALT {
        seed += 1;
        let next = apply(filter, &way, principal, &keys, known.now, seed, &mut drew);
        if !found.iter().any(|other| other.variants == next.variants) {
            found.push(next);
        }
    }
    let mut shares: Vec<Share> = found.iter().map(|dealt| share(&filter.config, dealt)).collect();
    // A version that nobody was dealt is too rare to follow; its visitors are counted with the rest.
    let counted = shares.iter().fold(Share::new(0, 1), |sum, share| sum.plus(*share));
    if let Some(first) = shares.first_mut().filter(|_| !counted.rest().is_none()) {
        *first = first.plus(counted.rest());
        let text = format!("{} of the visitors get a version too rare to be followed apart", counted.rest());
        note(notes, text);
    }
    let mut ways: Vec<(Share, Way)> =
        shares.into_iter().zip(found.into_iter().map(|dealt| dealt.way)).collect();
    ways.retain(|(share, _)| !share.is_none());
    ways.sort_by(|a, b| b.0.percent().total_cmp(&a.0.percent()));
    ways.into_iter().map(|(share, dealt)| Way { share: way.share.of(share), ..dealt }).collect()
}

pub(super) fn note(notes: &mut Vec<String>, text: String) {
    if !notes.contains(&text) {
        notes.push(text);
    }
}

/// Keys as the shell knows them, else some that nobody has: a decision that needs one is then made as if the
/// visitor came with no signature.
fn keys(config: &Config, known: &Known) -> (Keys, bool) {
    let mut own = config.clone();
    let secret = |name: &str| {
        let given = known.env.iter().find(|(env, _)| env == name).map(|(_, secret)| secret.clone());
        given.filter(|secret| secret.trim_ascii().len() >= MIN_KEY_BYTES)
    };
    let (keys, _) = keys::load(&mut own, secret);
    if keys.can_sign() || config.keys.is_empty() {
        return (keys, false);
    }
    let (keys, _) = keys::load(&mut own, |name| Some(secret(name).unwrap_or_else(|| vec![b'?'; 64])));
    (keys, true)
}

struct Dealt {
    way: Way,
    variants: Vec<(Option<usize>, &'static str)>,
    /// Flags that the hash of a made-up id decided.
    hashed: Vec<bool>,
}

fn apply(
    filter: &Filter<'_>,
    way: &Way,
    principal: Option<&str>,
    keys: &Keys,
    now: u64,
    seed: u32,
    drew: &mut bool,
) -> Dealt {
    let config = &filter.config;
    let mut message = way.message.clone();
    let mut hops = way.hops.clone();
    let mut headers: Vec<(&[u8], &[u8])> = vec![
        (b":method", way.message.method.as_bytes()),
        (b":path", way.message.path.as_bytes()),
        (b":authority", way.message.authority.as_bytes()),
    ];
    headers.extend(way.message.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    // Nobody says from where the request comes: an address is made up as ids are.
    let address = format!("198.18.{}.{}", seed / 256 % 256, seed % 256);
    if config.needs_client_ip {
        headers.push((CLIENT_IP.as_bytes(), address.as_bytes()));
    }
    let request = decide::Request { headers: &headers, principal: principal.map(str::as_bytes) };
    let mut random = || {
        *drew = true;
        let mut bytes = [0u8; 16];
        for (place, byte) in
            bytes.iter_mut().zip(seed.wrapping_mul(2_654_435_761).to_le_bytes().into_iter().cycle())
        {
            *place = byte;
        }
        Some(bytes)
    };
    let decision = decide(config, keys, &request, &mut Ambient { now, random: &mut random });
    *drew |= config.needs_client_ip && decision.subject.as_deref() == Some(address.as_bytes());
    let effects = effects(config, &request, &decision);
    let name = &filter.resource.name;
    let mut hop = Hop::new(HopKind::Filter, Some(filter.resource), Some(name.span), String::new());
    for (flag, outcome) in config.flags.iter().zip(&decision.outcomes) {
        hop.flags.push(FlagDecision {
            flag: flag.name.clone(),
            variant: variant_name(flag, outcome.variant).to_owned(),
            reason: outcome.reason.name(),
        });
    }
    let decided: Vec<String> =
        hop.flags.iter().map(|flag| format!("{}={} ({})", flag.flag, flag.variant, flag.reason)).collect();
    hop.summary = match (config.inert, decided.is_empty()) {
        (true, _) => "its configuration has errors: it only removes tags".to_owned(),
        (_, true) => "it has no flags".to_owned(),
        _ => decided.join(", "),
    };
    if config.mode == Mode::Observe {
        hop.detail("mode", "observe: decided and counted, nothing is set", None);
    }
    for change in &effects.request {
        match change {
            Change::Set(name, value) => {
                let value = String::from_utf8_lossy(value).into_owned();
                if filter.strips(name) && message.has(name) {
                    hop.detail("remove", format!("{name} that the client sent"), None);
                }
                hop.detail("set", format!("{name}: {value}"), None);
                message.set(name, &value);
            }
            Change::Remove(name) => {
                hop.detail("remove", format!("{name} that the client sent"), None);
                message.remove(name);
            }
        }
    }
    let ended = effects.redirect.as_ref().map(|location| {
        hop.detail("redirect", format!("to {location}, with the override in a cookie"), None);
        End::Redirect { status: 302, location: location.clone() }
    });
    hops.push(hop);
    let variants = decision.outcomes.iter().map(|outcome| (outcome.variant, outcome.reason.name())).collect();
    let by_hash =
        |outcome: &decide::Outcome| matches!(outcome.reason.name(), "hash" | "holdback" | "stable" | "layer");
    let hashed = config
        .flags
        .iter()
        .zip(&decision.outcomes)
        .map(|(flag, outcome)| flag.has_rollout && by_hash(outcome))
        .collect();
    Dealt { way: Way { share: way.share, message, hops, ended }, variants, hashed }
}

/// In how many ways visitors can be dealt, at most; `None` when that is not worked out: more than three rollouts
/// at once, or two in one layer, whose shares do not multiply.
fn classes(config: &Config, first: &Dealt) -> Option<usize> {
    let hashed =
        || config.flags.iter().zip(&first.hashed).filter(|(_, hashed)| **hashed).map(|(flag, _)| flag);
    let layers: Vec<&str> =
        hashed().filter_map(|flag| flag.layer.as_ref()).map(|(name, _)| name.as_str()).collect();
    let shares_layer =
        layers.iter().enumerate().any(|(i, name)| layers.iter().take(i).any(|other| other == name));
    if shares_layer || hashed().count() > 3 {
        return None;
    }
    let ways = |flag: &coalmine_filter::config::Flag| {
        let slices = flag.variants.iter().filter(|variant| variant.slice.width > 0).count();
        slices + 1 + usize::from(flag.holdback > 0) + usize::from(flag.layer.is_some())
    };
    Some(hashed().map(ways).product())
}

/// How many visitors are dealt so: flags have salts of their own, so their shares multiply.
fn share(config: &Config, dealt: &Dealt) -> Share {
    let mut share = Share::ALL;
    for ((flag, hashed), (variant, reason)) in config.flags.iter().zip(&dealt.hashed).zip(&dealt.variants) {
        if !hashed {
            continue;
        }
        let width = |variant: &coalmine_filter::config::Variant| u128::from(variant.slice.width);
        let taken: u128 = flag.variants.iter().map(width).sum();
        let own = match (variant.and_then(|index| flag.variants.get(index)), *reason) {
            (Some(variant), _) => width(variant),
            (None, "holdback") => u128::from(flag.holdback),
            (None, _) => BUCKETS.saturating_sub(taken).saturating_sub(u128::from(flag.holdback)),
        };
        share = share.of(match &flag.layer {
            None => Share::new(own, BUCKETS),
            Some((_, slice)) => {
                let inside = Share::new(u128::from(slice.width), BUCKETS);
                if *reason == "layer" { inside.rest() } else { inside.of(Share::new(own, BUCKETS)) }
            }
        });
    }
    share
}
