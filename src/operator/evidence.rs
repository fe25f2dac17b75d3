//! Keeps the judge fed: one task per rollout reads Prometheus, lets the judge count, and wakes the pass when the finding changes.
//!
//! Reading is not part of a pass, so that a slow Prometheus never delays a hard signal or a falling weight.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use kube::{Client, ResourceExt};
use tokio::{sync::watch, task::JoinHandle};

use super::{
    Metrics,
    benefit::{BenefitMeter, BenefitWanted},
    beside::{BesideReader, BesideWanted},
    history::HistoryReader,
    keep::{Keeper, complete, resume},
    restarts::{Life, RestartCount},
    told::{Told, counting, key, tell},
};
use crate::{
    api::{Analysis, AttemptStatus, CheckpointStatus, FreeThreadRollout, FreeThreadRolloutStatus, Phase},
    decide::SETTLE,
    judge::{
        Attempt, AttemptSpec, Finding, MetricKind, MetricSamples, Observed, Pool, WeightChange, hard_signals,
        overall,
    },
    observe::{
        LogSignal, LogTail, Obstacle, Pod, Pokes, Scene,
        logs::{LogTarget, LogWatch, RolloutRef},
        presets::{self, BenefitPlan, Chosen, MetricPlan},
        prometheus::{AttemptKey, HttpSource, MetricReading, PodTarget, Reader, Reading, Scope},
    },
};

/// Bounds on the time between two readings: several per scrape are cheap and save half a second.
const READ_EVERY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// Pause between two pieces of the past.
const BETWEEN_PIECES: Duration = Duration::from_millis(20);

/// The readers of all rollouts. Dropping it ends them: nothing of a former leader reads on.
pub(super) struct Evidence {
    source: Arc<HttpSource>,
    reader: Arc<Reader>,
    logs: LogWatch,
    pokes: Pokes,
    metrics: Metrics,
    readers: Mutex<BTreeMap<String, Follower>>,
}

struct Follower {
    wanted: watch::Sender<Wanted>,
    latest: watch::Receiver<Told>,
    task: JoinHandle<()>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a reader is to read, as of the last pass.
#[derive(Debug, Clone, PartialEq)]
struct Wanted {
    rollout: (String, String),
    scope: Scope,
    key: AttemptKey,
    plan: MetricPlan,
    spec: AttemptSpec,
    /// What the standard pool was like before the attempt is not known yet.
    learns: bool,
    /// Throughput per core, where it is measured now.
    benefit: Option<BenefitWanted>,
    /// Memory and gauges.
    beside: BesideWanted,
    pods: Vec<PodTarget>,
    /// What Kubernetes says of them, where restarts are compared.
    lives: Option<Vec<Life>>,
    weight_changes: Vec<WeightChange>,
    step_started: i64,
    /// The evidence as it was kept last.
    kept: Option<CheckpointStatus>,
}

impl Evidence {
    pub(super) fn new(client: &Client, source: HttpSource, pokes: Pokes, metrics: Metrics) -> Self {
        let source = Arc::new(source);
        let reader = Arc::new(Reader::new(source.clone()));
        let bell = pokes.clone();
        let logs = LogWatch::new(client.clone(), move |namespace, name| bell.poke(namespace, name));
        Self { source, reader, logs, pokes, metrics, readers: Mutex::default() }
    }

    /// How often the rollout's Prometheus scrapes, in milliseconds.
    pub(super) fn scrape_interval_ms(&self, rollout: &FreeThreadRollout) -> i64 {
        let profile = self.source.profile(&rollout.spec.analysis.prometheus);
        profile.map_or(15_000, |profile| profile.scrape_interval.millis())
    }

    /// What the logs of our pods have shown, and their last lines.
    pub(super) fn logs(&self, rollout: &FreeThreadRollout) -> (Vec<LogSignal>, Vec<LogTail>) {
        let uid = rollout.uid().unwrap_or_default();
        (self.logs.signals(&uid), self.logs.tails(&uid))
    }

    /// Why the spec's analysis cannot work.
    pub(super) fn obstacle(&self, rollout: &FreeThreadRollout) -> Option<Obstacle> {
        let analysis = &rollout.spec.analysis;
        let profile = self.source.profile(&analysis.prometheus).err().map(|e| e.to_string());
        let plan = || MetricPlan::of(analysis).err().map(|e| e.to_string());
        let benefit = || {
            let wanted = rollout.spec.benefit.as_ref()?;
            BenefitPlan::of(analysis, wanted).err().map(|e| e.to_string())
        };
        let memory = || presets::memory(analysis.memory.as_ref()?).err().map(|e| e.to_string());
        let gauges = || {
            let allowed = self.source.profile(&analysis.prometheus).is_ok_and(|profile| profile.user_queries);
            (!allowed && !analysis.gauges.is_empty()).then(|| {
                format!(
                    "analysis.gauges are queries of your own, which the Prometheus profile '{}' does not allow: ask its administrator \
                     for userQueries: true, or compare a counter of your own under analysis.counters",
                    analysis.prometheus
                )
            })
        };
        profile
            .or_else(plan)
            .or_else(benefit)
            .or_else(memory)
            .or_else(gauges)
            .map(|message| Obstacle::Invalid { message })
    }

    /// The judge's finding as of now: hard signals from the picture, counts as last read.
    pub(super) fn finding(&self, rollout: &FreeThreadRollout, scene: &Scene, now: Timestamp) -> Finding {
        let status = rollout.status.as_ref();
        let attempt = status.and_then(|s| s.attempt.as_ref());
        let key = attempt.map(|a| key(a, now));
        let latest =
            self.readers().get(&rollout.uid().unwrap_or_default()).and_then(|f| f.latest.borrow().clone());
        let counts = counting(&latest, key);
        let hard = attempt.and_then(|a| hard_signals(&scene.observation, a, now));
        overall(hard, counts)
    }

    /// Let the reading fit what was decided.
    pub(super) fn follow(
        &self,
        rollout: &FreeThreadRollout,
        scene: &Scene,
        status: &FreeThreadRolloutStatus,
    ) {
        let uid = rollout.uid().unwrap_or_default();
        let reads = !status.phase.is_over() && status.phase != Phase::Failed;
        let Some(wanted) =
            status.attempt.as_ref().filter(|_| reads).and_then(|a| wanted(rollout, scene, status, a))
        else {
            self.stop_reading(&uid);
            // The last words of pods that are on their way out are still to come.
            if scene.our_pods.is_empty() {
                self.logs.forget(&uid);
            }
            return;
        };
        let container = scene.rendered.as_ref().map(|r| r.container.clone()).unwrap_or_default();
        let target = |(pod, pod_uid, restarts): &(String, String, i32)| LogTarget {
            pod: pod.clone(),
            uid: pod_uid.clone(),
            container: container.clone(),
            restarts: *restarts,
        };
        let targets: Vec<LogTarget> = scene.our_pods.iter().map(target).collect();
        let (namespace, name) = wanted.rollout.clone();
        self.logs.ensure(&RolloutRef { namespace, name, uid: uid.clone() }, &targets);
        let mut readers = self.readers();
        match readers.get(&uid).filter(|f| !f.task.is_finished()) {
            Some(follower) => {
                follower.wanted.send_if_modified(|old| {
                    let changed = *old != wanted;
                    *old = wanted;
                    changed
                });
            }
            None => {
                readers.insert(uid, self.start(wanted));
            }
        }
    }

    /// Stop everything about a rollout that is over.
    pub(super) fn forget(&self, rollout: &FreeThreadRollout) {
        let uid = rollout.uid().unwrap_or_default();
        self.stop_reading(&uid);
        self.logs.forget(&uid);
    }

    /// Stop everything about all rollouts but these.
    pub(super) fn keep(&self, uids: &BTreeSet<String>) {
        let known: BTreeSet<String> = self.readers().keys().cloned().chain(self.logs.rollouts()).collect();
        for uid in known.difference(uids) {
            self.stop_reading(uid);
            self.logs.forget(uid);
        }
    }

    fn stop_reading(&self, uid: &str) {
        self.readers().remove(uid);
        self.reader.forget(uid);
        self.source.forget(uid);
    }

    fn start(&self, wanted: Wanted) -> Follower {
        let (wanted, inputs) = watch::channel(wanted);
        let (finding, latest) = watch::channel(None);
        let task = tokio::spawn(read(
            self.source.clone(),
            self.reader.clone(),
            inputs,
            finding,
            self.pokes.clone(),
            self.metrics.clone(),
        ));
        Follower { wanted, latest, task }
    }

    fn readers(&self) -> MutexGuard<'_, BTreeMap<String, Follower>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a reader of this rollout is to read; `None` where the spec cannot be read at all.
fn wanted(
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
    let weight_changes = weight_changes(attempt);
    let mut plan = MetricPlan::of(analysis).ok()?;
    let of_latency = spec.metrics.iter().find(|metric| metric.kind == MetricKind::Latency);
    if let (Some(latency), Some(metric)) = (&mut plan.latency, of_latency) {
        latency.chosen = Chosen::of(metric);
    }
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
        benefit: BenefitWanted::of(rollout, status, attempt),
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

/// The changes of the weight, with the share that is really served: none from the moment that a weight is written (its pods start, its
/// connections are still elsewhere), and the step's once it has been read back for a moment. What is configured is never taken for
/// traffic: a pool whose pods just start is not silent.
fn weight_changes(attempt: &AttemptStatus) -> Vec<WeightChange> {
    let written =
        attempt.weight_changes.iter().map(|c| WeightChange { at: c.at.0.as_millisecond(), share: 0.0 });
    let served =
        attempt.weight_changes.last().zip(attempt.converged_at.as_ref()).map(|(change, converged)| {
            WeightChange {
                at: converged.0.as_millisecond().saturating_add(SETTLE.millis()),
                share: change.share.ratio(),
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

/// Read, feed, tell; until dropped.
async fn read(
    source: Arc<HttpSource>,
    reader: Arc<Reader>,
    inputs: watch::Receiver<Wanted>,
    latest: watch::Sender<Told>,
    pokes: Pokes,
    metrics: Metrics,
) {
    let mut judged: Option<(AttemptKey, Attempt, Keeper)> = None;
    let mut meter = BenefitMeter::new(source.clone());
    let mut beside = BesideReader::new(source.clone());
    let mut past = HistoryReader::new(source);
    let mut restarts = RestartCount::default();
    loop {
        let wanted = inputs.borrow().clone();
        let Wanted { scope, key, plan, pods, .. } = &wanted;
        let scrape = wanted.spec.cell_ms;
        if judged.as_ref().is_none_or(|(of, attempt, _)| of != key || attempt.spec() != &wanted.spec) {
            // Judged by other rules, everything counts from the start.
            if judged.is_some() {
                reader.forget(&scope.rollout);
            }
            let (rollout, kept) = (&scope.rollout, wanted.kept.as_ref());
            let resumed = kept.and_then(|kept| resume(&reader, rollout, *key, plan, kept, &wanted.spec));
            let begun = || Attempt::new(wanted.spec.clone()).ok().map(|attempt| (attempt, Keeper::default()));
            judged = resumed.or_else(begun).map(|(attempt, keeper)| (*key, attempt, keeper));
        }
        let now = Timestamp::now().as_millisecond();
        let reading = reader.read(scope, *key, plan, pods, scrape, now).await;
        let caught_up = reading.caught_up();
        let complete = complete(&reading, now);
        if let Some((key, attempt, keeper)) = &mut judged {
            let counted = wanted.lives.as_ref().map(|lives| restarts.at(now, scrape, lives));
            let all: Vec<MetricSamples> = samples(reading, &metrics).into_iter().chain(counted).collect();
            attempt.feed(&Observed {
                now,
                metrics: &all,
                weight_changes: &wanted.weight_changes,
                step_started: wanted.step_started,
            });
            let found = Finding::of_counts(&attempt.verdict(now), wanted.step_started);
            let found = beside.found(&wanted.beside, *key).with(found);
            if complete {
                keeper.keep(attempt, now, wanted.step_started);
            }
            let benefit = meter.finding(wanted.benefit.as_ref(), now);
            let checkpoint = keeper.kept.clone();
            let found = Finding { history: past.of(*key), benefit, checkpoint, ..found };
            // Until the past is read, what is known is not the whole evidence.
            if caught_up && tell(&latest, *key, found) {
                pokes.poke(&wanted.rollout.0, &wanted.rollout.1);
            }
            // After everything that a rollback could wait for.
            if caught_up {
                if wanted.learns {
                    past.read(scope, *key, plan, pods, &wanted.spec, &metrics).await;
                }
                beside.read(&wanted.beside, scope, *key, pods, &metrics, (scrape, now)).await;
                let changes = &wanted.weight_changes;
                meter.read(wanted.benefit.as_ref(), scope, pods, changes, &metrics, now).await;
            }
        }
        let pause = Duration::from_millis(u64::try_from(scrape / 4).unwrap_or_default());
        let pause = pause.clamp(READ_EVERY.0, READ_EVERY.1);
        // The past is read piece by piece, and other rollouts want their turn.
        tokio::time::sleep(if caught_up { pause } else { BETWEEN_PIECES }).await;
    }
}

/// What was read, under the names that the judge knows.
pub(super) fn samples(reading: Reading, metrics: &Metrics) -> Vec<MetricSamples> {
    let named = |(name, reading): (String, MetricReading)| match reading.samples {
        Ok(pods) => MetricSamples { name, pods, problem: None },
        Err(problem) => {
            metrics.query_failed(if problem.is_outage() { "outage" } else { "answer" });
            MetricSamples { name, pods: Vec::new(), problem: Some(problem.to_string()) }
        }
    };
    reading.metrics.into_iter().map(named).collect()
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
}
