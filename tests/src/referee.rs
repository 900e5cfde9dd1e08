//! The referee: small deployments and requests, generated from a seed; what `coalmine::route` says of each request
//! must be what a real Envoy does with it, configured by [`crate::lower`].
//!
//! Many cases share one Envoy. A case that disagrees is made smaller before it is reported, as a fixture that can be
//! kept in `tests/fixtures/referee`.

pub mod case;
pub mod generate;
mod observe;
mod outcome;
mod predict;
mod shrink;

use std::time::Duration;

use tempfile::TempDir;

use self::case::Case;
pub use self::outcome::Outcomes;
use crate::bootstrap::Bootstrap;
use crate::envoy::{Envoy, NotReady};
use crate::lower::certificates::Authority;
use crate::lower::manifests::Manifests;
use crate::lower::pods::Pods;
use crate::lower::{Lowered, Lowering};

/// A request on which the two disagree.
#[derive(Clone, Debug)]
pub struct Disagreement {
    /// Place of the case in the batch.
    pub case: usize,
    /// Place of the request in the case.
    pub ask: usize,
    /// What Envoy did and what was said.
    pub what: String,
}

/// Runs cases in one Envoy.
pub struct Referee<'v> {
    version: &'v str,
    authority: Authority,
}

impl<'v> Referee<'v> {
    /// For an Envoy of this version.
    pub fn new(version: &'v str) -> Self {
        Self { version, authority: Authority::new() }
    }

    /// Every disagreement of some cases.
    ///
    /// # Errors
    /// When Envoy refuses the configuration.
    pub fn run(&self, cases: &[Case]) -> Result<Vec<Disagreement>, NotReady> {
        self.with(cases, |envoy, lowered, predicted| {
            let mut found = Vec::new();
            for (place, case) in cases.iter().enumerate() {
                for (number, ask) in case.asks.iter().enumerate() {
                    let what = match &predicted[place][number] {
                        Ok(outcomes) => observe::check(envoy, &lowered[place], ask, outcomes).err(),
                        Err(error) => Some(format!("route: {error}")),
                    };
                    found.extend(what.map(|what| Disagreement { case: place, ask: number, what }));
                }
            }
            found
        })
    }

    fn with<T>(
        &self,
        cases: &[Case],
        then: impl FnOnce(&Envoy, &[Lowered], &[Vec<Result<Outcomes, String>>]) -> T,
    ) -> Result<T, NotReady> {
        let sockets = tempfile::Builder::new().prefix("cm-").tempdir().expect("a folder for sockets");
        let pods: Vec<Pods> = cases.iter().map(|_| Pods::default()).collect();
        let mut bootstrap = Bootstrap::empty();
        let mut lowered = Vec::new();
        let mut predicted = Vec::new();
        for (place, case) in cases.iter().enumerate() {
            let (own, predictions) = self.prepare(place, case, &pods[place], &sockets);
            own.add_to(&mut bootstrap);
            lowered.push(own);
            predicted.push(predictions);
        }
        let envoy = Envoy::try_start(self.version, &bootstrap)?;
        Ok(then(&envoy, &lowered, &predicted))
    }

    fn prepare(
        &self,
        place: usize,
        case: &Case,
        pods: &Pods,
        sockets: &TempDir,
    ) -> (Lowered, Vec<Result<Outcomes, String>>) {
        let manifests = Manifests::text(&case.manifests());
        let mesh = manifests.mesh(None);
        let lowering = Lowering {
            mesh: &mesh,
            documents: manifests.documents(),
            authority: &self.authority,
            scope: &format!("c{place}"),
            sockets: sockets.path(),
            apps: &|workload, port| pods.serve(workload, port),
            exposes_pods: false,
        };
        let mut lowered = lowering.lower();
        assert_eq!(lowered.left_out, Vec::<String>::new(), "{}", case.to_fixture());
        lowered.keep(&case.asks.iter().map(observe::door).collect::<Vec<_>>());
        let predictions = case.asks.iter().map(|ask| predict::predict(&mesh, ask)).collect();
        (lowered, predictions)
    }

    /// The outcomes that `coalmine::route` gives each request of a case.
    pub fn predict(case: &Case) -> Vec<Result<Outcomes, String>> {
        let manifests = Manifests::text(&case.manifests());
        let mesh = manifests.mesh(None);
        case.asks.iter().map(|ask| predict::predict(&mesh, ask)).collect()
    }

    /// The case with the one request, and everything left out without which they disagree all the same. The
    /// fixture's `expect` is empty: what is right must be decided first.
    pub fn shrink(&self, case: &Case, found: &Disagreement, limit: Duration) -> Case {
        shrink::shrink(self, case, found, limit)
    }
}
