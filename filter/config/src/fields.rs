//! The one table of every field: names, types, defaults and documentation. Validation, the JSON Schema and
//! did-you-mean all read it; nothing else lists fields.

/// A field of an object.
pub struct Field {
    /// Its camelCase name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it must be present.
    pub required: bool,
    /// The default, as JSON; empty when absence means "none".
    pub default: &'static str,
    /// One or two sentences for the reader of the schema.
    pub doc: &'static str,
}

/// The type of a value.
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number in a range.
    Integer(u64, u64),
    /// A percentage, 0 to 100 in steps of 0.001.
    Percent,
    /// A percentage that is limited by a sum rather than by itself.
    Share,
    /// Exactly two percentages.
    Range,
    /// A string of a certain form.
    Text(Text),
    /// One of some words.
    Choice(&'static [&'static str]),
    /// A list.
    List(&'static Kind),
    /// An object with free keys.
    Map(Text, &'static Kind),
    /// An object with fixed fields.
    Object(&'static [Field]),
    /// An object with fixed fields whose other keys are free.
    Open(&'static [Field], Text, &'static Kind),
    /// A short and a long form, told apart by their JSON type.
    Either(&'static [Kind]),
}

/// The form of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// `[a-z0-9-]{1,32}`: names that end up in metrics, tokens and logs.
    Name,
    /// `[A-Za-z0-9._~-]{1,64}`: values that are emitted as headers or matched in cookies.
    Value,
    /// A header name, lower case, `[a-z0-9-]`.
    Header,
    /// A cookie name: a token as RFC 6265 has it.
    Cookie,
    /// Anything printable, up to 256 bytes.
    Free,
    /// A glob of up to 120 bytes: `*` stays within a `/` segment, `**` does not.
    Glob,
    /// The name of an environment variable.
    Env,
    /// A cookie path.
    Path,
    /// A cookie domain.
    Domain,
    /// `90s`, `15m`, `12h` or `7d`.
    Duration,
    /// An RFC 3339 time.
    Time,
    /// A percentage with its sign, `25%`.
    Share,
    /// An HTTP method.
    Method,
}

/// Documentation, which the module that Envoy loads has no use for: it would be a tenth of its size.
const fn shown(text: &'static str) -> &'static str {
    if cfg!(target_os = "wasi") { "" } else { text }
}

const fn field(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Field {
    Field { name, kind, required: false, default: shown(default), doc: shown(doc) }
}

const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { name, kind, required: true, default: "", doc: shown(doc) }
}

const FREE_LIST: Kind = Kind::List(&Kind::Text(Text::Free));
const GLOBS: Kind = Kind::List(&Kind::Text(Text::Glob));
const ONE_OR_MORE: Kind = Kind::Either(&[Kind::Text(Text::Free), FREE_LIST]);

/// The top level of `pluginConfig`.
pub const CONFIG: &[Field] = &[
    field("schema", Kind::Integer(1, 1), "1", "Version of this format."),
    field(
        "mode",
        Kind::Choice(&["enforce", "observe", "off"]),
        "\"enforce\"",
        "`enforce` decides, tags and keeps; `observe` decides and measures but changes nothing; `off` is the kill \
         switch. Tag headers are stripped in every mode.",
    ),
    field(
        "role",
        Kind::Choice(&["edge", "mesh"]),
        "\"edge\"",
        "`edge` strips every tag header a client sends; `mesh` keeps it from the principals in `trust`, over mTLS.",
    ),
    field(
        "trust",
        Kind::Object(TRUST),
        "",
        "Whose tag headers survive in the mesh role, and whose word for the client's address counts.",
    ),
    field(
        "subject",
        Kind::List(&Kind::Object(SUBJECT)),
        "[{\"generate\": {}}]",
        "Where the subject of the sticky hash comes from: the first source that yields one.",
    ),
    field(
        "keys",
        Kind::List(&Kind::Object(KEY)),
        "[{\"id\": \"k1\", \"env\": \"COALMINE_KEY_K1\"}]",
        "Signing keys, by the name of the environment variable (vmConfig.env) that holds each. The first that is \
         not verifyOnly signs.",
    ),
    field("cookieDefaults", Kind::Object(COOKIE), "", "Attributes of every cookie this filter sets."),
    field("flags", Kind::List(&Kind::Object(FLAG)), "[]", "The feature flags, in order of priority."),
    field(
        "priority",
        Kind::Choice(&["first-match"]),
        "\"first-match\"",
        "Of flags that share a tag header, the first in the list that gives a variant sets it.",
    ),
    field(
        "tagsHeader",
        Kind::Text(Text::Header),
        "",
        "A request header that lists every decision, `checkout=canary,search=blue`. Stripped from clients.",
    ),
    field(
        "reasonHeader",
        Kind::Text(Text::Header),
        "",
        "A request header that lists why, `checkout=hash`. Stripped from clients.",
    ),
    field(
        "baggage",
        Kind::Bool,
        "false",
        "Put every variant into the W3C `baggage` header, as the member `coalmine.<flag>=<variant>`, which tracing \
         libraries pass on from hop to hop. Members of that form that clients send are removed.",
    ),
    field(
        "requireConsent",
        Kind::Object(&[
            required("cookie", Kind::Text(Text::Cookie), "Name of the consent cookie."),
            required("value", Kind::Text(Text::Value), "The value that means consent."),
        ]),
        "",
        "No cookie of this filter is set unless the client carries this cookie.",
    ),
    field(
        "onlyNavigations",
        Kind::Bool,
        "false",
        "Set cookies only on requests whose Sec-Fetch-Mode is `navigate` or absent.",
    ),
    field("telemetry", Kind::Object(TELEMETRY), "", "What is reported."),
    field("limits", Kind::Object(LIMITS), "", "How much of a request is looked at."),
    field(
        "onBadConfig",
        Kind::Choice(&["inert", "reject"]),
        "\"inert\"",
        "`inert` accepts a bad configuration, or one that lacks the key that signs, strips every tag it names and \
         routes everyone to stable; `reject` makes Envoy refuse it, which answers 500 on pods that have no earlier \
         configuration.",
    ),
];

const TRUST: &[Field] = &[
    field(
        "principals",
        GLOBS,
        "[]",
        "SPIFFE ids whose tag headers are kept, as globs: `spiffe://cluster.local/ns/istio-ingress/*/*`.",
    ),
    field(
        "clientIpHeader",
        Kind::Text(Text::Header),
        "\"none\"",
        "The header that holds the client's address, one address and nothing else, which a proxy in front sets and \
         strips; `none` takes the address that Envoy has determined.",
    ),
];

const SUBJECT: &[Field] = &[
    field(
        "header",
        Kind::Text(Text::Header),
        "",
        "A request header that a trusted earlier filter sets and strips, such as a JWT claim header.",
    ),
    field("cookie", Kind::Text(Text::Cookie), "", "A cookie that holds the subject."),
    field(
        "trusted",
        Kind::Bool,
        "false",
        "Take the cookie's value as it is. A client can then choose its bucket; without it the cookie must hold \
         a signed id.",
    ),
    field(
        "clientIp",
        Kind::Bool,
        "false",
        "The client's address, without a port. Clients behind one address share a subject, and one client may have \
         several: the last choice for a rollout, the first for an allow list.",
    ),
    field(
        "generate",
        Kind::Object(&[
            field("cookie", Kind::Text(Text::Cookie), "\"__Host-coalmine\"", "Name of the cookie."),
            field("maxAge", Kind::Text(Text::Duration), "\"180d\"", "How long the id lives."),
        ]),
        "",
        "A signed random id, kept in a cookie.",
    ),
];

const KEY: &[Field] = &[
    required("id", Kind::Text(Text::Name), "Short name, part of every token it signs."),
    required("env", Kind::Text(Text::Env), "The environment variable that holds the key, at least 16 bytes."),
    field("verifyOnly", Kind::Bool, "false", "Accept its tokens but sign with another: for rotation."),
];

const COOKIE: &[Field] = &[
    field("secure", Kind::Bool, "true", "Send over TLS only."),
    field("httpOnly", Kind::Bool, "true", "Hide from scripts."),
    field("sameSite", Kind::Choice(&["Strict", "Lax", "None"]), "\"Lax\"", "The SameSite attribute."),
    field("path", Kind::Text(Text::Path), "\"/\"", "The Path attribute."),
    field(
        "domain",
        Kind::Text(Text::Domain),
        "",
        "The Domain attribute; without it the cookie is host-only.",
    ),
    field("maxAge", Kind::Text(Text::Duration), "\"7d\"", "How long it lives."),
    field(
        "refreshBelow",
        Kind::Text(Text::Share),
        "\"25%\"",
        "Renew once less than this share of maxAge is left.",
    ),
    field("partitioned", Kind::Bool, "false", "The Partitioned attribute (CHIPS)."),
];

const PIN: &[Field] = &[
    field("name", Kind::Text(Text::Cookie), "\"__Host-coalmine-<flag>\"", "Name of the pin."),
    field("secure", Kind::Bool, "", "As in cookieDefaults."),
    field("httpOnly", Kind::Bool, "", "As in cookieDefaults."),
    field("sameSite", Kind::Choice(&["Strict", "Lax", "None"]), "", "As in cookieDefaults."),
    field("path", Kind::Text(Text::Path), "", "As in cookieDefaults."),
    field("domain", Kind::Text(Text::Domain), "", "As in cookieDefaults."),
    field("maxAge", Kind::Text(Text::Duration), "", "As in cookieDefaults."),
    field("refreshBelow", Kind::Text(Text::Share), "", "As in cookieDefaults."),
    field("partitioned", Kind::Bool, "", "As in cookieDefaults."),
];

const TELEMETRY: &[Field] = &[
    field("metrics", Kind::Bool, "true", "Count decisions by flag, variant and reason."),
    field("filterState", Kind::Bool, "true", "Set filter state `wasm.coalmine` for access logs."),
];

const LIMITS: &[Field] = &[
    field("cookieBytes", Kind::Integer(64, 65_536), "8192", "Bytes of Cookie headers that are looked at."),
    field("cookiePairs", Kind::Integer(1, 1000), "100", "Cookies that are looked at."),
];

const LISTS: &[Field] = &[
    field(
        "subjects",
        FREE_LIST,
        "[]",
        "Subjects, as they are or as `sha256:<hex>` to keep names out of the cluster.",
    ),
    field(
        "headers",
        Kind::Map(Text::Header, &ONE_OR_MORE),
        "{}",
        "Header values, as they are or as `sha256:<hex>`.",
    ),
    field(
        "cookies",
        Kind::Map(Text::Cookie, &ONE_OR_MORE),
        "{}",
        "Cookie values, as they are or as `sha256:<hex>`.",
    ),
];

const FLAG: &[Field] = &[
    required("name", Kind::Text(Text::Name), "Name in metrics, logs, tokens, and the default salt."),
    field("enabled", Kind::Bool, "true", "Off means stable for everyone."),
    field("when", Kind::Object(WHEN), "", "The requests the flag applies to."),
    field(
        "window",
        Kind::Object(&[
            field("from", Kind::Text(Text::Time), "", "First moment, RFC 3339."),
            field("until", Kind::Text(Text::Time), "", "First moment after the window, RFC 3339."),
        ]),
        "",
        "When the flag is live.",
    ),
    field("deny", Kind::Object(LISTS), "", "Who is never in the canary. Wins over everything below it."),
    field(
        "allow",
        Kind::Object(LISTS),
        "",
        "Who is always in the canary; with `optIn.who: listed`, who may opt in.",
    ),
    field("optIn", Kind::Object(OPT_IN), "", "How a client asks to be in or out."),
    field(
        "rollout",
        Kind::Open(ROLLOUT, Text::Name, &Kind::Either(&[Kind::Share, Kind::Object(SLICE)])),
        "",
        "Percentage of subjects per variant, to 0.001 %; the rest is stable.",
    ),
    field(
        "sticky",
        Kind::Choice(&["hash", "pin"]),
        "\"hash\"",
        "`hash` needs no cookie; `pin` keeps the first variant in a signed cookie, even when percentages drop.",
    ),
    field(
        "layer",
        Kind::Object(&[
            required("name", Kind::Text(Text::Name), "Flags of one layer exclude each other."),
            required("range", Kind::Range, "The flag's share of the layer, from and until, in percent."),
        ]),
        "",
        "Mutual exclusion: flags in one layer own disjoint ranges; `rollout` splits the flag's range.",
    ),
    field(
        "header",
        Kind::Either(&[Kind::Text(Text::Header), Kind::Object(HEADER)]),
        "\"x-canary\"",
        "The tag: the request header that VirtualServices match on. Stripped from clients, then set.",
    ),
    field("cookie", Kind::Object(PIN), "", "The pin's cookie, when `sticky` is `pin`."),
    field("response", Kind::Object(RESPONSE), "", "What the client and caches are told."),
];

const WHEN: &[Field] = &[
    field("hosts", GLOBS, "[]", "Hosts without port, as globs; empty means every host."),
    field("paths", GLOBS, "[]", "Paths without query, as globs; empty means every path."),
    field("excludePaths", GLOBS, "[]", "Paths the flag does not apply to, such as immutable assets."),
    field("methods", Kind::List(&Kind::Text(Text::Method)), "[]", "Methods; empty means every method."),
];

const OPT_IN: &[Field] = &[
    field(
        "cookie",
        Kind::Object(&[
            required("name", Kind::Text(Text::Cookie), "Name of the flag cookie."),
            field("value", Kind::Text(Text::Value), "", "The value that opts in."),
            field("values", Kind::List(&Kind::Text(Text::Value)), "[]", "Several values that opt in."),
            field(
                "optOut",
                Kind::List(&Kind::Text(Text::Value)),
                "[]",
                "Values that opt out of the rollout.",
            ),
            field(
                "expire",
                Kind::Bool,
                "false",
                "Delete the cookie on the response when the policy refuses it.",
            ),
            field("path", Kind::Text(Text::Path), "\"/\"", "Path it was set with, needed to delete it."),
            field("domain", Kind::Text(Text::Domain), "", "Domain it was set with, needed to delete it."),
        ]),
        "",
        "A flag cookie. One that the policy refuses is not forwarded.",
    ),
    field(
        "query",
        Kind::Object(&[
            required("name", Kind::Text(Text::Value), "Name of the query parameter."),
            field(
                "signed",
                Kind::Bool,
                "true",
                "Take signed overrides, made with `coalmine decide --sign`, from anyone who is not denied.",
            ),
            field(
                "allowFrom",
                Kind::Object(LISTS),
                "",
                "Who may also name a variant, or `stable`, without a signature. It holds for the one request. \
                 Anyone else's unsigned override would be a link that opts people in.",
            ),
            field(
                "redirect",
                Kind::Bool,
                "false",
                "Answer a signed override that was pinned with a redirect to the same address without the \
                 parameter, so that it gets into no cache, history or Referer. Needs `sticky: pin`.",
            ),
        ]),
        "",
        "An override in a query parameter of a GET request.",
    ),
    field(
        "who",
        Kind::Choice(&["anyone", "listed"]),
        "",
        "Who may opt in by cookie: anyone not denied, or only who is in `allow`. The default is `listed` when \
         there is an `allow`, else `anyone`.",
    ),
    field(
        "variant",
        Kind::Text(Text::Name),
        "",
        "The variant to opt into; by default the first of the flag.",
    ),
];

const ROLLOUT: &[Field] = &[
    field("salt", Kind::Text(Text::Free), "\"<flag>\"", "Seed of the hash. Changing it deals everyone anew."),
    field(
        "holdback",
        Kind::Share,
        "0",
        "Share that stays stable whatever the variants grow to, from the top.",
    ),
];

const SLICE: &[Field] = &[
    required("percent", Kind::Share, "Share of the variant."),
    field("start", Kind::Percent, "", "Where its slice begins, so that it can grow without moving others."),
];

const HEADER: &[Field] = &[
    required("name", Kind::Text(Text::Header), "Name of the tag header."),
    field(
        "values",
        Kind::Map(Text::Name, &Kind::Text(Text::Value)),
        "{}",
        "Header value per variant; by default its name.",
    ),
    field("emitStable", Kind::Bool, "false", "Send `stable` too, rather than no header."),
];

const RESPONSE: &[Field] = &[
    field(
        "header",
        Kind::Text(Text::Header),
        "",
        "A response header that names the variant, `checkout=canary`.",
    ),
    field(
        "vary",
        Kind::Choice(&["auto", "never"]),
        "\"auto\"",
        "`auto` appends what the decision read to Vary, so that caches keep versions apart.",
    ),
    field(
        "cacheControl",
        Kind::Choice(&["auto", "never"]),
        "\"auto\"",
        "`auto` makes a response that sets a cookie of this flag `private`.",
    ),
];
