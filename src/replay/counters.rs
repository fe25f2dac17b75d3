//! Running counters, as they are scraped, go the operator's own way: differences, resets and staggered scrapes are the judge's.

use std::collections::BTreeMap;

use super::{
    feed::{Fed, Weight},
    fields::Row,
    moments::Moment,
};
use crate::judge::{At, Attempt, MetricKind, MetricSamples, MetricSpec, Observed, PodSamples, Point, Series};

/// A pod is remembered for this long after its last scrape, ms, as in the judge.
const REMEMBER_MS: i64 = 3_600_000;

/// Takes scrapes.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pods: BTreeMap<String, Warm>,
    weight: Weight,
}

/// Since when a pod is not young any more.
#[derive(Clone, Copy, Debug)]
struct Warm {
    since: i64,
    seen: i64,
}

impl Counters {
    pub(super) fn push(&mut self, moment: &Moment, attempt: &mut Attempt) -> Fed {
        let now = moment.at;
        // It changed after the last scrape, so before this one.
        let change = self.weight.learn(moment.share(), now - 1, now - 1);
        let warm = self.warm(moment);
        let metrics: Vec<MetricSamples> =
            attempt.spec().metrics.iter().map(|metric| samples(metric, moment, &warm)).collect();
        let cells = attempt.feed(&Observed {
            now,
            metrics: &metrics,
            weight_changes: change.as_slice(),
            step_started: self.weight.step(),
        });
        Fed { now, cells, share: change.map(|change| change.share) }
    }

    /// From when on each pod of the moment counts, in its order.
    fn warm(&mut self, moment: &Moment) -> Vec<i64> {
        let at = moment.at;
        let mut all = Vec::with_capacity(moment.pods.len());
        for (pod, row) in &moment.pods {
            let known = self.pods.get(pod).copied();
            let since = match known {
                _ if row.young => i64::MAX,
                // It was young, and is not any more.
                Some(Warm { since: i64::MAX, .. }) => at,
                Some(Warm { since, .. }) => since,
                None => i64::MIN,
            };
            match self.pods.get_mut(pod) {
                Some(warm) => *warm = Warm { since, seen: at },
                None => {
                    self.pods.insert(pod.clone(), Warm { since, seen: at });
                }
            }
            all.push(since);
        }
        self.pods.retain(|_, warm| at - warm.seen <= REMEMBER_MS);
        all
    }
}

fn samples(metric: &MetricSpec, moment: &Moment, warm: &[i64]) -> MetricSamples {
    let pods = moment.pods.iter().zip(warm).map(|((pod, row), warm)| PodSamples {
        pod: pod.clone(),
        pool: row.pool,
        // Older than the attempt: its first row is only something to start from.
        started: i64::MIN,
        counted_from: *warm,
        series: series(metric.kind, row),
        process_start: Vec::new(),
    });
    MetricSamples { name: metric.name.clone(), pods: pods.collect(), problem: None }
}

fn series(kind: MetricKind, row: &Row) -> Vec<Series> {
    let bad = match kind {
        MetricKind::Errors => row.errors,
        MetricKind::Latency => row.slow,
        // Not in a file.
        MetricKind::Counter | MetricKind::Restarts => None,
    };
    let one = |id: &str, n, k, value| Series {
        id: id.to_owned(),
        n,
        k,
        at: At::Everywhere,
        points: vec![Point { at: row.at, value }],
    };
    vec![one("all", 1.0, 0.0, row.requests), one("bad", 0.0, 1.0, bad.unwrap_or_default())]
}
