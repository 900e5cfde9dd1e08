//! Match blocks in a few words for an edge: `cookie featureflag=on`, `/api*`, `x-canary: v2`. Knows the blocks
//! alone; who sends the request is left to the ends of the edge.

use crate::cookie::CookieTest;
use crate::mesh::routes::{RouteKind, Source, VirtualService, is_catch_all};
use crate::resource::networking::{HttpMatch, L4Match, StringMatch};
use crate::span::Spanned;

/// The words for one rule: its match blocks that `applies` lets pass, joined by `or`; empty when one of them takes
/// every request.
pub(super) fn rule<'a>(
    service: &VirtualService<'a>,
    kind: RouteKind,
    rule: usize,
    sources: &[Source<'a>],
    with_port: bool,
    applies: impl Fn(&Source<'a>) -> bool,
) -> String {
    let mut words: Vec<String> = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        if !applies(source) {
            continue;
        }
        let word = match kind {
            RouteKind::Http => service
                .spec
                .http
                .get(rule)
                .and_then(|r| r.r#match.get(index))
                .map(|block| http(block, with_port)),
            RouteKind::Tls => service
                .spec
                .tls
                .get(rule)
                .and_then(|r| r.value.r#match.get(index))
                .map(|block| l4(block, with_port)),
            RouteKind::Tcp => service
                .spec
                .tcp
                .get(rule)
                .and_then(|r| r.value.r#match.get(index))
                .map(|block| l4(block, with_port)),
        };
        let word = word.unwrap_or_default();
        if word.is_empty() {
            return String::new();
        }
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words.join(" or ")
}

fn http(block: &Spanned<HttpMatch>, with_port: bool) -> String {
    let mut parts = Vec::new();
    if !is_catch_all(block) {
        let fields = [
            ("", &block.uri),
            ("method ", &block.method),
            ("scheme ", &block.scheme),
            ("host ", &block.authority),
        ];
        for (name, field) in fields {
            if let Some(text) = field.get() {
                parts.extend(string(text).map(|text| format!("{name}{text}")));
            }
        }
        for (sign, headers) in [("", &block.headers), ("not ", &block.without_headers)] {
            for (name, test) in headers {
                parts.push(format!("{sign}{}", header(name, test)));
            }
        }
        for (name, test) in &block.query_params {
            let value = string(test).unwrap_or_else(|| "*".to_owned());
            parts.push(format!("?{}={value}", name.value));
        }
    }
    parts.extend(block.port.get().filter(|_| with_port).map(|port| format!("port {port}")));
    parts.join(" and ")
}

fn header(name: &Spanned<String>, test: &StringMatch) -> String {
    if name.eq_ignore_ascii_case("cookie")
        && let Some(cookie) = CookieTest::new(test)
    {
        return format!("cookie {}", cookie.pair);
    }
    match string(test) {
        Some(text) => format!("{}: {text}", name.value),
        None => name.value.clone(),
    }
}

/// A prefix gets a `*`, a regex its slashes.
fn string(test: &StringMatch) -> Option<String> {
    let exact = test.exact.get().cloned();
    let prefix = || test.prefix.get().map(|prefix| format!("{prefix}*"));
    let regex = || test.regex.get().map(|regex| format!("~ {regex}"));
    exact.or_else(prefix).or_else(regex)
}

fn l4(block: &Spanned<L4Match>, with_port: bool) -> String {
    let mut parts: Vec<String> = Vec::new();
    let list = |items: &[Spanned<String>]| {
        items.iter().map(|item| item.value.clone()).collect::<Vec<_>>().join(", ")
    };
    if !block.sni_hosts.is_empty() {
        parts.push(format!("SNI {}", list(&block.sni_hosts)));
    }
    if !block.destination_subnets.is_empty() {
        parts.push(format!("to {}", list(&block.destination_subnets)));
    }
    parts.extend(block.port.get().filter(|_| with_port).map(|port| format!("port {port}")));
    parts.join(" and ")
}
