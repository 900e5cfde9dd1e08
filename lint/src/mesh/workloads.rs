//! Virtual pods, derived from every pod template of the input.

use rustc_hash::FxHashMap;

use crate::resource::core::{Container, ContainerPort, PodTemplate};
use crate::resource::field::Map;
use crate::resource::{Resource, Spec};
use crate::span::Spanned;

/// Index of a workload in [`Workloads`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct WorkloadId(usize);

/// What handles a pod's traffic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proxy {
    /// Envoy beside the application, or the pod is a gateway.
    Sidecar,
    /// ztunnel on the node.
    Ambient,
    /// Nothing: plaintext in both directions.
    None,
    /// The namespace's labels are not in the input.
    Unknown,
}

/// The pods one object makes.
#[derive(Debug)]
pub struct Workload<'a> {
    /// Deployment, StatefulSet, Pod, WorkloadEntry …
    pub resource: &'a Resource,
    /// The template the pods are made from.
    pub template: &'a PodTemplate,
    /// The pods' labels.
    pub labels: &'a Map<String>,
    /// What handles their traffic.
    pub proxy: Proxy,
}

/// Labels that tell versions of one workload apart, the one that counts first.
pub const VERSION_LABELS: [&str; 2] = ["version", "app.kubernetes.io/version"];

static NO_LABELS: Map<String> = Map(Vec::new());

impl<'a> Workload<'a> {
    /// The namespace of the pods.
    #[must_use]
    pub fn namespace(&self) -> &'a str {
        self.resource.namespace()
    }

    /// The `version` label, or `app.kubernetes.io/version`.
    #[must_use]
    pub fn version(&self) -> Option<&'a Spanned<String>> {
        VERSION_LABELS.iter().find_map(|key| self.labels.find(key))
    }

    /// Whether Istio injects a gateway in place of a sidecar (annotation `inject.istio.io/templates`).
    #[must_use]
    pub fn has_gateway_template(&self) -> bool {
        let annotations = self.template.metadata.get().map(|metadata| &metadata.annotations);
        annotations.and_then(|own| own.text("inject.istio.io/templates")) == Some("gateway")
    }

    /// The application's containers.
    pub fn containers(&self) -> impl Iterator<Item = &'a Spanned<Container>> + use<'a> {
        self.template.spec.get().into_iter().flat_map(|spec| spec.containers.iter())
    }

    /// Every declared container port.
    pub fn container_ports(&self) -> impl Iterator<Item = &'a Spanned<ContainerPort>> + use<'a> {
        self.containers().flat_map(|container| container.ports.iter())
    }

    /// The declared container port behind a Service's `targetPort`: a number, or a container port's name.
    #[must_use]
    pub fn container_port(&self, target: &str) -> Option<&'a Spanned<ContainerPort>> {
        let number: Option<u32> = target.parse().ok();
        self.container_ports().find(|port| match number {
            Some(number) => port.container_port.get() == Some(&number),
            None => port.name.text() == target,
        })
    }

    /// What handles the traffic to one port: a pod can keep ports away from its sidecar by annotation.
    #[must_use]
    pub fn proxy_on(&self, port: u32) -> Proxy {
        let Some(annotations) = self.template.metadata.get().map(|metadata| &metadata.annotations) else {
            return self.proxy;
        };
        let lists = |list: &str| list.split(',').any(|item| item.trim().parse() == Ok(port));
        let excluded = annotations.text("traffic.sidecar.istio.io/excludeInboundPorts").is_some_and(lists);
        let left_out = annotations
            .text("traffic.sidecar.istio.io/includeInboundPorts")
            .is_some_and(|list| list.trim() != "*" && !lists(list));
        let has_envoy = matches!(self.proxy, Proxy::Sidecar | Proxy::Unknown);
        if has_envoy && (excluded || left_out) { Proxy::None } else { self.proxy }
    }

    /// Whether the pods declare any port. Declaring is optional in Kubernetes: when none is declared,
    /// nothing can be said about what they listen on.
    #[must_use]
    pub fn declares_ports(&self) -> bool {
        self.container_ports().next().is_some()
    }
}

/// All workloads, found by namespace or label without a scan of the whole mesh.
#[derive(Debug, Default)]
pub struct Workloads<'a> {
    list: Vec<Workload<'a>>,
    by_namespace: FxHashMap<&'a str, Vec<WorkloadId>>,
    by_label: FxHashMap<(&'a str, &'a str), Vec<WorkloadId>>,
    /// One workload for each value of a label's key.
    by_key: FxHashMap<&'a str, Vec<WorkloadId>>,
}

impl<'a> Workloads<'a> {
    pub(super) fn new(
        resources: &[&'a Resource],
        namespace_labels: impl Fn(&str) -> Option<&'a Map<String>>,
    ) -> Self {
        let mut workloads = Self::default();
        for resource in resources.iter().copied() {
            let Spec::Workload(template) = &resource.spec else { continue };
            let labels = template.metadata.get().map_or(&NO_LABELS, |metadata| &metadata.labels);
            let proxy = proxy(resource, template, labels, namespace_labels(resource.namespace()));
            let id = WorkloadId(workloads.list.len());
            workloads.by_namespace.entry(resource.namespace()).or_default().push(id);
            for (key, value) in labels {
                let alike = workloads.by_label.entry((key.as_str(), value.as_str())).or_default();
                if alike.is_empty() {
                    workloads.by_key.entry(key.as_str()).or_default().push(id);
                }
                alike.push(id);
            }
            workloads.list.push(Workload { resource, template, labels, proxy });
        }
        workloads
    }

    /// The workload with an id of this set.
    #[must_use]
    pub fn get(&self, id: WorkloadId) -> Option<&Workload<'a>> {
        self.list.get(id.0)
    }

    /// All workloads.
    pub fn iter(&self) -> impl Iterator<Item = (WorkloadId, &Workload<'a>)> {
        self.list.iter().enumerate().map(|(i, workload)| (WorkloadId(i), workload))
    }

    /// The workloads of a namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> &[WorkloadId] {
        self.by_namespace.get(namespace).map_or(&[], Vec::as_slice)
    }

    /// The workloads that carry one label.
    #[must_use]
    pub fn with_label<'m>(&'m self, key: &'m str, value: &'m str) -> &'m [WorkloadId] {
        self.by_label.get(&(key, value)).map_or(&[], Vec::as_slice)
    }

    /// One workload for each value that a label has anywhere.
    #[must_use]
    pub fn with_key<'m>(&'m self, key: &'m str) -> &'m [WorkloadId] {
        self.by_key.get(key).map_or(&[], Vec::as_slice)
    }

    /// The workloads whose labels carry every pair of a selector, in one namespace or in all.
    /// An empty selector selects all of them.
    #[must_use]
    pub fn select(&self, selector: &Map<String>, namespace: Option<&str>) -> Vec<WorkloadId> {
        let in_scope = |id: &WorkloadId| {
            self.get(*id).is_some_and(|workload| {
                namespace.is_none_or(|ns| workload.namespace() == ns) && selector.selects(workload.labels)
            })
        };
        let rarest = selector
            .iter()
            .map(|(k, v)| self.by_label.get(&(k.as_str(), v.as_str())).map_or(&[][..], Vec::as_slice))
            .min_by_key(|ids| ids.len());
        let local = namespace.map(|namespace| self.in_namespace(namespace));
        match (rarest, local) {
            // One label can be on pods of every namespace, and one namespace can have pods of every label.
            (Some(ids), Some(local)) if local.len() < ids.len() => {
                local.iter().copied().filter(in_scope).collect()
            }
            (Some(ids), _) => ids.iter().copied().filter(in_scope).collect(),
            (None, Some(local)) => local.to_vec(),
            (None, None) => self.iter().map(|(id, _)| id).collect(),
        }
    }
}

/// The ports that the pods' own containers declare: not those of a proxy, which listens where it is told to.
pub fn declared_ports<'a>(
    workload: &Workload<'a>,
) -> impl Iterator<Item = &'a Spanned<ContainerPort>> + use<'a> {
    let spec = workload.template.spec.get().into_iter();
    spec.flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter()))
        .filter(|container| container.name.text() != "istio-proxy")
        .flat_map(|container| container.ports.iter())
}

/// Whether the pods may serve a Service's `targetPort`. A name must be one of their ports'; a number need not
/// be declared if none is. Nothing is known of virtual machines and of the ports that the proxy adds.
#[must_use]
pub fn may_listen(workload: &Workload<'_>, target: &str) -> bool {
    let by_proxy = matches!(target.parse(), Ok(15000..=15099u32)) || target == "http-envoy-prom";
    if by_proxy || workload.resource.group() == "networking.istio.io" {
        return true;
    }
    match target.parse::<u32>() {
        Ok(number) => {
            let mut declared = declared_ports(workload).peekable();
            declared.peek().is_none() || declared.any(|port| port.container_port.get() == Some(&number))
        }
        Err(_) => {
            let is_named = |port: &Spanned<ContainerPort>| port.name.text() == target;
            declared_ports(workload).any(is_named) || workload.container_port(target).is_some()
        }
    }
}

/// Whether Istio, Kubernetes or a controller puts a label on endpoints and pods as they start
/// (`AugmentLabels`, the injector, the owners of the pods): no template says what it will be.
#[must_use]
pub fn is_set_at_run_time(label: &str) -> bool {
    ["topology.kubernetes.io/", "topology.istio.io/"].iter().any(|prefix| label.starts_with(prefix))
        || matches!(
            label,
            "kubernetes.io/hostname"
                | "istio.io/rev"
                | "security.istio.io/tlsMode"
                | "service.istio.io/canonical-name"
                | "service.istio.io/canonical-revision"
                | "pod-template-hash"
                | "rollouts-pod-template-hash"
                | "controller-revision-hash"
                | "statefulset.kubernetes.io/pod-name"
                | "apps.kubernetes.io/pod-index"
        )
}

/// Who handles the pods' traffic, by the rules of Istio's injector: the pod's `sidecar.istio.io/inject`
/// (label before annotation) beats the namespace's `istio-injection`, which beats `istio.io/rev`.
fn proxy(
    resource: &Resource,
    template: &PodTemplate,
    labels: &Map<String>,
    namespace: Option<&Map<String>>,
) -> Proxy {
    let spec = template.spec.get();
    let has_proxy_container = spec.is_some_and(|spec| {
        spec.containers.iter().chain(spec.init_containers.iter()).any(|c| c.name.text() == "istio-proxy")
    });
    if has_proxy_container {
        return Proxy::Sidecar;
    }
    if resource.group() == "networking.istio.io" {
        // A VM joins the mesh with a proxy only if it was set up so.
        return Proxy::Unknown;
    }
    if spec.is_some_and(|spec| spec.host_network.get() == Some(&true)) {
        return Proxy::None;
    }
    let annotations = template.metadata.get().map(|metadata| &metadata.annotations);
    let own = labels
        .text("sidecar.istio.io/inject")
        .or_else(|| annotations.and_then(|a| a.text("sidecar.istio.io/inject")));
    match own {
        Some("false") => return ambient_or(labels, namespace, Proxy::None),
        Some("true") => return Proxy::Sidecar,
        _ => {}
    }
    let Some(namespace) = namespace else { return Proxy::Unknown };
    match (namespace.text("istio-injection"), namespace.text("istio.io/rev"), labels.text("istio.io/rev")) {
        (Some("enabled"), ..) => Proxy::Sidecar,
        (Some("disabled"), ..) => ambient_or(labels, Some(namespace), Proxy::None),
        (None, Some(_), _) | (None, None, Some(_)) => Proxy::Sidecar,
        _ => ambient_or(labels, Some(namespace), Proxy::None),
    }
}

fn ambient_or(labels: &Map<String>, namespace: Option<&Map<String>>, otherwise: Proxy) -> Proxy {
    let mode = |labels: &Map<String>| labels.text("istio.io/dataplane-mode").map(|mode| mode == "ambient");
    match mode(labels).or_else(|| namespace.and_then(mode)) {
        Some(true) => Proxy::Ambient,
        _ => otherwise,
    }
}
