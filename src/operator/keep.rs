//! Keeps the evidence across restarts of the operator.

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::{
    api::CheckpointStatus,
    judge::{Attempt, AttemptSpec, Checkpoint},
    observe::{
        presets::MetricPlan,
        prometheus::{AttemptKey, Reader, Reading},
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
) -> Option<(Attempt, Keeper)> {
    let data = BASE64_STANDARD.decode(&kept.data).unwrap_or_default();
    match Attempt::restore(&data, spec) {
        Ok((attempt, until)) => {
            reader.resume(rollout, key, plan, until);
            Some((attempt, Keeper { kept: None, tried: Some(until) }))
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
    /// Keeps it, if it is time, after a reading of everything up to `now`: what was not read must not be taken for known.
    pub(super) fn keep(&mut self, attempt: &Attempt, now: i64, step_started: i64) {
        let due = |tried: i64| tried < step_started || now - tried >= KEEP_EVERY_MS;
        if now >= step_started && self.tried.is_none_or(due) {
            self.tried = Some(now);
            self.kept = attempt.checkpoint(now).or(self.kept.take());
        }
    }
}

/// Everything up to now has been read, of all metrics. A query that failed has left something to read.
pub(super) fn complete(reading: &Reading, now: i64) -> bool {
    reading.metrics.values().all(|metric| metric.until >= now && metric.is_answered())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        judge::MetricSpec,
        observe::prometheus::{MetricReading, QueryProblem},
    };

    fn read(until: i64, problem: Option<QueryProblem>) -> MetricReading {
        MetricReading { until, caught_up: true, samples: problem.map_or(Ok(vec![]), Err), boundary: None }
    }

    #[test]
    fn what_a_failed_query_left_unread_is_not_taken_for_known() {
        let of = |errors, latency: Option<MetricReading>| {
            let latency = latency.map(|latency| ("latency".to_owned(), latency));
            let metrics = latency.into_iter().chain([("errors".to_owned(), errors)]).collect();
            complete(&Reading { metrics }, 1_000)
        };
        let timeout = QueryProblem::Timeout { profile: String::new(), query: String::new(), within: 1 };
        let empty = QueryProblem::Empty { profile: String::new(), query: String::new(), scraped: true };
        assert!(of(read(1_000, None), None) && of(read(1_000, None), Some(read(1_000, Some(empty)))));
        assert!(!of(read(1_000, None), Some(read(1_000, Some(timeout)))));
        assert!(!of(read(999, None), None), "there is more to read");
    }

    #[test]
    fn kept_at_each_step_and_every_ten_minutes() {
        let attempt =
            Attempt::new(AttemptSpec::new(0.01, 15_000, 0, vec![MetricSpec::errors(0.0, None)])).unwrap();
        let mut keeper = Keeper::default();
        let mut at = |now, step| {
            keeper.keep(&attempt, now, step);
            keeper.kept.as_ref().map(|kept| kept.until)
        };
        assert_eq!(at(4_000, 5_000), None, "the step's weight is not served yet");
        assert_eq!(at(6_000, 5_000), Some(6_000));
        assert_eq!(at(600_000, 5_000), Some(6_000));
        assert_eq!(at(606_000, 5_000), Some(606_000));
        assert_eq!(at(608_000, 607_000), Some(608_000), "another step");
    }
}
