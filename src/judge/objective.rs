//! Is the free-threaded pool worse than its objective?

use serde::{Deserialize, Serialize};

use super::{
    counts::Counts,
    mixture::{ELEVATIONS, PARTS, Parts},
};

/// Above this rate an elevation says nothing that a smaller one does not.
const MOST: f64 = 0.95;

/// H0: `p_ours ≤ p0`, whatever the standard pool does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Objective {
    /// `p0`.
    pub(super) allowed: f64,
    /// Elevations that fit under [`MOST`].
    pub(super) used: usize,
    on_bad: Parts,
    on_good: Parts,
}

impl Objective {
    /// `allowed` is `p0`, brought into 0.0001 % .. 50 % (the API refuses others).
    pub(super) fn new(allowed: f64) -> Self {
        let p0 = if allowed.is_nan() { 0.5 } else { allowed.clamp(1e-6, 0.5) };
        let mut objective = Self { allowed: p0, used: 0, on_bad: [0.0; PARTS], on_good: [0.0; PARTS] };
        let slots = objective.on_bad.iter_mut().zip(&mut objective.on_good);
        for (r, (on_bad, on_good)) in ELEVATIONS.into_iter().filter(|r| r * p0 < MOST).zip(slots) {
            *on_bad = r.ln();
            *on_good = (-r * p0).ln_1p() - (-p0).ln_1p();
            objective.used += 1;
        }
        objective
    }

    /// One pod's log likelihood ratios, divided by `tempering` (`φ`, times the tries of one request).
    pub(super) fn gains(&self, pod: Counts, tempering: f64) -> Parts {
        let mut parts = [0.0; PARTS];
        for ((part, on_bad), on_good) in parts.iter_mut().zip(&self.on_bad).zip(&self.on_good) {
            *part = (pod.k * on_bad + (pod.n - pod.k) * on_good) / tempering;
        }
        parts
    }
}
