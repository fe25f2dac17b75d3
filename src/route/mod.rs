//! Ways to shift traffic, one file each. Every router reads back what it wrote.
//!
//! A router owns its weights and nothing else: [`pod_count`] the replicas of our pool.

mod pod_count;

use std::time::Duration;

use crate::{decide::Target, observe::LivePool};

pub use pod_count::PodCount;

/// What a router can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// It can put all traffic on the free-threaded pool.
    pub reaches_all: bool,
    /// What is written can be read back from what serves.
    pub reads_back: bool,
    /// Time from a write to the last request under the old weight, as measured.
    pub propagation: Duration,
}

/// A way to shift traffic.
///
/// Reading back is `observe`'s business: a [`crate::observe::RouteState`] per pass, from the caches.
pub trait Router {
    /// What it can do.
    fn abilities(&self) -> Abilities;

    /// Write a weight that falls: unconditional, retried at once on conflict, until it is read back.
    fn lower(&self, target: &Target, pool: &LivePool) -> impl Future<Output = Result<(), RouteError>> + Send;

    /// Write a weight that rises: only on top of the state that it was decided on.
    fn raise(&self, target: &Target, pool: &LivePool) -> impl Future<Output = Result<(), RouteError>> + Send;

    /// Give everything back as it was before the rollout.
    fn restore(&self, pool: &LivePool) -> impl Future<Output = Result<(), RouteError>> + Send;
}

/// Why a weight was not written.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// The API server refused or failed.
    #[error("writing {pods} pods to {pool}: {source}")]
    Api {
        /// Our Deployment.
        pool: String,
        /// Pods that were to be written.
        pods: i32,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// No answer in time.
    #[error("writing {pods} pods to {pool}: no answer within {} s", .after.as_secs())]
    Timeout {
        /// Our Deployment.
        pool: String,
        /// Pods that were to be written.
        pods: i32,
        /// The bound.
        after: Duration,
    },
    /// The server answered, and something else is there than was written.
    #[error("wrote {wrote} pods to {pool}, read back {read:?}")]
    NotApplied {
        /// Our Deployment.
        pool: String,
        /// What was written.
        wrote: i32,
        /// What was read back.
        read: Option<i32>,
    },
}
