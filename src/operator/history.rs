//! What the standard pool was like in the hour before an attempt, read once from Prometheus.

use std::sync::Arc;

use super::{Metrics, evidence::samples};
use crate::{
    judge::{
        AttemptSpec, Baseline, Boundaries, Cell, Grid, History, MetricKind, MetricSamples, MetricSpec, Pool,
        Weights,
    },
    observe::{
        presets::MetricPlan,
        prometheus::{
            AttemptKey, HttpSource, PodTarget, QueryProblem, Reader, Reading, Scope, Survey, TAIL, Window,
        },
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
    metrics: Vec<Past>,
    /// The latency histogram has been looked at.
    surveyed: bool,
    /// Its boundaries, if there is one.
    survey: Option<Survey>,
    failed: u32,
    learnt: Vec<History>,
}

/// One metric's cells.
struct Past {
    name: String,
    kind: MetricKind,
    grid: Grid,
    cells: Vec<Cell>,
}

impl HistoryReader {
    pub(super) fn new(source: Arc<HttpSource>) -> Self {
        Self {
            reader: Reader::new(source),
            key: None,
            metrics: Vec::new(),
            surveyed: false,
            survey: None,
            failed: 0,
            learnt: Vec::new(),
        }
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
            let empty = |metric: &MetricSpec| Past {
                name: metric.name.clone(),
                kind: metric.kind,
                grid: Grid::new(spec.cell_ms, since),
                cells: Vec::new(),
            };
            self.metrics = spec.metrics.iter().map(empty).collect();
            (self.key, self.failed, self.surveyed, self.survey) = (Some(key), 0, false, None);
            self.learnt.clear();
            self.reader.forget(&scope.rollout);
        }
        if !self.learnt.is_empty() {
            return;
        }
        let standard: Vec<_> = pods.iter().filter(|pod| pod.pool == Pool::Standard).cloned().collect();
        let window = Window { from: since, to: spec.started };
        let Some(plan) = self.survey(scope, plan, &standard, spec.cell_ms, window).await else { return };
        let past = AttemptKey { since, ..key };
        let reading = self.reader.read(scope, past, &plan, &standard, spec.cell_ms, spec.started).await;
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

    /// The plan with the boundaries that are worth a comparison. `None`: Prometheus is to be asked again.
    async fn survey(
        &mut self,
        scope: &Scope,
        plan: &MetricPlan,
        standard: &[PodTarget],
        scrape: i64,
        window: Window,
    ) -> Option<MetricPlan> {
        let mut plan = plan.clone();
        let Some(latency) = &mut plan.latency else { return Some(plan) };
        if !self.surveyed {
            let names: Vec<String> = standard.iter().map(|pod| pod.name.clone()).collect();
            self.survey = match self.reader.survey(scope, latency, &names, scrape, window).await {
                Ok(survey) => survey,
                Err(problem) if problem.is_outage() => return None,
                // The threshold alone is compared, as it was found.
                Err(_) => None,
            };
            self.surveyed = true;
        }
        latency.chosen = self.survey.as_ref().map(|survey| survey.chosen.clone());
        Some(plan)
    }

    fn take(&mut self, read: &MetricSamples, until: i64) {
        let metric = self.metrics.iter_mut().find(|metric| metric.name == read.name);
        let Some(Past { grid, cells, .. }) = metric else { return };
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
        let survey = self.survey.take();
        let history = |Past { name, kind, cells, .. }: Past| {
            let cells = if problem.is_some() { Vec::new() } else { cells };
            let survey = survey.as_ref().filter(|_| kind == MetricKind::Latency);
            History {
                metric: name,
                baseline: Baseline::of(&cells),
                problem: problem.map(str::to_owned),
                boundaries: survey.map(|survey| boundaries(survey, &cells)),
            }
        };
        all.map(history).collect()
    }
}

/// The boundaries that are compared: those with a tail in this very history, of which is known how bursty their counts are. A common
/// tail shows every difference between two pods, so that assumed noise would raise false alarms there.
fn boundaries(survey: &Survey, cells: &[Cell]) -> Boundaries {
    let learnt = |(i, over): (usize, &f64)| {
        let baseline = Baseline::at(cells, i + 1);
        (baseline.learnt && TAIL.contains(&baseline.bad)).then_some((*over, baseline))
    };
    Boundaries {
        slow_over: survey.chosen.slow_over,
        others: survey.chosen.others.iter().enumerate().filter_map(learnt).collect(),
        resolution: survey.resolution.clone(),
    }
}

/// Why nothing can be learnt from a reading. No samples at all is an answer: there is nothing to learn from.
fn problem(reading: &Reading) -> Option<&QueryProblem> {
    let each = [&reading.errors, &reading.latency].into_iter().flatten();
    let problems = each.filter_map(|reading| reading.samples.as_ref().err());
    problems.filter(|problem| !matches!(problem, QueryProblem::Empty { .. })).max_by_key(|p| p.is_outage())
}
