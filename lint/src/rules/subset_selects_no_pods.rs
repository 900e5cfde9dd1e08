//! `subset-selects-no-pods`

use crate::diagnostic::{Fix, Safety, Severity};
use crate::mesh::registry::Host;
use crate::mesh::workloads::{Workload, is_set_at_run_time};
use crate::rule::{Check, Context, declare_rule, did_you_mean};
use crate::span::Spanned;

declare_rule! {
    /// ## What it does
    /// Reports a subset whose labels no pod template behind the host's Service carries. Only the pods that
    /// the Service selects, in its own namespace, count: a pod of another application with the same
    /// `version` does not help. Labels that are only set when a pod starts (`topology.kubernetes.io/zone`)
    /// cannot be judged and are taken as present.
    ///
    /// ## Why it matters
    /// The subset's cluster has no endpoints: every request routed to it gets 503 with the response flag
    /// `UH`. A subset that no route uses yet, or whose Service selects nothing at all in the input, is a
    /// warning.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-app}
    /// spec:
    ///   selector: {app: voting-app}
    ///   ports: [{name: http, port: 8080}]
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-app-1-0}
    /// spec:
    ///   template:
    ///     metadata:
    ///       labels: {app: voting-app, version: "1.0"}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: voting-app}
    /// spec:
    ///   host: voting-app
    ///   subsets:
    ///   - name: v1-0
    ///     labels: {version: 1-0}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-app}
    /// spec:
    ///   selector: {app: voting-app}
    ///   ports: [{name: http, port: 8080}]
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-app-1-0}
    /// spec:
    ///   template:
    ///     metadata:
    ///       labels: {app: voting-app, version: "1.0"}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: voting-app}
    /// spec:
    ///   host: voting-app
    ///   subsets:
    ///   - name: v1-0
    ///     labels: {version: "1.0"}
    /// ```
    ///
    /// ## References
    /// - [Subset](https://istio.io/latest/docs/reference/config/networking/destination-rule/#Subset)
    /// - `pilot/pkg/xds/endpoints/endpoint_builder.go`, `getSubSetLabels`
    id: "subset-selects-no-pods",
    severity: Error,
    category: Destinations,
    fix: Unsafe,
    since: "0.1.0",
    upstream: ["IST0173", "KIA0203"],
    check: Check::State(check),
}

type Label = (Spanned<String>, Spanned<String>);

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    for rule in mesh.destination_rules.iter() {
        let Some(host) = mesh.judged_service(&rule.host) else { continue };
        for subset in &rule.spec.subsets {
            let Some(name) = subset.name.as_ref() else { continue };
            let labels: Vec<&Label> = subset
                .labels
                .iter()
                .filter(|(key, value)| !is_set_at_run_time(key) || value.is_empty())
                .collect();
            if labels.is_empty() || !mesh.subset_workloads(host, &subset.labels).is_empty() {
                continue;
            }
            let pods: Vec<&Workload<'_>> =
                host.workloads.iter().filter_map(|id| mesh.workloads.get(*id)).collect();
            let service = host.resource.describe();
            let unheld: Vec<&Label> = labels
                .iter()
                .copied()
                .filter(|(key, value)| !pods.iter().any(|pod| pod.labels.text(key) == Some(value)))
                .collect();
            let (span, why) = match unheld.as_slice() {
                _ if pods.is_empty() => (name.span, ", which selects none at all".to_owned()),
                [(key, value)] if pods.iter().any(|pod| pod.labels.find(key).is_some()) => {
                    (value.span, format!(": none has `{}: {}`", key.value, value.value))
                }
                [(key, _)] => (key.span, format!(": none has a label `{}`", key.value)),
                _ => (name.span, format!(": none has all of `{}`", subset.labels.describe())),
            };
            let slip = match unheld.as_slice() {
                [label] => slip(label, &labels, &pods),
                _ => None,
            };
            let fix = slip.as_ref().map(|(wrong, right, _)| {
                let title = format!("use `{right}`");
                Fix::replace(Safety::Unsafe, title, wrong.span, ctx.styled(wrong.span, right))
            });
            let is_used = mesh
                .routes
                .targets_of(&rule.host)
                .any(|(_, target)| target.subset().is_some_and(|used| used.value == name.value));
            let message = format!("subset `{}` selects no pods of {service}{why}", name.value);
            let diagnostic = ctx.report(rule.resource, span, message);
            if !is_used || (pods.is_empty() && !mesh.is_closed()) {
                diagnostic.severity(Severity::Warning);
            }
            if let (Some(selector), true) = (selector_span(host), pods.is_empty()) {
                diagnostic.related(selector, "no pod template of the namespace has these labels");
            }
            diagnostic.fix = fix;
            match (slip, unheld.as_slice()) {
                (Some((_, right, place)), _) => {
                    diagnostic.help(format!("did you mean `{right}`?"));
                    diagnostic.related(place.span, format!("the pods of {} have this", place.value));
                }
                (None, [(key, _)]) => {
                    diagnostic.help(
                        "select labels of the pod template; those of the Deployment itself do not count",
                    );
                    let held = pods.iter().filter_map(|pod| Some((pod, pod.labels.find(key)?)));
                    for (pod, value) in held.take(3) {
                        let place = format!("the pods of {} have `{}`", pod.resource.describe(), value.value);
                        diagnostic.related(value.span, place);
                    }
                }
                _ => {
                    diagnostic.help("a subset selects only among the pods that the Service selects");
                }
            }
        }
    }
}

fn selector_span(host: &Host<'_>) -> Option<crate::span::Span> {
    match host.origin {
        crate::mesh::registry::Origin::Service(service) => service.selector.span(),
        crate::mesh::registry::Origin::ServiceEntry(_) => None,
    }
}

/// What is wrong, what was meant and the one place that has it (with its owner), when the pods that carry
/// all other labels leave only one way to read the label.
fn slip<'l>(
    (key, value): &'l Label,
    labels: &[&Label],
    pods: &[&Workload<'_>],
) -> Option<(&'l Spanned<String>, String, Spanned<String>)> {
    let others = |pod: &&&Workload<'_>| {
        labels.iter().all(|(k, v)| k.value == key.value || pod.labels.text(k) == Some(v))
    };
    let mut meant: Option<(&Spanned<String>, String, Spanned<String>)> = None;
    for pod in pods.iter().filter(others) {
        let near = match pod.labels.find(key) {
            Some(own) if is_near(value, own) => Some((value, own)),
            Some(_) => None,
            None => pod
                .labels
                .iter()
                .find(|(k, v)| v.value == value.value && did_you_mean(key, [k.as_str()]).is_some())
                .map(|(k, _)| (key, k)),
        };
        let Some((wrong, right)) = near else { continue };
        match &meant {
            Some((_, other, _)) if *other != right.value => return None,
            Some(_) => {}
            None => {
                let place = Spanned { span: right.span, value: pod.resource.describe() };
                meant = Some((wrong, right.value.clone(), place));
            }
        }
    }
    meant
}

/// `1-0`, `v1.0` and `1.0` are one version in different spellings.
fn is_near(wanted: &str, candidate: &str) -> bool {
    let plain = |text: &str| {
        let lower = text.to_ascii_lowercase().replace(['-', '_'], ".");
        let digits = lower.strip_prefix('v').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let text = digits.unwrap_or(&lower);
        text.strip_suffix(".0").unwrap_or(text).to_owned()
    };
    plain(wanted) == plain(candidate) || did_you_mean(wanted, [candidate]).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, check_fix, run};

    /// A Service `app`, a Deployment `app` of version "1.0" and a route to the subset `s`.
    const MESH: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: app}
spec: {selector: {app: app}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, labels: {version: "2.0"}}
spec:
  template:
    metadata:
      labels:
        app: app
        version: "1.0"
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: app}
spec: {hosts: [app], http: [{route: [{destination: {host: app, subset: s}}]}]}
---
"#;

    fn with_labels(labels: &str) -> String {
        format!(
            "{}apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: app}}\nspec:\n  \
             host: app\n  subsets:\n  - name: s\n    labels:\n      {labels}\n",
            MESH.trim_start()
        )
    }

    #[test]
    fn a_label_that_no_pod_has_is_reported_at_its_value_with_what_the_pods_have() {
        let mesh = MESH.replace(
            "        version: \"1.0\"\n",
            "        version: \"1.0\"\n        #        ~~~~~ related: the pods of Deployment `app` have `1.0`\n",
        );
        let text = with_labels("version: \"2.0\"").replace(MESH.trim_start(), mesh.trim_start());
        let mark = "      #        ^^^^^ error: subset `s` selects no pods of Service `app`: none has `version: 2.0`\n";
        check(&RULE, &format!("{text}{mark}"));
        check(&RULE, &with_labels("version: \"1.0\""));
    }

    /// Trap: only endpoints of the host's own Service count.
    #[test]
    fn pods_of_another_service_or_namespace_do_not_count() {
        let others = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: other}\nspec:\n  template:\n    \
                      metadata: {labels: {app: other, version: v2}}\n---\napiVersion: apps/v1\nkind: Deployment\n\
                      metadata: {name: app, namespace: elsewhere}\nspec:\n  template:\n    metadata: {labels: {app: \
                      app, version: v2}}\n";
        let text = format!("{}{others}", with_labels("version: v2"));
        let found = run(&RULE, &text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].message, "subset `s` selects no pods of Service `app`: none has `version: v2`");
    }

    /// Trap: Istio adds locality, host name, cluster and network to the labels of endpoints.
    #[test]
    fn labels_that_are_set_at_run_time_are_not_judged() {
        check(&RULE, &with_labels("topology.kubernetes.io/region: eu\n      version: \"1.0\""));
        check(&RULE, &with_labels("topology.istio.io/cluster: one"));
        let empty = with_labels("topology.kubernetes.io/region: \"\"");
        assert_eq!(run(&RULE, &empty).len(), 1);
    }

    #[test]
    fn a_subset_without_labels_selects_every_pod() {
        let text = with_labels("version: \"1.0\"").replace("    labels:\n      version: \"1.0\"\n", "");
        assert!(!text.contains("name: s\n    labels"));
        check(&RULE, &text);
    }

    #[test]
    fn labels_that_only_different_pods_have_select_none() {
        let second = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: two}\nspec:\n  template:\n    \
                      metadata: {labels: {app: app, version: \"2.0\", track: canary}}\n";
        let found = run(&RULE, &format!("{}{second}", with_labels("version: \"1.0\"\n      track: canary")));
        assert_eq!(found.len(), 1);
        assert!(found[0].message.ends_with("none has all of `version=1.0,track=canary`"));
    }

    #[test]
    fn a_subset_that_no_route_uses_is_a_warning() {
        let text = with_labels("version: \"2.0\"").replace("subset: s", "subset: other");
        assert_eq!(run(&RULE, &text)[0].severity, Severity::Warning);
    }

    #[test]
    fn a_service_that_selects_nothing_is_a_warning_until_the_mesh_is_closed() {
        let text = with_labels("version: \"1.0\"").replace("selector: {app: app}", "selector: {app: apps}");
        let found = run(&RULE, &text);
        assert_eq!(found[0].severity, Severity::Warning);
        assert_eq!(
            found[0].message,
            "subset `s` selects no pods of Service `app`, which selects none at all"
        );
        assert_eq!(run(&RULE, &format!("#! assume: closed\n{text}"))[0].severity, Severity::Error);
    }

    #[test]
    fn without_workloads_or_without_a_selector_nothing_is_said() {
        let rule = with_labels("version: \"2.0\"");
        let without_pods = rule.replace("kind: Deployment", "kind: Sketch");
        check(&RULE, &without_pods);
        assert_eq!(run(&RULE, &format!("#! assume: closed\n{without_pods}"))[0].severity, Severity::Error);
        check(&RULE, &rule.replace("selector: {app: app}, ", ""));
        check(&RULE, &format!("#! assume: open\n{rule}"));
    }

    #[test]
    fn another_spelling_of_the_only_version_is_corrected_and_stays_text() {
        let before = with_labels("version: 1-0 # the first");
        check_fix(&RULE, Safety::Unsafe, &before, &with_labels("version: \"1.0\" # the first"));
        let key = with_labels("versoin: \"1.0\"");
        check_fix(&RULE, Safety::Unsafe, &key, &with_labels("version: \"1.0\""));
    }

    #[test]
    fn another_version_is_no_slip() {
        assert_eq!(run(&RULE, &with_labels("version: \"2.0\""))[0].fix, None);
    }
}
