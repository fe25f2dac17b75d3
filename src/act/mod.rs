//! Decision → API writes, in one fixed and crash-safe order.
//!
//! 1. The weight, if it falls: alone, first, unconditional. Then the replicas of a standard pool that was handed over, even where the weight would not
//!    fall: it falls no further than that pool's ready pods can take over.
//! 2. The Job that inspects the image, and the pool with its pods; what else is ours in the team's route, once the weight is 0; a route of our
//!    own, at the weight that it has.
//! 3. The weight, if it rises: only if nothing before it failed. Refused, it ends the pass: nothing has happened that could be told.
//! 4. The status, with the sentence; then the events. Neither stops 1 to 3.
//!
//! One exception, which delays nothing that falls: somebody's edit of our pool, or of a route of our own, is counted in the status before it is
//! put back.

mod error;
mod events;
mod finalizer;
mod hand_over;
mod pool;
mod preflight;
mod status;
mod written;

use std::sync::Arc;

use kube::{Client, ResourceExt};

use crate::{
    api::{FreeThreadRollout, Reason},
    decide::{Decision, Movement, Note, PoolWanted, StandardWanted},
    observe::Scene,
    route::{PodCount, Router},
};

pub use error::{ActError, Kind};
pub use finalizer::claim;
pub use written::Written;

/// Who acts: the way to the API server, the name that events give, and what was written before.
#[derive(Clone, Copy)]
pub struct Actor<'a> {
    /// The way to the API server.
    pub client: &'a Client,
    /// This replica's name.
    pub instance: &'a str,
    /// Our last writes.
    pub written: &'a Written,
}

/// What was done.
#[allow(clippy::struct_excessive_bools, reason = "four independent facts for the log, not a state")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// A weight was written and read back.
    pub weight: bool,
    /// Our Deployment was written or removed.
    pub pool: bool,
    /// The status was written.
    pub status: bool,
    /// The finalizer was removed: the rollout is over.
    pub released: bool,
}

/// Tell people that the API server refuses a write of our pool: where the weight itself is refused the pass ends before its status. On its
/// own and without an answer, because the next try comes first; `event`: also as an event.
pub fn tell_refused(
    client: &Client,
    rollout: &Arc<FreeThreadRollout>,
    error: &ActError,
    words: &str,
    event: bool,
    instance: &str,
) {
    let message = format!("{}, it is tried again: {words}", error.doing());
    // A pass whose pool is refused writes its status all the same, and says it there.
    let weight = matches!(error, ActError::Lower(_) | ActError::Raise(_));
    let status = weight.then(|| status::with_refusal(rollout, &message, jiff::Timestamp::now())).flatten();
    let (client, rollout, instance) = (client.clone(), rollout.clone(), instance.to_owned());
    tokio::spawn(async move {
        if let Some(status) = status
            && let Err(error) = status::write(&client, &rollout, &status, &Written::default()).await
        {
            tracing::debug!(%error, "refusal not told");
        }
        if event {
            let note = Note { warning: true, reason: Reason::WriteRefused, message };
            events::publish(&client, &rollout, &[note], &instance).await;
        }
    });
}

/// Carry out `decision`.
///
/// # Errors
/// The first thing that failed. What may go on without it went on.
pub async fn act(
    actor: Actor<'_>,
    rollout: &FreeThreadRollout,
    scene: &Scene,
    decision: &Decision,
) -> Result<Done, ActError> {
    let Actor { client, instance, written } = actor;
    let namespace = rollout.namespace().unwrap_or_default();
    let router = Router::of(client, rollout, scene);
    let live = scene.observation.free_threaded.live.as_ref();
    let mut done = Done::default();

    // By pod counts no Deployment is no weight.
    let by_route = rollout.route().is_some();
    let falls = decision.target.movement == Movement::Fall && (live.is_some() || by_route);
    // Nothing comes before this, and nothing that follows may say it was done if it was not.
    let lowered = if falls { router.lower(&decision.target, live).await } else { Ok(()) };
    let grows = matches!(decision.standard, StandardWanted::Grow { .. });
    let standard_pool = scene.observation.standard.as_ref();
    let mut standard = Ok(());
    if grows {
        standard = hand_over::apply(client, &namespace, standard_pool, decision.standard).await;
    }
    lowered.map_err(ActError::Lower)?;
    done.weight = falls;

    // An edit is counted before it is put back: afterwards nothing would tell of it.
    let rewritten =
        decision.target.movement == Movement::Renew && scene.observation.route.edited_by.is_some();
    let edited = rewritten || live.is_some_and(|live| live.edited_by.is_some());
    let mut version = None;
    if edited {
        version = status::write(client, rollout, &decision.status, written).await?;
    }

    let job = preflight::apply(client, &namespace, scene, decision.job).await;
    let job = job.map_err(|error| ActError::Preflight(Box::new(error)));

    let pool = match decision.pool {
        // No Deployment and no weight, but pods: nobody else would ever end them.
        PoolWanted::Leave if decision.target.weight == 0 => {
            pool::remove_orphans(client, &namespace, rollout, scene).await
        }
        PoolWanted::Leave => Ok(false),
        // Its version is another one since the weight fell: the next pass, which that brings about, sees it.
        PoolWanted::Apply if done.weight => Ok(false),
        PoolWanted::Apply => pool::apply(client, &namespace, scene).await,
        PoolWanted::Remove => pool::remove(client, &namespace, rollout, scene).await,
    };
    let mut pool = pool.map_err(|error| ActError::Pool(Box::new(error)));
    if let (Ok(false), Some(pods), Some(live), false) = (&pool, decision.replicas, live, done.weight) {
        let scaled = PodCount::new(client.clone(), &namespace, &rollout.pool_name()).scale(pods, live).await;
        pool = scaled.map(|()| true).map_err(ActError::Scale);
    }
    done.pool = *pool.as_ref().unwrap_or(&false);
    let given_back = match decision.target.movement {
        Movement::GiveBack => router.give_back(live).await.map_err(ActError::GiveBack),
        Movement::Renew => router.renew().await.map_err(ActError::Renew),
        _ => Ok(()),
    };

    // A pool that was just written has another version than the one that was decided on: rise in the next pass.
    if let (Ok(false), Movement::Rise, Some(live)) = (&pool, decision.target.movement, live) {
        // Refused, it is no news: step and weight were written ahead. A status written at each try would bring about the next one at
        // once, and tell again and again of a rise that never was.
        router.raise(&decision.target, live).await.map_err(ActError::Raise)?;
        done.weight = true;
    }

    // It gives up pods only where everything else is as it is to be.
    if !grows && matches!(pool, Ok(false)) {
        standard = hand_over::apply(client, &namespace, standard_pool, decision.standard).await;
    }
    if !edited {
        version = status::write(client, rollout, &decision.status, written).await?;
    }
    done.status = version.is_some();
    if done.status {
        // On their own: the next pass, which may be a rollback, does not wait for them.
        let (client, rollout) = (client.clone(), rollout.clone());
        let (notes, instance) = (decision.events.clone(), instance.to_owned());
        tokio::spawn(async move { events::publish(&client, &rollout, &notes, &instance).await });
    }
    pool?;
    job?;
    given_back?;
    standard.map_err(|error| ActError::Standard(Box::new(error)))?;
    let route = &scene.observation.route;
    let nothing_left = live.is_none()
        && route.written.is_none()
        && standard_pool.is_none_or(|standard| standard.before.is_none())
        && !route.unseen
        && !scene.observation.free_threaded.service;
    if decision.pool == PoolWanted::Remove && nothing_left && !pool::serves(scene) {
        done.released = finalizer::release(client, rollout, version).await?;
    }
    Ok(done)
}
