//! One attempt: raw samples in, verdicts out. All state follows from the samples, so a restart replays it.

use serde::{Deserialize, Serialize};

use super::{
    evidence::{Span, Term, UNMOVED},
    freshness::{Blindness, Freshness, Pools},
    grid::{Cell, Grid},
    merge::{Crossing, Merge, Standing, largest_of},
    mixture::log_sum_exp,
    safe::Safe,
    samples::{MetricSamples, Observed, Pool, WeightChange},
    signals::{Signal, Watch},
    spec::{AttemptSpec, MetricKind, MetricSpec, SpecError},
    verdict::{Evidence, Judgement, MetricVerdict, Test, Verdict, Why},
    weights::Weights,
};

/// `Clear` needs this many times `1/p0` requests in the step: the rule of three, enough that a pool at its objective would have
/// shown a bad request in 95 of 100 cases.
const CLEAR_TIMES: f64 = 3.0;

/// `p0` for `Clear` where nothing is promised.
const CLEAR_SHARE: f64 = 0.01;

/// Largest ratio told: JSON knows no infinity.
const LARGEST_RATIO: f64 = 1e300;

/// The judge's state over one attempt.
///
/// Steps, changes of weight, pauses and gaps never reset the evidence, and a breach is latched.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attempt {
    spec: AttemptSpec,
    metrics: Vec<Metric>,
    merge: Merge,
    weights: Weights,
    /// Not kept in a checkpoint: with one it is over.
    #[serde(skip)]
    signals: Vec<Signal>,
    step_started: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Metric {
    grid: Grid,
    fresh: Freshness,
    watch: Option<Watch>,
    problem: Option<String>,
    step: Step,
}

/// What `Clear` and `Safe` look at: the cells of this step.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Step {
    /// By boundary, the threshold's first.
    spans: Vec<Span>,
    /// Whether it is shown to be well, for a metric that is compared.
    safe: Option<Safe>,
    /// Requests of young pods among the rest.
    young: f64,
}

impl Attempt {
    /// A fresh attempt, `M = 1`.
    ///
    /// # Errors
    /// If `spec` cannot be judged.
    pub fn new(spec: AttemptSpec) -> Result<Self, SpecError> {
        spec.check()?;
        let counts_errors = spec.metrics.iter().any(|m| m.kind == MetricKind::Errors);
        let watched = |kind| kind == MetricKind::Errors || kind == MetricKind::Latency && !counts_errors;
        let metric = |metric: &MetricSpec| Metric {
            grid: Grid::new(spec.cell_ms, spec.started),
            fresh: Freshness::new(spec.cell_ms, spec.started),
            watch: watched(metric.kind).then(|| Watch::new(&metric.name)),
            problem: Some("not asked yet".to_owned()),
            step: Step::new(&spec, metric),
        };
        Ok(Self {
            metrics: spec.metrics.iter().map(metric).collect(),
            merge: Merge::new(&spec),
            weights: Weights::new(),
            signals: Vec::new(),
            step_started: i64::MIN,
            spec,
        })
    }

    /// What it judges by.
    pub fn spec(&self) -> &AttemptSpec {
        &self.spec
    }

    /// How many samples are held: bounded by pods and scrapes, not by the age of the attempt.
    pub fn size(&self) -> usize {
        self.metrics.iter().map(|metric| metric.grid.size()).sum()
    }

    /// Takes one look, and returns the cells that it closed, by the index of their metric. Samples known already change nothing, so
    /// windows may overlap.
    pub fn feed(&mut self, observed: &Observed<'_>) -> Vec<(usize, Cell)> {
        self.step(observed.step_started, observed.weight_changes);
        let mut cells = Vec::new();
        for (index, (metric, spec)) in self.metrics.iter_mut().zip(&self.spec.metrics).enumerate() {
            let samples = observed.metrics.iter().find(|samples| samples.name == spec.name);
            // Pods exist and restart at any weight.
            let weights = if spec.kind == MetricKind::Restarts { &Weights::new() } else { &self.weights };
            let closed = metric.read(samples, observed.now, weights);
            cells.extend(closed.into_iter().map(|cell| (index, cell)));
        }
        self.take(&mut cells);
        cells
    }

    /// Learns changes of the weight, and that the current step began at `started` (ms). [`Self::feed`] does so itself.
    pub fn step(&mut self, started: i64, changes: &[WeightChange]) {
        self.weights.learn(changes);
        if started != self.step_started {
            self.step_started = started;
            for (metric, of) in self.metrics.iter_mut().zip(&self.spec.metrics) {
                metric.step = Step::new(&self.spec, of);
            }
        }
    }

    /// Takes cells as they are, by the index of their metric: from a file or a simulation.
    pub fn feed_cells(&mut self, mut cells: Vec<(usize, Cell)>) {
        for (index, cell) in &cells {
            if let Some(metric) = self.metrics.get_mut(*index) {
                metric.was_told(cell);
            }
        }
        self.take(&mut cells);
    }

    fn take(&mut self, cells: &mut [(usize, Cell)]) {
        // Cells of all metrics in the order in which they became known, as if every sample had been fed alone.
        cells.sort_by_key(|(index, cell)| (cell.known, cell.end, *index));
        for together in cells.chunk_by(|(_, a), (_, b)| (a.known, a.end) == (b.known, b.end)) {
            self.judge(together);
        }
        if let Some(open) = self.metrics.iter().map(|metric| metric.grid.open_since()).min() {
            self.weights.prune(open);
        }
    }

    /// Cells that end together.
    fn judge(&mut self, cells: &[(usize, Cell)]) {
        for (index, cell) in cells {
            let (Some(metric), Some(spec)) = (self.metrics.get_mut(*index), self.spec.metrics.get(*index))
            else {
                continue;
            };
            metric.fresh.cell(cell);
            let found = metric.watch.as_mut().map(|watch| watch.push(cell, self.weights.at(cell.start)));
            for signal in found.into_iter().flatten() {
                if !self
                    .signals
                    .iter()
                    .any(|known| std::mem::discriminant(known) == std::mem::discriminant(&signal))
                {
                    self.signals.push(signal);
                }
            }
            if counts(cell) && cell.start >= self.step_started {
                metric.step.add(cell, spec);
            }
        }
        let tested: Vec<(usize, &Cell)> =
            cells.iter().filter(|(_, c)| counts(c)).map(|(i, c)| (*i, c)).collect();
        if let Some((_, cell)) = tested.first() {
            self.merge.push(cell.end, &tested, self.weights.is_all(cell.start));
        }
    }

    /// A breach or a hard signal has ended it: nothing that follows changes what is said.
    pub fn is_over(&self) -> bool {
        !self.signals.is_empty() || matches!(self.merge.standing(), Standing::Breach(_))
    }

    /// What is to be said at `now` (ms since the epoch).
    pub fn verdict(&self, now: i64) -> Judgement {
        let each = self.metrics.iter().zip(&self.spec.metrics).enumerate();
        let metrics: Vec<MetricVerdict> = each
            .map(|(index, (metric, spec))| {
                let blind = metric.blind(now);
                MetricVerdict {
                    name: spec.name.clone(),
                    verdict: self.of(index, metric, spec, blind, now),
                    blind,
                }
            })
            .collect();
        let ratio = ratio(self.merge.ln_sum());
        let bound = self.merge.bound();
        let blind = metrics.iter().filter_map(|m| m.blind).min_by_key(|blind| blind_rank(blind.pools));
        let overall = match self.signals.first() {
            Some(signal) => Verdict::HardSignal(signal.clone()),
            None => foremost(&metrics).unwrap_or_else(|| self.nothing()),
        };
        Judgement { overall, metrics, signals: self.signals.clone(), blind, ratio, bound }
    }
}

impl Attempt {
    fn of(
        &self,
        index: usize,
        metric: &Metric,
        spec: &MetricSpec,
        blind: Option<Blindness>,
        now: i64,
    ) -> Verdict {
        let terms = || self.merge.terms.iter().enumerate().filter(|(_, term)| term.metric == index);
        let standing = self.merge.standing();
        if let Standing::Breach(crossing) = standing
            && let Some((_, term)) = terms().find(|(i, _)| *i == crossing.term)
        {
            return Verdict::Breach(self.crossed(spec, term, crossing));
        }
        if let Some((_, term)) = terms().find(|(_, term)| term.held.is_some()) {
            return Verdict::SharedIncident(self.evidence(spec, Some(term), term.held.unwrap_or_default()));
        }
        let promised = spec.tolerate.is_none() || self.alone(spec, now);
        let term = foremost_term(&terms().map(|(_, term)| term), promised);
        let span = metric.step.span(term.map_or(0, |term| term.boundary));
        let safe = metric.step.safe.as_ref().filter(|_| !promised).map(|safe| ratio(safe.ln_m()));
        let evidence = Evidence { safe, ..self.evidence(spec, term, span) };
        let why = metric.unknown(blind, promised, now).or(match standing {
            Standing::Breach(_) => Some(Why::Ended),
            Standing::Waiting { until, .. } => Some(Why::Confirming { until: *until }),
            Standing::Quiet | Standing::Shared => metric.too_little(spec, promised),
        });
        match why {
            Some(why) => Verdict::Unknown { why, evidence },
            // What is held to a promise alone has no line to be shown under.
            None if evidence.safe.is_none_or(|safe| safe >= evidence.safe_bound) => Verdict::Safe(evidence),
            None => Verdict::Clear(evidence),
        }
    }

    /// Held to its promise alone, because all requests are the free-threaded pool's. (Pods exist and restart at any weight.)
    fn alone(&self, spec: &MetricSpec, now: i64) -> bool {
        spec.kind != MetricKind::Restarts && self.weights.is_all(now)
    }

    fn evidence(&self, spec: &MetricSpec, term: Option<&Term>, span: Span) -> Evidence {
        let objective = term.is_some_and(|term| term.objective().is_some());
        Evidence {
            metric: spec.name.clone(),
            kind: spec.kind,
            of: spec.of.clone(),
            test: if objective { Test::Objective } else { Test::Regression },
            free_threaded: span.free_threaded,
            standard: span.standard,
            from: span.from,
            to: span.to,
            ratio: ratio(self.merge.ln_sum()),
            term: term.map_or(0.0, |term| ratio(term.ln_term())),
            bound: self.merge.bound(),
            safe: None,
            safe_bound: 1.0 / self.spec.beta,
            objective: spec.objective,
            tolerate: spec.tolerate,
            slower_than: spec.boundary(term.map_or(0, |term| term.boundary)),
        }
    }

    /// Without metrics, which a checked specification never is.
    fn nothing(&self) -> Verdict {
        let evidence = self.evidence(&MetricSpec::errors(0.0, None), None, Span::default());
        Verdict::Unknown { why: Why::NoData { pools: Pools::Both }, evidence }
    }

    fn crossed(&self, spec: &MetricSpec, term: &Term, crossing: &Crossing) -> Evidence {
        let (sum, alone) = (ratio(crossing.ln_sum), ratio(crossing.ln_term));
        Evidence { ratio: sum, term: alone, ..self.evidence(spec, Some(term), crossing.span) }
    }
}

impl Metric {
    /// Takes what was queried and returns the cells that it closed.
    fn read(&mut self, samples: Option<&MetricSamples>, now: i64, weights: &Weights) -> Vec<Cell> {
        self.problem = match samples {
            None => Some("it was not asked for".to_owned()),
            Some(samples) => samples.problem.clone(),
        };
        let Some(samples) = samples.filter(|samples| samples.problem.is_none()) else { return Vec::new() };
        let fresh = &mut self.fresh;
        self.grid.feed(now, &samples.pods, weights, |pool, at| fresh.sample(pool, at))
    }

    /// A cell without samples is itself what was seen of its pods.
    fn was_told(&mut self, cell: &Cell) {
        self.problem = None;
        for pool in [Pool::Standard, Pool::FreeThreaded] {
            if cell.pods(pool, true).next().is_some() {
                self.fresh.sample(pool, cell.end);
            }
        }
    }

    fn blind(&self, now: i64) -> Option<Blindness> {
        if self.problem.is_some() { Some(self.fresh.unreadable()) } else { self.fresh.blind(now) }
    }

    /// Data that is missing, stale or contradictory. A promise to users can be judged without the standard pool.
    fn unknown(&self, blind: Option<Blindness>, promised: bool, now: i64) -> Option<Why> {
        if let Some(problem) = &self.problem {
            return Some(Why::QueryFailed { problem: problem.clone() });
        }
        if let Some(pod) = self.grid.several_processes() {
            return Some(Why::SeveralProcesses { pod: pod.to_owned() });
        }
        let Blindness { pools, since, never } = blind?;
        if pools == Pools::Standard && promised {
            return None;
        }
        Some(if never { Why::NoData { pools } } else { Why::Stale { pools, age_ms: now - since } })
    }

    /// Data that does not suffice.
    fn too_little(&self, spec: &MetricSpec, promised: bool) -> Option<Why> {
        if spec.kind == MetricKind::Restarts {
            return None;
        }
        if promised && spec.objective.is_none() {
            return Some(Why::NobodyToCompareWith);
        }
        let span = self.step.span(0);
        let (have, standard) = (span.free_threaded.n, span.standard.n);
        let need = CLEAR_TIMES / spec.objective.unwrap_or(CLEAR_SHARE);
        if have <= 0.0 && self.step.young > 0.0 {
            return Some(Why::WarmingUp);
        }
        if have <= 0.0 && span.from.is_some() {
            return Some(Why::NoTraffic { pool: Pool::FreeThreaded });
        }
        if have < need {
            return Some(Why::NotEnough { have, need });
        }
        (standard <= 0.0 && !promised).then_some(Why::NoTraffic { pool: Pool::Standard })
    }
}

impl Step {
    fn new(spec: &AttemptSpec, metric: &MetricSpec) -> Self {
        let spans = vec![Span::default(); metric.boundaries()];
        Self { safe: Safe::of(spec, metric), spans, ..Self::default() }
    }

    fn span(&self, boundary: usize) -> Span {
        self.spans.get(boundary).copied().unwrap_or_default()
    }

    /// What every test of the metric counts: without young pods, unless there is nothing but an objective on errors.
    fn add(&mut self, cell: &Cell, spec: &MetricSpec) {
        let with_young = spec.kind.with_young() && spec.tolerate.is_none();
        let sum = |boundary, pool| cell.sum_at(boundary, pool, with_young);
        for (boundary, span) in self.spans.iter_mut().enumerate() {
            span.add(cell, sum(boundary, Pool::FreeThreaded), sum(boundary, Pool::Standard));
        }
        // What is tolerated is a promise about the threshold: at its boundary alone a pool has to be shown to be well.
        if let Some(safe) = &mut self.safe {
            let side = |pool| (cell.sum(pool, false), cell.pods(pool, false).count());
            safe.push(side(Pool::FreeThreaded), side(Pool::Standard));
        }
        self.young += cell.sum(Pool::FreeThreaded, true).n - sum(0, Pool::FreeThreaded).n;
    }
}

/// The term of a metric that its sentence is about: of the comparison or the objective, whichever has more evidence, and of a
/// comparison at several boundaries the one with the most, unless none of them has moved. Only of a promise where it is `promised` alone.
fn foremost_term<'a>(terms: &(impl Iterator<Item = &'a Term> + Clone), promised: bool) -> Option<&'a Term> {
    let compared = || terms.clone().filter(|term| term.objective().is_none());
    let objective = terms.clone().find(|term| term.objective().is_some());
    let together = log_sum_exp(compared().map(Term::ln_term));
    if objective.is_some_and(|term| promised || term.ln_term() > together) {
        return objective;
    }
    let (_, largest) = largest_of(compared().enumerate())?;
    if largest.ln_m() > UNMOVED { Some(largest) } else { compared().next() }
}

/// Tested: its counts are of one weight and of one process per pod.
fn counts(cell: &Cell) -> bool {
    !cell.held && !cell.several_processes
}

fn ratio(ln: f64) -> f64 {
    ln.exp().min(LARGEST_RATIO)
}

fn blind_rank(pools: Pools) -> u8 {
    match pools {
        Pools::FreeThreaded => 0,
        Pools::Both => 1,
        Pools::Standard => 2,
    }
}

/// The verdict that takes precedence; among several that are unknown, one that is blind, on our pool alone first. What cannot be compared any
/// more says nothing, as long as anything else does.
fn foremost(metrics: &[MetricVerdict]) -> Option<Verdict> {
    let silent = |m: &MetricVerdict| {
        matches!(&m.verdict, Verdict::Unknown { why: Why::NobodyToCompareWith, .. }) && m.blind.is_none()
    };
    let rank =
        |m: &MetricVerdict| (m.verdict.rank(), m.blind.map_or(u8::MAX, |blind| blind_rank(blind.pools)));
    let clear = |m: &MetricVerdict| m.verdict.evidence().map_or(0.0, |e| e.term);
    let first = |best: &'_ MetricVerdict, next: &'_ MetricVerdict| {
        let more = matches!(next.verdict, Verdict::Clear(_) | Verdict::Safe(_)) && clear(next) > clear(best);
        rank(next) < rank(best) || rank(next) == rank(best) && more
    };
    let telling = metrics.iter().filter(|m| !silent(m));
    let foremost = telling.reduce(|best, next| if first(best, next) { next } else { best });
    foremost.or(metrics.first()).map(|m| m.verdict.clone())
}
