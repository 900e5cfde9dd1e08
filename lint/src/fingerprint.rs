//! What stays of a finding when lines move and messages are reworded: the text of its line and the object it
//! is in. Baselines and the formats that follow a finding over time are built on it.

use rustc_hash::FxHashMap;
use sha2::{Digest as _, Sha256};

use crate::diagnostic::Diagnostic;
use crate::files::Files;

/// A hash of a finding's context: 16 hexadecimal digits. The rule and the file are not in it.
#[must_use]
pub(crate) fn context(files: &Files, diagnostic: &Diagnostic) -> String {
    let text = files.text(diagnostic.span.file);
    let start = diagnostic.span.start as usize;
    let before = text.get(..start).unwrap_or(text);
    let after = text.get(start..).unwrap_or("");
    let line_start = before.rsplit('\n').next().unwrap_or("");
    let line_end = after.split('\n').next().unwrap_or("");
    let line = format!("{line_start}{line_end}");
    // The namespace is left out: it depends on the settings when the object names none.
    let (kind, name) = diagnostic.resource.as_ref().map_or(("", ""), |r| (r.kind.as_str(), r.name.as_str()));
    hash(&[kind, name, line.trim()], 8)
}

/// The first `bytes` bytes of a hash over parts, in hexadecimal.
pub(crate) fn hash(parts: &[&str], bytes: usize) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hasher.finalize().iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}

/// Numbers findings that nothing but their order tells apart: the same rule, file and context.
#[derive(Default)]
pub(crate) struct Occurrences {
    seen: FxHashMap<(&'static str, String, String), u32>,
}

impl Occurrences {
    /// 1 for the first finding of its kind, 2 for the second.
    pub(crate) fn next(&mut self, rule: &'static str, file: &str, context: &str) -> u32 {
        let seen = self.seen.entry((rule, file.to_owned(), context.to_owned())).or_default();
        *seen += 1;
        *seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Settings, lint};

    fn contexts(text: &str) -> Vec<String> {
        let mut files = Files::new();
        files.add("a.yaml", text);
        let report = lint(&files, &Settings::default());
        report.diagnostics.iter().map(|diagnostic| context(&files, diagnostic)).collect()
    }

    #[test]
    fn moved_and_reindented_lines_keep_their_fingerprint_and_changed_ones_do_not() {
        let before = contexts("a: 1\na: 2\nb:\n  c: 1\n  c: 2\n");
        assert_eq!(before.len(), 2);
        assert_eq!(contexts("# more\n\na: 1\na: 2\nb:\n    c: 1\n    c: 2\n"), before);
        let changed = contexts("a: 1\na: 3\nb:\n  c: 1\n  c: 2\n");
        assert_ne!(changed[0], before[0]);
        assert_eq!(changed[1], before[1]);
    }
}
