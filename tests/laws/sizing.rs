//! `freeThreaded.replicas: auto`: a step takes pods by what a request was measured to take at the step before, and keeps them.

use freethread_rollout::{
    api::{Auto, Phase, PoolReplicas},
    decide::Guards,
    judge::CostFinding,
};

use super::world::World;

/// Eight pods, a pool whose size is measured, and steps of 25 % and 50 %.
fn measured() -> World {
    let mut world = World::by_route(1);
    world.ready_after = Some(1000);
    world.standard.as_mut().unwrap().replicas = 8;
    world.spec.free_threaded.replicas = Some(PoolReplicas::Measured(Auto::Auto));
    world.spec.steps.truncate(2);
    for (step, weight) in world.spec.steps.iter_mut().zip([25, 50]) {
        step.weight = weight;
    }
    world
}

/// What is said of the step that is under way.
fn found(world: &World, ratio: Option<f64>) -> Option<CostFinding> {
    let from = world.status.attempt.as_ref()?.step_counts_from.as_ref()?.0.as_millisecond();
    Some(CostFinding { from, ratio, sentence: format!("{ratio:?} times") })
}

fn pass(world: &mut World) {
    let (_, decision) = world.decide(Guards::ALL);
    world.act(&decision, usize::MAX);
    world.tick(1000);
    world.hear_of_the_step();
}

fn replicas(world: &World) -> i32 {
    world.live.as_ref().map_or(0, |live| live.replicas)
}

fn until(world: &mut World, what: impl Fn(&World) -> bool) {
    for _ in 0..600 {
        if what(world) {
            return;
        }
        if world.status.phase == Phase::Paused {
            world.say("promote");
        }
        pass(world);
    }
    panic!("never: {:#?}", world.status);
}

/// To the second step, where `ratio` was measured at the first; its pods.
fn sized(ratio: Option<f64>) -> (World, i32) {
    let mut world = measured();
    until(&mut world, |world| world.written() == 25);
    assert_eq!(replicas(&world), 2, "nothing is known: 25 % of eight");
    until(&mut world, |world| world.status.attempt.as_ref().unwrap().converged_at.is_some());
    world.finding.cost = found(&world, ratio);
    until(&mut world, |world| world.written() == 50);
    let pods = replicas(&world);
    (world, pods)
}

#[test]
fn a_step_takes_pods_for_what_a_request_was_measured_to_take() {
    let (world, pods) = sized(Some(1.5));
    assert_eq!(pods, 6, "half of eight, and half as much again");
    let sizing = world.status.attempt.as_ref().unwrap().sizing.clone().unwrap();
    assert_eq!(
        (sizing.cpu_per_request.as_deref(), sizing.message.as_str()),
        (Some("1.500"), "Some(1.5) times")
    );
    assert!(world.status.message.contains("each for 0.67 of them"), "{}", world.status.message);
    assert_eq!(sized(Some(0.5)).1, 2);
}

#[test]
fn what_could_not_be_measured_is_taken_for_the_same_and_said() {
    let (world, pods) = sized(None);
    let sizing = world.status.attempt.as_ref().unwrap().sizing.clone().unwrap();
    assert_eq!((pods, sizing.cpu_per_request, sizing.message.as_str()), (4, None, "None times"));
}

#[test]
fn a_size_stays_as_it_is_for_its_step() {
    let (mut world, pods) = sized(Some(1.5));
    until(&mut world, |world| world.status.phase == Phase::Hybrid);
    for ratio in [Some(3.0), None] {
        world.finding.cost = found(&world, ratio);
        for _ in 0..20 {
            pass(&mut world);
        }
        assert_eq!(replicas(&world), pods);
    }
}
