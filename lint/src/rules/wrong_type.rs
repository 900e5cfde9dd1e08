//! `wrong-type`

use crate::rule::{Check, InputContext, declare_rule};
use crate::shape::{self, Kind};

declare_rule! {
    /// ## What it does
    /// Reports a value that its field does not take: another type than the schema asks for, a number out of
    /// range, or a word that is none of the allowed ones.
    ///
    /// ## Why it matters
    /// The API server refuses the object. YAML decides by the looks of a text what it is: `1.0`, `0777`, `on`
    /// and `yes` are numbers and booleans unless they are quoted, so a version label needs its quotes. Tools
    /// that read manifests into their own types often convert such values without a word, and the mistake
    /// shows only when the rollout is applied.
    ///
    /// Numbers and booleans are quoted, and quoted ones unquoted, by a safe fix. A word that is close to an
    /// allowed one is replaced by an unsafe fix.
    ///
    /// ## Example
    /// ```yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata:
    ///   name: voting-app
    /// spec:
    ///   host: voting-app
    ///   subsets:
    ///   - name: v1-0
    ///     labels:
    ///       version: 1.0
    /// ```
    ///
    /// ## Use instead
    /// ```yaml
    /// apiVersion: networking.istio.io/v1
    /// kind: DestinationRule
    /// metadata:
    ///   name: voting-app
    /// spec:
    ///   host: voting-app
    ///   subsets:
    ///   - name: v1-0
    ///     labels:
    ///       version: "1.0"
    /// ```
    ///
    /// ## References
    /// - [Labels and selectors](https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/)
    /// - [The YAML that Kubernetes reads](https://github.com/kubernetes-sigs/yaml)
    id: "wrong-type",
    severity: Error,
    category: Schema,
    fix: Safe,
    since: "0.1.0",
    upstream: ["IST0106"],
    check: Check::Input(check),
}

fn check(ctx: &mut InputContext<'_>) {
    shape::report(ctx, Kind::WrongType);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Safety;
    use crate::testing::{check, check_fix, run};

    #[test]
    fn a_version_label_without_quotes_is_a_number_everywhere() {
        check(
            &RULE,
            r"
apiVersion: apps/v1
kind: Deployment
metadata:
  name: voting-app
  labels: {version: 1.0}
  #                 ^^^ error: `1.0` is a number here, a string is wanted: quote it
  annotations:
    sidecar.istio.io/inject: yes
    #                        ^^^ error: `yes` is a boolean here, a string is wanted: quote it
spec:
  selector:
    matchLabels: {version: 1.0}
    #                      ^^^ error: `1.0` is a number here, a string is wanted: quote it
  template:
    metadata:
      labels: {version: 1.0}
      #                 ^^^ error: `1.0` is a number here, a string is wanted: quote it
    spec:
      containers:
      - name: voting-app
        image: voting-app
        env:
        - {name: SHOWDETAILS, value: on}
        #                            ^^ error: `on` is a boolean here, a string is wanted: quote it
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data:
  mode: 0777
  #     ^^^^ error: `0777` is a number here, a string is wanted: quote it
  plain: 1.0.0
  day: 2026-11-21
  empty:
---
apiVersion: v1
kind: List
items:
- apiVersion: networking.istio.io/v1
  kind: VirtualService
  metadata: {name: voting-analytics}
  spec:
    hosts: [voting-analytics]
    http:
    - match:
      - sourceLabels: {version: 1.0}
      #                         ^^^ error: `1.0` is a number here, a string is wanted: quote it
        headers: {x-canary: {exact: true}}
      #                             ^^^^ error: `true` is a boolean here, a string is wanted: quote it
      route: [{destination: {host: voting-analytics}}]
",
        );
    }

    #[test]
    fn labels_are_text_in_kinds_without_a_table() {
        check(
            &RULE,
            r"
apiVersion: example.org/v1
kind: Custom
metadata:
  name: voting
  labels: {version: 2}
  #                 ^ error: `2` is a number here, a string is wanted: quote it
spec: {labels: {version: 2}}
",
        );
    }

    #[test]
    fn quotes_hide_a_number_where_one_is_wanted() {
        check(
            &RULE,
            r#"
apiVersion: v1
kind: Service
metadata: {name: voting-app}
spec:
  publishNotReadyAddresses: "true"
  #                         ^^^^^^ error: `"true"` is a string here, a boolean is wanted: remove the quotes
  ports:
  - port: "8080"
  #       ^^^^^^ error: `"8080"` is a string here, an integer is wanted: remove the quotes
    targetPort: "8080"
  - port: http
  #       ^^^^ error: `http` is a string here, an integer is wanted
    targetPort: true
  #             ^^^^ error: `true` is a boolean here, an integer or a string is wanted: quote it
  - port: 80.0
"#,
        );
    }

    #[test]
    fn an_integral_float_is_an_integer_and_a_fraction_is_none() {
        let service = |port: &str| {
            let text = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: PORT}]}\n";
            run(&RULE, &text.replace("PORT", port)).len()
        };
        assert_eq!(service("80.0"), 0);
        assert_eq!(service("0x50"), 0);
        assert_eq!(service("80.5"), 1);
        assert_eq!(service("18446744073709551615"), 1);
    }

    #[test]
    fn lists_and_objects_are_told_apart() {
        check(
            &RULE,
            r"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: voting-app}
spec:
  hosts: voting-app
  #      ^^^^^^^^^^ error: `spec.hosts` is a string here, a list is wanted
  gateways:
  http:
# ^^^^ error: `spec.http` is an object here, a list is wanted
    route:
    - destination: {host: voting-app}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: voting-app}
spec:
  host: {name: voting-app}
# ^^^^ error: `spec.host` is an object here, a string is wanted
  subsets:
  - v1-0
  # ^^^^ error: `spec.subsets[0]` is a string here, an object is wanted
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: voting-app}
spec: on
#     ^^ error: `spec` is a boolean here, an object is wanted
",
        );
    }

    #[test]
    fn a_word_must_be_one_of_the_allowed_ones() {
        check(
            &RULE,
            r"
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec:
  mtls: {mode: STRIC}
  #            ^^^^^ error: `STRIC` is not one of `UNSET`, `DISABLE`, `PERMISSIVE`, `STRICT`
---
apiVersion: v1
kind: Service
metadata: {name: voting-app}
spec:
  type: ''
  ports: [{port: 80, protocol: tcp}]
  #                            ^^^ error: `tcp` is not one of `SCTP`, `TCP`, `UDP`
",
        );
    }

    #[test]
    fn ports_have_bounds_that_the_schema_of_istio_does_not_state() {
        check(
            &RULE,
            r"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: voting-app}
spec:
  hosts: [voting-app]
  http:
  - match: [{port: 0}]
    route:
    - destination: {host: voting-app, port: {number: 70000}}
    #                                                ^^^^^ error: `70000` is not between 1 and 65535
    - destination: {host: voting-app, port: {number: 0}}
    #                                                ^ error: `0` is not between 1 and 65535
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm}
spec:
  address: 10.0.0.1
  ports: {http: 65536}
  #             ^^^^^ error: `65536` is not between 0 and 65535
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: voting-app}
spec:
  replicas: -1
  #         ^^ error: `-1` is less than 0, the least that is allowed
  selector: {}
  template: {spec: {containers: [{name: a}]}}
",
        );
    }

    #[test]
    fn quantities_durations_and_ports_take_more_than_one_form() {
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: a\n    \
                    resources: {limits: {cpu: 1, memory: 1.5, storage: 500m}}\n    \
                    readinessProbe: {httpGet: {port: http}, periodSeconds: 1}\n";
        assert_eq!(run(&RULE, text), []);
        check(
            &RULE,
            r"
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: voting-app}
spec:
  hosts: [voting-app]
  http:
  - timeout: 5
  #          ^ error: `5` is a number here, a duration such as `5s` is wanted
    route: [{destination: {host: voting-app}}]
",
        );
    }

    #[test]
    fn templates_are_filled_in_later() {
        let text = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  type: ${TYPE}\n  \
                    ports: [{port: \"{{ .Values.port }}\"}]\n";
        assert_eq!(run(&RULE, text), []);
    }

    #[test]
    fn an_alias_is_reported_where_its_value_is_wrong_and_never_twice() {
        check(
            &RULE,
            r"
apiVersion: apps/v1
kind: Deployment
metadata: {name: voting-app, labels: &labels {version: 1.0}}
#                                                      ^^^ error: `1.0` is a number here, a string is wanted: quote it
spec:
  replicas: &two 2
  selector: {matchLabels: *labels}
  template:
    metadata:
      labels: {<<: *labels, app: *two}
      #                          ^^^^ error: `2` is a number here, a string is wanted: quote it
    spec: {containers: [{name: a}]}
",
        );
    }

    #[test]
    fn values_that_only_fit_where_they_are_written_are_reported_at_the_alias() {
        check(
            &RULE,
            r"
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: tag}
spec:
  configPatches:
  - applyTo: CLUSTER
    patch: {operation: MERGE, value: &any {version: 1.0}}
  #                                                 ~~~ related: it is written here
  workloadSelector: {labels: *any}
  #                          ^^^^ error: `1.0` is a number here, a string is wanted: quote it
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: tag}
spec:
  configPatches:
  - applyTo: CLUSTER
    patch: {operation: MERGE, value: &any {version: 1.0}}
  #                                                 ~~~ related: it is written here
  workloadSelector: {labels: {<<: *any, app: a}}
  #                               ^^^^ error: `1.0` is a number here, a string is wanted: quote it
",
        );
    }

    #[test]
    fn quoting_keeps_the_text_as_written() {
        let text = |a: &str, b: &str, c: &str, d: &str| {
            format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings # the name\n  \
                 labels: {{version: {a}}}\ndata:\n  mode:   {b}  # octal\n  flag: {c}\n  big: {d}\n"
            )
        };
        let quoted = text("\"1.0\"", "\"0777\"", "\"on\"", "\"1_000\"");
        check_fix(&RULE, Safety::Safe, &text("1.0", "0777", "on", "1_000"), &quoted);
    }

    #[test]
    fn quotes_are_removed_from_numbers_and_booleans() {
        check_fix(
            &RULE,
            Safety::Safe,
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  publishNotReadyAddresses: 'true'\n  \
             ports:\n  - port: \"8080\" # http\n",
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  publishNotReadyAddresses: true\n  \
             ports:\n  - port: 8080 # http\n",
        );
        let octal = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: \"0777\"}]}\n";
        assert_eq!(run(&RULE, octal)[0].fix, None, "it would become 511");
    }

    #[test]
    fn an_alias_is_replaced_and_its_anchor_left_alone() {
        check_fix(
            &RULE,
            Safety::Safe,
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n\
             spec: {ports: [{port: &p 80}], selector: {port: *p}}\n",
            "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n\
             spec: {ports: [{port: &p 80}], selector: {port: \"80\"}}\n",
        );
        let anchored = "apiVersion: v1\nkind: Service\nmetadata: {name: a, labels: {port: &p 80}}\n\
             spec: {ports: [{port: *p}]}\n";
        assert_eq!(run(&RULE, anchored)[0].fix.as_ref().map(|fix| fix.safety), Some(Safety::Unsafe));
    }

    #[test]
    fn a_near_miss_of_an_allowed_word_and_a_missing_unit_are_guesses() {
        let before = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default}\n\
                      spec: {mtls: {mode: \"strict\"}} # all of it\n";
        check_fix(&RULE, Safety::Unsafe, before, &before.replace("strict", "STRICT"));
        let before = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\n\
                      spec: {hosts: [a], http: [{timeout: 5, route: [{destination: {host: a}}]}]}\n";
        check_fix(&RULE, Safety::Unsafe, before, &before.replace("5,", "5s,"));
    }

    #[test]
    fn a_tagged_value_is_left_to_its_author() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {a: !!int 1, b: !!str 1}\n";
        let found = run(&RULE, text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].fix, None);
    }
}
