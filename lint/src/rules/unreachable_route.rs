//! `unreachable-route`

use rustc_hash::FxHashMap;

use crate::diagnostic::{Fix, Safety};
use crate::fix::delete_item;
use crate::mesh::matching::{Block, Entry, Regexes, Scope, entries_of};
use crate::mesh::routes::{RouteKind, VirtualService};
use crate::rule::{Check, Context, declare_rule};
use crate::yaml::NodeRef;

declare_rule! {
    /// ## What it does
    /// Reports a rule of a VirtualService that stands after one without conditions, and a match block that
    /// repeats an earlier one. A block `prefix: /` without other conditions takes every request too: Istio
    /// stops building routes there.
    ///
    /// ## Why it matters
    /// Rules are tried in order and the first that matches answers. The later rule looks as if it did
    /// something and never does.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-app}
    /// spec:
    ///   hosts: [voting-app]
    ///   http:
    ///   - route:
    ///     - destination: {host: voting-app, subset: v1-0}
    ///   - match:
    ///     - headers: {x-canary: {exact: canary}}
    ///     route:
    ///     - destination: {host: voting-app, subset: v2-0}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-app}
    /// spec:
    ///   hosts: [voting-app]
    ///   http:
    ///   - match:
    ///     - headers: {x-canary: {exact: canary}}
    ///     route:
    ///     - destination: {host: voting-app, subset: v2-0}
    ///   - route:
    ///     - destination: {host: voting-app, subset: v1-0}
    /// ```
    ///
    /// ## References
    /// - [Routing rule precedence](https://istio.io/latest/docs/concepts/traffic-management/#routing-rule-precedence)
    /// - `pilot/pkg/networking/core/route/route.go`, `BuildHTTPRoutesForVirtualService`, `IsCatchAllRoute`
    id: "unreachable-route",
    severity: Warning,
    category: Routing,
    fix: Safe,
    since: "0.1.0",
    upstream: ["IST0130", "IST0131"],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    for service in mesh.routes.iter() {
        for kind in RouteKind::ALL {
            check_list(ctx, service, kind);
        }
    }
}

fn check_list(ctx: &mut Context<'_>, service: &VirtualService<'_>, kind: RouteKind) {
    let documents = ctx.documents;
    let list = service.resource.node(documents).and_then(|node| node.path(&["spec", kind.as_str()]));
    let Some(list) = list else { return };
    let regexes = Regexes::default();
    let scope = Scope { namespace: service.namespace(), gateways: &service.spec.gateways, regexes: &regexes };
    let entries = entries_of(service, kind, list);
    let mut last: Option<&Entry<'_>> = None;
    let mut seen: FxHashMap<String, (usize, Block<'_>)> = FxHashMap::default();
    for entry in &entries {
        if let Some(last) = last {
            let message =
                format!("this {} rule is never reached: an earlier one takes every request", kind.as_str());
            let diagnostic = ctx.report(service.resource, ctx.files.head(entry.span), message);
            diagnostic.help("move the rule up, or delete it");
            match last.blocks.iter().find(|block| block.covers_everything(scope)) {
                Some(block) => diagnostic.related(block.span(), "every request meets this match"),
                None => diagnostic.related(last.span, "this rule has no `match`"),
            };
            continue;
        }
        if entry.takes_everything(scope) {
            last = Some(entry);
        }
        let mut repeated = Vec::new();
        for block in &entry.blocks {
            let key = block.key();
            match seen.get(&key) {
                Some(earlier) => repeated.push((*block, *earlier)),
                None if entry.is_decisive => {
                    seen.insert(key, (entry.index, *block));
                }
                None => {}
            }
        }
        let all = !repeated.is_empty() && repeated.len() == entry.blocks.len();
        let rule = list.items().find(|node| node.span() == entry.span);
        let earlier_rule = |index: usize| {
            let span = entries.get(index)?.span;
            list.items().find(|node| node.span() == span)
        };
        if all && repeated.iter().all(|(_, (index, _))| *index != entry.index) {
            let message = format!(
                "this {} rule is never reached: every match of it stands in an earlier rule too",
                kind.as_str()
            );
            let same = repeated.iter().all(|(_, (index, _))| actions(rule) == actions(earlier_rule(*index)));
            let edit = rule.and_then(|rule| delete_item(ctx.files, list, rule));
            let diagnostic = ctx.report(service.resource, ctx.files.head(entry.span), message);
            diagnostic.help("delete the rule, or give it the conditions it was meant to have");
            for (_, (_, earlier)) in repeated {
                diagnostic.related(earlier.span(), "the same match, which answers first");
            }
            diagnostic.fix = edit.map(|edit| fix("delete the rule", same, edit));
            continue;
        }
        for (block, (index, earlier)) in repeated {
            let blocks = rule.and_then(|rule| rule.get("match"));
            let node = blocks.and_then(|blocks| blocks.items().find(|node| node.span() == block.span()));
            let edit = blocks.zip(node).and_then(|(blocks, node)| delete_item(ctx.files, blocks, node));
            let same = index == entry.index || actions(rule) == actions(earlier_rule(index));
            let diagnostic = ctx.report(service.resource, block.span(), "this match repeats an earlier one");
            diagnostic.help("delete the match, or give it the conditions it was meant to have");
            diagnostic.related(earlier.span(), "the same match, which answers first");
            diagnostic.fix = edit.map(|edit| fix("delete the match", same, edit));
        }
    }
}

/// Deleting what does the same as the earlier rule is safe; otherwise the match may be the mistake.
fn fix(title: &str, same: bool, edit: crate::Edit) -> Fix {
    let safety = if same { Safety::Safe } else { Safety::Unsafe };
    Fix { title: title.to_owned(), safety, edits: vec![edit] }
}

/// What a rule does with its requests, to compare.
pub(super) fn actions(rule: Option<NodeRef<'_>>) -> Option<String> {
    let entries = rule?.entries().into_iter();
    let actions = entries.filter(|(key, _)| !matches!(key.key().as_ref(), "match" | "name"));
    let mut actions: Vec<String> = actions.map(|(key, value)| format!("{}: {value:?}", key.key())).collect();
    actions.sort_unstable();
    Some(actions.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, check_fix};

    fn service(rules: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: reviews}}\nspec:\n  \
             hosts: [reviews]\n{rules}"
        )
    }

    #[test]
    fn a_rule_after_one_without_match_is_never_reached() {
        check(&RULE, &service("  http:
  - route: [{destination: {host: reviews, subset: v1}}]
#   ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~ related: this rule has no `match`
  - route: [{destination: {host: reviews, subset: v2}}]
#   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: this http rule is never reached: an earlier one takes every request
"));
    }

    /// Trap: building stops after a catch-all, whatever other blocks the rule has.
    #[test]
    fn a_catch_all_prefix_ends_the_list() {
        for catch_all in ["uri: {prefix: /}", "uri: {regex: .*}", "{}", "gateways: [mesh]", "name: all"] {
            check(
                &RULE,
                &service(&format!(
                    "  http:
  - match: [{{uri: {{exact: /a}}}}, {}]
    route: [{{destination: {{host: reviews}}}}]
  - match: [{{uri: {{exact: /b}}}}]
#   ^^^^^ warning: this http rule is never…
    route: [{{destination: {{host: reviews}}}}]
",
                    if catch_all == "{}" { "{}".to_owned() } else { format!("{{{catch_all}}}") }
                )),
            );
        }
    }

    /// Trap: sourceLabels, port and gateways filter when routes are built, for some clients only.
    #[test]
    fn a_catch_all_of_some_clients_does_not_end_the_list() {
        for some in [
            "sourceLabels: {app: a}",
            "port: 80",
            "gateways: [gw]",
            "sourceNamespace: a",
            "uri: {prefix: /a}",
        ] {
            check(
                &RULE,
                &service(&format!(
                    "  gateways: [mesh, gw]
  http:
  - match: [{{{some}}}]
    route: [{{destination: {{host: reviews}}}}]
  - route: [{{destination: {{host: reviews}}}}]
"
                )),
            );
        }
    }

    /// Trap: a delegate answers only what its own matches take.
    #[test]
    fn a_delegation_does_not_end_the_list() {
        check(
            &RULE,
            &service("  http:\n  - delegate: {name: other}\n  - route: [{destination: {host: reviews}}]\n"),
        );
    }

    #[test]
    fn a_match_that_cannot_be_read_is_not_taken_for_none() {
        check(
            &RULE,
            &service(
                "  http:\n  - match: {uri: {prefix: /a}}\n    route: [{destination: {host: reviews}}]\n  \
            - match: [{uri: /a}]\n    route: [{destination: {host: reviews}}]\n  \
            - route: [{destination: {host: reviews}}]\n",
            ),
        );
    }

    #[test]
    fn a_repeated_match_is_found_in_any_order_and_spelling() {
        check(&RULE, &service("  http:
  - match:
    - headers: {a: {exact: x}, B: {exact: z}}
#     ~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~ related: the same match, which answers first
      port: 80
    route: [{destination: {host: reviews, subset: v1}}]
  - match:
    - {port: 80, headers: {b: {exact: z}, a: {exact: x}}, name: again}
#     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: this match repeats an earlier one
    - uri: {prefix: /b}
    route: [{destination: {host: reviews, subset: v2}}]
"));
    }

    #[test]
    fn tcp_and_tls_rules_are_looked_at_too() {
        check(
            &RULE,
            &service(
                "  tls:
  - match: [{sniHosts: [a.example.com], port: 443}]
    route: [{destination: {host: reviews}}]
  - match: [{port: 443, sniHosts: [a.example.com]}]
#   ^^^^^ warning: this tls rule is never reached: every match…
    route: [{destination: {host: other}}]
  tcp:
  - route: [{destination: {host: reviews}}]
  - match: [{port: 80}]
#   ^^^^^ warning: this tcp rule is never reached: an earlier…
    route: [{destination: {host: reviews}}]
",
            ),
        );
    }

    #[test]
    fn an_exact_duplicate_is_deleted_with_its_line() {
        let before = service(
            "  http:
  - match:
    - uri: {exact: /a}
      # about b
    - uri: {exact: /b} # first
    - uri:
        exact: /b # second
    # the end
    route: [{destination: {host: reviews}}]
",
        );
        let after = before.replace("    - uri:\n        exact: /b # second\n", "");
        check_fix(&RULE, Safety::Safe, &before, &after);
    }

    #[test]
    fn a_duplicate_rule_that_does_the_same_is_deleted() {
        let before = service(
            "  http:
  - match: [{port: 1}, {port: 2}, {port: 1}]
    route: [{destination: {host: reviews}}]
  - name: again
    match: [{port: 2}]
    route:
    - destination:
        host: reviews
  # the rest
  - route: [{destination: {host: other}}]
",
        );
        let after = service(
            "  http:
  - match: [{port: 1}, {port: 2}]
    route: [{destination: {host: reviews}}]
  # the rest
  - route: [{destination: {host: other}}]
",
        );
        check_fix(&RULE, Safety::Safe, &before, &after);
    }
}
