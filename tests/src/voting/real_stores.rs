//! Redis and MariaDB as processes of their own: Debian's `redis-server` and `mariadb-server`, on free ports, with
//! their data in scratch folders, ended by their own handles.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::embedded_mysql::Account;
use super::storage::{CREATE_TABLE, MySql, Redis, Storage};
use crate::tcp::unused_port;
use crate::{locate, wait};

/// How long a start may take on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The programs that must be on the path.
pub const PROGRAMS: [&str; 4] = ["redis-server", "mariadbd", "mariadb-install-db", "mariadb"];

/// A server process with its scratch folder, ended when dropped.
pub struct RealStore {
    process: Child,
    address: SocketAddr,
    dir: TempDir,
}

impl RealStore {
    /// Starts Redis without data.
    ///
    /// # Panics
    /// When it is not installed or does not come up; the message says what to do, or has its log.
    pub fn redis() -> Self {
        start("redis-server", |dir, port| {
            let mut command = Command::new("redis-server");
            command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"]).arg(dir);
            command.args(["--save", "", "--appendonly", "no"]);
            (command, Box::new(move |dial| Box::new(Redis { dial, host: String::new() })))
        })
    }

    /// Starts MariaDB with this account and the empty table of the image.
    ///
    /// # Panics
    /// When it is not installed or does not come up; the message says what to do, or has its log.
    pub fn mariadb(account: &Account) -> Self {
        start("mariadbd", |dir, port| {
            let data = dir.join("data");
            install(&data);
            let set_up = dir.join("set-up.sql");
            fs::write(&set_up, set_up_of(account)).expect("the account's statements");
            let mut command = Command::new(find("mariadbd"));
            command.args(["--no-defaults", "--skip-name-resolve", "--bind-address=127.0.0.1"]);
            command.args(as_user());
            command.arg(format!("--port={port}"));
            command.arg(format!("--datadir={}", data.display()));
            command.arg(format!("--socket={}", data.join("socket").display()));
            command.arg(format!("--init-file={}", set_up.display()));
            let Account { user, password, database } = account.clone();
            let client = move |dial| -> Box<dyn Storage> {
                Box::new(MySql { dial, host: String::new(), user, password, database })
            };
            (command, Box::new(client))
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for RealStore {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

type Client = Box<dyn FnOnce(super::storage::Dial) -> Box<dyn Storage>>;

fn start(program: &str, command: impl FnOnce(&Path, u16) -> (Command, Client)) -> RealStore {
    let dir = tempfile::Builder::new().prefix("coalmine-store-").tempdir().expect("a scratch folder");
    open_to_all(dir.path());
    let port = unused_port();
    let (mut command, client) = command(dir.path(), port);
    let log = File::create(dir.path().join("log")).expect("the log file");
    let errors = log.try_clone().expect("the log file");
    let process = command
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {program}: {error}; {}", missing()));
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut store = RealStore { process, address, dir };
    let client = client(Arc::new(move |_, _| Ok(address)));
    let ready = wait(START_LIMIT, || match store.process.try_wait() {
        Ok(None) => client.tally().is_ok().then_some(true),
        _ => Some(false),
    });
    assert_eq!(ready, Some(true), "{program} did not come up:\n{}", store.log());
    store
}

/// Where to start a program from; an attempt says what is missing.
fn find(program: &str) -> PathBuf {
    locate(program).unwrap_or_else(|| PathBuf::from(program))
}

/// What to do when a program is not there.
fn missing() -> &'static str {
    "install Debian's redis-server and mariadb-server (`cargo xtask test` does where it can)"
}

/// Creates the system tables of a new database.
fn install(data: &Path) {
    let output = Command::new("mariadb-install-db")
        .args(["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal"])
        .args(as_user())
        .arg(format!("--datadir={}", data.display()))
        .output()
        .unwrap_or_else(|error| panic!("cannot start mariadb-install-db: {error}; {}", missing()));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "mariadb-install-db failed; can user mysql read {data:?}?\n{text}");
}

/// MariaDB refuses to run as root; started by root it changes to its own user.
fn as_user() -> Option<&'static str> {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0").then_some("--user=mysql")
}

/// What the image's start script does with its environment.
fn set_up_of(account: &Account) -> String {
    let Account { user, password, database } = account;
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('\'', "''");
    let (user, password) = (quoted(user), quoted(password));
    let database = format!("`{}`", database.replace('`', "``"));
    format!(
        "CREATE DATABASE {database};\n\
         CREATE USER '{user}'@'%' IDENTIFIED BY '{password}';\n\
         GRANT ALL ON {database}.* TO '{user}'@'%';\n\
         USE {database};\n\
         {CREATE_TABLE};\n"
    )
}

#[cfg(unix)]
fn open_to_all(dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).expect("the scratch folder's permissions");
}

#[cfg(not(unix))]
fn open_to_all(_: &Path) {}
