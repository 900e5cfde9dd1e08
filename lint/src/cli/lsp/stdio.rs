//! The channel to the client: standard input and output. Knows how messages are framed and nothing of what they
//! say.

use std::io::{self, BufRead, Cursor, Read as _};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result, anyhow};
use lsp_server::{Connection, Message};

/// Bytes of one message at most. The length is the client's word, and memory is taken by it.
const LONGEST: u64 = 256 << 20;
/// Bytes of the lines before a message at most.
const HEADER: u64 = 4096;

/// The threads that carry the messages.
pub(super) struct Stdio {
    reader: JoinHandle<()>,
    writer: JoinHandle<io::Result<()>>,
    failure: Receiver<io::Error>,
}

/// A connection to whoever is at the other end.
pub(super) fn connect() -> Result<(Connection, Stdio)> {
    let (client, server) = Connection::memory();
    let Connection { sender, receiver } = client;
    let (fail, failure) = mpsc::channel();
    let reader = thread::Builder::new().name("reader".to_owned()).spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            match read(&mut input) {
                Ok(Some(message)) => {
                    let is_last = matches!(&message, Message::Notification(note) if note.method == "exit");
                    if sender.send(message).is_err() || is_last {
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    // Told before the channel closes, so that whoever sees it closed finds the reason.
                    let _ = fail.send(error);
                    break;
                }
            }
        }
    })?;
    let writer = thread::Builder::new().name("writer".to_owned()).spawn(move || {
        let mut output = io::stdout().lock();
        receiver.into_iter().try_for_each(|message| message.write(&mut output))
    })?;
    Ok((server, Stdio { reader, writer, failure }))
}

impl Stdio {
    /// Why nothing more can be read, if that is no end in due form.
    pub(super) fn failure(&self) -> Result<()> {
        match self.failure.try_recv() {
            Ok(error) => Err(error).context("the client does not speak the protocol"),
            Err(_) => Ok(()),
        }
    }

    /// Waits until everything is written; the connection must be gone.
    pub(super) fn join(self) -> Result<()> {
        let died = |_| anyhow!("a thread of the connection died");
        self.reader.join().map_err(died)?;
        Ok(self.writer.join().map_err(died)??)
    }
}

/// Reads one message; `None` at the end.
fn read(input: &mut impl BufRead) -> io::Result<Option<Message>> {
    let mut header = Vec::new();
    loop {
        let start = header.len();
        let left = HEADER.saturating_sub(start as u64);
        input.by_ref().take(left).read_until(b'\n', &mut header)?;
        let line = String::from_utf8_lossy(header.get(start..).unwrap_or_default()).to_ascii_lowercase();
        if let Some(length) = line.strip_prefix("content-length:")
            && length.trim().parse().is_ok_and(|length: u64| length > LONGEST)
        {
            let message = format!("a message of {} bytes; {LONGEST} are the most", length.trim());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        // What is no header is told when it is read below.
        if line == "\r\n" || !line.ends_with("\r\n") {
            break;
        }
    }
    Message::read(&mut Cursor::new(header).chain(input))
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn messages_are_read_one_after_the_other_and_lengths_are_not_believed() {
        let one = r#"{"jsonrpc":"2.0","method":"a"}"#;
        let both =
            format!("Content-Length: {0}\r\n\r\n{one}content-length: {0}\r\nA: b\r\n\r\n{one}", one.len());
        let mut input = both.as_bytes();
        assert!(read(&mut input).unwrap().is_some());
        assert!(read(&mut input).unwrap().is_some());
        assert!(read(&mut input).unwrap().is_none());
        for wrong in [
            "Content-Length: 99999999999999\r\n\r\n{}",
            "what?\n",
            "Content-Length: x\r\n\r\n",
            &"a".repeat(9000),
        ] {
            assert!(read(&mut wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
