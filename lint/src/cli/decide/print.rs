//! Decisions and overrides, for people and as JSON.

use std::fmt::Write as _;

use coalmine_filter::bucket::bucket;
use coalmine_filter::config::{Config, Flag, Mode, Severity};
use coalmine_filter::decide::{CookieFate, Outcome, Reason};
use coalmine_filter::effects::{Change, variant_name};
use serde_json::{Value, json};

use super::{Answer, Located};

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
            Change::Set(name, value) => request.push(("set", format!("{name}: {}", lossy(value)))),
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

/// The same as JSON.
pub(super) fn json(answer: &Answer<'_>) -> String {
    let config = &answer.source.config;
    let flags: Vec<Value> = config
        .flags
        .iter()
        .zip(&answer.decision.outcomes)
        .map(|(flag, outcome)| {
            json!({
                "flag": flag.name,
                "variant": variant_name(flag, outcome.variant),
                "reason": outcome.reason.name(),
                "explanation": words(config, flag, outcome, answer),
            })
        })
        .collect();
    let changes = |pick: &dyn Fn(&Change<'_>) -> Option<Value>| -> Vec<Value> {
        answer.effects.request.iter().filter_map(pick).collect()
    };
    let set = changes(&|change| match change {
        Change::Set(name, value) if name != "cookie" => Some(json!({ "name": name, "value": lossy(value) })),
        _ => None,
    });
    let remove = changes(&|change| match change {
        Change::Remove(name) => Some(json!(name)),
        Change::Set(..) => None,
    });
    let keep: Vec<Value> =
        kept(answer).map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let response = &answer.effects.response;
    let headers: Vec<Value> =
        response.headers.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let cookies: Vec<&str> = response.cookies.iter().map(|(_, line)| line.as_str()).collect();
    let subject = answer.decision.subject.as_deref().map(lossy);
    line(&json!({
        "version": 1,
        "config": { "file": answer.source.file, "object": answer.source.object, "inert": config.inert },
        "problems": answer.source.problems.iter().map(problem).collect::<Vec<_>>(),
        "subject": subject,
        "flags": flags,
        "request": { "set": set, "remove": remove, "keep": keep, "cookie": forwarded(answer) },
        "response": {
            "redirect": answer.effects.redirect,
            "setCookie": cookies,
            "set": headers,
            "vary": (!response.vary.is_empty()).then_some(&response.vary),
            "cacheControl": response.private.then_some("private"),
        },
        "signed": !(answer.stand_in && config.needs_key),
    }))
}

/// A problem of the configuration as JSON.
pub(super) fn problem(Located { problem, text, place }: &Located) -> Value {
    let severity = if problem.severity == Severity::Warning { "warning" } else { "error" };
    json!({
        "severity": severity,
        "path": problem.path.to_string(),
        "message": text,
        "line": place.map(|(line, _)| line),
        "column": place.map(|(_, column)| column),
    })
}

/// One value on a line of its own, indented.
pub(super) fn line(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

/// Tag headers that already have the value they are to have, so that nothing needs to be changed.
fn kept<'a>(answer: &'a Answer<'_>) -> impl Iterator<Item = (&'a str, String)> {
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
fn forwarded(answer: &Answer<'_>) -> Option<String> {
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
fn words(config: &Config, flag: &Flag, outcome: &Outcome, answer: &Answer<'_>) -> String {
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
pub(super) fn percent(thousandths: u32) -> String {
    let (whole, rest) = (thousandths / 1000, thousandths % 1000);
    format!("{whole}.{rest:03}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Without anything a terminal would obey.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
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

    #[test]
    fn percentages_are_short() {
        assert_eq!(
            (percent(0).as_str(), percent(2_500).as_str(), percent(100_000).as_str()),
            ("0", "2.5", "100")
        );
        assert_eq!(percent(1), "0.001");
    }
}
