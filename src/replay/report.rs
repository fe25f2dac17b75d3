//! The report as plain data: what `--format json` prints, and what the text is made of.

use jiff::Timestamp;
use serde::Serialize;

use crate::judge::{FindingKind, Noise};

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The file with the counts, as named on the command line.
    pub counts: String,
    /// The rollout's name.
    pub rollout: String,
    /// Begin of the first interval that was judged.
    pub from: Timestamp,
    /// End of the last.
    pub to: Timestamp,
    /// Length of an interval, in seconds.
    pub interval_seconds: f64,
    /// Intervals that were judged.
    pub intervals: u64,
    /// Those among them in which the weight changed: they are not counted.
    pub held_intervals: u64,
    /// The standard pool.
    pub standard: PoolReport,
    /// The free-threaded pool.
    pub free_threaded: PoolReport,
    /// Bound on the chance that a healthy pool is rolled back, 0 to 1.
    pub false_rollback: f64,
    /// What it was judged by.
    pub metrics: Vec<Judged>,
    /// What else is worth knowing of the file.
    pub notes: Vec<String>,
    /// Each change of verdict.
    pub changes: Vec<Change>,
    /// How many changes are not among them.
    pub changes_left_out: u64,
    /// After how many of `changes` those would stand.
    pub left_out_after: usize,
    /// The largest evidence.
    pub largest: Largest,
    /// The ratio at which evidence is acted on.
    pub bound: f64,
    /// When it would have rolled back, if it would have.
    pub acted: Option<Acted>,
    /// What a threshold rule would have done, if that was asked.
    pub thresholds: Option<RivalReport>,
}

/// One pool in the file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolReport {
    /// Most pods in one interval.
    pub pods: usize,
    /// Requests.
    pub requests: f64,
    /// Bad ones, of the first metric.
    pub bad: f64,
}

/// One metric, and what it was held to.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// The metric.
    pub name: String,
    /// Largest share of bad requests, 0 to 1.
    pub max: Option<f64>,
    /// How much more than the standard pool's share, 0 to 1.
    pub tolerate: Option<f64>,
    /// How much burstier than coin tosses its counts are taken to be.
    #[serde(flatten)]
    pub noise: Noise,
    /// Where that comes from.
    pub noise_source: String,
}

/// The verdict became another one.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// Which.
    pub verdict: FindingKind,
    /// The sentence, as status and events would have it.
    pub sentence: String,
    /// Evidence then.
    pub ratio: f64,
}

/// How far the evidence went.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Largest {
    /// When.
    pub at: Timestamp,
    /// How far: `ratio:1`.
    pub ratio: f64,
}

/// The rollback that would have been.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Acted {
    /// When.
    pub at: Timestamp,
    /// On which kind of verdict; `Unknown` after silence of the free-threaded pool alone for longer than `blindFor`.
    pub verdict: FindingKind,
    /// Why.
    pub sentence: String,
    /// When the evidence began to grow, or the signal or the silence began.
    pub since: Option<Timestamp>,
    /// From then to the rollback.
    pub after_seconds: Option<f64>,
    /// Bad requests since then beyond what the standard pool's rate predicts.
    pub excess: Option<f64>,
    /// Bad requests (of the first metric) of the free-threaded pool from the beginning to the rollback.
    pub errors: f64,
}

/// What a threshold rule would have done.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RivalReport {
    /// A check fails under this success rate, 0 to 1.
    pub success_rate: f64,
    /// Seconds of requests in one check.
    pub window_seconds: f64,
    /// Failed checks at which it rolls back.
    pub failures: u32,
    /// Checks made.
    pub checks: u32,
    /// Those that failed.
    pub failed: u32,
    /// When it would have rolled back, if it would have.
    pub at: Option<Timestamp>,
    /// Bad requests of the free-threaded pool from the beginning to then.
    pub errors: Option<f64>,
}
