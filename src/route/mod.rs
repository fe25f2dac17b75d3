//! Ways to shift traffic, one file each. What was written is read back by `observe`, from the caches.
//!
//! A router owns its weights and nothing else: [`pod_count`] the replicas of our pool, [`flag`] an annotation of it, the others two weights in an object of the team's own. How
//! those are found, set and taken out again is pure ([`shares`], [`edit`], one [`Dialect`] for each API); [`Weighted`] writes them. An `HTTPRoute`
//! may be our own instead: [`managed`] makes it, [`ManagedRouter`] writes it as a whole.

mod cohorts;
mod dialect;
mod edit;
mod flag;
mod gateway;
mod grpc_route;
mod http_proxy;
mod http_route;
mod managed;
mod managed_router;
mod pod_count;
mod shares;
mod traefik_service;
mod virtual_service;
mod weighted;

use std::time::Duration;

use kube::{Client, ResourceExt};

use crate::{
    api::{FreeThreadRollout, RouterKind},
    decide::Target,
    observe::{LivePool, Scene},
};

pub use dialect::{Acceptance, Dialect};
pub use edit::{give_back, set};
pub use flag::FlagRouter;
pub use managed::{Plan, is_ours as is_managed, owns, written as managed_weight};
pub use managed_router::ManagedRouter;
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
    /// By a route of our own.
    Managed(Box<ManagedRouter>),
    /// By a flag.
    Flag(FlagRouter),
}

impl Router {
    /// The router that the spec names, for what was observed.
    pub fn of(client: &Client, rollout: &FreeThreadRollout, scene: &Scene) -> Self {
        let namespace = rollout.namespace().unwrap_or_default();
        let route = rollout.route();
        if let Some(plan) = &scene.managed {
            let seen = scene.route.as_deref().map(plain);
            let router = ManagedRouter::new(client.clone(), &namespace, plan.clone(), seen);
            return Self::Managed(Box::new(router));
        }
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
            (Self::Managed(router), _) => router.lower(target).await,
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
            Self::Managed(router) => router.raise(target).await,
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
            (Self::Managed(router), _) => router.give_back().await,
            (Self::Flag(router), Some(pool)) => router.give_back(pool).await,
        }
    }

    /// Make a route of our own what it should be, at the weight that it has. Of others nothing but weights is ours.
    ///
    /// # Errors
    /// When it is not written.
    pub async fn renew(&self) -> Result<(), RouteError> {
        match self {
            Self::Managed(router) => router.renew().await,
            Self::PodCount(_) | Self::Weighted(_) | Self::Flag(_) => Ok(()),
        }
    }
}

/// Time from a write to the last request under the old weight, where it was measured: by pod counts with a preStop sleep (0.25 to 1.3 s), by an
/// `HTTPRoute` with Traefik as it comes (up to 2 s where another change came just before).
pub fn propagation(router: RouterKind) -> Option<Duration> {
    match router {
        RouterKind::PodCount => Some(Duration::from_millis(1300)),
        RouterKind::HttpRoute => Some(Duration::from_secs(2)),
        _ => None,
    }
}

/// One request about a weight, bounded and with its context.
async fn bounded<T>(
    (wrote, what): (String, String),
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, RouteError> {
    match tokio::time::timeout(WRITE_TIMEOUT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(RouteError::Api { wrote, what, source: Box::new(source) }),
        Err(_) => Err(RouteError::Timeout { wrote, what, after: WRITE_TIMEOUT }),
    }
}

/// A falling weight of our own Deployment: tried again at once. Without the Deployment nothing is left that could serve.
async fn insist<F: Future<Output = Result<(), RouteError>>>(write: impl Fn() -> F) -> Result<(), RouteError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match write().await {
            Err(RouteError::Api { source, .. }) if is_gone(&source) => return Ok(()),
            Err(error) if tries < LOWER_TRIES => {
                tracing::warn!(%error, tries, "lowering the weight: trying again at once");
            }
            done => return done,
        }
    }
}

/// The object is not there, or not under this uid: 404, or the conflict that an apply with a foreign uid gets.
fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404 || (status.code == 409 && status.message.contains("uid mismatch")))
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
