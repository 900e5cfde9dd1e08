//! `cookie-regex-unanchored`

use crate::cookie::cookie_tests;
use crate::diagnostic::{Fix, Safety};
use crate::rule::{Check, Context, declare_rule};

declare_rule! {
    /// ## What it does
    /// Reports a regex on the `cookie` header that also matches inside another cookie. The regex is not read
    /// but asked: it is run, as Envoy would, over headers that carry a cookie with a longer name or value.
    ///
    /// ## Why it matters
    /// `.*flag=on.*` sends the visitor with `xflag=on` or `flag=once` to the canary too. Who is in the canary
    /// is then decided by cookies that nobody thought of.
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
    ///           regex: .*featureflag=on.*
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
    /// - [HTTPMatchRequest](https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPMatchRequest)
    /// - [RFC 6265, section 4.2.1](https://www.rfc-editor.org/rfc/rfc6265#section-4.2.1)
    id: "cookie-regex-unanchored",
    severity: Warning,
    category: Canary,
    fix: Unsafe,
    since: "0.1.0",
    upstream: [],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    for service in mesh.routes.iter() {
        for test in cookie_tests(service.spec).into_iter().filter(|test| test.field == "regex") {
            let foreign = test.foreign();
            if foreign.is_empty() {
                continue;
            }
            let also: Vec<String> = foreign.iter().map(|cookie| format!("`{cookie}`")).collect();
            let message = format!(
                "the regex looks for the cookie `{}` and also matches {}",
                test.pair,
                also.join(" and ")
            );
            let repaired = test.repaired();
            let span = test.written.span;
            let diagnostic = ctx.report(service.resource, span, message);
            if test.is_only {
                diagnostic.help(format!("`{repaired}` matches the whole cookie, wherever it stands"));
                let text = format!("'{}'", repaired.replace('\'', "''"));
                diagnostic.fix(Fix::replace(Safety::Unsafe, "match the whole cookie", span, text));
            } else {
                diagnostic.help(
                    "let the cookie begin at the start or behind `; ` and end at the end or before `;`: \
                     `^(.*?; *)?(NAME=VALUE)(;.*)?$`",
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, check_fix, run};

    fn service(header: &str, test: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: reviews}}\nspec:\n  \
             hosts: [reviews]\n  http:\n  - match:\n    - headers:\n        {header}:\n          {test}\n    \
             route:\n    - destination: {{host: reviews}}\n"
        )
    }

    /// Trap: Envoy matches the whole header, and `.*` takes in what is not meant.
    #[test]
    fn a_regex_open_on_both_sides_takes_longer_names_and_values() {
        let fixture = service(
            "Cookie",
            "regex: .*flag=on.*\n          #      ^^^^^^^^^^^ warning: the regex looks for \
            the cookie `flag=on` and also matches `xflag=on` and `flag=onx`",
        );
        check(&RULE, &fixture);
    }

    #[test]
    fn one_open_side_is_enough() {
        for (regex, taken) in [
            ("(.*; )?flag=on.*", "`flag=onx`"),
            (".*flag=on(;.*)?", "`xflag=on`"),
            (r".*\bflag=on\b.*", "`x-flag=on` and `flag=on-x`"),
            (".*flag=(on|yes)(;.*)?", "`xflag=on`"),
            (".*sid=.*", "`xsid=1`"),
        ] {
            let found = run(&RULE, &service("cookie", &format!("regex: '{regex}'")));
            let messages: Vec<&str> = found.iter().map(|d| d.message.as_str()).collect();
            assert_eq!(messages.len(), 1, "{regex}");
            assert!(messages[0].ends_with(&format!("also matches {taken}")), "{regex}: {messages:?}");
        }
    }

    #[test]
    fn what_is_anchored_or_open_on_purpose_is_silent() {
        for regex in [
            "^(.*?; *)?(flag=on)(;.*)?$",
            "^(.*?;)?(flag=on)(;.*)?$",
            "flag=on",
            "(.*; *)?group=beta-[a-z]+(;.*)?",
            "(.*; *)?[a-z]*flag=on(;.*)?",
            ".*",
            ".*(?=flag=on)",
        ] {
            check(&RULE, &service("cookie", &format!("regex: '{regex}'")));
        }
        check(&RULE, &service("x-cookie", "regex: .*flag=on.*"));
        check(&RULE, &service("cookie", "prefix: flag=on"));
    }

    #[test]
    fn the_repair_takes_the_whole_cookie() {
        let before = service("cookie", "regex: .*flag=on.* # the canary");
        let after = service("cookie", "regex: '^(.*?; *)?(flag=on)(;.*)?$' # the canary");
        check_fix(&RULE, Safety::Unsafe, &before, &after);
    }

    #[test]
    fn alternatives_are_not_repaired_by_guessing() {
        let found = run(&RULE, &service("cookie", "regex: .*flag=(on|yes).*"));
        assert!(found.iter().all(|diagnostic| diagnostic.fix.is_none()));
    }
}
