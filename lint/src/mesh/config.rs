//! What the rules assume of the mesh when no MeshConfig says otherwise (`pkg/config/mesh/mesh.go`).

use crate::files::Files;
use crate::resource::{Resource, Spec};
use crate::yaml::{Limits, NodeRef, parse};

/// The parts of Istio's MeshConfig that decide routing and mTLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshConfig {
    /// `rootNamespace`: where mesh-wide policies live.
    pub root_namespace: String,
    /// The cluster's DNS domain.
    pub domain: String,
    /// `enableAutoMtls`: sidecars send mTLS to sidecars unless a DestinationRule says otherwise.
    pub auto_mtls: bool,
    /// `outboundTrafficPolicy.mode` is not `REGISTRY_ONLY`.
    pub allow_any_outbound: bool,
    /// `defaultServiceExportTo`.
    pub default_service_export_to: Vec<String>,
    /// `defaultVirtualServiceExportTo`.
    pub default_virtual_service_export_to: Vec<String>,
    /// `defaultDestinationRuleExportTo`.
    pub default_destination_rule_export_to: Vec<String>,
}

impl Default for MeshConfig {
    fn default() -> Self {
        let public = || vec!["*".to_owned()];
        Self {
            root_namespace: "istio-system".to_owned(),
            domain: "cluster.local".to_owned(),
            auto_mtls: true,
            allow_any_outbound: true,
            default_service_export_to: public(),
            default_virtual_service_export_to: public(),
            default_destination_rule_export_to: public(),
        }
    }
}

impl MeshConfig {
    /// Reads a MeshConfig, or the ConfigMap `istio` that carries one under `mesh`. Fields that are absent
    /// keep their defaults.
    ///
    /// # Errors
    /// When the text is not YAML.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut files = Files::new();
        let id = files.add(name, text);
        let Some(file) = files.get(id) else { return Ok(Self::default()) };
        let (documents, problems) = parse(id, file, Limits::default());
        if let Some(problem) = problems.first() {
            return Err(format!("{name}: {}", problem.message));
        }
        let mut config = Self::default();
        for root in documents.iter().filter_map(|d| d.root()) {
            match root.path(&["data", "mesh"]).and_then(NodeRef::text) {
                Some(mesh) => config = Self::parse(name, mesh)?,
                None => config.read(root),
            }
        }
        Ok(config)
    }

    /// Reads a MeshConfig out of a text that holds more, or the ConfigMap that carries one.
    ///
    /// # Errors
    /// When the text in a ConfigMap is not YAML.
    pub(crate) fn of(name: &str, node: NodeRef<'_>) -> Result<Self, String> {
        if let Some(mesh) = node.path(&["data", "mesh"]).and_then(NodeRef::text) {
            return Self::parse(name, mesh);
        }
        let mut config = Self::default();
        config.read(node);
        Ok(config)
    }

    /// The MeshConfig of a ConfigMap named `istio` (or `istio-REVISION`) among the objects.
    #[must_use]
    pub fn find<'a>(resources: impl IntoIterator<Item = &'a Resource>) -> Option<Self> {
        resources.into_iter().find_map(|resource| {
            let Spec::ConfigMap(data) = &resource.spec else { return None };
            let name = resource.name.as_str();
            if name != "istio" && !name.starts_with("istio-") {
                return None;
            }
            Self::parse(name, data.text("mesh")?).ok()
        })
    }

    fn read(&mut self, node: NodeRef<'_>) {
        let text = |key: &str| node.get(key).and_then(NodeRef::text).map(str::to_owned);
        let list = |key: &str| -> Option<Vec<String>> {
            let list = node.get(key)?;
            Some(list.items().filter_map(|item| item.text().map(str::to_owned)).collect())
        };
        if let Some(namespace) = text("rootNamespace") {
            self.root_namespace = namespace;
        }
        if let Some(auto) = text("enableAutoMtls") {
            self.auto_mtls = auto != "false";
        }
        if let Some(mode) = node.path(&["outboundTrafficPolicy", "mode"]).and_then(NodeRef::text) {
            self.allow_any_outbound = mode != "REGISTRY_ONLY";
        }
        let exports = [
            ("defaultServiceExportTo", &mut self.default_service_export_to),
            ("defaultVirtualServiceExportTo", &mut self.default_virtual_service_export_to),
            ("defaultDestinationRuleExportTo", &mut self.default_destination_rule_export_to),
        ];
        for (key, field) in exports {
            if let Some(namespaces) = list(key).filter(|list| !list.is_empty()) {
                *field = namespaces;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_fields_keep_istios_defaults() {
        let config = MeshConfig::parse("mesh.yaml", "enableAutoMtls: false\n").unwrap();
        assert!(!config.auto_mtls);
        assert_eq!(config.root_namespace, "istio-system");
        assert!(config.allow_any_outbound);
    }

    #[test]
    fn the_config_map_istio_is_read() {
        let text = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: istio}\ndata:\n  mesh: |-\n    \
                    rootNamespace: mesh-root\n    outboundTrafficPolicy:\n      mode: REGISTRY_ONLY\n";
        let config = MeshConfig::parse("cm.yaml", text).unwrap();
        assert_eq!(config.root_namespace, "mesh-root");
        assert!(!config.allow_any_outbound);
    }

    #[test]
    fn text_that_is_not_yaml_is_an_error_that_names_the_file() {
        assert!(MeshConfig::parse("mesh.yaml", "a: [").unwrap_err().starts_with("mesh.yaml: "));
    }
}
