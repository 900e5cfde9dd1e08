//! Linting after an edit finds what linting from scratch finds. The edits are the same in every run.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

mod support;

use coalmine::{Files, Incremental, Settings, lint};

use self::support::{manifests, yaml_files};

/// Edits of the long run.
const EDITS: usize = 100;

/// SplitMix64: the edits do not change with a dependency.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((value ^ (value >> 31)) % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}

/// What files depend on in each other, beside the mesh: patches of a kustomization, and delegates.
const KUSTOMIZATION: &str = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n\
                             patches:\n- path: patch.yaml\n";
const PATCH: &str = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gw}\nspec: {}\n";
const ROOT: &str = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: root}\n\
                    spec:\n  hosts: [a.com]\n  http:\n  - delegate: {name: leaf}\n";
const LEAF: &str = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: leaf}\n\
                    spec:\n  http:\n  - route: [{destination: {host: b}}]\n";

fn texts(rollout: bool) -> (Files, Settings) {
    let root = manifests().join("voting");
    let mut paths = Vec::new();
    yaml_files(&root, &mut paths);
    let mut files = Files::new();
    for path in paths {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
        files.add(name, std::fs::read_to_string(&path).unwrap());
    }
    for (name, text) in [
        ("kustomization.yaml", KUSTOMIZATION),
        ("patch.yaml", PATCH),
        ("root.yaml", ROOT),
        ("leaf.yaml", LEAF),
    ] {
        files.add(name, text);
    }
    let settings = if rollout {
        Settings::parse("rollout: [1-deploy, 2-update, 3-canary]\nassume: closed\n", "").unwrap()
    } else {
        Settings::default()
    };
    (files, settings)
}

/// Deletes, repeats, changes or moves a few lines, or whole documents.
fn edit(files: &Files, text: &str, random: &mut Random) -> String {
    const FRAGMENTS: [&str; 9] = [
        "---",
        "  - a",
        "x: [",
        "spec:",
        "  namespace: voting",
        "# coalmine: ignore[unknown-subset] why not",
        "kind: Service",
        "é: \"𝄞\"",
        "\t",
    ];
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = random.below(lines.len() + 1);
    match random.below(8) {
        0 if at < lines.len() => {
            lines.remove(at);
        }
        1 => lines.insert(at, FRAGMENTS[random.below(FRAGMENTS.len())].to_owned()),
        2 if at < lines.len() => lines[at].push_str(FRAGMENTS[random.below(FRAGMENTS.len())]),
        3 if at < lines.len() => {
            let line = lines[at].clone();
            lines.insert(at, line);
        }
        4 => return String::new(),
        5 => {
            let other = files.iter().nth(random.below(files.len())).unwrap().1.text();
            return format!("{text}\n---\n{other}");
        }
        _ => {
            if let Some(line) = lines.get_mut(at) {
                *line = line.replace("v1", "v2").replace("8080", "80").replace("voting", "canary");
            }
        }
    }
    lines.join("\n") + "\n"
}

/// How many findings there are, which must be those of a fresh run.
#[track_caller]
fn assert_same(incremental: &mut Incremental, files: &Files, settings: &Settings, what: &str) -> usize {
    let (kept, scratch) = (incremental.lint(), lint(files, settings));
    assert_eq!(kept.diagnostics, scratch.diagnostics, "{what}");
    assert_eq!(
        (kept.files, kept.documents, kept.suppressed),
        (scratch.files, scratch.documents, scratch.suppressed),
        "{what}"
    );
    kept.diagnostics.len()
}

#[test]
fn any_sequence_of_edits_ends_in_the_findings_of_a_fresh_run() {
    for (seed, rollout) in [(1, false), (2, true)] {
        let (mut files, settings) = texts(rollout);
        let originals = files.clone();
        let mut incremental = Incremental::new(files.clone(), settings.clone());
        let mut random = Random(seed);
        let mut differing = 0;
        let mut before = lint(&files, &settings).diagnostics.len();
        for number in 0..EDITS {
            let (id, file) = files.iter().nth(random.below(files.len())).unwrap();
            // Texts must not drift away from what makes sense.
            let start = if random.below(3) == 0 { originals.text(id) } else { file.text() };
            let text = edit(&originals, start, &mut random);
            let what = format!("seed {seed}, edit {number} of {}:\n{text}", file.name());
            incremental.replace(id, text.clone());
            files.replace(id, text);
            let now = assert_same(&mut incremental, &files, &settings, &what);
            differing += usize::from(now != before);
            before = now;
        }
        assert!(differing > EDITS / 4, "only {differing} of {EDITS} edits changed the number of findings");
    }
}

#[test]
fn an_edit_is_noticed_in_the_other_files_that_it_matters_to() {
    let (mut files, settings) = texts(false);
    let mut incremental = Incremental::new(files.clone(), settings.clone());
    let id_of = |files: &Files, name: &str| files.iter().find(|(_, file)| file.name() == name).unwrap().0;
    let findings = |incremental: &mut Incremental, name: &str| {
        let id = id_of(incremental.files(), name);
        incremental.lint().diagnostics.iter().filter(|found| found.span.file == id).count()
    };
    for (edited, text, other) in [
        ("kustomization.yaml", KUSTOMIZATION.replace("patch.yaml", "none.yaml"), "patch.yaml"),
        ("root.yaml", ROOT.replace("leaf", "other"), "leaf.yaml"),
    ] {
        let before = findings(&mut incremental, other);
        let id = id_of(&files, edited);
        incremental.replace(id, text.clone());
        files.replace(id, text);
        assert!(findings(&mut incremental, other) > before, "{edited} does not matter to {other}");
        assert_same(&mut incremental, &files, &settings, edited);
    }
}

#[test]
fn an_interrupted_run_has_no_report_and_the_next_one_is_whole() {
    let (files, settings) = texts(false);
    let mut incremental = Incremental::new(files.clone(), settings.clone());
    for patience in [0, 3, 20, 40] {
        let asked = std::cell::Cell::new(0);
        let interrupted = || {
            asked.set(asked.get() + 1);
            asked.get() > patience
        };
        assert!(incremental.lint_unless(&interrupted).is_none(), "asked {} times", asked.get());
    }
    assert_same(&mut incremental, &files, &settings, "after interruptions");
}
