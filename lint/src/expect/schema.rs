//! The JSON Schema of a file of expectations, for editors. Written beside the reader; a test holds the two to the
//! same keys. Draft 7, which all YAML editors understand.

use serde_json::{Value, json};

/// Where the schema is published; `cargo xtask docs` writes it there.
pub const SCHEMA_URL: &str =
    "https://raw.githubusercontent.com/coalmine/coalmine/main/docs/schemas/routes.schema.json";

/// The schema of `*.routes.yaml`.
#[must_use]
pub fn schema() -> Value {
    let target = |text: &str| json!({"$ref": "#/definitions/target", "description": text});
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": SCHEMA_URL,
        "title": "*.routes.yaml",
        "description": "Routing expectations for the manifests of this folder's deployment; run by `coalmine test`.",
        "type": "object",
        "required": ["expect"],
        "additionalProperties": false,
        "properties": {
            "step": {
                "$ref": "#/definitions/texts",
                "description": "The steps of the rollout after which to ask; by default the last that leaves anything.",
            },
            "expect": { "type": "array", "items": { "$ref": "#/definitions/expectation" } },
        },
        "definitions": {
            "text": { "type": ["string", "number", "boolean"] },
            "texts": {
                "anyOf": [
                    { "$ref": "#/definitions/text" },
                    { "type": "array", "minItems": 1, "items": { "$ref": "#/definitions/text" } },
                ],
            },
            "options": {
                "anyOf": [
                    { "$ref": "#/definitions/text" },
                    { "type": "null" },
                    {
                        "type": "array",
                        "minItems": 1,
                        "items": { "type": ["string", "number", "boolean", "null"] },
                    },
                ],
            },
            "expectation": {
                "type": "object",
                "required": ["name", "request"],
                "additionalProperties": false,
                "anyOf": super::parse::CLAIMS.iter().map(|claim| json!({"required": [claim]})).collect::<Vec<_>>(),
                "properties": {
                    "name": { "$ref": "#/definitions/text", "description": "What must be true, in words." },
                    "step": {
                        "$ref": "#/definitions/texts",
                        "description": "The steps of this expectation, in place of the file's.",
                    },
                    "request": {
                        "anyOf": [{ "type": "string" }, { "$ref": "#/definitions/request" }],
                        "description": "The request: a URL, or more about it.",
                    },
                    "sweep": { "$ref": "#/definitions/sweep" },
                    "follow": {
                        "type": "boolean",
                        "description": "Go on with the calls of the pods that are reached, for `never` and `only`.",
                    },
                    "reaches": target("All such requests are answered there."),
                    "never": target("No such request is led there, nor a copy of it."),
                    "only": target("All that is reached is this, and all of it is answered."),
                    "mirrors": target("A copy goes there."),
                    "shares": {
                        "type": "object",
                        "minProperties": 1,
                        "additionalProperties": { "type": "string", "pattern": "^[0-9.]+ *%$|^[0-9]+ */ *[0-9]+$" },
                        "description": "Exact shares by subset, version, workload or status: `{v1: 90%, v2: 10%}`.",
                    },
                    "status": {
                        "$ref": "#/definitions/texts",
                        "description": "The proxy itself answers with this status; `none` for no answer.",
                    },
                    "redirect": { "type": "string", "description": "The proxy redirects there." },
                    "flag": {
                        "anyOf": [
                            { "enum": super::parse::FLAGS },
                            { "type": "array", "minItems": 1, "items": { "enum": super::parse::FLAGS } },
                        ],
                        "description": "The request fails with this response flag of Envoy.",
                    },
                },
            },
            "request": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "url": {
                        "type": "string",
                        "description": "http://host[:port]/path, https://…, tcp://host:port or tls://host:port.",
                    },
                    "from": {
                        "type": "string",
                        "default": "gateway",
                        "description": "Who sends it: gateway[:[ns/]name] or kind/[ns/]name, such as deployment/web.",
                    },
                    "method": { "type": "string", "default": "GET" },
                    "headers": { "$ref": "#/definitions/pairs" },
                    "cookies": { "$ref": "#/definitions/pairs" },
                    "principal": {
                        "type": "string",
                        "description": "The SPIFFE id of the client, for a filter in the mesh role.",
                    },
                    "now": {
                        "type": "string",
                        "description": "The time of the request, RFC 3339, for a filter's windows.",
                    },
                },
            },
            "pairs": {
                "type": "object",
                "additionalProperties": { "type": ["string", "number", "boolean", "null"] },
            },
            "sweep": {
                "type": "object",
                "description": "Values to try, all combinations of them; null leaves a header or cookie out.",
                "additionalProperties": false,
                "properties": super::parse::SWEEP
                    .iter()
                    .map(|key| ((*key).to_owned(), json!({"$ref": "#/definitions/options"})))
                    .collect::<serde_json::Map<_, _>>(),
                "patternProperties": {
                    "^(headers|cookies)\\..+$": { "$ref": "#/definitions/options" },
                },
            },
            "target": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": false,
                "properties": {
                    "workload": {
                        "$ref": "#/definitions/texts",
                        "description": "The object that makes the pods: web, deployment/web or deployment/shop/web.",
                    },
                    "version": {
                        "$ref": "#/definitions/texts",
                        "description": "The pods' `version` label, or `app.kubernetes.io/version`.",
                    },
                    "subset": { "$ref": "#/definitions/texts", "description": "The DestinationRule's subset." },
                    "host": {
                        "$ref": "#/definitions/texts",
                        "description": "The destination's host; `web` is short for web.shop.svc.cluster.local.",
                    },
                    "port": { "$ref": "#/definitions/texts", "description": "The destination's port." },
                    "mtls": {
                        "enum": [true, false, "strict", "permissive", "none"],
                        "description": "Whether it goes by mTLS (true); and the pods take nothing else (strict) or \
                                        plaintext as well (permissive); or it does not (false, none).",
                    },
                    "path": { "$ref": "#/definitions/texts", "description": "The path as the pods get it." },
                    "authority": { "$ref": "#/definitions/texts", "description": "The host as the pods get it." },
                    "method": { "$ref": "#/definitions/texts", "description": "The method as the pods get it." },
                    "headers": {
                        "type": "object",
                        "minProperties": 1,
                        "additionalProperties": { "$ref": "#/definitions/options" },
                        "description": "Headers as the pods get them; null for an absent one.",
                    },
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse::{CASE, CLAIMS, FILE, REQUEST, SWEEP};
    use super::super::target::Field;
    use super::*;

    #[test]
    fn the_schema_has_the_keys_that_the_reader_knows() {
        let schema = schema();
        let keys = |pointer: &str| -> Vec<String> {
            let mut keys: Vec<String> =
                schema.pointer(pointer).unwrap().as_object().unwrap().keys().cloned().collect();
            keys.sort();
            keys
        };
        let known = |lists: &[&[&str]]| -> Vec<String> {
            let mut keys: Vec<String> = lists.concat().into_iter().map(str::to_owned).collect();
            keys.sort();
            keys
        };
        assert_eq!(keys("/properties"), known(&[&FILE]));
        assert_eq!(keys("/definitions/expectation/properties"), known(&[&CASE, &CLAIMS]));
        assert_eq!(keys("/definitions/request/properties"), known(&[&REQUEST]));
        assert_eq!(keys("/definitions/sweep/properties"), known(&[&SWEEP]));
        assert_eq!(keys("/definitions/target/properties"), known(&[&Field::KEYS]));
    }
}
