//! Ways to shift traffic, one file each. What was written is read back by `observe`, from the caches.
//!
//! A router owns its weights and nothing else: [`pod_count`] the replicas of our pool, [`flag`] an annotation of it, the others two weights in an object of the team's own. How
//! those are found, set and taken out again is pure ([`shares`], [`edit`], one [`Dialect`] for each API); [`Weighted`] writes them.

mod dialect;
mod edit;
mod flag;
mod gateway;
mod grpc_route;
mod http_proxy;
mod http_route;
mod pod_count;
mod shares;
mod traefik_service;
mod virtual_service;
mod weighted;

use std::time::Duration;

use kube::{Client, ResourceExt};

use crate::{
    api::FreeThreadRollout,
    decide::Target,
    observe::{LivePool, Scene},
};

pub use dialect::{Acceptance, Dialect};
pub use edit::{give_back, set};
pub use flag::FlagRouter;
pub use pod_count::PodCount;
pub use shares::{Names, Shares, Unusable, named, read, usable};
pub use weighted::{Backends, Weighted, plain, resource};

/// Bound on one write: the next look at a rollout, which may be a rollback, waits for a rise that hangs. (A lost lease ends it sooner.)
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
/// Tries of a falling weight before the pass ends and the queue takes over (which tries again at once).
const LOWER_TRIES: u32 = 3;

/// The router of one rollout.
pub enum Router {
    /// By pod counts.
    PodCount(PodCount),
    /// By weights.
    Weighted(Box<Weighted>),
    /// By a flag.
    Flag(FlagRouter),
}

impl Router {
    /// The router that the spec names, for what was observed.
    pub fn of(client: &Client, rollout: &FreeThreadRollout, scene: &Scene) -> Self {
        let namespace = rollout.namespace().unwrap_or_default();
        let route = rollout.spec.traffic.route();
        if rollout.spec.traffic.flag.is_some() {
            return Self::Flag(FlagRouter::new(client.clone(), &namespace, &rollout.pool_name()));
        }
        match route.and_then(|route| Some((route, Dialect::of(route.kind)?))) {
            None => Self::PodCount(PodCount::new(client.clone(), &namespace, &rollout.pool_name())),
            Some((route, dialect)) => {
                let seen = scene.route.as_deref().map(plain);
                let (at, backends) = ((namespace.as_str(), route.name), scene.backends.clone());
                Self::Weighted(Box::new(Weighted::new(client.clone(), dialect, at, backends, seen)))
            }
        }
    }

    /// Write a weight that falls: unconditional, retried at once on conflict, until it is read back.
    ///
    /// # Errors
    /// The last try's.
    pub async fn lower(&self, target: &Target, pool: Option<&LivePool>) -> Result<(), RouteError> {
        match (self, pool) {
            (Self::PodCount(router), Some(pool)) => router.lower(target, pool).await,
            (Self::Flag(router), Some(pool)) => router.lower(target, pool).await,
            // No Deployment: no pods, and a flag that says standard.
            (Self::PodCount(_) | Self::Flag(_), None) => Ok(()),
            (Self::Weighted(router), _) => router.lower(target).await,
        }
    }

    /// Write a weight that rises: only on top of the state that it was decided on.
    ///
    /// # Errors
    /// When it is not written, or something else is read back.
    pub async fn raise(&self, target: &Target, pool: &LivePool) -> Result<(), RouteError> {
        match self {
            Self::PodCount(router) => router.raise(target, pool).await,
            Self::Weighted(router) => router.raise(target).await,
            Self::Flag(router) => router.raise(target, pool).await,
        }
    }

    /// Take everything of ours out of what carries the weight, at weight 0. By pod counts there is nothing: the team's Service was never touched.
    ///
    /// # Errors
    /// When it is not written.
    pub async fn give_back(&self, pool: Option<&LivePool>) -> Result<(), RouteError> {
        match (self, pool) {
            (Self::PodCount(_), _) | (Self::Flag(_), None) => Ok(()),
            (Self::Weighted(router), _) => router.give_back().await,
            (Self::Flag(router), Some(pool)) => router.give_back(pool).await,
        }
    }

    /// Time from a write to the last request under the old weight.
    pub fn propagation(&self) -> Duration {
        match self {
            Self::PodCount(_) => pod_count::PROPAGATION,
            Self::Weighted(router) => router.propagation(),
            Self::Flag(_) => flag::PROPAGATION,
        }
    }
}

/// Why a weight was not written.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    /// The API server refused or failed.
    #[error("writing {wrote} to {what}: {source}")]
    Api {
        /// What was to be written: `3 pods`, `25 %`.
        wrote: String,
        /// The object.
        what: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// No answer in time.
    #[error("writing {wrote} to {what}: no answer within {} s", .after.as_secs())]
    Timeout {
        /// What was to be written.
        wrote: String,
        /// The object.
        what: String,
        /// The bound.
        after: Duration,
    },
    /// The server answered, and something else is there than was written.
    #[error("wrote {wrote} to {what}, read back {read}")]
    NotApplied {
        /// What was written.
        wrote: String,
        /// The object.
        what: String,
        /// What was read back.
        read: String,
    },
    /// The object is not there.
    #[error("{what} does not exist")]
    Gone {
        /// The object.
        what: String,
    },
}
