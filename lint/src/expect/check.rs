//! Follows the requests of an expectation and says which claims are not true of them. Knows traces, not files.

use super::coverage;
use super::target::{Target, Vocabulary, name};
use super::words::{ended, way, where_to};
use super::{Axis, Case, Claim, Failure, Knob, Line, Question, Template};
use crate::mesh::Mesh;
use crate::render::route::source_name;
use crate::route::{
    End, Followed, Known, Outcome, Request, Share, Source, Trace, Unanswerable, calls, follow, trace,
};

/// Where a question is asked.
#[derive(Clone, Copy)]
pub(super) struct Scene<'s, 'a> {
    pub(super) mesh: &'s Mesh<'a>,
    pub(super) known: &'s Known,
    /// Of sources that name none.
    pub(super) namespace: &'s str,
    pub(super) vocabulary: &'s Vocabulary,
}

/// A request and what became of it: the one asked about, or a call that follows from it.
pub(super) struct Leg {
    pub(super) title: String,
    /// What tells of a call.
    pub(super) why: Option<Line>,
    pub(super) trace: Result<Trace, Unanswerable>,
}

/// What is not as claimed, and the leg that shows it.
struct Miss {
    expected: String,
    found: String,
    leg: Option<usize>,
}

/// The number of requests that were followed, and the failed claims.
pub(super) fn question(
    scene: Scene<'_, '_>,
    case: &Case,
    question: &Question,
    coverage: &mut coverage::Builder,
) -> (usize, Vec<Failure>) {
    let mut failed: Vec<Option<Failure>> = question.claims.iter().map(|_| None).collect();
    let mut broken: Option<Failure> = None;
    let mut requests = 0;
    for values in combinations(&question.sweep) {
        requests += 1;
        let asked = asked(question, scene.namespace, &values);
        let legs = match &asked {
            Ok((source, request)) => legs(scene, question, source, request.as_ref()),
            Err(error) => Err(error.clone()),
        };
        let request = described(asked, &values);
        let legs = match legs {
            Ok(legs) => legs,
            Err(found) => {
                let (span, expected) = (case.name.span, "a request that can be followed".to_owned());
                keep(&mut broken, Failure { span, expected, found, request, others: 0, way: Vec::new() });
                continue;
            }
        };
        legs.iter().filter_map(|leg| leg.trace.as_ref().ok()).for_each(|trace| coverage.add_trace(trace));
        for (claim, slot) in question.claims.iter().zip(&mut failed) {
            let Some(miss) = judge(scene, &claim.value, &legs) else { continue };
            keep(
                slot,
                Failure {
                    span: claim.span,
                    expected: miss.expected,
                    found: miss.found,
                    request: request.clone(),
                    others: 0,
                    way: way(&legs, miss.leg),
                },
            );
        }
    }
    (requests, broken.into_iter().chain(failed.into_iter().flatten()).collect())
}

/// The first failure stays; later ones are counted.
fn keep(slot: &mut Option<Failure>, failure: Failure) {
    match slot {
        Some(first) => first.others += 1,
        None => *slot = Some(failure),
    }
}

type Values<'q> = Vec<(&'q Axis, Option<&'q str>)>;

/// Every combination of the values, the last axis fastest; one without values when there is no axis.
fn combinations(axes: &[Axis]) -> impl Iterator<Item = Values<'_>> {
    let total: usize = axes.iter().map(|axis| axis.values.len()).product();
    (0..total).map(move |number| {
        let mut rest = number;
        let mut values: Values<'_> = Vec::with_capacity(axes.len());
        for axis in axes.iter().rev() {
            let count = axis.values.len().max(1);
            let value = axis.values.get(rest % count).and_then(Option::as_deref);
            rest /= count;
            values.push((axis, value));
        }
        values.reverse();
        values
    })
}

/// The request as asked, with what a sweep left out: what it set is seen.
fn described(asked: Result<(Source, Option<Request>), String>, values: &Values<'_>) -> String {
    let mut text = match asked {
        Ok((_, Some(request))) => title(&request),
        Ok((source, None)) => format!("the calls of {}", source_name(&source)),
        Err(_) => String::new(),
    };
    for (axis, _) in values.iter().filter(|(_, value)| value.is_none()) {
        text.push_str(", no ");
        text.push_str(&axis.label);
    }
    text
}

fn set(list: &mut Vec<(String, String)>, name: &str, value: Option<&str>) {
    let is = |other: &str| other.eq_ignore_ascii_case(name);
    match (list.iter_mut().find(|(other, _)| is(other)), value) {
        (Some((_, old)), Some(value)) => value.clone_into(old),
        (None, Some(value)) => list.push((name.to_owned(), value.to_owned())),
        (_, None) => list.retain(|(other, _)| !is(other)),
    }
}

/// The client and, if a URL is given, the request.
fn asked(
    question: &Question,
    namespace: &str,
    values: &Values<'_>,
) -> Result<(Source, Option<Request>), String> {
    let mut template: Template = question.template.clone();
    let mut path = None;
    for (axis, value) in values {
        let text = value.map(str::to_owned);
        match &axis.knob {
            Knob::Url => template.url = text,
            Knob::From => template.from = text,
            Knob::Method => template.method = text,
            Knob::Principal => template.principal = text,
            Knob::Path => path = text,
            Knob::Header(name) => set(&mut template.headers, name, *value),
            Knob::Cookie(name) => set(&mut template.cookies, name, *value),
        }
    }
    let from = template.from.as_deref().unwrap_or("gateway");
    let source = Source::parse(from, namespace).map_err(|error| format!("from {from}: {error}"))?;
    let Some(url) = &template.url else { return Ok((source, None)) };
    let mut request = Request::parse(url, source.clone()).map_err(|error| error.to_string())?;
    if let Some(method) = &template.method {
        request.method = method.to_ascii_uppercase();
    }
    if let Some(path) = path {
        request.path = path;
    }
    for (name, value) in &template.headers {
        match name.to_ascii_lowercase() {
            name if name == "cookie" => request.add_cookie(value),
            name => request.headers.push((name, value.clone())),
        }
    }
    if !template.cookies.is_empty() {
        let pairs: Vec<String> =
            template.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        request.add_cookie(&pairs.join("; "));
    }
    request.principal = template.principal;
    Ok((source, Some(request)))
}

fn legs(
    scene: Scene<'_, '_>,
    question: &Question,
    source: &Source,
    request: Option<&Request>,
) -> Result<Vec<Leg>, String> {
    let Scene { mesh, known, .. } = scene;
    let now = question.template.now.unwrap_or(known.now);
    let known = &Known { now, env: known.env.clone() };
    let mut legs = Vec::new();
    let Some(request) = request else {
        let Source::Workload { kind, namespace, name } = source else {
            return Err(
                "a gateway makes no calls of its own: name a `url`, or a workload in `from`".to_owned()
            );
        };
        let client = mesh.workloads.iter().find(|(_, workload)| {
            workload.resource.kind.eq_ignore_ascii_case(kind)
                && workload.namespace() == namespace
                && workload.resource.name.as_str() == name
        });
        let Some((id, _)) = client else {
            return Err(format!("there is no workload {} in this state", source_name(source)));
        };
        let made = calls(mesh, id);
        if made.is_empty() {
            return Err(format!("nothing in the input says which calls {} makes", source_name(source)));
        }
        for call in made {
            let trace = trace(mesh, &call.request, known);
            let followed = trace.as_ref().map(|trace| follow(mesh, trace, known)).unwrap_or_default();
            let why = Some(Line { text: call.why.clone(), span: Some(call.cause.span) });
            legs.push(Leg { title: title(&call.request), why, trace });
            followed.into_iter().for_each(|call| add_followed(call, &mut legs));
        }
        return Ok(legs);
    };
    let trace = trace(mesh, request, known);
    let followed = match &trace {
        Ok(trace) if question.follow => follow(mesh, trace, known),
        _ => Vec::new(),
    };
    legs.push(Leg { title: title(request), why: None, trace });
    followed.into_iter().for_each(|call| add_followed(call, &mut legs));
    Ok(legs)
}

fn add_followed(followed: Followed, legs: &mut Vec<Leg>) {
    let Followed { call, trace, calls, .. } = followed;
    let why = Some(Line { text: call.why, span: Some(call.cause.span) });
    legs.push(Leg { title: title(&call.request), why, trace });
    calls.into_iter().for_each(|call| add_followed(call, legs));
}

/// `GET http://vote.example/ from gateway, cookie: a=b`
fn title(request: &Request) -> String {
    let method = if request.is_http() { format!("{} ", request.method) } else { String::new() };
    let headers: String = request.headers.iter().map(|(name, value)| format!(", {name}: {value}")).collect();
    format!("{method}{} from {}{headers}", request.url(), source_name(&request.from))
}

fn judge(scene: Scene<'_, '_>, claim: &Claim, legs: &[Leg]) -> Option<Miss> {
    let expected = describe(claim);
    let miss = |leg: usize, found: String| Miss { expected: expected.clone(), found, leg: Some(leg) };
    if let Claim::Never(target) | Claim::Only(target) = claim {
        if let Some(found) = target.unknown(scene.vocabulary) {
            return Some(Miss { expected, found, leg: None });
        }
        let mut reached = 0;
        for (index, leg) in legs.iter().enumerate() {
            let found = match &leg.trace {
                Err(error) => Some(error.to_string()),
                Ok(trace) => match claim {
                    Claim::Never(_) => led_there(target, trace),
                    _ => strays(target, trace, &mut reached),
                },
            };
            if let Some(found) = found {
                return Some(miss(index, found));
            }
        }
        let vacuous = matches!(claim, Claim::Only(_)) && reached == 0;
        return vacuous.then(|| miss(0, "no pods are reached at all".to_owned()));
    }
    if let Claim::Shares(shares) = claim
        && let Some(found) = shares.iter().find_map(|(key, _)| scene.vocabulary.lacks_key(key))
    {
        return Some(Miss { expected, found, leg: None });
    }
    let trace = match &legs.first()?.trace {
        Ok(trace) => trace,
        Err(error) => return Some(miss(0, error.to_string())),
    };
    let found = match claim {
        Claim::Reaches(target) => outcomes(trace).find_map(|outcome| not_at(target, outcome)),
        Claim::Mirrors(target) => {
            let mut copies = trace.mirrors().filter(|copy| !copy.share.is_none());
            let copied = |copy: &Outcome| not_at(target, copy).is_none();
            match trace.mirrors().next() {
                None => Some("nothing is copied".to_owned()),
                Some(first) => {
                    (!copies.any(copied)).then(|| not_at(target, first).unwrap_or_else(|| where_to(first)))
                }
            }
        }
        Claim::Shares(shares) => {
            let (expected, found) = not_shared(shares, trace)?;
            return Some(Miss { expected, found, leg: Some(0) });
        }
        Claim::Status(any) => outcomes(trace).find_map(|outcome| {
            let status = status(&outcome.end);
            (!status.as_ref().is_some_and(|status| any.contains(status)))
                .then(|| found(outcome, &ended(outcome)))
        }),
        Claim::Redirect(wanted) => outcomes(trace).find_map(|outcome| match &outcome.end {
            End::Redirect { location, .. } if location == wanted => None,
            _ => Some(found(outcome, &ended(outcome))),
        }),
        Claim::Flag(any) => outcomes(trace).find_map(|outcome| match &outcome.end {
            End::Failed(failure) if any.iter().any(|flag| flag == failure.flag.as_str()) => None,
            _ => Some(found(outcome, &ended(outcome))),
        }),
        Claim::Never(_) | Claim::Only(_) => None,
    };
    found.map(|found| miss(0, found))
}

fn describe(claim: &Claim) -> String {
    match claim {
        Claim::Reaches(target) => format!("reaches {}", target.describe()),
        Claim::Never(target) => format!("never reaches {}", target.describe()),
        Claim::Only(target) => format!("reaches only {}", target.describe()),
        Claim::Mirrors(target) => format!("is copied to {}", target.describe()),
        Claim::Shares(shares) => divided(shares, false),
        Claim::Status(any) if any.iter().all(|status| status == "none") => "no answer".to_owned(),
        Claim::Status(any) => format!("status {}", any.join(" or ")),
        Claim::Redirect(to) => format!("a redirect to {to}"),
        Claim::Flag(any) => format!("fails with {}", any.join(" or ")),
    }
}

/// The outcomes that anybody meets.
fn outcomes(trace: &Trace) -> impl Iterator<Item = &Outcome> {
    trace.outcomes().filter(|outcome| !outcome.share.is_none())
}

/// A finding with the share it is about.
fn found(outcome: &Outcome, text: &str) -> String {
    if outcome.share == Share::ALL {
        text.to_owned()
    } else {
        format!("{} of the requests: {text}", outcome.share)
    }
}

/// Why not everything of an outcome is answered by what the target describes.
fn not_at(target: &Target, outcome: &Outcome) -> Option<String> {
    if !matches!(outcome.end, End::Answered | End::Partly(_) | End::Leaves(_)) {
        return Some(found(outcome, &ended(outcome)));
    }
    let mut pods = outcome.called().into_iter().peekable();
    if pods.peek().is_none() {
        return target.miss(outcome, None).map(|has| found(outcome, &format!("{has} ({})", ended(outcome))));
    }
    pods.find_map(|pod| {
        let has = match &pod.end {
            End::Partly(failure) | End::Failed(failure) => Some(failure.reason.clone()),
            _ => target.miss(outcome, Some(pod)),
        };
        let at = name(&pod.workload.object);
        has.map(|has| match has.as_str() {
            "" => found(outcome, &format!("answered by {at}")),
            has => found(outcome, &format!("{has} at {at}")),
        })
    })
}

/// What of a way leads to the target, whether it is answered there or not.
fn led_there(target: &Target, trace: &Trace) -> Option<String> {
    let all =
        trace.outcomes().map(|outcome| (outcome, "")).chain(trace.mirrors().map(|copy| (copy, "a copy: ")));
    all.filter(|(outcome, _)| !outcome.share.is_none()).find_map(|(outcome, kind)| {
        let pods = outcome.called();
        let to = if pods.is_empty() {
            // An answer of the proxy's own is nowhere.
            let is_somewhere = outcome.host.is_some() || !outcome.cluster.is_empty();
            (is_somewhere && target.is_meant(outcome)).then(|| where_to(outcome))?
        } else {
            let at = pods.into_iter().find(|pod| target.miss(outcome, Some(pod)).is_none())?;
            name(&at.workload.object)
        };
        Some(found(outcome, &format!("{kind}reaches {to}")))
    })
}

/// What of a way is not the target, or not answered. Counts what is.
fn strays(target: &Target, trace: &Trace, reached: &mut usize) -> Option<String> {
    for outcome in outcomes(trace).chain(trace.mirrors().filter(|copy| !copy.share.is_none())) {
        match &outcome.end {
            End::Partly(_) | End::Failed(_) => return Some(found(outcome, &ended(outcome))),
            // What leaves is nowhere unless the destination itself is what is asked for.
            End::Answered | End::Leaves(_) => {
                if let Some(not_there) = not_at(target, outcome) {
                    return Some(not_there);
                }
                *reached += 1;
            }
            End::Redirect { .. } | End::Direct { .. } => {}
        }
    }
    None
}

/// Whether an outcome is what a key of `shares` names.
fn is_called(key: &str, outcome: &Outcome) -> bool {
    if status(&outcome.end).is_some_and(|status| status == key) {
        return true;
    }
    if !matches!(outcome.end, End::Answered | End::Leaves(_)) {
        return false;
    }
    let mut pods = outcome.called().into_iter().peekable();
    let some = pods.peek().is_some();
    outcome.subset.as_ref().is_some_and(|(subset, _)| subset == key)
        || (some && pods.all(|pod| pod.version.as_deref() == Some(key) || pod.workload.object.name == key))
}

/// `90 % v1, 10 % v2`, with the fractions if the percentages hide them.
fn divided(shares: &[(String, Share)], exactly: bool) -> String {
    let one = |(key, share): &(String, Share)| match exactly {
        true => format!("{share} ({}/{}) {key}", share.parts(), share.total()),
        false => format!("{share} {key}"),
    };
    shares.iter().map(one).collect::<Vec<String>>().join(", ")
}

/// What was expected and what was found.
fn not_shared(shares: &[(String, Share)], trace: &Trace) -> Option<(String, String)> {
    let sum = |key: &str| {
        let of_key = outcomes(trace).filter(|outcome| is_called(key, outcome));
        of_key.fold(Share::new(0, 1), |sum, outcome| sum.plus(outcome.share))
    };
    if shares.iter().all(|(key, share)| sum(key) == *share) {
        return None;
    }
    let mut actual: Vec<(String, Share)> = Vec::new();
    for outcome in outcomes(trace) {
        let key = shares.iter().find(|(key, _)| is_called(key, outcome)).map(|(key, _)| key.clone());
        let label = key.unwrap_or_else(|| match outcome.end {
            End::Answered | End::Leaves(_) => where_to(outcome),
            _ => ended(outcome),
        });
        match actual.iter_mut().find(|(known, _)| *known == label) {
            Some((_, share)) => *share = share.plus(outcome.share),
            None => actual.push((label, outcome.share)),
        }
    }
    let hidden = shares.iter().any(|(key, share)| {
        let own = sum(key);
        own != *share && own.to_string() == share.to_string()
    });
    Some((divided(shares, hidden), divided(&actual, hidden)))
}

/// The status that a proxy answers with; `none` when nobody does; nothing when pods answer.
fn status(end: &End) -> Option<String> {
    match end {
        End::Answered | End::Partly(_) | End::Leaves(_) => None,
        End::Redirect { status, .. } | End::Direct { status, .. } => Some(status.to_string()),
        End::Failed(failure) => {
            Some(failure.status.map_or_else(|| "none".to_owned(), |status| status.to_string()))
        }
    }
}
