//! The language server, driven as an editor drives it: every capability over standard input and output.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod actions;
mod client;
mod diagnostics;
mod features;
mod parity;
mod protocol;

/// A route to a subset that its DestinationRule does not have, and all the rest in order.
const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec:
  selector: {app: reviews}
  ports:
  - {name: http, port: 80, targetPort: 8080}
";
const WORKLOAD: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: reviews-v1, namespace: shop}
spec:
  selector: {matchLabels: {app: reviews, version: v1}}
  template:
    metadata:
      labels: {app: reviews, version: v1}
    spec:
      containers:
      - {name: app, image: reviews, ports: [{containerPort: 8080}]}
";
const RULE: &str = "\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop}
spec:
  host: reviews
  subsets:
  - name: stable
    labels: {version: v1}
";
const ROUTE: &str = "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
  namespace: shop
spec:
  hosts: [reviews]
  http:
  - route:
    - destination:
        host: reviews
        subset: stabel
";

/// The four of them.
const SHOP: [(&str, &str); 4] =
    [("service.yaml", SERVICE), ("workload.yaml", WORKLOAD), ("rule.yaml", RULE), ("route.yaml", ROUTE)];

/// What is found in `route.yaml`.
const UNKNOWN: &str = "11:16-22 unknown-subset";
