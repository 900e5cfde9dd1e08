//! `service-port-not-on-workload`

use crate::mesh::registry::Origin;
use crate::mesh::workloads::{Workload, declared_ports, may_listen};
use crate::rule::{Check, Context, declare_rule, did_you_mean};

declare_rule! {
    /// ## What it does
    /// Reports a port of a Service whose `targetPort` is a container port of none of the pods that it selects.
    /// Versions may differ in their ports: one workload that has the port is enough. Pods that declare no
    /// ports say nothing about what they listen on, but a port's name can only be a declared one.
    ///
    /// ## Why it matters
    /// Connections to the port are refused, or with a name that no container port has, the port has no
    /// endpoints at all: 503 with the response flag `UF` or `UH`.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-app}
    /// spec:
    ///   selector: {app: voting-app}
    ///   ports: [{name: http, port: 80}]
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-app-1-0}
    /// spec:
    ///   template:
    ///     metadata:
    ///       labels: {app: voting-app, version: "1.0"}
    ///     spec:
    ///       containers:
    ///       - name: voting-app
    ///         ports: [{name: http, containerPort: 8080}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-app}
    /// spec:
    ///   selector: {app: voting-app}
    ///   ports: [{name: http, port: 80, targetPort: 8080}]
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-app-1-0}
    /// spec:
    ///   template:
    ///     metadata:
    ///       labels: {app: voting-app, version: "1.0"}
    ///     spec:
    ///       containers:
    ///       - name: voting-app
    ///         ports: [{name: http, containerPort: 8080}]
    /// ```
    ///
    /// ## References
    /// - [Service: field `targetPort`](https://kubernetes.io/docs/concepts/services-networking/service/#field-spec-ports)
    id: "service-port-not-on-workload",
    severity: Warning,
    category: Workloads,
    fix: None,
    since: "0.1.0",
    upstream: ["KIA0701"],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    for host in mesh.registry.iter() {
        let is_service = matches!(host.origin, Origin::Service(_)) && host.selects_pods();
        if !is_service || host.workloads.is_empty() || !mesh.knows_workloads(host.namespace()) {
            continue;
        }
        let pods: Vec<&Workload<'_>> =
            host.workloads.iter().filter_map(|id| mesh.workloads.get(*id)).collect();
        for port in &host.ports {
            let target = port.target_text();
            if pods.iter().any(|pod| may_listen(pod, &target)) {
                continue;
            }
            let span = port.target.map_or(port.span, |target| target.span);
            let what = if target.parse::<u32>().is_ok() { "container port" } else { "container port named" };
            let message = format!("no pod that {} selects has a {what} `{target}`", host.resource.describe());
            let ports: Vec<_> = pods.iter().flat_map(|pod| declared_ports(pod)).collect();
            let near = did_you_mean(&target, ports.iter().map(|port| port.name.text()));
            let diagnostic = ctx.report(host.resource, span, message);
            diagnostic.help(match (near, port.target) {
                (Some(near), _) => format!("did you mean `{near}`?"),
                (None, Some(_)) => "use the number or name of a container port".to_owned(),
                (None, None) => "add a `targetPort`: without one it is the port's own number".to_owned(),
            });
            for declared in ports.iter().take(3) {
                if let Some(span) = declared.container_port.span() {
                    diagnostic.related(span, "a container port that the pods have");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, run};

    fn text(service_port: &str, pods: &[&str]) -> String {
        let mut text = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: app}}\nspec: {{selector: {{app: app}}, ports: \
             [{service_port}]}}\n"
        );
        for (i, containers) in pods.iter().enumerate() {
            text += &format!(
                "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: app-{i}}}\nspec: {{template: {{metadata: \
                 {{labels: {{app: app}}}}, spec: {{containers: [{containers}]}}}}}}\n"
            );
        }
        text
    }

    const WEB: &str = "{name: app, ports: [{name: web, containerPort: 8080}]}";

    #[test]
    fn the_target_port_is_reported_with_the_ports_that_the_pods_have() {
        check(
            &RULE,
            r#"
apiVersion: v1
kind: Service
metadata: {name: app}
spec:
  selector: {app: app}
  ports:
  - {name: a, port: 80, targetPort: 8081}
  #                                 ^^^^ warning: no pod that Service `app` selects has a container port `8081`
  - {name: b, port: 81, targetPort: http}
  #                                 ^^^^ warning: no pod that Service `app` selects has a container port named `http`
  - {name: c, port: 82}
  #                 ^^ warning: no pod that Service `app` selects has a container port `82`
  - {name: d, port: 8080}
  - {name: e, port: 84, targetPort: web}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, labels: {app: other}}
spec:
  template:
    metadata: {labels: {app: app}}
    spec:
      containers:
      - name: app
        ports:
        - {name: web, containerPort: 8080}
        #                            ~~~~ related: a container port that the pods have
"#,
        );
    }

    #[test]
    fn versions_may_differ_in_their_ports() {
        let redis = "{name: s, ports: [{name: redis, containerPort: 6379}]}";
        let mysql = "{name: s, ports: [{name: mysql, containerPort: 3306}]}";
        check(&RULE, &text("{port: 6379}, {port: 3306}, {port: 1, targetPort: mysql}", &[redis, mysql]));
        assert_eq!(run(&RULE, &text("{port: 6379}, {port: 3306}", &[redis])).len(), 1);
    }

    #[test]
    fn pods_that_declare_no_ports_may_listen_anywhere_but_not_under_a_name() {
        check(&RULE, &text("{port: 80}", &["{name: app}", WEB]));
        assert_eq!(run(&RULE, &text("{port: 80, targetPort: http}", &["{name: app}"])).len(), 1);
    }

    #[test]
    fn the_ports_of_a_gateway_come_from_its_configuration() {
        let proxy =
            "{name: istio-proxy, image: auto, ports: [{name: http-envoy-prom, containerPort: 15090}]}";
        check(&RULE, &text("{port: 80, targetPort: 8080}", &[proxy]));
        let injected = "{port: 15090, targetPort: http-envoy-prom}, {port: 15020}";
        check(&RULE, &text(injected, &[WEB]));
    }

    #[test]
    fn a_sidecar_container_of_kubernetes_has_ports_too() {
        let pods = text("{port: 80, targetPort: 4180}", &[WEB]).replace(
            "containers: ",
            "initContainers: [{name: auth, ports: [{containerPort: 4180}]}], containers: ",
        );
        check(&RULE, &pods);
    }

    #[test]
    fn without_pods_nothing_is_said() {
        check(&RULE, &text("{port: 80}", &[]));
        check(&RULE, &format!("#! assume: open\n{}", text("{port: 80}", &[WEB])));
        let machine = "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: vm}\nspec: {labels: \
                       {app: app}, address: 10.0.0.1}\n";
        check(&RULE, &format!("{}{machine}", text("{port: 80, targetPort: http}", &[])));
    }
}
