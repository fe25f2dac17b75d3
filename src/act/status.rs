//! Writing the status: only when something changed, and only on top of the status that was decided on.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{
    Written,
    error::{ActError, bounded},
};
use crate::api::{FreeThreadRollout, FreeThreadRolloutStatus, MANAGER_STATUS};

/// Write `status`, if it differs from what is there. Returns the version that the rollout has since, if it was written.
///
/// It carries the version that it was decided on: the status is the operator's memory, and a stale cache must not
/// overwrite what a later pass remembered.
pub(super) async fn write(
    client: &Client,
    rollout: &FreeThreadRollout,
    status: &FreeThreadRolloutStatus,
    memory: &Written,
) -> Result<Option<String>, ActError> {
    if rollout.status.as_ref() == Some(status) {
        return Ok(None);
    }
    let api: Api<FreeThreadRollout> =
        Api::namespaced(client.clone(), &rollout.namespace().unwrap_or_default());
    let body = json!({
        "apiVersion": FreeThreadRollout::api_version(&()),
        "kind": FreeThreadRollout::kind(&()),
        "metadata": {"name": rollout.name_any(), "uid": rollout.uid(), "resourceVersion": rollout.resource_version()},
        "status": status,
    });
    let params = PatchParams::apply(MANAGER_STATUS).force();
    let written =
        bounded("writing the status", api.patch_status(&rollout.name_any(), &params, &Patch::Apply(&body)))
            .await?;
    let version = written.resource_version();
    memory.wrote(rollout, written);
    Ok(version)
}

/// The status as it is, but `PoolAvailable` says what the API server refuses. `None` where it says so already.
pub(super) fn with_refusal(
    rollout: &FreeThreadRollout,
    message: &str,
    now: jiff::Timestamp,
) -> Option<FreeThreadRolloutStatus> {
    let mut status = rollout.status.clone()?;
    let new = Condition {
        type_: "PoolAvailable".into(),
        status: "False".into(),
        reason: "Refused".into(),
        message: message.to_owned(),
        observed_generation: rollout.metadata.generation,
        last_transition_time: Time(now),
    };
    match status.conditions.iter_mut().find(|old| old.type_ == new.type_) {
        Some(old) if old.reason == new.reason && old.message == new.message => return None,
        // It was not available before either.
        Some(old) if old.status == new.status => {
            *old = Condition { last_transition_time: old.last_transition_time.clone(), ..new };
        }
        Some(old) => *old = new,
        None => status.conditions.push(new),
    }
    Some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_transition_only_where_the_pool_was_available() {
        let now = |second| jiff::Timestamp::from_second(second).unwrap_or_default();
        let mut rollout: FreeThreadRollout = serde_json::from_value(json!({"metadata": {"name": "orders"}, "spec": {
            "workloadRef": {"name": "orders"}, "freeThreaded": {"image": "orders:t"}, "traffic": {"podCount": {}},
            "steps": [{"weight": 10, "hold": "1m"}],
            "analysis": {"prometheus": "default", "preset": "fastapi-instrumentator", "errorRate": {"max": "1%"}}},
            "status": {}}))
        .unwrap();
        let told = |rollout: &FreeThreadRollout, words: &str, at| {
            let status = with_refusal(rollout, words, now(at))?;
            Some((status.conditions[0].message.clone(), status.conditions[0].last_transition_time.0, status))
        };
        let (message, since, status) = told(&rollout, "no quota", 10).unwrap();
        assert_eq!((message.as_str(), since), ("no quota", now(10)));
        rollout.status = Some(status);
        assert!(told(&rollout, "no quota", 20).is_none(), "it says so already");
        let (message, since, status) = told(&rollout, "a webhook", 30).unwrap();
        assert_eq!((message.as_str(), since), ("a webhook", now(10)), "other words, and no less available");
        rollout.status = Some(status);
        rollout.status.as_mut().unwrap().conditions[0].status = "True".into();
        assert_eq!(told(&rollout, "no quota", 40).unwrap().1, now(40));
    }
}
