//! A Redis of strings and counters in this process, so that the application needs nothing installed. It speaks the
//! protocol of version 4 to any client; what it does not have it refuses as Redis does.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, PoisonError};

use redis::{Parser, Value};

use crate::tcp::TcpServer;

type Data = BTreeMap<Vec<u8>, Vec<u8>>;

/// A server, stopped when dropped; its data goes with it.
pub struct EmbeddedRedis(TcpServer);

impl EmbeddedRedis {
    /// Starts without data.
    pub fn start() -> Self {
        let data = Mutex::new(Data::new());
        // An error here is a connection that its client closed: there is nothing to report.
        Self(TcpServer::start(move |stream| drop(serve(stream, &data))))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }
}

fn serve(stream: &TcpStream, data: &Mutex<Data>) -> Result<(), redis::RedisError> {
    stream.set_nodelay(true)?;
    let mut parser = Parser::new();
    loop {
        let Value::Array(words) = parser.parse_value(stream)? else { return Ok(()) };
        let words = words.iter().map(|word| match word {
            Value::BulkString(bytes) => bytes.as_slice(),
            _ => b"",
        });
        let words: Vec<&[u8]> = words.collect();
        let reply = answer(&words, &mut data.lock().unwrap_or_else(PoisonError::into_inner));
        (&mut &*stream).write_all(&reply)?;
    }
}

fn answer(words: &[&[u8]], data: &mut Data) -> Vec<u8> {
    let Some((name, arguments)) = words.split_first() else { return b"-ERR no command\r\n".to_vec() };
    match (name.to_ascii_uppercase().as_slice(), arguments) {
        (b"PING", []) => b"+PONG\r\n".to_vec(),
        (b"PING" | b"ECHO", [text]) => bulk(Some(text)),
        (b"GET", [key]) => bulk(data.get(*key).map(Vec::as_slice)),
        (b"SET", [key, value]) => {
            data.insert(key.to_vec(), value.to_vec());
            b"+OK\r\n".to_vec()
        }
        (b"INCR", [key]) => add(data, key, b"1"),
        (b"INCRBY", [key, amount]) => add(data, key, amount),
        (b"DEL", keys) if !keys.is_empty() => {
            let removed = keys.iter().filter(|key| data.remove(**key).is_some()).count();
            format!(":{removed}\r\n").into_bytes()
        }
        _ => format!("-ERR unknown command '{}'\r\n", String::from_utf8_lossy(name)).into_bytes(),
    }
}

fn add(data: &mut Data, key: &[u8], amount: &[u8]) -> Vec<u8> {
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<i64>().ok();
    let old = data.get(key).map_or(Some(0), |text| number(text));
    match old.zip(number(amount)).and_then(|(old, amount)| old.checked_add(amount)) {
        Some(new) => {
            data.insert(key.to_vec(), new.to_string().into_bytes());
            format!(":{new}\r\n").into_bytes()
        }
        None => b"-ERR value is not an integer or out of range\r\n".to_vec(),
    }
}

fn bulk(value: Option<&[u8]>) -> Vec<u8> {
    let Some(value) = value else { return b"$-1\r\n".to_vec() };
    [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat()
}
