//! Whatever the manifests and the request are.

use proptest::prelude::*;

use super::super::follow;
use super::{
    CLIENTS, Known, PLUGIN, Request, Share, Source, V1, V2, from_gateway, island, object, shop, trace,
};
use crate::Files;
use crate::mesh::config::MeshConfig;
use crate::mesh::{Assume, Mesh};
use crate::resource::lower;
use crate::yaml::{Limits, parse};

fn manifest() -> String {
    let rules = format!(
        "- match: [{{uri: {{prefix: /a}}, headers: {{x-canary: {{exact: canary}}}}}}]\n  fault: {{abort: \
         {{httpStatus: 503, percentage: {{value: 1.5}}}}}}\n  {V2}\n- redirect: {{uri: /x}}\n  match: \
         [{{method: {{exact: PUT}}}}]\n- mirror: {{host: web}}\n  rewrite: {{uri: /z}}\n  {V1}"
    );
    let plugin = format!("{PLUGIN}, rollout: {{canary: 10}}}}]\n  subject: [{{header: x-user}}]");
    let entry = object("ServiceEntry", "ext", "hosts: ['*.ext']\nports: [{number: 80, protocol: HTTP}]");
    shop(&rules) + &object("WasmPlugin", "coalmine", &plugin) + &island(CLIENTS) + &entry
}

/// A manifest in which some lines are gone, doubled or hold other words.
fn mutated() -> impl Strategy<Value = String> {
    let edit = (any::<prop::sample::Index>(), 0..4usize, any::<prop::sample::Index>());
    prop::collection::vec(edit, 0..6).prop_map(|edits| {
        let mut lines: Vec<String> = manifest().lines().map(str::to_owned).collect();
        for (at, what, other) in edits {
            let (at, other) = (at.index(lines.len()), other.index(lines.len()));
            match what {
                0 => lines[at] = String::new(),
                1 => lines[at] = lines[other].clone(),
                2 => lines[at] = lines[at].replace(|c: char| c.is_ascii_digit(), "9"),
                _ => lines[at] = lines[at].replace("web", "*").replace("v1", "v2"),
            }
        }
        lines.join("\n")
    })
}

fn request() -> impl Strategy<Value = Request> {
    let from = prop_oneof![
        Just(Source::AnyGateway),
        Just(Source::Gateway { namespace: "shop".to_owned(), name: "gw".to_owned() }),
        prop::sample::select(vec!["cat-v1", "cat-v2", "web-v1", "dog-v3"]).prop_map(|name| {
            Source::Workload {
                kind: "Deployment".to_owned(),
                namespace: "shop".to_owned(),
                name: name.to_owned(),
            }
        }),
    ];
    let scheme = prop::sample::select(vec!["http", "https", "tcp", "tls"]);
    let host = prop::sample::select(vec![
        "web",
        "web.shop",
        "a.ext",
        "web-0.web",
        "10.0.0.1",
        "[::1]",
        "é.example",
        "x",
    ]);
    let port = prop::sample::select(vec![80u32, 443, 8080, 9]);
    (from, scheme, host, port, "/[ -~é?&=%]{0,12}", "[a-z:-]{1,10}", "[ -~é]{0,12}").prop_map(
        |(from, scheme, host, port, path, name, value)| {
            let mut request = Request::parse(&format!("{scheme}://{host}:{port}"), from).unwrap();
            request.path = path;
            request.headers = vec![(name, value.clone()), ("x-user".to_owned(), value.clone())];
            request.add_cookie(&value);
            request
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever the manifests and the request are, it is followed to the end, and the shares are all of it.
    #[test]
    fn shares_are_the_whole_and_nothing_panics(text in mutated(), request in request()) {
        let mut files = Files::new();
        let id = files.add("test.yaml", text.as_str());
        let (documents, _) = parse(id, files.get(id).unwrap(), Limits::default());
        let resources = lower(&documents, |_| "shop");
        let config = MeshConfig::default();
        let mesh = Mesh::new(resources.iter().collect(), &config, Assume::Auto);
        if let Ok(found) = trace(&mesh, &request, &Known::default()) {
            let sum = found.outcomes().fold(Share::new(0, 1), |sum, outcome| sum.plus(outcome.share));
            prop_assert_eq!(sum, Share::ALL);
            let paths = found.paths.iter().fold(Share::new(0, 1), |sum, path| sum.plus(path.share));
            prop_assert_eq!(paths, Share::ALL);
            let _ = follow(&mesh, &found, &Known::default());
        }
    }
}

/// The mutations start from something that is followed in full.
#[test]
fn the_manifest_before_mutation_answers() {
    super::with(&manifest(), |mesh| {
        assert!(trace(mesh, &from_gateway("http://a/"), &Known::default()).is_ok());
    });
}
