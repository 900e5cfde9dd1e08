//! Which texts are linted together: the folders of the client with its unsaved texts over those on disk, grouped by
//! the `coalmine.yaml` that governs them, as on the command line. Knows nothing of messages.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use coalmine::mesh::Assume;
use coalmine::settings::SettingsError;
use coalmine::{FileId, Files, Incremental, Report};

use super::super::args::Common;
use super::super::input::{self, CONFIG, Configs, is_expectations, is_helm_template, is_manifest, name_of};
use super::convert::Diagnostic;

/// Why files are linted together.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Key {
    /// One `coalmine.yaml` governs them.
    Config(PathBuf),
    /// They are in one folder of the client, and no `coalmine.yaml` governs them.
    Root(PathBuf),
    /// The file is open and in no folder of the client.
    Alone(PathBuf),
}

/// Files that are linted together.
pub(super) struct Group {
    key: Key,
    config: Option<(PathBuf, Arc<str>)>,
    /// By the ids of the files.
    pub paths: Vec<PathBuf>,
    pub deployment: Incremental,
    /// The findings in the present texts; `None` after an edit.
    pub report: Option<Report>,
    /// The same as the client shows it, by file.
    pub shown: Option<HashMap<PathBuf, Vec<Diagnostic>>>,
}

/// A text that the client has open.
pub(super) struct Buffer {
    pub text: Arc<str>,
    pub version: i32,
    is_yaml: bool,
}

/// When a file was changed, how long it is, and its text; `None` when it is not UTF-8.
type OnDisk = (Option<SystemTime>, u64, Option<Arc<str>>);

/// All texts, and who is linted with whom.
pub(super) struct Workspace<'c> {
    common: &'c Common,
    roots: Vec<PathBuf>,
    pub buffers: HashMap<PathBuf, Buffer>,
    disk: HashMap<PathBuf, OnDisk>,
    pub groups: Vec<Group>,
    /// Settings files that cannot be read, or name what is not there, with the reasons.
    pub broken: BTreeMap<PathBuf, Vec<SettingsError>>,
    /// What a settings file said before it could not be read any more.
    last_good: HashMap<PathBuf, Arc<str>>,
    /// Every place of a text: in the group that judges it first.
    places: HashMap<PathBuf, Vec<(usize, FileId)>>,
    is_stale: bool,
}

impl<'c> Workspace<'c> {
    pub(super) fn new(common: &'c Common, roots: Vec<PathBuf>) -> Self {
        Self {
            common,
            roots,
            buffers: HashMap::new(),
            disk: HashMap::new(),
            groups: Vec::new(),
            broken: BTreeMap::new(),
            last_good: HashMap::new(),
            places: HashMap::new(),
            is_stale: true,
        }
    }

    /// Adds and removes folders of the client.
    pub(super) fn change_roots(&mut self, added: Vec<PathBuf>, removed: &[PathBuf]) {
        self.roots.retain(|root| !removed.contains(root));
        self.roots.extend(added);
        self.is_stale = true;
    }

    /// The client has opened a text; its own is the one that counts from now on.
    pub(super) fn open(&mut self, path: PathBuf, text: String, version: i32, is_yaml: bool) {
        let known = self.places.contains_key(&path) && path.is_file();
        self.buffers.insert(path.clone(), Buffer { text: text.into(), version, is_yaml });
        if known { self.put(&path) } else { self.is_stale = true }
    }

    /// The client has changed a text that it has open.
    pub(super) fn edit(&mut self, path: &Path, text: String, version: i32) {
        let Some(buffer) = self.buffers.get_mut(path) else { return };
        buffer.text = text.into();
        buffer.version = version;
        self.put(path);
    }

    /// The client has closed a text; what is on disk counts again.
    pub(super) fn close(&mut self, path: &Path) {
        self.buffers.remove(path);
        self.disk.remove(path);
        let is_listed = self.places.get(path).is_some_and(|places| {
            places.iter().all(|(group, _)| {
                self.groups.get(*group).is_some_and(|group| !matches!(group.key, Key::Alone(_)))
            })
        });
        if is_listed && path.is_file() { self.put(path) } else { self.is_stale = true }
    }

    /// Something on disk has changed; which files there are is looked up again.
    pub(super) fn disk_changed(&mut self, path: &Path, exists: bool) {
        self.disk.remove(path);
        if exists && self.places.contains_key(path) && path.is_file() {
            self.put(path);
        } else {
            self.is_stale = true;
        }
    }

    /// Puts the present text of a file in the place of the old one.
    fn put(&mut self, path: &Path) {
        if path.file_name().is_some_and(|name| name == CONFIG) {
            self.is_stale = true;
            return;
        }
        let Some(text) = self.text(path) else {
            self.is_stale = true;
            return;
        };
        for (group, id) in self.places.get(path).into_iter().flatten() {
            if let Some(group) = self.groups.get_mut(*group) {
                replace(group, *id, &text);
            }
        }
    }

    /// The text of a file: the client's, else the one on disk; `None` when there is none or it is not UTF-8.
    pub(super) fn text(&mut self, path: &Path) -> Option<Arc<str>> {
        if let Some(buffer) = self.buffers.get(path) {
            return Some(Arc::clone(&buffer.text));
        }
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        let (changed, size) = (metadata.modified().ok(), metadata.len());
        if let Some((known, len, text)) = self.disk.get(path)
            && (*known, *len) == (changed, size)
        {
            return text.clone();
        }
        let text: Option<Arc<str>> = fs::read_to_string(path).ok().map(Into::into);
        self.disk.insert(path.to_owned(), (changed, size, text.clone()));
        text
    }

    /// Where a text is judged: its group and its id there. Looks the files up first if that is due.
    pub(super) fn place(&mut self, path: &Path) -> Option<(usize, FileId)> {
        self.refresh();
        self.places.get(path)?.first().copied()
    }

    /// The texts that the client has open and that are judged.
    pub(super) fn open_files(&self) -> Vec<PathBuf> {
        let judged = |path: &&PathBuf| {
            let place = self.places.get(*path).and_then(|places| places.first());
            place.is_some_and(|(group, id)| {
                let group = self.groups.get(*group);
                group.is_some_and(|group| !group.deployment.files().is_context(*id))
            })
        };
        self.buffers.keys().filter(judged).cloned().collect()
    }

    /// Walks the folders anew when files may have come or gone.
    pub(super) fn refresh(&mut self) {
        if std::mem::take(&mut self.is_stale) {
            self.rescan();
        }
    }

    fn rescan(&mut self) {
        let mut passed_over = input::Input::default();
        let mut chosen: Vec<(PathBuf, PathBuf)> = Vec::new();
        let mut seen = HashSet::new();
        for root in &self.roots {
            let mut paths = Vec::new();
            input::walk(root, &mut passed_over, &mut paths, &mut seen);
            chosen.extend(paths.into_iter().map(|path| (path, root.clone())));
        }
        let listed: HashSet<PathBuf> = chosen.iter().map(|(path, _)| path.clone()).collect();
        let mut alone = Vec::new();
        for (path, buffer) in &self.buffers {
            let is_linted = buffer.is_yaml || is_manifest(path);
            let is_own = path.file_name().is_some_and(|name| name == CONFIG) || is_expectations(path);
            if listed.contains(path) || !is_linted || is_own || is_helm_template(path) {
                continue;
            }
            match self.roots.iter().find(|root| path.starts_with(root)) {
                // Not saved yet. One that is there and was not listed is ignored by Git: it is nobody's neighbour.
                Some(root) if !path.exists() && is_manifest(path) => {
                    chosen.push((path.clone(), root.clone()));
                }
                _ => alone.push(path.clone()),
            }
        }
        chosen.sort();
        alone.sort();
        let common = self.common;
        let Ok(mut configs) = Configs::new(common) else { return };
        let mut groups: BTreeMap<Key, Vec<PathBuf>> = BTreeMap::new();
        for (path, root) in chosen {
            let config = configs.nearest(path.parent().unwrap_or(Path::new("")));
            groups.entry(config.map_or(Key::Root(root), Key::Config)).or_default().push(path);
        }
        groups.values_mut().for_each(input::drop_twins);
        for path in alone {
            groups.insert(Key::Alone(path.clone()), vec![path]);
        }
        self.broken.clear();
        // A settings file that governs nothing yet is read for its mistakes all the same.
        for path in self.buffers.keys().cloned().collect::<Vec<_>>() {
            if path.file_name().is_some_and(|name| name == CONFIG)
                && let Some(text) = self.text(&path)
                && let Err(error) = configs.parse(Some((&path, &text)))
            {
                self.broken.insert(path, vec![error]);
            }
        }
        let mut old = std::mem::take(&mut self.groups);
        for (key, paths) in groups {
            let config = match &key {
                Key::Config(path) => Some(path.clone()),
                Key::Root(_) => None,
                Key::Alone(path) => path.parent().and_then(|folder| configs.nearest(folder)),
            };
            if let Some(group) = self.group(key, config, paths, &mut configs, &mut old) {
                self.groups.push(group);
            }
        }
        self.places.clear();
        for (number, group) in self.groups.iter().enumerate() {
            for ((id, _), path) in group.deployment.files().iter().zip(&group.paths) {
                let places = self.places.entry(path.clone()).or_default();
                let is_context = group.deployment.files().is_context(id);
                places.insert(if is_context { places.len() } else { 0 }, (number, id));
            }
        }
    }

    /// One group: the old one with its texts brought up to date if it has the same files and settings.
    fn group(
        &mut self,
        key: Key,
        config: Option<PathBuf>,
        given: Vec<PathBuf>,
        configs: &mut Configs<'_>,
        old: &mut Vec<Group>,
    ) -> Option<Group> {
        let config = match config {
            Some(path) => Some((path.clone(), self.settings_text(&path, configs)?)),
            None => None,
        };
        // Files are named as from the folder that the client has open, or else from that of the settings.
        let own = match (&config, &key) {
            (Some((path, _)), _) => path.parent(),
            (None, Key::Root(root)) => Some(root.as_path()),
            (None, Key::Alone(path) | Key::Config(path)) => path.parent(),
        };
        let own = own.unwrap_or(Path::new("")).to_owned();
        let home = self.roots.iter().find(|root| own.starts_with(root)).unwrap_or(&own).clone();
        let name = |path: &Path| name_of(path.strip_prefix(&home).unwrap_or(path));
        let parse = |path: &dyn Fn(&Path) -> PathBuf| match &config {
            Some((own, text)) => configs.parse(Some((&path(own), text))).ok(),
            None => configs.parse(None).ok(),
        };
        let on_disk = parse(&Path::to_owned)?;
        let mut settings = parse(&|own| PathBuf::from(name(own)))?;
        if matches!(key, Key::Alone(_)) && settings.rollout.is_empty() && self.common.assume.is_none() {
            // A fragment proves nothing about what it does not contain.
            settings.assume = Assume::Open;
        }
        let more = input::context(&on_disk, &given, &mut input::Input::default());
        if let Some((path, text)) = config.as_ref().filter(|_| !on_disk.rollout.is_empty()) {
            let exists =
                |path: &Path| path.exists() || self.buffers.keys().any(|open| open.starts_with(path));
            let missing = input::missing(&on_disk, text, exists);
            if !missing.is_empty() {
                // If the present text is broken, this one is of the last that was not.
                self.broken.entry(path.clone()).or_insert(missing);
            }
        }
        let judged = given.len();
        let mut texts = Vec::new();
        for (number, path) in given.into_iter().chain(more).enumerate() {
            if let Some(text) = self.text(&path) {
                texts.push((path, text, number >= judged));
            }
        }
        let same = old.iter().position(|group| {
            let files = group.deployment.files();
            group.key == key
                && group.config == config
                && group.paths.iter().eq(texts.iter().map(|(path, ..)| path))
                && files.iter().map(|(id, _)| files.is_context(id)).eq(texts.iter().map(|text| text.2))
        });
        if let Some(same) = same {
            let mut group = old.swap_remove(same);
            let ids: Vec<FileId> = group.deployment.files().iter().map(|(id, _)| id).collect();
            for (id, (_, text, _)) in ids.into_iter().zip(&texts) {
                replace(&mut group, id, text);
            }
            return Some(group);
        }
        let mut files = Files::new();
        let mut paths = Vec::new();
        for (path, text, is_context) in texts {
            let name = name(&path);
            if is_context {
                files.add_context(name, text)
            } else {
                files.add(name, text)
            };
            paths.push(path);
        }
        let deployment = Incremental::new(files, settings);
        Some(Group { key, config, paths, deployment, report: None, shown: None })
    }

    /// The text of a settings file, or the one from before it was broken; `None` if it never could be read.
    fn settings_text(&mut self, path: &Path, configs: &Configs<'_>) -> Option<Arc<str>> {
        let text = self.text(path).unwrap_or_default();
        match configs.parse(Some((path, &text))) {
            Ok(_) => {
                self.last_good.insert(path.to_owned(), Arc::clone(&text));
                Some(text)
            }
            Err(error) => {
                self.broken.insert(path.to_owned(), vec![error]);
                self.last_good.get(path).cloned()
            }
        }
    }
}

fn replace(group: &mut Group, id: FileId, text: &Arc<str>) {
    if *group.deployment.files().text(id) != **text {
        group.deployment.replace(id, Arc::clone(text));
        group.report = None;
        group.shown = None;
    }
}
