//! One case: a small deployment and the requests to ask about. A fixture is the same as text.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A deployment and requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Kubernetes objects.
    pub objects: Vec<Value>,
    /// What is asked.
    pub asks: Vec<Ask>,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ask {
    /// `gateway/<namespace>/<name>` or `deployment/<namespace>/<name>`.
    pub from: String,
    /// Bytes instead of HTTP.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tcp: bool,
    /// The host that a pod dials, fully qualified; empty at a gateway.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub dial: String,
    /// The port.
    pub port: u32,
    /// The `Host` header.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// The method.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// Path and query.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Headers in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// What must come of it, in a fixture: every outcome, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<String>,
}

/// The document of a fixture that is no object.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Requests {
    requests: Vec<Ask>,
}

impl Case {
    /// The objects as YAML, as a user would write them.
    pub fn manifests(&self) -> String {
        self.objects.iter().map(|object| format!("---{}\n", yaml(object, 0))).collect()
    }

    /// The whole case as a fixture.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn to_fixture(&self) -> String {
        let requests = Requests { requests: self.asks.clone() };
        let requests = serde_json::to_value(&requests).expect("requests as JSON");
        format!("{}---{}\n", self.manifests(), yaml(&requests, 0))
    }

    /// Reads a fixture.
    ///
    /// # Panics
    /// When the text is none.
    pub fn from_fixture(text: &str) -> Self {
        let mut case = Self { objects: Vec::new(), asks: Vec::new() };
        for document in serde_yaml::Deserializer::from_str(text) {
            let value = Value::deserialize(document).expect("YAML");
            if value.get("requests").is_some() {
                let requests: Requests = serde_json::from_value(value).expect("requests");
                case.asks.extend(requests.requests);
            } else if !value.is_null() {
                case.objects.push(value);
            }
        }
        assert!(!case.asks.is_empty(), "a fixture without requests");
        case
    }
}

impl Ask {
    /// `kind`, namespace and name of who asks.
    pub fn source(&self) -> (&str, &str, &str) {
        let mut parts = self.from.splitn(3, '/');
        let mut next = || parts.next().unwrap_or_default();
        (next(), next(), next())
    }
}

/// Block style; begins with a line's end or a space. Text that Kubernetes might read as something else is quoted,
/// which writers of YAML 1.2 do not do for `on`.
fn yaml(value: &Value, depth: usize) -> String {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) if !fields.is_empty() => fields
            .iter()
            .map(|(key, field)| {
                format!("\n{indent}{}:{}", scalar(&Value::String(key.clone())), yaml(field, depth + 1))
            })
            .collect(),
        Value::Array(items) if !items.is_empty() => {
            let item = |item: &Value| {
                let text = yaml(item, depth + 1);
                let nested = format!("\n{indent}  ");
                format!("\n{indent}- {}", text.strip_prefix(&nested).unwrap_or(text.trim_start()))
            };
            items.iter().map(item).collect()
        }
        Value::Object(_) => " {}".to_owned(),
        Value::Array(_) => " []".to_owned(),
        other => format!(" {}", scalar(other)),
    }
}

fn scalar(value: &Value) -> String {
    let Value::String(text) = value else { return value.to_string() };
    let plain = text.len() > 3
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-./_".contains(c))
        && !matches!(text.to_ascii_lowercase().as_str(), "true" | "false" | "null");
    let key = matches!(text.as_str(), "uri" | "tls" | "tcp" | "app" | "set" | "add");
    if plain || key { text.clone() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixtures_are_read_as_they_are_written() {
        let case = super::super::generate::case(7);
        assert_eq!(Case::from_fixture(&case.to_fixture()), case);
        assert!(
            case.manifests()
                .starts_with("---\napiVersion: \"v1\"\nkind: Namespace\nmetadata:\n  name: shop\n")
        );
    }
}
