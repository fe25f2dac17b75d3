//! What is read in each pass of a rollout: only what is new, and bounded, however long the attempt has lasted.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::future::join_all;

use super::{
    Boundary, MetricSource, PodSamples, Pool, QueryProblem, RawSeries, Scope, Window,
    convert::{RawFailures, error_samples, is_infinite, latency_samples, same},
    problem::shown,
    promql::Selector,
};
use crate::observe::presets::{CountPlan, Failures, LATENCY, LatencyPlan, MetricPlan};

/// Longest stretch that one pass reads. A longer one is read in as many passes, so that memory does not grow with an attempt.
pub(super) const LONGEST_READ_MS: i64 = 3_600_000;
/// Most rollouts whose place is remembered.
const MAX_ROLLOUTS: usize = 10_000;

/// A pod that is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodTarget {
    /// Its name.
    pub name: String,
    /// Its pool.
    pub pool: Pool,
    /// When it started, in milliseconds since the epoch.
    pub started: i64,
    /// From when on it counts.
    pub counted_from: i64,
}

/// One attempt of one rollout. A change of either time reads from its start again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptKey {
    /// Number of the attempt.
    pub attempt: i32,
    /// Its start, in milliseconds since the epoch.
    pub since: i64,
}

/// What one pass read, by the judge's name of the metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// One entry per metric of the plan.
    pub metrics: BTreeMap<String, MetricReading>,
}

impl Reading {
    /// Of all metrics everything up to now has been read that there is to read.
    pub fn caught_up(&self) -> bool {
        self.metrics.values().all(|metric| metric.caught_up)
    }
}

/// What one pass read of one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricReading {
    /// Everything up to here has been asked for. The judge's clock for this metric.
    pub until: i64,
    /// Whether that is now. If not, the next pass goes on from there and should follow at once.
    pub caught_up: bool,
    /// One entry per pod, or why there is none. The windows of two passes overlap.
    pub samples: Result<Vec<PodSamples>, QueryProblem>,
    /// Latency: the boundary that stands for the threshold.
    pub boundary: Option<Boundary>,
}

impl MetricReading {
    /// Prometheus said what there is. An empty answer is an answer.
    pub fn is_answered(&self) -> bool {
        matches!(self.samples, Ok(_) | Err(QueryProblem::Empty { .. }))
    }
}

#[derive(Debug, Clone)]
struct Cursor {
    key: AttemptKey,
    plan: MetricPlan,
    /// How far each metric was read, ms since the epoch.
    read: BTreeMap<String, i64>,
    boundary: Option<Boundary>,
}

/// Remembers per rollout how far it has read.
pub struct Reader {
    pub(super) source: Arc<dyn MetricSource>,
    cursors: Mutex<BTreeMap<String, Cursor>>,
}

/// Everything about a pass that all metrics share.
pub(super) struct Pass<'a> {
    pub(super) scope: &'a Scope,
    pub(super) pods: &'a [PodTarget],
    pub(super) names: Vec<String>,
    overlap: i64,
    since: i64,
    now: i64,
}

impl Pass<'_> {
    /// From where on and how far a metric is read that was read up to `last`.
    fn window(&self, last: Option<i64>) -> Window {
        // A clock that was set back reads the last stretch again, never the future.
        let from = last.unwrap_or(self.since).min(self.now);
        let to = self.now.min(from.saturating_add(LONGEST_READ_MS));
        Window { from: from.saturating_sub(self.overlap), to }
    }
}

impl Reader {
    /// Reads from this source.
    pub fn new(source: Arc<dyn MetricSource>) -> Self {
        Self { source, cursors: Mutex::default() }
    }

    /// Forgets a rollout: it is gone, or its attempt is to be read from the start again.
    pub fn forget(&self, rollout: &str) {
        self.cursors().remove(rollout);
    }

    /// Goes on from `until` (ms since the epoch): everything before is known from elsewhere.
    pub fn resume(&self, rollout: &str, key: AttemptKey, plan: &MetricPlan, until: i64) {
        let read = plan.metrics().map(|metric| (metric.to_owned(), until)).collect();
        self.keep(rollout, Cursor { key, plan: plan.clone(), read, boundary: None });
    }

    /// Everything new of all metrics of the plan. Times are in milliseconds since the epoch, `scrape` is the scrape interval.
    pub async fn read(
        &self,
        scope: &Scope,
        key: AttemptKey,
        plan: &MetricPlan,
        pods: &[PodTarget],
        scrape: i64,
        now: i64,
    ) -> Reading {
        let mut cursor = self.cursor(&scope.rollout, key, plan);
        let names = pods.iter().map(|pod| pod.name.clone()).collect();
        let overlap = scrape.max(1).saturating_mul(2).saturating_add(1000);
        let pass = Pass { scope, pods, names, overlap, since: key.since, now };
        let window = |metric: &str| pass.window(cursor.read.get(metric).copied());
        let counted: Vec<(&CountPlan, Window)> =
            plan.counts.iter().map(|counted| (counted, window(&counted.metric))).collect();
        let of_latency = window(LATENCY);
        // All metrics take the starts of processes from one answer.
        let all =
            plan.metrics().map(window).reduce(|a, b| Window { from: a.from.min(b.from), to: a.to.max(b.to) });
        // Counters first, what explains them second: a scrape in between must not show a new process or failures of requests that are
        // not counted yet.
        let (requests, buckets) = futures::join!(
            join_all(counted.iter().map(|(plan, window)| self.counters(&pass, &plan.requests, *window))),
            async {
                match &plan.latency {
                    Some(plan) => Some(self.buckets(&pass, plan, &mut cursor.boundary, of_latency).await),
                    None => None,
                }
            },
        );
        let failures = counted.iter().zip(&requests).map(|((plan, window), requests)| {
            let pass = &pass;
            async move {
                if requests.is_err() {
                    return Ok(RawFailures::Among(Vec::new()));
                }
                self.failures(pass, plan, *window).await
            }
        });
        let (starts, failures) = futures::join!(
            async {
                match all {
                    Some(all) => self.starts(&pass, all).await,
                    None => Ok(Vec::new()),
                }
            },
            join_all(failures)
        );
        let labels = &scope.labels;
        let mut metrics = BTreeMap::new();
        for (((plan, window), requests), failures) in counted.into_iter().zip(requests).zip(failures) {
            let samples = requests.and_then(|requests| Ok((requests, failures?)));
            let samples = samples.map_err(|problem| explain(problem, &starts));
            let samples = samples.and_then(|(requests, failures)| {
                let starts = starts.as_ref().map_err(Clone::clone)?;
                Ok(error_samples(requests, failures, starts, pods, labels))
            });
            metrics.insert(plan.metric.clone(), reading(samples, window, now, None));
        }
        if let Some(buckets) = buckets {
            let mut used = None;
            let samples =
                buckets.map_err(|problem| explain(problem, &starts)).and_then(|(buckets, boundary)| {
                    let starts = starts.as_ref().map_err(Clone::clone)?;
                    let samples = latency_samples(buckets, &boundary, starts, pods, labels);
                    used = Some(boundary);
                    Ok(samples)
                });
            metrics.insert(LATENCY.to_owned(), reading(samples, of_latency, now, used));
        }
        // A metric of which nothing was learnt is asked for again from where it was.
        let learnt = metrics.iter().filter(|(_, metric)| metric.is_answered());
        cursor.read.extend(learnt.map(|(name, metric)| (name.clone(), metric.until)));
        self.keep(&scope.rollout, cursor);
        Reading { metrics }
    }

    async fn starts(&self, pass: &Pass<'_>, window: Window) -> Result<Vec<RawSeries>, QueryProblem> {
        let selector = Selector { name: "process_start_time_seconds".into(), matchers: Vec::new() };
        self.samples(pass, &selector, window).await
    }

    async fn samples(
        &self,
        pass: &Pass<'_>,
        selector: &Selector,
        window: Window,
    ) -> Result<Vec<RawSeries>, QueryProblem> {
        if pass.names.is_empty() {
            return Ok(Vec::new());
        }
        self.source.samples(pass.scope, selector, &pass.names, window).await
    }

    async fn counters(
        &self,
        pass: &Pass<'_>,
        selector: &Selector,
        window: Window,
    ) -> Result<Vec<RawSeries>, QueryProblem> {
        let series = self.samples(pass, selector, window).await?;
        if series.is_empty() && !pass.names.is_empty() { Err(empty(pass, selector)) } else { Ok(series) }
    }

    async fn failures(
        &self,
        pass: &Pass<'_>,
        plan: &CountPlan,
        window: Window,
    ) -> Result<RawFailures, QueryProblem> {
        Ok(match &plan.failures {
            Failures::Among(selector) => RawFailures::Among(self.samples(pass, selector, window).await?),
            Failures::Apart(selector) if plan.must_exist => {
                RawFailures::Apart(self.counters(pass, selector, window).await?)
            }
            Failures::Apart(selector) => RawFailures::Apart(self.samples(pass, selector, window).await?),
        })
    }

    async fn buckets(
        &self,
        pass: &Pass<'_>,
        plan: &LatencyPlan,
        frozen: &mut Option<Boundary>,
        window: Window,
    ) -> Result<(Vec<RawSeries>, Boundary), QueryProblem> {
        let chosen = match frozen {
            Some(boundary) => boundary.clone(),
            None => self.choose(pass, plan, frozen, window.to).await?,
        };
        if chosen.native {
            return Ok((self.native(pass, plan, &chosen, window).await?, chosen));
        }
        let others = chosen.others.iter().flat_map(|other| &other.le).cloned();
        let le: Vec<String> = chosen.le.iter().cloned().chain(others).chain(["+Inf".into()]).collect();
        Ok((self.counters(pass, &plan.buckets.with_one_of("le", &le), window).await?, chosen))
    }

    /// A native histogram's samples as buckets.
    async fn native(
        &self,
        pass: &Pass<'_>,
        plan: &LatencyPlan,
        boundary: &Boundary,
        window: Window,
    ) -> Result<Vec<RawSeries>, QueryProblem> {
        let histogram = plan.buckets.native();
        let edges: Vec<f64> =
            [boundary.bucket].into_iter().chain(boundary.others.iter().map(|other| other.at)).collect();
        let series = if pass.names.is_empty() {
            Vec::new()
        } else {
            self.source.histograms(pass.scope, &histogram, &pass.names, window, &edges).await?
        };
        if series.is_empty() && !pass.names.is_empty() {
            return Err(empty(pass, &histogram));
        }
        // Where no sample of a pool can tell any more what is slow, that is the reason, and not that there are no samples.
        for pool in [Pool::Standard, Pool::FreeThreaded] {
            let of_pool = |series: &&RawSeries| {
                let pod = series.labels.get(&pass.scope.labels.pod);
                pass.pods.iter().any(|known| known.pool == pool && Some(&known.name) == pod)
            };
            let last = |wanted: &dyn Fn(&str) -> bool| {
                let found = series.iter().filter(of_pool);
                let found = found.filter(|s| s.labels.get("le").is_some_and(|le| wanted(le)));
                found.filter_map(|s| s.points.last()).map(|point| point.at).max()
            };
            let slow = |le: &str| le.parse().is_ok_and(|at: f64| same(at, boundary.bucket));
            if last(&is_infinite) > last(&slow) {
                return Err(QueryProblem::LostBucket {
                    query: histogram.name,
                    wanted: boundary.bucket,
                    known: "wider ones, as the resolution of the native histogram was reduced".into(),
                });
            }
        }
        Ok(series)
    }

    fn cursors(&self) -> MutexGuard<'_, BTreeMap<String, Cursor>> {
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cursor(&self, rollout: &str, key: AttemptKey, plan: &MetricPlan) -> Cursor {
        let known = self.cursors().get(rollout).filter(|c| c.key == key && c.plan == *plan).cloned();
        known.unwrap_or_else(|| Cursor { key, plan: plan.clone(), read: BTreeMap::new(), boundary: None })
    }

    fn keep(&self, rollout: &str, cursor: Cursor) {
        let mut cursors = self.cursors();
        if cursors.len() < MAX_ROLLOUTS || cursors.contains_key(rollout) {
            cursors.insert(rollout.to_owned(), cursor);
        }
    }
}

pub(super) fn empty(pass: &Pass<'_>, selector: &Selector) -> QueryProblem {
    let query = selector.render(&pass.scope.labels, &pass.scope.namespace, &pass.names);
    QueryProblem::Empty { profile: pass.scope.profile.clone(), query: shown(query), scraped: false }
}

/// An empty answer says more when it is known whether the pods are scraped at all.
fn explain(mut problem: QueryProblem, starts: &Result<Vec<RawSeries>, QueryProblem>) -> QueryProblem {
    if let QueryProblem::Empty { scraped, .. } = &mut problem {
        *scraped = starts.as_ref().is_ok_and(|starts| !starts.is_empty());
    }
    problem
}

fn reading(
    samples: Result<Vec<PodSamples>, QueryProblem>,
    window: Window,
    now: i64,
    boundary: Option<Boundary>,
) -> MetricReading {
    let reading = MetricReading { until: window.to, caught_up: true, samples, boundary };
    // After a failure nothing more is to be had at once, and the other metrics must not wait for this one.
    MetricReading { caught_up: window.to >= now || !reading.is_answered(), ..reading }
}
