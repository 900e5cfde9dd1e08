//! What the bindings do, without JavaScript: texts in, wire types out. The judgement is the linter's. Past 500 lines
//! because the questions' types, whose comments are the package's documentation, stand beside what answers them.

use std::collections::BTreeMap;

use coalmine::decide;
use coalmine::deployments::{CONFIG, Deployment, deployments};
use coalmine::graph::{Graph, Id, Options};
use coalmine::mesh::Mesh;
use coalmine::mesh::config::MeshConfig;
use coalmine::render::decide as decision;
use coalmine::render::route::{self, JsonRoute};
use coalmine::render::{Units, json};
use coalmine::route::{Known, Request, Source, Unanswerable, follow, trace};
use coalmine::rule::did_you_mean;
use coalmine::rules::{RULES, find};
use coalmine::states::{State, states};
use coalmine::{Files, Input, Linted, Safety, Settings, fix};
use coalmine_filter::decide as filter;
use coalmine_filter::effects::effects;
use coalmine_filter::keys;
use coalmine_filter::token::MIN_KEY_BYTES;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::taken::Taken;

/// What columns and offsets count in results and options.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "Units"))]
pub enum WireUnits {
    /// Columns in Unicode scalar values, offsets in bytes of UTF-8: the JSON of the command line.
    #[default]
    Scalars,
    /// Both in UTF-16 code units, as JavaScript's strings count.
    Utf16,
}

impl From<WireUnits> for Units {
    fn from(units: WireUnits) -> Self {
        match units {
            WireUnits::Scalars => Self::Scalars,
            WireUnits::Utf16 => Self::Utf16,
        }
    }
}

/// How to lint.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields = nullable))]
pub struct LintOptions {
    /// What columns and offsets count; `"scalars"` when it is left out.
    #[cfg_attr(feature = "ts", ts(as = "Option<WireUnits>"))]
    pub units: WireUnits,
}

/// What to fix. Without a finding every fix is tried until none is left.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields = nullable))]
pub struct FixOptions {
    /// Apply fixes that need a second look too.
    #[cfg_attr(feature = "ts", ts(as = "Option<bool>"))]
    pub r#unsafe: bool,
    /// Apply the fix of this finding only, safe or not. `units` are those it was made with.
    pub finding: Option<Finding>,
    /// What columns and offsets count; `"scalars"` when it is left out.
    #[cfg_attr(feature = "ts", ts(as = "Option<WireUnits>"))]
    pub units: WireUnits,
}

/// Which graph.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields = nullable))]
pub struct GraphOptions {
    /// A file or folder of the deployment that is meant; the first deployment when it is left out.
    pub file: Option<String>,
    /// The step of the rollout after which to look; the last that leaves something when it is left out.
    pub step: Option<String>,
    /// Compare with the step before.
    #[cfg_attr(feature = "ts", ts(as = "Option<bool>"))]
    pub changes: bool,
    /// The heading of a picture; the step's name when it is left out.
    pub title: Option<String>,
    /// Ids of nodes and edges to draw strongly: `taken` of a route. Calls among them that nothing in the manifests
    /// tells of are added to the graph.
    #[cfg_attr(feature = "ts", ts(as = "Option<Vec<String>>"))]
    pub highlight: Vec<String>,
    /// Ids of nodes and edges to draw as failing: `failed` of a route. They are added as those of `highlight` are.
    #[cfg_attr(feature = "ts", ts(as = "Option<Vec<String>>"))]
    pub failed: Vec<String>,
    /// What columns and offsets count; `"scalars"` when it is left out.
    #[cfg_attr(feature = "ts", ts(as = "Option<WireUnits>"))]
    pub units: WireUnits,
}

/// A request to follow: as the options of `coalmine route`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields = nullable))]
pub struct RouteQuestion {
    /// A file or folder of the deployment that is meant; the first deployment when it is left out.
    pub file: Option<String>,
    /// The step of the rollout after which to look; the last that leaves something when it is left out.
    pub step: Option<String>,
    /// Where it goes: `http://host[:port]/path`, `https://…`, `tcp://host:port` or `tls://host:port`.
    #[cfg_attr(feature = "ts", ts(optional = false))]
    pub to: String,
    /// Who sends it: `gateway`, `gateway:ns/name` or `deployment/ns/name`; the only gateway that accepts it when it is
    /// left out.
    pub from: Option<String>,
    /// `GET` when it is left out.
    pub method: Option<String>,
    /// Cookies, as the header has them.
    pub cookie: Option<String>,
    /// Further headers; `host` replaces the URL's.
    #[cfg_attr(feature = "ts", ts(as = "Option<Vec<(String, String)>>"))]
    pub headers: Vec<(String, String)>,
    /// The SPIFFE id of the client, for a filter in the mesh role.
    pub principal: Option<String>,
    /// Go on with the calls that the pods make which the request lands on.
    #[cfg_attr(feature = "ts", ts(as = "Option<bool>"))]
    pub follow: bool,
    /// Signing keys of the filter by the name of their environment variable.
    #[cfg_attr(feature = "ts", ts(as = "Option<BTreeMap<String, String>>"))]
    pub keys: BTreeMap<String, String>,
    /// What columns and offsets count; `"scalars"` when it is left out.
    #[cfg_attr(feature = "ts", ts(as = "Option<WireUnits>"))]
    pub units: WireUnits,
}

/// Where a request goes: what `coalmine route --format json` prints, and the way in the graph.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Followed<'a> {
    #[serde(flatten)]
    #[cfg_attr(feature = "ts", ts(flatten))]
    route: JsonRoute<'a>,
    /// Ids of the nodes and edges that it takes, in the graph that is asked for with them as `highlight`.
    taken: Vec<String>,
    /// Ids of the calls that get no answer, or not always, and of what only they lead to; none is in `taken`.
    failed: Vec<String>,
}

/// A request to decide about: as the options of `coalmine decide`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields = nullable))]
pub struct DecideQuestion {
    /// Which WasmPlugin, `ns/name` or `name`, where there are several.
    pub plugin: Option<String>,
    /// The namespace of objects that name none; `default` when it is left out.
    pub namespace: Option<String>,
    /// `GET` when it is left out.
    pub method: Option<String>,
    /// Path and query; `/` when it is left out.
    pub path: Option<String>,
    /// The `:authority`; `localhost` when it is left out.
    pub host: Option<String>,
    /// Cookies, as the header has them.
    pub cookie: Option<String>,
    /// Further headers.
    #[cfg_attr(feature = "ts", ts(as = "Option<Vec<(String, String)>>"))]
    pub headers: Vec<(String, String)>,
    /// The request carries this subject, in the way the configuration looks for first.
    pub subject: Option<String>,
    /// The SPIFFE id of the client, for a filter in the mesh role.
    pub principal: Option<String>,
    /// Signing keys by the name of their environment variable. Without them one is made up, and `signed` is false.
    #[cfg_attr(feature = "ts", ts(as = "Option<BTreeMap<String, String>>"))]
    pub keys: BTreeMap<String, String>,
}

/// Which finding: a `Diagnostic` will do, its other fields are not looked at.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Finding {
    /// The rule's id.
    pub rule: String,
    /// The name of the file.
    pub file: String,
    /// What it says.
    pub message: String,
    /// Where it is.
    pub range: FindingRange,
}

/// The place of a [`Finding`].
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct FindingRange {
    /// The first character.
    pub start: FindingOffset,
    /// Behind the last.
    pub end: FindingOffset,
}

/// One end of a [`FindingRange`].
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct FindingOffset {
    /// In the units of the options.
    pub offset: u32,
}

/// A file with its text.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct TextFile {
    /// The name of the file.
    pub name: String,
    /// All of its text.
    pub text: String,
}

/// What fixing did. The linter's own files are as they were: give it those that changed.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Fixed {
    /// 1.
    pub version: u32,
    /// How many fixes were applied.
    pub applied: usize,
    /// The files that changed, with their new texts.
    pub files: Vec<TextFile>,
}

/// A rule with its documentation.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct RulePage {
    /// 1.
    pub version: u32,
    /// What the list of rules has about it.
    #[cfg_attr(feature = "ts", ts(type = "Rule"))]
    pub rule: json::JsonRule<'static>,
    /// Its page in Markdown: *What it does*, *Why it matters*, *Example*, *Use instead*, *References*.
    pub markdown: String,
}

/// Texts by name.
#[derive(Clone, Debug, Default)]
pub struct Texts(BTreeMap<String, String>);

impl Texts {
    /// Adds or replaces a file. Names are paths with `/`, relative to the root of all files.
    pub fn set(&mut self, name: &str, text: String) {
        self.0.insert(clean(name).to_owned(), text);
    }

    /// Removes a file; whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        self.0.remove(clean(name)).is_some()
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn deployments(&self) -> Result<Vec<Deployment>, String> {
        let files = self.0.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        deployments(files).map_err(|error| error.to_string())
    }

    fn linted(&self) -> Result<Vec<(Linted, Settings)>, String> {
        let lint = |Deployment { files, settings }| {
            let report = coalmine::lint(&files, &settings);
            (Linted { files, report }, settings)
        };
        Ok(self.deployments()?.into_iter().map(lint).collect())
    }

    /// Lints all files and gives the result to `done`, because it borrows from the texts.
    ///
    /// # Errors
    /// When a `coalmine.yaml` that governs a file cannot be used.
    pub fn lint<T>(
        &self,
        options: &LintOptions,
        done: impl FnOnce(&json::Output<'_>) -> T,
    ) -> Result<T, String> {
        let batch: Vec<Linted> = self.linted()?.into_iter().map(|(linted, _)| linted).collect();
        Ok(done(&json::output(&batch, options.units.into())))
    }

    /// The steps of the rollout that the deployment of a file goes through; none without a rollout.
    ///
    /// # Errors
    /// When a `coalmine.yaml` cannot be used.
    pub fn steps(&self, file: Option<&str>) -> Result<Vec<String>, String> {
        let Some(Deployment { files, settings }) = self.deployment(file)? else { return Ok(Vec::new()) };
        let input = Input::read(&files, &settings);
        let states = states(&files, &input.resources, &settings);
        Ok(states.iter().filter_map(|state| state.step.map(str::to_owned)).collect())
    }

    /// The graph of a state and the files that its places are in, given to `done`.
    ///
    /// # Errors
    /// When a `coalmine.yaml` cannot be used, or there is no such step.
    pub fn graph<T>(
        &self,
        options: &GraphOptions,
        done: impl FnOnce(&Graph, &Files, Option<&str>) -> T,
    ) -> Result<T, String> {
        self.state(options.file.as_deref(), options.step.as_deref(), |view| {
            let mut graphs = Graph::of_states(view.meshes());
            let before = view.chosen.checked_sub(1).filter(|_| options.changes);
            let before = before.and_then(|before| graphs.get(before).cloned());
            let now =
                if view.chosen < graphs.len() { graphs.swap_remove(view.chosen) } else { Graph::default() };
            let mut now = before.map_or_else(|| now.clone(), |before| now.compared_with(&before));
            let asked: Vec<Id> = options.highlight.iter().chain(&options.failed).cloned().map(Id).collect();
            if !asked.is_empty() {
                crate::taken::complete(&mut now, &asked, &view.mesh(view.chosen));
            }
            Ok(done(&now, view.files, view.step()))
        })
    }

    /// A picture of a state: `svg`, `mermaid` or `dot`.
    ///
    /// # Errors
    /// As [`Texts::graph`], and when the format is none of these.
    pub fn draw(&self, format: &str, options: &GraphOptions) -> Result<String, String> {
        let ids = |names: &[String]| names.iter().cloned().map(Id).collect::<Vec<_>>();
        let (highlight, failed) = (ids(&options.highlight), ids(&options.failed));
        self.graph(options, |graph, _, step| {
            let title = options.title.as_deref().or(step).unwrap_or_default();
            let options = Options { title, highlight: &highlight, failed: &failed };
            match format {
                "svg" => Ok(graph.to_svg(&options)),
                "mermaid" => Ok(graph.to_mermaid()),
                "dot" => Ok(graph.to_dot(&options)),
                _ => Err(format!("`{format}` is no format of a picture; it is one of svg, mermaid, dot")),
            }
        })?
    }

    /// Follows a request and gives the answer to `done`. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// When a `coalmine.yaml` cannot be used, the request is none, or nothing in the state can send it.
    pub fn route<T>(
        &self,
        question: &RouteQuestion,
        now: u64,
        done: impl FnOnce(&Followed<'_>) -> T,
    ) -> Result<T, String> {
        self.state(question.file.as_deref(), question.step.as_deref(), |view| {
            let from =
                question.from.as_deref().map(str::trim).filter(|from| !from.is_empty()).unwrap_or("gateway");
            let source = Source::parse(from, view.settings.namespace_for(""))
                .map_err(|error| format!("{from}: {error}"))?;
            let mut request =
                Request::parse(question.to.trim(), source).map_err(|error| error.to_string())?;
            if let Some(method) = &question.method {
                request.method = method.to_ascii_uppercase();
            }
            for (name, value) in &question.headers {
                match name.to_ascii_lowercase() {
                    name if name == "cookie" => request.add_cookie(value),
                    name => request.headers.push((name, value.clone())),
                }
            }
            if let Some(cookie) = question.cookie.as_deref().filter(|cookie| !cookie.trim().is_empty()) {
                request.add_cookie(cookie.trim());
            }
            request.principal.clone_from(&question.principal);
            let mesh = view.mesh(view.chosen);
            let env = question.keys.iter().map(|(name, key)| (name.clone(), key.clone().into_bytes()));
            let known = Known { now, env: env.collect() };
            // What the command line calls `--from` is a field here.
            let in_fields = |error: Unanswerable| error.to_string().replace("--from", "`from`");
            let trace = trace(&mesh, &request, &known).map_err(in_fields)?;
            let followed = question.follow.then(|| follow(&mesh, &trace, &known));
            let Taken { taken, failed } =
                Taken::of(&mesh, &request, &trace, followed.as_deref().unwrap_or_default());
            let step = view.step();
            let route =
                route::output(view.files, step, &request, &trace, followed.as_deref(), question.units.into());
            Ok(done(&Followed { route, taken, failed }))
        })
    }

    /// The deployment that a file or a folder belongs to, or the first when none is named.
    fn deployment(&self, file: Option<&str>) -> Result<Option<Deployment>, String> {
        let mut all = self.deployments()?;
        let name = file.map(|name| clean(name).trim_end_matches('/')).filter(|name| !name.is_empty());
        let Some(name) = name else {
            return Ok(if all.is_empty() { None } else { Some(all.swap_remove(0)) });
        };
        let is_own = |deployment: &Deployment| {
            let mut files = deployment.files.iter();
            files.any(|(id, file)| file.name() == name && !deployment.files.is_context(id))
        };
        if let Some(own) = all.iter().position(is_own) {
            return Ok(Some(all.swap_remove(own)));
        }
        let is_folder = self.0.keys().any(|file| below(file, name));
        if !is_folder && !self.0.contains_key(name) {
            return Err(format!("there is no file `{name}`"));
        }
        // Settings, a folder, or a file that is no manifest: the nearest settings say whose it is.
        let folder = if is_folder { name } else { name.rsplit_once('/').map_or("", |(folder, _)| folder) };
        let mut folders = std::iter::successors(Some(folder), |folder| {
            (!folder.is_empty()).then(|| folder.rsplit_once('/').map_or("", |(above, _)| above))
        });
        let settings = |folder: &str| match folder {
            "" => CONFIG.to_owned(),
            folder => format!("{folder}/{CONFIG}"),
        };
        let base = folders.find(|folder| self.0.contains_key(&settings(folder))).unwrap_or_default();
        Ok(all.into_iter().find(|deployment| deployment.settings.base == base))
    }

    fn state<T>(
        &self,
        file: Option<&str>,
        step: Option<&str>,
        ask: impl FnOnce(&View<'_>) -> Result<T, String>,
    ) -> Result<T, String> {
        let deployment = self.deployment(file)?;
        let Deployment { files, settings } =
            deployment.unwrap_or(Deployment { files: Files::new(), settings: Settings::default() });
        let input = Input::read(&files, &settings);
        let config = input.mesh_config(&settings);
        let states = states(&files, &input.resources, &settings);
        let chosen = match step {
            Some(step) => states.iter().position(|state| state.step == Some(step)).ok_or_else(|| {
                let known: Vec<&str> = states.iter().filter_map(|state| state.step).collect();
                match known.is_empty() {
                    true => format!("there is no step `{step}`: the deployment has no rollout"),
                    false => format!("there is no step `{step}`; the steps are {}", known.join(", ")),
                }
            })?,
            None => states.iter().rposition(|state| !state.resources.is_empty()).unwrap_or(0),
        };
        ask(&View { files: &files, settings: &settings, config: &config, states: &states, chosen })
    }

    /// Fixes what can be fixed, or one finding.
    ///
    /// # Errors
    /// When a `coalmine.yaml` cannot be used, or there is no such finding.
    pub fn fix(&self, options: &FixOptions) -> Result<Fixed, String> {
        let mut done = Fixed { version: 1, applied: 0, files: Vec::new() };
        let mut add = |fixed: fix::Fixed| {
            done.applied += fixed.applied;
            done.files.extend(fixed.changed.iter().map(|id| TextFile {
                name: fixed.files.name(*id).to_owned(),
                text: fixed.files.text(*id).to_owned(),
            }));
        };
        let Some(wanted) = &options.finding else {
            let allow = if options.r#unsafe { Safety::Unsafe } else { Safety::Safe };
            for Deployment { files, settings } in self.deployments()? {
                add(fix::fix(&files, &settings, allow));
            }
            return Ok(done);
        };
        let batch = self.linted()?;
        let found = batch.iter().find_map(|(linted, settings)| {
            let one = std::slice::from_ref(linted);
            let at = json::output(one, options.units.into()).diagnostics.iter().position(|finding| {
                finding.rule == wanted.rule
                    && finding.file == wanted.file
                    && finding.message == wanted.message
                    && finding.range.start.offset == wanted.range.start.offset
                    && finding.range.end.offset == wanted.range.end.offset
            })?;
            Some((linted, settings, linted.report.diagnostics.get(at)?))
        });
        let Some((linted, settings, finding)) = found else {
            return Err(format!(
                "there is no such finding of `{}` in {} any more; lint again",
                wanted.rule, wanted.file
            ));
        };
        fix::fix_one(&linted.files, settings, &linted.report, finding).map(&mut add);
        Ok(done)
    }
}

/// One deployment, read, and the state that is asked about.
struct View<'v> {
    files: &'v Files,
    settings: &'v Settings,
    config: &'v MeshConfig,
    states: &'v [State<'v>],
    chosen: usize,
}

impl<'v> View<'v> {
    fn step(&self) -> Option<&'v str> {
        self.states.get(self.chosen).and_then(|state| state.step)
    }

    fn mesh(&self, state: usize) -> Mesh<'v> {
        let resources = self.states.get(state).map(|state| state.resources.clone()).unwrap_or_default();
        Mesh::new(resources, self.config, self.settings.assume)
    }

    fn meshes(&self) -> impl Iterator<Item = Mesh<'v>> {
        (0..self.states.len()).map(|state| self.mesh(state))
    }
}

/// Whether a file is in a folder or below it.
fn below(file: &str, folder: &str) -> bool {
    file.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Reads options out of JSON; what is `null` is the default, as what is left out.
///
/// # Errors
/// When it is no object, or has fields that are unknown or of another type.
pub fn options<T: DeserializeOwned>(what: &str, json: &str) -> Result<T, String> {
    let wrong = |error: serde_json::Error| format!("{what}: {error}");
    let Value::Object(mut fields) = serde_json::from_str(json).map_err(wrong)? else {
        return Err(format!("{what}: not a plain object"));
    };
    fields.retain(|_, value| !value.is_null());
    serde_json::from_value(Value::Object(fields)).map_err(wrong)
}

/// A name without `./` before it.
fn clean(name: &str) -> &str {
    name.trim_start_matches("./")
}

/// What the filter decides about a request, given to `done`. `config` is a manifest with a WasmPlugin that runs the
/// filter, or a bare `pluginConfig`; `now` is in seconds since 1970, and `random` makes ids and stand-in keys.
///
/// # Errors
/// When there is no configuration, it is unclear which is meant, or it cannot carry the subject.
pub fn decide<T>(
    config: &str,
    question: &DecideQuestion,
    now: u64,
    random: &mut dyn FnMut() -> [u8; 16],
    done: impl FnOnce(&decision::JsonDecision<'_>) -> T,
) -> Result<T, String> {
    let namespace = question.namespace.as_deref().unwrap_or("default");
    let source = decide::Source::read("config", config, question.plugin.as_deref(), namespace)?;
    let known = |name: &str| question.keys.get(name).map(|key| key.clone().into_bytes());
    let (mut keys, _) = keys::load(&mut source.config.clone(), known);
    let stand_in = !keys.can_sign();
    if stand_in {
        let made_up: Vec<u8> = random().iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect();
        (keys, _) = keys::load(&mut source.config.clone(), |name| {
            Some(known(name).filter(|key| key.trim_ascii().len() >= MIN_KEY_BYTES).unwrap_or(made_up.clone()))
        });
    }
    let or = |value: &Option<String>, usual: &str| value.clone().unwrap_or_else(|| usual.to_owned());
    let mut headers = vec![
        (":method".to_owned(), or(&question.method, "GET")),
        (":path".to_owned(), or(&question.path, "/")),
        (":authority".to_owned(), or(&question.host, "localhost")),
    ];
    headers.extend(question.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())));
    headers.extend(question.cookie.iter().map(|cookie| ("cookie".to_owned(), cookie.clone())));
    if let Some(subject) = &question.subject {
        decide::add_subject(&source.config, &keys, subject, now, &mut headers)?;
    }
    let headers: Vec<(&[u8], &[u8])> =
        headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let principal = question.principal.as_ref().map(|principal| principal.as_bytes());
    let request = filter::Request { headers: &headers, principal };
    let mut random = || Some(random());
    let decision =
        filter::decide(&source.config, &keys, &request, &mut filter::Ambient { now, random: &mut random });
    let effects = effects(&source.config, &request, &decision);
    let answer = decide::Answer {
        source: &source,
        request: &request,
        decision: &decision,
        effects: &effects,
        stand_in,
    };
    Ok(done(&decision::output(&answer)))
}

/// The page of one rule.
///
/// # Errors
/// When there is no such rule.
pub fn explain(id: &str) -> Result<RulePage, String> {
    let Some(rule) = find(id) else {
        let near = did_you_mean(id, RULES.iter().map(|rule| rule.id));
        let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        return Err(format!("there is no rule `{id}`{hint}"));
    };
    Ok(RulePage { version: 1, rule: json::rule(rule), markdown: rule.markdown() })
}

#[cfg(test)]
mod tests;
