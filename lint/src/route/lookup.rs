//! The http rule of a request by the hosts of VirtualServices alone, as istio-config-validator looks it up: whatever
//! the gateway, the port and the client. Knows rules, not where they lead.

use super::message::{Matcher, Message};
use super::request::split_port;
use crate::mesh::Mesh;
use crate::mesh::host::{matches, more_specific};
use crate::mesh::matching::Regexes;
use crate::mesh::routes::VirtualService;
use crate::resource::networking::HttpRoute;
use crate::span::Spanned;

/// A request without client and port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bare {
    /// `:authority`
    pub authority: String,
    /// `:method`
    pub method: String,
    /// `:path`
    pub path: String,
    /// All other headers.
    pub headers: Vec<(String, String)>,
}

impl Bare {
    fn message(&self) -> Message {
        let headers = self.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
        Message {
            scheme: "http",
            method: self.method.clone(),
            authority: self.authority.clone(),
            path: self.path.clone(),
            headers: headers.collect(),
        }
    }
}

/// The rule that takes a request, and its VirtualService. The most specific host comes first; a VirtualService
/// without a rule for the request leaves it to the next.
#[must_use]
pub fn by_host<'m, 'a>(
    mesh: &'m Mesh<'a>,
    request: &Bare,
) -> Option<(&'m VirtualService<'a>, &'a Spanned<HttpRoute>)> {
    let host = split_port(&request.authority).0.to_ascii_lowercase();
    let mut found: Vec<(&str, &VirtualService<'a>)> = Vec::new();
    for service in mesh.routes.iter() {
        let written = service.spec.hosts.iter().map(|name| name.as_str());
        let names = written.chain(service.hosts.iter().map(|name| name.as_str()));
        let best = names
            .filter(|name| matches(name, &host))
            .reduce(|best, name| if more_specific(name, best) { name } else { best });
        found.extend(best.map(|best| (best, service)));
    }
    found.sort_by(|(a, _), (b, _)| match (more_specific(a, b), more_specific(b, a)) {
        (true, _) => std::cmp::Ordering::Less,
        (_, true) => std::cmp::Ordering::Greater,
        _ => std::cmp::Ordering::Equal,
    });
    found.into_iter().find_map(|(_, service)| in_service(service, request).map(|rule| (service, rule)))
}

/// The rule of a VirtualService that takes a request, its hosts aside.
#[must_use]
pub fn in_service<'a>(service: &VirtualService<'a>, request: &Bare) -> Option<&'a Spanned<HttpRoute>> {
    let regexes = Regexes::default();
    let matcher = Matcher { regexes: &regexes };
    let message = request.message();
    service.spec.http.iter().find(|rule| {
        rule.r#match.is_empty() || rule.r#match.iter().any(|block| matcher.block(block, &message).is_some())
    })
}
