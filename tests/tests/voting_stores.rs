//! The stores of the voting application: the embedded ones and the real ones, asked by the same clients, answer the
//! same. The clients are the crates that everyone uses, so the embedded servers speak the real protocols.

use std::net::SocketAddr;
use std::sync::Arc;

use coalmine_tests::voting::embedded_mysql::{Account, EmbeddedMySql};
use coalmine_tests::voting::embedded_redis::EmbeddedRedis;
use coalmine_tests::voting::real_stores::RealStore;
use coalmine_tests::voting::storage::{Dial, MySql, Redis, Storage};
use coalmine_tests::voting::{Choice, Tally};

fn account() -> Account {
    Account { user: "voting".to_owned(), password: "cats'or\\dogs".to_owned(), database: "voting".to_owned() }
}

fn to(address: SocketAddr) -> Dial {
    Arc::new(move |_, _| Ok(address))
}

fn redis(address: SocketAddr) -> Redis {
    Redis { dial: to(address), host: "voting-storage".to_owned() }
}

fn mysql(address: SocketAddr, account: Account) -> MySql {
    let Account { user, password, database } = account;
    MySql { dial: to(address), host: "voting-storage".to_owned(), user, password, database }
}

/// Votes, counts, forgets, and counts votes of many at once.
fn keeps_votes(store: &dyn Storage) {
    assert_eq!(store.tally().expect("an empty store"), Tally::default());
    for choice in [Choice::Cats, Choice::Dogs, Choice::Dogs] {
        store.vote(choice).expect("a vote");
    }
    assert_eq!(store.tally().expect("votes"), Tally { cats: 1, dogs: 2 });
    store.reset().expect("a reset");
    assert_eq!(store.tally().expect("no votes"), Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10).for_each(|_| store.vote(Choice::Cats).expect("a vote")));
        }
    });
    assert_eq!(store.tally().expect("votes"), Tally { cats: 40, dogs: 0 });
}

/// A wrong password, database or statement is refused.
fn refuses_strangers(address: SocketAddr) {
    use mysql::prelude::Queryable as _;
    for wrong in [
        Account { password: "cats".to_owned(), ..account() },
        Account { user: "root".to_owned(), ..account() },
        Account { database: "other".to_owned(), ..account() },
    ] {
        let failure = mysql(address, wrong).tally().expect_err("no such account");
        assert!(
            failure.to_string().contains("denied") || failure.to_string().contains("Unknown"),
            "{failure}"
        );
    }
    let options = mysql::OptsBuilder::new()
        .ip_or_hostname(Some("127.0.0.1"))
        .tcp_port(address.port())
        .user(Some(account().user))
        .pass(Some(account().password))
        .db_name(Some(account().database))
        .prefer_socket(false)
        .max_allowed_packet(Some(1024 * 1024));
    let mut connection = mysql::Conn::new(options).expect("a connection");
    let failure = connection.query_drop("SELEKT 1").expect_err("not a statement");
    assert!(failure.to_string().contains("1064"), "{failure}");
    connection.ping().expect("the connection outlives a wrong statement");
}

#[test]
fn the_embedded_redis_keeps_votes() {
    keeps_votes(&redis(EmbeddedRedis::start().address()));
}

#[test]
fn the_embedded_mysql_keeps_votes_and_refuses_strangers() {
    let server = EmbeddedMySql::start(account());
    keeps_votes(&mysql(server.address(), account()));
    refuses_strangers(server.address());
}

#[test]
fn real_stores_redis_keeps_votes() {
    keeps_votes(&redis(RealStore::redis().address()));
}

#[test]
fn real_stores_mariadb_keeps_votes_and_refuses_strangers() {
    let server = RealStore::mariadb(&account());
    keeps_votes(&mysql(server.address(), account()));
    refuses_strangers(server.address());
}

/// MariaDB's own client speaks a little differently from the crate.
#[test]
fn real_stores_mariadbs_client_understands_the_embedded_mysql() {
    let server = EmbeddedMySql::start(account());
    mysql(server.address(), account()).vote(Choice::Dogs).expect("a vote");
    let output = std::process::Command::new("mariadb")
        .args(["--no-defaults", "--skip-ssl", "--host=127.0.0.1", "--batch", "--connect-timeout=10"])
        .arg(format!("--port={}", server.address().port()))
        .args(["--user=voting", "--password=cats'or\\dogs", "voting", "--execute"])
        .arg(coalmine_tests::voting::storage::COUNT)
        .output()
        .expect("the client, which Debian's mariadb-server brings");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text, "choice\tCOUNT(*)\nDogs\t1\n", "{}", String::from_utf8_lossy(&output.stderr));
}
