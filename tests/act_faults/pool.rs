//! The pool: built at 0, and an edit of it counted before it is put back.

use freethread_rollout::{
    act::Kind,
    api::{ANNOTATION_TEMPLATE_HASH, MANAGER_POOL, Phase},
    decide::PoolWanted,
};
use serde_json::{Value, json};

use super::{
    server::{Call, Fault, PASSING},
    world::World,
};

const POOL: &str = "/apis/apps/v1/namespaces/shop/deployments/orders-ft";

fn drift(world: &World) -> Option<(i32, String)> {
    world.status().drift.map(|drift| (drift.count, drift.manager))
}

#[tokio::test(start_paused = true)]
async fn is_built_at_zero_and_its_replicas_keep_their_owner() {
    let mut world = World::new();
    world.pass().await.unwrap();
    let seen = world.seen().await;
    assert_eq!(
        seen.iter().map(|s| s.call).collect::<Vec<_>>(),
        [Call::Create, Call::Apply, Call::TakeReplicas, Call::Status, Call::Event]
    );
    let route = format!("PATCH {POOL}?&force=true&fieldManager=freethread-rollout%2Froute");
    assert_eq!(seen[0].line, route);
    assert_eq!(seen[1].line, format!("PATCH {POOL}?&force=true&fieldManager={MANAGER_POOL}"));
    assert_eq!(seen[2].line, route);
    let at = |number: usize, pointer: &str| seen[number].body.pointer(pointer).cloned();
    assert_eq!(at(0, "/spec/replicas"), Some(json!(0)), "a Deployment without replicas starts with a pod");
    assert_eq!(at(0, "/metadata/annotations"), None, "not built before the pool's manager has applied it");
    assert_eq!(at(1, "/spec/replicas"), None, "the router's");
    assert!(seen[1].body["metadata"]["annotations"][ANNOTATION_TEMPLATE_HASH].is_string());
    assert_eq!(
        seen[2].body,
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "orders-ft"},
            "spec": {"replicas": 0}})
    );
}

#[tokio::test(start_paused = true)]
async fn an_edit_is_counted_and_then_put_back() {
    let mut world = World::holding().await;
    let before = world.server.pool().unwrap();
    world.edit();
    let edited = world.server.pool().unwrap();
    assert_eq!(world.decide().decision.pool, PoolWanted::Apply);
    world.pass().await.unwrap();
    let seen = world.seen().await;
    assert_eq!(
        seen.iter().map(|s| s.call).collect::<Vec<_>>(),
        [Call::Status, Call::PutBack, Call::Apply, Call::Event]
    );
    assert_eq!(seen[0].body["status"]["drift"]["count"], json!(1));
    assert_eq!(seen[1].line, format!("PATCH {POOL}?&fieldManager={MANAGER_POOL}"));
    assert_eq!(
        seen[1].body,
        json!([{"op": "test", "path": "/metadata/uid", "value": "pool-1"},
            {"op": "test", "path": "/metadata/resourceVersion", "value": edited["metadata"]["resourceVersion"]},
            {"op": "add", "path": "/spec/template", "value": before["spec"]["template"]},
            {"op": "add", "path": "/metadata/managedFields", "value": []}])
    );
    let after = world.server.pool().unwrap();
    assert_eq!((&after["spec"], drift(&world)), (&before["spec"], Some((1, "kubectl-edit".into()))));
}

#[tokio::test(start_paused = true)]
async fn an_edit_that_cannot_be_counted_is_not_put_back() {
    for fault in PASSING.into_iter().filter(|fault| *fault != Fault::Silence) {
        let mut world = World::holding().await;
        world.edit();
        let (pool, status) = (world.server.pool(), world.status());
        world.server.fail(Call::Status, fault, 2);
        for _ in 0..2 {
            world.pass().await.unwrap_err();
            assert_eq!(world.calls().await, [Call::Status], "{fault:?}");
            assert_eq!((world.server.pool(), world.status()), (pool.clone(), status.clone()), "{fault:?}");
        }
        world.pass().await.unwrap();
        assert_eq!(world.calls().await, [Call::Status, Call::PutBack, Call::Apply, Call::Event], "{fault:?}");
        assert_eq!(drift(&world), Some((1, "kubectl-edit".into())), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_edit_that_cannot_be_put_back_is_counted_once() {
    for (call, fault) in [Call::PutBack, Call::Apply].into_iter().flat_map(|c| PASSING.map(|f| (c, f))) {
        let mut world = World::holding().await;
        let before: Value = world.server.pool().unwrap()["spec"].clone();
        world.edit();
        world.server.fail(call, fault, 1);
        world.pass().await.unwrap_err();
        for _ in 0..2 {
            world.pass().await.unwrap();
        }
        let status = world.status();
        assert_eq!(
            (world.server.pool().unwrap()["spec"].clone(), status.phase),
            (before, Phase::Progressing)
        );
        assert_eq!(drift(&world), Some((1, "kubectl-edit".into())), "{call:?} {fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_pool_of_the_same_name_is_left_alone() {
    let world = World::holding().await;
    world.edit();
    let pass = world.decide();
    world.server.edit_pool(|pool| pool["metadata"]["uid"] = json!("another"));
    let pool = world.server.pool();
    let error = world.act(&pass).await.unwrap_err();
    assert_eq!((error.kind(), world.server.pool()), (Kind::Conflict, pool), "{error}");
}
