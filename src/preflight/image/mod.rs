//! The free-threaded image, looked at from the inside before its pool exists: inspected, stressed, and measured against the standard one.
//!
//! ```text
//! pool's template ─> job ─> a pod runs probe/*.py in the image ─> its log ─> finding ─> for a benchmark: speedup
//! ```
//!
//! All of it is pure: the Job is rendered here and created by `act`, the log is read by `operator`, `decide` says what follows.

mod benchmark;
mod containers;
mod document;
mod finding;
mod inspection;
mod job;
mod log;
mod script;
mod speedup;
mod stress;

pub use containers::CONTAINER;
pub use finding::CheckFinding;
pub use job::{Subject, asked, deadline, job_name, render_job, wish};
use log::DocumentError;
pub use log::MARKER;
pub use script::script;
pub use speedup::{LOOKS, ROUNDS_LIMIT, Speedup, beside};
