//! Does the memory of the free-threaded pool grow and grow?
//!
//! A level says nothing: free-threaded `CPython` keeps what it once needed, high but flat. So it is the slope that is compared, pod by
//! pod, and by signs alone, which asks for no assumption on how memory is distributed:
//!
//! H0: whatever went before, the median pod grows by more than what is tolerated on top of the standard pool in at most every second
//! interval. With `s = 1` for an interval in which it does and `s = −1` for one in which it does not, `1 + λ·s` has an expectation of at
//! most 1 for any `λ` from 0 to 1, and their product is an e-value (a bet on each interval). Several `λ` and any onset are looked for at
//! once, as for counts.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    mixture::log_sum_exp,
    samples::{Point, Pool},
};

/// Stakes that are looked for.
const STAKES: [f64; 3] = [0.3, 0.6, 0.9];

/// The chance of an onset falls with the age of the test, as for counts: after as many intervals it has halved.
const ONSET_INTERVALS: f64 = 30.0;

/// `M` of a test whose leak has not begun: the rest is for one from the start.
const NOT_BEGUN: f64 = 0.25;

/// Intervals that are kept open for samples that come late.
const LATE: i64 = 1;

/// What memory is held to.
#[derive(Clone, Debug, PartialEq)]
pub struct MemorySpec {
    /// Growth that is tolerated on top of the standard pool's, in bytes per second and pod.
    pub tolerate: f64,
    /// Length of an interval, ms.
    pub interval: i64,
    /// What a pod does in this time after it has warmed up is not counted, nor what happens in this time after a change of the weight, ms:
    /// caches fill, heaps find their size.
    pub settle: i64,
    /// Share of `α`: chance of a false alarm over the attempt.
    pub alpha: f64,
}

/// One pod's memory as it was scraped.
#[derive(Clone, Debug, PartialEq)]
pub struct MemorySamples {
    /// The pod.
    pub pod: String,
    /// Its pool.
    pub pool: Pool,
    /// When it stops being young, ms since the epoch; `i64::MAX` while it is not ready.
    pub counted_from: i64,
    /// Bytes.
    pub points: Vec<Point>,
}

/// What is found.
#[derive(Clone, Debug, PartialEq)]
pub struct MemoryFinding {
    /// The evidence reached `1/α`. Latched.
    pub leaks: bool,
    /// With its numbers.
    pub sentence: String,
}

/// The test over one attempt.
#[derive(Clone, Debug)]
pub struct Memory {
    spec: MemorySpec,
    /// Samples of the intervals that are open, by start of the interval and pod.
    open: BTreeMap<i64, BTreeMap<String, (Pool, Vec<f64>)>>,
    /// Medians of the last interval that was closed.
    last: Option<(i64, BTreeMap<String, f64>)>,
    /// The last sample that counts, by pod.
    read: BTreeMap<String, i64>,
    /// `ln` of what has not begun, and of each stake.
    none: f64,
    parts: [f64; STAKES.len()],
    compared: Vec<Compared>,
    /// Intervals so far.
    age: f64,
    crossed: Option<String>,
}

/// One interval in which both pools were known.
#[derive(Clone, Copy, Debug)]
struct Compared {
    ours: f64,
    standard: f64,
    more: bool,
}

/// Intervals that the sentence is about.
const RECENT: usize = 30;

impl Memory {
    /// Nothing seen yet.
    pub fn new(spec: MemorySpec) -> Self {
        let part = ((1.0 - NOT_BEGUN) / STAKES.len() as f64).ln();
        Self {
            spec,
            open: BTreeMap::new(),
            last: None,
            read: BTreeMap::new(),
            none: NOT_BEGUN.ln(),
            parts: [part; STAKES.len()],
            compared: Vec::new(),
            age: 0.0,
            crossed: None,
        }
    }

    /// What it tests.
    pub fn spec(&self) -> &MemorySpec {
        &self.spec
    }

    /// Takes samples; those known already change nothing. `changes`: when the weight changed, ms since the epoch.
    pub fn feed(&mut self, now: i64, samples: &[MemorySamples], changes: &[i64]) {
        let interval = self.spec.interval.max(1);
        let closed = self.last.as_ref().map_or(i64::MIN, |(start, _)| *start);
        for pod in samples {
            let counted_from = pod.counted_from.saturating_add(self.spec.settle);
            let read = self.read.entry(pod.pod.clone()).or_insert(i64::MIN);
            for point in &pod.points {
                let start = point.at.div_euclid(interval) * interval;
                let known = point.at <= *read || start <= closed;
                if known
                    || point.at > now
                    || start < counted_from
                    || !(point.value.is_finite() && point.value > 0.0)
                {
                    continue;
                }
                *read = point.at;
                let pods = self.open.entry(start).or_default();
                pods.entry(pod.pod.clone()).or_insert_with(|| (pod.pool, Vec::new())).1.push(point.value);
            }
        }
        let pods: BTreeSet<&String> = samples.iter().map(|pod| &pod.pod).collect();
        self.read.retain(|pod, _| pods.contains(pod));
        while let Some((start, _)) = self.open.first_key_value() {
            if now < start + interval * (1 + LATE) {
                break;
            }
            if let Some((start, pods)) = self.open.pop_first() {
                self.close(start, pods, changes);
            }
        }
    }

    fn close(&mut self, start: i64, pods: BTreeMap<String, (Pool, Vec<f64>)>, changes: &[i64]) {
        let pools: BTreeMap<String, Pool> =
            pods.iter().map(|(pod, (pool, _))| (pod.clone(), *pool)).collect();
        let medians: BTreeMap<String, f64> =
            pods.into_iter().filter_map(|(pod, (_, values))| Some((pod, median(values)?))).collect();
        let before = self.last.replace((start, medians));
        let Some((_, medians)) = &self.last else { return };
        let Some((_, before)) = before.filter(|(last, _)| start - last == self.spec.interval) else { return };
        let settling = |change: &i64| (*change..change.saturating_add(self.spec.settle)).contains(&start);
        if self.crossed.is_some() || changes.iter().any(settling) {
            return;
        }
        let growth = |wanted: Pool| {
            let of = medians.iter().filter(|(pod, _)| pools.get(*pod) == Some(&wanted));
            median(of.filter_map(|(pod, now)| Some(now - before.get(pod)?)).collect())
        };
        let (Some(ours), Some(standard)) = (growth(Pool::FreeThreaded), growth(Pool::Standard)) else {
            return;
        };
        let tolerated = self.spec.tolerate * self.spec.interval as f64 / 1000.0;
        // A standard pool that shrinks is no yardstick.
        let more = ours > standard.max(0.0) + tolerated;
        self.bet(more);
        self.compared.push(Compared { ours, standard, more });
        if self.compared.len() > RECENT {
            self.compared.remove(0);
        }
        if self.ln_m() >= -self.spec.alpha.ln() {
            self.crossed = Some(self.sentence());
        }
    }

    fn bet(&mut self, more: bool) {
        self.age += 1.0;
        let onset = 1.0 / (self.age + ONSET_INTERVALS);
        let begun = self.none + (onset / STAKES.len() as f64).ln();
        for (part, stake) in self.parts.iter_mut().zip(STAKES) {
            *part = log_sum_exp([*part, begun]) + if more { stake } else { -stake }.ln_1p();
        }
        self.none += (1.0 - onset).ln();
    }

    fn ln_m(&self) -> f64 {
        log_sum_exp(self.parts.into_iter().chain([self.none]))
    }

    /// What is known now.
    pub fn finding(&self) -> MemoryFinding {
        MemoryFinding {
            leaks: self.crossed.is_some(),
            sentence: self.crossed.clone().unwrap_or_else(|| self.sentence()),
        }
    }

    fn sentence(&self) -> String {
        let n = self.compared.len();
        if n == 0 {
            return "memory: no two intervals of both pools to compare yet".to_owned();
        }
        let more = self.compared.iter().filter(|compared| compared.more).count();
        let hours = n as f64 * self.spec.interval as f64 / 3_600_000.0;
        let per_hour = |of: fn(&Compared) -> f64| self.compared.iter().map(of).sum::<f64>() / hours;
        format!(
            "memory grew by {} per pod and hour against {} on the standard pool, by more than the {} tolerated in {more} of the \
             last {n} intervals of {} s; evidence {}:1, acts at {}:1",
            bytes(per_hour(|c| c.ours)),
            bytes(per_hour(|c| c.standard)),
            bytes(self.spec.tolerate * 3600.0),
            self.spec.interval / 1000,
            super::sentence::ratio(self.ln_m().exp()),
            super::sentence::number(1.0 / self.spec.alpha),
        )
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Bytes for people.
fn bytes(value: f64) -> String {
    let sign = if value <= -0.5 { "−" } else { "" };
    let (mut value, mut units) = (value.abs(), ["B", "KiB", "MiB", "GiB"].iter());
    let mut unit = units.next().unwrap_or(&"B");
    for next in units {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, next);
    }
    let decimals = usize::from(value < 10.0 && *unit != "B");
    format!("{sign}{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: f64 = 1_048_576.0;
    const START: i64 = 1_800_000_000_000;

    fn spec() -> MemorySpec {
        MemorySpec { tolerate: 20.0 * MIB / 3600.0, interval: 120_000, settle: 1_800_000, alpha: 0.001 }
    }

    /// Three pods and nine, scraped every 15 s, whose memory is given by pool and seconds since the start.
    fn world(memory: &dyn Fn(Pool, i64, usize) -> f64, hours: i64, changes: &[i64]) -> Memory {
        let mut test = Memory::new(spec());
        let pool = |i| if i < 3 { Pool::FreeThreaded } else { Pool::Standard };
        for minute in 0..hours * 60 {
            let now = START + (minute + 1) * 60_000;
            let samples: Vec<MemorySamples> = (0..12)
                .map(|i| MemorySamples {
                    pod: format!("pod-{i}"),
                    pool: pool(i),
                    counted_from: if i < 3 { START } else { START - 86_400_000 },
                    // Overlapping windows, as they are read.
                    points: (minute * 60 - 60..(minute + 1) * 60)
                        .step_by(15)
                        .filter(|second| *second >= 0)
                        .map(|second| Point { at: START + second * 1000, value: memory(pool(i), second, i) })
                        .collect(),
                })
                .collect();
            test.feed(now, &samples, changes);
        }
        test
    }

    fn rng(seed: u64) -> f64 {
        let mut x = seed.wrapping_add(0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 30)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    #[test]
    fn a_leak_is_found_and_told_with_its_numbers() {
        let leak = |pool, second: i64, i: usize| {
            let noise = 8.0 * rng(second.unsigned_abs() * 31 + i as u64);
            let grown = if pool == Pool::FreeThreaded { 120.0 * second as f64 / 3600.0 } else { 0.0 };
            (200.0 + grown + noise) * MIB
        };
        let found = world(&leak, 4, &[START]).finding();
        assert!(found.leaks, "{}", found.sentence);
        assert!(found.sentence.starts_with("memory grew by 1"), "{}", found.sentence);
        assert!(found.sentence.contains("the 20 MiB tolerated"), "{}", found.sentence);
    }

    #[test]
    fn high_but_flat_is_no_leak_nor_are_caches_that_fill() {
        let flat = |pool, second: i64, i: usize| {
            let noise = 30.0 * rng(second.unsigned_abs() * 17 + i as u64);
            // Fills within the first twenty minutes, and once more after an hour and a half, to stay.
            let filled = (second as f64 / 1200.0).min(1.0) * 800.0;
            let peak = if second > 5400 { 300.0 } else { 0.0 };
            (200.0 + noise + if pool == Pool::FreeThreaded { filled + peak } else { 0.0 }) * MIB
        };
        let found = world(&flat, 6, &[START]).finding();
        assert!(!found.leaks && found.sentence.starts_with("memory grew"), "{}", found.sentence);
    }

    #[test]
    fn what_both_pools_do_is_nobodys_leak() {
        let both = |_, second: i64, i: usize| {
            (200.0 + 200.0 * second as f64 / 3600.0 + 5.0 * rng(second.unsigned_abs() + i as u64)) * MIB
        };
        let found = world(&both, 6, &[START]).finding();
        assert!(!found.leaks && found.sentence.starts_with("memory grew"), "{}", found.sentence);
    }

    #[test]
    fn nothing_known_of_one_pool_is_no_evidence() {
        let leak = |pool, second: i64, _| match pool {
            Pool::FreeThreaded => (200.0 + second as f64) * MIB,
            Pool::Standard => f64::NAN,
        };
        let found = world(&leak, 3, &[START]).finding();
        assert!(!found.leaks, "{}", found.sentence);
        assert_eq!(found.sentence, "memory: no two intervals of both pools to compare yet");
    }

    /// At the very edge, every interval is a toss-up, and looked at after each.
    #[test]
    fn false_alarms_stay_under_alpha() {
        let runs = 4000;
        let alarms = (0..runs).filter(|run| {
            let mut test = Memory::new(MemorySpec { alpha: 0.05, ..spec() });
            (0..2000u64).any(|i| {
                test.bet(rng(run * 100_003 + i) < 0.5);
                test.ln_m() >= -(0.05f64).ln()
            })
        });
        let rate = alarms.count() as f64 / 4000.0;
        assert!(rate <= 0.05, "{rate}");
    }

    #[test]
    fn bytes_are_short() {
        let all = [0.0, 900.0, 2048.0, 48.0 * MIB, -1.5 * MIB, 3.25 * 1024.0 * MIB];
        assert_eq!(all.map(bytes), ["0 B", "900 B", "2.0 KiB", "48 MiB", "−1.5 MiB", "3.2 GiB"]);
    }
}
