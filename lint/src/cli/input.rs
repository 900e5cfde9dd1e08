//! From paths to deployments: walks folders, finds the `coalmine.yaml` that governs each file, and reads.
//! Files under one `coalmine.yaml` are one deployment; those under none are one deployment together.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use coalmine::deployments;
pub(crate) use coalmine::deployments::CONFIG;
use coalmine::mesh::config::MeshConfig;
use coalmine::settings::SettingsError;
use coalmine::{FileId, Files, Settings};
use ignore::WalkBuilder;
use indicatif::{ProgressBar, ProgressStyle};

use super::args::Common;

/// Files that are linted together, and how.
pub(crate) struct Deployment {
    pub files: Files,
    pub settings: Settings,
    /// Files of expectations, which belong to the deployment and are no part of it.
    pub expectations: Vec<PathBuf>,
}

/// What was read, and what could not be.
#[derive(Default)]
pub(crate) struct Input {
    pub deployments: Vec<Deployment>,
    /// Where standard input is: its deployment and its id there.
    pub stdin: Option<(usize, FileId)>,
    /// Paths that could not be read, each with the reason.
    pub unreadable: Vec<String>,
    /// Helm templates that were passed over.
    pub templates: usize,
    /// Files of expectations without a manifest that is governed by the same settings.
    pub orphans: Vec<PathBuf>,
    expectations: Vec<PathBuf>,
}

/// Reads everything that the paths name.
pub(crate) fn read(paths: &[PathBuf], stdin_name: &str, common: &Common) -> Result<Input> {
    read_chosen(&Choice { paths, whole: false, own: &[] }, stdin_name, common)
}

/// Refuses to write over a file that was named to be read.
///
/// # Errors
/// The first such file.
pub(crate) fn keep_inputs<'o>(
    paths: &[PathBuf],
    outputs: impl IntoIterator<Item = (&'o str, &'o PathBuf)>,
) -> Result<()> {
    for (flag, output) in outputs {
        let Ok(written) = fs::canonicalize(output) else { continue };
        if paths.iter().any(|path| fs::canonicalize(path).is_ok_and(|path| path == written)) {
            bail!("{flag} {}: this file is to be read and would be overwritten", output.display());
        }
    }
    Ok(())
}

/// What to read.
pub(crate) struct Choice<'c> {
    /// The paths as the user gave them.
    pub paths: &'c [PathBuf],
    /// Whether the paths only say which deployments to read, whole.
    pub whole: bool,
    /// Files of the run itself, which may lie among the others and are left out.
    pub own: &'c [&'c PathBuf],
}

/// Reads what was chosen.
pub(crate) fn read_chosen(choice: &Choice<'_>, stdin_name: &str, common: &Common) -> Result<Input> {
    let Choice { paths, whole, own } = *choice;
    let mut input = Input::default();
    let default = [PathBuf::from(".")];
    let paths = if paths.is_empty() { &default[..] } else { paths };
    let mut chosen: Vec<PathBuf> = Vec::new();
    let mut stdin = None;
    let mut seen: HashSet<PathBuf> = own.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    let mut configs = Configs::new(common)?;
    let mut roots: BTreeMap<PathBuf, HashSet<Option<PathBuf>>> = BTreeMap::new();
    let mut named = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            stdin = Some(read_stdin()?);
            continue;
        }
        match fs::metadata(path) {
            Ok(metadata) if whole => {
                let folder = if metadata.is_dir() { path } else { path.parent().unwrap_or(Path::new("")) };
                let config = configs.nearest(folder);
                let root = root_of(config.as_deref(), folder);
                roots.entry(root).or_default().insert(config);
                if !metadata.is_dir() {
                    named.push(path);
                }
            }
            Ok(metadata) if metadata.is_dir() => walk(path, &mut input, &mut chosen, &mut seen),
            Ok(_) => {
                if seen.insert(canonical(path)) {
                    let list = if is_expectations(path) { &mut input.expectations } else { &mut chosen };
                    list.push(path.clone());
                }
            }
            Err(error) => input.unreadable.push(format!("{}: {error}", path.display())),
        }
    }
    for (root, wanted) in roots {
        let mut found = Vec::new();
        walk(&root, &mut input, &mut found, &mut seen.clone());
        // A folder below may be a deployment of its own, which nobody asked about, or asked about by itself.
        found.retain(|path| wanted.contains(&configs.nearest(path.parent().unwrap_or(Path::new("")))));
        seen.extend(found.iter().map(|path| canonical(path)));
        chosen.append(&mut found);
    }
    // What a walk passes over, hidden or ignored by Git, is linted all the same when it is named.
    for path in named {
        let is_config = path.file_name().is_some_and(|name| name == CONFIG);
        if !is_config && !is_helm_template(path) && seen.insert(canonical(path)) {
            let list = if is_expectations(path) { &mut input.expectations } else { &mut chosen };
            list.push(path.clone());
        }
    }
    let mut groups: BTreeMap<Option<PathBuf>, Vec<PathBuf>> = BTreeMap::new();
    for path in chosen {
        let config = configs.nearest(path.parent().unwrap_or(Path::new("")));
        groups.entry(config).or_default().push(path);
    }
    if stdin.is_some() {
        groups.entry(configs.nearest(Path::new(""))).or_default();
    }
    let mut expectations: BTreeMap<Option<PathBuf>, Vec<PathBuf>> = BTreeMap::new();
    for path in std::mem::take(&mut input.expectations) {
        let config = configs.nearest(path.parent().unwrap_or(Path::new("")));
        expectations.entry(config).or_default().push(path);
    }
    let progress = progress(groups.values().map(Vec::len).sum());
    let stdin_group = stdin.as_ref().map(|_| configs.nearest(Path::new("")));
    for (config, mut paths) in groups {
        drop_twins(&mut paths);
        let settings = configs.settings(config.as_deref())?;
        let mut files = Files::new();
        for path in &paths {
            add(&mut files, path, &mut input.unreadable, false);
            progress.inc(1);
        }
        if stdin_group.as_ref() == Some(&config)
            && let Some(text) = stdin.take()
        {
            input.stdin = Some((input.deployments.len(), files.add(stdin_name, text)));
        }
        add_context(&mut files, &settings, &paths, &mut input);
        if let Some(config) = config.as_deref().filter(|_| has_rollout_of(&settings, &paths)) {
            let text = fs::read_to_string(config).unwrap_or_default();
            let missing = missing(&settings, &text, Path::exists);
            input.unreadable.extend(missing.iter().map(|error| error.describe(&name_of(config), &text)));
        }
        let expectations = expectations.remove(&config).unwrap_or_default();
        input.deployments.push(Deployment { files, settings, expectations });
    }
    input.orphans = expectations.into_values().flatten().collect();
    progress.finish_and_clear();
    Ok(input)
}

/// Every folder in which a change can change what is read or what it means: those of the chosen paths, all of
/// a deployment with settings, and those of files that the command line names.
pub(crate) fn folders(choice: &Choice<'_>, common: &Common) -> BTreeSet<PathBuf> {
    let mut configs = Configs { common, mesh: None, nearest: HashMap::new() };
    let folder_of = |file: &Path| {
        let folder = file.parent().unwrap_or(Path::new(""));
        if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() }
    };
    let default = [PathBuf::from(".")];
    let paths = if choice.paths.is_empty() { &default[..] } else { choice.paths };
    let mut roots = BTreeSet::new();
    let mut found: BTreeSet<PathBuf> =
        common.config.iter().chain(&common.mesh_config).map(|file| folder_of(file)).collect();
    found.extend(choice.own.iter().map(|file| folder_of(file)));
    for path in paths {
        let folder = if path.is_dir() { path.clone() } else { folder_of(path) };
        let config = configs.nearest(&folder);
        if choice.whole || config.is_some() {
            roots.insert(root_of(config.as_deref(), &folder));
        }
        if path.is_dir() {
            roots.insert(folder);
        } else {
            found.insert(folder);
        }
    }
    for root in roots {
        let below = walker(&root).filter_map(Result::ok);
        let folders = below.filter(|entry| entry.file_type().is_some_and(|kind| kind.is_dir()));
        found.extend(folders.map(|entry| entry.path().to_owned()));
    }
    found
}

fn read_stdin() -> Result<String> {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).context("cannot read standard input")?;
    String::from_utf8(bytes).context("standard input is not UTF-8")
}

/// Shown on a terminal only, and only once reading has taken a moment.
fn progress(files: usize) -> ProgressBar {
    if files < 500 {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(files as u64);
    if let Ok(style) = ProgressStyle::with_template("reading {bar:30} {pos}/{len} files") {
        bar.set_style(style);
    }
    bar
}

fn walker(folder: &Path) -> ignore::Walk {
    WalkBuilder::new(folder).sort_by_file_name(Ord::cmp).require_git(false).build()
}

/// The YAML and JSON files of a folder, in name order, `.gitignore` honoured.
pub(crate) fn walk(folder: &Path, input: &mut Input, chosen: &mut Vec<PathBuf>, seen: &mut HashSet<PathBuf>) {
    for entry in walker(folder) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                input.unreadable.push(error.to_string());
                continue;
            }
        };
        let path = entry.path();
        if !(is_manifest(path) || is_expectations(path)) {
            continue;
        }
        let is_link = entry.path_is_symlink();
        let is_file = match is_link.then(|| fs::metadata(path)) {
            Some(Ok(target)) => target.is_file(),
            Some(Err(error)) => {
                input.unreadable.push(format!("{}: a link to nothing: {error}", path.display()));
                continue;
            }
            None => entry.file_type().is_some_and(|kind| kind.is_file()),
        };
        if !is_file {
            continue;
        }
        if is_helm_template(path) {
            input.templates += 1;
            continue;
        }
        // A link may lie in another deployment than its target, and belongs to both.
        let place = if is_link { place_of(path) } else { canonical(path) };
        if seen.insert(place) {
            let list = if is_expectations(path) { &mut input.expectations } else { &mut *chosen };
            list.push(path.to_owned());
        }
    }
}

/// The path of a file by whichever name.
fn canonical(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// The path of a link itself.
fn place_of(link: &Path) -> PathBuf {
    let folder = link.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    link.file_name().map_or_else(|| link.to_owned(), |name| canonical(folder).join(name))
}

/// Leaves out, of files that are one deployment, each link to another of them.
pub(crate) fn drop_twins(paths: &mut Vec<PathBuf>) {
    let is_link = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    let links: HashSet<PathBuf> = paths.iter().filter(|path| is_link(path)).cloned().collect();
    if links.is_empty() {
        return;
    }
    let files = paths.iter().filter(|path| !links.contains(*path));
    let mut seen: HashSet<PathBuf> = files.map(|path| canonical(path)).collect();
    paths.retain(|path| !links.contains(path) || seen.insert(canonical(path)));
}

/// The folder of the deployment that a file belongs to: that of its settings, else its own.
pub(crate) fn deployment_folder(path: &Path, common: &Common) -> Result<PathBuf> {
    let own = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // With --config one file of settings is for every input, wherever it lies.
    let config = Configs::new(common)?.nearest(path.parent().unwrap_or(Path::new("")));
    let governed = config.filter(|_| common.config.is_none());
    let folder = governed.as_deref().and_then(Path::parent).unwrap_or(own);
    Ok(if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() })
}

/// Whether a file holds routing expectations, by its name.
pub(crate) fn is_expectations(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
    name.ends_with(".routes.yaml") || name.ends_with(".routes.yml")
}

/// Whether the name is one that is linted.
pub(crate) fn is_manifest(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(deployments::is_manifest)
}

/// A file below the `templates` folder of a Helm chart is no YAML before it is rendered.
pub(crate) fn is_helm_template(path: &Path) -> bool {
    path.ancestors().skip(1).any(|folder| {
        folder.file_name().is_some_and(|name| name == "templates")
            && folder.parent().is_some_and(|chart| chart.join("Chart.yaml").is_file())
    })
}

/// The name findings give: the path as the user wrote it, with `/`, without `./`.
pub(crate) fn name_of(path: &Path) -> String {
    let parts = path.components().filter(|part| *part != Component::CurDir);
    let name = parts.collect::<PathBuf>().to_string_lossy().replace('\\', "/");
    if name.is_empty() { ".".to_owned() } else { name }
}

fn add(files: &mut Files, path: &Path, unreadable: &mut Vec<String>, context: bool) {
    let text = match fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                unreadable.push(format!("{}: not UTF-8 at byte {at}", path.display()));
                return;
            }
        },
        Err(error) => {
            unreadable.push(format!("{}: {error}", path.display()));
            return;
        }
    };
    if context {
        files.add_context(name_of(path), text);
    } else {
        files.add(name_of(path), text);
    }
}

/// The other files of a rollout, which a step refers to: they are read and not judged.
fn add_context(files: &mut Files, settings: &Settings, given: &[PathBuf], input: &mut Input) {
    for path in context(settings, given, input) {
        add(files, &path, &mut input.unreadable, true);
    }
}

/// The files of the rollout that are not given.
pub(crate) fn context(settings: &Settings, given: &[PathBuf], input: &mut Input) -> Vec<PathBuf> {
    let mut more = Vec::new();
    if !has_rollout_of(settings, given) {
        return more;
    }
    let mut seen: HashSet<PathBuf> = given.iter().map(|path| canonical(path)).collect();
    for path in settings.rollout_paths() {
        let path = settings.locate(path);
        if path.is_dir() {
            walk(&path, input, &mut more, &mut seen);
        } else if path.is_file() && seen.insert(canonical(&path)) {
            more.push(path);
        }
    }
    let known: HashSet<PathBuf> = given.iter().map(|path| canonical(path)).collect();
    more.retain(|path| !known.contains(&canonical(path)));
    drop_twins(&mut more);
    more
}

/// Whether files are among those that the settings have an order for.
fn has_rollout_of(settings: &Settings, given: &[PathBuf]) -> bool {
    !settings.rollout.is_empty() && given.iter().any(|path| settings.relative(&name_of(path)).is_some())
}

/// The paths of the rollout that name nothing, each as a mistake in the text of the settings.
pub(crate) fn missing(settings: &Settings, text: &str, exists: impl Fn(&Path) -> bool) -> Vec<SettingsError> {
    let places = Settings::rollout_places(text).into_iter();
    let gone = places.filter(|(path, _)| !exists(&settings.locate(path)));
    gone.map(|(path, range)| SettingsError {
        message: format!("the rollout names {path}, which does not exist"),
        range,
    })
    .collect()
}

/// The folder that holds all of a deployment: that of its settings file, else the repository around a folder,
/// else the working folder.
fn root_of(config: Option<&Path>, folder: &Path) -> PathBuf {
    let here = || PathBuf::from(".");
    if let Some(config) = config {
        return config.parent().filter(|p| !p.as_os_str().is_empty()).map_or_else(here, Path::to_owned);
    }
    let is_repository = |folder: &&Path| folder.join(".git").exists();
    if let Some(root) = folder.ancestors().find(is_repository) {
        return if root.as_os_str().is_empty() { here() } else { root.to_owned() };
    }
    let Ok(absolute) = fs::canonicalize(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
    else {
        return here();
    };
    absolute.ancestors().find(is_repository).map_or_else(here, Path::to_owned)
}

/// The settings files, each read once.
pub(crate) struct Configs<'c> {
    common: &'c Common,
    mesh: Option<MeshConfig>,
    nearest: HashMap<PathBuf, Option<PathBuf>>,
}

impl<'c> Configs<'c> {
    pub(crate) fn new(common: &'c Common) -> Result<Self> {
        let mesh = match &common.mesh_config {
            Some(path) => {
                let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
                Some(MeshConfig::parse(&path.to_string_lossy(), &text).map_err(anyhow::Error::msg)?)
            }
            None => None,
        };
        if let Some(path) = common.config.as_ref().filter(|path| !path.is_file()) {
            bail!("--config {}: there is no such file", path.display());
        }
        Ok(Self { common, mesh, nearest: HashMap::new() })
    }

    /// The settings file that governs a folder: in it or in the nearest folder above.
    pub(crate) fn nearest(&mut self, folder: &Path) -> Option<PathBuf> {
        if self.common.isolated {
            return None;
        }
        if let Some(config) = &self.common.config {
            return Some(config.clone());
        }
        if let Some(known) = self.nearest.get(folder) {
            return known.clone();
        }
        let own = folder.join(CONFIG);
        let found = if own.is_file() {
            Some(own)
        } else {
            match folder.parent() {
                Some(parent) if folder.file_name().is_some() => self.nearest(parent),
                _ => above_working_folder(folder),
            }
        };
        self.nearest.insert(folder.to_owned(), found.clone());
        found
    }

    fn settings(&self, config: Option<&Path>) -> Result<Settings> {
        let Some(path) = config else { return Ok(self.parse(None)?) };
        let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        let name = name_of(path);
        self.parse(Some((path, &text))).map_err(|error| anyhow::anyhow!("{}", error.describe(&name, &text)))
    }

    /// The settings that a file says, with what the command line says over them.
    pub(crate) fn parse(&self, config: Option<(&Path, &str)>) -> Result<Settings, SettingsError> {
        let mut settings = match config {
            Some((path, text)) => {
                let folder = path.parent().map(name_of).filter(|name| name != ".").unwrap_or_default();
                let mut settings = Settings::parse(text, &folder)?;
                settings.prefix = prefix(path);
                settings
            }
            None => Settings::default(),
        };
        if let Some(namespace) = &self.common.namespace {
            settings.namespace.clone_from(namespace);
        }
        if let Some(assume) = self.common.assume {
            settings.assume = assume.into();
        }
        if let Some(mesh) = &self.mesh {
            settings.mesh = Some(mesh.clone());
        }
        Ok(settings)
    }
}

/// The nearest settings file strictly above the working folder, for paths written relative to it.
fn above_working_folder(folder: &Path) -> Option<PathBuf> {
    if folder.is_absolute() {
        return None;
    }
    let absolute = fs::canonicalize(if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    absolute.ok()?.ancestors().skip(1).map(|above| above.join(CONFIG)).find(|config| config.is_file())
}

/// The working folder relative to the folder of a settings file above it; empty for one at or below it.
fn prefix(config: &Path) -> String {
    let folder = config.parent().filter(|folder| folder.is_absolute());
    let here = std::env::current_dir().and_then(fs::canonicalize);
    match (folder, here) {
        (Some(folder), Ok(here)) => here.strip_prefix(folder).map(name_of).unwrap_or_default(),
        _ => String::new(),
    }
}
