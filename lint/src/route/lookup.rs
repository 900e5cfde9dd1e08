//! The http rule of a request by the hosts of VirtualServices alone, as istio-config-validator looks it up: whatever
//! the gateway, the port and the client. Knows rules, not where they lead.

use super::message::{Block, Matcher, Message, can_join};
use super::request::split_port;
use super::rules::blocks;
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

/// A rule and its VirtualService.
pub type Rule<'m, 'a> = (&'m VirtualService<'a>, &'a Spanned<HttpRoute>);

/// The rule that takes a request, and the one that it delegates to.
#[derive(Clone, Copy, Debug)]
pub struct Taken<'m, 'a> {
    /// The rule of the VirtualService that has the host.
    pub root: Rule<'m, 'a>,
    /// The delegate's rule.
    pub leaf: Option<Rule<'m, 'a>>,
}

/// The rule that takes a request. The most specific host comes first; a VirtualService without a rule for the request
/// leaves it to the next.
#[must_use]
pub fn by_host<'m, 'a>(mesh: &'m Mesh<'a>, request: &Bare) -> Option<Taken<'m, 'a>> {
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
    found.into_iter().find_map(|(_, service)| in_service(mesh, service, request))
}

/// The rule of a VirtualService that takes a request, its hosts aside. A rule whose delegate is not there, or has no rule
/// for the request, takes nothing.
fn in_service<'m, 'a>(
    mesh: &'m Mesh<'a>,
    service: &'m VirtualService<'a>,
    request: &Bare,
) -> Option<Taken<'m, 'a>> {
    let regexes = Regexes::default();
    let matcher = Matcher { regexes: &regexes };
    let message = request.message();
    let takes = |block: &Block<'a>| block.is_none_or(|block| matcher.block(block, &message).is_some());
    service.spec.http.iter().find_map(|rule| {
        blocks(&rule.r#match).filter(takes).find_map(|block| {
            let root = (service, rule);
            let Some(delegate) = rule.delegate.get() else { return Some(Taken { root, leaf: None }) };
            let other = mesh.routes.delegate_of(service, delegate)?;
            let leaf = other.spec.http.iter().find(|leaf| {
                let mut own = blocks(&leaf.r#match).filter(takes);
                own.any(|own| block.zip(own).is_none_or(|(root, leaf)| can_join(root, leaf)))
            })?;
            Some(Taken { root, leaf: Some((other, leaf)) })
        })
    })
}
