//! The decision's last part, the same for every rule: numbers for people, history, the event, the movement.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::{Decision, Movement, Note, Target, conditions, pass::Pass, rules::standard_pods, text};
use crate::{
    api::{
        FreeThreadRolloutStatus, HISTORY_LIMIT, HistoryEntry, Percent, Phase, PoolStatus, Reason,
        VerdictStatus, WEIGHT_CHANGES_LIMIT, WeightChange,
    },
    observe::{Pod, RollbackNote},
};

/// Not more often than this, unless at once.
const SHORTEST: SignedDuration = SignedDuration::from_millis(200);
/// A falling weight that is not read back by then is looked at again.
const INSIST: SignedDuration = SignedDuration::from_secs(1);

pub(super) fn finish(mut pass: Pass<'_>) -> Decision {
    let (target, written) = (pass.target.max(0), pass.written());
    let movement = match target.cmp(&written) {
        std::cmp::Ordering::Less => Movement::Fall,
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
    if movement == Movement::Fall {
        pass.wake(pass.now().checked_add(INSIST).unwrap_or(pass.now()));
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
        target: Target { movement, share: share(&pass, target), pods: target, note: note(&pass, movement) },
        job: pass.job,
        pool: pass.pool,
        status: pass.next,
        events,
        wake_at,
    }
}

/// The share that so many pods of ours make.
fn share(pass: &Pass<'_>, pods: i32) -> Percent {
    let (ours, standard) = (f64::from(pods.max(0)), f64::from(standard_pods(pass).max(0)));
    Percent::from_ratio(ours / (ours + standard))
}

/// The weight as written from now on, for the evidence: a cell that holds a change is not counted.
pub(super) fn record_weight(pass: &mut Pass<'_>, pods: i32) {
    let change = WeightChange { at: pass.stamp(), share: share(pass, pods), pods: Some(pods) };
    let Some(attempt) = pass.next.attempt.as_mut() else { return };
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
    let known = pass.live().and_then(|live| live.rollback.as_ref()).map_or(0, |note| note.attempt);
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
    let all = route.serving.max(0) + route.standard_serving.max(0);
    let serving = Percent::from_ratio(f64::from(route.serving.max(0)) / f64::from(all.max(1)));
    let reachable = (pass.wanted > 0).then(|| pass.reach().share);
    let observed = observed(pass);
    let label = (pass.steps() > 0).then(|| format!("{}/{}", pass.next.step + 1, pass.steps()));
    let ours = &observation.free_threaded;
    let next = &mut pass.next;
    next.observed_generation = pass.input.generation;
    next.step_label = label;
    next.weight.wanted = pass.wanted;
    next.weight.reachable = reachable;
    next.weight.serving = (all > 0).then_some(serving);
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
    next.free_threaded = pool(&ours.name, image, route.written.unwrap_or(0), &ours.pods, note);
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
    let now = pass.input.finding.observed?;
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
    if changed || movement != Movement::Stay {
        events.push(Note {
            warning: warning(&pass.next),
            reason: pass.next.reason,
            message: pass.next.message.clone(),
        });
    }
}

fn warning(status: &FreeThreadRolloutStatus) -> bool {
    use Reason::{Blind, PoolContested, PoolDeleted, PreflightUnknown, SharedIncident, WorkloadNotFound};
    matches!(status.phase, Phase::RolledBack | Phase::Failed)
        || matches!(
            status.reason,
            PoolDeleted | PoolContested | PreflightUnknown | Blind | SharedIncident | WorkloadNotFound
        )
}
