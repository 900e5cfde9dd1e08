//! Small upstream servers: each says which version it is and echoes the request it saw as JSON. The line [`WHO`] alone
//! is answered by the bare JSON, so that a TCP port can be asked too.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;

/// The line that asks a TCP port who answers.
/// Longer than any proxy needs to see that it is neither TLS nor HTTP.
pub const WHO: &str = "WHO ARE YOU";

/// A server on its own loopback port, stopped when dropped.
pub struct Upstream {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    seen: AtomicU64,
    stop: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

/// A request as it reached the upstream.
pub struct Request {
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// Headers in order; each byte of a value is one `char`, so that nothing is lost.
    pub headers: Vec<(String, String)>,
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
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            seen: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            open: Mutex::new(Vec::new()),
        });
        let handler = Arc::new(handler);
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.stop.load(Ordering::SeqCst) {
                    break;
                }
                let (shared, handler) = (Arc::clone(&serving), Arc::clone(&handler));
                if let Ok(copy) = stream.try_clone() {
                    shared.open.lock().unwrap_or_else(PoisonError::into_inner).push(copy);
                }
                // An error here is a connection that Envoy closed: there is nothing to report.
                std::thread::spawn(move || {
                    drop(serve(&stream, &shared, &*handler));
                    // The copy would keep it open.
                    drop(stream.shutdown(Shutdown::Both));
                });
            }
        });
        Self { address, shared }
    }

    /// How many requests arrived so far.
    pub fn seen(&self) -> u64 {
        self.shared.seen.load(Ordering::SeqCst)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for stream in self.shared.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
        drop(TcpStream::connect(self.address)); // wakes `accept`, which then sees `stop`
    }
}

fn serve(stream: &TcpStream, shared: &Shared, handler: &dyn Fn(&Request) -> Reply) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut out = Vec::new();
    loop {
        let Some(request) = read_request(&mut reader)? else { return Ok(()) };
        shared.seen.fetch_add(1, Ordering::SeqCst);
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
        return Ok(Some(Request { method: first, path: String::new(), headers: Vec::new() }));
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
    std::io::copy(&mut std::io::Read::take(reader, length.unwrap_or(0)), &mut std::io::sink())?;
    Ok(Some(Request { method, path, headers }))
}
