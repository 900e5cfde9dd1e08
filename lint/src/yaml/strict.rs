//! What the YAML crate takes and Kubernetes' parser refuses or reads differently: checked over a document that
//! was read. Each check reports its first place only, as `kubectl` stops there.

use super::scalar::{Scalar, resolve};
use super::{Kind, Node, Style, Text};

/// A problem without its file.
pub(super) struct Found {
    pub start: u32,
    pub end: u32,
    pub message: String,
    pub help: Option<&'static str>,
}

/// The text of a scalar node.
fn text<'t>(source: &'t str, node: &'t Node) -> Option<(&'t str, Style)> {
    let Kind::Scalar { text, style } = &node.kind else { return None };
    let text = match text {
        Text::Source(start, end) => source.get(*start as usize..*end as usize)?,
        Text::Owned(text) => text,
    };
    Some((text, *style))
}

/// Checks one document; `start..end` are its bytes in the file.
pub(super) fn check(source: &str, (start, end): (u32, u32), nodes: &[Node]) -> Vec<Found> {
    let chunk = source.get(start as usize..end as usize).unwrap_or("");
    let mut found = Vec::new();
    found.extend(tabs(chunk, start, nodes));
    found.extend(line_separator(chunk, start, nodes));
    found.extend(nodes.iter().find_map(|node| scalar(source, node)));
    found.extend(nodes.iter().find_map(|node| alias(source, node)));
    found.extend(nodes.iter().find_map(|node| colon_in_flow(source, node, nodes)));
    found.extend(nodes.iter().find_map(|node| mapping(source, node, nodes)));
    found
}

fn at(node: &Node, message: impl Into<String>, help: Option<&'static str>) -> Found {
    Found { start: node.start, end: node.end, message: message.into(), help }
}

/// Go's parser ends lines at these characters of YAML 1.1, in comments as well. Quotes keep two of them.
fn line_separator(chunk: &str, offset: u32, nodes: &[Node]) -> Option<Found> {
    if chunk.is_ascii() {
        return None;
    }
    let mut quoted = nodes.iter().filter_map(|node| match node.kind {
        Kind::Scalar { style: Style::DoubleQuoted | Style::SingleQuoted, .. } => Some((node.start, node.end)),
        _ => None,
    });
    let mut current = quoted.next();
    chunk.char_indices().filter(|(_, c)| matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}')).find_map(
        |(at, c)| {
            let start = offset.saturating_add(u32::try_from(at).unwrap_or(u32::MAX));
            while current.is_some_and(|(_, end)| end <= start) {
                current = quoted.next();
            }
            let is_kept = c != '\u{85}' && current.is_some_and(|(from, _)| from < start);
            (!is_kept).then(|| Found {
                start,
                end: start + u32::try_from(c.len_utf8()).unwrap_or(1),
                message: format!(
                    "the invisible character U+{:04X} ends the line for Kubernetes",
                    u32::from(c)
                ),
                help: Some("remove it, or write its escape in double quotes"),
            })
        },
    )
}

/// Tabs among the spaces that indent a line or follow a `-`.
fn tabs(chunk: &str, offset: u32, nodes: &[Node]) -> Option<Found> {
    if !chunk.contains('\t') {
        return None;
    }
    let problem = |at: usize| {
        let start = offset.saturating_add(u32::try_from(at).unwrap_or(u32::MAX));
        Some(Found {
            start,
            end: start + 1,
            message: "a tab where Kubernetes' parser wants spaces".to_owned(),
            help: Some("indent with spaces"),
        })
    };
    // Where tabs are text, or white space like any other.
    let mut free: Vec<(usize, usize)> = Vec::new();
    let local = |position: u32| position.saturating_sub(offset) as usize;
    let mut first: Option<usize> = None;
    for node in nodes {
        let (start, end) = (local(node.start), local(node.end));
        match &node.kind {
            Kind::Scalar { style: Style::Block, .. } => {
                let (from, tab) = block_scalar(chunk, start, end);
                // Its first line belongs to it from the first column.
                free.push((from.saturating_sub(1), end));
                first = first.into_iter().chain(tab).min();
            }
            Kind::Scalar { .. } => free.push((start, end)),
            Kind::Mapping { flow: true, .. } | Kind::Sequence { flow: true, .. } => free.push((start, end)),
            _ => {}
        }
    }
    free.sort_unstable();
    let mut ranges = free.into_iter().peekable();
    let mut free_until = 0;
    let mut line_start = 0;
    for line in chunk.split_inclusive('\n') {
        // Everything that starts before this line may reach into it.
        while let Some((_, end)) = ranges.next_if(|(start, _)| *start < line_start) {
            free_until = free_until.max(end);
        }
        if free_until <= line_start
            && let Some(tab) = indentation_tab(line)
        {
            first = first.into_iter().chain([line_start + tab]).min();
            break;
        }
        line_start += line.len();
    }
    first.and_then(problem)
}

/// The first tab before the content of a line, where the dashes of a list are no content.
fn indentation_tab(line: &str) -> Option<usize> {
    let bytes = line.as_bytes();
    let mut position = 0;
    loop {
        match bytes.get(position)? {
            b'\t' => return Some(position),
            b' ' => position += 1,
            b'-' if matches!(bytes.get(position + 1), Some(b' ' | b'\t')) => position += 1,
            _ => return None,
        }
    }
}

/// Where the lines of a block scalar begin, and the first tab in their indentation. `start` is its first
/// character of content, wherever its indentation ends.
fn block_scalar(chunk: &str, start: usize, end: usize) -> (usize, Option<usize>) {
    let before = chunk.get(..start).unwrap_or("");
    // The header is the last line above that is not blank.
    let first_line = before.rfind('\n').map_or(0, |at| at + 1);
    let header_end = before.get(..first_line).unwrap_or("").trim_end().len();
    let header_line = before.get(..header_end).unwrap_or("");
    let header = header_line.get(header_line.rfind('\n').map_or(0, |at| at + 1)..).unwrap_or("");
    let indicator = header.rfind(['|', '>']).and_then(|at| header.get(at + 1..)).unwrap_or("");
    let is_explicit = indicator.bytes().take(2).any(|byte| byte.is_ascii_digit());
    let indent = start - first_line;
    let body_start =
        header_end + chunk.get(header_end..).and_then(|rest| rest.find('\n')).map_or(0, |at| at + 1);
    let mut position = body_start;
    for line in chunk.get(body_start..end.max(start)).unwrap_or("").split_inclusive('\n') {
        let spaces = line.len() - line.trim_start_matches(' ').len();
        // An explicit indentation is relative to the parent's.
        let is_indentation = !is_explicit && (spaces < indent || position <= first_line);
        if line.as_bytes().get(spaces) == Some(&b'\t') && is_indentation {
            return (body_start, Some(position + spaces));
        }
        position += line.len();
    }
    (body_start, None)
}

fn scalar(source: &str, node: &Node) -> Option<Found> {
    let (text, style) = text(source, node)?;
    let written = source.get(node.start as usize..node.end as usize).unwrap_or("");
    if style == Style::DoubleQuoted && written.contains('\\') {
        return escape(node, written);
    }
    let Some(tag) = node.tag.as_deref() else {
        let is_number = style == Style::Plain && text.starts_with(['.', '-', '+']);
        return match resolve(text, style, None) {
            Scalar::Float(value) if is_number && !value.is_finite() => {
                let help = Some("quote it if it is meant as text");
                Some(at(node, format!("`{text}` is no number that JSON, and so Kubernetes, can hold"), help))
            }
            _ => None,
        };
    };
    let fits = match (tag, resolve(text, style, Some(tag))) {
        ("int", value) => matches!(value, Scalar::Int(_) | Scalar::UInt(_)),
        ("float", value) => matches!(value, Scalar::Int(_) | Scalar::UInt(_) | Scalar::Float(_)),
        ("bool", value) => matches!(value, Scalar::Bool(_)),
        ("null", value) => value == Scalar::Null,
        _ => true,
    };
    (!fits).then(|| at(node, format!("`{text}` is no value for the tag `!!{tag}`"), None))
}

/// Escapes of JSON that YAML 1.1 does not have.
fn escape(node: &Node, written: &str) -> Option<Found> {
    let mut rest = written.char_indices();
    while let Some((position, character)) = rest.next() {
        if character != '\\' {
            continue;
        }
        let Some((_, escaped)) = rest.next() else { break };
        let code = written.get(position + 2..position + 6).unwrap_or("").to_ascii_lowercase();
        let is_surrogate = matches!(code.as_bytes(), [b'd', b'8'..=b'9' | b'a'..=b'f', ..]);
        let length = match escaped {
            '/' => 2,
            'u' if is_surrogate => 6,
            _ => continue,
        };
        let start = node.start + u32::try_from(position).unwrap_or(0);
        return Some(Found {
            start,
            end: start + length,
            message: "Kubernetes' parser does not know this escape".to_owned(),
            help: Some("write the character itself"),
        });
    }
    None
}

/// Go's parser takes letters, digits, `_` and `-` only.
fn alias(source: &str, node: &Node) -> Option<Found> {
    let Kind::Alias(_) = node.kind else { return None };
    let name = source.get(node.start as usize + 1..node.end as usize)?;
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    let help = Some("name the anchor with letters, digits, `_` and `-`");
    (!is_plain).then(|| at(node, format!("`{name}` is no name of an anchor for Kubernetes' parser"), help))
}

/// `[::1]`: inside brackets a value cannot start with a colon.
fn colon_in_flow(source: &str, node: &Node, nodes: &[Node]) -> Option<Found> {
    let (text, style) = text(source, node)?;
    if style != Style::Plain || !text.starts_with(':') {
        return None;
    }
    let is_in_flow = nodes.iter().any(|outer| {
        let is_flow =
            matches!(outer.kind, Kind::Mapping { flow: true, .. } | Kind::Sequence { flow: true, .. });
        is_flow && outer.start < node.start && node.end <= outer.end
    });
    let message = format!("`{text}` starts with a colon, which Kubernetes' parser refuses inside brackets");
    is_in_flow.then(|| at(node, message, Some("quote it")))
}

fn mapping(source: &str, node: &Node, nodes: &[Node]) -> Option<Found> {
    let Kind::Mapping { entries, flow, .. } = &node.kind else { return None };
    entries.iter().find_map(|(key, value)| {
        let (key, value) = (nodes.get(key.0 as usize)?, nodes.get(value.0 as usize)?);
        let (name, style) = text(source, key)?;
        if resolve(name, style, key.tag.as_deref()) == Scalar::Null {
            let mut found =
                at(key, "a mapping key must not be null", Some("quote it if it is meant as text"));
            if found.start == found.end {
                // Nothing is written: show the colon.
                let before = source.get(key.start as usize..value.start as usize).unwrap_or("");
                let colon = before.find(':').and_then(|at| u32::try_from(at).ok()).unwrap_or(0);
                found.start += colon;
                found.end = found.start + 1;
            }
            return Some(found);
        }
        let written = source.get(key.start as usize..key.end as usize).unwrap_or("");
        let is_explicit = source.get(..key.start as usize).is_some_and(|text| text.trim_end().ends_with('?'));
        if *flow && written.contains('\n') && !is_explicit {
            return Some(at(key, "a key inside braces must stand on one line", None));
        }
        let is_merge = super::is_merge(name, style, key.tag.as_deref());
        (is_merge && !is_mergeable(value, nodes)).then(|| {
            at(
                if value.start == value.end { key } else { value },
                "`<<` takes a mapping, or a list of mappings",
                None,
            )
        })
    })
}

fn is_mergeable(value: &Node, nodes: &[Node]) -> bool {
    fn target<'n>(mut node: &'n Node, nodes: &'n [Node]) -> &'n Node {
        while let Kind::Alias(id) = node.kind
            && let Some(next) = nodes.get(id.0 as usize)
        {
            node = next;
        }
        node
    }
    match &target(value, nodes).kind {
        Kind::Mapping { .. } => true,
        Kind::Sequence { items, .. } => items.iter().all(|item| {
            let item = nodes.get(item.0 as usize).map(|item| target(item, nodes));
            item.is_some_and(|item| matches!(item.kind, Kind::Mapping { .. }))
        }),
        _ => false,
    }
}
