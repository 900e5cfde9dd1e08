//! Reading access to a document: aliases and merge keys are followed, spans stay those of the text.

use std::borrow::Cow;

use rustc_hash::FxHashMap;

use super::parse::key_text;
use super::scalar::{Scalar, resolve};
use super::{Document, Kind, NodeId, Style, Text, is_merge};
use crate::span::Span;

/// A node of a document. Methods that look inside follow aliases; [`NodeRef::span`] does not.
#[derive(Clone, Copy)]
pub struct NodeRef<'a> {
    document: &'a Document,
    id: NodeId,
}

impl<'a> NodeRef<'a> {
    pub(super) fn new(document: &'a Document, id: NodeId) -> Self {
        Self { document, id }
    }

    /// The id, to find the node again with [`Document::node`].
    #[must_use]
    pub fn id(self) -> NodeId {
        self.id
    }

    /// The document that holds the node.
    #[must_use]
    pub fn document(self) -> &'a Document {
        self.document
    }

    fn raw(self) -> Option<&'a super::Node> {
        self.document.nodes.get(self.id.0 as usize)
    }

    /// The node an alias stands for; itself for any other node.
    fn target(self) -> Option<&'a super::Node> {
        let mut node = self.raw()?;
        while let Kind::Alias(id) = node.kind {
            node = self.document.nodes.get(id.0 as usize)?;
        }
        Some(node)
    }

    fn at(self, id: NodeId) -> Self {
        Self { id, ..self }
    }

    /// Where the node is written; for an alias, the `*name`. Quotes belong to a quoted scalar.
    #[must_use]
    pub fn span(self) -> Span {
        let (start, end) = self.raw().map_or((0, 0), |n| (n.start, n.end));
        Span::new(self.document.file, start, end)
    }

    /// Whether nothing is written where the value should stand.
    #[must_use]
    pub fn is_empty_text(self) -> bool {
        self.raw().is_some_and(|n| n.start == n.end)
    }

    /// The scalar, resolved as Kubernetes does; `None` for a collection.
    #[must_use]
    pub fn scalar(self) -> Option<Scalar<'a>> {
        let node = self.target()?;
        let Kind::Scalar { style, .. } = &node.kind else { return None };
        Some(resolve(self.text()?, *style, node.tag.as_deref()))
    }

    /// The scalar's text whatever its type: `1.0` stays `1.0`. `None` for a collection.
    #[must_use]
    pub fn text(self) -> Option<&'a str> {
        match &self.target()?.kind {
            Kind::Scalar { text: Text::Source(start, end), .. } => {
                self.document.source.get(*start as usize..*end as usize)
            }
            Kind::Scalar { text: Text::Owned(text), .. } => Some(text),
            _ => None,
        }
    }

    /// The text, if the scalar is a string for Kubernetes.
    #[must_use]
    pub fn as_str(self) -> Option<&'a str> {
        match self.scalar()? {
            Scalar::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The tag in front of the value, without `!!` if it is one of YAML's own.
    #[must_use]
    pub fn tag(self) -> Option<&'a str> {
        self.target()?.tag.as_deref()
    }

    /// How a scalar is written.
    #[must_use]
    pub fn style(self) -> Option<Style> {
        match &self.target()?.kind {
            Kind::Scalar { style, .. } => Some(*style),
            _ => None,
        }
    }

    /// Whether the value is null for Kubernetes, which drops such fields.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.scalar() == Some(Scalar::Null)
    }

    /// Whether it is a mapping.
    #[must_use]
    pub fn is_mapping(self) -> bool {
        matches!(self.target().map(|n| &n.kind), Some(Kind::Mapping { .. }))
    }

    /// Whether it is a sequence.
    #[must_use]
    pub fn is_sequence(self) -> bool {
        matches!(self.target().map(|n| &n.kind), Some(Kind::Sequence { .. }))
    }

    /// Whether the collection is written in `{}` or `[]`.
    #[must_use]
    pub fn is_flow(self) -> bool {
        match self.target().map(|n| &n.kind) {
            Some(Kind::Mapping { flow, .. } | Kind::Sequence { flow, .. }) => *flow,
            _ => false,
        }
    }

    /// Whether the node is written as `*name`.
    #[must_use]
    pub fn is_alias(self) -> bool {
        matches!(self.raw().map(|n| &n.kind), Some(Kind::Alias(_)))
    }

    /// The type in the words of the API server's error messages.
    #[must_use]
    pub fn type_name(self) -> &'static str {
        match self.target().map(|n| &n.kind) {
            Some(Kind::Mapping { .. }) => "object",
            Some(Kind::Sequence { .. }) => "list",
            _ => self.scalar().map_or("null", Scalar::type_name),
        }
    }

    /// The items of a sequence; none for anything else.
    pub fn items(self) -> impl Iterator<Item = NodeRef<'a>> {
        let items = match self.target().map(|n| &n.kind) {
            Some(Kind::Sequence { items, .. }) => items.as_slice(),
            _ => &[],
        };
        items.iter().map(move |id| self.at(*id))
    }

    /// The entries of a mapping as JSON sees them: merge keys applied, the last of duplicates kept. As
    /// Kubernetes' parser goes by the order of the text, a merge overrides the keys above it.
    #[must_use]
    pub fn entries(self) -> Vec<(NodeRef<'a>, NodeRef<'a>)> {
        let mut out = Entries::default();
        self.collect_entries(&mut out, 0);
        out.list
    }

    fn collect_entries(self, out: &mut Entries<'a>, depth: u8) {
        let Some(Kind::Mapping { entries, has_merge, .. }) = self.target().map(|n| &n.kind) else { return };
        for (key, value) in entries.iter().map(|(k, v)| (self.at(*k), self.at(*v))) {
            if !(*has_merge && key.is_merge_key()) {
                out.add(key, value);
                continue;
            }
            // Expanded sizes are bounded; chains of merges are not deep.
            if depth > 64 {
                continue;
            }
            if value.is_sequence() {
                // The first of several mappings wins.
                let items: Vec<_> = value.items().collect();
                items.into_iter().rev().for_each(|item| item.collect_entries(out, depth + 1));
            } else {
                value.collect_entries(out, depth + 1);
            }
        }
    }

    fn is_merge_key(self) -> bool {
        let (text, style) = (self.text(), self.style());
        text.zip(style).is_some_and(|(text, style)| is_merge(text, style, self.tag()))
    }

    /// The name of a key node as JSON sees it: `on:` is `true`.
    #[must_use]
    pub fn key(self) -> Cow<'a, str> {
        match (self.scalar(), self.text()) {
            (Some(scalar), Some(text)) => key_text(scalar, text),
            _ => Cow::Borrowed(""),
        }
    }

    /// The key and value nodes of one entry of a mapping.
    #[must_use]
    pub fn entry(self, name: &str) -> Option<(NodeRef<'a>, NodeRef<'a>)> {
        let Some(Kind::Mapping { entries, has_merge, .. }) = self.target().map(|n| &n.kind) else {
            return None;
        };
        if *has_merge {
            return self.entries().into_iter().find(|(k, _)| k.key() == name);
        }
        entries.iter().rev().map(|(k, v)| (self.at(*k), self.at(*v))).find(|(k, _)| k.key() == name)
    }

    /// The value of one entry of a mapping; `None` also when it is null, as Kubernetes drops it.
    #[must_use]
    pub fn get(self, name: &str) -> Option<NodeRef<'a>> {
        self.entry(name).map(|(_, value)| value).filter(|value| !value.is_null())
    }

    /// [`NodeRef::get`] along a path of keys.
    #[must_use]
    pub fn path(self, names: &[&str]) -> Option<NodeRef<'a>> {
        names.iter().try_fold(self, |node, name| node.get(name))
    }

    /// The chain of nodes from this one down to the innermost that covers a span, this one first.
    /// Aliases are not entered: their text is elsewhere.
    #[must_use]
    pub fn covering(self, span: Span) -> Vec<NodeRef<'a>> {
        let mut chain = Vec::new();
        let mut current = Some(self);
        while let Some(node) = current {
            chain.push(node);
            let children: Vec<NodeRef<'a>> = match node.raw().map(|n| &n.kind) {
                Some(Kind::Sequence { items, .. }) => items.iter().map(|id| node.at(*id)).collect(),
                Some(Kind::Mapping { entries, .. }) => {
                    entries.iter().flat_map(|(k, v)| [node.at(*k), node.at(*v)]).collect()
                }
                _ => Vec::new(),
            };
            current = children.into_iter().find(|c| c.span().contains(span) && !c.is_empty_text());
        }
        chain
    }

    /// The entries of a mapping as written: no merge, duplicates kept.
    #[must_use]
    pub fn written_entries(self) -> Vec<(NodeRef<'a>, NodeRef<'a>)> {
        match self.raw().map(|n| &n.kind) {
            Some(Kind::Mapping { entries, .. }) => {
                entries.iter().map(|(k, v)| (self.at(*k), self.at(*v))).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Entries in order of first appearance; found by scanning while few, by hash once many.
#[derive(Default)]
struct Entries<'a> {
    list: Vec<(NodeRef<'a>, NodeRef<'a>)>,
    index: FxHashMap<Cow<'a, str>, usize>,
}

impl<'a> Entries<'a> {
    const SCANNED: usize = 16;

    /// Adds an entry, or replaces the one of its name.
    fn add(&mut self, key: NodeRef<'a>, value: NodeRef<'a>) {
        let name = key.key();
        let present = if self.list.len() <= Self::SCANNED {
            self.list.iter().position(|(k, _)| k.key() == name)
        } else {
            if self.index.is_empty() {
                self.index = self.list.iter().enumerate().map(|(i, (k, _))| (k.key(), i)).collect();
            }
            self.index.get(&name).copied()
        };
        match present {
            Some(i) => {
                if let Some(entry) = self.list.get_mut(i) {
                    *entry = (key, value);
                }
            }
            None => {
                if !self.index.is_empty() {
                    self.index.insert(name, self.list.len());
                }
                self.list.push((key, value));
            }
        }
    }
}

impl std::fmt::Debug for NodeRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.target().map(|n| &n.kind) {
            Some(Kind::Mapping { .. }) => f.debug_map().entries(self.entries()).finish(),
            Some(Kind::Sequence { .. }) => f.debug_list().entries(self.items()).finish(),
            _ => write!(f, "{:?}", self.scalar()),
        }
    }
}
