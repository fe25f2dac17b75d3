//! Is it worth it? Requests per CPU-second of the free-threaded pool over those of the standard one, with an interval that may be looked
//! at after every block. Pure; `docs/judge.md` says where the formulas come from.
//!
//! One grid serves both counters, so that both are of the same stretch of time: a cell's `n` are requests *and* CPU-seconds, its `k` are
//! CPU-seconds. So `k ≤ n` always holds, and requests are what is left.

use std::{collections::BTreeMap, fmt::Write as _};

use super::{
    grid::{Cell, Grid, PodCounts},
    interval::{boundary, long_run, pods_differ},
    samples::{PodSamples, Pool, WeightChange},
    weights::Weights,
};
use crate::api::{BenefitOutcome, Span};

/// Nothing is said of fewer blocks: the interval is one for many, and how much blocks depend on each other has to be seen first.
pub const LEAST_BLOCKS: usize = 12;

/// A pod of one pool may answer this many times the requests of one of the other.
const LOAD_TIMES: f64 = 1.25;

/// A block counts if this part of it does.
const PART_OF_BLOCK: f64 = 0.5;

/// Requests that a pool has to answer in a block that counts.
const LEAST_REQUESTS: f64 = 30.0;

/// CPU-seconds that it has to take: the kernel counts in hundredths.
const LEAST_CPU: f64 = 0.5;

/// After the end, for what is still on its way, in ms.
const GRACE_MS: i64 = 60_000;

/// What is measured, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct BenefitSpec {
    /// Length of a cell, in ms.
    pub cell_ms: i64,
    /// Throughput is compared in blocks of this length, at multiples since the epoch: those of a scrape interval depend on each other.
    pub block: Span,
    /// The last step's weight is served from here on, ms since the epoch.
    pub from: i64,
    /// How long it is measured at most.
    pub measure_for: Span,
    /// The ratio that is wanted, such as 1.2.
    pub wanted: f64,
    /// Work that a pod of ours is to have, over one of the standard pool's: more where the pool is sized by the CPU that it asks for.
    pub cpu_times: f64,
    /// Fingerprint of what the user asked for.
    pub of: String,
}

/// Throughput per core, as measured so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Throughput {
    /// Requests per CPU-second, ours over the standard pool's.
    pub ratio: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Blocks that it is of.
    pub blocks: usize,
}

/// What is to be said of the benefit.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct BenefitFinding {
    /// Fingerprint of what was asked for.
    pub of: String,
    /// It is of the step whose counts are from here on, ms since the epoch.
    pub from: i64,
    /// How far it is known. Of anything but `Measuring` nothing that follows changes anything.
    pub outcome: BenefitOutcome,
    /// Requests per CPU-second, ours over the standard pool's.
    pub ratio: Option<f64>,
    /// Lower end of the 95 % interval.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Blocks that count.
    pub blocks: usize,
    /// All of it as one sentence.
    pub sentence: String,
}

/// Measures the benefit at one step. All state follows from the samples, so a restart that reads them again finds the same.
#[derive(Clone, Debug)]
pub struct Benefit {
    spec: BenefitSpec,
    grid: Grid,
    weights: Weights,
    open: Option<Block>,
    /// Logarithms of the ratio, block by block.
    logs: Vec<f64>,
    pods: BTreeMap<String, (Pool, Work)>,
    left_out: LeftOut,
    /// The first interval that decided.
    decided: Option<(BenefitOutcome, Throughput)>,
    several_processes: Option<String>,
    problem: Option<String>,
}

/// What a pool or pod did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Work {
    pub(super) requests: f64,
    pub(super) cpu: f64,
    /// Seconds of all pods together.
    pod_seconds: f64,
}

#[derive(Clone, Debug, Default)]
struct Block {
    index: i64,
    seconds: f64,
    pods: BTreeMap<String, (Pool, Work)>,
}

/// Blocks that were not counted, by why.
#[derive(Clone, Copy, Debug, Default)]
struct LeftOut {
    load: usize,
    little: usize,
}

impl Work {
    /// What the warm pods of a pool did in a cell; `None` where there are none.
    pub(super) fn of(cell: &Cell, pool: Pool) -> Option<Self> {
        let pods = cell.pods(pool, false).map(|(_, pod)| Self::in_cell(cell, pod));
        pods.reduce(|mut sum, pod| {
            sum.add(pod);
            sum
        })
    }

    fn in_cell(cell: &Cell, pod: &PodCounts) -> Self {
        Self { requests: pod.counts.n - pod.counts.k, cpu: pod.counts.k, pod_seconds: cell.seconds() }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.cpu += other.cpu;
        self.pod_seconds += other.pod_seconds;
    }

    pub(super) fn per_cpu(self) -> f64 {
        self.requests / self.cpu
    }

    pub(super) fn per_pod(self) -> f64 {
        self.requests / self.pod_seconds
    }

    fn counts(self) -> bool {
        self.requests >= LEAST_REQUESTS && self.cpu >= LEAST_CPU
    }
}

impl Block {
    fn of(&self, pool: Pool) -> Work {
        let mut sum = Work::default();
        self.pods.values().filter(|(of, _)| *of == pool).for_each(|(_, work)| sum.add(*work));
        sum
    }
}

impl Benefit {
    /// Nothing is known yet.
    pub fn new(spec: BenefitSpec) -> Self {
        Self {
            grid: Grid::new(spec.cell_ms, spec.from),
            weights: Weights::new(),
            open: None,
            logs: Vec::new(),
            pods: BTreeMap::new(),
            left_out: LeftOut::default(),
            decided: None,
            several_processes: None,
            problem: None,
            spec,
        }
    }

    /// What is measured.
    pub fn spec(&self) -> &BenefitSpec {
        &self.spec
    }

    /// Its end, ms since the epoch.
    pub fn until(&self) -> i64 {
        self.spec.from.saturating_add(self.spec.measure_for.millis())
    }

    /// Nothing that is read after `now` (ms) changes what is said.
    pub fn is_over(&self, now: i64) -> bool {
        self.decided.is_some() || now >= self.until().saturating_add(GRACE_MS + 4 * self.spec.cell_ms)
    }

    /// Takes new samples: series of requests with `n` = 1, `k` = 0, of CPU-seconds with `n` = 1, `k` = 1.
    pub fn feed(&mut self, now: i64, samples: &[PodSamples], changes: &[WeightChange]) {
        self.problem = None;
        self.weights.learn(changes);
        for cell in self.grid.feed(now, samples, &self.weights, |_, _| {}) {
            self.feed_cell(&cell);
        }
        self.several_processes = self.grid.several_processes().map(str::to_owned);
    }

    /// There was nothing to read, and why.
    pub fn failed(&mut self, problem: String) {
        self.problem = Some(problem);
    }

    /// Takes a cell, in order of time.
    pub fn feed_cell(&mut self, cell: &Cell) {
        if cell.start < self.spec.from || cell.end > self.until() {
            return;
        }
        let index = cell.start.div_euclid(self.spec.block.millis().max(1));
        if self.open.as_ref().is_some_and(|open| open.index != index) {
            self.close();
        }
        let open = self.open.get_or_insert_with(|| Block { index, ..Block::default() });
        let both = [Pool::Standard, Pool::FreeThreaded]
            .into_iter()
            .all(|pool| cell.pods(pool, false).next().is_some());
        let length = cell.end - cell.start;
        if both && !cell.held && !cell.several_processes && length <= self.spec.block.millis() {
            open.seconds += cell.seconds();
            for (name, pod) in cell.pods.iter().filter(|(_, pod)| !pod.young) {
                let work = Work::in_cell(cell, pod);
                open.pods.entry(name.clone()).or_insert((pod.pool, Work::default())).1.add(work);
            }
        }
        if cell.end >= (index + 1) * self.spec.block.millis() {
            self.close();
        }
    }

    fn close(&mut self) {
        let Some(block) = self.open.take() else { return };
        let (ours, standard) = (block.of(Pool::FreeThreaded), block.of(Pool::Standard));
        let long = block.seconds * 1000.0 >= PART_OF_BLOCK * self.spec.block.millis() as f64;
        if !(long && ours.counts() && standard.counts()) {
            self.left_out.little += 1;
            return;
        }
        let load = ours.per_pod() / standard.per_pod() / self.spec.cpu_times;
        if !(1.0 / LOAD_TIMES..=LOAD_TIMES).contains(&load) {
            self.left_out.load += 1;
            return;
        }
        self.logs.push((ours.per_cpu() / standard.per_cpu()).ln());
        for (name, (pool, work)) in block.pods {
            self.pods.entry(name).or_insert((pool, Work::default())).1.add(work);
        }
        // What was decided first is what is said, in a replay too.
        if self.decided.is_none()
            && let Some(measured) = self.measured()
        {
            self.decided = decide(&measured, self.spec.wanted).map(|outcome| (outcome, measured));
        }
    }

    /// The ratio and its interval; `None` before there are enough blocks and pods.
    pub fn measured(&self) -> Option<Throughput> {
        let blocks = self.logs.len();
        if blocks < LEAST_BLOCKS {
            return None;
        }
        let (mean, variance) = long_run(&self.logs);
        let in_time = variance.sqrt() * boundary(blocks as f64);
        let half = in_time.hypot(pods_differ(&self.pods)?);
        Some(Throughput { ratio: mean.exp(), low: (mean - half).exp(), high: (mean + half).exp(), blocks })
    }

    /// What is to be said at `now` (ms since the epoch).
    pub fn finding(&self, now: i64) -> BenefitFinding {
        let (outcome, measured) = match &self.decided {
            Some((outcome, measured)) => (*outcome, Some(measured.clone())),
            None if self.is_over(now) => (BenefitOutcome::Unknown, self.measured()),
            None => (BenefitOutcome::Measuring, self.measured()),
        };
        let of = |what: fn(&Throughput) -> f64| measured.as_ref().map(what);
        BenefitFinding {
            of: self.spec.of.clone(),
            from: self.spec.from,
            outcome,
            ratio: of(|m| m.ratio),
            low: of(|m| m.low),
            high: of(|m| m.high),
            blocks: measured.as_ref().map_or(self.logs.len(), |m| m.blocks),
            sentence: self.sentence(outcome, measured.as_ref()),
        }
    }

    fn sentence(&self, outcome: BenefitOutcome, measured: Option<&Throughput>) -> String {
        let Some(m) = measured else {
            let known = if outcome == BenefitOutcome::Measuring { "not known yet" } else { "unknown" };
            let why = match (&self.problem, &self.several_processes) {
                (Some(problem), _) => format!(": {problem}"),
                (None, Some(pod)) => format!(
                    ": the counters of pod {pod} jump between several processes; count its CPU time from outside, with \
                     benefit.cpu: {{name: container_cpu_usage_seconds_total}}"
                ),
                (None, None) => self.why(),
            };
            return format!("throughput per core is {known}{why}");
        };
        let wanted = times(self.spec.wanted);
        let end = match outcome {
            BenefitOutcome::Benefit => format!("at least the {wanted} wanted"),
            BenefitOutcome::NoBenefit => format!("less than the {wanted} wanted"),
            BenefitOutcome::Measuring => format!("not decided yet, {wanted} is wanted"),
            BenefitOutcome::Unknown if m.low > 1.0 => {
                format!(
                    "more than the standard pool's, but in {} not shown to be the {wanted} wanted",
                    self.spec.measure_for
                )
            }
            BenefitOutcome::Unknown => {
                format!("{} did not suffice to tell it from the {wanted} wanted", self.spec.measure_for)
            }
        };
        format!(
            "throughput per core {} times the standard pool's (95 % interval {} to {}, {} blocks of {}): {end}",
            times(m.ratio),
            times(m.low),
            times(m.high),
            m.blocks,
            self.spec.block
        )
    }

    /// Why there is no interval.
    fn why(&self) -> String {
        let mut text = if self.logs.len() < LEAST_BLOCKS {
            format!(": {} of at least {LEAST_BLOCKS} blocks of {}", self.logs.len(), self.spec.block)
        } else {
            ": with one pod in each pool nobody can tell the interpreter from the pod".to_owned()
        };
        let LeftOut { load, little } = self.left_out;
        if load > 0 {
            let _ = write!(
                text,
                "; {load} left out: the pods of one pool answered over 25 % more requests each{} than those of the other",
                if (self.spec.cpu_times - 1.0).abs() < f64::EPSILON {
                    ""
                } else {
                    ", for the CPU that they ask for,"
                }
            );
        }
        if little > 0 {
            let _ =
                write!(text, "; {little} left out: too few requests, CPU seconds or warm pods at one weight");
        }
        text
    }
}

/// Shown to be what is wanted, shown to be less, or neither.
fn decide(measured: &Throughput, wanted: f64) -> Option<BenefitOutcome> {
    if measured.high < wanted {
        Some(BenefitOutcome::NoBenefit)
    } else if measured.low > wanted.max(1.0) {
        Some(BenefitOutcome::Benefit)
    } else {
        None
    }
}

/// `1.03`
pub(super) fn times(ratio: f64) -> String {
    let text = format!("{ratio:.2}");
    text.strip_suffix('0').filter(|text| !text.ends_with('.')).map_or(text.clone(), str::to_owned)
}
