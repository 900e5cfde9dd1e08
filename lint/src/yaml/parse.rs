//! Events of the YAML crate into arena documents, one chunk at a time.

use std::borrow::Cow;
use std::sync::Arc;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, StructureStyle, Tag};
use rustc_hash::FxHashMap;

use super::chunks::{Chunk, split};
use super::scalar::{Scalar, resolve};
use super::strict;
use super::{Document, Kind, Node, NodeId, Problem, ProblemKind, Style, Text, is_merge};
use crate::files::File;
use crate::span::{FileId, Span};

/// What a text may cost. The defaults are far above any real manifest.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest file, in bytes.
    pub file_bytes: usize,
    /// Most nodes of one document once every alias is expanded.
    pub expanded_nodes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file_bytes: 256 << 20, expanded_nodes: 1_000_000 }
    }
}

/// Reads every document of a file. Broken documents have no root and a problem that says why.
#[must_use]
pub fn parse(id: FileId, file: &File, limits: Limits) -> (Vec<Document>, Vec<Problem>) {
    let source = file.shared_text();
    if source.len() > limits.file_bytes {
        let message = format!("the file has {} bytes; at most {} are read", source.len(), limits.file_bytes);
        let problem = Problem {
            kind: ProblemKind::Limits,
            span: Span::new(id, 0, 0),
            message,
            help: Some("split the file".to_owned()),
            related: None,
        };
        return (Vec::new(), vec![problem]);
    }
    let mut problems = Vec::new();
    let mut documents = Vec::new();
    for chunk in split(&source) {
        if let Some((start, end)) = chunk.dropped {
            problems.push(Problem {
                kind: ProblemKind::Syntax,
                span: Span::new(id, start, end),
                message: "`kubectl` ignores text on the same line as `---`".to_owned(),
                help: Some("put the document on the lines below the separator".to_owned()),
                related: None,
            });
        }
        documents.push(Builder::new(id, &source, chunk, limits).build(&mut problems));
    }
    (documents, problems)
}

/// A collection whose end has not been seen.
struct Open {
    id: NodeId,
    children: Vec<NodeId>,
    mapping: bool,
    flow: bool,
    /// Nodes below it with every alias expanded.
    size: u32,
}

struct Builder<'s> {
    file: FileId,
    source: &'s Arc<str>,
    text: &'s str,
    chunk: Chunk,
    limits: Limits,
    nodes: Vec<Node>,
    /// Per node, how many nodes it stands for with every alias expanded; 0 while it is open.
    sizes: Vec<u32>,
    open: Vec<Open>,
    anchors: FxHashMap<usize, NodeId>,
    comments: Vec<Span>,
    root: Option<NodeId>,
}

impl<'s> Builder<'s> {
    fn new(file: FileId, source: &'s Arc<str>, chunk: Chunk, limits: Limits) -> Self {
        let text = source.get(chunk.start as usize..chunk.end as usize).unwrap_or("");
        Self {
            file,
            source,
            text,
            chunk,
            limits,
            nodes: Vec::new(),
            sizes: Vec::new(),
            open: Vec::new(),
            anchors: FxHashMap::default(),
            comments: Vec::new(),
            root: None,
        }
    }

    fn build(mut self, problems: &mut Vec<Problem>) -> Document {
        let first_problem = problems.len();
        let done = self.read(problems);
        if done.is_err() || problems.iter().skip(first_problem).any(|p| p.kind == ProblemKind::Limits) {
            self.root = None;
        } else {
            let bytes = (self.chunk.start, self.chunk.end);
            for found in strict::check(self.source, bytes, &self.nodes) {
                let help = found.help.map(str::to_owned);
                problems.push(self.problem(found.start, found.end, found.message, help));
            }
        }
        self.comments.sort_by_key(|c| c.start);
        Document {
            file: self.file,
            source: Arc::clone(self.source),
            start: self.chunk.start,
            end: self.chunk.end,
            nodes: self.nodes,
            root: self.root,
            comments: self.comments,
        }
    }

    fn read(&mut self, problems: &mut Vec<Problem>) -> Result<(), ()> {
        let options = granit_parser::options! {
            emit_unresolved_aliases: true,
            // The default of 96 makes a long run of comment lines an error.
            max_buffered_comment_events: usize::MAX,
        };
        let mut documents = 0;
        for next in Parser::new_from_str_with_options(self.text, options) {
            let (event, span) = match next {
                Ok(next) => next,
                Err(error) => {
                    problems.push(self.syntax_error(&error));
                    return Err(());
                }
            };
            let start = self.offset(span.start.byte_offset());
            let end = self.offset(span.end.byte_offset());
            match event {
                Event::DocumentStart(..) => {
                    documents += 1;
                    if documents > 1 {
                        problems.push(self.problem(
                            start,
                            end,
                            "`kubectl` ignores everything after `...`".to_owned(),
                            Some("separate documents with a line `---`".to_owned()),
                        ));
                        return Ok(());
                    }
                }
                Event::Comment(..) => self.comments.push(Span::new(self.file, start, end)),
                Event::Scalar(value, style, anchor, tag) => {
                    let kind = self.scalar(&value, style, start, end);
                    self.leaf(start, end, kind, tag.as_deref(), anchor, 1);
                }
                Event::SequenceStart(style, anchor, tag) => {
                    self.begin(start, false, style == StructureStyle::Flow, tag.as_deref(), anchor);
                }
                Event::MappingStart(style, anchor, tag) => {
                    self.begin(start, true, style == StructureStyle::Flow, tag.as_deref(), anchor);
                }
                Event::SequenceEnd | Event::MappingEnd => self.finish(end, problems),
                Event::Alias(anchor) => self.alias(anchor, start, end, problems),
                Event::UnresolvedAlias(name) => {
                    let message = format!("`*{name}` refers to an anchor that this document does not define");
                    problems.push(self.problem(start, end, message, None));
                    self.leaf(start, end, null(), None, 0, 1);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn offset(&self, byte: Option<usize>) -> u32 {
        let offset = u32::try_from(byte.unwrap_or(0)).unwrap_or(u32::MAX);
        self.chunk.start.saturating_add(offset).min(self.chunk.end)
    }

    fn scalar(&self, value: &str, style: ScalarStyle, start: u32, end: u32) -> Kind {
        if start == end && value == "~" {
            return null();
        }
        let (style, quotes) = match style {
            ScalarStyle::Plain => (Style::Plain, 0),
            ScalarStyle::SingleQuoted => (Style::SingleQuoted, 1),
            ScalarStyle::DoubleQuoted => (Style::DoubleQuoted, 1),
            ScalarStyle::Literal | ScalarStyle::Folded => (Style::Block, 0),
        };
        // The crate ends a block with a line break even where the text has none.
        let is_cut = style == Style::Block
            && end == self.chunk.end
            && !self.text.ends_with(['\n', '\r'])
            && value.ends_with('\n');
        let value = if is_cut { value.strip_suffix('\n').unwrap_or(value) } else { value };
        let (inner_start, inner_end) = (start + quotes, end.saturating_sub(quotes));
        let same = self.source.get(inner_start as usize..inner_end as usize) == Some(value);
        let text = if same { Text::Source(inner_start, inner_end) } else { Text::Owned(value.into()) };
        Kind::Scalar { text, style }
    }

    fn push(
        &mut self,
        start: u32,
        end: u32,
        kind: Kind,
        tag: Option<&Tag>,
        anchor: usize,
        size: u32,
    ) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        let tag = tag.map(|tag| match tag.core_suffix() {
            Some(suffix) => suffix.into(),
            None => tag.original().into_boxed_str(),
        });
        self.nodes.push(Node { start, end, kind, tag });
        self.sizes.push(size);
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
        id
    }

    fn leaf(&mut self, start: u32, end: u32, kind: Kind, tag: Option<&Tag>, anchor: usize, size: u32) {
        let id = self.push(start, end, kind, tag, anchor, size);
        self.attach(id, size);
    }

    fn attach(&mut self, id: NodeId, size: u32) {
        match self.open.last_mut() {
            Some(parent) => {
                parent.children.push(id);
                parent.size = parent.size.saturating_add(size);
            }
            None => self.root = Some(id),
        }
    }

    fn begin(&mut self, start: u32, mapping: bool, flow: bool, tag: Option<&Tag>, anchor: usize) {
        let start = if mapping || flow { start } else { self.first_dash(start) };
        let id = self.push(start, start, null(), tag, anchor, 0);
        self.open.push(Open { id, children: Vec::new(), mapping, flow, size: 1 });
    }

    /// A block sequence starts at its first `-`; the event may stand after it.
    fn first_dash(&self, start: u32) -> u32 {
        let before = self.source.get(self.chunk.start as usize..start as usize).unwrap_or("");
        let here = self.source.get(start as usize..).unwrap_or("");
        let is_dash = here.starts_with('-')
            && here.get(1..).is_none_or(|rest| rest.starts_with([' ', '\t', '\n', '\r']));
        match before.trim_end().strip_suffix('-') {
            Some(head) if !is_dash => {
                self.chunk.start.saturating_add(u32::try_from(head.len()).unwrap_or(u32::MAX))
            }
            _ => start,
        }
    }

    fn finish(&mut self, event_end: u32, problems: &mut Vec<Problem>) {
        let Some(open) = self.open.pop() else { return };
        let last_end = open.children.last().and_then(|id| self.node(*id)).map(|n| n.end);
        // The end event of a block collection stands at the next token: end it at its last child.
        let end = if open.flow { event_end } else { last_end.unwrap_or(event_end) };
        let kind = if !open.mapping {
            Kind::Sequence { items: open.children, flow: open.flow }
        } else if let Some(text) = self.unquoted_colon(&open) {
            Kind::Scalar { text, style: Style::Plain }
        } else {
            let entries: Vec<_> = open
                .children
                .chunks_exact(2)
                .filter_map(|pair| Some((*pair.first()?, *pair.last()?)))
                .collect();
            let has_merge = self.check_keys(&entries, problems);
            Kind::Mapping { entries, flow: open.flow, has_merge }
        };
        if let Some(size) = self.sizes.get_mut(open.id.0 as usize) {
            *size = open.size;
        }
        if let Some(node) = self.nodes.get_mut(open.id.0 as usize) {
            node.kind = kind;
            node.end = end.max(node.start);
        }
        if open.size > self.limits.expanded_nodes && self.open.is_empty() {
            problems.push(Problem {
                kind: ProblemKind::Limits,
                span: Span::new(self.file, self.chunk.start, self.chunk.start),
                message: format!(
                    "the document has more than {} values once its aliases are expanded",
                    self.limits.expanded_nodes
                ),
                help: Some("write the repeated parts out, or split the document".to_owned()),
                related: None,
            });
        }
        self.attach(open.id, open.size);
    }

    /// `[2001:db8::]` is one string for Kubernetes' parser, for which `:` ends a key only before white space, and
    /// `{"2001:db8:": null}` for the event parser.
    fn unquoted_colon(&self, open: &Open) -> Option<Text> {
        let parent_is_sequence = self.open.last().is_some_and(|parent| parent.flow && !parent.mapping);
        let [key, value] = open.children.as_slice() else { return None };
        let (mapping, key, value) = (self.node(open.id)?, self.node(*key)?, self.node(*value)?);
        let Kind::Scalar { text: Text::Source(start, end), style: Style::Plain } = &key.kind else {
            return None;
        };
        let is_implicit = open.flow && mapping.start == key.start && value.start == value.end;
        let after = self.source.get(*end as usize..)?;
        let is_string = after.strip_prefix(':').is_some_and(|rest| rest.starts_with([',', ']']));
        (parent_is_sequence && is_implicit && is_string).then_some(Text::Source(*start, end + 1))
    }

    /// Reports keys that are no scalars or stand twice; says whether one is a merge key.
    fn check_keys(&self, entries: &[(NodeId, NodeId)], problems: &mut Vec<Problem>) -> bool {
        let mut has_merge = false;
        let mut seen: FxHashMap<Cow<'_, str>, &Node> = FxHashMap::default();
        let linear = entries.len() <= 12;
        let mut earlier: Vec<(Cow<'_, str>, &Node)> = Vec::new();
        for (key, _) in entries {
            let Some(node) = self.node(*key) else { continue };
            let Some((name, merge)) = self.key_name(node) else {
                let help = "quote it; an unquoted `{{ … }}` of a template is read as a mapping".to_owned();
                problems.push(self.problem(
                    node.start,
                    node.end,
                    "a mapping key must be a scalar".to_owned(),
                    Some(help),
                ));
                continue;
            };
            has_merge |= merge;
            if merge {
                // Each of several merges counts.
                continue;
            }
            let first = if linear {
                let first = earlier.iter().find(|(n, _)| *n == name).map(|(_, node)| *node);
                earlier.push((name.clone(), node));
                first
            } else {
                seen.insert(name.clone(), node)
            };
            if let Some(first) = first {
                problems.push(Problem {
                    kind: ProblemKind::DuplicateKey,
                    span: Span::new(self.file, node.start, node.end),
                    message: format!("key `{name}` is given twice; Kubernetes keeps only the last value"),
                    help: Some("remove one of the two".to_owned()),
                    related: Some((
                        Span::new(self.file, first.start, first.end),
                        "the value given here is lost".to_owned(),
                    )),
                });
            }
        }
        has_merge
    }

    /// The key as JSON will name it, and whether it is the merge key.
    fn key_name<'n>(&'n self, node: &'n Node) -> Option<(Cow<'n, str>, bool)> {
        let node = match node.kind {
            Kind::Alias(target) => self.node(target)?,
            _ => node,
        };
        let Kind::Scalar { text, style } = &node.kind else { return None };
        let text = match text {
            Text::Source(start, end) => self.source.get(*start as usize..*end as usize)?,
            Text::Owned(text) => text,
        };
        let name = key_text(resolve(text, *style, node.tag.as_deref()), text);
        Some((name, is_merge(text, *style, node.tag.as_deref())))
    }

    fn alias(&mut self, anchor: usize, start: u32, end: u32, problems: &mut Vec<Problem>) {
        let target = self.anchors.get(&anchor).copied();
        let size = target.and_then(|id| self.sizes.get(id.0 as usize)).copied().unwrap_or(0);
        match target {
            Some(id) if size > 0 => self.leaf(start, end, Kind::Alias(id), None, 0, size),
            _ => {
                let message = "the alias refers to a value that contains it".to_owned();
                problems.push(self.problem(start, end, message, None));
                self.leaf(start, end, null(), None, 0, 1);
            }
        }
    }

    fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0 as usize)
    }

    fn problem(&self, start: u32, end: u32, message: String, help: Option<String>) -> Problem {
        let span = Span::new(self.file, start, end);
        Problem { kind: ProblemKind::Syntax, span, message, help, related: None }
    }

    fn syntax_error(&self, error: &ScanError) -> Problem {
        let start = self.offset(error.marker().byte_offset());
        // Underline the offending character, or the last one when the text ends too early.
        let rest = self.source.get(start as usize..self.chunk.end as usize).unwrap_or("");
        let width = rest.chars().next().filter(|c| *c != '\n' && *c != '\r').map_or(0, char::len_utf8);
        let end = start + u32::try_from(width).unwrap_or(0);
        let (kind, message, help) = match error.kind() {
            ErrorKind::RecursionLimitExceeded => (
                ProblemKind::Limits,
                "the document is nested more than 255 levels deep".to_owned(),
                Some("no Kubernetes object is nested that deeply"),
            ),
            ErrorKind::TabInBlockIndentation | ErrorKind::TabNotAllowed | ErrorKind::TabInIndentation => {
                (ProblemKind::Syntax, error.info(), Some("indent with spaces"))
            }
            ErrorKind::UnclosedFlowCollection { .. } | ErrorKind::UnclosedQuotedScalar => (
                ProblemKind::Syntax,
                error.info(),
                Some("close it, or quote the text if it is meant literally"),
            ),
            _ if self.text.contains("{{") => (
                ProblemKind::Syntax,
                error.info(),
                Some("this looks like a template: render it first, e.g. `helm template . | coalmine lint -`"),
            ),
            _ => (ProblemKind::Syntax, error.info(), None),
        };
        Problem { kind, ..self.problem(start, end, message, help.map(str::to_owned)) }
    }
}

fn null() -> Kind {
    Kind::Scalar { text: Text::Source(0, 0), style: Style::Plain }
}

/// A resolved key as `sigs.k8s.io/yaml` writes it into JSON.
pub(super) fn key_text<'t>(key: Scalar<'t>, source: &'t str) -> Cow<'t, str> {
    match key {
        Scalar::Str(text) => Cow::Borrowed(text),
        Scalar::Bool(value) => Cow::Borrowed(if value { "true" } else { "false" }),
        Scalar::Int(value) => Cow::Owned(value.to_string()),
        Scalar::UInt(value) => Cow::Owned(value.to_string()),
        Scalar::Float(value) => Cow::Owned(float_key(value, source)),
        Scalar::Null => Cow::Borrowed(if source.is_empty() { "null" } else { source }),
    }
}

/// Go's `strconv.FormatFloat(value, 'g', -1, 32)`, which is how a number becomes a key.
fn float_key(value: f64, source: &str) -> String {
    #[allow(clippy::cast_possible_truncation)]
    let value = value as f32;
    if value.is_nan() {
        return ".nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return source.to_owned() };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    value.to_string()
}
