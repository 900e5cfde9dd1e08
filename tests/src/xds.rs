//! An Envoy whose whole configuration is discovered, as from istiod but from files: clusters and their endpoints,
//! then listeners and their routes, in the order of Istio's pushes. It can be changed while requests run.
//!
//! Knows Envoy's discovery and nothing of Istio's objects. Only what changed is published, and a push returns when
//! Envoy has taken it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bootstrap::loopback;
use crate::envoy::Envoy;
use crate::wait;

/// How long one part of a push may take on a busy machine.
const PUSH_LIMIT: Duration = Duration::from_secs(20);

/// Envoy's main thread counts an update before its workers have it.
const WORKERS: Duration = Duration::from_millis(30);

/// Everything one proxy is told: complete listeners and clusters, with routes and endpoints in place.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    /// Listeners; a `route_config` inside them becomes a discovered one.
    pub listeners: Vec<Value>,
    /// Clusters; their `load_assignment` becomes a discovered one.
    pub clusters: Vec<Value>,
}

/// The same, taken apart: one text per file.
#[derive(Default)]
struct Published {
    clusters: Vec<Value>,
    endpoints: BTreeMap<String, Value>,
    listeners: Vec<Value>,
    routes: BTreeMap<String, Value>,
}

/// A running proxy.
pub struct Proxy {
    /// The Envoy.
    pub envoy: Envoy,
    files: Files,
    now: Published,
}

struct Files {
    dir: TempDir,
    version: u64,
}

impl Files {
    fn path(&self, kind: &str, name: &str) -> PathBuf {
        // Names have characters that no file should have.
        let name: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        self.dir.path().join(format!("{kind}.{name}.json"))
    }

    fn source(&self, kind: &str, name: &str) -> Value {
        json!({
            "path_config_source": { "path": self.path(kind, name) },
            "initial_fetch_timeout": "10s",
            "resource_api_version": "V3",
        })
    }

    /// Replaces a file by an atomic rename, which is what Envoy watches for.
    fn write(&mut self, kind: &str, name: &str, message: &str, resources: &[Value]) {
        self.version += 1;
        let typed = |resource: &Value| {
            let mut resource = resource.clone();
            resource["@type"] = json!(format!("type.googleapis.com/{message}"));
            resource
        };
        let resources: Vec<Value> = resources.iter().map(typed).collect();
        let response = json!({ "version_info": self.version.to_string(), "resources": resources });
        let (path, new) = (self.path(kind, name), self.dir.path().join("new"));
        fs::write(&new, response.to_string()).expect("the new configuration");
        fs::rename(&new, &path).expect("an atomic rename");
    }

    fn clusters(&mut self, list: &[Value]) {
        self.write("cds", "all", "envoy.config.cluster.v3.Cluster", list);
    }

    fn listeners(&mut self, list: &[Value]) {
        self.write("lds", "all", "envoy.config.listener.v3.Listener", list);
    }

    fn endpoints(&mut self, name: &str, value: &Value) {
        let message = "envoy.config.endpoint.v3.ClusterLoadAssignment";
        self.write("eds", name, message, std::slice::from_ref(value));
    }

    fn routes(&mut self, name: &str, value: &Value) {
        let message = "envoy.config.route.v3.RouteConfiguration";
        self.write("rds", name, message, std::slice::from_ref(value));
    }

    /// Puts discovery in the place of inline routes and endpoints.
    fn take_apart(&self, resources: &Resources) -> Published {
        let mut parts = Published { listeners: resources.listeners.clone(), ..Published::default() };
        for cluster in &resources.clusters {
            let mut cluster = cluster.clone();
            let name = cluster["name"].as_str().unwrap_or_default().to_owned();
            let assignment = cluster.as_object_mut().and_then(|fields| fields.remove("load_assignment"));
            if let Some(assignment) = assignment {
                cluster["type"] = json!("EDS");
                cluster["eds_cluster_config"] = json!({ "eds_config": self.source("eds", &name) });
                parts.endpoints.insert(name, assignment);
            }
            parts.clusters.push(cluster);
        }
        for listener in &mut parts.listeners {
            let chains = listener["filter_chains"].as_array_mut().into_iter().flatten();
            let filters = chains.flat_map(|chain| chain["filters"].as_array_mut().into_iter().flatten());
            for manager in filters.map(|filter| &mut filter["typed_config"]) {
                let inline = manager.as_object_mut().and_then(|fields| fields.remove("route_config"));
                if let Some(routes) = inline {
                    let name = routes["name"].as_str().unwrap_or_default().to_owned();
                    let source = self.source("rds", &name);
                    manager["rds"] = json!({ "route_config_name": name, "config_source": source });
                    parts.routes.insert(name, routes);
                }
            }
        }
        parts
    }
}

impl Proxy {
    /// Starts an Envoy of this version with this configuration. `node` is its id.
    ///
    /// # Panics
    /// When it does not become ready; the message has its log.
    pub fn start(version: &str, node: &str, resources: &Resources) -> Self {
        let dir = tempfile::Builder::new().prefix("coalmine-xds-").tempdir().expect("a scratch folder");
        let mut files = Files { dir, version: 0 };
        let now = files.take_apart(resources);
        now.endpoints.iter().for_each(|(name, value)| files.endpoints(name, value));
        now.routes.iter().for_each(|(name, value)| files.routes(name, value));
        files.clusters(&now.clusters);
        files.listeners(&now.listeners);
        let bootstrap = json!({
            "node": { "id": node, "cluster": node },
            "admin": { "address": loopback(0) },
            "dynamic_resources": {
                "cds_config": files.source("cds", "all"),
                "lds_config": files.source("lds", "all"),
            },
        });
        let envoy = Envoy::start_with(version, &bootstrap);
        Self { envoy, files, now }
    }

    /// Changes the configuration to this one: endpoints and clusters first, then listeners and routes.
    ///
    /// # Panics
    /// When Envoy refuses a part or does not take it in time; the message has its log.
    pub fn push(&mut self, resources: &Resources) {
        let next = self.files.take_apart(resources);
        let mut taken = false;
        let changed = |old: Option<&Value>, new: &Value| old != Some(new);
        for (name, value) in &next.endpoints {
            let old = self.now.endpoints.get(name);
            if changed(old, value) {
                let counter = format!("cluster.{name}.update_success");
                let known = old.is_some();
                taken |= self.publish(known.then_some(&counter), |files| files.endpoints(name, value));
            }
        }
        if next.clusters != self.now.clusters {
            taken |= self.publish(Some("cluster_manager.cds.update_success"), |files| {
                files.clusters(&next.clusters);
            });
            self.settled("cluster_manager.warming_clusters");
        }
        let (old, new): (Vec<_>, Vec<_>) =
            next.routes.iter().partition(|(name, _)| self.now.routes.contains_key(*name));
        for (name, value) in new {
            self.publish(None, |files| files.routes(name, value));
        }
        if next.listeners != self.now.listeners {
            taken |= self.publish(Some("listener_manager.lds.update_success"), |files| {
                files.listeners(&next.listeners);
            });
            self.settled("listener_manager.total_listeners_warming");
        }
        for (name, value) in old {
            if changed(self.now.routes.get(name), value) {
                let counter = format!(".rds.{name}.update_success");
                taken |= self.publish(Some(&counter), |files| files.routes(name, value));
            }
        }
        self.now = next;
        if taken {
            std::thread::sleep(WORKERS);
        }
    }

    /// Writes a file and, when there is a counter, waits until it has moved. Whether there was one.
    fn publish(&mut self, counter: Option<&str>, write: impl FnOnce(&mut Files)) -> bool {
        let Some(counter) = counter else {
            write(&mut self.files);
            return false;
        };
        let refusals = counter.replace("update_success", "update_rejected");
        let before = (self.stat(counter), self.stat(&refusals));
        write(&mut self.files);
        let after = wait(PUSH_LIMIT, || {
            let now = (self.stat(counter), self.stat(&refusals));
            (now != before).then_some(now)
        });
        let taken = after.is_some_and(|after| after.1 == before.1);
        assert!(taken, "Envoy did not take the update ({counter}):\n{}", self.envoy.log());
        true
    }

    fn settled(&self, gauge: &str) {
        let settled = wait(PUSH_LIMIT, || (self.stat(gauge) == 0).then_some(()));
        assert!(settled.is_some(), "{gauge} does not become 0:\n{}", self.envoy.log());
    }

    /// The sum of the statistics whose names end so.
    fn stat(&self, suffix: &str) -> u64 {
        let body = self.envoy.admin("/stats?filter=update_success|update_rejected|warming").body;
        let text = String::from_utf8_lossy(&body).into_owned();
        let lines = text.lines().filter_map(|line| line.rsplit_once(": "));
        lines
            .filter(|(name, _)| name.ends_with(suffix))
            .filter_map(|(_, value)| value.parse::<u64>().ok())
            .sum()
    }

    /// The folder of the discovered files, for messages.
    pub fn dir(&self) -> &Path {
        self.files.dir.path()
    }
}
