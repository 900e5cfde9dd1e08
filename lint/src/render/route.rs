//! Routes as JSON, version 1: what `coalmine route --format json` prints and embedders get. Its own types, so that
//! a change of the model cannot change what others parse.

use serde::Serialize;

use super::Places;
use super::json::{JsonRange, JsonResource, range};
use super::pretty;
use crate::files::Files;
use crate::mesh::mtls::Sent;
use crate::route::{
    Cause, Detail, End, Endpoint, Failure, Followed, Forwarded, Hop, Outcome, Path, Request, Server, Share,
    Source, Trace,
};
use crate::span::Span;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonRoute<'a> {
    version: u32,
    /// The step of the rollout whose state was asked.
    step: Option<&'a str>,
    #[serde(flatten)]
    trace: JsonTrace<'a>,
    /// Present when the calls of the pods were followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    follow: Option<Vec<JsonFollowed<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonTrace<'a> {
    request: JsonRequest<'a>,
    answered: bool,
    paths: Vec<JsonPath<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonFollowed<'a> {
    from: JsonCause<'a>,
    why: &'a str,
    place: JsonCause<'a>,
    #[serde(flatten)]
    trace: Option<JsonTrace<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    follow: Vec<JsonFollowed<'a>>,
}

#[derive(Serialize)]
struct JsonRequest<'a> {
    from: String,
    url: String,
    method: Option<&'a str>,
    headers: Vec<JsonHeader<'a>>,
}

#[derive(Serialize)]
struct JsonHeader<'a> {
    name: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
struct JsonShare {
    /// Decimal numbers as text: they can be larger than a double holds.
    parts: String,
    total: String,
    percent: f64,
}

#[derive(Serialize)]
struct JsonPath<'a> {
    share: JsonShare,
    hops: Vec<JsonHop<'a>>,
    outcomes: Vec<JsonOutcome<'a>>,
    mirrors: Vec<JsonOutcome<'a>>,
}

#[derive(Serialize)]
struct JsonHop<'a> {
    kind: &'a str,
    summary: &'a str,
    #[serde(flatten)]
    place: JsonPlace<'a>,
    details: Vec<JsonDetail<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flags: Vec<JsonFlag<'a>>,
}

/// A place as findings have it: `file`, `range`, `resource`; all null when nothing in the text decides.
#[derive(Serialize)]
struct JsonPlace<'a> {
    file: Option<&'a str>,
    range: Option<JsonRange>,
    resource: Option<JsonResource<'a>>,
}

#[derive(Serialize)]
struct JsonDetail<'a> {
    label: &'a str,
    text: &'a str,
    file: Option<&'a str>,
    range: Option<JsonRange>,
}

#[derive(Serialize)]
struct JsonFlag<'a> {
    flag: &'a str,
    variant: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
struct JsonCause<'a> {
    file: &'a str,
    range: JsonRange,
    resource: JsonResource<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonOutcome<'a> {
    share: JsonShare,
    cluster: Option<&'a str>,
    host: Option<&'a str>,
    port: Option<u32>,
    subset: Option<JsonSubset<'a>>,
    destination: Option<JsonCause<'a>>,
    service: Option<JsonCause<'a>>,
    destination_rule: Option<JsonCause<'a>>,
    tls: Option<JsonTls<'a>>,
    forwarded: JsonForwarded<'a>,
    endpoints: Vec<JsonEndpoint<'a>>,
    end: JsonEnd<'a>,
}

#[derive(Serialize)]
struct JsonSubset<'a> {
    name: &'a str,
    place: Option<JsonCause<'a>>,
}

#[derive(Serialize)]
struct JsonTls<'a> {
    sent: Option<&'a str>,
    why: &'a str,
    place: Option<JsonCause<'a>>,
}

#[derive(Serialize)]
struct JsonForwarded<'a> {
    method: &'a str,
    authority: &'a str,
    path: &'a str,
    headers: Vec<JsonHeader<'a>>,
}

#[derive(Serialize)]
struct JsonEndpoint<'a> {
    workload: JsonCause<'a>,
    version: Option<&'a str>,
    port: Option<u32>,
    sent: Option<&'a str>,
    accepts: &'a str,
    policy: Option<JsonCause<'a>>,
    end: JsonEnd<'a>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
enum JsonEnd<'a> {
    Answered,
    Leaves {
        reason: &'a str,
    },
    Redirect {
        status: u32,
        location: &'a str,
    },
    Direct {
        status: u32,
        body: Option<&'a str>,
    },
    Failed {
        flag: &'a str,
        #[serde(rename = "flagMeans")]
        flag_means: &'a str,
        status: Option<u32>,
        reason: &'a str,
        place: Option<JsonCause<'a>>,
    },
}

/// The name of what a client sends.
#[must_use]
pub fn sent_name(sent: Sent) -> &'static str {
    match sent {
        Sent::Plaintext => "plaintext",
        Sent::Simple => "simple",
        Sent::OwnCertificate => "mutual",
        Sent::IstioMutual => "istioMutual",
    }
}

/// The name of what a pod accepts: a PeerAuthentication's mode, `application` without a proxy, or `unknown`.
#[must_use]
pub fn server_name(server: Server) -> &'static str {
    match server {
        Server::Sidecar(mode) => mode.as_str(),
        Server::Application => "application",
        Server::Unknown => "unknown",
    }
}

/// A source as `--from` takes it.
#[must_use]
pub fn source_name(source: &Source) -> String {
    match source {
        Source::AnyGateway => "gateway".to_owned(),
        Source::Gateway { namespace, name } => format!("gateway:{namespace}/{name}"),
        Source::Workload { kind, namespace, name } => format!("{}/{namespace}/{name}", kind.to_lowercase()),
    }
}

struct Writer<'f> {
    places: Places<'f>,
    files: &'f Files,
}

impl<'f> Writer<'f> {
    fn place(&mut self, span: Option<Span>) -> (Option<&'f str>, Option<JsonRange>) {
        let file = span.map(|span| self.files.name(span.file));
        (file, span.map(|span| range(&mut self.places, span)))
    }

    fn cause<'a>(&mut self, cause: &'a Cause) -> JsonCause<'a>
    where
        'f: 'a,
    {
        JsonCause {
            file: self.files.name(cause.span.file),
            range: range(&mut self.places, cause.span),
            resource: (&cause.object).into(),
        }
    }

    fn maybe<'a>(&mut self, cause: Option<&'a Cause>) -> Option<JsonCause<'a>>
    where
        'f: 'a,
    {
        cause.map(|cause| self.cause(cause))
    }

    fn trace<'a>(&mut self, request: &'a Request, trace: &'a Trace) -> JsonTrace<'a>
    where
        'f: 'a,
    {
        JsonTrace {
            request: JsonRequest {
                from: source_name(&request.from),
                url: request.url(),
                method: request.is_http().then_some(request.method.as_str()),
                headers: headers(&request.headers),
            },
            answered: trace.failure().is_none(),
            paths: trace.paths.iter().map(|path| self.path(path)).collect(),
            notes: &trace.notes,
        }
    }

    fn path<'a>(&mut self, path: &'a Path) -> JsonPath<'a>
    where
        'f: 'a,
    {
        JsonPath {
            share: share(path.share),
            hops: path.hops.iter().map(|hop| self.hop(hop)).collect(),
            outcomes: path.outcomes.iter().map(|outcome| self.outcome(outcome)).collect(),
            mirrors: path.mirrors.iter().map(|outcome| self.outcome(outcome)).collect(),
        }
    }

    fn hop<'a>(&mut self, hop: &'a Hop) -> JsonHop<'a>
    where
        'f: 'a,
    {
        let (file, range) = self.place(hop.span);
        let flag = |flag: &'a crate::route::FlagDecision| JsonFlag {
            flag: &flag.flag,
            variant: &flag.variant,
            reason: flag.reason,
        };
        JsonHop {
            kind: hop.kind.as_str(),
            summary: &hop.summary,
            place: JsonPlace { file, range, resource: hop.object.as_ref().map(JsonResource::from) },
            details: hop.details.iter().map(|detail| self.detail(detail)).collect(),
            flags: hop.flags.iter().map(flag).collect(),
        }
    }

    fn detail<'a>(&mut self, detail: &'a Detail) -> JsonDetail<'a>
    where
        'f: 'a,
    {
        let (file, range) = self.place(detail.span);
        JsonDetail { label: detail.label, text: &detail.text, file, range }
    }

    fn outcome<'a>(&mut self, outcome: &'a Outcome) -> JsonOutcome<'a>
    where
        'f: 'a,
    {
        JsonOutcome {
            share: share(outcome.share),
            cluster: Some(outcome.cluster.as_str()).filter(|cluster| !cluster.is_empty()),
            host: outcome.host.as_deref(),
            port: outcome.port,
            subset: outcome
                .subset
                .as_ref()
                .map(|(name, place)| JsonSubset { name, place: self.maybe(place.as_ref()) }),
            destination: self.maybe(outcome.cause.as_ref()),
            service: self.maybe(outcome.service.as_ref()),
            destination_rule: self.maybe(outcome.rule.as_ref()),
            tls: outcome.tls.as_ref().map(|tls| JsonTls {
                sent: tls.sent.map(sent_name),
                why: &tls.why,
                place: self.maybe(tls.cause.as_ref()),
            }),
            forwarded: forwarded(&outcome.forwarded),
            endpoints: outcome.endpoints.iter().map(|endpoint| self.endpoint(endpoint)).collect(),
            end: self.end(&outcome.end),
        }
    }

    fn endpoint<'a>(&mut self, endpoint: &'a Endpoint) -> JsonEndpoint<'a>
    where
        'f: 'a,
    {
        JsonEndpoint {
            workload: self.cause(&endpoint.workload),
            version: endpoint.version.as_deref(),
            port: endpoint.port,
            sent: endpoint.sent.map(sent_name),
            accepts: server_name(endpoint.server),
            policy: self.maybe(endpoint.cause.as_ref()),
            end: self.end(&endpoint.end),
        }
    }

    fn end<'a>(&mut self, end: &'a End) -> JsonEnd<'a>
    where
        'f: 'a,
    {
        match end {
            End::Answered => JsonEnd::Answered,
            End::Leaves(reason) => JsonEnd::Leaves { reason },
            End::Redirect { status, location } => JsonEnd::Redirect { status: *status, location },
            End::Direct { status, body } => JsonEnd::Direct { status: *status, body: body.as_deref() },
            End::Failed(Failure { flag, status, reason, cause }) => JsonEnd::Failed {
                flag: flag.as_str(),
                flag_means: flag.describe(),
                status: *status,
                reason,
                place: self.maybe(cause.as_ref()),
            },
        }
    }

    fn followed<'a>(&mut self, followed: &'a Followed) -> JsonFollowed<'a>
    where
        'f: 'a,
    {
        JsonFollowed {
            from: self.cause(&followed.client),
            why: &followed.call.why,
            place: self.cause(&followed.call.cause),
            trace: followed.trace.as_ref().ok().map(|trace| self.trace(&followed.call.request, trace)),
            error: followed.trace.as_ref().err().map(ToString::to_string),
            follow: followed.calls.iter().map(|call| self.followed(call)).collect(),
        }
    }
}

fn share(share: Share) -> JsonShare {
    JsonShare { parts: share.parts().to_string(), total: share.total().to_string(), percent: share.percent() }
}

fn headers(headers: &[(String, String)]) -> Vec<JsonHeader<'_>> {
    headers.iter().map(|(name, value)| JsonHeader { name, value }).collect()
}

fn forwarded(request: &Forwarded) -> JsonForwarded<'_> {
    JsonForwarded {
        method: &request.method,
        authority: &request.authority,
        path: &request.path,
        headers: headers(&request.headers),
    }
}

/// Renders the answer to one request, with what was followed if anybody asked.
#[must_use]
pub fn render(
    files: &Files,
    step: Option<&str>,
    request: &Request,
    trace: &Trace,
    followed: Option<&[Followed]>,
) -> String {
    let mut writer = Writer { places: Places::of(files), files };
    pretty(&JsonRoute {
        version: 1,
        step,
        trace: writer.trace(request, trace),
        follow: followed.map(|list| list.iter().map(|call| writer.followed(call)).collect()),
    })
}
