//! `coalmine rules` and `coalmine explain`.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use anyhow::{Result, bail};
use coalmine::render::json;
use coalmine::rule::{Rule, did_you_mean};
use coalmine::rules::{RULES, find};

use super::Exit;
use super::args::RulesFormat;

/// Prints every rule.
pub(crate) fn rules(format: RulesFormat) -> Result<Exit> {
    let text = match format {
        RulesFormat::Json => json::rules(),
        RulesFormat::Human => table(),
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(Exit::Clean)
}

fn table() -> String {
    let mut rules: Vec<&Rule> = RULES.to_vec();
    rules.sort_by_key(|rule| rule.category);
    let width = rules.iter().map(|rule| rule.id.len()).max().unwrap_or(0);
    let mut out = String::new();
    let mut category = None;
    for rule in rules {
        if category != Some(rule.category) {
            let gap = if category.is_some() { "\n" } else { "" };
            let _ = writeln!(out, "{gap}{}", rule.category.as_str());
            category = Some(rule.category);
        }
        let fix = match rule.fix.as_str() {
            "none" => "",
            fix => fix,
        };
        let _ =
            writeln!(out, "  {:width$}  {:7}  {fix:6}  {}", rule.id, rule.severity.as_str(), rule.summary());
    }
    let _ =
        writeln!(out, "\nsafe and unsafe say which rules can repair what they find (--fix, --unsafe-fixes).");
    out
}

/// Prints the page of one rule.
pub(crate) fn explain(id: &str, color: bool) -> Result<Exit> {
    let Some(rule) = find(id) else {
        let near = did_you_mean(id, RULES.iter().map(|rule| rule.id));
        match near {
            Some(near) => bail!("there is no rule `{id}`; did you mean `{near}`?"),
            None => bail!("there is no rule `{id}`; `coalmine rules` lists all of them"),
        }
    };
    let (bold, dim, plain) = if color { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
    let mut out = format!("{bold}{}{plain}\n", rule.id);
    let _ = write!(out, "{dim}{} · {}", rule.severity.as_str(), rule.category.as_str());
    if rule.fix.as_str() != "none" {
        let _ = write!(out, " · {} fix", rule.fix.as_str());
    }
    if !rule.upstream.is_empty() {
        let _ = write!(out, " · covers {}", rule.upstream.join(", "));
    }
    let _ = writeln!(out, "{plain}");
    for line in rule.markdown().lines() {
        match line.strip_prefix("## ") {
            Some(heading) => {
                let _ = writeln!(out, "{bold}{heading}{plain}");
            }
            None if line.starts_with("```") => {}
            None => {
                let _ = writeln!(out, "  {line}");
            }
        }
    }
    io::stdout().write_all(out.trim_end().as_bytes())?;
    io::stdout().write_all(b"\n")?;
    Ok(Exit::Clean)
}
