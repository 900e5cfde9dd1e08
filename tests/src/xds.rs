//! An Envoy whose configuration is discovered, as from istiod: clusters, then listeners and their routes, in the
//! order of Istio's pushes. It can be changed while requests run.
//!
//! Knows Envoy's discovery and nothing of Istio's objects. Only what changed is published, and a push returns when
//! Envoy has taken it. The transport is REST: each answer waits until there is something new, so that a push is
//! immediate. (From files, each of Envoy's subscriptions would take one of the system's few inotify instances.)
//! Endpoints are part of their cluster, where istiod has a resource of their own. Envoy cannot choose the port of a
//! listener that comes later: it would be that of another one which is just going.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::bootstrap::{cluster, loopback};
use crate::envoy::Envoy;
use crate::tcp::unused_port;
use crate::upstream::{Reply, Request, Upstream};
use crate::wait;

/// How long one part of a push may take on a busy machine.
const PUSH_LIMIT: Duration = Duration::from_secs(20);

/// How long an answer waits for something new.
const HOLD: Duration = Duration::from_secs(15);

/// Envoy's main thread asks for more before its workers have what it took.
const WORKERS: Duration = Duration::from_millis(30);

/// Everything an Envoy is told: complete listeners and clusters, with routes in place.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    /// Listeners; a `route_config` inside them becomes a discovered one, and port 0 one that stays the same.
    pub listeners: Vec<Value>,
    /// Clusters.
    pub clusters: Vec<Value>,
}

/// A running Envoy and the server it asks.
pub struct Proxy {
    /// The Envoy.
    pub envoy: Envoy,
    server: Server,
    now: Parts,
    ports: Ports,
}

/// The ports of listeners by name.
type Ports = BTreeMap<String, u16>;

/// Resources with routes on their own.
#[derive(Default)]
struct Parts {
    clusters: Vec<Value>,
    listeners: Vec<Value>,
    routes: BTreeMap<String, Value>,
}

impl Parts {
    fn new(resources: &Resources, ports: &mut Ports) -> Self {
        let mut listeners = resources.listeners.clone();
        let mut routes = BTreeMap::new();
        for listener in &mut listeners {
            if listener["address"]["socket_address"]["port_value"] == 0 {
                let name = listener["name"].as_str().unwrap_or_default().to_owned();
                let port = *ports.entry(name).or_insert_with(unused_port);
                listener["address"]["socket_address"]["port_value"] = json!(port);
            }
            let chains = listener["filter_chains"].as_array_mut().into_iter().flatten();
            let filters = chains.flat_map(|chain| chain["filters"].as_array_mut().into_iter().flatten());
            for manager in filters.map(|filter| &mut filter["typed_config"]) {
                let inline = manager.as_object_mut().and_then(|fields| fields.remove("route_config"));
                if let Some(table) = inline {
                    let name = table["name"].as_str().unwrap_or_default().to_owned();
                    manager["rds"] = json!({ "route_config_name": name, "config_source": source() });
                    routes.insert(name, table);
                }
            }
        }
        Self { clusters: resources.clusters.clone(), listeners, routes }
    }
}

fn source() -> Value {
    json!({
        "api_config_source": {
            "api_type": "REST",
            "transport_api_version": "V3",
            "cluster_names": ["xds"],
            "refresh_delay": "0.001s",
            "request_timeout": "60s",
        },
        "initial_fetch_timeout": "10s",
        "resource_api_version": "V3",
    })
}

const CLUSTERS: &str = "clusters";
const LISTENERS: &str = "listeners";

/// The key of a route table.
fn routes(name: &str) -> String {
    format!("routes {name}")
}

impl Proxy {
    /// Starts an Envoy of this version with this configuration. `node` is its id.
    ///
    /// # Panics
    /// When it does not become ready; the message has its log.
    pub fn start(version: &str, node: &str, resources: &Resources) -> Self {
        let server = Server::start();
        let mut ports = Ports::new();
        let now = Parts::new(resources, &mut ports);
        server.publish(CLUSTERS, now.clusters.clone());
        server.publish(LISTENERS, now.listeners.clone());
        for (name, table) in &now.routes {
            server.publish(&routes(name), vec![table.clone()]);
        }
        let bootstrap = json!({
            "node": { "id": node, "cluster": node },
            "admin": { "address": loopback(0) },
            "dynamic_resources": { "cds_config": source(), "lds_config": source() },
            "static_resources": { "clusters": [cluster("xds", server.upstream.address)] },
        });
        let envoy = Envoy::start_with(version, &bootstrap);
        Self { envoy, server, now, ports }
    }

    /// Changes the configuration to this one: clusters first, then listeners, then routes.
    ///
    /// # Panics
    /// When Envoy refuses a part or does not take it in time; the message has its log.
    pub fn push(&mut self, resources: &Resources) {
        let next = Parts::new(resources, &mut self.ports);
        if next.clusters != self.now.clusters {
            self.publish(CLUSTERS, next.clusters.clone());
            self.settled("cluster_manager.warming_clusters");
        }
        // Routes that only new listeners ask for must be there when they do. Envoy may still have the routes of a
        // listener that comes back, because it drains for long; then they are as old as that.
        let known = |name: &String| self.now.routes.contains_key(name);
        for (name, table) in next.routes.iter().filter(|(name, _)| !known(name)) {
            self.server.publish(&routes(name), vec![table.clone()]);
        }
        if next.listeners != self.now.listeners {
            self.publish(LISTENERS, next.listeners.clone());
            self.settled("listener_manager.total_listeners_warming");
        }
        for (name, table) in &next.routes {
            match self.now.routes.get(name) {
                None => self.wait_until_taken(&routes(name)),
                Some(old) if old != table => self.publish(&routes(name), vec![table.clone()]),
                Some(_) => {}
            }
        }
        self.now = next;
        std::thread::sleep(WORKERS);
    }

    /// Where the listener of this name is, if it had port 0.
    pub fn address(&self, listener: &str) -> Option<SocketAddr> {
        self.ports.get(listener).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, *port)))
    }

    fn publish(&self, key: &str, resources: Vec<Value>) {
        self.server.publish(key, resources);
        self.wait_until_taken(key);
    }

    fn wait_until_taken(&self, key: &str) {
        if let Err(failure) = self.server.wait_until_taken(key) {
            panic!("Envoy did not take {key}: {failure}\n{}", self.envoy.log());
        }
    }

    fn settled(&self, gauge: &str) {
        let settled = wait(PUSH_LIMIT, || (self.sum(gauge, "") == 0).then_some(()));
        assert!(settled.is_some(), "{gauge} does not become 0:\n{}", self.envoy.log());
    }

    /// The sum of the statistics of what is warming or active whose names begin and end so.
    pub fn sum(&self, prefix: &str, suffix: &str) -> u64 {
        let body = self.envoy.admin("/stats?filter=warming|active").body;
        let text = String::from_utf8_lossy(&body).into_owned();
        let lines = text.lines().filter_map(|line| line.rsplit_once(": "));
        let wanted = lines.filter(|(name, _)| name.starts_with(prefix) && name.ends_with(suffix));
        wanted.filter_map(|(_, value)| value.parse::<u64>().ok()).sum()
    }
}

/// What Envoy asks: one subscription for each key.
struct Server {
    upstream: Upstream,
    board: Arc<Board>,
}

#[derive(Default)]
struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stop: bool,
    subscriptions: BTreeMap<String, Subscription>,
}

#[derive(Default)]
struct Subscription {
    resources: Vec<Value>,
    /// Versions: of what there is, of the last answer, of what Envoy has, of what it refused.
    published: u64,
    given: u64,
    taken: u64,
    refused: u64,
    /// How many requests there were; only the last one is still waited for.
    requests: u64,
}

impl Server {
    fn start() -> Self {
        let board = Arc::new(Board::default());
        let answering = Arc::clone(&board);
        Self { upstream: Upstream::with(move |request| answering.answer(request)), board }
    }

    fn publish(&self, key: &str, resources: Vec<Value>) {
        let mut state = self.board.lock();
        let subscription = state.subscriptions.entry(key.to_owned()).or_default();
        subscription.resources = resources;
        subscription.published += 1;
        self.board.changed.notify_all();
    }

    fn wait_until_taken(&self, key: &str) -> Result<(), &'static str> {
        let deadline = Instant::now() + PUSH_LIMIT;
        let mut state = self.board.lock();
        loop {
            match state.subscriptions.get(key) {
                Some(own) if own.taken == own.published => return Ok(()),
                Some(own) if own.refused == own.published => return Err("it was refused"),
                Some(_) if Instant::now() < deadline => {}
                _ => return Err("it was not asked for in time"),
            }
            state = self.board.wait(state, deadline);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.board.lock().stop = true;
        self.board.changed.notify_all();
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>, deadline: Instant) -> MutexGuard<'s, State> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Answers a discovery request once there is something that Envoy does not have.
    fn answer(&self, request: &Request) -> Reply {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let (kind, message) = match request.path.as_str() {
            "/v3/discovery:clusters" => (CLUSTERS, "envoy.config.cluster.v3.Cluster"),
            "/v3/discovery:listeners" => (LISTENERS, "envoy.config.listener.v3.Listener"),
            "/v3/discovery:routes" => ("routes", "envoy.config.route.v3.RouteConfiguration"),
            _ => return Reply { status: 404, headers: Vec::new(), body: Vec::new() },
        };
        let key = match kind {
            "routes" => routes(body["resource_names"][0].as_str().unwrap_or_default()),
            kind => kind.to_owned(),
        };
        let has = body["version_info"].as_str().and_then(|version| version.parse().ok()).unwrap_or(0);
        let deadline = Instant::now() + HOLD;
        let mut state = self.lock();
        let own = state.subscriptions.entry(key.clone()).or_default();
        own.requests += 1;
        let number = own.requests;
        own.taken = has;
        // Whoever asks again without the answer has refused it; but the routes of a listener that comes back are
        // asked for anew.
        if has < own.given && (has > 0 || kind != "routes") {
            own.refused = own.given;
        }
        self.changed.notify_all();
        loop {
            match state.subscriptions.get_mut(&key) {
                Some(own) if own.requests != number => break,
                Some(own) if own.published > has && own.refused != own.published => {
                    own.given = own.published;
                    return discovered(own, message);
                }
                _ => {}
            }
            if state.stop || Instant::now() >= deadline {
                break;
            }
            state = self.wait(state, deadline);
        }
        Reply { status: 304, headers: Vec::new(), body: Vec::new() }
    }
}

fn discovered(subscription: &Subscription, message: &str) -> Reply {
    let url = format!("type.googleapis.com/{message}");
    let typed = |resource: &Value| {
        let mut resource = resource.clone();
        resource["@type"] = json!(url);
        resource
    };
    let resources: Vec<Value> = subscription.resources.iter().map(typed).collect();
    let version = subscription.published.to_string();
    let body = json!({ "version_info": version, "type_url": url, "resources": resources });
    let kind = ("content-type".to_owned(), "application/json".to_owned());
    Reply { status: 200, headers: vec![kind], body: body.to_string().into_bytes() }
}
