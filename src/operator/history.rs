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
            AttemptKey, MetricSource, PodTarget, QueryProblem, Reader, Reading, Scope, Survey, TAIL, Window,
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
    pub(super) fn new(source: Arc<dyn MetricSource>) -> Self {
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
            // Restarts have no history to learn from.
            let read = spec.metrics.iter().filter(|metric| metric.kind != MetricKind::Restarts);
            self.metrics = read.map(empty).collect();
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
        let caught_up = reading.caught_up();
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
    let problems = reading.metrics.values().filter_map(|reading| reading.samples.as_ref().err());
    problems.filter(|problem| !matches!(problem, QueryProblem::Empty { .. })).max_by_key(|p| p.is_outage())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::{FutureExt as _, future::BoxFuture};

    use super::*;
    use crate::{
        api::{Analysis, TargetLabels},
        observe::prometheus::{Point, RawSeries, Shape, promql::Selector},
    };

    const START: i64 = 1_800_000_000_000;
    const SCRAPE: i64 = 15_000;

    /// Four standard pods with 10 requests a second each, 1 % of them failed; `down` answers are none.
    #[derive(Default)]
    struct Hour {
        down: AtomicUsize,
        too_large: bool,
    }

    impl MetricSource for Hour {
        fn samples<'a>(
            &'a self,
            scope: &'a Scope,
            selector: &'a Selector,
            pods: &'a [String],
            window: Window,
        ) -> BoxFuture<'a, Result<Vec<RawSeries>, QueryProblem>> {
            let (profile, query) = (scope.profile.clone(), selector.name.clone());
            let down = self.down.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            let answer = if down.is_ok() {
                Err(QueryProblem::Timeout { profile, query, within: 1 })
            } else if self.too_large {
                Err(QueryProblem::TooLarge { profile, query, what: "all".into(), advice: "less".into() })
            } else {
                let failed = selector.matchers.iter().any(|matcher| matcher.value == "5..");
                let rates: &[(&str, f64)] = match selector.name.as_str() {
                    "http_requests_total" if failed => &[("5xx", 0.1)],
                    "http_requests_total" => &[("2xx", 9.9), ("5xx", 0.1)],
                    _ => &[],
                };
                let series = |pod: &String, (status, rate): &(&str, f64)| RawSeries {
                    labels: [("pod", pod.as_str()), ("instance", pod), ("status", status)]
                        .map(|(name, value)| (name.to_owned(), value.to_owned()))
                        .into(),
                    points: (window.from.div_euclid(SCRAPE)..=window.to.div_euclid(SCRAPE))
                        .map(|i| i * SCRAPE)
                        .filter(|at| (window.from..=window.to).contains(at))
                        .map(|at| Point { at, value: rate * (at - START + 7_200_000) as f64 / 1000.0 })
                        .collect(),
                };
                Ok(pods.iter().flat_map(|pod| rates.iter().map(move |rate| series(pod, rate))).collect())
            };
            async move { answer }.boxed()
        }

        fn values<'a>(
            &'a self,
            _: &'a Scope,
            _: &'a Selector,
            _: &'a [String],
            _: &'a str,
            _: i64,
        ) -> BoxFuture<'a, Result<Vec<String>, QueryProblem>> {
            async { Ok(Vec::new()) }.boxed()
        }

        fn histograms<'a>(
            &'a self,
            _: &'a Scope,
            _: &'a Selector,
            _: &'a [String],
            _: Window,
            _: &'a [f64],
        ) -> BoxFuture<'a, Result<Vec<RawSeries>, QueryProblem>> {
            async { Ok(Vec::new()) }.boxed()
        }

        fn shape<'a>(
            &'a self,
            _: &'a Scope,
            _: &'a Selector,
            _: &'a [String],
            _: Window,
            _: f64,
        ) -> BoxFuture<'a, Result<Shape, QueryProblem>> {
            async { Ok(Shape::default()) }.boxed()
        }
    }

    /// What is known after so many rounds.
    async fn learnt(source: Hour, rounds: usize) -> Vec<History> {
        let analysis = serde_json::json!({"preset": "fastapi-instrumentator", "errorRate": {"max": "1%"}, "restarts": {}});
        let analysis: Analysis = serde_json::from_value(analysis).unwrap();
        let spec = AttemptSpec::of(&analysis, SCRAPE, START);
        let plan = MetricPlan::of(&analysis).unwrap();
        let scope = Scope {
            profile: "default".into(),
            rollout: "r".into(),
            namespace: "shop".into(),
            labels: TargetLabels::default(),
        };
        let pod =
            |(name, pool): (&str, Pool)| PodTarget { name: name.into(), pool, started: 0, counted_from: 0 };
        let pods: Vec<PodTarget> = ["a", "b", "c", "d"]
            .map(|name| (name, Pool::Standard))
            .into_iter()
            .chain([("ours", Pool::FreeThreaded)])
            .map(pod)
            .collect();
        let key = AttemptKey { attempt: 1, since: START };
        let mut reader = HistoryReader::new(Arc::new(source));
        for _ in 0..rounds {
            reader.read(&scope, key, &plan, &pods, &spec, &Metrics::default()).await;
        }
        assert!(
            reader.of(AttemptKey { attempt: 2, since: START }).is_empty(),
            "of another attempt nothing is known"
        );
        reader.of(key)
    }

    #[tokio::test]
    async fn an_hour_of_the_standard_pool_is_learnt_and_restarts_have_none() {
        let known = learnt(Hour::default(), 2).await;
        assert_eq!(known.iter().map(|known| known.metric.as_str()).collect::<Vec<_>>(), ["errors"]);
        let baseline = known[0].baseline;
        assert!(baseline.learnt, "{}", known[0].source());
        assert!((baseline.per_second - 40.0).abs() < 0.5, "the standard pool alone: {}", baseline.per_second);
        assert!((baseline.bad - 0.01).abs() < 1e-6 && baseline.pods == 4, "{baseline:?}");
    }

    #[tokio::test]
    async fn an_outage_is_waited_out_and_what_cannot_be_read_is_assumed() {
        let down = |times| Hour { down: AtomicUsize::new(times), ..Hour::default() };
        assert!(learnt(down(50), 5).await.is_empty(), "nothing is concluded from an outage");
        assert!(learnt(down(9), 20).await[0].baseline.learnt);
        let refused = Hour { too_large: true, ..Hour::default() };
        let known = learnt(refused, 3).await;
        assert!(
            !known[0].baseline.learnt && known[0].source().contains("could not be read: Prometheus"),
            "{}",
            known[0].source()
        );
    }
}
