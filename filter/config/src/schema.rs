//! The JSON Schema of `pluginConfig`, generated from the field table. For those who write configurations: the module
//! that Envoy loads has no use for it and must not grow by it.

use super::fields::{CONFIG, Field, Kind, Text};
use super::lower::{LISTS_OF_PROXIES, RESERVED, RESERVED_IN_RESPONSES};
use serde_json::{Map, Value, json};

/// The schema, draft 2020-12, as `filter/schema.json` ships it.
#[must_use]
pub fn schema() -> Value {
    let mut root = nullable(object(CONFIG, None));
    meaning(&mut root);
    if let Some(fields) = root.as_object_mut() {
        fields.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
        fields.insert("title".into(), json!("Coalmine filter: pluginConfig"));
    }
    root
}

/// What holds between fields, or of one field by its meaning, as far as a schema can say it.
fn meaning(root: &mut Value) {
    let mut say = |pointer: &str, word: &str, what: Value| {
        if let Some(schema) = root.pointer_mut(pointer).and_then(Value::as_object_mut) {
            schema.insert(word.to_owned(), what);
        }
    };
    let given = |name: &str| json!({ "type": "object", "required": [name], "properties": { name: { "not": { "type": "null" } } } });
    let listed = |name: &str| json!({ "required": [name], "properties": { name: { "type": "array", "minItems": 1 } } });
    let address = json!({ "type": "object", "required": ["clientIp"], "properties": { "clientIp": { "const": true } } });
    let ways = json!([given("header"), given("cookie"), given("generate"), address]);
    say("/properties/subject/items", "oneOf", ways);
    let list_of_proxies = json!({ "enum": LISTS_OF_PROXIES });
    say("/properties/trust/properties/clientIpHeader", "not", list_of_proxies);
    let flag = "/properties/flags/items/properties";
    // What the variants leave is stable.
    say(&format!("{flag}/rollout"), "not", given("stable"));
    say(
        &format!("{flag}/optIn/properties/cookie"),
        "anyOf",
        json!([{ "type": "null" }, given("value"), listed("values"), listed("optOut")]),
    );
    let reserved = json!({ "enum": RESERVED });
    let no_answer = json!({ "enum": ([RESERVED, RESERVED_IN_RESPONSES].concat()) });
    let no_tag = json!({ "anyOf": [reserved, { "type": "string", "pattern": "^x-envoy-" }] });
    say("/properties/tagsHeader", "not", no_tag.clone());
    say("/properties/reasonHeader", "not", no_tag.clone());
    say(&format!("{flag}/header/anyOf/0"), "not", no_tag.clone());
    say(&format!("{flag}/header/anyOf/1/properties/name"), "not", no_tag);
    say(&format!("{flag}/response/properties/header"), "not", no_answer);
}

/// A schema that takes null as well, which is as good as absent.
fn nullable(mut schema: Value) -> Value {
    let Some(fields) = schema.as_object_mut() else { return schema };
    if let Some(one) = fields.get("type").cloned() {
        fields.insert("type".into(), json!([one, "null"]));
    }
    for list in ["enum", "anyOf"] {
        let null = if list == "enum" { Value::Null } else { json!({ "type": "null" }) };
        if let Some(any) = fields.get_mut(list).and_then(Value::as_array_mut) {
            any.push(null);
        }
    }
    schema
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
            schema.insert("additionalProperties".into(), nullable(kind(rest)));
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
    let schema = kind(&field.kind);
    let mut schema = if field.required { schema } else { nullable(schema) };
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
        Text::Domain => {
            let pattern = "^[.]?[A-Za-z0-9]+(-+[A-Za-z0-9]+)*([.][A-Za-z0-9]+(-+[A-Za-z0-9]+)*)*$";
            return json!({ "type": "string", "pattern": pattern, "maxLength": 253 });
        }
        Text::Duration => "^[0-9]+[smhd]$",
        Text::Time => return json!({ "type": "string", "format": "date-time" }),
        Text::Share => "^(100|[0-9]{1,2})%$",
        Text::Method => "^[A-Z]{1,16}$",
    };
    json!({ "type": "string", "pattern": pattern })
}
