//! `coalmine tls-check`: the mTLS table, as a table and as JSON. What is in it is the library's matter.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Result, bail};
use clap::ValueEnum;
use coalmine::line_index::{ColumnUnit, LineIndex};
use coalmine::mesh::Mesh;
use coalmine::mesh::mtls::Sent;
use coalmine::mesh::security::Mode;
use coalmine::mesh::workloads::Proxy;
use coalmine::resource::Resource;
use coalmine::rule::did_you_mean;
use coalmine::tls_check::{Caller, Question, Row, Server, Status, callers, means_caller, means_host, rows};
use coalmine::{Files, Span};
use serde::Serialize;

use super::args::{Common, StateArgs};
use super::{Exit, state};

#[derive(clap::Args, Debug)]
pub(crate) struct TlsCheckArgs {
    #[command(flatten)]
    pub state: StateArgs,
    /// Only this host: its full name, `service.namespace` or `service`; `:port` asks for one port
    #[arg(long, value_name = "HOST")]
    pub service: Option<String>,
    /// Only this client: the name of a workload or Gateway, or namespace/name. Workloads without a sidecar
    /// are listed only when asked for
    #[arg(long, value_name = "[NS/]NAME")]
    pub from: Option<String>,
    /// How to print the table
    #[arg(long, value_enum, default_value_t = TlsCheckFormat::Human)]
    pub format: TlsCheckFormat,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TlsCheckFormat {
    /// A table
    Human,
    /// JSON, version 1
    Json,
}

/// Prints the table of the asked state of each deployment.
pub(crate) fn run(args: &TlsCheckArgs, common: &Common) -> Result<Exit> {
    let question = Question { service: args.service.as_deref(), from: args.from.as_deref() };
    let mut human = String::new();
    let mut wire = Wire { version: 1, rows: Vec::new() };
    let mut unanswered = Missing::default();
    let mut conflicts = false;
    state::each(&args.state, common, |view| {
        let mesh = view.mesh();
        if !unanswered.asks(&mesh, question) {
            return Ok(());
        }
        let rows = rows(&mesh, question);
        conflicts |= rows.iter().any(|row| row.answer.status == Status::Conflict);
        let mut places = Places { files: view.files, indexes: BTreeMap::new() };
        match args.format {
            TlsCheckFormat::Human => {
                if !human.is_empty() {
                    human.push('\n');
                }
                if !rows.is_empty() {
                    table(&mut human, &rows);
                }
                notes(&mut human, &mut places, &rows, &mesh, question);
                closing(&mut human, &rows, &view.settings.base, view.step());
            }
            TlsCheckFormat::Json => {
                wire.rows.extend(rows.iter().map(|row| json_row(&mut places, row, view.step())));
            }
        }
        Ok(())
    })?;
    unanswered.check(question)?;
    let text = match args.format {
        TlsCheckFormat::Human => human,
        TlsCheckFormat::Json => {
            let mut text = serde_json::to_string_pretty(&wire)?;
            text.push('\n');
            text
        }
    };
    super::put(&text)?;
    Ok(if conflicts { Exit::Findings } else { Exit::Clean })
}

/// Names that were asked for, as long as no deployment has them, with what there is instead.
#[derive(Default)]
struct Missing {
    service: bool,
    caller: bool,
    hosts: Vec<String>,
    callers: Vec<String>,
}

impl Missing {
    /// Whether a deployment can answer the question.
    fn asks(&mut self, mesh: &Mesh<'_>, question: Question<'_>) -> bool {
        let host = question
            .service
            .is_none_or(|wanted| mesh.registry.iter().any(|host| means_host(wanted, host).is_some()));
        let all = callers(mesh);
        let caller = question.from.is_none_or(|from| all.iter().any(|caller| means_caller(from, caller)));
        self.service |= host;
        self.caller |= caller;
        self.hosts.extend(mesh.registry.iter().map(|host| host.name.clone()));
        self.callers.extend(all.iter().map(|caller| caller.name().to_owned()));
        host && caller
    }

    fn check(&self, question: Question<'_>) -> Result<()> {
        if let Some(service) = question.service.filter(|_| !self.service) {
            let name = service.rsplit_once(':').map_or(service, |(name, _)| name);
            let short = |host: &String| host.split('.').next().unwrap_or(host).to_owned();
            let shorts: Vec<String> = self.hosts.iter().map(short).collect();
            bail!(
                "--service {service}: there is no such host{}",
                hint(name, self.hosts.iter().chain(&shorts), &self.hosts)
            );
        }
        if let Some(from) = question.from.filter(|_| !self.caller) {
            let name = from.rsplit_once('/').map_or(from, |(_, name)| name);
            let near = hint(name, self.callers.iter(), &self.callers);
            bail!("--from {from}: there is no such workload or Gateway{near}");
        }
        Ok(())
    }
}

fn hint<'n>(wanted: &str, near: impl Iterator<Item = &'n String>, all: &[String]) -> String {
    match did_you_mean(wanted, near.map(String::as_str)) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if all.is_empty() => " in this state".to_owned(),
        None => {
            let mut names: Vec<&str> = all.iter().map(String::as_str).collect();
            names.sort_unstable();
            names.dedup();
            let more = if names.len() > 8 { ", …" } else { "" };
            names.truncate(8);
            format!("; there are {}{more}", names.join(", "))
        }
    }
}

fn server_text(row: &Row<'_, '_>) -> &'static str {
    match row.answer.server {
        Server::Policy(decision) => decision.mode.as_str(),
        Server::Bare => "-",
        Server::Unknown => "?",
    }
}

fn sent_text(sent: Option<Sent>) -> &'static str {
    match sent {
        Some(Sent::IstioMutual) => "mTLS",
        Some(Sent::OwnCertificate) => "mTLS (own)",
        Some(Sent::Simple) => "TLS",
        Some(Sent::Plaintext) => "HTTP",
        None => "?",
    }
}

fn client_text(row: &Row<'_, '_>) -> String {
    match (row.answer.client.automatic, row.answer.client.sent) {
        (true, None) => "auto".to_owned(),
        (true, sent) => format!("auto {}", sent_text(sent)),
        (false, sent) => sent_text(sent).to_owned(),
    }
}

fn status_text(status: Status) -> &'static str {
    match status {
        Status::Ok => "OK",
        Status::Conflict => "CONFLICT",
        Status::Unknown => "UNKNOWN",
    }
}

fn full_name(resource: &Resource) -> String {
    format!("{}/{}", resource.name.value, resource.namespace())
}

fn policy_of<'a>(row: &Row<'_, 'a>) -> Option<(&'a Resource, Span)> {
    match row.answer.server {
        Server::Policy(decision) => decision.by,
        Server::Bare | Server::Unknown => None,
    }
}

fn clients_text(row: &Row<'_, '_>) -> String {
    if row.all_clients {
        return "all".to_owned();
    }
    let mut names: Vec<&str> = row.clients.iter().map(Caller::name).collect();
    let more = names.len().saturating_sub(3);
    names.truncate(3);
    match more {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

fn servers_text(row: &Row<'_, '_>) -> String {
    if row.all_servers {
        return "all".to_owned();
    }
    let subsets: Vec<&str> = row.subsets.iter().copied().flatten().collect();
    match (subsets.is_empty(), row.subsets.contains(&None)) {
        (false, false) => subsets.join(", "),
        _ => {
            let names: Vec<&str> =
                row.workloads.iter().map(|workload| workload.resource.name.as_str()).collect();
            names.join(", ")
        }
    }
}

/// Aligned columns. What clients and pods are meant is a column only where they differ.
fn table(out: &mut String, rows: &[Row<'_, '_>]) {
    let mut heads = vec!["HOST:PORT", "STATUS", "SERVER", "CLIENT", "AUTHN POLICY", "DESTINATION RULE"];
    let by_server = rows.iter().any(|row| !row.all_servers);
    let by_client = rows.iter().any(|row| !row.all_clients);
    heads.extend(by_server.then_some("SUBSET"));
    heads.extend(by_client.then_some("CLIENTS"));
    let mut lines: Vec<Vec<String>> = vec![heads.into_iter().map(str::to_owned).collect()];
    for row in rows {
        let rule = row.answer.client.by.map(|setting| full_name(setting.resource));
        let mut line = vec![
            format!("{}:{}", row.host.name, row.port.number),
            status_text(row.answer.status).to_owned(),
            server_text(row).to_owned(),
            client_text(row),
            policy_of(row).map_or_else(|| "-".to_owned(), |(policy, _)| full_name(policy)),
            rule.unwrap_or_else(|| "-".to_owned()),
        ];
        line.extend(by_server.then(|| servers_text(row)));
        line.extend(by_client.then(|| clients_text(row)));
        lines.push(line);
    }
    let mut widths: Vec<usize> = Vec::new();
    for line in &lines {
        widths.resize(widths.len().max(line.len()), 0);
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for line in &lines {
        let mut text = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            let width = *width;
            let _ = write!(text, "{cell:width$}  ");
        }
        let _ = writeln!(out, "{}", text.trim_end());
    }
}

/// What the table does not say: why there are conflicts, and who is not in it.
fn notes(
    out: &mut String,
    places: &mut Places<'_>,
    rows: &[Row<'_, '_>],
    mesh: &Mesh<'_>,
    question: Question<'_>,
) {
    for row in rows.iter().filter(|row| row.answer.status == Status::Conflict) {
        let (host, port) = (&row.host.name, row.port.number);
        let _ = writeln!(out, "\nCONFLICT {host}:{port}\n  client  {}", client_reason(places, row));
        let _ = writeln!(out, "  server  {}", server_reason(places, row));
    }
    if rows.iter().any(|row| row.answer.status == Status::Unknown) {
        out.push_str("\nUNKNOWN: nothing says whether the pods have a sidecar, or which policy wins.\n");
    }
    let strict = |row: &Row<'_, '_>| matches!(row.answer.server, Server::Policy(decision) if decision.mode == Mode::Strict);
    let bare: Vec<&str> = mesh
        .workloads
        .iter()
        .filter(|(_, workload)| workload.proxy == Proxy::None)
        .map(|(_, workload)| workload.resource.name.as_str())
        .collect();
    if question.from.is_none() && rows.iter().any(strict) && !bare.is_empty() {
        let (names, many) = match bare.as_slice() {
            [one] => (format!("`{one}`"), false),
            [first, ..] => (format!("{} workloads (`{first}` …)", bare.len()), true),
            [] => (String::new(), false),
        };
        let (have, send) = if many { ("have", "send") } else { ("has", "sends") };
        let _ = writeln!(
            out,
            "\n{names} {have} no sidecar and {send} plaintext, which STRICT refuses; --from NAME shows it."
        );
    }
}

/// Which state the table shows, where there is more than one to choose from.
fn closing(out: &mut String, rows: &[Row<'_, '_>], base: &str, step: Option<&str>) {
    let base = if base.is_empty() { String::new() } else { format!(" of {base}") };
    let step = step.map(|step| format!(" after step {step}")).unwrap_or_default();
    let _ = match rows.is_empty() {
        true => writeln!(out, "There is nothing to call in the state{base}{step}."),
        false if step.is_empty() && base.is_empty() => Ok(()),
        false => writeln!(out, "\nThis is the state{base}{step}."),
    };
}

fn client_reason(places: &mut Places<'_>, row: &Row<'_, '_>) -> String {
    let clients = if row.all_clients { "every client".to_owned() } else { clients_text(row) };
    let clients = match row.clients.as_slice() {
        [only] => only.name().to_owned(),
        _ => clients,
    };
    let what = match row.answer.client.sent {
        Some(Sent::IstioMutual) => "sends Istio's mTLS",
        Some(Sent::OwnCertificate) => "sends mTLS with a certificate of its own",
        Some(Sent::Simple) => "sends TLS without a client certificate",
        Some(Sent::Plaintext) => "sends plaintext",
        None => "sends something unknown",
    };
    let bare = row.clients.iter().all(|caller| !caller.is_in_mesh());
    let why = match row.answer.client.by {
        Some(setting) => {
            let at = places.text(setting.span());
            format!("DestinationRule {}, {at}", full_name(setting.resource))
        }
        None if bare => "it has no sidecar".to_owned(),
        None if row.answer.client.automatic => {
            "auto mTLS: the namespace's mode is DISABLE, or not all pods have a sidecar".to_owned()
        }
        None => "auto mTLS is off and no DestinationRule says otherwise".to_owned(),
    };
    format!("{clients} {what} ({why})")
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

/// Places for people: each file's index is made when first needed.
struct Places<'f> {
    files: &'f Files,
    indexes: BTreeMap<usize, LineIndex>,
}

impl Places<'_> {
    fn of(&mut self, span: Span) -> (u32, u32) {
        let text = self.files.text(span.file);
        let index = self.indexes.entry(span.file.index()).or_insert_with(|| LineIndex::new(text));
        let at = index.line_column(text, span.start, ColumnUnit::Scalars);
        (at.line.saturating_add(1), at.column.saturating_add(1))
    }

    fn text(&mut self, span: Span) -> String {
        let (line, column) = self.of(span);
        format!("{}:{line}:{column}", self.files.name(span.file))
    }
}

#[derive(Serialize)]
struct Wire {
    version: u32,
    rows: Vec<JsonRow>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonRow {
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
    destination_rule: Option<JsonObject>,
}

#[derive(Serialize)]
struct JsonObject {
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

fn json_row(places: &mut Places<'_>, row: &Row<'_, '_>, step: Option<&str>) -> JsonRow {
    let policy = policy_of(row).map(|(resource, span)| json_object(places, resource, span));
    let (mode, sidecar) = match row.answer.server {
        Server::Policy(decision) => (Some(decision.mode.as_str()), Some(true)),
        Server::Bare => (None, Some(false)),
        Server::Unknown => (None, None),
    };
    let client = row.answer.client;
    JsonRow {
        step: step.map(str::to_owned),
        host: row.host.name.clone(),
        port: row.port.number,
        status: match row.answer.status {
            Status::Ok => "ok",
            Status::Conflict => "conflict",
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
            destination_rule: client.by.map(|setting| json_object(places, setting.resource, setting.span())),
        },
        all_clients: row.all_clients,
        clients: row.clients.iter().map(|caller| json_caller(places, caller)).collect(),
        all_servers: row.all_servers,
        subsets: row.subsets.iter().map(|subset| subset.map(str::to_owned)).collect(),
        workloads: row
            .workloads
            .iter()
            .map(|workload| json_object(places, workload.resource, workload.resource.name.span))
            .collect(),
    }
}
