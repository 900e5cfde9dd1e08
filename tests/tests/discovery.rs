//! An Envoy whose configuration changes while it runs: `xds.rs` delivers what a push says, and says so when Envoy
//! refuses it.

use std::net::SocketAddr;

use coalmine_tests::bootstrap::{cluster, default_route, listener, manager, router};
use coalmine_tests::http1::Client;
use coalmine_tests::upstream::Upstream;
use coalmine_tests::xds::{Proxy, Resources};
use coalmine_tests::{ENVOY_VERSIONS, on_each_envoy};
use serde_json::{Value, json};

on_each_envoy!(a_push_is_in_force_when_it_returns, a_listener_that_comes_back_has_its_port_and_its_routes);

/// A listener of this name whose only route leads to this cluster.
fn routed(name: &str, target: &str) -> Value {
    let mut manager = manager(name, &[], &[default_route(target)]);
    manager["http_filters"] = json!([router()]);
    manager["route_config"]["name"] = json!(name);
    listener(name, &manager)
}

fn version_at(address: SocketAddr) -> String {
    Client::connect(address).get("/", &[]).echo().version
}

fn a_push_is_in_force_when_it_returns(version: &str) {
    let (one, two) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let both = vec![cluster("one", one.address), cluster("two", two.address)];
    let to = |target: &str| Resources { listeners: vec![routed("door", target)], clusters: both.clone() };
    let mut proxy = Proxy::start(version, "test", &to("one"));
    let door = proxy.address("door").expect("a port");
    let mut kept = Client::connect(door);
    for _ in 0..20 {
        for (target, answer) in [("two", "v2"), ("one", "v1")] {
            proxy.push(&to(target));
            assert_eq!(version_at(door), answer);
            assert_eq!(kept.get("/", &[]).echo().version, answer, "on a connection from before");
        }
    }
    // A cluster that is gone, and one that is another now.
    proxy.push(&Resources { listeners: vec![routed("door", "one")], clusters: vec![] });
    assert_eq!(Client::connect(door).get("/", &[]).status, 503);
    proxy.push(&Resources {
        listeners: vec![routed("door", "one")],
        clusters: vec![cluster("one", two.address)],
    });
    assert_eq!(version_at(door), "v2");
}

fn a_listener_that_comes_back_has_its_port_and_its_routes(version: &str) {
    let (one, two) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let both = vec![cluster("one", one.address), cluster("two", two.address)];
    let with = |listeners| Resources { listeners, clusters: both.clone() };
    let mut proxy = Proxy::start(version, "test", &with(vec![routed("a", "one"), routed("b", "two")]));
    let (a, b) = (proxy.address("a").expect("a port"), proxy.address("b").expect("a port"));
    for target in ["two", "one", "two"] {
        proxy.push(&with(vec![routed("b", "two")]));
        assert!(Client::try_connect(a).is_err(), "nobody listens any more");
        proxy.push(&with(vec![routed("a", target), routed("b", "two"), routed("c", "one")]));
        let answer = if target == "two" { "v2" } else { "v1" };
        assert_eq!((version_at(a).as_str(), version_at(b).as_str()), (answer, "v2"));
        assert_eq!(version_at(proxy.address("c").expect("a port")), "v1");
    }
}

#[test]
#[should_panic(expected = "it was refused")]
fn a_refused_push_says_so() {
    let upstream = Upstream::echo("v1");
    let good = cluster("one", upstream.address);
    let mut bad = good.clone();
    bad["lb_policy"] = json!("CLUSTER_PROVIDED"); // not with a static one
    let resources = |cluster| Resources { listeners: vec![routed("door", "one")], clusters: vec![cluster] };
    let mut proxy = Proxy::start(ENVOY_VERSIONS[1], "test", &resources(good));
    proxy.push(&resources(bad));
}
