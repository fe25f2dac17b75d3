//! From the first row to the report.

use std::{io::BufRead, path::Path};

use kube::ResourceExt;

use super::{
    args::{ReplayArgs, Rival},
    columns::Need,
    feed::{Fed, Feeder},
    history::History,
    moments::{Moment, Moments},
    plot::Plot,
    points::Points,
    problem::{InputProblem, ReplayError},
    report::{Judged, Largest, PoolReport, Report, RivalReport},
    rollout,
    rows::Rows,
    survey::Surveyed,
    text,
    thresholds::{Rule, Thresholds},
    timeline::{Timeline, time},
};
use crate::{
    api::{FreeThreadRollout, Span},
    judge::{Attempt, AttemptSpec, Baseline, MetricKind, MetricSpec},
};

/// What came of a file.
#[derive(Debug)]
pub struct Replayed {
    /// All of it, as data.
    pub report: Report,
    points: Points,
}

impl Replayed {
    /// For people.
    pub fn text(&self) -> String {
        text::text(&self.report)
    }

    /// As SVG.
    pub fn svg(&self) -> String {
        Plot::new(&self.report, &self.points).svg()
    }
}

/// Judges `counts` by the rollout in `yaml`. Reads to the end of `counts` and of `history`, and nothing else.
///
/// # Errors
/// If anything of it cannot be read, with the line and what to write instead.
pub fn replay(
    args: &ReplayArgs,
    yaml: &str,
    counts: impl BufRead,
    history: Option<impl BufRead>,
) -> Result<Replayed, ReplayError> {
    let name = |path: &Path| {
        if path.as_os_str() == "-" { "standard input".to_owned() } else { path.display().to_string() }
    };
    let rollout =
        rollout::read(yaml).map_err(|problem| ReplayError::Rollout { file: name(&args.rollout), problem })?;
    let bad_spec = |problem| ReplayError::Spec { file: name(&args.rollout), problem };
    let analysis = &rollout.spec.analysis;
    let need = Need {
        errors: analysis.error_rate.is_some(),
        threshold: analysis.latency.as_ref().map(|latency| latency.threshold.secs()),
        ignore_unknown: args.ignore_unknown,
    };
    let rule = rule(args, &need)?;
    let in_counts = |problem| ReplayError::Input { file: args.counts_name(), problem };
    let rows = Surveyed::new(Rows::new(counts, &need)).map_err(in_counts)?;
    let source = Source::new(args, &rows).map_err(in_counts)??;
    let mut notes = Vec::new();
    source.notes(&rows, &need, &mut notes);
    let spec = AttemptSpec::of(analysis, source.interval, rows.first.0);
    let all = spec.metrics.len();
    let spec = spec.only(&[MetricKind::Errors, MetricKind::Latency]);
    if spec.metrics.len() < all {
        notes.push("errors and latency alone are judged, with the share of falseRollback that they have: a file holds nothing of restarts and counters of your own".to_owned());
    }
    spec.check().map_err(bad_spec)?;
    let mut learnt = None;
    if let Some(history) = history {
        let file = args.history.as_deref().map(name).unwrap_or_default();
        let in_history = |problem| ReplayError::Input { file: file.clone(), problem };
        let rows = Surveyed::new(Rows::new(history, &need)).map_err(in_history)?;
        let of = Source::new(args, &rows).map_err(in_history)??;
        let begun = AttemptSpec { started: rows.first.0, cell_ms: of.interval, ..spec.clone() };
        let mut gathered = History::new(&begun, args.runs_on(), of.interval).map_err(bad_spec)?;
        let mut moments = Moments::new(rows, of.grid);
        while let Some(moment) = moments.next().map_err(in_history)? {
            gathered.push(moment);
        }
        learnt = Some(gathered.finish().0);
    }
    let mut moments = Moments::new(rows, source.grid);
    let mut before = History::new(&spec, args.runs_on(), source.interval).map_err(bad_spec)?;
    let mut first = moments.next().map_err(in_counts)?;
    if let Some(until) = args.history_until {
        while let Some(moment) = first.take_if(|moment| moment.at < until) {
            before.push(moment);
            first = moments.next().map_err(in_counts)?;
        }
    }
    let (of_before, last) = before.finish();
    if args.history_until.is_some() {
        learnt = Some(of_before);
    }
    let Some(first) = first else {
        return Err(in_counts(InputProblem::AllHistory(args.history_until.unwrap_or_default())));
    };
    let mut judging =
        Judging::new(&rollout, with_noise(&spec, learnt.as_deref(), first.at), args.runs_on(), rule)
            .map_err(bad_spec)?;
    if let Some(last) = last {
        judging.feeder.push(last, &mut judging.attempt);
    }
    judging.began = first.at;
    judging.push(first);
    while let Some(moment) = moments.next().map_err(in_counts)? {
        judging.push(moment);
    }
    judging.finish();
    Ok(judging.report(&rollout, args.counts_name(), learnt.as_deref(), notes))
}

fn rule(args: &ReplayArgs, need: &Need) -> Result<Option<Rule>, ReplayError> {
    if args.against != Some(Rival::Thresholds) {
        return Ok(None);
    }
    if !need.errors {
        let problem =
            "--against thresholds compares the success rate, and the rollout's analysis has no errorRate";
        return Err(ReplayError::Options(problem.to_owned()));
    }
    if args.window.millis() == 0 {
        return Err(ReplayError::Options("--window must be longer than 0".to_owned()));
    }
    Ok(Some(Rule {
        success: args.success_rate.ratio(),
        window: args.window.millis(),
        failures: args.failures,
    }))
}

fn with_noise(spec: &AttemptSpec, learnt: Option<&[Baseline]>, started: i64) -> AttemptSpec {
    let learn = |(i, metric): (usize, MetricSpec)| {
        let noise = learnt.and_then(|all| all.get(i)).map_or(metric.noise, |baseline| baseline.noise);
        MetricSpec { noise, ..metric }
    };
    AttemptSpec {
        started,
        metrics: spec.metrics.iter().cloned().enumerate().map(learn).collect(),
        ..spec.clone()
    }
}

/// How the times of a file are read.
struct Source {
    interval: i64,
    grid: Option<i64>,
}

impl Source {
    fn new<R: BufRead>(
        args: &ReplayArgs,
        rows: &Surveyed<R>,
    ) -> Result<Result<Self, ReplayError>, InputProblem> {
        let interval = rows.interval(args.interval)?;
        if let Some(step) = rows.step.filter(|step| *step > interval) {
            return Ok(Err(ReplayError::Options(format!(
                "--interval {} is shorter than the {} from one row of a pod to its next",
                Span::from_millis(interval),
                Span::from_millis(step),
            ))));
        }
        let together = args.interval.is_some() || rows.staggered();
        Ok(Ok(Self { interval, grid: (together && !args.runs_on()).then_some(interval) }))
    }

    fn notes<R: BufRead>(&self, rows: &Surveyed<R>, need: &Need, notes: &mut Vec<String>) {
        if rows.staggered() && self.grid.is_some() {
            let interval = Span::from_millis(self.interval);
            notes.push(format!(
                "the pods' rows have times of their own and are taken together in intervals of {interval}"
            ));
        }
        if let (Some(boundary), Some(threshold)) = (rows.boundary(), need.threshold)
            && boundary > threshold
        {
            notes.push(format!(
                "latency: slow is over {boundary} s instead of over {threshold} s: no bucket ends at the threshold"
            ));
        }
    }
}

/// The attempt and all that looks on.
struct Judging {
    feeder: Feeder,
    attempt: Attempt,
    timeline: Timeline,
    rival: Option<Thresholds>,
    rival_errors: Option<f64>,
    share: Option<f64>,
    began: i64,
    now: i64,
}

impl Judging {
    fn new(
        rollout: &FreeThreadRollout,
        spec: AttemptSpec,
        cumulative: bool,
        rule: Option<Rule>,
    ) -> Result<Self, crate::judge::SpecError> {
        let (interval, started) = (spec.cell_ms, spec.started);
        Ok(Self {
            feeder: Feeder::new(cumulative, interval),
            attempt: Attempt::new(spec)?,
            timeline: Timeline::new(&rollout.spec.analysis),
            rival: rule.map(Thresholds::new),
            rival_errors: None,
            share: None,
            began: started,
            now: started,
        })
    }

    fn push(&mut self, moment: Moment) {
        let at = moment.at;
        let counters = matches!(self.feeder, Feeder::Counters(_));
        if counters && at - self.now > self.attempt.spec().cell_ms * 3 / 2 {
            self.ask(at);
        }
        let fed = self.feeder.push(moment, &mut self.attempt);
        if let Some(fed) = fed {
            self.judge(&fed);
            if !counters && at > fed.now {
                // Nothing was seen since: how that looks before the next interval is there.
                self.ask(at);
            }
        }
    }

    fn finish(&mut self) {
        if let Some(fed) = self.feeder.finish(&mut self.attempt) {
            self.judge(&fed);
        }
    }

    fn judge(&mut self, fed: &Fed) {
        self.now = fed.now;
        self.share = fed.share.or(self.share);
        let over = self.timeline.acted.is_some();
        let judgement = (!over).then(|| self.attempt.verdict(fed.now));
        self.timeline.cells(fed.now, judgement.as_ref().map(|j| j.ratio), &fed.cells);
        if let Some(judgement) = judgement {
            let served = self.served();
            self.timeline.judged(fed.now, &judgement, served);
        }
        let Some(rival) = &mut self.rival else { return };
        let metrics = &self.attempt.spec().metrics;
        for (index, cell) in &fed.cells {
            if metrics.get(*index).is_some_and(|metric| metric.kind == MetricKind::Errors) {
                rival.push(cell);
            }
        }
        if rival.acted.is_some() && self.rival_errors.is_none() {
            self.rival_errors = Some(self.timeline.sums.free_threaded.k);
        }
    }

    /// The verdict at a time at which nothing new is known.
    fn ask(&mut self, at: i64) {
        if self.timeline.acted.is_none() {
            let judgement = self.attempt.verdict(at);
            let served = self.served();
            self.timeline.judged(at, &judgement, served);
        }
    }

    /// Traffic reaches the free-threaded pool, by the weight where it is told. A pool that the file never holds is missing from the
    /// file, and is not taken for silent.
    fn served(&self) -> bool {
        self.timeline.sums.free_threaded_pods > 0 && self.share.is_none_or(|share| share > 0.0)
    }

    fn report(
        self,
        rollout: &FreeThreadRollout,
        file: String,
        learnt: Option<&[Baseline]>,
        mut notes: Vec<String>,
    ) -> Replayed {
        let spec = self.attempt.spec().clone();
        let sums = self.timeline.sums;
        if self.share.is_none() {
            notes.push("no weight is told: silence of the free-threaded pool is not looked for, and no step begins anew".to_owned());
        }
        if sums.common == 0 {
            notes.push("no interval holds both pools, so that nothing is compared: if their times differ, give --interval".to_owned());
        }
        if sums.several_processes {
            notes.push(
                "counters of a pod jump between several processes: its intervals are not counted".to_owned(),
            );
        }
        let source = |i: usize| match learnt.and_then(|all| all.get(i)) {
            Some(baseline) => baseline.source(),
            None => "assumed: no history was given".to_owned(),
        };
        let metrics = spec.metrics.iter().enumerate().map(|(i, metric)| Judged {
            name: metric.name.clone(),
            max: metric.objective,
            tolerate: metric.tolerate,
            noise: metric.noise,
            noise_source: source(i),
        });
        let thresholds = self.rival.as_ref().map(|rival| RivalReport {
            success_rate: rival.rule.success,
            window_seconds: rival.rule.window as f64 / 1000.0,
            failures: rival.rule.failures,
            checks: rival.checks,
            failed: rival.failed,
            at: rival.acted.map(time),
            errors: self.rival_errors,
        });
        let (largest, at) = self.timeline.largest;
        let points = self.timeline.points.clone();
        let (left_out, acted) = (self.timeline.left_out, self.timeline.acted.clone());
        let (mut changes, last) = self.timeline.changes();
        let left_out_after = changes.len();
        changes.extend(last);
        let report = Report {
            counts: file,
            rollout: rollout.name_any(),
            from: time(self.began),
            to: time(self.now),
            interval_seconds: spec.cell_ms as f64 / 1000.0,
            intervals: sums.intervals,
            held_intervals: sums.held,
            standard: PoolReport {
                pods: sums.standard_pods,
                requests: sums.standard.n,
                bad: sums.standard.k,
            },
            free_threaded: PoolReport {
                pods: sums.free_threaded_pods,
                requests: sums.free_threaded.n,
                bad: sums.free_threaded.k,
            },
            false_rollback: spec.alpha,
            metrics: metrics.collect(),
            notes,
            changes,
            changes_left_out: left_out,
            left_out_after,
            largest: Largest { at: time(at.max(self.began)), ratio: largest },
            bound: 1.0 / spec.alpha,
            acted,
            thresholds,
        };
        Replayed { report, points }
    }
}
