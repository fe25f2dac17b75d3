//! What a rollout's `analysis` asks for, as what an attempt is judged by. The operator and `replay` read it alike.

use super::{
    counts::OTHERS,
    gauge::GaugeSpec,
    memory::MemorySpec,
    noise::{Baseline, History, Noise},
    spec::{AttemptSpec, MetricKind, MetricSpec, OtherBoundary},
};
use crate::api::{Analysis, BaselineStatus, BoundaryStatus, CounterTest, Gauge, Percent};

/// Digits of a number in the status: what is judged by is what stands there.
const DIGITS: usize = 3;

const SECONDS_PER_DAY: f64 = 86_400.0;

impl AttemptSpec {
    /// What `analysis` compares, in cells of `cell_ms`, from `started` (ms since the epoch) on.
    pub fn of(analysis: &Analysis, cell_ms: i64, started: i64) -> Self {
        let errors = analysis.error_rate.as_ref();
        let errors = errors.map(|e| MetricSpec::errors(e.tolerate.ratio(), Some(e.max.ratio())));
        let latency = analysis.latency.as_ref();
        let latency = latency.map(|l| MetricSpec::latency(l.tolerate.ratio(), Some(l.max.ratio())));
        let counter = |c: &CounterTest| {
            let of = c.of.as_ref().map(|of| of.name.as_str());
            MetricSpec::counter(&c.name, of, c.tolerate.ratio(), c.max.map(Percent::ratio))
        };
        let restarts = analysis.restarts.as_ref();
        let restarts =
            restarts.map(|r| MetricSpec::restarts(f64::from(r.tolerate_per_day) / SECONDS_PER_DAY));
        let counters = analysis.counters.iter().map(counter);
        let metrics = errors.into_iter().chain(latency).chain(counters).chain(restarts).collect();
        Self {
            tries: analysis.attempts(),
            beta: analysis.unsafe_advance().ratio(),
            ..Self::new(counted_alpha(analysis), cell_ms, started, metrics)
        }
    }

    /// With the noise that was learnt before the attempt, and the boundaries that were chosen then. A metric that nothing is known of,
    /// or whose entry somebody damaged, keeps [`Noise::UNKNOWN`] and the threshold's boundary.
    #[must_use]
    pub fn with_baseline(mut self, baseline: &[BaselineStatus]) -> Self {
        for metric in &mut self.metrics {
            let Some(known) = baseline.iter().find(|known| known.metric == metric.name) else { continue };
            if let Some(noise) = noise(&known.divided_by, known.pods_differ_by) {
                metric.noise = noise;
            }
            if metric.kind == MetricKind::Latency {
                metric.slow_over = known.slow_over.as_deref().and_then(seconds);
                let others = known.boundaries.iter().map(|at| {
                    Some(OtherBoundary {
                        over: seconds(&at.over)?,
                        noise: noise(&at.divided_by, at.pods_differ_by)?,
                    })
                });
                let others: Option<Vec<OtherBoundary>> = others.collect();
                metric.others = others.filter(|all| all.len() <= OTHERS).unwrap_or_default();
            }
        }
        self
    }
}

/// Share of `α` for the growth of memory, where it is compared.
const MEMORY_SHARE: f64 = 0.1;

/// `α` of everything that is counted: what is not set aside for memory.
fn counted_alpha(analysis: &Analysis) -> f64 {
    let aside = if analysis.memory.is_some() { MEMORY_SHARE } else { 0.0 };
    analysis.false_rollback.ratio() * (1.0 - aside)
}

impl MemorySpec {
    /// What `analysis` asks of memory, for an attempt, or for a window of the guard with `judged`'s `α`.
    pub fn of(analysis: &Analysis, judged: &AttemptSpec) -> Option<Self> {
        let memory = analysis.memory.as_ref()?;
        Some(Self {
            tolerate: memory.per_hour.bytes() / 3600.0,
            interval: memory.interval.millis().max(4 * judged.cell_ms),
            settle: memory.settle.millis(),
            alpha: judged.alpha * MEMORY_SHARE / (1.0 - MEMORY_SHARE),
        })
    }
}

impl GaugeSpec {
    /// A gauge of `analysis`, with a value every `every` ms.
    pub fn of(gauge: &Gauge, every: i64) -> Self {
        Self {
            name: gauge.name.clone(),
            min: gauge.min,
            max: gauge.max,
            lasting: gauge.lasting.millis().max(3 * every),
            every,
        }
    }
}

fn noise(divided_by: &str, pods_differ_by: Percent) -> Option<Noise> {
    let phi = divided_by.parse().ok().filter(|phi| (1.0..1e6).contains(phi))?;
    Some(Noise { phi, tau: pods_differ_by.ratio() })
}

fn seconds(text: &str) -> Option<f64> {
    text.parse().ok().filter(|seconds: &f64| seconds.is_finite() && *seconds > 0.0)
}

impl History {
    /// As it stands in the status. The judge goes by these digits and no others, so that a restart changes nothing.
    pub fn status(&self) -> BaselineStatus {
        let share = |ratio: f64| {
            let share = Percent::from_ratio(ratio);
            share.to_string().parse().unwrap_or(share)
        };
        let number = |number: f64| {
            let text = format!("{number:.DIGITS$}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        let of = &self.baseline;
        let at = self.boundaries.as_ref();
        let other = |(over, baseline): &(f64, Baseline)| BoundaryStatus {
            over: over.to_string(),
            slower: share(baseline.bad),
            divided_by: number(baseline.noise.phi),
            pods_differ_by: share(baseline.noise.tau),
        };
        BaselineStatus {
            metric: self.metric.clone(),
            divided_by: number(of.noise.phi),
            pods_differ_by: share(of.noise.tau),
            per_second: number(of.per_second),
            bad: share(of.bad),
            source: self.source(),
            slow_over: at.map(|at| at.slow_over.to_string()),
            boundaries: at.map(|at| at.others.iter().map(other).collect()).unwrap_or_default(),
            resolution: at.map(|at| at.resolution.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Boundaries;

    #[test]
    fn what_stands_in_the_status_is_what_is_judged_by() {
        let noise = Noise { phi: 1.234_567, tau: 0.123_456_7 };
        let baseline = Baseline { noise, per_second: 104.25, bad: 0.001_234_567_8, ..Baseline::of(&[]) };
        let history = History { metric: "errors".into(), baseline, problem: None, boundaries: None };
        let status = history.status();
        let text = serde_json::to_string(&status).unwrap();
        assert_eq!(serde_json::from_str::<BaselineStatus>(&text).unwrap(), status, "{text}");
        let spec = AttemptSpec::new(
            0.01,
            1000,
            0,
            vec![MetricSpec::errors(0.0, None), MetricSpec::latency(0.0, None)],
        );
        let judged = spec.clone().with_baseline(std::slice::from_ref(&status));
        assert!((judged.metrics[0].noise.phi - 1.235).abs() < 1e-12);
        assert!((judged.metrics[0].noise.tau - 0.123_457).abs() < 1e-12);
        assert_eq!(judged.metrics[1].noise, Noise::UNKNOWN, "nothing is known of it");
        let slow = Baseline { noise: Noise { phi: 7.0, tau: 0.01 }, bad: 0.21, ..baseline };
        let boundaries = Boundaries {
            slow_over: 0.5,
            others: vec![(0.1, slow), (0.297_301_778_750_680_26, baseline)],
            resolution: String::new(),
        };
        let latency =
            History { metric: "latency".into(), boundaries: Some(boundaries), ..history.clone() }.status();
        let text = serde_json::to_string(&latency).unwrap();
        assert_eq!(serde_json::from_str::<BaselineStatus>(&text).unwrap(), latency, "{text}");
        let metric = spec.clone().with_baseline(std::slice::from_ref(&latency)).metrics.remove(1);
        assert_eq!(metric.slow_over, Some(0.5));
        assert_eq!(metric.others[0], OtherBoundary { over: 0.1, noise: slow.noise });
        assert_eq!(metric.others[1].over.to_bits(), 0.297_301_778_750_680_26_f64.to_bits(), "every digit");
        let mut lost = latency;
        lost.boundaries[0].over = "-1".into();
        assert!(spec.clone().with_baseline(&[lost]).metrics[1].others.is_empty());
        let damaged = BaselineStatus { divided_by: "much".into(), ..status };
        assert_eq!(spec.with_baseline(&[damaged]).metrics[0].noise, Noise::UNKNOWN);
    }
}
