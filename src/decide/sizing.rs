//! How many pods the next step takes, by what a request was measured to take at this one: taken in when a step ends, and fixed for the next.

use super::pass::Pass;
use crate::{
    api::{PoolReplicas, SizingStatus},
    judge::CostFinding,
    observe::{Precision, Size},
};

/// At the end of a step: what was measured at it. What was not known keeps the size as it was.
pub(super) fn take_in(pass: &mut Pass<'_>) {
    let auto = pass.input.spec.free_threaded.replicas.is_some_and(PoolReplicas::is_auto);
    let found = pass.input.finding.cost.as_ref();
    let Some(attempt) = pass.next.attempt.as_mut() else { return };
    if !auto {
        attempt.sizing = None;
        return;
    }
    let counts_from = attempt.step_counts_from.as_ref().map(|from| from.0.as_millisecond());
    let found: Option<&CostFinding> = found.filter(|found| Some(found.from) == counts_from);
    let before = attempt.sizing.take().and_then(|sizing| sizing.cpu_per_request);
    let measured = found.and_then(|found| found.ratio).map(|ratio| format!("{ratio:.3}"));
    let unread = || {
        "what a request takes could not be measured: there was no CPU time to read at this step".to_owned()
    };
    attempt.sizing = Some(SizingStatus {
        cpu_per_request: measured.or(before),
        message: found.map_or_else(unread, |found| found.sentence.clone()),
    });
}

/// `, each for 4.2 of them`, where a pod of ours is not for one of the standard pool's.
pub(super) fn words(pass: &Pass<'_>) -> String {
    match pass.input.observation.route.precision {
        Precision::Percent { size: Size::Works(works), .. } if (works - 1.0).abs() >= 0.01 => {
            format!(", each for {works:.2} of them")
        }
        _ => String::new(),
    }
}
