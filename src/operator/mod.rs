//! Wiring only: watches, the queue, the leader lease, health, metrics, shutdown, and the way out. Nothing here judges or decides.

mod backoff;
mod beside;
mod evidence;
mod give_back;
mod health;
mod history;
mod inspections;
mod keep;
mod metrics;
mod place;
mod reconcile;
mod restarts;
mod run;
mod telemetry;
mod throughput;
mod told;
mod wanted;

pub use give_back::{GiveBackArgs, GiveBackError, give_back};
pub use metrics::Metrics;
pub use place::Place;
pub use run::{Args, RunError, run};
pub use telemetry::LogFormat;
