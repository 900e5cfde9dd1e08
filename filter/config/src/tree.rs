//! A JSON tree as small as a configuration needs it. `serde_json` parses; its own tree brings a hash map and
//! conversions that Envoy would have to compile before its first request.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

/// A JSON value. Fields are in the order they came in, each name once.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    pub(crate) fn get(&self, name: &str) -> Option<&Tree> {
        self.fields().iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The fields of an object, none of anything else.
    pub(crate) fn fields(&self) -> &[(String, Tree)] {
        if let Tree::Object(fields) = self { fields } else { &[] }
    }

    /// The elements of a list, none of anything else.
    pub(crate) fn items(&self) -> &[Tree] {
        if let Tree::List(items) = self { items } else { &[] }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Tree::Null)
    }

    pub(crate) fn as_bool(&self) -> Option<bool> {
        if let Tree::Bool(value) = self { Some(*value) } else { None }
    }

    pub(crate) fn as_f64(&self) -> Option<f64> {
        if let Tree::Number(number) = self { number.as_f64() } else { None }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Tree::String(text) = self { Some(text) } else { None }
    }
}

impl From<&Value> for Tree {
    fn from(value: &Value) -> Tree {
        match value {
            Value::Null => Tree::Null,
            Value::Bool(value) => Tree::Bool(*value),
            Value::Number(number) => Tree::Number(number.clone()),
            Value::String(text) => Tree::String(text.clone()),
            Value::Array(items) => Tree::List(items.iter().map(Tree::from).collect()),
            Value::Object(fields) => {
                Tree::Object(fields.iter().map(|(name, value)| (name.clone(), value.into())).collect())
            }
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Tree, D::Error> {
        from.deserialize_any(Builder)
    }
}

struct Builder;

impl<'de> Visitor<'de> for Builder {
    type Value = Tree;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Number::from_f64(value).map_or(Tree::Null, Tree::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut fields: Vec<(String, Tree)> = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, Tree>()? {
            match fields.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = value,
                None => fields.push((name, value)),
            }
        }
        Ok(Tree::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_of_two_fields_of_one_name_counts() {
        let json = r#"{"a": 1, "b": [true, null, -1, 2.5, "x"], "a": {"c": 2}}"#;
        let tree: Tree = serde_json::from_str(json).unwrap();
        assert_eq!(tree, Tree::from(&serde_json::from_str::<Value>(json).unwrap()));
        assert_eq!(tree.get("a").and_then(|a| a.get("c")).and_then(Tree::as_f64), Some(2.0));
    }

    proptest! {
        #[test]
        fn any_text_reads_as_serde_json_reads_it(json in r#"[\[\]{}:, "a\\u0-9eE.+-]{0,24}|\[[^"]{0,12}\]"#) {
            let value = serde_json::from_str::<Value>(&json);
            let tree = serde_json::from_str::<Tree>(&json);
            prop_assert_eq!(value.ok().as_ref().map(Tree::from), tree.ok());
        }
    }
}
