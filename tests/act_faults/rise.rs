//! A rising weight: tried once, on top of what it was decided on, and only where nothing before it failed.

use freethread_rollout::{
    act::{ActError, Kind},
    api::{Phase, Reason},
    decide::{Movement, PoolWanted},
};
use serde_json::json;

use super::{
    server::{Call, Fault, PASSING},
    world::World,
};

#[tokio::test(start_paused = true)]
async fn carries_the_version_that_it_was_decided_on() {
    let (world, pass) = Box::pin(World::rising()).await;
    let version = world.server.pool().unwrap()["metadata"]["resourceVersion"].clone();
    assert!(version.is_string());
    assert!(world.act(&pass).await.unwrap().weight);
    let seen = world.seen().await;
    assert_eq!(seen.iter().map(|s| s.call).collect::<Vec<_>>(), [Call::Raise, Call::Status, Call::Event]);
    assert_eq!(
        seen[0].line,
        "PATCH /apis/apps/v1/namespaces/shop/deployments/orders-ft?&force=true&fieldManager=freethread-rollout%2Froute"
    );
    assert_eq!(
        seen[0].body,
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 1},
            "metadata": {"name": "orders-ft", "uid": "pool-1", "resourceVersion": version}})
    );
}

#[tokio::test(start_paused = true)]
async fn is_tried_once_and_again_only_in_a_new_pass() {
    for fault in PASSING.into_iter().chain([Fault::Ignored, Fault::Code(403), Fault::Code(422)]) {
        let (mut world, pass) = Box::pin(World::rising()).await;
        world.server.fail(Call::Raise, fault, 1);
        let error = world.act(&pass).await.unwrap_err();
        assert!(matches!(error, ActError::Raise(_)) && !error.urgent(), "{fault:?}: {error}");
        let kind = match fault {
            Fault::Code(409) => Kind::Conflict,
            Fault::Code(403 | 422) => Kind::Dependency,
            _ => Kind::Transient,
        };
        assert_eq!(error.kind(), kind, "{fault:?}");
        assert_eq!(world.calls().await, [Call::Raise], "no news: {fault:?}");
        assert_eq!(world.server.written(), Some(i64::from(fault == Fault::Silence)), "{fault:?}");
        // A pass that sees what became of it.
        world.tick();
        let next = world.decide();
        let movement = if fault == Fault::Silence { Movement::Stay } else { Movement::Rise };
        assert_eq!(next.decision.target.movement, movement, "{fault:?}");
        world.act(&next).await.unwrap();
        assert_eq!(
            (world.server.written(), world.status().phase),
            (Some(1), Phase::Progressing),
            "{fault:?}"
        );
        assert_eq!(world.status().drift, None, "{fault:?}: nobody else did it");
    }
}

#[tokio::test(start_paused = true)]
async fn loses_against_whoever_wrote_the_pool_meanwhile() {
    let (world, pass) = Box::pin(World::rising()).await;
    world.server.edit_pool(|pool| pool["metadata"]["labels"]["team"] = json!("shop"));
    let error = world.act(&pass).await.unwrap_err();
    assert!(matches!(error, ActError::Raise(_)) && error.kind() == Kind::Conflict, "{error}");
    assert_eq!(world.server.written(), Some(0));
    // Another one of the same name is not raised either.
    let (world, pass) = Box::pin(World::rising()).await;
    world.server.edit_pool(|pool| pool["metadata"]["uid"] = json!("another"));
    assert_eq!(world.act(&pass).await.unwrap_err().kind(), Kind::Conflict);
    assert_eq!(world.server.written(), Some(0));
}

#[tokio::test(start_paused = true)]
async fn waits_for_a_pool_that_cannot_be_built() {
    let refused = PASSING.into_iter().filter(|fault| *fault != Fault::Silence);
    for fault in refused.chain([Fault::Code(403), Fault::Code(422)]) {
        for call in [Call::Create, Call::Apply] {
            let mut world = World::new();
            world.server.fail(call, fault, usize::MAX);
            for _ in 0..6 {
                let error = world.pass().await.unwrap_err();
                assert!(matches!(error, ActError::Pool(_)), "{fault:?}: {error}");
                assert_eq!(
                    error.refusal().is_some(),
                    matches!(fault, Fault::Code(403 | 422)),
                    "{fault:?}: {error}"
                );
                let calls = world.calls().await;
                assert!(calls.contains(&call) && !calls.contains(&Call::Raise), "{fault:?}: {calls:?}");
                assert_eq!(world.server.written(), (call == Call::Apply).then_some(0), "{fault:?}");
            }
            world.server.mend();
            world.until(|world, _| world.status().reason == Reason::Holding).await;
            assert_eq!(world.server.written(), Some(1), "{call:?} {fault:?}");
        }
    }
}

/// No decision asks for both; if one did, the pool would have another version than the one that was decided on.
#[tokio::test(start_paused = true)]
async fn never_follows_a_write_of_the_pool_in_the_same_pass() {
    let refused = PASSING.into_iter().chain([Fault::Code(403), Fault::Code(422)]).map(Some);
    for fault in refused.chain([None]) {
        for call in [Call::PutBack, Call::Apply] {
            let (world, mut pass) = Box::pin(World::rising()).await;
            pass.decision.pool = PoolWanted::Apply;
            pass.scene.observation.free_threaded.live.as_mut().unwrap().template_hash = "another".into();
            if let Some(fault) = fault {
                world.server.fail(call, fault, 1);
            }
            assert_eq!(world.act(&pass).await.is_err(), fault.is_some(), "{call:?} {fault:?}");
            let calls = world.calls().await;
            let said = [Call::Status, Call::Event];
            let first = if call == Call::PutBack && fault.is_some() { 1 } else { 2 };
            let wanted: Vec<_> = [Call::PutBack, Call::Apply].into_iter().take(first).chain(said).collect();
            assert_eq!(calls, wanted, "{fault:?}");
            assert_eq!(world.server.written(), Some(0), "{call:?} {fault:?}");
        }
    }
}
