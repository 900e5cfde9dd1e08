//! The way of a request in the graph: the ids of the nodes and edges that it takes. Knows both models, nothing of
//! JavaScript.

use coalmine::ResourceName;
use coalmine::graph::Id;
use coalmine::route::{Followed, HopKind, Outcome, Path, Source, Trace};

/// Adds what a request takes.
pub(crate) fn by(from: &Source, trace: &Trace, taken: &mut Vec<String>) {
    for path in &trace.paths {
        let caller = match gateway(path) {
            Some(gateway) => {
                let outside = Id::outside();
                add(taken, Id::edge(&outside, &gateway));
                add(taken, outside);
                add(taken, gateway.clone());
                gateway
            }
            None => match from {
                Source::Workload { kind, namespace, name } => {
                    let kind = cased(kind);
                    let caller = Id::workload(&kind, namespace, name);
                    add(taken, caller.clone());
                    caller
                }
                _ => Id::mesh(),
            },
        };
        for outcome in path.outcomes.iter().chain(&path.mirrors) {
            arrive(&caller, outcome, taken);
        }
    }
}

/// Adds what the calls take that pods make on behalf of it.
pub(crate) fn onwards(calls: &[Followed], taken: &mut Vec<String>) {
    for call in calls {
        let caller = workload(&call.client.object);
        if let Ok(trace) = &call.trace {
            add(taken, caller.clone());
            for outcome in trace.paths.iter().flat_map(|path| path.outcomes.iter().chain(&path.mirrors)) {
                arrive(&caller, outcome, taken);
            }
        }
        onwards(&call.calls, taken);
    }
}

fn gateway(path: &Path) -> Option<Id> {
    let listener = path.hops.iter().find(|hop| hop.kind == HopKind::Listener)?;
    let object = listener.object.as_ref().filter(|object| object.kind == "Gateway")?;
    Some(Id::gateway(object.namespace.as_deref().unwrap_or_default(), &object.name))
}

fn workload(object: &ResourceName) -> Id {
    Id::workload(&object.kind, object.namespace.as_deref().unwrap_or_default(), &object.name)
}

/// A kind as objects write it: a request may name it in any case.
fn cased(kind: &str) -> String {
    let known = [
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "ReplicaSet",
        "CronJob",
        "Job",
        "Pod",
        "Rollout",
        "WorkloadEntry",
    ];
    known.into_iter().find(|name| name.eq_ignore_ascii_case(kind)).unwrap_or(kind).to_owned()
}

fn arrive(caller: &Id, outcome: &Outcome, taken: &mut Vec<String>) {
    let Some(name) = &outcome.host else { return };
    // The host of a subset stands for the pods of all versions.
    let called = match &outcome.subset {
        Some((subset, _)) => Id::subset(name, subset),
        None => Id::host(name),
    };
    add(taken, Id::edge(caller, &called));
    for endpoint in &outcome.endpoints {
        let workload = workload(&endpoint.workload.object);
        add(taken, Id::edge(&called, &workload));
        add(taken, workload);
    }
    add(taken, called);
}

fn add(taken: &mut Vec<String>, id: Id) {
    if !taken.contains(&id.0) {
        taken.push(id.0);
    }
}
