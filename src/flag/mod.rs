//! A feature flag for each rollout that asks for one, served by every replica of the operator: how producers and queue workers get a percentage.
//!
//! The weight stands in an annotation of the pool's Deployment, written by the router and read here from the cache that every replica keeps; so
//! nothing depends on which replica leads. [`bucket`] and [`answer`] are pure.

mod answer;
mod bucket;
mod connections;
mod count;
mod limit;
mod metrics;
mod paced;
mod places;
mod pulse;
mod refusal;
mod serve;
mod tls;

pub use answer::{Evaluation, Failure, Flag, Pool, Request, document};
pub use bucket::is_ours;
pub use connections::{FlagError, bind, serve};
pub use count::{Evaluations, Tally};
pub use limit::Limit;
pub use metrics::FlagMetrics;
pub use pulse::Pulse;
use refusal::Refusal;
pub(crate) use serve::weight;
pub use serve::{FlagArgs, Flags, router};
pub use tls::{CertificateError, Tls};
