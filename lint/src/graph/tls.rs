//! What protects the calls of one edge: what the client is told to send, and what the pods' ports take. Nothing is
//! said where the input does not decide it.

use super::Tls;
use crate::mesh::Mesh;
use crate::mesh::destinations::Client;
use crate::mesh::mtls::{Accepts, ClientProxy, Sending, Sent};
use crate::mesh::registry::{Host, Port};
use crate::mesh::security::Decision;
use crate::mesh::workloads::WorkloadId;

/// The caller.
#[derive(Clone, Copy)]
pub(super) struct Caller<'c> {
    pub client: Client<'c>,
    /// `None` when the input does not say.
    pub proxy: Option<ClientProxy>,
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
    let rules = mesh.destination(caller.client, &host.name);
    let setting = rules.and_then(|rules| rules.client_tls(port.number, subset));
    let sending = mesh.sending(caller.proxy?, setting, host);
    let told = match sending {
        Sending::WithoutProxy => "the client has no sidecar".to_owned(),
        Sending::Rule(setting, sent) => {
            let told = format!("{} by {}", setting.mode(), setting.resource.describe());
            if host.is_external() || pods.is_empty() {
                return Some((kind_of(sent?), told));
            }
            told
        }
        Sending::AutoMtlsOff => "auto mTLS is off".to_owned(),
        Sending::External => return None,
        Sending::Auto(_) => "auto mTLS".to_owned(),
    };
    if host.is_external() {
        return None;
    }
    worst(mesh, port, pods, |accepts| {
        let sent = sending.to(Some(accepts))?;
        let kind = if accepts.can_answer(sent) { kind_of(sent) } else { Tls::Broken };
        Some((kind, format!("{told}; {}", server(&accepts))))
    })
}

fn worst(
    mesh: &Mesh<'_>,
    port: &Port<'_>,
    pods: &[WorkloadId],
    judge: impl Fn(Accepts<'_>) -> Option<(Tls, String)>,
) -> Option<(Tls, String)> {
    let mut worst: Option<(Tls, String)> = None;
    for id in pods {
        let judged = judge(mesh.accepts(mesh.workloads.get(*id)?, port)?)?;
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
