//! Benchmarks: how fast the way back is, and what the operator does and takes while nothing happens. They print distributions; they fail
//! when something did not work, and with a line that says so when a target is missed.

mod audit;
mod cases;
mod ground;
mod idle;
mod memory;
mod numbers;
mod prometheus;
mod rollback;
mod signs;
mod village;
mod way;

use crate::Result;

/// Where the rollout is that scenarios and benchmarks share.
const SCENARIOS: &str = "tests/scenarios";
/// Where the reports of what did not work go.
const OUT: &str = "target/bench";

/// A benchmark instead of scenarios.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Bench {
    /// Measures rollbacks: the distribution of the time from the first bad answer to the last free-threaded endpoint, and its parts.
    BenchRollback(rollback::Args),
    /// Counts the operator's requests, and its memory, with a hundred rollouts that rest.
    BenchIdle(idle::Args),
}

impl Bench {
    /// Runs it and says whether everything worked and every target was met.
    pub(crate) async fn run(&self) -> Result<bool> {
        match self {
            Self::BenchRollback(args) => rollback::run(args).await,
            Self::BenchIdle(args) => idle::run(args).await,
        }
    }
}
