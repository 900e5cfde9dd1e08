//! An HTTP/1.1 client on a raw socket: what is sent and what came back are bytes, nothing is normalised.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long one read may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// Names and values in the order of the wire.
pub type Headers = Vec<(String, Vec<u8>)>;

/// One keep-alive connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// One answer, with its head exactly as it stood on the wire.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Status line and headers, up to and including the empty line.
    pub head: Vec<u8>,
    /// Header names as sent and their values, in order.
    pub headers: Headers,
    /// The body, after chunked framing was removed.
    pub body: Vec<u8>,
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// When nothing listens there.
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"))
    }

    /// Connects, or says why not.
    ///
    /// # Errors
    /// What the socket reports.
    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// Sends `GET path` with these headers and reads the answer.
    ///
    /// # Panics
    /// When the connection breaks or the answer is not HTTP.
    pub fn get(&mut self, path: &str, headers: &[(&str, &[u8])]) -> Response {
        self.send("GET", path, headers)
    }

    /// Sends a request without a body and reads the answer.
    ///
    /// # Panics
    /// When the connection breaks or the answer is not HTTP.
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &[u8])]) -> Response {
        let request = request(method, path, headers);
        self.exchange(&request).unwrap_or_else(|error| {
            panic!("{method} {path}: {error}; sent {:?}", String::from_utf8_lossy(&request))
        })
    }

    /// Writes these bytes and reads one answer.
    ///
    /// # Errors
    /// When the connection breaks, is silent for too long, or the answer is not HTTP.
    pub fn exchange(&mut self, request: &[u8]) -> io::Result<Response> {
        self.write(request)?;
        self.read()
    }

    /// Writes these bytes.
    ///
    /// # Errors
    /// What the socket reports.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Reads one answer.
    ///
    /// # Errors
    /// When the connection breaks, is silent for too long, or the answer is not HTTP.
    pub fn read(&mut self) -> io::Result<Response> {
        let end = self.fill_until(b"\r\n\r\n")?;
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let (status, headers) = parse_head(&head).ok_or_else(|| invalid(&head))?;
        let mut response = Response { status, head, headers, body: Vec::new() };
        if response.text("transfer-encoding").as_deref() == Some("chunked") {
            loop {
                let end = self.fill_until(b"\r\n")?;
                let line: Vec<u8> = self.buffer.drain(..end).collect();
                let size = String::from_utf8_lossy(&line);
                let size = usize::from_str_radix(size.trim(), 16).map_err(|_| invalid(&line))?;
                let chunk = self.take(size + 2)?;
                if size == 0 {
                    break;
                }
                response.body.extend_from_slice(&chunk[..size]);
            }
        } else if let Some(length) = response.text("content-length") {
            let length = length.parse().map_err(|_| invalid(&response.head))?;
            response.body = self.take(length)?;
        }
        Ok(response)
    }

    fn fill_until(&mut self, mark: &[u8]) -> io::Result<usize> {
        loop {
            if let Some(at) = self.buffer.windows(mark.len()).position(|window| window == mark) {
                return Ok(at + mark.len());
            }
            self.fill()?;
        }
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.fill()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 * 1024];
        let read = self.stream.read(&mut chunk)?;
        if read == 0 {
            let heard = String::from_utf8_lossy(&self.buffer).into_owned();
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("closed after {heard:?}")));
        }
        self.buffer.extend_from_slice(&chunk[..read]);
        Ok(())
    }
}

impl Response {
    /// Every value of a header, as text (bytes that are not UTF-8 become U+FFFD).
    pub fn all(&self, name: &str) -> Vec<String> {
        let same = |(key, _): &&(String, Vec<u8>)| key.eq_ignore_ascii_case(name);
        self.headers
            .iter()
            .filter(same)
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
            .collect()
    }

    /// The only value of a header, as text.
    ///
    /// # Panics
    /// When there are several: a test that means that asks for `all`.
    pub fn text(&self, name: &str) -> Option<String> {
        let mut values = self.all(name);
        assert!(values.len() < 2, "several {name} headers: {values:?}");
        values.pop()
    }

    /// What the upstream saw, from its echo.
    ///
    /// # Panics
    /// When the body is not an echo.
    pub fn echo(&self) -> Echo {
        Echo::parse(self.status, &self.body)
    }
}

/// What an upstream of `upstream.rs` says it received.
#[derive(Clone, Debug)]
pub struct Echo {
    /// Which version answered: `v1` or `v2`.
    pub version: String,
    /// The method that arrived.
    pub method: String,
    /// The path that arrived.
    pub path: String,
    /// The headers that arrived, names in lower case, each byte of a value as one `char` (Latin-1).
    pub headers: Vec<(String, String)>,
}

impl Echo {
    /// Reads the JSON body of an upstream.
    ///
    /// # Panics
    /// When the body is not an echo.
    pub fn parse(status: u16, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let json: serde_json::Value =
            serde_json::from_slice(body).unwrap_or_else(|_| panic!("status {status}, not an echo: {text}"));
        let string = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let pairs = json["headers"].as_array().cloned().unwrap_or_default();
        Self {
            version: string(&json["version"]),
            method: string(&json["method"]),
            path: string(&json["path"]),
            headers: pairs.iter().map(|pair| (string(&pair[0]), string(&pair[1]))).collect(),
        }
    }

    /// Every value of a header that arrived.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let same = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().filter(same).map(|(_, value)| value.as_str()).collect()
    }
}

/// The bytes of a request without a body.
pub fn request(method: &str, path: &str, headers: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\n").into_bytes();
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        bytes.extend_from_slice(b"Host: app.example.com\r\n");
    }
    for (name, value) in headers {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// Splits a head into status and headers.
fn parse_head(head: &[u8]) -> Option<(u16, Headers)> {
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let status = String::from_utf8_lossy(lines.next()?).split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = String::from_utf8_lossy(&line[..colon]).into_owned();
        Some((name, line[colon + 1..].trim_ascii_start().to_vec()))
    });
    Some((status, headers.collect()))
}

fn invalid(bytes: &[u8]) -> io::Error {
    let text = String::from_utf8_lossy(bytes).into_owned();
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP: {text:?}"))
}
