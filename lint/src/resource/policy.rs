//! `security.istio.io`, `telemetry.istio.io`, `extensions.istio.io` and what they replaced.
#![allow(missing_docs)]

use serde::Deserialize;

use super::field::{List, Map, Opt, Present};
use super::networking::{Labels, MatchLabels};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PeerAuthentication {
    pub selector: Opt<MatchLabels>,
    pub mtls: Opt<MutualTls>,
    /// Keyed by the workload's own port, not the Service's.
    pub port_level_mtls: Map<MutualTls>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MutualTls {
    pub mode: Opt<String>,
}

/// AuthorizationPolicy, RequestAuthentication and Telemetry, as far as which workloads they apply to.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SelectorPolicy {
    pub selector: Opt<MatchLabels>,
    pub target_ref: Opt<Present>,
    pub target_refs: List<Present>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WasmPlugin {
    pub selector: Opt<MatchLabels>,
    pub target_ref: Opt<Present>,
    pub target_refs: List<Present>,
    pub url: Opt<String>,
    pub sha256: Opt<String>,
    pub phase: Opt<String>,
    pub priority: Opt<i64>,
    pub fail_strategy: Opt<String>,
    pub plugin_name: Opt<String>,
    /// As Istio hands it to the module.
    pub plugin_config: Opt<serde_json::Value>,
    pub vm_config: Opt<VmConfig>,
    pub r#match: List<TrafficSelector>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VmConfig {
    pub env: List<EnvVar>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EnvVar {
    pub name: Opt<String>,
    pub value_from: Opt<String>,
    pub value: Opt<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TrafficSelector {
    pub mode: Opt<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EnvoyFilter {
    pub workload_selector: Opt<Labels>,
    pub target_refs: List<Present>,
}

/// `authentication.istio.io/v1alpha1` Policy and MeshPolicy, removed in Istio 1.6.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AuthenticationPolicy {
    pub targets: List<PolicyTarget>,
    pub peers: List<PeerMethod>,
    pub origins: List<Present>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PolicyTarget {
    pub name: Opt<String>,
    pub ports: List<Present>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PeerMethod {
    pub mtls: Opt<MutualTls>,
    pub jwt: Opt<Present>,
}
