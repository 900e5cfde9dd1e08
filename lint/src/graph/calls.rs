//! Which ports of which hosts the workloads call, as [`crate::route::calls`] finds out. Knows nothing of where the
//! calls end.

use crate::mesh::Mesh;
use crate::mesh::registry::{Host, Port};
use crate::mesh::workloads::Workload;
use crate::route;
use crate::span::Span;

/// One port of a host that a workload calls.
#[derive(Debug)]
pub(super) struct Call<'m, 'a> {
    pub client: &'m Workload<'a>,
    pub host: &'m Host<'a>,
    pub port: &'m Port<'a>,
    /// What tells of the call: a variable, an argument, a route's match.
    pub span: Span,
}

/// Every call, workload by workload.
pub(super) fn calls<'m, 'a>(mesh: &'m Mesh<'a>) -> Vec<Call<'m, 'a>> {
    let mut calls = Vec::new();
    for (id, client) in mesh.workloads.iter() {
        for call in route::calls(mesh, id) {
            let host = mesh.registry.find(&call.request.host, Some(client.namespace()));
            let port = host.and_then(|host| Some((host, host.port(call.request.port)?)));
            calls.extend(port.map(|(host, port)| Call { client, host, port, span: call.cause.span }));
        }
    }
    calls
}
