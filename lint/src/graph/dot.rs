//! The picture for Graphviz. Names are user input: in quoted strings a backslash and a quote are escaped, and a
//! backslash that stays would be an escape such as `\N`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::mermaid::lines;
use super::picture::Picture;
use super::{Change, EdgeKind, Graph, NodeKind, Options, Tls};

const COLORS: [(&str, &str); 5] = [
    ("#e3effb", "#0072b2"),
    ("#fdf0dd", "#c76b00"),
    ("#e0f5ee", "#008562"),
    ("#f9e9f2", "#b0568d"),
    ("#fbf8d9", "#8a8000"),
];

pub(super) fn render(graph: &Graph, options: &Options<'_>) -> String {
    let picture = Picture::of(graph);
    let mut out = format!(
        "digraph \"{}\" {{\n  rankdir=LR;\n  node [shape=box, style=\"rounded,filled\", fillcolor=white, \
         fontname=\"sans-serif\", fontsize=11];\n  edge [fontname=\"sans-serif\", fontsize=10];\n",
        escape(if options.title.is_empty() { "Routing" } else { options.title })
    );
    let mut islands: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
    for (index, card) in picture.cards.iter().enumerate() {
        islands.entry(card.node.island).or_default().push(index);
    }
    for (island, members) in &islands {
        let own = island.and_then(|island| graph.islands.get(island));
        let indent = if own.is_some() { "    " } else { "  " };
        if let (Some(own), Some(index)) = (own, island) {
            let (fill, stroke) = COLORS.get(own.color % COLORS.len()).copied().unwrap_or(("white", "black"));
            let word = if own.versions.len() > 1 { "versions" } else { "version" };
            let _ = writeln!(
                out,
                "  subgraph cluster_{index} {{\n    label=\"{word} {}\"; style=\"rounded,filled\"; fillcolor=\"{fill}\"; \
                 color=\"{stroke}\";",
                escape(&own.versions.join(", "))
            );
        }
        for member in members {
            let Some(card) = picture.cards.get(*member) else { continue };
            let label: Vec<String> = lines(card).iter().map(|line| escape(line)).collect();
            let mut more = String::new();
            if card.node.kind == NodeKind::Client {
                more.push_str(", shape=ellipse");
            }
            if card.node.change == Some(Change::Removed) || card.node.is_idle || card.node.is_missing {
                more.push_str(", style=\"rounded,dashed\"");
            }
            if card.node.change == Some(Change::Added) {
                more.push_str(", penwidth=2.5");
            }
            let _ = writeln!(
                out,
                "{indent}n{member} [label=\"{}\", tooltip=\"{}\"{more}];",
                label.join("\\n"),
                escape(&card.node.id.0)
            );
        }
        if own.is_some() {
            out.push_str("  }\n");
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
        let lines = link.lines.iter().map(String::as_str);
        let parts: Vec<String> =
            lines.chain([tls, change]).filter(|part| !part.is_empty()).map(escape).collect();
        let mut more = String::new();
        if link.change == Some(Change::Removed) || link.kind != EdgeKind::Route {
            more.push_str(", style=dashed");
        } else if link.change == Some(Change::Added) {
            more.push_str(", penwidth=2.5");
        }
        if link.crosses {
            more.push_str(", color=\"#cf222e\"");
        }
        let _ = writeln!(out, "  n{} -> n{} [label=\"{}\"{more}];", link.from, link.to, parts.join("\\n"));
    }
    out.push_str("}\n");
    out
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
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
            let mut back = String::new();
            let mut chars = escaped.chars();
            while let Some(c) = chars.next() {
                prop_assert!(c != '"' && !c.is_control());
                back.push(if c == '\\' { chars.next().unwrap() } else { c });
            }
            let plain: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            prop_assert_eq!(back, plain);
        }
    }
}
