//! Kubernetes' own kinds: what a mesh is made of before Istio routes it.
#![allow(missing_docs)]

use serde::Deserialize;

use super::field::{List, Map, Opt};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Service {
    pub r#type: Opt<String>,
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Opt<String>,
    pub external_name: Opt<String>,
    pub selector: Map<String>,
    pub ports: List<ServicePort>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServicePort {
    pub name: Opt<String>,
    pub port: Opt<u32>,
    /// A number, or the name of a container port.
    pub target_port: Opt<String>,
    pub protocol: Opt<String>,
    pub app_protocol: Opt<String>,
}

/// `spec` of every kind that makes pods from a template.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TemplateOwner {
    pub replicas: Opt<i64>,
    pub template: Opt<PodTemplate>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CronJob {
    pub job_template: Opt<JobTemplate>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct JobTemplate {
    pub spec: Opt<TemplateOwner>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodTemplate {
    pub metadata: Opt<PodMetadata>,
    pub spec: Opt<PodSpec>,
    /// Of the object that makes the pods.
    #[serde(skip)]
    pub replicas: Opt<i64>,
    /// `ports` of a WorkloadEntry: where it answers for a port of this name.
    #[serde(skip)]
    pub entry_ports: Map<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodMetadata {
    pub labels: Map<String>,
    pub annotations: Map<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec {
    pub containers: List<Container>,
    pub init_containers: List<Container>,
    pub service_account_name: Opt<String>,
    pub host_network: Opt<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Container {
    pub name: Opt<String>,
    pub image: Opt<String>,
    pub ports: List<ContainerPort>,
    pub env: List<EnvVar>,
    pub env_from: List<EnvFrom>,
    pub command: List<String>,
    pub args: List<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EnvVar {
    pub name: Opt<String>,
    pub value: Opt<String>,
    pub value_from: Opt<EnvSource>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EnvSource {
    pub config_map_key_ref: Opt<KeyRef>,
    pub secret_key_ref: Opt<KeyRef>,
}

/// A ConfigMap's or Secret's name, and a key in it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct KeyRef {
    pub name: Opt<String>,
    pub key: Opt<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EnvFrom {
    pub config_map_ref: Opt<KeyRef>,
    pub secret_ref: Opt<KeyRef>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContainerPort {
    pub name: Opt<String>,
    pub container_port: Opt<u32>,
    pub protocol: Opt<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HorizontalPodAutoscaler {
    pub scale_target_ref: Opt<ScaleTarget>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ScaleTarget {
    pub api_version: Opt<String>,
    pub kind: Opt<String>,
    pub name: Opt<String>,
}
