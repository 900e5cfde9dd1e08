//! What a real Envoy does with a request.

use std::net::SocketAddr;

use super::case::Ask;
use super::outcome::{self, Outcomes, Seen};
use crate::envoy::Envoy;
use crate::lower::ask::{self, Answer, Asker};
use crate::lower::{Door, Lowered};

/// How many times a request is sent at most when several outcomes are expected. One with a share of a tenth is
/// missed by chance once in 10¹³ times.
const TRIES: usize = 300;
/// A predicted outcome with at least this share must be seen.
const MUST_BE_SEEN: f64 = 0.1;

/// What is wrong with a prediction, or nothing.
///
/// # Errors
/// The disagreement, in words.
pub fn check(envoy: &Envoy, lowered: &Lowered, ask: &Ask, predicted: &Outcomes) -> Result<(), String> {
    let mut missing: Vec<&String> =
        predicted.iter().filter(|(_, share)| **share >= MUST_BE_SEEN).map(|(text, _)| text).collect();
    let address = lowered.doors.get(&door(ask)).map(|listener| envoy.listener(listener));
    let mut seen = Outcomes::new();
    let mut asker = None;
    for attempt in 0..TRIES {
        let observed = observe(address, ask, &mut asker);
        missing.retain(|text| **text != observed);
        let is_predicted = predicted.contains_key(&observed);
        *seen.entry(observed).or_default() += 1.0;
        if !is_predicted || (missing.is_empty() && (attempt > 0 || ask.tcp)) {
            break;
        }
    }
    let surprise = seen.keys().find(|text| !predicted.contains_key(*text));
    match (surprise, missing.first()) {
        (Some(surprise), _) => Err(format!("Envoy: {surprise}\n  route: {}", list(predicted))),
        (None, Some(missing)) => {
            Err(format!("Envoy never did: {missing}\n  Envoy: {}\n  route: {}", list(&seen), list(predicted)))
        }
        (None, None) => Ok(()),
    }
}

fn list(outcomes: &Outcomes) -> String {
    let lines: Vec<String> = outcomes.iter().map(|(text, share)| format!("{share:.3} {text}")).collect();
    lines.join("\n         ")
}

/// Where a request enters.
pub fn door(ask: &Ask) -> Door {
    let (kind, namespace, name) = ask.source();
    let name = format!("{namespace}/{name}");
    match kind {
        "gateway" => Door::Gateway { gateway: name, port: ask.port },
        _ => Door::Outbound { client: name, host: ask.dial.clone(), port: ask.port },
    }
}

fn observe(address: Option<SocketAddr>, ask: &Ask, asker: &mut Option<Asker>) -> String {
    // Istio opens no listener: the connection is refused.
    let Some(address) = address else { return outcome::closed() };
    if ask.tcp {
        return ask::tcp(address).map_or_else(outcome::closed, |pod| format!("pod {pod}"));
    }
    let mut headers: Vec<(&str, &[u8])> = vec![("Host", ask.host.as_bytes())];
    headers.extend(ask.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
    let connection = asker.get_or_insert_with(|| Asker::new(address));
    match connection.ask(&ask.method, &ask.path, &headers) {
        Ok(answer) => {
            let ends = answer.response.all("connection").iter().any(|value| value == "close");
            // Without a proxy each connection stays with one pod.
            if ends || answer.cluster.is_empty() {
                *asker = None;
            }
            text(&answer)
        }
        Err(_) => {
            *asker = None;
            outcome::closed()
        }
    }
}

fn text(answer: &Answer) -> String {
    let rule = if answer.route.contains('#') { answer.route.as_str() } else { "" };
    let by = &outcome::by(rule);
    let status = u32::from(answer.status);
    if let Some(echo) = &answer.echo {
        let authority = echo.all("host").first().copied().unwrap_or_default();
        let seen = Seen { method: &echo.method, authority, path: &echo.path, headers: &echo.headers };
        return outcome::pod(&echo.version, &answer.cluster, &seen, by);
    }
    if let Some(location) = answer.response.text("location") {
        return outcome::redirect(status, &location, by);
    }
    let is_transport = answer.flags.split(',').any(|flag| matches!(flag, "UF" | "UC" | "URX"));
    // Without flags it is the pod's own sidecar that could not reach the application.
    let is_own = answer.route.is_empty() || !answer.cluster.is_empty();
    if status == 503 && (is_transport || (answer.flags.is_empty() && is_own)) {
        return outcome::refused(by);
    }
    if answer.flags.is_empty() {
        return outcome::direct(status, &String::from_utf8_lossy(&answer.response.body), by);
    }
    outcome::failed(status, &answer.flags, by)
}
