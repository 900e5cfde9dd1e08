//! `rollout-weight-jump`

use crate::mesh::destinations::Client;
use crate::mesh::host::resolve_short_name;
use crate::mesh::routes::{RouteKind, VirtualService};
use crate::resource::Resource;
use crate::resource::networking::RouteDestination;
use crate::rollout::Timing;
use crate::rollout::breaks::short;
use crate::rollout::live::View;
use crate::rule::{Check, TransitionContext, declare_rule};
use crate::span::Span;
use crate::span::Spanned;
use crate::yaml::Document;

declare_rule! {
    /// ## What it does
    /// Reports a destination whose share of a split grows by more than 25 points at once.
    ///
    /// ## Why it matters
    /// A canary is meant to fail small. A step from a few percent to everyone shows a mistake to everyone, and
    /// the new pods meet a load that they have not grown to yet.
    ///
    /// ## Example
    /// ```yaml
    /// # file: coalmine.yaml
    /// rollout:
    /// - 1-base.yaml
    /// - 2-split.yaml
    /// - 3-shift.yaml
    /// # file: 1-base.yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: shop}
    /// spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}]}
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: shop-v1}
    /// spec: {selector: {matchLabels: {app: shop, version: v1}}, template: {metadata: {labels: {app: shop, version: v1}}}}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: Gateway
    /// metadata: {name: door}
    /// spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
    /// # file: 2-split.yaml
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: shop-v2}
    /// spec: {selector: {matchLabels: {app: shop, version: v2}}, template: {metadata: {labels: {app: shop, version: v2}}}}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: shop}
    /// spec: {host: shop, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [door]
    ///   http:
    ///   - route:
    ///     - {destination: {host: shop, subset: v1}, weight: 90}
    ///     - {destination: {host: shop, subset: v2}, weight: 10}
    /// # file: 3-shift.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [door]
    ///   http:
    ///   - route:
    ///     - {destination: {host: shop, subset: v1}, weight: 0}
    ///     - {destination: {host: shop, subset: v2}, weight: 100}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// # file: coalmine.yaml
    /// rollout:
    /// - 1-base.yaml
    /// - 2-split.yaml
    /// - 3-shift.yaml
    /// # file: 1-base.yaml
    /// apiVersion: v1
    /// kind: Service
    /// metadata: {name: shop}
    /// spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}]}
    /// ---
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: shop-v1}
    /// spec: {selector: {matchLabels: {app: shop, version: v1}}, template: {metadata: {labels: {app: shop, version: v1}}}}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: Gateway
    /// metadata: {name: door}
    /// spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
    /// # file: 2-split.yaml
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: {name: shop-v2}
    /// spec: {selector: {matchLabels: {app: shop, version: v2}}, template: {metadata: {labels: {app: shop, version: v2}}}}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata: {name: shop}
    /// spec: {host: shop, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
    /// ---
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [door]
    ///   http:
    ///   - route:
    ///     - {destination: {host: shop, subset: v1}, weight: 90}
    ///     - {destination: {host: shop, subset: v2}, weight: 10}
    /// # file: 3-shift.yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata: {name: shop}
    /// spec:
    ///   hosts: ["*"]
    ///   gateways: [door]
    ///   http:
    ///   - route:
    ///     - {destination: {host: shop, subset: v1}, weight: 75}
    ///     - {destination: {host: shop, subset: v2}, weight: 25}
    /// ```
    ///
    /// ## References
    /// - [Traffic shifting](https://istio.io/latest/docs/tasks/traffic-management/traffic-shifting/)
    id: "rollout-weight-jump",
    severity: Warning,
    category: Rollout,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::Transition(check),
}

/// How many points a share may grow at once.
const MAX_JUMP: i64 = 25;

fn check(ctx: &mut TransitionContext<'_, '_>) {
    let transition = ctx.transition;
    if transition.step.undoes || transition.timing != Timing::Settled {
        return;
    }
    for change in transition.arrived {
        let (Some(old), Some(new)) = (change.old, change.new) else { continue };
        let find = |view: &View<'_>, resource: &Resource| {
            view.mesh.routes.iter().position(|service| std::ptr::eq(service.resource, resource))
        };
        let before = find(transition.before, old).and_then(|i| transition.before.mesh.routes.iter().nth(i));
        let now = find(transition.now, new).and_then(|i| transition.now.mesh.routes.iter().nth(i));
        if let (Some(before), Some(now)) = (before, now) {
            compare(ctx, before, now);
        }
    }
}

/// One destination of a rule.
struct Share<'a> {
    host: &'a str,
    subset: &'a str,
    percent: i64,
    /// The place of its weight.
    span: Span,
}

fn compare<'a>(ctx: &mut TransitionContext<'_, 'a>, before: &VirtualService<'a>, now: &VirtualService<'a>) {
    for (kind, rule) in now.rules() {
        let new = shares(now, kind, rule);
        let text = conditions(ctx, now.resource, kind, rule);
        let same = (0..before.count(kind)).find(|own| conditions(ctx, before.resource, kind, *own) == text);
        let Some(old) = same.map(|own| shares(before, kind, own)) else { continue };
        if new.len() < 2 && old.len() < 2 {
            continue;
        }
        for share in &new {
            let is_same = |old: &&Share<'_>| (old.host, old.subset) == (share.host, share.subset);
            // A host without a subset shares among all its pods, also those that now have a name.
            let is_whole =
                |old: &&Share<'_>| (old.host, old.subset) == (share.host, "") && had_pods(ctx, now, share);
            let earlier = old.iter().find(is_same).or_else(|| old.iter().find(is_whole));
            let was = earlier.map_or(0, |earlier| earlier.percent);
            if share.percent - was <= MAX_JUMP {
                continue;
            }
            let name = match share.subset {
                "" => format!("`{}`", short(share.host)),
                subset => format!("subset `{subset}` of `{}`", short(share.host)),
            };
            let message = format!(
                "{} {name} goes from {was} % to {} % of the requests at once",
                ctx.transition.moment(),
                share.percent
            );
            let related = earlier.map(|earlier| earlier.span);
            let diagnostic = ctx.report(Some(now.resource), share.span, message);
            diagnostic.help(format!("go in steps of at most {MAX_JUMP} points, and watch each of them"));
            if let Some(span) = related {
                diagnostic.related(span, "the share before");
            }
        }
    }
}

/// Whether pods of a subset were there before the command.
fn had_pods(ctx: &TransitionContext<'_, '_>, service: &VirtualService<'_>, share: &Share<'_>) -> bool {
    let (before, now) = (&ctx.transition.before.mesh, &ctx.transition.now.mesh);
    let host = resolve_short_name(share.host, service.namespace(), &now.config.domain);
    let client = Client { namespace: Some(service.namespace()), labels: None };
    let subset = now.destination(client, &host).and_then(|rules| rules.subset(share.subset));
    let old = before.registry.find(&host, client.namespace);
    subset
        .zip(old)
        .is_some_and(|((_, subset), host)| !before.subset_workloads(host, &subset.labels).is_empty())
}

/// The text of a rule's `match`, which tells rules of two versions of one object apart.
fn conditions(ctx: &TransitionContext<'_, '_>, resource: &Resource, kind: RouteKind, rule: usize) -> String {
    let node = |documents: &[Document]| {
        let rules = resource.node(documents)?.path(&["spec", kind.as_str()])?;
        let span = rules.items().nth(rule)?.get("match")?.span();
        let text = ctx.files.text(span.file).get(span.range())?;
        Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    node(ctx.documents).unwrap_or_default()
}

fn shares<'a>(service: &VirtualService<'a>, kind: RouteKind, rule: usize) -> Vec<Share<'a>> {
    let entries: &'a [Spanned<RouteDestination>] = match kind {
        RouteKind::Http => service.spec.http.get(rule).map_or(&[], |rule| &rule.route.0),
        RouteKind::Tcp => service.spec.tcp.get(rule).map_or(&[], |rule| &rule.route.0),
        RouteKind::Tls => service.spec.tls.get(rule).map_or(&[], |rule| &rule.route.0),
    };
    let is_single = entries.len() == 1;
    let weight = |entry: &RouteDestination| match is_single {
        true => 1,
        false => entry.weight.get().copied().unwrap_or(0).max(0),
    };
    let total = entries.iter().fold(0_i64, |sum, entry| sum.saturating_add(weight(entry)));
    let share = |entry: &'a Spanned<RouteDestination>| {
        let destination = entry.destination.as_ref()?;
        Some(Share {
            host: destination.host.text(),
            subset: destination.subset.text(),
            percent: weight(entry).saturating_mul(100).checked_div(total).unwrap_or(0),
            span: entry.weight.span().or(destination.subset.span()).unwrap_or(destination.span),
        })
    };
    entries.iter().filter_map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    #[test]
    fn a_canary_goes_from_a_tenth_to_all() {
        check(
            &RULE,
            r##"
#- coalmine.yaml
rollout:
- 1-base.yaml
- 2-split.yaml
- 3-shift.yaml
#- 1-base.yaml
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop-v1}
spec: {selector: {matchLabels: {app: shop, version: v1}}, template: {metadata: {labels: {app: shop, version: v1}}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
#- 2-split.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop-v2}
spec: {selector: {matchLabels: {app: shop, version: v2}}, template: {metadata: {labels: {app: shop, version: v2}}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec: {host: shop, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: ["*"]
  gateways: [door]
  http:
  - route:
    - {destination: {host: shop, subset: v1}, weight: 90}
    - {destination: {host: shop, subset: v2}, weight: 10}
#                                                     ~~ related: the share before
#- 3-shift.yaml
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: ["*"]
  gateways: [door]
  http:
  - route:
    - {destination: {host: shop, subset: v1}, weight: 0}
    - {destination: {host: shop, subset: v2}, weight: 100}
#                                                     ^^^ warning: after `apply 3-shift.yaml`, subset `v2` of `shop` goes from 10 % to 100 % of the requests at once
"##,
        );
    }
}
