//! No text makes the linter panic or hang: truncated, bit-flipped and spliced copies of the shipped manifests go
//! through the whole pipeline and its fixes. The damage is the same in every run.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod support;

use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use coalmine::line_index::{ColumnUnit, LineIndex};
use coalmine::{Files, Report, Safety, Settings, fix, lint};

use self::support::yaml_files;

const CASES: u64 = 500;

/// One case takes milliseconds; a machine may be slow, but not this slow.
const PATIENCE: Duration = Duration::from_secs(120);

/// A small generator of its own, so that the cases do not change with a dependency.
struct Random(u64);

impl Random {
    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}

/// The shipped manifests: path from the root of `manifests`, and text.
fn manifests() -> Vec<(String, String)> {
    let root = support::manifests();
    let mut paths = Vec::new();
    yaml_files(&root, &mut paths);
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
    paths.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

fn damage(text: &str, random: &mut Random) -> String {
    const FRAGMENTS: [&str; 20] = [
        "\t", "\n", "- ", ": ", "{", "}", "[", "]", "\"", "'", "&a ", "*a", "<<: ", "|\n", "---\n", "...\n",
        "#", "\u{feff}", "\u{2028}", "😀",
    ];
    let mut bytes = text.as_bytes().to_vec();
    match random.below(5) {
        0 => bytes.truncate(random.below(bytes.len())),
        1 => {
            for _ in 0..=random.below(8) {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
        }
        2 => {
            for _ in 0..=random.below(3) {
                let at = random.below(bytes.len() + 1);
                let fragment = FRAGMENTS[random.below(FRAGMENTS.len())];
                bytes.splice(at..at, fragment.bytes());
            }
        }
        3 => {
            let start = random.below(bytes.len());
            let end = (start + random.below(60)).min(bytes.len());
            bytes.drain(start..end);
        }
        _ => {
            // A piece of the text comes again elsewhere.
            let start = random.below(bytes.len());
            let piece = bytes[start..(start + random.below(200)).min(bytes.len())].to_vec();
            let at = random.below(bytes.len() + 1);
            bytes.splice(at..at, piece);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Every place of a report must be one of its text, whatever the text is.
fn check_places(files: &Files, report: &Report) {
    for diagnostic in &report.diagnostics {
        let related = diagnostic.related.iter().map(|related| related.span);
        let edits = diagnostic.fix.iter().flat_map(|fix| &fix.edits).map(|edit| edit.span);
        for span in std::iter::once(diagnostic.span).chain(related).chain(edits) {
            let text = files.text(span.file);
            assert!(text.get(span.range()).is_some(), "{}: {span:?} {}", diagnostic.rule, diagnostic.message);
            let index = LineIndex::new(text);
            for unit in [ColumnUnit::Scalars, ColumnUnit::Utf16] {
                let _ = index.line_column(text, span.end, unit);
            }
        }
    }
}

fn run(files: &Files, settings: &Settings) {
    check_places(files, &lint(files, settings));
    for safety in [Safety::Safe, Safety::Unsafe] {
        let fixed = fix::fix(files, settings, safety);
        check_places(&fixed.files, &fixed.report);
    }
}

#[test]
fn damaged_manifests_are_linted_and_fixed_without_panic_or_hang() {
    let manifests = manifests();
    assert!(manifests.len() > 30, "the manifests moved");
    let (started, progress) = mpsc::channel();
    let worker = thread::spawn(move || {
        for seed in 0..CASES {
            let mut random = Random(seed);
            let (name, text) = &manifests[random.below(manifests.len())];
            let text = damage(text, &mut random);
            started.send(format!("seed {seed}, {name}:\n{text}")).unwrap();
            let mut files = Files::new();
            files.add(name.as_str(), text.as_str());
            run(&files, &Settings::default());
            // Now and then with everything around it, where its objects are referred to.
            if seed % 16 == 0 {
                let folder = name.split('/').next().unwrap();
                let mut files = Files::new();
                for (other, whole) in manifests.iter().filter(|(other, _)| other.starts_with(folder)) {
                    files.add(other.as_str(), if other == name { text.as_str() } else { whole });
                }
                check_places(&files, &lint(&files, &Settings::default()));
            }
        }
    });
    let mut current = String::new();
    loop {
        match progress.recv_timeout(PATIENCE) {
            Ok(next) => current = next,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("no end after {PATIENCE:?}: {current}"),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    assert!(worker.join().is_ok(), "a panic in {current}");
}
