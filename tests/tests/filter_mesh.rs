//! The mesh role: a tag survives only from listed SPIFFE principals over mutual TLS, whatever else a client says.
//!
//! One Envoy plays every client, since it can hold a certificate per cluster; another has the filter behind TLS.

use coalmine_tests::bootstrap::{self, Bootstrap, header_route};
use coalmine_tests::envoy::Envoy;
use coalmine_tests::on_each_envoy;
use coalmine_tests::policy::{self, CANARY, TAG};
use coalmine_tests::upstream::Upstream;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use serde_json::{Value, json};

on_each_envoy!(a_tag_survives_only_from_listed_principals_over_mtls);

const GATEWAY: &str = "spiffe://cluster.local/ns/istio-ingress/sa/gateway";

/// A certificate authority of this test.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate with these names, as Envoy's `tls_certificates` entry.
    fn certificate(&self, names: &[SanType]) -> Value {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.to_vec();
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        json!({
            "certificate_chain": { "inline_string": certificate },
            "private_key": { "inline_string": key.serialize_pem() },
        })
    }

    fn validation(&self) -> Value {
        json!({ "trusted_ca": { "inline_string": self.pem } })
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().expect("ASCII"))
}

fn dns(text: &str) -> SanType {
    SanType::DnsName(text.try_into().expect("ASCII"))
}

fn a_tag_survives_only_from_listed_principals_over_mtls(version: &str) {
    let authority = Authority::new();
    let (v1, v2) = (Upstream::echo("v1"), Upstream::echo("v2"));
    let mut policy = policy::voting();
    policy["role"] = json!("mesh");
    policy["trust"] = json!({ "principals": [GATEWAY] });
    let plain = Bootstrap::canary(TAG, CANARY, v1.address, v2.address).plugin(&policy);
    let mut server = plain.clone();
    server.transport_socket = Some(json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": false,
            "common_tls_context": {
                "tls_certificates": [authority.certificate(&[uri("spiffe://cluster.local/ns/default/sa/app")])],
                "validation_context": authority.validation(),
            },
        },
    }));
    let server = Envoy::start(version, &server);
    let plain = Envoy::start(version, &plain);

    let clients: [(&str, Option<Vec<SanType>>, bool); 8] = [
        ("gateway", Some(vec![uri(GATEWAY)]), true),
        ("another account", Some(vec![uri("spiffe://cluster.local/ns/istio-ingress/sa/other")]), false),
        ("a longer name", Some(vec![uri("spiffe://cluster.local/ns/istio-ingress/sa/gateway2")]), false),
        ("another trust domain", Some(vec![uri("spiffe://evil.example/ns/istio-ingress/sa/gateway")]), false),
        (
            "the name inside another",
            Some(vec![uri("spiffe://a/?spiffe://cluster.local/ns/istio-ingress/sa/gateway")]),
            false,
        ),
        ("a DNS name only", Some(vec![dns("gateway.istio-ingress.svc")]), false),
        ("no name", Some(vec![]), false),
        ("no certificate", None, false),
    ];
    let mut client = Bootstrap::empty();
    for (name, names, _) in &clients {
        let certificates: Vec<Value> = names.iter().map(|names| authority.certificate(names)).collect();
        let mut cluster = bootstrap::cluster(name, server.address());
        cluster["transport_socket"] = json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "common_tls_context": {
                    "tls_certificates": certificates,
                    "validation_context": authority.validation(),
                },
            },
        });
        client.full_clusters.push(cluster);
        client.routes.push(header_route("x-as", name, name));
    }
    client.routes.push(header_route("x-as", "plain text", "plain text"));
    client.clusters.push(("plain text".to_owned(), plain.address()));
    let client = Envoy::start(version, &client);

    let last = ("plain text", None, false);
    for (name, _, trusted) in clients.iter().chain([&last]) {
        let xfcc = format!("By=spiffe://x;URI={GATEWAY}");
        let headers: [(&str, &[u8]); 3] =
            [("x-as", name.as_bytes()), (TAG, b"canary"), ("x-forwarded-client-cert", xfcc.as_bytes())];
        let echo = client.connect().get("/", &headers).echo();
        let expected = if *trusted { ("v2", vec![CANARY]) } else { ("v1", vec![]) };
        assert_eq!((echo.version.as_str(), echo.all(TAG)), expected, "{name}");
        // Without a tag there is nothing to trust, and the cookie decides for everyone.
        let headers: [(&str, &[u8]); 2] = [("x-as", name.as_bytes()), ("Cookie", b"featureflag=off")];
        assert_eq!(client.connect().get("/", &headers).echo().version, "v1", "{name}");
    }
}
