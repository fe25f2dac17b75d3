//! What the judge says, with the numbers that its sentence needs. Plain data.

use serde::Serialize;

use super::{
    counts::Counts,
    freshness::{Blindness, Pools},
    samples::Pool,
    signals::Signal,
    spec::MetricKind,
};

/// Which test a number belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Test {
    /// Against the standard pool.
    Regression,
    /// Against what was promised.
    Objective,
}

/// The numbers behind a verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Name of the metric.
    pub metric: String,
    /// What the bad ones are.
    pub kind: MetricKind,
    /// What they are counted against: "requests".
    pub of: String,
    /// The test with the most evidence, or the one that is blamed.
    pub test: Test,
    /// The free-threaded pool's counts over the span.
    pub free_threaded: Counts,
    /// The standard pool's counts over the same cells.
    pub standard: Counts,
    /// Start of the span, ms since the epoch: when the evidence began to grow, or when the step began. `None`: no cell yet.
    pub from: Option<i64>,
    /// End of its last cell, ms since the epoch.
    pub to: i64,
    /// `Σ w·M` over all tests of all metrics: the odds against "no worse". At most `1e300`.
    pub ratio: f64,
    /// `w·M` of this test alone. At most `1e300`.
    pub term: f64,
    /// `1/α`: the ratio at which it is acted on.
    pub bound: f64,
    /// The odds for "well enough" in this step, of a metric that is compared. At most `1e300`.
    pub safe: Option<f64>,
    /// `1/β`: at these odds the step may end.
    pub safe_bound: f64,
    /// `p0`, if one is promised.
    pub objective: Option<f64>,
    /// `δ`, if the pools are compared.
    pub tolerate: Option<f64>,
    /// Latency: the boundary that is counted at, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slower_than: Option<f64>,
}

/// Why nothing can be said. Never good news.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Why {
    /// The query failed, or the metric was not asked for.
    QueryFailed {
        /// What went wrong.
        problem: String,
    },
    /// Counters jump: several processes answer behind one port.
    SeveralProcesses {
        /// One pod that does so.
        pod: String,
    },
    /// Nothing was ever seen.
    NoData {
        /// Of whom.
        pools: Pools,
    },
    /// What was seen is too old.
    Stale {
        /// Of whom.
        pools: Pools,
        /// How old, ms.
        age_ms: i64,
    },
    /// The bar is crossed by an objective, and whether the standard pool fails as well is not known yet.
    Confirming {
        /// Known by then at the latest, ms since the epoch.
        until: i64,
    },
    /// All traffic goes to pods that are still warming up.
    WarmingUp,
    /// Scraped, but without requests in this step.
    NoTraffic {
        /// The pool without.
        pool: Pool,
    },
    /// Without a promise, while all traffic is the free-threaded pool's.
    NobodyToCompareWith,
    /// Too few requests in this step.
    NotEnough {
        /// Requests of the free-threaded pool so far.
        have: f64,
        /// Requests needed.
        need: f64,
    },
    /// The attempt has ended by a breach, after which nothing counts any more.
    Ended,
}

/// What is found, in order of precedence: a hard signal, a breach, a shared incident, unknown, clear, safe.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "camelCase")]
pub enum Verdict {
    /// So gross that it is acted on at once, outside the bound on false alarms.
    HardSignal(Signal),
    /// The evidence reached the bound. Latched: true for the rest of the attempt.
    Breach(Evidence),
    /// Both pools fail together: held, nobody's fault.
    SharedIncident(Evidence),
    /// Missing, stale or contradictory data, or not enough. The evidence gathered before stays.
    Unknown {
        /// Why.
        why: Why,
        /// Where the evidence stands.
        evidence: Evidence,
    },
    /// Fresh data, enough of it in this step, and no finding.
    Clear(Evidence),
    /// Clear, and the pool is shown to be well enough for the next step.
    Safe(Evidence),
}

impl Verdict {
    /// Smaller takes precedence.
    pub fn rank(&self) -> u8 {
        match self {
            Self::HardSignal(_) => 0,
            Self::Breach(_) => 1,
            Self::SharedIncident(_) => 2,
            Self::Unknown { .. } => 3,
            Self::Clear(_) => 4,
            Self::Safe(_) => 5,
        }
    }

    /// The numbers, where there are any beside the signal's own.
    pub fn evidence(&self) -> Option<&Evidence> {
        match self {
            Self::HardSignal(_) => None,
            Self::Breach(evidence)
            | Self::SharedIncident(evidence)
            | Self::Unknown { evidence, .. }
            | Self::Clear(evidence)
            | Self::Safe(evidence) => Some(evidence),
        }
    }
}

/// The verdict on one metric.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricVerdict {
    /// Its name.
    pub name: String,
    /// What is found.
    pub verdict: Verdict,
    /// Whose counts are missing.
    pub blind: Option<Blindness>,
}

/// Everything said after a look.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judgement {
    /// The one to act on.
    pub overall: Verdict,
    /// Metric by metric, in the order of the specification.
    pub metrics: Vec<MetricVerdict>,
    /// Hard signals of this attempt. Latched.
    pub signals: Vec<Signal>,
    /// Whose counts are missing: the free-threaded pool's alone, if that is so for any metric; else both; else the standard pool's.
    pub blind: Option<Blindness>,
    /// `Σ w·M`, at most `1e300`.
    pub ratio: f64,
    /// `1/α`.
    pub bound: f64,
}
