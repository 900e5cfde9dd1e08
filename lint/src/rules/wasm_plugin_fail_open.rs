//! `wasm-plugin-fail-open`

use crate::diagnostic::{Fix, Safety};
use crate::plugin;
use crate::resource::Spec;
use crate::rule::{Check, InputContext, declare_rule};

declare_rule! {
    /// ## What it does
    /// Reports `failStrategy: FAIL_OPEN` on a WasmPlugin that runs Coalmine's filter, or that runs in the phase AUTHN
    /// or AUTHZ.
    ///
    /// ## Why it matters
    /// When the module crashes or cannot be fetched, Envoy goes on without it and says nothing. A plugin that
    /// authenticates then lets everyone in, and tags that clients forge are no longer removed: whoever
    /// sends `x-canary: canary` is in the canary. A crash is enough for one worker, a registry that does not
    /// answer for all of them.
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
    ///   failStrategy: FAIL_OPEN
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
    ///   failStrategy: FAIL_RELOAD
    /// ```
    ///
    /// ## References
    /// - [FailStrategy](https://istio.io/latest/docs/reference/config/proxy_extensions/wasm-plugin/#FailStrategy)
    /// - `pkg/wasm/convert.go`: a module that cannot be fetched becomes allow-all
    id: "wasm-plugin-fail-open",
    severity: Warning,
    category: Filter,
    fix: Unsafe,
    since: "0.1.0",
    upstream: [],
    check: Check::Input(check),
}

fn check(ctx: &mut InputContext<'_>) {
    let resources = ctx.resources;
    for resource in resources {
        let Spec::WasmPlugin(spec) = &resource.spec else { continue };
        let Some(strategy) = spec.fail_strategy.as_ref().filter(|strategy| *strategy.value == *"FAIL_OPEN")
        else {
            continue;
        };
        let phase = spec.phase.text();
        let (what, instead) = if plugin::is_filter(spec) {
            ("tags that clients forge pass when the filter fails".to_owned(), "FAIL_RELOAD")
        } else if matches!(phase, "AUTHN" | "AUTHZ") {
            (format!("requests pass unchecked when this {phase} plugin fails"), "FAIL_CLOSED")
        } else {
            continue;
        };
        let diagnostic = ctx.report(Some(resource), strategy.span, what);
        diagnostic
            .help(
                "FAIL_RELOAD starts the module anew after a crash, where Istio knows it; FAIL_CLOSED answers 503 until \
                 the next push",
            )
            .fix(Fix::replace(Safety::Unsafe, format!("use `{instead}`"), strategy.span, instead));
        if let Some(span) = spec.phase.span() {
            diagnostic.related(span, "the plugin decides before anything else does");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, check_fix};

    fn plugin(image: &str, rest: &str) -> String {
        format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: x}}\nspec:\n  \
             url: oci://ghcr.io/{image}@sha256:0000000000000000000000000000000000000000000000000000000000000000\n{rest}"
        )
    }

    #[test]
    fn the_filter_must_not_fail_open() {
        check(
            &RULE,
            &plugin(
                "coalmine/filter",
                "  failStrategy: FAIL_OPEN\n  #             ^^^^^^^^^ warning: tags that clients forge pass when the filter fails\n",
            ),
        );
        check(&RULE, &plugin("coalmine/filter", "  failStrategy: FAIL_RELOAD\n"));
        check(&RULE, &plugin("coalmine/filter", ""));
    }

    #[test]
    fn nor_must_a_plugin_that_authenticates() {
        check(
            &RULE,
            &plugin(
                "acme/auth",
                "  phase: AUTHN\n  #      ~~~~~ related: the plugin decides before anything else does\n  failStrategy: FAIL_OPEN\n  \
                 #             ^^^^^^^^^ warning: requests pass unchecked when this AUTHN plugin fails\n",
            ),
        );
        check(&RULE, &plugin("acme/stats", "  phase: STATS\n  failStrategy: FAIL_OPEN\n"));
    }

    #[test]
    fn the_strategy_is_replaced() {
        let text = |strategy: &str| {
            plugin("coalmine/filter", &format!("  phase: AUTHN\n  failStrategy: {strategy} # why\n"))
        };
        check_fix(&RULE, Safety::Unsafe, &text("FAIL_OPEN"), &text("FAIL_RELOAD"));
    }
}
