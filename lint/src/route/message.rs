//! The HTTP request as a proxy sees it, and how Envoy compares it with a match block. Knows no routes.

use super::normalize::normalize;
use super::request::{Request, Scheme, split_port};
use super::{Detail, Forwarded};
use crate::mesh::matching::Regexes;
use crate::resource::field::Map;
use crate::resource::networking::{HttpMatch, StringMatch};
use crate::span::{Span, Spanned};

/// A request on its way: what a hop changes, a later one sees.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) scheme: &'static str,
    pub(super) method: String,
    pub(super) authority: String,
    pub(super) path: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
}

impl Message {
    pub(super) fn new(request: &Request) -> Self {
        let default = request.scheme.default_port() == Some(request.port);
        let mut authority =
            if default { request.host.clone() } else { format!("{}:{}", request.host, request.port) };
        let mut headers = Vec::with_capacity(request.headers.len());
        for (name, value) in &request.headers {
            match name.to_ascii_lowercase() {
                name if name == "host" || name == ":authority" => authority = value.clone(),
                name => headers.push((name, value.clone())),
            }
        }
        Self {
            scheme: if request.scheme == Scheme::Https { "https" } else { "http" },
            method: request.method.clone(),
            authority,
            path: request.path.clone(),
            headers,
        }
    }

    /// What an HTTP proxy does before anything else: the path becomes the one that rules are compared with.
    pub(super) fn arrive(&mut self) {
        self.path = normalize(&self.path);
    }

    /// The host by which the virtual host is chosen: without port and case
    /// (`ignore_port_in_host_matching`, which Istio sets).
    pub(super) fn host(&self) -> String {
        split_port(&self.authority).0.to_ascii_lowercase()
    }

    /// The path without the query.
    pub(super) fn bare_path(&self) -> &str {
        self.path.split(['?', '#']).next().unwrap_or("")
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        if name == ":authority" || name == "host" {
            value.clone_into(&mut self.authority);
            return;
        }
        self.remove(name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    pub(super) fn add(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), value.to_owned()));
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.headers.retain(|(other, _)| other != name);
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(other, _)| other == name)
    }

    pub(super) fn forwarded(&self) -> Forwarded {
        Forwarded {
            method: self.method.clone(),
            authority: self.authority.clone(),
            path: self.path.clone(),
            headers: self.headers.clone(),
        }
    }

    fn values<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        self.headers.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a query parameter, as it is written: Envoy does not decode it for matching.
    fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.path.split_once('?')?;
        let query = query.split('#').next().unwrap_or(query);
        query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .find_map(|(key, value)| (key == name).then_some(value))
    }
}

/// Tests a string as Istio's `StringMatch` does.
pub(super) struct Matcher<'r> {
    pub(super) regexes: &'r Regexes,
}

/// A test in words: `prefix /api`.
fn words(test: &StringMatch) -> String {
    match (test.exact.get(), test.prefix.get(), test.regex.get()) {
        (Some(exact), ..) => format!("is {exact}"),
        (_, Some(prefix), _) => format!("begins with {prefix}"),
        (.., Some(regex)) if regex != "*" => format!("matches {regex}"),
        _ => "is present".to_owned(),
    }
}

fn place(test: &StringMatch) -> Option<Span> {
    test.exact.span().or(test.prefix.span()).or(test.regex.span())
}

/// Only the presence counts: nothing is said, or the regex `*` (`canBeConvertedToPresentMatch`).
fn is_presence(test: &StringMatch) -> bool {
    test.exact.is_none() && test.prefix.is_none() && test.regex.get().is_none_or(|regex| regex == "*")
}

impl Matcher<'_> {
    fn text(&self, test: &StringMatch, text: &str) -> bool {
        match (test.exact.get(), test.prefix.get(), test.regex.get()) {
            (Some(exact), ..) => exact == text,
            (_, Some(prefix), _) => text.starts_with(prefix.as_str()),
            (.., Some(regex)) => self.regexes.get(regex).is_some_and(|regex| regex.is_full_match(text)),
            _ => true,
        }
    }

    /// A pseudo header: an empty test asks only for its presence, which is certain.
    fn pseudo(&self, test: &StringMatch, text: &str) -> bool {
        is_presence(test) || self.text(test, text)
    }

    /// The path alone, without query. Exact and prefix can ignore case; a regex keeps its own.
    fn uri(&self, block: &HttpMatch, test: &StringMatch, path: &str) -> bool {
        let folds = block.ignore_uri_case.get() == Some(&true) && test.regex.is_none();
        if !folds {
            return self.text(test, path);
        }
        let path = path.to_ascii_lowercase();
        match (test.exact.get(), test.prefix.get()) {
            (Some(exact), _) => exact.to_ascii_lowercase() == path,
            (_, Some(prefix)) => path.starts_with(&prefix.to_ascii_lowercase()),
            _ => true,
        }
    }

    /// Whether a request meets the tests of a block, and by what. Who sends it is not among them.
    pub(super) fn block(&self, block: &HttpMatch, message: &Message) -> Option<Vec<Detail>> {
        let mut met = Vec::new();
        let meet = |what: &str, test: &StringMatch| Detail {
            label: "match",
            text: format!("{what} {}", words(test)),
            span: place(test),
        };
        if let Some(test) = block.uri.get() {
            if !self.uri(block, test, message.bare_path()) {
                return None;
            }
            if !is_presence(test) {
                met.push(meet("uri", test));
            }
        }
        let scheme = message.scheme.to_owned();
        let pseudo = [
            ("scheme", &block.scheme, &scheme),
            ("method", &block.method, &message.method),
            ("authority", &block.authority, &message.authority),
        ];
        for (name, test, value) in pseudo {
            let Some(test) = test.get() else { continue };
            if !self.pseudo(test, value) {
                return None;
            }
            met.push(meet(name, test));
        }
        for (name, test) in &block.headers {
            if !self.header(name, test, message) {
                return None;
            }
            met.push(meet(&format!("header {}", name.value), test));
        }
        for (name, test) in &block.without_headers {
            if self.header_or_empty(name, test, message) {
                return None;
            }
            met.push(Detail {
                label: "match",
                text: format!("no header {} that {}", name.value, words(test)),
                span: place(test).or(Some(name.span)),
            });
        }
        for (name, test) in &block.query_params {
            let value = message.query(name)?;
            if !(is_presence(test) || self.text(test, value)) {
                return None;
            }
            met.push(meet(&format!("query {}", name.value), test));
        }
        Some(met)
    }

    /// A header that is absent never matches. Of several values one is enough: Envoy compares them one by one
    /// since `match_headers_individually`.
    fn header(&self, name: &str, test: &StringMatch, message: &Message) -> bool {
        let name = name.to_ascii_lowercase();
        let matches = |value: &str| is_presence(test) || self.text(test, value);
        match name.as_str() {
            ":authority" | "host" => matches(&message.authority),
            ":method" => matches(&message.method),
            ":path" => matches(&message.path),
            ":scheme" => matches(message.scheme),
            // Claims of a token that was verified before: not part of a request.
            _ => message.values(&name).any(matches),
        }
    }

    /// For `withoutHeaders`: an absent header counts as empty, except where the test is on its presence.
    fn header_or_empty(&self, name: &str, test: &StringMatch, message: &Message) -> bool {
        let absent = !name.starts_with(':') && !message.has(&name.to_ascii_lowercase());
        match absent {
            true => !is_presence(test) && self.text(test, ""),
            false => self.header(name, test, message),
        }
    }
}

/// Whether a delegate's match block can be joined with the root's: where both test the same thing the
/// delegate's must be narrower (`virtualservice.go#hasConflict`).
pub(super) fn can_join(root: &HttpMatch, leaf: &HttpMatch) -> bool {
    let case = |block: &HttpMatch| block.ignore_uri_case.get() == Some(&true);
    let text = |get: fn(&HttpMatch) -> Option<&StringMatch>| narrows(get(root), get(leaf));
    let map = |root: &Map<StringMatch>, leaf: &Map<StringMatch>| {
        leaf.iter().all(|(name, test)| narrows(root.find(name).map(|test| &test.value), Some(&test.value)))
    };
    let number = |block: &HttpMatch| block.port.get().copied().filter(|port| *port != 0);
    let namespace = |block: &HttpMatch| block.source_namespace.get().cloned().filter(|name| !name.is_empty());
    let labels = root
        .source_labels
        .iter()
        .all(|(key, value)| leaf.source_labels.text(key).is_none_or(|own| own == value.as_str()));
    case(root) == case(leaf)
        && text(|block| block.uri.get())
        && text(|block| block.scheme.get())
        && text(|block| block.method.get())
        && text(|block| block.authority.get())
        && map(&root.headers, &leaf.headers)
        && map(&root.without_headers, &leaf.without_headers)
        && map(&root.query_params, &leaf.query_params)
        && labels
        && number(root).zip(number(leaf)).is_none_or(|(root, leaf)| root == leaf)
        && namespace(root).zip(namespace(leaf)).is_none_or(|(root, leaf)| root == leaf)
}

/// `stringMatchConflict`, turned round.
fn narrows(root: Option<&StringMatch>, leaf: Option<&StringMatch>) -> bool {
    let (Some(root), Some(leaf)) = (root, leaf) else { return true };
    let text = |value: Option<&String>| value.filter(|text| !text.is_empty()).cloned();
    let parts =
        |test: &StringMatch| (text(test.exact.get()), text(test.prefix.get()), text(test.regex.get()));
    match (parts(root), parts(leaf)) {
        ((.., Some(_)), leaf) => leaf == (None, None, None),
        (root, (.., Some(_))) => root == (None, None, None),
        ((Some(exact), ..), (leaf, prefix, _)) => prefix.is_none() && leaf.as_ref() == Some(&exact),
        ((_, Some(prefix), _), (exact, own, _)) => {
            own.or(exact).is_some_and(|text| text.starts_with(&prefix))
        }
        ((None, None, None), _) => false,
    }
}

/// A block of a rule, if it has any.
pub(super) type Block<'a> = Option<&'a Spanned<HttpMatch>>;
