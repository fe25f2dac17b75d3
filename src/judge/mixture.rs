//! Evidence over several sizes of a regression and over its unknown beginning, in logarithms.

/// Elevations (times the rate before) that are looked for. More of them bring nothing.
pub(super) const ELEVATIONS: [f64; 8] = [1.25, 1.6, 2.2, 3.5, 6.0, 12.0, 30.0, 80.0];

/// Prior mass of "bad from the start".
const FROM_THE_START: f64 = 0.8;

/// Time scale of a later beginning, in seconds.
const ONSET_S: f64 = 1200.0;

/// `ln M`: a mixture of likelihood ratios over elevations and over the unknown beginning (harmonic hazard, no horizon).
///
/// `M` is a test martingale: under the null its expectation never exceeds 1, so it may be looked at after every cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture {
    /// `ln Q_0`: not begun yet.
    before: f64,
    /// `ln Q_j`: begun, with elevation `j`.
    parts: Vec<f64>,
    /// Seconds that were counted.
    elapsed: f64,
    /// `ln M`.
    ln_m: f64,
}

impl Mixture {
    /// Nothing counted yet; `parts` elevations with equal mass.
    pub(super) fn new(parts: usize) -> Self {
        let each = (FROM_THE_START / parts.max(1) as f64).ln();
        Self { before: (1.0 - FROM_THE_START).ln(), parts: vec![each; parts], elapsed: 0.0, ln_m: 0.0 }
    }

    /// Adds one cell of `seconds`; `log_e` gives the log likelihood ratio of each part.
    pub(super) fn push(&mut self, log_e: impl IntoIterator<Item = f64>, seconds: f64) -> f64 {
        let hazard = seconds / (self.elapsed + seconds + ONSET_S);
        self.elapsed += seconds;
        let begins = (hazard / self.parts.len().max(1) as f64).ln() + self.before;
        for (part, log_e) in self.parts.iter_mut().zip(log_e) {
            *part = log_sum_exp([*part, begins]) + log_e;
        }
        self.before += (-hazard).ln_1p();
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
