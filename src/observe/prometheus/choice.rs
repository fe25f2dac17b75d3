//! Which boundaries of a latency histogram are read.

use super::{
    Boundary, Pool, QueryProblem, Reader, Scope, Survey, Window,
    client::{MAX_POINTS, MAX_SERIES},
    convert::{boundary, fixed_boundary, is_infinite, native_boundary},
    problem::shown,
    reader::{LONGEST_READ_MS, Pass, empty},
};
use crate::observe::presets::LatencyPlan;

impl Reader {
    /// The boundaries at which the pools are to be compared, by the histogram of these pods in the window before `to` (ms). `None` where no
    /// bucket stands for the threshold, or there is no histogram.
    ///
    /// # Errors
    /// Prometheus was not to be asked.
    pub async fn survey(
        &self,
        scope: &Scope,
        plan: &LatencyPlan,
        pods: &[String],
        scrape: i64,
        window: Window,
    ) -> Result<Option<Survey>, QueryProblem> {
        if pods.is_empty() {
            return Ok(None);
        }
        let shape = self.source.shape(scope, &plan.buckets, pods, window, plan.wanted()).await?;
        // Every boundary is another series to read: of many label sets fewer are compared, well under what one answer may hold.
        let scrapes = usize::try_from((window.to - window.from) / scrape.max(1)).unwrap_or(usize::MAX).max(1);
        let series = (MAX_POINTS / 2 / scrapes).min(MAX_SERIES / 4);
        let most = (series / shape.sets.max(1)).saturating_sub(2);
        Ok(shape.survey(plan, most))
    }

    async fn choose_native(
        &self,
        pass: &Pass<'_>,
        plan: &LatencyPlan,
        at: i64,
    ) -> Result<Boundary, QueryProblem> {
        let none = || empty(pass, &plan.buckets);
        if pass.names.is_empty() {
            return Err(none());
        }
        let window = Window { from: at.saturating_sub(LONGEST_READ_MS), to: at };
        let shape = self.source.shape(pass.scope, &plan.buckets, &pass.names, window, plan.wanted()).await?;
        if !shape.native {
            return Err(none());
        }
        if let Some(chosen) = &plan.chosen {
            return Ok(native_boundary(plan, chosen));
        }
        let edges: Vec<String> =
            shape.below.iter().map(|(le, _)| le.clone()).filter(|le| !is_infinite(le)).collect();
        match shape.survey(plan, 0) {
            Some(found) => Ok(native_boundary(plan, &found.chosen)),
            // Nothing was measured yet.
            None if edges.is_empty() => Err(none()),
            None => Err(QueryProblem::NoBucket {
                query: plan.buckets.native().name,
                wanted: plan.wanted(),
                known: shown(edges.join(", ")),
            }),
        }
    }

    /// The boundary that both pools have. It is frozen for the attempt once both have been seen.
    pub(super) async fn choose(
        &self,
        pass: &Pass<'_>,
        plan: &LatencyPlan,
        frozen: &mut Option<Boundary>,
        at: i64,
    ) -> Result<Boundary, QueryProblem> {
        let mut pools = Vec::new();
        for pool in [Pool::Standard, Pool::FreeThreaded] {
            let of = pass.pods.iter().filter(|pod| pod.pool == pool);
            let names: Vec<String> = of.map(|pod| pod.name.clone()).collect();
            if names.is_empty() {
                continue;
            }
            let les = self.source.values(pass.scope, &plan.buckets, &names, "le", at).await?;
            if !les.is_empty() {
                pools.push(les);
            }
        }
        let Some(mut known) = pools.pop() else {
            let chosen = self.choose_native(pass, plan, at).await?;
            *frozen = Some(chosen.clone());
            return Ok(chosen);
        };
        let complete = pools.len() == 1;
        let all: Vec<String> = pools.iter().chain([&known]).flatten().cloned().collect();
        known.retain(|le| pools.iter().all(|other| other.contains(le)));
        let found = match &plan.chosen {
            Some(chosen) => fixed_boundary(&known, &all, plan, chosen),
            None => boundary(&known, plan.wanted()),
        };
        let chosen = found.ok_or_else(|| {
            let query = plan.buckets.name.clone();
            let known =
                if known.is_empty() { "none that both pools have".into() } else { shown(known.join(", ")) };
            match &plan.chosen {
                Some(chosen) => {
                    QueryProblem::LostBucket { query, wanted: chosen.slow_over * plan.per_second(), known }
                }
                None => QueryProblem::NoBucket { query, wanted: plan.wanted(), known },
            }
        })?;
        if complete {
            *frozen = Some(chosen.clone());
        }
        Ok(chosen)
    }
}
