//! The tables as a whole, and spot checks of what rules rely on.

use super::table::{Base, parse_line};
use super::{
    Field, Index, Lookup, Object, TABLES, Type, index, is_deprecated_version, lookup, release, suggest_kind,
};

fn known(api_version: &str, kind: &str) -> &'static Object {
    match lookup(api_version, kind) {
        Lookup::Known(object) => object,
        other => panic!("{api_version} {kind}: {other:?}"),
    }
}

/// The field at a path of names; lists and maps on the way are entered.
fn at(api_version: &str, kind: &str, path: &str) -> Field {
    let mut object = Some(known(api_version, kind));
    let mut found = None;
    for name in path.split('.') {
        let field = object.unwrap_or_else(|| panic!("nothing below {path}")).field(name);
        let field = field.unwrap_or_else(|| panic!("{kind} has no {name} of {path}"));
        object = inner(&field.ty);
        found = Some(field.clone());
    }
    found.unwrap()
}

fn inner(ty: &Type) -> Option<&'static Object> {
    match ty {
        Type::Object(object) => Some(object),
        Type::List(ty) | Type::Map(ty) => inner(ty),
        _ => None,
    }
}

fn string() -> Type {
    Type::String { values: Vec::new() }
}

fn map_of_strings() -> Type {
    Type::Map(Box::new(string()))
}

#[test]
fn every_line_of_every_table_parses() {
    for (table, (name, text)) in TABLES.into_iter().enumerate() {
        let mut previous = 0;
        let mut may_nest = false;
        let mut index = Index::default();
        for (number, line) in text.lines().enumerate() {
            let place = format!("{name}:{}: {line}", number + 1);
            let indent = line.len() - line.trim_start_matches(' ').len();
            if indent == 0 {
                assert!(index.add(table, line, ""), "{place}");
                may_nest = !line.starts_with("exists ") && !line.starts_with("partial ");
            } else {
                let parsed = parse_line(line).unwrap_or_else(|| panic!("{place}"));
                assert!(indent <= previous || (indent == previous + 1 && may_nest), "{place}: too deep");
                may_nest = matches!(parsed.base, Base::Inline { .. });
                assert!(parsed.field.pattern.is_none_or(|pattern| !pattern.is_empty()), "{place}");
            }
            previous = indent;
        }
    }
}

#[test]
fn every_definition_is_defined_and_none_contains_itself() {
    // What cannot be resolved, or does not end, becomes `Any`; so count those that the tables ask for.
    for (name, text) in TABLES {
        let has = |text: &str, wanted: &str| {
            text.lines().any(|line| {
                line.strip_prefix("def ").is_some_and(|name| name.split(' ').next() == Some(wanted))
            })
        };
        for line in text.lines().filter(|line| line.starts_with(' ')) {
            if let Base::Named(wanted) = parse_line(line).unwrap().base {
                assert!(has(text, wanted) || has(TABLES[0].1, wanted), "{name}: no definition for {line}");
            }
        }
    }
    fn depth(object: &Object) -> usize {
        let deepest = object.fields.iter().filter_map(|field| inner(&field.ty)).map(depth).max();
        deepest.map_or(1, |deepest| deepest + 1)
    }
    let deepest = index().kinds().iter().map(|entry| depth(index().object(entry))).max();
    assert!(deepest.is_some_and(|deepest| (5..20).contains(&deepest)), "{deepest:?}");
}

#[test]
fn no_kind_is_lost() {
    let listed = |group: &str| {
        let entries = index().kinds().iter().filter(|entry| entry.group.ends_with(group));
        let mut versions: Vec<String> = entries
            .flat_map(|entry| entry.versions().map(|version| format!("{}/{version}", entry.kind)))
            .collect();
        versions.sort();
        versions
    };
    assert_eq!(
        listed("networking.istio.io"),
        [
            "DestinationRule/v1",
            "DestinationRule/v1alpha3",
            "DestinationRule/v1beta1",
            "EnvoyFilter/v1alpha3",
            "Gateway/v1",
            "Gateway/v1alpha3",
            "Gateway/v1beta1",
            "ProxyConfig/v1beta1",
            "ServiceEntry/v1",
            "ServiceEntry/v1alpha3",
            "ServiceEntry/v1beta1",
            "Sidecar/v1",
            "Sidecar/v1alpha3",
            "Sidecar/v1beta1",
            "VirtualService/v1",
            "VirtualService/v1alpha3",
            "VirtualService/v1beta1",
            "WorkloadEntry/v1",
            "WorkloadEntry/v1alpha3",
            "WorkloadEntry/v1beta1",
            "WorkloadGroup/v1",
            "WorkloadGroup/v1alpha3",
            "WorkloadGroup/v1beta1",
        ]
    );
    assert_eq!(listed("istio.io").len(), 33);
    assert_eq!(listed("gateway.networking.k8s.io").len(), 19);
    assert_eq!(listed("apps"), ["DaemonSet/v1", "Deployment/v1", "ReplicaSet/v1", "StatefulSet/v1"]);
    assert_eq!(listed("autoscaling"), ["HorizontalPodAutoscaler/v1", "HorizontalPodAutoscaler/v2"]);
    assert_eq!(index().kinds().len(), 63);
}

#[test]
fn the_tables_stay_small_enough_for_a_browser() {
    let size: usize = TABLES.iter().map(|(_, text)| text.len()).sum();
    assert!(size < 100_000, "{size} bytes");
}

#[test]
fn a_virtual_service_has_the_fields_that_routing_needs() {
    let field = |path| at("networking.istio.io/v1", "VirtualService", path);
    assert_eq!(field("spec.http.match.sourceLabels").ty, map_of_strings());
    assert_eq!(field("spec.http.match.uri.regex").ty, string());
    assert!(matches!(field("spec.http.match.headers").ty, Type::Map(_)));
    assert!(matches!(field("spec.http.route.weight").ty, Type::Integer { .. }));
    assert_eq!(field("spec.http.timeout").ty, Type::Duration);
    assert!(field("spec.http.route.destination.host").required);
    assert_eq!(
        field("spec.http.route.destination.port.number").ty,
        Type::Integer { min: Some(0), max: Some(u32::MAX.into()) }
    );
    assert!(matches!(field("spec.http.fault.delay.percentage.value").ty, Type::Number { .. }));
    assert!(field("spec.http.corsPolicy.allowOrigin").deprecated);
    assert_eq!(field("status").ty, Type::Any);
}

#[test]
fn other_istio_kinds_have_theirs() {
    let field = |path| at("networking.istio.io/v1beta1", "DestinationRule", path);
    assert_eq!(field("spec.subsets.labels").ty, map_of_strings());
    assert!(field("spec.subsets.name").required);
    assert_eq!(field("spec.trafficPolicy.loadBalancer.consistentHash.httpCookie.ttl").ty, Type::Duration);
    assert_eq!(
        field("spec.trafficPolicy.tls.mode").ty,
        Type::String { values: vec!["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"] }
    );
    let mode = at("security.istio.io/v1", "PeerAuthentication", "spec.mtls.mode");
    assert_eq!(mode.ty, Type::String { values: vec!["UNSET", "DISABLE", "PERMISSIVE", "STRICT"] });
    let hosts = at("networking.istio.io/v1", "ServiceEntry", "spec.hosts");
    assert!(hosts.required && hosts.size.min == Some(1) && hosts.size.contains(1) && !hosts.size.contains(0));
}

#[test]
fn the_configuration_of_a_plugin_is_open() {
    let config = at("extensions.istio.io/v1alpha1", "WasmPlugin", "spec.pluginConfig");
    assert!(inner(&config.ty).is_some_and(|object| object.open && object.fields.is_empty()));
    assert!(
        inner(&at("extensions.istio.io/v1alpha1", "WasmPlugin", "spec").ty).is_some_and(|spec| !spec.open)
    );
}

#[test]
fn kubernetes_kinds_share_their_definitions() {
    let port = at("apps/v1", "Deployment", "spec.template.spec.containers.ports.containerPort");
    assert!(port.required);
    assert_eq!(port.ty, Type::Integer { min: Some(1), max: Some(65535) });
    assert_eq!(at("v1", "Service", "spec.ports.targetPort").ty, Type::IntOrString);
    assert_eq!(at("v1", "Service", "spec.selector").ty, map_of_strings());
    assert_eq!(at("v1", "Service", "metadata.labels").ty, map_of_strings());
    assert_eq!(at("v1", "Pod", "metadata.creationTimestamp").ty, Type::Timestamp);
    let limits = at("v1", "Pod", "spec.containers.resources.limits");
    assert_eq!(limits.ty, Type::Map(Box::new(Type::Quantity)));
    let pod_spec = |api_version, kind, path| inner(&at(api_version, kind, path).ty).unwrap();
    assert!(std::ptr::eq(
        pod_spec("apps/v1", "Deployment", "spec.template.spec"),
        pod_spec("batch/v1", "CronJob", "spec.jobTemplate.spec.template.spec"),
    ));
    assert_eq!(at("v1", "List", "items").ty, Type::List(Box::new(Type::Any)));
    assert!(at("v1", "List", "metadata").ty != at("v1", "Pod", "metadata").ty);
}

#[test]
fn a_rollout_is_known_only_as_far_as_it_is_like_a_deployment() {
    let spec = at("argoproj.io/v1alpha1", "Rollout", "spec");
    assert!(inner(&spec.ty).is_some_and(|spec| spec.open && spec.field("strategy").is_none()));
    let image = at("argoproj.io/v1alpha1", "Rollout", "spec.template.spec.containers.image");
    assert_eq!(image.ty, string());
    assert_eq!(lookup("argoproj.io/v1alpha1", "AnalysisTemplate"), Lookup::Foreign);
}

#[test]
fn what_is_not_known_is_told_apart() {
    let unknown = |served: &[&'static str]| Lookup::UnknownVersion { served: served.to_vec() };
    assert_eq!(lookup("networking.istio.io/v2", "Gateway"), unknown(&["v1", "v1beta1", "v1alpha3"]));
    assert_eq!(lookup("extensions/v1beta1", "Ingress"), Lookup::Foreign);
    assert_eq!(lookup("apps/v1beta2", "Deployment"), unknown(&["v1"]));
    assert_eq!(lookup("autoscaling/v2beta2", "HorizontalPodAutoscaler"), unknown(&["v1", "v2"]));
    assert_eq!(lookup("storage.k8s.io/v1beta1", "StorageClass"), unknown(&["v1"]));
    assert_eq!(lookup("networking.istio.io/v1", "VirtualServices"), Lookup::UnknownKind);
    assert_eq!(lookup("networking.istio.io/v1", "AuthorizationPolicy"), Lookup::UnknownKind);
    assert_eq!(lookup("apps/v1", "Deploiment"), Lookup::UnknownKind);
    assert_eq!(lookup("apps/v1", "ControllerRevision"), Lookup::Foreign);
    assert_eq!(lookup("gateway.networking.x-k8s.io/v1alpha1", "XListenerSet"), Lookup::Foreign);
    assert_eq!(lookup("v1", "VirtualService"), Lookup::UnknownKind);
    assert_eq!(lookup("v1", "Node"), Lookup::Foreign);
    assert_eq!(lookup("install.istio.io/v1alpha1", "IstioOperator"), Lookup::Foreign);
    assert_eq!(lookup("", ""), Lookup::Foreign);
    assert!(is_deprecated_version("gateway.networking.k8s.io/v1alpha2", "TCPRoute"));
    assert!(!is_deprecated_version("gateway.networking.k8s.io/v1", "TCPRoute"));
}

#[test]
fn a_table_says_which_release_it_describes() {
    let starts = |api_version, start: &str| release(api_version).is_some_and(|name| name.starts_with(start));
    assert!(starts("security.istio.io/v1", "Istio 1."));
    assert!(starts("apps/v1", "Kubernetes 1."));
    assert!(starts("gateway.networking.k8s.io/v1", "Gateway API v1."));
    assert_eq!(release("argoproj.io/v1alpha1"), None);
    assert_eq!(release("example.org/v1"), None);
}

#[test]
fn a_slip_is_explained() {
    let spec = |api_version, kind, path| inner(&at(api_version, kind, path).ty).unwrap();
    let matches = spec("networking.istio.io/v1", "VirtualService", "spec.http.match");
    assert_eq!(matches.suggest("sourcelabels"), Some("sourceLabels"));
    assert_eq!(matches.suggest("source_labels"), Some("sourceLabels"));
    assert_eq!(matches.suggest("sourceLabel"), Some("sourceLabels"));
    assert_eq!(matches.suggest("header"), Some("headers"));
    assert_eq!(matches.suggest("entirelyDifferent"), None);
    let subsets = spec("networking.istio.io/v1", "DestinationRule", "spec.subsets");
    assert_eq!(subsets.suggest("lables"), Some("labels"));
    assert_eq!(subsets.suggest("x"), None);
    assert_eq!(suggest_kind("networking.istio.io/v1", "virtualservice"), Some("VirtualService"));
    assert_eq!(suggest_kind("apps/v1", "Deploiment"), Some("Deployment"));
}

#[test]
fn fields_are_sorted_and_unique() {
    fn check(object: &Object, path: &str) {
        for pair in object.fields.windows(2) {
            assert!(pair[0].name < pair[1].name, "{path}: {} {}", pair[0].name, pair[1].name);
        }
        for field in &object.fields {
            if let Some(object) = inner(&field.ty) {
                check(object, &format!("{path}.{}", field.name));
            }
        }
    }
    for entry in index().kinds() {
        check(index().object(entry), entry.kind);
    }
}
