//! The picture as SVG: self-contained, without scripts, ids and external fonts, so that it can stand in a README and,
//! several times, in one page. Colours are classes with a media query and not variables: not every renderer knows
//! those. Nothing is told by colour alone. Names are user input and are escaped. Past 500 lines because every sign of the
//! picture is drawn here.

mod legend;
mod style;

use std::fmt::Write as _;

use super::layout::{
    ARROW, HEADER, HEADING, LABEL_HEIGHT, LABEL_LINE, LINE_HEIGHT, Layout, PADDING, Rect, Route, SIGN, SMALL,
    Step, TAB, TAB_HEIGHT, TITLE, TITLE_HEIGHT, chip_width, layout, shorten,
};
use super::picture::{Card, Link, Picture, Tab};
use super::text::width;
use super::{Change, EdgeKind, Graph, Id, Node, NodeKind, Options, Tls};

const NOTHING: &str = "Nothing here: no gateway, no route, and no Service with pods.";

/// The classes of what a request fails at.
const FAILED: &str = " on failed";

/// How far before the lock of a line, or its tip, the cross stands.
const CROSS: f64 = 15.0;

pub(super) fn render(graph: &Graph, options: &Options<'_>) -> String {
    let picture = Picture::of(graph);
    let layout = layout(&picture);
    let has_failed = !options.failed.is_empty();
    let legend = legend::legend(graph, &picture, has_failed, layout.width.max(420.0));
    let title = if options.title.is_empty() { "Routing" } else { options.title };
    let nothing = if picture.cards.is_empty() { width(NOTHING, SMALL) + 32.0 } else { 0.0 };
    let total_width =
        layout.width.max(width(title, HEADING) * 1.1 + 40.0).max(legend.width).max(nothing).ceil();
    let height = (layout.height + if picture.cards.is_empty() { 28.0 } else { 16.0 } + legend.height).ceil();
    let mut out = String::new();
    let focus = if options.highlight.is_empty() && options.failed.is_empty() { "" } else { " focus" };
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"coalmine-graph{focus}\" role=\"img\" aria-label=\"{title}\" \
         viewBox=\"0 0 {total_width} {height}\" width=\"{total_width}\" height=\"{height}\">\n<title>{title}</title>\n\
         <desc>{}</desc>\n<style>\n{}{}</style>\n<rect class=\"page\" width=\"{total_width}\" height=\"{height}\" rx=\"8\"/>\n\
         <text class=\"heading\" x=\"16\" y=\"{HEADER}\">{title}</text>",
        escape(&description(&picture)),
        style::STYLE,
        if has_failed { style::FAILED } else { "" },
        title = escape(title),
    );
    let drawing = Drawing { graph, picture: &picture, layout: &layout, options };
    if picture.cards.is_empty() {
        let _ =
            writeln!(out, "<text class=\"small muted\" x=\"16\" y=\"{}\">{NOTHING}</text>", HEADER + 24.0);
    }
    drawing.bands(&mut out);
    for (link, route) in picture.links.iter().zip(&layout.routes) {
        drawing.line(&mut out, link, route);
    }
    for (card, rect) in picture.cards.iter().zip(&layout.cards) {
        drawing.card(&mut out, card, *rect);
    }
    for (link, route) in picture.links.iter().zip(&layout.routes) {
        drawing.marks(&mut out, link, route);
    }
    let _ =
        writeln!(out, "<g transform=\"translate(0 {})\">\n{}</g>\n</svg>", layout.height + 16.0, legend.text);
    out
}

/// The picture in words, for those who hear it.
fn description(picture: &Picture<'_>) -> String {
    let mut lines = Vec::new();
    for link in &picture.links {
        let (Some(from), Some(to)) = (picture.cards.get(link.from), picture.cards.get(link.to)) else {
            continue;
        };
        lines.push(sentence(from, to, link));
    }
    lines.join("\n")
}

fn sentence(from: &Card<'_>, to: &Card<'_>, link: &Link<'_>) -> String {
    let mut line = format!("{} → {}", from.node.name, whole_name(to));
    if !link.lines.is_empty() {
        let _ = write!(line, ": {}", link.lines.join("; "));
    }
    if let Some(tls) = link.tls {
        let _ = write!(line, ", {}", tls_words(tls));
    }
    if link.crosses {
        line.push_str(", crosses versions");
    }
    if let Some(change) = link.change {
        let _ = write!(line, " ({})", change.as_str());
    }
    line
}

/// `voting-app v1-0 (voting-app-1-0)`.
fn whole_name(card: &Card<'_>) -> String {
    let mut names: Vec<String> = Vec::new();
    for tab in &card.tabs {
        let mut name = tab.name.clone();
        for subset in &tab.subsets {
            let _ = write!(name, " {}", subset.name);
        }
        names.push(name);
    }
    match (names.is_empty(), card.has_title()) {
        (true, _) => card.node.name.clone(),
        (false, true) => format!("{} ({})", names.join(", "), card.node.name),
        (false, false) => names.join(", "),
    }
}

fn tls_words(tls: Tls) -> &'static str {
    match tls {
        Tls::Mutual => "mTLS",
        Tls::Other => "TLS, not the mesh's",
        Tls::Plaintext => "plaintext",
        Tls::Broken => "TLS conflict: no call succeeds",
    }
}

struct Drawing<'d, 'g> {
    graph: &'g Graph,
    picture: &'d Picture<'g>,
    layout: &'d Layout,
    options: &'d Options<'d>,
}

impl Drawing<'_, '_> {
    fn color(&self, island: Option<usize>) -> String {
        let island = island.and_then(|island| self.graph.islands.get(island));
        island.map_or_else(String::new, |island| format!(" i{}", island.color % style::COLORS))
    }

    fn kind(&self, card: usize) -> Option<NodeKind> {
        self.picture.cards.get(card).map(|card| card.node.kind)
    }

    /// ` on` for what is highlighted, ` on failed` for what fails.
    fn focus<'i>(&self, ids: impl IntoIterator<Item = &'i Id>) -> &'static str {
        let mut focus = "";
        for id in ids {
            if self.options.failed.contains(id) {
                return FAILED;
            }
            if self.options.highlight.contains(id) {
                focus = " on";
            }
        }
        focus
    }

    /// The classes of a line.
    fn focus_of(&self, link: &Link<'_>) -> &'static str {
        self.focus(link.edges.iter().map(|edge| &edge.id))
    }

    fn bands(&self, out: &mut String) {
        for (island, band) in &self.layout.bands {
            let Some(own) = self.graph.islands.get(*island) else { continue };
            let color = self.color(Some(*island));
            let versions = own.versions.join(", ");
            let word = if own.versions.len() > 1 { "versions" } else { "version" };
            let _ = writeln!(
                out,
                "<g class=\"band{color}\"><rect {} rx=\"10\"/><text x=\"{}\" y=\"{}\">{word} {}</text></g>",
                attributes(band),
                number(band.x + 12.0),
                number(band.y + 16.0),
                escape(&shorten(&versions, SMALL)),
            );
        }
    }

    /// An edge's group is opened for each of its ids, so that each can be found by `data-id`.
    fn open(&self, out: &mut String, link: &Link<'_>, part: &str) {
        let from = self.picture.cards.get(link.from).and_then(|card| card.node.island);
        let to = self.picture.cards.get(link.to).and_then(|card| card.node.island);
        let is_stray = from.is_none() && self.kind(link.from) == Some(NodeKind::Workload);
        let color = match (link.crosses, is_stray) {
            (true, _) => " cross".to_owned(),
            (false, true) => String::new(),
            (false, false) => self.color(to.or(from)),
        };
        let kind = match link.kind {
            EdgeKind::Route => "",
            EdgeKind::Mirror => " mirror",
            EdgeKind::Selects => " selects",
        };
        let change = link.change.map(|change| format!(" {}", change.as_str())).unwrap_or_default();
        let focus = self.focus_of(link);
        let _ = write!(out, "<g class=\"{part}{kind}{color}{change}{focus}\">");
        for edge in &link.edges {
            let _ = write!(out, "<g data-id=\"{}\">", escape(&edge.id.0));
        }
    }

    fn close(&self, out: &mut String, link: &Link<'_>) {
        for _ in &link.edges {
            out.push_str("</g>");
        }
        out.push_str("</g>\n");
    }

    fn line(&self, out: &mut String, link: &Link<'_>, route: &Route) {
        self.open(out, link, "edge");
        let (from, to) = (self.picture.cards.get(link.from), self.picture.cards.get(link.to));
        if let (Some(from), Some(to)) = (from, to) {
            let mut text = sentence(from, to, link);
            for before in link.edges.iter().filter_map(|edge| edge.before.as_ref()) {
                let _ = write!(text, "\nbefore: {}", if before.is_empty() { "all requests" } else { before });
            }
            for reason in link.edges.iter().map(|edge| &edge.tls_reason).filter(|reason| !reason.is_empty()) {
                let _ = write!(text, "\n{reason}");
            }
            let _ = write!(out, "<title>{}</title>", escape(&text));
        }
        let mut path = format!("M{} {}", number(route.start.0), number(route.start.1));
        let points_at_end = route.tip != route.start;
        for (index, step) in route.steps.iter().enumerate() {
            let is_last = index + 1 == route.steps.len();
            match step {
                // The line ends inside the arrowhead.
                Step::Line { x, y } => {
                    let inside = if route.points_left { 4.0 } else { -4.0 };
                    let x = if is_last && points_at_end { x + inside } else { *x };
                    let _ = write!(path, "L{} {}", number(x), number(*y));
                }
                Step::Curve { x1, y1, x2, y2, x, y } => {
                    let _ = write!(
                        path,
                        "C{} {} {} {} {} {}",
                        number(*x1),
                        number(*y1),
                        number(*x2),
                        number(*y2),
                        number(*x),
                        number(*y)
                    );
                }
            }
        }
        let (x, y) = route.tip;
        let back = if route.points_left { ARROW } else { -ARROW };
        let _ = write!(
            out,
            "<path class=\"line\" d=\"{path}\"/><path class=\"tip\" d=\"M{} {}l{back} -4.5v9z\"/>",
            number(x),
            number(y)
        );
        self.close(out, link);
    }

    /// The label and the lock, above all lines.
    fn marks(&self, out: &mut String, link: &Link<'_>, route: &Route) {
        let fails = self.focus_of(link) == FAILED;
        if route.label.is_none() && link.tls.is_none() && !link.is_signed && !fails {
            return;
        }
        self.open(out, link, "marks");
        if let Some((rect, lines)) = &route.label {
            let _ = write!(out, "<rect class=\"label\" {} rx=\"{}\"/>", attributes(rect), LABEL_HEIGHT / 2.0);
            let mut y = rect.y + 12.7;
            for text in lines {
                let _ = write!(
                    out,
                    "<text class=\"small\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                    number(rect.x + rect.width / 2.0),
                    number(y),
                    escape(text)
                );
                y += LABEL_LINE;
            }
        }
        if let Some(tls) = link.tls {
            out.push_str(&lock(tls, route.lock.0, route.lock.1));
        }
        if let Some(change) = link.change.filter(|_| link.is_signed) {
            out.push_str(&badge(change, route.sign.0, route.sign.1));
        }
        if fails {
            // Before the lock, which may be the reason.
            let (x, y) = if link.tls.is_some() { route.lock } else { route.tip };
            let back = if route.points_left { CROSS } else { -CROSS };
            out.push_str(&cross(x + back, y));
        }
        self.close(out, link);
    }

    fn card(&self, out: &mut String, card: &Card<'_>, rect: Rect) {
        let node = card.node;
        let ids = card.tabs.iter().flat_map(|tab| tab.subsets.iter().copied().chain([tab.host]));
        let focus = self.focus(ids.map(|node| &node.id).chain([&node.id]));
        let mut classes = format!("node {}{}", node.kind.as_str(), self.color(node.island));
        if let Some(change) = node.change {
            let _ = write!(classes, " {}", change.as_str());
        }
        if node.is_missing || node.is_external {
            classes.push_str(" apart");
        }
        if node.is_idle {
            classes.push_str(" idle");
        }
        let _ = write!(
            out,
            "<g class=\"{classes}{focus}\" data-id=\"{}\"><title>{}</title><rect class=\"box\" {} rx=\"{}\"/>",
            escape(&node.id.0),
            escape(&tooltip(node)),
            attributes(&rect),
            if node.kind == NodeKind::Client { (rect.height / 2.0).min(24.0) } else { 7.0 }
        );
        #[allow(clippy::cast_precision_loss)]
        let (tabs, lines) = (card.tabs.len() as f64, card.lines.len() as f64);
        let has_body = card.has_title() || !card.lines.is_empty();
        let mut y = rect.y;
        if !has_body {
            y += (rect.height - tabs * TAB_HEIGHT) / 2.0;
        }
        for tab in &card.tabs {
            self.tab(out, card, tab, rect, y);
            y += TAB_HEIGHT;
            if has_body {
                let (from, to) = (number(rect.x), number(rect.right()));
                let _ = write!(out, "<path class=\"rule\" d=\"M{from} {}H{to}\"/>", number(y));
            }
        }
        let is_centered = card.tabs.is_empty();
        let (x, anchor) = if is_centered {
            (rect.x + rect.width / 2.0, " text-anchor=\"middle\"")
        } else {
            (rect.x + PADDING, "")
        };
        let title = if card.has_title() { TITLE_HEIGHT } else { 0.0 };
        // What is left of a box that is higher than its text goes around the text.
        let spare = (rect.bottom() - y - title - lines * LINE_HEIGHT).max(0.0);
        y += spare / 2.0;
        if card.has_title() {
            let _ = write!(
                out,
                "<text class=\"title\" x=\"{}\" y=\"{}\"{anchor}>{}</text>",
                number(x),
                number(y + 13.5),
                escape(&shorten(&node.name, TITLE))
            );
        }
        y += title;
        for line in &card.lines {
            let _ = write!(
                out,
                "<text class=\"small muted\" x=\"{}\" y=\"{}\"{anchor}>{}</text>",
                number(x),
                number(y + 11.0),
                escape(&shorten(line, SMALL))
            );
            y += LINE_HEIGHT;
        }
        if let Some(change) = node.change {
            out.push_str(&badge(change, rect.right() - 1.0, rect.y + 0.5));
        }
        if focus == FAILED {
            out.push_str(&cross(rect.right() - 1.0, rect.bottom() - 0.5));
        }
        out.push_str("</g>\n");
    }

    fn tab(&self, out: &mut String, card: &Card<'_>, tab: &Tab<'_>, rect: Rect, y: f64) {
        let baseline = number(y + 16.0);
        let name = shorten(&tab.name, TAB);
        let _ = write!(
            out,
            "<g data-id=\"{}\"{}><title>{}</title><text class=\"tab\" x=\"{}\" y=\"{baseline}\">{}</text></g>",
            escape(&tab.host.id.0),
            if tab.host.change == Some(Change::Removed) { " class=\"removed\"" } else { "" },
            escape(&tooltip(tab.host)),
            number(rect.x + PADDING),
            escape(&name)
        );
        let mut x = rect.x + PADDING + width(&name, TAB) * 1.06 + 6.0;
        if let Some(change) = card.sign_of(tab.host).filter(|change| *change != Change::Removed) {
            out.push_str(&badge(change, x + 5.0, y + 12.0));
            x += SIGN;
        }
        for subset in &tab.subsets {
            let name = shorten(&subset.name, SMALL);
            let chip = Rect { x, y: y + 4.0, width: chip_width(&subset.name), height: 16.0 };
            let change = subset.change.map(|change| format!(" {}", change.as_str())).unwrap_or_default();
            let _ = write!(
                out,
                "<g class=\"chip{change}\" data-id=\"{}\"><title>{}</title><rect {} rx=\"5\"/>\
                 <text class=\"small\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text></g>",
                escape(&subset.id.0),
                escape(&tooltip(subset)),
                attributes(&chip),
                number(chip.x + chip.width / 2.0),
                number(y + 15.7),
                escape(&name)
            );
            x += chip.width + 5.0;
            if let Some(change) = card.sign_of(subset) {
                out.push_str(&badge(change, x + 5.0, y + 12.0));
                x += SIGN;
            }
        }
        if !tab.ports.is_empty() {
            let _ = write!(
                out,
                "<text class=\"small muted\" x=\"{}\" y=\"{baseline}\" text-anchor=\"end\">{}</text>",
                number(rect.right() - PADDING),
                escape(&tab.ports)
            );
        }
    }
}

fn tooltip(node: &Node) -> String {
    let mut text = match &node.resource {
        Some(resource) => match &resource.namespace {
            Some(namespace) => format!("{} {namespace}/{}", resource.kind, resource.name),
            None => format!("{} {}", resource.kind, resource.name),
        },
        None => node.name.clone(),
    };
    if node.kind == NodeKind::Subset {
        let _ = write!(text, ", subset {}", node.name);
    }
    for fact in &node.facts {
        let _ = write!(text, "\n{fact}");
    }
    if let Some(change) = node.change {
        let _ = write!(text, "\n{}", change.as_str());
    }
    text
}

/// A bead with a lock on the line, 15 pixels across.
pub(super) fn lock(tls: Tls, x: f64, y: f64) -> String {
    let (class, glyph) = match tls {
        Tls::Mutual => (
            "",
            "<path class=\"body\" d=\"M-3.4 -0.8h6.8v4.8h-6.8z\"/><path class=\"shackle\" d=\"M-2 -0.8v-1.4a2 2 0 0 1 4 0v1.4\"/>",
        ),
        Tls::Other => {
            ("", "<path class=\"shackle\" d=\"M-3.2 -0.8h6.4v4.6h-6.4zM-2 -0.8v-1.4a2 2 0 0 1 4 0v1.4\"/>")
        }
        Tls::Plaintext => (
            " plain",
            "<path class=\"shackle\" d=\"M-3.2 -0.8h6.4v4.6h-6.4zM-2 -0.8v-1.6a2 2 0 0 1 4 -0.6\"/>",
        ),
        Tls::Broken => (" broken", "<path class=\"shackle\" d=\"M-3 -3L3 3M3 -3L-3 3\"/>"),
    };
    format!(
        "<g class=\"lock{class}\" transform=\"translate({} {})\"><title>{}</title><circle r=\"7.5\"/>{glyph}</g>",
        number(x),
        number(y),
        tls_words(tls)
    )
}

/// A cross in a circle: the request gets no answer here.
pub(super) fn cross(x: f64, y: f64) -> String {
    format!(
        "<g class=\"badge fails\" transform=\"translate({} {})\"><title>the request fails here</title><circle r=\"6.5\"/>\
         <path d=\"M-2.8 -2.8L2.8 2.8M2.8 -2.8L-2.8 2.8\"/></g>",
        number(x),
        number(y),
    )
}

pub(super) fn badge(change: Change, x: f64, y: f64) -> String {
    let glyph = match change {
        Change::Added => "M-3.5 0H3.5M0 -3.5V3.5",
        Change::Removed => "M-3.5 0H3.5",
        Change::Changed => "M-3.8 1C-2.4 -2.4 -1 -1.4 0 0S2.4 2.4 3.8 -1",
    };
    format!(
        "<g class=\"badge {0}\" transform=\"translate({1} {2})\"><title>{0}</title><circle r=\"6.5\"/><path d=\"{glyph}\"/></g>",
        change.as_str(),
        number(x),
        number(y),
    )
}

fn attributes(rect: &Rect) -> String {
    format!(
        "x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"",
        number(rect.x),
        number(rect.y),
        number(rect.width),
        number(rect.height)
    )
}

/// One digit after the point, and none where it is 0.
fn number(value: f64) -> String {
    let text = format!("{value:.1}");
    let short = text.strip_suffix(".0").unwrap_or(&text);
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}

/// For text and attributes of XML 1.0, which cannot hold most control characters at all.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
