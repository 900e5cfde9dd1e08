//! Decisions and overrides, for people and as JSON.

use std::fmt::Write as _;

use coalmine_filter::config::{Flag, Mode};
use coalmine_filter::decide::Outcome;
use coalmine_filter::effects::{Change, variant_name};
use serde::Serialize;
use serde_json::json;

use coalmine::decide::{Answer, forwarded, kept, words};

use crate::cli::terminal::shown;

/// A decision for the terminal.
pub(super) fn human(answer: &Answer<'_>) -> String {
    let config = &answer.source.config;
    let mut out = String::new();
    let flags = || config.flags.iter().zip(&answer.decision.outcomes);
    let wide = |length: fn(&(&Flag, &Outcome)) -> usize| flags().map(|pair| length(&pair)).max().unwrap_or(0);
    let (names, variants) = (
        wide(|(flag, _)| flag.name.len()),
        wide(|(flag, outcome)| variant_name(flag, outcome.variant).len()),
    );
    for (flag, outcome) in flags() {
        let why = words(config, flag, outcome, answer);
        let variant = variant_name(flag, outcome.variant);
        let _ = writeln!(out, "{:names$}  {variant:variants$}  {why}", flag.name);
    }
    if config.inert {
        out.push_str("The configuration has errors: the filter only removes tags, everyone is stable.\n");
    } else if config.flags.is_empty() {
        out.push_str("There are no flags.\n");
    }
    if config.mode == Mode::Observe {
        out.push_str("The mode is observe: decisions are counted, and nothing is set.\n");
    }
    let mut section = |title: &str, lines: Vec<(&str, String)>| {
        let _ = writeln!(out, "\n{title}");
        if lines.is_empty() {
            out.push_str("  unchanged\n");
        }
        for (what, line) in lines {
            let _ = writeln!(out, "  {what:10}  {}", shown(&line));
        }
    };
    let mut request = Vec::new();
    for change in &answer.effects.request {
        match change {
            Change::Set(name, _) if name == "cookie" => {}
            Change::Set(name, value) => {
                request.push(("set", format!("{name}: {}", String::from_utf8_lossy(value))));
            }
            Change::Remove(name) => request.push(("remove", name.clone().into_owned())),
        }
    }
    request.extend(kept(answer).map(|(name, value)| ("keep", format!("{name}: {value}"))));
    if let Some(cookies) = forwarded(answer) {
        request.push(("forward", format!("cookie: {cookies}")));
    }
    let mut lines: Vec<(&str, String)> = Vec::new();
    match &answer.effects.redirect {
        Some(target) => lines.push(("redirect", format!("302, location: {target}"))),
        None => section("request to the upstream", request),
    }
    let response = &answer.effects.response;
    lines.extend(response.cookies.iter().map(|(_, line)| ("set-cookie", line.clone())));
    lines.extend(response.headers.iter().map(|(name, value)| ("set", format!("{name}: {value}"))));
    if !response.vary.is_empty() {
        lines.push(("vary", response.vary.clone()));
    }
    if response.private {
        lines.push(("cache", "cache-control: private, unless the upstream says so or no-store".to_owned()));
    }
    section("response to the client", lines);
    if answer.stand_in && config.needs_key {
        out.push_str(
            "\nNo key was given (--key, or its environment variable): signatures above are not real.\n",
        );
    }
    out
}

/// One value on a line of its own, indented.
pub(super) fn line(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

/// A signed override and how to use it.
pub(super) fn signed(
    token: &str,
    parameter: &str,
    path: &str,
    host: &str,
    expiry: u64,
    subject: &str,
) -> String {
    let mark = if path.contains('?') { '&' } else { '?' };
    let who = if subject.is_empty() {
        "Whoever has it can use it; --subject would bind it to one.".to_owned()
    } else {
        format!("It works for the subject `{}` alone.", shown(subject))
    };
    format!(
        "{token}\n\nSend it with a GET request as the query parameter `{parameter}`, before {}:\n\n  \
         https://{host}{path}{mark}{parameter}={token}\n\n{who}\n",
        utc(expiry)
    )
}

/// The same as JSON.
pub(super) fn signed_json(
    token: &str,
    parameter: &str,
    flag: &str,
    variant: &str,
    expiry: u64,
    subject: &str,
) -> String {
    line(&json!({
        "version": 1,
        "token": token,
        "parameter": parameter,
        "flag": flag,
        "variant": variant,
        "expires": utc(expiry),
        "subject": (!subject.is_empty()).then_some(subject),
    }))
}

/// Seconds since 1970 as RFC 3339, by Howard Hinnant's civil calendar.
fn utc(seconds: u64) -> String {
    let (days, clock) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_the_filter_reads() {
        for text in
            ["1970-01-01T00:00:00Z", "2024-02-29T23:59:59Z", "2026-12-01T00:00:00Z", "2100-03-01T12:30:01Z"]
        {
            assert_eq!(coalmine_filter::config::time(text).map(utc).as_deref(), Some(text));
        }
    }
}
