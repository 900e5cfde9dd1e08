//! The picture as a Mermaid flowchart. Names are user input: Mermaid reads entities such as `#quot;` inside quotes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::picture::{Card, Picture};
use super::{Change, EdgeKind, Graph, NodeKind, Tls};

/// Fill and stroke of the islands: the light colours of the drawing.
const COLORS: [(&str, &str); 5] = [
    ("#e3effb", "#0072b2"),
    ("#fdf0dd", "#c76b00"),
    ("#e0f5ee", "#008562"),
    ("#f9e9f2", "#b0568d"),
    ("#fbf8d9", "#8a8000"),
];

pub(super) fn render(graph: &Graph) -> String {
    let picture = Picture::of(graph);
    let mut out = String::from("flowchart LR\n");
    let mut islands: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
    for (index, card) in picture.cards.iter().enumerate() {
        islands.entry(card.node.island).or_default().push(index);
    }
    for (island, members) in &islands {
        let own = island.and_then(|island| graph.islands.get(island));
        let indent = if own.is_some() { "    " } else { "  " };
        if let (Some(own), Some(index)) = (own, island) {
            let word = if own.versions.len() > 1 { "versions" } else { "version" };
            let _ = writeln!(out, "  subgraph i{index} [\"{word} {}\"]", escape(&own.versions.join(", ")));
        }
        for member in members {
            if let Some(card) = picture.cards.get(*member) {
                let _ = writeln!(out, "{indent}n{member}{}", shape(card));
            }
        }
        if own.is_some() {
            out.push_str("  end\n");
        }
    }
    for link in &picture.links {
        let change = link.change.map_or("", Change::word);
        let tls = match link.tls {
            Some(Tls::Mutual) => "mTLS",
            Some(Tls::Other) => "TLS",
            Some(Tls::Plaintext) => "plaintext",
            Some(Tls::Broken) => "TLS conflict",
            None => "",
        };
        let (last, above) =
            link.lines.split_last().map_or(("", &[][..]), |(last, above)| (last.as_str(), above));
        let parts: Vec<&str> = [last, tls, change].into_iter().filter(|part| !part.is_empty()).collect();
        let mut lines: Vec<String> = above.iter().map(|line| escape(line)).collect();
        lines.extend((!parts.is_empty()).then(|| escape(&parts.join(", "))));
        let is_faint = link.change == Some(Change::Removed) || link.kind != EdgeKind::Route;
        let arrow = match (is_faint, link.change == Some(Change::Added) || link.crosses) {
            (true, _) => "-.->",
            (false, true) => "==>",
            (false, false) => "-->",
        };
        let label = lines.join("<br/>");
        let label = if label.is_empty() { String::new() } else { format!("|\"{label}\"|") };
        let _ = writeln!(out, "  n{} {arrow}{label} n{}", link.from, link.to);
    }
    for (index, island) in graph.islands.iter().enumerate() {
        if islands.contains_key(&Some(index))
            && let Some((fill, stroke)) = COLORS.get(island.color % COLORS.len())
        {
            let _ = writeln!(out, "  style i{index} fill:{fill},stroke:{stroke},color:#1f2328");
        }
    }
    for (index, card) in picture.cards.iter().enumerate() {
        if card.node.change == Some(Change::Removed) || card.node.is_idle || card.node.is_missing {
            let _ = writeln!(out, "  style n{index} stroke-dasharray:4 4");
        }
    }
    out
}

fn shape(card: &Card<'_>) -> String {
    let text: Vec<String> = lines(card).iter().map(|line| escape(line)).collect();
    let text = text.join("<br/>");
    match card.node.kind {
        NodeKind::Client => format!("([\"{text}\"])"),
        NodeKind::Gateway => format!("{{{{\"{text}\"}}}}"),
        _ => format!("[\"{text}\"]"),
    }
}

/// What a box says, line by line.
pub(super) fn lines(card: &Card<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for tab in &card.tabs {
        let mut line = tab.name.clone();
        for subset in &tab.subsets {
            let _ = write!(line, " {}", subset.name);
            if let Some(change) = card.sign_of(subset) {
                let _ = write!(line, " ({})", change.word());
            }
        }
        let _ = write!(line, " {}", tab.ports);
        lines.push(line.trim_end().to_owned());
    }
    let change = card.node.change.map(|change| format!(" ({})", change.word())).unwrap_or_default();
    if card.has_title() {
        lines.push(format!("{}{change}", card.node.name));
    } else if let Some(first) = lines.first_mut() {
        first.push_str(&change);
    }
    lines.extend(card.lines.iter().cloned());
    lines
}

/// Everything that could end a quoted text, be read as markup or as an entity becomes an entity.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '#' | '&' | '<' | '>' | ';' | '`' | '\\' | '|' | '{' | '}' | '[' | ']' | '*' | '_' => {
                let _ = write!(out, "#{};", u32::from(c));
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_cannot_leave_its_quotes(name in ".*") {
            let escaped = escape(&name);
            prop_assert!(!escaped.contains(['"', '\n', '<', '>', '&', '`']));
            // Every `#` begins an entity that gives the character back.
            let mut back = String::new();
            let mut rest = escaped.as_str();
            while let Some((before, after)) = rest.split_once('#') {
                let (code, tail) = after.split_once(';').unwrap();
                back.push_str(before);
                back.push(char::from_u32(code.parse().unwrap()).unwrap());
                rest = tail;
            }
            back.push_str(rest);
            let plain: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            prop_assert_eq!(back, plain);
        }
    }
}
