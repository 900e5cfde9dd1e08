//! `cargo xtask bench lsp`: what a keystroke costs in the language server, from the edit's bytes on its input to
//! the findings on its output, beside linting everything. Prints, judges nothing.

use std::fs;
use std::io::BufReader;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use coalmine::{Settings, lint};
use lsp_server::{Message, Notification, Request};
use serde_json::{Value, json};

use crate::bench_lint::{generate, median, millis};
use crate::root;

/// Options of `cargo xtask bench lsp`.
#[derive(Args)]
pub(crate) struct Options {
    /// How many YAML documents the workspace has
    #[arg(long, default_value_t = 2_000)]
    documents: usize,
    /// How many keys to press
    #[arg(long, default_value_t = 200)]
    keys: usize,
}

/// What is typed, over and over: a subset's name, right and wrong on the way.
const TYPED: &str = "v2-0";

/// Measures in a release build: the caller's own build may be a debug one.
pub(crate) fn run(options: &Options) -> Result<()> {
    crate::run("cargo", &["build", "--quiet", "--release", "--package", "coalmine"])?;
    if cfg!(debug_assertions) {
        let (documents, keys) = (options.documents.to_string(), options.keys.to_string());
        let mut words = vec!["run", "--quiet", "--release", "--package", "xtask", "--"];
        words.extend(["bench", "lsp", "--documents", &documents, "--keys", &keys]);
        return crate::run("cargo", &words);
    }
    let files = generate(options.documents)?;
    let folder = tempfile::Builder::new().prefix("bench-lsp-").tempdir()?;
    let mut edited = None;
    for (_, file) in files.iter() {
        let path = folder.path().join(file.name());
        fs::create_dir_all(path.parent().context("every file is in a folder")?)?;
        fs::write(&path, file.text())?;
        if file.name().contains("virtual-service") && file.text().contains("subset: ") {
            edited = Some((path, file.text().to_owned()));
        }
    }
    let (path, text) = edited.context("no VirtualService was generated")?;
    let at = text.find("subset: ").context("it has no subset")? + "subset: ".len();
    let (before, rest) = text.split_at(at);
    let after = rest.split_once('\n').map_or("", |(_, after)| after);

    let mut server = Server::start(folder.path())?;
    let uri = format!("file://{}", path.display());
    let document = json!({ "uri": uri, "languageId": "yaml", "version": 0, "text": text });
    let start = Instant::now();
    server.notify("textDocument/didOpen", json!({ "textDocument": document }))?;
    server.published(&uri, 0)?;
    let first = start.elapsed();
    let mut keys = Vec::new();
    for number in 0..options.keys {
        let typed: String = TYPED.chars().take(number % (TYPED.len() + 1)).collect();
        let text = format!("{before}{typed}\n{after}");
        let version = i64::try_from(number + 1)?;
        let params = json!({
            "textDocument": { "uri": uri, "version": version },
            "contentChanges": [{ "text": text }],
        });
        let start = Instant::now();
        server.notify("textDocument/didChange", params)?;
        server.published(&uri, version)?;
        keys.push(start.elapsed());
    }
    server.stop()?;

    let settings = Settings::default();
    let mut full = Vec::new();
    for _ in 0..9 {
        let start = Instant::now();
        std::hint::black_box(lint(&files, &settings));
        full.push(start.elapsed());
    }
    let (full, key) = (median(&mut full), median(&mut keys));
    let slow = keys.get(keys.len() * 95 / 100).copied().unwrap_or_default();
    println!("{} documents in {} files, {} keystrokes", options.documents, files.len(), options.keys);
    println!("open          {:>8.1} ms   reading the workspace included", millis(first));
    println!("keystroke     {:>8.1} ms   median, bar: 50 ms", millis(key));
    println!("              {:>8.1} ms   95th percentile", millis(slow));
    println!("full lint     {:>8.1} ms   median of 9", millis(full));
    println!("ratio         {:>8.2}      keystroke to full lint", key.as_secs_f64() / full.as_secs_f64());
    Ok(())
}

struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Server {
    fn start(folder: &Path) -> Result<Self> {
        let program = root().join("target/release/coalmine");
        let mut command = Command::new(&program);
        command.arg("lsp").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let input = child.stdin.take().context("no standard input")?;
        let output = BufReader::new(child.stdout.take().context("no standard output")?);
        let mut server = Self { child, input, output };
        let folders = json!([{ "uri": format!("file://{}", folder.display()), "name": "bench" }]);
        let params =
            json!({ "processId": null, "rootUri": null, "workspaceFolders": folders, "capabilities": {} });
        server.request(1, "initialize", params)?;
        server.notify("initialized", json!({}))?;
        Ok(server)
    }

    fn send(&mut self, message: Message) -> Result<()> {
        Ok(message.write(&mut self.input)?)
    }

    fn notify(&mut self, method: &str, params: Value) -> Result<()> {
        self.send(Notification::new(method.to_owned(), params).into())
    }

    fn request(&mut self, id: i32, method: &str, params: Value) -> Result<()> {
        self.send(Request::new(id.into(), method.to_owned(), params).into())?;
        self.wait(|message| matches!(message, Message::Response(response) if response.id == id.into()))
    }

    fn published(&mut self, uri: &str, version: i64) -> Result<()> {
        self.wait(|message| match message {
            Message::Notification(note) => {
                note.method == "textDocument/publishDiagnostics"
                    && note.params["uri"] == uri
                    && note.params["version"] == version
            }
            _ => false,
        })
    }

    fn wait(&mut self, wanted: impl Fn(&Message) -> bool) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(60);
        while Instant::now() < end {
            let message = Message::read(&mut self.output)?.context("the server ended")?;
            if wanted(&message) {
                return Ok(());
            }
        }
        bail!("the server did not answer within a minute")
    }

    fn stop(mut self) -> Result<()> {
        self.request(2, "shutdown", Value::Null)?;
        self.notify("exit", Value::Null)?;
        self.child.wait()?;
        Ok(())
    }
}
