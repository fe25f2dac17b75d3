//! What is watched beside the counts: the growth of memory, and gauges of the user's own. In a loop of its own, and told with the next
//! finding of the counts.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use jiff::Timestamp;
use tokio::sync::watch;

use super::{Metrics, wanted::Wanted};
use crate::{
    api::{Analysis, AttemptStatus},
    judge::{
        AttemptSpec, Beside, GaugeFinding, GaugeSpec, Memory, MemoryFinding, MemorySpec, Pool, WeightChange,
    },
    observe::{
        LogSignalKind,
        logs::{LogWatch, RolloutRef},
        presets,
        prometheus::{AttemptKey, HttpSource, MemoryReader, QueryProblem, promql::Selector},
    },
};

/// Pause between two looks at memory, ms: it is compared in minutes.
const MEMORY_EVERY_MS: i64 = 15_000;

/// What is to be watched, as of the last pass.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct BesideWanted {
    memory: Option<(Selector, MemorySpec)>,
    gauges: Vec<(GaugeSpec, String)>,
    /// When the weight changed, ms since the epoch.
    changes: Vec<i64>,
    /// A weight is served since then, ms since the epoch; gauges are looked at only while one is.
    served: Option<i64>,
}

impl BesideWanted {
    pub(super) fn of(
        analysis: &Analysis,
        attempt: &AttemptStatus,
        judged: &AttemptSpec,
        weights: &[WeightChange],
    ) -> Self {
        let memory = analysis.memory.as_ref().and_then(|memory| presets::memory(memory).ok());
        let gauges = analysis.gauges.iter();
        let served = weights.last().filter(|change| change.share > 0.0).map(|change| change.at);
        Self {
            memory: memory.zip(MemorySpec::of(analysis, judged)),
            gauges: gauges.map(|g| (GaugeSpec::of(g, judged.cell_ms), g.query.clone())).collect(),
            changes: attempt.weight_changes.iter().map(|change| change.at.0.as_millisecond()).collect(),
            served,
        }
    }
}

/// What was found at the last look, and what it was a look at.
#[derive(Debug, Clone, Default)]
pub(super) struct Looked {
    key: Option<AttemptKey>,
    memory: Option<Result<MemoryFinding, String>>,
    served: Option<i64>,
    gauges: Vec<GaugeFinding>,
}

impl Looked {
    /// What counts of it. What was not looked at yet is not known, and no good news.
    pub(super) fn found(&self, wanted: &BesideWanted, key: AttemptKey) -> Beside {
        let memory = wanted.memory.as_ref().map(|_| {
            let known = self.memory.clone().filter(|_| self.key == Some(key));
            known.unwrap_or_else(|| Err("not asked yet".to_owned()))
        });
        let gauge = |(spec, _): &(GaugeSpec, String)| {
            let known = self.gauges.iter().find(|known| known.name == spec.name);
            known.filter(|_| self.served == wanted.served).cloned().unwrap_or_else(|| spec.not_yet())
        };
        let gauges = wanted.gauges.iter().filter(|_| wanted.served.is_some()).map(gauge).collect();
        Beside { memory, gauges }
    }
}

/// Bounds on the time between two looks.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Looks again and again; until dropped. Whoever counts does not wait for it: a slow query of the user's own must not delay a rollback.
pub(super) async fn look(
    source: Arc<HttpSource>,
    inputs: watch::Receiver<Wanted>,
    looked: watch::Sender<Looked>,
    logs: Arc<LogWatch>,
    metrics: Metrics,
) {
    let mut reader =
        BesideReader { source, memory: None, gauges: Vec::new(), asked: None, gil_asked: i64::MIN };
    loop {
        let wanted = inputs.borrow().clone();
        let now = Timestamp::now().as_millisecond();
        reader.read_gil(&wanted, &logs, now).await;
        reader.read_memory(&wanted, &metrics, now).await;
        reader.read_gauges(&wanted, now).await;
        looked.send_replace(Looked {
            key: Some(wanted.key),
            memory: reader.memory.as_ref().map(MemoryWatch::found),
            served: wanted.beside.served,
            gauges: reader.gauges.clone(),
        });
        let pause = Duration::from_millis(u64::try_from(wanted.spec.cell_ms / 4).unwrap_or_default());
        tokio::time::sleep(pause.clamp(LOOK_EVERY.0, LOOK_EVERY.1)).await;
    }
}

/// Watches one rollout.
struct BesideReader {
    source: Arc<HttpSource>,
    memory: Option<MemoryWatch>,
    gauges: Vec<GaugeFinding>,
    /// Since when the weight had been served and at which time the gauges were asked last, ms since the epoch.
    asked: Option<(i64, i64)>,
    /// When the GIL was asked for last, ms since the epoch.
    gil_asked: i64,
}

/// The memory of one attempt. All of it follows from the samples: after a restart they are read again from the attempt's start.
struct MemoryWatch {
    key: AttemptKey,
    reader: MemoryReader,
    gauge: Selector,
    memory: Memory,
    asked: i64,
    more: bool,
    problem: Option<String>,
}

impl BesideReader {
    /// A gauge that says that the GIL is on is a signal like the log's line. One that is not exported, or cannot be read, says nothing.
    async fn read_gil(&mut self, wanted: &Wanted, logs: &LogWatch, now: i64) {
        let scrape = wanted.spec.cell_ms.max(1);
        if (self.gil_asked..self.gil_asked.saturating_add(scrape / 2)).contains(&now) {
            return;
        }
        self.gil_asked = now;
        let ours = wanted.pods.iter().filter(|pod| pod.pool == Pool::FreeThreaded);
        let ours: Vec<String> = ours.map(|pod| pod.name.clone()).collect();
        match self.source.gil_enabled(&wanted.scope, &ours, scrape, now).await {
            Ok(found) => {
                let (namespace, name) = wanted.rollout.clone();
                let rollout = RolloutRef { namespace, name, uid: wanted.scope.rollout.clone() };
                for (pod, module) in found {
                    let at = Timestamp::from_millisecond(now).unwrap_or_default();
                    logs.heard(&rollout, &pod, at, LogSignalKind::GilGauge { module });
                }
            }
            Err(problem) => tracing::debug!(%problem, "python_gil_enabled not read"),
        }
    }

    async fn read_memory(&mut self, wanted: &Wanted, metrics: &Metrics, now: i64) {
        let Wanted { scope, key, pods, beside, .. } = wanted;
        let (key, cell) = (*key, wanted.spec.cell_ms);
        let Some((gauge, spec)) = &beside.memory else {
            self.memory = None;
            return;
        };
        let same =
            |watch: &MemoryWatch| watch.key == key && watch.gauge == *gauge && watch.memory.spec() == spec;
        let watch = match self.memory.take().filter(same) {
            Some(watch) => watch,
            None => MemoryWatch {
                key,
                reader: MemoryReader::new(self.source.clone()),
                gauge: gauge.clone(),
                memory: Memory::new(spec.clone()),
                asked: i64::MIN,
                more: true,
                problem: None,
            },
        };
        let watch = self.memory.insert(watch);
        let every = MEMORY_EVERY_MS.min(spec.interval / 2);
        if !watch.more && (watch.asked..watch.asked.saturating_add(every)).contains(&now) {
            return;
        }
        watch.asked = now;
        match watch.reader.read(scope, gauge, pods, cell, key.since, now).await {
            Ok((samples, more)) => {
                watch.memory.feed(now, &samples, &beside.changes);
                (watch.more, watch.problem) = (more, None);
            }
            Err(problem) => {
                metrics.query_failed(if problem.is_outage() { "outage" } else { "answer" });
                (watch.more, watch.problem) = (false, Some(advice(&problem)));
            }
        }
    }

    async fn read_gauges(&mut self, wanted: &Wanted, now: i64) {
        let Wanted { scope, pods, beside, .. } = wanted;
        let Some(served) = beside.served.filter(|_| !beside.gauges.is_empty()) else {
            self.gauges.clear();
            return;
        };
        let fresh = |(of, at): (i64, i64)| of == served && (at..at + wanted.spec.cell_ms).contains(&now);
        if self.asked.is_some_and(fresh) {
            return;
        }
        let each = beside.gauges.iter().map(|(spec, query)| async {
            let values = self.source.gauge(scope, spec, query, pods, now).await;
            // What it was before the pool had traffic says nothing of the pool.
            let values = values.map(|mut points| {
                points.retain(|point| point.at >= served);
                points
            });
            let early = values.as_ref().is_ok_and(Vec::is_empty) && now - served <= 3 * spec.every;
            if early { spec.not_yet() } else { spec.judge(&values, now) }
        });
        self.gauges = join_all(each).await;
        self.asked = Some((served, now));
    }
}

impl MemoryWatch {
    fn found(&self) -> Result<MemoryFinding, String> {
        let finding = self.memory.finding();
        match &self.problem {
            Some(problem) if !finding.leaks => Err(problem.clone()),
            _ => Ok(finding),
        }
    }
}

/// The problem, and what helps where the gauge is missing.
fn advice(problem: &QueryProblem) -> String {
    match problem {
        QueryProblem::Empty { query, .. } if query.contains("process_resident_memory_bytes") => format!(
            "{problem}. prometheus_client exports no memory in its multiprocess mode: measure it from outside, with memory.metric: \
             {{name: container_memory_working_set_bytes}}"
        ),
        _ => problem.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::GaugeVerdict;

    #[test]
    fn what_was_not_looked_at_yet_is_no_good_news() {
        let spec =
            GaugeSpec { name: "queue".into(), min: None, max: Some(1.0), lasting: 60_000, every: 15_000 };
        let memory = MemorySpec { tolerate: 1.0, interval: 120_000, settle: 0, alpha: 0.001 };
        let gauge = Selector { name: "process_resident_memory_bytes".into(), matchers: vec![] };
        let wanted = |served| BesideWanted {
            memory: Some((gauge.clone(), memory.clone())),
            gauges: vec![(spec.clone(), String::new())],
            changes: vec![],
            served,
        };
        let key = AttemptKey { attempt: 1, since: 0 };
        let nothing = Looked::default().found(&wanted(Some(5)), key);
        assert_eq!(nothing.gauges, [spec.not_yet()]);
        assert_eq!(nothing.memory, Some(Err("not asked yet".into())));
        assert!(
            Looked::default().found(&wanted(None), key).gauges.is_empty(),
            "without traffic nothing is asked"
        );
        let finding = MemoryFinding { leaks: false, sentence: "memory".into() };
        let inside =
            GaugeFinding { name: "queue".into(), verdict: GaugeVerdict::Inside, sentence: String::new() };
        let looked = Looked {
            key: Some(key),
            memory: Some(Ok(finding.clone())),
            served: Some(5),
            gauges: vec![inside.clone()],
        };
        let known = looked.found(&wanted(Some(5)), key);
        assert_eq!((known.gauges, known.memory), (vec![inside], Some(Ok(finding))));
        let later = looked.found(&wanted(Some(9)), AttemptKey { attempt: 2, since: 0 });
        assert_eq!((later.gauges, later.memory), (vec![spec.not_yet()], Some(Err("not asked yet".into()))));
    }
}
