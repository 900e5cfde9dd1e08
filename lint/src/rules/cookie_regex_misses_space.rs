//! `cookie-regex-misses-space`

use crate::cookie::{CookieTest, cookie_tests};
use crate::diagnostic::{Edit, Fix, Safety};
use crate::resource::Resource;
use crate::rule::{Check, Context, declare_rule};
use crate::span::Span;

declare_rule! {
    /// ## What it does
    /// Reports a match on the `cookie` header that fails when the browser sends other cookies too. Cookies are
    /// joined with `; `, and the match is tried against the whole header: a regex that forgets the space,
    /// a bare `flag=on`, an `exact` and a `prefix` all miss some of the headers that carry the cookie.
    ///
    /// ## Why it matters
    /// The canary works in a test with one cookie and loses its visitors as soon as a session or consent
    /// cookie stands before the flag.
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
    ///     - headers:
    ///         cookie:
    ///           regex: '^(.*?;)?(featureflag=on)(;.*)?$'
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
    ///     - headers:
    ///         cookie:
    ///           regex: '^(.*?; *)?(featureflag=on)(;.*)?$'
    ///     route:
    ///     - destination: {host: voting-app, subset: v2-0}
    /// ```
    ///
    /// ## References
    /// - [RFC 6265, section 4.2.1](https://www.rfc-editor.org/rfc/rfc6265#section-4.2.1): the `Cookie` header
    ///   joins its pairs with a semicolon and a space
    /// - [istio/old_issues_repo#314](https://github.com/istio/old_issues_repo/issues/314)
    id: "cookie-regex-misses-space",
    severity: Warning,
    category: Canary,
    fix: Safe,
    since: "0.1.0",
    upstream: [],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    for service in mesh.routes.iter() {
        for test in cookie_tests(service.spec) {
            let missed = test.missed();
            let Some(first) = missed.first() else { continue };
            let (pair, field) = (&test.pair, test.field);
            let space =
                (field == "regex" && test.forgets_the_space()).then(|| test.missing_space()).flatten();
            let message = if field == "regex" && test.forgets_the_space() {
                format!("the regex misses `a=b; {pair}`: browsers put a space behind the `;`")
            } else if missed.len() == 3 && test.accepts(pair) {
                format!("the `{field}` match wants `{pair}` as the only cookie and misses `{first}`")
            } else {
                format!("the `{field}` match looks for the cookie `{pair}` and misses `{first}`")
            };
            let fix = match space {
                Some(offset) => insert_space(ctx, &test, offset),
                None if test.is_only => rewrite(ctx, service.resource, &test),
                None => None,
            };
            let diagnostic = ctx.report(service.resource, test.written.span, message);
            diagnostic.fix = fix;
            diagnostic.help(match (space, test.is_only) {
                (Some(_), _) => "let any number of spaces follow the `;`: `; *`".to_owned(),
                (None, true) => {
                    format!("the regex `{}` finds the cookie wherever it stands", test.repaired())
                }
                (None, false) => "write the regex as `^(.*?; *)?(NAME=VALUE)(;.*)?$`".to_owned(),
            });
        }
    }
}

fn insert_space(ctx: &Context<'_>, test: &CookieTest<'_>, offset: usize) -> Option<Fix> {
    let inside = ctx.files.verbatim(test.written)?;
    let at = inside.start + u32::try_from(offset).ok()?;
    let place = Span::new(inside.file, at, at);
    Some(Fix::replace(Safety::Safe, "allow the space", place, " *"))
}

/// The test as a regex that is right; `exact` and `prefix` become `regex`.
fn rewrite(ctx: &Context<'_>, resource: &Resource, test: &CookieTest<'_>) -> Option<Fix> {
    let value = test.written.span;
    let owner =
        resource.node(ctx.documents)?.covering(value).into_iter().rev().find(|node| node.is_mapping())?;
    let (key, node) = owner.entry(test.field)?;
    if node.span() != value || node.is_alias() {
        return None;
    }
    let text = format!("'{}'", test.repaired().replace('\'', "''"));
    let mut edits = vec![Edit { span: value, text }];
    if test.field != "regex" {
        edits.insert(0, Edit { span: key.span(), text: "regex".to_owned() });
    }
    Some(Fix { title: "match the whole cookie".to_owned(), safety: Safety::Unsafe, edits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, check_fix, run};

    fn service(test: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: reviews}}\nspec:\n  \
             hosts: [reviews]\n  http:\n  - match:\n    - headers:\n        cookie:\n          {test}\n    \
             route:\n    - destination: {{host: reviews}}\n"
        )
    }

    /// Trap: the sample regex of Istio's old documentation.
    #[test]
    fn the_classic_regex_misses_the_space() {
        check(
            &RULE,
            &service(
                "regex: '^(.*?;)?(flag=on)(;.*)?$'\n          #      ^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: \
            the regex misses `a=b; flag=on`: browsers put a space behind the `;`",
            ),
        );
    }

    /// Trap: a full match on one cookie fails with any second one.
    #[test]
    fn a_bare_cookie_must_be_the_only_one() {
        for (field, width) in [("regex", "^^^^^^^"), ("exact", "^^^^^^^")] {
            check(
                &RULE,
                &service(&format!(
                    "{field}: flag=on\n          #      {width} warning: the `{field}` match \
                wants `flag=on` as the only cookie and misses `flag=on; a=b`"
                )),
            );
        }
    }

    #[test]
    fn a_cookie_that_must_come_first_is_missed_behind_others() {
        for test in ["prefix: flag=on", "regex: flag=on(;.*)?"] {
            let found = run(&RULE, &service(test));
            let messages: Vec<&str> = found.iter().map(|d| d.message.as_str()).collect();
            assert_eq!(messages.len(), 1, "{test}");
            assert!(
                messages[0].ends_with("looks for the cookie `flag=on` and misses `a=b; flag=on`"),
                "{messages:?}"
            );
        }
    }

    #[test]
    fn what_takes_the_cookie_anywhere_is_silent() {
        for regex in ["^(.*?; *)?(flag=on)(;.*)?$", ".*flag=on.*", "(.*; )?flag=on(;.*)?", ".*", ".*canary.*"]
        {
            check(&RULE, &service(&format!("regex: '{regex}'")));
        }
        // The whole header of somebody's own client.
        check(&RULE, &service("exact: a=b; flag=on"));
    }

    #[test]
    fn both_cookie_rules_speak_only_when_both_are_right() {
        let other = &crate::rules::cookie_regex_unanchored::RULE;
        for (regex, misses, foreign) in [
            ("^(.*?;)?(flag=on)(;.*)?$", 1, 0),
            ("flag=on", 1, 0),
            (".*flag=on.*", 0, 1),
            ("(.*;)?flag=on.*", 1, 1),
            ("^(.*?; *)?(flag=on)(;.*)?$", 0, 0),
        ] {
            let text = service(&format!("regex: '{regex}'"));
            assert_eq!((run(&RULE, &text).len(), run(other, &text).len()), (misses, foreign), "{regex}");
        }
    }

    #[test]
    fn the_space_is_let_in_safely() {
        for quote in ["'", "\"", ""] {
            let before = service(&format!("regex: {quote}^(.*?;)?(flag=on)(;.*)?${quote} # canary"));
            let after = service(&format!("regex: {quote}^(.*?; *)?(flag=on)(;.*)?${quote} # canary"));
            check_fix(&RULE, Safety::Safe, &before, &after);
        }
    }

    #[test]
    fn an_exact_match_becomes_a_regex() {
        let after = service("regex: '^(.*?; *)?(flag=o\\.n)(;.*)?$' # canary");
        check_fix(&RULE, Safety::Unsafe, &service("exact: flag=o.n # canary"), &after);
        check_fix(&RULE, Safety::Unsafe, &service("prefix: \"flag=o.n\" # canary"), &after);
    }
}
