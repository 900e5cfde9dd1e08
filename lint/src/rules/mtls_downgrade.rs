//! `mtls-downgrade`

use rustc_hash::FxHashSet;

use super::mtls_client_server_conflict::conflict;
use crate::mesh::Mesh;
use crate::mesh::mtls::{Accepts, Sent, Servers};
use crate::mesh::security::{Decision, Mode, Policy, Scope};
use crate::resource::Resource;
use crate::rule::{Check, Context, declare_rule};
use crate::span::Span;

declare_rule! {
    /// ## What it does
    /// Reports a policy or DestinationRule that gives up mTLS where the rest of the namespace or mesh
    /// insists on it. That is a PeerAuthentication with `PERMISSIVE` or `DISABLE` under `STRICT`, and a DestinationRule that
    /// turns TLS off for pods that would take it. Calls that fail outright are reported by
    /// `mtls-client-server-conflict` instead.
    ///
    /// ## Why it matters
    /// Everything works, in plaintext: whoever can reach the pods can read and forge these calls, and
    /// policies that go by the caller's identity see none. Exceptions made for a migration tend to outlive it.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: security.istio.io/v1
    /// kind: PeerAuthentication
    /// metadata: {name: default, namespace: voting}
    /// spec: {mtls: {mode: STRICT}}
    /// ---
    /// apiVersion: security.istio.io/v1
    /// kind: PeerAuthentication
    /// metadata: {name: voting-storage, namespace: voting}
    /// spec:
    ///   selector: {matchLabels: {app: voting-storage}}
    ///   mtls: {mode: PERMISSIVE}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: security.istio.io/v1
    /// kind: PeerAuthentication
    /// metadata: {name: default, namespace: voting}
    /// spec: {mtls: {mode: STRICT}}
    /// ```
    ///
    /// ## References
    /// - [Mutual TLS migration](https://istio.io/latest/docs/tasks/security/authentication/mtls-migration/)
    id: "mtls-downgrade",
    severity: Warning,
    category: Mtls,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    for policy in mesh.peer_authentications.iter() {
        servers_side(ctx, policy);
    }
    let servers = Servers::new(mesh);
    for rule in mesh.destination_rules.iter() {
        let plaintext =
            |sent: Sent, mode: Option<Mode>| sent == Sent::Plaintext && mode == Some(Mode::Permissive);
        let meetings = servers
            .meetings(rule, plaintext, |meeting| strict_around(mesh, meeting.workload.namespace()).is_some());
        if meetings.is_empty() {
            continue;
        }
        // Where the setting breaks calls, that is the finding.
        let mut seen: FxHashSet<Span> =
            servers.meetings(rule, conflict, |_| true).iter().map(|meeting| meeting.setting.span()).collect();
        for meeting in &meetings {
            let span = meeting.setting.span();
            let Some((around, strict)) = strict_around(mesh, meeting.workload.namespace()) else { continue };
            if !seen.insert(span) {
                continue;
            }
            let name = meeting.workload.resource.describe();
            let diagnostic =
                ctx.report(rule.resource, span, format!("TLS is turned off for {name}, which accepts mTLS"));
            diagnostic.help("leave `tls` out, or use `ISTIO_MUTUAL`");
            diagnostic.related(strict, format!("{} asks for mTLS all around", around.describe()));
            if let Accepts::Policy(Decision { by: Some((policy, span)), .. }) = meeting.accepts {
                diagnostic.related(span, format!("{} lets these pods accept plaintext", policy.describe()));
            }
        }
    }
}

/// The policy that is `STRICT` for a namespace, or for the mesh around it.
fn strict_around<'a>(mesh: &Mesh<'a>, namespace: &str) -> Option<(&'a Resource, Span)> {
    let policies = &mesh.peer_authentications;
    let decisions = [policies.of_namespace(namespace), policies.of_namespace(&mesh.config.root_namespace)];
    decisions.into_iter().find(|decision| decision.mode == Mode::Strict)?.by
}

fn servers_side(ctx: &mut Context<'_>, policy: &Policy<'_>) {
    let mesh = ctx.mesh;
    let policies = &mesh.peer_authentications;
    let namespace = policy.resource.namespace();
    let root = mesh.config.root_namespace.as_str();
    let around = match policy.scope {
        Scope::Namespace => policies.of_namespace(root),
        // Istio ignores selectors in the root namespace.
        Scope::Workload if namespace != root => policies.of_namespace(namespace),
        _ => return,
    };
    let own = policy.decision().unwrap_or(around);
    let mut report = |span: Span, what: &str, mode: Mode, strict: Option<(&Resource, Span)>| {
        let accepts = if mode == Mode::Disable { "only plaintext" } else { "plaintext too" };
        let Some((other, place)) = strict else { return };
        let message = format!("mode `{}` makes {what} accept {accepts}", mode.as_str());
        let rest = match (other.key() == policy.resource.key(), other.namespace() == root) {
            (true, _) => "where the rest of the pods' ports".to_owned(),
            (false, true) => "where the rest of the mesh".to_owned(),
            (false, false) => format!("where the rest of namespace `{namespace}`"),
        };
        ctx.report(policy.resource, span, format!("{message}, {rest} is `STRICT`"))
            .help("go back to `STRICT` once every caller has a sidecar")
            .related(place, format!("{} asks for mTLS", other.describe()));
    };
    let is_strict = |decision: &Decision<'_>| decision.mode == Mode::Strict;
    let subject = if policy.scope == Scope::Namespace {
        format!("namespace `{namespace}`")
    } else {
        format!("the pods with {}", policy.selector().map(|labels| labels.describe()).unwrap_or_default())
    };
    if let Some((_, span)) = own.by.filter(|_| policy.decision().is_some() && !is_strict(&own)) {
        report(span, &subject, own.mode, around.by.filter(|_| is_strict(&around)));
    }
    if policy.scope == Scope::Namespace {
        return;
    }
    for (port, decision) in policy.port_decisions() {
        if let Some((_, span)) = decision.by.filter(|_| !is_strict(&decision)) {
            let subject = format!("port {port} of {subject}");
            report(span, &subject, decision.mode, own.by.filter(|_| is_strict(&own)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::mtls_client_server_conflict;
    use crate::testing::{check, run};

    fn policy(name: &str, namespace: &str, spec: &str) -> String {
        format!(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, namespace: \
             {namespace}}}\nspec:\n{spec}---\n"
        )
    }

    const STRICT: &str = "  mtls: {mode: STRICT}\n";
    const SELECTOR: &str = "  selector: {matchLabels: {app: storage}}\n";

    #[test]
    fn a_workload_that_is_softer_than_its_namespace() {
        let strict =
            format!("{STRICT}  #            ~~~~~~ related: PeerAuthentication `default` asks for mTLS\n");
        let soft = format!(
            "{SELECTOR}  mtls: {{mode: PERMISSIVE}}\n  #            ^^^^^^^^^^ warning: mode `PERMISSIVE` makes the pods \
             with app=storage accept plaintext too, where the rest of namespace `a` is `STRICT`\n"
        );
        check(&RULE, &[policy("default", "a", &strict), policy("storage", "a", &soft)].concat());
    }

    #[test]
    fn a_namespace_that_is_softer_than_the_mesh() {
        let off = "  mtls: {mode: DISABLE}\n  #            ^^^^^^^ warning: mode `DISABLE` makes namespace `a` accept only \
                   plaintext, where the rest of the mesh is `STRICT`\n";
        check(&RULE, &[policy("default", "istio-system", STRICT), policy("default", "a", off)].concat());
    }

    #[test]
    fn a_port_that_is_softer_than_its_workload() {
        let own = format!(
            "{SELECTOR}{STRICT}  portLevelMtls:\n    9090: {{mode: PERMISSIVE}}\n    #            ^^^^^^^^^^ warning: mode \
             `PERMISSIVE` makes port 9090 of the pods with app=storage accept plaintext too, where the rest of the pods' \
             ports is `STRICT`\n"
        );
        check(&RULE, &policy("storage", "a", &own));
        let inherited = format!(
            "{SELECTOR}  portLevelMtls:\n    9090: {{mode: PERMISSIVE}}\n    #            ^^^^^^^^^^ warning: mode …\n"
        );
        check(&RULE, &[policy("default", "a", STRICT), policy("storage", "a", &inherited)].concat());
    }

    #[test]
    fn nothing_is_given_up_where_nothing_insists() {
        let soft = format!("{SELECTOR}  mtls: {{mode: DISABLE}}\n");
        let permissive = "  mtls: {mode: PERMISSIVE}\n";
        check(&RULE, &[policy("default", "a", permissive), policy("storage", "a", &soft)].concat());
        let unset = format!("{SELECTOR}  mtls: {{mode: UNSET}}\n");
        check(&RULE, &[policy("default", "a", STRICT), policy("storage", "a", &unset)].concat());
        // Ignored by Istio, which another rule reports.
        let root = [policy("default", "istio-system", STRICT), policy("x", "istio-system", &soft)].concat();
        check(&RULE, &root);
    }

    #[test]
    fn a_rule_that_turns_tls_off_where_the_pods_would_take_it() {
        let pods = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {istio-injection: enabled}}\n---\n\
                    apiVersion: v1\nkind: Pod\nmetadata: {name: redis, namespace: a, labels: {app: storage}}\n---\n\
                    apiVersion: v1\nkind: Service\nmetadata: {name: storage, namespace: a}\nspec: {selector: {app: \
                    storage}, ports: [{name: redis, port: 6379}]}\n---\n";
        let rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: storage, namespace: \
                    a}\nspec:\n  host: storage\n  trafficPolicy:\n    tls: {mode: DISABLE}\n";
        let marked = format!(
            "{rule}    #           ^^^^^^^ warning: TLS is turned off for Pod `redis`, which accepts mTLS\n"
        );
        let soft = policy("soft", "a", "  mtls: {mode: PERMISSIVE}\n").replace(
            "PERMISSIVE}\n",
            "PERMISSIVE}\n  #            ^^^^^^^^^^ warning: mode `PERMISSIVE` makes …\n",
        );
        let strict = policy("default", "istio-system", STRICT);
        check(&RULE, &[pods, &strict, &soft, &marked].concat());
        // Without anything strict around there is no downgrade.
        check(&RULE, &[pods, rule].concat());
        // STRICT pods refuse the plaintext: an error of the other rule, and no second finding here.
        let broken = [pods, &strict, rule].concat();
        check(&RULE, &broken);
        assert_eq!(run(&mtls_client_server_conflict::RULE, &broken).len(), 1);
    }
}
