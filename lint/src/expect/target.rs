//! Where a request may be expected to end: tests on an outcome and its pods. Knows nothing of requests.

use crate::diagnostic::ResourceName;
use crate::linter::Input;
use crate::mesh::mtls::Sent;
use crate::mesh::security::Mode;
use crate::mesh::workloads::VERSION_LABELS;
use crate::resource::Spec;
use crate::route::{Endpoint, Outcome, Server};
use crate::rule::did_you_mean;
use crate::span::Spanned;

/// The parts of an outcome that can be asked for, with the names they have in a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Field {
    Workload,
    Version,
    Subset,
    Host,
    Port,
    Mtls,
    Path,
    Authority,
    Method,
    Header(String),
}

impl Field {
    /// The keys of a target; `headers` holds several fields.
    pub(super) const KEYS: [&'static str; 10] =
        ["workload", "version", "subset", "host", "port", "mtls", "path", "authority", "method", "headers"];

    pub(super) fn of_key(key: &str) -> Option<Self> {
        Some(match key {
            "workload" => Self::Workload,
            "version" => Self::Version,
            "subset" => Self::Subset,
            "host" => Self::Host,
            "port" => Self::Port,
            "mtls" => Self::Mtls,
            "path" => Self::Path,
            "authority" => Self::Authority,
            "method" => Self::Method,
            _ => return None,
        })
    }

    fn name(&self) -> String {
        match self {
            Self::Workload => "workload".into(),
            Self::Version => "version".into(),
            Self::Subset => "subset".into(),
            Self::Host => "host".into(),
            Self::Port => "port".into(),
            Self::Mtls => "mtls".into(),
            Self::Path => "path".into(),
            Self::Authority => "authority".into(),
            Self::Method => "method".into(),
            Self::Header(name) => format!("header {name}"),
        }
    }

    /// Whether each pod has its own answer.
    fn is_of_pods(&self) -> bool {
        matches!(self, Self::Workload | Self::Version | Self::Mtls)
    }
}

/// The words of `mtls`.
pub(super) const MTLS: [&str; 5] = ["true", "strict", "permissive", "false", "none"];

/// One test: any of the values. `None` is a header that is absent.
#[derive(Clone, Debug)]
pub(super) struct Test {
    pub(super) field: Field,
    pub(super) any: Vec<Option<Spanned<String>>>,
}

impl Test {
    fn describe(&self) -> String {
        let values: Vec<&str> =
            self.any.iter().map(|value| value.as_ref().map_or("absent", |value| value.as_str())).collect();
        format!("{} {}", self.field.name(), values.join(" or "))
    }
}

/// Tests that must all be met.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) tests: Vec<Test>,
}

impl Target {
    pub(super) fn describe(&self) -> String {
        let tests: Vec<String> = self.tests.iter().map(Test::describe).collect();
        tests.join(", ")
    }

    /// What an outcome, at one of its pods, has instead; `None` when all tests are met.
    pub(super) fn miss(&self, outcome: &Outcome, endpoint: Option<&Endpoint>) -> Option<String> {
        self.tests.iter().find_map(|test| {
            let has = has(&test.field, outcome, endpoint);
            let met = test.any.iter().any(|wanted| match (wanted, &has) {
                (None, None) => true,
                (Some(wanted), Some(has)) => is_met(&test.field, wanted, has, endpoint),
                _ => false,
            });
            (!met).then(|| match (has, &test.field) {
                // The place says which pods these are.
                (Some(_), Field::Workload) => String::new(),
                (Some(has), field) => format!("{} {has}", field.name()),
                (None, field) if field.is_of_pods() && endpoint.is_none() => {
                    format!("no pods of the input, so no {}", field.name())
                }
                (None, field) => format!("no {}", field.name()),
            })
        })
    }

    /// Values that nothing in the input has: a claim that they are never reached would say nothing.
    pub(super) fn unknown(&self, vocabulary: &Vocabulary) -> Option<String> {
        for test in &self.tests {
            let known = match test.field {
                Field::Version => &vocabulary.versions,
                Field::Subset => &vocabulary.subsets,
                Field::Workload => &vocabulary.workloads,
                _ => continue,
            };
            for value in test.any.iter().flatten() {
                let name = value.rsplit('/').next().unwrap_or(value);
                if known.iter().any(|known| known == name) {
                    continue;
                }
                let near = did_you_mean(name, known.iter().map(String::as_str));
                let hint = match near {
                    Some(near) => format!("; did you mean `{near}`?"),
                    None if known.is_empty() => String::new(),
                    None => format!("; there are {}", known.join(", ")),
                };
                return Some(format!(
                    "nothing in any state has {} `{}`{hint}",
                    test.field.name(),
                    value.value
                ));
            }
        }
        None
    }
}

/// The names that a claim can be about.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    versions: Vec<String>,
    subsets: Vec<String>,
    workloads: Vec<String>,
}

impl Vocabulary {
    /// All names of all states.
    pub(super) fn of(input: &Input) -> Self {
        let mut names = Self::default();
        let add = |list: &mut Vec<String>, name: &str| {
            if !list.iter().any(|known| known == name) {
                list.push(name.to_owned());
            }
        };
        let all: Vec<_> = input.resources.iter().collect();
        let config = crate::mesh::config::MeshConfig::default();
        let mesh = crate::mesh::Mesh::new(all, &config, crate::mesh::Assume::Auto);
        for (_, workload) in mesh.workloads.iter() {
            add(&mut names.workloads, &workload.resource.name);
            if let Some(version) = workload.version() {
                add(&mut names.versions, version);
            }
        }
        for resource in &input.resources {
            let Spec::DestinationRule(rule) = &resource.spec else { continue };
            for subset in &rule.subsets {
                add(&mut names.subsets, subset.name.text());
                for key in VERSION_LABELS {
                    if let Some(version) = subset.labels.text(key) {
                        add(&mut names.versions, version);
                    }
                }
            }
        }
        names
    }
}

/// What an outcome has.
fn has(field: &Field, outcome: &Outcome, endpoint: Option<&Endpoint>) -> Option<String> {
    let sent = &outcome.forwarded;
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    match field {
        Field::Workload => endpoint.map(|endpoint| name(&endpoint.workload.object)),
        Field::Version => endpoint?.version.clone(),
        Field::Subset => outcome.subset.as_ref().map(|(name, _)| name.clone()),
        Field::Host => outcome.host.clone(),
        Field::Port => outcome.port.map(|port| port.to_string()),
        Field::Mtls => endpoint.map(|endpoint| mtls(endpoint).to_owned()),
        Field::Path => text(&sent.path),
        Field::Authority => text(&sent.authority),
        Field::Method => text(&sent.method),
        Field::Header(wanted) => {
            let values: Vec<&str> = sent
                .headers
                .iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case(wanted))
                .map(|(_, value)| value.as_str())
                .collect();
            (!values.is_empty()).then(|| values.join(", "))
        }
    }
}

/// `strict` when the pod takes nothing else, `permissive` when it would take plaintext as well, `none` without mTLS.
fn mtls(endpoint: &Endpoint) -> &'static str {
    match (endpoint.sent, endpoint.server) {
        (Some(Sent::IstioMutual), Server::Sidecar(Mode::Strict)) => "strict",
        (Some(Sent::IstioMutual), Server::Sidecar(Mode::Permissive)) => "permissive",
        _ => "none",
    }
}

fn is_met(field: &Field, wanted: &str, has: &str, endpoint: Option<&Endpoint>) -> bool {
    match field {
        Field::Workload => endpoint.is_some_and(|endpoint| is_workload(wanted, &endpoint.workload.object)),
        // `voting-app` and `voting-app.voting` are short for the full name.
        Field::Host => has.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')),
        Field::Mtls => match wanted {
            "true" => has != "none",
            "false" => has == "none",
            wanted => wanted == has,
        },
        Field::Method => wanted.eq_ignore_ascii_case(has),
        Field::Authority => wanted.eq_ignore_ascii_case(has),
        _ => wanted == has,
    }
}

/// `web`, `deployment/web` or `deployment/shop/web`.
fn is_workload(wanted: &str, object: &ResourceName) -> bool {
    let mut parts = wanted.rsplit('/');
    let name = parts.next().unwrap_or(wanted);
    let (second, third) = (parts.next(), parts.next());
    let (kind, namespace) = match (second, third) {
        (Some(namespace), Some(kind)) => (Some(kind), Some(namespace)),
        (kind, None) => (kind, None),
        (None, Some(_)) => (None, None),
    };
    name == object.name
        && kind.is_none_or(|kind| kind.eq_ignore_ascii_case(&object.kind))
        && namespace.is_none_or(|namespace| object.namespace.as_deref() == Some(namespace))
}

/// `Deployment shop/web`
pub(super) fn name(object: &ResourceName) -> String {
    match &object.namespace {
        Some(namespace) => format!("{} {namespace}/{}", object.kind, object.name),
        None => format!("{} {}", object.kind, object.name),
    }
}
