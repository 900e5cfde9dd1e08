//! Which servers of the Gateways on one proxy count where several name a port. Knows servers, not requests.

use super::{At, is_plain_http, port, protocol};
use crate::resource::networking::Server;
use crate::route::filters;

/// What can share a port.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Http,
    Tls,
    Bytes,
}

impl Class {
    fn of(server: &Server) -> Self {
        match server {
            server if is_plain_http(server) => Self::Http,
            server if server.tls.is_some() => Self::Tls,
            _ => Self::Bytes,
        }
    }
}

/// `mergeGateways`: of servers on one port and address those count that go with the first; of servers for bytes
/// without TLS the first alone.
pub(super) fn merged<'m, 'a>(servers: Vec<At<'m, 'a>>, notes: &mut Vec<String>) -> Vec<At<'m, 'a>> {
    let mut kept: Vec<At<'m, 'a>> = Vec::new();
    for (gateway, server) in servers {
        let before = kept.iter().find(|(_, other)| other.bind.text() == server.bind.text());
        let Some((other, first)) = before.filter(|(_, first)| {
            let class = Class::of(first);
            class != Class::of(server) || class == Class::Bytes
        }) else {
            kept.push((gateway, server));
            continue;
        };
        filters::note(
            notes,
            format!(
                "port {}: the {} server of Gateway {} is dropped, because the {} server of Gateway {} has the port; \
                 a cluster takes the older one",
                port(server),
                protocol(server),
                gateway.full_name(),
                protocol(first),
                other.full_name(),
            ),
        );
    }
    kept
}
