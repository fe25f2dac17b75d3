//! What the rounds of a benchmark come to: how much faster the free-threaded image is, with an interval, and whether that is decided.
//!
//! A round is four runs, A B B A or B A A B, and its number is half the difference of the logarithms: what drifts evenly falls out, and so
//! does what the order costs. Rounds are processes of their own in pods of their own, so they are taken for independent, and Student's
//! interval on their mean holds. It is looked at after 4, 6, 9, 13, 20 and 30 rounds and not in between; each look has a sixth of the 5 %
//! (Bonferroni), so that all six intervals together hold the true ratio in at least 95 % of all benchmarks, of which at most half miss it
//! below: *benefit* is said of equal images in at most 2.5 %. `tests/preflight_speedup.rs` simulates it with noise that is not normal.

use crate::api::BenchmarkRound;

/// After how many rounds it is looked at, with Student's quantile for that look: one less degrees of freedom than rounds, at `1 - 0.05/12`.
pub const LOOKS: [(usize, f64); 6] =
    [(4, 6.2315), (6, 4.2193), (9, 3.4789), (13, 3.1527), (20, 2.9439), (30, 2.8316)];

/// More rounds than that are none of any use.
pub const ROUNDS_LIMIT: usize = 30;

const MILLIONTHS: f64 = 1e6;

/// What is known so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Speedup {
    /// Speed, the free-threaded image's over the standard image's.
    pub ratio: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Rounds that it is of.
    pub rounds: usize,
    /// Shown to be at least what is wanted, or shown to be less; `None` when neither is.
    pub enough: Option<bool>,
}

impl Speedup {
    /// The first look that decides, or else the last one. `None` before the first look. `wanted` is a ratio of at least 1.
    pub fn of(rounds: &[BenchmarkRound], wanted: f64) -> Option<Self> {
        let looks =
            LOOKS.iter().filter_map(|(count, quantile)| look(rounds.get(..*count)?, *quantile, wanted));
        let mut last = None;
        for found in looks {
            if found.enough.is_some() {
                return Some(found);
            }
            last = Some(found);
        }
        last
    }

    /// `1.34 times as fast as the standard image (95 % interval 1.21 to 1.48, 6 rounds)`
    pub fn sentence(&self) -> String {
        let Self { ratio, low, high, rounds, .. } = self;
        format!(
            "{ratio:.2} times as fast as the standard image (95 % interval {low:.2} to {high:.2}, {rounds} rounds)"
        )
    }
}

fn look(rounds: &[BenchmarkRound], quantile: f64, wanted: f64) -> Option<Speedup> {
    let n = rounds.len() as f64;
    let values: Vec<f64> = rounds.iter().map(|round| round.speed as f64 / MILLIONTHS).collect();
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let half = quantile * (variance / n).sqrt();
    let (low, high) = ((mean - half).exp(), (mean + half).exp());
    let enough = if low > wanted {
        Some(true)
    } else if high < wanted {
        Some(false)
    } else {
        None
    };
    let found = Speedup { ratio: mean.exp(), low, high, rounds: rounds.len(), enough };
    (rounds.len() > 1 && found.high.is_finite()).then_some(found)
}

/// What else the rounds measured, in the middle: `CPU for the same work 1.10 times, peak memory 1.21 times`.
pub fn beside(rounds: &[BenchmarkRound]) -> String {
    let middle = |number: &dyn Fn(&BenchmarkRound) -> Option<i64>| {
        let mut values: Vec<i64> = rounds.iter().filter_map(number).collect();
        values.sort_unstable();
        values.get(values.len() / 2).map(|value| (*value as f64 / MILLIONTHS).exp())
    };
    let mut parts = vec![
        ("CPU for the same work".to_owned(), middle(&|round| Some(round.cpu))),
        ("peak memory".to_owned(), middle(&|round| round.peak)),
        ("settled memory".to_owned(), middle(&|round| round.settled)),
    ];
    let own = rounds.first().map(|round| round.own.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    for name in own {
        let value = middle(&|round| round.own.get(&name).copied());
        parts.push((name, value));
    }
    let parts = parts.into_iter().filter_map(|(name, value)| Some(format!("{name} {:.2} times", value?)));
    parts.collect::<Vec<_>>().join(", ")
}
