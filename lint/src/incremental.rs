//! A deployment that is linted again after every edit: what was read from the other files, and what the rules
//! about single files found in them, is kept. The findings are those of [`lint`](crate::lint).

use crate::diagnostic::Diagnostic;
use crate::files::Files;
use crate::linter::{Input, judge, judge_file};
use crate::report::Report;
use crate::settings::Settings;
use crate::shape::Surroundings;
use crate::span::FileId;

/// Files that are linted as one deployment, read.
#[derive(Debug)]
pub struct Incremental {
    files: Files,
    settings: Settings,
    input: Input,
    surroundings: Surroundings,
    /// By file; `None` where it must be found anew.
    found: Vec<Option<Vec<Diagnostic>>>,
}

impl Incremental {
    /// Reads the files.
    #[must_use]
    pub fn new(files: Files, settings: Settings) -> Self {
        let input = Input::read(&files, &settings);
        let surroundings = input.surroundings(&files);
        let found = files.iter().map(|_| None).collect();
        Self { files, settings, input, surroundings, found }
    }

    /// Replaces the text of a file. An id of another set changes nothing.
    pub fn replace(&mut self, id: FileId, text: impl Into<std::sync::Arc<str>>) {
        let Some(found) = self.found.get_mut(id.index()) else { return };
        *found = None;
        self.files.replace(id, text);
        self.input.read_again(&self.files, &self.settings, id);
        let surroundings = self.input.surroundings(&self.files);
        if surroundings != self.surroundings {
            self.surroundings = surroundings;
            self.found.fill(None);
        }
    }

    /// The report on the present texts.
    #[must_use]
    pub fn lint(&mut self) -> Report {
        self.lint_unless(&|| false).unwrap_or_default()
    }

    /// The report on the present texts; `None` when it was interrupted, which is asked every few milliseconds at
    /// most. What was found until then is kept.
    #[must_use]
    pub fn lint_unless(&mut self, interrupted: &dyn Fn() -> bool) -> Option<Report> {
        let mut all = Vec::new();
        for ((id, _), kept) in self.files.iter().zip(&mut self.found) {
            let found = match kept {
                Some(found) => found,
                None if interrupted() => return None,
                None => {
                    kept.insert(judge_file(&self.files, &self.settings, &self.input, &self.surroundings, id))
                }
            };
            all.extend_from_slice(found);
        }
        judge(&self.files, &self.settings, &self.input, all, interrupted)
    }

    /// The texts.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// What was read from them.
    #[must_use]
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// What the run was told.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}
