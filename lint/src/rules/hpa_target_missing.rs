//! `hpa-target-missing`

use rustc_hash::FxHashMap;

use crate::diagnostic::{Fix, Safety};
use crate::resource::Spec;
use crate::rule::{Check, Context, declare_rule, did_you_mean};

declare_rule! {
    /// ## What it does
    /// Reports a HorizontalPodAutoscaler that names no workload of its namespace. Targets of kinds that
    /// are not Kubernetes' or Argo's own are left alone.
    ///
    /// ## Why it matters
    /// It scales nothing, without an error that anyone would see at deployment: the version that gets the
    /// traffic stays at the replicas it started with. Renaming a Deployment per version leaves the old
    /// name in the autoscaler easily.
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
    /// metadata: {name: voting-app-2-0}
    /// spec:
    ///   template:
    ///     metadata:
    ///       labels: {app: voting-app, version: "2.0"}
    /// ---
    /// apiVersion: autoscaling/v2
    /// kind: HorizontalPodAutoscaler
    /// metadata: {name: voting-app-2-0}
    /// spec:
    ///   scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: voting-app}
    ///   maxReplicas: 5
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
    /// metadata: {name: voting-app-2-0}
    /// spec:
    ///   template:
    ///     metadata:
    ///       labels: {app: voting-app, version: "2.0"}
    /// ---
    /// apiVersion: autoscaling/v2
    /// kind: HorizontalPodAutoscaler
    /// metadata: {name: voting-app-2-0}
    /// spec:
    ///   scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: voting-app-2-0}
    ///   maxReplicas: 5
    /// ```
    ///
    /// ## References
    /// - [Horizontal Pod Autoscaling](https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/)
    id: "hpa-target-missing",
    severity: Warning,
    category: Workloads,
    fix: Unsafe,
    since: "0.1.0",
    upstream: [],
    check: Check::State(check),
}

const SCALABLE: [&str; 5] = ["Deployment", "StatefulSet", "ReplicaSet", "ReplicationController", "Rollout"];

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    let scalers: Vec<_> = mesh
        .resources()
        .iter()
        .filter_map(|resource| match &resource.spec {
            Spec::HorizontalPodAutoscaler(scaler) => Some((*resource, scaler)),
            _ => None,
        })
        .collect();
    if scalers.is_empty() {
        return;
    }
    let mut by_name: FxHashMap<(&str, &str), Vec<&crate::resource::Resource>> = FxHashMap::default();
    for (_, workload) in mesh.workloads.iter() {
        let resource = workload.resource;
        by_name.entry((resource.namespace(), resource.name.as_str())).or_default().push(resource);
    }
    for (resource, scaler) in scalers {
        let Some(target) = scaler.scale_target_ref.get() else { continue };
        let (Some(kind), Some(name)) = (target.kind.as_ref(), target.name.as_ref()) else { continue };
        let namespace = resource.namespace();
        if !SCALABLE.contains(&kind.as_str()) || !mesh.knows_workloads(namespace) {
            continue;
        }
        let same_name = by_name.get(&(namespace, name.as_str())).map_or(&[][..], Vec::as_slice);
        if same_name.iter().any(|workload| workload.kind.value == kind.value) {
            continue;
        }
        if let Some(other) = same_name.iter().find(|workload| SCALABLE.contains(&workload.kind.as_str())) {
            let message = format!("`{}` is a {}, not a {}", name.value, other.kind.value, kind.value);
            let is_apps = |kind: &str| matches!(kind, "Deployment" | "StatefulSet" | "ReplicaSet");
            let text = ctx.styled(kind.span, &other.kind);
            let diagnostic = ctx.report(resource, kind.span, message);
            diagnostic.help("name the kind and apiVersion of the workload that is there");
            diagnostic.related(other.name.span, "the workload of that name");
            if is_apps(kind) && is_apps(&other.kind) {
                let title = format!("use `{}`", other.kind.value);
                diagnostic.fix(Fix::replace(Safety::Unsafe, title, kind.span, text));
            }
            continue;
        }
        let ids = mesh.workloads.in_namespace(namespace).iter().filter_map(|id| mesh.workloads.get(*id));
        let candidates: Vec<_> =
            ids.map(|workload| workload.resource).filter(|other| other.kind.value == kind.value).collect();
        let near = did_you_mean(name, candidates.iter().map(|other| other.name.as_str()));
        let text = near.map(|near| ctx.styled(name.span, near));
        let diagnostic = ctx.report(
            resource,
            name.span,
            format!("there is no {} `{}` in namespace `{namespace}` to scale", kind.value, name.value),
        );
        match (near, text) {
            (Some(near), Some(text)) => {
                let fix = Fix::replace(Safety::Unsafe, format!("use `{near}`"), name.span, text);
                diagnostic.help(format!("did you mean `{near}`?")).fix(fix);
                for other in candidates.iter().filter(|other| other.name.value == near) {
                    diagnostic.related(other.name.span, "the workload of nearly that name");
                }
            }
            _ => {
                diagnostic.help(format!("name a {} of the namespace, or remove the autoscaler", kind.value));
                let starts = |other: &&&crate::resource::Resource| other.name.starts_with(name.as_str());
                for other in candidates.iter().filter(starts).take(3) {
                    diagnostic.related(other.name.span, "a workload that is there");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, check_fix, run};

    const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: app}\nspec: {ports: [{name: http, port: 80}]}\n---\n";

    fn scaler(kind: &str, name: &str) -> String {
        format!(
            "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: app}}\nspec:\n  \
             scaleTargetRef:\n    kind: {kind}\n    name: {name}\n"
        )
    }

    fn text(kind: &str, name: &str) -> String {
        let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: app-v1}\n---\n";
        format!("{SERVICE}{deployment}{}", scaler(kind, name))
    }

    #[test]
    fn the_name_is_reported_with_the_workload_it_nearly_is() {
        let marked = text("Deployment", "app-vl1").replace(
            "{name: app-v1}\n",
            "{name: app-v1}\n#                ~~~~~~ related: the workload of nearly that name\n",
        );
        let mark =
            "    #     ^^^^^^^ warning: there is no Deployment `app-vl1` in namespace `default` to scale\n";
        check(&RULE, &format!("{marked}{mark}"));
        check(&RULE, &text("Deployment", "app-v1"));
    }

    #[test]
    fn a_workload_of_another_kind_is_no_target() {
        let wrong = text("StatefulSet", "app-v1");
        let found = run(&RULE, &wrong);
        assert_eq!(found[0].message, "`app-v1` is a Deployment, not a StatefulSet");
        check_fix(&RULE, Safety::Unsafe, &wrong, &text("Deployment", "app-v1"));
    }

    #[test]
    fn a_near_name_is_offered_but_never_another_version() {
        check_fix(&RULE, Safety::Unsafe, &text("Deployment", "\"ap-v1\""), &text("Deployment", "\"app-v1\""));
        assert_eq!(run(&RULE, &text("Deployment", "app-v2"))[0].fix, None);
    }

    #[test]
    fn a_workload_of_another_namespace_is_no_target() {
        let there = "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: db, namespace: other}\n";
        assert_eq!(run(&RULE, &format!("{}{there}", text("Deployment", "db"))).len(), 1);
    }

    #[test]
    fn kinds_of_other_controllers_and_fragments_are_left_alone() {
        check(&RULE, &text("Cluster", "db"));
        check(&RULE, &scaler("Deployment", "app-v2"));
        check(&RULE, &format!("{SERVICE}{}", scaler("Deployment", "app-v2")));
    }
}
