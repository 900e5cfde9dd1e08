//! What holds the votes, as its clients see it: Redis for 1.0, MySQL for 2.0. Each call has a connection of its
//! own, so that nothing outlives a change of routes unnoticed.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mysql::prelude::Queryable as _;
use redis::Commands as _;

use super::{Choice, Tally};

/// How long one call to a store may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The table of version 2.0. Its image creates it, so that it is there before the first client.
pub const CREATE_TABLE: &str = "CREATE TABLE IF NOT EXISTS votes (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, choice VARCHAR(16) NOT NULL)";
/// How votes are counted there.
pub const COUNT: &str = "SELECT choice, COUNT(*) FROM votes GROUP BY choice";
/// How they are forgotten.
pub const FORGET: &str = "DELETE FROM votes";

/// The statement that records a vote.
pub fn insert(choice: Choice) -> String {
    format!("INSERT INTO votes (choice) VALUES ('{}')", choice.name())
}

/// Where a name and a port lead. Asked for each call, since routes change.
pub type Dial = Arc<dyn Fn(&str, u16) -> Result<SocketAddr, Failure> + Send + Sync>;

/// Why a call failed, in words.
pub type Failure = Box<dyn Error + Send + Sync>;

/// A store of votes.
pub trait Storage: Send + Sync {
    /// What it is, for the page.
    fn kind(&self) -> &'static str;

    /// How many votes there are.
    ///
    /// # Errors
    /// When the store cannot be reached or does not understand.
    fn tally(&self) -> Result<Tally, Failure>;

    /// Records a vote.
    ///
    /// # Errors
    /// When the store cannot be reached or does not understand.
    fn vote(&self, choice: Choice) -> Result<(), Failure>;

    /// Forgets all votes.
    ///
    /// # Errors
    /// When the store cannot be reached or does not understand.
    fn reset(&self) -> Result<(), Failure>;
}

/// Votes in Redis: one counter each.
pub struct Redis {
    /// How to reach it.
    pub dial: Dial,
    /// `REDIS_HOST`.
    pub host: String,
}

impl Redis {
    /// The port that Redis is known by.
    pub const PORT: u16 = 6379;

    fn connect(&self) -> Result<redis::Connection, Failure> {
        let address = (self.dial)(&self.host, Self::PORT)?;
        let client = redis::Client::open((address.ip().to_string(), address.port()))?;
        let connection = client.get_connection_with_timeout(PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.set_write_timeout(Some(PATIENCE))?;
        Ok(connection)
    }
}

impl Storage for Redis {
    fn kind(&self) -> &'static str {
        "Redis"
    }

    fn tally(&self) -> Result<Tally, Failure> {
        let mut connection = self.connect()?;
        let mut count = |choice: Choice| -> Result<u64, Failure> {
            Ok(connection.get::<_, Option<u64>>(choice.name())?.unwrap_or(0))
        };
        Ok(Tally { cats: count(Choice::Cats)?, dogs: count(Choice::Dogs)? })
    }

    fn vote(&self, choice: Choice) -> Result<(), Failure> {
        Ok(self.connect()?.incr(choice.name(), 1)?)
    }

    fn reset(&self) -> Result<(), Failure> {
        let mut connection = self.connect()?;
        for choice in Choice::ALL {
            () = connection.set(choice.name(), 0)?;
        }
        Ok(())
    }
}

/// Votes in MySQL: one row each.
pub struct MySql {
    /// How to reach it.
    pub dial: Dial,
    /// `MYSQL_HOST`.
    pub host: String,
    /// `MYSQL_USER`.
    pub user: String,
    /// `MYSQL_PASSWORD`.
    pub password: String,
    /// `MYSQL_DATABASE`.
    pub database: String,
}

impl MySql {
    /// The port that MySQL is known by.
    pub const PORT: u16 = 3306;

    fn connect(&self) -> Result<mysql::Conn, Failure> {
        let address = (self.dial)(&self.host, Self::PORT)?;
        let options = mysql::OptsBuilder::new()
            .ip_or_hostname(Some(address.ip().to_string()))
            .tcp_port(address.port())
            .user(Some(&self.user))
            .pass(Some(&self.password))
            .db_name(Some(&self.database))
            .prefer_socket(false)
            .max_allowed_packet(Some(1024 * 1024))
            .tcp_connect_timeout(Some(PATIENCE))
            .read_timeout(Some(PATIENCE))
            .write_timeout(Some(PATIENCE));
        Ok(mysql::Conn::new(options)?)
    }
}

impl Storage for MySql {
    fn kind(&self) -> &'static str {
        "MySQL"
    }

    fn tally(&self) -> Result<Tally, Failure> {
        let rows: Vec<(String, u64)> = self.connect()?.query(COUNT)?;
        let of = |choice: Choice| {
            rows.iter().find(|(name, _)| name == choice.name()).map_or(0, |(_, count)| *count)
        };
        Ok(Tally { cats: of(Choice::Cats), dogs: of(Choice::Dogs) })
    }

    fn vote(&self, choice: Choice) -> Result<(), Failure> {
        Ok(self.connect()?.query_drop(insert(choice))?)
    }

    fn reset(&self) -> Result<(), Failure> {
        Ok(self.connect()?.query_drop(FORGET)?)
    }
}
