//! `subset-mixes-versions`

use crate::mesh::workloads::{Workload, is_set_at_run_time};
use crate::rule::{Check, Context, declare_rule};
use crate::span::Span;

declare_rule! {
    /// ## What it does
    /// Reports a subset that selects pods of two versions. Versions are told apart by the pods' label
    /// `version`, else `app.kubernetes.io/version`; pods of Deployments that these labels do not tell apart
    /// by the tag of the same image in the same container.
    ///
    /// ## Why it matters
    /// A route to the subset then alternates between the versions from request to request: the canary is
    /// answered by the old version half of the time, and users outside of it meet the new one.
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
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-app-2-0}
    /// spec:
    ///   template:
    ///     metadata:
    ///       labels: {app: voting-app, version: "2.0"}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: voting-app}
    /// spec:
    ///   host: voting-app
    ///   subsets:
    ///   - name: v2-0
    ///     labels: {app: voting-app}
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
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-app-2-0}
    /// spec:
    ///   template:
    ///     metadata:
    ///       labels: {app: voting-app, version: "2.0"}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: voting-app}
    /// spec:
    ///   host: voting-app
    ///   subsets:
    ///   - name: v2-0
    ///     labels: {app: voting-app, version: "2.0"}
    /// ```
    ///
    /// ## References
    /// - [Subset](https://istio.io/latest/docs/reference/config/networking/destination-rule/#Subset)
    id: "subset-mixes-versions",
    severity: Warning,
    category: Destinations,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::State(check),
}

/// A version, where it is written and the pods' owner.
type Version<'a> = (&'a str, Span, &'a Workload<'a>);

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    for rule in mesh.destination_rules.iter() {
        let Some(host) = mesh.judged_service(&rule.host) else { continue };
        for subset in &rule.spec.subsets {
            let Some(name) = subset.name.as_ref() else { continue };
            // A subset by zone or cluster is not about versions.
            if subset.labels.iter().any(|(key, _)| is_set_at_run_time(key)) {
                continue;
            }
            let pods: Vec<&Workload<'_>> = mesh
                .subset_workloads(host, &subset.labels)
                .into_iter()
                .filter_map(|id| mesh.workloads.get(id))
                .collect();
            let labelled = ["version", "app.kubernetes.io/version"]
                .map(|label| by_label(&pods, label))
                .into_iter()
                .find(|versions| !versions.is_empty())
                .unwrap_or_default();
            let (what, versions) = match labelled.len() {
                0 | 1 => ("image tags", by_image(&pods)),
                _ => ("versions", labelled),
            };
            let [(first, ..), .., (last, ..)] = versions.as_slice() else { continue };
            let between = if versions.len() > 2 { "to" } else { "and" };
            let message =
                format!("subset `{}` selects pods of {what} `{first}` {between} `{last}`", name.value);
            let diagnostic = ctx.report(rule.resource, name.span, message);
            diagnostic.help(match what {
                "versions" => "add the version to the subset's labels",
                _ => {
                    "give the pods of each version a `version` label of their own, and the subset one of them"
                }
            });
            for (version, span, pod) in versions.iter().take(4) {
                diagnostic.related(*span, format!("{} is `{version}`", pod.resource.describe()));
            }
        }
    }
}

/// The distinct values of a label.
fn by_label<'w>(pods: &[&'w Workload<'w>], label: &str) -> Vec<Version<'w>> {
    let mut versions: Vec<Version<'w>> = Vec::new();
    for pod in pods {
        let Some(value) = pod.labels.find(label) else { continue };
        if !versions.iter().any(|(version, ..)| *version == value.as_str()) {
            versions.push((value.as_str(), value.span, pod));
        }
    }
    versions
}

/// The distinct tags of the first image that two Deployments run under one container name.
fn by_image<'w>(pods: &[&'w Workload<'w>]) -> Vec<Version<'w>> {
    // Jobs are not the ones that answer, and a ReplicaSet may be the past of a Deployment.
    let lasting = |pod: &&&Workload<'_>| {
        matches!(pod.resource.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet" | "Rollout")
    };
    let images = |pod: &'w Workload<'w>| {
        pod.containers().filter_map(move |container| {
            let image = container.image.as_ref()?;
            let (repository, tag) = split_image(image)?;
            (container.name.text() != "istio-proxy").then_some((
                container.name.text(),
                repository,
                tag,
                image.span,
            ))
        })
    };
    let mut lasting_pods = pods.iter().filter(lasting);
    let Some(first) = lasting_pods.next() else { return Vec::new() };
    let rest: Vec<_> = lasting_pods.collect();
    for (container, repository, tag, span) in images(first) {
        let mut versions: Vec<Version<'w>> = vec![(tag, span, first)];
        for pod in &rest {
            let same = images(pod).find(|(name, other, ..)| *name == container && *other == repository);
            if let Some((_, _, tag, span)) = same
                && !versions.iter().any(|(version, ..)| *version == tag)
            {
                versions.push((tag, span, pod));
            }
        }
        if versions.len() > 1 {
            return versions;
        }
    }
    Vec::new()
}

/// Repository and tag; `None` for an image without a tag or with a digest.
fn split_image(image: &str) -> Option<(&str, &str)> {
    let (repository, tag) = image.rsplit_once(':')?;
    (!tag.contains('/') && !repository.contains('@')).then_some((repository, tag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: app}
spec: {selector: {app: app}, ports: [{name: http, port: 80}]}
---
";

    fn deployment(name: &str, labels: &str, image: &str) -> String {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  template:\n    metadata: \
             {{labels: {labels}}}\n    spec: {{containers: [{{name: app, image: \"{image}\"}}]}}\n---\n"
        )
    }

    fn text(pods: &[String], subset: &str) -> String {
        let head = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: app}\nspec:\n  \
                    host: app\n  subsets:\n";
        format!("{}{}{head}{subset}", SERVICE.trim_start(), pods.concat())
    }

    #[test]
    fn the_subset_is_reported_with_the_label_of_each_version() {
        check(
            &RULE,
            r#"
apiVersion: v1
kind: Service
metadata: {name: app}
spec: {selector: {app: app}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app-v1}
spec: {template: {metadata: {labels: {app: app, version: v1}}}}
#                                                        ~~ related: Deployment `app-v1` is `v1`
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: app-v2}
spec: {template: {metadata: {labels: {app: app, version: v2}}}}
#                                                        ~~ related: StatefulSet `app-v2` is `v2`
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: app}
spec:
  host: app
  subsets:
  - name: stable
    #     ^^^^^^ warning: subset `stable` selects pods of versions `v1` and `v2`
  - {name: v1, labels: {version: v1}}
"#,
        );
    }

    #[test]
    fn one_version_in_several_workloads_is_no_mix() {
        let pods = [
            deployment("one", "{app: app, version: v1}", "app:1"),
            deployment("two", "{app: app, version: v1}", "other:2"),
        ];
        check(&RULE, &text(&pods, "  - {name: v1, labels: {version: v1}}\n"));
    }

    #[test]
    fn a_copied_template_that_kept_the_old_label_is_told_by_its_image() {
        let pods = [
            deployment("one", "{app: app, version: v1}", "registry:5000/app:1.0"),
            deployment("two", "{app: app, version: v1}", "registry:5000/app:2.0"),
        ];
        let subset = "  - {name: v1, labels: {version: v1}}\n  #        ^^ warning: subset `v1` selects pods of image \
                      tags `1.0` and `2.0`\n";
        check(&RULE, &text(&pods, subset));
    }

    #[test]
    fn images_without_a_tag_and_jobs_say_nothing() {
        let digests = [
            deployment("one", "{app: app}", "app@sha256:aa"),
            deployment("two", "{app: app}", "app@sha256:bb"),
            deployment("three", "{app: app}", "registry:5000/app"),
        ];
        check(&RULE, &text(&digests, "  - {name: all, labels: {app: app}}\n"));
        let job = deployment("two", "{app: app}", "app:2")
            .replace("apps/v1\nkind: Deployment", "batch/v1\nkind: Job");
        let pods = [deployment("one", "{app: app}", "app:1"), job];
        check(&RULE, &text(&pods, "  - {name: all, labels: {app: app}}\n"));
    }

    /// Trap: subset labels are also compared with what Istio knows of the endpoint's place.
    #[test]
    fn a_subset_by_zone_is_not_about_versions() {
        let pods = [
            deployment("one", "{app: app, version: v1}", "app:1"),
            deployment("two", "{app: app, version: v2}", "app:2"),
        ];
        check(&RULE, &text(&pods, "  - {name: a, labels: {topology.kubernetes.io/zone: a}}\n"));
    }

    #[test]
    fn pods_that_the_service_does_not_select_do_not_mix() {
        let pods = [
            deployment("one", "{app: app, version: v1}", "app:1"),
            deployment("two", "{app: b, version: v2}", "app:2"),
        ];
        check(&RULE, &text(&pods, "  - {name: all}\n"));
    }
}
