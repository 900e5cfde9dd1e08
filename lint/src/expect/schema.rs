//! The JSON Schema of a file of expectations, for editors. Written beside the reader; a test holds the two to the
//! same keys. Draft 7, which all YAML editors understand.

use serde_json::{Map, Value, json};

use super::parse::{CLAIMS, FLAGS};
use super::target::MTLS;

/// Where the schema is published; `cargo xtask docs` writes it there.
pub const SCHEMA_URL: &str =
    "https://raw.githubusercontent.com/coalmine/coalmine/main/docs/schemas/routes.schema.json";

/// `12.5%` or `1/3`.
const SHARE: &str = r"^(0?[0-9]{1,2}(\.[0-9]{0,9})?|100(\.0{0,9})?) *%$|^[0-9]+ */ *0*[1-9][0-9]*$";
/// A port as text.
const PORT: &str = "^([0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$";
/// A time of RFC 3339.
const TIME: &str =
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$";

/// The schema of `*.routes.yaml`.
#[must_use]
pub fn schema() -> Value {
    let words = MTLS.iter().map(|word| json!(word));
    let mtls: Vec<Value> = [json!(true), json!(false)].into_iter().chain(words).collect();
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
                "$ref": "#/definitions/maybeTexts",
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
            "maybeTexts": { "anyOf": [{ "$ref": "#/definitions/texts" }, { "type": "null" }] },
            "maybeText": { "type": ["string", "number", "boolean", "null"] },
            "options": one_or_more(json!({ "$ref": "#/definitions/maybeText" })),
            "method": { "type": ["string", "integer", "boolean"], "pattern": "^[A-Za-z0-9_-]+$" },
            "maybeMethod": { "anyOf": [{ "$ref": "#/definitions/method" }, { "type": "null" }] },
            "statuses": one_or_more(json!({
                "anyOf": [
                    { "type": "integer", "minimum": 100, "maximum": 599 },
                    { "type": "string", "pattern": "^[1-5][0-9][0-9]$|^none$" },
                ],
            })),
            "ports": one_or_more(json!({
                "anyOf": [
                    { "type": "integer", "minimum": 0, "maximum": 65535 },
                    { "type": "string", "pattern": PORT },
                ],
            })),
            "flags": one_or_more(json!({ "enum": FLAGS })),
            "mtls": one_or_more(json!({ "enum": mtls })),
            "claimed": claimed(),
            "about": about(),
            "expectation": expectation(),
            "request": request(),
            "pairs": {
                "type": ["object", "null"],
                "additionalProperties": { "$ref": "#/definitions/maybeText" },
            },
            "sweep": sweep(),
            "target": target(),
        },
    })
}

fn expectation() -> Value {
    let target = |text: &str| json!({"$ref": "#/definitions/target", "description": text});
    json!({
        "type": "object",
        "required": ["name", "request"],
        "additionalProperties": false,
        "allOf": [{ "$ref": "#/definitions/claimed" }, { "$ref": "#/definitions/about" }],
        "properties": {
            "name": { "$ref": "#/definitions/text", "description": "What must be true, in words." },
            "step": {
                "$ref": "#/definitions/maybeTexts",
                "description": "The steps of this expectation, in place of the file's.",
            },
            "request": {
                "anyOf": [{ "$ref": "#/definitions/text" }, { "$ref": "#/definitions/request" }],
                "description": "The request: a URL, or more about it.",
            },
            "sweep": { "$ref": "#/definitions/sweep" },
            "follow": {
                "type": ["boolean", "null"],
                "description": "Go on with the calls of the pods that are reached, for `never` and `only`.",
            },
            "reaches": target("All such requests are answered there."),
            "never": target("No such request is led there, nor a copy of it."),
            "only": target("All that is reached is this, and all of it is answered."),
            "mirrors": target("A copy goes there."),
            "shares": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": { "type": "string", "pattern": SHARE },
                "description": "Exact shares by subset, version, workload or status: `{v1: 90%, v2: 10%}`.",
            },
            "status": {
                "$ref": "#/definitions/statuses",
                "description": "The proxy itself answers with this status; `none` for no answer.",
            },
            "redirect": { "$ref": "#/definitions/text", "description": "The proxy redirects there." },
            "flag": {
                "$ref": "#/definitions/flags",
                "description": "The request fails with this response flag of Envoy.",
            },
        },
    })
}

fn request() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "url": {
                "$ref": "#/definitions/maybeText",
                "description": "http://host[:port]/path, https://…, tcp://host:port or tls://host:port.",
            },
            "from": {
                "type": ["string", "null"],
                "default": "gateway",
                "description": "Who sends it: gateway[:[ns/]name] or kind/[ns/]name, such as deployment/web.",
            },
            "method": { "$ref": "#/definitions/maybeMethod", "default": "GET" },
            "headers": { "$ref": "#/definitions/pairs" },
            "cookies": { "$ref": "#/definitions/pairs" },
            "principal": {
                "$ref": "#/definitions/maybeText",
                "description": "The SPIFFE id of the client, for a filter in the mesh role.",
            },
            "now": {
                "type": ["string", "null"],
                "pattern": TIME,
                "description": "The time of the request, RFC 3339, for a filter's windows.",
            },
        },
    })
}

fn sweep() -> Value {
    json!({
        "type": ["object", "null"],
        "description": "Values to try, all combinations of them; null leaves a header or cookie out.",
        "additionalProperties": false,
        "properties": {
            "url": { "$ref": "#/definitions/texts" },
            "path": one_or_more(json!({ "type": "string", "pattern": r"^/\S*$" })),
            "from": one_or_more(json!({ "type": ["string", "null"] })),
            "method": one_or_more(json!({ "$ref": "#/definitions/maybeMethod" })),
            "principal": { "$ref": "#/definitions/options" },
        },
        "patternProperties": {
            "^(headers|cookies)\\..+$": { "$ref": "#/definitions/options" },
        },
    })
}

fn target() -> Value {
    json!({
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
            "port": {
                "$ref": "#/definitions/ports",
                "description": "The destination's port.",
            },
            "mtls": {
                "$ref": "#/definitions/mtls",
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
    })
}

/// A value, or a list of such that is not empty.
fn one_or_more(value: Value) -> Value {
    json!({ "anyOf": [value, { "type": "array", "minItems": 1, "items": value }] })
}

/// An expectation says at least one thing.
fn claimed() -> Value {
    let claims = CLAIMS.iter().map(|claim| json!({ "required": [claim] }));
    json!({ "anyOf": claims.collect::<Vec<_>>() })
}

/// An expectation is about a URL, or about all calls of a workload: then it follows them, and says only what can
/// be said of all calls.
fn about() -> Value {
    let of_one = CLAIMS.iter().filter(|claim| !["never", "only"].contains(claim));
    let mut calls: Map<String, Value> = of_one.map(|claim| ((*claim).to_owned(), json!(false))).collect();
    calls.insert("follow".to_owned(), json!({ "const": true }));
    json!({
        "anyOf": [
            { "properties": { "request": { "not": { "type": "object" } } } },
            {
                "properties": {
                    "request": {
                        "required": ["url"],
                        "properties": { "url": { "not": { "type": "null" } } },
                    },
                },
            },
            {
                "required": ["sweep"],
                "properties": { "sweep": { "type": "object", "required": ["url"] } },
            },
            { "required": ["follow"], "properties": calls },
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse::{CASE, FILE, REQUEST, SWEEP};
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
