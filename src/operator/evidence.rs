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
    beside::{Looked, look},
    history::HistoryReader,
    keep::{Keeper, complete, resume},
    restarts::RestartCount,
    throughput::ThroughputMeter,
    told::{Told, counting, key, tell},
    wanted::{Wanted, wanted},
};
use crate::{
    api::{FreeThreadRollout, FreeThreadRolloutStatus, Phase},
    judge::{Attempt, Finding, MetricSamples, Observed, hard_signals, overall},
    observe::{
        LogSignal, LogTail, Obstacle, Pokes, Scene,
        logs::{LogTarget, LogWatch, RolloutRef},
        presets::{self, CpuPlan, MetricPlan},
        prometheus::{AttemptKey, HttpSource, MetricReading, Reader, Reading},
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
    logs: Arc<LogWatch>,
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

impl Evidence {
    pub(super) fn new(client: &Client, source: HttpSource, pokes: Pokes, metrics: Metrics) -> Self {
        let source = Arc::new(source);
        let reader = Arc::new(Reader::new(source.clone()));
        let bell = pokes.clone();
        let logs = Arc::new(LogWatch::new(client.clone(), move |namespace, name| bell.poke(namespace, name)));
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
            CpuPlan::of(analysis, wanted.cpu.as_ref()).err().map(|e| e.to_string())
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
            self.logs.clone(),
            self.pokes.clone(),
            self.metrics.clone(),
        ));
        Follower { wanted, latest, task }
    }

    fn readers(&self) -> MutexGuard<'_, BTreeMap<String, Follower>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the counts, and beside them what must never keep them waiting; until dropped.
async fn read(
    source: Arc<HttpSource>,
    reader: Arc<Reader>,
    inputs: watch::Receiver<Wanted>,
    latest: watch::Sender<Told>,
    logs: Arc<LogWatch>,
    pokes: Pokes,
    metrics: Metrics,
) {
    let (looked, beside) = watch::channel(Looked::default());
    let look = look(source.clone(), inputs.clone(), looked, logs, metrics.clone());
    futures::join!(look, count(source, reader, inputs, latest, beside, pokes, metrics));
}

/// Read, feed, tell; until dropped.
async fn count(
    source: Arc<HttpSource>,
    reader: Arc<Reader>,
    inputs: watch::Receiver<Wanted>,
    latest: watch::Sender<Told>,
    beside: watch::Receiver<Looked>,
    pokes: Pokes,
    metrics: Metrics,
) {
    let mut judged: Option<(AttemptKey, Attempt, Keeper)> = None;
    let mut meter = ThroughputMeter::new(source.clone());
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
            let found = beside.borrow().found(&wanted.beside, *key).with(found);
            if complete {
                keeper.keep(attempt, now, wanted.step_started);
            }
            let (benefit, cost) = meter.finding(wanted.throughput.as_ref(), now);
            let checkpoint = keeper.kept.clone();
            let found = Finding { history: past.of(*key), benefit, cost, checkpoint, ..found };
            // Until the past is read, what is known is not the whole evidence.
            if caught_up && tell(&latest, *key, found) {
                pokes.poke(&wanted.rollout.0, &wanted.rollout.1);
            }
            // After everything that a rollback could wait for.
            if caught_up {
                if wanted.learns {
                    past.read(scope, *key, plan, pods, &wanted.spec, &metrics).await;
                }
                let changes = &wanted.weight_changes;
                meter.read(wanted.throughput.as_ref(), scope, pods, changes, &metrics, now).await;
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
