//! How much burstier than coin tosses the counts are, learnt from the standard pool before the first request is shifted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{counts::Counts, grid::Cell, samples::Pool};

/// Evidence is always divided by this much more than was measured: an hour is not every hour.
const RESERVE: f64 = 1.2;

/// Lengths of the blocks that dispersion is measured over, ms.
const BLOCKS_MS: [i64; 2] = [60_000, 300_000];

/// Of as many blocks one is left out, the worst ones: an incident is not noise.
const WORST_OF: usize = 4;

/// Least history to learn from: seconds, bad requests, pods.
const LEAST: (f64, f64, usize) = (600.0, 30.0, 3);

/// Lasting differences are told from chance by comparing this many parts of the history.
const PARTS: i64 = 4;

/// Two layers that lower the evidence where counts are burstier than the theory.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// `φ`, at least 1: every `ln e` is divided by it.
    pub phi: f64,
    /// `τ`, at least 0: relative standard deviation between pods that lasts. It widens what a comparison tolerates.
    pub tau: f64,
}

impl Noise {
    /// Where nothing is known of the history.
    pub const UNKNOWN: Self = Self { phi: RESERVE, tau: 0.25 };
    /// Ideal counts: for simulations.
    pub const NONE: Self = Self { phi: 1.0, tau: 0.0 };

    /// What `ρ` is multiplied by when that many pods are counted: two standard errors of the difference that lasts between them.
    pub(super) fn widening(&self, our_pods: usize, pods: usize) -> f64 {
        if our_pods == 0 || pods == 0 {
            return 1.0;
        }
        1.0 + 2.0 * self.tau * (1.0 / our_pods as f64 + 1.0 / pods as f64).sqrt()
    }
}

/// What an hour of the standard pool's history says of one metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Noise, learnt or [`Noise::UNKNOWN`].
    pub noise: Noise,
    /// Whether it was learnt.
    pub learnt: bool,
    /// Requests per second.
    pub per_second: f64,
    /// Share of bad ones.
    pub bad: f64,
    /// Seconds of history.
    pub seconds: f64,
    /// Bad requests in it.
    pub bad_requests: f64,
    /// Pods in it.
    pub pods: usize,
}

impl Baseline {
    /// From cells of the standard pool, in order. Pods that were there only for a part count for that part.
    pub fn of(cells: &[Cell]) -> Self {
        let good = |cell: &&Cell| !cell.several_processes && cell.pods(Pool::Standard, true).next().is_some();
        let cells: Vec<&Cell> = cells.iter().filter(good).collect();
        let mut all = Counts::default();
        let mut each: BTreeMap<&str, Counts> = BTreeMap::new();
        for (name, pod) in cells.iter().flat_map(|cell| cell.pods(Pool::Standard, true)) {
            all += pod.counts;
            *each.entry(name).or_default() += pod.counts;
        }
        // Of no cells the sum is −0, which people read as a number.
        let seconds = cells.iter().map(|cell| cell.seconds()).sum::<f64>() + 0.0;
        let learnt = seconds >= LEAST.0 && all.k >= LEAST.1 && each.len() >= LEAST.2;
        let noise = if learnt {
            let phi = BLOCKS_MS.iter().map(|ms| dispersion(&cells, *ms)).fold(1.0, f64::max);
            Noise { phi: RESERVE * phi, tau: lasting(&cells) }
        } else {
            Noise::UNKNOWN
        };
        let per_second = if seconds > 0.0 { all.n / seconds } else { 0.0 };
        Self { noise, learnt, per_second, bad: all.share(), seconds, bad_requests: all.k, pods: each.len() }
    }

    /// The same of one boundary of a latency histogram (see [`Cell::at`]).
    pub fn at(cells: &[Cell], boundary: usize) -> Self {
        match boundary {
            0 => Self::of(cells),
            other => Self::of(&cells.iter().map(|cell| cell.only(other)).collect::<Vec<_>>()),
        }
    }

    /// Why the noise was not learnt, or what it was learnt from.
    pub fn source(&self) -> String {
        let minutes = (self.seconds / 60.0).round();
        let have =
            format!("{minutes:.0} min, {:.0} bad requests, {} pods", self.bad_requests.floor(), self.pods);
        if self.learnt {
            format!("learnt from {have} of the standard pool")
        } else {
            let (seconds, bad, pods) = LEAST;
            format!(
                "assumed: {have} of the standard pool are too little to learn from (needed: {:.0} min, {bad:.0} bad requests, {pods} pods)",
                seconds / 60.0
            )
        }
    }
}

/// What is known of one metric's history.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct History {
    /// Name of the metric.
    pub metric: String,
    /// What was read.
    pub baseline: Baseline,
    /// Why it could not be read, if so.
    pub problem: Option<String>,
    /// Latency: where slow begins and what else is compared.
    pub boundaries: Option<Boundaries>,
}

/// The boundaries of a latency histogram, as the last hour shows them. Durations are in seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Boundaries {
    /// The boundary that stands for the threshold.
    pub slow_over: f64,
    /// Other boundaries, in order, each with what was learnt of it.
    pub others: Vec<(f64, Baseline)>,
    /// What the buckets can tell apart, for people.
    pub resolution: String,
}

impl History {
    /// What it was learnt from, or why it is assumed.
    pub fn source(&self) -> String {
        match &self.problem {
            Some(problem) => format!("assumed: the standard pool's history could not be read: {problem}"),
            None => self.baseline.source(),
        }
    }
}

/// Counts of each pod, block by block.
fn blocks<'a>(cells: &[&'a Cell], block: impl Fn(&Cell) -> i64) -> Vec<BTreeMap<&'a str, Counts>> {
    let mut blocks: BTreeMap<i64, BTreeMap<&'a str, Counts>> = BTreeMap::new();
    for cell in cells {
        let counts = blocks.entry(block(cell)).or_default();
        for (name, pod) in cell.pods(Pool::Standard, true) {
            *counts.entry(name).or_default() += pod.counts;
        }
    }
    blocks.into_values().collect()
}

fn sum<'a>(pods: impl Iterator<Item = &'a Counts>) -> Counts {
    let mut sum = Counts::default();
    for counts in pods {
        sum += *counts;
    }
    sum
}

/// Pearson's dispersion over the pods of a block (1 for coin tosses), averaged over the blocks but for the worst quarter.
fn dispersion(cells: &[&Cell], block_ms: i64) -> f64 {
    let mut each: Vec<f64> =
        blocks(cells, |cell| cell.start.div_euclid(block_ms)).iter().filter_map(pearson).collect();
    each.sort_by(f64::total_cmp);
    each.truncate(each.len() - each.len() / WORST_OF);
    if each.is_empty() { 1.0 } else { each.iter().sum::<f64>() / each.len() as f64 }
}

/// `Σ (k − n·p)² / (n·p·(1−p)) / (pods − 1)`; `None` where all or no requests were bad, which says nothing.
fn pearson(pods: &BTreeMap<&str, Counts>) -> Option<f64> {
    let all = sum(pods.values());
    let p = all.share();
    let busy = pods.values().filter(|pod| pod.n > 0.0);
    let count = busy.clone().count();
    if count < 2 || all.k <= 0.0 || p >= 1.0 {
        return None;
    }
    let squares: f64 = busy.map(|pod| (pod.k - pod.n * p).powi(2) / (pod.n * p * (1.0 - p))).sum();
    Some(squares / (count - 1) as f64)
}

/// `τ`: the covariance, over pods, of their relative rates in different quarters of the history. Chance is independent between
/// quarters and cancels; what lasts does not.
fn lasting(cells: &[&Cell]) -> f64 {
    let (Some(first), Some(last)) = (cells.first(), cells.last()) else { return 0.0 };
    let length = (last.end - first.start).max(1);
    let quarters = blocks(cells, |cell| (cell.start - first.start) * PARTS / length);
    let rates: Vec<BTreeMap<&str, f64>> = quarters
        .iter()
        .filter(|pods| sum(pods.values()).k > 0.0)
        .map(|pods| {
            let rate = sum(pods.values()).share();
            let busy = pods.iter().filter(|(_, counts)| counts.n > 0.0);
            busy.map(|(name, counts)| (*name, counts.share() / rate - 1.0)).collect()
        })
        .collect();
    let (mut total, mut pairs) = (0.0, 0.0);
    for (i, one) in rates.iter().enumerate() {
        for other in rates.iter().skip(i + 1) {
            let both: Vec<(f64, f64)> =
                one.iter().filter_map(|(name, x)| Some((*x, *other.get(name)?))).collect();
            let count = both.len() as f64;
            if count < 2.0 {
                continue;
            }
            let mean = |side: fn(&(f64, f64)) -> f64| both.iter().map(side).sum::<f64>() / count;
            let (x, y) = (mean(|b| b.0), mean(|b| b.1));
            total += both.iter().map(|b| (b.0 - x) * (b.1 - y)).sum::<f64>() / (count - 1.0);
            pairs += 1.0;
        }
    }
    if pairs > 0.0 { (total / pairs).max(0.0).sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::grid::PodCounts;

    /// An hour of 15 s cells of `pods`, each with 1,500 requests a cell; bad ones by pod and cell.
    fn hour(pods: usize, bad: impl Fn(usize, i64) -> f64) -> Vec<Cell> {
        let cell = |i: i64| {
            let pod = |j: usize| {
                let counts = Counts::new(1500.0, bad(j, i));
                (format!("pod-{j}"), PodCounts::new(Pool::Standard, false, counts))
            };
            Cell::plain(i * 15_000, (i + 1) * 15_000, (0..pods).map(pod).collect())
        };
        (0..240).map(cell).collect()
    }

    /// As good as random: a hash of pod and cell in 0 to 1.
    fn hash(j: usize, i: i64) -> f64 {
        let mut x = i.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15)
            ^ (j as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 29)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// 1,500 requests, each bad with the same small chance.
    fn toss(j: usize, i: i64) -> f64 {
        (0..1500).filter(|n| hash(j * 2000 + n, i) < 0.002).count() as f64
    }

    #[test]
    fn clean_counts_need_only_the_reserve() {
        let learnt = Baseline::of(&hour(4, toss));
        assert!(learnt.learnt && learnt.noise.phi < 1.35, "{learnt:?}");
        assert!(learnt.noise.tau < 0.1 && (learnt.bad - 0.002).abs() < 2e-4, "{learnt:?}");
        assert!(
            (learnt.per_second - 400.0).abs() < 1e-6 && learnt.source().starts_with("learnt from 60 min")
        );
    }

    #[test]
    fn bursts_temper_and_lasting_differences_widen() {
        let bursts = Baseline::of(&hour(4, |j, i| if hash(j, i) < 0.1 { 30.0 } else { 0.0 }));
        assert!(bursts.noise.phi > 10.0, "{bursts:?}");
        let lasting = Baseline::of(&hour(4, |j, i| toss(j, i) * (0.5 + j as f64 / 3.0)));
        assert!((0.2..0.6).contains(&lasting.noise.tau), "{lasting:?}");
    }

    #[test]
    fn too_little_is_not_learnt_from() {
        for (pods, cells, bad) in [(2, 240, 3.0), (4, 20, 3.0), (4, 240, 0.01)] {
            let all = hour(pods, |_, _| bad);
            let got = Baseline::of(&all[..cells]);
            assert!(!got.learnt && got.noise == Noise::UNKNOWN, "{got:?}");
            assert!(got.source().starts_with("assumed"));
        }
        assert!(Baseline::of(&[]).per_second.abs() < f64::EPSILON);
    }
}
