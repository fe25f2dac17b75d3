//! Wiring only: watches, the queue, the leader lease, health, metrics, shutdown. Nothing here judges or decides.

mod backoff;
mod evidence;
mod health;
mod metrics;
mod reconcile;
mod run;
mod telemetry;
mod told;

pub use metrics::Metrics;
pub use run::{Args, RunError, run};
pub use telemetry::LogFormat;
