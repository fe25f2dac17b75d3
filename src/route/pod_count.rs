//! Traffic by pod counts: the share is ready pods over ready pods, and the only write is `spec.replicas` of our Deployment.

use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{RouteError, bounded, insist};
use crate::{
    api::{ANNOTATION_ROLLBACK, MANAGER_ROUTE},
    decide::Target,
    observe::LivePool,
};

/// The router by pod counts for one rollout.
#[derive(Clone)]
pub struct PodCount {
    deployments: Api<Deployment>,
    name: String,
}

impl PodCount {
    /// A router for the pool called `name` in `namespace`.
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self { deployments: Api::namespaced(client, namespace), name: name.to_owned() }
    }

    /// Server-side apply of the replicas alone, as their one owner. `uid` makes it an update: it never creates.
    async fn write(&self, pods: i32, body: &Value) -> Result<(), RouteError> {
        let (wrote, what) = (format!("{pods} pods"), format!("Deployment {}", self.name));
        let (params, patch) = (PatchParams::apply(MANAGER_ROUTE).force(), Patch::Apply(body));
        let request = self.deployments.patch(&self.name, &params, &patch);
        let written = bounded((wrote.clone(), what.clone()), request).await?;
        match written.spec.and_then(|s| s.replicas) {
            Some(read) if read == pods => Ok(()),
            read => {
                let read = read.map_or("nothing".into(), |read| format!("{read} pods"));
                Err(RouteError::NotApplied { wrote, what, read })
            }
        }
    }
}

/// The object to apply. What is left out, this manager gives up: a note of an earlier rollback goes with the next write.
fn body(name: &str, target: &Target, pool: &LivePool, on_top_of: Option<&str>) -> Value {
    let mut metadata = json!({"name": name, "uid": pool.uid});
    if let Some(version) = on_top_of {
        metadata["resourceVersion"] = json!(version);
    }
    if let Some(note) = target.note.as_ref().and_then(|note| serde_json::to_string(note).ok()) {
        metadata["annotations"] = json!({ANNOTATION_ROLLBACK: note});
    }
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"replicas": target.weight}})
}

impl PodCount {
    /// See [`super::Router::lower`].
    pub(super) async fn lower(&self, target: &Target, pool: &LivePool) -> Result<(), RouteError> {
        let body = body(&self.name, target, pool, None);
        insist(|| self.write(target.weight, &body)).await
    }

    /// See [`super::Router::raise`].
    pub(super) async fn raise(&self, target: &Target, pool: &LivePool) -> Result<(), RouteError> {
        self.write(target.weight, &body(&self.name, target, pool, Some(&pool.resource_version))).await
    }

    /// Pods of the pool where another router decides about its share.
    ///
    /// # Errors
    /// When it is not written.
    pub async fn scale(&self, pods: i32, pool: &LivePool) -> Result<(), RouteError> {
        let body = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": self.name, "uid": pool.uid, "resourceVersion": pool.resource_version}, "spec": {"replicas": pods}});
        self.write(pods, &body).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{Percent, Phase, Reason},
        decide::Movement,
        observe::RollbackNote,
    };

    #[test]
    fn only_a_rise_is_bound_to_a_version_and_only_a_rollback_leaves_a_note() {
        let pool = LivePool { uid: "u".into(), resource_version: "7".into(), ..LivePool::default() };
        let note = RollbackNote {
            attempt: 1,
            phase: Phase::RolledBack,
            reason: Reason::ErrorRate,
            message: "why".into(),
        };
        let fall =
            Target { movement: Movement::Fall, share: Percent::from_ratio(0.0), weight: 0, note: Some(note) };
        let written = body("x-ft", &fall, &pool, None);
        assert_eq!(written.pointer("/metadata/resourceVersion"), None);
        assert!(written.pointer("/metadata/annotations").is_some());
        let rise = Target { movement: Movement::Rise, weight: 3, note: None, ..fall };
        assert_eq!(
            body("x-ft", &rise, &pool, Some("7")),
            json!({"apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "x-ft", "uid": "u", "resourceVersion": "7"}, "spec": {"replicas": 3}})
        );
    }
}
