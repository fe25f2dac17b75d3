//! The finalizer: traffic is given back and the pool removed before the rollout may go.

use json_patch::jsonptr::PointerBuf;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::error::{ActError, bounded};
use crate::api::{FINALIZER, FreeThreadRollout, MANAGER_POOL};

/// Put the finalizer on, unless it is there. Nothing is created before it is. Returns whether it was written now.
///
/// # Errors
/// When the API server does not take it.
pub async fn claim(client: &Client, rollout: &FreeThreadRollout) -> Result<bool, ActError> {
    if rollout.finalizers().iter().any(|f| f == FINALIZER) {
        return Ok(false);
    }
    // `test` on the version: a list must not be overwritten by one that was read earlier.
    let mut all = rollout.finalizers().to_vec();
    all.push(FINALIZER.to_owned());
    set(client, rollout, rollout.resource_version(), &all, "adding the finalizer").await?;
    Ok(true)
}

/// Take the finalizer off. Returns whether it was there. `since`: the version that the rollout got in this pass, if it was written.
pub(super) async fn release(
    client: &Client,
    rollout: &FreeThreadRollout,
    since: Option<String>,
) -> Result<bool, ActError> {
    if !rollout.finalizers().iter().any(|f| f == FINALIZER) {
        return Ok(false);
    }
    let rest: Vec<String> = rollout.finalizers().iter().filter(|f| *f != FINALIZER).cloned().collect();
    let version = since.or_else(|| rollout.resource_version());
    match set(client, rollout, version, &rest, "removing the finalizer").await {
        // Gone already: that is what was wanted.
        Err(ActError::Api { source, .. }) if matches!(&*source, kube::Error::Api(s) if s.code == 404) => {
            Ok(true)
        }
        done => done.map(|()| true),
    }
}

async fn set(
    client: &Client,
    rollout: &FreeThreadRollout,
    version: Option<String>,
    all: &[String],
    doing: &'static str,
) -> Result<(), ActError> {
    let api: Api<FreeThreadRollout> =
        Api::namespaced(client.clone(), &rollout.namespace().unwrap_or_default());
    let at = |path: [&str; 2]| PointerBuf::from_tokens(path);
    let patch = json_patch::Patch(vec![
        json_patch::PatchOperation::Test(json_patch::TestOperation {
            path: at(["metadata", "resourceVersion"]),
            value: json!(version),
        }),
        json_patch::PatchOperation::Add(json_patch::AddOperation {
            path: at(["metadata", "finalizers"]),
            value: json!(all),
        }),
    ]);
    let params = PatchParams { field_manager: Some(MANAGER_POOL.into()), ..PatchParams::default() };
    bounded(doing, api.patch_metadata(&rollout.name_any(), &params, &Patch::Json::<()>(patch))).await?;
    Ok(())
}
