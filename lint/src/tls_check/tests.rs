use super::{Question, Server, Status, means_host, rows};
use crate::mesh::Assume;
use crate::mesh::Mesh;
use crate::mesh::config::MeshConfig;
use crate::mesh::mtls::Sent;
use crate::{Files, Input, Settings};

/// One row in short: `host:port subset status sent by` and the clients' names.
fn table(text: &str, config: &MeshConfig, question: Question<'_>) -> Vec<String> {
    let mut files = Files::new();
    files.add("test.yaml", text);
    let settings = Settings { namespace: "prod".to_owned(), ..Settings::default() };
    let input = Input::read(&files, &settings);
    let mesh = Mesh::new(input.resources.iter().collect(), config, Assume::Auto);
    rows(&mesh, question)
        .into_iter()
        .map(|row| {
            let name = row.host.name.split('.').next().unwrap_or("").to_owned();
            let status = match row.answer.status {
                Status::Ok => "ok",
                Status::Conflict => "conflict",
                Status::NoSubset => "no-subset",
                Status::Unknown => "unknown",
            };
            let server = match row.answer.server {
                Server::Policy(decision) => decision.mode.as_str(),
                Server::Bare => "bare",
                Server::Unknown => "?",
            };
            let sent = match row.answer.client.sent {
                Some(Sent::IstioMutual) => "mtls",
                Some(Sent::OwnCertificate) => "own",
                Some(Sent::Simple) => "tls",
                Some(Sent::Plaintext) => "plain",
                None => "?",
            };
            let clients: Vec<&str> = row.clients.iter().map(super::Caller::name).collect();
            let clients = if row.all_clients { "all".to_owned() } else { clients.join("+") };
            let pods: Vec<&str> = row.workloads.iter().map(|w| w.resource.name.as_str()).collect();
            let pods = if row.all_servers { "all".to_owned() } else { pods.join("+") };
            format!("{name}:{} {status} {server} {sent} {clients} {pods}", row.port.number)
        })
        .collect()
}

/// A gateway with a port for connections.
const EDGE: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-ingress}
spec: {selector: {istio: edge}, servers: [{port: {number: 5432, name: tcp, protocol: TCP}, hosts: ['*']}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: edge, namespace: istio-ingress}
spec: {template: {metadata: {labels: {istio: edge}, annotations: {inject.istio.io/templates: gateway}}}}
---
";

fn routes(spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: db, namespace: prod}}\n\
         spec: {spec}\n---\n"
    )
}

const MESH: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: prod, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: batch, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {selector: {app: db}, ports: [{name: tcp, port: 5432}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: db}
spec: {template: {metadata: {labels: {app: db}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {metadata: {labels: {app: web}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: job, namespace: batch}
spec: {template: {metadata: {labels: {app: job}}}}
---
";

fn with(objects: &str) -> Vec<String> {
    table(&format!("{MESH}{objects}"), &MeshConfig::default(), Question::default())
}

fn policy(namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n\
         metadata: {{name: p, namespace: {namespace}}}\nspec: {spec}\n---\n"
    )
}

fn rule(namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
         metadata: {{name: r, namespace: {namespace}}}\nspec: {spec}\n---\n"
    )
}

#[test]
fn clients_with_one_answer_share_a_row() {
    assert_eq!(with(""), ["db:5432 ok PERMISSIVE mtls all all"]);
    assert_eq!(with(&policy("prod", "{mtls: {mode: STRICT}}")), ["db:5432 ok STRICT mtls all all"]);
}

#[test]
fn a_rule_of_the_clients_namespace_splits_the_clients() {
    let rule = rule("batch", "{host: db.prod.svc.cluster.local, trafficPolicy: {tls: {mode: DISABLE}}}");
    let found = with(&format!("{}{rule}", policy("prod", "{mtls: {mode: STRICT}}")));
    assert_eq!(found, ["db:5432 ok STRICT mtls db+web all", "db:5432 conflict STRICT plain job all"]);
}

#[test]
fn workload_strict_under_namespace_disable_gets_plaintext_from_auto_mtls() {
    let found = with(&format!(
        "{}{}",
        policy("prod", "{mtls: {mode: DISABLE}}"),
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: db}\n\
         spec: {selector: {matchLabels: {app: db}}, mtls: {mode: STRICT}}\n"
    ));
    assert_eq!(found, ["db:5432 conflict STRICT plain all all"]);
}

#[test]
fn gateways_read_credentials_and_sidecars_do_not() {
    let gateway = format!(
        "{EDGE}{}",
        routes("{hosts: ['*'], gateways: [istio-ingress/edge], tcp: [{route: [{destination: {host: db}}]}]}")
    );
    let rule = rule("prod", "{host: db, trafficPolicy: {tls: {mode: SIMPLE, credentialName: db-ca}}}");
    assert_eq!(
        with(&format!("{gateway}{rule}{}", policy("prod", "{mtls: {mode: DISABLE}}"))),
        ["db:5432 ok DISABLE plain db+web+job all", "db:5432 ok DISABLE tls edge all"]
    );
}

#[test]
fn without_auto_mtls_clients_send_plaintext_unless_a_rule_says_otherwise() {
    let config = MeshConfig::parse("mesh", "enableAutoMtls: false").unwrap();
    let text = format!("{MESH}{}", policy("prod", "{mtls: {mode: STRICT}}"));
    let found = table(&text, &config, Question::default());
    assert_eq!(found, ["db:5432 conflict STRICT plain all all"]);
    let text = format!("{text}{}", rule("prod", "{host: db, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}"));
    assert_eq!(table(&text, &config, Question::default()), ["db:5432 ok STRICT mtls all all"]);
}

#[test]
fn pods_of_one_service_that_accept_different_things_have_rows_of_their_own() {
    let second = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: db-2}\n\
                  spec: {template: {metadata: {labels: {app: db, sidecar.istio.io/inject: \"false\"}}}}\n---\n";
    assert_eq!(
        with(&format!("{second}{}", rule("prod", "{host: db, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}"))),
        ["db:5432 ok PERMISSIVE mtls all db", "db:5432 conflict bare mtls all db-2"]
    );
}

#[test]
fn pods_without_a_sidecar_call_only_when_asked_for() {
    let bare = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: old}\n\
                spec: {template: {metadata: {labels: {sidecar.istio.io/inject: \"false\"}}}}\n---\n";
    let text = format!("{MESH}{bare}{}", policy("prod", "{mtls: {mode: STRICT}}"));
    let ask = |from| table(&text, &MeshConfig::default(), Question { from, service: None });
    assert_eq!(ask(None), ["db:5432 ok STRICT mtls all all"]);
    assert_eq!(ask(Some("old")), ["db:5432 conflict STRICT plain all all"]);
    assert_eq!(ask(Some("prod/web")), ["db:5432 ok STRICT mtls all all"]);
    assert_eq!(ask(Some("batch/web")), [""; 0]);
}

#[test]
fn a_host_is_asked_for_by_any_leading_part_and_a_port() {
    let mut files = Files::new();
    files.add("test.yaml", MESH);
    let settings = Settings { namespace: "prod".to_owned(), ..Settings::default() };
    let input = Input::read(&files, &settings);
    let config = MeshConfig::default();
    let mesh = Mesh::new(input.resources.iter().collect(), &config, Assume::Auto);
    let host = mesh.registry.iter().next().unwrap();
    for name in ["db", "db.prod", "db.prod.svc", "db.prod.svc.cluster.local"] {
        assert_eq!(means_host(name, host), Some(None), "{name}");
    }
    assert_eq!(means_host("db:5432", host), Some(Some(5432)));
    assert_eq!(means_host("d", host), None);
    assert_eq!(means_host("db.pro", host), None);
    assert_eq!(means_host("db:x", host), None);
}

#[test]
fn nothing_is_certain_about_pods_that_are_not_in_the_input() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: far}\n\
                   spec: {selector: {app: far}, ports: [{port: 80}]}\n---\n";
    let found = with(service);
    assert_eq!(found[1], "far:80 ok ? ? all all");
    let rule = rule("prod", "{host: far, trafficPolicy: {tls: {mode: DISABLE}}}");
    let found = with(&format!("{service}{rule}"));
    assert_eq!(found[1], "far:80 unknown ? plain all all");
    let found = with(&format!("{service}{rule}{}", policy("prod", "{mtls: {mode: STRICT}}")));
    assert_eq!(found[1], "far:80 conflict STRICT plain all all");
}

const STRICT: &str = "{mtls: {mode: STRICT}}";

/// A DestinationRule for db: its own TLS mode, and the mode of subset `one`, which is all of db's pods.
fn subset_rule(own: &str, one: &str) -> String {
    rule(
        "prod",
        &format!(
            "{{host: db, trafficPolicy: {{tls: {{mode: {own}}}}}, subsets: [{{name: one, labels: {{app: db}}, \
             trafficPolicy: {{tls: {{mode: {one}}}}}}}]}}"
        ),
    )
}

#[test]
fn a_gateways_routes_are_not_the_meshs() {
    let route = "tcp: [{route: [{destination: {host: db, subset: one}}]}]";
    let bound = routes(&format!("{{hosts: [db], gateways: [istio-ingress/edge], {route}}}"));
    let text = format!("{EDGE}{bound}{}{}", policy("prod", STRICT), subset_rule("ISTIO_MUTUAL", "DISABLE"));
    assert_eq!(
        with(&text),
        ["db:5432 ok STRICT mtls db+web+job db", "db:5432 conflict STRICT plain edge db"]
    );
    let both = routes(&format!("{{hosts: [db], gateways: [mesh, istio-ingress/edge], {route}}}"));
    let text = format!("{EDGE}{both}{}{}", policy("prod", STRICT), subset_rule("ISTIO_MUTUAL", "DISABLE"));
    assert_eq!(with(&text), ["db:5432 conflict STRICT plain all all"]);
}

#[test]
fn who_gets_no_rule_of_a_service_calls_all_of_its_pods() {
    let of_web =
        "tcp: [{match: [{sourceLabels: {app: web}}], route: [{destination: {host: db, subset: one}}]}]";
    let text = format!(
        "{}{}{}",
        routes(&format!("{{hosts: [db], {of_web}}}")),
        policy("prod", STRICT),
        subset_rule("DISABLE", "ISTIO_MUTUAL")
    );
    assert_eq!(with(&text), ["db:5432 conflict STRICT plain db+job db", "db:5432 ok STRICT mtls web db"]);
}

#[test]
fn a_gateway_without_a_route_calls_nobody() {
    assert_eq!(with(EDGE), ["db:5432 ok PERMISSIVE mtls all all"]);
    let text = format!("{MESH}{EDGE}");
    let from = Question { from: Some("edge"), service: None };
    assert_eq!(table(&text, &MeshConfig::default(), from), [""; 0]);
    assert_eq!(reasons(&text, from), ["db:5432 NoRoute"]);
}

#[test]
fn clients_without_a_routed_subset_have_a_row() {
    let route = "tcp: [{match: [{port: 5432}], route: [{destination: {host: db, subset: one}}]}]";
    let hiding = rule("batch", "{host: db.prod.svc.cluster.local, trafficPolicy: {}}");
    let text = format!(
        "{}{}{hiding}",
        routes(&format!("{{hosts: [db], {route}}}")),
        subset_rule("ISTIO_MUTUAL", "ISTIO_MUTUAL")
    );
    assert_eq!(with(&text), ["db:5432 ok PERMISSIVE mtls db+web db", "db:5432 no-subset ? ? job "]);
}

/// What has no row, and why.
fn reasons(text: &str, question: Question<'_>) -> Vec<String> {
    let mut files = Files::new();
    files.add("test.yaml", text);
    let settings = Settings { namespace: "prod".to_owned(), ..Settings::default() };
    let input = Input::read(&files, &settings);
    let config = MeshConfig::default();
    let mesh = Mesh::new(input.resources.iter().collect(), &config, Assume::Auto);
    let table = super::table(&mesh, question);
    let name = |host: &str| host.split('.').next().unwrap_or("").to_owned();
    let text = |left: &super::LeftOut<'_, '_>| match left.port {
        Some(port) => format!("{}:{} {:?}", name(&left.host.name), port.number, left.why),
        None => format!("{} {:?}", name(&left.host.name), left.why),
    };
    table.left_out.iter().map(text).collect()
}

#[test]
fn what_has_no_row_has_a_reason() {
    let services = "apiVersion: v1\nkind: Service\nmetadata: {name: alias}\nspec: {type: ExternalName, externalName: a.b}\n---\n\
                    apiVersion: v1\nkind: Service\nmetadata: {name: edge, namespace: istio-ingress}\n\
                    spec: {selector: {istio: edge}, ports: [{port: 80}]}\n---\n\
                    apiVersion: v1\nkind: Service\nmetadata: {name: dns}\n\
                    spec: {selector: {app: web}, ports: [{port: 53, protocol: UDP}]}\n---\n\
                    apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: far}\n\
                    spec: {hosts: [mysql.ext], ports: [{number: 3306, name: tcp, protocol: TCP}]}\n---\n";
    let route = routes("{hosts: [mysql.ext], tcp: [{route: [{destination: {host: db}}]}]}");
    let text = format!("{MESH}{EDGE}{services}");
    let found = table(&text, &MeshConfig::default(), Question::default());
    assert_eq!(found, ["db:5432 ok PERMISSIVE mtls all all", "mysql:3306 ok bare plain all all"]);
    let elsewhere = format!("{text}{route}");
    assert_eq!(
        reasons(&elsewhere, Question::default()),
        ["alias Alias", "edge GatewayPods", "dns:53 Udp", "mysql:3306 Elsewhere"]
    );
}

#[test]
fn a_caller_without_a_sidecar_has_a_row_for_what_its_configuration_names() {
    let bare = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: old}\n\
                spec: {template: {metadata: {labels: {sidecar.istio.io/inject: \"false\"}}, \
                spec: {containers: [{name: c, env: [{name: DB, value: 'db:5432'}]}]}}}\n---\n";
    assert_eq!(
        with(&format!("{bare}{}", policy("prod", STRICT))),
        ["db:5432 ok STRICT mtls db+web+job all", "db:5432 conflict STRICT plain old all"]
    );
    assert_eq!(
        with(bare),
        ["db:5432 ok PERMISSIVE mtls db+web+job all", "db:5432 ok PERMISSIVE plain old all"]
    );
}

#[test]
fn callers_that_only_one_selector_tells_apart_get_their_own_answers() {
    let selector = rule(
        "batch",
        "{host: db.prod.svc.cluster.local, workloadSelector: {matchLabels: {app: job}}, trafficPolicy: {tls: {mode: DISABLE}}}",
    );
    let other = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: task, namespace: batch}\n\
                 spec: {template: {metadata: {labels: {app: task}}}}\n---\n";
    assert_eq!(
        with(&format!("{other}{selector}{}", policy("prod", STRICT))),
        ["db:5432 ok STRICT mtls db+web+task all", "db:5432 conflict STRICT plain job all"]
    );
}

#[test]
fn what_ztunnel_sends_is_not_taken_for_plaintext() {
    let ambient = "apiVersion: v1\nkind: Namespace\nmetadata: {name: mist, labels: {istio.io/dataplane-mode: ambient}}\n---\n\
                   apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: fog, namespace: mist}\n\
                   spec: {template: {metadata: {labels: {app: fog}}}}\n---\n";
    let text = format!("{MESH}{ambient}{}", policy("prod", STRICT));
    let from = Question { from: Some("fog"), service: None };
    assert_eq!(table(&text, &MeshConfig::default(), from), ["db:5432 unknown STRICT ? all all"]);
}
