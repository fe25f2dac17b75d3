//! One test of one metric: what it counts of a cell, and since when it has been gathering evidence.

use super::{
    counts::Counts,
    grid::Cell,
    objective::Objective,
    regression::Regression,
    samples::Pool,
    spec::{AttemptSpec, MetricKind, MetricSpec},
    tally::Tally,
};

/// `ln M` up to which a test counts as not having moved: an `M` that never did is 1 up to rounding.
pub(super) const UNMOVED: f64 = 1e-9;

/// Counts of both pools over a stretch of cells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
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

#[derive(Clone, Debug)]
enum Test {
    Regression(Regression),
    /// With its `p0`.
    Objective(Objective, f64),
}

/// A weighted test: one term of the sum that is compared with `1/α`.
#[derive(Clone, Debug)]
pub(super) struct Term {
    /// Index of its metric.
    pub(super) metric: usize,
    /// `w_i`.
    pub(super) weight: f64,
    /// Since `M` was last at most 1.
    pub(super) since: Span,
    /// The counts of a shared incident that this objective is waiting out.
    pub(super) held: Option<Span>,
    test: Test,
    with_young: bool,
}

impl Term {
    /// All terms of an attempt, metric by metric, the regression before the objective.
    pub(super) fn all(spec: &AttemptSpec) -> Vec<Self> {
        let metrics = spec.metrics.iter().zip(spec.weights()).enumerate();
        metrics
            .flat_map(|(i, (metric, weight))| Self::of(i, metric, weight / metric.tests().max(1) as f64))
            .collect()
    }

    fn of(metric: usize, spec: &MetricSpec, weight: f64) -> Vec<Self> {
        let regression = spec.tolerate.map(|delta| Self::regression(metric, weight, 1.0, delta));
        let with_young = spec.kind == MetricKind::Errors;
        let objective = spec.objective.map(|p0| Self::with_objective(metric, weight, p0, with_young));
        regression.into_iter().chain(objective).collect()
    }

    /// A regression of `rho` times the standard share and `delta`. Young pods are left out on both sides.
    pub(super) fn regression(metric: usize, weight: f64, rho: f64, delta: f64) -> Self {
        Self::new(metric, weight, Test::Regression(Regression::new(rho, delta)), false)
    }

    /// An objective of `p0`.
    pub(super) fn with_objective(metric: usize, weight: f64, p0: f64, with_young: bool) -> Self {
        Self::new(metric, weight, Test::Objective(Objective::new(p0), p0), with_young)
    }

    fn new(metric: usize, weight: f64, test: Test, with_young: bool) -> Self {
        Self { metric, weight, since: Span::default(), held: None, test, with_young }
    }

    /// Takes a cell, and counts nothing of it while held. A cell without the pool's pods moves only the clock of the onset.
    pub(super) fn push(&mut self, cell: &Cell) {
        if self.held.is_some() {
            return;
        }
        let c = cell.sum(Pool::FreeThreaded, self.with_young);
        let b = cell.sum(Pool::Standard, self.with_young);
        let ln_m = match &mut self.test {
            Test::Regression(test) => {
                let tally = Tally { ours: c.n, ours_bad: c.k, standard: b.n, standard_bad: b.k };
                test.update(&tally, cell.seconds())
            }
            Test::Objective(test, _) => test.update(c.n, c.k, cell.seconds()),
        };
        if ln_m <= UNMOVED {
            self.since = Span::default();
        } else {
            self.since.add(cell, c, b);
        }
    }

    /// `ln M`.
    pub(super) fn ln_m(&self) -> f64 {
        match &self.test {
            Test::Regression(test) => test.ln_m(),
            Test::Objective(test, _) => test.ln_m(),
        }
    }

    /// `ln(w·M)`.
    pub(super) fn ln_term(&self) -> f64 {
        self.weight.ln() + self.ln_m()
    }

    /// `p0`, if this is an objective.
    pub(super) fn objective(&self) -> Option<f64> {
        match &self.test {
            Test::Regression(_) => None,
            Test::Objective(_, p0) => Some(*p0),
        }
    }

    /// Both pools failed together: back to `M = 1`, and nothing counts until the hold ends.
    pub(super) fn hold(&mut self) {
        if let Test::Objective(test, p0) = &mut self.test {
            *test = Objective::new(*p0);
            self.held = Some(std::mem::take(&mut self.since));
        }
    }
}
