//! Requests and CPU-seconds of both pools, from the time on at which a step was served: what it is worth, and what a request takes.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    MetricSource, PodSamples, PodTarget, Pool, QueryProblem, RawSeries, Scope, Window, convert::cpu_samples,
    problem::shown, promql::Selector, reader::LONGEST_READ_MS,
};
use crate::observe::presets::CpuPlan;

/// Reads one measurement piece by piece, each scrape once or twice.
pub struct CpuReader {
    source: Arc<dyn MetricSource>,
    read_to: Option<i64>,
}

/// What one pass read.
#[derive(Debug, Clone, PartialEq)]
pub struct CpuReading {
    /// Everything that there is up to now has been asked for.
    pub caught_up: bool,
    /// One entry per pod, or why there is none.
    pub samples: Result<Vec<PodSamples>, QueryProblem>,
}

impl CpuReader {
    /// Reads from this source, from the start.
    pub fn new(source: Arc<dyn MetricSource>) -> Self {
        Self { source, read_to: None }
    }

    /// The next piece from `since` to `until` (ms since the epoch). `scrape` is the scrape interval, ms.
    pub async fn read(
        &mut self,
        scope: &Scope,
        plan: &CpuPlan,
        pods: &[PodTarget],
        scrape: i64,
        since: i64,
        until: i64,
    ) -> CpuReading {
        let from = self.read_to.unwrap_or(since).min(until);
        let to = until.min(from.saturating_add(LONGEST_READ_MS));
        let overlap = scrape.max(1).saturating_mul(2).saturating_add(1000);
        let window = Window { from: from.saturating_sub(overlap), to };
        let samples = self.ask(scope, plan, pods, window).await;
        if matches!(samples, Ok(_) | Err(QueryProblem::Empty { .. })) {
            self.read_to = Some(to);
        }
        // After a failure nothing more is to be had at once.
        let caught_up =
            to >= until || samples.as_ref().is_err_and(|p| !matches!(p, QueryProblem::Empty { .. }));
        CpuReading { caught_up, samples }
    }

    async fn ask(
        &self,
        scope: &Scope,
        plan: &CpuPlan,
        pods: &[PodTarget],
        window: Window,
    ) -> Result<Vec<PodSamples>, QueryProblem> {
        let names: Vec<String> = pods.iter().map(|pod| pod.name.clone()).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let starts = Selector { name: "process_start_time_seconds".into(), matchers: Vec::new() };
        // Counters first, as for errors: a scrape in between must not show a new process before its counters.
        let (requests, cpu) = futures::join!(
            self.counters(scope, &plan.requests, &names, window),
            self.counters(scope, &plan.cpu, &names, window)
        );
        let (requests, cpu) = (requests?, cpu?);
        let starts = self.source.samples(scope, &starts, &names, window).await?;
        let label = &scope.labels.pod;
        let busy: BTreeSet<String> =
            requests.iter().filter_map(|series| series.labels.get(label).cloned()).collect();
        let samples = cpu_samples(requests, cpu, &starts, pods, &scope.labels);
        // One pool alone without CPU time, as in the multiprocess mode, is an empty answer too.
        for pool in [Pool::Standard, Pool::FreeThreaded] {
            let mut of = samples.iter().filter(|pod| pod.pool == pool && busy.contains(&pod.pod)).peekable();
            if of.peek().is_some() && of.all(|pod| pod.series.is_empty()) {
                let names = pods.iter().filter(|pod| pod.pool == pool).map(|pod| pod.name.clone());
                return Err(empty(scope, &plan.cpu, &names.collect::<Vec<_>>()));
            }
        }
        Ok(samples)
    }

    async fn counters(
        &self,
        scope: &Scope,
        selector: &Selector,
        names: &[String],
        window: Window,
    ) -> Result<Vec<RawSeries>, QueryProblem> {
        let series = self.source.samples(scope, selector, names, window).await?;
        if series.is_empty() {
            return Err(empty(scope, selector, names));
        }
        Ok(series)
    }
}

fn empty(scope: &Scope, selector: &Selector, names: &[String]) -> QueryProblem {
    let query = shown(selector.render(&scope.labels, &scope.namespace, names));
    QueryProblem::Empty { profile: scope.profile.clone(), query, scraped: true }
}
