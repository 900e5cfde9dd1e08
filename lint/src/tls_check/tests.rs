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
    let gateway = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: istio-ingress}\n\
                   spec: {selector: {istio: edge}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}\n---\n\
                   apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: edge, namespace: istio-ingress}\n\
                   spec: {template: {metadata: {labels: {istio: edge}, annotations: {inject.istio.io/templates: gateway}}}}\n---\n";
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
