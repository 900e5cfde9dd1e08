//! serde's view of a document. Models ask for [`Spanned`] values and get the place of each.
//!
//! Lenient on purpose: a number where text is wanted gives its source text, text where a number is wanted
//! is parsed. The rule `wrong-type` reports such values; the other rules must still see the object.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::U32Deserializer;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::node::NodeRef;
use super::scalar::Scalar;
use crate::span::{FileId, Span, Spanned};

/// The name under which [`Spanned`] asks this module's deserializer for a span.
const SPANNED: &str = "\0coalmine::Spanned";

/// Why a node does not fit a model.
#[derive(Debug)]
pub struct DecodeError(String);

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DecodeError {}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Decodes a node into a model.
///
/// # Errors
/// When the node's shape does not fit the model.
pub fn from_node<'a, T: Deserialize<'a>>(node: NodeRef<'a>) -> Result<T, DecodeError> {
    T::deserialize(NodeDeserializer { node, key: false })
}

#[derive(Clone, Copy)]
struct NodeDeserializer<'a> {
    node: NodeRef<'a>,
    /// A key is text, whatever it would resolve to as a value.
    key: bool,
}

impl<'a> NodeDeserializer<'a> {
    fn value(node: NodeRef<'a>) -> Self {
        Self { node, key: false }
    }

    fn text(self) -> Option<std::borrow::Cow<'a, str>> {
        if self.key { Some(self.node.key()) } else { self.node.text().map(std::borrow::Cow::Borrowed) }
    }

    fn visit_number<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if let Some(Scalar::Str(text)) = self.node.scalar() {
            if let Ok(value) = text.parse::<i64>() {
                return visitor.visit_i64(value);
            }
            if let Ok(value) = text.parse::<f64>() {
                return visitor.visit_f64(value);
            }
        }
        match self.node.scalar() {
            // JSON has one number type: `50.0` is written as `50` and fits an integer field.
            Some(Scalar::Float(value)) if value.fract() == 0.0 => match format!("{value:.0}").parse() {
                Ok(whole) => visitor.visit_i64(whole),
                Err(_) => visitor.visit_f64(value),
            },
            _ => self.deserialize_any(visitor),
        }
    }
}

impl<'de> Deserializer<'de> for NodeDeserializer<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.node.is_mapping() {
            return visitor.visit_map(Entries { entries: self.node.entries().into_iter(), value: None });
        }
        if self.node.is_sequence() {
            return visitor.visit_seq(Items(self.node.items()));
        }
        match self.node.scalar() {
            Some(Scalar::Bool(value)) => visitor.visit_bool(value),
            Some(Scalar::Int(value)) => visitor.visit_i64(value),
            Some(Scalar::UInt(value)) => visitor.visit_u64(value),
            Some(Scalar::Float(value)) => visitor.visit_f64(value),
            Some(Scalar::Str(text)) => visitor.visit_borrowed_str(text),
            Some(Scalar::Null) | None => visitor.visit_unit(),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        // A null item of a list is no text.
        if !self.key && self.node.is_null() {
            return visitor.visit_unit();
        }
        match self.text() {
            Some(std::borrow::Cow::Borrowed(text)) => visitor.visit_borrowed_str(text),
            Some(std::borrow::Cow::Owned(text)) => visitor.visit_string(text),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        // Null means absent to Kubernetes.
        if self.node.is_null() {
            return visitor.visit_seq(de::value::SeqDeserializer::new(std::iter::empty::<u32>()));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.node.is_null() {
            return visitor.visit_map(Entries { entries: Vec::new().into_iter(), value: None });
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if name == SPANNED {
            return visitor.visit_seq(SpannedParts { of: self, next: 0 });
        }
        self.deserialize_map(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.visit_number(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.visit_number(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.visit_number(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.visit_number(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 u8 u16 u64 i128 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct
        enum ignored_any
    }
}

struct Items<I>(I);

impl<'a, I: Iterator<Item = NodeRef<'a>>> de::SeqAccess<'a> for Items<I> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'a>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        self.0.next().map(|node| seed.deserialize(NodeDeserializer::value(node))).transpose()
    }
}

struct Entries<'a> {
    entries: std::vec::IntoIter<(NodeRef<'a>, NodeRef<'a>)>,
    value: Option<NodeRef<'a>>,
}

impl<'a> de::MapAccess<'a> for Entries<'a> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        // Kubernetes drops null fields.
        let next = self.entries.by_ref().find(|(_, value)| !value.is_null());
        let Some((key, value)) = next else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(NodeDeserializer { node: key, key: true }).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        let value =
            self.value.take().ok_or_else(|| de::Error::custom("a value was asked for before its key"))?;
        seed.deserialize(NodeDeserializer::value(value))
    }
}

/// The four parts of a [`Spanned`]: file, start, end, value.
struct SpannedParts<'a> {
    of: NodeDeserializer<'a>,
    next: u8,
}

impl<'a> de::SeqAccess<'a> for SpannedParts<'a> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'a>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        let span = self.of.node.span();
        let part = self.next;
        self.next = part.saturating_add(1);
        let number: U32Deserializer<DecodeError> = match part {
            0 => span.file.0.into_deserializer(),
            1 => span.start.into_deserializer(),
            2 => span.end.into_deserializer(),
            3 => return seed.deserialize(self.of).map(Some),
            _ => return Ok(None),
        };
        seed.deserialize(number).map(Some)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Parts<T> {
            type Value = Spanned<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value read from spanned YAML")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut parts: A) -> Result<Spanned<T>, A::Error> {
                let missing = || de::Error::custom("spans exist only for values read from spanned YAML");
                let file: u32 = parts.next_element()?.ok_or_else(missing)?;
                let start: u32 = parts.next_element()?.ok_or_else(missing)?;
                let end: u32 = parts.next_element()?.ok_or_else(missing)?;
                let value: T = parts.next_element()?.ok_or_else(missing)?;
                Ok(Spanned { span: Span::new(FileId(file), start, end), value })
            }
        }

        deserializer.deserialize_struct(SPANNED, &["file", "start", "end", "value"], Parts(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Files;
    use crate::yaml::{Limits, parse};

    #[test]
    fn a_number_without_a_fraction_is_an_integer_as_in_json() {
        let integer = |text: &str| {
            let mut files = Files::new();
            let id = files.add("a.yaml", text);
            let (documents, _) = parse(id, files.get(id).unwrap(), Limits::default());
            from_node::<i64>(documents[0].root().unwrap()).ok()
        };
        assert_eq!(integer("50.0"), Some(50));
        assert_eq!(integer("5e1"), Some(50));
        assert_eq!(integer("50.5"), None);
        assert_eq!(integer("1e300"), None);
    }
}
