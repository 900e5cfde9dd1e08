//! Compares every object of the input with the field tables of [`crate::schema`] and with what Istio's
//! webhook asks for on top. The rules `wrong-type`, `unknown-field` and `missing-field` report what is
//! collected here, in one walk; nothing here knows how objects relate, except delegates to their roots.

mod header;
mod patches;
mod scalar;
mod webhook;

use std::fmt::Write as _;
use std::ops::Range;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::diagnostic::{Diagnostic, Fix, Safety};
use crate::files::Files;
use crate::resource::Resource;
use crate::rule::InputContext;
use crate::schema::{self, Field, Lookup, Object, Type};
use crate::span::Span;
use crate::yaml::{Document, NodeId, NodeRef};

static STRING: Type = Type::String { values: Vec::new() };

/// Which rule reports a problem.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Kind {
    /// `wrong-type`: the value does not fit the field.
    WrongType,
    /// `unknown-field`: there is no such field, kind or version.
    UnknownField,
    /// `missing-field`: the object is refused without it.
    MissingField,
}

/// One problem of one object's shape.
#[derive(Debug)]
pub(crate) struct Problem {
    kind: Kind,
    /// The object in the list of resources.
    resource: Option<usize>,
    span: Span,
    message: String,
    help: Option<String>,
    related: Option<(Span, &'static str)>,
    fix: Option<Fix>,
    is_warning: bool,
}

/// Reports what the walk found for one rule.
pub(crate) fn report(ctx: &mut InputContext<'_>, kind: Kind) {
    let resources = ctx.resources;
    for problem in ctx.shape().iter().filter(|problem| problem.kind == kind) {
        let resource = problem.resource.and_then(|index| resources.get(index));
        let diagnostic: &mut Diagnostic = ctx.report(resource, problem.span, problem.message.clone());
        diagnostic.help.clone_from(&problem.help);
        diagnostic.fix.clone_from(&problem.fix);
        if let Some((span, message)) = problem.related {
            diagnostic.related(span, message);
        }
        if problem.is_warning {
            diagnostic.severity(crate::Severity::Warning);
        }
    }
}

/// What the judgement of one file depends on in the others.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Surroundings {
    patches: FxHashSet<String>,
    delegates: webhook::Delegates,
}

impl Surroundings {
    pub(crate) fn new(files: &Files, documents: &[Document], resources: &[Resource]) -> Self {
        Self {
            patches: patches::patch_files(files, documents),
            delegates: webhook::Delegates::new(resources),
        }
    }
}

/// Every problem of every object, in the order of the text of each. `resources` are those of the documents in
/// `judged`.
pub(crate) fn problems(
    files: &Files,
    documents: &[Document],
    judged: Range<usize>,
    resources: &[Resource],
    surroundings: &Surroundings,
) -> Vec<Problem> {
    let Surroundings { patches, delegates } = surroundings;
    let mut by_document: FxHashMap<usize, Vec<usize>> = FxHashMap::default();
    for (index, resource) in resources.iter().enumerate() {
        by_document.entry(resource.document).or_default().push(index);
    }
    let mut found = Vec::new();
    for index in judged {
        let Some(document) = documents.get(index) else { continue };
        let Some(root) = document.root() else { continue };
        // Aliases stay inside their document, so what was reported is remembered no longer.
        let mut walker = Walker::new(&mut found);
        walker.is_patch =
            !patches.is_empty() && patches.contains(&patches::clean(files.name(document.file())));
        for at in by_document.get(&index).map_or(&[][..], Vec::as_slice) {
            if let (Some(resource), Some(position)) = (resources.get(*at), Some(*at))
                && let Some(node) = document.node(resource.root)
            {
                walker.resource = Some(position);
                walker.release = schema::release(&resource.api_version.value);
                walker.is_crd =
                    resource.group().contains("istio.io") || resource.group().contains("gateway.");
                walker.resource(resource, node);
                webhook::check(&mut walker, resource, node, delegates);
            }
        }
        walker.resource = None;
        walker.headless(root, 0);
    }
    found
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Key(NodeRef<'a>),
    Index(usize),
}

struct Walker<'a, 'f> {
    found: &'f mut Vec<Problem>,
    resource: Option<usize>,
    /// What the tables describe, for messages about what is not in them.
    release: Option<&'static str>,
    /// Custom resources are compared with their schema by the letter; Kubernetes' own kinds take `""` as unset.
    is_crd: bool,
    /// The file holds patches: what is missing is in the object that is patched.
    is_patch: bool,
    path: Vec<Step<'a>>,
    /// The objects around the current one, with the length of their paths.
    parents: Vec<(&'static Object, usize)>,
    /// The alias or merge that led here: what stands elsewhere is reported at it, unless it is already.
    via: Option<Span>,
    reported: FxHashSet<(Kind, Span)>,
    /// Required fields that an unknown one stands for, by mapping.
    misspelt: FxHashSet<(NodeId, &'static str)>,
}

impl<'a, 'f> Walker<'a, 'f> {
    fn new(found: &'f mut Vec<Problem>) -> Self {
        Self {
            found,
            resource: None,
            release: None,
            is_crd: false,
            is_patch: false,
            path: Vec::new(),
            parents: Vec::new(),
            via: None,
            reported: FxHashSet::default(),
            misspelt: FxHashSet::default(),
        }
    }

    /// Adds a problem at a place of the text, or at the alias that stands for it.
    fn report(&mut self, kind: Kind, span: Span, message: String) -> Option<&mut Problem> {
        let alias = self.via.filter(|via| *via != span);
        if kind == Kind::MissingField && self.is_patch {
            return None;
        }
        if alias.is_some() && self.reported.contains(&(kind, span)) {
            return None;
        }
        let at = alias.unwrap_or(span);
        self.reported.insert((kind, at));
        Some(self.found.push_mut(Problem {
            kind,
            resource: self.resource,
            span: at,
            message,
            help: None,
            related: alias.map(|_| (span, "it is written here")),
            fix: None,
            is_warning: false,
        }))
    }

    fn resource(&mut self, resource: &Resource, node: NodeRef<'a>) {
        let api_version = resource.api_version.value.as_str();
        let kind = resource.kind.value.as_str();
        match schema::lookup(api_version, kind) {
            Lookup::Known(object) => {
                self.object(object, node, resource.kind.span);
                if !kind.ends_with("List") {
                    self.name(resource, node);
                }
                return;
            }
            Lookup::UnknownVersion { served } => self.unknown_version(resource, &served),
            Lookup::UnknownKind => self.unknown_kind(resource, node),
            Lookup::Foreign => {
                let is_istio =
                    resource.group().ends_with("istio.io") && resource.group() != "install.istio.io";
                if is_istio {
                    self.name(resource, node);
                }
            }
        }
        self.labels(node);
    }

    /// Compares a value with the type of its field. `owner` is where a missing part of it is reported.
    fn value(&mut self, ty: &'static Type, name: &str, owner: Span, node: NodeRef<'a>) {
        // In JSON, null means that the field is absent.
        if node.is_null() {
            return;
        }
        let outer = self.via;
        if node.is_alias() && outer.is_none() {
            self.via = Some(node.span());
        }
        match ty {
            Type::Any => {}
            Type::Object(object) if node.is_mapping() => self.object(object, node, owner),
            Type::Map(inner) if node.is_mapping() => {
                for (key, value) in node.entries() {
                    let merged = self.enter_merge(node, key);
                    self.path.push(Step::Key(key));
                    self.value(inner, name, key.span(), value);
                    self.path.pop();
                    self.via = merged;
                }
            }
            Type::List(inner) if node.is_sequence() => {
                for (index, item) in node.items().enumerate() {
                    self.path.push(Step::Index(index));
                    self.value(inner, name, first_key(item), item);
                    self.path.pop();
                }
            }
            _ => self.scalar(ty, name, owner, node),
        }
        self.via = outer;
    }

    /// Makes `via` the merge if an entry comes from one; returns what it was.
    fn enter_merge(&mut self, node: NodeRef<'a>, key: NodeRef<'a>) -> Option<Span> {
        let outer = self.via;
        if outer.is_none() && !node.is_alias() && !node.span().contains(key.span()) {
            let merge = node.written_entries().into_iter().find(|(key, _)| key.text() == Some("<<"));
            self.via = merge.map(|(_, value)| value.span());
        }
        outer
    }

    fn object(&mut self, object: &'static Object, node: NodeRef<'a>, owner: Span) {
        self.parents.push((object, self.path.len()));
        for (key, value) in node.entries() {
            let merged = self.enter_merge(node, key);
            let name = key.key();
            match object.field(&name) {
                Some(field) => {
                    self.path.push(Step::Key(key));
                    self.value(&field.ty, field.name, key.span(), value);
                    self.path.pop();
                }
                // `$patch` and its like are directives of patches.
                None if object.open || name.starts_with('$') => {}
                None => self.unknown(object, node, key),
            }
            self.via = merged;
        }
        for field in object.fields.iter().filter(|field| field.required) {
            self.required(field, node, owner);
        }
        self.parents.pop();
    }

    fn required(&mut self, field: &'static Field, node: NodeRef<'a>, owner: Span) {
        let value = node.get(field.name);
        let is_empty = field.size.min.is_some_and(|min| min > 0)
            && value.is_some_and(|value| value.is_sequence() && value.items().next().is_none());
        if value.is_none() || is_empty {
            self.missing(node, field.name, owner, None);
        }
    }

    /// Reports a field that is not there, or a list that is empty and must not be.
    fn missing(&mut self, node: NodeRef<'a>, name: &'static str, owner: Span, help: Option<String>) {
        if self.misspelt.contains(&(node.id(), name)) {
            return;
        }
        let written = node.entry(name).filter(|(_, value)| !value.is_null());
        let (span, what) = match written {
            Some((key, _)) => (key.span(), "is empty"),
            None => (owner, "is missing"),
        };
        let mut path = self.path();
        push_key(&mut path, name);
        if let Some(problem) = self.report(Kind::MissingField, span, format!("`{path}` {what}")) {
            problem.help = help;
        }
    }

    fn unknown(&mut self, object: &'static Object, node: NodeRef<'a>, key: NodeRef<'a>) {
        let name = key.key();
        let near = object.suggest(&name).and_then(|near| object.field(near));
        let is_slip = near.is_some_and(|near| is_same_but_for_case(&name, near.name));
        let elsewhere = (!is_slip).then(|| self.elsewhere(object, &name)).flatten();
        let place = match self.path() {
            path if path.is_empty() => "the object".to_owned(),
            path => format!("`{path}`"),
        };
        let release = self.release.map(|release| format!(" in {release}")).unwrap_or_default();
        let message = format!("`{name}` is not a field of {place}{release}");
        if let Some(near) = near.filter(|_| elsewhere.is_none()) {
            self.misspelt.insert((node.id(), near.name));
        }
        let help = elsewhere.clone().or_else(|| near.map(|near| format!("did you mean `{}`?", near.name)));
        // A second field of that name would be worse than none.
        let free = near.filter(|near| elsewhere.is_none() && node.entry(near.name).is_none());
        let plain = key.text().filter(|text| *text == name && !key.is_alias());
        let fix = free.and_then(|near| Some(rename(scalar::text_span(key), plain?, near.name)));
        let in_place = self.via.is_none();
        if let Some(problem) = self.report(Kind::UnknownField, key.span(), message) {
            problem.help = help;
            problem.fix = fix.filter(|_| in_place);
        }
    }

    /// Where a field of this name belongs, if only its level is wrong.
    fn elsewhere(&self, object: &'static Object, name: &str) -> Option<String> {
        let below = object.fields.iter().find(|field| {
            matches!(&field.ty, Type::Object(inner) if inner.field(name).is_some() && field.name != "metadata")
        });
        if let Some(field) = below {
            return Some(format!("it belongs one level deeper, in `{}`", field.name));
        }
        let (_, length) =
            self.parents.iter().rev().skip(1).find(|(parent, _)| parent.field(name).is_some())?;
        match self.path_of(*length) {
            path if path.is_empty() => Some("it belongs to the object itself".to_owned()),
            path => Some(format!("it belongs to `{path}`; mind the indentation")),
        }
    }

    /// `spec.http[0].route`.
    fn path(&self) -> String {
        self.path_of(self.path.len())
    }

    fn path_of(&self, length: usize) -> String {
        let mut out = String::new();
        for step in self.path.iter().take(length) {
            match step {
                Step::Key(key) => push_key(&mut out, &key.key()),
                Step::Index(index) => {
                    // Writing to a string cannot fail.
                    let _ = write!(out, "[{index}]");
                }
            }
        }
        out
    }
}

fn push_key(path: &mut String, key: &str) {
    if key.contains(['.', '/', ' ', '[']) {
        let _ = write!(path, "[{key}]");
    } else {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
    }
}

/// The place of a list item without a key of its own: its first key, or all of it.
fn first_key(item: NodeRef<'_>) -> Span {
    let first = item.entries().first().map(|(key, _)| key.span());
    first.filter(|_| !item.is_alias()).unwrap_or(item.span())
}

fn plain(name: &str) -> String {
    name.replace(['_', '-'], "").to_lowercase()
}

/// `source_labels` and `sourcelabels` can only mean `sourceLabels`.
fn is_same_but_for_case(name: &str, other: &str) -> bool {
    plain(name) == plain(other)
}

fn rename(span: Span, from: &str, to: &str) -> Fix {
    let safety = if is_same_but_for_case(from, to) { Safety::Safe } else { Safety::Unsafe };
    Fix::replace(safety, format!("use `{to}`"), span, to)
}
