//! Extension configuration discovery from a file, which is how istiod delivers a WasmPlugin, without istiod.
//!
//! Each push replaces the file by an atomic rename inside a folder that Envoy watches.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bootstrap::Plugin;
use crate::envoy::Envoy;
use crate::wait;

/// One discovered filter.
pub struct Ecds {
    dir: TempDir,
    name: String,
    version: u32,
}

impl Ecds {
    /// A source whose first configuration is this plugin.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn new(plugin: &Plugin) -> Self {
        let dir = tempfile::Builder::new().prefix("coalmine-ecds-").tempdir().expect("a scratch folder");
        let mut ecds = Self { dir, name: plugin.resource_name(), version: 0 };
        ecds.push(plugin);
        ecds
    }

    /// The HTTP filter as Istio puts it into a listener.
    pub fn filter(&self) -> Value {
        json!({
            "name": self.name,
            "config_discovery": {
                "config_source": {
                    "path_config_source": {
                        "path": self.dir.path().join("ecds.json"),
                        "watched_directory": { "path": self.dir.path() },
                    },
                    "initial_fetch_timeout": "5s",
                    "resource_api_version": "V3",
                },
                "type_urls": [
                    "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                    "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
                ],
            },
        })
    }

    /// Publishes this plugin's configuration.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn push(&mut self, plugin: &Plugin) {
        self.version += 1;
        let response = json!({
            "version_info": self.version.to_string(),
            "resources": [{
                "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
                "name": self.name,
                "typed_config": plugin.typed_config(),
            }],
        });
        let (new, path) = (self.dir.path().join("ecds.json.new"), self.dir.path().join("ecds.json"));
        fs::write(&new, response.to_string()).expect("the new configuration");
        fs::rename(&new, &path).expect("an atomic rename");
    }

    /// How many updates Envoy took and how many it refused.
    pub fn outcome(&self, envoy: &Envoy) -> Outcome {
        let body = envoy.admin("/stats?filter=extension_config_discovery").body;
        let text = String::from_utf8_lossy(&body).into_owned();
        let count = |suffix: &str| {
            let lines = text.lines().filter_map(|line| line.split_once(": "));
            let values = lines
                .filter(|(name, _)| name.ends_with(suffix))
                .filter_map(|(_, value)| value.parse::<u64>().ok());
            values.sum()
        };
        Outcome { taken: count(".config_reload"), refused: count(".config_fail") }
    }

    /// Waits until Envoy has judged `count` updates.
    ///
    /// # Panics
    /// When it has not after ten seconds.
    pub fn judged(&self, envoy: &Envoy, count: u64) -> Outcome {
        let judged = || Some(self.outcome(envoy)).filter(|outcome| outcome.taken + outcome.refused >= count);
        wait(Duration::from_secs(10), judged).unwrap_or_else(|| {
            let stats = envoy.admin("/stats?filter=extension_config_discovery").body;
            panic!("{count} updates were not judged:\n{}", String::from_utf8_lossy(&stats))
        })
    }
}

/// What became of the updates so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Updates in force.
    pub taken: u64,
    /// Updates Envoy refused (NACK).
    pub refused: u64,
}
