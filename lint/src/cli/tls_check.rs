//! `coalmine tls-check`: the mTLS table, as a table and as JSON. What is in it is the library's matter.

mod json;
mod notes;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};

use anyhow::{Result, bail};
use clap::ValueEnum;
use coalmine::line_index::{ColumnUnit, LineIndex};
use coalmine::mesh::Mesh;
use coalmine::mesh::mtls::Sent;
use coalmine::resource::Resource;
use coalmine::rule::did_you_mean;
use coalmine::tls_check::{Caller, Question, Row, Server, Status, callers, means_caller, means_host, table};
use coalmine::{Files, Span};

use self::json::{Wire, json_left_out, json_row, json_workload};
use self::notes::{closing, notes};
use super::args::{Common, StateArgs};
use super::{Exit, state};

#[derive(clap::Args, Debug)]
pub(crate) struct TlsCheckArgs {
    #[command(flatten)]
    pub state: StateArgs,
    /// Only this host: its full name, `service.namespace` or `service`; `:port` asks for one port
    #[arg(long, value_name = "HOST")]
    pub service: Option<String>,
    /// Only this client: the name of a workload or Gateway, or namespace/name. Of workloads without a sidecar
    /// those calls are listed that the manifests tell of, and all when asked for
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
    let mut wire = Wire { version: 1, ..Wire::default() };
    let mut unanswered = Missing::default();
    let mut conflicts = false;
    let mut answered = false;
    let read = state::each(&args.state, common, |view| {
        let mesh = view.mesh();
        if !unanswered.asks(&mesh, question) {
            return Ok(());
        }
        answered = true;
        let found = table(&mesh, question);
        conflicts |= found.rows.iter().any(|row| fails(row.answer.status));
        let mut places = Places { files: view.files, indexes: BTreeMap::new() };
        match args.format {
            TlsCheckFormat::Human => {
                if !human.is_empty() {
                    human.push('\n');
                }
                if !found.rows.is_empty() {
                    print(&mut human, &found.rows);
                }
                notes(&mut human, &mut places, &found, &mesh, question);
                closing(&mut human, &found, &view.settings.base, view.step());
            }
            TlsCheckFormat::Json => {
                let step = view.step();
                wire.rows.extend(found.rows.iter().map(|row| json_row(&mut places, &mesh, row, step)));
                wire.left_out.extend(found.left_out.iter().map(|left| json_left_out(left, step)));
                let silent = found.silent.iter();
                wire.without_sidecar.extend(silent.map(|workload| json_workload(&mut places, workload)));
            }
        }
        Ok(())
    });
    // What could not be read fails the command after the rest was answered.
    if answered {
        print_answer(args.format, &human, &wire)?;
    }
    read?;
    unanswered.check(question)?;
    if !answered {
        print_answer(args.format, &human, &wire)?;
    }
    Ok(if conflicts { Exit::Findings } else { Exit::Clean })
}

/// Whether calls with this status cannot be answered.
fn fails(status: Status) -> bool {
    matches!(status, Status::Conflict | Status::NoSubset)
}

fn print_answer(format: TlsCheckFormat, human: &str, wire: &Wire) -> Result<()> {
    let text = match format {
        TlsCheckFormat::Human => human.to_owned(),
        TlsCheckFormat::Json => {
            let mut text = serde_json::to_string_pretty(wire)?;
            text.push('\n');
            text
        }
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// Names that were asked for, as long as no deployment has them, with what there is instead.
#[derive(Default)]
struct Missing {
    service: bool,
    port: bool,
    caller: bool,
    hosts: Vec<String>,
    /// Hosts that were meant, each with the ports that it has.
    meant: Vec<String>,
    callers: Vec<String>,
}

impl Missing {
    /// Whether a deployment can answer the question.
    fn asks(&mut self, mesh: &Mesh<'_>, question: Question<'_>) -> bool {
        let all = callers(mesh);
        let (mut host, mut port) = (question.service.is_none(), question.service.is_none());
        for (known, number) in
            mesh.registry.iter().filter_map(|host| Some((host, means_host(question.service?, host)?)))
        {
            host = true;
            port |= number.is_none_or(|number| known.port(number).is_some());
            self.meant.push(match known.ports.is_empty() {
                true => format!("{} has no ports", known.name),
                false => format!("{} has {}", known.name, known.describe_ports()),
            });
        }
        let caller = question.from.is_none_or(|from| all.iter().any(|caller| means_caller(from, caller)));
        self.service |= host;
        self.port |= port;
        self.caller |= caller;
        self.hosts.extend(mesh.registry.iter().map(|host| host.name.clone()));
        self.callers.extend(all.iter().map(|caller| caller.name().to_owned()));
        host && port && caller
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
        if let Some(service) = question.service.filter(|_| !self.port) {
            bail!("--service {service}: there is no such port; {}", self.meant.join("; "));
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
        Server::Unknown if row.answer.status == Status::NoSubset => "-",
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
        _ if row.answer.status == Status::NoSubset => "-".to_owned(),
        (true, None) => "auto".to_owned(),
        (true, sent) => format!("auto {}", sent_text(sent)),
        (false, sent) => sent_text(sent).to_owned(),
    }
}

fn status_text(status: Status) -> &'static str {
    match status {
        Status::Ok => "OK",
        Status::Conflict => "CONFLICT",
        Status::NoSubset => "NO SUBSET",
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

/// The DestinationRule that decides, and the place in it.
fn rule_of<'a>(row: &Row<'_, 'a>) -> Option<(&'a Resource, Span)> {
    let by = row.answer.client.by.map(|setting| (setting.resource, setting.span()));
    by.or_else(|| row.answer.missing?.rule)
}

fn client_name(caller: &Caller<'_, '_>) -> String {
    match caller {
        Caller::Namespace(namespace) => format!("any in {namespace}"),
        Caller::Gateway(_) | Caller::Workload(_) => caller.name().to_owned(),
    }
}

fn clients_text(row: &Row<'_, '_>) -> String {
    if row.all_clients {
        return "all".to_owned();
    }
    let mut names: Vec<String> = row.clients.iter().map(client_name).collect();
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
fn print(out: &mut String, rows: &[Row<'_, '_>]) {
    let mut heads = vec!["HOST:PORT", "STATUS", "SERVER", "CLIENT", "AUTHN POLICY", "DESTINATION RULE"];
    let by_server = rows.iter().any(|row| !row.all_servers);
    let by_client = rows.iter().any(|row| !row.all_clients);
    heads.extend(by_server.then_some("SUBSET"));
    heads.extend(by_client.then_some("CLIENTS"));
    let mut lines: Vec<Vec<String>> = vec![heads.into_iter().map(str::to_owned).collect()];
    for row in rows {
        let rule = rule_of(row).map(|(rule, _)| full_name(rule));
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
