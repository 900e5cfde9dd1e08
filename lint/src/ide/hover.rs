//! What a name resolves to, in Markdown; and the pages of rules.

use std::fmt::Write as _;

use super::locate::{Name, Place, token};
use super::{View, view};
use crate::incremental::Incremental;
use crate::mesh::destinations::Client;
use crate::mesh::gateways::Gateway;
use crate::mesh::registry::{Host, Origin};
use crate::mesh::workloads::Workload;
use crate::resource::Resource;
use crate::rule::Rule;
use crate::rules;
use crate::schema::{self, Field, Lookup, Type};
use crate::span::{FileId, Span};

/// A text about a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hover {
    /// What it is about.
    pub span: Span,
    /// Markdown.
    pub text: String,
}

/// What the name at an offset resolves to; for a key, what the field holds; for a rule in a comment, its page.
#[must_use]
pub fn hover(deployment: &Incremental, file: FileId, offset: u32) -> Option<Hover> {
    let text = deployment.files().text(file);
    if let Some((rule, start, end)) = rule_at(text, offset) {
        let line = text.get(..start as usize).unwrap_or("").rsplit('\n').next().unwrap_or("");
        if line.contains("coalmine:") {
            return Some(Hover { span: Span::new(file, start, end), text: rule_page(rule) });
        }
    }
    view(deployment, Span::new(file, offset, offset), |view| {
        let input = view.input;
        let place = Place::at(&input.documents, &input.resources, file, offset)?;
        let span = place.node()?.span();
        let resolved =
            token(&place, &view.mesh.config.domain).map(|token| view.describe(&token.name, token.resource));
        let text = match resolved {
            Some(text) => text,
            None if place.is_key => field(&place)?,
            None => return None,
        };
        Some(Hover { span, text })
    })
}

/// The rule whose id stands at an offset, with its first byte and the one past its last.
#[must_use]
pub fn rule_at(text: &str, offset: u32) -> Option<(&'static Rule, u32, u32)> {
    let (before, after) = (text.get(..offset as usize)?, text.get(offset as usize..)?);
    let is_id = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let start = before.trim_end_matches(is_id).len();
    let end = before.len() + (after.len() - after.trim_start_matches(is_id).len());
    let rule = rules::find(text.get(start..end)?)?;
    Some((rule, u32::try_from(start).ok()?, u32::try_from(end).ok()?))
}

/// A rule's page, shortened to what helps where a finding is shown.
#[must_use]
pub fn rule_page(rule: &Rule) -> String {
    let mut page =
        format!("**{}** ({})\n\n{}\n", rule.id, rule.severity.as_str(), rule.section("What it does"));
    let why = rule.section("Why it matters");
    let _ = write!(page, "\n{why}\n");
    if let Some(instead) = rule.example("Use instead") {
        let _ = write!(page, "\nUse instead:\n```yaml\n{instead}```\n");
    }
    let _ = write!(page, "\n[{}]({})\n", rule.id, rule.url());
    page
}

impl<'a> View<'a> {
    fn describe(&self, name: &Name, resource: &Resource) -> String {
        let client = resource.namespace();
        match name {
            Name::Host(host) => self.describe_host(host, client),
            Name::Subset { host, name } => self.describe_subset(host, name, client),
            Name::Port { host, number } => self.describe_port(host, *number, client),
            Name::Gateway { namespace, name } => match self.mesh.gateways.get(namespace, name) {
                Some(gateway) => self.describe_gateway(gateway),
                None => format!("Gateway `{namespace}/{name}` is not in the workspace"),
            },
            Name::Pods { labels, namespace } => {
                let place =
                    namespace.as_deref().map_or_else(String::new, |ns| format!(" of namespace `{ns}`"));
                let pods = self.pods(labels, namespace.as_deref());
                let pairs: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
                format!("`{}` selects in the workspace{place}:\n{}", pairs.join(","), list_pods(&pods))
            }
            Name::Workload { namespace, name } => {
                let found = self.mesh.workloads.iter().map(|(_, workload)| workload).find(|workload| {
                    workload.resource.namespace() == namespace && workload.resource.name.value == *name
                });
                match found {
                    Some(workload) => self.describe_workload(workload),
                    None => format!("workload `{namespace}/{name}` is not in the workspace"),
                }
            }
        }
    }

    fn describe_host(&self, name: &str, client: &str) -> String {
        let hosts = self.hosts(name, client);
        if hosts.is_empty() {
            return format!("`{name}`: no Service or ServiceEntry of the workspace has this host");
        }
        let mut text = String::new();
        for host in hosts {
            let kind = match host.origin {
                Origin::Service(_) => "Service",
                Origin::ServiceEntry(_) => "ServiceEntry",
            };
            let _ = write!(
                text,
                "`{}`: {kind} `{}/{}`\n\n",
                host.name,
                host.namespace(),
                host.resource.name.value
            );
            if !host.ports.is_empty() {
                let _ = writeln!(text, "- ports {}", host.describe_ports());
            }
            if host.selects_pods() {
                text.push_str(&list_pods(&self.workloads_of(host)));
            }
            let view = Client { namespace: Some(client), labels: None };
            if let Some(rules) = self.mesh.destination(view, &host.name) {
                for rule in rules.rules() {
                    let subsets: Vec<&str> =
                        rule.spec.subsets.iter().map(|subset| subset.name.text()).collect();
                    let has = if subsets.is_empty() {
                        "no subsets".to_owned()
                    } else {
                        format!("subsets {}", subsets.join(", "))
                    };
                    let _ = writeln!(
                        text,
                        "- DestinationRule `{}/{}`: {has}",
                        rule.namespace(),
                        rule.resource.name.value
                    );
                }
            }
            if let Some(service) = self.mesh.routes.for_mesh_host(client, &host.name) {
                let _ = writeln!(
                    text,
                    "- routed by VirtualService `{}/{}`",
                    service.namespace(),
                    service.resource.name.value
                );
            }
        }
        text
    }

    fn describe_subset(&self, host: &str, name: &str, client: &str) -> String {
        let found = self.subsets(host, name, client);
        if found.is_empty() {
            return format!("no DestinationRule of the workspace gives `{host}` a subset `{name}`");
        }
        let mut text = String::new();
        for (rule, subset) in found {
            let _ = write!(
                text,
                "subset `{name}` of `{host}`: DestinationRule `{}/{}`, labels `{}`\n\n",
                rule.namespace(),
                rule.resource.name.value,
                subset.labels.describe()
            );
        }
        let ids = self.subset_pods(host, name);
        let pods: Vec<&Workload<'a>> = ids.iter().filter_map(|id| self.mesh.workloads.get(*id)).collect();
        text.push_str(&list_pods(&pods));
        text
    }

    fn describe_port(&self, host: &str, number: u32, client: &str) -> String {
        let hosts = self.hosts(host, client);
        let Some((host, port)) = hosts.iter().find_map(|host| Some((host, host.port(number)?))) else {
            let ports: Vec<String> = hosts.iter().map(|host| host.describe_ports()).collect();
            let has = if ports.is_empty() { String::new() } else { format!(": it has {}", ports.join(", ")) };
            return format!("`{host}` has no port {number} in the workspace{has}");
        };
        let name = port.name.map_or_else(String::new, |name| format!(" `{}`", name.value));
        let mut text = format!(
            "port {number}{name} of `{}`: {}, target port {}\n\n",
            host.name,
            port.protocol.as_str(),
            port.target_text()
        );
        for workload in self.workloads_of(host) {
            let at = port.on_workload(workload).map_or("nowhere".to_owned(), |port| port.to_string());
            let _ = writeln!(text, "- {} answers at {at}", workload.resource.describe());
        }
        text
    }

    fn describe_gateway(&self, gateway: &Gateway<'a>) -> String {
        let mut text = format!("Gateway `{}`\n\n", gateway.full_name());
        for server in &gateway.spec.servers {
            let port = server.port.get();
            let number = port.and_then(|port| port.number.get()).map_or_else(String::new, u32::to_string);
            let hosts: Vec<&str> = server.hosts.iter().map(|host| host.as_str()).collect();
            let protocol = port.map_or("", |port| port.protocol.text());
            let _ = writeln!(text, "- {number} {protocol}: {}", hosts.join(", "));
        }
        let pods: Vec<&Workload<'a>> =
            gateway.workloads.iter().filter_map(|id| self.mesh.workloads.get(*id)).collect();
        text.push_str(&list_pods(&pods));
        text
    }

    fn describe_workload(&self, workload: &Workload<'a>) -> String {
        let mut text =
            format!("{}, labels `{}`\n\n", workload.resource.describe(), workload.labels.describe());
        for host in self.mesh.registry.in_namespace(workload.namespace()) {
            let behind = self.workloads_of(host);
            if behind.iter().any(|other| std::ptr::eq(other.resource, workload.resource)) {
                let _ = writeln!(text, "- behind `{}`", host.name);
            }
        }
        text
    }

    fn workloads_of(&self, host: &Host<'a>) -> Vec<&Workload<'a>> {
        host.workloads.iter().filter_map(|id| self.mesh.workloads.get(*id)).collect()
    }
}

fn list_pods(pods: &[&Workload<'_>]) -> String {
    if pods.is_empty() {
        return "- no pods in the workspace\n".to_owned();
    }
    let line = |workload: &&Workload<'_>| {
        let version =
            workload.version().map_or_else(String::new, |version| format!(", version {}", version.value));
        format!("- {}{version}\n", workload.resource.describe())
    };
    pods.iter().map(line).collect()
}

/// What the tables say about a field.
fn field(place: &Place<'_>) -> Option<String> {
    let (last, way) = place.path.split_last()?;
    let found = field_at(place.resource, way, last)?;
    let mut text = format!("`{}`: {}", found.name, kind(&found.ty));
    if found.required {
        text.push_str(", required");
    }
    if found.deprecated {
        text.push_str(", deprecated");
    }
    Some(text)
}

/// The type that a path leads to.
pub(super) fn type_at(resource: &Resource, way: &[String]) -> Option<Type> {
    let Lookup::Known(object) = schema::lookup(&resource.api_version.value, &resource.kind.value) else {
        return None;
    };
    let mut ty = Type::Object(object);
    for step in way {
        ty = match (ty, step.as_str()) {
            (Type::List(item), "[]") => *item,
            (Type::Map(value), _) => *value,
            (Type::Object(object), name) => object.field(name)?.ty.clone(),
            _ => return None,
        };
    }
    Some(ty)
}

fn field_at(resource: &Resource, way: &[String], name: &str) -> Option<&'static Field> {
    match type_at(resource, way)? {
        Type::Object(object) => object.field(name),
        _ => None,
    }
}

pub(super) fn kind(ty: &Type) -> String {
    match ty {
        Type::String { values } if values.is_empty() => "string".to_owned(),
        Type::String { values } => format!("one of {}", values.join(", ")),
        Type::Integer { .. } => "integer".to_owned(),
        Type::Number { .. } => "number".to_owned(),
        Type::Boolean => "true or false".to_owned(),
        Type::IntOrString => "integer or string".to_owned(),
        Type::Quantity => "quantity".to_owned(),
        Type::Duration => "duration".to_owned(),
        Type::Timestamp => "time".to_owned(),
        Type::Object(_) => "object".to_owned(),
        Type::Map(value) => format!("map of {}", kind(value)),
        Type::List(item) => format!("list of {}", kind(item)),
        Type::Any => "anything".to_owned(),
    }
}
