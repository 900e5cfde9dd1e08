//! Which objects a text holds, where they live and what is read of them.

use super::*;
use crate::files::Files;
use crate::yaml::{Limits, parse};

fn objects(text: &str) -> Vec<Resource> {
    let mut files = Files::new();
    let id = files.add("test.yaml", text);
    let (documents, _) = parse(id, files.get(id).unwrap(), Limits::default());
    lower(&documents, |_| "voting")
}

fn object(text: &str) -> Resource {
    let mut all = objects(text);
    assert_eq!(all.len(), 1, "{text}");
    all.remove(0)
}

fn names(text: &str) -> Vec<String> {
    objects(text).iter().map(Resource::describe).collect()
}

/// Labels and container ports of the pods an object makes.
fn pods(text: &str) -> (String, Vec<u32>) {
    let Spec::Workload(template) = object(text).spec else { panic!("no workload: {text}") };
    let labels = template.metadata.get().map(|metadata| metadata.labels.describe()).unwrap_or_default();
    let containers = template.spec.get().into_iter().flat_map(|spec| &spec.containers);
    let ports = containers.flat_map(|container| &container.ports);
    (labels, ports.filter_map(|port| port.container_port.get().copied()).collect())
}

const POD: &str = "metadata: {labels: {app: voting-app, version: '1.0'}}, \
                   spec: {containers: [{name: app, ports: [{containerPort: 8080}]}]}";

#[test]
fn a_list_is_its_items() {
    let item =
        |kind: &str, name: &str| format!("{{apiVersion: v1, kind: {kind}, metadata: {{name: {name}}}}}");
    let list = |kind: &str, items: &[String]| {
        format!("apiVersion: v1\nkind: {kind}\nitems: [{}]\n", items.join(", "))
    };
    let both = [item("Service", "a"), item("ConfigMap", "b")];
    assert_eq!(names(&list("List", &both)), ["Service `a`", "ConfigMap `b`"]);
    assert_eq!(names(&list("VirtualServiceList", &both)), ["Service `a`", "ConfigMap `b`"]);
    let nested = format!("{{apiVersion: v1, kind: List, items: [{}]}}", item("Secret", "c"));
    assert_eq!(names(&list("List", &[nested, item("Service", "d")])), ["Secret `c`", "Service `d`"]);
    assert_eq!(names("apiVersion: v1\nkind: List\nitems: []\n"), [""; 0]);
}

#[test]
fn an_item_has_its_own_place_and_node() {
    let text =
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata:\n    name: a\n";
    let mut files = Files::new();
    let id = files.add("test.yaml", text);
    let (documents, _) = parse(id, files.get(id).unwrap(), Limits::default());
    let all = lower(&documents, |_| "default");
    assert!(text[all[0].span.range()].starts_with("apiVersion: v1\n  kind: Service"));
    assert_eq!(all[0].node(&documents).unwrap().path(&["metadata", "name"]).unwrap().text(), Some("a"));
    assert_eq!(&text[all[0].name.span.range()], "a");
}

#[test]
fn items_that_are_no_objects_are_left_out() {
    assert_eq!(
        names(
            "apiVersion: v1\nkind: List\nitems: [text, 1, ~, {kind: Service}, {apiVersion: v1, kind: Pod}]\n"
        ),
        ["Pod ``"]
    );
    assert_eq!(
        names("kind: Service\n---\napiVersion: 1\nkind: Service\n---\n[1]\n---\ntext\n---\n"),
        [""; 0]
    );
}

#[test]
fn an_object_without_a_namespace_gets_the_one_of_the_command() {
    let written = object("apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: other}\n");
    assert_eq!((written.namespace(), written.namespace_span.is_some()), ("other", true));
    let defaulted = object("apiVersion: v1\nkind: Service\nmetadata: {name: a}\n");
    assert_eq!((defaulted.namespace(), defaulted.namespace_span), ("voting", None));
    let null = object("apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: }\n");
    assert_eq!(null.namespace(), "voting");
    assert_eq!(object("apiVersion: v1\nkind: Service\n").namespace(), "voting");
}

#[test]
fn cluster_scoped_kinds_have_no_namespace() {
    for kind in ["Namespace", "ClusterRole", "MeshPolicy", "GatewayClass", "CustomResourceDefinition"] {
        let text = format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: a, namespace: wrong}}\n");
        assert_eq!(object(&text).namespace, None, "{kind}");
    }
}

#[test]
fn what_identifies_an_object_leaves_the_version_out() {
    let key = |version: &str| {
        let text = format!("apiVersion: {version}\nkind: Gateway\nmetadata: {{name: a}}\n");
        let gateway = object(&text);
        let (group, kind, namespace, name) = gateway.key();
        [group, kind, namespace, name].map(str::to_owned)
    };
    assert_eq!(key("networking.istio.io/v1"), key("networking.istio.io/v1beta1"));
    assert_ne!(key("networking.istio.io/v1"), key("gateway.networking.k8s.io/v1"));
}

#[test]
fn a_pod_is_its_own_template() {
    let text = format!("{{apiVersion: v1, kind: Pod, {POD}}}");
    assert_eq!(pods(&text), ("app=voting-app,version=1.0".to_owned(), vec![8080]));
}

#[test]
fn every_controller_has_a_template() {
    for (version, kind) in [
        ("apps/v1", "Deployment"),
        ("apps/v1", "StatefulSet"),
        ("apps/v1", "DaemonSet"),
        ("apps/v1", "ReplicaSet"),
        ("batch/v1", "Job"),
        ("argoproj.io/v1alpha1", "Rollout"),
        ("extensions/v1beta1", "Deployment"),
        ("v1", "ReplicationController"),
    ] {
        let text = format!("{{apiVersion: {version}, kind: {kind}, spec: {{template: {{{POD}}}}}}}");
        assert_eq!(pods(&text), ("app=voting-app,version=1.0".to_owned(), vec![8080]), "{kind}");
    }
}

#[test]
fn the_template_of_a_cron_job_is_two_levels_down() {
    let text = format!(
        "{{apiVersion: batch/v1, kind: CronJob, spec: {{jobTemplate: {{spec: {{template: {{{POD}}}}}}}}}}}"
    );
    assert_eq!(pods(&text), ("app=voting-app,version=1.0".to_owned(), vec![8080]));
}

#[test]
fn kinds_of_other_groups_are_not_mistaken() {
    for text in [
        "apiVersion: example.org/v1\nkind: Deployment\n",
        "apiVersion: serving.knative.dev/v1\nkind: Service\n",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n",
    ] {
        assert!(matches!(object(text).spec, Spec::Other), "{text}");
    }
}

#[test]
fn a_virtual_machine_has_the_labels_of_its_entry_or_group() {
    let entry = "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: vm, labels: {not: these}}\n\
                 spec: {address: 10.0.0.1, labels: {app: voting-storage}}\n";
    assert_eq!(pods(entry).0, "app=voting-storage");
    let group = |template: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: WorkloadGroup\nspec:\n  \
             metadata: {{labels: {{app: group}}}}\n  template: {template}\n"
        )
    };
    assert_eq!(pods(&group("{serviceAccount: a}")).0, "app=group");
    assert_eq!(pods(&group("{labels: {app: template}}")).0, "app=template");
}

#[test]
fn a_part_of_the_wrong_shape_does_not_hide_the_object() {
    for text in [
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: text\nspec: []\n",
        "apiVersion: v1\nkind: Service\nmetadata: [a]\nspec: {ports: text, selector: [a]}\n",
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nspec: {hosts: {}, http: text, tcp: [1, ~]}\n",
        "apiVersion: batch/v1\nkind: CronJob\nspec: {jobTemplate: 1}\n",
        "apiVersion: v1\nkind: ConfigMap\ndata: [1]\n",
    ] {
        object(text);
    }
    let service = object("apiVersion: v1\nkind: Service\nspec: {ports: [text, {port: 80}, {port: x}]}\n");
    let Spec::Service(service) = service.spec else { panic!("no Service") };
    let ports: Vec<Option<u32>> = service.ports.iter().map(|port| port.port.get().copied()).collect();
    assert_eq!(ports, [Some(80), None]);
}
