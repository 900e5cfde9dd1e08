//! The JSON Schema of `coalmine.yaml`, for editors. Written beside the reader; a property test holds the two to
//! the same answers. Draft 7, which all YAML editors understand.

use serde_json::{Map, Value, json};

use crate::rules::RULES;

/// Where the schema is published; `cargo xtask docs` writes it there.
pub const SCHEMA_URL: &str =
    "https://raw.githubusercontent.com/coalmine/coalmine/main/docs/schemas/coalmine.schema.json";

/// The schema of `coalmine.yaml`.
#[must_use]
pub fn schema() -> Value {
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": SCHEMA_URL,
        "title": "coalmine.yaml",
        "description": "Settings of the coalmine linter for the files of this folder and below: one deployment.",
        "type": ["object", "null"],
        "properties": {
            "namespace": {
                "type": ["string", "null"],
                "description": "The namespace of objects that name none.",
                "default": "default",
            },
            "assume": {
                "enum": ["auto", "closed", "open", null],
                "description": "Whether an object that is not in the input is missing: in namespaces for which the input \
                                defines a Service (auto), everywhere (closed), nowhere (open).",
                "default": "auto",
            },
            "rules": {
                "$ref": "#/definitions/rules",
                "description": "The severity of a rule's findings; off disables the rule.",
            },
            "paths": {
                "type": ["array", "null"],
                "description": "The same for some files only; the first entry that says something about a file wins.",
                "items": {
                    "type": "object",
                    "properties": {
                        "glob": {
                            "type": "string",
                            "description": "Which files, relative to this one: `legacy/**`.",
                        },
                        "namespace": {
                            "type": ["string", "null"],
                            "description": "The namespace of objects that name none.",
                        },
                        "rules": {
                            "$ref": "#/definitions/rules",
                            "description": "The severity of a rule's findings in these files.",
                        },
                    },
                    "required": ["glob"],
                    "additionalProperties": false,
                },
            },
            "mesh": mesh(),
            "rollout": {
                "type": ["array", "null"],
                "description": "What is applied, in order; every state on the way is linted.",
                "items": {
                    "anyOf": [
                        {
                            "type": "string",
                            "pattern": "\\S",
                            "description": "A file or folder that is applied, relative to this file.",
                        },
                        { "$ref": "#/definitions/step" },
                    ],
                },
            },
        },
        "additionalProperties": false,
        "definitions": {
            "level": { "enum": ["off", "info", "warning", "error"] },
            "rules": rules(),
            "step": step(),
            "path": {
                "anyOf": [
                    { "type": "string", "pattern": "\\S" },
                    { "type": "array", "items": { "type": "string", "pattern": "\\S" } },
                ],
            },
        },
    })
}

/// One property per rule, so that editors complete ids and show what they mean.
fn rules() -> Value {
    let rule = |rule: &&crate::rule::Rule| {
        let property = json!({
            "$ref": "#/definitions/level",
            "description": format!("{}. {}", rule.summary(), rule.url()),
            "default": rule.severity.as_str(),
        });
        (rule.id.to_owned(), property)
    };
    let properties: Map<String, Value> = RULES.iter().map(rule).collect();
    json!({ "type": ["object", "null"], "properties": properties, "additionalProperties": false })
}

fn step() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "description": "The step's name in messages." },
            "actions": {
                "type": ["array", "null"],
                "description": "What the step does, in order.",
                "items": {
                    "type": "object",
                    "properties": {
                        "apply": {
                            "$ref": "#/definitions/path",
                            "description": "`kubectl apply -f` of these files or folders.",
                        },
                        "delete": {
                            "$ref": "#/definitions/path",
                            "description": "`kubectl delete -f` of these files or folders.",
                        },
                    },
                    "additionalProperties": false,
                    "minProperties": 1,
                    "maxProperties": 1,
                },
            },
        },
        "required": ["name", "actions"],
        "additionalProperties": false,
    })
}

/// The fields of MeshConfig that are read; it has many more, which are left alone.
fn mesh() -> Value {
    let export = |what: &str| {
        json!({
            "type": ["array", "null"],
            "items": { "type": "string" },
            "description": format!("`exportTo` of each {what} that has none."),
            "default": ["*"],
        })
    };
    json!({
        "type": ["object", "null"],
        "description": "Fields of Istio's MeshConfig. Without them those of a ConfigMap `istio` in the input are taken.",
        "properties": {
            "rootNamespace": {
                "type": ["string", "null"],
                "description": "The namespace whose policies hold for the whole mesh.",
                "default": "istio-system",
            },
            "enableAutoMtls": {
                "type": ["boolean", "null"],
                "description": "Whether sidecars use mTLS with each other unless a DestinationRule says otherwise.",
                "default": true,
            },
            "outboundTrafficPolicy": {
                "type": ["object", "null"],
                "properties": {
                    "mode": {
                        "enum": ["ALLOW_ANY", "REGISTRY_ONLY", null],
                        "description": "What happens to requests to hosts that no Service or ServiceEntry defines.",
                        "default": "ALLOW_ANY",
                    },
                },
            },
            "defaultServiceExportTo": export("Service"),
            "defaultVirtualServiceExportTo": export("VirtualService"),
            "defaultDestinationRuleExportTo": export("DestinationRule"),
        },
    })
}
