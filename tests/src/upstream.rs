//! Small upstream servers: each says which version it is and echoes the request it saw as JSON. The line [`WHO`] alone
//! is answered by the bare JSON, so that a TCP port can be asked too.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use crate::tcp::TcpServer;

/// The line that asks a TCP port who answers.
/// Longer than any proxy needs to see that it is neither TLS nor HTTP.
pub const WHO: &str = "WHO ARE YOU";

/// A body is read up to this; what is longer ends the connection.
const BODY_LIMIT: u64 = 1024 * 1024;

/// A server on its own loopback port, stopped when dropped.
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<AtomicU64>,
    _server: TcpServer,
}

/// A request as it reached the upstream.
pub struct Request {
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// Headers in order; each byte of a value is one `char`, so that nothing is lost.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What the upstream answers.
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Headers beside `Content-Length`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The echo of this request by an upstream of this version.
    pub fn echo(&self, version: &str) -> Reply {
        let body =
            json!({ "version": version, "method": self.method, "path": self.path, "headers": self.headers });
        let json = ("content-type".to_owned(), "application/json".to_owned());
        Reply { status: 200, headers: vec![json], body: body.to_string().into_bytes() }
    }
}

impl Upstream {
    /// A server that echoes.
    pub fn echo(version: &'static str) -> Self {
        Self::with(move |request| request.echo(version))
    }

    /// A server that answers what `handler` says.
    ///
    /// # Panics
    /// When no loopback port can be had.
    pub fn with(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let seen = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&seen);
        // An error here is a connection that Envoy closed: there is nothing to report.
        let server = TcpServer::start(move |stream| drop(serve(stream, &count, &handler)));
        Self { address: server.address, seen, _server: server }
    }

    /// How many requests arrived so far.
    pub fn seen(&self) -> u64 {
        self.seen.load(Ordering::SeqCst)
    }
}

fn serve(stream: &TcpStream, seen: &AtomicU64, handler: &dyn Fn(&Request) -> Reply) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut out = Vec::new();
    loop {
        let Some(request) = read_request(&mut reader)? else { return Ok(()) };
        seen.fetch_add(1, Ordering::SeqCst);
        let reply = handler(&request);
        if request.method == WHO {
            return (&mut &*stream).write_all(&reply.body);
        }
        out.clear();
        write!(out, "HTTP/1.1 {} Reply\r\ncontent-length: {}\r\n", reply.status, reply.body.len())?;
        for (name, value) in &reply.headers {
            write!(out, "{name}: {value}\r\n")?;
        }
        out.extend_from_slice(b"\r\n");
        if request.method != "HEAD" {
            out.extend_from_slice(&reply.body);
        }
        (&mut &*stream).write_all(&out)?;
    }
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> std::io::Result<Option<Request>> {
    // A TLS handshake has no line's end to wait for.
    if !reader.fill_buf()?.first().is_some_and(u8::is_ascii_alphabetic) {
        return Ok(None);
    }
    let mut line = Vec::new();
    let mut next = |line: &mut Vec<u8>| -> std::io::Result<String> {
        line.clear();
        reader.read_until(b'\n', line)?;
        Ok(line.trim_ascii_end().iter().map(|byte| char::from(*byte)).collect())
    };
    let first = next(&mut line)?;
    if first == WHO {
        return Ok(Some(Request {
            method: first,
            path: String::new(),
            headers: Vec::new(),
            body: Vec::new(),
        }));
    }
    let mut words = first.split(' ').map(str::to_owned);
    let (Some(method), Some(path)) = (words.next().filter(|word| !word.is_empty()), words.next()) else {
        return Ok(None);
    };
    let mut headers = Vec::new();
    loop {
        let line = next(&mut line)?;
        match line.split_once(':') {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim_start().to_owned())),
            None => break,
        }
    }
    let length =
        headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
    let length = length.unwrap_or(0);
    let mut body = Vec::new();
    reader.take(length.min(BODY_LIMIT)).read_to_end(&mut body)?;
    Ok((body.len() as u64 == length).then_some(Request { method, path, headers, body }))
}
