//! Is the free-threaded pool worse than its objective?

use super::mixture::{ELEVATIONS, Mixture};

/// Above this rate an elevation says nothing that a smaller one does not.
const MOST: f64 = 0.95;

/// Sequential test of H0: `p_ours ≤ p0`, whatever the standard pool does.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    mixture: Mixture,
    /// Per elevation: gain of one bad request, and of one good one.
    gains: Vec<(f64, f64)>,
}

impl Objective {
    /// `allowed` is `p0`, brought into 0.0001 % .. 50 % (the API refuses others).
    pub fn new(allowed: f64) -> Self {
        let p0 = if allowed.is_nan() { 0.5 } else { allowed.clamp(1e-6, 0.5) };
        let gains: Vec<_> = ELEVATIONS
            .into_iter()
            .filter(|r| r * p0 < MOST)
            .map(|r| (r.ln(), (-r * p0).ln_1p() - (-p0).ln_1p()))
            .collect();
        Self { mixture: Mixture::new(gains.len()), gains }
    }

    /// Adds one cell of `seconds` with `requests`, `bad` of them bad; returns `ln M`.
    pub fn update(&mut self, requests: f64, bad: f64, seconds: f64) -> f64 {
        let good = requests - bad;
        self.mixture.push(self.gains.iter().map(|(on_bad, on_good)| bad * on_bad + good * on_good), seconds)
    }

    /// `ln M`.
    pub fn ln_m(&self) -> f64 {
        self.mixture.ln_m()
    }
}
