//! Our pool in other people's hands: deleted, edited, scaled.

use std::ops::ControlFlow::{self, Break, Continue};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::{Note, PoolWanted, change, finish::record_weight, gitops, pass::Pass, step};
use crate::api::{DriftStatus, Phase, Reason};

/// From this edit in one attempt on it is a contest.
const CONTESTED: i32 = 3;
/// What is contested is put back only so often: two that undo each other at once would do it for ever.
const CONTEST_PAUSE: SignedDuration = SignedDuration::from_secs(30);

/// Someone deleted our pool: restored at weight 0, and a person says how to go on.
pub(super) fn deleted(pass: &mut Pass<'_>) -> ControlFlow<()> {
    let known = pass.next.phase == Phase::Paused && pass.next.reason == Reason::PoolDeleted;
    let gone = pass.live().is_none_or(|live| live.deleting);
    let lost = gone && (pass.last_written() > 0 || pass.written() > 0);
    if !known && !lost {
        return Continue(());
    }
    if known {
        // Restored only when the pause is persisted: a crash in between would take the new pool for the old one.
        pass.want_pool();
    } else {
        pass.pool = PoolWanted::Leave;
    }
    pass.reset_steps();
    let name = &pass.input.observation.free_threaded.name;
    let message = format!("someone deleted Deployment {name}: it is restored, at weight 0");
    pass.say(Phase::Paused, Reason::PoolDeleted, message);
    pass.expect(format!("a person resumes: kubectl freethread resume {}", pass.input.name), None);
    if !known {
        pass.wake(pass.now());
    }
    Break(())
}

/// Edits are put back and counted; the third one is a contest.
pub(super) fn drift(pass: &mut Pass<'_>) -> ControlFlow<()> {
    let Some(live) = pass.live() else { return Continue(()) };
    let route = &pass.input.observation.route;
    let (written, last) = (pass.written(), pass.last_written());
    // Not what we remember, but nobody else's name on it, and just what the step wants or what was there before: our own write that
    // a crash kept from the status, or a rise that the API server refused.
    let own = route.edited_by.is_none() && (written == pass.reach().weight || written == before_last(pass));
    let scaled = written != last && !own;
    let rewritten = rewritten(pass);
    let by = if scaled || rewritten.is_some() { &route.edited_by } else { &live.edited_by };
    let by = by.clone().unwrap_or_else(|| "someone".into());
    let (of_route, of_pool) = (route.edited_at, live.edited_at);
    let name = &pass.input.observation.free_threaded.name;
    if scaled {
        record_weight(pass, written);
        if written > last {
            pass.cap = Some(last);
        }
        let what = if pass.by_percent() {
            format!("{by} changed the weight in {} from {last} % to {written} %", route.what)
        } else {
            format!("{by} scaled Deployment {name} from {last} to {written}")
        };
        let (reason, at) = if pass.by_percent() {
            (Reason::RouteContested, of_route)
        } else {
            (Reason::PoolContested, of_pool)
        };
        count(pass, &by, at, &what, reason);
    } else if rewritten.is_some() {
        count_rewritten(pass);
    } else if live.edited_by.is_some() && !live.deleting && !just_counted(pass, &by, of_pool) {
        count(pass, &by, of_pool, &format!("{by} changed Deployment {name}"), Reason::PoolContested);
    }
    let contested = pass.next.drift.as_ref().filter(|drift| drift.count >= CONTESTED);
    let contested = contested.map(|drift| drift.manager.clone());
    let Some(other) = contested.filter(|_| !change::holds(pass)) else { return Continue(()) };
    step::stay(pass);
    put_back(pass);
    let resume = format!("kubectl freethread resume {}", pass.input.name);
    // Of the two the one that it happened to last.
    let happened = scaled || rewritten.is_some();
    if pass.by_percent() && (happened || pass.input.status.reason == Reason::RouteContested) {
        let managed = pass.input.spec.traffic.managed().is_some();
        let what = if managed { route.what.clone() } else { format!("the weight in {}", route.what) };
        let message = format!(
            "{other} changes {what} again and again: the weight does not rise; {}",
            gitops::rule(&other, route)
        );
        pass.say(Phase::Paused, Reason::RouteContested, message);
        pass.expect(format!("a person leaves the weights to the operator and resumes: {resume}"), None);
        return Break(());
    }
    let message = format!(
        "{other} changes Deployment {name} again and again: it is put back, and the weight does not rise"
    );
    pass.say(Phase::Paused, Reason::PoolContested, message);
    pass.expect(format!("a person takes it out of {other}'s hands and resumes: {resume}"), None);
    Break(())
}

/// Who changed a route of ours otherwise than in its weight.
fn rewritten<'a>(pass: &Pass<'a>) -> Option<&'a String> {
    let route = &pass.input.observation.route;
    route.edited_by.as_ref().filter(|_| route.stale)
}

fn count_rewritten(pass: &mut Pass<'_>) {
    let route = &pass.input.observation.route;
    let Some(by) = rewritten(pass).filter(|by| !just_counted(pass, by, route.edited_at)) else { return };
    count(pass, by, route.edited_at, &format!("{by} changed {}", route.what), Reason::RouteContested);
}

/// Whether a route of ours is to become what it should be, whatever the phase. What somebody changed is counted; what is contested is put back
/// not more often than the pause.
pub(super) fn renews(pass: &mut Pass<'_>) -> bool {
    let leaving = pass.input.deleting || pass.input.giving_back;
    if !pass.input.observation.route.stale || leaving || !pass.input.observation.obstacles.is_empty() {
        return false;
    }
    if rewritten(pass).is_none() {
        return true;
    }
    count_rewritten(pass);
    let now = pass.stamp();
    let Some(drift) = pass.next.drift.as_mut().filter(|drift| drift.count >= CONTESTED) else { return true };
    // The pool is put back in this very pass: both were due.
    if drift.put_back_at.as_ref() == Some(&now) {
        return true;
    }
    if let Some(again) = paused_until(drift, &now) {
        pass.wake(again);
        return false;
    }
    drift.put_back_at = Some(now);
    true
}

/// At once, and then not more often than the pause.
fn put_back(pass: &mut Pass<'_>) {
    if pass.target < pass.written() {
        // A falling weight goes alone: the next pass puts it back.
        return;
    }
    let (now, edited) = (pass.stamp(), pass.live().is_none_or(|live| live.edited_by.is_some()));
    let Some(drift) = pass.next.drift.as_mut().filter(|_| edited) else { return pass.want_pool() };
    if let Some(again) = paused_until(drift, &now) {
        pass.wake(again);
    } else {
        drift.put_back_at = Some(now);
        pass.want_pool();
    }
}

/// When what is contested may be put back again, if that is still to come.
fn paused_until(drift: &DriftStatus, now: &MicroTime) -> Option<Timestamp> {
    let last = drift.put_back_at.as_ref().map(|at| at.0).filter(|at| *at <= now.0);
    last.and_then(|at| at.checked_add(CONTEST_PAUSE).ok()).filter(|again| *again > now.0)
}

/// Pods before the last change of the weight.
fn before_last(pass: &Pass<'_>) -> i32 {
    let changes =
        pass.next.attempt.as_ref().map(|attempt| attempt.weight_changes.as_slice()).unwrap_or_default();
    changes.iter().rev().nth(1).map_or(0, |change| change.written)
}

/// Putting back takes a moment, or longer where it is refused: until then the same edit is seen again.
fn just_counted(pass: &Pass<'_>, by: &str, edited_at: Option<Timestamp>) -> bool {
    pass.next.drift.as_ref().is_some_and(|drift| {
        if let (Some(counted), Some(seen)) = (&drift.edited_at, edited_at) {
            return drift.manager == by && counted.0 == seen;
        }
        let since = pass.now().duration_since(drift.at.0);
        drift.manager == by && since >= SignedDuration::ZERO && since < SignedDuration::from_secs(2)
    })
}

fn count(pass: &mut Pass<'_>, by: &str, edited_at: Option<Timestamp>, what: &str, reason: Reason) {
    let before = pass.next.drift.as_ref();
    let count = before.map_or(0, |drift| drift.count).saturating_add(1);
    let put_back_at = before.and_then(|drift| drift.put_back_at.clone());
    let at: MicroTime = pass.stamp();
    let edited_at = edited_at.map(MicroTime);
    pass.next.drift = Some(DriftStatus { count, manager: by.to_owned(), at, edited_at, put_back_at });
    if count < CONTESTED {
        let times = if count == 1 { "once".into() } else { format!("{count} times") };
        let message = if change::holds(pass) {
            format!("{what}, whose template cannot be put back while spec.onStandardChange holds it")
        } else {
            format!("{what}: put back ({times} in this attempt)")
        };
        pass.notes.push(Note { warning: true, reason, message });
    }
}
