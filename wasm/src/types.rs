//! The TypeScript declarations of everything that crosses to JavaScript, derived from the wire types.

use std::fmt::Write as _;

use coalmine::render::json;
use ts_rs::{Config, TS};

use crate::api;

/// The declarations, as `types.d.ts` has them.
#[must_use]
pub fn declarations() -> String {
    let config = Config::new();
    let mut out = String::from("// Derived from the wire types by `cargo xtask docs`.\n");
    let mut add = |docs: Option<String>, declaration: String| {
        let _ =
            write!(out, "\n{}\nexport {}\n", tidy(docs.as_deref().unwrap_or_default()), tidy(&declaration));
    };
    macro_rules! all {
        ($($type:ty),+ $(,)?) => { $( add(<$type>::docs(), <$type>::decl(&config)); )+ };
    }
    add(
        Some("/** How bad a finding is. */".into()),
        r#"type Severity = "error" | "warning" | "info";"#.into(),
    );
    all!(
        json::JsonPosition,
        json::JsonRange,
        json::JsonResource,
        json::JsonRelated,
        json::JsonEdit,
        json::JsonFix<'static>,
        json::JsonDiagnostic<'static>,
        json::JsonSummary,
        json::Output<'static>,
        json::JsonRule<'static>,
        json::RuleList<'static>,
        api::WireUnits,
        api::LintOptions,
        api::FindingOffset,
        api::FindingRange,
        api::Finding,
        api::FixOptions,
        api::TextFile,
        api::Fixed,
        api::RulePage,
    );
    out
}

/// Comments of one line on one line, one field a line, indented.
fn tidy(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut depth = 0;
    for line in text.replace(", };", ",\n};").lines().map(str::trim) {
        depth -= usize::from(line.starts_with('}'));
        let last = lines.last_mut();
        match last {
            Some(last) if line == "*/" && last.trim_start().starts_with("* ") => {
                let sentence = last.trim_start().trim_start_matches("* ").to_owned();
                let is_short = lines.iter().nth_back(1).is_some_and(|before| before.trim() == "/**");
                if is_short {
                    lines.truncate(lines.len() - 2);
                    lines.push(format!("{}/** {sentence} */", "  ".repeat(depth)));
                } else {
                    lines.push(format!("{} */", "  ".repeat(depth)));
                }
            }
            _ => {
                let indent = "  ".repeat(depth) + if line.starts_with('*') { " " } else { "" };
                lines.push(format!("{indent}{line}"));
            }
        }
        depth += usize::from(line.ends_with('{'));
    }
    lines.join("\n")
}
