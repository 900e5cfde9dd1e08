//! `version-islands-cross`

use rustc_hash::FxHashSet;

use crate::mesh::Mesh;
use crate::mesh::destinations::Client;
use crate::mesh::reach::{Outcome, outcome_span};
use crate::mesh::registry::{Host, Port};
use crate::mesh::routes::{Role, RouteKind, VirtualService};
use crate::mesh::workloads::{Proxy, VERSION_LABELS, Workload, WorkloadId};
use crate::resource::field::Map;
use crate::rule::{Check, Context, declare_rule};
use crate::span::{Span, Spanned};

declare_rule! {
    /// ## What it does
    /// Reports a workload that can reach another version's pods although the routes separate versions by
    /// source. A VirtualService that gives clients of one `version` label their own subset makes islands;
    /// every client of the same app is followed through the route table that its sidecar gets, for every port.
    ///
    /// ## Why it matters
    /// Versions are kept apart because their data does not mix. A client that no rule names gets the plain
    /// Service, that is, the pods of all versions; a rule that matches one port leaves the others open.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-storage}
    /// spec:
    ///   selector: {app: voting-storage}
    ///   ports: [{name: redis, port: 6379}]
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-storage-1-0}
    /// spec: {template: {metadata: {labels: {app: voting-storage, version: "1.0"}}}}
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-storage-2-0}
    /// spec: {template: {metadata: {labels: {app: voting-storage, version: "2.0"}}}}
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-app-2-0}
    /// spec: {template: {metadata: {labels: {app: voting-app, version: "2.0"}}}}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: voting-storage}
    /// spec:
    ///   host: voting-storage
    ///   subsets: [{name: v1-0, labels: {version: "1.0"}}]
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-storage}
    /// spec:
    ///   hosts: [voting-storage]
    ///   tcp:
    ///   - match: [{sourceLabels: {app: voting-app, version: "1.0"}}]
    ///     route: [{destination: {host: voting-storage, subset: v1-0}}]
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-storage}
    /// spec:
    ///   selector: {app: voting-storage}
    ///   ports: [{name: redis, port: 6379}]
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-storage-1-0}
    /// spec: {template: {metadata: {labels: {app: voting-storage, version: "1.0"}}}}
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-storage-2-0}
    /// spec: {template: {metadata: {labels: {app: voting-storage, version: "2.0"}}}}
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-app-2-0}
    /// spec: {template: {metadata: {labels: {app: voting-app, version: "2.0"}}}}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: voting-storage}
    /// spec:
    ///   host: voting-storage
    ///   subsets: [{name: v1-0, labels: {version: "1.0"}}, {name: v2-0, labels: {version: "2.0"}}]
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-storage}
    /// spec:
    ///   hosts: [voting-storage]
    ///   tcp:
    ///   - match: [{sourceLabels: {app: voting-app, version: "1.0"}}]
    ///     route: [{destination: {host: voting-storage, subset: v1-0}}]
    ///   - match: [{sourceLabels: {app: voting-app, version: "2.0"}}]
    ///     route: [{destination: {host: voting-storage, subset: v2-0}}]
    /// ```
    ///
    /// ## References
    /// - [HTTPMatchRequest](https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPMatchRequest), `sourceLabels`
    /// - `pilot/pkg/networking/core/route/route.go`, `BuildHTTPRoutesForVirtualService`
    id: "version-islands-cross",
    severity: Error,
    category: Canary,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::State(check),
}

/// A rule that leads clients of one version to pods.
struct Claim<'a> {
    /// The match block.
    span: Span,
    /// Which label tells the version.
    key: &'a str,
    /// The clients' version.
    version: &'a str,
    /// What else their labels must carry, sorted: the app.
    app: Vec<(&'a str, &'a str)>,
    namespace: Option<&'a str>,
    pods: FxHashSet<WorkloadId>,
}

impl Claim<'_> {
    fn is_of_same_app(&self, other: &Self) -> bool {
        (self.key, &self.app, self.namespace) == (other.key, &other.app, other.namespace)
    }
}

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    for service in mesh.routes.iter().filter(|service| service.is_mesh()) {
        let claims = claims(mesh, service);
        if claims.is_empty() {
            continue;
        }
        for name in &service.hosts {
            let Some(host) = mesh.registry.find(name, Some(service.namespace())) else { continue };
            if versions(mesh, host.workloads.iter().chain(claims.iter().flat_map(|claim| &claim.pods))) < 2 {
                continue;
            }
            for (index, claim) in claims.iter().enumerate() {
                let first = claims.iter().position(|other| other.is_of_same_app(claim));
                if first != Some(index) {
                    continue;
                }
                let of_app: Vec<&Claim<'_>> =
                    claims.iter().filter(|other| other.is_of_same_app(claim)).collect();
                for client in clients(mesh, &of_app, [service.namespace(), host.namespace()]) {
                    let own = mesh.routes.for_mesh_host(client.namespace(), &host.name);
                    if own.is_some_and(|own| std::ptr::eq(own, service)) {
                        follow(ctx, service, name, host, &of_app, client);
                    }
                }
            }
        }
    }
}

fn claims<'a>(mesh: &Mesh<'a>, service: &VirtualService<'a>) -> Vec<Claim<'a>> {
    let mut claims = Vec::new();
    for (kind, rule) in service.rules() {
        for source in service.sources(kind, rule) {
            let version = VERSION_LABELS.iter().find_map(|key| source.labels.entry(key));
            // An http match that names gateways does not look at labels.
            let ignored = kind == RouteKind::Http && !source.gateways.is_empty();
            let Some((key, version)) = version.filter(|_| !ignored) else { continue };
            let mut app: Vec<(&str, &str)> = source
                .labels
                .iter()
                .filter(|(other, _)| other.value != key.value)
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect();
            app.sort_unstable();
            let pods: FxHashSet<WorkloadId> = mesh
                .routes
                .targets_of_rule(service, kind, rule)
                .filter(|target| target.role == Role::Route && target.receives_requests())
                .flat_map(|target| {
                    let host = mesh.registry.find(&target.host, Some(service.namespace()));
                    let client = Client { namespace: Some(service.namespace()), labels: None };
                    let rules = mesh.destination(client, &target.host);
                    let subset = target.subset().and_then(|name| Some(rules?.subset(name)?.1));
                    host.zip(subset).map(|(host, subset)| mesh.subset_workloads(host, &subset.labels))
                })
                .flatten()
                .collect();
            if !pods.is_empty() {
                claims.push(Claim {
                    span: source.span,
                    key: &key.value,
                    version: &version.value,
                    app,
                    namespace: source.namespace,
                    pods,
                });
            }
        }
    }
    claims
}

/// The workloads of the app that the claims name, whatever their version. When the rules name nothing but
/// a version, only the versions they name. Without a `sourceNamespace` they are looked for at home, where the
/// rules and the host live: another namespace may hold a copy of the whole deployment that never calls here.
fn clients<'m, 'a>(mesh: &'m Mesh<'a>, claims: &[&Claim<'a>], home: [&str; 2]) -> Vec<&'m Workload<'a>> {
    let Some(claim) = claims.first() else { return Vec::new() };
    let pair = |key: &str, value: &str| {
        let spanned = |text: &str| Spanned { span: claim.span, value: text.to_owned() };
        (spanned(key), spanned(value))
    };
    let mut namespaces = claim.namespace.map_or(home.to_vec(), |namespace| vec![namespace]);
    namespaces.dedup();
    let select = |selector: Map<String>| -> Vec<WorkloadId> {
        namespaces.iter().flat_map(|namespace| mesh.workloads.select(&selector, Some(namespace))).collect()
    };
    let ids = if claim.app.is_empty() {
        let versions: FxHashSet<&str> = claims.iter().map(|claim| claim.version).collect();
        versions.into_iter().flat_map(|version| select(Map(vec![pair(claim.key, version)]))).collect()
    } else {
        select(Map(claim.app.iter().map(|(key, value)| pair(key, value)).collect()))
    };
    let meshed = |workload: &&Workload<'_>| matches!(workload.proxy, Proxy::Sidecar | Proxy::Unknown);
    ids.into_iter().filter_map(|id| mesh.workloads.get(id)).filter(meshed).collect()
}

/// Follows one client to every port of the host and reports where it leaves its island.
fn follow<'a>(
    ctx: &mut Context<'a>,
    service: &VirtualService<'a>,
    name: &Spanned<String>,
    host: &Host<'a>,
    claims: &[&Claim<'a>],
    client: &Workload<'a>,
) {
    let mesh = ctx.mesh;
    let Some(version) = claims.first().and_then(|claim| client.labels.find(claim.key)) else { return };
    let own: FxHashSet<WorkloadId> = claims
        .iter()
        .filter(|claim| claim.version == version.value)
        .flat_map(|c| c.pods.iter().copied())
        .collect();
    // A version that no rule names is at home with servers of its own version. Where there are none, a rule
    // that takes everyone is the author's answer; only the plain Service, with all versions, is nobody's.
    let is_named = claims.iter().any(|claim| claim.version == version.value);
    let is_home = |id: &WorkloadId| {
        mesh.workloads.get(*id).and_then(Workload::version).is_some_and(|own| own.value == version.value)
    };
    let has_home = host.workloads.iter().any(is_home);
    let mut reported = FxHashSet::default();
    for port in &host.ports {
        for outcome in mesh.outcomes(client, host, port) {
            let is_answer = !is_named && !has_home && outcome.via.is_some();
            if is_answer || is_deliberate(&outcome, client, port.number) {
                continue;
            }
            let reached = outcome
                .workloads
                .iter()
                .filter(|id| is_named || !is_home(id))
                .filter(|id| serves(mesh, &outcome, port, **id));
            let crossing =
                reached.filter_map(|id| Some((*id, intruded(mesh, claims, &own, version, *id)?))).next();
            let Some((pods, claim)) = crossing else { continue };
            let place = outcome_span(&outcome).unwrap_or(name.span);
            let Some(server) = mesh.workloads.get(pods).filter(|_| reported.insert(place)) else { continue };
            let theirs = server.version().map_or("", |version| version.as_str());
            let (who, whose) = (client.resource.describe(), host.resource.name.as_str());
            let way = match outcome.via {
                Some(_) => String::new(),
                None => {
                    format!(" on port {}, where no rule applies and the plain Service answers", port.number)
                }
            };
            let message = format!(
                "{who} of version `{}` reaches version `{theirs}` of `{whose}`{way}; the routes keep it for version `{}`",
                version.value, claim.version
            );
            let diagnostic = ctx.report(service.resource, place, message);
            diagnostic
                .help(format!("route version `{}` to a subset of its own, on every port", version.value))
                .related(version.span, "the client's version")
                .related(claim.span, format!("this match separates version `{}`", claim.version));
            if let Some(label) = server.version() {
                diagnostic.related(label.span, "the version it reaches");
            }
        }
    }
}

/// The claim that a reached pod breaks. Pods that two versions of the app share belong to no island.
fn intruded<'c, 'a>(
    mesh: &Mesh<'a>,
    claims: &[&'c Claim<'a>],
    own: &FxHashSet<WorkloadId>,
    version: &str,
    pod: WorkloadId,
) -> Option<&'c Claim<'a>> {
    let version_of =
        |id: &WorkloadId| mesh.workloads.get(*id).and_then(Workload::version).map(|v| v.as_str());
    if own.contains(&pod) {
        // Its own rule sends it there: wrong if pods of its version are there too, given to another version.
        let crossed =
            version_of(&pod) != Some(version) && !own.iter().any(|id| version_of(id) == Some(version));
        let swapped = |claim: &&&Claim<'_>| {
            claim.version != version && claim.pods.iter().any(|id| version_of(id) == Some(version))
        };
        return claims.iter().find(swapped).copied().filter(|_| crossed);
    }
    let mut others = claims.iter().filter(|claim| claim.pods.contains(&pod));
    let first = others.next()?;
    others.all(|claim| claim.version == first.version).then_some(*first)
}

/// Whether only conditions on the request lead here, without a word about the client's version: a header
/// that opens the other version is an intended way across.
fn is_deliberate(outcome: &Outcome<'_, '_>, client: &Workload<'_>, port: u32) -> bool {
    let Some((service, target)) = outcome.via else { return false };
    let sources = service.sources(target.kind, target.rule);
    let mut admitted = sources.iter().filter(|source| source.admits(target.kind, client, port)).peekable();
    admitted.peek().is_some()
        && admitted.all(|source| {
            !source.unconditional && VERSION_LABELS.iter().all(|key| source.labels.find(key).is_none())
        })
}

/// Whether the pods answer on the port where the call ends, as far as their declared ports tell.
fn serves(mesh: &Mesh<'_>, outcome: &Outcome<'_, '_>, dialed: &Port<'_>, id: WorkloadId) -> bool {
    let number =
        outcome.via.and_then(|(_, target)| target.destination.value.port_number()).map(|port| port.value);
    let port = outcome.host.and_then(|host| host.port(number.unwrap_or(dialed.number)));
    let Some((pod, port)) = mesh.workloads.get(id).zip(port) else { return true };
    !pod.declares_ports() || pod.container_port(&port.target_text()).is_some()
}

fn versions<'i>(mesh: &Mesh<'_>, pods: impl Iterator<Item = &'i WorkloadId>) -> usize {
    let version = |id: &WorkloadId| Some(mesh.workloads.get(*id)?.version()?.as_str().to_owned());
    pods.filter_map(version).collect::<FxHashSet<String>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run;

    macro_rules! manifests {
        ($($path:literal),* $(,)?) => {
            [$(include_str!(concat!("../../../manifests/voting/", $path))),*].join("---\n")
        };
    }

    /// The canary state, with all of both versions running.
    fn canary() -> String {
        manifests!(
            "1-deploy/00-namespace.yaml",
            "1-deploy/10-voting-storage-1.0.yaml",
            "1-deploy/21-voting-analytics-service.yaml",
            "1-deploy/30-voting-app-1.0.yaml",
            "1-deploy/31-voting-app-service.yaml",
            "2-update/10-voting-analytics-1.1.yaml",
            "3-canary/11-voting-analytics-destination-rule.yaml",
            "3-canary/12-voting-storage-destination-rule.yaml",
            "3-canary/20-voting-storage-service.yaml",
            "3-canary/30-voting-storage-virtual-service.yaml",
            "3-canary/31-voting-analytics-virtual-service.yaml",
            "3-canary/42-voting-storage-2.0.yaml",
            "3-canary/50-voting-analytics-2.0.yaml",
            "3-canary/60-voting-app-2.0.yaml",
        )
    }

    /// Who crosses, and where it is marked.
    fn crossings(text: &str) -> Vec<(String, String)> {
        let place = |span: Span| text[span.range()].to_owned();
        run(&RULE, text).into_iter().map(|found| (place(found.span), found.message)).collect()
    }

    #[track_caller]
    fn replaced(text: &str, from: &str, to: &str) -> String {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    }

    /// The rule of the 2.0 versions in the VirtualService of a component.
    fn without_rule(text: &str, component: &str) -> String {
        let head = format!("kind: VirtualService\nmetadata:\n  name: {component}\n");
        let (before, service) = text.split_once(&head).expect("the VirtualService");
        let (first, rest) = service.split_once("    - match:\n").expect("the 1.0 rule");
        let (second, rest) = rest.split_once("    - match:\n").expect("the 2.0 rule");
        let (_, default) = rest.split_once("    # Everyone else").expect("the default");
        format!("{before}{head}{first}    - match:\n{second}    # Everyone else{default}")
    }

    #[test]
    fn the_two_islands_of_the_canary_hold() {
        assert_eq!(crossings(&canary()), []);
    }

    #[test]
    fn a_client_whose_rule_is_dropped_falls_to_the_default() {
        let found = crossings(&without_rule(&canary(), "voting-analytics"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, "v1-1");
        assert_eq!(
            found[0].1,
            "Deployment `voting-app-2-0` of version `2.0` reaches version `1.1` of `voting-analytics`; \
             the routes keep it for version `1.0`"
        );
        let found = crossings(&without_rule(&canary(), "voting-storage"));
        let clients: Vec<&str> = found.iter().map(|(_, text)| text.split('`').nth(1).unwrap()).collect();
        assert_eq!(clients, ["voting-analytics-2-0", "voting-app-2-0"]);
    }

    /// Trap: a VirtualService that yields no route for a client vanishes, and the plain Service answers.
    #[test]
    fn a_version_no_rule_names_may_be_sent_to_its_own_or_by_a_rule_for_everyone() {
        // Analytics 1.0 still runs, and the rule for everyone sends it to storage 1.0, its own version.
        let leftover = manifests!("1-deploy/20-voting-analytics-1.0.yaml");
        let text = [canary(), leftover.clone()].join("---\n");
        assert_eq!(crossings(&text), []);
        // Storage has no 1.5: the rule for everyone decides.
        let other = [canary(), leftover.replace("\"1.0\"", "\"1.5\"")].join("---\n");
        assert_eq!(crossings(&other), []);
    }

    #[test]
    fn a_client_no_rule_names_gets_every_version() {
        let text = canary();
        let default = "    # Everyone else stays with the old analytics, instead of getting both in turn.\n";
        let (before, after) = text.split_once(default).unwrap();
        let (_, rest) = after.split_once("---\n").unwrap();
        let text = replaced(
            &format!("{before}---\n{rest}"),
            "            version: \"2.0\"\n      route:\n        - destination:\n            host: voting-analytics",
            "            version: \"3.0\"\n      route:\n        - destination:\n            host: voting-analytics",
        );
        let found = crossings(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, "voting-analytics.voting.svc.cluster.local");
        assert!(
            found[0].1.contains("on port 8080, where no rule applies and the plain Service answers"),
            "{found:?}"
        );
    }

    #[test]
    fn a_rule_for_one_port_leaves_the_other_open() {
        let rule = "        - sourceLabels:\n            app: voting-app\n            version: \"2.0\"\n        - sourceLabels:\n            app: voting-analytics\n";
        let with_port = rule.replacen("- sourceLabels:", "- port: 3306\n          sourceLabels:", 1);
        let found = crossings(&replaced(&canary(), rule, &with_port));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].1.starts_with("Deployment `voting-app-2-0` of version `2.0` reaches version `1.0`"),
            "{found:?}"
        );
    }

    #[test]
    fn swapped_subsets_cross() {
        let text = canary();
        let (head, analytics) =
            text.split_once("kind: VirtualService\nmetadata:\n  name: voting-analytics\n").unwrap();
        let swapped =
            analytics.replacen("subset: v1-1", "subset: X", 1).replacen("subset: v2-0", "subset: v1-1", 1);
        let text = format!(
            "{head}kind: VirtualService\nmetadata:\n  name: voting-analytics\n{}",
            swapped.replacen("subset: X", "subset: v2-0", 1)
        );
        let found = crossings(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, "v1-1");
        assert!(found[0].1.starts_with("Deployment `voting-app-2-0`"), "{found:?}");
    }

    /// Trap: tcp rules say nothing about an HTTP port.
    #[test]
    fn rules_of_the_wrong_kind_separate_nothing() {
        let text = replaced(
            &canary(),
            "    - name: redis\n      port: 6379",
            "    - name: http-redis\n      port: 6379",
        );
        let found = crossings(&text);
        assert!(
            found.iter().any(|(place, text)| place == "voting-storage.voting.svc.cluster.local"
                && text.contains("on port 6379")),
            "{found:?}"
        );
    }

    #[test]
    fn one_version_behind_the_host_cannot_cross() {
        let text = manifests!(
            "1-deploy/00-namespace.yaml",
            "1-deploy/10-voting-storage-1.0.yaml",
            "1-deploy/11-voting-storage-service.yaml",
            "1-deploy/20-voting-analytics-1.0.yaml",
            "1-deploy/21-voting-analytics-service.yaml",
            "1-deploy/30-voting-app-1.0.yaml",
            "2-update/10-voting-analytics-1.1.yaml",
            "2-update/21-voting-analytics-destination-rule.yaml",
            "2-update/22-voting-storage-destination-rule.yaml",
            "2-update/30-voting-storage-virtual-service.yaml",
            "2-update/31-voting-analytics-virtual-service.yaml",
        );
        assert_eq!(crossings(&text), []);
    }

    #[test]
    fn a_header_that_opens_the_other_version_is_an_intended_way() {
        let text = replaced(
            &canary(),
            "  http:\n    - match:\n        - sourceLabels:\n",
            "  http:\n    - match:\n        - headers: {x-force: {exact: \"2.0\"}}\n      route:\n        - destination:\n            \
             host: voting-analytics.voting.svc.cluster.local\n            subset: v2-0\n    - match:\n        - sourceLabels:\n",
        );
        assert_eq!(crossings(&text), []);
    }

    #[test]
    fn clients_without_a_sidecar_are_not_judged_by_routes() {
        let text = without_rule(&canary(), "voting-analytics")
            .replace("istio-injection: enabled", "istio-injection: disabled");
        assert_eq!(crossings(&text), []);
    }
}
