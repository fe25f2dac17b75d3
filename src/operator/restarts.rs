//! Restarts of containers as the judge counts them: Kubernetes keeps a count and no history, so it is sampled here, once per cell.
//!
//! After a restart of the operator, what happened since the last checkpoint counts as one interval.

use crate::{
    judge::{At, MetricSamples, PodSamples, Point, Pool, RESTARTS, Series},
    observe::{Observation, Pod},
};

/// How long a pod has existed, and how often its container was restarted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Life {
    name: String,
    pool: Pool,
    /// Ms since the epoch.
    created: i64,
    restarts: i32,
}

impl Life {
    /// Those of both pools. What a drain or an eviction does to a pod says nothing about the runtime.
    pub(super) fn all(observation: &Observation) -> Vec<Self> {
        let of = |pool| {
            move |pod: &Pod| Self {
                name: pod.name.clone(),
                pool,
                created: pod.created.as_millisecond(),
                restarts: pod.restarts,
            }
        };
        let standard = observation.standard.iter().flat_map(|standard| &standard.pods);
        let ours = observation.free_threaded.pods.iter();
        let staying = |pod: &&Pod| !pod.going;
        let standard = standard.filter(staying).map(of(Pool::Standard));
        standard.chain(ours.filter(staying).map(of(Pool::FreeThreaded))).collect()
    }

    /// One sample at `now` (ms since the epoch): seconds of existence are what restarts are counted against.
    fn sample(&self, now: i64) -> PodSamples {
        let one = |id: &str, n, k, value| Series {
            id: id.to_owned(),
            n,
            k,
            at: At::Everywhere,
            points: vec![Point { at: now, value }],
        };
        let lived = (now - self.created).max(0) as f64 / 1000.0;
        PodSamples {
            pod: self.name.clone(),
            pool: self.pool,
            started: self.created,
            // No pod is too young to be restarted.
            counted_from: self.created,
            series: vec![one("lived", 1.0, 0.0, lived), one("restarts", 0.0, 1.0, f64::from(self.restarts))],
            process_start: Vec::new(),
        }
    }
}

/// Takes the samples of one attempt.
#[derive(Default)]
pub(super) struct RestartCount {
    cell: i64,
    latest: Option<MetricSamples>,
}

impl RestartCount {
    /// The latest sample; a new one once per cell of `cell_ms`.
    pub(super) fn at(&mut self, now: i64, cell_ms: i64, lives: &[Life]) -> MetricSamples {
        let cell = now.div_euclid(cell_ms.max(1));
        match &self.latest {
            Some(latest) if cell == self.cell => latest.clone(),
            _ => {
                self.cell = cell;
                let pods = lives.iter().map(|life| life.sample(now)).collect();
                let sample = MetricSamples { name: RESTARTS.to_owned(), pods, problem: None };
                self.latest.insert(sample).clone()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{Attempt, AttemptSpec, MetricSpec, Observed, Verdict, WeightChange};

    const START: i64 = 1_800_000_000_000;

    /// An hour in which each of three free-threaded pods is restarted every `every` seconds, beside nine that never are.
    fn judged(every: i64) -> Verdict {
        let spec = AttemptSpec::new(0.01, 15_000, START, vec![MetricSpec::restarts(0.0)]);
        let (mut attempt, mut count) = (Attempt::new(spec).unwrap(), RestartCount::default());
        let life = |i: i64, now: i64| {
            let pool = if i < 3 { Pool::FreeThreaded } else { Pool::Standard };
            let restarts = if i < 3 { (now - START - i * 20_000).max(0) / (every * 1000) } else { 0 };
            Life {
                name: format!("pod-{i}"),
                pool,
                created: START + if i < 3 { 1_000 } else { -86_400_000 },
                restarts: i32::try_from(restarts).unwrap(),
            }
        };
        // The weight changes all the time: pods restart at any.
        let changes: Vec<WeightChange> =
            (0..60).map(|i| WeightChange { at: START + i * 60_000, share: 0.1 }).collect();
        for now in (START + 5_000..START + 3_600_000).step_by(4_000) {
            let lives: Vec<Life> = (0..12).map(|i| life(i, now)).collect();
            let samples = [count.at(now, 15_000, &lives)];
            let observed = Observed { now, metrics: &samples, weight_changes: &changes, step_started: START };
            attempt.feed(&observed);
        }
        attempt.verdict(START + 3_600_000).overall
    }

    #[test]
    fn pods_that_restart_again_and_again_are_found_and_the_sentence_says_how_often() {
        let found = judged(400);
        assert!(matches!(found, Verdict::Breach(_)), "{}", found.sentence());
        assert!(found.sentence().starts_with("restarts: "), "{}", found.sentence());
        assert!(found.sentence().contains(" pod-hours on the standard pool"), "{}", found.sentence());
    }

    #[test]
    fn a_pool_that_is_never_restarted_is_clear() {
        let found = judged(1_000_000);
        assert!(matches!(found, Verdict::Safe(_) | Verdict::Clear(_)), "{}", found.sentence());
    }
}
