//! The bindings by what they answer.

use super::*;

const ROUTE: &str = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop}\nspec:\n  \
                     hosts: [shop]\n  http:\n  - route:\n    - destination: {host: shop, subset: v2}\n      \
                     weight: 50\n  - route:\n    - destination: {host: shop}\n";

fn texts(files: &[(&str, &str)]) -> Texts {
    let mut texts = Texts::default();
    for (name, text) in files {
        texts.set(name, (*text).to_owned());
    }
    texts
}

fn rules(texts: &Texts) -> Vec<String> {
    let rules = |report: &json::Output<'_>| report.diagnostics.iter().map(|d| d.rule.to_owned()).collect();
    texts.lint(&LintOptions::default(), rules).unwrap()
}

#[test]
fn files_can_be_replaced_and_removed() {
    let mut texts = texts(&[("./a.yaml", "a: 1\na: 2\n")]);
    assert_eq!(rules(&texts), ["duplicate-key"]);
    texts.set("a.yaml", "a: 1\n".into());
    assert_eq!(rules(&texts), [""; 0]);
    assert_eq!(texts.names().collect::<Vec<_>>(), ["a.yaml"]);
    assert!(texts.remove("./a.yaml"));
    assert!(!texts.remove("a.yaml"));
}

#[test]
fn settings_are_a_file_among_the_files() {
    let duplicate = ("shop/a.yaml", "a: 1\na: 2\n");
    assert_eq!(rules(&texts(&[duplicate, ("shop/coalmine.yaml", "rules: {duplicate-key: off}")])), [""; 0]);
    assert_eq!(rules(&texts(&[duplicate, ("eu/coalmine.yaml", "rules: {duplicate-key: off}")])).len(), 1);
    let broken = texts(&[duplicate, ("shop/coalmine.yaml", "rules: {duplicate: off}")]);
    let error = broken.lint(&LintOptions::default(), |_| ()).unwrap_err();
    assert!(error.starts_with("shop/coalmine.yaml: unknown rule `duplicate`"), "{error}");
}

#[test]
fn one_finding_is_fixed_and_a_stale_one_is_refused() {
    let texts = texts(&[("route.yaml", ROUTE)]);
    for units in [WireUnits::Scalars, WireUnits::Utf16] {
        let finding: Finding = texts
            .lint(&LintOptions { units }, |report| {
                let fixable = report.diagnostics.iter().find(|d| d.fix.is_some()).unwrap();
                serde_json::from_value(serde_json::to_value(fixable).unwrap()).unwrap()
            })
            .unwrap();
        let mut options = FixOptions { finding: Some(finding), units, ..FixOptions::default() };
        let fixed = texts.fix(&options).unwrap();
        assert_eq!((fixed.applied, fixed.files.len()), (1, 1));
        assert_ne!(fixed.files[0].text, ROUTE);
        options.finding.as_mut().unwrap().range.start.offset += 1;
        assert!(texts.fix(&options).is_err());
    }
}

fn voting() -> Texts {
    let mut texts = Texts::default();
    add_folder(std::path::Path::new("../manifests/voting"), "", &mut texts);
    texts
}

fn add_folder(folder: &std::path::Path, prefix: &str, texts: &mut Texts) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.file_type().unwrap().is_dir() {
            true => add_folder(&entry.path(), &format!("{name}/"), texts),
            false => texts.set(&name, std::fs::read_to_string(entry.path()).unwrap()),
        }
    }
}

#[test]
fn steps_are_those_of_the_deployment_of_a_file() {
    let mut texts = voting();
    let steps = ["1-deploy", "2-update", "3-canary", "4-finalize", "5-clean-up"];
    assert_eq!(texts.steps(None).unwrap(), steps);
    texts.set("other/coalmine.yaml", "namespace: other\n".into());
    texts.set("other/a.yaml", ROUTE.into());
    assert_eq!(texts.steps(Some("other/a.yaml")).unwrap(), [""; 0]);
    assert_eq!(texts.steps(Some("other/coalmine.yaml")).unwrap(), [""; 0]);
    assert_eq!(texts.steps(Some("coalmine.yaml")).unwrap(), steps);
    let options = GraphOptions { step: Some("6".into()), ..GraphOptions::default() };
    let error = texts.draw("svg", &options).unwrap_err();
    assert!(error.starts_with("there is no step `6`; the steps are 1-deploy, 2-update"), "{error}");
}

#[test]
fn a_request_takes_nodes_and_edges_that_are_in_the_graph() {
    let texts = voting();
    let step = Some("3-canary".to_owned());
    let taken = |cookie: &str| {
        let question = RouteQuestion {
            step: step.clone(),
            to: "http://voting.example/".into(),
            cookie: Some(cookie.into()),
            follow: true,
            ..RouteQuestion::default()
        };
        texts.route(&question, 0, |followed| followed.taken.clone()).unwrap()
    };
    let canary = taken("featureflag=on");
    let workload = |name: &str| format!("workload/Deployment/voting/{name}");
    for name in ["voting-app-2-0", "voting-analytics-2-0", "voting-storage-2-0"] {
        assert!(canary.contains(&workload(name)), "{name}: {canary:#?}");
    }
    assert!(!canary.iter().any(|id| id.contains("1-0") || id.starts_with("host/voting-app.")), "{canary:#?}");
    assert!(taken("").contains(&workload("voting-app-1-0")));
    let options = GraphOptions { step, ..GraphOptions::default() };
    let known: Vec<String> = texts
        .graph(&options, |graph, _, _| {
            let nodes = graph.nodes.iter().map(|node| node.id.0.clone());
            nodes.chain(graph.edges.iter().map(|edge| edge.id.0.clone())).collect()
        })
        .unwrap();
    for id in canary {
        assert!(known.contains(&id), "{id} is not in the graph: {known:#?}");
    }
}

/// What is asked, where it fails, and the picture of it.
fn way(texts: &Texts, from: Option<&str>, to: &str) -> (Vec<String>, Vec<String>, String) {
    let question = RouteQuestion {
        from: from.map(str::to_owned),
        to: to.into(),
        follow: true,
        ..RouteQuestion::default()
    };
    let (highlight, failed) =
        texts.route(&question, 0, |followed| (followed.taken.clone(), followed.failed.clone())).unwrap();
    let options =
        GraphOptions { highlight: highlight.clone(), failed: failed.clone(), ..GraphOptions::default() };
    let known: Vec<String> = texts
        .graph(&options, |graph, _, _| {
            let nodes = graph.nodes.iter().map(|node| node.id.0.clone());
            nodes.chain(graph.edges.iter().map(|edge| edge.id.0.clone())).collect()
        })
        .unwrap();
    for id in highlight.iter().chain(&failed) {
        assert!(known.contains(id), "{id} is not in the graph: {known:#?}");
    }
    assert!(!highlight.iter().any(|id| failed.contains(id)), "{highlight:?} {failed:?}");
    let svg = texts.draw("svg", &options).unwrap();
    (highlight, failed, svg)
}

const SERVED: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: shop, namespace: shop}\nspec: {selector: \
                      {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}]}\n---\napiVersion: \
                      apps/v1\nkind: Deployment\nmetadata: {name: shop-1, namespace: shop}\nspec:\n  selector: \
                      {matchLabels: {app: shop}}\n  template:\n    metadata: {labels: {app: shop, version: \
                      \"1\"}}\n    spec: {containers: [{name: c, ports: [{containerPort: 8080}]}]}\n";

#[test]
fn a_request_that_nothing_tells_of_is_drawn_too() {
    let (taken, failed, svg) = way(&texts(&[("a.yaml", SERVED)]), Some("deploy/shop/shop-1"), "http://shop/");
    assert_eq!(failed, [""; 0]);
    let call = "workload/Deployment/shop/shop-1 -> host/shop.shop.svc.cluster.local";
    assert!(taken.iter().any(|id| id == call), "{taken:#?}");
    assert!(svg.contains("workload on\"") && !svg.contains(" failed"), "{svg}");
}

#[test]
fn where_a_request_fails_is_told_apart_from_where_it_goes() {
    let call = "workload/Deployment/shop/shop-1 -> host/shop.shop.svc.cluster.local";
    let broken = SERVED.replace("targetPort: 8080", "targetPort: 9090").replace(
        "spec: {containers: [{name: c, ports: [{containerPort: 8080}]}]}",
        "spec: {containers: [{name: c, ports: [{name: other, containerPort: 8080}]}]}",
    );
    let broken = format!("{broken}---\n{}", SERVED.replace("shop-1", "asker").replace("shop", "ask"));
    let asker = texts(&[("a.yaml", &broken), ("coalmine.yaml", "assume: closed\n")]);
    let (taken, failed, svg) = way(&asker, Some("deployment/ask/asker"), "http://shop.shop/");
    let call = call.replace("shop/shop-1", "ask/asker");
    assert!(failed.contains(&call) && failed.iter().any(|id| id.ends_with("/shop-1")), "{failed:#?}");
    assert_eq!(taken, ["workload/Deployment/ask/asker"]);
    assert!(svg.contains("<title>the request fails here</title>"), "{svg}");
    // A name that nobody defines.
    let (_, failed, svg) = way(&asker, Some("deployment/ask/asker"), "http://nobody/");
    assert!(failed.iter().any(|id| id.contains(" -> host/nobody")), "{failed:#?}");
    assert!(svg.contains("<title>the request fails here</title>"), "{svg}");
}

#[test]
fn a_gateway_that_has_no_route_fails_itself() {
    let gateway = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: shop}\nspec: \
                   {selector: {istio: ingress}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: \
                   ['*']}]}\n";
    let (taken, failed, _) = way(&texts(&[("a.yaml", gateway)]), None, "http://no.example/");
    assert_eq!(taken, ["client/outside"]);
    assert!(failed.iter().any(|id| id.starts_with("client/outside -> gateway/")), "{failed:#?}");
}

#[test]
fn the_command_lines_words_are_not_those_of_a_field() {
    let question = RouteQuestion { to: "http://no.example:81/".into(), ..RouteQuestion::default() };
    let error = voting().route(&question, 0, |_| ()).unwrap_err();
    assert!(error.contains("with `from`") && !error.contains("--"), "{error}");
}

#[test]
fn a_name_that_is_no_file_is_not_another_deployment() {
    let files = [("a/coalmine.yaml", ""), ("a/x.yaml", SERVED), ("b/coalmine.yaml", ""), ("b/notes.txt", "")];
    let mut texts = texts(&files);
    texts.set("b/y.yaml", SERVED.replace("shop", "other"));
    let first = |file: &str| {
        let options = GraphOptions { file: Some(file.into()), ..GraphOptions::default() };
        texts.graph(&options, |graph, _, _| graph.nodes.first().map(|node| node.id.0.clone()))
    };
    for name in ["a", "a/", "./a/x.yaml", "a/coalmine.yaml"] {
        assert!(first(name).unwrap().unwrap().contains("shop"), "{name}");
    }
    for name in ["b", "b/y.yaml", "b/notes.txt", "b/coalmine.yaml"] {
        assert!(first(name).unwrap().unwrap().contains("other"), "{name}");
    }
    assert_eq!(first("b/typo.yaml").unwrap_err(), "there is no file `b/typo.yaml`");
    assert!(first("c").is_err() && texts.steps(Some("c")).is_err());
}

#[test]
fn settings_that_govern_nothing_are_no_other_deployment() {
    let texts = texts(&[("a/coalmine.yaml", ""), ("a/x.yaml", SERVED), ("b/coalmine.yaml", "")]);
    let options = GraphOptions { file: Some("b/coalmine.yaml".into()), ..GraphOptions::default() };
    assert_eq!(texts.graph(&options, |graph, _, _| graph.nodes.len()).unwrap(), 0);
}

#[test]
fn options_that_are_null_are_left_out_and_arrays_are_none() {
    let read = |json: &str| options::<GraphOptions>("graph options", json);
    let all = read(r#"{"file":null,"step":null,"changes":null,"title":null,"highlight":null,"units":null}"#);
    assert!(!all.unwrap().changes);
    assert_eq!(read(r#"["a"]"#).unwrap_err(), "graph options: not a plain object");
    assert!(read(r#"{"fil":"a"}"#).unwrap_err().starts_with("graph options: unknown field `fil`"));
}

#[test]
fn the_filter_decides_by_the_shipped_configuration() {
    let config = include_str!("../../../manifests/voting-flag/istio-ingress/20-coalmine-filter.yaml");
    let variant = |cookie: &str| {
        let question = DecideQuestion { cookie: Some(cookie.into()), ..DecideQuestion::default() };
        let json = decide(config, &question, 0, &mut || [7; 16], |answer| serde_json::to_value(answer));
        json.unwrap().unwrap()["flags"][0]["reason"].clone()
    };
    assert_eq!(variant("theme=dark; featureflag=on"), "optin");
    assert_ne!(variant("theme=dark"), "optin");
    let error = decide(
        "subject: []",
        &DecideQuestion { subject: Some("ann".into()), ..DecideQuestion::default() },
        0,
        &mut || [7; 16],
        |_| (),
    );
    assert_eq!(error.unwrap_err(), "this configuration has no subject");
}

#[test]
fn an_unknown_rule_has_a_suggestion() {
    assert_eq!(
        explain("unknown-subst").err().unwrap(),
        "there is no rule `unknown-subst`; did you mean `unknown-subset`?"
    );
    assert!(explain("unknown-subset").unwrap().markdown.contains("## What it does"));
}
