//! Compiles a checked tree into a [`Config`] and reports what is wrong in meaning rather than in shape.
//!
//! Values of a wrong shape were reported before; here they read as absent, so that one mistake never hides
//! another and the tag headers of a broken configuration are still known.
//!
//! Longer than most files because every check of meaning stands beside the field it concerns.

use super::check::{self, integer, percent};
use super::fields::Text;
use super::text::{duration, fault, quote, share, time};
use super::tree::Tree;
use super::{
    BUCKETS, CLIENT_IP, Config, CookieSpec, DEFAULT_TAG, Expected, Flag, FlagCookie, Glob, KeySource, Limits,
    Lists, Mode, OnBadConfig, Path, Problem, Query, Role, SameSite, Severity, Slice, SubjectSource, Variant,
    When, Who,
};

/// Headers that must never be a tag: stripping or setting one would break requests or authentication.
pub(super) const RESERVED: &[&str] = &[
    "host",
    "baggage",
    "cookie",
    "set-cookie",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "te",
    "transfer-encoding",
    "upgrade",
    "vary",
    "cache-control",
    "x-forwarded-for",
    "x-forwarded-client-cert",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-request-id",
    "traceparent",
    "tracestate",
    "accept",
    "accept-encoding",
    "date",
    "expect",
    "origin",
    "range",
    "referer",
    "trailer",
    "user-agent",
    "via",
];

/// Headers that, beside those, no response may name the variant in.
pub(super) const RESERVED_IN_RESPONSES: &[&str] = &[
    "access-control-allow-origin",
    "age",
    "content-encoding",
    "content-security-policy",
    "etag",
    "expires",
    "grpc-message",
    "grpc-status",
    "location",
    "refresh",
    "server",
    "strict-transport-security",
    "www-authenticate",
];

/// Headers to which every proxy adds an address, and clients may have put the first.
pub(super) const LISTS_OF_PROXIES: [&str; 2] = ["x-forwarded-for", "forwarded"];

/// A value and the way to it.
struct At<'v> {
    value: Option<&'v Tree>,
    path: Path,
}

impl<'v> At<'v> {
    fn get(&self, name: &str) -> At<'v> {
        let value = self.value.and_then(|value| value.get(name)).filter(|value| !value.is_null());
        At { value, path: self.path.key(name) }
    }

    fn items(&self) -> impl Iterator<Item = At<'v>> + '_ {
        let list = self.value.map(Tree::items).unwrap_or_default();
        list.iter().enumerate().map(|(index, value)| At { value: Some(value), path: self.path.index(index) })
    }

    /// Fields in order of their names: an object's own order does not survive Istio's protobuf Struct.
    fn entries(&self) -> Vec<(&'v str, At<'v>)> {
        let mut entries: Vec<(&'v str, At<'v>)> = Vec::new();
        for (name, value) in self.value.map(Tree::fields).unwrap_or_default() {
            // Inserted in place: the library's sorts would be a twentieth of the module.
            let place = entries.partition_point(|(known, _)| *known < name.as_str());
            entries.insert(place, (name, At { value: Some(value), path: self.path.key(name) }));
        }
        entries
    }

    fn is_set(&self) -> bool {
        self.value.is_some()
    }

    fn bool(&self) -> Option<bool> {
        self.value.and_then(Tree::as_bool)
    }

    fn raw(&self) -> Option<&'v str> {
        self.value.and_then(Tree::as_str)
    }

    /// A string of a certain form.
    fn text(&self, form: Text) -> Option<&'v str> {
        self.raw().filter(|text| fault(form, text).is_none())
    }

    fn texts(&self, form: Text) -> Vec<&'v str> {
        self.items().filter_map(|item| item.text(form)).collect()
    }

    fn globs(&self) -> Vec<Glob> {
        self.texts(Text::Glob).into_iter().map(Glob::new).collect()
    }

    fn percent(&self) -> Option<u32> {
        self.value.and_then(percent)
    }

    fn share(&self) -> Option<u32> {
        self.value.and_then(check::share)
    }
}

#[inline(never)]
pub(super) fn lower(value: &Tree, problems: &mut Vec<Problem>) -> Config {
    Lowering { config: Config::default(), problems }.config(&At { value: Some(value), path: Path::default() })
}

struct Lowering<'p> {
    config: Config,
    problems: &'p mut Vec<Problem>,
}

impl Lowering<'_> {
    fn report(&mut self, severity: Severity, at: &Path, message: String) {
        self.problems.push(Problem { path: at.clone(), message, severity, suggestion: None });
    }

    fn error(&mut self, at: &Path, message: &str) {
        self.report(Severity::Error, at, message.to_owned());
    }

    fn warn(&mut self, at: &Path, message: &str) {
        self.report(Severity::Warning, at, message.to_owned());
    }

    fn slot(&mut self, name: &str) -> usize {
        intern(&mut self.config.cookies, name)
    }

    fn config(mut self, root: &At<'_>) -> Config {
        self.config.mode = match root.get("mode").raw() {
            Some("observe") => Mode::Observe,
            Some("off") => Mode::Off,
            _ => Mode::Enforce,
        };
        self.config.on_bad_config = match root.get("onBadConfig").raw() {
            Some("reject") => OnBadConfig::Reject,
            _ => OnBadConfig::Inert,
        };
        self.config.metrics = root.get("telemetry").get("metrics").bool().unwrap_or(true);
        self.config.filter_state = root.get("telemetry").get("filterState").bool().unwrap_or(true);
        self.config.only_navigations = root.get("onlyNavigations").bool().unwrap_or(false);
        let (limits, default) = (root.get("limits"), Limits::default());
        let limit = |name: &str, default: usize| {
            limits.get(name).value.and_then(integer).map_or(default, |number| number as usize)
        };
        self.config.limits =
            Limits { bytes: limit("cookieBytes", default.bytes), pairs: limit("cookiePairs", default.pairs) };
        self.trust(root);
        self.keys(root);
        let defaults = root.get("cookieDefaults");
        self.subject(root, &defaults);
        for at in root.get("flags").items() {
            self.flag(&at, &defaults);
        }
        if self.config.flags.is_empty() {
            self.warn(&root.get("flags").path, "no flags: nothing is decided");
        }
        if self.config.tags.is_empty() {
            self.config.tags.push(DEFAULT_TAG.into());
        }
        self.layers();
        self.config.tags_header = self.tag(&root.get("tagsHeader"));
        self.config.reason_header = self.tag(&root.get("reasonHeader"));
        self.config.baggage = root.get("baggage").bool().unwrap_or(false);
        for name in ["tagsHeader", "reasonHeader"] {
            let at = root.get(name);
            if at.raw().is_some_and(|header| self.is_tag_of_flag(header)) {
                self.error(&at.path, "is also the tag header of a flag; use another name");
            }
        }
        let consent = root.get("requireConsent");
        if let (Some(name), Some(value)) =
            (consent.get("cookie").text(Text::Cookie), consent.get("value").text(Text::Value))
        {
            let slot = self.slot(name);
            self.config.consent = Some((slot, value.into()));
        }
        self.sources(root);
        self.needs(root);
        self.config.vary = self.vary();
        self.config
    }

    fn is_tag_of_flag(&self, header: &str) -> bool {
        self.config.flags.iter().any(|flag| self.config.tags.get(flag.tag).is_some_and(|tag| tag == header))
    }

    #[inline(never)]
    fn trust(&mut self, root: &At<'_>) {
        self.config.role = if root.get("role").raw() == Some("mesh") { Role::Mesh } else { Role::Edge };
        let header = root.get("trust").get("clientIpHeader");
        let uses_address = |at: At<'_>| at.get("clientIp").bool() == Some(true);
        if header.raw().is_some_and(|name| LISTS_OF_PROXIES.contains(&name)) {
            self.error(
                &header.path,
                "is a list that clients can begin; `none` takes the address that Envoy finds in it",
            );
        } else if header.raw().is_some_and(|name| name != "none")
            && !root.get("subject").items().any(uses_address)
        {
            self.warn(&header.path, "has no effect unless a subject is `clientIp: true`");
        }
        let at = root.get("trust").get("principals");
        self.config.principals = at.globs();
        match self.config.role {
            Role::Mesh if self.config.principals.is_empty() => {
                self.warn(&at.path, "empty in the mesh role: every tag header is stripped, as at the edge");
            }
            Role::Edge if !self.config.principals.is_empty() => {
                self.warn(&at.path, "has no effect in the edge role, which trusts nobody; set role to mesh");
            }
            _ => {}
        }
    }

    #[inline(never)]
    fn keys(&mut self, root: &At<'_>) {
        let keys = root.get("keys");
        if !keys.is_set() {
            self.config.keys =
                vec![KeySource { id: "k1".into(), env: "COALMINE_KEY_K1".into(), verify_only: false }];
        }
        for at in keys.items() {
            let (Some(id), Some(env)) = (at.get("id").text(Text::Name), at.get("env").text(Text::Env)) else {
                continue;
            };
            if self.config.keys.iter().any(|key| key.id == id) {
                self.error(&at.get("id").path, &format!("key {} is listed twice", quote(id)));
            }
            let verify_only = at.get("verifyOnly").bool().unwrap_or(false);
            self.config.keys.push(KeySource { id: id.into(), env: env.into(), verify_only });
        }
        if self.config.keys.len() > 4 {
            self.warn(&keys.path, "more than four keys; rotation needs two");
        }
    }

    #[inline(never)]
    fn subject(&mut self, root: &At<'_>, defaults: &At<'_>) {
        let list = root.get("subject");
        let nothing = At { value: None, path: list.path.clone() };
        if !list.is_set() {
            let cookie = self.cookie(&nothing, defaults, "coalmine", Some(180 * 86_400));
            let slot = self.slot(&cookie.name);
            self.config.subject.push(SubjectSource::Generate { slot, cookie });
        }
        for at in list.items() {
            let (header, cookie, generate) = (at.get("header"), at.get("cookie"), at.get("generate"));
            let address = at.get("clientIp").bool() == Some(true);
            let ways = [header.is_set(), cookie.is_set(), generate.is_set(), address];
            if ways.into_iter().filter(|way| *way).count() != 1 {
                self.error(&at.path, "needs exactly one of header, cookie, generate and `clientIp: true`");
            }
            let source = if let Some(name) = header.text(Text::Header) {
                SubjectSource::Header(name.into())
            } else if address {
                SubjectSource::Header(self.client_ip(root).into())
            } else if let Some(name) = cookie.text(Text::Cookie) {
                let trusted = at.get("trusted").bool().unwrap_or(false);
                SubjectSource::Cookie { slot: self.slot(name), trusted }
            } else if generate.is_set() {
                let age =
                    generate.get("maxAge").text(Text::Duration).and_then(duration).unwrap_or(180 * 86_400);
                let mut spec = self.cookie(&nothing, defaults, "coalmine", Some(age));
                if let Some(name) = generate.get("cookie").text(Text::Cookie) {
                    spec.name = name.into();
                    self.prefix_rules(&spec, &generate.get("cookie").path);
                }
                SubjectSource::Generate { slot: self.slot(&spec.name), cookie: spec }
            } else {
                continue;
            };
            self.config.subject.push(source);
        }
    }

    /// The header that holds the client's address.
    fn client_ip<'v>(&mut self, root: &At<'v>) -> &'v str {
        let at = root.get("trust").get("clientIpHeader");
        match at.text(Text::Header) {
            None | Some("none") => {
                self.config.needs_client_ip = true;
                CLIENT_IP
            }
            Some(name) => name,
        }
    }

    /// A cookie's attributes: its own, else the defaults'. Without a name it gets the strictest prefix it can.
    fn cookie(&mut self, own: &At<'_>, defaults: &At<'_>, base: &str, age: Option<u64>) -> CookieSpec {
        let pick = |name: &str| {
            let at = own.get(name);
            if at.is_set() { at } else { defaults.get(name) }
        };
        let flag = |name: &str, default: bool| pick(name).bool().unwrap_or(default);
        let given = pick("maxAge").text(Text::Duration).and_then(duration);
        let mut spec = CookieSpec {
            name: String::new(),
            secure: flag("secure", true),
            http_only: flag("httpOnly", true),
            same_site: Some(match pick("sameSite").raw() {
                Some("Strict") => SameSite::Strict,
                Some("None") => SameSite::None,
                _ => SameSite::Lax,
            }),
            path: pick("path").text(Text::Path).unwrap_or("/").into(),
            domain: pick("domain").text(Text::Domain).map(Into::into),
            max_age: age.or(given).unwrap_or(7 * 86_400),
            refresh_below: pick("refreshBelow").text(Text::Share).and_then(share).unwrap_or(25),
            partitioned: flag("partitioned", false),
        };
        let host = spec.secure && spec.path == "/" && spec.domain.is_none();
        spec.name = match own.get("name").text(Text::Cookie) {
            Some(name) => name.into(),
            None if host => format!("__Host-{base}"),
            None => base.into(),
        };
        if !spec.secure && (spec.same_site == Some(SameSite::None) || spec.partitioned) {
            self.error(
                &pick("secure").path,
                "browsers drop SameSite=None and Partitioned cookies without Secure",
            );
        }
        let path = if own.get("name").is_set() { own.get("name").path } else { own.path.clone() };
        self.prefix_rules(&spec, &path);
        spec
    }

    fn prefix_rules(&mut self, spec: &CookieSpec, at: &Path) {
        let name = spec.name.to_ascii_lowercase();
        if name.starts_with("__host-") && !(spec.secure && spec.path == "/" && spec.domain.is_none()) {
            self.error(
                at,
                "browsers drop a `__Host-` cookie unless it is secure, has path `/` and no domain",
            );
        } else if name.starts_with("__secure-") && !spec.secure {
            self.error(at, "browsers drop a `__Secure-` cookie unless it is secure");
        }
    }

    /// Interns a header to strip; `None` when there is no usable name.
    #[inline(never)]
    fn tag(&mut self, at: &At<'_>) -> Option<usize> {
        let name = at.raw()?;
        // Case is an error, but a broken configuration must strip the header that was meant.
        let lower = name.to_ascii_lowercase();
        if fault(Text::Header, &lower).is_some() {
            return None;
        }
        if is_reserved(&lower) {
            self.error(&at.path, &format!("`{lower}` cannot be a tag: it has a meaning of its own"));
            return None;
        }
        Some(intern(&mut self.config.tags, &lower))
    }

    #[inline(never)]
    fn flag(&mut self, at: &At<'_>, defaults: &At<'_>) {
        let header = at.get("header");
        let header_name = if header.raw().is_some() { at.get("header") } else { header.get("name") };
        let tag = if header.is_set() {
            self.tag(&header_name)
        } else {
            Some(intern(&mut self.config.tags, DEFAULT_TAG))
        };
        let Some(name) = at.get("name").text(Text::Name) else { return };
        if self.config.flags.iter().any(|flag| flag.name == name) {
            self.error(&at.get("name").path, &format!("flag {} is listed twice", quote(name)));
        }
        let (mut variants, holdback) = self.rollout(&at.get("rollout"));
        let has_rollout = !variants.is_empty();
        for (variant, value) in header.get("values").entries() {
            let Some(value) = value.text(Text::Value) else { continue };
            match variants.iter_mut().find(|known| known.name == variant) {
                Some(known) => known.tag = value.into(),
                None if variant == "stable" => {}
                None => variants.push(unsliced(variant, value)),
            }
        }
        let opt_in = at.get("optIn");
        let opt_variant = self.opt_variant(&opt_in.get("variant"), &header, &mut variants);
        let allow = self.lists(&at.get("allow"));
        let who = match opt_in.get("who").raw() {
            Some("listed") => Who::Listed,
            Some("anyone") => Who::Anyone,
            // An empty list is a list: taking the last tester off it must not let everyone in.
            _ if at.get("allow").is_set() => Who::Listed,
            _ => Who::Anyone,
        };
        if who == Who::Listed && allow.is_empty() && opt_in.is_set() {
            let (path, message) = match opt_in.get("who") {
                who if who.is_set() => (who.path, "is `listed`, but `allow` is empty: nobody can opt in"),
                _ => (
                    at.get("allow").path,
                    "is empty: nobody can opt in; remove it, or set `optIn.who: anyone`",
                ),
            };
            self.warn(&path, message);
        }
        let cookie = self.flag_cookie(&opt_in.get("cookie"));
        let stable = header.get("values").get("stable");
        let emit_stable = header.get("emitStable").bool().unwrap_or(false);
        if stable.is_set() && !emit_stable {
            self.warn(&stable.path, "has no effect without `emitStable: true`");
        }
        let (from, until) = self.window(&at.get("window"));
        let (when, response) = (at.get("when"), at.get("response"));
        let pin = self.pin(at, defaults, name);
        let flag = Flag {
            name: name.into(),
            enabled: at.get("enabled").bool().unwrap_or(true),
            when: When {
                hosts: when
                    .get("hosts")
                    .texts(Text::Glob)
                    .iter()
                    .map(|h| Glob::new(&h.to_ascii_lowercase()))
                    .collect(),
                paths: when.get("paths").globs(),
                exclude_paths: when.get("excludePaths").globs(),
                methods: when.get("methods").texts(Text::Method).into_iter().map(Into::into).collect(),
            },
            from,
            until,
            deny: self.lists(&at.get("deny")),
            // Without a flag cookie there is nothing to opt in with, so being listed is enough.
            who: if cookie.is_some() { who } else { Who::Anyone },
            allow,
            opt_in: cookie,
            opt_variant,
            query: self.query(&opt_in.get("query"), pin.is_some()),
            variants,
            salt: at.get("rollout").get("salt").text(Text::Free).unwrap_or(name).into(),
            has_rollout,
            holdback,
            layer: self.layer(&at.get("layer")),
            pin,
            tag: tag.unwrap_or(usize::MAX),
            stable_tag: emit_stable.then(|| stable.text(Text::Value).unwrap_or("stable").into()),
            response_header: response.get("header").text(Text::Header).map(Into::into),
            vary: response.get("vary").raw() != Some("never"),
            cache_control: response.get("cacheControl").raw() != Some("never"),
        };
        let reserved = response.get("header");
        if reserved
            .raw()
            .is_some_and(|name| RESERVED.contains(&name) || RESERVED_IN_RESPONSES.contains(&name))
        {
            self.error(&reserved.path, "this header has a meaning of its own; choose another");
        }
        self.config.flags.push(flag);
    }

    /// Variants with their slices, in order of the slices, and the holdback in buckets.
    #[inline(never)]
    fn rollout(&mut self, at: &At<'_>) -> (Vec<Variant>, u32) {
        let holdback = at.get("holdback").share().unwrap_or(0);
        let mut variants = Vec::new();
        let (mut sum, mut next, mut unplaced) = (holdback, 0u32, 0usize);
        for (name, share) in at.entries() {
            if matches!(name, "salt" | "holdback") || share.value.is_some_and(Tree::is_null) {
                continue;
            }
            if name == "stable" {
                self.error(&share.path, "`stable` is what the other variants leave; remove it");
                continue;
            }
            let width = share.share().or_else(|| share.get("percent").share()).unwrap_or(0);
            let start = share.get("start").percent();
            sum = sum.saturating_add(width);
            let slice = Slice { start: start.unwrap_or(next), width };
            if start.is_none() {
                next = slice.end();
                unplaced = unplaced.saturating_add(1);
            }
            variants.push((share.path, Variant { name: name.into(), tag: name.into(), slice }));
        }
        if sum > BUCKETS {
            self.error(&at.path, &format!("percentages sum to {}, at most 100", thousandths(sum)));
        } else {
            let top = Slice { start: BUCKETS.saturating_sub(holdback), width: holdback };
            for (index, (path, variant)) in variants.iter().enumerate() {
                let beyond = variant.slice.end() > BUCKETS || variant.slice.overlaps(&top);
                let others = variants.iter().take(index);
                if beyond {
                    self.error(
                        path,
                        "its slice reaches beyond 100 or into the holdback at the top; move `start`",
                    );
                } else if let Some((_, other)) =
                    others.clone().find(|(_, v)| v.slice.overlaps(&variant.slice))
                {
                    let message = format!("its slice overlaps that of `{}`; move `start`", other.name);
                    self.error(path, &message);
                }
            }
        }
        if unplaced > 1 {
            let message = "several variants without `start` are laid out in order of their names, so widening one \
                           moves subjects of the next; give each a `start`, as in {percent: 5, start: 50}";
            self.warn(&at.path, message);
        }
        let mut placed: Vec<Variant> = Vec::new();
        for (_, variant) in variants {
            let place = placed.partition_point(|known| known.slice.start <= variant.slice.start);
            placed.insert(place, variant);
        }
        (placed, holdback)
    }

    #[inline(never)]
    fn opt_variant(&mut self, at: &At<'_>, header: &At<'_>, variants: &mut Vec<Variant>) -> usize {
        let wanted = at.text(Text::Name);
        if wanted == Some("stable") {
            self.error(&at.path, "opting into stable is what `optOut` of the cookie is for");
        }
        let known =
            |name: &str, variants: &[Variant]| variants.iter().position(|variant| variant.name == name);
        if let Some(place) = known(wanted.unwrap_or("canary"), variants) {
            return place;
        }
        if wanted.is_none() && !variants.is_empty() {
            return 0;
        }
        let name = wanted.unwrap_or("canary");
        let tag = header.get("values").get(name).text(Text::Value).unwrap_or(name);
        variants.push(unsliced(name, tag));
        variants.len().saturating_sub(1)
    }

    #[inline(never)]
    fn flag_cookie(&mut self, at: &At<'_>) -> Option<FlagCookie> {
        let name = at.get("name").text(Text::Cookie)?;
        let own =
            |list: Vec<&str>| list.into_iter().map(|value| value.as_bytes().to_vec()).collect::<Vec<_>>();
        let mut on = own(at.get("values").texts(Text::Value));
        on.extend(at.get("value").text(Text::Value).map(|value| value.as_bytes().to_vec()));
        let off = own(at.get("optOut").texts(Text::Value));
        // One of a wrong shape has been reported as such.
        let given = |name: &str| {
            at.get(name).value.is_some_and(|value| !matches!(value, Tree::List(list) if list.is_empty()))
        };
        if !["value", "values", "optOut"].into_iter().any(given) {
            self.error(&at.path, "needs `value`, `values` or `optOut`");
        }
        if on.iter().any(|value| off.contains(value)) {
            self.error(&at.get("optOut").path, "holds a value that also opts in");
        }
        let expire = at.get("expire").bool().unwrap_or(false).then(|| CookieSpec {
            name: name.into(),
            // Browsers accept a deletion without Secure, except of prefixed names.
            secure: name.to_ascii_lowercase().starts_with("__"),
            http_only: false,
            same_site: None,
            path: at.get("path").text(Text::Path).unwrap_or("/").into(),
            domain: at.get("domain").text(Text::Domain).map(Into::into),
            max_age: 0,
            refresh_below: 0,
            partitioned: false,
        });
        if let Some(spec) = &expire {
            self.prefix_rules(spec, &at.path);
        }
        let slot = self.slot(name);
        // A token there is none of the values, and would be taken for a refused cookie.
        let signed = |source: &SubjectSource| match source {
            SubjectSource::Generate { slot: known, .. }
            | SubjectSource::Cookie { slot: known, trusted: false } => *known == slot,
            _ => false,
        };
        let pinned = |flag: &Flag| flag.pin.as_ref().is_some_and(|(known, _)| *known == slot);
        if self.config.subject.iter().any(signed) || self.config.flags.iter().any(pinned) {
            self.in_use(name, &at.get("name").path);
        }
        Some(FlagCookie { slot, on, off, expire })
    }

    #[inline(never)]
    fn query(&mut self, at: &At<'_>, pinned: bool) -> Option<Query> {
        let signed = at.get("signed").bool().unwrap_or(true);
        let allow_from = self.lists(&at.get("allowFrom"));
        if !signed && allow_from.is_empty() {
            self.error(
                &at.get("signed").path,
                "an unsigned override is a link that opts anyone in; sign it, or say in `allowFrom` who may use it",
            );
        }
        let redirect = at.get("redirect").bool().unwrap_or(false);
        if redirect && !(signed && pinned) {
            self.error(
                &at.get("redirect").path,
                "the redirect would lose the override; it needs `signed` and `sticky: pin`",
            );
        }
        let name = at.get("name").text(Text::Value)?;
        let takes = |flag: &&Flag| flag.query.as_ref().is_some_and(|query| query.name == name);
        if let Some(other) = self.config.flags.iter().find(takes) {
            // A token for one of them is a forgery to the other.
            let message = format!("flag `{}` already takes this parameter; use another name", other.name);
            self.error(&at.get("name").path, &message);
        }
        Some(Query { name: name.into(), signed, allow_from, redirect })
    }

    fn window(&mut self, at: &At<'_>) -> (Option<u64>, Option<u64>) {
        let moment = |name: &str| at.get(name).text(Text::Time).and_then(time);
        let (from, until) = (moment("from"), moment("until"));
        if let (Some(from), Some(until)) = (from, until)
            && from >= until
        {
            self.error(&at.get("until").path, "is not after `from`");
        }
        (from, until)
    }

    fn layer(&mut self, at: &At<'_>) -> Option<(String, Slice)> {
        let name = at.get("name").text(Text::Name)?;
        let mut ends =
            at.get("range").items().filter_map(|end| end.percent()).collect::<Vec<_>>().into_iter();
        let (from, until) = (ends.next()?, ends.next()?);
        if from >= until {
            self.error(&at.get("range").path, "ends before it begins");
        }
        Some((name.into(), Slice { start: from, width: until.saturating_sub(from) }))
    }

    #[inline(never)]
    fn layers(&mut self) {
        let flags = &self.config.flags;
        let mut clashes = Vec::new();
        for (index, flag) in flags.iter().enumerate() {
            let Some((layer, range)) = &flag.layer else { continue };
            for other in flags.iter().take(index) {
                if other.layer.as_ref().is_some_and(|(name, taken)| name == layer && taken.overlaps(range)) {
                    clashes.push((index, other.name.clone()));
                }
            }
        }
        for (index, other) in clashes {
            let path = Path::default().key("flags").index(index).key("layer").key("range");
            self.error(&path, &format!("overlaps the range of flag `{other}` in the same layer"));
        }
    }

    #[inline(never)]
    fn pin(&mut self, at: &At<'_>, defaults: &At<'_>, flag: &str) -> Option<(usize, CookieSpec)> {
        let own = at.get("cookie");
        if at.get("sticky").raw() != Some("pin") {
            if own.is_set() {
                self.warn(&own.path, "has no effect unless `sticky` is `pin`");
            }
            return None;
        }
        let spec = self.cookie(&own, defaults, &format!("coalmine-{flag}"), None);
        if self.config.cookies.contains(&spec.name) {
            self.in_use(&spec.name, &own.path);
        }
        Some((self.slot(&spec.name), spec))
    }

    #[inline(never)]
    fn in_use(&mut self, cookie: &str, at: &Path) {
        self.error(at, &format!("cookie {} is already used for something else", quote(cookie)));
    }

    #[inline(never)]
    fn lists(&mut self, at: &At<'_>) -> Lists {
        let mut lists = Lists { subjects: self.expected(&at.get("subjects")), ..Lists::default() };
        for (name, values) in at.get("headers").entries() {
            if fault(Text::Header, name).is_none() {
                lists.headers.push((name.into(), self.expected(&values)));
            }
        }
        for (name, values) in at.get("cookies").entries() {
            if fault(Text::Cookie, name).is_none() {
                lists.cookies.push((self.slot(name), self.expected(&values)));
            }
        }
        lists
    }

    fn expected(&mut self, at: &At<'_>) -> Vec<Expected> {
        let one = at.raw().map(|_| At { value: at.value, path: at.path.clone() });
        let mut values = Vec::new();
        for item in one.into_iter().chain(at.items()) {
            let Some(text) = item.text(Text::Free) else { continue };
            let Some(hex) = text.strip_prefix("sha256:") else {
                values.push(Expected::Plain(text.into()));
                continue;
            };
            if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
                self.error(&item.path, "`sha256:` is followed by 64 hexadecimal digits");
            }
            values.push(Expected::Sha256(hex.to_ascii_lowercase()));
        }
        values
    }

    /// A tag is nobody's word: the filter strips it, but reads the request as the client sent it.
    #[inline(never)]
    fn sources(&mut self, root: &At<'_>) {
        let address = root.get("trust").get("clientIpHeader");
        if address.raw() != Some("none") {
            self.source(address.raw(), &address.path);
        }
        for at in root.get("subject").items() {
            let header = at.get("header");
            self.source(header.raw(), &header.path);
        }
        for at in root.get("flags").items() {
            let allow_from = at.get("optIn").get("query").get("allowFrom");
            for lists in [at.get("allow"), at.get("deny"), allow_from] {
                for (name, values) in lists.get("headers").entries() {
                    self.source(Some(name), &values.path);
                }
            }
        }
    }

    fn source(&mut self, header: Option<&str>, at: &Path) {
        if let Some(tag) = self.config.tags.iter().find(|tag| Some(tag.as_str()) == header) {
            let message = format!("`{tag}` is a tag of this filter: a client could set it");
            self.error(at, &message);
        }
    }

    /// Cross-checks between subject, keys and flags.
    #[inline(never)]
    fn needs(&mut self, root: &At<'_>) {
        let config = &self.config;
        let hashes = config.flags.iter().any(|flag| flag.has_rollout || flag.layer.is_some());
        let kept = config.flags.iter().any(|flag| flag.pin.is_some() || flag.takes_signed_overrides());
        let generates = config.subject.iter().any(|source| matches!(source, SubjectSource::Generate { .. }));
        let reads = root.get("subject").is_set() && config.subject.iter().any(SubjectSource::is_signed);
        let no_subject = hashes && config.subject.is_empty();
        self.config.needs_subject = hashes
            || kept
            || config.flags.iter().flat_map(Flag::lists).any(|lists| !lists.subjects.is_empty());
        self.config.needs_client_ip &= self.config.needs_subject;
        self.config.needs_key = kept || reads || (hashes && generates);
        let can_sign = self.config.keys.iter().any(|key| !key.verify_only);
        if no_subject {
            self.error(
                &root.get("subject").path,
                "a rollout needs a subject; remove this field to generate ids",
            );
        }
        if self.config.needs_key && !can_sign {
            self.error(
                &root.get("keys").path,
                "no key signs, but generated ids, pins and overrides need one",
            );
        }
    }

    #[inline(never)]
    fn vary(&self) -> String {
        let config = &self.config;
        let flags = || config.flags.iter().filter(|flag| flag.vary);
        let mut names: Vec<&str> = Vec::new();
        if flags().next().is_none() {
            return String::new();
        }
        let hashes = flags().any(|flag| flag.has_rollout || flag.layer.is_some() || flag.pin.is_some());
        let lists = || flags().flat_map(Flag::lists);
        // A signed override may be for one subject alone.
        let subjects =
            lists().any(|lists| !lists.subjects.is_empty()) || flags().any(Flag::takes_signed_overrides);
        if (hashes || subjects) && config.needs_client_ip {
            // The answer depends on what no header tells.
            return "*".into();
        }
        let read = |source: &SubjectSource| !matches!(source, SubjectSource::Header(_));
        if flags().any(|flag| flag.opt_in.is_some() || flag.pin.is_some())
            || lists().any(|lists| !lists.cookies.is_empty())
            || ((hashes || subjects) && config.subject.iter().any(read))
        {
            names.push("Cookie");
        }
        if hashes || subjects {
            names.extend(config.subject.iter().filter_map(|source| match source {
                SubjectSource::Header(name) => std::str::from_utf8(name).ok(),
                _ => None,
            }));
        }
        let headers = lists().flat_map(|lists| &lists.headers);
        for name in headers.filter_map(|(name, _)| std::str::from_utf8(name).ok()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.join(", ")
    }
}

fn unsliced(name: &str, tag: &str) -> Variant {
    Variant { name: name.into(), tag: tag.into(), slice: Slice { start: 0, width: 0 } }
}

/// Whether the header of this name cannot be a tag.
pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || name.starts_with("x-envoy-")
}

pub(super) fn intern(names: &mut Vec<String>, name: &str) -> usize {
    if let Some(place) = names.iter().position(|known| known == name) {
        return place;
    }
    names.push(name.to_owned());
    names.len().saturating_sub(1)
}

/// 2500 thousandths as `2.5`.
fn thousandths(number: u32) -> String {
    let (whole, rest) = (number / 1000, number % 1000);
    if rest == 0 { whole.to_string() } else { format!("{whole}.{rest:03}").trim_end_matches('0').to_owned() }
}
