//! Verdicts over time: what changed, how far the evidence went, and the moment at which the operator would have acted.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::{
    points::{Point, Points},
    report::{Acted, Change},
};
use crate::{
    api::{Analysis, OnBlind},
    judge::{Cell, Counts, Finding, FindingKind, Judgement, Pool, Pools, Signal, Verdict, Why},
};

/// How many changes are kept from the beginning, and from the end.
const FIRST: usize = 60;
const LAST: usize = 40;

/// Everything that is kept of the judging.
#[derive(Clone, Debug)]
pub(super) struct Timeline {
    first: Vec<Change>,
    last: VecDeque<Change>,
    pub(super) left_out: u64,
    said: Option<Said>,
    pub(super) points: Points,
    /// Largest evidence, and when.
    pub(super) largest: (f64, i64),
    pub(super) acted: Option<Acted>,
    blindness: Blindness,
    pub(super) sums: Sums,
    until: Option<i64>,
}

/// What the file held.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) intervals: u64,
    /// Intervals in which a pod of each pool was counted.
    pub(super) common: u64,
    pub(super) held: u64,
    /// Most pods in one interval.
    pub(super) standard_pods: usize,
    pub(super) free_threaded_pods: usize,
    pub(super) standard: Counts,
    pub(super) free_threaded: Counts,
    pub(super) several_processes: bool,
}

/// What a verdict says, but for its numbers.
#[derive(Clone, Debug, PartialEq)]
struct Said {
    rank: u8,
    why: u8,
    metric: String,
}

/// Since when the free-threaded pool alone has been silent, and what that leads to.
#[derive(Clone, Copy, Debug)]
struct Blindness {
    since: Option<i64>,
    longest: i64,
    rolls_back: bool,
}

impl Timeline {
    pub(super) fn new(analysis: &Analysis) -> Self {
        let blindness = Blindness {
            since: None,
            longest: analysis.blind_for.millis(),
            rolls_back: analysis.on_blind == OnBlind::RollBack,
        };
        Self {
            first: Vec::new(),
            last: VecDeque::new(),
            left_out: 0,
            said: None,
            points: Points::new(),
            largest: (0.0, i64::MIN),
            acted: None,
            blindness,
            sums: Sums::default(),
            until: None,
        }
    }

    /// Cells that were judged.
    pub(super) fn cells(&mut self, now: i64, ratio: Option<f64>, cells: &[(usize, Cell)]) {
        for (_, cell) in cells.iter().filter(|(index, _)| *index == 0) {
            let (ours, standard) =
                (cell.pods(Pool::FreeThreaded, true).count(), cell.pods(Pool::Standard, true).count());
            let sums = &mut self.sums;
            sums.intervals += 1;
            sums.common += u64::from(ours > 0 && standard > 0);
            sums.held += u64::from(cell.held);
            sums.standard_pods = sums.standard_pods.max(standard);
            sums.free_threaded_pods = sums.free_threaded_pods.max(ours);
            sums.standard += cell.sum(Pool::Standard, true);
            sums.free_threaded += cell.sum(Pool::FreeThreaded, true);
            sums.several_processes |= cell.several_processes;
        }
        let from = self.until.or(cells.first().map(|(_, cell)| cell.start)).unwrap_or(now);
        self.points.push(&Point::new(from, now, ratio, cells));
        self.until = Some(now);
    }

    /// What was said at `now`. `served`: the free-threaded pool has traffic, as far as that is known.
    pub(super) fn judged(&mut self, now: i64, judgement: &Judgement, served: bool) {
        if self.acted.is_some() {
            return;
        }
        // Before anything was counted it is 1, which says nothing.
        if judgement.ratio > self.largest.0 && self.sums.intervals > 0 {
            self.largest = (judgement.ratio, now);
        }
        let overall = &judgement.overall;
        if self.said.as_ref().is_none_or(|said| !said.is(overall)) {
            self.said = Some(Said::of(overall));
            let finding = Finding::of_counts(judgement, now);
            self.change(Change {
                at: time(now),
                verdict: finding.kind,
                sentence: finding.sentence,
                ratio: judgement.ratio,
            });
        }
        self.acted = acted(now, judgement, self.sums.free_threaded.k);
        let alone = judgement.blind.filter(|blind| blind.pools == Pools::FreeThreaded);
        if alone.is_none() || !served {
            self.blindness.since = None;
            return;
        }
        let since = *self.blindness.since.get_or_insert(now);
        if self.acted.is_none() && self.blindness.rolls_back && now - since >= self.blindness.longest {
            let sentence = format!(
                "no data of the free-threaded pool since {}, longer than analysis.blindFor",
                time(since)
            );
            self.change(Change {
                at: time(now),
                verdict: FindingKind::Unknown,
                sentence: sentence.clone(),
                ratio: judgement.ratio,
            });
            self.acted = Some(Acted {
                at: time(now),
                verdict: FindingKind::Unknown,
                sentence,
                since: Some(time(since)),
                after_seconds: Some(seconds(since, now)),
                excess: None,
                errors: self.sums.free_threaded.k,
            });
        }
    }

    fn change(&mut self, change: Change) {
        if self.first.len() < FIRST {
            self.first.push(change);
            return;
        }
        self.last.push_back(change);
        if self.last.len() > LAST {
            self.last.pop_front();
            self.left_out += 1;
        }
    }

    /// The changes that were kept: those before and those after what was left out.
    pub(super) fn changes(self) -> (Vec<Change>, Vec<Change>) {
        (self.first, self.last.into())
    }
}

/// Whether it is acted on, as `decide` does: a hard signal or a breach. `errors`: bad requests so far.
fn acted(now: i64, judgement: &Judgement, errors: f64) -> Option<Acted> {
    let excess = |c: Counts, b: Counts| (c.k - c.n * b.share()).max(0.0);
    let (verdict, since, excess) = match &judgement.overall {
        Verdict::Breach(e) => (FindingKind::Breach, e.from, Some(excess(e.free_threaded, e.standard))),
        Verdict::HardSignal(Signal::HalfFailing { from, free_threaded, standard, .. }) => {
            (FindingKind::HardSignal, Some(*from), Some(excess(*free_threaded, *standard)))
        }
        Verdict::HardSignal(Signal::Silent { from, .. }) => (FindingKind::HardSignal, Some(*from), None),
        _ => return None,
    };
    Some(Acted {
        at: time(now),
        verdict,
        sentence: judgement.overall.sentence(),
        since: since.map(time),
        after_seconds: since.map(|since| seconds(since, now)),
        excess,
        errors,
    })
}

impl Said {
    fn parts(verdict: &Verdict) -> (u8, u8, &str) {
        let why = match verdict {
            Verdict::Unknown { why, .. } => match why {
                Why::QueryFailed { .. } => 1,
                Why::SeveralProcesses { .. } => 2,
                Why::NoData { .. } => 3,
                Why::Stale { .. } => 4,
                Why::Confirming { .. } => 5,
                Why::WarmingUp => 6,
                Why::NoTraffic { pool: Pool::Standard } => 7,
                Why::NoTraffic { pool: Pool::FreeThreaded } => 8,
                Why::NotEnough { .. } => 9,
                Why::Ended => 10,
                Why::NobodyToCompareWith => 11,
            },
            _ => 0,
        };
        // Which of two metrics is a little ahead while all is well is no news.
        let metric = match verdict {
            Verdict::Clear(_) | Verdict::Safe(_) => None,
            other => other.evidence(),
        };
        (verdict.rank(), why, metric.map_or("", |evidence| evidence.metric.as_str()))
    }

    fn of(verdict: &Verdict) -> Self {
        let (rank, why, metric) = Self::parts(verdict);
        Self { rank, why, metric: metric.to_owned() }
    }

    fn is(&self, verdict: &Verdict) -> bool {
        Self::parts(verdict) == (self.rank, self.why, self.metric.as_str())
    }
}

/// A time (ms) as JSON has it.
pub(super) fn time(at: i64) -> Timestamp {
    Timestamp::from_millisecond(at).unwrap_or_default()
}

fn seconds(from: i64, to: i64) -> f64 {
    (to - from) as f64 / 1000.0
}
