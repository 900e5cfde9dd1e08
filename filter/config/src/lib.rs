//! The filter's configuration, `pluginConfig` of a WasmPlugin: parse, validate, explain what is wrong and where.
//!
//! `Config::parse` always returns a configuration. When a problem is an error the configuration is *inert*: it
//! decides nothing, but it still knows every tag header that it names in whatever form, so that a broken update
//! never stops the protection of tags. Unknown fields alone are tolerated at run time, so that a module that was
//! rolled back survives a newer configuration; tools report them as errors.

// As in the filter: it runs inside Envoy, where nothing may panic.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod check;
pub mod fields;
mod lower;
mod salvage;
pub mod schema;
mod text;
mod tree;

pub use serde_json::Value;
pub use text::{Glob, duration, is_plain, time};
use tree::Tree;

/// A step on the way to a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// A field of an object.
    Key(String),
    /// An element of a list, from 0.
    Index(usize),
}

/// The way from the top of `pluginConfig` to a field, printed as `flags[0].rollout`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Path(pub Vec<Segment>);

impl Path {
    /// The way to a field of what this leads to.
    #[must_use]
    pub fn key(&self, name: &str) -> Path {
        let mut path = self.clone();
        path.0.push(Segment::Key(name.to_owned()));
        path
    }

    /// The way to an element of what this leads to.
    #[must_use]
    pub fn index(&self, index: usize) -> Path {
        let mut path = self.clone();
        path.0.push(Segment::Index(index));
        path
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(name) => {
                    // A key may be any text, and a path ends up in a log line.
                    let shown: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
                    write!(f, "{}{shown}", if place > 0 { "." } else { "" })?;
                }
            }
        }
        Ok(())
    }
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Works, but probably not as meant.
    Warning,
    /// A field this version does not know: an error for tools, ignored at run time.
    Unknown,
    /// The configuration is inert.
    Error,
}

/// Something wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub path: Path,
    /// What, and what to do about it. Printable ASCII-safe text without line breaks.
    pub message: String,
    /// How bad.
    pub severity: Severity,
    /// The word that was probably meant, in place of the field's name or of the value.
    pub suggestion: Option<&'static str>,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.0.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// What the filter does with its decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Decide, tag and keep.
    #[default]
    Enforce,
    /// Decide and measure, change nothing but stripped tags.
    Observe,
    /// Strip tags and refuse flag cookies, nothing else: the kill switch.
    Off,
}

/// Whose tag headers can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Nobody's.
    #[default]
    Edge,
    /// Those of [`Config::principals`], over mTLS.
    Mesh,
}

/// What a bad configuration does at run time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBadConfig {
    /// Accepted; tags are stripped and everyone is stable.
    #[default]
    Inert,
    /// Refused.
    Reject,
}

/// Where a subject comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectSource {
    /// The value of a request header, trusted.
    Header(Vec<u8>),
    /// A cookie: index into [`Config::cookies`], and whether its bare value is trusted.
    Cookie {
        /// Index into [`Config::cookies`].
        slot: usize,
        /// Taken as it is rather than as a signed id.
        trusted: bool,
    },
    /// A signed random id.
    Generate {
        /// Index into [`Config::cookies`].
        slot: usize,
        /// How to set it.
        cookie: CookieSpec,
    },
}

impl SubjectSource {
    /// Its value is a token of this filter, with an expiry.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        !matches!(self, SubjectSource::Header(_) | SubjectSource::Cookie { trusted: true, .. })
    }
}

/// A signing key: where it is, never what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySource {
    /// Its id in tokens.
    pub id: String,
    /// The environment variable that holds it.
    pub env: String,
    /// Verifies but never signs.
    pub verify_only: bool,
}

/// The SameSite attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// Never sent across sites.
    Strict,
    /// Sent across sites on top-level navigations.
    Lax,
    /// Always sent; needs Secure.
    None,
}

/// A cookie this filter sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieSpec {
    /// Name.
    pub name: String,
    /// Secure attribute.
    pub secure: bool,
    /// HttpOnly attribute.
    pub http_only: bool,
    /// SameSite attribute; `None` sends no attribute.
    pub same_site: Option<SameSite>,
    /// Path attribute.
    pub path: String,
    /// Domain attribute.
    pub domain: Option<String>,
    /// Lifetime in seconds.
    pub max_age: u64,
    /// Renewed below this percentage of `max_age`.
    pub refresh_below: u8,
    /// Partitioned attribute.
    pub partitioned: bool,
}

/// A value to compare with, as it is or by its SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// The bytes themselves.
    Plain(Vec<u8>),
    /// Their SHA-256 in lower-case hex.
    Sha256(String),
}

/// An allow or deny list. A request is on it when any entry matches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    /// Subjects.
    pub subjects: Vec<Expected>,
    /// Header name and value.
    pub headers: Vec<(Vec<u8>, Vec<Expected>)>,
    /// Index into [`Config::cookies`] and value.
    pub cookies: Vec<(usize, Vec<Expected>)>,
}

impl Lists {
    /// Nobody is on it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.subjects.is_empty() && self.headers.is_empty() && self.cookies.is_empty()
    }
}

/// The requests a flag applies to. An empty list means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct When {
    /// Hosts without port.
    pub hosts: Vec<Glob>,
    /// Paths without query.
    pub paths: Vec<Glob>,
    /// Paths excluded.
    pub exclude_paths: Vec<Glob>,
    /// Methods.
    pub methods: Vec<Vec<u8>>,
}

/// A flag cookie that clients, or the application, set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagCookie {
    /// Index into [`Config::cookies`].
    pub slot: usize,
    /// Values that opt in.
    pub on: Vec<Vec<u8>>,
    /// Values that opt out.
    pub off: Vec<Vec<u8>>,
    /// The cookie that deletes it, when a refused one is to be deleted.
    pub expire: Option<CookieSpec>,
}

/// Who is sure to be offered the variant they ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Anyone who is not denied.
    Anyone,
    /// Who is on the allow list.
    Listed,
}

/// An override in a query parameter of a GET request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The parameter.
    pub name: String,
    /// Signed tokens are taken, from anyone who is not denied.
    pub signed: bool,
    /// Who may name a variant without a signature.
    pub allow_from: Lists,
    /// Once the answer is pinned, redirect to the same address without the parameter.
    pub redirect: bool,
}

/// Number of buckets: one bucket is 0.001 % of all subjects.
pub const BUCKETS: u32 = 100_000;

/// A run of buckets, `start..start + width`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// First bucket.
    pub start: u32,
    /// Number of buckets; 1,000 are one percent.
    pub width: u32,
}

impl Slice {
    /// Bucket after the last one.
    #[must_use]
    pub fn end(&self) -> u32 {
        self.start.saturating_add(self.width)
    }

    /// Whether the slice owns `bucket`.
    #[must_use]
    pub fn contains(&self, bucket: u32) -> bool {
        self.start <= bucket && bucket < self.end()
    }

    /// Whether both own some bucket.
    #[must_use]
    pub fn overlaps(&self, other: &Slice) -> bool {
        self.start.max(other.start) < self.end().min(other.end())
    }
}

/// One answer of a flag other than stable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Name, in metrics, logs and tokens.
    pub name: String,
    /// Value of the tag header.
    pub tag: String,
    /// Buckets it owns; empty when it is only reached by opting in.
    pub slice: Slice,
}

/// A feature flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// Name.
    pub name: String,
    /// Off means stable for everyone.
    pub enabled: bool,
    /// Requests it applies to.
    pub when: When,
    /// First second it is live.
    pub from: Option<u64>,
    /// First second it is not live any more.
    pub until: Option<u64>,
    /// Never in the canary.
    pub deny: Lists,
    /// Always in the canary, or entitled to opt in.
    pub allow: Lists,
    /// The flag cookie.
    pub opt_in: Option<FlagCookie>,
    /// Who may use it.
    pub who: Who,
    /// Index into [`Flag::variants`] of what opting in and allow lists give.
    pub opt_variant: usize,
    /// Overrides in the query.
    pub query: Option<Query>,
    /// Variants in the order of their slices.
    pub variants: Vec<Variant>,
    /// Hash salt.
    pub salt: String,
    /// Percentages are given: there is something to hash for.
    pub has_rollout: bool,
    /// Buckets that stay stable, at the top.
    pub holdback: u32,
    /// Layer name and the range this flag owns in it.
    pub layer: Option<(String, Slice)>,
    /// The pin: index into [`Config::cookies`] and how to set it.
    pub pin: Option<(usize, CookieSpec)>,
    /// Index into [`Config::tags`].
    pub tag: usize,
    /// Header value for stable, if stable is sent.
    pub stable_tag: Option<String>,
    /// Response header that names the variant.
    pub response_header: Option<String>,
    /// Append to Vary.
    pub vary: bool,
    /// Make responses that set this flag's pin private.
    pub cache_control: bool,
}

impl Flag {
    /// A token in the query overrides it.
    #[must_use]
    pub fn takes_signed_overrides(&self) -> bool {
        self.query.as_ref().is_some_and(|query| query.signed)
    }

    /// Every list of the flag.
    pub fn lists(&self) -> impl Iterator<Item = &Lists> {
        [&self.allow, &self.deny].into_iter().chain(self.query.as_ref().map(|query| &query.allow_from))
    }
}

/// What is looked at; whatever lies beyond is treated as absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all `Cookie` header values together.
    pub bytes: usize,
    /// Number of pairs.
    pub pairs: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { bytes: 8192, pairs: 100 }
    }
}

/// A whole configuration, validated and compiled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// It has errors: decide nothing, strip everything.
    pub inert: bool,
    /// Refuse it rather than be inert.
    pub on_bad_config: OnBadConfig,
    /// Mode.
    pub mode: Mode,
    /// Role.
    pub role: Role,
    /// SPIFFE ids whose tags survive in the mesh role.
    pub principals: Vec<Glob>,
    /// Sources of the subject.
    pub subject: Vec<SubjectSource>,
    /// Signing keys.
    pub keys: Vec<KeySource>,
    /// The configuration needs a key that signs: a generated subject or a pin.
    pub needs_key: bool,
    /// Some subject is the client's address as Envoy knows it, [`CLIENT_IP`].
    pub needs_client_ip: bool,
    /// Some flag asks who the client is: a rollout, a layer, a pin, a signed override or a list of subjects.
    pub needs_subject: bool,
    /// Flags, by priority.
    pub flags: Vec<Flag>,
    /// Header names to strip and set, lower case, each once: those of flags first, then tags and reason header.
    pub tags: Vec<String>,
    /// Header that lists decisions.
    pub tags_header: Option<usize>,
    /// Header that lists reasons.
    pub reason_header: Option<usize>,
    /// Keep the filter's members of the W3C `baggage` header.
    pub baggage: bool,
    /// Index into [`Config::cookies`] and value of the consent cookie.
    pub consent: Option<(usize, Vec<u8>)>,
    /// Set cookies on navigations only.
    pub only_navigations: bool,
    /// Count decisions.
    pub metrics: bool,
    /// Set filter state.
    pub filter_state: bool,
    /// Caps.
    pub limits: Limits,
    /// Every cookie name anything above refers to, each once.
    pub cookies: Vec<String>,
    /// What decisions depend on, as a Vary value; empty when no flag wants it.
    pub vary: String,
}

/// What the client's address is called among a request's headers. No client can send a header of this name.
pub const CLIENT_IP: &str = ":client-ip";

/// The tag header when a flag names none, and the one that is stripped when nothing can be read.
pub const DEFAULT_TAG: &str = "x-canary";

impl Config {
    /// Parses `pluginConfig` as Envoy hands it over, as JSON. Every problem is reported, not just the first.
    #[must_use]
    #[inline(never)]
    pub fn parse(json: &[u8]) -> (Config, Vec<Problem>) {
        // Envoy passes no bytes at all when the WasmPlugin has no pluginConfig.
        let json = if json.is_empty() { b"{}" } else { json };
        match serde_json::from_slice(json) {
            Ok(tree) => Config::from_tree(&tree),
            Err(error) => {
                let message = format!("not JSON: line {}, column {}", error.line(), error.column());
                let problem =
                    Problem { path: Path::default(), message, severity: Severity::Error, suggestion: None };
                (Config { inert: true, tags: vec![DEFAULT_TAG.into()], ..Config::default() }, vec![problem])
            }
        }
    }

    /// The same, from a tree; paths of problems are paths in it.
    #[must_use]
    pub fn from_value(value: &Value) -> (Config, Vec<Problem>) {
        Config::from_tree(&value.into())
    }

    fn from_tree(tree: &Tree) -> (Config, Vec<Problem>) {
        let mut problems = check::check(tree);
        let mut config = lower::lower(tree, &mut problems);
        config.inert = problems.iter().any(|problem| problem.severity == Severity::Error);
        if config.inert {
            salvage::salvage(tree, salvage::Part::Top, &mut config);
        }
        (config, problems)
    }

    /// Index of a cookie name in [`Config::cookies`].
    #[must_use]
    pub fn slot(&self, name: &str) -> Option<usize> {
        self.cookies.iter().position(|known| known == name)
    }

    /// Whether a decision needs to know the time.
    #[must_use]
    pub fn needs_clock(&self) -> bool {
        self.needs_subject && self.subject.iter().any(SubjectSource::is_signed)
            || self.flags.iter().any(|flag| {
                let is_signed = flag.pin.is_some() || flag.takes_signed_overrides();
                is_signed || flag.from.is_some() || flag.until.is_some()
            })
    }
}

#[cfg(test)]
mod tests;
