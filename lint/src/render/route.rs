//! Routes as JSON, version 1: what `coalmine route --format json` prints and embedders get. Its own types, so that
//! a change of the model cannot change what others parse.

use serde::Serialize;

use super::json::{JsonRange, JsonResource, range};
use super::{Places, Units, pretty};
use crate::files::Files;
use crate::mesh::mtls::Sent;
use crate::route::{
    Cause, Detail, End, Endpoint, Failure, Followed, Forwarded, Hop, Outcome, Path, Request, Server, Share,
    Source, Trace,
};
use crate::span::Span;

/// Where a request goes, in one state.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "Route"))]
pub struct JsonRoute<'a> {
    /// 1.
    version: u32,
    /// The step of the rollout whose state was asked.
    step: Option<&'a str>,
    #[serde(flatten)]
    trace: JsonTrace<'a>,
    /// Present when the calls of the pods were followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "ts", ts(optional, type = "Array<RouteFollowed>"))]
    follow: Option<Vec<JsonFollowed<'a>>>,
}

/// Where one request goes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "RouteTrace"))]
struct JsonTrace<'a> {
    /// As it was asked.
    request: JsonRequest<'a>,
    /// Every share of it gets an answer.
    answered: bool,
    /// The ways it can take; several where a filter deals visitors to versions.
    paths: Vec<JsonPath<'a>>,
    /// What was assumed because the input cannot tell, and what of the input was not read or not followed.
    notes: &'a [String],
}

/// A call that pods make on behalf of a request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "RouteCall"))]
struct JsonFollowed<'a> {
    /// The workload that calls.
    from: JsonCause<'a>,
    /// How the input says so.
    why: &'a str,
    /// Where it says so.
    place: JsonCause<'a>,
    #[serde(flatten)]
    #[cfg_attr(feature = "ts", ts(skip))]
    trace: Option<JsonTrace<'a>>,
    /// Why it could not be followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "ts", ts(optional))]
    error: Option<String>,
    /// The calls that follow from it.
    #[cfg_attr(feature = "ts", ts(type = "Array<RouteFollowed>"))]
    follow: Vec<JsonFollowed<'a>>,
}

/// A request.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "RouteRequest"))]
struct JsonRequest<'a> {
    /// Who sends it, as `--from` takes it.
    from: String,
    /// Where it goes.
    url: String,
    /// Null for bytes.
    method: Option<&'a str>,
    /// In order.
    headers: Vec<JsonHeader<'a>>,
}

/// A header.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "Header"))]
struct JsonHeader<'a> {
    /// In lower case.
    name: &'a str,
    /// As sent.
    value: &'a str,
}

/// A share of requests, exactly.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "Share"))]
struct JsonShare {
    /// Decimal numbers as text: they can be larger than a double holds.
    parts: String,
    /// The whole, as text.
    total: String,
    /// Rounded.
    percent: f64,
}

/// One way to a route.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "RoutePath"))]
struct JsonPath<'a> {
    /// How many of such requests take it.
    share: JsonShare,
    /// What decided, in order.
    hops: Vec<JsonHop<'a>>,
    /// Where it ends.
    outcomes: Vec<JsonOutcome<'a>>,
    /// Copies.
    mirrors: Vec<JsonOutcome<'a>>,
}

/// One decision on the way.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "RouteHop"))]
struct JsonHop<'a> {
    /// `listener`, `filter`, `virtualService`, `delegate`, `service` or `unmatched`.
    kind: &'a str,
    /// What was decided, in a few words.
    summary: &'a str,
    #[serde(flatten)]
    place: JsonPlace<'a>,
    /// Why, and what changes.
    details: Vec<JsonDetail<'a>>,
    /// What a filter decided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "ts", ts(as = "Option<Vec<JsonFlag<'a>>>", optional))]
    flags: Vec<JsonFlag<'a>>,
}

/// A place as findings have it: `file`, `range`, `resource`; all null when nothing in the text decides.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "Place"))]
struct JsonPlace<'a> {
    /// The name of the file.
    file: Option<&'a str>,
    /// Where.
    range: Option<JsonRange>,
    /// The object.
    resource: Option<JsonResource<'a>>,
}

/// One reason or change of a hop.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "RouteDetail"))]
struct JsonDetail<'a> {
    /// `match`, `rewrite`, `set` …
    label: &'a str,
    /// In words.
    text: &'a str,
    /// The name of the file.
    file: Option<&'a str>,
    /// Where it is written.
    range: Option<JsonRange>,
}

/// What the filter decided about a flag.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "FlagDecision"))]
struct JsonFlag<'a> {
    /// The flag.
    flag: &'a str,
    /// `stable` for none.
    variant: &'a str,
    /// As the filter's metrics have it.
    reason: &'a str,
}

/// A place in an object.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "Cause"))]
struct JsonCause<'a> {
    /// The name of the file.
    file: &'a str,
    /// Where.
    range: JsonRange,
    /// The object.
    resource: JsonResource<'a>,
}

/// One place where a request can end.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "RouteOutcome"))]
struct JsonOutcome<'a> {
    /// How many end here.
    share: JsonShare,
    /// Envoy's name.
    cluster: Option<&'a str>,
    /// The fully qualified host.
    host: Option<&'a str>,
    /// As clients call it.
    port: Option<u32>,
    /// The subset.
    subset: Option<JsonSubset<'a>>,
    /// Where the destination is written.
    destination: Option<JsonCause<'a>>,
    /// What defines the host.
    service: Option<JsonCause<'a>>,
    /// The one that wins for this client.
    destination_rule: Option<JsonCause<'a>>,
    /// What the client sends.
    tls: Option<JsonTls<'a>>,
    /// The request as it is sent.
    forwarded: JsonForwarded<'a>,
    /// The pods behind it.
    endpoints: Vec<JsonEndpoint<'a>>,
    /// What comes of it.
    end: JsonEnd<'a>,
}

/// A subset.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "RouteSubset"))]
struct JsonSubset<'a> {
    /// Its name.
    name: &'a str,
    /// Where it is defined.
    place: Option<JsonCause<'a>>,
}

/// What a client sends and why.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "RouteTls"))]
struct JsonTls<'a> {
    /// Null when it differs by pod or is not known.
    sent: Option<&'a str>,
    /// In words.
    why: &'a str,
    /// What decides.
    place: Option<JsonCause<'a>>,
}

/// The request as the destination gets it.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "Forwarded"))]
struct JsonForwarded<'a> {
    /// Empty when it is not HTTP.
    method: &'a str,
    /// The host.
    authority: &'a str,
    /// With the query.
    path: &'a str,
    /// All others.
    headers: Vec<JsonHeader<'a>>,
}

/// The pods of one workload behind a destination.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "RouteEndpoint"))]
struct JsonEndpoint<'a> {
    /// What makes the pods.
    workload: JsonCause<'a>,
    /// Their `version` label.
    version: Option<&'a str>,
    /// The port they are called on.
    port: Option<u32>,
    /// What the client sends to them.
    sent: Option<&'a str>,
    /// A PeerAuthentication's mode, `application` or `unknown`.
    accepts: &'a str,
    /// What decides that.
    policy: Option<JsonCause<'a>>,
    /// What comes of it.
    end: JsonEnd<'a>,
}

/// What comes of a request.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "RouteEnd"))]
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
        /// Only some of the pods fail, and the others answer: `endpoints` says which.
        partly: bool,
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
            End::Partly(Failure { flag, status, reason, cause })
            | End::Failed(Failure { flag, status, reason, cause }) => JsonEnd::Failed {
                flag: flag.as_str(),
                flag_means: flag.describe(),
                status: *status,
                reason,
                place: self.maybe(cause.as_ref()),
                partly: matches!(end, End::Partly(_)),
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

/// The answer to one request, with what was followed if anybody asked.
#[must_use]
pub fn output<'a>(
    files: &'a Files,
    step: Option<&'a str>,
    request: &'a Request,
    trace: &'a Trace,
    followed: Option<&'a [Followed]>,
    units: Units,
) -> JsonRoute<'a> {
    let mut writer = Writer { places: Places::of(files, units), files };
    JsonRoute {
        version: 1,
        step,
        trace: writer.trace(request, trace),
        follow: followed.map(|list| list.iter().map(|call| writer.followed(call)).collect()),
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
    pretty(&output(files, step, request, trace, followed, Units::Scalars))
}

/// Declares the types of this format for TypeScript.
#[cfg(feature = "ts")]
pub(crate) fn declare(to: &mut crate::typescript::Declarations) {
    to.add::<JsonRoute<'static>>();
    to.add::<JsonTrace<'static>>();
    to.add::<JsonFollowed<'static>>();
    to.add_text(
        "/** A call that was followed: with `error` where it could not be. */",
        "type RouteFollowed = RouteCall & Partial<RouteTrace>;",
    );
    to.add::<JsonRequest<'static>>();
    to.add::<JsonHeader<'static>>();
    to.add::<JsonShare>();
    to.add::<JsonPath<'static>>();
    to.add::<JsonHop<'static>>();
    to.add::<JsonPlace<'static>>();
    to.add::<JsonDetail<'static>>();
    to.add::<JsonFlag<'static>>();
    to.add::<JsonCause<'static>>();
    to.add::<JsonOutcome<'static>>();
    to.add::<JsonSubset<'static>>();
    to.add::<JsonTls<'static>>();
    to.add::<JsonForwarded<'static>>();
    to.add::<JsonEndpoint<'static>>();
    to.add::<JsonEnd<'static>>();
}
