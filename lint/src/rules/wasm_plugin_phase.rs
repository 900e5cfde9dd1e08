//! `wasm-plugin-phase`

use coalmine_filter::config::SubjectSource;

use crate::diagnostic::{Edit, Fix, Safety};
use crate::mesh::filters::Filter;
use crate::resource::{Resource, Spec};
use crate::rule::{Check, Context, declare_rule};
use crate::span::Span;
use crate::yaml::{Document, NodeRef};

declare_rule! {
    /// ## What it does
    /// Reports a WasmPlugin that runs Coalmine's filter in the phase `STATS` or in none, which is after
    /// authorization. It also reports the phase `AUTHN` when the subject comes from a header that a
    /// RequestAuthentication of the input fills, because that happens later.
    ///
    /// ## Why it matters
    /// Envoy runs Wasm plugins of phase AUTHN, then JWT authentication, AUTHZ plugins, authorization policies, and
    /// only then the rest. A filter that comes last leaves the tag that the client sent in place while
    /// policies judge the request. One that comes before the JWT filter never sees the header with the claim, or
    /// takes the client's for it, and nobody has a stable place in the rollout.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: extensions.istio.io/v1alpha1
    /// kind: WasmPlugin
    /// metadata: {name: coalmine, namespace: istio-ingress}
    /// spec:
    ///   selector: {matchLabels: {istio: ingressgateway}}
    ///   url: oci://ghcr.io/coalmine/filter@sha256:0000000000000000000000000000000000000000000000000000000000000000
    ///   pluginConfig:
    ///     flags:
    ///     - name: voting-2-0
    ///       optIn: {cookie: {name: featureflag, value: "on"}}
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
    ///       optIn: {cookie: {name: featureflag, value: "on"}}
    /// ```
    ///
    /// ## References
    /// - [PluginPhase](https://istio.io/latest/docs/reference/config/proxy_extensions/wasm-plugin/#PluginPhase)
    /// - `pilot/pkg/networking/core/listener_builder.go`
    id: "wasm-plugin-phase",
    severity: Warning,
    category: Filter,
    fix: Unsafe,
    since: "0.1.0",
    upstream: [],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    let (mesh, documents) = (ctx.mesh, ctx.documents);
    for filter in mesh.filters.iter() {
        let Some((key, spec)) = filter.resource.node(documents).and_then(|node| node.entry("spec")) else {
            continue;
        };
        let phase = filter.spec.phase.text();
        let span = filter.spec.phase.span();
        match phase {
            "" | "UNSPECIFIED_PHASE" | "STATS" => {
                let what = if phase.is_empty() { "without a phase" } else { &format!("in phase `{phase}`") };
                let message =
                    format!("{what} the filter runs after authorization, which sees tags that clients send");
                let fix = match span {
                    Some(span) => Some(Fix::replace(Safety::Unsafe, "use phase `AUTHN`", span, "AUTHN")),
                    None => insertion(spec).map(|edit| Fix {
                        title: "add phase `AUTHN`".to_owned(),
                        safety: Safety::Unsafe,
                        edits: vec![edit],
                    }),
                };
                let diagnostic = ctx.report(filter.resource, span.unwrap_or_else(|| key.span()), message);
                diagnostic.help("use AUTHN, or AUTHZ when the subject comes from a JWT claim");
                if let Some(fix) = fix {
                    diagnostic.fix(fix);
                }
            }
            "AUTHN" => {
                let Some(span) = span else { continue };
                for (header, policy, place) in late_headers(filter, mesh.resources(), documents) {
                    let message = format!(
                        "in phase `AUTHN` the filter runs before the subject header `{header}` is set"
                    );
                    ctx.report(filter.resource, span, message)
                        .help("use AUTHZ, which is after JWT authentication")
                        .related(place, format!("{} sets it", policy.describe()))
                        .fix(Fix::replace(Safety::Unsafe, "use phase `AUTHZ`", span, "AUTHZ"));
                }
            }
            // AUTHZ; and what is no phase at all, which the API server refuses.
            _ => {}
        }
    }
}

/// Subject headers that RequestAuthentications in reach of the filter fill from a claim.
fn late_headers<'r>(
    filter: &Filter<'_>,
    resources: &[&'r Resource],
    documents: &[Document],
) -> Vec<(String, &'r Resource, Span)> {
    let subjects: Vec<&[u8]> = filter
        .config
        .subject
        .iter()
        .filter_map(|source| match source {
            SubjectSource::Header(name) => Some(name.as_slice()),
            _ => None,
        })
        .collect();
    let mut found = Vec::new();
    if subjects.is_empty() {
        return found;
    }
    let same_namespace = |resource: &Resource| resource.namespace() == filter.resource.namespace();
    for resource in resources.iter().copied().filter(|resource| same_namespace(resource)) {
        if !matches!(resource.spec, Spec::RequestAuthentication(_)) {
            continue;
        }
        let rules = resource.node(documents).and_then(|node| node.path(&["spec", "jwtRules"]));
        let claims =
            rules.into_iter().flat_map(NodeRef::items).filter_map(|rule| rule.get("outputClaimToHeaders"));
        for header in claims.flat_map(NodeRef::items).filter_map(|claim| claim.get("header")) {
            let name = header.text().unwrap_or("").to_ascii_lowercase();
            if subjects.contains(&name.as_bytes()) {
                found.push((name, resource, header.span()));
            }
        }
    }
    found
}

/// `phase: AUTHN` as the first field of the spec.
fn insertion(spec: NodeRef<'_>) -> Option<Edit> {
    let (first, _) = *spec.written_entries().first()?;
    let at = first.span();
    let text = if spec.is_flow() {
        "phase: AUTHN, ".to_owned()
    } else {
        let before = spec.document().source().get(..at.range().start)?;
        let indent = before.rsplit('\n').next()?;
        if !indent.bytes().all(|byte| byte == b' ') {
            return None;
        }
        format!("phase: AUTHN\n{indent}")
    };
    Some(Edit { span: Span::new(at.file, at.start, at.start), text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, check_fix};

    fn plugin(phase: &str, config: &str) -> String {
        format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: coalmine}}\nspec:\n{phase}  \
             url: oci://ghcr.io/coalmine/filter:1 # the image\n  pluginConfig:\n{config}    flags: []\n"
        )
    }

    #[test]
    fn a_phase_after_authorization_is_reported() {
        check(
            &RULE,
            &plugin(
                "  phase: STATS\n  #      ^^^^^ warning: in phase `STATS` the filter runs after authorization, which sees tags that clients send\n",
                "",
            ),
        );
        check(
            &RULE,
            &plugin(
                "^^^^ warning: without a phase the filter runs after authorization, which sees tags that clients send\n",
                "",
            ),
        );
        for fine in ["AUTHN", "AUTHZ", "authn"] {
            check(&RULE, &plugin(&format!("  phase: {fine}\n"), ""));
        }
    }

    #[test]
    fn plugins_of_others_may_run_where_they_like() {
        check(&RULE, &plugin("", "").replace("coalmine/filter", "acme/stats"));
    }

    #[test]
    fn a_subject_header_that_jwt_authentication_sets_comes_too_late_for_authn() {
        let policy = "---\napiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: users}\nspec:\n  \
                      jwtRules:\n  - issuer: a\n    outputClaimToHeaders:\n    - {header: X-User-Id, claim: sub}\n";
        let subject = "    subject: [{header: x-user-id}]\n";
        let phase = "  phase: AUTHN\n  #      ^^^^^ warning: in phase `AUTHN` the filter runs before the subject header `x-user-id` is set\n";
        let related = "    #          ~~~~~~~~~ related: RequestAuthentication `users` sets it\n";
        check(&RULE, &format!("{}{policy}{related}", plugin(phase, subject)));
        check(&RULE, &format!("{}{policy}", plugin("  phase: AUTHZ\n", subject)));
        check(&RULE, &format!("{}{policy}", plugin("  phase: AUTHN\n", "")));
        // Without the policy the header may well come from an earlier filter.
        check(&RULE, &plugin("  phase: AUTHN\n", subject));
    }

    #[test]
    fn the_phase_is_corrected_or_added() {
        let after = plugin("  phase: AUTHN\n", "");
        check_fix(&RULE, Safety::Unsafe, &plugin("  phase: UNSPECIFIED_PHASE\n", ""), &after);
        check_fix(&RULE, Safety::Unsafe, &plugin("", ""), &after);
    }
}
