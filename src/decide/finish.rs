//! The decision's last part, the same for every rule: numbers for people, history, the event, the movement.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::{
    Decision, Movement, Note, PoolWanted, SETTLE, Target, conditions, hand_over, ours,
    pass::{Pass, after},
    rules::standard_pods,
    text,
};
use crate::{
    api::{
        FreeThreadRolloutStatus, HISTORY_LIMIT, HistoryEntry, Percent, Phase, PoolStatus, Reason, Span,
        VerdictStatus, WEIGHT_CHANGES_LIMIT, WeightChange,
    },
    observe::{Drawn, Pod, RollbackNote},
};

/// Not more often than this, unless at once.
const SHORTEST: SignedDuration = SignedDuration::from_millis(200);
/// A falling weight that is not read back by then is looked at again.
const INSIST: Span = Span::from_secs(1);

pub(super) fn finish(mut pass: Pass<'_>) -> Decision {
    let standard = hand_over::hand_over(&mut pass);
    let (target, written) = (pass.target.max(0), pass.written());
    // A cache that is behind does not know of the weight that was written last; one that has the reason for weight 0 does.
    let before = pass.input.status.attempt.as_ref().and_then(|attempt| attempt.weight_changes.last());
    let number = pass.input.status.attempt.as_ref().map_or(0, |attempt| attempt.number);
    let known = pass.input.observation.route.note.as_ref().is_some_and(|note| note.attempt >= number);
    let there = pass.live().is_some() || pass.by_percent();
    let behind = target == 0 && !known && there && before.is_some_and(|change| change.written > 0);
    let movement = match target.cmp(&written) {
        std::cmp::Ordering::Less => Movement::Fall,
        std::cmp::Ordering::Equal if behind => Movement::Fall,
        std::cmp::Ordering::Equal if pass.level => Movement::Rise,
        std::cmp::Ordering::Equal if target == 0 && to_give_back(&pass) => Movement::GiveBack,
        std::cmp::Ordering::Equal if ours::renews(&mut pass) => Movement::Renew,
        std::cmp::Ordering::Equal => Movement::Stay,
        std::cmp::Ordering::Greater => Movement::Rise,
    };
    if target != pass.last_written() {
        record_weight(&mut pass, target);
    } else if movement == Movement::Rise {
        // It was refused before: it happens now.
        let now = pass.stamp();
        if let Some(change) = pass.next.attempt.as_mut().and_then(|attempt| attempt.weight_changes.last_mut())
        {
            change.at = now;
        }
    }
    // Whatever else waits: without its Service a weight has nothing to send to.
    let there = pass.live().is_some_and(|live| !live.deleting);
    if target > 0 && there && pass.input.observation.free_threaded.service_missing {
        pass.pool = PoolWanted::Apply;
    }
    let replicas = replicas(&mut pass, target);
    let left = pass.by_percent() && pass.input.observation.route.written.is_some() && pass.empty();
    if movement == Movement::Stay && target == 0 && pass.wanted == 0 && left {
        // Persisted first, given back next.
        pass.wake(pass.now());
    }
    if matches!(movement, Movement::Fall | Movement::GiveBack) {
        pass.wake(after(pass.now(), INSIST));
    }
    numbers(&mut pass);
    verdict(&mut pass);
    conditions::fill(&mut pass, target);
    let mut events = std::mem::take(&mut pass.notes);
    explain(&mut pass, movement, &mut events);
    let now = pass.now();
    let wake_at =
        pass.wake_at.map(|at| if at <= now { now } else { at.max(now.checked_add(SHORTEST).unwrap_or(at)) });
    Decision {
        target: Target { movement, share: share(&pass, target), weight: target, note: note(&pass, movement) },
        standard,
        replicas,
        job: pass.job,
        pool: pass.pool,
        status: pass.next,
        events,
        wake_at,
    }
}

/// Weight 0 is in effect and persisted, and something of ours is still in the team's object.
fn to_give_back(pass: &Pass<'_>) -> bool {
    let before = pass.input.status;
    let said = before.phase == pass.next.phase && before.weight.wanted == 0;
    pass.by_percent() && pass.input.observation.route.written.is_some() && pass.empty() && said
}

/// Pods that our Deployment is to have, where the router does not count pods; `None`: as it is.
fn replicas(pass: &mut Pass<'_>, target: i32) -> Option<i32> {
    let ours = &pass.input.observation.free_threaded;
    // KEDA would undo it, and needs no help: what its queue holds at weight 0 is worked off before the pods go.
    let live = pass.live().filter(|live| pass.by_percent() && !live.deleting && !ours.by_keda())?;
    let wanted = pass.pods_for(target.max(pass.written())).max(pass.ahead);
    if wanted > 0 {
        // Never fewer while there is weight: a standard pool that an autoscaler makes smaller because its traffic is here says nothing of what is
        // needed here. An autoscaler of our own decides by itself, but cannot begin at 0.
        let scaled = live.replicas > 0 && ours.autoscaler.is_some();
        return (!scaled && live.replicas < wanted).then_some(wanted);
    }
    if live.replicas == 0 || pass.input.status.weight.wanted > 0 {
        return None;
    }
    drained(pass).then_some(0)
}

/// Weight 0 is in effect, and what was sent a moment before it was is answered.
pub(super) fn drained(pass: &mut Pass<'_>) -> bool {
    if !pass.empty() {
        return false;
    }
    let attempt = pass.next.attempt.as_ref();
    let changed = attempt.and_then(|attempt| attempt.weight_changes.last()).map(|change| change.at.0);
    let until = changed.map(|at| after(at, SETTLE)).filter(|at| *at > pass.now());
    if let Some(at) = until {
        pass.wake(at);
    }
    until.is_none()
}

/// The share that a weight of ours makes.
fn share(pass: &Pass<'_>, weight: i32) -> Percent {
    if pass.by_percent() {
        return Percent::from_ratio(f64::from(weight.clamp(0, 100)) / 100.0);
    }
    let pods = weight;
    let (ours, standard) = (f64::from(pods.max(0)), f64::from(standard_pods(pass).max(0)));
    Percent::from_ratio(ours / (ours + standard))
}

/// The weight as written from now on, for the evidence: a cell that holds a change is not counted.
pub(super) fn record_weight(pass: &mut Pass<'_>, weight: i32) {
    let change = WeightChange { at: pass.stamp(), share: share(pass, weight), written: weight };
    let (last, seen) = (pass.last_written(), pass.input.status.weight.observed);
    let seen =
        seen.filter(|_| pass.input.observation.route.drawn == Drawn::Users && last > 0 && weight > last);
    let Some(attempt) = pass.next.attempt.as_mut() else { return };
    // At a lower weight somebody left: what is known is of others.
    attempt.answered_before = seen.or(attempt.answered_before).filter(|_| weight >= last);
    if attempt.converged_at.is_none() {
        attempt.step_counts_from = Some(change.at.clone());
    }
    attempt.weight_changes.push(change);
    let over = attempt.weight_changes.len().saturating_sub(WEIGHT_CHANGES_LIMIT);
    attempt.weight_changes.drain(..over);
}

fn note(pass: &Pass<'_>, movement: Movement) -> Option<RollbackNote> {
    if movement != Movement::Fall || !pass.next.phase.is_over() {
        return None;
    }
    let known = pass.input.observation.route.note.as_ref().map_or(0, |note| note.attempt);
    Some(RollbackNote {
        attempt: pass.next.attempt.as_ref().map_or(known, |attempt| attempt.number),
        phase: pass.next.phase,
        reason: pass.next.reason,
        message: pass.next.message.clone(),
    })
}

fn numbers(pass: &mut Pass<'_>) {
    let observation = pass.input.observation;
    let route = &observation.route;
    let ours_serving = route.serving.unwrap_or(0).max(0);
    let all = ours_serving + route.standard_serving.max(0);
    let serving = if pass.by_percent() {
        route.serving.filter(|_| route.written.is_some()).map(|serving| share(pass, serving))
    } else {
        (all > 0).then(|| Percent::from_ratio(f64::from(ours_serving) / f64::from(all.max(1))))
    };
    let reachable = (pass.wanted > 0).then(|| pass.reach().share);
    let observed = observed(pass);
    let label = (pass.steps() > 0).then(|| format!("{}/{}", pass.next.step + 1, pass.steps()));
    let ours = &observation.free_threaded;
    let next = &mut pass.next;
    next.observed_generation = pass.input.generation;
    next.step_label = label;
    next.weight.wanted = pass.wanted;
    next.weight.reachable = reachable;
    next.weight.serving = serving;
    next.weight.observed = observed;
    next.standard = match &observation.standard {
        Some(standard) => {
            let note = standard.autoscaler_counts_ours.as_ref().map(|name| {
                format!("the HorizontalPodAutoscaler {name} counts our pods too: the Deployment's selector matches them")
            });
            pool(&standard.name, Some(&standard.image), standard.replicas, &standard.pods, note)
        }
        None => pool(&pass.input.spec.workload_ref.name, None, 0, &[], Some("does not exist".into())),
    };
    let image = Some(&ours.image).filter(|image| !image.is_empty());
    let note = next.standard.note.clone().filter(|_| observation.standard.is_some());
    let scaled = ours.autoscaler.as_ref().map(|autoscaler| {
        let always = if autoscaler.by_keda { ", at weight 0 too" } else { "" };
        format!("the HorizontalPodAutoscaler {} says how many pods there are{always}", autoscaler.name)
    });
    let notes: Vec<String> = note.into_iter().chain(scaled).collect();
    let note = (!notes.is_empty()).then(|| notes.join("; "));
    let replicas = ours.live.as_ref().map_or(0, |live| live.replicas);
    next.free_threaded = pool(&ours.name, image, replicas, &ours.pods, note);
}

fn pool(name: &str, image: Option<&String>, replicas: i32, pods: &[Pod], note: Option<String>) -> PoolStatus {
    let ready = pods.iter().filter(|pod| pod.ready_since.is_some() && !pod.going).count();
    let ready = i32::try_from(ready).unwrap_or(i32::MAX);
    PoolStatus {
        name: name.to_owned(),
        image: image.cloned(),
        replicas,
        ready,
        ready_label: format!("{ready}/{replicas}"),
        note,
    }
}

/// In whole percents, and the same for as long as it is about the same: where all is settled, nobody waits for the last percent, and
/// each change is a write.
fn observed(pass: &Pass<'_>) -> Option<Percent> {
    // A flag knows what it answered, work that is done in queues is counted later.
    let now = pass.input.observation.route.evaluated.or(pass.input.finding.observed)?.ours;
    let before = pass.input.status.weight.observed;
    let about = if pass.base_phase() == Phase::Progressing { 1.0 } else { 5.0 };
    Some(
        before
            .filter(|before| (before.percent() - now.percent()).abs() <= about)
            .unwrap_or_else(|| text::whole(now)),
    )
}

fn verdict(pass: &mut Pass<'_>) {
    // What it was rolled back for stays readable: nothing is compared any more.
    if pass.next.phase.is_over() && pass.input.status.phase == pass.next.phase {
        return;
    }
    let finding = pass.input.finding;
    let verdict = VerdictStatus {
        overall: format!("{:?}", finding.kind),
        sentence: finding.sentence.clone(),
        evidence: finding.evidence.map(text::odds),
        // Somebody set it: as it is.
        bound: finding.bound.map(|bound| format!("{bound:.0}:1")),
        metrics: finding.metrics.clone(),
    };
    // As long as all is well the counts in the sentences grow and nothing happens: no write for that. Where all steps are done there is no
    // next one to be safe for.
    let settled = [pass.input.status, &pass.next]
        .iter()
        .all(|status| status.attempt.as_ref().is_some_and(|attempt| attempt.guard_since.is_some()));
    let word = |word: &str| if settled && word == "Safe" { "Clear".to_owned() } else { word.to_owned() };
    let still_clear = pass.next.verdict.as_ref().is_some_and(|before| {
        let words = |verdict: &VerdictStatus| {
            verdict
                .metrics
                .iter()
                .map(|metric| (metric.name.clone(), word(&metric.verdict)))
                .collect::<Vec<_>>()
        };
        finding.kind.is_clear()
            && word(&before.overall) == word(&verdict.overall)
            && before.evidence == verdict.evidence
            && before.bound == verdict.bound
            && words(before) == words(&verdict)
    });
    if !still_clear {
        pass.next.verdict = Some(verdict);
    }
}

/// One sentence for each change of phase or weight, the same in history and event.
fn explain(pass: &mut Pass<'_>, movement: Movement, events: &mut Vec<Note>) {
    let what = |status: &FreeThreadRolloutStatus| {
        let attempt = status.attempt.as_ref().map(|attempt| attempt.number);
        (status.phase, status.weight.wanted, status.step, attempt)
    };
    let changed = what(pass.input.status) != what(&pass.next);
    if changed {
        let at: MicroTime = pass.stamp();
        let next = &mut pass.next;
        next.history.push(HistoryEntry {
            at,
            phase: next.phase,
            reason: next.reason,
            weight: next.weight.wanted,
            message: next.message.clone(),
        });
        let over = next.history.len().saturating_sub(HISTORY_LIMIT);
        next.history.drain(..over);
    }
    if changed || matches!(movement, Movement::Fall | Movement::Rise) {
        events.push(Note {
            warning: warning(&pass.next),
            reason: pass.next.reason,
            message: pass.next.message.clone(),
        });
    }
}

fn warning(status: &FreeThreadRolloutStatus) -> bool {
    use Reason::{
        Blind, PoolContested, PoolDeleted, PreflightUnknown, RouteContested, RouteUnusable, SharedIncident,
        WorkloadNotFound,
    };
    matches!(status.phase, Phase::RolledBack | Phase::Failed)
        || matches!(
            status.reason,
            PoolDeleted
                | PoolContested
                | RouteContested
                | RouteUnusable
                | PreflightUnknown
                | Blind
                | SharedIncident
                | WorkloadNotFound
        )
}
