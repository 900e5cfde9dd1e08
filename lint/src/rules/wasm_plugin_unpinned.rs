//! `wasm-plugin-unpinned`

use crate::resource::Spec;
use crate::rule::{Check, InputContext, declare_rule};

declare_rule! {
    /// ## What it does
    /// Reports a WasmPlugin whose module is named by a tag or a plain URL rather than by its digest. For `oci://` the digest
    /// stands in the URL or in `sha256`, for `http(s)://` in `sha256`; files of the proxy's own image need none.
    ///
    /// ## Why it matters
    /// The module sees and changes every request of the pods it runs on. Behind a tag or a URL it can change without any change of
    /// the manifests, and pods that start at different times can run different code: the agent pulls a tag again
    /// when the WasmPlugin changes, and on a new node.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: extensions.istio.io/v1alpha1
    /// kind: WasmPlugin
    /// metadata: {name: coalmine, namespace: istio-ingress}
    /// spec:
    ///   selector: {matchLabels: {istio: ingressgateway}}
    ///   url: oci://ghcr.io/coalmine/filter:0.1.0
    ///   phase: AUTHN
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
    /// ```
    ///
    /// ## References
    /// - [WasmPlugin](https://istio.io/latest/docs/reference/config/proxy_extensions/wasm-plugin/#WasmPlugin): `url`, `sha256`
    /// - `pkg/wasm/cache.go`, `pkg/wasm/imagefetcher.go`
    id: "wasm-plugin-unpinned",
    severity: Warning,
    category: Filter,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::Input(check),
}

fn check(ctx: &mut InputContext<'_>) {
    let resources = ctx.resources;
    for resource in resources {
        let Spec::WasmPlugin(plugin) = &resource.spec else { continue };
        let Some(url) = plugin.url.as_ref().filter(|url| !url.is_empty()) else { continue };
        if !plugin.sha256.text().is_empty() {
            continue;
        }
        // Without a scheme Istio takes it for an image.
        let (scheme, rest) = url.split_once("://").unwrap_or(("oci", url));
        let (what, help) = match scheme {
            "oci" if rest.contains("@sha256:") => continue,
            "oci" => {
                let file = rest.rsplit('/').next().unwrap_or(rest);
                let tag = file.split_once(':').map_or("latest", |(_, tag)| tag);
                (
                    format!("tag `{tag}` can name another module tomorrow"),
                    "end the URL in `@sha256:` and the digest of the image's manifest",
                )
            }
            "http" | "https" => (
                "this URL can serve another module tomorrow".to_owned(),
                "give the hash of the file in `sha256`",
            ),
            _ => continue,
        };
        ctx.report(Some(resource), url.span, what).help(help);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    fn plugin(spec: &str) -> String {
        format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: auth}}\nspec:\n{spec}"
        )
    }

    #[test]
    fn a_tag_is_no_pin() {
        check(
            &RULE,
            &plugin(
                "  url: oci://ghcr.io/acme/auth:1.2\n  #    ^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: tag `1.2` can name another module tomorrow\n",
            ),
        );
        check(
            &RULE,
            &plugin(
                "  url: registry.local:5000/acme/auth\n  #    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: tag `latest` can name another module tomorrow\n",
            ),
        );
    }

    #[test]
    fn a_url_is_no_pin() {
        check(
            &RULE,
            &plugin(
                "  url: https://example.com/auth.wasm\n  #    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ warning: this URL can serve another module tomorrow\n",
            ),
        );
    }

    #[test]
    fn digests_files_and_placeholders_are_pinned() {
        let zero = "0".repeat(64);
        for spec in [
            format!("  url: oci://ghcr.io/acme/auth@sha256:{zero}\n"),
            format!("  url: oci://ghcr.io/acme/auth:1.2@sha256:{zero}\n"),
            format!("  url: oci://ghcr.io/acme/auth:1.2\n  sha256: \"{zero}\"\n"),
            format!("  url: https://example.com/auth.wasm\n  sha256: \"{zero}\"\n"),
            "  url: file:///etc/istio/auth.wasm\n".to_owned(),
            "  phase: AUTHN\n".to_owned(),
        ] {
            check(&RULE, &plugin(&spec));
        }
    }
}
