//! The shipped manifests are clean, and breaking them in the way a rule describes is reported at the right
//! place, with nothing else new.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use coalmine::rules::RULES;
use coalmine::{Diagnostic, Files, Input, Report, Settings, lint, rollout};

/// One change to a deployment's files.
enum Edit {
    /// In a file, the first occurrence of a text becomes another.
    Replace(&'static str, &'static str, &'static str),
    /// A text is put at the end of a file.
    Append(&'static str, &'static str),
    /// A file is added.
    Add(&'static str, &'static str),
}
use Edit::{Add, Append, Replace};

/// A rule, the deployment that is broken, how, and the file and text of the finding.
struct Case(&'static str, &'static str, &'static [Edit], &'static str, &'static str);

const COOKIE_ROUTE: &str = "3-canary/70-voting-app-virtual-service.yaml";
const FILTER: &str = "istio-ingress/20-coalmine-filter.yaml";
const DEFAULT_RULE: &str = "    - route:\n        - destination:\n            host: voting-app.voting.svc.cluster.local\n            subset: v1-0\n";

const CASES: &[Case] = &[
    Case(
        "yaml-syntax",
        "voting",
        &[Replace("3-canary/41-mysql-pv-claim.yaml", "accessModes:", "accessModes: [")],
        "3-canary/41-mysql-pv-claim.yaml",
        "-",
    ),
    Case(
        "duplicate-key",
        "voting",
        &[Replace(
            "1-deploy/31-voting-app-service.yaml",
            "  labels:\n    app: voting-app\n",
            "  labels:\n    app: voting-app\n    app: voting\n",
        )],
        "1-deploy/31-voting-app-service.yaml",
        "app",
    ),
    Case(
        "wrong-type",
        "voting",
        &[Replace("3-canary/60-voting-app-2.0.yaml", "version: \"2.0\"", "version: 2.0")],
        "3-canary/60-voting-app-2.0.yaml",
        "2.0",
    ),
    Case(
        "unknown-field",
        "voting",
        &[Replace("3-canary/60-voting-app-2.0.yaml", "readinessProbe:", "readinessprobe:")],
        "3-canary/60-voting-app-2.0.yaml",
        "readinessprobe",
    ),
    Case(
        "missing-field",
        "voting",
        &[Replace(
            "3-canary/50-voting-analytics-2.0.yaml",
            "  selector:\n    matchLabels:\n      app: voting-analytics\n      version: \"2.0\"\n",
            "",
        )],
        "3-canary/50-voting-analytics-2.0.yaml",
        "spec",
    ),
    Case(
        "duplicate-resource",
        "voting",
        &[Append(
            "3-canary/41-mysql-pv-claim.yaml",
            "---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata:\n  name: mysql-pv-claim\n  namespace: voting\n\
             spec:\n  accessModes: [ReadWriteOnce]\n  resources: {requests: {storage: 2Gi}}\n",
        )],
        "3-canary/41-mysql-pv-claim.yaml",
        "mysql-pv-claim",
    ),
    Case(
        "deprecated-api",
        "voting",
        &[Replace("3-canary/50-voting-analytics-2.0.yaml", "apps/v1", "apps/v1beta2")],
        "3-canary/50-voting-analytics-2.0.yaml",
        "apps/v1beta2",
    ),
    Case(
        "unknown-subset",
        "voting",
        &[Replace(
            "3-canary/10-voting-app-destination-rule.yaml",
            "    - name: v2-0\n      labels:\n        app: voting-app\n        version: \"2.0\"\n",
            "",
        )],
        COOKIE_ROUTE,
        "v2-0",
    ),
    Case(
        "orphaned-subset",
        "voting",
        &[Append(
            "3-canary/10-voting-app-destination-rule.yaml",
            "    - name: spare\n      labels:\n        app: voting-app\n        version: \"2.0\"\n",
        )],
        "3-canary/10-voting-app-destination-rule.yaml",
        "spare",
    ),
    Case(
        "subset-selects-no-pods",
        "voting",
        &[Replace("3-canary/11-voting-analytics-destination-rule.yaml", "\"2.0\"", "\"2.1\"")],
        "3-canary/11-voting-analytics-destination-rule.yaml",
        "\"2.1\"",
    ),
    Case(
        "subset-mixes-versions",
        "voting",
        &[Replace(
            "3-canary/10-voting-app-destination-rule.yaml",
            "        app: voting-app\n        version: \"1.0\"\n",
            "        app: voting-app\n",
        )],
        "3-canary/10-voting-app-destination-rule.yaml",
        "v1-0",
    ),
    Case(
        "unversioned-route",
        "voting",
        &[Replace(
            COOKIE_ROUTE,
            DEFAULT_RULE,
            "    - match:\n        - uri:\n            prefix: /health\n      route:\n        - destination:\n            \
             host: voting-app.voting.svc.cluster.local\n            port:\n              number: 8080\n    \
             - route:\n        - destination:\n            host: voting-app.voting.svc.cluster.local\n            \
             subset: v1-0\n",
        )],
        COOKIE_ROUTE,
        "voting-app.voting.svc.cluster.local",
    ),
    Case(
        "unknown-destination-host",
        "voting",
        &[Replace(
            "1-deploy/41-voting-app-virtual-service.yaml",
            "host: voting-app.voting",
            "host: voting-ap.voting",
        )],
        "1-deploy/41-voting-app-virtual-service.yaml",
        "voting-ap.voting.svc.cluster.local",
    ),
    Case(
        "unresolvable-partial-host",
        "voting",
        &[Replace(
            "1-deploy/41-voting-app-virtual-service.yaml",
            "host: voting-app.voting.svc.cluster.local",
            "host: voting-app.voting",
        )],
        "1-deploy/41-voting-app-virtual-service.yaml",
        "voting-app.voting",
    ),
    Case(
        "unknown-destination-port",
        "voting",
        &[Replace("1-deploy/41-voting-app-virtual-service.yaml", "number: 8080", "number: 8081")],
        "1-deploy/41-voting-app-virtual-service.yaml",
        "8081",
    ),
    Case(
        "ambiguous-destination-port",
        "voting",
        &[
            Append(
                "1-deploy/31-voting-app-service.yaml",
                "    - name: http-metrics\n      port: 9090\n      targetPort: 8080\n",
            ),
            Replace(
                "1-deploy/41-voting-app-virtual-service.yaml",
                "            port:\n              number: 8080\n",
                "",
            ),
        ],
        "1-deploy/41-voting-app-virtual-service.yaml",
        "voting-app.voting.svc.cluster.local",
    ),
    Case(
        "service-port-not-on-workload",
        "voting",
        &[Append(
            "1-deploy/31-voting-app-service.yaml",
            "    - name: http-admin\n      port: 9090\n      targetPort: 9091\n",
        )],
        "1-deploy/31-voting-app-service.yaml",
        "9091",
    ),
    Case(
        "subset-port-mismatch",
        "voting",
        &[Replace("3-canary/30-voting-storage-virtual-service.yaml", "number: 3306", "number: 6379")],
        "3-canary/30-voting-storage-virtual-service.yaml",
        "6379",
    ),
    Case(
        "gateway-port-not-exposed",
        "voting-flag",
        &[Replace("voting/60-voting-app-gateway.yaml", "number: 80", "number: 81")],
        "voting/60-voting-app-gateway.yaml",
        "81",
    ),
    Case(
        "unknown-gateway",
        "voting",
        &[Replace(COOKIE_ROUTE, "- voting-app-gateway", "- voting-gateway")],
        COOKIE_ROUTE,
        "voting-gateway",
    ),
    Case(
        "gateway-host-mismatch",
        "voting",
        &[
            Replace("1-deploy/40-voting-app-gateway.yaml", "- \"*\"", "- votes.example.com"),
            Replace(COOKIE_ROUTE, "- \"*\"", "- vote.example.com"),
        ],
        COOKIE_ROUTE,
        "voting-app-gateway",
    ),
    Case(
        "selector-matches-no-workload",
        "voting",
        &[Add(
            "2-update/41-peer-authentication.yaml",
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: web, namespace: voting}\n\
             spec:\n  selector:\n    matchLabels:\n      app: voting-web\n  mtls: {mode: STRICT}\n",
        )],
        "2-update/41-peer-authentication.yaml",
        "voting-web",
    ),
    Case(
        "route-kind-ignored",
        "voting",
        &[Append(
            COOKIE_ROUTE,
            "  tcp:\n    - route:\n        - destination:\n            host: voting-app.voting.svc.cluster.local\n            \
             subset: v1-0\n            port:\n              number: 8080\n",
        )],
        COOKIE_ROUTE,
        "tcp",
    ),
    Case(
        "source-labels-match-no-workload",
        "voting",
        &[Replace(
            "3-canary/31-voting-analytics-virtual-service.yaml",
            "    # Everyone else",
            "    - match:\n        - sourceLabels:\n            app: voting-app\n            version: \"3.0\"\n      route:\n        - destination:\n            \
             host: voting-analytics.voting.svc.cluster.local\n            subset: v2-0\n            port:\n              \
             number: 8080\n    # Everyone else",
        )],
        "3-canary/31-voting-analytics-virtual-service.yaml",
        "\"3.0\"",
    ),
    Case(
        "mtls-client-server-conflict",
        "voting",
        &[Replace("3-canary/11-voting-analytics-destination-rule.yaml", "ISTIO_MUTUAL", "DISABLE")],
        "3-canary/11-voting-analytics-destination-rule.yaml",
        "DISABLE",
    ),
    Case(
        "mtls-downgrade",
        "voting",
        &[Add(
            "2-update/41-peer-authentication.yaml",
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: analytics, namespace: voting}\n\
             spec:\n  selector:\n    matchLabels:\n      app: voting-analytics\n  mtls: {mode: PERMISSIVE}\n",
        )],
        "2-update/41-peer-authentication.yaml",
        "PERMISSIVE",
    ),
    Case(
        "peer-auth-duplicate",
        "voting",
        &[Add(
            "2-update/41-peer-authentication.yaml",
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: second, namespace: voting}\n\
             spec:\n  mtls: {mode: STRICT}\n",
        )],
        "2-update/40-peer-authentication.yaml",
        "default",
    ),
    Case(
        "peer-auth-selector-in-root",
        "voting",
        &[Add(
            "2-update/41-peer-authentication.yaml",
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: web, namespace: istio-system}\n\
             spec:\n  selector:\n    matchLabels:\n      app: voting-app\n  mtls: {mode: STRICT}\n",
        )],
        "2-update/41-peer-authentication.yaml",
        "app: voting-app",
    ),
    Case(
        "peer-auth-port-unknown",
        "voting",
        &[Add(
            "2-update/41-peer-authentication.yaml",
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: analytics, namespace: voting}\n\
             spec:\n  selector:\n    matchLabels:\n      app: voting-analytics\n  mtls: {mode: STRICT}\n  portLevelMtls:\n    \
             9999: {mode: STRICT}\n",
        )],
        "2-update/41-peer-authentication.yaml",
        "9999",
    ),
    Case(
        "weights-not-100",
        "weighted",
        &[Replace("2-split/30-greeter-virtual-service.yaml", "weight: 50", "weight: 40")],
        "2-split/30-greeter-virtual-service.yaml",
        "40",
    ),
    Case(
        "single-destination-weight",
        "voting",
        &[Replace(
            COOKIE_ROUTE,
            "            subset: v1-0\n            port:\n              number: 8080\n",
            "            subset: v1-0\n            port:\n              number: 8080\n          weight: 50\n",
        )],
        COOKIE_ROUTE,
        "50",
    ),
    Case(
        "invalid-weight",
        "weighted",
        &[Replace("2-split/30-greeter-virtual-service.yaml", "weight: 50", "weight: -50")],
        "2-split/30-greeter-virtual-service.yaml",
        "-50",
    ),
    Case(
        "unknown-destination-rule-host",
        "voting",
        &[Append(
            "4-finalize/31-voting-storage-destination-rule.yaml",
            "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: mysql, namespace: \
             voting}\nspec: {host: mysql, trafficPolicy: {connectionPool: {tcp: {maxConnections: 9}}}}\n",
        )],
        "4-finalize/31-voting-storage-destination-rule.yaml",
        "mysql",
    ),
    Case(
        "mesh-host-conflict",
        "voting",
        &[Append(
            "4-finalize/20-voting-analytics-virtual-service.yaml",
            "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: slow-analytics, namespace: \
             voting}\nspec:\n  hosts: [voting-analytics.voting.svc.cluster.local]\n  http:\n  - timeout: 5s\n    \
             route:\n    - destination: {host: voting-analytics.voting.svc.cluster.local, subset: v2-0, port: {number: \
             8080}}\n",
        )],
        "4-finalize/20-voting-analytics-virtual-service.yaml",
        "voting-analytics.voting.svc.cluster.local",
    ),
    Case(
        "unreachable-route",
        "voting",
        &[Append(
            COOKIE_ROUTE,
            "    - match:\n        - uri:\n            prefix: /new\n      route:\n        - destination:\n            \
             host: voting-app.voting.svc.cluster.local\n            subset: v2-0\n            port:\n              \
             number: 8080\n",
        )],
        COOKIE_ROUTE,
        "match",
    ),
    Case(
        "shadowed-route",
        "voting",
        &[Replace(
            COOKIE_ROUTE,
            "  http:\n",
            "  http:\n    - match:\n        - uri:\n            prefix: /vote\n      route:\n        - destination:\n            \
             host: voting-app.voting.svc.cluster.local\n            subset: v1-0\n            port:\n              number: 8080\n    \
             - match:\n        - uri:\n            prefix: /vote/now\n      route:\n        - destination:\n            \
             host: voting-app.voting.svc.cluster.local\n            subset: v2-0\n            port:\n              number: 8080\n",
        )],
        COOKIE_ROUTE,
        "prefix: /vote/now",
    ),
    Case(
        "cookie-regex-unanchored",
        "voting",
        &[Replace(COOKIE_ROUTE, "^(.*?; *)?(featureflag=on)(;.*)?$", ".*featureflag=on.*")],
        COOKIE_ROUTE,
        "'.*featureflag=on.*'",
    ),
    Case(
        "cookie-regex-misses-space",
        "voting",
        &[Replace(COOKIE_ROUTE, "; *)?(", ";)?(")],
        COOKIE_ROUTE,
        "'^(.*?;)?(featureflag=on)(;.*)?$'",
    ),
    Case("invalid-regex", "voting", &[Replace(COOKIE_ROUTE, "; *)?(", "; *?(")], COOKIE_ROUTE, "("),
    Case(
        "version-islands-cross",
        "voting",
        &[Replace(
            "3-canary/30-voting-storage-virtual-service.yaml",
            "        - sourceLabels:\n            app: voting-analytics\n            version: \"2.0\"\n",
            "",
        )],
        "3-canary/30-voting-storage-virtual-service.yaml",
        "v1-0",
    ),
    Case(
        "hpa-target-missing",
        "weighted",
        &[Replace("1-deploy/11-greeter-v1-autoscaler.yaml", "    name: greeter-v1", "    name: greeter-one")],
        "1-deploy/11-greeter-v1-autoscaler.yaml",
        "greeter-one",
    ),
    Case("wasm-plugin-config", "voting-flag", &[Replace(FILTER, "value: \"on\"", "value: on")], FILTER, "on"),
    Case(
        "wasm-plugin-phase",
        "voting-flag",
        &[Replace(FILTER, "phase: AUTHN", "phase: STATS")],
        FILTER,
        "STATS",
    ),
    Case(
        "wasm-plugin-unpinned",
        "voting-flag",
        // Whatever the digest is, it becomes a comment.
        &[Replace(FILTER, "filter@sha256:", "filter:0.1.0 # ")],
        FILTER,
        "oci://ghcr.io/coalmine/filter:0.1.0",
    ),
    Case(
        "wasm-plugin-fail-open",
        "voting-flag",
        &[Replace(FILTER, "failStrategy: FAIL_RELOAD", "failStrategy: FAIL_OPEN")],
        FILTER,
        "FAIL_OPEN",
    ),
    Case(
        "tag-header-unrouted",
        "voting-flag",
        &[Replace(FILTER, "header: x-canary", "header: {name: x-canary, values: {canary: beta}}")],
        FILTER,
        "beta",
    ),
    Case(
        "tag-header-unprotected",
        "voting-flag",
        &[Replace(FILTER, "phase: AUTHN", "phase: AUTHN\n  match:\n    - mode: SERVER")],
        "voting/61-voting-app-virtual-service.yaml",
        "x-canary",
    ),
    Case(
        "unused-suppression",
        "voting",
        &[Replace(
            "3-canary/10-voting-app-destination-rule.yaml",
            "    - name: v2-0",
            "    # coalmine: ignore[orphaned-subset] the route comes later\n    - name: v2-0",
        )],
        "3-canary/10-voting-app-destination-rule.yaml",
        "orphaned-subset",
    ),
    Case(
        "invalid-suppression",
        "voting",
        &[Replace(
            "3-canary/10-voting-app-destination-rule.yaml",
            "    - name: v2-0",
            "    # coalmine: ignore[orphaned-subset]\n    - name: v2-0",
        )],
        "3-canary/10-voting-app-destination-rule.yaml",
        "# coalmine: ignore[orphaned-subset]",
    ),
];

const ORDER: &str = "coalmine.yaml";
const RELEASE: &str = "      - apply: 4-finalize/10-voting-app-virtual-service.yaml\n";
const FIRST_RULE: &str = "          - 2-update/20-voting-app-destination-rule.yaml\n";
const FIRST_ROUTE: &str = "          - 2-update/32-voting-app-virtual-service.yaml\n";
const STRICT: &str = "      - apply: 2-update/40-peer-authentication.yaml\n";
const DOOR: &str = "      - apply: 3-canary/70-voting-app-virtual-service.yaml\n";
const PORT: &str = "      - apply: 3-canary/20-voting-storage-service.yaml\n";
const LAST_PORT: &str = "      - apply: 4-finalize/40-voting-storage-service.yaml\n";

/// The same for the rules about order, which `coalmine rollout` runs.
const ORDER_CASES: &[Case] = &[
    Case(
        "rollout-subset-removed-early",
        "voting",
        &[
            Replace(ORDER, "      - apply: 4-finalize/11-voting-app-destination-rule.yaml\n", ""),
            Replace(
                ORDER,
                RELEASE,
                concat!(
                    "      - apply: 4-finalize/11-voting-app-destination-rule.yaml\n",
                    "      - apply: 4-finalize/10-voting-app-virtual-service.yaml\n",
                ),
            ),
        ],
        "4-finalize/11-voting-app-destination-rule.yaml",
        "subsets",
    ),
    Case(
        "rollout-subset-used-before-defined",
        "voting",
        &[
            Replace(ORDER, FIRST_RULE, ""),
            Replace(
                ORDER,
                STRICT,
                concat!(
                    "      - apply: 2-update/20-voting-app-destination-rule.yaml\n",
                    "      - apply: 2-update/40-peer-authentication.yaml\n",
                ),
            ),
        ],
        "2-update/32-voting-app-virtual-service.yaml",
        "v1-0",
    ),
    Case(
        "rollout-same-apply-race",
        "voting",
        &[
            Replace(ORDER, FIRST_ROUTE, ""),
            Replace(
                ORDER,
                FIRST_RULE,
                concat!(
                    "          - 2-update/20-voting-app-destination-rule.yaml\n",
                    "          - 2-update/32-voting-app-virtual-service.yaml\n",
                ),
            ),
        ],
        "2-update/20-voting-app-destination-rule.yaml",
        "voting-app",
    ),
    Case(
        "rollout-workload-removed-early",
        "voting",
        &[
            Replace(ORDER, "      - delete: 1-deploy/30-voting-app-1.0.yaml\n", ""),
            Replace(
                ORDER,
                RELEASE,
                concat!(
                    "      - delete: 1-deploy/30-voting-app-1.0.yaml\n",
                    "      - apply: 4-finalize/10-voting-app-virtual-service.yaml\n",
                ),
            ),
        ],
        ORDER,
        "1-deploy/30-voting-app-1.0.yaml",
    ),
    Case(
        "rollout-pods-not-ready-before-route",
        "voting",
        &[
            Replace(ORDER, DOOR, ""),
            Replace(
                ORDER,
                PORT,
                concat!(
                    "      - apply: 3-canary/70-voting-app-virtual-service.yaml\n",
                    "      - apply: 3-canary/20-voting-storage-service.yaml\n",
                ),
            ),
        ],
        COOKIE_ROUTE,
        "v2-0",
    ),
    Case(
        "rollout-host-or-port-removed-early",
        "voting",
        &[
            Replace(ORDER, LAST_PORT, ""),
            Replace(
                ORDER,
                RELEASE,
                concat!(
                    "      - apply: 4-finalize/40-voting-storage-service.yaml\n",
                    "      - apply: 4-finalize/10-voting-app-virtual-service.yaml\n",
                ),
            ),
        ],
        "4-finalize/40-voting-storage-service.yaml",
        "ports",
    ),
    Case(
        "rollout-host-or-port-used-before-defined",
        "voting",
        &[
            Replace(ORDER, PORT, ""),
            Replace(
                ORDER,
                DOOR,
                concat!(
                    "      - apply: 3-canary/70-voting-app-virtual-service.yaml\n",
                    "      - apply: 3-canary/20-voting-storage-service.yaml\n",
                ),
            ),
        ],
        "3-canary/30-voting-storage-virtual-service.yaml",
        "3306",
    ),
    Case(
        "rollout-gateway-removed-early",
        "voting",
        &[
            Replace(ORDER, "      - delete: 1-deploy/40-voting-app-gateway.yaml\n", ""),
            Replace(
                ORDER,
                "      - delete: 4-finalize/10-voting-app-virtual-service.yaml\n",
                concat!(
                    "      - delete: 1-deploy/40-voting-app-gateway.yaml\n",
                    "      - delete: 4-finalize/10-voting-app-virtual-service.yaml\n",
                ),
            ),
        ],
        ORDER,
        "1-deploy/40-voting-app-gateway.yaml",
    ),
    Case(
        "rollout-route-removed-early",
        "voting",
        &[Replace(
            ORDER,
            "      - apply: 3-canary/70-voting-app-virtual-service.yaml\n",
            concat!(
                "      - delete: 2-update/32-voting-app-virtual-service.yaml\n",
                "      - apply: 3-canary/70-voting-app-virtual-service.yaml\n",
            ),
        )],
        ORDER,
        "2-update/32-voting-app-virtual-service.yaml",
    ),
    Case(
        "rollout-mtls-window",
        "voting",
        &[
            Replace("1-deploy/00-namespace.yaml", "enabled", "disabled"),
            Add(
                "2-update/05-namespace.yaml",
                "apiVersion: v1\nkind: Namespace\nmetadata: {name: voting, labels: {istio-injection: enabled}}\n",
            ),
            Replace(ORDER, STRICT, ""),
            Replace(
                ORDER,
                "      - apply: 2-update/10-voting-analytics-1.1.yaml\n",
                concat!(
                    "      - apply: 2-update/40-peer-authentication.yaml\n",
                    "      - apply: 2-update/05-namespace.yaml\n",
                    "      - apply: 2-update/10-voting-analytics-1.1.yaml\n",
                ),
            ),
        ],
        "2-update/40-peer-authentication.yaml",
        "STRICT",
    ),
    Case(
        "rollout-flag-leak",
        "voting",
        &[
            Replace(ORDER, "      - apply: 4-finalize/20-voting-analytics-virtual-service.yaml\n", ""),
            Replace(
                ORDER,
                "      - delete: 1-deploy/30-voting-app-1.0.yaml\n",
                concat!(
                    "      - apply: 4-finalize/20-voting-analytics-virtual-service.yaml\n",
                    "      - delete: 1-deploy/30-voting-app-1.0.yaml\n",
                ),
            ),
        ],
        "4-finalize/20-voting-analytics-virtual-service.yaml",
        "v2-0",
    ),
    Case(
        "rollout-weight-jump",
        "weighted",
        &[Replace(
            "3-shift/30-greeter-virtual-service.yaml",
            "          # coalmine: ignore[rollout-weight-jump] two steps are enough to show a shift; a rollout for real would take more\n",
            "",
        )],
        "3-shift/30-greeter-virtual-service.yaml",
        "100",
    ),
    Case(
        "rollout-no-way-back",
        "voting",
        &[Replace(
            ORDER,
            "      # coalmine: ignore[rollout-no-way-back] the end: nobody wants the votes in MySQL any more\n",
            "",
        )],
        ORDER,
        "1-deploy/00-namespace.yaml",
    ),
];

fn manifests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests")
}

/// The files of a deployment by name, in name order, without its settings.
fn read(deployment: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, base: &Path, out: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(base).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                walk(&path, base, out);
            } else if name.ends_with(".yaml") && name != "coalmine.yaml" {
                out.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let base = manifests().join(deployment);
    let mut files = Vec::new();
    walk(&base, &base, &mut files);
    files.sort();
    files
}

fn settings(deployment: &str) -> Settings {
    let text = fs::read_to_string(manifests().join(deployment).join("coalmine.yaml")).unwrap();
    Settings::parse(&text, "").unwrap()
}

fn run(files: &[(String, String)], settings: &Settings) -> (Files, Report) {
    let mut set = Files::new();
    for (name, text) in files {
        set.add(name.as_str(), text.as_str());
    }
    let report = lint(&set, settings);
    (set, report)
}

/// The same with the moments between the steps; `coalmine.yaml` is among the files.
fn run_in_order(files: &[(String, String)]) -> (Files, Report) {
    let mut set = Files::new();
    let mut order = None;
    let mut settings = Settings::default();
    for (name, text) in files {
        if name == ORDER {
            settings = Settings::parse(text, "").unwrap();
            order = Some(set.add_context(name.as_str(), text.as_str()));
        } else {
            set.add(name.as_str(), text.as_str());
        }
    }
    let input = Input::read(&set, &settings);
    let report = rollout::check(&set, &settings, &input, order).report;
    (set, report)
}

fn place<'f>(files: &'f Files, diagnostic: &Diagnostic) -> (&'f str, &'f str) {
    (files.name(diagnostic.span.file), &files.text(diagnostic.span.file)[diagnostic.span.range()])
}

#[test]
fn the_shipped_manifests_have_no_findings() {
    for deployment in ["voting", "voting-flag", "weighted", "weighted-sticky"] {
        let (files, report) = run(&read(deployment), &settings(deployment));
        let found: Vec<_> =
            report.diagnostics.iter().map(|d| (d.rule, place(&files, d), d.message.as_str())).collect();
        assert_eq!(found, [], "{deployment}");
    }
    let (_, voting) = run(&read("voting"), &settings("voting"));
    assert_eq!(voting.suppressed, 1, "the orphaned subset of step 2");
}

#[test]
fn the_legacy_lock_down_is_explained() {
    let (files, report) = run(&read("legacy"), &settings("legacy"));
    let found: Vec<_> = report.diagnostics.iter().map(|d| (d.rule, place(&files, d).1)).collect();
    assert_eq!(found, [("deprecated-api", "authentication.istio.io/v1alpha1")]);
}

/// The rollout as a user lints it step by step: each accumulated folder, without the later ones.
#[test]
fn every_accumulated_step_of_the_voting_rollout_is_clean() {
    let all = read("voting");
    for upto in ["1", "2", "3", "4"] {
        let files: Vec<_> =
            all.iter().filter(|(name, _)| name.as_str() < &format!("{upto}~")[..]).cloned().collect();
        let (set, report) = run(&files, &settings("voting"));
        let found: Vec<_> = report.diagnostics.iter().map(|d| (d.rule, place(&set, d))).collect();
        assert_eq!(found, [], "up to step {upto}");
    }
}

/// What an editor sees of an open file, without the rest of the folder.
#[test]
fn a_file_alone_gives_no_false_alarm() {
    for deployment in ["voting", "voting-flag", "weighted", "weighted-sticky"] {
        for file in read(deployment) {
            let (set, report) = run(std::slice::from_ref(&file), &Settings::default());
            let found: Vec<_> = report.diagnostics.iter().map(|d| (d.rule, place(&set, d))).collect();
            assert_eq!(found, [], "{deployment}");
        }
    }
}

#[test]
fn breaking_the_manifests_is_reported_at_the_right_place_and_nothing_else_is_new() {
    let mut wrong = Vec::new();
    for Case(rule, deployment, edits, file, text) in CASES.iter().chain(ORDER_CASES) {
        let mut files = read(deployment);
        let settings = settings(deployment);
        let about_order = rule.starts_with("rollout-");
        if about_order {
            let order = manifests().join(deployment).join(ORDER);
            files.push((ORDER.to_owned(), fs::read_to_string(order).unwrap()));
        }
        let run = |files: &[(String, String)]| {
            if about_order { run_in_order(files) } else { run(files, &settings) }
        };
        let (before_files, before) = run(&files);
        let known: BTreeSet<_> =
            before.diagnostics.iter().map(|d| (d.rule, place(&before_files, d), d.message.clone())).collect();
        for edit in *edits {
            match edit {
                Add(name, content) => files.push(((*name).to_owned(), (*content).to_owned())),
                Append(name, content) => find(&mut files, name).push_str(content),
                Replace(name, from, to) => {
                    let content = find(&mut files, name);
                    assert!(content.contains(from), "{rule}: {name} no longer has {from:?}");
                    *content = content.replacen(from, to, 1);
                }
            }
        }
        let (set, after) = run(&files);
        let new: Vec<_> = after
            .diagnostics
            .iter()
            .map(|d| (d.rule, place(&set, d), d.message.clone()))
            .filter(|finding| !known.contains(finding))
            .collect();
        let right = !new.is_empty() && new.iter().all(|(id, at, _)| id == rule && *at == (*file, *text));
        if !right {
            wrong.push(format!("{rule}: expected {text:?} in {file}, new findings: {new:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn find<'f>(files: &'f mut [(String, String)], name: &str) -> &'f mut String {
    &mut files.iter_mut().find(|(own, _)| own == name).expect(name).1
}

/// Rules whose mistake cannot be made by editing these manifests, with their own tests.
const ELSEWHERE: &[&str] = &["yaml-limits"];

#[test]
fn every_rule_has_a_case() {
    let cases = CASES.iter().chain(ORDER_CASES).map(|case| case.0);
    let covered: BTreeSet<&str> = cases.chain(ELSEWHERE.iter().copied()).collect();
    let all: BTreeSet<&str> = RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(all.difference(&covered).collect::<Vec<_>>(), Vec::<&&str>::new());
}
