//! What Kubernetes' schemas leave out, kept by hand: which kinds the table holds, the enums and bounds that its
//! documentation states in prose, and the kinds that no schema describes.

/// The kinds in the table, with their API groups. Other kinds of Kubernetes are listed by name only.
pub(super) const KINDS: &[(&str, &str)] = &[
    ("", "ConfigMap"),
    ("", "Endpoints"),
    ("", "Namespace"),
    ("", "PersistentVolume"),
    ("", "PersistentVolumeClaim"),
    ("", "Pod"),
    ("", "PodTemplate"),
    ("", "Secret"),
    ("", "Service"),
    ("", "ServiceAccount"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apps", "DaemonSet"),
    ("apps", "Deployment"),
    ("apps", "ReplicaSet"),
    ("apps", "StatefulSet"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("batch", "CronJob"),
    ("batch", "Job"),
    ("discovery.k8s.io", "EndpointSlice"),
    ("networking.k8s.io", "Ingress"),
    ("networking.k8s.io", "IngressClass"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("policy", "PodDisruptionBudget"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "RoleBinding"),
];

/// Names of messages that CustomResourceDefinitions repeat without naming, by their fields.
pub(super) const NAMES: &[(&str, &str)] = &[
    ("exact prefix regex", "StringMatch"),
    ("host port subset", "Destination"),
    ("request response", "Headers"),
    ("add remove set", "HeaderOperations"),
    ("add set remove", "HeaderOperations"),
    ("name number protocol targetPort", "Port"),
    ("group kind name namespace", "ObjectReference"),
    ("group kind name", "LocalObjectReference"),
    ("group kind name namespace port sectionName", "ParentReference"),
];

/// Fields that are durations although their CustomResourceDefinition calls them strings.
pub(super) const DURATIONS: &[&str] = &[
    "budgetInterval",
    "idleTimeout",
    "ttl",
    "weightExpirationPeriod",
    "weightStabilizationPeriod",
    "weightUpdatePeriod",
];

/// Deprecated fields that Istio keeps out of its documentation, and thereby out of the descriptions.
pub(super) const DEPRECATED: &[(&str, &str)] = &[
    ("VirtualService", "spec.http.corsPolicy.allowOrigin"),
    ("VirtualService", "spec.http.fault.delay.percent"),
    ("VirtualService", "spec.http.mirrorPercent"),
    ("VirtualService", "spec.http.mirror_percent"),
    ("VirtualService", "spec.tcp.match.sourceSubnet"),
];

/// Definitions that `ADDED` and the reader of the tables use whether or not a kind does.
pub(super) const ROOTS: &[&str] = &["ObjectMeta", "ListMeta", "LabelSelector", "PodTemplateSpec"];

/// Kinds without a published schema, in the table's own format. `List` exists in clients only. Argo's
/// CustomResourceDefinition is not among the inputs, so of a Rollout only what it has in common with a Deployment
/// is stated, and its group is not known fully.
pub(super) const ADDED: &str = "\
kind core List v1
 items! []any
 metadata ListMeta
partial argoproj.io
kind argoproj.io Rollout v1alpha1
 spec open
  minReadySeconds int32
  paused bool
  progressDeadlineSeconds int32
  replicas int32
  revisionHistoryLimit int32
  selector LabelSelector
  template PodTemplateSpec
 status any
";

const PORT: &str = "int32(1..65535)";
const PROTOCOL: &str = "string(SCTP|TCP|UDP)";
const PULL_POLICY: &str = "string(Always|IfNotPresent|Never)";

/// Enums and bounds, by definition and field. The API server enforces each of them.
pub(super) const TYPES: &[(&str, &str, &str)] = &[
    ("Container", "imagePullPolicy", PULL_POLICY),
    ("Container", "terminationMessagePolicy", "string(FallbackToLogsOnError|File)"),
    ("ContainerPort", "containerPort", PORT),
    ("ContainerPort", "hostPort", "int32(0..65535)"),
    ("ContainerPort", "protocol", PROTOCOL),
    ("CronJobSpec", "concurrencyPolicy", "string(Allow|Forbid|Replace)"),
    ("DaemonSetUpdateStrategy", "type", "string(OnDelete|RollingUpdate)"),
    ("DeploymentSpec", "replicas", "int32(0..)"),
    ("DeploymentStrategy", "type", "string(Recreate|RollingUpdate)"),
    ("DiscoveryV1EndpointPort", "protocol", PROTOCOL),
    ("EndpointPort", "port", PORT),
    ("EndpointPort", "protocol", PROTOCOL),
    ("GRPCAction", "port", PORT),
    ("HTTPGetAction", "scheme", "string(HTTP|HTTPS)"),
    ("HTTPIngressPath", "pathType", "string(Exact|ImplementationSpecific|Prefix)"),
    ("JobSpec", "completionMode", "string(Indexed|NonIndexed)"),
    ("LabelSelectorRequirement", "operator", "string(DoesNotExist|Exists|In|NotIn)"),
    ("MutatingWebhook", "failurePolicy", "string(Fail|Ignore)"),
    ("MutatingWebhook", "matchPolicy", "string(Equivalent|Exact)"),
    ("MutatingWebhook", "reinvocationPolicy", "string(IfNeeded|Never)"),
    ("MutatingWebhook", "sideEffects", "string(None|NoneOnDryRun|Some|Unknown)"),
    ("MutatingWebhook", "timeoutSeconds", "int32(1..30)"),
    ("NetworkPolicyPort", "protocol", PROTOCOL),
    ("NetworkPolicySpec", "policyTypes", "[]string(Egress|Ingress)"),
    ("NodeSelectorRequirement", "operator", "string(DoesNotExist|Exists|Gt|In|Lt|NotIn)"),
    ("PersistentVolumeSpec", "persistentVolumeReclaimPolicy", "string(Delete|Recycle|Retain)"),
    ("PodSpec", "dnsPolicy", "string(ClusterFirst|ClusterFirstWithHostNet|Default|None)"),
    ("PodSpec", "preemptionPolicy", "string(Never|PreemptLowerPriority)"),
    ("PodSpec", "restartPolicy", "string(Always|Never|OnFailure)"),
    ("ReplicaSetSpec", "replicas", "int32(0..)"),
    ("ServicePort", "nodePort", "int32(0..65535)"),
    ("ServicePort", "port", PORT),
    ("ServicePort", "protocol", PROTOCOL),
    ("ServiceSpec", "externalTrafficPolicy", "string(Cluster|Local)"),
    ("ServiceSpec", "internalTrafficPolicy", "string(Cluster|Local)"),
    ("ServiceSpec", "ipFamilies", "[]string(IPv4|IPv6)"),
    ("ServiceSpec", "ipFamilyPolicy", "string(PreferDualStack|RequireDualStack|SingleStack)"),
    ("ServiceSpec", "sessionAffinity", "string(ClientIP|None)"),
    ("ServiceSpec", "type", "string(ClusterIP|ExternalName|LoadBalancer|NodePort)"),
    ("StatefulSetSpec", "podManagementPolicy", "string(OrderedReady|Parallel)"),
    ("StatefulSetSpec", "replicas", "int32(0..)"),
    ("StatefulSetUpdateStrategy", "type", "string(OnDelete|RollingUpdate)"),
    ("Toleration", "effect", "string(NoExecute|NoSchedule|PreferNoSchedule)"),
    ("ValidatingWebhook", "failurePolicy", "string(Fail|Ignore)"),
    ("ValidatingWebhook", "matchPolicy", "string(Equivalent|Exact)"),
    ("ValidatingWebhook", "sideEffects", "string(None|NoneOnDryRun|Some|Unknown)"),
    ("ValidatingWebhook", "timeoutSeconds", "int32(1..30)"),
];
