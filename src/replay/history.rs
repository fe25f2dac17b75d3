//! What the standard pool did before: how much burstier than coin tosses its counts are.

use std::collections::VecDeque;

use super::{feed::Feeder, moments::Moment};
use crate::judge::{Attempt, AttemptSpec, Baseline, Cell, Pool, SpecError};

/// How many cells of each metric are learnt from: the last 20 hours at 15 s.
const CELLS: usize = 5_000;

/// Gathers a history.
pub(super) struct History {
    feeder: Feeder,
    /// Judges nothing: it makes cells, in the same way as when they are judged.
    attempt: Attempt,
    cells: Vec<VecDeque<Cell>>,
    /// The last scrape, from which the first one that is judged is a difference.
    last: Option<Moment>,
    cumulative: bool,
}

impl History {
    pub(super) fn new(spec: &AttemptSpec, cumulative: bool, interval: i64) -> Result<Self, SpecError> {
        Ok(Self {
            feeder: Feeder::new(cumulative, interval),
            attempt: Attempt::new(spec.clone())?,
            cells: vec![VecDeque::new(); spec.metrics.len()],
            last: None,
            cumulative,
        })
    }

    pub(super) fn push(&mut self, mut moment: Moment) {
        if self.cumulative {
            self.last = Some(moment.clone());
        }
        moment.pods.retain(|_, row| row.pool == Pool::Standard);
        let fed = self.feeder.push(moment, &mut self.attempt);
        self.keep(fed.map(|fed| fed.cells).unwrap_or_default());
    }

    /// What was learnt, metric by metric, and the last scrape.
    pub(super) fn finish(mut self) -> (Vec<Baseline>, Option<Moment>) {
        let fed = self.feeder.finish(&mut self.attempt);
        self.keep(fed.map(|fed| fed.cells).unwrap_or_default());
        let learn = |cells: &mut VecDeque<Cell>| Baseline::of(cells.make_contiguous());
        (self.cells.iter_mut().map(learn).collect(), self.last)
    }

    fn keep(&mut self, cells: Vec<(usize, Cell)>) {
        for (index, cell) in cells {
            let Some(kept) = self.cells.get_mut(index) else { continue };
            kept.push_back(cell);
            if kept.len() > CELLS {
                kept.pop_front();
            }
        }
    }
}
