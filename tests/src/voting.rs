//! The voting application of `manifests/voting`, small and real: the programs in its images (page, analytics,
//! Redis, MySQL), and its pods behind Envoys configured as Istio would.
//!
//! The programs know nothing of the mesh: they read their environment and dial names, as in the images.

pub mod analytics;
pub mod app;
pub mod cluster;
pub mod container;
pub mod embedded_mysql;
pub mod embedded_redis;
mod page;
mod pods;
pub mod real_stores;
pub mod storage;
pub mod visitor;

/// What can be voted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Cats.
    Cats,
    /// Dogs.
    Dogs,
}

impl Choice {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Cats, Self::Dogs];

    /// The name on the page, in the form, and in the stores.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cats => "Cats",
            Self::Dogs => "Dogs",
        }
    }
}

/// How many votes each got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Votes for cats.
    pub cats: u64,
    /// Votes for dogs.
    pub dogs: u64,
}

impl Tally {
    /// The votes of one.
    pub fn of(&self, choice: Choice) -> u64 {
        match choice {
            Choice::Cats => self.cats,
            Choice::Dogs => self.dogs,
        }
    }

    /// A share in whole per cent; 0 as long as nobody voted.
    pub fn percent(&self, choice: Choice) -> u64 {
        let total = self.cats + self.dogs;
        (100 * self.of(choice) + total / 2).checked_div(total).unwrap_or(0)
    }

    /// The result line of analytics 1.0.
    pub fn counts(&self) -> String {
        format!("Cats: {} | Dogs: {}", self.cats, self.dogs)
    }

    /// The result line of analytics 1.1 and 2.0.
    pub fn shares(&self) -> String {
        let total = self.cats + self.dogs;
        let [cats, dogs] =
            Choice::ALL.map(|choice| format!("{}/{total} ({}%)", self.of(choice), self.percent(choice)));
        format!("Cats: {cats} | Dogs: {dogs}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_lines_are_those_of_the_scenario() {
        let tally = Tally { cats: 2, dogs: 4 };
        assert_eq!(tally.counts(), "Cats: 2 | Dogs: 4");
        assert_eq!(tally.shares(), "Cats: 2/6 (33%) | Dogs: 4/6 (67%)");
        assert_eq!(Tally::default().shares(), "Cats: 0/0 (0%) | Dogs: 0/0 (0%)");
    }
}
