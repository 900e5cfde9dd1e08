//! Envoy's own shapes: listeners, connection managers, TCP proxies. Knows nothing of Istio's objects.

use std::path::Path;

use serde_json::{Value, json};

use crate::bootstrap::{loopback, router};

/// The header in which an answer says which route took the request.
pub const ROUTE: &str = "x-lowered-route";
/// The header in which an answer says Envoy's response flags.
pub const FLAGS: &str = "x-lowered-flags";
/// The header in which an answer says the cluster, as far as one was chosen.
pub const CLUSTER: &str = "x-lowered-cluster";

/// Headers that make an answer explain itself.
fn explanation() -> Value {
    let header = |name: &str, value: &str| {
        json!({
            "header": { "key": name, "value": value },
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            "keep_empty_value": true,
        })
    };
    json!([
        header(ROUTE, "%ROUTE_NAME%"),
        header(FLAGS, "%RESPONSE_FLAGS%"),
        header(CLUSTER, "%UPSTREAM_CLUSTER_RAW%"),
    ])
}

/// A listener on a loopback port that Envoy picks, or on a socket file.
pub(super) fn listener(name: &str, socket: Option<&Path>, chains: Vec<Value>, inspectors: &[&str]) -> Value {
    let address = socket.map_or_else(|| loopback(0), pipe);
    let inspectors: Vec<Value> = inspectors.iter().map(|name| inspector(name)).collect();
    json!({
        "name": name,
        "address": address,
        "listener_filters": inspectors,
        "listener_filters_timeout": "5s",
        "continue_on_listener_filters_timeout": true,
        "filter_chains": chains,
    })
}

fn inspector(kind: &str) -> Value {
    let message = match kind {
        "tls_inspector" => "TlsInspector",
        _ => "HttpInspector",
    };
    json!({
        "name": format!("envoy.filters.listener.{kind}"),
        "typed_config": {
            "@type": format!("type.googleapis.com/envoy.extensions.filters.listener.{kind}.v3.{message}"),
        },
    })
}

pub(super) fn pipe(path: &Path) -> Value {
    json!({ "pipe": { "path": path } })
}

/// A connection manager with these filters before the router. `explains` adds the headers [`ROUTE`], [`FLAGS`] and
/// [`CLUSTER`] to every answer.
pub(super) fn http(name: &str, mut filters: Vec<Value>, virtual_hosts: &[Value], explains: bool) -> Value {
    filters.push(json!({
        "name": "envoy.filters.http.fault",
        "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault" },
    }));
    filters.push(router());
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "codec_type": "AUTO",
        "server_name": "istio-envoy",
        "use_remote_address": explains,
        "normalize_path": true,
        "stream_idle_timeout": "0s",
        "http_filters": filters,
        "route_config": {
            "name": name,
            "validate_clusters": false,
            "ignore_port_in_host_matching": true,
            "virtual_hosts": virtual_hosts,
        },
    });
    if explains {
        manager["forward_client_cert_details"] = json!("SANITIZE_SET");
        manager["route_config"]["response_headers_to_add"] = explanation();
        manager["local_reply_config"] = json!({ "mappers": [{
            "filter": { "status_code_filter": { "comparison": {
                "op": "GE",
                "value": { "default_value": 100, "runtime_key": "lowered.explain" },
            } } },
            "headers_to_add": explanation(),
        }] });
    } else {
        manager["forward_client_cert_details"] = json!("APPEND_FORWARD");
        manager["set_current_client_cert_details"] = json!({ "uri": true, "subject": true, "dns": true });
    }
    json!({ "name": "envoy.filters.network.http_connection_manager", "typed_config": manager })
}

/// One virtual host.
pub(super) fn virtual_host(name: &str, domains: &[String], routes: &[Value]) -> Value {
    json!({ "name": name, "domains": domains, "routes": routes })
}

/// A TCP proxy to weighted clusters; to the only one without a weight.
pub(super) fn tcp(name: &str, clusters: &[(String, u64)]) -> Value {
    let mut proxy = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": name,
        "max_connect_attempts": 1,
    });
    match clusters {
        [(only, _)] => proxy["cluster"] = json!(only),
        several => {
            let weighted: Vec<Value> =
                several.iter().map(|(name, weight)| json!({ "name": name, "weight": weight })).collect();
            proxy["weighted_clusters"] = json!({ "clusters": weighted });
        }
    }
    json!({ "name": "envoy.filters.network.tcp_proxy", "typed_config": proxy })
}

/// A cluster with these endpoints, in turn. The time to connect includes the TLS handshake.
pub(super) fn cluster(name: &str, endpoints: &[Value]) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "10s",
        "lb_policy": "ROUND_ROBIN",
        "load_assignment": { "cluster_name": name, "endpoints": [{ "lb_endpoints": endpoints }] },
    })
}

/// A filter chain.
pub(super) fn chain(matching: Option<Value>, socket: Option<Value>, filter: Value) -> Value {
    let mut chain = json!({ "filters": [filter] });
    if let Some(matching) = matching {
        chain["filter_chain_match"] = matching;
    }
    if let Some(socket) = socket {
        chain["transport_socket"] = socket;
    }
    chain
}

/// A TLS transport socket with this context.
pub(super) fn tls(context: &str, mut config: Value) -> Value {
    config["@type"] =
        json!(format!("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{context}"));
    json!({ "name": "envoy.transport_sockets.tls", "typed_config": config })
}
