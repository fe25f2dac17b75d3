//! A feature flag for each rollout that asks for one, served by every replica of the operator: how producers and queue workers get a percentage.
//!
//! The weight stands in an annotation of the pool's Deployment, written by the router and read here from the cache that every replica keeps; so
//! nothing depends on which replica leads. [`bucket`] and [`answer`] are pure.

mod answer;
mod bucket;
mod count;
mod limit;
mod pulse;
mod serve;

pub use answer::{Evaluation, Failure, Flag, Pool, Request, document};
pub use bucket::is_ours;
pub use count::{Evaluations, Tally};
pub use limit::Limit;
pub use pulse::Pulse;
pub(crate) use serve::weight;
pub use serve::{FlagArgs, FlagError, Flags, router, serve};
