//! The texts to lint. A shell (CLI, language server, browser) reads them; the library is given them.

use std::sync::Arc;

use crate::span::{FileId, Span, Spanned};

/// One text with the name that findings give for it.
#[derive(Clone, Debug)]
pub struct File {
    name: Arc<str>,
    text: Arc<str>,
    context: bool,
}

impl File {
    /// The name: usually a path with `/` separators, as the user wrote it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn shared_text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }
}

/// An ordered set of texts. Order matters only where Kubernetes gives it a meaning.
#[derive(Clone, Debug, Default)]
pub struct Files {
    files: Vec<File>,
}

impl Files {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text and returns the id that spans in it carry.
    pub fn add(&mut self, name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> FileId {
        self.push(File { name: name.into(), text: text.into(), context: false })
    }

    /// Adds a text that the others may refer to and that is not itself to be judged: findings whose
    /// first place is in it are left out.
    pub fn add_context(&mut self, name: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> FileId {
        self.push(File { name: name.into(), text: text.into(), context: true })
    }

    fn push(&mut self, file: File) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(file);
        id
    }

    /// Whether a file was added with [`Files::add_context`].
    #[must_use]
    pub fn is_context(&self, id: FileId) -> bool {
        self.get(id).is_some_and(|file| file.context)
    }

    /// Replaces the text of a file.
    pub fn replace(&mut self, id: FileId, text: impl Into<Arc<str>>) {
        if let Some(file) = self.files.get_mut(id.0 as usize) {
            file.text = text.into();
        }
    }

    /// The file behind an id of this set.
    #[must_use]
    pub fn get(&self, id: FileId) -> Option<&File> {
        self.files.get(id.0 as usize)
    }

    /// The text behind an id; empty for an id of another set.
    #[must_use]
    pub fn text(&self, id: FileId) -> &str {
        self.get(id).map_or("", File::text)
    }

    /// Where the characters of a scalar stand, without its quotes, if it is written as it reads: no escape,
    /// no folding, no alias.
    #[must_use]
    pub fn verbatim(&self, scalar: &Spanned<String>) -> Option<Span> {
        let span = scalar.span;
        let written = self.text(span.file).get(span.range())?;
        if written == scalar.value {
            return Some(span);
        }
        let quote = written.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let inside = written.strip_prefix(quote)?.strip_suffix(quote)?;
        (inside == scalar.value).then(|| Span::new(span.file, span.start + 1, span.end - 1))
    }

    /// The first key of a block of several lines, to stand for all of it; a place of one line stays as it is.
    #[must_use]
    pub fn head(&self, span: Span) -> Span {
        let text = self.text(span.file).get(span.range()).unwrap_or("");
        let Some((first, _)) = text.split_once('\n') else { return span };
        let key = first.split(": ").next().unwrap_or(first).trim_end().trim_end_matches(':');
        let end = u32::try_from(key.len()).ok().and_then(|len| span.start.checked_add(len));
        Span::new(span.file, span.start, end.unwrap_or(span.end))
    }

    /// The place of a part of a scalar, byte offset and length in its value; the whole scalar where
    /// [`Files::verbatim`] knows none.
    #[must_use]
    pub fn part(&self, scalar: &Spanned<String>, offset: usize, len: usize) -> Span {
        let place = || {
            let inside = self.verbatim(scalar)?;
            let start = inside.start.checked_add(u32::try_from(offset).ok()?)?;
            let end = start.checked_add(u32::try_from(len.max(1)).ok()?)?;
            let part = Span::new(inside.file, start, end.min(inside.end));
            (start < inside.end).then_some(part)
        };
        place().unwrap_or(scalar.span)
    }

    /// The name behind an id; empty for an id of another set.
    #[must_use]
    pub fn name(&self, id: FileId) -> &str {
        self.get(id).map_or("", File::name)
    }

    /// All files with their ids, in order.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &File)> {
        self.files.iter().enumerate().map(|(i, file)| (FileId(u32::try_from(i).unwrap_or(u32::MAX)), file))
    }

    /// How many files there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}
