//! An HTTP/2 client with prior knowledge, where each header (and each cookie crumb) is a field of its own.

use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Request};

use crate::http1::Response;

/// How long one exchange may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends one `GET` on a connection of its own.
///
/// # Errors
/// When the connection or the stream is refused or reset.
///
/// # Panics
/// When a name or value cannot be sent on HTTP/2 at all, or nothing answers in time.
pub fn get(address: SocketAddr, path: &str, headers: &[(&str, &[u8])]) -> Result<Response, h2::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let exchange = async { tokio::time::timeout(PATIENCE, exchange(address, path, headers)).await };
    runtime.block_on(exchange).expect("an answer in time")
}

async fn exchange(address: SocketAddr, path: &str, headers: &[(&str, &[u8])]) -> Result<Response, h2::Error> {
    let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    let (mut sender, connection) = h2::client::handshake(stream).await?;
    // Driven until the exchange is over; its own error shows as the stream's error.
    tokio::spawn(async move { drop(connection.await) });
    let mut request =
        Request::builder().uri(format!("http://app.example.com{path}")).body(()).expect("a request");
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).expect("a header name");
        request.headers_mut().append(name, HeaderValue::from_bytes(value).expect("a header value"));
    }
    let (answer, _) = sender.send_request(request, true)?;
    let (parts, mut stream) = answer.await?.into_parts();
    let mut body = Vec::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk?;
        stream.flow_control().release_capacity(chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    let header = |(name, value): (&HeaderName, &HeaderValue)| (name.to_string(), value.as_bytes().to_vec());
    let headers = parts.headers.iter().map(header).collect();
    Ok(Response { status: parts.status.as_u16(), head: Vec::new(), headers, body })
}
