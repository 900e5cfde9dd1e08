//! Where everything stands: columns from left to right as requests travel, and one lane for each island, so that an
//! island is one rectangle across the columns. The columns are longest paths, the order within them goes by
//! barycentres, the heights by pooling adjacent violators. Own code, because layout crates know no lanes. Knows boxes,
//! lines and sizes; nothing of colours and formats. The same picture always gives the same layout.
//! Past 500 lines because heights, widths and lines are passes over one set of items.

mod columns;
mod place;
mod size;

use std::collections::BTreeMap;

use self::columns::columns;
use self::place::place;
pub(super) use self::size::{
    ARROW, HEADING, LABEL_HEIGHT, LABEL_LINE, LINE_HEIGHT, LOCK, PADDING, SIGN, SMALL, TAB, TAB_HEIGHT,
    TITLE, TITLE_HEIGHT, chip_width, shorten,
};
use self::size::{START_HEIGHT, end_height, end_width, label_of, label_size, size};
use super::picture::Picture;

const MARGIN: f64 = 14.0;
/// What a line needs to turn, at least and at most.
const GAP: f64 = 30.0;
const WIDE_GAP: f64 = 90.0;
const CARD_SPACE: f64 = 18.0;
const PASSAGE: f64 = 10.0;
const BAND_TITLE: f64 = 24.0;
const BAND_PADDING: f64 = 12.0;
pub(super) const HEADER: f64 = 34.0;

/// A rectangle in pixels.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Rect {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

impl Rect {
    pub(super) fn right(&self) -> f64 {
        self.x + self.width
    }

    pub(super) fn bottom(&self) -> f64 {
        self.y + self.height
    }

    #[cfg(test)]
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.x < other.right() && other.x < self.right() && self.y < other.bottom() && other.y < self.bottom()
    }
}

/// A part of a line.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Step {
    Line { x: f64, y: f64 },
    Curve { x1: f64, y1: f64, x2: f64, y2: f64, x: f64, y: f64 },
}

/// A line between two boxes.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Route {
    pub start: (f64, f64),
    pub steps: Vec<Step>,
    /// Where the arrow's tip is, and whether it points left.
    pub tip: (f64, f64),
    pub points_left: bool,
    /// The label's box and the lines of its text.
    pub label: Option<(Rect, Vec<String>)>,
    /// The middle of the lock.
    pub lock: (f64, f64),
    /// The middle of the sign of a change.
    pub sign: (f64, f64),
}

/// The whole drawing, without legend.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Layout {
    pub width: f64,
    pub height: f64,
    /// One for each box of the picture.
    pub cards: Vec<Rect>,
    /// One for each line of the picture.
    pub routes: Vec<Route>,
    /// The rectangle of each island that has boxes, by its place among the islands.
    pub bands: BTreeMap<usize, Rect>,
}

/// In which vertical part of the drawing something stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Lane {
    Island(usize),
    /// Below the islands.
    Free,
    /// Anywhere: no island crosses the column.
    Float,
}

/// A box, or a line on its way past a column.
#[derive(Debug)]
struct Item {
    column: usize,
    lane: Lane,
    height: f64,
    /// The middle.
    y: f64,
    before: Vec<usize>,
    after: Vec<usize>,
}

pub(super) fn layout(picture: &Picture<'_>) -> Layout {
    let columns = columns(picture);
    Drawing::new(picture, columns).draw()
}

/// Where the columns are.
struct Columns {
    xs: Vec<f64>,
    widths: Vec<f64>,
    /// The room for lines to turn before each.
    turns: Vec<f64>,
    /// The right edge of everything.
    right: f64,
}

impl Columns {
    /// Left edge and width.
    fn of(&self, column: usize) -> (f64, f64) {
        (self.xs.get(column).copied().unwrap_or(0.0), self.widths.get(column).copied().unwrap_or(0.0))
    }
}

struct Drawing<'p, 'g> {
    picture: &'p Picture<'g>,
    column: Vec<usize>,
    sizes: Vec<(f64, f64)>,
    items: Vec<Item>,
    /// The items of each line, from its left to its right end.
    paths: Vec<Vec<usize>>,
}

impl<'p, 'g> Drawing<'p, 'g> {
    fn new(picture: &'p Picture<'g>, column: Vec<usize>) -> Self {
        let at = |card: usize| column.get(card).copied().unwrap_or(0);
        // What lines need at the left and right side of each box.
        let mut sides: Vec<(f64, f64)> = vec![(0.0, 0.0); picture.cards.len()];
        for link in &picture.links {
            let is_within = at(link.from) == at(link.to);
            let (left, right) =
                if at(link.from) > at(link.to) { (link.to, link.from) } else { (link.from, link.to) };
            if let Some(side) = sides.get_mut(left) {
                side.1 += if is_within { end_height(link) } else { START_HEIGHT };
            }
            if let Some(side) = sides.get_mut(right) {
                *(if is_within { &mut side.1 } else { &mut side.0 }) += end_height(link);
            }
        }
        let sizes: Vec<(f64, f64)> = picture
            .cards
            .iter()
            .zip(sides)
            .map(|(card, (left, right))| size(card, left.max(right)))
            .collect();
        // The columns that each island crosses.
        let mut extents: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        for (index, card) in picture.cards.iter().enumerate() {
            if let Some(island) = card.node.island {
                let extent = extents.entry(island).or_insert((at(index), at(index)));
                *extent = (extent.0.min(at(index)), extent.1.max(at(index)));
            }
        }
        let crosses = |island: usize, column: usize| {
            extents.get(&island).is_some_and(|(first, last)| (*first..=*last).contains(&column))
        };
        let is_crossed = |column: usize| extents.keys().any(|island| crosses(*island, column));
        let lane_of = |island: Option<usize>, column: usize| match island {
            Some(island) => Lane::Island(island),
            None if is_crossed(column) => Lane::Free,
            None => Lane::Float,
        };
        let mut items: Vec<Item> = Vec::new();
        for (index, card) in picture.cards.iter().enumerate() {
            let height = sizes.get(index).map_or(0.0, |size| size.1);
            let lane = lane_of(card.node.island, at(index));
            items.push(Item { column: at(index), lane, height, y: 0.0, before: vec![], after: vec![] });
        }
        let mut paths = Vec::new();
        for link in &picture.links {
            let (mut left, mut right) = (link.from, link.to);
            if at(left) > at(right) {
                (left, right) = (right, left);
            }
            let island = |card: usize| picture.cards.get(card).and_then(|card| card.node.island);
            let mut path = vec![left];
            for column in at(left).saturating_add(1)..at(right) {
                // A lane is free of other islands in every column.
                let lane = lane_of(island(right).or(island(left)), column);
                path.push(items.len());
                items.push(Item { column, lane, height: PASSAGE, y: 0.0, before: vec![], after: vec![] });
            }
            path.push(right);
            if at(left) != at(right) {
                for (one, next) in path.iter().zip(path.iter().skip(1)) {
                    if let Some(item) = items.get_mut(*one) {
                        item.after.push(*next);
                    }
                    if let Some(item) = items.get_mut(*next) {
                        item.before.push(*one);
                    }
                }
            }
            paths.push(path);
        }
        Self { picture, column, sizes, items, paths }
    }

    fn draw(mut self) -> Layout {
        let lanes = self.heights();
        let columns = self.widths();
        let rect = |drawing: &Self, index: usize| {
            let column = drawing.column.get(index).copied().unwrap_or(0);
            let (item, size) = (drawing.items.get(index), drawing.sizes.get(index));
            let height = size.map_or(0.0, |size| size.1);
            let (x, width) = columns.of(column);
            Rect { x, y: item.map_or(0.0, |item| item.y) - height / 2.0, width, height }
        };
        // Everything moves down to just below the header.
        let mut top = f64::MAX;
        for item in &self.items {
            top = top.min(item.y - item.height / 2.0);
        }
        for (lane, (from, _)) in &lanes {
            if matches!(lane, Lane::Island(_)) {
                top = top.min(from - BAND_TITLE);
            }
        }
        let shift = HEADER + 14.0 - if top == f64::MAX { 0.0 } else { top };
        for item in &mut self.items {
            item.y += shift;
        }
        let cards: Vec<Rect> = (0..self.picture.cards.len()).map(|index| rect(&self, index)).collect();
        let mut bands: BTreeMap<usize, Rect> = BTreeMap::new();
        for (index, card) in self.picture.cards.iter().enumerate() {
            let (Some(island), Some(rect)) = (card.node.island, cards.get(index)) else { continue };
            let Some((from, to)) = lanes.get(&Lane::Island(island)) else { continue };
            let band = bands.entry(island).or_insert(Rect {
                x: rect.x,
                y: from + shift - BAND_TITLE,
                width: 0.0,
                height: to - from + BAND_TITLE + BAND_PADDING,
            });
            let (left, right) =
                (band.x.min(rect.x - BAND_PADDING), band.right().max(rect.right() + BAND_PADDING));
            band.x = left;
            band.width = right - left;
        }
        let routes = self.routes(&cards, &columns);
        let mut layout = Layout { width: columns.right, height: 0.0, cards, routes, bands };
        let mut bottom: f64 = HEADER;
        for rect in layout.cards.iter().chain(layout.bands.values()) {
            bottom = bottom.max(rect.bottom());
            layout.width = layout.width.max(rect.right() + MARGIN);
        }
        for route in &layout.routes {
            bottom = bottom.max(route.start.1).max(route.tip.1 + 6.0);
            for step in &route.steps {
                let (Step::Line { y, .. } | Step::Curve { y, .. }) = step;
                bottom = bottom.max(y + 6.0);
            }
            if let Some((rect, _)) = &route.label {
                bottom = bottom.max(rect.bottom());
                layout.width = layout.width.max(rect.right() + MARGIN);
            }
        }
        layout.height = bottom;
        layout
    }

    /// Gives every item its height above the others; returns top and bottom of each lane's content.
    fn heights(&mut self) -> BTreeMap<Lane, (f64, f64)> {
        let mut stacks: BTreeMap<(usize, Lane), Vec<usize>> = BTreeMap::new();
        for (index, item) in self.items.iter().enumerate() {
            stacks.entry((item.column, item.lane)).or_default().push(index);
        }
        let needed = |items: &[usize], all: &[Item]| -> f64 {
            let of = |index: &usize| all.get(*index).map_or(0.0, |item| item.height);
            items.iter().map(of).sum::<f64>() + spaces(items.len())
        };
        let mut lanes: BTreeMap<Lane, (f64, f64)> = BTreeMap::new();
        for ((_, lane), items) in &stacks {
            let height = needed(items, &self.items);
            let entry = lanes.entry(*lane).or_insert((0.0, height));
            entry.1 = entry.1.max(height);
        }
        let mut top = 0.0;
        for (lane, (from, to)) in &mut lanes {
            if *lane == Lane::Float {
                (*from, *to) = (f64::MIN, f64::MAX);
                continue;
            }
            let height = *to;
            let is_island = matches!(lane, Lane::Island(_));
            *from = top + if is_island { BAND_TITLE } else { 4.0 };
            *to = *from + height;
            top = *to + if is_island { BAND_PADDING + 16.0 } else { 0.0 };
        }
        // A first arrangement, in the order of the picture, around the middle of what is fixed.
        let middle = top / 2.0;
        for ((_, lane), items) in &stacks {
            let bounds = lanes.get(lane).copied().unwrap_or((f64::MIN, f64::MAX));
            let center = if *lane == Lane::Float { middle } else { f64::midpoint(bounds.0, bounds.1) };
            let wishes: Vec<f64> = items.iter().map(|_| center).collect();
            self.settle(items, &wishes, bounds);
        }
        for round in 0..16 {
            let rightwards = round % 2 == 0;
            let mut keys: Vec<(usize, Lane)> = stacks.keys().copied().collect();
            if !rightwards {
                keys.reverse();
            }
            let last = round >= 14;
            for key in keys {
                let Some(items) = stacks.get_mut(&key) else { continue };
                let bounds = lanes.get(&key.1).copied().unwrap_or((f64::MIN, f64::MAX));
                let mut wished: Vec<(f64, usize)> = items
                    .iter()
                    .filter_map(|index| {
                        let item = self.items.get(*index)?;
                        let (before, after) = (self.mean(item, &item.before), self.mean(item, &item.after));
                        let both = before.zip(after).filter(|_| last).map(|(a, b)| f64::midpoint(a, b));
                        let one = if rightwards { before.or(after) } else { after.or(before) };
                        Some((both.or(one).unwrap_or(item.y), *index))
                    })
                    .collect();
                if !last {
                    wished.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                }
                *items = wished.iter().map(|(_, index)| *index).collect();
                let wishes: Vec<f64> = wished.iter().map(|(wish, _)| *wish).collect();
                let items = items.clone();
                self.settle(&items, &wishes, bounds);
            }
        }
        lanes
    }

    /// The middle of some neighbours. On an island its own count first, so that islands of one shape look alike.
    fn mean(&self, item: &Item, neighbours: &[usize]) -> Option<f64> {
        let all: Vec<&Item> = neighbours.iter().filter_map(|index| self.items.get(*index)).collect();
        let mut own: Vec<&Item> = all.iter().copied().filter(|other| other.lane == item.lane).collect();
        let is_alone = matches!(item.lane, Lane::Island(_))
            && item
                .before
                .iter()
                .chain(&item.after)
                .all(|index| self.items.get(*index).is_none_or(|other| other.lane != item.lane));
        if !matches!(item.lane, Lane::Island(_)) || is_alone {
            own = all;
        }
        #[allow(clippy::cast_precision_loss)]
        let count = own.len() as f64;
        (!own.is_empty()).then(|| own.iter().map(|item| item.y).sum::<f64>() / count)
    }

    fn settle(&mut self, items: &[usize], wishes: &[f64], bounds: (f64, f64)) {
        let heights: Vec<f64> =
            items.iter().map(|index| self.items.get(*index).map_or(0.0, |item| item.height)).collect();
        for (index, y) in items.iter().zip(place(&heights, wishes, CARD_SPACE, bounds)) {
            if let Some(item) = self.items.get_mut(*index) {
                item.y = y;
            }
        }
    }

    /// Left edge, width and the turns before each column, and the right edge of everything. Lines turn right after
    /// a column and then run straight: where their labels are, no line crosses another.
    fn widths(&self) -> Columns {
        let count = self.column.iter().max().map_or(0, |last| last + 1);
        let mut columns =
            Columns { xs: Vec::new(), widths: vec![0.0; count], turns: vec![GAP; count], right: 0.0 };
        let mut runs = vec![0.0_f64; count + 1];
        for (column, size) in self.column.iter().zip(&self.sizes) {
            if let Some(width) = columns.widths.get_mut(*column) {
                *width = width.max(size.0);
            }
        }
        for (link, path) in self.picture.links.iter().zip(&self.paths) {
            let at = |card: usize| self.column.get(card).copied().unwrap_or(0);
            // A line within a column goes around its right side.
            let is_within = at(link.from) == at(link.to);
            let column = at(link.from).max(at(link.to)) + usize::from(is_within);
            if let Some(run) = runs.get_mut(column) {
                *run = run.max(end_width(link) + if is_within { 50.0 } else { 0.0 });
            }
            for (from, to) in path.iter().zip(path.iter().skip(1)) {
                let (Some(from), Some(to)) = (self.items.get(*from), self.items.get(*to)) else { continue };
                if let Some(turn) = columns.turns.get_mut(to.column) {
                    *turn = turn.max(((to.y - from.y).abs() * 0.25).min(WIDE_GAP));
                }
            }
        }
        let mut x = MARGIN;
        for (column, width) in columns.widths.iter().enumerate() {
            let turn = columns.turns.get(column).copied().unwrap_or(GAP);
            if column > 0 {
                x += runs.get(column).copied().unwrap_or(0.0) + turn;
            }
            columns.xs.push(x);
            x += width;
        }
        columns.right = x + runs.get(count).copied().unwrap_or(0.0) + MARGIN;
        columns
    }

    fn routes(&self, cards: &[Rect], columns: &Columns) -> Vec<Route> {
        let starts = self.ends(cards, true);
        let ends = self.ends(cards, false);
        let mut routes = Vec::new();
        for (index, link) in self.picture.links.iter().enumerate() {
            let path = self.paths.get(index).map_or(&[][..], Vec::as_slice);
            let rect =
                |card: Option<&usize>| card.and_then(|card| cards.get(*card)).copied().unwrap_or_default();
            let (left, right) = (rect(path.first()), rect(path.last()));
            let y0 = starts.get(&index).copied().unwrap_or(left.y);
            let y1 = ends.get(&index).copied().unwrap_or(right.y);
            let label = label_of(link);
            let (label_width, label_height) = label_size(&label);
            let lock = if link.tls.is_some() { LOCK } else { 0.0 };
            let start = (left.right(), y0);
            let at = |card: usize| self.column.get(card).copied().unwrap_or(0);
            if at(link.from) == at(link.to) {
                let bulge = left.right().max(right.right()) + 40.0;
                let x = right.right();
                let steps = vec![
                    Step::Curve { x1: bulge, y1: y0, x2: bulge, y2: y1, x: x + 12.0, y: y1 },
                    Step::Line { x, y: y1 },
                ];
                let label = (!label.is_empty()).then(|| {
                    let rect = Rect {
                        x: x + ARROW + lock + 4.0,
                        y: y1 - label_height / 2.0,
                        width: label_width,
                        height: label_height,
                    };
                    (rect, label)
                });
                let sign = (x + ARROW + lock + label_width + 4.0 + SIGN / 2.0, y1);
                let lock = (x + ARROW + LOCK / 2.0, y1);
                routes.push(Route { start, steps, tip: (x, y1), points_left: true, label, lock, sign });
                continue;
            }
            let mut steps = Vec::new();
            let mut from = start;
            for item in path.iter().skip(1) {
                let Some(item) = self.items.get(*item) else { continue };
                let (x, past) = columns.of(item.column);
                let is_last =
                    Some(item.column) == path.last().and_then(|last| self.column.get(*last)).copied();
                let y = if is_last { y1 } else { item.y };
                let turn = columns.turns.get(item.column).copied().unwrap_or(GAP);
                let middle = from.0 + turn / 2.0;
                steps.push(Step::Curve { x1: middle, y1: from.1, x2: middle, y2: y, x: from.0 + turn, y });
                from = (if is_last { x } else { x + past }, y);
                steps.push(Step::Line { x: from.0, y });
            }
            let reversed = at(link.from) > at(link.to);
            let tip = if reversed { start } else { (right.x, y1) };
            let lock_x = right.x - ARROW - LOCK / 2.0;
            let label = (!label.is_empty()).then(|| {
                let rect = Rect {
                    x: right.x - ARROW - lock - 4.0 - label_width,
                    y: y1 - label_height / 2.0,
                    width: label_width,
                    height: label_height,
                };
                (rect, label)
            });
            let sign = (right.x - ARROW - lock - 3.0 - label_width - SIGN / 2.0, y1);
            routes.push(Route { start, steps, tip, points_left: reversed, label, lock: (lock_x, y1), sign });
        }
        routes
    }

    /// Where lines leave or meet the sides of boxes: in the order of what is at their other ends.
    fn ends(&self, cards: &[Rect], starts: bool) -> BTreeMap<usize, f64> {
        // By box and side: how high the other end is, which line, and its room.
        type Ends = Vec<(f64, usize, f64)>;
        let mut by_side: BTreeMap<(usize, bool), Ends> = BTreeMap::new();
        for (index, link) in self.picture.links.iter().enumerate() {
            let path = self.paths.get(index).map_or(&[][..], Vec::as_slice);
            let (Some(left), Some(right)) = (path.first(), path.last()) else { continue };
            let y =
                |item: Option<&usize>| item.and_then(|item| self.items.get(*item)).map_or(0.0, |item| item.y);
            let within = self.column.get(*left) == self.column.get(*right);
            let right_side = by_side.entry((*left, true)).or_default();
            right_side.push((y(path.get(1)), index, if within { end_height(link) } else { START_HEIGHT }));
            let before = path.len().checked_sub(2).and_then(|index| path.get(index));
            // A line within a column comes back to the right side.
            by_side.entry((*right, within)).or_default().push((y(before), index | END, end_height(link)));
        }
        let mut found = BTreeMap::new();
        for ((card, _), mut ends) in by_side {
            ends.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let Some(rect) = cards.get(card) else { continue };
            let total: f64 = ends.iter().map(|end| end.2).sum();
            let scale = (rect.height / total).min(1.0);
            let mut y = rect.y + (rect.height - total * scale) / 2.0;
            for (_, index, height) in ends {
                let is_end = index & END != 0;
                if is_end != starts {
                    found.insert(index & !END, y + height * scale / 2.0);
                }
                y += height * scale;
            }
        }
        found
    }
}

/// Marks the right end of a line among the ends at a box.
const END: usize = 1 << (usize::BITS - 1);

#[allow(clippy::cast_precision_loss)]
fn spaces(count: usize) -> f64 {
    count.saturating_sub(1) as f64 * CARD_SPACE
}
