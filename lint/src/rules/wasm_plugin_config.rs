//! `wasm-plugin-config`

use coalmine_filter::config::{Problem, Severity as Level};

use crate::diagnostic::{Fix, Safety, Severity};
use crate::mesh::filters::Filter;
use crate::plugin::{self, Place};
use crate::rule::{Check, InputContext, declare_rule};
use crate::yaml::{NodeRef, Scalar};

declare_rule! {
    /// ## What it does
    /// Checks the `pluginConfig` of every WasmPlugin that runs Coalmine's filter, with the filter's own code.
    /// A WasmPlugin runs it when its `pluginName` is `coalmine`, when its `url` ends in `coalmine`,
    /// `coalmine/filter` or `coalmine-filter…`, or when `pluginConfig.flags` lists a flag with a `name` and a
    /// `rollout` or an `optIn`. Signing keys that the configuration needs must be named in `vmConfig.env`, and with
    /// `valueFrom: HOST`: a key in the manifest is a warning, and so is a missing one that only verifies.
    ///
    /// ## Why it matters
    /// Istio's webhook does not look into `pluginConfig`. At run time the filter makes the best of a bad one: it
    /// strips the tags and routes everyone to stable, so the canary silently gets no requests. With
    /// `onBadConfig: reject` running pods keep the last good configuration and every new pod answers 500.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: extensions.istio.io/v1alpha1
    /// kind: WasmPlugin
    /// metadata: {name: coalmine, namespace: istio-ingress}
    /// spec:
    ///   selector: {matchLabels: {istio: ingressgateway}}
    ///   url: oci://ghcr.io/coalmine/filter@sha256:0000000000000000000000000000000000000000000000000000000000000000
    ///   phase: AUTHN
    ///   pluginConfig:
    ///     flags:
    ///     - name: voting-2-0
    ///       header: x-canary
    ///       optin:
    ///         cookie: {name: featureflag, value: "on"}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: extensions.istio.io/v1alpha1
    /// kind: WasmPlugin
    /// metadata: {name: coalmine, namespace: istio-ingress}
    /// spec:
    ///   selector: {matchLabels: {istio: ingressgateway}}
    ///   url: oci://ghcr.io/coalmine/filter@sha256:0000000000000000000000000000000000000000000000000000000000000000
    ///   phase: AUTHN
    ///   pluginConfig:
    ///     flags:
    ///     - name: voting-2-0
    ///       header: x-canary
    ///       optIn:
    ///         cookie: {name: featureflag, value: "on"}
    /// ```
    ///
    /// ## References
    /// - `filter/schema.json`: the JSON Schema of `pluginConfig`
    /// - [WasmPlugin](https://istio.io/latest/docs/reference/config/proxy_extensions/wasm-plugin/#WasmPlugin):
    ///   `pluginConfig` is passed on as it is
    id: "wasm-plugin-config",
    severity: Error,
    category: Filter,
    fix: Safe,
    since: "0.1.0",
    upstream: [],
    check: Check::Input(check),
}

fn check(ctx: &mut InputContext<'_>) {
    let resources = ctx.resources;
    for filter in resources.iter().filter_map(Filter::of) {
        let Some(spec) = filter.resource.node(ctx.documents).and_then(|node| node.get("spec")) else {
            continue;
        };
        let written = spec.entry("pluginConfig");
        for problem in &filter.problems {
            let place = written.map(|(key, config)| {
                let place = plugin::locate(config, &problem.path);
                // The way ends at the top: the key `pluginConfig` stands for all of it.
                if place.value.id() == config.id() { Place { key: Some(key), ..place } } else { place }
            });
            let span = match &place {
                Some(place) if problem.severity == Level::Unknown => {
                    place.key.map_or_else(|| place.span(), NodeRef::span)
                }
                Some(place) => place.span(),
                None => filter.spec.url.span().unwrap_or_else(|| spec.span()),
            };
            let severity = match problem.severity {
                Level::Warning => Severity::Warning,
                Level::Unknown | Level::Error => Severity::Error,
            };
            let fix = place.and_then(|place| fix(&place, problem));
            let message = plugin::describe(problem, place.as_ref());
            let diagnostic = ctx.report(Some(filter.resource), span, message);
            diagnostic.severity(severity);
            if let Some(fix) = fix {
                diagnostic.fix(fix);
            }
        }
        let vm = filter.spec.vm_config.get();
        for env in vm.into_iter().flat_map(|vm| vm.env.iter()) {
            let key = filter.config.keys.iter().find(|key| key.env == env.name.text());
            if let (Some(key), Some(value)) =
                (key, env.value.value.as_ref().filter(|value| !value.is_empty()))
            {
                let message =
                    format!("signing key `{}` stands in the manifest: who can read it can sign", key.id);
                ctx.report(Some(filter.resource), value.span, message)
                    .severity(Severity::Warning)
                    .help("use `valueFrom: HOST` and give the proxy the variable from a Secret");
            }
        }
    }
}

/// The word that was meant, in place of the one that is there; or quotes around a word that YAML reads as
/// something else.
fn fix(place: &Place<'_>, problem: &Problem) -> Option<Fix> {
    let (node, is_key) = match problem.severity {
        Level::Unknown => (place.key?, true),
        _ => (place.value, false),
    };
    if !place.is_whole || node.is_alias() || node.is_empty_text() {
        return None;
    }
    let text = node.text()?;
    if let Some(word) = problem.suggestion {
        let safety = if text.eq_ignore_ascii_case(word) { Safety::Safe } else { Safety::Unsafe };
        // Bare `off` would be a boolean.
        let written = if !is_key && word == "off" { format!("\"{word}\"") } else { word.to_owned() };
        return Some(Fix::replace(safety, format!("write `{word}`"), node.span(), written));
    }
    let is_bare = matches!(node.scalar(), Some(Scalar::Bool(_) | Scalar::Int(_) | Scalar::UInt(_)));
    (is_bare && !is_key && problem.message.contains("; quote it"))
        .then(|| Fix::replace(Safety::Safe, format!("quote `{text}`"), node.span(), format!("\"{text}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, check_fix};

    const HEAD: &str = "\
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: coalmine}
spec:
  url: oci://ghcr.io/coalmine/filter@sha256:0000000000000000000000000000000000000000000000000000000000000000
  phase: AUTHN
";

    #[test]
    fn every_problem_is_marked_at_the_field_that_is_wrong() {
        let config = r#"
  vmConfig: {env: [{name: COALMINE_KEY_K1, valueFrom: HOST}]}
  pluginConfig:
    mode: enforec
    #     ^^^^^^^ error: mode: `enforec` is not one of enforce, observe, off, did you mean `enforce`?
    colour: blue
    ^^^^^^ error: colour: unknown field; the fields here are …
    flags:
    - name: checkout
      rollout:
      ^^^^^^^ error: flags[0].rollout: percentages sum to 112, at most 100
        canary: 112
        #       ^^^ error: flags[0].rollout.canary: 112 is not a percentage from 0 to 100 in steps of 0.001
"#;
        // The sum is only looked at when each part is a percentage.
        let config = config.replace("canary: 112\n        #       ^^^ error: flags[0].rollout.canary: 112 is not a percentage from 0 to 100 in steps of 0.001", "canary: {percent: 100, start: 0}\n        blue: 12");
        check(&RULE, &format!("{HEAD}{}", config.trim_start_matches('\n')));
        let config = r#"
  pluginConfig:
    flags:
    - header: x-canary
    # ^^^^^^ error: flags[0]: `name` is missing
    - name: search
      optIn:
        cookie: {name: featureflag, value: on}
        #                                  ^^ error: flags[1].optIn.cookie.value: expected a string, found the boolean true; quote it…
    - name: third
      optIn:
        cookie: {name: other}
        ^^^^^^ error: flags[2].optIn.cookie: needs `value`, `values` or `optOut`
"#;
        check(&RULE, &format!("{HEAD}{}", config.trim_start_matches('\n')));
    }

    #[test]
    fn what_is_absent_is_reported_where_it_should_stand() {
        check(
            &RULE,
            &format!(
                "{HEAD}  pluginConfig: {{}}\n  ^^^^^^^^^^^^ warning: flags: no flags: nothing is decided\n"
            ),
        );
        let bare = HEAD.replace(
            "  phase",
            &format!("  #    {} warning: flags: no flags: nothing is decided\n  phase", "^".repeat(101)),
        );
        check(&RULE, &bare);
    }

    /// To Kubernetes `off:` is the field `false`.
    #[test]
    fn a_bare_key_that_is_a_boolean_is_explained() {
        let config = r#"  pluginConfig:
    flags:
    - name: search
      optIn:
        cookie: {name: f, value: "1", off: ["0"]}
        #                             ^^^ error: flags[0].optIn.cookie.false: unknown field, did you mean `optOut`? (YAML reads the bare key `off` as a boolean)
    - name: find
      optIn:
        cookie: {name: g, value: "1", "off": ["0"]}
        #                             ^^^^^ error: flags[1].optIn.cookie.off: unknown field, did you mean `optOut`?
"#;
        check(&RULE, &format!("{HEAD}{config}"));
    }

    #[test]
    fn a_key_that_the_vm_is_not_given_is_reported() {
        let config = |env: &str| {
            format!(
                "{HEAD}{env}  pluginConfig:\n    keys:\n    - {{id: k1, env: CANARY_KEY}}\nFLAGS    flags:\n    - name: a\n      rollout: {{canary: 5}}\n"
            )
        };
        let missing = "    #               ^^^^^^^^^^ error: keys[0].env: the environment variable CANARY_KEY is not set; name it in vmConfig.env of the WasmPlugin\n";
        check(&RULE, &config("").replace("FLAGS", missing));
        let host = "  vmConfig: {env: [{name: CANARY_KEY, valueFrom: HOST}]}\n";
        check(&RULE, &config(host).replace("FLAGS", ""));
        let short = "    #               ^^^^^^^^^^ error: keys[0].env: the environment variable CANARY_KEY holds fewer than 16 bytes\n";
        let inline = format!(
            "  vmConfig: {{env: [{{name: CANARY_KEY, value: secret}}]}}\n  #{}^^^^^^ warning: signing key `k1` stands in \
             the manifest: who can read it can sign\n",
            " ".repeat(42)
        );
        check(&RULE, &config(&inline).replace("FLAGS", short));
        let second = "    - {id: k0, env: OLD_KEY, verifyOnly: true}\n    #               ^^^^^^^ warning: keys[1].env: the environment variable OLD_KEY is not set, so what key `k0` signed does not verify; name it in vmConfig.env of the WasmPlugin\n";
        check(&RULE, &config(host).replace("FLAGS", second));
    }

    #[test]
    fn a_plugin_of_somebody_else_is_not_judged() {
        let text = HEAD.replace("coalmine/filter", "acme/auth").replace("coalmine", "auth");
        check(&RULE, &format!("{text}  pluginConfig: {{flags: [verbose], mode: fast}}\n"));
    }

    #[test]
    fn slips_are_repaired() {
        let text = |config: &str| format!("{HEAD}  pluginConfig:\n    flags:\n    - name: a\n{config}");
        let (before, after) = (
            "      optin: {cookie: {name: f, value: \"1\"}} # by hand\n",
            "      optIn: {cookie: {name: f, value: \"1\"}} # by hand\n",
        );
        check_fix(&RULE, Safety::Safe, &text(before), &text(after));
        let (before, after) = (
            "      optIn: {cookie: {name: f, value: on}}\n",
            "      optIn: {cookie: {name: f, value: \"on\"}}\n",
        );
        check_fix(&RULE, Safety::Safe, &text(before), &text(after));
        let cookie =
            |off: &str| format!("      optIn: {{cookie: {{name: f, value: \"1\", {off}: [\"0\"]}}}}\n");
        for off in ["off", "\"off\"", "no"] {
            check_fix(&RULE, Safety::Unsafe, &text(&cookie(off)), &text(&cookie("optOut")));
        }
        let (before, after) = ("      stiky: hash\n", "      sticky: hash\n");
        check_fix(&RULE, Safety::Unsafe, &text(before), &text(after));
        let mode = |word: &str| format!("{}    mode: {word}\n", text(""));
        check_fix(&RULE, Safety::Unsafe, &mode("offf"), &mode("\"off\""));
    }
}
