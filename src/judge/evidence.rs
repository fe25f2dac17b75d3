//! One test of one metric: what it counts of a cell, and since when it has been gathering evidence.

use serde::{Deserialize, Serialize};

use super::{
    capped::Capped,
    counts::Counts,
    grid::Cell,
    mixture::{PARTS, Parts},
    noise::Noise,
    objective::Objective,
    regression::Regression,
    samples::Pool,
    spec::{AttemptSpec, MetricKind, MetricSpec},
};

/// `ln M` up to which a test counts as not having moved: an `M` that never did is 1 up to rounding.
pub(super) const UNMOVED: f64 = 1e-9;

/// Counts of both pools over a stretch of cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Span {
    pub(super) free_threaded: Counts,
    pub(super) standard: Counts,
    pub(super) from: Option<i64>,
    pub(super) to: i64,
}

impl Span {
    pub(super) fn add(&mut self, cell: &Cell, free_threaded: Counts, standard: Counts) {
        self.free_threaded += free_threaded;
        self.standard += standard;
        self.from.get_or_insert(cell.start);
        self.to = cell.end;
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Test {
    Regression(Regression),
    Objective(Objective),
}

/// A weighted test: one term of the sum that is compared with `1/α`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Term {
    /// Index of its metric.
    pub(super) metric: usize,
    /// Index of the boundary that it counts at: 0 but for some comparisons of latency.
    pub(super) boundary: usize,
    /// `w_i`.
    pub(super) weight: f64,
    /// Since `M` was last at most 1.
    pub(super) since: Span,
    /// The counts of a shared incident that this objective is waiting out.
    pub(super) held: Option<Span>,
    test: Test,
    evidence: Capped,
    noise: Noise,
    /// `φ` times the tries of one request: what every `ln e` is divided by.
    tempering: f64,
    with_young: bool,
}

impl Term {
    /// All terms of an attempt, metric by metric, the regression before the objective. At several boundaries the regression is the
    /// average of one at each: the mean of test martingales is one.
    pub(super) fn all(spec: &AttemptSpec) -> Vec<Self> {
        let metrics = spec.metrics.iter().zip(spec.weights()).enumerate();
        let of = |(i, (metric, weight)): (usize, (&MetricSpec, f64))| {
            let weight = weight / metric.tests().max(1) as f64;
            let boundaries = metric.boundaries();
            let share = weight / boundaries as f64;
            let regression =
                metric.tolerate.map(|margin| Test::Regression(Regression { factor: 1.0, margin }));
            let regressions = regression.into_iter().flat_map(|test| {
                (0..boundaries).map(move |at| Self::new(spec, metric, (i, at), share, test))
            });
            let objective = metric.objective.map(|p0| Test::Objective(Objective::new(p0)));
            let objective = objective.map(|test| Self::new(spec, metric, (i, 0), weight, test));
            regressions.chain(objective).collect::<Vec<_>>()
        };
        metrics.flat_map(of).collect()
    }

    fn new(
        spec: &AttemptSpec,
        of: &MetricSpec,
        (metric, boundary): (usize, usize),
        weight: f64,
        test: Test,
    ) -> Self {
        // Young pods are left out of every comparison, and never of a promise on errors.
        let (used, with_young) = match &test {
            Test::Regression(_) => (PARTS, false),
            Test::Objective(objective) => (objective.used, of.kind.with_young()),
        };
        let noise = of.noise_at(boundary);
        // No proxy retries a restart.
        let tries = if of.kind == MetricKind::Restarts { 1.0 } else { spec.tries() };
        Self {
            metric,
            boundary,
            weight,
            since: Span::default(),
            held: None,
            test,
            evidence: Capped::new(used, -(spec.alpha * weight).ln()),
            noise,
            tempering: noise.phi * tries,
            with_young,
        }
    }

    /// Takes a cell, and counts nothing of it while held. A cell without the pool's pods moves only the clock of the onset.
    pub(super) fn push(&mut self, cell: &Cell) {
        if self.held.is_some() {
            return;
        }
        let c = cell.sum_at(self.boundary, Pool::FreeThreaded, self.with_young);
        let b = cell.sum_at(self.boundary, Pool::Standard, self.with_young);
        let pods = cell.at(self.boundary, Pool::FreeThreaded, self.with_young);
        let tempering = self.tempering;
        let brought: Vec<(&str, Parts)> = match &self.test {
            Test::Regression(test) => {
                let standard = cell.at(self.boundary, Pool::Standard, self.with_young).count();
                let widened = self.noise.widening(pods.clone().count(), standard);
                let gains = test.gains(c, b, widened);
                pods.map(|(name, counts)| (name, gains.of(counts, tempering))).collect()
            }
            Test::Objective(test) => {
                pods.map(|(name, counts)| (name, test.gains(counts, tempering))).collect()
            }
        };
        if self.evidence.push(cell.start, cell.end, &brought) <= UNMOVED {
            self.since = Span::default();
        } else {
            self.since.add(cell, c, b);
        }
    }

    /// `ln M`.
    pub(super) fn ln_m(&self) -> f64 {
        self.evidence.ln_m()
    }

    /// `ln(w·M)`.
    pub(super) fn ln_term(&self) -> f64 {
        self.weight.ln() + self.ln_m()
    }

    /// `p0`, if this is an objective.
    pub(super) fn objective(&self) -> Option<f64> {
        match &self.test {
            Test::Regression(_) => None,
            Test::Objective(test) => Some(test.allowed),
        }
    }

    /// As the vectors have it: `ρ` other than 1.
    #[cfg(test)]
    pub(super) fn compare_with(&mut self, rho: f64) {
        if let Test::Regression(test) = &mut self.test {
            test.factor = rho;
        }
    }

    /// Both pools failed together: back to `M = 1`, and nothing counts until the hold ends.
    pub(super) fn hold(&mut self) {
        if self.objective().is_some() {
            self.evidence.restart();
            self.held = Some(std::mem::take(&mut self.since));
        }
    }
}
