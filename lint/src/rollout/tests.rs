//! What a command changes, which calls count as live, and how an order is rewritten. Past 500 lines because the
//! helpers that write the manifests serve all of them.

use super::order::{ProposedAction, ProposedStep};
use super::plan::{Plan, Verb};
use super::{Proposal, check, rewrite};
use crate::{Files, Input, Settings};

/// `rule file: message` of the findings about order.
fn findings(order: &str, files: &[(&str, &str)]) -> Vec<String> {
    let mut set = Files::new();
    for (name, text) in files {
        set.add(*name, *text);
    }
    let config = set.add_context("coalmine.yaml", order);
    let settings = Settings::parse(order, "").unwrap();
    let input = Input::read(&set, &settings);
    let rollout = check(&set, &settings, &input, Some(config));
    let about_order = rollout.report.diagnostics.iter().filter(|d| d.rule.starts_with("rollout-"));
    about_order
        .map(|d| format!("{} {} {}: {}", d.severity.as_str(), d.rule, set.name(d.span.file), d.message))
        .collect()
}

const NAMESPACE: &str =
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: {istio-injection: enabled}}\n";

fn service(name: &str, ports: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{app: {name}}}, ports: [{ports}]}}\n"
    )
}

fn pods(name: &str, app: &str, version: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\n\
         spec: {{template: {{metadata: {{labels: {{app: {app}, version: {version}}}}}}}}}\n"
    )
}

fn route(host: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {host}}}\n\
         spec: {{hosts: [{host}], http: [{spec}]}}\n"
    )
}

fn rule(host: &str, subsets: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {host}}}\n\
         spec: {{host: {host}, subsets: [{subsets}]}}\n"
    )
}

fn several(texts: &[String]) -> String {
    texts.join("---\n")
}

const HTTP: &str = "{name: http, port: 80, targetPort: 8080}";

/// Pods `web` call Service `api` with pods `api`.
fn two() -> String {
    several(&[
        NAMESPACE.to_owned(),
        service("api", HTTP),
        pods("api", "api", "v1"),
        service("web", HTTP),
        pods("web", "web", "v1"),
    ])
}

#[test]
fn a_first_deployment_breaks_nothing_in_whatever_order() {
    let route = route("api", "{route: [{destination: {host: api, port: {number: 80}}}]}");
    let files = [("a.yaml", route.as_str()), ("b.yaml", &two())];
    assert_eq!(findings("rollout: [a.yaml, b.yaml]", &files), [""; 0]);
    assert_eq!(findings("rollout: [b.yaml]", &files[1..]), [""; 0]);
}

#[test]
fn a_new_image_changes_nothing_that_clients_see() {
    let (old, new) =
        (pods("api", "api", "v1"), pods("api", "api", "v1").replace("spec: {", "spec: {replicas: 2, "));
    let base = several(&[NAMESPACE.to_owned(), service("api", HTTP), old, pods("web", "web", "v1")]);
    assert_eq!(findings("rollout: [a.yaml, b.yaml]", &[("a.yaml", &base), ("b.yaml", &new)]), [""; 0]);
}

#[test]
fn until_a_command_has_settled_the_old_pods_of_a_changed_workload_answer() {
    let new = several(&[pods("api", "api", "v2"), rule("api", "{name: v2, labels: {version: v2}}")]);
    let pin = route("api", "{route: [{destination: {host: api, subset: v2}}]}");
    let files = [("a.yaml", two()), ("b.yaml", new), ("c.yaml", pin)];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    assert_eq!(findings("rollout: [a.yaml, b.yaml, c.yaml]", &files), [""; 0]);
    let together = "rollout:\n- a.yaml\n- name: x\n  actions: [{apply: [b.yaml, c.yaml]}]\n";
    let found = findings(together, &files);
    let early = "error rollout-pods-not-ready-before-route c.yaml: while `apply b.yaml";
    assert!(found.iter().any(|finding| finding.starts_with(early)), "{found:#?}");
}

#[test]
fn scaling_to_zero_removes_the_pods() {
    let base = several(&[
        two(),
        rule("api", "{name: v1, labels: {version: v1}}"),
        route("api", "{route: [{destination: {host: api, subset: v1}}]}"),
    ]);
    let idle = pods("api", "api", "v1").replace("spec: {", "spec: {replicas: 0, ");
    let found = findings("rollout: [a.yaml, b.yaml]", &[("a.yaml", &base), ("b.yaml", &idle)]);
    assert_eq!(
        found,
        [
            "error rollout-workload-removed-early b.yaml: after `apply b.yaml`, Deployment `api` leaves subset `v1` of `api` \
          without pods, and requests of Deployment `web` still go there: 503 UH, or a reset for TCP"
        ]
    );
}

#[test]
fn calls_that_nothing_proves_are_only_notes_and_those_that_the_configuration_names_warnings() {
    let gone = service("api", HTTP);
    let order = "rollout:\n- a.yaml\n- name: x\n  actions: [{delete: b.yaml}]\n";
    let found = findings(order, &[("a.yaml", &two()), ("b.yaml", &gone)]);
    assert_eq!(
        found,
        [
            "info rollout-host-or-port-removed-early coalmine.yaml: after `delete b.yaml`, host `api` is gone, and \
          calls of Deployment `web` may still go there: 503 NC, or a reset for TCP"
        ]
    );
    let named = two().replacen(
        "labels: {app: web, version: v1}}",
        "labels: {app: web, version: v1}}, spec: {containers: [{name: c, env: [{name: API, value: \"http://api\"}]}]}",
        1,
    );
    assert_ne!(named, two());
    let found = findings(order, &[("a.yaml", &named), ("b.yaml", &gone)]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("warning "), "{found:#?}");
}

#[test]
fn a_port_that_a_route_only_translates_is_not_in_use() {
    let both =
        service("api", "{name: http, port: 80, targetPort: 8080}, {name: http-old, port: 81, targetPort: 9}");
    let pod = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec: {template: {metadata: {labels: {app: api}}, \
               spec: {containers: [{name: c, ports: [{containerPort: 8080}]}]}}}\n";
    let base = several(&[
        NAMESPACE.to_owned(),
        both,
        pod.to_owned(),
        pods("web", "web", "v1"),
        route("api", "{route: [{destination: {host: api, port: {number: 80}}}]}"),
    ]);
    let files = [("a.yaml", base.as_str()), ("b.yaml", &service("api", HTTP))];
    assert_eq!(findings("rollout: [a.yaml, b.yaml]", &files), [""; 0]);
}

#[test]
fn a_gateway_that_is_not_in_the_input_is_taken_to_be_there() {
    let door = |subset: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: door}}\nspec: {{hosts: [a.example], \
             gateways: [istio-system/shared], http: [{{route: [{{destination: {{host: web{subset}}}}}]}}]}}\n"
        )
    };
    let base = several(&[two(), door("")]);
    let files = [("a.yaml", base.as_str()), ("b.yaml", &door(", subset: v1"))];
    let found = findings("rollout: [a.yaml, b.yaml]", &files);
    assert!(found[0].starts_with("error rollout-subset-used-before-defined b.yaml"), "{found:#?}");
}

#[test]
fn objects_that_do_not_meet_do_not_race() {
    let base = several(&[two(), rule("api", "{name: v1, labels: {version: v1}}")]);
    let pin =
        |host: &str| route(host, &format!("{{route: [{{destination: {{host: {host}, subset: v1}}}}]}}"));
    let web = rule("web", "{name: v1, labels: {version: v1}}");
    let order = "rollout:\n- a.yaml\n- name: x\n  actions: [{apply: [b.yaml, c.yaml]}]\n";
    let apart = findings(order, &[("a.yaml", &base), ("b.yaml", &web), ("c.yaml", &pin("api"))]);
    assert_eq!(apart, [""; 0]);
    let together = findings(order, &[("a.yaml", &base), ("b.yaml", &web), ("c.yaml", &pin("web"))]);
    assert_eq!(together.len(), 1, "{together:#?}");
    assert!(together[0].starts_with("warning rollout-same-apply-race b.yaml"), "{together:#?}");
}

#[test]
fn what_the_settings_turn_off_is_neither_found_nor_avoided() {
    let order = "rules: {rollout-host-or-port-removed-early: off}\nrollout:\n- a.yaml\n- name: x\n  actions: [{delete: b.yaml}]\n";
    assert_eq!(findings(order, &[("a.yaml", &two()), ("b.yaml", &service("api", HTTP))]), [""; 0]);
}

#[test]
fn a_suppression_in_coalmine_yaml_holds_and_one_that_hides_nothing_is_told() {
    let volume = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\n";
    let order = "rollout:\n- a.yaml\n- name: x\n  actions:\n  # coalmine: ignore[rollout-no-way-back] it was empty\n  - delete: a.yaml\n";
    let mut set = Files::new();
    set.add("a.yaml", volume);
    let config = set.add_context("coalmine.yaml", order);
    let settings = Settings::parse(order, "").unwrap();
    let input = Input::read(&set, &settings);
    let report = check(&set, &settings, &input, Some(config)).report;
    assert_eq!(report.suppressed, 1);
    assert!(
        report.diagnostics.iter().all(|d| d.rule != "rollout-no-way-back" && d.rule != "unused-suppression")
    );
    let order = order.replace("- delete", "- apply");
    let mut set = Files::new();
    set.add("a.yaml", volume);
    let config = set.add_context("coalmine.yaml", order.as_str());
    let settings = Settings::parse(&order, "").unwrap();
    let input = Input::read(&set, &settings);
    let report = check(&set, &settings, &input, Some(config)).report;
    assert!(report.diagnostics.iter().any(|d| d.rule == "unused-suppression"));
}

#[test]
fn deleting_a_namespace_takes_along_what_is_in_it_and_undoing_brings_it_back() {
    let mut files = Files::new();
    files.add("a.yaml", two());
    files.add("b.yaml", NAMESPACE);
    let settings =
        Settings::parse("rollout:\n- a.yaml\n- name: x\n  actions: [{delete: b.yaml}]\n", "").unwrap();
    let input = Input::read(&files, &settings);
    let plan = Plan::new(&files, &input.documents, &input.resources, &settings, None);
    let mut state = Vec::new();
    let first = plan.steps[0].commands[0].on(&files, &state);
    state = super::after(&state, first.changes(), true);
    assert_eq!(state.len(), 5);
    let delete = plan.steps[1].commands[0].on(&files, &state);
    assert_eq!(delete.objects.len(), 1);
    assert_eq!(super::after(&state, delete.changes(), true).len(), 0);
    let back = delete.undo();
    assert_eq!(super::after(&[], back.changes(), true).len(), 5);
    // Applying what is there already is nothing.
    assert!(plan.steps[0].commands[0].on(&files, &state).objects.is_empty());
}

fn action(verb: Verb, path: &str, origin: Option<(usize, usize)>) -> ProposedAction {
    let is_whole = origin.is_some();
    ProposedAction { verb, paths: vec![path.to_owned()], origin: origin.unwrap_or((0, 0)), is_whole }
}

#[test]
fn a_rewritten_order_keeps_comments_with_their_commands() {
    let text = "# head\nnamespace: a\nrollout:\n  - one   # first\n\n  # about two\n  - name: two\n    actions:\n      # b needs care\n      - apply: b\n      - delete: c # now\n\n# tail\nassume: closed\n";
    let steps = [
        ProposedStep {
            name: "one".to_owned(),
            actions: vec![action(Verb::Apply, "one", Some((0, 0)))],
            is_unchanged: true,
        },
        ProposedStep {
            name: "two".to_owned(),
            actions: vec![action(Verb::Delete, "c", Some((1, 1))), action(Verb::Apply, "b", Some((1, 0)))],
            is_unchanged: false,
        },
    ];
    let expected = "# head\nnamespace: a\nrollout:\n  - one   # first\n\n  # about two\n  - name: two\n    actions:\n      - delete: c # now\n      # b needs care\n      - apply: b\n\n# tail\nassume: closed\n";
    assert_eq!(rewrite::rewrite(text, &steps).unwrap(), expected);
}

#[test]
fn a_step_taken_apart_is_written_as_commands_and_odd_names_are_quoted() {
    let steps = [ProposedStep {
        name: "1".to_owned(),
        actions: vec![action(Verb::Apply, "1/a.yaml", None), action(Verb::Apply, "1/b: c.yaml", None)],
        is_unchanged: false,
    }];
    let new = rewrite::rewrite("rollout:\n- \"1\"", &steps).unwrap();
    assert_eq!(
        new,
        "rollout:\n- name: \"1\"\n  actions:\n    - apply: 1/a.yaml\n    - apply: \"1/b: c.yaml\"\n"
    );
}

#[test]
fn an_order_in_flow_style_is_left_to_the_user() {
    let steps = [ProposedStep {
        name: "b".to_owned(),
        actions: vec![action(Verb::Apply, "b", None)],
        is_unchanged: false,
    }];
    let error = rewrite::rewrite("rollout: [a, b]\n", &steps).unwrap_err();
    assert!(error.contains("not written as one entry per line; write the order in by hand"), "{error}");
    let error = rewrite::rewrite("namespace: a\n", &steps).unwrap_err();
    assert!(error.contains("there is no list `rollout`"), "{error}");
}

#[test]
fn a_command_that_must_be_split_is_split_by_file() {
    let pin = route("api", "{route: [{destination: {host: api, subset: v1}}]}");
    let subset = rule("api", "{name: v1, labels: {version: v1}}");
    let order = "rollout: [base, pin]";
    let mut files = Files::new();
    files.add("base/a.yaml", two());
    files.add("pin/1-route.yaml", pin);
    files.add("pin/2-rule.yaml", subset);
    let settings = Settings::parse(order, "").unwrap();
    let input = Input::read(&files, &settings);
    let rollout = check(&files, &settings, &input, None);
    let Proposal::Order(steps) = rollout.proposal else { panic!("{:?}", rollout.proposal) };
    assert!(steps[0].is_unchanged);
    let paths: Vec<&str> = steps[1].actions.iter().map(|action| action.paths[0].as_str()).collect();
    assert_eq!(paths, ["pin/2-rule.yaml", "pin/1-route.yaml"]);
}

/// Pods `a` of version v1 behind a Gateway with a server on port 80, and the subset v1.
fn behind_a_door() -> String {
    several(&[
        NAMESPACE.to_owned(),
        door("80", "HTTP"),
        service("a", HTTP),
        pods("a-v1", "a", "v1"),
        rule("a", "{name: v1, labels: {version: v1}}"),
    ])
}

fn door(port: &str, protocol: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: door}}\nspec: {{selector: {{istio: \
         ingressgateway}}, servers: [{{port: {{number: {port}, name: web, protocol: {protocol}}}, hosts: [\"*\"]}}]}}\n"
    )
}

/// A VirtualService `name` of `hosts` at the Gateway.
fn at_door(name: &str, hosts: &str, http: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}}}\n\
         spec: {{hosts: [{hosts}], gateways: [door, mesh], http: [{http}]}}\n"
    )
}

const USED_EARLY: &str = "error rollout-subset-used-before-defined";
const TO_V1: &str = "{route: [{destination: {host: a, subset: v1}}]}";

#[test]
fn a_rule_for_other_pods_or_another_port_takes_no_request_of_a_gateway() {
    let base = several(&[behind_a_door(), at_door("a", "a, a.example.com", TO_V1)]);
    let changed = |first: &str, second: &str| {
        let http = format!(
            "{{match: [{first}], route: [{{destination: {{host: a, subset: v1}}}}]}}, \
             {{route: [{{destination: {{host: a, subset: {second}}}}}]}}"
        );
        at_door("a", "a, a.example.com", &http)
    };
    for condition in
        ["{sourceLabels: {app: z}}", "{port: 8443}", "{sourceNamespace: z}", "{gateways: [mesh]}"]
    {
        let missed = changed(condition, "v2");
        let found = findings("rollout: [a.yaml, b.yaml]", &[("a.yaml", &base), ("b.yaml", &missed)]);
        assert!(found.iter().any(|finding| finding.starts_with(USED_EARLY)), "{condition}: {found:#?}");
        let idle = changed(condition, "v1").replacen("subset: v1", "subset: v2", 1);
        let found = findings("rollout: [a.yaml, b.yaml]", &[("a.yaml", &base), ("b.yaml", &idle)]);
        assert_eq!(found, [""; 0], "{condition}");
    }
    // The labels of the gateway's own pods.
    let idle =
        changed("{sourceLabels: {istio: ingressgateway}}", "v1").replacen("subset: v1", "subset: v2", 1);
    let found = findings("rollout: [a.yaml, b.yaml]", &[("a.yaml", &base), ("b.yaml", &idle)]);
    assert!(found.iter().any(|finding| finding.starts_with(USED_EARLY)), "{found:#?}");
}

#[test]
fn a_destination_without_a_port_of_a_host_with_several_is_followed() {
    let ports = format!("{HTTP}, {{name: http-admin, port: 81, targetPort: 8080}}");
    let two_doors = door("81", "HTTP").replace(
        "servers: [",
        "servers: [{port: {number: 80, name: main, protocol: HTTP}, hosts: [\"*\"]}, ",
    );
    let base = several(&[
        NAMESPACE.to_owned(),
        two_doors,
        service("a", &ports),
        pods("a-v1", "a", "v1"),
        pods("client", "client", "v1"),
        rule("a", "{name: v1, labels: {version: v1}}"),
    ]);
    let order = "rollout: [a.yaml, b.yaml, c.yaml]";
    for route_to in [
        |subset: &str| route("a", &format!("{{route: [{{destination: {{host: a, subset: {subset}}}}}]}}")),
        |subset: &str| {
            at_door("a", "a.example.com", &TO_V1.replace("v1", subset)).replace("[door, mesh]", "[door]")
        },
    ] {
        let (v1, v2) = (route_to("v1"), route_to("v2"));
        let found = findings(order, &[("a.yaml", &base), ("b.yaml", &v1), ("c.yaml", &v2)]);
        assert!(found.iter().any(|finding| finding.starts_with(USED_EARLY)), "{found:#?}");
        let idle = pods("a-v1", "a", "v1").replace("spec: {", "spec: {replicas: 0, ");
        let found = findings(order, &[("a.yaml", &base), ("b.yaml", &v1), ("c.yaml", &idle)]);
        let early = "error rollout-workload-removed-early";
        assert!(found.iter().any(|finding| finding.starts_with(early)), "{found:#?}");
    }
}

/// What is certain is told, whoever sorts before: pods `client` may call the pods, visitors of the Gateway do.
#[test]
fn a_certain_break_is_not_hidden_by_a_possible_one() {
    let base = several(&[
        behind_a_door(),
        pods("client", "client", "v1"),
        at_door("a", "a.example.com", TO_V1).replace("[door, mesh]", "[door]"),
    ]);
    let idle = pods("a-v1", "a", "v1").replace("spec: {", "spec: {replicas: 0, ");
    let found = findings("rollout: [a.yaml, b.yaml]", &[("a.yaml", &base), ("b.yaml", &idle)]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("error ") && found[0].contains("requests of Gateway `door`"), "{found:#?}");
}

const GONE: &str = "rollout-route-removed-early";

/// Severities of the findings about routes that go.
fn gone(order: &str, files: &[(&str, &str)]) -> Vec<String> {
    let found = findings(order, files);
    let own =
        found.iter().filter_map(|finding| finding.split_once(' ')).filter(|(_, rest)| rest.starts_with(GONE));
    own.map(|(severity, _)| severity.to_owned()).collect()
}

#[test]
fn a_host_that_moves_between_virtual_services_is_never_without_a_route() {
    let base = several(&[behind_a_door(), at_door("both", "a.example.com, b.example.com", TO_V1)]);
    let (one, other) = (at_door("both", "a.example.com", TO_V1), at_door("b", "b.example.com", TO_V1));
    let files = [("a.yaml", base.as_str()), ("one.yaml", &one), ("b.yaml", &other)];
    let order = |first: &str, second: &str| {
        format!("rollout:\n- a.yaml\n- name: split\n  actions: [{{apply: {first}}}, {{apply: {second}}}]\n")
    };
    assert_eq!(gone(&order("one.yaml", "b.yaml"), &files), ["error"]);
    assert_eq!(gone(&order("b.yaml", "one.yaml"), &files), [""; 0]);
    // A wildcard takes over.
    let wide = at_door("b", "\"*.example.com\"", TO_V1);
    let files = [("a.yaml", base.as_str()), ("one.yaml", &one), ("b.yaml", &wide)];
    assert_eq!(gone(&order("b.yaml", "one.yaml"), &files), [""; 0]);
    // Later steps count, too.
    assert_eq!(gone("rollout: [a.yaml, one.yaml, b.yaml]", &files), ["error"]);
}

#[test]
fn a_route_that_answers_nothing_any_more_is_gone() {
    let base = several(&[behind_a_door(), at_door("a", "a.example.com", TO_V1)]);
    let back = at_door("a", "a.example.com", &format!("{TO_V1}, {{redirect: {{uri: /}}}}"));
    for http in [
        "",
        "{directResponse: {status: 503}}",
        "{match: [{uri: {prefix: /new}}], route: [{destination: {host: a, subset: v1}}]}",
        "{fault: {abort: {httpStatus: 503, percentage: {value: 100}}}, route: [{destination: {host: a, subset: v1}}]}",
    ] {
        let shut = at_door("a", "a.example.com", http);
        let files = [("a.yaml", base.as_str()), ("b.yaml", &shut), ("c.yaml", &back)];
        assert_eq!(gone("rollout: [a.yaml, b.yaml, c.yaml]", &files), ["error"], "{http}");
        assert_eq!(gone("rollout: [a.yaml, b.yaml]", &files[..2]), ["warning"], "{http}");
    }
    for http in ["{redirect: {uri: /new}}", "{directResponse: {status: 200}}"] {
        let other = at_door("a", "a.example.com", http);
        assert_eq!(
            gone("rollout: [a.yaml, b.yaml]", &[("a.yaml", &base), ("b.yaml", &other)]),
            [""; 0],
            "{http}"
        );
    }
}

#[test]
fn a_virtual_service_that_is_deleted_for_good_means_what_it_says() {
    let route = at_door("a", "a.example.com", TO_V1);
    let files = [("a.yaml", behind_a_door()), ("b.yaml", route.clone())];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let order = "rollout:\n- a.yaml\n- b.yaml\n- name: close\n  actions: [{delete: b.yaml}]\n";
    assert_eq!(gone(order, &files), [""; 0]);
}

const STRICT: &str = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default}\nspec: {mtls: {mode: STRICT}}\n";

/// Pods `web` call `api` along a route.
fn with_route() -> String {
    several(&[two(), route("api", "{route: [{destination: {host: api}}]}")])
}

#[test]
fn injection_and_strict_in_one_command_meet_pods_without_a_sidecar() {
    let base = with_route().replace("enabled", "disabled");
    let files = [("a.yaml", base.as_str()), ("strict.yaml", STRICT), ("inject.yaml", NAMESPACE)];
    for list in ["strict.yaml, inject.yaml", "inject.yaml, strict.yaml"] {
        let order = format!("rollout:\n- a.yaml\n- name: x\n  actions: [{{apply: [{list}]}}]\n");
        let found = findings(&order, &files);
        let early = |finding: &String| {
            finding.starts_with("error rollout-mtls-window strict.yaml")
                && finding.contains("has no sidecar yet")
        };
        assert!(found.iter().any(early), "{list}: {found:#?}");
    }
    let apart = "rollout: [a.yaml, inject.yaml, strict.yaml]";
    assert_eq!(findings(apart, &files), [""; 0]);
}

#[test]
fn mtls_to_pods_that_accept_only_plaintext_is_called_that() {
    let mutual = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: api}\nspec: {host: api, trafficPolicy: \
         {tls: {mode: ISTIO_MUTUAL}}}\n";
    let base = several(&[with_route(), mutual.to_owned()]);
    let files = [("a.yaml", base.as_str()), ("b.yaml", &STRICT.replace("STRICT", "DISABLE"))];
    let found = findings("rollout: [a.yaml, b.yaml]", &files);
    let text =
        "Deployment `web` sends Istio's mTLS to Deployment `api`, which accepts only plaintext: a reset";
    assert!(found.iter().any(|finding| finding.contains(text)), "{found:#?}");
}

#[test]
fn sidecars_that_go_under_strict_are_blamed_on_the_namespace() {
    let base = several(&[with_route(), STRICT.to_owned()]);
    let files = [("a.yaml", base.as_str()), ("b.yaml", &NAMESPACE.replace("enabled", "disabled"))];
    let found = findings("rollout: [a.yaml, b.yaml]", &files);
    let own = |finding: &&String| {
        finding.starts_with("error rollout-mtls-window b.yaml") && finding.contains("loses its sidecar")
    };
    assert_eq!(found.iter().filter(own).count(), 1, "{found:#?}");
    assert!(!found.iter().any(|finding| finding.contains("one by one")), "{found:#?}");
}

#[test]
fn plaintext_between_two_states_of_mtls_is_told() {
    let rule = |mode: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: api}}\nspec: {{host: api, \
             trafficPolicy: {{tls: {{mode: {mode}}}}}}}\n"
        )
    };
    let base = several(&[with_route(), rule("ISTIO_MUTUAL")]);
    let (open, shut) = (rule("DISABLE"), rule("ISTIO_MUTUAL"));
    let files = [("a.yaml", base.as_str()), ("b.yaml", &open), ("c.yaml", &shut)];
    let order = "rollout:\n- a.yaml\n- name: x\n  actions: [{apply: b.yaml}, {apply: c.yaml}]\n";
    let found = findings(order, &files);
    assert_eq!(
        found,
        [
            "warning rollout-mtls-window b.yaml: after `apply b.yaml`, calls to `api` are plaintext for a while, although \
          they are mTLS before and after this step"
        ]
    );
    assert_eq!(findings("rollout: [a.yaml, b.yaml, c.yaml]", &files), [""; 0]);
}

/// Otherwise a command with many routes has as many moments, each with all routes.
#[test]
fn routes_of_different_hosts_at_one_gateway_do_not_meet() {
    let touched = |one: &str, other: &str| {
        let mut files = Files::new();
        let text = several(&[behind_a_door(), at_door("x", one, TO_V1), at_door("y", other, TO_V1)]);
        files.add(
            "a.yaml",
            text.replace("[door, mesh]", "[door]").replace("host: a, subset: v1}}", "host: none}}"),
        );
        let settings = Settings::default();
        let input = Input::read(&files, &settings);
        let config = input.mesh_config(&settings);
        let mesh = crate::mesh::Mesh::new(input.resources.iter().collect(), &config, settings.assume);
        let scope = |name: &str| {
            let new = input.resources.iter().find(|own| own.name.value == name);
            let scope = super::scope::Scope::of(&[super::Change { old: None, new }], [&mesh, &mesh]);
            scope
                .hosts()
                .unwrap()
                .filter(|host| host.starts_with("gateway "))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        (scope("x"), scope("y"), scope("door").len())
    };
    let (x, y, door) = touched("x.example.com", "y.example.com");
    assert_eq!((x.len(), y.len(), door), (1, 1, 2));
    assert_ne!(x, y);
    let (x, y, _) = touched("x.example.com", "\"*.example.com\"");
    assert!(x.iter().any(|host| y.contains(host)), "{x:?} {y:?}");
}

#[test]
fn comments_of_steps_and_commands_that_move_or_are_taken_apart_stay() {
    let text = "rollout:\n- a\n# why two\n- name: two # of bob\n  actions:\n  # coalmine: ignore[x] dead\n  - delete: b # now\n\
                - name: three\n  actions:\n    - apply:\n        # first\n        - c\n        - d # second\n    # last\n    - apply: e\n\
                # plain\n- f # too\n- name: end\n  actions:\n  - apply: g\n";
    let part = |path: &str| ProposedAction { is_whole: false, ..action(Verb::Apply, path, Some((2, 0))) };
    let step = |name: &str, actions: Vec<ProposedAction>, is_unchanged| ProposedStep {
        name: name.to_owned(),
        actions,
        is_unchanged,
    };
    let steps = [
        step("a", vec![action(Verb::Apply, "a", Some((0, 0)))], true),
        step("three", vec![part("d"), action(Verb::Apply, "e", Some((2, 1))), part("c")], false),
        step(
            "end",
            vec![
                action(Verb::Apply, "g", Some((4, 0))),
                action(Verb::Delete, "b", Some((1, 0))),
                action(Verb::Apply, "f", Some((3, 0))),
            ],
            false,
        ),
    ];
    let expected = "rollout:\n- a\n- name: three\n  actions:\n    # first\n    # second\n    - apply: d\n    # last\n    - apply: e\n\
                    \x20   - apply: c\n- name: end\n  actions:\n  - apply: g\n  # why two\n  # of bob\n  # coalmine: ignore[x] dead\n\
                    \x20 - delete: b # now\n  # plain\n  # too\n  - apply: f\n";
    assert_eq!(rewrite::rewrite(text, &steps).unwrap(), expected);
}

#[test]
fn a_suppressed_or_downgraded_error_neither_changes_the_order_nor_stops_the_way_back() {
    let idle = pods("api", "api", "v1").replace("spec: {", "spec: {replicas: 0, ");
    let hushed = idle.replace(
        "replicas: 0",
        "\n  # coalmine: ignore[rollout-workload-removed-early] nobody calls\n  replicas: 0",
    );
    let base = with_route();
    let ask = |order: &str, last: &str| {
        let mut files = Files::new();
        files.add("a.yaml", base.as_str());
        files.add("b.yaml", last);
        let settings = Settings::parse(order, "").unwrap();
        let input = Input::read(&files, &settings);
        check(&files, &settings, &input, None)
    };
    let order = "rollout: [a.yaml, b.yaml]\n";
    assert!(ask(order, &idle).back[0].is_skipped);
    let off = format!("rules: {{rollout-workload-removed-early: info}}\n{order}");
    for rollout in [ask(order, &hushed), ask(&off, &idle)] {
        assert!(matches!(rollout.proposal, Proposal::NotNeeded), "{:?}", rollout.proposal);
        assert!(!rollout.back[0].is_skipped);
    }
}

#[test]
fn what_a_command_deletes_is_told_as_deleted_and_from_its_own_file() {
    let gone = several(&[service("api", HTTP), pods("api", "api", "v1")]);
    let order = "rollout:\n- a.yaml\n- name: x\n  actions: [{delete: b.yaml}]\n";
    let found = findings(order, &[("a.yaml", &with_route()), ("b.yaml", &gone)]);
    assert!(found.iter().any(|finding| finding.contains("is deleted,")), "{found:#?}");
    assert!(!found.iter().any(|finding| finding.contains("is there,")), "{found:#?}");
    let mut files = Files::new();
    files.add("a.yaml", with_route());
    files.add("b.yaml", gone);
    let settings = Settings::parse(order, "").unwrap();
    let input = Input::read(&files, &settings);
    let rollout = check(&files, &settings, &input, None);
    assert!(rollout.steps[1].moments.iter().all(|moment| moment.file == "b.yaml"));
}

#[test]
fn a_gateway_that_changes_port_protocol_or_pods_shuts_visitors_out() {
    let base = several(&[behind_a_door(), at_door("a", "a.example.com", TO_V1)]);
    let ask = |base: &str, new: &str| {
        let found = findings("rollout: [a.yaml, b.yaml]", &[("a.yaml", base), ("b.yaml", new)]);
        let own = found.iter().filter(|finding| finding.contains("rollout-gateway-removed-early")).cloned();
        own.collect::<Vec<_>>()
    };
    let redirect =
        door("80", "HTTP").replace("protocol: HTTP}", "protocol: HTTP}, tls: {httpsRedirect: true}");
    for (new, text) in [
        (door("8080", "HTTP"), "no longer accepts host `a.example.com` on port 80"),
        (
            door("80", "HTTPS").replace("HTTPS}", "HTTPS}, tls: {mode: SIMPLE, credentialName: c}"),
            "speaks another protocol on port 80",
        ),
        (redirect.clone(), "to https, where no server of it takes the host"),
        (door("80", "HTTP").replace("ingressgateway", "other"), "moves to other pods"),
        (door("80", "HTTP").replace("[\"*\"]", "[b.example.com]"), "no longer accepts host `a.example.com`,"),
    ] {
        let found = ask(&base, &new);
        assert_eq!(found.len(), 1, "{text}: {found:#?}");
        assert!(found[0].starts_with("error ") && found[0].contains(text), "{text}: {found:#?}");
    }
    // Who has another port may use that.
    let https = "servers: [{port: {number: 443, name: tls, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: c}, hosts: \
                 [\"*\"]}, ";
    let with_https = |text: &str| text.replacen("servers: [", https, 1);
    assert_eq!(ask(&base, &with_https(&redirect)), [""; 0]);
    let both = with_https(&base);
    assert_eq!(ask(&both, &with_https(&redirect)), [""; 0]);
    let only = with_https(&door("80", "HTTP"))
        .replace(", {port: {number: 80, name: web, protocol: HTTP}, hosts: [\"*\"]}", "");
    let found = ask(&both, &only);
    assert!(found.len() == 1 && found[0].starts_with("warning "), "{found:#?}");
    assert_eq!(ask(&base, &door("80", "HTTP2")), [""; 0]);
}
