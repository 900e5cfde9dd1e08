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
    /// Findings that a baseline hid; `None` when there was none.
    pub baselined: Option<usize>,
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

/// One deployment with its findings: what the renderers take.
#[derive(Clone, Debug)]
pub struct Linted {
    /// The texts.
    pub files: crate::Files,
    /// The findings in them.
    pub report: Report,
}

/// Findings over all deployments of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Files read.
    pub files: usize,
    /// YAML documents that hold an object.
    pub documents: usize,
    /// Findings of severity error.
    pub errors: usize,
    /// Findings of severity warning.
    pub warnings: usize,
    /// Findings of severity info.
    pub infos: usize,
    /// Findings that a suppression hid.
    pub suppressed: usize,
    /// Findings that a baseline hid; `None` when there was none.
    pub baselined: Option<usize>,
}

impl Summary {
    /// Adds up the reports of a run.
    #[must_use]
    pub fn of(batch: &[Linted]) -> Self {
        batch.iter().fold(Self::default(), |sum, Linted { report, .. }| Self {
            files: sum.files + report.files,
            documents: sum.documents + report.documents,
            errors: sum.errors + report.count(Severity::Error),
            warnings: sum.warnings + report.count(Severity::Warning),
            infos: sum.infos + report.count(Severity::Info),
            suppressed: sum.suppressed + report.suppressed,
            baselined: report.baselined.map(|n| n + sum.baselined.unwrap_or(0)).or(sum.baselined),
        })
    }
}
