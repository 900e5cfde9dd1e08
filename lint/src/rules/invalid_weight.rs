//! `invalid-weight`

use crate::resource::{Resource, Spec};
use crate::rule::{Check, Context, declare_rule};
use crate::yaml::{NodeRef, Scalar};

declare_rule! {
    /// ## What it does
    /// Reports a weight that is negative, no whole number or too large, and several destinations whose
    /// weights are all 0.
    ///
    /// ## Why it matters
    /// The API server or Istio's webhook refuses the VirtualService, so the split that was rolled out before
    /// stays in force. Several destinations without any weight are refused too: an absent weight is 0.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: voting-app}
    /// spec:
    ///   hosts: [voting-app]
    ///   http:
    ///   - route:
    ///     - destination: {host: voting-app, subset: v1-0}
    ///       weight: 110
    ///     - destination: {host: voting-app, subset: v2-0}
    ///       weight: -10
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
    ///   - route:
    ///     - destination: {host: voting-app, subset: v1-0}
    ///       weight: 90
    ///     - destination: {host: voting-app, subset: v2-0}
    ///       weight: 10
    /// ```
    ///
    /// ## References
    /// - [HTTPRouteDestination](https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPRouteDestination)
    /// - `pkg/config/validation/virtualservice.go`, `validateHTTPRouteDestinations`
    id: "invalid-weight",
    severity: Error,
    category: Routing,
    fix: None,
    since: "0.1.0",
    upstream: ["IST0106"],
    check: Check::State(check),
}

/// A `weight` as the API server reads it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Weight {
    /// 0 for Istio.
    Absent,
    /// A 32-bit integer.
    Is(i32),
    /// A number with a fraction.
    Fraction,
    /// An integer that 32 bits cannot hold.
    TooLarge,
    /// No number at all, which `wrong-type` reports.
    NotANumber,
}

/// One destination of a route.
pub(super) struct Weighted<'d> {
    /// The item of `route`.
    pub item: NodeRef<'d>,
    /// The value of `weight`, if it is written.
    pub written: Option<NodeRef<'d>>,
    /// What it says.
    pub weight: Weight,
}

impl Weighted<'_> {
    /// The subset, or else the host.
    pub(super) fn name(&self) -> &str {
        let text = |key: &str| self.item.path(&["destination", key]).and_then(NodeRef::text);
        text("subset").or_else(|| text("host")).unwrap_or("")
    }

    /// The weight, if it is written here alone: not through a merge, and not under an anchor or alias.
    pub(super) fn own_weight(&self) -> Option<NodeRef<'_>> {
        let written = self.written?;
        let start = written.span().range().start;
        let before = written.document().source().get(..start)?.trim_end();
        let own = self.item.span().contains(written.span()) && before.ends_with(':') && !written.is_alias();
        own.then_some(written)
    }

    /// The place of the weight, or of the destination that has none.
    pub(super) fn span(&self) -> crate::span::Span {
        self.written.or_else(|| self.item.path(&["destination", "host"])).unwrap_or(self.item).span()
    }
}

/// The `route` of one rule.
pub(super) struct Route<'d> {
    /// The VirtualService.
    pub resource: &'d Resource,
    /// `requests`, or `connections` for a tcp or tls rule.
    pub what: &'static str,
    /// The key `route`.
    pub key: NodeRef<'d>,
    /// Its destinations.
    pub destinations: Vec<Weighted<'d>>,
}

impl Route<'_> {
    /// The sum of the weights; `None` when one is invalid.
    pub(super) fn total(&self) -> Option<i64> {
        self.destinations.iter().try_fold(0, |total, destination| match destination.weight {
            Weight::Absent => Some(total),
            Weight::Is(weight) if weight >= 0 => Some(total + i64::from(weight)),
            _ => None,
        })
    }
}

/// Every `route` of every VirtualService, from the tree: the model leaves out what it cannot read.
pub(super) fn routes<'d>(ctx: &Context<'d>) -> Vec<Route<'d>> {
    let mut routes = Vec::new();
    for service in ctx.mesh.resources().iter().filter(|r| matches!(r.spec, Spec::VirtualService(_))) {
        let Some(spec) = service.node(ctx.documents).and_then(|node| node.get("spec")) else { continue };
        for (list, what) in [("http", "requests"), ("tls", "connections"), ("tcp", "connections")] {
            for rule in spec.get(list).into_iter().flat_map(NodeRef::items) {
                let Some((key, route)) = rule.entry("route") else { continue };
                let items = route.items().filter(|item| item.is_mapping());
                let destinations = items.map(|item| weighted(item)).collect();
                routes.push(Route { resource: service, what, key, destinations });
            }
        }
    }
    routes
}

fn weighted(item: NodeRef<'_>) -> Weighted<'_> {
    let written = item.get("weight");
    let whole = |value: i64| i32::try_from(value).map_or(Weight::TooLarge, Weight::Is);
    let weight = match written.map(NodeRef::scalar) {
        None => Weight::Absent,
        Some(Some(Scalar::Int(value))) => whole(value),
        Some(Some(Scalar::UInt(_))) => Weight::TooLarge,
        // `50.0` is 50 in JSON.
        Some(Some(Scalar::Float(value))) if value.fract() == 0.0 => {
            format!("{value:.0}").parse().map_or(Weight::TooLarge, whole)
        }
        Some(Some(Scalar::Float(_))) => Weight::Fraction,
        Some(_) => Weight::NotANumber,
    };
    Weighted { item, written, weight }
}

fn check(ctx: &mut Context<'_>) {
    for route in routes(ctx) {
        for destination in &route.destinations {
            let Some(written) = destination.written else { continue };
            let text = written.text().unwrap_or("");
            let (message, help) = match destination.weight {
                Weight::Is(weight) if weight < 0 => (
                    format!("weight `{text}` is negative"),
                    "a weight is a share of the traffic; 0 sends nothing",
                ),
                Weight::Fraction => (
                    format!("weight `{text}` is no whole number"),
                    "weights are whole numbers; use larger ones",
                ),
                Weight::TooLarge => (
                    format!("weight `{text}` does not fit 32 bits"),
                    "weights are relative to each other; use smaller ones",
                ),
                _ => continue,
            };
            ctx.report(route.resource, written.span(), message).help(help);
        }
        if route.destinations.len() < 2 || route.total() != Some(0) {
            continue;
        }
        let written = route.destinations.iter().find_map(|destination| destination.written);
        let (span, message) = match written {
            Some(weight) => (weight.span(), "the weights of this route add up to 0"),
            None => (route.key.span(), "none of the destinations of this route has a weight"),
        };
        let diagnostic = ctx.report(route.resource, span, message);
        diagnostic.help(format!(
            "give each destination its share of the {}; Istio refuses a route whose weights add up to 0",
            route.what
        ));
        for destination in route.destinations.iter().filter(|d| d.span() != span) {
            diagnostic.related(destination.span(), format!("the weight of `{}` is 0", destination.name()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    #[test]
    fn a_weight_must_be_a_whole_number_of_at_least_0() {
        check(
            &RULE,
            r"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - route:
    - {destination: {host: reviews, subset: v1}, weight: -1}
    #                                                    ^^ error: weight `-1` is negative
    - {destination: {host: reviews, subset: v2}, weight: 33.5}
    #                                                    ^^^^ error: weight `33.5` is no whole number
    - {destination: {host: reviews, subset: v3}, weight: 3000000000}
    #                                                    ^^^^^^^^^^ error: weight `3000000000` does not fit 32 bits
  tcp:
  - route:
    - {destination: {host: reviews}, weight: -5}
    #                                        ^^ error: weight `-5` is negative
",
        );
    }

    /// Trap: Istio has no upper bound and no rule that weights sum to 100; `50.0` is 50 in JSON.
    #[test]
    fn weights_are_relative_and_may_exceed_100() {
        check(
            &RULE,
            r"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - route:
    - {destination: {host: reviews, subset: v1}, weight: 900}
    - {destination: {host: reviews, subset: v2}, weight: 50.0}
    - {destination: {host: reviews, subset: v3}, weight: 0}
",
        );
    }

    #[test]
    fn several_destinations_need_a_weight_above_0() {
        check(
            &RULE,
            r"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - route:
  # ^^^^^ error: none of the destinations of this route has a weight
    - destination: {host: reviews, subset: v1}
    #                     ~~~~~~~ related: the weight of `v1` is 0
    - destination: {host: reviews, subset: v2}
    #                     ~~~~~~~ related: the weight of `v2` is 0
  tls:
  - match: [{sniHosts: [reviews]}]
    route:
    - destination: {host: reviews}
      weight: 0
      #       ^ error: the weights of this route add up to 0
    - destination: {host: ratings}
    #                     ~~~~~~~ related: the weight of `ratings` is 0
",
        );
    }

    #[test]
    fn one_destination_needs_no_weight() {
        check(
            &RULE,
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: reviews}\nspec:\n  \
             hosts: [reviews]\n  http:\n  - route: [{destination: {host: reviews}}]\n",
        );
    }
}
