//! The operator is uninstalled: what goes, in which order, and what a later installation begins with.

use freethread_rollout::{
    api::{Phase, Reason},
    decide::{Movement, PoolWanted},
};

use super::{
    findings::{breach, clear},
    tables::{pass, result, settle, states, until, world},
    world::World,
};

/// Nothing of ours is left, and the decision is the one that takes the finalizer off.
fn given_back(world: &mut World) {
    let decision = settle(world);
    assert_eq!((decision.pool, decision.target.weight), (PoolWanted::Remove, 0));
    assert!(world.live.is_none() && decision.events.is_empty() && decision.status == world.status);
}

#[test]
fn traffic_goes_first_then_the_pool() {
    let mut world = world();
    until(&mut world, Reason::AwaitingApproval);
    world.giving_back = true;
    let first = pass(&mut world);
    assert_eq!((first.target.movement, first.target.weight), (Movement::Fall, 0));
    assert_eq!((first.pool, first.target.note), (PoolWanted::Leave, None), "the pool stays for now");
    assert_eq!(
        (first.status.phase, first.status.reason, states(&world).as_str()),
        (Phase::Paused, Reason::Uninstalled, "False True False")
    );
    let second = pass(&mut world);
    assert_eq!((second.pool, second.status.phase), (PoolWanted::Remove, Phase::Paused));
    assert!(world.live.is_none() && second.status.attempt.is_some());
    let third = pass(&mut world);
    assert_eq!((third.status.phase, third.status.reason), (Phase::Pending, Reason::Uninstalled));
    assert_eq!((third.status.attempt, third.status.step, third.status.weight.wanted), (None, 0, 0));
    given_back(&mut world);
    let said: Vec<_> =
        world.status.history.iter().rev().take(2).map(|e| (e.phase, e.weight, e.message.as_str())).collect();
    assert_eq!(
        said,
        [
            (
                Phase::Pending,
                0,
                "the operator was uninstalled: traffic is back on the standard pool, and the free-threaded pool is gone"
            ),
            (
                Phase::Paused,
                0,
                "the operator is being uninstalled: traffic goes back first, then the pool goes"
            )
        ]
    );
}

#[test]
fn a_pod_that_still_ends_its_requests_is_waited_for() {
    let mut world = world();
    until(&mut world, Reason::Holding);
    world.giving_back = true;
    let mut ending = world.pods[0].clone();
    pass(&mut world);
    ending.0.going = true;
    world.pods.push(ending);
    for _ in 0..3 {
        assert!(pass(&mut world).status.attempt.is_some(), "it may still be an endpoint somewhere");
    }
    world.pods.clear();
    given_back(&mut world);
}

#[test]
fn a_later_installation_begins_with_the_first_attempt() {
    let mut world = world();
    until(&mut world, Reason::AwaitingApproval);
    world.say("promote");
    until(&mut world, Reason::Completed);
    world.giving_back = true;
    given_back(&mut world);
    world.giving_back = false;
    let decision = pass(&mut world);
    assert_eq!((decision.pool, decision.status.attempt.unwrap().number), (PoolWanted::Apply, 1));
    until(&mut world, Reason::AwaitingApproval);
    assert_eq!(world.written(), 3, "the old promote is not obeyed again");
}

#[test]
fn what_a_person_said_outlives_the_operator() {
    let mut world = world();
    until(&mut world, Reason::Holding);
    world.say("pause");
    until(&mut world, Reason::PausedByUser);
    world.giving_back = true;
    given_back(&mut world);
    world.giving_back = false;
    assert_eq!(settle(&mut world).target.weight, 0);
    assert_eq!((world.status.reason, result(&world).contains("paused")), (Reason::PausedByUser, true));
}

#[test]
fn rolled_back_stays_rolled_back() {
    let mut world = world();
    until(&mut world, Reason::Holding);
    world.finding = breach();
    pass(&mut world);
    let message = world.status.message.clone();
    world.finding = clear();
    world.giving_back = true;
    given_back(&mut world);
    world.giving_back = false;
    settle(&mut world);
    assert_eq!((world.status.phase, &world.status.message), (Phase::RolledBack, &message));
    world.say("retry");
    until(&mut world, Reason::Holding);
    assert_eq!(world.status.attempt.as_ref().unwrap().number, 2);
}

#[test]
fn a_rollback_that_only_the_pool_knows_of_is_not_forgotten() {
    let mut world = world();
    until(&mut world, Reason::Holding);
    world.finding = breach();
    let (_, decision) = world.decide(freethread_rollout::decide::Guards::ALL);
    assert!(!world.act(&decision, 1), "the operator died after the weight");
    world.finding = clear();
    world.giving_back = true;
    given_back(&mut world);
    assert_eq!((world.status.phase, world.status.reason), (Phase::RolledBack, Reason::ErrorRate));
}

#[test]
fn a_rollout_that_is_being_deleted_is_deleted() {
    let mut world = world();
    until(&mut world, Reason::Holding);
    world.giving_back = true;
    world.deleting = true;
    let decision = pass(&mut world);
    assert_eq!((decision.status.reason, decision.pool), (Reason::Deleting, PoolWanted::Remove));
}
