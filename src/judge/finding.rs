//! What the judge says to the next room: one finding, hard signals and counts through the same door.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{BenefitFinding, Checkpoint, CostFinding, History};
use crate::api::{MetricStatus, Percent, Reason};

/// The one thing that a pass decides by.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Which kind, in order of precedence.
    pub kind: FindingKind,
    /// Why, as one word of the API.
    pub reason: Reason,
    /// Why, as one sentence with its numbers.
    pub sentence: String,
    /// Evidence against the free-threaded pool as a ratio (`M`), where there is any.
    pub evidence: Option<f64>,
    /// The ratio at which it is acted on, `1/α`.
    pub bound: Option<f64>,
    /// How far the metric that lags is shown to be safe, where pools are compared.
    pub safe: Option<SafeOdds>,
    /// One line per metric, for people.
    pub metrics: Vec<MetricStatus>,
    /// Whose counts are missing.
    pub blind: Blind,
    /// The step's counts are those from here on; `None` where no counts were read.
    pub counts_from: Option<Timestamp>,
    /// The share of requests that our pool answered in this step, by its counters.
    pub observed: Option<Share>,
    /// What the standard pool was like before the attempt, one entry per metric; empty until it has been read.
    pub history: Vec<History>,
    /// The evidence as it stood lately, for a restart.
    pub checkpoint: Option<Checkpoint>,
    /// Throughput per core, where the last step is served and the spec asks for it.
    pub benefit: Option<BenefitFinding>,
    /// What a request takes at this step, where the size of the pool depends on it.
    pub cost: Option<CostFinding>,
    /// The standard pool has usable counts: the first rise waits for it.
    pub standard_seen: bool,
}

/// Share of requests that may pass by a route, as the standard pool's share of which three times are too many.
const ELSEWHERE: f64 = 0.03;

/// A share of requests.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// The share.
    pub ours: Percent,
    /// Of how many requests of both pools.
    pub of: f64,
}

impl Share {
    /// Whether chance does not explain the difference to what a weight of `wanted` (0 to 1) asks for: five standard deviations, and one of the
    /// pools with less than a third or more than three times of its share. The rest is left to connections that stay where they are, to pods
    /// that are young, and to gateways that begin a new round with each change; and 9 % of all to callers that never come that way, which is
    /// what nobody notices before all of the traffic is to be ours.
    pub fn contradicts(&self, wanted: f64) -> bool {
        let deviation = (wanted * (1.0 - wanted) * self.of).sqrt();
        let ours = self.ours.ratio();
        let off = |seen: f64, wanted: f64| seen * 3.0 < wanted || seen > 3.0 * wanted;
        let far = ((ours - wanted) * self.of).abs() > 5.0 * deviation + 3.0;
        far && (off(ours, wanted) || off(1.0 - ours, (1.0 - wanted).max(ELSEWHERE)))
    }
}

/// The odds that a pool is well enough, and those that suffice.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SafeOdds {
    /// The odds, `M`.
    pub ratio: f64,
    /// Enough to go on, `1/β`.
    pub bound: f64,
}

/// Kinds of finding, the one that takes precedence first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum FindingKind {
    /// A crash, an OOM kill, the GIL, no ready pod, silence: at once, outside the bound on false alarms.
    HardSignal,
    /// The comparison reached its bound.
    Breach,
    /// Both pools got worse together.
    SharedIncident,
    /// Missing, stale or contradictory data, or not enough of it. Never good news.
    Unknown,
    /// Fresh data, enough of it, and no finding.
    Clear,
    /// Clear, and shown to be well enough for the next step.
    Safe,
}

impl FindingKind {
    /// Nothing speaks against the pool, and there is enough to say so.
    pub fn is_clear(self) -> bool {
        matches!(self, Self::Clear | Self::Safe)
    }
}

/// Whose counts are missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub enum Blind {
    /// Nobody's.
    #[default]
    No,
    /// Our pool's alone, although it has pods.
    OurPool,
    /// Both pools', or Prometheus does not answer.
    Everything,
}
