//! How many pods a pool has whose router does not count them.

use super::Size;
use crate::{
    api::{AttemptStatus, FreeThreadRollout, PoolReplicas, SizingStatus},
    pool::Rendered,
};

/// What the spec says of it; with `auto`, by the CPU that a pod asks for and by what a request was measured to take when the step began.
pub(super) fn size(rollout: &FreeThreadRollout, rendered: Option<&Rendered>) -> Size {
    match rollout.spec.free_threaded.replicas {
        Some(PoolReplicas::Fixed(pods)) => Size::Fixed(pods),
        None => Size::Works(1.0),
        Some(PoolReplicas::Measured(_)) => {
            let attempt: Option<&AttemptStatus> = rollout.status.as_ref().and_then(|s| s.attempt.as_ref());
            let cost = attempt.and_then(|a| a.sizing.as_ref()).map_or(1.0, SizingStatus::cost);
            Size::Works(rendered.map_or(1.0, |rendered| rendered.cpu_times) / cost)
        }
    }
}
