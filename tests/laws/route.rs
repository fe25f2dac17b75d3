//! What is different where traffic goes by a route's weights.

use freethread_rollout::{
    api::{Percent, Phase, Reason},
    decide::{Guards, Movement, PoolWanted},
    observe::Autoscaler,
};

use super::{findings::breach, world::World};

/// Passes until nothing more is to be done at once; the last decision.
fn settle(world: &mut World) -> freethread_rollout::decide::Decision {
    for _ in 0..60 {
        let (_, decision) = world.decide(Guards::ALL);
        let before = (world.status.clone(), world.written());
        world.act(&decision, usize::MAX);
        world.tick(if decision.wake_at == Some(world.now) { 0 } else { 1000 });
        world.hear_of_the_step();
        let quiet = decision.target.movement == Movement::Stay
            && decision.pool == PoolWanted::Leave
            && decision.replicas.is_none()
            && before == (world.status.clone(), world.written());
        if quiet {
            return decision;
        }
    }
    panic!("never settles: {:#?}", world.status);
}

fn steady() -> World {
    let mut world = World::by_route(1);
    world.ready_after = Some(2000);
    world
}

#[test]
fn pods_come_first_then_the_weight_and_at_the_end_the_team_has_its_route_back() {
    let mut world = steady();
    let (mut pods, mut weights, mut gave_back) = (vec![], vec![], 0);
    let mut step = |world: &mut World| {
        let (_, decision) = world.decide(Guards::ALL);
        pods.extend(decision.replicas.map(|pods| (pods, world.written())));
        if matches!(decision.target.movement, Movement::Rise | Movement::Fall) {
            let ready = world.pods.iter().filter(|(pod, _)| pod.ready_since.is_some()).count();
            weights.push((decision.target.weight, ready));
        }
        gave_back += usize::from(decision.target.movement == Movement::GiveBack);
        world.act(&decision, usize::MAX);
        world.tick(1000);
        world.hear_of_the_step();
    };
    for _ in 0..30 {
        step(&mut world);
    }
    world.say("promote");
    for _ in 0..60 {
        step(&mut world);
    }
    assert_eq!(world.status.phase, Phase::Hybrid, "{:#?}", world.status);
    world.finding = breach();
    for _ in 0..20 {
        step(&mut world);
    }
    assert_eq!((world.status.phase, world.status.reason), (Phase::RolledBack, Reason::ErrorRate));
    assert_eq!(weights, [(10, 1), (25, 3), (50, 5), (0, 5)], "the weight, and the pods that were ready then");
    assert_eq!(pods, [(1, 0), (3, 10), (5, 25), (0, 0)], "the pods, and the weight that was written then");
    assert_eq!(gave_back, 1);
    let route = world.route.as_ref().unwrap();
    assert_eq!((route.written, route.note.is_none(), world.pods.len()), (None, true, 0));
}

#[test]
fn a_gateway_that_does_not_take_the_weight_holds_it_and_is_named() {
    let mut world = steady();
    settle(&mut world);
    assert_eq!(world.written(), 10);
    world.route.as_mut().unwrap().taken = jiff::Timestamp::MAX;
    let (_, decision) = world.decide(Guards::ALL);
    assert_eq!(
        (decision.status.reason, decision.target.movement),
        (Reason::RouteNotAccepted, Movement::Stay)
    );
    assert!(
        decision.status.message.contains("HTTPRoute orders: 10 % is written and not in effect yet"),
        "{}",
        decision.status.message
    );
    let condition =
        |kind: &str| decision.status.conditions.iter().find(|c| c.type_ == kind).unwrap().status.clone();
    assert_eq!((condition("TrafficConverged"), condition("Ready")), ("False".into(), "False".into()));
    // And it never holds a fall.
    world.finding = breach();
    let (_, decision) = world.decide(Guards::ALL);
    assert_eq!((decision.target.movement, decision.target.weight), (Movement::Fall, 0));
}

#[test]
fn a_route_that_is_not_there_is_waited_for() {
    let mut world = steady();
    world.route.as_mut().unwrap().unusable = Some("HTTPRoute orders does not exist".into());
    let decision = settle(&mut world);
    assert_eq!((decision.status.phase, decision.status.reason), (Phase::Pending, Reason::RouteUnusable));
    assert_eq!(decision.status.message, "HTTPRoute orders does not exist");
    world.route.as_mut().unwrap().unusable = None;
    settle(&mut world);
    assert_eq!(world.written(), 10);
}

#[test]
fn a_weight_that_is_put_back_three_times_is_a_contest_and_the_rule_to_write_is_said() {
    for (by, rule) in [
        (
            "argocd-controller",
            "ignoreDifferences: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: orders, jqPathExpressions: ['.spec.rules[].backendRefs']}]",
        ),
        ("kustomize-controller", "kustomize.toolkit.fluxcd.io/ssa: IfNotPresent"),
        (
            "kubectl-edit",
            "leave .spec.rules[].backendRefs of HTTPRoute orders out of what kubectl-edit applies",
        ),
    ] {
        let mut world = steady();
        for _ in 0..3 {
            settle(&mut world);
            assert_eq!(world.written(), 10, "{:?} {}", world.status.reason, world.status.message);
            world.scaled_by(by, 0);
        }
        let decision = settle(&mut world);
        assert_eq!(
            (decision.status.phase, decision.status.reason),
            (Phase::Paused, Reason::RouteContested),
            "{by}"
        );
        assert!(decision.status.message.contains(rule), "{}", decision.status.message);
        assert_eq!(decision.target.weight, 0, "the weight does not rise");
        world.say("resume");
        settle(&mut world);
        assert_eq!(world.written(), 10);
    }
}

#[test]
fn somebody_elses_higher_weight_comes_back_at_once() {
    let mut world = steady();
    settle(&mut world);
    world.scaled_by("kubectl-edit", 8);
    let (_, decision) = world.decide(Guards::ALL);
    assert_eq!((decision.target.movement, decision.target.weight), (Movement::Fall, 10));
    assert!(decision.events.iter().any(|note| {
        note.message.contains("kubectl-edit changed the weight in HTTPRoute orders from 10 % to 80 %")
    }));
}

#[test]
fn a_route_that_is_not_seen_is_lowered_all_the_same_and_concluded_from_nothing() {
    let mut world = steady();
    settle(&mut world);
    world.route.as_mut().unwrap().unseen = true;
    let (_, decision) = world.decide(Guards::ALL);
    assert_eq!(
        (decision.target.movement, decision.target.weight),
        (Movement::Stay, 10),
        "it stays as it was written"
    );
    world.finding = breach();
    let (_, decision) = world.decide(Guards::ALL);
    assert_eq!((decision.target.movement, decision.status.phase), (Movement::Fall, Phase::RolledBack));
    world.act(&decision, usize::MAX);
    assert_eq!(world.written(), 0);
    world.tick(3_600_000);
    let decision = settle(&mut world);
    assert_eq!(
        (decision.target.movement, decision.replicas),
        (Movement::Stay, None),
        "nothing goes that may be sent to"
    );
    assert_eq!(world.route.as_ref().unwrap().written, Some(0));
    world.route.as_mut().unwrap().unseen = false;
    settle(&mut world);
    assert_eq!((world.route.as_ref().unwrap().written, world.pods.len()), (None, 0));
}

#[test]
fn a_rule_that_the_team_adds_gets_its_share_with_evidence_and_loses_it_with_the_others() {
    let mut world = steady();
    settle(&mut world);
    let before = world.finding.clone();
    world.finding.kind = freethread_rollout::judge::FindingKind::Unknown;
    world.route.as_mut().unwrap().uneven = true;
    let (_, decision) = world.decide(Guards::ALL);
    assert_eq!(decision.target.movement, Movement::Stay, "not without a clear verdict");
    world.finding = before;
    // Its pods were young.
    world.tick(10_000);
    settle(&mut world);
    assert!(!world.route.as_ref().unwrap().uneven);
    world.route.as_mut().unwrap().uneven = true;
    world.finding = breach();
    let (_, decision) = world.decide(Guards::ALL);
    assert_eq!((decision.target.movement, decision.target.weight), (Movement::Fall, 0));
    assert!(decision.target.note.is_some());
}

#[test]
fn a_cache_that_is_behind_does_not_hide_a_weight() {
    let mut world = steady();
    settle(&mut world);
    // What the cache has is from before the last write.
    world.route.as_mut().unwrap().written = Some(0);
    world.finding = breach();
    let (_, decision) = world.decide(Guards::ALL);
    assert_eq!((decision.target.movement, decision.status.phase), (Movement::Fall, Phase::RolledBack));
}

fn managed() -> World {
    let mut world = World::by_managed_route(1);
    world.ready_after = Some(2000);
    world
}

#[test]
fn a_route_of_ours_is_there_before_its_weight_and_stays_when_the_rollout_goes() {
    let mut world = managed();
    let (_, first) = world.decide(Guards::ALL);
    assert_eq!((first.target.movement, first.target.weight), (Movement::Renew, 0));
    settle(&mut world);
    assert_eq!(world.written(), 10);
    world.deleting = true;
    let (_, decision) = world.decide(Guards::ALL);
    assert_eq!(decision.target.movement, Movement::Fall);
    let said = |decision: &freethread_rollout::decide::Decision| {
        decision.events.iter().filter(|note| note.message.contains("HTTPRoute orders stays")).count()
    };
    let mut times = said(&decision);
    world.act(&decision, usize::MAX);
    for _ in 0..10 {
        world.tick(1000);
        let (_, decision) = world.decide(Guards::ALL);
        assert_ne!(decision.target.movement, Movement::Renew, "what goes writes nothing anew");
        times += said(&decision);
        world.act(&decision, usize::MAX);
        world.rewritten_by(None);
    }
    assert_eq!((times, world.route.as_ref().unwrap().written), (1, None));
}

#[test]
fn what_somebody_makes_of_a_route_of_ours_is_put_back_and_at_the_third_time_a_contest() {
    let mut world = managed();
    settle(&mut world);
    for times in 1..=3 {
        assert!(!world.route.as_ref().unwrap().stale);
        world.tick(1000);
        world.rewritten_by(Some("helm"));
        let decision = settle(&mut world);
        assert_eq!(world.status.drift.as_ref().map(|drift| drift.count), Some(times));
        assert_eq!(world.written(), 10, "the weight stays");
        let contested = decision.status.reason == Reason::RouteContested;
        assert_eq!(contested, times == 3, "{}", decision.status.message);
    }
    assert!(world.status.message.contains("leave .spec.rules[].backendRefs"), "{}", world.status.message);
    assert!(!world.route.as_ref().unwrap().stale, "put back all the same");
    // And then not at once any more: two that undo each other do it for ever.
    world.rewritten_by(Some("helm"));
    let (_, decision) = world.decide(Guards::ALL);
    assert_eq!(decision.target.movement, Movement::Stay);
    assert!(decision.wake_at.is_some());
    world.tick(30_000);
    assert_eq!(world.decide(Guards::ALL).1.target.movement, Movement::Renew);
    // Nothing of it is in the way of a rollback.
    world.finding = breach();
    assert_eq!(world.decide(Guards::ALL).1.target.movement, Movement::Fall);
}

#[test]
fn an_autoscaler_is_started_and_ended_and_keda_is_left_alone() {
    for by_keda in [false, true] {
        let mut world = steady();
        world.autoscaler = Some(Autoscaler { name: "keda-hpa-orders-ft".into(), by_keda });
        let mut pods = vec![];
        let mut steps = |world: &mut World, count: usize| {
            for _ in 0..count {
                let (_, decision) = world.decide(Guards::ALL);
                pods.extend(decision.replicas);
                world.act(&decision, usize::MAX);
                world.tick(1000);
                world.hear_of_the_step();
            }
        };
        steps(&mut world, 10);
        if by_keda {
            assert_eq!((world.status.reason, world.written()), (Reason::WaitingForPods, 0));
            assert!(world.status.message.contains("set minReplicaCount"), "{}", world.status.message);
            world.scale(1);
            steps(&mut world, 10);
        }
        assert_eq!(world.written(), 10, "{:#?}", world.status);
        world.scale(4);
        steps(&mut world, 5);
        world.finding = breach();
        steps(&mut world, 20);
        assert_eq!((world.status.phase, world.written()), (Phase::RolledBack, 0));
        assert_eq!(pods, if by_keda { vec![] } else { vec![1, 0] });
        assert_eq!(world.live.as_ref().unwrap().replicas, if by_keda { 4 } else { 0 });
        let note = world.status.free_threaded.note.clone().unwrap();
        assert_eq!(note.contains("at weight 0 too"), by_keda, "{note}");
    }
}

#[test]
fn what_keda_keeps_is_deleted_only_when_the_gateway_sends_nothing_there_any_more() {
    let mut world = steady();
    world.autoscaler = Some(Autoscaler { name: "keda-hpa-orders-ft".into(), by_keda: true });
    settle(&mut world);
    world.scale(2);
    for _ in 0..10 {
        let (_, decision) = world.decide(Guards::ALL);
        world.act(&decision, usize::MAX);
        world.tick(1000);
        world.hear_of_the_step();
    }
    assert_eq!(world.written(), 10);
    world.deleting = true;
    let (_, decision) = world.decide(Guards::ALL);
    assert_eq!(decision.target.movement, Movement::Fall);
    world.act(&decision, usize::MAX);
    let taken = world.now.checked_add(jiff::SignedDuration::from_secs(5)).unwrap();
    world.route.as_mut().unwrap().taken = taken;
    let mut removed = None;
    for _ in 0..30 {
        let (_, decision) = world.decide(Guards::ALL);
        if decision.pool == PoolWanted::Remove {
            removed = removed.or(Some(world.now));
        }
        world.tick(1000);
    }
    let removed = removed.expect("it goes");
    assert!(removed >= taken, "removed at {removed}, and the gateway sent there until {taken}");
}

#[test]
fn what_users_were_seen_to_send_before_a_rise_is_remembered_for_as_long_as_nobody_leaves() {
    let mut world = managed();
    world.route.as_mut().unwrap().sticky = true;
    settle(&mut world);
    let before = |world: &World| world.status.attempt.as_ref().and_then(|attempt| attempt.answered_before);
    assert_eq!((world.written(), before(&world)), (10, None), "the first step comes after nothing");
    for _ in 0..90 {
        if world.status.phase == Phase::Paused {
            world.say("promote");
        }
        settle(&mut world);
    }
    assert!(world.written() > 10, "{:#?}", world.status);
    assert_eq!(before(&world), Some(Percent::from_ratio(0.1)));
    world.finding = breach();
    settle(&mut world);
    assert_eq!((world.written(), before(&world)), (0, None), "all have left");
}
