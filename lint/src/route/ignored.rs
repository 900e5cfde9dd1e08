//! Objects of the input that apply to the proxies on a way and that this model does not follow: each is named, so that
//! nobody takes the answer for theirs. Knows which pods they select, not what they do.

use super::filters::note;
use super::{Outcome, Path, Server};
use crate::mesh::Mesh;
use crate::mesh::workloads::{Proxy, Workload};
use crate::resource::field::Map;
use crate::resource::{Resource, Spec};

/// Who sends the request.
pub(super) enum From<'m, 'a> {
    /// A workload.
    Workload(&'m Workload<'a>),
    /// A gateway's pods, or what its selector says of them.
    Gateway { name: String, pods: Vec<&'m Workload<'a>>, selector: &'a Map<String> },
}

/// Proxies as policies see them: a name for people, the namespace if it is known, and labels.
struct Pods<'p> {
    name: String,
    namespace: Option<&'p str>,
    labels: &'p Map<String>,
}

impl<'p> Pods<'p> {
    fn of(workload: &Workload<'p>) -> Self {
        let resource = workload.resource;
        Self {
            name: format!("{} {}/{}", resource.kind.value, resource.namespace(), resource.name.value),
            namespace: Some(workload.namespace()),
            labels: workload.labels,
        }
    }

    /// Whether an object in a namespace with this selector is for them: their own namespace or the root's.
    fn are_selected(&self, namespace: &str, root: &str, selector: Option<&Map<String>>) -> bool {
        let selector = selector.filter(|selector| !selector.is_empty());
        let selects = selector.is_none_or(|selector| selector.selects(self.labels));
        let near = match self.namespace {
            Some(own) => own == namespace,
            // Pods that are not in the input can be in any namespace.
            None => selector.is_some(),
        };
        selects && (near || namespace == root)
    }
}

/// Names what is not followed.
pub(super) fn notes(mesh: &Mesh<'_>, from: &From<'_, '_>, paths: &[Path], notes: &mut Vec<String>) {
    let (client, gateway): (Option<Pods<'_>>, Vec<Pods<'_>>) = match from {
        From::Workload(client) => {
            (matches!(client.proxy, Proxy::Sidecar | Proxy::Unknown).then(|| Pods::of(client)), Vec::new())
        }
        From::Gateway { name, pods, selector } if pods.is_empty() => {
            let pods =
                Pods { name: format!("the pods of Gateway {name}"), namespace: None, labels: selector };
            (None, vec![pods])
        }
        From::Gateway { pods, .. } => (None, pods.iter().map(|pod| Pods::of(pod)).collect()),
    };
    let mut landed: Vec<Pods<'_>> = Vec::new();
    let outcomes = paths.iter().flat_map(|path| &path.outcomes);
    for endpoint in outcomes.flat_map(Outcome::called).filter(|end| end.server != Server::Application) {
        let Some(workload) = mesh.workloads.get(endpoint.id) else { continue };
        let pods = Pods::of(workload);
        if !landed.iter().any(|other| other.name == pods.name) {
            landed.push(pods);
        }
    }
    let root = mesh.config.root_namespace.as_str();
    let scope = client.as_ref().and_then(|client| scope_of(mesh, client));
    for resource in mesh.resources().iter().copied() {
        let (selector, sides, effect): (_, Vec<&Pods<'_>>, _) = match &resource.spec {
            Spec::Sidecar(sidecar) => {
                let selector = sidecar.workload_selector.get().map(|own| &own.labels);
                let is_scope = scope.is_some_and(|scope| std::ptr::eq(scope, resource));
                let own = client.iter().filter(|_| is_scope && !sidecar.egress.is_empty());
                let servers = landed.iter().filter(|_| !sidecar.ingress.is_empty());
                (selector, own.chain(servers).collect(), "it may hide hosts, or open other ports")
            }
            Spec::AuthorizationPolicy(policy) => {
                if policy.target_ref.is_some() || !policy.target_refs.is_empty() {
                    // Not for ordinary pods.
                    continue;
                }
                let selector = policy.selector.get().map(|own| &own.match_labels);
                (selector, gateway.iter().chain(&landed).collect(), "it may refuse the request")
            }
            Spec::EnvoyFilter(filter) => {
                if !filter.target_refs.is_empty() {
                    continue;
                }
                let selector = filter.workload_selector.get().map(|own| &own.labels);
                let all = client.iter().chain(&gateway).chain(&landed);
                (selector, all.collect(), "it may change what happens")
            }
            _ => continue,
        };
        let mut names: Vec<&str> = Vec::new();
        for pods in sides {
            if pods.are_selected(resource.namespace(), root, selector) && !names.contains(&pods.name.as_str())
            {
                names.push(&pods.name);
            }
        }
        if !names.is_empty() {
            let object = format!("{} {}/{}", resource.kind.value, resource.namespace(), resource.name.value);
            note(notes, format!("{object} applies to {} and is not followed: {effect}", names.join(", ")));
        }
    }
}

/// The one Sidecar of a client: of its namespace with a selector, else without one, else of the root namespace
/// (`push_context.go#getSidecarScope`).
fn scope_of<'a>(mesh: &Mesh<'a>, client: &Pods<'_>) -> Option<&'a Resource> {
    let root = mesh.config.root_namespace.as_str();
    let mut best: Option<(u8, &'a Resource)> = None;
    for resource in mesh.resources().iter().copied() {
        let Spec::Sidecar(sidecar) = &resource.spec else { continue };
        let selector = sidecar.workload_selector.get().map(|own| &own.labels).filter(|own| !own.is_empty());
        let is_own = client.namespace == Some(resource.namespace());
        let rank = match selector {
            Some(selector) if is_own && selector.selects(client.labels) => 0,
            None if is_own => 1,
            None if resource.namespace() == root => 2,
            _ => continue,
        };
        if best.is_none_or(|(other, _)| rank < other) {
            best = Some((rank, resource));
        }
    }
    best.map(|(_, resource)| resource)
}
