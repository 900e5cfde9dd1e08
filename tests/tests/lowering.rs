//! The shipped manifests, lowered and asked: what the scenario promises holds in a real Envoy.

use std::collections::BTreeSet;

use coalmine_tests::bootstrap::Bootstrap;
use coalmine_tests::envoy::Envoy;
use coalmine_tests::lower::ask::{self, Answer};
use coalmine_tests::lower::certificates::Authority;
use coalmine_tests::lower::manifests::Manifests;
use coalmine_tests::lower::pods::Pods;
use coalmine_tests::lower::{Door, Lowered, Lowering};
use coalmine_tests::{on_each_envoy, root};
use tempfile::TempDir;

on_each_envoy!(
    every_version_calls_its_own_before_and_after_the_canary_opens,
    the_filter_decides_who_is_in_the_canary,
    finalized_only_2_0_is_left,
);

/// One state of a deployment in one Envoy.
struct Running {
    envoy: Envoy,
    lowered: Lowered,
    _kept: (Authority, Pods, TempDir),
}

impl Running {
    fn start(version: &str, folder: &str, step: Option<&str>) -> Self {
        let manifests = Manifests::folder(&root().join("manifests").join(folder));
        let mesh = manifests.mesh(step);
        let (authority, pods) = (Authority::new(), Pods::default());
        let sockets = tempfile::Builder::new().prefix("cm-").tempdir().expect("a folder for sockets");
        let lowering = Lowering {
            mesh: &mesh,
            documents: manifests.documents(),
            authority: &authority,
            scope: "v",
            sockets: sockets.path(),
            apps: &|workload, port| pods.serve(workload, port),
            exposes_pods: true,
        };
        let lowered = lowering.lower();
        assert_eq!(lowered.left_out, Vec::<String>::new());
        let mut bootstrap = Bootstrap::empty();
        lowered.add_to(&mut bootstrap);
        let envoy = Envoy::start(version, &bootstrap);
        Self { envoy, lowered, _kept: (authority, pods, sockets) }
    }

    fn at_gateway(&self, headers: &[(&str, &[u8])]) -> Answer {
        let door = Door::Gateway { gateway: "voting/voting-app-gateway".to_owned(), port: 80 };
        ask::http(self.lowered.address(&self.envoy, &door), "GET", "/", headers)
    }

    fn door(&self, client: &str, service: &str, port: u32) -> std::net::SocketAddr {
        let door = Door::Outbound {
            client: format!("voting/{client}"),
            host: format!("{service}.voting.svc.cluster.local"),
            port,
        };
        self.lowered.address(&self.envoy, &door)
    }

    /// Everyone who answers `analytics` over HTTP.
    fn analytics(&self, client: &str) -> BTreeSet<String> {
        let address = self.door(client, "voting-analytics", 8080);
        let ask = || ask::http(address, "GET", "/analytics", &[("Host", b"voting-analytics:8080")]);
        (0..6).map(|_| ask()).map(|answer| answer.pod().map_or(answer.flags.clone(), str::to_owned)).collect()
    }

    /// Everyone who answers on a storage port.
    fn storage(&self, client: &str, port: u32) -> BTreeSet<String> {
        let address = self.door(client, "voting-storage", port);
        (0..4).map(|_| ask::tcp(address).unwrap_or_else(|| "reset".to_owned())).collect()
    }

    fn pod(&self, workload: &str, port: u32) -> std::net::SocketAddr {
        let door = Door::Pod { workload: format!("voting/{workload}"), port };
        self.lowered.address(&self.envoy, &door)
    }
}

fn only(pod: &str) -> BTreeSet<String> {
    BTreeSet::from([pod.to_owned()])
}

fn every_version_calls_its_own_before_and_after_the_canary_opens(version: &str) {
    let analytics = |version: &str| format!("voting/voting-analytics-{version}:8080");
    let first = Running::start(version, "voting", Some("1-deploy"));
    assert_eq!(first.at_gateway(&[]).pod(), Some("voting/voting-app-1-0:8080"));
    assert_eq!(first.analytics("voting-app-1-0"), only(&analytics("1-0")));
    assert_eq!(first.storage("voting-app-1-0", 6379), only("voting/voting-storage-1-0:6379"));
    // Nothing insists on mTLS yet.
    assert!(ask::tcp(first.pod("voting-storage-1-0", 6379)).is_some());
    drop(first);

    let second = Running::start(version, "voting", Some("2-update"));
    // 1.0 still runs, and the route keeps it out.
    assert_eq!(second.analytics("voting-app-1-0"), only(&analytics("1-1")));
    assert_eq!(ask::tcp(second.pod("voting-storage-1-0", 6379)), None, "plaintext is refused");
    let refused = ask::Asker::new(second.pod("voting-app-1-0", 8080)).ask("GET", "/", &[]);
    assert!(refused.is_err(), "plaintext is refused: {refused:?}");
    drop(second);

    let third = Running::start(version, "voting", Some("3-canary"));
    for (cookie, app) in [
        ("featureflag=on", "2-0"),
        ("a=b; featureflag=on", "2-0"),
        ("featureflag=on; a=b", "2-0"),
        ("featureflag=off", "1-0"),
        ("featureflag=once", "1-0"),
        ("xfeatureflag=on", "1-0"),
        ("", "1-0"),
    ] {
        let answer = third.at_gateway(&[("Cookie", cookie.as_bytes())]);
        assert_eq!(answer.pod(), Some(format!("voting/voting-app-{app}:8080").as_str()), "{cookie}");
    }
    assert_islands(&third);
}

fn assert_islands(running: &Running) {
    let old = only("voting/voting-storage-1-0:6379");
    let new = only("voting/voting-storage-2-0:3306");
    for port in [6379, 3306] {
        for client in ["voting-app-1-0", "voting-analytics-1-1"] {
            assert_eq!(running.storage(client, port), old, "{client} {port}");
        }
        for client in ["voting-app-2-0", "voting-analytics-2-0"] {
            assert_eq!(running.storage(client, port), new, "{client} {port}");
        }
        // Storage calls nobody, but a client nobody thought of stays with the old storage.
        assert_eq!(running.storage("voting-storage-2-0", port), old);
    }
    assert_eq!(running.analytics("voting-app-1-0"), only("voting/voting-analytics-1-1:8080"));
    assert_eq!(running.analytics("voting-app-2-0"), only("voting/voting-analytics-2-0:8080"));
}

fn the_filter_decides_who_is_in_the_canary(version: &str) {
    let running = Running::start(version, "voting-flag", None);
    let app = |headers: &[(&str, &[u8])]| {
        let answer = running.at_gateway(headers);
        let tag = answer.echo.as_ref().map(|echo| echo.all("x-canary").join(",")).unwrap_or_default();
        (answer.pod().unwrap_or(&answer.flags).to_owned(), tag)
    };
    let (old, new) = ("voting/voting-app-1-0:8080".to_owned(), "voting/voting-app-2-0:8080".to_owned());
    assert_eq!(app(&[]), (old.clone(), String::new()));
    assert_eq!(app(&[("Cookie", b"featureflag=on")]), (new.clone(), "canary".to_owned()));
    assert_eq!(app(&[("Cookie", b"x=1; featureflag=\"on\"")]), (new, "canary".to_owned()));
    assert_eq!(app(&[("x-canary", b"canary")]), (old.clone(), String::new()), "a forged tag");
    let forged: [(&str, &[u8]); 2] = [("x-canary", b"canary"), ("Cookie", b"featureflag=off")];
    assert_eq!(app(&forged), (old, String::new()), "a forged tag");
    assert_islands(&running);
}

fn finalized_only_2_0_is_left(version: &str) {
    let running = Running::start(version, "voting", Some("4-finalize"));
    for cookie in ["", "featureflag=on"] {
        let answer = running.at_gateway(&[("Cookie", cookie.as_bytes())]);
        assert_eq!(answer.pod(), Some("voting/voting-app-2-0:8080"));
    }
    assert_eq!(running.storage("voting-app-2-0", 3306), only("voting/voting-storage-2-0:3306"));
    assert_eq!(running.analytics("voting-app-2-0"), only("voting/voting-analytics-2-0:8080"));
}

#[test]
fn the_lowering_has_no_matching_code_from_the_product() {
    let mut paths = vec![root().join("tests/src/lower.rs")];
    let folder = std::fs::read_dir(root().join("tests/src/lower")).expect("the lowering");
    paths.extend(folder.map(|entry| entry.expect("an entry").path()));
    assert!(paths.len() > 5, "{paths:?}");
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a source file");
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for shared in ["route::", "mesh::matching", "matching::", "reach::", "for_mesh_host"] {
                let is_own = line.contains("mesh::routes::");
                assert!(is_own || !line.contains(shared), "{}: {line}", path.display());
            }
        }
    }
}
