//! Visitors of a Gateway who get no answer any more: its route is gone, or the Gateway itself shuts them out. Knows
//! hosts and servers, not what is behind the routes.

use super::{Break, Kind, culprit, plain};
use crate::mesh::gateways::Gateway;
use crate::mesh::routes::{Binding, VirtualService};
use crate::resource::Resource;
use crate::resource::networking::Server;
use crate::rollout::live::{Call, Entry, Leg, View, answering};
use crate::rollout::plan::Change;
use crate::span::Spanned;

/// How a Gateway shuts out visitors of a host and port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shut {
    /// It is gone.
    Gone,
    /// It does not accept the host on any port.
    Host,
    /// It accepts the host on other ports only.
    Port(u32),
    /// It expects TLS where it took plaintext, or the other way round, or uses rules of another kind.
    Protocol(u32),
    /// It sends plaintext to https, where no server takes the host.
    Redirect,
    /// Other pods carry it.
    Pods,
}

/// Which requests of a Gateway's entry are answered at a later time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Later {
    /// Those that some condition takes.
    Some,
    /// Every one.
    All,
}

impl Later {
    /// What a call answers, by its rules alone.
    #[must_use]
    pub fn of(call: &Call<'_>) -> Option<Self> {
        match call.takes_all {
            Some(_) => Some(Self::All),
            None => (!call.legs.is_empty()).then_some(Self::Some),
        }
    }
}

/// A Gateway that shuts out visitors of a host and port, while a VirtualService still serves them through it.
pub(super) fn closed_door<'a>(
    before: &View<'a>,
    now: &View<'a>,
    entry: &Entry,
    call: &Call<'a>,
    gateway: &'a Resource,
    changes: &[Change<'a>],
) -> Option<Break<'a>> {
    let serves = |service: &&VirtualService<'a>| {
        service.hosts.iter().any(|host| host.value == entry.1) && is_bound(service, &entry.0)
    };
    let service = now.mesh.routes.iter().find(serves)?;
    let leg = call.legs.iter().find(|leg| leg.fault.is_none())?;
    let old = before.mesh.gateways.get(gateway.namespace(), &gateway.name)?;
    let new = now.mesh.gateways.get(gateway.namespace(), &gateway.name);
    let shut = shut(old, new, entry, service.namespace())?;
    // Another Gateway on the same pods may take over.
    let is_taken_over = now.mesh.gateways.iter().filter(|other| same_pods(old, other)).any(|other| {
        let entry = (other.full_name(), entry.1.clone(), entry.2);
        entry.0 != old.full_name() && now.doors().get(&entry).is_some_and(|call| !call.legs.is_empty())
    });
    // Who comes to one of several ports may have been told to use another.
    let was_only =
        before.doors().keys().all(|own| (&own.0, &own.1) != (&entry.0, &entry.1) || own.2 == entry.2);
    (!is_taken_over).then(|| Break {
        culprit: culprit(changes, gateway),
        was: Some(gateway.name.span),
        shut: Some(shut),
        is_certain: was_only || !matches!(shut, Shut::Port(_)),
        ..plain(entry, call, leg, Kind::GatewayRemoved)
    })
}

/// How a Gateway shuts out visitors that it let in before.
fn shut(old: &Gateway<'_>, new: Option<&Gateway<'_>>, entry: &Entry, namespace: &str) -> Option<Shut> {
    let Some(new) = new else { return Some(Shut::Gone) };
    if std::ptr::eq(old.resource, new.resource) {
        return None;
    }
    if !same_pods(old, new) {
        return Some(Shut::Pods);
    }
    let on_port = |server: &&Spanned<Server>| server.port_number().unwrap_or(0) == entry.2;
    let servers: Vec<_> = new.servers_for(&entry.1, namespace).collect();
    let here: Vec<_> = servers.iter().copied().filter(on_port).collect();
    if servers.is_empty() {
        return Some(Shut::Host);
    }
    if here.is_empty() {
        return Some(Shut::Port(entry.2));
    }
    if here.iter().all(|server| server.redirects_to_https()) {
        return (!servers.iter().any(|server| is_encrypted(server))).then_some(Shut::Redirect);
    }
    let was = |encrypted: bool| {
        let mut servers = old.servers_for(&entry.1, namespace).filter(on_port);
        servers.any(|server| is_encrypted(server) == encrypted)
    };
    let is = |encrypted: bool| here.iter().any(|server| is_encrypted(server) == encrypted);
    [true, false].into_iter().any(|kind| was(kind) && !is(kind)).then_some(Shut::Protocol(entry.2))
}

/// Whether visitors must speak TLS to a server.
fn is_encrypted(server: &Server) -> bool {
    let protocol = server.port.get().map_or("", |port| port.protocol.text());
    protocol.eq_ignore_ascii_case("HTTPS") || protocol.eq_ignore_ascii_case("TLS")
}

/// Whether two Gateways are carried by the same pods, as far as the input tells.
fn same_pods(one: &Gateway<'_>, other: &Gateway<'_>) -> bool {
    let (a, b) = (&one.spec.selector, &other.spec.selector);
    (a.selects(b) && b.selects(a))
        || (!one.workloads.is_empty() && one.workloads.iter().all(|id| other.workloads.contains(id)))
}

/// Whether a VirtualService is for a Gateway, given as `namespace/name`.
fn is_bound(service: &VirtualService<'_>, gateway: &str) -> bool {
    service.bindings.iter().any(|binding| match binding {
        Binding::Gateway { namespace, name, .. } => gateway.split_once('/') == Some((namespace, name)),
        Binding::Mesh => false,
    })
}

/// A route of a Gateway that was there and is not, so that visitors get no answer. One that comes back is missed in
/// between; one that goes for good is told of only if its VirtualService stays.
pub(super) fn lost_route<'a>(
    now: &View<'a>,
    entry: &Entry,
    call: &Call<'a>,
    changes: &[Change<'a>],
    later: &dyn Fn(&Entry) -> Option<Later>,
) -> Option<Break<'a>> {
    let answers = answering(now.calls(), entry);
    let rest = answers.is_some_and(|call| !call.legs.is_empty() || call.takes_all.is_some());
    let is_less = call.takes_all.is_some() && answers.is_none_or(|call| call.takes_all.is_none());
    let mut open = call.legs.iter().filter(|leg| leg.fault.is_none());
    let leg = match call.takes_all {
        Some(_) => open.find(|leg| !leg.is_conditional),
        None => open.next(),
    };
    if rest && !is_less || (leg.is_none() && !call.legs.is_empty()) {
        return None;
    }
    let route = call.takes_all.or_else(|| leg?.route)?;
    let culprit = culprit(changes, route.0)?;
    let comes_back = match later(entry) {
        None => false,
        Some(Later::Some) => !is_less || !rest,
        Some(Later::All) => true,
    };
    // A VirtualService that is deleted or moves to another Gateway means what it says.
    let stays = |service: &VirtualService<'_>| {
        culprit.new.is_some_and(|new| std::ptr::eq(new, service.resource)) && is_bound(service, &entry.0)
    };
    if !comes_back && !now.mesh.routes.iter().any(stays) {
        return None;
    }
    let place = leg.cloned().unwrap_or_else(|| Leg::of_rule(route, &entry.1));
    Some(Break {
        culprit: Some(culprit),
        route: Some(route),
        was: Some(route.1),
        is_certain: comes_back,
        is_partial: rest,
        ..plain(entry, call, &place, Kind::RouteRemoved)
    })
}
