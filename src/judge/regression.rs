//! Is the free-threaded pool worse than the standard one?

use serde::{Deserialize, Serialize};

use super::{
    counts::Counts,
    mixture::{ELEVATIONS, PARTS, Parts},
};

/// H0: in every cell `p_ours ≤ ρ·p_standard + δ`, where the standard rate may vary freely.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Regression {
    /// `ρ`: factor that is tolerated.
    pub(super) factor: f64,
    /// `δ`: difference that is tolerated.
    pub(super) margin: f64,
}

/// What one cell says per elevation: of each bad request of ours, and of everything else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gains {
    on_bad: Parts,
    shared: Parts,
    n: f64,
}

impl Regression {
    /// Log likelihood ratios of a cell in which the pools counted `ours` and `standard`. `widened`: by how much more than `ρ` pods
    /// differ for good. With one pool silent there is nothing to compare, and all are 0.
    pub(super) fn gains(&self, ours: Counts, standard: Counts, widened: f64) -> Gains {
        let mut gains = Gains { on_bad: [0.0; PARTS], shared: [0.0; PARTS], n: ours.n };
        if ours.n <= 0.0 || standard.n <= 0.0 {
            return gains;
        }
        let factor = self.factor * widened;
        for ((r, on_bad), shared) in ELEVATIONS.into_iter().zip(&mut gains.on_bad).zip(&mut gains.shared) {
            let (a, ln_a, ln_b) = ratios(r, factor, ours.n, standard.n);
            *on_bad = ln_a;
            *shared = standard.k * ln_b - self.margin * ours.n * (a - 1.0);
        }
        gains
    }
}

impl Gains {
    /// One pod's part of the evidence, divided by `tempering` (`φ`, times the tries of one request).
    pub(super) fn of(&self, pod: Counts, tempering: f64) -> Parts {
        let share = if self.n > 0.0 { pod.n / self.n } else { 0.0 };
        let mut parts = [0.0; PARTS];
        for ((part, on_bad), shared) in parts.iter_mut().zip(&self.on_bad).zip(&self.shared) {
            *part = (pod.k * on_bad + share * shared) / tempering;
        }
        parts
    }
}

/// `a = r·b`, `ln a` and `ln b` of elevation `r`: a bad request of ours weighs `a`, one of the standard pool `b`. Valid because
/// `ρ·n_c(a−1) + n_b(b−1) = 0`; with factor 1 and no margin it is the conditional binomial likelihood ratio (Lindon & Malek,
/// arXiv 2011.03567).
pub(super) fn ratios(r: f64, factor: f64, ours: f64, standard: f64) -> (f64, f64, f64) {
    let b = (factor * ours + standard) / (factor * r * ours + standard);
    let a = r * b;
    (a, a.ln(), b.ln())
}
