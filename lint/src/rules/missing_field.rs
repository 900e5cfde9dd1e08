//! `missing-field`

use crate::rule::{Check, InputContext, declare_rule};
use crate::shape::{self, Kind};

declare_rule! {
    /// ## What it does
    /// Reports a field that is absent although the API server or Istio's webhook asks for it.
    ///
    /// ## Why it matters
    /// The object is refused, and what it replaces stays in force. A field that is written without a value
    /// counts as absent: in JSON it is `null`. Some fields are optional in Istio's schema and required by its
    /// webhook all the same, such as the hosts of a VirtualService that is no delegate.
    ///
    /// Files that a kustomization names as patches are fragments, and not reported.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata:
    ///   name: voting-app
    /// spec:
    ///   hosts: [voting-app]
    ///   http:
    ///   - route:
    ///     - destination: {subset: v1-0}
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: VirtualService
    /// metadata:
    ///   name: voting-app
    /// spec:
    ///   hosts: [voting-app]
    ///   http:
    ///   - route:
    ///     - destination: {host: voting-app, subset: v1-0}
    /// ```
    ///
    /// ## References
    /// - [Virtual Service](https://istio.io/latest/docs/reference/config/networking/virtual-service/)
    /// - `pkg/config/validation` of Istio
    id: "missing-field",
    severity: Error,
    category: Schema,
    fix: None,
    since: "0.1.0",
    upstream: ["IST0106"],
    check: Check::Input(check),
}

fn check(ctx: &mut InputContext<'_>) {
    shape::report(ctx, Kind::MissingField);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, run};

    #[test]
    fn the_field_is_missed_at_the_key_that_lacks_it() {
        check(
            &RULE,
            r"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
^^^^^^^^ error: `metadata.name` is missing
  labels: {app: voting-app}
spec:
  hosts: [voting-app]
  http:
  - route:
    - destination:
    # ^^^^^^^^^^^ error: `spec.http[0].route[0].destination.host` is missing
        subset: v1-0
    - weight: 0
    # ^^^^^^ error: `spec.http[0].route[1].destination` is missing
    - destination:
    # ^^^^^^^^^^^ error: `spec.http[0].route[2].destination.host` is missing
        host:
",
        );
    }

    #[test]
    fn what_the_object_itself_lacks_is_missed_at_its_kind() {
        check(
            &RULE,
            r"
apiVersion: apps/v1
kind: Deployment
#     ^^^^^^^^^^ error: `metadata.name` is missing
#     ^^^^^^^^^^ error: `spec` is missing
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
#     ^^^^^^^^^^^^^^^ error: `spec` is missing
metadata: {name: a}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {generateName: a-}
",
        );
    }

    #[test]
    fn the_webhook_asks_for_more_than_the_schema() {
        check(
            &RULE,
            r"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: rules}
spec:
  hosts: [a]
  http:
  - match: [{port: 80}]
  # ^^^^^ error: `spec.http[0]` has no `route`, `redirect`, `directResponse` or `delegate`
  - route: []
  # ^^^^^ error: `spec.http[1]` has no `route`, `redirect`, `directResponse` or `delegate`
  - redirect: {uri: /}
  - directResponse: {status: 404}
  - delegate: {name: other}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: none}
spec: {selector: {istio: ingressgateway}}
^^^^ error: `spec.servers` is missing
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: servers}
spec:
  servers:
  - hosts: ['*']
  # ^^^^^ error: `spec.servers[0].port` is missing
  - port: {number: 80, name: http, protocol: HTTP}
  # ^^^^ error: `spec.servers[1].hosts` is missing
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: []
#   ^^^^^ error: `spec.servers[2].hosts` is empty
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: empty}
spec: {hosts: []}
#      ^^^^^ error: `spec.hosts` is empty
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: nothing}
spec: {}
^^^^ error: `spec.host` is missing
",
        );
    }

    #[test]
    fn a_virtual_service_without_hosts_must_be_a_delegate() {
        check(
            &RULE,
            r"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: root}
spec:
  hosts: [a]
  http: [{delegate: {name: delegate}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: delegate}
spec:
  http: [{route: [{destination: {host: a}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: stray}
spec:
^^^^ warning: `spec.hosts` is missing
  http: [{route: [{destination: {host: a}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bound}
spec:
  gateways: [gateway]
  hosts: []
# ^^^^^ error: `spec.hosts` is empty
  http: [{route: [{destination: {host: a}}]}]
",
        );
    }

    #[test]
    fn a_delegate_alone_may_have_its_root_elsewhere() {
        let text = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: delegate}\n\
                    spec: {http: [{route: [{destination: {host: a}}]}]}\n";
        assert_eq!(run(&RULE, text), []);
    }

    #[test]
    fn a_document_that_looks_like_an_object_needs_a_version_and_a_kind() {
        check(
            &RULE,
            r"
kind: Gateway
^^^^ error: `apiVersion` is missing
metadata: {name: a}
---
# An object begins here.
apiVersion: networking.istio.io/v1
^^^^^^^^^^ error: `kind` is missing
spec: {}
---
metadata: {name: a}
^^^^^^^^ error: `apiVersion` is missing
^^^^^^^^ error: `kind` is missing
---
apiVersion: v1
kind: List
items:
- kind: Service
# ^^^^ error: `apiVersion` is missing
  metadata: {name: a}
",
        );
    }

    #[test]
    fn other_yaml_is_none_of_our_business() {
        for text in [
            "replicaCount: 1\nimage: {tag: a}\n",
            "kind: DaemonSet\nimage: {tag: a}\n",
            "apiVersion: v2\nname: voting\nversion: 1.0.0\n",
            "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: []\n",
            "kind: Kustomization\nmetadata: {name: a}\nresources: []\n",
            "namespace: voting\nrollout: [1-deploy]\n",
            "- op: remove\n  path: /spec\n",
            "apiVersion: kind.x-k8s.io/v1alpha4\nkind: Cluster\nnodes: []\n",
            "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec: {}\n",
            "metadata: 3\n",
            "text\n",
            "",
        ] {
            assert_eq!(run(&RULE, text), [], "{text}");
        }
    }

    #[test]
    fn patches_of_a_kustomization_are_fragments() {
        check(
            &RULE,
            r"
#- overlay/kustomization.yaml
resources: [../base]
patches:
- path: patches/replicas.yaml
- patch: '[]'
patchesStrategicMerge: [./../more.yaml]
#- overlay/patches/replicas.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: voting-app}
spec: {replicas: 3}
#- more.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: voting-app}
spec: {paused: true}
#- overlay/other.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: voting-app}
spec: {replicas: 3}
^^^^ error: `spec.selector` is missing
^^^^ error: `spec.template` is missing
",
        );
    }

    #[test]
    fn a_misspelt_field_is_reported_once_as_unknown() {
        let text = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {nmae: a}\n\
                    spec: {host: [a], http: [{route: [{destination: {hosst: a}}]}, {routes: []}]}\n";
        assert_eq!(run(&RULE, text), []);
        assert_eq!(run(&super::super::unknown_field::RULE, text).len(), 4);
    }
}
