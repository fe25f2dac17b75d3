//! The laws as predicates on one pass: what was there before, what was seen, what was decided.

use freethread_rollout::{
    api::{
        AttemptStatus, BenefitOutcome, Check, FreeThreadRolloutStatus, Mode, OnBlind, OnInconclusive, OnNone,
        Pace, Phase, PreflightPolicy, PreflightVerdict, Reason, Span,
    },
    decide::{Decision, Movement, PoolWanted, reach},
    judge::{Blind, FindingKind},
    observe::{LivePool, Observation},
    preflight::image::asked,
};
use jiff::{SignedDuration, Timestamp};

use super::{
    handed::{self, held},
    world::World,
};

/// The laws that concern `decide`, by the design's numbers.
pub(crate) const LAWS: [(u8, Law); 5] = [(1, law1), (2, law2), (3, law3), (4, law4), (8, law8)];

/// What a law says of one pass.
pub(crate) type Law = fn(&World, &Observation, &Decision) -> Result<(), String>;

fn demand(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.into()) }
}

fn after(at: Timestamp, span: Span) -> Timestamp {
    at + SignedDuration::from_millis(span.millis())
}

fn against(world: &World) -> bool {
    matches!(world.finding.kind, FindingKind::HardSignal | FindingKind::Breach)
}

/// Something else takes the weight to 0 already, under its own name.
fn overridden(world: &World) -> bool {
    world.deleting
        || world.giving_back
        || !world.obstacles.is_empty()
        || world.spec.suspend
        || world.spec.mode == Mode::Observe
        || world.standard.is_none()
        || world.status.attempt.is_none()
}

fn number(status: &FreeThreadRolloutStatus) -> Option<i32> {
    status.attempt.as_ref().map(|attempt| attempt.number)
}

/// A rollback is never gated.
fn law1(world: &World, seen: &Observation, decision: &Decision) -> Result<(), String> {
    let written = seen.route.written.unwrap_or(0);
    let traffic = written > 0 || seen.route.serving.is_some_and(|serving| serving > 0);
    if against(world) && traffic {
        demand(decision.target.weight <= held(seen), "a breach leaves weight")?;
        let falls = decision.target.movement == Movement::Fall;
        demand(written <= held(seen) || falls, "a breach is no fall")?;
        if !overridden(world) && !world.status.phase.is_over() {
            demand(decision.status.phase == Phase::RolledBack, "a breach is no rollback")?;
            let noted = seen.route.note.is_some();
            let named = decision.status.reason == world.finding.reason
                && decision.status.message.starts_with(world.finding.sentence.as_str());
            demand(named || noted, "the rollback does not say the finding")?;
        }
    }
    if decision.status.phase.is_over() {
        demand(decision.target.weight <= held(seen), "rolled back with weight")?;
        let note = decision.target.note.as_ref();
        if written > held(seen) {
            let note = note.ok_or("weight 0 without a note")?;
            demand(note.message == decision.status.message, "the note says something else than the status")?;
            demand(Some(note.attempt) == number(&decision.status), "the note is about another attempt")?;
        }
    } else {
        demand(decision.target.note.is_none(), "a note without a rollback")?;
        if world.status.phase.is_over() {
            demand(
                number(&decision.status) > number(&world.status) || world.deleting,
                "up again without a new attempt",
            )?;
            demand(decision.target.weight == 0, "a new attempt begins with weight")?;
        }
    }
    without_benefit(world, seen, decision)?;
    if overridden(world) {
        demand(decision.target.weight <= held(seen), "weight where there may be none")?;
    }
    if world.giving_back && !world.deleting {
        let traffic_first = decision.pool != PoolWanted::Remove || !traffic;
        demand(traffic_first, "the pool goes before its traffic")?;
        demand(decision.pool != PoolWanted::Apply, "something is built for nobody to watch")?;
    }
    let gone = seen.free_threaded.live.is_none();
    demand(!gone || decision.target.weight == 0, "weight on a pool that does not exist")
}

/// What was shown not to be worth it is given back where the spec says so, stays back, and is no rollback.
fn without_benefit(world: &World, seen: &Observation, decision: &Decision) -> Result<(), String> {
    let (before, next) = (&world.status, &decision.status);
    let asked = world.spec.benefit.as_ref();
    let gives_back = asked.is_some_and(|asked| asked.on_none == OnNone::GiveBack);
    let none = |status: &FreeThreadRolloutStatus| {
        let known = status.benefit.as_ref().filter(|known| known.outcome == BenefitOutcome::NoBenefit);
        known.is_some_and(|known| asked.is_some_and(|asked| asked.fingerprint() == known.of))
    };
    if gives_back && (none(before) || none(next)) {
        demand(decision.target.weight <= held(seen), "not worth it, and still there")?;
        demand(decision.target.movement != Movement::Rise, "not worth it, and rises")?;
    }
    let fresh = next.phase == Phase::NoBenefit && before.phase != Phase::NoBenefit;
    let measured = next.preflight.as_ref().and_then(|known| known.benchmark.as_ref());
    let before_traffic = world.written() == 0
        && measured.is_some_and(|known| known.verdict == PreflightVerdict::NoBenefit && !known.again);
    if fresh {
        demand(
            none(next) && gives_back
                || before_traffic
                || asked.is_none()
                || before.attempt.is_none()
                || noted(world),
            "given back unasked",
        )?;
        demand(
            decision.events.iter().all(|note| !note.warning || note.reason != Reason::NoBenefit),
            "no benefit is no warning",
        )?;
    }
    // What is known of an attempt stands, as long as the same is asked for.
    let kept = number(before) == number(next) && none(before) && !world.giving_back;
    demand(!kept || none(next) || world.deleting, "what was measured is forgotten")
}

fn noted(world: &World) -> bool {
    world.observe().route.note.is_some()
}

/// The standard pool is sacred: ours never takes more than the step's share, and never serves alone.
fn law2(world: &World, seen: &Observation, decision: &Decision) -> Result<(), String> {
    let Some(standard) = &seen.standard else {
        return demand(decision.target.weight == 0, "weight without a standard pool");
    };
    // By a route somebody else may scale it to 0 while the traffic is here: that is no reason to send it to nobody.
    let stays =
        seen.route.precision.is_percent() && decision.target.weight <= seen.route.written.unwrap_or(0);
    demand(standard.replicas > 0 || decision.target.weight == 0 || stays, "our pool serves alone")?;
    let step = usize::try_from(decision.status.step).map_err(|_| "a negative step")?;
    let weight = world.spec.steps.get(step).ok_or("a step that does not exist")?.weight;
    let most = reach(seen.route.precision, weight).weight;
    demand(decision.target.weight <= most.max(held(seen)), "more than the step wants")?;
    demand(decision.target.weight >= 0, "a negative weight")?;
    handed::law(world, seen, decision)?;
    pods(world, seen, decision)
}

/// Where pods follow a weight they are there before it and go after it; and nothing leaves the team's route while it has weight.
fn pods(world: &World, seen: &Observation, decision: &Decision) -> Result<(), String> {
    let written = seen.route.written.unwrap_or(0);
    if !seen.route.precision.is_percent() {
        demand(decision.replicas.is_none(), "pods beside pods")?;
        return demand(decision.target.movement != Movement::GiveBack, "nothing is the team's by pod counts");
    }
    let ready = |live: &LivePool| {
        i32::try_from(seen.free_threaded.pods.iter().filter(|pod| pod.ready_since.is_some()).count())
            .unwrap()
            .min(live.replicas)
    };
    let live = seen.free_threaded.live.as_ref();
    // A gateway that has said nothing for a minute holds up nothing.
    let last = decision.status.attempt.as_ref().and_then(|attempt| attempt.weight_changes.last());
    let long_ago = last.is_none_or(|change| after(change.at.0, Span::from_secs(60)) <= world.now);
    let silent = seen.route.serving.is_none() && !seen.route.unseen;
    let away = seen.route.serving == Some(0) || (silent && long_ago);
    if decision.target.movement == Movement::Rise {
        let needs = reach(seen.route.precision, decision.target.weight).pods;
        demand(live.is_some_and(|live| ready(live) >= needs), "a weight without pods for it")?;
    }
    if let (Some(pods), Some(live)) = (decision.replicas, live) {
        let traffic = written > 0 || decision.target.weight > 0 || !away;
        demand(pods > live.replicas || !traffic, "pods go before their traffic")?;
        demand(pods <= world.spec.free_threaded.max_replicas, "more pods than there may be")?;
    }
    let gives_back = decision.target.movement == Movement::GiveBack;
    demand(
        !gives_back || (written == 0 && decision.target.weight == 0),
        "a route is given back with weight",
    )?;
    demand(!gives_back || away, "a route is given back before its weight is read back")?;
    demand(!gives_back || world.status.weight.wanted == 0, "a route is given back before that is said")
}

/// No data is never good news, and no outage of the monitoring rolls back.
fn law3(world: &World, seen: &Observation, decision: &Decision) -> Result<(), String> {
    let (finding, before, after_it) = (&world.finding, &world.status, &decision.status);
    let written = seen.route.written.unwrap_or(0);
    let rises = decision.target.movement == Movement::Rise;
    demand(!rises || finding.blind != Blind::Everything, "rises blind")?;
    demand(!rises || written == 0 || finding.blind == Blind::No, "rises blind on our pool")?;
    demand(!rises || written == 0 || finding.kind != FindingKind::Unknown, "rises on Unknown")?;
    demand(!rises || finding.standard_seen || written > 0, "rises without the standard pool's data")?;
    let fresh = before.phase != Phase::RolledBack && after_it.phase == Phase::RolledBack;
    let noted = seen.route.note.is_some();
    if fresh && finding.blind != Blind::OurPool && !noted {
        demand(after_it.reason != Reason::BlindTooLong, "an outage of the monitoring rolls back")?;
    }
    if fresh && !noted && after_it.reason == Reason::Inconclusive {
        let calm = finding.blind == Blind::No && finding.kind != FindingKind::SharedIncident;
        demand(calm, "what nobody can see is taken for inconclusive")?;
        let on = world.spec.analysis.on_inconclusive;
        demand(on == OnInconclusive::RollBack, "an undecided step rolls back unasked")?;
    }
    if finding.blind == Blind::Everything && after_it.phase != Phase::RolledBack && !overridden(world) {
        let since = after_it.attempt.as_ref().and_then(|attempt| attempt.blind_since.as_ref());
        demand(since.is_none(), "an outage of the monitoring counts against our pool")?;
    }
    let since = before.attempt.as_ref().and_then(|attempt| attempt.blind_since.as_ref());
    let too_long = since.is_some_and(|since| after(since.0, world.spec.analysis.blind_for) <= world.now);
    let rolls_back = world.spec.analysis.on_blind == OnBlind::RollBack;
    if finding.blind == Blind::OurPool && written > 0 && too_long && rolls_back {
        demand(decision.target.weight <= held(seen), "blind for too long and still there")?;
    }
    // Whoever says that all is well can see.
    if matches!(after_it.reason, Reason::Holding | Reason::Completed | Reason::AwaitingApproval) {
        demand(finding.blind == Blind::No, "blind, and not said")?;
        demand(finding.kind != FindingKind::SharedIncident, "a shared incident, and not said")?;
        demand(after_it.paused_since.is_none(), "paused, and not said")?;
        demand(seen.route.serving == Some(written), "pods are missing, and not said")?;
    }
    Ok(())
}

/// From zero only on an image that was looked at; and never further where pods run another one than that.
fn looked_at(world: &World, decision: &Decision) -> Result<(), String> {
    let Some(wanted) = &world.spec.preflight else { return Ok(()) };
    let known = |check| decision.status.preflight.as_ref().and_then(|known| known.of(check));
    if world.written() == 0 {
        for (check, of) in world.checks() {
            let known = known(check).filter(|known| known.of == of && !known.again);
            let known = known.ok_or_else(|| format!("rises on an image without {}", check.name()))?;
            let done = known.verdict != PreflightVerdict::Measuring;
            let warn = done && asked(wanted, check) == PreflightPolicy::Warn;
            let passed = known.verdict == PreflightVerdict::Passed || warn;
            demand(passed, "rises on an image that did not pass")?;
        }
        return Ok(());
    }
    let id = Check::ALL.into_iter().find_map(|check| known(check)?.image_id.clone());
    let same = id.is_none_or(|id| world.pods.iter().all(|(pod, _)| pod.image_id.as_ref() == Some(&id)));
    demand(same, "rises on pods of another image than was looked at")
}

fn young(world: &World) -> bool {
    let warm_up = world.spec.free_threaded.warm_up;
    world.pods.iter().any(|(pod, _)| pod.ready_since.is_some_and(|ready| after(ready, warm_up) > world.now))
}

/// The weight rises only on evidence.
fn law4(world: &World, seen: &Observation, decision: &Decision) -> Result<(), String> {
    let (before, next) = (&world.status, &decision.status);
    let written = seen.route.written.unwrap_or(0);
    if decision.target.movement == Movement::Rise {
        let standard = seen.standard.as_ref().ok_or("rises without a standard pool")?;
        let ready = standard.pods.iter().filter(|pod| pod.ready_since.is_some()).count();
        demand(
            standard.replicas > 0 && ready >= usize::try_from(standard.replicas).unwrap_or(0),
            "standard pool short",
        )?;
        let live = seen.free_threaded.live.as_ref().ok_or("rises without a pool")?;
        demand(!live.deleting, "rises on a pool that goes")?;
        demand(decision.pool == PoolWanted::Leave, "rises on a pool that is written in the same pass")?;
        demand(
            written > 0 || live.template_hash == seen.free_threaded.wanted_hash,
            "rises on another template",
        )?;
        looked_at(world, decision)?;
        demand(next.paused_since.is_none(), "rises while paused")?;
        let known = next.attempt.as_ref().is_some_and(|attempt| !attempt.baseline.is_empty());
        demand(known, "rises before it is known what the standard pool's counts are like")?;
        demand(seen.route.serving == Some(written), "rises before the last weight is read back")?;
        demand(!seen.route.stale, "rises on a route that is not what it should be")?;
        demand(written == 0 || !young(world), "rises on young pods")?;
        demand(written == 0 || world.finding.kind.is_clear(), "rises without a clear verdict")?;
        demand(
            !against(world) && world.finding.kind != FindingKind::SharedIncident,
            "rises against a finding",
        )?;
        let same = before.phase == next.phase && before.step == next.step && number(before) == number(next);
        demand(same, "rises before step, phase and attempt are persisted")?;
        demand(before.weight.wanted == next.weight.wanted, "rises before the wanted weight is persisted")?;
        let reach = reach(seen.route.precision, next.weight.wanted);
        demand(decision.target.weight == reach.weight, "rises to something else than the step's weight")?;
        let allowed = world.spec.traffic.pod_count.as_ref().is_some_and(|router| router.allow_overshoot)
            || next.attempt.as_ref().is_some_and(|attempt| attempt.overshoot_approved);
        demand(!reach.overshoot || allowed, "overshoots without consent")?;
    }
    let guard =
        |status: &FreeThreadRolloutStatus| status.attempt.as_ref().is_some_and(|a| a.guard_since.is_some());
    let same = number(before) == number(next);
    if same && (next.step > before.step || (guard(next) && !guard(before))) {
        let attempt: &AttemptStatus = before.attempt.as_ref().ok_or("goes on without an attempt")?;
        // Steps may have become fewer.
        let index = usize::try_from(before.step).unwrap_or(0).min(world.spec.steps.len() - 1);
        let step = &world.spec.steps[index];
        let promoted = next.command != before.command
            && next.command.as_ref().is_some_and(|command| command.given.starts_with("promote@"));
        let approved = attempt.approved || promoted;
        let lasted =
            |span| attempt.converged_at.as_ref().is_some_and(|at| after(at.0, span) <= world.now) || approved;
        match step.pace() {
            Pace::Fixed(hold) => demand(lasted(hold), "goes on before the hold is over")?,
            Pace::Evidence { min, max } => {
                let undecided = world.spec.analysis.on_inconclusive == OnInconclusive::Advance && lasted(max);
                let suffices = world.finding.kind == FindingKind::Safe || undecided || approved;
                demand(lasted(min), "goes on before the shortest hold is over")?;
                demand(suffices, "goes on without the evidence that it is safe")?;
            }
        }
        demand(approved || !step.pause, "goes on without approval")?;
        demand(
            world.finding.kind.is_clear() && world.finding.blind == Blind::No,
            "goes on without a clear verdict",
        )?;
        let of_this_step = attempt.step_counts_from.as_ref().zip(world.finding.counts_from);
        let fresh = of_this_step.is_none_or(|(from, of)| of.as_millisecond() >= from.0.as_millisecond());
        demand(fresh, "goes on with a verdict on the step before")?;
        let observed = world.finding.observed.filter(|_| !seen.route.group.is_empty());
        let follows = observed.is_none_or(|share| !share.contradicts(f64::from(written) / 100.0));
        demand(follows, "goes on while requests go elsewhere")?;
        demand(!young(world), "goes on with young pods")?;
        demand(seen.route.serving == Some(written) && written > 0, "goes on before the weight is read back")?;
        demand(next.paused_since.is_none(), "goes on while paused")?;
        demand(decision.target.movement == Movement::Stay, "goes on and writes in one pass")?;
    }
    Ok(())
}

/// Everything is explained, once, with the same sentence everywhere.
fn law8(world: &World, _: &Observation, decision: &Decision) -> Result<(), String> {
    let (before, next) = (&world.status, &decision.status);
    demand(!next.message.is_empty(), "no sentence")?;
    let said = decision
        .events
        .iter()
        .filter(|note| note.message == next.message && note.reason == next.reason)
        .count();
    let changed = before.phase != next.phase
        || before.weight.wanted != next.weight.wanted
        || before.step != next.step
        || number(before) != number(next);
    let moved = matches!(decision.target.movement, Movement::Fall | Movement::Rise);
    demand(said == usize::from(changed || moved), "not exactly one event for a change of phase or weight")?;
    if changed {
        let (last, older) = next.history.split_last().ok_or("a change without history")?;
        demand(last.message == next.message && last.reason == next.reason, "history says something else")?;
        demand(last.phase == next.phase && last.weight == next.weight.wanted, "history has other numbers")?;
        demand(before.history.ends_with(older), "history forgets")?;
        demand(older.len() + 1 == (before.history.len() + 1).min(20), "history is not bounded at 20")?;
    } else {
        demand(before.history == next.history, "history without a change")?;
    }
    let ready =
        next.conditions.iter().find(|condition| condition.type_ == "Ready").ok_or("no Ready condition")?;
    demand(
        ready.reason == next.reason.as_str() && ready.message == next.message,
        "the condition says something else",
    )?;
    for condition in &next.conditions {
        demand(!condition.message.is_empty() && !condition.reason.is_empty(), "a condition without words")?;
        demand(condition.observed_generation == Some(world.generation), "a condition of another generation")?;
        let old = before.conditions.iter().find(|old| old.type_ == condition.type_);
        let kept = old.is_none_or(|old| {
            old.status != condition.status || old.last_transition_time == condition.last_transition_time
        });
        demand(kept, "a transition time without a transition")?;
    }
    let soonest = world.now + SignedDuration::from_millis(200);
    demand(decision.wake_at.is_none_or(|at| at == world.now || at >= soonest), "wakes in the past")
}
