//! `selector-matches-no-workload`

use rustc_hash::FxHashMap;

use crate::diagnostic::{Fix, Safety};
use crate::mesh::Mesh;
use crate::mesh::near::{Closeness, is_added_in_cluster, near_miss};
use crate::resource::field::Map;
use crate::resource::{Resource, Spec};
use crate::rule::{Check, Context, declare_rule};
use crate::span::Span;
use crate::yaml::{Document, NodeRef, string_scalar};

declare_rule! {
    /// ## What it does
    /// Reports the workload selector of an Istio object that selects no pods. The objects are Gateway,
    /// Sidecar, PeerAuthentication, AuthorizationPolicy, RequestAuthentication, Telemetry, WasmPlugin and
    /// EnvoyFilter, the pods those of the pod templates in the input. A Gateway selects pods of every
    /// namespace, and so does a policy of the root namespace; any other object only those of its own.
    /// Where not all pods are known, only a misspelt value is reported. The gateways that come with Istio
    /// (`istio: ingressgateway`) count as present.
    ///
    /// ## Why it matters
    /// The object is accepted and does nothing: a policy that protects nobody, a filter that never runs, a
    /// gateway that answers nowhere.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-analytics, namespace: voting}
    /// spec: {selector: {app: voting-analytics}, ports: [{name: http, port: 8080}]}
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-analytics-2-0, namespace: voting}
    /// spec:
    ///   selector: {matchLabels: {app: voting-analytics, version: "2.0"}}
    ///   template:
    ///     metadata: {labels: {app: voting-analytics, version: "2.0"}}
    /// ---
    /// apiVersion: security.istio.io/v1
    /// kind: AuthorizationPolicy
    /// metadata: {name: voting-analytics, namespace: voting}
    /// spec:
    ///   selector: {matchLabels: {app: analytics}}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-analytics, namespace: voting}
    /// spec: {selector: {app: voting-analytics}, ports: [{name: http, port: 8080}]}
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-analytics-2-0, namespace: voting}
    /// spec:
    ///   selector: {matchLabels: {app: voting-analytics, version: "2.0"}}
    ///   template:
    ///     metadata: {labels: {app: voting-analytics, version: "2.0"}}
    /// ---
    /// apiVersion: security.istio.io/v1
    /// kind: AuthorizationPolicy
    /// metadata: {name: voting-analytics, namespace: voting}
    /// spec:
    ///   selector: {matchLabels: {app: voting-analytics}}
    /// ```
    ///
    /// ## References
    /// - [Workload Selector](https://istio.io/latest/docs/reference/config/type/workload-selector/)
    /// - [NoMatchingWorkloadsFound](https://istio.io/latest/docs/reference/config/analysis/ist0127/)
    id: "selector-matches-no-workload",
    severity: Warning,
    category: Workloads,
    fix: Unsafe,
    since: "0.1.0",
    upstream: ["IST0101", "IST0127", "KIA0004", "KIA0302"],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    let generated = generated_pods(mesh, ctx.documents);
    // Many Gateways share one selector; whether it nearly matches is looked up once.
    let mut near_misses = FxHashMap::default();
    for resource in mesh.resources().iter().copied() {
        let Some((selector, everywhere)) = selector(resource, &mesh.config.root_namespace) else { continue };
        let namespace = (!everywhere).then(|| resource.namespace());
        let judged = namespace.is_none_or(|ns| mesh.knows_workloads(ns))
            && !selector.iter().any(|(key, _)| is_added_in_cluster(key))
            && !(everywhere && is_stock_gateway(selector))
            && mesh.workloads.select(selector, namespace).is_empty()
            && !generated.iter().any(|pods| pods.are_selected(selector, namespace));
        if !judged {
            continue;
        }
        // Pods of any namespace may be outside the input: only a slip of the keyboard tells.
        let closeness = match everywhere && !mesh.is_closed() {
            true => Closeness::Mistake,
            false => Closeness::Similar,
        };
        let near = near_misses.entry((selector.describe(), namespace)).or_insert_with(|| {
            let near = near_miss(&mesh.workloads, selector, namespace, closeness, |workload| {
                namespace.is_none_or(|ns| ns == workload.namespace())
                    && mesh.knows_workloads(workload.namespace())
            })?;
            let key = selector.iter().find(|(_, value)| std::ptr::eq(value, near.wanted))?;
            Some((key.0.value.clone(), near.found, near.workload.resource))
        });
        if near.is_none() && closeness == Closeness::Mistake {
            continue;
        }
        let place = match near {
            Some((key, ..)) => selector.find(key).map(|value| value.span),
            None => lone_value(mesh, selector, namespace),
        };
        let Some(span) = place.or_else(|| selector.span()) else { continue };
        let message = match namespace {
            Some(namespace) => {
                format!("selector `{}` selects no pods of namespace `{namespace}`", selector.describe())
            }
            None => format!("selector `{}` selects no pods", selector.describe()),
        };
        let diagnostic = ctx.report(resource, span, message);
        let Some((_, found, owner)) = near else {
            diagnostic
                .help("select labels of a pod template: those of the workload object itself do not count");
            continue;
        };
        let title = format!("use `{}`", found.value);
        diagnostic.help(format!("did you mean `{}`?", found.value));
        diagnostic.related(found.span, format!("the pods of {} have this label", owner.describe()));
        diagnostic.fix(Fix::replace(Safety::Unsafe, title, span, string_scalar(found)));
    }
}

/// The selector of an object and whether it reaches every namespace. None for objects that do not select
/// pods by labels, or whose selector Istio ignores.
fn selector<'a>(resource: &'a Resource, root: &str) -> Option<(&'a Map<String>, bool)> {
    let in_root = resource.namespace() == root;
    let (labels, everywhere) = match &resource.spec {
        Spec::Gateway(gateway) => (&gateway.selector, true),
        Spec::Sidecar(sidecar) => (&sidecar.workload_selector.get()?.labels, false),
        // In the root namespace its selector is ignored, which `peer-auth-selector-in-root` reports.
        Spec::PeerAuthentication(policy) if !in_root => (&policy.selector.get()?.match_labels, false),
        Spec::AuthorizationPolicy(policy) | Spec::RequestAuthentication(policy) | Spec::Telemetry(policy)
            if policy.target_ref.is_none() && policy.target_refs.is_empty() =>
        {
            (&policy.selector.get()?.match_labels, in_root)
        }
        Spec::WasmPlugin(plugin) if plugin.target_ref.is_none() && plugin.target_refs.is_empty() => {
            (&plugin.selector.get()?.match_labels, in_root)
        }
        Spec::EnvoyFilter(filter) => (&filter.workload_selector.get()?.labels, in_root),
        _ => return None,
    };
    (!labels.is_empty()).then_some((labels, everywhere))
}

/// Whether the selector means the gateways that come with an installation of Istio: they are there although
/// manifests seldom contain them.
fn is_stock_gateway(selector: &Map<String>) -> bool {
    ["ingressgateway", "egressgateway"].iter().any(|name| {
        selector.iter().all(|(key, value)| match key.as_str() {
            "istio" => value.as_str() == *name,
            "app" => value.strip_prefix("istio-") == Some(name),
            _ => false,
        })
    })
}

/// The value of the first pair that no pod in scope carries.
fn lone_value(mesh: &Mesh<'_>, selector: &Map<String>, namespace: Option<&str>) -> Option<Span> {
    let carried = |key: &str, value: &str| {
        mesh.workloads
            .with_label(key, value)
            .iter()
            .filter_map(|id| mesh.workloads.get(*id))
            .any(|workload| namespace.is_none_or(|ns| ns == workload.namespace()))
    };
    selector.iter().find(|(key, value)| !carried(key, value)).map(|(_, value)| value.span)
}

/// Pods that Istio makes for a Gateway of the Kubernetes Gateway API; they carry its labels.
struct GeneratedPods<'a> {
    resource: &'a Resource,
    infrastructure: Option<NodeRef<'a>>,
}

fn generated_pods<'a>(mesh: &Mesh<'a>, documents: &'a [Document]) -> Vec<GeneratedPods<'a>> {
    let gateways = mesh.resources().iter().copied().filter(|resource| {
        resource.kind.value == "Gateway" && resource.group() == "gateway.networking.k8s.io"
    });
    gateways
        .map(|resource| GeneratedPods {
            resource,
            infrastructure: resource
                .node(documents)
                .and_then(|node| node.path(&["spec", "infrastructure", "labels"])),
        })
        .collect()
}

impl GeneratedPods<'_> {
    fn are_selected(&self, selector: &Map<String>, namespace: Option<&str>) -> bool {
        namespace.is_none_or(|ns| ns == self.resource.namespace())
            && selector.iter().all(|(key, value)| {
                let extra = self.infrastructure.and_then(|labels| labels.get(key)?.text());
                self.resource.labels.text(key) == Some(value.as_str()) || extra == Some(value.as_str())
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, check_fix, run};

    /// Pods labelled `labels` in a known namespace `web`.
    fn pods(labels: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: x, namespace: web}}\nspec: {{ports: [{{port: 80}}]}}\n---\n\
             apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: x, namespace: web, labels: {{own: label}}}}\n\
             spec: {{template: {{metadata: {{labels: {labels}}}}}}}\n---\n"
        )
    }

    const KINDS: &[(&str, &str, &str)] = &[
        ("networking.istio.io/v1", "Sidecar", "workloadSelector: {labels: "),
        ("networking.istio.io/v1alpha3", "EnvoyFilter", "workloadSelector: {labels: "),
        ("security.istio.io/v1", "PeerAuthentication", "selector: {matchLabels: "),
        ("security.istio.io/v1", "AuthorizationPolicy", "selector: {matchLabels: "),
        ("security.istio.io/v1", "RequestAuthentication", "selector: {matchLabels: "),
        ("telemetry.istio.io/v1", "Telemetry", "selector: {matchLabels: "),
        ("extensions.istio.io/v1alpha1", "WasmPlugin", "selector: {matchLabels: "),
    ];

    fn object((version, kind, field): (&str, &str, &str), namespace: &str, labels: &str) -> String {
        format!(
            "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: it, namespace: {namespace}}}\n\
             spec:\n  {field}{labels}}}\n"
        )
    }

    fn gateway(labels: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: it, namespace: other}}\n\
             spec:\n  selector: {labels}\n"
        )
    }

    #[test]
    fn every_kind_with_a_selector_is_judged_by_the_pod_templates_of_its_namespace() {
        let pods = pods("{app: x, version: v1}");
        for kind in KINDS {
            let count =
                |namespace, labels| run(&RULE, &format!("{pods}{}", object(*kind, namespace, labels))).len();
            assert_eq!(count("web", "{app: x}"), 0, "{kind:?}");
            assert_eq!(count("web", "{app: y}"), 1, "{kind:?}");
            assert_eq!(count("web", "{app: x, version: v2}"), 1, "{kind:?}");
            assert_eq!(count("web", "{own: label}"), 1, "{kind:?}: labels of the Deployment itself");
            assert_eq!(count("web", "{}"), 0, "{kind:?}: an empty selector selects all");
            assert_eq!(count("elsewhere", "{app: y}"), 0, "{kind:?}: an unknown namespace");
        }
    }

    #[test]
    fn the_value_that_no_pod_carries_is_marked() {
        let text = object(KINDS[3], "web", "{app: x, tier: gold}").replace(
            "gold}}\n",
            "gold}}\n  #                                      ^^^^ warning: selector `app=x,tier=gold` selects no pods of namespace `web`\n",
        );
        check(&RULE, &format!("{}{text}", pods("{app: x}")));
    }

    #[test]
    fn a_near_miss_shows_the_label_and_is_offered() {
        let text = |value: &str| {
            format!(
                "{}{}",
                pods("{app: x, version: '1.0'}"),
                object(KINDS[6], "web", &format!("{{app: x, version: {value}}}"))
            )
        };
        let found = run(&RULE, &text("v1"));
        assert_eq!(found[0].help.as_deref(), Some("did you mean `1.0`?"));
        assert_eq!(found[0].related[0].message, "the pods of Deployment `x` have this label");
        check_fix(&RULE, Safety::Unsafe, &text("v1"), &text("\"1.0\""));
    }

    /// Trap: a Gateway selects pods of every namespace, which may not be in the input.
    #[test]
    fn a_gateways_pods_are_in_any_namespace() {
        let input = pods("{istio: ingressgateway}");
        assert_eq!(run(&RULE, &format!("{input}{}", gateway("{istio: ingressgateway}"))), []);
        assert_eq!(run(&RULE, &format!("{input}{}", gateway("{istio: egressgateway}"))), []);
        assert_eq!(run(&RULE, &format!("{input}{}", gateway("{istio: ingresgateway}"))).len(), 1);
        assert_eq!(run(&RULE, &format!("#! assume: closed\n{input}{}", gateway("{istio: other}"))).len(), 1);
        assert_eq!(run(&RULE, &gateway("{istio: ingresgateway}")), []);
    }

    #[test]
    fn the_gateways_that_come_with_istio_count_as_present() {
        let count = |labels| run(&RULE, &format!("#! assume: closed\n{}", gateway(labels))).len();
        assert_eq!(count("{istio: ingressgateway}"), 0);
        assert_eq!(count("{app: istio-egressgateway, istio: egressgateway}"), 0);
        assert_eq!(count("{app: istio-ingressgateway, istio: egressgateway}"), 1);
        assert_eq!(count("{istio: ingresstypo}"), 1);
    }

    #[test]
    fn a_policy_of_the_root_namespace_reaches_every_namespace() {
        let input = pods("{app: storage}");
        let count =
            |kind, labels| run(&RULE, &format!("{input}{}", object(kind, "istio-system", labels))).len();
        for kind in &KINDS[3..] {
            assert_eq!(count(*kind, "{app: storage}"), 0);
            assert_eq!(count(*kind, "{app: elsewhere}"), 0);
            assert_eq!(count(*kind, "{app: storag}"), 1);
        }
        assert_eq!(count(KINDS[2], "{app: storag}"), 0, "a PeerAuthentication's selector is ignored there");
    }

    #[test]
    fn a_policy_with_a_target_is_not_judged() {
        let text = object(KINDS[3], "web", "{app: y}") + "  targetRefs: [{kind: Service, name: x}]\n";
        check(&RULE, &format!("{}{text}", pods("{app: x}")));
    }

    #[test]
    fn pods_of_a_gateway_api_gateway_are_made_in_the_cluster() {
        let input = pods("{app: x}")
            + "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: gw, namespace: web, \
               labels: {a: b}}\nspec: {infrastructure: {labels: {c: d}}}\n---\n";
        let count = |labels| run(&RULE, &format!("{input}{}", object(KINDS[6], "web", labels))).len();
        assert_eq!(count("{gateway.networking.k8s.io/gateway-name: gw}"), 0);
        assert_eq!(count("{a: b, c: d}"), 0);
        assert_eq!(count("{a: c}"), 1);
    }
}
