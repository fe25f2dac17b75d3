//! One pass: observe → judge → decide → act.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::{
    Client, ResourceExt,
    runtime::{controller::Action, reflector::ObjectRef},
};

use super::{Metrics, backoff::Backoff, evidence::Evidence, inspections::Inspections, metrics::found};
use crate::{
    act::{self, ActError, Actor, Written, act},
    api::{ANNOTATION_COMMAND, FINALIZER, FreeThreadRollout, FreeThreadRolloutStatus, Phase},
    decide::{Input, decide},
    observe::{Stores, observe, text},
};

/// What a pass works with.
pub(super) struct Context {
    pub(super) client: Client,
    pub(super) stores: Stores,
    pub(super) evidence: Evidence,
    pub(super) inspections: Inspections,
    pub(super) metrics: Metrics,
    pub(super) backoff: Backoff,
    pub(super) written: Written,
    /// This replica's name, for events.
    pub(super) instance: String,
    /// The operator is being uninstalled: everything is given back, and nothing is begun.
    pub(super) giving_back: bool,
}

/// Longest time between two looks at a rollout that is on its way, so that its numbers stay fresh in the status.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// Look at one rollout and do what is to be done.
pub(super) async fn reconcile(
    rollout: Arc<FreeThreadRollout>,
    context: Arc<Context>,
) -> Result<Action, ActError> {
    let (began, now) = (std::time::Instant::now(), Timestamp::now());
    let rollout = context.written.newest(rollout);
    let deleting = rollout.metadata.deletion_timestamp.is_some();
    let leaving = deleting || context.giving_back;
    // Without our finalizer a rollout that goes is none of ours any more; one that stays may still have a pool.
    let over = deleting || rollout.status.as_ref().is_none_or(attempt_over);
    if leaving && over && !rollout.finalizers().iter().any(|f| f == FINALIZER) {
        context.evidence.forget(&rollout);
        return Ok(Action::await_change());
    }
    let status = rollout.status.clone().unwrap_or_default();
    let evidence = &context.evidence;
    let mut scene =
        observe(&rollout, &context.stores, evidence.logs(&rollout), evidence.scrape_interval_ms(&rollout));
    scene.observation.obstacles.extend(evidence.obstacle(&rollout));
    context.inspections.fill(&rollout, &mut scene);
    // Nothing is created before the finalizer is on. Where somebody took it off while there is weight it comes after the pass: nothing
    // may come before a weight that falls.
    let weightless = scene.observation.route.written.unwrap_or_default() == 0;
    if !leaving && weightless && act::claim(&context.client, &rollout).await? {
        // The watch brings the rollout back, with the finalizer on.
        return Ok(Action::await_change());
    }
    let refusal = context.backoff.refusal(&rollout.uid().unwrap_or_default());
    let trouble = &mut scene.observation.free_threaded.trouble;
    *trouble = trouble.take().or(refusal.map(|words| text(&words)));
    let finding = evidence.finding(&rollout, &scene, now);
    let decision = decide(&Input {
        name: &rollout.name_any(),
        spec: &rollout.spec,
        generation: rollout.metadata.generation.unwrap_or_default(),
        deleting,
        giving_back: context.giving_back,
        command: rollout.annotations().get(ANNOTATION_COMMAND).map(String::as_str),
        status: &status,
        observation: &scene.observation,
        finding: &finding,
        now,
    });
    let Context { client, instance, written, .. } = &*context;
    let done = act(Actor { client, instance, written }, &rollout, &scene, &decision).await?;
    if done.released {
        evidence.forget(&rollout);
    } else if !context.giving_back {
        evidence.follow(&rollout, &scene, &decision.status);
    }
    context.metrics.decided(status.phase, &decision, &found(&finding), began.elapsed());
    context.backoff.succeeded(&rollout.uid().unwrap_or_default());
    // A status that was just written brings the next pass about, which claims on top of it.
    if !leaving && !done.status {
        act::claim(&context.client, &rollout).await?;
    }
    let news = (status.phase, status.reason, status.message)
        != (decision.status.phase, decision.status.reason, decision.status.message.clone());
    if news || done.weight || done.pool {
        tracing::info!(rollout = %rollout.name_any(), namespace = rollout.namespace(), phase = ?decision.status.phase,
            reason = ?decision.status.reason, target = ?decision.target, ?done, "{}", decision.status.message);
    }
    let unsettled = scene.observation.route.serving != Some(decision.target.weight)
        || decision.status.attempt.as_ref().is_some_and(|a| a.blind_since.is_some());
    let watchful = decision.status.phase == Phase::Progressing || decision.target.weight > 0 && unsettled
        // A gateway's word, and an object that was given back, come by a watch; what is not told at all has to be asked for.
        || decision.target.weight == 0 && scene.observation.route.written.is_some() && scene.route.is_some();
    Ok(wake(decision.wake_at, watchful, now))
}

/// How often what is kept of rollouts that are gone is thrown away.
const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// A rollout whose finalizer somebody took off by force goes without another pass: nothing of it may stay in memory. Never ends.
pub(super) async fn sweep(context: &Context) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let uids: BTreeSet<String> =
            context.stores.rollouts.state().iter().filter_map(|rollout| rollout.uid()).collect();
        context.backoff.keep(&uids);
        context.written.keep(&uids);
        context.evidence.keep(&uids);
        context.inspections.keep(&uids);
        if let Some(evaluations) = &context.stores.flags {
            let rollouts = &context.stores.rollouts;
            evaluations
                .keep(|namespace, name| rollouts.get(&ObjectRef::new(name).within(namespace)).is_some());
        }
    }
}

/// Whether no attempt is under way that could have traffic.
pub(super) fn attempt_over(status: &FreeThreadRolloutStatus) -> bool {
    status.attempt.is_none() || status.phase.is_over()
}

/// `watchful`: something is under way that no watch may tell the end of.
fn wake(at: Option<Timestamp>, watchful: bool, now: Timestamp) -> Action {
    let wait = at.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
    let wait = if watchful { Some(wait.map_or(LOOK_AGAIN, |w| w.min(LOOK_AGAIN))) } else { wait };
    wait.map_or_else(Action::await_change, Action::requeue)
}

/// What to do after a pass that failed.
#[allow(clippy::needless_pass_by_value, reason = "the signature is the controller's")]
pub(super) fn failed(rollout: Arc<FreeThreadRollout>, error: &ActError, context: Arc<Context>) -> Action {
    let uid = rollout.uid().unwrap_or_default();
    let (wait, first) = context.backoff.failed(&uid, error);
    if let Some(words) = context.backoff.refusal(&uid) {
        act::tell_refused(&context.client, &rollout, error, &text(&words), first, &context.instance);
    }
    context.metrics.failed(&format!("{:?}", error.kind()));
    tracing::warn!(rollout = %rollout.name_any(), namespace = rollout.namespace(), %error, kind = ?error.kind(), retry_ms = wait.as_millis(), "pass failed");
    Action::requeue(wait)
}
