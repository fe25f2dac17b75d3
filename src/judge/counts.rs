//! Raw counter samples of one pod become running totals of requests and bad requests.
//!
//! Never `increase()` or `rate()`: overlapping windows count twice, extrapolation invents fractions, and a new series loses its
//! first errors (prometheus#1673), which is exactly what a fresh free-threaded pod has.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{processes::Processes, samples::At};

/// Requests and bad ones among them. Fractions come from interpolation between scrapes and stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests.
    pub n: f64,
    /// Bad ones: errors, or slower than the threshold. `0 ≤ k ≤ n`.
    pub k: f64,
}

impl Counts {
    /// `n` requests, `k` of them bad; brought into `n ≥ k ≥ 0`.
    pub fn new(n: f64, k: f64) -> Self {
        let n = if n > 0.0 { n } else { 0.0 };
        Self { n, k: if k > 0.0 { k.min(n) } else { 0.0 } }
    }

    /// Share of bad requests; 0 without requests.
    pub fn share(self) -> f64 {
        if self.n > 0.0 { self.k / self.n } else { 0.0 }
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.n += other.n;
        self.k += other.k;
    }
}

/// Most boundaries of a latency histogram that are compared beside the one that stands for the threshold.
pub const OTHERS: usize = 7;

/// Requests slower than each of the other boundaries, where that is known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slower([Option<f64>; OTHERS]);

impl Slower {
    /// Nothing is known: of errors, and of a pod without those buckets.
    pub const UNKNOWN: Self = Self([None; OTHERS]);

    /// Of `n` requests, where it is known.
    pub fn of(n: f64, slower: [Option<f64>; OTHERS]) -> Self {
        Self(slower.map(|k| k.map(|k| Counts::new(n, k).k)))
    }

    /// Slower than the boundary of that index.
    pub fn get(&self, other: usize) -> Option<f64> {
        self.0.get(other).copied().flatten()
    }
}

impl std::ops::AddAssign for Slower {
    fn add_assign(&mut self, more: Self) {
        for (k, more) in self.0.iter_mut().zip(more.0) {
            *k = k.zip(more).map(|(k, more)| k + more);
        }
    }
}

/// All series of one pod at one scrape.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Scrape {
    /// By fingerprint: value of the counter, and what a unit of it means for `n` and `k`.
    pub(super) values: BTreeMap<String, Reading>,
    /// `process_start_time_seconds`.
    pub(super) process_start: Option<f64>,
}

/// One series at one scrape.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Reading {
    /// Value of the counter.
    pub(super) value: f64,
    /// Requests per unit.
    pub(super) n: f64,
    /// Bad requests per unit.
    pub(super) k: f64,
    /// At which boundaries.
    pub(super) bound: At,
}

/// Running totals of a pod at a scrape, since its first one. Not clamped: only differences mean something.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Total {
    /// Time of the scrape, ms.
    pub(super) at: i64,
    /// Requests.
    pub(super) n: f64,
    /// Bad requests.
    pub(super) k: f64,
    /// Those at the other boundaries; nothing from the first scrape on that does not tell.
    pub(super) slower: [Option<f64>; OTHERS],
}

/// Differences the scrapes of one pod.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Counter {
    last: BTreeMap<String, Last>,
    n: f64,
    k: f64,
    slower: [Option<f64>; OTHERS],
    previous: Option<i64>,
    processes: Processes,
}

/// What one scrape adds at the other boundaries.
#[derive(Default)]
struct Others {
    /// Counters of all requests, each of which has to come with its bucket.
    all: usize,
    buckets: [usize; OTHERS],
    more: [f64; OTHERS],
}

impl Others {
    fn add(&mut self, now: &Reading, moved: f64) {
        match now.bound {
            At::Everywhere if now.k != 0.0 => {
                self.all += 1;
                self.more.iter_mut().for_each(|more| *more += now.k * moved);
            }
            At::Other(i) => {
                let i = usize::from(i);
                if let (Some(more), Some(buckets)) = (self.more.get_mut(i), self.buckets.get_mut(i)) {
                    *more += now.k * moved;
                    *buckets += 1;
                }
            }
            At::Everywhere | At::Threshold => {}
        }
    }

    /// A request without its bucket would be a slow one: from then on nothing is known at that boundary.
    fn add_to(&self, slower: &mut [Option<f64>; OTHERS]) {
        for ((slower, more), buckets) in slower.iter_mut().zip(self.more).zip(self.buckets) {
            *slower = slower.filter(|_| buckets == self.all).map(|slower| slower + more);
        }
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Last {
    value: f64,
    /// In the last scrape, and so expected in the next.
    present: bool,
}

impl Counter {
    /// For a pod whose counters are known to have been 0 at `zero_at` (ms), or whose first scrape is only something to start from.
    pub(super) fn new(zero_at: Option<i64>) -> Self {
        Self {
            last: BTreeMap::new(),
            n: 0.0,
            k: 0.0,
            slower: [Some(0.0); OTHERS],
            previous: zero_at,
            processes: Processes::default(),
        }
    }

    /// Nothing is known of this pod yet.
    pub(super) fn is_new(&self) -> bool {
        self.previous.is_none()
    }

    /// The container started at `at` (ms): a reset around that time is explained.
    pub(super) fn container_started(&mut self, at: i64) {
        self.processes.container_started(at);
    }

    /// Whether every series of the last scrape is in this one. If not, this scrape may have been read half (two queries see
    /// different newest scrapes), and is trusted only once a later one is there. A latency count without its bucket would be
    /// all slow requests.
    pub(super) fn is_complete(&self, scrape: &Scrape) -> bool {
        scrape.process_start.is_some_and(|start| self.processes.is_new(start))
            || self.last.iter().all(|(id, last)| !last.present || scrape.values.contains_key(id))
    }

    /// Takes the scrape at `at` (ms), which must be later than the one before, and returns the totals.
    ///
    /// A series that was not there before counts from 0. A counter that fell, or a new process, is a reset of all of them: what
    /// they show is what happened since. A series that is absent did not move.
    pub(super) fn push(&mut self, at: i64, scrape: &Scrape) -> Total {
        let first = self.previous.is_none();
        let fell = scrape
            .values
            .iter()
            .any(|(id, now)| self.last.get(id).is_some_and(|last| now.value < last.value));
        let replaced = self.processes.observe(at, self.previous, scrape.process_start, fell);
        if fell || replaced {
            self.last.clear();
        }
        for last in self.last.values_mut() {
            last.present = false;
        }
        let mut others = Others::default();
        for (id, now) in &scrape.values {
            let before = self.last.get(id).map_or(0.0, |last| last.value);
            let moved = if first { 0.0 } else { now.value - before };
            self.n += now.n * moved;
            if !matches!(now.bound, At::Other(_)) {
                self.k += now.k * moved;
            }
            others.add(now, moved);
            self.last.insert(id.clone(), Last { value: now.value, present: true });
        }
        // A pod that says only that its process lives says nothing of buckets.
        if !scrape.values.is_empty() {
            others.add_to(&mut self.slower);
        }
        self.previous = Some(at);
        Total { at, n: self.n, k: self.k, slower: self.slower }
    }

    /// Several processes answer behind this pod's port, by what was seen up to `at` (ms).
    pub(super) fn several_processes(&self, at: i64) -> bool {
        self.processes.several(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrape(values: &[(&str, f64, f64, f64)], start: Option<f64>) -> Scrape {
        let values = values.iter().map(|(id, value, n, k)| {
            ((*id).to_owned(), Reading { value: *value, n: *n, k: *k, bound: At::Everywhere })
        });
        Scrape { values: values.collect(), process_start: start }
    }

    fn totals(zero_at: Option<i64>, scrapes: &[Scrape]) -> Vec<(f64, f64)> {
        let mut counter = Counter::new(zero_at);
        let push = |(at, s): (i64, &Scrape)| counter.push(at, s);
        (1_000..).step_by(15_000).zip(scrapes).map(push).map(|t| (t.n, t.k)).collect()
    }

    #[test]
    fn hand_table() {
        let ok = |v| ("ok", v, 1.0, 0.0);
        let bad = |v| ("bad", v, 1.0, 1.0);
        // An old pod: its first scrape only starts the count, and a new error series counts from 0.
        let rows =
            [scrape(&[ok(900.0)], None), scrape(&[ok(910.0)], None), scrape(&[ok(915.0), bad(2.0)], None)];
        assert_eq!(totals(None, &rows), [(0.0, 0.0), (10.0, 0.0), (17.0, 2.0)]);
        // A pod born within the attempt: everything it ever counted is new.
        let rows = [scrape(&[ok(30.0), bad(3.0)], None), scrape(&[ok(40.0), bad(3.0)], None)];
        assert_eq!(totals(Some(0), &rows), [(33.0, 3.0), (43.0, 3.0)]);
        // One counter fell: both were reset, though the other one has grown past its old value.
        let rows = [scrape(&[ok(100.0), bad(1.0)], None), scrape(&[ok(7.0), bad(4.0)], None)];
        assert_eq!(totals(None, &rows), [(0.0, 0.0), (11.0, 4.0)]);
        // A new process whose counter has already passed the old one.
        let rows = [scrape(&[ok(5.0)], Some(100.0)), scrape(&[ok(9.0)], Some(200.0))];
        assert_eq!(totals(None, &rows), [(0.0, 0.0), (9.0, 0.0)]);
        // A series away for one scrape is not lost.
        let rows = [
            scrape(&[ok(5.0), bad(1.0)], None),
            scrape(&[ok(6.0)], None),
            scrape(&[ok(7.0), bad(3.0)], None),
        ];
        assert_eq!(totals(None, &rows), [(0.0, 0.0), (1.0, 0.0), (4.0, 2.0)]);
    }

    #[test]
    fn latency_is_count_minus_bucket() {
        let both = |count, bucket| scrape(&[("count", count, 1.0, 1.0), ("le", bucket, 0.0, -1.0)], None);
        assert_eq!(totals(None, &[both(100.0, 90.0), both(150.0, 135.0)]), [(0.0, 0.0), (50.0, 5.0)]);
    }

    #[test]
    fn other_boundaries_count_apart_and_a_bucket_that_is_missing_is_not_known() {
        let scrape = |count: f64, buckets: &[(At, f64)]| {
            let all = ("all".to_owned(), Reading { value: count, n: 1.0, k: 1.0, bound: At::Everywhere });
            let bucket = |(bound, value): &(At, f64)| {
                (format!("{bound:?}"), Reading { value: *value, n: 0.0, k: -1.0, bound: *bound })
            };
            Scrape { values: buckets.iter().map(bucket).chain([all]).collect(), process_start: None }
        };
        let mut counter = Counter::new(Some(0));
        let all = [(At::Threshold, 9.0), (At::Other(0), 6.0), (At::Other(1), 10.0)];
        let total = counter.push(1_000, &scrape(10.0, &all));
        assert_eq!((total.n, total.k), (10.0, 1.0));
        let slower = Slower::of(total.n, total.slower);
        assert_eq!((slower.get(0), slower.get(1), slower.get(2)), (Some(4.0), Some(0.0), None));
        let total = counter.push(2_000, &scrape(30.0, &[(At::Threshold, 28.0), (At::Other(1), 29.0)]));
        let slower = Slower::of(total.n, total.slower);
        assert_eq!((total.k, slower.get(0), slower.get(1)), (2.0, None, Some(1.0)));
        let total = counter
            .push(3_000, &scrape(40.0, &[(At::Threshold, 38.0), (At::Other(0), 7.0), (At::Other(1), 29.0)]));
        assert_eq!(
            Slower::of(total.n, total.slower).get(0),
            None,
            "where it begins again is not known either"
        );
    }

    #[test]
    fn half_a_scrape_is_not_complete() {
        let mut counter = Counter::new(Some(0));
        counter.push(1000, &scrape(&[("count", 1.0, 1.0, 1.0), ("le", 1.0, 0.0, -1.0)], Some(5.0)));
        assert!(!counter.is_complete(&scrape(&[("count", 2.0, 1.0, 1.0)], Some(5.0))));
        assert!(
            counter.is_complete(&scrape(&[("count", 2.0, 1.0, 1.0)], Some(50.0))),
            "a new process starts over"
        );
    }

    #[test]
    fn counts_stay_in_range() {
        assert_eq!(Counts::new(3.0, 5.0), Counts { n: 3.0, k: 3.0 });
        assert_eq!(Counts::new(-1.0, -5.0), Counts::default());
        assert_eq!(Counts::new(f64::NAN, f64::NAN), Counts::default());
    }
}
