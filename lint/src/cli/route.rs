//! `coalmine route`: where one request goes, hop by hop.

mod print;

use std::time::SystemTime;

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use coalmine::mesh::Mesh;
use coalmine::render::route as json;
use coalmine::route::{Followed, Known, Request, Source, Trace, follow, trace};
use coalmine_filter::config;

use super::Exit;
use super::args::{Common, StateArgs};
use super::state::{self, View};

#[derive(clap::Args, Debug)]
pub(crate) struct RouteArgs {
    #[command(flatten)]
    pub state: StateArgs,
    /// Where the request goes: http://host[:port]/path, https://…, tcp://host:port or tls://host:port
    #[arg(long, value_name = "URL")]
    pub to: String,
    /// Who sends it: gateway[:[NS/]NAME] or KIND/[NS/]NAME, such as deployment/shop/web
    /// [default: the only gateway that accepts the host and port]
    #[arg(long, value_name = "SOURCE", default_value = "gateway", hide_default_value = true)]
    pub from: String,
    /// A header of the request; `host: …` replaces the URL's
    #[arg(short = 'H', long, value_name = "NAME: VALUE")]
    pub header: Vec<String>,
    /// Cookies of the request; several make one header
    #[arg(short = 'b', long, value_name = "A=B; C=D")]
    pub cookie: Vec<String>,
    /// The request's method
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "GET")]
    pub method: String,
    /// The port to dial, if the URL does not say
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u32).range(1..=65_535))]
    pub port: Option<u32>,
    /// The SPIFFE id of the client, for a filter in the mesh role
    #[arg(long, value_name = "URI")]
    pub principal: Option<String>,
    /// The time of the request, RFC 3339, for a filter's windows [default: now]
    #[arg(long, value_name = "TIME")]
    pub now: Option<String>,
    /// Go on with the calls that the pods make which the request lands on
    #[arg(long)]
    pub follow: bool,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = RouteFormat::Human)]
    pub format: RouteFormat,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RouteFormat {
    /// For people
    Human,
    /// JSON, version 1
    Json,
}

/// The answer of one deployment, printed.
struct Answer {
    text: String,
    failed: bool,
}

/// Follows a request. 0 when something answers, 1 when some share of the requests gets no answer.
pub(crate) fn run(args: &RouteArgs, common: &Common, color: bool) -> Result<Exit> {
    // What cannot be understood is said before anything is read.
    request(args, "default")?;
    let now = match &args.now {
        Some(text) => config::time(text)
            .with_context(|| format!("--now {text}: not an RFC 3339 time such as 2026-12-01T00:00:00Z"))?,
        None => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    };
    let mut answers: Vec<Answer> = Vec::new();
    let mut refusals: Vec<String> = Vec::new();
    let readable = state::each(&args.state, common, |view| {
        let namespace = common.namespace.as_deref().unwrap_or_else(|| view.settings.namespace_for(""));
        let request = request(args, namespace)?;
        let mesh = view.mesh();
        let known = Known { now, env: keys(&mesh) };
        match trace(&mesh, &request, &known) {
            Ok(mut trace) => {
                if args.format == RouteFormat::Json {
                    // People have them on standard error.
                    trace.notes.extend(view.misread.iter().cloned());
                }
                let followed = args.follow.then(|| follow(&mesh, &trace, &known));
                answers.push(answer(args, view, &request, &trace, followed.as_deref(), color));
            }
            Err(refusal) => refusals.push(match (view.step(), &args.state.step) {
                (Some(step), None) => format!("{refusal} (after step {step}; --step asks about another)"),
                _ => refusal.to_string(),
            }),
        }
        Ok(())
    })?;
    let [answer] = answers.as_slice() else {
        if answers.len() > 1 {
            bail!("{} deployments of the input can take this request; name the folder of one", answers.len());
        }
        match refusals.into_iter().next() {
            Some(refusal) => bail!("{refusal}"),
            None => bail!("there are no manifests in the input"),
        }
    };
    super::put(&answer.text)?;
    readable.check()?;
    Ok(if answer.failed { Exit::Findings } else { Exit::Clean })
}

fn answer(
    args: &RouteArgs,
    view: &View<'_>,
    request: &Request,
    trace: &Trace,
    followed: Option<&[Followed]>,
    color: bool,
) -> Answer {
    let text = match args.format {
        RouteFormat::Json => json::render(view.files, view.step(), request, trace, followed),
        RouteFormat::Human => print::human(view.files, view.step(), request, trace, followed, color),
    };
    let failed = trace.failure().is_some() || followed.is_some_and(|calls| calls.iter().any(fails));
    Answer { text, failed }
}

fn fails(followed: &Followed) -> bool {
    followed.trace.as_ref().is_ok_and(|trace| trace.failure().is_some()) || followed.calls.iter().any(fails)
}

/// The filters' signing keys that this environment has.
pub(super) fn keys(mesh: &Mesh<'_>) -> Vec<(String, Vec<u8>)> {
    let names = mesh.filters.iter().flat_map(|filter| &filter.config.keys).map(|key| &key.env);
    names.filter_map(|name| Some((name.clone(), std::env::var_os(name)?.into_encoded_bytes()))).collect()
}

fn request(args: &RouteArgs, namespace: &str) -> Result<Request> {
    let mut url = args.to.clone();
    if let Some(port) = args.port {
        // The port of the option goes where the URL has none.
        let start = url.find("://").map_or(0, |at| at + 3);
        let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
        let has_port = url[start..end].rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        ensure!(!has_port, "--port {port}: the URL {} already has a port", args.to);
        url.insert_str(end, &format!(":{port}"));
    }
    let from = Source::parse(&args.from, namespace).with_context(|| format!("--from {}", args.from))?;
    let mut request = Request::parse(&url, from).context("--to")?;
    ensure!(
        !args.method.is_empty()
            && args.method.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)),
        "--method {}: not an HTTP method",
        args.method
    );
    request.method = args.method.to_ascii_uppercase();
    for header in &args.header {
        let name_and_value = match header.strip_prefix(':') {
            Some(rest) => rest.split_once(':').map(|(name, value)| (format!(":{name}"), value)),
            None => header.split_once(':').map(|(name, value)| (name.to_owned(), value)),
        };
        let (name, value) = name_and_value
            .filter(|(name, _)| !name.trim().is_empty() && name.trim() != ":")
            .with_context(|| format!("--header {header}: not of the form `name: value`"))?;
        match name.trim().to_ascii_lowercase() {
            name if name == "cookie" => request.add_cookie(value.trim()),
            name => request.headers.push((name, value.trim().to_owned())),
        }
    }
    for cookie in &args.cookie {
        request.add_cookie(cookie.trim());
    }
    request.principal.clone_from(&args.principal);
    Ok(request)
}
