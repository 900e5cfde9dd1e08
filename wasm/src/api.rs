//! What the bindings do, without JavaScript: texts in, wire types out. The judgement is the linter's.

use std::collections::BTreeMap;

use coalmine::deployments::{Deployment, deployments};
use coalmine::render::{Units, json};
use coalmine::rule::did_you_mean;
use coalmine::rules::{RULES, find};
use coalmine::{Linted, Safety, Settings, fix};
use serde::{Deserialize, Serialize};

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

/// A name without `./` before it.
fn clean(name: &str) -> &str {
    name.trim_start_matches("./")
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
mod tests {
    use super::*;

    const ROUTE: &str = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: shop}\nspec:\n  \
                         hosts: [shop]\n  http:\n  - route:\n    - destination: {host: shop, subset: v2}\n      \
                         weight: 50\n  - route:\n    - destination: {host: shop}\n";

    fn texts(files: &[(&str, &str)]) -> Texts {
        let mut texts = Texts::default();
        for (name, text) in files {
            texts.set(name, (*text).to_owned());
        }
        texts
    }

    fn rules(texts: &Texts) -> Vec<String> {
        let rules =
            |report: &json::Output<'_>| report.diagnostics.iter().map(|d| d.rule.to_owned()).collect();
        texts.lint(&LintOptions::default(), rules).unwrap()
    }

    #[test]
    fn files_can_be_replaced_and_removed() {
        let mut texts = texts(&[("./a.yaml", "a: 1\na: 2\n")]);
        assert_eq!(rules(&texts), ["duplicate-key"]);
        texts.set("a.yaml", "a: 1\n".into());
        assert_eq!(rules(&texts), [""; 0]);
        assert_eq!(texts.names().collect::<Vec<_>>(), ["a.yaml"]);
        assert!(texts.remove("./a.yaml"));
        assert!(!texts.remove("a.yaml"));
    }

    #[test]
    fn settings_are_a_file_among_the_files() {
        let duplicate = ("shop/a.yaml", "a: 1\na: 2\n");
        assert_eq!(
            rules(&texts(&[duplicate, ("shop/coalmine.yaml", "rules: {duplicate-key: off}")])),
            [""; 0]
        );
        assert_eq!(rules(&texts(&[duplicate, ("eu/coalmine.yaml", "rules: {duplicate-key: off}")])).len(), 1);
        let broken = texts(&[duplicate, ("shop/coalmine.yaml", "rules: {duplicate: off}")]);
        let error = broken.lint(&LintOptions::default(), |_| ()).unwrap_err();
        assert!(error.starts_with("shop/coalmine.yaml: unknown rule `duplicate`"), "{error}");
    }

    #[test]
    fn one_finding_is_fixed_and_a_stale_one_is_refused() {
        let texts = texts(&[("route.yaml", ROUTE)]);
        for units in [WireUnits::Scalars, WireUnits::Utf16] {
            let finding: Finding = texts
                .lint(&LintOptions { units }, |report| {
                    let fixable = report.diagnostics.iter().find(|d| d.fix.is_some()).unwrap();
                    serde_json::from_value(serde_json::to_value(fixable).unwrap()).unwrap()
                })
                .unwrap();
            let mut options = FixOptions { finding: Some(finding), units, ..FixOptions::default() };
            let fixed = texts.fix(&options).unwrap();
            assert_eq!((fixed.applied, fixed.files.len()), (1, 1));
            assert_ne!(fixed.files[0].text, ROUTE);
            options.finding.as_mut().unwrap().range.start.offset += 1;
            assert!(texts.fix(&options).is_err());
        }
    }

    #[test]
    fn an_unknown_rule_has_a_suggestion() {
        assert_eq!(
            explain("unknown-subst").err().unwrap(),
            "there is no rule `unknown-subst`; did you mean `unknown-subset`?"
        );
        assert!(explain("unknown-subset").unwrap().markdown.contains("## What it does"));
    }
}
