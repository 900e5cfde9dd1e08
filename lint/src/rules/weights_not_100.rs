//! `weights-not-100`

use super::invalid_weight::{Route, Weight, Weighted, routes};
use crate::diagnostic::{Edit, Fix, Safety};
use crate::rule::{Check, Context, declare_rule};

declare_rule! {
    /// ## What it does
    /// Reports a route with several destinations whose weights do not add up to 100.
    ///
    /// ## Why it matters
    /// Istio does not require it: weights are relative to each other. 90 and 20 read as percentages, but
    /// send 81.8 % and 18.2 % of the requests, and a destination without a weight gets nothing. A canary
    /// gets another share than its author and its dashboards assume.
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
    ///       weight: 90
    ///     - destination: {host: voting-app, subset: v2-0}
    ///       weight: 20
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
    ///       weight: 80
    ///     - destination: {host: voting-app, subset: v2-0}
    ///       weight: 20
    /// ```
    ///
    /// ## References
    /// - [HTTPRouteDestination](https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPRouteDestination):
    ///   "weight specifies the relative proportion of traffic to be forwarded to the destination"
    id: "weights-not-100",
    severity: Warning,
    category: Routing,
    fix: Unsafe,
    since: "0.1.0",
    upstream: [],
    check: Check::State(check),
}

fn check(ctx: &mut Context<'_>) {
    for route in routes(ctx) {
        let Some(total) = route.total().filter(|total| *total != 0 && *total != 100) else { continue };
        let first = route.destinations.iter().find(|destination| destination.written.is_some());
        let Some(first) = first.filter(|_| route.destinations.len() > 1) else { continue };
        let message = format!(
            "the weights add up to {total}, not 100: `{}` gets {} of the {}",
            first.name(),
            share(first, total),
            route.what
        );
        let diagnostic = ctx.report(route.resource, first.span(), message);
        diagnostic.help("weights are relative to each other; make them add up to 100 to read as percentages");
        for other in route.destinations.iter().filter(|other| other.span() != first.span()) {
            let message = match other.weight {
                Weight::Absent => format!("`{}` has no weight and gets nothing", other.name()),
                _ => format!("`{}` gets {}", other.name(), share(other, total)),
            };
            diagnostic.related(other.span(), message);
        }
        diagnostic.fix = scaled(&route, total);
    }
}

fn number(destination: &Weighted<'_>) -> i64 {
    match destination.weight {
        Weight::Is(weight) => i64::from(weight),
        _ => 0,
    }
}

/// The effective percentage, with one digit after the point if it has any.
fn share(destination: &Weighted<'_>, total: i64) -> String {
    let tenths = (number(destination) * 1000 + total / 2) / total;
    match tenths % 10 {
        0 => format!("{}%", tenths / 10),
        rest => format!("{}.{rest}%", tenths / 10),
    }
}

/// The weights scaled to 100, the largest remainders rounded up; `None` when that would take a
/// destination's traffic away, or when a weight is shared with another route.
fn scaled(route: &Route<'_>, total: i64) -> Option<Fix> {
    let mut weights: Vec<(i64, i64)> = Vec::new();
    for destination in &route.destinations {
        let exact = number(destination) * 100;
        weights.push((exact / total, exact % total));
    }
    let missing = 100 - weights.iter().map(|(weight, _)| weight).sum::<i64>();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|index| weights.get(*index).map(|(_, remainder)| -remainder));
    for index in order.into_iter().take(usize::try_from(missing).ok()?) {
        weights.get_mut(index)?.0 += 1;
    }
    let mut edits = Vec::new();
    for (destination, (weight, _)) in route.destinations.iter().zip(&weights) {
        let old = number(destination);
        if old > 0 && *weight == 0 {
            return None;
        }
        if old == *weight {
            continue;
        }
        let written = destination.own_weight()?;
        edits.push(Edit { span: written.span(), text: weight.to_string() });
    }
    let list: Vec<String> = weights.iter().map(|(weight, _)| weight.to_string()).collect();
    let title = format!("scale the weights to {}", list.join("/"));
    Some(Fix { title, safety: Safety::Unsafe, edits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, check_fix, run};

    fn route(weights: &[&str]) -> String {
        let mut text =
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: reviews}\n\
                        spec:\n  hosts: [reviews]\n  http:\n  - route:\n"
                .to_owned();
        for (index, weight) in weights.iter().enumerate() {
            text += &format!("    - destination: {{host: reviews, subset: v{index}}}\n");
            if !weight.is_empty() {
                text += &format!("      weight: {weight} # share {index}\n");
            }
        }
        text
    }

    /// Trap: weights are relative, and nothing makes them add up to 100.
    #[test]
    fn weights_that_do_not_add_up_to_100_are_reported_with_their_real_shares() {
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
    - destination: {host: reviews, subset: v1}
      weight: 90
      #       ^^ warning: the weights add up to 110, not 100: `v1` gets 81.8% of the requests
    - destination: {host: reviews, subset: v2}
      weight: 20
      #       ~~ related: `v2` gets 18.2%
  tcp:
  - route:
    - destination: {host: reviews, subset: v1}
      weight: 80
      #       ^^ warning: the weights add up to 80, not 100: `v1` gets 100% of the connections
    - destination: {host: reviews, subset: v2}
      #                   ~~~~~~~ related: `v2` has no weight and gets nothing
",
        );
    }

    #[test]
    fn a_hundred_a_single_destination_and_invalid_weights_are_not_judged() {
        check(&RULE, &route(&["90", "10"]));
        check(&RULE, &route(&["0", "100"]));
        check(&RULE, &route(&["100", ""]));
        check(&RULE, &route(&["50"]));
        check(&RULE, &route(&["110", "-20"]));
        check(&RULE, &route(&["0", "0"]));
    }

    #[test]
    fn the_fix_scales_by_largest_remainder_and_keeps_comments() {
        check_fix(&RULE, Safety::Unsafe, &route(&["90", "20"]), &route(&["82", "18"]));
        check_fix(&RULE, Safety::Unsafe, &route(&["1", "1", "1"]), &route(&["34", "33", "33"]));
        check_fix(&RULE, Safety::Unsafe, &route(&["5", "0", "15"]), &route(&["25", "0", "75"]));
        check_fix(&RULE, Safety::Unsafe, &route(&["80", ""]), &route(&["100", ""]));
    }

    #[test]
    fn no_fix_takes_the_last_share_away() {
        assert_eq!(run(&RULE, &route(&["1000", "1"]))[0].fix, None);
    }

    #[test]
    fn a_shared_weight_is_not_changed() {
        assert_eq!(run(&RULE, &route(&["&w 30", "*w"]))[0].fix, None);
    }
}
