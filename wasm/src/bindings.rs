//! The JavaScript side of [`crate::api`]: names, conversions, errors.

use std::cell::RefCell;

use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::*;

use coalmine::render::graph::render;

use crate::api::{self, GraphOptions, Texts};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("../types.d.ts");

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(text: &str);
}

/// Says what happened before the module traps: a trap alone is `unreachable` and nothing else.
#[wasm_bindgen(start, private)]
fn start() {
    std::panic::set_hook(Box::new(|panic| {
        console_error(&format!(
            "coalmine: internal error: {panic}\nThis is a bug. Please report it with the input that shows it."
        ));
    }));
}

fn to_js(value: &impl Serialize) -> Result<JsValue, JsError> {
    parse(&serde_json::to_string(value)?)
}

fn parse(text: &str) -> Result<JsValue, JsError> {
    js_sys::JSON::parse(text).map_err(|_| JsError::new("the result is no JSON; this is a bug of coalmine"))
}

/// Reads options; `undefined` and `null` are the defaults.
fn from_js<T: DeserializeOwned + Default>(what: &str, value: &JsValue) -> Result<T, JsError> {
    if value.is_undefined() || value.is_null() {
        return Ok(T::default());
    }
    let text = js_sys::JSON::stringify(value).ok().and_then(|text| text.as_string());
    let text = text.ok_or_else(|| JsError::new(&format!("{what}: not a plain object")))?;
    api::options(what, &text).map_err(error)
}

fn error(message: String) -> JsError {
    JsError::new(&message)
}

/// Files held in memory, linted together as the command line lints the folder that holds them: those with the same
/// nearest `coalmine.yaml` are one deployment.
///
/// Nothing is kept but the texts. Every method may be called after another has thrown.
#[wasm_bindgen]
#[derive(Default)]
pub struct Linter {
    // Borrowed for no longer than it takes to copy, so that a trap in the linter leaves it free.
    texts: RefCell<Texts>,
}

#[wasm_bindgen]
impl Linter {
    /// A linter without files.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file or replaces its text.
    ///
    /// @param name a path with `/`, relative to the folder that holds everything. Only YAML and JSON is linted, and
    /// neither `*.routes.yaml` nor the templates of Helm charts; `coalmine.yaml` governs the files below its folder.
    #[wasm_bindgen(js_name = setFile)]
    pub fn set_file(&self, name: &str, text: String) {
        self.texts.borrow_mut().set(name, text);
    }

    /// Removes a file; false when there was none of that name.
    #[wasm_bindgen(js_name = removeFile)]
    pub fn remove_file(&self, name: &str) -> bool {
        self.texts.borrow_mut().remove(name)
    }

    /// The names of all files, sorted.
    #[wasm_bindgen(js_name = fileNames)]
    #[must_use]
    pub fn file_names(&self) -> Vec<String> {
        self.texts.borrow().names().map(str::to_owned).collect()
    }

    /// Every finding: the same as `coalmine lint --format json`.
    ///
    /// @throws when a `coalmine.yaml` that governs a file cannot be used.
    #[wasm_bindgen(unchecked_return_type = "Report")]
    pub fn lint(
        &self,
        #[wasm_bindgen(unchecked_optional_param_type = "LintOptions")] options: &JsValue,
    ) -> Result<JsValue, JsError> {
        let options = from_js("lint options", options)?;
        self.texts().lint(&options, |report| to_js(report)).map_err(error)?
    }

    /// The steps of the rollout that the deployment of a file goes through; none without a rollout.
    ///
    /// @throws when a `coalmine.yaml` that governs a file cannot be used, or there is no such file.
    pub fn steps(&self, file: Option<String>) -> Result<Vec<String>, JsError> {
        self.texts().steps(file.as_deref()).map_err(error)
    }

    /// The routing graph of a state: the same as `coalmine graph --format json`.
    ///
    /// @throws when a `coalmine.yaml` cannot be used, or there is no such step or file.
    #[wasm_bindgen(unchecked_return_type = "Graph")]
    pub fn graph(
        &self,
        #[wasm_bindgen(unchecked_optional_param_type = "GraphOptions")] options: &JsValue,
    ) -> Result<JsValue, JsError> {
        let options: GraphOptions = from_js("graph options", options)?;
        let units = options.units.into();
        let json =
            self.texts().graph(&options, |graph, files, _| render(graph, files, units)).map_err(error)?;
        parse(&json)
    }

    /// The routing graph of a state as a picture: the same as `coalmine graph`.
    ///
    /// @param format `svg` for a page, `mermaid` and `dot` for those tools.
    /// @throws when a `coalmine.yaml` cannot be used, or there is no such step or file.
    pub fn draw(
        &self,
        #[wasm_bindgen(unchecked_param_type = "\"svg\" | \"mermaid\" | \"dot\"")] format: &str,
        #[wasm_bindgen(unchecked_optional_param_type = "GraphOptions")] options: &JsValue,
    ) -> Result<String, JsError> {
        let options = from_js("graph options", options)?;
        self.texts().draw(format, &options).map_err(error)
    }

    /// Follows a request hop by hop: the same as `coalmine route --format json`, and the way in the graph.
    ///
    /// @throws when a `coalmine.yaml` cannot be used, there is no such step or file, the request is none, or nothing in the
    /// state can send it.
    #[wasm_bindgen(unchecked_return_type = "Followed")]
    pub fn route(
        &self,
        #[wasm_bindgen(unchecked_param_type = "RouteQuestion")] request: &JsValue,
    ) -> Result<JsValue, JsError> {
        let question = from_js("request", request)?;
        self.texts().route(&question, now(), |route| to_js(route)).map_err(error)?
    }

    /// Fixes what can be fixed, or one finding, and answers with the files that change. A fix is only applied when it
    /// removes its finding and adds none.
    ///
    /// @throws when a `coalmine.yaml` cannot be used, or the finding is not there any more.
    #[wasm_bindgen(unchecked_return_type = "Fixed")]
    pub fn fix(
        &self,
        #[wasm_bindgen(unchecked_optional_param_type = "FixOptions")] options: &JsValue,
    ) -> Result<JsValue, JsError> {
        let options = from_js("fix options", options)?;
        to_js(&self.texts().fix(&options).map_err(error)?)
    }

    fn texts(&self) -> Texts {
        self.texts.borrow().clone()
    }
}

/// What the filter decides about a request, by the filter's own code: the same as `coalmine decide --format json`.
///
/// @param config a manifest with a WasmPlugin that runs the filter, or a bare `pluginConfig`.
/// @throws when there is no configuration in it, or it is unclear which is meant.
#[wasm_bindgen(unchecked_return_type = "Decision")]
pub fn decide(
    config: &str,
    #[wasm_bindgen(unchecked_optional_param_type = "DecideQuestion")] request: &JsValue,
) -> Result<JsValue, JsError> {
    let question = from_js("request", request)?;
    // Ids that live as long as an answer, and keys that nobody else has: no secret hangs on them.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let mut random = || [(); 16].map(|()| (js_sys::Math::random() * 256.0) as u8);
    api::decide(config, &question, now(), &mut random, |decision| to_js(decision)).map_err(error)?
}

/// Seconds since 1970.
fn now() -> u64 {
    // They fit exactly into a double for longer than there will be proxies.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let seconds = (js_sys::Date::now() / 1000.0) as u64;
    seconds
}

/// Every rule: the same as `coalmine rules --format json`.
#[wasm_bindgen(unchecked_return_type = "RuleList")]
pub fn rules() -> Result<JsValue, JsError> {
    to_js(&coalmine::render::json::rule_list())
}

/// A rule with its documentation.
///
/// @throws when there is no such rule.
#[wasm_bindgen(unchecked_return_type = "RulePage")]
pub fn explain(id: &str) -> Result<JsValue, JsError> {
    to_js(&api::explain(id).map_err(error)?)
}

/// The version of coalmine.
#[wasm_bindgen]
#[must_use]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}
