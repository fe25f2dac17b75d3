//! `freethread-rollout inventory`: will the dependencies run on the free-threaded image? From files alone: no cluster, no Python.
//!
//! ```text
//! uv.lock ─────> uv ─> walk ──┐
//! pylock.toml ─> pylock ──────┤
//! poetry.lock ─> poetry ──────┼─> pins ─> session ─> verdicts ─> report ─> text | json | sarif
//! Pipfile.lock, requirements ─┤             ▲
//! folders ─────> installed ───┘             └─ releases <─ index (only with --index)
//! ```
//!
//! A verdict is that of the wheel which `packaging` ranks first for the target; [`Verdict`] has them all. What is not known is `Unknown`
//! and lets the check fail: no data is never good news. Files and the network are touched in `run` and `index` alone; the rest is pure.

mod args;
mod index;
mod installed;
mod judging;
mod lock;
mod markers;
mod pipfile;
mod poetry;
mod problem;
mod pylock;
mod ranges;
mod releases;
mod report;
mod requirements;
mod run;
mod sarif;
mod session;
mod tags;
mod target;
mod text;
mod uv;
mod verdict;
mod walk;
mod wheel;

pub use args::{InventoryArgs, ReportFormat};
pub use installed::Installed;
pub use lock::Wanted;
pub use markers::MarkerProblem;
pub use problem::{InputProblem, InventoryError, Problem};
pub use report::{Entry, FileReport, Report};
pub use run::{main, run};
pub use session::{Content, Input, Policy, Stock, take_stock};
pub use tags::all_tags;
pub use target::{Interpreter, Libc, Target, TargetProblem};
pub use verdict::Verdict;
