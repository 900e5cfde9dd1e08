//! Findings for people: snippets drawn by miette over a line-indexed source of our own, because the stock
//! one rescans the file for every finding.

use std::fmt;
use std::sync::OnceLock;

use coalmine::line_index::{ColumnUnit, LineIndex};
use coalmine::{Diagnostic, Linted, Safety, Severity, Span, Summary, rules};
use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode,
    SourceSpan, SpanContents,
};

/// One file with its line starts.
struct IndexedFile<'f> {
    name: &'f str,
    text: &'f str,
    index: OnceLock<LineIndex>,
}

impl IndexedFile<'_> {
    /// Made when a snippet of the file is drawn; most files of a run have none.
    fn index(&self) -> &LineIndex {
        self.index.get_or_init(|| LineIndex::new(self.text))
    }
}

impl SourceCode for IndexedFile<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        context_before: usize,
        context_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let offset = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        if context_before == 0 && context_after == 0 {
            // The heading asks for the place itself.
            let at = self.index().line_column(self.text, offset(span.offset()), ColumnUnit::Scalars);
            let data = self.text.as_bytes().get(span.offset()..span.offset() + span.len());
            return Ok(Box::new(MietteSpanContents::new_named(
                self.name.to_owned(),
                data.ok_or(MietteError::OutOfBounds)?,
                *span,
                at.line as usize,
                at.column as usize,
                1,
            )));
        }
        let first = self.index().line(offset(span.offset())).saturating_sub(offset(context_before));
        let last =
            self.index().line(offset(span.offset() + span.len())).saturating_add(offset(context_after));
        let start = self.index().line_start(first) as usize;
        let end = if last + 1 < self.index().lines() {
            self.index().line_start(last + 1) as usize
        } else {
            self.text.len()
        };
        let data = self.text.as_bytes().get(start..end).ok_or(MietteError::OutOfBounds)?;
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.to_owned(),
            data,
            (start, end - start).into(),
            first as usize,
            0,
            (last - first + 1) as usize,
        )))
    }
}

/// One snippet: a finding, or the related places in another file.
struct Snippet<'f> {
    severity: Severity,
    rule: Option<&'static str>,
    /// Whether the rule's name links to its page.
    link: bool,
    message: String,
    help: Option<String>,
    source: &'f IndexedFile<'f>,
    labels: Vec<LabeledSpan>,
}

impl fmt::Debug for Snippet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Display for Snippet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Snippet<'_> {}

impl miette::Diagnostic for Snippet<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.rule.map(|rule| Box::new(rule) as Box<dyn fmt::Display>)
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
            Severity::Info => miette::Severity::Advice,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn url<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.rule
            .filter(|_| self.link)
            .and_then(rules::find)
            .map(|rule| Box::new(rule.url()) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
}

/// Renders every finding and a closing line.
pub(crate) fn render(batch: &[Linted], color: bool) -> String {
    let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(super::width())
        .with_links(color)
        .with_context_lines(1);
    let mut out = String::new();
    for linted in batch {
        let sources: Vec<IndexedFile<'_>> = linted
            .files
            .iter()
            .map(|(_, file)| IndexedFile { name: file.name(), text: file.text(), index: OnceLock::new() })
            .collect();
        for diagnostic in &linted.report.diagnostics {
            for snippet in snippets(diagnostic, &sources, color) {
                // Writing to a String cannot fail.
                let _ = handler.render_report(&mut out, &snippet);
            }
            out.push('\n');
        }
    }
    out.push_str(&closing(batch));
    out
}

/// The finding, then one snippet for each other file with related places.
fn snippets<'f>(diagnostic: &Diagnostic, sources: &'f [IndexedFile<'f>], link: bool) -> Vec<Snippet<'f>> {
    let label =
        |text: Option<String>, span: Span| LabeledSpan::new(text, span.range().start, span.range().len());
    let Some(source) = sources.get(diagnostic.span.file.index()) else { return Vec::new() };
    let mut help = diagnostic.help.clone().unwrap_or_default();
    if let Some(fix) = &diagnostic.fix {
        let how = match fix.safety {
            Safety::Safe => "--fix",
            Safety::Unsafe => "--fix --unsafe-fixes",
        };
        let gap = if help.is_empty() { "" } else { "\n" };
        help.push_str(&format!("{gap}`{how}` would {}", fix.title));
    }
    let mut snippets = vec![Snippet {
        severity: diagnostic.severity,
        rule: Some(diagnostic.rule),
        link,
        message: diagnostic.message.clone(),
        help: (!help.is_empty()).then_some(help),
        source,
        // The heading names the place of the primary label, else of whichever stands first in the file.
        labels: vec![LabeledSpan::new_primary_with_span(None, diagnostic.span.range())],
    }];
    for place in &diagnostic.related {
        let Some(source) = sources.get(place.span.file.index()) else { continue };
        let label = label(Some(place.message.clone()), place.span);
        match snippets.iter_mut().find(|snippet| std::ptr::eq(snippet.source, source)) {
            Some(snippet) => snippet.labels.push(label),
            None => snippets.push(Snippet {
                severity: Severity::Info,
                rule: None,
                link,
                message: format!("see also {}", source.name),
                help: None,
                source,
                labels: vec![label],
            }),
        }
    }
    snippets
}

fn closing(batch: &[Linted]) -> String {
    let summary = Summary::of(batch);
    let count = |n: usize, one: &str| {
        if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
    };
    let mut found = Vec::new();
    for (n, name) in [(summary.errors, "error"), (summary.warnings, "warning"), (summary.infos, "info")] {
        if n > 0 {
            found.push(count(n, name));
        }
    }
    let found = if found.is_empty() { "No findings".to_owned() } else { found.join(", ") };
    let suppressed = match summary.suppressed {
        0 => String::new(),
        n => format!(", {n} suppressed"),
    };
    let baselined = match summary.baselined {
        None | Some(0) => String::new(),
        Some(n) => format!(", {n} in the baseline"),
    };
    let (documents, files) = (count(summary.documents, "document"), count(summary.files, "file"));
    format!("{found} in {documents} of {files}{suppressed}{baselined}\n")
}
