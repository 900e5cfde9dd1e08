//! Model fields that keep their place and survive a wrong neighbour: what cannot be read is absent,
//! never the end of the whole object. `wrong-type` reports it from the schema.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::span::{Span, Spanned};

/// An optional field: `None` when absent, null or of the wrong shape.
#[derive(Debug, Clone)]
pub struct Opt<T>(pub Option<Spanned<T>>);

impl<T> Default for Opt<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Deref for Opt<T> {
    type Target = Option<Spanned<T>>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T> Opt<T> {
    /// The value without its place.
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        self.0.as_ref().map(|spanned| &spanned.value)
    }

    /// Where the value stands.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        self.0.as_ref().map(|spanned| spanned.span)
    }
}

impl Opt<String> {
    /// The text; empty when absent.
    #[must_use]
    pub fn text(&self) -> &str {
        self.get().map_or("", String::as_str)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Opt<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Spanned::deserialize(deserializer).ok()))
    }
}

/// A list; items of the wrong shape are left out, and so are nulls.
#[derive(Debug, Clone)]
pub struct List<T>(pub Vec<Spanned<T>>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for List<T> {
    type Target = [Spanned<T>];
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<'a, T> IntoIterator for &'a List<T> {
    type Item = &'a Spanned<T>;
    type IntoIter = std::slice::Iter<'a, Spanned<T>>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
            type Value = Vec<Spanned<T>>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::with_capacity(seq.size_hint().unwrap_or(0));
                while let Some(item) = seq.next_element::<Opt<T>>()? {
                    items.extend(item.0);
                }
                Ok(items)
            }
        }
        Ok(Self(deserializer.deserialize_seq(Items(PhantomData)).unwrap_or_default()))
    }
}

/// A mapping in the order of the text; values of the wrong shape are left out, and so are nulls.
#[derive(Debug, Clone)]
pub struct Map<T>(pub Vec<(Spanned<String>, Spanned<T>)>);

impl<T> Default for Map<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for Map<T> {
    type Target = [(Spanned<String>, Spanned<T>)];
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T> Map<T> {
    /// The value under a key.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<&Spanned<T>> {
        self.0.iter().find(|(k, _)| k.value == key).map(|(_, value)| value)
    }

    /// Key and value with their places.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&(Spanned<String>, Spanned<T>)> {
        self.0.iter().find(|(k, _)| k.value == key)
    }
}

impl Map<String> {
    /// The text under a key.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.find(key).map(|value| value.as_str())
    }

    /// Whether every pair of this selector is among `labels`. An empty selector matches everything.
    #[must_use]
    pub fn selects(&self, labels: &Map<String>) -> bool {
        self.0.iter().all(|(key, value)| labels.text(key) == Some(value.as_str()))
    }

    /// `key=value` pairs for a message, sorted by nothing but the text's own order.
    #[must_use]
    pub fn describe(&self) -> String {
        let pairs: Vec<String> = self.0.iter().map(|(k, v)| format!("{}={}", k.value, v.value)).collect();
        pairs.join(",")
    }

    /// From the first key to the last value; `None` when empty.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        let (first, last) = (self.0.first()?, self.0.last()?);
        Some(Span::new(first.0.span.file, first.0.span.start, last.1.span.end))
    }
}

impl<'a, T> IntoIterator for &'a Map<T> {
    type Item = &'a (Spanned<String>, Spanned<T>);
    type IntoIter = std::slice::Iter<'a, (Spanned<String>, Spanned<T>)>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Map<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pairs<T> {
            type Value = Vec<(Spanned<String>, Spanned<T>)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::with_capacity(map.size_hint().unwrap_or(0));
                while let Some(key) = map.next_key::<Spanned<String>>()? {
                    if let Some(value) = map.next_value::<Opt<T>>()?.0 {
                        pairs.push((key, value));
                    }
                }
                Ok(pairs)
            }
        }
        Ok(Self(deserializer.deserialize_map(Pairs(PhantomData)).unwrap_or_default()))
    }
}

/// A field of which only the presence matters.
#[derive(Debug, Clone, Copy, Default)]
pub struct Present;

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Present)
    }
}
