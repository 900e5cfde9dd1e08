//! Answers about places in small meshes. `$0` in a text is the cursor; `#- name` begins another file.

use super::*;
use crate::diagnostic::Diagnostic;
use crate::files::Files;
use crate::settings::Settings;
use crate::yaml::{Limits, parse};

const SERVICES: &str = "\
#- services.yaml
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec:
  selector: {app: reviews}
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: admin, port: 9090, targetPort: admin}
---
apiVersion: v1
kind: Service
metadata: {name: ratings, namespace: other}
spec: {ports: [{port: 81}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside, namespace: shop}
spec: {hosts: [api.example.com], ports: [{number: 443, name: https, protocol: HTTPS}]}
#- pods.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: reviews-v1, namespace: shop}
spec:
  template:
    metadata: {labels: {app: reviews, version: v1}}
    spec: {containers: [{name: app, ports: [{name: admin, containerPort: 9000}, {containerPort: 8080}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: reviews-v2, namespace: shop}
spec:
  template:
    metadata: {labels: {app: reviews, version: v2}}
    spec: {containers: [{name: app}]}
#- rule.yaml
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop}
spec:
  host: reviews
  subsets:
  - {name: stable, labels: {version: v1}}
  - {name: canary, labels: {version: v2}}
#- gateway.yaml
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: public, namespace: shop}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example.com]}
";

const ROUTE: &str = "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [reviews, shop.example.com]
  gateways: [mesh, public]
  http:
  - name: main
    match: [{sourceLabels: {app: reviews}}]
    route:
    - destination:
        host: reviews
        subset: stable
        port: {number: 80}
";

struct Scene {
    deployment: Incremental,
    file: FileId,
    offset: u32,
}

/// The services and more, with one text that has the cursor.
fn scene(text: &str) -> Scene {
    scene_with(SERVICES, text, Settings::default())
}

fn scene_with(others: &str, text: &str, settings: Settings) -> Scene {
    scene_named("here.yaml", others, text, settings)
}

fn scene_named(name: &str, others: &str, text: &str, settings: Settings) -> Scene {
    let own = name;
    let mut files = Files::new();
    for part in others.split("#- ").filter(|part| !part.is_empty()) {
        let (name, text) = part.split_once('\n').unwrap();
        files.add(name, text);
    }
    let offset = u32::try_from(text.find("$0").expect("a cursor")).unwrap();
    let file = files.add(own, text.replacen("$0", "", 1));
    Scene { deployment: Incremental::new(files, settings), file, offset }
}

/// Puts the cursor into the first occurrence of a text.
fn at(text: &str, wanted: &str) -> String {
    let place = text.find(wanted).unwrap_or_else(|| panic!("no `{wanted}`"));
    format!("{}$0{}", &text[..=place], &text[place + 1..])
}

/// `file:text` of each place.
fn shown(scene: &Scene, spans: &[Span]) -> Vec<String> {
    let files = scene.deployment.files();
    let one = |span: &Span| {
        let name = files.name(span.file).trim_end_matches(".yaml");
        let line = files.text(span.file)[..span.start as usize].matches('\n').count() + 1;
        format!("{name}:{line} {}", &files.text(span.file)[span.range()])
    };
    spans.iter().map(one).collect()
}

#[track_caller]
fn leads_to(text: &str, expected: &[&str]) {
    let scene = scene(text);
    let found = definitions(&scene.deployment, scene.file, scene.offset);
    assert_eq!(shown(&scene, &found), expected);
}

#[track_caller]
fn is_used_at(text: &str, expected: &[&str]) {
    let scene = scene(text);
    let found = references(&scene.deployment, scene.file, scene.offset, true);
    assert_eq!(shown(&scene, &found), expected);
}

#[test]
fn a_host_leads_to_its_service_and_the_service_to_its_pods() {
    leads_to(&at(ROUTE, "reviews\n        subset"), &["services:3 reviews"]);
    leads_to(&at(ROUTE, "reviews, shop"), &["services:3 reviews"]);
    let external = ROUTE.replace("host: reviews", "host: api.example.com");
    leads_to(&at(&external, "api.example.com"), &["services:18 api.example.com"]);
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: o$0wn, namespace: shop}\n\
                   spec: {selector: {version: v2}, ports: [{port: 1}]}\n";
    leads_to(service, &["pods:11 reviews-v2"]);
    leads_to(&at(ROUTE, "route:"), &[]);
}

#[test]
fn a_name_cut_short_leads_to_what_it_was_meant_to_be() {
    let partial = ROUTE.replace("host: reviews", "host: reviews.shop");
    leads_to(&at(&partial, "reviews.shop"), &["services:3 reviews"]);
}

#[test]
fn a_subset_leads_to_its_destination_rule_and_from_there_to_its_pods() {
    leads_to(&at(ROUTE, "stable"), &["rule:7 stable"]);
    let rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
                metadata: {name: reviews, namespace: shop}\n\
                spec:\n  host: reviews\n  subsets:\n  - {name: ca$0nary, labels: {version: v2}}\n";
    let scene = scene_with(SERVICES.split("#- rule").next().unwrap(), rule, Settings::default());
    let found = definitions(&scene.deployment, scene.file, scene.offset);
    assert_eq!(shown(&scene, &found), ["pods:11 reviews-v2"]);
}

#[test]
fn ports_gateways_and_selectors_lead_to_what_they_choose() {
    leads_to(&at(ROUTE, "80}"), &["services:7 80"]);
    leads_to(&at(ROUTE, "public"), &["gateway:3 public"]);
    leads_to(&at(ROUTE, "mesh, public"), &[]);
    leads_to(&at(ROUTE, "reviews}}]"), &["pods:3 reviews-v1", "pods:11 reviews-v2"]);
    let policy = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n\
                  metadata: {name: p, namespace: shop}\nspec: {selector: {matchLabels: {version: v$02}}}\n";
    leads_to(policy, &["pods:11 reviews-v2"]);
    let scaler = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\n\
                  metadata: {name: h, namespace: shop}\n\
                  spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: reviews$0-v1}}\n";
    leads_to(scaler, &["pods:3 reviews-v1"]);
}

#[test]
fn every_use_of_a_name_is_found_and_uses_of_others_are_not() {
    is_used_at(&at(ROUTE, "stable"), &["rule:7 stable", "here:13 stable"]);
    is_used_at(
        &at(ROUTE, "reviews\n        subset"),
        &["services:3 reviews", "rule:5 reviews", "here:5 reviews", "here:12 reviews"],
    );
    is_used_at(&at(ROUTE, "public"), &["gateway:3 public", "here:6 public"]);
    is_used_at(&at(ROUTE, "80}"), &["services:7 80", "here:14 80"]);
    let pods = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: m$0ine, namespace: shop}\n\
                spec: {template: {metadata: {labels: {app: reviews, version: v2}}}}\n";
    is_used_at(pods, &["services:3 reviews", "rule:8 canary", "here:3 mine"]);
    let scene = scene(&at(ROUTE, "stable"));
    let found = references(&scene.deployment, scene.file, scene.offset, false);
    assert_eq!(shown(&scene, &found), ["here:13 stable"], "the definition was not asked for");
}

#[test]
fn a_place_is_asked_about_in_the_state_that_has_it() {
    let rule = |name: &str, subset: &str| {
        format!(
            "#- {name}\napiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
             metadata: {{name: reviews, namespace: shop}}\n\
             spec: {{host: reviews, subsets: [{{name: {subset}, labels: {{version: v1}}}}]}}\n"
        )
    };
    let others = format!("{}{}", rule("1/rule.yaml", "old"), rule("2/rule.yaml", "new"));
    let settings = Settings::parse("rollout: [\"1\", here.yaml, \"2\"]", "").unwrap();
    let scene = scene_with(&others, &at(&ROUTE.replace("stable", "new"), "new"), settings.clone());
    let found = definitions(&scene.deployment, scene.file, scene.offset);
    assert_eq!(shown(&scene, &found), ["2/rule:4 new"]);
    let scene = scene_with(&others, &at(&ROUTE.replace("stable", "old"), "old"), settings);
    let found = definitions(&scene.deployment, scene.file, scene.offset);
    assert_eq!(shown(&scene, &found), [""; 0], "what a later step replaces is gone");
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    let scene = scene(text);
    let hover = hover(&scene.deployment, scene.file, scene.offset).expect("something to say");
    for part in parts {
        assert!(hover.text.contains(part), "`{part}` is not in:\n{}", hover.text);
    }
    assert!(hover.span.contains(Span::new(scene.file, scene.offset, scene.offset)));
}

#[test]
fn hovering_says_what_a_name_resolves_to() {
    says(
        &at(ROUTE, "reviews\n        subset"),
        &[
            "`reviews.shop.svc.cluster.local`: Service `shop/reviews`",
            "80 (http)",
            "Deployment `reviews-v1`, version v1",
            "DestinationRule `shop/reviews`: subsets stable, canary",
            "routed by VirtualService `shop/reviews`",
        ],
    );
    says(&at(ROUTE, "stable"), &["labels `version=v1`", "Deployment `reviews-v1`, version v1"]);
    says(
        &at(ROUTE, "80}"),
        &["port 80 `http`", "HTTP", "target port 8080", "Deployment `reviews-v1` answers at 8080"],
    );
    says(&at(ROUTE, "public"), &["Gateway `shop/public`", "80 HTTP: shop.example.com", "no pods"]);
    says(&at(ROUTE, "reviews}}]"), &["`app=reviews` selects in the workspace", "`reviews-v2`, version v2"]);
    let unknown = ROUTE.replace("stable", "beta");
    says(&at(&unknown, "beta"), &["no DestinationRule of the workspace gives", "a subset `beta`"]);
}

#[test]
fn hovering_over_a_key_says_what_it_holds_and_over_a_rule_what_it_finds() {
    says(&at(ROUTE, "subset:"), &["`subset`: string"]);
    says(&at(ROUTE, "hosts:"), &["`hosts`: list of string"]);
    let ignored = format!("# coalmine: ignore[unknown-subset] comes later\n{ROUTE}");
    says(
        &at(&ignored, "known-subset"),
        &["**unknown-subset** (error)", "Use instead:\n```yaml\n", "/unknown-subset.md"],
    );
    let scene = scene(&at(&format!("# unknown-subset is a rule\n{ROUTE}"), "known-subset"));
    assert_eq!(hover(&scene.deployment, scene.file, scene.offset), None, "no comment of ours");
}

/// Labels of what could stand at the cursor.
fn offered(text: &str) -> Vec<String> {
    let scene = scene(text);
    let found = completion(&scene.deployment, scene.file, scene.offset);
    found.map_or(Vec::new(), |found| found.items.into_iter().map(|item| item.label).collect())
}

/// The text with the first item of a label chosen.
#[track_caller]
fn chosen(text: &str, label: &str) -> String {
    let scene = scene(text);
    let found = completion(&scene.deployment, scene.file, scene.offset).expect("something to choose from");
    let item = found.items.iter().find(|item| item.label == label);
    let item = item.unwrap_or_else(|| panic!("no {label} in {:?}", found.items));
    let mut out = scene.deployment.files().text(scene.file).to_owned();
    out.replace_range(found.span.range(), &item.text);
    out
}

#[test]
fn names_that_exist_are_offered_where_the_field_takes_one() {
    let hosts = ["reviews", "api.example.com", "ratings.other.svc.cluster.local"];
    let mut sorted = offered(&ROUTE.replace("host: reviews", "host: $0"));
    assert_eq!(sorted.remove(0), "api.example.com");
    assert_eq!(sorted, ["reviews", "ratings.other.svc.cluster.local"], "near ones first");
    for (text, expected) in [
        (ROUTE.replace("hosts: [reviews,", "hosts: [rev$0,"), &hosts[..]),
        (ROUTE.replace("subset: stable", "subset: $0"), &["stable", "canary"]),
        (ROUTE.replace("subset: stable", "subset: can$0"), &["stable", "canary"]),
        (ROUTE.replace("subset: stable", "subset: \"$0\""), &["stable", "canary"]),
        (ROUTE.replace("number: 80", "number: $0"), &["80", "9090"]),
        (ROUTE.replace("[mesh, public]", "[mesh, $0]"), &["public", "mesh"]),
        (ROUTE.replace("[{sourceLabels: {app: reviews}}]", "[{sourceLabels: {app: $0}}]"), &["reviews"]),
        (ROUTE.replace("[{sourceLabels: {app: reviews}}]", "[{sourceLabels: {$0}}]"), &["app", "version"]),
        (ROUTE.replace("namespace: shop", "namespace: $0"), &["other", "shop"]),
    ] {
        let mut found = offered(&text);
        let mut expected: Vec<&str> = expected.to_vec();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn labels_and_target_ports_are_those_of_the_pods() {
    let rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
                metadata: {name: r, namespace: shop}\nspec:\n  host: reviews\n  subsets:\n  - name: a\n    labels:\n";
    assert_eq!(offered(&format!("{rule}      version: $0\n")), ["v1", "v2"]);
    assert_eq!(offered(&format!("{rule}      ver$0\n")), ["app", "version"]);
    assert_eq!(chosen(&format!("{rule}      ver$0\n"), "version"), format!("{rule}      version:\n"));
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: shop}\n\
                   spec:\n  selector: {app: reviews}\n  ports:\n  - port: 1\n    targetPort: $0\n";
    assert_eq!(offered(service), ["admin", "9000", "8080"]);
}

#[test]
fn fields_are_offered_while_the_line_is_not_yet_yaml() {
    let route = |end: &str| format!("{}{end}", ROUTE.split("        subset").next().unwrap());
    assert_eq!(offered(&route("        $0\n")), ["port", "subset"], "what is there already is left out");
    assert_eq!(chosen(&route("        sub$0\n"), "subset"), route("        subset:\n"));
    assert_eq!(chosen(&route("        sub$0: v1\n"), "subset"), route("        subset: v1\n"));
    assert_eq!(chosen(&route("        sub$0:\n"), "subset"), route("        subset:\n"));
    let flow = ROUTE.replace("{sourceLabels: {app: reviews}}", "{sourceLabels: {$0}}");
    assert_eq!(chosen(&flow, "app"), flow.replace("$0", "app: "));
    let rule = |end: &str| format!("{}{end}", ROUTE.split("    match").next().unwrap());
    assert!(offered(&rule("    r$0")).contains(&"route".to_owned()));
    assert!(offered(&rule("    route:\n    - $0")).contains(&"destination".to_owned()));
    assert_eq!(offered(&rule("    # ro$0ute")), [""; 0]);
}

/// Pods whose labels YAML would read as numbers and booleans, and others of another host.
const VERSIONS: &str = "\
#- app.yaml
apiVersion: v1
kind: Service
metadata: {name: app, namespace: shop}
spec: {selector: {app: app}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: shop}
spec: {template: {metadata: {labels: {app: app, version: '1.0', sidecar.istio.io/inject: 'true'}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: analytics, namespace: shop}
spec: {template: {metadata: {labels: {app: analytics, version: '1.1', tier: back}}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: app, namespace: shop}
spec: {host: app, subsets: [{name: v1-0, labels: {version: '1.0'}}]}
";

/// The text with the first item of a label chosen.
#[track_caller]
fn chosen_in(name: &str, text: &str, label: &str) -> String {
    let scene = scene_named(name, VERSIONS, text, Settings::default());
    let found = completion(&scene.deployment, scene.file, scene.offset).expect("something to choose from");
    let item = found.items.iter().find(|item| item.label == label);
    let item = item.unwrap_or_else(|| panic!("no {label} in {:?}", found.items));
    let mut out = scene.deployment.files().text(scene.file).to_owned();
    out.replace_range(found.span.range(), &item.text);
    out
}

/// What is offered beside the versions.
fn offered_in(name: &str, text: &str) -> Vec<String> {
    let scene = scene_named(name, VERSIONS, text, Settings::default());
    let found = completion(&scene.deployment, scene.file, scene.offset);
    found.map_or(Vec::new(), |found| found.items.into_iter().map(|item| item.label).collect())
}

const SUBSET: &str = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\n\
                      metadata: {name: x, namespace: shop}\nspec:\n  host: app\n  subsets:\n  - name: a\n    labels:";

#[test]
fn what_is_chosen_is_the_text_that_was_shown() {
    let subset = |end: &str| format!("{SUBSET}\n      {end}\n");
    for (typed, label, written) in [
        ("version: $0", "1.0", "version: \"1.0\""),
        ("version: 1$0", "1.0", "version: \"1.0\""),
        ("version: \"$0\"", "1.0", "version: \"1.0\""),
        ("version: '1$0.0'", "1.0", "version: '1.0'"),
        ("version: \"$0", "1.0", "version: \"1.0\""),
        ("sidecar.istio.io/inject: $0", "true", "sidecar.istio.io/inject: \"true\""),
        ("app: $0", "app", "app: app"),
    ] {
        assert_eq!(chosen_in("here.yaml", &subset(typed), label), subset(written), "{typed}");
    }
    let json = |end: &str| {
        format!(
            "{{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"VirtualService\",\"metadata\":{{\"name\":\"x\",\
             \"namespace\":\"shop\"}},\"spec\":{{\"hosts\":[\"app\"],\"http\":[{{\"route\":[{{\"destination\":{{\"host\":\"app\"{end}"
        )
    };
    let closed = |end: &str| json(&format!("{end}}}}}]}}]}}}}\n"));
    for (typed, label, written) in [
        (closed(",\"subset\":$0"), "v1-0", closed(",\"subset\":\"v1-0\"")),
        (closed(",\"subset\":\"$0\""), "v1-0", closed(",\"subset\":\"v1-0\"")),
        (closed(",$0"), "subset", closed(",\"subset\": ")),
        (closed(",\"$0\":1"), "subset", closed(",\"subset\":1")),
        (closed(",\"port\":{\"number\":$0}"), "80", closed(",\"port\":{\"number\":80}")),
        (json(",\"subset\":\"v$0"), "v1-0", json(",\"subset\":\"v1-0\"")),
    ] {
        assert_eq!(chosen_in("here.json", &typed, label), written);
    }
}

#[test]
fn labels_of_a_subset_are_those_of_its_hosts_pods() {
    assert_eq!(offered_in("here.yaml", &format!("{SUBSET}\n      version: $0\n")), ["1.0"]);
    assert_eq!(
        offered_in("here.yaml", &format!("{SUBSET} {{version: '1.0', $0}}\n")),
        ["app", "sidecar.istio.io/inject"]
    );
    // Of a host that nobody knows any pod may be.
    let unknown = SUBSET.replace("host: app", "host: elsewhere");
    assert_eq!(offered_in("here.yaml", &format!("{unknown}\n      version: $0\n")), ["1.0", "1.1"]);
}

#[test]
fn half_typed_places_are_completed_and_no_key_follows_a_colon() {
    let route = |end: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\n\
             metadata: {{name: x, namespace: shop}}\nspec:\n  hosts: [app]\n{end}\n"
        )
    };
    let to = |end: &str| route(&format!("  http:\n  - route:\n    - destination: {end}\n      weight: 1"));
    for (text, expected) in [
        (to("\n        host: app\n        subset: \"v$0"), "v1-0"),
        (to("{host: $0"), "app"),
        (to("{host: app, $0"), "subset"),
        (to("{host: app, subset: \"$0}"), "v1-0"),
        (route("  gateways: [$0"), "mesh"),
        (route("  http:\n  - match: [{sourceLabels: {$0"), "app"),
        (format!("{SUBSET} {{$0\n"), "version"),
        (format!("{SUBSET} {{version: \"$0\n"), "1.0"),
    ] {
        let found = offered_in("here.yaml", &text);
        assert!(found.iter().any(|label| label == expected), "{expected} in {found:?}\n{text}");
    }
    for text in [
        route("").replace("spec:", "spec:$0"),
        route("").replace("metadata:", "metadata:$0"),
        to("\n        host:$0 app"),
    ] {
        assert_eq!(offered_in("here.yaml", &text), [""; 0], "{text}");
    }
}

#[test]
fn values_are_those_that_the_field_takes() {
    let policy = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n\
                  metadata: {name: p, namespace: shop}\nspec: {mtls: {mode: $0}}\n";
    assert!(offered(policy).contains(&"STRICT".to_owned()), "{:?}", offered(policy));
}

#[test]
fn the_filters_own_configuration_is_completed_with_its_documentation() {
    let plugin = |config: &str| {
        format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\n\
             metadata: {{name: canary, namespace: shop}}\n\
             spec:\n  pluginName: coalmine\n  pluginConfig:\n{config}"
        )
    };
    assert_eq!(offered(&plugin("    mode: $0\n")), ["enforce", "observe", "off"]);
    // Kubernetes would read it as false.
    assert_eq!(chosen(&plugin("    mode: $0\n"), "off"), plugin("    mode: \"off\"\n"));
    let fields = offered(&plugin("    mode: enforce\n    $0\n    role: edge\n"));
    assert!(fields.contains(&"flags".to_owned()), "{fields:?}");
    assert!(!fields.iter().any(|field| field == "mode" || field == "role"), "{fields:?}");
    let open = plugin("").replace("pluginConfig:\n", "pluginConfig: {$0");
    assert!(offered(&open).contains(&"mode".to_owned()), "{:?}", offered(&open));
    let fields = offered(&plugin("    mode: off\n    fl$0\n"));
    assert!(fields.contains(&"flags".to_owned()) && !fields.contains(&"host".to_owned()), "{fields:?}");
    assert!(offered(&plugin("    flags:\n    - na$0\n")).contains(&"name".to_owned()));
    let scene = scene(&plugin("    fl$0\n"));
    let found = completion(&scene.deployment, scene.file, scene.offset).unwrap();
    let flags = found.items.iter().find(|item| item.label == "flags").unwrap();
    assert!(flags.docs.is_some() && flags.text == "flags:");
}

#[test]
fn a_lens_counts_the_routes_and_says_what_is_orphaned() {
    let mut scene = scene(&format!("$0{ROUTE}"));
    let files: Vec<FileId> = scene.deployment.files().iter().map(|(id, _)| id).collect();
    let titles = |scene: &Scene, file: FileId| -> Vec<String> {
        let files = scene.deployment.files();
        let lenses = lenses(&scene.deployment, file).into_iter();
        lenses.map(|lens| format!("{}: {}", &files.text(file)[lens.span.range()], lens.title)).collect()
    };
    assert_eq!(titles(&scene, files[0]), ["reviews: 1 route · 2 workloads", "ratings: 0 routes"]);
    assert_eq!(titles(&scene, files[1]), ["reviews-v1: 1 Service", "reviews-v2: 1 Service"]);
    assert_eq!(
        titles(&scene, files[2]),
        ["stable: 1 route · 1 workload", "canary: 0 routes · 1 workload · orphaned"]
    );
    assert_eq!(titles(&scene, files[3]), ["public: 1 VirtualService"]);
    scene.deployment.replace(scene.file, "");
    assert_eq!(titles(&scene, files[3]), ["public: 0 VirtualServices · orphaned"]);
}

#[test]
fn the_outline_has_objects_and_what_in_them_has_a_name() {
    let scene =
        scene(&format!("$0{ROUTE}---\nkind: Service\napiVersion: v1\nspec: {{ports: [{{port: 80}}]}}\n"));
    let all = symbols(&scene.deployment, scene.file);
    let line = |symbol: &Symbol| {
        let children: Vec<&str> = symbol.children.iter().map(|child| child.name.as_str()).collect();
        format!("{} ({}): {}", symbol.name, symbol.detail, children.join(" "))
    };
    let lines: Vec<String> = all.iter().map(line).collect();
    assert_eq!(lines, ["VirtualService reviews (shop): main", "Service (default): 80"]);
    for symbol in all.iter().chain(all.iter().flat_map(|symbol| &symbol.children)) {
        assert!(symbol.span.contains(symbol.name_span), "{symbol:?}");
    }
}

/// Every rule's example, with each finding suppressed by the comment that is offered.
#[test]
fn the_comment_that_is_offered_hides_the_finding_and_nothing_else_changes() {
    let mut comments = 0;
    for rule in crate::rules::RULES {
        let mut files = Files::new();
        let file = files.add("example.yaml", rule.example("Example").unwrap().as_str());
        let settings = Settings { select: vec![rule.id.to_owned()], ..Settings::default() };
        let found = crate::lint(&files, &settings).diagnostics;
        for diagnostic in found.iter().filter(|found| found.rule == rule.id) {
            let Some(edit) = suppression(&files, &settings, diagnostic) else { continue };
            comments += 1;
            let after = crate::fix::splice(&files, &[&edit]).unwrap();
            let left = crate::lint(&after, &settings).diagnostics;
            let key = |diagnostic: &Diagnostic| (diagnostic.rule, diagnostic.message.clone());
            let gone = found.iter().filter(|before| !left.iter().any(|after| key(after) == key(before)));
            let text = after.text(file);
            assert!(left.len() < found.len(), "{}: still found in\n{text}", rule.id);
            assert!(gone.clone().all(|gone| gone.rule == rule.id), "{}:\n{text}", rule.id);
            let parsed = |files: &Files| parse(file, files.get(file).unwrap(), Limits::default()).1.len();
            assert_eq!(parsed(&after), parsed(&files), "{}:\n{text}", rule.id);
        }
    }
    assert!(comments > 40, "only {comments} comments were offered");
}

#[test]
fn no_comment_is_offered_where_it_would_become_text() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  a: 1\n";
    let finding = |name: &str, text: &str| {
        let mut files = Files::new();
        files.add(name, text);
        let settings = Settings { select: vec!["wrong-type".to_owned()], ..Settings::default() };
        let found = crate::lint(&files, &settings).diagnostics;
        let edit = suppression(&files, &settings, &found[0]);
        edit.map(|edit| crate::fix::splice(&files, &[&edit]).unwrap().text(found[0].span.file).to_owned())
    };
    let commented = finding("a.yaml", text).unwrap();
    assert_eq!(commented, text.replace("  a: 1", "  # coalmine: ignore[wrong-type] TODO say why\n  a: 1"));
    assert_eq!(finding("a.json", r#"{"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": 1}}"#), None);
    let windows = text.replace('\n', "\r\n");
    let commented = finding("a.yaml", &windows).unwrap();
    assert!(!commented.replace("\r\n", "").contains('\n'), "{commented:?}");
    // Above the first line the comment would cover the whole document.
    let first = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {a: 1}}\n";
    let commented = finding("a.yaml", first).unwrap();
    assert_eq!(commented, first.replace("}}\n", "}} # coalmine: ignore[wrong-type] TODO say why\n"));
}

#[test]
fn the_difference_is_the_smallest_replacement_at_character_boundaries() {
    let of = |old: &str, new: &str| {
        let edit = difference(FileId(0), old, new)?;
        Some((edit.span.start, edit.span.end, edit.text))
    };
    assert_eq!(of("abc", "abc"), None);
    assert_eq!(of("a: é\n", "a: è\n"), Some((3, 5, "è".to_owned())));
    assert_eq!(of("aa", "aaa"), Some((2, 2, "a".to_owned())));
    assert_eq!(of("aba", "a"), Some((1, 3, String::new())));
}

/// Wherever the cursor stands in whatever text, nothing panics.
#[test]
fn any_place_of_a_broken_text_can_be_asked_about() {
    for text in [
        ROUTE,
        "a: [",
        "é: \"𝄞",
        "",
        "- - -\n",
        "{",
        "apiVersion: v1\nkind: List\nitems: [{}]\n",
        "a: &a [*a]\nb: *a\n",
    ] {
        for offset in 0..=u32::try_from(text.len()).unwrap() + 1 {
            let Scene { mut deployment, file, .. } = scene("$0");
            deployment.replace(file, text);
            let _ = hover(&deployment, file, offset);
            let _ = completion(&deployment, file, offset);
            let _ = definitions(&deployment, file, offset);
            let _ = references(&deployment, file, offset, true);
        }
    }
}
