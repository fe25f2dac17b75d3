//! What a rollout's `analysis` asks for, as what an attempt is judged by. The operator and `replay` read it alike.

use super::spec::{AttemptSpec, MetricSpec};
use crate::api::Analysis;

impl AttemptSpec {
    /// Errors and latency as `analysis` has them, in cells of `cell_ms`, from `started` (ms since the epoch) on.
    pub fn of(analysis: &Analysis, cell_ms: i64, started: i64) -> Self {
        let errors = analysis.error_rate.as_ref();
        let errors = errors.map(|e| MetricSpec::errors(e.tolerate.ratio(), Some(e.max.ratio())));
        let latency = analysis.latency.as_ref();
        let latency = latency.map(|l| MetricSpec::latency(l.tolerate.ratio(), Some(l.max.ratio())));
        let metrics = errors.into_iter().chain(latency).collect();
        Self {
            tries: analysis.attempts(),
            beta: analysis.unsafe_advance().ratio(),
            ..Self::new(analysis.false_rollback.ratio(), cell_ms, started, metrics)
        }
    }
}
