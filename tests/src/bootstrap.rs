//! Builds an Envoy bootstrap as Istio would: the gateway's listener, the routes of a VirtualService on a tag header,
//! a WasmPlugin as an HTTP filter, and Istio's default statistics tags.
//!
//! Knows Envoy's API and Istio's translation, not what the filter does with its configuration.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// The cluster Istio makes for subset `v1` of the app.
pub const STABLE: &str = "outbound|80|v1|app.default.svc.cluster.local";
/// The cluster Istio makes for subset `v2` of the app.
pub const CANARY: &str = "outbound|80|v2|app.default.svc.cluster.local";

/// A WasmPlugin as istiod hands it to Envoy.
#[derive(Clone)]
pub struct Plugin {
    /// `<namespace>.<name>`, as Istio names it; also the statistics' prefix.
    pub name: String,
    /// The module's file; the agent downloads an image and puts such a path here.
    pub module: PathBuf,
    /// The text of `pluginConfig` as JSON. `None` when the WasmPlugin has none.
    pub config: Option<String>,
    /// `failStrategy`.
    pub failure_policy: &'static str,
    /// `vmConfig.env` with inline values.
    pub env: Vec<(String, String)>,
    /// `vmConfig.env` with `valueFrom: HOST`.
    pub host_env: Vec<String>,
}

impl Plugin {
    /// The shipped module with this `pluginConfig`, and the rest as a short WasmPlugin has it.
    pub fn new(config: &Value) -> Self {
        Self {
            name: "istio-ingress.coalmine".to_owned(),
            module: crate::module(),
            config: Some(config.to_string()),
            failure_policy: "FAIL_RELOAD",
            env: Vec::new(),
            host_env: Vec::new(),
        }
    }

    /// The name of the HTTP filter, and of the ECDS resource.
    pub fn resource_name(&self) -> String {
        format!("extensions.istio.io/wasmplugin/{}", self.name)
    }

    /// The filter's `typed_config`, which is also what ECDS carries.
    pub fn typed_config(&self) -> Value {
        let mut vm = json!({
            "runtime": "envoy.wasm.runtime.v8",
            "code": { "local": { "filename": self.module } },
        });
        if !self.env.is_empty() || !self.host_env.is_empty() {
            let pairs: serde_json::Map<String, Value> =
                self.env.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            vm["environment_variables"] = json!({ "key_values": pairs, "host_env_keys": self.host_env });
        }
        let mut config = json!({ "name": self.name, "vm_config": vm, "failure_policy": self.failure_policy });
        if let Some(text) = &self.config {
            config["configuration"] =
                json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": text });
        }
        json!({ "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": config })
    }

    /// The HTTP filter with its configuration in place.
    pub fn filter(&self) -> Value {
        json!({ "name": self.resource_name(), "typed_config": self.typed_config() })
    }
}

/// What one Envoy is started with.
#[derive(Clone)]
pub struct Bootstrap {
    /// Worker threads.
    pub concurrency: u32,
    /// HTTP filters before the router, in order.
    pub filters: Vec<Value>,
    /// Routes of the one virtual host, in order.
    pub routes: Vec<Value>,
    /// Clusters by name, each with one address.
    pub clusters: Vec<(String, SocketAddr)>,
    /// An access log of this format, in `Envoy::access_log`.
    pub access_log: Option<String>,
    /// `proxyConfig.extraStatTags`.
    pub extra_stat_tags: Vec<String>,
    /// Environment of the Envoy process.
    pub env: Vec<(String, String)>,
    /// More fields of the HTTP connection manager, or others in place of the usual ones.
    pub manager: Value,
    /// The first listener's transport socket, when it speaks TLS.
    pub transport_socket: Option<Value>,
    /// More listeners, complete.
    pub listeners: Vec<Value>,
    /// More clusters, complete.
    pub full_clusters: Vec<Value>,
}

impl Bootstrap {
    /// No routes and no clusters.
    pub fn empty() -> Self {
        Self {
            concurrency: 1,
            filters: Vec::new(),
            routes: Vec::new(),
            clusters: Vec::new(),
            access_log: None,
            extra_stat_tags: Vec::new(),
            env: Vec::new(),
            manager: json!({}),
            transport_socket: None,
            listeners: Vec::new(),
            full_clusters: Vec::new(),
        }
    }

    /// What Istio makes of a VirtualService that sends `header: value` to subset `v2` and the rest to `v1`.
    pub fn canary(header: &str, value: &str, v1: SocketAddr, v2: SocketAddr) -> Self {
        let mut bootstrap = Self::empty();
        bootstrap.routes = vec![header_route(header, value, CANARY), default_route(STABLE)];
        bootstrap.clusters = vec![(STABLE.to_owned(), v1), (CANARY.to_owned(), v2)];
        bootstrap
    }

    /// Everything is answered by Envoy itself: for measuring filters.
    pub fn direct() -> Self {
        let mut bootstrap = Self::empty();
        bootstrap.routes = vec![json!({
            "match": { "prefix": "/" },
            "direct_response": { "status": 200, "body": { "inline_string": "ok" } },
        })];
        bootstrap
    }

    /// With one more HTTP filter before the router.
    #[must_use]
    pub fn filter(mut self, filter: Value) -> Self {
        self.filters.push(filter);
        self
    }

    /// With the shipped module and this `pluginConfig` before the router.
    #[must_use]
    pub fn plugin(self, config: &Value) -> Self {
        self.filter(Plugin::new(config).filter())
    }

    /// The bootstrap as JSON; files go below `dir`.
    pub fn render(&self, dir: &Path) -> Value {
        let mut listeners = vec![self.listener(dir)];
        listeners.extend(self.listeners.iter().cloned());
        let mut clusters: Vec<Value> =
            self.clusters.iter().map(|(name, address)| cluster(name, *address)).collect();
        clusters.extend(self.full_clusters.iter().cloned());
        json!({
            "node": { "id": "router~127.0.0.1~gateway.istio-ingress~istio-ingress.svc.cluster.local", "cluster": "gateway" },
            "admin": { "address": loopback(0) },
            "static_resources": { "listeners": listeners, "clusters": clusters },
            "stats_config": {
                "use_all_default_tags": false,
                "stats_tags": stats_tags(&self.extra_stat_tags),
                "stats_matcher": { "inclusion_list": { "patterns": stats_patterns() } },
            },
        })
    }

    fn listener(&self, dir: &Path) -> Value {
        let mut filters = self.filters.clone();
        filters.push(router());
        let mut manager = manager("outbound_0.0.0.0_8080", &filters, &self.routes);
        if let Some(format) = &self.access_log {
            manager["access_log"] = json!([{
                "name": "envoy.access_loggers.file",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                    "path": dir.join("access.log"),
                    "log_format": { "text_format_source": { "inline_string": format!("{format}\n") } },
                },
            }]);
        }
        for (key, value) in self.manager.as_object().into_iter().flatten() {
            manager[key] = value.clone();
        }
        let mut listener = listener("0.0.0.0_8080", &manager);
        if let Some(socket) = &self.transport_socket {
            listener["filter_chains"][0]["transport_socket"] = socket.clone();
        }
        listener
    }
}

/// A listener on a loopback port of its own with this connection manager.
pub fn listener(name: &str, manager: &Value) -> Value {
    json!({
        "name": name,
        "address": loopback(0),
        "filter_chains": [{ "filters": [
            { "name": "envoy.filters.network.http_connection_manager", "typed_config": manager },
        ] }],
    })
}

/// The HTTP connection manager of an Istio gateway.
pub fn manager(stat_prefix: &str, filters: &[Value], routes: &[Value]) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": stat_prefix,
        "codec_type": "AUTO",
        "server_name": "istio-envoy",
        "use_remote_address": true,
        "normalize_path": true,
        "stream_idle_timeout": "0s",
        "forward_client_cert_details": "SANITIZE_SET",
        "http_filters": filters,
        "route_config": {
            "name": "http.8080",
            "validate_clusters": false,
            "virtual_hosts": [{ "name": "app.example.com:8080", "domains": ["*"], "routes": routes }],
        },
    })
}

/// The terminal filter.
pub fn router() -> Value {
    json!({
        "name": "envoy.filters.http.router",
        "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
    })
}

/// The route Istio makes for `match: [{headers: {HEADER: {exact: VALUE}}}]`.
pub fn header_route(header: &str, value: &str, cluster: &str) -> Value {
    let mut route = default_route(cluster);
    route["match"] = json!({
        "prefix": "/",
        "case_sensitive": true,
        "headers": [{ "name": header, "string_match": { "exact": value } }],
    });
    route
}

/// The route Istio makes for a rule without `match`.
pub fn default_route(cluster: &str) -> Value {
    json!({
        "match": { "prefix": "/" },
        "route": {
            "cluster": cluster,
            "timeout": "0s",
            "retry_policy": {
                "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
                "num_retries": 2,
                "host_selection_retry_max_attempts": "5",
                "retriable_status_codes": [503],
            },
            "max_grpc_timeout": "0s",
        },
    })
}

/// A cluster with one address.
pub fn cluster(name: &str, address: SocketAddr) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "10s",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": [
            { "endpoint": { "address": loopback(address.port()) } },
        ] }] },
    })
}

/// A loopback socket address in Envoy's form.
pub fn loopback(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}

/// A Lua filter with this inline code.
pub fn lua(name: &str, code: &str) -> Value {
    json!({
        "name": name,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": { "inline_string": code },
        },
    })
}

/// Istio's default tag rules (its bootstrap template), and one more for each of `extraStatTags`.
fn stats_tags(extra: &[String]) -> Vec<Value> {
    let prefix = r"(((?:[_.[:digit:]]*|[_\[\]aAbBcCdDeEfF[:digit:]]*))\.)";
    let rules = [
        ("cluster_name", r"^cluster\.((.+?(\..+?\.svc\.cluster\.local)?)\.)".to_owned()),
        ("tcp_prefix", r"^tcp\.((.*?)\.)\w+?$".to_owned()),
        ("response_code", r"_rq(_(\d{3}))$".to_owned()),
        ("response_code_class", r"_rq(_(\dxx))$".to_owned()),
        ("http_conn_manager_listener_prefix", format!(r"^listener(?=\.).*?\.http\.{prefix}")),
        ("http_conn_manager_prefix", format!(r"^http\.{prefix}")),
        ("listener_address", format!(r"^listener\.{prefix}")),
        ("mongo_prefix", r"^mongo\.(.+?)\.(collection|cmd|cx_|op_|delays_|decoding_)(.*?)$".to_owned()),
        ("cache", r"(cache\.(.+?)\.)".to_owned()),
        ("component", r"(component\.(.+?)\.)".to_owned()),
        ("tag", r"(tag\.(.+?);\.)".to_owned()),
        ("wasm_filter", r"(wasm_filter\.(.+?)\.)".to_owned()),
        ("authz_enforce_result", r"rbac(\.(allowed|denied))".to_owned()),
        ("authz_dry_run_action", r"(\.istio_dry_run_(allow|deny)_)".to_owned()),
        ("authz_dry_run_result", r"(\.shadow_(allowed|denied))".to_owned()),
    ];
    let extra = extra.iter().map(|tag| (tag.as_str(), format!(r"({tag}=\.=(.*?);\.;)")));
    let all = rules.into_iter().chain(extra);
    all.map(|(name, regex)| json!({ "tag_name": name, "regex": regex })).collect()
}

/// Which statistics Istio keeps by default (pilot's bootstrap configuration), and the ones the tests watch.
fn stats_patterns() -> Vec<Value> {
    let prefixes = [
        "reporter=",
        "cluster_manager",
        "listener_manager",
        "server",
        "cluster.xds-grpc",
        "wasm",
        "component",
        "istio",
    ];
    let suffixes = ["rbac.allowed", "rbac.denied", "shadow_allowed", "shadow_denied", "downstream_cx_active"];
    let mut patterns: Vec<Value> = prefixes.iter().map(|prefix| json!({ "prefix": prefix })).collect();
    patterns.extend(suffixes.iter().map(|suffix| json!({ "suffix": suffix })));
    // Istio leaves these out; the tests need them to see when an update was taken or refused.
    patterns.push(json!({ "prefix": "extension_config_discovery" }));
    patterns
}
