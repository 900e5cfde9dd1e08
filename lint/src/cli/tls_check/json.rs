//! The table as JSON, version 1. Knows the wire format, not how the answers came about.

use coalmine::Span;
use coalmine::mesh::Mesh;
use coalmine::mesh::mtls::{Assumed, Sending, Sent};
use coalmine::mesh::workloads::Workload;
use coalmine::resource::Resource;
use coalmine::tls_check::{Caller, LeftOut, Row, Server, Status, Why};
use serde::Serialize;

use super::{Places, policy_of, rule_of};

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wire {
    pub(super) version: u32,
    pub(super) rows: Vec<JsonRow>,
    /// Hosts and ports without a row.
    pub(super) left_out: Vec<JsonLeftOut>,
    /// Workloads without a sidecar of which nothing tells whom they call; they have rows only when asked for.
    pub(super) without_sidecar: Vec<JsonObject>,
}

#[derive(Serialize)]
pub(super) struct JsonLeftOut {
    step: Option<String>,
    host: String,
    /// `null` for all of its ports.
    port: Option<u32>,
    reason: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JsonRow {
    step: Option<String>,
    host: String,
    port: u32,
    status: &'static str,
    server: JsonServer,
    client: JsonClient,
    /// Whether every client gets this answer.
    all_clients: bool,
    clients: Vec<JsonObject>,
    /// Whether every pod and subset gives this answer.
    all_servers: bool,
    /// `null` stands for calls that name no subset.
    subsets: Vec<Option<String>>,
    workloads: Vec<JsonObject>,
}

#[derive(Serialize)]
struct JsonServer {
    /// `STRICT`, `PERMISSIVE` or `DISABLE`; `null` without a sidecar, or when nothing is known.
    mode: Option<&'static str>,
    /// Whether the pods have a sidecar; `null` when nothing is known.
    sidecar: Option<bool>,
    policy: Option<JsonObject>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonClient {
    /// `plaintext`, `tls`, `mutual` (a certificate of its own) or `istioMutual`.
    sends: Option<&'static str>,
    automatic: bool,
    /// What auto mTLS goes by, if it is somebody's doing: a PeerAuthentication, or the workload of a headless
    /// Service that has no sidecar.
    assumed_from: Option<JsonObject>,
    destination_rule: Option<JsonObject>,
}

#[derive(Serialize)]
pub(super) struct JsonObject {
    kind: String,
    namespace: String,
    name: String,
    file: Option<String>,
    line: Option<u32>,
    column: Option<u32>,
}

fn json_object(places: &mut Places<'_>, resource: &Resource, span: Span) -> JsonObject {
    let (line, column) = places.of(span);
    JsonObject {
        kind: resource.kind.value.clone(),
        namespace: resource.namespace().to_owned(),
        name: resource.name.value.clone(),
        file: Some(places.files.name(span.file).to_owned()),
        line: Some(line),
        column: Some(column),
    }
}

fn json_caller(places: &mut Places<'_>, caller: &Caller<'_, '_>) -> JsonObject {
    match caller {
        Caller::Gateway(gateway) => json_object(places, gateway.resource, gateway.resource.name.span),
        Caller::Workload(workload) => json_object(places, workload.resource, workload.resource.name.span),
        Caller::Namespace(namespace) => JsonObject {
            kind: caller.kind().to_owned(),
            namespace: (*namespace).to_owned(),
            name: (*namespace).to_owned(),
            file: None,
            line: None,
            column: None,
        },
    }
}

pub(super) fn json_workload(places: &mut Places<'_>, workload: &Workload<'_>) -> JsonObject {
    json_object(places, workload.resource, workload.resource.name.span)
}

pub(super) fn json_left_out(left: &LeftOut<'_, '_>, step: Option<&str>) -> JsonLeftOut {
    JsonLeftOut {
        step: step.map(str::to_owned),
        host: left.host.name.clone(),
        port: left.port.map(|port| port.number),
        reason: match left.why {
            Why::GatewayPods => "gatewayPods",
            Why::Alias => "alias",
            Why::Udp => "udp",
            Why::NoPorts => "noPorts",
            Why::Hidden => "notExported",
            Why::NoRoute => "noRoute",
            Why::Elsewhere => "routedElsewhere",
        },
    }
}

pub(super) fn json_row(
    places: &mut Places<'_>,
    mesh: &Mesh<'_>,
    row: &Row<'_, '_>,
    step: Option<&str>,
) -> JsonRow {
    let policy = policy_of(row).map(|(resource, span)| json_object(places, resource, span));
    let (mode, sidecar) = match row.answer.server {
        Server::Policy(decision) => (Some(decision.mode.as_str()), Some(true)),
        Server::Bare => (None, Some(false)),
        Server::Unknown => (None, None),
    };
    let client = row.answer.client;
    let assumed_from = match client.decided {
        _ if row.answer.missing.is_some() => None,
        Sending::Auto(Assumed::Policy(decision)) => {
            decision.by.map(|(policy, span)| json_object(places, policy, span))
        }
        Sending::Auto(Assumed::WithoutSidecar(id)) => {
            mesh.workloads.get(id).map(|workload| json_workload(places, workload))
        }
        _ => None,
    };
    JsonRow {
        step: step.map(str::to_owned),
        host: row.host.name.clone(),
        port: row.port.number,
        status: match row.answer.status {
            Status::Ok => "ok",
            Status::Conflict => "conflict",
            Status::NoSubset => "noSubset",
            Status::Unknown => "unknown",
        },
        server: JsonServer { mode, sidecar, policy },
        client: JsonClient {
            sends: client.sent.map(|sent| match sent {
                Sent::Plaintext => "plaintext",
                Sent::Simple => "tls",
                Sent::OwnCertificate => "mutual",
                Sent::IstioMutual => "istioMutual",
            }),
            automatic: client.automatic,
            assumed_from,
            destination_rule: rule_of(row).map(|(rule, span)| json_object(places, rule, span)),
        },
        all_clients: row.all_clients,
        clients: row.clients.iter().map(|caller| json_caller(places, caller)).collect(),
        all_servers: row.all_servers,
        subsets: row.subsets.iter().map(|subset| subset.map(str::to_owned)).collect(),
        workloads: row.workloads.iter().map(|workload| json_workload(places, workload)).collect(),
    }
}
