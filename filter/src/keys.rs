//! Finds the signing keys that a configuration names. Knows where they are, not what is signed.

use crate::config::{Config, Path, Problem, Severity};
use crate::token::{Keys, MIN_KEY_BYTES};

/// Looks the keys up, in practice in the environment of the VM, and reports those that cannot be used. What a
/// key holds never gets into a message. A configuration that needs a key is inert without the one that signs;
/// the others only verify, so that during a rotation a pod that has not got one of them yet works.
#[inline(never)]
pub fn load(config: &mut Config, mut lookup: impl FnMut(&str) -> Option<Vec<u8>>) -> (Keys, Vec<Problem>) {
    let (mut keys, mut problems) = (Keys::none(), Vec::new());
    let signer = config.keys.iter().position(|key| !key.verify_only);
    for (index, source) in config.keys.iter().enumerate() {
        let (fault, advice) = match lookup(&source.env) {
            Some(secret) if keys.add(&source.id, secret.trim_ascii(), source.verify_only) => continue,
            Some(_) => (format!("holds fewer than {MIN_KEY_BYTES} bytes"), ""),
            None => ("is not set".to_owned(), "; name it in vmConfig.env of the WasmPlugin"),
        };
        if config.needs_key {
            let path = Path::default().key("keys").index(index).key("env");
            let (severity, effect) = if signer == Some(index) {
                config.inert = true;
                (Severity::Error, String::new())
            } else {
                (Severity::Warning, format!(", so what key `{}` signed does not verify", source.id))
            };
            let message = format!("the environment variable {} {fault}{effect}{advice}", source.env);
            problems.push(Problem { path, message, severity, suggestion: None });
        }
    }
    (keys, problems)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Value;
    use serde_json::json;

    const NONE: [&str; 0] = [];

    fn flag(extra: Value) -> Value {
        let mut flag = json!({"name": "f"});
        flag.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"flags": [flag]})
    }

    #[test]
    fn missing_keys_are_reported_without_what_they_hold() {
        let (mut config, _) = Config::from_value(&flag(json!({"rollout": {"canary": 5}})));
        let mut report = |secret: Option<&str>| {
            let (_, problems) = load(&mut config, |_| secret.map(|secret| secret.as_bytes().to_vec()));
            problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            report(None),
            [
                "keys[0].env: the environment variable COALMINE_KEY_K1 is not set; name it in vmConfig.env of the WasmPlugin"
            ]
        );
        assert_eq!(
            report(Some("s3cr3t")),
            ["keys[0].env: the environment variable COALMINE_KEY_K1 holds fewer than 16 bytes"]
        );
        assert_eq!(report(Some("0123456789abcdef\n")), NONE);
        let (mut unneeded, _) = Config::from_value(&flag(json!({})));
        assert!(load(&mut unneeded, |_| None).1.is_empty(), "nothing to sign");
        assert!(!unneeded.inert);
    }

    #[test]
    fn without_the_key_that_signs_a_configuration_is_inert() {
        for secret in [None, Some(""), Some("s3cr3t"), Some("0123456789abcdef")] {
            let value = flag(json!({"rollout": {"canary": 5}, "header": "x-tag"}));
            let (mut config, problems) = Config::from_value(&value);
            assert!(problems.is_empty() && !config.inert);
            let (keys, problems) = load(&mut config, |_| secret.map(|secret| secret.as_bytes().to_vec()));
            let is_good = secret.is_some_and(|secret| secret.len() >= MIN_KEY_BYTES);
            assert_eq!((config.inert, keys.can_sign()), (!is_good, is_good), "{secret:?}");
            assert_eq!(problems.iter().any(|problem| problem.severity == Severity::Error), !is_good);
            assert_eq!(config.tags, ["x-tag"], "what is stripped does not depend on keys");
        }
        // A good key does not heal what was bad before.
        let (mut config, _) = Config::from_value(&flag(json!({"rollout": {"canary": 101}})));
        assert!(load(&mut config, |_| Some(vec![b'k'; 32])).1.is_empty() && config.inert);
    }

    /// Keys are rotated one pod at a time, and a key that only verifies must not take the canary down.
    #[test]
    fn without_a_key_that_only_verifies_a_configuration_works() {
        let keys = |second: Value| json!([{"id": "old", "env": "OLD", "verifyOnly": true}, {"id": "k1", "env": "K1"}, second]);
        for second in [json!({"id": "k2", "env": "K2", "verifyOnly": true}), json!({"id": "k2", "env": "K2"})]
        {
            let mut value = flag(json!({"rollout": {"canary": 5}}));
            value["keys"] = keys(second);
            let (mut config, _) = Config::from_value(&value);
            let (loaded, problems) = load(&mut config, |name| match name {
                "K1" => Some(vec![b'k'; 32]),
                "OLD" => Some(b"s3cr3t".to_vec()),
                _ => None,
            });
            let said: Vec<_> = problems.iter().map(|p| format!("{:?} {p}", p.severity)).collect();
            assert_eq!(
                said,
                [
                    "Warning keys[0].env: the environment variable OLD holds fewer than 16 bytes, so what key `old` signed does not verify",
                    "Warning keys[2].env: the environment variable K2 is not set, so what key `k2` signed does not verify; name it in vmConfig.env of the WasmPlugin",
                ]
            );
            assert!(!config.inert && loaded.can_sign());
            // A key further down does not stand in for the one that signs: pods would sign with different keys.
            let (_, problems) = load(&mut config, |name| (name != "K1").then(|| vec![b'k'; 32]));
            assert_eq!((problems.len(), problems[0].severity, config.inert), (1, Severity::Error, true));
        }
    }
}
