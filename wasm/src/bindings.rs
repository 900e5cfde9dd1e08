//! The JavaScript side of [`crate::api`]: names, conversions, errors.

use std::cell::RefCell;

use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::*;

use crate::api::{self, Texts};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("../types.d.ts");

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(text: &str);
}

/// Says what happened before the module traps: a trap alone is `unreachable` and nothing else.
#[wasm_bindgen(start, skip_typescript)]
fn start() {
    std::panic::set_hook(Box::new(|panic| {
        console_error(&format!(
            "coalmine: internal error: {panic}\nThis is a bug. Please report it with the input that shows it."
        ));
    }));
}

fn to_js(value: &impl Serialize) -> Result<JsValue, JsError> {
    let text = serde_json::to_string(value)?;
    js_sys::JSON::parse(&text).map_err(|_| JsError::new("the result is no JSON; this is a bug of coalmine"))
}

/// Reads options; `undefined` and `null` are the defaults.
fn from_js<T: DeserializeOwned + Default>(what: &str, value: &JsValue) -> Result<T, JsError> {
    if value.is_undefined() || value.is_null() {
        return Ok(T::default());
    }
    let text = js_sys::JSON::stringify(value).ok().and_then(|text| text.as_string());
    let text = text.ok_or_else(|| JsError::new(&format!("{what}: not a plain object")))?;
    serde_json::from_str(&text).map_err(|error| JsError::new(&format!("{what}: {error}")))
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
