//! A closed-loop HTTP/1 load on loopback, bounded in count or time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::http1::{Client, Response};

/// What a run of load saw.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Requests answered.
    pub answered: u64,
    /// Answers that `check` refused and connections that broke, the first few in words.
    pub errors: Vec<String>,
    /// How many errors there were in all.
    pub failed: u64,
    /// How long the run took.
    pub elapsed: Duration,
}

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After so many requests.
    Count(u64),
    /// After so long.
    Time(Duration),
}

/// Keeps `connections` busy from one thread: a request on each, then an answer from each.
///
/// `request` writes the bytes of the n-th request; `check` says what is wrong with its answer.
///
/// # Panics
/// When the first connections cannot be made.
pub fn run(
    address: SocketAddr,
    connections: usize,
    until: Until,
    mut request: impl FnMut(u64, &mut Vec<u8>),
    mut check: impl FnMut(u64, &Response) -> Result<(), String>,
) -> Outcome {
    let mut clients: Vec<Client> = (0..connections).map(|_| Client::connect(address)).collect();
    let started = Instant::now();
    let mut outcome = Outcome::default();
    let mut sent = 0_u64;
    let mut bytes = Vec::new();
    let done = |sent| match until {
        Until::Count(count) => sent >= count,
        Until::Time(limit) => started.elapsed() >= limit,
    };
    while !done(sent) {
        let first = sent;
        let mut broken: Vec<Option<String>> = Vec::with_capacity(clients.len());
        for client in &mut clients {
            bytes.clear();
            request(sent, &mut bytes);
            sent += 1;
            broken.push(client.write(&bytes).err().map(|error| error.to_string()));
        }
        for ((client, broken), number) in clients.iter_mut().zip(broken).zip(first..) {
            let result = match broken {
                Some(error) => Err(error),
                None => client.read().map_err(|error| error.to_string()).and_then(|answer| {
                    outcome.answered += 1;
                    check(number, &answer)
                }),
            };
            if let Err(error) = result {
                outcome.failed += 1;
                if outcome.errors.len() < 5 {
                    outcome.errors.push(format!("request {number}: {error}"));
                }
                if let Ok(fresh) = Client::try_connect(address) {
                    *client = fresh;
                }
            }
        }
        if outcome.failed > 1000 {
            break; // nothing is learnt from more of them
        }
    }
    outcome.elapsed = started.elapsed();
    outcome
}
