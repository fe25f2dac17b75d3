//! Conditions, as kstatus reads them: `Ready` whenever traffic is where the current step wants it, `Reconciling` only while a write
//! converges, `Stalled` when nothing goes on without somebody's doing. The others say the rest.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::{pass::Pass, preflight, text};
use crate::{
    api::{Phase, Reason},
    judge::{Blind, FindingKind},
    observe::LogSignalKind,
};

/// The one condition that is not there where nothing is asked for.
const PREFLIGHT: &str = "PreflightPassed";

struct Said {
    kind: &'static str,
    status: &'static str,
    reason: String,
    message: String,
}

fn said(
    kind: &'static str,
    status: Option<bool>,
    reason: impl Into<String>,
    message: impl Into<String>,
) -> Said {
    let status = match status {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    Said { kind, status, reason: reason.into(), message: message.into() }
}

/// All of them, for a route that is to have `target`.
pub(super) fn fill(pass: &mut Pass<'_>, target: i32) {
    let gil = gil_disabled(pass);
    let preflight =
        preflight::passed(pass).map(|(status, reason, message)| said(PREFLIGHT, status, reason, message));
    if preflight.is_none() {
        pass.next.conditions.retain(|condition| condition.type_ != PREFLIGHT);
    }
    let all = [
        ready(pass, target),
        reconciling(pass, target),
        stalled(pass),
        pool_available(pass, target),
        traffic_converged(pass, target),
        metrics_available(pass),
        gil,
    ];
    let (now, generation) = (Time(pass.stamp().0), pass.input.generation);
    for said in preflight.into_iter().chain(all) {
        let new = Condition {
            last_transition_time: now.clone(),
            message: said.message,
            observed_generation: Some(generation),
            reason: said.reason,
            status: said.status.to_owned(),
            type_: said.kind.to_owned(),
        };
        match pass.next.conditions.iter_mut().find(|condition| condition.type_ == new.type_) {
            Some(old) if old.status == new.status => {
                *old = Condition { last_transition_time: old.last_transition_time.clone(), ..new };
            }
            Some(old) => *old = new,
            None => pass.next.conditions.push(new),
        }
    }
}

/// The route is not yet read back as it is to be, or has more than it should for want of somebody who could take it.
fn moving(pass: &Pass<'_>, target: i32) -> bool {
    target != pass.written() || !pass.applied() || pass.held.is_some()
}

fn is_stalled(pass: &Pass<'_>) -> bool {
    matches!(pass.next.phase, Phase::RolledBack | Phase::Failed)
        || (pass.next.phase == Phase::Paused
            && matches!(pass.next.reason, Reason::PoolContested | Reason::RouteContested))
}

fn ready(pass: &Pass<'_>, target: i32) -> Said {
    let converged = pass.next.attempt.as_ref().is_some_and(|attempt| attempt.converged_at.is_some());
    let there = match pass.next.phase {
        Phase::Paused | Phase::Hybrid | Phase::Promoted | Phase::NoBenefit => true,
        Phase::Progressing => converged || pass.next.reason == Reason::Observing,
        Phase::Pending | Phase::Preflight | Phase::RolledBack | Phase::Failed => false,
    };
    let leaving = pass.input.deleting || pass.input.giving_back;
    let ready = there && !leaving && !is_stalled(pass) && !moving(pass, target);
    said("Ready", Some(ready), pass.next.reason.as_str(), pass.next.message.clone())
}

fn reconciling(pass: &Pass<'_>, target: i32) -> Said {
    if moving(pass, target) {
        said("Reconciling", Some(true), pass.next.reason.as_str(), pass.next.message.clone())
    } else {
        said("Reconciling", Some(false), "Converged", "the route is as it was written")
    }
}

fn stalled(pass: &Pass<'_>) -> Said {
    if is_stalled(pass) {
        said("Stalled", Some(true), pass.next.reason.as_str(), pass.next.message.clone())
    } else {
        said("Stalled", Some(false), "NotStalled", "nothing that only a person could solve")
    }
}

fn pool_available(pass: &Pass<'_>, target: i32) -> Said {
    let ours = &pass.input.observation.free_threaded;
    let target = pass.pods_for(target).max(pass.ahead);
    let ready = pass.ready();
    let enough = ready >= target;
    match &ours.live {
        None => said(
            "PoolAvailable",
            Some(false),
            "NotCreated",
            format!(
                "Deployment {} does not exist{}",
                ours.name,
                pass.trouble().map(|trouble| format!(": {trouble}")).unwrap_or_default()
            ),
        ),
        Some(_) if target == 0 => {
            said("PoolAvailable", Some(true), "NoPodsWanted", format!("no pods are wanted{}", pass.refused()))
        }
        Some(_) if enough => said(
            "PoolAvailable",
            Some(true),
            "PodsReady",
            format!("{} wanted, all ready", text::pods(target)),
        ),
        Some(_) => {
            let trouble = pass.trouble().map(|trouble| format!(": {trouble}")).unwrap_or_default();
            let message = format!("{ready} of {target} pods ready{trouble}");
            said("PoolAvailable", Some(false), "PodsMissing", message)
        }
    }
}

fn traffic_converged(pass: &Pass<'_>, target: i32) -> Said {
    if let Some(held) = &pass.held {
        return said("TrafficConverged", Some(false), "StandardNotReady", held.clone());
    }
    if moving(pass, target) {
        let (written, serving) = (pass.written(), pass.serving());
        let message = if pass.by_percent() {
            let serving = serving
                .map_or("the gateway has not looked yet".into(), |serving| format!("{serving} % in effect"));
            let trouble = pass
                .input
                .observation
                .route
                .trouble
                .as_ref()
                .map(|trouble| format!(": {trouble}"))
                .unwrap_or_default();
            format!("{target} % wanted, {written} % written, {serving}{trouble}")
        } else {
            format!("{} wanted, {written} written, {} serving", text::pods(target), serving.unwrap_or(0))
        };
        said("TrafficConverged", Some(false), "Converging", message)
    } else {
        said(
            "TrafficConverged",
            Some(true),
            "Converged",
            if pass.by_percent() {
                format!("{target} % wanted, written and in effect")
            } else {
                format!("{} wanted, and as many serve", text::pods(target))
            },
        )
    }
}

fn metrics_available(pass: &Pass<'_>) -> Said {
    let finding = pass.input.finding;
    match finding.blind {
        Blind::No if finding.standard_seen => {
            said("MetricsAvailable", Some(true), "DataFresh", "there are fresh counts to compare")
        }
        Blind::No => said("MetricsAvailable", None, "NotYet", "no counts of the standard pool yet"),
        Blind::OurPool => said("MetricsAvailable", Some(false), "OurPoolSilent", finding.sentence.clone()),
        Blind::Everything => said("MetricsAvailable", Some(false), "NoData", finding.sentence.clone()),
    }
}

fn gil_disabled(pass: &Pass<'_>) -> Said {
    const KIND: &str = "GilDisabled";
    let finding = pass.input.finding;
    let attempt = pass.next.attempt.as_ref();
    let logged = pass.input.observation.log_signals.iter().find_map(|signal| match &signal.kind {
        LogSignalKind::GilEnabled { module }
            if attempt.is_some_and(|attempt| signal.at >= attempt.started_at.0) =>
        {
            Some(format!("pod {}: module {module} enabled the GIL", signal.pod))
        }
        _ => None,
    });
    if let Some(message) = logged {
        return said(KIND, Some(false), Reason::GilEnabled.as_str(), message);
    }
    if finding.kind == FindingKind::HardSignal && finding.reason == Reason::GilEnabled {
        return said(KIND, Some(false), Reason::GilEnabled.as_str(), finding.sentence.clone());
    }
    // The pods are gone after a rollback, and their logs with them: what was seen in this attempt stays said.
    let number = |attempt: Option<&crate::api::AttemptStatus>| attempt.map(|attempt| attempt.number);
    let same = number(pass.input.status.attempt.as_ref()) == number(attempt);
    let before = pass.input.status.conditions.iter().find(|condition| condition.type_ == KIND);
    if let Some(seen) = before.filter(|condition| same && condition.status == "False") {
        return said(KIND, Some(false), seen.reason.clone(), seen.message.clone());
    }
    if pass.our_pods().any(|pod| pod.ready_since.is_some()) {
        said(
            KIND,
            Some(true),
            "NoSignal",
            "free-threaded pods are ready, and none says that the GIL came back",
        )
    } else {
        said(KIND, None, "NoPods", "no free-threaded pod is ready")
    }
}
