//! Cells: counts of all pods of one metric on a common grid of time.
//!
//! Scrapes are staggered between pods. Compared as they come, an incident that hits both pools looks like a regression of the
//! pool that is scraped first (41 to 50 % false alarms); interpolated onto a common grid, one scrape late, it does not.
//!
//! Only times of samples decide what a cell holds and when it closes, never the time at which they arrived. So a replay from
//! Prometheus' history gives bit for bit the cells that were judged live, in whatever portions the samples came, as long as
//! samples become visible in order of time. To that end scrapes are worked off one time after the other.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    counts::{Counts, Slower},
    samples::{PodSamples, Pool},
    track::Track,
    weights::Weights,
};

/// A pod is remembered for this long after its last sample, in ms.
const REMEMBER_MS: i64 = 3_600_000;

/// A pod not counted in a cell is missed for this long after its last sample, in ms.
const MISSED_MS: i64 = 300_000;

/// Samples this far ahead of our clock are left for later, in ms. One of them would close cells before their time.
const AHEAD_MS: i64 = 60_000;

/// Kubernetes' clock and Prometheus' may differ by this much, in ms.
const CLOCKS_DIFFER_MS: i64 = 5_000;

/// A cell waits for a late pod until this many scrapes after its end.
const LATE_CELLS: i64 = 2;

/// Counts of all pods in `[start, end)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// First instant, ms since the epoch: a multiple of the scrape interval.
    pub start: i64,
    /// First instant after it, ms. Longer than one scrape interval only after a gap of all pods.
    pub end: i64,
    /// Time of the sample that completed it, ms.
    pub closes: i64,
    /// Sample time by which it and all cells before it were complete, ms: the order in which cells of several metrics are judged.
    pub known: i64,
    /// The weight changed within it: its counts are of two mixtures and are not tested.
    pub held: bool,
    /// Several processes answer behind one of the ports: its counts are not to be trusted.
    pub several_processes: bool,
    /// The pods counted in it.
    pub pods: BTreeMap<String, PodCounts>,
    /// Pods of the standard pool that should have been counted and were not.
    pub missing_standard: usize,
    /// The same of the free-threaded pool.
    pub missing_free_threaded: usize,
}

/// One pod in one cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PodCounts {
    /// Its pool.
    pub pool: Pool,
    /// Young when the cell began.
    pub young: bool,
    /// What it did; of latency, at the boundary that stands for the threshold.
    pub counts: Counts,
    /// Latency: what was slower than the other boundaries.
    pub slower: Slower,
}

impl PodCounts {
    /// A pod of which there is one count.
    pub fn new(pool: Pool, young: bool, counts: Counts) -> Self {
        Self { pool, young, counts, slower: Slower::UNKNOWN }
    }

    /// At a boundary: the threshold's is 0, the others follow. `None`: it has no such bucket.
    pub fn at(&self, boundary: usize) -> Option<Counts> {
        match boundary.checked_sub(1) {
            None => Some(self.counts),
            Some(other) => self.slower.get(other).map(|k| Counts::new(self.counts.n, k)),
        }
    }
}

impl Cell {
    /// A cell that was counted as a whole, without grid: from a file or a simulation.
    pub fn plain(start: i64, end: i64, pods: BTreeMap<String, PodCounts>) -> Self {
        Self {
            start,
            end,
            closes: end,
            known: end,
            held: false,
            several_processes: false,
            pods,
            missing_standard: 0,
            missing_free_threaded: 0,
        }
    }

    /// Takes in the cell that follows it.
    pub fn absorb(&mut self, next: Self) {
        self.end = next.end;
        self.closes = next.closes;
        self.known = next.known;
        self.held |= next.held;
        self.several_processes |= next.several_processes;
        self.missing_standard = self.missing_standard.max(next.missing_standard);
        self.missing_free_threaded = self.missing_free_threaded.max(next.missing_free_threaded);
        for (name, pod) in next.pods {
            let join = |known: &mut PodCounts| {
                known.counts += pod.counts;
                known.slower += pod.slower;
            };
            self.pods.entry(name).and_modify(join).or_insert(pod);
        }
    }

    /// Length in seconds.
    pub fn seconds(&self) -> f64 {
        (self.end - self.start) as f64 / 1000.0
    }

    /// Pods of `pool`, with or without the young ones.
    pub fn pods(&self, pool: Pool, with_young: bool) -> impl Iterator<Item = (&String, &PodCounts)> + Clone {
        self.pods.iter().filter(move |(_, pod)| pod.pool == pool && (with_young || !pod.young))
    }

    /// The same with their counts at a boundary (see [`PodCounts::at`]). A pod without that bucket is left out.
    pub fn at(
        &self,
        boundary: usize,
        pool: Pool,
        with_young: bool,
    ) -> impl Iterator<Item = (&str, Counts)> + Clone {
        self.pods(pool, with_young).filter_map(move |(name, pod)| Some((name.as_str(), pod.at(boundary)?)))
    }

    /// Their counts together.
    pub fn sum(&self, pool: Pool, with_young: bool) -> Counts {
        self.sum_at(0, pool, with_young)
    }

    /// Their counts at a boundary together.
    pub fn sum_at(&self, boundary: usize, pool: Pool, with_young: bool) -> Counts {
        let mut sum = Counts::default();
        for (_, counts) in self.at(boundary, pool, with_young) {
            sum += counts;
        }
        sum
    }

    /// This cell as if that boundary were the only one.
    #[must_use]
    pub fn only(&self, boundary: usize) -> Self {
        let pods = self.pods.iter().filter_map(|(name, pod)| {
            Some((name.clone(), PodCounts::new(pod.pool, pod.young, pod.at(boundary)?)))
        });
        Self { pods: pods.collect(), ..self.clone() }
    }
}

/// Builds cells out of samples, portion by portion.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Grid {
    cell: i64,
    attempt: i64,
    start: i64,
    end: i64,
    /// Time of the last sample worked off.
    clock: i64,
    pods: BTreeMap<String, Track>,
    /// Last sample of any pod that was forgotten: an older pod may be the same again, and its counters are no news.
    forgotten: i64,
}

impl Grid {
    /// Cells of `cell_ms` (one scrape interval, at least 1), from the first multiple at or after `attempt` (ms).
    pub fn new(cell_ms: i64, attempt: i64) -> Self {
        let cell = cell_ms.max(1);
        let start = attempt.div_euclid(cell) * cell + if attempt.rem_euclid(cell) > 0 { cell } else { 0 };
        Self {
            cell,
            attempt,
            start,
            end: start + cell,
            clock: i64::MIN,
            pods: BTreeMap::new(),
            forgotten: i64::MIN,
        }
    }

    /// Takes new samples and returns the cells they closed, in order. `seen` is told of every scrape worked off, in order of time.
    pub fn feed(
        &mut self,
        now: i64,
        samples: &[PodSamples],
        weights: &Weights,
        mut seen: impl FnMut(Pool, i64),
    ) -> Vec<Cell> {
        for pod in samples {
            self.learn(pod, now.saturating_add(AHEAD_MS));
        }
        let heads = self
            .pods
            .iter()
            .filter_map(|(name, track)| track.next().map(|(ready, at)| (ready, at, name.clone())));
        let mut queue: BTreeSet<(i64, i64, String)> = heads.collect();
        let mut cells = Vec::new();
        while let Some((ready, at, name)) = queue.pop_first() {
            if let Some(track) = self.pods.get_mut(&name) {
                track.take();
                seen(track.pool, at);
                if let Some((next, at)) = track.next() {
                    queue.insert((next.max(ready), at, name));
                }
            }
            self.clock = self.clock.max(ready);
            if queue.first().is_none_or(|(next, _, _)| *next > ready) {
                self.close(weights, &mut cells);
            }
        }
        cells
    }

    /// Start of the cell that is open, ms.
    pub fn open_since(&self) -> i64 {
        self.start
    }

    /// A pod behind whose port several processes answer.
    pub fn several_processes(&self) -> Option<&str> {
        self.pods.iter().find(|(_, pod)| pod.several_processes(self.clock)).map(|(name, _)| name.as_str())
    }

    /// How many scrapes and totals are held: bounded by pods and the length of a cell, not by the length of the attempt.
    pub fn size(&self) -> usize {
        self.pods.values().map(Track::size).sum()
    }

    fn learn(&mut self, pod: &PodSamples, until: i64) {
        let oldest = self.start.saturating_sub(REMEMBER_MS);
        if let Some(track) = self.pods.get_mut(&pod.pod) {
            track.learn(pod, oldest, until);
            return;
        }
        // A container that started over has samples from before its start: those counters did not begin at 0.
        let Some(first) = Track::first_of(pod, oldest, until) else { return };
        let born = pod.started > self.attempt.max(self.forgotten) && first >= pod.started - CLOCKS_DIFFER_MS;
        let mut track = Track::new(pod, born.then_some(pod.started));
        track.learn(pod, oldest, until);
        self.pods.insert(pod.pod.clone(), track);
    }

    fn close(&mut self, weights: &Weights, cells: &mut Vec<Cell>) {
        while self.end <= self.clock {
            let late = LATE_CELLS * self.cell;
            let deadline = self.end + late;
            let able = || self.pods.values().filter(|pod| pod.can_count(self.start));
            let (mut any, mut all, mut closes) = (false, true, i64::MIN);
            for pod in able() {
                any = true;
                match pod.first_from(self.end).filter(|at| *at <= deadline) {
                    Some(at) => closes = closes.max(at),
                    None => all = false,
                }
            }
            if !all {
                // Somebody is late. The cell stays open until a sample of anybody shows that the deadline has passed.
                let Some(back) = self.pods.values().filter_map(|pod| pod.first_from(deadline + 1)).min()
                else {
                    return;
                };
                let gap =
                    self.pods.values().filter_map(|pod| pod.last_until(deadline)).max().unwrap_or(self.start);
                if back - gap > late {
                    // Nobody was scraped: one long cell, up to the last edge before the first one is back.
                    self.end = back.div_euclid(self.cell) * self.cell;
                    continue;
                }
                closes = back;
            }
            let cell = self.collect(closes, deadline, weights);
            if any {
                cells.push(cell);
            }
            self.start = self.end;
            self.end += self.cell;
            self.prune();
        }
    }

    fn collect(&mut self, closes: i64, deadline: i64, weights: &Weights) -> Cell {
        let (start, end) = (self.start, self.end);
        let mut cell = Cell {
            start,
            end,
            closes,
            known: self.clock,
            held: weights.changed_in(start, end),
            several_processes: false,
            pods: BTreeMap::new(),
            missing_standard: 0,
            missing_free_threaded: 0,
        };
        for (name, pod) in &mut self.pods {
            let able = pod.can_count(start);
            if able && pod.first_from(end).is_some_and(|at| at <= deadline) {
                cell.several_processes |= pod.several_processes(self.clock);
                let (counts, slower) = pod.between(start, end);
                let young = pod.is_young(start);
                cell.pods.insert(name.clone(), PodCounts { pool: pod.pool, young, counts, slower });
                continue;
            }
            if able {
                pod.leave_out(end);
            }
            if pod.last().is_some_and(|at| at >= start.saturating_sub(MISSED_MS)) {
                match pod.pool {
                    Pool::Standard => cell.missing_standard += 1,
                    Pool::FreeThreaded => cell.missing_free_threaded += 1,
                }
            }
        }
        cell
    }

    fn prune(&mut self) {
        let (start, forgotten) = (self.start, &mut self.forgotten);
        self.pods.retain(|_, pod| {
            pod.prune(start);
            let last = pod.last().unwrap_or(i64::MAX);
            let keep = !pod.is_idle() || last >= start.saturating_sub(REMEMBER_MS);
            if !keep {
                *forgotten = (*forgotten).max(last);
            }
            keep
        });
    }
}
