//! `peer-auth-port-unknown`

use crate::diagnostic::{Edit, Fix, Safety};
use crate::mesh::Mesh;
use crate::mesh::registry::{Host, Port};
use crate::mesh::security::Policy;
use crate::mesh::workloads::Workload;
use crate::rule::{Check, Context, declare_rule};
use crate::span::{Span, Spanned};

declare_rule! {
    /// ## What it does
    /// Reports a key of `portLevelMtls` that is no port of the selected pods, or cannot be one.
    /// The keys are ports of the container, not of the Service, and need a selector.
    ///
    /// ## Why it matters
    /// The mode is set for a port that gets no traffic, while the port that was meant keeps the mode of the
    /// workload: calls that should be let through are refused, or the reverse. Without a selector, or with
    /// no ports at all, the API server refuses the object.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-storage-2-0, namespace: voting}
    /// spec:
    ///   selector: {matchLabels: {app: voting-storage}}
    ///   template:
    ///     metadata: {labels: {app: voting-storage, version: "2.0"}}
    ///     spec: {containers: [{name: mysql, image: "mysql:8", ports: [{containerPort: 3306}]}]}
    /// ---
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-storage, namespace: voting}
    /// spec:
    ///   selector: {app: voting-storage}
    ///   ports: [{name: mysql, port: 13306, targetPort: 3306}]
    /// ---
    /// apiVersion: security.istio.io/v1
    /// kind: PeerAuthentication
    /// metadata: {name: voting-storage, namespace: voting}
    /// spec:
    ///   selector: {matchLabels: {app: voting-storage}}
    ///   portLevelMtls:
    ///     13306: {mode: DISABLE}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-storage-2-0, namespace: voting}
    /// spec:
    ///   selector: {matchLabels: {app: voting-storage}}
    ///   template:
    ///     metadata: {labels: {app: voting-storage, version: "2.0"}}
    ///     spec: {containers: [{name: mysql, image: "mysql:8", ports: [{containerPort: 3306}]}]}
    /// ---
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-storage, namespace: voting}
    /// spec:
    ///   selector: {app: voting-storage}
    ///   ports: [{name: mysql, port: 13306, targetPort: 3306}]
    /// ---
    /// apiVersion: security.istio.io/v1
    /// kind: PeerAuthentication
    /// metadata: {name: voting-storage, namespace: voting}
    /// spec:
    ///   selector: {matchLabels: {app: voting-storage}}
    ///   portLevelMtls:
    ///     3306: {mode: DISABLE}
    /// ```
    ///
    /// ## References
    /// - [PeerAuthentication](https://istio.io/latest/docs/reference/config/security/peer_authentication/)
    /// - `pilot/pkg/security/authn/policy_applier.go`, `GetMutualTLSModeForPort`; istio/istio#27994
    id: "peer-auth-port-unknown",
    severity: Error,
    category: Mtls,
    fix: Unsafe,
    since: "0.1.0",
    upstream: ["IST0106"],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    for policy in ctx.mesh.peer_authentications.iter() {
        let spec = policy.resource.node(ctx.documents).and_then(|root| root.get("spec"));
        let field = spec.and_then(|spec| spec.entry("portLevelMtls")).filter(|(_, ports)| ports.is_mapping());
        let Some((key, ports)) = field else { continue };
        if ports.entries().is_empty() {
            ctx.report(policy.resource, key.span(), "`portLevelMtls` names no port, which Istio refuses")
                .help("remove it, or name a port of the container");
            continue;
        }
        if policy.selector().is_none() {
            ctx.report(
                policy.resource,
                key.span(),
                "`portLevelMtls` needs a selector, without which Istio refuses it",
            )
            .help("add `selector.matchLabels`, or use `mtls` for the whole namespace");
            continue;
        }
        for (port, _) in ports.entries() {
            let name = port.key();
            match name.parse::<u32>() {
                Ok(number) if (1..=65535).contains(&number) => judge(ctx, policy, number, port.span()),
                _ => {
                    let message = format!("`{name}` is no port number between 1 and 65535");
                    ctx.report(policy.resource, port.span(), message)
                        .help("the keys of `portLevelMtls` are numbers of container ports, not names");
                }
            }
        }
    }
}

fn judge(ctx: &mut Context<'_>, policy: &Policy<'_>, number: u32, span: Span) {
    let (mesh, files) = (ctx.mesh, ctx.files);
    let Some(selector) = policy.selector() else { return };
    let namespace = policy.resource.namespace();
    // In the root namespace the policy is ignored altogether, and another rule says so.
    if namespace == mesh.config.root_namespace {
        return;
    }
    let ids = mesh.workloads.select(selector, Some(namespace));
    let pods: Vec<&Workload<'_>> = ids.iter().filter_map(|id| mesh.workloads.get(*id)).collect();
    let on_pods =
        |port: &Port<'_>| -> Vec<u32> { pods.iter().filter_map(|pod| port.on_workload(pod)).collect() };
    let ports: Vec<(&Host<'_>, &Port<'_>)> = services(mesh, namespace)
        .filter(|host| host.workloads.iter().any(|id| ids.contains(id)))
        .flat_map(|host| host.ports.iter().map(move |port| (host, port)))
        .collect();
    let declared = |number: u32| pods.iter().any(|pod| pod.container_port(&number.to_string()).is_some());
    let is_known = declared(number) || ports.iter().any(|(_, port)| on_pods(port).contains(&number));
    // Declaring ports is optional: pods that declare none may listen on any.
    if pods.is_empty() || is_known || pods.iter().any(|pod| !pod.declares_ports()) {
        return;
    }
    let services: Vec<_> = ports.iter().filter(|(_, port)| port.number == number).collect();
    let Some((host, port)) = services.first() else {
        let name = pods.first().map_or_else(String::new, |pod| pod.resource.describe());
        let others = if pods.len() > 1 { " or any other selected pod" } else { "" };
        let diagnostic = ctx.report(
            policy.resource,
            span,
            format!("port {number} is no container port of {name}{others}"),
        );
        let listed: Vec<&Spanned<u32>> = pods
            .iter()
            .flat_map(|pod| pod.container_ports())
            .filter_map(|port| port.value.container_port.as_ref())
            .collect();
        let mut numbers: Vec<u32> = listed.iter().map(|port| port.value).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        diagnostic.help(format!("the pods listen on {}", numbers.join(", ")));
        for port in listed.iter().take(3) {
            diagnostic.related(port.span, "a port that they do declare");
        }
        return;
    };
    let mut targets: Vec<u32> = services.iter().flat_map(|(_, port)| on_pods(port)).collect();
    targets.sort_unstable();
    targets.dedup();
    let message =
        format!("{number} is the port of Service `{}`, not of the container", host.resource.name.value);
    let diagnostic = ctx.report(policy.resource, span, message);
    diagnostic.related(port.span, "the Service's port");
    let [target] = targets.as_slice() else {
        diagnostic.help("name the container's port");
        return;
    };
    let container = pods.iter().find_map(|pod| pod.container_port(&target.to_string()));
    if let Some(container) = container.and_then(|port| port.container_port.as_ref()) {
        diagnostic.related(container.span, "the port on which the pods listen");
    }
    diagnostic.help(format!("did you mean {target}, where the pods listen?"));
    if policy.spec.port_level_mtls.find(&target.to_string()).is_none() {
        let written = files.text(span.file).get(span.range()).unwrap_or("");
        let text = written.replace(&number.to_string(), &target.to_string());
        if text != written {
            diagnostic.fix(Fix {
                title: format!("use {target}"),
                safety: Safety::Unsafe,
                edits: vec![Edit { span, text }],
            });
        }
    }
}

/// The Services of a namespace that have pods.
fn services<'m, 'a>(mesh: &'m Mesh<'a>, namespace: &'m str) -> impl Iterator<Item = &'m Host<'a>> {
    mesh.registry.in_namespace(namespace).filter(|host| host.selects_pods())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, check_fix};

    const PODS: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: mysql}
spec:
  selector: {matchLabels: {app: storage}}
  template:
    metadata: {labels: {app: storage}}
    spec:
      containers:
      - name: mysql
        image: mysql
        ports:
        - {name: mysql, containerPort: 3306}
---
apiVersion: v1
kind: Service
metadata: {name: storage}
spec:
  selector: {app: storage}
  ports: [{name: mysql, port: 13306, targetPort: mysql}]
---
"#;

    fn policy(spec: &str) -> String {
        format!(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: storage}}\nspec:\n{spec}"
        )
    }

    const SELECTOR: &str = "  selector: {matchLabels: {app: storage}}\n";

    /// Trap: the keys are the container's ports.
    #[test]
    fn a_services_port_is_not_the_containers() {
        let text = format!(
            "{}{}",
            PODS.replace(
                "containerPort: 3306}\n",
                "containerPort: 3306}\n        #                              ~~~~ related: the port on which the pods listen\n"
            )
            .replace(
                "targetPort: mysql}]\n",
                "targetPort: mysql}]\n  #                           ~~~~~ related: the Service's port\n"
            ),
            policy(&format!(
                "{SELECTOR}  portLevelMtls:\n    13306: {{mode: DISABLE}}\n    ^^^^^ error: 13306 is the port of Service \
                 `storage`, not of the container\n"
            ))
        );
        check(&RULE, &text);
        check(
            &RULE,
            &format!(
                "{PODS}{}",
                policy(&format!("{SELECTOR}  portLevelMtls: {{3306: {{mode: DISABLE}}}}\n"))
            ),
        );
    }

    #[test]
    fn the_containers_port_is_offered() {
        let text = |port: &str| {
            let spec = format!("{SELECTOR}  portLevelMtls:\n    \"{port}\":  # MySQL\n      mode: DISABLE\n");
            format!("{PODS}{}", policy(&spec))
        };
        check_fix(&RULE, Safety::Unsafe, &text("13306"), &text("3306"));
    }

    #[test]
    fn a_port_that_no_selected_pod_declares() {
        let spec = format!(
            "{SELECTOR}  portLevelMtls:\n    6379: {{mode: DISABLE}}\n    ^^^^ error: port 6379 is no container port of \
             Deployment `mysql`\n"
        );
        check(&RULE, &format!("{PODS}{}", policy(&spec)));
    }

    #[test]
    fn pods_that_are_elsewhere_or_declare_nothing_may_listen_anywhere() {
        let spec = policy(&format!("{SELECTOR}  portLevelMtls: {{6379: {{mode: DISABLE}}}}\n"));
        check(&RULE, &spec);
        check(&RULE, &format!("{}{spec}", PODS.replace("- {name: mysql, containerPort: 3306}", "[]")));
        // A Service leads there, declared or not.
        check(&RULE, &format!("{}{spec}", PODS.replace("targetPort: mysql", "targetPort: 6379")));
    }

    #[test]
    fn ports_need_a_selector_a_number_and_at_least_one() {
        let none = "  portLevelMtls: {8080: {mode: DISABLE}}\n  ^^^^^^^^^^^^^ error: `portLevelMtls` needs a selector, …\n";
        check(&RULE, &policy(none));
        let empty = format!(
            "{SELECTOR}  portLevelMtls: {{}}\n  ^^^^^^^^^^^^^ error: `portLevelMtls` names no port, …\n"
        );
        check(&RULE, &policy(&empty));
        let name = format!(
            "{SELECTOR}  portLevelMtls:\n    mysql: {{mode: DISABLE}}\n    ^^^^^ error: `mysql` is no port number between 1 \
             and 65535\n    70000: {{mode: DISABLE}}\n    ^^^^^ error: `70000` is no port number between 1 and 65535\n"
        );
        check(&RULE, &policy(&name));
    }
}
