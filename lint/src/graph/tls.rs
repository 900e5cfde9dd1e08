//! What protects the calls of one edge: what the client is told to send, and what the pods' ports take. Nothing is
//! said where the input does not decide it.

use super::Tls;
use crate::mesh::Mesh;
use crate::mesh::destinations::Client;
use crate::mesh::mtls::{Accepts, Assumed, Sent, can_answer};
use crate::mesh::registry::{Host, Port};
use crate::mesh::security::{Decision, Mode};
use crate::mesh::workloads::{Proxy, WorkloadId};

/// The caller.
#[derive(Clone, Copy)]
pub(super) struct Caller<'c> {
    pub client: Client<'c>,
    pub proxy: Proxy,
}

/// The worst of what happens between a caller and the pods, with the reason in words.
pub(super) fn between(
    mesh: &Mesh<'_>,
    caller: Caller<'_>,
    host: &Host<'_>,
    subset: Option<&str>,
    port: &Port<'_>,
    pods: &[WorkloadId],
) -> Option<(Tls, String)> {
    let setting = match caller.proxy {
        Proxy::Sidecar => {
            let rules = mesh.destination(caller.client, &host.name);
            rules.and_then(|rules| rules.client_tls(port.number, subset))
        }
        Proxy::None => return plain(mesh, host, port, pods),
        Proxy::Ambient | Proxy::Unknown => return None,
    };
    if let Some(setting) = setting {
        let told = format!("{} by {}", setting.mode(), setting.resource.describe());
        let sent = Sent::by(&setting)?;
        if host.is_external() || pods.is_empty() {
            return Some((kind_of(sent), told));
        }
        return worst(mesh, port, pods, |accepts| {
            let kind = if accepts.can_answer(sent) { kind_of(sent) } else { Tls::Broken };
            (kind, format!("{told}; {}", server(&accepts)))
        });
    }
    if host.is_external() {
        return None;
    }
    let assumed = mesh.config.auto_mtls
        && match mesh.assumed_mode(host) {
            Assumed::Policy(decision) => decision.mode != Mode::Disable,
            Assumed::WithoutSidecar(_) => false,
        };
    worst(mesh, port, pods, |accepts| {
        // Auto mTLS looks at each endpoint: one without a sidecar, or with DISABLE, is sent plaintext.
        let takes = accepts.mode().is_some_and(|mode| mode != Mode::Disable);
        let sent = if assumed && takes { Sent::IstioMutual } else { Sent::Plaintext };
        let kind = if accepts.can_answer(sent) { kind_of(sent) } else { Tls::Broken };
        let how = if mesh.config.auto_mtls { "auto mTLS" } else { "auto mTLS is off" };
        (kind, format!("{how}; {}", server(&accepts)))
    })
}

fn plain(mesh: &Mesh<'_>, host: &Host<'_>, port: &Port<'_>, pods: &[WorkloadId]) -> Option<(Tls, String)> {
    if host.is_external() {
        return None;
    }
    worst(mesh, port, pods, |accepts| {
        let kind = if can_answer(accepts.mode(), Sent::Plaintext) { Tls::Plaintext } else { Tls::Broken };
        (kind, format!("the client has no sidecar; {}", server(&accepts)))
    })
}

fn worst(
    mesh: &Mesh<'_>,
    port: &Port<'_>,
    pods: &[WorkloadId],
    judge: impl Fn(Accepts<'_>) -> (Tls, String),
) -> Option<(Tls, String)> {
    let mut worst: Option<(Tls, String)> = None;
    for id in pods {
        let judged = judge(mesh.accepts(mesh.workloads.get(*id)?, port)?);
        if worst.as_ref().is_none_or(|(tls, _)| judged.0 > *tls) {
            worst = Some(judged);
        }
    }
    worst
}

fn kind_of(sent: Sent) -> Tls {
    match sent {
        Sent::IstioMutual => Tls::Mutual,
        Sent::Simple | Sent::OwnCertificate => Tls::Other,
        Sent::Plaintext => Tls::Plaintext,
    }
}

fn server(accepts: &Accepts<'_>) -> String {
    match accepts {
        Accepts::Application => "the server has no sidecar".to_owned(),
        Accepts::Policy(Decision { mode, by: Some((resource, _)), .. }) => {
            format!("{} by {}", mode.as_str(), resource.describe())
        }
        Accepts::Policy(Decision { mode, by: None, .. }) => format!("{} by default", mode.as_str()),
    }
}
