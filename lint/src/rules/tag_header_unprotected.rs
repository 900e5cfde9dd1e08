//! `tag-header-unprotected`

use rustc_hash::FxHashMap;

use crate::mesh::Mesh;
use crate::mesh::filters::Filter;
use crate::mesh::gateways::Gateway;
use crate::mesh::routes::{Binding, RouteKind, VirtualService};
use crate::resource::networking::HttpMatch;
use crate::resource::{Resource, Spec};
use crate::rule::{Check, Context, declare_rule};
use crate::span::Spanned;
use crate::yaml::Document;

declare_rule! {
    /// ## What it does
    /// Reports a route on a tag header at a Gateway where no filter removes the header that clients send. Tag headers
    /// are those that a WasmPlugin of the input sets with Coalmine's filter; with `assume: closed` also those
    /// with the word `canary` in their name. Where the Gateway's pods are not in the input, a filter that might run on them
    /// is enough.
    ///
    /// ## Why it matters
    /// The tag is a decision, and here anybody can make it: whoever sends `x-canary: canary` gets the new version,
    /// whatever the percentage, the lists and the window of the flag say.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: extensions.istio.io/v1alpha1
    /// kind: WasmPlugin
    /// metadata: {name: coalmine, namespace: istio-ingress}
    /// spec:
    ///   selector: {matchLabels: {istio: egressgateway}}
    ///   url: oci://ghcr.io/coalmine/filter@sha256:0000000000000000000000000000000000000000000000000000000000000000
    ///   phase: AUTHN
    ///   pluginConfig:
    ///     flags:
    ///     - name: voting-2-0
    ///       header: x-canary
    ///       optIn: {cookie: {name: featureflag, value: "on"}}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: Gateway
    /// metadata: {name: voting-app-gateway, namespace: voting}
    /// spec:
    ///   selector: {istio: ingressgateway}
    ///   servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-app, namespace: voting}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [voting-app-gateway]
    ///   http:
    ///   - match: [{headers: {x-canary: {exact: canary}}}]
    ///     route: [{destination: {host: voting-app.voting.svc.cluster.local, subset: v2-0}}]
    ///   - route: [{destination: {host: voting-app.voting.svc.cluster.local, subset: v1-0}}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: extensions.istio.io/v1alpha1
    /// kind: WasmPlugin
    /// metadata: {name: coalmine, namespace: istio-ingress}
    /// spec:
    ///   selector: {matchLabels: {istio: ingressgateway}}
    ///   url: oci://ghcr.io/coalmine/filter@sha256:0000000000000000000000000000000000000000000000000000000000000000
    ///   phase: AUTHN
    ///   pluginConfig:
    ///     flags:
    ///     - name: voting-2-0
    ///       header: x-canary
    ///       optIn: {cookie: {name: featureflag, value: "on"}}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: Gateway
    /// metadata: {name: voting-app-gateway, namespace: voting}
    /// spec:
    ///   selector: {istio: ingressgateway}
    ///   servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-app, namespace: voting}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [voting-app-gateway]
    ///   http:
    ///   - match: [{headers: {x-canary: {exact: canary}}}]
    ///     route: [{destination: {host: voting-app.voting.svc.cluster.local, subset: v2-0}}]
    ///   - route: [{destination: {host: voting-app.voting.svc.cluster.local, subset: v1-0}}]
    /// ```
    ///
    /// ## References
    /// - [Header operations](https://istio.io/latest/docs/reference/config/networking/virtual-service/#Headers) of a
    ///   VirtualService come after the route is chosen and cannot protect it
    /// - `pilot/pkg/model/push_context.go`, `WasmPluginsByListenerInfo`
    id: "tag-header-unprotected",
    severity: Warning,
    category: Filter,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    let (mesh, documents) = (ctx.mesh, ctx.documents);
    // Filters of other steps count too: a route must not come before the filter that guards it.
    let filters: Vec<Filter<'_>> = ctx.resources.iter().filter_map(Filter::of).collect();
    let mut setters: FxHashMap<&str, &Filter<'_>> = FxHashMap::default();
    for filter in &filters {
        for tag in filter.tags() {
            setters.entry(tag.header).or_insert(filter);
        }
    }
    if setters.is_empty() && !mesh.is_closed() {
        return;
    }
    for service in mesh.routes.iter() {
        for (index, rule) in service.spec.http.iter().enumerate() {
            for block in &rule.r#match {
                let keys = block.headers.iter().chain(block.without_headers.iter()).map(|(key, _)| key);
                for key in keys {
                    let header = key.to_ascii_lowercase();
                    let setter = setters.get(header.as_str()).copied();
                    let by_name = mesh.is_closed() && header.split('-').any(|word| word == "canary");
                    if setter.is_none() && !by_name {
                        continue;
                    }
                    report(ctx, documents, service, index, block, key, &header, setter);
                }
            }
        }
    }
}

#[allow(clippy::too_many_arguments)]
fn report(
    ctx: &mut Context<'_>,
    documents: &[Document],
    service: &VirtualService<'_>,
    rule: usize,
    block: &Spanned<HttpMatch>,
    key: &Spanned<String>,
    header: &str,
    setter: Option<&Filter<'_>>,
) {
    let mesh = ctx.mesh;
    let source = service.sources(RouteKind::Http, rule).into_iter().find(|source| source.span == block.span);
    for binding in &service.bindings {
        let Binding::Gateway { namespace, name, written } = binding else { continue };
        if source.is_some_and(|source| !service.source_allows(&source, binding)) {
            continue;
        }
        let Some(gateway) = mesh.gateways.get(namespace, name) else { continue };
        let Some(pods) = open_pods(mesh, gateway, header) else { continue };
        if is_handled_elsewhere(mesh.resources(), documents, header) {
            continue;
        }
        let message = format!(
            "clients can send `{header}` through Gateway `{}`: no filter removes it",
            gateway.full_name()
        );
        let diagnostic = ctx.report(service.resource, key.span, message);
        diagnostic
            .help("run Coalmine's filter with this tag header on the Gateway's pods")
            .related(written.span, "the Gateway");
        if let Some(pods) = pods {
            diagnostic.related(pods.name.span, format!("the filter does not run on {}", pods.describe()));
        }
        if let Some(setter) = setter {
            let describe =
                format!("{} sets the header, on other pods or in another step", setter.resource.describe());
            diagnostic.related(setter.resource.name.span, describe);
        }
        return;
    }
}

/// `None` when the header is removed on every pod of a Gateway; else the first where it is not, if it is known.
#[allow(clippy::option_option)]
fn open_pods<'a>(mesh: &Mesh<'a>, gateway: &Gateway<'a>, header: &str) -> Option<Option<&'a Resource>> {
    let strips = || mesh.filters.iter().filter(|filter| filter.runs_at_gateways() && filter.strips(header));
    if gateway.workloads.is_empty() {
        let guarded = strips().any(|filter| filter.may_run_on(&gateway.spec.selector));
        return (!guarded).then_some(None);
    }
    let mut pods = gateway.workloads.iter().filter_map(|id| mesh.workloads.get(*id));
    let open = pods.find(|pod| !strips().any(|filter| filter.runs_on(pod, &mesh.config.root_namespace)))?;
    Some(Some(open.resource))
}

/// An EnvoyFilter that names the header may well remove it.
fn is_handled_elsewhere(resources: &[&Resource], documents: &[Document], header: &str) -> bool {
    resources.iter().filter(|resource| matches!(resource.spec, Spec::EnvoyFilter(_))).any(|resource| {
        let text =
            resource.node(documents).and_then(|node| node.document().source().get(node.span().range()));
        text.is_some_and(|text| text.to_ascii_lowercase().contains(header))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    fn plugin(namespace: &str, more: &str) -> String {
        format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: coalmine, namespace: {namespace}}}\n\
             spec:\n  selector: {{matchLabels: {{istio: ingressgateway}}}}\n  pluginName: coalmine\n{more}  pluginConfig:\n    \
             flags:\n    - name: checkout\n      optIn: {{cookie: {{name: f, value: \"1\"}}}}\n---\n"
        )
    }

    const GATEWAY: &str = "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: voting}
spec: {selector: {istio: ingressgateway}}
---
";
    const POD: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: gateway, namespace: istio-ingress, labels: {istio: ingressgateway}}
spec: {containers: [{name: istio-proxy}]}
---
";
    const ROUTE: &str = "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: voting}
spec:
  hosts: [\"*\"]
  gateways: [gw]
  http:
  - match:
    - headers:
        x-canary: {exact: canary}
";
    const CARETS: &str = "        ^^^^^^^^ warning: clients can send `x-canary` through Gateway `voting/gw`: no filter removes it\n";

    #[test]
    fn a_filter_on_the_gateways_pods_protects_the_route() {
        check(&RULE, &format!("{}{GATEWAY}{POD}{ROUTE}", plugin("istio-ingress", "")));
        check(&RULE, &format!("{}{GATEWAY}{POD}{ROUTE}", plugin("istio-system", "")));
    }

    #[test]
    fn a_filter_in_another_namespace_does_not_run_on_them() {
        let marked = format!(
            "{}{GATEWAY}{POD}{ROUTE}{CARETS}",
            plugin("voting", "").replace(
                "spec:",
                "#                ~~~~~~~~ related: WasmPlugin `coalmine` sets the header, on other pods or in another step\nspec:"
            )
        );
        let marked = marked
            .replace("spec: {containers", "#                ~~~~~~~ related: the filter does not run on Pod `gateway`\nspec: {containers")
            .replace("  http:", "  #          ~~ related: the Gateway\n  http:");
        check(&RULE, &marked);
    }

    #[test]
    fn server_mode_never_applies_to_a_gateway() {
        check(
            &RULE,
            &format!(
                "{}{GATEWAY}{POD}{ROUTE}{CARETS}",
                plugin("istio-ingress", "  match: [{mode: SERVER}]\n")
            ),
        );
        check(
            &RULE,
            &format!("{}{GATEWAY}{POD}{ROUTE}", plugin("istio-ingress", "  match: [{mode: CLIENT}]\n")),
        );
    }

    #[test]
    fn every_kind_of_pod_behind_the_gateway_must_be_guarded() {
        let second = POD.replace("name: gateway", "name: second").replace("istio-ingress", "istio-other");
        check(&RULE, &format!("{}{GATEWAY}{POD}{second}{ROUTE}{CARETS}", plugin("istio-ingress", "")));
    }

    #[test]
    fn pods_that_are_not_in_the_input_get_the_benefit_of_the_doubt() {
        check(&RULE, &format!("{}{GATEWAY}{ROUTE}", plugin("elsewhere", "")));
        check(&RULE, &format!("{}{ROUTE}", plugin("voting", "")));
        check(&RULE, &format!("{GATEWAY}{POD}{ROUTE}"));
    }

    #[test]
    fn the_route_must_not_come_before_the_filter() {
        let early = format!(
            "#! rollout: [s1, s2]\n#- s1/a.yaml\n{GATEWAY}{POD}{ROUTE}{CARETS}#- s2/b.yaml\n{}",
            plugin("istio-ingress", "")
        );
        check(&RULE, &early);
        let late = format!(
            "#! rollout: [s1, s2]\n#- s2/a.yaml\n{GATEWAY}{POD}{ROUTE}#- s1/b.yaml\n{}",
            plugin("istio-ingress", "")
        );
        check(&RULE, &late);
    }

    #[test]
    fn in_a_whole_mesh_a_canary_header_needs_a_filter_too() {
        check(&RULE, &format!("#! assume: closed\n{GATEWAY}{POD}{ROUTE}{CARETS}"));
        check(&RULE, &format!("#! assume: closed\n{GATEWAY}{POD}{}", ROUTE.replace("x-canary", "x-user")));
    }

    #[test]
    fn an_envoy_filter_that_names_the_header_may_remove_it() {
        let lua = "---\napiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: strip}\nspec: {configPatches: [{x: 'remove(\"X-Canary\")'}]}\n";
        check(&RULE, &format!("#! assume: closed\n{GATEWAY}{POD}{ROUTE}{lua}"));
    }
}
