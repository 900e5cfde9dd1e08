//! What Istio's webhook refuses although the schema does not: fields that are optional in the CRD and
//! required in fact (`pkg/config/validation`).

use rustc_hash::FxHashSet;

use super::{Kind, Step, Walker, first_key};
use crate::resource::{Resource, Spec};
use crate::span::Span;
use crate::yaml::NodeRef;

/// One of these makes an HTTP route.
const ACTIONS: [&str; 4] = ["route", "redirect", "directResponse", "delegate"];

/// Which VirtualServices are routed to by others.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Delegates {
    /// Namespace and name.
    delegates: FxHashSet<(String, String)>,
    /// Namespaces with Services or with VirtualServices that have hosts: whoever delegates there may be expected
    /// to be there too.
    known: FxHashSet<String>,
}

impl Delegates {
    pub(super) fn new(resources: &[Resource]) -> Self {
        let mut all = Self::default();
        for resource in resources {
            match &resource.spec {
                Spec::VirtualService(spec) => {
                    if !spec.hosts.is_empty() {
                        all.know(resource.namespace());
                    }
                    for delegate in spec.http.iter().filter_map(|route| route.delegate.get()) {
                        let namespace = delegate.namespace.get().map_or(resource.namespace(), String::as_str);
                        all.delegates.insert((namespace.to_owned(), delegate.name.text().to_owned()));
                    }
                }
                Spec::Service(_) | Spec::ServiceEntry(_) => all.know(resource.namespace()),
                _ => {}
            }
        }
        all
    }

    fn know(&mut self, namespace: &str) {
        if !self.known.contains(namespace) {
            self.known.insert(namespace.to_owned());
        }
    }
}

pub(super) fn check<'a>(
    walker: &mut Walker<'a, '_>,
    resource: &Resource,
    node: NodeRef<'a>,
    delegates: &Delegates,
) {
    if resource.group() != "networking.istio.io" {
        return;
    }
    let kind = resource.kind.value.as_str();
    if !matches!(kind, "VirtualService" | "DestinationRule" | "Gateway") {
        return;
    }
    let Some((key, spec)) = node.entry("spec").filter(|(_, spec)| !spec.is_null()) else {
        let help = format!("without a spec the {kind} says nothing, and Istio refuses it");
        walker.missing(node, "spec", resource.kind.span, Some(help));
        return;
    };
    if !spec.is_mapping() {
        return;
    }
    walker.path.push(Step::Key(key));
    match kind {
        "VirtualService" => virtual_service(walker, resource, spec, key.span(), delegates),
        "Gateway" => gateway(walker, spec, key.span()),
        _ => {}
    }
    walker.path.pop();
}

fn is_empty(value: Option<NodeRef<'_>>) -> bool {
    value.is_none_or(|value| value.is_sequence() && value.items().next().is_none())
}

fn virtual_service<'a>(
    walker: &mut Walker<'a, '_>,
    resource: &Resource,
    spec: NodeRef<'a>,
    owner: Span,
    delegates: &Delegates,
) {
    if is_empty(spec.get("hosts")) {
        let own = ["gateways", "tls", "tcp"].into_iter().find(|name| !is_empty(spec.get(name)));
        let name = (resource.namespace().to_owned(), resource.name.value.clone());
        if let Some(own) = own {
            let help = format!("only a delegate may have no hosts, and a delegate may not have `{own}`");
            walker.missing(spec, "hosts", owner, Some(help));
        } else if delegates.known.contains(resource.namespace()) && !delegates.delegates.contains(&name) {
            let help = "only a delegate may have no hosts, and no VirtualService here delegates to this one";
            let before = walker.found.len();
            walker.missing(spec, "hosts", owner, Some(help.to_owned()));
            // The root may be in a repository that is not part of the input.
            walker.found.iter_mut().skip(before).for_each(|problem| problem.is_warning = true);
        }
    }
    let Some((key, routes)) = spec.entry("http") else { return };
    walker.path.push(Step::Key(key));
    for (index, route) in routes.items().enumerate().filter(|(_, route)| route.is_mapping()) {
        let is_misspelt = ACTIONS.iter().any(|name| walker.misspelt.contains(&(route.id(), *name)));
        if is_misspelt || ACTIONS.iter().any(|name| !is_empty(route.get(name))) {
            continue;
        }
        walker.path.push(Step::Index(index));
        let message =
            format!("`{}` has no `route`, `redirect`, `directResponse` or `delegate`", walker.path());
        if let Some(problem) = walker.report(Kind::MissingField, first_key(route), message) {
            let help = "say where the requests go, usually `route: [{destination: {host: …}}]`";
            problem.help = Some(help.to_owned());
        }
        walker.path.pop();
    }
    walker.path.pop();
}

fn gateway<'a>(walker: &mut Walker<'a, '_>, spec: NodeRef<'a>, owner: Span) {
    if is_empty(spec.get("servers")) {
        let help = "a Gateway without servers opens no port, and Istio refuses it".to_owned();
        walker.missing(spec, "servers", owner, Some(help));
        return;
    }
    let Some((key, servers)) = spec.entry("servers") else { return };
    walker.path.push(Step::Key(key));
    for (index, server) in servers.items().enumerate().filter(|(_, server)| server.is_mapping()) {
        // The schema reports hosts that are absent; an empty list satisfies it.
        if server.get("hosts").is_some() && is_empty(server.get("hosts")) {
            walker.path.push(Step::Index(index));
            walker.missing(server, "hosts", first_key(server), None);
            walker.path.pop();
        }
    }
    walker.path.pop();
}
