//! Decisions of the filter as JSON, version 1: what `coalmine decide --format json` prints. Additions are free; what is
//! here stays.

use coalmine_filter::config::Severity;
use coalmine_filter::effects::{Change, variant_name};
use serde::Serialize;

use crate::decide::{Answer, Located, forwarded, kept, words};

/// What the filter decides about a request.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "Decision"))]
pub struct JsonDecision<'a> {
    /// 1.
    version: u32,
    /// By which configuration.
    config: JsonConfig<'a>,
    /// What is wrong with that.
    problems: Vec<JsonProblem<'a>>,
    /// Who is dealt with; null when nobody can be told.
    subject: Option<String>,
    /// What is decided about each flag.
    flags: Vec<JsonFlag<'a>>,
    /// The request to the upstream.
    request: JsonRequest<'a>,
    /// The response to the client.
    response: JsonResponse<'a>,
    /// Signatures are real: a key was given, or none is needed.
    signed: bool,
}

/// A configuration of the filter.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "DecisionConfig"))]
struct JsonConfig<'a> {
    /// The name of the file.
    file: &'a str,
    /// `WasmPlugin ns/name`; null for a bare `pluginConfig`.
    object: Option<&'a str>,
    /// It has errors: the filter only removes tags.
    inert: bool,
}

/// A problem of a configuration.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "DecisionProblem"))]
pub struct JsonProblem<'a> {
    /// How bad it is.
    #[cfg_attr(feature = "ts", ts(type = "\"error\" | \"warning\""))]
    severity: &'a str,
    /// The field.
    path: String,
    /// What is wrong.
    message: &'a str,
    /// 1-based.
    line: Option<u32>,
    /// 1-based, in Unicode scalar values.
    column: Option<u32>,
}

/// What is decided about a flag.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "DecisionFlag"))]
struct JsonFlag<'a> {
    /// The flag.
    flag: &'a str,
    /// `stable` for none.
    variant: &'a str,
    /// As the filter's metrics have it.
    reason: &'a str,
    /// The reason in words.
    explanation: String,
}

/// What becomes of the request.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "DecisionRequest"))]
struct JsonRequest<'a> {
    /// Headers that are set.
    set: Vec<JsonHeader<'a>>,
    /// Headers that are removed.
    remove: Vec<&'a str>,
    /// Tags that already are what they are to be.
    keep: Vec<JsonHeader<'a>>,
    /// The `cookie` header as the upstream gets it; null for none.
    cookie: Option<String>,
}

/// A header of a decision.
#[derive(Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "DecisionHeader"))]
struct JsonHeader<'a> {
    /// In lower case.
    name: &'a str,
    /// As sent.
    value: String,
}

/// What becomes of the response.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename = "DecisionResponse"))]
struct JsonResponse<'a> {
    /// `set-cookie` lines.
    set_cookie: Vec<&'a str>,
    /// Headers that are set.
    set: Vec<JsonHeader<'a>>,
    /// What is added to `vary`; null for nothing.
    vary: Option<&'a str>,
    /// `private`, unless the upstream says so; null for nothing.
    cache_control: Option<&'a str>,
}

/// One decided request.
#[must_use]
pub fn output<'a>(answer: &'a Answer<'a>) -> JsonDecision<'a> {
    let config = &answer.source.config;
    let flags = config.flags.iter().zip(&answer.decision.outcomes);
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut request =
        JsonRequest { set: Vec::new(), remove: Vec::new(), keep: Vec::new(), cookie: forwarded(answer) };
    for change in &answer.effects.request {
        match change {
            Change::Set(name, _) if name == "cookie" => {}
            Change::Set(name, value) => request.set.push(JsonHeader { name, value: lossy(value) }),
            Change::Remove(name) => request.remove.push(name),
        }
    }
    request.keep = kept(answer).map(|(name, value)| JsonHeader { name, value }).collect();
    let response = &answer.effects.response;
    JsonDecision {
        version: 1,
        config: JsonConfig {
            file: &answer.source.file,
            object: answer.source.object.as_deref(),
            inert: config.inert,
        },
        problems: problems(&answer.source.problems),
        subject: answer.decision.subject.as_deref().map(lossy),
        flags: flags
            .map(|(flag, outcome)| JsonFlag {
                flag: &flag.name,
                variant: variant_name(flag, outcome.variant),
                reason: outcome.reason.name(),
                explanation: words(config, flag, outcome, answer),
            })
            .collect(),
        request,
        response: JsonResponse {
            set_cookie: response.cookies.iter().map(|(_, line)| line.as_str()).collect(),
            set: response
                .headers
                .iter()
                .map(|(name, value)| JsonHeader { name: name.as_ref(), value: value.to_string() })
                .collect(),
            vary: Some(response.vary.as_str()).filter(|vary| !vary.is_empty()),
            cache_control: response.private.then_some("private"),
        },
        signed: !(answer.stand_in && config.needs_key),
    }
}

/// What is wrong with a configuration.
#[must_use]
pub fn problems(problems: &[Located]) -> Vec<JsonProblem<'_>> {
    let problem = problems.iter().map(|Located { problem, text, place }| JsonProblem {
        severity: if problem.severity == Severity::Warning { "warning" } else { "error" },
        path: problem.path.to_string(),
        message: text,
        line: place.map(|(line, _)| line),
        column: place.map(|(_, column)| column),
    });
    problem.collect()
}

/// Declares the types of this format for TypeScript.
#[cfg(feature = "ts")]
pub(crate) fn declare(to: &mut crate::typescript::Declarations) {
    to.add::<JsonHeader<'static>>();
    to.add::<JsonConfig<'static>>();
    to.add::<JsonProblem<'static>>();
    to.add::<JsonFlag<'static>>();
    to.add::<JsonRequest<'static>>();
    to.add::<JsonResponse<'static>>();
    to.add::<JsonDecision<'static>>();
}
