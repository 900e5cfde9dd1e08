//! `single-destination-weight`

use super::invalid_weight::{Weight, routes};
use crate::diagnostic::{Fix, Safety};
use crate::rule::{Check, Context, declare_rule};

declare_rule! {
    /// ## What it does
    /// Reports a weight other than 100 on the only destination of a route.
    ///
    /// ## Why it matters
    /// Istio ignores the weight of a single destination: it gets everything, even with weight 0. Either a
    /// second destination was lost, or the route looks like a split and is none.
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
    ///     - destination: {host: voting-app, subset: v2-0}
    ///       weight: 10
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
    ///     - destination: {host: voting-app, subset: v2-0}
    ///       weight: 10
    ///     - destination: {host: voting-app, subset: v1-0}
    ///       weight: 90
    /// ```
    ///
    /// ## References
    /// - [HTTPRouteDestination](https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPRouteDestination):
    ///   "if there is only one destination in a rule, it will receive all traffic"
    /// - `pilot/pkg/networking/core/route/route.go`, `applyHTTPRouteDestination`
    id: "single-destination-weight",
    severity: Warning,
    category: Routing,
    fix: Safe,
    since: "0.1.0",
    upstream: ["KIA1104"],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    for route in routes(ctx) {
        let [only] = route.destinations.as_slice() else { continue };
        let (Some(written), Weight::Is(weight)) = (only.written, only.weight) else { continue };
        if weight < 0 || weight == 100 {
            continue;
        }
        let message = format!(
            "weight `{weight}` is ignored: `{}` is the only destination and gets all {}",
            only.name(),
            route.what
        );
        // To write down what Istio does changes nothing; for 0 it is not what the author meant.
        let safety = if weight == 0 { Safety::Unsafe } else { Safety::Safe };
        let diagnostic = ctx.report(route.resource, written.span(), message);
        diagnostic.help("add the destination that gets the rest, or write the 100 that Istio assumes");
        if only.own_weight().is_some() {
            diagnostic.fix(Fix::replace(safety, "set the weight to 100", written.span(), "100"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, check_fix};

    fn route(entry: &str) -> String {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: reviews}}\nspec:\n  \
             hosts: [reviews]\n  http:\n  - route:\n    - {entry}\n"
        )
    }

    /// Trap: the weight of one destination is ignored, and 0 is no exception.
    #[test]
    fn the_weight_of_a_single_destination_is_ignored() {
        check(
            &RULE,
            r"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - match: [{uri: {prefix: /a}}]
    route:
    - destination: {host: reviews, subset: v1}
      weight: 50
      #       ^^ warning: weight `50` is ignored: `v1` is the only destination and gets all requests
  - route:
    - destination: {host: reviews}
      weight: 0
      #       ^ warning: weight `0` is ignored: `reviews` is the only destination and gets all requests
  tcp:
  - route:
    - destination: {host: reviews, subset: v1}
      weight: 150
      #       ^^^ warning: weight `150` is ignored: `v1` is the only destination and gets all connections
",
        );
    }

    #[test]
    fn a_weight_of_100_and_no_weight_say_what_happens() {
        check(&RULE, &route("{destination: {host: reviews}, weight: 100}"));
        check(&RULE, &route("{destination: {host: reviews}}"));
        check(
            &RULE,
            &route("{destination: {host: a}, weight: 0}\n    - {destination: {host: b}, weight: 100}"),
        );
    }

    #[test]
    fn the_fix_writes_100_and_keeps_the_comment() {
        let text = |weight: &str| {
            route(&format!("destination: {{host: reviews}}\n      weight: {weight}   # half of it"))
        };
        check_fix(&RULE, Safety::Safe, &text("50"), &text("100"));
        check_fix(&RULE, Safety::Unsafe, &text("0"), &text("100"));
    }

    #[test]
    fn a_weight_of_0_is_not_raised_without_a_second_look() {
        let found = crate::testing::run(&RULE, &route("{destination: {host: reviews}, weight: 0}"));
        assert_eq!(found[0].fix.as_ref().map(|fix| fix.safety), Some(Safety::Unsafe));
    }

    #[test]
    fn a_shared_weight_is_not_changed() {
        let anchored = route("{destination: {host: reviews}, weight: &half 50}");
        assert_eq!(crate::testing::run(&RULE, &anchored)[0].fix, None);
    }
}
