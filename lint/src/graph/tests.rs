//! The picture's content, one test for each behaviour; what holds for every drawing is in `properties`.

mod properties;

use std::fmt::Write as _;

use super::{Change, EdgeKind, Graph, Id, NodeKind, Options, Tls};
use crate::mesh::config::MeshConfig;
use crate::mesh::{Assume, Mesh};
use crate::resource::lower;
use crate::yaml::{Limits, parse};
use crate::{Files, Input, Settings};

pub(super) fn graph_with(text: &str, config: &MeshConfig) -> Graph {
    let mut files = Files::new();
    let id = files.add("test.yaml", text);
    let (documents, problems) = parse(id, files.get(id).unwrap(), Limits::default());
    assert!(problems.is_empty(), "{problems:?}");
    let resources = lower(&documents, |_| "shop");
    Graph::of(&Mesh::new(resources.iter().collect(), config, Assume::Auto))
}

fn graph(text: &str) -> Graph {
    graph_with(text, &MeshConfig::default())
}

const NAMESPACE: &str =
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n---\n";

const GATEWAY: &str = "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
---
";

fn service(name: &str, port: u32) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{app: {name}}}, ports: \
         [{{name: http, port: {port}}}]}}\n---\n"
    )
}

fn deployment(app: &str, version: &str, env: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {app}-{version}}}\nspec: {{template: {{metadata: \
         {{labels: {{app: {app}, version: {version}}}}}, spec: {{containers: [{{name: c, env: [{env}]}}]}}}}}}\n---\n"
    )
}

fn subsets(host: &str, versions: &[&str], policy: &str) -> String {
    let list: Vec<String> = versions
        .iter()
        .map(|version| format!("{{name: {version}, labels: {{version: {version}}}}}"))
        .collect();
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {host}}}\nspec: {{host: {host}, \
         {policy}subsets: [{}]}}\n---\n",
        list.join(", ")
    )
}

fn route(host: &str, head: &str, rules: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {host}}}\nspec:\n  {head}\n  http:\n\
         {rules}---\n"
    )
}

const AT_EDGE: &str = "hosts: ['*']\n  gateways: [edge]";

/// One line for each call: `FROM -> TO: label [tls] (change)`, with ids cut to their last part.
fn calls(graph: &Graph) -> Vec<String> {
    let short = |id: &Id| {
        let name = id.0.replace(".shop.svc.cluster.local", "");
        let parts: Vec<&str> = name.split('/').collect();
        match parts.as_slice() {
            ["subset", host, name] => format!("{host} {name}"),
            [.., last] => (*last).to_owned(),
            [] => String::new(),
        }
    };
    let mut lines = Vec::new();
    for edge in graph.edges.iter().filter(|edge| edge.kind != EdgeKind::Selects && edge.from != Id::outside())
    {
        let mut line = format!("{} -> {}", short(&edge.from), short(&edge.to));
        if !edge.label().is_empty() {
            let _ = write!(line, ": {}", edge.label());
        }
        if let Some(tls) = edge.tls {
            let _ = write!(line, " [{}]", tls.as_str());
        }
        if let Some(change) = edge.change {
            let _ = write!(line, " ({})", change.as_str());
        }
        lines.push(line);
    }
    lines
}

fn island_of(graph: &Graph, workload: &str) -> Option<String> {
    let node = graph.node(&Id::workload("Deployment", "shop", workload)).unwrap();
    node.island.map(|island| graph.islands[island].name.clone())
}

fn shop() -> String {
    [NAMESPACE, GATEWAY, &service("web", 80), &deployment("web", "v1", ""), &deployment("web", "v2", "")]
        .concat()
}

#[test]
fn rules_of_a_gateway_are_labelled_with_their_conditions_and_weights() {
    let text = [
        shop(),
        subsets("web", &["v1", "v2"], ""),
        route(
            "web",
            AT_EDGE,
            "  - match: [{uri: {prefix: /api}, headers: {x-canary: {exact: v2}}}]\n    \
             route: [{destination: {host: web, subset: v2}}]\n  \
             - match: [{headers: {cookie: {regex: '^(.*?; *)?(flag=on)(;.*)?$'}}}]\n    \
             route: [{destination: {host: web, subset: v2}}]\n  \
             - route: [{destination: {host: web, subset: v1}, weight: 90}, {destination: {host: web, subset: v2}, weight: 10}]\n",
        ),
    ]
    .concat();
    assert_eq!(
        calls(&graph(&text)),
        [
            "edge -> web v2: /api* and x-canary: v2 or cookie flag=on: 100%; otherwise: 10% [mtls]",
            "edge -> web v1: otherwise: 90% [mtls]",
        ]
    );
}

#[test]
fn what_comes_after_a_rule_for_everyone_is_not_drawn() {
    let text = [
        shop(),
        subsets("web", &["v1", "v2"], ""),
        route(
            "web",
            AT_EDGE,
            "  - route: [{destination: {host: web, subset: v1}}]\n  - route: [{destination: {host: web, subset: v2}}]\n",
        ),
    ]
    .concat();
    assert_eq!(calls(&graph(&text)), ["edge -> web v1 [mtls]"]);
}

#[test]
fn a_variable_with_the_name_of_a_host_is_a_call() {
    for value in
        ["reviews", "reviews.shop", "http://reviews:9080/list", "reviews.shop.svc.cluster.local:9080"]
    {
        let env = format!("{{name: REVIEWS, value: '{value}'}}");
        let text = [
            NAMESPACE,
            &service("web", 80),
            &deployment("web", "v1", &env),
            &service("reviews", 9080),
            &deployment("reviews", "v1", ""),
        ];
        assert_eq!(calls(&graph(&text.concat())), ["web-v1 -> reviews [mtls]"], "{value}");
    }
    for value in ["reviewers", "", "reviews.elsewhere"] {
        let env = format!("{{name: REVIEWS, value: '{value}'}}");
        let text = [NAMESPACE, &deployment("web", "v1", &env), &service("reviews", 9080)];
        assert_eq!(calls(&graph(&text.concat())), [""; 0], "{value}");
    }
}

#[test]
fn a_variable_may_take_its_text_from_a_config_map_or_a_secret() {
    let sources = [
        ("ConfigMap", "data", "{name: HOST, valueFrom: {configMapKeyRef: {name: hosts, key: REVIEWS}}}"),
        ("Secret", "stringData", "{name: HOST, valueFrom: {secretKeyRef: {name: hosts, key: REVIEWS}}}"),
    ];
    for (kind, field, env) in sources {
        let map = format!(
            "apiVersion: v1\nkind: {kind}\nmetadata: {{name: hosts}}\n{field}: {{REVIEWS: reviews}}\n---\n"
        );
        let text = [
            NAMESPACE,
            &map,
            &deployment("web", "v1", env),
            &service("reviews", 80),
            &deployment("reviews", "v1", ""),
        ];
        assert_eq!(calls(&graph(&text.concat())), ["web-v1 -> reviews [mtls]"], "{kind}");
    }
}

#[test]
fn a_route_that_names_the_caller_by_its_labels_is_a_call() {
    let text = [
        NAMESPACE.to_owned(),
        service("web", 80),
        deployment("web", "v1", ""),
        service("db", 80),
        deployment("db", "v1", ""),
        subsets("db", &["v1"], ""),
        route(
            "db",
            "hosts: [db]",
            "  - match: [{sourceLabels: {app: web}}]\n    route: [{destination: {host: db, subset: v1}}]\n",
        ),
    ];
    assert_eq!(calls(&graph(&text.concat())), ["web-v1 -> db v1 [mtls]"]);
}

#[test]
fn routes_that_nobody_in_the_input_uses_are_the_meshs() {
    let text = [
        NAMESPACE.to_owned(),
        service("web", 80),
        deployment("web", "v1", ""),
        deployment("web", "v2", ""),
        subsets("web", &["v1", "v2"], ""),
        route(
            "web",
            "hosts: [web]",
            "  - route: [{destination: {host: web, subset: v1}, weight: 50}, {destination: {host: web, subset: v2}, weight: 50}]\n",
        ),
    ];
    assert_eq!(calls(&graph(&text.concat())), ["mesh -> web v1: 50% [mtls]", "mesh -> web v2: 50% [mtls]"]);
}

#[test]
fn a_delegate_continues_the_conditions_of_its_root() {
    let text = [
        shop(),
        route("root", AT_EDGE, "  - match: [{uri: {prefix: /web}}]\n    delegate: {name: web}\n"),
        route("web", "", "  - match: [{method: {exact: GET}}]\n    route: [{destination: {host: web}}]\n"),
    ];
    assert_eq!(calls(&graph(&text.concat())), ["edge -> web: /web* method GET [mtls]"]);
}

#[test]
fn copies_are_no_calls() {
    let text = [
        shop(),
        subsets("web", &["v1", "v2"], ""),
        route(
            "web",
            AT_EDGE,
            "  - route: [{destination: {host: web, subset: v1}}]\n    mirror: {host: web, subset: v2}\n",
        ),
    ];
    let graph = graph(&text.concat());
    assert_eq!(graph.edges.iter().filter(|edge| edge.kind == EdgeKind::Mirror).count(), 1);
    assert!(graph.node(&Id::workload("Deployment", "shop", "web-v2")).unwrap().is_idle);
}

#[test]
fn the_lock_is_what_client_and_server_agree_on() {
    let policy = |mode: &str| format!("trafficPolicy: {{tls: {{mode: {mode}}}}}, ");
    let peer = |mode: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: default}}\nspec: {{mtls: {{mode: {mode}}}}}\n---\n"
        )
    };
    let of = |namespace: &str, own: &str, server: &str| {
        let text = [
            namespace.to_owned(),
            deployment("web", "v1", "{name: H, value: db}"),
            service("db", 80),
            deployment("db", "v1", ""),
            subsets("db", &[], own),
            server.to_owned(),
        ];
        graph(&text.concat()).edges.iter().find(|edge| edge.kind == EdgeKind::Route).unwrap().tls
    };
    assert_eq!(of(NAMESPACE, "", ""), Some(Tls::Mutual));
    assert_eq!(of(NAMESPACE, &policy("ISTIO_MUTUAL"), &peer("STRICT")), Some(Tls::Mutual));
    assert_eq!(of(NAMESPACE, &policy("DISABLE"), &peer("STRICT")), Some(Tls::Broken));
    assert_eq!(of(NAMESPACE, &policy("DISABLE"), ""), Some(Tls::Plaintext));
    assert_eq!(of(NAMESPACE, "", &peer("DISABLE")), Some(Tls::Plaintext));
    // Whether the pods have a sidecar is not in the input.
    assert_eq!(of("", "", ""), None);
    let bare = NAMESPACE.replace("enabled", "disabled");
    assert_eq!(of(&bare, "", ""), Some(Tls::Plaintext));
}

#[test]
fn without_auto_mtls_nobody_told_sends_plaintext() {
    let text = [
        NAMESPACE,
        &deployment("web", "v1", "{name: H, value: db}"),
        &service("db", 80),
        &deployment("db", "v1", ""),
    ];
    let config = MeshConfig { auto_mtls: false, ..MeshConfig::default() };
    let graph = graph_with(&text.concat(), &config);
    assert_eq!(
        graph.edges.iter().find(|edge| edge.kind == EdgeKind::Route).unwrap().tls,
        Some(Tls::Plaintext)
    );
}

/// Two versions of web, each with a database of its own or one for both.
fn islands(second: &str) -> Graph {
    let rules = format!(
        "  - match: [{{sourceLabels: {{app: web, version: v1}}}}]\n    route: [{{destination: {{host: db, subset: a}}}}]\n  \
         - match: [{{sourceLabels: {{app: web, version: v2}}}}]\n    route: [{{destination: {{host: db, subset: {second}}}}}]\n"
    );
    let text = [
        shop(),
        subsets("web", &["v1", "v2"], ""),
        route(
            "web",
            AT_EDGE,
            "  - match: [{uri: {prefix: /new}}]\n    route: [{destination: {host: web, subset: v2}}]\n  \
             - route: [{destination: {host: web, subset: v1}}]\n",
        ),
        service("db", 80),
        deployment("db", "a", ""),
        deployment("db", "b", ""),
        subsets("db", &["a", "b"], ""),
        route("db", "hosts: [db]", &rules),
    ];
    graph(&text.concat())
}

#[test]
fn versions_that_call_only_each_other_are_an_island() {
    let graph = islands("b");
    assert_eq!(graph.islands.len(), 2);
    let of = |name| island_of(&graph, name);
    assert_eq!(of("web-v1"), of("db-a"));
    assert_eq!(of("web-v2"), of("db-b"));
    assert_ne!(of("web-v1"), of("web-v2"));
    assert!(graph.edges.iter().all(|edge| !edge.crosses));
}

#[test]
fn what_two_versions_share_is_on_no_island_and_what_nobody_calls_is_idle() {
    let graph = islands("a");
    assert_ne!(island_of(&graph, "web-v1"), island_of(&graph, "web-v2"));
    assert_ne!(island_of(&graph, "db-a"), island_of(&graph, "web-v1"));
    assert_eq!(island_of(&graph, "db-b"), None);
    assert!(graph.node(&Id::workload("Deployment", "shop", "db-b")).unwrap().is_idle);
}

#[test]
fn an_edge_to_another_island_crosses() {
    let text = [
        shop(),
        deployment("old", "v1", "{name: H, value: web}"),
        service("old", 80),
        deployment("old", "v2", ""),
        subsets("web", &["v1", "v2"], ""),
        subsets("old", &["v1", "v2"], ""),
        route(
            "old",
            AT_EDGE,
            "  - match: [{uri: {prefix: /new}}]\n    route: [{destination: {host: old, subset: v2}}]\n  \
             - route: [{destination: {host: old, subset: v1}}]\n",
        ),
        route(
            "web",
            "hosts: [web]",
            "  - match: [{headers: {x: {exact: y}}}]\n    route: [{destination: {host: web, subset: v2}}]\n  \
             - route: [{destination: {host: web, subset: v1}}]\n",
        ),
    ];
    let graph = graph(&text.concat());
    let crossing: Vec<String> =
        graph.edges.iter().filter(|edge| edge.crosses).map(|edge| edge.to.0.clone()).collect();
    assert_eq!(crossing, ["subset/web.shop.svc.cluster.local/v2"]);
}

#[test]
fn a_deployment_of_one_version_has_no_islands() {
    let text = [NAMESPACE, &service("web", 80), &deployment("web", "v1", "")];
    assert_eq!(graph(&text.concat()).islands, []);
}

#[test]
fn what_is_not_in_the_input_is_marked() {
    let text = [
        shop(),
        route(
            "web",
            "hosts: ['*']\n  gateways: [other/gw]",
            "  - route: [{destination: {host: nowhere, subset: v9}}]\n",
        ),
    ];
    let graph = graph(&text.concat());
    let missing: Vec<&str> =
        graph.nodes.iter().filter(|node| node.is_missing).map(|node| node.id.0.as_str()).collect();
    assert_eq!(
        missing,
        [
            "gateway/other/gw",
            "host/nowhere.shop.svc.cluster.local",
            "subset/nowhere.shop.svc.cluster.local/v9"
        ]
    );
    assert!(graph.to_svg(&Options::default()).contains("not in the input"));
}

#[test]
fn a_gateway_tells_which_filter_it_runs() {
    let plugin = "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: coalmine}\nspec:\n  \
                  url: oci://ghcr.io/coalmine/filter:1\n  selector: {matchLabels: {istio: ingressgateway}}\n  \
                  pluginConfig: {flags: [{name: canary, header: x-canary, optIn: {cookie: {name: flag, value: in}}}]}\n---\n";
    let graph = graph(&[&shop(), plugin].concat());
    let gateway = graph.node(&Id::gateway("shop", "edge")).unwrap();
    assert_eq!(gateway.facts, [":80 HTTP *", "filter coalmine sets x-canary"]);
}

#[test]
fn the_pods_of_a_gateway_are_drawn_as_the_gateway() {
    let pods = "apiVersion: v1\nkind: Service\nmetadata: {name: ingress}\nspec: {selector: {istio: ingressgateway}, ports: \
                [{name: http, port: 80}]}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: ingress}\nspec: \
                {template: {metadata: {labels: {istio: ingressgateway}, annotations: {inject.istio.io/templates: \
                gateway}}}}\n---\n";
    let kinds = |text: &str| -> Vec<NodeKind> { graph(text).nodes.iter().map(|node| node.kind).collect() };
    assert_eq!(kinds(pods), []);
    assert_eq!(kinds(&[GATEWAY, pods].concat()), [NodeKind::Client, NodeKind::Gateway]);
}

fn split(weights: &str, versions: &[&str]) -> Graph {
    let deployments: String = versions.iter().map(|version| deployment("web", version, "")).collect();
    let text = [
        NAMESPACE,
        GATEWAY,
        &service("web", 80),
        &deployments,
        &subsets("web", versions, ""),
        &route("web", AT_EDGE, weights),
    ];
    graph(&text.concat())
}

#[test]
fn a_comparison_tells_what_is_new_gone_and_changed() {
    let to = |version: &str, weight: u32| {
        format!("{{destination: {{host: web, subset: {version}}}, weight: {weight}}}")
    };
    let before = split(&format!("  - route: [{}, {}]\n", to("v1", 50), to("v2", 50)), &["v1", "v2"]);
    let after = split(&format!("  - route: [{}, {}]\n", to("v2", 90), to("v3", 10)), &["v2", "v3"]);
    let graph = after.compared_with(&before);
    assert_eq!(
        calls(&graph),
        [
            "edge -> web v2: 90% [mtls] (changed)",
            "edge -> web v3: 10% [mtls] (added)",
            "edge -> web v1: 50% [mtls] (removed)",
        ]
    );
    let changed = graph.edges.iter().find(|edge| edge.change == Some(Change::Changed)).unwrap();
    assert_eq!(changed.before.as_deref(), Some("50%"));
    let change = |name| graph.node(&Id::workload("Deployment", "shop", name)).unwrap().change;
    assert_eq!(
        [change("web-v1"), change("web-v2"), change("web-v3")],
        [Some(Change::Removed), None, Some(Change::Added)]
    );
    // Nothing differs from itself.
    let same = after.compared_with(&after);
    assert!(same.nodes.iter().all(|node| node.change.is_none()));
    assert!(same.edges.iter().all(|edge| edge.change.is_none()));
}

#[test]
fn a_mtls_setting_that_changed_changes_the_edge() {
    let rules = "  - route: [{destination: {host: web, subset: v1}}]\n";
    let text = |policy: &str| {
        [
            NAMESPACE,
            GATEWAY,
            &service("web", 80),
            &deployment("web", "v1", ""),
            &subsets("web", &["v1"], policy),
            &route("web", AT_EDGE, rules),
        ]
        .concat()
    };
    let (before, after) = (graph(&text("trafficPolicy: {tls: {mode: DISABLE}}, ")), graph(&text("")));
    assert_eq!(calls(&after.compared_with(&before)), ["edge -> web v1 [mtls] (changed)"]);
}

#[test]
fn an_island_keeps_its_colour_in_every_state() {
    let mut files = Files::new();
    files.add("1.yaml", [NAMESPACE, &service("web", 80), &deployment("web", "v1", "")].concat());
    files.add("2.yaml", deployment("web", "v2", ""));
    let settings = Settings::parse(
        "namespace: shop\nrollout: [1.yaml, 2.yaml, {name: last, actions: [{delete: 1.yaml}, {apply: 2.yaml}]}]",
        "",
    )
    .unwrap();
    let input = Input::read(&files, &settings);
    let config = MeshConfig::default();
    let states = crate::states::states(&files, &input.resources, &settings);
    let meshes = states.into_iter().map(|state| Mesh::new(state.resources, &config, Assume::Auto));
    let graphs = Graph::of_states(meshes);
    let colors: Vec<Vec<(&str, usize)>> = graphs
        .iter()
        .map(|graph| graph.islands.iter().map(|island| (island.name.as_str(), island.color)).collect())
        .collect();
    assert_eq!(colors[0], [("v1", 0)]);
    assert_eq!(colors[1], [("v1", 0), ("v2", 1)]);
}

#[test]
fn every_node_and_way_says_where_it_is_written() {
    let graph = islands("b");
    for node in graph.nodes.iter().filter(|node| node.kind != NodeKind::Client) {
        assert!(node.span.is_some(), "{}", node.id);
    }
    for edge in graph.edges.iter().filter(|edge| edge.from != Id::outside()) {
        assert!(edge.span.is_some() && edge.ways.iter().all(|way| way.span.is_some()), "{}", edge.id);
    }
}

#[test]
fn what_is_highlighted_stands_out() {
    let graph = islands("b");
    let path = [Id::gateway("shop", "edge")];
    let svg = graph.to_svg(&Options { title: "x", highlight: &path, failed: &[] });
    assert!(svg.contains("class=\"node gateway on\" data-id=\"gateway/shop/edge\""), "{svg}");
    assert_eq!(svg.matches(" on\"").count(), 1);
    assert!(svg.contains("class=\"coalmine-graph focus\""));
}

#[test]
fn the_formats_show_the_same_picture() {
    let graph = islands("b");
    insta::assert_snapshot!("mermaid", graph.to_mermaid());
    insta::assert_snapshot!("dot", graph.to_dot(&Options { title: "shop", ..Options::default() }));
}

#[test]
fn a_gateway_gets_no_line_of_a_rule_for_other_pods_or_another_port() {
    for condition in ["{sourceLabels: {app: z}}", "{port: 8443}"] {
        let rules = format!(
            "  - match: [{condition}]\n    route: [{{destination: {{host: a, subset: v1}}}}]\n  - route: [{{destination: \
             {{host: a, subset: v2}}}}]\n"
        );
        let text = [
            NAMESPACE,
            GATEWAY,
            &service("a", 80),
            &deployment("a", "v1", ""),
            &subsets("a", &["v1", "v2"], ""),
            &route("a", AT_EDGE, &rules),
        ]
        .concat();
        let lines = calls(&graph(&text));
        assert!(lines.iter().any(|line| line.starts_with("edge -> a v2")), "{condition}: {lines:#?}");
        assert!(!lines.iter().any(|line| line.starts_with("edge -> a v1")), "{condition}: {lines:#?}");
    }
}

#[test]
fn every_share_of_a_line_is_told_with_its_conditions() {
    let rules = "  - match: [{uri: {prefix: /a}}]\n    route: [{destination: {host: a, subset: v1}, weight: 0}, {destination: \
                 {host: a, subset: v2}, weight: 100}]\n  - match: [{uri: {prefix: /off}}]\n    fault: {abort: {httpStatus: 503, \
                 percentage: {value: 100}}}\n    route: [{destination: {host: a, subset: v1}}]\n  - route: [{destination: {host: a, \
                 subset: v1}}]\n";
    let text = [
        NAMESPACE,
        GATEWAY,
        &service("a", 80),
        &deployment("a", "v1", ""),
        &deployment("a", "v2", ""),
        &subsets("a", &["v1", "v2"], ""),
        &route("a", AT_EDGE, rules),
    ]
    .concat();
    let lines = calls(&graph(&text));
    assert!(lines.iter().any(|line| line.starts_with("edge -> a v2: /a*: 100%")), "{lines:#?}");
    // What has weight 0 goes nowhere, and what is aborted arrives nowhere.
    assert!(
        lines.iter().any(|line| line.starts_with("edge -> a v1: /off*: aborted; otherwise [")),
        "{lines:#?}"
    );
}
