//! Spanned YAML: text in, arena trees with byte spans out. The only module that names the YAML crate,
//! and it knows nothing of Kubernetes objects beyond how `kubectl` reads YAML text.

mod chunks;
mod de;
mod edit;
mod node;
mod parse;
mod scalar;
mod strict;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use de::{DecodeError, from_node};
pub use edit::delete_document;
pub use node::NodeRef;
pub use parse::{Limits, parse};
pub use scalar::{Scalar, string_scalar};

use crate::span::{FileId, Span};

/// Index of a node in its document.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NodeId(u32);

/// How a scalar is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// Unquoted: its text decides its type.
    Plain,
    /// In `'`.
    SingleQuoted,
    /// In `"`.
    DoubleQuoted,
    /// A `|` or `>` block.
    Block,
}

#[derive(Debug)]
enum Text {
    /// The value is the source at this range.
    Source(u32, u32),
    /// Escapes, folding or indentation changed it.
    Owned(Box<str>),
}

#[derive(Debug)]
enum Kind {
    Scalar { text: Text, style: Style },
    Sequence { items: Vec<NodeId>, flow: bool },
    Mapping { entries: Vec<(NodeId, NodeId)>, flow: bool, has_merge: bool },
    Alias(NodeId),
}

#[derive(Debug)]
struct Node {
    start: u32,
    end: u32,
    kind: Kind,
    /// The tag's suffix when it is one of YAML's own (`str`, `int` …), otherwise the tag as written.
    tag: Option<Box<str>>,
}

/// Whether a key merges the mapping of its value into its own.
fn is_merge(text: &str, style: Style, tag: Option<&str>) -> bool {
    style == Style::Plain && text == "<<" && tag.is_none_or(|tag| tag.ends_with("merge"))
}

/// One YAML document of a file.
#[derive(Debug)]
pub struct Document {
    file: FileId,
    source: Arc<str>,
    start: u32,
    end: u32,
    nodes: Vec<Node>,
    root: Option<NodeId>,
    comments: Vec<Span>,
}

impl Document {
    /// The file that holds the document.
    #[must_use]
    pub fn file(&self) -> FileId {
        self.file
    }

    /// Everything between the `---` lines.
    #[must_use]
    pub fn span(&self) -> Span {
        Span::new(self.file, self.start, self.end)
    }

    /// The root node; `None` for an empty, broken or refused document.
    #[must_use]
    pub fn root(&self) -> Option<NodeRef<'_>> {
        self.root.map(|id| NodeRef::new(self, id))
    }

    /// The node with an id of this document.
    #[must_use]
    pub fn node(&self, id: NodeId) -> Option<NodeRef<'_>> {
        self.nodes.get(id.0 as usize).map(|_| NodeRef::new(self, id))
    }

    /// Every comment, in order, from `#` to the end of its line.
    #[must_use]
    pub fn comments(&self) -> &[Span] {
        &self.comments
    }

    /// The text of the whole file.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// How many nodes the document has; 0 when nothing of it could be read.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether the document has no node.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

/// What is wrong with a text as YAML.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProblemKind {
    /// Not YAML, or not YAML as Kubernetes reads it.
    Syntax,
    /// A mapping has a key twice.
    DuplicateKey,
    /// Too deep, or too large once aliases are expanded.
    Limits,
}

/// One problem found while reading a text.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The family.
    pub kind: ProblemKind,
    /// Where.
    pub span: Span,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// The first key of a duplicate.
    pub related: Option<(Span, String)>,
}
