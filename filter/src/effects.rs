//! What a decision does to the request, the response, metrics and logs: pure, and the only producer of bytes.
//!
//! Every byte produced here comes from the validated configuration or from the token encoder. Three headers hold
//! pieces of what came in: `Cookie` of `Cookie`, `baggage` of `baggage`, and the `Location` of a redirect of the
//! request's own path, of which only visible ASCII is passed on. Envoy writes response headers that a module
//! sets without checking them, so this is where response splitting is prevented.

use crate::config::{Config, CookieSpec, Flag, Mode, SameSite, SubjectSource};
use crate::cookie::{is_plain, is_respelling, without};
use crate::decide::{CookieFate, Decision, Keep, Reason, Request};
use std::borrow::Cow;

/// One change of a header map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<'c> {
    /// Leave exactly this value.
    Set(Cow<'c, str>, Cow<'c, [u8]>),
    /// Remove every value.
    Remove(Cow<'c, str>),
}

/// What happens to the response. Kept until its headers arrive, since the request cannot be read then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Response {
    /// `Set-Cookie` values with the name of their cookie.
    pub cookies: Vec<(String, String)>,
    /// Value to append to `Vary`; empty for none.
    pub vary: String,
    /// Keep shared caches from storing it.
    pub private: bool,
    /// Headers to set.
    pub headers: Vec<(String, String)>,
}

impl Response {
    /// Nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cookies.is_empty() && self.vary.is_empty() && !self.private && self.headers.is_empty()
    }
}

/// Something to count, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counter {
    /// A request was decided.
    Requests,
    /// A flag was decided: indices of flag and variant, and why.
    Decision(usize, Option<usize>, Reason),
    /// A client sent a tag header.
    Stripped,
    /// A signed value did not verify.
    CookieInvalid,
    /// A cookie of interest came more than once.
    CookieDuplicate,
    /// Cookies exceeded a cap.
    CookieOversize,
    /// A cookie is set.
    CookieSet,
    /// A cookie is deleted.
    CookieExpired,
    /// A signed override took effect.
    Override,
}

impl Counter {
    /// Every counter that has no labels.
    pub const PLAIN: [Counter; 8] = [
        Counter::Requests,
        Counter::Stripped,
        Counter::CookieInvalid,
        Counter::CookieDuplicate,
        Counter::CookieOversize,
        Counter::CookieSet,
        Counter::CookieExpired,
        Counter::Override,
    ];

    /// The metric's name. Istio's `extraStatTags` and default tag rules turn what stands before the last part into
    /// labels; the tags stand first because a name in front of them would end in `_`.
    #[must_use]
    #[inline(never)]
    pub fn metric(&self, config: &Config) -> String {
        let plain = match self {
            Counter::Decision(flag, variant, reason) => {
                let flag = config.flags.get(*flag);
                let name = flag.map_or("", |flag| flag.name.as_str());
                let variant = flag.map_or("stable", |flag| variant_name(flag, *variant));
                let reason = reason.name();
                return format!(
                    "canary_flag=.={name};.;canary_variant=.={variant};.;canary_reason=.={reason};.;\
                     coalmine_decisions_total"
                );
            }
            Counter::Requests => "requests",
            Counter::Stripped => "stripped",
            Counter::CookieInvalid => "cookie_invalid",
            Counter::CookieDuplicate => "cookie_duplicate",
            Counter::CookieOversize => "cookie_oversize",
            Counter::CookieSet => "cookie_set",
            Counter::CookieExpired => "cookie_expired",
            Counter::Override => "override",
        };
        format!("wasm_filter.coalmine.{plain}_total")
    }
}

/// The key of the filter state; access logs read it as `%FILTER_STATE(wasm.coalmine:PLAIN)%`.
pub const FILTER_STATE: &str = "coalmine";
/// Gauge: errors in the configurations of this module that are in force. Alert when it is not 0.
pub const CONFIG_ERRORS: &str = "wasm_filter.coalmine.config_errors";
/// Gauge: unknown fields that were ignored.
pub const CONFIG_UNKNOWN: &str = "wasm_filter.coalmine.config_unknown_fields";
/// Gauge: the hash of the configuration last accepted, equal on every pod that runs the same one.
pub const CONFIG_HASH: &str = "wasm_filter.coalmine.config_hash";
/// Gauge: how many configurations this VM has accepted; it grows with every push that changed one.
pub const CONFIG_GENERATION: &str = "wasm_filter.coalmine.config_generation";

/// Everything a decision does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects<'c> {
    /// Changes of the request headers.
    pub request: Vec<Change<'c>>,
    /// Answer with a redirect to this path instead of passing the request on.
    pub redirect: Option<String>,
    /// What to do to the response.
    pub response: Response,
    /// What to count.
    pub counters: Vec<Counter>,
    /// The filter state, `checkout=canary;r=hash`, several flags separated by commas; empty for none.
    pub state: String,
}

/// Derives the effects. Tags are removed or replaced whatever the mode, the decision or the state of the
/// configuration; only a trusted peer in the mesh role keeps them.
#[must_use]
#[inline(never)]
pub fn effects<'c>(config: &'c Config, request: &Request<'_>, decision: &Decision<'_>) -> Effects<'c> {
    let mut effects = Effects::default();
    if !decision.trusted {
        tags(config, request, decision, &mut effects);
        if config.baggage {
            baggage(config, request, decision, &mut effects);
        }
    }
    if config.mode != Mode::Observe {
        refused_cookies(config, request, decision, &mut effects);
    }
    if config.mode == Mode::Enforce {
        response(config, decision, &mut effects);
        effects.redirect = redirect(config, request, decision);
    }
    let outcomes = || config.flags.iter().zip(&decision.outcomes);
    if config.filter_state {
        effects.state.reserve(64);
        for (flag, outcome) in outcomes() {
            if !effects.state.is_empty() {
                effects.state.push(',');
            }
            for part in [&flag.name, "=", variant_name(flag, outcome.variant), ";r=", outcome.reason.name()] {
                effects.state.push_str(part);
            }
        }
    }
    if config.metrics {
        effects.counters.push(Counter::Requests);
        for (index, outcome) in decision.outcomes.iter().enumerate() {
            effects.counters.push(Counter::Decision(index, outcome.variant, outcome.reason));
        }
    }
    let seen = [
        (decision.invalid > 0, Counter::CookieInvalid),
        (decision.duplicate, Counter::CookieDuplicate),
        (decision.oversize, Counter::CookieOversize),
        (decision.overridden, Counter::Override),
    ];
    effects.counters.extend(seen.into_iter().filter(|(seen, _)| *seen).map(|(_, counter)| counter));
    effects
}

/// The name of a variant, `stable` for none.
#[must_use]
pub fn variant_name(flag: &Flag, variant: Option<usize>) -> &str {
    variant.and_then(|index| flag.variants.get(index)).map_or("stable", |variant| variant.name.as_str())
}

#[inline(never)]
fn tags<'c>(config: &'c Config, request: &Request<'_>, decision: &Decision<'_>, effects: &mut Effects<'c>) {
    let mut stripped = false;
    for (index, tag) in config.tags.iter().enumerate() {
        let wanted = if config.mode == Mode::Enforce { wanted(config, decision, index) } else { None };
        let (mut present, mut equal) = (0usize, false);
        for (name, value) in request.headers {
            if *name == tag.as_bytes() {
                present = present.saturating_add(1);
                equal = wanted.as_deref().is_some_and(|wanted| wanted.as_bytes() == *value);
            } else if is_alias(name, tag) {
                // Applications behind CGI-like interfaces cannot tell `x_canary` from `x-canary`.
                stripped = true;
                effects.request.push(Change::Remove(String::from_utf8_lossy(name).into_owned().into()));
            }
        }
        stripped |= present > 0;
        match wanted {
            Some(_) if present == 1 && equal => {}
            Some(value) => effects.request.push(Change::Set(tag.into(), into_bytes(value))),
            None if present > 0 => effects.request.push(Change::Remove(tag.into())),
            None => {}
        }
    }
    if stripped {
        effects.counters.push(Counter::Stripped);
    }
}

/// What the filter's own members of `baggage` begin with, also those of flags that are gone.
const BAGGAGE_PREFIX: &[u8] = b"coalmine.";
/// Longest `baggage` that is passed on, <https://www.w3.org/TR/baggage/#limits>.
const BAGGAGE_BYTES: usize = 8192;

/// Leaves in `baggage` the members of others and, in front of them, one for each flag with a variant. Members of
/// others that exceed the limit are dropped, the last first.
#[inline(never)]
fn baggage(config: &Config, request: &Request<'_>, decision: &Decision<'_>, effects: &mut Effects<'_>) {
    let mut line: Vec<u8> = Vec::new();
    if config.mode == Mode::Enforce {
        for (flag, outcome) in config.flags.iter().zip(&decision.outcomes) {
            if outcome.variant.is_some() {
                let member = format!("coalmine.{}={}", flag.name, variant_name(flag, outcome.variant));
                push_member(&mut line, member.as_bytes());
            }
        }
    }
    let (mut forged, mut lines) = (false, 0usize);
    for value in request.values(b"baggage") {
        lines = lines.saturating_add(1);
        for member in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
            if is_ours(member) {
                forged = true;
            } else if !member.is_empty()
                && line.len().saturating_add(member.len()).saturating_add(1) <= BAGGAGE_BYTES
            {
                push_member(&mut line, member);
            }
        }
    }
    let mine = line.get(..BAGGAGE_PREFIX.len()) == Some(BAGGAGE_PREFIX);
    if forged && !effects.counters.contains(&Counter::Stripped) {
        effects.counters.push(Counter::Stripped);
    }
    match line.is_empty() {
        _ if !forged && !mine => {}
        true => effects.request.push(Change::Remove("baggage".into())),
        false => effects.request.push(Change::Set("baggage".into(), line.into())),
    }
}

/// Whether a member of `baggage` has a name of the filter's. Libraries decode names, though the specification does
/// not: `%65` is an `e` and `+` a space to them, and they pass on what they have decoded.
#[inline(never)]
fn is_ours(member: &[u8]) -> bool {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let (mut bytes, mut wanted) = (member, BAGGAGE_PREFIX.iter());
    let mut begun = false;
    while let Some((byte, mut rest)) = bytes.split_first() {
        let mut byte = *byte;
        if let (b'%', Some(high), Some(low)) = (byte, digit(rest.first()), digit(rest.get(1))) {
            byte = (high as u8).wrapping_shl(4) | low as u8;
            rest = rest.get(2..).unwrap_or_default();
        } else if byte == b'+' {
            byte = b' ';
        }
        bytes = rest;
        if !begun && byte.is_ascii_whitespace() {
            continue;
        }
        begun = true;
        match wanted.next() {
            None => return true,
            Some(wanted) if wanted.eq_ignore_ascii_case(&byte) => {}
            Some(_) => return false,
        }
    }
    wanted.next().is_none()
}

fn push_member(line: &mut Vec<u8>, member: &[u8]) {
    if !line.is_empty() {
        line.push(b',');
    }
    line.extend_from_slice(member);
}

/// Where a client goes whose override has just been pinned: the same address without it. Nowhere when the path
/// could be read as another host, or holds what a `Location` may not.
#[inline(never)]
fn redirect(config: &Config, request: &Request<'_>, decision: &Decision<'_>) -> Option<String> {
    let pinned: Vec<&str> = config
        .flags
        .iter()
        .zip(&decision.outcomes)
        .filter(|(_, outcome)| outcome.reason == Reason::Override && matches!(outcome.pin, Keep::Set(_)))
        .filter_map(|(flag, _)| flag.query.as_ref().filter(|query| query.redirect))
        .map(|query| query.name.as_str())
        .collect();
    if pinned.is_empty() {
        return None;
    }
    let (path, query) = request.path_and_query();
    let is_local = path.first() == Some(&b'/') && !matches!(path.get(1), Some(b'/' | b'\\'));
    let is_override = |pair: &&[u8]| {
        let name = pair.split(|b| *b == b'=').next().unwrap_or_default();
        pinned.iter().any(|pinned| pinned.as_bytes() == name)
    };
    let left: Vec<&[u8]> = query.split(|b| *b == b'&').filter(|pair| !is_override(pair)).collect();
    let mut target = path.to_vec();
    if !left.is_empty() {
        target.push(b'?');
        target.extend(left.join(&b'&'));
    }
    let is_plain = is_local && target.iter().all(u8::is_ascii_graphic);
    String::from_utf8(target).ok().filter(|_| is_plain)
}

fn into_bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// The value of a tag header, if it is to have one: that of the first flag that has an answer for it.
fn wanted<'c>(config: &'c Config, decision: &Decision<'_>, tag: usize) -> Option<Cow<'c, str>> {
    let outcomes = || config.flags.iter().zip(&decision.outcomes);
    let list = |pick: &dyn Fn(&'c Flag, &crate::decide::Outcome) -> Option<&'c str>| {
        let mut line = String::new();
        for (flag, outcome) in outcomes() {
            let Some(word) = pick(flag, outcome) else { continue };
            if !line.is_empty() {
                line.push(',');
            }
            line.push_str(&flag.name);
            line.push('=');
            line.push_str(word);
        }
        (!line.is_empty()).then_some(Cow::Owned(line))
    };
    if config.tags_header == Some(tag) {
        return list(&|flag, outcome| outcome.variant.map(|_| variant_name(flag, outcome.variant)));
    }
    if config.reason_header == Some(tag) {
        return list(&|_, outcome| Some(outcome.reason.name()));
    }
    let mine = || outcomes().filter(|(flag, _)| flag.tag == tag);
    let variant = mine().find_map(|(flag, outcome)| flag.variants.get(outcome.variant?));
    let stable = || {
        mine().find_map(|(flag, outcome)| flag.stable_tag.as_deref().filter(|_| outcome.reason.is_matched()))
    };
    variant.map(|variant| variant.tag.as_str()).or_else(stable).map(Cow::Borrowed)
}

/// `x_canary` or `x-canary` spelled with any mix of the two.
fn is_alias(name: &[u8], tag: &str) -> bool {
    name.len() == tag.len()
        && name.contains(&b'_')
        && name.iter().zip(tag.as_bytes()).all(|(a, b)| a == b || (*a == b'_' && *b == b'-'))
}

/// Takes refused flag cookies out of the forwarded `Cookie` header and, where configured, deletes them.
///
/// A cookie that opts into several flags is only refused when none of them accepts it. Beyond the caps nothing
/// was looked at, so flag cookies may hide there: then all of them go.
#[inline(never)]
fn refused_cookies<'c>(
    config: &'c Config,
    request: &Request<'_>,
    decision: &Decision<'_>,
    effects: &mut Effects<'c>,
) {
    let mut drop: Vec<(&str, &crate::config::FlagCookie)> = Vec::new();
    for (flag, outcome) in config.flags.iter().zip(&decision.outcomes) {
        let Some(cookie) = &flag.opt_in else { continue };
        let refused = matches!(outcome.cookie, CookieFate::Refused | CookieFate::RefusedForGood);
        let accepted = config.flags.iter().zip(&decision.outcomes).any(|(other, outcome)| {
            outcome.cookie == CookieFate::Accepted
                && other.opt_in.as_ref().is_some_and(|o| o.slot == cookie.slot)
        });
        if !(refused || decision.oversize) || accepted {
            continue;
        }
        let Some(name) = config.cookies.get(cookie.slot) else { continue };
        drop.push((name, cookie));
        if let (CookieFate::RefusedForGood, Some(spec), Mode::Enforce) =
            (outcome.cookie, &cookie.expire, config.mode)
            && !effects.response.cookies.iter().any(|(known, _)| *known == spec.name)
        {
            effects.response.cookies.push((spec.name.clone(), set_cookie(spec, None)));
            effects.counters.push(Counter::CookieExpired);
        }
    }
    if drop.is_empty() {
        return;
    }
    let left = without(request.cookies(), |name, value| {
        drop.iter().any(|(refused, cookie)| {
            is_respelling(name, refused)
                || (refused.as_bytes() == name
                    && (!is_plain(value) || cookie.on.iter().any(|on| on == value)))
        })
    });
    match left {
        None => {}
        Some(left) if left.is_empty() => effects.request.push(Change::Remove("cookie".into())),
        Some(left) => effects.request.push(Change::Set("cookie".into(), left.into())),
    }
}

#[inline(never)]
fn response(config: &Config, decision: &Decision<'_>, effects: &mut Effects<'_>) {
    let response = &mut effects.response;
    // Only the filter's own cookies make a response private; the deletion of a refused one is the same for all.
    if let Some((source, token)) = &decision.id
        && let Some(SubjectSource::Generate { cookie, .. }) = config.subject.get(*source)
    {
        response.cookies.push((cookie.name.clone(), set_cookie(cookie, Some(token))));
        response.private |= config.flags.iter().any(|flag| flag.cache_control);
        effects.counters.push(Counter::CookieSet);
    }
    for (flag, outcome) in config.flags.iter().zip(&decision.outcomes) {
        if let Some((_, spec)) = &flag.pin {
            let (value, counter) = match &outcome.pin {
                Keep::Leave => (None, None),
                Keep::Set(token) => (Some(token.as_str()), Some(Counter::CookieSet)),
                Keep::Delete => (None, Some(Counter::CookieExpired)),
            };
            if let Some(counter) = counter {
                response.cookies.push((spec.name.clone(), set_cookie(spec, value)));
                response.private |= flag.cache_control;
                effects.counters.push(counter);
            }
        }
        if !outcome.reason.is_matched() {
            continue;
        }
        if flag.vary && response.vary.is_empty() {
            response.vary.clone_from(&config.vary);
        }
        if let Some(name) = &flag.response_header {
            let word = format!("{}={}", flag.name, variant_name(flag, outcome.variant));
            match response.headers.iter_mut().find(|(known, _)| known == name) {
                Some((_, line)) => {
                    line.push(',');
                    line.push_str(&word);
                }
                None => response.headers.push((name.clone(), word)),
            }
        }
    }
}

/// A `Set-Cookie` value; without a value it deletes the cookie, with the same Path and Domain it was set with.
#[must_use]
#[inline(never)]
pub fn set_cookie(spec: &CookieSpec, value: Option<&str>) -> String {
    let mut line = format!("{}={}; Path={}", spec.name, value.unwrap_or_default(), spec.path);
    if let Some(domain) = &spec.domain {
        line.push_str("; Domain=");
        line.push_str(domain);
    }
    match value {
        Some(_) => line.push_str(&format!("; Max-Age={}", spec.max_age)),
        None => line.push_str("; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
    }
    let same_site = match spec.same_site {
        Some(SameSite::Strict) => "; SameSite=Strict",
        Some(SameSite::Lax) => "; SameSite=Lax",
        Some(SameSite::None) => "; SameSite=None",
        None => "",
    };
    for (attribute, given) in [
        ("; Secure", spec.secure),
        ("; HttpOnly", spec.http_only),
        (same_site, true),
        ("; Partitioned", spec.partitioned),
    ] {
        if given {
            line.push_str(attribute);
        }
    }
    line
}

/// The `Cache-Control` of a response that sets a cookie, given what the upstream said; `None` to leave it. What the
/// upstream asks of browsers stays: without its `no-cache` they would keep a version for as long as they like.
#[must_use]
#[inline(never)]
pub fn private_cache_control(upstream: &[u8]) -> Option<String> {
    let text =
        std::str::from_utf8(upstream).ok().filter(|text| text.bytes().all(|b| (0x20..0x7f).contains(&b)));
    let mut line = String::new();
    for directive in text.unwrap_or_default().split(',').map(str::trim_ascii) {
        let name = directive.split('=').next().unwrap_or_default().trim_ascii_end();
        if directive.eq_ignore_ascii_case("private") || name.eq_ignore_ascii_case("no-store") {
            return None;
        }
        if !["", "public", "s-maxage"].iter().any(|shared| name.eq_ignore_ascii_case(shared)) {
            line.push_str(directive);
            line.push_str(", ");
        }
    }
    line.push_str("private");
    Some(line)
}

#[cfg(test)]
#[path = "effects/tests.rs"]
mod tests;
