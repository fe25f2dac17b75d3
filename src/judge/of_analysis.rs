//! What a rollout's `analysis` asks for, as what an attempt is judged by. The operator and `replay` read it alike.

use super::{
    noise::{History, Noise},
    spec::{AttemptSpec, MetricSpec},
};
use crate::api::{Analysis, BaselineStatus, Percent};

/// Digits of a number in the status: what is judged by is what stands there.
const DIGITS: usize = 3;

impl AttemptSpec {
    /// Errors and latency as `analysis` has them, in cells of `cell_ms`, from `started` (ms since the epoch) on.
    pub fn of(analysis: &Analysis, cell_ms: i64, started: i64) -> Self {
        let errors = analysis.error_rate.as_ref();
        let errors = errors.map(|e| MetricSpec::errors(e.tolerate.ratio(), Some(e.max.ratio())));
        let latency = analysis.latency.as_ref();
        let latency = latency.map(|l| MetricSpec::latency(l.tolerate.ratio(), Some(l.max.ratio())));
        let metrics = errors.into_iter().chain(latency).collect();
        Self {
            tries: analysis.attempts(),
            beta: analysis.unsafe_advance().ratio(),
            ..Self::new(analysis.false_rollback.ratio(), cell_ms, started, metrics)
        }
    }

    /// With the noise that was learnt before the attempt. A metric that nothing is known of, or whose entry somebody damaged, keeps
    /// [`Noise::UNKNOWN`].
    #[must_use]
    pub fn with_baseline(mut self, baseline: &[BaselineStatus]) -> Self {
        for metric in &mut self.metrics {
            let known = baseline.iter().find(|known| known.metric == metric.name);
            let phi =
                known.and_then(|known| known.divided_by.parse().ok()).filter(|phi| (1.0..1e6).contains(phi));
            if let Some((known, phi)) = known.zip(phi) {
                metric.noise = Noise { phi, tau: known.pods_differ_by.ratio() };
            }
        }
        self
    }
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
        BaselineStatus {
            metric: self.metric.clone(),
            divided_by: number(of.noise.phi),
            pods_differ_by: share(of.noise.tau),
            per_second: number(of.per_second),
            bad: share(of.bad),
            source: self.source(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Baseline;

    #[test]
    fn what_stands_in_the_status_is_what_is_judged_by() {
        let noise = Noise { phi: 1.234_567, tau: 0.123_456_7 };
        let baseline = Baseline { noise, per_second: 104.25, bad: 0.001_234_567_8, ..Baseline::of(&[]) };
        let history = History { metric: "errors".into(), baseline, problem: None };
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
        let damaged = BaselineStatus { divided_by: "much".into(), ..status };
        assert_eq!(spec.with_baseline(&[damaged]).metrics[0].noise, Noise::UNKNOWN);
    }
}
