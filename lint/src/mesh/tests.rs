//! The lookup of DestinationRules and PeerAuthentications: one test for each way in which Istio surprises.

use super::config::MeshConfig;
use super::destinations::Client;
use super::mtls::{Assumed, Sent};
use super::security::{Mode, Scope};
use super::{Assume, Mesh};
use crate::Files;
use crate::resource::field::Map;
use crate::resource::lower;
use crate::yaml::{Limits, parse};

#[track_caller]
fn mesh(text: &str, judge: impl FnOnce(&Mesh<'_>)) {
    let mut files = Files::new();
    let id = files.add("test.yaml", text);
    let (documents, problems) = parse(id, files.get(id).unwrap(), Limits::default());
    assert!(problems.is_empty(), "{problems:?}");
    let resources = lower(&documents, |_| "default");
    let config = MeshConfig::default();
    judge(&Mesh::new(resources.iter().collect(), &config, Assume::Auto));
}

fn rule(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: \
         {namespace}}}\nspec: {{{spec}}}\n---\n"
    )
}

fn policy(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, namespace: \
         {namespace}}}\nspec: {{{spec}}}\n---\n"
    )
}

fn workload(name: &str, labels: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: shop, labels: {{{labels}}}}}\nspec: \
         {{containers: [{{name: c, ports: [{{containerPort: 8080}}]}}]}}\n---\n"
    )
}

const HOST: &str = "reviews.shop.svc.cluster.local";
const NAMESPACE: &str =
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n---\n";
const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: reviews, namespace: shop}\nspec: {selector: {app: \
                       reviews}, ports: [{name: http, port: 80, targetPort: 8080}]}\n---\n";

fn of(namespace: &str) -> Client<'_> {
    Client { namespace: Some(namespace), labels: None }
}

/// The names of the rules that win for a client.
fn winners(mesh: &Mesh<'_>, client: Client<'_>) -> Vec<String> {
    let effective = mesh.destination(client, HOST).unwrap_or_default();
    effective.rules().iter().map(|rule| rule.resource.name.value.clone()).collect()
}

fn tls(mesh: &Mesh<'_>, port: u32, subset: Option<&str>) -> Option<String> {
    let effective = mesh.destination(of("shop"), HOST)?;
    effective.client_tls(port, subset).map(|setting| setting.mode().to_owned())
}

/// Trap 5.
#[test]
fn the_first_namespace_with_a_matching_rule_wins_and_nothing_falls_through() {
    let text = [
        SERVICE.to_owned(),
        rule("client", "web", "host: '*.local'"),
        rule("server", "shop", &format!("host: {HOST}")),
        rule("private", "shop", &format!("host: {HOST}, exportTo: ['.']")),
        rule("root", "istio-system", "host: '*.local'"),
    ];
    mesh(&text.concat(), |mesh| {
        assert_eq!(winners(mesh, of("web")), ["client"]);
        assert_eq!(winners(mesh, of("other")), ["server"]);
        // A client of the root namespace has only private rules of its own.
        assert_eq!(winners(mesh, of("istio-system")), ["server"]);
    });
    let [service, _, _, private, root] = text;
    mesh(&[service, private, root].concat(), |mesh| {
        assert_eq!(winners(mesh, of("shop")), ["private"]);
        assert_eq!(winners(mesh, of("other")), ["root"]);
    });
}

/// Trap 6.
#[test]
fn rules_of_one_host_and_namespace_are_merged_and_wildcards_are_not_inherited() {
    let text = [
        SERVICE.to_owned(),
        rule("wide", "shop", "host: '*.shop.svc.cluster.local', trafficPolicy: {tls: {mode: DISABLE}}"),
        rule("one", "shop", "host: reviews, subsets: [{name: v1, labels: {version: '1'}}]"),
        rule(
            "two",
            "shop",
            &format!(
                "host: {HOST}, trafficPolicy: {{tls: {{mode: SIMPLE}}}}, subsets: [{{name: v1, labels: {{version: \
                 '9'}}}}, {{name: v2, labels: {{version: '2'}}}}]"
            ),
        ),
        rule("three", "shop", "host: reviews, trafficPolicy: {tls: {mode: MUTUAL}}"),
    ];
    mesh(&text.concat(), |mesh| {
        assert_eq!(winners(mesh, of("shop")), ["one", "two", "three"]);
        assert_eq!(tls(mesh, 80, None).as_deref(), Some("SIMPLE"));
        let effective = mesh.destination(of("shop"), HOST).unwrap();
        assert_eq!(effective.subset("v1").unwrap().1.labels.text("version"), Some("1"));
        assert!(effective.subset("v2").is_some());
    });
    let [service, wide, one, ..] = text;
    mesh(&[service, wide, one].concat(), |mesh| assert_eq!(tls(mesh, 80, None), None));
}

/// Trap 7.
#[test]
fn a_rule_with_a_workload_selector_is_private_and_replaces_the_generic_one_for_its_pods() {
    let text = [
        SERVICE.to_owned(),
        workload("web", "app: web"),
        rule("generic", "shop", &format!("host: {HOST}")),
        rule("selected", "shop", &format!("host: {HOST}, workloadSelector: {{matchLabels: {{app: web}}}}")),
    ];
    mesh(&text.concat(), |mesh| {
        let (_, web) = mesh.workloads.iter().next().unwrap();
        let client = Client { namespace: Some("shop"), labels: Some(web.labels) };
        assert_eq!(winners(mesh, client), ["selected"]);
        assert_eq!(winners(mesh, of("shop")), ["generic"]);
        assert_eq!(winners(mesh, of("other")), ["generic"]);
        let stranger = Client { namespace: Some("other"), labels: Some(web.labels) };
        assert_eq!(winners(mesh, stranger), ["generic"]);
    });
}

/// Trap 8.
#[test]
fn which_of_two_policies_is_older_is_not_in_the_text() {
    let strict = "mtls: {mode: STRICT}";
    let selected = "selector: {matchLabels: {app: reviews}}, mtls: {mode: DISABLE}";
    let by_version = "selector: {matchLabels: {version: '1'}}, mtls: {mode: STRICT}";
    let pod = workload("reviews", "app: reviews, version: '1'");
    let judge = |policies: &[String], expected: bool| {
        mesh(&[pod.clone(), policies.concat()].concat(), |mesh| {
            let (_, pod) = mesh.workloads.iter().next().unwrap();
            assert_eq!(mesh.peer_authentications.is_order_dependent("shop", pod.labels), expected);
        });
    };
    judge(&[policy("a", "shop", strict), policy("b", "shop", selected)], false);
    judge(&[policy("a", "shop", strict), policy("b", "shop", strict)], true);
    judge(&[policy("a", "shop", by_version), policy("b", "shop", selected)], true);
    judge(&[policy("a", "istio-system", strict), policy("b", "istio-system", strict)], true);
    judge(&[policy("a", "istio-system", selected), policy("b", "istio-system", by_version)], false);
}

/// Trap 9.
#[test]
fn port_level_settings_replace_the_destinations_and_a_subset_merges_over_both() {
    let spec = format!(
        "host: {HOST}, trafficPolicy: {{tls: {{mode: SIMPLE}}, portLevelSettings: [{{port: {{number: 81}}, tls: {{mode: \
         DISABLE}}}}, {{port: {{number: 82}}, loadBalancer: {{simple: RANDOM}}}}]}}, subsets: [{{name: plain, labels: \
         {{}}}}, {{name: own, labels: {{}}, trafficPolicy: {{tls: {{mode: MUTUAL}}}}}}, {{name: ports, labels: {{}}, \
         trafficPolicy: {{portLevelSettings: [{{port: {{number: 80}}, connectionPool: {{}}}}]}}}}]"
    );
    mesh(&[SERVICE, &rule("reviews", "shop", &spec)].concat(), |mesh| {
        let tls = |port, subset| tls(mesh, port, subset);
        assert_eq!(tls(80, None).as_deref(), Some("SIMPLE"));
        assert_eq!(tls(81, None).as_deref(), Some("DISABLE"));
        assert_eq!(tls(82, None), None, "what the port's block leaves out falls back to the default");
        assert_eq!(tls(81, Some("plain")).as_deref(), Some("DISABLE"));
        assert_eq!(tls(81, Some("own")).as_deref(), Some("MUTUAL"));
        assert_eq!(tls(80, Some("ports")), None, "a subset's port block replaces even the destination's tls");
        assert_eq!(tls(81, Some("ports")).as_deref(), Some("DISABLE"));
    });
}

/// Trap 10.
#[test]
fn a_subsets_policy_applies_only_through_the_subset() {
    let spec = format!(
        "host: {HOST}, subsets: [{{name: v1, labels: {{version: '1'}}, trafficPolicy: {{tls: {{mode: DISABLE}}}}}}]"
    );
    mesh(&[SERVICE, &rule("reviews", "shop", &spec)].concat(), |mesh| {
        assert_eq!(tls(mesh, 80, None), None);
        assert_eq!(tls(mesh, 80, Some("v1")).as_deref(), Some("DISABLE"));
    });
}

/// The mode of port 8080 of the pods with a label.
fn mode(mesh: &Mesh<'_>, name: &str, port: u32) -> (Mode, Scope) {
    let (_, pod) = mesh.workloads.iter().find(|(_, pod)| pod.resource.name.value == name).unwrap();
    let labels: &Map<String> = pod.labels;
    let decision = mesh.peer_authentications.of_workload("shop", labels, Some(port));
    (decision.mode, decision.scope)
}

/// Trap 35.
#[test]
fn a_workloads_policy_beats_the_namespaces_beats_the_meshs_and_unset_inherits() {
    let pods = [workload("reviews", "app: reviews"), workload("other", "app: other")].concat();
    mesh(&pods, |mesh| assert_eq!(mode(mesh, "reviews", 8080), (Mode::Permissive, Scope::Mesh)));
    let root = policy("default", "istio-system", "mtls: {mode: STRICT}");
    let ignored =
        policy("x", "istio-system", "selector: {matchLabels: {app: reviews}}, mtls: {mode: DISABLE}");
    mesh(&[pods.as_str(), &root, &ignored].concat(), |mesh| {
        assert_eq!(mode(mesh, "reviews", 8080), (Mode::Strict, Scope::Mesh));
    });
    let unset = policy("default", "shop", "mtls: {mode: UNSET}");
    mesh(&[pods.as_str(), &root, &unset].concat(), |mesh| {
        assert_eq!(mode(mesh, "reviews", 8080), (Mode::Strict, Scope::Mesh));
    });
    let namespace = policy("default", "shop", "mtls: {mode: PERMISSIVE}");
    let own = policy("own", "shop", "selector: {matchLabels: {app: reviews}}, mtls: {mode: DISABLE}");
    mesh(&[pods.as_str(), &root, &namespace, &own].concat(), |mesh| {
        assert_eq!(mode(mesh, "reviews", 8080), (Mode::Disable, Scope::Workload));
        assert_eq!(mode(mesh, "other", 8080), (Mode::Permissive, Scope::Namespace));
    });
}

/// Trap 36.
#[test]
fn a_port_of_a_policy_is_the_containers_and_needs_a_selector() {
    let pods = workload("reviews", "app: reviews");
    let ports = "mtls: {mode: STRICT}, portLevelMtls: {8080: {mode: DISABLE}, 80: {mode: PERMISSIVE}, 9: {mode: UNSET}}";
    let selected = policy("own", "shop", &format!("selector: {{matchLabels: {{app: reviews}}}}, {ports}"));
    mesh(&[NAMESPACE, SERVICE, &pods, &selected].concat(), |mesh| {
        assert_eq!(mode(mesh, "reviews", 8080), (Mode::Disable, Scope::Port));
        assert_eq!(mode(mesh, "reviews", 9), (Mode::Strict, Scope::Workload));
        let host = mesh.registry.find(HOST, None).unwrap();
        let (_, pod) = mesh.workloads.iter().next().unwrap();
        let accepts = mesh.accepts(pod, &host.ports[0]).unwrap();
        assert_eq!(accepts.mode(), Some(Mode::Disable), "the Service's port 80 leads to 8080");
    });
    let whole = policy("own", "shop", ports);
    mesh(&[pods.as_str(), &whole].concat(), |mesh| {
        assert_eq!(mode(mesh, "reviews", 8080), (Mode::Strict, Scope::Namespace));
    });
}

/// Trap 37.
#[test]
fn clients_go_by_the_namespaces_mode_and_know_nothing_of_a_workloads() {
    let own = policy("own", "shop", "selector: {matchLabels: {app: reviews}}, mtls: {mode: STRICT}");
    let namespace = policy("default", "shop", "mtls: {mode: DISABLE}");
    mesh(&[NAMESPACE, SERVICE, &workload("reviews", "app: reviews"), &own, &namespace].concat(), |mesh| {
        let host = mesh.registry.find(HOST, None).unwrap();
        let Assumed::Policy(decision) = mesh.assumed_mode(host) else { panic!("a policy decides") };
        assert_eq!((decision.mode, decision.scope), (Mode::Disable, Scope::Namespace));
        assert_eq!(mode(mesh, "reviews", 8080), (Mode::Strict, Scope::Workload));
    });
}

/// Trap 38.
#[test]
fn a_headless_service_is_called_in_plaintext_when_one_pod_has_no_sidecar() {
    let headless = SERVICE.replace("spec: {", "spec: {clusterIP: None, ");
    let bare = workload("bare", "app: reviews, sidecar.istio.io/inject: 'false'");
    let injected = workload("reviews", "app: reviews");
    let assumed = |parts: &[&str]| {
        let mut plaintext = false;
        mesh(&[NAMESPACE, &parts.concat()].concat(), |mesh| {
            let host = mesh.registry.find(HOST, None).unwrap();
            plaintext = matches!(mesh.assumed_mode(host), Assumed::WithoutSidecar(_));
        });
        plaintext
    };
    assert!(assumed(&[&headless, &injected, &bare]));
    assert!(!assumed(&[&headless, &injected]));
    assert!(!assumed(&[SERVICE, &injected, &bare]));
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: idle, namespace: shop}\nspec:\n  replicas: 0\n  \
                      template: {metadata: {labels: {app: reviews, sidecar.istio.io/inject: 'false'}}}\n---\n";
    assert!(!assumed(&[&headless, &injected, deployment]));
    assert!(assumed(&[&headless, &injected, &deployment.replace("replicas: 0", "replicas: 1")]));
}

#[test]
fn an_annotation_keeps_a_port_away_from_the_sidecar() {
    let annotated = |annotation: &str| {
        format!(
            "{NAMESPACE}apiVersion: v1\nkind: Pod\nmetadata: {{name: a, namespace: shop, annotations: \
             {{traffic.sidecar.istio.io/{annotation}}}}}\n"
        )
    };
    let bypasses = |annotation: &str, port: u32| {
        let mut bypasses = false;
        mesh(&annotated(annotation), |mesh| {
            let (_, pod) = mesh.workloads.iter().next().unwrap();
            bypasses = pod.proxy_on(port) == super::workloads::Proxy::None;
        });
        bypasses
    };
    assert!(bypasses("excludeInboundPorts: '80, 8080'", 8080));
    assert!(!bypasses("excludeInboundPorts: '80, 8080'", 81));
    assert!(bypasses("includeInboundPorts: '80'", 81));
    assert!(!bypasses("includeInboundPorts: '80'", 80));
    assert!(!bypasses("includeInboundPorts: '*'", 80));
}

fn virtual_service(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: \
         {namespace}}}\nspec: {{{spec}}}\n---\n"
    )
}

fn route_of(mesh: &Mesh<'_>, client: &str, host: &str) -> Option<String> {
    mesh.routes.for_mesh_host(client, host).map(|service| service.resource.name.value.clone())
}

/// Trap 4.
#[test]
fn export_to_is_judged_against_the_clients_namespace() {
    let text = [
        virtual_service("own", "shop", &format!("hosts: [{HOST}], exportTo: ['.']")),
        rule("private", "shop", &format!("host: {HOST}, exportTo: ['.']")),
        rule("for-web", "istio-system", &format!("host: {HOST}, exportTo: [web]")),
    ];
    mesh(&text.concat(), |mesh| {
        assert_eq!(route_of(mesh, "shop", HOST).as_deref(), Some("own"));
        assert_eq!(route_of(mesh, "web", HOST), None);
        assert_eq!(winners(mesh, of("shop")), ["private"]);
        assert_eq!(winners(mesh, of("web")), ["for-web"]);
        assert_eq!(winners(mesh, of("other")), Vec::<String>::new());
    });
}

/// Trap 14.
#[test]
fn listing_a_gateway_drops_the_mesh_and_an_empty_list_is_the_mesh_alone() {
    let text = [
        virtual_service("edge", "shop", &format!("hosts: [{HOST}], gateways: [gw]")),
        virtual_service("inside", "shop", "hosts: [ratings.shop.svc.cluster.local]"),
        virtual_service("both", "shop", "hosts: [details.shop.svc.cluster.local], gateways: [gw, mesh]"),
    ];
    mesh(&text.concat(), |mesh| {
        assert_eq!(route_of(mesh, "shop", HOST), None);
        assert_eq!(route_of(mesh, "shop", "ratings.shop.svc.cluster.local").as_deref(), Some("inside"));
        assert_eq!(route_of(mesh, "shop", "details.shop.svc.cluster.local").as_deref(), Some("both"));
    });
}

/// Trap 24.
#[test]
fn of_several_routes_for_a_host_the_most_specific_then_the_private_then_the_first_counts() {
    let text = [
        virtual_service("wildcard", "shop", "hosts: ['*.shop.svc.cluster.local']"),
        virtual_service("first", "shop", &format!("hosts: [{HOST}]")),
        virtual_service("second", "shop", &format!("hosts: [{HOST}]")),
        virtual_service("private", "web", &format!("hosts: [{HOST}], exportTo: ['.']")),
    ];
    mesh(&text.concat(), |mesh| {
        assert_eq!(route_of(mesh, "shop", HOST).as_deref(), Some("first"));
        assert_eq!(route_of(mesh, "web", HOST).as_deref(), Some("private"));
        assert_eq!(route_of(mesh, "shop", "other.shop.svc.cluster.local").as_deref(), Some("wildcard"));
    });
}

/// Istio files an object by each namespace of its list: its own is private to it, another's is exported by name.
#[test]
fn what_is_exported_by_name_counts_before_what_is_public_and_the_own_namespace_is_private() {
    let text = [
        virtual_service("public", "shop", &format!("hosts: [{HOST}]")),
        virtual_service("named", "ops", &format!("hosts: [{HOST}], exportTo: [web, shop]")),
        virtual_service("own", "shop", &format!("hosts: [{HOST}], exportTo: ['.', web]")),
    ];
    mesh(&text.concat(), |mesh| {
        assert_eq!(route_of(mesh, "web", HOST).as_deref(), Some("named"), "the first of two by name");
        assert_eq!(route_of(mesh, "shop", HOST).as_deref(), Some("own"));
        assert_eq!(route_of(mesh, "elsewhere", HOST).as_deref(), Some("public"));
        let seen: Vec<_> = mesh.routes.seen_by("shop").iter().map(|s| s.resource.name.as_str()).collect();
        assert_eq!(seen, ["own", "named", "public"]);
    });
}

#[test]
fn of_two_objects_of_one_name_the_last_is_left() {
    let text = [
        virtual_service("reviews", "shop", &format!("hosts: [{HOST}], exportTo: ['.']")),
        virtual_service("reviews", "shop", "hosts: [other.shop.svc.cluster.local]"),
    ];
    mesh(&text.concat(), |mesh| {
        assert_eq!(route_of(mesh, "shop", HOST), None);
        assert!(route_of(mesh, "shop", "other.shop.svc.cluster.local").is_some());
    });
}

/// Trap 39.
#[test]
fn a_credential_name_on_a_sidecar_is_no_tls_at_all_without_a_workload_selector() {
    let tls = "trafficPolicy: {tls: {mode: SIMPLE, credentialName: cert}}";
    let sent = |spec: &str| {
        let mut sent = None;
        mesh(&[SERVICE.to_owned(), rule("r", "shop", spec)].concat(), |mesh| {
            let effective = mesh.destination(of("shop"), HOST);
            sent = effective.and_then(|rules| rules.client_tls(80, None)).and_then(|tls| Sent::by(&tls));
        });
        sent
    };
    assert_eq!(sent(&format!("host: {HOST}, {tls}")), Some(Sent::Plaintext));
    let file = format!("host: {HOST}, trafficPolicy: {{tls: {{mode: SIMPLE, caCertificates: /ca.pem}}}}");
    assert_eq!(sent(&file), Some(Sent::Simple));
}

/// `getConfigsForHost`: connections take rules from every VirtualService that has the host.
#[test]
fn tcp_rules_of_several_virtual_services_follow_one_another() {
    let text = format!(
        "{}{}{}{}",
        "apiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: shop}\n\
         spec: {selector: {app: db}, ports: [{name: tcp, port: 5432}]}\n---\n",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop, labels: {app: web, version: '1'}}\n---\n",
        virtual_service(
            "two",
            "shop",
            "hosts: [db], tcp: [{match: [{sourceLabels: {version: '2'}}], route: [{destination: {host: two}}]}]"
        ),
        virtual_service("all", "shop", "hosts: [db], tcp: [{route: [{destination: {host: all}}]}]"),
    );
    mesh(&text, |mesh| {
        let host = mesh.registry.find("db.shop.svc.cluster.local", Some("shop")).unwrap();
        let (_, web) = mesh.workloads.iter().next().unwrap();
        let outcomes = mesh.outcomes(web, host, &host.ports[0]);
        let via: Vec<&str> =
            outcomes.iter().map(|outcome| outcome.via.unwrap().0.resource.name.as_str()).collect();
        assert_eq!(via, ["all"]);
    });
}
