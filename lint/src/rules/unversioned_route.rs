//! `unversioned-route`

use crate::mesh::Mesh;
use crate::mesh::registry::{Host, Port};
use crate::mesh::routes::{Role, Target, VirtualService};
use crate::mesh::workloads::Workload;
use crate::rule::{Check, Context, declare_rule};
use crate::span::Spanned;

declare_rule! {
    /// ## What it does
    /// Reports a route without a subset to a host whose Service has pods of several versions on that port.
    /// A Service that no VirtualService routes is ordinary Kubernetes balancing and is left alone, and so are
    /// versions that listen on different ports.
    ///
    /// ## Why it matters
    /// Requests take turns between the versions: one visitor sees both, and half of the calls of a 1.0 client
    /// end at 2.0.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-analytics}
    /// spec:
    ///   selector: {app: voting-analytics}
    ///   ports: [{name: http, port: 8080}]
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-analytics-1-0}
    /// spec:
    ///   template:
    ///     metadata:
    ///       labels: {app: voting-analytics, version: "1.0"}
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-analytics-2-0}
    /// spec:
    ///   template:
    ///     metadata:
    ///       labels: {app: voting-analytics, version: "2.0"}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-analytics}
    /// spec:
    ///   hosts: [voting-analytics]
    ///   http:
    ///   - route:
    ///     - destination: {host: voting-analytics}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-analytics}
    /// spec:
    ///   selector: {app: voting-analytics}
    ///   ports: [{name: http, port: 8080}]
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-analytics-1-0}
    /// spec:
    ///   template:
    ///     metadata:
    ///       labels: {app: voting-analytics, version: "1.0"}
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-analytics-2-0}
    /// spec:
    ///   template:
    ///     metadata:
    ///       labels: {app: voting-analytics, version: "2.0"}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: voting-analytics}
    /// spec:
    ///   host: voting-analytics
    ///   subsets:
    ///   - {name: v1-0, labels: {version: "1.0"}}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-analytics}
    /// spec:
    ///   hosts: [voting-analytics]
    ///   http:
    ///   - route:
    ///     - destination: {host: voting-analytics, subset: v1-0}
    /// ```
    ///
    /// ## References
    /// - [Subset](https://istio.io/latest/docs/reference/config/networking/destination-rule/#Subset)
    id: "unversioned-route",
    severity: Warning,
    category: Canary,
    fix: None,
    since: "0.1.0",
    upstream: ["IST0140"],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    for (service, target) in mesh.routes.targets() {
        if target.role != Role::Route || target.subset().is_some() || !target.receives_requests() {
            continue;
        }
        let Some(host) = mesh.registry.find(&target.host, Some(service.namespace())) else { continue };
        let Some(versions) = alternating(mesh, service, target, host) else { continue };
        let names: Vec<String> = versions.iter().map(|version| format!("`{}`", version.value)).collect();
        let message = format!(
            "`{}` is routed without a subset, so the versions {} take turns",
            target.host,
            names.join(" and ")
        );
        let diagnostic = ctx.report(service.resource, target.host_span, message);
        diagnostic.help("name a subset that selects one version, or split by weight between subsets");
        for version in versions {
            diagnostic.related(version.span, format!("pods of version `{}`", version.value));
        }
    }
}

/// One label of each version that the destination's pods have, if there are several on its port.
fn alternating<'a>(
    mesh: &Mesh<'a>,
    service: &VirtualService<'a>,
    target: &Target<'a>,
    host: &Host<'a>,
) -> Option<Vec<&'a Spanned<String>>> {
    let on_port = |port: Option<&Port<'a>>| {
        let mut versions: Vec<&'a Spanned<String>> = Vec::new();
        for pod in host.workloads.iter().filter_map(|id| mesh.workloads.get(*id)) {
            let Some(version) = pod.version() else { continue };
            let is_new = versions.iter().all(|other| other.value != version.value);
            if is_new && port.is_none_or(|port| serves(pod, port)) {
                versions.push(version);
            }
        }
        (versions.len() > 1).then_some(versions)
    };
    let certain = mesh.target_port(service, target, host).and_then(|number| host.port(number));
    match (certain, host.ports.as_slice()) {
        (Some(port), _) => on_port(Some(port)),
        (None, []) => on_port(None),
        // Whichever port it is: all of them alternate.
        (None, ports) => {
            let all: Option<Vec<_>> = ports.iter().map(|port| on_port(Some(port))).collect();
            all?.into_iter().next()
        }
    }
}

/// Whether pods answer on a Service port, as far as their declared ports tell.
fn serves(pod: &Workload<'_>, port: &Port<'_>) -> bool {
    !pod.declares_ports() || pod.container_port(&port.target_text()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, run};

    fn pods(version: &str, port: u32) -> String {
        format!(
            "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: reviews-{version}}}\nspec:\n  template:\n    \
             metadata:\n      labels:\n        app: reviews\n        version: {version}\n    spec:\n      \
             containers: [{{name: app, ports: [{{containerPort: {port}}}]}}]\n"
        )
    }

    const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: reviews}\nspec:\n  selector: {app: reviews}\n  \
        ports: [{name: http, port: 80}, {name: tcp-db, port: 90}]\n";

    fn route(destination: &str) -> String {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: reviews}}\nspec:\n  \
             hosts: [reviews]\n  http:\n  - route:\n    - destination:\n        {}\n",
            destination.replace('\n', "\n        ")
        )
    }

    #[test]
    fn two_versions_behind_an_unversioned_route_take_turns() {
        let marked = pods("v2", 80)
            .replace("version: v2\n", "version: v2\n        #        ~~ related: pods of version `v2`\n");
        let other = pods("v1", 80)
            .replace("version: v1\n", "version: v1\n        #        ~~ related: pods of version `v1`\n");
        let route = route(
            "host: reviews\n#     ^^^^^^^ warning: `reviews.default.svc.cluster.local` is routed without a subset, \
             so the versions `v1` and `v2` take turns\nport: {number: 80}",
        );
        check(&RULE, &format!("{SERVICE}{other}{marked}{route}"));
    }

    #[test]
    fn one_version_or_a_subset_or_no_route_is_silent() {
        let plain = route("host: reviews\nport: {number: 80}");
        let text =
            format!("{SERVICE}{}{}{plain}", pods("v1", 80), pods("v1", 80).replace("reviews-v1", "again"));
        check(&RULE, &text);
        let subset = route("host: reviews\nsubset: v1\nport: {number: 80}");
        check(&RULE, &format!("{SERVICE}{}{}{subset}", pods("v1", 80), pods("v2", 80)));
        check(&RULE, &format!("{SERVICE}{}{}", pods("v1", 80), pods("v2", 80)));
    }

    #[test]
    fn versions_on_different_ports_do_not_alternate() {
        let plain = route("host: reviews\nport: {number: 80}");
        check(&RULE, &format!("{SERVICE}{}{}{plain}", pods("v1", 80), pods("v2", 90)));
    }

    /// Trap: of several destinations one with weight 0 gets nothing.
    #[test]
    fn a_destination_with_weight_0_is_silent() {
        let weighted = route("host: reviews\nport: {number: 80}").replace(
            "    - destination:\n",
            "    - destination: {host: reviews, subset: v1}\n      weight: 100\n    - weight: 0\n      destination:\n",
        );
        let text = format!("{SERVICE}{}{}{weighted}", pods("v1", 80), pods("v2", 80));
        assert_eq!(run(&RULE, &text), []);
        assert_eq!(run(&RULE, &text.replace("weight: 0", "weight: 1")).len(), 1);
    }
}
