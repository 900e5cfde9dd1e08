//! How big boxes, labels and the ends of lines are. Knows texts; nothing of places.

use crate::graph::picture::{Card, Link};
use crate::graph::text::{fit, width, wrap};
use crate::graph::{Change, Node};

/// Sizes of text in pixels.
pub(in crate::graph) const TITLE: f64 = 12.0;
pub(in crate::graph) const TAB: f64 = 11.0;
pub(in crate::graph) const SMALL: f64 = 10.0;
pub(in crate::graph) const HEADING: f64 = 14.0;

/// Heights of what is in a box.
pub(in crate::graph) const TAB_HEIGHT: f64 = 24.0;
pub(in crate::graph) const TITLE_HEIGHT: f64 = 19.0;
pub(in crate::graph) const LINE_HEIGHT: f64 = 15.0;
pub(in crate::graph) const PADDING: f64 = 8.0;

/// The label of a line is a box of this height; further lines of text are so far apart.
pub(in crate::graph) const LABEL_HEIGHT: f64 = 18.0;
pub(in crate::graph) const LABEL_LINE: f64 = 13.0;
/// Arrowhead and lock at the end of a line.
pub(in crate::graph) const ARROW: f64 = 8.0;
pub(in crate::graph) const LOCK: f64 = 16.0;
/// The sign of a change.
pub(in crate::graph) const SIGN: f64 = 15.0;

const MAX_TEXT: f64 = 190.0;
const MAX_LABEL: f64 = 230.0;
/// Room for the beginning of a line beside the box.
pub(super) const START_HEIGHT: f64 = 12.0;

/// What a text in a box is cut to.
pub(in crate::graph) fn shorten(text: &str, size: f64) -> String {
    fit(text, size, MAX_TEXT)
}

/// The label of a line as it is drawn: each share on lines of its own.
pub(in crate::graph) fn label_of(link: &Link<'_>) -> Vec<String> {
    link.lines.iter().flat_map(|line| wrap(line, SMALL, MAX_LABEL)).collect()
}

/// Width and height of a label's box.
#[allow(clippy::cast_precision_loss)]
pub(in crate::graph) fn label_size(lines: &[String]) -> (f64, f64) {
    let widest = lines.iter().map(|line| width(line, SMALL)).fold(0.0, f64::max);
    match lines.len() {
        0 => (0.0, 0.0),
        count => (widest + 12.0, LABEL_HEIGHT + (count - 1) as f64 * LABEL_LINE),
    }
}

/// Width of a subset's chip.
pub(in crate::graph) fn chip_width(name: &str) -> f64 {
    width(&shorten(name, SMALL), SMALL) + 10.0
}

/// Width and height of a box with so much room for lines at its busier side.
pub(super) fn size(card: &Card<'_>, side: f64) -> (f64, f64) {
    let mut needed = width(&shorten(&card.node.name, TITLE), TITLE) * 1.06;
    for line in &card.lines {
        needed = needed.max(width(&shorten(line, SMALL), SMALL));
    }
    for tab in &card.tabs {
        let signs = tab.subsets.iter().copied().chain([tab.host]).filter(|node| card.sign_of(node).is_some());
        let chips: f64 = tab.subsets.iter().map(|subset| chip_width(&subset.name) + 5.0).sum();
        #[allow(clippy::cast_precision_loss)]
        let chips = chips + signs.count() as f64 * SIGN;
        let name = width(&shorten(&tab.name, TAB), TAB) * 1.06;
        let ports = if tab.ports.is_empty() { 0.0 } else { width(&tab.ports, SMALL) + 6.0 };
        needed = needed.max(name + chips + ports);
    }
    #[allow(clippy::cast_precision_loss)]
    let (tabs, lines) = (card.tabs.len() as f64, card.lines.len() as f64);
    let title = if card.has_title() { TITLE_HEIGHT } else { 0.0 };
    let body = if title + lines > 0.0 { title + lines * LINE_HEIGHT + 12.0 } else { 0.0 };
    let height = (tabs * TAB_HEIGHT + body).max(side + 10.0);
    (needed + 2.0 * PADDING, height.max(30.0))
}

impl Card<'_> {
    /// The change of a tab's host or subset, where it is not that of the whole box.
    pub(in crate::graph) fn sign_of(&self, node: &Node) -> Option<Change> {
        node.change.filter(|_| node.change != self.node.change)
    }

    /// Hosts and subsets say everything in their tabs.
    pub(in crate::graph) fn has_title(&self) -> bool {
        self.tabs.iter().all(|tab| {
            tab.host.id != self.node.id && tab.subsets.iter().all(|subset| subset.id != self.node.id)
        })
    }
}

/// Room for the end of a line beside the box.
pub(super) fn end_height(link: &Link<'_>) -> f64 {
    let label = label_of(link);
    match (label.is_empty(), link.tls.is_some() || link.is_signed) {
        (false, _) => label_size(&label).1 + 2.0,
        (true, true) => 17.0,
        (true, false) => 12.0,
    }
}

/// Room for the end of a line before the box.
pub(super) fn end_width(link: &Link<'_>) -> f64 {
    let label = label_of(link);
    let label = if label.is_empty() { 0.0 } else { label_size(&label).0 + 2.0 };
    let lock = if link.tls.is_some() { LOCK } else { 0.0 };
    let sign = if link.is_signed { SIGN } else { 0.0 };
    label + lock + sign + ARROW + 6.0
}
