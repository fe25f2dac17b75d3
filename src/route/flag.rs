//! Traffic by a feature flag: the weight is an annotation of our Deployment, which every replica serves from its cache (see [`crate::flag`]).

use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{RouteError, bounded, insist, is_gone};
use crate::{
    api::{ANNOTATION_FLAG_WEIGHT, ANNOTATION_ROLLBACK, MANAGER_FLAG},
    decide::Target,
    flag,
    observe::LivePool,
};

/// The router by a flag for one rollout.
pub struct FlagRouter {
    deployments: Api<Deployment>,
    name: String,
}

impl FlagRouter {
    /// A router for the pool called `name` in `namespace`.
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self { deployments: Api::namespaced(client, namespace), name: name.to_owned() }
    }

    /// See [`super::Router::lower`].
    pub(super) async fn lower(&self, target: &Target, pool: &LivePool) -> Result<(), RouteError> {
        let body = body(&self.name, Some(target), pool, None);
        insist(|| self.write(Some(target.weight), &body)).await
    }

    /// See [`super::Router::raise`].
    pub(super) async fn raise(&self, target: &Target, pool: &LivePool) -> Result<(), RouteError> {
        let body = body(&self.name, Some(target), pool, Some(&pool.resource_version));
        self.write(Some(target.weight), &body).await
    }

    /// See [`super::Router::give_back`].
    pub(super) async fn give_back(&self, pool: &LivePool) -> Result<(), RouteError> {
        match self.write(None, &body(&self.name, None, pool, None)).await {
            Err(RouteError::Api { source, .. }) if is_gone(&source) => Ok(()),
            done => done,
        }
    }

    /// Server-side apply of the annotations alone, as their one owner.
    async fn write(&self, weight: Option<i32>, body: &Value) -> Result<(), RouteError> {
        let (wrote, what) =
            (format!("{} %", weight.unwrap_or(0)), format!("the flag on Deployment {}", self.name));
        let (params, patch) = (PatchParams::apply(MANAGER_FLAG).force(), Patch::Apply(body));
        let request = self.deployments.patch(&self.name, &params, &patch);
        let written = bounded((wrote.clone(), what.clone()), request).await?;
        let read = flag::weight(&written);
        if read == weight {
            return Ok(());
        }
        Err(RouteError::NotApplied {
            wrote,
            what,
            read: read.map_or("nothing".into(), |read| format!("{read} %")),
        })
    }
}

/// The object to apply. `uid` makes it an update: it never creates. What is left out, this manager gives up.
fn body(name: &str, target: Option<&Target>, pool: &LivePool, on_top_of: Option<&str>) -> Value {
    let mut metadata = json!({"name": name, "uid": pool.uid});
    if let Some(version) = on_top_of {
        metadata["resourceVersion"] = json!(version);
    }
    if let Some(target) = target {
        let mut annotations = json!({ANNOTATION_FLAG_WEIGHT: target.weight.to_string()});
        if let Some(note) = target.note.as_ref().and_then(|note| serde_json::to_string(note).ok()) {
            annotations[ANNOTATION_ROLLBACK] = json!(note);
        }
        metadata["annotations"] = annotations;
    }
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata})
}
