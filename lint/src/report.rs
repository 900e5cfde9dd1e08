//! The result of a run.

use crate::diagnostic::{Diagnostic, Severity};

/// The findings of a run and what it looked at.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Findings by file, place and rule; each once.
    pub diagnostics: Vec<Diagnostic>,
    /// Files read, without those that were only context.
    pub files: usize,
    /// YAML documents that hold an object.
    pub documents: usize,
    /// Findings that a suppression hid.
    pub suppressed: usize,
}

impl Report {
    /// How many findings have a severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }

    /// The worst severity found.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.diagnostics.iter().map(|diagnostic| diagnostic.severity).max()
    }
}
