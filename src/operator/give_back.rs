//! Before the operator is uninstalled: it stops, and the same passes give everything back.
//!
//! The lease is what keeps an operator that somebody starts again from working against it.

use std::{cell::Cell, collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use futures::{StreamExt, future};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams},
    runtime::{
        Controller, WatchStreamExt, controller,
        reflector::{self, Store},
        watcher,
    },
};
use serde_json::json;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use super::{
    Metrics, Place, RunError,
    backoff::Backoff,
    evidence::Evidence,
    inspections::Inspections,
    place::{RETRY, client, hand_over},
    reconcile::{Context, attempt_over, failed, reconcile},
};
use crate::{
    act::Written,
    api::{FINALIZER, FreeThreadRollout, Span},
    observe::{Pokes, Stores, WatchScope, prometheus::HttpSource, start_watches},
};

/// How `give-back` is started. The Helm chart sets all of it, in the Job that runs before it is uninstalled.
#[derive(Debug, Clone, clap::Args)]
pub struct GiveBackArgs {
    /// The operator's own Deployment, in its own namespace: scaled to 0 first.
    #[arg(long, default_value = "freethread-rollout")]
    pub deployment: String,
    /// Replicas that it gets back if not everything could be given back: what is left must not be left alone.
    #[arg(long, default_value_t = 2)]
    pub replicas: i32,
    /// Longest time for all of it.
    #[arg(long, default_value = "3m")]
    pub within: Span,
    /// Where it is and what it watches.
    #[command(flatten)]
    pub place: Place,
}

/// Why not everything was given back. The operator has its replicas again then.
#[derive(Debug, thiserror::Error)]
pub enum GiveBackError {
    /// What can go wrong with the operator too.
    #[error(transparent)]
    Run(#[from] RunError),
    /// As long as the operator runs it works against this.
    #[error("Deployment {deployment} may not be scaled to 0: {source}")]
    NotStopped {
        /// The operator's own.
        deployment: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// It took too long, or somebody stopped it.
    #[error("{why} while {doing}; {left}; the operator goes on")]
    Unfinished {
        /// What ended it.
        why: String,
        /// What was being done.
        doing: &'static str,
        /// What is left.
        left: String,
    },
}

/// Bound on one request.
const PATIENCE: Duration = Duration::from_secs(5);
/// Tries to start the operator again after a failure: its pod may be asked to end meanwhile, and has 30 s for it.
const RESTART_TRIES: u32 = 5;
/// Rollouts that an error names; those beyond are counted.
const NAMED: usize = 10;

/// Stop the operator, give all traffic back, remove the pools, take the finalizer off. The rollouts stay, for a later installation.
///
/// # Errors
/// See [`GiveBackError`].
pub async fn give_back(args: GiveBackArgs) -> Result<(), GiveBackError> {
    args.place.enter();
    let client = client(None).await?;
    let scope = args.place.scope();
    let pokes = Pokes::default();
    let (stores, watches) = start_watches(&client, &scope, &args.place.routers(), &pokes);
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signal)?;
    let election = args.place.election().await?;
    let operator: Api<Deployment> = Api::namespaced(client.clone(), &args.place.namespace);

    let doing = Cell::new("stopping the operator");
    let (all_is_back, back) = oneshot::channel();
    let work = async {
        if no_resource(&scope.api::<FreeThreadRollout>(client.clone())).await {
            tracing::info!("there is no FreeThreadRollout resource (any more): nothing is left to give back");
            return Ok(());
        }
        stop(&operator, &args.deployment).await?;
        doing.set("waiting for the leader lease");
        let all_back = async {
            doing.set("giving traffic back");
            stores.ready().await;
            tracing::info!(rollouts = stores.rollouts.state().len(), "giving all traffic back");
            give_all_back(&client, &scope, &stores, &pokes, &args.place.instance).await;
            let _ = all_is_back.send(());
            // The lease stays ours until it runs out: an operator that somebody starts again would begin anew before it is removed.
            future::pending::<()>().await;
        };
        tokio::select! {
            _ = election.with_lease(Box::pin(all_back)) => Err(GiveBackError::Run(RunError::LeaseLost)),
            _ = back => Ok(()),
        }
    };
    let unfinished = |why: &str| {
        let left = words(&stores.rollouts.state());
        Err(GiveBackError::Unfinished { why: why.into(), doing: doing.get(), left })
    };
    let within = Duration::from_millis(u64::try_from(args.within.millis()).unwrap_or_default());
    let ended = tokio::select! {
        done = work => done,
        _ = terminate.recv() => unfinished("stopped"),
        _ = interrupt.recv() => unfinished("stopped"),
        () = tokio::time::sleep(within) => unfinished(&format!("not done after {}", args.within)),
        _ = future::select_all(watches.into_iter().map(|w| Box::pin(tokio::spawn(w)))) => Err(RunError::WatchEnded.into()),
    };
    if ended.is_ok() {
        tracing::info!("all traffic is given back, and no rollout has the finalizer");
        return ended;
    }
    hand_over(&election).await;
    for tries in 1..=RESTART_TRIES {
        match scale(&operator, &args.deployment, args.replicas).await {
            Ok(()) => break,
            Err(error) if tries < RESTART_TRIES => {
                tracing::warn!(%error, tries, "the operator does not run again yet: trying again");
                tokio::time::sleep(RETRY).await;
            }
            Err(error) => {
                let hint =
                    format!("kubectl scale deployment {} --replicas={}", args.deployment, args.replicas);
                tracing::error!(%error, hint, "the operator does not run again, and nobody watches what is left");
            }
        }
    }
    ended
}

/// Whether the resource itself is gone, and with it everything that could be given back.
async fn no_resource(rollouts: &Api<FreeThreadRollout>) -> bool {
    let one = ListParams::default().limit(1);
    let answer = tokio::time::timeout(PATIENCE, rollouts.list_metadata(&one)).await;
    matches!(answer, Ok(Err(kube::Error::Api(status))) if status.code == 404)
}

/// The operator's passes, with everything on its way back, until nothing is left.
async fn give_all_back(client: &Client, scope: &WatchScope, stores: &Stores, pokes: &Pokes, instance: &str) {
    let metrics = Metrics::default();
    // No profile, and nothing reads: what is given back anyway needs no evidence.
    let source = HttpSource::new(BTreeMap::default());
    let context = Context {
        client: client.clone(),
        stores: stores.clone(),
        evidence: Evidence::new(client, source, pokes.clone(), metrics.clone()),
        inspections: Inspections::new(client, pokes.clone()),
        metrics,
        backoff: Backoff::default(),
        written: Written::default(),
        instance: instance.to_owned(),
        giving_back: true,
    };
    let rollouts = scope.api::<FreeThreadRollout>(client.clone());
    let passes = Controller::new(rollouts.clone(), watcher::Config::default())
        .with_config(controller::Config::default().concurrency(32))
        .reconcile_on(pokes.stream())
        .run(reconcile, failed, Arc::new(context))
        .for_each(|_| future::ready(()));
    tokio::select! {
        () = passes => {}
        () = nothing_left(rollouts) => {}
    }
}

/// Resolves when the API server shows no rollout that something is left of.
async fn nothing_left(rollouts: Api<FreeThreadRollout>) {
    let (seen, writer) = reflector::store::<FreeThreadRollout>();
    let mut events = pin!(watcher(rollouts, watcher::Config::default()).default_backoff().reflect(writer));
    let mut listed = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => listed |= matches!(event, watcher::Event::InitDone),
            // Somebody removed the resource meanwhile, and with it every rollout.
            Err(watcher::Error::InitialListFailed(kube::Error::Api(status))) if status.code == 404 => return,
            // The watcher reconnects by itself, with backoff.
            Err(error) => tracing::warn!(%error, "watch interrupted"),
        }
        if listed && none_left(&seen) {
            return;
        }
    }
}

fn none_left(seen: &Store<FreeThreadRollout>) -> bool {
    !seen.state().iter().any(|rollout| is_left(rollout))
}

/// The finalizer is on, or (somebody took it off) the attempt is not over. What is being deleted without it waits for others.
fn is_left(rollout: &FreeThreadRollout) -> bool {
    let going = rollout.metadata.deletion_timestamp.is_some();
    let attempt = !going && rollout.status.as_ref().is_some_and(|status| !attempt_over(status));
    attempt || rollout.finalizers().iter().any(|f| f == FINALIZER)
}

/// What is left, by name.
fn words(all: &[Arc<FreeThreadRollout>]) -> String {
    let mut left: Vec<String> = all
        .iter()
        .filter(|rollout| is_left(rollout))
        .map(|rollout| {
            let ready = rollout.status.as_ref().map_or(0, |status| status.free_threaded.ready);
            let (namespace, name) = (rollout.namespace().unwrap_or_default(), rollout.name_any());
            format!("{namespace}/{name} ({ready} pods of {} are ready)", rollout.pool_name())
        })
        .collect();
    if left.is_empty() {
        return "no rollout is known to be left".into();
    }
    left.sort();
    let more = left.len().saturating_sub(NAMED);
    left.truncate(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("left: {}{more}", left.join(", "))
}

/// Scale the operator to 0, as often as it takes; its leader hands the lease over.
async fn stop(operator: &Api<Deployment>, name: &str) -> Result<(), GiveBackError> {
    loop {
        match scale(operator, name, 0).await {
            Ok(()) => return Ok(()),
            Err(ScaleError::Api(source)) if refused(&source) => {
                return Err(GiveBackError::NotStopped { deployment: name.to_owned(), source });
            }
            Err(error) => {
                tracing::warn!(%error, deployment = name, "the operator is not stopped yet: trying again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Nothing that another try could mend.
fn refused(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 401 | 403))
}

#[derive(Debug, thiserror::Error)]
enum ScaleError {
    #[error(transparent)]
    Api(Box<kube::Error>),
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Timeout,
}

/// A Deployment that is not there (any more) has no replicas.
async fn scale(deployments: &Api<Deployment>, name: &str, replicas: i32) -> Result<(), ScaleError> {
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    let params = PatchParams::default();
    let answer = tokio::time::timeout(PATIENCE, deployments.patch_scale(name, &params, &patch)).await;
    match answer.map_err(|_| ScaleError::Timeout)? {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        done => done.map(drop).map_err(|source| ScaleError::Api(Box::new(source))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn rollout(name: &str, finalizer: bool, status: &serde_json::Value) -> Arc<FreeThreadRollout> {
        let finalizers: Vec<&str> = finalizer.then_some(FINALIZER).into_iter().collect();
        let rollout = json!({
            "apiVersion": "freethreading.dev/v1alpha1",
            "kind": "FreeThreadRollout",
            "metadata": {"name": name, "namespace": "shop", "finalizers": finalizers},
            "spec": {
                "workloadRef": {"name": name},
                "freeThreaded": {"image": "x:{tag}"},
                "traffic": {"podCount": {}},
                "steps": [{"weight": 10, "hold": "1m"}],
                "analysis": {"preset": "fastapi-instrumentator", "errorRate": {"max": "1%"}},
            },
            "status": status,
        });
        Arc::new(serde_json::from_value(rollout).unwrap())
    }

    #[test]
    fn what_has_the_finalizer_or_an_attempt_under_way_is_left_and_named() {
        let attempt = json!({
            "number": 1, "startedAt": "2026-11-23T19:00:00.000000Z", "stepStartedAt": "2026-11-23T19:00:00.000000Z",
            "standardHash": "a", "specHash": "b", "cell": "15s",
        });
        let over = rollout("over", false, &json!({"phase": "Pending", "reason": "Uninstalled"}));
        let back = rollout("back", false, &json!({"phase": "RolledBack", "attempt": attempt}));
        assert_eq!(words(&[over.clone(), back.clone()]), "no rollout is known to be left");
        let pools = json!({"freeThreaded": {"ready": 2}, "phase": "RolledBack"});
        let finalizer = rollout("orders", true, &pools);
        let unfinished = rollout("cart", false, &json!({"phase": "Progressing", "attempt": attempt}));
        assert_eq!(
            words(&[over, finalizer, back, unfinished]),
            "left: shop/cart (0 pods of cart-ft are ready), shop/orders (2 pods of orders-ft are ready)"
        );
    }

    #[test]
    fn many_are_counted() {
        let all: Vec<_> = (0..12).map(|n| rollout(&format!("r{n:02}"), true, &json!({}))).collect();
        let said = words(&all);
        assert!(said.starts_with("left: shop/r00 ") && said.ends_with(" and 2 more"), "{said}");
    }
}
