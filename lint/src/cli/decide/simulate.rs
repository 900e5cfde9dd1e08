//! `coalmine decide --simulate N`: how a rollout deals N subjects, as a table and a picture.

use std::fmt::Write as _;

use coalmine_filter::bucket::BUCKETS;
use coalmine_filter::config::{Flag, Mode};
use coalmine_filter::decide::{Reason, roll};
use serde_json::{Value, json};

use coalmine::decide::Source;
use coalmine::render::decide as wire;

use super::DecideFormat;
use super::print::line;

/// Columns of the longest bar: the table fits a terminal of 80.
const BAR: usize = 26;

/// One row: what a share of the subjects gets.
struct Row {
    name: String,
    count: u64,
    /// Of all subjects, 0 to 1.
    expected: f64,
}

/// Deals `user-0` … `user-N` and counts. What only a request can bring, such as an opt-in, is left out.
pub(super) fn run(source: &Source, count: u64, format: DecideFormat) -> String {
    let config = &source.config;
    let flags: Vec<(&Flag, Vec<Row>)> = config.flags.iter().map(|flag| (flag, rows(flag, count))).collect();
    if format == DecideFormat::Json {
        let flags: Vec<Value> = flags.iter().map(|(flag, rows)| flag_json(flag, rows, count)).collect();
        let problems = wire::problems(&source.problems);
        return line(&json!({ "version": 1, "subjects": count, "problems": problems, "flags": flags }));
    }
    let mut out = String::new();
    for (place, (flag, rows)) in flags.iter().enumerate() {
        let gap = if place > 0 { "\n" } else { "" };
        if !flag.has_rollout {
            let _ = writeln!(out, "{gap}{}: no rollout, nobody is chosen by chance", flag.name);
            continue;
        }
        let _ = writeln!(out, "{gap}{}: {} subjects\n", flag.name, grouped(count));
        table(&mut out, rows, count);
        if !flag.enabled || config.mode != Mode::Enforce {
            let why = if flag.enabled { "the mode is not enforce" } else { "the flag is not enabled" };
            let _ = writeln!(out, "\n  This is what it would be: {why}, so nobody gets a tag.");
        }
    }
    if flags.is_empty() {
        out.push_str("There are no flags.\n");
    }
    out
}

fn rows(flag: &Flag, count: u64) -> Vec<Row> {
    let mut variants = vec![0u64; flag.variants.len()];
    let (mut layer, mut holdback, mut stable) = (0u64, 0u64, 0u64);
    for number in 0..count {
        let subject = format!("user-{number}");
        match roll(flag, Some(subject.as_bytes())) {
            (Some(variant), _) => variants.iter_mut().skip(variant).take(1).for_each(|n| *n += 1),
            (None, Reason::Layer) => layer += 1,
            (None, Reason::Holdback) => holdback += 1,
            (None, _) => stable += 1,
        }
    }
    let share = |buckets: u32| f64::from(buckets) / f64::from(BUCKETS);
    // Outside its range of a layer a flag does nothing; inside, it splits the range.
    let inside = flag.layer.as_ref().map_or(1.0, |(_, range)| share(range.width));
    let mut rows: Vec<Row> = Vec::new();
    for (variant, count) in flag.variants.iter().zip(variants) {
        let expected = if flag.has_rollout { inside * share(variant.slice.width) } else { 0.0 };
        rows.push(Row { name: variant.name.clone(), count, expected });
    }
    let chosen: f64 = rows.iter().map(|row| row.expected).sum();
    let held = if flag.has_rollout { inside * share(flag.holdback) } else { 0.0 };
    let outside = if flag.has_rollout { 1.0 - inside } else { 0.0 };
    rows.push(Row { name: "stable".to_owned(), count: stable, expected: 1.0 - chosen - held - outside });
    if flag.holdback > 0 {
        rows.push(Row { name: "stable: holdback".to_owned(), count: holdback, expected: held });
    }
    if flag.layer.is_some() {
        rows.push(Row { name: "stable: layer".to_owned(), count: layer, expected: outside });
    }
    rows
}

fn table(out: &mut String, rows: &[Row], total: u64) {
    let names = rows.iter().map(|row| row.name.len()).max().unwrap_or(0).clamp(7, 18);
    let _ = writeln!(out, "  {:names$}  {:>10}  {:>8}  {:>8}", "variant", "subjects", "measured", "expected");
    for row in rows {
        let name: String = if row.name.len() > names {
            row.name.chars().take(names - 1).chain(['…']).collect()
        } else {
            row.name.clone()
        };
        let measured = if total > 0 { row.count as f64 / total as f64 } else { 0.0 };
        let text = format!(
            "  {name:names$}  {:>10}  {:>7.3}%  {:>7.3}%  {}",
            grouped(row.count),
            measured * 100.0,
            (row.expected * 100.0).abs(),
            bar(measured)
        );
        let _ = writeln!(out, "{}", text.trim_end());
    }
}

/// A bar in eighths of a column; the smallest share that is not nothing can be seen.
fn bar(share: f64) -> String {
    const EIGHTHS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = (share.clamp(0.0, 1.0) * (BAR * 8) as f64).round() as usize;
    let eighths = if share > 0.0 { eighths.max(1) } else { 0 };
    let mut bar = "█".repeat(eighths / 8);
    bar.extend((eighths % 8).checked_sub(1).and_then(|rest| EIGHTHS.get(rest)));
    bar
}

/// `100,000`
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn flag_json(flag: &Flag, rows: &[Row], total: u64) -> Value {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            let measured = if total > 0 { row.count as f64 / total as f64 } else { 0.0 };
            json!({ "name": row.name, "subjects": row.count, "measured": measured, "expected": row.expected.abs() })
        })
        .collect();
    json!({ "flag": flag.name, "rollout": flag.has_rollout, "split": rows })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_drawn_in_eighths() {
        assert_eq!(bar(0.0), "");
        assert_eq!(bar(1e-9), "▏");
        assert_eq!(bar(0.5), "█".repeat(13));
        assert_eq!(bar(1.0), "█".repeat(26));
        assert_eq!(bar(0.05).chars().count(), 2);
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
