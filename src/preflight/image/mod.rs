//! The free-threaded image, looked at from the inside before its pool exists.
//!
//! ```text
//! pool's template ─> job ─> a pod runs probe/*.py in the image ─> its log ─> document ─> finding
//! ```
//!
//! All of it is pure: the Job is rendered here and created by `act`, the log is read by `operator`.

mod document;
mod finding;
mod job;
mod script;

pub use document::{Document, DocumentError, FORMAT, MARKER};
pub use finding::ImageFinding;
pub use job::{CONTAINER, ImageCheck, job_name, render_job};
pub use script::SCRIPT;
