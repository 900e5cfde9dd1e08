//! A client for the tests: the real server on its standard input and output, every wait bounded.

use std::collections::BTreeMap;
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use lsp_server::{Message, Notification, Request, RequestId, Response, ResponseError};
use serde_json::{Value, json};

/// An answer takes milliseconds; a machine may be slow, but not this slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long nothing must come to say that nothing comes.
pub const SILENCE: Duration = Duration::from_millis(400);

pub struct Client {
    child: Child,
    input: Option<ChildStdin>,
    output: Receiver<Message>,
    /// Messages that came while something else was awaited.
    seen: Vec<Message>,
    next: i32,
    pub capabilities: Value,
    pub folder: PathBuf,
}

/// What a client that can do everything says of itself.
pub fn able(encodings: &[&str]) -> Value {
    json!({
        "general": { "positionEncodings": encodings },
        "workspace": {
            "workspaceEdit": { "documentChanges": true },
            "didChangeWatchedFiles": { "dynamicRegistration": true },
            "workspaceFolders": true,
        },
        "textDocument": {
            "publishDiagnostics": { "relatedInformation": true, "versionSupport": true },
            "documentSymbol": { "hierarchicalDocumentSymbolSupport": true },
            "codeAction": { "dataSupport": true, "resolveSupport": { "properties": ["edit"] } },
        },
    })
}

impl Client {
    /// A server with these files in a folder of its own, which is its workspace.
    pub fn new(files: &[(&str, &str)]) -> Self {
        Self::with(files, &["."], able(&["utf-16"]))
    }

    /// The same with these folders as the workspace, and a client with other capabilities.
    pub fn with(files: &[(&str, &str)], roots: &[&str], capabilities: Value) -> Self {
        Self::called(&[], files, roots, capabilities)
    }

    /// The same with more on the command line, where `{}` is the folder of the files; it is run in that folder.
    pub fn called(args: &[&str], files: &[(&str, &str)], roots: &[&str], capabilities: Value) -> Self {
        let folder = tempfile::Builder::new().prefix("lsp").tempdir().unwrap().keep();
        let folder = fs::canonicalize(folder).unwrap();
        for (name, text) in files {
            write(&folder.join(name), text);
        }
        let mut child = Command::new(env!("CARGO_BIN_EXE_coalmine"))
            .arg("lsp")
            .args(args.iter().map(|arg| arg.replace("{}", &folder.display().to_string())))
            .current_dir(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, output) = channel();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            while let Ok(Some(message)) = Message::read(&mut stdout) {
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let input = child.stdin.take();
        let mut client = Self {
            child,
            input,
            output,
            seen: Vec::new(),
            next: 0,
            capabilities: Value::Null,
            folder: folder.clone(),
        };
        let folders: Vec<Value> =
            roots.iter().map(|root| json!({ "uri": uri(&folder.join(root)), "name": root })).collect();
        let params = json!({
            "processId": null,
            "rootUri": null,
            "workspaceFolders": folders,
            "capabilities": capabilities,
        });
        let result = client.request("initialize", params);
        client.capabilities = result["capabilities"].clone();
        client.notify("initialized", json!({}));
        client
    }

    pub fn uri(&self, name: &str) -> String {
        uri(&self.folder.join(name))
    }

    fn send(&mut self, message: Message) {
        message.write(self.input.as_mut().unwrap()).unwrap();
    }

    pub fn notify(&mut self, method: &str, params: Value) {
        self.send(Notification::new(method.to_owned(), params).into());
    }

    /// Sends a request without waiting for its answer.
    pub fn ask(&mut self, method: &str, params: Value) -> RequestId {
        self.next += 1;
        let id = RequestId::from(self.next);
        self.send(Request::new(id.clone(), method.to_owned(), params).into());
        id
    }

    pub fn cancel(&mut self, id: &RequestId) {
        self.notify("$/cancelRequest", json!({ "id": id }));
    }

    #[track_caller]
    pub fn response(&mut self, id: &RequestId) -> Result<Value, ResponseError> {
        let message =
            self.wait(|message| matches!(message, Message::Response(response) if response.id == *id));
        match message {
            Message::Response(response) => response.response_result,
            _ => unreachable!(),
        }
    }

    #[track_caller]
    pub fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.ask(method, params);
        self.response(&id).unwrap_or_else(|error| panic!("{method}: {error:?}"))
    }

    /// A request of the server.
    #[track_caller]
    pub fn asked(&mut self, method: &str) -> Value {
        match self.wait(|message| matches!(message, Message::Request(request) if request.method == method)) {
            Message::Request(request) => {
                self.send(Response::new_ok(request.id, Value::Null).into());
                request.params
            }
            _ => unreachable!(),
        }
    }

    #[track_caller]
    fn wait(&mut self, mut wanted: impl FnMut(&Message) -> bool) -> Message {
        if let Some(at) = self.seen.iter().position(&mut wanted) {
            return self.seen.remove(at);
        }
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(message) if wanted(&message) => return message,
                Ok(message) => self.seen.push(message),
                Err(error) => panic!("{error}; until then came {:#?}", self.seen),
            }
        }
    }

    pub fn open(&mut self, name: &str, text: &str) {
        let document = json!({ "uri": self.uri(name), "languageId": "yaml", "version": 1, "text": text });
        self.notify("textDocument/didOpen", json!({ "textDocument": document }));
    }

    /// Replaces the whole text of an open file.
    pub fn change(&mut self, name: &str, version: i32, text: &str) {
        self.edit(name, version, json!([{ "text": text }]));
    }

    pub fn edit(&mut self, name: &str, version: i32, changes: Value) {
        let document = json!({ "uri": self.uri(name), "version": version });
        self.notify("textDocument/didChange", json!({ "textDocument": document, "contentChanges": changes }));
    }

    pub fn close(&mut self, name: &str) {
        let document = json!({ "uri": self.uri(name) });
        self.notify("textDocument/didClose", json!({ "textDocument": document }));
    }

    /// The next findings that are published for a file.
    #[track_caller]
    pub fn published(&mut self, name: &str) -> Value {
        let uri = self.uri(name);
        let message = self.wait(
            |message| matches!(message, Message::Notification(note) if is_publication(note, Some(&uri))),
        );
        match message {
            Message::Notification(note) => note.params,
            _ => unreachable!(),
        }
    }

    /// How often something has been published for a file and was not asked for yet.
    pub fn published_so_far(&mut self, name: &str) -> usize {
        self.seen.extend(self.output.try_iter());
        let uri = self.uri(name);
        let is_of_file = |message: &&Message| matches!(message, Message::Notification(note) if is_publication(note, Some(&uri)));
        self.seen.iter().filter(is_of_file).count()
    }

    /// The next findings of a file as `line:character-character rule`.
    #[track_caller]
    pub fn findings(&mut self, name: &str) -> Vec<String> {
        let published = self.published(name);
        published["diagnostics"].as_array().unwrap().iter().map(shown).collect()
    }

    /// Waits until a while nothing has been published, and answers for which files something was.
    pub fn quiet(&mut self) -> Vec<String> {
        while let Ok(message) = self.output.recv_timeout(SILENCE) {
            self.seen.push(message);
        }
        let folder = self.uri("");
        let mut names = Vec::new();
        self.seen.retain(|message| match message {
            Message::Notification(note) if is_publication(note, None) => {
                let uri = note.params["uri"].as_str().unwrap();
                names.push(uri.strip_prefix(&folder).unwrap_or(uri).to_owned());
                false
            }
            _ => true,
        });
        names
    }

    /// What was last published for each file, once nothing more comes.
    pub fn all_findings(&mut self) -> BTreeMap<String, Value> {
        // Every file was linted once the first findings are there: they come together.
        let first =
            self.wait(|message| matches!(message, Message::Notification(note) if is_publication(note, None)));
        self.seen.push(first);
        while let Ok(message) = self.output.recv_timeout(SILENCE) {
            self.seen.push(message);
        }
        let folder = self.uri("");
        let published = self.seen.iter().filter_map(|message| match message {
            Message::Notification(note) if is_publication(note, None) => Some(&note.params),
            _ => None,
        });
        published
            .map(|params| {
                let uri = params["uri"].as_str().unwrap();
                (uri.strip_prefix(&folder).unwrap().to_owned(), params["diagnostics"].clone())
            })
            .collect()
    }

    /// Ends the server in due form and answers its exit code.
    pub fn end(mut self) -> i32 {
        self.request("shutdown", Value::Null);
        self.notify("exit", Value::Null);
        self.exit_code()
    }

    /// Waits for the server to end by itself.
    pub fn exit_code(&mut self) -> i32 {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap();
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("the server does not end");
    }

    /// Closes the server's input.
    pub fn hang_up(&mut self) {
        self.input = None;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn is_publication(note: &Notification, uri: Option<&str>) -> bool {
    note.method == "textDocument/publishDiagnostics" && uri.is_none_or(|uri| note.params["uri"] == uri)
}

pub fn shown(diagnostic: &Value) -> String {
    let (start, end) = (&diagnostic["range"]["start"], &diagnostic["range"]["end"]);
    let rule = diagnostic["code"].as_str().unwrap();
    format!("{}:{}-{} {rule}", start["line"], start["character"], end["character"])
}

pub fn uri(path: &Path) -> String {
    let path = path.to_str().unwrap().trim_end_matches("/.");
    format!("file://{path}")
}

pub fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A text with its edits applied: those of a `WorkspaceEdit` for one file, positions in UTF-16.
pub fn apply(text: &str, edit: &Value, uri: &str) -> String {
    let documents = edit["documentChanges"].as_array().into_iter().flatten();
    let own = documents.filter(|document| document["textDocument"]["uri"] == uri);
    let listed = own.flat_map(|document| document["edits"].as_array().unwrap());
    let mapped = edit["changes"][uri].as_array().into_iter().flatten();
    let mut edits: Vec<(usize, usize, &str)> = listed
        .chain(mapped)
        .map(|edit| {
            let place = |at: &Value| {
                let (line, column) = (at["line"].as_u64().unwrap(), at["character"].as_u64().unwrap());
                let lines = text.split_inclusive('\n').take(usize::try_from(line).unwrap());
                let start: usize = lines.map(str::len).sum();
                let mut units = 0;
                let mut bytes = 0;
                for c in text[start..].chars() {
                    if units >= column {
                        break;
                    }
                    units += c.len_utf16() as u64;
                    bytes += c.len_utf8();
                }
                start + bytes
            };
            let range = &edit["range"];
            (place(&range["start"]), place(&range["end"]), edit["newText"].as_str().unwrap())
        })
        .collect();
    edits.sort_unstable();
    let mut out = text.to_owned();
    for (start, end, new) in edits.into_iter().rev() {
        out.replace_range(start..end, new);
    }
    out
}
