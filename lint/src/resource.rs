//! Documents into typed Kubernetes objects. Knows the shape of each kind, nothing of how they relate.

pub mod core;
pub mod field;
pub mod networking;
pub mod policy;

use serde::de::DeserializeOwned;

use self::core::{
    CronJob, HorizontalPodAutoscaler, PodMetadata, PodSpec, PodTemplate, Service, TemplateOwner,
};
use self::field::{Map, Opt};
use self::networking::{
    DestinationRule, Gateway, ServiceEntry, Sidecar, VirtualService, WorkloadEntry, WorkloadGroup,
};
use self::policy::{AuthenticationPolicy, EnvoyFilter, PeerAuthentication, SelectorPolicy, WasmPlugin};
use crate::span::{Span, Spanned};
use crate::yaml::{Document, NodeId, NodeRef, from_node};

/// The typed `spec` of an object; [`Spec::Other`] for kinds that no rule looks into.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Spec {
    Namespace,
    Service(Box<Service>),
    /// Whatever makes pods, with their template.
    Workload(Box<PodTemplate>),
    HorizontalPodAutoscaler(Box<HorizontalPodAutoscaler>),
    /// `data` of a ConfigMap.
    ConfigMap(Map<String>),
    /// `stringData` of a Secret; what `data` hides in base64 is nobody's business here.
    Secret(Map<String>),
    VirtualService(Box<VirtualService>),
    DestinationRule(Box<DestinationRule>),
    Gateway(Box<Gateway>),
    ServiceEntry(Box<ServiceEntry>),
    Sidecar(Box<Sidecar>),
    PeerAuthentication(Box<PeerAuthentication>),
    AuthorizationPolicy(Box<SelectorPolicy>),
    RequestAuthentication(Box<SelectorPolicy>),
    Telemetry(Box<SelectorPolicy>),
    WasmPlugin(Box<WasmPlugin>),
    EnvoyFilter(Box<EnvoyFilter>),
    AuthenticationPolicy(Box<AuthenticationPolicy>),
    Other,
}

/// One Kubernetes object of the input.
#[derive(Debug)]
pub struct Resource {
    /// `networking.istio.io/v1`.
    pub api_version: Spanned<String>,
    /// `VirtualService`.
    pub kind: Spanned<String>,
    /// `metadata.name`; empty when missing or generated.
    pub name: Spanned<String>,
    /// The effective namespace; `None` for cluster-scoped kinds.
    pub namespace: Option<String>,
    /// Where the namespace is written, if it is.
    pub namespace_span: Option<Span>,
    /// `metadata.labels`.
    pub labels: Map<String>,
    /// `metadata.annotations`.
    pub annotations: Map<String>,
    /// The typed spec.
    pub spec: Spec,
    /// The document in the list given to [`lower`].
    pub document: usize,
    /// The object's node in that document.
    pub root: NodeId,
    /// The object's whole text.
    pub span: Span,
}

impl Resource {
    /// The API group: `networking.istio.io`; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &str {
        group_of(&self.api_version.value)
    }

    /// The effective namespace; empty for cluster-scoped kinds.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("")
    }

    /// Kind and name as messages give them: ``VirtualService `voting-app` ``.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("{} `{}`", self.kind.value, self.name.value)
    }

    /// What identifies the object in a cluster: group, kind, namespace and name.
    #[must_use]
    pub fn key(&self) -> (&str, &str, &str, &str) {
        (self.group(), &self.kind.value, self.namespace(), &self.name.value)
    }

    /// The object's node.
    #[must_use]
    pub fn node<'d>(&self, documents: &'d [Document]) -> Option<NodeRef<'d>> {
        documents.get(self.document)?.node(self.root)
    }
}

/// The group part of an `apiVersion`.
#[must_use]
pub fn group_of(api_version: &str) -> &str {
    api_version.rsplit_once('/').map_or("", |(group, _)| group)
}

/// Kinds without a namespace, of the groups that meet in a mesh.
const CLUSTER_SCOPED: &[&str] = &[
    "APIService",
    "CertificateSigningRequest",
    "ClusterIssuer",
    "ClusterRole",
    "ClusterRoleBinding",
    "ClusterTrustBundle",
    "ClusterRbacConfig",
    "CustomResourceDefinition",
    "GatewayClass",
    "IngressClass",
    "MeshPolicy",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PodSecurityPolicy",
    "PriorityClass",
    "RuntimeClass",
    "StorageClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
    "VolumeAttachment",
];

/// Types every object of the documents; `List` objects are unfolded. What is no Kubernetes object is left
/// out: `missing-field` reports it from the document. `namespace` is what `kubectl -n` would add.
#[must_use]
pub fn lower<'n>(documents: &[Document], namespace: impl Fn(&Document) -> &'n str) -> Vec<Resource> {
    let mut resources = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        if let Some(root) = document.root() {
            object(index, root, namespace(document), &mut resources, 0);
        }
    }
    resources
}

#[derive(Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    name: Opt<String>,
    namespace: Opt<String>,
    labels: Map<String>,
    annotations: Map<String>,
}

fn object(document: usize, node: NodeRef<'_>, namespace: &str, out: &mut Vec<Resource>, depth: u8) {
    let text = |key| {
        let value = node.get(key)?;
        Some(Spanned { span: value.span(), value: value.as_str()?.to_owned() })
    };
    let (Some(api_version), Some(kind)) = (text("apiVersion"), text("kind")) else { return };
    let items = node.get("items").filter(|items| items.is_sequence());
    if let Some(items) = items.filter(|_| kind.value.ends_with("List") && depth < 4) {
        items.items().for_each(|item| object(document, item, namespace, out, depth + 1));
        return;
    }
    let metadata: Metadata = node.get("metadata").map(decode).unwrap_or_default();
    let cluster_scoped = CLUSTER_SCOPED.contains(&kind.value.as_str());
    let written = metadata.namespace.0;
    let effective = written.as_ref().map_or(namespace, |ns| ns.as_str()).to_owned();
    let name = metadata.name.0.unwrap_or(Spanned { span: kind.span, value: String::new() });
    let spec = spec(group_of(&api_version.value), &kind.value, node);
    out.push(Resource {
        namespace_span: written.map(|ns| ns.span),
        namespace: (!cluster_scoped).then_some(effective),
        labels: metadata.labels,
        annotations: metadata.annotations,
        document,
        root: node.id(),
        span: node.span(),
        api_version,
        kind,
        name,
        spec,
    });
}

fn decode<T: DeserializeOwned + Default>(node: NodeRef<'_>) -> T {
    from_node(node).unwrap_or_default()
}

fn spec(group: &str, kind: &str, node: NodeRef<'_>) -> Spec {
    fn of<T: DeserializeOwned + Default>(node: NodeRef<'_>) -> Box<T> {
        Box::new(node.get("spec").map(decode).unwrap_or_default())
    }
    let template = |owner: TemplateOwner| {
        let template = owner.template.0.unwrap_or_default_value();
        Spec::Workload(Box::new(PodTemplate { replicas: owner.replicas, ..template }))
    };
    match (group, kind) {
        ("", "Namespace") => Spec::Namespace,
        ("", "Service") => Spec::Service(of(node)),
        ("", "ConfigMap") => Spec::ConfigMap(node.get("data").map(decode).unwrap_or_default()),
        ("", "Pod") => Spec::Workload(Box::new(PodTemplate {
            metadata: Opt(node.get("metadata").and_then(|m| from_node::<Spanned<PodMetadata>>(m).ok())),
            spec: Opt(node.get("spec").and_then(|s| from_node::<Spanned<PodSpec>>(s).ok())),
            ..PodTemplate::default()
        })),
        ("", "ReplicationController")
        | (
            "apps" | "extensions" | "batch" | "argoproj.io",
            "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" | "Rollout",
        ) => template(*of(node)),
        ("batch", "CronJob") => {
            let job = of::<CronJob>(node).job_template.0.and_then(|job| job.value.spec.0);
            template(job.unwrap_or_default_value())
        }
        ("", "Secret") => Spec::Secret(node.get("stringData").map(decode).unwrap_or_default()),
        ("autoscaling", "HorizontalPodAutoscaler") => Spec::HorizontalPodAutoscaler(of(node)),
        ("networking.istio.io", "VirtualService") => Spec::VirtualService(of(node)),
        ("networking.istio.io", "DestinationRule") => Spec::DestinationRule(of(node)),
        ("networking.istio.io", "Gateway") => Spec::Gateway(of(node)),
        ("networking.istio.io", "ServiceEntry") => Spec::ServiceEntry(of(node)),
        ("networking.istio.io", "Sidecar") => Spec::Sidecar(of(node)),
        ("networking.istio.io", "EnvoyFilter") => Spec::EnvoyFilter(of(node)),
        ("networking.istio.io", "WorkloadEntry") => {
            entry_template(*of::<WorkloadEntry>(node), Map::default())
        }
        ("networking.istio.io", "WorkloadGroup") => {
            let group = *of::<WorkloadGroup>(node);
            let labels = group.metadata.0.map(|m| m.value.labels).unwrap_or_default();
            entry_template(group.template.0.unwrap_or_default_value(), labels)
        }
        ("security.istio.io", "PeerAuthentication") => Spec::PeerAuthentication(of(node)),
        ("security.istio.io", "AuthorizationPolicy") => Spec::AuthorizationPolicy(of(node)),
        ("security.istio.io", "RequestAuthentication") => Spec::RequestAuthentication(of(node)),
        ("telemetry.istio.io", "Telemetry") => Spec::Telemetry(of(node)),
        ("extensions.istio.io", "WasmPlugin") => Spec::WasmPlugin(of(node)),
        ("authentication.istio.io", "Policy" | "MeshPolicy") => Spec::AuthenticationPolicy(of(node)),
        _ => Spec::Other,
    }
}

/// A VM in the mesh counts as a workload whose labels are the entry's.
fn entry_template(entry: WorkloadEntry, group_labels: Map<String>) -> Spec {
    let labels = if entry.labels.is_empty() { group_labels } else { entry.labels };
    let span = labels.span().unwrap_or(Span::new(crate::FileId(0), 0, 0));
    let metadata = PodMetadata { labels, annotations: Map::default() };
    Spec::Workload(Box::new(PodTemplate {
        metadata: Opt(Some(Spanned { span, value: metadata })),
        entry_ports: entry.ports,
        ..PodTemplate::default()
    }))
}

trait UnwrapOrDefaultValue<T> {
    fn unwrap_or_default_value(self) -> T;
}

impl<T: Default> UnwrapOrDefaultValue<T> for Option<Spanned<T>> {
    fn unwrap_or_default_value(self) -> T {
        self.map(|spanned| spanned.value).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
