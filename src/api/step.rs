//! `spec.steps`: the way up.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// One step of the way up. It ends when the evidence says that the pool is safe, or with `hold` after a fixed time.
#[derive(KubeSchema, Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("!has(self.hold) || !(has(self.minHold) || has(self.maxHold))").message("a step either has a fixed time, hold: 10m, or waits for evidence between minHold and maxHold: write the one or the other"),
    validation = Rule::new("!has(self.minHold) || !has(self.maxHold) || self.minHold.contains('d') || self.maxHold.contains('d') || duration(self.minHold) <= duration(self.maxHold)").message("minHold may not be longer than maxHold"),
)]
pub struct Step {
    /// Share of traffic for the free-threaded pool, in percent.
    #[schemars(range(min = 1, max = 100))]
    pub weight: i32,
    /// A fixed time for which the weight is held, with data and without a finding. Without it the step is paced by evidence: it ends as soon
    /// as the pool is shown to be no worse than what is tolerated. On the last step: before the rollout counts as settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Span>,
    /// Paced by evidence: not before this time; 1m if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_hold: Option<Span>,
    /// Paced by evidence: after this time `analysis.onInconclusive` applies; 30m if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_hold: Option<Span>,
    /// Wait at this step until a person says `kubectl freethread promote`.
    #[serde(default)]
    pub pause: bool,
}

/// When a step ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// After a fixed time.
    Fixed(Span),
    /// When the evidence suffices.
    Evidence {
        /// Not before this time.
        min: Span,
        /// After this time it is inconclusive.
        max: Span,
    },
}

impl Step {
    /// When it ends. A `maxHold` shorter than `minHold` is taken as `minHold`.
    pub fn pace(&self) -> Pace {
        let min = self.min_hold.unwrap_or(Span::from_secs(60));
        match self.hold {
            Some(hold) => Pace::Fixed(hold),
            None => Pace::Evidence { min, max: self.max_hold.unwrap_or(Span::from_secs(1800)).max(min) },
        }
    }
}
