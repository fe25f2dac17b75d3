//! Is it worth it? The last step is measured until that is known, and where it is not, the spec says what to do. That is no rollback, but it
//! falls like one: at once, noted on the Deployment, and until something new happens.

use std::ops::ControlFlow::{self, Break, Continue};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::{
    Note, commands,
    pass::{BACK, Pass, after},
    preflight, text,
};
use crate::{
    api::{BenefitOutcome, BenefitStatus, OnNone, Phase, Reason},
    judge::BenefitFinding,
    observe::RollbackNote,
};

/// What is known is of what the spec asks for now, and known not to be worth it means that traffic goes back.
pub(super) fn benefit(pass: &mut Pass<'_>) -> ControlFlow<()> {
    let Some(wanted) = &pass.input.spec.benefit else {
        pass.next.benefit = None;
        return Continue(());
    };
    let of = wanted.fingerprint();
    pass.next.benefit = pass.next.benefit.take().filter(|known| known.of == of);
    if gives_back(pass) {
        give_back(pass);
        return Break(());
    }
    Continue(())
}

/// It is known not to be worth it, and the spec says that traffic goes back then.
fn gives_back(pass: &Pass<'_>) -> bool {
    let none = pass.next.benefit.as_ref().is_some_and(|known| known.outcome == BenefitOutcome::NoBenefit);
    none && pass.input.spec.benefit.as_ref().is_some_and(|wanted| wanted.on_none == OnNone::GiveBack)
}

fn give_back(pass: &mut Pass<'_>) {
    let sentence = pass.next.benefit.as_ref().map(|known| known.sentence.clone()).unwrap_or_default();
    let message = format!("{}{BACK}", text::open(&sentence));
    commands::overtaken(pass, &message);
    pass.say(Phase::NoBenefit, Reason::NoBenefit, message);
    pass.rest();
    pass.wake(pass.now());
}

/// The operator died between the two writes: what the note says was found was found.
pub(super) fn adopt(pass: &mut Pass<'_>, note: &RollbackNote) {
    let Some(wanted) = pass.input.spec.benefit.as_ref().filter(|_| note.phase == Phase::NoBenefit) else {
        return;
    };
    let known = pass.next.benefit.get_or_insert_default();
    known.outcome = BenefitOutcome::NoBenefit;
    note.message.strip_suffix(BACK).unwrap_or(&note.message).clone_into(&mut known.sentence);
    known.of = wanted.fingerprint();
}

/// Why an attempt that ended without benefit is none of what the spec asks for now.
pub(super) fn reconsidered(pass: &Pass<'_>) -> Option<String> {
    let ended = pass.next.phase == Phase::NoBenefit && !preflight::without_benefit(pass);
    let stands = pass.input.spec.benefit.as_ref().is_some_and(|wanted| {
        let of = pass.next.benefit.as_ref().map(|known| known.of.as_str());
        wanted.on_none == OnNone::GiveBack && of.is_none_or(|of| of == wanted.fingerprint())
    });
    (ended && !stands).then(|| "spec.benefit changed".to_owned())
}

/// What was measured since then, if anything is.
fn measured<'a>(pass: &Pass<'a>, since: &MicroTime) -> Option<&'a BenefitFinding> {
    let of = pass.input.spec.benefit.as_ref()?.fingerprint();
    let found = pass.input.finding.benefit.as_ref()?;
    (found.from == since.0.as_millisecond() && found.of == of).then_some(found)
}

/// At the last step: takes in what was measured. Only where the steps are done (`done`) it is final, and then stands for the attempt.
pub(super) fn learn(pass: &mut Pass<'_>, done: bool) {
    let Some(wanted) = &pass.input.spec.benefit else { return };
    if pass.next.benefit.as_ref().is_some_and(|known| known.outcome != BenefitOutcome::Measuring) {
        return;
    }
    // Before the weight is read back there is nothing to measure.
    let attempt = pass.next.attempt.as_ref().filter(|attempt| attempt.converged_at.is_some());
    let Some(from) = attempt.and_then(|attempt| attempt.step_counts_from.clone()) else { return };
    let since =
        pass.next.benefit.as_ref().and_then(|known| known.since.clone()).filter(|since| *since >= from);
    let Some(since) = since else {
        // From the step's own weight on, or from now where it was asked for later.
        let since = Some(from.max(pass.stamp()));
        let sentence = format!("throughput per core is measured, for at most {}", wanted.measure_for);
        let of = wanted.fingerprint();
        pass.next.benefit = Some(BenefitStatus { sentence, since, of, ..BenefitStatus::default() });
        return;
    };
    let Some(found) = measured(pass, &since) else { return };
    let number = |value: Option<f64>| value.map(|value| format!("{value:.3}"));
    let outcome = if done { found.outcome } else { BenefitOutcome::Measuring };
    let known = BenefitStatus {
        outcome,
        ratio: number(found.ratio),
        low: number(found.low),
        high: number(found.high),
        sentence: found.sentence.clone(),
        since: Some(since),
        of: found.of.clone(),
    };
    let reason = match outcome {
        BenefitOutcome::Measuring => None,
        BenefitOutcome::Benefit => Some(Reason::Completed),
        BenefitOutcome::NoBenefit => Some(Reason::NoBenefit),
        BenefitOutcome::Unknown => Some(Reason::InsufficientEvidence),
    };
    if let Some(reason) =
        reason.filter(|_| !(outcome == BenefitOutcome::NoBenefit && wanted.on_none == OnNone::GiveBack))
    {
        pass.notes.push(Note { warning: false, reason, message: known.sentence.clone() });
    }
    pass.next.benefit = Some(known);
}

/// All steps are done: what was measured is final, and is acted on. Whether the traffic goes back.
pub(super) fn settle(pass: &mut Pass<'_>) -> bool {
    learn(pass, true);
    let back = gives_back(pass);
    if back {
        give_back(pass);
    }
    back
}

/// What is said of it where all steps are done: reason, words to add, and what is waited for.
pub(super) fn words(pass: &Pass<'_>) -> (Reason, String) {
    let Some(known) = pass.next.benefit.clone() else { return (Reason::Completed, String::new()) };
    let (reason, words) = match known.outcome {
        BenefitOutcome::Measuring => (Reason::Completed, "throughput per core is being measured".to_owned()),
        BenefitOutcome::NoBenefit => (Reason::NoBenefit, known.sentence),
        BenefitOutcome::Benefit | BenefitOutcome::Unknown => (Reason::Completed, known.sentence),
    };
    (reason, format!("; {words}"))
}

/// Until when it is measured, while it is.
pub(super) fn measured_until(pass: &Pass<'_>) -> Option<jiff::Timestamp> {
    pass.next.benefit.as_ref().filter(|known| known.outcome == BenefitOutcome::Measuring)?;
    let wanted = pass.input.spec.benefit.as_ref()?;
    let since = pass.next.benefit.as_ref()?.since.as_ref()?;
    Some(after(since.0, wanted.measure_for)).filter(|at| *at > pass.now())
}
