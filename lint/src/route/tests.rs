//! Routing: one test for each behaviour, on the smallest mesh that shows it.

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
