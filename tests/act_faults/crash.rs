//! The operator dies between any two requests, or with one under way that is done or not: the next one, with nothing but what the server
//! keeps, reaches the same end.

use freethread_rollout::api::{FINALIZER, Phase, Reason};
use serde_json::{Value, json};

use super::{
    findings::{breach, clear},
    server::{Call, Fault},
    world::World,
};

/// Something that happens once the persisted state is such.
type Event = (fn(&World) -> bool, fn(&mut World));

/// Up, an edit, a breach that passes, and the rollout goes.
const STORY: [Event; 4] = [
    (|w| w.status().reason == Reason::Holding, |w| w.edit()),
    (|w| w.status().drift.is_some() && !edited(w), |w| w.finding = breach()),
    (|w| w.server.written() == Some(0), |w| w.finding = clear()),
    (|w| w.status().phase == Phase::RolledBack, |w| w.delete()),
];

fn edited(world: &World) -> bool {
    world.server.pool().is_some_and(|pool| pool.to_string().contains("hostNetwork"))
}

/// Plays the story. `dies`: at which request, and what becomes of that one. Returns what is to be the same, and the number of requests.
async fn play(dies: Option<(usize, Fault)>) -> (Value, usize) {
    let mut world = World::new();
    if let Some((number, fault)) = dies {
        world.server.dies_at(number, fault);
    }
    let (mut story, mut told) = (STORY.iter().peekable(), Vec::new());
    for _ in 0..100 {
        if let Some((_, happens)) = story.next_if(|(when, _)| when(&world)) {
            // Rolled back, before it goes.
            if story.peek().is_none() {
                told.push(summary(&world));
            }
            happens(&mut world);
        }
        let pass = world.decide();
        let crashed = tokio::select! {
            biased;
            done = world.act(&pass) => {
                done.unwrap();
                false
            }
            () = world.server.died.notified() => true,
        };
        if crashed {
            world.server.mend();
            world.restart();
        }
        world.tick();
        let finalizers = world.server.rollout().unwrap()["metadata"]["finalizers"].clone();
        if !finalizers.to_string().contains(FINALIZER) {
            told.push(summary(&world));
            let requests = world.seen().await.iter().filter(|seen| seen.call != Call::Event).count();
            return (json!(told), requests);
        }
    }
    panic!("dies {dies:?}: never ends: {:#?}", world.status());
}

fn summary(world: &World) -> Value {
    let status = world.status();
    let entry = |e: &freethread_rollout::api::HistoryEntry| json!([e.phase, e.reason, e.weight, e.message]);
    let pool =
        |pool: Value| json!([pool["spec"]["replicas"], pool["metadata"]["annotations"], edited(world)]);
    json!({
        "phase": status.phase, "reason": status.reason, "message": status.message, "drift": status.drift.map(|d| d.count),
        "attempt": status.attempt.map(|a| json!([a.number, a.weight_changes.iter().map(|c| c.written).collect::<Vec<_>>()])),
        "history": status.history.iter().map(entry).collect::<Vec<_>>(), "pool": world.server.pool().map(pool),
    })
}

#[tokio::test(start_paused = true)]
async fn whatever_request_the_operator_dies_at_the_end_is_the_same() {
    let (whole, requests) = play(None).await;
    assert!(requests >= 15, "{requests} requests");
    for number in 0..requests {
        for fault in [Fault::Hang, Fault::Silence] {
            let (end, _) = play(Some((number, fault))).await;
            assert_eq!(end, whole, "died at request {number}, {fault:?}");
        }
    }
}
