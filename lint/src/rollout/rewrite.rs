//! Puts a proposed order into the text of a `coalmine.yaml`: steps that stay keep every byte, commands that
//! move take the comments above them along, and the result is read again before it counts.

use std::fmt::Write as _;
use std::ops::Range;

use rustc_hash::FxHashSet;

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
    let comments: Vec<Range<usize>> =
        documents.iter().flat_map(|document| document.comments()).map(|comment| comment.range()).collect();
    let written: Vec<Written> = items
        .iter()
        .zip(&blocks)
        .map(|(item, block)| Written { block: block.clone(), actions: actions(text, *item) })
        .collect();
    let mut rewriter = Rewriter {
        text,
        written,
        comments,
        indent,
        told: FxHashSet::default(),
        dropped: FxHashSet::default(),
    };
    for (number, old) in old.rollout.iter().enumerate() {
        if steps.iter().all(|step| step.name != old.name) {
            rewriter.dropped.insert(number);
        }
    }
    let mut list = String::new();
    for step in steps {
        let number = old.rollout.iter().position(|own| own.name == step.name);
        let block = number.and_then(|number| blocks.get(number));
        match (number, block) {
            (_, Some(block)) if step.is_unchanged => list.push_str(slice(text, block)),
            (number, _) => list.push_str(&rewriter.step(number, step)),
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
    let old_list = text.get(first.start..last.end).unwrap_or("");
    if rewriter.comments.iter().filter_map(|range| text.get(range.clone())).any(|comment| {
        let comment = comment.trim_end();
        old_list.matches(comment).count() > list.matches(comment).count()
    }) {
        return Err(format!("a comment would be lost; {BY_HAND}"));
    }
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

/// A step as it stands in the text.
struct Written {
    block: Block,
    /// Its commands, where each has lines of its own.
    actions: Option<Vec<Block>>,
}

impl Written {
    /// What belongs to the step and to none of its commands.
    fn own(&self) -> Vec<Range<usize>> {
        let whole = self.block.start..self.block.end;
        match self.actions.as_deref() {
            Some([first, .., last]) => vec![whole.start..first.start, last.end..whole.end],
            Some([only]) => vec![whole.start..only.start, only.end..whole.end],
            _ => vec![whole],
        }
    }
}

/// The lines of the commands of a step.
fn actions(text: &str, item: NodeRef<'_>) -> Option<Vec<Block>> {
    let actions = item.get("actions").filter(|list| list.is_sequence() && !list.is_flow())?;
    let nodes: Vec<NodeRef<'_>> = actions.items().collect();
    blocks(text, &nodes).filter(|blocks| !blocks.is_empty())
}

struct Rewriter<'t> {
    text: &'t str,
    written: Vec<Written>,
    /// Every comment of the file.
    comments: Vec<Range<usize>>,
    indent: String,
    /// Commands that were taken apart and whose comments have been written.
    told: FxHashSet<(usize, usize)>,
    /// Steps that are no more and whose comments are still to be written.
    dropped: FxHashSet<usize>,
}

impl<'t> Rewriter<'t> {
    fn comments_in(&self, ranges: &[Range<usize>]) -> Vec<&'t str> {
        let inside =
            |own: &&Range<usize>| ranges.iter().any(|range| range.start <= own.start && own.end <= range.end);
        let own = self.comments.iter().filter(inside).filter_map(|own| self.text.get(own.clone()));
        own.map(str::trim_end).collect()
    }

    /// A step whose commands are the written ones in another order or from other steps, or new text.
    fn step(&mut self, number: Option<usize>, step: &ProposedStep) -> String {
        let text = self.text;
        let number = number.filter(|number| *number < self.written.len());
        let written = number.and_then(|number| self.written.get(number));
        let blocks = written.and_then(|written| Some((&written.block, written.actions.as_deref()?)));
        let (mut out, inner, rest) = match blocks {
            Some((block, [first, ..])) => {
                let end =
                    written.and_then(|w| w.actions.as_deref()?.last()).map_or(block.end, |last| last.end);
                let head = text.get(block.start..first.start).unwrap_or("").to_owned();
                let rest = text.get(end..block.end).unwrap_or("").to_owned();
                (head, " ".repeat(first.indent), rest)
            }
            _ => {
                let mut head = String::new();
                for comment in written.map(|written| self.comments_in(&written.own())).unwrap_or_default() {
                    let _ = writeln!(head, "{}{comment}", self.indent);
                }
                let whole = written.map_or("", |written| slice(text, &written.block));
                let gap = "\n".repeat((whole.len() - whole.trim_end_matches('\n').len()).saturating_sub(1));
                let is_plain = step.actions.iter().all(|action| Some(action.origin.0) == number);
                if is_plain {
                    return format!("{head}{}{gap}", step_text(step, &self.indent));
                }
                let _ =
                    write!(head, "{0}- name: {1}\n{0}  actions:\n", self.indent, string_scalar(&step.name));
                (head, format!("{}    ", self.indent), gap)
            }
        };
        for action in &step.actions {
            out.push_str(&self.action(action, &inner));
        }
        out.push_str(&rest);
        out
    }

    fn action(&mut self, action: &ProposedAction, indent: &str) -> String {
        let (from, index) = action.origin;
        let mut out = String::new();
        let Some(written) = self.written.get(from) else { return action_text(action, indent) };
        let block = written.actions.as_ref().and_then(|blocks| blocks.get(index)).cloned();
        let own = written.own();
        let mut lead = Vec::new();
        if self.dropped.remove(&from) {
            lead.extend(self.comments_in(&own));
        }
        let kept = block.as_ref().filter(|_| action.is_whole);
        if let (Some(block), None) = (&block, kept)
            && self.told.insert(action.origin)
        {
            let whole = block.start..block.end;
            lead.extend(self.comments_in(std::slice::from_ref(&whole)));
        }
        for comment in lead {
            let _ = writeln!(out, "{indent}{comment}");
        }
        match kept {
            Some(block) => {
                let old = " ".repeat(block.indent);
                for line in slice(self.text, block).trim_end_matches('\n').lines() {
                    let line = line.strip_prefix(old.as_str()).unwrap_or_else(|| line.trim_start());
                    let _ = match line.trim().is_empty() {
                        true => writeln!(out),
                        false => writeln!(out, "{indent}{line}"),
                    };
                }
            }
            None => out.push_str(&action_text(action, indent)),
        }
        out
    }
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
