//! What a chosen rule does with a request: redirect, answer, rewrite, fail on purpose, or send it to weighted
//! destinations. Knows the rule and the client, not how the rule was chosen.

use super::destination::{Caller, Role, To, ended, outcome};
use super::filters::Way;
use super::message::Message;
use super::request::split_port;
use super::rules::{Builder, Built};
use super::{Cause, End, Failure, Flag, Hop, Outcome, Path, Share};
use crate::mesh::Mesh;
use crate::mesh::host::resolve_short_name;
use crate::mesh::routes::{RouteKind, VirtualService};
use crate::re2::Regex;
use crate::resource::field::{List, Opt};
use crate::resource::networking::{
    Destination, Headers, HttpMatch, HttpRoute, Percent, Redirect, Rewrite, RouteDestination,
};
use crate::span::Spanned;

/// The share of a percentage, in the millionths that Istio hands to Envoy; `None` when it is absent.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn percentage(percent: &Opt<Percent>) -> Option<Share> {
    let value = percent.get()?.value.get().copied().unwrap_or(0.0);
    Some(Share::new((value.clamp(0.0, 100.0) * 10_000.0) as u128, 1_000_000))
}

/// Where the rule's destinations are looked up.
#[derive(Clone, Copy)]
struct Lookup<'x, 'm, 'a> {
    mesh: &'m Mesh<'a>,
    caller: Caller<'x>,
    builder: Builder<'x>,
}

/// Carries out an http rule.
pub(super) fn http(
    mesh: &Mesh<'_>,
    caller: Caller<'_>,
    builder: Builder<'_>,
    route: &Built<'_, '_>,
    mut way: Way,
) -> Path {
    let lookup = Lookup { mesh, caller, builder };
    let (service, rule) = route.last();
    let cause = || Some(Cause::new(service.resource, rule.span));
    let mut outcomes = Vec::new();
    let mut share = way.share;
    if let Some(fault) = route.field(|rule| rule.fault.get()) {
        if let Some(delay) = fault.delay.as_ref() {
            let some = percentage(&delay.percentage).unwrap_or(Share::new(0, 1));
            let text = format!("delay of {} for {some} of the requests", delay.fixed_delay.text());
            detail(&mut way.hops, "fault", text, delay.span);
        }
        if let Some(abort) = fault.abort.as_ref() {
            let some = percentage(&abort.percentage).unwrap_or(Share::new(0, 1));
            let status = abort.http_status.get().copied();
            let what = match status {
                Some(status) => format!("status {status}"),
                None => format!("gRPC status {}", abort.grpc_status.text()),
            };
            detail(
                &mut way.hops,
                "fault",
                format!("abort with {what} for {some} of the requests"),
                abort.span,
            );
            if !some.is_none() {
                let failure = Failure {
                    flag: Flag::Fi,
                    // gRPC errors come with status 200.
                    status: Some(status.unwrap_or(200)),
                    reason: format!("the rule aborts {some} of the requests with {what}"),
                    cause: Some(Cause::new(service.resource, abort.span)),
                };
                let end = End::Failed(failure);
                outcomes.push(ended(share.of(some), way.message.forwarded(), cause(), end));
                share = share.of(some.rest());
            }
        }
    }
    let mut mirrors = Vec::new();
    if share.is_none() {
        // The fault left nobody for the rule's action.
    } else if let Some(redirect) = route.field(|rule| rule.redirect.as_ref()) {
        let end = redirected(&redirect.value, route.uri_block(), &way.message, builder.port);
        detail(&mut way.hops, "redirect", describe_end(&end), redirect.span);
        outcomes.push(ended(share, way.message.forwarded(), cause(), end));
    } else if let Some(direct) = route.field(|rule| rule.direct_response.as_ref()) {
        let body = direct.body.get().and_then(|body| body.string.get().cloned());
        let end = End::Direct { status: direct.status.get().copied().unwrap_or(200), body };
        detail(&mut way.hops, "directResponse", describe_end(&end), direct.span);
        outcomes.push(ended(share, way.message.forwarded(), cause(), end));
    } else {
        let written = route.field(|rule| rule.headers.get());
        let mut unchanged = way.message.clone();
        if let Some(headers) = written {
            tell(headers, &mut way.hops);
            apply(&[headers], &mut way.message);
        }
        let mut authority = written.and_then(authority);
        if let Some(authority) = &authority {
            way.message.authority.clone_from(authority);
        }
        if let Some(rewrite) = route.field(|rule| rule.rewrite.as_ref()) {
            rewritten(rewrite, route.uri_block(), &mut way);
            authority = rewrite.authority.get().filter(|text| !text.is_empty()).cloned().or(authority);
        }
        unchanged.path.clone_from(&way.message.path);
        let list = &rule.value.route;
        let before = Before { message: &unchanged, headers: written, authority };
        outcomes.extend(destinations(lookup, service, RouteKind::Http, list, share, &before, cause()));
        mirrors = copies(lookup, service, &rule.value, share, &way);
    }
    Path { share: way.share, hops: way.hops, outcomes, mirrors }
}

/// A request before the headers of a rule and of its destinations are applied.
struct Before<'r> {
    message: &'r Message,
    headers: Option<&'r Headers>,
    /// What the rule makes of the authority; a destination's own counts only without it.
    authority: Option<String>,
}

impl Before<'_> {
    /// As a destination gets it. The only destination's operations are added to the rule's
    /// (`processDestination`); Envoy carries out those of one of several before the rule's.
    fn for_destination(&self, entry: &RouteDestination, siblings: usize) -> Message {
        let mut message = self.message.clone();
        let own = entry.headers.get();
        if siblings > 1 {
            own.into_iter().chain(self.headers).for_each(|headers| apply(&[headers], &mut message));
        } else {
            let both: Vec<&Headers> = self.headers.into_iter().chain(own).collect();
            apply(&both, &mut message);
        }
        if let Some(authority) = self.authority.clone().or_else(|| own.and_then(authority)) {
            message.authority = authority;
        }
        message
    }
}

/// The outcomes of a list of weighted destinations.
fn destinations(
    lookup: Lookup<'_, '_, '_>,
    service: &VirtualService<'_>,
    kind: RouteKind,
    list: &List<RouteDestination>,
    share: Share,
    before: &Before<'_>,
    cause: Option<Cause>,
) -> Vec<Outcome> {
    let message = before.message;
    let weight = |entry: &RouteDestination| {
        // One destination gets everything; of several those without a weight get nothing.
        if list.len() < 2 { 1 } else { u128::try_from(entry.weight.get().copied().unwrap_or(0)).unwrap_or(0) }
    };
    let total: u128 = list.iter().map(|entry| weight(entry)).sum();
    if total == 0 {
        let reason = match list.is_empty() {
            true => "the rule has no destination: the webhook refuses it".to_owned(),
            false => "the weights of the rule add up to 0: the webhook refuses it".to_owned(),
        };
        let status = (kind == RouteKind::Http).then_some(503);
        let failure = Failure { flag: Flag::Nc, status, reason, cause: cause.clone() };
        return vec![ended(share, message.forwarded(), cause, End::Failed(failure))];
    }
    let mut outcomes = Vec::new();
    for entry in list {
        let own = Share::new(weight(entry), total);
        if own.is_none() {
            continue;
        }
        let message = before.for_destination(entry, list.len());
        let share = share.of(own);
        outcomes.push(match entry.destination.as_ref() {
            Some(destination) => one(lookup, service, kind, destination, share, &message),
            None => {
                let reason = "the destination has no host: the webhook refuses it".to_owned();
                let status = (kind == RouteKind::Http).then_some(503);
                let cause = Some(Cause::new(service.resource, entry.span));
                let failure = Failure { flag: Flag::Nc, status, reason, cause: cause.clone() };
                ended(share, message.forwarded(), cause, End::Failed(failure))
            }
        });
    }
    outcomes
}

/// One destination.
fn one(
    lookup: Lookup<'_, '_, '_>,
    service: &VirtualService<'_>,
    kind: RouteKind,
    destination: &Spanned<Destination>,
    share: Share,
    message: &Message,
) -> Outcome {
    let Lookup { mesh, caller, builder } = lookup;
    let written = destination.host.text().to_ascii_lowercase();
    let host = resolve_short_name(&written, service.namespace(), &mesh.config.domain);
    let port = destination.port_number().map(|port| port.value);
    let implied = || {
        // `GetDestinationCluster`: the lookup of a sidecar's http routes knows only hosts that have the
        // listener's port.
        let found = mesh.registry.find(&host, caller.view.namespace);
        match found.map(|host| host.ports.as_slice()) {
            Some([only]) if kind != RouteKind::Http || caller.role == Role::Gateway => only.number,
            _ => builder.port,
        }
    };
    let subset = destination.subset.as_ref().filter(|name| !name.is_empty());
    let span = subset.map(|name| name.span).or(destination.host.span()).unwrap_or(destination.span);
    let to = To {
        host: &host,
        subset,
        port: port.unwrap_or_else(implied),
        port_is_written: port.is_some(),
        cause: Some(Cause::new(service.resource, span)),
        http: kind == RouteKind::Http,
        proxied: true,
        only: None,
    };
    outcome(mesh, caller, &to, share, message.forwarded())
}

/// Carries out a tcp or tls rule.
pub(super) fn l4(
    mesh: &Mesh<'_>,
    caller: Caller<'_>,
    builder: Builder<'_>,
    service: &VirtualService<'_>,
    (kind, index): (RouteKind, usize),
    way: Way,
) -> Path {
    let lookup = Lookup { mesh, caller, builder };
    let list = match kind {
        RouteKind::Tls => service.spec.tls.get(index).map(|rule| &rule.value.route),
        _ => service.spec.tcp.get(index).map(|rule| &rule.value.route),
    };
    let cause = service.rule_span(kind, index).map(|span| Cause::new(service.resource, span));
    let before = Before { message: &way.message, headers: None, authority: None };
    let outcomes = list
        .map(|list| destinations(lookup, service, kind, list, way.share, &before, cause))
        .unwrap_or_default();
    Path { share: way.share, hops: way.hops, outcomes, mirrors: Vec::new() }
}

/// Copies: `mirror` with the rule's percentage, `mirrors` with their own. Absent is all of them, 0 is none.
fn copies(
    lookup: Lookup<'_, '_, '_>,
    service: &VirtualService<'_>,
    rule: &HttpRoute,
    share: Share,
    way: &Way,
) -> Vec<Outcome> {
    let old = rule.mirror_percent.get().map(|percent| Share::new(u128::from((*percent).min(100)), 100));
    let own = percentage(&rule.mirror_percentage).or(old).unwrap_or(Share::ALL);
    let first = rule.mirror.as_ref().map(|destination| (destination, own));
    let others = rule.mirrors.iter().filter_map(|mirror| {
        Some((mirror.destination.as_ref()?, percentage(&mirror.percentage).unwrap_or(Share::ALL)))
    });
    let mut message = way.message.clone();
    // Envoy marks the host of a copy.
    message.authority = match split_port(&message.authority) {
        (host, Some(port)) => format!("{host}-shadow:{port}"),
        (host, None) => format!("{host}-shadow"),
    };
    first
        .into_iter()
        .chain(others)
        .filter(|(_, some)| !some.is_none())
        .map(|(destination, some)| {
            one(lookup, service, RouteKind::Http, destination, share.of(some), &message)
        })
        .collect()
}

fn detail(hops: &mut [Hop], label: &'static str, text: String, span: crate::span::Span) {
    if let Some(hop) = hops.last_mut() {
        hop.detail(label, text, Some(span));
    }
}

/// Says what a rule does to request headers.
fn tell(headers: &Headers, hops: &mut [Hop]) {
    let Some(operations) = headers.request.get() else { return };
    for name in &operations.remove {
        detail(hops, "remove", name.value.clone(), name.span);
    }
    for (label, list) in [("set", &operations.set), ("add", &operations.add)] {
        for (name, value) in list {
            detail(hops, label, format!("{}: {}", name.value, value.value), value.span);
        }
    }
}

/// Carries out operations as one list: Envoy removes, then overwrites, then adds, wherever they stand in it
/// (`HeaderParser::evaluateHeaders`). The authority is no header among others.
fn apply(list: &[&Headers], message: &mut Message) {
    let operations: Vec<_> = list.iter().filter_map(|headers| headers.request.get()).collect();
    for name in operations.iter().flat_map(|own| &own.remove) {
        message.remove(&name.to_ascii_lowercase());
    }
    for (name, value) in operations.iter().flat_map(|own| &own.set).filter(|(name, _)| !is_authority(name)) {
        message.set(&name.to_ascii_lowercase(), value);
    }
    for (name, value) in operations.iter().flat_map(|own| &own.add).filter(|(name, _)| !is_authority(name)) {
        message.add(&name.to_ascii_lowercase(), value);
    }
}

fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case(":authority")
}

/// The authority that header operations ask for; `set` before `add` (`TranslateHeadersOperations`).
fn authority(headers: &Headers) -> Option<String> {
    let operations = headers.request.get()?;
    [&operations.set, &operations.add].into_iter().find_map(|list| {
        let mut named = list.iter().rev().filter(|(name, value)| is_authority(name) && !value.is_empty());
        named.next().map(|(_, value)| value.value.clone())
    })
}

/// `rewrite`: the path by regex, or what the `uri` test matched by other text; and the authority.
fn rewritten(rewrite: &Spanned<Rewrite>, block: Option<&HttpMatch>, way: &mut Way) {
    let message = &mut way.message;
    let before = message.path.clone();
    let (path, query) = match message.path.find(['?', '#']).and_then(|at| message.path.split_at_checked(at)) {
        Some((path, query)) => (path.to_owned(), query.to_owned()),
        None => (message.path.clone(), String::new()),
    };
    let new = if let Some(regex) = rewrite.uri_regex_rewrite.get() {
        let compiled = Regex::parse(regex.r#match.text()).ok();
        compiled.map(|compiled| compiled.replace_all(&path, regex.rewrite.text()))
    } else {
        let uri = rewrite.uri.get().filter(|uri| !uri.is_empty());
        uri.map(|uri| format!("{uri}{}", unmatched(block, &path)))
    };
    if let Some(new) = new {
        message.path = format!("{new}{query}");
    }
    let mut said = Vec::new();
    if message.path != before {
        said.push(format!("path {before} becomes {}", message.path));
    }
    if let Some(authority) = rewrite.authority.get().filter(|authority| !authority.is_empty()) {
        said.push(format!("authority {} becomes {authority}", message.authority));
        message.authority.clone_from(authority);
    }
    for text in said {
        detail(&mut way.hops, "rewrite", text, rewrite.span);
    }
}

/// What of a path the `uri` test did not match. Without a test the route matches the prefix `/`.
fn unmatched<'p>(block: Option<&HttpMatch>, path: &'p str) -> &'p str {
    let test = block.and_then(|block| block.uri.get());
    let whole = test.is_some_and(|test| test.exact.is_some() || test.regex.is_some());
    let matched = match test.and_then(|test| test.prefix.get()) {
        _ if whole => path.len(),
        Some(prefix) => prefix.len(),
        None => 1,
    };
    path.get(matched..).unwrap_or("")
}

/// The answer of a `redirect` (`ApplyRedirect`, Envoy's `Http::Utility::newUri`).
fn redirected(redirect: &Redirect, block: Option<&HttpMatch>, message: &Message, listener: u32) -> End {
    let scheme = Some(redirect.scheme.text()).filter(|scheme| !scheme.is_empty()).unwrap_or(message.scheme);
    let default = |scheme: &str| if scheme == "https" { "443" } else { "80" };
    let chosen = match (redirect.port.get(), redirect.derive_port.text()) {
        (Some(port), _) => Some(port.to_string()),
        (None, "FROM_REQUEST_PORT") => Some(listener.to_string()),
        _ => None,
    };
    // Istio leaves out the port that the scheme implies.
    let chosen = chosen.filter(|port| port != default(scheme));
    let (name, port) = split_port(&message.authority);
    let implied = scheme != message.scheme && port == Some(default(message.scheme));
    let host = match redirect.authority.get().filter(|host| !host.is_empty()) {
        Some(host) => host.as_str(),
        // Of the old authority the port goes if there is a new one, or if the old scheme implied it.
        None if chosen.is_some() || implied => name,
        None => message.authority.as_str(),
    };
    let port = chosen.map_or(String::new(), |port| format!(":{port}"));
    let at = message.path.find('?').unwrap_or(message.path.len());
    let (bare, query) = message.path.split_at_checked(at).unwrap_or((&message.path, ""));
    let written = |field: &'_ Opt<String>| field.get().filter(|text| !text.is_empty()).cloned();
    let path = match (written(&redirect.prefix_rewrite), written(&redirect.uri)) {
        (Some(prefix), _) => format!("{prefix}{}{query}", unmatched(block, bare)),
        (None, Some(uri)) if uri.contains('?') => uri,
        (None, Some(uri)) => format!("{uri}{query}"),
        (None, None) => message.path.clone(),
    };
    let status = redirect.redirect_code.get().copied().filter(|code| *code != 0).unwrap_or(301);
    End::Redirect { status, location: format!("{scheme}://{host}{port}{path}") }
}

/// In words.
pub(super) fn describe_end(end: &End) -> String {
    match end {
        End::Answered => "answered".to_owned(),
        End::Leaves(text) => text.clone(),
        End::Redirect { status, location } => format!("{status} to {location}"),
        End::Direct { status, body: Some(body) } => format!("{status} {body}"),
        End::Direct { status, body: None } => status.to_string(),
        End::Partly(failure) | End::Failed(failure) => failure.reason.clone(),
    }
}
