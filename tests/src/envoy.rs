//! A real Envoy on loopback: found, started, asked through its admin port, and ended by its own handle.
//!
//! Linux alone has `/proc`; elsewhere `cpu` and `resident` answer `None` and nothing else changes.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::bootstrap::Bootstrap;
use crate::http1::{Client, Response};
use crate::metrics::Metrics;
use crate::{root, wait};

/// How long a start may take on a busy machine before the test fails.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A running Envoy.
pub struct Envoy {
    process: Child,
    dir: TempDir,
    admin: SocketAddr,
    listeners: Vec<(String, SocketAddr)>,
    /// From the start of the process until it said LIVE.
    pub start_up: Duration,
}

/// An Envoy that did not become ready.
#[derive(Debug)]
pub struct NotReady {
    /// What it wrote to its log.
    pub log: String,
    /// Whether it ended by itself, rather than being stopped after the limit.
    pub exited: bool,
}

/// The Envoy program of this version: below `COALMINE_ENVOY_DIR`, or where `cargo xtask test` puts it.
///
/// # Panics
/// When it is not there: the message says what to run.
pub fn binary(version: &str) -> PathBuf {
    let tools =
        std::env::var_os("COALMINE_ENVOY_DIR").map_or_else(|| root().join("target/tools"), PathBuf::from);
    let path = tools.join(format!("envoy-{version}")).join("envoy/_bin/envoy");
    assert!(path.is_file(), "{} is missing: run `cargo xtask test`, which fetches it", path.display());
    path
}

impl Envoy {
    /// Starts this version and waits until it is ready.
    ///
    /// # Panics
    /// When it is not ready in time; the message has its log.
    pub fn start(version: &str, bootstrap: &Bootstrap) -> Self {
        match Self::try_start(version, bootstrap) {
            Ok(envoy) => envoy,
            Err(failure) => panic!("Envoy {version} did not become ready:\n{}", failure.log),
        }
    }

    /// Starts this version with a complete bootstrap and waits until it is ready.
    ///
    /// # Panics
    /// When it is not ready in time; the message has its log.
    pub fn start_with(version: &str, bootstrap: &Value) -> Self {
        match Self::launch(version, 1, &[], |_| bootstrap.clone()) {
            Ok(envoy) => envoy,
            Err(failure) => panic!("Envoy {version} did not become ready:\n{}", failure.log),
        }
    }

    /// Starts this version and waits until it is ready or has given up.
    ///
    /// # Errors
    /// When it ends instead, or is not ready within the limit.
    ///
    /// # Panics
    /// When the program cannot be started at all.
    pub fn try_start(version: &str, bootstrap: &Bootstrap) -> Result<Self, NotReady> {
        Self::launch(version, bootstrap.concurrency, &bootstrap.env, |dir| bootstrap.render(dir))
    }

    /// `render` is given the scratch folder.
    fn launch(
        version: &str,
        concurrency: u32,
        env: &[(String, String)],
        render: impl FnOnce(&Path) -> Value,
    ) -> Result<Self, NotReady> {
        let dir = tempfile::Builder::new().prefix("coalmine-envoy-").tempdir().expect("a scratch folder");
        let config = dir.path().join("bootstrap.json");
        fs::write(&config, render(dir.path()).to_string()).expect("the bootstrap file");
        let log = File::create(dir.path().join("envoy.log")).expect("the log file");
        let admin_file = dir.path().join("admin");
        let program = binary(version);
        let started = Instant::now();
        let process = Command::new(&program)
            .args([
                "--disable-hot-restart",
                "--log-level",
                "warning",
                "--component-log-level",
                "wasm:info,misc:error,main:error",
            ])
            .args(["--file-flush-interval-msec", "20", "--concurrency", &concurrency.to_string()])
            .arg("--config-path")
            .arg(&config)
            .arg("--admin-address-path")
            .arg(&admin_file)
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        // From here on `Drop` ends the process whatever happens.
        let mut envoy = Self {
            process,
            dir,
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            listeners: Vec::new(),
            start_up: Duration::ZERO,
        };
        let mut exited = false;
        let ready = wait(START_LIMIT, || {
            exited = matches!(envoy.process.try_wait(), Ok(Some(_)));
            if exited {
                return Some(false);
            }
            envoy.admin = fs::read_to_string(&admin_file).ok()?.trim().parse().ok()?;
            (envoy.try_admin("/ready")?.status == 200).then_some(true)
        });
        if ready != Some(true) {
            return Err(NotReady { log: envoy.log(), exited });
        }
        envoy.start_up = started.elapsed();
        envoy.listeners = envoy.read_listeners();
        Ok(envoy)
    }

    /// Where the first listener listens.
    ///
    /// # Panics
    /// When there is none.
    pub fn address(&self) -> SocketAddr {
        self.listeners.first().expect("a listener").1
    }

    /// Where the listener of this name listens.
    ///
    /// # Panics
    /// When there is none.
    pub fn listener(&self, name: &str) -> SocketAddr {
        let found = self.listeners.iter().find(|(known, _)| known == name);
        found.unwrap_or_else(|| panic!("no listener {name} in {:?}", self.listeners)).1
    }

    /// A connection to the first listener.
    ///
    /// # Panics
    /// When nothing listens there.
    pub fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// Asks the admin port.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn admin(&self, path: &str) -> Response {
        self.try_admin(path)
            .unwrap_or_else(|| panic!("the admin port did not answer {path}:\n{}", self.log()))
    }

    /// Prometheus metrics as Istio exposes them.
    pub fn metrics(&self) -> Metrics {
        Metrics::parse(&String::from_utf8_lossy(&self.admin("/stats/prometheus").body))
    }

    /// Metrics, asked for until `enough` says so or the limit is over; the last ones either way.
    pub fn metrics_when(&self, limit: Duration, enough: impl Fn(&Metrics) -> bool) -> Metrics {
        wait(limit, || Some(self.metrics()).filter(&enough)).unwrap_or_else(|| self.metrics())
    }

    /// Everything Envoy logged so far.
    pub fn log(&self) -> String {
        fs::read(self.dir.path().join("envoy.log"))
            .map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The lines of the access log, once there are `count` of them (or the limit is over).
    pub fn access_log(&self, count: usize) -> Vec<String> {
        let read = || -> Vec<String> {
            let bytes = fs::read(self.dir.path().join("access.log")).unwrap_or_default();
            String::from_utf8_lossy(&bytes).split_terminator('\n').map(str::to_owned).collect()
        };
        wait(Duration::from_secs(5), || Some(read()).filter(|lines| lines.len() >= count))
            .unwrap_or_else(read)
    }

    /// User and system time this process has used.
    pub fn cpu(&self) -> Option<Duration> {
        // schedstat counts nanoseconds per thread; /proc/PID/stat only hundredths of a second.
        let mut nanos = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.process.id())).ok()? {
            let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            nanos += text.split(' ').next()?.parse::<u64>().ok()?;
        }
        Some(Duration::from_nanos(nanos))
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
    }

    fn try_admin(&self, path: &str) -> Option<Response> {
        let headers: [(&str, &[u8]); 1] = [("Connection", b"close")];
        Client::try_connect(self.admin).ok()?.exchange(&crate::http1::request("GET", path, &headers)).ok()
    }

    fn read_listeners(&self) -> Vec<(String, SocketAddr)> {
        let body = self.admin("/listeners?format=json").body;
        let json: Value = serde_json::from_slice(&body).unwrap_or_default();
        let statuses = json["listener_statuses"].as_array().cloned().unwrap_or_default();
        let entry = |status: &Value| {
            let port = status["local_address"]["socket_address"]["port_value"].as_u64()?;
            let name = status["name"].as_str()?.to_owned();
            Some((name, SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).ok()?))))
        };
        statuses.iter().filter_map(entry).collect()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(30).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            eprintln!("--- Envoy's log ---\n{}\n-------------------", tail.join("\n"));
        }
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
