//! Other ways to decide, given exact counts, which flatters them: their own queries extrapolate.

use freethread_rollout::judge::Counts;

use crate::{judge::ALPHA, world::CELL_S};

/// Looks at the pools' counts of each cell and says when it would roll back.
pub(crate) trait Peer {
    /// Takes a cell of the free-threaded and the standard pool.
    fn push(&mut self, ours: Counts, standard: Counts) -> bool;
}

/// Counts of a minute, from cells.
#[derive(Default)]
struct Minute {
    seconds: f64,
    ours: Counts,
    standard: Counts,
}

impl Minute {
    fn push(&mut self, ours: Counts, standard: Counts) -> Option<(Counts, Counts)> {
        self.seconds += CELL_S;
        self.ours += ours;
        self.standard += standard;
        (self.seconds >= 60.0).then(|| {
            let done = std::mem::take(self);
            (done.ours, done.standard)
        })
    }
}

/// A threshold on the success rate of each minute, and how many minutes may miss it in all.
pub(crate) struct Threshold {
    minute: Minute,
    success: f64,
    most: usize,
    missed: usize,
}

impl Threshold {
    /// Flagger: `request-success-rate` of 99 % each minute, `threshold: 5` back at the fifth failed check.
    pub(crate) fn flagger() -> Self {
        Self { minute: Minute::default(), success: 0.99, most: 4, missed: 0 }
    }

    /// Argo Rollouts' documented template: 95 %, `failureLimit: 3` back at the fourth failed measurement, one a minute.
    pub(crate) fn argo() -> Self {
        Self { minute: Minute::default(), success: 0.95, most: 3, missed: 0 }
    }
}

impl Peer for Threshold {
    fn push(&mut self, ours: Counts, standard: Counts) -> bool {
        if let Some((ours, _)) = self.minute.push(ours, standard)
            && 1.0 - ours.share() < self.success
        {
            self.missed += 1;
        }
        self.missed > self.most
    }
}

/// Mann–Whitney as canary analysis uses it (Kayenta): every ten minutes the ten error rates of one-minute samples of each pool; too
/// high when the lower limit of the shift, at 98 %, is over a quarter of the standard pool's mean.
#[derive(Default)]
pub(crate) struct MannWhitney {
    minute: Minute,
    ours: Vec<f64>,
    standard: Vec<f64>,
    over: bool,
}

/// Minutes it collects before it looks.
const SAMPLES: usize = 10;

impl Peer for MannWhitney {
    fn push(&mut self, ours: Counts, standard: Counts) -> bool {
        if let Some((ours, standard)) = self.minute.push(ours, standard) {
            self.ours.push(ours.share());
            self.standard.push(standard.share());
        }
        if self.ours.len() >= SAMPLES {
            self.over |= is_high(&self.ours, &self.standard);
            self.ours.clear();
            self.standard.clear();
        }
        self.over
    }
}

/// Whether the shift's lower 98 % limit (two-sided, by the normal approximation of the ranks) is over a quarter of the mean.
fn is_high(ours: &[f64], standard: &[f64]) -> bool {
    let mut shifts: Vec<f64> = ours.iter().flat_map(|x| standard.iter().map(move |y| x - y)).collect();
    shifts.sort_by(f64::total_cmp);
    let (n, m) = (ours.len() as f64, standard.len() as f64);
    let below = n * m / 2.0 - 2.326 * (n * m * (n + m + 1.0) / 12.0).sqrt();
    let limit = shifts.get((below.max(0.0)) as usize).copied().unwrap_or(0.0);
    limit > 0.25 * standard.iter().sum::<f64>() / m
}

/// Wald's test that is told both rates and the onset: nobody can be faster with the same bound.
pub(crate) struct Known {
    on_bad: f64,
    on_good: f64,
    ln: f64,
}

impl Known {
    /// Healthy rate, broken rate.
    pub(crate) fn new(base: f64, broken: f64) -> Self {
        Self { on_bad: (broken / base).ln(), on_good: ((1.0 - broken) / (1.0 - base)).ln(), ln: 0.0 }
    }

    /// `ln(1/α)/KL` in seconds for a pool with this many requests a second: what it takes on average.
    pub(crate) fn floor(base: f64, broken: f64, per_second: f64) -> f64 {
        let test = Self::new(base, broken);
        (1.0 / ALPHA).ln() / (per_second * (broken * test.on_bad + (1.0 - broken) * test.on_good))
    }
}

impl Peer for Known {
    fn push(&mut self, ours: Counts, _: Counts) -> bool {
        self.ln += ours.k * self.on_bad + (ours.n - ours.k) * self.on_good;
        self.ln >= -ALPHA.ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cell at which `peer` rolls back, of cells with these bad requests of 100.
    fn at(mut peer: impl Peer, ours: impl Fn(usize) -> f64) -> Option<usize> {
        let healthy = |i: usize| Counts::new(1_000.0, (i % 3) as f64);
        (0..400).find(|i| peer.push(Counts::new(100.0, ours(*i)), healthy(*i)))
    }

    #[test]
    fn thresholds_count_minutes() {
        // Four cells a minute: the fifth bad one ends with the 20th cell, the fourth with the 16th.
        assert_eq!(at(Threshold::flagger(), |_| 2.0), Some(19));
        assert_eq!(at(Threshold::argo(), |_| 6.0), Some(15));
        assert_eq!(at(Threshold::flagger(), |_| 1.0), None);
        assert_eq!(at(Threshold::argo(), |_| 5.0), None);
        // Failed checks add up over healthy ones.
        assert_eq!(at(Threshold::flagger(), |i| if (i / 4) % 2 == 0 { 2.0 } else { 0.0 }), Some(35));
    }

    #[test]
    fn ranks_need_ten_minutes() {
        assert_eq!(at(MannWhitney::default(), |_| 2.0), Some(39));
        assert_eq!(at(MannWhitney::default(), |_| 0.0), None);
        let all: Vec<f64> = (0..10).map(f64::from).collect();
        let shifted: Vec<f64> = all.iter().map(|x| x + 3.0).collect();
        // A shift of 3 among 0..10: its lower limit is the 20th of 100 differences, −1.
        assert!(!is_high(&shifted, &all));
        let shifted: Vec<f64> = all.iter().map(|x| x + 8.0).collect();
        assert!(is_high(&shifted, &all));
    }

    #[test]
    fn the_known_effect_reaches_its_floor() {
        // 100 of 100 bad at 0.1 % against 5.1 %: 3.93 nats each, two suffice.
        assert_eq!(at(Known::new(0.001, 0.051), |_| 2.0), Some(1));
        let floor = Known::floor(0.001, 0.002, 50.0);
        assert!((floor - 238.5).abs() < 1.0, "{floor}");
    }
}
