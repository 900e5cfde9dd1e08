//! The effective model: what the objects of one state of a deployment mean together, as Istio would
//! build it. Rules are written against this and never against raw YAML.

pub mod config;
pub mod destinations;
pub mod export;
pub mod filters;
pub mod gateways;
pub mod host;
pub mod listeners;
pub mod matching;
pub mod mtls;
pub mod near;
pub mod reach;
pub mod registry;
pub mod routes;
pub mod security;
#[cfg(test)]
mod tests;
pub mod ways;
pub mod workloads;

use rustc_hash::{FxHashMap, FxHashSet};

use self::config::MeshConfig;
use self::destinations::DestinationRules;
use self::filters::Filters;
use self::gateways::Gateways;
use self::registry::Registry;
use self::routes::Routes;
use self::security::PeerAuthentications;
use self::workloads::Workloads;
use crate::resource::field::Map;
use crate::resource::{Resource, Spec};

/// What to make of a reference to something that is not in the input.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Assume {
    /// It is missing if its namespace is known: the input defines a Service there.
    #[default]
    Auto,
    /// The input is the whole mesh: it is missing.
    Closed,
    /// The input is a fragment: it exists elsewhere.
    Open,
}

/// One state of a deployment, indexed.
#[derive(Debug)]
pub struct Mesh<'a> {
    /// Mesh-wide settings.
    pub config: &'a MeshConfig,
    /// Namespaces by name, with their labels.
    namespaces: FxHashMap<&'a str, &'a Resource>,
    /// Virtual pods.
    pub workloads: Workloads<'a>,
    /// Hosts that can be called.
    pub registry: Registry<'a>,
    /// VirtualServices.
    pub routes: Routes<'a>,
    /// DestinationRules.
    pub destination_rules: DestinationRules<'a>,
    /// Gateways.
    pub gateways: Gateways<'a>,
    /// WasmPlugins that run Coalmine's filter.
    pub filters: Filters<'a>,
    /// PeerAuthentications.
    pub peer_authentications: PeerAuthentications<'a>,
    resources: Vec<&'a Resource>,
    assume: Assume,
    /// Namespaces with a Service. A ServiceEntry tells nothing about the others: routes and the hosts outside that they
    /// lead to are often kept in a folder of their own.
    known: FxHashSet<&'a str>,
}

impl<'a> Mesh<'a> {
    /// Indexes the objects of one state.
    #[must_use]
    pub fn new(resources: Vec<&'a Resource>, config: &'a MeshConfig, assume: Assume) -> Self {
        let namespaces: FxHashMap<&str, &Resource> = resources
            .iter()
            .filter(|resource| matches!(resource.spec, Spec::Namespace))
            .map(|resource| (resource.name.as_str(), *resource))
            .collect();
        let mut known: FxHashSet<&str> = FxHashSet::default();
        for resource in &resources {
            if matches!(resource.spec, Spec::Service(_)) {
                known.insert(resource.namespace());
            }
        }
        let workloads = Workloads::new(&resources, |name| namespaces.get(name).map(|ns| &ns.labels));
        Self {
            config,
            registry: Registry::new(&resources, &workloads, config),
            routes: Routes::new(&resources, config),
            destination_rules: DestinationRules::new(&resources, config),
            gateways: Gateways::new(&resources, &workloads),
            filters: Filters::new(&resources),
            peer_authentications: PeerAuthentications::new(&resources, &config.root_namespace),
            namespaces,
            workloads,
            resources,
            assume,
            known,
        }
    }

    /// Every object of the state.
    #[must_use]
    pub fn resources(&self) -> &[&'a Resource] {
        &self.resources
    }

    /// The labels of a namespace whose object is in the input.
    #[must_use]
    pub fn namespace_labels(&self, name: &str) -> Option<&'a Map<String>> {
        self.namespaces.get(name).map(|namespace| &namespace.labels)
    }

    /// Whether an object that should be in this namespace and is not in the input can be called missing.
    #[must_use]
    pub fn knows_namespace(&self, namespace: &str) -> bool {
        match self.assume {
            Assume::Closed => true,
            Assume::Open => false,
            Assume::Auto => self.known.contains(namespace),
        }
    }

    /// Whether pods that should be in this namespace and are not in the input can be called missing:
    /// it is known and the input has a workload in it.
    #[must_use]
    pub fn knows_workloads(&self, namespace: &str) -> bool {
        match self.assume {
            Assume::Closed => true,
            Assume::Open => false,
            Assume::Auto => {
                self.known.contains(namespace) && !self.workloads.in_namespace(namespace).is_empty()
            }
        }
    }

    /// Whether the input counts as the whole mesh.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.assume == Assume::Closed
    }

    /// Whether a host that is not in the registry can be called missing: its name says a known namespace
    /// of this cluster, or the input is the whole mesh.
    #[must_use]
    pub fn knows_host(&self, name: &str) -> bool {
        match host::split_cluster_name(name, &self.config.domain) {
            Some((_, namespace)) => self.knows_namespace(namespace),
            None => self.is_closed(),
        }
    }

    /// The Service that a name like `reviews.prod` or `reviews.prod.svc` is short for. Istio does not
    /// expand such names, so they lead nowhere unless a ServiceEntry has them.
    #[must_use]
    pub fn meant_by_partial(&self, name: &str) -> Option<&registry::Host<'a>> {
        let (service, namespace) = self.split_partial(name)?;
        let full = format!("{service}.{namespace}.svc.{}", self.config.domain);
        let is_service = |host: &&registry::Host<'a>| matches!(host.origin, registry::Origin::Service(_));
        let host = self.registry.named(&full).find(is_service)?;
        self.registry.find(name, None).is_none().then_some(host)
    }

    /// Service and namespace of a name that is a cluster name cut short after at least two labels.
    #[must_use]
    pub fn split_partial<'n>(&self, name: &'n str) -> Option<(&'n str, &'n str)> {
        let (service, rest) = name.split_once('.')?;
        let (namespace, tail) = rest.split_once('.').map_or((rest, None), |(ns, tail)| (ns, Some(tail)));
        let full = format!("svc.{}.", self.config.domain);
        let is_cut =
            tail.is_none_or(|tail| full.starts_with(&format!("{tail}.")) && tail.len() + 1 < full.len());
        (is_cut && !service.is_empty() && !namespace.is_empty() && !host::is_wildcard(service))
            .then_some((service, namespace))
    }
}
