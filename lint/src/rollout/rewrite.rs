//! Puts a proposed order into the text of a `coalmine.yaml`: steps that stay keep every byte, commands that
//! move take the comments above them along, and the result is read again before it counts.

use std::fmt::Write as _;

use super::order::{ProposedAction, ProposedStep};
use super::plan::Verb;
use crate::files::Files;
use crate::settings::{Action, Settings, Step};
use crate::yaml::{Limits, NodeRef, parse, string_scalar};

/// An order as it would stand in a `coalmine.yaml`.
#[must_use]
pub fn render(steps: &[ProposedStep]) -> String {
    let mut out = String::from("rollout:\n");
    for step in steps {
        out.push_str(&step_text(step, "  "));
    }
    out
}

fn step_text(step: &ProposedStep, indent: &str) -> String {
    if let [only] = step.actions.as_slice()
        && only.verb == Verb::Apply
        && only.paths.as_slice() == std::slice::from_ref(&step.name)
    {
        return format!("{indent}- {}\n", string_scalar(&step.name));
    }
    let mut out = format!("{indent}- name: {}\n{indent}  actions:\n", string_scalar(&step.name));
    for action in &step.actions {
        out.push_str(&action_text(action, &format!("{indent}    ")));
    }
    out
}

fn action_text(action: &ProposedAction, indent: &str) -> String {
    let verb = action.verb.as_str();
    match action.paths.as_slice() {
        [one] => format!("{indent}- {verb}: {}\n", string_scalar(one)),
        several => {
            let mut out = format!("{indent}- {verb}:\n");
            for path in several {
                let _ = writeln!(out, "{indent}    - {}", string_scalar(path));
            }
            out
        }
    }
}

/// One entry of a list with the comments right above it: whole lines, and how far they are indented.
#[derive(Clone, Debug)]
struct Block {
    start: usize,
    end: usize,
    indent: usize,
}

/// Replaces the order in a `coalmine.yaml`.
///
/// # Errors
/// When the list is written in a way that cannot be changed line by line, or what came out does not read as
/// the order that was wanted. The message says what to do.
pub fn rewrite(text: &str, steps: &[ProposedStep]) -> Result<String, String> {
    const BY_HAND: &str = "write the order in by hand";
    let mut files = Files::new();
    let id = files.add("coalmine.yaml", text);
    let Some(file) = files.get(id) else { return Err(format!("it cannot be read; {BY_HAND}")) };
    let (documents, _) = parse(id, file, Limits::default());
    let root = documents.iter().find_map(|document| document.root());
    let rollout = root.and_then(|root| root.get("rollout"));
    let Some(rollout) = rollout.filter(|list| list.is_sequence()) else {
        return Err(format!("there is no list `rollout` in it; {BY_HAND}"));
    };
    let items: Vec<NodeRef<'_>> = rollout.items().collect();
    if rollout.is_flow() || rollout.is_alias() || items.iter().any(|item| item.is_alias()) {
        return Err(format!("`rollout` is not written as one entry per line; {BY_HAND}"));
    }
    let old = Settings::parse(text, "")?;
    let blocks =
        blocks(text, &items).ok_or(format!("`rollout` is not written as one entry per line; {BY_HAND}"))?;
    let indent = " ".repeat(blocks.first().map_or(2, |block| block.indent));
    let mut list = String::new();
    for step in steps {
        let number = old.rollout.iter().position(|own| own.name == step.name);
        let written = number.and_then(|number| Some((number, items.get(number)?, blocks.get(number)?)));
        match written {
            Some((_, _, block)) if step.is_unchanged => list.push_str(slice(text, block)),
            Some((number, item, block)) => list.push_str(&moved(text, number, *item, block, step, &indent)),
            None => list.push_str(&step_text(step, &indent)),
        }
        if !list.ends_with('\n') {
            list.push('\n');
        }
    }
    let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else {
        return Err(format!("`rollout` is empty; {BY_HAND}"));
    };
    let head = text.get(..first.start).unwrap_or("");
    let tail = text.get(last.end..).unwrap_or("");
    let new = format!("{head}{list}{tail}");
    let read = Settings::parse(&new, "")?;
    if read.rollout != wanted(steps) {
        return Err(format!("what came out does not read as the new order; {BY_HAND}"));
    }
    Ok(new)
}

/// The order as the settings hold it.
fn wanted(steps: &[ProposedStep]) -> Vec<Step> {
    let action = |action: &ProposedAction| match action.verb {
        Verb::Apply => Action::Apply(action.paths.clone()),
        Verb::Delete => Action::Delete(action.paths.clone()),
    };
    let step = |step: &ProposedStep| Step {
        name: step.name.clone(),
        actions: step.actions.iter().map(action).collect(),
    };
    steps.iter().map(step).collect()
}

fn slice<'t>(text: &'t str, block: &Block) -> &'t str {
    text.get(block.start..block.end).unwrap_or("")
}

/// A step whose commands are the written ones in another order, or new text where that is not so.
fn moved(
    text: &str,
    number: usize,
    item: NodeRef<'_>,
    block: &Block,
    step: &ProposedStep,
    indent: &str,
) -> String {
    let comments = || {
        let own: Vec<&str> =
            slice(text, block).lines().take_while(|line| !line.trim_start().starts_with('-')).collect();
        if own.is_empty() { String::new() } else { format!("{}\n", own.join("\n")) }
    };
    let whole = slice(text, block);
    let gap = "\n".repeat((whole.len() - whole.trim_end_matches('\n').len()).saturating_sub(1));
    let fresh = || format!("{}{}{gap}", comments(), step_text(step, indent));
    let Some(actions) = item.get("actions").filter(|list| list.is_sequence() && !list.is_flow()) else {
        return fresh();
    };
    let nodes: Vec<NodeRef<'_>> = actions.items().collect();
    let Some(own) = blocks(text, &nodes) else { return fresh() };
    let (Some(first), Some(last)) = (own.first(), own.last()) else { return fresh() };
    let inner = " ".repeat(first.indent);
    let mut out = text.get(block.start..first.start).unwrap_or("").to_owned();
    for action in &step.actions {
        let kept = action.origin.filter(|(from, _)| *from == number).and_then(|(_, index)| own.get(index));
        match kept {
            Some(kept) => out.push_str(slice(text, kept).trim_end_matches('\n')),
            None => out.push_str(action_text(action, &inner).trim_end_matches('\n')),
        }
        out.push('\n');
    }
    // What follows the last command, such as a blank line, stays after the step.
    let rest = text.get(last.end..block.end).unwrap_or("");
    format!("{out}{rest}")
}

/// The lines of each entry of a block list. An entry owns the comments right above it, and everything up to
/// the next entry; `None` when two entries share a line.
fn blocks(text: &str, items: &[NodeRef<'_>]) -> Option<Vec<Block>> {
    let line_start =
        |offset: usize| text.get(..offset).and_then(|head| head.rfind('\n')).map_or(0, |at| at + 1);
    let mut starts: Vec<(usize, usize)> = Vec::new();
    let mut end = 0;
    for item in items {
        let range = item.span().range();
        let dash = text.get(..range.start)?.rfind('-')?;
        let start = line_start(dash);
        let indent = dash - start;
        if !text.get(start..dash)?.trim().is_empty() || starts.last().is_some_and(|(last, _)| *last >= start)
        {
            return None;
        }
        starts.push((start, indent));
        end = text.get(range.end..)?.find('\n').map_or(text.len(), |at| range.end + at + 1);
        // The span of a block collection may end at the start of the next line.
        if range.end > range.start && text.get(..range.end)?.ends_with('\n') {
            end = range.end;
        }
    }
    let with_comments = |start: usize| {
        let mut from = start;
        while from > 0 {
            let above = line_start(from - 1);
            if !text.get(above..from).unwrap_or("").trim_start().starts_with('#') {
                break;
            }
            from = above;
        }
        from
    };
    let firsts: Vec<usize> = starts.iter().map(|(start, _)| with_comments(*start)).collect();
    let ends = firsts.iter().copied().skip(1).chain(std::iter::once(end));
    let blocks = firsts.iter().zip(ends).zip(&starts);
    Some(blocks.map(|((start, end), (_, indent))| Block { start: *start, end, indent: *indent }).collect())
}
