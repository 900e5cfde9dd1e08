//! What the filter decides about a request, by the filter's own code: finds its configuration in a manifest and says why
//! in words. Knows no mesh, no clock, no randomness and no environment: whoever asks brings them.

use std::fmt::Write as _;

use coalmine_filter::bucket::bucket;
use coalmine_filter::config::{Config, Flag, Mode, Problem, Severity, SubjectSource, Value as ConfigValue};
use coalmine_filter::decide::{CookieFate, Decision, Outcome, Reason, Request, id_binding};
use coalmine_filter::effects::{Change, Effects};
use coalmine_filter::token::Keys;

use crate::files::Files;
use crate::line_index::{ColumnUnit, LineIndex};
use crate::plugin;
use crate::resource::{Resource, Spec, lower};
use crate::yaml::{Document, Limits, NodeRef, from_node, parse};

/// A configuration and where it was found.
pub struct Source {
    /// The name of the file.
    pub file: String,
    /// `WasmPlugin istio-ingress/coalmine`; `None` for a bare `pluginConfig`.
    pub object: Option<String>,
    /// What it means.
    pub config: Config,
    /// What is wrong with it.
    pub problems: Vec<Located>,
}

/// A problem with its 1-based line and column, and in words.
pub struct Located {
    /// As the filter has it.
    pub problem: Problem,
    /// In words.
    pub text: String,
    /// Line and column.
    pub place: Option<(u32, u32)>,
}

/// One decided request.
pub struct Answer<'a> {
    /// By which configuration.
    pub source: &'a Source,
    /// The request.
    pub request: &'a Request<'a>,
    /// What is decided.
    pub decision: &'a Decision<'a>,
    /// What that changes.
    pub effects: &'a Effects<'a>,
    /// Signatures were made with a key that nobody else has.
    pub stand_in: bool,
}

impl Source {
    /// Finds the configuration in a text: the WasmPlugin that runs the filter, or a bare `pluginConfig`. `wanted`
    /// chooses among several WasmPlugins.
    ///
    /// # Errors
    /// When the text is no YAML, or which configuration is meant is unclear.
    pub fn read(name: &str, text: &str, wanted: Option<&str>, namespace: &str) -> Result<Self, String> {
        let mut files = Files::new();
        let id = files.add(name, text);
        let file = files.get(id).ok_or("the file is gone")?;
        let (documents, problems) = parse(id, file, Limits::default());
        let lines = LineIndex::new(text);
        let place = |offset: u32| {
            let at = lines.line_column(text, offset, ColumnUnit::Scalars);
            (at.line.saturating_add(1), at.column.saturating_add(1))
        };
        if let Some(problem) = problems.first() {
            let (line, column) = place(problem.span.start);
            return Err(format!("{name}:{line}:{column}: {}", problem.message));
        }
        let resources = lower(&documents, |_| namespace);
        let file = name.to_owned();
        let Some(resource) = choose(name, &documents, &resources, wanted)? else {
            let root = documents.iter().find_map(Document::root);
            let root = root.ok_or_else(|| format!("{name}: there is nothing in it"))?;
            let value: ConfigValue = from_node(root).map_err(|error| format!("{name}: {error}"))?;
            let (config, problems) = Config::from_value(&value);
            let problems = locate(problems, Some(root), place);
            return Ok(Self { file, object: None, config, problems });
        };
        let Spec::WasmPlugin(spec) = &resource.spec else { return Err(format!("{name}: not a WasmPlugin")) };
        let (config, problems) = plugin::configuration(spec);
        let node = resource.node(&documents).and_then(|node| node.path(&["spec", "pluginConfig"]));
        let problems = locate(problems, node, place);
        Ok(Self { file, object: Some(full_name(resource)), config, problems })
    }
}

fn locate(
    problems: Vec<Problem>,
    config: Option<NodeRef<'_>>,
    place: impl Fn(u32) -> (u32, u32),
) -> Vec<Located> {
    let located = |problem: Problem| {
        let at = config.map(|config| plugin::locate(config, &problem.path));
        let span = at.map(|at| {
            let key = at.key.filter(|_| problem.severity == Severity::Unknown);
            key.map_or_else(|| at.span(), NodeRef::span)
        });
        let text = plugin::describe(&problem, at.as_ref());
        Located { problem, text, place: span.map(|span| place(span.start)) }
    };
    problems.into_iter().map(located).collect()
}

fn full_name(resource: &Resource) -> String {
    format!("WasmPlugin {}/{}", resource.namespace(), resource.name.value)
}

/// The one WasmPlugin to read; `None` when the file is a bare `pluginConfig`.
fn choose<'r>(
    name: &str,
    documents: &[Document],
    resources: &'r [Resource],
    wanted: Option<&str>,
) -> Result<Option<&'r Resource>, String> {
    let plugins = || resources.iter().filter(|resource| matches!(resource.spec, Spec::WasmPlugin(_)));
    if let Some(wanted) = wanted {
        let is = |resource: &&Resource| match wanted.split_once('/') {
            Some((namespace, name)) => resource.namespace() == namespace && resource.name.value == name,
            None => resource.name.value == wanted,
        };
        let found = plugins().find(is);
        return found.map(Some).ok_or_else(|| format!("{name}: there is no WasmPlugin `{wanted}`"));
    }
    if resources.is_empty() {
        let roots = documents.iter().filter(|document| document.root().is_some()).count();
        if roots > 1 {
            return Err(format!("{name}: neither a manifest with a WasmPlugin nor one pluginConfig"));
        }
        return Ok(None);
    }
    let ours: Vec<&Resource> = plugins()
        .filter(|resource| matches!(&resource.spec, Spec::WasmPlugin(spec) if plugin::is_filter(spec)))
        .collect();
    match ours.as_slice() {
        [one] => Ok(Some(one)),
        [] if plugins().count() == 1 => Ok(plugins().next()),
        [] => Err(format!("{name}: there is no WasmPlugin in it that runs the filter")),
        several => {
            let names: Vec<String> = several.iter().map(|resource| full_name(resource)).collect();
            Err(format!(
                "{name}: several WasmPlugins run the filter ({}); choose one of them",
                names.join(", ")
            ))
        }
    }
}

/// Makes the request carry a subject in the way the configuration looks for first.
///
/// # Errors
/// When the configuration has no subject, or a signed cookie cannot hold the id.
pub fn add_subject(
    config: &Config,
    keys: &Keys,
    id: &str,
    now: u64,
    headers: &mut Vec<(String, String)>,
) -> Result<(), String> {
    let cookie = |slot: &usize| config.cookies.get(*slot).cloned().unwrap_or_default();
    // As fresh as the filter would have set it, so that it is not due to be renewed.
    let signed = |name: String, age: u64| {
        let token = keys.sign(&id_binding(&name), id, now.saturating_add(age));
        let token = token.ok_or_else(|| {
            format!("subject {id}: an id in a signed cookie consists of A-Z, a-z, 0-9, `_`, `~` and `-`")
        })?;
        Ok::<_, String>(format!("{name}={token}"))
    };
    let pair = match config.subject.first() {
        None => return Err("this configuration has no subject".to_owned()),
        Some(SubjectSource::Header(name)) => {
            let name = String::from_utf8_lossy(name).into_owned();
            headers.retain(|(other, _)| *other != name);
            headers.push((name, id.to_owned()));
            return Ok(());
        }
        Some(SubjectSource::Cookie { slot, trusted: true }) => format!("{}={id}", cookie(slot)),
        Some(SubjectSource::Cookie { slot, .. }) => signed(cookie(slot), 86_400)?,
        Some(SubjectSource::Generate { slot, cookie: spec }) => signed(cookie(slot), spec.max_age)?,
    };
    // First, so that no other cookie of the name wins.
    headers.insert(0, ("cookie".to_owned(), pair));
    Ok(())
}

/// Tag headers that already have the value they are to have, so that nothing needs to be changed.
pub fn kept<'a>(answer: &'a Answer<'_>) -> impl Iterator<Item = (&'a str, String)> {
    let changes = &answer.effects.request;
    let is_changed = move |tag: &str| {
        changes.iter().any(|change| match change {
            Change::Set(name, _) | Change::Remove(name) => name == tag,
        })
    };
    let tags = answer.source.config.tags.iter().filter(move |tag| !is_changed(tag));
    tags.filter_map(|tag| Some((tag.as_str(), lossy(answer.request.first(tag.as_bytes())?))))
}

/// The `cookie` header as the upstream gets it.
#[must_use]
pub fn forwarded(answer: &Answer<'_>) -> Option<String> {
    for change in &answer.effects.request {
        match change {
            Change::Set(name, value) if name == "cookie" => return Some(lossy(value)),
            Change::Remove(name) if name == "cookie" => return None,
            _ => {}
        }
    }
    let lines: Vec<String> = answer.request.cookies().map(lossy).collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

/// Why, in words, with the reason's name as metrics have it.
#[must_use]
pub fn words(config: &Config, flag: &Flag, outcome: &Outcome, answer: &Answer<'_>) -> String {
    let place = answer.decision.subject.as_deref().map(|subject| {
        let bucket = bucket(flag.salt.as_bytes(), subject);
        format!("the subject is at {} %", percent(bucket))
    });
    let place = place.unwrap_or_default();
    let cookie = flag.opt_in.as_ref().and_then(|cookie| config.cookies.get(cookie.slot));
    let cookie = cookie.map_or("", String::as_str);
    let mut why = match outcome.reason {
        Reason::Off if config.mode == Mode::Off => "the filter's mode is off".to_owned(),
        Reason::Off => "the flag is not enabled".to_owned(),
        Reason::Window => "now is outside the flag's window".to_owned(),
        Reason::Unmatched => "the flag does not apply to this request (when)".to_owned(),
        Reason::Trusted => "the peer is trusted: its tag is kept".to_owned(),
        Reason::Deny => "on the deny list".to_owned(),
        Reason::Allow => "on the allow list".to_owned(),
        Reason::Override => "an override in the query asks for it".to_owned(),
        Reason::OptIn => format!("the cookie `{cookie}` opts in"),
        Reason::OptOut => format!("the cookie `{cookie}` opts out"),
        Reason::Pin => "pinned by an earlier decision".to_owned(),
        Reason::NoSubject => "there is no subject to hash".to_owned(),
        Reason::Layer => "the subject belongs to another part of the flag's layer".to_owned(),
        Reason::Holdback => format!("{place}, in the holdback"),
        Reason::Hash => {
            let slice =
                outcome.variant.and_then(|index| flag.variants.get(index)).map(|variant| variant.slice);
            let slice =
                slice.map(|slice| format!(" from {} to {} %", percent(slice.start), percent(slice.end())));
            format!("{place}, in the slice{}", slice.unwrap_or_default())
        }
        Reason::Stable if flag.has_rollout => format!("{place}, in no variant's slice"),
        Reason::Stable => "nothing chose a variant, and there is no rollout".to_owned(),
    };
    if matches!(outcome.cookie, CookieFate::Refused | CookieFate::RefusedForGood) {
        let _ = write!(why, "; the cookie `{cookie}` is refused and not forwarded");
    }
    let _ = write!(why, " ({})", outcome.reason.name());
    why
}

/// Thousandths of a percent.
#[must_use]
pub fn percent(thousandths: u32) -> String {
    let (whole, rest) = (thousandths / 1000, thousandths % 1000);
    format!("{whole}.{rest:03}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_short() {
        assert_eq!(
            (percent(0).as_str(), percent(2_500).as_str(), percent(100_000).as_str()),
            ("0", "2.5", "100")
        );
        assert_eq!(percent(1), "0.001");
    }
}
