//! Is the free-threaded pool shown to be well enough for the next step?

use serde::{Deserialize, Serialize};

use super::{
    counts::Counts,
    mixture::log_sum_exp,
    noise::Noise,
    regression::ratios,
    spec::{AttemptSpec, MetricSpec},
};

/// Shares of the tolerated rate that are looked for. The first stands for no errors at all.
const SHARES: [f64; 9] = [1e-9, 0.1, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/// Margin of a comparison that has none: two equal pools could never be told from a pool just over the line.
const LEAST_MARGIN: f64 = 0.001;

/// Factor that counts as well enough.
const FACTOR: f64 = 1.25;

/// Sequential test of H0': `p_ours ≥ ρ·p_standard + δ`, begun anew at every step. `M ≥ 1/β` now: safe to advance, with `β` the chance that
/// it is said of a pool at the line. No correction over steps is needed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Safe {
    /// `ln` of each share's evidence.
    parts: [f64; SHARES.len()],
    margin: f64,
    noise: Noise,
    tries: f64,
}

impl Safe {
    /// Nothing counted yet. `None` for a metric that no step waits for.
    pub(super) fn of(spec: &AttemptSpec, metric: &MetricSpec) -> Option<Self> {
        let margin = metric.tolerate.filter(|_| metric.paces())?.max(LEAST_MARGIN);
        Some(Self { parts: [0.0; SHARES.len()], margin, noise: metric.noise, tries: spec.tries() })
    }

    /// Adds a cell in which the pools counted `ours` and `standard` on that many pods.
    pub(super) fn push(&mut self, (ours, our_pods): (Counts, usize), (standard, pods): (Counts, usize)) {
        if ours.n <= 0.0 || standard.n <= 0.0 {
            return;
        }
        // Pods that differ for good may flatter us: the factor shrinks where that of the regression grows.
        let factor = FACTOR / self.noise.widening(our_pods, pods);
        for (part, r) in self.parts.iter_mut().zip(SHARES) {
            *part += log_ratio(r, factor, self.margin, ours, standard) / (self.noise.phi * self.tries);
        }
    }

    /// `ln M`.
    pub(super) fn ln_m(&self) -> f64 {
        log_sum_exp(self.parts) - (SHARES.len() as f64).ln()
    }
}

fn log_ratio(r: f64, factor: f64, margin: f64, ours: Counts, standard: Counts) -> f64 {
    let (a, ln_a, ln_b) = ratios(r, factor, ours.n, standard.n);
    ours.k * ln_a + standard.k * ln_b - margin * ours.n * (a - 1.0)
}

/// What is expected at a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Traffic {
    /// Requests per second, both pools together.
    pub per_second: f64,
    /// Share of bad ones, as the standard pool has them.
    pub bad: f64,
    /// Share of the requests that the free-threaded pool is served, 0 to 1.
    pub weight: f64,
    /// Pods of the free-threaded pool.
    pub our_pods: usize,
    /// Pods of the standard pool.
    pub pods: usize,
}

/// Seconds until a free-threaded pool that is as good as the standard one is shown to be safe at `beta`, in the middle of cases:
/// `ln(1/β)` over the growth of the best share's evidence, and one cell. What the mixture costs over its best share is about what
/// chance brings by carrying the evidence over the line early, so neither is counted. `None` where it never is: no traffic, or
/// growth that the margin eats up.
pub fn seconds_until_safe(spec: &AttemptSpec, metric: &MetricSpec, traffic: &Traffic) -> Option<f64> {
    let margin = metric.tolerate?.max(LEAST_MARGIN);
    let pool = |share: f64| {
        let n = traffic.per_second * share;
        Counts::new(n, n * traffic.bad)
    };
    let (ours, standard) = (pool(traffic.weight), pool(1.0 - traffic.weight));
    if ours.n <= 0.0 || standard.n <= 0.0 {
        return None;
    }
    let factor = FACTOR / metric.noise.widening(traffic.our_pods, traffic.pods);
    let growth = SHARES.into_iter().map(|r| log_ratio(r, factor, margin, ours, standard));
    let growth = growth.fold(f64::NEG_INFINITY, f64::max) / (metric.noise.phi * spec.tries());
    let cell = spec.cell_ms as f64 / 1000.0;
    (growth > 1e-9).then(|| (1.0 / spec.beta).ln() / growth + cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_is_near_the_medians_of_the_simulation() {
        // Rate, weight, median seconds: simulated at 0.1 % errors with the margin 1.25 times plus 0.1 %, without noise.
        let table = [
            (10.0, 0.05, 13_440.0),
            (10.0, 0.25, 3_165.0),
            (10.0, 0.5, 2_055.0),
            (100.0, 0.01, 7_132.0),
            (100.0, 0.05, 1_440.0),
            (100.0, 0.25, 330.0),
            (100.0, 0.5, 248.0),
            (1000.0, 0.01, 645.0),
            (1000.0, 0.05, 165.0),
            (1000.0, 0.25, 45.0),
            (1000.0, 0.5, 30.0),
        ];
        let metric = MetricSpec { noise: Noise::NONE, ..MetricSpec::errors(0.0, None) };
        let spec = AttemptSpec::new(0.01, 15_000, 0, vec![metric.clone()]);
        for (per_second, weight, median) in table {
            let traffic = Traffic { per_second, bad: 0.001, weight, our_pods: 3, pods: 9 };
            let got = seconds_until_safe(&spec, &metric, &traffic).unwrap();
            assert!((0.75..1.25).contains(&(got / median)), "{per_second}/s at {weight}: {got} for {median}");
        }
        let none = Traffic { per_second: 0.0, bad: 0.001, weight: 0.5, our_pods: 3, pods: 9 };
        assert_eq!(seconds_until_safe(&spec, &metric, &none), None);
    }
}
