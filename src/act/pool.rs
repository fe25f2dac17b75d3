//! Our Deployment: created at 0, applied, put back, removed.

use json_patch::jsonptr::PointerBuf;
use k8s_openapi::{
    api::{
        apps::v1::{Deployment, ReplicaSet},
        core::v1::Service,
    },
    apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions},
};
use serde_json::{Value, json};

use super::error::{ActError, bounded};
use crate::{
    api::{FreeThreadRollout, LABEL_ROLLOUT, MANAGER_POOL, MANAGER_ROUTE},
    observe::{LivePool, Scene, foreign},
};

/// Make our Deployment what was rendered. Returns whether something was written.
pub(super) async fn apply(client: &Client, namespace: &str, scene: &Scene) -> Result<bool, ActError> {
    let Some(rendered) = &scene.rendered else { return Ok(false) };
    let pool = &scene.observation.free_threaded;
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    match &pool.live {
        Some(live) if live.deleting => return Ok(false),
        Some(_) if pool.service_missing => return apply_service(client, namespace, scene).await,
        Some(live) if live.template_hash == rendered.hash && live.edited_by.is_none() => return Ok(false),
        Some(live) => {
            put_back(&api, &pool.name, live, &scene.live_owners, &rendered.deployment).await?;
        }
        None => create_at_zero(&api, &pool.name, &rendered.deployment).await?,
    }
    apply_as(&api, &pool.name, MANAGER_POOL, &rendered.deployment, "applying the pool's Deployment").await?;
    if pool.live.is_none() {
        release_template(&api, &pool.name).await?;
    }
    Ok(true)
}

/// Our Service, before anything could be sent to it.
async fn apply_service(client: &Client, namespace: &str, scene: &Scene) -> Result<bool, ActError> {
    let Some(service) = &scene.service else { return Ok(false) };
    let api: Api<Service> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams::apply(MANAGER_POOL).force();
    let name = &scene.observation.free_threaded.name;
    let apply = async || {
        bounded("applying the pool's Service", api.patch(name, &params, &Patch::Apply(service))).await
    };
    let mut applied = apply().await;
    let refused = matches!(&applied, Err(ActError::Api { source, .. }) if matches!(&**source, kube::Error::Api(s) if s.code == 422));
    // Where the ports were not it, what was said first is what is wrong.
    if refused && replace_ports(&api, name, service).await.is_ok() {
        applied = apply().await;
    }
    applied.map(|_| true)
}

/// Ports are known by their numbers: one whose number somebody changed is a second one to server-side apply, of the same name, and refused. So they are
/// replaced as a whole.
async fn replace_ports(api: &Api<Service>, name: &str, service: &Value) -> Result<(), ActError> {
    let patch = json_patch::Patch(vec![
        // Ours, whatever else became of it.
        test(&["metadata", "labels", LABEL_ROLLOUT], service["metadata"]["labels"][LABEL_ROLLOUT].clone()),
        set(&["spec", "ports"], service["spec"]["ports"].clone()),
    ]);
    let params = PatchParams { field_manager: Some(MANAGER_POOL.into()), ..PatchParams::default() };
    bounded(
        "putting the ports of the pool's Service back",
        api.patch(name, &params, &Patch::Json::<()>(patch)),
    )
    .await?;
    Ok(())
}

fn test(path: &[&str], value: Value) -> json_patch::PatchOperation {
    let path = PointerBuf::from_tokens(path.iter().copied());
    json_patch::PatchOperation::Test(json_patch::TestOperation { path, value })
}

/// `add` replaces what is there, and does not mind when nothing is.
fn set(path: &[&str], value: Value) -> json_patch::PatchOperation {
    let path = PointerBuf::from_tokens(path.iter().copied());
    json_patch::PatchOperation::Add(json_patch::AddOperation { path, value })
}

/// A Deployment without `replicas` starts with one pod, and by pod counts a pod is traffic. So it is created by the manager that owns the
/// replicas, at 0, with all that a Deployment must have; the pool's manager then takes over everything else.
async fn create_at_zero(api: &Api<Deployment>, name: &str, rendered: &Value) -> Result<(), ActError> {
    let mut at_zero = rendered.clone();
    // Without the hash: until the pool's manager has applied it too, it does not count as built.
    if let Some(metadata) = at_zero.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("annotations");
    }
    if let Some(spec) = at_zero.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert("replicas".into(), json!(0));
    }
    apply_as(api, name, MANAGER_ROUTE, &at_zero, "creating the pool's Deployment").await
}

/// The router's manager keeps the replicas alone.
async fn release_template(api: &Api<Deployment>, name: &str) -> Result<(), ActError> {
    let replicas = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {"replicas": 0}});
    apply_as(api, name, MANAGER_ROUTE, &replicas, "taking the pool's replicas").await
}

async fn apply_as(
    api: &Api<Deployment>,
    name: &str,
    manager: &str,
    object: &Value,
    doing: &'static str,
) -> Result<(), ActError> {
    let params = PatchParams::apply(manager).force();
    bounded(doing, api.patch(name, &params, &Patch::Apply(object))).await?;
    Ok(())
}

/// Server-side apply takes back what somebody changed, but not what somebody added, nor what an earlier template had under another
/// manager: so the template is replaced as a whole, and with it who owns it. Otherwise an edit that set what was there already would
/// leave its author's name for ever, and be put back for ever.
async fn put_back(
    api: &Api<Deployment>,
    name: &str,
    live: &LivePool,
    owners: &[ManagedFieldsEntry],
    rendered: &Value,
) -> Result<(), ActError> {
    let template = rendered.pointer("/spec/template").cloned().unwrap_or_default();
    let patch = json_patch::Patch(vec![
        // The owners are a list as it was read: it must not overwrite a later one.
        test(&["metadata", "uid"], json!(live.uid)),
        test(&["metadata", "resourceVersion"], json!(live.resource_version)),
        set(&["spec", "template"], template),
        set(&["metadata", "managedFields"], json!(without_template(owners))),
    ]);
    let params = PatchParams { field_manager: Some(MANAGER_POOL.into()), ..PatchParams::default() };
    bounded("putting the pool's template back", api.patch(name, &params, &Patch::Json::<()>(patch))).await?;
    Ok(())
}

/// The owners, with nobody else's part of the pod template.
fn without_template(owners: &[ManagedFieldsEntry]) -> Vec<ManagedFieldsEntry> {
    let mut owners = owners.to_vec();
    for entry in owners.iter_mut().filter(|entry| foreign(entry)) {
        let Some(fields) = entry.fields_v1.as_mut().and_then(|fields| fields.0.as_object_mut()) else {
            continue;
        };
        if let Some(spec) = fields.get_mut("f:spec").and_then(Value::as_object_mut) {
            spec.remove("f:template");
            if spec.is_empty() {
                fields.remove("f:spec");
            }
        }
    }
    let empty = |entry: &ManagedFieldsEntry| entry.fields_v1.as_ref().is_none_or(|f| f.0 == json!({}));
    owners.retain(|entry| !foreign(entry) || !empty(entry));
    owners
}

/// Remove our Deployment, once its last pod is gone. Returns whether something was removed now.
pub(super) async fn remove(
    client: &Client,
    namespace: &str,
    rollout: &FreeThreadRollout,
    scene: &Scene,
) -> Result<bool, ActError> {
    let (pool, route) = (&scene.observation.free_threaded, &scene.observation.route);
    // KEDA keeps pods for as long as there is a Deployment. No weight sends to them, and they end as in every deletion: after their work.
    let serves = serves(scene) && !pool.by_keda();
    match &pool.live {
        // Traffic first: a pod that is on its way out may still be an endpoint somewhere, until its containers have ended.
        Some(live) if live.deleting || route.written.unwrap_or(0) != 0 || serves => Ok(false),
        Some(live) => {
            let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
            let uid = Preconditions { uid: Some(live.uid.clone()), ..Preconditions::default() };
            let params = DeleteParams { preconditions: Some(uid), ..DeleteParams::background() };
            match bounded("removing the pool's Deployment", api.delete(&pool.name, &params)).await {
                Err(ActError::Api { source, .. }) if matches!(&*source, kube::Error::Api(s) if s.code == 404) => {
                    Ok(false)
                }
                done => done.map(|_| true),
            }
        }
        // Nothing sends to it any more.
        None if pool.service && route.written.is_none() => {
            let api: Api<Service> = Api::namespaced(client.clone(), namespace);
            match bounded("removing the pool's Service", api.delete(&pool.name, &DeleteParams::default()))
                .await
            {
                Err(ActError::Api { source, .. }) if matches!(&*source, kube::Error::Api(s) if s.code == 404) => {
                    Ok(false)
                }
                done => done.map(|_| true),
            }
        }
        None => remove_orphans(client, namespace, rollout, scene).await,
    }
}

/// Whether a pod of ours could still be an endpoint. A pod on a lost node is not ready any more and holds up nothing.
pub(super) fn serves(scene: &Scene) -> bool {
    scene.observation.free_threaded.pods.iter().any(|pod| pod.ready_since.is_some())
}

/// Somebody deleted the Deployment and left its pods: they would serve for ever. Returns whether something was removed now.
pub(super) async fn remove_orphans(
    client: &Client,
    namespace: &str,
    rollout: &FreeThreadRollout,
    scene: &Scene,
) -> Result<bool, ActError> {
    let pool = &scene.observation.free_threaded;
    if pool.live.is_some() || pool.pods.iter().all(|pod| pod.going) {
        return Ok(false);
    }
    let api: Api<ReplicaSet> = Api::namespaced(client.clone(), namespace);
    let ours = ListParams::default().labels(&format!("{LABEL_ROLLOUT}={}", rollout.name_any()));
    bounded("removing the pool's orphans", api.delete_collection(&DeleteParams::background(), &ours)).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_keeps_a_part_of_the_template() {
        let entry = |manager: &str, fields: Value| -> ManagedFieldsEntry {
            serde_json::from_value(json!({"manager": manager, "fieldsV1": fields})).unwrap()
        };
        let template = json!({"f:spec": {"f:template": {"f:spec": {}}}});
        let both = json!({"f:metadata": {"f:labels": {}}, "f:spec": {"f:paused": {}, "f:template": {}}});
        let rest = json!({"f:metadata": {"f:labels": {}}, "f:spec": {"f:paused": {}}});
        let owners = [
            entry(MANAGER_POOL, template.clone()),
            entry("kubectl-edit", template.clone()),
            entry("somebody", both),
        ];
        assert_eq!(without_template(&owners), [entry(MANAGER_POOL, template), entry("somebody", rest)]);
    }
}
