//! `deprecated-api`

mod migrate;

use crate::diagnostic::{Fix, Safety, Severity};
use crate::resource::{Resource, group_of};
use crate::rule::{Check, Context, declare_rule};
use crate::yaml::NodeRef;

declare_rule! {
    /// ## What it does
    /// Reports objects of an API that Istio or Kubernetes has removed, and says what replaces it.
    /// Versions that are still served, such as `networking.istio.io/v1alpha3`, are not reported. An
    /// authentication Policy is rewritten to the PeerAuthentication that means the same, and so is an
    /// `apiVersion` whose successor has the same fields.
    ///
    /// ## Why it matters
    /// `kubectl apply` refuses the object (`no matches for kind`), so nothing of it is in force: a Policy
    /// that asks for mTLS locks nothing down.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: authentication.istio.io/v1alpha1
    /// kind: Policy
    /// metadata: {name: default, namespace: voting}
    /// spec:
    ///   peers:
    ///   - mtls: {mode: STRICT}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: security.istio.io/v1
    /// kind: PeerAuthentication
    /// metadata: {name: default, namespace: voting}
    /// spec:
    ///   mtls: {mode: STRICT}
    /// ```
    ///
    /// ## References
    /// - [Istio 1.6 change notes](https://istio.io/latest/news/releases/1.6.x/announcing-1.6/change-notes/)
    /// - [PeerAuthentication](https://istio.io/latest/docs/reference/config/security/peer_authentication/)
    /// - [Deprecated API migration guide](https://kubernetes.io/docs/reference/using-api/deprecation-guide/)
    id: "deprecated-api",
    severity: Error,
    category: Schema,
    fix: Safe,
    since: "0.1.0",
    upstream: ["IST0002", "IST0106"],
    check: Check::State(check),
}

/// What has to hold for a new `apiVersion` alone to be enough.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Swap {
    /// The fields are the same.
    Always,
    /// `apps/v1` wants `spec.selector` and has no `spec.rollbackTo`.
    WithSelector,
    /// An empty selector means no pods in the old version and all pods in the new.
    WithNonEmptySelector,
    /// The metrics are written in another way.
    WithoutMetrics,
    /// The fields differ.
    Never,
}

/// The removed version, its kinds, the release of Kubernetes without it, what serves them now.
type Removed = (&'static str, &'static [&'static str], &'static str, &'static str, Swap);

const WORKLOADS: &[&str] = &["Deployment", "DaemonSet", "ReplicaSet", "StatefulSet"];
const WEBHOOKS: &[&str] = &["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];
const ROLES: &[&str] = &["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];
const STORAGE: &[&str] = &["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment"];
const FLOWS: &[&str] = &["FlowSchema", "PriorityLevelConfiguration"];

const KUBERNETES: &[Removed] = &[
    ("extensions/v1beta1", WORKLOADS, "1.16", "apps/v1", Swap::WithSelector),
    ("extensions/v1beta1", &["NetworkPolicy"], "1.16", "networking.k8s.io/v1", Swap::Always),
    ("extensions/v1beta1", &["Ingress"], "1.22", "networking.k8s.io/v1", Swap::Never),
    ("extensions/v1beta1", &["PodSecurityPolicy"], "1.16", "", Swap::Never),
    ("apps/v1beta1", WORKLOADS, "1.16", "apps/v1", Swap::WithSelector),
    ("apps/v1beta2", WORKLOADS, "1.16", "apps/v1", Swap::WithSelector),
    ("autoscaling/v2beta1", &["HorizontalPodAutoscaler"], "1.25", "autoscaling/v2", Swap::WithoutMetrics),
    ("autoscaling/v2beta2", &["HorizontalPodAutoscaler"], "1.26", "autoscaling/v2", Swap::Always),
    ("batch/v1beta1", &["CronJob"], "1.25", "batch/v1", Swap::Always),
    ("policy/v1beta1", &["PodDisruptionBudget"], "1.25", "policy/v1", Swap::WithNonEmptySelector),
    ("policy/v1beta1", &["PodSecurityPolicy"], "1.25", "", Swap::Never),
    ("networking.k8s.io/v1beta1", &["Ingress"], "1.22", "networking.k8s.io/v1", Swap::Never),
    ("networking.k8s.io/v1beta1", &["IngressClass"], "1.22", "networking.k8s.io/v1", Swap::Always),
    (
        "admissionregistration.k8s.io/v1beta1",
        WEBHOOKS,
        "1.22",
        "admissionregistration.k8s.io/v1",
        Swap::Never,
    ),
    (
        "apiextensions.k8s.io/v1beta1",
        &["CustomResourceDefinition"],
        "1.22",
        "apiextensions.k8s.io/v1",
        Swap::Never,
    ),
    ("apiregistration.k8s.io/v1beta1", &["APIService"], "1.22", "apiregistration.k8s.io/v1", Swap::Always),
    ("rbac.authorization.k8s.io/v1beta1", ROLES, "1.22", "rbac.authorization.k8s.io/v1", Swap::Always),
    (
        "certificates.k8s.io/v1beta1",
        &["CertificateSigningRequest"],
        "1.22",
        "certificates.k8s.io/v1",
        Swap::Never,
    ),
    ("coordination.k8s.io/v1beta1", &["Lease"], "1.22", "coordination.k8s.io/v1", Swap::Always),
    ("scheduling.k8s.io/v1beta1", &["PriorityClass"], "1.22", "scheduling.k8s.io/v1", Swap::Always),
    ("storage.k8s.io/v1beta1", STORAGE, "1.22", "storage.k8s.io/v1", Swap::Always),
    ("discovery.k8s.io/v1beta1", &["EndpointSlice"], "1.25", "discovery.k8s.io/v1", Swap::Never),
    ("node.k8s.io/v1beta1", &["RuntimeClass"], "1.25", "node.k8s.io/v1", Swap::Always),
    ("flowcontrol.apiserver.k8s.io/v1beta1", FLOWS, "1.26", "flowcontrol.apiserver.k8s.io/v1", Swap::Never),
    ("flowcontrol.apiserver.k8s.io/v1beta2", FLOWS, "1.29", "flowcontrol.apiserver.k8s.io/v1", Swap::Never),
    ("flowcontrol.apiserver.k8s.io/v1beta3", FLOWS, "1.32", "flowcontrol.apiserver.k8s.io/v1", Swap::Never),
];

/// The release of Istio without a group, and what replaces it.
fn istio(group: &str) -> Option<(&'static str, &'static str)> {
    match group {
        "authentication.istio.io" => Some((
            "1.6",
            "PeerAuthentication, and RequestAuthentication for tokens, of `security.istio.io/v1`",
        )),
        "rbac.istio.io" => Some(("1.6", "AuthorizationPolicy of `security.istio.io/v1`")),
        "config.istio.io" => Some((
            "1.8",
            "Telemetry of `telemetry.istio.io/v1`, WasmPlugin or AuthorizationPolicy: Mixer is gone",
        )),
        _ => None,
    }
}

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    for resource in mesh.resources().iter().copied() {
        let Some(root) = resource.node(ctx.documents) else { continue };
        if let Some((release, replacement)) = istio(resource.group()) {
            let message = format!(
                "{} of `{}` was removed in Istio {release}",
                resource.kind.value, resource.api_version.value
            );
            let migrated = (resource.group() == "authentication.istio.io")
                .then(|| migrate::to_peer_authentication(mesh, resource, root));
            let diagnostic = ctx.report(resource, resource.api_version.span, message);
            match migrated {
                Some(Ok(edits)) => {
                    diagnostic.help("use PeerAuthentication of `security.istio.io/v1`").fix(Fix {
                        title: "rewrite it as PeerAuthentication".to_owned(),
                        safety: Safety::Safe,
                        edits,
                    });
                }
                Some(Err(why)) => {
                    diagnostic.help(format!("use {replacement}; {why}"));
                }
                None => {
                    diagnostic.help(format!("use {replacement}"));
                }
            }
        } else if let Some((_, _, release, replacement, swap)) = removed(resource) {
            let message = format!(
                "{} of `{}` was removed in Kubernetes {release}",
                resource.kind.value, resource.api_version.value
            );
            let diagnostic = ctx.report(resource, resource.api_version.span, message);
            if replacement.is_empty() {
                diagnostic.help("use the namespace labels of Pod Security Admission (`pod-security.kubernetes.io/enforce`)");
                continue;
            }
            let possible = swappable(*swap, root);
            let hint = if possible { "" } else { ", whose fields differ" };
            diagnostic.help(format!("use `{replacement}`{hint}"));
            if let Some(edit) = migrate::replace_scalar(root, "apiVersion", replacement).filter(|_| possible)
            {
                diagnostic.fix(Fix {
                    title: format!("use `{replacement}`"),
                    safety: Safety::Safe,
                    edits: vec![edit],
                });
            }
        } else {
            definition(ctx, resource, root);
        }
    }
}

/// A CustomResourceDefinition of a group that is gone: it can be applied, and nothing reads its objects.
fn definition(ctx: &mut Context<'_>, resource: &Resource, root: NodeRef<'_>) {
    if resource.kind.value != "CustomResourceDefinition" {
        return;
    }
    let Some(group) = root.path(&["spec", "group"]) else { return };
    let Some((release, replacement)) = group.as_str().and_then(istio) else { return };
    let message =
        format!("nothing reads objects of `{}` since Istio {release}", group.text().unwrap_or_default());
    ctx.report(resource, group.span(), message)
        .severity(Severity::Warning)
        .help(format!("delete it, and use {replacement}"));
}

fn removed(resource: &Resource) -> Option<&'static Removed> {
    let version = resource.api_version.as_str();
    if group_of(version).is_empty() {
        return None;
    }
    KUBERNETES.iter().find(|(old, kinds, ..)| *old == version && kinds.contains(&resource.kind.as_str()))
}

fn swappable(swap: Swap, root: NodeRef<'_>) -> bool {
    let spec = root.get("spec");
    let field = |name| spec.and_then(|spec| spec.get(name));
    match swap {
        Swap::Always => true,
        Swap::Never => false,
        Swap::WithSelector => field("selector").is_some() && field("rollbackTo").is_none(),
        Swap::WithNonEmptySelector => field("selector").is_some_and(|selector| {
            let terms = selector.get("matchLabels").map_or(0, |labels| labels.entries().len());
            terms > 0 || selector.get("matchExpressions").is_some()
        }),
        Swap::WithoutMetrics => field("metrics").is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, check_fix, run};

    fn policy(spec: &str) -> String {
        format!(
            "apiVersion: authentication.istio.io/v1alpha1\nkind: Policy\nmetadata:\n  name: default\n  namespace: \
             voting\n{spec}"
        )
    }

    fn migrated(spec: &str) -> String {
        policy(spec)
            .replace("authentication.istio.io/v1alpha1", "security.istio.io/v1")
            .replace("kind: Policy", "kind: PeerAuthentication")
    }

    fn help(text: &str) -> String {
        let found = run(&RULE, text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].fix, None);
        found[0].help.clone().unwrap()
    }

    #[test]
    fn the_removed_version_is_marked_with_its_release() {
        check(
            &RULE,
            "
apiVersion: authentication.istio.io/v1alpha1
#           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ error: Policy of `authentication.istio.io/v1alpha1` was removed in Istio 1.6
kind: Policy
metadata: {name: default}
spec: {peers: [mtls: {}]}
---
apiVersion: rbac.istio.io/v1alpha1
#           ^^^^^^^^^^^^^^^^^^^^^^ error: ServiceRole of `rbac.istio.io/v1alpha1` was removed in Istio 1.6
kind: ServiceRole
metadata: {name: a}
---
apiVersion: config.istio.io/v1alpha2
#           ^^^^^^^^^^^^^^^^^^^^^^^^ error: handler of `config.istio.io/v1alpha2` was removed in Istio 1.8
kind: handler
metadata: {name: a}
---
apiVersion: extensions/v1beta1
#           ^^^^^^^^^^^^^^^^^^ error: Ingress of `extensions/v1beta1` was removed in Kubernetes 1.22
kind: Ingress
metadata: {name: a}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: servicerole.rbac.istio.io}
spec:
  group: rbac.istio.io
  #      ^^^^^^^^^^^^^ warning: nothing reads objects of `rbac.istio.io` since Istio 1.6
",
        );
    }

    #[test]
    fn versions_that_are_served_are_silent() {
        for (version, kind) in [
            ("networking.istio.io/v1alpha3", "VirtualService"),
            ("networking.istio.io/v1beta1", "Gateway"),
            ("security.istio.io/v1beta1", "PeerAuthentication"),
            ("apps/v1", "Deployment"),
            ("admissionregistration.k8s.io/v1beta1", "ValidatingAdmissionPolicy"),
            ("policy/v1", "PodDisruptionBudget"),
            ("policy.example.com/v1beta1", "PodDisruptionBudget"),
        ] {
            check(&RULE, &format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\n"));
        }
    }

    #[test]
    fn a_policy_becomes_a_peer_authentication_and_keeps_its_comments() {
        check_fix(
            &RULE,
            Safety::Safe,
            &policy(
                "spec:\n  # who may call\n  peers: # clients\n    # of the mesh\n    - mtls: # both ways\n        # now\n        mode: STRICT # yes\n",
            ),
            &migrated(
                "spec:\n  # who may call\n  mtls: # clients\n    # of the mesh\n    # both ways\n    # now\n    mode: STRICT # yes\n",
            ),
        );
        let plain = |spec: &str, after: &str| check_fix(&RULE, Safety::Safe, &policy(spec), &migrated(after));
        plain("spec:\n  peers:\n    - mtls:\n        mode: STRICT\n", "spec:\n  mtls:\n    mode: STRICT\n");
        plain(
            "spec:\n  peers:\n  - mtls:\n      mode: PERMISSIVE\n",
            "spec:\n  mtls:\n    mode: PERMISSIVE\n",
        );
    }

    #[test]
    fn mtls_without_a_mode_was_strict() {
        for (before, after) in [
            ("spec:\n  peers:\n  - mtls: {}\n", "spec:\n  mtls:\n    mode: STRICT\n"),
            ("spec:\n  peers:\n    - mtls: # all\n", "spec:\n  mtls:\n    mode: STRICT # all\n"),
            ("spec:\n  peers:\n  - mtls: null\n", "spec:\n  mtls:\n    mode: STRICT\n"),
            ("spec:\n  peers:\n  - {mtls: {mode: PERMISSIVE}}\n", "spec:\n  mtls:\n    mode: PERMISSIVE\n"),
            ("spec:\n  peers: [mtls: {mode: STRICT}] # old\n", "spec:\n  mtls: {mode: STRICT} # old\n"),
            ("spec: {peers: [{mtls: {}}]}\n", "spec: {mtls: {mode: STRICT}}\n"),
        ] {
            check_fix(&RULE, Safety::Safe, &policy(before), &migrated(after));
        }
    }

    #[test]
    fn a_target_becomes_the_selector_of_its_service() {
        let service = "apiVersion: v1\nkind: Service\nmetadata: {name: storage, namespace: voting}\nspec:\n  selector: \
                       {app: storage, version: \"1.0\"}\n  ports: [{name: redis, port: 6379}]\n---\n";
        let before = "spec:\n  targets:\n  - name: storage # Redis\n  peers:\n  - mtls: {}\n";
        let after = "spec:\n  selector:\n    matchLabels: {app: storage, version: \"1.0\"} # Redis\n  mtls:\n    mode: STRICT\n";
        let with = |text: String| format!("{service}{text}");
        check_fix(&RULE, Safety::Safe, &with(policy(before)), &with(migrated(after)));
        assert!(
            help(&policy(before)).ends_with("the labels of Service `storage`, which is not in the input")
        );
        let ports = before.replace("- name: storage # Redis", "- name: storage\n    ports: [{number: 6379}]");
        assert!(help(&with(policy(&ports))).contains("`portLevelMtls`"));
        let two = before.replace("- name: storage # Redis", "- name: storage\n  - name: app");
        assert!(help(&with(policy(&two))).contains("several targets"));
    }

    #[test]
    fn a_mesh_policy_moves_to_the_root_namespace() {
        let text = |version: &str, kind: &str, metadata: &str, spec: &str| {
            format!("apiVersion: {version}\nkind: {kind}\n{metadata}spec:\n{spec}")
        };
        let old = |metadata: &str| {
            text("authentication.istio.io/v1alpha1", "MeshPolicy", metadata, "  peers:\n  - mtls: {}\n")
        };
        let new = |metadata: &str| {
            text("security.istio.io/v1", "PeerAuthentication", metadata, "  mtls:\n    mode: STRICT\n")
        };
        check_fix(
            &RULE,
            Safety::Safe,
            &old("metadata:\n  name: default # the only one\n"),
            &new("metadata:\n  name: default # the only one\n  namespace: istio-system\n"),
        );
        check_fix(
            &RULE,
            Safety::Safe,
            &old("metadata: {name: default}\n"),
            &new("metadata: {name: default, namespace: istio-system}\n"),
        );
    }

    #[test]
    fn what_one_peer_authentication_cannot_say_is_explained() {
        let token = "spec:\n  peers:\n  - mtls: {}\n  origins:\n  - jwt: {issuer: me}\n";
        assert!(help(&policy(token)).contains("RequestAuthentication and an AuthorizationPolicy"));
        assert!(help(&policy("spec:\n  peers:\n  - jwt: {issuer: me}\n")).contains("RequestAuthentication"));
        assert!(help(&policy("spec:\n  targets: [{name: a}]\n")).contains("`mode: DISABLE`"));
        assert!(help(&policy("spec:\n  peers:\n  - mtls: {allowTls: true}\n")).contains("`mtls.allowTls`"));
        let root = policy("spec:\n  peers:\n  - mtls: {}\n").replace("voting", "istio-system");
        assert!(help(&root).contains("whole mesh"));
    }

    #[test]
    fn a_version_with_the_same_fields_is_swapped() {
        let text = |version: &str, kind: &str, spec: &str| {
            format!("apiVersion: {version} # old\nkind: {kind}\nmetadata: {{name: a}}\n{spec}")
        };
        let spec = "spec: {selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {containers: \
                    [{name: a, image: a}]}}}\n";
        for version in ["apps/v1beta2", "extensions/v1beta1"] {
            let (before, after) = (text(version, "Deployment", spec), text("apps/v1", "Deployment", spec));
            check_fix(&RULE, Safety::Safe, &before, &after);
        }
        let without_selector = "spec: {template: {metadata: {labels: {app: a}}}}\n";
        help(&text("apps/v1beta1", "Deployment", without_selector));
        help(&text("policy/v1beta1", "PodDisruptionBudget", "spec: {selector: {}, minAvailable: 1}\n"));
        help(&text("autoscaling/v2beta1", "HorizontalPodAutoscaler", "spec: {metrics: []}\n"));
        help(&text("networking.k8s.io/v1beta1", "Ingress", "spec: {}\n"));
    }
}
