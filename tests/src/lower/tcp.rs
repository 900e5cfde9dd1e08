//! `tcp` rules to clusters with weights, as `core/tls.go` and `core/gateway.go` do it.

use coalmine::mesh::gateways::resolve_gateway_name;
use serde_json::Value;

use super::http::Context;

/// A choice: clusters and their weights.
pub(super) type Choice = Vec<(String, u64)>;

/// What the first rule that is for this sidecar leads to (`buildSidecarOutboundTCPFilterChainOpts`). Every
/// condition counts, and `destinationSubnets` are not lowered.
pub(super) fn for_sidecar(spec: &Value, namespace: &str, context: &Context<'_>) -> Option<Choice> {
    let is_for = |block: &Value| {
        let labels = block["sourceLabels"].as_object().into_iter().flatten();
        let own = block["sourceNamespace"].as_str().filter(|own| !own.is_empty());
        at_port_and_gateway(block, namespace, context)
            && labels.into_iter().all(|(key, value)| context.labels.text(key) == value.as_str())
            && own.is_none_or(|own| Some(own) == context.namespace)
    };
    first(spec, is_for, context)
}

/// What the first rule for this gateway leads to (`buildGatewayNetworkFiltersFromTCPRoutes`): only port and gateway
/// count, clients are not told apart.
pub(super) fn for_gateway(spec: &Value, namespace: &str, context: &Context<'_>) -> Option<Choice> {
    first(spec, |block| at_port_and_gateway(block, namespace, context), context)
}

fn first(spec: &Value, is_for: impl Fn(&Value) -> bool, context: &Context<'_>) -> Option<Choice> {
    let rules = spec["tcp"].as_array().into_iter().flatten();
    for rule in rules {
        let blocks = rule["match"].as_array().map_or(&[][..], Vec::as_slice);
        if blocks.is_empty() || blocks.iter().any(&is_for) {
            return Some(choice(rule, context));
        }
    }
    None
}

fn at_port_and_gateway(block: &Value, namespace: &str, context: &Context<'_>) -> bool {
    let port = block["port"].as_u64().is_none_or(|port| port == 0 || port == u64::from(context.port));
    let gateways = block["gateways"].as_array().map_or(&[][..], Vec::as_slice);
    let named = |gateway: &str| match gateway {
        "mesh" => context.binding == "mesh",
        gateway => {
            let (namespace, name) = resolve_gateway_name(gateway, namespace);
            context.binding == format!("{namespace}/{name}")
        }
    };
    port && (gateways.is_empty() || gateways.iter().filter_map(Value::as_str).any(named))
}

/// `buildOutboundNetworkFilters`
fn choice(rule: &Value, context: &Context<'_>) -> Choice {
    let entries = rule["route"].as_array().map_or(&[][..], Vec::as_slice);
    if let [only] = entries {
        return vec![((context.cluster)(&only["destination"]), 1)];
    }
    let weighted = entries.iter().filter_map(|entry| {
        let weight = entry["weight"].as_u64().filter(|weight| *weight > 0)?;
        Some(((context.cluster)(&entry["destination"]), weight))
    });
    weighted.collect()
}
