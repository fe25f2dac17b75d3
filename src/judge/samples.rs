//! What the judge is fed: raw counter samples per series and pod, as plain data.
//!
//! Times are whole milliseconds since the epoch, as Prometheus stores them, so that a time can be compared for identity.

use serde::{Deserialize, Serialize};

/// Which of the two pools a pod belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Pool {
    /// The pool that runs today.
    Standard,
    /// The dedicated free-threaded pool.
    FreeThreaded,
}

impl std::fmt::Display for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Standard => "standard pool",
            Self::FreeThreaded => "free-threaded pool",
        })
    }
}

/// One raw sample of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Time of the scrape, ms since the epoch.
    pub at: i64,
    /// The counter's value. Not finite (a stale marker, NaN) or negative: as if there were no sample.
    pub value: f64,
}

/// At which boundaries of a latency histogram bad requests are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum At {
    /// At all of them; for errors there is but one count.
    #[default]
    Everywhere,
    /// At the one that stands for the threshold.
    Threshold,
    /// At one of the others, by its index.
    Other(u8),
}

/// One series of one pod and what its increase means.
///
/// | series | `n` | `k` | at |
/// |---|---|---|---|
/// | good requests | 1 | 0 | everywhere |
/// | failed requests | 1 | 1 | everywhere |
/// | count of a latency histogram | 1 | 1 | everywhere |
/// | its bucket at the threshold | 0 | −1 | the threshold |
/// | its bucket at another boundary | 0 | −1 | that one |
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Stable fingerprint of the labels, unique within the pod and metric.
    pub id: String,
    /// Requests per unit of increase.
    pub n: f64,
    /// Bad requests per unit of increase.
    pub k: f64,
    /// Where they are bad.
    #[serde(default)]
    pub at: At,
    /// Samples in order of time. All series of one scrape share its time.
    pub points: Vec<Point>,
}

/// Everything known about one metric of one pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PodSamples {
    /// The pod's name.
    pub pod: String,
    /// Its pool.
    pub pool: Pool,
    /// When its container started, ms since the epoch. Later than the attempt: its counters are known to have begun at 0.
    pub started: i64,
    /// When it stops being young (ready, plus the time to warm up), ms since the epoch; `i64::MAX` while it is not ready.
    pub counted_from: i64,
    /// The counters.
    pub series: Vec<Series>,
    /// `process_start_time_seconds` of the same target, where it exports one. Also shows that a pod without any series yet has
    /// been scraped.
    pub process_start: Vec<Point>,
}

/// One metric as queried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricSamples {
    /// Name of the metric, as in the specification of the attempt.
    pub name: String,
    /// Its pods, of both pools.
    pub pods: Vec<PodSamples>,
    /// Why there is nothing to read, if the query failed. Then `pods` is ignored.
    pub problem: Option<String>,
}

/// From this time on the free-threaded pool was served this share of the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightChange {
    /// When it took effect, ms since the epoch.
    pub at: i64,
    /// The share, 0 to 1. The one that is served, never the one that is configured.
    pub share: f64,
}

/// What one look brought. Windows may overlap what was fed before: a scrape counts once.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed<'a> {
    /// The time of this look, ms since the epoch. Only guards against samples from the future.
    pub now: i64,
    /// One entry per metric of the attempt, in any order.
    pub metrics: &'a [MetricSamples],
    /// Changes of weight since the attempt began, or only recent ones; those known already change nothing.
    pub weight_changes: &'a [WeightChange],
    /// When the current step began, ms since the epoch. Resets what `Clear` asks for, never the evidence.
    pub step_started: i64,
}
