//! The page's images: a form that votes, resets, and sets or clears the feature flag, above the line that analytics
//! answers.

use super::Choice;
use super::analytics::text;
use super::page::Page;
use super::storage::{Dial, Failure, Storage};
use crate::http1::{self, Client};
use crate::upstream::{Reply, Request};

/// Says which version of the page answered.
pub const VERSION_HEADER: &str = "x-voting-version";
/// Says which pod.
pub const POD_HEADER: &str = "x-voting-pod";
/// Says which analytics pod answered the page.
pub const ANALYTICS_HEADER: &str = "x-voting-analytics";

/// Versions 1.0 and 2.0 differ in their store and their looks.
pub struct App {
    /// The version of the image.
    pub version: String,
    /// The pod's name.
    pub pod: String,
    /// `SHOWDETAILS`: which pods answered.
    pub details: bool,
    /// `FEATUREFLAG`: the switch that sets and clears the cookie.
    pub feature_flag: bool,
    /// Where the votes are.
    pub storage: Box<dyn Storage>,
    /// `ANALYTICS_HOST`.
    pub analytics: String,
    /// How to reach it.
    pub dial: Dial,
}

/// What analytics answered.
struct Line {
    text: String,
    pod: String,
}

impl App {
    /// The port of the page and of analytics.
    pub const PORT: u16 = 8080;

    /// Answers a request.
    pub fn answer(&self, request: &Request) -> Reply {
        let mut reply = match (request.path.as_str(), request.method.as_str()) {
            ("/", "GET" | "HEAD") => self.page(has_flag(request)),
            ("/", "POST") => self.form(&request.body),
            ("/", _) => text(405, "the page takes GET and POST"),
            _ => text(404, "there is one page: /"),
        };
        let said = [(VERSION_HEADER, &self.version), (POD_HEADER, &self.pod)];
        reply.headers.extend(said.map(|(name, value)| (name.to_owned(), value.clone())));
        reply
    }

    fn page(&self, has_flag: bool) -> Reply {
        let asked = self.line().and_then(|line| Ok((line, self.storage.tally()?)));
        let (line, tally) = match asked {
            Ok(asked) => asked,
            Err(failure) => return text(503, &format!("voting {}: {failure}", self.version)),
        };
        let page = Page {
            version: &self.version,
            result: &line.text,
            tally,
            feature_flag: self.feature_flag.then_some(has_flag),
            details: self.details.then(|| [self.pod.as_str(), line.pod.as_str(), self.storage.kind()]),
        };
        let headers = [
            ("content-type", "text/html; charset=utf-8".to_owned()),
            ("cache-control", "no-store".to_owned()),
            (ANALYTICS_HEADER, line.pod.clone()),
        ];
        Reply {
            status: 200,
            headers: headers.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            body: page.html().into_bytes(),
        }
    }

    /// `vote=Cats`, `vote=Dogs`, `vote=reset`, `featureflag=set`, `featureflag=clear`; then back to the page, so
    /// that a reload does not vote again.
    fn form(&self, body: &[u8]) -> Reply {
        let cookie = match body {
            b"featureflag=set" if self.feature_flag => Some("featureflag=on; Path=/; SameSite=Lax"),
            b"featureflag=clear" if self.feature_flag => {
                Some("featureflag=; Path=/; SameSite=Lax; Max-Age=0")
            }
            _ => None,
        };
        let done = match body {
            _ if cookie.is_some() => Ok(()),
            b"vote=Cats" => self.storage.vote(Choice::Cats),
            b"vote=Dogs" => self.storage.vote(Choice::Dogs),
            b"vote=reset" => self.storage.reset(),
            _ => return text(400, "the form has vote=Cats, vote=Dogs, vote=reset"),
        };
        if let Err(failure) = done {
            return text(503, &format!("voting {}: no {}: {failure}", self.version, self.storage.kind()));
        }
        let mut headers = vec![("location".to_owned(), "/".to_owned())];
        headers.extend(cookie.map(|cookie| ("set-cookie".to_owned(), cookie.to_owned())));
        Reply { status: 303, headers, body: Vec::new() }
    }

    fn line(&self) -> Result<Line, Failure> {
        let host = format!("{}:{}", self.analytics, Self::PORT);
        let mut client = Client::try_connect((self.dial)(&self.analytics, Self::PORT)?)?;
        let request = http1::request("GET", "/", &[("Host", host.as_bytes()), ("Connection", b"close")]);
        let answer = client.exchange(&request)?;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        if answer.status != 200 {
            return Err(format!("analytics answered {}: {body}", answer.status).into());
        }
        Ok(Line { text: body, pod: answer.all(ANALYTICS_HEADER).concat() })
    }
}

/// Whether the visitor's browser has the cookie.
fn has_flag(request: &Request) -> bool {
    let lines = request.headers.iter().filter(|(name, _)| name == "cookie");
    lines.flat_map(|(_, line)| line.split(';')).any(|pair| pair.trim() == "featureflag=on")
}
