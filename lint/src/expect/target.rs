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

    /// What there is instead; `None` when the test is met.
    fn miss(&self, outcome: &Outcome, endpoint: Option<&Endpoint>) -> Option<String> {
        let has = has(&self.field, outcome, endpoint);
        let met = self.any.iter().any(|wanted| match (wanted, &has) {
            (None, None) => true,
            (Some(wanted), Some(has)) => is_met(&self.field, wanted, has, endpoint),
            _ => false,
        });
        (!met).then(|| match (has, &self.field) {
            // The place says which pods these are.
            (Some(_), Field::Workload) => String::new(),
            (Some(has), field) => format!("{} {has}", field.name()),
            (None, field) if field.is_of_pods() && endpoint.is_none() => {
                format!("no pods of the input, so no {}", field.name())
            }
            (None, field) => format!("no {}", field.name()),
        })
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
        self.tests.iter().find_map(|test| test.miss(outcome, endpoint))
    }

    /// Whether requests that end at no pods are led to the target all the same: of pods that are not there yet only
    /// the version is known, which the subset asks for.
    pub(super) fn is_meant(&self, outcome: &Outcome) -> bool {
        let (versions, others): (Vec<&Test>, Vec<&Test>) =
            self.tests.iter().partition(|test| test.field == Field::Version);
        let meant = |test: &&Test| {
            let wanted = test.any.iter().flatten().map(|value| value.as_str());
            outcome
                .subset_version
                .as_deref()
                .is_some_and(|own| wanted.into_iter().any(|wanted| wanted == own))
        };
        versions.iter().all(meant) && others.iter().all(|test| test.miss(outcome, None).is_none())
    }

    /// Values that nothing in the input has: a claim that they are never reached would say nothing.
    pub(super) fn unknown(&self, vocabulary: &Vocabulary) -> Option<String> {
        self.tests.iter().find_map(|test| {
            let mut values = test.any.iter().flatten();
            values.find_map(|value| vocabulary.lacks(&test.field, value))
        })
    }
}

/// The names that a claim can be about.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    versions: Vec<String>,
    subsets: Vec<String>,
    workloads: Vec<ResourceName>,
    hosts: Vec<String>,
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
            let own = crate::rule::name_of(workload.resource);
            if !names.workloads.contains(&own) {
                names.workloads.push(own);
            }
            if let Some(version) = workload.version() {
                add(&mut names.versions, version);
            }
        }
        mesh.registry.iter().for_each(|host| add(&mut names.hosts, &host.name));
        for (_, target) in mesh.routes.targets() {
            add(&mut names.hosts, &target.host);
            // Requests are led to a subset that no rule defines too.
            target.subset().into_iter().for_each(|subset| add(&mut names.subsets, subset));
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

    /// Why a value is one that nothing has, with what was meant.
    fn lacks(&self, field: &Field, value: &str) -> Option<String> {
        let plain =
            |list: &[String]| (!list.iter().any(|known| known == value)).then(|| hint(value, list.to_vec()));
        let hint = match field {
            Field::Version => plain(&self.versions),
            Field::Subset => plain(&self.subsets),
            Field::Workload => self.lacks_workload(value),
            Field::Host => {
                let known = self.hosts.iter().any(|host| is_met(field, value, host, None));
                (!known).then(|| {
                    // Short names are what people write.
                    let short = self.hosts.iter().filter_map(|host| host.split('.').next());
                    match did_you_mean(value, short) {
                        Some(near) => format!("; did you mean `{near}`?"),
                        None => hint(value, self.hosts.clone()),
                    }
                })
            }
            _ => None,
        }?;
        Some(format!("nothing in any state has {} `{value}`{hint}", field.name()))
    }

    fn lacks_workload(&self, value: &str) -> Option<String> {
        if self.workloads.iter().any(|known| is_workload(value, known)) {
            return None;
        }
        // As much of the name as was written.
        let written = |object: &ResourceName| {
            let kind = object.kind.to_lowercase();
            match (value.split('/').count(), &object.namespace) {
                (1, _) => object.name.clone(),
                (3, Some(namespace)) => format!("{kind}/{namespace}/{}", object.name),
                _ => format!("{kind}/{}", object.name),
            }
        };
        let name = value.rsplit('/').next().unwrap_or(value);
        let named = self.workloads.iter().find(|known| known.name == name);
        Some(match named {
            Some(named) => format!("; did you mean `{}`?", written(named)),
            None => hint(value, self.workloads.iter().map(written).collect()),
        })
    }

    /// Why a key of `shares` is one that no outcome can have: neither a status nor a name.
    pub(super) fn lacks_key(&self, key: &str) -> Option<String> {
        let is_status = key == "none" || (key.len() == 3 && key.bytes().all(|b| b.is_ascii_digit()));
        let names = || self.workloads.iter().map(|known| &known.name);
        let all = || self.subsets.iter().chain(&self.versions).chain(names());
        let is_known = is_status || all().any(|known| known == key);
        (!is_known).then(|| {
            let hint = hint(key, all().cloned().collect());
            format!("`{key}` is no subset, version or workload of any state{hint}")
        })
    }
}

fn hint(wanted: &str, mut known: Vec<String>) -> String {
    if let Some(near) = did_you_mean(wanted, known.iter().map(String::as_str)) {
        return format!("; did you mean `{near}`?");
    }
    known.sort_unstable();
    known.dedup();
    if known.is_empty() { String::new() } else { format!("; there are {}", known.join(", ")) }
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
