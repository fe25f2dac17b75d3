//! The forward gates: ordered lists of small named checks. The first that fails says why, in the one sentence that the condition,
//! the event, the log and the CLI show. Nothing here is ever asked on the way down.

use jiff::Timestamp;

use super::{
    effect,
    pass::{Pass, after},
    text,
};
use crate::{
    api::{OnInconclusive, Pace, Phase, Reason, Step},
    judge::{Blind, FindingKind},
};

/// Why something has to wait.
pub(super) struct Stop {
    /// Phase while it waits; `None`: the one it is in.
    pub(super) phase: Option<Phase>,
    pub(super) reason: Reason,
    pub(super) message: String,
    /// What it waits for.
    pub(super) next: String,
    /// When that is the case, if it is known.
    pub(super) at: Option<Timestamp>,
}

impl Stop {
    pub(super) fn new(reason: Reason, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { phase: None, reason, message: message.into(), next: next.into(), at: None }
    }
    fn paused(reason: Reason, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { phase: Some(Phase::Paused), ..Self::new(reason, message, next) }
    }
    fn until(self, at: Timestamp) -> Self {
        Self { at: Some(at), ..self }
    }
}

type Check = fn(&Pass<'_>) -> Option<Stop>;

/// A named check.
pub(super) struct Guard {
    name: &'static str,
    check: Check,
}

/// Before anything is done for a higher weight: where pods come before it, these are made ready then.
pub(super) const PREPARE: &[Guard] = &[
    Guard { name: "rise/not-paused", check: not_paused },
    Guard { name: "rise/preflight", check: super::preflight::guard },
    Guard { name: "rise/standard-ready", check: standard_ready },
    Guard { name: "rise/pool-built", check: pool_built },
];

/// After those, before the weight rises.
pub(super) const RISE: &[Guard] = &[
    Guard { name: "rise/overshoot-consent", check: overshoot_consent },
    Guard { name: "rise/route-written", check: effect::written },
    Guard { name: "rise/applied", check: effect::applied },
    Guard { name: "rise/warm", check: warm },
    Guard { name: "rise/evidence", check: evidence },
    Guard { name: "rise/baseline", check: baseline },
    Guard { name: "rise/pods-ready", check: effect::pods_ready },
    Guard { name: "rise/written-ahead", check: written_ahead },
];

/// For as long as the weight is where the step wants it.
pub(super) const HOLD: &[Guard] = &[
    Guard { name: "hold/not-paused", check: not_paused },
    Guard { name: "hold/route-written", check: effect::written },
    Guard { name: "hold/applied", check: effect::applied },
    Guard { name: "hold/sighted", check: sighted },
    Guard { name: "hold/calm", check: calm },
];

/// Before the next step.
pub(super) const ADVANCE: &[Guard] = &[
    Guard { name: "advance/held", check: held },
    Guard { name: "advance/of-this-step", check: of_this_step },
    Guard { name: "advance/safe", check: safe },
    Guard { name: "advance/clear", check: clear },
    Guard { name: "advance/observed", check: effect::observed },
    Guard { name: "advance/warm", check: warm },
    Guard { name: "advance/approved", check: approved },
];

/// Which guards stand. All of them, but for the tests that show that none may be missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Guards {
    left_out: Option<&'static str>,
}

impl Guards {
    /// Every one.
    pub const ALL: Self = Self { left_out: None };

    /// Their names, in order.
    pub fn names() -> Vec<&'static str> {
        [PREPARE, RISE, HOLD, ADVANCE].into_iter().flatten().map(|guard| guard.name).collect()
    }

    /// All but one: what a test does to see its properties fail.
    pub const fn without(name: &'static str) -> Self {
        Self { left_out: Some(name) }
    }

    /// The first that fails.
    pub(super) fn first_stop(self, list: &[Guard], pass: &Pass<'_>) -> Option<Stop> {
        list.iter().filter(|guard| self.left_out != Some(guard.name)).find_map(|guard| (guard.check)(pass))
    }
}

fn not_paused(pass: &Pass<'_>) -> Option<Stop> {
    pass.next.paused_since.as_ref()?;
    let message = format!("{}: paused by a person; the weight stays where it is", pass.step_name());
    let next = format!("a person resumes: kubectl freethread resume {}", pass.input.name);
    Some(Stop::paused(Reason::PausedByUser, message, next))
}

fn standard_ready(pass: &Pass<'_>) -> Option<Stop> {
    let standard = pass.standard()?;
    let ready = standard.pods.iter().filter(|pod| pod.ready_since.is_some() && !pod.going).count();
    if standard.replicas > 0 && i64::try_from(ready).unwrap_or(i64::MAX) >= i64::from(standard.replicas) {
        return None;
    }
    let message = if standard.replicas > 0 {
        format!("the standard pool has {ready} of {} pods ready: the weight does not rise", standard.replicas)
    } else {
        "the standard pool is scaled to 0: the free-threaded pool never serves alone".into()
    };
    Some(Stop::new(Reason::StandardNotReady, message, "the standard pool becomes ready"))
}

/// From zero only on the pool as it should be; one that has traffic was that when it got it. What others changed is put back first.
pub(super) fn built(pass: &Pass<'_>) -> bool {
    let wanted = &pass.input.observation.free_threaded.wanted_hash;
    pass.live().is_some_and(|live| {
        !live.deleting && live.edited_by.is_none() && (pass.written() > 0 || live.template_hash == *wanted)
    })
}

fn pool_built(pass: &Pass<'_>) -> Option<Stop> {
    if built(pass) {
        return None;
    }
    let name = &pass.input.observation.free_threaded.name;
    let trouble = pass.trouble().map(|trouble| format!(" ({trouble})")).unwrap_or_default();
    let message = format!("the free-threaded pool {name} is being built{trouble}");
    Some(before_deadline(pass, Stop::new(Reason::WaitingForPods, message, "the free-threaded pool exists")))
}

fn overshoot_consent(pass: &Pass<'_>) -> Option<Stop> {
    let reach = pass.reach();
    let allowed = pass.input.spec.traffic.pod_count.as_ref().is_some_and(|router| router.allow_overshoot)
        || pass.next.attempt.as_ref().is_some_and(|attempt| attempt.overshoot_approved);
    if !reach.overshoot || allowed {
        return None;
    }
    let standard = pass.input.observation.route.precision.standard();
    let command = format!("kubectl freethread promote {}", pass.input.name);
    let message = format!(
        "{} % wanted, {} is the least with {}: allow it with `{command}` or spec.traffic.podCount.allowOvershoot",
        pass.step().map_or(0, |step| step.weight),
        text::percent(reach.share),
        if standard == 1 { "1 standard pod".into() } else { format!("{standard} standard pods") },
    );
    Some(Stop::paused(Reason::AwaitingOvershootConsent, message, format!("a person consents: {command}")))
}

/// Only a step under way ends at a deadline; see `step`.
pub(super) fn before_deadline(pass: &Pass<'_>, stop: Stop) -> Stop {
    let since = pass.next.attempt.as_ref().and_then(|attempt| attempt.waiting_since.clone());
    match since.map(|since| after(since.0, pass.input.spec.progress_deadline)) {
        Some(at) if super::step::deadline_counts(pass) => {
            Stop { next: "rolled back, unless the pods are ready".into(), ..stop.until(at) }
        }
        _ => stop,
    }
}

fn warm(pass: &Pass<'_>) -> Option<Stop> {
    let at = pass.warm_at().filter(|_| pass.written() > 0)?;
    let message =
        format!("{}: its pods are young, caches are cold; the weight does not rise", pass.step_name());
    Some(Stop::new(Reason::WarmingUp, message, "the pods are warm").until(at))
}

/// What evidence is discounted by is known before the first request is shifted.
fn baseline(pass: &Pass<'_>) -> Option<Stop> {
    if pass.next.attempt.as_ref().is_none_or(|attempt| !attempt.baseline.is_empty()) {
        return None;
    }
    let message = "the standard pool's last hour is being read, to learn what its counts are like";
    Some(Stop::new(Reason::MetricsUnavailable, message, "the standard pool's history is read"))
}

/// From zero the standard pool's counts have to be there; from then on the verdict has to be clear.
fn evidence(pass: &Pass<'_>) -> Option<Stop> {
    let finding = pass.input.finding;
    if pass.written() > 0 {
        return sighted(pass).or_else(|| calm(pass)).or_else(|| clear(pass));
    }
    let against =
        matches!(finding.kind, FindingKind::HardSignal | FindingKind::Breach | FindingKind::SharedIncident);
    if against {
        return Some(Stop::new(finding.reason, finding.sentence.clone(), "the finding clears"));
    }
    if finding.blind == Blind::Everything || !finding.standard_seen {
        let next = "the standard pool's metrics arrive";
        return Some(Stop::new(Reason::MetricsUnavailable, finding.sentence.clone(), next));
    }
    None
}

/// Step, phase, attempt and wanted weight are persisted before the weight follows them: whoever comes after a crash knows what
/// was meant.
fn written_ahead(pass: &Pass<'_>) -> Option<Stop> {
    let (before, next) = (pass.input.status, &pass.next);
    let number =
        |status: &crate::api::FreeThreadRolloutStatus| status.attempt.as_ref().map(|attempt| attempt.number);
    let phase = pass.base_phase();
    let persisted = before.phase == phase
        && before.step == next.step
        && number(before) == number(next)
        && before.weight.wanted == pass.step().map_or(0, |step| step.weight);
    if persisted {
        return None;
    }
    let stop =
        Stop::new(Reason::Stepping, super::step::sentence(pass), "the weight is written").until(pass.now());
    Some(Stop { phase: Some(phase), ..stop })
}

fn sighted(pass: &Pass<'_>) -> Option<Stop> {
    let finding = pass.input.finding;
    let next = "there is data again: nothing rises until then";
    match finding.blind {
        Blind::No => None,
        Blind::Everything => Some(Stop::new(Reason::Blind, finding.sentence.clone(), next)),
        Blind::OurPool => Some(super::rules::blind_stop(pass)),
    }
}

fn calm(pass: &Pass<'_>) -> Option<Stop> {
    let finding = pass.input.finding;
    let next = "both pools recover: nothing rises until then";
    (finding.kind == FindingKind::SharedIncident)
        .then(|| Stop::new(Reason::SharedIncident, finding.sentence.clone(), next))
}

/// The fixed time, or the shortest one of a step that waits for evidence.
fn held(pass: &Pass<'_>) -> Option<Stop> {
    let (attempt, step) = (pass.next.attempt.as_ref()?, pass.step()?);
    let Some(converged) = attempt.converged_at.as_ref() else {
        return Some(Stop::new(Reason::Converging, super::step::sentence(pass), "the pods become ready"));
    };
    let (least, with) = match step.pace() {
        Pace::Fixed(hold) => (hold, "with a clear verdict"),
        Pace::Evidence { min, .. } => (min, "when the evidence says that it is safe"),
    };
    let at = after(converged.0, least);
    if attempt.approved || at <= pass.now() {
        return None;
    }
    let message = format!("{}; held for {least}", super::step::sentence(pass));
    Some(Stop::new(Reason::Holding, message, goes_on(pass, with)).until(at))
}

/// What comes after this step, and on which condition.
fn goes_on(pass: &Pass<'_>, with: &str) -> String {
    match pass.input.spec.steps.get(pass.step_index() + 1) {
        Some(next) => format!("step {}/{} ({} %), {with}", pass.next.step + 2, pass.steps(), next.weight),
        None => format!("all steps are done, {with}"),
    }
}

/// What was found of the step before says nothing of this one.
fn of_this_step(pass: &Pass<'_>) -> Option<Stop> {
    let from = pass.next.attempt.as_ref()?.step_counts_from.as_ref()?.0;
    // The judge's times are whole milliseconds.
    if pass.input.finding.counts_from?.as_millisecond() >= from.as_millisecond() {
        return None;
    }
    let message = format!("{}: its requests are not judged yet", super::step::sentence(pass));
    Some(Stop::new(Reason::InsufficientEvidence, message, "a verdict on this step"))
}

/// A step that waits for evidence ends when it suffices; what happens when it does not, the spec says.
fn safe(pass: &Pass<'_>) -> Option<Stop> {
    let at = undecided_until(pass)?;
    let on = pass.input.spec.analysis.on_inconclusive;
    if at <= pass.now() {
        if on == OnInconclusive::Advance {
            return None;
        }
        let command = format!("kubectl freethread promote {}", pass.input.name);
        let next = format!("a person decides: {command}, or the evidence suffices after all");
        return Some(Stop::paused(Reason::Inconclusive, inconclusive(pass), next));
    }
    if !pass.input.finding.kind.is_clear() {
        return None;
    }
    let odds = pass
        .input
        .finding
        .safe
        .map(|safe| format!(": {}, enough at {}", text::coarse(safe.ratio), text::odds(safe.bound)));
    let message = format!(
        "{}; waits for the evidence that it is safe{}",
        super::step::sentence(pass),
        odds.unwrap_or_default()
    );
    let next = match on {
        OnInconclusive::Pause => "paused, unless the evidence suffices".into(),
        OnInconclusive::Advance => goes_on(pass, "as long as nothing speaks against it"),
        OnInconclusive::RollBack => "rolled back, unless the evidence suffices".into(),
    };
    Some(Stop::new(Reason::Holding, message, next).until(at))
}

/// Until when a step that waits for evidence may wait, as long as it does not suffice. `None` where nothing is waited for.
pub(super) fn undecided_until(pass: &Pass<'_>) -> Option<Timestamp> {
    let (attempt, step) = (pass.next.attempt.as_ref()?, pass.step()?);
    let Pace::Evidence { max, .. } = step.pace() else { return None };
    attempt.converged_at.as_ref()?;
    let served = attempt.step_counts_from.as_ref()?.0;
    // Young pods bring no evidence: the time to decide begins with the first warm one.
    let from = pass.first_warm_at().map_or(served, |warm| warm.max(served));
    (!attempt.approved && pass.input.finding.kind != FindingKind::Safe).then(|| after(from, max))
}

/// What is said of a step that evidence could not decide.
pub(super) fn inconclusive(pass: &Pass<'_>) -> String {
    let finding = pass.input.finding;
    let max = match pass.step().map(Step::pace) {
        Some(Pace::Evidence { max, .. }) => max.to_string(),
        _ => String::new(),
    };
    let step = super::step::sentence(pass);
    match finding.safe.filter(|_| finding.kind.is_clear()) {
        Some(safe) => format!(
            "{step}: not shown to be safe in {max}: {}, enough at {}",
            text::coarse(safe.ratio),
            text::odds(safe.bound)
        ),
        None => format!("{step}: not shown to be safe in {max}: {}", text::open(&finding.sentence)),
    }
}

fn clear(pass: &Pass<'_>) -> Option<Stop> {
    let finding = pass.input.finding;
    if finding.kind.is_clear() {
        return None;
    }
    let reason =
        if finding.kind == FindingKind::Unknown { Reason::InsufficientEvidence } else { finding.reason };
    Some(Stop::new(reason, finding.sentence.clone(), "a clear verdict"))
}

fn approved(pass: &Pass<'_>) -> Option<Stop> {
    let (attempt, step) = (pass.next.attempt.as_ref()?, pass.step()?);
    if !step.pause || attempt.approved {
        return None;
    }
    let command = format!("kubectl freethread promote {}", pass.input.name);
    let message = format!("{}; waits for approval: `{command}`", super::step::sentence(pass));
    Some(Stop::paused(Reason::AwaitingApproval, message, format!("a person approves: {command}")))
}
