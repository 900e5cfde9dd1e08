//! `coalmine::route` and a real Envoy agree on every generated request, and on every one that they ever disagreed on.
//!
//! `COALMINE_REFEREE_CASES` and `COALMINE_REFEREE_SEED` choose how many cases and which; CONTRIBUTING has the long run.

use std::fs;
use std::time::Duration;

use coalmine_tests::referee::case::Case;
use coalmine_tests::referee::{Referee, generate};
use coalmine_tests::{ENVOY_VERSIONS, root};

/// How many cases one Envoy holds.
const BATCH: u64 = 25;
/// How many disagreements are made smaller and reported before a run gives up.
const ENOUGH: usize = 8;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn the_newest_envoy_does_what_route_says() {
    let cases = number("COALMINE_REFEREE_CASES", 500);
    generated(ENVOY_VERSIONS[1], cases);
}

#[test]
fn the_oldest_envoy_does_what_route_says() {
    let cases = number("COALMINE_REFEREE_CASES", 500) / 5;
    generated(ENVOY_VERSIONS[0], cases);
}

fn generated(version: &str, cases: u64) {
    let first = number("COALMINE_REFEREE_SEED", 1);
    let patience = number("COALMINE_REFEREE_SHRINK", 20);
    println!("Envoy {version}, COALMINE_REFEREE_SEED={first} COALMINE_REFEREE_CASES={cases}");
    let referee = Referee::new(version);
    let mut reports = Vec::new();
    let mut disagreements = 0;
    for start in (first..first + cases).step_by(BATCH as usize) {
        let seeds: Vec<u64> = (start..(start + BATCH).min(first + cases)).collect();
        let batch: Vec<Case> = seeds.iter().map(|seed| generate::case(*seed)).collect();
        let found = match referee.run(&batch) {
            Ok(found) => found,
            Err(failure) => {
                let said: String = failure.log.chars().take(1000).collect();
                panic!("Envoy {version} refuses seeds {seeds:?}:\n{said}");
            }
        };
        let mut last = None;
        for disagreement in found {
            disagreements += 1;
            // Requests of one case mostly disagree for one reason.
            if reports.len() < ENOUGH && last.replace(disagreement.case) != Some(disagreement.case) {
                let seed = seeds[disagreement.case];
                let (what, case) = (&disagreement.what, &batch[disagreement.case]);
                println!(
                    "seed {seed}, request {}: {what}\n{:?}",
                    disagreement.ask, case.asks[disagreement.ask]
                );
                let small = referee.shrink(case, &disagreement, Duration::from_secs(patience));
                let again = referee.run(std::slice::from_ref(&small)).unwrap_or_default();
                let what = again.first().map_or(what, |again| &again.what);
                reports.push(format!("seed {seed}: {what}\n{}", small.to_fixture()));
            }
        }
        if reports.len() >= ENOUGH {
            break;
        }
    }
    assert!(
        reports.is_empty(),
        "{disagreements} disagreements with Envoy {version}:\n\n{}",
        reports.join("\n\n")
    );
}

#[test]
fn what_ever_disagreed_agrees() {
    let folder = root().join("tests/fixtures/referee");
    let mut paths: Vec<_> =
        fs::read_dir(&folder).expect("the fixtures").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let cases: Vec<Case> =
        paths.iter().map(|path| Case::from_fixture(&fs::read_to_string(path).expect("a fixture"))).collect();
    let mut wrong = Vec::new();
    for (path, case) in paths.iter().zip(&cases) {
        for (ask, predicted) in case.asks.iter().zip(Referee::predict(case)) {
            let predicted: Vec<String> = predicted.expect("an answer").into_keys().collect();
            if predicted != ask.expect {
                wrong.push(format!(
                    "{}: expected {:#?}, route says {predicted:#?}",
                    path.display(),
                    ask.expect
                ));
            }
        }
    }
    for version in ENVOY_VERSIONS {
        let found = Referee::new(version).run(&cases).expect("Envoy takes the fixtures");
        wrong.extend(found.into_iter().map(|found| {
            format!("{}: request {}, Envoy {version}: {}", paths[found.case].display(), found.ask, found.what)
        }));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
