//! Is the free-threaded pool worse than the standard one?

use super::{
    mixture::{ELEVATIONS, Mixture},
    tally::Tally,
};

/// Sequential test of H0: in every cell `p_ours ≤ ρ·p_standard + δ`, where the standard rate may vary freely.
#[derive(Debug, Clone, PartialEq)]
pub struct Regression {
    mixture: Mixture,
    /// `ρ`: factor that is tolerated.
    factor: f64,
    /// `δ`: difference that is tolerated.
    margin: f64,
}

impl Regression {
    /// Tolerates `factor` times the standard rate plus `margin`.
    pub fn new(factor: f64, margin: f64) -> Self {
        Self { mixture: Mixture::new(ELEVATIONS.len()), factor, margin }
    }

    /// Adds one cell of `seconds`; returns `ln M`.
    pub fn update(&mut self, cell: &Tally, seconds: f64) -> f64 {
        let (factor, margin) = (self.factor, self.margin);
        self.mixture.push(ELEVATIONS.into_iter().map(|r| log_ratio(r, factor, margin, cell)), seconds)
    }

    /// `ln M`.
    pub fn ln_m(&self) -> f64 {
        self.mixture.ln_m()
    }
}

/// Log likelihood ratio of elevation `r` in one cell. With factor 1 and no margin it is the conditional binomial one.
fn log_ratio(r: f64, factor: f64, margin: f64, cell: &Tally) -> f64 {
    if cell.ours <= 0.0 || cell.standard <= 0.0 {
        return 0.0;
    }
    let b = (factor * cell.ours + cell.standard) / (factor * r * cell.ours + cell.standard);
    let a = r * b;
    cell.ours_bad * a.ln() + cell.standard_bad * b.ln() - margin * cell.ours * (a - 1.0)
}
