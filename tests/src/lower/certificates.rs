//! A certificate authority of one test, and workload certificates as Istio issues them: one SPIFFE name each.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Issues certificates and keeps them in files below a scratch folder, until it is dropped.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    dir: TempDir,
    root: PathBuf,
    issued: RefCell<HashMap<String, (PathBuf, PathBuf)>>,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// A new root.
    ///
    /// # Panics
    /// When there is no place for scratch files.
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let dir = tempfile::Builder::new().prefix("coalmine-ca-").tempdir().expect("a scratch folder");
        let root = dir.path().join("root.pem");
        fs::write(&root, pem).expect("the root's file");
        Self { issuer: Issuer::new(params, key), dir, root, issued: RefCell::default() }
    }

    /// The root certificate's file.
    pub fn root(&self) -> &PathBuf {
        &self.root
    }

    /// Files of a certificate and its key with this URI as only name; the same ones for the same URI.
    ///
    /// # Panics
    /// When the files cannot be written.
    pub fn issue(&self, uri: &str) -> (PathBuf, PathBuf) {
        let mut issued = self.issued.borrow_mut();
        if let Some(files) = issued.get(uri) {
            return files.clone();
        }
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("ASCII"))];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let file = |kind: &str| self.dir.path().join(format!("{}.{kind}.pem", issued.len()));
        let files = (file("chain"), file("key"));
        fs::write(&files.0, certificate.pem()).expect("the certificate's file");
        fs::write(&files.1, key.serialize_pem()).expect("the key's file");
        issued.insert(uri.to_owned(), files.clone());
        files
    }

    /// Envoy's `tls_certificates` entry for an identity.
    pub(super) fn certificate(&self, uri: &str) -> Value {
        let (chain, key) = self.issue(uri);
        json!({ "certificate_chain": { "filename": chain }, "private_key": { "filename": key } })
    }

    /// Envoy's `validation_context`: the root, and one of these URIs if any are given.
    pub(super) fn validation(&self, uris: &[String]) -> Value {
        let matchers: Vec<Value> =
            uris.iter().map(|uri| json!({ "san_type": "URI", "matcher": { "exact": uri } })).collect();
        json!({ "trusted_ca": { "filename": self.root }, "match_typed_subject_alt_names": matchers })
    }
}
