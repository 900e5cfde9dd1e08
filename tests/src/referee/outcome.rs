//! What can come of a request, in the same words for prediction and observation.

use std::collections::BTreeMap;

/// Outcomes and their shares of all such requests.
pub type Outcomes = BTreeMap<String, f64>;

/// Headers that are compared at the pod; the generator uses no others.
const COMPARED: [&str; 7] = ["x-v", "x-user", "cookie", "x-set", "x-add", "x-canary", "user-agent"];

/// A pod answered.
pub fn pod(name: &str, cluster: &str, request: &Seen<'_>, by: &str) -> String {
    let mut headers: Vec<String> = Vec::new();
    for name in COMPARED {
        let values: Vec<&str> =
            request.headers.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str()).collect();
        if !values.is_empty() {
            headers.push(format!("{name}={}", values.join(",")));
        }
    }
    // Without a proxy of the client's, the path is only normalized where there is one of the pod's.
    let path = if cluster.is_empty() { "" } else { request.path };
    format!(
        "pod {name} via {cluster}: {} {}{path} [{}]{by}",
        request.method,
        request.authority,
        headers.join(" | ")
    )
}

/// A request as a pod gets it.
pub struct Seen<'s> {
    /// The method.
    pub method: &'s str,
    /// The authority.
    pub authority: &'s str,
    /// Path and query.
    pub path: &'s str,
    /// Names in lower case.
    pub headers: &'s [(String, String)],
}

/// The proxy could not get an answer from a pod: the handshake failed, the connection broke, nobody listens.
pub fn refused(by: &str) -> String {
    format!("503 refused{by}")
}

/// The proxy answered with this flag.
pub fn failed(status: u32, flag: &str, by: &str) -> String {
    format!("{status} {flag}{by}")
}

/// The proxy redirected.
pub fn redirect(status: u32, location: &str, by: &str) -> String {
    format!("{status} to {location}{by}")
}

/// The proxy answered what the rule says.
pub fn direct(status: u32, body: &str, by: &str) -> String {
    format!("{status} direct {body:?}{by}")
}

/// The request would go where it was going, past the mesh.
pub fn passes() -> String {
    "passes through".to_owned()
}

/// The connection was closed.
pub fn closed() -> String {
    "closed".to_owned()
}

/// The rule that decided.
pub fn by(rule: &str) -> String {
    if rule.is_empty() { String::new() } else { format!(" by {rule}") }
}
