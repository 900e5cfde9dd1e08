//! `unknown-destination-host`

use rustc_hash::FxHashMap;

use crate::diagnostic::{Diagnostic, Fix, Safety, Severity};
use crate::mesh::Mesh;
use crate::mesh::host::split_cluster_name;
use crate::mesh::registry::{Host, Origin};
use crate::resource::Resource;
use crate::rule::{Check, Context, declare_rule, did_you_mean};
use crate::span::Spanned;

declare_rule! {
    /// ## What it does
    /// Reports a destination or mirror whose host no Service or ServiceEntry defines. A host of the cluster
    /// is missing when the input has other Services of its namespace; a host outside of the cluster only
    /// when the input is the whole mesh (`assume: closed`).
    ///
    /// ## Why it matters
    /// Istio accepts the route and sends it to a cluster that does not exist: every matching HTTP request
    /// gets 503 with the response flag `NC`, every TCP connection is reset. `outboundTrafficPolicy:
    /// ALLOW_ANY` does not help: it is for requests that no route matches. A destination that gets no
    /// requests yet, because its weight is 0, is a warning.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-app}
    /// spec:
    ///   selector: {app: voting-app}
    ///   ports: [{name: http, port: 8080}]
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-app}
    /// spec:
    ///   hosts: [voting-app]
    ///   http:
    ///   - route:
    ///     - destination: {host: votting-app}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: voting-app}
    /// spec:
    ///   selector: {app: voting-app}
    ///   ports: [{name: http, port: 8080}]
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-app}
    /// spec:
    ///   hosts: [voting-app]
    ///   http:
    ///   - route:
    ///     - destination: {host: voting-app}
    /// ```
    ///
    /// ## References
    /// - [Destination](https://istio.io/latest/docs/reference/config/networking/virtual-service/#Destination):
    ///   "traffic forwarded to destinations that are not found in either of the two, will be dropped"
    /// - `pilot/pkg/networking/core/route/route.go`, `GetDestinationCluster`
    id: "unknown-destination-host",
    severity: Error,
    category: Destinations,
    fix: Unsafe,
    since: "0.1.0",
    upstream: ["IST0101", "KIA1101"],
    check: Check::State(check),
}

/// The Services by namespace and by name, made when the first finding asks.
struct Services<'m> {
    by_namespace: FxHashMap<&'m str, Vec<&'m Resource>>,
    by_name: FxHashMap<&'m str, Vec<&'m Resource>>,
}

impl<'m> Services<'m> {
    fn new(mesh: &'m Mesh<'_>) -> Self {
        let mut services = Self { by_namespace: FxHashMap::default(), by_name: FxHashMap::default() };
        let is_service = |host: &&Host<'_>| matches!(host.origin, Origin::Service(_));
        for resource in mesh.registry.iter().filter(is_service).map(|host| host.resource) {
            services.by_namespace.entry(resource.namespace()).or_default().push(resource);
            services.by_name.entry(resource.name.as_str()).or_default().push(resource);
        }
        services
    }

    /// The one Service of this name, wherever it is, else one of the namespace with nearly this name.
    fn meant(&self, name: &str, namespace: &str) -> Option<&'m Resource> {
        let named = self.by_name.get(name).map_or(&[][..], Vec::as_slice);
        if let [only] = named {
            return Some(only);
        }
        let own = self.by_namespace.get(namespace).map_or(&[][..], Vec::as_slice);
        let near = did_you_mean(name, own.iter().map(|service| service.name.as_str()))?;
        own.iter().copied().find(|service| service.name.value == near)
    }
}

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    let mut missing = Missing::new(mesh);
    for (service, target) in mesh.routes.targets().filter(|(_, target)| is_missing(mesh, &target.host)) {
        let Some(written) = target.destination.host.as_ref() else { continue };
        let advice = "define the Service, or route to one that exists";
        let diagnostic = missing.report(ctx, service.resource, (written, &target.host), ("", advice));
        if !target.receives_requests() {
            diagnostic.severity(Severity::Warning);
        }
    }
}

/// Whether nothing defines a fully qualified host that the input would define.
pub(super) fn is_missing(mesh: &Mesh<'_>, host: &str) -> bool {
    mesh.registry.find(host, None).is_none()
        && mesh.meant_by_partial(host).is_none()
        && may_be_missing(mesh, host)
}

/// Reports hosts that nothing defines, with those that were meant.
pub(super) struct Missing<'m> {
    mesh: &'m Mesh<'m>,
    services: Option<Services<'m>>,
}

impl<'m> Missing<'m> {
    pub(super) fn new(mesh: &'m Mesh<'m>) -> Self {
        Missing { mesh, services: None }
    }

    /// A host as it is written in an object and in full, what follows from its absence, and what to do about it.
    pub(super) fn report<'c>(
        &mut self,
        ctx: &'c mut Context<'_>,
        resource: &Resource,
        (written, host): (&Spanned<String>, &str),
        (consequence, advice): (&str, &str),
    ) -> &'c mut Diagnostic {
        let mesh = self.mesh;
        let domain = mesh.config.domain.as_str();
        let parts = split_cluster_name(host, domain).or_else(|| mesh.split_partial(host));
        let is_external = parts.is_none();
        let services = self.services.get_or_insert_with(|| Services::new(mesh));
        let meant = parts.and_then(|(name, namespace)| services.meant(name, namespace));
        let near_entry = || {
            let entries = mesh.registry.iter().filter(|host| matches!(host.origin, Origin::ServiceEntry(_)));
            did_you_mean(host, entries.map(|host| host.name.as_str()))
        };
        let full = |meant: &Resource| format!("{}.{}.svc.{domain}", meant.name.value, meant.namespace());
        let better = match meant {
            // A short name stays short where that is enough.
            Some(meant) if !written.contains('.') && meant.namespace() == resource.namespace() => {
                Some(meant.name.value.clone())
            }
            Some(meant) => Some(full(meant)),
            None if is_external => near_entry().map(str::to_owned),
            None => None,
        };
        let text = better.as_ref().map(|better| ctx.styled(written.span, better));
        let mut message = format!("no Service or ServiceEntry defines host `{host}`");
        if written.value.to_ascii_lowercase() != host {
            message = format!("no Service or ServiceEntry defines host `{}`, `{host}`", written.value);
        }
        message.push_str(consequence);
        let diagnostic = ctx.report(resource, written.span, message);
        match (meant, better) {
            (Some(meant), Some(better)) if parts.is_some_and(|(name, _)| meant.name.value == name) => {
                let namespace = meant.namespace();
                diagnostic
                    .help(format!("the Service of that name is in namespace `{namespace}`: use `{better}`"));
            }
            (_, Some(better)) => {
                diagnostic.help(format!("did you mean `{better}`?"));
            }
            (_, None) if is_external => {
                diagnostic.help("define the host in a ServiceEntry");
            }
            (_, None) => {
                diagnostic.help(advice);
            }
        }
        if let Some(meant) = meant {
            diagnostic.related(meant.name.span, "a Service that exists");
        }
        if let Some(text) = text {
            let title = format!("use `{}`", text.trim_matches(['"', '\'']));
            diagnostic.fix(Fix::replace(Safety::Unsafe, title, written.span, text));
        }
        diagnostic
    }
}

/// Whether the input would have the host if it existed.
fn may_be_missing(mesh: &Mesh<'_>, name: &str) -> bool {
    let parts = split_cluster_name(name, &mesh.config.domain);
    let Some((service, namespace)) = parts.or_else(|| mesh.split_partial(name)) else {
        return mesh.is_closed();
    };
    // What a cluster has of its own, without any manifest of the user's.
    let is_built_in = namespace.starts_with("kube-")
        || namespace == mesh.config.root_namespace
        || (service == "kubernetes" && namespace == "default");
    // Without the rest of the cluster's name it could also be an external host.
    mesh.is_closed() || (mesh.knows_namespace(namespace) && !is_built_in)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, check_fix, run};

    const SERVICES: &str = "
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {selector: {app: reviews}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: ratings, namespace: web}
spec: {selector: {app: ratings}, ports: [{name: http, port: 80}]}
---
";

    fn route(host: &str) -> String {
        format!(
            "{}apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: reviews, namespace: \
             shop}}\nspec:\n  hosts: [reviews]\n  http:\n  - route:\n    - destination:\n        host: {host}\n",
            SERVICES.trim_start()
        )
    }

    #[test]
    fn the_host_is_reported_with_the_service_that_was_meant() {
        check(
            &RULE,
            r#"
apiVersion: v1
kind: Service
metadata: {name: reviews}
#                ~~~~~~~ related: a Service that exists
spec: {selector: {app: reviews}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - route:
    - destination: {host: review}
      #                   ^^^^^^ error: no Service or ServiceEntry defines host `review`, `review.default.svc.cluster.local`
    mirror: {host: reviews.default.svc.cluster.local}
"#,
        );
    }

    #[test]
    fn a_mirror_to_nowhere_is_reported_and_a_weight_of_0_only_warned_about() {
        let text = format!(
            "{}    mirror: {{host: nothing}}\n  - route:\n    - {{destination: {{host: reviews}}, weight: 100}}\n    \
             - {{destination: {{host: none-yet}}, weight: 0}}\n",
            route("reviews")
        );
        let found: Vec<Severity> = run(&RULE, &text).iter().map(|found| found.severity).collect();
        assert_eq!(found, [Severity::Error, Severity::Warning]);
    }

    /// Trap: a cluster that does not exist is emitted unchecked.
    #[test]
    fn a_host_outside_of_the_cluster_is_missing_only_in_a_closed_mesh() {
        let text = route("api.example.com");
        check(&RULE, &text);
        let found = run(&RULE, &format!("#! assume: closed\n{text}"));
        assert_eq!(found[0].message, "no Service or ServiceEntry defines host `api.example.com`");
        assert_eq!(found[0].severity, Severity::Error);
    }

    /// Trap: a short name belongs to the VirtualService's namespace.
    #[test]
    fn a_short_name_of_another_namespace_is_completed() {
        let found = run(&RULE, &route("ratings"));
        assert_eq!(
            found[0].help.as_deref(),
            Some("the Service of that name is in namespace `web`: use `ratings.web.svc.cluster.local`")
        );
        check_fix(
            &RULE,
            Safety::Unsafe,
            &route("ratings # stars"),
            &route("ratings.web.svc.cluster.local # stars"),
        );
    }

    #[test]
    fn a_near_name_is_corrected_in_the_way_it_is_written() {
        check_fix(&RULE, Safety::Unsafe, &route("\"revews\""), &route("\"reviews\""));
        let full = |name: &str| route(&format!("{name}.shop.svc.cluster.local"));
        check_fix(&RULE, Safety::Unsafe, &full("revews"), &full("reviews"));
        assert_eq!(run(&RULE, &route("reviews-v2"))[0].fix, None);
    }

    #[test]
    fn hosts_of_namespaces_that_are_not_in_the_input_are_not_missing() {
        check(&RULE, &route("ratings.elsewhere.svc.cluster.local"));
        check(&RULE, &route("istiod.istio-system.svc.cluster.local"));
        check(&RULE, &format!("#! assume: open\n{}", route("nothing")));
        check(&RULE, route("nothing").split_once(SERVICES.trim_start()).unwrap().1);
    }

    /// Trap: ServiceEntries are in the same registry, and their wildcards match by suffix.
    #[test]
    fn a_wildcard_service_entry_defines_its_hosts() {
        let entry = "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: example}\nspec: \
                     {hosts: [\"*.example.com\"], ports: [{number: 443, name: tls, protocol: TLS}]}\n";
        check(&RULE, &format!("#! assume: closed\n{}{entry}", route("api.example.com")));
    }

    /// A folder of routes, without the Services they lead to, may well define hosts outside of the mesh.
    #[test]
    fn a_service_entry_alone_does_not_make_the_services_of_its_namespace_missing() {
        let route = route("nothing").split_once(SERVICES.trim_start()).unwrap().1.to_owned();
        let entry = "---\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: example, namespace: \
                     shop}\nspec: {hosts: [api.example.com], ports: [{number: 443, name: tls, protocol: TLS}]}\n";
        check(&RULE, &format!("{route}{entry}"));
    }

    #[test]
    fn a_partial_name_is_left_to_its_own_rule_unless_nothing_has_it() {
        check(&RULE, &route("ratings.web"));
        check_fix(&RULE, Safety::Unsafe, &route("rating.web"), &route("ratings.web.svc.cluster.local"));
    }
}
