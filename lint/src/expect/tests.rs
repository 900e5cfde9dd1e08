//! What each kind of expectation takes for true, and what it says when it is not.

use super::{Deployment, Report, parse, run};
use crate::files::Files;
use crate::linter::Input;
use crate::route::Known;
use crate::settings::Settings;
use crate::states::states;

/// Two versions of a shop behind a gateway; `old` has no sidecar and is refused by nobody; `api` calls what its
/// environment names.
const SHOP: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-1, namespace: shop}
spec:
  selector: {matchLabels: {app: web, version: v1}}
  template:
    metadata: {labels: {app: web, version: v1}}
    spec: {containers: [{name: web, image: web:1, ports: [{containerPort: 8080}], env: [{name: API, value: "http://api"}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-2, namespace: shop}
spec:
  selector: {matchLabels: {app: web, version: v2}}
  template:
    metadata: {labels: {app: web, version: v2}}
    spec: {containers: [{name: web, image: web:2, ports: [{containerPort: 8080}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api-2, namespace: shop}
spec:
  selector: {matchLabels: {app: api, version: v2}}
  template:
    metadata: {labels: {app: api, version: v2}}
    spec: {containers: [{name: api, image: api:2, ports: [{containerPort: 8080}]}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: shop}
spec:
  host: web.shop.svc.cluster.local
  subsets:
    - {name: one, labels: {version: v1}}
    - {name: two, labels: {version: v2}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: STRICT}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: ["*"]
  gateways: [gw]
  http:
    - match: [{uri: {prefix: /old}}]
      redirect: {uri: /new, redirectCode: 308}
    - match: [{uri: {prefix: /health}}]
      directResponse: {status: 204}
    - match: [{uri: {prefix: /gone}}]
      route: [{destination: {host: web.shop.svc.cluster.local, subset: three}}]
    - match: [{headers: {flag: {exact: "on"}}}]
      rewrite: {uri: /v2/}
      headers: {request: {set: {x-seen: "yes"}}}
      route: [{destination: {host: web.shop.svc.cluster.local, subset: two}}]
    - match: [{uri: {prefix: /}}]
      route:
        - {destination: {host: web.shop.svc.cluster.local, subset: one}, weight: 75}
        - {destination: {host: web.shop.svc.cluster.local, subset: two}, weight: 25}
      mirror: {host: web.shop.svc.cluster.local, subset: two}
"#;

fn report(expectations: &str) -> (Files, Result<Report, String>) {
    report_of(SHOP, expectations)
}

fn report_of(manifests: &str, expectations: &str) -> (Files, Result<Report, String>) {
    let settings = Settings::default();
    let mut files = Files::new();
    files.add("shop.yaml", manifests);
    let input = Input::read(&files, &settings);
    let config = input.mesh_config(&settings);
    let states = states(&files, &input.resources, &settings);
    let id = files.add("shop.routes.yaml", expectations);
    let wrong = |problems: Vec<super::Problem>| {
        let text: Vec<String> = problems
            .iter()
            .map(|problem| {
                let place = expectations.get(problem.span.range()).unwrap_or("?");
                format!("{}: {}", place.lines().next().unwrap_or(""), problem.message)
            })
            .collect();
        text.join("\n")
    };
    let report = parse(&files, id).and_then(|suite| {
        let deployment = Deployment {
            files: &files,
            settings: &settings,
            input: &input,
            states: &states,
            config: &config,
        };
        run(deployment, &[suite], None, &|_| Known::default())
    });
    (files, report.map_err(wrong))
}

/// What one expectation finds wrong: `claim: found`; empty when it is met.
#[track_caller]
fn found(expectation: &str) -> Vec<String> {
    found_in(SHOP, expectation)
}

#[track_caller]
fn found_in(manifests: &str, expectation: &str) -> Vec<String> {
    let text = format!("expect:\n  - name: it\n    {}\n", expectation.replace('\n', "\n    "));
    let (_, report) = report_of(manifests, &text);
    let report = report.unwrap();
    let failures = report.results().flat_map(|result| &result.failures);
    failures
        .map(|failure| format!("{}: {}", text.get(failure.span.range()).unwrap(), failure.found))
        .collect()
}

#[track_caller]
fn is_met(expectation: &str) {
    assert_eq!(found(expectation), Vec::<String>::new(), "{expectation}");
}

#[track_caller]
fn is_not_met(expectation: &str, why: &str) {
    let found = found(expectation);
    assert_eq!(found.len(), 1, "{expectation}\n{found:?}");
    assert!(found[0].contains(why), "{expectation}\n{found:?}");
}

const FLAG: &str = "request: {url: http://shop.example/a, headers: {flag: \"on\"}}\n";

#[test]
fn reaches_tests_pods_destination_and_the_request_as_it_is_sent() {
    for target in [
        "{workload: web-2}",
        "{workload: deployment/web-2}",
        "{workload: Deployment/shop/web-2, version: [v1, v2], subset: two}",
        "{host: web, port: 80}",
        "{host: web.shop.svc.cluster.local}",
        "{mtls: true}",
        "{mtls: strict}",
        "{path: /v2/a, headers: {x-seen: \"yes\", x-other: null}, authority: shop.example, method: get}",
    ] {
        is_met(&format!("{FLAG}reaches: {target}"));
    }
    for (target, why) in [
        ("{workload: web-1}", "answered by Deployment shop/web-2"),
        ("{workload: pod/web-2}", "answered by Deployment"),
        ("{workload: deployment/other/web-2}", "answered by Deployment"),
        ("{version: v1}", "version v2 at Deployment shop/web-2"),
        ("{subset: one}", "subset two"),
        ("{host: we}", "host web.shop.svc.cluster.local"),
        ("{port: 8080}", "port 80"),
        ("{mtls: permissive}", "mtls strict"),
        ("{mtls: false}", "mtls strict"),
        ("{path: /a}", "path /v2/a"),
        ("{headers: {x-seen: null}}", "header x-seen yes"),
        ("{headers: {x-other: a}}", "no header x-other"),
    ] {
        is_not_met(&format!("{FLAG}reaches: {target}"), why);
    }
}

#[test]
fn pods_that_do_not_answer_beside_others_that_do_are_no_answer() {
    // The second version listens elsewhere; `other` is behind neither subset.
    let text = SHOP.replacen(
        "image: web:2, ports: [{containerPort: 8080}]",
        "image: web:2, ports: [{containerPort: 9090}]",
        1,
    );
    let request = "request: {url: http://web/, from: deployment/shop/api-2}\n";
    for (claim, why) in [
        ("reaches: {host: web}", "nothing in `web-2` listens on port 8080"),
        ("only: {host: web}", "answered by Deployment shop/web-1, or 503 UF"),
        ("shares: {web-1: 100%}", "100 % answered by Deployment shop/web-1, or 503 UF"),
        ("flag: UF", "answered by Deployment shop/web-1, or 503 UF"),
        ("status: 503", "answered by Deployment shop/web-1, or 503 UF"),
        ("never: {workload: web-2}", "reaches Deployment shop/web-2"),
    ] {
        let found = found_in(&text, &format!("{request}{claim}"));
        assert!(found.len() == 1 && found[0].contains(why), "{claim}\n{found:?}");
    }
    // Pods that are scaled to 0 take no requests beside others.
    let text = SHOP.replacen("selector: {matchLabels: {app: web, version: v2}}", "replicas: 0", 1);
    for claim in
        ["reaches: {version: v1}", "only: {version: v1}", "never: {version: v2}", "shares: {v1: 100%}"]
    {
        assert_eq!(found_in(&text, &format!("{request}{claim}")), [""; 0], "{claim}");
    }
}

#[test]
fn reaches_is_about_all_of_the_requests() {
    is_not_met(
        "request: http://shop.example/\nreaches: {version: v1}",
        "reaches: 25 % of the requests: version v2",
    );
    is_met("request: http://shop.example/\nreaches: {version: [v1, v2]}");
}

#[test]
fn reaches_is_not_met_by_an_answer_of_the_proxy_or_none() {
    is_not_met("request: http://shop.example/old\nreaches: {version: v1}", "308 redirect");
    is_not_met("request: http://shop.example/health\nreaches: {version: v1}", "204 from the proxy");
    is_not_met("request: http://shop.example/gone\nreaches: {subset: three}", "503 NC");
}

#[test]
fn shares_are_exact_and_by_subset_version_workload_or_status() {
    for shares in ["{one: 75%, two: 25%}", "{v1: 3/4, v2: 1/4}", "{web-1: 75.0%}", "{v1: 75%, three: 0%}"] {
        is_met(&format!("request: http://shop.example/\nshares: {shares}"));
    }
    is_not_met(
        "request: http://shop.example/\nshares: {v1: 74.999999%}",
        "75 % (3/4) v1, 25 % (1/4) web.shop",
    );
    is_met("request: http://shop.example/gone\nshares: {503: 100%}");
    is_not_met("request: http://shop.example/gone\nshares: {three: 100%}", "100 % 503 NC");
}

#[test]
fn never_counts_copies_and_calls() {
    is_met(&format!("{FLAG}never: {{version: v1}}"));
    is_not_met(&format!("{FLAG}never: {{version: v2}}"), "reaches Deployment shop/web-2");
    is_met("request: http://shop.example/health\nnever: {version: v1}");
    // 1 % of the requests are enough, and so is the copy.
    is_not_met("request: http://shop.example/\nnever: {subset: two}", "25 % of the requests");
    // web-1 calls api-2.
    is_met("request: http://shop.example/\nnever: {workload: api-2}");
    is_not_met(
        "request: http://shop.example/\nfollow: true\nnever: {workload: api-2}",
        "reaches Deployment shop/api-2",
    );
}

#[test]
fn a_name_that_nothing_has_is_no_proof() {
    is_not_met(&format!("{FLAG}never: {{workload: web-l}}"), "nothing in any state has workload `web-l`");
    is_not_met(&format!("{FLAG}never: {{subset: on}}"), "did you mean `one`?");
    for (target, why) in [
        ("{workload: statefulset/web-1}", "`statefulset/web-1`; did you mean `deployment/web-1`?"),
        ("{workload: deployment/shopp/web-1}", "did you mean `deployment/shop/web-1`?"),
        ("{host: wbe}", "nothing in any state has host `wbe`; did you mean `web`?"),
        ("{host: web.shopp}", "nothing in any state has host `web.shopp`"),
    ] {
        is_not_met(&format!("{FLAG}never: {target}"), why);
    }
    for target in ["{workload: deployment/shop/web-1}", "{host: api}", "{host: api.shop.svc.cluster.local}"] {
        is_met(&format!("{FLAG}never: {target}"));
    }
    is_not_met(
        &format!("{FLAG}shares: {{two: 100%, onne: 0%}}"),
        "`onne` is no subset, version or workload of any state",
    );
    for key in ["one", "v1", "web-1", "\"503\"", "none"] {
        is_met(&format!("{FLAG}shares: {{two: 100%, {key}: 0%}}"));
    }
}

#[test]
fn a_version_is_reached_before_it_has_pods() {
    let subset = "- {name: two, labels: {version: v2}}";
    let text = SHOP.replacen(subset, &format!("{subset}\n    - {{name: three, labels: {{version: v3}}}}"), 1);
    let request = "request: http://shop.example/gone\n";
    for target in ["{version: v3}", "{version: [v3, v2], host: web}", "{subset: three}"] {
        let found = found_in(&text, &format!("{request}never: {target}"));
        assert!(
            found.len() == 1 && found[0].contains("reaches web.shop.svc.cluster.local:80, subset three"),
            "{found:?}"
        );
    }
    for target in ["{version: v2}", "{version: v3, workload: web-1}", "{version: v3, host: api}"] {
        assert_eq!(found_in(&text, &format!("{request}never: {target}")), [""; 0], "{target}");
    }
}

#[test]
fn only_needs_answers() {
    is_met(&format!("{FLAG}only: {{version: v2}}"));
    is_not_met("request: http://shop.example/\nonly: {version: v1}", "version v2");
    is_not_met("request: http://shop.example/gone\nonly: {host: web}", "503 NC");
    is_not_met("request: http://shop.example/old\nonly: {version: v1}", "no pods are reached at all");
}

#[test]
fn what_leaves_is_no_pod_of_any_version() {
    let leaves = "request: {url: http://google.example/, from: deployment/shop/web-1}\n";
    for target in ["{version: v1}", "{workload: web-1}", "{mtls: strict}", "{subset: one}", "{host: web}"] {
        is_not_met(&format!("{leaves}only: {target}"), "leaves: `google.example` is not in the mesh");
    }
}

#[test]
fn a_host_that_istio_does_not_complete_is_no_destination() {
    let text = SHOP.replacen("subset: three", "subset: one", 1).replacen(
        "{destination: {host: web.shop.svc.cluster.local, subset: one}}",
        "{destination: {host: web.shop, subset: one}}",
        1,
    );
    let request = "request: http://shop.example/gone\n";
    for claim in [
        "only: {version: v1, mtls: strict}",
        "reaches: {subset: one}",
        "shares: {one: 100%}",
        "reaches: {host: web}",
    ] {
        let found = found_in(&text, &format!("{request}{claim}"));
        assert!(found.len() == 1 && found[0].contains("503 NC"), "{claim}\n{found:?}");
    }
    assert_eq!(found_in(&text, &format!("{request}flag: NC")), [""; 0]);
}

#[test]
fn a_workload_can_be_asked_for_its_calls() {
    is_met("request: {from: deployment/shop/web-1}\nfollow: true\nonly: {version: v2}");
    is_not_met("request: {from: deployment/shop/web-1}\nfollow: true\nonly: {version: v1}", "version v2");
    is_not_met("request: {from: deployment/shop/web-2}\nfollow: true\nonly: {version: v2}", "which calls");
    is_not_met("request: {from: deployment/shop/web-9}\nfollow: true\nonly: {version: v2}", "no workload");
}

#[test]
fn proxies_answer_with_a_status_a_redirect_or_a_flag() {
    is_met("request: http://shop.example/health\nstatus: 204");
    is_not_met("request: http://shop.example/health\nstatus: [200, 404]", "204 from the proxy");
    is_not_met("request: http://shop.example/\nstatus: 200", "answered by");
    is_met("request: http://shop.example/old\nredirect: http://shop.example/new\nstatus: 308");
    is_not_met(
        "request: http://shop.example/old\nredirect: http://shop.example/",
        "redirect to http://shop.example/new",
    );
    is_met("request: http://shop.example/gone\nflag: NC\nstatus: 503");
    is_not_met("request: http://shop.example/gone\nflag: [NR, UH]", "503 NC");
}

#[test]
fn mirrors_are_copies() {
    is_met("request: http://shop.example/\nmirrors: {version: v2}");
    is_not_met("request: http://shop.example/\nmirrors: {version: v1}", "version v2");
    is_not_met("request: http://shop.example/health\nmirrors: {version: v1}", "nothing is copied");
}

#[test]
fn a_sweep_names_the_first_request_that_fails() {
    let (_, report) = report(
        "expect:\n  - name: it\n    request: {url: http://shop.example/}\n    sweep: {headers.flag: [null, \"on\", off], path: [/a, /b]}\n    \
         shares: {v1: 75%, v2: 25%}\n",
    );
    let report = report.unwrap();
    let result = report.results().next().unwrap();
    assert_eq!(result.requests, 6);
    let failure = &result.failures[0];
    assert_eq!(failure.request, "GET http://shop.example/a from gateway, flag: on");
    assert_eq!(failure.others, 1);
    assert!(failure.way.iter().any(|line| line.text.contains("http[3]")), "{:?}", failure.way);
}

#[test]
fn coverage_is_of_the_rules_that_were_gone_through() {
    let (_, report) = report("expect:\n  - {name: it, request: http://shop.example/gone, status: 503}\n");
    let coverage = report.unwrap().coverage;
    let used: Vec<bool> = coverage.rules.iter().map(|rule| rule.exercised).collect();
    assert_eq!(used, [false, false, true, false, false]);
    assert_eq!((coverage.exercised(), coverage.percent()), (1, Some(20.0)));
}

#[test]
fn what_cannot_be_understood_is_named_with_its_place() {
    for (text, wanted) in [
        ("expects: []", "expects: a file of expectations has no key `expects`; did you mean `expect`?"),
        ("expect:\n  - {request: http://a/, status: 1}", "request: an expectation has a `name`"),
        ("expect:\n  - {name: a, status: 404}", "a: an expectation has a `request`"),
        ("expect:\n  - {name: a, request: http://a/}", "a: this expectation expects nothing"),
        (
            "expect:\n  - {name: a, request: {ulr: http://a/}, flag: NR}",
            "ulr: a request has no key `ulr`; did you mean `url`?",
        ),
        ("expect:\n  - {name: a, request: http://a/, reaches: {verson: 1}}", "did you mean `version`?"),
        (
            "expect:\n  - {name: a, request: http://a/, reaches: {mtls: sometimes}}",
            "sometimes: `mtls` is one of",
        ),
        ("expect:\n  - {name: a, request: http://a/, reaches: {}}", "{}: `reaches` is empty"),
        (
            "expect:\n  - {name: a, request: http://a/, shares: {a: 60%, b: 60%}}",
            "these shares add up to 120 %",
        ),
        ("expect:\n  - {name: a, request: http://a/, shares: {a: half}}", "half: `half` is no share"),
        ("expect:\n  - {name: a, request: http://a/, status: 42}", "42: a status is a number"),
        ("expect:\n  - {name: a, request: http://a/, flag: NX}", "NX: `NX` is none of the response flags"),
        (
            "expect:\n  - {name: a, request: {url: http://a/, from: me}, flag: NR}",
            "me: from me: neither gateway",
        ),
        (
            "expect:\n  - {name: a, request: {url: http://a/, now: today}, flag: NR}",
            "today: `now` is an RFC 3339",
        ),
        (
            "expect:\n  - {name: a, request: {from: pod/a}, follow: true, flag: NR}",
            "flag: `flag` needs a `url`",
        ),
        ("expect:\n  - {name: a, request: {from: pod/a}, never: {version: 1}}", "add `follow: true`"),
        (
            "expect:\n  - {name: a, request: http://a/, sweep: {cookie.a: [1]}, flag: NR}",
            "a sweep has no `cookie.a`",
        ),
        (
            "expect:\n  - {name: a, request: http://a/, sweep: {path: []}, flag: NR}",
            "[]: path is an empty list",
        ),
        ("expect:\n  - {name: a, step: 2-go, request: http://a/, flag: NR}", "2-go: there is no step `2-go`"),
        ("expect: [", "[: unclosed bracket"),
    ] {
        let (_, report) = report(text);
        let error = report.expect_err(text);
        assert!(error.contains(wanted), "{text}\n{error}");
    }
}

#[test]
fn tests_of_istio_config_validator_compare_the_rule_as_it_is_written() {
    let case = |rest: &str| {
        let text = format!(
            "testCases:\n  - description: it\n    request: {{authority: [shop.example, other.example], method: [GET, POST], uri: [/x]}}\n    {rest}\n"
        );
        let (_, report) = report(&text);
        let report = report.unwrap();
        let result = report.results().next().unwrap();
        assert_eq!(result.requests, 4);
        result.failures.iter().map(|failure| (failure.found.clone(), failure.others)).collect::<Vec<_>>()
    };
    let one = "{destination: {host: web.shop.svc.cluster.local, subset: one}, weight: 75}";
    let two = "{weight: 25, destination: {host: web.shop.svc.cluster.local, subset: two}}";
    assert_eq!(case(&format!("wantMatch: true\n    route: [{one}, {two}]")), []);
    assert_eq!(case(&format!("wantMatch: false\n    route: [{one}]")), []);
    let failures = case(&format!("wantMatch: true\n    route: [{one}]"));
    assert!(failures.len() == 1 && failures[0].0.contains("\"two\"") && failures[0].1 == 3, "{failures:?}");
    assert_eq!(
        case("wantMatch: true\n    redirect: {uri: /new}"),
        [("the rule has no `redirect`".to_owned(), 3)]
    );
    assert_eq!(case("wantMatch: true\n    mirror: {host: web.shop.svc.cluster.local, subset: two}"), []);
}

#[test]
fn slips_in_tests_of_istio_config_validator_are_named() {
    for (text, wanted) in [
        (
            "testCases:\n  - {wantMatch: true, request: {authority: [a], method: [GET]}}",
            "the request has no `uri`",
        ),
        (
            "testCases:\n  - {wantMach: true, request: {authority: [a], method: [GET], uri: [/]}}",
            "did you mean `wantMatch`?",
        ),
        ("testCases: {}", "`testCases` is a list"),
        (
            "testCases:\n  - {wantMatch: true, request: {authority: [a], method: [GET], uri: [/], headers: [a, b]}}",
            "`headers` is a mapping of names to values",
        ),
        (
            "testCases:\n  - {wantMatch: true, request: {authority: [a], method: [GET], uri: [/], headers: a}}",
            "`headers` is a mapping of names to values",
        ),
    ] {
        let (_, report) = report(text);
        let error = report.expect_err(text);
        assert!(error.contains(wanted), "{text}\n{error}");
    }
}

#[test]
fn a_rule_whose_delegate_is_not_there_leaves_the_request_to_the_next() {
    let delegate = |name: &str, spec: &str| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: shop}}\nspec: {spec}\n"
        )
    };
    let rules = "  http:\n    - {match: [{uri: {prefix: /x}}], delegate: {name: leaf}}\n";
    let shop = SHOP.replacen("  http:\n", rules, 1);
    let leaf = "{http: [{match: [{uri: {prefix: /x/y}}], route: [{destination: {host: leaf}}]}]}";
    let lands = |manifests: &str, uri: &str, host: &str| {
        let text = format!(
            "testCases:\n  - description: it\n    wantMatch: true\n    request: {{authority: [shop.example], method: [GET], uri: [{uri}], headers: {{flag: \"on\"}}}}\n    route: [{{destination: {{{host}}}}}]\n"
        );
        let (_, report) = report_of(manifests, &text);
        report.unwrap().results().all(super::CaseReport::passed)
    };
    let next = "host: web.shop.svc.cluster.local, subset: two";
    assert!(lands(&format!("{shop}{}", delegate("leaf", leaf)), "/x/y", "host: leaf"));
    assert!(lands(&format!("{shop}{}", delegate("leaf", leaf)), "/x", next));
    assert!(lands(&shop, "/x/y", next));
    for hidden in
        [leaf.replace("{http", "{exportTo: [other], http"), leaf.replace("{http", "{hosts: [a], http")]
    {
        assert!(lands(&format!("{shop}{}", delegate("leaf", &hidden)), "/x/y", next), "{hidden}");
    }
    // Of two objects with one name the later is the one that is left.
    let other = leaf.replace("host: leaf", "host: other");
    let both = format!("{shop}{}{}", delegate("leaf", leaf), delegate("leaf", &other));
    assert!(lands(&both, "/x/y", "host: other"));
}

#[test]
fn shares_that_look_alike_are_told_apart() {
    let text = SHOP.replacen("weight: 75", "weight: 1", 1).replacen("weight: 25", "weight: 2", 1);
    let request = "request: http://shop.example/\n";
    assert_eq!(
        found_in(&text, &format!("{request}shares: {{one: 33.333%, two: 66.667%}}")),
        ["shares: 33.333 % (1/3) one, 66.667 % (2/3) two"]
    );
    let (_, report) = report_of(
        &text,
        "expect: [{name: a, request: http://shop.example/, shares: {one: 33.333%, two: 66.667%}}]",
    );
    let report = report.unwrap();
    let expected = &report.results().next().unwrap().failures[0].expected;
    assert_eq!(expected, "33.333 % (33333/100000) one, 66.667 % (66667/100000) two");
    assert_eq!(
        found_in(&text, &format!("{request}shares: {{one: 50%, two: 50%}}")),
        ["shares: 33.333 % one, 66.667 % two"]
    );
}
