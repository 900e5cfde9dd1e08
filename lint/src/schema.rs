//! What fields the kinds of Istio, the Gateway API and Kubernetes have: the facts behind the rules on single fields.
//!
//! The tables in `schema/` are derived by `cargo xtask schema` and compiled in. They are indexed on first use, and
//! each kind is parsed when it is first looked up. This module knows nothing of documents and spans: it says what a
//! field may hold, and rules compare.
//!
//! A table states less than the API server enforces. CEL rules and `oneof` are left out; `status` is
//! [`Type::Any`], because the API server ignores it in what a user applies; and in JSON `null` means that a field
//! is absent, whatever its type. Fields that a closed object does not list are dropped by the API server, mostly
//! without a word.

use std::sync::OnceLock;

mod table;

use table::{Entry, Index};

/// The tables by file name. The first holds the definitions that the others may use.
const TABLES: [(&str, &str); 3] = [
    ("kubernetes.txt", include_str!("schema/kubernetes.txt")),
    ("istio.txt", include_str!("schema/istio.txt")),
    ("gateway-api.txt", include_str!("schema/gateway-api.txt")),
];

/// What is known of an `apiVersion` and `kind`.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    /// The kind and its fields.
    Known(&'static Object),
    /// The kind is known, but not in this version of its group.
    UnknownVersion {
        /// The versions that are served, the most stable first.
        served: Vec<&'static str>,
    },
    /// The group is known fully, and has no such kind.
    UnknownKind,
    /// Nothing is known that a manifest could be compared with: a group without a table, or a kind of Kubernetes
    /// whose fields are not kept.
    Foreign,
}

/// The fields of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// The fields, sorted by name.
    pub fields: Vec<Field>,
    /// Whether other fields are kept as well, as in `WasmPlugin.spec.pluginConfig`.
    pub open: bool,
}

/// One field of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The name, as in YAML.
    pub name: &'static str,
    /// What it holds.
    pub ty: Type,
    /// Whether the object is rejected without it.
    pub required: bool,
    /// Whether its documentation says that it is deprecated.
    pub deprecated: bool,
    /// How many characters a string, items a list or entries a map may have.
    pub size: Bounds,
    /// The regular expression (Go's RE2 syntax) that a string must match.
    pub pattern: Option<&'static str>,
}

/// Inclusive bounds; a side without one is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The least allowed.
    pub min: Option<i64>,
    /// The most allowed.
    pub max: Option<i64>,
}

impl Bounds {
    /// Whether a value lies within the bounds.
    pub fn contains(&self, value: i64) -> bool {
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// A string; one of these values unless the list is empty.
    String {
        /// The allowed values, in the order of the API.
        values: Vec<&'static str>,
    },
    /// An integer.
    Integer {
        /// The least allowed.
        min: Option<i64>,
        /// The most allowed.
        max: Option<i64>,
    },
    /// An integer or a decimal number.
    Number {
        /// The least allowed.
        min: Option<i64>,
        /// The most allowed.
        max: Option<i64>,
    },
    /// `true` or `false`.
    Boolean,
    /// An integer or a string, such as a port or a percentage.
    IntOrString,
    /// A Kubernetes quantity: a number, or a string such as `500m` or `1Gi`.
    Quantity,
    /// A string such as `1.5s` or `1h30m`.
    Duration,
    /// A string with a date and time as in RFC 3339.
    Timestamp,
    /// An object with known fields.
    Object(&'static Object),
    /// An object with keys of the user's choice, such as labels.
    Map(Box<Type>),
    /// A list.
    List(Box<Type>),
    /// Anything.
    Any,
}

/// Looks up a kind by what its manifest says, for instance `networking.istio.io/v1` and `VirtualService`.
pub fn lookup(api_version: &str, kind: &str) -> Lookup {
    let (group, version) = split(api_version);
    let index = index();
    let entries = || index.kinds().iter().filter(|entry| entry.group == group && entry.kind == kind);
    if let Some(entry) = entries().find(|entry| entry.serves(version)) {
        return Lookup::Known(index.object(entry));
    }
    if index.exists(group, version, kind) {
        return Lookup::Foreign;
    }
    let mut served: Vec<&str> = entries().flat_map(Entry::versions).collect();
    if served.is_empty() {
        served = index.untabled_versions(group, kind).collect();
    }
    if !served.is_empty() {
        Lookup::UnknownVersion { served }
    } else if index.is_complete(group) && !version.is_empty() {
        Lookup::UnknownKind
    } else {
        Lookup::Foreign
    }
}

/// Whether a known kind is served in this version only until it is removed.
pub fn is_deprecated_version(api_version: &str, kind: &str) -> bool {
    let (group, version) = split(api_version);
    let mut entries = index().kinds().iter();
    entries.any(|entry| entry.group == group && entry.kind == kind && entry.deprecates(version))
}

/// The release that a fully known group is described by, such as `Istio 1.30.0`: what is unknown here may exist in
/// a newer one, and messages should say so.
pub fn release(api_version: &str) -> Option<&'static str> {
    let (group, _) = split(api_version);
    let entry = index().kinds().iter().find(|entry| entry.group == group)?;
    let (_, text) = TABLES.get(entry.table).filter(|_| index().is_complete(group))?;
    text.lines().next()?.strip_prefix("# Fields of the kinds of ")
}

/// The kind of this group that was probably meant.
pub fn suggest_kind(api_version: &str, kind: &str) -> Option<&'static str> {
    let (group, _) = split(api_version);
    let kinds = index().kinds().iter().filter(|entry| entry.group == group);
    nearest(kind, kinds.map(|entry| entry.kind))
}

impl Object {
    /// The field with exactly this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        let at = self.fields.binary_search_by(|field| field.name.cmp(name)).ok()?;
        self.fields.get(at)
    }

    /// The field that was probably meant by a name that is none: `sourcelabels` or `source_labels` for
    /// `sourceLabels`, before anything that is only spelled similarly.
    pub fn suggest(&self, name: &str) -> Option<&str> {
        nearest(name, self.fields.iter().map(|field| field.name))
    }
}

/// The candidate closest to `name`, if any is close enough that a slip explains the difference.
fn nearest(name: &str, candidates: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let plain = |name: &str| name.replace(['_', '-'], "").to_lowercase();
    let wanted = plain(name);
    candidates
        .filter(|candidate| *candidate != name)
        .map(|candidate| {
            let known = plain(candidate);
            (strsim::osa_distance(&wanted, &known), known.chars().count(), candidate)
        })
        // Short names are close to everything: one slip in three letters is allowed, two in six.
        .filter(|(distance, length, _)| *distance <= (length.max(&wanted.chars().count()) / 3).min(3))
        .min_by_key(|(distance, _, _)| *distance)
        .map(|(_, _, candidate)| candidate)
}

/// Group and version; the core group has no name.
fn split(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

fn index() -> &'static Index {
    static INDEX: OnceLock<Index> = OnceLock::new();
    INDEX.get_or_init(|| Index::new(TABLES.map(|(_, text)| text)))
}

#[cfg(test)]
mod tests;
