//! The mTLS table and the route tracer answer one question in two ways: whether a call of a client meets the TLS of
//! the pods that it gets to. Here they must agree, on the shipped manifests and on generated meshes.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use coalmine::mesh::registry::{Host, Port, Protocol};
use coalmine::mesh::workloads::Proxy;
use coalmine::mesh::{Assume, Mesh};
use coalmine::route::{End, Flag, Known, Outcome, Request, Source, trace};
use coalmine::states::states;
use coalmine::tls_check::{Caller, Question, Status, callers, table};
use coalmine::{Files, Input, Settings};
use proptest::prelude::*;

/// `host:port through subset: status`, and the same of pods.
type Facts = BTreeSet<String>;

fn fact(host: &str, port: u32, of: &str, status: &str) -> String {
    format!("{host}:{port} {of}: {status}")
}

/// What the table says about a client.
fn by_table(mesh: &Mesh<'_>, caller: &Caller<'_, '_>) -> Facts {
    let name = format!("{}/{}", caller.namespace(), caller.name());
    let mut facts = Facts::new();
    for row in table(mesh, Question { service: None, from: Some(&name) }).rows {
        let status = match row.answer.status {
            Status::Ok => "answered",
            Status::Conflict => "TLS",
            Status::NoSubset => "NC",
            Status::Unknown => "unknown",
        };
        if !row.host.selects_pods() {
            continue;
        }
        let (host, port) = (&row.host.name, row.port.number);
        for subset in row.subsets {
            facts.insert(fact(host, port, &format!("subset {}", subset.unwrap_or("-")), status));
        }
        for pods in row.workloads {
            facts.insert(fact(host, port, &format!("pods {}", pods.resource.name.value), status));
        }
    }
    facts
}

/// What becomes of one outcome of a request.
fn add_outcome(mesh: &Mesh<'_>, outcome: &Outcome, facts: &mut Facts) {
    let (Some(name), Some(port)) = (outcome.host.as_deref(), outcome.port) else { return };
    let Some(host) = mesh.registry.named(name).next() else { return };
    if !host.selects_pods() || host.port(port).is_none() {
        return;
    }
    let subset = outcome.subset.as_ref().map_or("-", |(name, _)| name.as_str());
    let subset = format!("subset {subset}");
    if let End::Failed(failure) = &outcome.end
        && failure.flag == Flag::Nc
    {
        facts.insert(fact(name, port, &subset, "NC"));
    }
    for endpoint in &outcome.endpoints {
        let status = match &endpoint.end {
            End::Failed(failure) if failure.flag == Flag::Uc => "TLS",
            End::Failed(failure) if failure.flag == Flag::Uf && failure.reason.contains("handshake") => "TLS",
            // Pods that do not listen, or are not there, are not a matter of TLS.
            End::Failed(_) => continue,
            _ => "answered",
        };
        facts.insert(fact(name, port, &subset, status));
        facts.insert(fact(name, port, &format!("pods {}", endpoint.workload.object.name), status));
    }
}

fn schemes(port: &Port<'_>) -> &'static [&'static str] {
    match port.protocol {
        Protocol::Udp => &[],
        protocol if protocol.is_http() => &["http"],
        protocol if protocol.is_tls() => &["tls", "tcp"],
        Protocol::Sniffed => &["http", "tcp"],
        _ => &["tcp"],
    }
}

/// Everything that a client can ask for: every port of every host, or of a gateway's servers, with and without the
/// headers.
fn requests(mesh: &Mesh<'_>, caller: &Caller<'_, '_>, headers: &[(&str, &str)]) -> Vec<Request> {
    let mut urls: Vec<String> = Vec::new();
    let gateway = mesh.gateways.iter().find(|gateway| match caller {
        Caller::Gateway(own) => std::ptr::eq(*own, *gateway),
        Caller::Workload(pod) => {
            let mut pods = gateway.workloads.iter().filter_map(|id| mesh.workloads.get(*id));
            pods.any(|other| std::ptr::eq(other, *pod))
        }
        Caller::Namespace(_) => false,
    });
    let names: BTreeSet<&str> = mesh
        .routes
        .iter()
        .flat_map(|service| service.hosts.iter().map(|host| host.value.as_str()))
        .map(|host| host.trim_start_matches("*."))
        .collect();
    let from = if let Some(gateway) = gateway {
        let ports = gateway.spec.servers.iter().filter_map(|server| server.port.get());
        for port in ports {
            let number = port.number.get().copied().unwrap();
            let scheme = if port.protocol.text() == "HTTP" { "http" } else { "tcp" };
            urls.extend(names.iter().map(|host| format!("{scheme}://{host}:{number}/")));
        }
        let resource = gateway.resource;
        Source::Gateway { namespace: resource.namespace().to_owned(), name: resource.name.value.clone() }
    } else {
        let known = |host: &Host<'_>| {
            let urls = host.ports.iter().flat_map(|port| {
                schemes(port).iter().map(|scheme| format!("{scheme}://{}:{}/", host.name, port.number))
            });
            urls.collect::<Vec<_>>()
        };
        urls.extend(mesh.registry.iter().flat_map(known));
        urls.extend(names.iter().map(|host| format!("http://{host}:80/")));
        Source::Workload {
            kind: caller.kind().to_owned(),
            namespace: caller.namespace().to_owned(),
            name: caller.name().to_owned(),
        }
    };
    let mut requests = Vec::new();
    for url in urls {
        let plain = Request::parse(&url, from.clone()).unwrap();
        for (name, value) in headers {
            let mut request = plain.clone();
            request.headers.push(((*name).to_owned(), (*value).to_owned()));
            requests.push(request);
        }
        requests.push(plain);
    }
    requests
}

fn by_routes(mesh: &Mesh<'_>, caller: &Caller<'_, '_>, headers: &[(&str, &str)]) -> Facts {
    let mut facts = Facts::new();
    for request in requests(mesh, caller, headers) {
        let Ok(found) = trace(mesh, &request, &Known::default()) else { continue };
        for outcome in found.outcomes().chain(found.mirrors()) {
            add_outcome(mesh, outcome, &mut facts);
        }
    }
    facts
}

fn manifest_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            manifest_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
}

#[test]
fn on_the_shipped_manifests_every_traced_call_is_in_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/voting");
    let mut paths = Vec::new();
    manifest_files(&root, &mut paths);
    paths.sort();
    let mut files = Files::new();
    for path in &paths {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
        if name != "coalmine.yaml" && !name.ends_with(".routes.yaml") {
            files.add(name, fs::read_to_string(path).unwrap());
        }
    }
    let config = fs::read_to_string(root.join("coalmine.yaml")).unwrap();
    let settings = Settings::parse(&config, "").unwrap();
    let input = Input::read(&files, &settings);
    let config = input.mesh_config(&settings);
    let mut calls = 0;
    for state in states(&files, &input.resources, &settings) {
        let mesh = Mesh::new(state.resources.clone(), &config, settings.assume);
        for caller in callers(&mesh) {
            let (table, routes) =
                (by_table(&mesh, &caller), by_routes(&mesh, &caller, &[("cookie", "featureflag=on")]));
            calls += routes.len();
            let missing: Vec<&String> = routes.difference(&table).collect();
            assert!(
                missing.is_empty(),
                "{:?} {}: {missing:#?}\nthe table: {table:#?}",
                state.step,
                caller.name()
            );
        }
    }
    assert!(calls > 50, "{calls} calls");
}

fn object(kind: &str, name: &str, spec: &str) -> String {
    let api = match kind {
        "Service" | "Namespace" => "v1",
        "PeerAuthentication" => "security.istio.io/v1",
        "Deployment" => "apps/v1",
        _ => "networking.istio.io/v1",
    };
    let (namespace, name) = name.split_once('/').unwrap();
    format!(
        "apiVersion: {api}\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n"
    )
}

fn pods(name: &str, labels: &str, has_sidecar: bool) -> String {
    let spec = format!(
        "{{template: {{metadata: {{labels: {{{labels}, sidecar.istio.io/inject: \"{has_sidecar}\"}}}}, \
         spec: {{containers: [{{name: c, ports: [{{containerPort: 8080}}, {{containerPort: 9000}}]}}]}}}}}}"
    );
    object("Deployment", name, &spec)
}

fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(texts)
}

fn tls() -> impl Strategy<Value = &'static str> {
    one_of(&["", "tls: {mode: DISABLE}", "tls: {mode: ISTIO_MUTUAL}", "tls: {mode: SIMPLE}"])
}

fn mode() -> impl Strategy<Value = &'static str> {
    one_of(&["", "{mtls: {mode: STRICT}}", "{mtls: {mode: PERMISSIVE}}", "{mtls: {mode: DISABLE}}"])
}

fn destination() -> impl Strategy<Value = String> {
    let host = one_of(&["web", "web", "db", "web.shop.svc.cluster.local"]);
    let subset = one_of(&["", ", subset: v1", ", subset: v2", ", subset: v3"]);
    let port = one_of(&["", ", port: {number: 80}", ", port: {number: 9000}", ", port: {number: 7000}"]);
    (host, subset, port)
        .prop_map(|(host, subset, port)| format!("destination: {{host: {host}{subset}{port}}}"))
}

/// What the header of the generated rules may be, one value for each rule.
const VALUES: [(&str, &str); 3] = [("x-a", "b"), ("x-a", "c"), ("x-a", "d")];

fn rules(conditions: &'static [&'static str]) -> impl Strategy<Value = String> {
    let matched = prop_oneof![
        2 => Just(String::new()),
        5 => prop::collection::vec(prop::sample::select(conditions), 1..3)
            .prop_map(|blocks| format!("match: [{}], ", blocks.join(", "))),
    ];
    let route = prop_oneof![
        4 => destination().prop_map(|one| format!("{{{one}}}")),
        1 => (destination(), destination(), 0..=100u32).prop_map(|(one, other, weight)| {
            format!("{{{one}, weight: {weight}}}, {{{other}, weight: {}}}", 100 - weight)
        }),
    ];
    let rule = (matched, route).prop_map(|(matched, route)| format!("{{{matched}route: [{route}]}}"));
    // No rule tests what one before it tests: the table takes a condition as possibly true for each.
    prop::collection::vec(rule, 0..4).prop_map(|rules| {
        let rules = rules.iter().zip(VALUES).map(|(rule, (_, value))| rule.replace("VALUE", value));
        rules.collect::<Vec<_>>().join(", ")
    })
}

fn virtual_service(name: &'static str, hosts: &'static [&'static str]) -> impl Strategy<Value = String> {
    const HTTP: &[&str] = &[
        "{sourceLabels: {app: cli}}",
        "{sourceLabels: {app: far}}",
        "{sourceLabels: {version: v1}, headers: {x-a: {exact: VALUE}}}",
        "{sourceNamespace: other}",
        "{headers: {x-a: {exact: VALUE}}}",
        "{port: 80}",
        "{port: 7000}",
        "{gateways: [mesh], sourceLabels: {app: nobody}}",
        "{gateways: [edge/gw]}",
    ];
    const TCP: &[&str] = &[
        "{sourceLabels: {app: cli}}",
        "{sourceLabels: {version: v1}}",
        "{sourceNamespace: other}",
        "{port: 9000}",
        "{port: 7000, gateways: [mesh]}",
        "{gateways: [edge/gw]}",
    ];
    let gateways = one_of(&["", ", gateways: [edge/gw]", ", gateways: [mesh, edge/gw]"]);
    (prop::sample::select(hosts), gateways, rules(HTTP), rules(TCP)).prop_map(
        move |(hosts, gateways, http, tcp)| {
            let spec = format!("{{hosts: [{hosts}]{gateways}, http: [{http}], tcp: [{tcp}]}}");
            object("VirtualService", name, &spec)
        },
    )
}

fn destination_rule() -> impl Strategy<Value = String> {
    let ports = "portLevelSettings: [{port: {number: 9000}, tls: {mode: ISTIO_MUTUAL}}]";
    let port = prop_oneof![3 => Just(""), 1 => Just(ports)];
    (tls(), port, tls(), tls()).prop_map(|(all, port, v1, v2)| {
        let policy = [all, port].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ");
        format!(
            "{{host: web, trafficPolicy: {{{policy}}}, subsets: [{{name: v1, labels: {{version: v1}}, trafficPolicy: \
             {{{v1}}}}}, {{name: v2, labels: {{version: v2}}, trafficPolicy: {{{v2}}}}}]}}"
        )
    })
}

/// Rules that hide the subsets from some clients.
fn hiding() -> impl Strategy<Value = String> {
    let hiding = [
        String::new(),
        object(
            "DestinationRule",
            "shop/cli",
            "{host: web, workloadSelector: {matchLabels: {app: cli}}, trafficPolicy: {tls: {mode: DISABLE}}}",
        ),
        object(
            "DestinationRule",
            "other/web",
            "{host: web.shop.svc.cluster.local, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}",
        ),
        object(
            "DestinationRule",
            "edge/all",
            "{host: '*.local', trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}",
        ),
    ];
    prop::sample::select(hiding.to_vec())
}

fn mesh() -> impl Strategy<Value = String> {
    let policies = (mode(), mode());
    let sidecars = (prop::bool::weighted(0.8), prop::bool::weighted(0.8), prop::bool::weighted(0.8));
    let routes = (
        virtual_service("shop/web", &["web", "web, www.example.com", "www.example.com"]),
        prop::option::of(virtual_service("shop/db", &["db", "db, db.example.com"])),
    );
    (policies, sidecars, routes, destination_rule(), hiding()).prop_map(
        |((all, v1), sidecars, (web, db), rule, hiding)| {
            let ports = "ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9000}, {name: any, port: 7000, targetPort: 8080}]";
            let gateway = "{selector: {istio: edge}, servers: [{port: {number: 80, name: http, protocol: HTTP}, \
                           hosts: ['*']}, {port: {number: 9000, name: tcp, protocol: TCP}, hosts: ['*']}]}";
            let policy = |name, text: &str| match text {
                "" => String::new(),
                spec => object("PeerAuthentication", name, spec),
            };
            let selected = v1.replacen('{', "{selector: {matchLabels: {version: v1}}, ", 1);
            [
                object("Service", "shop/web", &format!("{{selector: {{app: web}}, {ports}}}")),
                object("Service", "shop/db", "{selector: {app: db}, ports: [{name: tcp, port: 9000}]}"),
                pods("shop/web-v1", "app: web, version: v1", sidecars.0),
                pods("shop/web-v2", "app: web, version: v2", sidecars.1),
                pods("shop/db", "app: db", true),
                pods("shop/cli", "app: cli", sidecars.2),
                pods("other/far", "app: far, version: v1", true),
                pods("edge/gw", "istio: edge", true),
                object("Gateway", "edge/gw", gateway),
                policy("shop/default", all),
                policy("shop/v1", if v1.is_empty() { "" } else { &selected }),
                object("DestinationRule", "shop/web", &rule),
                hiding,
                web,
                db.unwrap_or_default(),
            ]
            .concat()
        },
    )
}

fn with<T>(text: &str, judge: impl FnOnce(&Mesh<'_>) -> T) -> T {
    let mut files = Files::new();
    files.add("test.yaml", text);
    let settings = Settings::default();
    let input = Input::read(&files, &settings);
    let config = input.mesh_config(&settings);
    let mesh = Mesh::new(input.resources.iter().collect(), &config, Assume::Closed);
    assert!(mesh.workloads.iter().all(|(_, pods)| pods.proxy != Proxy::Unknown), "{text}");
    judge(&mesh)
}

fn disagreements(text: &str) -> Vec<String> {
    with(text, |mesh| {
        let mut found = Vec::new();
        for caller in callers(mesh) {
            let (table, routes) = (by_table(mesh, &caller), by_routes(mesh, &caller, &VALUES));
            let name = caller.name();
            found.extend(table.difference(&routes).map(|fact| format!("{name}: only the table has {fact}")));
            found
                .extend(routes.difference(&table).map(|fact| format!("{name}: only the routes have {fact}")));
        }
        found
    })
}

/// What the table says about one client.
fn facts_of(text: &str, name: &str) -> Facts {
    with(text, |mesh| {
        let caller = callers(mesh).into_iter().find(|caller| caller.name() == name).unwrap();
        by_table(mesh, &caller)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// For every client the table has what its requests meet, and nothing else.
    #[test]
    fn the_table_and_the_routes_agree_on_generated_meshes(text in mesh()) {
        let found = disagreements(&text);
        prop_assert!(found.is_empty(), "{found:#?}\n{text}");
    }
}

/// A root that deals its clients to two delegates, of which one has a rule behind one that takes everything.
#[test]
fn the_table_and_the_routes_agree_on_delegates() {
    let service = "{selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}";
    let root = "{hosts: [web, www.example.com], gateways: [mesh, edge/gw], http: [{match: [{sourceLabels: {app: cli}}], \
                delegate: {name: one}}, {match: [{headers: {x-a: {exact: b}}}], delegate: {name: gone}}, {delegate: \
                {name: other}}]}";
    let one =
        "{http: [{route: [{destination: {host: web, subset: v1}}]}, {route: [{destination: {host: web}}]}]}";
    let other = "{http: [{match: [{headers: {x-a: {exact: c}}}], route: [{destination: {host: web, subset: v3}}]}, \
                 {route: [{destination: {host: web, subset: v2}}]}]}";
    let rule = "{host: web, trafficPolicy: {tls: {mode: SIMPLE}}, subsets: [{name: v1, labels: {version: v1}, \
                trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}, {name: v2, labels: {version: v2}, trafficPolicy: {tls: \
                {mode: DISABLE}}}]}";
    let gateway = "{selector: {istio: edge}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}";
    let text = [
        object("Service", "shop/web", service),
        pods("shop/web-v1", "app: web, version: v1", true),
        pods("shop/web-v2", "app: web, version: v2", true),
        pods("shop/cli", "app: cli", true),
        pods("shop/far", "app: far", true),
        pods("edge/gw", "istio: edge", true),
        object("Gateway", "edge/gw", gateway),
        object("PeerAuthentication", "shop/default", "{mtls: {mode: STRICT}}"),
        object("DestinationRule", "shop/web", rule),
        object("VirtualService", "shop/root", root),
        object("VirtualService", "shop/one", one),
        object("VirtualService", "shop/other", other),
    ]
    .concat();
    let found = disagreements(&text);
    assert!(found.is_empty(), "{found:#?}");
    let facts = facts_of(&text, "cli");
    let web = "web.shop.svc.cluster.local:80";
    let expected = [format!("{web} pods web-v1: answered"), format!("{web} subset v1: answered")];
    assert_eq!(facts, Facts::from(expected));
    assert!(facts_of(&text, "far").contains(&format!("{web} subset v3: NC")));
}
