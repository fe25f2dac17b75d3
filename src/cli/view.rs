//! What people see of a rollout, as plain data. Pure: the same for a terminal, for JSON and for a web page.

use jiff::Timestamp;
use kube::ResourceExt;
use serde::Serialize;

use crate::{
    api::{
        BaselineStatus, BenefitStatus, FreeThreadRollout, FreeThreadRolloutStatus, Mode, Pace, Phase,
        PoolStatus, PreflightStatus, Reason, Span, VerdictStatus, WeightStatus, pool_name,
    },
    observe::Pod,
};

/// Most entries of the history that are shown.
const HISTORY: usize = 5;

/// A rollout with its pools and pods.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// The rollout's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Where it is.
    pub phase: Phase,
    /// Why, as one word.
    pub reason: Reason,
    /// Why, as one sentence.
    pub message: String,
    /// Number of the attempt, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<i32>,
    /// What else is worth knowing before the rest is read.
    pub notes: Vec<String>,
    /// Shares of traffic.
    pub weight: WeightStatus,
    /// Standard pool first.
    pub pools: Vec<PoolView>,
    /// The way up.
    pub steps: Vec<StepView>,
    /// What is known of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preflight: Option<PreflightStatus>,
    /// The comparison.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<VerdictStatus>,
    /// Throughput per core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub benefit: Option<BenefitStatus>,
    /// What the standard pool was like before the attempt, by metric.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub baseline: Vec<BaselineStatus>,
    /// The last changes, newest first.
    pub history: Vec<HistoryView>,
    /// What happens next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<NextView>,
    /// A command that a person may want to give now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// One pool.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolView {
    /// `standard` or `free-threaded`.
    pub kind: &'static str,
    /// The Deployment's name.
    pub name: String,
    /// Image of the container that runs Python.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Pods wanted.
    pub replicas: i32,
    /// Pods ready.
    pub ready: i32,
    /// What is worth knowing about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Its pods: those with trouble first, then by name.
    pub pods: Vec<PodView>,
}

/// One pod.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// It is ready.
    pub ready: bool,
    /// It is on its way out.
    pub going: bool,
    /// Since its creation.
    pub age: Span,
    /// Restarts of its containers.
    pub restarts: i32,
    /// How its container ended last, if it did with an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<String>,
    /// Why it is not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepView {
    /// From 1.
    pub number: usize,
    /// Share in percent.
    pub weight: i32,
    /// How long it is held, where that is a fixed time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Span>,
    /// Paced by evidence: how long it is held at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_hold: Option<Span>,
    /// Paced by evidence: how long at most, before the spec says what becomes of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_hold: Option<Span>,
    /// A person has to approve.
    pub pause: bool,
    /// Where the rollout is, seen from this step.
    pub state: StepState,
    /// How long this has been the current step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_for: Option<Span>,
    /// How long its weight has been held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_for: Option<Span>,
    /// Approved by a person.
    pub approved: bool,
    /// How long its evidence will take, for a step that is still to be decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate: Option<String>,
}

/// Where the rollout is, seen from a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum StepState {
    /// Behind it.
    Done,
    /// At it.
    Current,
    /// It ended here.
    Ended,
    /// Before it.
    Ahead,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryView {
    /// When.
    pub at: Timestamp,
    /// How long ago.
    pub ago: Span,
    /// The phase from then on.
    pub phase: Phase,
    /// Why, as one word.
    pub reason: Reason,
    /// Wanted share in percent from then on.
    pub weight: i32,
    /// Why, as one sentence.
    pub message: String,
}

/// What happens next.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NextView {
    /// What.
    pub what: String,
    /// When, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// Time until then; zero when it is due.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub until: Option<Span>,
}

/// What to show of `rollout` and its pods at the time `now`.
pub fn view(rollout: &FreeThreadRollout, standard: &[Pod], free_threaded: &[Pod], now: Timestamp) -> View {
    let name = rollout.name_any();
    let status = rollout.status.clone().unwrap_or_default();
    let (weight, attempt) = (status.weight.clone(), status.attempt.as_ref().map(|a| a.number));
    View {
        namespace: rollout.namespace().unwrap_or_default(),
        phase: status.phase,
        reason: status.reason,
        message: status.message.clone(),
        attempt,
        notes: notes(rollout, &status, now),
        weight,
        pools: vec![
            pool("standard", &rollout.spec.workload_ref.name, &status.standard, standard, now),
            pool("free-threaded", &pool_name(&name), &status.free_threaded, free_threaded, now),
        ],
        steps: steps(rollout, &status, now),
        verdict: status.verdict.clone().filter(|v| !v.overall.is_empty()),
        preflight: status.preflight.clone(),
        benefit: status.benefit.clone(),
        baseline: status.attempt.as_ref().map(|a| a.baseline.clone()).unwrap_or_default(),
        history: status.history.iter().rev().take(HISTORY).map(|entry| history(entry, now)).collect(),
        next: status.next.as_ref().map(|next| {
            let at = next.at.as_ref().map(|at| at.0);
            NextView { what: next.what.clone(), at, until: at.map(|at| between(now, at)) }
        }),
        hint: hint(rollout, &status),
        name,
    }
}

/// From `start` to `end`, at least zero: clocks of different machines differ.
fn between(start: Timestamp, end: Timestamp) -> Span {
    Span::from_millis(end.as_millisecond() - start.as_millisecond())
}

fn notes(rollout: &FreeThreadRollout, status: &FreeThreadRolloutStatus, now: Timestamp) -> Vec<String> {
    let mut notes = Vec::new();
    if rollout.metadata.deletion_timestamp.is_some() {
        notes.push(
            "being deleted: traffic goes back to the standard pool first, then the free-threaded pool goes"
                .to_owned(),
        );
    }
    // Generations begin with 1; the API server says -1 for nobody has looked.
    if status.observed_generation < 1 {
        notes.push("the operator has not looked at it yet: is it running?".to_owned());
    } else if rollout.metadata.generation.is_some_and(|generation| generation > status.observed_generation) {
        notes.push("the operator has not looked at the latest edit yet".to_owned());
    }
    if rollout.spec.suspend {
        notes.push("spec.suspend is true: no traffic for as long as it is".to_owned());
    }
    if rollout.spec.mode == Mode::Observe {
        notes.push("spec.mode is Observe: no traffic is moved".to_owned());
    }
    if let Some(since) = &status.paused_since {
        notes.push(format!("paused by a person {} ago", super::human(between(since.0, now))));
    }
    if let Some(drift) = &status.drift {
        let times = if drift.count == 1 { "once".to_owned() } else { format!("{} times", drift.count) };
        notes.push(format!("the free-threaded pool was edited {times} by {} and put back", drift.manager));
    }
    for condition in &status.conditions {
        // The two that say what no phase says.
        if condition.type_ == "MetricsAvailable" && condition.status == "False" {
            notes.push(format!("no metrics: {}", condition.message));
        }
        if condition.type_ == "GilDisabled" && condition.status == "False" {
            notes.push(format!("GIL: {}", condition.message));
        }
    }
    if !status.last_logs.is_empty() {
        let pods = if status.last_logs.len() == 1 { "a pod" } else { "its pods" };
        notes.push(format!("what {pods} said last is kept: {}", command(rollout, "logs")));
    }
    if let Some(command) = &status.command {
        notes.push(format!("last command {}: {}", command.given, command.result));
    }
    notes
}

fn pool(kind: &'static str, name: &str, status: &PoolStatus, pods: &[Pod], now: Timestamp) -> PoolView {
    let mut pods: Vec<PodView> = pods.iter().map(|pod| pod_view(pod, now)).collect();
    pods.sort_by(|a, b| (a.ready, &a.name).cmp(&(b.ready, &b.name)));
    PoolView {
        kind,
        name: if status.name.is_empty() { name.to_owned() } else { status.name.clone() },
        image: status.image.clone(),
        replicas: status.replicas,
        ready: status.ready,
        note: status.note.clone(),
        pods,
    }
}

fn pod_view(pod: &Pod, now: Timestamp) -> PodView {
    let last = pod.exits.iter().max_by_key(|exit| exit.at);
    PodView {
        name: pod.name.clone(),
        ready: pod.ready_since.is_some() && !pod.going,
        going: pod.going,
        age: between(pod.created, now),
        restarts: pod.restarts,
        last_exit: last.map(|exit| {
            format!("{} ({}) {} ago", exit.reason, exit.code, super::human(between(exit.at, now)))
        }),
        trouble: pod.trouble.clone(),
    }
}

fn steps(rollout: &FreeThreadRollout, status: &FreeThreadRolloutStatus, now: Timestamp) -> Vec<StepView> {
    let current = usize::try_from(status.step).unwrap_or_default();
    // Not worth it by the benchmark of the image: no step has begun.
    let unbegun = status.phase == Phase::NoBenefit && status.benefit.is_none();
    let state = |index: usize| match status.phase {
        _ if unbegun => StepState::Ahead,
        Phase::Promoted | Phase::Hybrid | Phase::NoBenefit => StepState::Done,
        _ if status.attempt.is_none() || index > current => StepState::Ahead,
        _ if index < current => StepState::Done,
        Phase::RolledBack | Phase::Failed => StepState::Ended,
        _ => StepState::Current,
    };
    let all = rollout.spec.steps.iter().enumerate();
    all.map(|(index, step)| {
        let state = state(index);
        let attempt = status.attempt.as_ref().filter(|_| state == StepState::Current);
        let (hold, min_hold, max_hold) = match step.pace() {
            Pace::Fixed(hold) => (Some(hold), None, None),
            Pace::Evidence { min, max } => (None, Some(min), Some(max)),
        };
        StepView {
            number: index + 1,
            weight: step.weight,
            hold,
            min_hold,
            max_hold,
            pause: step.pause,
            state,
            current_for: attempt.map(|a| between(a.step_started_at.0, now)),
            held_for: attempt.and_then(|a| a.converged_at.as_ref()).map(|at| between(at.0, now)),
            approved: attempt.is_some_and(|a| a.approved),
            estimate: estimate(status, index)
                .filter(|_| matches!(state, StepState::Current | StepState::Ahead)),
        }
    })
    .collect()
}

fn estimate(status: &FreeThreadRolloutStatus, index: usize) -> Option<String> {
    let all = &status.attempt.as_ref()?.estimates;
    let estimate = all.iter().find(|estimate| usize::try_from(estimate.step) == Ok(index))?;
    Some(estimate.message.clone())
}

fn history(entry: &crate::api::HistoryEntry, now: Timestamp) -> HistoryView {
    HistoryView {
        at: entry.at.0,
        ago: between(entry.at.0, now),
        phase: entry.phase,
        reason: entry.reason,
        weight: entry.weight,
        message: entry.message.clone(),
    }
}

/// The command that goes on from here, where only a person can.
fn hint(rollout: &FreeThreadRollout, status: &FreeThreadRolloutStatus) -> Option<String> {
    let verb = match (status.phase, status.reason) {
        (_, Reason::AwaitingApproval | Reason::AwaitingOvershootConsent | Reason::Inconclusive) => "promote",
        (_, Reason::PausedByUser | Reason::PoolDeleted | Reason::PoolContested | Reason::RouteContested) => {
            "resume"
        }
        (Phase::RolledBack | Phase::NoBenefit, _)
        | (_, Reason::StandardChanged | Reason::PreflightFailed | Reason::PreflightUnknown) => "retry",
        _ => return None,
    };
    Some(command(rollout, verb))
}

/// What to type.
fn command(rollout: &FreeThreadRollout, verb: &str) -> String {
    let namespace = rollout.namespace().map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
    format!("kubectl freethread {verb} {}{namespace}", rollout.name_any())
}
