//! Which calls the pods of a workload make, as far as the manifests tell: hosts that their configuration names, and
//! hosts whose routes name their labels. Knows templates and routes, not requests.

use rustc_hash::FxHashSet;

use super::{Cause, End, Known, Request, Scheme, Source, Trace, Unanswerable, trace};
use crate::mesh::Mesh;
use crate::mesh::host::resolve_short_name;
use crate::mesh::registry::{Host, Port, Protocol};
use crate::mesh::routes::RouteKind;
use crate::mesh::workloads::{Workload, WorkloadId};
use crate::resource::core::{EnvVar, KeyRef};
use crate::resource::field::Map;
use crate::resource::{Resource, Spec};
use crate::span::Span;

/// A call that a workload makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The request to trace: `GET /` where the port is HTTP, bytes otherwise.
    pub request: Request,
    /// What tells of the call.
    pub cause: Cause,
    /// In words: `env ANALYTICS_HOST`, or the labels that a route names.
    pub why: String,
}

/// A call that was followed.
#[derive(Clone, Debug, PartialEq)]
pub struct Followed {
    /// The workload that makes it.
    pub client: Cause,
    /// The call.
    pub call: Call,
    /// What becomes of it.
    pub trace: Result<Trace, Unanswerable>,
    /// The calls of the pods that it lands on, unless they were followed before.
    pub calls: Vec<Followed>,
}

/// Continues from the pods that a request lands on through the calls that they make, and so on; the calls of each
/// workload once.
#[must_use]
pub fn follow(mesh: &Mesh<'_>, from: &Trace, known: &Known) -> Vec<Followed> {
    follow_from(mesh, from, known, &mut FxHashSet::default())
}

fn follow_from(
    mesh: &Mesh<'_>,
    from: &Trace,
    known: &Known,
    seen: &mut FxHashSet<WorkloadId>,
) -> Vec<Followed> {
    let landed = from.outcomes().flat_map(|outcome| &outcome.endpoints);
    let landed: Vec<_> =
        landed.filter(|endpoint| endpoint.end == End::Answered && seen.insert(endpoint.id)).collect();
    let mut followed = Vec::new();
    for endpoint in landed {
        for call in calls(mesh, endpoint.id) {
            let trace = trace(mesh, &call.request, known);
            let calls = trace.as_ref().map(|trace| follow_from(mesh, trace, known, seen)).unwrap_or_default();
            followed.push(Followed { client: endpoint.workload.clone(), call, trace, calls });
        }
    }
    followed
}

/// The calls of a workload, to every port of every host that its configuration names; a port that is written
/// beside the host is the only one. When its configuration names none, hosts whose routes ask for its labels.
#[must_use]
pub fn calls(mesh: &Mesh<'_>, id: WorkloadId) -> Vec<Call> {
    let Some(client) = mesh.workloads.get(id) else { return Vec::new() };
    let mut calls = by_configuration(mesh, client);
    if calls.is_empty() {
        calls = by_routes(mesh, client);
    }
    let mut seen = FxHashSet::default();
    calls.retain(|call| seen.insert((call.request.host.clone(), call.request.port)));
    calls
}

fn call(client: &Workload<'_>, host: &Host<'_>, port: &Port<'_>, cause: Cause, why: String) -> Option<Call> {
    let scheme = match port.protocol {
        Protocol::Udp => return None,
        protocol if protocol.is_http() => Scheme::Http,
        protocol if protocol.is_tls() => Scheme::Tls,
        // What is sniffed and looks like the web is taken for it.
        Protocol::Sniffed if matches!(port.number, 80 | 8000 | 8080) => Scheme::Http,
        _ => Scheme::Tcp,
    };
    let request = Request {
        from: Source::Workload {
            kind: client.resource.kind.to_lowercase(),
            namespace: client.namespace().to_owned(),
            name: client.resource.name.value.clone(),
        },
        scheme,
        host: host.name.clone(),
        port: port.number,
        method: "GET".to_owned(),
        path: "/".to_owned(),
        headers: Vec::new(),
        principal: None,
    };
    Some(Call { request, cause, why })
}

/// A text of the pods' configuration and where it stands.
struct Text<'a> {
    resource: &'a Resource,
    span: Span,
    text: &'a str,
    name: String,
}

fn by_configuration<'a>(mesh: &Mesh<'a>, client: &Workload<'a>) -> Vec<Call> {
    let mut calls = Vec::new();
    for found in texts(mesh, client) {
        for (host, port) in hosts(mesh, client, found.text) {
            let own = client.labels;
            let is_self = host
                .workloads
                .iter()
                .any(|id| mesh.workloads.get(*id).is_some_and(|other| std::ptr::eq(other.labels, own)));
            if is_self {
                continue;
            }
            for known in host.ports.iter().filter(|known| port.is_none_or(|port| port == known.number)) {
                let wanted = port.is_some() || wants(&found.name, host, known);
                let cause = Cause::new(found.resource, found.span);
                calls.extend(call(client, host, known, cause, found.name.clone()).filter(|_| wanted));
            }
        }
    }
    calls
}

/// Whether a setting without a port means this port: one whose name has the protocol's name in it, as MYSQL_HOST
/// has `mysql`, means that one alone.
fn wants(setting: &str, host: &Host<'_>, port: &Port<'_>) -> bool {
    let setting = setting.to_ascii_lowercase();
    let named = |port: &Port<'_>| {
        let name = port.name.map_or("", |name| name.as_str());
        let first = name.split('-').next().unwrap_or("");
        first.len() > 2 && setting.contains(&first.to_ascii_lowercase())
    };
    named(port) || !host.ports.iter().any(named)
}

fn texts<'a>(mesh: &Mesh<'a>, client: &Workload<'a>) -> Vec<Text<'a>> {
    let mut texts = Vec::new();
    for container in client.containers().filter(|container| container.name.text() != "istio-proxy") {
        for variable in &container.env {
            let name = format!("env {}", variable.name.text());
            if let Some(value) = variable.value.value.as_ref() {
                texts.push(Text { resource: client.resource, span: value.span, text: value, name });
            } else if let Some((resource, span, text)) = referenced(mesh, client, &variable.value) {
                texts.push(Text { resource, span, text, name });
            }
        }
        for source in &container.env_from {
            let map = source.config_map_ref.get().map(|name| ("ConfigMap", name));
            for (kind, reference) in
                map.into_iter().chain(source.secret_ref.get().map(|name| ("Secret", name)))
            {
                let Some((resource, data)) = data_of(mesh, client, kind, reference) else { continue };
                for (key, value) in data {
                    let name = format!("env {}", key.value);
                    texts.push(Text { resource, span: value.span, text: value, name });
                }
            }
        }
        for argument in container.command.iter().chain(container.args.iter()) {
            let name = "argument".to_owned();
            texts.push(Text { resource: client.resource, span: argument.span, text: argument, name });
        }
    }
    texts
}

fn referenced<'a>(
    mesh: &Mesh<'a>,
    client: &Workload<'a>,
    variable: &'a EnvVar,
) -> Option<(&'a Resource, Span, &'a str)> {
    let source = variable.value_from.get()?;
    let map = source.config_map_key_ref.get().map(|reference| ("ConfigMap", reference));
    let (kind, reference) = map.or_else(|| Some(("Secret", source.secret_key_ref.get()?)))?;
    let (resource, data) = data_of(mesh, client, kind, reference)?;
    let value = data.find(reference.key.text())?;
    Some((resource, value.span, value.as_str()))
}

fn data_of<'a>(
    mesh: &Mesh<'a>,
    client: &Workload<'a>,
    kind: &str,
    reference: &KeyRef,
) -> Option<(&'a Resource, &'a Map<String>)> {
    let is = |resource: &&&'a Resource| {
        resource.kind.as_str() == kind
            && resource.namespace() == client.namespace()
            && resource.name.as_str() == reference.name.text()
    };
    let resource: &'a Resource = mesh.resources().iter().rfind(is)?;
    match &resource.spec {
        Spec::ConfigMap(data) | Spec::Secret(data) => Some((resource, data)),
        _ => None,
    }
}

/// The hosts of the registry that a text names: `voting-storage`, `http://reviews.shop:9080/x`,
/// `user:pw@tcp(db:3306)/x`.
fn hosts<'m, 'a>(mesh: &'m Mesh<'a>, client: &Workload<'a>, text: &str) -> Vec<(&'m Host<'a>, Option<u32>)> {
    let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
    let mut found = Vec::new();
    for word in text.split(|c: char| !in_name(c)) {
        let (name, rest) = word.split_once(':').map_or((word, ""), |(name, rest)| (name, rest));
        if name.len() < 2 || !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            continue;
        }
        let port = rest.split(':').next().and_then(|port| port.parse().ok());
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let domain = &mesh.config.domain;
        let candidates = [
            resolve_short_name(&name, client.namespace(), domain),
            format!("{name}.svc.{domain}"),
            format!("{name}.{domain}"),
        ];
        let host = candidates.iter().find_map(|name| {
            let visible = mesh.registry.find(name, Some(client.namespace()))?;
            (visible.name == *name).then_some(visible)
        });
        if let Some(host) = host {
            found.push((host, port));
        }
    }
    found
}

/// Hosts with a rule whose `sourceLabels` select the client.
fn by_routes(mesh: &Mesh<'_>, client: &Workload<'_>) -> Vec<Call> {
    let mut calls = Vec::new();
    for service in mesh.routes.iter().filter(|service| service.is_mesh()) {
        let named = service.rules().find_map(|(kind, rule)| {
            let sources = service.sources(kind, rule);
            let source =
                sources.into_iter().find(|s| !s.labels.is_empty() && s.labels.selects(client.labels))?;
            Some((kind, source))
        });
        let Some((kind, source)) = named else { continue };
        for name in &service.hosts {
            let Some(host) = mesh.registry.find(name, Some(client.namespace())) else { continue };
            let fits = |port: &&Port<'_>| {
                source.port.is_none_or(|own| own == port.number)
                    && match kind {
                        RouteKind::Http => port.protocol.is_http() || port.protocol == Protocol::Sniffed,
                        RouteKind::Tls => port.protocol.is_tls(),
                        RouteKind::Tcp => !port.protocol.is_http() && !port.protocol.is_tls(),
                    }
            };
            for port in host.ports.iter().filter(fits) {
                let cause = Cause::new(service.resource, source.labels.span().unwrap_or(source.span));
                let why = format!("a route names its labels {}", source.labels.describe());
                calls.extend(call(client, host, port, cause, why));
            }
        }
    }
    calls
}
