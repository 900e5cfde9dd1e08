//! What of a state a command touches: hosts, namespaces, callers and hosts of Gateways. Whatever else there is answers
//! as before and is not followed. Knows objects, not calls.

use rustc_hash::FxHashSet;

use super::live::Key;
use super::plan::Change;
use crate::mesh::Mesh;
use crate::mesh::gateways::Gateway;
use crate::mesh::host::{is_wildcard, matches};
use crate::mesh::registry::Host;
use crate::mesh::routes::{Binding, RouteKind, VirtualService};
use crate::mesh::workloads::Workload;
use crate::resource::{Resource, Spec};

/// What of a state is looked at: the hosts, namespaces and callers that a command touches.
#[derive(Clone, Debug, Default)]
pub struct Scope<'a> {
    hosts: FxHashSet<String>,
    wildcards: Vec<String>,
    namespaces: FxHashSet<&'a str>,
    callers: FxHashSet<Key<'a>>,
}

impl<'a> Scope<'a> {
    /// What some changes touch in the given states.
    #[must_use]
    pub fn of<'c>(changes: impl IntoIterator<Item = &'c Change<'a>>, states: [&Mesh<'a>; 2]) -> Self
    where
        'a: 'c,
    {
        let mut scope = Self::default();
        for resource in changes.into_iter().flat_map(|change| [change.old, change.new]).flatten() {
            match &resource.spec {
                Spec::Namespace => {
                    scope.namespaces.insert(resource.name.as_str());
                }
                Spec::PeerAuthentication(_) => {
                    let is_root = resource.namespace() == states[0].config.root_namespace;
                    if is_root {
                        scope.wildcards.push("*".to_owned());
                    }
                    scope.namespaces.insert(resource.namespace());
                }
                Spec::Workload(_) => {
                    scope.callers.insert(resource.key());
                    for mesh in states {
                        let behind = |host: &&Host<'a>| {
                            let mut pods = host.workloads.iter().filter_map(|id| mesh.workloads.get(*id));
                            pods.any(|pod| std::ptr::eq(pod.resource, resource))
                        };
                        let hosts = mesh.registry.in_namespace(resource.namespace()).filter(behind);
                        scope.hosts.extend(hosts.map(|host| host.name.clone()));
                    }
                }
                _ => {}
            }
            for mesh in states {
                scope.add_doors(mesh, resource);
                for service in mesh.routes.iter().filter(|service| std::ptr::eq(service.resource, resource)) {
                    if service.is_mesh() {
                        service.hosts.iter().for_each(|host| scope.add(&host.value));
                    }
                    for (kind, rule) in service.rules() {
                        let targets = mesh.routes.targets_of_rule(service, kind, rule);
                        targets.for_each(|target| scope.add(&target.host));
                    }
                }
                let rules =
                    mesh.destination_rules.iter().filter(|rule| std::ptr::eq(rule.resource, resource));
                rules.for_each(|rule| scope.add(&rule.host));
                let hosts = mesh.registry.iter().filter(|host| std::ptr::eq(host.resource, resource));
                hosts.for_each(|host| scope.add(&host.name));
            }
        }
        scope
    }

    /// The hosts whose routes go by something in the request.
    #[must_use]
    pub fn of_conditions(mesh: &Mesh<'a>) -> Self {
        let mut scope = Self::default();
        for service in mesh.routes.iter() {
            let by_request = |(kind, rule): (RouteKind, usize)| {
                service.sources(kind, rule).iter().any(|source| !source.unconditional)
            };
            if service.rules().any(by_request) {
                if service.is_mesh() {
                    service.hosts.iter().for_each(|host| scope.add(&host.value));
                }
                scope.hosts.extend(doors(service).map(|(namespace, name, host)| door(namespace, name, host)));
            }
        }
        scope
    }

    /// What of it another scope may meet; `None` when it reaches all hosts of a namespace or a domain.
    #[must_use]
    pub fn hosts(&self) -> Option<impl Iterator<Item = &str>> {
        let is_wide = !self.wildcards.is_empty() || !self.namespaces.is_empty();
        (!is_wide).then(|| self.hosts.iter().map(String::as_str))
    }

    fn add(&mut self, host: &str) {
        match host.starts_with('*') {
            true => self.wildcards.push(host.to_owned()),
            false => {
                self.hosts.insert(host.to_owned());
            }
        }
    }

    /// The hosts of Gateways whose answers an object can change: a VirtualService's own and those that its wildcards
    /// cover or that cover it, and all of a Gateway or of its pods.
    fn add_doors(&mut self, mesh: &Mesh<'a>, resource: &'a Resource) {
        if matches!(resource.spec, Spec::Gateway(_) | Spec::Workload(_)) {
            let carries = |gateway: &Gateway<'a>| {
                let mut pods = gateway.workloads.iter().filter_map(|id| mesh.workloads.get(*id));
                std::ptr::eq(gateway.resource, resource)
                    || pods.any(|pod| std::ptr::eq(pod.resource, resource))
            };
            let own: FxHashSet<(&str, &str)> = mesh
                .gateways
                .iter()
                .filter(|gateway| carries(gateway))
                .map(|gateway| (gateway.resource.namespace(), gateway.resource.name.as_str()))
                .collect();
            if own.is_empty() {
                return;
            }
            let all = mesh.routes.iter().flat_map(doors);
            let all = all.filter(|(namespace, name, _)| own.contains(&(*namespace, *name)));
            self.hosts.extend(all.map(|(namespace, name, host)| door(namespace, name, host)));
        }
        for service in mesh.routes.iter().filter(|service| std::ptr::eq(service.resource, resource)) {
            for (namespace, name, host) in doors(service) {
                self.hosts.insert(door(namespace, name, host));
                let others =
                    || mesh.routes.iter().flat_map(doors).filter(|o| (o.0, o.1) == (namespace, name));
                let meets = |other: &str| {
                    (is_wildcard(host) && matches(host, other))
                        || (is_wildcard(other) && matches(other, host))
                };
                let met = others().filter(|(_, _, other)| meets(other));
                self.hosts.extend(met.map(|(namespace, name, host)| door(namespace, name, host)));
            }
        }
    }

    /// Whether a destination is looked at.
    fn holds_target(&self, mesh: &Mesh<'a>, host: &str, client: Option<&str>) -> bool {
        self.hosts.contains(host)
            || self.wildcards.iter().any(|wildcard| matches(wildcard, host))
            || (!self.namespaces.is_empty()
                && mesh
                    .registry
                    .find(host, client)
                    .is_some_and(|host| self.namespaces.contains(host.namespace())))
    }

    pub(super) fn holds(&self, host: &Host<'a>, caller: &Workload<'a>) -> bool {
        self.hosts.contains(&host.name)
            || self.namespaces.contains(host.namespace())
            || self.callers.contains(&caller.resource.key())
            || self.wildcards.iter().any(|wildcard| matches(wildcard, &host.name))
    }
}

/// What stands for a host of a Gateway among hosts, which have no space in them.
pub(super) fn door(namespace: &str, name: &str, host: &str) -> String {
    format!("gateway {namespace}/{name} {host}")
}

/// The hosts of a VirtualService at each of its Gateways: namespace and name of the Gateway, and the host.
fn doors<'m>(service: &'m VirtualService<'_>) -> impl Iterator<Item = (&'m str, &'m str, &'m str)> {
    service.bindings.iter().flat_map(|binding| {
        let gateway = match binding {
            Binding::Gateway { namespace, name, .. } => Some((namespace.as_str(), name.as_str())),
            Binding::Mesh => None,
        };
        gateway.into_iter().flat_map(|(namespace, name)| {
            service.hosts.iter().map(move |host| (namespace, name, host.value.as_str()))
        })
    })
}

/// The hosts of Gateways that are looked at: those in the scope, and those with a destination in it.
pub(super) fn looked_at<'a>(mesh: &Mesh<'a>, scope: &Scope<'a>) -> FxHashSet<String> {
    let mut chosen = FxHashSet::default();
    for service in mesh.routes.iter() {
        let is_touched = mesh
            .routes
            .targets_of_service(service)
            .any(|target| scope.holds_target(mesh, &target.host, None));
        for (namespace, name, host) in doors(service) {
            let key = door(namespace, name, host);
            if is_touched || scope.hosts.contains(&key) {
                chosen.insert(key);
            }
        }
    }
    chosen
}
