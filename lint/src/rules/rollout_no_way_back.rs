//! `rollout-no-way-back`

use crate::resource::Resource;
use crate::resource::Spec;
use crate::rollout::Timing;
use crate::rollout::breaks::Kind;
use crate::rule::{Check, TransitionContext, declare_rule};

declare_rule! {
    /// ## What it does
    /// Reports a command that cannot be taken back: it deletes stored data, or taking its step back in the
    /// opposite order would break requests.
    ///
    /// ## Why it matters
    /// A rollout that goes wrong at night is rolled back, and nobody wants to find out then that it cannot be.
    /// Volumes and Namespaces that are deleted do not come back with their contents.
    ///
    /// ## Example
    /// ```yaml
    /// # file: coalmine.yaml
    /// rollout:
    /// - 1-base.yaml
    /// - name: finish
    ///   actions:
    ///   - delete: 2-data.yaml
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
    /// ---
    /// apiVersion: v1
    /// kind: PersistentVolumeClaim
    /// metadata: {name: data}
    /// spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
    /// # file: 2-data.yaml
    /// apiVersion: v1
    /// kind: PersistentVolumeClaim
    /// metadata: {name: data}
    /// spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// # file: coalmine.yaml
    /// rollout:
    /// - 1-base.yaml
    /// - name: finish
    ///   actions:
    ///   - apply: 2-data.yaml
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
    /// ---
    /// apiVersion: v1
    /// kind: PersistentVolumeClaim
    /// metadata: {name: data}
    /// spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
    /// # file: 2-data.yaml
    /// apiVersion: v1
    /// kind: PersistentVolumeClaim
    /// metadata: {name: data}
    /// spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
    /// ```
    ///
    /// ## References
    /// - [Reclaiming of PersistentVolumes](https://kubernetes.io/docs/concepts/storage/persistent-volumes/#reclaiming)
    id: "rollout-no-way-back",
    severity: Warning,
    category: Rollout,
    fix: None,
    since: "0.1.0",
    upstream: [],
    check: Check::Transition(check),
}

fn check(ctx: &mut TransitionContext<'_, '_>) {
    let transition = ctx.transition;
    if transition.timing.is_race() {
        return;
    }
    match transition.step.undoes {
        true => taken_back(ctx),
        false if transition.timing == Timing::Settled => lost(ctx),
        false => {}
    }
}

/// Data that goes for good.
fn lost(ctx: &mut TransitionContext<'_, '_>) {
    let transition = ctx.transition;
    for object in &transition.step.objects {
        let gone =
            || object.changes.iter().filter(|change| change.new.is_none()).filter_map(|change| change.old);
        let is_volume = |resource: &&Resource| {
            matches!(resource.kind.as_str(), "PersistentVolumeClaim" | "PersistentVolume")
        };
        let volume = gone().find(is_volume);
        let Some(named) = gone().next() else { continue };
        let what = match volume {
            Some(volume) if std::ptr::eq(volume, named) => {
                format!("{} is deleted with its data", volume.describe())
            }
            Some(volume) => {
                format!("{} is deleted, and {} in it with its data", named.describe(), volume.describe())
            }
            None if matches!(named.spec, Spec::Namespace) => {
                format!(
                    "{} is deleted with everything in it, whether these files made it or not",
                    named.describe()
                )
            }
            None => continue,
        };
        let span = object.entry.unwrap_or(named.name.span);
        let message = format!("{} there is no way back: {what}", transition.moment());
        let diagnostic = ctx.report(Some(named), span, message);
        diagnostic.help("make sure that nobody needs it any more, or take a snapshot first");
        if let Some(volume) = volume {
            diagnostic.related(volume.name.span, "the data");
        }
    }
}

/// Requests that break while a step is taken back.
fn taken_back(ctx: &mut TransitionContext<'_, '_>) {
    let transition = ctx.transition;
    let made = transition.breaks.iter().filter(|found| found.kind != Kind::Island && found.is_certain);
    for found in made {
        let change = found.culprit.or_else(|| transition.arrived.last().copied());
        let Some(change) = change else { continue };
        let Some(resource) = change.old.or(change.new) else { continue };
        let span = transition.entry(&change).unwrap_or(resource.name.span);
        let message = format!(
            "taking this back breaks requests: {} {} does not answer {} any more: {}",
            transition.moment(),
            found.destination(),
            found.who,
            found.kind.symptom()
        );
        let diagnostic = ctx.report(Some(resource), span, message);
        diagnostic.help(
            "order the step so that its opposite is safe too, or plan the way back as a step of its own",
        );
        if let Some((_, span)) = found.route {
            diagnostic.related(span, "the route that is live on the way back");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::check;

    #[test]
    fn a_volume_is_deleted() {
        check(
            &RULE,
            r##"
#- coalmine.yaml
rollout:
- 1-base.yaml
- name: finish
  actions:
  - delete: 2-data.yaml
#           ^^^^^^^^^^^ warning: after `delete 2-data.yaml`, there is no way back: PersistentVolumeClaim `data` is deleted with its data
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
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
#                ~~~~ related: the data
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
#- 2-data.yaml
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"##,
        );
    }
}
