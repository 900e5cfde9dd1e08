//! Routing: one test for each behaviour, on the smallest mesh that shows it. Longer than most files, because the
//! behaviours share their meshes.

mod properties;

use super::{End, Flag, Known, Outcome, Request, Share, Source, Trace, calls, trace};
use crate::Files;
use crate::mesh::config::MeshConfig;
use crate::mesh::{Assume, Mesh};
use crate::resource::lower;
use crate::yaml::{Limits, parse};

/// Runs a judgement on the mesh of a text. The whole input counts as the whole mesh.
#[track_caller]
fn with(text: &str, judge: impl FnOnce(&Mesh<'_>)) {
    with_config(text, &MeshConfig::default(), judge);
}

#[track_caller]
fn with_config(text: &str, config: &MeshConfig, judge: impl FnOnce(&Mesh<'_>)) {
    let mut files = Files::new();
    let id = files.add("test.yaml", text);
    let (documents, problems) = parse(id, files.get(id).unwrap(), Limits::default());
    assert!(problems.is_empty(), "{problems:?}");
    let resources = lower(&documents, |_| "shop");
    judge(&Mesh::new(resources.iter().collect(), config, Assume::Closed));
}

fn object(kind: &str, name: &str, spec: &str) -> String {
    let api = match kind {
        "Service" | "Pod" | "ConfigMap" | "Secret" => "v1",
        "WasmPlugin" => "extensions.istio.io/v1alpha1",
        "PeerAuthentication" => "security.istio.io/v1",
        "Deployment" => "apps/v1",
        _ => "networking.istio.io/v1",
    };
    let (namespace, name) = name.split_once('/').unwrap_or(("shop", name));
    format!(
        "apiVersion: {api}\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n{}---\n",
        indented(spec)
    )
}

fn indented(text: &str) -> String {
    text.trim_matches('\n').lines().map(|line| format!("  {line}\n")).collect()
}

/// A deployment of one version; its pods declare port 8080 and have a sidecar.
fn app(name: &str, version: &str) -> String {
    workload(name, version, "ports: [{name: web, containerPort: 8080}]")
}

fn workload(name: &str, version: &str, container: &str) -> String {
    object(
        "Deployment",
        &format!("{name}-{version}"),
        &format!(
            "template:\n  metadata: {{labels: {{app: {name}, version: {version}, sidecar.istio.io/inject: \"true\"}}}}\n  spec: {{containers: [{{name: c, {container}}}]}}"
        ),
    )
}

fn service(name: &str, ports: &str) -> String {
    object("Service", name, &format!("selector: {{app: {name}}}\nports: [{ports}]"))
}

const HTTP: &str = "{name: http, port: 80, targetPort: 8080}";
const GATEWAY: &str = "selector: {istio: ingressgateway}\nservers:\n- {port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}";

/// `web` v1 and v2 behind a gateway; the VirtualService's `http` is the caller's.
fn shop(http: &str) -> String {
    [
        service("web", HTTP),
        app("web", "v1"),
        app("web", "v2"),
        object(
            "DestinationRule",
            "web",
            "host: web\nsubsets:\n- {name: v1, labels: {version: v1}}\n- {name: v2, labels: {version: v2}}",
        ),
        object("Gateway", "gw", GATEWAY),
        object("VirtualService", "web", &format!("hosts: ['*']\ngateways: [gw]\nhttp:\n{http}")),
    ]
    .concat()
}

const V1: &str = "route: [{destination: {host: web, subset: v1}}]";
const V2: &str = "route: [{destination: {host: web, subset: v2}}]";

fn from_gateway(url: &str) -> Request {
    Request::parse(url, Source::AnyGateway).unwrap()
}

fn from_workload(name: &str, url: &str) -> Request {
    let from = Source::Workload {
        kind: "Deployment".to_owned(),
        namespace: "shop".to_owned(),
        name: name.to_owned(),
    };
    Request::parse(url, from).unwrap()
}

#[track_caller]
fn ask(mesh: &Mesh<'_>, request: &Request) -> Trace {
    let trace = trace(mesh, request, &Known::default()).unwrap();
    let sum = trace.outcomes().fold(Share::new(0, 1), |sum, outcome| sum.plus(outcome.share));
    assert_eq!(sum, Share::ALL, "{trace:#?}");
    trace
}

/// `web-v1`, `404 NR`, `301 https://…`: each outcome in a word.
fn word(outcome: &Outcome) -> String {
    match &outcome.end {
        End::Partly(failure) => {
            let names: Vec<&str> =
                outcome.answering().map(|endpoint| endpoint.workload.object.name.as_str()).collect();
            format!("{} or {}", names.join("+"), failure.flag.as_str())
        }
        End::Failed(failure) => {
            let status = failure.status.map_or("-".to_owned(), |status| status.to_string());
            format!("{status} {}", failure.flag.as_str())
        }
        End::Redirect { status, location } => format!("{status} {location}"),
        End::Direct { status, .. } => status.to_string(),
        End::Leaves(_) => "leaves".to_owned(),
        End::Answered => {
            let names: Vec<&str> =
                outcome.endpoints.iter().map(|endpoint| endpoint.workload.object.name.as_str()).collect();
            names.join("+")
        }
    }
}

#[track_caller]
fn words(mesh: &Mesh<'_>, request: &Request) -> String {
    let trace = ask(mesh, request);
    let all: Vec<String> = trace
        .outcomes()
        .map(|outcome| match outcome.share == Share::ALL {
            true => word(outcome),
            false => format!("{} {}", outcome.share, word(outcome)),
        })
        .collect();
    all.join(", ")
}

/// Where a `GET` with these headers goes through the gateway.
#[track_caller]
fn goes(http: &str, url: &str, headers: &[(&str, &str)]) -> String {
    let mut request = from_gateway(url);
    request.headers.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let mut answer = String::new();
    with(&shop(http), |mesh| answer = words(mesh, &request));
    answer
}

#[test]
fn the_first_rule_that_matches_takes_the_request() {
    let http = format!("- match: [{{uri: {{prefix: /api}}}}]\n  {V2}\n- {V1}");
    assert_eq!(goes(&http, "http://a/api", &[]), "web-v2");
    // A prefix knows no segments.
    assert_eq!(goes(&http, "http://a/apix", &[]), "web-v2");
    assert_eq!(goes(&http, "http://a/API", &[]), "web-v1");
}

#[test]
fn requests_that_some_of_the_pods_do_not_answer_are_not_answered() {
    let text = [
        service("db", "{name: tcp-redis, port: 6379}, {name: tcp-sql, port: 3306}"),
        workload("db", "redis", "ports: [{containerPort: 6379}]"),
        workload("db", "sql", "ports: [{containerPort: 3306}]"),
        app("cat", "v1"),
    ]
    .concat();
    with(&text, |mesh| {
        let request = from_workload("cat-v1", "tcp://db:6379");
        assert_eq!(words(mesh, &request), "db-redis or UF");
        let trace = ask(mesh, &request);
        let failure = trace.failure().unwrap();
        assert!(failure.reason.starts_with("some of the pods do not answer (db-sql): "), "{failure:?}");
        assert_eq!(failure.status, None);
    });
    // Pods that are not there take no requests.
    with(&text.replacen("template:", "replicas: 0\n  template:", 1), |mesh| {
        let request = from_workload("cat-v1", "tcp://db:3306");
        let trace = ask(mesh, &request);
        assert!(trace.failure().is_none(), "{trace:#?}");
    });
}

/// Trap 1.
#[test]
fn a_name_that_istio_does_not_complete_has_no_cluster() {
    let http = "- route: [{destination: {host: web.shop}}]";
    assert_eq!(goes(http, "http://a/", &[]), "503 NC");
    let mut files = Files::new();
    // Also where the input is only a part of the mesh.
    let id = files.add("test.yaml", shop(http));
    let (documents, _) = parse(id, files.get(id).unwrap(), Limits::default());
    let resources = lower(&documents, |_| "shop");
    let config = MeshConfig::default();
    let mesh = Mesh::new(resources.iter().collect(), &config, Assume::Open);
    assert_eq!(words(&mesh, &from_gateway("http://a/")), "503 NC");
}

#[test]
fn what_is_not_followed_is_named_where_it_applies() {
    let base = [service("web", HTTP), app("web", "v1"), app("cat", "v1")].concat();
    let notes = |objects: &str| {
        let mut notes = Vec::new();
        with(&format!("{base}{objects}"), |mesh| {
            let request = from_workload("cat-v1", "http://web/");
            notes = ask(mesh, &request).notes;
        });
        notes.join("\n")
    };
    assert_eq!(notes(""), "");
    let policy = |name: &str, spec: &str| {
        let text = object("AuthorizationPolicy", name, spec);
        text.replace("networking.istio.io/v1", "security.istio.io/v1")
    };
    let web = "Deployment shop/web-v1";
    for (text, wanted) in [
        (
            policy("a", "action: ALLOW"),
            format!("AuthorizationPolicy shop/a applies to {web} and is not followed"),
        ),
        (policy("istio-system/a", "{}"), format!("AuthorizationPolicy istio-system/a applies to {web} and")),
        (policy("a", "selector: {matchLabels: {app: web}}"), format!("shop/a applies to {web} and")),
        (policy("a", "selector: {matchLabels: {app: cat}}"), String::new()),
        (policy("other/a", "{}"), String::new()),
        (policy("a", "targetRefs: [{kind: Gateway, name: gw}]"), String::new()),
        (
            object("EnvoyFilter", "e", "configPatches: []"),
            "EnvoyFilter shop/e applies to Deployment shop/cat-v1, Deployment shop/web-v1".to_owned(),
        ),
        (object("EnvoyFilter", "e", "workloadSelector: {labels: {app: dog}}"), String::new()),
        (
            object("Sidecar", "s", "egress: [{hosts: ['./*']}]"),
            "Sidecar shop/s applies to Deployment shop/cat-v1 and is not followed".to_owned(),
        ),
        (
            object("Sidecar", "istio-system/s", "egress: [{hosts: ['./*']}]"),
            "Sidecar istio-system/s applies".to_owned(),
        ),
        (
            object("Sidecar", "s", "workloadSelector: {labels: {app: web}}\negress: [{hosts: ['./*']}]"),
            String::new(),
        ),
        (
            object("Sidecar", "s", "ingress: [{port: {number: 1}}]"),
            format!("Sidecar shop/s applies to {web} and"),
        ),
    ] {
        let notes = notes(&text);
        assert!(
            if wanted.is_empty() { notes.is_empty() } else { notes.contains(&wanted) },
            "{text}\n{notes}"
        );
    }
    // The namespace's Sidecar wins over the root's, and a gateway has none.
    let both = [
        object("Sidecar", "istio-system/s", "egress: [{hosts: ['*/*']}]"),
        object("Sidecar", "s", "egress: [{hosts: ['./*']}]"),
    ]
    .concat();
    assert!(!notes(&both).contains("istio-system"), "{}", notes(&both));
    let gateway = [
        shop(&format!("- {V1}")),
        both,
        policy("istio-ingress/a", "selector: {matchLabels: {istio: ingressgateway}}"),
    ];
    with(&gateway.concat(), |mesh| {
        let notes = ask(mesh, &from_gateway("http://a/")).notes.join("\n");
        assert!(!notes.contains("Sidecar"), "{notes}");
        assert!(notes.contains("istio-ingress/a applies to the pods of Gateway shop/gw"), "{notes}");
    });
}

/// `convertWorkloadInstanceToServiceInstance`: the WorkloadEntry's port of that name, else `targetPort`, else the number.
#[test]
fn a_service_entry_leads_to_its_target_port_or_the_one_that_the_workload_names() {
    let entry = |port: &str| {
        object(
            "ServiceEntry",
            "db",
            &format!(
                "hosts: [db.internal]\nlocation: MESH_INTERNAL\nresolution: STATIC\nports: [{port}]\nworkloadSelector: {{labels: {{app: db}}}}"
            ),
        )
    };
    let vm = |ports: &str| {
        object("WorkloadEntry", "vm", &format!("address: 10.0.0.1\nlabels: {{app: db}}{ports}"))
    };
    for (port, pods, wanted) in [
        ("{number: 80, name: http, protocol: HTTP, targetPort: 8080}", app("db", "v1"), 8080),
        ("{number: 8080, name: http, protocol: HTTP}", app("db", "v1"), 8080),
        ("{number: 80, name: http, protocol: HTTP}", vm("\nports: {http: 8888}"), 8888),
        ("{number: 80, name: http, protocol: HTTP, targetPort: 81}", vm("\nports: {http: 8888}"), 8888),
        ("{number: 80, name: http, protocol: HTTP, targetPort: 81}", vm("\nports: {grpc: 8888}"), 81),
        ("{number: 80, name: http, protocol: HTTP}", vm(""), 80),
    ] {
        let number = if port.contains("number: 8080") { 8080 } else { 80 };
        with(&[entry(port), pods, app("cat", "v1")].concat(), |mesh| {
            let trace = ask(mesh, &from_workload("cat-v1", &format!("http://db.internal:{number}/")));
            let outcome = trace.outcomes().next().unwrap();
            assert_eq!((&outcome.end, outcome.endpoints[0].port), (&End::Answered, Some(wanted)), "{port}");
        });
    }
}

#[test]
fn a_number_for_udp_and_tcp_is_the_one_for_tcp() {
    let ports = "{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}";
    let text = [service("dns", ports), workload("dns", "v1", "image: x"), app("cat", "v1")].concat();
    with(&text, |mesh| assert_eq!(words(mesh, &from_workload("cat-v1", "tcp://dns:53")), "dns-v1"));
    let text = text.replace(", {name: dns-tcp, port: 53, protocol: TCP}", "");
    with(&text, |mesh| assert_eq!(words(mesh, &from_workload("cat-v1", "tcp://dns:53")), "- -"));
}

/// Trap 34.
#[test]
fn servers_that_cannot_share_a_port_with_the_first_are_dropped() {
    let tcp = GATEWAY.replace("name: http, protocol: HTTP", "name: tcp, protocol: TCP");
    let second = [
        object("Gateway", "gw2", &tcp),
        object(
            "VirtualService",
            "tcp",
            "hosts: ['*']\ngateways: [gw2]\ntcp:\n- route: [{destination: {host: web, port: {number: 80}}}]",
        ),
    ]
    .concat();
    let text = shop(&format!("- {V1}"));
    with(&format!("{text}{second}"), |mesh| {
        assert_eq!(words(mesh, &from_gateway("http://a/")), "web-v1");
        assert_eq!(words(mesh, &from_gateway("tcp://a:80")), "400 DPE");
        let notes = ask(mesh, &from_gateway("tcp://a:80")).notes.join("\n");
        assert!(notes.contains("the TCP server of Gateway shop/gw2 is dropped"), "{notes}");
    });
    with(&format!("{second}{text}"), |mesh| {
        assert_eq!(words(mesh, &from_gateway("tcp://a:80")), "web-v1+web-v2");
        assert_eq!(words(mesh, &from_gateway("http://a/")), "web-v1+web-v2");
    });
    // Other addresses are other listeners.
    let second = second.replacen("hosts: ['*']}", "hosts: ['*'], bind: 10.0.0.1}", 1);
    with(&format!("{text}{second}"), |mesh| {
        let notes = ask(mesh, &from_gateway("http://a/")).notes.join("\n");
        assert!(!notes.contains("is dropped"), "{notes}");
    });
}

#[test]
fn an_address_means_the_host_that_has_it() {
    let entry = |addresses: &str, more: &str| {
        let spec = format!(
            "hosts: [db.ext]\naddresses: [{addresses}]\nresolution: STATIC\nlocation: MESH_INTERNAL\n{more}"
        );
        object("ServiceEntry", "db", &spec)
    };
    let pods = "ports: [{number: 3306, name: tcp, protocol: TCP}]\nworkloadSelector: {labels: {app: db}}";
    let db = workload("db", "v1", "ports: [{containerPort: 3306}]");
    let base = [db, app("cat", "v1")].concat();
    let rule = object(
        "VirtualService",
        "db",
        "hosts: [db.ext]\ntcp:\n- route: [{destination: {host: db.ext, port: {number: 3307}}}]",
    );
    let words_of = |text: &str, url: &str| {
        let mut answer = String::new();
        with(text, |mesh| answer = words(mesh, &from_workload("cat-v1", url)));
        answer
    };
    for (addresses, url, wanted) in [
        ("10.1.1.1", "tcp://10.1.1.1:3306", "db-v1"),
        ("10.1.1.0/24", "tcp://10.1.1.9:3306", "db-v1"),
        ("10.1.1.0/24", "tcp://10.1.2.9:3306", "leaves"),
        ("'2001:db8::1'", "tcp://[2001:db8::1]:3306", "db-v1"),
    ] {
        let text = [entry(addresses, pods), base.clone()].concat();
        assert_eq!(words_of(&text, url), wanted, "{addresses} {url}");
        // Its tcp rule is for the address too.
        let wanted = if wanted == "db-v1" { "- NC" } else { wanted };
        assert_eq!(words_of(&[text, rule.clone()].concat(), url), wanted, "{addresses} {url}");
    }
    // The very address before a subnet around it.
    let around = entry("10.0.0.0/8", "ports: [{number: 3306, name: tcp, protocol: TCP}]")
        .replace("db.ext", "other.ext");
    let text = [around, entry("10.1.1.1", pods), base.clone()].concat();
    assert_eq!(words_of(&text, "tcp://10.1.1.1:3306"), "db-v1");
    let web = service("web", HTTP).replace("selector:", "clusterIP: 10.2.2.2\n  selector:");
    let text = [web, app("web", "v1"), app("cat", "v1")].concat();
    assert_eq!(words_of(&text, "http://10.2.2.2/"), "web-v1");
    assert_eq!(words_of(&text, "http://10.2.2.3/"), "leaves");
    assert_eq!(words_of(&text, "http://[::1]/"), "leaves");
}

#[test]
fn names_that_resolve_elsewhere_are_told_from_those_that_do_not() {
    let alias = object("Service", "alias", "type: ExternalName\nexternalName: far.example");
    let text = [alias, service("web", HTTP), app("web", "v1"), app("cat", "v1")].concat();
    with(&text, |mesh| {
        for (url, wanted) in [
            (
                "http://alias/",
                "`alias.shop.svc.cluster.local` is an alias of `far.example`, which is not followed",
            ),
            ("tcp://alias.shop:9000", "`alias.shop.svc.cluster.local` is an alias of `far.example`"),
            ("http://nosuch/", "no Service `nosuch.shop.svc.cluster.local` exists"),
            ("http://nosuch.shop.svc/", "no Service `nosuch.shop.svc.cluster.local` exists"),
            ("http://nosuch.example/", "`nosuch.example` is not in the mesh"),
        ] {
            let trace = ask(mesh, &from_workload("cat-v1", url));
            let text = match &trace.outcomes().next().unwrap().end {
                End::Leaves(text) => text.clone(),
                End::Failed(failure) => failure.reason.clone(),
                other => panic!("{other:?}"),
            };
            assert!(text.starts_with(wanted), "{url}: {text}");
        }
    });
}

/// Trap 38.
#[test]
fn pods_of_a_headless_service_are_called_by_their_own_names() {
    let headless = service("db", &format!("{HTTP}, {{name: tcp, port: 9000}}"))
        .replace("selector:", "clusterIP: None\n  selector:");
    let set = |version: &str| {
        let text = workload("db", version, "ports: [{containerPort: 8080}, {containerPort: 9000}]");
        text.replace("kind: Deployment", "kind: StatefulSet").replacen(
            "template:",
            "replicas: 2\n  template:",
            1,
        )
    };
    let text = [headless, set("v1"), set("v2"), app("cat", "v1")].concat();
    with(&text, |mesh| {
        for (url, wanted) in [
            ("tcp://db:9000", "db-v1+db-v2"),
            ("tcp://db-v1-0.db:9000", "db-v1"),
            ("http://db-v2-1.db.shop/", "db-v2"),
            ("http://db-v2-1.db.shop.svc.cluster.local/", "db-v2"),
            ("tcp://db-v1-2.db:9000", "- -"),
            ("tcp://db-v1-00.db:9000", "- -"),
            ("http://cat-v1-0.db/", "- -"),
        ] {
            assert_eq!(words(mesh, &from_workload("cat-v1", url)), wanted, "{url}");
        }
    });
}

/// Trap 16: what no rule takes has no default.
#[test]
fn a_request_that_no_rule_takes_is_404_nr() {
    let http = format!("- match: [{{uri: {{exact: /a}}}}]\n  {V1}");
    assert_eq!(goes(&http, "http://a/a?x=1", &[]), "web-v1");
    assert_eq!(goes(&http, "http://a/a/", &[]), "404 NR");
    with(&shop(&http), |mesh| {
        let trace = ask(mesh, &from_gateway("http://a/b"));
        assert_eq!(trace.failure().unwrap().flag, Flag::Nr);
    });
}

#[test]
fn a_sidecar_without_a_virtual_service_reaches_every_version() {
    let text = [service("web", HTTP), app("web", "v1"), app("web", "v2"), app("cat", "v1")].concat();
    with(&text, |mesh| {
        assert_eq!(words(mesh, &from_workload("cat-v1", "http://web/")), "web-v1+web-v2");
        assert_eq!(words(mesh, &from_workload("cat-v1", "http://web.shop.svc:80/")), "web-v1+web-v2");
    });
}

#[test]
fn calls_are_the_hosts_that_the_configuration_names() {
    let client = workload("cat", "v1", "env: [{name: WEB_URL, value: 'http://web.shop:80/x'}]");
    with(&[client, service("web", HTTP), app("web", "v1")].concat(), |mesh| {
        let (id, _) = mesh.workloads.iter().next().unwrap();
        let calls = calls(mesh, id);
        let [call] = calls.as_slice() else { panic!("{calls:?}") };
        assert_eq!(
            (call.why.as_str(), call.request.url().as_str()),
            ("env WEB_URL", "http://web.shop.svc.cluster.local/")
        );
        assert_eq!(words(mesh, &call.request), "web-v1");
    });
}

#[test]
fn uri_tests_are_exact_prefix_or_the_whole_path_by_regex() {
    let rule = |test: &str| format!("- match: [{{uri: {test}}}]\n  {V2}\n- {V1}");
    let table = [
        ("{exact: /a}", "/a?q=1", "web-v2"),
        ("{exact: /a}", "/a/", "web-v1"),
        ("{regex: '/a.c'}", "/abc?x", "web-v2"),
        ("{regex: '/a'}", "/ab", "web-v1"),
        ("{prefix: /}", "/", "web-v2"),
        // A regex that RE2 refuses takes nothing.
        ("{regex: '(?=a)'}", "/a", "web-v1"),
    ];
    for (test, path, answer) in table {
        assert_eq!(goes(&rule(test), &format!("http://a{path}"), &[]), answer, "{test} {path}");
    }
}

#[test]
fn rules_are_compared_with_the_normalized_path() {
    let api = "- match: [{uri: {prefix: /api}}]\n  route: [{destination: {host: web, subset: v2}}]";
    for path in ["/a/../api", "/%61pi/x", "/./api"] {
        assert_eq!(goes(api, &format!("http://a{path}"), &[]), "web-v2", "{path}");
    }
    assert_eq!(goes(api, "http://a/api/../b", &[]), "404 NR");
    with(&shop(api), |mesh| {
        let trace = ask(mesh, &from_gateway("http://a/a/../api?x=/../y"));
        assert_eq!(trace.outcomes().next().unwrap().forwarded.path, "/api?x=/../y");
    });
}

#[test]
fn ignore_uri_case_is_for_exact_and_prefix_alone() {
    let rule = |test: &str| format!("- match: [{{uri: {test}, ignoreUriCase: true}}]\n  {V2}\n- {V1}");
    assert_eq!(goes(&rule("{prefix: /Api}"), "http://a/aPI/x", &[]), "web-v2");
    assert_eq!(goes(&rule("{exact: /Api}"), "http://a/api", &[]), "web-v2");
    assert_eq!(goes(&rule("{regex: /api}"), "http://a/API", &[]), "web-v1");
}

/// Trap 28.
#[test]
fn header_tests_compare_the_whole_value_and_need_the_header() {
    let rule = |test: &str| format!("- match: [{{headers: {{X-Tag: {test}}}}}]\n  {V2}\n- {V1}");
    type Row = (&'static str, &'static [(&'static str, &'static str)], &'static str);
    let table: [Row; 8] = [
        ("{exact: canary}", &[("x-tag", "canary")], "web-v2"),
        ("{exact: canary}", &[("X-TAG", "Canary")], "web-v1"),
        ("{exact: canary}", &[], "web-v1"),
        ("{exact: canary}", &[("x-tag", "a"), ("x-tag", "canary")], "web-v2"),
        ("{prefix: can}", &[("x-tag", "canary")], "web-v2"),
        ("{regex: can}", &[("x-tag", "canary")], "web-v1"),
        ("{regex: '*'}", &[("x-tag", "")], "web-v2"),
        ("{}", &[], "web-v1"),
    ];
    for (test, headers, answer) in table {
        assert_eq!(goes(&rule(test), "http://a/", headers), answer, "{test} {headers:?}");
    }
}

#[test]
fn without_headers_takes_an_absent_header_as_empty_except_for_presence() {
    let rule = |test: &str| format!("- match: [{{withoutHeaders: {{x-tag: {test}}}}}]\n  {V2}\n- {V1}");
    assert_eq!(goes(&rule("{exact: a}"), "http://a/", &[]), "web-v2");
    assert_eq!(goes(&rule("{exact: a}"), "http://a/", &[("x-tag", "a")]), "web-v1");
    assert_eq!(goes(&rule("{regex: '.*'}"), "http://a/", &[]), "web-v1");
    assert_eq!(goes(&rule("{}"), "http://a/", &[]), "web-v2");
    assert_eq!(goes(&rule("{}"), "http://a/", &[("x-tag", "")]), "web-v1");
}

#[test]
fn query_method_scheme_and_authority_are_tested() {
    let rule = |test: &str| format!("- match: [{{{test}}}]\n  {V2}\n- {V1}");
    let table = [
        ("queryParams: {v: {exact: '2'}}", "http://a/?u=1&v=2", "web-v2"),
        ("queryParams: {v: {exact: '2'}}", "http://a/?v=1&v=2", "web-v1"),
        ("queryParams: {v: {regex: '\\d'}}", "http://a/?v=7", "web-v2"),
        ("queryParams: {v: {}}", "http://a/?v", "web-v2"),
        ("queryParams: {v: {}}", "http://a/", "web-v1"),
        ("method: {exact: POST}", "http://a/", "web-v1"),
        ("scheme: {exact: http}", "http://a/", "web-v2"),
        ("authority: {exact: a}", "http://a/", "web-v2"),
    ];
    for (test, url, answer) in table {
        assert_eq!(goes(&rule(test), url, &[]), answer, "{test} {url}");
    }
}

/// The virtual host is chosen without the port, and an `authority` test sees it.
#[test]
fn a_host_header_with_a_port_finds_the_host_and_keeps_its_port() {
    let text = shop(&format!("- match: [{{authority: {{exact: 'Shop.example:80'}}}}]\n  {V2}\n- {V1}"))
        .replace("hosts: ['*']\n  gateways", "hosts: [shop.example]\n  gateways");
    with(&text, |mesh| {
        let mut request = from_gateway("http://shop.example/");
        assert_eq!(words(mesh, &request), "web-v1");
        request.headers = vec![("Host".to_owned(), "Shop.example:80".to_owned())];
        assert_eq!(words(mesh, &request), "web-v2");
        request.headers = vec![(":authority".to_owned(), "other.example".to_owned())];
        assert_eq!(words(mesh, &request), "404 NR");
    });
}

#[test]
fn the_most_specific_virtual_host_wins_and_its_lack_of_a_rule_is_final() {
    let more = object(
        "VirtualService",
        "special",
        "hosts: ['*.example', deep.shop.example]\ngateways: [gw]\nhttp:\n- match: [{uri: {prefix: /x}}]\n  route: [{destination: {host: web, subset: v2}}]",
    );
    with(&(shop(&format!("- {V1}")) + &more), |mesh| {
        assert_eq!(words(mesh, &from_gateway("http://other/")), "web-v1");
        assert_eq!(words(mesh, &from_gateway("http://shop.example/x")), "web-v2");
        assert_eq!(words(mesh, &from_gateway("http://shop.example/")), "404 NR");
        // A wildcard is no wildcard of itself.
        assert_eq!(words(mesh, &from_gateway("http://example/")), "web-v1");
    });
}

/// Trap 25.
#[test]
fn virtual_services_of_one_host_are_joined_on_a_gateway_with_catch_alls_last() {
    let more = object(
        "VirtualService",
        "second",
        "hosts: ['*']\ngateways: [gw]\nhttp:\n- match: [{uri: {prefix: /x}}]\n  route: [{destination: {host: web, subset: v2}}]",
    );
    with(&(shop(&format!("- {V1}")) + &more), |mesh| {
        assert_eq!(words(mesh, &from_gateway("http://a/x")), "web-v2");
        assert_eq!(words(mesh, &from_gateway("http://a/")), "web-v1");
    });
}

/// Trap 26.
#[test]
fn a_delegate_takes_what_root_and_delegate_both_match_and_a_wider_one_is_left_out() {
    let root = "- match: [{uri: {prefix: /a}}]\n  delegate: {name: leaf}\n- route: [{destination: {host: web, subset: v1}}]";
    let leaf = |test: &str| {
        object(
            "VirtualService",
            "leaf",
            &format!("http:\n- match: [{{uri: {test}}}]\n  rewrite: {{uri: /z}}\n  {V2}"),
        )
    };
    with(&(shop(root) + &leaf("{prefix: /a/b}")), |mesh| {
        assert_eq!(words(mesh, &from_gateway("http://a/a/b/c")), "web-v2");
        assert_eq!(words(mesh, &from_gateway("http://a/a/c")), "web-v1");
        let trace = ask(mesh, &from_gateway("http://a/a/b/c"));
        assert_eq!(trace.outcomes().next().unwrap().forwarded.path, "/z/c");
    });
    with(&(shop(root) + &leaf("{prefix: /}")), |mesh| {
        assert_eq!(words(mesh, &from_gateway("http://a/a/b")), "web-v1");
    });
    // Without the delegate the rule does nothing.
    with(&shop(root), |mesh| assert_eq!(words(mesh, &from_gateway("http://a/a/b")), "web-v1"));
}

/// Trap 27.
#[test]
fn weights_are_relative_and_zero_is_nobody() {
    let rule = |a: u32, b: u32| {
        format!(
            "- route:\n  - {{destination: {{host: web, subset: v1}}, weight: {a}}}\n  - {{destination: {{host: web, subset: v2}}, weight: {b}}}"
        )
    };
    assert_eq!(goes(&rule(90, 10), "http://a/", &[]), "90 % web-v1, 10 % web-v2");
    assert_eq!(goes(&rule(1, 2), "http://a/", &[]), "33.333 % web-v1, 66.667 % web-v2");
    assert_eq!(goes(&rule(0, 5), "http://a/", &[]), "web-v2");
    assert_eq!(
        goes("- route: [{destination: {host: web, subset: v1}, weight: 0}]", "http://a/", &[]),
        "web-v1"
    );
}

#[test]
fn redirects_and_direct_responses_end_at_the_proxy() {
    let table = [
        ("redirect: {uri: /new}", "http://a/old?q=1", "301 http://a/new?q=1"),
        ("redirect: {authority: b, redirectCode: 308}", "http://a:80/x", "308 http://b/x"),
        ("redirect: {scheme: https}", "http://a:80/x", "301 https://a/x"),
        ("redirect: {scheme: https, port: 8443}", "http://a/", "301 https://a:8443/"),
        ("directResponse: {status: 418, body: {string: tea}}", "http://a/", "418"),
    ];
    for (action, url, answer) in table {
        assert_eq!(goes(&format!("- {action}"), url, &[]), answer, "{action}");
    }
}

#[test]
fn a_rewrite_replaces_what_the_test_matched_and_keeps_the_query() {
    let rewritten = |rule: &str, url: &str| {
        let mut seen = (String::new(), String::new());
        with(&shop(&format!("- {rule}\n  {V1}")), |mesh| {
            let trace = ask(mesh, &from_gateway(url));
            let forwarded = &trace.outcomes().next().unwrap().forwarded;
            seen = (forwarded.authority.clone(), forwarded.path.clone());
        });
        seen
    };
    let table = [
        ("match: [{uri: {prefix: /api}}]\n  rewrite: {uri: /v2}", "/api/x?q", "/v2/x?q"),
        ("match: [{uri: {prefix: /api/}}]\n  rewrite: {uri: /}", "/api/x", "/x"),
        ("match: [{uri: {exact: /a}}]\n  rewrite: {uri: /b}", "/a?q", "/b?q"),
        ("match: [{uri: {regex: '/a.*'}}]\n  rewrite: {uri: /b}", "/a/c/d", "/b"),
        // Without a test the prefix is `/`.
        ("rewrite: {uri: /b}", "/a", "/ba"),
        ("rewrite: {uriRegexRewrite: {match: '^/a/(.*)$', rewrite: '/x/\\1'}}", "/a/c?q", "/x/c?q"),
    ];
    for (rule, path, answer) in table {
        assert_eq!(
            rewritten(rule, &format!("http://a{path}")),
            ("a".to_owned(), answer.to_owned()),
            "{rule}"
        );
    }
    assert_eq!(rewritten("rewrite: {authority: b}", "http://a/"), ("b".to_owned(), "/".to_owned()));
}

#[test]
fn headers_of_the_rule_and_of_the_destination_reach_the_pods() {
    let rule = "- headers: {request: {set: {x-a: '1'}, remove: [x-b]}}\n  route: [{destination: {host: web, subset: v1}, headers: {request: {add: {x-a: '2'}}}}]";
    with(&shop(rule), |mesh| {
        let mut request = from_gateway("http://a/");
        request.headers = vec![("X-A".to_owned(), "0".to_owned()), ("x-b".to_owned(), "0".to_owned())];
        let trace = ask(mesh, &request);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(trace.outcomes().next().unwrap().forwarded.headers, [pair("x-a", "1"), pair("x-a", "2")]);
    });
}

#[test]
fn headers_are_removed_before_they_are_added_and_the_rules_word_comes_after_one_of_several_destinations() {
    let headers = |http: &str| {
        let mut seen = Vec::new();
        with(&shop(http), |mesh| {
            let mut request = from_gateway("http://a/");
            request.headers.push(("x-v".to_owned(), "old".to_owned()));
            let trace = ask(mesh, &request);
            let forwarded = &trace.outcomes().next().unwrap().forwarded;
            let own = forwarded.headers.iter().filter(|(name, _)| name == "x-v");
            seen = own.map(|(_, value)| value.clone()).collect();
            seen.push(forwarded.authority.clone());
        });
        seen.join(" ")
    };
    let add = "headers: {request: {add: {x-v: rule}, remove: [x-v]}}";
    assert_eq!(headers(&format!("- {add}\n  route: [{{destination: {{host: web}}}}]")), "rule a");
    let set = "headers: {request: {set: {x-v: rule, host: rule.test}}}";
    let own = "headers: {request: {set: {x-v: own, host: own.test}}}";
    let one = format!("- {set}\n  route: [{{destination: {{host: web}}, {own}}}]");
    assert_eq!(headers(&one), "own rule.test");
    // Of one list Envoy overwrites before it adds.
    let add_then_set = "- headers: {request: {add: {x-v: added}}}\n  route: [{destination: {host: web}, headers: {request: {set: {x-v: own}}}}]";
    assert_eq!(headers(add_then_set), "own added a");
    let two = format!(
        "- {set}\n  route: [{{destination: {{host: web}}, weight: 1, {own}}}, {{destination: {{host: web, subset: v1}}, weight: 1}}]"
    );
    assert_eq!(headers(&two), "rule rule.test");
}

#[test]
fn a_redirect_names_no_implied_port_and_replaces_what_the_prefix_matched() {
    let to = |redirect: &str, authority: &str| {
        let http = format!("- match: [{{uri: {{prefix: /a}}}}]\n  redirect: {{{redirect}}}");
        goes(&http, "http://a/ab?x=1", &[("host", authority)])
    };
    assert_eq!(to("prefixRewrite: /n/", "a"), "301 http://a/n/b?x=1");
    assert_eq!(to("derivePort: FROM_REQUEST_PORT", "a:80"), "301 http://a:80/ab?x=1");
    assert_eq!(
        to("authority: 'b:8443', scheme: http, derivePort: FROM_REQUEST_PORT", "a"),
        "301 http://b:8443/ab?x=1"
    );
    assert_eq!(to("scheme: https", "a:80"), "301 https://a/ab?x=1");
    assert_eq!(to("scheme: https, port: 443", "a:81"), "301 https://a:81/ab?x=1");
    assert_eq!(to("port: 81", "a:80"), "301 http://a:81/ab?x=1");
}

#[test]
fn an_abort_takes_its_share_before_the_weights() {
    let rule = "- fault: {abort: {httpStatus: 503, percentage: {value: 0.5}}, delay: {fixedDelay: 1s, percentage: {value: 10}}}\n  route: [{destination: {host: web, subset: v1}}]";
    assert_eq!(goes(rule, "http://a/", &[]), "0.5 % 503 FI, 99.5 % web-v1");
    let all = "- fault: {abort: {httpStatus: 400, percentage: {value: 100}}}\n  redirect: {uri: /x}";
    assert_eq!(goes(all, "http://a/", &[]), "400 FI");
    // Without a percentage nobody is aborted.
    let none = format!("- fault: {{abort: {{httpStatus: 400}}}}\n  {V1}");
    assert_eq!(goes(&none, "http://a/", &[]), "web-v1");
}

/// Trap 31.
#[test]
fn a_mirror_without_a_percentage_copies_everything_and_zero_nothing() {
    let copies = |more: &str| {
        let mut shares = Vec::new();
        with(&shop(&format!("- {V1}\n  mirror: {{host: web, subset: v2}}\n{more}")), |mesh| {
            let trace = ask(mesh, &from_gateway("http://a/"));
            shares = trace
                .mirrors()
                .map(|mirror| (mirror.share, word(mirror), mirror.forwarded.authority.clone()))
                .collect();
        });
        shares
    };
    assert_eq!(copies(""), [(Share::ALL, "web-v2".to_owned(), "a-shadow".to_owned())]);
    assert_eq!(copies("  mirrorPercentage: {value: 5}")[0].0, Share::new(1, 20));
    assert_eq!(copies("  mirrorPercentage: {value: 0}"), []);
}

/// Trap 18: HTTP compares with the gateway's own pods. Trap 17: `gateways` switches that off.
#[test]
fn source_labels_are_the_gateway_pods_at_a_gateway() {
    let rule = |test: &str| format!("- match: [{{{test}}}]\n  {V2}\n- {V1}");
    assert_eq!(goes(&rule("sourceLabels: {app: cat}"), "http://a/", &[]), "web-v1");
    assert_eq!(goes(&rule("sourceLabels: {istio: ingressgateway}"), "http://a/", &[]), "web-v2");
    assert_eq!(goes(&rule("sourceLabels: {app: cat}, gateways: [gw]"), "http://a/", &[]), "web-v2");
    assert_eq!(goes(&rule("gateways: [other]"), "http://a/", &[]), "web-v1");
    assert_eq!(goes(&rule("port: 81"), "http://a/", &[]), "web-v1");
    assert_eq!(goes(&rule("port: 80"), "http://a/", &[]), "web-v2");
}

/// Trap 12.
#[test]
fn an_unknown_subset_port_or_host_is_503_nc() {
    let to =
        |destination: &str| goes(&format!("- route: [{{destination: {{{destination}}}}}]"), "http://a/", &[]);
    assert_eq!(to("host: web, subset: v3"), "503 NC");
    assert_eq!(to("host: web, port: {number: 81}"), "503 NC");
    assert_eq!(to("host: wab"), "503 NC");
    // Trap 1: not expanded.
    assert_eq!(to("host: web.shop"), "503 NC");
    assert_eq!(to("host: web"), "web-v1+web-v2");
}

#[test]
fn a_subset_without_pods_is_503_uh_and_a_port_that_nobody_listens_on_503_uf() {
    let text = shop(&format!("- {V2}"));
    let without = text.replace("version: v2, sidecar", "version: v3, sidecar");
    with(&without, |mesh| {
        assert_eq!(words(mesh, &from_gateway("http://a/")), "503 UH");
        let trace = ask(mesh, &from_gateway("http://a/"));
        let place = trace.failure().unwrap().cause.as_ref().unwrap();
        assert_eq!(place.object.kind, "DestinationRule");
    });
    with(&text.replace("targetPort: 8080", "targetPort: 9090"), |mesh| {
        assert_eq!(words(mesh, &from_gateway("http://a/")), "503 UF");
    });
    // Nobody is there, while a version that is goes on answering.
    let idle = text.replace(
        "name: web-v2, namespace: shop}\nspec:\n",
        "name: web-v2, namespace: shop}\nspec:\n  replicas: 0\n",
    );
    with(&idle, |mesh| assert_eq!(words(mesh, &from_gateway("http://a/")), "503 UH"));
    with(&idle.replace("host: web, subset: v2", "host: web"), |mesh| {
        assert_eq!(ask(mesh, &from_gateway("http://a/")).failure(), None);
    });
    // Pods without a port of that name are no endpoints.
    with(&text.replace("targetPort: 8080", "targetPort: grpc"), |mesh| {
        assert_eq!(words(mesh, &from_gateway("http://a/")), "503 UH");
    });
}

#[test]
fn what_the_client_sends_must_be_what_the_pods_accept() {
    let rule = |mode: &str| {
        shop(&format!("- {V1}")).replace(
            "host: web\n  subsets",
            &format!("host: web\n  trafficPolicy: {{tls: {{mode: {mode}}}}}\n  subsets"),
        )
    };
    let policy = |mode: &str| object("PeerAuthentication", "all", &format!("mtls: {{mode: {mode}}}"));
    let table = [
        ("DISABLE", "STRICT", "503 UC"),
        ("DISABLE", "PERMISSIVE", "web-v1"),
        ("ISTIO_MUTUAL", "STRICT", "web-v1"),
        ("ISTIO_MUTUAL", "DISABLE", "503 UF"),
        ("SIMPLE", "STRICT", "503 UF"),
    ];
    for (client, server, answer) in table {
        with(&(rule(client) + &policy(server)), |mesh| {
            assert_eq!(words(mesh, &from_gateway("http://a/")), answer, "{client} {server}");
        });
    }
    let bare = rule("ISTIO_MUTUAL").replace("inject: \"true\"", "inject: \"false\"");
    with(&bare, |mesh| assert_eq!(words(mesh, &from_gateway("http://a/")), "503 UF"));
}

/// Trap 37: clients go by the namespace's mode, not by the workload's.
#[test]
fn auto_mtls_sends_plaintext_to_a_strict_workload_of_a_disabled_namespace() {
    let policies = [
        object("PeerAuthentication", "all", "mtls: {mode: DISABLE}"),
        object("PeerAuthentication", "web", "selector: {matchLabels: {app: web}}\nmtls: {mode: STRICT}"),
    ];
    let text = shop(&format!("- {V1}"));
    with(&(text.clone() + &policies.concat()), |mesh| {
        assert_eq!(words(mesh, &from_gateway("http://a/")), "503 UC");
    });
    // Pods without a sidecar get plaintext by themselves.
    with(&text.replace("inject: \"true\"", "inject: \"false\""), |mesh| {
        assert_eq!(words(mesh, &from_gateway("http://a/")), "web-v1");
    });
}

#[test]
fn a_gateway_without_the_port_refuses_and_one_without_the_host_has_no_route() {
    let text = shop(&format!("- {V1}")).replace("hosts: ['*']}", "hosts: [shop.example]}");
    let text = text.replace("protocol: HTTP}, hosts: ['*']", "protocol: HTTP}, hosts: [shop.example]");
    with(&text, |mesh| {
        let via = |url: &str| {
            let from = Source::Gateway { namespace: "shop".to_owned(), name: "gw".to_owned() };
            words(mesh, &Request::parse(url, from).unwrap())
        };
        assert_eq!(via("http://shop.example/"), "web-v1");
        assert_eq!(via("http://other.example/"), "404 NR");
        assert_eq!(via("http://shop.example:81/"), "- -");
        assert_eq!(via("https://shop.example:80/"), "- DPE");
        let error = trace(mesh, &from_gateway("http://other.example/"), &Known::default()).unwrap_err();
        assert!(error.to_string().contains("the Gateways are shop/gw"), "{error}");
    });
}

#[test]
fn a_server_that_redirects_to_https_answers_itself() {
    let text = shop(&format!("- {V1}"))
        .replace("protocol: HTTP}, hosts", "protocol: HTTP}, tls: {httpsRedirect: true}, hosts");
    with(&text, |mesh| {
        assert_eq!(words(mesh, &from_gateway("http://a/x")), "301 https://a/x");
    });
}

#[test]
fn https_ends_at_the_server_of_its_name_or_passes_through_by_sni() {
    let text = [
        service(
            "web",
            "{name: https, port: 443, targetPort: 8080}, {name: http, port: 80, targetPort: 8080}",
        ),
        app("web", "v1"),
        object(
            "Gateway",
            "gw",
            "selector: {istio: ingressgateway}\nservers:\n- {port: {number: 443, name: a, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: c}, hosts: [a.example]}\n- {port: {number: 443, name: b, protocol: TLS}, tls: {mode: PASSTHROUGH}, hosts: ['*.b.example']}",
        ),
        object(
            "VirtualService",
            "a",
            "hosts: [a.example]\ngateways: [gw]\nhttp:\n- match: [{scheme: {exact: https}}]\n  route: [{destination: {host: web, port: {number: 80}}}]",
        ),
        object(
            "VirtualService",
            "b",
            "hosts: ['*.b.example']\ngateways: [gw]\ntls:\n- match: [{sniHosts: [x.b.example]}]\n  route: [{destination: {host: web, port: {number: 443}}}]",
        ),
    ];
    with(&text.concat(), |mesh| {
        assert_eq!(words(mesh, &from_gateway("https://a.example/")), "web-v1");
        assert_eq!(words(mesh, &from_gateway("https://x.b.example/")), "web-v1");
        assert_eq!(words(mesh, &from_gateway("tls://y.b.example")), "- NR");
        let from = Source::Gateway { namespace: "shop".to_owned(), name: "gw".to_owned() };
        let other = Request::parse("https://c.example/", from).unwrap();
        assert_eq!(words(mesh, &other), "- NR");
    });
}

const CLIENTS: &str = "hosts: [web]\nhttp:\n- match: [{sourceLabels: {version: v1}}]\n  route: [{destination: {host: web, subset: v1}}]\n- match: [{sourceLabels: {version: v2}}]\n  route: [{destination: {host: web, subset: v2}}]";

fn island(virtual_service: &str) -> String {
    [
        service("web", HTTP),
        app("web", "v1"),
        app("web", "v2"),
        app("cat", "v1"),
        app("cat", "v2"),
        app("dog", "v3"),
        object(
            "DestinationRule",
            "web",
            "host: web\nsubsets:\n- {name: v1, labels: {version: v1}}\n- {name: v2, labels: {version: v2}}",
        ),
        object("VirtualService", "web", virtual_service),
    ]
    .concat()
}

#[test]
fn each_client_keeps_to_its_island_and_one_that_no_rule_names_gets_everything() {
    with(&island(CLIENTS), |mesh| {
        assert_eq!(words(mesh, &from_workload("cat-v1", "http://web/")), "web-v1");
        assert_eq!(words(mesh, &from_workload("cat-v2", "http://web/")), "web-v2");
        // Trap 16: the VirtualService vanishes for it.
        assert_eq!(words(mesh, &from_workload("dog-v3", "http://web/")), "web-v1+web-v2");
    });
    let bare = island(CLIENTS).replace(
        "app: cat, version: v2, sidecar.istio.io/inject: \"true\"",
        "app: cat, version: v2, sidecar.istio.io/inject: \"false\"",
    );
    with(&bare, |mesh| {
        assert_eq!(words(mesh, &from_workload("cat-v2", "http://web/")), "web-v1+web-v2");
    });
}

/// Trap 13: a sidecar's http routes take the listener's port even when the destination has only another.
#[test]
fn a_destination_without_a_port_gets_the_listeners_at_a_sidecar_and_its_only_one_at_a_gateway() {
    let other = [service("api", "{name: http, port: 8080}"), app("api", "v1")].concat();
    let mesh_bound = island("hosts: [web]\nhttp:\n- route: [{destination: {host: api}}]");
    with(&(mesh_bound + &other), |mesh| {
        assert_eq!(words(mesh, &from_workload("cat-v1", "http://web/")), "503 NC");
    });
    with(&(shop("- route: [{destination: {host: api}}]") + &other), |mesh| {
        assert_eq!(words(mesh, &from_gateway("http://a/")), "api-v1");
    });
}

#[test]
fn connections_follow_tcp_rules_by_client_and_service_port() {
    let text = island("hosts: [web]\ntcp:\n- match: [{port: 6379, sourceLabels: {app: cat}}]\n  route: [{destination: {host: web, subset: v2, port: {number: 6379}}}]")
        .replace("{name: http, port: 80, targetPort: 8080}", "{name: redis, port: 6379, targetPort: 8080}, {name: tcp-b, port: 6380, targetPort: 8080}");
    with(&text, |mesh| {
        assert_eq!(words(mesh, &from_workload("cat-v1", "tcp://web:6379")), "web-v2");
        assert_eq!(words(mesh, &from_workload("cat-v1", "tcp://web:6380")), "web-v1+web-v2");
        assert_eq!(words(mesh, &from_workload("dog-v3", "tcp://web:6379")), "web-v1+web-v2");
        // HTTP to a TCP port is bytes like any other.
        assert_eq!(words(mesh, &from_workload("cat-v1", "http://web:6379/")), "web-v2");
    });
    with(&text.replace("subset: v2, port", "subset: v9, port"), |mesh| {
        assert_eq!(words(mesh, &from_workload("cat-v1", "tcp://web:6379")), "- NC");
    });
}

#[test]
fn connections_follow_the_tcp_rules_of_every_virtual_service_of_the_host() {
    let redis = "{name: redis, port: 6379, targetPort: 8080}";
    let second = object(
        "VirtualService",
        "second",
        "hosts: ['*.svc.cluster.local']\ntcp:\n- route: [{destination: {host: web, subset: v2}}]",
    );
    let text =
        island("hosts: [web]\nhttp:\n- route: [{destination: {host: web}}]").replace(HTTP, redis) + &second;
    with(&text, |mesh| {
        assert_eq!(words(mesh, &from_workload("cat-v1", "tcp://web:6379")), "web-v2");
    });
}

#[test]
fn a_virtual_service_of_a_name_that_no_registry_has_takes_it_on_port_80_or_beside_a_service() {
    let direct = "http:\n- directResponse: {status: 418}";
    // `web.shop` is not expanded, and yet it is a name of the Service: the first virtual host with it has it.
    with(&island(&format!("hosts: [web.shop]\n{direct}")), |mesh| {
        assert_eq!(words(mesh, &from_workload("cat-v1", "http://web.shop/")), "418");
        assert_eq!(words(mesh, &from_workload("cat-v1", "http://web/")), "web-v1+web-v2");
    });
    let other = |hosts: &str, port: &str| {
        let text = island(&format!("hosts: {hosts}\n{direct}"));
        text.replace(HTTP, &format!("{{name: http, port: {port}, targetPort: 8080}}"))
    };
    let ask = |port: &str| {
        let mut request = from_workload("cat-v1", &format!("http://web:{port}/"));
        request.headers.push(("host".to_owned(), "shop.example.com".to_owned()));
        request
    };
    with(&other("[shop.example.com]", "80"), |mesh| assert_eq!(words(mesh, &ask("80")), "418"));
    with(&other("[shop.example.com]", "81"), |mesh| assert_ne!(words(mesh, &ask("81")), "418"));
    with(&other("[web, shop.example.com]", "81"), |mesh| assert_eq!(words(mesh, &ask("81")), "418"));
}

#[test]
fn a_client_without_a_proxy_has_nobody_to_answer_503() {
    let policy = object("PeerAuthentication", "default", "mtls: {mode: STRICT}");
    let text = island(CLIENTS).replace(
        "labels: {app: cat, version: v1, sidecar.istio.io/inject: \"true\"}",
        "labels: {app: cat, version: v1, sidecar.istio.io/inject: \"false\"}",
    );
    with(&(text + &policy), |mesh| {
        assert_eq!(words(mesh, &from_workload("cat-v1", "http://web/")), "- UC");
    });
}

#[test]
fn bytes_to_an_http_port_are_a_protocol_error() {
    with(&island(CLIENTS), |mesh| {
        assert_eq!(words(mesh, &from_workload("cat-v1", "tcp://web:80")), "400 DPE");
        assert_eq!(words(mesh, &from_workload("cat-v1", "https://web:80/")), "- DPE");
    });
}

#[test]
fn hosts_outside_the_registry_pass_or_end_in_the_black_hole() {
    let mut config = MeshConfig::default();
    let request = from_workload("cat-v1", "https://www.example.com/");
    with_config(&island(CLIENTS), &config, |mesh| {
        assert_eq!(words(mesh, &request), "leaves");
        assert_eq!(ask(mesh, &request).outcomes().next().unwrap().cluster, "PassthroughCluster");
    });
    config.allow_any_outbound = false;
    with_config(&island(CLIENTS), &config, |mesh| {
        assert_eq!(words(mesh, &request), "- UH");
        assert_eq!(words(mesh, &from_workload("cat-v1", "http://www.example.com/")), "502 -");
        assert_eq!(ask(mesh, &request).outcomes().next().unwrap().cluster, "BlackHoleCluster");
    });
}

/// The authority decides, not the address: what no virtual host has passes through to the pods in plaintext.
#[test]
fn a_sniffed_port_has_a_virtual_host_for_names_that_nobody_has_too() {
    let config = MeshConfig { allow_any_outbound: false, ..MeshConfig::default() };
    let text = island(CLIENTS).replace(HTTP, "{name: web, port: 80, targetPort: 8080}");
    with_config(&text, &config, |mesh| {
        let mut request = from_workload("cat-v1", "http://web/");
        request.headers.push(("host".to_owned(), "nobody.test".to_owned()));
        assert_eq!(words(mesh, &request), "502 -");
    });
}

#[test]
fn the_prefix_of_no_letter_is_not_moved_behind_other_rules() {
    let vs = |name: &str, rule: &str| {
        object("VirtualService", name, &format!("hosts: [a.test]\ngateways: [edge]\nhttp:\n- {rule}"))
    };
    let text = object("Gateway", "edge", GATEWAY)
        + &vs("first", "directResponse: {status: 418}")
        + &vs("second", "{match: [{uri: {prefix: ''}}], directResponse: {status: 419}}");
    with(&text, |mesh| assert_eq!(words(mesh, &from_gateway("http://a.test/")), "419"));
}

#[test]
fn an_authority_that_nobody_has_passes_through_without_mtls() {
    let mut request = from_workload("cat-v1", "http://web/");
    request.headers = vec![("host".to_owned(), "other.example".to_owned())];
    with(&island(CLIENTS), |mesh| assert_eq!(words(mesh, &request), "web-v1+web-v2"));
    let strict = object("PeerAuthentication", "all", "mtls: {mode: STRICT}");
    with(&(island(CLIENTS) + &strict), |mesh| {
        assert_eq!(words(mesh, &request), "503 UC");
        assert_eq!(words(mesh, &from_workload("cat-v1", "http://web/")), "web-v1");
        assert_eq!(ask(mesh, &request).outcomes().next().unwrap().cluster, "PassthroughCluster");
        assert_eq!(words(mesh, &from_workload("cat-v1", "tcp://web:81")), "- UF");
    });
}

#[test]
fn a_service_entry_is_reached_as_a_host_of_the_registry() {
    let entry = object(
        "ServiceEntry",
        "ext",
        "hosts: [api.example.com, '*.wild.example']\nports: [{number: 443, name: tls, protocol: TLS}, {number: 80, name: http, protocol: HTTP}]\nresolution: DNS",
    );
    let config = MeshConfig { allow_any_outbound: false, ..MeshConfig::default() };
    with_config(&(island(CLIENTS) + &entry), &config, |mesh| {
        for url in ["https://api.example.com/", "http://api.example.com/", "tls://a.wild.example"] {
            assert_eq!(words(mesh, &from_workload("cat-v1", url)), "leaves", "{url}");
        }
        assert_eq!(words(mesh, &from_workload("cat-v1", "http://wrong.example.com/")), "502 -");
    });
}

#[test]
fn unknown_sources_are_named_with_what_there_is() {
    with(&shop(&format!("- {V1}")), |mesh| {
        let error = trace(mesh, &from_workload("web-v11", "http://web/"), &Known::default()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("the workloads are deployment/shop/web-v1, deployment/shop/web-v2"), "{text}");
        let from = Source::Gateway { namespace: "shop".to_owned(), name: "gv".to_owned() };
        let error = trace(mesh, &Request::parse("http://a", from).unwrap(), &Known::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no Gateway `shop/gv`; did you mean `shop/gw`?; the Gateways are shop/gw"
        );
    });
}

#[test]
fn two_gateways_on_other_pods_are_a_choice_and_on_the_same_pods_one() {
    let other = |selector: &str| object("Gateway", "gw2", &GATEWAY.replace("ingressgateway", selector));
    let text = shop(&format!("- {V1}"));
    with(&(text.clone() + &other("second")), |mesh| {
        let error = trace(mesh, &from_gateway("http://a/"), &Known::default()).unwrap_err();
        assert!(error.to_string().ends_with("--from: gateway:shop/gw, gateway:shop/gw2"), "{error}");
    });
    with(&(text + &other("ingressgateway")), |mesh| {
        assert_eq!(words(mesh, &from_gateway("http://a/")), "web-v1");
    });
}

#[test]
fn following_calls_ends_where_it_began() {
    let text = [
        service("web", HTTP),
        service("cat", HTTP),
        workload("web", "v1", "ports: [{containerPort: 8080}], env: [{name: CAT, value: cat}]"),
        workload("cat", "v1", "ports: [{containerPort: 8080}], args: ['--back=http://web:80']"),
    ];
    with(&text.concat(), |mesh| {
        let known = Known::default();
        let start = ask(mesh, &from_workload("cat-v1", "http://web/"));
        let followed = super::follow(mesh, &start, &known);
        let [to_cat] = followed.as_slice() else { panic!("{followed:?}") };
        let [back] = to_cat.calls.as_slice() else { panic!("{followed:?}") };
        assert_eq!(
            (to_cat.call.request.host.as_str(), back.call.why.as_str()),
            ("cat.shop.svc.cluster.local", "argument")
        );
        assert!(back.calls.is_empty());
    });
}

const PLUGIN: &str = "selector: {matchLabels: {istio: ingressgateway}}\nurl: oci://ghcr.io/coalmine/filter:1\npluginConfig:\n  flags: [{name: new, header: x-canary, optIn: {cookie: {name: flag, value: 'yes'}}";

#[test]
fn the_filter_decides_before_the_route_and_removes_forged_tags() {
    let tagged = shop(&format!("- match: [{{headers: {{x-canary: {{exact: canary}}}}}}]\n  {V2}\n- {V1}"));
    let text = tagged + &object("WasmPlugin", "coalmine", &format!("{PLUGIN}}}]"));
    with(&text, |mesh| {
        let mut request = from_gateway("http://a/");
        assert_eq!(words(mesh, &request), "web-v1");
        request.headers = vec![("x-canary".to_owned(), "canary".to_owned())];
        assert_eq!(words(mesh, &request), "web-v1");
        request.add_cookie("a=b; flag=yes");
        let trace = ask(mesh, &request);
        let filter = &trace.paths[0].hops[1].flags[0];
        assert_eq!((filter.variant.as_str(), filter.reason), ("canary", "optin"));
        assert_eq!(words(mesh, &request), "web-v2");
    });
}

#[test]
fn visitors_without_an_id_are_dealt_by_the_rollout() {
    let tagged = shop(&format!("- match: [{{headers: {{x-canary: {{exact: canary}}}}}}]\n  {V2}\n- {V1}"));
    let plugin = "selector: {matchLabels: {istio: ingressgateway}}\nurl: oci://ghcr.io/coalmine/filter:1\nvmConfig: {env: [{name: KEY, valueFrom: HOST}]}\npluginConfig:\n  keys: [{id: k1, env: KEY}]\n  subject: [{generate: {cookie: visitor}}]\n  flags: [{name: new, header: x-canary, rollout: {canary: 12.5}}]";
    with(&(tagged + &object("WasmPlugin", "coalmine", plugin)), |mesh| {
        assert_eq!(words(mesh, &from_gateway("http://a/")), "87.5 % web-v1, 12.5 % web-v2");
    });
}

#[test]
fn visitors_are_dealt_by_their_address_unless_they_say_who_they_are() {
    let tagged = shop(&format!("- match: [{{headers: {{x-canary: {{exact: canary}}}}}}]\n  {V2}\n- {V1}"));
    let plugin = "selector: {matchLabels: {istio: ingressgateway}}\nurl: oci://ghcr.io/coalmine/filter:1\npluginConfig:\n  subject: [{header: x-user}, {clientIp: true}]\n  flags: [{name: new, header: x-canary, rollout: {canary: 12.5}}]";
    with(&(tagged + &object("WasmPlugin", "coalmine", plugin)), |mesh| {
        let mut request = from_gateway("http://a/");
        assert_eq!(words(mesh, &request), "87.5 % web-v1, 12.5 % web-v2");
        let notes = ask(mesh, &request).notes;
        assert!(notes.iter().any(|note| note.contains("asks for the client's address")), "{notes:?}");
        request.headers = vec![("x-user".to_owned(), "somebody".to_owned())];
        assert_eq!(words(mesh, &request), "web-v1");
    });
}

/// With the key a signed override is genuine and answered by the filter; without it the trace says what it cannot know.
#[test]
fn a_signed_override_needs_the_key() {
    use coalmine_filter::decide::override_binding;
    use coalmine_filter::token::Keys;
    let secret = b"a key for tests only";
    let mut keys = Keys::none();
    assert!(keys.add("k1", secret, false));
    let token = keys.sign(&override_binding("cg", "new", b""), "canary", 2_000_000_000).unwrap();
    let plugin = "selector: {matchLabels: {istio: ingressgateway}}\nurl: oci://ghcr.io/coalmine/filter:1\nvmConfig: {env: [{name: KEY, valueFrom: HOST}]}\npluginConfig:\n  keys: [{id: k1, env: KEY}]\n  flags: [{name: new, header: x-canary, sticky: pin, rollout: {canary: 0}, optIn: {query: {name: cg, redirect: true}}}]";
    let text = shop(&format!("- {V1}")) + &object("WasmPlugin", "coalmine", plugin);
    let request = from_gateway(&format!("http://a/x?cg={token}"));
    with(&text, |mesh| {
        let known = Known { now: 1_900_000_000, env: vec![("KEY".to_owned(), secret.to_vec())] };
        let found = trace(mesh, &request, &known).unwrap();
        let outcome = found.outcomes().next().unwrap();
        assert_eq!(outcome.end, End::Redirect { status: 302, location: "/x".to_owned() });
        assert!(found.notes.iter().all(|note| !note.contains("key")), "{:?}", found.notes);
        let found = ask(mesh, &request);
        assert_eq!(words(mesh, &request), "web-v1");
        assert!(found.notes.iter().any(|note| note.contains("the signing key")), "{:?}", found.notes);
    });
}
