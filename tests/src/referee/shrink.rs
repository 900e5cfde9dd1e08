//! Makes a disagreement smaller: tries to leave out objects, fields and list items, many at once in one Envoy.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::case::Case;
use super::{Disagreement, Referee};

/// One step into a JSON value.
#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Index(usize),
}

/// How many candidates one Envoy tries.
const AT_ONCE: usize = 24;

/// What kind of disagreement it is, so that a smaller case does not disagree for another reason.
fn kind(what: &str) -> Vec<String> {
    let outcome = |line: &str| {
        let line = line.trim().trim_start_matches("Envoy: ").trim_start_matches("route: ");
        let words = line.split(' ').filter(|word| !(word.contains('.') && word.parse::<f64>().is_ok()));
        words.take(2).map(|word| word.split('/').next().unwrap_or(word)).collect::<Vec<_>>().join(" ")
    };
    what.lines().map(outcome).collect()
}

pub(super) fn shrink(referee: &Referee<'_>, case: &Case, found: &Disagreement, limit: Duration) -> Case {
    let kind = kind(&found.what);
    let started = Instant::now();
    let mut best = Case { objects: case.objects.clone(), asks: vec![case.asks[found.ask].clone()] };
    loop {
        let mut accepted: Vec<Removal> = Vec::new();
        for some in removals(&best).chunks(AT_ONCE) {
            if started.elapsed() > limit {
                return best;
            }
            let smaller: Vec<Case> = some.iter().filter_map(|removal| removal.from(&best)).collect();
            if smaller.len() < some.len() {
                continue;
            }
            accepted.extend(
                still_disagree(referee, &smaller, &kind).into_iter().map(|place| some[place].clone()),
            );
        }
        let Some(first) = accepted.first().cloned() else { return best };
        // All at once if that works, back to front so that places stay what they are; else the largest.
        accepted.sort_by_key(|removal| std::cmp::Reverse(removal.place()));
        let all = accepted.iter().fold(best.clone(), |case, removal| removal.from(&case).unwrap_or(case));
        let works = !still_disagree(referee, std::slice::from_ref(&all), &kind).is_empty();
        best = match (works, first.from(&best)) {
            (true, _) => all,
            (false, Some(smaller)) => smaller,
            (false, None) => return best,
        };
    }
}

/// Something that is left out: an object, a part of one, or a header of the request.
#[derive(Clone)]
struct Removal {
    object: Option<usize>,
    path: Vec<Step>,
    size: usize,
}

impl Removal {
    fn place(&self) -> (Option<usize>, String) {
        let text = |step: &Step| match step {
            Step::Key(key) => key.clone(),
            Step::Index(index) => format!("{index:04}"),
        };
        (self.object, self.path.iter().map(text).collect::<Vec<_>>().join("/"))
    }

    fn from(&self, case: &Case) -> Option<Case> {
        let mut smaller = case.clone();
        match (self.object, self.path.first()) {
            (Some(object), None) if object < smaller.objects.len() => drop(smaller.objects.remove(object)),
            (Some(object), Some(_)) => drop(remove(smaller.objects.get_mut(object)?, &self.path)?),
            (None, Some(Step::Index(header))) if *header < smaller.asks[0].headers.len() => {
                drop(smaller.asks[0].headers.remove(*header));
            }
            _ => return None,
        }
        Some(smaller)
    }
}

/// Large pieces first.
fn removals(case: &Case) -> Vec<Removal> {
    let mut all = Vec::new();
    // Without its namespace's labels it is unknown whether a pod has a sidecar.
    for index in (0..case.objects.len()).filter(|index| case.objects[*index]["kind"] != "Namespace") {
        all.push(Removal { object: Some(index), path: Vec::new(), size: usize::MAX });
        let mut paths = Vec::new();
        collect(&case.objects[index]["spec"], &mut vec![Step::Key("spec".to_owned())], &mut paths);
        for path in paths {
            if let Some(size) = remove(&mut case.objects[index].clone(), &path) {
                all.push(Removal { object: Some(index), path, size });
            }
        }
    }
    let headers = 0..case.asks[0].headers.len();
    all.extend(headers.map(|index| Removal { object: None, path: vec![Step::Index(index)], size: 1 }));
    all.sort_by_key(|removal| std::cmp::Reverse(removal.size));
    all
}

/// Fields whose absence Istio's validation refuses, or would turn one thing into another.
const NEEDED: [&str; 18] = [
    "app",
    "labels",
    "hosts",
    "host",
    "name",
    "number",
    "protocol",
    "destination",
    "template",
    "selector",
    "ports",
    "httpStatus",
    "status",
    "rewrite",
    "port",
    "redirect",
    "directResponse",
    "exact",
];

fn collect(value: &Value, path: &mut Vec<Step>, out: &mut Vec<Vec<Step>>) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                path.push(Step::Key(key.clone()));
                if !NEEDED.contains(&key.as_str())
                    && !matches!(key.as_str(), "prefix" | "regex" | "match" if field.is_string())
                {
                    out.push(path.clone());
                }
                collect(field, path, out);
                path.pop();
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push(Step::Index(index));
                if items.len() > 1 {
                    out.push(path.clone());
                }
                collect(item, path, out);
                path.pop();
            }
        }
        _ => {}
    }
}

/// Removes what a path leads to; its size.
fn remove(value: &mut Value, path: &[Step]) -> Option<usize> {
    let (last, way) = path.split_last()?;
    let mut place = value;
    for step in way {
        place = match step {
            Step::Key(key) => place.get_mut(key)?,
            Step::Index(index) => place.get_mut(*index)?,
        };
    }
    let removed = match last {
        Step::Key(key) => {
            // A rule needs something to do.
            let fields = place.as_object_mut()?;
            if key == "route" {
                return None;
            }
            fields.remove(key)?
        }
        Step::Index(index) => {
            let items = place.as_array_mut()?;
            if *index >= items.len() {
                return None;
            }
            items.remove(*index)
        }
    };
    Some(removed.to_string().len())
}

/// The places of the cases that disagree in this way.
fn still_disagree(referee: &Referee<'_>, cases: &[Case], wanted: &[String]) -> Vec<usize> {
    match referee.run(cases) {
        Ok(found) => {
            let mut places: Vec<usize> =
                found.iter().filter(|found| kind(&found.what) == wanted).map(|found| found.case).collect();
            places.dedup();
            places
        }
        // One of them is not valid: each half on its own.
        Err(_) if cases.len() > 1 => {
            let middle = cases.len() / 2;
            let (one, other) = cases.split_at(middle);
            let mut places = still_disagree(referee, one, wanted);
            places.extend(still_disagree(referee, other, wanted).into_iter().map(|place| place + middle));
            places
        }
        Err(_) => Vec::new(),
    }
}
