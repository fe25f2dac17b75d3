//! The standard pool after a promotion, and on the way home: the one exception from "weight 0 at once". While it is handed over it could not carry
//! the traffic, so its replicas come back, and the weight falls at once, and again and again, to what its ready pods cannot take over yet.

use super::{
    Note, StandardWanted,
    pass::{Pass, after},
    text,
};
use crate::{
    api::{HandOver, HandOverStatus, Phase, Reason},
    observe::{Obstacle, StandardPool},
};

/// What is to become of the standard pool, for the weight that was decided on; which is held up where nobody else could take the traffic yet.
pub(super) fn hand_over(pass: &mut Pass<'_>) -> StandardWanted {
    let Some(standard) = pass.standard() else { return StandardWanted::Leave };
    let Some(had) = standard.before else { return shrink(pass, standard) };
    if pass.written() == 0 && another_has_it(pass) {
        return StandardWanted::Leave;
    }
    if pass.target >= 100 && pass.input.spec.hand_over.is_some() {
        remember(pass, had);
        return if standard.replicas >= had { taken_back(pass, standard) } else { StandardWanted::Leave };
    }
    let (ready, needed) = (ready(standard), needed(pass, had));
    let held = if pass.ready() > 0 { share_of(needed - ready, needed).min(pass.written()) } else { 0 };
    if held > pass.target {
        hold(pass, held, &format!("{ready} of {} are ready", text::pods(needed)));
    }
    if standard.replicas < needed {
        return StandardWanted::Grow { seen: standard.replicas, to: needed };
    }
    if ready >= needed || pass.empty() { StandardWanted::Release } else { StandardWanted::Leave }
}

/// The share in percent that `missing` of `needed` pods would carry. Rounded down: a pod that is ready takes all of its own.
fn share_of(missing: i32, needed: i32) -> i32 {
    100 * missing.max(0) / needed
}

/// Nobody but ours can take this much.
fn hold(pass: &mut Pass<'_>, held: i32, ready: &str) {
    let pods = pass.standard().map(|standard| standard.pods.as_slice()).unwrap_or_default();
    let trouble = pods.iter().find_map(|pod| Some(format!(" (pod {}: {})", pod.name, pod.trouble.as_ref()?)));
    let why = format!(
        "{} % wanted, {held} % stays until the standard pool can take it: {ready}{}",
        pass.wanted,
        trouble.unwrap_or_default()
    );
    pass.target = held;
    pass.expect("the standard pool's pods become ready", None);
    pass.held = Some(why);
}

/// The workload is another rollout's, and so is what stands on it.
fn another_has_it(pass: &Pass<'_>) -> bool {
    let taken = |obstacle: &Obstacle| matches!(obstacle, Obstacle::WorkloadTaken { .. });
    pass.input.observation.obstacles.iter().any(taken)
}

/// What comes after "why" where the traffic goes home: at once, or as fast as there are pods for it.
pub(super) fn back(pass: &Pass<'_>) -> &'static str {
    match pass.standard().and_then(|standard| Some((standard, standard.before?))) {
        Some((standard, had)) if ready(standard) < needed(pass, had) && pass.ready() > 0 => FOLLOWS,
        _ => super::pass::BACK,
    }
}

/// How a sentence ends after which the traffic goes home.
pub(super) const FOLLOWS: &str = "; traffic goes back to the standard pool as its pods become ready";

/// Pods of the standard pool that all of the traffic needs: what it had, or as many as carry it today.
fn needed(pass: &Pass<'_>, had: i32) -> i32 {
    had.max(pass.live().map_or(0, |live| live.replicas)).max(1)
}

fn ready(standard: &StandardPool) -> i32 {
    let ready = standard.pods.iter().filter(|pod| pod.ready_since.is_some() && !pod.going).count();
    i32::try_from(ready).unwrap_or(i32::MAX)
}

/// Once for each attempt, when all of the traffic has been here for long enough and nothing speaks against it.
fn shrink(pass: &mut Pass<'_>, standard: &StandardPool) -> StandardWanted {
    let Some((wanted, at)) = due(pass, standard) else { return StandardWanted::Leave };
    if at > pass.now() {
        pass.wake(at);
        return StandardWanted::Leave;
    }
    let settled = pass.next.phase == Phase::Promoted;
    if !settled || refused(standard).is_some() || !pass.input.finding.kind.is_clear() || !whole(pass) {
        return StandardWanted::Leave;
    }
    remember(pass, standard.replicas);
    let message = format!(
        "all traffic has been on the free-threaded pool for {}: the standard pool keeps {} of {}",
        wanted.after,
        wanted.standby,
        text::pods(standard.replicas)
    );
    pass.notes.push(Note { warning: false, reason: Reason::HandedOver, message });
    StandardWanted::Shrink { had: standard.replicas, to: wanted.standby }
}

/// What is asked for and when, where there is anything to hand over.
fn due<'a>(pass: &Pass<'a>, standard: &StandardPool) -> Option<(&'a HandOver, jiff::Timestamp)> {
    let wanted = pass.input.spec.hand_over.as_ref()?;
    let attempt = pass.next.attempt.as_ref()?;
    let done = pass.next.hand_over.as_ref().is_some_and(|done| done.attempt == attempt.number);
    let promoted = pass.base_phase() == Phase::Promoted && pass.target >= 100 && pass.written() >= 100;
    let since = attempt.guard_since.as_ref()?.0;
    (promoted && !done && standard.replicas > wanted.standby).then(|| (wanted, after(since, wanted.after)))
}

/// Why the standard pool is not handed over.
fn refused(standard: &StandardPool) -> Option<String> {
    let by = standard.scaled_by.as_ref()?;
    Some(format!("the standard pool keeps its {}: {by} decides about them", text::pods(standard.replicas)))
}

/// The free-threaded pool has every pod that all of the traffic takes.
fn whole(pass: &Pass<'_>) -> bool {
    pass.applied() && pass.ready() >= pass.live().map_or(0, |live| live.replicas).max(1)
}

/// Somebody else gave the standard pool its pods back: it keeps them.
fn taken_back(pass: &mut Pass<'_>, standard: &StandardPool) -> StandardWanted {
    let message =
        format!("somebody scaled the standard pool back to {}: it keeps them", text::pods(standard.replicas));
    pass.notes.push(Note { warning: false, reason: Reason::HandedOver, message });
    StandardWanted::Release
}

fn remember(pass: &mut Pass<'_>, had: i32) {
    let now = pass.stamp();
    let Some(attempt) = pass.next.attempt.as_ref().map(|attempt| attempt.number) else { return };
    if pass.next.hand_over.as_ref().is_none_or(|known| known.attempt != attempt) {
        pass.next.hand_over = Some(HandOverStatus { attempt, had, at: now });
    }
}

/// What there is to say of it beside the guard, in the sentence of a promotion.
pub(super) fn words(pass: &Pass<'_>) -> String {
    let Some(standard) = pass.standard() else { return String::new() };
    if let Some(had) = standard.before.filter(|had| standard.replicas < *had) {
        return format!("; the standard pool keeps {} of {}", standard.replicas, text::pods(had));
    }
    let why = due(pass, standard).and_then(|_| refused(standard));
    why.map(|why| format!("; {why}")).unwrap_or_default()
}
