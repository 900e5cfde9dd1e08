//! What breaks when one state becomes another, and which change is to blame. A call counts that was answered
//! before, or that new pods are led to; what was never answered cannot break.

mod doors;

pub use self::doors::{Later, Shut};
use self::doors::{closed_door, lost_route};
use super::live::{Call, Caller, Entry, Fault, Leg, View, ready};
use super::plan::Change;
use crate::diagnostic::Severity;
use crate::mesh::destinations::Client;
use crate::mesh::workloads::may_listen;
use crate::resource::Resource;
use crate::span::Span;

/// What goes wrong with a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[allow(missing_docs)]
pub enum Kind {
    SubsetRemoved,
    SubsetUndefined,
    HostRemoved,
    HostUndefined,
    PortRemoved,
    PortUndefined,
    PodsRemoved,
    PodsNotReady,
    GatewayRemoved,
    RouteRemoved,
    Tls,
    Island,
}

impl Kind {
    /// What clients see, in Envoy's terms.
    #[must_use]
    pub fn symptom(self) -> &'static str {
        match self {
            Self::SubsetRemoved | Self::SubsetUndefined => "503 NC, or a reset for TCP",
            Self::HostRemoved | Self::HostUndefined | Self::PortRemoved | Self::PortUndefined => {
                "503 NC, or a reset for TCP"
            }
            Self::PodsRemoved | Self::PodsNotReady => "503 UH, or a reset for TCP",
            Self::GatewayRemoved => "a refused connection or 404",
            Self::RouteRemoved => "404, or a closed connection for TCP",
            Self::Tls => "a reset",
            Self::Island => "data of the wrong version",
        }
    }
}

/// A call that was answered, or that new pods are led to, and is not answered at a moment.
#[derive(Clone, Debug)]
pub struct Break<'a> {
    /// What goes wrong.
    pub kind: Kind,
    /// Who calls, in words.
    pub who: String,
    /// The host, subset and port.
    pub host: String,
    /// The subset.
    pub subset: Option<&'a str>,
    /// The port.
    pub port: Option<u32>,
    /// The live route.
    pub route: Option<(&'a Resource, Span)>,
    /// The place of the route's port, if written.
    pub port_span: Option<Span>,
    /// The change that does it, where one is to blame: what was there, and what is there now.
    pub culprit: Option<Change<'a>>,
    /// Where what is gone stood.
    pub was: Option<Span>,
    /// Of a TLS break: both sides.
    pub fault: Option<Fault<'a>>,
    /// Whether a route proves that the call is made; otherwise it is only possible.
    pub is_certain: bool,
    /// Whether at least the caller's configuration names the host.
    pub is_named: bool,
    /// Of a Gateway: how visitors are shut out.
    pub shut: Option<Shut>,
    /// Whether the caller has just come up.
    pub by_newcomer: bool,
    /// Whether the caller has no sidecar.
    pub by_bare: bool,
    /// Of a route that goes: whether another still takes some of the requests.
    pub is_partial: bool,
    /// Of an island: the pods that are reached.
    pub reached: Option<&'a Resource>,
    /// Whose call it is.
    pub entry: Entry,
}

impl<'a> Break<'a> {
    /// What tells a break from another, whatever moment it shows at.
    #[must_use]
    pub fn identity(&self) -> (Kind, String, Option<&'a str>, Option<u32>, Option<Span>) {
        (self.kind, self.host.clone(), self.subset, self.port, self.route.map(|(_, span)| span))
    }

    /// How sure it is that somebody calls: a route says so, the caller's configuration names the host, or nothing
    /// does.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match (self.is_certain, self.is_named) {
            (true, _) => Severity::Error,
            (false, true) => Severity::Warning,
            (false, false) => Severity::Info,
        }
    }

    /// The host, or its subset, in words.
    #[must_use]
    pub fn destination(&self) -> String {
        let host = short(&self.host);
        match self.subset {
            Some(subset) => format!("subset `{subset}` of `{host}`"),
            None => format!("`{host}`"),
        }
    }
}

/// The first label of a cluster name; anything else whole.
#[must_use]
pub fn short(host: &str) -> &str {
    match host.split_once('.') {
        Some((service, rest)) if rest.contains(".svc.") => service,
        _ => host,
    }
}

/// What breaks when one state becomes another. `ended` says that no visitor is left whose requests could fail, and
/// `later` whether some or all requests of an entry of a Gateway are answered when the step is done or later on.
#[must_use]
pub fn breaks<'a>(
    before: &View<'a>,
    now: &View<'a>,
    changes: &[Change<'a>],
    ended: bool,
    later: &dyn Fn(&Entry) -> Option<Later>,
) -> Vec<Break<'a>> {
    let mut found = Vec::new();
    let doors = before.calls().iter().filter(|(_, call)| matches!(call.caller, Caller::Gateway(_)));
    for (entry, call) in doors {
        found.extend(lost_route(now, entry, call, changes, later));
        if let Caller::Gateway(Some(gateway)) = call.caller {
            found.extend(closed_door(before, now, entry, call, gateway, changes));
        }
    }
    for (entry, call) in now.calls() {
        let earlier = before.calls().get(entry);
        let was_served = earlier.is_some_and(|call| is_used(before, entry, call));
        let newcomer = match call.caller {
            Caller::Pods(resource) => before.workload(resource.key()).is_none(),
            Caller::Gateway(_) => false,
        };
        if ended && matches!(call.caller, Caller::Pods(_)) {
            continue;
        }
        for leg in &call.legs {
            let Some(fault) = leg.fault else { continue };
            let as_before = |old: &Leg<'a>| {
                (&old.host, old.subset, old.port) == (&leg.host, leg.subset, leg.port) && old.fault.is_some()
            };
            let is_news = was_served && !earlier.is_some_and(|call| call.legs.iter().any(as_before));
            let is_promise = newcomer && leg.route.is_some() && has_ready_pods(now, &entry.1);
            if is_news || is_promise {
                found.extend(classify(before, now, entry, call, leg, fault, changes, newcomer));
            }
        }
        found.extend(earlier.filter(|_| !newcomer).and_then(|old| island(before, entry, old, call)));
    }
    for (entry, call) in before.calls().iter().filter(|(entry, _)| !now.calls().contains_key(*entry)) {
        let resource = match call.caller {
            Caller::Gateway(_) => continue,
            Caller::Pods(resource) => resource,
        };
        if ended || now.workload(resource.key()).is_none() {
            continue;
        }
        let host_stays = now.mesh.registry.named(&entry.1).next();
        if host_stays.is_some_and(|host| host.port(entry.2).is_some()) {
            continue;
        }
        // A port that a route translates to another is not itself in use.
        let in_use = |leg: &&Leg<'a>| {
            leg.fault.is_none() && leg.host == entry.1 && leg.port == Some(entry.2) && !leg.pods.is_empty()
        };
        let Some(leg) = call.legs.iter().find(in_use) else { continue };
        let old = before.mesh.registry.named(&entry.1).next();
        let kind = if host_stays.is_some() { Kind::PortRemoved } else { Kind::HostRemoved };
        found.push(Break {
            kind,
            culprit: old.and_then(|host| culprit(changes, host.resource)),
            was: old.and_then(|host| Some(host.port(entry.2)?.span)),
            port: Some(entry.2),
            ..plain(entry, call, leg, kind)
        });
    }
    for found in found.iter_mut().filter(|found| !found.is_named) {
        if let Some(Call { caller: Caller::Pods(resource), .. }) = before.calls().get(&found.entry) {
            found.is_named = before.names(resource.key(), &found.entry.1);
        }
    }
    // Where several point at one place, what is certain is told.
    found.sort_by_key(|found| (!found.is_certain, !found.is_named));
    found
}

/// Whether a call is answered and may be made at all. A port behind which no pod listens and which a route only
/// translates to another port of the host is open by the way: nobody who means that port could use it.
fn is_used(view: &View<'_>, entry: &Entry, call: &Call<'_>) -> bool {
    let listens = || {
        let host = view.mesh.registry.named(&entry.1).find_map(|host| Some((host, host.port(entry.2)?)));
        host.is_none_or(|(host, port)| {
            let target = port.target_text();
            let mut pods = host.workloads.iter().filter_map(|id| view.mesh.workloads.get(*id));
            !host.selects_pods() || pods.any(|pod| may_listen(pod, &target))
        })
    };
    let is_pods = matches!(call.caller, Caller::Pods(_));
    let is_translated = |leg: &Leg<'_>| is_pods && leg.host == entry.1 && leg.port != Some(entry.2);
    let mut answered = call.legs.iter().filter(|leg| leg.fault.is_none()).peekable();
    answered.peek().is_some() && (answered.any(|leg| !is_translated(leg)) || listens())
}

fn has_ready_pods(view: &View<'_>, host: &str) -> bool {
    view.mesh.registry.named(host).any(|host| !host.workloads.is_empty())
}

fn plain<'a>(entry: &Entry, call: &Call<'a>, leg: &Leg<'a>, kind: Kind) -> Break<'a> {
    Break {
        kind,
        who: call.who.clone(),
        host: leg.host.clone(),
        subset: leg.subset,
        port: leg.port,
        route: leg.route,
        port_span: leg.port_span,
        culprit: None,
        was: None,
        fault: leg.fault,
        is_certain: leg.route.is_some(),
        is_named: leg.route.is_some(),
        shut: None,
        by_newcomer: false,
        by_bare: call.is_bare,
        is_partial: false,
        reached: None,
        entry: entry.clone(),
    }
}

/// The change that replaces or removes an object.
fn culprit<'a>(changes: &[Change<'a>], resource: &Resource) -> Option<Change<'a>> {
    changes.iter().copied().find(|change| change.old.is_some_and(|old| std::ptr::eq(old, resource)))
}

/// The change that brings an object.
fn bringer<'a>(changes: &[Change<'a>], resource: &Resource) -> Option<Change<'a>> {
    changes.iter().copied().find(|change| change.new.is_some_and(|new| std::ptr::eq(new, resource)))
}

#[allow(clippy::too_many_arguments)] // one call, before and now
fn classify<'a>(
    before: &View<'a>,
    now: &View<'a>,
    entry: &Entry,
    call: &Call<'a>,
    leg: &Leg<'a>,
    fault: Fault<'a>,
    changes: &[Change<'a>],
    newcomer: bool,
) -> Option<Break<'a>> {
    let labels = match call.caller {
        Caller::Pods(resource) => {
            before.workload(resource.key()).or_else(|| now.workload(resource.key())).map(|w| w.labels)
        }
        Caller::Gateway(_) => None,
    };
    let client = Client { namespace: call.namespace, labels };
    let old_host = before.mesh.registry.find(&leg.host, client.namespace);
    let (kind, blamed, was) = match fault {
        Fault::NoHost => match old_host {
            Some(host) => (Kind::HostRemoved, Some(host.resource), Some(host.resource.name.span)),
            None if now.mesh.knows_host(&leg.host) => (Kind::HostUndefined, None, None),
            None => return None,
        },
        Fault::NoPort(number) => match old_host.and_then(|host| Some((host, host.port(number)?))) {
            Some((host, port)) => (Kind::PortRemoved, Some(host.resource), Some(port.span)),
            None => (Kind::PortUndefined, None, None),
        },
        Fault::NoSubset => {
            let rules = before.mesh.destination(client, &leg.host);
            match rules.and_then(|rules| rules.subset(leg.subset?)) {
                Some((rule, subset)) => {
                    let place = subset.name.span().unwrap_or(subset.span);
                    (Kind::SubsetRemoved, Some(rule.resource), Some(place))
                }
                None => (Kind::SubsetUndefined, None, None),
            }
        }
        Fault::NoPods => {
            let pods = old_host.zip(leg.port).and_then(|(host, number)| {
                ready(&before.mesh, client, host, leg.subset, host.port(number)?).ok()
            });
            match pods.as_ref().and_then(|pods| pods.first()) {
                Some(pod) => {
                    let gone = pods.iter().flatten().find(|pod| culprit(changes, pod.resource).is_some());
                    let rule = before.mesh.destination(client, &leg.host).and_then(|rules| rules.first());
                    let gone = gone.map(|pod| pod.resource);
                    let moved = rule.map(|rule| rule.resource).filter(|r| culprit(changes, r).is_some());
                    let blamed = gone.or(moved).or(old_host.map(|host| host.resource));
                    (Kind::PodsRemoved, blamed, Some(pod.resource.name.span))
                }
                None => (Kind::PodsNotReady, None, None),
            }
        }
        Fault::Tls { policy, setting, server, .. } => {
            let sides = [policy.map(|(r, _)| r), setting.map(|(r, _)| r), Some(server)];
            let brought = sides.into_iter().flatten().find_map(|resource| bringer(changes, resource));
            let mut found = plain(entry, call, leg, Kind::Tls);
            found.culprit = brought;
            found.by_newcomer = newcomer;
            return Some(found);
        }
    };
    Some(Break {
        culprit: blamed.and_then(|resource| culprit(changes, resource)),
        was,
        by_newcomer: newcomer,
        ..plain(entry, call, leg, kind)
    })
}

/// A caller whose route kept it among the pods of its version and now leads it to those of another.
fn island<'a>(before: &View<'a>, entry: &Entry, old: &Call<'a>, new: &Call<'a>) -> Option<Break<'a>> {
    let version = old.legs.iter().find_map(|leg| leg.claim)?;
    let own: Vec<&Resource> = old.legs.iter().flat_map(|leg| leg.pods.iter().copied()).collect();
    let others: Vec<&Resource> = before
        .calls()
        .iter()
        .filter(|(other, _)| (&other.1, other.2) == (&entry.1, entry.2))
        .flat_map(|(_, call)| &call.legs)
        .filter(|leg| leg.claim.is_some_and(|claim| claim != version))
        .flat_map(|leg| leg.pods.iter().copied())
        .collect();
    let is_in = |list: &[&Resource], pod: &Resource| list.iter().any(|other| other.key() == pod.key());
    for leg in new.legs.iter().filter(|leg| !leg.is_conditional) {
        let reached = leg.pods.iter().find(|pod| is_in(&others, pod) && !is_in(&own, pod));
        if let Some(reached) = reached {
            let found = plain(entry, new, leg, Kind::Island);
            return Some(Break { reached: Some(reached), ..found });
        }
    }
    None
}
