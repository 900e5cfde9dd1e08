//! Which hosts a workload calls, as far as the manifests tell: an environment variable whose text is the name of a
//! host, and routes that name the workload by its labels. Knows nothing of where the calls end.

use rustc_hash::FxHashMap;

use crate::mesh::Mesh;
use crate::mesh::host::resolve_short_name;
use crate::mesh::registry::Host;
use crate::mesh::workloads::{Workload, WorkloadId};
use crate::resource::core::KeyRef;
use crate::resource::field::{Map, Opt};
use crate::resource::{Resource, Spec};
use crate::span::Span;

/// One host that a workload calls.
#[derive(Debug)]
pub(super) struct Call<'m, 'a> {
    pub client: &'m Workload<'a>,
    pub host: &'m Host<'a>,
    /// The port, where the text names one.
    pub port: Option<u32>,
    /// The variable, or the route's match.
    pub span: Span,
}

/// Every call, workload by workload.
pub(super) fn calls<'m, 'a>(mesh: &'m Mesh<'a>) -> Vec<Call<'m, 'a>> {
    let texts = Texts::new(mesh);
    let mut calls: Vec<Call<'m, 'a>> = Vec::new();
    let by_route = by_route(mesh);
    for (id, client) in mesh.workloads.iter() {
        let first = calls.len();
        let mut add = |host: &'m Host<'a>, port: Option<u32>, span: Span| {
            let own = host.workloads.contains(&id);
            let known = |call: &Call<'_, '_>| {
                call.host.name == host.name && (call.port.is_none() || call.port == port)
            };
            if !own && !calls.iter().skip(first).any(known) {
                calls.push(Call { client, host, port, span });
            }
        };
        for (text, span) in texts.of(client) {
            if let Some((host, port)) = named(mesh, client, text) {
                add(host, port, span);
            }
        }
        for (host, span) in by_route.get(&id).into_iter().flatten() {
            add(host, None, *span);
        }
    }
    calls
}

/// Hosts whose routes name pods of a workload as the source.
fn by_route<'m, 'a>(mesh: &'m Mesh<'a>) -> FxHashMap<WorkloadId, Vec<(&'m Host<'a>, Span)>> {
    let mut found: FxHashMap<WorkloadId, Vec<(&'m Host<'a>, Span)>> = FxHashMap::default();
    for service in mesh.routes.iter().filter(|service| service.is_mesh()) {
        for (kind, rule) in service.rules() {
            for source in service.sources(kind, rule) {
                if source.labels.is_empty() {
                    continue;
                }
                for id in mesh.workloads.select(source.labels, source.namespace) {
                    let Some(client) = mesh.workloads.get(id) else { continue };
                    // Without `sourceNamespace` a copy of the deployment elsewhere would match too.
                    let at_home = client.namespace() == service.namespace();
                    if !at_home && source.namespace.is_none() {
                        continue;
                    }
                    for name in &service.hosts {
                        if let Some(host) = mesh.registry.find(name, Some(client.namespace())) {
                            found
                                .entry(id)
                                .or_default()
                                .push((host, source.labels.span().unwrap_or(source.span)));
                        }
                    }
                }
            }
        }
    }
    found
}

/// The host that a text names: `reviews`, `reviews.prod`, `reviews:9080`, `http://reviews:9080/path`. A word that is
/// also a host's name, such as a username, counts: the text alone does not tell.
fn named<'m, 'a>(
    mesh: &'m Mesh<'a>,
    client: &Workload<'_>,
    text: &str,
) -> Option<(&'m Host<'a>, Option<u32>)> {
    let rest = text.trim().split_once("://").map_or(text.trim(), |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', ',']).next().unwrap_or(rest);
    let (name, port) = match authority.split_once(':') {
        Some((name, port)) => (name, Some(port.parse::<u32>().ok()?)),
        None => (authority, None),
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    if name.is_empty() || name.contains(|c: char| c.is_whitespace()) {
        return None;
    }
    let full = resolve_short_name(&name, client.namespace(), &mesh.config.domain);
    let host = mesh.registry.named(&full).next().or_else(|| mesh.meant_by_partial(&name))?;
    let port = port.filter(|number| host.port(*number).is_some());
    Some((host, port))
}

type Entries<'a> = FxHashMap<(&'a str, &'a str), &'a Map<String>>;

/// The texts of environment variables, wherever they are kept.
struct Texts<'a> {
    config_maps: Entries<'a>,
    secrets: Entries<'a>,
}

impl<'a> Texts<'a> {
    fn new(mesh: &Mesh<'a>) -> Self {
        let mut texts = Self { config_maps: Entries::default(), secrets: Entries::default() };
        let key = |resource: &'a Resource| (resource.namespace(), resource.name.as_str());
        for resource in mesh.resources().iter().copied() {
            match &resource.spec {
                Spec::ConfigMap(map) => texts.config_maps.insert(key(resource), map),
                Spec::Secret(map) => texts.secrets.insert(key(resource), map),
                _ => None,
            };
        }
        texts
    }

    /// Each text with the place in the pod template that brings it in.
    fn of(&self, workload: &Workload<'a>) -> Vec<(&'a str, Span)> {
        let namespace = workload.namespace();
        let mut found = Vec::new();
        for container in workload.containers() {
            for variable in &container.env {
                let source = variable.value_from.get();
                let in_map = source.and_then(|source| source.config_map_key_ref.get());
                let in_secret = source.and_then(|source| source.secret_key_ref.get());
                let looked_up = in_map
                    .and_then(|key| entry(&self.config_maps, namespace, key))
                    .or_else(|| in_secret.and_then(|key| entry(&self.secrets, namespace, key)));
                let value = variable.value.value.get().map(String::as_str).or(looked_up);
                found
                    .extend(value.map(|value| (value, variable.value.value.span().unwrap_or(variable.span))));
            }
            for source in &container.env_from {
                let all = |maps: &Entries<'a>, reference: &'a Opt<KeyRef>| {
                    reference.get().and_then(|key| maps.get(&(namespace, key.name.text())).copied())
                };
                let maps = [
                    all(&self.config_maps, &source.value.config_map_ref),
                    all(&self.secrets, &source.value.secret_ref),
                ];
                let entries = maps.into_iter().flatten().flatten();
                found.extend(entries.map(|(_, value)| (value.as_str(), source.span)));
            }
        }
        found
    }
}

fn entry<'a>(maps: &Entries<'a>, namespace: &'a str, key: &'a KeyRef) -> Option<&'a str> {
    maps.get(&(namespace, key.name.text()))?.text(key.key.text())
}
