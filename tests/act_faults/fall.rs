//! A falling weight: the first request, bound to nothing, tried again, and never said to be done before it is.

use std::time::Duration;

use freethread_rollout::{
    act::{ActError, Kind},
    api::{ANNOTATION_ROLLBACK, Phase, Reason},
    decide::{Movement, PoolWanted, StandardWanted},
    observe::RollbackNote,
};
use serde_json::json;
use tokio::time::Instant;

use super::{
    findings::breach,
    server::{Call, Fault, PASSING},
    world::{Pass, World},
};

/// Three tries of 2 s each.
const BOUND: Duration = Duration::from_millis(6_010);

/// A pod serves, and the evidence is there.
async fn falling() -> (World, Pass) {
    let mut world = World::holding().await;
    world.finding = breach();
    let pass = world.decide();
    assert_eq!((pass.decision.target.movement, pass.decision.target.weight), (Movement::Fall, 0));
    (world, pass)
}

#[tokio::test(start_paused = true)]
async fn is_the_first_request_and_bound_to_no_version() {
    let (world, pass) = falling().await;
    // Whoever else writes the pool meanwhile.
    world.server.edit_pool(|pool| pool["metadata"]["labels"]["team"] = json!("shop"));
    let done = world.act(&pass).await.unwrap();
    assert!(done.weight && done.status && !done.pool);
    let seen = world.seen().await;
    assert_eq!(seen.iter().map(|s| s.call).collect::<Vec<_>>(), [Call::Lower, Call::Status, Call::Event]);
    assert_eq!(
        seen[0].line,
        "PATCH /apis/apps/v1/namespaces/shop/deployments/orders-ft?&force=true&fieldManager=freethread-rollout%2Froute"
    );
    let note = RollbackNote {
        attempt: 1,
        phase: Phase::RolledBack,
        reason: Reason::ErrorRate,
        message: pass.decision.status.message.clone(),
    };
    let note = serde_json::to_string(&note).unwrap();
    assert_eq!(
        seen[0].body,
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 0},
            "metadata": {"name": "orders-ft", "uid": "pool-1", "annotations": {ANNOTATION_ROLLBACK: note}}})
    );
    assert_eq!(
        seen[1].line,
        "PATCH /apis/freethreading.dev/v1alpha1/namespaces/shop/freethreadrollouts/orders/status?&force=true&fieldManager=freethread-rollout%2Fstatus"
    );
    let of = json!({"name": "orders", "uid": "rollout-1", "resourceVersion": pass.rollout.metadata.resource_version});
    assert_eq!((&seen[1].body["metadata"], &seen[1].body["status"]["phase"]), (&of, &json!("RolledBack")));
    assert!(seen[2].line.starts_with("POST /apis/events.k8s.io/v1/namespaces/shop/events"));
    assert_eq!(seen[2].body["note"], json!(pass.decision.status.message));
}

/// A standard pool that was handed over, in a pass whose weight falls.
async fn going_home() -> (World, Pass) {
    let (world, mut pass) = falling().await;
    pass.scene.observation.standard.as_mut().unwrap().before = Some(6);
    pass.decision.standard = StandardWanted::Grow { seen: 4, to: 6 };
    (world, pass)
}

#[tokio::test(start_paused = true)]
async fn is_first_where_the_standard_pool_comes_back_too_and_neither_waits_for_the_other_to_succeed() {
    let (world, pass) = going_home().await;
    assert!(world.act(&pass).await.unwrap().weight);
    assert_eq!(world.calls().await, [Call::Lower, Call::Standard, Call::Status, Call::Event]);

    let (world, pass) = going_home().await;
    world.server.fail(Call::Lower, Fault::Code(503), usize::MAX);
    assert!(matches!(world.act(&pass).await.unwrap_err(), ActError::Lower(_)));
    assert_eq!(world.calls().await, [Call::Lower, Call::Lower, Call::Lower, Call::Standard]);

    for (fault, kind) in [(Fault::Code(422), Kind::Dependency), (Fault::Hang, Kind::Transient)] {
        let (world, pass) = going_home().await;
        world.server.fail(Call::Standard, fault, usize::MAX);
        let error = world.act(&pass).await.unwrap_err();
        assert!(matches!(error, ActError::Standard(_)) && error.kind() == kind, "{fault:?}: {error}");
        assert_eq!(
            world.calls().await,
            [Call::Lower, Call::Standard, Call::Status, Call::Event],
            "{fault:?}"
        );
        assert_eq!((world.server.written(), world.status().phase), (Some(0), Phase::RolledBack), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn is_tried_again_at_once_whatever_the_answer() {
    for fault in PASSING.into_iter().chain([Fault::Ignored, Fault::Code(403)]) {
        let (world, pass) = falling().await;
        world.server.fail(Call::Lower, fault, 2);
        let began = Instant::now();
        assert!(world.act(&pass).await.unwrap().weight, "{fault:?}");
        assert!(began.elapsed() < BOUND, "{fault:?}: {:?}", began.elapsed());
        let seen = world.seen().await;
        let calls: Vec<_> = seen.iter().map(|s| s.call).collect();
        assert_eq!(
            calls,
            [Call::Lower, Call::Lower, Call::Lower, Call::Status, Call::Event],
            "{fault:?}: {seen:#?}"
        );
        assert!(seen[..3].iter().all(|s| s.body == seen[0].body), "{fault:?}");
        assert_eq!((world.server.written(), world.status().phase), (Some(0), Phase::RolledBack), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn ends_within_its_bound_and_nothing_says_that_it_was_done() {
    for fault in PASSING.into_iter().filter(|fault| *fault != Fault::Silence).chain([Fault::Ignored]) {
        let (mut world, pass) = falling().await;
        world.server.fail(Call::Lower, fault, usize::MAX);
        let (before, began) = (world.status(), Instant::now());
        for number in 1..=3 {
            let error = world.act(&pass).await.unwrap_err();
            assert!(matches!(error, ActError::Lower(_)) && error.urgent(), "{fault:?}: {error}");
            let kind = if fault == Fault::Code(409) { Kind::Conflict } else { Kind::Transient };
            assert_eq!(error.kind(), kind, "{fault:?}");
            assert!(began.elapsed() < BOUND * number, "{fault:?}: {:?}", began.elapsed());
            assert_eq!(world.calls().await, [Call::Lower; 3], "{fault:?}");
            assert_eq!((world.status(), world.server.written()), (before.clone(), Some(1)), "{fault:?}");
        }
        // Back again, in a pass of its own.
        world.server.mend();
        world.pass().await.unwrap();
        assert_eq!(world.calls().await, [Call::Lower, Call::Status, Call::Event], "{fault:?}");
        let (after, written) = (world.status(), world.server.written());
        assert_eq!(
            (after.phase, written, after.history.len()),
            (Phase::RolledBack, Some(0), before.history.len() + 1)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_pool_that_is_gone_is_done() {
    let (world, pass) = falling().await;
    world.server.lose_pool();
    assert!(world.act(&pass).await.unwrap().status);
    assert_eq!(world.calls().await, [Call::Lower, Call::Status, Call::Event]);
    assert_eq!(world.server.pool(), None, "never created");
}

#[tokio::test(start_paused = true)]
async fn comes_before_a_status_that_fails_and_the_next_pass_knows_why() {
    for fault in PASSING.into_iter().filter(|fault| *fault != Fault::Silence) {
        let (mut world, pass) = falling().await;
        world.server.fail(Call::Status, fault, 1);
        let began = Instant::now();
        let error = world.act(&pass).await.unwrap_err();
        assert!(!error.urgent(), "{fault:?}: the traffic is back, the rest may wait: {error}");
        let seen = world.seen().await;
        assert_eq!(seen.iter().map(|s| s.call).collect::<Vec<_>>(), [Call::Lower, Call::Status], "{fault:?}");
        assert_eq!(seen[0].at, began, "{fault:?}: at once");
        assert_eq!((world.server.written(), world.status().phase), (Some(0), Phase::Progressing));
        // The evidence may be gone by then; the reason stands on the pool.
        world.restart();
        world.finding = super::findings::clear();
        world.tick();
        world.pass().await.unwrap();
        assert_eq!(world.calls().await, [Call::Status, Call::Event], "{fault:?}");
        let status = world.status();
        assert_eq!((status.phase, status.message), (Phase::RolledBack, pass.decision.status.message));
    }
}

#[tokio::test(start_paused = true)]
async fn does_not_wait_for_events() {
    for fault in PASSING {
        let (mut world, pass) = falling().await;
        world.server.fail(Call::Event, fault, 1);
        let began = Instant::now();
        assert!(world.act(&pass).await.unwrap().status, "{fault:?}");
        assert_eq!(began.elapsed(), Duration::ZERO, "{fault:?}");
        world.tick();
        world.pass().await.unwrap();
        assert_eq!((world.server.written(), world.status().phase), (Some(0), Phase::RolledBack), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn comes_before_the_pool_and_does_not_care_what_becomes_of_it() {
    for (call, fault) in [Call::PutBack, Call::Apply].into_iter().flat_map(|c| PASSING.map(|f| (c, f))) {
        let mut world = World::holding().await;
        // To the second step, and then there is less of the standard pool, and an edit to be put back.
        world
            .until(|world, _| world.server.written() == Some(4) && world.status().reason == Reason::Holding)
            .await;
        world.edit();
        world.standard = 2;
        let pass = world.decide();
        let target = &pass.decision.target;
        assert_eq!(
            (target.movement, target.weight, pass.decision.pool),
            (Movement::Fall, 2, PoolWanted::Apply)
        );
        world.seen().await;
        world.server.fail(call, fault, 1);
        let began = Instant::now();
        world.act(&pass).await.unwrap();
        let seen = world.seen().await;
        let calls: Vec<_> = seen.iter().map(|s| s.call).filter(|call| *call != Call::Event).collect();
        assert_eq!(calls, [Call::Lower, Call::Status], "{fault:?}");
        assert_eq!((seen[0].at, world.server.written()), (began, Some(2)), "{call:?} {fault:?}");
        // The pool has another version since then: the edit is put back in the next pass.
        let error = world.pass().await.unwrap_err();
        assert!(!error.urgent(), "{call:?} {fault:?}: {error}");
        assert!(world.calls().await.contains(&call), "{fault:?}");
        assert_eq!(world.server.written(), Some(2), "{call:?} {fault:?}");
    }
}
