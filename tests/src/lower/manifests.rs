//! Manifests as the product reads them, for tests that ask about one state.

use std::fs;
use std::path::Path;

use coalmine::mesh::config::MeshConfig;
use coalmine::mesh::{Assume, Mesh};
use coalmine::states::states;
use coalmine::yaml::Document;
use coalmine::{Files, Input, Settings};

/// A deployment, read.
pub struct Manifests {
    /// The texts.
    pub files: Files,
    /// From its `coalmine.yaml`, or the defaults.
    pub settings: Settings,
    /// Documents and objects.
    pub input: Input,
    config: MeshConfig,
}

impl Manifests {
    /// One text, which is the whole mesh.
    pub fn text(text: &str) -> Self {
        let mut files = Files::new();
        files.add("manifests.yaml", text);
        Self::new(files, Settings { assume: Assume::Closed, ..Settings::default() })
    }

    /// Every YAML file below a folder, with the folder's own `coalmine.yaml` as settings.
    ///
    /// # Panics
    /// When a file cannot be read.
    pub fn folder(path: &Path) -> Self {
        let settings = match fs::read_to_string(path.join("coalmine.yaml")) {
            Ok(text) => Settings::parse(&text, &path.to_string_lossy()).expect("coalmine.yaml"),
            Err(_) => Settings::default(),
        };
        let mut files = Files::new();
        add_folder(path, &mut files);
        Self::new(files, settings)
    }

    fn new(files: Files, settings: Settings) -> Self {
        let input = Input::read(&files, &settings);
        assert!(input.problems.is_empty(), "{:?}", input.problems);
        let config = input.mesh_config(&settings);
        Self { files, settings, input, config }
    }

    /// Every document.
    pub fn documents(&self) -> &[Document] {
        &self.input.documents
    }

    /// What the state after a step means; without a step, the last state that has any object.
    ///
    /// # Panics
    /// When there is no such step.
    pub fn mesh(&self, step: Option<&str>) -> Mesh<'_> {
        let states = states(&self.files, &self.input.resources, &self.settings);
        let chosen = match step {
            Some(step) => states.into_iter().find(|state| state.step == Some(step)),
            None => states.into_iter().rev().find(|state| !state.resources.is_empty()),
        };
        let state = chosen.unwrap_or_else(|| panic!("no state {step:?}"));
        Mesh::new(state.resources, &self.config, self.settings.assume)
    }
}

fn add_folder(path: &Path, files: &mut Files) {
    let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        let name = path.to_string_lossy().into_owned();
        if path.is_dir() {
            add_folder(&path, files);
        } else if name.ends_with(".yaml") && !name.ends_with("/coalmine.yaml") {
            files.add(name, fs::read_to_string(&path).expect("a manifest"));
        }
    }
}
