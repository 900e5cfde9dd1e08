//! `shadowed-route`

use rustc_hash::FxHashSet;

use super::unreachable_route::actions;
use crate::diagnostic::Severity;
use crate::mesh::matching::{Block, Regexes, Scope, entries_of};
use crate::mesh::routes::{RouteKind, VirtualService};
use crate::rule::{Check, Context, declare_rule};
use crate::span::Span;

declare_rule! {
    /// ## What it does
    /// Reports a match that an earlier rule covers: every request that meets it meets the earlier one first.
    /// Compared are paths, headers, query parameters, method, authority, port, gateways and sources; a
    /// condition that is not understood covers nothing. Rules without conditions and exact repetitions are
    /// `unreachable-route`.
    ///
    /// ## Why it matters
    /// The later rule never answers. Typically the general prefix stands before the special one, and the
    /// canary gets no request at all.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-app}
    /// spec:
    ///   hosts: [voting-app]
    ///   http:
    ///   - match:
    ///     - uri: {prefix: /vote}
    ///     route:
    ///     - destination: {host: voting-app, subset: v1-0}
    ///   - match:
    ///     - uri: {prefix: /vote/beta}
    ///       headers: {x-canary: {exact: canary}}
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
    ///     - uri: {prefix: /vote/beta}
    ///       headers: {x-canary: {exact: canary}}
    ///     route:
    ///     - destination: {host: voting-app, subset: v2-0}
    ///   - match:
    ///     - uri: {prefix: /vote}
    ///     route:
    ///     - destination: {host: voting-app, subset: v1-0}
    /// ```
    ///
    /// ## References
    /// - [Routing rule precedence](https://istio.io/latest/docs/concepts/traffic-management/#routing-rule-precedence)
    id: "shadowed-route",
    severity: Error,
    category: Routing,
    fix: None,
    since: "0.1.0",
    upstream: [],
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
    let node = |span: Span| list.items().find(|node| node.span() == span);
    let mut earlier: Vec<(Span, Block<'_>)> = Vec::new();
    let mut keys = FxHashSet::default();
    for entry in entries_of(service, kind, list) {
        for block in &entry.blocks {
            // A repetition is another rule's finding.
            if keys.contains(&block.key()) {
                continue;
            }
            let Some((rule, by)) = earlier.iter().find(|(_, earlier)| earlier.covers(*block, scope)) else {
                continue;
            };
            let same = actions(node(*rule)) == actions(node(entry.span));
            let message = "this match is never reached: an earlier rule takes every request that meets it";
            let (place, earlier_place) = places(*block, *by);
            let diagnostic = ctx.report(service.resource, place, message);
            diagnostic.related(earlier_place, "the earlier match, which covers it");
            if same {
                // Nobody notices: the answer is the same.
                diagnostic
                    .severity(Severity::Warning)
                    .help("delete the match: the earlier rule does the same");
            } else {
                diagnostic.help("put the more specific rule first");
            }
        }
        if entry.takes_everything(scope) {
            return;
        }
        if entry.is_decisive {
            keys.extend(entry.blocks.iter().map(|block| block.key()));
            earlier.extend(entry.blocks.iter().map(|block| (entry.span, *block)));
        }
    }
}

/// The uris, where both have one; the whole blocks otherwise.
fn places(later: Block<'_>, earlier: Block<'_>) -> (Span, Span) {
    let uri = |block: Block<'_>| match block {
        Block::Http(block) => block.uri.span(),
        Block::L4(_) => None,
    };
    uri(later).zip(uri(earlier)).unwrap_or((later.span(), earlier.span()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, run};

    fn two(earlier: &str, later: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: reviews}}\nspec:\n  \
             hosts: [reviews]\n  gateways: [mesh, gw]\n  http:\n  - match: [{earlier}]\n    \
             route: [{{destination: {{host: reviews, subset: v1}}}}]\n  - match: [{later}]\n    \
             route: [{{destination: {{host: reviews, subset: v2}}}}]\n"
        )
    }

    #[test]
    fn the_general_prefix_first_hides_the_special_one() {
        check(
            &RULE,
            r#"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match:
    - uri: {prefix: /a}
      #    ~~~~~~~~~~~~ related: the earlier match, which covers it
    route: [{destination: {host: reviews, subset: v1}}]
  - match:
    - uri: {prefix: /b}
    - uri: {exact: /a/b}
      #    ^^^^^^^^^^^^^ error: this match is never reached: an earlier rule takes every request that meets it
      method: {exact: GET}
    route: [{destination: {host: reviews, subset: v2}}]
"#,
        );
    }

    #[test]
    fn conditions_must_all_be_implied() {
        for (earlier, later, is_shadowed) in [
            ("{headers: {a: {exact: x}}}", "{headers: {A: {exact: x}, b: {exact: z}}}", true),
            ("{headers: {a: {exact: x}, b: {exact: z}}}", "{headers: {a: {exact: x}}}", false),
            ("{headers: {a: {}}}", "{headers: {a: {regex: 'x|z'}}}", true),
            ("{headers: {a: {regex: 'x|z'}}}", "{headers: {a: {exact: z}}}", true),
            ("{headers: {a: {regex: 'x|z'}}}", "{headers: {a: {exact: xz}}}", false),
            ("{uri: {regex: '/a/.*'}}", "{uri: {prefix: /a/b}}", true),
            ("{uri: {prefix: /A}, ignoreUriCase: true}", "{uri: {prefix: /a/b}}", true),
            ("{uri: {prefix: /a}}", "{uri: {prefix: /a/b}, ignoreUriCase: true}", false),
            ("{withoutHeaders: {a: {}}}", "{withoutHeaders: {a: {}}, method: {exact: GET}}", true),
            ("{withoutHeaders: {a: {exact: x}}}", "{headers: {a: {exact: z}}}", true),
            ("{withoutHeaders: {a: {exact: x}}}", "{headers: {b: {exact: z}}}", false),
            ("{queryParams: {a: {exact: x}}}", "{queryParams: {a: {exact: x}}, port: 80}", true),
            ("{port: 80}", "{port: 81, uri: {exact: /a}}", false),
            ("{port: 80}", "{port: 80, uri: {exact: /a}}", true),
            ("{sourceLabels: {app: a}}", "{sourceLabels: {app: a, version: '1'}}", true),
            ("{sourceLabels: {app: a, version: '1'}}", "{sourceLabels: {app: a}}", false),
            ("{sourceNamespace: a}", "{sourceNamespace: b, port: 1}", false),
        ] {
            let found = run(&RULE, &two(earlier, later)).len();
            assert_eq!(found, usize::from(is_shadowed), "{earlier} then {later}");
        }
    }

    /// Trap: with `gateways` in the match, sourceLabels and sourceNamespace are not looked at.
    #[test]
    fn gateways_in_a_match_switch_its_source_off() {
        for (earlier, later, is_shadowed) in [
            ("{gateways: [mesh], sourceLabels: {app: a}}", "{gateways: [mesh], uri: {exact: /a}}", true),
            (
                "{sourceLabels: {app: a}}",
                "{gateways: [mesh], sourceLabels: {app: a}, uri: {exact: /a}}",
                false,
            ),
            ("{gateways: [gw]}", "{gateways: [./gw], uri: {exact: /a}}", true),
            ("{gateways: [gw]}", "{uri: {exact: /a}}", false),
            ("{gateways: [gw, mesh]}", "{uri: {exact: /a}}", false),
        ] {
            let found = run(&RULE, &two(earlier, later)).len();
            assert_eq!(found, usize::from(is_shadowed), "{earlier} then {later}");
        }
    }

    #[test]
    fn repetitions_and_rules_without_match_are_left_to_unreachable_route() {
        for (earlier, later) in [("{port: 80}", "{port: 80}"), ("{uri: {prefix: /}}", "{port: 80}")] {
            let text = two(earlier, later);
            assert_eq!(run(&RULE, &text), [], "{earlier} then {later}");
            assert_eq!(run(&crate::rules::unreachable_route::RULE, &text).len(), 1, "{earlier} then {later}");
        }
    }

    /// Trap: Envoy picks SNI names and subnets by how specific they are.
    #[test]
    fn wildcard_sni_does_not_hide_a_longer_name() {
        let text = |first: &str, second: &str| {
            two(first, second).replace("  http:\n", "  tls:\n").replace("[mesh, gw]", "[gw]")
        };
        let found =
            run(&RULE, &text("{sniHosts: ['*.a.com'], port: 443}", "{sniHosts: [b.a.com], port: 443}"));
        assert_eq!(found, []);
        let found = run(&RULE, &text("{sniHosts: [b.a.com, c.a.com]}", "{sniHosts: [b.a.com], port: 443}"));
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn the_same_answer_is_only_a_warning() {
        let text = two("{uri: {prefix: /a}}", "{uri: {prefix: /a/b}}").replace("v2", "v1");
        let found = run(&RULE, &text);
        assert!(matches!(found.as_slice(), [one] if one.severity == Severity::Warning));
    }
}
