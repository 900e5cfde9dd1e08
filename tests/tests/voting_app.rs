//! The voting application on its own manifests, step by step: real pages, stores, Envoys and mTLS. What the READMEs
//! of `manifests/voting` promise at each point is what a visitor sees there.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coalmine_tests::lower::Door;
use coalmine_tests::voting::Choice::{Cats, Dogs};
use coalmine_tests::voting::cluster::Cluster;
use coalmine_tests::voting::container::Stores;
use coalmine_tests::voting::visitor::{Seen, Visitor};
use coalmine_tests::{ENVOY_VERSIONS, root};

const COUNTS: &str = "Cats: 2 | Dogs: 4";
const SHARES: &str = "Cats: 2/6 (33%) | Dogs: 4/6 (67%)";

fn cluster(stores: Stores) -> Cluster {
    Cluster::new(&root().join("manifests/voting"), ENVOY_VERSIONS[1], stores)
}

fn open(visitor: &mut Visitor) -> Seen {
    let seen = visitor.open().expect("an answer");
    assert_eq!(seen.status, 200, "{seen:?}");
    seen
}

/// Two votes for cats and four for dogs.
fn vote(visitor: &mut Visitor) {
    for choice in [Cats, Dogs, Dogs, Cats, Dogs, Dogs] {
        let seen = visitor.vote(choice).expect("an answer");
        assert_eq!(seen.status, 303, "{seen:?}");
    }
}

/// The result lines of this many visits.
fn lines(visitor: &mut Visitor, visits: usize) -> BTreeSet<String> {
    (0..visits).map(|_| open(visitor).result).collect()
}

fn set<const N: usize>(texts: [&str; N]) -> BTreeSet<String> {
    texts.map(str::to_owned).into()
}

/// What one byte string sent to a door in the clear is answered by.
fn plaintext(cluster: &Cluster, workload: &str, port: u32) -> String {
    let door = Door::Pod { workload: format!("voting/{workload}"), port };
    let address = cluster.door(&door).unwrap_or_else(|| panic!("no {door:?}"));
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
    // What Envoy writes after a refusal may already find the connection gone.
    let request = b"GET / HTTP/1.1\r\nHost: voting-app\r\nConnection: close\r\n\r\n";
    let mut heard = Vec::new();
    match stream.write_all(request).and_then(|()| stream.read_to_end(&mut heard)) {
        Ok(_) if heard.is_empty() => "closed".to_owned(),
        Ok(_) => String::from_utf8_lossy(&heard).into_owned(),
        Err(error) => format!("{:?}", error.kind()),
    }
}

fn deploy_and_update(stores: Stores) {
    let mut cluster = cluster(stores);
    cluster.run_to("1-deploy");
    let mut visitor = Visitor::new(cluster.gateway());
    assert_eq!(open(&mut visitor).result, "Cats: 0 | Dogs: 0");
    vote(&mut visitor);
    let seen: Vec<Seen> = (0..12).map(|_| open(&mut visitor)).collect();
    assert!(seen.iter().all(|seen| seen.version == "1.0" && seen.result == COUNTS), "{seen:?}");
    let pods: BTreeSet<&str> = seen.iter().map(|seen| seen.pod.as_str()).collect();
    assert_eq!(pods, BTreeSet::from(["voting-app-1-0-1", "voting-app-1-0-2", "voting-app-1-0-3"]));
    // Nobody insists on mTLS yet.
    assert!(plaintext(&cluster, "voting-app-1-0", 8080).starts_with("HTTP/1.1 200"));

    // Analytics 1.1 beside 1.0, and no rule between them.
    cluster.run_to("2-update#1");
    assert_eq!(lines(&mut visitor, 8), set([COUNTS, SHARES]));

    cluster.run_to("2-update");
    assert_eq!(lines(&mut visitor, 12), set([SHARES]));
    let pods = [("voting-app-1-0", 8080), ("voting-analytics-1-1", 8080), ("voting-storage-1-0", 6379)];
    refuses_plaintext(&cluster, &pods);
    let seen = visitor.submit("vote=reset").expect("an answer");
    assert_eq!(seen.status, 303);
    assert_eq!(open(&mut visitor).result, "Cats: 0/0 (0%) | Dogs: 0/0 (0%)");
}

/// Under STRICT a pod hangs up on whoever speaks in the clear.
fn refuses_plaintext(cluster: &Cluster, pods: &[(&str, u32)]) {
    for (workload, port) in pods {
        let answer = plaintext(cluster, workload, *port);
        assert!(answer == "ConnectionReset" || answer == "closed", "{workload}: {answer}");
    }
}

fn the_flag(stores: Stores) {
    let mut cluster = cluster(stores);
    cluster.run_to("2-update");
    let gateway = cluster.gateway();
    let (mut ada, mut bob) = (Visitor::new(gateway), Visitor::new(gateway));
    vote(&mut bob);
    // A cookie from step 1 has no effect before the last action of the step.
    let mut early = Visitor::new(gateway);
    assert_eq!(early.submit("featureflag=set").expect("an answer").status, 303);
    assert_eq!(early.cookie().as_deref(), Some("featureflag=on"));
    while cluster.next() != Some("3-canary#8") {
        let action = cluster.next().expect("an action").to_owned();
        cluster.run_to(&action);
        for visitor in [&mut early, &mut bob] {
            let seen = open(visitor);
            assert_eq!((seen.version.as_str(), seen.result.as_str()), ("1.0", SHARES), "after {action}");
        }
    }
    cluster.run_to("3-canary");
    assert_eq!(open(&mut early).version, "2.0");

    let pods = [("voting-app-2-0", 8080), ("voting-analytics-2-0", 8080), ("voting-storage-2-0", 3306)];
    refuses_plaintext(&cluster, &pods);

    // Without the cookie nothing changes, and setting it moves one visitor.
    assert_eq!(open(&mut ada).version, "1.0");
    assert_eq!(open(&mut ada).result, SHARES);
    assert_eq!(ada.submit("featureflag=set").expect("an answer").version, "1.0");
    let seen = open(&mut ada);
    assert_eq!((seen.version.as_str(), seen.analytics.as_str()), ("2.0", "voting-analytics-2-0-1"));
    assert_eq!(seen.result, "Cats: 0/0 (0%) | Dogs: 0/0 (0%)");
    ada.vote(Cats).expect("an answer");
    assert_eq!(open(&mut ada).result, "Cats: 1/1 (100%) | Dogs: 0/1 (0%)");
    let seen = open(&mut bob);
    assert_eq!((seen.version.as_str(), seen.analytics.as_str()), ("1.0", "voting-analytics-1-1-1"));
    assert_eq!(seen.result, SHARES);

    for (cookie, version) in [
        ("theme=dark; featureflag=on", "2.0"),
        ("featureflag=on;theme=dark", "2.0"),
        ("xfeatureflag=on", "1.0"),
        ("featureflag=once", "1.0"),
        ("featureflag=off", "1.0"),
        ("theme=featureflag=on", "1.0"),
    ] {
        let mut visitor = Visitor::new(gateway);
        visitor.raw_cookie = Some(cookie.to_owned());
        assert_eq!(open(&mut visitor).version, version, "{cookie}");
    }

    // Clearing leads back to the old votes.
    ada.submit("featureflag=clear").expect("an answer");
    assert_eq!(ada.cookie(), None);
    let seen = open(&mut ada);
    assert_eq!((seen.version.as_str(), seen.result.as_str()), ("1.0", SHARES));
}

/// Which store speaks at a door: Redis answers a command, MySQL greets first.
fn store_behind(cluster: &Cluster, door: &Door) -> &'static str {
    let address = cluster.door(door).unwrap_or_else(|| panic!("no {door:?}"));
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
    stream.write_all(b"*1\r\n$4\r\nPING\r\n").expect("a connection");
    let mut heard = [0; 5];
    stream.read_exact(&mut heard).expect("an answer");
    if heard == *b"+PONG" { "redis" } else { "mysql" }
}

#[test]
fn no_call_leaves_its_island() {
    let mut cluster = cluster(Stores::Embedded);
    cluster.run_to("3-canary");
    let mut seen = 0;
    for door in cluster.doors() {
        let Door::Outbound { client, host, .. } = &door else { continue };
        let is_new = client.ends_with("-2-0");
        // Storage pods call nobody and no rule names them: they are with the old ones, as the files say.
        match host.split('.').next() {
            Some("voting-storage") => {
                let expected = if is_new && !client.contains("storage") { "mysql" } else { "redis" };
                assert_eq!(store_behind(&cluster, &door), expected, "{door:?}");
            }
            Some("voting-analytics") => {
                let address = cluster.door(&door).expect("a door");
                let headers: [(&str, &[u8]); 2] = [
                    ("Host", b"voting-analytics:8080"),
                    // Nothing a client says about itself counts.
                    ("X-Envoy-Original-Dst-Host", b"127.0.0.1:1"),
                ];
                let answer = coalmine_tests::http1::Client::connect(address).get("/", &headers);
                let expected = if client.ends_with("app-2-0") {
                    "voting-analytics-2-0-1"
                } else {
                    "voting-analytics-1-1-1"
                };
                assert_eq!(answer.text("x-voting-analytics").as_deref(), Some(expected), "{door:?}");
            }
            _ => continue,
        }
        seen += 1;
    }
    // Six workloads, each with both ports of storage and one of analytics.
    assert_eq!(seen, 18);
}

/// What visitors saw while something happened to the cluster.
struct Load {
    answered: u64,
    failed: Vec<String>,
    /// Votes that version 2.0 took.
    votes: u64,
}

/// Does something to a cluster while four visitors never stop: two open the page without and with the flag, two vote.
fn under_load(cluster: &mut Cluster, work: impl FnOnce(&mut Cluster)) -> Load {
    let gateway = cluster.gateway();
    let stop = AtomicBool::new(false);
    let load = Mutex::new(Load { answered: 0, failed: Vec::new(), votes: 0 });
    let visit = |flag: bool, votes: bool| {
        let mut visitor = Visitor::new(gateway);
        visitor.raw_cookie = flag.then(|| "featureflag=on".to_owned());
        while !stop.load(Ordering::SeqCst) {
            let answer = if votes { visitor.vote(Dogs) } else { visitor.open() };
            let mut load = load.lock().expect("no visitor panics");
            match answer {
                Ok(seen) if seen.status == if votes { 303 } else { 200 } => {
                    load.answered += 1;
                    load.votes += u64::from(votes && seen.version == "2.0");
                }
                Ok(seen) => load.failed.push(format!("{} {} {}", seen.status, seen.flags, seen.result)),
                Err(error) => load.failed.push(error.to_string()),
            }
        }
    };
    std::thread::scope(|scope| {
        for (flag, votes) in [(false, false), (true, false), (false, true), (true, true)] {
            scope.spawn(move || visit(flag, votes));
        }
        let guard = Stop(&stop);
        work(cluster);
        drop(guard);
    });
    load.into_inner().expect("no visitor panicked")
}

/// Ends the load also when the work panics, so that the test fails rather than hangs.
struct Stop<'s>(&'s AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn finalizing(stores: Stores) {
    let mut cluster = cluster(stores);
    cluster.run_to("3-canary");
    let load = under_load(&mut cluster, |cluster| {
        cluster.run_to("4-finalize");
        std::thread::sleep(Duration::from_millis(200));
    });
    assert!(load.failed.is_empty(), "{} of {}: {:?}", load.failed.len(), load.answered, load.failed.first());
    assert!(load.answered > 100, "{}", load.answered);
    let pods = cluster.pods();
    assert!(pods.iter().all(|pod| pod.contains("-2-0-")) && pods.len() == 5, "{pods:?}");
    let seen = open(&mut Visitor::new(cluster.gateway()));
    assert_eq!(seen.version, "2.0");
    let votes = load.votes;
    assert_eq!(
        seen.result,
        format!("Cats: 0/{votes} (0%) | Dogs: {votes}/{votes} (100%)"),
        "no vote is lost"
    );
}

#[test]
fn no_action_of_the_rollout_drops_a_request() {
    let mut cluster = cluster(Stores::Embedded);
    cluster.run_to("1-deploy");
    let load = under_load(&mut cluster, |cluster| cluster.run_to("3-canary"));
    assert!(load.failed.is_empty(), "{} of {}: {:?}", load.failed.len(), load.answered, load.failed.first());
    assert!(load.answered > 100, "{}", load.answered);
}

/// A finalizing whose actions come in this order, by their numbers, and the failures of visitors in it.
fn finalized_in_order(order: &[usize]) -> Vec<String> {
    let mut cluster = cluster(Stores::Embedded);
    cluster.reorder(|actions| {
        let start = actions.iter().position(|(name, _)| name == "4-finalize#1").expect("the step");
        let first: Vec<_> = order.iter().map(|number| actions[start + number - 1].clone()).collect();
        // The others stay, behind: what no action applies would be there from the beginning.
        actions.retain(|action| !first.contains(action));
        actions.splice(start..start, first);
    });
    cluster.run_to("3-canary");
    let action = format!("4-finalize#{}", order.last().expect("an order"));
    under_load(&mut cluster, |cluster| {
        cluster.run_to(&action);
        std::thread::sleep(Duration::from_millis(200));
    })
    .failed
}

#[test]
fn destination_rules_before_routes_drop_requests() {
    let failed = finalized_in_order(&[2, 1, 3]);
    // The gateway's route names a cluster that is gone.
    assert!(failed.iter().any(|failure| failure.starts_with("503 NC")), "{failed:?}");
}

#[test]
fn a_workload_before_its_route_drops_requests() {
    let failed = finalized_in_order(&[6, 4]);
    // The page of 1.0 is still there and its analytics is not.
    assert!(failed.iter().any(|failure| failure.contains("no healthy upstream")), "{failed:?}");
}

#[test]
fn cleaning_up_ends_with_nothing() {
    let mut cluster = cluster(Stores::Embedded);
    cluster.run_to("4-finalize");
    assert_eq!(open(&mut Visitor::new(cluster.gateway())).version, "2.0");
    cluster.run_to("5-clean-up#1");
    let seen = Visitor::new(cluster.gateway()).open().expect("an answer");
    assert_eq!(seen.status, 404);
    cluster.run_to("5-clean-up");
    assert_eq!((cluster.pods(), cluster.doors()), (vec![], vec![]));
}

#[test]
fn deploying_shows_one_version_and_updating_two_until_the_routes_are_there() {
    deploy_and_update(Stores::Embedded);
}

#[test]
fn the_flag_moves_one_visitor_to_votes_of_its_own() {
    the_flag(Stores::Embedded);
}

#[test]
fn finalizing_drops_no_request() {
    finalizing(Stores::Embedded);
}

#[test]
fn real_stores_deploy_and_update() {
    deploy_and_update(Stores::Real);
}

#[test]
fn real_stores_the_flag() {
    the_flag(Stores::Real);
}

#[test]
fn real_stores_finalizing() {
    finalizing(Stores::Real);
}
