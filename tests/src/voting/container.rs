//! What runs in a pod: the program of an image, told by its environment alone where everything is.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::analytics::Analytics;
use super::app::App;
use super::embedded_mysql::{Account, EmbeddedMySql};
use super::embedded_redis::EmbeddedRedis;
use super::real_stores::RealStore;
use super::storage::{Dial, Failure, MySql, Redis, Storage};
use crate::upstream::Upstream;

/// Whose stores run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stores {
    /// Those in this process.
    Embedded,
    /// Redis and MariaDB as installed on this machine.
    Real,
}

/// The environment of a container.
pub type Env = BTreeMap<String, String>;

/// A running container, ended when dropped.
pub struct Container {
    /// Where it listens.
    pub address: SocketAddr,
    _program: Box<dyn Send>,
}

impl Container {
    fn new(address: SocketAddr, program: impl Send + 'static) -> Self {
        Self { address, _program: Box::new(program) }
    }

    /// Runs an image of the scenario in a pod of this name.
    ///
    /// # Errors
    /// When the image is none of the scenario's, or its environment lacks something.
    pub fn run(image: &str, pod: &str, env: &Env, dial: &Dial, stores: Stores) -> Result<Self, Failure> {
        let name = image.rsplit('/').next().unwrap_or(image);
        let (program, version) = name.split_once(':').ok_or_else(|| format!("image {image} has no tag"))?;
        match program {
            "redis" if stores == Stores::Real => {
                let server = RealStore::redis();
                Ok(Self::new(server.address(), server))
            }
            "redis" => {
                let server = EmbeddedRedis::start();
                Ok(Self::new(server.address(), server))
            }
            "storage" if stores == Stores::Real => {
                let server = RealStore::mariadb(&account(env)?);
                Ok(Self::new(server.address(), server))
            }
            "storage" => {
                let server = EmbeddedMySql::start(account(env)?);
                Ok(Self::new(server.address(), server))
            }
            "analytics" => {
                let storage = storage(version, env, dial)?;
                let program = Analytics { version: version.to_owned(), pod: pod.to_owned(), storage };
                let server = Upstream::with(move |request| program.answer(request));
                Ok(Self::new(server.address, server))
            }
            "app" => {
                let is_new = version_2(version);
                let on = |name: &str| env.get(name).is_some_and(|value| value == "true");
                let program = App {
                    version: version.to_owned(),
                    pod: pod.to_owned(),
                    // What 1.0 shows when told to, 2.0 always shows.
                    details: is_new || on("SHOWDETAILS"),
                    feature_flag: is_new || on("FEATUREFLAG"),
                    storage: storage(version, env, dial)?,
                    analytics: variable(env, "ANALYTICS_HOST")?,
                    dial: Arc::clone(dial),
                };
                let server = Upstream::with(move |request| program.answer(request));
                Ok(Self::new(server.address, server))
            }
            _ => Err(format!("image {image} is none of the voting application's").into()),
        }
    }
}

fn version_2(version: &str) -> bool {
    version.starts_with("2.")
}

fn storage(version: &str, env: &Env, dial: &Dial) -> Result<Box<dyn Storage>, Failure> {
    let dial = Arc::clone(dial);
    if !version_2(version) {
        return Ok(Box::new(Redis { dial, host: variable(env, "REDIS_HOST")? }));
    }
    let Account { user, password, database } = account(env)?;
    Ok(Box::new(MySql { dial, host: variable(env, "MYSQL_HOST")?, user, password, database }))
}

fn account(env: &Env) -> Result<Account, Failure> {
    Ok(Account {
        user: variable(env, "MYSQL_USER")?,
        password: variable(env, "MYSQL_PASSWORD")?,
        database: variable(env, "MYSQL_DATABASE")?,
    })
}

fn variable(env: &Env, name: &str) -> Result<String, Failure> {
    env.get(name)
        .cloned()
        .ok_or_else(|| format!("the container needs the environment variable {name}").into())
}
