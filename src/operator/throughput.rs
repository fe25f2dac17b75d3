//! Measures requests per CPU-second: at the last step what the move is worth, where the spec asks for it, and at the others what a request
//! takes, where the size of the pool depends on it. Beside the comparison and never before it: the reader asks for it after each of its own
//! rounds, a few times a minute.

use std::sync::Arc;

use super::Metrics;
use crate::{
    api::{
        AttemptStatus, BenefitOutcome, FreeThreadRollout, FreeThreadRolloutSpec, FreeThreadRolloutStatus,
        PoolReplicas,
    },
    judge::{Benefit, BenefitFinding, BenefitSpec, Cost, CostFinding, CostSpec, WeightChange},
    observe::{
        presets::CpuPlan,
        prometheus::{CpuReader, HttpSource, PodSamples, PodTarget, QueryProblem, Scope},
    },
};

/// Pause between two looks at what is measured in blocks of minutes, in ms.
const EVERY_MS: i64 = 20_000;

/// What is to be measured, as of the last pass.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ThroughputWanted {
    plan: CpuPlan,
    what: What,
    attempt: i32,
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    /// At the last step, once its weight is served, and until the result is final.
    Benefit(BenefitSpec),
    /// At those before it, once theirs is.
    Cost(CostSpec),
}

impl ThroughputWanted {
    /// `cpu_times`: CPU that a pod of ours asks for, over what one of the standard pool does.
    pub(super) fn of(
        rollout: &FreeThreadRollout,
        status: &FreeThreadRolloutStatus,
        attempt: &AttemptStatus,
        cpu_times: f64,
    ) -> Option<Self> {
        let spec = &rollout.spec;
        attempt.converged_at.as_ref()?;
        let auto = spec.free_threaded.replicas.is_some_and(PoolReplicas::is_auto);
        let cpu_times = if auto { cpu_times } else { 1.0 };
        let last = usize::try_from(status.step).ok()? + 1 >= spec.steps.len();
        let what = if last {
            What::Benefit(benefit(spec, status, attempt, cpu_times)?)
        } else {
            let from = attempt.step_counts_from.as_ref().filter(|_| auto)?.0.as_millisecond();
            What::Cost(CostSpec { cell_ms: attempt.cell.millis(), from, cpu_times })
        };
        let cpu = spec.benefit.as_ref().and_then(|benefit| benefit.cpu.as_ref());
        Some(Self { plan: CpuPlan::of(&spec.analysis, cpu).ok()?, what, attempt: attempt.number })
    }
}

fn benefit(
    spec: &FreeThreadRolloutSpec,
    status: &FreeThreadRolloutStatus,
    attempt: &AttemptStatus,
    cpu_times: f64,
) -> Option<BenefitSpec> {
    let wanted = spec.benefit.as_ref()?;
    let known = status.benefit.as_ref().filter(|known| known.of == wanted.fingerprint());
    let measuring = known.filter(|known| known.outcome == BenefitOutcome::Measuring)?;
    Some(BenefitSpec {
        cell_ms: attempt.cell.millis(),
        block: wanted.block(),
        from: measuring.since.as_ref()?.0.as_millisecond(),
        measure_for: wanted.measure_for,
        wanted: wanted.wanted(),
        cpu_times,
        of: wanted.fingerprint(),
    })
}

/// Measures one step after the other.
pub(super) struct ThroughputMeter {
    source: Arc<HttpSource>,
    under_way: Option<UnderWay>,
}

struct UnderWay {
    wanted: ThroughputWanted,
    reader: CpuReader,
    measured: Measured,
    asked: i64,
    /// What there was at the last look has been read.
    caught_up: bool,
    /// There is more to read at once.
    more: bool,
}

enum Measured {
    Benefit(Benefit),
    Cost(Cost),
}

impl Measured {
    fn new(what: &What) -> Self {
        match what {
            What::Benefit(spec) => Self::Benefit(Benefit::new(spec.clone())),
            What::Cost(spec) => Self::Cost(Cost::new(spec.clone())),
        }
    }

    /// Length of a cell, and from when until when is measured (ms since the epoch).
    fn span(&self) -> (i64, i64, i64) {
        match self {
            Self::Benefit(benefit) => (benefit.spec().cell_ms, benefit.spec().from, benefit.until()),
            Self::Cost(cost) => (cost.spec().cell_ms, cost.spec().from, i64::MAX),
        }
    }

    /// Nothing that is read after `now` (ms) changes what is said.
    fn is_over(&self, now: i64) -> bool {
        matches!(self, Self::Benefit(benefit) if benefit.is_over(now))
    }

    fn feed(&mut self, now: i64, samples: &[PodSamples], changes: &[WeightChange]) {
        match self {
            Self::Benefit(benefit) => benefit.feed(now, samples, changes),
            Self::Cost(cost) => cost.feed(now, samples, changes),
        }
    }

    fn failed(&mut self, problem: String) {
        match self {
            Self::Benefit(benefit) => benefit.failed(problem),
            Self::Cost(cost) => cost.failed(problem),
        }
    }
}

impl ThroughputMeter {
    pub(super) fn new(source: Arc<HttpSource>) -> Self {
        Self { source, under_way: None }
    }

    /// What is known now (ms since the epoch); nothing where nothing is measured, and until what there is has been read.
    pub(super) fn finding(
        &self,
        wanted: Option<&ThroughputWanted>,
        now: i64,
    ) -> (Option<BenefitFinding>, Option<CostFinding>) {
        let under_way = self.under_way.as_ref().filter(|u| Some(&u.wanted) == wanted && u.caught_up);
        match under_way.map(|under_way| &under_way.measured) {
            Some(Measured::Benefit(benefit)) => (Some(benefit.finding(now)), None),
            Some(Measured::Cost(cost)) => (None, Some(cost.finding())),
            None => (None, None),
        }
    }

    /// Reads on, where it is time.
    pub(super) async fn read(
        &mut self,
        wanted: Option<&ThroughputWanted>,
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
                measured: Measured::new(&wanted.what),
                asked: i64::MIN,
                caught_up: false,
                more: true,
            },
        };
        let UnderWay { reader, measured, asked, caught_up, more, .. } = self.under_way.insert(under_way);
        let (cell, from, until) = measured.span();
        // Even where it is over at the first look, the past is read: after a restart that is all there is.
        let due = *more || now >= asked.saturating_add(EVERY_MS) || now < *asked;
        if !due || *caught_up && measured.is_over(now) {
            return;
        }
        *asked = now;
        let until = now.min(until.saturating_add(4 * cell));
        let reading = reader.read(scope, &wanted.plan, pods, cell, from, until).await;
        *more = !reading.caught_up;
        *caught_up = reading.caught_up;
        match reading.samples {
            Ok(samples) => measured.feed(now, &samples, changes),
            Err(problem) => {
                // While Prometheus is away nothing is concluded: what it knows is read when it is back.
                *caught_up &= !problem.is_outage();
                metrics.query_failed(if problem.is_outage() { "outage" } else { "answer" });
                measured.failed(advice(&problem));
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
