//! Measures throughput per core at the last step, where the spec asks for it. Beside the comparison and never before it: the reader asks for it
//! after each of its own rounds, a few times a minute.

use std::sync::Arc;

use super::Metrics;
use crate::{
    api::{AttemptStatus, BenefitOutcome, FreeThreadRollout, FreeThreadRolloutStatus},
    judge::{Benefit, BenefitFinding, BenefitSpec, WeightChange},
    observe::{
        presets::BenefitPlan,
        prometheus::{CpuReader, HttpSource, PodTarget, QueryProblem, Scope},
    },
};

/// Pause between two looks at what is measured in blocks of minutes, in ms.
const EVERY_MS: i64 = 20_000;

/// What is to be measured, as of the last pass.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BenefitWanted {
    plan: BenefitPlan,
    spec: BenefitSpec,
    attempt: i32,
}

impl BenefitWanted {
    /// At the last step, once its weight is served, and until the result is final.
    pub(super) fn of(
        rollout: &FreeThreadRollout,
        status: &FreeThreadRolloutStatus,
        attempt: &AttemptStatus,
    ) -> Option<Self> {
        let spec = &rollout.spec;
        let wanted = spec.benefit.as_ref()?;
        let last = usize::try_from(status.step).ok()? + 1 >= spec.steps.len();
        let known = status.benefit.as_ref().filter(|known| known.of == wanted.fingerprint());
        let measuring = known.filter(|known| known.outcome == BenefitOutcome::Measuring)?;
        attempt.converged_at.as_ref().filter(|_| last)?;
        Some(Self {
            plan: BenefitPlan::of(&spec.analysis, wanted).ok()?,
            spec: BenefitSpec {
                cell_ms: attempt.cell.millis(),
                block: wanted.block(),
                from: measuring.since.as_ref()?.0.as_millisecond(),
                measure_for: wanted.measure_for,
                wanted: wanted.wanted(),
                of: wanted.fingerprint(),
            },
            attempt: attempt.number,
        })
    }
}

/// Measures one step after the other.
pub(super) struct BenefitMeter {
    source: Arc<HttpSource>,
    under_way: Option<UnderWay>,
}

struct UnderWay {
    wanted: BenefitWanted,
    reader: CpuReader,
    benefit: Benefit,
    asked: i64,
    /// What there was at the last look has been read.
    caught_up: bool,
    /// There is more to read at once.
    more: bool,
}

impl BenefitMeter {
    pub(super) fn new(source: Arc<HttpSource>) -> Self {
        Self { source, under_way: None }
    }

    /// What is known now (ms since the epoch); `None` where nothing is measured, and until what there is has been read.
    pub(super) fn finding(&self, wanted: Option<&BenefitWanted>, now: i64) -> Option<BenefitFinding> {
        let under_way = self.under_way.as_ref().filter(|u| Some(&u.wanted) == wanted && u.caught_up)?;
        Some(under_way.benefit.finding(now))
    }

    /// Reads on, where it is time.
    pub(super) async fn read(
        &mut self,
        wanted: Option<&BenefitWanted>,
        scope: &Scope,
        pods: &[PodTarget],
        changes: &[WeightChange],
        metrics: &Metrics,
        now: i64,
    ) {
        let Some(wanted) = wanted else {
            self.under_way = None;
            return;
        };
        let under_way = match self.under_way.take().filter(|u| u.wanted == *wanted) {
            Some(under_way) => under_way,
            None => UnderWay {
                wanted: wanted.clone(),
                reader: CpuReader::new(self.source.clone()),
                benefit: Benefit::new(wanted.spec.clone()),
                asked: i64::MIN,
                caught_up: false,
                more: true,
            },
        };
        let UnderWay { reader, benefit, asked, caught_up, more, .. } = self.under_way.insert(under_way);
        let cell = wanted.spec.cell_ms;
        // Even where it is over at the first look, the past is read: after a restart that is all there is.
        let due = *more || now >= asked.saturating_add(EVERY_MS) || now < *asked;
        if !due || *caught_up && benefit.is_over(now) {
            return;
        }
        *asked = now;
        let until = now.min(benefit.until().saturating_add(4 * cell));
        let reading = reader.read(scope, &wanted.plan, pods, cell, wanted.spec.from, until).await;
        *more = !reading.caught_up;
        *caught_up = reading.caught_up;
        match reading.samples {
            Ok(samples) => benefit.feed(now, &samples, changes),
            Err(problem) => {
                // While Prometheus is away nothing is concluded: what it knows is read when it is back.
                *caught_up &= !problem.is_outage();
                metrics.query_failed(if problem.is_outage() { "outage" } else { "answer" });
                benefit.failed(advice(&problem));
            }
        }
    }
}

/// The problem, and what helps where the counter of CPU-seconds is missing.
fn advice(problem: &QueryProblem) -> String {
    match problem {
        QueryProblem::Empty { query, .. } if query.contains("process_cpu_seconds_total") => format!(
            "{problem}. prometheus_client exports no CPU time in its multiprocess mode: count it from outside, with benefit.cpu: \
             {{name: container_cpu_usage_seconds_total}}"
        ),
        _ => problem.to_string(),
    }
}
