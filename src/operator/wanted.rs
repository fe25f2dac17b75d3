//! What the reader of a rollout is to read, out of what was decided last.

use jiff::Timestamp;
use kube::ResourceExt;

use super::{beside::BesideWanted, restarts::Life, throughput::ThroughputWanted, told::key};
use crate::{
    api::{Analysis, AttemptStatus, CheckpointStatus, FreeThreadRollout, FreeThreadRolloutStatus, Percent},
    decide::SETTLE,
    judge::{AttemptSpec, MetricKind, Pool, WeightChange},
    observe::{
        Drawn, Pod, Scene,
        presets::{Chosen, MetricPlan},
        prometheus::{AttemptKey, PodTarget, Scope},
    },
};

/// What a reader is to read, as of the last pass.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    pub(super) rollout: (String, String),
    pub(super) scope: Scope,
    pub(super) key: AttemptKey,
    pub(super) plan: MetricPlan,
    pub(super) spec: AttemptSpec,
    /// What the standard pool was like before the attempt is not known yet.
    pub(super) learns: bool,
    /// Throughput per core, where it is measured now.
    pub(super) throughput: Option<ThroughputWanted>,
    /// Memory and gauges.
    pub(super) beside: BesideWanted,
    pub(super) pods: Vec<PodTarget>,
    /// What Kubernetes says of them, where restarts are compared.
    pub(super) lives: Option<Vec<Life>>,
    pub(super) weight_changes: Vec<WeightChange>,
    pub(super) step_started: i64,
    /// The evidence as it was kept last.
    pub(super) kept: Option<CheckpointStatus>,
}

/// What a reader of this rollout is to read; `None` where the spec cannot be read at all.
pub(super) fn wanted(
    rollout: &FreeThreadRollout,
    scene: &Scene,
    status: &FreeThreadRolloutStatus,
    attempt: &AttemptStatus,
) -> Option<Wanted> {
    let (namespace, name) = (rollout.namespace().unwrap_or_default(), rollout.name_any());
    let analysis = &rollout.spec.analysis;
    let key = key(attempt, Timestamp::now());
    let warm_up = rollout.spec.free_threaded.warm_up.millis();
    let standard =
        scene.observation.standard.iter().flat_map(|s| &s.pods).map(|p| target(p, Pool::Standard, warm_up));
    let ours = scene.observation.free_threaded.pods.iter().map(|p| target(p, Pool::FreeThreaded, warm_up));
    let spec = judged_by(analysis, attempt, key);
    let most = if scene.observation.route.drawn == Drawn::Users { answered(status, attempt) } else { 1.0 };
    let weight_changes = weight_changes(attempt, most);
    let mut plan = MetricPlan::of(analysis).ok()?;
    let of_latency = spec.metrics.iter().find(|metric| metric.kind == MetricKind::Latency);
    if let (Some(latency), Some(metric)) = (&mut plan.latency, of_latency) {
        latency.chosen = Chosen::of(metric);
    }
    let cpu_times = scene.rendered.as_ref().map_or(1.0, |rendered| rendered.cpu_times);
    Some(Wanted {
        rollout: (namespace.clone(), name),
        scope: Scope {
            profile: analysis.prometheus.clone(),
            rollout: rollout.uid()?,
            namespace,
            labels: analysis.labels.clone(),
        },
        key,
        plan,
        learns: attempt.baseline.is_empty(),
        throughput: ThroughputWanted::of(rollout, status, attempt, cpu_times),
        beside: BesideWanted::of(analysis, attempt, &spec, &weight_changes),
        pods: standard.chain(ours).collect(),
        spec,
        lives: analysis.restarts.as_ref().map(|_| Life::all(&scene.observation)),
        weight_changes,
        // Until the step's own weight is served, the last one's evidence is the latest there is: enough for the weight to rise.
        step_started: attempt.step_counts_from.as_ref().unwrap_or(&attempt.started_at).0.as_millisecond(),
        kept: attempt.checkpoint.clone(),
    })
}

/// The attempt's own rules, or those of a window of the guard: with the noise that was learnt before it.
fn judged_by(analysis: &Analysis, attempt: &AttemptStatus, key: AttemptKey) -> AttemptSpec {
    let spec = AttemptSpec::of(analysis, attempt.cell.millis(), attempt.started_at.0.as_millisecond());
    let spec = spec.with_baseline(&attempt.baseline);
    if attempt.guard_since.is_some() { spec.guard_window(key.since) } else { spec }
}

/// Where users are shared out: the most of all requests that the pool was seen to answer, at this weight and before it rose to it.
fn answered(status: &FreeThreadRolloutStatus, attempt: &AttemptStatus) -> f64 {
    let [now, before] =
        [status.weight.observed, attempt.answered_before].map(|share| share.map_or(0.0, Percent::ratio));
    now.max(before)
}

/// A share that is served, and of which nothing is known: nobody is silent by it.
const SOME: f64 = 1e-9;

/// The changes of the weight, with the share that is really served: none from the moment that a weight is written (its pods start, its
/// connections are still elsewhere), and the step's once it has been read back for a moment. What is configured is never taken for
/// traffic: a pool whose pods just start is not silent.
///
/// `most`: where it is users who are shared out, the share of their requests that was seen; 1 everywhere else. A pool that the few who send most were
/// not drawn to is not silent either: it is only where it answers less than it did.
fn weight_changes(attempt: &AttemptStatus, most: f64) -> Vec<WeightChange> {
    let written =
        attempt.weight_changes.iter().map(|c| WeightChange { at: c.at.0.as_millisecond(), share: 0.0 });
    let served =
        attempt.weight_changes.last().zip(attempt.converged_at.as_ref()).map(|(change, converged)| {
            WeightChange {
                at: converged.0.as_millisecond().saturating_add(SETTLE.millis()),
                share: change.share.ratio().min(most.max(SOME)),
            }
        });
    written.chain(served).collect()
}

fn target(pod: &Pod, pool: Pool, warm_up_ms: i64) -> PodTarget {
    PodTarget {
        name: pod.name.clone(),
        pool,
        started: pod.started.unwrap_or(pod.created).as_millisecond(),
        counted_from: pod.ready_since.map_or(i64::MAX, |at| at.as_millisecond().saturating_add(warm_up_ms)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_attempt_is_judged_by_the_noise_that_was_learnt_before_it() {
        let analysis: Analysis =
            serde_json::from_value(json!({"preset": "fastapi-instrumentator", "errorRate": {"max": "1%"}}))
                .unwrap();
        let known = json!({"metric": "errors", "dividedBy": "3.5", "podsDifferBy": "40%", "perSecond": "9", "bad": "1%", "source": ""});
        let mut attempt: AttemptStatus = serde_json::from_value(json!({"number": 1, "startedAt": "2026-11-23T19:00:00.000000Z",
            "stepStartedAt": "2026-11-23T19:00:00.000000Z", "standardHash": "", "specHash": "", "cell": "15s", "baseline": [known]}))
        .unwrap();
        let key = AttemptKey { attempt: 1, since: 7 };
        let spec = judged_by(&analysis, &attempt, key);
        assert!(
            (spec.metrics[0].noise.phi - 3.5).abs() < 1e-12
                && (spec.metrics[0].noise.tau - 0.4).abs() < 1e-12
        );
        attempt.guard_since = Some(attempt.started_at.clone());
        let guard = judged_by(&analysis, &attempt, key);
        assert_eq!((guard.started, guard.metrics[0].noise), (7, spec.metrics[0].noise));
    }

    #[test]
    fn users_who_stay_on_one_side_make_no_silence_that_nobody_hears() {
        let attempt: AttemptStatus = serde_json::from_value(json!({"number": 1, "startedAt": "2026-11-23T19:00:00.000000Z",
            "stepStartedAt": "2026-11-23T19:00:00.000000Z", "convergedAt": "2026-11-23T19:00:02.000000Z", "standardHash": "",
            "specHash": "", "cell": "15s", "weightChanges": [{"at": "2026-11-23T19:00:01.000000Z", "share": "10%", "written": 10}]}))
        .unwrap();
        let served = |most: f64| weight_changes(&attempt, most).last().map(|change| change.share).unwrap();
        assert!((served(1.0) - 0.1).abs() < 1e-12, "requests: what is read back is served");
        assert!((served(0.04) - 0.04).abs() < 1e-12, "users: what was seen of it");
        assert!((served(0.3) - 0.1).abs() < 1e-12, "and no more than is wanted");
        let unseen = served(0.0);
        assert!(unseen > 0.0 && unseen < 1e-6, "served, and nobody knows how much: {unseen}");
        let mut attempt = attempt;
        attempt.answered_before = Some(Percent::from_ratio(0.08));
        let status = FreeThreadRolloutStatus::default();
        assert!(
            (answered(&status, &attempt) - 0.08).abs() < 1e-9,
            "who answers nothing after a rise is silent"
        );
    }
}
