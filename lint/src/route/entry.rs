//! Where a request enters the mesh and which route table it meets: a gateway's server or the client's own sidecar
//! (`core/gateway.go`, `core/listener.go`, `core/httproute.go`). Hands the chosen rule to `action`.

mod gateway;
mod sidecar;
mod virtual_hosts;

use super::destination::ended;
use super::filters::Way;
use super::ignored::{self, From};
use super::message::Message;
use super::request::Request;
use super::{Cause, End, Failure, Flag, Hop, HopKind, Known, Path, Share, Source, Trace, Unanswerable};
use crate::mesh::Mesh;
use crate::mesh::routes::VirtualService;
use crate::mesh::workloads::Workload;
use crate::rule::did_you_mean;

pub(super) fn trace(mesh: &Mesh<'_>, request: &Request, known: &Known) -> Result<Trace, Unanswerable> {
    let mut trace = Trace { paths: Vec::new(), notes: Vec::new() };
    let gateway = match &request.from {
        Source::Workload { kind, namespace, name } => {
            let client = workload(mesh, kind, namespace, name)?;
            trace.paths = sidecar::enter(mesh, client, request, known, &mut trace.notes)?;
            ignored::notes(mesh, &From::Workload(client), &trace.paths, &mut trace.notes);
            return Ok(trace);
        }
        Source::Gateway { namespace, name } => gateway::named(mesh, namespace, name)?,
        Source::AnyGateway => gateway::only(mesh, request)?,
    };
    trace.paths = gateway::enter(mesh, gateway, request, known, &mut trace.notes);
    if let Some(gateway) = mesh.gateways.iter().nth(gateway) {
        let pods = gateway.workloads.iter().filter_map(|id| mesh.workloads.get(*id)).collect();
        let from = From::Gateway { name: gateway.full_name(), pods, selector: &gateway.spec.selector };
        ignored::notes(mesh, &from, &trace.paths, &mut trace.notes);
    }
    Ok(trace)
}

/// `deployment/shop/reviews-v1`.
pub(super) fn workload_name(workload: &Workload<'_>) -> String {
    let resource = workload.resource;
    format!("{}/{}/{}", resource.kind.to_lowercase(), resource.namespace(), resource.name.value)
}

fn workload<'m, 'a>(
    mesh: &'m Mesh<'a>,
    kind: &str,
    namespace: &str,
    name: &str,
) -> Result<&'m Workload<'a>, Unanswerable> {
    let is = |workload: &&Workload<'a>| {
        workload.resource.kind.eq_ignore_ascii_case(kind)
            && workload.namespace() == namespace
            && workload.resource.name.as_str() == name
    };
    let all = || mesh.workloads.iter().map(|(_, workload)| workload);
    all().filter(is).last().ok_or_else(|| {
        let wanted = format!("{}/{namespace}/{name}", kind.to_lowercase());
        let known: Vec<String> = all().map(workload_name).collect();
        let near = did_you_mean(&wanted, known.iter().map(String::as_str)).map(str::to_owned);
        Unanswerable::UnknownWorkload { wanted, near, known }
    })
}

fn start(request: &Request) -> Way {
    Way { share: Share::ALL, message: Message::new(request), hops: Vec::new(), ended: None }
}

/// A path that ends before any destination.
fn stopped(way: Way, cause: Option<Cause>, end: End) -> Path {
    let outcome = ended(way.share, way.message.forwarded(), cause, end);
    Path { share: way.share, hops: way.hops, outcomes: vec![outcome], mirrors: Vec::new() }
}

fn failed(
    way: Way,
    flag: Flag,
    status: Option<u32>,
    reason: impl Into<String>,
    cause: Option<Cause>,
) -> Path {
    let failure = Failure { flag, status, reason: reason.into(), cause: cause.clone() };
    stopped(way, cause, End::Failed(failure))
}

/// No rule of the virtual host takes the request.
fn no_route(mut way: Way, service: Option<&VirtualService<'_>>, reason: String) -> Path {
    let cause = service.map(|service| Cause::new(service.resource, service.resource.name.span));
    let span = cause.as_ref().map(|cause| cause.span);
    let resource = service.map(|service| service.resource);
    way.hops.push(Hop::new(HopKind::Unmatched, resource, span, reason.clone()));
    failed(way, Flag::Nr, Some(404), reason, cause)
}
