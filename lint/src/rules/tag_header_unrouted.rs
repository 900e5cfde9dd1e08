//! `tag-header-unrouted`

use rustc_hash::FxHashSet;

use crate::mesh::Mesh;
use crate::mesh::filters::{Filter, Tag};
use crate::mesh::routes::{Binding, VirtualService};
use crate::resource::networking::{self, HttpMatch, StringMatch};
use crate::resource::{Resource, Spec};
use crate::rule::{Check, Context, declare_rule};
use crate::span::Span;
use crate::yaml::{Document, NodeRef};

declare_rule! {
    /// ## What it does
    /// Reports a tag that Coalmine's filter can set and that no VirtualService matches. Only VirtualServices on Gateways
    /// whose pods the filter runs on, and those for the mesh, are looked at; without any of the former the rule
    /// says nothing. The tag may also be matched in another step of the rollout, or by an HTTPRoute.
    ///
    /// ## Why it matters
    /// Whoever is in the canary gets the tag and then the same version as everybody else: the filter counts canary requests,
    /// and the new version sees none of them.
    ///
    /// ## Example
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
    ///       header: {name: x-canary, values: {canary: beta}}
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
    ///       header: {name: x-canary, values: {canary: beta}}
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
    ///   - match: [{headers: {x-canary: {exact: beta}}}]
    ///     route: [{destination: {host: voting-app.voting.svc.cluster.local, subset: v2-0}}]
    ///   - route: [{destination: {host: voting-app.voting.svc.cluster.local, subset: v1-0}}]
    /// ```
    ///
    /// ## References
    /// - `filter/schema.json`: `flags[].header`
    /// - [HTTPMatchRequest](https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPMatchRequest): `headers`
    id: "tag-header-unrouted",
    severity: Warning,
    category: Filter,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    let (mesh, documents, resources) = (ctx.mesh, ctx.documents, ctx.resources);
    for filter in mesh.filters.iter().filter(|filter| filter.runs_at_gateways()) {
        let tags: Vec<Tag<'_>> = filter.tags().collect();
        if tags.is_empty()
            || !mesh.routes.iter().any(|service| is_behind(mesh, filter, service) == Some(true))
        {
            continue;
        }
        // A tag that a later step routes on, or that the filter sets before the route comes, is no mistake.
        let here: FxHashSet<*const Resource> =
            mesh.routes.iter().map(|service| std::ptr::from_ref(service.resource)).collect();
        let reachable = mesh.routes.iter().filter(|service| is_behind(mesh, filter, service) != Some(false));
        let elsewhere = resources.iter().filter_map(|resource| match &resource.spec {
            Spec::VirtualService(spec) if !here.contains(&std::ptr::from_ref(resource)) => Some(&**spec),
            _ => None,
        });
        let services: Vec<&networking::VirtualService> =
            reachable.map(|service| service.spec).chain(elsewhere).collect();
        if delegates_elsewhere(&services, resources) {
            continue;
        }
        for tag in tags {
            let matches = || {
                services.iter().flat_map(|service| service.http.iter()).flat_map(|rule| rule.r#match.iter())
            };
            if matches().any(|block| reacts(block, tag.header, tag.value) || lists(filter, block, &tag))
                || names_it_elsewhere(resources, documents, tag.header)
            {
                continue;
            }
            let config =
                filter.resource.node(documents).and_then(|node| node.path(&["spec", "pluginConfig"]));
            let Some(span) = config.and_then(|config| place(config, &tag)) else { continue };
            let message = format!(
                "no VirtualService matches `{}: {}`, which flag `{}` sets",
                tag.header, tag.value, tag.flag.name
            );
            let diagnostic = ctx.report(filter.resource, span, message);
            let others =
                matches().flat_map(|block| block.headers.iter()).filter(|(key, _)| is(key, tag.header));
            let mut any = false;
            for (key, _) in others.take(3) {
                any = true;
                diagnostic.related(key.span, "the header is matched with another value here");
            }
            diagnostic.help(if any {
                "make the value that the filter sets and the one that is matched the same"
            } else {
                "route on the header, or the canary gets no requests"
            });
        }
    }
}

/// Whether a VirtualService is used on pods that the filter runs on; `None` when that is not known, or when it
/// is for the sidecars, which see tags that applications pass on.
fn is_behind(mesh: &Mesh<'_>, filter: &Filter<'_>, service: &VirtualService<'_>) -> Option<bool> {
    let root = &mesh.config.root_namespace;
    let mut known = Some(false);
    for binding in &service.bindings {
        let gateway = match binding {
            Binding::Mesh => None,
            Binding::Gateway { namespace, name, .. } => mesh.gateways.get(namespace, name),
        };
        let Some(gateway) = gateway else {
            known = None;
            continue;
        };
        let pods = || gateway.workloads.iter().filter_map(|id| mesh.workloads.get(*id));
        let runs = if gateway.workloads.is_empty() {
            filter.may_run_on(&gateway.spec.selector)
        } else {
            pods().any(|pod| filter.runs_on(pod, root))
        };
        if runs {
            return Some(true);
        }
    }
    known
}

fn is(key: &str, header: &str) -> bool {
    key.eq_ignore_ascii_case(header)
}

/// Whether a match block treats a request with this header differently from one without.
fn reacts(block: &HttpMatch, header: &str, value: &str) -> bool {
    let mut wanted =
        block.headers.iter().chain(block.without_headers.iter()).filter(|(key, _)| is(key, header));
    wanted.any(|(_, pattern)| accepts(&pattern.value, value))
}

/// Whether a match block tests a header that lists the decisions of all flags, for this flag.
fn lists(filter: &Filter<'_>, block: &HttpMatch, tag: &Tag<'_>) -> bool {
    let config = &filter.config;
    let tags = config.tags_header.and_then(|index| config.tags.get(index)).map(String::as_str);
    let listing = [tags, config.baggage.then_some("baggage")];
    let patterns = block.headers.iter().chain(block.without_headers.iter());
    patterns.filter(|(key, _)| listing.iter().flatten().any(|header| is(key, header))).any(|(_, pattern)| {
        let pattern = &pattern.value;
        [&pattern.exact, &pattern.prefix, &pattern.regex]
            .iter()
            .filter_map(|text| text.get())
            .any(|text| text.contains(&tag.flag.name))
    })
}

/// An expression that cannot be read is given the benefit of the doubt; `invalid-regex` reports it.
fn accepts(pattern: &StringMatch, value: &str) -> bool {
    if let Some(exact) = pattern.exact.get() {
        exact == value
    } else if let Some(prefix) = pattern.prefix.get() {
        value.starts_with(prefix.as_str())
    } else if let Some(regex) = pattern.regex.get() {
        // Envoy matches the whole value.
        regex::Regex::new(&format!("^(?:{regex})$")).map_or(true, |regex| regex.is_match(value))
    } else {
        // Present at all.
        true
    }
}

/// Whether a rule delegates to a VirtualService that is not in the input.
fn delegates_elsewhere(services: &[&networking::VirtualService], resources: &[Resource]) -> bool {
    let names: FxHashSet<&str> = resources
        .iter()
        .filter(|resource| matches!(resource.spec, Spec::VirtualService(_)))
        .map(|resource| resource.name.as_str())
        .collect();
    let mut delegates =
        services.iter().flat_map(|service| service.http.iter()).filter_map(|rule| rule.delegate.get());
    delegates.any(|delegate| !names.contains(delegate.name.text()))
}

/// Whether an object that routes and that the model does not read names the header.
fn names_it_elsewhere(resources: &[Resource], documents: &[Document], header: &str) -> bool {
    resources
        .iter()
        .filter(|resource| matches!(resource.kind.as_str(), "HTTPRoute" | "GRPCRoute" | "EnvoyFilter"))
        .any(|resource| {
            let text =
                resource.node(documents).and_then(|node| node.document().source().get(node.span().range()));
            text.is_some_and(|text| text.to_ascii_lowercase().contains(header))
        })
}

/// Where a tag's value is written: under `header.values`, else where its variant is named, else the flag.
fn place(config: NodeRef<'_>, tag: &Tag<'_>) -> Option<Span> {
    let flag = config.get("flags")?.items().nth(tag.index)?;
    let value = flag.path(&["header", "values", tag.variant]).map(NodeRef::span);
    let slice = || flag.get("rollout")?.entry(tag.variant).map(|(key, _)| key.span());
    let opt_in = || flag.path(&["optIn", "variant"]).map(NodeRef::span);
    let header = || flag.get("header").filter(|header| header.scalar().is_some()).map(NodeRef::span);
    let named = || flag.path(&["header", "name"]).map(NodeRef::span);
    let name = || flag.get("name").map(NodeRef::span);
    value.or_else(slice).or_else(opt_in).or_else(header).or_else(named).or_else(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, run};

    const GATEWAY: &str = "\
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: voting}
spec: {selector: {istio: ingressgateway}}
";
    const POD: &str = "\
---
apiVersion: v1
kind: Pod
metadata: {name: gateway, namespace: istio-ingress, labels: {istio: ingressgateway}}
spec: {containers: [{name: istio-proxy}]}
";

    fn plugin(namespace: &str, flag: &str) -> String {
        format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: coalmine, namespace: {namespace}}}\n\
             spec:\n  selector: {{matchLabels: {{istio: ingressgateway}}}}\n  pluginName: coalmine\n  vmConfig: {{env: [{{name: COALMINE_KEY_K1, \
             valueFrom: HOST}}]}}\n  pluginConfig:\n    flags:\n    - name: checkout\n{flag}"
        )
    }

    fn route(name: &str, header: &str) -> String {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: voting}}\n\
             spec:\n  hosts: [\"*\"]\n  gateways: [gw]\n  http:\n  - match:\n    - headers:\n        {header}\n"
        )
    }

    const CANARY: &str = "      rollout: {canary: 5}\n";

    #[test]
    fn each_value_is_looked_for_and_marked_where_it_is_written() {
        let flag = r#"      header:
        name: x-canary
        values: {canary: beta}
        #                ^^^^ warning: no VirtualService matches `x-canary: beta`, which flag `checkout` sets
      rollout:
        canary: {percent: 5, start: 0}
        blue: {percent: 5, start: 50}
        ^^^^ warning: no VirtualService matches `x-canary: blue`, which flag `checkout` sets
"#;
        let related = "      # ~~~~~~~~ related: the header is matched with another value here\n";
        let text = format!(
            "{}{GATEWAY}{POD}{}{related}",
            plugin("istio-ingress", flag),
            route("a", "x-canary: {exact: canary}")
        );
        check(&RULE, &text);
    }

    #[test]
    fn a_header_that_lists_every_decision_may_be_what_is_routed_on() {
        let routed = |config: &str, header: &str| {
            let plugin =
                plugin("istio-ingress", CANARY).replace("    flags:", &format!("    {config}\n    flags:"));
            format!("{plugin}{GATEWAY}{POD}{}", route("a", header))
        };
        check(
            &RULE,
            &routed("baggage: true", r"baggage: {regex: '(.*,)?\s*coalmine\.checkout=canary\s*([,;].*)?'}"),
        );
        check(&RULE, &routed("tagsHeader: x-tags", "x-tags: {regex: '(.*,)?checkout=canary(,.*)?'}"));
        for (config, header) in [
            ("baggage: false", "baggage: {regex: '.*checkout=canary.*'}"),
            ("tagsHeader: x-tags", "x-tags: {regex: '(.*,)?search=canary(,.*)?'}"),
        ] {
            assert_eq!(run(&RULE, &routed(config, header)).len(), 1, "{config}");
        }
    }

    #[test]
    fn every_form_of_match_counts() {
        for header in [
            "x-canary: {exact: canary}",
            "X-Canary: {exact: canary}",
            "x-canary: {prefix: can}",
            "x-canary: {regex: 'can.*'}",
            "x-canary: {regex: '('}",
            "x-canary: {}",
        ] {
            let text = format!("{}{GATEWAY}{POD}{}", plugin("istio-ingress", CANARY), route("a", header));
            check(&RULE, &text);
        }
        // Envoy anchors the expression at both ends.
        let marked = format!(
            "{CANARY}      #         ^^^^^^ warning: no VirtualService matches `x-canary: canary`, which flag `checkout` sets\n"
        );
        let text = format!(
            "{}{GATEWAY}{POD}{}",
            plugin("istio-ingress", &marked),
            route("a", "x-canary: {regex: can}")
        );
        check(&RULE, &text);
    }

    #[test]
    fn a_fragment_says_nothing() {
        check(&RULE, &plugin("istio-ingress", CANARY));
        check(&RULE, &format!("{}{}", plugin("istio-ingress", CANARY), route("a", "x-user: {exact: a}")));
    }

    #[test]
    fn routes_behind_other_gateways_do_not_count() {
        // The plugin's namespace is not that of the gateway's pods, so it does not run there.
        check(
            &RULE,
            &format!("{}{GATEWAY}{POD}{}", plugin("elsewhere", CANARY), route("a", "x-user: {exact: a}")),
        );
        let unknown = format!("{}{GATEWAY}{}", plugin("elsewhere", CANARY), route("a", "x-user: {exact: a}"));
        assert_eq!(run(&RULE, &unknown).len(), 1, "the pods are not in the input");
    }

    #[test]
    fn a_variant_that_nobody_can_get_needs_no_route() {
        for flag in [
            "      rollout: {canary: 0}\n",
            "      enabled: false\n      rollout: {canary: 5}\n",
            "      optIn: {cookie: {name: a, optOut: [\"1\"]}}\n",
        ] {
            check(
                &RULE,
                &format!(
                    "{}{GATEWAY}{POD}{}",
                    plugin("istio-ingress", flag),
                    route("a", "x-user: {exact: a}")
                ),
            );
        }
        let off = plugin("istio-ingress", CANARY).replace("    flags", "    mode: observe\n    flags");
        check(&RULE, &format!("{off}{GATEWAY}{POD}{}", route("a", "x-user: {exact: a}")));
    }

    #[test]
    fn the_filter_may_come_before_the_route() {
        let text = format!(
            "#! rollout: [s1, s2]\n#- s1/a.yaml\n{}{GATEWAY}{POD}{}#- s2/b.yaml\n{}",
            plugin("istio-ingress", CANARY),
            route("a", "x-user: {exact: a}"),
            route("a", "x-canary: {exact: canary}")
        );
        check(&RULE, &text);
    }

    #[test]
    fn http_routes_and_delegates_may_match_it() {
        let start =
            format!("{}{GATEWAY}{POD}{}", plugin("istio-ingress", CANARY), route("a", "x-user: {exact: a}"));
        let delegate = "    delegate: {name: elsewhere}\n";
        check(&RULE, &format!("{start}{delegate}"));
        check(
            &RULE,
            &format!(
                "{start}---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r}}\nspec: {{rules: [{{matches: [{{headers: [{{name: X-Canary}}]}}]}}]}}\n"
            ),
        );
    }
}
