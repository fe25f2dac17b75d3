//! What is different where traffic goes by a route's weights.

use freethread_rollout::{
    api::{Phase, Reason},
    decide::{Guards, Movement, PoolWanted},
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
