//! The rules that take the weight to 0, and those that keep it there.

use std::ops::ControlFlow::{self, Break, Continue};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::{
    Note, PoolWanted, benefit, change, commands, estimate,
    finish::drained,
    guards::Stop,
    hash::spec_hash,
    pass::{Pass, after},
    preflight, reach, text,
};
use crate::{
    api::{AttemptStatus, CheckpointStatus, Mode, OnBlind, OnStandardChange, Phase, Reason},
    judge::{Blind, FindingKind, History},
    observe::Obstacle,
};

/// The rollout goes: traffic first, then the pool.
pub(super) fn deleting(pass: &mut Pass<'_>) -> ControlFlow<()> {
    if !pass.input.deleting {
        return Continue(());
    }
    pass.pool = removal(pass);
    let message = format!(
        "the rollout is being deleted: traffic goes back first, then the pool goes{}",
        pass.refused()
    );
    pass.say(pass.next.phase, Reason::Deleting, message);
    route_stays(pass);
    Break(())
}

/// The pool goes. Its pods keep it until traffic has left them; those that KEDA keeps would for ever, and go when nothing is sent to them any more.
pub(super) fn removal(pass: &mut Pass<'_>) -> PoolWanted {
    let kept =
        pass.input.observation.free_threaded.by_keda() && pass.live().is_some_and(|live| !live.deleting);
    if kept && !drained(pass) { PoolWanted::Leave } else { PoolWanted::Remove }
}

/// A route of ours outlives us: users come through it. Said once.
pub(super) fn route_stays(pass: &mut Pass<'_>) {
    let (before, reason) = (pass.input.status.reason, pass.next.reason);
    let route = &pass.input.observation.route;
    if route.ours && before != reason {
        let how = if route.stale { "as it was edited" } else { "with everything on the standard Service" };
        let message = format!("{} stays, {how}: it is yours from now on", route.what);
        pass.notes.push(Note { warning: false, reason, message });
    }
}

/// The operator died between weight 0 and the status: why the traffic is back stands on the Deployment. A status from before the note's
/// attempt is a stale one (its write will be refused) or one that was put back; either way the note knows more.
pub(super) fn adopt_note(pass: &mut Pass<'_>) -> ControlFlow<()> {
    let Some(note) = pass.input.observation.route.note.as_ref() else { return Continue(()) };
    let over = pass.next.attempt.as_ref().is_none_or(|attempt| attempt.number <= note.attempt);
    if !over || !note.phase.is_over() || pass.next.phase == note.phase {
        return Continue(());
    }
    if let Some(attempt) = pass.next.attempt.as_mut() {
        attempt.number = note.attempt;
    }
    commands::adopted(pass, note.reason, &note.message);
    pass.say(note.phase, note.reason, note.message.clone());
    benefit::adopt(pass, note);
    pass.rest();
    pass.wake(pass.now());
    Break(())
}

/// Rolled back is rolled back, and without benefit is without benefit, until a person retries or something really changed.
pub(super) fn rolled_back(pass: &mut Pass<'_>) -> ControlFlow<()> {
    if !pass.next.phase.is_over() {
        return Continue(());
    }
    pass.rest();
    preflight::stop_job(pass);
    let retry = commands::rolled_back(pass);
    let Some(standard) = pass.standard().filter(|_| pass.empty()) else { return Break(()) };
    let why = if retry {
        if preflight::without_benefit(pass) {
            preflight::again(pass);
        }
        commands::acknowledge_retry(pass);
        Some("a person said retry".to_owned())
    } else if let Some(why) = preflight::reconsidered(pass) {
        Some(why)
    } else {
        pass.next.attempt.as_ref().and_then(|attempt| {
            let restart = pass.input.spec.on_standard_change == OnStandardChange::Restart;
            if attempt.spec_hash != spec_hash(pass.input.spec) {
                Some("the spec changed".to_owned())
            } else if restart && attempt.standard_hash != standard.template_hash {
                Some(change::standard_changed(&standard.name))
            } else {
                benefit::reconsidered(pass)
            }
        })
    };
    if let Some(why) = why {
        pass.begin_attempt(&standard.template_hash, &why);
    }
    Break(())
}

/// What cannot work, with what to do instead. Nothing is created; what exists is kept at weight 0.
pub(super) fn obstacle(pass: &mut Pass<'_>) -> ControlFlow<()> {
    let Some(obstacle) = pass.input.observation.obstacles.first() else { return Continue(()) };
    let workload = &pass.input.spec.workload_ref.name;
    let (reason, message) = match obstacle {
        Obstacle::WorkloadTaken { by } => (
            Reason::WorkloadTaken,
            format!("Deployment {workload} already belongs to FreeThreadRollout {by}: delete one of the two"),
        ),
        Obstacle::ManagedByOther { what } => (
            Reason::ManagedByOther,
            format!(
                "{what}: two controllers would undo each other; take it out of the other one's hands first"
            ),
        ),
        Obstacle::Invalid { message } => (Reason::InvalidSpec, message.clone()),
    };
    pass.reset_steps();
    commands::idle(pass, &message);
    pass.say(Phase::Failed, reason, message);
    pass.expect("it goes on by itself once the obstacle is gone", None);
    Break(())
}

/// The kill switch.
pub(super) fn suspended(pass: &mut Pass<'_>) -> ControlFlow<()> {
    if !pass.input.spec.suspend {
        return Continue(());
    }
    let message = "suspended by spec.suspend: all traffic is on the standard pool";
    pass.reset_steps();
    preflight::stop_job(pass);
    commands::idle(pass, message);
    pass.say(Phase::Paused, Reason::Suspended, message);
    pass.expect("the steps start again when spec.suspend is false", None);
    Break(())
}

/// What the standard pool was like before the attempt is read once, and fixed: what is judged by it must come out the same after a restart.
pub(super) fn baseline(pass: &mut Pass<'_>) -> ControlFlow<()> {
    let (spec, precision) = (pass.input.spec, pass.input.observation.route.precision);
    let Some(attempt) = pass.next.attempt.as_mut() else { return Continue(()) };
    let fresh = attempt.baseline.is_empty();
    if fresh {
        attempt.baseline = pass.input.finding.history.iter().map(History::status).collect();
    }
    attempt.estimates = estimate::estimates(spec, &attempt.baseline, precision);
    if let Some(message) = estimate::undecidable(spec, &attempt.estimates).filter(|_| fresh) {
        pass.notes.push(Note { warning: false, reason: Reason::InsufficientEvidence, message });
    }
    Continue(())
}

/// The evidence is kept for a restart while the steps are under way; what the guard gathers later is of a day at most.
pub(super) fn checkpoint(pass: &mut Pass<'_>) -> ControlFlow<()> {
    let Some(kept) = pass.input.finding.checkpoint.as_ref() else { return Continue(()) };
    let Ok(until) = Timestamp::from_millisecond(kept.until) else { return Continue(()) };
    let under_way = pass.had_weight() && pass.base_phase() == Phase::Progressing;
    let Some(attempt) = pass.next.attempt.as_mut().filter(|_| under_way) else { return Continue(()) };
    if attempt.checkpoint.as_ref().is_none_or(|known| known.until.0 < until) {
        attempt.checkpoint =
            Some(CheckpointStatus { until: MicroTime(until), data: BASE64_STANDARD.encode(&kept.data) });
    }
    Continue(())
}

/// What the checks of the image said is kept, with traffic or without.
pub(super) fn preflight(pass: &mut Pass<'_>) -> ControlFlow<()> {
    preflight::learn(pass);
    Continue(())
}

/// Everything but traffic: the image is inspected, the pool is built, at 0, and what there is to read is read and judged.
pub(super) fn observing(pass: &mut Pass<'_>) -> ControlFlow<()> {
    if pass.input.spec.mode != Mode::Observe {
        return Continue(());
    }
    pass.reset_steps();
    if let Some(standard) = pass.standard() {
        let wanted = spec_hash(pass.input.spec);
        let same = |attempt: &AttemptStatus| {
            attempt.spec_hash == wanted && attempt.standard_hash == standard.template_hash
        };
        if !pass.next.attempt.as_ref().is_some_and(same) && change::given_back(pass) {
            pass.open_attempt(&standard.template_hash);
        }
        // An edit of a pool without pods hurts nobody: it is put back, and counted, when traffic is to move.
        if pass.live().is_none_or(|live| live.edited_by.is_none()) {
            pass.want_pool();
        }
    }
    let finding = pass.input.finding;
    let waits = preflight::stop(pass);
    let message = match (pass.standard(), pass.input.spec.steps.first()) {
        _ if matches!(finding.kind, FindingKind::HardSignal | FindingKind::Breach) => {
            format!("mode Observe: would roll back: {}", finding.sentence)
        }
        (Some(_), _) if waits.is_some() => {
            format!("mode Observe: would wait: {}", waits.map(|stop| stop.message).unwrap_or_default())
        }
        (Some(standard), Some(step)) => {
            let reach = reach(pass.input.observation.route.precision, step.weight);
            let (share, pods) = (text::percent(reach.share), text::pods(reach.pods));
            format!("mode Observe: would set {share}: {pods} beside {}", standard.replicas)
        }
        _ => format!("mode Observe: would wait for Deployment {}", pass.input.spec.workload_ref.name),
    };
    commands::idle(pass, &message);
    pass.say(Phase::Progressing, Reason::Observing, message);
    pass.expect("traffic moves when spec.mode is Active", None);
    Break(())
}

/// No workload, no traffic to shift.
pub(super) fn workload_missing(pass: &mut Pass<'_>) -> ControlFlow<()> {
    if pass.standard().is_some() {
        return Continue(());
    }
    let message = format!("Deployment {} does not exist", pass.input.spec.workload_ref.name);
    pass.reset_steps();
    commands::idle(pass, &message);
    pass.say(Phase::Pending, Reason::WorkloadNotFound, message);
    pass.expect("the workload appears", None);
    Break(())
}

/// A route that is not there, or cannot share its traffic as it is.
pub(super) fn route_unusable(pass: &mut Pass<'_>) -> ControlFlow<()> {
    let Some(why) = pass.input.observation.route.unusable.as_ref() else { return Continue(()) };
    pass.reset_steps();
    commands::idle(pass, why);
    pass.say(Phase::Pending, Reason::RouteUnusable, why.clone());
    pass.expect("it goes on by itself once the route can be used", None);
    Break(())
}

/// Nothing rises that has no attempt: its number and hashes are persisted first.
pub(super) fn first_attempt(pass: &mut Pass<'_>) -> ControlFlow<()> {
    match pass.standard() {
        Some(standard) if pass.next.attempt.is_none() => {
            let why =
                format!("the free-threaded pool {} is built", pass.input.observation.free_threaded.name);
            pass.begin_attempt(&standard.template_hash, &why);
            Break(())
        }
        _ => Continue(()),
    }
}

/// The evidence is there.
pub(super) fn finding(pass: &mut Pass<'_>) -> ControlFlow<()> {
    let finding = pass.input.finding;
    if !matches!(finding.kind, FindingKind::HardSignal | FindingKind::Breach) || !pass.had_weight() {
        return Continue(());
    }
    pass.roll_back(finding.reason, &finding.sentence);
    Break(())
}

/// Keeps the time since when our pool alone has been silent. An outage of the monitoring is no such time.
pub(super) fn blind(pass: &mut Pass<'_>) -> ControlFlow<()> {
    let silent = pass.input.finding.blind == Blind::OurPool && pass.written() > 0;
    let now = pass.stamp();
    let analysis = &pass.input.spec.analysis;
    let Some(attempt) = pass.next.attempt.as_mut() else { return Continue(()) };
    if !silent {
        attempt.blind_since = None;
        return Continue(());
    }
    let since = attempt.blind_since.get_or_insert(now).0;
    if after(since, analysis.blind_for) > pass.now() || analysis.on_blind == OnBlind::Hold {
        return Continue(());
    }
    let sentence = format!(
        "no data of the free-threaded pool for {}, longer than analysis.blindFor: {}",
        analysis.blind_for,
        text::open(&pass.input.finding.sentence),
    );
    pass.roll_back(Reason::BlindTooLong, &sentence);
    Break(())
}

/// Why the weight does not rise while our pool alone is silent, and until when.
pub(super) fn blind_stop(pass: &Pass<'_>) -> Stop {
    let analysis = &pass.input.spec.analysis;
    let message = pass.input.finding.sentence.clone();
    let since = pass.next.attempt.as_ref().and_then(|attempt| attempt.blind_since.clone());
    let at = since.map(|since| after(since.0, analysis.blind_for)).filter(|at| *at > pass.now());
    if at.is_none() && analysis.on_blind == OnBlind::Hold {
        let next = "there is data again; analysis.onBlind says hold".into();
        return Stop { phase: Some(Phase::Paused), reason: Reason::Blind, message, next, at: None };
    }
    let next = match analysis.on_blind {
        OnBlind::RollBack => "rolled back, unless there is data of the free-threaded pool",
        OnBlind::Hold => "paused, unless there is data of the free-threaded pool",
    };
    Stop { phase: None, reason: Reason::MetricsUnavailable, message, next: next.into(), at }
}

/// Pods that the router counts as the standard pool's.
pub(super) fn standard_pods(pass: &Pass<'_>) -> i32 {
    pass.input.observation.route.precision.standard()
}
