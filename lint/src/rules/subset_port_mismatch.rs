//! `subset-port-mismatch`

use crate::diagnostic::{Fix, Safety, Severity};
use crate::mesh::workloads::{Workload, declared_ports, may_listen};
use crate::rule::{Check, Context, declare_rule};

declare_rule! {
    /// ## What it does
    /// Reports a route to a subset whose pods do not listen on the routed port, although other pods of the
    /// Service do. The routed port is followed through the Service's `targetPort` to the container ports.
    ///
    /// ## Why it matters
    /// Versions can differ in what they serve: 1.0 stores in Redis on 6379, 2.0 in MySQL on 3306, and the
    /// Service has both ports while both run. The route to 2.0 on 6379 is accepted, and every connection
    /// through it is refused.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-storage}
    /// spec:
    ///   selector: {app: voting-storage}
    ///   ports: [{name: redis, port: 6379}, {name: mysql, port: 3306}]
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-storage-1-0}
    /// spec:
    ///   template:
    ///     metadata:
    ///       labels: {app: voting-storage, version: "1.0"}
    ///     spec:
    ///       containers: [{name: redis, ports: [{containerPort: 6379}]}]
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-storage-2-0}
    /// spec:
    ///   template:
    ///     metadata:
    ///       labels: {app: voting-storage, version: "2.0"}
    ///     spec:
    ///       containers: [{name: mysql, ports: [{containerPort: 3306}]}]
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: voting-storage}
    /// spec:
    ///   host: voting-storage
    ///   subsets:
    ///   - name: v2-0
    ///     labels: {version: "2.0"}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-storage}
    /// spec:
    ///   hosts: [voting-storage]
    ///   tcp:
    ///   - route:
    ///     - destination: {host: voting-storage, subset: v2-0, port: {number: 6379}}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-storage}
    /// spec:
    ///   selector: {app: voting-storage}
    ///   ports: [{name: redis, port: 6379}, {name: mysql, port: 3306}]
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-storage-1-0}
    /// spec:
    ///   template:
    ///     metadata:
    ///       labels: {app: voting-storage, version: "1.0"}
    ///     spec:
    ///       containers: [{name: redis, ports: [{containerPort: 6379}]}]
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-storage-2-0}
    /// spec:
    ///   template:
    ///     metadata:
    ///       labels: {app: voting-storage, version: "2.0"}
    ///     spec:
    ///       containers: [{name: mysql, ports: [{containerPort: 3306}]}]
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: voting-storage}
    /// spec:
    ///   host: voting-storage
    ///   subsets:
    ///   - name: v2-0
    ///     labels: {version: "2.0"}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-storage}
    /// spec:
    ///   hosts: [voting-storage]
    ///   tcp:
    ///   - route:
    ///     - destination: {host: voting-storage, subset: v2-0, port: {number: 3306}}
    /// ```
    ///
    /// ## References
    /// - [Destination](https://istio.io/latest/docs/reference/config/networking/virtual-service/#Destination)
    /// - [Subset](https://istio.io/latest/docs/reference/config/networking/destination-rule/#Subset)
    id: "subset-port-mismatch",
    severity: Error,
    category: Destinations,
    fix: Unsafe,
    since: "0.1.0",
    upstream: [],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    for (service, target) in mesh.routes.targets() {
        let Some(name) = target.subset() else { continue };
        let Some(host) = mesh.judged_service(&target.host) else { continue };
        let Some(port) = mesh.target_port(service, target, host).and_then(|number| host.port(number)) else {
            continue;
        };
        let listens_on = port.target_text();
        let pods_of = |ids: Vec<_>| -> Vec<&Workload<'_>> {
            ids.into_iter().filter_map(|id| mesh.workloads.get(id)).collect()
        };
        // That no pod of the Service listens is the Service's own fault.
        let elsewhere = pods_of(host.workloads.clone()).into_iter().any(|pod| may_listen(pod, &listens_on));
        if !elsewhere {
            continue;
        }
        let clients = mesh.clients(service, target).into_iter();
        let failing = clients.filter_map(|client| mesh.destination(client, &target.host)).find_map(|rules| {
            let (_, subset) = rules.subset(name)?;
            let pods = pods_of(mesh.subset_workloads(host, &subset.labels));
            let fails = !pods.is_empty() && !pods.iter().any(|pod| may_listen(pod, &listens_on));
            fails.then_some((subset, pods))
        });
        let Some((subset, pods)) = failing else { continue };
        let given = target.destination.port_number();
        let span = given.map_or(name.span, |given| given.span);
        let message = format!(
            "the pods of subset `{}` do not listen on `{listens_on}`, where port `{}` of {} leads",
            name.value,
            port.number,
            host.resource.describe()
        );
        let served: Vec<_> = host
            .ports
            .iter()
            .filter(|port| pods.iter().all(|pod| may_listen(pod, &port.target_text())))
            .collect();
        let diagnostic = ctx.report(service.resource, span, message);
        if !target.receives_requests() {
            diagnostic.severity(Severity::Warning);
        }
        match (served.as_slice(), given) {
            ([only], Some(given)) => {
                let (title, text) = (format!("use `{}`", only.number), only.number.to_string());
                diagnostic
                    .help(format!("the port of the Service that these pods serve is `{}`", only.number));
                diagnostic.fix(Fix::replace(Safety::Unsafe, title, given.span, text));
            }
            ([only], None) => {
                diagnostic.help(format!("give the port that these pods serve: `{}`", only.number));
            }
            ([], _) => {
                diagnostic.help("give the Service a port for these pods, and route to that");
            }
            _ => {
                diagnostic.help("route to a port that these pods serve");
            }
        }
        diagnostic.related(port.span, "the port of the Service");
        diagnostic.related(subset.name.span().unwrap_or(subset.span), "the subset");
        for pod in pods.iter().take(3) {
            for declared in declared_ports(pod).take(3) {
                if let Some(span) = declared.container_port.span() {
                    diagnostic.related(span, format!("{} listens here", pod.resource.describe()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, check_fix, run};

    const STORAGE: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: storage}
spec:
  selector: {app: storage}
  ports:
  - {name: redis, port: 6379, targetPort: cache}
  - {name: mysql, port: 3306}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: storage-1}
spec:
  template:
    metadata: {labels: {app: storage, version: "1.0"}}
    spec: {containers: [{name: redis, ports: [{name: cache, containerPort: 6380}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: storage-2}
spec:
  template:
    metadata: {labels: {app: storage, version: "2.0"}}
    spec: {containers: [{name: mysql, ports: [{name: mysql, containerPort: 3306}]}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: storage}
spec:
  host: storage
  subsets:
  - {name: v1, labels: {version: "1.0"}}
  - {name: v2, labels: {version: "2.0"}}
---
"#;

    fn route(subset: &str, port: &str) -> String {
        format!(
            "{}apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: storage}}\nspec:\n  hosts: \
             [storage]\n  tcp:\n  - route:\n    - destination:\n        host: storage\n        subset: {subset}\n{port}",
            STORAGE.trim_start()
        )
    }

    const REDIS: &str = "        port:\n          number: 6379 # redis\n";
    const MYSQL: &str = "        port:\n          number: 3306 # redis\n";

    #[test]
    fn the_routed_port_is_reported_with_where_the_pods_listen() {
        check(
            &RULE,
            r#"
apiVersion: v1
kind: Service
metadata: {name: storage}
spec:
  selector: {app: storage}
  ports:
  - {name: redis, port: 6379, targetPort: cache}
  #                     ~~~~ related: the port of the Service
  - {name: mysql, port: 3306}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: storage-1}
spec:
  template:
    metadata: {labels: {app: storage, version: "1.0"}}
    spec: {containers: [{name: redis, ports: [{name: cache, containerPort: 6380}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: storage-2}
spec:
  template:
    metadata: {labels: {app: storage, version: "2.0"}}
    spec: {containers: [{name: mysql, ports: [{containerPort: 3306}]}]}
    #                                                         ~~~~ related: Deployment `storage-2` listens here
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: storage}
spec:
  host: storage
  subsets:
  - {name: v2, labels: {version: "2.0"}}
  #        ~~ related: the subset
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: storage}
spec:
  hosts: [storage]
  tcp:
  - route:
    - destination:
        host: storage
        subset: v2
        port: {number: 6379}
        #              ^^^^ error: the pods of subset `v2` do not listen on `cache`, where port `6379` of Service `storage` leads
"#,
        );
    }

    #[test]
    fn each_version_on_its_own_port_is_right() {
        check(&RULE, &route("v1", REDIS));
        check(&RULE, &route("v2", MYSQL));
    }

    #[test]
    fn the_only_port_that_the_pods_serve_is_offered() {
        check_fix(&RULE, Safety::Unsafe, &route("v2", REDIS), &route("v2", MYSQL));
    }

    /// Trap: a destination without a port takes the only port of the host.
    #[test]
    fn an_implied_port_is_followed_too() {
        let text = route("v2", "").replace("  - {name: mysql, port: 3306}\n", "");
        let found = run(&RULE, &text);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].help.as_deref(),
            Some("give the Service a port for these pods, and route to that")
        );
    }

    /// Trap: the DestinationRule of the client's namespace decides what the subset is.
    #[test]
    fn the_subset_is_the_one_that_the_client_sees() {
        let elsewhere = STORAGE.replace(
            "kind: DestinationRule\nmetadata: {name: storage}",
            "kind: DestinationRule\n\
                        metadata: {name: storage, namespace: other}",
        );
        let text = route("v2", REDIS).replace(STORAGE.trim_start(), elsewhere.trim_start());
        check(&RULE, &text);
    }

    #[test]
    fn pods_that_declare_no_ports_and_services_that_nobody_serves_are_left_alone() {
        let silent = route("v2", REDIS).replace(", ports: [{name: mysql, containerPort: 3306}]", "");
        check(&RULE, &silent.replace(", targetPort: cache", ""));
        check(&RULE, &route("v2", REDIS).replace("targetPort: cache", "targetPort: nothing"));
        check(&RULE, &format!("#! assume: open\n{}", route("v2", REDIS)));
    }
}
