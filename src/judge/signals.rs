//! Hard signals from counts alone: so gross that they stand outside the bound on false alarms.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::{counts::Counts, grid::Cell, samples::Pool};

/// Requests of the free-threaded pool that half failing is judged over.
const HALF_OF: f64 = 50.0;

/// The standard pool must be under this share, or it is everybody's incident.
const STANDARD_WELL: f64 = 0.1;

/// Predicted requests that silence is judged over.
const SILENT_OVER: f64 = 100.0;

/// Completing less than this part of what is predicted is silence.
const SILENT_UNDER: f64 = 0.1;

/// Longest list of cells a stretch keeps; more are joined in pairs.
const LONGEST: usize = 256;

/// A hard signal and its numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Signal {
    /// Half of the requests in the last cells that hold at least 50 failed, while the standard pool stayed under 10 %.
    HalfFailing {
        /// Name of the metric.
        metric: String,
        /// The free-threaded pool in those cells.
        free_threaded: Counts,
        /// The standard pool in the same cells.
        standard: Counts,
        /// Start of the first of those cells, ms since the epoch.
        from: i64,
        /// End of the last, ms since the epoch.
        to: i64,
    },
    /// The free-threaded pool completed under 10 % of what its share predicts, over a stretch that predicts at least 100 requests.
    /// A hung pool makes no evidence, but it is scraped, and its counters stand still.
    Silent {
        /// Name of the metric.
        metric: String,
        /// Requests completed.
        completed: f64,
        /// Requests that the share it was served predicts from what the standard pool completed.
        predicted: f64,
        /// Start of the stretch, ms since the epoch.
        from: i64,
        /// Its end, ms since the epoch.
        to: i64,
    },
}

/// The last cells that together reach a size.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stretch {
    needed: f64,
    cells: VecDeque<Part>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Part {
    from: i64,
    to: i64,
    size: f64,
    free_threaded: Counts,
    standard: Counts,
}

impl Part {
    fn join(self, later: Self) -> Self {
        let mut joined = Self { to: later.to, size: self.size + later.size, ..self };
        joined.free_threaded += later.free_threaded;
        joined.standard += later.standard;
        joined
    }
}

impl Stretch {
    fn new(needed: f64) -> Self {
        Self { needed, cells: VecDeque::new() }
    }

    /// Adds a cell; the sum over the shortest stretch of last cells that reaches the size, if any does.
    fn push(&mut self, part: Part) -> Option<Part> {
        self.cells.push_back(part);
        if self.cells.len() > LONGEST {
            let parts: Vec<Part> = self.cells.drain(..).collect();
            self.cells = parts.chunks(2).filter_map(|pair| pair.iter().copied().reduce(Part::join)).collect();
        }
        let mut size = 0.0;
        let enough = self.cells.iter().rev().position(|part| {
            size += part.size;
            size >= self.needed
        })?;
        self.cells.drain(..self.cells.len().saturating_sub(enough + 1));
        self.cells.iter().copied().reduce(Part::join)
    }
}

/// Watches the cells of one metric that counts errors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Watch {
    metric: String,
    failing: Stretch,
    silent: Stretch,
}

impl Watch {
    pub(super) fn new(metric: &str) -> Self {
        Self { metric: metric.to_owned(), failing: Stretch::new(HALF_OF), silent: Stretch::new(SILENT_OVER) }
    }

    /// Takes a cell, young pods and all. `share`: what the free-threaded pool was served in it, if known.
    pub(super) fn push(&mut self, cell: &Cell, share: Option<f64>) -> Vec<Signal> {
        if cell.several_processes {
            return Vec::new();
        }
        let (c, b) = (cell.sum(Pool::FreeThreaded, true), cell.sum(Pool::Standard, true));
        let part = Part { from: cell.start, to: cell.end, size: c.n, free_threaded: c, standard: b };
        // The share that fails needs no weight, so a cell in which the weight changed tells as well.
        let failing = self.failing.push(part).filter(|sum| {
            sum.free_threaded.k >= sum.free_threaded.n / 2.0 && sum.standard.share() < STANDARD_WELL
        });
        let failing = failing.map(|sum| Signal::HalfFailing {
            metric: self.metric.clone(),
            free_threaded: sum.free_threaded,
            standard: sum.standard,
            from: sum.from,
            to: sum.to,
        });
        failing.into_iter().chain(self.silence(cell, part, share)).collect()
    }

    fn silence(&mut self, cell: &Cell, part: Part, share: Option<f64>) -> Option<Signal> {
        let Some(share) = share.filter(|share| *share > 0.0) else {
            // Nothing is expected of it, so what it did before says nothing about what comes next.
            self.silent.cells.clear();
            return None;
        };
        let counted = cell.pods(Pool::FreeThreaded, true).count();
        if cell.held || counted == 0 || share >= 1.0 {
            return None;
        }
        // What the standard pool completed is the rest of all requests. Pods that were not scraped are not known to be silent.
        let seen = counted as f64 / (counted + cell.missing_free_threaded) as f64;
        let predicted = part.standard.n * share / (1.0 - share) * seen;
        let sum = self.silent.push(Part { size: predicted, ..part })?;
        (sum.free_threaded.n < SILENT_UNDER * sum.size).then(|| Signal::Silent {
            metric: self.metric.clone(),
            completed: sum.free_threaded.n,
            predicted: sum.size,
            from: sum.from,
            to: sum.to,
        })
    }
}
