//! The JSON Schema of `pluginConfig`, generated from the field table.

use super::fields::{CONFIG, Field, Kind, Text};
use serde_json::{Map, Value, json};

/// The schema, draft 2020-12, as `filter/schema.json` ships it.
#[must_use]
pub fn schema() -> Value {
    let mut root = object(CONFIG, None);
    if let Some(fields) = root.as_object_mut() {
        fields.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
        fields.insert("title".into(), json!("Coalmine filter: pluginConfig"));
    }
    root
}

fn object(fields: &[Field], rest: Option<(Text, &Kind)>) -> Value {
    let properties: Map<String, Value> =
        fields.iter().map(|field| (field.name.to_owned(), property(field))).collect();
    let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let mut schema = Map::new();
    schema.insert("type".into(), json!("object"));
    if !properties.is_empty() {
        schema.insert("properties".into(), Value::Object(properties));
    }
    if !required.is_empty() {
        schema.insert("required".into(), json!(required));
    }
    match rest {
        None => {
            schema.insert("additionalProperties".into(), json!(false));
        }
        Some((form, rest)) => {
            schema.insert("additionalProperties".into(), kind(rest));
            // Fixed fields may be spelled in ways free keys may not.
            let mut names = vec![text(form)];
            if !fields.is_empty() {
                names.push(json!({ "enum": fields.iter().map(|field| field.name).collect::<Vec<_>>() }));
            }
            schema.insert("propertyNames".into(), json!({ "anyOf": names }));
        }
    }
    Value::Object(schema)
}

fn property(field: &Field) -> Value {
    let mut schema = kind(&field.kind);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".into(), json!(field.doc));
        if let Ok(default) = serde_json::from_str::<Value>(field.default) {
            schema.insert("default".into(), default);
        }
    }
    schema
}

fn kind(of: &Kind) -> Value {
    match of {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Integer(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Percent | Kind::Share => json!({ "type": "number", "minimum": 0, "maximum": 100 }),
        Kind::Range => {
            json!({ "type": "array", "items": kind(&Kind::Percent), "minItems": 2, "maxItems": 2 })
        }
        Kind::Text(form) => text(*form),
        Kind::Choice(words) => json!({ "type": "string", "enum": words }),
        Kind::List(item) => json!({ "type": "array", "items": kind(item) }),
        Kind::Map(form, value) => object(&[], Some((*form, value))),
        Kind::Object(fields) => object(fields, None),
        Kind::Open(fields, form, value) => object(fields, Some((*form, value))),
        Kind::Either(kinds) => json!({ "anyOf": kinds.iter().map(kind).collect::<Vec<_>>() }),
    }
}

fn text(form: Text) -> Value {
    let pattern = match form {
        Text::Name => "^[a-z0-9-]{1,32}$",
        Text::Value => "^[A-Za-z0-9._~-]{1,64}$",
        Text::Header => "^[a-z0-9-]{1,64}$",
        Text::Cookie => "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$",
        Text::Free => return json!({ "type": "string", "minLength": 1, "maxLength": 256 }),
        Text::Glob => "^[!-~]{1,120}$",
        Text::Env => "^[A-Za-z0-9_]{1,64}$",
        Text::Path => "^/[!-:<-~]{0,255}$",
        Text::Domain => "^[A-Za-z0-9.-]{1,253}$",
        Text::Duration => "^[0-9]+[smhd]$",
        Text::Time => return json!({ "type": "string", "format": "date-time" }),
        Text::Share => "^(100|[0-9]{1,2})%$",
        Text::Method => "^[A-Z]{1,16}$",
    };
    json!({ "type": "string", "pattern": pattern })
}
