//! Keeps the evidence across restarts of the operator.

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::{
    api::CheckpointStatus,
    judge::{Attempt, AttemptSpec, Checkpoint},
    observe::{
        presets::MetricPlan,
        prometheus::{AttemptKey, Reader},
    },
};

/// How often the evidence is kept within a step.
const KEEP_EVERY_MS: i64 = 600_000;

/// Goes on from where the evidence was kept last. `None` where that cannot be: then it is read from the attempt's start.
pub(super) fn resume(
    reader: &Reader,
    rollout: &str,
    key: AttemptKey,
    plan: &MetricPlan,
    kept: &CheckpointStatus,
    spec: &AttemptSpec,
) -> Option<Attempt> {
    let data = BASE64_STANDARD.decode(&kept.data).unwrap_or_default();
    match Attempt::restore(&data, spec) {
        Ok((attempt, until)) => {
            reader.resume(rollout, key, plan, until);
            Some(attempt)
        }
        Err(error) => {
            tracing::info!(%rollout, "the evidence is read from the start, its checkpoint is not used: {error}");
            None
        }
    }
}

/// Keeps the evidence at the beginning of each step and every ten minutes.
#[derive(Default)]
pub(super) struct Keeper {
    pub(super) kept: Option<Checkpoint>,
    /// When it was last tried to, ms since the epoch.
    tried: Option<i64>,
}

impl Keeper {
    pub(super) fn keep(&mut self, attempt: &Attempt, now: i64, step_started: i64) {
        let due = |tried: i64| tried < step_started || now - tried >= KEEP_EVERY_MS;
        if now >= step_started && self.tried.is_none_or(due) {
            self.tried = Some(now);
            self.kept = attempt.checkpoint(now).or(self.kept.take());
        }
    }
}
