//! The current step: its weight, its hold, and the next one.

use std::ops::ControlFlow::{self, Break};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::{
    benefit,
    guards::{ADVANCE, HOLD, PREPARE, RISE, Stop, built, inconclusive, undecided_until},
    hand_over,
    pass::{Pass, after},
    preflight,
    rules::standard_pods,
    sizing, text,
};
use crate::api::{OnInconclusive, Pace, Phase, Reason, Span};

/// From the read-back of a weight until its share is taken for served: endpoints reach every node within 1.3 s as measured, and the first
/// requests take a moment to be answered and scraped.
pub const SETTLE: Span = Span::from_secs(5);

/// Where the weight should be, and everything on the way there.
pub(super) fn step(pass: &mut Pass<'_>) -> ControlFlow<()> {
    start_again_from_zero(pass);
    edited_weight(pass);
    stay(pass);
    pass.want_pool();
    let desired = pass.reach().weight;
    if pass.target < pass.written() {
        fall(pass);
    } else if deadline_passed(pass) {
        let deadline = pass.input.spec.progress_deadline;
        let trouble = pass.trouble().map(|trouble| format!(" ({trouble})")).unwrap_or_default();
        let missing = if pass.written() > 0 || short(pass) {
            serve(pass)
        } else {
            format!("the free-threaded pool {} is not built", pass.input.observation.free_threaded.name)
        };
        let sentence = format!("{}: {missing} after {deadline}{trouble}", pass.step_name());
        pass.roll_back(Reason::ProgressDeadlineExceeded, &sentence);
    } else if desired > pass.written() || pass.uneven() {
        rise(pass, desired);
    } else {
        dwell(pass);
    }
    Break(())
}

/// `step 2/3: 25 % wanted: 3 pods beside 9 (25 %)`.
pub(super) fn sentence(pass: &Pass<'_>) -> String {
    let reach = pass.reach();
    let wanted = pass.step().map_or(0, |step| step.weight);
    let (pods, share) = (text::pods(reach.pods), text::percent(reach.share));
    if pass.by_percent() {
        let what = &pass.input.observation.route.what;
        return format!(
            "{}: {wanted} % by {what}, for {pods} beside {}{}",
            pass.step_name(),
            standard_pods(pass),
            sizing::words(pass)
        );
    }
    format!("{}: {wanted} % wanted, {pods} beside {} make {share}", pass.step_name(), standard_pods(pass))
}

/// The weight as it is, or less where less is wanted. Keeps the time since when pods, or all of the pool, have been missing.
pub(super) fn stay(pass: &mut Pass<'_>) {
    let held = pass.written().min(pass.cap.unwrap_or(i32::MAX));
    pass.target = held.min(pass.reach().weight);
    pass.wanted = pass.step().map_or(0, |step| step.weight);
    let missing = pass.serving().is_none_or(|serving| serving < pass.target) || short(pass) || unbuilt(pass);
    let now = pass.stamp();
    if let Some(attempt) = pass.next.attempt.as_mut() {
        attempt.waiting_since = if missing { attempt.waiting_since.take().or(Some(now)) } else { None };
    }
}

/// Pods are missing for a weight that is written, or that they are made ready for.
fn short(pass: &Pass<'_>) -> bool {
    let live = pass.live().map_or(0, |live| live.replicas);
    pass.by_percent() && pass.ready() < live
}

/// How many pods serve of how many, and what the gateway says.
pub(super) fn serve(pass: &Pass<'_>) -> String {
    if !pass.by_percent() {
        return format!("{} of {} pods serve", pass.serving().unwrap_or(0), pass.written());
    }
    let wanted = pass.live().map_or(0, |live| live.replicas);
    let trouble = pass.input.observation.route.trouble.as_ref();
    match trouble {
        Some(trouble) => format!("{} is not in effect: {trouble}", pass.input.observation.route.what),
        None => format!("{} of {} are ready", pass.ready(), text::pods(wanted)),
    }
}

/// The pool is wanted, has nothing, and is not what it should be. One that somebody edited is put back, and that has no deadline; the
/// inspection of the image has its own.
fn unbuilt(pass: &Pass<'_>) -> bool {
    let edited = pass.live().is_some_and(|live| live.edited_by.is_some());
    pass.written() == 0 && pass.reach().weight > 0 && !edited && !built(pass) && preflight::open(pass)
}

/// Whatever took the weight to 0, from there the way up is the whole way.
fn start_again_from_zero(pass: &mut Pass<'_>) {
    let begun =
        pass.next.attempt.as_ref().is_some_and(|a| a.converged_at.is_some() || a.guard_since.is_some());
    if pass.written() == 0 && (begun || pass.next.step > 0) {
        pass.reset_steps();
    }
}

/// An edited weight or a step after the last one: what was held was another step.
fn edited_weight(pass: &mut Pass<'_>) {
    let before = pass.input.status;
    let weight = pass.step().map_or(0, |step| step.weight);
    let edited = before.weight.wanted > 0 && before.weight.wanted != weight;
    if edited {
        pass.restart_dwell();
    } else if !pass.on_last_step()
        && let Some(attempt) = pass.next.attempt.as_mut()
    {
        attempt.guard_since = None;
    }
}

/// Only a person is waited for.
fn awaiting(pass: &Pass<'_>) -> bool {
    let (Some(attempt), Some(step)) = (pass.next.attempt.as_ref(), pass.step()) else { return false };
    let least = match step.pace() {
        Pace::Fixed(hold) => hold,
        Pace::Evidence { min, .. } => min,
    };
    let held = attempt.converged_at.as_ref().is_some_and(|at| after(at.0, least) <= pass.now());
    let settled = attempt.guard_since.is_some();
    step.pause && held && !attempt.approved && !settled && pass.input.status.phase == Phase::Paused
}

/// The deadline is for a step under way: not for one that waits for a person, nor for what is settled and follows the standard pool.
pub(super) fn deadline_counts(pass: &Pass<'_>) -> bool {
    let converged = pass.next.attempt.as_ref().is_some_and(|attempt| attempt.converged_at.is_some());
    !converged
        || (pass.base_phase() == Phase::Progressing && !awaiting(pass) && pass.next.paused_since.is_none())
}

fn deadline_passed(pass: &Pass<'_>) -> bool {
    let since = pass.next.attempt.as_ref().and_then(|attempt| attempt.waiting_since.as_ref());
    let passed = since.is_some_and(|since| after(since.0, pass.input.spec.progress_deadline) <= pass.now());
    passed && deadline_counts(pass)
}

fn fall(pass: &mut Pass<'_>) {
    let phase = if pass.input.status.phase == Phase::Paused { Phase::Paused } else { pass.base_phase() };
    let message = if pass.cap.is_some_and(|cap| cap <= pass.reach().weight) {
        let (step, back) = (pass.step_name(), pass.amount(pass.target));
        if pass.by_percent() {
            format!("{step}: back to {back}, as it was before someone else changed it")
        } else {
            format!("{step}: back to {back}, as they were before someone else scaled them")
        }
    } else {
        sentence(pass)
    };
    pass.say(phase, Reason::Converging, message);
    pass.expect("the route is read back as written", None);
}

fn rise(pass: &mut Pass<'_>, desired: i32) {
    let mut stop = pass.guards.first_stop(PREPARE, pass);
    if stop.is_none() {
        pass.ahead = if pass.by_percent() { pass.pods_for(desired) } else { 0 };
        stop = pass.guards.first_stop(RISE, pass);
    }
    if let Some(stop) = stop {
        return wait(pass, stop);
    }
    (pass.target, pass.level) = (desired, desired == pass.written());
    let message = sentence(pass);
    pass.say(pass.base_phase(), Reason::Converging, message);
    let waits = if pass.by_percent() { "the gateway takes the weight" } else { "the pods become ready" };
    pass.expect(waits, None);
}

fn dwell(pass: &mut Pass<'_>) {
    if pass.reach().weight == 0 {
        let message = "the standard pool is scaled to 0: the free-threaded pool never serves alone".into();
        let next = "the standard pool is scaled up".into();
        return wait(pass, Stop { phase: None, reason: Reason::StandardNotReady, message, next, at: None });
    }
    let (now, applied) = (pass.stamp(), pass.applied());
    let served = MicroTime(after(now.0, SETTLE));
    if let Some(attempt) =
        pass.next.attempt.as_mut().filter(|attempt| applied && attempt.converged_at.is_none())
    {
        attempt.converged_at = Some(now);
        attempt.step_counts_from = Some(served);
    }
    if pass.on_last_step() {
        benefit::learn(pass, false);
    }
    if let Some(stop) = pass.guards.first_stop(HOLD, pass) {
        return wait(pass, stop);
    }
    if pass.base_phase() != Phase::Progressing {
        if !benefit::settle(pass) {
            settled(pass);
        }
        return;
    }
    if undecided_until(pass).is_some_and(|at| at <= pass.now())
        && pass.input.spec.analysis.on_inconclusive == OnInconclusive::RollBack
    {
        return pass.roll_back(Reason::Inconclusive, &inconclusive(pass));
    }
    if let Some(stop) = pass.guards.first_stop(ADVANCE, pass) {
        return wait(pass, stop);
    }
    advance(pass);
}

/// Persisted first, with the weight as it is; the next pass raises it.
fn advance(pass: &mut Pass<'_>) {
    let (now, last) = (pass.stamp(), pass.on_last_step());
    sizing::take_in(pass);
    let Some(attempt) = pass.next.attempt.as_mut() else { return };
    if last {
        attempt.guard_since = Some(now);
        // That it is done is persisted before it is known what it was worth.
        if pass.next.benefit.is_some() {
            pass.wake(pass.now());
        }
        return settled(pass);
    }
    attempt.step_started_at = now;
    attempt.converged_at = None;
    attempt.waiting_since = None;
    attempt.approved = false;
    attempt.overshoot_approved = false;
    pass.next.step += 1;
    pass.wanted = pass.step().map_or(0, |step| step.weight);
    let message = sentence(pass);
    pass.say(Phase::Progressing, Reason::Stepping, message);
    pass.expect("the weight is written", None);
    pass.wake(pass.now());
}

fn settled(pass: &mut Pass<'_>) {
    let (reason, benefit) = benefit::words(pass);
    let handed = hand_over::words(pass);
    let message = format!("{}; all steps are done, the guard stays on{benefit}{handed}", sentence(pass));
    pass.say(pass.base_phase(), reason, message);
    match benefit::measured_until(pass) {
        Some(at) => pass.expect("it is known whether it is worth it, or that it cannot be known", Some(at)),
        None => pass.expect("nothing, unless the guard finds something", None),
    }
}

/// Waits, in the phase that it is in: Pending before the first weight, Paused where a person is waited for anyway.
fn wait(pass: &mut Pass<'_>, stop: Stop) {
    let fresh = pass.written() == 0 && pass.last_written() == 0 && pass.next.phase != Phase::Progressing;
    let phase = stop.phase.unwrap_or_else(|| match pass.base_phase() {
        Phase::Progressing if fresh => Phase::Pending,
        Phase::Progressing if awaiting(pass) => Phase::Paused,
        base => base,
    });
    if matches!(phase, Phase::Pending | Phase::Preflight | Phase::Failed) {
        pass.wanted = 0;
    }
    pass.say(phase, stop.reason, stop.message);
    if phase.is_over() {
        // An image that is not worth it, before any traffic.
        pass.rest();
        return pass.wake(pass.now());
    }
    pass.expect(stop.next, stop.at);
}
