//! Lowers the effective model to the Envoy configuration that Istio would make of it: gateways, one sidecar per
//! workload, subsets, ports and mTLS with generated certificates. Support for tests, which ask a real Envoy what
//! `coalmine::route` answers.
//!
//! From the product it takes the objects and what the mesh says of hosts, pods, DestinationRules and
//! PeerAuthentications. How rules become routes is written here once more, from Istio's source and the objects' YAML,
//! and what a match means is left to Envoy: nothing here may use `coalmine::route` or `coalmine::mesh::matching`.
//!
//! One Envoy plays every proxy. Clients dial listeners on loopback ports ([`Door`]); the servers' sidecars listen on
//! socket files. What is different from a cluster: retries are off, a workload is one pod whatever its replicas, each
//! host that a pod can dial has a listener of its own (loopback has no original destination, so that is how
//! `PassthroughCluster` knows where a request was going), and what [`Lowered::left_out`] lists.

pub mod ask;
pub mod certificates;
mod clusters;
mod envoy;
mod gateway;
mod http;
pub mod manifests;
pub mod pods;
mod sidecar;
mod tcp;

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use coalmine::mesh::Mesh;
use coalmine::mesh::destinations::Client;
use coalmine::mesh::registry::{Host, Port, Protocol};
use coalmine::mesh::workloads::{Proxy as Handler, Workload, WorkloadId};
use coalmine::resource::Resource;
use coalmine::resource::field::Map;
use coalmine::yaml::{Document, from_node};
use serde_json::Value;

use self::certificates::Authority;
pub use self::envoy::{CLUSTER, FLAGS, ROUTE};
use crate::bootstrap::{Bootstrap, Plugin};
use crate::envoy::Envoy;

/// Where a client's request enters the mesh.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Door {
    /// A server's port of a Gateway, as the Gateway numbers it.
    Gateway {
        /// `namespace/name` of the Gateway.
        gateway: String,
        /// The server's port.
        port: u32,
    },
    /// What a pod reaches when it dials a host: through its sidecar, or without one. On an HTTP port the request's
    /// `Host` decides all the same, as in Istio.
    Outbound {
        /// `namespace/name` of the workload that calls.
        client: String,
        /// The fully qualified host.
        host: String,
        /// The host's port.
        port: u32,
    },
    /// A pod's own address, as anyone who knows it can dial it. Only with [`Lowering::exposes_pods`].
    Pod {
        /// `namespace/name` of the workload.
        workload: String,
        /// The container's port.
        port: u32,
    },
}

/// A deployment to lower and what it runs on.
pub struct Lowering<'m, 'a> {
    /// One state of the deployment.
    pub mesh: &'m Mesh<'a>,
    /// The documents its objects are from.
    pub documents: &'m [Document],
    /// Issues the workloads' certificates.
    pub authority: &'m Authority,
    /// The beginning of all names, so that several deployments fit into one Envoy: short, without `/` and `|`.
    pub scope: &'m str,
    /// The folder of the sidecars' sockets; its path must be short (a socket's has at most 107 bytes).
    pub sockets: &'m Path,
    /// Where a workload serves a container port; `None` when nothing listens there.
    pub apps: &'m dyn Fn(&Workload<'a>, u32) -> Option<SocketAddr>,
    /// Whether pods have a [`Door::Pod`].
    pub exposes_pods: bool,
}

/// The configuration.
#[derive(Default)]
pub struct Lowered {
    /// Complete listeners.
    pub listeners: Vec<Value>,
    /// Complete clusters.
    pub clusters: Vec<Value>,
    /// The listener of each door.
    pub doors: HashMap<Door, String>,
    /// What the manifests have and this does not lower, in words. A test that relies on it must look.
    pub left_out: Vec<String>,
}

impl Lowered {
    /// Puts listeners and clusters into a bootstrap.
    pub fn add_to(&self, bootstrap: &mut Bootstrap) {
        bootstrap.listeners.extend(self.listeners.iter().cloned());
        bootstrap.full_clusters.extend(self.clusters.iter().cloned());
    }

    /// Leaves out what nobody who comes through these doors can reach, so that Envoy starts sooner.
    pub fn keep(&mut self, doors: &[Door]) {
        let wanted: HashSet<&String> = doors.iter().filter_map(|door| self.doors.get(door)).collect();
        let is_entry = |listener: &Value| {
            listener["name"].as_str().is_some_and(|name| wanted.contains(&name.to_owned()))
        };
        let mut live = HashSet::new();
        let mut listeners: Vec<Value> = Vec::new();
        let mut clusters: Vec<Value> = Vec::new();
        let (mut next, mut rest): (Vec<Value>, Vec<Value>) =
            std::mem::take(&mut self.listeners).into_iter().partition(is_entry);
        // A door, the clusters behind it, the sockets of the pods' sidecars, the pods.
        while !next.is_empty() {
            next.iter().for_each(|listener| texts(listener, &mut live));
            listeners.append(&mut next);
            let is_named = |cluster: &Value| cluster["name"].as_str().is_some_and(|name| live.contains(name));
            let (some, others): (Vec<Value>, Vec<Value>) =
                std::mem::take(&mut self.clusters).into_iter().partition(is_named);
            self.clusters = others;
            some.iter().for_each(|cluster| texts(cluster, &mut live));
            clusters.extend(some);
            let is_dialled = |listener: &Value| {
                listener["address"]["pipe"]["path"].as_str().is_some_and(|path| live.contains(path))
            };
            (next, rest) = rest.into_iter().partition(is_dialled);
        }
        (self.listeners, self.clusters) = (listeners, clusters);
        self.doors.retain(|door, _| doors.contains(door));
    }

    /// Where a door is in an Envoy that was started with this.
    ///
    /// # Panics
    /// When there is no such door; the message lists those that there are.
    pub fn address(&self, envoy: &Envoy, door: &Door) -> SocketAddr {
        let listener = self.doors.get(door);
        let listener = listener.unwrap_or_else(|| panic!("no {door:?} in {:?}", self.doors.keys()));
        envoy.listener(listener)
    }
}

/// Every text in a value.
fn texts(value: &Value, out: &mut HashSet<String>) {
    match value {
        Value::String(text) => drop(out.insert(text.clone())),
        Value::Array(items) => items.iter().for_each(|item| texts(item, out)),
        Value::Object(fields) => fields.values().for_each(|field| texts(field, out)),
        _ => {}
    }
}

/// `namespace/name` of what makes the pods.
pub fn name_of(workload: &Workload<'_>) -> String {
    format!("{}/{}", workload.namespace(), workload.resource.name.value)
}

/// The SPIFFE name of a workload's certificate.
pub fn identity(workload: &Workload<'_>) -> String {
    let account = workload.template.spec.get().map(|spec| spec.service_account_name.text());
    let account = account.filter(|account| !account.is_empty()).unwrap_or("default");
    format!("spiffe://cluster.local/ns/{}/sa/{account}", workload.namespace())
}

/// The cluster for what nothing of the mesh takes.
const PASSTHROUGH: &str = "PassthroughCluster";

/// The name that Istio gives a cluster: `outbound|<port>|<subset>|<host>` or `PassthroughCluster`.
pub fn istio_name(cluster: &str) -> &str {
    match cluster.find("outbound|") {
        Some(start) => &cluster[start..],
        None if cluster.contains(PASSTHROUGH) => PASSTHROUGH,
        None => cluster,
    }
}

/// One proxy on the client's side.
struct Proxy<'p> {
    /// Unique; part of listener and cluster names.
    name: String,
    namespace: Option<&'p str>,
    labels: &'p Map<String>,
    /// Its certificate's name.
    identity: String,
}

impl<'p> Proxy<'p> {
    fn client(&self) -> Client<'p> {
        // Without a namespace the pods are not in the input, and neither are their labels.
        Client { namespace: self.namespace, labels: self.namespace.map(|_| self.labels) }
    }
}

impl<'m, 'a> Lowering<'m, 'a> {
    /// The configuration of every proxy.
    pub fn lower(&self) -> Lowered {
        let mut out = Lowered::default();
        self.note_left_out(&mut out);
        self.inbound(&mut out);
        self.gateways(&mut out);
        for (_, workload) in self.mesh.workloads.iter().filter(|(id, _)| !self.is_gateway(*id)) {
            match workload.proxy {
                Handler::Sidecar => self.sidecar(workload, &mut out),
                _ => self.without_sidecar(workload, &mut out),
            }
        }
        out
    }

    fn note_left_out(&self, out: &mut Lowered) {
        for resource in self.mesh.resources() {
            let kind = resource.kind.as_str();
            let is_known = matches!(
                kind,
                "Namespace"
                    | "Service"
                    | "VirtualService"
                    | "DestinationRule"
                    | "Gateway"
                    | "PeerAuthentication"
            );
            let is_ours = self.mesh.filters.iter().any(|filter| std::ptr::eq(filter.resource, *resource));
            let is_istios = ["networking", "security", "extensions", "telemetry"]
                .iter()
                .any(|group| resource.group() == format!("{group}.istio.io"));
            if is_istios && !is_known && !is_ours {
                out.left_out.push(resource.describe());
            }
            if kind == "VirtualService" {
                let spec = self.spec(resource);
                let rules = spec["http"].as_array().into_iter().flatten();
                let fields = ["delegate", "mirror", "mirrors", "corsPolicy", "retries", "timeout"];
                for field in rules.flat_map(|rule| fields.iter().filter(|field| !rule[**field].is_null())) {
                    out.left_out.push(format!("{field} of {}", resource.describe()));
                }
                if !spec["tls"].is_null() {
                    out.left_out.push(format!("tls of {}", resource.describe()));
                }
            }
        }
    }

    /// The `spec` as plain JSON.
    fn spec(&self, resource: &Resource) -> Value {
        let node = resource.node(self.documents).and_then(|node| node.get("spec"));
        node.and_then(|node| from_node(node).ok()).unwrap_or_default()
    }

    fn is_gateway(&self, id: WorkloadId) -> bool {
        self.mesh.gateways.iter().any(|gateway| gateway.workloads.contains(&id))
    }

    /// The listener's socket of a workload's port: short, and the same in every state of a deployment.
    fn socket(&self, id: WorkloadId, port: u32) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        self.mesh.workloads.get(id).map(name_of).hash(&mut hasher);
        self.sockets.join(format!("{}{:x}-{port}", self.scope, hasher.finish()))
    }

    /// A socket on which nobody listens.
    fn nowhere(&self) -> PathBuf {
        self.sockets.join("nowhere")
    }

    /// Hosts that a proxy sees, one of each name, without aliases.
    fn hosts<'s>(&'s self, proxy: &'s Proxy<'_>) -> impl Iterator<Item = &'m Host<'a>> + 's {
        let mesh = self.mesh;
        mesh.registry.iter().filter(move |host| {
            let found = mesh.registry.find(&host.name, proxy.namespace);
            !host.is_alias() && found.is_some_and(|found| std::ptr::eq(found, *host))
        })
    }

    fn cluster_name(&self, proxy: &Proxy<'_>, port: u32, subset: &str, host: &str) -> String {
        format!("{}/{}/outbound|{port}|{subset}|{host}", self.scope, proxy.name)
    }

    /// A destination's cluster (`GetDestinationCluster`). `ports` is what the proxy knows of the destination's ports
    /// when it looks for the only one.
    fn destination(
        &self,
        proxy: &Proxy<'_>,
        destination: &Value,
        namespace: &str,
        listener: u32,
        ports: &dyn Fn(&str) -> Vec<u32>,
    ) -> String {
        let domain = &self.mesh.config.domain;
        let host = destination["host"].as_str().unwrap_or_default();
        let host = coalmine::mesh::host::resolve_short_name(host, namespace, domain);
        let port = destination["port"]["number"].as_u64().and_then(|port| u32::try_from(port).ok());
        let port = port.unwrap_or_else(|| match ports(&host).as_slice() {
            [only] => *only,
            _ => listener,
        });
        self.cluster_name(proxy, port, destination["subset"].as_str().unwrap_or_default(), &host)
    }

    /// Coalmine's filter on the pods with these labels, in the order of the input.
    fn plugins(&self, runs: impl Fn(&coalmine::mesh::filters::Filter<'a>) -> bool) -> Vec<Value> {
        let filters = self.mesh.filters.iter().filter(|filter| runs(filter));
        let plugin = |filter: &coalmine::mesh::filters::Filter<'a>| {
            let spec = self.spec(filter.resource);
            let mut plugin = Plugin::new(&spec["pluginConfig"]);
            plugin.name =
                format!("{}{}.{}", self.scope, filter.resource.namespace(), filter.resource.name.value);
            plugin.config = (!spec["pluginConfig"].is_null()).then(|| spec["pluginConfig"].to_string());
            plugin.failure_policy = match filter.spec.fail_strategy.text() {
                "FAIL_OPEN" => "FAIL_OPEN",
                "FAIL_RELOAD" => "FAIL_RELOAD",
                _ => "FAIL_CLOSED",
            };
            for variable in filter.spec.vm_config.get().into_iter().flat_map(|vm| vm.env.iter()) {
                match variable.value_from.text() {
                    "HOST" => plugin.host_env.push(variable.name.text().to_owned()),
                    _ => plugin
                        .env
                        .push((variable.name.text().to_owned(), variable.value.value.text().to_owned())),
                }
            }
            plugin.filter()
        };
        filters.map(plugin).collect()
    }
}

/// Whether a port's requests are routed by http rules once they are known to be HTTP (`IsHTTPOrSniffed`).
fn is_http(port: &Port<'_>) -> bool {
    port.protocol.is_http() || port.protocol == Protocol::Sniffed
}
