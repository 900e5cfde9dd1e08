//! What a rule found: a plain value that every front end renders in its own way.

use crate::span::Span;

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Likely a mistake, or harmless only by luck.
    Warning,
    /// Requests fail, go to the wrong place, or the object is refused.
    Error,
}

impl Severity {
    /// `info`, `warning` or `error`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// The object a finding belongs to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ResourceName {
    /// `VirtualService`.
    pub kind: String,
    /// The effective namespace; `None` for cluster-scoped kinds.
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
}

/// A second place that matters for a finding.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Related {
    /// Where.
    pub span: Span,
    /// What stands there.
    pub message: String,
}

/// Whether a fix can be applied without a second look.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Safety {
    /// The meaning is what the author evidently wanted; nothing that works changes.
    Safe,
    /// A guess, or a change to what runs.
    Unsafe,
}

impl Safety {
    /// `safe` or `unsafe`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Safety::Safe => "safe",
            Safety::Unsafe => "unsafe",
        }
    }
}

/// Replaces the bytes of a span.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Edit {
    /// What is replaced; empty for an insertion.
    pub span: Span,
    /// The new text.
    pub text: String,
}

/// A repair of one finding.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Fix {
    /// What it does, in the imperative: ``use `v1` ``.
    pub title: String,
    /// Whether it needs a second look.
    pub safety: Safety,
    /// Non-overlapping replacements, all applied or none.
    pub edits: Vec<Edit>,
}

impl Fix {
    /// A fix of one replacement.
    #[must_use]
    pub fn replace(safety: Safety, title: impl Into<String>, span: Span, text: impl Into<String>) -> Self {
        Self { title: title.into(), safety, edits: vec![Edit { span, text: text.into() }] }
    }
}

/// One finding.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Diagnostic {
    /// The rule's id.
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The place to look at first.
    pub span: Span,
    /// The object it belongs to.
    pub resource: Option<ResourceName>,
    /// Other places that matter.
    pub related: Vec<Related>,
    /// A repair, when there is one.
    pub fix: Option<Fix>,
}

impl Diagnostic {
    /// Says what to do.
    pub fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    /// Points at a second place.
    pub fn related(&mut self, span: Span, message: impl Into<String>) -> &mut Self {
        self.related.push(Related { span, message: message.into() });
        self
    }

    /// Offers a repair.
    pub fn fix(&mut self, fix: Fix) -> &mut Self {
        self.fix = Some(fix);
        self
    }

    /// Lowers or raises the severity the rule declares, where one rule covers two grades.
    pub fn severity(&mut self, severity: Severity) -> &mut Self {
        self.severity = severity;
        self
    }
}
