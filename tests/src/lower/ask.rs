//! Asks a lowered proxy and reads what its answer says of itself.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::{CLUSTER, FLAGS, ROUTE, istio_name};
use crate::http1::{Client, Echo, Response};
use crate::upstream::WHO;

/// An HTTP answer of a lowered proxy.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Envoy's response flags, such as `NR` or `NC`; empty when a server answered.
    pub flags: String,
    /// `<namespace>/<VirtualService>#<rule>.<block>`, `default` for a host without rules, empty when none matched.
    pub route: String,
    /// `outbound|<port>|<subset>|<host>`, as far as a cluster was chosen.
    pub cluster: String,
    /// What the pod saw; its version is `<namespace>/<name>:<port>`.
    pub echo: Option<Echo>,
    /// The answer itself.
    pub response: Response,
}

impl Answer {
    /// The pod that answered: `<namespace>/<name>:<port>`.
    pub fn pod(&self) -> Option<&str> {
        self.echo.as_ref().map(|echo| echo.version.as_str())
    }

    fn of(response: Response) -> Self {
        let text = |name: &str| response.all(name).pop().filter(|text| text != "-").unwrap_or_default();
        let is_echo = response.text("content-type").as_deref() == Some("application/json");
        Self {
            status: response.status,
            flags: text(FLAGS),
            route: text(ROUTE),
            cluster: istio_name(&text(CLUSTER)).to_owned(),
            echo: is_echo.then(|| Echo::parse(response.status, &response.body)),
            response,
        }
    }
}

/// Sends a request without a body on a connection of its own.
///
/// # Panics
/// When the proxy does not answer.
pub fn http(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &[u8])]) -> Answer {
    Answer::of(Client::connect(address).send(method, path, headers))
}

/// Sends requests on one connection.
pub struct Asker(Client);

impl Asker {
    /// Connects.
    ///
    /// # Panics
    /// When nothing listens there.
    pub fn new(address: SocketAddr) -> Self {
        Self(Client::connect(address))
    }

    /// Sends a request without a body.
    ///
    /// # Errors
    /// What the socket reports, and an answer that is not HTTP.
    pub fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &[u8])]) -> io::Result<Answer> {
        self.0.exchange(&crate::http1::request(method, path, headers)).map(Answer::of)
    }
}

/// The pod at the other end of a TCP connection; `None` when it is closed or reset instead.
///
/// # Panics
/// When nothing listens at the address.
pub fn tcp(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    drop(stream.set_read_timeout(Some(Duration::from_secs(15))));
    stream.write_all(format!("{WHO}\n").as_bytes()).ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let json: Value = serde_json::from_slice(&bytes).ok()?;
    json["version"].as_str().map(str::to_owned)
}
