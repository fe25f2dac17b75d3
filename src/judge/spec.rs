//! What one attempt is judged by. Fixed before its first request.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{counts::OTHERS, noise::Noise};

/// The largest objective that makes sense: with more than half of the requests allowed to be bad nothing is promised.
const LARGEST_OBJECTIVE: f64 = 0.5;

/// Days of guard that share one `α`: each window of 24 hours gets a thirtieth.
const GUARD_WINDOWS: f64 = 30.0;

/// What the bad requests of a metric are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MetricKind {
    /// Requests that failed. Young pods count against the objective and for hard signals.
    Errors,
    /// Requests slower than a threshold. Young pods do not count.
    Latency,
    /// A counter of the user's own. Young pods count against the objective.
    Counter,
    /// Restarts of containers; what they are counted against is seconds that pods existed. Young pods count: they are whom it happens to.
    Restarts,
}

impl MetricKind {
    /// Young pods count against the objective: what is wrong at once is no matter of cold caches.
    pub(super) fn with_young(self) -> bool {
        self != Self::Latency
    }
}

/// What most metrics are counted against.
const REQUESTS: &str = "requests";

/// One metric and what it is held to. At least one of `tolerate` and `objective` is needed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricSpec {
    /// Its name, as it stands in sentences: "errors".
    pub name: String,
    /// What the bad ones are.
    pub kind: MetricKind,
    /// What they are counted against, as it stands in sentences: "requests".
    pub of: String,
    /// `δ`: the share of bad requests tolerated on top of the standard pool's, 0 to 1. `None`: not compared with it.
    pub tolerate: Option<f64>,
    /// `p0`: the largest share promised, over 0 and at most 0.5. `None`: nothing is promised.
    pub objective: Option<f64>,
    /// Share of `α` for this metric, split evenly between its tests. `None`: as much as every other.
    pub weight: Option<f64>,
    /// How much burstier than coin tosses its counts are.
    pub noise: Noise,
    /// Latency: where slow begins, in seconds: the boundary that stands for the threshold. `None`: not known yet.
    pub slow_over: Option<f64>,
    /// Latency: at which other boundaries the pools are compared. They share the weight of the comparison with the threshold's.
    pub others: Vec<OtherBoundary>,
}

/// The name of the metric that is no Prometheus' business.
pub const RESTARTS: &str = "restarts";

/// Share of `α` for restarts.
const RESTARTS_WEIGHT: f64 = 0.1;

/// A boundary beside the one that stands for the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OtherBoundary {
    /// The boundary in seconds.
    pub over: f64,
    /// How much burstier than coin tosses its counts are: the more requests are slower, the more pods differ.
    pub noise: Noise,
}

impl MetricSpec {
    /// Failed requests, compared with the standard pool and with an objective.
    pub fn errors(tolerate: f64, objective: Option<f64>) -> Self {
        Self {
            name: "errors".to_owned(),
            of: REQUESTS.to_owned(),
            kind: MetricKind::Errors,
            tolerate: Some(tolerate),
            objective,
            weight: None,
            noise: Noise::UNKNOWN,
            slow_over: None,
            others: Vec::new(),
        }
    }

    /// Slow requests, compared with the standard pool and with an objective.
    pub fn latency(tolerate: f64, objective: Option<f64>) -> Self {
        Self {
            name: "latency".to_owned(),
            of: REQUESTS.to_owned(),
            kind: MetricKind::Latency,
            tolerate: Some(tolerate),
            objective,
            weight: None,
            noise: Noise::UNKNOWN,
            slow_over: None,
            others: Vec::new(),
        }
    }

    /// A counter of the user's own, against `of` or else requests.
    pub fn counter(name: &str, of: Option<&str>, tolerate: f64, objective: Option<f64>) -> Self {
        Self {
            name: name.to_owned(),
            kind: MetricKind::Counter,
            of: of.unwrap_or(REQUESTS).to_owned(),
            ..Self::errors(tolerate, objective)
        }
    }

    /// Restarts, of which `tolerate` more per pod and second are tolerated. They get a tenth of `α`: a share as large as that of a
    /// metric with thousands of requests would be wasted on it.
    pub fn restarts(tolerate: f64) -> Self {
        Self {
            name: RESTARTS.to_owned(),
            kind: MetricKind::Restarts,
            of: "pod-seconds".to_owned(),
            weight: Some(RESTARTS_WEIGHT),
            ..Self::errors(tolerate, None)
        }
    }

    /// Whether a step that waits for evidence waits for this metric's. Restarts are too rare to be shown not to happen.
    pub fn paces(&self) -> bool {
        self.tolerate.is_some() && self.kind != MetricKind::Restarts
    }

    /// Boundaries at which the pools are compared; one for errors.
    pub(super) fn boundaries(&self) -> usize {
        1 + self.others.len()
    }

    /// The boundary of that index in seconds, the threshold's first.
    pub(super) fn boundary(&self, index: usize) -> Option<f64> {
        match index.checked_sub(1) {
            None => self.slow_over,
            Some(other) => self.others.get(other).map(|other| other.over),
        }
    }

    /// What is known of the noise there.
    pub(super) fn noise_at(&self, index: usize) -> Noise {
        let other = index.checked_sub(1).and_then(|other| self.others.get(other));
        other.map_or(self.noise, |other| other.noise)
    }

    pub(super) fn tests(&self) -> usize {
        usize::from(self.tolerate.is_some()) + usize::from(self.objective.is_some())
    }
}

/// One attempt: from a new spec or a person's retry to its end. Steps, weights, pauses, restarts and gaps are all one attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptSpec {
    /// `α`: chance of a false rollback over the whole attempt, all metrics and looks together, over 0 and under 1.
    pub alpha: f64,
    /// Length of a cell: the scrape interval at the attempt's start, ms.
    pub cell_ms: i64,
    /// When the attempt began, ms since the epoch.
    pub started: i64,
    /// Most tries of one request within one pool, at least 1. Retries make errors come in packs that no dispersion over pods shows.
    pub tries: u32,
    /// `β`: chance that a pool at the line is called safe, per step, over 0 and under 1.
    pub beta: f64,
    /// What is judged.
    pub metrics: Vec<MetricSpec>,
}

/// [`AttemptSpec::beta`] where nothing else is said.
const BETA: f64 = 0.05;

impl AttemptSpec {
    /// Requests that are tried once, and 5 % for `β`.
    pub fn new(alpha: f64, cell_ms: i64, started: i64, metrics: Vec<MetricSpec>) -> Self {
        Self { alpha, cell_ms, started, tries: 1, beta: BETA, metrics }
    }

    /// [`Self::tries`] as what evidence is divided by.
    pub(super) fn tries(&self) -> f64 {
        f64::from(self.tries.max(1))
    }

    /// The same metrics for one window of 24 hours of the guard after a promotion: `M` starts at 1 and `α` is a thirtieth. Left
    /// running for ever, the price of an unknown onset would grow with the age of the attempt.
    #[must_use]
    pub fn guard_window(&self, started: i64) -> Self {
        Self { alpha: self.alpha / GUARD_WINDOWS, started, ..self.clone() }
    }

    /// The weight of each metric: what it says, else an even share of what is left; scaled down to sum to 1 at most.
    pub(super) fn weights(&self) -> Vec<f64> {
        let said: f64 = self.metrics.iter().filter_map(|m| m.weight).sum();
        let others = self.metrics.iter().filter(|m| m.weight.is_none()).count().max(1) as f64;
        let even = if said < 1.0 { (1.0 - said) / others } else { 1.0 / self.metrics.len().max(1) as f64 };
        let weights: Vec<f64> = self.metrics.iter().map(|m| m.weight.unwrap_or(even)).collect();
        let sum: f64 = weights.iter().sum();
        if sum > 1.0 { weights.into_iter().map(|w| w / sum).collect() } else { weights }
    }

    /// Metrics of these kinds alone, each with the weight that it has among all.
    #[must_use]
    pub fn only(mut self, kinds: &[MetricKind]) -> Self {
        if self.metrics.iter().all(|metric| kinds.contains(&metric.kind)) {
            return self;
        }
        let weights = self.weights();
        for (metric, weight) in self.metrics.iter_mut().zip(weights) {
            metric.weight = Some(weight);
        }
        self.metrics.retain(|metric| kinds.contains(&metric.kind));
        self
    }

    /// Checks what the tests rely on.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), SpecError> {
        if !(self.alpha > 0.0 && self.alpha < 1.0) {
            return Err(SpecError::Alpha(self.alpha));
        }
        if self.cell_ms < 1 {
            return Err(SpecError::Cell(self.cell_ms));
        }
        if !(self.beta > 0.0 && self.beta < 1.0) {
            return Err(SpecError::Beta(self.beta));
        }
        if self.metrics.is_empty() {
            return Err(SpecError::NoMetrics);
        }
        for (i, metric) in self.metrics.iter().enumerate() {
            let name = || metric.name.clone();
            if self.metrics.iter().skip(i + 1).any(|other| other.name == metric.name) {
                return Err(SpecError::Twice(name()));
            }
            if metric.tests() == 0 {
                return Err(SpecError::NoTest(name()));
            }
            if metric.tolerate.is_some_and(|delta| !(0.0..1.0).contains(&delta)) {
                return Err(SpecError::Tolerate(name()));
            }
            if metric.objective.is_some_and(|p0| !(p0 > 0.0 && p0 <= LARGEST_OBJECTIVE)) {
                return Err(SpecError::Objective(name()));
            }
            if metric.weight.is_some_and(|w| !(w > 0.0 && w <= 1.0)) {
                return Err(SpecError::Weight(name()));
            }
            let sound =
                |Noise { phi, tau }: Noise| phi >= 1.0 && phi.is_finite() && tau >= 0.0 && tau.is_finite();
            if !(sound(metric.noise) && metric.others.iter().all(|other| sound(other.noise))) {
                return Err(SpecError::Noise(name()));
            }
            if metric.others.len() > OTHERS {
                return Err(SpecError::Boundaries(name()));
            }
        }
        Ok(())
    }
}

/// Why an attempt cannot be judged as specified.
#[derive(Clone, Debug, PartialEq)]
pub enum SpecError {
    /// `α` is not between 0 and 1.
    Alpha(f64),
    /// `β` is not between 0 and 1.
    Beta(f64),
    /// A cell has no length.
    Cell(i64),
    /// There is nothing to judge.
    NoMetrics,
    /// Two metrics have this name.
    Twice(String),
    /// This metric has neither an objective nor a tolerance.
    NoTest(String),
    /// This metric's tolerance is not a share.
    Tolerate(String),
    /// This metric's objective is not over 0 and at most 0.5.
    Objective(String),
    /// This metric's weight is not over 0 and at most 1.
    Weight(String),
    /// This metric is compared at more boundaries than are counted.
    Boundaries(String),
    /// This metric's noise is less than none.
    Noise(String),
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alpha(alpha) => write!(f, "the false rollback rate must lie between 0 and 1, not {alpha}"),
            Self::Beta(beta) => write!(f, "the unsafe advance rate must lie between 0 and 1, not {beta}"),
            Self::Cell(ms) => write!(f, "the scrape interval must be positive, not {ms} ms"),
            Self::NoMetrics => f.write_str("there is no metric to judge by"),
            Self::Twice(name) => write!(f, "two metrics are named {name}"),
            Self::NoTest(name) => write!(f, "{name} needs an objective or a tolerance"),
            Self::Tolerate(name) => write!(f, "the tolerance of {name} must be at least 0 and under 100 %"),
            Self::Objective(name) => write!(f, "the objective of {name} must be over 0 and at most 50 %"),
            Self::Weight(name) => write!(f, "the weight of {name} must be over 0 and at most 1"),
            Self::Boundaries(name) => {
                write!(f, "{name} can be compared at {} boundaries at most", OTHERS + 1)
            }
            Self::Noise(name) => {
                write!(f, "the noise of {name} must divide by at least 1 and widen by at least 0")
            }
        }
    }
}

impl std::error::Error for SpecError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_to_one_at_most() {
        let of = |weights: [Option<f64>; 2]| {
            let metric = |(name, weight): (&str, Option<f64>)| MetricSpec {
                name: name.to_owned(),
                weight,
                ..MetricSpec::errors(0.0, None)
            };
            let metrics = ["a", "b"].into_iter().zip(weights).map(metric).collect();
            AttemptSpec::new(0.01, 1000, 0, metrics).weights()
        };
        assert_eq!(of([None, None]), [0.5, 0.5]);
        assert_eq!(of([Some(0.2), Some(0.3)]), [0.2, 0.3]);
        assert_eq!(of([Some(1.0), Some(1.0)]), [0.5, 0.5]);
        assert_eq!(of([Some(0.75), None]), [0.75, 0.25]);
        assert_eq!(of([Some(1.0), None]), [2.0 / 3.0, 1.0 / 3.0]);
    }
}
