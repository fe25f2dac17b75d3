//! `kubectl freethread init`: a first `FreeThreadRollout` for a Deployment as it runs today, with what could not be found out.
//!
//! ```text
//! Deployment, Services, autoscalers, routes ─┐
//! /metrics of a pod, read twice ─> exposition ┴─> found ─> proposal ─> commented YAML
//! ```
//!
//! Pure; `cli` reads the cluster.

mod exposition;
mod found;
mod proposal;
mod traffic;

pub use exposition::{Exposition, Sample};
pub use found::{Found, Metrics, container_of};
pub use proposal::proposal;
pub use traffic::{Seen, seen};
