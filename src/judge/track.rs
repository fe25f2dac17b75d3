//! One pod on its way to the grid: scrapes that wait, running totals, and from when on it counts.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{
    counts::{Counter, Counts, OTHERS, Reading, Scrape, Slower, Total},
    samples::{PodSamples, Point, Pool},
};

/// A pod's scrapes and totals, as far back as the open cell needs them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Track {
    pub(super) pool: Pool,
    counted_from: i64,
    counter: Counter,
    /// Its counters were 0 at this time, told to the totals only with its first scrape: what is not scraped yet is not known yet.
    zero_at: Option<i64>,
    waiting: BTreeMap<i64, Scrape>,
    done: i64,
    totals: VecDeque<Total>,
    base: Base,
}

/// From which sample on a pod counts again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Base {
    /// From the next sample, whenever that is.
    Next,
    /// From the sample at this time (ms).
    At(i64),
}

impl Track {
    /// A pod seen for the first time. `zero_at`: its counters were 0 at that time (ms).
    pub(super) fn new(pod: &PodSamples, zero_at: Option<i64>) -> Self {
        Self {
            pool: pod.pool,
            counted_from: pod.counted_from,
            counter: Counter::new(zero_at),
            zero_at,
            waiting: BTreeMap::new(),
            done: i64::MIN,
            totals: VecDeque::new(),
            base: Base::Next,
        }
    }

    /// Adds the scrapes of `pod` that are new and in `(after, until]` (ms).
    pub(super) fn learn(&mut self, pod: &PodSamples, after: i64, until: i64) {
        self.counted_from = pod.counted_from;
        self.counter.container_started(pod.started);
        let after = after.max(self.done);
        for series in &pod.series {
            for point in usable(&series.points, after, until) {
                let reading = Reading { value: point.value, n: series.n, k: series.k, bound: series.at };
                self.waiting.entry(point.at).or_default().values.insert(series.id.clone(), reading);
            }
        }
        for point in usable(&pod.process_start, after, until) {
            self.waiting.entry(point.at).or_default().process_start = Some(point.value);
        }
    }

    /// Time of the first scrape of `pod` in `(after, until]` (ms).
    pub(super) fn first_of(pod: &PodSamples, after: i64, until: i64) -> Option<i64> {
        let series = pod.series.iter().map(|series| &series.points).chain([&pod.process_start]);
        series.flat_map(|points| usable(points, after, until)).map(|point| point.at).min()
    }

    /// The oldest waiting scrape as (the sample time at which it can be trusted, its own time).
    ///
    /// A scrape that lacks a series, and the first one of a pod that is older than the attempt, are trusted when the next one is
    /// there: until then they may have been read half.
    pub(super) fn next(&self) -> Option<(i64, i64)> {
        let mut waiting = self.waiting.iter();
        let (at, scrape) = waiting.next()?;
        if !self.counter.is_new() && self.counter.is_complete(scrape) {
            return Some((*at, *at));
        }
        waiting.next().map(|(second, _)| (*second, *at))
    }

    /// Takes the oldest waiting scrape.
    pub(super) fn take(&mut self) {
        let Some((at, scrape)) = self.waiting.pop_first() else { return };
        if let Some(zero_at) = self.zero_at.take() {
            // A container clock ahead of Prometheus' must not turn time around.
            let zero_at = zero_at.min(at - 1);
            self.totals.push_back(Total { at: zero_at, n: 0.0, k: 0.0, slower: [Some(0.0); OTHERS] });
            self.base = Base::At(zero_at);
        }
        let total = self.counter.push(at, &scrape);
        self.totals.push_back(total);
        self.done = at;
        if self.base == Base::Next {
            self.base = Base::At(at);
        }
    }

    /// Has a sample at or before `start`, since it was last left out.
    pub(super) fn can_count(&self, start: i64) -> bool {
        matches!(self.base, Base::At(at) if at <= start)
    }

    /// Time of its first sample at or after `at`.
    pub(super) fn first_from(&self, at: i64) -> Option<i64> {
        self.totals.iter().map(|t| t.at).find(|t| *t >= at)
    }

    /// Time of its last sample at or before `at`, as far as it is remembered.
    pub(super) fn last_until(&self, at: i64) -> Option<i64> {
        self.totals.iter().rev().map(|t| t.at).find(|t| *t <= at)
    }

    /// Time of its last sample.
    pub(super) fn last(&self) -> Option<i64> {
        self.totals.back().map(|t| t.at)
    }

    /// It counts again from its first sample at or after `at`; what it did until then is dropped.
    pub(super) fn leave_out(&mut self, at: i64) {
        self.base = self.first_from(at).map_or(Base::Next, Base::At);
    }

    /// Counts in `[start, end)`, interpolated between its scrapes.
    pub(super) fn between(&self, start: i64, end: i64) -> (Counts, Slower) {
        let (from, to) = (self.total_at(start), self.total_at(end));
        let mut slower = to.slower;
        for (slower, from) in slower.iter_mut().zip(from.slower) {
            *slower = slower.zip(from).map(|(to, from)| to - from);
        }
        let counts = Counts::new(to.n - from.n, to.k - from.k);
        (counts, Slower::of(counts.n, slower))
    }

    fn total_at(&self, at: i64) -> Total {
        let mut before: Option<&Total> = None;
        for total in &self.totals {
            if total.at >= at {
                let Some(from) = before.filter(|_| total.at > at) else { return *total };
                let part = (at - from.at) as f64 / (total.at - from.at) as f64;
                let between = |from: f64, to: f64| from + (to - from) * part;
                let mut slower = total.slower;
                for (to, from) in slower.iter_mut().zip(from.slower) {
                    *to = to.zip(from).map(|(to, from)| between(from, to));
                }
                return Total { at, n: between(from.n, total.n), k: between(from.k, total.k), slower };
            }
            before = Some(total);
        }
        before.copied().unwrap_or(Total { at, n: 0.0, k: 0.0, slower: [Some(0.0); OTHERS] })
    }

    /// Young at `at`: still warming up.
    pub(super) fn is_young(&self, at: i64) -> bool {
        at < self.counted_from
    }

    pub(super) fn several_processes(&self, at: i64) -> bool {
        self.counter.several_processes(at)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Forgets totals that no cell from `start` on needs.
    pub(super) fn prune(&mut self, start: i64) {
        while self.totals.get(1).is_some_and(|second| second.at <= start) {
            self.totals.pop_front();
        }
    }

    /// How many scrapes and totals it holds.
    pub(super) fn size(&self) -> usize {
        self.waiting.len() + self.totals.len()
    }
}

/// Samples in `(after, until]` (ms). Stale markers and NaN are no samples, and a counter is never negative.
fn usable(points: &[Point], after: i64, until: i64) -> impl Iterator<Item = &Point> {
    points.iter().filter(move |p| p.at > after && p.at <= until && p.value.is_finite() && p.value >= 0.0)
}
