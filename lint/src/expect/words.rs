//! How a request went, for the message of a claim that is not true of it. Knows traces, not claims.

use super::Line;
use super::check::Leg;
use super::target::name;
use crate::render::route::server_name;
use crate::route::{self, Cause, End, HopKind, Outcome, Share};
use crate::span::Span;

/// How an outcome ends, in words.
pub(super) fn ended(outcome: &Outcome) -> String {
    match &outcome.end {
        End::Answered => {
            let pods: Vec<String> = outcome.answering().map(|pod| name(&pod.workload.object)).collect();
            format!("answered by {}", pods.join(", "))
        }
        End::Partly(failure) => {
            let pods: Vec<String> = outcome.answering().map(|pod| name(&pod.workload.object)).collect();
            format!("answered by {}, or {}: {}", pods.join(", "), failed(failure), failure.reason)
        }
        End::Leaves(reason) => format!("leaves: {reason}"),
        End::Redirect { status, location } => format!("{status} redirect to {location}"),
        End::Direct { status, .. } => format!("{status} from the proxy itself"),
        End::Failed(failure) => format!("{}: {}", failed(failure), failure.reason),
    }
}

/// `503 UH, no healthy upstream`
fn failed(failure: &route::Failure) -> String {
    let status = failure.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    match failure.flag.as_str() {
        "-" => status,
        flag => format!("{status} {flag}, {}", failure.flag.describe()),
    }
}

/// The destination of an outcome.
pub(super) fn where_to(outcome: &Outcome) -> String {
    match &outcome.host {
        Some(host) => {
            let port = outcome.port.map_or_else(String::new, |port| format!(":{port}"));
            let subset =
                outcome.subset.as_ref().map_or_else(String::new, |(subset, _)| format!(", subset {subset}"));
            format!("{host}{port}{subset}")
        }
        None if outcome.cluster.is_empty() => ended(outcome),
        None => outcome.cluster.clone(),
    }
}

/// How a leg goes, in short, with the calls that lead to it named.
pub(super) fn way(legs: &[Leg], leg: Option<usize>) -> Vec<Line> {
    let mut lines = Vec::new();
    let Some((index, leg)) = leg.and_then(|index| Some((index, legs.get(index)?))) else { return lines };
    if index > 0 || leg.why.is_some() {
        lines.push(Line {
            text: match &leg.why {
                Some(why) => format!("call {} ({})", leg.title, why.text),
                None => leg.title.clone(),
            },
            span: leg.why.as_ref().and_then(|why| why.span),
        });
    }
    let Ok(trace) = &leg.trace else { return lines };
    for path in &trace.paths {
        if trace.paths.len() > 1 {
            lines.push(Line { text: format!("{} of the visitors", path.share), span: None });
        }
        for hop in &path.hops {
            let object = hop.object.as_ref().map(|object| format!("{}: ", name(object))).unwrap_or_default();
            lines.push(Line { text: format!("{object}{}", hop.summary), span: hop.span });
            let is_rule = matches!(hop.kind, HopKind::VirtualService | HopKind::Delegate);
            let details = hop.details.iter().filter(|_| is_rule);
            lines.extend(
                details.filter(|detail| detail.span.is_some_and(|span| Some(span) != hop.span)).map(
                    |detail| Line { text: format!("  {} {}", detail.label, detail.text), span: detail.span },
                ),
            );
        }
        for outcome in path.outcomes.iter().chain(&path.mirrors) {
            outcome_lines(outcome, &mut lines);
        }
    }
    lines.extend(trace.notes.iter().map(|note| Line { text: format!("note: {note}"), span: None }));
    lines
}

fn span(cause: Option<&Cause>) -> Option<Span> {
    cause.map(|cause| cause.span)
}

fn outcome_lines(outcome: &Outcome, lines: &mut Vec<Line>) {
    let share = if outcome.share == Share::ALL { String::new() } else { format!("{} ", outcome.share) };
    if outcome.host.is_some() {
        let text = format!("{share}to {}", where_to(outcome));
        lines.push(Line { text, span: span(outcome.cause.as_ref()) });
        if let Some((subset, Some(cause))) = &outcome.subset {
            let text = format!("  subset {subset} of {}", name(&cause.object));
            lines.push(Line { text, span: Some(cause.span) });
        }
    }
    for pod in outcome.called() {
        let version = pod.version.as_ref().map_or_else(String::new, |version| format!(", version {version}"));
        let text = format!("  pods of {}{version}", name(&pod.workload.object));
        lines.push(Line { text, span: Some(pod.workload.span) });
        if let Some(cause) = &pod.cause {
            let text = format!("  accept {}: {}", server_name(pod.server), name(&cause.object));
            lines.push(Line { text, span: Some(cause.span) });
        }
    }
    match &outcome.end {
        End::Answered => {}
        End::Partly(failure) | End::Failed(failure) => {
            lines.push(Line { text: format!("  {}", failed(failure)), span: span(failure.cause.as_ref()) });
        }
        _ => lines.push(Line { text: format!("  {}", ended(outcome)), span: None }),
    }
}
