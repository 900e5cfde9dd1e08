//! Lints the routing and mTLS manifests of an Istio deployment, offline. No I/O happens in this library.

pub mod schema;
