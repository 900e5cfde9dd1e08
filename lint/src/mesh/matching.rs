//! When one match block covers another: every request that meets the later block meets the earlier one
//! too. Sound, not complete: what is not understood covers nothing (`core/route/route.go`,
//! `TranslateRouteMatch`, `sourceMatchHTTP`; `core/tls.go`, `matchTCP`).

use std::cell::RefCell;
use std::fmt::Write;
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::gateways::resolve_gateway_name;
use super::routes::{RouteKind, VirtualService};
use crate::re2::{Regex, Shape};
use crate::resource::field::{List, Map, Opt};
use crate::resource::networking::{HttpMatch, L4Match, StringMatch};
use crate::span::{Span, Spanned};
use crate::yaml::NodeRef;

/// What a VirtualService says about its match blocks.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'s> {
    /// Its namespace, against which gateway names are read.
    pub namespace: &'s str,
    /// Its own `gateways`; empty is the mesh alone.
    pub gateways: &'s List<String>,
    /// Regexes already read.
    pub regexes: &'s Regexes,
}

/// Regexes by their text: comparing every block with every earlier one meets each many times.
#[derive(Default, Debug)]
pub struct Regexes(RefCell<FxHashMap<String, Option<Rc<Regex>>>>);

impl Regexes {
    pub(crate) fn get(&self, text: &str) -> Option<Rc<Regex>> {
        if let Some(known) = self.0.borrow().get(text) {
            return known.clone();
        }
        let regex = Regex::parse(text).ok().map(Rc::new);
        self.0.borrow_mut().insert(text.to_owned(), regex.clone());
        regex
    }
}

impl Scope<'_> {
    /// `mesh` or `namespace/name`.
    fn canonical(&self, name: &str) -> String {
        if name == "mesh" {
            return name.to_owned();
        }
        let (namespace, name) = resolve_gateway_name(name, self.namespace);
        format!("{namespace}/{name}")
    }

    fn bound(&self) -> Vec<String> {
        if self.gateways.is_empty() {
            return vec!["mesh".to_owned()];
        }
        self.gateways.iter().map(|name| self.canonical(name)).collect()
    }

    /// Where a block applies: its own list, as far as the VirtualService is bound there.
    fn places(&self, own: &List<String>) -> Vec<String> {
        let bound = self.bound();
        if own.is_empty() {
            return bound;
        }
        let own: Vec<String> = own.iter().map(|name| self.canonical(name)).collect();
        bound.into_iter().filter(|name| own.contains(name)).collect()
    }

    /// Whether `earlier` applies wherever `later` does, and `later` somewhere.
    fn covers_gateways(&self, earlier: &List<String>, later: &List<String>) -> bool {
        let (earlier, later) = (self.places(earlier), self.places(later));
        !later.is_empty() && later.iter().all(|place| earlier.contains(place))
    }
}

/// One match block of any of the three lists.
#[derive(Clone, Copy, Debug)]
pub enum Block<'a> {
    /// Of an http rule.
    Http(&'a Spanned<HttpMatch>),
    /// Of a tcp or tls rule.
    L4(&'a Spanned<L4Match>),
}

impl<'a> Block<'a> {
    /// The whole block.
    #[must_use]
    pub fn span(self) -> Span {
        match self {
            Self::Http(block) => block.span,
            Self::L4(block) => block.span,
        }
    }

    /// Two blocks with one key have the same conditions.
    #[must_use]
    pub fn key(self) -> String {
        match self {
            Self::Http(block) => key(block),
            Self::L4(block) => key_l4(block),
        }
    }

    /// [`covers`] or [`covers_l4`]; blocks of different lists never meet.
    #[must_use]
    pub fn covers(self, later: Block<'_>, scope: Scope<'_>) -> bool {
        match (self, later) {
            (Self::Http(earlier), Block::Http(later)) => covers(earlier, later, scope),
            (Self::L4(earlier), Block::L4(later)) => covers_l4(earlier, later, scope),
            _ => false,
        }
    }

    /// Whether every request of every client meets the block.
    #[must_use]
    pub fn covers_everything(self, scope: Scope<'_>) -> bool {
        match self {
            Self::Http(block) => covers(block, &HttpMatch::default(), scope),
            Self::L4(block) => covers_l4(block, &L4Match::default(), scope),
        }
    }
}

/// One rule of a VirtualService, reduced to which requests it takes.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Its place in the list.
    pub index: usize,
    /// The whole rule.
    pub span: Span,
    /// Its match blocks.
    pub blocks: Vec<Block<'a>>,
    /// What it matches it also answers: it is no delegation, and its blocks are written as Istio reads them.
    pub is_decisive: bool,
}

impl Entry<'_> {
    /// Whether no request gets past the rule.
    #[must_use]
    pub fn takes_everything(&self, scope: Scope<'_>) -> bool {
        self.is_decisive
            && (self.blocks.is_empty() || self.blocks.iter().any(|block| block.covers_everything(scope)))
    }
}

/// The rules of one list. `list` is its node, from which is seen whether all of a block was understood.
#[must_use]
pub fn entries_of<'a>(service: &VirtualService<'a>, kind: RouteKind, list: NodeRef<'_>) -> Vec<Entry<'a>> {
    let l4 = |blocks: &'a List<L4Match>| blocks.iter().map(Block::L4).collect();
    let rules: Vec<(Span, Vec<Block<'a>>, bool)> = match kind {
        RouteKind::Http => {
            let rules = service.spec.http.iter();
            rules
                .map(|rule| {
                    let answers =
                        !rule.route.is_empty() || rule.redirect.is_some() || rule.direct_response.is_some();
                    let blocks = rule.r#match.iter().map(Block::Http).collect();
                    (rule.span, blocks, answers && rule.delegate.is_none())
                })
                .collect()
        }
        RouteKind::Tls => {
            let rules = service.spec.tls.iter();
            // Without SNI names a tls rule is refused.
            let named = |blocks: &List<L4Match>| blocks.iter().all(|block| !block.sni_hosts.is_empty());
            rules
                .map(|rule| {
                    let answers = !rule.route.is_empty() && !rule.r#match.is_empty() && named(&rule.r#match);
                    (rule.span, l4(&rule.r#match), answers)
                })
                .collect()
        }
        RouteKind::Tcp => {
            let rules = service.spec.tcp.iter();
            rules.map(|rule| (rule.span, l4(&rule.r#match), !rule.route.is_empty())).collect()
        }
    };
    let mut nodes = list.items();
    rules
        .into_iter()
        .enumerate()
        .map(|(index, (span, blocks, answers))| {
            let understood =
                nodes.find(|node| node.span() == span).is_some_and(|node| match node.get("match") {
                    None => blocks.is_empty(),
                    Some(list) => {
                        list.is_sequence()
                            && list.items().count() == blocks.len()
                            && list.items().all(is_understood)
                    }
                });
            Entry { index, span, blocks, is_decisive: answers && understood }
        })
        .collect()
}

/// Whether nothing in a block is of a shape that the typed model leaves out.
fn is_understood(block: NodeRef<'_>) -> bool {
    let is_test = |test: NodeRef<'_>| {
        test.is_mapping() && test.entries().into_iter().all(|(_, text)| text.as_str().is_some())
    };
    block.is_mapping()
        && block.entries().into_iter().filter(|(_, value)| !value.is_null()).all(|(key, value)| {
            match key.key().as_ref() {
                "port" => value.text().is_some_and(|text| text.parse::<u32>().is_ok()),
                "uri" | "scheme" | "method" | "authority" => is_test(value),
                "headers" | "withoutHeaders" | "queryParams" => {
                    value.is_mapping() && value.entries().into_iter().all(|(_, test)| is_test(test))
                }
                "sourceLabels" => {
                    value.is_mapping() && value.entries().into_iter().all(|(_, text)| text.as_str().is_some())
                }
                "gateways" | "sniHosts" | "destinationSubnets" => {
                    value.is_sequence() && value.items().all(|item| item.as_str().is_some())
                }
                "sourceNamespace" => value.as_str().is_some(),
                _ => true,
            }
        })
}

/// Whether every request of every client that meets `later` meets `earlier`.
#[must_use]
pub fn covers(earlier: &HttpMatch, later: &HttpMatch, scope: Scope<'_>) -> bool {
    let whole =
        |get: fn(&HttpMatch) -> &Opt<StringMatch>| implied(get(earlier).get(), get(later).get(), scope);
    covers_source(earlier, later, scope)
        && port(&earlier.port).is_none_or(|own| port(&later.port) == Some(own))
        && covers_uri(earlier, later, scope)
        && whole(|block| &block.scheme)
        && whole(|block| &block.method)
        && whole(|block| &block.authority)
        && earlier
            .headers
            .iter()
            .all(|(name, test)| entries(&later.headers, name).any(|other| includes(test, other, scope)))
        && earlier.without_headers.iter().all(|(name, test)| excluded(name, test, later, scope))
        && earlier.query_params.iter().all(|(name, test)| {
            later.query_params.find(name).is_some_and(|other| includes(test, other, scope))
        })
}

/// The same for a block of a tcp or tls rule. Envoy picks between subnets, and between SNI names, by how
/// specific they are and not by order, so only equal lists of them cover one another.
#[must_use]
pub fn covers_l4(earlier: &L4Match, later: &L4Match, scope: Scope<'_>) -> bool {
    let within = |own: &List<String>, other: &List<String>| {
        other.iter().all(|name| own.iter().any(|own| own.eq_ignore_ascii_case(name)))
    };
    let is_tls = !earlier.sni_hosts.is_empty() || !later.sni_hosts.is_empty();
    let subnets = (earlier.destination_subnets.is_empty() && !is_tls)
        || (within(&earlier.destination_subnets, &later.destination_subnets)
            && within(&later.destination_subnets, &earlier.destination_subnets));
    let sni = !later.sni_hosts.is_empty() && within(&earlier.sni_hosts, &later.sni_hosts);
    scope.covers_gateways(&earlier.gateways, &later.gateways)
        && earlier.source_labels.selects(&later.source_labels)
        && namespace(&earlier.source_namespace)
            .is_none_or(|own| namespace(&later.source_namespace) == Some(own))
        && port(&earlier.port).is_none_or(|own| port(&later.port) == Some(own))
        && subnets
        && (!is_tls || sni)
}

/// Two blocks with one key have the same conditions, in whatever order and spelling.
#[must_use]
pub fn key(block: &HttpMatch) -> String {
    let mut key = source_key(&block.gateways, &block.source_labels, &block.source_namespace, &block.port);
    let ignores_case = block.ignore_uri_case.get() == Some(&true);
    let tests = [("uri", &block.uri), ("scheme", &block.scheme), ("method", &block.method)];
    for (name, test) in tests.into_iter().chain([("authority", &block.authority)]) {
        if let Some(test) = test.get() {
            let _ = write!(key, "{name}={};", test_key(test));
        }
    }
    let maps = [("h", &block.headers), ("w", &block.without_headers), ("q", &block.query_params)];
    for (kind, map) in maps {
        let mut pairs: Vec<String> = map
            .iter()
            .map(|(name, test)| {
                let name = if kind == "q" { name.value.clone() } else { header_name(name) };
                format!("{kind}{name:?}={};", test_key(test))
            })
            .collect();
        pairs.sort_unstable();
        key.extend(pairs);
    }
    let _ = write!(key, "{ignores_case}");
    key
}

/// [`key`] for a tcp or tls rule's block.
#[must_use]
pub fn key_l4(block: &L4Match) -> String {
    let mut key = source_key(&block.gateways, &block.source_labels, &block.source_namespace, &block.port);
    let _ = write!(key, "{:?}{:?}", sorted(&block.sni_hosts), sorted(&block.destination_subnets));
    key
}

fn sorted(list: &List<String>) -> Vec<&str> {
    let mut list: Vec<&str> = list.iter().map(|item| item.as_str()).collect();
    list.sort_unstable();
    list
}

fn source_key(
    gateways: &List<String>,
    labels: &Map<String>,
    source_namespace: &Opt<String>,
    own_port: &Opt<u32>,
) -> String {
    let mut labels: Vec<(&str, &str)> = labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    labels.sort_unstable();
    format!("{:?}{labels:?}{:?}{:?}", sorted(gateways), namespace(source_namespace), port(own_port))
}

fn test_key(test: &StringMatch) -> String {
    format!("{:?}", (test.exact.get(), test.prefix.get(), test.regex.get()))
}

fn port(port: &Opt<u32>) -> Option<u32> {
    port.get().copied().filter(|port| *port != 0)
}

fn namespace(name: &Opt<String>) -> Option<&str> {
    name.get().map(String::as_str).filter(|name| !name.is_empty())
}

/// An http block that names gateways is not compared with the client's labels or namespace at all.
fn covers_source(earlier: &HttpMatch, later: &HttpMatch, scope: Scope<'_>) -> bool {
    if !scope.covers_gateways(&earlier.gateways, &later.gateways) {
        return false;
    }
    let own = namespace(&earlier.source_namespace);
    if !earlier.gateways.is_empty() || (earlier.source_labels.is_empty() && own.is_none()) {
        return true;
    }
    later.gateways.is_empty()
        && earlier.source_labels.selects(&later.source_labels)
        && own.is_none_or(|own| namespace(&later.source_namespace) == Some(own))
}

fn covers_uri(earlier: &HttpMatch, later: &HttpMatch, scope: Scope<'_>) -> bool {
    let Some(test) = earlier.uri.get() else { return true };
    let Some(test) = Test::new(test, scope) else { return false };
    // A match on the uri that says nothing is the prefix `/`; every path is one line.
    if matches!(&test, Test::Present)
        || matches!(&test, Test::Prefix(prefix) if prefix == "/" || prefix.is_empty())
    {
        return true;
    }
    let Some(other) = later.uri.get().and_then(|test| Test::new(test, scope)) else { return false };
    let folds = |block: &HttpMatch| block.ignore_uri_case.get() == Some(&true);
    // Envoy's `case_sensitive` is about exact paths and prefixes; a regex says its own case.
    let sensitive = |test: &StringMatch| test.regex.is_some();
    let earlier_folds = folds(earlier) && !earlier.uri.get().is_some_and(sensitive);
    let later_folds = folds(later) && !later.uri.get().is_some_and(sensitive);
    match (earlier_folds, later_folds) {
        (true, _) => test.lower().includes(&other.lower()),
        (false, false) => test.includes(&other),
        // One spelling of the later path must not escape the earlier test.
        (false, true) => test.is_caseless() && test.includes(&other.lower()),
    }
}

/// Whether a test on something every request has is met whenever another is.
fn implied(earlier: Option<&StringMatch>, later: Option<&StringMatch>, scope: Scope<'_>) -> bool {
    let Some(earlier) = earlier else { return true };
    match (Test::new(earlier, scope), later) {
        (Some(Test::Present), _) => true,
        (_, Some(later)) => includes(earlier, later, scope),
        (_, None) => false,
    }
}

/// Header names are compared in lower case; `@request.auth.claims` paths are not header names.
fn header_name(name: &str) -> String {
    if name.starts_with('@') { name.to_owned() } else { name.to_ascii_lowercase() }
}

fn entries<'m>(map: &'m Map<StringMatch>, name: &str) -> impl Iterator<Item = &'m StringMatch> {
    let name = header_name(name);
    map.iter().filter(move |(other, _)| header_name(other) == name).map(|(_, test)| &test.value)
}

/// Whether `withoutHeaders: {name: test}` holds for every request that meets `later`.
fn excluded(name: &str, test: &StringMatch, later: &HttpMatch, scope: Scope<'_>) -> bool {
    let Some(own) = Test::new(test, scope) else { return false };
    // A header that is absent counts as empty, except where the test is on its presence.
    let absent_is_fine = matches!(own, Test::Present) || !own.accepts("");
    entries(&later.without_headers, name).any(|other| {
        match (&own, Test::new(other, scope)) {
            _ if test_key(test) == test_key(other) => true,
            (_, Some(Test::Present)) => absent_is_fine,
            (Test::Present, _) | (_, None) => false,
            (_, Some(other)) => other.includes(&own),
        }
    }) || entries(&later.headers, name).any(|other| {
        matches!(Test::new(other, scope), Some(Test::Exact(value)) if !matches!(own, Test::Present) && !own.accepts(&value))
    })
}

fn includes(earlier: &StringMatch, later: &StringMatch, scope: Scope<'_>) -> bool {
    if test_key(earlier) == test_key(later) {
        return true;
    }
    match (Test::new(earlier, scope), Test::new(later, scope)) {
        (Some(earlier), Some(later)) => earlier.includes(&later),
        _ => false,
    }
}

/// A string match in the simplest words that mean the same for texts of one line.
#[derive(Debug)]
enum Test {
    /// Only that there is a value: nothing said, or the regex `*`.
    Present,
    Exact(String),
    Prefix(String),
    Regex(String, Rc<Regex>),
}

impl Test {
    /// `None` when it is not understood: two kinds at once, or a regex that is none.
    fn new(test: &StringMatch, scope: Scope<'_>) -> Option<Self> {
        match (test.exact.get(), test.prefix.get(), test.regex.get()) {
            (None, None, None) => Some(Self::Present),
            (Some(exact), None, None) => Some(Self::Exact(exact.clone())),
            (None, Some(prefix), None) => Some(Self::Prefix(prefix.clone())),
            (None, None, Some(regex)) if regex == "*" => Some(Self::Present),
            (None, None, Some(text)) => {
                let regex = scope.regexes.get(text)?;
                Some(match regex.shape() {
                    Some(Shape::Literal(text)) => Self::Exact(text.clone()),
                    Some(Shape::Prefix(text)) => Self::Prefix(text.clone()),
                    None => Self::Regex(text.clone(), regex),
                })
            }
            _ => None,
        }
    }

    fn accepts(&self, text: &str) -> bool {
        match self {
            Self::Present => true,
            Self::Exact(own) => own == text,
            Self::Prefix(own) => text.starts_with(own),
            Self::Regex(_, own) => own.is_full_match(text),
        }
    }

    fn includes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present, _) => true,
            (own, Self::Exact(text)) => own.accepts(text),
            (Self::Prefix(own), Self::Prefix(text)) => text.starts_with(own),
            (Self::Regex(own, _), Self::Regex(text, _)) => own == text,
            _ => false,
        }
    }

    /// Without the case of its own text; a regex keeps its own.
    fn lower(self) -> Self {
        match self {
            Self::Exact(text) => Self::Exact(text.to_ascii_lowercase()),
            Self::Prefix(text) => Self::Prefix(text.to_ascii_lowercase()),
            other => other,
        }
    }

    /// Whether changing the case of a text cannot change the answer.
    fn is_caseless(&self) -> bool {
        match self {
            Self::Present => true,
            Self::Exact(text) | Self::Prefix(text) => !text.bytes().any(|b| b.is_ascii_alphabetic()),
            Self::Regex(..) => false,
        }
    }
}

#[cfg(test)]
mod tests;
