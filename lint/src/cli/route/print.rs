//! A route for the terminal: numbered hops on the left, the place of each decision on the right.

use std::fmt::Write as _;

use coalmine::render::route::{server_name, source_name};
use coalmine::route::{
    Cause, Detail, End, Endpoint, Failure, Followed, Hop, HopKind, Outcome, Path, Request, Share, Trace,
    describe_sent,
};
use coalmine::{Files, ResourceName, Span};

use crate::cli::terminal::{BOLD, DIM, GREEN, Printer, RED, WIDEST, shown};

/// One line: what it is about, what it says, where that stands.
struct Row {
    /// The hop's number; none for a line that belongs to the one above.
    number: Option<usize>,
    label: String,
    text: String,
    place: Option<Span>,
    tone: Tone,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tone {
    Plain,
    Detail,
    Good,
    Bad,
}

/// The answer for people.
pub(super) fn human(
    files: &Files,
    step: Option<&str>,
    request: &Request,
    trace: &Trace,
    followed: Option<&[Followed]>,
    color: bool,
) -> String {
    let mut printer = Printer::new(files, color);
    let step = step.map_or(String::new(), |step| format!(", after step {step}"));
    printer.heading(&title(request), &format!(" from {}{step}", source_name(&request.from)));
    printer.trace(trace, 0);
    for call in followed.unwrap_or_default() {
        printer.followed(call, 0);
    }
    if let Some([]) = followed {
        printer.out.push_str("\nNothing in the input says which calls these pods make.\n");
    }
    printer.out
}

fn title(request: &Request) -> String {
    let method = if request.is_http() { format!("{} ", request.method) } else { String::new() };
    shown(&format!("{method}{}", request.url()))
}

impl Printer<'_> {
    fn heading(&mut self, title: &str, rest: &str) {
        let title = self.paint(BOLD, title);
        let _ = writeln!(self.out, "{title}{rest}\n");
    }

    fn followed(&mut self, followed: &Followed, depth: usize) {
        let indent = "  ".repeat(depth);
        let who = format!(" from {} ({})", name(&followed.client.object), followed.call.why);
        let _ = write!(self.out, "\n{indent}");
        let place = self.place(followed.call.cause.span);
        self.heading(&title(&followed.call.request), &format!("{}  {place}", shown(&who)));
        match &followed.trace {
            Ok(trace) => self.trace(trace, depth),
            Err(error) => {
                let _ = writeln!(self.out, "{indent}  {error}");
            }
        }
        for call in &followed.calls {
            self.followed(call, depth + 1);
        }
    }

    fn trace(&mut self, trace: &Trace, depth: usize) {
        for (index, path) in trace.paths.iter().enumerate() {
            if trace.paths.len() > 1 {
                if index > 0 {
                    self.out.push('\n');
                }
                let _ = writeln!(self.out, "{}{} of the visitors", "  ".repeat(depth), path.share);
            }
            let rows = rows(path);
            self.rows(&rows, depth);
        }
        for note in &trace.notes {
            let line = self.paint(DIM, &format!("note: {}", shown(note)));
            let _ = writeln!(self.out, "{}{line}", "  ".repeat(depth));
        }
    }

    fn rows(&mut self, rows: &[Row], depth: usize) {
        let labels = rows.iter().map(|row| row.label.chars().count()).max().unwrap_or(0);
        let fits = rows.iter().filter(|row| row.place.is_some()).map(|row| shown(&row.text).chars().count());
        let wide = fits.filter(|width| *width <= WIDEST).max().unwrap_or(0);
        let indent = "  ".repeat(depth);
        for row in rows {
            let number = row.number.map_or("  ".to_owned(), |number| format!("{number:2}"));
            let label = format!("{:labels$}", row.label);
            let text = shown(&row.text);
            let place = self.beside(&text, wide, row.place);
            let text = match row.tone {
                Tone::Plain => text,
                Tone::Detail => self.paint(DIM, &text),
                Tone::Good => self.paint(GREEN, &text),
                Tone::Bad => self.paint(RED, &text),
            };
            let label = match row.number {
                Some(_) => self.paint(BOLD, &label),
                None => self.paint(DIM, &label),
            };
            let line = format!("{indent}{number}  {label}  {text}{place}");
            let _ = writeln!(self.out, "{}", line.trim_end());
        }
    }
}

/// `Deployment shop/web`
fn name(object: &ResourceName) -> String {
    match &object.namespace {
        Some(namespace) => format!("{} {namespace}/{}", object.kind, object.name),
        None => format!("{} {}", object.kind, object.name),
    }
}

fn rows(path: &Path) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut number = 0;
    for hop in &path.hops {
        number += 1;
        hop_rows(hop, number, &mut rows);
    }
    for outcome in &path.outcomes {
        number += 1;
        outcome_rows(outcome, number, path.share, &mut rows);
    }
    for mirror in &path.mirrors {
        number += 1;
        mirror_rows(mirror, number, &mut rows);
    }
    rows
}

fn hop_rows(hop: &Hop, number: usize, rows: &mut Vec<Row>) {
    let label = match hop.kind {
        HopKind::Listener => match hop.object.as_ref().map(|object| object.kind.as_str()) {
            Some("Gateway") => "gateway",
            _ => "client",
        },
        HopKind::Filter => "filter",
        HopKind::VirtualService => "route",
        HopKind::Delegate => "delegate",
        HopKind::Service => "service",
        HopKind::Unmatched => "no route",
    };
    let object = hop.object.as_ref().map(name);
    let text = match object {
        Some(object) => format!("{object}: {}", hop.summary),
        None => hop.summary.clone(),
    };
    rows.push(Row {
        number: Some(number),
        label: label.to_owned(),
        text,
        place: hop.span,
        tone: Tone::Plain,
    });
    rows.extend(hop.details.iter().map(|Detail { label, text, span }| Row {
        number: None,
        label: String::new(),
        text: format!("{label} {text}"),
        place: *span,
        tone: Tone::Detail,
    }));
}

fn span(cause: Option<&Cause>) -> Option<Span> {
    cause.map(|cause| cause.span)
}

fn destination(outcome: &Outcome) -> String {
    match &outcome.host {
        Some(host) => {
            let port = outcome.port.map_or(String::new(), |port| format!(":{port}"));
            let subset =
                outcome.subset.as_ref().map_or(String::new(), |(name, _)| format!(", subset {name}"));
            format!("{host}{port}{subset}")
        }
        None => outcome.cluster.clone(),
    }
}

fn outcome_rows(outcome: &Outcome, number: usize, of: Share, rows: &mut Vec<Row>) {
    let share = if outcome.share == of { String::new() } else { outcome.share.to_string() };
    let label = if share.is_empty() { "to".to_owned() } else { share };
    let to = destination(outcome);
    let has_destination = outcome.host.is_some();
    if has_destination {
        let place = span(outcome.cause.as_ref());
        rows.push(Row { number: Some(number), label: label.clone(), text: to, place, tone: Tone::Plain });
    }
    let mut add = |text: String, place, tone| {
        rows.push(Row { number: None, label: String::new(), text, place, tone });
    };
    if let Some((subset, Some(cause))) = &outcome.subset {
        add(format!("subset {subset} of {}", name(&cause.object)), Some(cause.span), Tone::Detail);
    } else if let Some(rule) = &outcome.rule {
        add(name(&rule.object), Some(rule.span), Tone::Detail);
    }
    if let Some(tls) = &outcome.tls {
        let sent = tls.sent.map_or("TLS by pod", describe_sent);
        add(format!("sends {sent}: {}", tls.why), span(tls.cause.as_ref()), Tone::Detail);
    }
    for endpoint in &outcome.endpoints {
        let (text, good) = endpoint_text(endpoint);
        add(text, Some(endpoint.workload.span), if good { Tone::Detail } else { Tone::Bad });
        if let Some(policy) = &endpoint.cause {
            let text = format!("accepts {}: {}", server_name(endpoint.server), name(&policy.object));
            add(text, Some(policy.span), Tone::Detail);
        }
    }
    let (text, tone, place) = end(&outcome.end, outcome);
    let number = (!has_destination).then_some(number);
    let label = if has_destination { String::new() } else { label };
    rows.push(Row { number, label, text, place, tone });
    if let Some(failure) = outcome.end.failure() {
        rows.push(Row {
            number: None,
            label: String::new(),
            text: failure.reason.clone(),
            place: None,
            tone,
        });
    }
}

fn endpoint_text(endpoint: &Endpoint) -> (String, bool) {
    let version = endpoint.version.as_ref().map_or(String::new(), |version| format!(", version {version}"));
    let port = endpoint.port.map_or(", without such a port".to_owned(), |port| format!(", port {port}"));
    let server = match (&endpoint.cause, server_name(endpoint.server)) {
        (Some(_), _) => String::new(),
        (None, "application") => ", no sidecar".to_owned(),
        (None, "unknown") => ", sidecar unknown".to_owned(),
        (None, mode) => format!(", accepts {mode}"),
    };
    let text = format!("pods of {}{version}{port}{server}", name(&endpoint.workload.object));
    match &endpoint.end {
        End::Failed(failure) => (format!("{text}: {}", failure.flag.as_str()), false),
        _ => (text, endpoint.port.is_some()),
    }
}

fn end(end: &End, outcome: &Outcome) -> (String, Tone, Option<Span>) {
    match end {
        End::Answered => (format!("answered by {}", answering(outcome)), Tone::Good, None),
        End::Partly(failure) => {
            let text = format!("answered by {}, or {}", answering(outcome), failed(failure));
            (text, Tone::Bad, span(failure.cause.as_ref()))
        }
        End::Leaves(text) => (format!("leaves: {text}"), Tone::Good, None),
        End::Redirect { status, location } => {
            (format!("{status} redirect to {location}"), Tone::Good, span(outcome.cause.as_ref()))
        }
        End::Direct { status, body } => {
            let body = body.as_ref().map_or(String::new(), |body| format!(": {body}"));
            (format!("{status} from the proxy itself{body}"), Tone::Good, span(outcome.cause.as_ref()))
        }
        End::Failed(failure) => (failed(failure), Tone::Bad, span(failure.cause.as_ref())),
    }
}

fn answering(outcome: &Outcome) -> String {
    let names: Vec<&str> =
        outcome.answering().map(|endpoint| endpoint.workload.object.name.as_str()).collect();
    names.join(", ")
}

/// `503 UH, no healthy upstream`
fn failed(failure: &Failure) -> String {
    let status = failure.status.map_or("no answer:".to_owned(), |status| status.to_string());
    match failure.flag.as_str() {
        "-" if failure.status.is_none() => "no answer".to_owned(),
        "-" => status,
        flag => format!("{status} {flag}, {}", failure.flag.describe()),
    }
}

fn mirror_rows(mirror: &Outcome, number: usize, rows: &mut Vec<Row>) {
    let (text, tone, place) = end(&mirror.end, mirror);
    let to = format!("{} of the requests are copied to {}", mirror.share, destination(mirror));
    rows.push(Row {
        number: Some(number),
        label: "mirror".to_owned(),
        text: to,
        place: span(mirror.cause.as_ref()),
        tone: Tone::Plain,
    });
    rows.push(Row { number: None, label: String::new(), text, place, tone });
    if let Some(failure) = mirror.end.failure() {
        rows.push(Row {
            number: None,
            label: String::new(),
            text: failure.reason.clone(),
            place: None,
            tone,
        });
    }
}
