//! The replicas of the standard pool, where they are handed over: the only writes that it ever gets. JSON patches, each with a `test` of what it
//! was decided on, so that a scaling of somebody else's is never undone. What it had stands on it from the same request on.

use json_patch::{
    AddOperation, PatchOperation, RemoveOperation, ReplaceOperation, TestOperation, jsonptr::PointerBuf,
};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::error::{ActError, bounded};
use crate::{
    api::{ANNOTATION_REPLICAS, MANAGER_HAND_OVER},
    decide::StandardWanted,
    observe::StandardPool,
};

/// Make it so.
pub(super) async fn apply(
    client: &Client,
    namespace: &str,
    standard: Option<&StandardPool>,
    wanted: StandardWanted,
) -> Result<(), ActError> {
    let Some(standard) = standard else { return Ok(()) };
    let Some((doing, patch)) = patch(wanted, standard.before) else { return Ok(()) };
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams { field_manager: Some(MANAGER_HAND_OVER.into()), ..PatchParams::default() };
    bounded(doing, api.patch(&standard.name, &params, &Patch::Json::<()>(patch))).await.map(|_| ())
}

fn patch(wanted: StandardWanted, before: Option<i32>) -> Option<(&'static str, json_patch::Patch)> {
    let replicas = || PointerBuf::from_tokens(["spec", "replicas"]);
    let mark = || PointerBuf::from_tokens(["metadata", "annotations", ANNOTATION_REPLICAS]);
    let test = |path, value| PatchOperation::Test(TestOperation { path, value });
    let scale = |to: i32| PatchOperation::Replace(ReplaceOperation { path: replicas(), value: json!(to) });
    let written = |number: i32| Value::String(number.to_string());
    let (doing, all) = match wanted {
        StandardWanted::Leave => return None,
        // Every Deployment that its controller has seen has annotations.
        StandardWanted::Shrink { had, to } => (
            "handing over the standard pool",
            vec![
                test(replicas(), json!(had)),
                PatchOperation::Add(AddOperation { path: mark(), value: written(had) }),
                scale(to),
            ],
        ),
        StandardWanted::Grow { seen, to } => (
            "bringing the standard pool back",
            vec![test(mark(), written(before?)), test(replicas(), json!(seen)), scale(to)],
        ),
        StandardWanted::Release => (
            "releasing the standard pool",
            vec![test(mark(), written(before?)), PatchOperation::Remove(RemoveOperation { path: mark() })],
        ),
    };
    Some((doing, json_patch::Patch(all)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_as_it_was_afterwards_and_another_scaling_is_never_undone() {
        let mut object = json!({"metadata": {"annotations": {"a": "b"}}, "spec": {"replicas": 6}});
        let before = object.clone();
        let apply =
            |object: &mut Value, wanted, known| json_patch::patch(object, &patch(wanted, known).unwrap().1);
        apply(&mut object, StandardWanted::Shrink { had: 6, to: 1 }, None).unwrap();
        let handed = json!({"metadata": {"annotations": {"a": "b", ANNOTATION_REPLICAS: "6"}}, "spec": {"replicas": 1}});
        assert_eq!(object, handed);
        let scaled = StandardWanted::Grow { seen: 2, to: 6 };
        assert!(apply(&mut object, scaled, Some(6)).is_err(), "it has another number by now");
        assert_eq!(object, handed);
        apply(&mut object, StandardWanted::Grow { seen: 1, to: 6 }, Some(6)).unwrap();
        apply(&mut object, StandardWanted::Release, Some(6)).unwrap();
        assert_eq!(object, before);
        assert!(apply(&mut object, StandardWanted::Release, Some(6)).is_err(), "it is not ours (any more)");
    }
}
