//! The loop: takes messages in order, keeps the workspace, answers and publishes.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use coalmine::line_index::ColumnUnit;
use lsp_server::{Connection, ErrorCode, Message, Notification, Request, RequestId, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::args::Common;
use super::convert::*;
use super::workspace::Workspace;
use super::{actions, features};

/// Findings are published at least this often while somebody types.
const LONGEST: Duration = Duration::from_millis(400);

/// What the client can do, as far as it matters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    /// What a column of a position counts.
    pub unit: ColumnUnit,
    /// Edits may name the version of the text that they are for.
    pub document_changes: bool,
    /// The edit of a code action may come when it is chosen.
    pub resolves_edits: bool,
    /// Findings may point at related places.
    pub related: bool,
    /// Symbols may be nested.
    pub nested_symbols: bool,
    /// Files can be watched.
    pub watches: bool,
}

impl Client {
    fn new(params: &Value) -> Self {
        let flag = |path: &str| params.pointer(path) == Some(&Value::Bool(true));
        let encodings = params.pointer("/capabilities/general/positionEncodings");
        let mut encodings = encodings.and_then(Value::as_array).into_iter().flatten();
        let resolves = "/capabilities/textDocument/codeAction/resolveSupport/properties";
        let mut resolved = params.pointer(resolves).and_then(Value::as_array).into_iter().flatten();
        Self {
            unit: if encodings.any(|name| name == "utf-8") { ColumnUnit::Bytes } else { ColumnUnit::Utf16 },
            document_changes: flag("/capabilities/workspace/workspaceEdit/documentChanges"),
            resolves_edits: resolved.any(|name| name == "edit")
                && flag("/capabilities/textDocument/codeAction/dataSupport"),
            related: flag("/capabilities/textDocument/publishDiagnostics/relatedInformation"),
            nested_symbols: flag(
                "/capabilities/textDocument/documentSymbol/hierarchicalDocumentSymbolSupport",
            ),
            watches: flag("/capabilities/workspace/didChangeWatchedFiles/dynamicRegistration"),
        }
    }
}

/// Serves one client; whether it said goodbye in due form.
pub(super) fn serve(connection: &Connection, common: &Common) -> Result<bool> {
    // What the command line names is read once now, so that a mistake in it is said at once.
    super::super::input::Configs::new(common)?;
    let (id, params) = connection.initialize_start()?;
    let client = Client::new(&params);
    let result = InitializeResult::new(
        capabilities(client),
        Some(ServerInfo::new("coalmine".to_owned(), Some(env!("CARGO_PKG_VERSION").to_owned()))),
    );
    connection.initialize_finish(id, serde_json::to_value(result)?)?;
    // The connection's own channel holds one message; what waits behind it is to be seen as well.
    let (sender, incoming) = mpsc::channel();
    let receiver = connection.receiver.clone();
    thread::spawn(move || {
        for message in receiver {
            if sender.send(message).is_err() {
                break;
            }
        }
    });
    let roots = roots(&params);
    let config = common.config.as_ref().map(|config| absolute(config, &roots));
    let common = Common { config, ..common.clone() };
    let mut server = Server {
        connection,
        incoming,
        client,
        workspace: Workspace::new(&common, roots),
        waiting: RefCell::default(),
        published: HashMap::new(),
        due_since: Some(Instant::now()),
        is_shut_down: false,
    };
    if client.watches {
        server.watch();
    }
    Ok(server.run())
}

/// A settings file of the command line as the client would name it, whose folders may be links: the files that
/// it governs are named relative to it.
fn absolute(config: &Path, roots: &[PathBuf]) -> PathBuf {
    let folder = config.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (Ok(folder), Some(name)) = (fs::canonicalize(folder), config.file_name()) else {
        return config.to_owned();
    };
    let below = |root: &PathBuf| {
        let way = folder.strip_prefix(fs::canonicalize(root).ok()?).ok()?.to_owned();
        // Joining an empty path would leave a `/` at the end.
        Some(if way.as_os_str().is_empty() { root.clone() } else { root.join(way) })
    };
    roots.iter().find_map(below).unwrap_or(folder).join(name)
}

fn roots(params: &Value) -> Vec<PathBuf> {
    let folders = params.get("workspaceFolders").and_then(Value::as_array);
    let of = |value: &Value| Some(path_of(&Uri::parse(value.as_str()?).ok()?));
    match folders {
        Some(folders) => folders.iter().filter_map(|folder| of(folder.get("uri")?)).collect(),
        None => params.get("rootUri").and_then(of).into_iter().collect(),
    }
}

fn capabilities(client: Client) -> ServerCapabilities {
    let manifests = FileOperationRegistrationOptions::new(vec![FileOperationFilter {
        scheme: Some("file".to_owned()),
        // Folders too: what is in them comes and goes with them.
        pattern: FileOperationPattern { glob: "**/*".to_owned(), ..FileOperationPattern::default() },
    }]);
    let encoding = match client.unit {
        ColumnUnit::Bytes => PositionEncodingKind::UTF8,
        ColumnUnit::Utf16 | ColumnUnit::Scalars => PositionEncodingKind::UTF16,
    };
    ServerCapabilities {
        position_encoding: Some(encoding),
        text_document_sync: Some(TextDocumentSync::Options(TextDocumentSyncOptions {
            open_close: Some(true),
            change: Some(TextDocumentSyncKind::Incremental),
            save: Some(Save::Bool(true)),
            ..TextDocumentSyncOptions::default()
        })),
        completion_provider: Some(CompletionOptions {
            trigger_characters: Some([" ", ".", "/", "\"", "[", "{"].map(str::to_owned).to_vec()),
            ..CompletionOptions::default()
        }),
        hover_provider: Some(HoverProvider::Bool(true)),
        definition_provider: Some(DefinitionProvider::Bool(true)),
        references_provider: Some(ReferencesProvider::Bool(true)),
        document_highlight_provider: Some(DocumentHighlightProvider::Bool(true)),
        document_symbol_provider: Some(DocumentSymbolProvider::Bool(true)),
        workspace_symbol_provider: Some(WorkspaceSymbolProvider::Bool(true)),
        code_action_provider: Some(CodeActionProvider::CodeActionOptions(CodeActionOptions {
            code_action_kinds: Some(vec![CodeActionKind::QuickFix, actions::fix_all_kind()]),
            resolve_provider: Some(client.resolves_edits),
            ..CodeActionOptions::default()
        })),
        code_lens_provider: Some(CodeLensOptions::default()),
        workspace: Some(WorkspaceOptions {
            workspace_folders: Some(WorkspaceFoldersServerCapabilities {
                supported: Some(true),
                change_notifications: Some(ChangeNotifications::Bool(true)),
            }),
            file_operations: Some(FileOperationOptions {
                did_create: Some(manifests.clone()),
                did_rename: Some(manifests.clone()),
                did_delete: Some(manifests),
                ..FileOperationOptions::default()
            }),
            ..WorkspaceOptions::default()
        }),
        ..ServerCapabilities::default()
    }
}

struct Server<'c> {
    connection: &'c Connection,
    incoming: Receiver<Message>,
    client: Client,
    workspace: Workspace<'c>,
    /// What has come while something else was done.
    waiting: RefCell<VecDeque<Message>>,
    /// What the client was last told about each file that has findings or that it has open.
    published: HashMap<PathBuf, (Option<i32>, Vec<Diagnostic>)>,
    /// When something was changed that no findings were published for yet.
    due_since: Option<Instant>,
    is_shut_down: bool,
}

impl Server<'_> {
    fn run(&mut self) -> bool {
        loop {
            self.collect();
            let next = if self.is_overdue() { None } else { self.waiting.borrow_mut().pop_front() };
            let message = match next {
                Some(message) => message,
                None if self.due_since.is_some() => {
                    if self.lint() {
                        self.due_since = None;
                    }
                    continue;
                }
                None => match self.incoming.recv() {
                    Ok(message) => message,
                    Err(_) => return false,
                },
            };
            match message {
                Message::Notification(note) if note.method == "exit" => return self.is_shut_down,
                Message::Notification(note) => self.notification(note),
                Message::Request(request) => self.request(request),
                // Answers to what was registered say nothing that could be acted on.
                Message::Response(_) => {}
            }
        }
    }

    /// Moves what has come in to the end of the queue.
    fn collect(&self) {
        self.waiting.borrow_mut().extend(self.incoming.try_iter());
    }

    /// Whether what is being done will be out of date. It is finished all the same when it is overdue.
    fn is_superseded(&self) -> bool {
        self.collect();
        let is_news = |message: &Message| match message {
            Message::Notification(note) => !note.method.starts_with("$/"),
            Message::Request(_) | Message::Response(_) => false,
        };
        self.is_ending() || (!self.is_overdue() && self.waiting.borrow().iter().any(is_news))
    }

    /// Whether the client has waited for findings long enough, however much it goes on typing.
    fn is_overdue(&self) -> bool {
        self.due_since.is_some_and(|since| since.elapsed() >= LONGEST) && !self.is_ending()
    }

    /// Whether the client has taken its leave.
    fn is_ending(&self) -> bool {
        self.waiting.borrow().iter().any(|message| match message {
            Message::Notification(note) => note.method == "exit",
            Message::Request(request) => request.method == "shutdown",
            Message::Response(_) => false,
        })
    }

    fn send(&self, message: impl Into<Message>) {
        // A client that went away is noticed where the next message is awaited.
        let _ = self.connection.sender.send(message.into());
    }

    fn notify(&self, method: &str, params: impl Serialize) {
        self.send(Notification::new(method.to_owned(), params));
    }

    fn watch(&self) {
        let globs = ["**/*.{yaml,yml,json}", "**/.gitignore", "**/.ignore"];
        let watchers: Vec<Value> = globs.iter().map(|glob| json!({ "globPattern": glob })).collect();
        let params = RegistrationParams::new(vec![Registration {
            id: "files".to_owned(),
            method: "workspace/didChangeWatchedFiles".to_owned(),
            register_options: Some(json!({ "watchers": watchers })),
        }]);
        let id = RequestId::from("watch".to_owned());
        self.send(Request::new(id, "client/registerCapability".to_owned(), params));
    }

    fn notification(&mut self, note: Notification) {
        let Notification { method, params } = note;
        let known = match method.as_str() {
            "textDocument/didOpen" => self.with(params, Self::did_open),
            "textDocument/didChange" => self.with(params, Self::did_change),
            "textDocument/didClose" => self.with(params, |server, params: DidCloseTextDocumentParams| {
                server.workspace.close(&path_of(&params.text_document.uri));
            }),
            "textDocument/didSave" => self.with(params, |server, params: DidSaveTextDocumentParams| {
                // Clients that cannot watch files save at least the open ones through here.
                server.workspace.disk_changed(&path_of(&params.text_document.uri), false);
            }),
            "workspace/didChangeWatchedFiles" => {
                self.with(params, |server, params: DidChangeWatchedFilesParams| {
                    for event in params.changes {
                        let exists = event.kind == FileChangeType::Changed;
                        server.workspace.disk_changed(&path_of(&event.uri), exists);
                    }
                })
            }
            "workspace/didChangeWorkspaceFolders" => {
                self.with(params, |server, params: DidChangeWorkspaceFoldersParams| {
                    let paths = |folders: &[WorkspaceFolder]| -> Vec<PathBuf> {
                        folders.iter().map(|folder| path_of(&folder.uri)).collect()
                    };
                    let removed = paths(&params.event.removed);
                    server.workspace.change_roots(paths(&params.event.added), &removed);
                })
            }
            "workspace/didCreateFiles" | "workspace/didRenameFiles" | "workspace/didDeleteFiles" => {
                self.workspace.disk_changed(Path::new(""), false);
                true
            }
            _ => return,
        };
        if known {
            self.due_since.get_or_insert_with(Instant::now);
        } else {
            self.log(&format!("the parameters of {method} are not what the protocol says"));
        }
    }

    fn with<P: DeserializeOwned>(&mut self, params: Value, act: impl FnOnce(&mut Self, P)) -> bool {
        match serde_json::from_value(params) {
            Ok(params) => {
                act(self, params);
                true
            }
            Err(_) => false,
        }
    }

    fn log(&self, message: &str) {
        self.notify("window/logMessage", json!({ "type": 2, "message": format!("coalmine: {message}") }));
    }

    fn did_open(&mut self, params: DidOpenTextDocumentParams) {
        let TextDocumentItem { uri, language_id, version, text } = params.text_document;
        let language = language_id.to_string();
        // `yaml.kubernetes`, `helm-yaml` and the like are YAML, too; a Helm template is told by its folder.
        let is_yaml = language.contains("yaml") || language == "json";
        self.workspace.open(path_of(&uri), text, version, is_yaml);
    }

    fn did_change(&mut self, params: DidChangeTextDocumentParams) {
        let path = path_of(&params.text_document.text_document_identifier.uri);
        let Some(buffer) = self.workspace.buffers.get(&path) else { return };
        let text = changed(buffer.text.to_string(), params.content_changes, self.client.unit);
        self.workspace.edit(&path, text, params.text_document.version);
    }

    /// Lints what was changed and publishes it; `false` when something came that makes it out of date.
    fn lint(&mut self) -> bool {
        self.workspace.refresh();
        let mut told: BTreeMap<PathBuf, Vec<Diagnostic>> = BTreeMap::new();
        for number in 0..self.workspace.groups.len() {
            let mut groups = std::mem::take(&mut self.workspace.groups);
            if let Some(group) = groups.get_mut(number) {
                if group.report.is_none() {
                    group.report = group.deployment.lint_unless(&|| self.is_superseded());
                }
                if group.shown.is_none() {
                    group.shown = features::diagnostics(group, self.client);
                }
            }
            self.workspace.groups = groups;
            match self.workspace.groups.get(number).map(|group| &group.shown) {
                Some(Some(shown)) => told.extend(shown.clone()),
                Some(None) => return false,
                None => {}
            }
        }
        for path in self.workspace.open_files() {
            told.entry(path).or_default();
        }
        for (path, errors) in &self.workspace.broken {
            let text = self.workspace.buffers.get(path).map(|buffer| buffer.text.to_string());
            let text = text.or_else(|| fs::read_to_string(path).ok()).unwrap_or_default();
            told.insert(path.clone(), features::broken_settings(&text, errors, self.client));
        }
        if self.is_superseded() {
            return false;
        }
        self.publish(told);
        true
    }

    /// Tells the client what it does not know yet: findings of files that are gone are taken back, and what it
    /// edits is answered for each version.
    fn publish(&mut self, told: BTreeMap<PathBuf, Vec<Diagnostic>>) {
        let old = std::mem::take(&mut self.published);
        for path in old.keys().filter(|path| !told.contains_key(*path)) {
            self.tell(path, None, &[]);
        }
        for (path, found) in told {
            let version = self.workspace.buffers.get(&path).map(|buffer| buffer.version);
            let is_known = match old.get(&path) {
                Some((known, before)) => *before == found && (version.is_none() || *known == version),
                None => found.is_empty() && version.is_none(),
            };
            if !is_known {
                self.tell(&path, version, &found);
            }
            if !found.is_empty() || version.is_some() {
                self.published.insert(path, (version, found));
            }
        }
    }

    fn tell(&self, path: &Path, version: Option<i32>, found: &[Diagnostic]) {
        let Some(uri) = uri_of(path) else { return };
        self.notify(
            "textDocument/publishDiagnostics",
            PublishDiagnosticsParams { uri, version, diagnostics: found.to_vec() },
        );
    }

    fn request(&mut self, request: Request) {
        self.collect();
        let is_cancelled = self.waiting.borrow().iter().any(|message| match message {
            Message::Notification(note) => {
                note.method == "$/cancelRequest"
                    && note.params.get("id").is_some_and(|id| {
                        serde_json::from_value::<RequestId>(id.clone()).is_ok_and(|id| id == request.id)
                    })
            }
            _ => false,
        });
        if is_cancelled {
            let message = "cancelled by the client".to_owned();
            self.send(Response::new_err(request.id, ErrorCode::RequestCanceled as i32, message));
            return;
        }
        if self.is_shut_down {
            let message = "the server is shut down".to_owned();
            self.send(Response::new_err(request.id, ErrorCode::InvalidRequest as i32, message));
            return;
        }
        let Request { id, method, params } = request;
        let client = self.client;
        let answer = match method.as_str() {
            "shutdown" => {
                self.is_shut_down = true;
                Some(Ok(Value::Null))
            }
            "textDocument/codeAction" => self.answer(params, |workspace, params: CodeActionParams| {
                actions::actions(workspace, client, &params)
            }),
            "textDocument/hover" => self
                .answer(params, |workspace, params: HoverParams| features::hover(workspace, client, &params)),
            "textDocument/definition" => self.answer(params, |workspace, params: DefinitionParams| {
                features::definition(workspace, client, &params)
            }),
            "textDocument/references" => self.answer(params, |workspace, params: ReferenceParams| {
                features::references(workspace, client, &params)
            }),
            "textDocument/documentHighlight" => self
                .answer(params, |workspace, params: DocumentHighlightParams| {
                    features::highlights(workspace, client, &params)
                }),
            "textDocument/completion" => self.answer(params, |workspace, params: CompletionParams| {
                features::completion(workspace, client, &params)
            }),
            "textDocument/codeLens" => self.answer(params, |workspace, params: CodeLensParams| {
                features::lenses(workspace, client, &params)
            }),
            "textDocument/documentSymbol" => self
                .answer(params, |workspace, params: DocumentSymbolParams| {
                    features::symbols(workspace, client, &params)
                }),
            "workspace/symbol" => self.answer(params, |workspace, params: WorkspaceSymbolParams| {
                features::workspace_symbols(workspace, client, &params)
            }),
            "codeAction/resolve" => self
                .answer(params, |workspace, action: CodeAction| actions::resolve(workspace, client, action)),
            _ => None,
        };
        match answer {
            Some(Ok(result)) => self.send(Response::new_ok(id, result)),
            Some(Err(error)) => {
                let message = format!("the parameters of {method} are not what the protocol says: {error}");
                self.send(Response::new_err(id, ErrorCode::InvalidParams as i32, message));
            }
            None => {
                let message = format!("{method} is not supported");
                self.send(Response::new_err(id, ErrorCode::MethodNotFound as i32, message));
            }
        }
    }

    fn answer<P: DeserializeOwned, R: Serialize>(
        &mut self,
        params: Value,
        act: impl FnOnce(&mut Workspace<'_>, P) -> R,
    ) -> Option<Result<Value, serde_json::Error>> {
        let answer = serde_json::from_value(params)
            .and_then(|params| serde_json::to_value(act(&mut self.workspace, params)));
        Some(answer)
    }
}
