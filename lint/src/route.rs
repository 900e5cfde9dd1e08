//! Where one concrete request goes, hop by hop, as Envoy under Istio would send it: an evaluator over the
//! effective model. Knows no files and no output; every element keeps the place in the text that decides it.
//!
//! [`trace`] answers for one [`Request`]. What a rule of the linter takes as possibly true (a header, a weight)
//! is decided here for this request. Shares are exact: those of all outcomes add up to one.

mod action;
mod calls;
mod destination;
mod entry;
mod filters;
mod ignored;
mod lookup;
mod message;
mod normalize;
mod request;
mod rules;
mod share;
#[cfg(test)]
mod tests;

use std::fmt;

pub use self::calls::{Call, Followed, calls, follow};
pub use self::destination::describe_sent;
pub use self::lookup::{Bare, Rule, Taken, by_host};
pub use self::request::{BadSource, BadUrl, Known, Request, Scheme, Source};
pub use self::share::Share;
use crate::diagnostic::ResourceName;
use crate::mesh::Mesh;
use crate::mesh::mtls::Sent;
use crate::mesh::security::Mode;
use crate::mesh::workloads::WorkloadId;
use crate::resource::Resource;
use crate::span::Span;

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// The ways that it can take until a route is chosen: one, unless a filter deals visitors it has never seen
    /// to several versions. Their shares add up to one.
    pub paths: Vec<Path>,
    /// What was assumed because the input cannot tell, and what of the input was not followed.
    pub notes: Vec<String>,
}

impl Trace {
    /// Every outcome of every path. Their shares add up to one.
    pub fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.paths.iter().flat_map(|path| &path.outcomes)
    }

    /// Every copy that a rule sends elsewhere.
    pub fn mirrors(&self) -> impl Iterator<Item = &Outcome> {
        self.paths.iter().flat_map(|path| &path.mirrors)
    }

    /// The first failure that some share of the requests meets.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.outcomes().find_map(|outcome| outcome.end.failure())
    }
}

/// One way to a route.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// How many of such requests take it.
    pub share: Share,
    /// What decided, in order.
    pub hops: Vec<Hop>,
    /// Where it ends. Their shares add up to the path's.
    pub outcomes: Vec<Outcome>,
    /// Copies; their shares count for themselves.
    pub mirrors: Vec<Outcome>,
}

/// What a hop is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HopKind {
    /// The listener that takes the request: a gateway's server, or the client's own sidecar.
    Listener,
    /// A WasmPlugin that runs Coalmine's filter.
    Filter,
    /// The rule of a VirtualService that takes it.
    VirtualService,
    /// The rule of the VirtualService that the one before delegates to.
    Delegate,
    /// No VirtualService: the Service's own route.
    Service,
    /// No route at all: where it was going anyway, or nowhere.
    Unmatched,
}

impl HopKind {
    /// Its name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::Filter => "filter",
            Self::VirtualService => "virtualService",
            Self::Delegate => "delegate",
            Self::Service => "service",
            Self::Unmatched => "unmatched",
        }
    }
}

/// One decision on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Hop {
    /// What it is.
    pub kind: HopKind,
    /// The object that decides.
    pub object: Option<ResourceName>,
    /// The place that decides: a server, a rule, a plugin's name.
    pub span: Option<Span>,
    /// What was decided, in a few words.
    pub summary: String,
    /// Why, and what changes.
    pub details: Vec<Detail>,
    /// What a filter decided; empty for other hops.
    pub flags: Vec<FlagDecision>,
}

impl Hop {
    fn new(kind: HopKind, resource: Option<&Resource>, span: Option<Span>, summary: String) -> Self {
        let object = resource.map(crate::rule::name_of);
        Self { kind, object, span, summary, details: Vec::new(), flags: Vec::new() }
    }

    fn detail(&mut self, label: &'static str, text: impl Into<String>, span: Option<Span>) {
        self.details.push(Detail { label, text: text.into(), span });
    }
}

/// One reason or change of a hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// `match`, `rewrite`, `set`, `remove`, `fault` …
    pub label: &'static str,
    /// In words.
    pub text: String,
    /// Where it is written.
    pub span: Option<Span>,
}

/// What the filter decided about one flag, by its own code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagDecision {
    /// The flag.
    pub flag: String,
    /// The variant's name, `stable` for none.
    pub variant: String,
    /// The reason's name, as the filter's metrics have it.
    pub reason: &'static str,
}

/// A place in an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The object.
    pub object: ResourceName,
    /// The place.
    pub span: Span,
}

impl Cause {
    fn new(resource: &Resource, span: Span) -> Self {
        Self { object: crate::rule::name_of(resource), span }
    }
}

/// The request as the destination gets it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Forwarded {
    /// `:method`; empty when it is not HTTP.
    pub method: String,
    /// `:authority`
    pub authority: String,
    /// `:path`
    pub path: String,
    /// All other headers, names in lower case.
    pub headers: Vec<(String, String)>,
}

/// One place where a request can end.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// How many of such requests end here.
    pub share: Share,
    /// Where the destination is written.
    pub cause: Option<Cause>,
    /// The Envoy cluster: `outbound|8080|v2|reviews.shop.svc.cluster.local`; empty when there is none.
    pub cluster: String,
    /// The fully qualified host.
    pub host: Option<String>,
    /// The Service or ServiceEntry that defines the host.
    pub service: Option<Cause>,
    /// The subset, with the place that defines it if there is one.
    pub subset: Option<(String, Option<Cause>)>,
    /// The version that the subset's labels ask for, whether there are such pods or not.
    pub subset_version: Option<String>,
    /// The port as clients call it.
    pub port: Option<u32>,
    /// The DestinationRule that wins for this client.
    pub rule: Option<Cause>,
    /// What the client sends to every pod alike, and why; `None` without a destination.
    pub tls: Option<ClientTls>,
    /// The request as it is sent there.
    pub forwarded: Forwarded,
    /// The pods behind it.
    pub endpoints: Vec<Endpoint>,
    /// What comes of it: answered when all pods that take requests answer.
    pub end: End,
}

impl Outcome {
    /// The pods that take the requests: those with the port, without those that are scaled to 0 unless there are no
    /// others.
    #[must_use]
    pub fn called(&self) -> Vec<&Endpoint> {
        let with_port = self.endpoints.iter().filter(|endpoint| endpoint.port.is_some());
        let (idle, there): (Vec<&Endpoint>, Vec<&Endpoint>) =
            with_port.partition(|endpoint| endpoint.end.failure().is_some_and(|f| f.flag == Flag::Uh));
        if there.is_empty() { idle } else { there }
    }

    /// The pods that answer.
    pub fn answering(&self) -> impl Iterator<Item = &Endpoint> {
        self.called().into_iter().filter(|endpoint| endpoint.end.failure().is_none())
    }
}

/// What a client sends and why.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientTls {
    /// What it sends; `None` when it differs by pod or is not known.
    pub sent: Option<Sent>,
    /// Why, in words.
    pub why: String,
    /// The DestinationRule's or PeerAuthentication's place that decides.
    pub cause: Option<Cause>,
}

/// The pods of one workload behind a destination.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// The workload in the mesh's set.
    pub id: WorkloadId,
    /// The object that makes the pods.
    pub workload: Cause,
    /// Their `version` label.
    pub version: Option<String>,
    /// The port that they are called on; `None` for a name that they do not have.
    pub port: Option<u32>,
    /// Where they declare it.
    pub port_span: Option<Span>,
    /// What the client sends to them.
    pub sent: Option<Sent>,
    /// What they accept.
    pub server: Server,
    /// The PeerAuthentication that decides that.
    pub cause: Option<Cause>,
    /// What comes of it.
    pub end: End,
}

/// What stands in front of a pod's port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Server {
    /// A sidecar with this mode.
    Sidecar(Mode),
    /// No proxy: the application itself.
    Application,
    /// The input does not say.
    Unknown,
}

/// What comes of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// Pods of the input answer.
    Answered,
    /// Some of the pods answer, and others do not, for this reason; how many of each is not in the manifests.
    Partly(Failure),
    /// It leaves for a host outside the mesh, or for pods that are not in the input; the text says which.
    Leaves(String),
    /// The proxy answers with a redirect.
    Redirect {
        /// The status.
        status: u32,
        /// The `location` header.
        location: String,
    },
    /// The proxy answers itself.
    Direct {
        /// The status.
        status: u32,
        /// The body, if it is text in the manifest.
        body: Option<String>,
    },
    /// Nothing answers.
    Failed(Failure),
}

impl End {
    /// Why some or all of the requests get no answer.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Partly(failure) | Self::Failed(failure) => Some(failure),
            _ => None,
        }
    }
}

/// Why nothing answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Envoy's response flag, as `%RESPONSE_FLAGS%` has it.
    pub flag: Flag,
    /// The HTTP status that the client gets; `None` when the connection is refused or reset.
    pub status: Option<u32>,
    /// What is wrong and where.
    pub reason: String,
    /// The place to mend.
    pub cause: Option<Cause>,
}

/// Envoy's response flags, as far as routing and mTLS lead to them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flag {
    /// No route found, or no filter chain.
    Nr,
    /// Upstream cluster not found.
    Nc,
    /// No healthy upstream.
    Uh,
    /// Upstream connection failure.
    Uf,
    /// Upstream connection termination.
    Uc,
    /// Fault injected.
    Fi,
    /// Downstream protocol error.
    Dpe,
    /// No proxy logs it: there is no listener or no name to call.
    None,
}

impl Flag {
    /// As in the access log; `-` for none.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nr => "NR",
            Self::Nc => "NC",
            Self::Uh => "UH",
            Self::Uf => "UF",
            Self::Uc => "UC",
            Self::Fi => "FI",
            Self::Dpe => "DPE",
            Self::None => "-",
        }
    }

    /// In Envoy's words.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Nr => "no route found",
            Self::Nc => "upstream cluster not found",
            Self::Uh => "no healthy upstream",
            Self::Uf => "upstream connection failure",
            Self::Uc => "upstream connection termination",
            Self::Fi => "fault injected",
            Self::Dpe => "downstream protocol error",
            Self::None => "no proxy answers",
        }
    }
}

/// Why a question has no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unanswerable {
    /// There is no such Gateway.
    UnknownGateway {
        /// As asked.
        wanted: String,
        /// The nearest name.
        near: Option<String>,
        /// All there are.
        known: Vec<String>,
    },
    /// There is no such workload.
    UnknownWorkload {
        /// As asked.
        wanted: String,
        /// The nearest name.
        near: Option<String>,
        /// All there are.
        known: Vec<String>,
    },
    /// Several gateways could take the request, or none.
    WhichGateway {
        /// The port asked for.
        port: u32,
        /// Those that accept host and port, on different pods.
        accepting: Vec<String>,
        /// All there are.
        known: Vec<String>,
    },
    /// ztunnel sends this workload's requests, which this model does not follow.
    Ambient(String),
}

impl fmt::Display for Unanswerable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, what: &str, near: &Option<String>, known: &[String]| {
            if let Some(near) = near {
                write!(f, "; did you mean `{near}`?")?;
            }
            match known {
                [] => write!(f, "; the input has no {what} in this state"),
                known => write!(f, "; the {what}s are {}", known.join(", ")),
            }
        };
        match self {
            Self::UnknownGateway { wanted, near, known } => {
                write!(f, "there is no Gateway `{wanted}`")?;
                list(f, "Gateway", near, known)
            }
            Self::UnknownWorkload { wanted, near, known } => {
                write!(f, "there is no workload `{wanted}`")?;
                list(f, "workload", near, known)
            }
            Self::WhichGateway { port, accepting, known } if accepting.is_empty() => {
                write!(f, "no gateway accepts this host on port {port}; name the client with --from")?;
                list(f, "Gateway", &None, known)
            }
            Self::WhichGateway { accepting, .. } => {
                let names: Vec<String> = accepting.iter().map(|name| format!("gateway:{name}")).collect();
                write!(f, "several gateways accept this request; choose with --from: {}", names.join(", "))
            }
            Self::Ambient(workload) => {
                write!(f, "{workload} is in ambient mode, and what ztunnel and waypoints do is not modelled")
            }
        }
    }
}

impl std::error::Error for Unanswerable {}

/// Follows a request.
///
/// # Errors
/// When the source is not in the mesh, is ambiguous, or is of a kind that this model does not follow.
pub fn trace(mesh: &Mesh<'_>, request: &Request, known: &Known) -> Result<Trace, Unanswerable> {
    entry::trace(mesh, request, known)
}
