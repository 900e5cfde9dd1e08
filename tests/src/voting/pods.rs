//! What the manifests say of a workload's pods, as far as the application needs it: image, environment with its
//! Secrets, replicas, and what makes a pod ready. Reads the objects' YAML.

use coalmine::mesh::Mesh;
use coalmine::mesh::workloads::Workload;
use coalmine::yaml::{Document, from_node};
use serde_json::Value;

use super::container::Env;
use super::storage::Failure;

/// A pod template, its environment resolved.
#[derive(PartialEq)]
pub(super) struct Template {
    pub image: String,
    pub env: Env,
    pub replicas: usize,
    /// The path that must answer 200 before a pod is ready; `None` when a connection is enough.
    pub ready_path: Option<String>,
}

impl Template {
    /// Reads the first container of a workload.
    ///
    /// # Errors
    /// When the manifests refer to something that is not there, as which Kubernetes would not start the pod.
    pub fn read(workload: &Workload<'_>, mesh: &Mesh<'_>, documents: &[Document]) -> Result<Self, Failure> {
        let node = workload.resource.node(documents).ok_or("the object has no text")?;
        let object: Value = from_node(node).map_err(|_| "the object does not read as JSON")?;
        let container = &object["spec"]["template"]["spec"]["containers"][0];
        let mut env = Env::new();
        for variable in container["env"].as_array().into_iter().flatten() {
            let name = variable["name"].as_str().unwrap_or_default();
            let reference = &variable["valueFrom"]["secretKeyRef"];
            let value = match reference.is_object() {
                true => secret(reference, workload.namespace(), mesh, documents)?,
                false => variable["value"].as_str().unwrap_or_default().to_owned(),
            };
            env.insert(name.to_owned(), value);
        }
        let replicas = object["spec"]["replicas"].as_u64().unwrap_or(1);
        let probe = &container["readinessProbe"]["httpGet"]["path"];
        Ok(Self {
            image: container["image"].as_str().unwrap_or_default().to_owned(),
            env,
            replicas: usize::try_from(replicas)?,
            ready_path: probe.as_str().map(str::to_owned),
        })
    }
}

fn secret(
    reference: &Value,
    namespace: &str,
    mesh: &Mesh<'_>,
    documents: &[Document],
) -> Result<String, Failure> {
    let (name, key) = (reference["name"].as_str().unwrap_or_default(), &reference["key"]);
    let secrets = mesh.resources().iter().filter(|resource| resource.kind.value == "Secret");
    let own = secrets.filter(|secret| secret.namespace() == namespace && secret.name.value == name);
    let data = own.filter_map(|secret| from_node::<Value>(secret.node(documents)?).ok());
    let mut values = data.filter_map(|object| {
        Some(object["stringData"].get(key.as_str().unwrap_or_default())?.as_str()?.to_owned())
    });
    values.next_back().ok_or_else(|| format!("Secret `{name}` has no {key}").into())
}
