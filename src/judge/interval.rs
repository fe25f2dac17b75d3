//! How far a measured ratio may be from the true one: over time, and for the choice of pods.

use std::collections::BTreeMap;

use super::{benefit::Work, samples::Pool};

/// The interval holds with this probability, over all looks.
const CONFIDENCE: f64 = 0.95;

/// The interval is at its narrowest, of those that may be looked at any time, after so many blocks.
const BEST_AT: f64 = 24.0;

/// A pod with less than this part of the pods' mean CPU time says nothing of how pods differ.
const PART_OF_POD: f64 = 0.25;

/// More than this of a block is not taken to be left in the next: the interval would be without end.
const MOST_KEPT: f64 = 0.8;

/// Mean, and the variance of one block that its error follows in the long run: Newey and West with Bartlett's weights, lag `⌈∛n⌉`, for few
/// blocks made larger by the degrees of freedom that mean and lags cost. What blocks seem to have against each other is not believed.
pub(super) fn long_run(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let lags = (1..values.len()).find(|lag| lag.pow(3) >= values.len()).unwrap_or(1);
    let together = |lag: usize| {
        let pairs = values.iter().zip(values.iter().skip(lag));
        pairs.map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / n
    };
    let alone = together(0);
    let weight = |lag: usize| 1.0 - lag as f64 / (lags as f64 + 1.0);
    let all = alone + 2.0 * (1..=lags).map(|lag| weight(lag) * together(lag)).sum::<f64>();
    // Three lags see little of what lasts for much longer, so that it is also taken for a first-order process, with what is too little of its
    // correlation in few values (Kendall).
    let next = if alone > 0.0 { together(1) / alone } else { 0.0 };
    let kept = (next + (1.0 + 3.0 * next) / n).clamp(0.0, MOST_KEPT);
    let lasting = alone * (1.0 + kept) / (1.0 - kept);
    (mean, all.max(alone).max(lasting) * n / (n - 1.0 - lags as f64).max(1.0))
}

/// Half the width of the asymptotic confidence sequence after `n` blocks, in standard deviations of one: the Gaussian mixture of
/// Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, with `ρ` for its narrowest interval at [`BEST_AT`].
pub(super) fn boundary(n: f64) -> f64 {
    let alpha = 1.0 - CONFIDENCE;
    let nats = -2.0 * f64::ln(alpha);
    let rho2 = (nats + (nats + 1.0).ln()) / BEST_AT;
    let grown = n * rho2 + 1.0;
    (2.0 * grown / (n * n * rho2) * (grown.sqrt() / alpha).ln()).sqrt()
}

/// Half the width that the choice of pods leaves, however long they are watched: nodes differ. From the spread of the pods within their
/// pools, which both are taken to have alike. `None` where no pool has two.
pub(super) fn pods_differ(pods: &BTreeMap<String, (Pool, Work)>) -> Option<f64> {
    let mean = pods.values().map(|(_, work)| work.cpu).sum::<f64>() / pods.len() as f64;
    let (mut squares, mut free, mut parts) = (0.0, 0_usize, 0.0);
    for pool in [Pool::Standard, Pool::FreeThreaded] {
        let counts = |work: &Work| work.cpu >= PART_OF_POD * mean && work.requests > 0.0;
        let logs: Vec<f64> = pods
            .values()
            .filter(|(of, work)| *of == pool && counts(work))
            .map(|(_, work)| work.per_cpu().ln())
            .collect();
        if logs.is_empty() {
            return None;
        }
        let m = logs.len() as f64;
        let middle = logs.iter().sum::<f64>() / m;
        squares += logs.iter().map(|log| (log - middle).powi(2)).sum::<f64>();
        free += logs.len() - 1;
        parts += 1.0 / m;
    }
    (free > 0).then(|| student(free) * (squares / free as f64 * parts).sqrt())
}

/// The 97.5 % quantile of Student's t (Cornish and Fisher's expansion from three degrees of freedom on, to 1 %).
fn student(free: usize) -> f64 {
    const Z: f64 = 1.959_964;
    let f = free as f64;
    match free {
        0 | 1 => 12.706,
        2 => 4.303,
        _ => {
            Z + (Z.powi(3) + Z) / (4.0 * f)
                + (5.0 * Z.powi(5) + 16.0 * Z.powi(3) + 3.0 * Z) / (96.0 * f * f)
                + (3.0 * Z.powi(7) + 19.0 * Z.powi(5) + 17.0 * Z.powi(3) - 15.0 * Z) / (384.0 * f.powi(3))
        }
    }
}
