//! What is watched beside the counts: the growth of memory, and gauges of the user's own. After everything that a rollback by the counts
//! could wait for, and told with the next finding.

use std::sync::Arc;

use super::Metrics;
use crate::{
    api::{Analysis, AttemptStatus},
    judge::{AttemptSpec, Beside, GaugeFinding, GaugeSpec, Memory, MemoryFinding, MemorySpec, WeightChange},
    observe::{
        presets,
        prometheus::{
            AttemptKey, HttpSource, MemoryReader, PodTarget, QueryProblem, Scope, promql::Selector,
        },
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

/// Watches one rollout.
pub(super) struct BesideReader {
    source: Arc<HttpSource>,
    memory: Option<MemoryWatch>,
    gauges: Vec<GaugeFinding>,
    gauges_asked: i64,
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
    pub(super) fn new(source: Arc<HttpSource>) -> Self {
        Self { source, memory: None, gauges: Vec::new(), gauges_asked: i64::MIN }
    }

    /// What was found at the last look.
    pub(super) fn found(&self, wanted: &BesideWanted, key: AttemptKey) -> Beside {
        let watch = self.memory.as_ref().filter(|watch| watch.key == key);
        let memory = watch.filter(|_| wanted.memory.is_some()).map(MemoryWatch::found);
        let asked_for = |gauge: &&GaugeFinding| wanted.gauges.iter().any(|(spec, _)| spec.name == gauge.name);
        Beside { memory, gauges: self.gauges.iter().filter(asked_for).cloned().collect() }
    }

    /// Looks, where it is time. `cell` is the scrape interval, ms.
    pub(super) async fn read(
        &mut self,
        wanted: &BesideWanted,
        scope: &Scope,
        key: AttemptKey,
        pods: &[PodTarget],
        metrics: &Metrics,
        (cell, now): (i64, i64),
    ) {
        self.read_memory(wanted, scope, key, pods, metrics, (cell, now)).await;
        self.read_gauges(wanted, scope, pods, (cell, now)).await;
    }

    async fn read_memory(
        &mut self,
        wanted: &BesideWanted,
        scope: &Scope,
        key: AttemptKey,
        pods: &[PodTarget],
        metrics: &Metrics,
        (cell, now): (i64, i64),
    ) {
        let Some((gauge, spec)) = &wanted.memory else {
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
                watch.memory.feed(now, &samples, &wanted.changes);
                (watch.more, watch.problem) = (more, None);
            }
            Err(problem) => {
                metrics.query_failed(if problem.is_outage() { "outage" } else { "answer" });
                (watch.more, watch.problem) = (false, Some(advice(&problem)));
            }
        }
    }

    async fn read_gauges(
        &mut self,
        wanted: &BesideWanted,
        scope: &Scope,
        pods: &[PodTarget],
        (cell, now): (i64, i64),
    ) {
        let Some(served) = wanted.served.filter(|_| !wanted.gauges.is_empty()) else {
            self.gauges.clear();
            return;
        };
        if (self.gauges_asked..self.gauges_asked.saturating_add(cell)).contains(&now) {
            return;
        }
        self.gauges_asked = now;
        let mut found = Vec::new();
        for (spec, query) in &wanted.gauges {
            let values = self.source.gauge(scope, spec, query, pods, now).await;
            // What it was before the pool had traffic says nothing of the pool.
            let values = values.map(|mut points| {
                points.retain(|point| point.at >= served);
                points
            });
            // Of a weight that is served since a moment ago there is no value yet.
            if values.as_ref().is_ok_and(Vec::is_empty) && now - served <= 3 * spec.every {
                continue;
            }
            found.push(spec.judge(&values, now));
        }
        self.gauges = found;
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
