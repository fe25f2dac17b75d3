//! The operator is uninstalled: traffic first, then the pool, then the status that a later installation begins with.

use std::ops::ControlFlow::{self, Break, Continue};

use super::{change::given_back, pass::Pass, preflight, rules::removal};
use crate::api::{Phase, Reason};

/// Everything of ours goes; the rollout stays. `act` takes the finalizer off together with the last of it.
pub(super) fn giving_back(pass: &mut Pass<'_>) -> ControlFlow<()> {
    if !pass.input.giving_back {
        return Continue(());
    }
    preflight::remove(pass);
    // The pool goes only when weight 0 is persisted: a crash in between leaves the same history.
    let back = given_back(pass);
    if back {
        pass.pool = removal(pass);
    } else if pass.empty() {
        pass.wake(pass.now());
    }
    let ours = &pass.input.observation.free_threaded;
    let there = ours.live.is_some()
        || ours.pods.iter().any(|pod| pod.ready_since.is_some())
        || ours.service
        || (pass.by_percent() && pass.input.observation.route.written.is_some());
    if pass.next.phase.is_over() {
        // Rolled back is rolled back, for a later installation too: what was found stays found.
        pass.rest();
    } else if there || !back {
        going(pass);
    } else {
        begin_afresh(pass);
    }
    Break(())
}

fn going(pass: &mut Pass<'_>) {
    let message = format!(
        "the operator is being uninstalled: traffic goes back first, then the pool goes{}",
        pass.refused()
    );
    pass.say(pass.next.phase, Reason::Uninstalled, message);
    super::rules::route_stays(pass);
}

/// Nothing that a later installation could take for a pool that somebody deleted, or for evidence about a pool that it never ran.
/// What people said stays: a pause, and the command that was answered, which would be obeyed again otherwise.
fn begin_afresh(pass: &mut Pass<'_>) {
    pass.next.attempt = None;
    pass.next.step = 0;
    pass.next.drift = None;
    pass.next.benefit = None;
    // Attempts are counted from 1 again.
    pass.next.hand_over = None;
    pass.say(
        Phase::Pending,
        Reason::Uninstalled,
        "the operator was uninstalled: traffic is back on the standard pool, and the free-threaded pool is gone",
    );
    pass.expect("the operator is installed again: then the steps start from the first one", None);
}
