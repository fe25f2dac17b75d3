//! The standard pool's template or the spec is not what the attempt began with.

use std::ops::ControlFlow::{self, Break, Continue};

use super::{
    hash::{same_pool, spec_hash},
    pass::Pass,
    step,
};
use crate::api::{AttemptStatus, OnStandardChange, Phase, Reason};

/// The sentence's beginning.
pub(super) fn standard_changed(name: &str) -> String {
    format!("the pod template of Deployment {name} changed")
}

/// Restart (traffic back first, then a new attempt), or only fresh evidence.
pub(super) fn changed(pass: &mut Pass<'_>) -> ControlFlow<()> {
    let (Some(standard), Some(attempt)) = (pass.standard(), pass.next.attempt.as_ref()) else {
        return Continue(());
    };
    let wanted = spec_hash(pass.input.spec);
    let template = attempt.standard_hash != standard.template_hash;
    let restart = pass.input.spec.on_standard_change == OnStandardChange::Restart;
    if !same_pool(&attempt.spec_hash, &wanted) {
        start_again(pass, Reason::Stepping, "spec.freeThreaded changed");
    } else if template && restart {
        start_again(pass, Reason::StandardChanged, &standard_changed(&standard.name));
    } else if attempt.spec_hash != wanted {
        fresh_evidence(pass);
    } else {
        return Continue(());
    }
    Break(())
}

/// Weight 0, read back as applied, and persisted: what follows a crash is the same history.
pub(super) fn given_back(pass: &Pass<'_>) -> bool {
    pass.empty() && pass.input.status.weight.wanted == 0
}

/// Weight 0; once that is read back, the next attempt.
pub(super) fn start_again(pass: &mut Pass<'_>, reason: Reason, why: &str) {
    let Some(standard) = pass.standard() else { return };
    if given_back(pass) {
        pass.begin_attempt(&standard.template_hash, why);
        return;
    }
    pass.target = 0;
    pass.say(
        Phase::Progressing,
        reason,
        format!("{why}: traffic goes back first, then the steps start again"),
    );
    pass.expect("the pool is rebuilt, once its traffic is back on the standard pool", None);
    if pass.empty() {
        pass.wake(pass.now());
    }
}

/// Another analysis: fresh evidence at the current step; the weight stays.
fn fresh_evidence(pass: &mut Pass<'_>) {
    let Some(before) = pass.next.attempt.take() else { return };
    let number = before.number.saturating_add(1);
    let fresh = pass.new_attempt(number, &before.standard_hash);
    pass.next.attempt = Some(AttemptStatus {
        overshoot_approved: before.overshoot_approved,
        // A guard that stands goes on with a new window, and the last weight is known and not written now.
        guard_since: before.guard_since.map(|_| fresh.started_at.clone()),
        weight_changes: before.weight_changes.into_iter().next_back().into_iter().collect(),
        ..fresh
    });
    pass.next.benefit = None;
    pass.target = pass.written().min(pass.reach().weight);
    let phase = if pass.last_written() == 0 { Phase::Pending } else { pass.base_phase() };
    pass.wanted = if phase == Phase::Pending { 0 } else { pass.step().map_or(0, |step| step.weight) };
    let message =
        format!("attempt {number}: spec.analysis changed, evidence starts anew at {}", pass.step_name());
    pass.say(phase, Reason::Stepping, message);
    pass.wake(pass.now());
}

/// The standard template is another one and the spec says that our pool stays as it was. That template is nowhere any more: what
/// others change of our pool cannot be put back.
pub(super) fn holds(pass: &Pass<'_>) -> bool {
    let (Some(standard), Some(attempt)) = (pass.standard(), pass.next.attempt.as_ref()) else { return false };
    pass.input.spec.on_standard_change == OnStandardChange::Hold
        && attempt.standard_hash != standard.template_hash
}

/// Everything stays, nothing rises, until a person retries; a pool that others changed meanwhile gets no traffic.
pub(super) fn held(pass: &mut Pass<'_>) -> ControlFlow<()> {
    let Some(standard) = pass.standard().filter(|_| holds(pass)) else { return Continue(()) };
    let why = standard_changed(&standard.name);
    let edited = pass.live().and_then(|live| live.edited_by.clone());
    let message = if let Some(by) = edited {
        pass.reset_steps();
        let name = &pass.input.observation.free_threaded.name;
        format!(
            "{why}, and {by} changed Deployment {name}: it is not the pool that was judged, traffic goes back"
        )
    } else {
        step::stay(pass);
        format!("{why} and spec.onStandardChange says Hold: the weight stays, nothing rises")
    };
    pass.say(Phase::Paused, Reason::StandardChanged, message);
    pass.expect(format!("a person retries: kubectl freethread retry {}", pass.input.name), None);
    Break(())
}
