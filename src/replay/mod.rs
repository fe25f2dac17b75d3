//! `freethread-rollout replay`: the operator's own judge on counts from a file, or from a Prometheus. No cluster.
//!
//! ```text
//! file ─> lines ─> rows ─> moments ─> feed ─> judge::Attempt ─> timeline ─> report ─> text | json | plot
//!                                      └────────────────────> thresholds ──┘
//! ```
//!
//! Everything is read once, in order, and nothing grows with the length of the file: what is kept of it is a bounded number of points.
//! Files are opened and written in [`run`] alone, and `range` makes the rows of a file out of a Prometheus; the rest is pure.

mod args;
mod cells;
mod columns;
mod counters;
mod feed;
mod fields;
mod history;
mod lines;
mod moments;
mod plot;
mod points;
mod problem;
mod range;
mod report;
mod rollout;
mod rows;
mod run;
mod session;
mod survey;
mod text;
mod thresholds;
mod timeline;

pub use args::{Format, ReplayArgs, Rival};
pub use problem::{InputProblem, ReplayError, RowProblem};
pub use range::RangeArgs;
pub use report::{Acted, Change, Judged, Largest, PoolReport, Report, RivalReport};
pub use run::run;
pub use session::{Replayed, replay};
