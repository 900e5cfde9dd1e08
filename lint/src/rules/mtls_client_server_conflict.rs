//! `mtls-client-server-conflict`

use rustc_hash::{FxHashMap, FxHashSet};

use crate::diagnostic::Diagnostic;
use crate::mesh::Mesh;
use crate::mesh::destinations::{Client, ClientTlsSetting, Rule};
use crate::mesh::host::{is_subset_of, is_wildcard};
use crate::mesh::mtls::{Accepts, Assumed, Meeting, Sent, Servers, can_answer};
use crate::mesh::security::{Mode, Scope};
use crate::mesh::workloads::{Proxy, Workload};
use crate::rule::{Check, Context, declare_rule};
use crate::span::Span;

declare_rule! {
    /// ## What it does
    /// Reports clients and servers that cannot talk because one expects mTLS and the other does not.
    /// What clients send is decided by the DestinationRule that wins for them (destination, port, subset
    /// and port of a subset), or without one by automatic mTLS; what a pod's port accepts is decided by
    /// PeerAuthentication and by whether the pod has a sidecar. A subset's settings are judged only when a
    /// route names the subset, because Istio ignores them otherwise.
    ///
    /// ## Why it matters
    /// Every call fails: plaintext to a `STRICT` port is reset, TLS without Istio's certificate is refused
    /// in the handshake, and mTLS to a port that takes plaintext is not understood. Clients see 503 with the
    /// flag `UC` or `UF`.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: v1
    /// kind: Namespace
    /// metadata: {name: voting, labels: {istio-injection: enabled}}
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-storage-1-0, namespace: voting}
    /// spec:
    ///   selector: {matchLabels: {app: voting-storage}}
    ///   template:
    ///     metadata: {labels: {app: voting-storage, version: "1.0"}}
    ///     spec: {containers: [{name: redis, image: "redis:4.0.10", ports: [{containerPort: 6379}]}]}
    /// ---
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-storage, namespace: voting}
    /// spec:
    ///   selector: {app: voting-storage}
    ///   ports: [{name: redis, port: 6379}]
    /// ---
    /// apiVersion: security.istio.io/v1
    /// kind: PeerAuthentication
    /// metadata: {name: default, namespace: voting}
    /// spec: {mtls: {mode: STRICT}}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: voting-storage, namespace: voting}
    /// spec:
    ///   host: voting-storage.voting.svc.cluster.local
    ///   trafficPolicy:
    ///     tls: {mode: DISABLE}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: v1
    /// kind: Namespace
    /// metadata: {name: voting, labels: {istio-injection: enabled}}
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: voting-storage-1-0, namespace: voting}
    /// spec:
    ///   selector: {matchLabels: {app: voting-storage}}
    ///   template:
    ///     metadata: {labels: {app: voting-storage, version: "1.0"}}
    ///     spec: {containers: [{name: redis, image: "redis:4.0.10", ports: [{containerPort: 6379}]}]}
    /// ---
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-storage, namespace: voting}
    /// spec:
    ///   selector: {app: voting-storage}
    ///   ports: [{name: redis, port: 6379}]
    /// ---
    /// apiVersion: security.istio.io/v1
    /// kind: PeerAuthentication
    /// metadata: {name: default, namespace: voting}
    /// spec: {mtls: {mode: STRICT}}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: voting-storage, namespace: voting}
    /// spec:
    ///   host: voting-storage.voting.svc.cluster.local
    ///   trafficPolicy:
    ///     tls: {mode: ISTIO_MUTUAL}
    /// ```
    ///
    /// ## References
    /// - [TLS configuration](https://istio.io/latest/docs/ops/configuration/traffic-management/tls-configuration/)
    /// - [Sending HTTP 503 after enabling mTLS](https://istio.io/latest/docs/ops/common-problems/network-issues/#503-errors-after-setting-destination-rule)
    /// - `pilot/pkg/networking/core/cluster_tls.go`, `pilot/pkg/security/authn/policy_applier.go`
    id: "mtls-client-server-conflict",
    severity: Error,
    category: Mtls,
    fix: None,
    since: "0.1.0",
    upstream: ["KIA0207", "KIA0208", "KIA0505", "KIA0506"],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    let servers = Servers::new(mesh);
    for rule in mesh.destination_rules.iter() {
        let mut meetings: FxHashMap<Span, Vec<Meeting<'_, '_>>> = FxHashMap::default();
        for meeting in servers.meetings(rule, conflict, |_| true) {
            meetings.entry(meeting.setting.span()).or_default().push(meeting);
        }
        for (span, meetings) in &meetings {
            let Some(first) = meetings.first() else { continue };
            let message = format!(
                "{}, {}",
                sends(&first.setting, &port_of(first)),
                refuses(&first.accepts, &first.setting)
            );
            let diagnostic = ctx.report(rule.resource, *span, message);
            diagnostic.help(advice(mesh, first.setting, &first.accepts));
            relate(diagnostic, meetings);
        }
        if meetings.is_empty() {
            whole_namespace(ctx, &servers, rule);
        }
    }
    automatic(ctx, &servers);
    named_sources(ctx, &servers);
}

/// Whether the two ends of a call cannot talk.
pub(super) fn conflict(sent: Sent, mode: Option<Mode>) -> bool {
    !can_answer(mode, sent)
}

fn port_of(meeting: &Meeting<'_, '_>) -> String {
    let number = meeting.port.on_workload(meeting.workload).unwrap_or(meeting.port.number);
    format!("port {number} of {}", meeting.workload.resource.describe())
}

fn sends(setting: &ClientTlsSetting<'_>, to: &str) -> String {
    let what = match Sent::by(setting) {
        Some(Sent::Simple) => "TLS without Istio's certificate",
        Some(Sent::OwnCertificate) => "TLS with a certificate that is not Istio's",
        Some(Sent::IstioMutual) => "mTLS",
        _ => "plaintext",
    };
    if setting.tls.mode.text().is_empty() {
        format!("`tls` without a mode means `DISABLE`: clients send {what} to {to}")
    } else {
        format!("mode `{}` makes clients send {what} to {to}", setting.mode())
    }
}

fn refuses(accepts: &Accepts<'_>, setting: &ClientTlsSetting<'_>) -> &'static str {
    match accepts {
        Accepts::Application => "which has no sidecar to answer it",
        Accepts::Policy(_) if Sent::by(setting) == Some(Sent::IstioMutual) => "which accepts only plaintext",
        Accepts::Policy(_) => "which accepts only Istio's mTLS",
    }
}

fn advice(mesh: &Mesh<'_>, setting: ClientTlsSetting<'_>, accepts: &Accepts<'_>) -> String {
    match (accepts, Sent::by(&setting)) {
        (Accepts::Application, _) => "use `DISABLE` for pods without a sidecar, or give them one".to_owned(),
        (_, Some(Sent::IstioMutual)) => {
            "change the PeerAuthentication to `STRICT` or `PERMISSIVE`, or this mode to `DISABLE`".to_owned()
        }
        _ if mesh.config.auto_mtls => {
            "use `ISTIO_MUTUAL`, or leave `tls` out: sidecars then send what each pod accepts".to_owned()
        }
        _ => "use `ISTIO_MUTUAL`".to_owned(),
    }
}

fn relate(diagnostic: &mut Diagnostic, meetings: &[Meeting<'_, '_>]) {
    let mut seen = FxHashSet::default();
    for meeting in meetings {
        if let Accepts::Policy(decision) = &meeting.accepts
            && let Some((policy, span)) = decision.by
            && seen.insert(span)
        {
            let message = format!("{} accepts {}", policy.describe(), accepted(decision.mode));
            diagnostic.related(span, message);
        }
        if let Some((_, target)) = meeting.route
            && let Some(subset) = target.subset()
            && seen.insert(subset.span)
        {
            diagnostic.related(subset.span, "this route goes through the subset, so its settings apply");
        }
    }
    for meeting in meetings.iter().filter(|meeting| seen.insert(meeting.workload.resource.name.span)).take(3)
    {
        diagnostic.related(meeting.workload.resource.name.span, "the pods that cannot be called");
    }
}

fn accepted(mode: Mode) -> &'static str {
    match mode {
        Mode::Strict => "only mTLS",
        Mode::Permissive => "both mTLS and plaintext",
        Mode::Disable => "only plaintext",
    }
}

/// A rule for all hosts of a namespace or of the mesh, without pods in the input to judge it by.
fn whole_namespace<'a>(ctx: &mut Context<'a>, servers: &Servers<'_, 'a>, rule: &Rule<'a>) {
    let mesh = ctx.mesh;
    let Some(tls) = rule.spec.traffic_policy.get().and_then(|policy| policy.tls.as_ref()) else { return };
    let all = format!("*.svc.{}", mesh.config.domain);
    if !is_wildcard(&rule.host) {
        return;
    }
    let namespace = rule.host.strip_prefix("*.").and_then(|rest| rest.strip_suffix(all.get(1..)?));
    let (namespace, decision, place) = match namespace.filter(|namespace| !namespace.contains('.')) {
        Some(namespace) => (
            Some(namespace),
            mesh.peer_authentications.of_namespace(namespace),
            format!("every host of namespace `{namespace}`"),
        ),
        None if is_subset_of(&all, &rule.host) => (
            None,
            mesh.peer_authentications.of_namespace(&mesh.config.root_namespace),
            "every host of the mesh".to_owned(),
        ),
        None => return,
    };
    let not_injected = namespace.and_then(|name| mesh.namespace_labels(name)).is_some_and(|labels| {
        labels.text("istio-injection") != Some("enabled") && labels.text("istio.io/rev").is_none()
    });
    let setting = ClientTlsSetting { resource: rule.resource, tls };
    let Some(sent) = Sent::by(&setting) else { return };
    let accepts = Accepts::Policy(decision);
    let Some((policy, span)) = decision.by else { return };
    if servers.judges(namespace) || not_injected || accepts.can_answer(sent) {
        return;
    }
    let message = format!("{}, {}", sends(&setting, &place), refuses(&accepts, &setting));
    let advice = advice(mesh, setting, &accepts);
    ctx.report(rule.resource, setting.span(), message)
        .help(advice)
        .related(span, format!("{} accepts {}", policy.describe(), accepted(decision.mode)));
}

/// Without a DestinationRule that says, clients go by the namespace's mode and know nothing of a
/// workload's own.
fn automatic<'a>(ctx: &mut Context<'a>, servers: &Servers<'a, 'a>) {
    let mesh = ctx.mesh;
    if !mesh.config.auto_mtls {
        return;
    }
    for host in servers.hosts() {
        let (why, place) = match mesh.assumed_mode(host) {
            Assumed::Policy(decision) if decision.mode == Mode::Disable => {
                let Some((policy, span)) = decision.by else { continue };
                let scope = if decision.scope == Scope::Mesh { "mesh" } else { "namespace" };
                let why = format!("automatic mTLS goes by the {scope}'s mode, `DISABLE`");
                (why, (span, format!("{} decides for the {scope}", policy.describe())))
            }
            Assumed::WithoutSidecar(id) => {
                let Some(bare) = mesh.workloads.get(id) else { continue };
                let why = format!(
                    "automatic mTLS is off for headless Service `{}`, because {} has no sidecar",
                    host.resource.name.value,
                    bare.resource.describe()
                );
                (why, (bare.resource.name.span, "these pods have no sidecar".to_owned()))
            }
            Assumed::Policy(_) => continue,
        };
        let is_root = host.namespace() == mesh.config.root_namespace;
        let client = Client { namespace: (!is_root).then_some(host.namespace()), labels: None };
        let effective = mesh.destination(client, &host.name).unwrap_or_default();
        let mut seen = FxHashSet::default();
        for port in &host.ports {
            for route in servers.ways(&effective, client, host, port) {
                let name = route.and_then(|(_, target)| target.subset()).map(|name| name.as_str());
                if effective.client_tls(port.number, name).is_some() {
                    continue;
                }
                let labels = name.and_then(|name| effective.subset(name)).map(|(_, subset)| &subset.labels);
                for (workload, accepts) in servers.pods(host, port) {
                    let Accepts::Policy(decision) = accepts else { continue };
                    let Some((policy, span)) = decision.by.filter(|_| decision.mode == Mode::Strict) else {
                        continue;
                    };
                    let is_behind = labels.is_none_or(|labels| labels.selects(workload.labels));
                    if !is_behind || !seen.insert(span) {
                        continue;
                    }
                    let number = port.on_workload(workload).unwrap_or(port.number);
                    let message = format!(
                        "port {number} of {} accepts only mTLS, but clients send plaintext: {why}",
                        workload.resource.describe()
                    );
                    ctx.report(policy, span, message)
                        .help(
                            "set `ISTIO_MUTUAL` in a DestinationRule for the host, or change the other mode",
                        )
                        .related(place.0, place.1.clone())
                        .related(workload.resource.name.span, "the pods that cannot be called");
                }
            }
        }
    }
}

/// Callers are named by `sourceLabels`: pods without a sidecar cannot send mTLS, whatever the route says.
fn named_sources<'a>(ctx: &mut Context<'a>, servers: &Servers<'a, 'a>) {
    let mesh = ctx.mesh;
    let bare: FxHashSet<&str> = mesh
        .workloads
        .iter()
        .filter(|(_, workload)| workload.proxy == Proxy::None)
        .map(|(_, workload)| workload.namespace())
        .collect();
    if bare.is_empty() {
        return;
    }
    for (service, target) in mesh.routes.targets().filter(|(service, _)| service.is_mesh()) {
        for source in service.sources(target.kind, target.rule) {
            let namespace = source.namespace.unwrap_or(service.namespace());
            let Some(place) = source.labels.span().filter(|_| bare.contains(namespace)) else { continue };
            let callers = mesh.workloads.select(source.labels, Some(namespace));
            let callers: Vec<&Workload<'_>> =
                callers.into_iter().filter_map(|id| mesh.workloads.get(id)).collect();
            let Some(caller) = callers.first().filter(|_| callers.iter().all(|w| w.proxy == Proxy::None))
            else {
                continue;
            };
            let Some(host) = mesh.registry.find(&target.host, Some(service.namespace())) else { continue };
            let number = mesh.target_port(service, target, host);
            let client = Client { namespace: Some(namespace), labels: Some(caller.labels) };
            let effective = mesh.destination(client, &host.name).unwrap_or_default();
            let subset = target.subset().map(|name| effective.subset(name).map(|(_, subset)| &subset.labels));
            let is_behind = |workload: &Workload<'_>| match subset {
                Some(labels) => labels.is_some_and(|labels| labels.selects(workload.labels)),
                None => true,
            };
            let ports = host.ports.iter().filter(|port| number.is_none_or(|number| number == port.number));
            let strict = ports.flat_map(|port| servers.pods(host, port)).find_map(|(workload, accepts)| {
                let Accepts::Policy(decision) = accepts else { return None };
                let by = decision.by.filter(|_| decision.mode == Mode::Strict)?;
                is_behind(workload).then_some((workload, by))
            });
            let Some((workload, (policy, span))) = strict else { continue };
            let message = format!(
                "{} has no sidecar and sends plaintext to {}, which accepts only Istio's mTLS",
                caller.resource.describe(),
                workload.resource.describe()
            );
            ctx.report(service.resource, place, message)
                .help("give the caller a sidecar; routes do not apply to pods without one either")
                .related(span, format!("{} accepts only mTLS", policy.describe()))
                .related(caller.resource.name.span, "the caller without a sidecar");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    const NAMESPACE: &str = "apiVersion: v1
kind: Namespace
metadata: {name: voting, labels: {istio-injection: enabled}}
---
";

    const STORAGE: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: redis, namespace: voting}
spec:
  template:
    metadata: {labels: {app: storage, version: "1.0"}}
    spec: {containers: [{name: redis, ports: [{name: redis, containerPort: 6379}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: mysql, namespace: voting}
spec:
  template:
    metadata: {labels: {app: storage, version: "2.0"}}
    spec: {containers: [{name: mysql, ports: [{name: mysql, containerPort: 3306}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: storage, namespace: voting}
spec:
  selector: {app: storage}
  ports: [{name: redis, port: 6379}, {name: mysql, port: 13306, targetPort: 3306}]
---
"#;

    const STRICT: &str = "apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: voting}
spec: {mtls: {mode: STRICT}}
---
";

    fn storage(parts: &[&str]) -> String {
        format!("{NAMESPACE}{STORAGE}{}", parts.concat())
    }

    fn rule(policy: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: storage, namespace: voting}}\n\
             spec:\n  host: storage\n{policy}---\n"
        )
    }

    #[test]
    fn plaintext_to_strict_points_at_the_rule_the_policy_and_the_pods() {
        check(
            &RULE,
            r#"
apiVersion: v1
kind: Namespace
metadata: {name: voting, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Pod
metadata: {name: redis, namespace: voting, labels: {app: storage}}
#                ~~~~~ related: the pods that cannot be called
---
apiVersion: v1
kind: Service
metadata: {name: storage, namespace: voting}
spec: {selector: {app: storage}, ports: [{name: redis, port: 6379}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: voting}
spec:
  mtls:
    mode: STRICT
    #     ~~~~~~ related: PeerAuthentication `default` accepts only mTLS
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: storage, namespace: voting}
spec:
  host: storage
  trafficPolicy:
    tls:
      mode: DISABLE
      #     ^^^^^^^ error: mode `DISABLE` makes clients send plaintext to port 6379 of Pod `redis`, which accepts only Istio's mTLS
"#,
        );
    }

    #[test]
    fn only_istios_own_certificate_opens_a_strict_port() {
        let simple = "  trafficPolicy:\n    tls: {mode: SIMPLE}\n    #           ^^^^^^ error: mode `SIMPLE` makes \
                      clients send TLS without Istio's certificate to port 6379 of Deployment `redis`, which…\n";
        check(&RULE, &storage(&[STRICT, &rule(simple)]));
        let own = "  trafficPolicy:\n    tls: {mode: MUTUAL, clientCertificate: /etc/mine.pem}\n    #           ^^^^^^ \
                   error: mode `MUTUAL` makes clients send TLS with a certificate that is not Istio's to port…\n";
        check(&RULE, &storage(&[STRICT, &rule(own)]));
        let istios =
            "  trafficPolicy:\n    tls: {mode: MUTUAL, clientCertificate: /etc/certs/cert-chain.pem}\n";
        check(&RULE, &storage(&[STRICT, &rule(istios)]));
        check(&RULE, &storage(&[STRICT, &rule("  trafficPolicy:\n    tls: {mode: ISTIO_MUTUAL}\n")]));
        // The application's own TLS, through a sidecar that does not insist.
        check(&RULE, &storage(&[&rule("  trafficPolicy:\n    tls: {mode: SIMPLE}\n")]));
    }

    #[test]
    fn an_absent_mode_is_disable() {
        let empty =
            "  trafficPolicy:\n    tls: {}\n    #    ^^ error: `tls` without a mode means `DISABLE`: …\n";
        check(&RULE, &storage(&[STRICT, &rule(empty)]));
    }

    #[test]
    fn mtls_to_a_port_that_takes_plaintext() {
        let policy = STRICT.replace("STRICT", "DISABLE");
        let mutual = "  trafficPolicy:\n    tls: {mode: ISTIO_MUTUAL}\n    #           ^^^^^^^^^^^^ error: mode \
                      `ISTIO_MUTUAL` makes clients send mTLS to port 6379 of Deployment `redis`, which accepts only \
                      plaintext\n";
        check(&RULE, &storage(&[&policy, &rule(mutual)]));
    }

    #[test]
    fn mtls_to_pods_without_a_sidecar() {
        let mutual = "  trafficPolicy:\n    tls: {mode: ISTIO_MUTUAL}\n";
        let marked = format!(
            "{mutual}    #           ^^^^^^^^^^^^ error: mode `ISTIO_MUTUAL` makes clients send mTLS to port 6379 of \
             Deployment `redis`, which has no sidecar to answer it\n"
        );
        let text = storage(&[STRICT, &rule(&marked)])
            .replace("istio-injection: enabled", "istio-injection: disabled");
        check(&RULE, &text);
        // Without the Namespace nobody knows.
        check(&RULE, &format!("{STORAGE}{STRICT}{}", rule(mutual)));
        let disable = "  trafficPolicy:\n    tls: {mode: DISABLE}\n";
        let text = storage(&[STRICT, &rule(disable)])
            .replace("istio-injection: enabled", "istio-injection: disabled");
        check(&RULE, &text);
    }

    #[test]
    fn a_port_that_bypasses_the_sidecar_takes_plaintext() {
        let bypass = |rule: &str| {
            storage(&[STRICT, rule])
                .replace(
                    r#"version: "1.0"}"#,
                    r#"version: "1.0"}, annotations: {traffic.sidecar.istio.io/excludeInboundPorts: "6379"}"#,
                )
                .replace(
                    r#"version: "2.0"}"#,
                    r#"version: "2.0"}, annotations: {traffic.sidecar.istio.io/includeInboundPorts: ""}"#,
                )
        };
        check(&RULE, &bypass(&rule("  trafficPolicy:\n    tls: {mode: DISABLE}\n")));
    }

    /// Trap: port-level settings replace the destination's whole policy for that Service port.
    #[test]
    fn port_level_settings_replace_the_destinations_for_the_service_port() {
        let text = "  trafficPolicy:
    tls: {mode: ISTIO_MUTUAL}
    portLevelSettings:
    - port: {number: 13306}
      tls: {mode: DISABLE}
      #           ^^^^^^^ error: mode `DISABLE` makes clients send plaintext to port 3306 of Deployment `mysql`, …
";
        check(&RULE, &storage(&[STRICT, &rule(text)]));
        // 3306 is the container's port, which a DestinationRule does not mean.
        let container = "  trafficPolicy:\n    tls: {mode: ISTIO_MUTUAL}\n    portLevelSettings:\n    - port: {number: \
                         3306}\n      tls: {mode: DISABLE}\n";
        check(&RULE, &storage(&[STRICT, &rule(container)]));
        // No tls at the port: automatic mTLS again, not the destination's.
        let unset = "  trafficPolicy:\n    tls: {mode: DISABLE}\n    #           ^^^^^^^ error: mode `DISABLE` makes \
                     clients send plaintext to port 6379 …\n    portLevelSettings:\n    - port: {number: 13306}\n      \
                     connectionPool: {tcp: {maxConnections: 1}}\n";
        check(&RULE, &storage(&[STRICT, &rule(unset)]));
    }

    const SUBSETS: &str = r#"  trafficPolicy:
    tls: {mode: ISTIO_MUTUAL}
  subsets:
  - name: v1-0
    labels: {version: "1.0"}
    trafficPolicy: {tls: {mode: DISABLE}}
"#;

    const ROUTE: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: storage, namespace: voting}
spec:
  hosts: [storage]
  tcp:
  - match: [{port: 6379}]
    route: [{destination: {host: storage, subset: v1-0, port: {number: 6379}}}]
";

    /// Trap: a subset's policy applies only when a route names the subset.
    #[test]
    fn a_subsets_settings_are_judged_once_a_route_names_it() {
        check(&RULE, &storage(&[STRICT, &rule(SUBSETS)]));
        let marked = format!(
            "{SUBSETS}    #                           ^^^^^^^ error: mode `DISABLE` makes clients send plaintext to port \
             6379 of Deployment `redis`, which accepts only Istio's mTLS\n"
        );
        check(&RULE, &storage(&[STRICT, &rule(&marked), ROUTE]));
    }

    #[test]
    fn a_destinations_settings_that_every_routed_subset_replaces_are_used_by_nobody() {
        let swapped =
            SUBSETS.replace("DISABLE", "X").replace("ISTIO_MUTUAL", "DISABLE").replace('X', "ISTIO_MUTUAL");
        let text = storage(&[STRICT, &rule(&swapped), ROUTE])
            .replace(", {name: mysql, port: 13306, targetPort: 3306}", "");
        check(&RULE, &text);
    }

    /// Pods that no rule is for go to the Service itself.
    #[test]
    fn a_destinations_settings_are_used_by_pods_that_no_route_is_for() {
        let pod = |app: &str| {
            format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: {app}, namespace: voting, labels: {{app: {app}}}}}\n---\n"
            )
        };
        let route = ROUTE.replace("{port: 6379}", "{port: 6379, sourceLabels: {app: web}}");
        let swapped =
            SUBSETS.replace("DISABLE", "X").replace("ISTIO_MUTUAL", "DISABLE").replace('X', "ISTIO_MUTUAL");
        let only = |text: String| text.replace(", {name: mysql, port: 13306, targetPort: 3306}", "");
        check(&RULE, &only(storage(&[STRICT, &pod("web"), &rule(&swapped), &route])));
        let marked = swapped.replace(
            "tls: {mode: DISABLE}\n",
            "tls: {mode: DISABLE}\n    #           ^^^^^^^ error: mode `DISABLE` makes clients send plaintext to port \
             6379 of Deployment `redis`, which accepts only Istio's mTLS\n",
        );
        check(&RULE, &only(storage(&[STRICT, &pod("web"), &pod("cli"), &rule(&marked), &route])));
    }

    /// Trap: portLevelMtls counts in container ports.
    #[test]
    fn a_port_of_a_policy_is_the_containers() {
        let policy = r#"apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: mysql, namespace: voting}
spec:
  selector: {matchLabels: {version: "2.0"}}
  mtls: {mode: STRICT}
  portLevelMtls:
    3306: {mode: DISABLE}
---
"#;
        let mutual = "  trafficPolicy:\n    tls: {mode: ISTIO_MUTUAL}\n    #           ^^^^^^^^^^^^ error: mode \
                      `ISTIO_MUTUAL` makes clients send mTLS to port 3306 of Deployment `mysql`, which accepts only \
                      plaintext\n";
        check(&RULE, &storage(&[policy, &rule(mutual)]));
        let by_service_port = policy.replace("3306: {", "13306: {");
        check(
            &RULE,
            &storage(&[&by_service_port, &rule("  trafficPolicy:\n    tls: {mode: ISTIO_MUTUAL}\n")]),
        );
    }

    /// Trap: automatic mTLS goes by namespace and mesh, never by workload.
    #[test]
    fn a_strict_workload_under_a_disabled_namespace_gets_plaintext() {
        let policies = |mesh: bool| {
            let name = if mesh { "istio-system" } else { "voting" };
            let scope = if mesh { "mesh" } else { "namespace" };
            format!(
                r#"apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: default, namespace: {name}}}
spec: {{mtls: {{mode: DISABLE}}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: redis, namespace: voting}}
spec:
  selector: {{matchLabels: {{version: "1.0"}}}}
  mtls: {{mode: STRICT}}
  #            ^^^^^^ error: port 6379 of Deployment `redis` accepts only mTLS, but clients send plaintext: automatic mTLS goes by the {scope}'s mode, `DISABLE`
---
"#
            )
        };
        check(&RULE, &storage(&[&policies(false)]));
        check(&RULE, &storage(&[&policies(true)]));
        // A DestinationRule that says so helps.
        let unmarked: Vec<String> = policies(false)
            .lines()
            .filter(|line| !line.contains('^'))
            .map(|line| format!("{line}\n"))
            .collect();
        let port =
            "  trafficPolicy:\n    portLevelSettings: [{port: {number: 6379}, tls: {mode: ISTIO_MUTUAL}}]\n";
        check(&RULE, &storage(&[&unmarked.concat(), &rule(port)]));
    }

    /// Trap: clients of a headless Service send mTLS only if every endpoint has a sidecar.
    #[test]
    fn one_pod_without_a_sidecar_makes_clients_of_a_headless_service_send_plaintext() {
        let text = storage(&[STRICT])
            .replace("spec:\n  selector: {app: storage}", "spec:\n  clusterIP: None\n  selector: {app: storage}")
            .replace(r#"version: "2.0"}"#, r#"version: "2.0", sidecar.istio.io/inject: "false"}"#)
            .replace(
                "mode: STRICT}}\n",
                "mode: STRICT}}\n#                   ^^^^^^ error: port 6379 of Deployment `redis` accepts only mTLS, but \
                 clients send plaintext: automatic mTLS is off for headless Service `storage`, because Deployment \
                 `mysql` has no sidecar\n",
            );
        check(&RULE, &text);
        let with_cluster_ip = storage(&[STRICT])
            .replace(r#"version: "2.0"}"#, r#"version: "2.0", sidecar.istio.io/inject: "false"}"#);
        check(&RULE, &with_cluster_ip);
    }

    /// Trap: of two policies the older wins, and the text does not say which that is.
    #[test]
    fn two_policies_for_the_same_pods_prove_nothing() {
        let other = STRICT.replace("default", "other").replace("STRICT", "PERMISSIVE");
        check(&RULE, &storage(&[STRICT, &other, &rule("  trafficPolicy:\n    tls: {mode: DISABLE}\n")]));
    }

    #[test]
    fn a_rule_that_another_hides_is_not_judged() {
        let hidden = rule("  trafficPolicy: {tls: {mode: DISABLE}}\n")
            .replace("namespace: voting", "namespace: istio-system")
            .replace("host: storage", "host: storage.voting.svc.cluster.local");
        let winner = rule("  trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}\n");
        check(&RULE, &storage(&[STRICT, &hidden, &winner]));
        assert_eq!(crate::testing::run(&RULE, &storage(&[STRICT, &hidden])).len(), 1);
    }

    #[test]
    fn a_rule_for_a_whole_namespace_or_mesh_meets_the_policy_of_the_same_reach() {
        let text = |namespace: &str, host: &str, place: &str| {
            format!(
                "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: default, namespace: \
                 {namespace}}}\nspec: {{mtls: {{mode: STRICT}}}}\n---\napiVersion: networking.istio.io/v1\nkind: \
                 DestinationRule\nmetadata: {{name: all, namespace: {namespace}}}\nspec:\n  host: \"{host}\"\n  \
                 trafficPolicy: {{tls: {{mode: DISABLE}}}}\n  #                           ^^^^^^^ error: mode `DISABLE` makes \
                 clients send plaintext to every host of {place}, which accepts only Istio's mTLS\n"
            )
        };
        check(&RULE, &text("voting", "*.voting.svc.cluster.local", "namespace `voting`"));
        check(&RULE, &text("istio-system", "*.local", "the mesh"));
    }

    #[test]
    fn a_caller_without_a_sidecar_is_known_when_source_labels_name_it() {
        let text = r#"apiVersion: v1
kind: Pod
metadata: {name: probe, namespace: voting, labels: {app: probe, sidecar.istio.io/inject: "false"}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: storage, namespace: voting}
spec:
  hosts: [storage]
  tcp:
  - match: [{port: 6379, sourceLabels: {app: probe}}]
    #                                   ^^^^^^^^^^ error: Pod `probe` has no sidecar and sends plaintext to Deployment `redis`, which accepts only Istio's mTLS
    route: [{destination: {host: storage, port: {number: 6379}}}]
"#;
        check(&RULE, &storage(&[STRICT, text]));
    }
}
