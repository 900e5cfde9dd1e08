//! What the signs of one picture mean; signs that are not in it are not explained.

use std::fmt::Write as _;

use super::{badge, cross, escape, lock, number};
use crate::graph::layout::{Rect, SMALL};
use crate::graph::picture::Picture;
use crate::graph::text::width;
use crate::graph::{Change, EdgeKind, Graph, Tls};

pub(super) struct Legend {
    pub text: String,
    pub width: f64,
    pub height: f64,
}

const ROW: f64 = 22.0;
const MARGIN: f64 = 16.0;

pub(super) fn legend(graph: &Graph, picture: &Picture<'_>, has_failed: bool, limit: f64) -> Legend {
    let mut entries: Vec<(String, String)> = Vec::new();
    for tls in [Tls::Mutual, Tls::Other, Tls::Plaintext, Tls::Broken] {
        if picture.links.iter().any(|link| link.tls == Some(tls)) {
            entries.push((lock(tls, 8.0, 0.0), super::tls_words(tls).to_owned()));
        }
    }
    if has_failed {
        entries.push((cross(8.0, 0.0), "the request fails here".to_owned()));
    }
    let swatch = |class: &str| format!("<g class=\"{class}\"><path class=\"line\" d=\"M-3 0H18\"/></g>");
    if picture.links.iter().any(|link| link.crosses) {
        entries.push((swatch("cross"), "crosses versions".to_owned()));
    }
    if picture.links.iter().any(|link| link.kind == EdgeKind::Mirror) {
        entries.push((swatch("mirror"), "copies of requests".to_owned()));
    }
    if picture.cards.iter().any(|card| card.node.is_idle && card.node.change != Some(Change::Removed)) {
        let rect = Rect { x: -2.0, y: -6.0, width: 18.0, height: 12.0 };
        let sign =
            format!("<g class=\"idle\"><rect class=\"box\" {} rx=\"3\"/></g>", super::attributes(&rect));
        entries.push((sign, "gets no requests".to_owned()));
    }
    if graph.compared {
        for (change, word) in
            [(Change::Added, "new in this step"), (Change::Removed, "gone"), (Change::Changed, "changed")]
        {
            let is_used = graph.nodes.iter().any(|node| node.change == Some(change))
                || picture.links.iter().any(|link| link.change == Some(change));
            if is_used {
                entries.push((badge(change, 8.0, 0.0), word.to_owned()));
            }
        }
    }
    let mut legend = Legend { text: String::new(), width: 0.0, height: 10.0 };
    if entries.is_empty() {
        return legend;
    }
    let (mut x, mut y) = (MARGIN, 8.0);
    for (sign, word) in entries {
        let needed = 22.0 + width(&word, SMALL);
        if x > MARGIN && x + needed > limit - MARGIN {
            (x, y) = (MARGIN, y + ROW);
        }
        let _ = writeln!(
            legend.text,
            "<g transform=\"translate({} {})\">{sign}<text class=\"small muted\" x=\"22\" y=\"3.8\">{}</text></g>",
            number(x),
            number(y),
            escape(&word)
        );
        x += needed + 18.0;
        legend.width = legend.width.max(x);
    }
    legend.height = y + 20.0;
    legend
}
