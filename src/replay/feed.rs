//! Moments on their way into an attempt, and the cells that come of them.

use super::{cells::Intervals, counters::Counters, moments::Moment};
use crate::judge::{Attempt, Cell, WeightChange};

/// What one moment led to.
#[derive(Debug, Default)]
pub(super) struct Fed {
    /// Until when the attempt knows, ms: the time to ask for its verdict.
    pub(super) now: i64,
    /// The cells that were judged, by the index of their metric.
    pub(super) cells: Vec<(usize, Cell)>,
    /// The share of the traffic from here on, where it changed.
    pub(super) share: Option<f64>,
}

/// Feeds moments: counts per interval as they are, running counters by way of the operator's own grid.
pub(super) enum Feeder {
    Intervals(Intervals),
    Counters(Counters),
}

impl Feeder {
    /// Nothing before has anything to do with what follows.
    pub(super) fn new(cumulative: bool, interval: i64) -> Self {
        if cumulative {
            Self::Counters(Counters::default())
        } else {
            Self::Intervals(Intervals::new(interval))
        }
    }

    /// Takes one moment.
    pub(super) fn push(&mut self, moment: Moment, attempt: &mut Attempt) -> Option<Fed> {
        match self {
            Self::Intervals(intervals) => intervals.push(moment, attempt),
            Self::Counters(counters) => Some(counters.push(&moment, attempt)),
        }
    }

    /// Takes what is left at the end of the file.
    pub(super) fn finish(&mut self, attempt: &mut Attempt) -> Option<Fed> {
        match self {
            Self::Intervals(intervals) => intervals.finish(attempt),
            Self::Counters(_) => None,
        }
    }
}

/// Follows the weight: the first interval with another one is the one in which it changed.
#[derive(Debug, Default)]
pub(super) struct Weight {
    share: Option<f64>,
    step: i64,
}

impl Weight {
    /// The change, if `share` is one: it happened at `at` (ms). The first weight was there before.
    pub(super) fn learn(&mut self, share: Option<f64>, at: i64, before: i64) -> Option<WeightChange> {
        let share = share?;
        let known = self.share.replace(share);
        #[allow(clippy::float_cmp, reason = "the same text is the same number")]
        match known {
            Some(old) if old == share => None,
            Some(_) => {
                self.step = at;
                Some(WeightChange { at, share })
            }
            None => Some(WeightChange { at: before, share }),
        }
    }

    /// When the step began, ms.
    pub(super) fn step(&self) -> i64 {
        self.step
    }
}
