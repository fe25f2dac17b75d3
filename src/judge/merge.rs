//! All tests of an attempt together: `Σ w_i·M_i ≥ 1/α`, and what to make of incidents that hit both pools.
//!
//! The null hypothesis of an objective is really false when both pools fail together, and its evidence outlives the incident:
//! merged plainly it rolls back in 98 to 100 % of such runs. So an objective that would cross is asked whether the standard pool
//! fails as well; if it does, the objective starts anew and is held until the standard pool is well again.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{
    counts::Counts,
    evidence::{Span, Term, UNMOVED},
    grid::Cell,
    mixture::log_sum_exp,
    samples::Pool,
    spec::{AttemptSpec, MetricKind},
};

/// How far back the standard pool's health is looked at, ms.
const RECENT_MS: i64 = 60_000;

/// The standard pool is expected to show this many bad requests, were it hit alike, before anybody is blamed.
const EXPECTED_BAD: f64 = 8.0;

/// Longest wait for them, ms.
const WAIT_MS: i64 = 30_000;

/// What the evidence says after the last cell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) enum Standing {
    /// Under the bar.
    #[default]
    Quiet,
    /// Over it by this objective; whether the standard pool fails as well is not known before this time (ms).
    Waiting { term: usize, until: i64 },
    /// Under it, with objectives held.
    Shared,
    /// Crossed for good, blamed on this term.
    Breach(Crossing),
}

/// The moment the bar was crossed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Crossing {
    pub(super) term: usize,
    pub(super) span: Span,
    /// `ln Σ w·M` then.
    pub(super) ln_sum: f64,
    /// `ln(w·M)` of the blamed term.
    pub(super) ln_term: f64,
}

/// The tests of all metrics, on common time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Merge {
    pub(super) terms: Vec<Term>,
    bar: f64,
    crossed: Option<i64>,
    standing: Standing,
    recent: Vec<Recent>,
}

/// Cells of the last minute, the standard pool's side.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Recent {
    with_young: bool,
    cells: VecDeque<(i64, Counts)>,
}

impl Recent {
    fn push(&mut self, cell: &Cell) {
        self.cells.retain(|(start, _)| *start >= cell.end - RECENT_MS);
        self.cells.push_back((cell.start, cell.sum(Pool::Standard, self.with_young)));
    }

    fn sum(&self) -> Counts {
        let mut sum = Counts::default();
        for (_, counts) in &self.cells {
            sum += *counts;
        }
        sum
    }
}

impl Merge {
    pub(super) fn new(spec: &AttemptSpec) -> Self {
        let recent = |kind: MetricKind| Recent { with_young: kind.with_young(), cells: VecDeque::new() };
        Self {
            terms: Term::all(spec),
            bar: -spec.alpha.ln(),
            crossed: None,
            standing: Standing::Quiet,
            recent: spec.metrics.iter().map(|metric| recent(metric.kind)).collect(),
        }
    }

    /// `1/α`.
    pub(super) fn bound(&self) -> f64 {
        self.bar.exp()
    }

    /// `ln Σ w·M`.
    pub(super) fn ln_sum(&self) -> f64 {
        log_sum_exp(self.terms.iter().map(Term::ln_term))
    }

    pub(super) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Takes cells of different metrics (by index) that end at `end` (ms) and says what follows. A metric without a cell keeps its
    /// last `M`, and nothing is redistributed. After a breach nothing counts any more. Where the free-threaded pool is `alone`, nobody is
    /// waited for who could say that it is hit alike.
    pub(super) fn push(&mut self, end: i64, cells: &[(usize, &Cell)], alone: bool) {
        if matches!(self.standing, Standing::Breach(_)) {
            return;
        }
        for (metric, cell) in cells {
            if let Some(recent) = self.recent.get_mut(*metric) {
                recent.push(cell);
            }
            for term in self.terms.iter_mut().filter(|term| term.metric == *metric) {
                term.push(cell);
            }
            self.release(*metric);
        }
        self.standing = self.decide(end, alone);
    }

    /// Ends holds of a metric whose standard pool is well again, or has no traffic to say.
    fn release(&mut self, metric: usize) {
        let recent = self.recent_of(metric);
        for term in self.terms.iter_mut().filter(|term| term.metric == metric) {
            if term.objective().is_some_and(|p0| recent.k <= p0 * recent.n) {
                term.held = None;
            }
        }
    }

    fn recent_of(&self, metric: usize) -> Counts {
        self.recent.get(metric).map(Recent::sum).unwrap_or_default()
    }

    fn decide(&mut self, end: i64, alone: bool) -> Standing {
        let regressions = self.terms.iter().enumerate().filter(|(_, t)| t.objective().is_none());
        if let Some(term) = over(regressions, self.bar) {
            return self.breach(term);
        }
        while let Some(largest) = over(self.terms.iter().enumerate(), self.bar) {
            // An objective that has not moved, a held one too, is not what crossed.
            let moved =
                self.terms.iter().enumerate().filter(|(_, t)| t.objective().is_some() && t.ln_m() > UNMOVED);
            let Some((index, term)) = largest_of(moved) else { return self.breach(largest) };
            let (p0, span) = (term.objective().unwrap_or_default(), term.since);
            let share = span.free_threaded.share();
            let crossed = *self.crossed.get_or_insert(end);
            let expected = span.standard.n * share;
            let heard = !alone && self.recent_of(term.metric).n > 0.0;
            if heard && expected < EXPECTED_BAD && end - crossed < WAIT_MS {
                return Standing::Waiting { term: index, until: crossed + WAIT_MS };
            }
            if span.standard.n <= 0.0 || span.standard.share() <= p0.max(share / 3.0) {
                return self.breach(index);
            }
            if let Some(term) = self.terms.get_mut(index) {
                term.hold();
            }
            self.crossed = None;
        }
        self.crossed = None;
        if self.terms.iter().any(|term| term.held.is_some()) { Standing::Shared } else { Standing::Quiet }
    }

    fn breach(&self, term: usize) -> Standing {
        let (span, ln_term) = self.terms.get(term).map_or((Span::default(), 0.0), |t| (t.since, t.ln_term()));
        Standing::Breach(Crossing { term, span, ln_sum: self.ln_sum(), ln_term })
    }
}

/// The largest of `terms`, if together they reach the bar.
fn over<'a>(terms: impl Iterator<Item = (usize, &'a Term)> + Clone, bar: f64) -> Option<usize> {
    let sum = log_sum_exp(terms.clone().map(|(_, term)| term.ln_term()));
    if sum >= bar { largest_of(terms).map(|(index, _)| index) } else { None }
}

/// The largest term, the first of equals.
pub(super) fn largest_of<'a>(terms: impl Iterator<Item = (usize, &'a Term)>) -> Option<(usize, &'a Term)> {
    terms.fold(None, |best, next| match best {
        Some((_, term)) if term.ln_term() >= next.1.ln_term() => best,
        _ => Some(next),
    })
}
