//! Reads CustomResourceDefinitions: what fields each served version of each kind has.
//!
//! CEL rules and `oneOf` are not read, with one exception: a rule that calls `duration(self)` is how Istio says
//! that a string is a duration.

use anyhow::{Context as _, Result};
use serde::Deserialize as _;
use serde_json::Value;

use super::facts;
use super::table::{Field, Kind, Node, Shape, Version, is_deprecated, range};

/// The kinds of one file, and the release it says it is from.
pub(super) struct File {
    pub(super) kinds: Vec<Kind>,
    pub(super) release: Option<String>,
}

/// Reads every CustomResourceDefinition in `text`, skipping objects of other kinds.
pub(super) fn read(text: &str) -> Result<File> {
    let mut file = File { kinds: Vec::new(), release: None };
    for document in serde_yaml::Deserializer::from_str(text) {
        let document = Value::deserialize(document).context("not YAML")?;
        if document["kind"] != "CustomResourceDefinition" {
            continue;
        }
        let annotations = &document["metadata"]["annotations"];
        let note = |name: &str| annotations[format!("gateway.networking.k8s.io/{name}")].as_str();
        if let (Some(version), Some(channel)) = (note("bundle-version"), note("channel")) {
            file.release = Some(format!("{version}-{channel}"));
        }
        add(&document["spec"], &mut file.kinds)?;
    }
    Ok(file)
}

/// Adds one entry per shape: versions whose fields are the same share it.
fn add(spec: &Value, kinds: &mut Vec<Kind>) -> Result<()> {
    let group = spec["group"].as_str().context("a CustomResourceDefinition without spec.group")?;
    let kind = spec["names"]["kind"].as_str().context("a CustomResourceDefinition without a kind")?;
    let first = kinds.len();
    for version in spec["versions"].as_array().map_or(&[][..], Vec::as_slice) {
        if version["served"] == false {
            continue;
        }
        let mut node = node(&version["schema"]["openAPIV3Schema"]);
        node.fields.retain(|field| !matches!(field.name.as_str(), "apiVersion" | "kind" | "metadata"));
        for (_, path) in facts::DEPRECATED.iter().filter(|(of, _)| *of == kind) {
            deprecate(&mut node, path).with_context(|| format!("{kind} has no {path} any more"))?;
        }
        for field in &mut node.fields {
            if field.name == "status" {
                // Written by controllers; the API server ignores it in what a user applies.
                *field = Field { name: field.name.clone(), shape: Shape::leaf("any"), ..Field::default() };
            }
        }
        let name = Version {
            name: version["name"].as_str().context("a version without a name")?.to_owned(),
            deprecated: version["deprecated"] == true,
        };
        match kinds[first..].iter_mut().find(|entry| entry.node == node) {
            Some(entry) => entry.versions.push(name),
            None => kinds.push(Kind {
                group: group.to_owned(),
                name: kind.to_owned(),
                versions: vec![name],
                node,
            }),
        }
    }
    Ok(())
}

/// Marks the field at a dotted path, or says that there is none.
fn deprecate(node: &mut Node, path: &str) -> Option<()> {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    let field = node.fields.iter_mut().find(|field| field.name == name)?;
    if rest.is_empty() {
        field.deprecated = true;
        return Some(());
    }
    deprecate(field.shape.child.as_mut()?, rest)
}

fn node(schema: &Value) -> Node {
    let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
    let mut fields = Vec::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let mut shape = shape(property);
        if shape.text == "string" && facts::DURATIONS.contains(&name.as_str()) {
            shape.text = "duration".to_owned();
        }
        fields.push(Field {
            // A default is filled in before the API server looks for what is missing.
            required: required.iter().any(|entry| entry == name) && property.get("default").is_none(),
            deprecated: is_deprecated(property),
            shape,
            name: name.clone(),
        });
    }
    fields.sort_by(|a, b| a.name.cmp(&b.name));
    Node { open: schema["x-kubernetes-preserve-unknown-fields"] == true, fields }
}

fn shape(schema: &Value) -> Shape {
    if schema["x-kubernetes-int-or-string"] == true {
        return Shape::leaf("int-or-string");
    }
    let bounds = |prefix: &str, suffix: &str| {
        let bound = |side: &str| schema[format!("{side}{suffix}")].as_i64();
        range(bound(&format!("{prefix}in")), bound(&format!("{prefix}ax")))
    };
    let mut result = match schema["type"].as_str() {
        Some("array") => shape(&schema["items"]).wrapped("[]"),
        Some("object") if schema["additionalProperties"].is_object() => {
            shape(&schema["additionalProperties"]).wrapped("{}")
        }
        Some("object") => Shape::object(node(schema)),
        Some("string") => Shape::leaf(&string(schema)),
        Some("boolean") => Shape::leaf("bool"),
        Some(number @ ("integer" | "number")) => Shape::leaf(&numeric(schema, number)),
        _ => Shape::leaf("any"),
    };
    // Of the element, only its type is kept: bounds and pattern belong to the field that carries them.
    result.size = match schema["type"].as_str() {
        Some("array") => bounds("m", "Items"),
        Some("object") => bounds("m", "Properties"),
        Some("string") if schema["enum"].is_null() => bounds("m", "Length"),
        _ => String::new(),
    };
    result.pattern = schema["pattern"].as_str().unwrap_or_default().to_owned();
    result
}

fn string(schema: &Value) -> String {
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
        return format!("string({})", values.join("|"));
    }
    if schema["format"] == "date-time" {
        return "timestamp".to_owned();
    }
    let rules = schema["x-kubernetes-validations"].as_array().map_or(&[][..], Vec::as_slice);
    let by_rule = |rule: &Value| rule["rule"].as_str().is_some_and(|rule| rule.contains("duration(self)"));
    let by_pattern = schema["pattern"].as_str().is_some_and(|pattern| pattern.contains("(h|m|s|ms)"));
    if by_pattern || rules.iter().any(by_rule) { "duration" } else { "string" }.to_owned()
}

fn numeric(schema: &Value, name: &str) -> String {
    let base = match (name, schema["format"].as_str()) {
        ("number", _) => "number",
        (_, Some("int32")) => "int32",
        _ if schema["minimum"] == 0 && schema["maximum"] == u32::MAX => return "uint32".to_owned(),
        _ => "int",
    };
    // A list of integers is kept as its range.
    let values = || schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_i64);
    let bound = |name: &str| {
        let whole = |bound: &f64| bound.fract() == 0.0;
        schema[name].as_i64().or_else(|| schema[name].as_f64().filter(whole).map(|bound| bound as i64))
    };
    let min = bound("minimum").or_else(|| values().min());
    let max = bound("maximum").or_else(|| values().max());
    let range = range(min, max);
    if range.is_empty() { base.to_owned() } else { format!("{base}({range})") }
}

#[cfg(test)]
mod tests {
    use super::super::table::render_crds;
    use super::read;

    /// The lines of the table for one version with these properties of `spec`.
    fn table(properties: &str) -> Vec<String> {
        let mut text = String::from(
            "kind: CustomResourceDefinition\nspec:\n  group: a.istio.io\n  names: {kind: Example}\n  versions:\n",
        );
        for (version, served) in [("v1alpha1", true), ("v1", true), ("v0", false)] {
            text +=
                &format!("  - name: {version}\n    served: {served}\n    schema:\n      openAPIV3Schema:\n");
            text += "        type: object\n        properties:\n          status: {type: object}\n";
            text += "          spec:\n            type: object\n            required: [name, filled]\n";
            text += "            properties:\n";
            text.extend(properties.lines().map(|line| format!("              {line}\n")));
        }
        let kinds = read(&text).unwrap().kinds;
        render_crds("Test 1", kinds).unwrap().lines().skip(2).map(str::to_owned).collect()
    }

    #[test]
    fn versions_with_the_same_fields_share_a_table_and_unserved_ones_have_none() {
        assert_eq!(table("{}"), ["kind a.istio.io Example v1 v1alpha1", " spec object", " status any"]);
    }

    #[test]
    fn types_bounds_and_flags_are_kept() {
        let lines = table(concat!(
            "name: {type: string, maxLength: 63, pattern: '^[a-z]+$'}\n",
            "filled: {type: string, default: x, description: 'Deprecated: use name.'}\n",
            "ports: {type: array, minItems: 1, items: {type: integer, minimum: 1, maximum: 65535}}\n",
            "labels: {type: object, additionalProperties: {type: string}}\n",
            "wait: {type: string, x-kubernetes-validations: [{rule: duration(self) >= duration('1ms')}]}\n",
            "count: {type: integer, minimum: 0, maximum: 4294967295}\n",
            "code: {type: integer, enum: [302, 301]}\n",
            "mode: {type: string, enum: [A, B]}\n",
            "config: {type: object, x-kubernetes-preserve-unknown-fields: true}\n",
        ));
        assert_eq!(
            lines[2..lines.len() - 1],
            [
                "  code int(301..302)",
                "  config open",
                "  count uint32",
                "  filled~ string",
                "  labels {}string",
                "  mode string(A|B)",
                "  name! string #..63 /^[a-z]+$",
                "  ports []int(1..65535) #1..",
                "  wait duration",
            ]
        );
    }

    #[test]
    fn objects_that_repeat_are_written_once() {
        let port = "{type: object, properties: {name: {type: string}, number: {type: integer}}}";
        let lines =
            table(&format!("ports: {{type: array, items: {port}}}\nadmin: {port}\nonce: {{type: object}}"));
        assert_eq!(
            lines[2..],
            [
                "  admin Admin",
                "  once object",
                "  ports []Admin",
                " status any",
                "def Admin",
                " name string",
                " number int",
            ]
        );
    }
}
