//! serde's view of a document. Models ask for [`Spanned`] values and get the place of each.
//!
//! Lenient on purpose: a number where text is wanted gives its source text, text where a number is wanted
//! is parsed. The rule `wrong-type` reports such values; the other rules must still see the object.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, VariantAccess as _, Visitor};
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

    fn unfit(&self, wanted: &str) -> DecodeError {
        DecodeError(format!(
            "expected {wanted}, found {}",
            if self.node.is_sequence() { "a list" } else { "a scalar" }
        ))
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
            return visitor.visit_map(Entries::of(self.node));
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
        match self.text() {
            Some(text) => visitor.visit_str(&text),
            None => Err(self.unfit("a name")),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        // Null means absent to Kubernetes.
        if self.node.is_sequence() || self.node.is_null() {
            return visitor.visit_seq(Items(self.node.items()));
        }
        Err(self.unfit("a list"))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        if self.node.is_mapping() || self.node.is_null() {
            return visitor.visit_map(Entries::of(self.node));
        }
        Err(self.unfit("a mapping"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if name == SPANNED {
            return visitor.visit_enum(SpannedAccess(self));
        }
        // Only as a mapping: serde would read a list as the fields in order, and every model would carry that code.
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

impl<'a> Entries<'a> {
    fn of(node: NodeRef<'a>) -> Self {
        Self { entries: node.entries().into_iter(), value: None }
    }

    /// The next field that is there: Kubernetes drops those that are null.
    fn next(&mut self) -> Option<NodeDeserializer<'a>> {
        let (key, value) = self.entries.by_ref().find(|(_, value)| !value.is_null())?;
        self.value = Some(value);
        Some(NodeDeserializer { node: key, key: true })
    }
}

impl<'a> de::MapAccess<'a> for Entries<'a> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        self.next().map(|key| seed.deserialize(key)).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        let value =
            self.value.take().ok_or_else(|| de::Error::custom("a value was asked for before its key"))?;
        seed.deserialize(NodeDeserializer::value(value))
    }
}

/// A [`Spanned`]: the place as a variant's name, the value as its content. With a sequence of both, every model
/// would carry the code to be read from a number too.
struct SpannedAccess<'a>(NodeDeserializer<'a>);

impl<'a> de::EnumAccess<'a> for SpannedAccess<'a> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'a>>(self, seed: V) -> Result<(V::Value, Self), DecodeError> {
        let span = self.0.node.span();
        let place = [span.file.0, span.start, span.end];
        let place = seed.deserialize(de::value::SeqDeserializer::new(place.into_iter()))?;
        Ok((place, self))
    }
}

impl<'a> de::VariantAccess<'a> for SpannedAccess<'a> {
    type Error = DecodeError;

    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<T::Value, DecodeError> {
        seed.deserialize(self.0)
    }

    fn unit_variant(self) -> Result<(), DecodeError> {
        Err(self.0.unfit("a value with its place"))
    }

    fn tuple_variant<V: Visitor<'a>>(self, _len: usize, _visitor: V) -> Result<V::Value, DecodeError> {
        Err(self.0.unfit("a value with its place"))
    }

    fn struct_variant<V: Visitor<'a>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, DecodeError> {
        Err(self.0.unfit("a value with its place"))
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

            fn visit_enum<A: de::EnumAccess<'de>>(self, parts: A) -> Result<Spanned<T>, A::Error> {
                let ((file, start, end), value) = parts.variant::<(u32, u32, u32)>()?;
                let value: T = value.newtype_variant()?;
                Ok(Spanned { span: Span::new(FileId(file), start, end), value })
            }
        }

        deserializer.deserialize_struct(SPANNED, &[], Parts(PhantomData))
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
