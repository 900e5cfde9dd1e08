//! `source-labels-match-no-workload`

use crate::diagnostic::{Fix, Safety};
use crate::mesh::Mesh;
use crate::mesh::export::ExportTo;
use crate::mesh::near::{Closeness, all_but, is_added_in_cluster, near_miss};
use crate::mesh::routes::{RouteKind, Source, VirtualService};
use crate::mesh::workloads::{VERSION_LABELS, Workload};
use crate::rule::{Check, Context, declare_rule};
use crate::span::Spanned;
use crate::yaml::string_scalar;

declare_rule! {
    /// ## What it does
    /// Reports `sourceLabels` of a match that no workload carries which sees the VirtualService. Callers in
    /// namespaces that are not in the input get the benefit of the doubt, unless the labels nearly match, or
    /// name a workload of the input in a version that it does not have.
    ///
    /// ## Why it matters
    /// The match is compared with the labels of the caller's pods when its proxy is configured. When none
    /// carries them the rule applies to nobody, and every caller gets the next rule, or the plain Service
    /// and with it every version.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-app, namespace: voting}
    /// spec: {selector: {app: voting-app}, ports: [{name: http, port: 8080}]}
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-app-1-0, namespace: voting}
    /// spec:
    ///   selector: {matchLabels: {app: voting-app, version: "1.0"}}
    ///   template:
    ///     metadata: {labels: {app: voting-app, version: "1.0"}}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-analytics, namespace: voting}
    /// spec:
    ///   hosts: [voting-analytics]
    ///   http:
    ///   - match: [{sourceLabels: {app: voting-app, version: v1}}]
    ///     route:
    ///     - destination: {host: voting-analytics, subset: v1-1}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-app, namespace: voting}
    /// spec: {selector: {app: voting-app}, ports: [{name: http, port: 8080}]}
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-app-1-0, namespace: voting}
    /// spec:
    ///   selector: {matchLabels: {app: voting-app, version: "1.0"}}
    ///   template:
    ///     metadata: {labels: {app: voting-app, version: "1.0"}}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-analytics, namespace: voting}
    /// spec:
    ///   hosts: [voting-analytics]
    ///   http:
    ///   - match: [{sourceLabels: {app: voting-app, version: "1.0"}}]
    ///     route:
    ///     - destination: {host: voting-analytics, subset: v1-1}
    /// ```
    ///
    /// ## References
    /// - [HTTPMatchRequest](https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPMatchRequest), `sourceLabels`
    /// - `pilot/pkg/networking/core/route/route.go`, `sourceMatchHTTP`; `core/tls.go`, `matchTCP`
    id: "source-labels-match-no-workload",
    severity: Error,
    category: Routing,
    fix: Unsafe,
    since: "0.1.0",
    upstream: [],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    for service in mesh.routes.iter().filter(|service| service.is_mesh()) {
        for (kind, rule) in service.rules() {
            for source in service.sources(kind, rule) {
                if is_compared(kind, &source) {
                    judge(ctx, service, &source);
                }
            }
        }
    }
}

/// Whether sidecars compare the labels at all: an http match that names gateways is not compared.
fn is_compared(kind: RouteKind, source: &Source<'_>) -> bool {
    let in_mesh = source.gateways.is_empty()
        || (kind != RouteKind::Http && source.gateways.iter().any(|name| name.value == "mesh"));
    in_mesh && !source.labels.is_empty() && !source.labels.iter().any(|(key, _)| is_added_in_cluster(key))
}

/// The namespaces whose workloads can get the rule; `None` for any.
fn namespaces<'m>(service: &'m VirtualService<'_>, source: &'m Source<'_>) -> Option<Vec<&'m str>> {
    // A delegate's own exportTo says which roots may use it, not which callers.
    match (source.namespace, &service.export_to) {
        (Some(namespace), _) => Some(vec![namespace]),
        (None, ExportTo::Namespaces(list)) if !service.hosts.is_empty() => {
            Some(list.iter().map(|ns| if *ns == "." { service.namespace() } else { *ns }).collect())
        }
        _ => None,
    }
}

fn judge(ctx: &mut Context<'_>, service: &VirtualService<'_>, source: &Source<'_>) {
    let mesh = ctx.mesh;
    let labels = source.labels;
    let namespaces = namespaces(service, source);
    let in_scope =
        |workload: &Workload<'_>| namespaces.as_ref().is_none_or(|list| list.contains(&workload.namespace()));
    // Most callers are neighbours; the whole mesh is searched only when there is none.
    let selected = |namespace| {
        let ids = mesh.workloads.select(labels, namespace);
        ids.into_iter().filter_map(|id| mesh.workloads.get(id)).any(in_scope)
    };
    if selected(Some(service.namespace())) || selected(None) {
        return;
    }
    let judged = |workload: &Workload<'_>| in_scope(workload) && mesh.knows_workloads(workload.namespace());
    let all_known = match &namespaces {
        Some(list) => list.iter().all(|namespace| mesh.knows_workloads(namespace)),
        None => mesh.is_closed(),
    };
    let closeness = if all_known { Closeness::Similar } else { Closeness::Mistake };
    let near = near_miss(&mesh.workloads, labels, Some(service.namespace()), closeness, judged);
    let other_version = other_versions(mesh, source, judged);
    let place = match (&near, &other_version) {
        (Some(near), _) => near.wanted.span,
        (None, Some((wanted, _))) => wanted.span,
        (None, None) if all_known => {
            match labels.iter().find(|(k, v)| mesh.workloads.with_label(k, v).is_empty()) {
                Some((_, value)) => value.span,
                None => labels.span().unwrap_or(source.span),
            }
        }
        // The caller may be in a namespace that is not in the input.
        (None, None) => return,
    };
    let scope = match namespaces.as_deref() {
        Some([namespace]) => format!(" in namespace `{namespace}`"),
        _ => String::new(),
    };
    let message = format!(
        "no workload{scope} has the labels `{}`, so the match applies to no caller",
        labels.describe()
    );
    let diagnostic = ctx.report(service.resource, place, message);
    if let Some(near) = near {
        diagnostic.help(format!("did you mean `{}`?", near.found.value));
        diagnostic.related(
            near.found.span,
            format!("the pods of {} have this label", near.workload.resource.describe()),
        );
        let title = format!("use `{}`", near.found.value);
        diagnostic.fix(Fix::replace(Safety::Unsafe, title, place, string_scalar(near.found)));
    } else if let Some((_, workloads)) = other_version {
        diagnostic.help("name a version that runs, or deploy this one before the route");
        for (workload, version) in workloads.iter().take(3) {
            diagnostic
                .related(version.span, format!("{} is version `{}`", workload.describe(), version.value));
        }
    } else {
        diagnostic.help("name labels of the callers' pod templates");
    }
}

type Version<'m> = (&'m crate::resource::Resource, &'m Spanned<String>);

/// Workloads that carry all the labels but the version, when there is another label to know them by.
fn other_versions<'m, 'a>(
    mesh: &'m Mesh<'a>,
    source: &Source<'a>,
    in_scope: impl Fn(&Workload<'a>) -> bool,
) -> Option<(&'a Spanned<String>, Vec<Version<'m>>)> {
    let (key, wanted) = source.labels.iter().find(|(key, _)| VERSION_LABELS.contains(&key.as_str()))?;
    if source.labels.len() < 2 {
        return None;
    }
    let workloads: Vec<Version<'m>> = all_but(&mesh.workloads, source.labels, key, None)
        .into_iter()
        .filter(|workload| in_scope(workload))
        .filter_map(|workload| Some((workload.resource, workload.labels.find(key)?)))
        .collect();
    (!workloads.is_empty()).then_some((wanted, workloads))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, check_fix, run};

    const WORKLOAD: &str = "apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {metadata: {labels: {app: web, version: '1.0'}}}}
---
";

    fn service(rest: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: db}}\nspec:\n  hosts: [db]\n{rest}"
        )
    }

    fn http(block: &str) -> String {
        service(&format!("  http:\n  - match: [{{{block}}}]\n    route: [{{destination: {{host: db}}}}]\n"))
    }

    fn fires(block: &str) -> bool {
        !run(&RULE, &format!("{WORKLOAD}{}", http(block))).is_empty()
    }

    #[test]
    fn another_spelling_of_the_version_shows_the_pods_label() {
        check(
            &RULE,
            r"
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    metadata:
      labels:
        app: web
        version: '1.0'
        #        ~~~~~ related: the pods of Deployment `web` have this label
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: db}
spec:
  hosts: [db]
  http:
  - match:
    - sourceLabels:
        app: web
        version: v1
        #        ^^ error: no workload has the labels `app=web,version=v1`, so the match applies to no caller
    route: [{destination: {host: db}}]
  tcp:
  - match: [{sourceLabels: {app: web, version: '1.0'}}]
    route: [{destination: {host: db}}]
",
        );
    }

    #[test]
    fn a_version_that_does_not_run_is_shown_beside_those_that_do() {
        let found = run(&RULE, &format!("{WORKLOAD}{}", http("sourceLabels: {app: web, version: '3.0'}")));
        assert_eq!(found[0].related[0].message, "Deployment `web` is version `1.0`");
        assert_eq!(found[0].fix, None);
    }

    #[test]
    fn callers_may_be_in_namespaces_that_are_not_in_the_input() {
        assert!(!fires("sourceLabels: {app: web}"));
        assert!(!fires("sourceLabels: {app: elsewhere}"));
        assert!(!fires("sourceLabels: {app: elsewhere, version: '1.0'}"));
        assert!(!fires("sourceLabels: {version: '3.0'}"));
        assert!(!fires("sourceLabels: {pod-template-hash: abc}"));
        let elsewhere = http("sourceLabels: {app: elsewhere}");
        assert_eq!(run(&RULE, &format!("#! assume: closed\n{WORKLOAD}{elsewhere}")).len(), 1);
        let misspelt = http("sourceLabels: {app: web, version: v1}");
        check(&RULE, &misspelt);
        check(&RULE, &format!("#! assume: open\n{WORKLOAD}{misspelt}"));
    }

    #[test]
    fn a_private_virtual_service_is_judged_by_its_own_namespace() {
        let private = |labels: &str| http(&format!("sourceLabels: {labels}")) + "  exportTo: ['.']\n";
        assert_eq!(run(&RULE, &format!("{WORKLOAD}{}", private("{app: elsewhere}"))).len(), 1);
        assert_eq!(run(&RULE, &format!("{WORKLOAD}{}", private("{app: web}"))), []);
        let other = private("{app: web}").replace("{name: db}", "{name: db, namespace: unknown}");
        check(&RULE, &format!("{WORKLOAD}{other}"));
    }

    #[test]
    fn a_source_namespace_limits_the_callers() {
        assert!(fires("sourceNamespace: default, sourceLabels: {app: elsewhere}"));
        assert!(!fires("sourceNamespace: unknown, sourceLabels: {app: web, version: v1}"));
    }

    /// Trap: an http match that names gateways is not compared with the caller's labels at all; a tcp match is.
    #[test]
    fn source_labels_beside_gateways_are_compared_for_tcp_alone() {
        assert!(!fires("gateways: [mesh], sourceLabels: {app: web, version: v1}"));
        let tcp = service(
            "  tcp:\n  - match: [{gateways: [mesh], sourceLabels: {app: web, version: v1}}]\n    \
             route: [{destination: {host: db}}]\n",
        );
        assert_eq!(run(&RULE, &format!("{WORKLOAD}{tcp}")).len(), 1);
    }

    /// Trap: at a gateway the labels are those of the gateway's pods, or ignored.
    #[test]
    fn a_virtual_service_of_a_gateway_has_no_callers_in_the_mesh() {
        let text = http("sourceLabels: {app: web, version: v1}") + "  gateways: [gw]\n";
        check(&RULE, &format!("{WORKLOAD}{text}"));
    }

    #[test]
    fn the_fix_writes_the_pods_label_as_a_string() {
        let text = |version: &str| {
            let block = format!("sourceLabels: {{app: web, version: {version}}}");
            format!("{WORKLOAD}{}", http(&block).replace("}}]\n", "}}] # the old one\n"))
        };
        check_fix(&RULE, Safety::Unsafe, &text("v1"), &text("\"1.0\""));
    }
}
