//! What `coalmine::route` says comes of a request.

use coalmine::mesh::Mesh;
use coalmine::mesh::mtls::Sent;
use coalmine::mesh::workloads::{Proxy as Handler, Workload};
use coalmine::route::{
    End, Endpoint, Failure, Flag, HopKind, Known, Outcome, Path, Request, Scheme, Server, Share, Source,
    trace,
};

use super::case::Ask;
use super::outcome::{self, Outcomes, Seen};
use crate::lower::name_of;

/// Every outcome with its share.
///
/// # Errors
/// When the question has no answer.
pub fn predict(mesh: &Mesh<'_>, ask: &Ask) -> Result<Outcomes, String> {
    let trace = trace(mesh, &request(ask), &Known::default()).map_err(|error| error.to_string())?;
    let mut outcomes = Outcomes::new();
    for path in &trace.paths {
        let by = by(mesh, path);
        for outcome in &path.outcomes {
            for (text, share) in texts(mesh, ask, outcome, &by) {
                *outcomes.entry(text).or_default() += share;
            }
        }
    }
    Ok(outcomes)
}

fn request(ask: &Ask) -> Request {
    let (kind, namespace, name) = ask.source();
    let (namespace, name) = (namespace.to_owned(), name.to_owned());
    let from = match kind {
        "gateway" => Source::Gateway { namespace, name },
        kind => Source::Workload { kind: kind.to_owned(), namespace, name },
    };
    let host = match ask.dial.is_empty() {
        true => ask.host.split(':').next().unwrap_or_default().to_ascii_lowercase(),
        false => ask.dial.clone(),
    };
    let mut headers = ask.headers.clone();
    if !ask.tcp {
        headers.push(("host".to_owned(), ask.host.clone()));
    }
    Request {
        from,
        scheme: if ask.tcp { Scheme::Tcp } else { Scheme::Http },
        host,
        port: ask.port,
        method: ask.method.clone(),
        path: ask.path.clone(),
        headers,
        principal: None,
    }
}

/// The rule that took the request, as the lowering names its routes.
fn by(mesh: &Mesh<'_>, path: &Path) -> String {
    let hop = path.hops.iter().find(|hop| hop.kind == HopKind::VirtualService);
    let Some((object, span)) = hop.and_then(|hop| Some((hop.object.as_ref()?, hop.span?))) else {
        return String::new();
    };
    let named = |service: &&coalmine::mesh::routes::VirtualService<'_>| {
        Some(service.namespace()) == object.namespace.as_deref() && service.resource.name.value == object.name
    };
    let Some(service) = mesh.routes.iter().find(named) else { return String::new() };
    for (index, rule) in service.spec.http.iter().enumerate() {
        let name = format!("{}/{}#{index}", service.namespace(), object.name);
        if rule.r#match.is_empty() && rule.span == span {
            return outcome::by(&format!("{name}.-"));
        }
        if let Some(place) = rule.r#match.iter().position(|block| block.span == span) {
            return outcome::by(&format!("{name}.{place}"));
        }
    }
    String::new()
}

fn is_bare(mesh: &Mesh<'_>, ask: &Ask) -> bool {
    let (kind, namespace, name) = ask.source();
    let client = format!("{namespace}/{name}");
    kind != "gateway" && mesh.workloads.iter().any(|(_, w)| name_of(w) == client && w.proxy == Handler::None)
}

fn part(share: Share) -> f64 {
    share.parts() as f64 / share.total() as f64
}

fn texts(mesh: &Mesh<'_>, ask: &Ask, own: &Outcome, by: &str) -> Vec<(String, f64)> {
    let share = part(own.share);
    let by = if ask.tcp { "" } else { by };
    match &own.end {
        End::Redirect { status, location } => vec![(outcome::redirect(*status, location, by), share)],
        End::Direct { status, body } => {
            vec![(outcome::direct(*status, body.as_deref().unwrap_or_default(), by), share)]
        }
        End::Leaves(_) => vec![(outcome::passes(), share)],
        End::Failed(_) | End::Partly(_) | End::Answered => {
            // Pods that are not there get nothing while others are.
            let behind: Vec<&Endpoint> = own.endpoints.iter().filter(|endpoint| is_there(endpoint)).collect();
            let share = if behind.is_empty() { share } else { share / behind.len() as f64 };
            match (&own.end, behind.as_slice()) {
                (End::Failed(failure), []) => vec![(failed(failure, by), share)],
                (_, some) => some.iter().map(|endpoint| (at(mesh, ask, own, endpoint, by), share)).collect(),
            }
        }
    }
}

fn is_there(endpoint: &Endpoint) -> bool {
    let is_missing = matches!(&endpoint.end, End::Failed(failure) if failure.flag == Flag::Uh);
    endpoint.port.is_some() && !is_missing
}

fn failed(failure: &Failure, by: &str) -> String {
    match (failure.flag, failure.status) {
        (_, None) => outcome::closed(),
        (Flag::Uf | Flag::Uc, Some(_)) => outcome::refused(by),
        // The virtual host `block_all`.
        (Flag::None, Some(status)) => outcome::direct(status, "", by),
        (flag, Some(status)) => outcome::failed(status, flag.as_str(), by),
    }
}

fn at(mesh: &Mesh<'_>, ask: &Ask, own: &Outcome, endpoint: &Endpoint, by: &str) -> String {
    match &endpoint.end {
        End::Failed(failure) => failed(failure, by),
        // Such TLS may be the application's own, and these applications speak none.
        _ if endpoint.sent == Some(Sent::Simple) => {
            if ask.tcp {
                outcome::closed()
            } else {
                outcome::refused(by)
            }
        }
        _ => {
            let workload =
                mesh.workloads.get(endpoint.id).map_or_else(String::new, |w: &Workload<'_>| name_of(w));
            let name = format!("{workload}:{}", endpoint.port.unwrap_or_default());
            if ask.tcp {
                // What is sent is not HTTP, which is up to the client and not to the route.
                let host = own.host.as_deref().and_then(|host| mesh.registry.named(host).next());
                let port = host.zip(own.port).and_then(|(host, port)| host.port(port));
                let expects_http = port.is_some_and(|port| port.protocol.is_http());
                let has_sidecar = matches!(endpoint.server, Server::Sidecar(_));
                return if expects_http && has_sidecar { outcome::closed() } else { format!("pod {name}") };
            }
            let sent = &own.forwarded;
            let seen = Seen {
                method: &sent.method,
                authority: &sent.authority,
                path: &sent.path,
                headers: &sent.headers,
            };
            // A client without a proxy has no clusters.
            let cluster = if is_bare(mesh, ask) { "" } else { own.cluster.as_str() };
            outcome::pod(&name, cluster, &seen, by)
        }
    }
}
