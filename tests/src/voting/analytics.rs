//! The analytics images: one line of text about the votes.

use super::storage::Storage;
use crate::upstream::{Reply, Request};

/// Versions 1.0, 1.1 and 2.0 differ in their line and in their store.
pub struct Analytics {
    /// The version of the image.
    pub version: String,
    /// The pod's name.
    pub pod: String,
    /// Where the votes are.
    pub storage: Box<dyn Storage>,
}

impl Analytics {
    /// Answers a request: `/` has the line, anything else is not there.
    pub fn answer(&self, request: &Request) -> Reply {
        if request.path != "/" {
            return text(404, "not found");
        }
        match self.storage.tally() {
            Ok(tally) => {
                let line = if self.version == "1.0" { tally.counts() } else { tally.shares() };
                let mut reply = text(200, &line);
                reply.headers.push((super::app::ANALYTICS_HEADER.to_owned(), self.pod.clone()));
                reply
            }
            Err(failure) => {
                let message = format!("analytics {}: no {}: {failure}", self.version, self.storage.kind());
                text(503, &message)
            }
        }
    }
}

/// A plain text answer.
pub(super) fn text(status: u16, body: &str) -> Reply {
    let kind = ("content-type".to_owned(), "text/plain; charset=utf-8".to_owned());
    Reply { status, headers: vec![kind], body: body.as_bytes().to_vec() }
}
