//! What the standard pool was like in the hour before an attempt, read once from Prometheus.

use std::sync::Arc;

use super::{Metrics, evidence::samples};
use crate::{
    judge::{AttemptSpec, Baseline, Cell, Grid, History, MetricSamples, Pool, Weights},
    observe::{
        presets::MetricPlan,
        prometheus::{AttemptKey, HttpSource, PodTarget, QueryProblem, Reader, Reading, Scope},
    },
};

/// How far back is looked.
const LOOK_BACK_MS: i64 = 3_600_000;

/// Cells are kept by the minute: finer is asked by nobody, and an hour of a large pool stays small.
const MINUTE_MS: i64 = 60_000;

/// Fruitless tries after which the noise is assumed. An outage is none: while it lasts nothing rises anyway.
const TRIES: u32 = 3;

/// Reads the history of one attempt after the other.
pub(super) struct HistoryReader {
    reader: Reader,
    /// The attempt that is being read.
    key: Option<AttemptKey>,
    metrics: Vec<(String, Grid, Vec<Cell>)>,
    failed: u32,
    learnt: Vec<History>,
}

impl HistoryReader {
    pub(super) fn new(source: Arc<HttpSource>) -> Self {
        Self { reader: Reader::new(source), key: None, metrics: Vec::new(), failed: 0, learnt: Vec::new() }
    }

    /// What was learnt for this attempt; empty until it is read.
    pub(super) fn of(&self, key: AttemptKey) -> Vec<History> {
        if self.key == Some(key) { self.learnt.clone() } else { Vec::new() }
    }

    /// The next piece, if this attempt's history is not read yet.
    pub(super) async fn read(
        &mut self,
        scope: &Scope,
        key: AttemptKey,
        plan: &MetricPlan,
        pods: &[PodTarget],
        spec: &AttemptSpec,
        metrics: &Metrics,
    ) {
        let since = spec.started.saturating_sub(LOOK_BACK_MS);
        if self.key != Some(key) {
            let empty = |name: &str| (name.to_owned(), Grid::new(spec.cell_ms, since), Vec::new());
            self.metrics = spec.metrics.iter().map(|metric| empty(&metric.name)).collect();
            (self.key, self.failed) = (Some(key), 0);
            self.learnt.clear();
            self.reader.forget(&scope.rollout);
        }
        if !self.learnt.is_empty() {
            return;
        }
        let standard: Vec<_> = pods.iter().filter(|pod| pod.pool == Pool::Standard).cloned().collect();
        let past = AttemptKey { since, ..key };
        let reading = self.reader.read(scope, past, plan, &standard, spec.cell_ms, spec.started).await;
        let caught_up = [&reading.errors, &reading.latency].into_iter().flatten().all(|r| r.caught_up);
        if let Some(problem) = problem(&reading) {
            self.failed += u32::from(!problem.is_outage());
            if self.failed >= TRIES {
                self.learnt = self.end(Some(&problem.to_string()));
            }
            return;
        }
        for read in samples(reading, metrics) {
            self.take(&read, spec.started);
        }
        if caught_up {
            self.learnt = self.end(None);
        }
    }

    fn take(&mut self, read: &MetricSamples, until: i64) {
        let metric = self.metrics.iter_mut().find(|(name, ..)| *name == read.name);
        let Some((_, grid, cells)) = metric else { return };
        for cell in grid.feed(until, &read.pods, &Weights::new(), |_, _| {}) {
            match cells.last_mut() {
                Some(last) if last.start.div_euclid(MINUTE_MS) == cell.start.div_euclid(MINUTE_MS) => {
                    last.absorb(cell);
                }
                _ => cells.push(cell),
            }
        }
    }

    fn end(&mut self, problem: Option<&str>) -> Vec<History> {
        let all = std::mem::take(&mut self.metrics).into_iter();
        let history = |(metric, _, cells): (String, Grid, Vec<Cell>)| History {
            metric,
            baseline: Baseline::of(if problem.is_some() { &[] } else { &cells }),
            problem: problem.map(str::to_owned),
        };
        all.map(history).collect()
    }
}

/// Why nothing can be learnt from a reading. No samples at all is an answer: there is nothing to learn from.
fn problem(reading: &Reading) -> Option<&QueryProblem> {
    let each = [&reading.errors, &reading.latency].into_iter().flatten();
    let problems = each.filter_map(|reading| reading.samples.as_ref().err());
    problems.filter(|problem| !matches!(problem, QueryProblem::Empty { .. })).max_by_key(|p| p.is_outage())
}
