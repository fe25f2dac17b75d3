//! Steps that end when the evidence suffices, and those that never get there.

use freethread_rollout::{
    api::{OnInconclusive, Phase, Reason},
    judge::{Checkpoint, FindingKind, SafeOdds},
};
use jiff::SignedDuration;

use super::{
    chaos::pace_by_evidence,
    findings::breach,
    tables::{condition, pass, states, until, world},
    world::World,
};

fn paced(on: OnInconclusive) -> World {
    let mut world = world();
    pace_by_evidence(&mut world.spec);
    world.spec.analysis.on_inconclusive = on;
    world.finding.safe = Some(SafeOdds { ratio: 7.3, bound: 20.0 });
    until(&mut world, Reason::Holding);
    world
}

/// Seconds that the current weight has been held.
fn held(world: &World) -> i64 {
    let at = world.status.attempt.as_ref().and_then(|a| a.converged_at.as_ref()).unwrap().0;
    world.now.duration_since(at).as_secs()
}

#[test]
fn a_step_ends_when_the_evidence_suffices_and_not_before_its_shortest_hold() {
    let mut world = paced(OnInconclusive::Pause);
    world.finding.kind = FindingKind::Safe;
    let before = world.now;
    while world.status.step == 0 {
        pass(&mut world);
    }
    let took = world.now.duration_since(before).as_secs();
    assert!((4..=7).contains(&took), "minHold is 5 s, it took {took} s");
}

#[test]
fn until_then_it_says_how_far_it_is() {
    let mut world = paced(OnInconclusive::Pause);
    while held(&world) < 6 {
        pass(&mut world);
    }
    assert_eq!((world.status.phase, world.status.reason), (Phase::Progressing, Reason::Holding));
    let message = &world.status.message;
    assert!(message.ends_with("waits for the evidence that it is safe: 5:1, enough at 20:1"), "{message}");
    assert_eq!(world.status.next.as_ref().unwrap().what, "paused, unless the evidence suffices");
}

#[test]
fn undecided_it_pauses_and_goes_on_when_the_evidence_comes_after_all() {
    let mut world = paced(OnInconclusive::Pause);
    until(&mut world, Reason::Inconclusive);
    assert!(held(&world) >= 30);
    assert_eq!((world.status.phase, states(&world).as_str()), (Phase::Paused, "True False False"));
    let (_, message) = condition(&world, "Ready");
    assert!(message.ends_with("not shown to be safe in 30s: 5:1, enough at 20:1"), "{message}");
    world.finding.kind = FindingKind::Safe;
    pass(&mut world);
    assert_eq!((world.status.step, world.status.phase), (1, Phase::Progressing));
}

#[test]
fn undecided_a_person_may_go_on() {
    let mut world = paced(OnInconclusive::Pause);
    until(&mut world, Reason::Inconclusive);
    world.say("promote");
    pass(&mut world);
    assert_eq!(world.status.step, 1);
}

#[test]
fn undecided_it_advances_where_the_spec_says_so_but_never_on_unknown() {
    let mut world = paced(OnInconclusive::Advance);
    world.finding.kind = FindingKind::Unknown;
    while held(&world) < 60 {
        pass(&mut world);
        assert_eq!(world.status.step, 0);
    }
    world.finding.kind = FindingKind::Clear;
    pass(&mut world);
    assert_eq!(world.status.step, 1);
}

#[test]
fn undecided_it_rolls_back_where_the_spec_says_so() {
    let mut world = paced(OnInconclusive::RollBack);
    until(&mut world, Reason::Inconclusive);
    assert_eq!(world.status.phase, Phase::RolledBack);
    assert!(world.status.message.ends_with("enough at 20:1; traffic is back on the standard pool"));

    let mut shared = paced(OnInconclusive::RollBack);
    shared.finding.kind = FindingKind::SharedIncident;
    shared.tick(120_000);
    for _ in 0..5 {
        pass(&mut shared);
    }
    assert_eq!(shared.status.phase, Phase::Progressing, "both pools fail: nobody can say anything of ours");
}

#[test]
fn the_time_to_decide_begins_when_a_pod_is_warm() {
    let mut world = paced(OnInconclusive::RollBack);
    let now = world.now;
    for (pod, _) in &mut world.pods {
        pod.ready_since = Some(now);
    }
    world.tick(30_500);
    pass(&mut world);
    assert_eq!(world.status.phase, Phase::Progressing, "5 s of 30 were warm up");
    world.now += SignedDuration::from_secs(5);
    pass(&mut world);
    assert_eq!(world.status.reason, Reason::Inconclusive);
}

#[test]
fn the_evidence_is_kept_for_a_restart_until_the_attempt_is_over() {
    let mut world = paced(OnInconclusive::Pause);
    let now = world.now.as_millisecond();
    let kept = |world: &World| {
        let checkpoint = world.status.attempt.as_ref().and_then(|attempt| attempt.checkpoint.clone());
        checkpoint.map(|checkpoint| (checkpoint.until.0.as_millisecond(), checkpoint.data))
    };
    world.finding.checkpoint = Some(Checkpoint { until: now, data: vec![1, 2, 3] });
    pass(&mut world);
    assert_eq!(kept(&world), Some((now, "AQID".to_owned())));
    world.finding.checkpoint = Some(Checkpoint { until: now - 1, data: vec![4] });
    pass(&mut world);
    assert_eq!(kept(&world), Some((now, "AQID".to_owned())), "an older one is no news");
    world.finding = breach();
    until(&mut world, Reason::ErrorRate);
    assert_eq!(kept(&world), None);
}

#[test]
fn a_fixed_time_stays_possible() {
    let mut world = world();
    world.finding.kind = FindingKind::Clear;
    until(&mut world, Reason::Holding);
    while world.status.step == 0 {
        pass(&mut world);
    }
    assert_eq!(world.status.reason, Reason::Stepping, "10 s, without any proof that it is safe");
}
