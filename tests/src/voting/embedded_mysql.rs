//! A MySQL server in this process that has one table, `votes`, and the statements of [`super::storage`]; so that the
//! application needs nothing installed. It checks user, password and database as MySQL does, speaks to any client,
//! and refuses every other statement with MySQL's own error.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, PoisonError};

use mysql_common::constants::{CapabilityFlags, ColumnType, StatusFlags};
use mysql_common::io::ParseBuf;
use mysql_common::packets::{Column, HandshakePacket, HandshakeResponse};
use mysql_common::proto::{MyDeserialize as _, MySerialize as _};
use mysql_common::scramble::scramble_native;

use super::storage::{COUNT, FORGET, insert};
use super::{Choice, Tally};
use crate::tcp::TcpServer;

/// No request of the application comes near.
const PACKET_LIMIT: usize = 1024 * 1024;

const CAPABILITIES: CapabilityFlags = CapabilityFlags::CLIENT_LONG_PASSWORD
    .union(CapabilityFlags::CLIENT_PROTOCOL_41)
    .union(CapabilityFlags::CLIENT_CONNECT_WITH_DB)
    .union(CapabilityFlags::CLIENT_SECURE_CONNECTION)
    .union(CapabilityFlags::CLIENT_PLUGIN_AUTH);

/// Who may connect, and to what: the environment of the image.
#[derive(Clone, Debug)]
pub struct Account {
    /// `MYSQL_USER`.
    pub user: String,
    /// `MYSQL_PASSWORD`.
    pub password: String,
    /// `MYSQL_DATABASE`.
    pub database: String,
}

/// A server, stopped when dropped; its data goes with it.
pub struct EmbeddedMySql(TcpServer);

impl EmbeddedMySql {
    /// Starts without votes.
    pub fn start(account: Account) -> Self {
        let votes = Mutex::new(Tally::default());
        // An error here is a connection that its client closed: there is nothing to report.
        Self(TcpServer::start(move |stream| drop(serve(stream, &account, &votes))))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }
}

/// One connection; packets of one exchange are numbered.
struct Wire<'s> {
    stream: &'s TcpStream,
    number: u8,
}

impl Wire<'_> {
    fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).map_err(io::Error::other)?.to_le_bytes();
        let header = [length[0], length[1], length[2], self.number];
        self.number = self.number.wrapping_add(1);
        self.stream.write_all(&[&header, payload].concat())
    }

    fn receive(&mut self) -> io::Result<Vec<u8>> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header)?;
        let length = u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
        if length > PACKET_LIMIT {
            return Err(io::Error::other("a packet beyond the limit"));
        }
        self.number = header[3].wrapping_add(1);
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload)?;
        Ok(payload)
    }

    fn ok(&mut self, affected: u8) -> io::Result<()> {
        let status = StatusFlags::SERVER_STATUS_AUTOCOMMIT.bits().to_le_bytes();
        self.send(&[0x00, affected.min(250), 0, status[0], status[1], 0, 0])
    }

    fn end_of_rows(&mut self) -> io::Result<()> {
        let status = StatusFlags::SERVER_STATUS_AUTOCOMMIT.bits().to_le_bytes();
        self.send(&[0xfe, 0, 0, status[0], status[1]])
    }

    fn error(&mut self, code: u16, state: &str, message: &str) -> io::Result<()> {
        self.send(&[&[0xff], &code.to_le_bytes()[..], b"#", state.as_bytes(), message.as_bytes()].concat())
    }
}

fn serve(stream: &TcpStream, account: &Account, votes: &Mutex<Tally>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut wire = Wire { stream, number: 0 };
    if !admit(&mut wire, account)? {
        return Ok(());
    }
    loop {
        let packet = wire.receive()?;
        let Some((command, rest)) = packet.split_first() else { return Ok(()) };
        match command {
            0x01 => return Ok(()), // COM_QUIT
            0x0e => wire.ok(0)?,   // COM_PING
            0x03 => {
                let statement = String::from_utf8_lossy(rest);
                query(&mut wire, statement.trim(), votes)?;
            }
            _ => wire.error(1047, "08S01", "Unknown command")?,
        }
    }
}

/// The handshake, as `mysql_native_password` has it.
fn admit(wire: &mut Wire<'_>, account: &Account) -> io::Result<bool> {
    let nonce = nonce();
    let (first, second) = nonce.split_at(8);
    let first = first.try_into().map_err(io::Error::other)?;
    let greeting = HandshakePacket::new(
        10,
        &b"5.7.0-embedded"[..],
        1,
        first,
        Some([second, &[0]].concat()),
        CAPABILITIES,
        33, // utf8
        StatusFlags::SERVER_STATUS_AUTOCOMMIT,
        Some(&b"mysql_native_password"[..]),
    );
    let mut bytes = Vec::new();
    greeting.serialize(&mut bytes);
    wire.send(&bytes)?;
    let mut packet = wire.receive()?;
    // Some clients claim capabilities that they saw the server lacks, and rightly send nothing of them.
    for (claimed, ours) in packet.iter_mut().zip(CAPABILITIES.bits().to_le_bytes()) {
        *claimed &= ours;
    }
    let response = HandshakeResponse::deserialize((), &mut ParseBuf(&packet))?;
    let user = String::from_utf8_lossy(response.user());
    let expected = scramble_native(&nonce, account.password.as_bytes());
    let given = response.scramble_buf();
    if user != account.user || expected.as_ref().map_or(&[][..], |scramble| &scramble[..]) != given {
        wire.error(1045, "28000", &format!("Access denied for user '{user}'"))?;
        return Ok(false);
    }
    let database = String::from_utf8_lossy(response.db_name().unwrap_or_default());
    if !database.is_empty() && database != account.database {
        wire.error(1049, "42000", &format!("Unknown database '{database}'"))?;
        return Ok(false);
    }
    wire.ok(0)?;
    Ok(true)
}

/// Twenty bytes that no client has seen before, none of them zero.
fn nonce() -> [u8; 20] {
    let mut bytes = [0; 20];
    for chunk in bytes.chunks_mut(8) {
        let random = RandomState::new().build_hasher().finish().to_le_bytes();
        for (byte, random) in chunk.iter_mut().zip(random) {
            *byte = 33 + random % 94;
        }
    }
    bytes
}

fn query(wire: &mut Wire<'_>, statement: &str, votes: &Mutex<Tally>) -> io::Result<()> {
    let mut votes = votes.lock().unwrap_or_else(PoisonError::into_inner);
    if statement == COUNT {
        return rows(wire, *votes);
    }
    if statement == FORGET {
        *votes = Tally::default();
        return wire.ok(0);
    }
    match Choice::ALL.into_iter().find(|choice| statement == insert(*choice)) {
        Some(Choice::Cats) => votes.cats += 1,
        Some(Choice::Dogs) => votes.dogs += 1,
        None => {
            let message = format!("You have an error in your SQL syntax near '{statement}'");
            return wire.error(1064, "42000", &message);
        }
    }
    wire.ok(1)
}

/// A row for each choice that has votes, as `GROUP BY` gives them.
fn rows(wire: &mut Wire<'_>, votes: Tally) -> io::Result<()> {
    let columns = [
        Column::new(ColumnType::MYSQL_TYPE_VAR_STRING).with_name(b"choice").with_character_set(33),
        Column::new(ColumnType::MYSQL_TYPE_LONGLONG).with_name(b"COUNT(*)").with_character_set(63),
    ];
    wire.send(&[2])?;
    for column in columns {
        let mut bytes = Vec::new();
        column.with_table(b"votes").with_column_length(20).serialize(&mut bytes);
        wire.send(&bytes)?;
    }
    wire.end_of_rows()?;
    for choice in Choice::ALL.into_iter().filter(|choice| votes.of(*choice) > 0) {
        let mut row = Vec::new();
        for text in [choice.name(), &votes.of(choice).to_string()] {
            row.push(u8::try_from(text.len()).map_err(io::Error::other)?);
            row.extend_from_slice(text.as_bytes());
        }
        wire.send(&row)?;
    }
    wire.end_of_rows()
}
