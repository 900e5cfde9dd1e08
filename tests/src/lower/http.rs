//! `http` rules to Envoy routes, as `pilot/pkg/networking/core/route/route.go` does it. Reads the objects' YAML and
//! not the product's view of it: Envoy alone says what a match means.

use coalmine::mesh::gateways::resolve_gateway_name;
use coalmine::resource::field::Map;
use serde_json::{Value, json};

/// The proxy that routes are built for, as far as rules tell proxies apart.
pub(super) struct Context<'c> {
    /// `mesh`, or `namespace/name` of the Gateway.
    pub binding: &'c str,
    /// The pods' labels.
    pub labels: &'c Map<String>,
    /// The pods' namespace, when known.
    pub namespace: Option<&'c str>,
    /// The port the request came in on.
    pub port: u32,
    /// The cluster of a destination.
    pub cluster: &'c dyn Fn(&Value) -> String,
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn pairs(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The routes of one VirtualService's `http`, in order (`BuildHTTPRoutesForVirtualService`). Each is named
/// `<name>#<rule>.<block>`, so that an answer says which one took the request.
pub(super) fn routes(spec: &Value, name: &str, namespace: &str, context: &Context<'_>) -> Vec<Value> {
    let mut out = Vec::new();
    for (index, rule) in list(&spec["http"]).iter().enumerate() {
        let blocks = list(&rule["match"]);
        if blocks.is_empty() {
            out.extend(route(rule, None, &format!("{name}#{index}.-"), namespace, context));
            return out;
        }
        for (place, block) in blocks.iter().enumerate() {
            let route = route(rule, Some(block), &format!("{name}#{index}.{place}"), namespace, context);
            let ends = route.as_ref().is_some_and(is_catch_all);
            out.extend(route);
            if ends {
                return out;
            }
        }
    }
    out
}

/// `SortVHostRoutes`: routes that take everything go last.
pub(super) fn sort(routes: Vec<Value>) -> Vec<Value> {
    let (all, mut sorted): (Vec<Value>, Vec<Value>) = routes.into_iter().partition(is_catch_all);
    sorted.extend(all);
    sorted
}

/// `IsCatchAllRoute`
fn is_catch_all(route: &Value) -> bool {
    let tests = &route["match"];
    let any_path = tests["prefix"] == "/" || tests["safe_regex"]["regex"] == ".*";
    any_path && list(&tests["headers"]).is_empty() && list(&tests["query_parameters"]).is_empty()
}

/// `sourceMatchHTTP`
fn is_for(block: &Value, namespace: &str, context: &Context<'_>) -> bool {
    let gateways = list(&block["gateways"]);
    if !gateways.is_empty() {
        return gateways.iter().filter_map(Value::as_str).any(|gateway| match gateway {
            "mesh" => context.binding == "mesh",
            gateway => {
                let (namespace, name) = resolve_gateway_name(gateway, namespace);
                context.binding == format!("{namespace}/{name}")
            }
        });
    }
    let labels = pairs(&block["sourceLabels"]).all(|(key, value)| context.labels.text(key) == value.as_str());
    labels
        && block["sourceNamespace"]
            .as_str()
            .is_none_or(|own| own.is_empty() || Some(own) == context.namespace)
}

/// `TranslateRoute`
fn route(
    rule: &Value,
    block: Option<&Value>,
    name: &str,
    namespace: &str,
    context: &Context<'_>,
) -> Option<Value> {
    if let Some(block) = block {
        let other_port =
            block["port"].as_u64().is_some_and(|port| port != 0 && port != u64::from(context.port));
        if other_port || !is_for(block, namespace, context) {
            return None;
        }
    }
    let operations = Operations::of(&rule["headers"]);
    let mut route = json!({ "name": name, "match": tests(block) });
    if rule["redirect"].is_object() {
        route["redirect"] = redirect(&rule["redirect"], context.port)?;
    } else if rule["directResponse"].is_object() {
        let answer = &rule["directResponse"];
        route["direct_response"] = json!({ "status": answer["status"] });
        if let Some(text) = answer["body"]["string"].as_str() {
            route["direct_response"]["body"] = json!({ "inline_string": text });
        }
        if let Some(bytes) = answer["body"]["bytes"].as_str() {
            route["direct_response"]["body"] = json!({ "inline_bytes": bytes });
        }
    } else {
        let (action, own) = destinations(rule, &operations, context);
        route["route"] = action;
        let mut operations = operations;
        operations.extend(own);
        operations.write(&mut route);
        return Some(with_fault(route, rule));
    }
    operations.write(&mut route);
    Some(with_fault(route, rule))
}

fn with_fault(mut route: Value, rule: &Value) -> Value {
    if let Some(fault) = fault(&rule["fault"]) {
        route["typed_per_filter_config"] = json!({ "envoy.filters.http.fault": fault });
    }
    route
}

/// `TranslateFault`; without a percentage nothing is aborted.
fn fault(fault: &Value) -> Option<Value> {
    let status = fault["abort"]["httpStatus"].as_u64()?;
    let mut abort = json!({ "http_status": status });
    if let Some(percent) = fault["abort"]["percentage"].as_object() {
        let value = percent.get("value").and_then(Value::as_f64).unwrap_or(0.0);
        abort["percentage"] =
            json!({ "numerator": (value * 10_000.0).round() as u64, "denominator": "MILLION" });
    }
    Some(json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
        "abort": abort,
    }))
}

/// `applyHTTPRouteDestination`: the action, and the header operations of a single destination.
fn destinations(rule: &Value, operations: &Operations, context: &Context<'_>) -> (Value, Operations) {
    let mut action = json!({ "timeout": "0s" });
    let rewrite = &rule["rewrite"];
    let regex = &rewrite["uriRegexRewrite"];
    if regex.is_object() {
        action["regex_rewrite"] =
            json!({ "pattern": { "regex": regex["match"] }, "substitution": regex["rewrite"] });
    } else if let Some(uri) = rewrite["uri"].as_str().filter(|uri| !uri.is_empty()) {
        action["prefix_rewrite"] = json!(uri);
    }
    let authority = rewrite["authority"].as_str().filter(|authority| !authority.is_empty());
    if let Some(authority) = authority.map(str::to_owned).or_else(|| operations.authority.clone()) {
        action["host_rewrite_literal"] = json!(authority);
    }
    let entries = list(&rule["route"]);
    if let [only] = entries {
        action["cluster"] = json!((context.cluster)(&only["destination"]));
        let own = Operations::of(&only["headers"]);
        if let Some(authority) = &own.authority
            && action.get("host_rewrite_literal").is_none()
        {
            action["host_rewrite_literal"] = json!(authority);
        }
        return (action, own);
    }
    let weighted: Vec<Value> = entries
        .iter()
        .filter_map(|entry| {
            let weight = entry["weight"].as_u64().filter(|weight| *weight > 0)?;
            let mut cluster = json!({ "name": (context.cluster)(&entry["destination"]), "weight": weight });
            let own = Operations::of(&entry["headers"]);
            if let Some(authority) = &own.authority {
                cluster["host_rewrite_literal"] = json!(authority);
            }
            own.write(&mut cluster);
            Some(cluster)
        })
        .collect();
    action["weighted_clusters"] = json!({ "clusters": weighted });
    (action, Operations::default())
}

/// `ApplyRedirect`; `None` for a code that Istio does not know.
fn redirect(redirect: &Value, port: u32) -> Option<Value> {
    let text = |key: &str| redirect[key].as_str().filter(|text| !text.is_empty());
    let code = match redirect["redirectCode"].as_u64() {
        None | Some(0 | 301) => "MOVED_PERMANENTLY",
        Some(302) => "FOUND",
        Some(303) => "SEE_OTHER",
        Some(307) => "TEMPORARY_REDIRECT",
        Some(308) => "PERMANENT_REDIRECT",
        Some(_) => return None,
    };
    let mut action = json!({ "response_code": code });
    if let Some(authority) = text("authority") {
        action["host_redirect"] = json!(authority);
    }
    match text("prefixRewrite") {
        Some(prefix) => action["prefix_rewrite"] = json!(prefix),
        None => action["path_redirect"] = json!(text("uri").unwrap_or("")),
    }
    if let Some(scheme) = text("scheme") {
        action["scheme_redirect"] = json!(scheme);
    }
    let chosen = match (redirect["port"].as_u64(), redirect["derivePort"].as_str()) {
        (Some(port), _) => Some(port),
        (None, Some("FROM_REQUEST_PORT")) => Some(u64::from(port)),
        _ => None,
    };
    let scheme = text("scheme").unwrap_or("http");
    if let Some(port) = chosen.filter(|port| !matches!((*port, scheme), (80, "http") | (443, "https"))) {
        action["port_redirect"] = json!(port);
    }
    Some(action)
}

/// `TranslateRouteMatch`
fn tests(block: Option<&Value>) -> Value {
    let Some(block) = block else { return json!({ "prefix": "/" }) };
    let mut headers: Vec<Value> = pairs(&block["headers"]).map(|(name, test)| header(name, test)).collect();
    headers.extend(pairs(&block["withoutHeaders"]).map(|(name, test)| {
        let mut matcher = header(name, test);
        matcher["invert_match"] = json!(true);
        if !is_presence(test) {
            matcher["treat_missing_header_as_empty"] = json!(true);
        }
        matcher
    }));
    for (field, name) in [("method", ":method"), ("authority", ":authority"), ("scheme", ":scheme")] {
        if block[field].is_object() {
            headers.push(header(name, &block[field]));
        }
    }
    let parameters: Vec<Value> = pairs(&block["queryParams"])
        .map(|(name, test)| match is_presence(test) {
            true => json!({ "name": name, "present_match": true }),
            false => json!({ "name": name, "string_match": text(test) }),
        })
        .collect();
    let uri = &block["uri"];
    let mut tests = if uri["exact"].is_string() {
        json!({ "path": uri["exact"] })
    } else if uri["prefix"].is_string() {
        json!({ "prefix": uri["prefix"] })
    } else if uri["regex"].is_string() {
        json!({ "safe_regex": { "regex": uri["regex"] } })
    } else {
        json!({ "prefix": "/" })
    };
    tests["case_sensitive"] = json!(block["ignoreUriCase"] != true);
    tests["headers"] = json!(headers);
    tests["query_parameters"] = json!(parameters);
    tests
}

/// `canBeConvertedToPresentMatch`
fn is_presence(test: &Value) -> bool {
    let is_set = |key: &str| test[key].is_string();
    test["regex"] == "*" || !(is_set("exact") || is_set("prefix") || is_set("regex"))
}

/// `translateHeaderMatch`
fn header(name: &str, test: &Value) -> Value {
    match is_presence(test) {
        true => json!({ "name": name, "present_match": true }),
        false => json!({ "name": name, "string_match": text(test) }),
    }
}

/// `ConvertToEnvoyMatch`
fn text(test: &Value) -> Value {
    if test["exact"].is_string() {
        json!({ "exact": test["exact"] })
    } else if test["prefix"].is_string() {
        json!({ "prefix": test["prefix"] })
    } else {
        json!({ "safe_regex": { "regex": test["regex"] } })
    }
}

/// `TranslateHeadersOperations`
#[derive(Default)]
struct Operations {
    request_add: Vec<Value>,
    request_remove: Vec<Value>,
    response_add: Vec<Value>,
    response_remove: Vec<Value>,
    authority: Option<String>,
}

impl Operations {
    fn of(headers: &Value) -> Self {
        let (request, response) = (&headers["request"], &headers["response"]);
        let authority = |values: &Value| {
            let own = pairs(values).filter(|(name, _)| is_authority(name));
            own.filter_map(|(_, value)| value.as_str())
                .filter(|value| !value.is_empty())
                .last()
                .map(str::to_owned)
        };
        let add = |values: &Value| {
            let set = added(&values["set"], "OVERWRITE_IF_EXISTS_OR_ADD");
            [set, added(&values["add"], "APPEND_IF_EXISTS_OR_ADD")].concat()
        };
        let remove = |values: &Value| {
            let names = list(&values["remove"]).iter();
            names.filter(|name| name.as_str().is_some_and(|name| !is_internal(name))).cloned().collect()
        };
        Self {
            authority: authority(&request["set"]).or_else(|| authority(&request["add"])),
            request_add: add(request),
            request_remove: remove(request),
            response_add: add(response),
            response_remove: remove(response),
        }
    }

    fn extend(&mut self, other: Self) {
        self.request_add.extend(other.request_add);
        self.request_remove.extend(other.request_remove);
        self.response_add.extend(other.response_add);
        self.response_remove.extend(other.response_remove);
    }

    fn write(self, target: &mut Value) {
        target["request_headers_to_add"] = json!(self.request_add);
        target["request_headers_to_remove"] = json!(self.request_remove);
        target["response_headers_to_add"] = json!(self.response_add);
        target["response_headers_to_remove"] = json!(self.response_remove);
    }
}

/// `translateAppendHeaders`
fn added(values: &Value, action: &str) -> Vec<Value> {
    let mut named: Vec<(&String, &Value)> = pairs(values).filter(|(name, _)| !is_internal(name)).collect();
    named.sort_by_key(|(name, _)| *name);
    let one = |(name, value): (&String, &Value)| json!({ "header": { "key": name, "value": value }, "append_action": action });
    named.into_iter().map(one).collect()
}

fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case(":authority") || name.eq_ignore_ascii_case("host")
}

fn is_internal(name: &str) -> bool {
    name.starts_with(':') || name.eq_ignore_ascii_case("host")
}
