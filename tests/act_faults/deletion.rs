//! A rollout that is deleted: traffic first, then the pool, then the rollout; what fails leaves the rest undone.

use freethread_rollout::{
    act::{ActError, Kind},
    api::{FINALIZER, Reason},
};
use serde_json::json;

use super::{
    server::{Call, Fault, PASSING},
    world::World,
};

/// Deleted while a pod serves.
async fn deleted() -> World {
    let world = World::holding().await;
    world.delete();
    world
}

fn kept(world: &World) -> bool {
    world.server.rollout().is_some_and(|r| r["metadata"]["finalizers"].to_string().contains(FINALIZER))
}

#[tokio::test(start_paused = true)]
async fn gives_the_traffic_back_then_removes_the_pool_then_lets_the_rollout_go() {
    let mut world = deleted().await;
    world.serving = Some(1);
    world.pass().await.unwrap();
    let seen = world.seen().await;
    assert_eq!(seen.iter().map(|s| s.call).collect::<Vec<_>>(), [Call::Lower, Call::Status, Call::Event]);
    assert_eq!(
        seen[0].body,
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 0},
            "metadata": {"name": "orders-ft", "uid": "pool-1"}}),
        "no rollback: nothing to say"
    );
    assert_eq!(world.status().reason, Reason::Deleting);
    // For as long as a pod may still be an endpoint, its Deployment stays.
    for _ in 0..3 {
        world.pass().await.unwrap();
        assert!(world.calls().await.iter().all(|call| [Call::Status, Call::Event].contains(call)));
    }
    assert!(world.server.pool().is_some() && kept(&world));
    world.serving = None;
    world.pass().await.unwrap();
    let seen = world.seen().await;
    assert_eq!((seen[0].call, world.server.pool()), (Call::Remove, None));
    assert_eq!(seen[0].line, "DELETE /apis/apps/v1/namespaces/shop/deployments/orders-ft?");
    assert_eq!(seen[0].body["preconditions"], json!({"uid": "pool-1"}));
    assert_eq!(seen[0].body["propagationPolicy"], json!("Background"));
    assert!(
        kept(&world) && seen.iter().all(|s| s.call != Call::Finalizer),
        "not in the pass that removes it"
    );
    assert!(world.pass().await.unwrap().released);
    let seen = world.seen().await;
    let calls: Vec<_> = seen.iter().map(|s| s.call).filter(|call| *call != Call::Event).collect();
    assert_eq!(calls, [Call::Status, Call::Finalizer]);
    let version: u64 = seen[0].body["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
    let last = seen.iter().find(|s| s.call == Call::Finalizer).unwrap();
    assert_eq!(
        last.line,
        "PATCH /apis/freethreading.dev/v1alpha1/namespaces/shop/freethreadrollouts/orders?&fieldManager=freethread-rollout"
    );
    // On top of the status that was written just before.
    assert_eq!(
        last.body,
        json!([{"op": "test", "path": "/metadata/resourceVersion", "value": (version + 1).to_string()},
            {"op": "add", "path": "/metadata/finalizers", "value": ["other/finalizer"]}])
    );
    assert!(!kept(&world));
}

#[tokio::test(start_paused = true)]
async fn removes_nothing_in_the_pass_in_which_the_weight_falls() {
    let mut world = deleted().await;
    // Even where no pod serves: one may have just started.
    world.serving = Some(0);
    world.pass().await.unwrap();
    assert_eq!(world.calls().await, [Call::Lower, Call::Status, Call::Event]);
    assert_eq!(world.server.written(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn stops_where_something_fails_and_goes_on_from_there() {
    for (call, fault) in [Call::Lower, Call::Remove, Call::Finalizer, Call::Status]
        .into_iter()
        .flat_map(|c| PASSING.into_iter().chain([Fault::Code(403), Fault::Code(422)]).map(move |f| (c, f)))
    {
        let mut world = deleted().await;
        world.server.fail(call, fault, 3);
        let mut failures = 0;
        for _ in 0..20 {
            let (pool, rollout) = (world.server.written(), kept(&world));
            let done = world.pass().await;
            let calls = world.calls().await;
            let failed = done.is_err();
            failures += usize::from(failed);
            assert!(pool == Some(0) || !calls.contains(&Call::Remove), "{call:?} {fault:?}: traffic first");
            assert!(
                pool.is_none() || !calls.contains(&Call::Finalizer),
                "{call:?} {fault:?}: the pool first"
            );
            if failed && call != Call::Status && fault != Fault::Silence {
                assert_eq!((world.server.written(), kept(&world)), (pool, rollout), "{call:?} {fault:?}");
            }
            if !kept(&world) {
                break;
            }
        }
        assert!(failures > 0, "{call:?} {fault:?}: nothing failed");
        assert_eq!((world.server.pool(), kept(&world)), (None, false), "{call:?} {fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn removes_only_the_pool_that_was_looked_at() {
    let mut world = deleted().await;
    world.pass().await.unwrap();
    let pass = world.decide();
    world.server.edit_pool(|pool| pool["metadata"]["uid"] = json!("another"));
    assert_eq!(world.act(&pass).await.unwrap_err().kind(), Kind::Conflict);
    assert!(world.server.pool().is_some() && kept(&world));
    // One that is gone is what was wanted.
    world.server.edit_pool(|pool| pool["metadata"]["uid"] = json!("pool-1"));
    let pass = world.decide();
    world.server.lose_pool();
    world.act(&pass).await.unwrap();
    assert!(kept(&world), "the pass that sees it gone lets the rollout go");
}

#[tokio::test(start_paused = true)]
async fn ends_pods_that_a_deleted_deployment_left_behind() {
    for fault in PASSING.into_iter().map(Some).chain([None]) {
        let mut world = deleted().await;
        world.server.lose_pool();
        world.serving = Some(1);
        if let Some(fault) = fault {
            world.server.fail(Call::Orphans, fault, 1);
            assert!(matches!(world.pass().await, Err(ActError::Pool(_))));
            assert!(kept(&world), "{fault:?}");
            world.calls().await;
        }
        world.pass().await.unwrap();
        let seen = world.seen().await;
        assert_eq!(
            (seen[0].call, seen[0].line.as_str()),
            (
                Call::Orphans,
                "DELETE /apis/apps/v1/namespaces/shop/replicasets?&labelSelector=freethreading.dev%2Frollout%3Dorders"
            )
        );
        assert!(kept(&world), "{fault:?}: a pod serves");
        world.serving = Some(0);
        world.pass().await.unwrap();
        assert!(!kept(&world), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_finalizer_list_that_changed_meanwhile_is_not_overwritten() {
    let mut world = deleted().await;
    for _ in 0..2 {
        world.pass().await.unwrap();
    }
    assert_eq!(world.server.pool(), None);
    let pass = world.decide();
    world.server.edit_rollout(|rollout| rollout["metadata"]["finalizers"] = json!([FINALIZER, "a/new-one"]));
    let error = world.act(&pass).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict, "{error}");
    assert!(kept(&world));
    world.pass().await.unwrap();
    assert_eq!(world.server.rollout().unwrap()["metadata"]["finalizers"], json!(["a/new-one"]));
}
