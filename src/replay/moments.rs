//! Rows that belong together: one interval, or one scrape, of all pods.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io::BufRead,
};

use super::{
    fields::Row,
    problem::{InputProblem, RowProblem},
    survey::Surveyed,
};

/// All pods at one time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Moment {
    /// Begin of the interval, or time of the scrape, ms since the epoch.
    pub(super) at: i64,
    /// Percent and the time of the row that said so, if told.
    weight: Option<(f64, i64)>,
    pub(super) pods: BTreeMap<String, Row>,
}

/// Groups rows by time.
pub(super) struct Moments<R> {
    rows: Surveyed<R>,
    /// Rows are taken together by intervals of this length (ms), which begin at its multiples. `None`: by equal times.
    grid: Option<i64>,
    open: Option<Moment>,
    done: bool,
}

impl<R: BufRead> Moments<R> {
    pub(super) fn new(rows: Surveyed<R>, grid: Option<i64>) -> Self {
        Self { rows, grid, open: None, done: false }
    }

    /// The next moment, later than the one before.
    pub(super) fn next(&mut self) -> Result<Option<Moment>, InputProblem> {
        while !self.done {
            let Some((pod, row)) = self.rows.next()? else {
                self.done = true;
                break;
            };
            let at = self.grid.map_or(row.at, |grid| row.at - row.at.rem_euclid(grid));
            let line = row.line;
            let finished =
                if self.open.as_ref().is_some_and(|open| open.at != at) { self.open.take() } else { None };
            let open = self.open.get_or_insert_with(|| Moment { at, weight: None, pods: BTreeMap::new() });
            open.add(pod, row).map_err(|problem| InputProblem::row(line, problem))?;
            if finished.is_some() {
                return Ok(finished);
            }
        }
        Ok(self.open.take())
    }
}

impl Moment {
    fn add(&mut self, pod: String, row: Row) -> Result<(), RowProblem> {
        self.weigh(&row)?;
        match self.pods.entry(pod) {
            Entry::Vacant(entry) => {
                entry.insert(row);
            }
            Entry::Occupied(mut entry) => {
                let known = entry.get();
                if known.pool != row.pool {
                    return Err(RowProblem::BothPools(entry.key().clone()));
                }
                // Several short intervals within one long one are added up, and a line that is there twice is not.
                if known.at == row.at {
                    return Err(RowProblem::Repeated { pod: entry.key().clone(), at: row.at });
                }
                let sum = |one: Option<f64>, two: Option<f64>| Some(one? + two?);
                let both = Row {
                    requests: known.requests + row.requests,
                    errors: sum(known.errors, row.errors),
                    slow: sum(known.slow, row.slow),
                    young: known.young,
                    ..row
                };
                entry.insert(both);
            }
        }
        Ok(())
    }

    /// The weight at the end of the interval: within a long one it may change, at one time it may not.
    fn weigh(&mut self, row: &Row) -> Result<(), RowProblem> {
        let Some(this) = row.weight else { return Ok(()) };
        if let Some((other, at)) = self.weight {
            #[allow(clippy::float_cmp, reason = "the same text is the same number")]
            if at == row.at && other != this {
                return Err(RowProblem::Weights { this, other });
            }
        }
        self.weight = Some((this, row.at));
        Ok(())
    }

    /// Share of the traffic, 0 to 1, if told.
    pub(super) fn share(&self) -> Option<f64> {
        self.weight.map(|(percent, _)| percent / 100.0)
    }
}
