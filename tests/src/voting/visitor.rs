//! A visitor of the page, with a browser's cookies: opens the page, presses its buttons, reads what it says.

use std::io;
use std::net::SocketAddr;

use super::Choice;
use super::app::{ANALYTICS_HEADER, POD_HEADER, VERSION_HEADER};
use crate::http1::{Client, Response};
use crate::lower::FLAGS;

/// Someone at a browser.
pub struct Visitor {
    gateway: SocketAddr,
    connection: Option<Client>,
    cookies: Vec<(String, String)>,
    /// More of the `Cookie` header, as it is sent.
    pub raw_cookie: Option<String>,
}

/// What a visitor sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The status code.
    pub status: u16,
    /// The page's version.
    pub version: String,
    /// The pod that made the page.
    pub pod: String,
    /// The analytics pod it asked.
    pub analytics: String,
    /// Envoy's response flags at the gateway; `-` when there is nothing to say.
    pub flags: String,
    /// The result line; the whole body when there is none.
    pub result: String,
}

impl Visitor {
    /// Nobody has been here before.
    pub fn new(gateway: SocketAddr) -> Self {
        Self { gateway, connection: None, cookies: Vec::new(), raw_cookie: None }
    }

    /// The `Cookie` header, if any.
    pub fn cookie(&self) -> Option<String> {
        let own = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        let all: Vec<String> = self.raw_cookie.iter().cloned().chain(own).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// Opens the page.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn open(&mut self) -> io::Result<Seen> {
        self.send("GET", "").map(|answer| seen(&answer))
    }

    /// Presses the button of a choice.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn vote(&mut self, choice: Choice) -> io::Result<Seen> {
        self.submit(&format!("vote={}", choice.name()))
    }

    /// Sends the form. What is seen is the answer to that, before the browser follows it to the page.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn submit(&mut self, form: &str) -> io::Result<Seen> {
        self.send("POST", form).map(|answer| seen(&answer))
    }

    fn send(&mut self, method: &str, form: &str) -> io::Result<Response> {
        let mut head = format!("{method} / HTTP/1.1\r\nHost: voting.example.com\r\n");
        if let Some(cookie) = self.cookie() {
            head.push_str(&format!("Cookie: {cookie}\r\n"));
        }
        if method == "POST" {
            let kind = "application/x-www-form-urlencoded";
            head.push_str(&format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", form.len()));
        }
        let request = format!("{head}\r\n{form}");
        let mut connection = match self.connection.take() {
            Some(open) => open,
            None => Client::try_connect(self.gateway)?,
        };
        let answer = connection.exchange(request.as_bytes())?;
        if !answer.all("connection").iter().any(|value| value == "close") {
            self.connection = Some(connection);
        }
        for line in answer.all("set-cookie") {
            self.keep(&line);
        }
        Ok(answer)
    }

    /// What a browser does with a `Set-Cookie` of this page.
    fn keep(&mut self, line: &str) {
        let mut parts = line.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { return };
        self.cookies.retain(|(known, _)| known != name);
        if !parts.any(|part| part.eq_ignore_ascii_case("Max-Age=0")) {
            self.cookies.push((name.to_owned(), value.to_owned()));
        }
    }
}

fn seen(answer: &Response) -> Seen {
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    let line = body.split_once(r#"<p class="result">"#).and_then(|(_, rest)| rest.split_once("</p>"));
    let header = |name: &str| answer.all(name).concat();
    Seen {
        status: answer.status,
        version: header(VERSION_HEADER),
        pod: header(POD_HEADER),
        analytics: header(ANALYTICS_HEADER),
        flags: header(FLAGS),
        result: line.map_or(body.clone(), |(line, _)| line.to_owned()),
    }
}
