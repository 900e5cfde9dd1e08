//! Who is in the canary: `(Config, Keys, Request, time, randomness) -> Decision`, with a reason per flag. Pure.
//!
//! The order per flag is fixed: off, window, when, deny, allow, signed override, opt-in or opt-out by cookie,
//! valid pin, layer, hash, stable. A client's own choice (the flag cookie) comes before its pin, so that
//! `featureflag=off` takes effect at once. Nothing here emits a byte; that is [`crate::effects`].
//!
//! Longer than most files so that the whole order can be read, and reviewed, in one place.

use crate::bucket::{BUCKETS, bucket, murmur3};
use crate::config::{Config, CookieSpec, Expected, Flag, FlagCookie, Lists, Mode, Role, SubjectSource, Who};
use crate::cookie::{self, CANDIDATES, Scan, is_plain};
use crate::token::{Binding, Invalid, Keys, Purpose, Verified, random_id, sha256_hex};
use std::borrow::Cow;

/// What of a request matters. Header names are lower case, as Envoy's header map has them, and include
/// `:method`, `:path` and `:authority`; a header with several values appears several times.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// Names and values in order; among them, where a subject asks for it, [`CLIENT_IP`](crate::config::CLIENT_IP).
    pub headers: &'a [(&'a [u8], &'a [u8])],
    /// The URI SAN of the peer's certificate, when the connection is mTLS. Only read in the mesh role.
    pub principal: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// The values of a header.
    pub fn values(&self, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(key, _)| *key == name).map(|(_, value)| *value)
    }

    /// The first value of a header.
    #[must_use]
    pub fn first(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.values(name).next()
    }

    /// The `Cookie` lines.
    pub fn cookies(&self) -> impl Iterator<Item = &'a [u8]> {
        self.values(b"cookie")
    }

    /// The path and the query, without `?` and fragment.
    #[must_use]
    pub fn path_and_query(&self) -> (&'a [u8], &'a [u8]) {
        let target = self.first(b":path").unwrap_or_default();
        let target = target.split(|b| *b == b'#').next().unwrap_or_default();
        let mut halves = target.splitn(2, |b| *b == b'?');
        (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
    }
}

/// Why a flag has the variant it has. The names are the whole vocabulary of metrics and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The flag or the whole filter is off.
    Off,
    /// Outside the time window.
    Window,
    /// The request is not one the flag applies to.
    Unmatched,
    /// In the mesh role: the tag of a trusted peer was kept.
    Trusted,
    /// On the deny list.
    Deny,
    /// On the allow list.
    Allow,
    /// A signed override.
    Override,
    /// The flag cookie opted in.
    OptIn,
    /// The flag cookie opted out.
    OptOut,
    /// A valid pin.
    Pin,
    /// No subject to hash.
    NoSubject,
    /// The subject belongs to another flag of the layer.
    Layer,
    /// The subject is held back.
    Holdback,
    /// The hash fell into a variant's slice.
    Hash,
    /// The hash fell into no slice, or there is no rollout.
    Stable,
}

impl Reason {
    /// Every reason, for tables.
    pub const ALL: [Reason; 15] = [
        Reason::Off,
        Reason::Window,
        Reason::Unmatched,
        Reason::Trusted,
        Reason::Deny,
        Reason::Allow,
        Reason::Override,
        Reason::OptIn,
        Reason::OptOut,
        Reason::Pin,
        Reason::NoSubject,
        Reason::Layer,
        Reason::Holdback,
        Reason::Hash,
        Reason::Stable,
    ];

    /// Its name in metrics, logs and headers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Reason::Off => "off",
            Reason::Window => "window",
            Reason::Unmatched => "unmatched",
            Reason::Trusted => "trusted",
            Reason::Deny => "deny",
            Reason::Allow => "allow",
            Reason::Override => "override",
            Reason::OptIn => "optin",
            Reason::OptOut => "optout",
            Reason::Pin => "pin",
            Reason::NoSubject => "nosubject",
            Reason::Layer => "layer",
            Reason::Holdback => "holdback",
            Reason::Hash => "hash",
            Reason::Stable => "stable",
        }
    }

    /// The flag took part: what the upstream answers may differ by client, so caches must know.
    #[must_use]
    pub fn is_matched(self) -> bool {
        !matches!(self, Reason::Off | Reason::Window | Reason::Unmatched | Reason::Trusted)
    }
}

/// What becomes of a signed cookie.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Keep {
    /// Nothing.
    #[default]
    Leave,
    /// Set it to this token.
    Set(String),
    /// Delete it: it does not verify, or what it says is void.
    Delete,
}

/// What the policy says about a flag cookie the client sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CookieFate {
    /// Absent, or not one that asks for anything.
    #[default]
    Unasked,
    /// It had its way.
    Accepted,
    /// Not forwarded.
    Refused,
    /// Not forwarded, and the client may be told to delete it.
    RefusedForGood,
}

/// The answer for one flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Index into [`Flag::variants`]; `None` is stable.
    pub variant: Option<usize>,
    /// Why.
    pub reason: Reason,
    /// The pin.
    pub pin: Keep,
    /// The flag cookie.
    pub cookie: CookieFate,
}

/// The answers for one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision<'a> {
    /// One per flag, in order; empty when the configuration is inert.
    pub outcomes: Vec<Outcome>,
    /// The subject, if any. Client bytes: never emit them.
    pub subject: Option<Cow<'a, [u8]>>,
    /// The generated id's cookie, as an index into [`Config::subject`].
    pub id: Option<(usize, String)>,
    /// The subject is a signed id: nobody but this filter says who the client is.
    pub anonymous: bool,
    /// In the mesh role: the peer is trusted, leave its tags alone.
    pub trusted: bool,
    /// Signed values that did not verify, expired ones apart.
    pub invalid: u32,
    /// A cookie of interest came more than once.
    pub duplicate: bool,
    /// A cap was exceeded.
    pub oversize: bool,
    /// A signed override took effect.
    pub overridden: bool,
}

/// Time and randomness, the only inputs that are not the request's.
pub struct Ambient<'r> {
    /// Seconds since 1970. Only read when [`Config::needs_clock`] says so.
    pub now: u64,
    /// 128 random bits, or nothing when the host has none; then no ids are generated.
    pub random: &'r mut dyn FnMut() -> Option<[u8; 16]>,
}

/// Decides every flag for one request.
#[must_use]
#[inline(never)]
pub fn decide<'a>(
    config: &Config,
    keys: &Keys,
    request: &Request<'a>,
    ambient: &mut Ambient<'_>,
) -> Decision<'a> {
    if config.inert {
        return Decision::default();
    }
    let listed = |peer: &[u8]| config.principals.iter().any(|glob| glob.matches(peer));
    let trusted = config.role == Role::Mesh && request.principal.is_some_and(listed);
    let mut decision = Decision { trusted, ..Decision::default() };
    let scan = cookie::scan(request.cookies(), &config.cookies, config.limits);
    decision.oversize = scan.oversize;
    decision.duplicate = scan.slots.iter().any(|slot| slot.count() > 1);

    // A flag that no gate closed begins as stable; no gate gives that reason.
    let begin = |flag| {
        let reason = gate(config, flag, request, ambient.now, decision.trusted).unwrap_or(Reason::Stable);
        Outcome { variant: None, reason, pin: Keep::Leave, cookie: CookieFate::Unasked }
    };
    let mut outcomes: Vec<Outcome> = config.flags.iter().map(begin).collect();
    let may_set = may_set_cookies(config, request, &scan);
    let inputs = Inputs { config, keys, request, scan: &scan, now: ambient.now, may_set };
    let (mut open, mut hashes) = (false, false);
    for (flag, outcome) in config.flags.iter().zip(&outcomes) {
        open |= outcome.reason == Reason::Stable;
        hashes |= outcome.reason == Reason::Stable && flag.has_rollout;
    }
    if open && config.needs_subject {
        inputs.subject(&mut decision, hashes, ambient);
    }
    for (flag, outcome) in config.flags.iter().zip(&mut outcomes) {
        if outcome.reason == Reason::Stable {
            *outcome = inputs.flag(flag, &mut decision);
        }
        if let Some(cookie) = &flag.opt_in {
            outcome.cookie = inputs.fate(flag, cookie, outcome);
        }
    }
    decision.outcomes = outcomes;
    decision
}

/// The reason a flag is not even considered.
fn gate(config: &Config, flag: &Flag, request: &Request<'_>, now: u64, trusted: bool) -> Option<Reason> {
    if config.mode == Mode::Off || !flag.enabled {
        Some(Reason::Off)
    } else if trusted {
        Some(Reason::Trusted)
    } else if flag.from.is_some_and(|from| now < from) || flag.until.is_some_and(|until| now >= until) {
        Some(Reason::Window)
    } else if !applies(flag, request) {
        Some(Reason::Unmatched)
    } else {
        None
    }
}

#[inline(never)]
fn applies(flag: &Flag, request: &Request<'_>) -> bool {
    let when = &flag.when;
    if !when.methods.is_empty() {
        let method = request.first(b":method").unwrap_or_default();
        if !when.methods.iter().any(|wanted| wanted == method) {
            return false;
        }
    }
    if !when.hosts.is_empty() {
        let host = host_without_port(request.first(b":authority").unwrap_or_default()).to_ascii_lowercase();
        if !when.hosts.iter().any(|glob| glob.matches(&host)) {
            return false;
        }
    }
    if when.paths.is_empty() && when.exclude_paths.is_empty() {
        return true;
    }
    let (path, _) = request.path_and_query();
    !when.exclude_paths.iter().any(|glob| glob.matches(path))
        && (when.paths.is_empty() || when.paths.iter().any(|glob| glob.matches(path)))
}

/// `example.com:8443` without the port; an IPv6 address keeps its brackets.
pub(crate) fn host_without_port(authority: &[u8]) -> &[u8] {
    let digits = authority.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let Some(at) = authority.len().checked_sub(digits) else { return authority };
    let head = authority.get(..at).unwrap_or(authority);
    head.strip_suffix(b":").filter(|_| digits > 0).unwrap_or(authority)
}

/// Parameters of a query that are looked at.
pub const QUERY_PAIRS: usize = 100;

/// Longest subject that is hashed, in bytes; a longer one is no subject.
pub const SUBJECT_BYTES: usize = 256;

/// Whether this response may set cookies: not on CORS preflights, and as consent and navigation allow.
fn may_set_cookies(config: &Config, request: &Request<'_>, scan: &Scan<'_>) -> bool {
    let consent = config.consent.as_ref();
    config.mode == Mode::Enforce
        && request.first(b":method") != Some(b"OPTIONS")
        && consent.is_none_or(|(slot, value)| scan.slot(*slot).first() == Some(value.as_slice()))
        && (!config.only_navigations
            || request.first(b"sec-fetch-mode").is_none_or(|mode| mode == b"navigate"))
}

struct Inputs<'c, 'a> {
    config: &'c Config,
    keys: &'c Keys,
    request: &'c Request<'a>,
    scan: &'c Scan<'a>,
    now: u64,
    may_set: bool,
}

impl<'a> Inputs<'_, 'a> {
    #[inline(never)]
    fn subject(&self, decision: &mut Decision<'a>, may_generate: bool, ambient: &mut Ambient<'_>) {
        for (place, source) in self.config.subject.iter().enumerate() {
            decision.subject = match source {
                SubjectSource::Header(name) => {
                    let mut values = self.request.values(name);
                    // A trusted filter sets exactly one value; several mean that somebody else added one.
                    values.next().filter(|_| values.next().is_none()).and_then(usable)
                }
                SubjectSource::Cookie { slot, trusted: true } => {
                    self.scan.slot(*slot).first().and_then(usable)
                }
                SubjectSource::Cookie { slot, trusted: false } => {
                    self.signed_id(*slot, decision).map(|seen| Cow::Borrowed(seen.value))
                }
                SubjectSource::Generate { slot, cookie } => {
                    if let Some(seen) = self.signed_id(*slot, decision) {
                        if self.is_due(cookie, &seen) {
                            let id = String::from_utf8_lossy(seen.value).into_owned();
                            decision.id = self.sign_id(cookie, &id).map(|token| (place, token));
                        }
                        Some(Cow::Borrowed(seen.value))
                    } else if may_generate && self.saw_all(*slot) {
                        self.generate(place, cookie, decision, ambient)
                    } else {
                        None
                    }
                }
            };
            if decision.subject.is_some() {
                decision.anonymous = source.is_signed();
                return;
            }
        }
    }

    /// Whether every cookie of a name was looked at. A client whose id hides behind others gets no second one: they
    /// would take turns.
    fn saw_all(&self, slot: usize) -> bool {
        !self.scan.oversize && self.scan.slot(slot).count() <= CANDIDATES
    }

    /// A new id. One that could not be kept would be a new die for every request, so there is none then; only
    /// `observe`, which measures the split and routes nobody, throws dice.
    #[inline(never)]
    fn generate(
        &self,
        place: usize,
        cookie: &CookieSpec,
        decision: &mut Decision<'a>,
        ambient: &mut Ambient<'_>,
    ) -> Option<Cow<'a, [u8]>> {
        let observes = self.config.mode == Mode::Observe;
        let can_keep = self.may_set && self.keys.can_sign();
        if !observes && !can_keep {
            return None;
        }
        let id = random_id((ambient.random)()?);
        if !observes {
            decision.id = Some((place, self.sign_id(cookie, &id)?));
        }
        Some(Cow::Owned(id.into_bytes()))
    }

    /// Verifies a token for its subject, and where `or_bearer` says so, as one that is bound to nobody.
    fn verify<'t>(
        &self,
        binding: &Binding<'_>,
        token: &'t [u8],
        or_bearer: bool,
    ) -> Result<Verified<'t>, Invalid> {
        self.keys.verify(binding, token, self.now).or_else(|why| match why {
            Invalid::Forged if or_bearer => {
                self.keys.verify(&Binding { subject: b"", ..*binding }, token, self.now)
            }
            _ => Err(why),
        })
    }

    /// What a pin says, and whether one may be genuine that cannot be judged: it is somebody's, and this request does
    /// not say whose it is.
    #[inline(never)]
    fn pinned(
        &self,
        flag: &Flag,
        (slot, spec): (usize, &CookieSpec),
        decision: &mut Decision<'a>,
    ) -> (Option<Verified<'a>>, bool) {
        let mut unjudged = false;
        for token in self.scan.slot(slot).candidates() {
            let binding = pin_binding(spec, flag, decision.subject.as_deref());
            // An id may have been made up later, for another flag: before it, the holder was nobody in particular.
            match self.verify(&binding, token, decision.anonymous) {
                Ok(seen) => return (Some(seen), false),
                Err(Invalid::Expired) => {}
                Err(Invalid::Forged) if decision.subject.is_none() => unjudged = true,
                Err(_) => decision.invalid = decision.invalid.saturating_add(1),
            }
        }
        (None, unjudged)
    }

    fn sign_id(&self, cookie: &CookieSpec, id: &str) -> Option<String> {
        let binding = id_binding(&cookie.name);
        self.may_set.then(|| self.keys.sign(&binding, id, self.now.saturating_add(cookie.max_age))).flatten()
    }

    fn signed_id(&self, slot: usize, decision: &mut Decision<'a>) -> Option<Verified<'a>> {
        let name = self.config.cookies.get(slot)?;
        self.verified(slot, &id_binding(name), &mut decision.invalid)
    }

    /// The first value of the cookie that verifies.
    #[inline(never)]
    fn verified(&self, slot: usize, binding: &Binding<'_>, invalid: &mut u32) -> Option<Verified<'a>> {
        for token in self.scan.slot(slot).candidates() {
            match self.keys.verify(binding, token, self.now) {
                Ok(seen) => return Some(seen),
                Err(Invalid::Expired) => {}
                Err(_) => *invalid = invalid.saturating_add(1),
            }
        }
        None
    }

    /// Whether a genuine cookie is to be set anew: little time left, or signed by a key that is being retired.
    fn is_due(&self, cookie: &CookieSpec, seen: &Verified<'_>) -> bool {
        let left = u128::from(seen.expiry.saturating_sub(self.now));
        let threshold = u128::from(cookie.max_age).saturating_mul(u128::from(cookie.refresh_below));
        self.may_set && (seen.old_key || left.saturating_mul(100) < threshold)
    }

    fn flag(&self, flag: &Flag, decision: &mut Decision<'a>) -> Outcome {
        let subject = decision.subject.clone();
        let subject = subject.as_deref();
        let outcome =
            |variant, reason| Outcome { variant, reason, pin: Keep::Leave, cookie: CookieFate::Unasked };
        if self.is_listed(&flag.deny, subject) {
            return outcome(None, Reason::Deny);
        }
        let listed = self.is_listed(&flag.allow, subject);
        if listed && flag.who == Who::Anyone {
            return outcome(Some(flag.opt_variant), Reason::Allow);
        }
        if let Some((variant, signed)) = self.asked_override(flag, subject, &mut decision.invalid) {
            decision.overridden = true;
            let mut outcome = outcome(variant, Reason::Override);
            if signed {
                outcome.pin = self.pin(flag, variant, subject);
            }
            return outcome;
        }
        if let Some(cookie) = &flag.opt_in
            && let Some(value) = self.scan.slot(cookie.slot).first()
        {
            if cookie.off.iter().any(|off| off == value) {
                return outcome(None, Reason::OptOut);
            }
            let entitled = flag.who == Who::Anyone || listed;
            if entitled && cookie.on.iter().any(|on| on == value) {
                return outcome(Some(flag.opt_variant), Reason::OptIn);
            }
        }
        let mut invalid_pin = false;
        if let Some((slot, spec)) = &flag.pin {
            let (seen, unjudged) = self.pinned(flag, (*slot, spec), decision);
            let named =
                |seen: &Verified<'_>| flag.variants.iter().position(|v| v.name.as_bytes() == seen.value);
            if let Some((seen, variant)) = seen.and_then(|seen| named(&seen).map(|variant| (seen, variant))) {
                let mut outcome = outcome(Some(variant), Reason::Pin);
                if self.is_due(spec, &seen) {
                    outcome.pin = self.pin(flag, Some(variant), subject);
                }
                return outcome;
            }
            invalid_pin = !unjudged && self.scan.slot(*slot).count() > 0;
        }
        let (variant, reason) = roll(flag, subject);
        let mut outcome = outcome(variant, reason);
        if variant.is_some() || invalid_pin {
            outcome.pin = self.pin(flag, variant, subject);
        }
        outcome
    }

    /// What to do with the pin so that it says `variant`. Stable is never pinned, or widening a rollout would
    /// reach nobody until the pins ran out.
    #[inline(never)]
    fn pin(&self, flag: &Flag, variant: Option<usize>, subject: Option<&[u8]>) -> Keep {
        let Some((slot, spec)) = flag.pin.as_ref().filter(|_| self.may_set) else { return Keep::Leave };
        let Some(variant) = variant.and_then(|index| flag.variants.get(index)) else {
            return if self.scan.slot(*slot).count() > 0 { Keep::Delete } else { Keep::Leave };
        };
        let expiry = self.now.saturating_add(spec.max_age);
        self.keys
            .sign(&pin_binding(spec, flag, subject), &variant.name, expiry)
            .map_or(Keep::Leave, Keep::Set)
    }

    /// The variant that the query of a GET request asks for, and whether it is signed for; a variant of `None`
    /// is stable. A bare variant holds for this request only: nothing says that it was meant for this client.
    #[inline(never)]
    fn asked_override(
        &self,
        flag: &Flag,
        subject: Option<&[u8]>,
        invalid: &mut u32,
    ) -> Option<(Option<usize>, bool)> {
        let query = flag.query.as_ref()?;
        if self.request.first(b":method") != Some(b"GET") {
            return None;
        }
        let asked = self
            .request
            .path_and_query()
            .1
            .split(|b| *b == b'&')
            .take(QUERY_PAIRS)
            .find_map(|pair| pair.strip_prefix(query.name.as_bytes())?.strip_prefix(b"="))?;
        let named = |value: &[u8]| match value {
            b"stable" => Some(None),
            _ => flag.variants.iter().position(|v| v.name.as_bytes() == value).map(Some),
        };
        // A variant's name has no dots and a token does, so neither is taken for the other.
        if let Some(variant) = named(asked) {
            return self.is_listed(&query.allow_from, subject).then_some((variant, false));
        }
        if !query.signed {
            return None;
        }
        let variant = self.signed_override(&query.name, flag, asked, subject, invalid)?;
        named(variant).map(|variant| (variant, true))
    }

    /// What a token that verifies, for this subject or for its bearer, says.
    #[inline(never)]
    fn signed_override<'t>(
        &self,
        name: &str,
        flag: &Flag,
        token: &'t [u8],
        subject: Option<&[u8]>,
        invalid: &mut u32,
    ) -> Option<&'t [u8]> {
        let binding = override_binding(name, &flag.name, subject.unwrap_or_default());
        match self.verify(&binding, token, subject.is_some()) {
            Ok(seen) => Some(seen.value),
            Err(Invalid::Expired) => None,
            Err(_) => {
                *invalid = invalid.saturating_add(1);
                None
            }
        }
    }

    #[inline(never)]
    fn is_listed(&self, lists: &Lists, subject: Option<&[u8]>) -> bool {
        let is = |wanted: &[Expected], value: &[u8]| wanted.iter().any(|wanted| matches(wanted, value));
        subject.is_some_and(|subject| is(&lists.subjects, subject))
            || lists
                .headers
                .iter()
                .any(|(name, wanted)| self.request.values(name).any(|value| is(wanted, value)))
            || lists
                .cookies
                .iter()
                .any(|(slot, wanted)| self.scan.slot(*slot).first().is_some_and(|value| is(wanted, value)))
    }

    /// A cookie asks when any of its values opts in, or is of a form an application might read differently.
    #[inline(never)]
    fn fate(&self, flag: &Flag, cookie: &FlagCookie, outcome: &Outcome) -> CookieFate {
        let slot = self.scan.slot(cookie.slot);
        let asks = |value: &[u8]| cookie.on.iter().any(|on| on == value);
        let murky = slot.is_respelled()
            || slot.count() > CANDIDATES
            || slot.candidates().any(|value| asks(value) || !is_plain(value));
        if !murky {
            CookieFate::Unasked
        } else if outcome.variant == Some(flag.opt_variant) || outcome.reason == Reason::Trusted {
            CookieFate::Accepted
        } else if slot.first().is_some_and(asks)
            && !matches!(outcome.reason, Reason::Off | Reason::Unmatched | Reason::Override)
        {
            CookieFate::RefusedForGood
        } else {
            CookieFate::Refused
        }
    }
}

/// The rollout alone: layer, holdback, slices.
#[must_use]
pub fn roll(flag: &Flag, subject: Option<&[u8]>) -> (Option<usize>, Reason) {
    if !flag.has_rollout {
        return (None, Reason::Stable);
    }
    let Some(subject) = subject.filter(|subject| !subject.is_empty()) else {
        return (None, Reason::NoSubject);
    };
    if let Some((layer, range)) = &flag.layer {
        // A prefix keeps a layer independent of a flag with the same name.
        let hash = murmur3(0, &[b"layer:", layer.as_bytes(), subject]);
        let place = (u64::from(hash).wrapping_mul(u64::from(BUCKETS)) >> 32) as u32;
        if !range.contains(place) {
            return (None, Reason::Layer);
        }
    }
    let bucket = bucket(flag.salt.as_bytes(), subject);
    if bucket >= BUCKETS.saturating_sub(flag.holdback) {
        return (None, Reason::Holdback);
    }
    match flag.variants.iter().position(|variant| variant.slice.contains(bucket)) {
        Some(variant) => (Some(variant), Reason::Hash),
        None => (None, Reason::Stable),
    }
}

/// What a generated id is bound to: the cookie it is kept in.
#[must_use]
pub fn id_binding(cookie: &str) -> Binding<'_> {
    Binding { purpose: Purpose::Subject, place: cookie.as_bytes(), flag: b"", subject: b"" }
}

/// What a signed override is bound to; an empty subject makes it a bearer token.
#[must_use]
pub fn override_binding<'a>(parameter: &'a str, flag: &'a str, subject: &'a [u8]) -> Binding<'a> {
    Binding { purpose: Purpose::Override, place: parameter.as_bytes(), flag: flag.as_bytes(), subject }
}

fn pin_binding<'a>(spec: &'a CookieSpec, flag: &'a Flag, subject: Option<&'a [u8]>) -> Binding<'a> {
    let subject = subject.unwrap_or_default();
    Binding { purpose: Purpose::Pin, place: spec.name.as_bytes(), flag: flag.name.as_bytes(), subject }
}

fn usable(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    (!value.is_empty() && value.len() <= SUBJECT_BYTES).then_some(Cow::Borrowed(value))
}

fn matches(wanted: &Expected, value: &[u8]) -> bool {
    match wanted {
        Expected::Plain(plain) => plain == value,
        Expected::Sha256(hex) => value.len() <= SUBJECT_BYTES && *hex == sha256_hex(value),
    }
}

#[cfg(test)]
#[path = "decide/tests.rs"]
pub(crate) mod tests;
