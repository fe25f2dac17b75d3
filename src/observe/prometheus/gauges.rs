//! Gauges: queries of the user's own, and the memory of the pods.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    HttpSource, MetricSource, PodTarget, Point, QueryProblem, Scope, Window, answer,
    convert::memory_samples,
    problem::shown,
    promql::{self, Selector},
    reader::LONGEST_READ_MS,
};
use crate::judge::{GaugeSpec, MemorySamples, Pool};

impl HttpSource {
    /// The values of a gauge in the window before `at` (ms since the epoch), or why there are none. NaN stays NaN.
    ///
    /// # Errors
    /// Prometheus was not to be asked, or the query is not one number.
    pub async fn gauge(
        &self,
        scope: &Scope,
        gauge: &GaugeSpec,
        query: &str,
        pods: &[PodTarget],
        at: i64,
    ) -> Result<Vec<Point>, String> {
        let of = |pool| -> Vec<String> {
            pods.iter().filter(|pod| pod.pool == pool).map(|pod| pod.name.clone()).collect()
        };
        let (ours, standard) = (of(Pool::FreeThreaded), of(Pool::Standard));
        let times = (gauge.lasting, gauge.every);
        let query = promql::gauge(query, &scope.labels, &scope.namespace, (&ours, &standard), times);
        // The name of a gauge is no metric's: its failures are its own.
        let owner = Selector { name: format!("gauge {}", gauge.name), matchers: Vec::new() };
        let answer = self.short(scope, &owner, &query, at, answer::numbers).await;
        match answer.map_err(|problem| problem.to_string())? {
            Ok(points) => Ok(points),
            Err(series) => Err(format!(
                "{series} series came back where one number is wanted: aggregate them, for example with max(...)"
            )),
        }
    }
}

impl HttpSource {
    /// The pods whose names match a regular expression and that have samples of this metric in the window.
    ///
    /// # Errors
    /// Prometheus was not to be asked.
    pub async fn pods_like(
        &self,
        scope: &Scope,
        selector: &Selector,
        pattern: &str,
        window: Window,
    ) -> Result<Vec<String>, QueryProblem> {
        let instant = selector.render_like(&scope.labels, &scope.namespace, pattern);
        let label = &scope.labels.pod;
        let mut names = BTreeSet::new();
        let mut to = window.to;
        while to > window.from {
            let from = window.from.max(to.saturating_sub(LONGEST_READ_MS));
            let range = promql::range(to - from);
            let query = format!("group by ({label}) (last_over_time({instant}{range}))");
            names.extend(
                self.short(scope, selector, &query, to, |body| answer::label_values(body, label)).await?,
            );
            to = from;
        }
        Ok(names.into_iter().collect())
    }
}

/// Reads the memory of both pools piece by piece, each scrape once or twice.
pub struct MemoryReader {
    source: Arc<dyn MetricSource>,
    read_to: Option<i64>,
}

impl MemoryReader {
    /// Reads from this source, from the start.
    pub fn new(source: Arc<dyn MetricSource>) -> Self {
        Self { source, read_to: None }
    }

    /// The next piece from `since` to `now` (ms since the epoch), and whether there is more to read at once.
    ///
    /// # Errors
    /// Prometheus was not to be asked, or knows no such gauge of one of the pools.
    pub async fn read(
        &mut self,
        scope: &Scope,
        gauge: &Selector,
        pods: &[PodTarget],
        scrape: i64,
        since: i64,
        now: i64,
    ) -> Result<(Vec<MemorySamples>, bool), QueryProblem> {
        let names: Vec<String> = pods.iter().map(|pod| pod.name.clone()).collect();
        if names.is_empty() {
            return Ok((Vec::new(), false));
        }
        let from = self.read_to.unwrap_or(since).min(now);
        let to = now.min(from.saturating_add(LONGEST_READ_MS));
        let window = Window { from: from.saturating_sub(2 * scrape.max(1)), to };
        let series = self.source.samples(scope, gauge, &names, window).await?;
        self.read_to = Some(to);
        if series.is_empty() {
            let query = shown(gauge.render(&scope.labels, &scope.namespace, &names));
            return Err(QueryProblem::Empty { profile: scope.profile.clone(), query, scraped: true });
        }
        let samples = memory_samples(series, pods, &scope.labels);
        // One pool alone without it, as in the multiprocess mode, is an empty answer too: nothing could ever be compared.
        let warm =
            |pool| pods.iter().filter(move |pod| pod.pool == pool && pod.counted_from <= now - 2 * scrape);
        for pool in [Pool::Standard, Pool::FreeThreaded].into_iter().filter(|_| to == now) {
            let names: Vec<String> = warm(pool).map(|pod| pod.name.clone()).collect();
            if !names.is_empty() && !samples.iter().any(|pod| pod.pool == pool) {
                let query = shown(gauge.render(&scope.labels, &scope.namespace, &names));
                return Err(QueryProblem::Empty { profile: scope.profile.clone(), query, scraped: true });
            }
        }
        Ok((samples, to < now))
    }
}
