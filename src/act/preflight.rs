//! The Job that checks the image: created and removed, never changed.

use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams, Preconditions},
};

use super::error::{ActError, bounded};
use crate::{api::MANAGER_POOL, decide::JobWanted, observe::Scene};

/// Returns whether something was written. One that is there already, or gone already, is no failure: the caches will say so.
pub(super) async fn apply(
    client: &Client,
    namespace: &str,
    scene: &Scene,
    wanted: JobWanted,
) -> Result<bool, ActError> {
    let api: Api<Job> = Api::namespaced(client.clone(), namespace);
    let done = match (wanted, &scene.observation.preflight) {
        (JobWanted::Create(check), _) => {
            let Some(job) = scene.jobs.get(&check) else { return Ok(false) };
            let job: Job = serde_json::from_value(job.clone())
                .map_err(|source| ActError::Rendered { what: "the preflight Job", source })?;
            let params = PostParams { field_manager: Some(MANAGER_POOL.into()), ..PostParams::default() };
            bounded("creating the preflight Job", api.create(&params, &job)).await.map(|_| ())
        }
        (JobWanted::Remove, Some(seen)) => {
            let Some(job) = &seen.job else { return Ok(false) };
            let uid = Preconditions { uid: Some(job.uid.clone()), ..Preconditions::default() };
            let params = DeleteParams { preconditions: Some(uid), ..DeleteParams::background() };
            bounded("removing the preflight Job", api.delete(&seen.name, &params)).await.map(|_| ())
        }
        _ => return Ok(false),
    };
    match done {
        Err(ActError::Api { source, .. }) if matches!(&*source, kube::Error::Api(s) if [404, 409].contains(&s.code)) => {
            Ok(false)
        }
        done => done.map(|()| true),
    }
}
