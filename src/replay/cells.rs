//! Counts per interval become cells as they are.

use std::collections::BTreeMap;

use super::{
    feed::{Fed, Weight},
    fields::Row,
    moments::Moment,
};
use crate::judge::{Attempt, Cell, Counts, MetricKind, PodCounts, Pool};

/// A pod that does not come back is missed for this long, ms.
const MISSED_MS: i64 = 300_000;

/// Takes intervals. One is complete when the next one begins, which says how long it was.
#[derive(Debug)]
pub(super) struct Intervals {
    length: i64,
    open: Option<Moment>,
    weight: Weight,
    /// Pods, and the last interval that each was in.
    pods: BTreeMap<String, (Pool, i64)>,
}

impl Intervals {
    /// `length` (ms): of an interval that nothing follows.
    pub(super) fn new(length: i64) -> Self {
        Self { length, open: None, weight: Weight::default(), pods: BTreeMap::new() }
    }

    pub(super) fn push(&mut self, moment: Moment, attempt: &mut Attempt) -> Option<Fed> {
        let next = moment.at;
        let done = self.open.replace(moment)?;
        // A little more than its length is jitter, much more is a gap.
        let end = if next - done.at <= self.length * 3 / 2 { next } else { done.at + self.length };
        Some(self.feed(&done, end, attempt))
    }

    pub(super) fn finish(&mut self, attempt: &mut Attempt) -> Option<Fed> {
        let done = self.open.take()?;
        let end = done.at + self.length;
        Some(self.feed(&done, end, attempt))
    }

    fn feed(&mut self, moment: &Moment, end: i64, attempt: &mut Attempt) -> Fed {
        let start = moment.at;
        let share = moment.share();
        let change = self.weight.learn(share, start, start - 1);
        attempt.step(self.weight.step(), change.as_slice());
        let held = change.is_some_and(|change| change.at >= start);
        let missing = self.missing(moment);
        let kinds: Vec<MetricKind> = attempt.spec().metrics.iter().map(|metric| metric.kind).collect();
        let cells: Vec<(usize, Cell)> = kinds
            .iter()
            .enumerate()
            .map(|(index, kind)| {
                let pods = moment.pods.iter().map(|(pod, row)| (pod.clone(), counts(row, *kind))).collect();
                let (missing_standard, missing_free_threaded) = missing;
                (
                    index,
                    Cell { held, missing_standard, missing_free_threaded, ..Cell::plain(start, end, pods) },
                )
            })
            .collect();
        // What the attempt has judged is still to be drawn.
        attempt.feed_cells(cells.clone());
        Fed { now: end, cells, share: change.map(|change| change.share) }
    }

    /// Pods of both pools that were there lately and are not.
    fn missing(&mut self, moment: &Moment) -> (usize, usize) {
        for (pod, row) in &moment.pods {
            match self.pods.get_mut(pod) {
                Some(seen) => *seen = (row.pool, moment.at),
                None => {
                    self.pods.insert(pod.clone(), (row.pool, moment.at));
                }
            }
        }
        self.pods.retain(|_, (_, at)| moment.at - *at <= MISSED_MS);
        let missing = |of| self.pods.values().filter(|(pool, at)| *pool == of && *at < moment.at).count();
        (missing(Pool::Standard), missing(Pool::FreeThreaded))
    }
}

fn counts(row: &Row, kind: MetricKind) -> PodCounts {
    let bad = match kind {
        MetricKind::Errors => row.errors,
        MetricKind::Latency => row.slow,
        // Not in a file.
        MetricKind::Counter | MetricKind::Restarts => None,
    };
    PodCounts::new(row.pool, row.young, Counts::new(row.requests, bad.unwrap_or_default()))
}
