//! A cluster, as far as the application needs one: manifests are applied action by action, pods start, become ready
//! and end, and one Envoy that plays every proxy is told what Istio would tell them.
//!
//! An action is one kubectl command. It is over when its pods are ready, its routes are in force, and the pods it
//! deletes have served their last request, which is what the manifests' READMEs wait for. The replicas of a workload
//! share its sidecar. A workload is never changed in place: the scenario has a Deployment for each version.

use std::collections::{BTreeMap, HashMap};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coalmine::mesh::Mesh;
use coalmine::mesh::host::resolve_short_name;
use coalmine::mesh::workloads::Workload;
use coalmine::settings::{Action, Step};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::container::{Container, Stores};
use super::pods::Template;
use super::storage::{Dial, Failure};
use crate::bootstrap::loopback;
use crate::http1::Client;
use crate::lower::certificates::Authority;
use crate::lower::manifests::Manifests;
use crate::lower::{Door, Lowering, name_of};
use crate::wait;
use crate::xds::{Proxy, Resources};

/// How long a pod may take to become ready on a busy machine.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// How long a pod that is deleted may go on with what it serves: Istio's `terminationDrainDuration`.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// The beginning of the proxies' names.
const SCOPE: &str = "voting";

/// Where each door is at the moment.
type Doors = Arc<Mutex<HashMap<Door, SocketAddr>>>;

/// A running cluster; everything ends when it is dropped.
pub struct Cluster {
    envoy: String,
    stores: Stores,
    manifests: Manifests,
    /// One state for each action, in order.
    actions: Vec<String>,
    done: usize,
    authority: Authority,
    sockets: TempDir,
    doors: Doors,
    // Before the proxy, so that pods end first.
    pods: Workloads,
    proxy: Option<Proxy>,
    told: Resources,
}

/// What runs, by `namespace/name` of what makes the pods.
type Workloads = BTreeMap<String, Replicas>;

struct Replicas {
    template: Template,
    pods: Vec<Pod>,
}

struct Pod {
    name: String,
    container: Container,
}

impl Cluster {
    /// Nothing applied yet, of the manifests in a folder with a `coalmine.yaml`.
    ///
    /// # Panics
    /// When the manifests cannot be read.
    pub fn new(folder: &Path, envoy: &str, stores: Stores) -> Self {
        let mut manifests = Manifests::folder(folder);
        let rollout = std::mem::take(&mut manifests.settings.rollout);
        let steps = rollout.into_iter().flat_map(|step| {
            let name = step.name;
            (1..).zip(step.actions).map(move |(number, action)| (format!("{name}#{number}"), action))
        });
        manifests.settings.rollout =
            steps.map(|(name, action)| Step { name, actions: vec![action] }).collect();
        let sockets = tempfile::Builder::new().prefix("cm-").tempdir().expect("a scratch folder");
        let mut cluster = Self {
            envoy: envoy.to_owned(),
            stores,
            manifests,
            actions: Vec::new(),
            done: 0,
            authority: Authority::new(),
            sockets,
            doors: Doors::default(),
            pods: BTreeMap::new(),
            proxy: None,
            told: Resources::default(),
        };
        cluster.name_actions();
        cluster
    }

    fn name_actions(&mut self) {
        self.actions = self.manifests.settings.rollout.iter().map(|step| step.name.clone()).collect();
    }

    /// Changes the order before anything is done: given every action with its name, `STEP#NUMBER`.
    ///
    /// # Panics
    /// When something is done.
    pub fn reorder(&mut self, change: impl FnOnce(&mut Vec<(String, Action)>)) {
        assert_eq!(self.done, 0, "it is too late for another order");
        let steps = std::mem::take(&mut self.manifests.settings.rollout).into_iter();
        let mut actions = steps.filter_map(|mut step| Some((step.name, step.actions.pop()?))).collect();
        change(&mut actions);
        let steps = actions.into_iter().map(|(name, action)| Step { name, actions: vec![action] });
        self.manifests.settings.rollout = steps.collect();
        self.name_actions();
    }

    /// The next action's name; `None` when everything is done.
    pub fn next(&self) -> Option<&str> {
        self.actions.get(self.done).map(String::as_str)
    }

    /// The actions that are still to be done up to and including this one, or up to the last action of this step.
    ///
    /// # Panics
    /// When there is no such action ahead.
    pub fn ahead(&self, name: &str) -> Vec<String> {
        let belongs = |action: &String| action == name || action.starts_with(&format!("{name}#"));
        let ahead = &self.actions[self.done..];
        let last = ahead.iter().rposition(belongs);
        let last = last.unwrap_or_else(|| panic!("no action {name} ahead, only {ahead:?}"));
        ahead[..=last].to_vec()
    }

    /// Does [`Self::ahead`].
    ///
    /// # Panics
    /// When there is no such action ahead, or one fails.
    pub fn run_to(&mut self, name: &str) {
        for action in self.ahead(name) {
            if let Err(failure) = self.advance() {
                panic!("{action}: {failure}");
            }
        }
    }

    /// Does the next action and waits until it is over.
    ///
    /// # Errors
    /// When a pod cannot start or does not become ready; then nothing more should be done.
    ///
    /// # Panics
    /// When Envoy does not take the configuration.
    pub fn advance(&mut self) -> Result<(), Failure> {
        let Some(action) = self.actions.get(self.done).cloned() else { return Ok(()) };
        self.done += 1;
        let mesh = self.manifests.mesh(Some(&action));
        let wanted: Vec<&Workload<'_>> = mesh.workloads.iter().map(|(_, workload)| workload).collect();
        let mut new = Vec::new();
        for workload in &wanted {
            let name = name_of(workload);
            let template = Template::read(workload, &mesh, self.manifests.documents())?;
            match self.pods.get(&name) {
                Some(running) if running.template == template => {}
                Some(_) => {
                    return Err(format!("{name} changes, and nothing here can replace its pods").into());
                }
                None => {
                    let pods = start(workload, &template, &mesh.config.domain, &self.doors, self.stores)?;
                    self.pods.insert(name.clone(), Replicas { template, pods });
                    new.push(name);
                }
            }
        }
        let names: Vec<String> = wanted.iter().map(|workload| name_of(workload)).collect();
        let gone: Vec<String> = self.pods.keys().filter(|name| !names.contains(name)).cloned().collect();
        let (next, doors) = lower(&mesh, &self.manifests, &self.authority, self.sockets.path(), &self.pods);

        // New pods have their sidecars before anyone else knows of them, since becoming ready takes calls.
        let arriving = merge(&self.told, &next, &new);
        match &mut self.proxy {
            Some(proxy) => proxy.push(&arriving),
            None => self.proxy = Some(Proxy::start(&self.envoy, "voting", &next)),
        }
        let Some(proxy) = &mut self.proxy else { return Ok(()) };
        let open = |proxy: &Proxy, held: &Doors| {
            let found = doors.iter().filter_map(|(door, name)| Some((door.clone(), proxy.address(name)?)));
            // Deleted pods keep their doors until they are gone.
            lock(held).extend(found);
        };
        open(proxy, &self.doors);
        for Replicas { template, pods } in new.iter().filter_map(|name| self.pods.get(name)) {
            pods.iter().try_for_each(|pod| pod.wait_until_ready(template.ready_path.as_deref()))?;
        }

        // Then they get requests, and those that are to go get no more.
        proxy.push(&merge(&next, &self.told, &gone));
        open(proxy, &self.doors);
        if !gone.is_empty() {
            drain(proxy, &gone);
            proxy.push(&next);
            self.pods.retain(|name, _| !gone.contains(name));
        }
        lock(&self.doors).retain(|door, _| doors.contains_key(door));
        self.told = next;
        Ok(())
    }

    /// Where visitors connect: the only Gateway's port 80.
    ///
    /// # Panics
    /// When there is no Gateway at the moment.
    pub fn gateway(&self) -> SocketAddr {
        let doors = lock(&self.doors);
        let found = doors.iter().find(|(door, _)| matches!(door, Door::Gateway { port: 80, .. }));
        *found.expect("a Gateway with port 80").1
    }

    /// Where a door is at the moment.
    pub fn door(&self, door: &Door) -> Option<SocketAddr> {
        lock(&self.doors).get(door).copied()
    }

    /// Every door there is at the moment.
    pub fn doors(&self) -> Vec<Door> {
        lock(&self.doors).keys().cloned().collect()
    }

    /// The running pods' names.
    pub fn pods(&self) -> Vec<&str> {
        self.pods.values().flat_map(|own| &own.pods).map(|pod| pod.name.as_str()).collect()
    }
}

fn lock(doors: &Doors) -> MutexGuard<'_, HashMap<Door, SocketAddr>> {
    doors.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a workload's pods. What they call goes through their own sidecar.
fn start(
    workload: &Workload<'_>,
    template: &Template,
    domain: &str,
    doors: &Doors,
    stores: Stores,
) -> Result<Vec<Pod>, Failure> {
    let client = name_of(workload);
    let (namespace, domain) = (workload.namespace().to_owned(), domain.to_owned());
    let doors = Arc::clone(doors);
    let dial: Dial = Arc::new(move |name, port| {
        let host = resolve_short_name(name, &namespace, &domain);
        let door = Door::Outbound { client: client.clone(), host, port: u32::from(port) };
        let found = lock(&doors).get(&door).copied();
        found.ok_or_else(|| format!("{name}:{port} is no port of any Service").into())
    });
    let pod = |number| {
        let name = format!("{}-{number}", workload.resource.name.value);
        let container = Container::run(&template.image, &name, &template.env, &dial, stores)?;
        Ok(Pod { name, container })
    };
    (1..=template.replicas).map(pod).collect()
}

/// The configuration of a state, every running pod included.
fn lower(
    mesh: &Mesh<'_>,
    manifests: &Manifests,
    authority: &Authority,
    sockets: &Path,
    running: &Workloads,
) -> (Resources, HashMap<Door, String>) {
    let apps = |workload: &Workload<'_>, port: u32| {
        let declared = workload.container_port(&port.to_string()).is_some();
        let own = running.get(&name_of(workload)).filter(|_| declared)?;
        own.pods.first().map(|pod| pod.container.address)
    };
    let lowering = Lowering {
        mesh,
        documents: manifests.documents(),
        authority,
        scope: SCOPE,
        sockets,
        apps: &apps,
        exposes_pods: true,
    };
    let mut lowered = lowering.lower();
    assert!(lowered.left_out.is_empty(), "this cannot be lowered: {:?}", lowered.left_out);
    for cluster in &mut lowered.clusters {
        let name = cluster["name"].as_str().unwrap_or_default().to_owned();
        let own = |workload: &str| name.starts_with(&format!("{}inbound|", prefix(workload)));
        if let Some((_, replicas)) = running.iter().find(|(workload, _)| own(workload)) {
            add_replicas(cluster, &replicas.pods);
        }
    }
    (Resources { listeners: lowered.listeners, clusters: lowered.clusters }, lowered.doors)
}

/// The lowering knows one pod of each workload; the others stand beside it wherever it serves.
fn add_replicas(cluster: &mut Value, pods: &[Pod]) {
    let Some(endpoints) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"].as_array_mut() else {
        return;
    };
    let address = |pod: &Pod| json!({ "endpoint": { "address": loopback(pod.container.address.port()) } });
    if let Some(first) = pods.first().map(address)
        && *endpoints == [first]
    {
        endpoints.extend(pods.iter().skip(1).map(address));
    }
}

/// The beginning of all names of a workload's own proxy.
fn prefix(workload: &str) -> String {
    format!("{SCOPE}/{workload}/")
}

/// `base`, and what `other` has for the proxies of these workloads.
fn merge(base: &Resources, other: &Resources, workloads: &[String]) -> Resources {
    let prefixes: Vec<String> = workloads.iter().map(|workload| prefix(workload)).collect();
    let own = |resource: &&Value| {
        let name = resource["name"].as_str().unwrap_or_default();
        prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
    };
    let join = |base: &[Value], other: &[Value]| {
        base.iter().chain(other.iter().filter(own)).cloned().collect::<Vec<_>>()
    };
    Resources {
        listeners: join(&base.listeners, &other.listeners),
        clusters: join(&base.clusters, &other.clusters),
    }
}

/// Waits until pods have served their last request; as long as Istio's sidecar would wait, and no longer.
fn drain(proxy: &Proxy, workloads: &[String]) {
    let idle = || {
        let active =
            |name: &String| proxy.sum(&format!("cluster.{}inbound|", prefix(name)), "upstream_rq_active");
        workloads.iter().map(active).sum::<u64>() == 0
    };
    // A request may still be on its way from a proxy that chose this pod just before.
    let mut quiet = 0;
    wait(DRAIN_LIMIT, || {
        std::thread::sleep(Duration::from_millis(50));
        quiet = if idle() { quiet + 1 } else { 0 };
        (quiet >= 4).then_some(())
    });
}

impl Pod {
    /// `path` must answer 200; without one a connection is enough.
    fn wait_until_ready(&self, path: Option<&str>) -> Result<(), Failure> {
        let mut last = String::new();
        let ready = wait(READY_LIMIT, || match self.probe(path) {
            Ok(()) => Some(()),
            Err(failure) => {
                last = failure.to_string();
                std::thread::sleep(Duration::from_millis(50));
                None
            }
        });
        ready.ok_or_else(|| format!("pod {} does not become ready: {last}", self.name).into())
    }

    fn probe(&self, path: Option<&str>) -> Result<(), Failure> {
        let Some(path) = path else {
            TcpStream::connect_timeout(&self.container.address, Duration::from_secs(5))?;
            return Ok(());
        };
        let request = crate::http1::request("GET", path, &[("Connection", b"close")]);
        let answer = Client::try_connect(self.container.address)?.exchange(&request)?;
        match answer.status {
            200 => Ok(()),
            status => {
                Err(format!("{path} answers {status}: {}", String::from_utf8_lossy(&answer.body)).into())
            }
        }
    }
}
