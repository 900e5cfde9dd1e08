//! What people are told below the table: why calls cannot be answered, and who is not in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use coalmine::mesh::Mesh;
use coalmine::mesh::mtls::{Assumed, Sending, Sent};
use coalmine::mesh::security::{Mode, Scope};
use coalmine::tls_check::{LeftOut, Question, Row, Server, Status, Table, Why};

use super::{Places, client_name, clients_text, fails, full_name, status_text};

/// What the table does not say: why there are conflicts, and who is not in it.
pub(super) fn notes(
    out: &mut String,
    places: &mut Places<'_>,
    found: &Table<'_, '_>,
    mesh: &Mesh<'_>,
    question: Question<'_>,
) {
    let rows = &found.rows;
    for row in rows.iter().filter(|row| fails(row.answer.status)) {
        let (host, port) = (&row.host.name, row.port.number);
        let _ = writeln!(out, "\n{} {host}:{port}", status_text(row.answer.status));
        let _ = writeln!(out, "  client  {}", client_reason(places, mesh, row));
        let _ = match row.answer.missing {
            Some(missing) => writeln!(
                out,
                "  route   such calls end before TLS (NC): {} names subset `{}`",
                places.text(missing.span),
                missing.name
            ),
            None => writeln!(out, "  server  {}", server_reason(places, row)),
        };
    }
    if rows.iter().any(|row| row.answer.status == Status::Unknown) {
        out.push_str("\nUNKNOWN: nothing says whether the pods have a sidecar or which policy wins, or ambient carries the call.\n");
    }
    let strict = |row: &Row<'_, '_>| matches!(row.answer.server, Server::Policy(decision) if decision.mode == Mode::Strict);
    if rows.iter().any(strict)
        && let [first, others @ ..] = found.silent.as_slice()
    {
        let name = &first.resource.name.value;
        let (names, have, send) = match others {
            [] => (format!("`{name}`"), "has", "sends"),
            _ => (format!("{} workloads (`{name}` …)", found.silent.len()), "have", "send"),
        };
        let _ = writeln!(
            out,
            "\n{names} {have} no sidecar and {send} plaintext, which STRICT refuses; nothing in the manifests \
             tells whom: --from NAME shows it."
        );
    }
    left_out(out, &found.left_out, question);
}

/// The hosts without a line, by reason.
fn left_out(out: &mut String, all: &[LeftOut<'_, '_>], question: Question<'_>) {
    let mut by_reason: BTreeMap<Why, Vec<String>> = BTreeMap::new();
    for left in all {
        by_reason.entry(left.why).or_default().push(match left.port {
            Some(port) => format!("{}:{}", left.host.name, port.number),
            None => left.host.name.clone(),
        });
    }
    for (why, mut names) in by_reason {
        let more = match names.len() {
            0..=8 => String::new(),
            many => format!(" and {} more", many - 8),
        };
        names.truncate(8);
        let _ = writeln!(out, "\nNot in the table: {}{more}: {}.", names.join(", "), why_text(why, question));
    }
}

fn why_text(why: Why, question: Question<'_>) -> String {
    let from = question.from.unwrap_or("the client");
    match why {
        Why::GatewayPods => "a gateway's own Service, for which Gateways decide".to_owned(),
        Why::Alias => "type ExternalName; calls go to the host that it names".to_owned(),
        Why::Udp => "UDP, which the mesh does not carry".to_owned(),
        Why::NoPorts => "no ports are declared".to_owned(),
        Why::Hidden => format!("not exported to the namespace of {from}"),
        Why::NoRoute => format!("no route of {from} leads there"),
        Why::Elsewhere => "routes lead every call to other hosts".to_owned(),
    }
}

/// Which state the table shows, where there is more than one to choose from.
pub(super) fn closing(out: &mut String, found: &Table<'_, '_>, base: &str, step: Option<&str>) {
    let base = if base.is_empty() { String::new() } else { format!(" of {base}") };
    let step = step.map(|step| format!(" after step {step}")).unwrap_or_default();
    let _ = match found.rows.is_empty() && found.left_out.is_empty() {
        true => writeln!(out, "There is nothing to call in the state{base}{step}."),
        false if step.is_empty() && base.is_empty() => Ok(()),
        false => writeln!(out, "\nThis is the state{base}{step}."),
    };
}

fn client_reason(places: &mut Places<'_>, mesh: &Mesh<'_>, row: &Row<'_, '_>) -> String {
    let (clients, many) = match row.clients.as_slice() {
        [only] => (client_name(only), false),
        _ if row.all_clients => ("every client".to_owned(), false),
        _ => (clients_text(row), true),
    };
    if let Some(missing) = row.answer.missing {
        let names: Vec<String> = row.subsets.iter().flatten().map(|name| format!("`{name}`")).collect();
        let names = format!("subset{} {}", if names.len() > 1 { "s" } else { "" }, names.join(", "));
        return match missing.rule {
            Some((rule, span)) => format!(
                "for {clients} DestinationRule {} decides, which has no {names} ({})",
                full_name(rule),
                places.text(span)
            ),
            None => format!("for {clients} no DestinationRule has {names}"),
        };
    }
    let what = match row.answer.client.sent {
        Some(Sent::IstioMutual) => "Istio's mTLS",
        Some(Sent::OwnCertificate) => "mTLS with a certificate of its own",
        Some(Sent::Simple) => "TLS without a client certificate",
        Some(Sent::Plaintext) => "plaintext",
        None => "something unknown",
    };
    let send = if many { "send" } else { "sends" };
    let why = match row.answer.client.decided {
        Sending::Rule(setting, _) => {
            format!("DestinationRule {}, {}", full_name(setting.resource), places.text(setting.span()))
        }
        Sending::WithoutProxy if many => "they have no sidecar".to_owned(),
        Sending::WithoutProxy => "it has no sidecar".to_owned(),
        Sending::AutoMtlsOff => "auto mTLS is off and no DestinationRule says otherwise".to_owned(),
        Sending::External => "the host is outside the mesh and no DestinationRule says otherwise".to_owned(),
        Sending::Auto(Assumed::WithoutSidecar(id)) => match mesh.workloads.get(id) {
            Some(bare) => {
                let at = places.text(bare.resource.name.span);
                let name = &bare.resource.name.value;
                format!("auto mTLS: {name} of this headless Service has no sidecar, {at}")
            }
            None => "auto mTLS: a pod of this headless Service has no sidecar".to_owned(),
        },
        Sending::Auto(Assumed::Policy(decision)) => match decision.by {
            Some((policy, span)) => {
                let scope = if decision.scope == Scope::Mesh { "mesh" } else { "namespace" };
                let (mode, at) = (decision.mode.as_str(), places.text(span));
                format!(
                    "auto mTLS goes by the {scope}'s mode, {mode}: PeerAuthentication {}, {at}",
                    full_name(policy)
                )
            }
            None => "auto mTLS: no PeerAuthentication is for the namespace".to_owned(),
        },
    };
    format!("{clients} {send} {what} ({why})")
}

fn server_reason(places: &mut Places<'_>, row: &Row<'_, '_>) -> String {
    let names: Vec<&str> = row.workloads.iter().map(|workload| workload.resource.name.as_str()).collect();
    let who = if names.is_empty() { row.host.resource.name.value.clone() } else { names.join(", ") };
    let accepts = if names.len() > 1 { "accept" } else { "accepts" };
    match row.answer.server {
        Server::Policy(decision) => {
            let what = match decision.mode {
                Mode::Strict => "only Istio's mTLS",
                Mode::Permissive => "plaintext and Istio's mTLS",
                Mode::Disable => "only plaintext",
            };
            let why = match decision.by {
                Some((policy, span)) => {
                    let at = places.text(span);
                    format!(" (PeerAuthentication {}, {at})", full_name(policy))
                }
                None => " (no PeerAuthentication)".to_owned(),
            };
            format!("{who} {accepts} {what}{why}")
        }
        Server::Bare => {
            let has = if names.len() > 1 { "have" } else { "has" };
            format!("{who} {has} no sidecar, so the application itself would have to speak Istio's mTLS")
        }
        Server::Unknown => format!("{who} {accepts} something unknown"),
    }
}
