//! Evidence over several sizes of a regression and over its unknown beginning, in logarithms.

use serde::{Deserialize, Serialize};

/// How many elevations are looked for.
pub(super) const PARTS: usize = 8;

/// One number per elevation.
pub(super) type Parts = [f64; PARTS];

/// Elevations (times the rate before) that are looked for. More of them bring nothing.
pub(super) const ELEVATIONS: Parts = [1.25, 1.6, 2.2, 3.5, 6.0, 12.0, 30.0, 80.0];

/// Prior mass of "bad from the start".
const FROM_THE_START: f64 = 0.8;

/// Time scale of a later beginning, in seconds.
const ONSET_S: f64 = 1200.0;

/// `ln M`: a mixture of likelihood ratios over elevations and over the unknown beginning (harmonic hazard, no horizon).
///
/// `M` is a test martingale: under the null its expectation never exceeds 1, so it may be looked at after every cell. A cell takes
/// two moves, [`Mixture::begin`] and [`Mixture::weigh`], because what a cell may add depends on where it starts from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Mixture {
    /// `ln Q_0`: not begun yet.
    before: f64,
    /// `ln Q_j`: begun, with elevation `j`.
    parts: Parts,
    /// Elevations in use; the rest stay at no mass.
    used: usize,
    /// Seconds that were counted.
    elapsed: f64,
    /// `ln M`.
    ln_m: f64,
}

impl Mixture {
    /// Nothing counted yet; the first `used` elevations with equal mass.
    pub(super) fn new(used: usize) -> Self {
        let used = used.clamp(1, PARTS);
        let mut parts = [f64::NEG_INFINITY; PARTS];
        for part in parts.iter_mut().take(used) {
            *part = (FROM_THE_START / used as f64).ln();
        }
        Self { before: (1.0 - FROM_THE_START).ln(), parts, used, elapsed: 0.0, ln_m: 0.0 }
    }

    /// A cell of `seconds` begins: the regression may have begun with it. Returns `ln(Q_j + h·π_j·Q_0)`, what the cell's evidence is
    /// added to.
    pub(super) fn begin(&mut self, seconds: f64) -> &Parts {
        let hazard = seconds / (self.elapsed + seconds + ONSET_S);
        self.elapsed += seconds;
        let begins = (hazard / self.used as f64).ln() + self.before;
        for part in self.parts.iter_mut().take(self.used) {
            *part = log_sum_exp([*part, begins]);
        }
        self.before += (-hazard).ln_1p();
        &self.parts
    }

    /// Adds the cell's log likelihood ratios, one per elevation; returns `ln M`.
    pub(super) fn weigh(&mut self, log_e: &Parts) -> f64 {
        for (part, log_e) in self.parts.iter_mut().zip(log_e).take(self.used) {
            *part += log_e;
        }
        self.ln_m = log_sum_exp(std::iter::once(self.before).chain(self.parts.iter().copied()));
        self.ln_m
    }

    /// `ln M`.
    pub(super) fn ln_m(&self) -> f64 {
        self.ln_m
    }
}

/// `ln Σ exp(x)` without overflow; `-∞` for nothing.
pub(super) fn log_sum_exp<I>(terms: I) -> f64
where
    I: IntoIterator<Item = f64>,
    I::IntoIter: Clone,
{
    let terms = terms.into_iter();
    let most = terms.clone().fold(f64::NEG_INFINITY, f64::max);
    if most.is_finite() { most + terms.map(|x| (x - most).exp()).sum::<f64>().ln() } else { most }
}
