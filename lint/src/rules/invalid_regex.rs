//! `invalid-regex`

use crate::re2::Regex;
use crate::resource::networking::{StringMatch, VirtualService};
use crate::rule::{Check, Context, declare_rule};
use crate::span::Spanned;

declare_rule! {
    /// ## What it does
    /// Reports a regex in a VirtualService that RE2, the dialect of Istio and Envoy, does not accept. Look-around,
    /// backreferences, possessive and atomic groups are the usual ones; an empty regex and one of more than
    /// 1024 bytes are refused by Istio itself.
    ///
    /// ## Why it matters
    /// Istio's validation refuses the object. Where it is not asked, Envoy refuses the whole route table,
    /// so that every later change to it is lost too.
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
    ///           regex: '(?<=; )featureflag=on'
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
    /// - [RE2's syntax](https://github.com/google/re2/wiki/Syntax)
    /// - `pkg/config/validation/virtualservice.go`, `validateStringRegexp`
    id: "invalid-regex",
    severity: Error,
    category: Routing,
    fix: None,
    since: "0.1.0",
    upstream: ["IST0106"],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    for service in mesh.routes.iter() {
        for regex in regexes(service.spec) {
            let Err(error) = Regex::parse(regex) else { continue };
            let place = ctx.files.part(regex, error.offset, error.len);
            ctx.report(service.resource, place, format!("RE2 does not accept the regex: {}", error.message))
                .help("Istio and Envoy read regexes as RE2 does and match them against the whole value");
        }
    }
}

/// Every regex of a VirtualService that Istio compiles.
fn regexes(spec: &VirtualService) -> Vec<&Spanned<String>> {
    let mut found = Vec::new();
    for rule in &spec.http {
        for block in &rule.r#match {
            let whole = [&block.uri, &block.scheme, &block.method, &block.authority];
            found.extend(whole.into_iter().filter_map(|test| test.get()?.regex.as_ref()));
            let named = block.headers.iter().chain(block.query_params.iter());
            found.extend(named.filter_map(|(_, test)| test.regex.as_ref()));
            // `*` asks whether the header is there; it is no regex.
            let without = block.without_headers.iter().filter_map(|(_, test)| test.regex.as_ref());
            found.extend(without.filter(|regex| regex.value != "*"));
        }
        let origins = rule.cors_policy.get().into_iter().flat_map(|cors| &cors.allow_origins);
        found.extend(origins.filter_map(|origin: &Spanned<StringMatch>| origin.regex.as_ref()));
        let rewrite = rule.rewrite.get().and_then(|rewrite| rewrite.uri_regex_rewrite.get());
        found.extend(rewrite.and_then(|rewrite| rewrite.r#match.as_ref()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    fn with_match(block: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: reviews}}\nspec:\n  \
             hosts: [reviews]\n  http:\n  - match:\n    - {}\n    route:\n    - destination: {{host: reviews}}\n",
            block.trim().replace('\n', "\n      ")
        )
    }

    #[test]
    fn the_offending_part_is_marked_inside_the_scalar() {
        check(
            &RULE,
            &with_match(
                "uri:\n  regex: /a(?=b)\n#          ^^^ error: RE2 does not accept the regex: RE2 has no look-ahead (`(?=`)",
            ),
        );
        check(
            &RULE,
            &with_match(
                "uri: {regex: 'é(a)\\1'}\n#                 ^^ error: RE2 does not accept the regex: RE2 has no backreference (`\\1`)",
            ),
        );
    }

    #[test]
    fn a_scalar_that_is_written_otherwise_is_marked_as_a_whole() {
        check(
            &RULE,
            &with_match(
                "uri: {regex: \"a\\x28\"}\n#            ^^^^^^^ error: RE2 does not accept the regex: the group has no closing `)`",
            ),
        );
    }

    #[test]
    fn every_place_of_a_regex_is_looked_at() {
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
    - scheme: {regex: "["}
      #                ^ error: RE2 does…
      method: {regex: "("}
      #                ^ error: RE2 does…
      authority: {regex: "*"}
      #                   ^ error: RE2 does not accept the regex: there is nothing before `*` to repeat
      headers: {a: {regex: "*"}}
      #                     ^ error: RE2 does…
      withoutHeaders: {a: {regex: "*"}, b: {regex: "+"}}
      #                                             ^ error: RE2 does…
      queryParams: {a: {regex: ""}}
      #                        ^^ error: RE2 does not accept the regex: Istio refuses an empty regex
    corsPolicy: {allowOrigins: [{regex: "a)"}, {exact: "("}]}
    #                                     ^ error: RE2 does…
    rewrite: {uriRegexRewrite: {match: "a**", rewrite: "\\1"}}
    #                                    ^^ error: RE2 does…
    route:
    - destination: {host: reviews}
"#,
        );
    }

    /// Trap: the Rust `regex` crate refuses or reads these differently; Istio takes them.
    #[test]
    fn what_only_re2_accepts_is_accepted() {
        for regex in [r"\Qa(b\E", "[[a]", "a{,3}", r"\pN+", "(?)x", r"\_", "[a&&b]"] {
            check(&RULE, &with_match(&format!("uri: {{regex: '{regex}'}}")));
        }
    }
}
