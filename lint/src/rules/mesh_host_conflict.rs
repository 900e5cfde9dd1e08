//! `mesh-host-conflict`

use rustc_hash::FxHashMap;

use crate::mesh::export::ExportTo;
use crate::mesh::routes::{RouteKind, VirtualService};
use crate::rule::{Check, Context, declare_rule};
use crate::span::Span;

declare_rule! {
    /// ## What it does
    /// Reports a host that several VirtualServices route in the sidecars of one namespace, with HTTP rules, where
    /// nothing but their age decides between them.
    ///
    /// ## Why it matters
    /// Sidecars take the rules of one VirtualService for a host and drop the others whole. It is the oldest, which no
    /// manifest tells: a canary's VirtualService beside that of the application does nothing, until somebody applies
    /// both to a new cluster in another order. (Gateways do merge them.)
    ///
    /// One that a namespace keeps for itself counts before those that others export to it, and those before public
    /// ones. That order is certain, and not reported.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-app, namespace: voting}
    /// spec:
    ///   hosts: [voting-app]
    ///   http:
    ///   - route:
    ///     - destination: {host: voting-app, subset: v1-0}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-app-canary, namespace: voting}
    /// spec:
    ///   hosts: [voting-app.voting.svc.cluster.local]
    ///   http:
    ///   - match:
    ///     - headers: {cookie: {regex: '(.*;\s*)?featureflag=on(;.*)?'}}
    ///     route:
    ///     - destination: {host: voting-app, subset: v2-0}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-app, namespace: voting}
    /// spec:
    ///   hosts: [voting-app]
    ///   http:
    ///   - match:
    ///     - headers: {cookie: {regex: '(.*;\s*)?featureflag=on(;.*)?'}}
    ///     route:
    ///     - destination: {host: voting-app, subset: v2-0}
    ///   - route:
    ///     - destination: {host: voting-app, subset: v1-0}
    /// ```
    ///
    /// ## References
    /// - [VirtualService](https://istio.io/latest/docs/reference/config/networking/virtual-service/#VirtualService), `hosts`
    /// - [Split large virtual services](https://istio.io/latest/docs/ops/best-practices/traffic-management/#split-virtual-services):
    ///   only those bound to a gateway can be split
    /// - `pilot/pkg/model/push_context.go`, `initVirtualServices`; `pilot/pkg/networking/core/httproute.go`
    id: "mesh-host-conflict",
    severity: Error,
    category: Routing,
    fix: None,
    since: "0.1.0",
    upstream: ["IST0109", "KIA1106"],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    let mesh = ctx.mesh;
    let mut by_host: FxHashMap<&str, Vec<(&VirtualService<'_>, Span)>> = FxHashMap::default();
    let mut hosts = Vec::new();
    for service in mesh.routes.iter() {
        if !service.is_mesh() || service.count(RouteKind::Http) == 0 {
            continue;
        }
        for host in &service.hosts {
            let known = by_host.entry(&host.value).or_default();
            if known.is_empty() {
                hosts.push(host.value.as_str());
            }
            // A host that one VirtualService lists twice is its own affair; of two objects of one name one is left.
            if known.iter().all(|(other, _)| other.resource.key() != service.resource.key()) {
                known.push((service, host.span));
            }
        }
    }
    for host in hosts {
        let known = by_host.get(host).map_or(&[][..], Vec::as_slice);
        for (service, span) in known {
            let mut rivals = Vec::new();
            let mut place = None;
            for (other, at) in known.iter().filter(|(other, _)| !std::ptr::eq(*other, *service)) {
                if let Some(found) = meet(service, other) {
                    rivals.push((*other, *at));
                    place.get_or_insert(found);
                }
            }
            let (Some(place), [first, ..]) = (place, rivals.as_slice()) else { continue };
            let more = match rivals.len() {
                1 => String::new(),
                count => format!(" and {} more", count - 1),
            };
            let message = format!(
                "`{host}` is also routed by {}{more}: {place} take the rules of the oldest and drop the others",
                first.0.resource.describe()
            );
            let diagnostic = ctx.report(service.resource, *span, message);
            diagnostic
                .help("merge the rules into one VirtualService, in the order in which they are to match");
            for (other, at) in rivals.iter().take(3) {
                diagnostic.related(*at, format!("{} has the host as well", other.resource.describe()));
            }
        }
    }
}

/// In whose sidecars nothing but age decides between the two.
fn meet(one: &VirtualService<'_>, other: &VirtualService<'_>) -> Option<String> {
    let listed = |service: &VirtualService<'_>| match &service.export_to {
        ExportTo::All => Vec::new(),
        ExportTo::Namespaces(list) => list.iter().map(|namespace| (*namespace).to_owned()).collect(),
    };
    if one.export_to == ExportTo::All && other.export_to == ExportTo::All {
        return Some("sidecars".to_owned());
    }
    let mut clients = [listed(one), listed(other)].concat();
    clients.extend([one.namespace().to_owned(), other.namespace().to_owned()]);
    let both_seen = |client: &String| {
        one.export_to.reaches(client, one.namespace()) && other.export_to.reaches(client, other.namespace())
    };
    clients
        .into_iter()
        .find(|client| client != "." && both_seen(client) && one.rank(client) == other.rank(client))
        .map(|client| format!("sidecars in namespace `{client}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    /// VirtualServices that route the host; each a namespaced name, then what else is in its spec.
    fn input(services: &[(&str, &str)]) -> String {
        let one = |(name, spec): &(&str, &str)| {
            let (namespace, name) = name.split_once('/').unwrap();
            format!(
                "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: \
                 {namespace}}}\nspec:\n{}\n",
                spec.trim_matches('\n')
            )
        };
        services.iter().map(one).collect::<Vec<_>>().join("---\n")
    }

    const HTTP: &str = "  http: [{route: [{destination: {host: web}}]}]";

    #[test]
    fn the_same_host_in_two_spellings_is_one_host() {
        let text = input(&[
            (
                "shop/web",
                "
  hosts: [web]
  #       ^^^ error: `web.shop.svc.cluster.local` is also routed by VirtualService `canary`: sidecars take the rules of the oldest and drop the others
  http: [{route: [{destination: {host: web}}]}]",
            ),
            (
                "shop/canary",
                "
  hosts: [other, Web.shop.svc.cluster.local]
  #              ^^^^^^^^^^^^^^^^^^^^^^^^^^ error: `web.shop.svc.cluster.local` is also routed by VirtualService `web`…
  gateways: [mesh, front]
  http: [{route: [{destination: {host: web}}]}]",
            ),
        ]);
        check(&RULE, &text);
    }

    #[test]
    fn three_name_the_first_and_count_the_rest() {
        let spec = |marker: &str| format!("  hosts: [a.example]\n{marker}{HTTP}");
        let marker = |name: &str| {
            format!(
                "  #       ^^^^^^^^^ error: `a.example` is also routed by VirtualService `{name}` and 1 more: …\n"
            )
        };
        let (one, two) = (spec(&marker("one")), spec(&marker("two")));
        check(&RULE, &input(&[("a/one", &two), ("b/two", &one), ("c/three", &one)]));
    }

    #[test]
    fn gateways_merge_connections_add_up_and_delegates_have_no_host() {
        let http = |spec: &str| format!("  hosts: [web.shop.svc.cluster.local]\n{spec}\n{HTTP}");
        let plain = http("");
        let gateway = http("  gateways: [front]");
        check(&RULE, &input(&[("shop/web", &plain), ("shop/edge", &gateway), ("shop/edge-2", &gateway)]));
        let tcp = "  hosts: [web.shop.svc.cluster.local]\n  tcp: [{route: [{destination: {host: web}}]}]";
        check(&RULE, &input(&[("shop/web", &plain), ("shop/tcp", tcp), ("shop/tcp-2", tcp)]));
        check(&RULE, &input(&[("shop/web", HTTP), ("shop/web-2", HTTP)]));
        check(&RULE, &input(&[("shop/web", &plain), ("shop/web", &plain)]));
        let wildcard = format!("  hosts: ['*.shop.svc.cluster.local']\n{HTTP}");
        check(&RULE, &input(&[("shop/web", &plain), ("shop/all", &wildcard)]));
    }

    /// Trap 24: the index of the client's own namespace, that of names, the public one.
    #[test]
    fn who_sees_what_first_is_certain_where_the_indexes_differ() {
        let spec =
            |export: &str| format!("  hosts: [web.shop.svc.cluster.local]\n  exportTo: [{export}]\n{HTTP}");
        for (one, other) in [("'*'", "."), ("'*'", "web"), (".", "."), ("web", "ops"), ("., web", "'*'")] {
            check(&RULE, &input(&[("shop/one", &spec(one)), ("web/two", &spec(other))]));
        }
        let marked = |export: &str, name: &str, place: &str| {
            format!(
                "  hosts: [web.shop.svc.cluster.local]\n  #       ^^^^^^^^^^^^^^^^^^^^^^^^^^ error: \
                 `web.shop.svc.cluster.local` is also routed by VirtualService `{name}`: sidecars in namespace `{place}` \
                 take the rules of the oldest and drop the others\n  exportTo: [{export}]\n{HTTP}"
            )
        };
        let both = |one: (&str, &str), other: (&str, &str), place: &str| {
            let name = |full: &str| full.split_once('/').unwrap().1.to_owned();
            let (first, second) =
                (marked(one.1, &name(other.0), place), marked(other.1, &name(one.0), place));
            check(&RULE, &input(&[(one.0, &first), (other.0, &second)]));
        };
        both(("shop/one", "."), ("shop/two", "., web"), "shop");
        both(("shop/one", "web"), ("ops/two", "web, ops"), "web");
    }
}
