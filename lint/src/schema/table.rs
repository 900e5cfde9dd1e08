//! The text format of the tables: an index of what they define, and a parser for one definition at a time.
//!
//! ```text
//! # Comments say which release the table is derived from.
//! kind networking.istio.io Example v1 v1beta1~     a kind, its versions; ~ marks deprecated ones
//!  spec! object                                    ! required, ~ deprecated; one space per level
//!   hosts []string #1..256                         list of strings, at most 256
//!   labels {}string                                map of strings
//!   mode string(STRICT|DISABLE)                    enum
//!   name string #..63 /^[a-z]+$                    size, then a pattern up to the end of the line
//!   port int32(1..65535)                           bounds; also int, uint32, number, bool
//!   timeout duration                               also timestamp, quantity, int-or-string, any
//!   config open                                    an object that keeps fields that are not listed
//!   selector LabelSelector                         a shared definition of this table, or of the first
//! def LabelSelector                                (`open` may follow)
//!  matchLabels {}string
//! exists apps v1 ControllerRevision                kinds without fields in the tables
//! partial argoproj.io                              a group that has more kinds than listed
//! ```
//!
//! The core group is written `core`. Every kind has `apiVersion`, `kind` and `metadata` without saying so. Lines
//! that make no sense are skipped; a test parses every line of every table, so there are none.

use std::collections::HashMap;
use std::iter::Peekable;
use std::str::Lines;
use std::sync::OnceLock;

use super::{Bounds, Field, Object, Type};

/// More than the deepest kind, and a stop for definitions that use each other.
const MAX_DEPTH: usize = 32;

/// A kind in the versions that have the same fields.
pub(super) struct Entry {
    pub(super) group: &'static str,
    pub(super) kind: &'static str,
    versions: Vec<(&'static str, bool)>,
    /// Which of the tables it is in.
    pub(super) table: usize,
    body: &'static str,
    object: OnceLock<Object>,
}

impl Entry {
    /// The served versions, the most stable first.
    pub(super) fn versions(&self) -> impl Iterator<Item = &'static str> {
        self.versions.iter().map(|(version, _)| *version)
    }

    pub(super) fn serves(&self, version: &str) -> bool {
        self.versions().any(|served| served == version)
    }

    pub(super) fn deprecates(&self, version: &str) -> bool {
        self.versions.contains(&(version, true))
    }
}

/// A shared definition.
struct Definition {
    open: bool,
    body: &'static str,
    object: OnceLock<&'static Object>,
}

/// Where everything is in the tables.
#[derive(Default)]
pub(super) struct Index {
    kinds: Vec<Entry>,
    definitions: HashMap<(usize, &'static str), Definition>,
    untabled: Vec<(&'static str, &'static str, &'static str)>,
    partial: Vec<&'static str>,
}

impl Index {
    /// Finds the definitions in tables that live as long as the process.
    pub(super) fn new(tables: impl IntoIterator<Item = &'static str>) -> Self {
        let mut index = Self::default();
        for (table, text) in tables.into_iter().enumerate() {
            // A definition is a line that does not start with a space, and its body the lines up to the next.
            let mut rest = text;
            while let Some((line, after)) = rest.split_once('\n') {
                let length = body_length(after);
                let (body, next) = after.split_at_checked(length).unwrap_or((after, ""));
                index.add(table, line, body);
                rest = next;
            }
        }
        index
    }

    /// Enters one definition. Returns whether the line makes sense.
    pub(super) fn add(&mut self, table: usize, line: &'static str, body: &'static str) -> bool {
        let mut words = line.split(' ');
        match (words.next(), words.next()) {
            (Some("kind"), Some(group)) => {
                let Some(kind) = words.next() else { return false };
                let versions = words.map(|word| match word.strip_suffix('~') {
                    Some(version) => (version, true),
                    None => (word, false),
                });
                let versions: Vec<_> = versions.collect();
                let sensible = !versions.is_empty();
                let group = group_name(group);
                self.kinds.push(Entry { group, kind, versions, table, body, object: OnceLock::new() });
                sensible
            }
            (Some("def"), Some(name)) => {
                let open = words.next() == Some("open");
                let definition = Definition { open, body, object: OnceLock::new() };
                self.definitions.insert((table, name), definition).is_none()
            }
            (Some("exists"), Some(group)) => {
                let Some(version) = words.next() else { return false };
                self.untabled.extend(words.map(|kind| (group_name(group), version, kind)));
                true
            }
            (Some("partial"), Some(group)) => {
                self.partial.push(group);
                true
            }
            _ => line.starts_with('#'),
        }
    }

    /// Every kind, in the order of the tables.
    pub(super) fn kinds(&self) -> &[Entry] {
        &self.kinds
    }

    /// Whether Kubernetes has this kind although the tables do not hold its fields.
    pub(super) fn exists(&self, group: &str, version: &str, kind: &str) -> bool {
        self.untabled.contains(&(group, version, kind))
    }

    /// The versions of a kind whose fields the tables do not hold.
    pub(super) fn untabled_versions(&self, group: &str, kind: &str) -> impl Iterator<Item = &'static str> {
        let found = self.untabled.iter().filter(move |entry| entry.0 == group && entry.2 == kind);
        found.map(|(_, version, _)| *version)
    }

    /// Whether a kind that is not listed in this group does not exist.
    pub(super) fn is_complete(&self, group: &str) -> bool {
        let known = self.kinds.iter().any(|entry| entry.group == group)
            || self.untabled.iter().any(|entry| entry.0 == group);
        known && !self.partial.contains(&group)
    }

    /// The fields of a kind, parsed on first use.
    pub(super) fn object<'a>(&'a self, entry: &'a Entry) -> &'a Object {
        entry.object.get_or_init(|| {
            let mut parser = Parser { index: self, table: entry.table, lines: entry.body.lines().peekable() };
            let mut fields = parser.fields(1, 0);
            let text = |name| Field { required: true, ..field(name, Type::String { values: Vec::new() }) };
            for implied in
                [text("apiVersion"), text("kind"), field("metadata", self.named(0, "ObjectMeta", 1))]
            {
                if fields.iter().all(|field| field.name != implied.name) {
                    fields.push(implied);
                }
            }
            fields.sort_by_key(|field| field.name);
            Object { fields, open: false }
        })
    }

    /// The type that a definition's name stands for. The first table's definitions are shared by all.
    fn named(&self, table: usize, name: &str, depth: usize) -> Type {
        let found = [table, 0].iter().find_map(|table| {
            let (key, definition) = self.definitions.get_key_value(&(*table, name))?;
            Some((key.0, definition))
        });
        let Some((table, definition)) = found.filter(|_| depth < MAX_DEPTH) else { return Type::Any };
        if let Some(object) = definition.object.get() {
            return Type::Object(object);
        }
        // Parsed outside of the cell, which must not be entered again from a definition that uses itself.
        let mut parser = Parser { index: self, table, lines: definition.body.lines().peekable() };
        let object = Object { fields: parser.fields(1, depth), open: definition.open };
        Type::Object(definition.object.get_or_init(|| Box::leak(Box::new(object))))
    }
}

/// Bytes up to the next line that does not start with a space.
fn body_length(text: &str) -> usize {
    let mut length = 0;
    for line in text.split_inclusive('\n') {
        if !line.starts_with(' ') {
            break;
        }
        length += line.len();
    }
    length
}

fn group_name(word: &'static str) -> &'static str {
    if word == "core" { "" } else { word }
}

fn field(name: &'static str, ty: Type) -> Field {
    Field { name, ty, required: false, deprecated: false, size: Bounds::default(), pattern: None }
}

struct Parser<'a> {
    index: &'a Index,
    table: usize,
    lines: Peekable<Lines<'static>>,
}

impl Parser<'_> {
    /// The fields that are `indent` spaces deep, with everything below them.
    fn fields(&mut self, indent: usize, depth: usize) -> Vec<Field> {
        let mut fields = Vec::new();
        while let Some(line) = self.lines.peek() {
            let spaces = line.bytes().take_while(|byte| *byte == b' ').count();
            if spaces < indent {
                break;
            }
            let parsed = parse_line(line);
            self.lines.next();
            let Some(parsed) = parsed.filter(|_| spaces == indent) else { continue };
            let ty = match parsed.base {
                Base::Plain(ty) => ty,
                Base::Named(name) => self.index.named(self.table, name, depth + 1),
                Base::Inline { open } => {
                    let fields = self.fields(indent + 1, depth);
                    // Once per object of a kind that is looked up, and as long-lived as the table.
                    Type::Object(Box::leak(Box::new(Object { fields, open })))
                }
            };
            let ty = parsed.prefix.iter().rev().fold(ty, |ty, wrapper| match wrapper {
                Wrapper::List => Type::List(Box::new(ty)),
                Wrapper::Map => Type::Map(Box::new(ty)),
            });
            fields.push(Field { ty, ..parsed.field });
        }
        // The tables are sorted, but a lookup that trusts that would fail silently.
        fields.sort_by_key(|field| field.name);
        fields
    }
}

/// One line, before its type is put together.
pub(super) struct Line {
    pub(super) field: Field,
    prefix: Vec<Wrapper>,
    pub(super) base: Base,
}

enum Wrapper {
    List,
    Map,
}

/// The type inside the lists and maps of a line.
pub(super) enum Base {
    Plain(Type),
    /// An object whose fields are on the lines below.
    Inline {
        open: bool,
    },
    /// A shared definition.
    Named(&'static str),
}

/// Reads `name!~ type #size /pattern`.
pub(super) fn parse_line(line: &'static str) -> Option<Line> {
    let (rest, pattern) = match line.split_once(" /") {
        Some((rest, pattern)) => (rest, Some(pattern)),
        None => (line, None),
    };
    let mut words = rest.trim_start().split(' ');
    let name = words.next()?;
    let (name, deprecated) = name.strip_suffix('~').map_or((name, false), |name| (name, true));
    let (name, required) = name.strip_suffix('!').map_or((name, false), |name| (name, true));
    let mut ty = words.next()?;
    let size = match words.next() {
        Some(size) => parse_bounds(size.strip_prefix('#')?)?,
        None => Bounds::default(),
    };
    let mut prefix = Vec::new();
    while let Some((wrapper, rest)) = [("[]", Wrapper::List), ("{}", Wrapper::Map)]
        .into_iter()
        .find_map(|(text, wrapper)| Some((wrapper, ty.strip_prefix(text)?)))
    {
        prefix.push(wrapper);
        ty = rest;
    }
    let base = parse_base(ty)?;
    if name.is_empty() || words.next().is_some() {
        return None;
    }
    let field = Field { required, deprecated, size, pattern, ..field(name, Type::Any) };
    Some(Line { field, prefix, base })
}

fn parse_base(text: &'static str) -> Option<Base> {
    let (name, argument) = match text.split_once('(') {
        Some((name, rest)) => (name, Some(rest.strip_suffix(')')?)),
        None => (text, None),
    };
    let bounds = || argument.map_or(Some(Bounds::default()), parse_bounds);
    let integer = |min: Option<i64>, max: Option<i64>| {
        let given = bounds()?;
        Some(Type::Integer { min: given.min.or(min), max: given.max.or(max) })
    };
    let ty = match name {
        "string" => Type::String { values: argument.map_or_else(Vec::new, |list| list.split('|').collect()) },
        "int" => integer(None, None)?,
        "int32" => integer(Some(i32::MIN.into()), Some(i32::MAX.into()))?,
        "uint32" => integer(Some(0), Some(u32::MAX.into()))?,
        "number" => bounds().map(|Bounds { min, max }| Type::Number { min, max })?,
        "bool" => Type::Boolean,
        "int-or-string" => Type::IntOrString,
        "quantity" => Type::Quantity,
        "duration" => Type::Duration,
        "timestamp" => Type::Timestamp,
        "any" => Type::Any,
        "object" => return Some(Base::Inline { open: false }),
        "open" => return Some(Base::Inline { open: true }),
        name if name.starts_with(|first: char| first.is_ascii_uppercase()) => return Some(Base::Named(name)),
        _ => return None,
    };
    Some(Base::Plain(ty))
}

/// Reads `1..5`, `1..` or `..5`.
fn parse_bounds(text: &str) -> Option<Bounds> {
    let (min, max) = text.split_once("..")?;
    let side = |text: &str| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) };
    Some(Bounds { min: side(min)?, max: side(max)? })
}
